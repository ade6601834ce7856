"""What AWS or a person takes of green. It does not count against the version while the other instances are healthy.

An unhealthy instance is the version's fault: it runs, and its target is unhealthy. An instance that AWS took (spot
capacity, failed hardware, a rebalance) has stopped; `aws` recognises it by EC2's state or the cause of its termination.
One that a person put into Standby or detached still runs; its lifecycle or its group's activities show that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from bluegreen.events import PARKED, TAKEN, Phase, Reason, SubjectState, Taken
from bluegreen.observation import TARGETS, Group, Observation
from bluegreen.phases.obstacles import in_the_way
from bluegreen.release import Release, agreeing


@dataclass(frozen=True)
class Loss:
    """Instances of green that are gone and not replaced yet. Ids; `since`: epoch seconds."""

    taken: tuple[str, ...]  # in this release, replaced ones, too
    missing: tuple[str, ...]  # those of them who are not replaced yet
    by_hand: tuple[str, ...]  # those of the missing that a person set aside or detached
    remain: tuple[str, ...]  # who was there and is judged; whoever comes in place of those taken boots at first
    since: float

    @property
    def reason(self) -> Reason:
        """Why a release goes back that waited in vain for them: neither speaks against the version."""
        return Reason.CHANGED_OUTSIDE if self.by_hand else Reason.LAUNCH_LATE

    def named(self, green: Group | None) -> str:
        """Who took whom, in a clause, with how those come to an end that are still set aside."""
        cause = in_the_way(green) if self.by_hand else ""
        return _taken_by(self.missing, self.by_hand, "green") + (f" ({cause})" if cause else "")


def _taken_by(taken: Iterable[str], by_hand: Iterable[str], whose: str) -> str:
    """Who took whom."""
    hand = [one for one in taken if one in by_hand]
    aws = [one for one in taken if one not in hand]
    said = [f"AWS took {', '.join(aws)} of {whose}"] if aws else []
    said += [f"{', '.join(hand)} of {whose} {agreeing(len(hand), 'was', 'were')} set aside by a person"] if hand else []
    return " and ".join(said)


def needed(release: Release, seen: Observation) -> int:
    """How many of green must be healthy: of one that grows, those who were there; who boots is no loss."""
    size = release.grew_from if release.growing else release.size
    if release.phase is Phase.RETIRING and seen.green:
        return min(size, seen.green.desired)  # it may scale again
    return size


def loss(release: Release, seen: Observation) -> Loss | None:
    """What was taken and is not replaced; None when enough of green serve, or something else is the matter."""
    if seen.green is None or _whole(release, seen, seen.green):
        return None
    before = release.taken or Taken(TAKEN, since=seen.at)
    known, open_ = set(before.instances), bool(before.value)
    hand = _new_by_hand(seen, seen.green, release, known)
    new = (set(seen.taken) - known) | hand
    if not (new or open_):
        return None
    missing, by_hand, remain = _open(before) if open_ else (set(), set(), set())
    kept = remain if not new else {*remain, *_up(seen, seen.green)} if open_ else _there(seen, seen.green)
    return Loss(
        taken=tuple(sorted(known | new)),
        missing=tuple(sorted(missing | new)),
        by_hand=tuple(sorted(by_hand | hand)),
        remain=tuple(sorted(kept - known - new)),
        since=before.since if open_ else seen.at,
    )


def _open(before: Taken) -> tuple[set[str], set[str], set[str]]:
    """Who is missing, who of them by hand, and who remains."""
    missing = before.instances if before.missing is None else before.missing
    return set(missing), set(before.by_hand or ()), set(before.remain)


def _new_by_hand(seen: Observation, green: Group, release: Release, known: Collection[str]) -> set[str]:
    """Whom a person set aside since the last look, or detached; one may be put back, and set aside once more."""
    parked = set(release.aside(f"{PARKED} green"))
    aside = {one.id for one in green.instances if one.set_aside and one.id not in parked}
    leaving = {one.id for one in green.instances if one.set_aside and not one.parked}
    return (aside - leaving) | ((leaving | set(seen.detached.get(green.name, ()))) - set(known))


def _up(seen: Observation, green: Group) -> tuple[str, ...]:
    """Who serves or, before green is in any target group, who is in service."""
    return seen.serving(green) if seen.targets else green.in_service


def _whole(release: Release, seen: Observation, green: Group) -> bool:
    """Before green is in a target group nobody can tell whether who came in place of another has booted."""
    if not seen.targets and release.taken and release.taken.value:
        return False
    return len(_up(seen, green)) >= needed(release, seen)


def _there(seen: Observation, green: Group) -> set[str]:
    """Who is in service, and no newcomer: one that came in place of what was taken may be there by now."""
    new = {id_ for arn in seen.home(green) for id_, state in seen.targets[arn].items() if state == "initial"}
    return {one.id for one in green.instances if one.lifecycle == "InService"} - new


def judged_well(release: Release, seen: Observation) -> tuple[bool, str]:
    """Whether green's targets are as they must be, and in a few words how they are."""
    serving, gone = seen.serving(seen.green), loss(release, seen)
    wanted = max(release.size, seen.green.desired if seen.green else 0)  # it may have grown by a policy of its own
    said = f"{len(serving)} of {wanted} healthy"
    if gone is None:
        return len(serving) >= needed(release, seen), said
    state = release.checks.get(TARGETS)
    others = wanted - len(serving)
    well = set(gone.remain) <= set(serving) if gone.remain else bool(state and state.held)
    taken = f"{agreeing(others, 'was', 'were')} taken {'by hand' if gone.by_hand else 'by AWS'}"
    were = f"the {agreeing(others, 'other', 'others')} {taken} and {agreeing(others, 'has', 'have')}"
    return well, f"{said}, {were} no replacement yet"


def noticed_losses(release: Release, seen: Observation) -> list[SubjectState]:
    """What the `observed` event records: when something is taken, and when it has been replaced."""
    gone, before = loss(release, seen), release.taken or Taken(TAKEN, since=seen.at)
    if gone is not None:
        value = _taken_by(gone.missing, gone.by_hand, release.green_group)
        return [Taken(TAKEN, value, gone.taken, gone.remain, gone.since, gone.missing, gone.by_hand)]
    green = seen.green
    if green is None or not _whole(release, seen, green):
        return []
    aside = {one.id for one in green.instances if one.set_aside} - set(before.instances)
    if not aside and not before.value:
        return []
    return [replace(before, value="", instances=tuple(sorted({*before.instances, *aside})), remain=())]
