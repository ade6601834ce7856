"""The lab's CloudWatch tells what passed through its load balancers, as late and as gappy as the real one."""

from __future__ import annotations

import random
import statistics
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lab.aws import FakeAws, Timings
from lab.aws.traffic import arrivals
from lab.aws.wire import incoming
from lab.clock import VirtualClock
from lab.machines import Disk, FakeMachines, Manner
from lab.world import World

TIMES = [0.1, 0.2, 0.3, 0.4]


class Lab:
    """A weighted world at a full minute, with CloudWatch's words."""

    def __init__(self, timings: Timings | None = None, **world: Any) -> None:
        self.clock = VirtualClock()
        self.machines = FakeMachines(self.clock)
        self.fake = FakeAws(self.clock, self.machines, timings)
        self.world = World.standard(self.fake, **{"weighted": True, "instances": 2, **world})
        self.blue, *others = self.world.target_groups
        self.green = others[-1] if others else ""
        self.watch = self.world.client("cloudwatch")
        self.wait(60 - self.clock.now() % 60)
        self.began = self.clock.now()

    def wait(self, seconds: float) -> None:
        """So many seconds pass."""
        self.clock.sleep(seconds)
        self.fake.advance()

    def query(self, metric: str, stat: str = "Sum", group: str = "", id_: str = "m", **more: Any) -> dict[str, Any]:
        """One query of GetMetricData, by default about blue."""
        about = {"Namespace": "AWS/ApplicationELB", "MetricName": metric}
        about |= more.pop("about", None) or {"Dimensions": self.fake.traffic.dimensions(group or self.blue)}
        period = more.pop("period", 60)
        return {
            "Id": id_,
            "MetricStat": {"Metric": about, "Period": period, "Stat": stat, **more.pop("told", {})},
            **more,
        }

    def get(self, *queries: dict[str, Any], since: float = 0, until: float = 0, **more: Any) -> Any:
        """What GetMetricData says of the time from the beginning (or `since` seconds later) until now."""
        start, end = self.began + since, self.began + until if until else self.clock.now() + 60
        return self.watch.get_metric_data(MetricDataQueries=list(queries), StartTime=start, EndTime=end, **more)

    def values(self, metric: str, stat: str = "Sum", group: str = "", **more: Any) -> list[float]:
        """The values of one metric, oldest first."""
        found = self.get(self.query(metric, stat, group, **more), ScanBy="TimestampAscending")["MetricDataResults"]
        return [float(one) for one in found[0]["Values"]]


@pytest.fixture
def lab() -> Iterator[Lab]:
    """A weighted world."""
    lab = Lab()
    yield lab
    lab.fake.close()


def refused(code: str) -> Any:
    """AWS refuses with this code."""
    return pytest.raises(ClientError, match=code)


# --- what the load balancer tells ------------------------------------------------------------------


def test_requests_are_told_by_target_group_and_by_load_balancer(lab: Lab) -> None:
    """Sums, counts by status, answer times with their percentiles; the balancer's own metrics add up both groups."""
    lab.fake.traffic.feed(lab.blue, 100, failures=3, seconds=TIMES * 25)
    lab.fake.traffic.feed(lab.green, 10, seconds=[2.0])
    lab.wait(120)
    told = {
        ("RequestCount", "Sum"): 100,
        ("RequestCount", "Average"): 1,  # AWS: Minimum, Maximum and Average all return 1
        ("HTTPCode_Target_2XX_Count", "Sum"): 97,
        ("HTTPCode_Target_5XX_Count", "Sum"): 3,
        ("TargetResponseTime", "SampleCount"): 100,
        ("TargetResponseTime", "Average"): 0.25,
        ("TargetResponseTime", "Minimum"): 0.1,
        ("TargetResponseTime", "Maximum"): 0.4,
        ("TargetResponseTime", "p50"): 0.2,
        ("TargetResponseTime", "p99"): 0.4,
        ("TargetResponseTime", "p0"): 0.1,
        ("TargetResponseTime", "p99.99"): 0.4,
    }
    for (metric, stat), value in told.items():
        assert [pytest.approx(value)] == lab.values(metric, stat), (metric, stat)
    balancer = {"Dimensions": lab.fake.traffic.dimensions(lab.blue)[1:]}
    assert [110] == lab.values("RequestCount", about=balancer)
    assert [2.0] == lab.values("TargetResponseTime", "Maximum", about=balancer)


def test_dimensions_are_those_of_aws(lab: Lab) -> None:
    """The parts of the ARNs; in any order they mean the same metric, and one alone of the two another one."""
    group, balancer = lab.fake.traffic.dimensions(lab.blue)
    assert (group["Name"], group["Value"].split("/")[:2]) == ("TargetGroup", ["targetgroup", "web"])
    assert (balancer["Name"], balancer["Value"].split("/")[:2]) == ("LoadBalancer", ["app", "web-lb"])
    lab.fake.traffic.feed(lab.blue, 5)
    lab.wait(120)
    assert [5] == lab.values("RequestCount", about={"Dimensions": [balancer, group]})
    assert [] == lab.values("RequestCount", about={"Dimensions": [group]})
    assert [] == lab.values("RequestCount", about={"Dimensions": []})


def test_where_nothing_happened_there_is_no_data_point(lab: Lab) -> None:
    """Not even a zero: neither for a minute without requests nor for a minute without errors."""
    lab.fake.traffic.feed(lab.blue, 5)
    lab.wait(60)
    lab.wait(60)
    lab.fake.traffic.feed(lab.blue, 7, failures=7)
    lab.wait(120)
    found = lab.get(lab.query("RequestCount"))["MetricDataResults"][0]
    times = [moment.timestamp() - lab.began for moment in found["Timestamps"]]
    assert ([120, 0], [7, 5]) == (times, found["Values"])
    assert [7] == lab.values("HTTPCode_Target_5XX_Count")
    assert [5] == lab.values("HTTPCode_Target_2XX_Count")
    assert [] == lab.values("HTTPCode_Target_4XX_Count")
    assert [] == lab.values("TargetResponseTime", "p99")
    assert [] == lab.values("RequestCount", group=lab.green)


def test_a_data_point_comes_after_its_minute_and_the_lag(lab: Lab) -> None:
    """Until then the minute looks like one in which nothing happened."""
    lab.fake.traffic.feed(lab.blue, 5)
    lab.wait(119)
    assert [] == lab.values("RequestCount")
    lab.wait(1)
    assert [5] == lab.values("RequestCount")
    quick = Lab(replace(Timings(), lag=0))
    quick.fake.traffic.feed(quick.blue, 5)
    quick.wait(60)
    assert [5] == quick.values("RequestCount")


def test_what_the_balancer_answers_itself_is_told_apart(lab: Lab) -> None:
    """A dead target makes HTTPCode_ELB_502_Count and TargetConnectionErrorCount, never HTTPCode_Target_5XX_Count."""
    for status, seconds in ((200, 0.1), (404, 0.1), (500, 0.1), (502, None), (504, None), (503, None)):
        lab.fake.traffic.saw(lab.green, status, seconds)
    lab.wait(120)
    assert [5] == lab.values("RequestCount", group=lab.green)  # the one without a target is not counted
    assert [1] == lab.values("HTTPCode_Target_5XX_Count", group=lab.green)
    assert [1] == lab.values("HTTPCode_Target_4XX_Count", group=lab.green)
    assert [3] == lab.values("TargetResponseTime", "SampleCount", lab.green)
    assert [1] == lab.values("TargetConnectionErrorCount", group=lab.green)
    assert [] == lab.values("HTTPCode_ELB_5XX_Count", group=lab.green)
    balancer = {"Dimensions": lab.fake.traffic.dimensions(lab.green)[1:]}
    assert [3] == lab.values("HTTPCode_ELB_5XX_Count", about=balancer)
    assert [1, 1, 1] == [lab.values(f"HTTPCode_ELB_{n}_Count", about=balancer)[0] for n in (502, 503, 504)]


def test_requests_are_seen_from_any_thread(lab: Lab) -> None:
    """The balancer reports from its own thread; none is lost."""

    def saw() -> None:
        for _ in range(500):
            lab.fake.traffic.saw(lab.blue, 200, 0.1)

    work = [threading.Thread(target=saw) for _ in range(4)]
    for one in work:
        one.start()
    for one in work:
        one.join()
    lab.wait(120)
    assert [2000] == lab.values("RequestCount")


def test_healthy_hosts_follow_the_targets(lab: Lab) -> None:
    """One value each minute and one at each change; none where nobody is registered."""
    lab.wait(60)
    lab.machines.kill(next(iter(lab.fake.members("web-asg"))))
    lab.wait(60)
    lab.wait(120)
    assert [2, 1] == lab.values("HealthyHostCount", "Minimum")[:2]
    assert [2, 2] == lab.values("HealthyHostCount", "Maximum")[:2]
    assert 1 in lab.values("UnHealthyHostCount", "Maximum")
    assert [] == lab.values("HealthyHostCount", "Minimum", lab.green)


def test_a_group_that_leaves_the_listener_has_no_more_metrics(lab: Lab) -> None:
    """Without a load balancer there is nobody who would tell."""
    lab.wait(120)
    before = lab.values("HealthyHostCount", "Minimum")
    asked = {"Dimensions": lab.fake.traffic.dimensions(lab.blue)}
    forward = [{"Type": "forward", "TargetGroupArn": lab.green}]
    lab.world.client("elbv2").modify_listener(ListenerArn=lab.world.listener, DefaultActions=forward)
    lab.wait(300)
    lab.fake.traffic.feed(lab.blue, 10)
    lab.wait(120)
    assert len(before) <= len(lab.values("HealthyHostCount", "Minimum", about=asked)) <= len(before) + 2
    assert [] == lab.values("RequestCount", about=asked)
    with pytest.raises(ValueError, match="no load balancer forwards to"):
        lab.fake.traffic.dimensions(lab.blue)


def test_a_network_load_balancer_tells_no_requests() -> None:
    """It knows flows and hosts; RequestCount and TargetResponseTime are the application load balancer's."""
    lab = Lab(network=True)
    lab.fake.traffic.feed(lab.blue, 10, seconds=[1.0])
    lab.wait(120)
    net = {"Namespace": "AWS/NetworkELB", "Dimensions": lab.fake.traffic.dimensions(lab.blue)}
    assert [] == lab.values("RequestCount", about=net)
    assert [] == lab.values("TargetResponseTime", "p99", about=net)
    assert 2 == lab.values("HealthyHostCount", "Minimum", about=net)[0]
    assert [10] == lab.values("NewFlowCount", about={**net, "Dimensions": net["Dimensions"][1:]})


# --- GetMetricData -------------------------------------------------------------------------------------


def test_periods_gather_minutes_from_the_start_on(lab: Lab) -> None:
    """Five minutes give one sum and percentiles over all samples, not over percentiles."""
    for n in range(10):
        lab.fake.traffic.feed(lab.blue, 1, seconds=[float(n)])
        lab.wait(60)
    lab.wait(60)
    assert [5, 5] == lab.values("RequestCount", period=300)
    assert [2, 7] == lab.values("TargetResponseTime", "p50", period=300)
    assert [10] == lab.values("RequestCount", period=3600)
    assert [1] * 10 == lab.values("RequestCount", period=10)  # a minute's data point, once a minute


def test_start_is_inclusive_and_end_is_not(lab: Lab) -> None:
    """StartTime is rounded down to the minute."""
    for _ in range(3):
        lab.fake.traffic.feed(lab.blue, 1)
        lab.wait(60)
    lab.wait(60)
    asked = lab.query("RequestCount")
    assert 3 == len(lab.get(asked, since=59)["MetricDataResults"][0]["Values"])
    assert 2 == len(lab.get(asked, since=60)["MetricDataResults"][0]["Values"])
    assert 2 == len(lab.get(asked, until=120)["MetricDataResults"][0]["Values"])
    assert 3 == len(lab.get(asked, until=121)["MetricDataResults"][0]["Values"])


def test_newest_first_unless_asked_otherwise_and_in_pages(lab: Lab) -> None:
    """A page is so many data points over all metrics; a metric that goes on says PartialData. All ids on each page."""
    for n in range(3):
        lab.fake.traffic.feed(lab.blue, n + 1, seconds=[float(n)])
        lab.wait(60)
    lab.wait(60)
    asked = (lab.query("RequestCount", id_="a"), lab.query("TargetResponseTime", "p99", id_="b", Label="slow"))
    whole = lab.get(*asked)["MetricDataResults"]
    assert [("a", "RequestCount", [3, 2, 1]), ("b", "slow", [2, 1, 0])] == [
        (one["Id"], one["Label"], one["Values"]) for one in whole
    ]
    first = lab.get(*asked, MaxDatapoints=4)
    assert [([3, 2, 1], "Complete"), ([2], "PartialData")] == [
        (one["Values"], one["StatusCode"]) for one in first["MetricDataResults"]
    ]
    second = lab.get(*asked, MaxDatapoints=4, NextToken=first["NextToken"])
    assert "NextToken" not in second
    assert [([], "Complete"), ([1, 0], "Complete")] == [
        (one["Values"], one["StatusCode"]) for one in second["MetricDataResults"]
    ]
    pages = lab.watch.get_paginator("get_metric_data").paginate(
        MetricDataQueries=asked, StartTime=lab.began, EndTime=lab.clock.now(), MaxDatapoints=1
    )
    gathered: dict[str, list[float]] = {"a": [], "b": []}
    for page in pages:
        for one in page["MetricDataResults"]:
            gathered[one["Id"]] += one["Values"]
    assert {"a": [3, 2, 1], "b": [2, 1, 0]} == gathered
    quiet = lab.query("RequestCount", id_="c", ReturnData=False)
    assert [] == lab.get(quiet)["MetricDataResults"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"Id": "Upper"}, "ValidationError"),
        ({"Id": "a-b"}, "ValidationError"),
        ({"period": 45}, "ValidationError"),
        ({"period": 90}, "ValidationError"),
        ({"told": {"Stat": "Median"}}, "ValidationError"),
        ({"told": {"Stat": "p101"}}, "ValidationError"),
        ({"MetricStat": None, "Expression": "1+1"}, "ValidationError"),
    ],
)
def test_what_it_refuses(lab: Lab, change: dict[str, Any], code: str) -> None:
    """Ids, periods and statistics that CloudWatch does not know, and metric math, which the lab does not."""
    asked = lab.query("RequestCount", **{key: change[key] for key in ("period", "told") if key in change})
    asked = {**asked, **{key: value for key, value in change.items() if key not in ("period", "told")}}
    with refused(code):
        lab.get({key: value for key, value in asked.items() if value is not None})


def test_what_a_whole_call_is_refused_for(lab: Lab) -> None:
    """An id twice, 501 queries, times the wrong way round, a token of someone else."""
    asked = lab.query("RequestCount")
    with refused("ValidationError"):
        lab.get(asked, asked)
    with refused("ValidationError"):
        lab.get(*(lab.query("RequestCount", id_=f"m{n}") for n in range(501)))
    with refused("ValidationError"):
        lab.get(asked, since=60, until=60)
    with refused("InvalidNextToken"):
        lab.get(asked, NextToken="abc")
    with refused("InvalidAction"):
        lab.watch.list_dashboards()


def test_older_clients_ask_in_the_query_protocol(lab: Lab) -> None:
    """CloudWatch is spoken in several protocols; an older boto3 sends forms and reads XML."""
    lab.fake.traffic.feed(lab.blue, 9)
    lab.wait(120)
    start, end = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
    form = f"Action=GetMetricData&StartTime={start}&EndTime={end}&MetricDataQueries.member.1.Id=m"
    stat = "&MetricDataQueries.member.1.MetricStat."
    form += (
        f"{stat}Period=60{stat}Stat=Sum{stat}Metric.Namespace=AWS/ApplicationELB{stat}Metric.MetricName=RequestCount"
    )
    for n, one in enumerate(lab.fake.traffic.dimensions(lab.blue), 1):
        form += f"{stat}Metric.Dimensions.member.{n}.Name={one['Name']}"
        form += f"{stat}Metric.Dimensions.member.{n}.Value={one['Value']}"

    def answer(form: str) -> Any:
        return lab.fake.answer(incoming("POST", "https://x/", {}, form.encode(), "cloudwatch", ""))

    good, bad = answer(form), answer(form.replace("Period=60", "Period=61"))
    assert b"<Values><member>9.0</member></Values>" in good.body
    assert (400, "ValidationError") == (bad.status, bad.error_code)


# --- PutMetricData ---------------------------------------------------------------------------------------


def test_custom_metrics(lab: Lab) -> None:
    """Single values, values with counts, statistic sets; read at once, of their own dimensions and unit."""
    data: list[dict[str, Any]] = [
        {"MetricName": "Sales", "Value": 3.0},
        {"MetricName": "Sales", "Values": [1.0, 2.0], "Counts": [10.0, 1.0]},
        {"MetricName": "Sales", "Value": 99.0, "Dimensions": [{"Name": "shop", "Value": "1"}]},
        {
            "MetricName": "Load",
            "StatisticValues": {"SampleCount": 4, "Sum": 10, "Minimum": 1, "Maximum": 4},
            "Unit": "Percent",
        },
        {"MetricName": "One", "StatisticValues": {"SampleCount": 1, "Sum": 5, "Minimum": 5, "Maximum": 5}},
    ]
    lab.watch.put_metric_data(Namespace="Shop", MetricData=data)
    about: dict[str, Any] = {"Namespace": "Shop", "Dimensions": []}
    told = {
        ("Sales", "Sum"): 15,
        ("Sales", "SampleCount"): 12,
        ("Sales", "p50"): 1,
        ("Sales", "p95"): 3,
        ("Sales", "p100"): 3,
        ("Load", "Sum"): 10,
        ("Load", "Average"): 2.5,
        ("Load", "Maximum"): 4,
        ("Load", "Minimum"): 1,
        ("One", "Sum"): 5,
    }
    for (metric, stat), value in told.items():
        assert [value] == lab.values(metric, stat, about=about), (metric, stat)
    assert [10] == lab.values("Load", about=about, told={"Unit": "Percent"})
    assert [] == lab.values("Load", about=about, told={"Unit": "Count"})


def test_high_resolution_is_kept_for_three_hours(lab: Lab) -> None:
    """With StorageResolution 1 there is a value a second; after three hours only the minutes are left."""
    for n in range(3):
        moment = lab.began + n
        datum: Any = {"MetricName": "Beat", "Value": float(n), "StorageResolution": 1, "Timestamp": moment}
        lab.watch.put_metric_data(Namespace="Shop", MetricData=[datum])
    about: dict[str, Any] = {"Namespace": "Shop", "Dimensions": []}
    assert [0, 1, 2] == lab.values("Beat", about=about, period=1)
    assert [3] == lab.values("Beat", about=about, period=5)
    lab.wait(3 * 3600 + 61)
    assert [] == lab.values("Beat", about=about, period=1)
    assert [3] == lab.values("Beat", about=about, period=60)


@pytest.mark.parametrize(
    ("datum", "code"),
    [
        ({}, "MissingParameter"),
        ({"Value": 2.0**361}, "InvalidParameterValue"),
        ({"Values": [1.0, 2.0], "Counts": [1.0]}, "InvalidParameterValue"),
        ({"Values": [1.0] * 151}, "InvalidParameterValue"),
        ({"Value": 1.0, "StorageResolution": 10}, "InvalidParameterValue"),
    ],
)
def test_data_that_are_refused(lab: Lab, datum: dict[str, Any], code: str) -> None:
    """As the model of PutMetricData says."""
    with refused(code):
        lab.watch.put_metric_data(Namespace="Shop", MetricData=[{"MetricName": "Sales", **datum}])


# --- virtual visitors ------------------------------------------------------------------------------------


def join_green(lab: Lab, commit: str = "v2", share: int = 10) -> None:
    """A second group with another version gets such a share of the traffic."""
    lab.machines.base = commit
    spec = {"LaunchTemplateId": lab.world.template, "Version": "1"}
    lab.world.client("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName="green",
        MinSize=2,
        MaxSize=2,
        VPCZoneIdentifier=",".join(lab.world.subnets),
        LaunchTemplate=spec,
        TargetGroupARNs=[lab.green],
    )
    lab.wait(120)
    lab.machines.base = "v1"
    weigh(lab, 100 - share, share)
    lab.wait(60 - lab.clock.now() % 60)
    lab.began = lab.clock.now()


def weigh(lab: Lab, blue: int, green: int) -> None:
    """Set the weights."""
    shares = [{"TargetGroupArn": lab.blue, "Weight": blue}, {"TargetGroupArn": lab.green, "Weight": green}]
    action = {"Type": "forward", "ForwardConfig": {"TargetGroups": shares}}
    lab.world.client("elbv2").modify_listener(ListenerArn=lab.world.listener, DefaultActions=[action])


def test_virtual_visitors_follow_the_weights(lab: Lab) -> None:
    """Also when these change under way; and what they met is what CloudWatch tells."""
    join_green(lab, share=10)
    visitors = lab.fake.traffic.simulate(lab.world.listener, 50, seed=3)
    lab.wait(600)
    told = sum(lab.values("RequestCount", group=lab.green))
    assert 0.1 == pytest.approx(visitors.requests[lab.green] / visitors.requests.total(), abs=0.02)
    assert 30_000 == pytest.approx(visitors.requests.total(), rel=0.02)
    assert told == pytest.approx(visitors.requests[lab.green] * 0.9, rel=0.05)  # the last minute is not told yet
    before = visitors.requests[lab.blue]
    weigh(lab, 0, 100)
    lab.wait(5)
    assert visitors.requests[lab.blue] == before
    visitors.stop()
    total = visitors.requests.total()
    lab.wait(60)
    assert visitors.requests.total() == total


def test_a_version_that_fails_or_is_slower_is_seen_in_the_metrics(lab: Lab) -> None:
    """2 % of requests, 1.5 times as slow; health checks pass, and blue stays as it was."""
    lab.machines.behaves("v2", failing=0.02, slower=1.5)
    join_green(lab, share=50)
    visitors = lab.fake.traffic.simulate(lab.world.listener, 50, seed=3)
    lab.wait(600)
    assert ["healthy"] * 2 == list(lab.fake.serving(lab.green).values())
    failed, asked = sum(lab.values("HTTPCode_Target_5XX_Count", group=lab.green)), visitors.requests[lab.green]
    assert 0.02 == pytest.approx(failed / (0.9 * asked), rel=0.25)
    assert [] == lab.values("HTTPCode_Target_5XX_Count")
    blue, green = (statistics.mean(lab.values("TargetResponseTime", "p50", one)) for one in (lab.blue, lab.green))
    assert 1.5 == pytest.approx(green / blue, rel=0.08)
    assert 0 == visitors.failures[lab.blue] < visitors.failures[lab.green]


@pytest.mark.parametrize(("drift", "wobble", "low", "high"), [(0, 0, 0, 0.03), (0.3, 0, 0.15, 0.6), (0, 1.0, 0, 0.06)])
def test_answer_times_drift_and_instances_differ(
    lab: Lab, drift: float, wobble: float, low: float, high: float
) -> None:
    """Drift moves the medians from minute to minute; wobble makes instances differ, minute after minute alike."""
    lab.fake.traffic.simulate(lab.world.listener, 100, seed=5, drift=drift, wobble=wobble)
    lab.wait(1200)
    medians, tops = lab.values("TargetResponseTime", "p50"), lab.values("TargetResponseTime", "p90")
    assert low <= statistics.stdev(medians) / statistics.mean(medians) <= high
    ratio = statistics.mean(top / median for top, median in zip(tops, medians, strict=True))
    assert (ratio > 1.8) == (wobble > 0)


def test_the_same_seed_gives_the_same_visitors() -> None:
    """A simulation can be repeated."""
    seen = []
    for seed in (7, 7, 8):
        lab = Lab()
        lab.fake.traffic.simulate(lab.world.listener, 10, seed=seed)
        lab.wait(300)
        seen.append((lab.values("RequestCount"), lab.values("TargetResponseTime", "p99")))
        lab.fake.close()
    assert seen[0] == seen[1]
    assert seen[1] != seen[2]


def test_visitors_without_a_target_meet_the_balancer(lab: Lab) -> None:
    """Weight sends them into an empty group: 503, told as the load balancer's own."""
    weigh(lab, 0, 1)
    visitors = lab.fake.traffic.simulate(lab.world.listener, 2, seed=1)
    lab.wait(240)
    assert visitors.failures == visitors.requests
    balancer = {"Dimensions": lab.fake.traffic.dimensions(lab.green)[1:]}
    assert sum(lab.values("HTTPCode_ELB_503_Count", about=balancer)) > 100
    lab.world.client("elbv2").delete_listener(ListenerArn=lab.world.listener)
    before = visitors.requests.total()
    lab.wait(60)
    assert visitors.requests.total() == before


def test_answer_times_are_spread_as_those_of_services() -> None:
    """Half within the median, p90 about 1.7 and p99 about 2.7 times it, few far slower; a factor moves all."""
    dice, manner = random.Random(5), Manner(median=0.05)
    times = sorted(manner.times(dice, 50_000))
    assert 0.05 == pytest.approx(times[25_000], rel=0.02)
    assert 1.7 == pytest.approx(times[45_000] / 0.05, rel=0.05)
    assert 2.4 < times[49_500] / 0.05 < 3.6
    assert times[-1] > 4 * 0.05
    slower = sorted(manner.times(dice, 50_000, 1.5))
    assert 1.5 == pytest.approx(slower[25_000] / times[25_000], rel=0.02)
    assert 0 == manner.failures(dice, 1000)
    assert 200 == pytest.approx(Manner(failing=0.02).failures(dice, 10_000), rel=0.3)


@pytest.mark.parametrize("expected", [0.5, 5, 500])
def test_arrivals_are_random_around_what_is_expected(expected: float) -> None:
    """As many on average, and a variance as large as the mean."""
    dice = random.Random(1)
    many = [arrivals(dice, expected) for _ in range(4000)]
    assert expected == pytest.approx(statistics.mean(many), rel=0.1)
    assert expected == pytest.approx(statistics.variance(many), rel=0.15)


def test_machines_without_a_manner_answer_as_usual() -> None:
    """Real servers have no manner to tell; instances without a disk answer as any other."""
    machines = FakeMachines(VirtualClock())
    machines.usual = Manner(median=1)
    machines.behaves("bad", slower=2)
    assert Manner(median=1) == machines.manner("i-nobody")
    machines.images["ami"] = Disk("bad")
    machines.start("i-1", "ami")
    assert Manner(median=2) == machines.manner("i-1")
