"""Whether green is worse than it may be, judged from few numbers: exact tests, pure, in words that a person reads.

    counts (5xx, connection errors)     as rates per request: the exact conditional test of two Poisson rates
    values (latencies, per period)      as ranks: the exact one-sided Mann-Whitney test

bluegreen evaluates a check many times while its window slides, so a failure must be beyond doubt (`LEVEL`) to count at
once. Before the check holds there is a second, milder question: whether green looks good. See docs/checks.md for
what follows from both, with the measured rates of good releases that stop and bad ones that are caught.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import median

from bluegreen.release import count_of

#: The probability, at one look, of a failure beyond doubt in a green that is just as bad as it may be.
LEVEL = 1e-4
#: Before a check has come to hold, counts that are less probable than this are not a pass.
DOUBTFUL = 0.02
#: So many periods with data are needed to pass, or as many as the window has.
PERIODS = 5
#: So many requests are needed to pass, over the window: for counts; for other values.
REQUESTS_FOR_COUNTS, REQUESTS = 300, 100
#: A percentile stands on the requests beyond it: a period with fewer does not count, as to CloudWatch's own alarms
#: (CloudWatch user guide, percentile-based alarms and low data samples: 10/(1-percentile)). Of small samples it would
#: also come out too low, and hide a slow green that has a small share.
BEYOND = 10
#: A check that holds is content with this part of what it takes to come to hold: traffic that just sufficed may ebb.
CONTENT = 0.5
#: Up to so many points in both samples the distribution of ranks is counted out; beyond, the normal one is near enough.
EXACT = 60


@dataclass(frozen=True)
class Evaluation:
    """What a check says. `certain`: the failure is beyond doubt, and need not be seen again."""

    passed: bool
    value: str
    certain: bool = False


@dataclass(frozen=True)
class Data:
    """One side's data: the start of a period -> its value, and -> its number of requests (or samples)."""

    values: Mapping[float, float]
    requests: Mapping[float, float]


@dataclass(frozen=True)
class Rule:
    """What is asked. `counted`: the values are numbers of requests, such as of failed ones."""

    statistic: str  # Sum, Average, p99, …
    at_most: float
    period: float  # seconds
    periods: int  # in the window
    counted: bool = False
    unit: str = ""  # behind values, with its space: " s"


def evaluate(rule: Rule, green: Data, blues: Sequence[Data] = (), *, held: bool = False) -> Evaluation:
    """Green by itself, or against blue; of several blues the one that green does best against counts.

    `held` says whether the check has come to hold: then only a failure beyond doubt is one, if the data can tell.
    """
    least = need(rule, held=held)
    if not blues:
        return _total(rule, green, least) if rule.statistic in AMOUNTS else _middle(rule, _dense(green, least), least)
    test = _rates if rule.counted else _ranks
    dense = [_dense(blue, least) for blue in blues]
    enough = [blue for blue in dense if not _lacking(rule, least, blue)] or dense[:1]
    found = [test(rule, _dense(green, least), blue, least, held=held) for blue in enough]
    return min(found, key=lambda verdict: (not verdict.passed, verdict.certain))


#: Statistics that add up: against a limit the sum over the window is judged, against blue what comes to a request.
AMOUNTS = ("Sum", "SampleCount")


# --- against blue --------------------------------------------------------------------------------


def _rates(rule: Rule, green: Data, blue: Data, least: Need, *, held: bool) -> Evaluation:
    """H0: green's rate per request is at most `at_most` times blue's. One bad minute is not enough to reject it."""
    shown = f"green {_of(green)}, blue {_of(blue)} ({_span(len(green.values), rule.period)})"
    p = rates_differ(_without_worst(green), blue, rule.at_most)
    if p <= LEVEL:
        return Evaluation(passed=False, value=shown, certain=True)
    if lacking := _lacking(rule, least, green) or _lacking(rule, least, blue, "blue: "):
        return Evaluation(passed=False, value=lacking)
    return _leaning(shown, good=p >= DOUBTFUL, held=held and len(green.values) > 1)


def _ranks(rule: Rule, green: Data, blue: Data, least: Need, *, held: bool) -> Evaluation:
    """H0: green's values are no greater than `at_most` times blue's. What it looks like: more than half are not."""
    if rule.statistic in AMOUNTS:
        green, blue = _each(green), _each(blue)
    ours, theirs = list(green.values.values()), [rule.at_most * value for value in blue.values.values()]
    if ours and theirs and mann_whitney(ours, theirs) <= LEVEL:
        return Evaluation(passed=False, value=_beside(rule, green, blue), certain=True)
    if lacking := _lacking(rule, least, green) or _lacking(rule, least, blue, "blue: "):
        return Evaluation(passed=False, value=lacking)
    greater = sum((g > b) + (g == b) / 2 for g in ours for b in theirs)
    decisive = 1 / math.comb(len(ours) + len(theirs), len(ours)) <= LEVEL
    return _leaning(_beside(rule, green, blue), good=greater <= len(ours) * len(theirs) / 2, held=held and decisive)


def _leaning(shown: str, *, good: bool, held: bool) -> Evaluation:
    """Nothing is proven: a check that holds goes on holding, one that does not yet has to look good."""
    return (
        Evaluation(passed=True, value=shown)
        if good or held
        else Evaluation(passed=False, value=f"{shown}, not clear yet")
    )


def _beside(rule: Rule, green: Data, blue: Data) -> str:
    ours, theirs = median(green.values.values()), median(blue.values.values())
    span = _span(len(green.values), rule.period)
    return f"green {_number(ours)}{rule.unit}, blue {_number(theirs)}{rule.unit} ({rule.statistic}, {span})"


def _without_worst(data: Data) -> Data:
    worst = max(data.values, key=lambda at: data.values[at], default=None)
    return _only(data, {at for at in data.values if at != worst})


# --- by itself -----------------------------------------------------------------------------------


def _total(rule: Rule, green: Data, least: Need) -> Evaluation:
    """The plain sum over the window; one that is over needs no more data."""
    total, periods = sum(green.values.values()), len(green.values)
    limit = f"{_number(total)}{rule.unit} of at most {_number(rule.at_most)}{rule.unit}"
    shown = f"{limit} in {_span(periods, rule.period)}"
    if total > rule.at_most:
        return Evaluation(passed=False, value=shown, certain=True)
    lacking = _lacking(rule, replace(least, requests=0, dense=1), green)
    return Evaluation(passed=False, value=lacking) if lacking else Evaluation(passed=True, value=shown)


def _middle(rule: Rule, green: Data, least: Need) -> Evaluation:
    """The median of the window, so that one outlier does no harm; at once when the newest five are all over."""
    newest = [green.values[at] for at in sorted(green.values)[-PERIODS:]]
    if len(newest) == PERIODS and min(newest) > rule.at_most:
        return Evaluation(passed=False, value=_beneath(rule, median(newest), PERIODS), certain=True)
    if lacking := _lacking(rule, least, green):
        return Evaluation(passed=False, value=lacking)
    value = median(green.values.values())
    return Evaluation(passed=value <= rule.at_most, value=_beneath(rule, value, len(green.values)))


def _beneath(rule: Rule, value: float, periods: int) -> str:
    limit = f"{_number(value)}{rule.unit} of at most {_number(rule.at_most)}{rule.unit}"
    return f"{limit} ({rule.statistic}, {_span(periods, rule.period)})"


# --- enough data ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Need:
    """What it takes to pass."""

    periods: int
    requests: int  # over the window
    dense: int  # requests in a period for it to count


def need(rule: Rule, *, held: bool = False) -> Need:
    """The least data on which the check can pass."""
    part = CONTENT if held else 1.0
    beyond = _beyond(rule.statistic)
    requests = REQUESTS_FOR_COUNTS if rule.counted else REQUESTS
    return Need(
        periods=math.ceil(part * min(PERIODS, rule.periods)),
        requests=math.ceil(part * requests),
        dense=math.ceil(part * BEYOND / beyond - 1e-6) if beyond else 1,
    )


def _beyond(statistic: str) -> float:
    """The share of requests beyond a percentile, on the side where fewer are; 0 where there is none."""
    share = float(statistic[1:]) / 100 if statistic[0] == "p" else 0.0
    return min(share, 1 - share)


def _dense(data: Data, least: Need) -> Data:
    """Of periods with enough requests for their value to mean something."""
    return _only(data, {at for at in data.values if data.requests.get(at, 0) >= least.dense})


def _each(data: Data) -> Data:
    return replace(data, values={at: value / data.requests[at] for at, value in data.values.items()})


def _only(data: Data, periods: set[float]) -> Data:
    return Data({at: data.values[at] for at in periods}, {at: data.requests[at] for at in periods})


def _lacking(rule: Rule, least: Need, data: Data, whose: str = "") -> str:
    """How much data is there of how much is needed; empty when it is enough."""
    there = sum(data.requests.values())
    if len(data.values) < least.periods:
        what = f"{_span(len(data.values), rule.period).split()[0]} of {_span(least.periods, rule.period)}"
        return f"too little data: {whose}{what}" + (
            f" with {count_of(least.dense, 'request')}" if least.dense > 1 else ""
        )
    if there >= least.requests:
        return ""
    return f"too little data: {whose}{there:,.0f} of {count_of(least.requests, 'request')}"


# --- the tests -----------------------------------------------------------------------------------


def rates_differ(ours: Data, theirs: Data, ratio: float) -> float:
    """The p-value of the exact conditional test of H0: our rate per request is at most `ratio` times theirs.

    Given how many there are in all, ours are binomial (Przyborowski and Wilenski, Biometrika 31, 1940).
    """
    mine, other = sum(ours.values.values()), sum(theirs.values.values())
    weighed, requests = ratio * sum(ours.requests.values()), sum(theirs.requests.values())
    if not weighed or not requests:
        return 1.0
    return binomial_tail(round(mine), round(mine + other), weighed / (weighed + requests))


def binomial_tail(least: int, n: int, p: float) -> float:
    """The probability of at least so many successes in n."""
    if least <= 0:
        return 1.0
    if least > n * p:
        return _tail(least, n, p)
    return 1.0 - _tail(n - least + 1, n, 1.0 - p)


def _tail(k: int, n: int, p: float) -> float:
    """For k beyond the mean, where terms only get smaller."""
    if k > n:
        return 0.0
    term = math.exp(
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * math.log(p) + (n - k) * math.log1p(-p)
    )
    total = term
    while k < n and term > total * 1e-17:
        term *= (n - k) / (k + 1) * p / (1 - p)
        total += term
        k += 1
    return total


def mann_whitney(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The p-value of the one-sided Mann-Whitney test of H0: ours are no greater than theirs.

    Annals of Mathematical Statistics 18, 1947. Exact for small samples, by counting all ways to choose ours from the
    ranks; equal values share the mean of their ranks. For others the normal distribution, corrected for ties and
    continuity.
    """
    both = sorted([*ours, *theirs])
    doubled = {value: 2 * both.index(value) + both.count(value) + 1 for value in set(both)}  # twice the mean rank
    ranks = tuple(doubled[value] for value in both)
    found = sum(doubled[value] for value in ours)
    if len(both) <= EXACT:
        return _as_high(ranks, len(ours), found)
    return _normal(ranks, len(ours), found)


@lru_cache(maxsize=4096)
def _as_high(ranks: tuple[int, ...], size: int, found: int) -> float:
    """The share of all choices of `size` ranks whose sum is as high.

    Each `ways[n]` is a polynomial, packed into one integer: in the slot of a sum stands how many choices of n make it.
    """
    slot = math.comb(len(ranks), size).bit_length() + 1
    ways = [1] + [0] * size
    for n, rank in enumerate(ranks):
        for chosen in range(min(n + 1, size), 0, -1):
            ways[chosen] += ways[chosen - 1] << (rank * slot)
    high, count, mask = ways[size] >> (found * slot), 0, (1 << slot) - 1
    while high:
        count += high & mask
        high >>= slot
    return count / math.comb(len(ranks), size)


def _normal(ranks: Sequence[int], size: int, found: int) -> float:
    n = len(ranks)
    middle = sum(ranks) / n
    spread = sum((rank - middle) ** 2 for rank in ranks) * size * (n - size) / (n * (n - 1))
    if not spread:
        return 1.0
    above = (found - size * middle - 1) / math.sqrt(spread)  # ranks are doubled, and so is the continuity's half
    return math.erfc(above / math.sqrt(2)) / 2


# --- words ---------------------------------------------------------------------------------------


def _of(data: Data) -> str:
    return f"{sum(data.values.values()):,.0f} of {sum(data.requests.values()):,.0f}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _span(periods: int, period: float) -> str:
    seconds = periods * period
    if period % 60:
        return f"{seconds:g} s"
    return count_of(round(seconds / 60), "minute")
