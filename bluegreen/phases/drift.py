"""Drift: what others may have changed during a release (S9). bluegreen reports it, and does not fight it."""

from __future__ import annotations

from collections import Counter

from bluegreen.events import Phase, Reason, Verb
from bluegreen.observation import Group, Observation
from bluegreen.phases.decision import Rest, Situation, halt
from bluegreen.phases.obstacles import with_who_is_in_the_way
from bluegreen.release import holder_of


def intruded(s: Situation) -> Rest | None:
    """Stop when something that we work on is not as we left it."""
    found = (
        not_ours(s)
        or held_by_another(s)
        or s.seen.refresh
        or _blue_changed(s)
        or _green_changed(s)
        or _routes_changed(s)
        or _weights_changed(s)
    )
    return halt(s, Reason.CHANGED_OUTSIDE, found) if found else None


def displaced(s: Situation) -> Rest | None:
    """While blue is retired: stop when somebody else took green's traffic away; sizes and blue are in motion then."""
    found = not_ours(s) or held_by_another(s) or s.seen.refresh or _green_left(s) or _weights_changed(s) or _strayed(s)
    return halt(s, Reason.CHANGED_OUTSIDE, found) if found else None


def not_ours(s: Situation) -> str:
    """The release made green, but the group with its name now belongs to another: the journal does not match AWS."""
    green = s.stranger
    if green is None or Verb.CREATE_GREEN not in s.release.did or _changes_hands(s):
        return ""
    made = f"of {green.release}" if green.release else "of someone else"
    return f"the group {green.name} is {made} and does not belong to this release, so bluegreen leaves it alone"


def _changes_hands(s: Situation) -> bool:
    """A group of a standing pair bears other marks before it is taken, and when it is given back."""
    return s.release.pair and (s.fresh(Verb.CREATE_GREEN) or s.began(Verb.RETURN_GREEN))


def held_by_another(s: Situation) -> str:
    """Another release began from our blue, or from our green: one of the two journals is not of this world any more."""
    for verb, group in ((Verb.PIN_BLUE, s.seen.blue), (Verb.CREATE_GREEN, s.seen.green)):
        if group is not None and s.settled(verb) and s.release.held_by_another(group.held_by):
            return f"the group {group.name} is held by {holder_of(group.held_by)} now, so bluegreen leaves it alone"
    return ""


def _strayed(s: Situation) -> str:
    """A group of an earlier release was put back: what it serves is not what was released."""
    sentences = (one for one in s.release.takes.get("left", ()) if isinstance(one, str))
    told = " ".join(sentences)  # of a cure by an older version, which took nobody out: it was there before
    found = [name for name in s.seen.strayed if name not in told]
    return f"the group {found[0]}, of an earlier release, is in the load balancer again" if found else ""


def beside(seen: Observation) -> str:
    """Who else serves where green does, in words; "" when green serves alone."""
    owners = Counter(seen.beside.values())
    said = [
        f"{count} of the group {name}" if name else f"{count} of no group" for name, count in sorted(owners.items())
    ]
    return f"{len(seen.beside)} other target{'s' if len(seen.beside) > 1 else ''} ({', '.join(said)})" if said else ""


def _blue_changed(s: Situation) -> str:
    blue, before = s.seen.blue, s.before
    if blue is None or blue.deleting:
        return f"the group {s.release.blue_group} was deleted"
    if not s.settled(Verb.PIN_BLUE):
        return ""
    if blue.desired < before.desired:
        return _shrunk(blue, before.desired)
    if blue.template_version != before.resolved_version:
        return f"{blue.name} was put on template version {blue.template_version} (it was on {before.resolved_version})"
    return _attachment_changed(s, blue)


def _attachment_changed(s: Situation, blue: Group) -> str:
    attached = set(s.release.blue_targets) <= blue.target_groups
    if not attached and not s.began(Verb.TAKE_BLUE_OUT):
        return f"{blue.name} was taken out of the load balancer"
    if s.settled(Verb.TAKE_BLUE_OUT) and s.release.phase is Phase.SOAKING and s.seen.in_traffic("blue"):
        return f"{blue.name} was put back into the load balancer"
    return ""


def _green_changed(s: Situation) -> str:
    return _green_left(s) or _green_resized(s)


def _green_left(s: Situation) -> str:
    green = s.seen.green
    if not s.settled(Verb.CREATE_GREEN):
        return ""
    if green is None or green.deleting:
        return f"the group {s.release.green_group} was deleted"
    if s.settled(Verb.JOIN_GREEN) and not set(s.release.green_targets) <= green.target_groups:
        return f"{green.name} was taken out of the load balancer"
    return ""


def _green_resized(s: Situation) -> str:
    """It may grow by its own policies, by its owner, or by those who leave Standby; it may not serve less than blue."""
    green = s.seen.green
    resizing = s.began(Verb.GROW_GREEN) and not s.settled(Verb.GROW_GREEN)
    if green is None or not s.settled(Verb.CREATE_GREEN) or resizing:
        return ""
    return "" if green.desired >= s.release.size else _shrunk(green, s.release.size)


def _shrunk(group: Group, size: int) -> str:
    return with_who_is_in_the_way(f"{group.name} was shrunk from {size} to {group.desired}", group)


def _weights_changed(s: Situation) -> str:
    """What AWS shows may lag behind a shift that was just made, or was made in part."""
    if s.release.rest and not s.settled(Verb.SHIFT):
        return ""  # they are as the release that failed left them
    fitting = {s.release.share} if s.settled(Verb.SHIFT) else {s.release.share, s.release.share_before}
    for listener, share in (s.seen.shares or {}).items():
        if share is None or share not in fitting:
            name = listener.rpartition(":")[2]
            found = "does not say what green gets" if share is None else f"gives green {share:g} % of the traffic"
            return f"{name} {found}; this release had set {s.release.share:g} %"
    return ""


def _routes_changed(s: Situation) -> str:
    routes = s.seen.routes
    if routes is None or not s.did(Verb.PIN_BLUE) or routes == s.before.routes:
        return ""
    return rerouted(s.before.routes, routes)


def rerouted(before: tuple[str, ...], now: tuple[str, ...]) -> str:
    """What was changed about how the load balancer reaches the target groups."""
    gone = "; ".join(sorted(set(before) - set(now))) or "nothing"
    come = "; ".join(sorted(set(now) - set(before))) or "nothing"
    return f"someone changed the load balancer: gone: {gone}; new: {come}"
