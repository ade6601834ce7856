"""CloudWatch alarms: metric alarms that are evaluated on the lab's metrics, composite ones on other alarms.

    PutMetricAlarm -> INSUFFICIENT_DATA --every minute, on the data that can be read by then--> OK | ALARM | …
    PutCompositeAlarm -> evaluated at once, and whenever one of its children changes

As at AWS, what SetAlarmState says lasts until the next evaluation. An alarm on a metric that the lab never heard of is
not evaluated at all (AWS would say INSUFFICIENT_DATA), so that a test need not feed a metric to have an alarm.
"""

from __future__ import annotations

import copy
import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from lab.aws.direct import Params
from lab.aws.ec2 import Handler
from lab.aws.engine import Timeline, page
from lab.aws.metrics import Metrics, Name, check_statistic, name_of
from lab.aws.wire import ErrorAnswer

STATES = ("OK", "ALARM", "INSUFFICIENT_DATA")
MISSING = ("missing", "ignore", "breaching", "notBreaching")
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}
EXTRA_PERIODS = 2
"""How many periods further back than EvaluationPeriods are looked at for data points; AWS tells only that it does."""
EVERY, OFTEN = 60, 10
"""Seconds between two evaluations; an alarm with a period of less than a minute is evaluated more often."""
TOKEN = re.compile(r'\s*(?:(\(|\))|"([^"]*)"|([^\s()"]+))')

Rule = Callable[[Callable[[str], str | None]], bool]
"""A composite alarm's rule: whether it holds, given who tells the state of an alarm."""


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


class Alarms:
    """The part of CloudWatch that watches numbers."""

    def __init__(self, engine: Timeline, metrics: Metrics, region: str, account: str) -> None:
        """Watch those metrics; no alarm yet."""
        self.engine, self.metrics = engine, metrics
        self._arn = f"arn:aws:cloudwatch:{region}:{account}:alarm:"
        self._alarms: dict[str, Alarm] = {}
        self._lives = 0

    def operations(self) -> dict[str, Handler]:
        """What of CloudWatch is answered here."""
        return {
            "PutMetricAlarm": self.put_metric_alarm,
            "PutCompositeAlarm": self.put_composite_alarm,
            "DescribeAlarms": self.describe_alarms,
            "DeleteAlarms": self.delete_alarms,
            "SetAlarmState": self.set_alarm_state,
        }

    # -- calls -----------------------------------------------------------------------------------------------------

    def put_metric_alarm(self, params: Params) -> Params:
        """Make or change an alarm on one metric. A changed one keeps its state."""
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
        for one in names:
            del self._alarms[one]
        return {}

    def set_alarm_state(self, params: Params) -> Params:
        """Say a state, which holds until the next evaluation."""
        alarm = self._alarms.get(params["AlarmName"])
        if alarm is None:
            raise ErrorAnswer("ResourceNotFound", f"Alarm {params['AlarmName']} does not exist", 404)
        if params["StateValue"] not in STATES:
            raise _refused(f"Value '{params['StateValue']}' at 'stateValue' failed to satisfy constraint: {STATES}")
        self._become(alarm, params["StateValue"], params["StateReason"])
        return {}

    # -- what alarms do by themselves --------------------------------------------------------------------------------

    def _put(self, params: Params) -> Alarm:
        name, config = params["AlarmName"], {key: value for key, value in params.items() if key != "Tags"}
        self._lives += 1
        alarm = self._alarms.get(name)
        if alarm is None:
            alarm = Alarm(name, self._arn + name, config, self.engine.now)
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
        metric = _metric(alarm.config)
        if self.metrics.known(metric):
            state, reason = self._evaluated(alarm, metric)
            if state != alarm.state:
                self._become(alarm, state, reason)

    def _evaluated(self, alarm: Alarm, metric: Name) -> tuple[str, str]:
        config = alarm.config
        period, wanted = int(config["Period"]), int(config["EvaluationPeriods"])
        end = self.engine.now // period * period
        start = end - (wanted + EXTRA_PERIODS) * period
        statistic = config.get("Statistic") or config["ExtendedStatistic"]
        points = dict(self.metrics.points(metric, statistic, period, start, end))
        compare = COMPARISONS[config["ComparisonOperator"]]
        seen = [points.get(start + n * period) for n in range(wanted + EXTRA_PERIODS)]
        breaching = [None if value is None else compare(value, float(config["Threshold"])) for value in seen]
        least = int(config.get("DatapointsToAlarm") or wanted)
        state = judged(breaching, wanted, least, config.get("TreatMissingData") or "missing", alarm.state)
        had = [value for value in seen if value is not None][-wanted:]
        said = f"{len(had)} datapoints {had} were compared with the threshold ({config['Threshold']})"
        return state, f"Threshold Crossed: {said}." if state == "ALARM" else f"{said}."

    def _become(self, alarm: Alarm, state: str, reason: str) -> None:
        changed, alarm.since = state != alarm.state, self.engine.now
        alarm.state, alarm.reason = state, reason
        if changed:
            alarm.transitioned = self.engine.now
            for parent in self._parents(alarm.name):
                self._judge_composite(parent)

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


def _pace(config: Params) -> float:
    return EVERY if int(config["Period"]) >= 60 else OFTEN


def _check_metric_alarm(params: Params) -> None:
    needed = ("MetricName", "Namespace", "Period", "EvaluationPeriods", "ComparisonOperator", "Threshold")
    for key in needed:
        if params.get(key) is None:
            raise ErrorAnswer("MissingParameter", f"The parameter {key} must be present; the lab knows no metric math")
    period, wanted = int(params["Period"]), int(params["EvaluationPeriods"])
    if period not in (10, 20, 30) and (period <= 0 or period % 60):
        raise _refused(f"Period {period} must be 10, 20, 30 or a multiple of 60")
    if wanted < 1 or period * wanted > 86_400 * (7 if period >= 3600 else 1):
        raise _refused("Metrics cannot be checked across more than a day (7 days if the period is at least an hour)")
    if not 1 <= int(params.get("DatapointsToAlarm") or wanted) <= wanted:
        raise _refused("DatapointsToAlarm must be at least 1 and at most EvaluationPeriods")
    if params["ComparisonOperator"] not in COMPARISONS:
        raise _refused(f"The lab does not know the comparison {params['ComparisonOperator']}")
    if (params.get("TreatMissingData") or "missing") not in MISSING:
        raise _refused(f"TreatMissingData must be one of {MISSING}")
    if bool(params.get("Statistic")) == bool(params.get("ExtendedStatistic")):
        raise ErrorAnswer(
            "InvalidParameterCombination", "Exactly one of Statistic and ExtendedStatistic must be specified"
        )
    check_statistic(params.get("Statistic") or params["ExtendedStatistic"])


def _shown(alarm: Alarm) -> Params:
    """As DescribeAlarms shows it."""
    told: Params = {"ActionsEnabled": True, "OKActions": [], "AlarmActions": [], "InsufficientDataActions": []}
    return {
        **told,
        **({} if alarm.rule else {"Dimensions": []}),
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
