"""The tags that everything of ours bears."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bluegreen.release import Release

SERVICE, RELEASE, COMMIT = "bluegreen:service", "bluegreen:release", "bluegreen:commit"


def ours(release: Release) -> dict[str, str]:
    """The tags of everything that a release makes."""
    return {SERVICE: release.service, RELEASE: release.id, COMMIT: release.commit}


def as_list(tags: dict[str, str]) -> list[dict[str, str]]:
    """Tags as EC2 takes them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def as_dict(tags: Iterable[Any] | None) -> dict[str, str]:
    """Tags as EC2 and EC2 Auto Scaling show them."""
    return {tag["Key"]: tag.get("Value", "") for tag in tags or ()}
