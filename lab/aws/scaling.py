"""What Auto Scaling groups do by themselves: launch, replace, scale in, join and leave target groups.

    Pending --running--> [Pending:Wait, a hook] -> InService, registered
    InService -> Terminating: deregistered, drained -> [Terminating:Wait, a hook] -> EC2 terminates it -> gone

InService means that EC2 runs it, not that it answers; who wants to know whether it answers must ask the target group.
"""

from __future__ import annotations

from collections.abc import Iterable

from lab.aws.direct import Params
from lab.aws.ec2 import Ec2, Templates
from lab.aws.engine import FakeGroup, FakeInstance, Member, Target, Timeline
from lab.aws.targets import Targets
from lab.aws.wire import ErrorAnswer

LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"
TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"


class Scaling:
    """The will of the groups."""

    def __init__(self, engine: Timeline, ec2: Ec2, templates: Templates, targets: Targets) -> None:
        """Listen to instances and targets."""
        self.engine, self.ec2, self.templates, self.targets = engine, ec2, templates, targets
        ec2.on_change.append(self.instance_changed)
        targets.on_change.append(self.target_changed)

    def wake(self, group: FakeGroup, seconds: float | None = None) -> None:
        """Have the group see itself in a moment."""
        self.engine.after(self.engine.timings.react if seconds is None else seconds, self._look, group.name, group.made)

    def _group(self, name: str) -> FakeGroup | None:
        return self.engine.state.groups.get(name)

    def _look(self, name: str, made: float) -> None:
        """Is the group what it should be? If not, begin to make it so."""
        group = self._group(name)
        if group is None or group.made != made:
            return
        if group.deleting:
            self._wind_up(group)
            return
        self._replace(group)
        self._keep_warm(group)
        missing = int(group.config["DesiredCapacity"]) - len(group.active()) + self._doubled(group)
        if missing > 0 and "Launch" not in group.suspended:
            self._launch_some(group, missing)
        elif missing < 0 and "Terminate" not in group.suspended:
            for member in self._victims(group, -missing):
                self.terminate(group, member, f"{group.because}an instance was selected for scale-in.")

    def _wind_up(self, group: FakeGroup) -> None:
        for member in group.staying():
            self.terminate(group, member, "the Auto Scaling group is being deleted.")
        self._cool(group, list(group.warm.values()))
        if group.members or group.warm:
            return
        if group.attached.pop("leaving", None) is None:  # the name stays taken for a while
            group.attached["leaving"] = {}
            self.wake(group)
            return
        del self.engine.state.groups[group.name]

    def _replace(self, group: FakeGroup) -> None:
        if {"Terminate", "ReplaceUnhealthy"} & group.suspended.keys():
            return
        for member in [member for member in group.active() if not member.healthy]:
            self.terminate(group, member, f"an instance was taken out of service in response to {member.ailing}.")

    # -- launching ---------------------------------------------------------------------------------------------------

    def _launch_some(self, group: FakeGroup, count: int) -> None:
        for _ in range(count):
            if not self._launch(group):
                self.wake(group, self.engine.timings.retry)
                return

    def _launch(self, group: FakeGroup) -> bool:
        """Launch one instance; whether that began well."""
        cause = f"difference between desired and actual capacity of {group.name}"
        activity = self._activity(group, "Launching a new EC2 instance", group.because + cause)
        try:
            launch, spec = self._recipe(group)
            zone, subnet = self._where(group)
            kind = str(launch.get("InstanceType", "t3.micro"))
            self._demand_capacity(group, kind, zone)
            instance = self.ec2.launch(launch, subnet, self._launch_tags(group, launch, spec), group.name)
        except ErrorAnswer as error:
            self._close(activity, "Failed", error.message)
            return False
        activity["Description"] += f": {instance.id}"
        member = Member(instance.id, zone, kind, spec, activity=activity)
        member.protected = bool(group.config.get("NewInstancesProtectedFromScaleIn"))
        group.members[instance.id] = member
        return True

    def _demand_capacity(self, group: FakeGroup, kind: str, zone: str) -> None:
        if why := self.engine.faults.launch_failure(group.name, kind, zone):
            raise ErrorAnswer("InsufficientInstanceCapacity", why)

    def _recipe(self, group: FakeGroup) -> tuple[Params, Params | None]:
        """What to launch by, and the template reference with the number that it means now."""
        if name := group.config.get("LaunchConfigurationName"):
            return self.engine.state.configurations[name], None
        override: Params = {}
        config = group.attached.get("desired") or group.config  # the first: of an instance refresh
        spec = config.get("LaunchTemplate")
        if spec is None:
            mixed = config["MixedInstancesPolicy"]["LaunchTemplate"]
            override = next(iter(mixed.get("Overrides") or [{}]))
            spec = override.get("LaunchTemplateSpecification") or mixed["LaunchTemplateSpecification"]
        template = self.templates.find(spec)
        version = self.templates.version(template, str(spec.get("Version") or "$Default"))
        own: Params = {key: override[key] for key in ("InstanceType", "ImageId") if key in override}
        named = {"LaunchTemplateId": template.id, "LaunchTemplateName": template.name, "Version": str(version.number)}
        return {**version.data, **own}, named

    def _where(self, group: FakeGroup) -> tuple[str, str]:
        """The zone with the fewest members, and a subnet in it."""
        zones = self.ec2.subnets()
        wanted = [one.strip() for one in (group.config.get("VPCZoneIdentifier") or "").split(",") if one.strip()]
        wanted = wanted or [subnet for subnet, zone in zones.items() if zone in group.config["AvailabilityZones"]]
        taken = [member.zone for member in group.active()]
        subnet = min(wanted, key=lambda one: taken.count(zones[one]))
        return zones[subnet], subnet

    def _launch_tags(self, group: FakeGroup, launch: Params, spec: Params | None) -> dict[str, str]:
        asked = [one for one in launch.get("TagSpecifications", []) if one.get("ResourceType") == "instance"]
        tags = {tag["Key"]: tag.get("Value", "") for one in asked for tag in one.get("Tags", [])}
        tags |= {key: value for key, (value, spread) in group.tags.items() if spread}
        tags["aws:autoscaling:groupName"] = group.name
        if spec:
            tags["aws:ec2launchtemplate:id"] = spec["LaunchTemplateId"]
            tags["aws:ec2launchtemplate:version"] = spec["Version"]
        return tags

    def _arrived(self, group: FakeGroup, member: Member) -> None:
        """EC2 runs it: on to its hooks, or straight into service."""
        if not self._wait(group, member, LAUNCHING, "Pending"):
            self._serve(group, member)

    def _serve(self, group: FakeGroup, member: Member) -> None:
        member.lifecycle, member.joined = "InService", self.engine.now
        self._close(member.activity, "Successful")
        self._join(group, member)
        self._succeed(group, member)
        self.wake(group)

    # -- instances that are replaced, their successors first -----------------------------------------------------------

    def swap(self, group: FakeGroup, member: Member, process: str) -> None:
        """Launch another instance, and terminate this one once that is in service; not while that is suspended.

        So zones are evened out (AZRebalance), and spot capacity is given back (CapacityRebalance).
        """
        if member.lifecycle != "InService" or {process, "Launch"} & group.suspended.keys():
            return
        had = set(group.members)
        if self._launch(group):
            (new,) = group.members.keys() - had
            group.attached.setdefault("successors", {})[new] = {"of": member.id}

    def _doubled(self, group: FakeGroup) -> int:
        """How many are there beside those whose successors they are."""
        successors = group.attached.get("successors", {})
        active = {member.id for member in group.active()}
        return sum(new in active and one["of"] in active for new, one in successors.items())

    def _succeed(self, group: FakeGroup, member: Member) -> None:
        successor = group.attached.get("successors", {}).pop(member.id, None)
        if successor and (old := group.members.get(successor["of"])):
            self.terminate(group, old, "an instance was taken out of service in response to a rebalance.")

    def answers(self, group: FakeGroup, member: Member) -> bool:
        """Whether a member is healthy in every target group of its group."""
        tables = [self.engine.state.targets.get(arn, {}) for arn in group.sources]
        return all(member.id in table and table[member.id].state == "healthy" for table in tables)

    # -- the warm pool -----------------------------------------------------------------------------------------------

    def _keep_warm(self, group: FakeGroup) -> None:
        """As many as fit between its size and its maximum, or what is to be prepared; none of a pool that goes."""
        pool = group.pool
        if pool is None:
            return
        if pool.get("Status") and not group.warm:
            group.attached.pop("warm")
            return
        stay = [member for member in group.warm.values() if member.lifecycle != "Warmed:Terminating"]
        wanted = 0 if pool.get("Status") else self._warm_size(group, pool)
        self._cool(group, stay[wanted:])
        for _ in range(wanted - len(stay)):
            self._warm(group)

    def _warm_size(self, group: FakeGroup, pool: Params) -> int:
        prepared = int(pool.get("MaxGroupPreparedCapacity", -1))
        most = prepared if prepared >= 0 else int(group.config["MaxSize"])
        return max(int(pool["MinSize"]), most - int(group.config["DesiredCapacity"]), 0)

    def _warm(self, group: FakeGroup) -> None:
        launch, spec = self._recipe(group)
        zone, subnet = self._where(group)
        instance = self.ec2.launch(launch, subnet, self._launch_tags(group, launch, spec), group.name)
        kind = str(launch.get("InstanceType", "t3.micro"))
        group.warm[instance.id] = Member(instance.id, zone, kind, spec, lifecycle="Warmed:Pending")

    def _cool(self, group: FakeGroup, members: Iterable[Member]) -> None:
        for member in members:
            member.lifecycle = "Warmed:Terminating"
            self.ec2.terminate(member.id)

    def _warmed(self, instance: FakeInstance) -> bool:
        """Whether an instance that changed is of a warm pool: it is stopped once it runs."""
        name = self.engine.state.tags.get(instance.id, {}).get("aws:autoscaling:groupName", "")
        group = self._group(name)
        member = group.warm.get(instance.id) if group else None
        if group is None or member is None:
            return False
        if instance.state == "running":
            member.lifecycle = "Warmed:Stopped"
            self.ec2.stop_instances({"InstanceIds": [instance.id]})
        elif instance.state == "terminated":
            del group.warm[instance.id]
            self.wake(group)
        return True

    # -- hooks -------------------------------------------------------------------------------------------------------

    def _wait(self, group: FakeGroup, member: Member, transition: str, word: str) -> bool:
        """Whether hooks make the member wait here; the lab waits for the longest of them, up to `timings.hook`."""
        hooks = [hook for hook in group.hooks.values() if hook["LifecycleTransition"] == transition]
        if not hooks:
            return False
        member.lifecycle = f"{word}:Wait"
        seconds = min(max(float(hook["HeartbeatTimeout"]) for hook in hooks), self.engine.timings.hook)
        result = "ABANDON" if any(hook["DefaultResult"] == "ABANDON" for hook in hooks) else "CONTINUE"
        self.engine.after(seconds, self.go_on, group.name, member.id, member.lifecycle, result)
        return True

    def go_on(self, name: str, instance_id: str, waiting: str, result: str) -> None:
        """A hook is over: into service, or out; on the way out both results mean out."""
        group = self._group(name)
        member = group.members.get(instance_id) if group else None
        if group is None or member is None or member.lifecycle != waiting:
            return
        if waiting == "Terminating:Wait":
            self._finish(group, member)
        elif result == "CONTINUE":
            self._serve(group, member)
        else:
            token = self.engine.new_id("token")[6:].rjust(36, "0")
            said = f"Lifecycle Action with token {token} was abandoned: Lifecycle Action Completed with ABANDON Result"
            self._close(member.activity, "Cancelled", f"Instance failed to complete user's Lifecycle Action: {said}")
            self.terminate(group, member, "its launch was abandoned by a lifecycle hook.")

    # -- leaving -----------------------------------------------------------------------------------------------------

    def _victims(self, group: FakeGroup, count: int) -> list[Member]:
        """Who goes at a scale-in: unprotected members, balanced by zone, oldest version, then oldest instance."""
        chosen: list[Member] = []
        for _ in range(count):
            left = [member for member in group.active() if not member.protected and member not in chosen]
            if not left:
                break
            stay = [member.zone for member in group.active() if member not in chosen]
            newest = "NewestInstance" in group.config.get("TerminationPolicies", [])
            chosen.append(min(left, key=lambda m: _rank(m, stay.count(m.zone), newest)))
        return chosen

    def terminate(self, group: FakeGroup, member: Member, cause: str) -> None:
        """Begin to take one member out: out of its target groups first, and drained, before EC2 terminates it."""
        if member.lifecycle.startswith("Terminating"):
            return
        if member.activity.get("StatusCode") == "InProgress":
            self._close(member.activity, "Cancelled")
        member.lifecycle = "Terminating"
        member.activity = self._activity(group, f"Terminating EC2 instance: {member.id}", cause)
        waits = [self.targets.deregister(arn, member.id) for arn in self.engine.state.targets]
        self.engine.after(max(waits, default=0.0), self._drained, group.name, member.id)

    # -- set aside ---------------------------------------------------------------------------------------------------

    def set_aside(self, group: FakeGroup, member: Member, state: str, description: str, cause: str) -> Params:
        """Take one member out of its target groups; once drained it is in Standby, or no member any more."""
        member.lifecycle = state
        said = f"instance {member.id} {cause} in response to a user request."
        member.activity = self._activity(group, f"{description}: {member.id}", said)
        waits = [self.targets.deregister(arn, member.id) for arn in self.engine.state.targets]
        self.engine.after(max(waits, default=0.0), self._aside, group.name, member.id, state)
        return member.activity

    def _aside(self, name: str, instance_id: str, state: str) -> None:
        group = self._group(name)
        member = group.members.get(instance_id) if group else None
        if group is None or member is None or member.lifecycle != state:
            return
        self._close(member.activity, "Successful")
        if state == "EnteringStandby":
            member.lifecycle = "Standby"
        else:
            del group.members[instance_id]
            self.engine.state.tags[instance_id].pop("aws:autoscaling:groupName", None)

    def put_back(self, group: FakeGroup, member: Member) -> Params:
        """Out of Standby into service, a moment later."""
        member.lifecycle = "Pending"
        said = f"instance {member.id} was moved out of standby in response to a user request."
        member.activity = self._activity(group, f"Moving EC2 instance out of Standby: {member.id}", said)
        self.engine.after(self.engine.timings.react, self._back, group.name, member.id)
        return member.activity

    def take_in(self, group: FakeGroup, instance: FakeInstance) -> None:
        """Make a running instance a member, in service a moment later."""
        self.engine.state.tags.setdefault(instance.id, {})["aws:autoscaling:groupName"] = group.name
        member = Member(instance.id, instance.zone, str(instance.launch.get("InstanceType", "t3.micro")), None)
        said = f"an instance was attached in response to a user request: {instance.id}"
        member.activity = self._activity(group, f"Attaching an existing EC2 instance: {instance.id}", said)
        group.members[instance.id] = member
        self.engine.after(self.engine.timings.react, self._back, group.name, instance.id)

    def _back(self, name: str, instance_id: str) -> None:
        group = self._group(name)
        if group and instance_id in group.members and group.members[instance_id].lifecycle == "Pending":
            self._serve(group, group.members[instance_id])

    def _drained(self, name: str, instance_id: str) -> None:
        group = self._group(name)
        member = group.members.get(instance_id) if group else None
        if group and member and not self._wait(group, member, TERMINATING, "Terminating"):
            self._finish(group, member)

    def _finish(self, group: FakeGroup, member: Member) -> None:
        member.lifecycle = "Terminating:Proceed"
        instance = self.engine.state.instances.get(member.id)
        if instance is None or instance.state == "terminated":
            self._gone(group, member)
        else:
            self.ec2.terminate(member.id)

    def _gone(self, group: FakeGroup, member: Member) -> None:
        del group.members[member.id]
        self._close(member.activity, "Successful")
        self.wake(group)

    # -- what is heard -----------------------------------------------------------------------------------------------

    def instance_changed(self, instance: FakeInstance) -> None:
        """EC2 tells: it runs, it stops, it is gone."""
        self.targets.note(instance)
        found = self._home(instance.id)
        if self._warmed(instance) or found is None:
            return
        group, member = found
        if instance.state == "running" and member.lifecycle == "Pending":
            self._arrived(group, member)
        elif instance.state == "terminated" and member.lifecycle == "Terminating:Proceed":
            self._gone(group, member)
        elif instance.state in ("stopping", "stopped", "shutting-down", "terminated"):
            self._ail(group, member, "a EC2 health check indicating it has been terminated or stopped")

    def target_changed(self, arn: str, target: Target) -> None:
        """A target group tells: a member is unhealthy there. It counts after the grace period, if ELB checks count."""
        found = self._home(target.id)
        if found is None or target.state != "unhealthy" or arn not in found[0].sources:
            return
        group, member = found
        if "ELB" not in group.config["HealthCheckType"] or member.lifecycle != "InService":
            return
        left = member.joined + float(group.config["HealthCheckGracePeriod"]) - self.engine.now
        if left > 0:
            self.engine.after(left, self._recheck, arn, target.id)
        else:
            self._ail(group, member, "an ELB system health check failure")

    def _recheck(self, arn: str, instance_id: str) -> None:
        target = self.engine.state.targets.get(arn, {}).get(instance_id)
        if target is not None:
            self.target_changed(arn, target)

    def _ail(self, group: FakeGroup, member: Member, why: str) -> None:
        if "HealthCheck" not in group.suspended and member.healthy:
            member.healthy, member.ailing = False, why
            self.wake(group)

    def _home(self, instance_id: str) -> tuple[FakeGroup, Member] | None:
        name = self.engine.state.tags.get(instance_id, {}).get("aws:autoscaling:groupName", "")
        group = self._group(name)
        return (group, group.members[instance_id]) if group and instance_id in group.members else None

    # -- target groups -----------------------------------------------------------------------------------------------

    def traffic_changed(self, group: FakeGroup) -> None:
        """Target groups were attached: members join them in a moment."""
        self.engine.after(self.engine.timings.react, self._join_all, group.name)

    def leave(self, group: FakeGroup, arns: Iterable[str]) -> None:
        """Target groups were detached: members leave them in a moment, and drain."""
        for arn in arns:
            group.leaving[arn] = self.engine.now + self.engine.timings.react + self.targets.delay(arn)
            self.engine.after(self.engine.timings.react, self._leave_all, group.name, arn)

    def joined(self, group: FakeGroup, arn: str) -> str:
        """How far an attached target group has come: Adding, Added (all registered), InService (one is healthy)."""
        have = self.engine.state.targets.get(arn, {})
        ours = [have[m.id] for m in group.active() if m.lifecycle == "InService" and m.id in have]
        if any(target.state == "healthy" for target in ours):
            return "InService"
        serving = [member for member in group.active() if member.lifecycle == "InService"]
        return "Added" if len(ours) == len(serving) and ours else "Adding"

    def leaving(self, group: FakeGroup) -> list[str]:
        """Target groups that were detached and still drain."""
        return [arn for arn, until in group.leaving.items() if until > self.engine.now]

    def _join_all(self, name: str) -> None:
        group = self._group(name)
        for member in group.active() if group else []:
            if group and member.lifecycle == "InService":
                self._join(group, member)

    def _join(self, group: FakeGroup, member: Member) -> None:
        if "AddToLoadBalancer" in group.suspended:
            return
        for arn in group.sources:
            if self.targets.exists(arn):
                self.targets.register(arn, member.id)

    def _leave_all(self, name: str, arn: str) -> None:
        group = self._group(name)
        if group is None or arn in group.sources:
            return
        for member in group.members.values():
            self.targets.deregister(arn, member.id)

    # -- activities --------------------------------------------------------------------------------------------------

    def _activity(self, group: FakeGroup, description: str, cause: str) -> Params:
        activity: Params = {
            "ActivityId": self.engine.new_id("activity").rpartition("-")[2].rjust(36, "0"),
            "AutoScalingGroupName": group.name,
            "AutoScalingGroupARN": group.arn,
            "Description": description,
            "Cause": f"At {int(self.engine.now)}: {cause}",
            "StartTime": self.engine.now,
            "StatusCode": "InProgress",
            "Progress": 50,
            "Details": "{}",
        }
        group.activities.append(activity)
        return activity

    def _close(self, activity: Params, status: str, message: str = "") -> None:
        activity.update(StatusCode=status, EndTime=self.engine.now, Progress=100)
        if message:
            activity["StatusMessage"] = message


def _rank(member: Member, in_zone: int, newest: bool) -> tuple[int, int, float]:
    version = int(member.template["Version"]) if member.template else 0
    return (-in_zone, 0 if newest else version, -member.joined if newest else member.joined)
