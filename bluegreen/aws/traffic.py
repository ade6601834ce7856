"""Traffic: who is in the target groups, how the load balancer reaches them, joining and leaving."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from botocore.exceptions import ClientError

from bluegreen.aws import groups
from bluegreen.aws.calls import Answer, Calls, code
from bluegreen.errors import AwsError
from bluegreen.release import Release

#: Attaching and detaching take this many target groups a call (EC2 Auto Scaling API).
BATCH = 10
#: Protocols whose listeners have rules of their own; the others have their default action only.
WITH_RULES = frozenset({"HTTP", "HTTPS"})
#: Of a target that is registered on several ports, the state that counts: whatever keeps it from being trusted.
GRAVEST = ("unhealthy", "unhealthy.draining", "unavailable", "initial", "draining", "healthy", "unused")


# --- looking -------------------------------------------------------------------------------------


def targets(calls: Calls, arns: Iterable[str]) -> dict[str, dict[str, str]]:
    """Target group ARN -> instance id -> state; one call a target group (ELBv2 API, DescribeTargetHealth)."""
    return {arn: _states(calls.elb.describe_target_health(TargetGroupArn=arn)) for arn in arns}


def _states(answer: Answer) -> dict[str, str]:
    found: dict[str, str] = {}
    for shown in answer["TargetHealthDescriptions"]:
        id_, state = shown["Target"]["Id"], shown["TargetHealth"]["State"]
        found[id_] = min(found.get(id_, state), state, key=_gravity)
    return found


def _gravity(state: str) -> int:
    return GRAVEST.index(state) if state in GRAVEST else -1


def routes(calls: Calls, arns: Iterable[str], described: list[Answer] | None = None) -> tuple[str, ...]:
    """How the load balancers reach these target groups: one line a listener or rule, sorted.

    A line holds the whole action, weights and other target groups included: what is not ours in it must not
    change either while we release.
    """
    wanted = set(arns)
    shown = described or calls.elb.describe_target_groups(TargetGroupArns=sorted(wanted))["TargetGroups"]
    balancers = sorted({arn for group in shown for arn in group.get("LoadBalancerArns", [])})
    lines = [line for arn in balancers for line in _of_balancer(calls, arn, wanted)]
    return tuple(sorted(lines))


def _of_balancer(calls: Calls, balancer: str, wanted: set[str]) -> list[str]:
    lines = []
    for page in calls.elb.get_paginator("describe_listeners").paginate(LoadBalancerArn=balancer):
        for listener in page["Listeners"]:
            name = f"listener {listener['Protocol']}:{listener['Port']} of {balancer.split('loadbalancer/')[-1]}"
            if listener["Protocol"] in WITH_RULES:
                lines += _of_rules(calls, listener["ListenerArn"], name, wanted)
            elif _forwarded(listener["DefaultActions"]).keys() & wanted:
                lines.append(f"{name}: {_said(listener['DefaultActions'])}")
    return lines


def _of_rules(calls: Calls, listener: str, name: str, wanted: set[str]) -> list[str]:
    """The default action is the last of a listener's rules (ELBv2 API, DescribeRules)."""
    pages = calls.elb.get_paginator("describe_rules").paginate(ListenerArn=listener)
    rules = [rule for page in pages for rule in page["Rules"]]
    return [
        f"{name}, rule {rule['Priority']}{_condition(rule)}: {_said(rule['Actions'])}"
        for rule in rules
        if _forwarded(rule["Actions"]).keys() & wanted
    ]


def _condition(rule: Answer) -> str:
    said = [f"{c.get('Field', '?')}={'|'.join(_values(c))}" for c in rule.get("Conditions", [])]
    return f" ({', '.join(sorted(said))})" if said else ""


def _values(condition: Answer) -> list[str]:
    """The values of a condition, which stand in a member of their own for each field."""
    configs = [value.get("Values", []) for key, value in condition.items() if key.endswith("Config")]
    return sorted(str(v) for v in (condition.get("Values") or [v for values in configs for v in values]))


def _said(actions: list[Answer]) -> str:
    shares = sorted((arn.split("targetgroup/")[-1], weight) for arn, weight in _forwarded(actions).items())
    return "forward " + ", ".join(f"{name} ({weight})" for name, weight in shares)


def _forwarded(actions: list[Answer]) -> dict[str, Any]:
    """Target group ARN -> weight, over all forward actions."""
    found: dict[str, Any] = {}
    for action in actions:
        many = action.get("ForwardConfig", {}).get("TargetGroups", [])
        found |= {share["TargetGroupArn"]: share.get("Weight", 1) for share in many}
        if "TargetGroupArn" in action:
            found.setdefault(action["TargetGroupArn"], 1)
    return found


# --- acting --------------------------------------------------------------------------------------


def join(calls: Calls, release: Release, name: str) -> Answer:
    """Attach a group to the release's target groups, in the way in which the other group is attached."""
    there = groups.describe(calls, release.blue_group, release.green_group)
    if name not in there:
        raise _gone(name, "AttachLoadBalancerTargetGroups")
    sources = {arn for group in there.values() for arn in groups.traffic_sources(group)}
    missing = [arn for arn in release.target_groups if arn not in groups.target_groups(there[name])]
    _attach(calls, name, [arn for arn in missing if arn not in sources], [arn for arn in missing if arn in sources])
    return {}


def _attach(calls: Calls, name: str, plain: list[str], sources: list[str]) -> None:
    for batch in groups.batches(plain, BATCH):
        calls.autoscaling.attach_load_balancer_target_groups(AutoScalingGroupName=name, TargetGroupARNs=batch)
    for batch in groups.batches(sources, BATCH):
        calls.autoscaling.attach_traffic_sources(AutoScalingGroupName=name, TrafficSources=_sources(batch))


def leave(calls: Calls, release: Release, name: str) -> Answer:
    """Detach a group from the release's target groups; its instances drain and run on."""
    group = groups.describe(calls, name).get(name)
    if group is None:
        return {}
    attached = [arn for arn in release.target_groups if arn in groups.target_groups(group)]
    sources = groups.traffic_sources(group)
    for batch in groups.batches([arn for arn in attached if arn not in sources], BATCH):
        _detach(calls, name, batch)
    for batch in groups.batches([arn for arn in attached if arn in sources], BATCH):
        calls.autoscaling.detach_traffic_sources(AutoScalingGroupName=name, TrafficSources=_sources(batch))
    return {}


def _detach(calls: Calls, name: str, batch: list[str]) -> None:
    """Where a group lists a traffic source as a target group too, AWS refuses the one call and takes the other."""
    try:
        calls.autoscaling.detach_load_balancer_target_groups(AutoScalingGroupName=name, TargetGroupARNs=batch)
    except ClientError as error:
        if code(error) != "ValidationError":
            raise
        calls.autoscaling.detach_traffic_sources(AutoScalingGroupName=name, TrafficSources=_sources(batch))


def _sources(arns: list[str]) -> list[dict[str, str]]:
    return [{"Identifier": arn, "Type": "elbv2"} for arn in arns]


def _gone(name: str, operation: str) -> AwsError:
    return AwsError(f"the group {name} does not exist", code="NotFound", operation=operation)
