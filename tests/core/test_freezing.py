"""Freezes: which windows are open, until when, wherever the clocks are changed; and what is meant by a time."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import example, given
from hypothesis import strategies as st

from bluegreen.config import parse
from bluegreen.errors import ConfigError
from bluegreen.freezing import (
    LONGEST,
    Frozen,
    Window,
    coming,
    end_of,
    frozen,
    in_words,
    is_time,
    time_in,
    upcoming,
    windows,
)
from bluegreen.release import second_of
from tests.worlds.release import small

HOUR, DAY = 3600.0, 86400.0
LORD_HOWE = {"zone": "Australia/Lord_Howe", "for": "1h"}
WEEKEND = {"cron": "0 16 * * FRI", "for": "64h", "zone": "Europe/Berlin", "why": "the weekend"}


def at(text: str) -> float:
    """Epoch seconds of a time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def of(*said: dict[str, Any]) -> tuple[Window, ...]:
    """The windows that a configuration of these means."""
    return windows(parse(small(freeze=list(said))).to_dict())


def until(now: str, *said: dict[str, Any]) -> str | None:
    """The end of the freeze then, in UTC; "never" when no end is found, None when nothing is frozen."""
    found = frozen(of(*said), at(now))
    if found is None:
        return None
    return "never" if found.until is None else f"{datetime.fromtimestamp(found.until, UTC):%Y-%m-%dT%H:%M:%S}"


# --- one window --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "ends"),
    [
        ("2026-01-02T14:59:59.999", None),  # Berlin is an hour ahead
        ("2026-01-02T15:00:00", "2026-01-05T07:00:00"),
        ("2026-01-02T15:00:00.001", "2026-01-05T07:00:00"),
        ("2026-01-04T12:00:00", "2026-01-05T07:00:00"),
        ("2026-01-05T06:59:59.999", "2026-01-05T07:00:00"),
        ("2026-01-05T07:00:00", None),
        ("2026-07-03T13:59:59", None),  # two hours ahead in summer
        ("2026-07-03T14:00:00", "2026-07-06T06:00:00"),
    ],
)
def test_a_window_is_open_from_its_beginning_to_before_its_end(now: str, ends: str | None) -> None:
    """In its own zone, to the second."""
    assert until(now, WEEKEND) == ends


@pytest.mark.parametrize(
    ("now", "said", "ends"),
    [
        # Berlin's clocks go forward at 01:00 UTC on 29 March: 02:00 to 03:00 is missing. 64 hours are 64 hours.
        ("2026-03-27T15:00:00", {}, "2026-03-30T07:00:00"),
        # They go back at 01:00 UTC on 25 October: 02:00 to 03:00 comes twice.
        ("2026-10-23T14:00:00", {}, "2026-10-26T06:00:00"),
        # What begins in the missing hour begins when that would be over.
        ("2026-03-29T00:59:59", {"cron": "30 2 * * *", "for": "1h"}, None),
        ("2026-03-29T01:00:00", {"cron": "30 2 * * *", "for": "1h"}, "2026-03-29T02:00:00"),
        ("2026-03-29T01:59:59", {"cron": "30 2 * * *", "for": "1h"}, "2026-03-29T02:00:00"),
        # What begins in the hour that comes twice begins the first time, and only then.
        ("2026-10-25T00:29:59", {"cron": "30 2 * * *", "for": "1h"}, None),
        ("2026-10-25T00:30:00", {"cron": "30 2 * * *", "for": "1h"}, "2026-10-25T01:30:00"),
        ("2026-10-25T00:59:59", {"cron": "30 2 * * *", "for": "1h"}, "2026-10-25T01:30:00"),
        ("2026-10-25T01:00:00", {"cron": "30 2 * * *", "for": "1h"}, "2026-10-25T01:30:00"),
        ("2026-10-25T01:29:59", {"cron": "30 2 * * *", "for": "1h"}, "2026-10-25T01:30:00"),
        ("2026-10-25T01:30:00", {"cron": "30 2 * * *", "for": "1h"}, None),
        ("2026-10-25T01:45:00", {"cron": "30 2 * * *", "for": "1h"}, None),
        # One that begins every hour begins in both of them.
        ("2026-10-25T00:05:00", {"cron": "0 * * * *", "for": "10m"}, "2026-10-25T00:10:00"),
        ("2026-10-25T01:05:00", {"cron": "0 * * * *", "for": "10m"}, "2026-10-25T01:10:00"),
        # New York's go forward at 07:00 UTC on 8 March, Lord Howe's back by half an hour at 15:00 UTC on 4 April.
        ("2026-03-08T07:10:00", {"cron": "15 2 * * *", "for": "1h", "zone": "America/New_York"}, "2026-03-08T08:00:00"),
        ("2026-04-04T15:10:00", {**LORD_HOWE, "cron": "45 1 * * *"}, "2026-04-04T15:45:00"),
        # Rare ones are found, however long ago they began.
        ("2026-02-28T00:00:00", {"cron": "0 0 29 2 *", "for": "366d", "zone": "UTC"}, None),
        ("2028-12-31T00:00:00", {"cron": "0 0 29 2 *", "for": "366d", "zone": "UTC"}, "2029-03-01T00:00:00"),
        ("2026-12-24T00:00:00", {"cron": "0 0 20 12 *", "for": "14d", "zone": "Asia/Seoul"}, "2027-01-02T15:00:00"),
    ],
)  # fmt: skip
def test_where_clocks_are_changed(now: str, said: dict[str, Any], ends: str | None) -> None:
    """A window lasts as long as it says, whatever the clock on the wall shows."""
    assert until(now, {**WEEKEND, **said}) == ends


_ZONES = ["UTC", "Europe/Berlin", "America/New_York", "America/Havana", "Asia/Beirut", "Asia/Kolkata", "Pacific/Apia"]
_CRONS = ["30 2 * * *", "0 16 * * FRI", "*/20 * * * *", "0 * * * *", "0 0 * * *", "15 1,2,3 * * *", "45 23 * * SUN"]


@given(st.sampled_from(_ZONES), st.sampled_from(_CRONS), st.floats(at("2026-01-01"), at("2027-01-01")))
@example("UTC", "30 2 * * *", math.nextafter(at("2026-05-05T02:30:00"), 0))
@example("UTC", "0 0 * * *", 1798761599.9999998)
def test_windows_are_found_as_a_clock_that_runs_would(zone: str, cron: str, now: float) -> None:
    """Looking back gives the last of the beginnings that looking forward gives; so does looking out."""
    window = Window(cron, 60 * DAY, zone, "")
    running = CronSim(cron, second_of(now - 10 * DAY, ZoneInfo(zone)))
    begins: list[float] = []
    while not begins or begins[-1] <= now:
        begins.append(next(running).timestamp())
    found, coming = frozen([window], now), upcoming([Window(cron, 1, zone, "")], now, 8 * DAY)
    assert found is not None
    assert coming is not None
    assert [found.since, coming.since] == begins[-2:]


@pytest.mark.parametrize("border", [at("2027-01-01"), at("2026-03-01T08:00:00")])
def test_the_end_of_a_second_is_not_the_next(border: float) -> None:
    """A moment that is nearer to the border than datetime can tell is still before it, in words, too."""
    now = math.nextafter(border, 0)
    assert second_of(now).timestamp() == border - 1
    assert Frozen(0.0, now, "").end == Frozen(0.0, border - 1, "").end != Frozen(0.0, border, "").end


# --- several -----------------------------------------------------------------------------------------------


def daily(begins: int, lasts: str, why: str = "", zone: str = "UTC") -> dict[str, Any]:
    """A window of every day."""
    return {"cron": f"0 {begins} * * *", "for": lasts, "zone": zone, "why": why or f"from {begins}"}


@pytest.mark.parametrize(
    ("windows_", "ends", "why"),
    [
        ([daily(8, "2h")], None, ""),
        ([daily(8, "6h")], "2026-01-01T14:00:00", "from 8"),
        ([daily(8, "6h"), daily(10, "3h")], "2026-01-01T14:00:00", "from 8; from 10"),  # one within the other
        ([daily(8, "6h"), daily(10, "6h")], "2026-01-01T16:00:00", "from 8; from 10"),
        ([daily(8, "6h"), daily(13, "2h")], "2026-01-01T15:00:00", "from 8"),  # chained
        ([daily(8, "6h"), daily(14, "2h")], "2026-01-01T16:00:00", "from 8"),  # they meet
        ([daily(8, "6h"), daily(15, "2h")], "2026-01-01T14:00:00", "from 8"),  # they do not
        ([daily(20, "1h"), daily(17, "3h"), daily(14, "4h"), daily(8, "6h")], "2026-01-01T21:00:00", "from 8"),
        ([daily(8, "6h", "sale"), daily(9, "6h", "sale")], "2026-01-01T15:00:00", "sale"),
        ([daily(8, "24h")], "never", "from 8"),
        ([daily(8, "12h"), daily(20, "12h")], "never", "from 8"),
        ([{"cron": "* * * * *", "for": "2m", "why": "always"}], "never", "always"),
        ([{"cron": "0 0 * 1 *", "for": "1d", "why": "January"}], "2026-02-01T00:00:00", "January"),
    ],
)
def test_windows_that_overlap_or_meet_are_one_freeze(
    windows_: list[dict[str, Any]], ends: str | None, why: str
) -> None:
    """It ends when the last of them does; the reasons are of those that are open."""
    assert until("2026-01-01T12:00:00", *windows_) == ends
    found = frozen(of(*windows_), at("2026-01-01T12:00:00"))
    assert (found.why if found else "") == why


def test_the_end_is_told_in_the_zone_of_the_window_that_ends_last() -> None:
    """And the beginning is the first one's."""
    said = (daily(8, "6h", "here", "Europe/Berlin"), daily(20, "6h", "there", "Asia/Seoul"))
    found = frozen(of(*said), at("2026-01-01T12:00:00"))
    assert found == Frozen(at("2026-01-01T07:00:00"), at("2026-01-01T17:00:00"), "here; there", zone="Asia/Seoul")
    assert str(found) == "frozen until 2026-01-02 02:00 Asia/Seoul: here; there"


@pytest.mark.parametrize(
    ("now", "within", "since"),
    [
        ("2026-01-01T12:00:00", DAY, None),
        ("2026-01-01T15:00:01", DAY, "2026-01-02T15:00:00"),
        ("2026-01-02T14:59:59", DAY, "2026-01-02T15:00:00"),
        ("2026-01-02T15:00:00", DAY, None),  # it has begun
        ("2026-01-02T15:00:00", 8 * DAY, "2026-01-09T15:00:00"),
        ("2026-10-25T00:45:00", 6 * DAY, "2026-10-30T15:00:00"),  # the hour comes again before that
    ],
)
def test_what_begins_soon(now: str, within: float, since: str | None) -> None:
    """The next beginning, with its own end."""
    found = upcoming(of(WEEKEND), at(now), within)
    assert (found and found.since) == (at(since) if since else None)
    if found:
        assert found.until == found.since + 64 * HOUR


def test_the_windows_to_come_are_told_in_their_order() -> None:
    """Each in its zone; a day field that begins with `*` and a weekday must both fit (Debian's cron)."""
    weekend = Window("0 16 * * FRI", 64 * 3600, "Europe/Berlin", "weekend")
    odd = Window("0 0 */2 * MON", 3600, "UTC", "odd")
    either = Window("0 12 1 * MON", 60, "UTC", "either")
    now = datetime(2026, 11, 27, 15, 30, tzinfo=UTC).timestamp()  # within the first weekend
    found = [
        (one.start, one.end, one.why) for one, _ in zip(coming([weekend, odd, either], now), range(6), strict=False)
    ]
    assert found == [
        ("2026-11-30 12:00 UTC", "2026-11-30 12:01 UTC", "either"),
        ("2026-12-01 12:00 UTC", "2026-12-01 12:01 UTC", "either"),
        ("2026-12-04 16:00 Europe/Berlin", "2026-12-07 08:00 Europe/Berlin", "weekend"),
        ("2026-12-07 00:00 UTC", "2026-12-07 01:00 UTC", "odd"),
        ("2026-12-07 12:00 UTC", "2026-12-07 12:01 UTC", "either"),
        ("2026-12-11 16:00 Europe/Berlin", "2026-12-14 08:00 Europe/Berlin", "weekend"),
    ]
    assert list(coming([], now)) == []


def test_nothing_is_frozen_without_windows() -> None:
    """A configuration from before there were any has none."""
    assert windows({}) == windows({"freeze": None}) == windows(parse(small()).to_dict()) == ()
    assert frozen((), 0.0) is upcoming((), 0.0, DAY) is None


@pytest.mark.parametrize(
    ("freeze", "words"),
    [
        (Frozen(0.0, 3600.0, "sale", "slack:U1"), "frozen by slack:U1 until 1970-01-01 01:00 UTC: sale"),
        (Frozen(0.0, None, "", "slack:U1"), "frozen by slack:U1 until it is lifted"),
        (Frozen(0.0, None, "w"), "frozen until its windows in bluegreen.yml are changed: w"),
    ],
)
def test_freezes_in_words(freeze: Frozen, words: str) -> None:
    """Who, until when, why."""
    assert str(freeze) == words
    assert in_words([freeze, freeze]) == f"{words}; {words}"


# --- when a freeze by order ends ---------------------------------------------------------------------------

NOW = at("2026-01-01T12:00:00")


@pytest.mark.parametrize(
    ("text", "zone", "ends"),
    [
        ("4h", UTC, NOW + 4 * HOUR),
        ("30m", None, NOW + 1800),
        ("90s", None, NOW + 90),
        ("1.5d", None, NOW + 1.5 * DAY),
        ("2 d", None, NOW + 2 * DAY),
        ("366d", None, NOW + LONGEST),
        ("2026-01-31", UTC, at("2026-01-31T00:00:00")),
        ("2026-01-31T18:00", UTC, at("2026-01-31T18:00:00")),
        ("2026-01-31T18:00", ZoneInfo("Asia/Seoul"), at("2026-01-31T09:00:00")),
        ("2026-01-31T18:00", None, datetime.fromisoformat("2026-01-31T18:00").timestamp()),
        ("2026-01-31T18:00+02:00", ZoneInfo("Asia/Seoul"), at("2026-01-31T16:00:00")),
        ("2026-01-31T18:00Z", None, at("2026-01-31T18:00:00")),
        ("2035-12-31", UTC, at("2035-12-31T00:00:00")),
    ],
)
def test_times_that_are_meant(text: str, zone: Any, ends: float) -> None:
    """A span from now, or a date with or without a time, in the zone unless it names one."""
    assert end_of(text, NOW, zone) == ends


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("soon", "soon: is not a time. Write 4h, 2d, 2030-01-31T18:00 (UTC), or forever."),
        ("yesterday", "yesterday: is not a time. Write 4h"),
        ("", "is not a time. Write 4h"),
        ("4", "4: is not a time. Write 4h"),
        ("4w", "4w: is not a time. Write 4h"),
        ("-4h", "-4h: is not a time. Write 4h"),
        ("2026-02-30", "2026-02-30: is not a time. Write 4h"),
        ("0001-01-01", "is past since"),
        ("0h", "0h: is past since 0s. Name a time to come (UTC)."),
        ("2025-12-31", "2025-12-31: is past since 1d 12h. Name a time to come (UTC)."),
        ("2026-01-01T12:00", "is past since 0s"),
        ("367d", "367d: is further than a year away. Write forever instead, and lift the freeze later."),
        ("99999999999d", "is further than a year away"),
        ("2037-01-01", "2037-01-01: is more than ten years away. Write forever instead, and lift the freeze"),
        ("9999-12-31T23:59-12:00", "is more than ten years away"),
    ],
)
def test_times_that_are_not(text: str, said: str) -> None:
    """What is wrong with it, and what to write."""
    with pytest.raises(ConfigError) as caught:
        end_of(text, NOW, UTC)
    assert said in str(caught.value)


def test_without_a_zone_none_is_named() -> None:
    """The machine's own goes without saying; a year that it cannot count is not a time."""
    with pytest.raises(ConfigError):
        end_of("0001-01-01", NOW)
    with pytest.raises(ConfigError, match=r"is past since 1d 12h\. Name a time to come\.$"):
        end_of("2025-12-31T00:00Z", NOW)


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        *((word, True) for word in ("4h", "30s", "1.5d", "2026-01-31", "2026-02-30T99", "2026-13-01")),
        *((word, True) for word in ("4", "4hours", "2026", "26-01-31", "-4h", "18:00", "9am", "4w", "31.12.2026")),
        *((word, True) for word in ("yesterday", "Tomorrow,", "monday", "sat", "next", "forever", "December")),
        *((word, False) for word in ("h", "sale", "may", "march", "sunrise", "nowhere", "web-4", "")),
    ],
)
def test_words_that_are_meant_as_times(word: str, meant: bool) -> None:
    """What looks like a time is one, be it right or wrong; anything else may begin a reason."""
    assert is_time(word) is meant


@pytest.mark.parametrize("word", ["forever", "Ever", "indefinitely"])
def test_a_freeze_without_an_end_is_asked_for(word: str) -> None:
    """By a word of its own."""
    assert end_of(word, NOW, UTC) is None


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("", ("", "")),
        ("4h", ("4h", "")),
        ("4h a big sale", ("4h", "a big sale")),
        ("4 h sale", ("4 h", "sale")),
        ("4 servers are gone", ("4", "servers are gone")),
        ("2026-01-31 18:00 sale", ("2026-01-31 18:00", "sale")),
        ("2026-01-31 sale", ("2026-01-31", "sale")),
        ("for 2d sale", ("2d", "sale")),
        ("for the sale", ("", "for the sale")),
        ("for", ("", "for")),
        ("until 2026-01-31 sale", ("2026-01-31", "sale")),
        ("until the sale is over", ("until the sale is over", "")),
        ("until", ("until", "")),
        ("for ever sale", ("ever", "sale")),
        ("yesterday", ("yesterday", "")),
        ("a sale of 4h", ("", "a sale of 4h")),
    ],
)
def test_a_time_before_a_reason(said: str, meant: tuple[str, str]) -> None:
    """The time comes first; what only looks like one is no reason, so that it is refused and not passed over."""
    assert time_in(said.split()) == meant
