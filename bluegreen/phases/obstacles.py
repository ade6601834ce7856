"""What is in the way of a wait, and does not pass by itself; and whom a person's hand left outside. By id and state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from bluegreen.aws_commands import terminate
from bluegreen.events import DETACHED, HELD, PARKED, Detached, Parked, SubjectState
from bluegreen.observation import IN_TRAFFIC, UNHEALTHY, Group, Observation
from bluegreen.release import Release, agreeing

#: So many instances are named; of a large group the others are counted.
NAMED = 5

_END = (
    "terminate it (aws autoscaling terminate-instance-in-auto-scaling-group --instance-id {id} "
    "--no-should-decrement-desired-capacity)"
)
_PUT_BACK = (
    "return it to service (aws autoscaling exit-standby --auto-scaling-group-name {group} --instance-ids {ids}) or "
    + _END
)
_WAYS: Mapping[str, str] = {"EnteringStandby": _PUT_BACK, "Standby": _PUT_BACK}


def in_the_way(group: Group | None) -> str:
    """Who stays as it is until a person acts, in what state, and the command that ends it; empty for nobody."""
    if group is None:
        return ""
    states = {i.lifecycle for i in group.instances if i.parked}
    return "; ".join(_said(group, state) for state in sorted(states))


def with_who_is_in_the_way(said: str, group: Group | None) -> str:
    """The message, followed by the instances that block it."""
    cause = in_the_way(group)
    return f"{said}; {cause}" if cause else said


def with_who_is_unhealthy(said: str, seen: Observation, group: Group | None) -> str:
    """The message, followed by the instances that are unhealthy while others of the group are well.

    AWS replaces them if the group has the load balancer's health checks. Where all are unhealthy, that helps nobody.
    """
    if group is None or not seen.serving(group):
        return said
    home = [seen.targets.get(arn, {}) for arn in seen.home(group)]
    unhealthy = [id_ for id_ in group.in_service if any(states.get(id_) == UNHEALTHY for states in home)]
    return f"{said}; {_named(unhealthy, group, UNHEALTHY)}: {_END.format(id=unhealthy[0])}" if unhealthy else said


def _said(group: Group, state: str) -> str:
    ids = [i.id for i in group.instances if i.lifecycle == state]
    way = _WAYS.get(state, _END).format(group=group.name, ids=" ".join(ids[:NAMED]), id=ids[0])
    return f"{_named(ids, group, f'in {state}')}: {way}"


def _named(ids: list[str], group: Group, how: str) -> str:
    more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
    return f"{', '.join(ids[:NAMED])}{more} of {group.name} {agreeing(len(ids))} {how}"


def seen_in_the_way(release: Release, seen: Observation) -> Iterator[SubjectState]:
    """What the `observed` events record: who is parked, whom a hook holds, and who was detached; "" once it is over."""
    for which, group in (("blue", seen.blue), ("green", seen.green)):
        for subject, say in _SUBJECTS.items():
            name, value = f"{subject} {which}", say(release, group)
            if value or name in release.observed:
                ids = tuple(i.id for i in group.instances if i.parked) if group else ()
                yield Parked(name, value, ids) if subject == PARKED else SubjectState(name, value)
    yield from _seen_detached(release, seen)


def _seen_detached(release: Release, seen: Observation) -> Iterator[SubjectState]:
    for which, name in (("blue", release.blue_group), ("green", release.green_group)):
        ids, subject = seen.detached.get(name, ()), DETACHED[which]
        if ids:
            value = f"{', '.join(ids)}, detached from {name}, still running outside of every group"
            yield Detached(subject, value, tuple(ids))
        elif name in seen.detached and subject in release.observed:
            yield Detached(subject)


def left_outside(release: Release, seen: Observation | None, *staying: Group | None) -> Iterator[str]:
    """Whom a person's hand left out of service, and the command that ends each; never one that gets traffic.

    Of those in a group only of the groups that are `staying`: the others go with theirs.
    """
    for name in (release.blue_group, release.green_group):
        idle = [id_ for id_ in release.detached(name) if not _gets_traffic(seen, id_)]
        if idle:
            said = f"instance {', '.join(idle)}, detached from {name}, still running outside of every group"
            yield f"{said}: {terminate(idle)}"
    yield from (f"instance {cause}" for cause in map(in_the_way, staying) if cause)


def _gets_traffic(seen: Observation | None, id_: str) -> bool:
    return seen is not None and any(members.get(id_) in IN_TRAFFIC for members in seen.targets.values())


def _held(release: Release, group: Group | None) -> str:
    """Without ids: each instance of a group goes through its hooks, and an event for each would be too many."""
    states = sorted({i.lifecycle for i in group.instances if i.lifecycle.endswith(":Wait")}) if group else []
    if group is None or not states:
        return ""
    by_name = release.blue.hooks if release.blue and states == ["Terminating:Wait"] else ()
    hook = " and ".join(by_name) or "a lifecycle hook"
    return f"{hook} holds instances of {group.name} ({', '.join(states)})"


_SUBJECTS: Mapping[str, Callable[[Release, Group | None], str]] = {
    PARKED: lambda release, group: in_the_way(group),
    HELD: _held,
}
