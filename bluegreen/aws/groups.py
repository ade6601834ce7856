"""Auto Scaling groups: looked at, pinned, sized, and removed. How green is copied of blue stands in `copy`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile
from typing import Any

from botocore.exceptions import ClientError

from bluegreen.aws import copy, tags, templates
from bluegreen.aws.calls import Answer, Calls
from bluegreen.aws_errors import code, lacking
from bluegreen.config import Config
from bluegreen.errors import AwsError
from bluegreen.events import Act, BlueBefore, Facts, Made, Verb
from bluegreen.observation import Delays, Group, Instance
from bluegreen.release import Release, holder_of, is_name_of

#: Processes that would change a group's size, or move its instances, by themselves.
OWN_MIND = ("AZRebalance", "ScheduledActions")
#: And those that its alarms and policies do.
SCALING = (*OWN_MIND, "AlarmNotification")
#: The processes by which a group changes its instances by itself, or gives them traffic. `Terminate` is left, so that
#: a person, and the deletion of the group, can end them.
CHANGING = (
    *("Launch", "HealthCheck", "ReplaceUnhealthy", "AZRebalance", "InstanceRefresh"),
    *("AlarmNotification", "ScheduledActions", "AddToLoadBalancer"),
)
_SYMBOLIC = (templates.DEFAULT, templates.LATEST)
#: SetInstanceProtection takes this many instances a call (EC2 Auto Scaling API).
PROTECTION_BATCH = 50
#: DescribeAutoScalingInstances takes this many ids a call (EC2 Auto Scaling API).
INSTANCES_BATCH = 50
#: The transition in which hooks hold instances that leave.
TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"
#: The longest that any hook holds an instance, in seconds (EC2 Auto Scaling API, GlobalTimeout).
HOOK_MAX = 172_800.0
#: Activities that are looked through for failed launches; the newest come first (the API's largest page).
ACTIVITIES = 100
FAILED = ("Failed", "Cancelled")
DETACHING, ENDING = "Detaching EC2 instance", "Terminating EC2 instance"
#: Causes of a termination for which the version answers: the load balancer's checks, or the owner's own, failed (EC2
#: Auto Scaling user guide, reasons for health check failures).
ILL = re.compile(r"ELB|load balancer|VPC Lattice|user health-check")
#: A filter of DescribeInstances takes this many values (EC2 API).
STATES_BATCH = 200
#: Launches that began within so many seconds are one attempt.
ONE_ATTEMPT = 5.0
#: Why a launch may fail now and succeed later: AWS lacks capacity, a quota is full, a call was throttled.
MAY_PASS = re.compile(
    r"(?i)capacity|limit|quota|exceed|throttl|server\.internalerror|unavailable|try again|spot|max price"
)


@dataclass(frozen=True)
class Failed:
    """Why a group's newest launches failed, in AWS's words, and at how many attempts in a row for that same reason."""

    said: str = ""
    refused: int = 0


NOTHING = Failed()


# --- looking -------------------------------------------------------------------------------------


def describe(calls: Calls, *names: str) -> dict[str, Answer]:
    """The groups that exist of these, by name, in one call (EC2 Auto Scaling API, DescribeAutoScalingGroups)."""
    read = {name: calls.readings.group(name) for name in names}
    if None in read.values():
        answer = calls.autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=list(names))
        for name in names:
            read[name] = tuple(group for group in answer["AutoScalingGroups"] if group["AutoScalingGroupName"] == name)
            calls.readings.keep_group(name, read[name] or ())
    return {name: shown[0] for name, shown in read.items() if shown}


def described(calls: Calls, names: Sequence[str], operation: str) -> dict[str, Answer]:
    """The same, of groups that must exist; AwsError that this operation failed otherwise."""
    there = describe(calls, *names)
    for name in names:
        if name not in there:
            raise _gone(name, operation)
    return there


def suspended(group: Mapping[str, Any]) -> frozenset[str]:
    """Names of the processes of a group that are suspended."""
    return frozenset(process["ProcessName"] for process in group.get("SuspendedProcesses", []))


def of_service(calls: Calls, service: str) -> list[Answer]:
    """Every group that has the service's tag."""
    return everything(calls, Filters=[{"Name": f"tag:{tags.SERVICE}", "Values": [service]}])


def everything(calls: Calls, **filters: Any) -> list[Answer]:
    """Every group that the filters leave."""
    pages = calls.autoscaling.get_paginator("describe_auto_scaling_groups").paginate(**filters)
    return [group for page in pages for group in page["AutoScalingGroups"]]


def known(group: Answer) -> Group:
    """The same, of a group that is there."""
    found = seen(group)
    assert found is not None
    return found


def subnets(group: Answer) -> tuple[str, ...]:
    """Ids of the subnets that it launches in, as AWS shows the group."""
    return tuple(filter(None, group.get("VPCZoneIdentifier", "").split(",")))


def seen(group: Answer | None, failed: Failed = NOTHING) -> Group | None:
    """A group in our words."""
    if group is None:
        return None
    template, version = templates.reference(group)
    marks = tags.as_dict(group.get("Tags"))
    return Group(
        name=group["AutoScalingGroupName"],
        desired=group["DesiredCapacity"],
        minimum=group["MinSize"],
        maximum=group["MaxSize"],
        template=template,
        template_version=version,
        instances=tuple(_instance(i) for i in group.get("Instances", [])),
        suspended=suspended(group),
        target_groups=frozenset(target_groups(group)),
        deleting=bool(group.get("Status")),
        release=marks.get(tags.RELEASE, ""),
        token=marks.get(tags.OWNER, ""),
        held_by=marks.get(tags.HELD, ""),
        warm=group.get("WarmPoolSize", 0) if group.get("WarmPoolConfiguration") else None,
        warm_leaving=bool(group.get("WarmPoolConfiguration", {}).get("Status")),
        activity=failed.said,
        refused=failed.refused,
    )


def _instance(instance: Answer) -> Instance:
    return Instance(
        id=instance["InstanceId"],
        lifecycle=instance["LifecycleState"],
        healthy=instance["HealthStatus"] == "Healthy",
        protected=instance.get("ProtectedFromScaleIn", False),
    )


def owners(calls: Calls, ids: Iterable[str]) -> dict[str, str]:
    """Instance id -> name of its group, of those that are in one (API, DescribeAutoScalingInstances)."""
    instances = [i for i in ids if i.startswith("i-")]
    shown = [
        instance
        for batch in batches(instances, INSTANCES_BATCH)
        for instance in calls.autoscaling.describe_auto_scaling_instances(InstanceIds=batch)["AutoScalingInstances"]
    ]
    return {instance["InstanceId"]: instance["AutoScalingGroupName"] for instance in shown}


def target_groups(group: Answer) -> set[str]:
    """ARNs of the target groups that the group is attached to, in either way."""
    sources = {s["Identifier"] for s in group.get("TrafficSources", []) if ":targetgroup/" in s["Identifier"]}
    return {*group.get("TargetGroupARNs", []), *sources}


def failed(calls: Calls, name: str, since: float = 0.0) -> Failed:
    """Why the group's newest launches failed, since the last that did not (API, DescribeScalingActivities)."""
    ended = (a for a in activities(calls, name, since) if a["StatusCode"] in (*FAILED, "Successful"))
    launches = (a for a in ended if a["Description"].startswith("Launching"))
    lacking = [(a["StartTime"].timestamp(), _words(a)) for a in takewhile(_went_wrong, launches)]
    return Failed(lacking[0][1], _refusals(lacking)) if lacking else NOTHING


def _went_wrong(activity: Answer) -> bool:
    return activity["StatusCode"] in FAILED


def _words(activity: Answer) -> str:
    """AWS's words, less the token that a lifecycle action has for itself."""
    said = " ".join((activity.get("StatusMessage") or activity["StatusCode"]).split())
    return re.sub(r" with token [\w-]+", "", said)


def _refusals(lacking: list[tuple[float, str]]) -> int:
    """How many attempts failed for the newest reason, one after another; 0 when it may pass by itself.

    A group tries for all that it lacks at once: what began within seconds is one attempt.
    """
    kind = _kind(lacking[0][1])
    if MAY_PASS.search(lacking[0][1]):
        return 0
    begun = [at for at, said in takewhile(lambda one: _kind(one[1]) == kind, lacking)]
    return 1 + sum(later - earlier > ONE_ATTEMPT for later, earlier in pairwise(begun))


def _kind(said: str) -> str:
    """The same for the same reason: what is numbered, such as an instance or a zone, differs."""
    return " ".join(word for word in said.split() if not re.search(r"\d", word))


def activities(calls: Calls, name: str, since: float = 0.0) -> list[Answer]:
    """The group's last activities since then, newest first; none when it is gone (API, DescribeScalingActivities)."""
    shown = calls.autoscaling.describe_scaling_activities(AutoScalingGroupName=name, MaxRecords=ACTIVITIES)
    return [one for one in shown["Activities"] if one["StartTime"].timestamp() >= since]


def taken(calls: Calls, told: Iterable[Answer], ill: Collection[str]) -> tuple[str, ...]:
    """Whom AWS took by a group's activities: terminated for no failed check, or of those `ill` not running now. Ids."""
    ended = [a for a in told if a["Description"].startswith(ENDING) and not ILL.search(a["Cause"])]
    gone = {a["Description"].rpartition(" ")[2] for a in ended}
    return tuple(sorted(gone | _not_running(calls, ill)))


def _not_running(calls: Calls, ids: Collection[str]) -> set[str]:
    """A group notices a minute later what EC2 shows at once."""
    states = _states(calls, ids)
    return {id_ for id_ in ids if states.get(id_, "terminated") not in ("pending", "running")}


def _states(calls: Calls, ids: Collection[str]) -> dict[str, str]:
    """EC2's state of those of these instances that it still shows (EC2 API: 200 values a filter)."""
    return {
        instance["InstanceId"]: instance["State"]["Name"]
        for batch in batches(sorted(ids), STATES_BATCH)
        for one in calls.ec2.describe_instances(Filters=[{"Name": "instance-id", "Values": batch}])["Reservations"]
        for instance in one["Instances"]
    }


def detached(calls: Calls, told: Iterable[Answer], since: float) -> tuple[str, ...]:
    """Who was detached from a group since then, by its activities, runs on, and is in no group now. Ids."""
    left = [a for a in told if a["Description"].startswith(DETACHING)]
    return in_no_group(
        calls, {a["Description"].rpartition(" ")[2] for a in left if a["StartTime"].timestamp() >= since}
    )


def in_no_group(calls: Calls, ids: Collection[str]) -> tuple[str, ...]:
    """Those of these instances that are not terminated, and in no group."""
    states = _states(calls, ids)
    here = sorted(id_ for id_, state in states.items() if state not in ("shutting-down", "terminated"))
    grouped = {
        row["InstanceId"]
        for batch in batches(here, INSTANCES_BATCH)
        for row in calls.autoscaling.describe_auto_scaling_instances(InstanceIds=batch)["AutoScalingInstances"]
    }
    return tuple(id_ for id_ in here if id_ not in grouped)


def hooks(calls: Calls, name: str) -> list[Answer]:
    """The group's lifecycle hooks (EC2 Auto Scaling API, DescribeLifecycleHooks: all of them, fifty at most)."""
    found: list[Answer] = calls.autoscaling.describe_lifecycle_hooks(AutoScalingGroupName=name)["LifecycleHooks"]
    return found


def delays(calls: Calls, held: Iterable[Answer], target_groups: Iterable[str]) -> Delays:
    """How long instances of a group may take to leave, by its own hooks and its target groups' delays."""
    ending = [hook for hook in held if hook["LifecycleTransition"] == TERMINATING]
    return Delays(
        held=max((_longest(hook) for hook in ending), default=0.0),
        drain=max((_drain(calls, arn) for arn in target_groups), default=0.0),
        hooks=tuple(sorted(hook["LifecycleHookName"] for hook in ending)),
    )


def _longest(hook: Answer) -> float:
    """48 hours or a hundred heartbeats, whichever is less (EC2 Auto Scaling API, GlobalTimeout)."""
    return float(hook.get("GlobalTimeout") or min(HOOK_MAX, 100 * hook["HeartbeatTimeout"]))


def _drain(calls: Calls, arn: str) -> float:
    """Five minutes unless the target group says otherwise (ELBv2 API, deregistration_delay.timeout_seconds)."""
    shown = calls.elb.describe_target_group_attributes(TargetGroupArn=arn)["Attributes"]
    said = {attribute["Key"]: attribute["Value"] for attribute in shown}
    return float(said.get("deregistration_delay.timeout_seconds", 300))


# --- blue ----------------------------------------------------------------------------------------


def pin(calls: Calls, release: Release, act: Act) -> Made:
    """Blue's minimum to its desired size and its template reference to a number, in one call; first it is marked."""
    before = release.blue or act.blue
    assert before is not None
    blue = _must_exist(calls, release.blue_group, "UpdateAutoScalingGroup")
    if before.marked and held_by(blue) != release.mark:
        _must_be_as_before(dict(blue), before, release)
        marked = copy.marked(release.blue_group, {tags.HELD: release.mark}, spread=False)
        calls.autoscaling.create_or_update_tags(Tags=marked)
    _update(calls, release.blue_group, MinSize=before.desired, **copy.on_version(blue, before.resolved_version))
    return {}


def _must_be_as_before(blue: Answer, before: BlueBefore, release: Release) -> None:
    """A journal from before may say what blue was then, and that pinning it was begun."""
    now = (blue["MinSize"], templates.reference(blue)[1])
    if release.takes or (
        now == (before.minimum, before.template_version) and blue["DesiredCapacity"] >= before.desired
    ):
        return
    what = f"the group {release.blue_group} has changed since bluegreen read it, so bluegreen leaves it as it is"
    raise AwsError(what, code="Changed", operation="UpdateAutoScalingGroup")


def unpin(calls: Calls, release: Release) -> Made:
    """Blue's minimum and template reference back.

    A reference that means our version now (it could not be deleted) stays a number, or blue would bring up
    what was just rolled back; the answer says so.
    """
    before = _before(release)
    blue = _must_exist(calls, release.blue_group, "UpdateAutoScalingGroup")
    _must_be_held(blue, release, "UpdateAutoScalingGroup")
    version = before.template_version
    minimum = before.minimum if blue["MinSize"] == before.desired else blue["MinSize"]  # else its owner set it since
    if version != before.resolved_version:
        template = templates.look(calls, before.template, release)
        if template.ours is not None and templates.resolved(template, version) == str(template.ours):
            version = before.resolved_version
    _update(calls, release.blue_group, MinSize=minimum, **copy.on_version(blue, version))
    return {} if version == before.template_version else {"stays_on_version": version}


def unprotect(calls: Calls, release: Release, ids: Iterable[str]) -> Made:
    """Lift the scale-in protection of these instances, as far as they are still there and protected."""
    blue = _blue_to_change(calls, release, "SetInstanceProtection")
    still = {i.id for i in blue.instances if i.protected} if blue else set()
    _unprotect(calls, release.blue_group, [id_ for id_ in ids if id_ in still])
    return {}


def unprotect_all(calls: Calls, group: Answer) -> None:
    """Lift the scale-in protection of all instances of a group."""
    shown = known(group)
    _unprotect(calls, shown.name, [one.id for one in shown.instances if one.protected])


def _unprotect(calls: Calls, name: str, ids: list[str]) -> None:
    for batch in batches(ids, PROTECTION_BATCH):
        calls.autoscaling.set_instance_protection(
            AutoScalingGroupName=name, InstanceIds=batch, ProtectedFromScaleIn=False
        )


def still_blue(calls: Calls, release: Release, processes: Iterable[str]) -> Made:
    """Suspend what starts instances of blue by itself; a blue that is gone starts none."""
    blue = describe(calls, release.blue_group).get(release.blue_group)
    if blue is not None and not blue.get("Status"):
        must_not_be_anothers(blue, release, "SuspendProcesses")
        suspend(calls, release.blue_group, processes)
    return {}


def empty(calls: Calls, release: Release) -> Made:
    """Blue to size 0: its instances go through their lifecycle hooks. Its maximum is 0, too: no slip starts any.

    One of a standing pair is idle from then on: nobody holds it, and its template reference is its owner's again.
    """
    blue = describe(calls, release.blue_group).get(release.blue_group, {})
    _must_be_out(blue, release, "UpdateAutoScalingGroup")
    own = copy.on_version(blue, _before(release).template_version) if release.pair else {}
    if release.pair and held_by(blue) == release.mark:
        _take_mark_off(calls, release.blue_group)
    _update(calls, release.blue_group, MinSize=0, DesiredCapacity=0, MaxSize=0, **own)
    return {}


def drain_warm_pool(calls: Calls, release: Release) -> Made:
    """Blue's warm pool to size 0, if it has one: its instances go through their lifecycle hooks (API, PutWarmPool)."""
    if _has_warm_pool(calls, release):
        group = {"AutoScalingGroupName": release.blue_group}
        calls.autoscaling.put_warm_pool(**group, MinSize=0, MaxGroupPreparedCapacity=0)
    return {}


def delete_warm_pool(calls: Calls, release: Release) -> Made:
    """Delete blue's empty warm pool; never by force, which would pass its lifecycle hooks by (API, DeleteWarmPool)."""
    if _has_warm_pool(calls, release):
        calls.autoscaling.delete_warm_pool(AutoScalingGroupName=release.blue_group)
    return {}


def _has_warm_pool(calls: Calls, release: Release) -> bool:
    """Whether blue has one that is not on its way out."""
    blue = _blue_to_change(calls, release, "PutWarmPool")
    return blue is not None and blue.warm is not None and not blue.warm_leaving and not blue.deleting


def delete_blue(calls: Calls, release: Release) -> Made:
    """Delete the empty blue group; never by force, so AWS refuses while anything runs in it."""
    _must_not_stay(release, release.blue_group)
    blue = describe(calls, release.blue_group).get(release.blue_group)
    if blue is not None and not blue.get("Status"):
        _must_be_out(blue, release, "DeleteAutoScalingGroup")
        _delete(calls, release.blue_group)
    return {}


def _must_not_stay(release: Release, name: str) -> None:
    """Neither group of a standing pair is this tool's to delete, whatever was decided."""
    if release.pair:
        what = f"the group {name} is of a standing pair, so bluegreen does not delete it"
        raise AwsError(what, code="OfAPair", operation="DeleteAutoScalingGroup")


def _must_be_out(blue: Answer, release: Release, operation: str) -> None:
    """What is in the load balancer serves, whatever the journal says: it is neither emptied nor deleted."""
    must_not_be_anothers(blue, release, operation)
    still = target_groups(blue) & set(release.target_groups)
    if still or release.blue_group == release.green_group:
        what = f"the group {release.blue_group} is in the load balancer, so bluegreen leaves it as it is"
        raise AwsError(what, code="InTraffic", operation=operation, transient=bool(still))


# --- what earlier releases kept empty ------------------------------------------------------------


def emptied(config: Config, release: Release, shown: Iterable[Answer]) -> tuple[str, ...]:
    """Those of these groups that earlier releases of the service made and kept empty, but for this release's own blue.

    It leaves out the configured group, because that belongs to someone else, such as Terraform. It also leaves out
    groups that have instances, are attached to anything, or have a name that their release did not give.
    """
    if config.retire != "empty" or config.groups:
        return ()
    kept = {config.group, release.blue_group, release.green_group}
    return tuple(
        group["AutoScalingGroupName"]
        for group in shown
        if group["AutoScalingGroupName"] not in kept and _of_earlier(group, release) and _is_empty(group)
    )


def _of_earlier(group: Answer, release: Release) -> bool:
    service, _, number = tags.as_dict(group.get("Tags")).get(tags.RELEASE, "").rpartition("#")
    if service != release.service or not number.isdecimal() or int(number) >= release.number:
        return False
    name = str(group["AutoScalingGroupName"])
    return name.endswith(f"-v{number}") and is_name_of(release.service, name)


def _is_empty(group: Answer) -> bool:
    size = group["MinSize"] + group["DesiredCapacity"] + len(group.get("Instances", []))
    attached = group.get("TrafficSources") or target_groups(group) or group.get("WarmPoolConfiguration")
    return not (size or attached or group.get("Status"))


def drop(calls: Calls, config: Config, release: Release, name: str) -> Made:
    """Delete a group that an earlier release kept empty, if it still is; never by force."""
    there = describe(calls, name)
    if name in there and not there[name].get("Status"):
        if name not in emptied(config, release, there.values()):
            what = f"the group {name} is in use, or not of an earlier release of {release.service}, so it stays"
            raise AwsError(what, code="NotOurs", operation="DeleteAutoScalingGroup")
        _delete(calls, name)
    return {"group": name}


# --- green ---------------------------------------------------------------------------------------


def create(calls: Calls, release: Release) -> Made:
    """Green as a faithful copy of blue; an existing group counts if it has our token."""
    there = describe(calls, release.blue_group, release.green_group)
    if release.green_group in there:
        return _ours(there[release.green_group], release)
    if release.blue_group not in there:
        raise _gone(release.blue_group, "CreateAutoScalingGroup")
    try:
        held = hooks(calls, release.blue_group)
        calls.autoscaling.create_auto_scaling_group(**copy.green(there[release.blue_group], held, release))
    except ClientError as error:
        if code(error) not in ("AlreadyExists", "AlreadyExistsFault"):
            raise
        found = describe(calls, release.green_group).get(release.green_group)
        if found is None:
            what = f"AWS says that the group {release.green_group} exists, but does not show it yet"
            raise AwsError(what, code=code(error), operation="CreateAutoScalingGroup", transient=True) from error
        return _ours(found, release)
    return {"group": release.green_group}


def _ours(green: Answer, release: Release) -> Made:
    """The group is what we would have made; AwsError when it is somebody else's, or not as we make it."""
    name = release.green_group
    if not is_ours(green, release):
        what = f"a group of {tags.maker(green.get('Tags'))} has the name {name}, so bluegreen leaves it as it is"
        hint = "Release again: the next release has another name."
        raise AwsError(what, code="AlreadyExists", operation="CreateAutoScalingGroup", hint=hint)
    if templates.reference(green)[1] != str(release.template_version):
        what = (
            f"the group {name} is on template version {templates.reference(green)[1]}, not {release.template_version}"
        )
        raise AwsError(what, code="AlreadyExists", operation="CreateAutoScalingGroup")
    return {"group": name}


def grow(calls: Calls, release: Release, size: int) -> Made:
    """Green to this size; never smaller."""
    green = own_green(calls, release, "UpdateAutoScalingGroup")
    _must_be_held(green, release, "UpdateAutoScalingGroup")
    size = max(size, green["DesiredCapacity"])
    _update(calls, release.green_group, MinSize=size, DesiredCapacity=size, MaxSize=max(size, green["MaxSize"]))
    return {"size": size}


def restore(calls: Calls, release: Release) -> Made:
    """The sizes that blue would have for green, and its owner's template reference where it means our version now.

    Where it now means another, green stays on its number; the answer says so.
    """
    green = own_green(calls, release, "UpdateAutoScalingGroup")
    _must_be_held(green, release, "UpdateAutoScalingGroup")
    sizes, reference = _sizes_for(green, release), release.reference
    if reference not in _SYMBOLIC:
        _update(calls, release.green_group, **sizes)
        return {}
    meant = templates.resolved(templates.look(calls, release.template), reference)
    if meant == str(release.template_version):
        _update(calls, release.green_group, **sizes, **copy.on_version(green, reference))
        return {}
    _update(calls, release.green_group, **sizes)
    return {"stays_on_version": release.template_version}


def _sizes_for(green: Mapping[str, Any], release: Release) -> Answer:
    """Blue's own bounds, as its owner left them, and its size where something made it grow since green replaced it."""
    before, followed = _before(release), release.followed
    if followed is None or followed.minimum is None or followed.maximum is None:
        return {"MinSize": before.minimum, "MaxSize": max(before.maximum, green["DesiredCapacity"])}
    minimum = before.minimum if followed.minimum == before.desired else followed.minimum
    blue = followed.desired or 0
    desired = max(green["DesiredCapacity"], blue if blue > release.size else 0, minimum)
    return {"MinSize": minimum, "MaxSize": max(followed.maximum, desired), "DesiredCapacity": desired}


def delete_green(calls: Calls, release: Release) -> Made:
    """Delete green with its instances; only if it is this release's. Blue's deletion protection was copied: lifted."""
    _must_not_stay(release, release.green_group)
    green = describe(calls, release.green_group).get(release.green_group)
    if green is None or green.get("Status"):
        return {}
    must_be_ours(green, release, "DeleteAutoScalingGroup")
    if green.get("DeletionProtection", "none") != "none":
        _update(calls, release.green_group, DeletionProtection="none")
    _delete(calls, release.green_group, ForceDelete=True)
    return {}


def keep_green(calls: Calls, release: Release) -> Made:
    """Nothing may launch, replace, register or scale green's instances any more: they stay as they failed."""
    green = own_green(calls, release, "SuspendProcesses")
    if target_groups(green) & set(release.target_groups):
        what = f"the group {release.green_group} is in the load balancer"
        raise AwsError(what, code="InTraffic", operation="SuspendProcesses", transient=True)
    suspend(calls, release.green_group, CHANGING)
    return {}


def remove_left(calls: Calls, release: Release) -> bool:
    """Delete green with its instances if it is attached to nothing; whether there was anything to delete, or is yet."""
    green = describe(calls, release.green_group).get(release.green_group)
    if green is None or green.get("Status"):
        return green is not None
    must_be_ours(green, release, "DeleteAutoScalingGroup")
    if attached := attachments_of(green):
        what = f"the group {release.green_group} is attached to {', '.join(attached)}, so bluegreen leaves it as it is"
        raise AwsError(what, code="InTraffic", operation="DeleteAutoScalingGroup")
    delete_green(calls, release)
    return True


def attachments_of(group: Answer) -> list[str]:
    """What gives it traffic: target groups, load balancers of the first generation, and other sources."""
    sources = (source["Identifier"] for source in group.get("TrafficSources", []))
    return sorted({*target_groups(group), *group.get("LoadBalancerNames", []), *sources})


def is_ours(group: Mapping[str, Any], release: Release) -> bool:
    """Whether this release made the group, and the group is not its blue."""
    return group["AutoScalingGroupName"] != release.blue_group and tags.owned(group.get("Tags"), release)


def must_be_ours(group: Mapping[str, Any], release: Release, operation: str) -> None:
    """AwsError when the group is not this release's to take out of traffic or to delete."""
    if not is_ours(group, release):
        name = group["AutoScalingGroupName"]
        maker = tags.maker(group.get("Tags"))
        what = f"the group {name} is of {maker}, not of this release, so bluegreen leaves it as it is"
        # One of a standing pair was there before it was marked: a read may be older than the mark.
        raise AwsError(what, code="NotOurs", operation=operation, transient=release.pair)


def own_green(calls: Calls, release: Release, operation: str) -> Answer:
    """Green, which must exist and be this release's; AwsError otherwise."""
    green = _must_exist(calls, release.green_group, operation)
    must_be_ours(green, release, operation)
    return green


def must_be_known(group: Mapping[str, Any], known: Facts, operation: str) -> None:
    """AwsError when the group is not the one that was in the target groups: another group has its name now."""
    borne = tags.as_dict(group.get("Tags"))
    if (borne.get(tags.RELEASE, ""), borne.get(tags.OWNER, "")) != (known["release"], known["token"]):
        name = group["AutoScalingGroupName"]
        what = f"the group {name} differs from the group at the start of this release, so bluegreen leaves it as it is"
        raise AwsError(what, code="NotOurs", operation=operation)


# --- processes -----------------------------------------------------------------------------------


def suspend_blue(calls: Calls, release: Release) -> Made:
    """Suspend what would change blue by itself; alarms may still make it grow."""
    _must_be_held(_must_exist(calls, release.blue_group, "SuspendProcesses"), release, "SuspendProcesses")
    suspend(calls, release.blue_group, OWN_MIND)
    return {}


def suspend_green(calls: Calls, release: Release) -> Made:
    """Suspend on green what blue had suspended, and what would change it by itself.

    Of a standing pair only what scales is as on blue: its alarms were suspended as long as it was idle.
    """
    green = _must_exist(calls, release.green_group, "SuspendProcesses")
    _must_be_held(green, release, "SuspendProcesses")
    theirs = {*_before(release).suspended}
    suspend(calls, release.green_group, sorted({*OWN_MIND, *(theirs & {*SCALING} if release.pair else theirs)}))
    if release.pair and {*SCALING} & suspended(green) - theirs - {*OWN_MIND}:
        calls.autoscaling.resume_processes(
            AutoScalingGroupName=release.green_group, ScalingProcesses=["AlarmNotification"]
        )
    return {}


def resume(calls: Calls, release: Release, name: str) -> Made:
    """Resume what only we suspended, and take our mark off."""
    group = _must_exist(calls, name, "ResumeProcesses")
    _must_be_held(group, release, "ResumeProcesses")
    suspended = {*OWN_MIND, *_stilled(release, name)}
    ours = sorted(suspended - {*_before(release).suspended})
    if ours:
        calls.autoscaling.resume_processes(AutoScalingGroupName=name, ScalingProcesses=ours)
    if held_by(group) == release.mark:
        _take_mark_off(calls, name)
    return {}


def _take_mark_off(calls: Calls, name: str) -> None:
    """The mark of a release that is over does no harm, so it stays where we may not remove it."""
    try:
        calls.autoscaling.delete_tags(Tags=[tag(name, tags.HELD)])
    except ClientError as error:
        if not lacking(error):
            raise


# --- whose settings ------------------------------------------------------------------------------


def held_by(group: Mapping[str, Any]) -> str:
    """The mark of the release that holds the group; "" without one."""
    return tags.as_dict(group.get("Tags")).get(tags.HELD, "")


def tag(name: str, key: str) -> Answer:
    """A tag of a group, as DeleteTags takes it."""
    return {"ResourceId": name, "ResourceType": "auto-scaling-group", "Key": key}


def _must_be_held(group: Mapping[str, Any], release: Release, operation: str) -> None:
    """Only its holder changes it. A read may be older than the mark, so the error passes: a later look decides."""
    if not release.holds(held_by(group)):
        raise _of_another(group, operation)


def must_not_be_anothers(group: Mapping[str, Any], release: Release, operation: str) -> None:
    """AwsError when another release holds the group: an old journal may take for its blue what serves by now."""
    if release.held_by_another(held_by(group)):
        raise _of_another(group, operation)


def _blue_to_change(calls: Calls, release: Release, operation: str) -> Group | None:
    """Blue, None when it is gone; AwsError when another release holds it."""
    shown = describe(calls, release.blue_group).get(release.blue_group, {})
    must_not_be_anothers(shown, release, operation)
    return seen(shown or None)


def _of_another(group: Mapping[str, Any], operation: str) -> AwsError:
    holder = holder_of(held_by(group)) or "nobody"
    name = group["AutoScalingGroupName"]
    what = f"the group {name} is held by {holder}, not by this release, so bluegreen leaves it as it is"
    return AwsError(what, code="NotHeld", operation=operation, transient=True)


def _stilled(release: Release, name: str) -> tuple[str, ...]:
    """The processes that were suspended so that nothing starts blue again."""
    act = release.act(Verb.STILL_BLUE) if name == release.blue_group else None
    return act.processes if act else ()


def suspend(calls: Calls, name: str, processes: Iterable[str]) -> None:
    """Suspend these processes of a group."""
    calls.autoscaling.suspend_processes(AutoScalingGroupName=name, ScalingProcesses=list(processes))


# --- helpers -------------------------------------------------------------------------------------


def batches(items: list[str], size: int) -> list[list[str]]:
    """The items in lists of at most `size`."""
    return [items[n : n + size] for n in range(0, len(items), size)]


def _before(release: Release) -> BlueBefore:
    assert release.blue is not None
    return release.blue


def _update(calls: Calls, name: str, **changes: Any) -> None:
    calls.autoscaling.update_auto_scaling_group(AutoScalingGroupName=name, **changes)


def _delete(calls: Calls, name: str, **how: Any) -> None:
    """Delete; a group that went in between is as good (the API has no error of its own for it)."""
    try:
        calls.autoscaling.delete_auto_scaling_group(AutoScalingGroupName=name, **how)
    except ClientError as error:
        if code(error) != "ValidationError" or "not found" not in str(error):
            raise


def _must_exist(calls: Calls, name: str, operation: str) -> Answer:
    return described(calls, (name,), operation)[name]


def _gone(name: str, operation: str) -> AwsError:
    return AwsError(f"the group {name} does not exist", code="NotFound", operation=operation)
