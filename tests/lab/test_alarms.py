"""The lab's CloudWatch alarms follow its metrics, and composite alarms follow them, as AWS describes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lab.aws import ErrorAnswer, FakeAws
from lab.aws.alarms import judged, parsed
from lab.clock import VirtualClock

ERRORS: dict[str, Any] = {
    "AlarmName": "web-5xx",
    "Namespace": "Shop",
    "MetricName": "Errors",
    "Statistic": "Sum",
    "Period": 60,
    "EvaluationPeriods": 1,
    "Threshold": 5,
    "ComparisonOperator": "GreaterThanThreshold",
}


class Watch:
    """A CloudWatch with one metric, and short words for it."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.fake = FakeAws(self.clock)
        session: Any = self.fake.session()
        self.client: Any = session.client("cloudwatch")

    def alarm(self, **changes: Any) -> None:
        """An alarm on that metric; None leaves a member out."""
        self.client.put_metric_alarm(**{k: v for k, v in {**ERRORS, **changes}.items() if v is not None})

    def composite(self, rule: str, name: str = "both") -> None:
        """An alarm on alarms."""
        self.client.put_composite_alarm(AlarmName=name, AlarmRule=rule)

    def minutes(self, *values: float | None) -> str:
        """Minutes pass, each with that value of the metric; the alarm's state after the last."""
        for value in values:
            if value is not None:
                self.fake.metrics.put("Shop", "Errors", [value])
            self.clock.sleep(60)
        return self.state()

    def shown(self, name: str = "web-5xx") -> dict[str, Any]:
        """An alarm as AWS shows it."""
        told = self.client.describe_alarms(AlarmNames=[name], AlarmTypes=["MetricAlarm", "CompositeAlarm"])
        found: dict[str, Any] = (told["MetricAlarms"] + told["CompositeAlarms"])[0]
        return found

    def state(self, name: str = "web-5xx") -> str:
        """Its state."""
        return str(self.shown(name)["StateValue"])

    def set(self, state: str, name: str = "web-5xx") -> None:
        """Say a state."""
        self.client.set_alarm_state(AlarmName=name, StateValue=state, StateReason="a test says so")


@pytest.fixture
def watch() -> Iterator[Watch]:
    """CloudWatch at a full minute."""
    watch = Watch()
    yield watch
    watch.fake.close()


def refused(code: str, text: str = "") -> Any:
    """AWS refuses with this code."""
    return pytest.raises(ClientError, match=f"{code}.*{text}")


# --- metric alarms -------------------------------------------------------------------------------


def test_an_alarm_begins_without_data_and_then_follows_its_metric(watch: Watch) -> None:
    """INSUFFICIENT_DATA, OK, ALARM, and OK again; the reason says what was compared."""
    watch.alarm()
    assert "INSUFFICIENT_DATA" == watch.state()
    assert "OK" == watch.minutes(5)
    assert "ALARM" == watch.minutes(6)
    shown = watch.shown()
    assert "[6.0] were compared with the threshold (5" in shown["StateReason"]
    assert shown["StateReason"].startswith("Threshold Crossed")
    assert watch.clock.now() == shown["StateTransitionedTimestamp"].timestamp()
    assert "OK" == watch.minutes(1)


@pytest.mark.parametrize(
    ("comparison", "states"),
    [
        ("GreaterThanThreshold", ["OK", "OK", "ALARM"]),
        ("GreaterThanOrEqualToThreshold", ["OK", "ALARM", "ALARM"]),
        ("LessThanThreshold", ["ALARM", "OK", "OK"]),
        ("LessThanOrEqualToThreshold", ["ALARM", "ALARM", "OK"]),
    ],
)
def test_comparisons(watch: Watch, comparison: str, states: list[str]) -> None:
    """Below, at and above the threshold."""
    watch.alarm(ComparisonOperator=comparison)
    assert states == [watch.minutes(value) for value in (4, 5, 6)]


def test_so_many_of_so_many_data_points(watch: Watch) -> None:
    """DatapointsToAlarm of EvaluationPeriods; without it all of them."""
    watch.alarm(EvaluationPeriods=3, DatapointsToAlarm=2)
    watch.alarm(AlarmName="all", EvaluationPeriods=3)
    assert "OK" == watch.minutes(9, 1, 1)
    assert "ALARM" == watch.minutes(9, 9)
    assert "OK" == watch.state("all")
    watch.minutes(9)
    assert "ALARM" == watch.state("all")


def test_a_percentile_of_real_samples(watch: Watch) -> None:
    """ExtendedStatistic."""
    watch.alarm(Statistic=None, ExtendedStatistic="p90", Threshold=1)
    watch.fake.metrics.put("Shop", "Errors", [0.5] * 89 + [2.0] * 11)
    watch.clock.sleep(60)
    assert "ALARM" == watch.state()
    watch.fake.metrics.put("Shop", "Errors", [0.5] * 95 + [2.0] * 5)
    watch.clock.sleep(60)
    assert "OK" == watch.state()


def test_an_alarm_on_seconds_is_evaluated_more_often(watch: Watch) -> None:
    """A period of ten seconds on a metric of high resolution."""
    watch.alarm(Period=10)
    for value, state in ((9, "ALARM"), (1, "OK"), (9, "ALARM")):
        watch.fake.metrics.put("Shop", "Errors", [value], resolution=1)
        watch.clock.sleep(10)
        assert state == watch.state()


@pytest.mark.parametrize(
    ("points", "missing", "ignore", "breaching", "not_breaching"),
    [
        ("0-X-X", "OK", "OK", "OK", "OK"),
        ("----0", "OK", "OK", "OK", "OK"),
        ("-----", "INSUFFICIENT_DATA", "as it was", "ALARM", "OK"),
        ("0XX-X", "ALARM", "ALARM", "ALARM", "ALARM"),
        ("--X--", "ALARM", "as it was", "ALARM", "OK"),
        ("----X", "as it was", "as it was", "ALARM", "OK"),
    ],
)
def test_missing_data_three_of_three(
    points: str, missing: str, ignore: str, breaching: str, not_breaching: str
) -> None:
    """The table of "Configuring how CloudWatch alarms treat missing data"; the last row is ours: too young to tell."""
    told = zip(
        ("missing", "ignore", "breaching", "notBreaching"), (missing, ignore, breaching, not_breaching), strict=True
    )
    seen = [{"0": False, "X": True, "-": None}[one] for one in points]
    for how, state in told:
        assert state == judged(seen, 3, 3, how, "as it was"), how


@pytest.mark.parametrize(
    ("points", "missing", "ignore", "breaching", "not_breaching"),
    [
        ("0-X-X", "ALARM", "ALARM", "ALARM", "ALARM"),
        ("00X0X", "ALARM", "ALARM", "ALARM", "ALARM"),
        ("0-X--", "OK", "OK", "ALARM", "OK"),
        ("----0", "OK", "OK", "ALARM", "OK"),
        ("---X-", "ALARM", "as it was", "ALARM", "OK"),
    ],
)
def test_missing_data_two_of_three(points: str, missing: str, ignore: str, breaching: str, not_breaching: str) -> None:
    """The same page's second table."""
    told = zip(
        ("missing", "ignore", "breaching", "notBreaching"), (missing, ignore, breaching, not_breaching), strict=True
    )
    seen = [{"0": False, "X": True, "-": None}[one] for one in points]
    for how, state in told:
        assert state == judged(seen, 3, 2, how, "as it was"), how


def test_missing_data_end_to_end(watch: Watch) -> None:
    """After the extra periods an alarm without data forgets what it knew, in its own way."""
    for how in ("missing", "ignore", "breaching", "notBreaching"):
        watch.alarm(AlarmName=how, TreatMissingData=how)
    watch.alarm()
    watch.minutes(9)
    assert ["ALARM"] * 4 == [watch.state(how) for how in ("missing", "ignore", "breaching", "notBreaching")]
    watch.minutes(None, None, None)
    assert ["INSUFFICIENT_DATA", "ALARM", "ALARM", "OK"] == [
        watch.state(how) for how in ("missing", "ignore", "breaching", "notBreaching")
    ]
    assert "INSUFFICIENT_DATA" == watch.state()


def test_a_set_state_holds_until_the_next_evaluation(watch: Watch) -> None:
    """On a metric with data; one that nobody ever fed keeps what a test has said."""
    watch.alarm()
    watch.set("ALARM")
    assert "ALARM" == watch.minutes(None, None)
    assert "a test says so" == watch.shown()["StateReason"]
    assert "OK" == watch.minutes(1)
    watch.set("ALARM")
    assert "ALARM" == watch.state()
    assert "OK" == watch.minutes(1)


def test_a_changed_alarm_keeps_its_state_and_is_evaluated_once_a_minute(watch: Watch) -> None:
    """PutMetricAlarm overwrites the configuration, not the state (CloudWatch API)."""
    watch.alarm()
    watch.minutes(6)
    watch.alarm(Threshold=7)
    assert ("ALARM", 7) == (watch.state(), watch.shown()["Threshold"])
    assert "OK" == watch.minutes(6)
    due = [one for one in watch.fake.engine._due if one[2] == watch.fake.alarms._tick]
    assert 1 == len(due)


def test_a_deleted_alarm_is_gone(watch: Watch) -> None:
    """Unknown names do not matter; and one of the same name begins anew."""
    watch.alarm()
    watch.minutes(6)
    watch.client.delete_alarms(AlarmNames=["web-5xx", "nobody"])
    assert [] == watch.client.describe_alarms()["MetricAlarms"]
    watch.alarm()
    assert "INSUFFICIENT_DATA" == watch.state()
    with refused("ResourceNotFound"):
        watch.set("OK", "nobody")
    with refused("ValidationError"):
        watch.set("FINE")


def test_alarms_follow_the_load_balancer(watch: Watch) -> None:
    """An alarm as users have it: 5XX of a target group, where a quiet minute has no data point."""
    from lab.world import World

    world = World.standard(watch.fake, instances=1)
    dimensions = watch.fake.traffic.dimensions(world.target_group)
    about = {"Namespace": "AWS/ApplicationELB", "MetricName": "HTTPCode_Target_5XX_Count", "Dimensions": dimensions}
    watch.alarm(**about, TreatMissingData="notBreaching")
    assert dimensions == watch.shown()["Dimensions"]
    watch.fake.traffic.feed(world.target_group, 100, failures=6)
    watch.clock.sleep(180)
    assert "ALARM" == watch.state()
    watch.clock.sleep(180)
    assert "OK" == watch.state()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"Period": 45}, "ValidationError"),
        ({"Period": 3600, "EvaluationPeriods": 169}, "ValidationError"),
        ({"EvaluationPeriods": 1441}, "ValidationError"),
        ({"DatapointsToAlarm": 2}, "ValidationError"),
        ({"TreatMissingData": "often"}, "ValidationError"),
        ({"ComparisonOperator": "GreaterThanUpperThreshold"}, "MissingParameter"),
        ({"ComparisonOperator": "Equals"}, "ValidationError"),
        ({"EvaluateLowSampleCountPercentile": "maybe"}, "ValidationError"),
        ({"AlarmName": "a" * 256}, "ValidationError"),
        ({"ExtendedStatistic": "p90"}, "InvalidParameterCombination"),
        ({"Statistic": None}, "InvalidParameterCombination"),
        ({"Statistic": None, "ExtendedStatistic": "q9"}, "ValidationError"),
        ({"MetricName": None}, "MissingParameter"),
    ],
)
def test_alarms_that_are_refused(watch: Watch, changes: dict[str, Any], code: str) -> None:
    """As the model of PutMetricAlarm says, and what the lab does not know."""
    with refused(code):
        watch.alarm(**changes)


# --- composite alarms ----------------------------------------------------------------------------


def test_a_composite_alarm_follows_its_children(watch: Watch) -> None:
    """At once when it is made and at every change of a child, through other composite alarms as well."""
    watch.alarm()
    watch.alarm(AlarmName="web-slow", MetricName="Slow")
    watch.composite('ALARM("web-5xx") AND NOT OK(web-slow)')
    watch.composite("ALARM(both) OR FALSE", "outer")
    assert ["OK", "OK"] == [watch.state("both"), watch.state("outer")]
    watch.minutes(9)
    assert ["ALARM", "ALARM"] == [watch.state("both"), watch.state("outer")]
    assert "by its rule" in watch.shown("both")["StateReason"]
    watch.set("OK", "web-slow")
    assert ["OK", "OK"] == [watch.state("both"), watch.state("outer")]


def test_a_composite_alarm_that_is_set_stays_until_a_child_changes(watch: Watch) -> None:
    """As SetAlarmState says; a minute that passes changes nothing."""
    watch.alarm()
    watch.composite("ALARM(web-5xx)")
    watch.set("ALARM", "both")
    watch.minutes(None, None)
    assert "ALARM" == watch.state("both")
    watch.minutes(1)
    assert "OK" == watch.state("both")


RULES = [
    ("ALARM(a)", "ALARM", "OK", True),
    ("ALARM(a)", "OK", "OK", False),
    ("OK(a) AND OK(b)", "OK", "OK", True),
    ("OK(a) AND OK(b)", "OK", "ALARM", False),
    ("ALARM(a) OR ALARM(b)", "OK", "ALARM", True),
    ("NOT ALARM(a)", "OK", "OK", True),
    ("NOT (ALARM(a) OR ALARM(b))", "OK", "ALARM", False),
    ("INSUFFICIENT_DATA(a)", "INSUFFICIENT_DATA", "OK", True),
    ("TRUE AND NOT FALSE", "OK", "OK", True),
    ("ALARM(a) OR ALARM(a) AND ALARM(b)", "ALARM", "OK", True),
    ("(ALARM(a) OR ALARM(a)) AND ALARM(b)", "ALARM", "OK", False),
    ('  ALARM( "a" )\nAND ALARM("b")', "ALARM", "ALARM", True),
]


@pytest.mark.parametrize(("rule", "a", "b", "holds"), RULES, ids=[one[0] for one in RULES])
def test_rules(rule: str, a: str, b: str, holds: bool) -> None:
    """Functions, operators, parentheses, constants, quotes and white space."""
    said, named = parsed(rule)
    assert holds == said({"a": a, "b": b}.get)
    assert named <= {"a", "b"}


@pytest.mark.parametrize(
    "rule", ["", "ALARM", "ALARM(a", "ALARM()", "a", "ALARM(a) OK(b)", "(TRUE", "NOT", "ALARM(a) AND", '"']
)
def test_rules_that_cannot_be_read(rule: str) -> None:
    """They are refused with the place."""
    with pytest.raises(ErrorAnswer, match="ValidationError: AlarmRule"):
        parsed(rule)


def test_composite_alarms_name_alarms_that_exist(watch: Watch) -> None:
    """By name or by ARN; and these cannot be deleted before it."""
    with refused("ValidationError", "nobody"):
        watch.composite("ALARM(nobody)")
    watch.alarm()
    watch.composite(f'ALARM("{watch.shown()["AlarmArn"]}")')
    assert "ALARM" == (watch.minutes(9) and watch.state("both"))
    with refused("ValidationError", "depending on it"):
        watch.client.delete_alarms(AlarmNames=["web-5xx"])
    watch.client.delete_alarms(AlarmNames=["web-5xx", "both"])
    watch.alarm()
    for name in ("one", "two"):
        watch.composite("ALARM(web-5xx)", name)
    with refused("ValidationError", "one composite"):
        watch.client.delete_alarms(AlarmNames=["one", "two"])


def test_a_cycle_is_not_evaluated(watch: Watch) -> None:
    """Two alarms that wait for each other stay as they were."""
    watch.alarm()
    watch.composite("ALARM(web-5xx)", "one")
    watch.composite("ALARM(one)", "two")
    watch.composite("ALARM(two) OR ALARM(web-5xx)", "one")
    watch.minutes(9)
    assert ["OK", "OK"] == [watch.state("one"), watch.state("two")]


def test_alarms_are_described_by_type_name_prefix_state_and_kinship(watch: Watch) -> None:
    """Without AlarmTypes only metric alarms are shown, though composite ones may be named; in pages."""
    for n in range(3):
        watch.alarm(AlarmName=f"web-{n}")
    watch.composite("ALARM(web-0)")
    watch.set("OK", "web-1")

    def names(**asked: Any) -> list[str]:
        pages = watch.client.get_paginator("describe_alarms").paginate(**asked)
        found = [one for page in pages for one in [*page["MetricAlarms"], *page["CompositeAlarms"]]]
        return sorted(one["AlarmName"] for one in found)

    both = ["MetricAlarm", "CompositeAlarm"]
    assert ["web-0", "web-1", "web-2"] == names()
    assert ["both"] == names(AlarmTypes=["CompositeAlarm"])
    assert ["both", "web-0", "web-1", "web-2"] == names(AlarmTypes=both, MaxRecords=2)
    assert [] == names(AlarmNames=["both", "nobody"])
    assert ["both", "web-2"] == names(AlarmNames=["both", "web-2"], AlarmTypes=both)
    assert ["web-1"] == names(StateValue="OK")
    assert ["both"] == names(AlarmNamePrefix="b", AlarmTypes=both)
    assert ["both"] == names(ParentsOfAlarmName="web-0", AlarmTypes=both)
    assert ["web-0"] == names(ChildrenOfAlarmName="both", AlarmTypes=both)
    with refused("ValidationError"):
        names(AlarmNames=["web-0"], AlarmNamePrefix="web")
