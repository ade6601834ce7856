"""What stands beside a release in its account, and is none of its business: afterwards it is as it was (S13)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lab.world import World

Shown = Mapping[str, Any]

#: What a group shows that nobody but its owner may change.
KEPT = (
    "MinSize",
    "MaxSize",
    "DesiredCapacity",
    "LaunchTemplate",
    "TargetGroupARNs",
    "SuspendedProcesses",
    "Tags",
)


class Strangers:
    """Other people's groups, images, commands and template versions, by the names of `KINDS`."""

    def __init__(self, world: World, kinds: Iterable[str] = ()) -> None:
        """Let them in; `world` is whole and no releases yet."""
        self.world = world
        self.groups: dict[str, Shown] = {}
        self.images: set[str] = set()
        self.versions: set[str] = set()
        self.hidden: dict[str, float] = {}  # version -> until when AWS's answers do not show who moved to it
        self.default = ""  # the template's, when somebody set it
        self.default_hidden = 0.0  # until when AWS's answers do not show that
        for kind in kinds:
            KINDS[kind](self)

    # --- how they come ---

    def group(self, name: str, size: int = 1, version: str = "1", **more: Any) -> None:
        """A group of somebody's, on the service's template; one that is there already stays as it is."""
        if name in self.groups:
            return
        spec = {"LaunchTemplateId": self.world.template, "Version": version}
        self.world.client("autoscaling").create_auto_scaling_group(
            AutoScalingGroupName=name,
            MinSize=0,
            MaxSize=3,
            DesiredCapacity=size,
            VPCZoneIdentifier=",".join(self.world.subnets),
            LaunchTemplate=spec,
            **more,
        )
        self.world.fake.clock.sleep(30)
        self.groups[name] = self._shown(name)

    def image(self, name: str) -> None:
        """An image of somebody's."""
        made = self.world.client("ec2").register_image(Name=name, RootDeviceName="/dev/xvda")
        self.images.add(str(made["ImageId"]))

    def makes_a_version(self, *, default: bool) -> None:
        """Somebody changes the service's template, and may make that the default."""
        ec2 = self.world.client("ec2")
        made = ec2.create_launch_template_version(
            LaunchTemplateId=self.world.template,
            SourceVersion="1",
            VersionDescription="bigger",
            LaunchTemplateData={"InstanceType": "t3.large"},
        )
        number = str(made["LaunchTemplateVersion"]["VersionNumber"])
        self.versions.add(number)
        if default:
            ec2.modify_launch_template(LaunchTemplateId=self.world.template, DefaultVersion=number)
            self.default = number
            self.default_hidden = self.world.fake.clock.now() + self.world.fake.faults.staleness

    def moves_to(self, version: int) -> None:
        """A worker is put on the version that a release has made."""
        name = "worker"
        if name not in self.groups:
            self.group(name, size=0)
        self.world.client("autoscaling").update_auto_scaling_group(
            AutoScalingGroupName=name,
            LaunchTemplate={"LaunchTemplateId": self.world.template, "Version": str(version)},
        )
        left = self.groups[name]  # not a look: reads may be stale
        self.groups[name] = {**left, "LaunchTemplate": {**left["LaunchTemplate"], "Version": str(version)}}
        self.versions.add(str(version))
        fake = self.world.fake
        self.hidden[str(version)] = fake.clock.now() + fake.faults.staleness

    def scales(self) -> None:
        """The worker has more to do."""
        if left := self.groups.get("worker"):
            self.world.client("autoscaling").set_desired_capacity(AutoScalingGroupName="worker", DesiredCapacity=2)
            self.groups["worker"] = {**left, "DesiredCapacity": 2}

    def sends_commands(self, count: int) -> None:
        """Patching and monitoring run on the builder, as far as it runs."""
        state = self.world.fake.instances().get(self.world.builder)
        for _ in range(count if state == "running" else 0):
            self.world.client("ssm").send_command(
                InstanceIds=[self.world.builder],
                DocumentName="AWS-RunShellScript",
                Comment="monitoring",
                Parameters={"commands": ["true"]},
            )

    # --- how they are ---

    def own(self, left: str) -> bool:
        """Whether what seems left by a release, such as `template version 3`, is one of theirs."""
        if left.startswith("template version "):
            return left.split()[2] in self.versions
        instances = {one for group in self.groups.values() for one in _ids(group)}
        return left.split()[1] in {*self.groups, *self.images, *instances}

    def wrong(self) -> list[str]:
        """Whatever is not as its owner left it."""
        found = [f"{name}: {what}" for name, left in self.groups.items() for what in self._changed(name, left)]
        images = {one["ImageId"] for one in self.world.client("ec2").describe_images(Owners=["self"])["Images"]}
        found += [f"image {one} of someone else is gone" for one in sorted(self.images - images)]
        return found + self._template()

    def _changed(self, name: str, left: Shown) -> list[str]:
        now = self._shown(name)
        if not now:
            return ["is gone"]
        changed = [f"{key} is {now.get(key)}, was {left.get(key)}" for key in KEPT if now.get(key) != left.get(key)]
        ended = _ids(left) - _ids(now)
        return changed + ([f"{', '.join(sorted(ended))} ended"] if ended else []) + self._launched(now)

    def _launched(self, group: Shown) -> list[str]:
        """Unless its people chose a version of the release, it launches the image that there was before."""
        if group["LaunchTemplate"]["Version"] not in ("1", "$Default") or not group["Instances"]:
            return []
        shown = self.world.client("ec2").describe_instances(InstanceIds=sorted(_ids(group)))["Reservations"]
        run = {one["ImageId"] for row in shown for one in row["Instances"]} - {self.world.image}
        return [f"launched {', '.join(sorted(run))}"] if run else []

    def _template(self) -> list[str]:
        if not self.versions:
            return []
        pages = self.world.client("ec2").get_paginator("describe_launch_template_versions")
        shown = [
            v for page in pages.paginate(LaunchTemplateId=self.world.template) for v in page["LaunchTemplateVersions"]
        ]
        numbers = {str(one["VersionNumber"]) for one in shown}
        found = [f"template version {one} is gone" for one in sorted(self.versions - numbers) if not self._unseen(one)]
        default = next(str(one["VersionNumber"]) for one in shown if one["DefaultVersion"])
        wrong = self.default not in ("", default) and not self._unseen_default()
        return found + ([f"the default is {default}, not {self.default}"] if wrong else [])

    def _unseen_default(self) -> bool:
        """Whether the last who set it could not know yet of whom it was."""
        calls = self.world.fake.calls
        last = max((c.when for c in calls if c.name == "ec2:ModifyLaunchTemplate" and not c.error), default=math.inf)
        return last < self.default_hidden

    def _unseen(self, version: str) -> bool:
        """Whether it was deleted while AWS's answers did not show yet who had moved to it: then nobody could know."""
        calls = self.world.fake.calls
        deleted = [c.when for c in calls if c.name == "ec2:DeleteLaunchTemplateVersions" and not c.error]
        return any(when < self.hidden.get(version, 0.0) for when in deleted)

    def _shown(self, name: str) -> Shown:
        asked = {"AutoScalingGroupNames": [name]}
        groups = self.world.client("autoscaling").describe_auto_scaling_groups(**asked)["AutoScalingGroups"]
        return dict(groups[0]) if groups else {}


def _ids(group: Shown) -> set[str]:
    return {one["InstanceId"] for one in group["Instances"]}


def _tags(service: str, number: int) -> list[dict[str, Any]]:
    given = {"bluegreen:service": service, "bluegreen:release": f"{service}#{number}"}
    return [{"Key": key, "Value": value, "PropagateAtLaunch": True} for key, value in given.items()]


#: Those who may be there before a release begins.
KINDS: Mapping[str, Callable[[Strangers], None]] = {
    "a worker on a numbered version": lambda them: them.group("worker"),
    "a worker that follows $Default": lambda them: them.group("worker", version="$Default"),
    "a worker at size 0": lambda them: them.group("nightly", size=0),
    "another service's group": lambda them: them.group("web-eu-production-v1", Tags=_tags("web-eu/production", 1)),
    "a group that has the next name": lambda them: them.group("web-production-v1"),
    "an image that has the next name": lambda them: them.image("web-production-v1-c0ffee01"),
    "a group that serves beside it": lambda them: them.group(
        "beside", TargetGroupARNs=them.world.live_target_groups[:1]
    ),
    "somebody's image": lambda them: them.image("golden"),
    "somebody's default": lambda them: them.makes_a_version(default=True),
}
