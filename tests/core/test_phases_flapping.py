"""What flaps for hours: decided from all that was seen, recorded at a bounded rate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bluegreen import phases
from bluegreen.driver import Driver, Reading
from bluegreen.errors import Interrupted
from bluegreen.events import Awaited, CheckState, Event, EventKind, Phase
from bluegreen.observation import CheckResult, Observation
from bluegreen.phases import RollBack
from bluegreen.release import BURST, EVERY, Release, apply
from bluegreen.wording import flaps, sentence
from lab.clock import VirtualClock
from tests.worlds import Died, fast, once
from tests.worlds.release import Stage

#: Whether (home passes, unit passes, green's targets are healthy) at one look.
Look = tuple[bool, bool, bool]
HOURS = 3600.0
POLL = 10.0


def stage(at_most: str = "100%") -> Stage:
    """A release in a long hold; both serve and are healthy, no configured check has answered yet."""
    check = {"http": "https://web.example.com/", "within": "20h"}
    checks = [{**check, "name": "home", "at_most_failed": at_most}, {**check, "name": "unit"}]
    made = Stage(hold=True, checks=checks, poll=POLL, promotion={"timeout": "10h"})
    return made.joined().enters(Phase.HOLDING)


@dataclass
class Journal:
    """A journal in memory with one writer; it says how the release stands by its events alone."""

    release: Release
    events: list[Event] = field(default_factory=list)

    def read(self, _id: str, after: int = 0) -> list[Event]:
        """Nobody else writes."""
        return self.events[len(self.events) - (self.release.seq - after) :]

    def append(self, id_: str, seq: int, kind: EventKind, facts: Any, now: float) -> Event:
        """The next event."""
        assert seq == self.release.seq + 1
        self.events.append(Event(id_, seq, now, kind, facts))
        self.release = apply(self.release, self.events[-1])
        return self.events[-1]

    def take_lease(self, _id: str, _holder: str, now: float, _seconds: float) -> Any:
        """It is always free, and long."""
        return SimpleNamespace(expires=now + 100 * HOURS)

    def drop(self, lease: Any) -> None:
        """Given back."""


class Sky:
    """An AWS that shows one look after another; beside it a release of which every change is recorded."""

    def __init__(self, at: Stage, looks: Iterator[Look], dies: int, alike: bool) -> None:
        self.stage, self.looks, self.dies, self.alike = at, looks, dies, alike
        self.over = False
        self.shown: dict[float, Look] = {}
        self.unlike: list[float] = []
        self.decided: phases.Decision | None = None

    def observe(self, known: Release, now: float, _heed: Callable[[], None]) -> Observation:
        """One look; what the driver knew before it is all that was seen until then."""
        self.unlike += [now] if self.alike and known.checks != self.stage.release.checks else []
        if len(self.shown) == self.dies:
            raise Died
        home, unit, healthy = self.shown[now] = next(self.looks)
        self.stage.now = now
        answers = {"home": home, "unit": unit}
        checks = tuple(CheckResult(name, ok, "200" if ok else "503", now) for name, ok in answers.items())
        self.stage.targets(blue="healthy", green="healthy" if healthy else "unhealthy")
        seen = self.stage.sees(checks=checks, at=now).notices().seen
        self.decided = phases.decide(self.stage.release, seen, self.stage.config, now)
        return seen

    def stop(self) -> bool:
        """When all looks were shown, or one was enough."""
        return self.over


@dataclass
class Watch:
    """One driver after another on the same journal."""

    stage: Stage
    clock: VirtualClock = field(default_factory=lambda: VirtualClock(2000.0))

    def __post_init__(self) -> None:
        self.clock.sleep(self.stage.now - self.clock.now())
        self.journal = Journal(self.stage.release)

    def drive(self, looks: Sequence[Look], dies: int = -1, alike: bool = True) -> Sky:
        """A driver sees these looks, and dies at one of them or stops after the last; it may know less than all."""
        sky = Sky(self.stage, iter(looks), dies, alike)

        def tell(release: Release, event: Event | None, awaited: Awaited | None, _deadline: float | None) -> None:
            sky.over = len(sky.shown) == len(looks) and awaited is not None
            if event is not None and event.phase is Phase.ROLLING_BACK:
                sky.over = True

        driver = Driver(
            self.journal.release,
            journal=self.journal,  # type: ignore[arg-type] # it has what this driver asks for
            cloud=sky,  # type: ignore[arg-type] # nothing is performed
            config=self.stage.config,
            clock=self.clock,
            holder="one",
            lease=30.0,
            hearing=Reading(POLL),
            tell=tell,
            stop=sky.stop,
        )
        with pytest.raises((Interrupted, Died)):
            driver.drive()
        assert sky.unlike == []
        return sky

    @property
    def observed(self) -> list[Event]:
        """What was recorded of all looks."""
        return [event for event in self.journal.events if event.kind is EventKind.OBSERVED]


WELL: Look = (True, True, True)
ILL: Look = (False, True, True)  # `home` alone
NEEDS = 3
_answers = st.tuples(st.booleans(), st.booleans(), st.sampled_from([True, True, True, False]))
shown_looks = st.lists(_answers, min_size=40)


@settings(max_examples=30)
@given(shown_looks)
def test_decisions_come_from_all_that_was_seen(looks: list[Look]) -> None:
    """Each look finds the same as if every change had been recorded, and what is decided is decided at that look."""
    watch = Watch(stage())
    sky = watch.drive(looks)
    entered = [event for event in watch.journal.events if event.phase is Phase.ROLLING_BACK]
    wanted = [sky.decided.message] if isinstance(sky.decided, RollBack) else []
    assert [event.facts["message"] for event in entered] == wanted
    assert not entered or entered[0].at == sky.stage.now
    assert watch.journal.release.checks == watch.stage.release.checks  # it is all written down at the end


@pytest.mark.parametrize(
    ("pattern", "at_most", "hours", "subjects"),
    [
        ([WELL], "20%", 1, 0),
        ([ILL, WELL], "100%", 4, 1),
        ([ILL, *[WELL] * 5], "20%", 1, 1),
        ([(True, True, False), WELL, WELL], "20%", 1, 3),  # targets, and of both groups the share
    ],
)
def test_hours_of_flapping_leave_few_hundred_events(
    pattern: list[Look], at_most: str, hours: int, subjects: int
) -> None:
    """And the third failure in a row ends it at that look, whatever was not recorded before."""
    watch = Watch(stage(at_most))
    many = [WELL] * 3 + list(islice(cycle(pattern), int(hours * HOURS / POLL)))
    sky = watch.drive([*many, WELL, ILL, ILL, ILL])
    assert len(watch.observed) <= 10 + subjects * (BURST + hours * HOURS / EVERY)
    assert len(watch.observed) >= subjects * (BURST + hours * HOURS / EVERY) - 10
    entered = watch.journal.events[-2]
    assert entered.phase is Phase.ROLLING_BACK
    assert entered.at == sky.stage.now
    assert entered.facts["message"].startswith("check home no longer holds: 503")


@settings(max_examples=12)
@given(shown_looks, st.booleans(), st.integers(0, 40), st.lists(st.booleans(), min_size=1, max_size=8))
def test_a_driver_that_dies_while_a_check_flaps_leaves_no_false_picture(
    looks: list[Look], held: bool, dies: int, after: list[bool]
) -> None:
    """The next one has all that decides; it holds nothing and loses nothing but by what was truly seen in a row."""
    watch, flapping = Watch(stage()), [WELL] * 3 * held + [ILL, WELL] * 25
    first = watch.drive([*flapping, *looks], dies=len(flapping) + dies)
    died, crash = watch.journal.release, watch.clock.now()
    if died.phase is Phase.ROLLING_BACK:
        return
    for name, state in watch.stage.release.checks.items():
        assert _standing(died.checks[name]) == _standing(state)
    watch.clock.sleep(45)
    second = watch.drive([(home, True, True) for home in after], alike=False)
    shown = first.shown | second.shown
    times, home = list(shown), [look[0] for look in shown.values()]
    state = watch.journal.release.checks["home"]
    if state.held_since is not None and state.held_since > crash:
        last = times.index(state.held_since) + 1
        assert home[last - NEEDS : last] == [True] * NEEDS
    if state.lost:
        assert home[-NEEDS:] == [False] * NEEDS
    if died.checks["home"].held and after[:NEEDS] == [False] * NEEDS:
        assert state.lost


def _standing(state: CheckState) -> tuple[Any, ...]:
    return (state.held_since, state.lost, state.certain)


def test_what_flaps_says_so_until_it_is_steady() -> None:
    """In the thread, and for the card; the last word is that it holds."""
    watch = Watch(stage())
    watch.drive([WELL] * 3 + [ILL, WELL] * 30)
    told = [event for event in watch.observed if event.facts.get("changes") == 12]
    assert len(told) == 3
    said = "check home fails: 503 (failed 30 of 59 looks); it flaps: changed 12 times in 2m"
    assert sentence(told[-1], watch.journal.release) == said
    assert flaps(watch.journal.release, "home").startswith("changed ")  # it stopped before the next was due
    assert flaps(watch.journal.release, "unit") == ""
    watch.drive([WELL] * 40, alike=False)
    assert flaps(watch.journal.release, "home") == ""
    assert sentence(watch.observed[-1], watch.journal.release) == "check home holds: 200 (failed 29 of 60 looks)"


def test_a_group_that_has_come_to_rest_flaps_no_longer() -> None:
    """It has no run of answers: once it is as it was for two minutes it is told once more."""
    watch = Watch(stage())
    watch.drive([WELL, (True, True, False)] * 30 + [WELL] * 40)
    green = [event for event in watch.observed if event.facts["subject"] == "green"]
    assert ["changes" in event.facts for event in green[-3:]] == [True, True, False]
    assert green[-1].facts.items() <= green[-2].facts.items()
    assert green[-1].at - green[-2].at >= EVERY
    assert flaps(watch.journal.release, "green") == ""


def test_each_phase_begins_with_its_own_share() -> None:
    """What flapped in the hold is told at once after it."""
    watch = Watch(stage())
    watch.drive([WELL] * 3 + [ILL, WELL] * 30)
    assert watch.journal.release.paces["home"].exhausted
    assert watch.stage.enters(Phase.SWITCHING).release.paces == {}


def test_journals_of_old_stay_readable() -> None:
    """A build before recorded each change: the fold is the same, and takes no harm of the rate."""
    s = stage()
    for n in range(100):
        s.passes(POLL).sees(checks=(CheckResult("home", n % 2 == 0, "200", s.now),), at=s.now).notices()
    assert s.release.checks["home"].streak == 1
    assert s.release.paces["home"].left == 0
    assert s.told(EventKind.TAKEN_UP, holder="two").release.checks["home"].streak == 0
    assert s.release.checks["targets"].streak == NEEDS


def test_a_check_that_flaps_in_a_hold_of_a_real_world() -> None:
    """Through the journal and the fake AWS: few events, more changes; and an order is heard as ever."""
    home = {"name": "home", "http": "https://web/flaps", "every": "10s", "needs": 2, "within": "2h"}
    o = fast(checks=[home], poll=10)
    release = o.start(hold=True)
    later = o.clock.now() + 400
    order = once(lambda _: o.clock.now() > later, lambda: o.engine().roll_back("web/production", who="slack:U1"))
    done = o.drive(release.id, when=order)
    assert done is not None
    answers = [event for event in o.told if event.facts.get("subject") == "home"]
    assert BURST < len(answers) < BURST + 7
    assert sum(event.facts.get("changes", 1) for event in answers) > len(answers)
    assert o.wrong(done) == []
