"""What hangs on a group stays on whoever serves, and works; its sizes are what its owner and its policies want."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest

from bluegreen.events import Outcome, Phase, Verb
from bluegreen.release import Release
from tests.worlds.attachments import counted, differences, hang, hanging, schedule, strip
from tests.worlds.crashes import die_everywhere, within
from tests.worlds.virtual import CHANGES, FAST, GOOD, HEALTH, SICK, Ops, once


def service(*, weighted: bool = False, **sizes: int) -> Ops:
    """Two instances of a group that may have one to eight."""
    given = {"MinSize": 1, "MaxSize": 8, **sizes}
    o = Ops(timings=FAST, changes=CHANGES, health=HEALTH, drain=5, weighted=weighted, group=given)
    steps = {"steps": (0, 50)} if weighted else {}
    o.config = o.config.model_copy(update={"traffic": o.config.traffic.model_copy(update={"overlap": 4.0, **steps})})
    return o


def given_names(o: Ops) -> set[str]:
    """Names of the alarms that AWS did not make itself."""
    shown = o.world.client("cloudwatch").describe_alarms()["MetricAlarms"]
    return {alarm["AlarmName"] for alarm in shown if not alarm["AlarmName"].startswith("TargetTracking-")}


def driven(o: Ops, commit: str) -> Release:
    """A release, to its end."""
    done = o.drive(o.start(commit).id)
    assert done is not None
    assert o.harm == []
    return done


@pytest.mark.parametrize("weighted", [False, True])
def test_everything_stays_attached(weighted: bool) -> None:
    """Released, rolled back, released again: nothing differs, nothing is left, and alarms keep their names and tags."""
    o = service(weighted=weighted)
    hang(o.world, "web-asg")
    before, count, alarms = hanging(o.world, "web-asg"), counted(o.world), given_names(o)
    group = "web-asg"
    for commit, outcome in ((GOOD, Outcome.LIVE), (SICK, Outcome.ROLLED_BACK), (f"{GOOD}2", Outcome.LIVE)):
        done = driven(o, commit)
        assert done.outcome is outcome, done.message
        group = done.green_group if outcome is Outcome.LIVE else group
        assert differences(before, hanging(o.world, group)) == []
        assert (counted(o.world), given_names(o)) == (count, alarms)


@pytest.mark.parametrize("phase", [Phase.CHECKING, Phase.OVERLAPPING, Phase.SOAKING])
def test_what_its_owner_takes_off_blue_goes_from_green_too(phase: Phase) -> None:
    """Whenever they do: before green is given what waits for its target group, while it is, or after."""
    o = service()
    hang(o.world, "web-asg")
    begun = o.start(GOOD)
    done = o.drive(begun.id, when=once(lambda seen: seen.phase is phase, lambda: strip(o.world, "web-asg")))
    assert done is not None
    assert done.outcome is Outcome.LIVE
    assert list(hanging(o.world, done.green_group)) == ["warm pool"]


#: The acts that carry over what hangs on a group, or take it off again.
CARRYING = {
    *(Verb.ATTACH_GREEN, Verb.FOLLOW_BLUE, Verb.HAND_ALARMS_OVER, Verb.CATCH_UP, Verb.MAKE_WARM_POOL, Verb.DROP_ALARMS),
    *(Verb.RESUME_GREEN, Verb.RESUME_BLUE),  # after which there is something to catch up
}


@pytest.mark.parametrize(("outcome", "weighted"), [(Outcome.LIVE, True), (Outcome.ROLLED_BACK, False)])
def test_dying_at_every_call_that_carries_something_over(outcome: Outcome, weighted: bool) -> None:
    """Another driver takes over: nothing is missing, nothing is there twice, and what was due is caught up."""
    o = service(weighted=weighted)
    hang(o.world, "web-asg", ("per target", "step", "schedule", "metrics", "warm pool"))
    schedule(o.world, "web-asg", o.clock.now() + 38, SIZES)
    before, count = hanging(o.world, "web-asg"), counted(o.world)
    o.before = {**(o.before or {}), **SIZES}  # as they are to be in the end
    release = o.start(GOOD if outcome is Outcome.LIVE else SICK)
    told = [release]

    def also(done: Release) -> list[str]:
        group = done.green_group if outcome is Outcome.LIVE else done.blue_group
        shown = o.group(group) or {}
        sizes = [f"{which} is {shown.get(which)}" for which, size in SIZES.items() if shown.get(which) != size]
        gone = [one for one in differences(before, hanging(o.world, group)) if not one.startswith("scheduled due")]
        now = counted(o.world) | {"schedules": count["schedules"]}
        return [*sizes, *gone, *([] if now == count else [f"{now}, not {count}"])]

    crashes = die_everywhere(o, release, outcome, told.append, after=lambda: within(told, CARRYING), also=also)
    assert len(crashes.points) > 8
    assert "\n".join(crashes.results[:20]) == ""


def promoted(o: Ops, commit: str) -> Release:
    """A release, to its end: it holds, and somebody promotes it at once."""
    o.config = o.config.model_copy(update={"promotion": o.config.promotion.model_copy(update={"by": "person"})})
    release = o.start(commit)
    promotes = once(lambda seen: seen.promotable, lambda: o.engine().promote("web/production", who="slack:U1"))
    done = o.drive(release.id, when=promotes)
    done = o.drive(release.id) if done and not done.outcome else done
    assert done is not None
    assert o.harm == []
    return done


@cache
def entered(weighted: bool, commit: str) -> Mapping[Phase, float]:
    """When such a release enters its phases; each like it does so at the same times."""
    return promoted(service(weighted=weighted), commit).entered


@pytest.mark.parametrize(("number", "phase"), list(enumerate(Phase)))
def test_a_scheduled_action_that_is_due_during_a_release_takes_effect(number: int, phase: Phase) -> None:
    """On green when it is live, on blue after a rollback; AWS runs it itself before it is suspended."""
    commit, weighted = SICK if phase is Phase.ROLLING_BACK else GOOD, bool(number % 2)
    o = service(weighted=weighted)
    schedule(o.world, "web-asg", entered(weighted, commit).get(phase, o.clock.now() + 1), SIZES)
    done = promoted(o, commit)
    o.clock.sleep(30)
    group = o.group(done.blue_group if phase is Phase.ROLLING_BACK else done.green_group)
    assert group is not None
    assert (group["MinSize"], group["MaxSize"], group["DesiredCapacity"]) == (3, 12, 3), done.message


SIZES = {"MinSize": 3, "MaxSize": 12, "DesiredCapacity": 3}


@pytest.mark.parametrize("weighted", [False, True])
def test_load_that_doubles_in_the_soak_and_again_after_live(weighted: bool) -> None:
    """Green grows by its own target tracking policy before it is live, and as the group that serves; nobody notices."""
    o = service(weighted=weighted, MaxSize=20)
    o.config = o.config.model_copy(update={"soak": 600.0, "poll": 10.0, "checks": ()})
    hang(o.world, "web-asg", ["per target"])  # 1,000 requests a minute
    visitors = o.aws.traffic.simulate(o.world.listener, rate=2 * 800 / 60, every=15.0)
    o.clock.sleep(300)
    sizes: dict[Phase, int] = {}

    def when(seen: Release) -> None:
        doubles(seen)
        sizes[seen.phase] = (o.group(seen.green_group) or {}).get("DesiredCapacity", 0)

    doubles = once(lambda seen: seen.phase is Phase.SOAKING, lambda: setattr(visitors, "rate", 2 * visitors.rate))
    done = o.drive(o.start(GOOD).id, when=when)
    assert done is not None
    assert (done.outcome, o.harm) == (Outcome.LIVE, []), done.message
    assert (sizes[Phase.SWITCHING], sizes[Phase.SOAKING] >= 4) == (2, True)
    visitors.rate *= 2
    o.clock.sleep(600)
    green = o.group(done.green_group)
    assert green is not None
    assert green["DesiredCapacity"] >= 7
    assert sum(visitors.requests.values()) > 100_000
    assert sum(visitors.failures.values()) == 0


@pytest.mark.parametrize("group", ["blue", "green"])
def test_other_settings_of_the_owner_are_followed(group: str) -> None:
    """Eight kinds, changed on blue after green was made; on green they stay as they are set there."""
    o = service()
    release = o.start(GOOD)
    name = release.blue_group if group == "blue" else release.green_group
    scaling = o.world.client("autoscaling")

    def change() -> None:
        scaling.update_auto_scaling_group(AutoScalingGroupName=name, **SETTINGS)
        scaling.create_or_update_tags(Tags=[{**TAG, "ResourceId": name}])
        scaling.suspend_processes(AutoScalingGroupName=name, ScalingProcesses=["ReplaceUnhealthy"])
        scaling.put_lifecycle_hook(AutoScalingGroupName=name, **HOOK)

    done = o.drive(release.id, when=once(lambda seen: seen.phase is Phase.SOAKING, change))
    assert done is not None
    assert done.outcome is Outcome.LIVE, done.message
    green = o.group(done.green_group)
    assert green is not None
    assert {name: green[name] for name in SETTINGS} == SETTINGS
    assert [process["ProcessName"] for process in green["SuspendedProcesses"]] == ["ReplaceUnhealthy"]
    assert "pager" in [tag["Key"] for tag in green["Tags"]]
    hooks = scaling.describe_lifecycle_hooks(AutoScalingGroupName=done.green_group)["LifecycleHooks"]
    assert [hook["LifecycleHookName"] for hook in hooks] == ["bye"]


SETTINGS: dict[str, Any] = {
    "HealthCheckGracePeriod": 77,
    "DefaultCooldown": 88,
    "TerminationPolicies": ["OldestInstance"],
    "MaxInstanceLifetime": 864_000,
}
TAG = {"ResourceType": "auto-scaling-group", "Key": "pager", "Value": "ann", "PropagateAtLaunch": False}
HOOK: dict[str, Any] = {
    "LifecycleHookName": "bye",
    "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING",
    "HeartbeatTimeout": 30,
    "DefaultResult": "CONTINUE",
}
