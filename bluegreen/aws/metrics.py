"""Metrics of green, and of blue beside it: what CloudWatch has of them, for `judgement` to judge.

One call asks for everything that is due. Windows hold complete periods only, and leave out the newest, because
CloudWatch publishes late. Values from before green's first share of the traffic do not count as green's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bluegreen import judgement
from bluegreen.aws.calls import Calls
from bluegreen.config import MetricCheck
from bluegreen.errors import AwsError, ConfigError
from bluegreen.events import Phase, Verb
from bluegreen.judgement import Data, Evaluation, Rule
from bluegreen.release import Release, is_name_of

#: GetMetricData takes so many queries a call (CloudWatch API).
QUERIES_MAX = 500
#: A period has to be over for so long, in seconds: load balancers report each minute's numbers within the next.
SETTLING = 60.0
#: Counts of the load balancer that have no data point where nothing happened, rather than a zero (Application Load
#: Balancer guide, CloudWatch metrics: reported when there is a nonzero value). Of others, and of misspelt ones,
#: silence is missing data.
ZERO_WHEN_SILENT = frozenset(
    {
        "HTTPCode_Target_2XX_Count",
        "HTTPCode_Target_3XX_Count",
        "HTTPCode_Target_4XX_Count",
        "HTTPCode_Target_5XX_Count",
        "TargetConnectionErrorCount",
        "TargetTLSNegotiationErrorCount",
    }
)
REQUESTS = "RequestCount"
_UNITS = {"TargetResponseTime": " s"}
_APPLICATION, _NETWORK = "AWS/ApplicationELB", "AWS/NetworkELB"
#: In a load balancer's ARN, before its name (Elastic Load Balancing API).
_KINDS = {"app": _APPLICATION, "net": _NETWORK}


@dataclass(frozen=True)
class Query:
    """One metric, as GetMetricData is asked for it."""

    namespace: str
    metric: str
    dimensions: tuple[tuple[str, str], ...]
    statistic: str
    period: int

    def to_request(self, id_: str) -> dict[str, Any]:
        """A MetricDataQuery (CloudWatch API)."""
        dimensions = [{"Name": name, "Value": value} for name, value in self.dimensions]
        metric = {"Namespace": self.namespace, "MetricName": self.metric, "Dimensions": dimensions}
        return {"Id": id_, "MetricStat": {"Metric": metric, "Period": self.period, "Stat": self.statistic}}


@dataclass(frozen=True)
class Source:
    """Where one side's data comes from, and of what time (epoch seconds, full periods)."""

    values: Query
    requests: Query | None  # None: nobody counts them
    begin: float
    end: float


@dataclass(frozen=True)
class Case:
    """One check: what is judged against what."""

    check: MetricCheck
    rule: Rule
    green: Source
    blues: tuple[Source, ...]


Points = Mapping[Query, Mapping[float, float]]


class MetricChecks:
    """Metric checks; which load balancer a target group is behind is remembered."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._balancers: dict[str, str] = {}

    def verdicts(self, checks: Sequence[MetricCheck], release: Release, now: float) -> dict[str, Evaluation]:
        """The result of each check; one that cannot be read or judged says why."""
        cases: list[Case] = []
        said: dict[str, Evaluation] = {}
        try:
            for check in checks:
                case = self._case(check, release, now)
                if isinstance(case, Case):
                    cases.append(case)
                else:
                    said[check.name] = Evaluation(passed=False, value=case)
            with self._calls.translate_errors():
                points = self._points(cases)
        except (AwsError, ConfigError) as error:
            unasked = Evaluation(passed=False, value=f"could not be read: {error.what}")
            return {check.name: said.get(check.name, unasked) for check in checks}
        return said | {case.check.name: _judged(case, points, release) for case in cases}

    # --- what to ask

    def _case(self, check: MetricCheck, release: Release, now: float) -> Case | str:
        """What to judge; text says why it cannot be."""
        end = _down(now - SETTLING, check.period)
        begin = max(end - check.window, _up(_served_since(release), check.period))
        if check.namespace is not None:
            dimensions = tuple(
                sorted((name, _followed(name, value, release)) for name, value in check.dimensions.items())
            )
            values = Query(check.namespace, check.metric, dimensions, check.statistic, int(check.period))
            samples = Query(check.namespace, check.metric, dimensions, "SampleCount", int(check.period))
            return Case(check, _rule(check), Source(values, samples, begin, end), ())
        if not release.weighted:
            return "needs weighted traffic: a shared target group mixes blue and green"
        with self._calls.translate_errors():
            balancer = self._balancer(release)
        namespace = _KINDS.get(balancer.partition("/")[0])
        if why := _unkept(check, namespace):
            return why
        green = _source(check, namespace or "", release.green_targets[0], balancer, begin, end)
        blues = [
            _source(check, namespace or "", release.blue_targets[0], balancer, *window)
            for window in (_of_blue(check, release, begin, end) if check.compare else ())
        ]
        return Case(check, _rule(check), green, tuple(blues))

    def _balancer(self, release: Release) -> str:
        """`app/web/50dc6c495c0c9188`, as dimensions name it (ELBv2 API, DescribeTargetGroups); "" for none."""
        if release.id not in self._balancers:
            arns = [release.green_targets[0], release.blue_targets[0]]
            shown = self._calls.elb.describe_target_groups(TargetGroupArns=arns)["TargetGroups"]
            found = sorted({arn for group in shown for arn in group.get("LoadBalancerArns", [])})
            if not found:
                return ""
            self._balancers[release.id] = found[0].rpartition(":loadbalancer/")[2]
        return self._balancers[release.id]

    # --- asking

    def _points(self, cases: Sequence[Case]) -> Points:
        """Query -> start of a period -> value. Metric data comes in pages, each with a part of any metric."""
        sources = [source for case in cases for source in (case.green, *case.blues)]
        queries = list(
            dict.fromkeys(query for source in sources for query in (source.values, source.requests) if query)
        )
        found: dict[Query, dict[float, float]] = {query: {} for query in queries}
        for first in range(0, len(queries), QUERIES_MAX):
            ids = {f"m{n}": query for n, query in enumerate(queries[first : first + QUERIES_MAX])}
            for page in self._pages(ids, sources):
                for result in page["MetricDataResults"]:
                    _must_be_whole(result)
                    times = (at.timestamp() for at in result["Timestamps"])
                    found[ids[result["Id"]]].update(zip(times, result["Values"], strict=True))
        return found

    def _pages(self, ids: Mapping[str, Query], sources: Iterable[Source]) -> Iterator[dict[str, Any]]:
        # One span for all, so that one call will do; it begins where a period of each begins.
        step = math.lcm(*(query.period for query in ids.values()))
        begin = _down(min(source.begin for source in sources), step)
        end = max(source.end for source in sources)
        paginator = self._calls.cloudwatch.get_paginator("get_metric_data")
        pages: Iterator[dict[str, Any]] = paginator.paginate(
            MetricDataQueries=[query.to_request(id_) for id_, query in ids.items()],
            StartTime=datetime.fromtimestamp(begin, UTC),
            EndTime=datetime.fromtimestamp(max(end, begin + step), UTC),
        )
        return pages


def _followed(name: str, value: str, release: Release) -> str:
    """The value of a dimension; what names the service's group, or with weights a target group, means green's now."""
    ours = value in (
        release.blue_group,
        release.config.get("group"),
        *(release.config.get("groups") or ()),
    ) or is_name_of(release.service, value)
    if name == "AutoScalingGroupName" and ours:
        return release.green_group
    if name == "TargetGroup" and release.weighted and any(arn.endswith(f":{value}") for arn in release.target_groups):
        return release.green_targets[0].rpartition(":")[2]
    return value


# --- windows -------------------------------------------------------------------------------------


def _served_since(release: Release) -> float:
    """When green was first given traffic; 0 before that."""
    if release.weighted:
        return release.share_since or 0.0
    joined = release.did.get(Verb.JOIN_GREEN)
    return joined.at if joined else 0.0


def _of_blue(check: MetricCheck, release: Release, begin: float, end: float) -> list[tuple[float, float]]:
    """Blue's windows: while it serves, green's own. Afterwards its last one, and the one before green came.

    The last one is nearest in time, but blue had only a part of the load; before, it bore all of it, as green does now.
    """
    switched = release.entered.get(Phase.SOAKING)
    if switched is None:
        return [(begin, end)]
    came, left = _served_since(release), _down(switched, check.period)
    last = (max(_up(came, check.period), left - check.window), left)
    before = _down(came, check.period)
    return [last, (before - check.window, before)]


def _down(at: float, period: float) -> float:
    return at // period * period


def _up(at: float, period: float) -> float:
    return -(-at // period) * period


# --- what is known of metrics --------------------------------------------------------------------


def _rule(check: MetricCheck) -> Rule:
    sums = check.namespace is None and check.statistic == "Sum"
    counted = sums and check.metric.endswith("Count")
    unit = _UNITS.get(check.metric, "") if check.namespace is None and check.statistic != "SampleCount" else ""
    periods = int(check.window // check.period)
    return Rule(check.statistic, check.at_most, check.period, periods, counted=counted, unit=unit)


def _unkept(check: MetricCheck, namespace: str | None) -> str:
    """Why the load balancer cannot have it of a target group; empty when it can."""
    if namespace is None:
        return "green's target group has no load balancer with metrics"
    if check.metric.startswith("HTTPCode_ELB_"):
        return f"{check.metric} counts for the load balancer, not for green: use HTTPCode_Target_5XX_Count"
    if check.compare and check.statistic in judgement.AMOUNTS and not _per_request(check, namespace):
        return (
            f"CloudWatch has no count of requests for {check.metric}: choose another statistic than {check.statistic}"
        )
    return ""


def _per_request(check: MetricCheck, namespace: str) -> bool:
    """Whether it is of requests, which only an Application Load Balancer counts for each target group."""
    return namespace == _APPLICATION and not check.metric.endswith("HostCount")


def _source(check: MetricCheck, namespace: str, group: str, balancer: str, begin: float, end: float) -> Source:
    dimensions = (("LoadBalancer", balancer), ("TargetGroup", group.rpartition(":")[2]))
    values = Query(namespace, check.metric, dimensions, check.statistic, int(check.period))
    requests = Query(namespace, REQUESTS, dimensions, "Sum", int(check.period))
    return Source(values, requests if _per_request(check, namespace) else None, begin, end)


def _must_be_whole(result: Mapping[str, Any]) -> None:
    """PartialData is followed by another page; InternalError and Forbidden are not data (CloudWatch API)."""
    if result.get("StatusCode", "Complete") not in ("Complete", "PartialData"):
        said = "; ".join(message["Value"] for message in result.get("Messages", []))
        what = f"CloudWatch says {result['StatusCode']}" + (f": {said}" if said else "")
        raise AwsError(what, code=result["StatusCode"], operation="GetMetricData", transient=True)


def _judged(case: Case, points: Points, release: Release) -> Evaluation:
    state = release.checks.get(case.check.name)
    green, *blues = (_data(case.check, source, points) for source in (case.green, *case.blues))
    return judgement.evaluate(case.rule, green, blues, held=bool(state and state.held))


def _data(check: MetricCheck, source: Source, points: Points) -> Data:
    values = _within(points[source.values], source)
    if source.requests is None:
        return Data(values, dict.fromkeys(values, math.inf))
    requests = _within(points[source.requests], source)
    silent = check.namespace is None and check.statistic == "Sum" and check.metric in ZERO_WHEN_SILENT
    return Data({**dict.fromkeys(requests, 0.0), **values} if silent else values, requests)


def _within(found: Mapping[float, float], source: Source) -> dict[float, float]:
    return {at: value for at, value in found.items() if source.begin <= at < source.end}
