"""Overlapping, holding, switching and soaking: the phases in which traffic moves or has moved."""

from __future__ import annotations

from bluegreen.phases.checks import check_failed, checks_pending
from bluegreen.phases.outside import intruded
from bluegreen.phases.scene import Act, Decision, Enter, RollBack, Scene, Wait
from bluegreen.release import Awaited, Phase, Reason, Verb, duration


def overlapping(s: Scene) -> Decision:
    """Green joins; both serve until the overlap has passed with every check held."""
    return (
        intruded(s)
        or _join_green(s)
        or check_failed(s)
        or checks_pending(s)
        or _promoted(s)
        or _overlap_pending(s)
        or Enter(Phase.HOLDING if s.release.hold else Phase.SWITCHING)
    )


def holding(s: Scene) -> Decision:
    """Both serve until enough people promote, or until that takes too long."""
    return intruded(s) or check_failed(s) or checks_pending(s) or _promoted(s) or _await_promotion(s)


def switching(s: Scene) -> Decision:
    """Blue is taken out, once green alone can bear what blue bears now."""
    return intruded(s) or check_failed(s) or _blue_out(s) or _grow_green(s) or _take_blue_out(s)


def soaking(s: Scene) -> Decision:
    """Green serves alone; blue stays whole until the soak has passed."""
    return intruded(s) or check_failed(s) or _soak_pending(s) or Enter(Phase.RETIRING)


def _join_green(s: Scene) -> Decision | None:
    if s.did(Verb.JOIN_GREEN):
        return None
    return Act(Verb.JOIN_GREEN)


def _promoted(s: Scene) -> Decision | None:
    enough = len(s.release.promoters) >= s.config.promotion.approvals
    return Enter(Phase.SWITCHING) if enough else None


def _overlap_pending(s: Scene) -> Wait | None:
    ends = (s.all_held_since or s.now) + s.config.traffic.overlap
    return s.wait(Awaited.OVERLAP, ends, calm=True) if s.now < ends else None


def _await_promotion(s: Scene) -> Decision:
    expires = s.release.in_phase_since + s.config.promotion.timeout
    if s.now < expires:
        return s.wait(Awaited.PROMOTION, expires, calm=True)
    if s.config.promotion.on_timeout == "promote":
        return Enter(Phase.SWITCHING)
    return RollBack(Reason.HOLD_EXPIRED, f"nobody promoted within {duration(s.config.promotion.timeout)}")


def _blue_out(s: Scene) -> Decision | None:
    out = s.began(Verb.TAKE_BLUE_OUT) and not s.seen.in_traffic(s.seen.blue)
    return Enter(Phase.SOAKING) if out and s.green_serves else None


def _grow_green(s: Scene) -> Decision | None:
    """Blue may have scaled out while both served; green must not be smaller than what it replaces."""
    blue, green = s.seen.blue, s.seen.green
    size = max(s.release.size, blue.desired if blue else 0)
    if green is None or green.desired >= size or (s.did(Verb.GROW_GREEN) and s.fresh(Verb.GROW_GREEN)):
        return None
    return Act(Verb.GROW_GREEN, {"size": size})


def _take_blue_out(s: Scene) -> Decision:
    if s.phase_age >= s.config.timeouts.healthy:
        serving = len(s.seen.serving(s.seen.green))
        late = f"{serving} of {s.release.size} of green served after {duration(s.phase_age)}"
        return RollBack(Reason.NEVER_HEALTHY, late)
    if not s.green_serves:
        return s.wait(Awaited.GREEN_GROWN)
    return Act(Verb.TAKE_BLUE_OUT)


def _soak_pending(s: Scene) -> Wait | None:
    ends = s.release.in_phase_since + s.config.soak
    if s.now < ends:
        return s.wait(Awaited.SOAK, ends, calm=True)
    return s.wait(Awaited.CHECKS) if s.all_held_since is None or not s.green_serves else None
