"""Retiring: blue is emptied and removed, green inherits its settings."""

from __future__ import annotations

from collections.abc import Iterator

from bluegreen.aws_commands import delete_group, delete_version, terminate
from bluegreen.events import Act, Awaited, Outcome, Reason, Verb
from bluegreen.observation import TARGETS, Group
from bluegreen.phases.checks import check_failed
from bluegreen.phases.decision import (
    LOOKS,
    PROTECTION_BATCH,
    Decision,
    Rest,
    RollBack,
    Situation,
    catch_up,
    drained,
    halt,
    not_done,
    woken,
)
from bluegreen.phases.drift import beside, displaced
from bluegreen.phases.hooks import after_live, failure, skipped_hooks
from bluegreen.phases.losses import loss
from bluegreen.phases.obstacles import left_outside, with_who_is_in_the_way, with_who_is_unhealthy
from bluegreen.phases.takeover import remaining
from bluegreen.release import Release, agreeing, count_of, duration, listed

#: DeleteLaunchTemplateVersions takes so many at once (EC2 API).
VERSIONS_BATCH = 200

#: The processes that start instances of a group by themselves. ReplaceUnhealthy replaces none in a group of size 0.
SCALING = ("AlarmNotification", "AZRebalance", "ScheduledActions")


def retiring(s: Situation) -> Decision:
    """Empty blue through its hooks, hand its settings to green, delete it, tidy up."""
    return (
        (None if s.release.emptying else woken(s))
        or displaced(s)
        or _going_back(s)
        or _green_must_serve(s)
        or _blue_leaves(s)
        or drained(s, s.seen.blue)
        or _follow_blue(s)
        or _empty_blue(s)
        or _hand_alarms_over(s)
        or _restore_green(s)
        or _blue_gone(s)
        or _make_warm_pool(s)
        or _tidy(s)
        or after_live(s)
        or Rest(Outcome.LIVE, Reason.COMPLETED, _told(s), _kept(s))
    )


def _going_back(s: Situation) -> RollBack | None:
    """Until blue is emptied it is whole: the checks of the soak go on."""
    return check_failed(s) if s.release.can_roll_back else None


def _green_must_serve(s: Situation) -> Decision | None:
    """S3 and S8: blue is not touched, and the release is not called live, unless green serves alone."""
    green = s.seen.green
    borne = min(green.desired, s.release.size) if green else 1
    alone = not s.seen.in_traffic("blue")
    if alone and len(s.seen.serving(green)) >= borne:
        return None
    if not s.release.can_roll_back and (_hopeless(s) or _lost(s)):
        gone = loss(s.release, s.seen)
        serving = f"{len(s.seen.serving(green))} of {borne} of green healthy"
        no_return = f"while {s.release.blue_group} is being emptied, so a rollback is impossible"
        ill = f"and there is no rollback to {s.release.blue_group}, which was unhealthy"
        why = f", since {gone.named(green)}" if gone else ""
        reason = gone.reason if gone else Reason.CHECK_FAILED
        said = f"{serving} {no_return if s.release.emptying else ill}{why}"
        return halt(s, reason, with_who_is_unhealthy(said, s.seen, green))
    if s.now >= s.blue_gone_by:
        late = with_who_is_in_the_way("green does not serve alone, so bluegreen left blue as it is", green)
        return halt(s, Reason.RETIRE_LATE, with_who_is_unhealthy(late, s.seen, green))
    return s.wait(Awaited.CHECKS, s.blue_gone_by)


def _hopeless(s: Situation) -> bool:
    """Nothing here can help green: at once when nobody serves, else when those that are ill had their time to recover.

    A release that fails makes room for its cure; one that waits would be in the way.
    """
    state = s.release.checks.get(TARGETS)
    if state is None or state.passed or state.streak < s.release.passes_needed(LOOKS):
        return False
    return not s.seen.serving(s.seen.green) or s.now - state.since >= s.config.timeouts.healthy


def _lost(s: Situation) -> bool:
    """All of green was taken, and its group has not replaced anybody in the time that a boot may take."""
    gone = loss(s.release, s.seen)
    return gone is not None and not s.seen.serving(s.seen.green) and s.now - gone.since >= s.config.timeouts.healthy


def _blue_leaves(s: Situation) -> Decision | None:
    """With weights blue has been in its target group until now, without traffic."""
    return Act(Verb.TAKE_BLUE_OUT) if s.seen.registered(s.seen.blue) else None


def _follow_blue(s: Situation) -> Decision | None:
    """Before blue's settings are taken from it: what its owner changed on it since green was made."""
    blue = s.seen.blue
    its_own = blue is not None and not blue.deleting and not (s.began(Verb.STILL_BLUE) or s.began(Verb.EMPTY_BLUE))
    return Act(Verb.FOLLOW_BLUE) if its_own and not s.did(Verb.FOLLOW_BLUE) else None


def _hand_alarms_over(s: Situation) -> Decision | None:
    """Nothing returns to blue any more; before it is deleted, for AWS deletes alarms that have no action left."""
    followed = s.release.followed
    return _once(s, Verb.HAND_ALARMS_OVER) if followed and followed.alarms else None


def _once(s: Situation, verb: Verb) -> Decision | None:
    """Do it, unless it was done, or given up."""
    return None if s.over(verb) else Act(verb)


def _empty_blue(s: Situation) -> Decision | None:
    """No alarm, schedule or slip may start instances of blue again: what scales it rests, and its maximum is 0."""
    blue = s.seen.blue
    if blue is None or blue.deleting:
        return None
    if not s.did(Verb.STILL_BLUE):
        return Act(Verb.STILL_BLUE, processes=SCALING)
    if blue.desired == blue.minimum == blue.maximum == 0:
        return None
    protected = [i.id for i in blue.instances if i.protected]
    if protected:
        return Act(Verb.UNPROTECT_BLUE, instances=tuple(protected[:PROTECTION_BATCH]))
    return Act(Verb.EMPTY_BLUE)


def _restore_green(s: Situation) -> Decision | None:
    """What is not held any more was handed over before: others have set it since."""
    held = s.seen.green is not None and s.release.holds(s.seen.green.held_by)
    default = (Verb.SET_DEFAULT_VERSION,) if s.release.sets_default else ()
    for verb in (*default, *((Verb.RESTORE_GREEN, Verb.RESUME_GREEN) if held else ())):
        if not s.over(verb):
            return Act(verb)
    return catch_up(s, Verb.RESUME_GREEN, s.seen.green)


def _make_warm_pool(s: Situation) -> Decision | None:
    """Its instances cost, so it comes when blue's is gone."""
    followed = s.release.followed
    return _once(s, Verb.MAKE_WARM_POOL) if followed and followed.warm_pool else None


def _blue_gone(s: Situation) -> Decision | None:
    blue = s.seen.blue
    if blue is None or _left_alone(blue):
        return None
    if s.now >= s.blue_gone_by:
        pool = "" if blue.warm is None else f", and its warm pool with {blue.warm}"
        there = f"{count_of(len(blue.instances), 'instance')} of {blue.name}{pool}"
        still = f"{there} {agreeing(len(blue.instances))} still there after {duration(s.phase_age)}"
        return halt(s, Reason.RETIRE_LATE, still)
    if blue.instances:
        return s.wait(Awaited.BLUE_EMPTY, s.blue_gone_by)
    return None if s.release.pair else _warm_pool_gone(s, blue) or _group_gone(s, blue)


def _warm_pool_gone(s: Situation, blue: Group) -> Decision | None:
    """Its instances leave through the lifecycle hooks, too; before, AWS deletes neither it nor the group."""
    if blue.warm is None or blue.deleting:
        return None
    if not s.did(Verb.DRAIN_WARM_POOL):
        return Act(Verb.DRAIN_WARM_POOL)
    if blue.warm or blue.warm_leaving or (s.did(Verb.DELETE_WARM_POOL) and s.fresh(Verb.DELETE_WARM_POOL)):
        return s.wait(Awaited.WARM_POOL, s.blue_gone_by)
    return Act(Verb.DELETE_WARM_POOL)


def _group_gone(s: Situation, blue: Group) -> Decision | None:
    if s.config.retire == "empty" or Verb.DELETE_BLUE in s.release.gave_up:
        return None
    if blue.deleting or (s.did(Verb.DELETE_BLUE) and s.fresh(Verb.DELETE_BLUE)):
        return s.wait(Awaited.GROUP_GONE, s.blue_gone_by)
    return Act(Verb.DELETE_BLUE)


def _left_alone(blue: Group) -> bool:
    """Nobody is left but who leaves by a person's hand only: nothing is gained by waiting for that."""
    return bool(blue.instances) and all(one.parked for one in blue.instances)


def _tidy(s: Situation) -> Decision | None:
    if not s.over(Verb.MARK_IMAGE):
        return Act(Verb.MARK_IMAGE)
    if s.seen.emptied and Verb.DROP_GROUP not in s.release.gave_up:
        return Act(Verb.DROP_GROUP, group=s.seen.emptied[0])
    if s.seen.droppable and Verb.DROP_IMAGE not in s.release.gave_up:
        return Act(Verb.DROP_IMAGE, image=s.seen.droppable[0])
    if s.seen.old_versions and Verb.DROP_VERSIONS not in s.release.gave_up:
        return Act(Verb.DROP_VERSIONS, versions=s.seen.old_versions[:VERSIONS_BATCH])
    return None


def _told(s: Situation) -> str:
    """Who serves, and what else people should know."""
    dropped = ", ".join(s.release.dropped_groups)
    others = beside(s.seen)
    serves = f"{s.release.green_group} serves" + (f" beside {others}" if others else " alone")
    serves += f", and {s.release.blue_group} is idle" if s.release.pair else ""
    if s.release.idle:
        skipped = f"; skipped checks: {', '.join(check.name for check in s.config.checks)}" if s.config.checks else ""
        serves = f"nothing served: {s.release.green_group} is at size 0, as {s.release.blue_group} was{skipped}"
    told = [serves, f"deleted, because earlier releases had kept them empty: {dropped}" if dropped else ""]
    without = skipped_hooks(s.release, s.config)
    told += [f"did not run its hook {' and '.join(without)}" if without else "", failure(s)]
    return "; ".join(filter(None, told))


def _kept(s: Situation) -> tuple[str, ...]:
    kept = list(remaining(s.release, s.seen))
    blue = s.seen.blue
    kept += [_kept_group(blue, s.release)] if blue and (blue.instances or not s.release.pair) else []
    kept += left_outside(s.release, s.seen, s.seen.green)
    kept += not_done(s.release)
    if Verb.DROP_GROUP in s.release.gave_up:
        kept += [f"group {group}, empty" for group in s.seen.emptied]
    if Verb.DROP_IMAGE in s.release.gave_up:
        kept += [f"image {image}" for image in s.seen.droppable]
    return (*kept, *_old_versions(s))


def _old_versions(s: Situation) -> Iterator[str]:
    """Those that AWS did not let this release delete."""
    why, numbers = s.release.gave_up.get(Verb.DROP_VERSIONS), s.seen.old_versions
    if why is not None and numbers:
        named = f"{agreeing(len(numbers), 'version', 'versions')} {listed([str(number) for number in numbers])}"
        template = s.release.template
        command = delete_version(template, *numbers[:VERSIONS_BATCH])
        yield f"old {named} of the launch template {template} ({why.rstrip('.')}): {command}"


def _kept_group(blue: Group, release: Release) -> str:
    """Its maximum is 0 by then: nobody in it can be put back into service, and AWS deletes it by force only."""
    if blue.instances:
        states = sorted({one.lifecycle for one in blue.instances})
        ids = ", ".join(one.id for one in blue.instances)
        there = f"with {ids} in {' and '.join(states)}"
        if release.pair:
            return f"group {blue.name}, which gets no traffic, {there}: {terminate([i.id for i in blue.instances])}"
        return f"group {blue.name}, which gets no traffic, {there}: {delete_group(blue.name)} ends them"
    why = release.gave_up.get(Verb.DELETE_BLUE, "").rstrip(".")
    return f"group {blue.name}, {f'empty, AWS refused to delete it ({why})' if why else 'kept empty'}"
