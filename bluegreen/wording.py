"""Events, acts and waits in plain sentences: the only place where progress is worded.

Plain text, one line, no markup: a log, a terminal and a chat message show the same words.
A sentence says only what is known: an act that was *done* is a call that AWS took, not yet its effect.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from bluegreen.events import (
    HELD,
    PARKED,
    PASSING,
    Act,
    Awaited,
    Awaiting,
    Blinded,
    CheckState,
    Detached,
    Did,
    DriverStopped,
    Entered,
    Erred,
    Event,
    EventKind,
    Expiring,
    Facts,
    Fleet,
    HoldOrdered,
    ImageState,
    Observed,
    ObservedState,
    Outcome,
    Parked,
    Phase,
    Promoted,
    Reason,
    Resumed,
    RollbackOrdered,
    Settled,
    Started,
    Stumbled,
    SubjectState,
    TakenUp,
    Verb,
)
from bluegreen.release import MINUTE, TELLING, Release, agreeing, count_of, duration, listed, moment, prefixes

#: verb -> (what is to be done, what was done)
_ACTS: Mapping[Verb, tuple[str, str]] = {
    Verb.CLAIM_BUILDER: ("claim {builder}", "claimed {builder}"),
    Verb.START_BUILDER: ("start {builder}", "started {builder}"),
    Verb.RUN_BUILD: ("run the build of {commit} on {builder}", "sent the build of {commit} to {builder}"),
    Verb.RUN_BUILD_CHECK: ("run the check of the build on {builder}", "sent the check of the build to {builder}"),
    Verb.STOP_BUILDER: ("stop {builder}", "told {builder} to stop"),
    Verb.MAKE_IMAGE: ("make image {image_name} of {builder}", "ordered image {image_name} of {builder}{made_image}"),
    Verb.FREE_BUILDER: ("free {builder} for other releases", "freed {builder} for other releases"),
    Verb.DROP_SOURCE: ("delete the packed source {source} from S3", "deleted the packed source {source} from S3"),
    Verb.MARK_IMAGE: ("mark image {image} as good", "marked image {image} as good"),
    Verb.DROP_IMAGE: ("drop the old image {image}", "dropped the old image {image}"),
    Verb.PIN_BLUE: (
        "pin {blue}: template version {blue_version}, minimum as its size",
        "pinned {blue}: template version {blue_version}, minimum as its size",
    ),
    Verb.SUSPEND_BLUE: ("suspend {processes} on {blue}", "suspended {processes} on {blue}"),
    Verb.MAKE_TEMPLATE_VERSION: (
        "make a new version of launch template {template} with image {image}",
        "made {version} of launch template {template} with image {image}",
    ),
    Verb.CREATE_GREEN: ("create {green} with {servers}", "created {green} with {servers}"),
    Verb.SUSPEND_GREEN: ("suspend {processes} on {green}", "suspended {processes} on {green}"),
    Verb.ATTACH_GREEN: ("attach to {green} what is attached to {blue}", "attached to {green}: {attached}"),
    Verb.RUN_BEFORE_SWITCH: ("run the hook before_switch on {instance}", "sent the hook before_switch to {instance}"),
    Verb.JOIN_GREEN: ("join {green} to {green_targets}", "joined {green} to {green_targets}"),
    Verb.SHIFT: ("give {given}", "gave {given}"),
    Verb.GROW_GREEN: ("grow {green} to {servers}", "told {green} to grow to {servers}"),
    Verb.TAKE_BLUE_OUT: ("take {blue} out of {blue_targets}", "took {blue} out of {blue_targets}"),
    Verb.TAKE_REST_OUT: ("take {rest} out of the target groups", "took {rest} out of the target groups"),
    Verb.JOIN_BLUE: ("join {blue} to {blue_targets} again", "joined {blue} to {blue_targets} again"),
    Verb.TAKE_GREEN_OUT: ("take {green} out of {green_targets}", "took {green} out of {green_targets}"),
    Verb.UNPROTECT_BLUE: ("lift the scale-in protection of {blue}", "lifted the scale-in protection of {blue}"),
    Verb.FOLLOW_BLUE: (
        "give {green} what the owner changed on {blue} since {green} was made",
        "gave {green} what the owner changed on {blue}: {followed}",
    ),
    Verb.STILL_BLUE: (
        "suspend {processes} on {blue}, so that nothing starts it again",
        "suspended {processes} on {blue}, so that nothing starts it again",
    ),
    Verb.EMPTY_BLUE: ("set the size and the maximum of {blue} to 0", "set the size and the maximum of {blue} to 0"),
    Verb.HAND_ALARMS_OVER: ("point the alarms of {blue} at {green}", "pointed {alarms} at {green}"),
    Verb.DRAIN_WARM_POOL: ("set the warm pool of {blue} to 0", "set the warm pool of {blue} to 0"),
    Verb.DELETE_WARM_POOL: ("delete the warm pool of {blue}", "ordered the deletion of the warm pool of {blue}"),
    Verb.DELETE_BLUE: ("delete {blue}", "ordered the deletion of {blue}"),
    Verb.RESTORE_GREEN: ("give {green} the sizes that {blue} had", "gave {green} the sizes that {blue} had{stays}"),
    Verb.RESUME_GREEN: ("resume {processes} on {green}", "resumed {processes} on {green}"),
    Verb.CATCH_UP: (
        "catch up on the scheduled actions of {group}",
        "caught up on the scheduled actions of {group}: {caught_up}",
    ),
    Verb.MAKE_WARM_POOL: ("give {green} the warm pool that {blue} had", "gave {green} the warm pool that {blue} had"),
    Verb.RUN_AFTER_LIVE: ("run the hook after_live on {instance}", "sent the hook after_live to {instance}"),
    Verb.SET_DEFAULT_VERSION: (
        "make {version} the default of launch template {template}",
        "made {version} the default of launch template {template}",
    ),
    Verb.DROP_GROUP: (
        "delete {group}, which an earlier release kept empty",
        "ordered the deletion of {group}, which an earlier release had kept empty",
    ),
    Verb.DROP_VERSIONS: (
        "delete {old_versions} of launch template {template}",
        "deleted {old_versions} of launch template {template}",
    ),
    Verb.DROP_ALARMS: ("delete the copies of alarms that act on {green}", "deleted {alarms} that acted on {green}"),
    Verb.KEEP_GREEN: (
        "suspend the processes that change {green}, and keep it for inspection",
        "suspended the processes that change {green}, which stays for inspection until {until}",
    ),
    Verb.DELETE_GREEN: ("delete {green}", "ordered the deletion of {green}"),
    Verb.EMPTY_GREEN: ("set the size of {green} to 0", "set the size of {green} to 0"),
    Verb.RETURN_GREEN: (
        "give {green} back to its owner as it was",
        "gave {green} back to its owner, with its own sizes, template version, processes and tags",
    ),
    Verb.DELETE_TEMPLATE_VERSION: (
        "delete {version} of launch template {template}",
        "deleted {version} of launch template {template}",
    ),
    Verb.UNPIN_BLUE: ("put back what was pinned on {blue}{sizes}", "put back what was pinned on {blue}{sizes}"),
    Verb.RESUME_BLUE: ("resume {processes} on {blue}", "resumed {processes} on {blue}"),
}

#: The same of a standing pair, where it is otherwise: no group is made or removed.
_ACTS_OF_A_PAIR: Mapping[Verb, tuple[str, str]] = {
    Verb.CREATE_GREEN: (
        "give {green}, the idle one of the pair, {new_version} and {servers}",
        "gave {green}, the idle one of the pair, {new_version} and {servers}",
    ),
}

_REASONS: Mapping[Reason, str] = {
    Reason.COMPLETED: "every check held",
    Reason.ORDERED: "a person ordered it",
    Reason.CHECK_FAILED: "a check failed",
    Reason.NEVER_HEALTHY: "green did not become healthy in time",
    Reason.BUILD_FAILED: "the build failed",
    Reason.BUILD_LATE: "the image was not ready in time",
    Reason.BUILDER_RUNNING: "the builder was already running, and this release had not started it",
    Reason.BUILDER_LOST: "the builder is gone or was stopped during the build",
    Reason.IMAGE_FAILED: "AWS could not make the image",
    Reason.HOOK_FAILED: "a hook failed",
    Reason.LAUNCH_LATE: "green's instances did not come up in time",
    Reason.LAUNCH_REFUSED: "green could not be launched",
    Reason.HOLD_EXPIRED: "nobody promoted in time",
    Reason.DENIED: "a permission is missing",
    Reason.AWS_ERROR: "AWS refused a call",
    Reason.BLIND: "bluegreen could not read AWS for too long",
    Reason.COPY_DIFFERS: "green could not be made as blue is",
    Reason.CHANGED_OUTSIDE: "someone else changed a resource of the release",
    Reason.BLUE_UNHEALTHY: "blue is unhealthy, so it must not get traffic",
    Reason.BLUE_UNSETTLED: "blue was scaling for too long",
    Reason.RETIRE_LATE: "blue did not become empty in time",
    Reason.MISTAKE: "internal error of bluegreen",
    Reason.UNDER_WAY: "another release of the service is under way",
    Reason.UNRESOLVED: "the last release failed and left resources behind",
    Reason.FROZEN: "the service is frozen",
    Reason.BAD_COMMIT: "this commit was rolled back",
    Reason.IN_THE_WAY: "a finding is in the way",
    Reason.NOT_PERMITTED: "this person may not do it",
    Reason.MOVED_ON: "the release is past that",
    Reason.NOTHING_TO_DO: "there is no such release",
}

#: What a person may override, as it is told of an order that did.
_OVERRIDDEN: Mapping[str, str] = {Reason.FROZEN: "the freeze", Reason.BAD_COMMIT: "an earlier rollback of it"}

#: Reasons whose message says it all.
_ALONE = frozenset(
    {
        Reason.CHECK_FAILED,
        Reason.NEVER_HEALTHY,
        Reason.BUILD_FAILED,
        Reason.BUILD_LATE,
        Reason.BUILDER_RUNNING,
        Reason.BUILDER_LOST,
        Reason.IMAGE_FAILED,
        Reason.HOOK_FAILED,
        Reason.HOLD_EXPIRED,
        Reason.LAUNCH_REFUSED,
        Reason.BLUE_UNSETTLED,
        Reason.MISTAKE,
    }
)

_PHASES: Mapping[Phase, str] = {
    Phase.BAKING: "bluegreen makes the image, or finds it",
    Phase.LAUNCHING: "blue is pinned and green boots",
    Phase.CHECKING: "green must pass its checks before it gets traffic",
    Phase.OVERLAPPING: "blue and green both serve",
    Phase.HOLDING: "both serve until a person promotes",
    Phase.SWITCHING: "blue is taken out of the load balancer",
    Phase.SOAKING: "green serves alone; blue keeps running, so a rollback takes seconds",
    Phase.RETIRING: "blue is emptied and removed; once it is empty, there is no rollback",
    Phase.ROLLING_BACK: "the traffic returns to blue, then green is removed",
}

_PHASES_OF_A_PAIR: Mapping[Phase, str] = {
    Phase.RETIRING: "blue is emptied, and is the idle one from then on; once it is empty, there is no rollback",
    Phase.ROLLING_BACK: "the traffic returns to blue, then green is emptied and is the idle one again",
}

_WAITS: Mapping[Awaited, str] = {
    Awaited.BUILDER_FREE: "another release to free {builder}",
    Awaited.BUILDER_UP: "{builder} to boot and answer",
    Awaited.BUILD: "the build on {builder}",
    Awaited.BUILDER_STOPPED: "{builder} to stop",
    Awaited.IMAGE: "image {image_name} to become available{image_progress}",
    Awaited.GREEN_UP: "green's instances to come in service{green_count}{green_in_the_way}",
    Awaited.AGENT: "an SSM agent on green to answer",
    Awaited.HOOK: "the hook on green to end",
    Awaited.CHECKS: "every check to hold{open_checks}{green_in_the_way}",
    Awaited.STEP: "the next step of green's share{open_checks}",
    Awaited.OVERLAP: "the overlap to pass{open_checks}",
    Awaited.PROMOTION: "a person to promote{approvals}",
    Awaited.GREEN_GROWN: "green to catch up with blue's size{green_count}{green_in_the_way}",
    Awaited.READ_BACK: "the load balancer to show the last change",
    Awaited.SOAK: "the soak to pass",
    Awaited.CLIENTS: "sticky clients to leave green",
    Awaited.DRAINED: "requests in flight to end",
    Awaited.BLUE_HEALTHY: "blue to be healthy{blue_serving}{blue_in_the_way}",
    Awaited.BLUE_EMPTY: "blue's instances to leave{blue_left}{blue_in_the_way}",
    Awaited.WARM_POOL: "the warm pool of {blue} to be gone",
    Awaited.GROUP_GONE: "the deleted group to be gone",
    Awaited.GREEN_EMPTY: "green's instances to leave{green_left}{green_in_the_way}",
    Awaited.REFRESHED: "the instance refresh of {blue} to end",
    Awaited.BLUE_SETTLED: "{blue} to settle, as it is scaling{blue_count}{blue_in_the_way}",
    Awaited.RETRY: "the next try{failed_attempt}",
    Awaited.REACHABLE: "AWS to answer again",
}

#: Control sequences of terminals (ECMA-48, 5.4).
_CODES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")

_TRAFFIC = {
    "blue": "the traffic goes to blue alone",
    "both": "the traffic goes to blue and green",
    "green": "the traffic goes to green alone",
    "nobody": "the traffic goes to nobody",
}


# --- what happened -----------------------------------------------------------------------------------------


def sentence(event: Event, release: Release) -> str:
    """What happened, in one plain sentence. `release` is the release with the event folded in.

    It never raises: it describes an event of another build in an unknown form as just that.
    """
    try:
        return one_line(_told(event, release))
    except Exception:  # whoever shows a release must not fail over one of its lines
        return f"event {event.seq} ({phase_title(event.kind)}) is unknown to this version"


def _told(event: Event, release: Release) -> str:
    match event.payload:
        case Started() as started:
            return _started(started, release)
        case Entered() as entered:
            return _entered(entered, release)
        case Act() as act:
            return f"about to {_done(act, release, 0)}"
        case Did() as did:
            return _done(did, release, 1)
        case Stumbled() as stumbled:
            return _after_failed_attempt(stumbled, release)
        case Observed() as observed:
            return _observed(observed, event.at, release)
        case Awaiting(awaited, deadline):
            return awaiting(awaited, deadline, event.at, release)
        case Blinded(message=message):
            said = f": {message.rstrip('.')}" if message else ""
            return f"bluegreen could not read AWS{said}; it changes nothing until it can"
        case Erred(message=message):
            return f"internal error of bluegreen: {message}; it tries again soon, and changes nothing until then"
        case DriverStopped():
            return f"the driver was stopped; it began nothing new, and {release.id} can be resumed"
        case TakenUp() as taken_up:
            return _taken_up(taken_up, release)
        case Settled() as settled:
            return _outcome(release, settled.outcome, settled.reason, settled.message)
        case ordered:
            return _ordered(ordered, release)


def _ordered(ordered: Promoted | HoldOrdered | RollbackOrdered | Resumed, release: Release) -> str:
    who = person(ordered.who)
    match ordered:
        case Promoted(override=override, despite=despite):
            return f"{who} promoted {release.id}{_approvals(release)}{_in_spite(override, despite)}"
        case HoldOrdered():
            return f"{who} ordered {release.id} to wait for a promotion"
        case RollbackOrdered(why=why):
            return f"{who} ordered the rollback of {release.id}{': ' + why if why else ''}"
        case Resumed():
            return f"{who} resumed {release.id} in {phase_title(release.phase)}"


def _started(started: Started, release: Release) -> str:
    what = f"{release.commit[:8]} " if release.commit else ""
    of = f"of #{release.again}, all else as it is now, " if release.again else ""
    image = f"with image {release.image} {of}" if release.image else ""
    return (
        f"{person(started.who)} started {release.id}: {what}{image}from {release.blue_group} to {release.green_group}"
        f"{_in_spite(started.override, started.despite)}{without_return(release)}"
    )


def without_return(release: Release) -> str:
    """Says that a release has no rollback to blue, and why; empty when it has."""
    if not release.cure:
        return ""
    size = f"; green gets {count_of(release.wanted, 'instance')}" if release.wanted else ""
    return f", a cure without a rollback to it: {release.cure}{size}"


def _entered(entered: Entered, release: Release) -> str:
    if entered.goes_back_for is not None:
        return f"returning to blue: {because(release, *entered.goes_back_for)}"
    return phase_meaning(entered.phase, release)


def _after_failed_attempt(stumbled: Stumbled, release: Release) -> str:
    message = stumbled.message
    code = f" ({stumbled.code})" if stumbled.code and stumbled.code not in message else ""
    then = "; trying again soon" if stumbled.transient else "; a permission is missing" if stumbled.denied else ""
    act = _done(Act(stumbled.verb), release, 0)
    return f"could not {act}: {message.rstrip('.')}{code}{then}"


def _observed(observed: Observed, at: float, release: Release) -> str:
    seen = observed.seen
    said = _answer(seen, release) if isinstance(seen, CheckState) else _seen(seen, at, release)
    return f"{said}; it flaps: {_changes(observed.changes, observed.over)}" if observed.changes else said


def flaps(release: Release, subject: str) -> str:
    """`changed 12 times in 2m` of what changed too often to record each change; empty of anything else."""
    pace = release.paces.get(subject)
    return _changes(pace.changes, pace.over) if pace and pace.changes else ""


def _given_by(release: Release) -> str:
    given = len(release.promoters)
    return f"{given} of {count_of(release.approvals, 'person', 'people')} {agreeing(given, 'has', 'have')}"


def _changes(changes: int, over: float) -> str:
    return f"changed {count_of(changes, 'time')} in {duration(over)}"


def _seen(seen: SubjectState, at: float, release: Release) -> str:
    subject, value = seen.subject, seen.value
    match seen:
        case Fleet():
            return f"{subject}: {_group(seen)}"
        case Expiring():
            then = "it is promoted" if seen.then == "promote" else "it is rolled back"
            given = f"only {_given_by(release)}" if release.promoters else ""
            return f"{given or 'nobody has'} promoted {release.id}: in {duration(seen.at - at)} {then}"
        case Parked() | Detached():
            return value or _out_of_the_way(subject, release)
    match subject:
        case "traffic":
            return _TRAFFIC.get(value, f"traffic: {value}")
        case "image":
            return f"image {release.image or release.image_name} is {value}{_progress(seen)}"
        case "build" | "build check":
            return f"the {subject} on builder {release.builder}: {value}"
        case "hook before_switch" | "hook after_live":
            return f"the {subject} on green: {value}"
        case "sight":
            return value
        case "held blue" | "held green":
            return value or _out_of_the_way(subject, release)
        case "taken":
            whole = f"{release.green_group} has replaced the lost instances"
            return f"{value}; the remaining instances are judged" if value else whole
        case "beside":
            return f"beside green also serves: {value}" if value else "nobody else serves beside green any more"
        case "activity":
            return f"AWS could not launch an instance of green: {value}"
    return f"{subject}: {value}"


def _out_of_the_way(subject: str, release: Release) -> str:
    """What was in the way is over."""
    group = release.green_group if subject.endswith("green") else release.blue_group
    if subject.startswith(PARKED):
        return f"no instance of {group} is kept out of service by hand any more"
    if subject.startswith(HELD):
        return f"no lifecycle hook holds instances of {group} any more"
    return f"no detached instance of {group} runs any more"


def _in_spite(override: str, despite: Iterable[str]) -> str:
    """What was overridden, and why; empty when nothing was."""
    if not override:
        return ""
    known = [_OVERRIDDEN.get(one, one) for one in despite]
    return f", despite {' and '.join(known) or 'a refusal'}: {override}"


def _taken_up(taken_up: TakenUp, release: Release) -> str:
    ahead = taken_up.clock_ahead
    clock = f"; its clock is {abs(ahead)} s {'fast' if ahead > 0 else 'slow'}" if ahead else ""
    return f"{taken_up.holder or 'a driver'} drives {release.id} on{clock}"


def beforehand(release: Release, *, loud: bool = False) -> tuple[str, ...]:
    """The findings before it began, a line each: `warning: …`, `noted: …`; `loud` leaves the notes out."""
    labels = {"warned": "warning"} if loud else {"warned": "warning", "noted": "noted"}
    return tuple(f"{labels[f['verdict']]}: {finding(f)}" for f in release.findings if f["verdict"] in labels)


def finding(f: Facts) -> str:
    """A finding, its consequence, and what to do."""
    said = f"{f['found']}: {f['harm']}" if f.get("harm") else str(f["found"])
    return one_line(f"{said}. {f['hint']}" if f.get("hint") else said)


def _group(fleet: Fleet) -> str:
    share = fleet.share
    if fleet.serving or share:
        count = f"{fleet.serving} of {fleet.desired} {'healthy' if share == 0 else 'serving'}"
    elif fleet.in_service > fleet.desired:
        count = f"{fleet.in_service} in service, {fleet.desired} wanted"
    else:
        count = f"{fleet.in_service} of {fleet.desired} in service"
    return f"{count}, {share_text(share)}" if share is not None else count


def _answer(state: CheckState, release: Release) -> str:
    name, value = f"check {state.name}", f": {state.value}" if state.value else ""
    if state.lost:
        return f"{name} {'fails' if state.certain else 'no longer holds'}{value}"
    if not state.passed:
        return f"{name} fails{times(state.streak)}{value}"
    if state.held:
        return f"{name} holds{value}"
    needs, streak = needed(release, state.name), state.streak
    return f"{name} passes{f' ({streak} of {needs})' if needs else times(streak)}{value}"


# --- what is, what is to come ------------------------------------------------------------------------------


def phase_title(phase: Phase | EventKind) -> str:
    """The phase as people write it: `rolling back`."""
    return phase.value.replace("_", " ")


def phase_meaning(phase: Phase, release: Release | None = None) -> str:
    """What goes on in the phase, in one clause; of a release, how it does there."""
    if phase is Phase.SOAKING and release and not release.can_return:
        return "green serves alone; blue was unhealthy when it left, so there is no rollback to it"
    if phase is Phase.SOAKING and release and release.cure and release.left_whole is None:
        return "green serves alone; there is no rollback to a blue that was unhealthy when it left"
    if phase is Phase.SWITCHING and release and release.cure and release.left_whole is None:
        return "green gets all the traffic as soon as it can carry it"
    if release and release.pair and phase in _PHASES_OF_A_PAIR:
        return _PHASES_OF_A_PAIR[phase]
    return _PHASES[phase]


def intent(act: Act, release: Release, *, arns: bool = True) -> str:
    """What would be done, imperative, with the real names: `create web-production-v42 with 4 instances`."""
    names = _names(act, release)
    if arns:
        names |= _targets(release, lambda arn: f"{short(arn)} ({arn})")
    return one_line(_words_of(act.verb, release)[0].format_map(names))


def awaiting(awaited: Awaited, deadline: float | None, now: float, release: Release) -> str:
    """What it waits for, and how long: `waiting for the overlap to pass, 3m 12s to go`."""
    text = f"waiting for {awaited_text(awaited, release)}"
    left = time_left(awaited, deadline, now)
    return f"{text}, {left}" if left else text


def time_left(awaited: Awaited, deadline: float | None, now: float) -> str:
    """`3m 12s to go`, `at most 8m more`, `due now`; empty when no end is known."""
    if deadline is None:
        return ""
    if deadline <= now:
        return "due now"
    # Of a time that simply passes the end is known; of everything else only when patience ends.
    passes = awaited in PASSING or awaited is Awaited.RETRY
    left = duration(deadline - now)
    return f"{left} to go" if passes else f"at most {left} more"


def awaited_text(awaited: Awaited, release: Release) -> str:
    """What it waits for, without the time."""
    blue, green = release.fleet("blue"), release.fleet("green")
    counts = {
        "green_count": f" ({green.in_service} of {green.desired})" if green else "",
        "blue_count": f" ({blue.in_service} of {blue.desired})" if blue else "",
        "blue_left": f" ({blue.in_service} left)" if blue else "",
        "green_left": f" ({green.in_service} left)" if green else "",
        "blue_serving": f" ({blue.serving} of {blue.desired})" if blue else "",
        "blue_in_the_way": _in_the_way(release, "blue"),
        "green_in_the_way": _in_the_way(release, "green"),
        "image_progress": _progress(release.observed.get("image")),
        "open_checks": _open_checks(release),
        "approvals": _approvals(release),
        "failed_attempt": f" (could not {_done(Act(s.verb), release, 0)})" if (s := release.failed_attempt) else "",
    }
    return one_line(_WAITS[awaited].format_map({**_names(None, release), **counts}))


def _progress(seen: ObservedState | None) -> str:
    """How far the image is; "" when that is unknown."""
    return f" ({seen.progress} %)" if isinstance(seen, ImageState) and seen.progress is not None else ""


def outcome_line(release: Release) -> str:
    """Where the release stands or how it ended, in one sentence that names it."""
    if release.outcome is None:
        stopped = ", interrupted" if release.interrupted else ""
        return f"{release.id} is {phase_title(release.phase)}{stopped}: {phase_meaning(release.phase, release)}"
    return one_line(_outcome(release, release.outcome, release.reason or Reason.COMPLETED, release.message))


def next_step(release: Release) -> str:
    """What a person can do now: a command, or a short sentence with one. Empty when there is nothing."""
    promote, back, on = (f"bluegreen {word} {release.service}" for word in ("promote", "rollback", "resume"))
    if release.outcome is not None:
        return _next_after(release, release.outcome)
    if release.interrupted:
        return f"go on: {on}"
    if release.rollback_pending or release.phase is Phase.ROLLING_BACK:
        return ""
    if not release.can_roll_back:
        return _back_by_release(release)
    if release.phase is Phase.HOLDING:
        return f"{promote}, or {back}"
    return f"go back: {back}"


def _next_after(release: Release, outcome: Outcome) -> str:
    match outcome:
        case Outcome.LIVE:
            return _back_by_release(release)
        case Outcome.ROLLED_BACK:
            return _after_a_rollback(release)
        case Outcome.FAILED:
            back = f"bluegreen rollback {release.service}" if release.can_roll_back else way_back(release)
            back = f"; go back: {back}" if back else ""
            back += "" if release.can_roll_back else "; or replace the serving version by a release with `--cure`"
            lost = release.reason is Reason.CHANGED_OUTSIDE
            behind = f"; if the journal is outdated: bluegreen adopt {release.service}" if lost else ""
            return f"once that is fixed: bluegreen resume {release.service}{back}{behind}"


def _after_a_rollback(release: Release) -> str:
    """What was rolled back for its own faults is refused the next time; after anything else it may be tried again."""
    ill = release.cure or release.rest  # what serves is no better than before: only a cure may begin over it
    again = f"bluegreen release{' --cure' if ill else ''}"
    back = way_back(release) if release.cure and release.back != release.again else ""
    again += f"; go back: {back}" if back else ""
    if release.reason not in TELLING:
        return f"try again once the cause is found: {again}"
    what = f"commit {release.commit[:8]}" if release.commit else f"image {release.image}"
    return f"release another one, {what} is refused from now on: {again}"


def _back_by_release(release: Release) -> str:
    """Once blue is emptied, going back is a release of an image from before; never one of what was ill."""
    command = way_back(release)
    if not command:
        return "no earlier good version is known; replace it: bluegreen release" if release.outcome else ""
    return f"go back: {command}" if release.outcome else f"once it has settled, go back: {command}"


def way_back(release: Release) -> str:
    """The command that brings back the good version before this release, once blue is empty; "" without one."""
    known = release.back is not None or bool(release.cure)
    number = release.back if known else previous_number(release)
    if (release.back_image if release.back else release.blue_image) in release.dropped_images:
        return ""
    if number:
        return f"bluegreen rollback {release.service} --to {number}"
    return "" if release.cure or not release.blue_image else f"bluegreen release --ami {release.blue_image} --cure"


def serving(release: Release) -> str:
    """The groups that get requests, according to the journal."""
    blue, green = release.blue_group, release.green_group
    if release.outcome is Outcome.LIVE:
        return green
    traffic = release.observed.get("traffic")
    seen = traffic.value if traffic else "blue"
    return {"green": green, "both": f"{blue}, {green}", "nobody": "nobody"}.get(seen, blue)


def previous_number(release: Release) -> int | None:
    """Number of the release that made blue; None when blue is older than the first release."""
    return number_of_group(release.service, release.blue_group)


def number_of_group(service: str, group: str) -> int | None:
    """Number of the service's release that made a group, by its name, or None."""
    named = "|".join(map(re.escape, prefixes(service)))
    made = re.fullmatch(rf"(?:{named})-v(\d+)", group)
    return int(made[1]) if made else None


def _outcome(release: Release, outcome: Outcome, reason: Reason, message: str) -> str:
    why = f"{because(release, reason, message)}{_left_behind(release)}"
    took = duration((release.settled_at or release.last_at) - release.started_at)
    match outcome:
        case Outcome.LIVE:
            told = message.rstrip(".") or f"{release.green_group} serves alone"
            return f"{release.id} is live after {took}: {told}{_left_behind(release)}"
        case Outcome.ROLLED_BACK:
            serves = "serves as it did before" if release.cure else "serves alone"
            return f"{release.id} was rolled back after {took}, {release.blue_group} {serves}: {why}"
        case Outcome.FAILED:
            return f"{release.id} failed in {phase_title(release.phase)}, a person must act: {why}"


def _left_behind(release: Release) -> str:
    return f"; still there: {', '.join(release.left_behind)}" if release.left_behind else ""


def because(release: Release, reason: Reason, message: str = "") -> str:
    """Why, in one clause, with what is known beside it."""
    if reason is Reason.ORDERED and release.rollback_by:
        return f"ordered by {person(release.rollback_by)}"
    if not message or reason in _ALONE:
        return message.rstrip(".") or _REASONS[reason]
    return f"{_REASONS[reason]}: {message.rstrip('.')}"


# --- small words -------------------------------------------------------------------------------------------


def age(seconds: float) -> str:
    """`just now`, `3 minutes ago`, `2 days ago`."""
    for size, word in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            return f"{count_of(int(seconds // size), word)} ago"
    return "just now"


def share_text(share: float) -> str:
    """A share in percent: `50 % of the traffic`."""
    return f"{share:g} % of the traffic" if share else "no traffic"


def times(streak: int) -> str:
    """`, 3 times in a row`; empty for a single time."""
    return f", {count_of(streak, 'time')} in a row" if streak > 1 else ""


def short(arn: str) -> str:
    """The name in a target group's ARN; anything else as it is."""
    return arn.split("/")[1] if ":targetgroup/" in arn else arn


def person(who: str) -> str:
    """The readable end of an AWS principal (`Admin/alice`); anything else as it is."""
    if not who.startswith("arn:"):
        return who or "somebody"
    return who.rsplit(":", 1)[1].split("/", 1)[-1]


def one_line(text: str) -> str:
    """What AWS or a command said may hold line ends and terminal codes: one printable line of it."""
    return " ".join("".join(c if c.isprintable() else " " for c in _CODES.sub("", text)).split())


def visible(text: str) -> str:
    r"""The text with what would act on a terminal, or turn its direction, written out (`\x1b`); lines stay lines."""
    return "".join(c if c.isprintable() or c in "\n\t\u00a0" else ascii(c)[1:-1] for c in text)


def needed(release: Release, check: str) -> int:
    """How often in a row the check must pass, by the frozen config; 0 when it does not say."""
    said = (int(c["needs"]) for c in release.config.get("checks") or () if c["name"] == check)
    return release.passes_needed(next(said, 0))


def _done(act: Act | Did, release: Release, form: int) -> str:
    return _words_of(act.verb, release)[form].format_map(_names(act, release))


def _words_of(verb: Verb, release: Release) -> tuple[str, str]:
    """What is to be done, and what was done."""
    return (_ACTS_OF_A_PAIR if release.pair and verb in _ACTS_OF_A_PAIR else _ACTS)[verb]


def _names(told: Act | Did | None, release: Release) -> dict[str, str]:
    """Every name that an act's words may hold; what is not known yet is said in words."""
    act, did = (told, None) if isinstance(told, Act) else (None, told)
    before, image = release.blue, told.image if told else ""
    size = (told.size if told else 0) or release.size
    version = (did.template_version if did else 0) or release.template_version
    return {
        "blue": release.blue_group,
        "green": release.green_group,
        "builder": f"builder {release.builder}" if release.builder else "the builder",
        "commit": release.commit[:8] or "the source",
        "source": release.source_key or "of the commit",
        "image": image or release.image or release.image_name,
        "made_image": f" ({image})" if image else "",
        "image_name": release.image_name,
        "template": release.template or "of blue",
        "new_version": f"template version {version}" if version else "the new template version",
        "blue_version": before.resolved_version if before else "as it is now",
        "version": f"version {version}" if version else "the new version",
        "until": moment(release.kept_until, MINUTE) if release.kept_until is not None else "later",
        "old_versions": _versions(told.versions if told else ()),
        "group": (told.group if told else "") or "the group",
        "instance": _instance(act or (release.act(told.verb) if told else None)),
        **_attached(did),
        "rest": " and ".join(act.groups if act else ()) or "what was left",
        "processes": ", ".join(act.processes if act else ()) or "the scaling processes",
        "servers": count_of(size, "instance") if size or before else "as many instances as blue has",
        "sizes": f" (minimum {before.minimum}, template version {before.template_version})" if before else "",
        "stays": _stays(did, release),
        "given": _given(release.share if act is None or act.share is None else act.share),
        **_targets(release, short),
    }


def _instance(act: Act | None) -> str:
    """Where a hook runs; in a plan nobody knows the id yet."""
    known = act.instances[0] if act and act.instances else ""
    return known if known.startswith("i-") else "one instance of green"


def _versions(numbers: Sequence[int]) -> str:
    """`the old version 3`, `the old versions 3, 4`; that there is none when each was gone already."""
    if not numbers:
        return "no old version"
    return f"the old {agreeing(len(numbers), 'version', 'versions')} {listed([str(number) for number in numbers])}"


def _attached(did: Did | None) -> dict[str, str]:
    """What was put on green, handed over, or caught up."""
    changed = did.attached.changed if did and did.attached else ()
    words = {"MinSize": "minimum", "MaxSize": "maximum", "DesiredCapacity": "size"}
    set_ = ", ".join(f"{words[key]} {size}" for key, size in did.sizes.items()) if did else ""
    return {
        "attached": listed(changed) or "nothing more, it has all that blue has",
        "followed": listed(changed) or "nothing",
        "alarms": count_of(len(did.alarms) if did else 0, "alarm"),
        "caught_up": f"{listed(did.actions)} set {set_}" if did and set_ else "nothing was due",
    }


def _stays(did: Did | None, release: Release) -> str:
    """That green launches from a number where its owner has `$Latest` or `$Default`; empty when it does not."""
    if not (release.reference and did and did.stays_on_version):
        return ""
    return f"; it stays on template version {did.stays_on_version}, as {release.reference} now means another"


def _given(share: float) -> str:
    """Who gets what, by the listeners' weights."""
    if share in (0, 100):
        return f"all traffic to {'green' if share else 'blue'}"
    return f"green {share_text(share)}, blue the rest"


def _targets(release: Release, name: Callable[[str], str]) -> dict[str, str]:
    both = {"blue_targets": release.blue_targets, "green_targets": release.green_targets}
    return {
        key: f"target {agreeing(len(arns), 'group', 'groups')} {', '.join(map(name, arns))}"
        for key, arns in both.items()
    }


def _in_the_way(release: Release, which: str) -> str:
    """What does not pass by itself, or not soon."""
    seen = (release.observed.get(f"{kind} {which}") for kind in (PARKED, HELD))
    found = [one.value for one in seen if one and one.value]
    return f"; {'; '.join(found)}" if found else ""


def _open_checks(release: Release) -> str:
    states: list[CheckState] = list(release.checks.values())
    still = [s.name for s in states if not s.held]
    return f" (not yet: {', '.join(still)})" if still else ""


def _approvals(release: Release) -> str:
    return f" ({len(release.promoters)} of {release.approvals})" if release.approvals > 1 else ""
