"""A dry run: what a release would do, step by step, on a model of AWS.

`plan` shows this. The decisions come from `phases`, so plan and release cannot differ. Only AWS is a model, in which
every act succeeds at once and every check holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bluegreen import phases
from bluegreen.events import (
    PASSING,
    Act,
    AttachedParts,
    Awaited,
    Did,
    Entered,
    Event,
    Made,
    Observed,
    Payload,
    Phase,
    Promoted,
    RollbackOrdered,
    Verb,
    kind_of,
)
from bluegreen.observation import (
    INITIAL,
    Baseline,
    Builder,
    CheckResult,
    Command,
    Group,
    Image,
    Instance,
    Observation,
    Template,
)
from bluegreen.phases import Decision, Enter, Rest, RollBack, Wait
from bluegreen.release import Release, apply
from bluegreen.schedules import Schedule

if TYPE_CHECKING:
    from bluegreen.config import Config

#: A release that takes more rounds than this would not end: a mistake of ours, not a long release.
ROUNDS = 500


@dataclass(frozen=True)
class Step:
    """One thing that would be done in a phase (`act`), or waited for (`awaited`)."""

    phase: Phase
    act: Act | None = None
    awaited: Awaited | None = None


def steps_of_release(release: Release, baseline: Baseline, config: Config) -> tuple[Step, ...]:
    """The steps of the release from where it stands to its end, if nothing goes wrong."""
    return tuple(_play(release, _scene(release, baseline), config))


def steps_of_rollback(release: Release, baseline: Baseline, config: Config, left: Phase) -> tuple[Step, ...]:
    """The steps of a rollback out of the phase `left`; with weights, at the last step of green's share.

    None where nothing returns to blue any more: after the switch of a cure.
    """
    steps: list[Step] = []
    world = _scene(release, baseline)
    for moment in _moments(release, world, config):
        orderable = moment.release.phase is left and moment.release.can_roll_back
        if orderable and not isinstance(moment.decision, Act) and not _early(moment, config):
            release = _told(moment.release, RollbackOrdered("you"), moment.seen.at)
            steps = list(_play(release, moment.seen, config))
            break
    return tuple(steps)


def _early(moment: _Moment, config: Config) -> bool:
    """Whether steps of green's share are still to come."""
    steps = config.traffic.shares
    return moment.release.phase is Phase.OVERLAPPING and bool(steps) and moment.release.share < steps[-1]


@dataclass(frozen=True)
class _Moment:
    release: Release
    seen: Observation
    decision: Decision


def _play(release: Release, seen: Observation, config: Config) -> Iterator[Step]:
    waited: tuple[Phase, Awaited] | None = None
    for moment in _moments(release, seen, config):
        phase = moment.release.phase
        match moment.decision:
            case Act():
                waited = None if moment.decision.verb is Verb.SHIFT else waited
                yield Step(phase, act=moment.decision)
            case Wait(awaited=awaited) if (phase, awaited) != waited:
                waited = (phase, awaited)
                yield Step(phase, awaited=awaited)


def _moments(release: Release, seen: Observation, config: Config) -> Iterator[_Moment]:
    for _ in range(ROUNDS):
        for one in phases.noticed(release, seen, config):
            release = _told(release, Observed(one), seen.at)
        decision = phases.decide(release, seen, config, seen.at)
        yield _Moment(release, seen, decision)
        if isinstance(decision, Rest):
            return
        release, seen = _after(release, seen, decision)
    raise AssertionError(f"the dry run of {release.id} does not end")


def _after(release: Release, seen: Observation, decision: Decision) -> tuple[Release, Observation]:
    match decision:
        case Act(verb=verb):
            release = _told(release, decision, seen.at)
            seen, made = _EFFECTS.get(verb, _nothing)(release, seen)
            release = _told(release, Did(verb, **made), seen.at)
        case Enter(phase=phase, image=image):
            release = _told(release, Entered(phase, image), seen.at)
        case RollBack(reason=reason, message=message):
            release = _told(release, Entered(Phase.ROLLING_BACK, goes_back_for=(reason, message)), seen.at)
        case Wait(awaited=Awaited.PROMOTION):
            release = _told(release, Promoted(f"person {release.seq}"), seen.at)
        case Wait(awaited=awaited, deadline=float(deadline)) if awaited in PASSING:
            seen = replace(_settled(seen), at=deadline)
        case Wait(seconds=seconds):
            seen = replace(_settled(seen), at=seen.at + seconds)
    return release, replace(seen, checks=_passing(release, seen))


def _told(release: Release, payload: Payload, at: float) -> Release:
    return apply(release, Event(release.id, release.seq + 1, at, kind_of(payload), payload.to_facts()))


# --- the model: what each act makes AWS show ------------------------------------------------------

Effect = Callable[[Release, Observation], tuple[Observation, Made]]


def _scene(release: Release, baseline: Baseline) -> Observation:
    blue = baseline.blue
    return Observation(
        at=release.last_at,
        builder=Builder(baseline.builder, "stopped", online=True) if baseline.builder else None,
        image=Image(baseline.image, "", "available") if baseline.image else None,
        template=baseline.template,
        delays=baseline.delays,
        schedules=tuple(Schedule(name).to_facts() for name in baseline.attached.get("scheduled action", ())),
        attached=baseline.attached,
        blue=blue,
        spare=baseline.spare,
        targets={
            arn: {i.id: _well(n, baseline) for n, i in enumerate(blue.instances) if arn != baseline.idle_target_group}
            for arn in baseline.target_groups
        },
        blue_targets={"": dict.fromkeys(blue.in_service, INITIAL)} if baseline.unsettled else {},
        routes=baseline.routes,
        shares=dict.fromkeys(baseline.listeners, 0) if baseline.listeners else None,
        homes={name: frozenset(release.targets_of(name)) for name in (release.blue_group, release.green_group)},
    )


def _well(n: int, baseline: Baseline) -> str:
    """As many of blue are healthy as are; who is not stays so."""
    return "healthy" if not baseline.unwell or n < baseline.borne else "unhealthy"


def _passing(release: Release, seen: Observation) -> tuple[CheckResult, ...]:
    return tuple(CheckResult(check["name"], True, "passes", seen.at) for check in release.config.get("checks", ()))


def _settled(seen: Observation) -> Observation:
    """What was on its way has arrived: instances up, targets healthy or drained, the empty group gone."""
    targets = {
        arn: {
            id_: state if state == "unhealthy" else "healthy" for id_, state in members.items() if state != "draining"
        }
        for arn, members in seen.targets.items()
    }
    blue, green = _arrived(seen.blue), _arrived(seen.green)
    if blue is not None and seen.blue_targets:
        new = dict.fromkeys(blue.in_service, "healthy")
        targets = {arn: new | known if arn in blue.target_groups else known for arn, known in targets.items()}
    image = replace(seen.image, state="available") if seen.image else None
    there = replace(seen, targets=targets, blue_targets={}, blue=blue, green=green)
    hook = replace(seen.hook, state="succeeded") if seen.hook else None
    return replace(there, image=image, builder=_ready(seen.builder), hook=hook)


def _arrived(group: Group | None) -> Group | None:
    """Whom a person set aside stays so."""
    if group is None or group.deleting:
        return None
    here = [replace(one, lifecycle="InService") if one.moving else one for one in group.instances if not one.leaving]
    ids = [f"{group.name}-{n}" for n in range(group.desired - len(here))]
    more = [Instance(id_, "InService") for id_ in ids]
    return replace(group, instances=tuple([*here, *more][: group.desired]))


def _ready(builder: Builder | None) -> Builder | None:
    if builder is None:
        return None
    ended = {name: replace(c, state="succeeded") for name in ("build", "check") if (c := getattr(builder, name))}
    state = {"pending": "running", "stopping": "stopped"}.get(builder.state, builder.state)
    return replace(builder, state=state, **ended)


def _with(seen: Observation, which: str, group: Group) -> Observation:
    return replace(seen, blue=group) if which == "blue" else replace(seen, green=group)


def _nothing(release: Release, seen: Observation) -> tuple[Observation, Made]:
    return seen, {}


def _builder(**changes: Any) -> Effect:
    def effect(release: Release, seen: Observation) -> tuple[Observation, Made]:
        assert seen.builder is not None
        return replace(seen, builder=replace(seen.builder, **changes)), {"builder": seen.builder.id}

    return effect


def _make_image(release: Release, seen: Observation) -> tuple[Observation, Made]:
    image = Image("the new image", release.image_name, "pending", tagged_release=release.id, token=release.token)
    return replace(seen, image=image), {"image": image.id}


def _make_version(release: Release, seen: Observation) -> tuple[Observation, Made]:
    template = seen.template or Template("", 0, 0)
    ours = template.latest + 1
    return replace(seen, template=replace(template, latest=ours, ours=ours)), {"template_version": ours}


def _pin(release: Release, seen: Observation) -> tuple[Observation, Made]:
    assert seen.blue is not None
    assert release.blue is not None
    before = release.blue
    version = before.resolved_version
    pinned = replace(seen.blue, minimum=before.desired, template_version=version, held_by=release.mark)
    return replace(seen, blue=pinned), {}


def _create(release: Release, seen: Observation) -> tuple[Observation, Made]:
    size = release.size
    made = Group(release.green_group, size, size, size, release=release.id, token=release.token)
    green = replace(made, held_by=release.mark)
    return replace(seen, green=green), {"group": green.name}


def _attach(release: Release, seen: Observation) -> tuple[Observation, Made]:
    parts = {f"{kind} {name}": "" for kind, names in seen.attached.items() for name in names}
    pool = dict.fromkeys(seen.attached.get("warm pool", ()))
    return seen, {"attached": AttachedParts((), parts, tuple(seen.attached.get("alarm", ())), warm_pool=pool)}


def _hook(release: Release, seen: Observation) -> tuple[Observation, Made]:
    return replace(seen, hook=Command("hook", "running")), {"command": "hook"}


def _join(which: str) -> Effect:
    def effect(release: Release, seen: Observation) -> tuple[Observation, Made]:
        group: Group = getattr(seen, which)
        home = release.targets_of(group.name)
        joined = replace(group, target_groups=frozenset(home))
        added = {i.id: "initial" for i in group.instances}
        targets = {arn: {**members, **added} if arn in home else members for arn, members in seen.targets.items()}
        return _with(replace(seen, targets=targets), which, joined), {}

    return effect


def _leave(which: str) -> Effect:
    def effect(release: Release, seen: Observation) -> tuple[Observation, Made]:
        group: Group = getattr(seen, which)
        gone = {i.id: "draining" for i in group.instances}
        home = release.targets_of(group.name)
        targets = {arn: {**members, **gone} if arn in home else members for arn, members in seen.targets.items()}
        return _with(replace(seen, targets=targets), which, replace(group, target_groups=frozenset())), {}

    return effect


def _change(which: str, **changes: Any) -> Effect:
    def effect(release: Release, seen: Observation) -> tuple[Observation, Made]:
        return _with(seen, which, replace(getattr(seen, which), **changes)), {}

    return effect


def _shift(release: Release, seen: Observation) -> tuple[Observation, Made]:
    return replace(seen, shares=dict.fromkeys(release.listeners, release.share)), {}


def _unprotect(release: Release, seen: Observation) -> tuple[Observation, Made]:
    assert seen.blue is not None
    act = release.act(Verb.UNPROTECT_BLUE)
    chosen = act.instances if act else ()
    free = tuple(replace(i, protected=i.protected and i.id not in chosen) for i in seen.blue.instances)
    return replace(seen, blue=replace(seen.blue, instances=free)), {}


_EFFECTS: Mapping[Verb, Effect] = {
    Verb.START_BUILDER: _builder(state="pending"),
    Verb.RUN_BUILD: _builder(build=Command("build", "running")),
    Verb.RUN_BUILD_CHECK: _builder(check=Command("check", "running")),
    Verb.STOP_BUILDER: _builder(state="stopping"),
    Verb.MAKE_IMAGE: _make_image,
    Verb.PIN_BLUE: _pin,
    Verb.MAKE_TEMPLATE_VERSION: _make_version,
    Verb.CREATE_GREEN: _create,
    Verb.ATTACH_GREEN: _attach,
    Verb.FOLLOW_BLUE: _attach,
    Verb.RUN_BEFORE_SWITCH: _hook,
    Verb.RUN_AFTER_LIVE: _hook,
    Verb.JOIN_GREEN: _join("green"),
    Verb.SHIFT: _shift,
    Verb.JOIN_BLUE: _join("blue"),
    Verb.TAKE_BLUE_OUT: _leave("blue"),
    Verb.TAKE_GREEN_OUT: _leave("green"),
    Verb.UNPROTECT_BLUE: _unprotect,
    Verb.EMPTY_BLUE: _change("blue", desired=0, minimum=0, maximum=0),
    Verb.DRAIN_WARM_POOL: _change("blue", warm=0),
    Verb.DELETE_WARM_POOL: _change("blue", warm=None),
    Verb.RESUME_BLUE: _change("blue", held_by=""),
    Verb.RESUME_GREEN: _change("green", held_by=""),
    Verb.DELETE_BLUE: _change("blue", deleting=True),
    Verb.DELETE_GREEN: _change("green", deleting=True),
    Verb.EMPTY_GREEN: _change("green", desired=0, minimum=0, maximum=0),
}
