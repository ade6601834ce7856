"""What others rely on is as it was recorded: the API, the command line, the journal, and more."""

from __future__ import annotations

import json

import pytest

from bluegreen.events import EventKind
from tests import contract


@pytest.mark.parametrize("part", contract.PARTS)
def test_what_others_rely_on_is_as_it_was_recorded(part: str) -> None:
    """A change that is meant is recorded anew, and has its line in the changelog."""
    said = f"tests/data/contract/{part}.json says otherwise. If the change is meant: {contract.RECORD}"
    assert contract.found(part).splitlines() == contract.recorded(part).splitlines(), said


def test_every_kind_of_event_was_written() -> None:
    """Or some of what is stored would be held by nothing."""
    told = json.loads(contract.recorded("journal"))["facts of events"]
    assert {name.partition(" ")[0] for name in told} == set(EventKind)
