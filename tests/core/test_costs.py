"""What a release costs beside what serves, in hours and, where prices are known, in money."""

from __future__ import annotations

from typing import Any

import pytest

from bluegreen.costs import Extra, Price, as_object, extra, lines
from tests.worlds.release import Stage

LARGE, MICRO = Price(0.118, "USD", "2026-11-01"), Price(0.013, "USD", "2026-10-01")
BOTH = {"m5.large": LARGE, "t3.micro": MICRO}
CONFIG: dict[str, Any] = {"traffic": {"target_groups": ["web"], "overlap": "5m"}, "soak": "15m"}


def made(types: dict[str, int], prices: dict[str, Price], unpriced: str = "", **started: Any) -> Extra:
    """Of a release with 5 minutes of overlap and 15 of soak, and what else its first event says."""
    stage = Stage(started=started, **CONFIG)
    return extra(stage.release, stage.config, types, prices, unpriced)


def test_green_costs_as_long_as_both_run() -> None:
    """Overlap and soak are known beforehand; the price is of the least."""
    assert list(lines(made({"m5.large": 3, "t3.micro": 1}, BOTH))) == [
        "green runs beside blue for at least 20m: 3 × m5.large, 1 × t3.micro, 1.33 instance-hours, 0.12 USD",
        "by AWS's On-Demand prices for Linux of 2026-10-01; Spot, savings plans and other systems differ",
    ]


def test_a_hold_costs_by_the_hour() -> None:
    """As long as nobody promotes, four hours at most."""
    said = list(lines(made({"m5.large": 4}, BOTH, hold=True)))
    assert said[1] == "each hour that a hold lasts is 4 instance-hours, 0.47 USD more, 4h at most"


@pytest.mark.parametrize("hold", [False, True])
def test_a_short_way_has_no_overlap_and_no_hold(hold: bool) -> None:
    """An earlier image, or a cure."""
    of = made({"m5.large": 1}, {}, goes_back=True, hold=hold)
    assert (of.least, of.held) == (900, 0)


def test_sticky_clients_make_the_soak_longer() -> None:
    """Blue runs on until they have moved."""
    assert made({"m5.large": 1}, {}, stickiness=3600.0).least == 300 + 3600


def test_without_a_price_hours_are_told_and_why() -> None:
    """A type that lacks one makes the whole unknown."""
    assert list(lines(made({"m5.large": 3, "x9.huge": 1}, {"m5.large": LARGE}, "the list has none of x9.huge"))) == [
        "green runs beside blue for at least 20m: 3 × m5.large, 1 × x9.huge, 1.33 instance-hours",
        "without a price: the list has none of x9.huge",
    ]
    assert len(list(lines(made({"m5.large": 3}, {})))) == 1


def test_one_hour_is_no_plural() -> None:
    """Three of them for twenty minutes."""
    assert next(lines(made({"m5.large": 3}, {}))).endswith("3 × m5.large, 1 instance-hour")


def test_of_nobody_nothing_is_told() -> None:
    """At size 0."""
    assert list(lines(made({}, {}, "whatever"))) == []


def test_programs_get_least_and_most() -> None:
    """What is unknown is null."""
    assert as_object(made({"m5.large": 4}, BOTH, hold=True)) == {
        "instances": {"m5.large": 4},
        "instance_hours": {"least": 1.333, "most": 17.333},
        "cost": {"least": 0.16, "most": 2.05},
        "currency": "USD",
        "prices_of": "2026-10-01",
    }
    unknown = as_object(made({"m5.large": 4}, {}))
    assert (unknown["cost"], unknown["currency"], unknown["prices_of"]) == ({"least": None, "most": None}, "", "")
