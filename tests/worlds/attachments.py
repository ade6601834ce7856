"""What can hang on a group: put there, read back as it would be of any group, and compared (S14)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from lab.world import World

Found = dict[str, Any]
"""What hangs on a group: by kind and name, with the names of the group and of what is its own taken out."""

_TOPIC = "arn:aws:sns:ap-northeast-2:123456789012:ops"
#: What another group's alarm, policy or action cannot have the same.
_OWN = (
    "AlarmName",
    "AlarmArn",
    "Alarms",
    "AutoScalingGroupName",
    "PolicyARN",
    "ScheduledActionARN",
    "Time",
    "StateValue",
    "StateReason",
    "StateReasonData",
    "StateUpdatedTimestamp",
    "StateTransitionedTimestamp",
    "AlarmConfigurationUpdatedTimestamp",
)


# --- putting ---------------------------------------------------------------------------------------------------------


def hang(world: World, group: str, kinds: Iterable[str] = ()) -> None:
    """Put these kinds on a group, or all; `group` serves the world's first target group if it serves any."""
    for kind in kinds or KINDS:
        KINDS[kind](world, {"AutoScalingGroupName": group})


def strip(world: World, group: str) -> None:
    """Take off again what can be taken off a group that serves: all but its warm pool."""
    client, named = world.client("autoscaling"), {"AutoScalingGroupName": group}
    for one in client.describe_policies(**named)["ScalingPolicies"]:
        client.delete_policy(**named, PolicyName=one["PolicyName"])
    for one in client.describe_scheduled_actions(**named)["ScheduledUpdateGroupActions"]:
        client.delete_scheduled_action(**named, ScheduledActionName=one["ScheduledActionName"])
    sent = client.describe_notification_configurations(AutoScalingGroupNames=[group])["NotificationConfigurations"]
    for topic in {one["TopicARN"] for one in sent}:
        client.delete_notification_configuration(**named, TopicARN=topic)
    for one in client.describe_lifecycle_hooks(**named)["LifecycleHooks"]:
        client.delete_lifecycle_hook(**named, LifecycleHookName=one["LifecycleHookName"])
    client.disable_metrics_collection(**named)


def schedule(world: World, group: str, at: float, sizes: Mapping[str, int]) -> None:
    """An action that comes once, called `due`."""
    world.client("autoscaling").put_scheduled_update_group_action(
        AutoScalingGroupName=group,
        ScheduledActionName="due",
        StartTime=datetime.fromtimestamp(int(at) + 1, UTC),
        **sizes,
    )


def _policy(world: World, named: Mapping[str, str], name: str, **params: Any) -> str:
    client = world.client("autoscaling")
    return str(client.put_scaling_policy(**named, PolicyName=name, **params)["PolicyARN"])


def _tracking(world: World, named: Mapping[str, str]) -> None:
    cpu = {"PredefinedMetricSpecification": {"PredefinedMetricType": "ASGAverageCPUUtilization"}, "TargetValue": 50.0}
    more = {"TargetTrackingConfiguration": {**cpu, "DisableScaleIn": True}, "EstimatedInstanceWarmup": 40}
    _policy(world, named, "cpu", PolicyType="TargetTrackingScaling", **more)


def _per_target(world: World, named: Mapping[str, str]) -> None:
    """By the requests to each target, of an Application Load Balancer's target group."""
    label = f"{world.balancer.partition(':loadbalancer/')[2]}/{world.target_group.rpartition(':')[2]}"
    requests = {"PredefinedMetricType": "ALBRequestCountPerTarget", "ResourceLabel": label}
    tracking = {"PredefinedMetricSpecification": requests, "TargetValue": 1000.0}
    _policy(world, named, "requests", PolicyType="TargetTrackingScaling", TargetTrackingConfiguration=tracking)


def _step(world: World, named: Mapping[str, str]) -> None:
    """Switched off, and run by an alarm that tells people, too."""
    steps = [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 2}]
    change = {"AdjustmentType": "ChangeInCapacity", "StepAdjustments": steps, "MetricAggregationType": "Maximum"}
    arn = _policy(world, named, "step", PolicyType="StepScaling", Enabled=False, EstimatedInstanceWarmup=40, **change)
    dimensions = [{"Name": "AutoScalingGroupName", "Value": named["AutoScalingGroupName"]}]
    metric = {"Namespace": "AWS/EC2", "MetricName": "CPUUtilization", "Dimensions": dimensions, "Period": 60}
    rule = {"EvaluationPeriods": 3, "DatapointsToAlarm": 2, "Threshold": 80, "TreatMissingData": "breaching"}
    world.client("cloudwatch").put_metric_alarm(
        AlarmName=f"{named['AutoScalingGroupName']}-busy",
        **metric,
        **rule,
        ExtendedStatistic="p90",
        EvaluateLowSampleCountPercentile="ignore",
        ComparisonOperator="GreaterThanThreshold",
        AlarmActions=[arn, _TOPIC],
        OKActions=[_TOPIC],
        Tags=[{"Key": "team", "Value": "shop"}],
    )


def _simple(world: World, named: Mapping[str, str]) -> None:
    """Run by an alarm on metric math."""
    change = {"AdjustmentType": "PercentChangeInCapacity", "ScalingAdjustment": 50, "MinAdjustmentMagnitude": 1}
    arn = _policy(world, named, "simple", Cooldown=60, **change)
    target_group = {"Name": "TargetGroup", "Value": world.target_group.rpartition(":")[2]}
    balancer = {"Name": "LoadBalancer", "Value": world.balancer.partition(":loadbalancer/")[2]}
    metrics = {
        "requests": ("AWS/ApplicationELB", "RequestCount", [balancer, target_group]),
        "size": ("Shop", "Workers", [{"Name": "AutoScalingGroupName", "Value": named["AutoScalingGroupName"]}]),
    }
    queries: list[dict[str, Any]] = [
        {
            "Id": name,
            "ReturnData": False,
            "MetricStat": {
                "Metric": {"Namespace": namespace, "MetricName": metric, "Dimensions": dimensions},
                "Period": 60,
                "Stat": "Sum",
            },
        }
        for name, (namespace, metric, dimensions) in metrics.items()
    ]
    queries.append({"Id": "each", "Expression": "requests / size", "Label": "each"})
    world.client("cloudwatch").put_metric_alarm(
        AlarmName=f"{named['AutoScalingGroupName']}-math",
        Metrics=queries,
        EvaluationPeriods=2,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
        AlarmActions=[arn],
    )


def _forecast(world: World, named: Mapping[str, str]) -> None:
    pair = {"PredefinedMetricPairSpecification": {"PredefinedMetricType": "ASGCPUUtilization"}, "TargetValue": 40.0}
    config = {"MetricSpecifications": [pair], "Mode": "ForecastAndScale", "SchedulingBufferTime": 600}
    _policy(world, named, "forecast", PolicyType="PredictiveScaling", PredictiveScalingConfiguration=config)


def _schedule(world: World, named: Mapping[str, str]) -> None:
    """Once in a hundred days, and every day in its own time zone until an end."""
    now = world.fake.clock.now() // 60 * 60
    client, days = world.client("autoscaling"), 86_400
    client.put_scheduled_update_group_action(
        **named, ScheduledActionName="sale", StartTime=now + 100 * days, DesiredCapacity=5
    )
    client.put_scheduled_update_group_action(
        **named,
        ScheduledActionName="morning",
        Recurrence="0 8 * * *",
        TimeZone="Asia/Seoul",
        EndTime=now + 900 * days,
        MinSize=3,
        MaxSize=9,
        DesiredCapacity=5,
    )


def _notifications(world: World, named: Mapping[str, str]) -> None:
    types = ["autoscaling:EC2_INSTANCE_LAUNCH", "autoscaling:EC2_INSTANCE_TERMINATE"]
    world.client("autoscaling").put_notification_configuration(**named, TopicARN=_TOPIC, NotificationTypes=types)


def _metrics(world: World, named: Mapping[str, str]) -> None:
    some = ["GroupDesiredCapacity", "GroupInServiceInstances"]
    world.client("autoscaling").enable_metrics_collection(**named, Granularity="1Minute", Metrics=some)


def _warm_pool(world: World, named: Mapping[str, str]) -> None:
    pool = {"MinSize": 1, "MaxGroupPreparedCapacity": 5, "InstanceReusePolicy": {"ReuseOnScaleIn": True}}
    world.client("autoscaling").put_warm_pool(**named, **pool)


def _hooks(world: World, named: Mapping[str, str]) -> None:
    about = {"HeartbeatTimeout": 60, "DefaultResult": "CONTINUE", "NotificationMetadata": "m"}
    for name, transition in (("boot", "LAUNCHING"), ("drain", "TERMINATING")):
        world.client("autoscaling").put_lifecycle_hook(
            **named, **about, LifecycleHookName=name, LifecycleTransition=f"autoscaling:EC2_INSTANCE_{transition}"
        )


KINDS: Mapping[str, Callable[[World, Mapping[str, str]], None]] = {
    "tracking": _tracking,
    "per target": _per_target,
    "step": _step,
    "simple": _simple,
    "forecast": _forecast,
    "schedule": _schedule,
    "notifications": _notifications,
    "metrics": _metrics,
    "warm pool": _warm_pool,
    "hooks": _hooks,
}


# --- reading ---------------------------------------------------------------------------------------------------------


def hanging(world: World, group: str) -> Found:
    """Everything that hangs on a group, comparable with what hangs on another; nothing on one that is not there."""
    if not world.fake.engine.state.groups.get(group):
        return {}
    shown, client = world.describe(group), world.client("autoscaling")
    named = {"AutoScalingGroupName": group}
    policies = client.describe_policies(**named)["ScalingPolicies"]
    actions = client.describe_scheduled_actions(**named)["ScheduledUpdateGroupActions"]
    sent = client.describe_notification_configurations(AutoScalingGroupNames=[group])["NotificationConfigurations"]
    found: Found = {f"policy {one['PolicyName']}": one for one in policies}
    found |= {f"alarms of {one['PolicyName']}": _alarms(world, one) for one in policies}
    found |= {f"scheduled {one['ScheduledActionName']}": _scheduled(one) for one in actions}
    found |= {
        f"hook {one['LifecycleHookName']}": one for one in client.describe_lifecycle_hooks(**named)["LifecycleHooks"]
    }
    found |= {f"notification {one['NotificationType']} {one['TopicARN']}": {} for one in sent}
    found |= {f"metric {one['Metric']}": one for one in shown["EnabledMetrics"]}
    if pool := shown.get("WarmPoolConfiguration"):
        found["warm pool"] = pool
    own = {one["PolicyARN"]: f"<policy {one['PolicyName']}>" for one in policies}
    own |= {arn.rpartition(":")[2]: f"<target group {number}>" for number, arn in enumerate(shown["TargetGroupARNs"])}
    return {kind: _neutral(value, group, own) for kind, value in sorted(found.items())}


def _alarms(world: World, policy: Mapping[str, Any]) -> list[dict[str, Any]]:
    client, names = world.client("cloudwatch"), [one["AlarmName"] for one in policy["Alarms"]]
    alarms = client.describe_alarms(AlarmNames=names)["MetricAlarms"] if names else []
    tagged = [{**one, "Tags": client.list_tags_for_resource(ResourceARN=one["AlarmArn"])["Tags"]} for one in alarms]
    return sorted(tagged, key=lambda one: (one["ComparisonOperator"], one["EvaluationPeriods"]))


def _scheduled(action: dict[str, Any]) -> dict[str, Any]:
    """Without when a recurring one comes next."""
    return {key: value for key, value in action.items() if key != "StartTime" or "Recurrence" not in action}


def _neutral(value: Any, group: str, own: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _neutral(one, group, own) for key, one in value.items() if key not in _OWN}
    if isinstance(value, list):
        return [_neutral(one, group, own) for one in value]
    if not isinstance(value, str):
        return value
    for name, word in own.items():
        value = value.replace(name, word)
    return "<group>" if value == group else value


def counted(world: World) -> dict[str, int]:
    """How many there are in the account of what a release copies."""
    scaling, watch = world.client("autoscaling"), world.client("cloudwatch")
    return {
        "alarms": len(watch.describe_alarms()["MetricAlarms"]),
        "policies": len(scaling.describe_policies()["ScalingPolicies"]),
        "schedules": len(scaling.describe_scheduled_actions()["ScheduledUpdateGroupActions"]),
        "groups": len(scaling.describe_auto_scaling_groups()["AutoScalingGroups"]),
    }


def differences(before: Found, after: Found) -> list[str]:
    """What hung on the first and hangs on the second in another way, or not at all; and the other way round."""
    return [
        f"{kind}: {json.dumps(before.get(kind), default=str)} before, {json.dumps(after.get(kind), default=str)} now"
        for kind in sorted({*before, *after})
        if before.get(kind) != after.get(kind)
    ]
