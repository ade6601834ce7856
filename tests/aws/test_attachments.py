"""What is attached to a group by calls of its own: each such call of the API is dealt with, and green is as blue."""

from __future__ import annotations

from typing import Any

import botocore.session
import pytest

from bluegreen.aws.attachments import ALARM, KINDS, OPERATIONS, SCHEDULE, WARM_POOL, Fate, copy_name, for_green
from bluegreen.aws.copy import HOOK
from bluegreen.events import Phase, Verb
from tests.worlds.account import AwsStage

SESSION = botocore.session.get_session()
AUTOSCALING: Any = SESSION.get_service_model("autoscaling")
CLOUDWATCH: Any = SESSION.get_service_model("cloudwatch")


def taken(model: Any, operation: str) -> set[str]:
    """What a call takes."""
    return set(model.operation_model(operation).input_shape.members)


def test_every_call_that_attaches_something_is_dealt_with() -> None:
    """When AWS adds one, this fails until somebody says what becomes of what it attaches."""
    begin = ("Put", "Attach", "Enable", "BatchPut", "Create", "Set", "Enter", "Start", "Suspend")
    assert {name for name in AUTOSCALING.operation_names if name.startswith(begin)} == set(OPERATIONS)


def test_every_member_of_what_is_attached_is_dealt_with() -> None:
    """What is shown is handed on as it is, but for what only AWS says of it."""
    group = {"AutoScalingGroupName"}
    shown = {name: set(AUTOSCALING.shape_for(name).members) for name in ("ScalingPolicy", "ScheduledUpdateGroupAction")}
    assert shown["ScalingPolicy"] - {"PolicyARN", "Alarms"} == taken(AUTOSCALING, "PutScalingPolicy")
    assert {*SCHEDULE, "Time"} | group == taken(AUTOSCALING, "PutScheduledUpdateGroupAction")
    assert shown["ScheduledUpdateGroupAction"] - {"ScheduledActionARN"} == {*SCHEDULE, "Time"} | group
    assert set(WARM_POOL) | group == taken(AUTOSCALING, "PutWarmPool")
    assert set(HOOK) | group == taken(AUTOSCALING, "PutLifecycleHook")
    assert set(ALARM) == taken(CLOUDWATCH, "PutMetricAlarm") & set(CLOUDWATCH.shape_for("MetricAlarm").members)
    assert taken(CLOUDWATCH, "PutMetricAlarm") - set(ALARM) == {"Tags"}


def test_what_is_carried_has_a_kind() -> None:
    """And each kind is put and taken off by calls of the table."""
    carried = {name for name, fate in OPERATIONS.items() if fate is Fate.CARRIED}
    assert len(carried) == len(KINDS), "scheduled actions have two calls, settings have the group's own"


def test_names_in_dimensions_labels_and_expressions() -> None:
    """Green's stand in place of blue's, and nobody else's are touched."""
    stage = AwsStage(weighted=True)
    release = stage.release
    blue, green = (arn.rpartition(":")[2] for arn in (*release.blue_targets, *release.green_targets))
    asked = {
        "Dimensions": [
            {"Name": "AutoScalingGroupName", "Value": "web-asg"},
            {"Name": "AutoScalingGroupName", "Value": "web-asg-2"},
            {"Name": "TargetGroup", "Value": blue},
            {"Name": "Service", "Value": "web-asg"},
        ],
        "ResourceLabel": f"app/web/1/{blue}",
        "Expression": """SEARCH('AutoScalingGroupName="web-asg" OR "web-asg-2"', 'Average')""",
        "Threshold": 1.5,
    }
    assert for_green(asked, release) == {
        "Dimensions": [
            {"Name": "AutoScalingGroupName", "Value": "web-production-v1"},
            {"Name": "AutoScalingGroupName", "Value": "web-asg-2"},
            {"Name": "TargetGroup", "Value": green},
            {"Name": "Service", "Value": "web-asg"},
        ],
        "ResourceLabel": f"app/web/1/{green}",
        "Expression": """SEARCH('AutoScalingGroupName="web-production-v1" OR "web-asg-2"', 'Average')""",
        "Threshold": 1.5,
    }


def test_a_copy_of_an_alarm_has_a_name_that_fits() -> None:
    """Two long names that begin alike stay two."""
    release = AwsStage().release
    assert copy_name("high", release) == "high-web-production-v1"
    long = [copy_name("x" * 250 + end, release) for end in ("one", "two")]
    assert [len(name) for name in long] == [255, 255]
    assert long[0] != long[1]


def attached(stage: AwsStage) -> AwsStage:
    """A service with a policy, when green is in service."""
    policy = {"PolicyName": "out", "PolicyType": "StepScaling", "AdjustmentType": "ChangeInCapacity"}
    steps = [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}]
    stage.client("autoscaling").put_scaling_policy(AutoScalingGroupName="web-asg", **policy, StepAdjustments=steps)
    return stage.go_to(Phase.CHECKING)


def policies(stage: AwsStage, group: str) -> list[str]:
    """Names of the group's policies."""
    shown = stage.client("autoscaling").describe_policies(AutoScalingGroupName=group)["ScalingPolicies"]
    return [policy["PolicyName"] for policy in shown]


def test_what_the_owner_changes_on_green_stays() -> None:
    """Only what was changed on blue since green was made is put on green."""
    stage = attached(AwsStage())
    scaling, green = stage.client("autoscaling"), stage.release.green_group
    scaling.update_auto_scaling_group(AutoScalingGroupName=green, HealthCheckGracePeriod=7, DefaultCooldown=77)
    scaling.update_auto_scaling_group(AutoScalingGroupName="web-asg", DefaultCooldown=99)
    scaling.delete_policy(AutoScalingGroupName="web-asg", PolicyName="out")
    scaling.put_notification_configuration(
        AutoScalingGroupName=green,
        TopicARN="arn:aws:sns:eu-west-1:1:own",
        NotificationTypes=["autoscaling:TEST_NOTIFICATION"],
    )
    stage.act(Verb.FOLLOW_BLUE)
    followed = stage.release.followed
    assert followed is not None
    assert followed.changed == ("setting DefaultCooldown", "scaling policy out")
    shown = stage.world.describe(green)
    assert (shown["HealthCheckGracePeriod"], shown["DefaultCooldown"]) == (7, 99)
    assert policies(stage, green) == []
    named = scaling.describe_notification_configurations(AutoScalingGroupNames=[green])
    assert len(named["NotificationConfigurations"]) == 1


@pytest.mark.parametrize("change", ["tag", "hook", "process", "metric", "schedule", "notification"])
def test_what_the_owner_adds_to_blue_and_takes_off_is_followed(change: str) -> None:
    """Each kind, put and dropped."""
    stage = AwsStage()
    scaling = stage.client("autoscaling")
    named = {"AutoScalingGroupName": "web-asg"}
    tag = {"ResourceId": "web-asg", "ResourceType": "auto-scaling-group", "Key": "cost"}
    topic = "arn:aws:sns:eu-west-1:123456789012:topic"
    hook = {"LifecycleHookName": "boot", "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING"}
    put = {
        "tag": lambda: scaling.create_or_update_tags(Tags=[{**tag, "Value": "1", "PropagateAtLaunch": False}]),
        "hook": lambda: scaling.put_lifecycle_hook(**named, **hook),
        "process": lambda: scaling.suspend_processes(**named, ScalingProcesses=["ReplaceUnhealthy"]),
        "metric": lambda: scaling.enable_metrics_collection(**named, Granularity="1Minute", Metrics=["GroupMinSize"]),
        "schedule": lambda: scaling.put_scheduled_update_group_action(
            **named, ScheduledActionName="morning", Recurrence="0 8 * * *", MinSize=1
        ),
        "notification": lambda: scaling.put_notification_configuration(
            **named, TopicARN=topic, NotificationTypes=["autoscaling:EC2_INSTANCE_LAUNCH"]
        ),
    }
    drop = {
        "tag": lambda: scaling.delete_tags(Tags=[tag]),
        "hook": lambda: scaling.delete_lifecycle_hook(**named, LifecycleHookName="boot"),
        "process": lambda: scaling.resume_processes(**named, ScalingProcesses=["ReplaceUnhealthy"]),
        "metric": lambda: scaling.disable_metrics_collection(**named, Metrics=["GroupMinSize"]),
        "schedule": lambda: scaling.delete_scheduled_action(**named, ScheduledActionName="morning"),
        "notification": lambda: scaling.delete_notification_configuration(**named, TopicARN=topic),
    }
    put[change]()
    stage.go_to(Phase.CHECKING)
    assert stage.release.attached is not None
    (part,) = [name for name in stage.release.attached.parts if name.startswith(KIND[change])]
    drop[change]()
    stage.act(Verb.FOLLOW_BLUE)
    assert stage.release.followed is not None
    assert stage.release.followed.changed == (part,)
    stage.act(Verb.FOLLOW_BLUE)
    assert stage.release.followed.changed == (), "it is gone from green, too"


KIND = {
    "tag": "tag cost",
    "hook": "lifecycle hook",
    "process": "suspended process",
    "metric": "metric",
    "schedule": "scheduled action",
    "notification": "notification",
}
