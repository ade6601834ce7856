"""What one decision is made from, and what it can be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bluegreen.aws_commands import delete_alarms, delete_group, delete_version, empty_group, remove_object
from bluegreen.events import Act, Awaited, BlueBefore, CheckState, Outcome, Phase, Reason, Verb
from bluegreen.observation import TARGETS, Group, Observation, in_target_groups
from bluegreen.phases.obstacles import left_outside
from bluegreen.phases.takeover import remaining
from bluegreen.release import Release

if TYPE_CHECKING:
    from bluegreen.config import Check, Config

#: How long what AWS was just told may be missing from what it shows (its reads are eventually consistent).
GRACE = 60.0
#: How long targets may be shown healthy although their group has just been detached.
SETTLING = 30.0
#: In a calm wait AWS is looked at so many times less often than every `poll`.
CALM = 6
#: AWS works, and nobody is served less meanwhile: such a wait is looked at so many times in its phase's age so far,
#: so that noticing late costs a small part of what the phase takes.
AWS_WORKS = frozenset(
    {
        Awaited.BUILDER_UP,
        Awaited.BUILD,
        Awaited.BUILDER_STOPPED,
        Awaited.BLUE_SETTLED,
        Awaited.GREEN_UP,
        Awaited.AGENT,
        Awaited.HOOK,
        Awaited.BLUE_EMPTY,
        Awaited.WARM_POOL,
        Awaited.GROUP_GONE,
        Awaited.GREEN_EMPTY,
    }
)
PARTS = 20
#: How long calls may fail for passing reasons (throttling, 5xx, no connection) before we give up.
PATIENCE = 600.0
#: Tries of a call that AWS refuses for good while we undo or finish; before that the first refusal is enough.
TRIES = 3
#: SetInstanceProtection takes this many instances a call (EC2 Auto Scaling API).
PROTECTION_BATCH = 50
#: So many looks in a row decide whether green's targets are healthy, where nothing else is said (S2: several).
LOOKS = 3
#: The phases in which green is judged, its targets from when it has joined.
JUDGED = frozenset({Phase.CHECKING, Phase.OVERLAPPING, Phase.HOLDING, Phase.SWITCHING, Phase.SOAKING, Phase.RETIRING})


@dataclass(frozen=True)
class Enter:
    """Go on to this phase."""

    phase: Phase
    image: str = ""  # the AMI that is known from there on


@dataclass(frozen=True)
class RollBack:
    """Return to blue."""

    reason: Reason
    message: str


@dataclass(frozen=True)
class Wait:
    """Look again in `seconds`. `deadline` (epoch seconds): when the waiting ends by itself, if it does."""

    awaited: Awaited
    seconds: float
    deadline: float | None = None


@dataclass(frozen=True)
class Rest:
    """The release is over. `left` names what it made that is still there and is not live."""

    outcome: Outcome
    reason: Reason
    message: str
    left: tuple[str, ...] = ()


Decision = Act | Enter | RollBack | Wait | Rest


@dataclass(frozen=True)
class Situation:
    """What one decision is made from."""

    release: Release
    seen: Observation
    config: Config
    now: float

    @property
    def before(self) -> BlueBefore:
        """Blue as it was before it was pinned; only asked for after PIN_BLUE began."""
        assert self.release.blue is not None
        return self.release.blue

    @property
    def stranger(self) -> Group | None:
        """A group that has green's name but belongs to another release: bluegreen leaves it alone.

        It may be blue itself, or a later green, when the journal is old.
        """
        green = self.seen.green
        if green is None:
            return None
        ours = green.name != self.release.blue_group and self.release.owns(green.release, green.token)
        return None if ours else green

    @property
    def phase_age(self) -> float:
        """Seconds since the phase was entered, or since it is watched: time that nobody watched is no delay."""
        return self.now - self.watched_since

    @property
    def watched_since(self) -> float:
        """Since when this phase is watched, less the time in which bluegreen could not read AWS; epoch seconds.

        A release of size 0 begins again when someone gives it instances.
        """
        return max(self.release.in_phase_since, self.release.watched_since, self.release.woken_at)

    @property
    def blue_gone_by(self) -> float:
        """When everything that blue's own hooks and delays can take must be over; epoch seconds."""
        return self.watched_since + self.before.leaves_within

    def began(self, verb: Verb) -> bool:
        """The act was at least attempted."""
        return verb in self.release.began

    def did(self, verb: Verb) -> bool:
        """The act was done, and not begun again since."""
        done, begun = self.release.did.get(verb), self.release.began.get(verb)
        return done is not None and begun is not None and done.seq > begun.seq

    def over(self, verb: Verb) -> bool:
        """The act was done, or given up."""
        return self.did(verb) or verb in self.release.gave_up

    def age(self, verb: Verb) -> float:
        """Seconds since the act was last begun."""
        return self.now - self.release.began[verb].at

    def fresh(self, verb: Verb) -> bool:
        """The act was begun so lately that AWS may not show it yet."""
        return self.began(verb) and self.age(verb) < GRACE

    def settled(self, verb: Verb) -> bool:
        """The act was done so long ago that AWS must show it."""
        return self.did(verb) and not self.fresh(verb)

    def not_taken(self, verb: Verb, codes: frozenset[str]) -> bool:
        """Whether AWS surely did not take the last attempt: it answered with one of these codes."""
        failed, begun = self.release.failed_attempt, self.release.began.get(verb)
        return bool(failed and begun and failed.verb is verb and failed.seq > begun.seq and failed.code in codes)

    def wait(self, awaited: Awaited, deadline: float | None = None, *, calm: bool = False) -> Wait:
        """Look again after `poll`; when calm and all is well, less often; never past the deadline.

        Calm is a long wait in which nothing is expected. Where green is judged a first bad answer ends it, so that the
        next ones come at the usual pace; a check that asks for more (`every`) gets it.
        """
        pace = self.config.poll
        if awaited in AWS_WORKS:
            pace = max(pace, min(self.phase_age / PARTS, CALM * pace))
        judged = self.release.phase in JUDGED
        if calm and not (judged and any(not state.passed for state in self.release.checks.values())):
            pace = min([CALM * pace, *(check.every for check in self.checks)])
        left = pace if deadline is None else min(pace, deadline - self.now)
        return Wait(awaited, max(left, 0.05), deadline)

    @property
    def checks(self) -> tuple[Check, ...]:
        """The configured checks of this phase."""
        return judged(self.release, self.config)

    @property
    def all_held_since(self) -> float | None:
        """When the last of this phase's checks came to hold; None while any does not."""
        names = [check.name for check in self.checks]
        if self.targets_judged:
            names.append(TARGETS)
        since = [held_since_of(self.release.checks.get(name)) for name in names]
        if None in since:
            return None
        return max((at for at in since if at is not None), default=self.release.in_phase_since)

    @property
    def targets_judged(self) -> bool:
        """Whether green is in target groups in this phase: with weights it is before it gets any traffic."""
        joined = self.release.weighted and Verb.JOIN_GREEN in self.release.did
        return not self.release.idle and (joined or self.release.phase is not Phase.CHECKING)

    def shifted(self, share: int) -> bool:
        """Whether every listener gives green exactly this share (S4)."""
        return self.seen.share("green") == share

    @property
    def green_serves(self) -> bool:
        """Green alone can carry what blue carries (S1, S2, S3)."""
        return len(self.seen.serving(self.seen.green)) >= self.release.size

    @property
    def blue_serves(self) -> bool:
        """Blue alone can carry all traffic, because it is complete (S1, S11).

        If it was at size 0, it has to be as large as it wants to be now.
        """
        blue = self.seen.blue
        wants = blue.desired if blue else 0
        return len(self.seen.serving(blue)) >= (max(self.before.desired, self.release.wanted) or wants)

    @property
    def green_may_go(self) -> bool:
        """Users lose nothing without green: blue is complete or, before the switch of a cure, as healthy as it was.

        With weights, a green without a share carries nothing.
        """
        green = len(self.seen.serving(self.seen.green))
        others = sum(len(self.seen.serving(group)) for group in (self.seen.blue, *self.seen.crowding))
        as_it_was = bool(self.release.cure) and self.release.left_whole is None and others >= self.release.borne
        idle = green == 0 or (self.release.weighted and not self.seen.in_traffic("green"))
        return self.blue_serves or (as_it_was and (others > 0 or idle))


def woken(s: Situation) -> Act | None:
    """Somebody gave instances to blue, or to green, of a release of size 0: from then on it is like any other."""
    green = None if s.stranger else s.seen.green
    begun = s.release.woken_at > 0 and not s.did(Verb.GROW_GREEN)
    if green is None or green.deleting or not (s.release.idle or begun):
        return None
    size = max(s.seen.blue.desired if s.seen.blue else 0, green.desired, s.release.size)
    return Act(Verb.GROW_GREEN, size=size) if size else None


def rest_out(s: Situation) -> Decision:
    """Take the groups of failed releases out of the target groups; stop if someone returns them again and again."""
    if s.phase_age >= s.config.timeouts.healthy:
        still = f"{in_target_groups(s.seen.crowding)} still, despite several attempts to remove them"
        return RollBack(Reason.CHANGED_OUTSIDE, still)
    if s.did(Verb.TAKE_REST_OUT) and s.fresh(Verb.TAKE_REST_OUT):
        return s.wait(Awaited.READ_BACK)
    return Act(Verb.TAKE_REST_OUT, groups=tuple(group.name for group in s.seen.crowding))


def catch_up(s: Situation, verb: Verb, group: Group | None) -> Act | None:
    """Do what scheduled actions missed while they were suspended, once they run again on this group."""
    before, followed = s.release.blue, s.release.followed
    if group is None or before is None or before.scheduled_until is None or "ScheduledActions" in before.suspended:
        return None
    some = before.schedules or (followed is not None and followed.scheduled)
    due = some and _resumed(s, verb, group) and not s.over(Verb.CATCH_UP)
    return Act(Verb.CATCH_UP, group=group.name) if due else None


def _resumed(s: Situation, verb: Verb, group: Group) -> bool:
    """Who resumes takes our mark off last: without it, a driver resumed that died before it recorded that."""
    return s.did(verb) or (s.began(verb) and not group.held_by)


def not_done(release: Release) -> tuple[str, ...]:
    """What a release could not do for who serves, or could not remove; in AWS's words."""
    said = {
        Verb.HAND_ALARMS_OVER: f"alarms of {release.blue_group}'s policies, which do not watch {release.green_group}",
        Verb.CATCH_UP: "what scheduled actions would have set while they were suspended, which was not caught up",
        Verb.MAKE_WARM_POOL: f"no warm pool on {release.green_group}, though {release.blue_group} had one",
        Verb.DROP_ALARMS: f"alarms whose names end in -{release.green_group}, which act on nothing",
    }
    gave_up = release.gave_up
    told = [f"{text} ({gave_up[verb].rstrip('.')})" for verb, text in said.items() if verb in gave_up]
    return (*told, *packed_source(release))


def packed_source(release: Release) -> tuple[str, ...]:
    """The packed source that is still in its bucket, with the command that deletes it."""
    uri = release.source_uri
    return (f"the packed source: {remove_object(uri)}",) if uri else ()


def halt(s: Situation, reason: Reason, message: str) -> Rest:
    """Stop and call for a person; nothing more is touched."""
    return Rest(Outcome.FAILED, reason, message, leftovers(s.release, s.seen))


def leftovers(release: Release, seen: Observation | None = None) -> tuple[str, ...]:
    """What this release made or changed, still exists and gets no traffic, with the command that removes it (S5).

    A group that gets traffic, or may get it according to `seen`, is not a leftover; its image and version are not,
    either.
    """
    left = list(remaining(release, seen))
    if _green_may_serve(release, seen):
        left += _half_emptied(release, seen)
        if Verb.TAKE_BLUE_OUT not in release.began and release.share < ALL:
            both = "a release with `--cure` takes out both"  # what is ill is not returned to
            back = both if release.cure else f"bluegreen rollback {release.service}"
            left.append(f"group {release.green_group}, which gets traffic beside {release.blue_group}: {back}")
    else:
        left += _made(release, seen)
    left += left_outside(release, seen, *_staying(release, seen))
    left += packed_source(release)
    if Verb.START_BUILDER in release.began and Verb.STOP_BUILDER not in release.did:
        stop = f"aws ec2 stop-instances --instance-ids {release.builder}"
        left.append(f"builder {release.builder}, perhaps running: {stop}")
    pinned = not release.never_done(Verb.PIN_BLUE) and not {Verb.UNPIN_BLUE, Verb.EMPTY_BLUE} & release.did.keys()
    if pinned and release.blue is not None and not (seen and not _held(release, seen.blue)):
        left.append(_pins(release, release.blue))
    return tuple(left)


def _staying(release: Release, seen: Observation | None) -> tuple[Group | None, ...]:
    """The groups that nobody is told to delete."""
    if seen is None or Verb.EMPTY_BLUE in release.began:
        return ()
    return (seen.blue, seen.green) if _green_may_serve(release, seen) else (seen.blue,)


def _green_may_serve(release: Release, seen: Observation | None) -> bool:
    if release.never_done(Verb.JOIN_GREEN):
        return False
    return True if seen is None else seen.in_traffic("green")


def _made(release: Release, seen: Observation | None) -> list[str]:
    """Green without traffic, its version, its image; a green that is another's or gone is not named."""
    left, green = [], seen.green if seen else None
    theirs = green is not None and not release.owns(green.release, green.token)
    if not (release.never_done(Verb.CREATE_GREEN) or theirs or Verb.RETURN_GREEN in release.did):
        left.append(f"group {release.green_group}: {_remove(release, release.green_group)}")
    if theirs:
        return left
    attached = release.attached
    if attached and attached.alarms and Verb.DROP_ALARMS not in release.did:
        left.append(f"alarms {', '.join(attached.alarms)}: {delete_alarms(attached.alarms)}")
    if release.template_version is not None and release.blue is not None:
        version, template = release.template_version, release.template
        left.append(f"version {version} of the launch template {template}: {delete_version(template, version)}")
    if release.made_image:
        left.append(f"image {release.made_image}: aws ec2 deregister-image --image-id {release.made_image}")
    return left


def _half_emptied(release: Release, seen: Observation | None) -> list[str]:
    """Blue that was being emptied, once it gets no traffic."""
    emptying = Verb.EMPTY_BLUE in release.began and seen is not None and seen.blue is not None
    if not emptying or seen is None or seen.in_traffic("blue"):
        return []
    return [f"group {release.blue_group}, which gets no traffic: {_remove(release, release.blue_group)}"]


def _remove(release: Release, group: str) -> str:
    """The command by which nothing of a group runs any more; one of a standing pair stays."""
    return empty_group(group) if release.pair else delete_group(group)


def _held(release: Release, blue: Group | None) -> bool:
    return blue is not None and release.holds(blue.held_by)


#: Green's share of the traffic, in percent, once blue has none.
ALL = 100


def _pins(release: Release, before: BlueBefore) -> str:
    version = f"template version {before.template_version}"
    return f"pins on group {release.blue_group} (its own: minimum {before.minimum}, {version})"


def held_since_of(state: CheckState | None) -> float | None:
    """Since when a check holds; a check that never answered does not."""
    return state.held_since if state else None


def of_balancer(check: Check) -> bool:
    """Whether the check is of a metric that the load balancer keeps of green's target group."""
    return getattr(check, "namespace", "") is None


def runs_on_green(check: Check) -> bool:
    """Whether the check is a command on each of green's instances."""
    return hasattr(check, "run")


def judged(release: Release, config: Config) -> tuple[Check, ...]:
    """The configured checks of the release's phase; the load balancer's metrics of green from when it has a share.

    The short path runs only checks of green before the switch: others would see the blue that it replaces.
    """
    if release.idle or (release.phase is Phase.RETIRING and release.emptying):
        return ()
    word = when_word(release.phase)
    early = release.short and word != "soaking"
    return tuple(
        check
        for check in config.checks
        if word in check.when
        and not (of_balancer(check) and release.share_since is None)
        and not (early and not _of_green_alone(check, release))
    )


def _of_green_alone(check: Check, release: Release) -> bool:
    """Whether blue has no part in the answer: a command on green, or a page asked of green while it has no traffic."""
    alone = release.phase is Phase.CHECKING and Verb.JOIN_GREEN in release.did
    return runs_on_green(check) or (hasattr(check, "http") and alone)


def when_word(phase: Phase) -> str:
    """The word in a check's `when` for a phase.

    Both serve in holding and switching as in overlapping; while blue retires green serves alone as in soaking.
    """
    if phase in (Phase.HOLDING, Phase.SWITCHING):
        return "overlapping"
    return "soaking" if phase is Phase.RETIRING else phase.value


def drained(s: Situation, group: Group | None) -> Decision | None:
    """Requests in flight end before their instances do; a target group drains for as long as it says, at most."""
    if s.seen.draining(group) and s.phase_age < s.before.drain + GRACE:
        return s.wait(Awaited.DRAINED, s.watched_since + s.before.drain + GRACE, calm=True)
    return None
