"""AWS's price list, as far as instances are in it (Price List API, GetProducts)."""

from __future__ import annotations

import json

from lab.aws.direct import Params
from lab.aws.ec2 import Handler

PUBLISHED = "2026-01-01T00:00:00Z"


class Prices:
    """`hourly` can be changed: instance type -> US dollars an hour, On-Demand, the same in every region."""

    def __init__(self) -> None:
        """Begin with two types."""
        self.hourly = {"t3.micro": 0.013, "m5.large": 0.118}

    def operations(self) -> dict[str, Handler]:
        """What is answered here."""
        return {"GetProducts": self.get_products}

    def get_products(self, params: Params) -> Params:
        """The plain Linux instance that the filters name, if it has a price."""
        asked = {one["Field"]: one["Value"] for one in params.get("Filters", [])}
        kind = asked.get("instanceType", "")
        plain = asked.get("operatingSystem") == "Linux" and params["ServiceCode"] == "AmazonEC2"
        listed = [self._product(kind, asked.get("regionCode", ""))] if plain and kind in self.hourly else []
        return {"FormatVersion": "aws_v1", "PriceList": [json.dumps(one) for one in listed]}

    def _product(self, kind: str, region: str) -> Params:
        sku, term = "SKU123", "JRTCKXETXF"
        per_hour = {"unit": "Hrs", "pricePerUnit": {"USD": f"{self.hourly[kind]:.10f}"}, "beginRange": "0"}
        on_demand = {"sku": sku, "effectiveDate": PUBLISHED, "priceDimensions": {f"{sku}.{term}.6YS6EN2CT7": per_hour}}
        return {
            "product": {"sku": sku, "attributes": {"instanceType": kind, "regionCode": region}},
            "serviceCode": "AmazonEC2",
            "terms": {"OnDemand": {f"{sku}.{term}": on_demand}},
            "publicationDate": PUBLISHED,
        }
