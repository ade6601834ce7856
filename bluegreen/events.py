"""The closed words of a release, and what an event of each kind records.

Phases end in -ing, events are past tense, verbs (acts) are imperative. Each set is closed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar, Self, TypedDict

Facts = Mapping[str, Any]


class Phase(StrEnum):
    """The phase of a release. The order of the members is the usual order of the phases."""

    BAKING = "baking"  # the image is being made, or looked up
    LAUNCHING = "launching"  # blue is pinned, green is made and boots
    CHECKING = "checking"  # green is judged before it gets any traffic
    OVERLAPPING = "overlapping"  # blue and green both serve
    HOLDING = "holding"  # both serve until a person promotes
    SWITCHING = "switching"  # blue is being taken out of the load balancer
    SOAKING = "soaking"  # green serves alone; blue is whole and idle: instant rollback
    RETIRING = "retiring"  # blue is emptied and deleted; there is no rolling back from its emptying on
    ROLLING_BACK = "rolling_back"  # traffic returns to blue, then green is removed

    @property
    def can_roll_back(self) -> bool:
        """Whether a rollback may be ordered at any moment of it; see `Release.can_roll_back`."""
        return self not in (Phase.RETIRING, Phase.ROLLING_BACK)

    @property
    def awaits_promotion(self) -> bool:
        """Whether an order to promote means something now."""
        return self in (Phase.OVERLAPPING, Phase.HOLDING)


class Outcome(StrEnum):
    """How a release ended."""

    LIVE = "live"  # the load balancer serves green alone
    ROLLED_BACK = "rolled_back"  # blue serves alone, what the release made is gone
    FAILED = "failed"  # a person must act; the last event says what to do


class EventKind(StrEnum):
    """What can happen to a release."""

    STARTED = "started"  # frozen config, commit, who, every name
    ENTERED = "entered"  # a phase began
    BEGAN = "began"  # an act is about to be done
    DID = "did"  # an act was done; ids of what it made
    STUMBLED = "stumbled"  # an act failed
    OBSERVED = "observed"  # something that matters was seen to change
    AWAITED = "awaited"  # a driver waits for something else than before
    BLINDED = "blinded"  # bluegreen could not read AWS
    ERRED = "erred"  # bluegreen itself made a mistake: an exception that nobody foresaw
    PROMOTED = "promoted"  # a person ordered to go on
    HOLD_ORDERED = "hold_ordered"  # a person ordered to wait for a promotion
    ROLLBACK_ORDERED = "rollback_ordered"  # a person ordered to return to blue
    INTERRUPTED = "interrupted"  # the driver had to stop
    TAKEN_UP = "taken_up"  # a driver goes on where another left the release
    RESUMED = "resumed"  # a person ordered another try after `failed`
    SETTLED = "settled"  # the outcome


class Verb(StrEnum):
    """What a driver can do: each is one changing call to AWS or to the journal, and safe to repeat."""

    CLAIM_BUILDER = "claim_builder"  # one bake at a time per builder
    START_BUILDER = "start_builder"
    RUN_BUILD = "run_build"  # the `run` commands of the config, on the builder
    RUN_BUILD_CHECK = "run_build_check"  # its `check`
    STOP_BUILDER = "stop_builder"
    MAKE_IMAGE = "make_image"
    FREE_BUILDER = "free_builder"
    DROP_SOURCE = "drop_source"  # delete the packed source from its bucket
    MARK_IMAGE = "mark_image"  # tag the image as one that went live
    DROP_IMAGE = "drop_image"  # deregister one old or failed image and its snapshots
    PIN_BLUE = "pin_blue"  # template version to a number, minimum to the desired size
    SUSPEND_BLUE = "suspend_blue"  # the processes that would change blue's size by themselves
    MAKE_TEMPLATE_VERSION = "make_template_version"
    CREATE_GREEN = "create_green"  # make it; of a standing pair take the idle one: mark it, and give it its size
    SUSPEND_GREEN = "suspend_green"
    ATTACH_GREEN = "attach_green"  # what is attached to blue, to green: policies, alarms, schedules, and so on
    RUN_BEFORE_SWITCH = "run_before_switch"  # the hook `before_switch` of the config, on one instance of green
    JOIN_GREEN = "join_green"  # attach green to its target groups
    SHIFT = "shift"  # weighted: green's share of the traffic, on every listener; the rest is blue's
    GROW_GREEN = "grow_green"  # blue grew during the overlap
    TAKE_BLUE_OUT = "take_blue_out"  # detach blue from its target groups
    TAKE_REST_OUT = "take_rest_out"  # of a cure: detach the groups that failed releases left in the target groups
    JOIN_BLUE = "join_blue"  # attach blue again
    TAKE_GREEN_OUT = "take_green_out"
    UNPROTECT_BLUE = "unprotect_blue"  # lift scale-in protection, so that blue can be emptied
    FOLLOW_BLUE = "follow_blue"  # what blue's owner changed on blue meanwhile, on green
    STILL_BLUE = "still_blue"  # suspend whatever would start instances of blue again
    EMPTY_BLUE = "empty_blue"  # size and maximum 0; instances leave through their lifecycle hooks
    HAND_ALARMS_OVER = "hand_alarms_over"  # the alarms of blue's policies watch green from now on
    DRAIN_WARM_POOL = "drain_warm_pool"  # blue's warm pool to size 0, through the same hooks
    DELETE_WARM_POOL = "delete_warm_pool"  # AWS deletes no group whose warm pool holds instances
    DELETE_BLUE = "delete_blue"
    RESTORE_GREEN = "restore_green"  # blue's sizes and template reference, now green's
    RESUME_GREEN = "resume_green"
    CATCH_UP = "catch_up"  # what scheduled actions would have set while they were suspended
    MAKE_WARM_POOL = "make_warm_pool"  # blue's, for green
    RUN_AFTER_LIVE = "run_after_live"  # the hook `after_live`, on one instance of green
    SET_DEFAULT_VERSION = "set_default_version"
    DROP_GROUP = "drop_group"  # delete one group that an earlier release kept empty
    DROP_VERSIONS = "drop_versions"  # delete old versions of the launch template that earlier releases made
    DROP_ALARMS = "drop_alarms"  # the copies of alarms that were made for green
    KEEP_GREEN = "keep_green"  # suspend the processes that change a green that failed, which stays for inspection
    DELETE_GREEN = "delete_green"
    EMPTY_GREEN = "empty_green"  # of a standing pair: its size to 0 again
    RETURN_GREEN = "return_green"  # of a standing pair: its own sizes, template reference, processes and tags
    DELETE_TEMPLATE_VERSION = "delete_template_version"
    UNPIN_BLUE = "unpin_blue"
    RESUME_BLUE = "resume_blue"


class Until(StrEnum):
    """Where a driver stops by itself; the next driver continues from there."""

    HELD = "held"  # when a person must promote
    SWITCHED = "switched"  # when green serves alone and the soak goes on
    LIVE = "live"  # when the release has settled


class Reason(StrEnum):
    """Why a release was rolled back, failed, or was refused."""

    COMPLETED = "completed"  # every check held
    ORDERED = "ordered"  # a person ordered the rollback
    CHECK_FAILED = "check_failed"  # a check failed
    NEVER_HEALTHY = "never_healthy"  # green did not become healthy in time
    BUILD_FAILED = "build_failed"  # the builder's commands failed
    BUILD_LATE = "build_late"  # the image was not ready in time
    BUILDER_RUNNING = "builder_running"  # the builder ran and it was not us who started it
    BUILDER_LOST = "builder_lost"  # the builder is gone, or was stopped during the build
    IMAGE_FAILED = "image_failed"  # AWS could not make the image
    HOOK_FAILED = "hook_failed"  # the hook `before_switch` failed, or did not end in time
    LAUNCH_LATE = "launch_late"  # green's instances did not come up in time
    LAUNCH_REFUSED = "launch_refused"  # AWS refused every launch of green for the same reason, which does not pass
    HOLD_EXPIRED = "hold_expired"  # nobody promoted in time
    DENIED = "denied"  # a permission is missing
    AWS_ERROR = "aws_error"  # AWS refused a call for another reason
    BLIND = "blind"  # bluegreen could not read AWS for too long
    COPY_DIFFERS = "copy_differs"  # green could not be made as blue is
    CHANGED_OUTSIDE = "changed_outside"  # someone else changed a resource of the release
    BLUE_UNHEALTHY = "blue_unhealthy"  # no traffic may be given to blue
    BLUE_UNSETTLED = "blue_unsettled"  # blue was scaling for too long before green could be made
    RETIRE_LATE = "retire_late"  # blue did not become empty in time
    MISTAKE = "mistake"  # bluegreen itself made a mistake, again and again
    UNDER_WAY = "under_way"  # refused: another release of the service is under way
    UNRESOLVED = "unresolved"  # refused: the last release failed and left resources behind
    FROZEN = "frozen"  # refused: the service is frozen
    BAD_COMMIT = "bad_commit"  # refused: this commit was rolled back
    IN_THE_WAY = "in_the_way"  # refused: what stands beside the release would be harmed, or would spoil it
    NOT_PERMITTED = "not_permitted"  # refused: not by this person
    MOVED_ON = "moved_on"  # refused: the release is past that
    NOTHING_TO_DO = "nothing_to_do"  # refused: there is no such release


class Awaited(StrEnum):
    """What a driver waits for."""

    BUILDER_FREE = "builder_free"  # another release bakes on the builder
    BUILDER_UP = "builder_up"  # the builder boots and its SSM agent reports
    BUILD = "build"  # the builder's commands run
    BUILDER_STOPPED = "builder_stopped"
    IMAGE = "image"  # the AMI becomes available
    GREEN_UP = "green_up"  # green's instances come in service
    AGENT = "agent"  # the SSM agent of an instance of green answers
    HOOK = "hook"  # a hook runs on green
    CHECKS = "checks"  # every check holds
    STEP = "step"  # green's share is to rise; this part of the overlap passes
    OVERLAP = "overlap"  # the overlap time passes
    PROMOTION = "promotion"  # a person promotes
    GREEN_GROWN = "green_grown"  # green has caught up with blue's size
    READ_BACK = "read_back"  # the load balancer shows the last change
    SOAK = "soak"  # the soak time passes
    CLIENTS = "clients"  # those who stick to the target group that lost its weight follow the others
    DRAINED = "drained"  # requests in flight end
    BLUE_HEALTHY = "blue_healthy"  # blue can bear the traffic again
    BLUE_EMPTY = "blue_empty"  # blue's instances go through their lifecycle hooks
    WARM_POOL = "warm_pool"  # blue's warm pool is emptied and deleted
    GROUP_GONE = "group_gone"  # a group is being deleted
    GREEN_EMPTY = "green_empty"  # the instances of a standing pair's green leave
    REFRESHED = "refreshed"  # somebody's instance refresh of blue ends
    BLUE_SETTLED = "blue_settled"  # blue, which was scaling when it was to be pinned, has what it wants
    RETRY = "retry"  # the last call failed and is tried again soon
    REACHABLE = "sight"  # AWS answers again


#: Of these the end is known: a time simply passes.
PASSING = frozenset({Awaited.STEP, Awaited.OVERLAP, Awaited.SOAK, Awaited.CLIENTS})

#: Of these the failure that was told before is all the news.
AGAIN = frozenset({Awaited.RETRY, Awaited.BUILDER_FREE, Awaited.REACHABLE})

#: Subjects of observations of what is in the way, with `blue` or `green` behind them: who stays as it is until a
#: person acts, and whom a lifecycle hook holds.
PARKED, HELD = "parked", "held"

#: Subjects of who was detached from a group and runs on.
DETACHED: Mapping[str, str] = MappingProxyType({"blue": "detached", "green": "detached green"})

#: The acts that send hooks -> their keys in the configuration; what became of one is the subject `hook before_switch`.
HOOKS: Mapping[Verb, str] = MappingProxyType(
    {Verb.RUN_BEFORE_SWITCH: "before_switch", Verb.RUN_AFTER_LIVE: "after_live"}
)

#: How long, in seconds, a command may wait for SSM's agent to take it (SendCommand, TimeoutSeconds).
DELIVERY = 120

#: The subject of the observation that AWS, or a person's hand, took instances of green; "" once they are replaced.
TAKEN = "taken"

#: The subject of the observation that AWS, which could not be asked, answers again.
REACHABLE = "sight"

#: The longest deregistration delay a target group can have (ELBv2, deregistration_delay.timeout_seconds).
LONGEST_DRAIN = 3600.0

#: So long, in seconds, EC2 may take to terminate instances that nothing holds any more. It promises no time.
TERMINATING = 3600.0

#: How long emptying a group may take whose hooks nobody looked at, in seconds.
LONGEST_RETIRE = 7200.0


@dataclass(frozen=True)
class BlueBefore:
    """Blue before it was pinned: the settings that rollback and retiring restore."""

    desired: int
    minimum: int
    maximum: int
    template: str
    template_version: str  # as the group said it
    resolved_version: str  # the number it meant then
    suspended: tuple[str, ...]
    routes: tuple[str, ...]  # how the load balancer reached the target groups
    held: float | None = None  # seconds for which its terminating hooks may hold an instance; None: nobody looked
    drain: float = LONGEST_DRAIN  # seconds: the longest deregistration delay of its target groups
    hooks: tuple[str, ...] = ()  # names of its terminating hooks
    marked: bool = False  # whether blue and green bear the mark of the release that holds them; not in journals of old
    schedules: tuple[Facts, ...] = ()  # its scheduled actions, as facts of `schedules.Schedule`
    scheduled_until: float | None = None  # since when they are suspended, in epoch seconds; None: nobody looked

    @property
    def leaves_within(self) -> float:
        """Seconds in which its instances must be gone after the order to leave, at most."""
        return LONGEST_RETIRE if self.held is None else self.drain + self.held + TERMINATING

    def to_facts(self) -> dict[str, Any]:
        """JSON-ready."""
        listed = {name: list(getattr(self, name)) for name in ("suspended", "routes", "hooks", "schedules")}
        return {**vars(self), **listed}

    @classmethod
    def from_facts(cls, facts: Facts) -> BlueBefore:
        """The reverse of `to_facts`."""
        listed = {name: tuple(facts.get(name, ())) for name in ("suspended", "routes", "hooks", "schedules")}
        return cls(**{**facts, **listed})


# --- what events record -----------------------------------------------------------------------------------


class Recorded:
    """What events of one kind record, typed. The journal has it as facts, JSON-ready, by the names of the fields.

    Facts that an older version did not know have their defaults; what a newer one knows beyond them is left alone.
    """

    #: Fields that are recorded only where they say more than their default.
    seldom: ClassVar[tuple[str, ...]] = ()
    #: How a field is read whose value JSON has in another form.
    reads: ClassVar[Mapping[str, Callable[[Any], Any]]] = {}

    @classmethod
    def from_facts(cls, facts: Facts) -> Self:
        """Read an event. It raises when a fact is absent without which nothing is known, or of an unknown form."""
        known, reads = {}, cls.reads
        for name in _defaults(cls).keys() & facts.keys():
            value = facts[name]
            known[name] = reads[name](value) if name in reads else tuple(value) if isinstance(value, list) else value
        return cls(**known)

    def to_facts(self) -> dict[str, Any]:
        """As it is recorded, JSON-ready."""
        defaults, given = _defaults(type(self)), {name: getattr(self, name) for name in _defaults(type(self))}
        shown = {name: value for name, value in given.items() if name not in self.seldom or value != defaults[name]}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in shown.items()}


_DEFAULTS: dict[type[Any], Mapping[str, Any]] = {}


def _defaults(kind: type[Any]) -> Mapping[str, Any]:
    """Every field, with its default; MISSING where it has none."""
    if kind not in _DEFAULTS:
        made = {one.name: one.default_factory for one in fields(kind) if one.default_factory is not MISSING}
        _DEFAULTS[kind] = {one.name: made[one.name]() if one.name in made else one.default for one in fields(kind)}
    return _DEFAULTS[kind]


@dataclass(frozen=True)
class Started(Recorded):
    """What the first event of a release records. The fields mean what `Release` says of those with the same names."""

    seldom = ("goes_back", "takes", "cure", "borne", "wanted", "source_key", "override", "despite")

    service: str
    number: int
    who: str
    commit: str
    image: str  # AMI id when one is given or was found; "" when it is to be baked
    hold: bool
    config: Facts
    blue_group: str
    green_group: str
    image_name: str
    target_groups: tuple[str, ...]
    builder: str
    listeners: tuple[str, ...] = ()
    previews: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    idle_target_group: str = ""
    stickiness: float = 0.0
    account: str = ""
    region: str = ""
    blue_commit: str = ""
    blue_image: str = ""
    source: Mapping[str, str] = field(default_factory=dict)
    default_version: int = 0
    sets_default: bool = True
    findings: tuple[Facts, ...] = ()
    goes_back: bool = False
    takes: Facts = field(default_factory=dict)
    back: int | None = None
    back_image: str = ""
    again: int | None = None
    cure: str = ""
    borne: int = 0
    wanted: int = 0
    token: str = ""
    source_key: str = ""
    override: str = ""  # why it was started despite a refusal
    despite: tuple[str, ...] = ()  # what that was: reasons, as `Reason` has them


@dataclass(frozen=True)
class Entered(Recorded):
    """A phase began. `image`: the AMI that is known from here on; `goes_back_for`: why it is rolled back."""

    phase: Phase
    image: str = ""
    goes_back_for: tuple[Reason, str] | None = None

    @classmethod
    def from_facts(cls, facts: Facts) -> Self:
        """Read an event."""
        phase = Phase(facts["phase"])
        back = (Reason(facts["reason"]), facts.get("message", "")) if phase is Phase.ROLLING_BACK else None
        return cls(phase, facts.get("image", ""), back)

    def to_facts(self) -> dict[str, Any]:
        """As it is recorded, JSON-ready."""
        image = {"image": self.image} if self.image else {}
        back = dict(zip(("reason", "message"), self.goes_back_for or (), strict=False))
        return {"phase": self.phase, **image, **back}


@dataclass(frozen=True)
class IdleBefore(Recorded):
    """The idle group of a standing pair before it became green: what a rollback gives back to its owner."""

    minimum: int
    maximum: int
    template: str  # id
    template_version: str  # as the group said it
    resolved_version: str  # the number it meant then
    suspended: tuple[str, ...] = ()
    marks: Mapping[str, str] = field(default_factory=dict)  # its tags of bluegreen's, from earlier releases


@dataclass(frozen=True)
class Act(Recorded):
    """One thing to do, and with what: recorded before it is done, so that a repeated act does the same."""

    seldom = (
        *("blue", "size", "share", "preview", "groups", "processes", "instances", "group", "image", "versions"),
        *("again", "until", "green"),
    )
    reads = MappingProxyType({"verb": Verb, "blue": BlueBefore.from_facts, "green": IdleBefore.from_facts})

    verb: Verb
    blue: BlueBefore | None = None  # PIN_BLUE: as it is before
    size: int | None = None  # GROW_GREEN: instances
    share: int | None = None  # SHIFT: percent of the traffic for green
    preview: str = ""  # SHIFT: `blue` where listeners that show green are given back to blue
    groups: tuple[str, ...] = ()  # TAKE_REST_OUT: names
    processes: tuple[str, ...] = ()  # STILL_BLUE: scaling processes to suspend
    instances: tuple[str, ...] = ()  # UNPROTECT_BLUE: ids; RUN_BEFORE_SWITCH, RUN_AFTER_LIVE: the one id
    group: str = ""  # DROP_GROUP, CATCH_UP: name
    image: str = ""  # DROP_IMAGE: id
    versions: tuple[int, ...] = ()  # DROP_VERSIONS: numbers
    again: int = 0  # ATTACH_GREEN: how often it was done before
    until: float | None = None  # KEEP_GREEN: epoch seconds
    green: IdleBefore | None = None  # PIN_BLUE, of a standing pair: the idle one as it is before

    def to_facts(self) -> dict[str, Any]:
        """As it is recorded, JSON-ready."""
        before = {name: one.to_facts() for name in ("blue", "green") if (one := getattr(self, name)) is not None}
        return {**super().to_facts(), **before}


@dataclass(frozen=True)
class AttachedParts(Recorded):
    """What is attached to blue, as green was given it; sizes and warm pool when green followed blue in the end."""

    seldom = ("later", "minimum", "maximum", "desired", "warm_pool")

    changed: tuple[str, ...]  # `kind name` of what was put on green or taken off; none: green is as blue
    parts: Mapping[str, str]  # of all that blue has: `kind name` -> a fingerprint
    alarms: tuple[str, ...]  # names of the copies of alarms
    later: tuple[str, ...] = ()  # `kind name` of what AWS takes only once green is in its target groups
    minimum: int | None = None  # blue's own sizes
    maximum: int | None = None
    desired: int | None = None
    warm_pool: Facts = field(default_factory=dict)  # as PutWarmPool takes it

    @property
    def scheduled(self) -> bool:
        """Whether blue has scheduled actions."""
        return any(name.startswith("scheduled action ") for name in self.parts)


class Made(TypedDict, total=False):
    """What an act made, or found made: each fact where the act has it."""

    builder: str  # id
    command: str  # id of what SSM runs
    group: str  # name
    size: int  # instances
    image: str  # AMI id
    template_version: int
    #: the template version that a group launches from, where it was `$Latest` or `$Default`
    stays_on_version: int | str | None
    versions: tuple[int, ...]  # of the launch template that were deleted
    attached: AttachedParts
    alarms: tuple[str, ...]  # names of those that were handed over, or of copies that were deleted
    actions: tuple[str, ...]  # names of scheduled actions that were caught up
    sizes: Mapping[str, int]  # what they set, by the API's names


@dataclass(frozen=True)
class Did(Recorded):
    """An act was done, and what it made: `Made` says which."""

    seldom = (
        *("builder", "command", "group", "size", "image", "template_version", "stays_on_version"),
        *("versions", "attached", "alarms", "actions", "sizes"),
    )
    reads = MappingProxyType({"verb": Verb, "attached": AttachedParts.from_facts})

    verb: Verb
    builder: str = ""
    command: str = ""
    group: str = ""
    size: int | None = None
    image: str = ""
    template_version: int | None = None
    stays_on_version: int | str | None = None
    versions: tuple[int, ...] = ()
    attached: AttachedParts | None = None
    alarms: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)

    def to_facts(self) -> dict[str, Any]:
        """As it is recorded, JSON-ready."""
        facts = super().to_facts()
        return facts if self.attached is None else {**facts, "attached": self.attached.to_facts()}


@dataclass(frozen=True)
class Stumbled(Recorded):
    """An act failed. `code`: AWS's; `transient`: it may pass by itself; `denied`: a permission is missing."""

    reads = MappingProxyType({"verb": Verb})

    verb: Verb
    code: str = ""
    message: str = ""
    transient: bool = False
    denied: bool = False


@dataclass(frozen=True)
class CheckState(Recorded):
    """A check's run of equal answers; an event records each answer that changes it.

    It is held once it passed `needs` times in a row, and lost once, having been held, it failed `needs`
    times in a row, or failed beyond doubt. Times are epoch seconds.
    """

    seldom = ("certain", "failures")

    name: str
    passed: bool
    streak: int  # equal answers in a row, counted up to `needs`
    since: float  # when this run of answers began
    value: str  # what was seen last, in a few words
    held_since: float | None = None
    lost: bool = False
    certain: bool = False  # it failed beyond doubt
    failures: tuple[float, ...] = ()  # when it failed lately, since it came to hold; epoch seconds

    @property
    def subject(self) -> str:
        """What was observed: the check, by its name."""
        return self.name

    @property
    def held(self) -> bool:
        """Whether the check can be relied on now."""
        return self.held_since is not None

    @classmethod
    def from_facts(cls, facts: Facts) -> Self:
        """Read what was observed."""
        return super().from_facts({**facts, "name": facts["subject"]})

    def to_facts(self) -> dict[str, Any]:
        """As it is recorded, JSON-ready."""
        facts = super().to_facts()
        return {"subject": facts.pop("name"), "value": facts.pop("value"), **facts}


@dataclass(frozen=True)
class SubjectState(Recorded):
    """Something that was seen to change, in a few words; "" where what was seen before is over.

    Of `traffic` it is who gets it: `blue`, `green`, `both` or `nobody`. Some subjects have more, see below.
    """

    subject: str
    value: str = ""


@dataclass(frozen=True)
class Fleet(SubjectState):
    """How many instances `blue` or `green` has. `share`: percent of the traffic; None when it is unclear."""

    desired: int = field(kw_only=True)
    in_service: int = field(kw_only=True)
    serving: int = field(kw_only=True)
    share: float | None = None


@dataclass(frozen=True)
class ImageState(SubjectState):
    """The state of the image that is made. `image`: its id; `progress`: percent, in tens; None when it is unknown."""

    seldom = ("progress",)

    image: str = ""
    progress: int | None = None


@dataclass(frozen=True)
class Expiring(SubjectState):
    """A hold is about to expire. `at`: when, epoch seconds; `then`: what happens, `promote` or `rollback`."""

    at: float = field(kw_only=True)
    then: str = "rollback"


@dataclass(frozen=True)
class Parked(SubjectState):
    """Who stays as it is until a person acts. Ids."""

    seldom = ("instances",)

    instances: tuple[str, ...] = ()


@dataclass(frozen=True)
class Detached(SubjectState):
    """Who was detached from a group and runs on. Ids."""

    instances: tuple[str, ...] = ()


@dataclass(frozen=True)
class Taken(SubjectState):
    """Whom AWS or a person's hand took of green. Ids; `since`: epoch seconds."""

    seldom = ("missing", "by_hand")

    instances: tuple[str, ...] = ()  # in this release, replaced ones, too
    remain: tuple[str, ...] = ()  # who is judged meanwhile
    since: float = 0.0
    missing: tuple[str, ...] | None = None  # who is not replaced yet; None where an older version did not say
    by_hand: tuple[str, ...] | None = None  # whom of those a person set aside or detached; None as above


_SEEN: Mapping[str, type[SubjectState]] = {
    "blue": Fleet,
    "green": Fleet,
    "image": ImageState,
    "hold": Expiring,
    TAKEN: Taken,
    **dict.fromkeys((f"{PARKED} {which}" for which in DETACHED), Parked),
    **dict.fromkeys(DETACHED.values(), Detached),
}

#: What was seen of a check, or of any other subject.
ObservedState = CheckState | SubjectState


@dataclass(frozen=True)
class Observed:
    """Something that matters was seen to change, `changes` times in `over` seconds where some went unrecorded."""

    seen: ObservedState
    changes: int = 0
    over: float = 0.0

    @classmethod
    def from_facts(cls, facts: Facts) -> Self:
        """Read an event: the answer of a check says whether it passed; of anything else the subject says what it is."""
        kind: type[ObservedState] = CheckState if "passed" in facts else _SEEN.get(facts["subject"], SubjectState)
        if any(default is MISSING for name, default in _defaults(kind).items() if name not in facts and name != "name"):
            kind = SubjectState  # another version wrote it in a form that this one does not know
        return cls(kind.from_facts(facts), int(facts.get("changes", 0)), float(facts.get("over", 0.0)))

    def to_facts(self) -> dict[str, Any]:
        """As it is recorded, JSON-ready."""
        pace = {"changes": self.changes, "over": self.over} if self.changes else {}
        return {**self.seen.to_facts(), **pace}


@dataclass(frozen=True)
class Awaiting(Recorded):
    """What is waited for. `deadline` (epoch seconds): when the waiting ends by itself, if it does."""

    seldom = ("deadline",)
    reads = MappingProxyType({"awaited": Awaited})

    awaited: Awaited
    deadline: float | None = None

    def like(self, other: Awaiting | None) -> bool:
        """Whether a reader would see no difference: times within a second, or the time of the next attempt."""
        if other is None or other.awaited is not self.awaited:
            return False
        ends = (self.deadline, other.deadline)
        return self.awaited in AGAIN or ends == (None, None) or (None not in ends and abs(ends[0] - ends[1]) < 1)  # type: ignore[operator]


@dataclass(frozen=True)
class Blinded(Recorded):
    """bluegreen could not read AWS. `code`: AWS's."""

    code: str = ""
    message: str = ""


@dataclass(frozen=True)
class Erred(Recorded):
    """A mistake of bluegreen's own. `code`: the exception's class; `message`: what went wrong, and where."""

    code: str = ""
    message: str = ""


@dataclass(frozen=True)
class Promoted(Recorded):
    """Someone ordered to go on; despite what, and why, as `Started` has it. `request`: see `Caller.request`."""

    seldom = ("request", "override", "despite")

    who: str
    request: str = ""
    override: str = ""
    despite: tuple[str, ...] = ()


@dataclass(frozen=True)
class HoldOrdered(Recorded):
    """Somebody ordered to wait for a promotion."""

    seldom = ("request",)

    who: str
    request: str = ""


@dataclass(frozen=True)
class RollbackOrdered(Recorded):
    """Somebody ordered the return to blue."""

    seldom = ("request",)

    who: str
    why: str = ""
    request: str = ""


@dataclass(frozen=True)
class DriverStopped(Recorded):
    """A driver had to stop."""

    holder: str = ""


@dataclass(frozen=True)
class TakenUp(Recorded):
    """A driver goes on. `clock_ahead`: seconds by which its clock differs from AWS's, where that matters."""

    seldom = ("clock_ahead",)

    holder: str = ""
    clock_ahead: int = 0


@dataclass(frozen=True)
class Resumed(Recorded):
    """Somebody ordered another try after `failed`."""

    seldom = ("request",)

    who: str
    request: str = ""


@dataclass(frozen=True)
class Settled(Recorded):
    """The outcome, and why. `left` names what the release made that is still there and is not live."""

    reads = MappingProxyType({"outcome": Outcome, "reason": Reason})

    outcome: Outcome
    reason: Reason
    message: str = ""
    left: tuple[str, ...] = ()


Payload = (
    Started
    | Entered
    | Act
    | Did
    | Stumbled
    | Observed
    | Awaiting
    | Blinded
    | Erred
    | Promoted
    | HoldOrdered
    | RollbackOrdered
    | DriverStopped
    | TakenUp
    | Resumed
    | Settled
)

_PAYLOADS: Mapping[EventKind, type[Payload]] = {
    EventKind.STARTED: Started,
    EventKind.ENTERED: Entered,
    EventKind.BEGAN: Act,
    EventKind.DID: Did,
    EventKind.STUMBLED: Stumbled,
    EventKind.OBSERVED: Observed,
    EventKind.AWAITED: Awaiting,
    EventKind.BLINDED: Blinded,
    EventKind.ERRED: Erred,
    EventKind.PROMOTED: Promoted,
    EventKind.HOLD_ORDERED: HoldOrdered,
    EventKind.ROLLBACK_ORDERED: RollbackOrdered,
    EventKind.INTERRUPTED: DriverStopped,
    EventKind.TAKEN_UP: TakenUp,
    EventKind.RESUMED: Resumed,
    EventKind.SETTLED: Settled,
}

_KINDS: Mapping[type[Payload], EventKind] = {payload: kind for kind, payload in _PAYLOADS.items()}


def kind_of(payload: Payload) -> EventKind:
    """The kind of the events that record this."""
    return _KINDS[type(payload)]


@dataclass(frozen=True)
class Event:
    """One fact in the journal. `at`: epoch seconds; `seq` counts from 1 without gaps.

    `facts` is what the journal has, what a newer version wrote included; `payload` is what this one reads there.
    """

    release: str
    seq: int
    at: float
    kind: EventKind
    facts: Facts = field(default_factory=dict)

    @cached_property
    def payload(self) -> Payload:
        """What it records, by its kind. It raises when that is of a form that this version does not know."""
        return _PAYLOADS[self.kind].from_facts(self.facts)

    @property
    def who(self) -> str:
        """The person of a `started` event or an order; "" of any other."""
        by_person = Started | Promoted | HoldOrdered | RollbackOrdered | Resumed
        return self.payload.who if isinstance(self.payload, by_person) else ""

    @property
    def verb(self) -> Verb | None:
        """The act of a `began`, `did` or `stumbled` event."""
        return self.payload.verb if isinstance(self.payload, Act | Did | Stumbled) else None

    @property
    def phase(self) -> Phase | None:
        """The phase of an `entered` event."""
        return self.payload.phase if isinstance(self.payload, Entered) else None
