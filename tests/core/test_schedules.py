"""Scheduled actions: which fell due while they were suspended, and what they would have set."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from bluegreen.schedules import Schedule, missed, read, shown_and_recorded

#: 2026-03-02, a Monday, at midnight UTC.
MONDAY = datetime(2026, 3, 2, tzinfo=UTC).timestamp()
HOUR = 3600.0
SIX: Mapping[str, int] = {"MinSize": 6, "MaxSize": 12, "DesiredCapacity": 6}


def at(hours: float) -> float:
    """So many hours into Monday."""
    return MONDAY + hours * HOUR


@pytest.mark.parametrize(
    ("schedule", "since", "until", "due"),
    [
        (Schedule("morning", "0 8 * * *"), 7, 9, 8),
        (Schedule("morning", "0 8 * * *"), 8, 9, None),  # it ran before it was suspended
        (Schedule("morning", "0 8 * * *"), 7, 8, 8),
        (Schedule("morning", "0 8 * * *"), 9, 20, None),
        (Schedule("morning", "0 8 * * *"), -70, 9, 8),  # the last of several days
        (Schedule("morning", "0 8 * * *", "Asia/Seoul"), -2, 0, -1),
        (Schedule("sunday", "0 8 * * 0"), -20, 9, -16),
        (Schedule("once", start=at(8)), 7, 9, 8),
        (Schedule("once", start=at(8)), 8, 9, None),
        (Schedule("once", start=at(8)), 6, 7, None),
        (Schedule("never"), 6, 7, None),
        (Schedule("later", "0 8 * * *", start=at(30)), 7, 40, 32),
        (Schedule("later", "0 8 * * *", start=at(30)), 7, 31, None),
        (Schedule("from then", "0 8 * * *", start=at(8)), 7, 9, 8),
        (Schedule("ended", "0 8 * * *", end=at(7.5)), 7, 9, None),
        (Schedule("ends", "0 8 * * *", end=at(9)), 7, 40, 8),
        (Schedule("wrong", "whenever"), 7, 9, None),
        (Schedule("nowhere", "0 8 * * *", "Nowhere/City"), 7, 9, None),
    ],
)
def test_when_an_action_was_due(schedule: Schedule, since: float, until: float, due: float | None) -> None:
    """After the first moment, by the last one; in hours."""
    assert schedule.due(at(since), at(until)) == (None if due is None else at(due))


def test_the_clocks_go_forward() -> None:
    """08:00 in Berlin is 07:00 UTC until 29 March 2026, and 06:00 UTC from then on."""
    sunday = datetime(2026, 3, 29, tzinfo=UTC).timestamp()
    morning = Schedule("morning", "0 8 * * *", "Europe/Berlin")
    assert morning.due(sunday, sunday + 6.5 * HOUR) == sunday + 6 * HOUR
    assert morning.due(sunday - 24 * HOUR, sunday - HOUR) == sunday - 17 * HOUR


def test_of_several_the_last_one_has_its_way() -> None:
    """For each size by itself: what a later one does not set stays as an earlier one set it."""
    up, down = Schedule("up", "0 8 * * *", sizes=SIX), Schedule("down", "0 9 * * *", sizes={"DesiredCapacity": 2})
    found = missed([down, up], at(7), at(10), at(10))
    assert found.sizes == {"MinSize": 6, "MaxSize": 12, "DesiredCapacity": 2}
    assert found.names == ("up", "down")
    assert missed([down, up], at(9), at(10), at(10)) == missed([], at(7), at(10), at(10))


def test_what_aws_ran_since_has_the_last_word() -> None:
    """An action that was due after schedules were resumed is AWS's to run, and overtakes what was missed."""
    up, down = Schedule("up", "0 8 * * *", sizes=SIX), Schedule("down", "0 9 * * *", sizes={"DesiredCapacity": 2})
    found = missed([up, down], at(7), at(8.5), at(9.5))
    assert (found.sizes, found.names) == ({"MinSize": 6, "MaxSize": 12}, ("up",))


def test_what_was_due_once_is_known_though_it_is_shown_no_more() -> None:
    """And a recurring one is due from when it was recorded, unless its owner gave it other times."""
    once, daily = Schedule("once", start=at(8), sizes=SIX), Schedule("daily", "0 8 * * *", start=at(8))
    shown = [Schedule("daily", "0 8 * * *", start=at(32)), Schedule("new", "0 9 * * *", start=at(33))]
    known = {one.name: one for one in shown_and_recorded(shown, [once, daily])}
    assert known["once"] == once
    assert known["daily"].start == at(8)
    assert known["new"].start == at(33)
    moved = Schedule("daily", "30 8 * * *", start=at(32.5))
    assert list(shown_and_recorded([moved], [daily])) == [moved]
    again = Schedule("once", start=at(20))
    assert list(shown_and_recorded([again], [once])) == [again]
    assert list(shown_and_recorded([], [daily])) == [], "its owner deleted it"


def test_an_action_as_the_api_shows_it() -> None:
    """With what it sets, and JSON-ready for the journal."""
    shown = {
        "ScheduledActionName": "morning",
        "Recurrence": "0 8 * * *",
        "TimeZone": "Asia/Seoul",
        "StartTime": datetime(2026, 3, 2, 8, tzinfo=UTC),
        "MinSize": 6,
        "MaxSize": 12,
    }
    found = read(shown)
    assert found == Schedule("morning", "0 8 * * *", "Asia/Seoul", at(8), None, {"MinSize": 6, "MaxSize": 12})
    assert Schedule(**found.to_facts()) == found
    assert read({"ScheduledActionName": "bare"}) == Schedule("bare")
