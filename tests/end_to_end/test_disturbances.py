"""What happens to a group during its release: some of it at each run, and more with a seed (`make check`)."""

from __future__ import annotations

import os
from importlib import import_module

import pytest

from bluegreen.events import Phase
from tests.disturbances import KINDS, Row, rows, some, table

SEED = int(os.environ.get("BLUEGREEN_SEED") or 0)


@pytest.mark.parametrize("name", KINDS)
def test_whatever_happens_to_a_group_the_release_ends_as_its_owner_wants(name: str) -> None:
    """The safety rules hold, the sizes are right, and what a failed release says to do is what helps."""
    chosen = {(row.phase, row.weighted): row for row in (*some(name), *some(name, SEED))}
    played = [row.play() for row in chosen.values()]
    assert [wrong for row in played for wrong in row.wrong] == []


def test_some_of_all_is_every_phase_with_both_kinds_of_traffic() -> None:
    """What a quick run leaves out are combinations only."""
    chosen = {(row.phase, row.weighted) for name in KINDS for row in some(name)}
    assert chosen == {(phase, weighted) for phase in Phase for weighted in (False, True)}
    assert all(some(name) for name in KINDS)


def test_seeds_play_everything() -> None:
    """Eight of them, whatever the first."""
    for name in KINDS:
        played = {(row.phase, row.weighted) for seed in range(8) for row in some(name, 5 + seed)}
        assert played == {(row.phase, row.weighted) for row in rows(name)}


def test_what_is_wrong_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A release that does not look at blue again before it hands its settings over; the table marks it."""
    monkeypatch.setattr(import_module("bluegreen.phases.retiring"), "_follow_blue", lambda situation: None)
    row = Row("blue's owner sets the maximum", Phase.SWITCHING, weighted=False).play()
    assert any("MaxSize is 8, was 20" in wrong for wrong in row.wrong)
    assert "! / -" in table([row])
