"""A group with everything that can be attached to one: released, rolled back, released again, and still whole (S14)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from bluegreen.release import Outcome
from tests.worlds.virtual import CHANGES, FAST, GOOD, HEALTH, SICK, Ops

TOPIC = "arn:aws:sns:ap-northeast-2:123456789012:topic"
TIMES = ("CreatedTime", "StateUpdatedTimestamp", "StateTransitionedTimestamp", "AlarmConfigurationUpdatedTimestamp")
#: What is each group's own, and of each release.
OWN = {"AutoScalingGroupName", "AutoScalingGroupARN", "CreatedTime", "Instances", "LaunchTemplate", "WarmPoolSize"}
OWN |= {"TargetGroupARNs", "TrafficSources"}


def attach_everything(o: Ops) -> None:
    """Policies of all types, alarms, schedules, metrics, notifications, hooks, a suspended process, a warm pool."""
    scaling, watch, name = o.world.client("autoscaling"), o.world.client("cloudwatch"), o.world.group
    group = {"AutoScalingGroupName": name}
    balancer = o.world.client("elbv2").describe_load_balancers()["LoadBalancers"][0]["LoadBalancerArn"]
    home = o.world.target_group.rpartition(":")[2]
    label = f"{balancer.rpartition('loadbalancer/')[2]}/{home}"
    requests = {"PredefinedMetricType": "ALBRequestCountPerTarget", "ResourceLabel": label}
    tracking = {"PredefinedMetricSpecification": requests, "TargetValue": 1000.0}
    steps = {"AdjustmentType": "ChangeInCapacity", "StepAdjustments": [STEP]}
    scaling.put_scaling_policy(
        **group, PolicyName="requests", PolicyType="TargetTrackingScaling", TargetTrackingConfiguration=tracking
    )
    out = scaling.put_scaling_policy(**group, PolicyName="out", PolicyType="StepScaling", **steps)["PolicyARN"]
    scaling.put_scaling_policy(**group, PolicyName="off", PolicyType="StepScaling", Enabled=False, **steps)
    scaling.put_scaling_policy(
        **group,
        PolicyName="in",
        AdjustmentType="PercentChangeInCapacity",
        ScalingAdjustment=-50,
        MinAdjustmentMagnitude=2,
    )
    scaling.put_scaling_policy(
        **group, PolicyName="forecast", PolicyType="PredictiveScaling", PredictiveScalingConfiguration=FORECAST
    )
    dimensions = [{"Name": "AutoScalingGroupName", "Value": name}]
    watch.put_metric_alarm(
        **ALARM, AlarmName="high", Namespace="AWS/EC2", MetricName="CPUUtilization", Dimensions=dimensions,
        Period=60, ExtendedStatistic="p90", DatapointsToAlarm=2, TreatMissingData="breaching",
        EvaluateLowSampleCountPercentile="ignore", AlarmActions=[out, TOPIC], OKActions=[TOPIC],
        Tags=[{"Key": "team", "Value": "shop"}],
    )  # fmt: skip
    metric = {"Namespace": "AWS/EC2", "MetricName": "CPUUtilization", "Dimensions": dimensions}
    stat = {"Metric": metric, "Period": 60, "Stat": "Average"}
    metrics = [
        {"Id": "e", "Expression": "m1 * 2", "ReturnData": True},
        {"Id": "m1", "MetricStat": stat, "ReturnData": False},
    ]
    watch.put_metric_alarm(**ALARM, AlarmName="math", Metrics=metrics, AlarmActions=[out])
    scaling.put_scheduled_update_group_action(
        **group, ScheduledActionName="night", Recurrence="0 3 * * *", TimeZone="Asia/Seoul", DesiredCapacity=2
    )
    scaling.enable_metrics_collection(
        **group, Granularity="1Minute", Metrics=["GroupMinSize", "GroupInServiceInstances"]
    )
    scaling.put_notification_configuration(
        **group, TopicARN=TOPIC, NotificationTypes=["autoscaling:EC2_INSTANCE_LAUNCH"]
    )
    scaling.put_lifecycle_hook(
        **group, LifecycleHookName="bye", LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING",
        HeartbeatTimeout=30, DefaultResult="CONTINUE",
    )  # fmt: skip
    scaling.suspend_processes(**group, ScalingProcesses=["ReplaceUnhealthy"])
    scaling.put_warm_pool(**group, MinSize=1, PoolState="Stopped", MaxGroupPreparedCapacity=4)


STEP = {"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}
PAIR = {"PredefinedMetricType": "ASGCPUUtilization"}
FORECAST = {"MetricSpecifications": [{"TargetValue": 40.0, "PredefinedMetricPairSpecification": PAIR}]}
ALARM: dict[str, Any] = {"EvaluationPeriods": 3, "Threshold": 80, "ComparisonOperator": "GreaterThanThreshold"}


def everything(o: Ops, name: str) -> dict[str, Any]:
    """The group and all that hangs on it, with its own names written as `GROUP` and `HOME`."""
    scaling, watch = o.world.client("autoscaling"), o.world.client("cloudwatch")
    shown = o.group(name)
    assert shown is not None
    policies = scaling.describe_policies(AutoScalingGroupName=name)["ScalingPolicies"]
    acting = [alarm["AlarmName"] for policy in policies for alarm in policy.get("Alarms", [])]
    alarms = watch.describe_alarms(AlarmNames=acting)["MetricAlarms"] if acting else []
    found = {
        "group": {key: value for key, value in shown.items() if key not in OWN},
        "policies": sorted(policies, key=lambda one: one["PolicyName"]),
        "alarms": sorted(alarms, key=lambda one: (one.get("MetricName", ""), one["AlarmName"])),
        "alarm tags": [watch.list_tags_for_resource(ResourceARN=one["AlarmArn"])["Tags"] for one in named(alarms)],
        "schedules": scaling.describe_scheduled_actions(AutoScalingGroupName=name)["ScheduledUpdateGroupActions"],
        "hooks": scaling.describe_lifecycle_hooks(AutoScalingGroupName=name)["LifecycleHooks"],
        "topics": scaling.describe_notification_configurations(AutoScalingGroupNames=[name])[
            "NotificationConfigurations"
        ],
        "warm pool": scaling.describe_warm_pool(AutoScalingGroupName=name).get("WarmPoolConfiguration"),
    }
    text = json.dumps(found, default=str)
    for home in sorted(shown["TargetGroupARNs"] or [one["Identifier"] for one in shown["TrafficSources"]]):
        text = text.replace(home.rpartition(":")[2], "HOME")
    return dict(json.loads(text.replace(name, "GROUP"), object_hook=plain))


def named(alarms: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those with a name that a person gave."""
    return sorted(
        (one for one in alarms if "TargetTracking" not in one["AlarmName"]), key=lambda one: str(one["AlarmName"])
    )


def plain(shown: dict[str, Any]) -> dict[str, Any]:
    """Less what each copy has of its own: times, states, ids that AWS makes up, our tags."""
    for key in (
        *TIMES,
        "StateReason",
        "StateReasonData",
        "StateValue",
        "PolicyARN",
        "SuspensionReason",
        "ScheduledActionARN",
        "StartTime",
        "Time",
    ):
        shown.pop(key, None)
    if "Tags" in shown:
        shown["Tags"] = sorted((tag for tag in shown["Tags"] if "bluegreen:" not in tag["Key"]), key=str)
    if "TargetTracking-" in shown.get("AlarmName", ""):
        shown = {"AlarmName": shown["AlarmName"][: len("TargetTracking-GROUP-AlarmHigh")]}
    return {key: [without_ids(one) for one in value] if key in ACTIONS else value for key, value in shown.items()}


ACTIONS = ("AlarmActions", "OKActions", "InsufficientDataActions")


def without_ids(arn: Any) -> Any:
    """A policy's ARN has an id that AWS makes up."""
    return arn.rpartition("policyName/")[2] if isinstance(arn, str) and ":scalingPolicy:" in arn else arn


def counted(o: Ops) -> dict[str, int]:
    """What there is in the account of what a release copies."""
    scaling, watch = o.world.client("autoscaling"), o.world.client("cloudwatch")
    return {
        "alarms": len(watch.describe_alarms()["MetricAlarms"]),
        "policies": len(scaling.describe_policies()["ScalingPolicies"]),
        "schedules": len(scaling.describe_scheduled_actions()["ScheduledUpdateGroupActions"]),
        "groups": len(scaling.describe_auto_scaling_groups()["AutoScalingGroups"]),
    }


@pytest.mark.parametrize("weighted", [False, True])
def test_everything_stays_attached(weighted: bool) -> None:
    """Released, rolled back, released again: nothing differs, nothing is left, and the alarms keep their names."""
    sizes = {"MinSize": 1, "MaxSize": 8, "Tags": [TAG]}
    o = Ops(timings=FAST, changes=CHANGES, health=HEALTH, drain=5, weighted=weighted, group=sizes)
    scaled = o.config.traffic.model_copy(update={"overlap": 4.0, **({"steps": (0, 50)} if weighted else {})})
    o.config = o.config.model_copy(update={"traffic": scaled})
    attach_everything(o)
    before, count = everything(o, "web-asg"), counted(o)
    alarms = {alarm["AlarmName"] for alarm in named(o.world.client("cloudwatch").describe_alarms()["MetricAlarms"])}
    assert alarms == {"high", "math"}
    group = "web-asg"
    for commit, outcome in ((GOOD, Outcome.LIVE), (SICK, Outcome.ROLLED_BACK), (GOOD + "2", Outcome.LIVE)):
        done = o.drive(o.start(commit).id)
        assert (done.outcome, done.left_behind if outcome is Outcome.LIVE else ()) == (outcome, ()), done.message
        group = done.green_group if outcome is Outcome.LIVE else group
        assert everything(o, group) == before, commit
        assert counted(o) == count, commit
        shown = o.world.client("cloudwatch").describe_alarms()["MetricAlarms"]
        assert {alarm["AlarmName"] for alarm in named(shown)} == alarms
    assert o.harm == []


TAG = {"Key": "team", "Value": "shop", "PropagateAtLaunch": True}
