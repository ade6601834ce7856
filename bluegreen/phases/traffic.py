"""Overlapping, holding, switching and soaking: the phases in which traffic moves or has moved."""

from __future__ import annotations

from bluegreen.events import Act, Awaited, Phase, Reason, Verb
from bluegreen.phases.checks import check_failed, checks_pending
from bluegreen.phases.decision import Decision, Enter, RollBack, Situation, Wait, rest_out, woken
from bluegreen.phases.drift import intruded
from bluegreen.phases.launching import attach_the_rest
from bluegreen.phases.losses import loss
from bluegreen.release import duration


def overlapping(s: Situation) -> Decision:
    """Green joins; both serve, by rising shares if weighted, until the overlap has passed with every check held."""
    return (
        woken(s)
        or intruded(s)
        or _join_green(s)
        or attach_the_rest(s)
        or _give_share(s)
        or check_failed(s)
        or checks_pending(s)
        or _promoted(s)
        or _overlap_pending(s)
        or _next_step(s)
        or Enter(Phase.HOLDING if s.release.hold else Phase.SWITCHING)
    )


def holding(s: Situation) -> Decision:
    """Both serve until enough people promote, or until that takes too long."""
    return woken(s) or intruded(s) or check_failed(s) or checks_pending(s) or _promoted(s) or _await_promotion(s)


def switching(s: Situation) -> Decision:
    """Blue leaves, once green alone can carry what blue carries now."""
    going_on = woken(s) or intruded(s) or check_failed(s)
    return going_on or _rest_out(s) or _blue_out(s) or _grow_green(s) or _take_blue_out(s)


def soaking(s: Situation) -> Decision:
    """Green serves alone; blue keeps running until the soak has passed."""
    return woken(s) or intruded(s) or check_failed(s) or _soak_pending(s) or Enter(Phase.RETIRING)


def _join_green(s: Situation) -> Decision | None:
    if s.did(Verb.JOIN_GREEN):
        return None
    return Act(Verb.JOIN_GREEN)


def _give_share(s: Situation) -> Decision | None:
    """With weights: every listener gives green the share of the present step."""
    steps, share = s.config.traffic.shares, s.release.share
    if not s.release.weighted or s.release.at_once:
        return None
    if share not in steps:
        return _shift(s, steps[0])
    return None if s.shifted(share) else _shift(s, share)


def _next_step(s: Situation) -> Decision | None:
    further = [share for share in s.config.traffic.shares if share > s.release.share and not s.release.at_once]
    return _shift(s, further[0]) if further else None


def _shift(s: Situation, share: int) -> Decision:
    """S2: no more traffic for a green that is not wholly healthy."""
    if share > s.release.share and not s.green_serves:
        return s.wait(Awaited.CHECKS)
    return Act(Verb.SHIFT, share=share)


def _promoted(s: Situation) -> Decision | None:
    enough = len(s.release.promoters) >= s.config.promotion.approvals
    return Enter(Phase.SWITCHING) if enough else None


def _overlap_pending(s: Situation) -> Wait | None:
    """What serves longer than it must is what is to be got rid of, on a short way; of size 0 nobody serves."""
    if s.release.at_once:
        return None
    if s.release.weighted:
        return _step_pending(s)
    ends = (s.all_held_since or s.now) + s.config.traffic.overlap
    return s.wait(Awaited.OVERLAP, ends, calm=True) if s.now < ends else None


def _step_pending(s: Situation) -> Wait | None:
    """Each step lasts its part of the overlap, from when it was reached with every check held."""
    steps = s.config.traffic.shares
    reached = max(s.release.did[Verb.SHIFT].at, s.release.in_phase_since, s.all_held_since or s.now)
    ends = reached + s.config.traffic.overlap / len(steps)
    awaited = Awaited.OVERLAP if s.release.share == steps[-1] else Awaited.STEP
    return s.wait(awaited, ends, calm=True) if s.now < ends else None


def _await_promotion(s: Situation) -> Decision:
    expires = s.release.in_phase_since + s.config.promotion.timeout
    if s.now < expires:
        return s.wait(Awaited.PROMOTION, expires, calm=True)
    if s.config.promotion.on_timeout == "promote":
        return Enter(Phase.SWITCHING)
    return RollBack(Reason.HOLD_EXPIRED, f"nobody promoted within {duration(s.config.promotion.timeout)}")


def _rest_out(s: Situation) -> Decision | None:
    """What failed releases left in the target groups goes first, once green alone can bear everything."""
    return rest_out(s) if s.seen.crowding and s.green_serves else None


def _blue_out(s: Situation) -> Decision | None:
    ours = s.release.weighted or s.began(Verb.TAKE_BLUE_OUT)
    out = ours and not s.seen.in_traffic("blue")
    return Enter(Phase.SOAKING) if out and s.green_serves else None


def _grow_green(s: Situation) -> Decision | None:
    """Blue may have scaled out while both served; green must not be smaller than what it replaces."""
    blue, green = s.seen.blue, s.seen.green
    size = max(s.release.size, blue.desired if blue else 0)
    if green is None or green.desired >= size or (s.did(Verb.GROW_GREEN) and s.fresh(Verb.GROW_GREEN)):
        return None
    return Act(Verb.GROW_GREEN, size=size)


def _take_blue_out(s: Situation) -> Decision:
    if s.phase_age >= s.config.timeouts.healthy:
        serving = len(s.seen.serving(s.seen.green))
        late = f"{serving} of {s.release.size} of green served after {duration(s.phase_age)}"
        gone = loss(s.release, s.seen)
        if gone is not None:
            return RollBack(gone.reason, f"{late}, since {gone.named(s.seen.green)}")
        return RollBack(Reason.NEVER_HEALTHY, late)
    if not s.green_serves:
        return s.wait(Awaited.GREEN_GROWN)
    return Act(Verb.SHIFT, share=100) if s.release.weighted else Act(Verb.TAKE_BLUE_OUT)


def _soak_pending(s: Situation) -> Wait | None:
    ends = s.release.in_phase_since + s.release.soak
    if s.now < ends:
        return s.wait(Awaited.SOAK, ends, calm=True)
    return s.wait(Awaited.CHECKS) if s.all_held_since is None or not s.green_serves else None
