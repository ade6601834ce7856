"""Traffic: who is in the target groups, how the load balancer reaches them, joining and leaving, weights.

With weights one forward action names two target groups, and a shift moves weight from one to the other. Nothing else
changes: the order of actions, authentication, stickiness and other groups stay.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from botocore.exceptions import ClientError

from bluegreen.aws import groups
from bluegreen.aws.calls import Answer, Calls
from bluegreen.aws_errors import code
from bluegreen.errors import AwsError
from bluegreen.events import Act, Made
from bluegreen.release import Release

#: Attaching and detaching take this many target groups a call (EC2 Auto Scaling API).
BATCH = 10
#: AWS's words for what is to be detached and is not attached.
_NOT_ATTACHED = "not part of the group"
#: Protocols whose listeners have rules of their own; the others have their default action only.
WITH_RULES = frozenset({"HTTP", "HTTPS"})
#: Members of AuthenticateOidcConfig that are written and not shown.
_UNSHOWN = frozenset({"ClientSecret", "UseExistingClientSecret"})
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


def balancers_behind(shown: Iterable[Answer]) -> dict[str, list[str]]:
    """ARN of each described target group -> ARNs of the load balancers that it is behind."""
    return {group["TargetGroupArn"]: group.get("LoadBalancerArns", []) for group in shown}


def balancers_of(shown: Iterable[Answer]) -> list[str]:
    """ARNs of the load balancers that described target groups name."""
    return sorted({arn for group in shown for arn in group.get("LoadBalancerArns", [])})


@dataclass(frozen=True)
class Route:
    """One listener's default action, or one rule's, that forwards to target groups of ours."""

    arn: str  # of the listener, or of the rule
    name: str  # for people
    actions: list[Answer]
    listener: str = ""  # of a rule: its listener, for people
    rule: str = ""  # ARN of the rule, which a default action of HTTP and HTTPS listeners is, too

    def shares(self) -> dict[str, int]:
        """Target group ARN -> weight, over all forward actions."""
        return forwarded(self.actions)


def lines(routes: Iterable[Route], release: Release) -> tuple[str, ...]:
    """How the load balancer reaches the release's target groups: one line a listener or rule, sorted."""
    return described_lines(routes, set(release.target_groups), (*release.listeners, *release.previews))


def described_lines(routes: Iterable[Route], wanted: set[str], ours: Collection[str]) -> tuple[str, ...]:
    """One line a listener or rule, sorted.

    A line holds the complete action with weights and other target groups, because the foreign parts must not change
    during a release. For listeners and rules whose weights are `ours` to move, it leaves out the weights.
    """
    return tuple(
        sorted(
            f"{way.name}: {_without_weights(way.actions, wanted) if way.arn in ours else _said(way.actions)}"
            for way in routes
        )
    )


def routes_of(calls: Calls, wanted: set[str], through: Iterable[str]) -> list[Route]:
    """Every listener and rule of these load balancers that forwards to one of these target groups."""
    return [route for balancer in through for route in _of_balancer(calls, balancer, wanted)]


def _of_balancer(calls: Calls, balancer: str, wanted: set[str]) -> list[Route]:
    found = []
    for listener in _listeners(calls, balancer):
        name = f"listener {listener['Protocol']}:{listener['Port']} of {balancer.rpartition('loadbalancer/')[2]}"
        if listener["Protocol"] in WITH_RULES:
            found += _of_rules(calls, listener["ListenerArn"], name, wanted)
        elif forwarded(listener["DefaultActions"]).keys() & wanted:
            found.append(Route(listener["ListenerArn"], name, listener["DefaultActions"]))
    return found


def _listeners(calls: Calls, balancer: str) -> list[Answer]:
    """None when the load balancer is gone: the lines that it had are missing then, which is what matters."""
    try:
        pages = list(calls.elb.get_paginator("describe_listeners").paginate(LoadBalancerArn=balancer))
    except ClientError as error:
        if code(error) not in ("LoadBalancerNotFound", "ListenerNotFound"):
            raise
        return []
    return [listener for page in pages for listener in page["Listeners"]]


def _of_rules(calls: Calls, listener: str, name: str, wanted: set[str]) -> list[Route]:
    """The default action is the last of a listener's rules (ELBv2 API, DescribeRules)."""
    pages = calls.elb.get_paginator("describe_rules").paginate(ListenerArn=listener)
    rules = [rule for page in pages for rule in page["Rules"]]
    routes = [_of_rule(rule, listener if rule.get("IsDefault") else rule["RuleArn"], name) for rule in rules]
    return [route for route in routes if route.shares().keys() & wanted]


def _of_rule(rule: Answer, arn: str, listener: str) -> Route:
    name = f"{listener}, rule {rule['Priority']}{_condition(rule)}"
    return Route(arn, name, rule["Actions"], listener, rule["RuleArn"])


def as_now(calls: Calls, known: Iterable[Route], wanted: set[str]) -> list[Route] | None:
    """Those of these routes that forward to one of these target groups now, in a call or two; None when one is gone.

    What was added since is not among them: see `routes_of`.
    """
    rules = {route.rule: route for route in known if route.rule}
    listeners = {route.arn: route for route in known if not route.rule}
    try:
        shown = calls.elb.describe_rules(RuleArns=sorted(rules))["Rules"] if rules else []
        plain = calls.elb.describe_listeners(ListenerArns=sorted(listeners))["Listeners"] if listeners else []
    except ClientError as error:
        if code(error) not in ("ListenerNotFound", "RuleNotFound"):
            raise
        return None
    found = [_of_rule(rule, rules[rule["RuleArn"]].arn, rules[rule["RuleArn"]].listener) for rule in shown]
    found += [replace(listeners[one["ListenerArn"]], actions=one["DefaultActions"]) for one in plain]
    return [route for route in found if route.shares().keys() & wanted]


def _condition(rule: Answer) -> str:
    said = [f"{c.get('Field', '?')}={'|'.join(_values(c))}" for c in rule.get("Conditions", [])]
    return f" ({', '.join(sorted(said))})" if said else ""


def _values(condition: Answer) -> list[str]:
    """The values of a condition, which stand in a member of their own for each field."""
    configs = [value.get("Values", []) for key, value in condition.items() if key.endswith("Config")]
    return sorted(str(v) for v in (condition.get("Values") or [v for values in configs for v in values]))


def _said(actions: list[Answer]) -> str:
    shares = sorted((arn.rpartition("targetgroup/")[2], weight) for arn, weight in forwarded(actions).items())
    return "forward " + ", ".join(f"{name} ({weight})" for name, weight in shares)


def _without_weights(actions: list[Answer], ours: set[str]) -> str:
    """The actions in full, but for the weights of these target groups: equal when nothing else was changed."""
    kept = [_neutral(action, ours) for action in sorted(actions, key=lambda action: action.get("Order", 0))]
    plain = json.dumps(kept, sort_keys=True, default=str)
    return f"forward by weight ({hashlib.sha256(plain.encode()).hexdigest()[:12]})"


def _neutral(action: Answer, ours: set[str]) -> Answer:
    """AWS shows a lone target group in two ways, and stickiness that is off in three.

    What is said about an identity provider's secret when it is written is no part of it.
    """
    if action["Type"] == "authenticate-oidc":
        config = action["AuthenticateOidcConfig"]
        return {**action, "AuthenticateOidcConfig": {k: v for k, v in config.items() if k not in _UNSHOWN}}
    if action["Type"] != "forward":
        return action
    config = action.get("ForwardConfig", {})
    sticky = config.get("TargetGroupStickinessConfig", {})
    others = {arn: weight for arn, weight in forwarded([action]).items() if arn not in ours}
    return {"Type": "forward", "others": others, "sticky": sticky if sticky.get("Enabled") else None}


def forwarded(actions: list[Answer]) -> dict[str, int]:
    """Target group ARN -> weight, over all forward actions."""
    found: dict[str, int] = {}
    for action in actions:
        many = action.get("ForwardConfig", {}).get("TargetGroups", [])
        found |= {share["TargetGroupArn"]: share.get("Weight", 1) for share in many}
        if "TargetGroupArn" in action:
            found.setdefault(action["TargetGroupArn"], 1)
    return found


# --- weights -------------------------------------------------------------------------------------


def shares(routes_of: Iterable[Route], release: Release) -> dict[str, float | None]:
    """Green's share in percent on each of the release's listeners; None where it is unclear or missing."""
    shown = {way.arn: way.actions for way in routes_of}
    return {arn: _share(shown.get(arn), release) for arn in release.listeners}


def _share(actions: list[Answer] | None, release: Release) -> float | None:
    weights = forwarded(actions or [])
    total = sum(weights.values())
    green = sum(weights.get(arn, 0) for arn in release.green_targets)
    blue = sum(weights.get(arn, 0) for arn in release.blue_targets)
    return 100 * green / total if total and green + blue == total else None


def described(calls: Calls, arns: Iterable[str]) -> dict[str, list[Answer]]:
    """Listener or rule ARN -> its actions; what AWS does not show is left out."""
    arns = list(arns)
    rules = [arn for arn in arns if is_rule(arn)]
    listeners = [arn for arn in arns if not is_rule(arn)]
    found = _each(listeners, lambda some: calls.elb.describe_listeners(ListenerArns=some)["Listeners"], "ListenerArn")
    found |= _each(rules, lambda some: calls.elb.describe_rules(RuleArns=some)["Rules"], "RuleArn")
    return {arn: answer.get("Actions") or answer.get("DefaultActions", []) for arn, answer in found.items()}


def is_rule(arn: str) -> bool:
    """Whether the ARN is that of a rule; otherwise it is a listener's, and its default action is meant."""
    return ":listener-rule/" in arn


def _each(arns: list[str], ask: Callable[[list[str]], list[Answer]], key: str) -> dict[str, Answer]:
    """One call; one that is not there makes AWS refuse it for all, so then one call for each."""
    if not arns:
        return {}
    try:
        return {answer[key]: answer for answer in ask(arns)}
    except ClientError as error:
        if code(error) not in ("ListenerNotFound", "RuleNotFound"):
            raise
    return {} if len(arns) == 1 else {arn: one for each in arns for arn, one in _each([each], ask, key).items()}


def shift(calls: Calls, release: Release, act: Act) -> Made:
    """Give green this share, on every listener that does not give it already; previews show green, or `blue` again.

    Each is one call that carries its actions as AWS shows them now, with other weights (ELBv2 API, ModifyListener and
    ModifyRule replace the complete list). AwsError when a listener is gone, or forwards to neither target group.
    """
    assert act.share is not None
    preview = 0 if act.preview == "blue" else 100
    wanted = {**dict.fromkeys(release.listeners, act.share), **dict.fromkeys(release.previews, preview)}
    shown = described(calls, wanted)
    for arn, percent in wanted.items():
        weights = {
            **dict.fromkeys(release.blue_targets, 100 - percent),
            **dict.fromkeys(release.green_targets, percent),
        }
        actions = _weighted(arn, shown.get(arn), weights)
        if actions is None:
            continue
        if is_rule(arn):
            calls.elb.modify_rule(RuleArn=arn, Actions=actions)
        else:
            calls.elb.modify_listener(ListenerArn=arn, DefaultActions=actions)
    return {}


def _weighted(where: str, actions: list[Answer] | None, weights: Mapping[str, int]) -> list[Answer] | None:
    """The actions with these weights; None when they give the same shares already."""
    now = forwarded(actions or [])
    if not now.keys() & weights.keys():
        what = "does not exist" if actions is None else "forwards to neither target group"
        operation = "ModifyRule" if is_rule(where) else "ModifyListener"
        raise AwsError(f"{where.rpartition(':')[2]} {what}", code="NotFound", operation=operation)
    total = sum(now.get(target_group, 0) for target_group in weights)
    if all(
        target_group in now and 100 * now[target_group] == weight * total for target_group, weight in weights.items()
    ):
        return None
    return [_reweighted(action, weights) for action in actions or []]


def _reweighted(action: Answer, weights: Mapping[str, int]) -> Answer:
    """An identity provider's secret is not shown, and has to be said to be kept (ELBv2 API, AuthenticateOidcConfig)."""
    if action["Type"] == "authenticate-oidc":
        kept = {**action["AuthenticateOidcConfig"], "UseExistingClientSecret": True}
        return {**action, "AuthenticateOidcConfig": kept}
    if not forwarded([action]).keys() & weights.keys():
        return action
    config = action.get("ForwardConfig", {})
    have = config.get("TargetGroups") or [{"TargetGroupArn": action["TargetGroupArn"]}]
    there = [{**one, "Weight": weights.get(one["TargetGroupArn"], one.get("Weight", 1))} for one in have]
    known = {one["TargetGroupArn"] for one in have}
    added = [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in weights.items() if arn not in known]
    plain = {key: value for key, value in action.items() if key != "TargetGroupArn"}  # it may name one group only
    return {**plain, "ForwardConfig": {**config, "TargetGroups": [*there, *added]}}


# --- acting --------------------------------------------------------------------------------------


def join(calls: Calls, release: Release, name: str) -> Made:
    """Attach a group to its target groups, in the way in which the other group is attached."""
    there = groups.describe(calls, release.blue_group, release.green_group)
    if name not in there:
        raise _gone(name, "AttachLoadBalancerTargetGroups")
    if name == release.green_group:
        groups.must_be_ours(there[name], release, "AttachLoadBalancerTargetGroups")
    missing = [arn for arn in release.targets_of(name) if arn not in groups.target_groups(there[name])]
    other = release.green_group if name == release.blue_group else release.blue_group
    sources = _traffic_sources(calls, there[other]) if missing and other in there else set()
    if sources and release.weighted:
        sources = set(missing)
    for batch in groups.batches([arn for arn in missing if arn not in sources], BATCH):
        calls.autoscaling.attach_load_balancer_target_groups(AutoScalingGroupName=name, TargetGroupARNs=batch)
    for batch in groups.batches([arn for arn in missing if arn in sources], BATCH):
        calls.autoscaling.attach_traffic_sources(AutoScalingGroupName=name, TrafficSources=_sources(batch))
    return {}


def leave(calls: Calls, release: Release, name: str) -> Made:
    """Detach a group from its target groups; its instances drain and run on. Of green only what is this release's."""
    group = groups.describe(calls, name).get(name, {})
    if group and name == release.green_group:
        groups.must_be_ours(group, release, "DetachLoadBalancerTargetGroups")
    groups.must_not_be_anothers(group, release, "DetachLoadBalancerTargetGroups")
    _leave(calls, group, release.targets_of(name))
    return {}


def leave_rest(calls: Calls, release: Release, names: Iterable[str]) -> Made:
    """Detach groups that failed releases left, if they still have the marks from the start of this release."""
    there = groups.describe(calls, *names)
    for known in release.rest:
        if group := there.get(known["group"]):
            groups.must_be_known(group, known, "DetachLoadBalancerTargetGroups")
            _leave(calls, group, release.target_groups)
    return {}


def _leave(calls: Calls, group: Answer, target_groups: Iterable[str]) -> None:
    name, home = group.get("AutoScalingGroupName", ""), set(target_groups)
    attached = sorted(home & groups.target_groups(group))
    sources = _traffic_sources(calls, group) if attached else set()
    with _unless_out(calls, home, name):
        for batch in groups.batches([arn for arn in attached if arn not in sources], BATCH):
            calls.autoscaling.detach_load_balancer_target_groups(AutoScalingGroupName=name, TargetGroupARNs=batch)
        for batch in groups.batches([arn for arn in attached if arn in sources], BATCH):
            calls.autoscaling.detach_traffic_sources(AutoScalingGroupName=name, TrafficSources=_sources(batch))


@contextmanager
def _unless_out(calls: Calls, home: set[str], name: str) -> Iterator[None]:
    """Detaching what is not attached is refused; it was done if an earlier attempt's answer was lost.

    What a look shows may be older than that answer, so AWS's words count first.
    """
    try:
        yield
    except ClientError as error:
        if code(error) != "ValidationError":
            raise
        shown = groups.describe(calls, name).get(name, {})
        if _NOT_ATTACHED not in str(error) and groups.target_groups(shown) & home:
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
