"""Real processes, really killed: `bluegreen` dies by SIGKILL at some call, and another one takes over.

Much of the time is spent waiting for the dead driver's lease to lapse, short as it is here, so many worlds wait side by
side.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.worlds.attachments import differences, hang, hanging
from tests.worlds.processes import When, place

AT_ONCE = 6


def killed_release(folder: Path, call: int, when: When) -> list[str]:
    """`release` dies at that call; `resume` brings it live."""
    with place(folder) as p:
        if not p.kill_at(call, when, "release", "--commit", "c0ffee01"):
            return [f"call {call}: the release ended before it"]
        again = ("resume",) if p.kinds("started") else ("release", "--commit", "c0ffee01")
        result = p.run(*again)
        ended = [] if (result["code"], result["decision"]) == (0, "live") else [str(result)]
        return [f"call {call} {when}: {text}" for text in ended + p.wrong(live=True)]


def killed_rollback(folder: Path, call: int, when: When) -> list[str]:
    """`rollback` dies at that call; `resume`, or the order again if it was not written, brings blue back alone."""
    with place(folder) as p:
        held = p.run("release", "--commit", "c0ffee01", "--until", "held")
        assert held["decision"] == "held", held
        if not p.kill_at(call, when, "rollback"):
            return [f"call {call}: the rollback ended before it"]
        result = p.run("rollback")
        if result["code"] == 4:
            result = p.run("resume")
        ended = [] if result["decision"] == "rolled_back" else [str(result)]
        return [f"call {call} {when}: {text}" for text in ended + p.wrong(live=False)]


@pytest.mark.slow
def test_killed_at_six_points(tmp_path: Path) -> None:
    """Four in a release, two in a rollback; before and after the call's effect. All points are in test_crashes."""
    moments: tuple[When, When] = ("before", "after")
    cases = [(killed_release, 20 + 50 * n, moments[n % 2]) for n in range(4)]
    cases += [(killed_rollback, 4 + 26 * n, moments[n % 2]) for n in range(2)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ends = [pool.submit(case, tmp_path / f"{n}", call, when) for n, (case, call, when) in enumerate(cases)]
    wrong = [text for end in ends for text in end.result()]
    assert wrong == []


#: What hangs on the group, and the calls that carry it over, in their order: before green gets traffic; when blue
#: retires, whose owner has changed it; and when it is gone.
HANGS = ("metrics", "notifications", "step", "schedule", "warm pool")
CALLS = (
    "autoscaling:EnableMetricsCollection",
    "autoscaling:PutNotificationConfiguration",
    "autoscaling:PutScalingPolicy",
    "autoscaling:PutScheduledUpdateGroupAction",
    "cloudwatch:PutMetricAlarm",
    "autoscaling:CreateOrUpdateTags",
    "autoscaling:PutLifecycleHook",
    "cloudwatch:DeleteAlarms",
    "autoscaling:PutWarmPool",
)
OWNERS = {"ResourceType": "auto-scaling-group", "Key": "pager", "Value": "ann", "PropagateAtLaunch": False}
HOOK = {"LifecycleHookName": "boot", "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING"}


def killed_release_of_all(folder: Path) -> list[str]:
    """One driver after the other dies at such a call, the last brings it live; the owner changes blue meanwhile."""
    with place(folder) as p:
        hang(p.world, p.world.group, HANGS)
        scaling = p.world.client("autoscaling")
        order = ["release", "--commit", "c0ffee01"]
        for number, call in enumerate(CALLS):
            if call == "autoscaling:CreateOrUpdateTags":
                scaling.create_or_update_tags(Tags=[{**OWNERS, "ResourceId": p.world.group}])
                scaling.put_lifecycle_hook(AutoScalingGroupName=p.world.group, **HOOK)
                before = hanging(p.world, p.world.group)
            if not p.kill_at(call, ("before", "after")[number % 2], *order):
                return [f"it ended before {call}"]
            order = ["resume"]
        result = p.run("resume")
        wrong = [] if (result["code"], result["decision"]) == (0, "live") else [str(result)]
        green = scaling.describe_auto_scaling_groups()["AutoScalingGroups"][0]
        wrong += [] if "pager" in [tag["Key"] for tag in green["Tags"]] else ["the owner's tag is missing"]
        return wrong + p.wrong(live=True) + differences(before, hanging(p.world, green["AutoScalingGroupName"]))


def killed_rollback_of_all(folder: Path) -> list[str]:
    """`rollback` dies when it removes the copies of alarms; blue has what it had, and nothing is left."""
    with place(folder) as p:
        hang(p.world, p.world.group, HANGS)
        before = hanging(p.world, p.world.group)
        held = p.run("release", "--commit", "c0ffee01", "--until", "held")
        assert held["decision"] == "held", held
        if not p.kill_at("cloudwatch:DeleteAlarms", "before", "rollback"):
            return ["it ended before DeleteAlarms"]
        result = p.run("resume")
        wrong = [] if result["decision"] == "rolled_back" else [str(result)]
        alarms = p.world.client("cloudwatch").describe_alarms()["MetricAlarms"]
        wrong += [f"alarm {one['AlarmName']}" for one in alarms if one["AlarmName"] != "web-asg-busy"]
        return wrong + p.wrong(live=False) + differences(before, hanging(p.world, p.world.group))


@pytest.mark.slow(seconds=90)
def test_killed_at_ten_calls_that_carry_over_what_hangs_on_a_group(tmp_path: Path) -> None:
    """Nine in one release, which costs a tenth of nine; one on the way back."""
    with ThreadPoolExecutor(2) as pool:
        release = pool.submit(killed_release_of_all, tmp_path / "release")
        rollback = pool.submit(killed_rollback_of_all, tmp_path / "rollback")
    assert release.result() + rollback.result() == []
