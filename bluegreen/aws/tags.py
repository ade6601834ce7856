"""The tags that everything of ours has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bluegreen.release import Release

SERVICE, RELEASE, COMMIT = "bluegreen:service", "bluegreen:release", "bluegreen:commit"
#: What became of an image: `live` once a release with it went live, so it is one to return to.
OUTCOME, LIVE = "bluegreen:outcome", "live"
#: A random word of the release, which no other release bears: by it what was made is known as its own.
OWNER = "bluegreen:token"
#: Of a group whose settings a release has changed and will put back: that release's mark (`Release.mark`).
HELD = "bluegreen:held-by"


#: What green bears of ours, and of that what its instances do.
OF_INSTANCES = (SERVICE, RELEASE, COMMIT, OWNER)
OF_GREEN = (*OF_INSTANCES, HELD)


def ours(release: Release) -> dict[str, str]:
    """The tags of everything that a release makes."""
    token = {OWNER: release.token} if release.token else {}
    return {SERVICE: release.service, RELEASE: release.id, COMMIT: release.commit, **token}


def owned(tags: Iterable[Any] | None, release: Release) -> bool:
    """Whether this release made the resource with these tags (see `Release.owns`)."""
    borne = as_dict(tags)
    return release.owns(borne.get(RELEASE, ""), borne.get(OWNER, ""))


def maker(tags: Iterable[Any] | None) -> str:
    """Who made the resource with these tags, for people."""
    return as_dict(tags).get(RELEASE) or "someone else"


def as_list(tags: dict[str, str]) -> list[dict[str, str]]:
    """Tags as EC2 takes them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def as_dict(tags: Iterable[Any] | None) -> dict[str, str]:
    """Tags as EC2 and EC2 Auto Scaling show them."""
    return {tag["Key"]: tag.get("Value", "") for tag in tags or ()}
