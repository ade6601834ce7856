"""A driver dies at every call, and another takes over: nothing is lost, made twice, or left behind.

With both kinds of traffic; where weights are, clients stick to their target group for a few seconds.
"""

from __future__ import annotations

import pytest

from bluegreen.events import Outcome, Phase
from bluegreen.release import Release, fold
from tests.worlds import GOOD, SICK, asleep, fast
from tests.worlds.crashes import Crashes, Point, die_everywhere, verify

BOTH = pytest.mark.parametrize("weighted", [False, True], ids=["shared", "weighted"])


def said(crashes: Crashes) -> str:
    """Everything that went wrong, or nothing."""
    return "\n".join(crashes.results[:20])


def new_here(seen: Release, weighted: bool) -> bool:
    """Whether what comes now is another story with weights: a bake is the same, so it is told once."""
    return not weighted or seen.phase is not Phase.BAKING


@BOTH
def test_dying_anywhere_on_the_good_path(weighted: bool) -> None:
    """Every journal write and every AWS call, before and after its effect: the release goes live all the same."""
    world = fast(weighted=weighted, loose=True)
    release = world.start(GOOD)
    told: list[Release] = [release]
    crashes = die_everywhere(world, release, Outcome.LIVE, told.append, after=lambda: new_here(told[-1], weighted))
    assert len(crashes.points) > (65 if weighted else 85)
    assert said(crashes) == ""


@BOTH
@pytest.mark.parametrize("phase", [p for p in Phase if p.can_roll_back and p is not Phase.HOLDING])
def test_dying_anywhere_on_the_way_back(phase: Phase, weighted: bool) -> None:
    """From the order on, every call of the rollback out of each phase."""
    dying_on_the_way_back(phase, weighted)


def test_dying_anywhere_on_the_way_back_while_blue_retires() -> None:
    """With weights it has left its target group already; in shared ones it is as in the soak."""
    dying_on_the_way_back(Phase.RETIRING, weighted=True)


def dying_on_the_way_back(phase: Phase, weighted: bool) -> None:
    """The order is given when the phase is entered."""
    world = fast(weighted=weighted, loose=True)
    release = world.start(GOOD)
    order = world.order_back(phase)
    ordered: list[bool] = []

    def when(seen: Release) -> None:
        order(seen)
        if seen.phase is phase:
            ordered.append(True)

    crashes = die_everywhere(world, release, Outcome.ROLLED_BACK, when, after=lambda: bool(ordered))
    assert len(crashes.points) > (4 if phase in (Phase.BAKING, Phase.LAUNCHING) else 14)
    assert said(crashes) == ""


@BOTH
def test_dying_anywhere_then_a_rollback_is_ordered(weighted: bool) -> None:
    """The order meets whatever a dead driver left half done; what it made is removed or named all the same."""
    world = fast(weighted=weighted, loose=True)
    release = world.start(GOOD)
    told: list[Release] = [release]

    def ordered_back() -> Outcome:
        if not fold(world.engine().events(release.id)).phase.can_roll_back:  # entered, though nobody was told
            return Outcome.LIVE
        world.engine().roll_back("web/production", who="slack:U1")
        return Outcome.ROLLED_BACK

    def after() -> bool:
        return told[-1].phase.can_roll_back and new_here(told[-1], weighted)

    crashes = die_everywhere(world, release, Outcome.LIVE, told.append, after=after, then=ordered_back)
    assert len(crashes.points) > (50 if weighted else 65)
    assert said(crashes) == ""


@BOTH
def test_a_rollback_ordered_at_any_moment_leaves_blue_alone(weighted: bool) -> None:
    """At every event and every wait up to retiring: before an act, in the middle of it, after it."""
    world = fast(weighted=weighted, loose=True)
    release = world.start(GOOD)
    moments = Crashes()

    def when(seen: Release) -> None:
        new = seen.phase.can_roll_back and new_here(seen, weighted)
        if new and moments.branch(Point(seen.seq, "an order to roll back", heard=True)):
            world.engine().roll_back("web/production", who="slack:U1")

    done = world.drive(release.id, when=when)
    assert done is not None
    expected = Outcome.ROLLED_BACK if moments.copy else Outcome.LIVE
    moments.end(lambda: verify(world, done, expected))
    assert len(moments.points) > 40
    assert said(moments) == ""


@BOTH
def test_dying_anywhere_with_a_sick_version(weighted: bool) -> None:
    """The rollback that nobody ordered; where weights are, green never got any traffic."""
    world = fast(weighted=weighted, loose=True, checks=[], timeouts={"healthy": 12})
    release = world.start(SICK)
    going_back: list[bool] = []

    def when(seen: Release) -> None:
        if seen.phase is Phase.ROLLING_BACK:
            going_back.append(True)

    crashes = die_everywhere(world, release, Outcome.ROLLED_BACK, when, after=lambda: bool(going_back))
    assert len(crashes.points) > 10
    assert said(crashes) == ""


def test_dying_anywhere_in_a_cure() -> None:
    """Nobody is left of blue when it begins; every call of the short way, which is its own story up to the soak."""
    world = fast(loose=True, checks=[])
    for instance in world.aws.members(world.world.group):
        world.machines.kill(instance)
    world.clock.sleep(30)
    world.instances = 0  # nobody serves
    release = world.start("", ami=world.world.image, cure=True)
    assert release.cure
    told: list[Release] = [release]
    short = (Phase.CHECKING, Phase.OVERLAPPING, Phase.SWITCHING)
    crashes = die_everywhere(world, release, Outcome.LIVE, told.append, after=lambda: told[-1].phase in short)
    assert len(crashes.points) > 6
    assert said(crashes) == ""


def test_dying_anywhere_in_a_release_of_size_0_that_wakes() -> None:
    """Somebody scales blue up before green joins: green follows; all else is as in any release."""
    world = asleep(checks=[], retire="empty")
    release = world.start("", ami=world.world.image)
    told: list[Release] = [release]

    def when(seen: Release) -> None:
        told.append(seen)
        if seen.phase is Phase.CHECKING and told[-2].phase is Phase.LAUNCHING:
            world.resized("web-asg", 2)
            world.before = {**(world.before or {}), "DesiredCapacity": 2}

    own = (Phase.CHECKING, Phase.OVERLAPPING)
    crashes = die_everywhere(world, release, Outcome.LIVE, when, after=lambda: told[-1].phase in own)
    assert len(crashes.points) > 4
    assert said(crashes) == ""
