"""The checks that judge green: which hold, which failed, and when."""

from __future__ import annotations

from bluegreen.phases.scene import TARGETS, RollBack, Scene, Wait, when_word
from bluegreen.release import Awaited, Phase, Reason, duration


def check_failed(s: Scene) -> RollBack | None:
    """A check that was lost, or that did not come to hold in time."""
    for name, within in _limits(s):
        state = s.release.checks.get(name)
        seen = state.value if state else "never answered"
        reason = Reason.NEVER_HEALTHY if name == TARGETS else Reason.CHECK_FAILED
        if state is not None and state.lost:
            return RollBack(Reason.CHECK_FAILED, f"{name} no longer holds: {seen}")
        if not (state and state.held) and s.now - _clock(s, name) >= within:
            return RollBack(reason, f"{name} did not hold within {duration(within)}: {seen}")
    return None


def _limits(s: Scene) -> list[tuple[str, float]]:
    own = [] if s.release.phase is Phase.CHECKING else [(TARGETS, s.config.timeouts.healthy)]
    return own + [(check.name, check.within) for check in s.checks]


def _clock(s: Scene, name: str) -> float:
    """When a check's time to come to hold began: with the first of its phases that was entered."""
    when = next((check.when for check in s.checks if check.name == name), ("overlapping",))
    starts = [at for phase, at in s.release.entered.items() if when_word(phase) in when]
    return max(min(starts, default=s.release.in_phase_since), s.release.watched_since)


def checks_pending(s: Scene) -> Wait | None:
    """Wait for the checks that do not hold yet."""
    return s.wait(Awaited.CHECKS) if s.all_held_since is None else None
