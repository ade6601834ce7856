"""What a release did, as values: the fold of its events for a reader. Pure; times are epoch seconds.

Events record changes, so each value holds until the next one. What an older journal left out is missing here, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from bluegreen import wording
from bluegreen.events import (
    Act,
    CheckState,
    Did,
    Event,
    EventKind,
    Fleet,
    HoldOrdered,
    Observed,
    Outcome,
    Phase,
    Promoted,
    Resumed,
    RollbackOrdered,
    Started,
    SubjectState,
    Verb,
)
from bluegreen.release import Release, apply, fold

HOUR = 3600.0

#: What an act makes or takes away, for the two lists; other acts change settings and leave nothing.
MAKES = frozenset({Verb.MAKE_IMAGE, Verb.MAKE_TEMPLATE_VERSION, Verb.CREATE_GREEN, Verb.MAKE_WARM_POOL})
REMOVES = frozenset(
    {
        *(Verb.DROP_SOURCE, Verb.DROP_IMAGE, Verb.DELETE_WARM_POOL, Verb.DELETE_BLUE, Verb.DROP_GROUP),
        *(Verb.DROP_VERSIONS, Verb.DROP_ALARMS, Verb.DELETE_GREEN, Verb.DELETE_TEMPLATE_VERSION),
    }
)
_ORDERS = Started | Promoted | HoldOrdered | RollbackOrdered | Resumed


@dataclass(frozen=True)
class Span:
    """A phase, from when to when."""

    phase: Phase
    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long."""
        return self.end - self.start


@dataclass(frozen=True)
class Point:
    """One group at a moment. `share`: percent of the traffic; None where it was not known."""

    at: float
    desired: int
    up: int  # in service
    healthy: int  # in service, and healthy in the load balancer
    share: float | None


@dataclass(frozen=True)
class CheckAnswer:
    """A check changed its answer; `value` is what was seen."""

    at: float
    passed: bool
    value: str
    state: CheckState


@dataclass(frozen=True)
class Line:
    """Something that happened, in a sentence. `who`: of an order; "" of anything else."""

    at: float
    phase: Phase
    kind: EventKind
    words: str
    who: str = ""


@dataclass(frozen=True)
class Return:
    """A rollback: when it was ordered or began by itself, and when the journal first shows green without traffic.

    `clear` is None while green still has traffic, or when nobody recorded it; `had` says whether green ever had any.
    """

    ordered: float
    by: str  # who ordered it; "" when bluegreen decided
    why: str
    had: bool
    clear: float | None

    @property
    def seconds(self) -> float | None:
        """From the order to the last answer of green, as far as the journal shows it; None if unknown, or no answer."""
        return None if self.clear is None or not self.had else max(0.0, self.clear - self.ordered)


@dataclass(frozen=True)
class Story:
    """All that the page of a release shows. `at`: as of when; a release that has settled changes no more."""

    release: Release
    at: float
    end: float  # where its time ends: when it settled, else now
    spans: tuple[Span, ...]
    blue: tuple[Point, ...]
    green: tuple[Point, ...]
    checks: Mapping[str, tuple[CheckAnswer, ...]]
    lines: tuple[Line, ...]
    made: tuple[str, ...]
    removed: tuple[str, ...]
    back: Return | None
    served: float | None  # since when green had traffic, at the latest
    beside: float  # instance-hours for which both groups ran

    @property
    def orders(self) -> tuple[Line, ...]:
        """Who did what, and why."""
        return tuple(line for line in self.lines if line.who)


def story(events: Sequence[Event], now: float) -> Story:
    """The story that these events tell, as of `now`. ValueError without events."""
    steps = list(_folded(events))
    release = steps[-1][1]
    end = max(release.last_at, now) if release.settled_at is None else release.settled_at
    blue, green = (tuple(_points(events, which)) for which in ("blue", "green"))
    served = _served(events)
    return Story(
        release=release,
        at=now,
        end=end,
        spans=tuple(_spans(events, end)),
        blue=blue,
        green=green,
        checks=_checks(events),
        lines=tuple(_line(event, then) for event, then in steps),
        made=tuple(_done(steps, MAKES)),
        removed=tuple(_done(steps, REMOVES)),
        back=_return(events, served),
        served=served,
        beside=_beside(blue, green, end),
    )


def _folded(events: Sequence[Event]) -> Iterator[tuple[Event, Release]]:
    """Each event with the release as it was then."""
    release = fold(events[:1])
    yield events[0], release
    for event in events[1:]:
        release = apply(release, event)
        yield event, release


def _spans(events: Sequence[Event], end: float) -> Iterator[Span]:
    """The phases one after another; `settled` ends the last one, and a resumed release goes on in it."""
    begun = [(Phase.BAKING, events[0].at), *((one.phase, one.at) for one in events if one.phase)]
    for (phase, start), (_, stop) in pairwise([*begun, (Phase.BAKING, end)]):
        yield Span(phase, start, max(start, stop))


def _points(events: Iterable[Event], which: str) -> Iterator[Point]:
    for event in events:
        seen = event.payload.seen if isinstance(event.payload, Observed) else None
        if isinstance(seen, Fleet) and seen.subject == which:
            yield Point(event.at, seen.desired, seen.in_service, seen.serving, seen.share)


def _checks(events: Iterable[Event]) -> Mapping[str, tuple[CheckAnswer, ...]]:
    found: dict[str, list[CheckAnswer]] = {}
    for event in events:
        seen = event.payload.seen if isinstance(event.payload, Observed) else None
        if isinstance(seen, CheckState):
            found.setdefault(seen.name, []).append(CheckAnswer(event.at, seen.passed, seen.value, seen))
    return {name: tuple(answers) for name, answers in found.items()}


def _line(event: Event, then: Release) -> Line:
    who = event.payload.who if isinstance(event.payload, _ORDERS) else ""
    return Line(event.at, then.phase, event.kind, wording.sentence(event, then), who)


def _done(steps: Iterable[tuple[Event, Release]], verbs: frozenset[Verb]) -> Iterator[str]:
    """What such acts did, each once: a repeated act makes nothing new."""
    told = dict.fromkeys(
        wording.sentence(event, then)
        for event, then in steps
        if isinstance(event.payload, Did) and event.payload.verb in verbs
    )
    yield from told


# --- a rollback, and what the traffic did ----------------------------------------------------------------


def _served(events: Iterable[Event]) -> float | None:
    """When green is first known to have traffic; None if never."""
    return next((event.at for event in events if _greens(event)), None)


def _greens(event: Event) -> bool | None:
    """Whether the event shows green with traffic; None when it says nothing about that."""
    match event.payload:
        case Observed(seen=SubjectState(subject="traffic", value=value)):
            return value in ("green", "both")
        case Observed(seen=Fleet(subject="green", share=share)) if share is not None:
            return share > 0
    return None


def _return(events: Sequence[Event], served: float | None) -> Return | None:
    """The last rollback that began; None without one."""
    ordered = [one for one in events if isinstance(one.payload, RollbackOrdered)]
    began = [one for one in events if one.phase is Phase.ROLLING_BACK]
    if not (ordered or began):
        return None
    first = (ordered or began)[-1]
    told = ordered[-1].payload if ordered else None
    by, why = (told.who, told.why) if isinstance(told, RollbackOrdered) else ("", fold(events).message)
    had = served is not None and served <= (began[0].at if began else first.at)
    return Return(first.at, by, why, had, _clear([one for one in events if one.seq > first.seq]))


def _clear(events: Iterable[Event]) -> float | None:
    """When green lost its traffic: once its weight is 0 on every listener, else when that was first seen."""
    shifts = False
    for event in events:
        match event.payload:
            case Act(verb=Verb.SHIFT, share=share):
                shifts = share == 0
            case Did(verb=Verb.SHIFT) if shifts:
                return event.at
        if _greens(event) is False:
            return event.at
    return None


# --- what it cost ----------------------------------------------------------------------------------------


def _beside(blue: Sequence[Point], green: Sequence[Point], end: float) -> float:
    """Instance-hours of the smaller group while both ran: what a single group would not have cost."""
    changes = sorted([(one.at, 0, one.up) for one in blue] + [(one.at, 1, one.up) for one in green])
    up, total = [0, 0], 0.0
    for (at, which, count), (later, _, _) in pairwise([*changes, (end, 0, 0)]):
        up[which] = count
        total += min(up) * max(0.0, later - at)
    return total / HOUR


# --- for programs ----------------------------------------------------------------------------------------


def as_object(of: Story) -> dict[str, Any]:
    """The story for programs: what the page shows, without its sentences about single acts."""
    return {
        "phases": [{"phase": one.phase, "from": one.start, "to": one.end} for one in of.spans],
        "blue": [vars(one) for one in of.blue],
        "green": [vars(one) for one in of.green],
        "checks": {
            name: [{"at": one.at, "passed": one.passed, "value": one.value} for one in answers]
            for name, answers in of.checks.items()
        },
        "orders": [{"at": one.at, "who": one.who, "order": one.kind, "said": one.words} for one in of.orders],
        "made": list(of.made),
        "removed": list(of.removed),
        "left": list(of.release.left_behind),
        "rollback": {**vars(of.back), "seconds": of.back.seconds} if of.back else None,
        "instance_hours": round(of.beside, 3),
    }


def failed_in_production(of: Story) -> bool:
    """Whether it gave green traffic and then did not stay: it was rolled back, or a person had to act."""
    return of.served is not None and of.release.outcome in (Outcome.ROLLED_BACK, Outcome.FAILED)
