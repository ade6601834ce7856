"""Traffic: who is in the target groups, how the load balancer reaches them, joining and leaving."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
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
#: States that keep a target from being trusted although it may get requests, gravest first.
GRAVE = ("unhealthy", "unhealthy.draining", "unavailable", "initial")


# --- looking -------------------------------------------------------------------------------------


def targets(calls: Calls, arns: Iterable[str]) -> dict[str, dict[str, str]]:
    """Target group ARN -> instance id -> state; one call a target group (ELBv2 API, DescribeTargetHealth)."""
    return {arn: _states(calls.elb.describe_target_health(TargetGroupArn=arn)) for arn in arns}


def _states(answer: Answer) -> dict[str, str]:
    found: dict[str, set[str]] = {}
    for shown in answer["TargetHealthDescriptions"]:
        found.setdefault(shown["Target"]["Id"], set()).add(shown["TargetHealth"]["State"])
    return {id_: _one_state(states) for id_, states in found.items()}


def _one_state(states: set[str]) -> str:
    """One state of a target that may be registered on several ports: trusted only if all are, out only if all are."""
    if len(states) == 1:
        return next(iter(states))
    grave = next((state for state in GRAVE if state in states), None)
    return grave or ("initial" if "healthy" in states else "draining")


def balancers(calls: Calls, arns: Iterable[str]) -> list[str]:
    """ARNs of the load balancers that forward to these target groups."""
    shown = calls.elb.describe_target_groups(TargetGroupArns=sorted(arns))["TargetGroups"]
    return balancers_of(shown)


def balancers_of(shown: Iterable[Answer]) -> list[str]:
    """ARNs of the load balancers that described target groups name."""
    return sorted({arn for group in shown for arn in group.get("LoadBalancerArns", [])})


def routes(calls: Calls, arns: Iterable[str], through: Iterable[str]) -> tuple[str, ...]:
    """How these load balancers reach these target groups: one line a listener or rule, sorted.

    A line holds the whole action, weights and other target groups included: what is not ours in it must not
    change either while we release.
    """
    wanted = set(arns)
    lines = [line for balancer in through for line in _of_balancer(calls, balancer, wanted)]
    return tuple(sorted(lines))


def _of_balancer(calls: Calls, balancer: str, wanted: set[str]) -> list[str]:
    lines = []
    for listener in _listeners(calls, balancer):
        name = f"listener {listener['Protocol']}:{listener['Port']} of {balancer.rpartition('loadbalancer/')[2]}"
        if listener["Protocol"] in WITH_RULES:
            lines += _of_rules(calls, listener["ListenerArn"], name, wanted)
        elif _forwarded(listener["DefaultActions"]).keys() & wanted:
            lines.append(f"{name}: {_said(listener['DefaultActions'])}")
    return lines


def _listeners(calls: Calls, balancer: str) -> list[Answer]:
    """None when the load balancer is gone: the lines that it had are missing then, which is what matters."""
    try:
        pages = list(calls.elb.get_paginator("describe_listeners").paginate(LoadBalancerArn=balancer))
    except ClientError as error:
        if code(error) not in ("LoadBalancerNotFound", "ListenerNotFound"):
            raise
        return []
    return [listener for page in pages for listener in page["Listeners"]]


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
    shares = sorted((arn.rpartition("targetgroup/")[2], weight) for arn, weight in _forwarded(actions).items())
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
    missing = [arn for arn in release.target_groups if arn not in groups.target_groups(there[name])]
    other = release.green_group if name == release.blue_group else release.blue_group
    sources = _traffic_sources(calls, there[other]) if missing and other in there else set()
    for batch in groups.batches([arn for arn in missing if arn not in sources], BATCH):
        calls.autoscaling.attach_load_balancer_target_groups(AutoScalingGroupName=name, TargetGroupARNs=batch)
    for batch in groups.batches([arn for arn in missing if arn in sources], BATCH):
        calls.autoscaling.attach_traffic_sources(AutoScalingGroupName=name, TrafficSources=_sources(batch))
    return {}


def leave(calls: Calls, release: Release, name: str) -> Answer:
    """Detach a group from the release's target groups; its instances drain and run on."""
    group = groups.describe(calls, name).get(name, {})
    attached = [arn for arn in release.target_groups if arn in groups.target_groups(group)]
    sources = _traffic_sources(calls, group) if attached else set()
    with _unless_out(calls, release, name):
        for batch in groups.batches([arn for arn in attached if arn not in sources], BATCH):
            calls.autoscaling.detach_load_balancer_target_groups(AutoScalingGroupName=name, TargetGroupARNs=batch)
        for batch in groups.batches([arn for arn in attached if arn in sources], BATCH):
            calls.autoscaling.detach_traffic_sources(AutoScalingGroupName=name, TrafficSources=_sources(batch))
    return {}


@contextmanager
def _unless_out(calls: Calls, release: Release, name: str) -> Iterator[None]:
    """Detaching what is not attached is refused; it was done if an earlier attempt's answer was lost."""
    try:
        yield
    except ClientError as error:
        shown = groups.describe(calls, name).get(name, {})
        if code(error) != "ValidationError" or groups.target_groups(shown) & set(release.target_groups):
            raise


def _traffic_sources(calls: Calls, group: Answer) -> set[str]:
    """Target groups that were attached by AttachTrafficSources, and can be detached only so.

    A group may show them in both of its lists; what DescribeLoadBalancerTargetGroups leaves out tells them
    apart (EC2 Auto Scaling API, on that page and on DetachLoadBalancerTargetGroups).
    """
    pages = calls.autoscaling.get_paginator("describe_load_balancer_target_groups")
    shown = list(pages.paginate(AutoScalingGroupName=group["AutoScalingGroupName"]))
    plain = {state["LoadBalancerTargetGroupARN"] for page in shown for state in page["LoadBalancerTargetGroups"]}
    return groups.target_groups(group) - plain


def _sources(arns: list[str]) -> list[dict[str, str]]:
    return [{"Identifier": arn, "Type": "elbv2"} for arn in arns]


def _gone(name: str, operation: str) -> AwsError:
    return AwsError(f"the group {name} does not exist", code="NotFound", operation=operation)
