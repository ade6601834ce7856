"""Releases without AWS: synthetic traffic, judged look by look as a driver would. `python -m tests.judging [releases]`.

What is assumed stands in `Service`, and in docs/checks.md beside the figures.
"""

from __future__ import annotations

import math
import random
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from statistics import NormalDist, median

from bluegreen.events import CheckState
from bluegreen.judgement import Data, Rule, evaluate
from bluegreen.observation import CheckResult
from bluegreen.phases.observed import _counted

#: The checks that are recommended: counts and a percentile.
ERRORS = Rule("Sum", at_most=1.5, period=60, periods=10, counted=True)
LATENCY = Rule("p90", at_most=1.2, period=60, periods=10, unit=" s")
P99 = replace(LATENCY, statistic="p99")
AVERAGE = replace(LATENCY, statistic="Average")
NEEDS, WITHIN, LATE = 3, 15, 1  # looks; minutes; minutes that the newest data is old at least


@dataclass(frozen=True)
class Service:
    """How a service and its green version behave."""

    rate: float = 20.0  # requests a second, in all
    shares: tuple[int, ...] = (10, 50)
    errors: float = 0.001  # of all requests of blue
    green_errors: float = 0.0  # on top of that
    slower: float = 1.0  # green's latencies, as a multiple of blue's
    spread: float = 0.6  # sigma of the lognormal latencies
    together: float = 0.05  # sigma of what a minute does to both
    apart: float = 0.03  # sigma of what a minute does to one of them
    bursts: float = 0.0  # probability of ten failures more in a minute, all of one side: one client that tries again
    cold: int = 0  # minutes in which green begins twice as slow


@dataclass
class Side:
    """What CloudWatch has of a target group: minute -> number."""

    requests: dict[float, float] = field(default_factory=dict)
    failed: dict[float, float] = field(default_factory=dict)
    outer: dict[float, float] = field(default_factory=dict)
    average: dict[float, float] = field(default_factory=dict)

    def data(self, rule: Rule, begin: int, end: int) -> Data:
        """Of these minutes."""
        values = self.failed if rule.counted else {"Average": self.average}.get(rule.statistic, self.outer)
        return Data(_between(values, begin, end), _between(self.requests, begin, end))


def _between(values: Mapping[float, float], begin: int, end: int) -> dict[float, float]:
    return {at: value for at, value in values.items() if begin <= at < end}


@dataclass(frozen=True)
class End:
    """How a release ended, and at which minute from green's first request."""

    outcome: str  # live | caught | not held
    minute: int
    switched: bool
    check: str = ""


class Trial:
    """One release: shares rise when every check holds, as in the real one."""

    def __init__(self, service: Service, seed: int, rules: Mapping[str, Rule]) -> None:
        self._service, self._dice, self._rules = service, random.Random(seed), rules
        self._blue, self._green = Side(), Side()
        self._states: dict[str, CheckState] = {}
        self._switched: int | None = None
        self._now = 0
        said = [float(rule.statistic[1:]) / 100 for rule in rules.values() if rule.statistic[0] == "p"]
        self._percentile = said[0] if said else 0.9

    def run(self) -> End:
        """To the end of the soak."""
        for minute in range(-10, 0):
            self._pass(minute, 0)
        for minute, share in enumerate(self._path()):
            self._pass(minute, share)
            self._now = minute + 1
            if end := self._look():
                return end
        return End("live", self._now, switched=True)

    def _path(self) -> Iterator[int]:
        for share in self._service.shares:
            yield share
            while not self._held():
                yield share
            yield from [share] * 2  # the part of the overlap, from when all hold
        self._switched = self._now
        yield from [100] * 15

    def _held(self) -> bool:
        return len(self._states) == len(self._rules) and all(state.held for state in self._states.values())

    def _pass(self, minute: int, share: int) -> None:
        common = self._dice.gauss(0, self._service.together)
        self._serve(self._blue, minute, (100 - share) / 100, common, 0.0, 1.0)
        slower = self._service.slower * (2 if 0 <= minute < self._service.cold else 1)
        self._serve(self._green, minute, share / 100, common, self._service.green_errors, slower)

    def _serve(self, side: Side, minute: int, part: float, common: float, more: float, slower: float) -> None:
        s, dice = self._service, self._dice
        requests = _poisson(dice, s.rate * 60 * part * math.exp(dice.gauss(0, 0.1)))
        if not requests:
            return
        side.requests[minute] = requests
        burst = 10 if dice.random() < s.bursts * part else 0
        side.failed[minute] = min(_poisson(dice, requests * (s.errors + more)) + burst, requests)
        middle = math.log(0.08 * slower) + common + dice.gauss(0, s.apart)
        k = math.ceil(self._percentile * requests)
        outer = NormalDist().inv_cdf(min(dice.betavariate(k, requests - k + 1), 1 - 1e-12))
        side.outer[minute] = math.exp(middle + s.spread * outer)
        mean, wide = math.exp(s.spread**2 / 2), math.sqrt(math.exp(2 * s.spread**2) - math.exp(s.spread**2))
        side.average[minute] = math.exp(middle) * (mean + wide / math.sqrt(requests) * dice.gauss(0, 1))

    def _look(self) -> End | None:
        for name, rule in self._rules.items():
            state = self._states.get(name)
            green, blues = self._windows(rule)
            said = evaluate(rule, green, blues, held=bool(state and state.held))
            result = CheckResult(name, said.passed, said.value, self._now, said.certain)
            if counted := _counted(state, result, NEEDS):
                self._states[name] = state = counted
            assert state is not None
            if state.lost:
                return End("caught", self._now, self._switched is not None, name)
            if not state.held and self._now >= WITHIN:
                return End("not held", self._now, self._switched is not None, name)
        return None

    def _windows(self, rule: Rule) -> tuple[Data, list[Data]]:
        end = self._now - LATE
        begin = max(0, end - rule.periods)
        green = self._green.data(rule, begin, end)
        if self._switched is None:
            return green, [self._blue.data(rule, begin, end)]
        last = self._switched
        alone = self._blue.data(rule, -rule.periods, 0)
        return green, [alone, self._blue.data(rule, max(0, last - rule.periods), last)]


def _poisson(dice: random.Random, mean: float) -> int:
    """So many events; by the normal distribution where they are many."""
    if mean > 200:
        return max(0, round(dice.gauss(mean, math.sqrt(mean))))
    limit, product, count = math.exp(-mean), dice.random(), 0
    while product > limit:
        product *= dice.random()
        count += 1
    return count


def ends(service: Service, releases: int, rules: Mapping[str, Rule] | None = None) -> list[End]:
    """How so many releases end, each with dice of its own."""
    rules = rules or {"errors": ERRORS, "latency": LATENCY}
    return [Trial(service, seed, rules).run() for seed in range(releases)]


#: name -> (service, rules)
GOOD: Mapping[str, tuple[Service, Mapping[str, Rule]]] = {
    "0.1 % fail of both": (Service(), {"errors": ERRORS, "latency": LATENCY}),
    "none fail": (Service(errors=0), {"errors": ERRORS, "latency": LATENCY}),
    "2 % fail of both": (Service(errors=0.02), {"errors": ERRORS, "latency": LATENCY}),
    "bursts of 10 failures in 10 % of minutes": (Service(bursts=0.1), {"errors": ERRORS, "latency": LATENCY}),
    "green cold for 3 minutes": (Service(cold=3), {"errors": ERRORS, "latency": LATENCY}),
    "wide latencies (sigma 1)": (Service(spread=1.0), {"errors": ERRORS, "latency": LATENCY}),
    "200 requests a second, p99": (Service(rate=200), {"errors": ERRORS, "latency": P99}),
    "20 requests a second, Average": (Service(), {"errors": ERRORS, "latency": AVERAGE}),
    "no margin: at_most 1 of both": (
        Service(errors=0.005),
        {"errors": replace(ERRORS, at_most=1.0), "latency": replace(LATENCY, at_most=1.0)},
    ),
}
SICK: Mapping[str, tuple[Service, Mapping[str, Rule]]] = {
    "2 % fail, blue none": (Service(errors=0, green_errors=0.02), {"errors": ERRORS}),
    "2 % fail, blue 0.1 %": (Service(green_errors=0.02), {"errors": ERRORS}),
    "1 % fail, blue 0.1 %": (Service(green_errors=0.01), {"errors": ERRORS}),
    "2 % fail, blue none, 1 request a second": (Service(1.0, (50,), errors=0, green_errors=0.02), {"errors": ERRORS}),
    "2 % fail, blue none, 2 requests a second": (Service(2.0, (50,), errors=0, green_errors=0.02), {"errors": ERRORS}),
    "1.5 x slower, p90": (Service(slower=1.5), {"latency": LATENCY}),
    "1.5 x slower, Average": (Service(slower=1.5), {"latency": AVERAGE}),
    "1.5 x slower, 200 a second, p99": (Service(rate=200, slower=1.5), {"latency": P99}),
    "1.5 x slower, wide latencies, p90": (Service(slower=1.5, spread=1.0), {"latency": LATENCY}),
    "1.5 x slower, wide latencies, Average": (Service(slower=1.5, spread=1.0), {"latency": AVERAGE}),
}


def told(name: str, found: list[End]) -> str:
    """One line."""
    kinds = Counter(("switched, " if end.switched and end.outcome != "live" else "") + end.outcome for end in found)
    minutes = sorted(end.minute for end in found if end.outcome == "caught")
    when = f"; caught after {median(minutes):g} min, 95 % within {minutes[int(0.95 * len(minutes))]}" if minutes else ""
    return f"{name:42} {len(found)} releases: {', '.join(f'{n} {kind}' for kind, n in sorted(kinds.items()))}{when}"


def main(releases: int) -> None:
    """Print the rates."""
    for kind in (GOOD, SICK):
        for name, (service, rules) in kind.items():
            print(told(name, ends(service, releases, rules)), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
