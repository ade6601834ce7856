"""Prices from the fake price list, and every way in which there is none."""

from __future__ import annotations

from bluegreen.costs import Price
from tests.worlds import GOOD, Ops
from tests.worlds.account import AwsStage


def test_a_type_has_its_price_and_the_day_of_the_list() -> None:
    """In the service's region, from the one place where the list is."""
    stage = AwsStage()
    assert stage.cloud.prices(["m5.large"]) == ({"m5.large": Price(0.118, "USD", "2026-01-01")}, "")
    assert stage.fake.calls[-1].region == "us-east-1"


def test_a_missing_price_is_said_and_harms_nothing() -> None:
    """No such type, too many types, no permission, no answer."""
    stage = AwsStage()
    found, why = stage.cloud.prices(["m5.large", "x9.huge"])
    assert (list(found), why) == (["m5.large"], "AWS's price list has no price of x9.huge in ap-northeast-2")
    many = [f"m5.{n}xlarge" for n in range(9)]
    assert stage.cloud.prices(many) == ({}, "the group has 9 instance types, and prices are read for 5 at most")
    stage.fake.faults.deny("pricing:GetProducts")
    found, why = stage.another_cloud().prices(["m5.large"])
    assert found == {}
    assert why.startswith("AWS's price list could not be read (")
    assert "pricing:GetProducts" in why


def test_a_price_of_nothing_is_none() -> None:
    """Instances of a reservation are in the list for 0."""
    stage = AwsStage()
    stage.fake.prices.hourly["m5.large"] = 0.0
    assert stage.cloud.prices(["m5.large"])[0] == {}


def test_a_plan_tells_what_a_release_costs() -> None:
    """By the types of blue's instances."""
    world = Ops(instances=4)
    plan = world.engine().plan(world.config, commit=GOOD)
    assert (sum(plan.extra.types.values()), plan.extra.unpriced) == (4, "")
    assert plan.extra.cost(3600) is not None
