"""Freezes: times without releases and promotions, by the windows of bluegreen.yml or by order. Pure.

    16:00 ── for ──┐                windows that overlap or meet are one freeze:
              18:00 ── for ──┐      it ends when the last of them does
                             until

A window lasts its elapsed time, also if the zone's clocks change during it.
"""

from __future__ import annotations

import heapq
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from itertools import repeat
from operator import itemgetter
from typing import Any
from zoneinfo import ZoneInfo

from bluegreen.errors import ConfigError
from bluegreen.release import duration, moment, second_of

#: A span that a freeze by order lasts is at most so long, in seconds: more is a slip of the keyboard.
LONGEST = 366 * 86_400
#: A moment at which a freeze by order ends is at most so far ahead, in seconds: ten years.
FURTHEST = 10 * LONGEST
#: A chain of more windows is taken for one without an end.
_LINKS = 1000
#: Clocks are set back by less than this (IANA time zone database).
_SET_BACK = 3 * 3600.0
_SPAN = re.compile(r"[0-9]+(\.[0-9]+)? ?[smhd]")
#: In place of a time: until somebody lifts it.
FOREVER = frozenset({"forever", "ever", "indefinitely"})
#: Two words that are one time.
_TWO_WORDS = re.compile(r"[0-9]+(\.[0-9]+)? [smhd]|[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{1,2}:[0-9]{2}\S*")
#: Words that speak of a time which cannot be told from them; months that are words of other meanings are left out.
_VAGUE = re.compile(
    r"[+-]?[0-9].*|now|today|tonight|tomorrow|yesterday|noon|midnight|morning|evening|eod|eow|later"
    r"|(mon|tues?|wed(nes)?|thu(rs)?|fri|sat(ur)?|sun)(day)?|weekend|next|(january|february|april|june|july|august"
    r"|september|october|november|december)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Frozen:
    """A freeze. Times are epoch seconds; `until` None: no end is known. `who` ordered it; "": a window did."""

    since: float
    until: float | None
    why: str
    who: str = ""
    zone: str = "UTC"

    @property
    def start(self) -> str:
        """`2026-01-02 16:00 Europe/Berlin`."""
        return moment_in(self.zone, self.since)

    @property
    def end(self) -> str:
        """`2026-01-05 08:00 Europe/Berlin`; "" when no end is known."""
        return "" if self.until is None else moment_in(self.zone, self.until)

    def __str__(self) -> str:
        """`frozen by slack:U1 until 2026-01-05 08:00 UTC: sale`."""
        by = f" by {self.who}" if self.who else ""
        open_ = "it is lifted" if self.who else "its windows in bluegreen.yml are changed"
        return f"frozen{by} until {self.end or open_}" + (f": {self.why}" if self.why else "")


@dataclass(frozen=True)
class Window:
    """A recurring time: begins by `cron` in `zone`, lasts so many seconds."""

    cron: str
    lasts: float
    zone: str
    why: str


def windows(config: Mapping[str, Any]) -> tuple[Window, ...]:
    """The windows of a configuration as the journal keeps it; one from before there were any has none."""
    listed = config.get("freeze") or ()
    return tuple(Window(w["cron"], min(float(w["for"]), LONGEST), w["zone"], w["why"]) for w in listed)


def frozen(of: Sequence[Window], now: float) -> Frozen | None:
    """The freeze that the windows make now; None outside of them."""
    active = [(begun, w) for w in of if (begun := _begun(w, now)) is not None and now < begun + w.lasts]
    if not active:
        return None
    until, zone = max((begun + w.lasts, w.zone) for begun, w in active)
    ends, zone = _chained(of, until, zone)
    why = "; ".join(dict.fromkeys(w.why for _, w in active))
    return Frozen(min(begun for begun, _ in active), ends, why, zone=zone)


def upcoming(of: Sequence[Window], now: float, within: float) -> Frozen | None:
    """The freeze that begins next, within so many seconds, or None."""
    begins = [at for w in of if (at := next(_coming(w, now), math.inf)) <= now + within]
    return frozen(of, min(begins)) if begins else None


def coming(of: Sequence[Window], now: float) -> Iterator[Frozen]:
    """Each window as it will be in force, from now on, the next first; one that is in force now is not among them."""
    begins = (zip(_coming(window, now), repeat(window)) for window in of)
    for at, window in heapq.merge(*begins, key=itemgetter(0)):
        yield Frozen(at, at + window.lasts, window.why, zone=window.zone)


def _chained(of: Sequence[Window], until: float, zone: str) -> tuple[float | None, str]:
    """The end of what begins before the last is over, and its zone; None when no end is found."""
    for _ in range(_LINKS):
        ends = [(begun + w.lasts, w.zone) for w in of if (begun := _begun(w, until)) is not None]
        later, its = max(ends, default=(until, zone))
        if later <= until:
            return until, zone
        until, zone = later, its
    return None, zone


def _begun(window: Window, at: float) -> float | None:
    """When the window last began, at that moment at the latest; None when it never did."""
    from cronsim import CronSim

    after = _local(window, math.floor(at) + 1)
    # Of an hour that comes twice the library tells the first one by the clock on the wall: look from beyond it.
    start = _local(window, after.timestamp() + _SET_BACK) if after.fold else after
    found = (begun.timestamp() for begun in CronSim(window.cron, start, reverse=True))
    return next((begun for begun in found if begun <= at), None)


def _coming(window: Window, now: float) -> Iterator[float]:
    """When the window begins, from now on."""
    from cronsim import CronSim

    begins = (begin.timestamp() for begin in CronSim(window.cron, _local(window, now)))
    return (begin for begin in begins if begin > now)


def _local(window: Window, at: float) -> datetime:
    return second_of(at, ZoneInfo(window.zone))


def moment_in(zone: str, at: float) -> str:
    """`2026-01-05 08:00 Europe/Berlin`."""
    return f"{moment(at, '%Y-%m-%d %H:%M', ZoneInfo(zone))} {zone}"


def in_words(freezes: Iterable[Frozen]) -> str:
    """All that is in force, in one clause."""
    return "; ".join(map(str, freezes))


# --- when a freeze by order ends ---------------------------------------------------------------------------


def is_time(word: str) -> bool:
    """Whether a word that may also begin a reason is meant as a time, be it one that `end_of` understands or not."""
    return bool(word.lower() in FOREVER or _VAGUE.fullmatch(word.strip(",.;:")))


def time_in(words: Sequence[str]) -> tuple[str, str]:
    """The time that the words begin with, "" when they begin with none, and the reason in the words after it.

    What looks like a time is taken for one: `end_of` refuses what it does not understand.
    """
    first, second, *_ = (*map(str.lower, words), "", "")
    if first in ("for", "in", "until", "till") and is_time(second):
        words = words[1:]
    elif first in ("until", "till"):
        return " ".join(words), ""
    elif not is_time(first):
        return "", " ".join(words)
    many = 2 if _TWO_WORDS.fullmatch(" ".join(words[:2])) else 1
    return " ".join(words[:many]), " ".join(words[many:])


def end_of(text: str, now: float, zone: tzinfo | None = None) -> float | None:
    """Epoch seconds meant by `4h`, `2d`, or a date and time in the zone (None: the machine's own).

    None for `forever`: until it is lifted. ConfigError when it is not a time, past, or too far ahead; see `bounded`.
    """
    if text.lower() in FOREVER:
        return None
    ends = now + _span(text) if _SPAN.fullmatch(text) else _date(text, zone)
    if ends <= now:
        raise ConfigError(f"is past since {duration(now - ends)}", where=text, hint=f"Name a time to come{_in(zone)}.")
    return bounded(ends, now, text)


def bounded(until: float, now: float, where: str = "until") -> float:
    """The moment at which a freeze ends, at most ten years ahead, else ConfigError; all entry points use it."""
    if until - now <= FURTHEST:
        return until
    hint = "Write forever instead, and lift the freeze later."
    raise ConfigError("is more than ten years away", where=where, hint=hint)


def _span(text: str) -> float:
    from bluegreen import config

    seconds = config.duration(text)
    if seconds > LONGEST:
        hint = "Write forever instead, and lift the freeze later."
        raise ConfigError("is further than a year away", where=text, hint=hint)
    return seconds


def _date(text: str, zone: tzinfo | None) -> float:
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=zone)).timestamp()
    except (ValueError, OverflowError):
        hint = f"Write 4h, 2d, 2030-01-31T18:00{_in(zone)}, or forever."
        raise ConfigError("is not a time", where=text, hint=hint) from None


def _in(zone: tzinfo | None) -> str:
    return f" ({zone})" if zone else ""
