"""What is attached to a group by calls of its own: read, carried over to green, handed over, and removed again.

`OPERATIONS` says for each such call of the API what becomes of what it attaches. A test reads botocore's model and
fails when AWS adds a call that is not in the table, as for the members of a group in `copy`.

    attach          green gets what blue has; called again it finds nothing to do, which is the proof that it worked
    follow          green gets what blue's owner changed since
    hand_over       the alarms of blue's policies watch green from now on; their copies go
    drop_copies     the copies of alarms go, before green goes
    catch_up        the sizes that scheduled actions would have set while they were suspended

Everything is put under its own name, so that a call that is repeated changes nothing. Alarms have the names of their
account: a copy has green's name behind its own, until the alarm itself is handed over.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from bluegreen.aws import copy, groups, tags
from bluegreen.aws.calls import Answer, Calls
from bluegreen.events import AttachedParts, Made, Verb
from bluegreen.observation import Finding, FindingKey, Verdict
from bluegreen.release import Release
from bluegreen.schedules import Schedule, missed, read, shown_and_recorded

Parts = dict[str, Any]


class Fate(StrEnum):
    """What becomes of what a call attaches to blue."""

    CARRIED = "carried"  # green gets the same, see `KINDS`
    OURS = "ours"  # this release decides on it
    LATER = "later"  # green gets it when it is live
    INSTANCES = "instances"  # it is of single instances, which green does not share
    REFUSED = "refused"  # a blue that has it is refused before the release (see `preflight`)
    ACCOUNT = "account"  # it is of the account or of something else that green uses, too


OPERATIONS: Mapping[str, Fate] = {
    "AttachInstances": Fate.INSTANCES,
    "AttachLoadBalancerTargetGroups": Fate.OURS,
    "AttachLoadBalancers": Fate.REFUSED,
    "AttachTrafficSources": Fate.OURS,
    "BatchPutScheduledUpdateGroupAction": Fate.CARRIED,
    "CreateAutoScalingGroup": Fate.OURS,  # see `copy.MEMBERS`
    "CreateLaunchConfiguration": Fate.REFUSED,
    "CreateOrUpdateTags": Fate.CARRIED,
    "EnableMetricsCollection": Fate.CARRIED,
    "EnterStandby": Fate.INSTANCES,
    "PutAccountSetting": Fate.ACCOUNT,
    "PutLifecycleHook": Fate.CARRIED,
    "PutNotificationConfiguration": Fate.CARRIED,
    "PutScalingPolicy": Fate.CARRIED,
    "PutScheduledUpdateGroupAction": Fate.CARRIED,
    "PutWarmPool": Fate.LATER,
    "SetDesiredCapacity": Fate.OURS,
    "SetInstanceHealth": Fate.INSTANCES,
    "SetInstanceProtection": Fate.INSTANCES,
    "StartInstanceRefresh": Fate.REFUSED,  # one that is under way
    "SuspendProcesses": Fate.CARRIED,
}
#: What PutMetricAlarm takes of what DescribeAlarms shows.
ALARM = (
    "ActionConfiguration",
    "ActionsEnabled",
    "AlarmActions",
    "AlarmDescription",
    "AlarmName",
    "ComparisonOperator",
    "DatapointsToAlarm",
    "Dimensions",
    "EvaluateLowSampleCountPercentile",
    "EvaluationCriteria",
    "EvaluationInterval",
    "EvaluationPeriods",
    "EvaluationWindow",
    "ExtendedStatistic",
    "InsufficientDataActions",
    "MetricName",
    "Metrics",
    "Namespace",
    "OKActions",
    "Period",
    "Statistic",
    "Threshold",
    "ThresholdMetricId",
    "TreatMissingData",
    "Unit",
    "WarmUpConfiguration",
)
#: The lists of what an alarm does.
ACTIONS = ("AlarmActions", "OKActions", "InsufficientDataActions")
#: What PutWarmPool takes of what DescribeWarmPool shows.
WARM_POOL = ("MaxGroupPreparedCapacity", "MinSize", "PoolState", "InstanceReusePolicy")
#: What a scheduled action shows and PutScheduledUpdateGroupAction takes; `Time` is an older name of `StartTime`.
SCHEDULE = (
    "ScheduledActionName",
    "StartTime",
    "EndTime",
    "Recurrence",
    "TimeZone",
    "MinSize",
    "MaxSize",
    "DesiredCapacity",
)
#: Alarms that AWS makes and removes with a target tracking policy (EC2 Auto Scaling user guide).
AWS_OWN = "TargetTracking-"
#: An alarm's name has at most so many characters; DescribeAlarms and DeleteAlarms take so many names (CloudWatch API).
NAME_MAX, ALARM_BATCH = 255, 100
#: Tags that an alarm can have (CloudWatch API, PutMetricAlarm).
ALARM_TAGS_MAX = 50
#: A scheduled action may not begin in the past; so many seconds before it would, its start is not given.
SOON = 5.0


# --- reading -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Attachments:
    """A group, as it is shown, and what is attached to it: kind -> name -> as the call that puts it takes it."""

    group: Answer
    kinds: Mapping[str, Parts]
    policy_arns: Mapping[str, str]  # policy name -> ARN
    alarms: tuple[Answer, ...]  # that act by its policies, less AWS's own; as DescribeAlarms shows them

    @property
    def names(self) -> dict[str, tuple[str, ...]]:
        """Kind -> names, of what people would look for; less what every group has."""
        told = {kind: tuple(parts) for kind, parts in self.kinds.items() if kind not in ("setting", "tag")}
        told["alarm"] = tuple(alarm["AlarmName"] for alarm in self.alarms)
        told["warm pool"] = ("when it is live",) if _pool(self.group) else ()
        return {kind: names for kind, names in told.items() if names}

    def parts(self) -> Iterator[tuple[str, Any]]:
        """`kind name` -> what it is."""
        for kind, parts in self.kinds.items():
            for name, part in parts.items():
                yield f"{kind} {name}", part


def look(
    calls: Calls, group: Answer, hooks: Sequence[Answer] | None = None, kinds: Collection[str] | None = None
) -> Attachments:
    """What is attached to a group that was described; `hooks` where they were looked at before, only these `kinds`."""
    name = group["AutoScalingGroupName"]
    asked = KINDS.keys() if kinds is None else kinds
    policies = _policies(calls, name) if "scaling policy" in asked else []
    actions = scheduled(calls, name) if "scheduled action" in asked else []
    held = _hooks(calls, name, hooks) if "lifecycle hook" in asked else []
    shown = _alarms(calls, {one["AlarmName"] for policy in policies for one in policy.get("Alarms", [])})
    return Attachments(
        group=group,
        kinds={
            "setting": copy.settings(group),
            "tag": {tag["Key"]: [tag["Value"], tag["PropagateAtLaunch"]] for tag in copy.own_tags(group)},
            "suspended process": dict.fromkeys(sorted(groups.suspended(group) - {*groups.OWN_MIND}), True),
            "metric": {one["Metric"]: one["Granularity"] for one in group.get("EnabledMetrics", [])},
            "lifecycle hook": {one["LifecycleHookName"]: copy.shown(one, copy.HOOK) for one in held},
            "notification": _notifications(_notified(calls, name) if "notification" in asked else []),
            "scaling policy": {one["PolicyName"]: _policy(one) for one in policies},
            "scheduled action": {one["ScheduledActionName"]: copy.shown(one, SCHEDULE) for one in actions},
        },
        policy_arns={policy["PolicyName"]: policy["PolicyARN"] for policy in policies},
        alarms=tuple(shown),
    )


def findings(blue: Attachments) -> Iterator[Finding]:
    """What a person should know of what is attached to blue, before anything begins."""
    name = blue.group["AutoScalingGroupName"]
    if _pool(blue.group):
        harm = "green gets one like it when it is live, and scales out without one until then"
        yield Finding(FindingKey.WARM_POOL, f"{name} has a warm pool", harm, Verdict.NOTED)
    policies = blue.kinds["scaling policy"].items()
    foretelling = [policy for policy, part in policies if part.get("PolicyType") == "PredictiveScaling"]
    if foretelling:
        found = f"{name} has the predictive scaling policy {' and '.join(foretelling)}"
        harm = "green gets it, and forecasts nothing until it has 24 hours of history of its own"
        hint = (
            "Let the policy use custom metrics with a SEARCH over the names of the service's groups, as the EC2 Auto "
            "Scaling user guide advises for blue/green."
        )
        yield Finding(FindingKey.PREDICTIVE_SCALING, found, harm, hint=hint)


def _hooks(calls: Calls, name: str, known: Sequence[Answer] | None) -> list[Answer]:
    """Without those that hold green for somebody who does not know it."""
    hooks = groups.hooks(calls, name) if known is None else known
    return [hook for hook in hooks if not copy.is_foreign(hook)]


def scheduled(calls: Calls, name: str) -> list[Answer]:
    """The group's scheduled actions, as the API shows them (DescribeScheduledActions)."""
    pages = calls.autoscaling.get_paginator("describe_scheduled_actions").paginate(AutoScalingGroupName=name)
    return [one for page in pages for one in page["ScheduledUpdateGroupActions"]]


def schedules(calls: Calls, name: str) -> list[dict[str, Any]]:
    """The same, JSON-ready: what a release records before it suspends them."""
    return [read(one).to_facts() for one in scheduled(calls, name)]


def _policies(calls: Calls, name: str) -> list[Answer]:
    pages = calls.autoscaling.get_paginator("describe_policies").paginate(AutoScalingGroupName=name)
    return [one for page in pages for one in page["ScalingPolicies"]]


def _notified(calls: Calls, name: str) -> list[Answer]:
    pages = calls.autoscaling.get_paginator("describe_notification_configurations").paginate(
        AutoScalingGroupNames=[name]
    )
    return [one for page in pages for one in page["NotificationConfigurations"]]


def _alarms(calls: Calls, names: Collection[str]) -> list[Answer]:
    wanted = sorted(name for name in names if not name.startswith(AWS_OWN))
    return [
        alarm
        for batch in groups.batches(wanted, ALARM_BATCH)
        for alarm in calls.cloudwatch.describe_alarms(AlarmNames=batch, AlarmTypes=["MetricAlarm"])["MetricAlarms"]
    ]


def _policy(shown: Answer) -> Parts:
    """PutScalingPolicy takes all that DescribePolicies shows but these (botocore's model)."""
    left = ("PolicyARN", "Alarms", "AutoScalingGroupName")
    return copy.shown(shown, shown.keys() - set(left))


def _notifications(rows: Iterable[Answer]) -> Parts:
    """Topic -> types of notification."""
    topics: dict[str, list[str]] = {}
    for row in rows:
        topics.setdefault(row["TopicARN"], []).append(row["NotificationType"])
    return {topic: sorted(types) for topic, types in topics.items()}


# --- what green is to have -----------------------------------------------------------------------


def for_green(value: Any, release: Release) -> Any:
    """The same, with green in blue's place.

    That is the group's name in dimensions and expressions and, with weights, the target group wherever it is named.
    """
    match value:
        case {"Name": "AutoScalingGroupName", "Value": release.blue_group}:
            return {**value, "Value": release.green_group}
        case Mapping():
            return {
                key: _renamed(one, release) if key == "Expression" else for_green(one, release)
                for key, one in value.items()
            }
        case list() | tuple():
            return [for_green(one, release) for one in value]
        case str():
            return _rehomed(value, release)
    return value


def _renamed(expression: str, release: Release) -> str:
    """A SEARCH names groups in the text of its expression."""
    name = rf"(?<![\w-]){re.escape(release.blue_group)}(?![\w-])"
    return _rehomed(re.sub(name, release.green_group, expression), release)


def _rehomed(text: str, release: Release) -> str:
    if not release.weighted:
        return text
    for blue, green in zip(release.blue_targets, release.green_targets, strict=True):
        text = text.replace(_resource(blue), _resource(green))
    return text


def _resource(arn: str) -> str:
    """`targetgroup/web/0123`, as dimensions and resource labels have it."""
    return arn.rpartition(":")[2]


def copy_name(alarm: str, release: Release) -> str:
    """The name of an alarm's copy."""
    name = f"{alarm}-{release.green_group}"
    if len(name) <= NAME_MAX:
        return name
    return f"{alarm[: NAME_MAX - len(release.green_group) - 10]}-{_fingerprint(alarm)[:8]}-{release.green_group}"


def _copied(alarm: Answer, release: Release, blue: Attachments, green: Mapping[str, str]) -> Answer:
    """Of other groups' policies a copy is none of the business: they would be told twice."""
    given = _replaced(copy.shown(alarm, ALARM), release, blue, green)
    for which in ACTIONS:
        given[which] = [one for one in given.get(which, []) if ":scalingPolicy:" not in one or one in green.values()]
    return {**given, "AlarmName": copy_name(alarm["AlarmName"], release)}


def _replaced(alarm: Answer, release: Release, blue: Attachments, green: Mapping[str, str]) -> Answer:
    """The alarm, watching green, and acting by green's policies of the same names where it acts by blue's."""
    arns = {arn: green[name] for name, arn in blue.policy_arns.items() if name in green}
    given: Answer = for_green(alarm, release)
    for which in ACTIONS:
        given[which] = [arns.get(one, one) for one in alarm.get(which, [])]
    return given


# --- putting it there ----------------------------------------------------------------------------


Put = Callable[[Calls, str, Parts, Release], None]
Drop = Callable[[Calls, str, Collection[str]], None]


def _put_settings(calls: Calls, name: str, parts: Parts, release: Release) -> None:
    calls.autoscaling.update_auto_scaling_group(AutoScalingGroupName=name, **parts)


def _put_tags(calls: Calls, name: str, parts: Parts, release: Release) -> None:
    given = [
        {**groups.tag(name, key), "Value": value, "PropagateAtLaunch": spread} for key, (value, spread) in parts.items()
    ]
    calls.autoscaling.create_or_update_tags(Tags=given)


def _drop_tags(calls: Calls, name: str, keys: Collection[str]) -> None:
    calls.autoscaling.delete_tags(Tags=[groups.tag(name, key) for key in keys])


def _suspend(calls: Calls, name: str, parts: Parts, release: Release) -> None:
    groups.suspend(calls, name, sorted(parts))


def _resume(calls: Calls, name: str, processes: Collection[str]) -> None:
    calls.autoscaling.resume_processes(AutoScalingGroupName=name, ScalingProcesses=sorted(processes))


def _put_metrics(calls: Calls, name: str, parts: Parts, release: Release) -> None:
    for granularity in sorted(set(parts.values())):
        metrics = [metric for metric, own in parts.items() if own == granularity]
        calls.autoscaling.enable_metrics_collection(AutoScalingGroupName=name, Granularity=granularity, Metrics=metrics)


def _drop_metrics(calls: Calls, name: str, metrics: Collection[str]) -> None:
    calls.autoscaling.disable_metrics_collection(AutoScalingGroupName=name, Metrics=sorted(metrics))


def _put_hooks(calls: Calls, name: str, parts: Parts, release: Release) -> None:
    for hook in parts.values():
        calls.autoscaling.put_lifecycle_hook(AutoScalingGroupName=name, **hook)


def _drop_hooks(calls: Calls, name: str, hooks: Collection[str]) -> None:
    for hook in sorted(hooks):
        calls.autoscaling.delete_lifecycle_hook(AutoScalingGroupName=name, LifecycleHookName=hook)


def _put_notifications(calls: Calls, name: str, parts: Parts, release: Release) -> None:
    for topic, types in parts.items():
        calls.autoscaling.put_notification_configuration(
            AutoScalingGroupName=name, TopicARN=topic, NotificationTypes=types
        )


def _drop_notifications(calls: Calls, name: str, topics: Collection[str]) -> None:
    for topic in sorted(topics):
        calls.autoscaling.delete_notification_configuration(AutoScalingGroupName=name, TopicARN=topic)


def _put_policies(calls: Calls, name: str, parts: Parts, release: Release) -> None:
    for policy in parts.values():
        calls.autoscaling.put_scaling_policy(AutoScalingGroupName=name, **policy)


def _drop_policies(calls: Calls, name: str, policies: Collection[str]) -> None:
    for policy in sorted(policies):
        calls.autoscaling.delete_policy(AutoScalingGroupName=name, PolicyName=policy)


def _put_schedules(calls: Calls, name: str, parts: Parts, release: Release) -> None:
    for action in parts.values():
        given = {
            member: value for member, value in action.items() if member != "StartTime" or not _began(action, release)
        }
        calls.autoscaling.put_scheduled_update_group_action(AutoScalingGroupName=name, **given)


def _began(action: Any, release: Release) -> bool:
    """AWS takes no action that begins in the past."""
    start = action.get("StartTime") if isinstance(action, Mapping) else None
    return start is not None and start.timestamp() <= release.last_at + SOON


def _is_over(part: Any, release: Release) -> bool:
    """An action that is due once, and was: it is caught up in the end."""
    return _began(part, release) and "Recurrence" not in part


def _drop_schedules(calls: Calls, name: str, actions: Collection[str]) -> None:
    for action in sorted(actions):
        calls.autoscaling.delete_scheduled_action(AutoScalingGroupName=name, ScheduledActionName=action)


def _leave(calls: Calls, name: str, keys: Collection[str]) -> None:
    """A setting is never taken back: a group shows a default where none was given."""


#: How each kind is put on green, and taken off again when its owner took it off blue; in this order.
KINDS: Mapping[str, tuple[Put, Drop]] = {
    "setting": (_put_settings, _leave),
    "tag": (_put_tags, _drop_tags),
    "suspended process": (_suspend, _resume),
    "metric": (_put_metrics, _drop_metrics),
    "lifecycle hook": (_put_hooks, _drop_hooks),
    "notification": (_put_notifications, _drop_notifications),
    "scaling policy": (_put_policies, _drop_policies),
    "scheduled action": (_put_schedules, _drop_schedules),
}


def attach(calls: Calls, release: Release) -> Made:
    """Green gets what blue has. Done again it finds nothing that differs: that is the proof."""
    return {"attached": _sync(calls, release, _both(calls, release), None, _given(release))}


def follow(calls: Calls, release: Release) -> Made:
    """Green gets what blue's owner changed on blue since green was made; what they changed on green stays.

    The answer holds blue's own sizes and warm pool, which are green's in the end.
    """
    there = _both(calls, release)
    blue = there[release.blue_group]
    sizes = {"minimum": blue["MinSize"], "maximum": blue["MaxSize"], "desired": blue["DesiredCapacity"]}
    if release.pair:  # what is attached to either is its owner's
        return {"attached": AttachedParts((), {}, (), **sizes)}
    attached = _sync(calls, release, there, release.attached.parts if release.attached else None, _given(release))
    return {"attached": replace(attached, **sizes, warm_pool=_pool(blue))}


def _pool(group: Answer) -> Parts:
    """The settings of its warm pool, {} when it has none, or none for long."""
    pool = group.get("WarmPoolConfiguration", {})
    return {} if pool.get("Status") else copy.shown(pool, WARM_POOL)


def _given(release: Release) -> Collection[str]:
    """What green was given until now, by name: if blue has it no more, its owner took it off."""
    return release.attached.parts.keys() if release.attached else ()


def _both(calls: Calls, release: Release) -> dict[str, Answer]:
    there = groups.described(calls, (release.blue_group, release.green_group), "PutScalingPolicy")
    groups.must_be_ours(there[release.green_group], release, "PutScalingPolicy")
    return there


def _sync(
    calls: Calls,
    release: Release,
    there: Mapping[str, Answer],
    known: Mapping[str, str] | None,
    given: Collection[str],
) -> AttachedParts:
    """Put on green what it lacks of blue's, or what was changed; take off what was `given` and blue has no more.

    `known`: the fingerprints of what green was given before, None to compare everything. Of green only those kinds are
    read in which something may differ.
    """
    blue = look(calls, there[release.blue_group])
    now = {key: _fingerprint(part) for key, part in blue.parts()}
    later = {f"scaling policy {name}" for name in _early(blue, there[release.green_group], release)}
    news = {key for key in now if known is None or now[key] != known.get(key)} - later
    gone = set(given) - now.keys()
    kinds = [kind for kind in KINDS if any(key.startswith(f"{kind} ") for key in (*news, *gone))]
    green = look(calls, there[release.green_group], kinds=kinds)
    changed = [
        *_put_all(calls, release, blue, green, news),
        *_drop_all(calls, release, green, gone),
        *_put_copies(calls, release, blue),
    ]
    copies = sorted(copy_name(alarm["AlarmName"], release) for alarm in blue.alarms)
    return AttachedParts(tuple(changed), now, tuple(copies), tuple(sorted(later)))


def _early(blue: Attachments, green: Answer, release: Release) -> Iterator[str]:
    """Policies that name a target group which green is not in yet (EC2 Auto Scaling API, PutScalingPolicy)."""
    home = {_resource(arn) for arn in groups.target_groups(green)}
    for name, part in blue.kinds["scaling policy"].items():
        labels = re.findall(r"targetgroup/[\w-]+/\w+", json.dumps(for_green(part, release), default=str))
        if set(labels) - home:
            yield name


def _put_all(
    calls: Calls, release: Release, blue: Attachments, green: Attachments, news: Collection[str]
) -> Iterator[str]:
    for kind, (put, _) in KINDS.items():
        own = {name: part for name, part in blue.kinds[kind].items() if f"{kind} {name}" in news}
        wanted = {name: for_green(part, release) for name, part in own.items() if not _is_over(part, release)}
        lacking = {name: part for name, part in wanted.items() if _differ(part, green.kinds[kind].get(name))}
        if lacking:
            put(calls, release.green_group, lacking, release)
            yield from (f"{kind} {name}" for name in lacking)


def _drop_all(calls: Calls, release: Release, green: Attachments, gone: Collection[str]) -> Iterator[str]:
    """Of what green was given only what blue has no more: others may have attached something to green."""
    for kind, (_, drop) in KINDS.items():
        over = sorted(name for name in green.kinds[kind] if f"{kind} {name}" in gone)
        if over:
            drop(calls, release.green_group, over)
            yield from (f"{kind} {name}" for name in over)


def _differ(wanted: Any, there: Any) -> bool:
    return there is None or _fingerprint(wanted) != _fingerprint(there)


def _fingerprint(part: Any) -> str:
    """The same for what means the same: in lists the order says nothing, and a recurring action's start moves on."""
    if isinstance(part, Mapping) and "Recurrence" in part:
        part = {member: value for member, value in part.items() if member != "StartTime"}
    return hashlib.sha256(_canonical(part).encode()).hexdigest()[:12]


def _canonical(part: Any) -> str:
    match part:
        case Mapping():
            return json.dumps({key: _canonical(value) for key, value in sorted(part.items())})
        case list() | tuple():
            return json.dumps(sorted(map(_canonical, part)))
        case datetime():
            return part.isoformat()
    return json.dumps(part)


# --- alarms --------------------------------------------------------------------------------------


def _put_copies(calls: Calls, release: Release, blue: Attachments) -> Iterator[str]:
    """The alarms of blue's policies, for green's."""
    if not blue.alarms:
        return
    arns = _policy_arns(calls, release.green_group)
    copies = {alarm["AlarmName"]: _copied(alarm, release, blue, arns) for alarm in blue.alarms}
    shown = {one["AlarmName"]: one for one in _alarms(calls, {one["AlarmName"] for one in copies.values()})}
    for name, given in copies.items():
        there = shown.get(given["AlarmName"])
        if there is None or _differ(
            given, copy.shown(there, ALARM) | {which: there.get(which, []) for which in ACTIONS}
        ):
            calls.cloudwatch.put_metric_alarm(**given, Tags=_alarm_tags(calls, release, blue, name))
            yield f"alarm {name}"


def _alarm_tags(calls: Calls, release: Release, blue: Attachments, name: str) -> list[Answer]:
    arn = next(alarm["AlarmArn"] for alarm in blue.alarms if alarm["AlarmName"] == name)
    shown = calls.cloudwatch.list_tags_for_resource(ResourceARN=arn)["Tags"]
    ours = tags.ours(release)
    kept = [(tag["Key"], tag["Value"]) for tag in shown if copy.is_kept(tag)]
    return tags.as_list(dict(kept[: ALARM_TAGS_MAX - len(ours)]) | ours)  # it lives as long as the release


def _policy_arns(calls: Calls, name: str) -> dict[str, str]:
    return {policy["PolicyName"]: policy["PolicyARN"] for policy in _policies(calls, name)}


def hand_over(calls: Calls, release: Release) -> Made:
    """The alarms of blue's policies watch green and act by green's policies from now on, under their own names.

    An alarm that is left without an action is deleted with its group (EC2 Auto Scaling API, DeleteAutoScalingGroup);
    what others build on it would go with it.
    """
    groups.own_green(calls, release, "PutMetricAlarm")
    found = groups.describe(calls, release.blue_group)
    handed = []
    if release.blue_group in found:
        blue = look(calls, found[release.blue_group], kinds=("scaling policy",))
        green = _policy_arns(calls, release.green_group)
        for alarm in blue.alarms:
            calls.cloudwatch.put_metric_alarm(**_replaced(copy.shown(alarm, ALARM), release, blue, green))
            handed.append(alarm["AlarmName"])
    drop_copies(calls, release)
    return {"alarms": tuple(handed)}


def drop_copies(calls: Calls, release: Release) -> Made:
    """Delete the copies of alarms that this release made."""
    named = {name for attached in (release.attached, release.followed) if attached for name in attached.alarms}
    acting = {alarm["AlarmName"] for one in _policies(calls, release.green_group) for alarm in one.get("Alarms", [])}
    named |= {name for name in acting if name.endswith(f"-{release.green_group}") and not name.startswith(AWS_OWN)}
    for batch in groups.batches(sorted(named), ALARM_BATCH):
        calls.cloudwatch.delete_alarms(AlarmNames=batch)
    return {"alarms": tuple(sorted(named))}


# --- when the release is over --------------------------------------------------------------------


def catch_up(calls: Calls, release: Release, name: str) -> Made:
    """The sizes that scheduled actions would have set on this group while they were suspended.

    What AWS ran since it was resumed has the last word.
    """
    before = release.blue
    assert before is not None
    assert before.scheduled_until is not None
    verb = Verb.RESUME_BLUE if name == release.blue_group else Verb.RESUME_GREEN
    resumed = (release.did.get(verb) or release.began[verb]).at  # the first is missing if a driver died in between
    shown = [read(one) for one in scheduled(calls, name)]
    known = shown_and_recorded(shown, [Schedule(**facts) for facts in before.schedules])
    over = missed(known, before.scheduled_until, resumed, release.began[Verb.CATCH_UP].at)
    if over.sizes:
        group = groups.described(calls, (name,), "UpdateAutoScalingGroup")[name]
        calls.autoscaling.update_auto_scaling_group(AutoScalingGroupName=name, **_within(group, over.sizes))
    return {"group": name, "actions": over.names, "sizes": over.sizes}


def _within(group: Answer, sizes: Mapping[str, int]) -> dict[str, int]:
    """A size that was not set follows its bounds, as it does when AWS runs the action."""
    low, high = sizes.get("MinSize", group["MinSize"]), sizes.get("MaxSize", group["MaxSize"])
    desired = sizes.get("DesiredCapacity", group["DesiredCapacity"])
    return {"MinSize": low, "MaxSize": high, "DesiredCapacity": min(max(desired, low), high)}


def make_warm_pool(calls: Calls, release: Release) -> Made:
    """Blue's warm pool, for green: it launches instances at once, so it comes when green is live (API, PutWarmPool)."""
    assert release.followed is not None
    groups.own_green(calls, release, "PutWarmPool")
    calls.autoscaling.put_warm_pool(AutoScalingGroupName=release.green_group, **release.followed.warm_pool)
    return {}
