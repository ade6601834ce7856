"""Whole releases with hooks: when they run, how often, and what their failure leaves."""

from __future__ import annotations

import pytest

from bluegreen.events import Event, EventKind, Outcome, Phase, Reason, Verb
from bluegreen.release import Release
from tests.worlds import GOOD, Ops, fast
from tests.worlds.crashes import die_everywhere

HOOKS = {"before_switch": {"run": "./migrate up", "timeout": "1m"}, "after_live": {"run": "./migrate contract"}}
UP, CONTRACT = "./migrate up", "./migrate contract"


def runs(world: Ops, text: str) -> list[str]:
    """Ids of the instances that ran such a script, in order."""
    return [instance for instance, script in world.machines.scripts if f"{text}\n" in script]


def moment(events: list[Event], verb: Verb) -> int:
    """The number of the event that says that it was done."""
    return next(event.seq for event in events if event.kind is EventKind.DID and event.verb is verb)


@pytest.mark.parametrize("weighted", [False, True], ids=["shared", "weighted"])
def test_each_runs_once_on_one_instance_at_its_time(weighted: bool) -> None:
    """The first before green is in a target group, the last when blue is gone: its old code needs the old schema."""
    world = fast(weighted=weighted, hooks=HOOKS)
    release = world.start(GOOD)
    done = world.drive(release.id)
    assert done is not None
    assert done.outcome is Outcome.LIVE
    assert [len(runs(world, UP)), len(runs(world, CONTRACT))] == [1, 1]
    events = list(world.engine().events(release.id))
    assert moment(events, Verb.RUN_BEFORE_SWITCH) < moment(events, Verb.JOIN_GREEN)
    assert moment(events, Verb.DELETE_BLUE) < moment(events, Verb.RUN_AFTER_LIVE)
    assert world.harm == []
    assert [event for event in events if event.kind is EventKind.STUMBLED] == []


def test_a_failed_migration_goes_back_and_may_be_tried_again() -> None:
    """Blue never stopped serving; the commit is not to blame for good."""
    world = fast(hooks=HOOKS)
    world.machines.fails(UP, "no such table", times=1)
    first = world.drive(world.start(GOOD).id)
    assert first is not None
    assert (first.outcome, first.reason) == (Outcome.ROLLED_BACK, Reason.HOOK_FAILED)
    assert first.message.endswith("failed: no such table")
    assert Verb.JOIN_GREEN not in first.began
    assert world.world.leftovers() == [f"image {first.image}"]
    second = world.drive(world.start(GOOD).id)
    assert second is not None
    assert second.outcome is Outcome.LIVE


def test_a_rollback_ordered_meanwhile_lets_the_migration_end() -> None:
    """Its instance is not ended under it."""
    world = fast(hooks=HOOKS)
    world.machines.slow(UP, 30)
    release = world.start(GOOD)
    ordered: list[float] = []

    def when(seen: Release) -> None:
        if Verb.RUN_BEFORE_SWITCH in seen.did and not ordered:
            ordered.append(world.clock.now())
            world.engine().roll_back("web/production", who="slack:U1")

    done = world.drive(release.id, when=when)
    assert done is not None
    assert done.outcome is Outcome.ROLLED_BACK
    assert done.began[Verb.DELETE_GREEN].at - ordered[0] >= 30
    assert done.observed["hook before_switch"].value == "succeeded"


def test_dying_around_a_hook_never_runs_it_twice() -> None:
    """At every call from when green is in service until it is judged, before and after its effect."""
    world = fast(loose=True, hooks={"before_switch": HOOKS["before_switch"]})
    release = world.start(GOOD)
    told: list[Release] = [release]

    def near() -> bool:
        return told[-1].phase is Phase.LAUNCHING and Verb.ATTACH_GREEN in told[-1].did

    def ran(done: Release) -> list[str]:
        return [] if len(runs(world, UP)) == 1 else [f"the hook ran on {runs(world, UP)}"]

    crashes = die_everywhere(world, release, Outcome.LIVE, told.append, after=near, also=ran)
    assert len(crashes.points) > 4
    assert "\n".join(crashes.results[:20]) == ""
