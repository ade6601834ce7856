"""Rolling back: one function for each phase that can be left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from bluegreen.aws_commands import attach, kept_group
from bluegreen.events import Act, Awaited, Outcome, Phase, Reason, Verb
from bluegreen.observation import Group, Image
from bluegreen.phases.baking import drop_source, free_builder
from bluegreen.phases.decision import SETTLING, Decision, Rest, Situation, catch_up, drained, halt, not_done
from bluegreen.phases.drift import held_by_another, not_ours
from bluegreen.phases.hooks import still_runs
from bluegreen.phases.obstacles import left_outside, with_who_is_in_the_way, with_who_is_unhealthy
from bluegreen.phases.takeover import remaining
from bluegreen.release import MINUTE, agreeing, count_of, duration, holder_of, moment


def rolling_back(s: Situation) -> Decision:
    """Return to blue; how depends on the phase that was left."""
    assert s.release.left is not None
    own = replace(s, seen=replace(s.seen, green=None)) if s.stranger else s
    if found := not_ours(s) or _blue_of_another(own):
        return halt(s, Reason.CHANGED_OUTSIDE, found)
    return _UNDO[s.release.left](own)


def _blue_of_another(s: Situation) -> str:
    """Green is gone, and another release began from our blue: whoever serves serves for that one."""
    return held_by_another(s) if s.seen.green is None else ""


def undo_baking(s: Situation) -> Decision:
    """Stop the builder if we started it; nothing else was touched."""
    return (
        _stop_builder(s)
        or _image_unseen(s)
        or _drop_failed_image(s)
        or free_builder(s)
        or drop_source(s)
        or _rolled_back(s)
    )


def undo_launching(s: Situation) -> Decision:
    """Blue never stopped serving alone: remove green, unpin blue. Before it was pinned nothing was made."""
    if s.release.never_done(Verb.PIN_BLUE):
        return _blue_serves_no_more(s) or _rolled_back(s)
    gave_nothing = s.release.weighted and not s.began(Verb.SHIFT)  # whoever has the weights has them of another release
    out = None if gave_nothing else _take_green_out(s)
    return out or still_runs(s) or _remove_what_was_made(s) or _rolled_back(s)


def _blue_serves_no_more(s: Situation) -> Rest | None:
    """S8: `rolled_back` says that blue serves; a journal from before may name one that was replaced long since."""
    blue, home = s.seen.blue, s.release.blue_targets
    if blue is not None and set(home) <= blue.target_groups and s.seen.in_traffic("blue"):
        return None
    name = s.release.blue_group
    state = "is gone" if blue is None else f"was taken out of the load balancer: `{attach(name, home)}` returns it"
    return halt(s, Reason.CHANGED_OUTSIDE, f"{name} {state}; this release changed nothing")


def undo_checking(s: Situation) -> Decision:
    """As while launching: green has had no traffic."""
    return undo_launching(s)


def undo_overlapping(s: Situation) -> Decision:
    """Both served: blue must carry everything, then green leaves."""
    return _clients_stay(s) or _blue_bears(s) or _take_green_out(s) or _remove_what_was_made(s) or _rolled_back(s)


def undo_holding(s: Situation) -> Decision:
    """As in the overlap: both served."""
    return undo_overlapping(s)


def undo_switching(s: Situation) -> Decision:
    """Blue may be out already: it joins first and is seen healthy before green leaves."""
    return undo_overlapping(s)


def undo_soaking(s: Situation) -> Decision:
    """Green served alone: blue joins first and is seen healthy before green leaves."""
    return undo_overlapping(s)


def undo_retiring(s: Situation) -> Decision:
    """As in the soak, as long as blue is not emptied: it may have left its target group already."""
    return undo_overlapping(s)


def _clients_stay(s: Situation) -> Decision | None:
    """Blue has all the weight; clients who stick to green would get errors if it left before they follow."""
    ends = s.release.green_stays_until
    if s.now >= ends or s.seen.in_traffic("green") or not s.seen.registered(s.seen.green):
        return None
    return s.wait(Awaited.CLIENTS, ends, calm=True)


def _late(s: Situation) -> bool:
    """Whether blue had its time to be healthy, or green to be out; what clients took is no delay."""
    since = max(s.watched_since, s.release.green_stays_until)
    return s.now - since >= s.config.timeouts.healthy


def _blue_bears(s: Situation) -> Decision | None:
    blue = s.seen.blue
    if blue is None:
        return halt(s, Reason.BLUE_UNHEALTHY, f"the group {s.release.blue_group} is gone, so green stays as it is")
    if s.green_may_go and not _blue_may_be_leaving(s):
        return None
    if _late(s):
        serving = f"{len(s.seen.serving(blue))} of {max(s.before.desired, s.release.wanted)}"
        sick = f"{serving} of blue healthy after {duration(s.phase_age)}, so green stays as it is"
        return halt(s, Reason.BLUE_UNHEALTHY, with_who_is_unhealthy(with_who_is_in_the_way(sick, blue), s.seen, blue))
    attached = blue.target_groups >= set(s.release.blue_targets) and not _blue_was_sent_out(s)
    if attached or len(blue.in_service) < s.before.desired or (s.did(Verb.JOIN_BLUE) and s.fresh(Verb.JOIN_BLUE)):
        return s.wait(Awaited.BLUE_HEALTHY)
    return Act(Verb.JOIN_BLUE)


def _blue_was_sent_out(s: Situation) -> bool:
    """It was detached, or that was begun, and it has not been attached since, whatever is shown yet."""
    joined, out = s.release.did.get(Verb.JOIN_BLUE), s.release.began.get(Verb.TAKE_BLUE_OUT)
    return out is not None and (joined is None or joined.seq < out.seq)


def _blue_may_be_leaving(s: Situation) -> bool:
    """Detaching works behind the scenes: a target shown healthy so soon afterwards may be about to drain."""
    return _blue_was_sent_out(s) or (s.began(Verb.TAKE_BLUE_OUT) and s.age(Verb.TAKE_BLUE_OUT) < SETTLING)


def _take_green_out(s: Situation) -> Decision | None:
    """S4: green is out when the load balancer shows it. Weights go back first: one call a listener.

    Beside what a failed release left weights stay as they were found: that share is not green's to give.
    """
    if s.seen.in_traffic("green") and (s.seen.registered(s.seen.green) or not s.seen.crowding):
        return _give_blue_everything(s) if s.green_may_go else _wait_for_blue(s)
    if _previewed(s):
        return _shift_back(s)
    return Act(Verb.TAKE_GREEN_OUT) if s.seen.registered(s.seen.green) else None


def _give_blue_everything(s: Situation) -> Decision:
    act = _shift_back(s) if s.release.weighted and not s.seen.crowding else Act(Verb.TAKE_GREEN_OUT)
    if s.settled(act.verb) and _late(s):
        return halt(s, Reason.CHANGED_OUTSIDE, "green still gets traffic, despite several attempts to take it out")
    return act


def _previewed(s: Situation) -> bool:
    """Whether listeners that only preview may still show green."""
    shift = s.release.act(Verb.SHIFT)
    return bool(s.release.previews) and shift is not None and not shift.preview


def _shift_back(s: Situation) -> Act:
    return Act(Verb.SHIFT, share=0, preview="blue" if s.release.previews else "")


def _wait_for_blue(s: Situation) -> Decision:
    if _late(s):
        late = "green is in the load balancer and blue cannot carry the traffic"
        return halt(s, Reason.BLUE_UNHEALTHY, with_who_is_unhealthy(late, s.seen, s.seen.blue))
    return s.wait(Awaited.BLUE_HEALTHY)


def _remove_what_was_made(s: Situation) -> Decision | None:
    """Green, its template version, and the pins on blue; in that order, for a group on $Latest must not move."""
    return _joining(s) or drained(s, s.seen.green) or _remove_green(s) or _remove_template_version(s) or _unpin_blue(s)


def _joining(s: Situation) -> Decision | None:
    """Green was told to join so lately that its targets may yet appear: it must be seen, and taken out."""
    unseen = s.fresh(Verb.JOIN_GREEN) and not s.did(Verb.TAKE_GREEN_OUT)
    return s.wait(Awaited.READ_BACK) if unseen else None


def _remove_green(s: Situation) -> Decision | None:
    green = s.seen.green
    if not s.began(Verb.CREATE_GREEN) or s.did(Verb.KEEP_GREEN):
        return None
    if s.release.pair:
        return _return_green(s)
    if green is None:
        unseen = s.fresh(Verb.CREATE_GREEN) and not s.did(Verb.DELETE_GREEN)
        return s.wait(Awaited.GROUP_GONE) if unseen else None
    if s.began(Verb.DELETE_GREEN) and s.age(Verb.DELETE_GREEN) >= s.before.leaves_within:
        return halt(s, Reason.RETIRE_LATE, f"{green.name} is still there after {duration(s.phase_age)}")
    if green.deleting or s.did(Verb.DELETE_GREEN):
        return s.wait(Awaited.GROUP_GONE)
    return _drop_alarms(s) or _keep_green(s, green) or Act(Verb.DELETE_GREEN)


def _keep_green(s: Situation, green: Group) -> Act | None:
    """What failed stays as it is, for inspection; of a release for which nobody was there to promote nothing did."""
    failed = s.release.reason is not Reason.HOLD_EXPIRED and not s.began(Verb.DELETE_GREEN)
    if not (s.config.keep_failed and failed and green.instances) or Verb.KEEP_GREEN in s.release.gave_up:
        return None
    return Act(Verb.KEEP_GREEN, until=s.now + s.config.keep_failed)


def _return_green(s: Situation) -> Decision | None:
    """Of a standing pair green is emptied, and its owner has it back as it was; whose it is by then needs no mark."""
    green = s.seen.green
    if s.did(Verb.RETURN_GREEN):
        return None
    if s.began(Verb.RETURN_GREEN):
        return Act(Verb.RETURN_GREEN)
    if green is None or green.deleting:
        return s.wait(Awaited.READ_BACK) if s.fresh(Verb.CREATE_GREEN) else None
    if not (green.desired or green.instances) and s.did(Verb.EMPTY_GREEN):
        return Act(Verb.RETURN_GREEN)
    if s.did(Verb.EMPTY_GREEN) and s.age(Verb.EMPTY_GREEN) >= s.before.leaves_within:
        left = len(green.instances)
        late = (
            f"{count_of(left, 'instance')} of {green.name} {agreeing(left)} still there after {duration(s.phase_age)}"
        )
        return halt(s, Reason.RETIRE_LATE, with_who_is_in_the_way(late, green))
    emptied = s.did(Verb.EMPTY_GREEN) and not green.desired
    return s.wait(Awaited.GREEN_EMPTY) if emptied else Act(Verb.EMPTY_GREEN)


def _drop_alarms(s: Situation) -> Act | None:
    """Before green, by which they are found; AWS deletes those only that do nothing but act on green."""
    attached = s.release.attached
    some = s.began(Verb.ATTACH_GREEN) and (attached is None or attached.alarms)
    return Act(Verb.DROP_ALARMS) if some and not s.over(Verb.DROP_ALARMS) else None


def _remove_template_version(s: Situation) -> Decision | None:
    verb = Verb.DELETE_TEMPLATE_VERSION
    if not s.began(Verb.MAKE_TEMPLATE_VERSION) or s.over(verb):
        return None
    if s.seen.template is None or s.seen.template.ours is None:
        return s.wait(Awaited.READ_BACK) if s.fresh(Verb.MAKE_TEMPLATE_VERSION) else None
    return Act(verb)


def _unpin_blue(s: Situation) -> Decision | None:
    if s.seen.blue is None:
        return halt(s, Reason.CHANGED_OUTSIDE, f"the group {s.release.blue_group} is gone")
    undone = [verb for verb in (Verb.UNPIN_BLUE, Verb.RESUME_BLUE) if not s.did(verb)]
    if undone and s.release.holds(s.seen.blue.held_by):
        return Act(undone[0])
    if undone and s.fresh(Verb.PIN_BLUE):
        return s.wait(Awaited.READ_BACK)
    return catch_up(s, Verb.RESUME_BLUE, s.seen.blue)


def _stop_builder(s: Situation) -> Decision | None:
    builder = s.seen.builder
    if not s.began(Verb.START_BUILDER) or builder is None:
        return None
    if builder.state in ("pending", "running"):
        if s.did(Verb.STOP_BUILDER) and s.fresh(Verb.STOP_BUILDER):
            return s.wait(Awaited.BUILDER_STOPPED)
        return Act(Verb.STOP_BUILDER)
    if builder.state == "stopping" or (s.fresh(Verb.START_BUILDER) and not s.did(Verb.STOP_BUILDER)):
        return s.wait(Awaited.BUILDER_STOPPED)
    return None


def _image_unseen(s: Situation) -> Decision | None:
    """The image may have been ordered just before a crash; it must be known to be named (S5)."""
    unseen = s.began(Verb.MAKE_IMAGE) and not s.release.made_image and s.seen.image is None
    return s.wait(Awaited.IMAGE) if unseen and s.fresh(Verb.MAKE_IMAGE) else None


def _drop_failed_image(s: Situation) -> Decision | None:
    image = s.seen.image
    failed = image is not None and image.state not in ("pending", "available")
    if image is None or not failed or not _made(s, image) or s.over(Verb.DROP_IMAGE):
        return None
    return Act(Verb.DROP_IMAGE, image=image.id)


def _made(s: Situation, image: Image) -> bool:
    return s.release.owns(image.tagged_release, image.token)


def _rolled_back(s: Situation) -> Rest:
    reason = s.release.reason or Reason.ORDERED
    made = s.release.made_image or (s.seen.image.id if s.seen.image and _made(s, s.seen.image) else "")
    left = list(remaining(s.release, s.seen))
    left += left_outside(s.release, s.seen, s.seen.blue)
    left += not_done(s.release)
    left += _kept(s)
    left += [f"image {made}"] if made and not s.did(Verb.DROP_IMAGE) else []
    if Verb.DELETE_TEMPLATE_VERSION in s.release.gave_up:
        left.append(f"version {s.release.template_version} of the launch template {s.release.template}")
    blue, unpinned = s.seen.blue, s.release.made(Verb.UNPIN_BLUE)
    if (
        blue is not None
        and unpinned is None
        and not (s.release.never_done(Verb.PIN_BLUE) or s.release.holds(blue.held_by))
    ):
        holder = holder_of(blue.held_by) or "nobody"
        left.append(f"group {s.release.blue_group} as it is, because {holder} holds it now")
    if unpinned is not None and unpinned.stays_on_version is not None:
        left.append(f"group {s.release.blue_group} on template version {unpinned.stays_on_version}")
    return Rest(Outcome.ROLLED_BACK, reason, s.release.message, tuple(left))


def _kept(s: Situation) -> list[str]:
    until, green = s.release.kept_until, s.seen.green
    return [] if until is None or green is None else [kept_group(green.name, moment(until, MINUTE))]


_UNDO: Mapping[Phase, Callable[[Situation], Decision]] = {
    Phase.BAKING: undo_baking,
    Phase.LAUNCHING: undo_launching,
    Phase.CHECKING: undo_checking,
    Phase.OVERLAPPING: undo_overlapping,
    Phase.HOLDING: undo_holding,
    Phase.SWITCHING: undo_switching,
    Phase.SOAKING: undo_soaking,
    Phase.RETIRING: undo_retiring,
}
