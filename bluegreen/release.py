"""A release: the fold of its events."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, tzinfo
from functools import reduce
from typing import TYPE_CHECKING, Any

from bluegreen.events import (
    DETACHED,
    REACHABLE,
    TAKEN,
    Act,
    AttachedParts,
    Awaited,
    Awaiting,
    Blinded,
    BlueBefore,
    CheckState,
    Detached,
    Did,
    DriverStopped,
    Entered,
    Erred,
    Event,
    EventKind,
    Facts,
    Fleet,
    HoldOrdered,
    IdleBefore,
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
    Taken,
    TakenUp,
    Verb,
)

if TYPE_CHECKING:
    from dataclasses import replace


#: In place of a moment before the year 1 or after 9999.
IN_NO_CALENDAR = "a time beyond the calendar"

#: A moment for people, to the minute.
MINUTE = "%Y-%m-%d %H:%M UTC"

#: Seconds that a release waits for something at most, whatever an older build recorded; `config.LONGEST` is the same.
LONGEST = 30 * 86_400.0

#: Two mistakes of bluegreen's own that are so many seconds apart are not in a row.
APART = 300.0

#: So many changes of one subject are recorded at once in a phase, then one in so many seconds: what flaps for hours
#: leaves few hundred events. What decides is always recorded; see `phases.Lately`.
BURST, EVERY = 20, 120.0

#: Acts whose lasting failure must not fail a release: their leftovers are named in its last event.
OPTIONAL = frozenset(
    {
        Verb.MARK_IMAGE,
        Verb.DROP_IMAGE,
        Verb.DROP_GROUP,
        Verb.DROP_VERSIONS,
        Verb.DELETE_BLUE,
        Verb.SET_DEFAULT_VERSION,
        Verb.DELETE_TEMPLATE_VERSION,
        Verb.HAND_ALARMS_OVER,
        Verb.DROP_ALARMS,
        Verb.KEEP_GREEN,
        Verb.CATCH_UP,
        Verb.MAKE_WARM_POOL,
        Verb.RUN_AFTER_LIVE,
        Verb.DROP_SOURCE,
    }
)
#: So long, in seconds, such an act is tried again when AWS refuses it for a passing reason.
TIDYING = 300.0

#: So long, in seconds, clients are waited for at most who stick to a target group that has lost its weight.
LONGEST_STAY = 3600.0

#: Once one of these was begun, blue is no more what it was, or green what it was made as.
_NO_RETURN = frozenset(
    {
        Verb.UNPROTECT_BLUE,
        Verb.EMPTY_BLUE,
        Verb.SET_DEFAULT_VERSION,
        Verb.RESTORE_GREEN,
        Verb.RESUME_GREEN,
        Verb.DELETE_BLUE,
    }
)

#: On a short way so many looks in a row are enough (S2: several).
SHORT = 2


#: A rollback for one of these speaks against what was released: it is remembered, and refused the next time.
TELLING = frozenset({Reason.ORDERED, Reason.CHECK_FAILED, Reason.NEVER_HEALTHY})


@dataclass(frozen=True)
class Pace:
    """How fast one subject's changes were recorded in this phase, by the times of its events alone.

    `changes` is how often it changed in the `over` seconds before `at` (epoch seconds), when some went unrecorded.
    """

    at: float
    left: float = BURST - 1.0  # so many more may be recorded at once, as of `at`
    changes: int = 0
    over: float = 0.0

    def left_by(self, now: float) -> float:
        """How many may be recorded at once by then."""
        return min(float(BURST), self.left + max(0.0, now - self.at) / EVERY)

    @property
    def exhausted(self) -> bool:
        """Whether what came next may have been left unrecorded."""
        return self.left < 1


@dataclass(frozen=True)
class FailedAttempt:
    """Failures of one act in a row."""

    verb: Verb
    count: int
    first: float
    last: float
    code: str
    message: str
    transient: bool
    denied: bool
    seq: int = 0  # number of the event that told the last one


@dataclass(frozen=True)
class Mistake:
    """Exceptions of bluegreen's own that nobody foresaw, in a row. `last`: epoch seconds."""

    count: int
    last: float
    message: str


# --- the release ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Release:
    """One attempt to bring one commit to one service, as its events tell it."""

    id: str
    service: str
    number: int
    config: Facts
    commit: str
    image: str  # AMI id; "" until it is known
    image_given: bool
    started_by: str
    started_at: float
    hold: bool  # promotion by a person is needed
    blue_group: str
    green_group: str
    image_name: str
    target_groups: tuple[str, ...]  # ARNs
    listeners: tuple[str, ...] = ()  # ARNs of listeners and rules whose weights decide; none: target groups are shared
    previews: tuple[str, ...] = ()  # ARNs of those that show green before it serves
    routes: tuple[str, ...] = ()  # how the load balancer reached the target groups when it was started
    idle_target_group: str = ""  # weighted: the one of the two that waits for green
    stickiness: float = 0.0  # seconds for which clients stay with a target group, whatever its weight
    builder: str = ""
    account: str = ""
    region: str = ""
    blue_commit: str = ""  # what blue runs, as far as the journal knows
    blue_image: str = ""  # AMI id that blue's template version carries
    source: Mapping[str, str] = field(default_factory=dict)  # where it was started: see `Engine.start`
    default_version: int = 0  # the template's default when it was started; 0 where it was not looked at
    sets_default: bool = True  # whether its version may become the template's default
    findings: tuple[Facts, ...] = ()  # what stood beside it, each as `observation.Finding.to_facts` has it
    goes_back: bool = False  # to an image that was live before: no freeze is in its way
    takes: Facts = field(default_factory=dict)  # of a release that failed: see `phases.takeover`
    back: int | None = None  # number of the release that is good and was live before, once blue is gone
    back_image: str = ""  # AMI id of that release
    again: int | None = None  # number of the release whose image and commit it has once more
    cure: str = ""  # what was wrong with blue when it was started: no promise to return to it; "" when it was whole
    borne: int = 0  # of a cure: how many of blue were healthy then
    wanted: int = 0  # of a cure: how many instances green gets at least, where blue is at size 0
    goes_back_for: tuple[Reason, str] | None = None  # why it is rolled back; what stops that has a reason of its own
    left_whole: bool | None = None  # whether blue was whole when the switch began; None before that
    source_key: str = ""  # of the packed source in its bucket; "" when the builder fetches the source itself
    token: str = ""  # random, borne by everything that it makes; "" in journals of old
    seq: int = 1
    last_at: float = 0.0
    phase: Phase = Phase.BAKING
    entered: Mapping[Phase, float] = field(default_factory=dict)
    left: Phase | None = None  # the phase that was left for rolling_back
    reason: Reason | None = None
    message: str = ""
    blue: BlueBefore | None = None
    green_before: IdleBefore | None = None  # of a standing pair: green before it was taken
    size: int = 0  # how many green must bear
    grew_from: int = 0  # how many it was made with, once it has to grow because blue did; 0 before
    share: int = 0  # green's share in percent, as it was last asked for
    share_before: int = 0  # what it was before that
    share_since: float | None = None  # when green was first given more than none of the traffic by weight
    template_version: int | None = None
    began: Mapping[Verb, Event] = field(default_factory=dict)
    tries: Mapping[Verb, int] = field(default_factory=dict)  # how often an act was begun
    refusals: Mapping[Verb, int] = field(default_factory=dict)  # and how often AWS refused it for good
    did: Mapping[Verb, Event] = field(default_factory=dict)
    checks: Mapping[str, CheckState] = field(default_factory=dict)
    observed: Mapping[str, ObservedState] = field(default_factory=dict)  # what was last observed of each subject
    paces: Mapping[str, Pace] = field(default_factory=dict)  # how fast that was recorded in this phase
    promoters: tuple[str, ...] = ()
    awaits: Awaiting | None = None  # what its driver waits for, or waited for when it stopped
    held_by: str = ""  # who ordered the hold, "" when the configuration or the start did
    rollback_by: str = ""
    failed_attempt: FailedAttempt | None = None
    mistake: Mistake | None = None
    left_behind: tuple[str, ...] = ()  # what the last event names as still there
    dropped_images: tuple[str, ...] = ()  # ids of images of the service that this release deregistered
    dropped_groups: tuple[str, ...] = ()  # groups that earlier releases had kept empty, deleted by this one
    gave_up: Mapping[Verb, str] = field(default_factory=dict)  # optional acts that AWS lastingly refused, and its words
    blind_since: float | None = None
    watched_since: float = 0.0  # limits on AWS count from here at the earliest: time that nobody watched is no delay
    interrupted: bool = False
    outcome: Outcome | None = None
    settled_at: float | None = None

    @property
    def in_phase_since(self) -> float:
        """When the present phase was entered, epoch seconds."""
        return self.entered[self.phase]

    @property
    def made_image(self) -> str:
        """Id of the AMI that this release made, "" if it made none, or does not know its id yet.

        A driver that dies having ordered it tells no id; the next one finds the image by its name.
        """
        made = self.made(Verb.MAKE_IMAGE)
        if made is not None:
            return made.image
        return self.image if Verb.MAKE_IMAGE in self.began else ""

    def act(self, verb: Verb) -> Act | None:
        """The act as it was begun last, with what it was to be done with; None before it was begun."""
        began = self.began.get(verb)
        return began.payload if began and isinstance(began.payload, Act) else None

    def made(self, verb: Verb) -> Did | None:
        """What the act made when it was done last; None before it was done."""
        did = self.did.get(verb)
        return did.payload if did and isinstance(did.payload, Did) else None

    @property
    def kept_until(self) -> float | None:
        """Until when green, which failed, is kept for inspection, epoch seconds; None when it is not."""
        act = self.act(Verb.KEEP_GREEN)
        return act.until if act and Verb.KEEP_GREEN in self.did else None

    def never_done(self, verb: Verb) -> bool:
        """Whether it was never begun, or AWS refused it for good each time: it has changed nothing."""
        return self.tries.get(verb, 0) == self.refusals.get(verb, 0)

    @property
    def source_uri(self) -> str:
        """`s3://…` of the packed source as long as it is there; "" without one."""
        if not self.source_key or Verb.DROP_SOURCE in self.did:
            return ""
        source = ((self.config.get("image") or {}).get("builder") or {}).get("source") or {}
        return f"s3://{source.get('bucket', '')}/{self.source_key}"

    @property
    def report_url(self) -> str:
        """Where its report is, by its configuration; "" when that does not say."""
        return report_url(self.config, self.service, self.number)

    @property
    def mark(self) -> str:
        """`web/production#42 9f86d081884c7d65`: what it makes has this where tags do not exist."""
        return f"{self.id} {self.token}".rstrip()

    def owns(self, release: str, token: str) -> bool:
        """Whether this release made the resource with these tags.

        Its token proves it: numbers begin again when a journal is lost, and then another release may have the same id.
        """
        return token == self.token and (bool(token) or release == self.id)

    def holds(self, held_by: str) -> bool:
        """Whether this release may restore the settings of a group with this mark.

        It restores only what it changed itself: an old or foreign journal has outdated values.
        """
        return not (self.blue and self.blue.marked) or held_by == self.mark

    def held_by_another(self, held_by: str) -> bool:
        """Whether the mark is another release's: blue, or green since it is live, is part of that one by now."""
        return bool(held_by) and not self.holds(held_by)

    def is_behind(self, held_by: str) -> bool:
        """Whether the mark is of a release of the service that began later, or in this one's place, by another journal.

        A mark of an earlier release does not count.
        """
        id_ = holder_of(held_by)
        return held_by != self.mark and id_.rpartition("#")[0] == self.service and number_of(id_) >= self.number

    @property
    def weighted(self) -> bool:
        """Whether weights decide who serves; otherwise being in the shared target groups does."""
        return bool(self.listeners)

    @property
    def pair(self) -> bool:
        """Whether blue and green are a standing pair: green was there before, and neither is ever deleted."""
        return bool(self.config.get("groups"))

    @property
    def template(self) -> str:
        """Id of the launch template that its version is made in: green's own, where it has one; "" before PIN_BLUE."""
        return self.green_before.template if self.green_before else self.blue.template if self.blue else ""

    @property
    def source_version(self) -> str:
        """Number of the version that its own is made from, with another image; "" before PIN_BLUE."""
        own, blue = self.green_before, self.blue
        return (
            own.resolved_version
            if own and blue and own.template != blue.template
            else blue.resolved_version
            if blue
            else ""
        )

    @property
    def reference(self) -> str:
        """The version that green's owner has it launch from, as the group says it; "" before PIN_BLUE."""
        before = self.green_before or self.blue
        return before.template_version if before else ""

    @property
    def blue_targets(self) -> tuple[str, ...]:
        """ARNs of the target groups that blue has to be in."""
        return tuple(arn for arn in self.target_groups if arn != self.idle_target_group)

    @property
    def green_targets(self) -> tuple[str, ...]:
        """ARNs of the target groups that green has to be in."""
        return (self.idle_target_group,) if self.idle_target_group else self.target_groups

    def targets_of(self, group: str) -> tuple[str, ...]:
        """ARNs of the target groups that this group, blue or green, has to be in."""
        return self.green_targets if group == self.green_group else self.blue_targets

    @property
    def growing(self) -> bool:
        """Whether some of green may still boot, because blue grew while both served."""
        return self.phase is Phase.SWITCHING and self.grew_from > 0

    @property
    def stay(self) -> float:
        """Seconds for which a target group without weight stays unchanged, for its sticky clients.

        A load balancer sends them there even if nobody is left to answer (AWS re:Post, target group stickiness).
        """
        return min(self.stickiness, LONGEST_STAY)

    @property
    def soak(self) -> float:
        """Seconds for which blue keeps running after the switch."""
        return 0.0 if self.idle else max(min(float(self.config.get("soak") or 0.0), LONGEST), self.stay)

    @property
    def green_stays_until(self) -> float:
        """Rolling back, when weights are: until when green is left for clients who stick to it; 0 for no time."""
        back = self.phase is Phase.ROLLING_BACK and self.share_before > self.share == 0
        return self.began[Verb.SHIFT].at + self.stay if back and self.stay else 0.0

    @property
    def approvals(self) -> int:
        """How many people must promote."""
        return int((self.config.get("promotion") or {}).get("approvals") or 1)

    @property
    def promotable(self) -> bool:
        """Whether an order to promote means something: the release waits for it, and too few people have given it."""
        open_ = not (self.outcome or self.rollback_by) and self.phase.awaits_promotion
        return open_ and len(self.promoters) < self.approvals

    @property
    def holdable(self) -> bool:
        """Whether an order to hold means something: nobody waits for a promotion yet, and it is not too late."""
        early = self.phase in (Phase.BAKING, Phase.LAUNCHING, Phase.CHECKING, Phase.OVERLAPPING)
        decided = self.outcome or self.rollback_by or len(self.promoters) >= self.approvals
        return early and not self.hold and not decided

    @property
    def returnable(self) -> bool:
        """Whether blue can be given the traffic back in seconds, and nobody has ordered it yet."""
        settled = self.outcome not in (None, Outcome.FAILED)
        return not (settled or self.rollback_by) and self.can_roll_back

    @property
    def attached(self) -> AttachedParts | None:
        """What green was given of what is attached to blue, when that was done last; None before."""
        return self._attached(Verb.ATTACH_GREEN)

    @property
    def followed(self) -> AttachedParts | None:
        """What blue had before it was emptied; None before green followed it."""
        return self._attached(Verb.FOLLOW_BLUE)

    def _attached(self, verb: Verb) -> AttachedParts | None:
        done = self.made(verb)
        return done.attached if done else None

    @property
    def rest(self) -> tuple[Facts, ...]:
        """Groups that failed releases left in the target groups, each with its `release` and `token`."""
        return tuple(self.takes.get("rest", ()))

    @property
    def known_groups(self) -> tuple[str, ...]:
        """Names of the groups beside blue and green that earlier releases left, in traffic or without."""
        left = [one["group"] for one in self.takes.get("left", ()) if not isinstance(one, str)]
        every = dict.fromkeys([*(one["group"] for one in self.rest), *left])
        return tuple(name for name in every if not (self.pair and name == self.green_group))

    @property
    def short(self) -> bool:
        """Whether the serving version is known to be worse: then two observations replace overlap and steps."""
        return bool(self.cure) or self.goes_back

    @property
    def idle(self) -> bool:
        """Whether blue was at size 0 when it was pinned, and green is: nobody serves, so there is nobody to ask."""
        return self.blue is not None and self.size == 0

    @property
    def woken_at(self) -> float:
        """When somebody gave instances to a release of size 0, epoch seconds; 0 for never."""
        asleep = self.blue is not None and not max(self.blue.desired, self.wanted)
        return self.began[Verb.GROW_GREEN].at if asleep and Verb.GROW_GREEN in self.began else 0.0

    @property
    def at_once(self) -> bool:
        """Whether it skips the overlap and the steps: for a worse version, or at size 0."""
        return self.short or self.idle

    def detached(self, group: str) -> tuple[str, ...]:
        """Ids of those who were seen last as detached from this group, running on outside of every group."""
        which = "green" if group == self.green_group else "blue"
        return self.aside(DETACHED[which])

    def aside(self, subject: str) -> tuple[str, ...]:
        """Ids of those who were seen last as parked or detached, by the subject of that observation."""
        seen = self.observed.get(subject)
        return seen.instances if isinstance(seen, Parked | Detached) else ()

    @property
    def taken(self) -> Taken | None:
        """Whom AWS or a person's hand took of green, as it was seen last; None when nobody ever was."""
        seen = self.observed.get(TAKEN)
        return seen if isinstance(seen, Taken) else None

    def fleet(self, which: str) -> Fleet | None:
        """How `blue` or `green` was seen last; None before that."""
        seen = self.observed.get(which)
        return seen if isinstance(seen, Fleet) else None

    def passes_needed(self, needs: int) -> int:
        """How many passes in a row this release needs of a check that asks for so many."""
        return min(needs, SHORT) if self.short else needs

    @property
    def blue_whole(self) -> bool:
        """Whether blue was seen last with all that it should have in service and healthy."""
        seen = self.fleet("blue")
        return seen is not None and seen.serving >= max(seen.desired, self.wanted, 1)

    @property
    def can_return(self) -> bool:
        """Whether a rollback to blue makes sense (S11): it was healthy at the start, is not out yet, or recovered.

        In shared target groups nobody can see the health of a blue that was taken out.
        """
        return not self.cure or self.left_whole is not False or (self.weighted and self.blue_whole)

    @property
    def can_roll_back(self) -> bool:
        """Whether a rollback may be ordered now, or happen by itself: until blue is emptied, if it is worth it."""
        retires = self.phase is Phase.RETIRING and not self.emptying
        return (retires or self.phase.can_roll_back) and self.can_return

    @property
    def emptying(self) -> bool:
        """Whether blue is being emptied, or has been: then there is nothing left to return to."""
        return not _NO_RETURN.isdisjoint(self.began)

    @property
    def finishing(self) -> bool:
        """Whether an act that fails is tried again rather than undone: blue retires, or green goes, or must stay."""
        return not (self.phase.can_roll_back and self.can_return)

    @property
    def revision(self) -> str:
        """The state that a person saw when deciding: an order with another revision is stale."""
        return f"{self.id}|{'hold' if self.hold else 'auto'}"

    @property
    def rollback_pending(self) -> bool:
        """A rollback was ordered and has not begun."""
        return bool(self.rollback_by) and self.can_roll_back


def names(service: str, number: int, commit: str) -> dict[str, str]:
    """The names of everything that a release will make, fixed before it makes anything."""
    name = f"{prefixes(service)[0]}-v{number}"
    return {"green_group": name, "image_name": f"{name}-{commit[:8] or 'image'}"}


def prefixes(service: str) -> tuple[str, ...]:
    """What its names begin with: `web-production`; then what they began with in older versions.

    `web/eu-production` and `web-eu/production` would both be `web-eu-production`: where there are dashes, the length of
    the first part follows (`web-eu-production-3`, `web-eu-production-6`), so that no two services share a name.
    """
    plain = service.replace("/", "-")
    return (plain,) if plain.count("-") < 2 else (f"{plain}-{service.find('/')}", plain)


def is_name_of(service: str, group: str) -> bool:
    """Whether some release of the service has, or had, a group of this name."""
    return any(re.fullmatch(rf"{re.escape(prefix)}-v\d+", group) for prefix in prefixes(service))


def holder_of(mark: str) -> str:
    """`web/production#42` of a group's mark (`Release.mark`); "" without a mark."""
    return mark.partition(" ")[0]


def number_of(id_: str) -> int:
    """42 of `web/production#42`; 0 of anything else."""
    number = id_.rpartition("#")[2]
    return int(number) if number.isdecimal() else 0


def second_of(at: float, zone: tzinfo = UTC) -> datetime:
    """The full second in which a moment (epoch seconds) lies: never later than the moment itself.

    `datetime.fromtimestamp` rounds to microseconds, which makes the last tenth of a microsecond of a day the next day.
    """
    return datetime.fromtimestamp(math.floor(at), zone)


def moment(at: float, form: str, zone: tzinfo | None = UTC) -> str:
    """A moment (epoch seconds) by `strftime`'s form, in the zone (None: the machine's own).

    It never raises: of one that is in no calendar, which an older build may have recorded, it says just that.
    """
    try:
        return second_of(at, UTC if zone is None else zone).astimezone(zone).strftime(form)
    except (ValueError, OverflowError, OSError):
        return IN_NO_CALENDAR


def count_of(number: int, word: str, many: str = "") -> str:
    """`1 instance`, `4 instances`, `1,200 requests`; `many` is the plural where it has another form."""
    return f"{number:,} {agreeing(number, word, many or f'{word}s')}"


def agreeing(number: float, one: str = "is", many: str = "are") -> str:
    """The word that agrees with so many: `is` with 1, `are` with anything else."""
    return one if number == 1 else many


def listed(names: Sequence[str], most: int = 6) -> str:
    """`a, b and 3 more`."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def duration(seconds: float) -> str:
    """`45s`, `3m 12s`, `2h 5m`, `3d 4h`; for anything else `forever`. It never raises."""
    if not math.isfinite(seconds):
        return "forever"
    whole = max(0, round(seconds))
    minutes, s = divmod(whole, 60)
    hours, m = divmod(minutes, 60)
    days, h = divmod(hours, 24)
    if days:
        return f"{days}d {h}h" if h else f"{days}d"
    if hours:
        return f"{hours}h {m}m" if m else f"{hours}h"
    if minutes:
        return f"{minutes}m {s}s" if s else f"{minutes}m"
    return f"{s}s"


def release_id(service: str, number: int) -> str:
    """`web/production#42`."""
    return f"{service}#{number}"


def report_url(config: Mapping[str, Any], service: str, number: int) -> str:
    """Where the report of a release is, by a configuration; "" when that does not say."""
    name, _, environment = service.partition("/")
    url = str(config.get("report_url") or "")
    for field_, value in {"service": name, "environment": environment, "number": str(number)}.items():
        url = url.replace(f"{{{field_}}}", value)
    return url


if not TYPE_CHECKING:  # pragma: no branch - the type checker is never at work here

    def replace(value: Any, /, **changes: object) -> Any:
        """`dataclasses.replace`, which is its type; that passes each of seventy fields, for thousands of events."""
        changed = copy(value)
        vars(changed).update(changes)
        return changed


def fold(events: Iterable[Event]) -> Release:
    """The release that the events describe. The first must be `started`; ValueError without events."""
    first, *rest = events
    return reduce(apply, rest, _started(first))


def apply(release: Release, event: Event) -> Release:
    """The release after one more event."""
    told = _FOLD[event.kind](release, event, event.payload)
    return replace(told, seq=event.seq, last_at=event.at)


def _started(event: Event) -> Release:
    first = Started.from_facts(event.facts)
    orders = ("who", "override", "despite")
    alike = {one.name: getattr(first, one.name) for one in fields(Started) if one.name not in orders}
    return Release(
        id=event.release,
        image_given=bool(first.image),
        started_by=first.who,
        started_at=event.at,
        last_at=event.at,
        entered={Phase.BAKING: event.at},
        **alike,
    )


def _entered(release: Release, event: Event, entered: Entered) -> Release:
    phase = entered.phase
    changed = replace(
        release,
        phase=phase,
        entered={**release.entered, phase: event.at},
        paces={},
        image=entered.image or release.image,
        failed_attempt=None,
        awaits=None,
        mistake=None,
        blind_since=None,
        interrupted=False,
    )
    if entered.goes_back_for is None:
        return changed
    reason, message = entered.goes_back_for
    return replace(changed, left=release.phase, reason=reason, message=message, goes_back_for=entered.goes_back_for)


def _began(release: Release, event: Event, act: Act) -> Release:
    verb = act.verb
    tries = {**release.tries, verb: release.tries.get(verb, 0) + 1}
    changed = replace(release, began={**release.began, verb: event}, tries=tries, interrupted=False, awaits=None)
    if act.blue is not None and release.blue is None:
        size = max(act.blue.desired, release.wanted)
        return replace(changed, blue=act.blue, green_before=act.green, size=size)
    if act.size is not None:
        return replace(changed, size=act.size, grew_from=release.grew_from or release.size)
    if act.share is not None:
        changed = _shifting(changed, act.share)
    out = verb is Verb.TAKE_BLUE_OUT or (verb is Verb.TAKE_REST_OUT and release.phase is Phase.SWITCHING)
    switching = out or (verb is Verb.SHIFT and changed.share > 0)
    return replace(changed, left_whole=release.blue_whole) if switching and release.left_whole is None else changed


def _shifting(release: Release, share: int) -> Release:
    """A shift that is begun anew may have been done in part: what was before it stays what it was."""
    if share == release.share and Verb.SHIFT in release.began:
        return release
    return replace(release, share=share, share_before=release.share)


def _did(release: Release, event: Event, did: Did) -> Release:
    verb = did.verb
    first = verb is Verb.SHIFT and release.share > 0 and release.share_since is None
    dropped = {did.group} - {"", *release.dropped_groups} if verb is Verb.DROP_GROUP else ()
    image = (did.image,) if verb is Verb.DROP_IMAGE else ()
    return replace(
        release,
        dropped_images=(*release.dropped_images, *image),
        dropped_groups=(*release.dropped_groups, *dropped),
        did={**release.did, verb: event},
        share_since=event.at if first else release.share_since,
        template_version=did.template_version or release.template_version,
        failed_attempt=None,
        awaits=None,
        mistake=None,
    )


def _after_failed_attempt(release: Release, event: Event, stumbled: Stumbled) -> Release:
    verb = stumbled.verb
    before = release.failed_attempt if release.failed_attempt and release.failed_attempt.verb is verb else None
    failed_attempt = FailedAttempt(
        verb=verb,
        count=before.count + 1 if before else 1,
        first=before.first if before else event.at,
        last=event.at,
        code=stumbled.code,
        message=stumbled.message,
        transient=stumbled.transient,
        denied=stumbled.denied,
        seq=event.seq,
    )
    if not failed_attempt.transient:
        release = replace(release, refusals={**release.refusals, verb: release.refusals.get(verb, 0) + 1})
    if verb in OPTIONAL and not (failed_attempt.transient and failed_attempt.last - failed_attempt.first < TIDYING):
        return replace(
            release, failed_attempt=None, gave_up={**release.gave_up, verb: failed_attempt.message}, awaits=None
        )
    again = Awaited.BUILDER_FREE if verb is Verb.CLAIM_BUILDER else Awaited.RETRY
    return replace(release, failed_attempt=failed_attempt, awaits=Awaiting(again))


def _observed(release: Release, event: Event, observed: Observed) -> Release:
    seen = observed.seen
    if seen.subject == REACHABLE:
        return _sighted(release, event)
    before = release.paces.get(seen.subject)
    left = max(before.left_by(event.at) - 1, 0.0) if before else BURST - 1.0
    paces = {**release.paces, seen.subject: Pace(event.at, left, observed.changes, observed.over)}
    return seeing(replace(release, paces=paces), seen)


def seeing(release: Release, seen: ObservedState) -> Release:
    """The release with one more thing seen of it, recorded or not yet."""
    changed = replace(release, observed={**release.observed, seen.subject: seen})
    return replace(changed, checks={**release.checks, seen.name: seen}) if isinstance(seen, CheckState) else changed


def _sighted(release: Release, event: Event) -> Release:
    """AWS answers again: the blind seconds are taken off the delays of the phase, and no more than those."""
    blind = event.at - (event.at if release.blind_since is None else release.blind_since)
    since = max(release.watched_since, release.in_phase_since) + blind
    return replace(release, watched_since=since, blind_since=None, awaits=None)


def _blinded(release: Release, event: Event, blinded: Blinded) -> Release:
    since = release.blind_since if release.blind_since is not None else event.at
    return replace(release, blind_since=since, awaits=Awaiting(Awaited.REACHABLE))


def _awaited(release: Release, event: Event, awaits: Awaiting) -> Release:
    return replace(release, awaits=awaits)


def _erred(release: Release, event: Event, erred: Erred) -> Release:
    """Two far apart are not in a row: what works for so long in between works."""
    before = release.mistake if release.mistake and event.at - release.mistake.last < APART else None
    count = before.count + 1 if before else 1
    mistake = Mistake(count, event.at, erred.message)
    return replace(release, mistake=mistake, awaits=Awaiting(Awaited.RETRY))


def _promoted(release: Release, event: Event, promoted: Promoted) -> Release:
    who = promoted.who
    return release if who in release.promoters else replace(release, promoters=(*release.promoters, who))


def _hold_ordered(release: Release, event: Event, ordered: HoldOrdered) -> Release:
    """Whoever promoted before has to look again."""
    return replace(release, hold=True, held_by=ordered.who, promoters=())


def _rollback_ordered(release: Release, event: Event, ordered: RollbackOrdered) -> Release:
    reopened = _reopened(release, event) if release.outcome is Outcome.FAILED else release
    return replace(reopened, rollback_by=ordered.who, awaits=None)


def _interrupted(release: Release, event: Event, interrupted: DriverStopped) -> Release:
    return replace(release, interrupted=True)


def _taken_up(release: Release, event: Event, taken_up: TakenUp) -> Release:
    return reduce(seeing, _unsure(release, event.at), replace(release, watched_since=event.at, interrupted=False))


def _unsure(release: Release, at: float) -> Iterator[CheckState]:
    """Runs of answers that a driver which died may have seen the end of, unrecorded: a new one counts them anew."""
    for name, state in release.checks.items():
        if (pace := release.paces.get(name)) and pace.exhausted:
            yield replace(state, streak=0, since=at)


def _resumed(release: Release, event: Event, resumed: Resumed) -> Release:
    return _reopened(release, event)


def _reopened(release: Release, event: Event) -> Release:
    reason, message = release.goes_back_for or (release.reason, release.message)
    return replace(
        release,
        reason=reason,
        message=message,
        outcome=None,
        settled_at=None,
        failed_attempt=None,
        awaits=None,
        mistake=None,
        blind_since=None,
        gave_up={},
        checks={},
        paces={},
        watched_since=event.at,
    )


def _settled(release: Release, event: Event, settled: Settled) -> Release:
    return replace(
        release,
        outcome=settled.outcome,
        reason=settled.reason,
        message=settled.message,
        left_behind=settled.left,
        settled_at=event.at,
        awaits=None,
    )


_FOLD: Mapping[EventKind, Callable[[Release, Event, Any], Release]] = {
    EventKind.ENTERED: _entered,
    EventKind.BEGAN: _began,
    EventKind.DID: _did,
    EventKind.STUMBLED: _after_failed_attempt,
    EventKind.OBSERVED: _observed,
    EventKind.BLINDED: _blinded,
    EventKind.ERRED: _erred,
    EventKind.AWAITED: _awaited,
    EventKind.PROMOTED: _promoted,
    EventKind.HOLD_ORDERED: _hold_ordered,
    EventKind.ROLLBACK_ORDERED: _rollback_ordered,
    EventKind.INTERRUPTED: _interrupted,
    EventKind.TAKEN_UP: _taken_up,
    EventKind.RESUMED: _resumed,
    EventKind.SETTLED: _settled,
}
