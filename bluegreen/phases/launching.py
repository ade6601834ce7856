"""Launching and checking: make green, and judge it before it gets any traffic."""

from __future__ import annotations

from bluegreen.events import Act, Awaited, BlueBefore, IdleBefore, Phase, Reason, Verb
from bluegreen.observation import Group, busy, unsettled
from bluegreen.phases.checks import check_failed, checks_pending
from bluegreen.phases.decision import SETTLING, TRIES, Decision, Enter, RollBack, Situation, rest_out, woken
from bluegreen.phases.drift import intruded, rerouted
from bluegreen.phases.hooks import before_switch, time_for, under_way
from bluegreen.phases.obstacles import in_the_way
from bluegreen.release import count_of, duration, holder_of, listed
from bluegreen.schedules import Schedule

#: What AWS shows may be older than what it was told: green is compared again after so many seconds.
COPY_AGAIN = 10.0


def launching(s: Situation) -> Decision:
    """Pin blue, make the template version and green, wait until green is in service, and run the hook."""
    return (
        _pin_blue(s)
        or intruded(s)
        or under_way(s)
        or _make_green(s)
        or _attach_to_green(s)
        or before_switch(s)
        or Enter(Phase.CHECKING)
    )


def _pin_blue(s: Situation) -> Decision | None:
    blue = s.seen.blue
    if s.did(Verb.PIN_BLUE) and not s.did(Verb.SUSPEND_BLUE):
        lost = blue is not None and s.settled(Verb.PIN_BLUE) and not s.release.holds(blue.held_by)
        gone = f"the group {s.release.blue_group} does not belong to this release any more"
        return RollBack(Reason.CHANGED_OUTSIDE, gone) if lost else Act(Verb.SUSPEND_BLUE)
    if s.did(Verb.PIN_BLUE):
        return None
    if blue is None:
        return RollBack(Reason.CHANGED_OUTSIDE, f"the group {s.release.blue_group} is gone")
    if changed := _changed_during_the_bake(s, blue):
        return RollBack(Reason.CHANGED_OUTSIDE, changed)
    if s.seen.refresh:
        return _refreshed(s)
    if scaling := _scaling(s, blue):
        return scaling
    before = s.release.blue or _snapshot(s, blue)
    return Act(Verb.PIN_BLUE, blue=before, green=s.release.green_before or _idle(s))


def _refreshed(s: Situation) -> Decision:
    """Somebody's instance refresh of blue began during the bake; nothing was made beside an image yet."""
    deadline = s.watched_since + s.config.timeouts.launch
    if s.now >= deadline:
        return RollBack(Reason.CHANGED_OUTSIDE, s.seen.refresh)
    return s.wait(Awaited.REFRESHED, deadline, calm=True)


def _scaling(s: Situation, blue: Group) -> Decision | None:
    """Blue is counted when it has settled: green gets its size. What a cure replaces may never settle."""
    if s.release.cure or s.began(Verb.PIN_BLUE) or not (found := unsettled(blue, s.seen.blue_targets)):
        return None
    deadline = s.watched_since + s.config.timeouts.healthy
    if s.now >= deadline:
        return RollBack(Reason.BLUE_UNSETTLED, f"{found}, still after {duration(s.phase_age)}")
    return s.wait(Awaited.BLUE_SETTLED, deadline)


def _changed_during_the_bake(s: Situation, blue: Group) -> str:
    """Nothing was made beside an image yet, so nothing needs a person."""
    if not set(s.release.blue_targets) <= blue.target_groups:
        return f"{blue.name} was taken out of the load balancer"
    if s.release.is_behind(blue.held_by):
        return f"{blue.name} is held by {holder_of(blue.held_by)}, which the journal does not know"
    if s.release.routes and s.seen.routes not in (None, s.release.routes):
        return rerouted(s.release.routes, s.seen.routes or ())
    return _idle_no_more(s) if s.release.pair else ""


def _idle_no_more(s: Situation) -> str:
    """What is the matter with the group of a standing pair that is to be green; "" when it is idle."""
    if s.seen.spare is None:
        return f"the group {s.release.green_group} is gone"
    idle = s.seen.spare.group
    if s.release.is_behind(idle.held_by):
        return f"{idle.name} is held by {holder_of(idle.held_by)}, which the journal does not know"
    return busy(idle)


def _snapshot(s: Situation, blue: Group) -> BlueBefore:
    template = s.seen.template
    meant = {"$Latest": str(template.latest), "$Default": str(template.default)} if template else {}
    pinned = s.release.takes.get("before", {})  # by a release that failed: what it had before that is put back
    return BlueBefore(
        desired=blue.desired,
        minimum=pinned.get("minimum", blue.minimum),
        maximum=pinned.get("maximum", blue.maximum),
        template=blue.template,
        template_version=pinned.get("template_version", blue.template_version),
        resolved_version=meant.get(blue.template_version, blue.template_version),
        suspended=tuple(pinned.get("suspended", sorted(blue.suspended))),
        routes=s.seen.routes or (),
        **(vars(s.seen.delays) if s.seen.delays else {}),
        marked=True,
        schedules=tuple(pinned.get("schedules", s.seen.schedules)),
        scheduled_until=pinned.get("scheduled_until", _suspended_since(s, blue)),
    )


def _suspended_since(s: Situation, blue: Group) -> float:
    """From when on scheduled actions count as missed.

    AWS may have run one a moment ago, and show sizes from before it: these are put back at the end, so it is run again.
    """
    shown = {"MinSize": blue.minimum, "MaxSize": blue.maximum, "DesiredCapacity": blue.desired}
    since = s.now - SETTLING
    due = [one for one in (Schedule(**facts) for facts in s.seen.schedules) if one.due(since, s.now) is not None]
    unseen = any(shown[which] != size for one in due for which, size in one.sizes.items())
    return since if unseen else s.now


def _idle(s: Situation) -> IdleBefore | None:
    if not s.release.pair or s.seen.spare is None:
        return None
    spare, idle = s.seen.spare, s.seen.spare.group
    return IdleBefore(
        minimum=idle.minimum,
        maximum=idle.maximum,
        template=idle.template,
        template_version=idle.template_version,
        resolved_version=spare.resolved_version,
        suspended=tuple(sorted(idle.suspended)),
        marks=spare.marks,
    )


def _make_green(s: Situation) -> Decision | None:
    for verb in (Verb.MAKE_TEMPLATE_VERSION, Verb.CREATE_GREEN):
        if not s.did(verb):
            return Act(verb)
    green = s.seen.green
    up = len(green.in_service) if green else 0
    since = max(s.watched_since, s.release.began[Verb.PIN_BLUE].at, time_for(s))  # what was waited for is no delay
    deadline = since + s.config.timeouts.launch
    if up >= s.release.size:
        return None if s.did(Verb.SUSPEND_GREEN) else Act(Verb.SUSPEND_GREEN)
    if green and not up and green.refused >= TRIES:
        often = count_of(green.refused, "time")
        hopeless = f"AWS refused every launch of green, {often} for the same reason: {green.activity}"
        return RollBack(Reason.LAUNCH_REFUSED, hopeless)
    if s.now >= deadline:
        failed, aside = (green.activity, in_the_way(green)) if green else ("", "")
        why = f": {failed or aside}" if failed or aside else ""
        late = f"{up} of {count_of(s.release.size, 'instance')} in service after {duration(s.phase_age)}{why}"
        return RollBack(Reason.CHANGED_OUTSIDE if aside and not failed else Reason.LAUNCH_LATE, late)
    return s.wait(Awaited.GREEN_UP, deadline)


def _attach_to_green(s: Situation) -> Decision | None:
    """Green follows load from when it gets traffic; done again, the act finds no difference, or says what differs.

    What is attached to a group of a standing pair is its owner's, and stays as it is.
    """
    if s.release.pair:
        return None
    verb = Verb.ATTACH_GREEN
    attached = s.release.attached if s.did(verb) else None
    if attached is None:
        return Act(verb)
    if not attached.changed:
        return None
    again = _again(s)
    if again.again == 1:
        return again
    if s.now - max(s.watched_since, s.release.began[Verb.SUSPEND_GREEN].at) >= s.config.timeouts.healthy:
        return RollBack(Reason.COPY_DIFFERS, f"{s.release.green_group} is not as blue: {listed(attached.changed)}")
    return s.wait(Awaited.READ_BACK) if s.age(verb) < COPY_AGAIN else again


def _again(s: Situation) -> Act:
    before = s.release.act(Verb.ATTACH_GREEN)
    return Act(Verb.ATTACH_GREEN, again=before.again + 1 if before else 1)


def attach_the_rest(s: Situation) -> Act | None:
    """Policies that name a target group, once green is seen to be in it; nothing waits for them."""
    attached, green, verb = s.release.attached, s.seen.green, Verb.ATTACH_GREEN
    joined = green is not None and s.did(Verb.JOIN_GREEN) and set(s.release.green_targets) <= green.target_groups
    if attached is None or not joined or not (attached.later or attached.changed):
        return None
    first = s.release.did[verb].seq < s.release.began[Verb.JOIN_GREEN].seq
    return _again(s) if first or s.age(verb) >= COPY_AGAIN else None


def checking(s: Situation) -> Decision:
    """Judge green before it gets any traffic."""
    return (
        woken(s)
        or intruded(s)
        or _join_idle(s)
        or attach_the_rest(s)
        or check_failed(s)
        or checks_pending(s)
        or Enter(Phase.OVERLAPPING)
    )


def _join_idle(s: Situation) -> Decision | None:
    """With weights green joins the idle target group, where it is checked while its share is 0.

    What a failed release left there leaves before; where that gets traffic, green joins beside it in the overlap.
    """
    if not s.release.weighted or s.did(Verb.JOIN_GREEN):
        return None
    if s.seen.crowding:
        return None if s.seen.in_traffic("green") else rest_out(s)
    return Act(Verb.JOIN_GREEN) if s.did(Verb.SHIFT) else Act(Verb.SHIFT, share=0)
