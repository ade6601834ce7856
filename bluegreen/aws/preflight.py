"""The preflight: is what the config names there, can it be released this way, is it well. Read only.

Refused here is what would go wrong later, when green is up or blue half gone.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from botocore.exceptions import ClientError

from bluegreen.aws import attachments, builder, groups, images, pair, surroundings, tags, templates, traffic, weights
from bluegreen.aws.calls import Answer, Calls
from bluegreen.aws_errors import code
from bluegreen.config import Config
from bluegreen.errors import ConfigError, Refused
from bluegreen.events import Reason
from bluegreen.observation import HEALTHY, INITIAL, Baseline, Finding, FindingKey, Group, Idle, Template, unsettled

#: Processes without which a group cannot be launched, joined or emptied.
NEEDED = ("AddToLoadBalancer", "Launch", "Terminate")
_ARN = "arn:"
#: Why sizes in other units are refused: safety rules count targets.
_COUNTED = (
    "Green must have as many healthy targets as blue, and in other units a green of the same size may have fewer."
)


def baseline(calls: Calls, config: Config, group: str, commit: str, ami: str, rest: Collection[str] = ()) -> Baseline:
    """What a release of the group starts from; ConfigError or Refused when it cannot start.

    `rest`: names of groups in the target groups that it will take out, as failed releases left them there.
    """
    blue = _group(calls, config, group)
    _must_be_plain(blue, config)
    green = _other(calls, config, group)
    way = _way(calls, config, blue, _left(calls, rest))
    arns, targets, left, weighing, serving = way.arns, way.targets, way.left, way.weighing, way.serving
    fleet = groups.known(blue)
    hooks = groups.hooks(calls, fleet.name)
    attached = attachments.look(calls, blue, hooks)
    image, bakes = _image(calls, config, commit, ami)
    launches = template, version, launched = _template(calls, fleet)
    spare, own = _spare(calls, green, fleet)
    targeted = (targets, serving, weighing.idle)
    hung = (hooks, attached.names.get("alarm", ()))
    seen = (*(own or launches), *targeted, bakes, image, *hung, own and spare)
    at = surroundings.Beside(config, blue, fleet, *seen, balancers=way.balancers)
    found = [*surroundings.look(calls, at)]
    found += pair.findings(calls, at, attached, green, launched) if green else attachments.findings(attached)
    found += [*_strangers(calls, config, (fleet, *left), targets), *weighing.findings]
    return Baseline(
        fleet,
        arns,
        template,
        version,
        traffic.described_lines(way.routes, set(arns), (*weighing.listeners, *weighing.previews)),
        delays=groups.delays(calls, hooks, serving),
        builder=bakes,
        image=image,
        blue_image=str(launched.get("ImageId", "")),
        rest=left,
        account=calls.account[0],
        region=calls.account[1],
        attached={} if green else attached.names,
        types=Counter(one["InstanceType"] for one in blue.get("Instances", []) if one.get("InstanceType")),
        spare=spare,
        sets_default=own is None and surroundings.default_is_free(found),
        findings=tuple(found),
        **_health(fleet, {arn: targets[arn] for arn in serving}, sum(_bears(one, targets) for one in left)),
        **weighing.known,
    )


@dataclass(frozen=True)
class _Way:
    """How traffic reaches blue."""

    arns: tuple[str, ...]  # of the target groups, in the config's order
    routes: Sequence[traffic.Route]
    left: tuple[Group, ...]  # what failed releases left in the target groups
    weighing: weights.WeightedTraffic
    serving: tuple[str, ...]  # those of the target groups that get traffic
    targets: dict[str, dict[str, str]]
    balancers: dict[str, list[str]]  # of each target group, by ARN


def _way(calls: Calls, config: Config, blue: Answer, left: tuple[Group, ...]) -> _Way:
    shown = _target_groups(calls, config)
    arns = tuple(arn for arn, _ in shown)
    ways = traffic.routes_of(calls, set(arns), traffic.balancers_of(described for _, described in shown))
    weighing = weights.assess(calls, config, arns, ways, _idle(blue, arns) if left else "")
    serving = tuple(arn for arn in arns if arn != weighing.idle)
    _must_be_attached(blue, serving, config)
    targets = traffic.targets(calls, arns)
    if weighing.idle:
        weights.must_be_empty(weighing.idle, targets[weighing.idle], {i.id for one in left for i in one.instances})
    behind = traffic.balancers_behind(described for _, described in shown)
    return _Way(arns, ways, left, weighing, serving, targets, behind)


def _idle(blue: Answer, arns: Iterable[str]) -> str:
    """The target group that blue is not in."""
    return next((arn for arn in arns if arn not in groups.target_groups(blue)), "")


# --- the group -----------------------------------------------------------------------------------


def _group(calls: Calls, config: Config, name: str) -> Answer:
    blue = groups.describe(calls, name).get(name)
    if blue is None:
        known = [group["AutoScalingGroupName"] for group in groups.everything(calls)]
        what = f"there is no Auto Scaling group `{name}` {calls.place}"
        raise ConfigError(what, where=_key(config), hint=_like(name, known))
    if blue.get("Status"):
        _unfit(name, f"is being deleted ({blue['Status']})", "Set `group` to the group that serves now.", config)
    return blue


def _other(calls: Calls, config: Config, blue: str) -> Answer | None:
    """Of a standing pair the group that is to be green."""
    if not config.groups:
        return None
    name = pair.other(config, blue)
    green = _group(calls, config, name)
    _must_be_plain(green, config)
    for one in groups.described(calls, (blue, name), "DescribeAutoScalingGroups").values():
        if one.get("WarmPoolConfiguration"):
            what, hint = "has a warm pool, which would go on while it is idle", "Remove the warm pool."
            _unfit(one["AutoScalingGroupName"], what, hint, config)
    return green


def _spare(calls: Calls, green: Answer | None, blue: Group) -> tuple[Idle | None, tuple[Template, str, Answer] | None]:
    """Of a standing pair the idle group, and what it launches where it has a launch template of its own."""
    if green is None:
        return None, None
    spare = pair.idle(calls, green)
    return spare, _template(calls, spare.group) if spare.group.template != blue.template else None


def _left(calls: Calls, names: Collection[str]) -> tuple[Group, ...]:
    """Those of these groups that are in the target groups, or may be again: they exist and stay."""
    shown = groups.describe(calls, *names) if names else {}
    found = (groups.seen(shown.get(name)) for name in names)
    return tuple(group for group in found if group and not group.deleting)


def _must_be_plain(blue: Answer, config: Config) -> None:
    """Nothing about the group that this way of releasing cannot keep whole."""
    for what, hint in (*unfit(blue), *_protected(blue, config)):
        _unfit(blue["AutoScalingGroupName"], what, hint, config)


def unfit(blue: Answer) -> Iterator[tuple[str, str]]:
    """Why the group, as AWS shows it, cannot be released in any way: a clause, and what to do."""
    yield from (*_odd(blue), *_odd_overrides(blue))


def _odd(blue: Answer) -> Iterator[tuple[str, str]]:
    if not any(templates.reference(blue)):
        hint = (
            "Create a launch template from it (EC2 console, Launch Configurations, Copy to launch template) "
            "and put the group on that; then release."
        )
        yield f"has the launch configuration `{blue.get('LaunchConfigurationName', '')}`, not a launch template", hint
    if blue.get("Operator"):
        owner = blue["Operator"].get("Principal", "a service")
        yield f"is managed by {owner}, and AWS lets nobody else change it", "Release a group of your own."
    if blue.get("LoadBalancerNames"):
        names = ", ".join(blue["LoadBalancerNames"])
        yield f"is behind classic load balancers ({names})", "Move it behind an Application or Network Load Balancer."
    if blue.get("DesiredCapacityType", "units") != "units":
        hint = f"{_COUNTED} Set its desired capacity type to units, and its sizes to numbers of instances."
        yield f"counts its size in {blue['DesiredCapacityType']}", hint
    suspended = [p["ProcessName"] for p in blue.get("SuspendedProcesses", []) if p["ProcessName"] in NEEDED]
    if suspended:
        yield (
            f"has {', '.join(sorted(suspended))} suspended",
            "Resume it; otherwise green could not launch, join or leave.",
        )


def _odd_overrides(blue: Answer) -> Iterator[tuple[str, str]]:
    overrides = blue.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {}).get("Overrides", [])
    for override in overrides:
        kind = override.get("InstanceType", "an override")
        if override.get("LaunchTemplateSpecification"):
            hint = "One image cannot serve several templates: release them as groups of their own."
            yield f"has a launch template of its own for {kind}", hint
        if override.get("ImageId"):
            yield f"has an image of its own for {kind}, which would stay the old one", "Remove it from the override."
        if override.get("WeightedCapacity", "1") != "1":
            hint = f"{_COUNTED} Remove the weights, or make each of them 1, and set its sizes to numbers of instances."
            yield f"counts an instance of {kind} as {override['WeightedCapacity']}", hint


def _protected(blue: Answer, config: Config) -> Iterator[tuple[str, str]]:
    """Blue is never deleted by force, so only the strictest protection is in the way."""
    if is_locked(blue) and config.retire == "delete":
        yield "is protected from all deletion", "Set `retire: empty`, or lower its deletion protection."


def is_locked(blue: Answer) -> bool:
    """Whether AWS refuses every deletion of the group."""
    return bool(blue.get("DeletionProtection") == "prevent-all-deletion")


def _unfit(name: str, what: str, hint: str, config: Config) -> NoReturn:
    """The one place where a group that can never be released so is turned away."""
    raise ConfigError(f"the group {name} {what}", where=_key(config), hint=hint)


def _key(config: Config) -> str:
    """The key that names the group."""
    return "groups" if config.groups else "group"


# --- target groups -------------------------------------------------------------------------------


def _target_groups(calls: Calls, config: Config) -> list[tuple[str, Answer]]:
    """The config's target groups, in its order, with their ARNs."""
    named = config.traffic.target_groups
    found = {**_described(calls, [n for n in named if n.startswith(_ARN)], "TargetGroupArns", "TargetGroupArn")}
    found |= _described(calls, [n for n in named if not n.startswith(_ARN)], "Names", "TargetGroupName")
    for n, name in enumerate(named):
        where = f"traffic.target_groups.{n}"
        if name not in found:
            member = "TargetGroupArn" if name.startswith(_ARN) else "TargetGroupName"
            known = [group[member] for group in _described(calls, [], "Names", member, every=True).values()]
            raise ConfigError(f"there is no target group `{name}` {calls.place}", where=where, hint=_like(name, known))
        for what, hint in odd_target_group(found[name], name, idle=bool(config.traffic.listeners)):
            raise ConfigError(what, where=where, hint=hint)
    shown = [(str(found[name]["TargetGroupArn"]), found[name]) for name in named]
    if len({arn for arn, _ in shown}) < len(shown):
        raise ConfigError("one target group is named twice", where="traffic.target_groups", hint="Remove one.")
    return shown


def _described(calls: Calls, named: list[str], key: str, member: str, *, every: bool = False) -> dict[str, Answer]:
    """Those that exist by what they were named with; one that does not makes AWS refuse the whole call."""
    if not named and not every:
        return {}
    asked = {} if every else {key: named}
    try:
        pages = [page["TargetGroups"] for page in calls.elb.get_paginator("describe_target_groups").paginate(**asked)]
    except ClientError as error:
        if code(error) not in ("TargetGroupNotFound", "ValidationError"):
            raise
        if len(named) == 1:
            return {}
        return {name: found for one in named for name, found in _described(calls, [one], key, member).items()}
    return {group[member]: group for page in pages for group in page}


def odd_target_group(group: Answer, name: str, *, idle: bool) -> Iterator[tuple[str, str]]:
    """Why no release can use the target group, as AWS shows it, and what to do.

    `idle`: it may be one that waits, to which no listener forwards yet.
    """
    if group.get("TargetType", "instance") != "instance":
        hint = "Auto Scaling groups register instances: use a target group of that type."
        yield f"`{name}` has targets of type {group['TargetType']}", hint
    if not idle and not group.get("LoadBalancerArns"):
        yield f"no load balancer forwards to `{name}`", "Let a listener or rule forward to it, or remove it here."


def earliest_health(group: Answer) -> float:
    """After how many seconds a new target of the target group, as AWS shows it, is healthy at the earliest."""
    return float(group.get("HealthCheckIntervalSeconds", 0) * group.get("HealthyThresholdCount", 0))


def _must_be_attached(blue: Answer, arns: Sequence[str], config: Config) -> None:
    name, attached = blue["AutoScalingGroupName"], groups.target_groups(blue)
    for n, arn in enumerate(arns):
        if arn not in attached:
            hint = "Attach the group to it, or remove it here."
            where = f"traffic.target_groups.{n}"
            raise ConfigError(f"the group {name} is not attached to {_short(arn)}", where=where, hint=hint)
    more = sorted(attached - set(arns))
    if more:
        listed = ", ".join(_short(arn) for arn in more)
        hint = "List it too: otherwise blue would go on serving there."
        raise ConfigError(f"the group {name} is also attached to {listed}", where="traffic.target_groups", hint=hint)
    lattice = [s["Identifier"] for s in blue.get("TrafficSources", []) if s["Identifier"] not in attached]
    if lattice:
        _unfit(name, f"gets traffic from {', '.join(lattice)} too", "Only target groups can be released.", config)


# --- health --------------------------------------------------------------------------------------


def _health(blue: Group, home: Mapping[str, Mapping[str, str]], beside: int) -> dict[str, Any]:
    """How well blue is where it serves; `beside` so many of what was left bear traffic, too."""
    borne = len(_borne(blue, list(home.values()))) + beside
    return {"unwell": _unwell(blue, home), "unsettled": unsettled(blue, home), "borne": borne}


def _unwell(blue: Group, targets: Mapping[str, Mapping[str, str]]) -> str:
    """What is wrong with blue in one sentence: one that is not whole is nothing to return to.

    What comes or goes is waited for: see `observation.unsettled`.
    """
    wrong = [*_out_of_order(blue), *_untargeted(blue, targets)]
    more = f" (and {len(wrong) - 3} more)" if len(wrong) > 3 else ""
    return f"the group {blue.name} is not completely healthy: {'; '.join(wrong[:3])}{more}" if wrong else ""


def _borne(blue: Group, targets: Sequence[Mapping[str, str]]) -> list[str]:
    return [id_ for id_ in blue.in_service if all(states.get(id_) == HEALTHY for states in targets)]


def _bears(group: Group, targets: Mapping[str, Mapping[str, str]]) -> int:
    """How many of what was left are healthy wherever it is attached."""
    home = [states for arn, states in targets.items() if arn in group.target_groups]
    return len(_borne(group, home)) if home else 0


def _out_of_order(blue: Group) -> Iterator[str]:
    for instance in blue.instances:
        if instance.parked or not (instance.healthy or instance.moving):
            yield f"{instance.id} is {instance.lifecycle}{'' if instance.healthy else ' and unhealthy'}"


def _untargeted(blue: Group, targets: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    for arn, states in targets.items():
        for id_ in blue.in_service:
            if states.get(id_) not in (HEALTHY, INITIAL):
                yield f"{id_} is {states.get(id_, 'not registered')} in {_short(arn)}"


def _strangers(
    calls: Calls, config: Config, known: Sequence[Group], targets: dict[str, dict[str, str]]
) -> Iterator[Finding]:
    """Who else serves there. A group of ours is what an earlier release left: it is refused."""
    own = {instance.id for group in known for instance in group.instances}
    staying = {id_ for states in targets.values() for id_, state in states.items() if state != "draining"}
    others = sorted(staying - own)
    if not others:
        return
    named = set(groups.owners(calls, others).values())
    for group in groups.describe(calls, *sorted(named)).values() if named else ():
        if tags.as_dict(group.get("Tags")).get(tags.SERVICE) == config.id:
            name = group["AutoScalingGroupName"]
            hint = "Finish or roll back the release that left it; `bluegreen adopt` shows what else you can do."
            what = f"the group {name}, of an earlier release, is in the target groups too"
            raise Refused(what, reason=Reason.UNRESOLVED, where="traffic.target_groups", hint=hint)
    who = f" of {', '.join(sorted(named))}" if named else ""
    found = f"the target groups hold {len(others)} other target{'s' if len(others) > 1 else ''}{who}"
    yield Finding(FindingKey.OTHER_TARGETS, found, "targets that do not belong to blue go on serving beside green")


# --- image and template --------------------------------------------------------------------------


def _image(calls: Calls, config: Config, commit: str, ami: str) -> tuple[str, str]:
    """The AMI that is given, here or in the config, or that was made of this commit before; else the builder."""
    wanted, where = (ami, "ami") if ami else (config.image.ami, "image.ami")
    image = images.given(calls, wanted, where) if wanted else images.of_commit(calls, config.id, commit)
    return image, "" if image else builder.find(calls, config)


def _template(calls: Calls, blue: Group) -> tuple[Template, str, Answer]:
    """Blue's launch template, the number of its version now, and what that says."""
    template = templates.look(calls, blue.template)
    version = templates.resolved(template, blue.template_version)
    return template, version, templates.data(calls, blue.template, version)


# --- words ---------------------------------------------------------------------------------------


def _short(arn: str) -> str:
    """A target group by its name."""
    return arn.rpartition("targetgroup/")[2].partition("/")[0]


def _like(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=3, cutoff=0.5)
    return f"Did you mean {' or '.join(f'`{name}`' for name in near)}?" if near else "Correct it in bluegreen.yml."
