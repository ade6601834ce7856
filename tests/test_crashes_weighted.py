"""With weights: a driver dies at every call, and another takes over; nothing is lost, made twice, or left behind."""

from __future__ import annotations

import pytest

from bluegreen.release import Outcome, Phase, Release
from tests.crashes import Crashes, Point, die_everywhere, judge
from tests.test_crashes import CHANGES, FAST, HEALTH, said
from tests.worlds import GOOD, SICK, Ops


def ops(**changes: object) -> Ops:
    """A world with two target groups and two steps, in which nothing takes long."""
    made = Ops(timings=FAST, changes={**CHANGES, **changes}, health=HEALTH, drain=5, weighted=True)
    traffic = made.config.traffic.model_copy(update={"overlap": 4.0, "steps": (0, 50)})
    made.config = made.config.model_copy(update={"traffic": traffic})
    return made


def test_dying_anywhere_on_the_good_path() -> None:
    """Every journal write and every AWS call, before and after its effect: the release goes live all the same."""
    world = ops()
    release = world.start(GOOD)
    crashes = die_everywhere(world, release, Outcome.LIVE, lambda _: None, after=lambda: True)
    assert len(crashes.points) > 100
    assert said(crashes) == ""


@pytest.mark.parametrize("phase", [Phase.CHECKING, Phase.OVERLAPPING, Phase.SWITCHING, Phase.SOAKING])
def test_dying_anywhere_on_the_way_back(phase: Phase) -> None:
    """From the order on, every call of the rollback out of each phase in which weights matter."""
    world = ops()
    release = world.start(GOOD)
    order = world.order_back(phase)
    ordered: list[bool] = []

    def when(seen: Release) -> None:
        order(seen)
        if seen.phase is phase:
            ordered.append(True)

    crashes = die_everywhere(world, release, Outcome.ROLLED_BACK, when, after=lambda: bool(ordered))
    assert len(crashes.points) > 10
    assert said(crashes) == ""


def test_a_rollback_ordered_at_any_moment_leaves_blue_alone() -> None:
    """At every event and every wait up to retiring: before a shift, in the middle of it, after it."""
    world = ops()
    release = world.start(GOOD)
    moments = Crashes()

    def when(seen: Release) -> None:
        late = seen.phase.can_roll_back and seen.phase not in (Phase.BAKING, Phase.LAUNCHING)
        if late and moments.branch(Point(seen.seq, "an order to roll back", heard=True)):
            world.engine().roll_back("web/production", who="slack:U1")

    done = world.drive(release.id, when=when)
    assert done is not None
    expected = Outcome.ROLLED_BACK if moments.copy else Outcome.LIVE
    moments.end(lambda: judge(world, done, expected))
    assert len(moments.points) > 20
    assert said(moments) == ""


def test_dying_anywhere_with_a_sick_version() -> None:
    """It never gets any traffic: green is not healthy in the idle target group."""
    world = ops(checks=[], timeouts={"healthy": 10})
    release = world.start(SICK)
    going_back: list[bool] = []

    def when(seen: Release) -> None:
        if seen.phase is Phase.ROLLING_BACK:
            going_back.append(True)

    crashes = die_everywhere(world, release, Outcome.ROLLED_BACK, when, after=lambda: bool(going_back))
    assert said(crashes) == ""
