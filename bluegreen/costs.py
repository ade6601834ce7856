"""What a release costs beside what serves: the hours in which blue and green both run, and their price.

Pure. Only what is known beforehand is counted: how long AWS takes to boot, to check and to drain is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bluegreen.release import agreeing, duration

if TYPE_CHECKING:
    from bluegreen.config import Config
    from bluegreen.release import Release

HOUR = 3600.0


@dataclass(frozen=True)
class Price:
    """What an instance of a type costs an hour, On-Demand, with Linux. `since`: `2026-11-01`, when AWS published it."""

    hourly: float
    currency: str
    since: str


@dataclass(frozen=True)
class Extra:
    """Green beside blue: how many of which instance type, how long at least, and how much longer a hold may take.

    Seconds. `prices` may lack some types, or all: then `unpriced` says why.
    """

    types: Mapping[str, int]
    least: float
    held: float = 0.0
    prices: Mapping[str, Price] = field(default_factory=dict)
    unpriced: str = ""

    @property
    def size(self) -> int:
        """How many instances."""
        return sum(self.types.values())

    def hours(self, seconds: float) -> float:
        """Instance-hours of so long."""
        return self.size * seconds / HOUR

    def cost(self, seconds: float) -> float | None:
        """The price of so long; None while the price of any type is unknown."""
        if not self.types.keys() <= self.prices.keys():
            return None
        return sum(count * self.prices[kind].hourly for kind, count in self.types.items()) * seconds / HOUR


def extra(
    release: Release, config: Config, types: Mapping[str, int], prices: Mapping[str, Price], unpriced: str
) -> Extra:
    """What the release costs beside a blue with so many instances of each type; `unpriced` says why prices are missing.

    Sticky clients may make its soak longer than the configured one.
    """
    overlap, hold = (0.0, 0.0) if release.short else (config.traffic.overlap, config.promotion.timeout)
    return Extra(types, overlap + release.soak, hold if release.hold else 0.0, prices, unpriced)


def lines(of: Extra) -> Iterator[str]:
    """For people; nothing of a service at size 0."""
    if not of.size:
        return
    named = ", ".join(f"{count} × {kind}" for kind, count in sorted(of.types.items()))
    yield f"green runs beside blue for at least {duration(of.least)}: {named}, {_amount(of, of.least)}"
    if of.held:
        hourly = _amount(of, HOUR)
        yield f"each hour that a hold lasts is {hourly} more, {duration(of.held)} at most"
    if of.cost(HOUR) is not None:
        since = min(price.since for price in of.prices.values())
        yield f"by AWS's On-Demand prices for Linux of {since}; Spot, savings plans and other systems differ"
    elif of.unpriced:
        yield f"without a price: {of.unpriced}"


def _amount(of: Extra, seconds: float) -> str:
    hours, cost = of.hours(seconds), of.cost(seconds)
    said = instance_hours(hours)
    if cost is None:
        return said
    return f"{said}, {cost:.2f} {next(iter(of.prices.values())).currency}"


def instance_hours(hours: float) -> str:
    """For people: `1.33 instance-hours`, `28,800 instance-hours`."""
    shown = f"{hours:.3g}" if hours < 1000 else f"{hours:,.0f}"
    return f"{shown} {agreeing(round(hours, 2), 'instance-hour', 'instance-hours')}"


def as_object(of: Extra) -> dict[str, Any]:
    """For programs: hours and cost of the least and of a hold's end; the cost is null where it is unknown."""
    most = of.least + of.held
    return {
        "instances": dict(of.types),
        "instance_hours": {"least": round(of.hours(of.least), 3), "most": round(of.hours(most), 3)},
        "cost": {"least": _rounded(of.cost(of.least)), "most": _rounded(of.cost(most))},
        "currency": next((price.currency for price in of.prices.values()), ""),
        "prices_of": min((price.since for price in of.prices.values()), default=""),
    }


def _rounded(cost: float | None) -> float | None:
    return None if cost is None else round(cost, 2)
