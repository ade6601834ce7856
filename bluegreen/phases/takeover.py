"""What a cure takes along of a release that failed: who serves, what was pinned on it, what else is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bluegreen.aws_commands import delete_group, delete_version, empty_group
from bluegreen.events import Facts, Outcome, Verb
from bluegreen.observation import Group, Observation
from bluegreen.release import Release


def taken_along(last: Release, seen: Observation) -> dict[str, Any]:
    """JSON-ready: `group` serves and is to be replaced, `before` is what it had unpinned.

    `rest` names who else is in the target groups, with the marks that prove it: a cure takes them out. `left` is what
    will be without use then, see `remaining`. What is not proved to be the service's own is in neither.
    """
    group, other = _who_serves(last, seen)
    green_serves = group == last.green_group
    crowd = [one for one in (other, *(seen.rest or ())) if one and one.name != group and seen.registered(one)]
    left = [*_known(last, group), *_left(last, other, green=green_serves)]
    return {
        "release": last.id,
        "group": group,
        "before": _before(last, seen, green=green_serves),
        "rest": [{"group": one.name, "release": one.release, "token": one.token} for one in crowd],
        "left": list({_key(one): one for one in left}.values()),
        "commit": last.commit if green_serves else last.blue_commit,
        "number": last.number,
        "size": last.size,
    }


def _who_serves(last: Release, seen: Observation) -> tuple[str, Group | None]:
    """The group that gets all traffic, and the other one; of two that share it the one that serves better."""
    own = seen.green if seen.green and last.owns(seen.green.release, seen.green.token) else None
    blue, green = (len(seen.serving(group)) for group in (seen.blue, own))
    green_in, blue_in = (own is not None and seen.in_traffic("green")), seen.in_traffic("blue")
    if green_in and (not blue_in or green > blue):
        return last.green_group, seen.blue
    return last.blue_group, own


def _before(failed: Release, seen: Observation, *, green: bool) -> Facts:
    """What was not put back yet; green bears blue's sizes and processes once it is live."""
    blue, undone, serves = failed.blue, failed.did, seen.green if green else seen.blue
    if blue is None or (serves is not None and not failed.holds(serves.held_by)):
        return {}
    sizes: dict[str, Any] = {"minimum": blue.minimum, "maximum": blue.maximum}
    if not green:
        sizes |= {"template_version": blue.template_version}
    facts: dict[str, Any] = {} if (Verb.RESTORE_GREEN if green else Verb.UNPIN_BLUE) in undone else sizes
    resumed = (Verb.RESUME_GREEN if green else Verb.RESUME_BLUE) in undone
    missed = {"schedules": list(blue.schedules), "scheduled_until": blue.scheduled_until}
    return facts if resumed else {**facts, "suspended": list(blue.suspended), **missed}


# --- what is left ----------------------------------------------------------------------------------


def _known(last: Release, serves: str) -> Iterator[Any]:
    """What was left before, but for who serves now."""
    yield from (one for one in last.takes.get("left", ()) if isinstance(one, str) or one["group"] != serves)


def _left(last: Release, other: Group | None, *, green: bool) -> Iterator[Facts]:
    if other is not None:
        yield {
            "group": other.name,
            "of": last.id,
            "keep": last.pair or (green and last.config.get("retire") == "empty"),
        }
    if not green and last.outcome is Outcome.FAILED and last.template_version is not None and last.blue is not None:
        version = {"template": last.template, "version": last.template_version}
        yield {"group": last.green_group, "of": last.id, **version}


def _key(one: Any) -> str:
    return one if isinstance(one, str) else f"{one['group']} {one.get('version', '')}"


def remaining(release: Release, seen: Observation | None = None) -> tuple[str, ...]:
    """What earlier releases left and this one took along, a sentence each, with the command that removes it.

    By what was `seen`: who is gone is not named, and who may get traffic is not named as safe to delete.
    """
    there = None if seen is None or seen.rest is None else {group.name: group for group in seen.rest}
    return tuple(said for one in release.takes.get("left", ()) if (said := _said(release, one, there)))


def _said(release: Release, one: Any, there: Mapping[str, Group] | None) -> str:
    """Of what older versions recorded the sentence stands there."""
    own = (release.blue_group, release.green_group) if release.pair else (release.blue_group,)
    if isinstance(one, str) or (one["group"] in own and "version" not in one) or one["group"] == release.blue_group:
        return one if isinstance(one, str) else ""
    name, in_traffic = one["group"], _may_serve(release, one["group"], there)
    if "version" in one:
        said = f"version {one['version']} of the launch template {one['template']}"
        return "" if in_traffic else f"{said}: {delete_version(one['template'], one['version'])}"
    if there is not None and name not in there:
        return ""
    if in_traffic:
        return f"group {name} of {one['of']}, which may get traffic: a release with `--cure` takes it out"
    remove = empty_group(name) if one["keep"] else delete_group(name)
    return f"group {name} of {one['of']}, which gets no traffic: {remove}"


def _may_serve(release: Release, name: str, there: Mapping[str, Group] | None) -> bool:
    if there is not None:
        return name in there and bool(there[name].target_groups & set(release.target_groups))
    return Verb.TAKE_REST_OUT not in release.did and any(one["group"] == name for one in release.rest)
