"""Seeded worlds, some of them at each run; `python -m tests.simulation 10000` plays as many as the design asks for."""

from __future__ import annotations

import pytest

from bluegreen.observation import Observation
from tests.simulation import Story, play


@pytest.mark.parametrize("first", range(1, 41, 10))
def test_whatever_comes_the_safety_rules_hold(first: int) -> None:
    """At every moment, and at the end; a failed release has a way on."""
    found = [wrong for seed in range(first, first + 10) for wrong in play(seed)[1]]
    assert found == []


def test_a_seed_is_a_story() -> None:
    """Else no violation could be looked into."""
    once, again = Story(7), Story(7)
    assert (once.play(), once.did) == (again.play(), again.did)
    assert [one.name for one in once.ops.aws.calls] == [one.name for one in again.ops.aws.calls]


def test_what_is_wrong_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A green that is trusted before anybody saw it healthy."""
    monkeypatch.setattr(Observation, "serving", lambda seen, group: group.in_service if group else ())
    assert any("healthy targets" in one for seed in range(1, 21) for one in play(seed)[1])
