"""The surroundings of a release, examined once before it begins.

Who else uses what the release changes, what is under way on blue, and which problems would appear only after the bake.
Each examination reads first and judges then. Its findings are data (`observation.Finding`), which every entry point
shows alike. If AWS denies a read, that is a finding, too, and the release may begin.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from bluegreen import quotas
from bluegreen.aws import capacity, copy, groups, tags, templates
from bluegreen.aws.attachments import AWS_OWN
from bluegreen.aws.calls import Answer, Calls
from bluegreen.aws_commands import cancel_refresh
from bluegreen.aws_errors import code, lacking, translate
from bluegreen.config import AlarmCheck, Config
from bluegreen.observation import Finding, FindingKey, Group, Idle, Template, Verdict
from bluegreen.release import agreeing, count_of, is_name_of

#: Targets a target group can have unless AWS raised it (Elastic Load Balancing quotas).
TARGETS_MAX = 1000
#: DescribeAlarms takes this many names a call (CloudWatch API).
ALARMS_BATCH = 100
#: So many pages of the account's alarms are read: of more alarms the first thousand, by name.
ALARM_PAGES = 10
#: So many names of others are said; nobody reads more.
MOST_NAMED = 3
#: Composite alarms may stand on composite alarms; so deep they are followed.
DEEPEST = 5
#: States in which an instance refresh is not over (EC2 Auto Scaling API, InstanceRefresh).
REFRESHING = frozenset({"Pending", "InProgress", "Cancelling", "RollbackInProgress", "Baking"})
#: Tags that a group can have, and an instance; AWS's own do not count (AWS General Reference, tagging).
TAGS_MAX = 50
#: Versions that a launch template can have, less those that were deleted (EC2 user guide, launch templates).
VERSIONS_MAX = 10_000
#: Words by which tags tell that a group was made by a tool that keeps what it made.
KEEPERS = re.compile(r"terraform|terragrunt|opentofu|pulumi|cdktf|crossplane", re.IGNORECASE)
#: The tag of a service of AWS's that makes a group again from its own description, and what keeps it.
STACK, KEPT = "aws:cloudformation:stack-name", "the CloudFormation stack"
#: Tags of services of AWS's that work with a group which they made or were given, and with no copy of it: what keeps
#: it, and what to do (Elastic Beanstalk, EKS and ECS developer guides, tags).
OWNED: Mapping[str, tuple[str, str]] = {
    "elasticbeanstalk:environment-name": (
        "the Elastic Beanstalk environment",
        "Release it with Elastic Beanstalk, whose environments can swap their URLs, or use your own group.",
    ),
    "eks:nodegroup-name": (
        "the EKS node group",
        "Update the node group with EKS: its instances are nodes of a cluster.",
    ),
    "eks:cluster-name": ("the EKS cluster", "Update its nodes with EKS: its instances are nodes of a cluster."),
    "AmazonECSManaged": (
        "a capacity provider of Amazon ECS",
        "Release the service with ECS: its tasks run on the instances of this group, and of no other group.",
    ),
}
#: What an alarm's rule names (CloudWatch user guide, composite alarms).
_NAMED = re.compile(r"\b(?:ALARM|OK|INSUFFICIENT_DATA)\(\s*\"?([^\")]+?)\"?\s*\)")


_KEEP = "Keep it: `aws kms cancel-key-deletion --key-id {key}`, then `aws kms enable-key --key-id {key}`."
#: States in which a key encrypts and decrypts nothing (KMS developer guide, key states), in words and what to do.
UNUSABLE: Mapping[str, tuple[str, str]] = {
    "Absent": ("does not exist", "Name one that exists, and put volumes that need it on another one."),
    "Disabled": ("is disabled", "Enable it: `aws kms enable-key --key-id {key}`."),
    "PendingDeletion": ("is to be deleted", _KEEP),
    "PendingReplicaDeletion": ("is to be deleted once its replicas are", _KEEP),
    "PendingImport": ("has no key material", "Import its key material."),
    "Unavailable": ("is in a key store that is disconnected", "Connect its key store."),
}


@dataclass(frozen=True)
class Beside:
    """The subject of the examination, as the preflight has seen it."""

    config: Config
    shown: Answer  # blue, as AWS shows it
    blue: Group
    template: Template  # that green launches from: blue's, or its own
    version: str  # the number that the template reference of its group means now
    launched: Answer  # what that version says
    targets: Mapping[str, Mapping[str, str]]  # target group ARN -> instance id -> state
    serving: tuple[str, ...]  # ARNs of the target groups that blue is in
    idle: str  # weighted: ARN of the other one
    builder: str  # instance id, "" when nothing is baked
    image: str  # AMI id that is released, "" when one is baked
    hooks: Sequence[Answer] = ()  # blue's lifecycle hooks
    acting: Collection[str] = ()  # names of the alarms that act by blue's policies: they move to green
    own: Idle | None = None  # of a standing pair: green, where it has a launch template of its own
    balancers: Mapping[str, Sequence[str]] = field(kw_only=True)  # target group ARN -> ARNs of its load balancers

    @property
    def launcher(self) -> Group:
        """Whose launch template gets the version that green launches from."""
        return self.own.group if self.own else self.blue

    @property
    def whose(self) -> str:
        """The same, for people."""
        return "green's" if self.own else "blue's"


@dataclass(frozen=True)
class _Of:
    """Whose key it is, and what follows when it cannot be used."""

    what: str
    harm: str
    verdict: Verdict


Looking = Callable[[Calls, Beside], Iterator[Finding]]


def look(calls: Calls, at: Beside) -> tuple[Finding, ...]:
    """Everything that is found, in the order of docs/findings.md."""
    return tuple(found for what, one in _LOOKS.items() for found in _permitted(calls, at, what, one))


def _permitted(calls: Calls, at: Beside, what: str, one: Looking) -> tuple[Finding, ...]:
    """What a look finds; that it may not look, or no further, when AWS does not let it."""
    seen: list[Finding] = []
    try:
        seen.extend(one(calls, at))  # keeps what came before a refusal
    except ClientError as error:
        action = lacking(error)
        if not action:
            raise
        found = f"bluegreen may not read {what}"
        hint = f"Add {action} to the policy of its role."
        seen.append(Finding(FindingKey.UNSEEN, found, "bluegreen cannot examine this", Verdict.NOTED, hint))
    return tuple(seen)


# --- who else launches from the template ---------------------------------------------------------


def followers(calls: Calls, at: Beside) -> Iterator[Finding]:
    """Groups that launch from blue's template, too."""
    own = {at.blue.name, *(at.config.groups or ())}
    others = [one for one in groups.everything(calls) if one["AutoScalingGroupName"] not in own]
    shown = (templates.TemplateUser(one["AutoScalingGroupName"], tuple(templates.references(one))) for one in others)
    return _followers(at, "group", shown)


def fleets(calls: Calls, at: Beside) -> Iterator[Finding]:
    """EC2 Fleets that do; what AWS shows of them is the number that their reference meant when they were made."""
    return _followers(at, "fleet", templates.fleets(calls))


def spot_fleets(calls: Calls, at: Beside) -> Iterator[Finding]:
    """Spot Fleet requests that do."""
    return _followers(at, "Spot Fleet request", templates.spot_fleets(calls))


def _followers(at: Beside, kind: str, others: Iterable[templates.TemplateUser]) -> Iterator[Finding]:
    by: dict[str, list[str]] = {}
    for one in others:
        for version in templates.versions_of(at.template, one.references):
            by.setdefault(version, []).append(one.name)
    latest, default = by.pop(templates.LATEST, []), by.pop(templates.DEFAULT, [])
    if latest:
        harm = "would launch the unreleased image as soon as green exists"
        yield _follows(at, kind, latest, templates.LATEST, harm)
    if default and "shared_template" in at.config.allow and at.own is None:
        harm = "launch the new image once the release is live, because its version becomes the default"
        yield _follows(at, kind, default, templates.DEFAULT, harm)
    elif default:
        yield _default_followed(at, kind, default)
    if by:
        numbered = [name for names in by.values() for name in names]
        found = f"{_doing(kind, numbered, 'launches')} from a numbered version of {at.launcher.template}, too"
        yield Finding(FindingKey.TEMPLATE_USERS, found, verdict=Verdict.NOTED)


def _follows(at: Beside, kind: str, names: list[str], version: str, harm: str) -> Finding:
    found = f"{_doing(kind, names, 'launches')} by {version} from {at.whose} launch template {at.launcher.template}"
    hint = f"Put {agreeing(len(names), 'it', 'them')} on a version number, or on a launch template of their own."
    who = agreeing(len(names), "it", "they")
    return Finding(FindingKey.SHARED_TEMPLATE, found, f"{who} {harm}", Verdict.REFUSED, hint)


def _default_followed(at: Beside, kind: str, names: list[str]) -> Finding:
    """They are spared by leaving the default where it is."""
    found = f"{_doing(kind, names, 'launches')} by $Default from {at.whose} launch template {at.launcher.template}"
    stays = f", and green stays on its version number, because {templates.DEFAULT} would mean the old one"
    on_default = at.launcher.template_version == templates.DEFAULT
    harm = f"so the default version stays as it is{stays if on_default else ''}"
    hint = "`allow: [shared_template]` makes the released version the default for all of them."
    return Finding(FindingKey.DEFAULT_FOLLOWED, found, harm, Verdict.WARNED, hint)


def default_is_free(findings: Iterable[Finding]) -> bool:
    """Whether the template's default version is blue's, and nobody else launches by it, or that was allowed."""
    stays = {FindingKey.DEFAULT_FOLLOWED, FindingKey.DEFAULT_ELSEWHERE}
    return all(one.key not in stays for one in findings)


# --- blue's own template -------------------------------------------------------------------------


def template(calls: Calls, at: Beside) -> Iterator[Finding]:
    """Whether blue's version is there, and whether its instances run what it says."""
    if not at.launched:
        yield _lost(at)
        return
    run = _versions_run(at)
    if at.template.default != int(at.version):
        yield _default_elsewhere(at)
    for version, ids in sorted(run.items()):
        if version != at.version:
            yield _drift(at, version, ids, templates.data(calls, at.launcher.template, version))
    yield from _snapshots(at.launched)


def _lost(at: Beside) -> Finding:
    group = at.launcher
    found = f"{group.name} is on version {group.template_version} of {group.template}, which does not exist"
    hint = f"Put {group.name} on a version that exists: that of its instances, or one with the same data."
    return Finding(FindingKey.TEMPLATE_LOST, found, "instances cannot launch from it", Verdict.REFUSED, hint)


def _default_elsewhere(at: Beside) -> Finding:
    """Whoever set it meant somebody else than this service, which launches from another version."""
    group = at.launcher
    found = f"the default version of {group.template} is {at.template.default}, while {group.name} is on {at.version}"
    return Finding(FindingKey.DEFAULT_ELSEWHERE, found, "so the default version stays as it is", Verdict.NOTED)


def _versions_run(at: Beside) -> dict[str, list[str]]:
    """Versions of blue's template -> its instances that were launched from them."""
    run: dict[str, list[str]] = {}
    for instance in at.shown.get("Instances", []):
        said = instance.get("LaunchTemplate") or {}
        if said.get("LaunchTemplateId") == at.launcher.template:
            run.setdefault(str(said.get("Version", "")), []).append(instance["InstanceId"])
    return run


def _drift(at: Beside, version: str, ids: list[str], before: Answer) -> Finding:
    """Green launches from what the reference means now, whatever blue's instances run."""
    on = at.launcher.template_version
    meant = f"{on}, which is {at.version} now" if on != at.version else at.version
    who = f"{_named('instance', ids)} of {at.blue.name} {agreeing(len(ids), 'runs', 'run')}"
    found = f"{who} version {version} of {at.launcher.template}, but the group is on {meant}"
    if not before:
        return Finding(FindingKey.TEMPLATE_DRIFT, found, f"version {version} is gone, so the difference is unknown")
    changed = changes(before, at.launched)
    told = [one for one in changed if not one.startswith("ImageId")]
    if told:
        return Finding(FindingKey.TEMPLATE_DRIFT, found, f"green takes over these changes: {', '.join(told)}")
    rest = f"only the image differs, {', '.join(changed)}" if changed else "both say the same"
    return Finding(FindingKey.TEMPLATE_DRIFT, found, rest, Verdict.NOTED)


def changes(before: Answer, now: Answer) -> list[str]:
    """Member by member; what may hold secrets, or is long, is only named."""
    old, new = dict(_flat(before)), dict(_flat(now))
    return [
        _change(name, old.get(name), new.get(name)) for name in sorted({*old, *new}) if old.get(name) != new.get(name)
    ]


def _flat(data: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Each value with its path: `BlockDeviceMappings.0.Ebs.VolumeSize`."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield from _flat(value, f"{name}.{key}" if name else key)
    elif isinstance(data, list):
        for number, value in enumerate(data):
            yield from _flat(value, f"{name}.{number}")
    else:
        yield name, str(data)


def _change(name: str, old: str | None, new: str | None) -> str:
    if name == "UserData" or len(f"{old}{new}") > 80:
        return name
    return f"{name} {old or 'nothing'} → {new or 'nothing'}"


def _snapshots(launched: Answer) -> Iterator[Finding]:
    """A root volume from a snapshot of its own would not be the image's."""
    for device in launched.get("BlockDeviceMappings", []):
        if device.get("Ebs", {}).get("SnapshotId"):
            found = f"the launch template takes {device.get('DeviceName', 'a device')} from a snapshot"
            yield Finding(FindingKey.SNAPSHOTS, found, "green's volume will not come from the new image")


# --- the builder ---------------------------------------------------------------------------------


def shared_builder(calls: Calls, at: Beside) -> Iterator[Finding]:
    """Whether the builder serves somebody, or is some group's instance."""
    if not at.builder:
        return
    for arn, members in at.targets.items():
        if at.builder in members:
            found = f"the builder {at.builder} is in the target group {_name_of(arn)}"
            hint = "Deregister it, or name another builder."
            yield Finding(FindingKey.SHARED_BUILDER, found, "it would serve unreleased commits", Verdict.REFUSED, hint)
    answer = calls.ec2.describe_instances(InstanceIds=[at.builder])
    for instance in (one for row in answer["Reservations"] for one in row["Instances"]):
        group = tags.as_dict(instance.get("Tags")).get("aws:autoscaling:groupName")
        if group:
            found = f"the builder {at.builder} is an instance of the group {group}"
            harm = "the group may replace it while it is stopped, and its data is lost"
            yield Finding(FindingKey.SHARED_BUILDER, found, harm, hint="Detach it from the group.")


def volumes(calls: Calls, at: Beside) -> Iterator[Finding]:
    """A volume cannot be smaller than the snapshot that it is made of (EC2 API, CreateVolume)."""
    wanted = {
        device.get("DeviceName", ""): int(device["Ebs"]["VolumeSize"])
        for device in at.launched.get("BlockDeviceMappings", [])
        if device.get("Ebs", {}).get("VolumeSize")
    }
    if not wanted:
        return
    for device, size, sure in _of_builder(calls, at.builder) if at.builder else _of_image(calls, at.image):
        if size > wanted.get(device, size):
            yield _too_small(at, device, size, wanted[device], sure=sure)


def _of_builder(calls: Calls, builder: str) -> Iterator[tuple[str, int, bool]]:
    """Its volumes: device, GiB, and that snapshots of them take as much."""
    filters = [{"Name": "attachment.instance-id", "Values": [builder]}]
    pages = calls.ec2.get_paginator("describe_volumes").paginate(Filters=filters)
    for volume in (one for page in pages for one in page["Volumes"]):
        for attached in volume.get("Attachments", []):
            if attached.get("InstanceId") == builder:
                yield attached.get("Device", ""), volume["Size"], True


def _of_image(calls: Calls, image: str) -> Iterator[tuple[str, int, bool]]:
    """Its volumes, which may be larger than their snapshots unless the image is one that a release made."""
    for shown in calls.ec2.describe_images(ImageIds=[image])["Images"]:
        made = tags.SERVICE in tags.as_dict(shown.get("Tags"))
        for device in shown.get("BlockDeviceMappings", []):
            if size := device.get("Ebs", {}).get("VolumeSize"):
                yield device.get("DeviceName", ""), size, made


def _too_small(at: Beside, device: str, size: int, wanted: int, *, sure: bool) -> Finding:
    whose = f"the builder {at.builder}" if at.builder else f"the image {at.image}"
    gives = f"version {at.version} of {at.launcher.template} gives it {wanted} GiB"
    harm = (
        f"no instance {'can' if sure else 'may'} launch from it"
        if at.image
        else "no instance could launch from its image"
    )
    verdict = Verdict.REFUSED if sure else Verdict.WARNED
    hint = f"Give {device} at least {size} GiB in the launch template."
    return Finding(FindingKey.VOLUME_TOO_SMALL, f"{device} of {whose} has {size} GiB, and {gives}", harm, verdict, hint)


# --- keys of the volumes -------------------------------------------------------------------------


def keys(calls: Calls, at: Beside) -> Iterator[Finding]:
    """KMS keys that cannot be used. One that may not be looked at does not hide the others."""
    denied: ClientError | None = None
    asked: set[str] = set()
    for key, of in _keys(calls, at):
        if key in asked:
            continue
        asked.add(key)
        try:
            shown = _key(calls, key)
        except ClientError as error:
            if not lacking(error):
                raise
            denied = error
            continue
        asked.add(str(shown.get("Arn", key)))
        if found := _unusable(key, shown, of):
            yield found
    if denied:
        raise denied


def _keys(calls: Calls, at: Beside) -> Iterator[tuple[str, _Of]]:
    """Those that must work first."""
    for device in at.launched.get("BlockDeviceMappings", []):
        if key := device.get("Ebs", {}).get("KmsKeyId"):
            where = f"{device.get('DeviceName', 'a volume')} in version {at.version} of {at.launcher.template}"
            yield key, _Of(where, "no instance can launch from it", Verdict.REFUSED)
    builders = [at.builder] if at.builder else []
    for key in _attached_keys(calls, builders):
        yield key, _Of(f"the builder {at.builder}", "it cannot start, and no image of it can be made", Verdict.REFUSED)
    for key in _attached_keys(calls, [instance.id for instance in at.blue.instances]):
        yield key, _Of(f"the volumes of {at.blue.name}", "neither it nor green may be able to launch", Verdict.WARNED)


def _attached_keys(calls: Calls, instances: list[str]) -> list[str]:
    """Of the volumes that are attached to them, each once."""
    found: set[str] = set()
    for batch in groups.batches(instances, templates.FILTER_VALUES):
        filters = [{"Name": "attachment.instance-id", "Values": batch}]
        pages = calls.ec2.get_paginator("describe_volumes").paginate(Filters=filters)
        found |= {one["KmsKeyId"] for page in pages for one in page["Volumes"] if one.get("KmsKeyId")}
    return sorted(found)


def _key(calls: Calls, key: str) -> Answer:
    """What KMS says of it, by id, ARN or alias; nothing when there is none (KMS API, DescribeKey)."""
    try:
        shown: Answer = calls.kms.describe_key(KeyId=key)["KeyMetadata"]
    except ClientError as error:
        if code(error) not in ("NotFoundException", "InvalidArnException"):
            raise
        return {}
    return shown


def _unusable(key: str, shown: Answer, of: _Of) -> Finding | None:
    state = shown.get("KeyState", "Absent")
    if state not in UNUSABLE:
        return None
    says, hint = UNUSABLE[state]
    found = f"the KMS key {key} of {of.what} {says}"
    return Finding(FindingKey.KEY_UNUSABLE, found, of.harm, of.verdict, hint.format(key=shown.get("Arn", key)))


# --- what is under way on blue -------------------------------------------------------------------


def refresh(calls: Calls, at: Beside) -> Iterator[Finding]:
    """An instance refresh replaces blue's instances while the release counts on them."""
    for name in dict.fromkeys((at.blue.name, *(at.config.groups or ()))):
        if not (found := refreshing(calls, name)):
            continue
        harm = "it replaces instances that the release needs, and AWS refuses to pin blue during that time"
        hint = f"Wait for its end, or cancel it: `{cancel_refresh(name)}`."
        yield Finding(FindingKey.INSTANCE_REFRESH, found, harm, Verdict.REFUSED, hint)


def refreshing(calls: Calls, name: str) -> str:
    """The group's instance refresh that is under way, in one clause; "" without one."""
    asked = {"AutoScalingGroupName": name}
    while True:  # botocore does not page it
        answer = calls.autoscaling.describe_instance_refreshes(**asked)
        for one in answer["InstanceRefreshes"]:
            if one["Status"] in REFRESHING:
                done = f", {one['PercentageComplete']} % done" if "PercentageComplete" in one else ""
                return f"the instance refresh {one['InstanceRefreshId']} of {name} is under way ({one['Status']}{done})"
        if not answer.get("NextToken"):
            return ""
        asked["NextToken"] = answer["NextToken"]


def refreshing_if_told(calls: Calls, name: str) -> str:
    """The same, with the command that cancels it; "" also where AWS denies the read."""
    try:
        found = refreshing(calls, name)
        return f"{found}; `{cancel_refresh(name)}` cancels it" if found else ""
    except ClientError as error:
        if not lacking(error):
            raise
        return ""


# --- alarms that cannot follow -------------------------------------------------------------------


def alarms(calls: Calls, at: Beside) -> Iterator[Finding]:
    """Checks of alarms that are bound to blue by a dimension: green is another group, in another target group."""
    checks = [check for check in at.config.checks if isinstance(check, AlarmCheck)]
    if not checks:
        return
    shown = _shown_alarms(calls, {check.alarm for check in checks})
    for check in checks:
        bound = next((word for name in _below(check.alarm, shown) if (word := _bound(shown[name], at))), "")
        if bound:
            yield _cannot_follow(check, bound)


def _shown_alarms(calls: Calls, names: set[str]) -> dict[str, Answer]:
    """These alarms, and those that composite ones stand on."""
    shown: dict[str, Answer] = {}
    for _ in range(DEEPEST):
        for batch in groups.batches(sorted(names - shown.keys()), ALARMS_BATCH):
            kinds = ["MetricAlarm", "CompositeAlarm"]
            answer = calls.cloudwatch.describe_alarms(AlarmNames=batch, AlarmTypes=kinds, MaxRecords=ALARMS_BATCH)
            for alarm in (*answer.get("MetricAlarms", []), *answer.get("CompositeAlarms", [])):
                shown[alarm["AlarmName"]] = alarm
        below = {name for alarm in shown.values() for name in _NAMED.findall(alarm.get("AlarmRule", ""))}
        if below <= names:
            break
        names = names | below
    return shown


def left_alarms(calls: Calls, at: Beside) -> Iterator[Finding]:
    """Alarms that watch blue by its name, and that no policy moves to green."""
    pages = calls.cloudwatch.get_paginator("describe_alarms").paginate(
        AlarmTypes=["MetricAlarm"], PaginationConfig={"PageSize": ALARMS_BATCH}
    )
    known = {*at.acting, *(check.alarm for check in at.config.checks if isinstance(check, AlarmCheck))}
    watching: dict[str, list[str]] = {}
    for alarm in (one for page in islice(pages, ALARM_PAGES) for one in page["MetricAlarms"]):
        name, watched = alarm["AlarmName"], _watched(alarm, at)
        if watched and name not in known and not name.startswith(AWS_OWN):
            watching.setdefault(watched, []).append(name)
    for watched, names in watching.items():
        yield _stays_behind(at, watched, names)


def _watched(alarm: Answer, at: Beside) -> str:
    """What of blue it watches by its name: the group, or with weights its target group; "" when it watches neither."""
    for one in _dimensions(alarm):
        if one == {"Name": "AutoScalingGroupName", "Value": at.blue.name}:
            return at.blue.name
        if at.idle and one["Name"] == "TargetGroup" and _is_of(one["Value"], at.serving):
            return f"the target group {_name_of(one['Value'])}"
    return ""


def _stays_behind(at: Beside, watched: str, names: list[str]) -> Finding:
    found = f"{_doing('alarm', names, 'watches')} {watched} by its name, and no scaling policy moves it to green"
    found = found if len(names) == 1 else found.replace("moves it", "moves them")
    if watched != at.blue.name:
        harm, instead = "nobody answers there once green serves", "both target groups, or the load balancer"
    elif at.config.retire == "empty":
        harm, instead = "that group is empty once green is live", "the load balancer or its target groups, which stay"
    else:
        harm, instead = "that group is gone once green is live", "the load balancer or its target groups, which stay"
    hint = f"Let {agreeing(len(names), 'it', 'them')} watch {instead}."
    return Finding(FindingKey.LEFT_ALARM, found, harm, Verdict.NOTED, hint)


def _dimensions(alarm: Answer) -> Iterator[Mapping[str, str]]:
    """Of its metric, and of those of its expression."""
    stats = [query.get("MetricStat", {}).get("Metric", {}) for query in alarm.get("Metrics", [])]
    yield from (one for of in (alarm, *stats) for one in of.get("Dimensions", []))


def _below(name: str, shown: Mapping[str, Answer], seen: frozenset[str] = frozenset()) -> Iterator[str]:
    """The alarm and all that it stands on, as far as they were shown."""
    if name not in shown or name in seen:
        return
    yield name
    for child in _NAMED.findall(shown[name].get("AlarmRule", "")):
        yield from _below(child, shown, seen | {name})


def _bound(alarm: Answer, at: Beside) -> str:
    """The dimension that binds it to blue, or to the target groups; "" when none does."""
    for one in _dimensions(alarm):
        if one["Name"] == "AutoScalingGroupName" and _is_ours(one["Value"], at):
            return f"the group {one['Value']}"
        if at.idle and one["Name"] == "TargetGroup" and _is_of(one["Value"], (*at.serving, at.idle)):
            return f"the target group {_name_of(one['Value'])}"
    return ""


def _is_ours(group: str, at: Beside) -> bool:
    return group in (at.blue.name, *at.config.names) or is_name_of(at.config.id, group)


def _is_of(dimension: str, arns: Iterable[str]) -> bool:
    return any(arn.endswith(f":{dimension}") for arn in arns)


def _cannot_follow(check: AlarmCheck, bound: str) -> Finding:
    found = f"the check {check.name} uses the alarm {check.alarm}, which watches {bound}"
    group = bound.startswith("the group")
    instead = "a check by `metric`, which follows green" if group else "a check by `metric` without `namespace`"
    hint = f"Write it as {instead}, or let the alarm watch what blue and green share."
    if check.missing == "pass":
        return Finding(FindingKey.BOUND_ALARM, found, "without data it says nothing about green", hint=hint)
    harm = "it would judge blue, and has no data once blue is gone: every later release would be rolled back"
    return Finding(FindingKey.BOUND_ALARM, found, harm, Verdict.REFUSED, hint)


# --- blue itself ---------------------------------------------------------------------------------


def own(calls: Calls, at: Beside) -> Iterator[Finding]:
    """What is special about blue; nothing is asked for it."""
    name, shown = at.blue.name, at.shown
    yield from _kept_by(at)
    if shown.get("InstanceLifecyclePolicy", {}).get("RetentionTriggers"):
        found = f"{name} retains instances whose termination hook ends with ABANDON"
        yield Finding(FindingKey.RETAINED_INSTANCES, found, "they cost money until you terminate them")
    reserved = shown.get("CapacityReservationSpecification", {}).get("CapacityReservationPreference")
    if reserved == "capacity-reservations-only":
        found = f"{name} launches into capacity reservations only"
        yield Finding(FindingKey.CAPACITY_RESERVATIONS, found, "they need capacity for both groups")


def _kept_by(at: Beside) -> Iterator[Finding]:
    """Somebody's tool made the group, and will look for it; green bears copies of its tags, but was made by us.

    One of a standing pair is told of once, before it bears our tags; without the pair it is deleted like any blue.
    """
    said = tags.as_dict(at.shown.get("Tags"))
    if tags.SERVICE in said and (at.config.groups or is_name_of(at.config.id, at.blue.name)):
        return
    keeper, instead = kept_by(said)
    if not keeper:
        return
    found = f"{at.blue.name} seems to be managed by {keeper}"
    if instead:
        harm = "it does not know green, and goes on with this group, or makes it again"
        yield Finding(FindingKey.KEPT_ELSEWHERE, found, harm, Verdict.REFUSED, instead)
        return
    if at.config.groups:
        harm = "its next run may restore sizes, target groups and template version of either group of the pair"
        hint = "Make it ignore what bluegreen changes: docs/standing-pair.md lists it."
    elif at.config.retire == "empty":
        harm = "its next run may restore the size and the target groups of the empty group"
        hint = f"Make it ignore the size and the target groups of {at.blue.name}, or remove the group from it."
    else:
        harm = "after the deletion it will make the group again, with the old version"
        hint = f"Set `retire: empty`, or remove {at.blue.name} from it before the release."
    yield Finding(FindingKey.KEPT_ELSEWHERE, found, harm, hint=hint)


def kept_by(said: Mapping[str, str]) -> tuple[str, str]:
    """What keeps a group with these tags, and what to do instead of releasing it; "" where it may be released."""
    owner = next((key for key in OWNED if key in said), "")
    return (f"{OWNED[owner][0]} {said[owner]}".rstrip(), OWNED[owner][1]) if owner else (_keeper(said), "")


def _keeper(said: Mapping[str, str]) -> str:
    """Who keeps the group, by its tags; "" when they do not tell."""
    if STACK in said:
        return f"{KEPT} {said[STACK]}"
    for key, value in sorted(said.items()):
        if KEEPERS.search(f"{key} {value}") and value.lower() not in ("false", "no"):
            return f"what its tag says, {key}: {value}"
    return ""


def deployments(calls: Calls, at: Beside) -> Iterator[Finding]:
    """Hooks by which CodeDeploy deploys to each instance that is launched. It completes those of its groups only."""
    names = [hook["LifecycleHookName"] for hook in at.hooks if copy.is_foreign(hook)]
    if names:
        found = f"CodeDeploy deploys to {at.blue.name}, by its {_named('hook', names).removeprefix('the ')}"
        harm = (
            "it does not know green, so each instance would wait until the hook times out. So green has no such "
            "hook, and runs what the image holds. After the deletion of blue, deployments do not find their group"
        )
        if at.config.groups:
            harm = "it would deploy its own revision in place of what the image holds"
        hint = "Remove the group from its deployment group, and put everything that runs into the image."
        yield Finding(FindingKey.DEPLOYMENT_HOOK, found, harm, Verdict.REFUSED, hint)


# --- room ----------------------------------------------------------------------------------------


def tagging(calls: Calls, at: Beside) -> Iterator[Finding]:
    """Whether green can have blue's tags and ours, and its instances those that they are given."""
    kept = [tag for tag in at.shown.get("Tags", []) if copy.is_kept(tag)]
    both = len(kept) + len(tags.OF_GREEN)
    if both > TAGS_MAX:
        found = (
            f"{at.blue.name} has {count_of(len(kept), 'tag')}, and green gets {len(tags.OF_GREEN)} more of bluegreen's"
        )
        yield _too_many(at, found, f"from {at.blue.name}", both)
        return
    given = {tag["Key"] for tag in kept if tag.get("PropagateAtLaunch")} | set(tags.OF_INSTANCES)
    of_template = [one for one in at.launched.get("TagSpecifications", []) if one.get("ResourceType") == "instance"]
    given |= {tag["Key"] for one in of_template for tag in one.get("Tags", [])}
    if len(given) > TAGS_MAX:
        where = f"version {at.version} of {at.launcher.template}"
        found = f"{at.blue.name} and {where} give green's instances {count_of(len(given), 'tag')}"
        yield _too_many(at, found, "from the launch template, or propagate fewer", len(given))


def _too_many(at: Beside, found: str, where: str, number: int) -> Finding:
    harm = f"AWS takes {TAGS_MAX}, and would refuse it after the bake"
    hint = f"Remove at least {number - TAGS_MAX} {where}."
    return Finding(FindingKey.TOO_MANY_TAGS, found, harm, Verdict.REFUSED, hint)


def versions(calls: Calls, at: Beside) -> Iterator[Finding]:
    """Whether blue's template takes one more version; they are counted only where numbers have come so far."""
    if at.template.latest < VERSIONS_MAX:
        return
    number = templates.count(calls, at.launcher.template)
    if number >= VERSIONS_MAX:
        found = f"the launch template {at.launcher.template} has {count_of(number, 'version')}"
        harm = f"AWS takes {VERSIONS_MAX}, and would refuse green's after the bake"
        remove = f"aws ec2 delete-launch-template-versions --launch-template-id {at.launcher.template} --versions"
        hint = f"Delete versions that nobody uses: `{remove}` and their numbers, 200 a call."
        yield Finding(FindingKey.TEMPLATE_FULL, found, harm, Verdict.REFUSED, hint)


def quota(calls: Calls, at: Beside) -> Iterator[Finding]:
    """Whether the account may have one group more (EC2 Auto Scaling API, DescribeAccountLimits)."""
    if at.config.groups:
        return
    said = calls.autoscaling.describe_account_limits()
    there, most = said.get("NumberOfAutoScalingGroups", 0), said.get("MaxNumberOfAutoScalingGroups", 0)
    if most and there >= most:
        found = f"the account has {there} Auto Scaling groups {calls.place}"
        harm = f"its quota is {most}, so AWS would refuse green after the bake"
        hint = "Delete a group that nobody uses, or ask AWS to raise the quota (Service Quotas, EC2 Auto Scaling)."
        yield Finding(FindingKey.GROUP_QUOTA, found, harm, Verdict.REFUSED, hint)


def vcpus(calls: Calls, at: Beside) -> Iterator[Finding]:
    """Whether EC2's quotas let as many instances run again; a release can do without Service Quotas' answer."""
    try:
        uses = list(capacity.vcpus(calls, at.blue.name, mixed="MixedInstancesPolicy" in at.shown))
    except (ClientError, BotoCoreError) as error:
        if isinstance(error, ClientError) and lacking(error):
            raise
        found = "bluegreen cannot read the quotas of vCPUs"
        yield Finding(FindingKey.UNSEEN, found, translate(error).what, Verdict.NOTED, "`bluegreen doctor` asks again.")
        return
    yield from filter(None, (quotas.finding(use) for use in uses if use))


def room(calls: Calls, at: Beside) -> Iterator[Finding]:
    """Whether load balancers take the targets of both groups, and the subnets have addresses for green."""
    if not at.blue.desired:
        return
    members = {arn: at.targets[arn] for arn in at.serving}
    uses = [*capacity.targets(calls, at.balancers, members, at.blue.desired)]
    if not at.config.groups and (named := groups.subnets(at.shown)):
        uses.append(quotas.free_addresses(at.blue.desired, capacity.free(calls, named)))
    yield from filter(None, map(quotas.finding, uses))


def crowding(calls: Calls, at: Beside) -> Iterator[Finding]:
    """Whether the target groups can hold both."""
    for arn, states in at.targets.items():
        both = len(states) + len(at.blue.instances)
        if both > TARGETS_MAX:
            found = f"{_name_of(arn)} would have {count_of(both, 'target')} while both groups serve"
            hint = "Ask AWS to raise the quota (Service Quotas, targets per target group), unless it has done so."
            yield Finding(FindingKey.CROWDED_TARGET_GROUP, found, f"the quota is {TARGETS_MAX}", hint=hint)


# --- words ---------------------------------------------------------------------------------------


def _name_of(target_group: str) -> str:
    """Of an ARN, or of what stands at its end."""
    return target_group.rpartition("targetgroup/")[2].partition("/")[0]


def _named(kind: str, names: Iterable[str]) -> str:
    """`the group worker`, `the groups a, b, c and 2 more`."""
    known = sorted(set(names))
    more = f" and {len(known) - MOST_NAMED} more" if len(known) > MOST_NAMED else ""
    return f"the {agreeing(len(known), kind, f'{kind}s')} {', '.join(known[:MOST_NAMED])}{more}"


def _doing(kind: str, names: Iterable[str], does: str) -> str:
    """What they do: `the group worker launches`, `the groups a, b launch`."""
    known = set(names)
    return f"{_named(kind, known)} {agreeing(len(known), does, does.removesuffix('es'))}"


_LOOKS: Mapping[str, Looking] = {
    "other groups' launch templates": followers,
    "EC2 Fleets' launch templates": fleets,
    "Spot Fleet requests' launch templates": spot_fleets,
    "blue's launch template": template,
    "the builder": shared_builder,
    "the builder's volumes": volumes,
    "the KMS keys of volumes": keys,
    "blue's instance refreshes": refresh,
    "the alarms of the checks": alarms,
    "the alarms of the account": left_alarms,
    "blue": own,
    "blue's lifecycle hooks": deployments,
    "blue's tags": tagging,
    "the versions of blue's launch template": versions,
    "the account's quota of groups": quota,
    "the quotas of vCPUs": vcpus,
    "the load balancers' quotas, or the subnets' addresses": room,
    "the target groups": crowding,
}
