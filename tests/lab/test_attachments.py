"""What hangs on a group comes out as it went in, is refused as AWS refuses it, and goes with its group."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError

from lab.aws.attached import METRICS, NOTIFICATIONS
from lab.aws.policies import _adjusted, _step
from tests.lab.test_aws import GROUP, Lab, refused
from tests.worlds.attachments import differences, hang, hanging

NAMED = {"AutoScalingGroupName": GROUP}
CPU: dict[str, Any] = {
    "PredefinedMetricSpecification": {"PredefinedMetricType": "ASGAverageCPUUtilization"},
    "TargetValue": 50.0,
}
METRIC = {"MetricStat": {"Metric": {"Namespace": "Shop", "MetricName": "Load"}, "Stat": "Sum"}, "Id": "load"}
STEPS = [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}]
SIMPLE: dict[str, Any] = {"AdjustmentType": "ChangeInCapacity", "ScalingAdjustment": 1}
STEP: dict[str, Any] = {"PolicyType": "StepScaling", "AdjustmentType": "ChangeInCapacity", "StepAdjustments": STEPS}
TRACKING: dict[str, Any] = {"PolicyType": "TargetTrackingScaling", "TargetTrackingConfiguration": CPU}
FORECAST: dict[str, Any] = {
    "MetricSpecifications": [
        {"TargetValue": 40.0, "PredefinedMetricPairSpecification": {"PredefinedMetricType": "ASGCPUUtilization"}}
    ]
}
PREDICTIVE: dict[str, Any] = {"PolicyType": "PredictiveScaling", "PredictiveScalingConfiguration": FORECAST}
EVERY_POLICY: list[dict[str, Any]] = [
    {**SIMPLE, "Cooldown": 60},
    {**SIMPLE, "AdjustmentType": "PercentChangeInCapacity", "ScalingAdjustment": -50, "MinAdjustmentMagnitude": 2},
    {**STEP, "MetricAggregationType": "Maximum", "EstimatedInstanceWarmup": 40, "Enabled": False},
    {**TRACKING, "TargetTrackingConfiguration": {**CPU, "DisableScaleIn": True}, "EstimatedInstanceWarmup": 40},
    {
        **TRACKING,
        "TargetTrackingConfiguration": {
            "CustomizedMetricSpecification": {
                "Metrics": [{**METRIC, "ReturnData": False}, {"Id": "half", "Expression": "load / 2"}]
            },
            "TargetValue": 7.5,
            "DisableScaleIn": False,
        },
    },
    {
        **PREDICTIVE,
        "PredictiveScalingConfiguration": {
            **FORECAST,
            "Mode": "ForecastAndScale",
            "SchedulingBufferTime": 600,
            "MaxCapacityBreachBehavior": "IncreaseMaxCapacity",
            "MaxCapacityBuffer": 10,
        },
    },
]


class Group(Lab):
    """The standard world, and short words for what hangs on its group."""

    def __init__(self) -> None:
        super().__init__()
        self.asg, self.watch = self.client("autoscaling"), self.client("cloudwatch")

    def policy(self, name: str = "p", **params: Any) -> Any:
        """Put one."""
        return self.asg.put_scaling_policy(**{**NAMED, "PolicyName": name, **params})

    def policies(self, **asked: Any) -> list[dict[str, Any]]:
        """As shown."""
        shown: list[dict[str, Any]] = self.asg.describe_policies(**asked or NAMED)["ScalingPolicies"]
        return shown

    def action(self, name: str = "a", **params: Any) -> None:
        """Put one that is scheduled."""
        self.asg.put_scheduled_update_group_action(
            **{**NAMED, "ScheduledActionName": name, "DesiredCapacity": 6, **params}
        )

    def actions(self, **asked: Any) -> list[dict[str, Any]]:
        """As shown."""
        shown: list[dict[str, Any]] = self.asg.describe_scheduled_actions(**{**NAMED, **asked})[
            "ScheduledUpdateGroupActions"
        ]
        return shown

    def in_(self, **delta: float) -> datetime:
        """A time from now."""
        return datetime.fromtimestamp(int(self.clock.now()), UTC) + timedelta(**delta)

    def alarm(self, name: str, *actions: str, **params: Any) -> None:
        """An alarm with these actions."""
        metric = {"Namespace": "Shop", "MetricName": "Load", "Statistic": "Sum", "Period": 60}
        rule = {"EvaluationPeriods": 1, "Threshold": 5, "ComparisonOperator": "GreaterThanThreshold"}
        self.watch.put_metric_alarm(**{"AlarmName": name, "AlarmActions": [*actions], **metric, **rule, **params})

    def alarms(self, **asked: Any) -> dict[str, dict[str, Any]]:
        """As shown, by name."""
        return {one["AlarmName"]: one for one in self.watch.describe_alarms(**asked)["MetricAlarms"]}


@pytest.fixture
def lab() -> Iterator[Group]:
    """Four healthy instances, nothing attached."""
    lab = Group()
    yield lab
    lab.fake.close()


@pytest.fixture(scope="module")
def refusing() -> Iterator[Group]:
    """One for all tests of what is refused, as nothing comes of it."""
    lab = Group()
    yield lab
    lab.fake.close()


# --- policies ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", EVERY_POLICY)
def test_a_policy_comes_out_as_it_went_in(lab: Group, given: dict[str, Any]) -> None:
    """Whole, and what is shown can be put on another group."""
    told = lab.policy(**given)
    (shown,) = lab.policies()
    assert {"PolicyType": "SimpleScaling", "Enabled": True, **given}.items() <= shown.items()
    arn = f":scalingPolicy:{shown['PolicyARN'].split(':')[6]}:autoScalingGroupName/{GROUP}:policyName/p"
    assert shown["PolicyARN"].startswith("arn:aws:autoscaling:ap-northeast-2:") and shown["PolicyARN"].endswith(arn)
    assert {"PolicyARN": shown["PolicyARN"], "Alarms": shown["Alarms"]}.items() <= told.items()
    lab.create()
    again = {key: value for key, value in shown.items() if key not in ("PolicyARN", "Alarms")}
    lab.asg.put_scaling_policy(**{**again, "AutoScalingGroupName": "green"})
    (copied,) = lab.policies(AutoScalingGroupName="green")
    own = ("PolicyARN", "Alarms", "AutoScalingGroupName")
    assert {**shown, **{key: copied[key] for key in own}} == copied and shown["PolicyARN"] != copied["PolicyARN"]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"PolicyType": "Magic"}, "Unsupported policy type"),
        ({"AdjustmentType": "ChangeInCapacity"}, "ScalingAdjustment"),
        ({"ScalingAdjustment": 1}, "AdjustmentType"),
        ({**SIMPLE, "AdjustmentType": "Double"}, "Double"),
        ({**SIMPLE, "StepAdjustments": STEPS}, "StepAdjustments is not supported"),
        ({**SIMPLE, "MinAdjustmentMagnitude": 2}, "PercentChangeInCapacity"),
        ({**SIMPLE, "AdjustmentType": "ExactCapacity", "ScalingAdjustment": -1}, "negative"),
        ({**STEP, "Cooldown": 3}, "Cooldown is not supported"),
        ({**STEP, "StepAdjustments": []}, "StepAdjustments"),
        ({**STEP, "MetricAggregationType": "Sum"}, "Sum"),
        ({**STEP, "StepAdjustments": STEPS * 21}, "20"),
        ({**STEP, "StepAdjustments": STEPS * 2}, "overlap"),
        ({**STEP, "StepAdjustments": [{"ScalingAdjustment": 1}]}, "At least one"),
        ({**STEP, "StepAdjustments": [{**STEPS[0], "MetricIntervalUpperBound": 9.0}]}, "unspecified"),
        ({"PolicyType": "TargetTrackingScaling"}, "TargetTrackingConfiguration"),
        ({**TRACKING, "TargetTrackingConfiguration": {"TargetValue": 1.0}}, "either"),
        ({"PolicyType": "PredictiveScaling"}, "PredictiveScalingConfiguration"),
        ({**PREDICTIVE, "PredictiveScalingConfiguration": {"MetricSpecifications": []}}, "exactly one"),
        ({**PREDICTIVE, "PredictiveScalingConfiguration": {**FORECAST, "MaxCapacityBuffer": 1}}, "MaxCapacityBuffer"),
        ({**PREDICTIVE, "PredictiveScalingConfiguration": {**FORECAST, "SchedulingBufferTime": 3600}}, "3600"),
        ({**PREDICTIVE, "PredictiveScalingConfiguration": {**FORECAST, "Mode": "Guess"}}, "enum value set"),
        ({**SIMPLE, "PolicyName": "p" * 256}, "less than or equal to 255"),
    ],
)
def test_policies_that_are_refused(refusing: Group, given: dict[str, Any], text: str) -> None:
    """As the model of PutScalingPolicy and the user guide say."""
    with refused("ValidationError", text):
        refusing.policy(**given)
    assert [] == refusing.policies()


def test_requests_per_target_are_of_a_target_group_that_is_attached(lab: Group) -> None:
    """Its label is the end of two ARNs; without it, or for a group that is not attached, the policy is refused."""
    label = f"{lab.world.balancer.partition(':loadbalancer/')[2]}/{lab.arn.rpartition(':')[2]}"
    requests = {"PredefinedMetricType": "ALBRequestCountPerTarget", "ResourceLabel": label}
    policy = {
        **TRACKING,
        "TargetTrackingConfiguration": {"TargetValue": 9.0, "PredefinedMetricSpecification": requests},
    }
    lab.policy(**policy)
    high = lab.alarms()[lab.policies()[0]["Alarms"][0]["AlarmName"]]
    assert ("AWS/ApplicationELB", "RequestCountPerTarget", "Sum") == (
        high["Namespace"],
        high["MetricName"],
        high["Statistic"],
    )
    assert {"TargetGroup": lab.arn.rpartition(":")[2], "LoadBalancer": label.partition("/targetgroup/")[0]} == {
        one["Name"]: one["Value"] for one in high["Dimensions"]
    }
    lab.create()
    with refused("ValidationError", "not attached to green"):
        lab.policy(AutoScalingGroupName="green", **policy)
    del requests["ResourceLabel"]
    with refused("ValidationError", "ResourceLabel must be specified for"):
        lab.policy(**policy)
    requests |= {"PredefinedMetricType": "ASGAverageCPUUtilization", "ResourceLabel": label}
    with refused("ValidationError", "only for"):
        lab.policy(**policy)


def test_target_tracking_brings_two_alarms_and_takes_them_along(lab: Group) -> None:
    """Named after the group, with the policy as their action; a change changes them, its end is theirs."""
    arn = lab.policy(**TRACKING)["PolicyARN"]
    high, low = (lab.alarms()[one["AlarmName"]] for one in lab.policies()[0]["Alarms"])
    assert high["AlarmName"].startswith(f"TargetTracking-{GROUP}-AlarmHigh-")
    assert low["AlarmName"].startswith(f"TargetTracking-{GROUP}-AlarmLow-")
    assert [[arn], [arn]] == [high["AlarmActions"], low["AlarmActions"]]
    assert (50.0, 45.0) == (high["Threshold"], low["Threshold"])
    assert [{"Name": "AutoScalingGroupName", "Value": GROUP}] == high["Dimensions"]
    assert arn == lab.policy(**TRACKING, EstimatedInstanceWarmup=9)["PolicyARN"]
    lab.policy(PolicyType="TargetTrackingScaling", TargetTrackingConfiguration={**CPU, "TargetValue": 80.0})
    assert (80.0, 9) == (lab.alarms()[high["AlarmName"]]["Threshold"], lab.policies()[0]["EstimatedInstanceWarmup"])
    with refused("ValidationError", "type"):
        lab.policy(**STEP)
    lab.asg.delete_policy(**NAMED, PolicyName=arn)
    assert ([], {}) == (lab.policies(), lab.alarms())
    with refused("ValidationError", "p"):
        lab.asg.delete_policy(**NAMED, PolicyName="p")


def test_a_policy_shows_the_alarms_that_name_it_and_leaves_them(lab: Group) -> None:
    """Step and simple policies: whoever has it as an action in any state; its end takes the action, not the alarm."""
    arn = lab.policy(**STEP)["PolicyARN"]
    lab.alarm("out", arn, "arn:aws:sns:ap-northeast-2:123456789012:t")
    lab.alarm("back", OKActions=[arn])
    lab.alarm("other")
    assert ["out", "back"] == [one["AlarmName"] for one in lab.policies()[0]["Alarms"]]
    assert {"out", "back"} == lab.alarms(ActionPrefix=arn).keys()
    lab.asg.delete_policy(**NAMED, PolicyName="p")
    assert (["arn:aws:sns:ap-northeast-2:123456789012:t"], []) == (
        lab.alarms()["out"]["AlarmActions"],
        lab.alarms()["back"]["OKActions"],
    )


def test_policies_are_listed_by_group_name_and_type(lab: Group) -> None:
    """By ARN, too; unknown names are left out; a group that is not there is refused."""
    lab.create()
    arn = lab.policy("one", **STEP)["PolicyARN"]
    lab.policy("two", **SIMPLE)
    lab.policy("two", AutoScalingGroupName="green", **SIMPLE)
    asked: list[dict[str, Any]] = [{"PolicyNames": [arn, "?"]}, {"PolicyTypes": ["SimpleScaling"]}, {"MaxRecords": 100}]
    assert [["one"], ["two"], ["one", "two"]] == [
        [one["PolicyName"] for one in lab.policies(**NAMED, **more)] for more in asked
    ]
    assert [GROUP, GROUP, "green"] == [one["AutoScalingGroupName"] for one in lab.policies(MaxRecords=100)]
    with refused("ValidationError", "not found"):
        lab.policies(AutoScalingGroupName="none")


@pytest.mark.parametrize(("value", "change"), [(-0.1, None), (0, 1), (9.9, 1), (10, 2), (1000, 2)], ids=str)
def test_steps_are_chosen_by_how_far_the_threshold_is_crossed(value: float, change: int | None) -> None:
    """Lower bounds inclusive above the threshold, upper ones exclusive."""
    first = {"MetricIntervalLowerBound": 0.0, "MetricIntervalUpperBound": 10.0, "ScalingAdjustment": 1}
    policy = {"StepAdjustments": [first, {"MetricIntervalLowerBound": 10.0, "ScalingAdjustment": 2}]}
    assert change == (_step(policy, value) or {}).get("ScalingAdjustment")


def test_steps_below_the_threshold_have_their_bounds_the_other_way_round() -> None:
    """-10 is of the step that ends there, as its upper bound is inclusive."""
    first = {"MetricIntervalLowerBound": -10.0, "MetricIntervalUpperBound": 0.0, "ScalingAdjustment": -1}
    policy = {"StepAdjustments": [first, {"MetricIntervalUpperBound": -10.0, "ScalingAdjustment": -2}]}
    assert [-1, -2] == [(_step(policy, over) or {})["ScalingAdjustment"] for over in (-9.9, -10)]


@pytest.mark.parametrize(
    ("kind", "adjustment", "least", "new"),
    [
        ("ChangeInCapacity", -3, None, 7),
        ("ExactCapacity", 3, None, 3),
        ("PercentChangeInCapacity", 25, None, 12),
        ("PercentChangeInCapacity", -25, None, 8),
        ("PercentChangeInCapacity", 1, None, 11),
        ("PercentChangeInCapacity", -1, None, 9),
        ("PercentChangeInCapacity", 0, 3, 10),
        ("PercentChangeInCapacity", 25, 4, 14),
        ("PercentChangeInCapacity", -25, 4, 6),
    ],
)
def test_adjustments(kind: str, adjustment: int, least: int | None, new: int) -> None:
    """Of ten instances; percentages are rounded towards no change, but change at least one, or the magnitude."""
    assert new == _adjusted(10, {"AdjustmentType": kind, "MinAdjustmentMagnitude": least}, adjustment)


# --- alarms of a group's ---------------------------------------------------------------------------------------------


def test_deleting_a_group_deletes_what_hangs_on_it(lab: Group) -> None:
    """Its policies, actions, notifications; alarms that have no other action; not those that had none."""
    lab.create(DesiredCapacity=0)
    green = {"AutoScalingGroupName": "green"}
    arn = lab.policy(**green, **STEP)["PolicyARN"]
    lab.policy("cpu", **green, **TRACKING)
    mine = lab.policy(**STEP)["PolicyARN"]
    lab.alarm("only", arn)
    lab.alarm("shared", arn, mine)
    lab.alarm("told", arn, OKActions=["arn:aws:sns:ap-northeast-2:123456789012:t"])
    lab.alarm("watching", Dimensions=[{"Name": "AutoScalingGroupName", "Value": "green"}])
    lab.action(**green, Recurrence="0 8 * * *")
    lab.asg.put_notification_configuration(**green, TopicARN="arn:aws:sns:t", NotificationTypes=[NOTIFICATIONS[0]])
    lab.asg.delete_auto_scaling_group(**green)
    assert {"shared", "told", "watching"} == lab.alarms().keys()
    assert [mine] == lab.alarms()["shared"]["AlarmActions"]
    lab.wait(60)
    assert ["p"] == [one["PolicyName"] for one in lab.policies(MaxRecords=100)]
    assert [] == lab.asg.describe_notification_configurations()["NotificationConfigurations"]
    assert [] == lab.asg.describe_scheduled_actions()["ScheduledUpdateGroupActions"]
    lab.create(DesiredCapacity=0)
    assert [] == lab.policies(**green)


# --- scheduled actions -----------------------------------------------------------------------------------------------


def test_a_scheduled_action_comes_out_as_it_went_in(lab: Group) -> None:
    """And a recurring one with when it comes next, in its own time zone (Seoul is nine hours ahead)."""
    lab.action(StartTime=lab.in_(hours=1), MinSize=1, MaxSize=9)
    times = {"EndTime": lab.in_(days=900), "TimeZone": "Asia/Seoul"}
    lab.action("daily", Recurrence="0 8 * * *", **times)
    once, daily = lab.actions()
    assert {"MinSize": 1, "MaxSize": 9, "DesiredCapacity": 6, "StartTime": lab.in_(hours=1)}.items() <= once.items()
    assert {"Recurrence": "0 8 * * *", **times}.items() <= daily.items()
    assert (23, 0) == (daily["StartTime"].hour, daily["StartTime"].minute)
    assert lab.in_() < daily["StartTime"] == daily["Time"] <= lab.in_(days=1)
    assert daily["ScheduledActionARN"].endswith(f":autoScalingGroupName/{GROUP}:scheduledActionName/daily")
    assert ["daily"] == [one["ScheduledActionName"] for one in lab.actions(ScheduledActionNames=["daily", "?"])]
    first, last = sorted((once, daily), key=lambda one: one["StartTime"])
    assert [first] == lab.actions(EndTime=first["StartTime"]) and [last] == lab.actions(StartTime=last["StartTime"])
    lab.action("daily", Recurrence="0 9 * * *")
    assert daily["ScheduledActionARN"] == lab.actions()[1]["ScheduledActionARN"] and "TimeZone" not in lab.actions()[1]
    lab.asg.delete_scheduled_action(**NAMED, ScheduledActionName="daily")
    assert [once] == lab.actions()
    with refused("ValidationError", "daily"):
        lab.asg.delete_scheduled_action(**NAMED, ScheduledActionName="daily")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, "Recurrence and StartTime"),
        ({"Recurrence": "0 8 * * *", "DesiredCapacity": None}, "MinSize, MaxSize and DesiredCapacity"),
        ({"StartTime": -1}, "Given start time is in the past"),
        ({"StartTime": 60, "EndTime": 30}, "end time"),
        ({"Recurrence": "0 8 * * *", "MaxSize": 5}, "MinSize <= DesiredCapacity <= MaxSize"),
        ({"Recurrence": "0 8 * * *", "TimeZone": "Mars"}, "Mars"),
        ({"Recurrence": "8 o'clock"}, "8 o'clock"),
        ({"Recurrence": "0 0 8 * * *"}, "is invalid"),
        ({"Recurrence": "0 0 31 2 *"}, "is invalid"),
        ({"Recurrence": "0 8 * * *", "ScheduledActionName": "n" * 256}, "less than or equal to 255"),
    ],
)
def test_scheduled_actions_that_are_refused(refusing: Group, given: dict[str, Any], text: str) -> None:
    """Times are seconds from now."""
    times = {key: refusing.in_(seconds=value) for key, value in given.items() if key in ("StartTime", "EndTime")}
    told = {"ScheduledActionName": "a", "DesiredCapacity": 6, **given, **times}
    with refused("ValidationError", text):
        refusing.asg.put_scheduled_update_group_action(**NAMED, **{k: v for k, v in told.items() if v is not None})
    assert [] == refusing.actions()


def test_several_actions_at_once(lab: Group) -> None:
    """Those that are refused are told by name, and the others are done; two do not start at the same time."""
    many: list[dict[str, Any]] = [
        {"ScheduledActionName": "good", "Recurrence": "0 8 * * *", "MinSize": 1},
        {"ScheduledActionName": "none", "Recurrence": "0 9 * * *"},
        {"ScheduledActionName": "same", "Recurrence": "0 8 * * *", "MinSize": 2},
    ]
    told = lab.asg.batch_put_scheduled_update_group_action(**NAMED, ScheduledUpdateGroupActions=many)
    failed = told["FailedScheduledUpdateGroupActions"]
    assert [("none", "ValidationError"), ("same", "AlreadyExists")] == [
        (one["ScheduledActionName"], one["ErrorCode"]) for one in failed
    ]
    assert ["good"] == [one["ScheduledActionName"] for one in lab.actions()]
    told = lab.asg.batch_delete_scheduled_action(**NAMED, ScheduledActionNames=["good", "none"])
    assert ["none"] == [one["ScheduledActionName"] for one in told["FailedScheduledActions"]]
    with refused("ValidationError", "50"):
        lab.asg.batch_put_scheduled_update_group_action(**NAMED, ScheduledUpdateGroupActions=[many[0]] * 51)


# --- notifications, metrics, the warm pool ---------------------------------------------------------------------------


def test_notifications_of_a_topic_are_replaced(lab: Group) -> None:
    """One row a type; what went to the topic before does so no longer."""
    put, topic = lab.asg.put_notification_configuration, {**NAMED, "TopicARN": "arn:aws:sns:t"}

    def rows() -> list[str]:
        asked = {"AutoScalingGroupNames": [GROUP, "none"]}
        told = lab.asg.describe_notification_configurations(**asked)["NotificationConfigurations"]
        return [one["NotificationType"] for one in told]

    put(**topic, NotificationTypes=NOTIFICATIONS[:2])
    put(**topic, NotificationTypes=NOTIFICATIONS[2:3] * 2)
    assert [NOTIFICATIONS[2]] == rows()
    for wrong in ({**topic, "NotificationTypes": ["autoscaling:ALL"]}, {**topic, "TopicARN": "t"}):
        with refused("ValidationError"):
            put(**{"NotificationTypes": NOTIFICATIONS[:1], **wrong})
    lab.asg.delete_notification_configuration(**topic)
    assert [] == rows()
    with refused("ValidationError"):
        lab.asg.delete_notification_configuration(**topic)


def test_metrics_are_all_that_the_model_names_unless_some_are_named(lab: Group) -> None:
    """And EnabledMetrics shows those that are collected."""
    model: Any = botocore.session.get_session().get_service_model("autoscaling")
    text = model.shape_for("EnableMetricsCollectionQuery").members["Metrics"].documentation
    assert all(f"<code>{name}</code>" in text for name in METRICS)
    assert text.count("<li>") == len(METRICS)

    def names() -> set[str]:
        assert {"1Minute"} >= {one["Granularity"] for one in lab.group()["EnabledMetrics"]}
        return {one["Metric"] for one in lab.group()["EnabledMetrics"]}

    lab.asg.enable_metrics_collection(**NAMED, Granularity="1Minute", Metrics=["GroupMinSize"])
    assert {"GroupMinSize"} == names()
    lab.asg.enable_metrics_collection(**NAMED, Granularity="1Minute")
    assert {*METRICS} == names()
    lab.asg.disable_metrics_collection(**NAMED, Metrics=["GroupMinSize"])
    assert {*METRICS} - {"GroupMinSize"} == names()
    lab.asg.disable_metrics_collection(**NAMED)
    assert set() == names()
    for wrong in ({"Granularity": "5Minutes"}, {"Granularity": "1Minute", "Metrics": ["GroupSize"]}):
        with refused("ValidationError"):
            lab.asg.enable_metrics_collection(**NAMED, **wrong)


def test_a_warm_pool_comes_out_as_it_went_in(lab: Group) -> None:
    """In the group, too; what is not told at a change stays as it was."""
    lab.asg.suspend_processes(**NAMED, ScalingProcesses=["Launch"])
    lab.asg.put_warm_pool(**NAMED)
    assert {"MinSize": 0, "PoolState": "Stopped"} == lab.group()["WarmPoolConfiguration"]
    given = {"MinSize": 0, "MaxGroupPreparedCapacity": 4, "InstanceReusePolicy": {"ReuseOnScaleIn": True}}
    lab.asg.put_warm_pool(**NAMED, **given, PoolState="Hibernated")
    lab.asg.put_warm_pool(**NAMED, MinSize=1)
    assert {**given, "MinSize": 1, "PoolState": "Hibernated"} == lab.group()["WarmPoolConfiguration"]
    with refused("ValidationError", "enum value set"):
        lab.asg.put_warm_pool(**NAMED, PoolState="Cold")


# --- limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("most", "put", "why"),
    [
        (50, lambda lab, n: lab.policy(str(n), **SIMPLE), "scaling policies"),
        (125, lambda lab, n: lab.action(str(n), StartTime=lab.in_(minutes=1 + n)), "scheduled actions"),
        (
            10,
            lambda lab, n: lab.asg.put_notification_configuration(
                **NAMED, TopicARN=f"arn:{n}", NotificationTypes=[*NOTIFICATIONS]
            ),
            "topics",
        ),
        (
            50,
            lambda lab, n: lab.asg.put_lifecycle_hook(
                **NAMED, LifecycleHookName=str(n), LifecycleTransition="autoscaling:EC2_INSTANCE_LAUNCHING"
            ),
            "hooks",
        ),
        (50, lambda lab, n: lab.asg.create_or_update_tags(Tags=[tag(n)]), "tags"),
    ],
    ids=["policies", "actions", "topics", "hooks", "tags"],
)
def test_a_group_has_so_many_and_no_more(lab: Group, most: int, put: Callable[[Group, int], object], why: str) -> None:
    """One more is LimitExceeded; one that is there can still be changed."""
    have = len(lab.group()["Tags"]) if why == "tags" else 0
    for number in range(most - have):
        put(lab, number)
    put(lab, 0)
    with refused("LimitExceeded", why):
        put(lab, most)


def tag(number: int) -> dict[str, Any]:
    """One tag of the group's."""
    about = {"ResourceId": GROUP, "ResourceType": "auto-scaling-group", "PropagateAtLaunch": False}
    return {**about, "Key": f"k{number}", "Value": "v"}


def test_a_group_is_not_made_with_too_many_or_too_long_tags(lab: Group) -> None:
    """Nothing is made: 51 tags, or a key of 129 letters."""
    many = [{"Key": f"k{number}"} for number in range(51)]
    with refused("LimitExceeded", "50 tags"):
        lab.create(Tags=many)
    with refused("ValidationError", "less than or equal to 128"):
        lab.create(Tags=[{"Key": "k" * 129}])
    with pytest.raises(ClientError, match="2 validation errors"):
        lab.create(Tags=[{"Key": "k" * 129, "Value": "v" * 257}])
    assert {} == lab.fake.members("green") and "green" not in lab.fake.engine.state.groups


# --- all of it -------------------------------------------------------------------------------------------------------


def test_what_hangs_on_one_group_can_hang_on_another(lab: Group) -> None:
    """Put twice it is the same, whatever the group is called; what is missing or other is found, kind by kind."""
    lab.create(TargetGroupARNs=[lab.arn])
    for name in (GROUP, "green"):
        hang(lab.world, name)
    blue = hanging(lab.world, GROUP)
    assert [] == differences(blue, hanging(lab.world, "green"))
    assert {kind.split()[0] for kind in blue} == {
        "policy",
        "alarms",
        "scheduled",
        "hook",
        "notification",
        "metric",
        "warm",
    }
    lab.asg.delete_policy(AutoScalingGroupName="green", PolicyName="cpu")
    lab.asg.disable_metrics_collection(AutoScalingGroupName="green", Metrics=["GroupDesiredCapacity"])
    lab.watch.put_metric_alarm(
        AlarmName="green-busy",
        **{key: value for key, value in lab.alarms()["web-asg-busy"].items() if key in ("Namespace", "MetricName")},
        Period=60,
        Statistic="Sum",
        EvaluationPeriods=1,
        Threshold=9,
        ComparisonOperator="LessThanThreshold",
        AlarmActions=[lab.policies(AutoScalingGroupName="green", PolicyNames=["step"])[0]["PolicyARN"]],
    )
    wrong = [one.partition(":")[0] for one in differences(blue, hanging(lab.world, "green"))]
    assert ["alarms of cpu", "alarms of step", "metric GroupDesiredCapacity", "policy cpu"] == wrong
    assert {} == hanging(lab.world, "none")
