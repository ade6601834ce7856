"""Which observations become events: only changes, and flapping values at a bounded rate.

Decisions use every observation. The journal gets each change as long as there are few. For flapping values it gets
every deciding change at once, and otherwise the newest state from time to time, with the number of changes since.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING

from bluegreen.events import (
    DETACHED,
    HOOKS,
    PARKED,
    REACHABLE,
    TAKEN,
    CheckState,
    Expiring,
    Fleet,
    ImageState,
    Observed,
    ObservedState,
    Phase,
    SubjectState,
    Verb,
)
from bluegreen.observation import TARGETS, CheckResult, Group, Observation
from bluegreen.phases.decision import JUDGED, LOOKS, judged
from bluegreen.phases.drift import beside
from bluegreen.phases.losses import judged_well, noticed_losses
from bluegreen.phases.obstacles import seen_in_the_way
from bluegreen.release import EVERY, Release, count_of, seeing

if TYPE_CHECKING:
    from bluegreen.config import Check, Config


def noticed(release: Release, seen: Observation, config: Config) -> list[ObservedState]:
    """What the `observed` events of this observation record: only what has changed (design, journal)."""
    losses = noticed_losses(release, seen) if release.phase in JUDGED else []
    fleets = [*_fleets(seen), *_activity(release, seen.green), *seen_in_the_way(release, seen), *losses]
    changed: list[SubjectState] = [
        *fleets,
        *_baked(seen),
        *_hooked(release, seen),
        *_traffic(seen),
        *_others(release, seen),
        *_expiring(release, seen, config),
    ]
    told = [one for one in changed if release.observed.get(one.subject) != one]
    again = [] if release.blind_since is None else [SubjectState(REACHABLE, "AWS answers again")]
    return [*again, *told, *_answers(release, seen, config)]


#: Subjects whose every fact is recorded at once: later facts are told from the earlier ones, and none flaps by itself.
ALWAYS = frozenset({REACHABLE, TAKEN, "hold", *DETACHED.values(), *(f"{PARKED} {which}" for which in DETACHED)})


@dataclass(frozen=True)
class Lately:
    """What looks have shown that the journal does not have yet: by subject the newest, and how many changes.

    It is lost with its driver. Everything that decides is in the journal; see `release._unsure` for the rest.
    """

    seen: Mapping[str, tuple[ObservedState, int]] = field(default_factory=dict)

    def known(self, release: Release) -> Release:
        """The release with all that was seen of it, to decide from."""
        return reduce(seeing, (newest for newest, _ in self.seen.values()), release)

    def also(self, release: Release, seen: ObservedState) -> Lately:
        """One more change; `release` is what was known before it."""
        before = release.observed.get(seen.subject)
        same = isinstance(before, CheckState) and isinstance(seen, CheckState) and before.passed is seen.passed
        changes = self.seen[seen.subject][1] if seen.subject in self.seen else 0
        return Lately({**self.seen, seen.subject: (seen, changes + (not same))})

    def without(self, subject: str) -> Lately:
        """It is recorded."""
        return Lately({name: one for name, one in self.seen.items() if name != subject})

    def due(self, release: Release, now: float) -> list[Observed]:
        """What the events record that are to be written now; `release` is as the journal has it."""
        told = [one for one in self.all(release, now) if _may_be_told(release, one.seen, now)]
        return [*told, *self._steady(release, now)]

    def all(self, release: Release, now: float) -> list[Observed]:
        """Everything that is not recorded: before something is done that follows from it."""
        return [_told(release, now, *self.seen[subject]) for subject in self.seen]

    def _steady(self, release: Release, now: float) -> Iterator[Observed]:
        """What flapped and has been the same for a while is told once more: it flaps no longer."""
        for subject, pace in release.paces.items():
            if pace.changes and subject not in self.seen and now - pace.at >= EVERY:
                yield Observed(release.observed[subject])


def _told(release: Release, now: float, seen: ObservedState, changes: int) -> Observed:
    pace = release.paces.get(seen.subject)
    if pace is None or not changes or (changes == 1 and not pace.changes):
        return Observed(seen)
    return Observed(seen, changes, round(now - pace.at, 1))


def _may_be_told(release: Release, seen: ObservedState, now: float) -> bool:
    pace = release.paces.get(seen.subject)
    return pace is None or pace.left_by(now) >= 1 or _decides(release, seen)


def _decides(release: Release, seen: ObservedState) -> bool:
    """Whether more than a decision of this driver's may depend on it: an order of a person's, or the next driver's."""
    after = seeing(release, seen)
    was, now = (_standing(one.checks.get(seen.subject)) for one in (release, after))
    return was != now or release.can_return is not after.can_return


def _standing(state: CheckState | None) -> tuple[float | None, bool, bool] | None:
    return (state.held_since, state.lost, state.certain) if state else None


def _others(release: Release, seen: Observation) -> list[SubjectState]:
    """Who else serves where green does: told when it changes, and once it is over."""
    value = beside(seen)
    return [SubjectState("beside", value)] if value or "beside" in release.observed else []


def _activity(release: Release, green: Group | None) -> list[SubjectState]:
    """Why AWS could not launch an instance of green: told when it changes, and once it is over."""
    told = green is not None and (green.activity or "activity" in release.observed)
    return [SubjectState("activity", green.activity)] if green is not None and told else []


def _fleets(seen: Observation) -> list[SubjectState]:
    groups = {"blue": seen.blue, "green": seen.green}
    serving = {name: len(seen.serving(group)) for name, group in groups.items()}
    return [
        _fleet(name, group, serving[name], _share(seen, name, serving))
        for name, group in groups.items()
        if group is not None
    ]


def _share(seen: Observation, name: str, serving: Mapping[str, int]) -> float | None:
    """Percent of the traffic: by the weights, else by the number of those that serve; None when it cannot be told."""
    if seen.shares is not None:
        share = seen.share(name)
        return None if share is None else round(share, 1)
    total = sum(serving.values())
    return round(100 * serving[name] / total) if total else None


def _fleet(name: str, group: Group, serving: int, share: float | None) -> Fleet:
    up = len(group.in_service)
    value = f"{up} of {group.desired} in service" + (f", {serving} serving" if share is not None else "")
    return Fleet(name, value, desired=group.desired, in_service=up, serving=serving, share=share)


def _baked(seen: Observation) -> list[SubjectState]:
    baked = seen.image
    image = [ImageState("image", baked.state, baked.id, baked.progress)] if baked else []
    commands = (("build", seen.builder.build), ("build check", seen.builder.check)) if seen.builder else ()
    return [*image, *(SubjectState(name, command.state) for name, command in commands if command)]


def _hooked(release: Release, seen: Observation) -> list[SubjectState]:
    verb = Verb.RUN_AFTER_LIVE if release.phase is Phase.RETIRING else Verb.RUN_BEFORE_SWITCH
    return [SubjectState(f"hook {HOOKS[verb]}", seen.hook.state)] if seen.hook else []


def _expiring(release: Release, seen: Observation, config: Config) -> list[SubjectState]:
    """The reminder, once, before nobody has promoted in time."""
    promotion = config.promotion
    expires = release.in_phase_since + promotion.timeout
    early = min(promotion.remind, promotion.timeout / 2)
    if release.phase is not Phase.HOLDING or not early or seen.at < expires - early:
        return []
    return [Expiring("hold", "expires", at=expires, then=promotion.on_timeout)]


def _traffic(seen: Observation) -> list[SubjectState]:
    if not seen.targets and seen.shares is None:
        return []
    shared = seen.shares is None
    groups = {"blue": seen.blue, "green": seen.green}
    blue, green = (seen.in_traffic(name) or (shared and bool(seen.serving(g))) for name, g in groups.items())
    value = {(True, True): "both", (True, False): "blue", (False, True): "green"}.get((blue, green), "nobody")
    return [SubjectState("traffic", value)]


def _answers(release: Release, seen: Observation, config: Config) -> list[CheckState]:
    asked = {check.name for check in (judged(release, config) if release.short else config.checks)}
    results = [*_target_health(release, seen), *(answer for answer in seen.checks if answer.name in asked)]
    known = {check.name: check for check in config.checks}
    counted = (_asked(release, one, known.get(one.name), config.poll) for one in results)
    return [state for state in counted if state]


def _asked(release: Release, result: CheckResult, check: Check | None, poll: float) -> CheckState | None:
    """A configured check's answer, or that of the targets: AWS has its own thresholds for those, a run decides."""
    state = release.checks.get(result.name)
    if check is None:
        return _counted(state, result, release.passes_needed(LOOKS))
    failed = _failed_lately(state, result, max(check.every, poll), check.at_most_failed)
    return _counted(state, result, release.passes_needed(check.needs), check.every >= RARELY, failed)


@dataclass(frozen=True)
class _Failed:
    """Failures of a check that holds, among its last looks."""

    at: tuple[float, ...] = ()
    looks: int = 0
    too_many: bool = False

    def told(self, value: str) -> str:
        """The value with them behind it."""
        return f"{value} (failed {len(self.at)} of {count_of(self.looks, 'look')})" if self.at else value


def _failed_lately(state: CheckState | None, result: CheckResult, every: float, at_most: float) -> _Failed:
    """Looks that pass are not recorded, so their number is that of the time, by the pace at which they come."""
    if state is None or state.held_since is None or result.certain:
        return _Failed()
    at = tuple(one for one in state.failures if one > result.at - MOST_LOOKS * every)
    at += () if result.passed else (result.at,)
    looks = max(len(at), min(MOST_LOOKS, int((result.at - state.held_since) / every)))
    return _Failed(at, looks, too_many=not result.passed and len(at) > at_most * max(looks, LEAST_LOOKS))


def _target_health(release: Release, seen: Observation) -> list[CheckResult]:
    if release.phase not in JUDGED or release.idle or not seen.targets or Verb.JOIN_GREEN not in release.did:
        return []
    return [CheckResult(TARGETS, *judged_well(release, seen), seen.at)]


#: A check that is looked at so rarely, in seconds, tells each new reason for which it goes on failing.
RARELY = 60.0
#: Failures are counted among so many of a check's last looks; until there were the least, as if there were.
LEAST_LOOKS, MOST_LOOKS = 20, 60


def _counted(
    state: CheckState | None, result: CheckResult, needs: int, slow: bool = False, failed: _Failed = _Failed()
) -> CheckState | None:
    """One more answer to a check; None when it only repeats what is known."""
    same = state is not None and state.passed == result.passed
    if state is not None and same and state.streak >= needs:
        proven = result.certain and not state.lost
        reason = slow and not result.passed and state.value != result.value
        if not (proven or reason):
            return None
    streak = min(state.streak + 1, needs) if state is not None and same else 1
    held_since = state.held_since if state else None
    lost = state.lost if state else False
    if streak >= needs or result.certain or failed.too_many:
        lost = not result.passed and (lost or held_since is not None or result.certain)
        held_since = (held_since or result.at) if result.passed else None
    return CheckState(
        name=result.name,
        passed=result.passed,
        streak=streak,
        since=state.since if state is not None and same else result.at,
        value=failed.told(result.value),
        held_since=held_since,
        lost=lost,
        certain=result.certain,
        failures=failed.at,
    )
