"""On-Demand prices of instance types, from AWS's price list."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from bluegreen.aws.calls import Calls
from bluegreen.costs import Price
from bluegreen.errors import AwsError, ConfigError

#: More types than these are not asked for: a mixed group may have dozens.
MOST = 5
#: What else names the price of a plain instance (Price List API, attributes of AmazonEC2).
PLAIN = {"operatingSystem": "Linux", "tenancy": "Shared", "preInstalledSw": "NA", "capacitystatus": "Used"}


def of_types(calls: Calls, types: Iterable[str]) -> tuple[dict[str, Price], str]:
    """The price of each type in the calls' region, and why some are missing; it never raises for that."""
    wanted = sorted(types)
    if len(wanted) > MOST:
        return {}, f"the group has {len(wanted)} instance types, and prices are read for {MOST} at most"
    try:
        with calls.translate_errors():
            region = calls.account[1]
            found = {kind: _price(calls, kind, region) for kind in wanted}
    except (AwsError, ConfigError) as error:
        return {}, f"AWS's price list could not be read ({error.what.rstrip('.')})"
    missing = [kind for kind, price in found.items() if price is None]
    why = f"AWS's price list has no price of {', '.join(missing)} in {region}" if missing else ""
    return {kind: price for kind, price in found.items() if price is not None}, why


def _price(calls: Calls, kind: str, region: str) -> Price | None:
    """The first that the list has: the filters leave one product and one term (Price List API, GetProducts)."""
    asked = {"instanceType": kind, "regionCode": region, **PLAIN}
    filters = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in asked.items()]
    answer = calls.pricing.get_products(ServiceCode="AmazonEC2", Filters=filters, MaxResults=1)
    return next((_read(json.loads(one)) for one in answer["PriceList"]), None)


def _read(product: dict[str, Any]) -> Price | None:
    for term in product.get("terms", {}).get("OnDemand", {}).values():
        for dimension in term["priceDimensions"].values():
            for currency, amount in dimension["pricePerUnit"].items():
                if float(amount):
                    return Price(
                        float(amount), currency, str(product.get("publicationDate", term["effectiveDate"]))[:10]
                    )
    return None
