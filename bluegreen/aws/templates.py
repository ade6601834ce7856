"""Launch templates: what a group's reference means, and our one version."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from bluegreen.aws.calls import Answer, Calls
from bluegreen.aws_errors import code, lacking
from bluegreen.errors import AwsError
from bluegreen.events import Made
from bluegreen.observation import Template
from bluegreen.release import Release

DEFAULT, LATEST = "$Default", "$Latest"
#: DescribeLaunchConfigurations takes this many names a call (EC2 Auto Scaling API).
CONFIGURATIONS = 50
#: A filter takes this many values (EC2 API, filters).
FILTER_VALUES = 200
#: How the tags begin by which EC2 says what an instance was launched from (EC2 user guide, launch templates).
MADE_FROM = "aws:ec2launchtemplate"
#: That a version to be deleted is gone (EC2 API, LaunchTemplateErrorCode).
GONE_VERSION = "launchTemplateVersionDoesNotExist"
ABSENT = "InvalidLaunchTemplateId.VersionNotFound"
#: A template that is gone, by id or by name.
GONE = ("InvalidLaunchTemplateId.NotFound", "InvalidLaunchTemplateId.Malformed", "InvalidLaunchTemplateName.NotFound")
_ID = re.compile(r"lt-[0-9a-f]{8,17}")
#: States in which a fleet may launch instances (EC2 API, FleetData and SpotFleetRequestConfig).
_LAUNCHING = frozenset({"submitted", "active", "modifying"})

#: How a launch template's version is named: by the template's id or name, and a number or a word.
Reference = tuple[str, str]


class TemplateUser(NamedTuple):
    """Who launches instances: the versions of templates that it names, and the images (ids) that it names itself."""

    name: str
    references: tuple[Reference, ...]
    images: tuple[str, ...] = ()


def reference(group: Answer) -> tuple[str, str]:
    """Template id and version that a group is on, as it says it; ("", "") when it is on none."""
    policy = group.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {}).get("LaunchTemplateSpecification")
    said = group.get("LaunchTemplate") or policy or {}
    # A group that names no version is on the default one (EC2 Auto Scaling API, LaunchTemplateSpecification).
    return said.get("LaunchTemplateId", ""), said.get("Version") or (DEFAULT if said else "")


def references(group: Answer) -> Iterator[tuple[str, str]]:
    """Every template id and version that a group launches from, those of its overrides too."""
    if any(reference(group)):
        yield reference(group)
    for override in group.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {}).get("Overrides", []):
        if said := override.get("LaunchTemplateSpecification"):
            yield said.get("LaunchTemplateId", ""), said.get("Version") or DEFAULT


def fleets(calls: Calls) -> Iterator[TemplateUser]:
    """EC2 Fleets that may launch instances. Those of type instant never do again (EC2 API, DescribeFleets)."""
    pages = calls.ec2.get_paginator("describe_fleets").paginate()
    for fleet in (one for page in pages for one in page["Fleets"]):
        if _may_launch(fleet["FleetState"], fleet.get("Type", ""), fleet):
            yield TemplateUser(fleet["FleetId"], tuple(_of_fleet(fleet)), tuple(images_in(fleet)))


def spot_fleets(calls: Calls) -> Iterator[TemplateUser]:
    """Spot Fleet requests that may launch instances."""
    pages = calls.ec2.get_paginator("describe_spot_fleet_requests").paginate()
    for shown in (one for page in pages for one in page["SpotFleetRequestConfigs"]):
        config = shown["SpotFleetRequestConfig"]
        if _may_launch(shown["SpotFleetRequestState"], config.get("Type", ""), shown):
            yield TemplateUser(shown["SpotFleetRequestId"], tuple(_of_fleet(config)), tuple(images_in(config)))


def _may_launch(state: str, kind: str, shown: Answer) -> bool:
    """A one-time request that got its instances does not replace them."""
    return state in _LAUNCHING and not (kind == "request" and shown.get("ActivityStatus") == "fulfilled")


def _of_fleet(config: Answer) -> Iterator[tuple[str, str]]:
    for one in config.get("LaunchTemplateConfigs", []):
        if said := one.get("LaunchTemplateSpecification"):
            template = said.get("LaunchTemplateId") or said.get("LaunchTemplateName", "")
            yield template, said.get("Version") or DEFAULT


def images_in(shown: Any) -> Iterator[str]:
    """Ids of the images that a group, or a fleet, names itself: in overrides, or in specifications of its own."""
    if isinstance(shown, dict):
        yield from ([shown["ImageId"]] if isinstance(shown.get("ImageId"), str) else [])
        shown = list(shown.values())
    if isinstance(shown, list):
        for part in shown:
            yield from images_in(part)


def configured_images(calls: Calls, groups: Iterable[Answer]) -> tuple[str, ...] | None:
    """Ids of the images in the launch configurations that these groups are on; None where AWS does not let us look."""
    names = sorted({name for group in groups if (name := group.get("LaunchConfigurationName"))})
    batches = (names[n : n + CONFIGURATIONS] for n in range(0, len(names), CONFIGURATIONS))
    ask = calls.autoscaling.describe_launch_configurations
    try:
        shown = [one for batch in batches for one in ask(LaunchConfigurationNames=batch)["LaunchConfigurations"]]
    except ClientError as error:
        if not lacking(error):
            raise
        return None
    return tuple(images_in(shown))


def standing_images(calls: Calls, images: list[str]) -> set[str]:
    """Those of these images that the default or the latest version of any template of the account names."""
    found: set[str] = set()
    for n in range(0, len(images), FILTER_VALUES):
        filters = [{"Name": "image-id", "Values": images[n : n + FILTER_VALUES]}]
        wanted = {"Versions": [DEFAULT, LATEST], "Filters": filters}
        for page in calls.ec2.get_paginator("describe_launch_template_versions").paginate(**wanted):
            found |= {one["LaunchTemplateData"]["ImageId"] for one in page["LaunchTemplateVersions"]}
    return found


def every_fleet(calls: Calls) -> tuple[TemplateUser, ...] | None:
    """Of both kinds; None where AWS does not let us look at one of them."""
    kinds: tuple[Callable[[Calls], Iterator[TemplateUser]], ...] = (fleets, spot_fleets)
    try:
        return tuple(one for kind in kinds for one in kind(calls))
    except ClientError as error:
        if not lacking(error):
            raise
        return None


def look(calls: Calls, template: str, release: Release | None = None) -> Template:
    """The template's numbers; `ours` by its recorded number, else by its description."""
    recorded = release.template_version if release else None
    versions = _versions(calls, template, [DEFAULT, LATEST, *([str(recorded)] if recorded else [])])
    default = next((v["VersionNumber"] for v in versions if v.get("DefaultVersion")), 0)
    latest = max(v["VersionNumber"] for v in versions)
    ours = None
    if release is not None:
        ours = next((v["VersionNumber"] for v in versions if _is_ours(v, release)), None)
        if ours is None and recorded is None and release.blue is not None:
            ours = next((v["VersionNumber"] for v in _since(calls, release) if _is_ours(v, release)), None)
    return Template(template, default, latest, ours, versions[0].get("LaunchTemplateName", ""))


def resolved(template: Template, version: str) -> str:
    """The number that a reference means now."""
    return {DEFAULT: str(template.default), LATEST: str(template.latest)}.get(version, version)


def naming(calls: Calls, template: str, versions: Collection[str], images: list[str], ours: str) -> set[str]:
    """Those of these images that the template's default or latest version names, one of the given, or one of others.

    `ours`: how the description begins of those that releases of the service made; of them only the former count.
    """
    named: list[Answer] = []
    try:
        for n in range(0, len(images), FILTER_VALUES):
            filters = [{"Name": "image-id", "Values": images[n : n + FILTER_VALUES]}]
            named += _all(calls, template, Filters=filters)
        newest = [v["VersionNumber"] for v in _versions(calls, template, [LATEST])] if named else []
    except ClientError as error:
        if not code(error).startswith(GONE):
            raise
        return set()  # somebody may be on a template that is gone
    return {
        version["LaunchTemplateData"]["ImageId"]
        for version in named
        if version.get("DefaultVersion")
        or version["VersionNumber"] in newest
        or str(version["VersionNumber"]) in versions
        or not str(version.get("VersionDescription", "")).startswith(ours)
    }


def data(calls: Calls, template: str, version: str) -> Answer:
    """What the version with this number says."""
    found = (
        v["LaunchTemplateData"] for v in _versions(calls, template, [version]) if str(v["VersionNumber"]) == version
    )
    said: Answer = next(found, {})
    return said


def _versions(calls: Calls, template: str, wanted: list[str]) -> list[Answer]:
    """The versions that exist of those wanted; AWS refuses the whole call when one does not."""
    try:
        answer = calls.ec2.describe_launch_template_versions(**_called(template), Versions=wanted)
    except ClientError as error:
        if code(error) != ABSENT:
            raise
        return _all(calls, template)
    found: list[Answer] = answer["LaunchTemplateVersions"]
    return found


def _all(calls: Calls, template: str, **span: Any) -> list[Answer]:
    pages = calls.ec2.get_paginator("describe_launch_template_versions").paginate(**_called(template), **span)
    return [version for page in pages for version in page["LaunchTemplateVersions"]]


def count(calls: Calls, template: str) -> int:
    """How many versions it has: two hundred a call, so not asked without need."""
    return len(_all(calls, template))


def _called(template: str) -> dict[str, str]:
    """Which it is: by id, or by name as fleets may say it."""
    return {"LaunchTemplateId" if _ID.fullmatch(template) else "LaunchTemplateName": template}


def _since(calls: Calls, release: Release) -> list[Answer]:
    """Every version from the source's on."""
    return _all(calls, release.template, MinVersion=release.source_version)


def _is_ours(version: Answer, release: Release) -> bool:
    # Versions bear no tags. Without a token numbers may meet old descriptions, so the image is compared, too.
    same_image = version["LaunchTemplateData"].get("ImageId") == release.image
    return version.get("VersionDescription") == release.mark and same_image


# --- acting --------------------------------------------------------------------------------------


def make(calls: Calls, release: Release) -> Made:
    """Make blue's version again with the new image (EC2 API, CreateLaunchTemplateVersion), unless it exists."""
    known = _since(calls, release)
    ours = next((version for version in known if _is_ours(version, release)), None)
    if ours is not None:
        return {"template_version": ours["VersionNumber"]}
    source = release.source_version
    said: Answer = next((v["LaunchTemplateData"] for v in known if str(v["VersionNumber"]) == source), {})
    answer = calls.ec2.create_launch_template_version(
        LaunchTemplateId=release.template,
        SourceVersion=source,
        VersionDescription=release.mark,
        LaunchTemplateData={"ImageId": release.image, **_snapshots(said)},
        ClientToken=_token(release),
    )
    return {"template_version": answer["LaunchTemplateVersion"]["VersionNumber"]}


def _snapshots(said: Answer) -> dict[str, Any]:
    """Snapshots in the block device mapping are not inherited unless they are said again (same page of the API)."""
    mapping = said.get("BlockDeviceMappings", [])
    named = any("SnapshotId" in device.get("Ebs", {}) for device in mapping)
    return {"BlockDeviceMappings": mapping} if named else {}


def _token(release: Release) -> str:
    """One token a release, also when a new journal begins its numbers again."""
    return hashlib.sha256(f"{release.mark} {release.started_at} {release.image}".encode()).hexdigest()


def set_default(calls: Calls, release: Release) -> Made:
    """Make our version the default (EC2 API, ModifyLaunchTemplate), unless that is others' matter by now."""
    assert release.template_version is not None
    template = release.template
    if why := _default_of_others(calls, release):
        what = f"the default version of the launch template {template} stays as it is: {why}"
        raise AwsError(what, code="DefaultOfOthers", operation="ModifyLaunchTemplate")
    calls.ec2.modify_launch_template(LaunchTemplateId=template, DefaultVersion=str(release.template_version))
    return {}


def _default_of_others(calls: Calls, release: Release) -> str:
    """Who has set it, or has begun to follow it, since the release was started; "" when nobody has."""
    template = look(calls, release.template)
    now = template.default if release.default_version else 0
    if now not in (release.default_version, release.template_version):
        return f"someone made version {now} the default"
    others = [name for name in _others_on(calls, release, template, DEFAULT) if name != release.blue_group]
    if others and "shared_template" not in (release.config.get("allow") or ()):
        return f"{', '.join(others)} launches by it"
    return ""


def delete(calls: Calls, release: Release) -> Made:
    """Delete our version, and never one that is the default (EC2 API, DeleteLaunchTemplateVersions)."""
    template = look(calls, release.template, release)
    if template.ours is None:
        return {}
    if template.ours == template.default:
        raise _kept(template.ours, template.id, "is the default one", "VersionIsDefault")
    if others := _others_on(calls, release, template, str(template.ours)):
        raise _kept(template.ours, template.id, f"{', '.join(others)} launches from it", "VersionInUse")
    answer = calls.ec2.delete_launch_template_versions(LaunchTemplateId=template.id, Versions=[str(template.ours)])
    for refused in answer.get("UnsuccessfullyDeletedLaunchTemplateVersions", []):
        said = refused.get("ResponseError", {})
        raise _kept(template.ours, template.id, said.get("Message", "was not deleted"), said.get("Code", "NotDeleted"))
    return {}


def drop(calls: Calls, release: Release, numbers: Collection[int]) -> Made:
    """Delete these versions (EC2 API, DeleteLaunchTemplateVersions: 200 a call); those that are gone count as deleted.

    What became the default or the latest version since it was looked at stays.
    """
    template, known = release.template, _all(calls, release.template)
    there = {version["VersionNumber"]: version for version in known if version["VersionNumber"] in numbers}
    if foreign := [number for number, version in there.items() if not _of_service(version, release.service)]:
        raise _kept(foreign[0], template, f"is not of {release.service}, so bluegreen keeps it", "NotOurs")
    gone = sorted(there.keys() - _never_dropped(known, release))
    if gone:
        answer = calls.ec2.delete_launch_template_versions(LaunchTemplateId=template, Versions=list(map(str, gone)))
        for refused in answer.get("UnsuccessfullyDeletedLaunchTemplateVersions", []):
            said = refused.get("ResponseError", {})
            if said.get("Code") != GONE_VERSION:
                number, why = refused.get("VersionNumber", 0), said.get("Message", "was not deleted")
                raise _kept(number, template, why, said.get("Code", "NotDeleted"))
    return {"versions": tuple(gone)}


# --- which may be dropped ------------------------------------------------------------------------


def beyond(calls: Calls, release: Release, images: Collection[str], keep: int) -> list[Answer]:
    """Versions of the release's template that releases of the service made, and that are not to be kept, oldest first.

    Kept are the newest `keep` of them, the newest with each of these images, and what is default, latest, or blue's.
    """
    known = _all(calls, release.template)
    ours = sorted((one for one in known if _of_service(one, release.service)), key=_number, reverse=True)
    newest_with = {one["LaunchTemplateData"].get("ImageId"): _number(one) for one in reversed(ours)}
    kept = {number for image, number in newest_with.items() if image in images}
    kept |= {*map(_number, ours[:keep]), *_never_dropped(known, release)}
    return [one for one in reversed(ours) if _number(one) not in kept]


def unused(calls: Calls, old: Sequence[Answer], followed: Iterable[Reference]) -> tuple[int, ...]:
    """Numbers of those of these versions that nobody is on, and that no instance was launched from.

    `followed`: what every group and fleet launches from.
    """
    template = Template(old[0]["LaunchTemplateId"], 0, 0, name=old[0].get("LaunchTemplateName", ""))
    numbers = list(map(_number, old))
    used = {*versions_of(template, followed), *_of_instances(calls, template.id, numbers)}
    return tuple(number for number in numbers if str(number) not in used)


def _of_instances(calls: Calls, template: str, numbers: Collection[int]) -> Iterator[str]:
    """Versions that an existing instance was launched from, by the tags that EC2 gives it."""
    wanted = list(map(str, numbers))
    for n in range(0, len(wanted), FILTER_VALUES):
        of = {"Name": f"tag:{MADE_FROM}:id", "Values": [template]}
        version = {"Name": f"tag:{MADE_FROM}:version", "Values": wanted[n : n + FILTER_VALUES]}
        for page in calls.ec2.get_paginator("describe_instances").paginate(Filters=[of, version]):
            for one in (i for row in page["Reservations"] for i in row["Instances"]):
                if one["State"]["Name"] != "terminated":
                    yield next(tag["Value"] for tag in one["Tags"] if tag["Key"] == f"{MADE_FROM}:version")


def _of_service(version: Answer, service: str) -> bool:
    """Whether a release of the service made it, by its description (`Release.mark`): versions bear no tags."""
    said = str(version.get("VersionDescription", ""))
    return re.fullmatch(rf"{re.escape(service)}#\d+( [0-9a-f]+)?", said) is not None


def _never_dropped(known: list[Answer], release: Release) -> set[int]:
    """The default and the latest version, this release's own, and the one that it was made from."""
    default = {_number(one) for one in known if one.get("DefaultVersion")}
    own = {release.template_version or 0, int(release.source_version)}
    return {*default, *own, max(map(_number, known), default=0)}


def _number(version: Answer) -> int:
    return int(version["VersionNumber"])


def _others_on(calls: Calls, release: Release, template: Template, version: str) -> list[str]:
    """Names of the groups and fleets on this version; of green not, which may be shown although it is gone."""
    pages = calls.autoscaling.get_paginator("describe_auto_scaling_groups").paginate()
    everything = (group for page in pages for group in page["AutoScalingGroups"])
    groups = ((one["AutoScalingGroupName"], tuple(references(one))) for one in everything)
    on = (*groups, *((one.name, one.references) for one in every_fleet(calls) or ()))
    found = [name for name, references_ in on if version in versions_of(template, references_)]
    return sorted(name for name in found if name != release.green_group)


def versions_of(template: Template, references: Iterable[tuple[str, str]]) -> list[str]:
    """Of these references the versions of this template, whether they name it by its id or its name."""
    return [version for named, version in references if named and named in (template.id, template.name)]


def _kept(version: int, template: str, why: str, said: str) -> AwsError:
    what = f"version {version} of the launch template {template}: {why}"
    return AwsError(what, code=said, operation="DeleteLaunchTemplateVersions")
