"""Tracks: what AWS shows of a service's releases, independent of the journal. Read only.

Groups, images and their tags outlive a journal; they tell who serves, and which numbers and names are taken.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from botocore.exceptions import ClientError

from bluegreen.aws import attachments, groups, images, tags, templates, traffic
from bluegreen.aws.calls import Answer, Calls
from bluegreen.aws_errors import lacking
from bluegreen.config import Config
from bluegreen.errors import ConfigError
from bluegreen.observation import NEAR, PARKED, AccountFacts, Footprint, Remains, Traces
from bluegreen.release import holder_of, names, number_of, prefixes

#: DescribeAutoScalingGroups takes so many names a call (EC2 Auto Scaling API).
GROUPS_BATCH = 50


def look(calls: Calls, config: Config, recorded: str, next_number: int) -> Traces:
    """What there is of the service, and of the group that is recorded as live.

    `next_number`: of the release that comes, as far as the journal knows.
    """
    mine = {group["AutoScalingGroupName"]: group for group in groups.of_service(calls, config.id)}
    own = _images(calls, config)
    asked = [name for name in dict.fromkeys((recorded, *(config.groups or ()))) if name and name not in mine]
    live = groups.describe(calls, *asked) if asked else {}
    numbers = [_number(one.get("Tags"), config) for one in (*mine.values(), *own)]
    numbers += [_holder(one.get("Tags"), config) for one in (*mine.values(), *live.values())]
    first = max(next_number, max(numbers, default=0) + 1)
    near = [names(config.id, n, "")["green_group"] for n in range(first, first + NEAR)]
    there = {**live, **groups.describe(calls, *near)}
    serving = _serving(calls, config)
    return Traces(
        groups=tuple(_footprint(group, config, serving) for group in {**mine, **there}.values()),
        first=first,
        images=tuple(image.get("Name", "") for image in own),
        account=calls.account[0],
    )


def everybody(calls: Calls, config: Config, next_number: int) -> Traces:
    """The same, and all other groups in the target groups; with the image and the commit of each."""
    known = look(calls, config, config.names[0], next_number)
    serving = _serving(calls, config)
    shown = [group for group in groups.everything(calls) if _in(group, config.traffic.target_groups)]
    others = tuple(_whole(calls, _footprint(group, config, serving), group) for group in shown)
    names = {one.name for one in others}
    return replace(known, groups=(*others, *(one for one in known.groups if one.name not in names)))


def account(calls: Calls, config: Config) -> AccountFacts:
    """What a policy for releases of the service names. ConfigError when there is no group of it."""
    found = groups.describe(calls, *config.names) or {
        group["AutoScalingGroupName"]: group for group in groups.of_service(calls, config.id)
    }
    if not found:
        hint = "Correct it in bluegreen.yml, or name the region with --region."
        what = f"there is no Auto Scaling group {' or '.join(f'`{name}`' for name in config.names)} {calls.place}"
        raise ConfigError(what, where="groups" if config.groups else "group", hint=hint)
    used = sorted({templates.reference(group) for group in found.values()} - {("", "")})
    profiles = {_profile(calls, *reference) for reference in used} - {""}
    read = [_roles(calls, profile) for profile in sorted(profiles)]
    alarms = {alarm["AlarmName"] for group in found.values() for alarm in attachments.look(calls, group).alarms}
    return AccountFacts(
        id=calls.account[0],
        templates=tuple(sorted({template for template, _ in used})),
        roles=tuple(sorted({role for roles, _ in read for role in roles})),
        alarms=tuple(sorted(alarms)),
        partition=calls.partition,
        doubts=tuple(doubt for _, doubt in read if doubt),
    )


def _profile(calls: Calls, template: str, version: str) -> str:
    """The name of the instance profile that a template version gives, "" when it gives none."""
    number = templates.resolved(templates.look(calls, template), version)
    said = templates.data(calls, template, number).get("IamInstanceProfile", {})
    return str(said.get("Name") or said.get("Arn", "").rpartition("/")[2])


def _roles(calls: Calls, name: str) -> tuple[tuple[str, ...], str]:
    """ARNs of the roles of an instance profile; where they may not be read, the role of its name, which is a guess."""
    try:
        shown = calls.iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
    except ClientError as error:
        if not lacking(error):
            raise
        guess = f"arn:{calls.partition}:iam::{calls.account[0]}:role/{name}"
        return (guess,), f"bluegreen may not read the instance profile {name}, so its role is a guess: {guess}"
    return tuple(role["Arn"] for role in shown["Roles"]), ""


def remains(calls: Calls, service: str) -> Remains:
    """What has the service's tags, serving or not."""
    groups_ = [_marked(group) for group in groups.of_service(calls, service) if not group.get("Status")]
    return Remains(tuple(sorted(groups_, key=lambda one: one.number)), images.of_service(calls, service))


def left(calls: Calls, also: Collection[str] = ()) -> tuple[Footprint, ...]:
    """Every group that a release of any service made, and those named; `targets`: what gives it traffic, or may."""
    shown = groups.everything(calls, Filters=[{"Name": "tag-key", "Values": [tags.SERVICE]}])
    known = {group["AutoScalingGroupName"] for group in shown}
    for batch in groups.batches(sorted(set(also) - known), GROUPS_BATCH):
        shown += groups.describe(calls, *batch).values()
    standing = (group for group in shown if not group.get("Status"))
    return tuple(_whole_of(group) for group in standing)


def _whole_of(group: Answer) -> Footprint:
    parked = tuple(sorted(one["InstanceId"] for one in group["Instances"] if one["LifecycleState"] in PARKED))
    return replace(_marked(group), targets=tuple(groups.attachments_of(group)), parked=parked)


def _marked(group: Answer) -> Footprint:
    borne = tags.as_dict(group.get("Tags"))
    return Footprint(
        name=group["AutoScalingGroupName"],
        service=borne.get(tags.SERVICE, ""),
        number=number_of(borne.get(tags.RELEASE, "")),
        release=borne.get(tags.RELEASE, ""),
        targets=tuple(sorted(groups.target_groups(group))),
        size=group["DesiredCapacity"],
        commit=borne.get(tags.COMMIT, ""),
        token=borne.get(tags.OWNER, ""),
        held_by=borne.get(tags.HELD, ""),
    )


def _images(calls: Calls, config: Config) -> list[Answer]:
    """Own images that bear our names."""
    return images.named(calls, [f"{prefix}-v*" for prefix in prefixes(config.id)])


def _number(marks: Iterable[Answer] | None, config: Config) -> int:
    """Number of the service's release that made it; 0 when none did."""
    borne = tags.as_dict(marks)
    return number_of(borne.get(tags.RELEASE, "")) if borne.get(tags.SERVICE) == config.id else 0


def _holder(marks: Iterable[Answer] | None, config: Config) -> int:
    """Number of the service's release that holds it; 0 when none does."""
    id_ = holder_of(tags.as_dict(marks).get(tags.HELD, ""))
    return number_of(id_) if id_.rpartition("#")[0] == config.id else 0


def _serving(calls: Calls, config: Config) -> tuple[str, ...]:
    """Names or ARNs of the target groups that get traffic; with weights, by what the listeners say."""
    listeners = config.traffic.listeners or ()
    if not listeners:
        return tuple(config.traffic.target_groups)
    shown = traffic.described(calls, listeners)
    weights = [traffic.forwarded(actions) for actions in shown.values()]
    given = {arn for one in weights for arn, weight in one.items() if weight}
    return tuple(name for name in config.traffic.target_groups if any(_means(name, arn) for arn in given))


def _footprint(group: Answer, config: Config, serving: Collection[str]) -> Footprint:
    return replace(
        _marked(group),
        number=_number(group.get("Tags"), config),
        targets=_in(group, config.traffic.target_groups),
        serves=bool(_in(group, serving)) and not group.get("Status"),
        pinned=_pinned(group),
    )


def _pinned(group: Answer) -> bool:
    suspended = {process["ProcessName"] for process in group.get("SuspendedProcesses", [])}
    return group["MinSize"] == group["DesiredCapacity"] > 0 and suspended.issuperset(groups.OWN_MIND)


def _whole(calls: Calls, footprint: Footprint, group: Answer) -> Footprint:
    """With what its template version carries."""
    template, said = templates.reference(group)
    if not template:
        return footprint
    version = templates.resolved(templates.look(calls, template), said)
    image = str(templates.data(calls, template, version).get("ImageId", ""))
    return replace(footprint, image=image, version=int(version))


def _in(group: Answer, named: Collection[str]) -> tuple[str, ...]:
    """ARNs of those of the named target groups that the group is attached to."""
    return tuple(sorted(arn for arn in groups.target_groups(group) if any(_means(name, arn) for name in named)))


def _means(name: str, arn: str) -> bool:
    """Whether a target group's name or ARN in the configuration means this one."""
    return name == arn or f":targetgroup/{name}/" in arn
