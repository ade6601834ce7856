"""The story of a release: what to do next, as a pure function of what is known.

    baking → launching → checking → overlapping → holding → switching → soaking → retiring → live
      └──────────┴──────────┴───────────┴────────────┴──────────┴──────────┘
                                  rolling_back → rolled_back

`decide` reads the release (its events), one observation, the config and the time; it does nothing.
The driver of the release calls the phase again after every act and every wait, so each phase goes by the current state,
not by its last act. One module holds one part of the story:
`baking`, `launching` (with checking), `traffic` (overlapping to soaking), `retiring`, `rollback`.
`drift` finds what others changed, `checks` judges green, `observed` selects what becomes an event, `takeover` covers
what a failed release leaves to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from bluegreen.events import Act, Awaited, Outcome, Phase, Reason, Verb
from bluegreen.observation import TARGETS, Observation
from bluegreen.phases.baking import baking
from bluegreen.phases.decision import (
    GRACE,
    PATIENCE,
    TRIES,
    Decision,
    Enter,
    Rest,
    RollBack,
    Situation,
    Wait,
    halt,
    leftovers,
)
from bluegreen.phases.launching import checking, launching
from bluegreen.phases.observed import ALWAYS, Lately, noticed
from bluegreen.phases.retiring import retiring
from bluegreen.phases.rollback import rolling_back
from bluegreen.phases.traffic import holding, overlapping, soaking, switching
from bluegreen.release import Release

if TYPE_CHECKING:
    from bluegreen.config import Config

__all__ = [
    "ALWAYS",
    "GRACE",
    "PATIENCE",
    "TARGETS",
    "Act",
    "Decision",
    "Enter",
    "Lately",
    "Rest",
    "RollBack",
    "Wait",
    "blind",
    "decide",
    "erred",
    "noticed",
    "ordered",
]


def decide(release: Release, seen: Observation, config: Config, now: float) -> Decision:
    """What to do next. Pure; total over every release that has not settled."""
    situation = Situation(release, seen, config, now)
    decision = ordered(release) or _after_failed_attempt(situation) or _STORY[release.phase](situation)
    return _not_twice(situation, _no_way_back(situation, decision))


def ordered(release: Release) -> RollBack | None:
    """The rollback that was ordered and has not begun; it waits for no observation."""
    return RollBack(Reason.ORDERED, f"ordered by {release.rollback_by}") if release.rollback_pending else None


def blind(release: Release, now: float, *, denied: bool, message: str) -> Decision:
    """What to do when AWS could not be looked at: wait, then give up the way the phase allows."""
    since = release.blind_since if release.blind_since is not None else now
    if not denied and now - since < PATIENCE:
        return Wait(Awaited.REACHABLE, _backoff(int((now - since) // 10) + 1), since + PATIENCE)
    reason = Reason.DENIED if denied else Reason.BLIND
    if not release.finishing:
        return RollBack(reason, message)
    return Rest(Outcome.FAILED, reason, message, leftovers(release))


def erred(release: Release, now: float) -> Decision:
    """What to do after a mistake of our own: look again a few times, then give up the way the phase allows."""
    mistake = release.mistake
    if mistake is None or mistake.count < TRIES:
        seconds = _backoff(2 * mistake.count if mistake else 1)
        return Wait(Awaited.RETRY, seconds, now + seconds)
    message = f"an internal error of bluegreen: {mistake.message}. Please report it with the driver's log"
    if not release.finishing:
        return RollBack(Reason.MISTAKE, message)
    return Rest(Outcome.FAILED, Reason.MISTAKE, message, leftovers(release))


def _no_way_back(s: Situation, decision: Decision) -> Decision:
    """S11: nothing returns to a blue that was ill when it was taken out."""
    if not isinstance(decision, RollBack) or s.release.can_return:
        return decision
    why = f"{decision.message}; {s.release.blue_group} was unhealthy when it left, so green stays as it is"
    return halt(s, decision.reason, why)


def _not_twice(s: Situation, decision: Decision) -> Decision:
    """An act that was just done, and whose effect AWS does not show yet, is waited for before it is repeated."""
    if not isinstance(decision, Act) or not s.did(decision.verb) or not s.fresh(decision.verb):
        return decision
    return s.wait(Awaited.READ_BACK) if decision == s.release.act(decision.verb) else decision


def _after_failed_attempt(s: Situation) -> Decision | None:
    failed_attempt = s.release.failed_attempt
    if failed_attempt is None:
        return None
    patience = s.config.timeouts.bake if failed_attempt.verb is Verb.CLAIM_BUILDER else PATIENCE
    finishing = s.release.finishing
    passing = failed_attempt.transient and s.now - failed_attempt.first < patience
    if passing or (finishing and not failed_attempt.transient and failed_attempt.count < TRIES):
        again = failed_attempt.last + _backoff(failed_attempt.count)
        waited = Awaited.BUILDER_FREE if failed_attempt.verb is Verb.CLAIM_BUILDER else Awaited.RETRY
        return Wait(waited, again - s.now, again) if s.now < again else None
    reason = Reason.DENIED if failed_attempt.denied else Reason.AWS_ERROR
    return halt(s, reason, failed_attempt.message) if finishing else RollBack(reason, failed_attempt.message)


def _backoff(count: int) -> float:
    return float(min(2 ** min(count - 1, 4), 15))


_STORY: Mapping[Phase, Callable[[Situation], Decision]] = {
    Phase.BAKING: baking,
    Phase.LAUNCHING: launching,
    Phase.CHECKING: checking,
    Phase.OVERLAPPING: overlapping,
    Phase.HOLDING: holding,
    Phase.SWITCHING: switching,
    Phase.SOAKING: soaking,
    Phase.RETIRING: retiring,
    Phase.ROLLING_BACK: rolling_back,
}
