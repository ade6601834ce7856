"""Groups of the lab scale as AWS's do: by alarms on their load, and at their times."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lab.aws.attached import METRICS, measured
from lab.aws.metric_math import MissingError, UnknownMathError, understood
from tests.lab.test_attachments import CPU, NAMED, SIMPLE, STEP, STEPS, TRACKING, Group


class Loaded(Group):
    """The standard world under load; an instance can do with 100 requests a second."""

    def __init__(self) -> None:
        super().__init__()
        self.asg.update_auto_scaling_group(**NAMED, MaxSize=20, DefaultInstanceWarmup=300)

    def minutes(self, minutes: int, rate: float = 0) -> int:
        """So long, with so many requests a second; the size that the group is to have then."""
        for _ in range(2 * minutes):
            if rate:
                self.fake.traffic.feed(self.arn, int(30 * rate))
            self.wait(30)
        return int(self.group()["DesiredCapacity"])

    def per_target(self, target: float, **more: Any) -> dict[str, Any]:
        """A policy for so many requests a minute and target."""
        label = f"{self.world.balancer.partition(':loadbalancer/')[2]}/{self.arn.rpartition(':')[2]}"
        requests = {"PredefinedMetricType": "ALBRequestCountPerTarget", "ResourceLabel": label}
        tracking = {"TargetValue": target, "PredefinedMetricSpecification": requests, **more}
        return {"PolicyType": "TargetTrackingScaling", "TargetTrackingConfiguration": tracking}

    def tell(self, value: float) -> None:
        """One data point of what step and simple policies are told by."""
        self.fake.metrics.put("Shop", "Load", [value])


@pytest.fixture
def lab() -> Iterator[Loaded]:
    """Four healthy instances."""
    lab = Loaded()
    yield lab
    lab.fake.close()


# --- target tracking -------------------------------------------------------------------------------------------------


def test_a_group_follows_its_load_out_by_proportion_and_back_one_by_one(lab: Loaded) -> None:
    """3,000 requests a minute and target: four for 195 a second, eight for twice that, and slowly fewer for 100."""
    lab.policy(**lab.per_target(3000))
    assert [4, 8, 8, 8] == [lab.minutes(10, 195), lab.minutes(8, 390), lab.minutes(10, 390), lab.minutes(12, 100)]
    assert 2 < lab.minutes(8, 100) < 8
    assert 2 == lab.minutes(20, 100)


def test_scaling_in_can_be_disabled(lab: Loaded) -> None:
    """And then out is all that the policy does."""
    lab.policy(**lab.per_target(3000, DisableScaleIn=True))
    assert 8 == lab.minutes(10, 390)
    assert 8 == lab.minutes(30, 50)


def test_cpu_comes_from_requests_and_what_an_instance_can_do(lab: Loaded) -> None:
    """Half of its capacity and a little: four instances have 200 requests a second, and a target of 40 % wants six."""
    lab.policy(**{**TRACKING, "TargetTrackingConfiguration": {**CPU, "TargetValue": 40.0}})
    assert 6 == lab.minutes(10, 200)
    lab.fake.traffic.capacity = 300
    assert 3 >= lab.minutes(30, 200)


def test_all_target_tracking_policies_must_agree_to_scale_in(lab: Loaded) -> None:
    """One that is content with what there is keeps the group from growing smaller."""
    lab.policy("requests", **lab.per_target(30_000))
    lab.policy("cpu", **TRACKING)
    assert 4 == lab.minutes(25, 190)
    lab.policy("cpu", **TRACKING, Enabled=False)
    assert 4 > lab.minutes(2, 190)


@pytest.mark.parametrize("how", ["suspended", "disabled", "full"])
def test_what_keeps_a_group_from_scaling(lab: Loaded, how: str) -> None:
    """AlarmNotification suspended, the policy disabled, the maximum reached."""
    lab.policy(**lab.per_target(3000), Enabled=how != "disabled")
    if how == "suspended":
        lab.asg.suspend_processes(**NAMED, ScalingProcesses=["AlarmNotification"])
    if how == "full":
        lab.asg.update_auto_scaling_group(**NAMED, MaxSize=4)
    assert 4 == lab.minutes(10, 390)
    lab.asg.resume_processes(**NAMED)
    assert (8 if how == "suspended" else 4) == lab.minutes(5, 390)


# --- steps, simple policies ------------------------------------------------------------------------------------------


def test_a_step_is_chosen_by_how_far_the_alarm_s_threshold_is_crossed(lab: Loaded) -> None:
    """While instances warm up a repeated alarm adds nothing, a higher step what is missing, and nothing is taken."""
    first = {**STEPS[0], "MetricIntervalUpperBound": 10.0}
    steps = [first, {"MetricIntervalLowerBound": 10.0, "ScalingAdjustment": 3}]
    arn = lab.policy(**{**STEP, "StepAdjustments": steps, "EstimatedInstanceWarmup": 300})["PolicyARN"]
    less = [{"MetricIntervalUpperBound": 0.0, "ScalingAdjustment": -1}]
    lower = lab.policy("in", **{**STEP, "StepAdjustments": less})["PolicyARN"]
    lab.alarm("out", arn)
    lab.alarm("in", lower, ComparisonOperator="LessThanThreshold", Threshold=1)
    sizes = []
    for value in (6, 7, 20, 0, 0):
        lab.tell(value)
        sizes.append(lab.minutes(1))
    assert [5, 5, 7, 7, 7] == sizes
    lab.minutes(5)
    lab.tell(0)
    assert 6 == lab.minutes(1)


def test_a_simple_policy_waits_for_its_cooldown(lab: Loaded) -> None:
    """Its own, or the group's; then the alarm, which is told every minute, scales again."""
    arn = lab.policy(**SIMPLE, Cooldown=150)["PolicyARN"]
    lab.alarm("out", arn)
    sizes = []
    for _ in range(4):
        lab.tell(9)
        sizes.append(lab.minutes(1))
    assert [5, 5, 5, 6] == sizes


def test_an_alarm_acts_when_its_state_is_told_and_on_metric_math(lab: Loaded) -> None:
    """Load by instances in service, whose number the group itself tells."""
    lab.asg.enable_metrics_collection(**NAMED, Granularity="1Minute", Metrics=["GroupInServiceInstances"])
    group = {"Namespace": "AWS/AutoScaling", "MetricName": "GroupInServiceInstances"}
    group["Dimensions"] = [{"Name": "AutoScalingGroupName", "Value": "web-asg"}]  # type: ignore[assignment]
    stats = {"load": {"Namespace": "Shop", "MetricName": "Load"}, "size": group}
    queries: list[dict[str, Any]] = [
        {"Id": name, "ReturnData": False, "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Average"}}
        for name, metric in stats.items()
    ]
    queries.append({"Id": "each", "Expression": "load / size"})
    rule = {"EvaluationPeriods": 1, "Threshold": 5, "ComparisonOperator": "GreaterThanThreshold"}
    arn = lab.policy(**SIMPLE, Cooldown=600)["PolicyARN"]
    lab.watch.put_metric_alarm(AlarmName="each", Metrics=queries, AlarmActions=[arn], **rule)
    assert queries == lab.alarms()["each"]["Metrics"]
    for value, state, size in ((19, "OK", 4), (21, "ALARM", 5)):
        lab.tell(value)
        lab.wait(60)
        lab.tell(value)
        assert size == lab.minutes(1) and state == lab.alarms()["each"]["StateValue"]
    lab.policy("again", **SIMPLE)
    lab.alarm("said", lab.policies()[1]["PolicyARN"])
    lab.clock.sleep(601)
    lab.watch.set_alarm_state(AlarmName="said", StateValue="ALARM", StateReason="a test")
    assert 6 == lab.group()["DesiredCapacity"]
    lab.watch.disable_alarm_actions(AlarmNames=["said"])
    lab.watch.set_alarm_state(AlarmName="said", StateValue="OK", StateReason="a test")
    lab.clock.sleep(601)
    lab.watch.set_alarm_state(AlarmName="said", StateValue="ALARM", StateReason="a test")
    assert 6 == lab.group()["DesiredCapacity"]


def test_execute_policy(lab: Loaded) -> None:
    """By hand; a step is chosen by what is told, and a cooldown is honoured if asked."""
    lab.policy("simple", **SIMPLE)
    lab.policy("step", **STEP)
    lab.asg.execute_policy(**NAMED, PolicyName="simple")
    lab.asg.execute_policy(**NAMED, PolicyName="step", MetricValue=59.0, BreachThreshold=50.0)
    assert 6 == lab.group()["DesiredCapacity"]
    for wrong in (
        {"PolicyName": "simple", "HonorCooldown": True},
        {"PolicyName": "step"},
        {"PolicyName": "step", "MetricValue": 1.0, "BreachThreshold": 2.0},
    ):
        with pytest.raises(lab.asg.exceptions.ClientError):
            lab.asg.execute_policy(**NAMED, **wrong)


# --- scheduled actions -----------------------------------------------------------------------------------------------


def test_a_recurring_action_comes_at_its_time_in_its_zone_until_its_end(lab: Loaded) -> None:
    """8:00 in Seoul is 23:00 UTC."""
    eight = datetime.fromtimestamp(lab.clock.now(), UTC).replace(hour=23, minute=0, second=0, microsecond=0)
    end = eight + timedelta(days=1, hours=1)
    lab.action(Recurrence="0 8 * * *", TimeZone="Asia/Seoul", EndTime=end, MinSize=5, DesiredCapacity=5, MaxSize=30)
    assert eight == lab.actions()[0]["StartTime"]
    lab.clock.sleep(eight.timestamp() - lab.clock.now() - 1)
    assert 4 == lab.minutes(0)
    lab.clock.sleep(1)
    assert (5, 30, 5) == tuple(lab.group()[key] for key in ("MinSize", "MaxSize", "DesiredCapacity"))
    assert eight + timedelta(days=1) == lab.actions()[0]["StartTime"]
    lab.asg.update_auto_scaling_group(**NAMED, MinSize=1, DesiredCapacity=1)
    lab.clock.sleep(86_400)
    assert (5, []) == (lab.minutes(0), lab.actions())


def test_what_falls_due_while_scheduled_actions_are_suspended_is_lost(lab: Loaded) -> None:
    """A single action is gone, a recurring one comes at its next time; one that does not fit changes nothing."""
    lab.action("once", StartTime=lab.in_(minutes=5))
    lab.action("hourly", Recurrence="30 * * * *", DesiredCapacity=7)
    lab.action("wide", StartTime=lab.in_(hours=2), DesiredCapacity=99)
    lab.asg.suspend_processes(**NAMED, ScalingProcesses=["ScheduledActions"])
    assert 4 == lab.minutes(60)
    assert ["hourly", "wide"] == [one["ScheduledActionName"] for one in lab.actions()]
    lab.asg.resume_processes(**NAMED)
    assert 4 == lab.minutes(0)
    assert 7 == lab.minutes(60)
    assert (7, ["hourly"]) == (lab.minutes(1), [one["ScheduledActionName"] for one in lab.actions()])


def test_an_action_that_was_moved_comes_once(lab: Loaded) -> None:
    """At its new time; one that was deleted does not come."""
    lab.action(StartTime=lab.in_(minutes=5))
    lab.action(StartTime=lab.in_(minutes=9))
    assert [4, 6] == [lab.minutes(6), lab.minutes(4)]
    lab.action(StartTime=lab.in_(minutes=5), DesiredCapacity=9)
    lab.asg.delete_scheduled_action(**NAMED, ScheduledActionName="a")
    assert 6 == lab.minutes(6)


# --- group metrics, metric math --------------------------------------------------------------------------------------


def test_enabled_metrics_are_told_every_minute(lab: Loaded) -> None:
    """Those that are enabled, for as long as they are; each has a value."""
    lab.asg.enable_metrics_collection(**NAMED, Granularity="1Minute")
    assert {*METRICS} == measured(lab.fake.engine.state.groups["web-asg"]).keys()
    lab.asg.disable_metrics_collection(**NAMED, Metrics=["GroupMinSize"])
    dimensions = (("AutoScalingGroupName", "web-asg"),)

    def points(metric: str) -> list[float]:
        name, now = ("AWS/AutoScaling", metric, dimensions), lab.clock.now()
        return [value for _, value in lab.fake.metrics.points(name, "Average", 60, 0 + now // 60 * 60 - 600, now)]

    lab.minutes(3)
    assert ([4.0] * 3, []) == (points("GroupInServiceInstances"), points("GroupMinSize"))
    lab.asg.disable_metrics_collection(**NAMED)
    lab.minutes(3)
    assert [4.0] * 3 == points("GroupInServiceInstances")


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("m1 / m2 * 100", 50.0),
        ("-(m1 + 2) ** 2", -9.0),
        ("m1 / (m2 - 2)", None),
        ("FILL(m3, 7) - 1", 6.0),
        ("FILL(m1, 7)", 1.0),
        ("m3", None),
        ("IF(m1 > m2, 8, m2 >= 2)", 1.0),
        ("IF(m1 < 2, m1 <= 0)", "unknown"),
        ("SUM([m1, m2, 3])", 6.0),
        ("max([m1, m2]) - MIN([m1, m2]) + AVG([m1, m2])", 2.5),
        ("SEARCH('{AWS/EC2} x', 'Sum')", "unknown"),
        ("m1 % 2", "unknown"),
        ("m1 +", "unknown"),
    ],
)
def test_metric_math(expression: str, value: float | str | None) -> None:
    """What it comes to for m1 = 1 and m2 = 2, with no data point of m3; a division by zero has none."""
    known = {"m1": 1.0, "m2": 2.0}

    def lookup(name: str) -> float:
        if name not in known:
            raise MissingError
        return known[name]

    found: float | str | None
    try:
        found = understood(expression)(lookup)
    except MissingError:
        found = None
    except UnknownMathError:
        found = "unknown"
    assert value == found
