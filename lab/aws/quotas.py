"""What an account may have: the quotas of EC2 that a group uses up, and those of load balancers."""

from __future__ import annotations

from lab.aws.direct import Params
from lab.aws.ec2 import Handler
from lab.aws.wire import ErrorAnswer

#: Code -> name and value; of a new account AWS gives less (Service Quotas, ec2).
QUOTAS = {
    "L-1216C47A": ("Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", 5_000.0),
    "L-34B43A08": ("All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests", 5_000.0),
    "L-B665C33B": ("AMIs", 50_000.0),
}
#: Elastic Load Balancing's defaults, by the names of its API (DescribeAccountLimits).
BALANCING = {
    "application-load-balancers": 50,
    "listeners-per-application-load-balancer": 50,
    "network-load-balancers": 50,
    "rules-per-application-load-balancer": 100,
    "target-groups": 3000,
    "targets-per-application-load-balancer": 1000,
    "targets-per-network-load-balancer": 3000,
}


class Quotas:
    """`values` and `balancing` can be changed."""

    def __init__(self) -> None:
        """Begin with AWS's own values."""
        self.values = {code: value for code, (_, value) in QUOTAS.items()}
        self.balancing = dict(BALANCING)

    def operations(self) -> dict[str, Handler]:
        """What of Service Quotas is answered here."""
        return {"GetServiceQuota": self.get_service_quota}

    def of_balancers(self) -> dict[str, Handler]:
        """What of Elastic Load Balancing is answered here."""
        return {"DescribeAccountLimits": self.describe_account_limits}

    def describe_account_limits(self, params: Params) -> Params:
        """All of them on one page; each maximum is a text."""
        return {"Limits": [{"Name": name, "Max": str(most)} for name, most in self.balancing.items()]}

    def get_service_quota(self, params: Params) -> Params:
        """One quota of EC2."""
        code = params["QuotaCode"]
        if params["ServiceCode"] != "ec2" or code not in QUOTAS:
            raise ErrorAnswer(
                "NoSuchResourceException", "The request failed because the specified quota does not exist."
            )
        name = QUOTAS[code][0]
        quota = {"ServiceCode": "ec2", "QuotaCode": code, "QuotaName": name, "Value": self.values[code]}
        return {"Quota": {**quota, "ServiceName": "Amazon Elastic Compute Cloud (Amazon EC2)", "Adjustable": True}}
