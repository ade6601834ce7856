"""The copy: what green takes over from blue, member by member of the API's own input shape.

`MEMBERS` says for each member of CreateAutoScalingGroup what becomes of it. A test reads botocore's model and
fails when AWS adds a member that is not in the table, so nothing is lost in silence. What a group gets by other calls
is in `attachments`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from bluegreen.aws import tags
from bluegreen.release import Release

Shown = Mapping[str, Any]


class Part(StrEnum):
    """What becomes of one member of CreateAutoScalingGroup."""

    SAME = "same"  # as blue shows it
    OURS = "ours"  # worked out here, see `green`
    REFUSED = "refused"  # a blue that has it is refused before the release (see `preflight`)
    LEFT = "left"  # not given


MEMBERS: Mapping[str, Part] = {
    "AutoScalingGroupName": Part.OURS,
    "AvailabilityZoneDistribution": Part.SAME,
    "AvailabilityZoneIds": Part.LEFT,  # the same places as AvailabilityZones, and both at once are refused
    "AvailabilityZoneImpairmentPolicy": Part.SAME,
    "AvailabilityZones": Part.OURS,  # only where no subnets are named
    "CapacityRebalance": Part.SAME,
    "CapacityReservationSpecification": Part.SAME,
    "Context": Part.SAME,
    "DefaultCooldown": Part.SAME,
    "DefaultInstanceWarmup": Part.SAME,
    "DeletionProtection": Part.SAME,  # lifted again when green is removed
    "DesiredCapacity": Part.OURS,
    "DesiredCapacityType": Part.SAME,
    "HealthCheckGracePeriod": Part.SAME,
    "HealthCheckType": Part.SAME,
    "InstanceId": Part.LEFT,  # would make a launch configuration
    "InstanceLifecyclePolicy": Part.SAME,
    "InstanceMaintenancePolicy": Part.SAME,
    "LaunchConfigurationName": Part.REFUSED,
    "LaunchTemplate": Part.OURS,
    "LifecycleHookSpecificationList": Part.OURS,
    "LoadBalancerNames": Part.REFUSED,
    "MaxInstanceLifetime": Part.SAME,
    "MaxSize": Part.OURS,
    "MinSize": Part.OURS,
    "MixedInstancesPolicy": Part.OURS,
    "NewInstancesProtectedFromScaleIn": Part.SAME,
    "Operator": Part.REFUSED,
    "PlacementGroup": Part.SAME,
    "ServiceLinkedRoleARN": Part.OURS,  # the account's own default is not named: that would need iam:PassRole
    "SkipZonalShiftValidation": Part.LEFT,  # a word about one call, not a setting: no group shows it
    "Tags": Part.OURS,
    "TargetGroupARNs": Part.LEFT,  # green joins when it was checked
    "TerminationPolicies": Part.SAME,
    "TrafficSources": Part.LEFT,  # as TargetGroupARNs
    "VPCZoneIdentifier": Part.SAME,
}
#: What a hook shows and a new group takes; GlobalTimeout follows from HeartbeatTimeout.
HOOK = (
    "LifecycleHookName",
    "LifecycleTransition",
    "NotificationMetadata",
    "HeartbeatTimeout",
    "DefaultResult",
    "NotificationTargetARN",
    "RoleARN",
)
#: How the names of hooks begin that CodeDeploy puts on the groups of its deployment groups, completes there, and takes
#: away again (CodeDeploy user guide, EC2 Auto Scaling).
FOREIGN_HOOK = "CodeDeploy-managed-"
DEFAULT_ROLE = "/AWSServiceRoleForAutoScaling"


def green(blue: Shown, hooks: Sequence[Shown], release: Release) -> dict[str, Any]:
    """The arguments of CreateAutoScalingGroup for green: everything that blue shows, except the traffic."""
    before = release.blue
    assert before is not None
    given = {
        "AutoScalingGroupName": release.green_group,
        "MinSize": release.size,
        "DesiredCapacity": release.size,
        "MaxSize": max(before.maximum, release.size),
        "Tags": _tags(blue, release),
        "LifecycleHookSpecificationList": [shown(hook, HOOK) for hook in hooks if not is_foreign(hook)],
        "AvailabilityZones": [] if blue.get("VPCZoneIdentifier") else blue.get("AvailabilityZones"),
        "ServiceLinkedRoleARN": _role(blue),
        **on_version(blue, str(release.template_version)),
    }
    return settings(blue) | {member: value for member, value in given.items() if said(value)}


def settings(group: Shown) -> dict[str, Any]:
    """The members that a group shows and that green has the same."""
    return shown(group, (member for member, part in MEMBERS.items() if part is Part.SAME))


def shown(of: Shown, members: Iterable[str]) -> dict[str, Any]:
    """Those of these members that have a value."""
    return {member: of[member] for member in members if said(of.get(member))}


def on_version(group: Shown, version: str) -> dict[str, Any]:
    """The group's template reference, plain or in its mixed instances policy, with another version."""
    if "MixedInstancesPolicy" not in group:
        return {"LaunchTemplate": _reference(group["LaunchTemplate"], version)}
    policy = group["MixedInstancesPolicy"]
    template = policy["LaunchTemplate"]
    specification = _reference(template["LaunchTemplateSpecification"], version)
    return {
        "MixedInstancesPolicy": {**policy, "LaunchTemplate": {**template, "LaunchTemplateSpecification": specification}}
    }


def _reference(shown: Shown, version: str) -> dict[str, str]:
    """By id only: a group shows id and name, and the API takes either, not both."""
    return {"LaunchTemplateId": shown["LaunchTemplateId"], "Version": version}


def _tags(blue: Shown, release: Release) -> list[dict[str, Any]]:
    """Blue's tags without AWS's own, which callers may not set, and with this release's."""
    kept = [{k: tag.get(k, "") for k in ("Key", "Value", "PropagateAtLaunch")} for tag in own_tags(blue)]
    of = {"ResourceId": release.green_group, "ResourceType": "auto-scaling-group"}
    return [*({**tag, **of} for tag in kept), *marks(release)]


def marks(release: Release) -> list[dict[str, Any]]:
    """This release's tags of green, as CreateOrUpdateTags takes them."""
    name = release.green_group
    return [*marked(name, tags.ours(release)), *marked(name, {tags.HELD: release.mark}, spread=False)]


def marked(group: str, values: Mapping[str, str], *, spread: bool = True) -> list[dict[str, Any]]:
    """These tags of a group, in the same form; `spread` to its instances."""
    of = {"ResourceId": group, "ResourceType": "auto-scaling-group"}
    return [{"Key": key, "Value": value, "PropagateAtLaunch": spread, **of} for key, value in values.items()]


def is_kept(tag: Shown) -> bool:
    """Whether green gets this tag of blue's."""
    return not tag["Key"].startswith(("aws:", "bluegreen:"))


def is_foreign(hook: Shown) -> bool:
    """Whether a hook of blue's would hold green's instances for somebody who does not know them."""
    return str(hook["LifecycleHookName"]).startswith(FOREIGN_HOOK)


def own_tags(group: Shown) -> list[Shown]:
    """The tags that the group's owner gave it: AWS's own and those of releases are left out."""
    return [tag for tag in group.get("Tags", []) if is_kept(tag)]


def _role(blue: Shown) -> str:
    role = str(blue.get("ServiceLinkedRoleARN", ""))
    return "" if role.endswith(DEFAULT_ROLE) else role


def said(value: object) -> bool:
    """Whether a group shows something there: 0 and False are something, empty text and lists are not."""
    return value is not None and value not in ("", [], {})
