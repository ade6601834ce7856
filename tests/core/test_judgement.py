"""The statistics: against published values and against counting out, what is a pass, and how releases end."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluegreen.judgement import (
    LEVEL,
    Data,
    Evaluation,
    Need,
    Rule,
    binomial_tail,
    evaluate,
    mann_whitney,
    need,
    rates_differ,
)
from tests.judging import AVERAGE, ERRORS, GOOD, LATENCY, SICK, Service, ends, main, told


def data(values: list[float], requests: float | list[float] = 1000) -> Data:
    """A value a minute, from minute 0 on."""
    counts = requests if isinstance(requests, list) else [requests] * len(values)
    return Data(dict(enumerate(values)), dict(enumerate(counts)))


# --- the tests against known values ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs", "p"),
    [
        # The ages at which diabetes began, of scipy's documentation of mannwhitneyu: two-sided 0.1111.
        ([19, 22, 16, 29, 24], [20, 11, 17, 12], 0.1111 / 2),
        # Mann and Whitney's own table of 1947, n = m = 3 and 4: P(U <= 0), P(U <= 1).
        ([4, 5, 6], [1, 2, 3], 0.05),
        ([3, 5, 6], [1, 2, 4], 0.10),
        ([5, 6, 7, 8], [1, 2, 3, 4], 0.014),
        ([4, 6, 7, 8], [1, 2, 3, 5], 0.029),
        ([5.0] * 4, [5.0] * 4, 1.0),
    ],
)
def test_mann_whitney_against_the_literature(ours: list[float], theirs: list[float], p: float) -> None:
    """One-sided, exact."""
    assert mann_whitney(ours, theirs) == pytest.approx(p, abs=5e-4)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=6), st.lists(st.integers(0, 5), min_size=1, max_size=6))
def test_mann_whitney_is_what_counting_out_gives(ours: list[int], theirs: list[int]) -> None:
    """Of all ways to choose ours from both, those with as high a U; ties count half."""

    def u(chosen: tuple[int, ...]) -> Fraction:
        left = [both[n] for n in range(len(both)) if n not in chosen]
        pairs = [(both[n], other) for n in chosen for other in left]
        return sum((Fraction((a > b) * 2 + (a == b), 2) for a, b in pairs), Fraction())

    both = ours + theirs
    ways = [u(chosen) for chosen in combinations(range(len(both)), len(ours))]
    found = u(tuple(range(len(ours))))
    assert mann_whitney(ours, theirs) == pytest.approx(sum(way >= found for way in ways) / len(ways))


def test_large_samples_go_on_where_small_ones_end() -> None:
    """The normal distribution near what counting out gives, and on the safe side far out."""
    ours, theirs = [n + 9.5 for n in range(30)], [float(n) for n in range(30)]
    exact, near = mann_whitney(ours, theirs), mann_whitney([*ours, 25.25], theirs)
    assert near == pytest.approx(exact, rel=0.5)
    apart, zeros = [float(n + 100) for n in range(40)], [float(n) for n in range(40)]
    assert mann_whitney(zeros, apart) == pytest.approx(1.0)
    assert 0 < mann_whitney(apart, zeros) < 1e-12
    assert mann_whitney([1.0] * 40, [1.0] * 40) == 1.0


@pytest.mark.parametrize(
    ("least", "n", "p", "tail"),
    [(8, 10, 0.5, 0.0547), (9, 10, 0.5, 0.0107), (5, 20, 0.1, 0.0432), (0, 5, 0.3, 1.0), (6, 5, 0.3, 0.0)],
)
def test_the_binomial_distribution_against_its_tables(least: int, n: int, p: float, tail: float) -> None:
    """As they stand in every textbook."""
    assert binomial_tail(least, n, p) == pytest.approx(tail, abs=5e-5)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 99))
def test_the_binomial_distribution_is_exact(least: int, n: int, percent: int) -> None:
    """On both sides of its mean, to the last digits."""
    p = Fraction(percent, 100)
    exact = sum((math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(least, n + 1)), Fraction())
    assert binomial_tail(least, n, percent / 100) == pytest.approx(float(exact), rel=1e-9, abs=1e-14)


def test_two_poisson_rates_against_the_literature() -> None:
    """Of R's documentation of poisson.test (Dobson 1983): 11 of 800 against 21 of 3011, two-sided 0.07967.

    The two-sided value adds what is as improbable on the other side.
    """
    ours, theirs = data([11], 800), data([21], 3011)
    p = 800 / 3811
    mass = [math.comb(32, k) * p**k * (1 - p) ** (32 - k) for k in range(33)]
    assert rates_differ(ours, theirs, 1.0) == pytest.approx(sum(mass[11:]))
    assert sum(one for one in mass if one <= mass[11] * (1 + 1e-7)) == pytest.approx(0.07967, abs=5e-6)


def test_large_counts_are_no_trouble() -> None:
    """A million of them, in no time."""
    assert rates_differ(data([1_000_000], 2_000_000), data([1_000_000], 2_000_000), 1.0) == pytest.approx(0.5, abs=1e-3)
    assert rates_differ(data([1_010_000], 2_000_000), data([1_000_000], 2_000_000), 1.0) < 1e-11
    assert rates_differ(data([], 0), data([3], 10), 1.0) == 1.0


# --- what is a pass ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("green", "blue", "held", "verdict"),
    [
        (data([0] * 5, 120), data([0] * 5), False, Evaluation(True, "green 0 of 600, blue 0 of 5,000 (5 minutes)")),
        (
            data([0, 1, 0, 0, 2], 120),
            data([1] * 5),
            False,
            Evaluation(True, "green 3 of 600, blue 5 of 5,000 (5 minutes)"),
        ),
        (
            data([2, 3, 2, 1, 4], 120),
            data([0] * 5),
            False,
            Evaluation(False, "green 12 of 600, blue 0 of 5,000 (5 minutes)", certain=True),
        ),
        # A failure is clear long before there is enough data to pass.
        (
            data([9, 9], 20),
            data([0] * 2),
            False,
            Evaluation(False, "green 18 of 40, blue 0 of 2,000 (2 minutes)", True),
        ),
        # One bad minute is not beyond doubt, and no reason to wait.
        (
            data([50, 0, 0, 0, 0], 120),
            data([0] * 5),
            False,
            Evaluation(True, "green 50 of 600, blue 0 of 5,000 (5 minutes)"),
        ),
        (
            data([1, 1, 1, 1, 1], 120),
            data([1] * 5),
            False,
            Evaluation(False, "green 5 of 600, blue 5 of 5,000 (5 minutes), not clear yet"),
        ),
        (
            data([1, 1, 1, 1, 1], 120),
            data([1] * 5),
            True,
            Evaluation(True, "green 5 of 600, blue 5 of 5,000 (5 minutes)"),
        ),
        (data([0, 0], 120), data([0] * 5), False, Evaluation(False, "too little data: 2 of 5 minutes")),
        (data([0] * 5, 8), data([0] * 5), False, Evaluation(False, "too little data: 40 of 300 requests")),
        (data([0] * 5, 120), data([0] * 5, 8), False, Evaluation(False, "too little data: blue: 40 of 300 requests")),
        # A check that holds is content with half.
        (data([0] * 3, 60), data([0] * 3), True, Evaluation(True, "green 0 of 180, blue 0 of 3,000 (3 minutes)")),
        (data([0] * 2, 60), data([0] * 3), True, Evaluation(False, "too little data: 2 of 3 minutes")),
        (data([]), data([]), True, Evaluation(False, "too little data: 0 of 3 minutes")),
        # A minute counts once its requests are known.
        (
            Data({0: 0, 1: 90}, {0: 500}),
            data([0] * 5),
            False,
            Evaluation(False, "too little data: 1 of 5 minutes"),
        ),
    ],
)
def test_counts_against_blue(green: Data, blue: Data, held: bool, verdict: Evaluation) -> None:
    """Rates per request."""
    assert evaluate(ERRORS, green, [blue], held=held) == verdict


CALM = [0.40, 0.41, 0.39, 0.42, 0.40, 0.38, 0.41, 0.40, 0.40, 0.41]


@pytest.mark.parametrize(
    ("green", "blue", "held", "verdict"),
    [
        (data([0.42] * 8), data(CALM), False, Evaluation(True, "green 0.42 s, blue 0.4 s (p90, 8 minutes)")),
        (
            data([0.6] * 8),
            data(CALM[:8]),
            False,
            Evaluation(False, "green 0.6 s, blue 0.4 s (p90, 8 minutes)", certain=True),
        ),
        (
            data([0.6] * 7),
            data(CALM[:7]),
            False,
            Evaluation(False, "green 0.6 s, blue 0.4 s (p90, 7 minutes), not clear yet"),
        ),
        # Seven minutes cannot prove anything: then looking bad is a failure, though not one that counts at once.
        (
            data([0.6] * 7),
            data(CALM[:7]),
            True,
            Evaluation(False, "green 0.6 s, blue 0.4 s (p90, 7 minutes), not clear yet"),
        ),
        (data([0.49, 0.47] * 5), data(CALM), True, Evaluation(True, "green 0.48 s, blue 0.4 s (p90, 10 minutes)")),
        # Green's first minutes are slow: nothing is proven by three.
        (data([2, 2, 1] + [0.4] * 7), data(CALM), False, Evaluation(True, "green 0.4 s, blue 0.4 s (p90, 10 minutes)")),
        (
            data([0.4] * 5, 99),
            data(CALM),
            False,
            Evaluation(False, "too little data: 0 of 5 minutes with 100 requests"),
        ),
        (data([0.4] * 5, 50), data(CALM), True, Evaluation(True, "green 0.4 s, blue 0.4 s (p90, 5 minutes)")),
        (
            data([0.4] * 5),
            data(CALM[:4]),
            False,
            Evaluation(False, "too little data: blue: 4 of 5 minutes with 100 requests"),
        ),
    ],
)
def test_values_against_blue(green: Data, blue: Data, held: bool, verdict: Evaluation) -> None:
    """Ranks of the minutes' values."""
    assert evaluate(LATENCY, green, [blue], held=held) == verdict


def test_sums_are_compared_by_request() -> None:
    """Blue has nine times the requests, and may have nine times the bytes."""
    rule = Rule("Sum", at_most=1.2, period=60, periods=10)
    assert evaluate(rule, data([1000] * 8, 100), [data([9000] * 8, 900)]).value == "green 10, blue 10 (Sum, 8 minutes)"
    assert evaluate(rule, data([1500] * 8, 100), [data([9000] * 8, 900)]).certain


def test_of_several_blues_the_kindest_counts() -> None:
    """And one that has no data says nothing."""
    good, sick, none = data(CALM), data([0.2] * 10), data([])
    green = data([0.4] * 10)
    for blues in ([good, sick], [sick, good], [none, good], [good, none]):
        assert evaluate(LATENCY, green, blues).passed
    for blues in ([sick, sick], [none, sick], [sick, none]):
        assert evaluate(LATENCY, green, blues).certain
    assert evaluate(LATENCY, green, [none, none]).value == "too little data: blue: 0 of 5 minutes with 100 requests"


LIMIT = Rule("p90", at_most=0.5, period=60, periods=10, unit=" s")
TOTAL = Rule("Sum", at_most=5, period=60, periods=10, counted=True)


@pytest.mark.parametrize(
    ("rule", "green", "verdict"),
    [
        (LIMIT, data([0.4] * 8), Evaluation(True, "0.4 s of at most 0.5 s (p90, 8 minutes)")),
        (LIMIT, data([0.4] * 7 + [9.0]), Evaluation(True, "0.4 s of at most 0.5 s (p90, 8 minutes)")),
        (LIMIT, data([9.0] * 5 + [0.4] * 3), Evaluation(False, "9 s of at most 0.5 s (p90, 8 minutes)")),
        (
            LIMIT,
            data([0.4] * 5 + [0.7] * 5),
            Evaluation(False, "0.7 s of at most 0.5 s (p90, 5 minutes)", certain=True),
        ),
        (LIMIT, data([0.7] * 4), Evaluation(False, "too little data: 4 of 5 minutes with 100 requests")),
        (TOTAL, data([1] * 5), Evaluation(True, "5 of at most 5 in 5 minutes")),
        (TOTAL, data([6]), Evaluation(False, "6 of at most 5 in 1 minute", certain=True)),
        (TOTAL, data([1] * 4, 1), Evaluation(False, "too little data: 4 of 5 minutes")),
        (TOTAL, data([0] * 5, 1), Evaluation(True, "0 of at most 5 in 5 minutes")),
        (Rule("Sum", 2000, 10, 30), data([300] * 6), Evaluation(True, "1,800 of at most 2,000 in 60 s")),
        (Rule("Maximum", 2, 300, 2), data([1, 1], 60), Evaluation(True, "1 of at most 2 (Maximum, 10 minutes)")),
        (Rule("Maximum", 2, 300, 2), data([3, 3], 60), Evaluation(False, "3 of at most 2 (Maximum, 10 minutes)")),
        (Rule("Average", 2, 60, 10), data([1] * 5, 9), Evaluation(False, "too little data: 45 of 100 requests")),
    ],
)
def test_limits(rule: Rule, green: Data, verdict: Evaluation) -> None:
    """The sum, or the middle of the minutes."""
    assert evaluate(rule, green) == verdict


@pytest.mark.parametrize(
    ("statistic", "dense"), [("p50", 20), ("p90", 100), ("p95", 200), ("p99", 1000), ("p99.9", 10_000), ("p1", 1000)]
)
def test_a_percentile_needs_requests_beyond_it(statistic: str, dense: int) -> None:
    """Ten of them in each period."""
    assert need(Rule(statistic, 1, 60, 10)) == Need(5, 100, dense)
    assert need(Rule(statistic, 1, 60, 10), held=True) == Need(3, 50, dense // 2)


def test_the_extremes_need_no_more_than_others() -> None:
    """Nothing is beyond them."""
    assert need(Rule("p100", 1, 60, 10)) == need(Rule("p0", 1, 60, 10)) == need(Rule("Average", 1, 60, 10))


def test_a_short_window_needs_what_it_has() -> None:
    """Three minutes of three."""
    assert need(Rule("Average", 1, 60, 3)).periods == 3


# --- how releases end ----------------------------------------------------------------------------------


def outcomes(service: Service, releases: int, rules: dict[str, Any]) -> Counter[str]:
    """How many ended how; `late` are those that were caught after the switch."""
    found = ends(service, releases, rules)
    return Counter("late" if end.switched and end.outcome != "live" else end.outcome for end in found)


@pytest.mark.parametrize("name", [name for name in GOOD if not name.startswith("no margin")])
def test_a_hundred_good_releases_in_a_row(name: str) -> None:
    """No false alarm, whatever kind of service it is."""
    service, rules = GOOD[name]
    assert outcomes(service, 100, dict(rules)) == {"live": 100}


@pytest.mark.parametrize("name", ["2 % fail, blue none", "2 % fail, blue 0.1 %"])
def test_a_version_that_fails_is_caught_in_minutes(name: str) -> None:
    """Each of a hundred, before the switch, by proof; half of them within six minutes."""
    service, rules = SICK[name]
    found = ends(service, 100, dict(rules))
    assert {(end.outcome, end.switched) for end in found} == {("caught", False)}
    assert sorted(end.minute for end in found)[50] <= 6


@pytest.mark.parametrize("name", ["1.5 x slower, p90", "1.5 x slower, Average", "1.5 x slower, 200 a second, p99"])
def test_a_version_that_is_slower_is_stopped_before_the_switch(name: str) -> None:
    """Each of a hundred: most by proof within eleven minutes, the others because the check never held."""
    service, rules = SICK[name]
    found = ends(service, 100, dict(rules))
    assert {end.switched for end in found} == {False}
    assert {end.outcome for end in found} <= {"caught", "not held"}
    assert sum(end.outcome == "caught" and end.minute <= 11 for end in found) >= 60


def test_without_a_margin_a_good_release_is_not_proven_bad() -> None:
    """It may fail to hold; that is said on the page."""
    service, rules = GOOD["no margin: at_most 1 of both"]
    assert set(outcomes(service, 60, dict(rules))) <= {"live", "not held"}


def test_the_level_is_reached_by_eight_minutes() -> None:
    """Of both: that is how long a slow green can go unproven at least."""
    assert 1 / math.comb(16, 8) <= LEVEL < 1 / math.comb(14, 7)
    assert AVERAGE.periods >= 8


def test_the_rates_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """By hand, for more releases."""
    main(2)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(GOOD) + len(SICK)
    assert all("2 releases" in line for line in lines)
    assert "caught after" in told("x", ends(*_sick(), rules=None))


def _sick() -> tuple[Service, int]:
    return SICK["2 % fail, blue none"][0], 3
