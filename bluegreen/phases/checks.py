"""The checks that judge green: which hold, which failed, and when."""

from __future__ import annotations

from bluegreen.events import Awaited, Phase, Reason
from bluegreen.observation import TARGETS
from bluegreen.phases.decision import RollBack, Situation, Wait, of_balancer, runs_on_green, when_word
from bluegreen.phases.losses import loss
from bluegreen.release import duration

#: Phases that go on for as long as it takes while blue serves, too.
BOTH_SERVE = frozenset({Phase.OVERLAPPING, Phase.HOLDING})


def check_failed(s: Situation) -> RollBack | None:
    """A check that was lost, or that did not come to hold in time; or what AWS took and did not replace in time."""
    if late := _not_replaced(s):
        return late
    for name, within in _limits(s):
        state = s.release.checks.get(name)
        if state is not None and state.lost:
            how = "fails" if state.certain else "no longer holds"
            return RollBack(Reason.CHECK_FAILED, f"check {name} {how}: {state.value}")
        if not (state and state.held) and s.now - _clock(s, name) >= within:
            return RollBack(_why_never(s, name), f"{name} did not hold within {duration(within)}: {_seen(s, name)}")
    return None


def _not_replaced(s: Situation) -> RollBack | None:
    """While both serve what remains is enough, however long; alone, green must be whole again in its healthy time.

    Nobody is waited for while nobody serves.
    """
    gone = loss(s.release, s.seen)
    if gone is None or not s.targets_judged:
        return None
    blue = len(s.seen.serving(s.seen.blue)) if s.seen.in_traffic("blue") else 0
    remain = len(s.seen.serving(s.seen.green))
    out = s.release.phase not in (Phase.CHECKING, *BOTH_SERVE) and not (blue or remain)
    if not out and s.now - max(gone.since, s.watched_since) < s.config.timeouts.healthy:
        return None
    if s.release.phase in BOTH_SERVE and blue + remain >= s.before.desired:
        return None
    within = "and nobody serves" if out else f"and not replaced within {duration(s.config.timeouts.healthy)}"
    return RollBack(gone.reason, f"{gone.named(s.seen.green)}, {within}: {remain} healthy")


def _why_never(s: Situation, name: str) -> Reason:
    """Why a check never came to hold: the version is not to blame while all that are there are well, or nobody is."""
    gone, green = loss(s.release, s.seen), s.seen.green
    if name != TARGETS:
        return gone.reason if gone and _nobody_to_ask(s, name) else Reason.CHECK_FAILED
    well = green is not None and len(s.seen.serving(green)) >= len(green.in_service)
    return gone.reason if gone and well else Reason.NEVER_HEALTHY


def _seen(s: Situation, name: str) -> str:
    """What it said last; and who took whom, where that left nobody to ask."""
    state, gone = s.release.checks.get(name), loss(s.release, s.seen)
    if gone and _nobody_to_ask(s, name):
        return gone.named(s.seen.green)
    return state.value if state else "never answered"


def _nobody_to_ask(s: Situation, name: str) -> bool:
    """What runs on green finds nobody there."""
    runs = any(check.name == name and runs_on_green(check) for check in s.checks)
    return runs and not (s.seen.green and s.seen.green.in_service)


def _limits(s: Situation) -> list[tuple[str, float]]:
    own = [(TARGETS, s.config.timeouts.healthy)] if s.targets_judged else []
    return own + [(check.name, check.within) for check in s.checks]


def _clock(s: Situation, name: str) -> float:
    """When a check's time to come to hold began: with the first of its phases that was entered, and green's share."""
    own: tuple[str, ...] = ("checking", "overlapping") if s.release.weighted else ("overlapping",)
    check = next((check for check in s.checks if check.name == name), None)
    when = check.when if check else own
    starts = [at for phase, at in s.release.entered.items() if when_word(phase) in when]
    if s.release.short and Phase.SOAKING in s.release.entered:
        starts = [s.release.entered[Phase.SOAKING]]  # most checks are asked from then on only
    share = s.release.share_since if check and of_balancer(check) else None
    since = max(s.release.watched_since, s.release.woken_at, share or 0.0)
    return max(min(starts, default=s.release.in_phase_since), since)


def checks_pending(s: Situation) -> Wait | None:
    """Wait for the checks that do not hold yet."""
    return s.wait(Awaited.CHECKS) if s.all_held_since is None else None
