"""CloudWatch metrics: what was put, and what GetMetricData says of it (CloudWatch API, GetMetricData, PutMetricData).

    sample -> bucket of the metric's resolution -> visible after a lag -> one data point a period and statistic

Where nothing happened the data point is missing, not 0.
"""

from __future__ import annotations

import itertools
import math
import operator
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from lab.aws.direct import Params
from lab.aws.ec2 import Handler
from lab.aws.engine import Timeline
from lab.aws.wire import ErrorAnswer

MOST_POINTS = 100_800
"""Data points of one answer (botocore's model, MaxDatapoints)."""
MOST_QUERIES = 500
SHORT_PERIODS = (1, 5, 10, 20, 30)
SHORT_KEPT = 3 * 3600
"""Seconds for which data points of less than a minute are kept (botocore's model, GetMetricData)."""
LARGEST = 2.0**360
PERCENTILE = re.compile(r"p(100|\d{1,2}(?:\.\d{1,10})?)")
EXTENDED = re.compile(r"(p|tm|wm|tc|ts)(100|\d{1,2}(\.\d{1,10})?)|IQM|(PR|TM|WM|TC|TS)\([\d.%]*:[\d.%]*\)")
"""Statistics that CloudWatch calculates (user guide, statistics definitions); an alarm on them is kept, at least."""
PLAIN = ("SampleCount", "Sum", "Average", "Minimum", "Maximum")

Name = tuple[str, str, tuple[tuple[str, str], ...]]
"""Namespace, metric and dimensions: a metric is another one when only one of its dimensions differs."""
Points = list[tuple[float, float]]
"""When a period began, and its value; oldest first."""
Derived = Callable[[dict[str, str], int, float, float], Points | None]
"""The points of a metric with those dimensions by period, start and end; None where it has never had one."""


@dataclass
class Bucket:
    """Samples of one time of the metric's resolution: values, and how often each came."""

    values: array[float] = field(default_factory=lambda: array("d"))
    counts: array[float] = field(default_factory=lambda: array("d"))


@dataclass
class Series:
    """One metric."""

    resolution: int
    unit: str
    lag: float | None
    """From the end of a bucket until it can be read; None: at once, as soon as something is in it."""
    buckets: dict[int, Bucket] = field(default_factory=dict)

    def add(self, at: float, values: Iterable[float], counts: Iterable[float]) -> None:
        """Put samples into the bucket of that moment."""
        bucket = self.buckets.setdefault(math.floor(at / self.resolution) * self.resolution, Bucket())
        bucket.values.extend(values)
        bucket.counts.extend(counts)

    def between(self, start: float, end: float, now: float) -> Iterator[tuple[int, Bucket]]:
        """The buckets that begin in that time and can be read by now."""
        for at in range(math.ceil(start / self.resolution) * self.resolution, math.ceil(end), self.resolution):
            seen = self.lag is None or at + self.resolution + self.lag <= now
            if seen and at in self.buckets:
                yield at, self.buckets[at]


class Metrics:
    """The part of CloudWatch that keeps numbers."""

    def __init__(self, engine: Timeline) -> None:
        """Keep nothing yet."""
        self.engine = engine
        self._series: dict[Name, Series] = {}
        self.sources: list[Callable[[], None]] = []
        """Asked before every reading, for whatever they have not yet put here."""
        self.derived: dict[tuple[str, str], Derived] = {}
        """Metrics (namespace, name) that are reckoned from others when they are read, unless they were put."""

    def operations(self) -> dict[str, Handler]:
        """What of CloudWatch is answered here."""
        return {"GetMetricData": self.get_metric_data, "PutMetricData": self.put_metric_data}

    # -- putting ---------------------------------------------------------------------------------------------------

    def put(
        self,
        namespace: str,
        metric: str,
        values: Iterable[float],
        dimensions: Mapping[str, str] | None = None,
        at: float | None = None,
        *,
        counts: Iterable[float] | None = None,
        resolution: int = 60,
        unit: str = "None",
        lag: float | None = None,
    ) -> None:
        """Samples of one moment (now, unless told); `counts` says how often each came. Read at once, unless `lag`."""
        name = name_of(namespace, metric, dimensions or {})
        series = self._series.setdefault(name, Series(resolution, unit, lag))
        values = list(values)
        often = itertools.repeat(1.0, len(values)) if counts is None else counts
        series.add(self.engine.clock.now() if at is None else at, values, often)

    def put_metric_data(self, params: Params) -> Params:
        """Custom metrics: single values, values with counts, or statistic sets."""
        for datum in params.get("MetricData") or []:
            values, counts = _samples(datum)
            resolution = int(datum.get("StorageResolution") or 60)
            if resolution not in (1, 60):
                raise _invalid("The parameter MetricData.member.1.StorageResolution must be 1 or 60")
            at = datum.get("Timestamp")
            self.put(
                params["Namespace"],
                datum["MetricName"],
                values,
                {one["Name"]: one["Value"] for one in datum.get("Dimensions") or []},
                None if at is None else seconds(at),
                counts=counts,
                resolution=resolution,
                unit=datum.get("Unit") or "None",
            )
        return {}

    # -- getting ---------------------------------------------------------------------------------------------------

    def known(self, name: Name) -> bool:
        """Whether that metric ever had a data point."""
        self._ask_sources()
        return name in self._series or self._derive(name, 60, self.engine.now, self.engine.now) is not None

    def has(self, name: Name) -> bool:
        """Whether a data point of that metric was put here."""
        return name in self._series

    def _derive(self, name: Name, period: int, start: float, end: float) -> Points | None:
        namespace, metric, dimensions = name
        reckon = self.derived.get((namespace, metric))
        return reckon(dict(dimensions), period, start, end) if reckon else None

    def points(self, name: Name, statistic: str, period: int, start: float, end: float) -> Points:
        """One value for each period in which something happened and that can be read by now."""
        self._ask_sources()
        series = self._series.get(name)
        if series is None:
            return self._derive(name, period, start, end) or []
        if period < 60:
            start = max(start, self.engine.now - SHORT_KEPT)
        bins: dict[float, list[Bucket]] = {}
        for at, bucket in series.between(start, end, self.engine.now):
            bins.setdefault(start + math.floor((at - start) / period) * period, []).append(bucket)
        return [(at, calculated(buckets, statistic)) for at, buckets in bins.items()]

    def get_metric_data(self, params: Params) -> Params:
        """Data points of up to 500 metrics, newest first unless ScanBy says otherwise, in pages of MaxDatapoints."""
        queries, start, end = params["MetricDataQueries"], seconds(params["StartTime"]), seconds(params["EndTime"])
        if start >= end:
            raise _refused("The parameter StartTime must be less than the parameter EndTime.")
        _check_ids(queries)
        newest_first = params.get("ScanBy") != "TimestampAscending"
        found = {
            query["Id"]: (_label(query), self._asked(query["MetricStat"], start, end)[:: -1 if newest_first else 1])
            for query in queries
            if query.get("ReturnData", True)
        }
        return _page(found, params)

    def _ask_sources(self) -> None:
        for source in self.sources:
            source()

    def _asked(self, stat: Params, start: float, end: float) -> Points:
        metric, period = stat["Metric"], int(stat["Period"])
        check_period(period)
        dimensions = {one["Name"]: one["Value"] for one in metric.get("Dimensions") or []}
        name = name_of(metric["Namespace"], metric["MetricName"], dimensions)
        wanted, has = stat.get("Unit"), self._series.get(name)
        check_statistic(stat["Stat"], calculable=True)
        if wanted and has and wanted != has.unit:
            return []
        grain = min(60, period)
        return self.points(name, stat["Stat"], period, math.floor(start / grain) * grain, end)


def name_of(namespace: str, metric: str, dimensions: Mapping[str, str]) -> Name:
    """The metric with these dimensions, in any order."""
    return namespace, metric, tuple(sorted(dimensions.items()))


def seconds(moment: datetime) -> float:
    """A time of a request, naive and in UTC as it is parsed, as epoch seconds."""
    return moment.replace(tzinfo=UTC).timestamp()


def check_period(period: int) -> None:
    """ValidationError unless CloudWatch has data points of that length."""
    if period not in SHORT_PERIODS and (period <= 0 or period % 60):
        raise _refused(f"Period {period} must be 1, 5, 10, 20, 30 or a multiple of 60")


def can_calculate(statistic: str) -> bool:
    """Whether the lab can calculate that statistic."""
    return statistic in PLAIN or bool(PERCENTILE.fullmatch(statistic))


def check_statistic(statistic: str, *, calculable: bool = False) -> None:
    """ValidationError unless CloudWatch knows that statistic; with `calculable`, unless the lab can calculate it."""
    if not can_calculate(statistic) and (calculable or not EXTENDED.fullmatch(statistic)):
        raise _refused(f"The value {statistic} for parameter Stat is not supported")


def calculated(buckets: list[Bucket], statistic: str) -> float:
    """A statistic over all samples of these buckets."""
    values, counts = _together([bucket.values for bucket in buckets]), _together([bucket.counts for bucket in buckets])
    match statistic:
        case "SampleCount":
            return math.fsum(counts)
        case "Sum":
            return _sum(values, counts)
        case "Average":
            return _sum(values, counts) / math.fsum(counts)
        case "Minimum":
            return min(values)
        case "Maximum":
            return max(values)
    return _percentile(values, counts, float(statistic[1:]) / 100)


def _together(parts: list[array[float]]) -> array[float]:
    return parts[0] if len(parts) == 1 else array("d", itertools.chain.from_iterable(parts))


def _sum(values: Iterable[float], counts: Iterable[float]) -> float:
    return math.fsum(map(operator.mul, values, counts))


def _percentile(values: array[float], counts: array[float], share: float) -> float:
    """The least value that so large a share of the samples does not exceed."""
    if counts.count(1.0) == len(counts):
        return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
    ordered = sorted(zip(values, counts, strict=True))
    wanted = share * math.fsum(counts)
    passed = itertools.accumulate(count for _, count in ordered)
    return next((value for (value, _), so_far in zip(ordered, passed, strict=True) if so_far >= wanted), ordered[-1][0])


def _samples(datum: Params) -> tuple[list[float], list[float]]:
    """The values of a datum, and how often each came."""
    if (single := datum.get("Value")) is not None:
        values, counts = [float(single)], [1.0]
    elif datum.get("Values"):
        values = [float(one) for one in datum["Values"]]
        counts = [float(one) for one in datum.get("Counts") or [1.0] * len(values)]
    elif (given := datum.get("StatisticValues")) is not None:
        return _spread_out(given)
    else:
        raise ErrorAnswer(
            "MissingParameter", "At least one of the parameters Value, Values or StatisticValues is needed"
        )
    if len(values) != len(counts) or len(values) > 150:
        raise _invalid("The parameters Values and Counts must have as many members, and at most 150")
    if any(not math.isfinite(one) or abs(one) > LARGEST for one in values):
        raise _invalid("The value for parameter MetricData.member.1.Value is not a number between -2^360 and 2^360")
    return values, counts


def _spread_out(given: Params) -> tuple[list[float], list[float]]:
    """Samples with the same count, sum, least and greatest value; their percentiles mean nothing, as at AWS."""
    count, total, low, high = (float(given[key]) for key in ("SampleCount", "Sum", "Minimum", "Maximum"))
    if count <= 2:
        return [low, high][: int(count)], [1.0, 1.0][: int(count)]
    return [low, (total - low - high) / (count - 2), high], [1.0, count - 2, 1.0]


def _check_ids(queries: list[Params]) -> None:
    ids = [query["Id"] for query in queries]
    if len(queries) > MOST_QUERIES:
        raise _refused(f"The collection MetricDataQueries must not have a size greater than {MOST_QUERIES}.")
    for query in queries:
        if not re.fullmatch(r"[a-z]\w{0,254}", query["Id"], re.ASCII):
            raise _refused(f"The value {query['Id']} for parameter MetricDataQueries.member.Id is not matching pattern")
        if ids.count(query["Id"]) > 1:
            raise _refused("The values for parameter id in MetricDataQueries are not unique.")
        if "MetricStat" not in query:
            raise _refused("The lab knows no metric math: every query needs a MetricStat")


def _label(query: Params) -> str:
    return str(query.get("Label") or query["MetricStat"]["Metric"]["MetricName"])


def _page(found: dict[str, tuple[str, Points]], params: Params) -> Params:
    """One page: so many data points, counted over all metrics; each metric is told on every page, by its id."""
    token, size = params.get("NextToken") or "0", int(params.get("MaxDatapoints") or MOST_POINTS)
    if not token.isdigit():
        raise ErrorAnswer("InvalidNextToken", "The provided NextToken is invalid")
    skip, left, results = int(token), size, []
    for id_, (label, points) in found.items():
        shown = points[skip : skip + left]
        behind = len(points) - skip - len(shown)
        skip, left = max(0, skip - len(points)), left - len(shown)
        results.append(
            {
                "Id": id_,
                "Label": label,
                "Timestamps": [at for at, _ in shown],
                "Values": [value for _, value in shown],
                "StatusCode": "PartialData" if behind > 0 else "Complete",
            }
        )
    total = sum(len(points) for _, points in found.values())
    more = {"NextToken": str(int(token) + size)} if int(token) + size < total else {}
    return {"MetricDataResults": results, "Messages": [], **more}


def _refused(message: str) -> ErrorAnswer:
    return ErrorAnswer("ValidationError", message)


def _invalid(message: str) -> ErrorAnswer:
    return ErrorAnswer("InvalidParameterValue", message)
