"""What an observation covers, by phase: what the phase judges, in as few calls as possible."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from bluegreen.aws import (
    attachments,
    builder,
    commands,
    groups,
    hooks,
    images,
    pair,
    surroundings,
    tags,
    templates,
    traffic,
)
from bluegreen.aws.calls import Answer, Calls
from bluegreen.aws.probes import Mask, Probes
from bluegreen.config import Config
from bluegreen.events import Act, Phase, Verb
from bluegreen.observation import TARGETS, Group, Idle, Image, Observation
from bluegreen.release import Release

#: Seconds between two questions how far an image is, and until the first one.
PROGRESS_EVERY = 60.0
#: Seconds between looks at what hardly changes. Remembering the last one only saves calls.
ROUTES_EVERY, SPARE_EVERY, REFRESH_EVERY = 120.0, 60.0, 60.0

#: A hook needs one agent; so many instances are asked for theirs (a filter takes 100 values).
AGENTS = 50


@dataclass(frozen=True)
class _Spare:
    """Images, template versions and emptied groups of a service that may go."""

    images: images.Spare = images.NO_SPARE
    emptied: tuple[str, ...] = ()


def overdue(release: Release) -> float:
    """How much sooner than usual the routes are looked at: always before the switch."""
    return ROUTES_EVERY if release.phase is Phase.SWITCHING else 0.0


def _grown(release: Release, seen: Observation) -> Observation:
    """While green grows, or what it lost is replaced, commands are for those who serve: others have not booted yet.

    Before anybody serves they are for those who were there before the loss; when nobody of them is left, for everybody
    in service, as after the launch.
    """
    green = seen.green
    remain = release.taken.remain if release.taken and release.taken.value else None
    more = green is not None and green.desired > release.size
    new = seen.targets and (release.growing or more or seen.taken)
    if green is None or not (remain is not None or new):
        return seen
    booted = {*seen.serving(green), *(remain or ())}
    if not (booted or seen.targets):
        return seen
    return replace(seen, green=replace(green, instances=tuple(one for one in green.instances if one.id in booted)))


def _lacking(release: Release, seen: Observation) -> bool:
    """Whether green lacks whom AWS or a hand took, as far as known: a command may find nobody to run on."""
    told = (release.taken and release.taken.value) or seen.taken
    return bool(told) or (seen.green is not None and any(one.set_aside for one in seen.green.instances))


def _is_there(release: Release) -> bool:
    """Of a standing pair the idle group is green from when it is taken until it is given back."""
    return not release.pair or (Verb.CREATE_GREEN in release.began and Verb.RETURN_GREEN not in release.did)


def _since(release: Release) -> float:
    """Since when green's activities count: a group of a standing pair has those of earlier releases, too."""
    return release.began[Verb.CREATE_GREEN].at - 1 if release.pair and Verb.CREATE_GREEN in release.began else 0.0


class Observer:
    """Observations of one service."""

    def __init__(self, calls: Calls, config: Config, mask: Mask, probes: Probes) -> None:
        self._calls, self._config, self._mask, self._probes = calls, config, mask, probes
        self._routes_at: dict[str, float] = {}
        self._ways_at: dict[str, tuple[float, list[traffic.Route]]] = {}
        self._balancers: dict[str, list[str]] = {}
        self._spare: dict[str, tuple[float, _Spare]] = {}
        self._refresh_at: dict[str, float] = {}
        self._progress: dict[str, tuple[float, int | None]] = {}

    def observe(self, release: Release, now: float) -> Observation:
        """An observation, as the release's phase needs it."""
        return self._look(release.phase)(release, Observation(now))

    def _look(self, phase: Phase) -> Callable[[Release, Observation], Observation]:
        match phase:
            case Phase.BAKING:
                return self._baking
            case Phase.LAUNCHING:
                return self._launching
            case Phase.CHECKING:
                return self._checking
            case Phase.RETIRING:
                return self._retiring
            case Phase.ROLLING_BACK:
                return self._rolling_back
        return self._serving

    def dropped(self, release: Release, act: Act) -> None:
        """What the act dropped need not be looked for to know it is gone; after a group, images may be free now."""
        at, known = self._spare.pop(release.id, (0.0, _Spare()))
        if act.verb is not Verb.DROP_GROUP:
            self._spare[release.id] = (at, replace(known, images=known.images.without(act.image, act.versions)))

    # --- one function a phase: each adds to what was seen

    def _baking(self, release: Release, seen: Observation) -> Observation:
        # Between the builder's start and the making of the image there is none to look for.
        building = Verb.START_BUILDER in release.began and Verb.MAKE_IMAGE not in release.began
        image = None if building else images.look(self._calls, release)
        needed = release.builder and not release.image_given and (image is None or release.left is not None)
        image = self._progressed(release, image, seen.at) if image and image.state == "pending" else image
        return replace(seen, image=image, builder=builder.look(self._calls, release, self._mask) if needed else None)

    def _progressed(self, release: Release, image: Image, now: float) -> Image:
        """It takes minutes, or hours with large volumes: asked seldom, and not of one that is there in a minute."""
        at, known = self._progress.setdefault(release.id, (now, None))
        if now - at >= PROGRESS_EVERY and image.tagged_release == release.id:
            at, known = self._progress[release.id] = now, images.progress(self._calls, release)
        return replace(image, progress=known)

    def _launching(self, release: Release, seen: Observation) -> Observation:
        seen = self._groups(release, seen, why_not=True)
        if Verb.PIN_BLUE in release.did:
            seen = self._routed(release, self._refreshes(seen, seen.blue))
            return self._hooked(release, seen, Verb.RUN_BEFORE_SWITCH)
        if blue := seen.blue:
            seen = replace(
                seen,
                template=templates.look(self._calls, blue.template, release) if blue.template else None,
                delays=groups.delays(self._calls, groups.hooks(self._calls, blue.name), release.blue_targets),
                schedules=tuple(attachments.schedules(self._calls, blue.name)),
                refresh=surroundings.refreshing_if_told(self._calls, blue.name),
                blue_targets={} if release.cure else traffic.targets(self._calls, release.blue_targets),
                spare=self._spare_group(release),
            )
        return self._routed(release, seen, ROUTES_EVERY)

    def _checking(self, release: Release, seen: Observation) -> Observation:
        seen = self._groups(release, seen)
        seen = self._refreshes(seen, seen.blue, seen.green)
        seen = self._traffic(release, seen) if release.weighted else self._routed(release, seen)
        seen = self._lost(release, seen)
        return self._checked(release, seen, _grown(release, seen))

    def _serving(self, release: Release, seen: Observation) -> Observation:
        seen = self._groups(release, seen)
        seen = self._refreshes(seen, seen.blue, seen.green)
        if not release.weighted:  # with weights the look at them shows the routes, too
            seen = self._routed(release, seen, overdue(release))
        seen = self._lost(release, self._traffic(release, seen))
        if release.phase is Phase.SOAKING:
            seen = self._beside(release, seen)
        return self._checked(release, seen, _grown(release, seen))

    def _retiring(self, release: Release, seen: Observation) -> Observation:
        seen = self._traffic(release, self._fleets(release, seen, self._shown(release)))
        blue = seen.blue
        # Images are tidied up last, so they are not looked for before blue is out of the way.
        done = blue is None or all(one.parked for one in blue.instances)
        spare = self._spares(release, seen.at) if done else _Spare()
        seen = replace(seen, droppable=spare.images.images, old_versions=spare.images.versions, emptied=spare.emptied)
        seen = self._lost(release, seen)
        if Verb.EMPTY_BLUE not in release.began:
            seen = self._detached(release, self._refreshes(seen, blue, seen.green), blue, seen.green)
        elif done:
            seen = self._still_outside(release, seen)
        seen = self._hooked(release, self._beside(release, seen), Verb.RUN_AFTER_LIVE)
        return seen if release.emptying else self._checked(release, seen, seen)

    def _rolling_back(self, release: Release, seen: Observation) -> Observation:
        if release.left is Phase.BAKING:
            return self._baking(release, seen)
        seen = self._traffic(release, self._groups(release, seen))
        green = seen.green
        if release.left is Phase.LAUNCHING and green is not None:
            seen = self._hooked(release, seen, Verb.RUN_BEFORE_SWITCH)
        gone = green is None or not release.owns(green.release, green.token)
        if not (gone or seen.registered(green) or seen.draining(green) or Verb.DELETE_GREEN in release.began):
            seen = self._detached(release, seen, seen.blue, green)  # AWS forgets with the group who left it
        unused = gone or release.kept_until is not None
        if release.blue and Verb.MAKE_TEMPLATE_VERSION in release.began and unused:
            # Needed only for removing our version, from which green may launch as long as it is there.
            seen = replace(seen, template=templates.look(self._calls, release.template, release))
        return seen

    # --- parts

    def _spare_group(self, release: Release) -> Idle | None:
        """Of a standing pair the group that is to be green."""
        shown = groups.describe(self._calls, release.green_group) if release.pair else {}
        return pair.idle(self._calls, shown[release.green_group]) if shown else None

    def _traffic(self, release: Release, seen: Observation) -> Observation:
        """Who is in the target groups and how well, and with weights what each listener gives green."""
        seen = replace(seen, targets=traffic.targets(self._calls, release.target_groups))
        if not release.weighted:
            return seen
        ways = self._ways(release, seen.at)
        return replace(seen, shares=traffic.shares(ways, release), routes=traffic.lines(ways, release))

    def _ways(self, release: Release, now: float) -> list[traffic.Route]:
        """The routes as they are now; ones that somebody added since the last whole look come with the next one."""
        at, known = self._ways_at.get(release.id, (-math.inf, []))
        wanted = set(release.target_groups)
        if now - at + overdue(release) < ROUTES_EVERY:
            ways = traffic.as_now(self._calls, known, wanted)
            if ways is not None:
                return ways
        ways = traffic.routes_of(self._calls, wanted, self._balancers_of(release))
        self._ways_at[release.id] = (now, ways)
        return ways

    def _hooked(self, release: Release, seen: Observation, verb: Verb) -> Observation:
        """With what becomes of the hook that the act sends; before it was sent, with the agents that would take it."""
        if verb in release.began:
            return replace(seen, hook=hooks.look(self._calls, release, verb, self._mask))
        up = sorted(seen.green.in_service) if seen.green else []
        awaited = (
            self._config.hooks.before_switch and verb is Verb.RUN_BEFORE_SWITCH and Verb.ATTACH_GREEN in release.did
        )
        return replace(seen, agents=commands.online(self._calls.ssm, up[:AGENTS])) if up and awaited else seen

    def _refreshes(self, seen: Observation, *moved: Group | None) -> Observation:
        """Somebody's instance refresh of these groups: it replaces instances, so it is looked for while some move."""
        for group in moved:
            if group is None:
                continue
            if not any(one.moving for one in group.instances):
                self._refresh_at.pop(group.name, None)
            elif seen.at - self._refresh_at.get(group.name, -math.inf) >= REFRESH_EVERY:
                self._refresh_at[group.name] = seen.at
                if found := surroundings.refreshing_if_told(self._calls, group.name):
                    return replace(seen, refresh=found)
        return seen

    def _lost(self, release: Release, seen: Observation) -> Observation:
        """What AWS, or a person's hand, took of a green that was whole and is not."""
        green = seen.green
        targets = release.checks.get(TARGETS)
        if green is None:
            return seen
        judged = targets is not None and targets.held
        whole = seen.serving(green) if judged else green.in_service
        if len(whole) >= green.desired:
            return seen
        ill = [one.id for one in green.instances if one.lifecycle == "InService" and one.id not in whole]
        told = groups.activities(self._calls, green.name, _since(release))
        detached = groups.detached(self._calls, told, release.started_at)
        return replace(seen, taken=groups.taken(self._calls, told, ill), detached={green.name: detached})

    def _detached(self, release: Release, seen: Observation, *standing: Group | None) -> Observation:
        """Who was detached from these groups, as far as they are there."""
        told = {one.name: groups.activities(self._calls, one.name) for one in standing if one is not None}
        since = release.started_at
        return replace(seen, detached={name: groups.detached(self._calls, acts, since) for name, acts in told.items()})

    def _still_outside(self, release: Release, seen: Observation) -> Observation:
        """Those of whom it is known that they were detached: somebody may have ended them since."""
        known = {name: release.detached(name) for name in (release.blue_group, release.green_group)}
        return replace(
            seen, detached={name: groups.in_no_group(self._calls, ids) for name, ids in known.items() if ids}
        )

    def _beside(self, release: Release, seen: Observation) -> Observation:
        """Who else serves beside green, and whose they are; asked only when there is somebody."""
        others = seen.others(release.green_targets)
        if not others:
            return seen
        owners = groups.owners(self._calls, others)
        named = groups.describe(self._calls, *sorted(set(owners.values()))) if owners else {}
        ours = [
            name
            for name, group in named.items()
            if tags.as_dict(group.get("Tags")).get(tags.SERVICE) == release.service
        ]
        return replace(seen, beside={id_: owners.get(id_, "") for id_ in others}, strayed=tuple(sorted(ours)))

    def _shown(self, release: Release) -> dict[str, Answer]:
        return groups.describe(self._calls, release.blue_group, release.green_group, *release.known_groups)

    def _groups(self, release: Release, seen: Observation, *, why_not: bool = False) -> Observation:
        shown = self._shown(release)
        green = shown.get(release.green_group)
        up = groups.seen(green)
        lacking = why_not and up is not None and len(up.in_service) < up.desired
        failed = groups.failed(self._calls, release.green_group, _since(release)) if lacking else groups.NOTHING
        return self._fleets(release, seen, shown, failed)

    def _fleets(
        self,
        release: Release,
        seen: Observation,
        shown: dict[str, Answer],
        failed: groups.Failed = groups.NOTHING,
    ) -> Observation:
        """Blue, green, and what earlier releases left; and where each of them has to be."""
        shown = shown if _is_there(release) else {k: v for k, v in shown.items() if k != release.green_group}
        left = (groups.seen(shown.get(name)) for name in release.known_groups)
        rest = tuple(group for group in left if group and not group.deleting)
        own = (release.blue_group, release.green_group) if release.weighted else ()
        every = frozenset(release.target_groups)
        return replace(
            seen,
            blue=groups.seen(shown.get(release.blue_group)),
            green=groups.seen(shown.get(release.green_group), failed),
            rest=rest,
            homes={name: frozenset(release.targets_of(name)) for name in own}
            | {group.name: group.target_groups & every for group in rest},
        )

    def _routed(self, release: Release, seen: Observation, overdue: float = 0.0) -> Observation:
        """With the routes, unless they were looked at lately; `overdue` seconds of impatience."""
        last = self._routes_at.get(release.id)
        if last is not None and seen.at - last + overdue < ROUTES_EVERY:
            return seen
        ways = traffic.routes_of(self._calls, set(release.target_groups), self._balancers_of(release))
        self._routes_at[release.id] = seen.at
        return replace(seen, routes=traffic.lines(ways, release))

    def _balancers_of(self, release: Release) -> list[str]:
        """Remembered: a target group has one load balancer at most (Elastic Load Balancing quotas)."""
        if release.id not in self._balancers:
            self._balancers[release.id] = traffic.balancers(self._calls, release.target_groups)
        return self._balancers[release.id]

    def _checked(self, release: Release, seen: Observation, asked: Observation) -> Observation:
        """With the checks; commands run on the green that `asked` shows. Of size 0 nobody is asked."""
        if release.idle:
            return seen
        found = self._probes.look(release, asked.green, seen.at, lacking=_lacking(release, asked))
        return replace(seen, checks=found)

    def _spares(self, release: Release, now: float) -> _Spare:
        at, known = self._spare.get(release.id, (None, _Spare()))
        if at is not None and now - at < SPARE_EVERY:
            return known
        standing = [group for group in groups.everything(self._calls) if not group.get("Status")]
        known = _Spare(
            images.spare(self._calls, release, self._config, standing),
            groups.emptied(self._config, release, standing),
        )
        self._spare[release.id] = (now, known)
        return known
