"""The account before a first release: its groups, and what is around one of them. Read only.

`candidates` says which groups could be released; `details` how traffic reaches one of them, what it launches, and which
instances may be its builder. What a permission hides of the latter is a doubt, and no error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from bluegreen.aws import commands, groups, images, preflight, surroundings, tags, templates, traffic
from bluegreen.aws.calls import Answer, Calls
from bluegreen.aws_errors import lacking
from bluegreen.observation import Candidate, Candidates, Forward, GroupDetails, StoppedInstance

T = TypeVar("T")

#: DescribeInstanceInformation takes so many values of a filter (Systems Manager API).
INSTANCES_BATCH = 100
#: Words by which an instance tells that it builds.
_BUILDS = re.compile(r"build|bake|packer|golden|\bami\b|\bimage\b", re.IGNORECASE)
_GROUP = "aws:autoscaling:groupName"


# --- the groups ----------------------------------------------------------------------------------


def candidates(calls: Calls) -> Candidates:
    """Every group that is not being deleted, by name."""
    pools = _pools(calls)
    shown = [group for group in groups.everything(calls) if not group.get("Status")]
    found = (_candidate(group, pools) for group in shown)
    account, region = calls.account
    return Candidates(account, region, tuple(sorted(found, key=lambda one: one.name)))


def _pools(calls: Calls) -> dict[str, Answer]:
    """Every target group by its ARN."""
    pages = calls.elb.get_paginator("describe_target_groups").paginate()
    return {pool["TargetGroupArn"]: pool for page in pages for pool in page["TargetGroups"]}


def _candidate(group: Answer, pools: Mapping[str, Answer]) -> Candidate:
    said = tags.as_dict(group.get("Tags"))
    keeper, instead = surroundings.kept_by(said)
    odd = [(f"is managed by {keeper}", instead)] if instead else []
    return Candidate(
        name=group["AutoScalingGroupName"],
        size=group["DesiredCapacity"],
        target_groups=tuple(sorted(groups.target_groups(group))),
        kinds=tuple(dict.fromkeys(_kinds(group))),
        unfit=(*odd, *preflight.unfit(group), *_odd_traffic(group, pools)),
        keeper=keeper,
        locked=preflight.is_locked(group),
        service=said.get(tags.SERVICE, ""),
        title=said.get("Name", ""),
    )


def _kinds(group: Answer) -> Iterator[str]:
    """Of a mixed instances policy; an override may ask for properties in place of a type."""
    policy = group.get("MixedInstancesPolicy")
    overrides = policy.get("LaunchTemplate", {}).get("Overrides", []) if policy else []
    if policy and not overrides:
        yield "the type of its template"
    yield from (override.get("InstanceType", "types by their properties") for override in overrides)


def _odd_traffic(group: Answer, pools: Mapping[str, Answer]) -> Iterator[tuple[str, str]]:
    """Why what gives it traffic cannot be released."""
    arns = groups.target_groups(group)
    for arn in sorted(arns & pools.keys()):
        yield from preflight.odd_target_group(pools[arn], pools[arn]["TargetGroupName"], idle=False)
    for source in group.get("TrafficSources", []):
        if source["Identifier"] not in arns:
            yield f"gets traffic from {source['Identifier']} too", "Only target groups can be released."


# --- around one of them --------------------------------------------------------------------------


def details(calls: Calls, name: str) -> GroupDetails:
    """What is around the group of that name; AwsError when it is gone."""
    group = groups.described(calls, (name,), "DescribeAutoScalingGroups")[name]
    pools = _pools(calls)
    mine = groups.target_groups(group)
    through = traffic.balancers_of(pools[arn] for arn in mine if arn in pools)
    forwards = _forwards(traffic.routes_of(calls, set(pools), through))
    members = _members(calls, mine, forwards)
    doubts: list[str] = []
    machines = _permitted(lambda: _machines(calls), (), "which instances may be a builder", doubts)
    return GroupDetails(
        forwards=forwards,
        pools={arn: str(pool["TargetGroupName"]) for arn, pool in pools.items() if _behind(pool, through)},
        members=members,
        earliest=max((preflight.earliest_health(pools[arn]) for arn in pools.keys() & {*mine, *members}), default=0.0),
        machines=machines,
        page=_page(pools[min(mine)]) if mine and min(mine) in pools else "",
        **_launched(calls, group, doubts),
        doubts=tuple(doubts),
    )


def _behind(pool: Answer, balancers: Collection[str]) -> bool:
    """Whether it takes instances, and one of these load balancers forwards to it."""
    takes = pool.get("TargetType", "instance") == "instance"
    return takes and bool(set(pool.get("LoadBalancerArns", [])) & set(balancers))


def _forwards(routes: list[traffic.Route]) -> tuple[Forward, ...]:
    return tuple(Forward(route.arn, route.name, route.shares()) for route in routes)


def _members(calls: Calls, mine: set[str], forwards: tuple[Forward, ...]) -> dict[str, int]:
    """Of the target groups that share a forward with the group's own."""
    beside = {arn for one in forwards if mine & one.weights.keys() for arn in one.weights} - mine
    return {arn: len(targets) for arn, targets in traffic.targets(calls, sorted(beside)).items()}


def _page(pool: Answer) -> str:
    """Where the target group's own health check asks an instance, seen from that; "" for one without HTTP."""
    if pool.get("HealthCheckProtocol") not in ("HTTP", "HTTPS"):
        return ""
    port = pool.get("HealthCheckPort", "traffic-port")
    own = pool.get("Port") if port == "traffic-port" else port
    return f"{pool['HealthCheckProtocol'].lower()}://localhost:{own}{pool.get('HealthCheckPath', '/')}"


def _launched(calls: Calls, group: Answer, doubts: list[str]) -> dict[str, str]:
    """What the group launches, by the names of `GroupDetails`."""
    reference = templates.reference(group)
    if not any(reference):
        return {}
    template = templates.look(calls, reference[0])
    said = templates.data(calls, reference[0], templates.resolved(template, reference[1]))
    image = str(said.get("ImageId", ""))
    return {"template": template.name, "version": reference[1], "image": _launchable(calls, image, doubts)}


def _launchable(calls: Calls, image: str, doubts: list[str]) -> str:
    """The image, unless AWS shows that it is gone; a parameter is what the next launch resolves anyway."""
    if not image.startswith("ami-"):
        return image
    found = _permitted(lambda: images.available(calls, [image]), {image: None}, f"whether {image} exists", doubts)
    if image in found:
        return image
    doubts.append(f"the image {image} that the group launches does not exist any more")
    return ""


def _machines(calls: Calls) -> tuple[StoppedInstance, ...]:
    """Stopped instances of no group, by name, likely builders first; those of an instance store cannot be stopped."""
    filters = [{"Name": "instance-state-name", "Values": ["stopped"]}]
    pages = calls.ec2.get_paginator("describe_instances").paginate(Filters=filters)
    shown = [one for page in pages for reservation in page["Reservations"] for one in reservation["Instances"]]
    alone = {one["InstanceId"]: tags.as_dict(one.get("Tags")) for one in shown}
    alone = {id_: said for id_, said in alone.items() if _GROUP not in said}
    managed = _managed(calls, sorted(alone))
    found = [StoppedInstance(id_, said.get("Name", ""), id_ in managed, _hinted(said)) for id_, said in alone.items()]
    return tuple(sorted(found, key=lambda one: (not one.hinted, one.name, one.id)))


def _hinted(said: Mapping[str, str]) -> bool:
    return any(_BUILDS.search(f"{key} {value}") for key, value in said.items() if not key.startswith("aws:"))


def _managed(calls: Calls, ids: list[str]) -> set[str]:
    """Those that Systems Manager knows."""
    return {id_ for batch in groups.batches(ids, INSTANCES_BATCH) for id_ in commands.agents(calls.ssm, batch)}


def _permitted(read: Callable[[], T], otherwise: Any, what: str, doubts: list[str]) -> T:
    """What was read, or `otherwise` where a permission is missing."""
    try:
        return read()
    except ClientError as error:
        if not (action := lacking(error)):
            raise
        doubts.append(f"bluegreen may not see {what}: {action} is not allowed")
        return otherwise  # type: ignore[no-any-return]
