"""A standing pair: a second group beside the one that serves, as Terraform would make it, idle."""

from __future__ import annotations

from typing import Any

from bluegreen.aws import copy
from lab.world import World
from tests.worlds.virtual import Ops, fast

#: The one that serves at first, and the other.
PAIR = ("web-asg", "web-b")


def idle_group(world: World, **changes: Any) -> None:
    """The other group: as the one that serves, but at size 0 and in no target group."""
    blue = world.describe()
    spec = copy.on_version(blue, blue["LaunchTemplate"]["Version"])
    sizes = {"MinSize": 0, "MaxSize": 0, "DesiredCapacity": 0}
    tags = [{**tag, "ResourceId": PAIR[1]} for tag in blue.get("Tags", [])]
    given = {"AutoScalingGroupName": PAIR[1], **copy.settings(blue), **spec, **sizes, "Tags": tags, **changes}
    world.client("autoscaling").create_auto_scaling_group(**given)


def pair_up(o: Ops, **changes: Any) -> Ops:
    """A service that has a pair from now on: web-asg serves, web-b is idle, and no schedule of its own starts it."""
    idle_group(o.world, **changes)
    o.world.client("autoscaling").suspend_processes(AutoScalingGroupName=PAIR[1], ScalingProcesses=["ScheduledActions"])
    o.config = o.config.model_copy(update={"group": None, "groups": PAIR, "retire": "empty"})
    return o


def paired(*, weighted: bool = False, changes: dict[str, Any] | None = None, **more: Any) -> Ops:
    """A fast world with a pair."""
    return pair_up(fast(weighted=weighted, loose=True, **more), **(changes or {}))


def state(o: Ops, name: str) -> dict[str, Any]:
    """What a release may change of a group, and gives back."""
    shown = o.group(name)
    assert shown is not None
    return {
        "sizes": (shown["MinSize"], shown["MaxSize"], shown["DesiredCapacity"], len(shown["Instances"])),
        "target groups": shown["TargetGroupARNs"],
        "template": (shown["LaunchTemplate"]["LaunchTemplateId"], shown["LaunchTemplate"]["Version"]),
        "suspended": sorted(one["ProcessName"] for one in shown["SuspendedProcesses"]),
        "tags": {one["Key"]: one["Value"] for one in shown["Tags"]},
    }


def groups_there(o: Ops) -> list[str]:
    """Names of all groups."""
    shown = o.world.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    return sorted(group["AutoScalingGroupName"] for group in shown)
