"""CloudWatch alarms: metric alarms that are evaluated on the lab's metrics, composite ones on other alarms.

    PutMetricAlarm -> INSUFFICIENT_DATA --every minute, on the data that can be read by then--> OK | ALARM | …
    PutCompositeAlarm -> evaluated at once, and whenever one of its children changes

As at AWS, what SetAlarmState says lasts until the next evaluation. The lab ignores an alarm
on an unknown metric, or on unknown metric math (AWS would say INSUFFICIENT_DATA). So a test can have an alarm without a
metric.

Of the actions only scaling policies do something here: when the state changes, and again every minute for as long as it
is ALARM ("Using Amazon CloudWatch alarms", alarm actions).
"""

from __future__ import annotations

import contextlib
import copy
import operator
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from lab.aws.direct import Params
from lab.aws.ec2 import Handler
from lab.aws.engine import Timeline, page
from lab.aws.metric_math import MissingError, UnknownMathError, understood
from lab.aws.metrics import Metrics, Name, can_calculate, check_statistic, name_of
from lab.aws.wire import ErrorAnswer

STATES = ("OK", "ALARM", "INSUFFICIENT_DATA")
MISSING = ("missing", "ignore", "breaching", "notBreaching")
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}
BANDS = ("LessThanLowerOrGreaterThanUpperThreshold", "LessThanLowerThreshold", "GreaterThanUpperThreshold")
"""Comparisons with an anomaly detection band, which the lab keeps and never evaluates."""
ACTIONS = {"ALARM": "AlarmActions", "OK": "OKActions", "INSUFFICIENT_DATA": "InsufficientDataActions"}
PLAIN = ("MetricName", "Namespace", "Dimensions", "Period", "Unit", "Statistic", "ExtendedStatistic")
"""What an alarm on one metric is told, and one on several (Metrics) must not be."""
MOST_TAGS = 50
EXTRA_PERIODS = 2
"""How many periods further back than EvaluationPeriods are looked at for data points; AWS tells only that it does."""
EVERY, OFTEN = 60, 10
"""Seconds between two evaluations; an alarm with a period of less than a minute is evaluated more often."""
TOKEN = re.compile(r'\s*(?:(\(|\))|"([^"]*)"|([^\s()"]+))')

Rule = Callable[[Callable[[str], str | None]], bool]
"""A composite alarm's rule: whether it holds, given who tells the state of an alarm."""
Points = dict[float, float]
"""When a period began, and the value."""


@dataclass
class Alarm:
    """One alarm."""

    name: str
    arn: str
    config: Params
    changed: float  # when its configuration was
    state: str = "INSUFFICIENT_DATA"
    reason: str = "Unchecked: Initial alarm creation"
    since: float = 0  # when the state was last told
    transitioned: float = 0  # when it was last another one
    life: int = 0  # which creation of it this is: evaluations that were due for an earlier one are void
    rule: Rule | None = None
    children: frozenset[str] = field(default_factory=frozenset)
    tags: dict[str, str] = field(default_factory=dict)
    values: list[float] = field(default_factory=list)  # that were compared last, oldest first

    def actions(self) -> set[str]:
        """Everything that it does in any state."""
        return {arn for kind in ACTIONS.values() for arn in self.config.get(kind) or ()}


class Alarms:
    """The part of CloudWatch that watches numbers."""

    def __init__(self, engine: Timeline, metrics: Metrics, region: str, account: str) -> None:
        """Watch those metrics; no alarm yet."""
        self.engine, self.metrics = engine, metrics
        self._arn = f"arn:aws:cloudwatch:{region}:{account}:alarm:"
        self._alarms: dict[str, Alarm] = {}
        self._lives = 0
        self.on_action: Callable[[str, Alarm], None] = lambda arn, alarm: None
        """Told every action that is due: its ARN, and whose it is."""

    def operations(self) -> dict[str, Handler]:
        """What of CloudWatch is answered here."""
        return {
            "PutMetricAlarm": self.put_metric_alarm,
            "PutCompositeAlarm": self.put_composite_alarm,
            "DescribeAlarms": self.describe_alarms,
            "DeleteAlarms": self.delete_alarms,
            "DescribeAlarmsForMetric": self.describe_alarms_for_metric,
            "SetAlarmState": self.set_alarm_state,
            "EnableAlarmActions": lambda params: self._enable(params, True),
            "DisableAlarmActions": lambda params: self._enable(params, False),
            "ListTagsForResource": self.list_tags,
            "TagResource": self.tag,
            "UntagResource": self.untag,
        }

    # -- calls -----------------------------------------------------------------------------------------------------

    def put_metric_alarm(self, params: Params) -> Params:
        """Make or change an alarm on metrics. A changed one keeps its state and its tags, and ignores Tags."""
        _check_metric_alarm(params)
        alarm = self._put(params)
        alarm.rule = None
        self.engine.after(_pace(params), self._tick, alarm.name, alarm.life)
        return {}

    def put_composite_alarm(self, params: Params) -> Params:
        """Make or change an alarm on other alarms, which must be there."""
        rule, named = parsed(params["AlarmRule"])
        children = frozenset(self._short(one) for one in named)
        if unknown := sorted(one for one in children if one not in self._alarms and one != params["AlarmName"]):
            raise _refused(f"Could not save the composite alarm as alarms {unknown} in the alarm rule do not exist")
        alarm = self._put(params)
        alarm.rule, alarm.children = rule, children
        self._judge_composite(alarm)
        return {}

    def describe_alarms(self, params: Params) -> Params:
        """Alarms by name, prefix, state and type; without AlarmTypes only metric alarms."""
        types = params.get("AlarmTypes") or ["MetricAlarm"]
        found = [one for one in self._chosen(params) if ("CompositeAlarm" if one.rule else "MetricAlarm") in types]
        shown, more = page(sorted(found, key=lambda one: one.name), params, "MaxRecords", 50, 100)
        return {
            "MetricAlarms": [_shown(one) for one in shown if not one.rule],
            "CompositeAlarms": [_shown(one) for one in shown if one.rule],
            **more,
        }

    def delete_alarms(self, params: Params) -> Params:
        """Delete those that are there; one that a composite alarm depends on cannot be, nor two composite ones."""
        names = [one for one in params["AlarmNames"] if one in self._alarms]
        if sum(self._alarms[one].rule is not None for one in names) > 1:
            raise _refused("You can only delete one composite alarm with one DeleteAlarms operation.")
        for one in names:
            if parents := [alarm.name for alarm in self._parents(one) if alarm.name not in names]:
                raise _refused(f"Cannot delete {one} as there are composite alarm(s) depending on it: {parents}")
        self.remove(names)
        return {}

    def describe_alarms_for_metric(self, params: Params) -> Params:
        """Alarms on just that metric with just these dimensions; not those on metric math."""
        wanted = _metric(params)
        found = [one for one in self._alarms.values() if "MetricName" in one.config and _metric(one.config) == wanted]
        for key in ("Statistic", "ExtendedStatistic", "Period", "Unit"):
            found = [one for one in found if key not in params or one.config.get(key) == params[key]]
        return {"MetricAlarms": [_shown(one) for one in found]}

    def _enable(self, params: Params, enabled: bool) -> Params:
        for name in params["AlarmNames"]:
            if name in self._alarms:
                self._alarms[name].config["ActionsEnabled"] = enabled
        return {}

    def list_tags(self, params: Params) -> Params:
        """The tags of an alarm, by its ARN; DescribeAlarms does not show them."""
        return {"Tags": [{"Key": key, "Value": value} for key, value in self._by_arn(params).tags.items()]}

    def tag(self, params: Params) -> Params:
        """Add tags to an alarm, or change them."""
        alarm = self._by_arn(params)
        alarm.tags = _with_tags(alarm.tags, params["Tags"])
        return {}

    def untag(self, params: Params) -> Params:
        """Take tags off an alarm."""
        tags = self._by_arn(params).tags
        for key in params["TagKeys"]:
            tags.pop(key, None)
        return {}

    def _by_arn(self, params: Params) -> Alarm:
        alarm = self._alarms.get(self._short(params["ResourceARN"]))
        if alarm is None:
            raise ErrorAnswer("ResourceNotFoundException", f"{params['ResourceARN']} does not exist", 404)
        return alarm

    def set_alarm_state(self, params: Params) -> Params:
        """Say a state, which holds until the next evaluation."""
        alarm = self._alarms.get(params["AlarmName"])
        if alarm is None:
            raise ErrorAnswer("ResourceNotFound", f"Alarm {params['AlarmName']} does not exist", 404)
        if params["StateValue"] not in STATES:
            raise _refused(f"Value '{params['StateValue']}' at 'stateValue' failed to satisfy constraint: {STATES}")
        self._become(alarm, params["StateValue"], params["StateReason"])
        return {}

    # -- whose actions they have -------------------------------------------------------------------------------------

    def naming(self, arn: str) -> list[Alarm]:
        """Alarms that have this action in any state."""
        return [alarm for alarm in self._alarms.values() if arn in alarm.actions()]

    def named(self, names: Iterable[str]) -> list[Alarm]:
        """Those of these names that are there."""
        return [self._alarms[name] for name in names if name in self._alarms]

    def drop_action(self, arn: str) -> list[str]:
        """Take an action off all alarms that have it; the names of those that have no action at all any more."""
        left = []
        for alarm in self.naming(arn):
            for kind in ACTIONS.values():
                alarm.config[kind] = [one for one in alarm.config.get(kind) or () if one != arn]
            if not alarm.actions():
                left.append(alarm.name)
        return left

    def remove(self, names: Iterable[str]) -> None:
        """Delete these alarms, even if others depend on them."""
        for name in names:
            self._alarms.pop(name, None)

    # -- what alarms do by themselves --------------------------------------------------------------------------------

    def _put(self, params: Params) -> Alarm:
        name, config = params["AlarmName"], {key: value for key, value in params.items() if key != "Tags"}
        alarm, self._lives = self._alarms.get(name), self._lives + 1
        if alarm is None:
            alarm = Alarm(name, self._arn + name, config, self.engine.now, tags=_with_tags({}, params.get("Tags")))
            alarm.since = alarm.transitioned = self.engine.now
            self._alarms[name] = alarm
        alarm.config, alarm.changed, alarm.life = copy.deepcopy(config), self.engine.now, self._lives
        return alarm

    def _tick(self, name: str, life: int) -> None:
        """One evaluation; the next follows."""
        alarm = self._alarms.get(name)
        if alarm is None or alarm.life != life:
            return
        self.engine.after(_pace(alarm.config), self._tick, name, life)
        if evaluated := self._evaluated(alarm):
            state, reason = evaluated
            if state != alarm.state:
                self._become(alarm, state, reason)
            elif state == "ALARM":
                self._act(alarm)

    def _evaluated(self, alarm: Alarm) -> tuple[str, str] | None:
        """The state and its reason, None if the lab cannot tell."""
        config = alarm.config
        period, wanted = _period(config), int(config["EvaluationPeriods"])
        end = self.engine.now // period * period
        start = end - (wanted + EXTRA_PERIODS) * period
        points = self._points(config, period, start, end)
        if points is None:
            return None
        compare = COMPARISONS[config["ComparisonOperator"]]
        seen = [points.get(start + n * period) for n in range(wanted + EXTRA_PERIODS)]
        breaching = [None if value is None else compare(value, float(config["Threshold"])) for value in seen]
        least = int(config.get("DatapointsToAlarm") or wanted)
        state = judged(breaching, wanted, least, config.get("TreatMissingData") or "missing", alarm.state)
        alarm.values = [value for value in seen if value is not None][-wanted:]
        said = f"{len(alarm.values)} datapoints {alarm.values} were compared with the threshold ({config['Threshold']})"
        return state, f"Threshold Crossed: {said}." if state == "ALARM" else f"{said}."

    def _points(self, config: Params, period: int, start: float, end: float) -> Points | None:
        if "ThresholdMetricId" in config:
            return None
        if "Metrics" not in config:
            statistic = config.get("Statistic") or config["ExtendedStatistic"]
            return self._measured(_metric(config), statistic, period, start, end)
        try:
            return self._calculated(config["Metrics"], period, start, end)
        except UnknownMathError:
            return None

    def _measured(self, metric: Name, statistic: str, period: int, start: float, end: float) -> Points | None:
        if not can_calculate(statistic) or not self.metrics.known(metric):
            return None
        return dict(self.metrics.points(metric, statistic, period, start, end))

    def _calculated(self, queries: list[Params], period: int, start: float, end: float) -> Points | None:
        """What metric math makes of several metrics; None if the lab never heard of any of them."""
        stats = {query["Id"]: query["MetricStat"] for query in queries if "MetricStat" in query}
        measured = {
            name: self._measured(_metric(stat["Metric"]), stat["Stat"], period, start, end)
            for name, stat in stats.items()
        }
        if all(points is None for points in measured.values()):
            return None
        terms = {query["Id"]: understood(query["Expression"]) for query in queries if "Expression" in query}
        (wanted,) = [query["Id"] for query in queries if query.get("ReturnData", True)]

        def value(name: str, at: float) -> float:
            if name in terms:
                return terms[name](lambda other: value(other, at))
            if (found := (measured.get(name) or {}).get(at)) is None:
                raise MissingError
            return found

        points = {}
        for n in range(round((end - start) / period)):
            with contextlib.suppress(MissingError):
                points[start + n * period] = value(wanted, start + n * period)
        return points

    def _become(self, alarm: Alarm, state: str, reason: str) -> None:
        changed, alarm.since = state != alarm.state, self.engine.now
        alarm.state, alarm.reason = state, reason
        if changed:
            alarm.transitioned = self.engine.now
            self._act(alarm)
            for parent in self._parents(alarm.name):
                self._judge_composite(parent)

    def _act(self, alarm: Alarm) -> None:
        if alarm.config.get("ActionsEnabled", True):
            for arn in alarm.config.get(ACTIONS[alarm.state]) or ():
                self.on_action(arn, alarm)

    def _judge_composite(self, alarm: Alarm) -> None:
        assert alarm.rule is not None
        if alarm.name in self._reached(alarm):
            return  # AWS stops evaluating where it finds a cycle (botocore's model, PutCompositeAlarm)
        state = "ALARM" if alarm.rule(self._state) else "OK"
        if state != alarm.state:
            self._become(alarm, state, f"{alarm.arn} transitioned to {state} by its rule {alarm.config['AlarmRule']}")

    def _state(self, name: str) -> str | None:
        found = self._alarms.get(self._short(name))
        return found.state if found else None

    def _short(self, name: str) -> str:
        """An alarm's name, of its name or ARN."""
        return name.removeprefix(self._arn)

    def _parents(self, name: str) -> list[Alarm]:
        return [alarm for alarm in self._alarms.values() if name in alarm.children]

    def _reached(self, alarm: Alarm) -> set[str]:
        """Every alarm that this one depends on, by any way."""
        found: set[str] = set()
        todo = list(alarm.children)
        while todo:
            name = todo.pop()
            if name not in found and name in self._alarms:
                found.add(name)
                todo += self._alarms[name].children
        return found

    def _chosen(self, params: Params) -> Iterator[Alarm]:
        names, prefix = params.get("AlarmNames"), params.get("AlarmNamePrefix")
        if names and prefix:
            raise _refused("AlarmNamePrefix cannot be specified with AlarmNames")
        parent = self._alarms.get(params.get("ChildrenOfAlarmName", ""))
        children = parent.children if parent else ()
        for alarm in self._alarms.values():
            fits = not names or alarm.name in names
            fits &= alarm.name.startswith(prefix or "")
            fits &= params.get("StateValue") in (None, alarm.state)
            fits &= "ActionPrefix" not in params or any(a.startswith(params["ActionPrefix"]) for a in alarm.actions())
            fits &= "ParentsOfAlarmName" not in params or params["ParentsOfAlarmName"] in alarm.children
            fits &= "ChildrenOfAlarmName" not in params or alarm.name in children
            if fits:
                yield alarm


def judged(breaching: list[bool | None], wanted: int, least: int, missing: str, state: str) -> str:
    """The state of an alarm after an evaluation, as "Configuring how CloudWatch alarms treat missing data" has it.

    `breaching` is the evaluation range, oldest first, None where there is no data point; `least` of `wanted` make it an
    ALARM. Data points further back stand in for those that are missing.
    """
    real = [one for one in breaching if one is not None][-wanted:]
    bad, filled = sum(real), wanted - len(real)
    if missing == "breaching":
        return "ALARM" if bad + filled >= least else "OK"
    if bad >= least:
        return "ALARM"
    if missing == "notBreaching" or not filled or not all(real):
        return "OK"
    if missing == "ignore":
        return state
    if not real:
        return "INSUFFICIENT_DATA"
    oldest = len(breaching) - breaching.index(True)
    return "ALARM" if oldest >= least else state


def _metric(config: Params) -> Name:
    dimensions = {one["Name"]: one["Value"] for one in config.get("Dimensions") or []}
    return name_of(config["Namespace"], config["MetricName"], dimensions)


def _period(config: Params) -> int:
    """The length of a data point: told once, or by one of the alarm's metrics."""
    told = [one.get("Period") or one.get("MetricStat", {}).get("Period") for one in config.get("Metrics") or [config]]
    return int(next((period for period in told if period), EVERY))


def _pace(config: Params) -> float:
    return EVERY if _period(config) >= 60 else OFTEN


def _with_tags(tags: dict[str, str], given: Iterable[Params] | None) -> dict[str, str]:
    both = {**tags, **{tag["Key"]: tag["Value"] for tag in given or ()}}
    if len(both) > MOST_TAGS:
        raise _refused(f"The number of tags exceeds the limit of {MOST_TAGS}")  # its exact words are not known to us
    return both


def _check_metric_alarm(params: Params) -> None:
    if "Metrics" in params:
        _check_math(params)
    else:
        _check_plain(params)
    _check_judging(params)


def _need(params: Params, *keys: str) -> None:
    for key in keys:
        if params.get(key) is None:
            raise ErrorAnswer("MissingParameter", f"The parameter {key} must be present")


def _check_plain(params: Params) -> None:
    _need(params, "MetricName", "Namespace", "Period")
    if bool(params.get("Statistic")) == bool(params.get("ExtendedStatistic")):
        raise ErrorAnswer(
            "InvalidParameterCombination", "Exactly one of Statistic and ExtendedStatistic must be specified"
        )
    check_statistic(params.get("Statistic") or params["ExtendedStatistic"])


def _check_math(params: Params) -> None:
    queries = params["Metrics"]
    if wrong := [key for key in PLAIN if key in params]:
        raise _refused(f"{wrong[0]} must not be set if Metrics is")  # its exact words are not known to us
    if len({query["Id"] for query in queries}) != len(queries):
        raise _refused("The values for parameter id in Metrics are not unique.")
    for query in queries:
        if ("Expression" in query) == ("MetricStat" in query):
            raise _refused("Exactly one of Expression and MetricStat must be specified for each metric")
        if "MetricStat" in query:
            check_statistic(query["MetricStat"]["Stat"])
    shown = [query["Id"] for query in queries if query.get("ReturnData", True)]
    if len(shown) != (2 if params.get("ComparisonOperator") in BANDS else 1):
        raise _refused("Exactly one element of the metrics list should return data.")


def _check_judging(params: Params) -> None:
    """How the numbers are compared, and how many of them."""
    _need(params, "EvaluationPeriods", "ComparisonOperator")
    if params["ComparisonOperator"] in BANDS:
        _need(params, "ThresholdMetricId")
    elif params["ComparisonOperator"] in COMPARISONS:
        _need(params, "Threshold")
    else:
        raise _refused(f"The lab does not know the comparison {params['ComparisonOperator']}")
    period, wanted = _period(params), int(params["EvaluationPeriods"])
    if period not in (10, 20, 30) and (period <= 0 or period % 60):
        raise _refused(f"Period {period} must be 10, 20, 30 or a multiple of 60")
    if wanted < 1 or period * wanted > 86_400 * (7 if period >= 3600 else 1):
        raise _refused("Metrics cannot be checked across more than a day (7 days if the period is at least an hour)")
    if not 1 <= int(params.get("DatapointsToAlarm") or wanted) <= wanted:
        raise _refused("DatapointsToAlarm must be at least 1 and at most EvaluationPeriods")
    if (params.get("TreatMissingData") or "missing") not in MISSING:
        raise _refused(f"TreatMissingData must be one of {MISSING}")
    if params.get("EvaluateLowSampleCountPercentile", "ignore") not in ("evaluate", "ignore"):
        raise _refused("EvaluateLowSampleCountPercentile must be evaluate or ignore")


def _shown(alarm: Alarm) -> Params:
    """As DescribeAlarms shows it."""
    told: Params = {"ActionsEnabled": True, "OKActions": [], "AlarmActions": [], "InsufficientDataActions": []}
    return {
        **told,
        **({} if alarm.rule or "Metrics" in alarm.config else {"Dimensions": []}),
        **alarm.config,
        "AlarmArn": alarm.arn,
        "AlarmConfigurationUpdatedTimestamp": alarm.changed,
        "StateValue": alarm.state,
        "StateReason": alarm.reason,
        "StateUpdatedTimestamp": alarm.since,
        "StateTransitionedTimestamp": alarm.transitioned,
    }


# --- the rules of composite alarms -----------------------------------------------------------------------------------


def parsed(text: str) -> tuple[Rule, set[str]]:
    """The rule, and the alarms (names or ARNs) that it mentions. NOT binds closer than AND, AND closer than OR."""
    parser = _Parser(text)
    rule = parser.either()
    parser.end()
    return rule, parser.named


class _Parser:
    """Reads one AlarmRule."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._split(text))
        self.named: set[str] = set()

    def either(self) -> Rule:
        """Rules with OR between them."""
        rule = self._both()
        while self._take("OR"):
            rule = _or(rule, self._both())
        return rule

    def end(self) -> None:
        """Nothing may be left."""
        if self._tokens:
            self._fail(self._tokens[0])

    def _both(self) -> Rule:
        rule = self._one()
        while self._take("AND"):
            rule = _and(rule, self._one())
        return rule

    def _one(self) -> Rule:
        word = self._next()
        if word == "NOT":
            inner = self._one()
            return lambda state: not inner(state)
        if word == "(":
            inner = self.either()
            self._expect(")")
            return inner
        if word in ("TRUE", "FALSE"):
            return lambda _: word == "TRUE"
        if word not in STATES:
            self._fail(word)
        self._expect("(")
        name = self._next()
        self._expect(")")
        self.named.add(name)
        return lambda state: state(name) == word

    def _split(self, text: str) -> Iterator[str]:
        at, text = 0, text.rstrip()
        while at < len(text):
            found = TOKEN.match(text, at)
            if found is None:
                self._fail(text[at:])
            assert found is not None
            yield next(one for one in found.groups() if one is not None)
            at = found.end()

    def _next(self) -> str:
        if not self._tokens:
            self._fail("its end")
        return self._tokens.pop(0)

    def _take(self, word: str) -> bool:
        if self._tokens[:1] != [word]:
            return False
        self._tokens.pop(0)
        return True

    def _expect(self, word: str) -> None:
        if not self._take(word):
            self._fail(self._tokens[0] if self._tokens else "its end")

    def _fail(self, word: str) -> None:
        raise _refused(f"AlarmRule cannot be read at {word!r}: {self._text}")


def _or(one: Rule, other: Rule) -> Rule:
    return lambda state: one(state) or other(state)


def _and(one: Rule, other: Rule) -> Rule:
    return lambda state: one(state) and other(state)


def _refused(message: str) -> ErrorAnswer:
    return ErrorAnswer("ValidationError", message)
