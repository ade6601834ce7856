"""Auto Scaling groups: the calls. What the groups do by themselves is in `scaling`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

from lab.aws.direct import Params
from lab.aws.ec2 import Handler, Templates
from lab.aws.engine import FakeGroup, Member, Timeline, matches, page
from lab.aws.scaling import Scaling
from lab.aws.wire import ErrorAnswer

DEFAULTS: Params = {
    "DefaultCooldown": 300,
    "HealthCheckType": "EC2",
    "HealthCheckGracePeriod": 0,  # 300 in the console, 0 through the API
    "TerminationPolicies": ["Default"],
    "NewInstancesProtectedFromScaleIn": False,
    "CapacityRebalance": False,
    "DeletionProtection": "none",
    "AvailabilityZoneDistribution": {"CapacityDistributionStrategy": "balanced-best-effort"},
    "AvailabilityZoneImpairmentPolicy": {
        "ZonalShiftEnabled": False,
        "ImpairedZoneHealthCheckBehavior": "IgnoreUnhealthy",
    },
}
APART = {
    "AutoScalingGroupName",
    "Tags",
    "LifecycleHookSpecificationList",
    "TargetGroupARNs",
    "TrafficSources",
    "InstanceId",
    "SkipZonalShiftValidation",
}
"""Members of a creating call that are not shown again as they are."""
WAYS = ("LaunchTemplate", "LaunchConfigurationName", "MixedInstancesPolicy")
PROCESSES = (
    "Launch",
    "Terminate",
    "AddToLoadBalancer",
    "AlarmNotification",
    "AZRebalance",
    "HealthCheck",
    "InstanceRefresh",
    "ReplaceUnhealthy",
    "ScheduledActions",
)
MOST_TAGS, MOST_HOOKS, MOST_SOURCES = 50, 50, 50
"""Quotas of a group: its own tags, lifecycle hooks, target groups (user guide, quotas)."""
HOOK_DEFAULTS: Params = {"HeartbeatTimeout": 3600, "DefaultResult": "ABANDON"}


class Groups:
    """The EC2 Auto Scaling service."""

    def __init__(self, engine: Timeline, scaling: Scaling, templates: Templates, region: str, account: str) -> None:
        """Work on the engine's state; `scaling` does what the groups do by themselves."""
        self.engine, self.scaling, self.templates = engine, scaling, templates
        self.arn = f"arn:aws:autoscaling:{region}:{account}"
        self.on_delete: list[Callable[[FakeGroup], object]] = []
        """Told of a group that is deleted: what hangs on it goes with it."""
        self.role = (
            f"arn:aws:iam::{account}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
        )

    def operations(self) -> dict[str, Handler]:
        """Every call that is known; Auto Scaling has nothing of moto's."""
        return {
            "CreateAutoScalingGroup": self.create,
            "DescribeAutoScalingGroups": self.describe,
            "UpdateAutoScalingGroup": self.update,
            "SetDesiredCapacity": self.set_desired_capacity,
            "DeleteAutoScalingGroup": self.delete,
            "DescribeAutoScalingInstances": self.describe_instances,
            "SetInstanceProtection": self.set_instance_protection,
            "SetInstanceHealth": self.set_instance_health,
            "EnterStandby": self.enter_standby,
            "ExitStandby": self.exit_standby,
            "AttachInstances": self.attach_instances,
            "DetachInstances": self.detach_instances,
            "TerminateInstanceInAutoScalingGroup": self.terminate_instance,
            "SuspendProcesses": self.suspend,
            "ResumeProcesses": self.resume,
            "AttachLoadBalancerTargetGroups": self.attach_target_groups,
            "DetachLoadBalancerTargetGroups": self.detach_target_groups,
            "DescribeLoadBalancerTargetGroups": self.describe_target_groups,
            "AttachTrafficSources": self.attach_sources,
            "DetachTrafficSources": self.detach_sources,
            "DescribeTrafficSources": self.describe_sources,
            "DescribeScalingActivities": self.describe_activities,
            "CreateOrUpdateTags": self.create_tags,
            "DeleteTags": self.delete_tags,
            "DescribeTags": self.describe_tags,
            "PutLifecycleHook": self.put_hook,
            "DeleteLifecycleHook": self.delete_hook,
            "DescribeLifecycleHooks": self.describe_hooks,
            "DescribeAccountLimits": self.describe_limits,
            "CompleteLifecycleAction": self.complete_action,
            "CreateLaunchConfiguration": self.create_configuration,
            "DescribeLaunchConfigurations": self.describe_configurations,
            "DeleteLaunchConfiguration": self.delete_configuration,
        }

    # -- groups ------------------------------------------------------------------------------------------------------

    def create(self, params: Params) -> Params:
        """Make a group; it begins to launch a moment later. AlreadyExists also while an old one is being deleted."""
        name = params["AutoScalingGroupName"]
        if name in self.engine.state.groups:
            text = "AutoScalingGroup by this name already exists - A group with the name {} already exists"
            raise ErrorAnswer("AlreadyExists", text.format(name))
        if not 1 <= len(name) <= 255 or ":" in name:
            raise invalid(f"Value '{name}' at 'autoScalingGroupName' failed to satisfy constraint: length 1 to 255")
        if len(self.engine.state.groups) >= self.engine.state.most_groups:
            raise ErrorAnswer("LimitExceeded", "You have reached the quota of AutoScalingGroups in this region.")
        config = self._configured({**copy.deepcopy(DEFAULTS), "ServiceLinkedRoleARN": self.role}, params)
        arn = f"{self.arn}:autoScalingGroup:{self.engine.new_uuid()}:autoScalingGroupName/{name}"
        group = FakeGroup(name, arn, self.engine.now, config)
        self._attach_at_birth(group, params)
        self.engine.state.groups[name] = group
        self.scaling.wake(group)
        return {}

    def update(self, params: Params) -> Params:
        """Change the settings given. A minimum above the desired size raises it, a maximum below lowers it."""
        group = self.group(params["AutoScalingGroupName"])
        changed = {way: params[way] for way in WAYS if way in params}
        kept = {key: value for key, value in group.config.items() if not (changed and key in WAYS)}
        self._reconfigure(group, kept, params)
        return {}

    def resize(self, group: FakeGroup, sizes: Params) -> None:
        """Give a group other sizes, as an update would; ValidationError if they do not fit with those it keeps."""
        self._reconfigure(group, group.config, sizes, "a scheduled action")

    def changed(self, group: FakeGroup, why: str, old: int) -> None:
        """Keep why the desired size is another one than `old`, for the activities that follow from it."""
        if (new := group.config["DesiredCapacity"]) != old:
            group.because = f"{why} changing the desired capacity from {old} to {new}. "

    def _reconfigure(self, group: FakeGroup, kept: Params, params: Params, who: str = "a user request") -> None:
        old = group.config["DesiredCapacity"]
        if "DesiredCapacity" not in params:
            low = max(params.get("MinSize", kept["MinSize"]), kept["DesiredCapacity"])
            kept = {**kept, "DesiredCapacity": min(params.get("MaxSize", kept["MaxSize"]), low)}
        group.config = self._configured(kept, params)
        low, high, size = (group.config[key] for key in ("MinSize", "MaxSize", "DesiredCapacity"))
        bounds = f"update of AutoScalingGroup constraints to min: {low}, max: {high}, desired: {size}"
        self.changed(group, f"{who} {bounds}", old)
        self.scaling.wake(group)

    def set_desired_capacity(self, params: Params) -> Params:
        """Ask for another size, which must lie between minimum and maximum."""
        group, size = self.group(params["AutoScalingGroupName"]), int(params["DesiredCapacity"])
        for bound, wrong in (("max", size > group.config["MaxSize"]), ("min", size < group.config["MinSize"])):
            if wrong:
                side = "above max" if bound == "max" else "below min"
                value = group.config[f"{bound.title()}Size"]
                raise invalid(f"New SetDesiredCapacity value {size} is {side} value {value} for the AutoScalingGroup.")
        old, group.config["DesiredCapacity"] = group.config["DesiredCapacity"], size
        self.changed(group, "a user request explicitly set group desired capacity", old)
        self.scaling.wake(group)
        return {}

    def delete(self, params: Params) -> Params:
        """Delete a group. Without ForceDelete it and its warm pool must be empty (ResourceInUse, and another)."""
        group, force = self.group(params["AutoScalingGroupName"]), bool(params.get("ForceDelete"))
        protection = group.config.get("DeletionProtection")
        if protection == "prevent-all-deletion" or (force and protection == "prevent-force-deletion"):
            raise invalid(f"The Auto Scaling group {group.name} has deletion protection: {protection}")
        if not force and group.staying():
            text = "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s)"
            raise ErrorAnswer("ResourceInUse", f"{text} still in the group.")
        if not force and group.warm:
            text = "You cannot delete an AutoScalingGroup while there are instances in its warm pool."
            raise ErrorAnswer("ResourceInUse", text)  # its exact words are not known to us
        if not force and group.members:
            text = (
                "You cannot delete an AutoScalingGroup while there are scaling activities in progress for that group."
            )
            raise ErrorAnswer("ScalingActivityInProgress", text)
        group.deleting = True
        for forget in self.on_delete:
            forget(group)
        self.scaling.wake(group)
        return {}

    def describe(self, params: Params) -> Params:
        """Groups by name (unknown names are left out) and by tag filters."""
        wanted = params.get("AutoScalingGroupNames")
        groups = [g for g in self.engine.state.groups.values() if not wanted or g.name in wanted]
        groups = [g for g in groups if matches(params.get("Filters"), _tag_filter, g)]
        shown, more = page(groups, params, "MaxRecords", 50, 100)
        return {"AutoScalingGroups": [self.show(group) for group in shown], **more}

    def show(self, group: FakeGroup) -> Params:
        """As DescribeAutoScalingGroups shows it."""
        return {
            **group.config,
            "AutoScalingGroupName": group.name,
            "AutoScalingGroupARN": group.arn,
            "CreatedTime": group.made,
            "Instances": [show_member(group, member) for member in group.members.values()],
            "LoadBalancerNames": group.config.get("LoadBalancerNames", []),
            "TargetGroupARNs": list(group.sources),
            "TrafficSources": [{"Identifier": arn, "Type": "elbv2"} for arn in group.sources],
            "SuspendedProcesses": [
                {"ProcessName": name, "SuspensionReason": why} for name, why in sorted(group.suspended.items())
            ],
            "EnabledMetrics": list(group.attached.get("metrics", {}).values()),
            "Tags": _show_tags(group),
            **({"WarmPoolConfiguration": pool, "WarmPoolSize": len(group.warm)} if (pool := group.pool) else {}),
            **({"Status": "Delete in progress"} if group.deleting else {}),
        }

    def group(self, name: str) -> FakeGroup:
        """A group that is there and not being deleted; else ValidationError."""
        group = self.engine.state.groups.get(name)
        if group is None:
            raise invalid(f"AutoScalingGroup name not found - AutoScalingGroup {name} not found")
        if group.deleting:
            raise invalid(f"AutoScalingGroup {name} is pending delete")  # its exact words are not known to us
        return group

    def arn_of(self, group: FakeGroup, kind: str, name: str) -> str:
        """A new ARN for something of a group's: `scalingPolicy`, `scheduledUpdateGroupAction`."""
        word = {"scalingPolicy": "policyName", "scheduledUpdateGroupAction": "scheduledActionName"}[kind]
        return f"{self.arn}:{kind}:{self.engine.new_uuid()}:autoScalingGroupName/{group.name}:{word}/{name}"

    def _configured(self, base: Params, params: Params) -> Params:
        """The settings with the given ones over them, checked as AWS checks them."""
        config = {**base, **{key: copy.deepcopy(value) for key, value in params.items() if key not in APART}}
        config.setdefault("DesiredCapacity", config["MinSize"])
        low, size, high = config["MinSize"], config["DesiredCapacity"], config["MaxSize"]
        if not low <= high:
            raise invalid(f"Max bound, {high}, must be greater than or equal to min bound, {low}")
        if not low <= size <= high:
            text = f"Desired capacity:{size} must be between the specified min size:{low} and max size:{high}"
            raise invalid(text)
        self._check_ways(config)
        self._place(config)
        return config

    def _check_ways(self, config: Params) -> None:
        if sum(way in config for way in WAYS) != 1:
            text = "Valid requests must contain either launchTemplate, LaunchConfigurationName, InstanceId or "
            raise invalid(f"{text}MixedInstancesPolicy parameter.")
        if (name := config.get("LaunchConfigurationName")) is not None:
            if name not in self.engine.state.configurations:
                raise invalid(f"Launch configuration name not found - Launch configuration {name} not found")
            return
        for spec in _specifications(config):
            self._complete(spec)

    def _complete(self, spec: Params) -> None:
        """Check a template reference, and give it both id and name, as it will be shown."""
        if ("LaunchTemplateId" in spec) == ("LaunchTemplateName" in spec):
            text = "Valid requests must contain either launchTemplateId or LaunchTemplateName"
            found = self._named(spec)  # what was shown comes back at an update of something else
            if not found or found.name != spec.get("LaunchTemplateName") or "shown" not in spec:
                raise invalid(text)
        try:
            template = self.templates.find(spec)
            version = self.templates.version(template, str(spec.get("Version") or "$Default"))
            self.scaling.ec2.usable(str(version.data.get("ImageId", "")))
        except ErrorAnswer as error:
            raise invalid(f"You must use a valid fully-formed launch template. {error.message}") from error
        spec.update(LaunchTemplateId=template.id, LaunchTemplateName=template.name, shown=True)

    def _named(self, spec: Params) -> Any:
        return self.engine.state.templates.get(spec.get("LaunchTemplateId", ""))

    def _place(self, config: Params) -> None:
        """Check the subnets and show the zones that they lie in."""
        subnets = self.scaling.ec2.subnets()
        wanted = [one.strip() for one in (config.get("VPCZoneIdentifier") or "").split(",") if one.strip()]
        for subnet in wanted:
            if subnet not in subnets:
                raise invalid(f"The subnet ID '{subnet}' does not exist")
        if wanted:
            config["AvailabilityZones"] = sorted({subnets[subnet] for subnet in wanted})
        if not config.get("AvailabilityZones"):
            raise invalid("At least one Availability Zone or VPC Subnet is required.")

    def _attach_at_birth(self, group: FakeGroup, params: Params) -> None:
        for hook in params.get("LifecycleHookSpecificationList") or []:
            self._put_hook(group, hook)
        self._put_tags(group, params.get("Tags") or [])
        self._attach(group, params.get("TargetGroupARNs") or [], "group")
        self._attach(group, _identifiers(params), "source")

    # -- instances ---------------------------------------------------------------------------------------------------

    def describe_instances(self, params: Params) -> Params:
        """Members of all groups, or those asked for."""
        wanted = params.get("InstanceIds")
        rows = [
            {**show_member(group, member), "AutoScalingGroupName": group.name}
            for group in self.engine.state.groups.values()
            for member in group.members.values()
            if not wanted or member.id in wanted
        ]
        shown, more = page(rows, params, "MaxRecords", 50, 50)
        return {"AutoScalingInstances": shown, **more}

    def set_instance_protection(self, params: Params) -> Params:
        """Protect members from scale-in, or no longer; 50 a call."""
        group = self.group(params["AutoScalingGroupName"])
        if len(params["InstanceIds"]) > 50:
            raise invalid("Member must have length less than or equal to 50")
        for one in params["InstanceIds"]:
            if one not in group.members:
                raise invalid(f"The instance {one} is not part of Auto Scaling group {group.name}.")
        for one in params["InstanceIds"]:
            group.members[one].protected = params["ProtectedFromScaleIn"]
        self.scaling.wake(group)
        return {}

    def set_instance_health(self, params: Params) -> Params:
        """Declare a member healthy or not."""
        group, member = self._member(params["InstanceId"])
        member.healthy = params["HealthStatus"] == "Healthy"
        self.scaling.wake(group)
        return {}

    def terminate_instance(self, params: Params) -> Params:
        """Terminate one member, and make the group smaller by it or have it replaced."""
        group, member = self._member(params["InstanceId"])
        if params["ShouldDecrementDesiredCapacity"]:
            if group.config["DesiredCapacity"] <= group.config["MinSize"]:
                text = (
                    "Currently, desiredSize equals minSize ({}). Terminating instance without replacement will violate"
                )
                raise invalid(f"{text.format(group.config['MinSize'])} group's min size constraint.")
            group.config["DesiredCapacity"] -= 1
        self.scaling.terminate(group, member, "instance was taken out of service in response to a user request.")
        self.scaling.wake(group)
        return {"Activity": member.activity}

    def enter_standby(self, params: Params) -> Params:
        """Set members in service aside: out of their target groups, no part of the size, left alone until they exit.

        Without a decrement others are launched in their place.
        """
        return self._set_aside(params, "EnteringStandby", "Moving EC2 instance to Standby", "was moved to standby")

    def exit_standby(self, params: Params) -> Params:
        """Put members that were set aside back in service; the size grows by them."""
        group, ids = self.group(params["AutoScalingGroupName"]), params["InstanceIds"]
        _twenty(ids)
        if wrong := [one for one in ids if one not in group.members or group.members[one].lifecycle != "Standby"]:
            raise invalid(f"The instance {wrong[0]} is not in Standby.")  # its exact words are not known to us
        if (size := group.config["DesiredCapacity"] + len(ids)) > group.config["MaxSize"]:
            raise invalid(f"AutoScalingGroup {group.name} has max-size={group.config['MaxSize']}, less than {size}")
        group.config["DesiredCapacity"] = size
        return {"Activities": [self.scaling.put_back(group, group.members[one]) for one in ids]}

    def attach_instances(self, params: Params) -> Params:
        """Make running instances that are of no group members of this one, which grows by them."""
        group, ids = self.group(params["AutoScalingGroupName"]), params["InstanceIds"]
        _twenty(ids)
        for one in ids:
            instance = self.engine.state.instances.get(one)
            if instance is None or instance.state != "running":
                raise invalid(f"Invalid Instance ID(s): {one}. It does not exist or is not running.")  # words unknown
            if any(one in other.members for other in self.engine.state.groups.values()):
                raise invalid(
                    f"Instance {one} is already part of an AutoScalingGroup."
                )  # its words are not known to us
        if (size := group.config["DesiredCapacity"] + len(ids)) > group.config["MaxSize"]:
            raise invalid(f"AutoScalingGroup {group.name} has max-size={group.config['MaxSize']}, less than {size}")
        group.config["DesiredCapacity"] = size
        for one in ids:
            self.scaling.take_in(group, self.engine.state.instances[one])
        return {}

    def detach_instances(self, params: Params) -> Params:
        """Let members go: out of the target groups and of the group, running on by themselves."""
        return self._set_aside(params, "Detaching", "Detaching EC2 instance", "was detached")

    def _set_aside(self, params: Params, state: str, description: str, cause: str) -> Params:
        group, ids = self.group(params["AutoScalingGroupName"]), params["InstanceIds"]
        _twenty(ids)
        if wrong := [one for one in ids if one not in group.members or group.members[one].lifecycle != "InService"]:
            raise invalid(f"The instance {wrong[0]} is not in InService.")  # its exact words are not known to us
        if params["ShouldDecrementDesiredCapacity"]:
            low, size = group.config["MinSize"], group.config["DesiredCapacity"]
            if size - len(ids) < low:
                text = f"AutoScalingGroup {group.name} has min-size={low} and desired-size={size}. To go on with"
                raise invalid(f"{text} {len(ids)} instance(s) less, update the AutoScalingGroup sizes appropriately.")
            group.config["DesiredCapacity"] = size - len(ids)
        told = [self.scaling.set_aside(group, group.members[one], state, description, cause) for one in ids]
        self.scaling.wake(group)
        return {"Activities": told}

    def _member(self, instance_id: str) -> tuple[FakeGroup, Member]:
        for group in self.engine.state.groups.values():
            if instance_id in group.members:
                return group, group.members[instance_id]
        raise invalid(f"Instance Id not found - No managed instance found for instance ID: {instance_id}")

    # -- processes, traffic ------------------------------------------------------------------------------------------

    def suspend(self, params: Params) -> Params:
        """Suspend processes: they really do nothing until they are resumed."""
        group = self.group(params["AutoScalingGroupName"])
        for process in _processes(params):
            group.suspended[process] = "User suspended at " + str(int(self.engine.now))
        return {}

    def resume(self, params: Params) -> Params:
        """Resume processes; what is due by now begins."""
        group = self.group(params["AutoScalingGroupName"])
        for process in _processes(params):
            group.suspended.pop(process, None)
        self.scaling.wake(group)
        return {}

    def attach_target_groups(self, params: Params) -> Params:
        """Attach target groups; those attached stay as they are."""
        self._attach(self.group(params["AutoScalingGroupName"]), params["TargetGroupARNs"], "group")
        return {}

    def detach_target_groups(self, params: Params) -> Params:
        """Detach target groups that were attached as such; not those attached by AttachTrafficSources (botocore)."""
        self._detach(self.group(params["AutoScalingGroupName"]), params["TargetGroupARNs"], ("group",))
        return {}

    def attach_sources(self, params: Params) -> Params:
        """Attach target groups as traffic sources."""
        self._attach(self.group(params["AutoScalingGroupName"]), _identifiers(params), "source")
        return {}

    def detach_sources(self, params: Params) -> Params:
        """Detach target groups, however they were attached."""
        self._detach(self.group(params["AutoScalingGroupName"]), _identifiers(params), ("group", "source"))
        return {}

    def describe_target_groups(self, params: Params) -> Params:
        """How far attaching and detaching have come, without what AttachTrafficSources attached (botocore)."""
        group = self.group(params["AutoScalingGroupName"])
        ours = [arn for arn, how in group.sources.items() if how == "group"]
        rows = [{"LoadBalancerTargetGroupARN": arn, "State": self.scaling.joined(group, arn)} for arn in ours]
        rows += [{"LoadBalancerTargetGroupARN": arn, "State": "Removing"} for arn in self.scaling.leaving(group)]
        shown, more = page(rows, params, "MaxRecords", 100, 100)
        return {"LoadBalancerTargetGroups": shown, **more}

    def describe_sources(self, params: Params) -> Params:
        """How far attaching and detaching have come."""
        group = self.group(params["AutoScalingGroupName"])
        rows = [(arn, self.scaling.joined(group, arn)) for arn in group.sources]
        rows += [(arn, "Removing") for arn in self.scaling.leaving(group)]
        shown, more = page(rows, params, "MaxRecords", 50, 50)
        listed = [{"TrafficSource": arn, "Identifier": arn, "Type": "elbv2", "State": state} for arn, state in shown]
        return {"TrafficSources": listed, **more}

    def _attach(self, group: FakeGroup, arns: Iterable[str], how: str) -> None:
        arns = _ten(arns)
        if not all(self.scaling.targets.exists(arn) for arn in arns):
            raise invalid("Provided Target Groups may not be valid. Please ensure they exist and try again.")
        if len({*group.sources, *arns}) > MOST_SOURCES:
            raise ErrorAnswer("LimitExceeded", f"A group has at most {MOST_SOURCES} target groups")
        for arn in arns:
            group.sources.setdefault(arn, how)
            group.leaving.pop(arn, None)
        self.scaling.traffic_changed(group)

    def _detach(self, group: FakeGroup, arns: Iterable[str], ways: tuple[str, ...]) -> None:
        arns = _ten(arns)
        if any(group.sources.get(arn) not in ways for arn in arns):
            raise invalid("Trying to remove Target Groups that are not part of the group")
        for arn in arns:
            del group.sources[arn]
        self.scaling.leave(group, arns)

    # -- activities, tags, hooks, configurations -----------------------------------------------------------------------

    def describe_activities(self, params: Params) -> Params:
        """Activities, newest first, of one group or all."""
        name = params.get("AutoScalingGroupName")
        groups = [self.group_or_deleting(name)] if name else list(self.engine.state.groups.values())
        rows = [activity for group in groups for activity in group.activities]
        rows.sort(key=lambda activity: (activity["StartTime"], activity["ActivityId"]), reverse=True)
        wanted = params.get("ActivityIds")
        rows = [row for row in rows if not wanted or row["ActivityId"] in wanted]
        shown, more = page(rows, params, "MaxRecords", 100, 100)
        return {"Activities": shown, **more}

    def group_or_deleting(self, name: str) -> FakeGroup:
        """A group that is still there."""
        group = self.engine.state.groups.get(name)
        return group or self.group(name)

    def create_tags(self, params: Params) -> Params:
        """Tag groups."""
        for tag in params["Tags"]:
            self._put_tags(self.group(tag["ResourceId"]), [tag])
        return {}

    def delete_tags(self, params: Params) -> Params:
        """Remove tags from groups."""
        for tag in params["Tags"]:
            self.group(tag["ResourceId"]).tags.pop(tag["Key"], None)
        return {}

    def describe_tags(self, params: Params) -> Params:
        """Tags of all groups, by the filters auto-scaling-group, key, value."""
        rows = [row for group in self.engine.state.groups.values() for row in _show_tags(group)]
        found = [row for row in rows if matches(params.get("Filters"), _tag_row, row)]
        shown, more = page(found, params, "MaxRecords", 50, 100)
        return {"Tags": shown, **more}

    def put_hook(self, params: Params) -> Params:
        """Add or change a lifecycle hook; it counts for instances that come or go from now on."""
        self._put_hook(self.group(params["AutoScalingGroupName"]), params)
        return {}

    def delete_hook(self, params: Params) -> Params:
        """Remove a lifecycle hook."""
        group = self.group(params["AutoScalingGroupName"])
        if group.hooks.pop(params["LifecycleHookName"], None) is None:
            raise invalid("No Lifecycle Hook found with name: " + params["LifecycleHookName"])
        return {}

    def describe_hooks(self, params: Params) -> Params:
        """The lifecycle hooks of a group."""
        group = self.group(params["AutoScalingGroupName"])
        wanted = params.get("LifecycleHookNames")
        hooks = [hook for name, hook in group.hooks.items() if not wanted or name in wanted]
        return {"LifecycleHooks": [{**hook, "AutoScalingGroupName": group.name} for hook in hooks]}

    def describe_limits(self, params: Params) -> Params:
        """The account's quotas of groups and launch configurations, and how many there are (AWS's defaults)."""
        there = {"NumberOfAutoScalingGroups": len(self.engine.state.groups)}
        configurations = len(self.engine.state.configurations)
        most = {"MaxNumberOfAutoScalingGroups": self.engine.state.most_groups, "MaxNumberOfLaunchConfigurations": 200}
        return {**most, **there, "NumberOfLaunchConfigurations": configurations}

    def complete_action(self, params: Params) -> Params:
        """Let a waiting member go on (CONTINUE) or give it up (ABANDON)."""
        group = self.group_or_deleting(params["AutoScalingGroupName"])
        member = group.members.get(params.get("InstanceId", ""))
        if member is None or not member.lifecycle.endswith(":Wait"):
            raise invalid("No active Lifecycle Action found with instance ID " + str(params.get("InstanceId")))
        self.scaling.go_on(group.name, member.id, member.lifecycle, params["LifecycleActionResult"])
        return {}

    def create_configuration(self, params: Params) -> Params:
        """A launch configuration: settings that can never change."""
        name = params["LaunchConfigurationName"]
        if name in self.engine.state.configurations:
            raise ErrorAnswer("AlreadyExists", f"Launch Configuration by this name already exists - {name}")
        arn = f"{self.arn}:launchConfiguration:{name}"
        shown = {**copy.deepcopy(params), "LaunchConfigurationARN": arn, "CreatedTime": self.engine.now}
        self.engine.state.configurations[name] = {"KeyName": "", "SecurityGroups": [], "UserData": "", **shown}
        return {}

    def describe_configurations(self, params: Params) -> Params:
        """Launch configurations by name, or all."""
        wanted = params.get("LaunchConfigurationNames")
        rows = [row for name, row in self.engine.state.configurations.items() if not wanted or name in wanted]
        shown, more = page(rows, params, "MaxRecords", 50, 100)
        return {"LaunchConfigurations": shown, **more}

    def delete_configuration(self, params: Params) -> Params:
        """Delete a launch configuration that no group uses."""
        name = params["LaunchConfigurationName"]
        if any(g.config.get("LaunchConfigurationName") == name for g in self.engine.state.groups.values()):
            raise ErrorAnswer("ResourceInUse", f"Cannot delete launch configuration {name}: it is attached to a group")
        if self.engine.state.configurations.pop(name, None) is None:
            raise invalid(f"Launch configuration name not found - Launch configuration {name} not found")
        return {}

    def _put_hook(self, group: FakeGroup, params: Params) -> None:
        given = {key: value for key, value in params.items() if key != "AutoScalingGroupName"}
        old = group.hooks.get(given["LifecycleHookName"], {})
        if not old and "LifecycleTransition" not in given:
            raise invalid("A lifecycle transition is required to create a lifecycle hook")
        if not old and len(group.hooks) >= MOST_HOOKS:
            raise ErrorAnswer("LimitExceeded", f"A group has at most {MOST_HOOKS} lifecycle hooks")
        hook = {**HOOK_DEFAULTS, **old, **given}
        longest = min(172_800, 100 * int(hook["HeartbeatTimeout"]))  # as the model says of GlobalTimeout
        group.hooks[given["LifecycleHookName"]] = {**hook, "GlobalTimeout": longest}

    def _put_tags(self, group: FakeGroup, tags: Iterable[Params]) -> None:
        tags = list(tags)
        if any(tag["Key"].lower().startswith("aws:") for tag in tags):
            raise invalid("aws: prefixed tag key names are not allowed for external use.")
        if len({*group.tags, *(tag["Key"] for tag in tags)}) > MOST_TAGS:
            raise ErrorAnswer("LimitExceeded", f"You have exceeded the limit of {MOST_TAGS} tags")  # nor these words
        for tag in tags:
            group.tags[tag["Key"]] = (tag.get("Value", ""), bool(tag.get("PropagateAtLaunch", True)))


def show_member(group: FakeGroup, member: Member) -> Params:
    """An instance as the group shows it."""
    spec = {"LaunchTemplate": member.template} if member.template else {}
    name = group.config.get("LaunchConfigurationName")
    return {
        "InstanceId": member.id,
        "InstanceType": member.kind,
        "AvailabilityZone": member.zone,
        "LifecycleState": member.lifecycle,
        "HealthStatus": "Healthy" if member.healthy else "Unhealthy",
        "ProtectedFromScaleIn": member.protected,
        **(spec or ({"LaunchConfigurationName": name} if name else {})),
    }


def invalid(message: str) -> ErrorAnswer:
    """A ValidationError."""
    return ErrorAnswer("ValidationError", message)


def _specifications(config: Params) -> list[Params]:
    """Every template reference in a group's settings."""
    if spec := config.get("LaunchTemplate"):
        return [spec]
    mixed = config.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {})
    overrides = [one["LaunchTemplateSpecification"] for one in mixed.get("Overrides", []) if _has_spec(one)]
    return [mixed["LaunchTemplateSpecification"], *overrides]


def _has_spec(override: Params) -> bool:
    return "LaunchTemplateSpecification" in override


def _identifiers(params: Params) -> list[str]:
    return [source["Identifier"] for source in params.get("TrafficSources") or []]


def _ten(arns: Iterable[str]) -> list[str]:
    arns = list(arns)
    if len(arns) > 10:
        raise invalid("Member must have length less than or equal to 10")
    return arns


def _twenty(ids: list[str]) -> None:
    if len(ids) > 20:
        raise invalid("Member must have length less than or equal to 20")


def _processes(params: Params) -> Iterable[str]:
    wanted: list[str] = params.get("ScalingProcesses") or list(PROCESSES)
    if strange := [process for process in wanted if process not in PROCESSES]:
        raise invalid(f"Invalid scaling process(es): {strange}")
    return wanted


def _tag_filter(group: FakeGroup, name: str) -> list[str] | None:
    values = {key: value for key, (value, _) in group.tags.items()}
    if name.startswith("tag:"):
        return [value for key, value in values.items() if key == name[4:]]
    return {"tag-key": list(values), "tag-value": list(values.values())}.get(name)


def _tag_row(row: Params, name: str) -> list[str] | None:
    key = {"auto-scaling-group": "ResourceId", "key": "Key", "value": "Value"}.get(name)
    return [row[key]] if key else None


def _show_tags(group: FakeGroup) -> list[Params]:
    common = {"ResourceId": group.name, "ResourceType": "auto-scaling-group"}
    return [
        {**common, "Key": key, "Value": value, "PropagateAtLaunch": spread}
        for key, (value, spread) in sorted(group.tags.items())
    ]
