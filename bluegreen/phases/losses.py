"""What AWS takes of green, and what that says of the version: nothing, while those that remain are well.

An instance that is ill is the version's fault: it runs, and its target is unhealthy. One that AWS took (spot capacity,
failed hardware, a rebalance) runs no more; so `aws` finds it, by EC2's state or by the cause of its termination.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bluegreen.observation import Group, Observation
from bluegreen.release import TAKEN, Phase, Release


@dataclass(frozen=True)
class Loss:
    """Instances of green that AWS took and that are not replaced yet. Ids; `since`: epoch seconds."""

    taken: tuple[str, ...]  # in this release, replaced ones, too
    remain: tuple[str, ...]  # who was there and is judged; whoever comes in place of those taken boots at first
    since: float


def needed(release: Release, seen: Observation) -> int:
    """How many of green must be healthy: of one that grows, those who were there; who boots is no loss."""
    size = release.grew_from if release.growing else release.size
    if release.phase is Phase.RETIRING and seen.green:
        return min(size, seen.green.desired)  # it may scale again
    return size


def loss(release: Release, seen: Observation) -> Loss | None:
    """What AWS took and has not replaced; None when enough of green serve, or something else is the matter."""
    if seen.green is None or len(seen.serving(seen.green)) >= needed(release, seen):
        return None
    before = release.sights.get(TAKEN, {"value": "", "instances": [], "remain": [], "since": seen.at})
    known, open_ = set(before["instances"]), bool(before["value"])
    new = set(seen.taken) - known
    if not new:
        return Loss(tuple(before["instances"]), tuple(before["remain"]), before["since"]) if open_ else None
    kept = {*before["remain"], *seen.serving(seen.green)} if open_ else _there(seen, seen.green)
    since = before["since"] if open_ else seen.at
    return Loss(tuple(sorted(known | new)), tuple(sorted(kept - known - new)), since)


def _there(seen: Observation, green: Group) -> set[str]:
    """Who is in service, and no newcomer: one that came in place of what was taken may be there by now."""
    new = {id_ for arn in seen.home(green) for id_, state in seen.targets[arn].items() if state == "initial"}
    return {one.id for one in green.instances if one.lifecycle == "InService"} - new


def judged_well(release: Release, seen: Observation) -> tuple[bool, str]:
    """Whether green's targets are as they must be, and in a few words how they are."""
    serving, gone = seen.serving(seen.green), loss(release, seen)
    said = f"{len(serving)} of {release.size} healthy"
    if gone is None:
        return len(serving) >= needed(release, seen), said
    return set(gone.remain) <= set(serving), f"{said}, the others were taken by AWS and are not replaced yet"


def noticed_losses(release: Release, seen: Observation) -> list[dict[str, Any]]:
    """Facts of the `observed` event: when something is taken, and when it has been replaced."""
    gone, before = loss(release, seen), release.sights.get(TAKEN)
    if gone is not None:
        named = ", ".join(one for one in gone.taken if not before or before["value"] or one not in before["instances"])
        facts = {"instances": list(gone.taken), "remain": list(gone.remain), "since": gone.since}
        return [{"subject": TAKEN, "value": f"AWS took {named} of {release.green_group}", **facts}]
    if before and before["value"] and seen.green and len(seen.serving(seen.green)) >= needed(release, seen):
        return [{**before, "value": "", "remain": []}]
    return []
