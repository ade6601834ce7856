"""Images: found, made, and dropped when they are neither new nor in use."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from bluegreen.aws import builder, tags, templates
from bluegreen.aws.calls import Answer, Calls
from bluegreen.aws_errors import code, lacking
from bluegreen.config import Config
from bluegreen.errors import AwsError, ConfigError
from bluegreen.events import Made
from bluegreen.observation import Image
from bluegreen.release import Release

SSM = "resolve:ssm:"
#: DescribeInstances takes this many values a filter (EC2 API, filters).
FILTER_VALUES = 200


def look(calls: Calls, release: Release) -> Image | None:
    """The image of the release: the one it was given or made, or one of the same service and commit."""
    known = release.image or release.made_image
    if known:
        return _seen(_of_id(calls, known))
    images = _own(calls, {tags.SERVICE: release.service, tags.COMMIT: release.commit})
    made = [image for image in images if tags.owned(image.get("Tags"), release)]
    return _seen(made[0] if made else _newest_available(images))


def progress(calls: Calls, release: Release) -> int | None:
    """Percent of the release's snapshots that AWS has copied, in tens; None when that is unknown or denied.

    The image is available soon after the last one (EC2 API, DescribeSnapshots, Progress).
    """
    filters = [{"Name": f"tag:{key}", "Values": [value]} for key, value in tags.ours(release).items()]
    try:
        shown = _pages(calls, "describe_snapshots", "Snapshots", OwnerIds=["self"], Filters=filters)
    except ClientError as error:
        if lacking(error):
            return None
        raise
    copied = [int(one["Progress"].removesuffix("%")) for one in shown if one.get("Progress", "").endswith("%")]
    return sum(copied) // len(copied) // 10 * 10 if copied else None


def _seen(image: Answer | None) -> Image | None:
    if image is None:
        return None
    marks = tags.as_dict(image.get("Tags"))
    return Image(
        id=image["ImageId"],
        name=image.get("Name", ""),
        state=image["State"],
        reason=image.get("StateReason", {}).get("Message", ""),
        tagged_release=marks.get(tags.RELEASE, ""),
        commit=marks.get(tags.COMMIT, ""),
        token=marks.get(tags.OWNER, ""),
        good=_went_live(image),
    )


def _of_id(calls: Calls, id_: str) -> Answer | None:
    """The image, None when AWS does not show it (EC2 API, DescribeImages)."""
    try:
        found = calls.ec2.describe_images(ImageIds=[id_])["Images"]
    except ClientError as error:
        if code(error) in ("InvalidAMIID.NotFound", "InvalidAMIID.Unavailable", "InvalidAMIID.Malformed"):
            return None
        raise
    return found[0] if found else None


def _own(calls: Calls, wanted: dict[str, str]) -> list[Answer]:
    """Own images with all these tags, oldest first."""
    filters = [{"Name": f"tag:{key}", "Values": [value]} for key, value in wanted.items()]
    images = _pages(calls, "describe_images", "Images", Owners=["self"], Filters=filters)
    return sorted(images, key=lambda image: str(image.get("CreationDate", "")))


def named(calls: Calls, patterns: list[str]) -> list[Answer]:
    """Own images whose names match one of the patterns, which may hold `*`."""
    filters = [{"Name": "name", "Values": patterns}]
    return _pages(calls, "describe_images", "Images", Owners=["self"], Filters=filters)


def _pages(calls: Calls, operation: str, member: str, **wanted: Any) -> list[Answer]:
    pages = calls.ec2.get_paginator(operation).paginate(**wanted)
    return [item for page in pages for item in page[member]]


def _newest_available(images: list[Answer]) -> Answer | None:
    return next((image for image in reversed(images) if image["State"] == "available"), None)


# --- before a release ----------------------------------------------------------------------------


def given(calls: Calls, ami: str, where: str) -> str:
    """Id of the image that is named by its id or by an SSM parameter; it must be available."""
    id_ = _parameter(calls, ami, where) if ami.startswith(SSM) else ami
    image = _of_id(calls, id_)
    if image is None:
        hint = "Correct the id, or share the image with this account."
        raise ConfigError(f"there is no image `{id_}` {calls.place}", where=where, hint=hint)
    if image["State"] != "available":
        raise ConfigError(f"the image {id_} is {image['State']}", where=where, hint="Release it once it is available.")
    return id_


def _parameter(calls: Calls, ami: str, where: str) -> str:
    name = ami.removeprefix(SSM)
    try:
        return str(calls.ssm.get_parameter(Name=name)["Parameter"]["Value"])
    except ClientError as error:
        if code(error) not in ("ParameterNotFound", "ParameterVersionNotFound", "ValidationException"):
            raise
        what = f"there is no SSM parameter `{name}` {calls.place}"
        raise ConfigError(what, where=where, hint="Correct the name, or create it.") from error


def available(calls: Calls, ids: Iterable[str]) -> dict[str, Image]:
    """Those of these images that can be launched, by id (EC2 API, DescribeImages: by a filter none is missed)."""
    filters = [{"Name": "image-id", "Values": sorted(ids)}, {"Name": "state", "Values": ["available"]}]
    seen = [_seen(image) for image in _pages(calls, "describe_images", "Images", Filters=filters)]
    return {image.id: image for image in seen if image is not None}


def of_service(calls: Calls, service: str) -> tuple[Image, ...]:
    """The service's own images that can be launched, the newest first."""
    found = (_seen(image) for image in reversed(_own(calls, {tags.SERVICE: service})))
    return tuple(image for image in found if image is not None and image.state == "available")


def of_commit(calls: Calls, service: str, commit: str) -> str:
    """Id of an available image of the service and commit from an earlier release, "" if no such image exists."""
    image = _newest_available(_own(calls, {tags.SERVICE: service, tags.COMMIT: commit})) if commit else None
    return str(image["ImageId"]) if image else ""


# --- acting --------------------------------------------------------------------------------------


def make(calls: Calls, release: Release) -> Made:
    """Make the image of the stopped builder (EC2 API, CreateImage); an existing one with our name and token counts."""
    there = _named(calls, release)
    if there is not None:
        return {"image": there}
    builder.must_be_stopped(calls, release)
    marked = tags.as_list({"Name": release.image_name, **tags.ours(release)})
    try:
        answer = calls.ec2.create_image(
            InstanceId=release.builder,
            Name=release.image_name,
            Description=f"bluegreen release {release.id}",
            TagSpecifications=[{"ResourceType": kind, "Tags": marked} for kind in ("image", "snapshot")],
        )
    except ClientError as error:
        if code(error) != "InvalidAMIName.Duplicate":
            raise
        return {"image": _named(calls, release) or _unseen(release)}
    return {"image": answer["ImageId"]}


def _named(calls: Calls, release: Release) -> str | None:
    """Id of our image by name; AwsError when the name belongs to somebody else's."""
    filters = [{"Name": "name", "Values": [release.image_name]}]
    images = calls.ec2.describe_images(Owners=["self"], Filters=filters)["Images"]
    if not images:
        return None
    ours = [image for image in images if tags.owned(image.get("Tags"), release)]
    if not ours:
        taken = f"{images[0]['ImageId']} of {tags.maker(images[0].get('Tags'))}"
        what = f"the image name {release.image_name} is taken by {taken}, which bluegreen leaves as it is"
        hint = "Release again: the next release has another name."
        raise AwsError(what, code="InvalidAMIName.Duplicate", operation="CreateImage", hint=hint)
    return str(ours[0]["ImageId"])


def _unseen(release: Release) -> str:
    what = f"AWS says that the image {release.image_name} exists, but does not show it yet"
    raise AwsError(what, code="InvalidAMIName.Duplicate", operation="CreateImage", transient=True)


def mark_live(calls: Calls, release: Release) -> Made:
    """Tag the image as one that went live, so that it is kept before others; one made elsewhere is left as it is."""
    image = _of_id(calls, release.image)
    ours = image is not None and tags.as_dict(image.get("Tags")).get(tags.SERVICE) == release.service
    if image is not None and ours and not _went_live(image):
        calls.ec2.create_tags(Resources=[release.image], Tags=tags.as_list({tags.OUTCOME: tags.LIVE}))
    return {"image": release.image}


def drop(calls: Calls, release: Release, id_: str) -> Made:
    """Deregister one image of this service with its snapshots (EC2 API, DeregisterImage)."""
    image = _of_id(calls, id_)
    if image is None:
        return {"image": id_}
    if tags.as_dict(image.get("Tags")).get(tags.SERVICE) != release.service:
        what = f"the image {id_} is not of {release.service}, so bluegreen keeps it"
        raise AwsError(what, code="NotOurs", operation="DeregisterImage")
    # A snapshot that belongs to another image too is kept by AWS.
    calls.ec2.deregister_image(ImageId=id_, DeleteAssociatedSnapshots=True)
    return {"image": id_}


# --- which may be dropped ------------------------------------------------------------------------


@dataclass(frozen=True)
class Spare:
    """Images (ids) and versions of blue's template (numbers) that are neither to be kept nor used, oldest first."""

    images: tuple[str, ...] = ()
    versions: tuple[int, ...] = ()

    def without(self, image: str, versions: Collection[int]) -> Spare:
        """When these are gone."""
        return Spare(
            tuple(id_ for id_ in self.images if id_ != image),
            tuple(number for number in self.versions if number not in versions),
        )


NO_SPARE = Spare()


def spare(calls: Calls, release: Release, config: Config, groups: Collection[Answer]) -> Spare:
    """Images of this service, and versions of the template that its releases made, that may be dropped.

    `groups`: every group of the account. `keep` counts images that went live before all others.
    """
    own, keep = _own(calls, {tags.SERVICE: release.service}), config.image.keep
    failed = [image["ImageId"] for image in own if image["State"] in ("failed", "error", "invalid")]
    beyond = [*failed, *_beyond(own, release, keep)]
    kept = [image["ImageId"] for image in own if image["ImageId"] not in beyond]
    old = templates.beyond(calls, release, kept, keep)
    fleets = templates.every_fleet(calls) if beyond or old else ()
    if fleets is None:
        return Spare()  # what they launch cannot be seen
    followed = [
        *(one for group in groups for one in templates.references(group)),
        *(one for fleet in fleets for one in fleet.references),
    ]
    configured = templates.configured_images(calls, groups) if beyond else ()
    if configured is None:
        beyond = []  # nor can what those groups launch be seen
    named = {
        *(configured or ()),
        *templates.images_in(list(groups)),
        *(one for fleet in fleets for one in fleet.images),
    }
    images = _unused(calls, release, followed, [id_ for id_ in beyond if id_ not in named])
    return Spare(images, templates.unused(calls, old, followed) if old else ())


def _unused(calls: Calls, release: Release, followed: list[tuple[str, str]], ids: list[str]) -> tuple[str, ...]:
    if not ids:
        return ()
    used = {release.image} | _of_templates(calls, release, followed, ids) | _of_instances(calls, ids)
    ids = [id_ for id_ in ids if id_ not in used]
    used = templates.standing_images(calls, ids)
    return tuple(id_ for id_ in ids if id_ not in used and not _shared(calls, id_))


def _beyond(images: list[Answer], release: Release, keep: int) -> list[str]:
    """Of the whole ones all but the newest to be kept, oldest first; those that never went live go first."""
    whole = [image for image in images if image["State"] == "available"]
    good = [image for image in whole if _went_live(image) or image["ImageId"] == release.image]
    ranked = [*(image for image in whole if image not in good), *good]
    spare = ranked[: max(len(ranked) - keep, 0)]
    return [image["ImageId"] for image in whole if image in spare]


def _went_live(image: Answer) -> bool:
    return tags.as_dict(image.get("Tags")).get(tags.OUTCOME) == tags.LIVE


def _shared(calls: Calls, id_: str) -> bool:
    """Whether another account may launch it: what it does there cannot be seen. Nor can it where we may not ask."""
    try:
        answer = calls.ec2.describe_image_attribute(ImageId=id_, Attribute="launchPermission")
    except ClientError as error:
        if code(error) in ("InvalidAMIID.NotFound", "InvalidAMIID.Unavailable", "UnauthorizedOperation"):
            return True
        raise
    return bool(answer.get("LaunchPermissions"))


def _of_instances(calls: Calls, images: list[str]) -> set[str]:
    """Those images that an existing instance was launched from; a stopped one may be started again."""
    found: set[str] = set()
    for n in range(0, len(images), FILTER_VALUES):
        filters = [{"Name": "image-id", "Values": images[n : n + FILTER_VALUES]}]
        for reservation in _pages(calls, "describe_instances", "Reservations", Filters=filters):
            found |= {i["ImageId"] for i in reservation["Instances"] if i["State"]["Name"] != "terminated"}
    return found


def _of_templates(calls: Calls, release: Release, followed: list[tuple[str, str]], spare: list[str]) -> set[str]:
    """Those images that a group or fleet may launch: by the template version that it is on, in whatever way it says so.

    Of the templates that they are on, also those of the default and the latest version, and of each that somebody
    else made.
    """
    wanted: dict[str, set[str]] = {}
    if release.blue is not None:
        wanted[release.template] = {release.source_version}
    for template, version in followed:
        wanted.setdefault(template, set()).add(version)
    used: set[str] = set()
    for template, versions in wanted.items():
        left = [id_ for id_ in spare if id_ not in used]
        used |= templates.naming(calls, template, versions, left, f"{release.service}#") if left else set()
    return used
