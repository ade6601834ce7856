"""What a release takes along of one that failed: who serves, what was pinned on it, what else is still there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bluegreen.aws_commands import delete_version, detach
from bluegreen.errors import Refused
from bluegreen.observation import Group, Observation
from bluegreen.release import Facts, Reason, Release, Verb

_DELETE = "delete-auto-scaling-group --force-delete"


def taken_along(failed: Release, seen: Observation) -> dict[str, Any]:
    """JSON-ready: `group` serves and is to be replaced, `before` is what it had unpinned, `left` what else is there.

    `left` holds one sentence a thing, with the command that removes it. Refused, with what to do by hand, when both
    groups are in the target groups: the other one would go on serving, or get green's share.
    """
    group, other = _who_serves(failed, seen)
    if other is not None and seen.registered(other):
        raise _still_in(failed, other, sorted(other.target_groups & set(failed.target_groups)))
    green_serves = group == failed.green_group
    return {
        "release": failed.id,
        "group": group,
        "before": _before(failed, green=green_serves),
        "left": list(_left(failed, other, green=green_serves)),
        "commit": failed.commit if green_serves else failed.blue_commit,
        "number": failed.number,
        "size": failed.size,
    }


def _who_serves(failed: Release, seen: Observation) -> tuple[str, Group | None]:
    """The group that gets all traffic, and the other one; of two that share it the one that serves better."""
    blue, green = (len(seen.serving(group)) for group in (seen.blue, seen.green))
    green_in, blue_in = (seen.green is not None and seen.in_traffic("green")), seen.in_traffic("blue")
    if green_in and (not blue_in or green > blue):
        return failed.green_group, seen.blue
    return failed.blue_group, seen.green


def _still_in(failed: Release, other: Group, arns: list[str]) -> Refused:
    what = f"{failed.id} failed and left {other.name} in the target groups, too"
    hint = f"Take it out, then order it again: `{detach(other.name, arns)}`."
    return Refused(what, reason=Reason.UNRESOLVED, where=failed.id, hint=hint)


def _before(failed: Release, *, green: bool) -> Facts:
    """What was not put back yet; green bears blue's sizes and processes once it is live."""
    blue, undone = failed.blue, failed.did
    if blue is None:
        return {}
    sizes: dict[str, Any] = {"minimum": blue.minimum, "maximum": blue.maximum}
    if not green:
        sizes |= {"template_version": blue.template_version}
    facts: dict[str, Any] = {} if (Verb.RESTORE_GREEN if green else Verb.UNPIN_BLUE) in undone else sizes
    resumed = (Verb.RESUME_GREEN if green else Verb.RESUME_BLUE) in undone
    return facts if resumed else {**facts, "suspended": list(blue.suspended)}


def _left(failed: Release, other: Group | None, *, green: bool) -> Iterator[str]:
    yield from failed.takes.get("left", ())
    if other is not None:
        kept = green and failed.config.get("retire") == "empty"
        what = "update-auto-scaling-group --min-size 0 --desired-capacity 0" if kept else _DELETE
        remove = f"aws autoscaling {what} --auto-scaling-group-name {other.name}"
        yield f"group {other.name} of {failed.id}, which served nobody when this began: {remove}"
    if not green and failed.template_version is not None and failed.blue is not None:
        template, number = failed.blue.template, failed.template_version
        yield f"version {number} of the launch template {template}: {delete_version(template, number)}"
