"""Metric checks on a fake CloudWatch: what is asked for, of what time, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bluegreen.aws.metrics import MetricChecks, _followed
from bluegreen.events import EventKind, Phase
from bluegreen.observation import CheckResult
from tests.worlds.account import AwsStage

ERRORS = {
    "name": "errors",
    "metric": "HTTPCode_Target_5XX_Count",
    "statistic": "Sum",
    "at_most": 1.5,
    "compare": "blue",
}
LATENCY = {"name": "latency", "metric": "TargetResponseTime", "statistic": "p90", "at_most": 1.2, "compare": "blue"}
QUEUE = {
    "name": "queue",
    "metric": "Depth",
    "statistic": "Average",
    "at_most": 100,
    "namespace": "web",
    "dimensions": {"Queue": "jobs"},
}


class Measured(AwsStage):
    """A weighted service with metric checks; green has just been given a tenth of the traffic, at a full minute."""

    def __init__(self, *checks: dict[str, Any], share: bool = True, **world: Any) -> None:
        super().__init__(config={"checks": list(checks)}, ami=True, weighted=True, **world)
        self.go_to(Phase.OVERLAPPING)
        self.blue, self.green = self.world.target_groups
        if share:
            self.clock.sleep(60 - self.clock.now() % 60)
            self.given(10)
        self.cloud = self.another_cloud()

    def given(self, share: int) -> None:
        """Green is given this share now."""
        self.told(EventKind.BEGAN, verb="shift", share=share)
        self.told(EventKind.DID, verb="shift")
        self.began = self.clock.now()

    def minutes(self, count: int, *, blue: tuple[int, int, float] | None, green: tuple[int, int, float] | None) -> None:
        """So many minutes pass, each with requests, failures and answer times of both, or without any."""
        for _ in range(count):
            at = self.clock.now() + 30
            for group, said in ((self.blue, blue), (self.green, green)):
                if said:
                    requests, failures, seconds = said
                    times = [seconds] * (requests - failures)
                    self.fake.traffic.feed(group, requests, at=at, failures=failures, seconds=times)
            self.clock.sleep(60)

    def answers(self) -> list[CheckResult]:
        """What a driver that has just begun is told."""
        self.cloud = self.another_cloud()
        return list(self.observe().checks)

    def answer(self) -> CheckResult:
        """Of the only check."""
        (result,) = self.answers()
        return result

    def held(self, name: str) -> None:
        """The check has come to hold."""
        facts = {"passed": True, "streak": 3, "since": self.clock.now(), "value": "", "lost": False}
        self.told(EventKind.OBSERVED, subject=name, held_since=self.clock.now(), **facts)


GOOD, SICK, SLOW = (120, 0, 0.4), (120, 12, 0.4), (120, 0, 0.6)
BLUE = (1080, 0, 0.4)


# --- against blue ----------------------------------------------------------------------------------


def test_a_good_green_passes() -> None:
    """In the words that a card shows."""
    stage = Measured(ERRORS, LATENCY)
    stage.minutes(8, blue=(1080, 1, 0.4), green=(120, 0, 0.42))
    errors, latency = stage.answers()
    assert (errors.passed, errors.value) == (True, "green 0 of 840, blue 7 of 7,560 (7 minutes)")
    assert (latency.passed, latency.value) == (True, "green 0.42 s, blue 0.4 s (p90, 7 minutes)")


def test_a_green_that_fails_is_certain_to() -> None:
    """In two minutes, if it is that sick; the third is too new to be asked for."""
    stage = Measured(ERRORS)
    stage.minutes(3, blue=BLUE, green=SICK)
    result = stage.answer()
    assert (result.passed, result.certain) == (False, True)
    assert result.value == "green 24 of 240, blue 0 of 2,160 (2 minutes)"


def test_a_green_that_is_slow_is_certain_after_eight_minutes() -> None:
    """Until then it does not pass either."""
    stage = Measured(LATENCY)
    stage.minutes(8, blue=BLUE, green=SLOW)
    early = stage.answer()
    stage.minutes(1, blue=BLUE, green=SLOW)
    late = stage.answer()
    assert (early.passed, early.certain) == (late.passed, False) == (False, False)
    assert early.value == "green 0.6 s, blue 0.4 s (p90, 7 minutes), not clear yet"
    assert late.certain


def test_a_check_that_holds_is_lost_by_proof_only() -> None:
    """What is not clear does not lose what has come to hold."""
    stage = Measured(ERRORS)
    stage.minutes(8, blue=(1080, 1, 0.4), green=(120, 1, 0.4))
    assert not stage.answer().passed
    stage.held("errors")
    assert stage.answer().passed


@pytest.mark.parametrize(
    ("minutes", "said"),
    [(1, "too little data: 0 of 5 minutes"), (3, "too little data: 2 of 5 minutes")],
)
def test_too_little_data_is_no_pass(minutes: int, said: str) -> None:
    """It says how much there is, and how much is needed."""
    stage = Measured(ERRORS)
    stage.minutes(minutes, blue=BLUE, green=GOOD)
    assert (stage.answer().passed, stage.answer().value) == (False, said)


def test_too_few_requests_are_no_pass() -> None:
    """Of green; of a percentile in each minute."""
    stage = Measured(ERRORS, LATENCY)
    stage.minutes(7, blue=BLUE, green=(8, 0, 0.4))
    values = [result.value for result in stage.answers()]
    assert values == ["too little data: 48 of 300 requests", "too little data: 0 of 5 minutes with 100 requests"]


def test_silence_is_missing_data() -> None:
    """Nobody was given anything, or CloudWatch has nothing."""
    stage = Measured(ERRORS)
    stage.clock.sleep(1200)
    assert stage.answer().value == "too little data: 0 of 5 minutes"


# --- what time is judged -----------------------------------------------------------------------------


def test_what_was_before_green_had_a_share_is_not_greens() -> None:
    """Previews may have failed; and blue's window is green's."""
    stage = Measured(ERRORS, share=False)
    stage.clock.sleep(60 - stage.clock.now() % 60)
    stage.minutes(5, blue=(1080, 100, 0.4), green=(20, 20, 0.4))
    stage.clock.sleep(20)
    stage.given(10)
    stage.clock.sleep(40)
    stage.minutes(6, blue=BLUE, green=GOOD)
    assert stage.answer().value == "green 0 of 600, blue 0 of 5,400 (5 minutes)"


def test_the_window_slides() -> None:
    """Ten minutes, and what is older is forgotten."""
    stage = Measured(ERRORS)
    stage.minutes(3, blue=(1080, 50, 0.4), green=SICK)
    stage.minutes(11, blue=BLUE, green=GOOD)
    assert stage.answer().value == "green 0 of 1,200, blue 0 of 10,800 (10 minutes)"


@pytest.mark.parametrize(("before", "last"), [(0.6, 0.4), (0.4, 0.6)], ids=["before green came", "before the switch"])
def test_while_green_serves_alone_it_is_compared_with_blue_as_it_served(before: float, last: float) -> None:
    """The last time before the switch, or before green came, whichever is kinder."""
    stage = Measured(LATENCY, share=False)
    stage.clock.sleep(60 - stage.clock.now() % 60)
    stage.minutes(10, blue=(1200, 0, before), green=None)
    stage.given(50)
    stage.minutes(10, blue=(600, 0, last), green=(600, 0, last))
    stage.given(100)
    stage.enters(Phase.SWITCHING)
    stage.enters(Phase.SOAKING)
    stage.minutes(12, blue=None, green=(1200, 0, 0.6))
    assert (stage.answer().passed, stage.answer().value) == (True, "green 0.6 s, blue 0.6 s (p90, 10 minutes)")
    stage.minutes(12, blue=None, green=(1200, 0, 0.9))
    assert stage.answer().certain


def test_without_a_time_in_which_both_served_the_time_before_counts() -> None:
    """Steps may lead from a preview to everything."""
    stage = Measured(LATENCY, share=False)
    stage.clock.sleep(60 - stage.clock.now() % 60)
    stage.minutes(10, blue=BLUE, green=None)
    stage.given(100)
    stage.enters(Phase.SWITCHING)
    stage.enters(Phase.SOAKING)
    stage.minutes(10, blue=None, green=(1200, 0, 0.4))
    assert stage.answer().passed
    stage.minutes(10, blue=None, green=(1200, 0, 0.6))
    assert stage.answer().certain


def test_the_load_balancers_metrics_wait_for_greens_share() -> None:
    """In a preview there is nothing to judge; other metrics do not wait."""
    stage = Measured(ERRORS, QUEUE, share=False)
    assert [result.name for result in stage.answers()] == ["queue"]
    stage.given(0)
    assert [result.name for result in stage.answers()] == ["queue"]
    stage.given(10)
    assert [result.name for result in stage.answers()] == ["errors", "queue"]


# --- a limit of its own --------------------------------------------------------------------------------


def without(check: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The check, not against blue."""
    return {key: value for key, value in {**check, "compare": None, **changes}.items() if value is not None}


def test_a_sum_has_a_limit() -> None:
    """Of the whole window; a minute without failures is a zero."""
    stage = Measured(without(ERRORS, at_most=5))
    stage.minutes(3, blue=BLUE, green=(120, 1, 0.4))
    stage.minutes(4, blue=BLUE, green=GOOD)
    assert (stage.answer().passed, stage.answer().value) == (True, "3 of at most 5 in 6 minutes")
    stage.minutes(2, blue=BLUE, green=(120, 3, 0.4))
    assert (stage.answer().certain, stage.answer().value) == (True, "6 of at most 5 in 8 minutes")


def test_values_have_a_limit() -> None:
    """The middle of the window's minutes."""
    stage = Measured(without(LATENCY, at_most=0.5))
    stage.minutes(7, blue=BLUE, green=(120, 0, 0.42))
    assert (stage.answer().passed, stage.answer().value) == (True, "0.42 s of at most 0.5 s (p90, 6 minutes)")
    stage.minutes(6, blue=BLUE, green=(120, 0, 0.75))
    assert (stage.answer().certain, stage.answer().value) == (True, "0.75 s of at most 0.5 s (p90, 5 minutes)")


def test_hosts_are_counted_without_requests() -> None:
    """They are told all the time."""
    stage = Measured(without(LATENCY, name="hosts", metric="UnHealthyHostCount", statistic="Maximum", at_most=0.5))
    stage.minutes(7, blue=None, green=None)
    assert (stage.answer().passed, stage.answer().value) == (True, "0 of at most 0.5 (Maximum, 6 minutes)")


@pytest.mark.parametrize(("weighted", "minutes"), [(True, 7), (False, 6)])
def test_a_metric_of_ones_own(weighted: bool, minutes: int) -> None:
    """With its dimensions; from when green was given traffic, or joined, whoever counts it."""
    stage = Measured(QUEUE) if weighted else AwsStage(config={"checks": [QUEUE]}, ami=True)
    stage.go_to(Phase.OVERLAPPING)
    stage.step()
    begun = stage.clock.now() // 60 * 60
    for minute in range(-3, 9):
        values = [5.0] * 60 if minute >= 1 else [900.0]
        stage.fake.metrics.put("web", "Depth", values, {"Queue": "jobs"}, begun + minute * 60, counts=None)
    stage.clock.sleep(begun + 8 * 60 - stage.clock.now())
    stage.cloud = stage.another_cloud()
    (result,) = stage.observe().checks
    assert (result.passed, result.value) == (True, f"5 of at most 100 (Average, {minutes} minutes)")


def test_a_metric_of_the_group_follows_green() -> None:
    """By whatever name of the service's groups it is written; a neighbour's is the neighbour's."""
    for group, passed in (("web-asg", True), ("web-production-v9", True), ("worker", False)):
        check = {**QUEUE, "dimensions": {"AutoScalingGroupName": group}}
        stage = AwsStage(config={"checks": [check]}, ami=True).go_to(Phase.OVERLAPPING)
        stage.step()
        begun = stage.clock.now() // 60 * 60
        for minute in range(9):
            dimensions = {"AutoScalingGroupName": "web-production-v1"}
            stage.fake.metrics.put("web", "Depth", [5.0] * 60, dimensions, begun + minute * 60, counts=None)
        stage.clock.sleep(begun + 8 * 60 - stage.clock.now())
        stage.cloud = stage.another_cloud()
        (result,) = stage.observe().checks
        assert result.passed is passed, (group, result.value)


def test_a_metric_of_a_target_group_follows_green() -> None:
    """With weights: whichever of the two is named."""
    stage = Measured(share=False)
    blue, green = ({"TargetGroup": arn.rpartition(":")[2]} for arn in (stage.blue, stage.green))
    for named in (blue, green):
        assert _followed("TargetGroup", named["TargetGroup"], stage.release) == green["TargetGroup"]
    assert _followed("TargetGroup", "targetgroup/other/1", stage.release) == "targetgroup/other/1"
    assert _followed("Queue", "web-asg", stage.release) == "web-asg"


# --- calls ----------------------------------------------------------------------------------------------


def test_all_that_are_due_are_asked_for_at_once() -> None:
    """The same series once; the load balancer is looked up once in a process."""
    more = [{**LATENCY, "name": f"p{n}", "statistic": f"p{n}"} for n in range(50, 60)]
    slow = without(LATENCY, name="slow", at_most=3, period=300, window=1800)
    stage = Measured(ERRORS, *more, slow, QUEUE)
    stage.minutes(8, blue=BLUE, green=GOOD)
    before = stage.cloud.calls.copy()
    assert len(stage.observe().checks) == 13
    stage.clock.sleep(60)
    assert len(stage.observe().checks) == 13
    assert stage.cloud.calls["cloudwatch:GetMetricData"] - before["cloudwatch:GetMetricData"] == 2
    described = stage.cloud.calls["elbv2:DescribeTargetGroups"] - before["elbv2:DescribeTargetGroups"]
    assert described <= 2, "once for the routes, once for the metrics"


def test_more_than_one_call_takes() -> None:
    """Five hundred queries a call; and data in pages."""
    checks = [{**LATENCY, "name": f"p{n}", "statistic": f"p50.{n}"} for n in range(260)]
    stage = Measured(*checks)
    stage.minutes(7, blue=BLUE, green=GOOD)
    results = stage.answers()
    assert [result.passed for result in results] == [True] * 260
    assert results[-1].value == "green 0.4 s, blue 0.4 s (p50.259, 6 minutes)"
    assert stage.cloud.calls["cloudwatch:GetMetricData"] == 2


def test_longer_periods_begin_where_cloudwatch_begins_them() -> None:
    """Also beside shorter ones, in one call for all."""
    slow = without(LATENCY, name="slow", at_most=3, period=300, window=900)
    stage = Measured(LATENCY, slow)
    stage.minutes(28, blue=BLUE, green=GOOD)
    assert [result.value for result in stage.answers()] == [
        "green 0.4 s, blue 0.4 s (p90, 10 minutes)",
        "0.4 s of at most 3 s (p90, 15 minutes)",
    ]


# --- what cannot be judged -----------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", ["deny", "throttle"])
@pytest.mark.parametrize("operation", ["cloudwatch:GetMetricData", "elbv2:DescribeTargetGroups"])
def test_what_cannot_be_asked_fails_with_the_cause(trouble: str, operation: str) -> None:
    """Nothing raises."""
    stage = Measured(ERRORS)
    stage.observe()  # routes are known, which take the same calls
    stage.cloud._looks._probes._asked.clear()
    stage.cloud._looks._probes._metrics._balancers.clear()
    getattr(stage.fake.faults, trouble)(operation)
    (result,) = stage.observe().checks
    assert not result.passed
    assert result.value.startswith("could not be read: ")


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (
            {**ERRORS, "metric": "HTTPCode_ELB_5XX_Count"},
            "HTTPCode_ELB_5XX_Count counts for the load balancer, not for green: use HTTPCode_Target_5XX_Count",
        ),
        (
            {**ERRORS, "metric": "UnHealthyHostCount"},
            "CloudWatch has no count of requests for UnHealthyHostCount: choose another statistic than Sum",
        ),
        ({**ERRORS, "metric": "HTTPCode_Target_5xx_Count"}, "too little data: 0 of 5 minutes"),
    ],
)
def test_a_metric_that_is_not_kept_never_passes(check: dict[str, Any], said: str) -> None:
    """Or one that is misspelt: its silence is no zero."""
    stage = Measured(check)
    stage.minutes(7, blue=BLUE, green=GOOD)
    assert (stage.answer().passed, stage.answer().value) == (False, said)


def test_a_network_load_balancer_counts_hosts_only() -> None:
    """No requests of target groups, and none that are needed to judge hosts."""
    hosts = without(LATENCY, name="hosts", metric="UnHealthyHostCount", statistic="Maximum", at_most=0.5)
    stage = Measured({**ERRORS, "metric": "TCP_Target_Reset_Count"}, hosts, network=True)
    stage.minutes(7, blue=None, green=None)
    resets, unhealthy = stage.answers()
    assert (
        resets.value
        == "CloudWatch has no count of requests for TCP_Target_Reset_Count: choose another statistic than Sum"
    )
    assert (unhealthy.passed, unhealthy.value) == (True, "0 of at most 0.5 (Maximum, 6 minutes)")


class Said:
    """Calls whose answers are said."""

    def __init__(self, calls: Any, balancers: list[str], pages: list[dict[str, Any]]) -> None:
        self._calls, self._balancers, self._pages = calls, balancers, pages
        self.elb = self.cloudwatch = self
        self.asked: dict[str, Any] = {}

    def translate_errors(self) -> Any:
        """As the real ones."""
        return self._calls.translate_errors()

    def describe_target_groups(self, **_: object) -> dict[str, Any]:
        """Target groups behind these load balancers."""
        return {"TargetGroups": [{"LoadBalancerArns": self._balancers}]}

    def get_paginator(self, _: str) -> Said:
        """Pages."""
        return self

    def paginate(self, **asked: Any) -> Iterator[dict[str, Any]]:
        """Those that were said."""
        self.asked = asked
        return iter(self._pages)


BALANCER = ["arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/web/50dc6c495c0c9188"]


@pytest.mark.parametrize(
    ("balancers", "code", "said"),
    [
        ([], "Complete", "green's target group has no load balancer with metrics"),
        (
            [BALANCER[0].replace("app/", "gwy/")],
            "Complete",
            "green's target group has no load balancer with metrics",
        ),
        (BALANCER, "Forbidden", "could not be read: CloudWatch says Forbidden: not yours"),
        (BALANCER, "InternalError", "could not be read: CloudWatch says InternalError: not yours"),
        (BALANCER, "Complete", "too little data: 0 of 5 minutes"),
    ],
)
def test_answers_that_are_none(balancers: list[str], code: str, said: str) -> None:
    """What the lab's AWS does not say."""
    stage = Measured(ERRORS)
    result: dict[str, Any] = {"Id": "m0", "Timestamps": [], "Values": [], "StatusCode": code}
    if code != "Complete":
        result["Messages"] = [{"Code": code, "Value": "not yours"}]
    calls: Any = Said(stage.cloud._calls, balancers, [{"MetricDataResults": [result]}])
    check: Any = stage.config.checks[0]
    verdict = MetricChecks(calls).verdicts([check], stage.release, stage.clock.now())["errors"]
    assert (verdict.passed, verdict.certain) == (False, False)
    assert verdict.value.startswith(said)


def test_a_span_begins_where_a_period_of_each_metric_begins() -> None:
    """CloudWatch is asked for whole periods (CloudWatch API, GetMetricData, StartTime)."""
    stage = Measured(ERRORS, without(LATENCY, period=300, window=900), {**QUEUE, "period": 10})
    stage.clock.sleep(437)
    calls: Any = Said(stage.cloud._calls, BALANCER, [])
    checks: Any = stage.config.checks
    assert set(MetricChecks(calls).verdicts(checks, stage.release, stage.clock.now())) == {"errors", "latency", "queue"}
    span = calls.asked["StartTime"].timestamp(), calls.asked["EndTime"].timestamp()
    assert span[0] % 300 == 0
    assert span[0] <= stage.began < span[1] <= stage.clock.now() - 60


def test_a_shared_target_group_tells_nobody_apart() -> None:
    """A config of today would be refused; the journal's may be older."""
    stage = AwsStage(ami=True)
    check: Any = Measured(ERRORS).config.checks[0]
    verdict = MetricChecks(stage.cloud._calls).verdicts([check], stage.release, stage.clock.now())["errors"]
    assert verdict.value == "needs weighted traffic: a shared target group mixes blue and green"
