"""What AWS counts of a group's instances: vCPUs, targets of load balancers, addresses of subnets. Read only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sized

from bluegreen.aws import tags
from bluegreen.aws.calls import Answer, Calls
from bluegreen.quotas import Use, vcpu_quota

#: Instances are counted so many a call, and on so many pages at most.
PAGE, PAGES = 1000, 5
UNKNOWN_QUOTA = "EC2 does not tell which quota blue's instances count against"
#: How Elastic Load Balancing calls the quota of targets, by the kind of the balancer (DescribeAccountLimits).
_TARGETS = {"app": "targets-per-application-load-balancer", "net": "targets-per-network-load-balancer"}


def vcpus(calls: Calls, group: str, *, mixed: bool) -> Iterator[Use | None]:
    """The quotas that the group's instances count against when as many run again; None for one that is not known.

    `mixed`: green may take other types than blue's, so what it needs is not sure.
    """
    used, more = defaultdict[str, float](float), defaultdict[str, float](float)
    for one in _running(calls):
        quota_of = vcpu_quota(one["InstanceType"], spot=one.get("InstanceLifecycle") == "spot")
        options = one.get("CpuOptions", {})
        cpus = options.get("CoreCount", 0) * options.get("ThreadsPerCore", 0)
        used[quota_of] += cpus
        if tags.as_dict(one.get("Tags")).get("aws:autoscaling:groupName") == group:
            more[quota_of] += cpus
    for counted in sorted(more):
        known = counted and more[counted]
        yield _of_quota(calls, counted, used[counted], more[counted], sure=not mixed) if known else None


def _running(calls: Calls) -> Iterator[Answer]:
    """Instances that count, of the whole region."""
    states = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]
    pages = calls.ec2.get_paginator("describe_instances").paginate(
        Filters=states, PaginationConfig={"PageSize": PAGE, "MaxItems": PAGE * PAGES}
    )
    yield from (one for page in pages for row in page["Reservations"] for one in row["Instances"])


def _of_quota(calls: Calls, code: str, used: float, more: float, *, sure: bool) -> Use:
    said = quota(calls, code)
    return Use(f"vCPUs ({said['QuotaName']})", used, more, float(said["Value"]), code, sure=sure)


def quota(calls: Calls, code: str) -> Answer:
    """A quota of EC2, with its name and value (Service Quotas API, GetServiceQuota)."""
    said: Answer = calls.quotas.get_service_quota(ServiceCode="ec2", QuotaCode=code)["Quota"]
    return said


def targets(
    calls: Calls, balancers: Mapping[str, Iterable[str]], members: Mapping[str, Sized], more: int
) -> Iterator[Use]:
    """What load balancers take. `members`: target group ARN -> its targets; those of others are not counted.

    `balancers`: ARN of each of these target groups -> ARNs of the load balancers that it is behind.
    """
    behind = defaultdict[str, list[str]](list)
    for ours in members:
        for arn in balancers[ours]:
            behind[arn].append(ours)
    limits = {one["Name"]: float(one["Max"]) for one in calls.elb.describe_account_limits()["Limits"]}
    for arn, served in sorted(behind.items()):
        kind, name = arn.rpartition(":loadbalancer/")[2].split("/")[:2]
        most = limits.get(_TARGETS.get(kind, ""))
        if most:
            used = sum(len(members[one]) for one in served)
            yield Use(f"targets of {name}", used, more * len(served), most, sure=True)


def free(calls: Calls, subnets: Iterable[str]) -> dict[str, int]:
    """Subnet id -> addresses that are left in it."""
    shown = calls.ec2.describe_subnets(SubnetIds=list(subnets))["Subnets"]
    return {one["SubnetId"]: one["AvailableIpAddressCount"] for one in shown}
