"""What AWS shows now: frozen values, made by `aws`, judged by `phases`.

An observation covers what the release's phase needs (see `aws.Cloud.observe`); other parts have the value None or are
empty. `None` for a part that was read means: AWS does not show it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from bluegreen.release import agreeing, count_of

HEALTHY, UNHEALTHY = "healthy", "unhealthy"
#: So many numbers from the next one on are looked at for names that are taken.
NEAR = 5
#: Target states in which new requests may be routed to a target, or soon will be (ELBv2 TargetHealth).
IN_TRAFFIC = frozenset({"initial", "healthy", "unhealthy", "unhealthy.draining", "unavailable"})
DRAINING = "draining"
#: A forward action names so many target groups at most (Elastic Load Balancing quotas, not adjustable).
GROUPS_MAX = 5
#: The name of the check that every release has: green's own targets are healthy.
TARGETS = "targets"
#: A target that was registered lately, and has not passed its first health checks (ELBv2 TargetHealth).
INITIAL = "initial"
#: Lifecycle states that AWS never ends by itself (EC2 Auto Scaling API, LifecycleState; user guide: standby, instance
#: lifecycle policies).
PARKED = frozenset({"EnteringStandby", "Standby", "Terminating:Retained", "Quarantined"})
#: Those that only a person's hand brings about, by EnterStandby or DetachInstances.
BY_HAND = frozenset({"EnteringStandby", "Standby", "Detaching", "Detached"})


@dataclass(frozen=True)
class Command:
    """One SSM Run Command on one instance."""

    id: str
    state: str  # pending | running | succeeded | failed
    tail: str = ""  # the last lines of its output, secrets masked


@dataclass(frozen=True)
class Builder:
    """The builder instance and our commands on it (found by their comment, so a crash loses none)."""

    id: str
    state: str  # EC2 instance state: pending | running | stopping | stopped | shutting-down | terminated
    online: bool = False  # SSM agent answers
    build: Command | None = None
    check: Command | None = None


@dataclass(frozen=True)
class Image:
    """An AMI. `tagged_release` is the release that made it, "" when it is not ours."""

    id: str
    name: str
    state: str  # pending | available | failed | …
    reason: str = ""
    tagged_release: str = ""
    commit: str = ""  # tag bluegreen:commit
    good: bool = False  # a release with it went live
    token: str = ""  # tag bluegreen:token
    progress: int | None = None  # pending: percent of its snapshots that AWS has copied; None: not asked


@dataclass(frozen=True)
class Instance:
    """One instance of a group, as the Auto Scaling group sees it."""

    id: str
    lifecycle: str  # InService, Pending, Terminating:Wait, …
    healthy: bool = True
    protected: bool = False

    @property
    def parked(self) -> bool:
        """It neither serves nor leaves until a person acts."""
        return self.lifecycle in PARKED

    @property
    def set_aside(self) -> bool:
        """A person took it out of service; its group launches another in its place."""
        return self.lifecycle in BY_HAND

    @property
    def moving(self) -> bool:
        """It comes or goes: AWS, or a lifecycle hook, ends that by itself. One that waits in a warm pool does not."""
        return self.lifecycle != "InService" and not (self.parked or self.lifecycle.startswith("Warmed:"))

    @property
    def leaving(self) -> bool:
        """It goes, and its group counts it no more."""
        return self.moving and self.lifecycle.startswith(("Terminating", "Terminated", "Detach"))

    @property
    def in_service(self) -> bool:
        """Running, counted by its group, and healthy in its group's eyes."""
        return self.lifecycle == "InService" and self.healthy


@dataclass(frozen=True)
class Group:
    """An Auto Scaling group. `template_version` is as the group says it (a number, $Latest, $Default)."""

    name: str
    desired: int
    minimum: int
    maximum: int
    template: str = ""  # launch template id
    template_version: str = ""
    instances: tuple[Instance, ...] = ()
    suspended: frozenset[str] = frozenset()
    target_groups: frozenset[str] = frozenset()  # ARNs attached
    deleting: bool = False
    release: str = ""  # tag bluegreen:release
    token: str = ""  # tag bluegreen:token
    held_by: str = ""  # tag bluegreen:held-by: the mark of the release that changed its settings and will put them back
    warm: int | None = None  # instances in its warm pool, None: it has none
    warm_leaving: bool = False  # the warm pool is being deleted
    activity: str = ""  # why its last launch failed, in AWS's words; "" when nothing failed
    refused: int = 0  # the newest attempts in a row that failed for this same reason, which does not pass by itself

    @property
    def in_service(self) -> tuple[str, ...]:
        """Ids of the instances that are in service."""
        return tuple(i.id for i in self.instances if i.in_service)


@dataclass(frozen=True)
class Idle:
    """The group of a standing pair that is to be green."""

    group: Group
    resolved_version: str  # the number that its template reference means now
    marks: Mapping[str, str] = field(default_factory=dict)  # its tags of bluegreen's


def busy(group: Group) -> str:
    """What keeps a group of a standing pair from being green, in one clause; "" when it is idle."""
    if group.deleting:
        return f"{group.name} is being deleted"
    if group.desired or group.instances:
        count = count_of(len(group.instances), "instance")
        return f"{group.name} is not idle: it has {count} and the size {group.desired}"
    if group.target_groups:
        where = (arn.rpartition("targetgroup/")[2].partition("/")[0] for arn in sorted(group.target_groups))
        return f"{group.name} is not idle: it is attached to {' and '.join(where)}"
    return ""


#: So many instances that come or go are named; of a large group the others are counted.
NAMED = 3


def unsettled(group: Group, targets: Mapping[str, Mapping[str, str]]) -> str:
    """What is under way in a group and ends by itself, in one clause: instances come or go, targets are new.

    `targets`: target group ARN -> instance id -> state, where the group serves. Empty once the group has settled.
    """
    found = [*_uncounted(group), *(f"{one.id} is {one.lifecycle}" for one in group.instances if one.moving)]
    new = {id_ for states in targets.values() for id_ in group.in_service if states.get(id_) == INITIAL}
    found += [f"{id_} waits for its first health checks" for id_ in sorted(new)]
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return f"the group {group.name} is scaling: {'; '.join(found[:NAMED])}{more}" if found else ""


def _uncounted(group: Group) -> Iterator[str]:
    """Instances are to come, or to go, of which none is shown yet."""
    there = sum(one.lifecycle == "InService" or (one.moving and not one.leaving) for one in group.instances)
    if there != group.desired:
        yield f"it has {count_of(there, 'instance')} of {group.desired}"


def in_target_groups(groups: Iterable[Group]) -> str:
    """`web-a and web-b are in the target groups`."""
    names = [group.name for group in groups]
    return f"{' and '.join(names)} {agreeing(len(names))} in the target groups"


@dataclass(frozen=True)
class Template:
    """The launch template's numbers: `ours` is the version that this release made, None if absent."""

    id: str
    default: int
    latest: int
    ours: int | None = None
    name: str = field(default="", compare=False)  # others may refer to it by this, too


@dataclass(frozen=True)
class Delays:
    """How long blue's own settings may hold back an instance that is to leave, in seconds."""

    held: float = 0.0  # in its terminating hooks: the longest GlobalTimeout
    drain: float = 0.0  # in its target groups: the longest deregistration delay
    hooks: tuple[str, ...] = ()  # names of its terminating hooks


@dataclass(frozen=True)
class CheckResult:
    """One answer of one check. `value` is what was seen, in a few words. `at`: epoch seconds.

    `certain`: that it failed is beyond doubt, and need not be seen `needs` times.
    """

    name: str
    passed: bool
    value: str
    at: float
    certain: bool = False


@dataclass(frozen=True)
class Observation:
    """One frozen picture of what AWS shows at `at` (epoch seconds)."""

    at: float
    builder: Builder | None = None
    #: the hook's command on green, where one was sent and may still run
    hook: Command | None = None
    #: ids of green's instances whose SSM agent answers; looked for while a hook is to be sent, None: not looked for
    agents: frozenset[str] | None = None
    image: Image | None = None
    template: Template | None = None
    delays: Delays | None = None  # looked at before blue is pinned
    #: launching, before blue is pinned: target group ARN -> instance id -> target state, where blue serves
    blue_targets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    #: launching, before blue is pinned: its scheduled actions, as facts of `schedules.Schedule`
    schedules: tuple[Mapping[str, Any], ...] = ()
    #: in a dry run: what is attached to blue, kind -> names
    attached: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    blue: Group | None = None
    #: somebody's instance refresh that is under way, in one clause: of blue before it is pinned; from then on of blue
    #: and of green, looked for while instances of theirs come or go
    refresh: str = ""
    green: Group | None = None
    #: of a standing pair, launching, before blue is pinned: the group that is to be green
    spare: Idle | None = None
    #: groups beside blue and green that earlier releases left, as far as they exist; None: not looked for
    rest: tuple[Group, ...] | None = None
    #: target group ARN -> instance id -> target state; exactly the release's target groups
    targets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    #: how the load balancer reaches the target groups, one line a listener or rule, sorted; None: not looked at.
    #: Of the release's own listeners everything but the weights that it moves.
    routes: tuple[str, ...] | None = None
    #: weighted: each listener or rule -> green's share in percent, None where it cannot be told or AWS shows none.
    #: None: the target groups are shared, and who is in them serves
    shares: Mapping[str, float | None] | None = None
    #: weighted: group name -> ARNs of the target groups that it has to be in; everybody in all of them otherwise
    homes: Mapping[str, frozenset[str]] = field(default_factory=dict)
    #: who else is healthy where green serves: instance id -> name of its group, "" outside of every group
    beside: Mapping[str, str] = field(default_factory=dict)
    #: those of their groups that are of this service
    strayed: tuple[str, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    #: ids of green's instances that AWS took in this release; looked for only while green is not whole
    taken: tuple[str, ...] = ()
    #: group name -> ids of instances that were detached from it during the release, and run outside of every group;
    #: only of groups that were looked at
    detached: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: images of this service that may be dropped now, oldest first (retiring only)
    droppable: tuple[str, ...] = ()
    #: versions of blue's launch template that earlier releases made and nothing needs now, oldest first (retiring only)
    old_versions: tuple[int, ...] = ()
    #: groups that earlier releases of this service kept empty and that may be deleted now (retiring only)
    emptied: tuple[str, ...] = ()

    def states(self, group: Group | None) -> tuple[str, ...]:
        """Every target state of the group's instances, over all target groups."""
        ids = {i.id for i in group.instances} if group else set()
        return tuple(state for members in self.targets.values() for id_, state in members.items() if id_ in ids)

    def home(self, group: Group) -> frozenset[str]:
        """ARNs of the target groups that the group has to be in."""
        return self.homes.get(group.name, frozenset(self.targets))

    def serving(self, group: Group | None) -> tuple[str, ...]:
        """Ids of the group's own instances that are in service and `healthy` in each of its target groups (S2).

        They can carry traffic; with weights, any share. A detached group gets no traffic, although AWS may show its
        targets as healthy until they begin to drain.
        """
        if group is None or not self.targets or not group.target_groups >= self.home(group) > frozenset():
            return ()
        members = [self.targets.get(arn, {}) for arn in self.home(group)]
        return tuple(id_ for id_ in group.in_service if all(m.get(id_) == HEALTHY for m in members))

    def others(self, home: Iterable[str]) -> tuple[str, ...]:
        """Ids of healthy targets in these target groups that are of neither blue nor green."""
        own = {i.id for group in (self.blue, self.green) if group for i in group.instances}
        healthy = {id_ for arn in home for id_, state in self.targets.get(arn, {}).items() if state == HEALTHY}
        return tuple(sorted(healthy - own))

    def registered(self, group: Group | None) -> bool:
        """Whether the group is attached, or any of its instances is in a target group and not on its way out."""
        if group is None:
            return False
        attached = bool(group.target_groups & self.targets.keys())
        return attached or any(state in IN_TRAFFIC for state in self.states(group))

    @property
    def crowding(self) -> tuple[Group, ...]:
        """Those that earlier releases left and that are in the target groups still."""
        return tuple(group for group in self.rest or () if self.registered(group))

    def share(self, which: str) -> float | None:
        """Percent of the traffic that `blue` or `green` is given by every listener; None unless all say the same."""
        said = set((self.shares or {}).values())
        green = said.pop() if len(said) == 1 else None
        return green if green is None or which == "green" else 100 - green

    def in_traffic(self, which: str) -> bool:
        """Whether `blue` or `green` may get new requests; in doubt, it may."""
        if self.shares is None:
            return self.registered(self.blue if which == "blue" else self.green)
        return self.share(which) != 0

    def draining(self, group: Group | None) -> bool:
        """Whether requests in flight may still be with the group's instances."""
        return DRAINING in self.states(group)


class Verdict(StrEnum):
    """What a finding means for the release that is about to begin."""

    REFUSED = "refused"  # it may not begin; `allow` lets some of these pass, as warned
    WARNED = "warned"  # it begins, and everybody is told
    NOTED = "noted"  # it begins; good to know


class FindingKey(StrEnum):
    """The kinds of findings before a release; docs/findings.md describes each."""

    SHARED_TEMPLATE = "shared_template"  # somebody follows the launch template, and would launch the new image
    DEFAULT_FOLLOWED = "default_followed"  # somebody follows its default version, which therefore stays
    DEFAULT_ELSEWHERE = "default_elsewhere"  # its default version is not blue's, and stays what it is
    TEMPLATE_USERS = "template_users"  # somebody launches from a numbered version of it
    TEMPLATE_LOST = "template_lost"  # blue is on a version that does not exist
    TEMPLATE_DRIFT = "template_drift"  # blue's instances run another version than the group is on
    SHARED_BUILDER = "shared_builder"  # the builder is more than a builder
    VOLUME_TOO_SMALL = "volume_too_small"  # the template gives a volume less room than the builder's has
    KEY_UNUSABLE = "key_unusable"  # the KMS key of a volume is disabled, to be deleted, or gone
    INSTANCE_REFRESH = "instance_refresh"  # one is under way on blue
    LEFT_ALARM = "left_alarm"  # an alarm watches blue by its name, and no policy of blue's moves it to green
    BOUND_ALARM = "bound_alarm"  # the alarm of a check watches blue, and cannot follow green
    KEPT_ELSEWHERE = "kept_elsewhere"  # blue was made by a tool that keeps what it made
    DEPLOYMENT_HOOK = "deployment_hook"  # CodeDeploy deploys to blue's instances, and does not know green
    UNSEEN = "unseen"  # something may not be looked at
    RETAINED_INSTANCES = "retained_instances"  # blue keeps instances whose termination hook is abandoned
    CAPACITY_RESERVATIONS = "capacity_reservations"  # blue launches into reservations only
    WARM_POOL = "warm_pool"  # blue has one
    PAIR_BUSY = "pair_busy"  # of a standing pair: the group that is to be green is in use
    PAIR_DIFFERS = "pair_differs"  # of a standing pair: it is not as blue is
    PREDICTIVE_SCALING = "predictive_scaling"  # a policy of blue forecasts from the history of its group
    TOO_MANY_TAGS = "too_many_tags"  # green would have more than AWS takes
    TEMPLATE_FULL = "template_full"  # the launch template takes no more versions
    GROUP_QUOTA = "group_quota"  # the account takes no more groups
    NO_ROOM = "no_room"  # twice the group exceeds a quota of EC2 or of a load balancer, or the addresses of its subnets
    NOT_PERMITTED = "not_permitted"  # EC2 denies the caller what a release does
    OTHER_TARGETS = "other_targets"  # somebody else is in the target groups
    CROWDED_TARGET_GROUP = "crowded_target_group"  # both groups exceed its quota
    STICKY_CLIENTS = "sticky_clients"  # clients stay with a target group whatever its weight
    OPEN_CONNECTIONS = "open_connections"  # what is open stays with blue whatever the weights
    SNAPSHOTS = "snapshots"  # the template takes a volume from a snapshot of its own
    BLUE_UNHEALTHY = "blue_unhealthy"  # what serves is ill or gone
    BLUE_SCALING = "blue_scaling"  # instances of blue come or go, which the release waits for
    NOTHING_SERVES = "nothing_serves"  # blue is at size 0, and green is made so
    FROZEN = "frozen"  # the service is frozen, or soon will be
    ROLLED_BACK = "rolled_back"  # what is to be released was rolled back before
    JOURNAL_BEHIND = "journal_behind"  # the journal does not know what AWS shows
    NAME_TAKEN = "name_taken"  # somebody else has a name that the release would give


@dataclass(frozen=True)
class Finding:
    """Something in the surroundings of a release, found before it begins.

    `found` is a clause with its subject and names. `harm` is the consequence, "" when `found` says it all. `hint` is a
    full sentence on what to do, "" when nothing is needed.
    """

    key: FindingKey
    found: str
    harm: str = ""
    verdict: Verdict = Verdict.WARNED
    hint: str = ""

    @property
    def said(self) -> str:
        """What was found and what follows, in one clause."""
        return f"{self.found}: {self.harm}" if self.harm else self.found

    def to_facts(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**vars(self), "key": str(self.key), "verdict": str(self.verdict)}


def let_pass(findings: Iterable[Finding], allowed: Collection[str]) -> tuple[Finding, ...]:
    """The same findings; those refused ones whose key is allowed are only warned of."""
    return tuple(
        replace(one, verdict=Verdict.WARNED) if one.verdict is Verdict.REFUSED and one.key in allowed else one
        for one in findings
    )


@dataclass(frozen=True)
class Footprint:
    """A group that a release of the service made, that has a name of ours, or that is in its target groups."""

    name: str
    service: str = ""  # tag bluegreen:service
    number: int = 0  # of the service's release that made it; 0 when none did
    release: str = ""  # tag bluegreen:release
    token: str = ""  # tag bluegreen:token
    targets: tuple[str, ...] = ()  # ARNs of the service's target groups that it is attached to
    serves: bool = False  # attached to one that gets traffic
    size: int = 0
    pinned: bool = False  # its minimum is its size, and what would change it by itself is suspended
    commit: str = ""
    image: str = ""  # AMI id that its template version carries; "" when it was not looked for
    version: int | None = None  # of its launch template; None when it was not looked for
    held_by: str = ""  # tag bluegreen:held-by
    parked: tuple[str, ...] = ()  # ids of instances that AWS never ends by itself, such as those in Standby

    @property
    def maker(self) -> str:
        """Which release made it, as far as it was one."""
        return self.release or "someone else"


@dataclass(frozen=True)
class Remains:
    """What has a service's tags: its groups, by name, and its images that can be launched, the newest first."""

    groups: tuple[Footprint, ...] = ()
    images: tuple[Image, ...] = ()


@dataclass(frozen=True)
class AccountFacts:
    """What a policy names of an account, and the configuration does not say.

    `templates`: ids of the launch templates of the service's groups. `roles`: ARNs of the roles that their instances
    have. `alarms`: names of those that act by their policies. `doubts`: what could not be read, in clauses.
    """

    id: str
    templates: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    alarms: tuple[str, ...] = ()
    partition: str = "aws"
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Candidate:
    """A group that a first release could start from.

    `target_groups`: ARNs. `kinds`: the instance types of its mixed instances policy. `unfit`: why it cannot be
    released, each with what to do. `keeper`: the tool that would make the group again, "" where none shows.
    `locked`: AWS refuses its deletion. `service`: its tag, "" unless a release made it. `title`: its tag Name.
    """

    name: str
    size: int = 0
    target_groups: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    unfit: tuple[tuple[str, str], ...] = ()
    keeper: str = ""
    locked: bool = False
    service: str = ""
    title: str = ""


@dataclass(frozen=True)
class Candidates:
    """The groups of an account in a region, by name."""

    account: str
    region: str
    groups: tuple[Candidate, ...] = ()

    @property
    def place(self) -> str:
        """As errors say it: `in ap-northeast-2 of account 123456789012`."""
        return f"in {self.region} of account {self.account}"


@dataclass(frozen=True)
class Forward:
    """A listener's default action, or a rule, that forwards. `weights`: target group ARN -> weight."""

    arn: str
    name: str  # for people
    weights: Mapping[str, int]


@dataclass(frozen=True)
class StoppedInstance:
    """A stopped instance that may be a builder. `managed`: Systems Manager knows it."""

    id: str
    name: str = ""  # its tag Name
    managed: bool = False
    hinted: bool = False  # its name or another tag speaks of building


@dataclass(frozen=True)
class GroupDetails:
    """What a first release of one group finds around it.

    `pools`: ARN -> name of the target groups of instances behind its load balancers. `members`: how many targets those
    have that share a forward with the group's own. `image`: the AMI of its launch template now, or the SSM parameter
    that the template names; "" when it cannot be launched any more. `page`: URL of the instances' own health check.
    `earliest`: seconds until a new target is healthy, at the earliest. `doubts`: what could not be read, in clauses.
    """

    forwards: tuple[Forward, ...] = ()
    pools: Mapping[str, str] = field(default_factory=dict)
    members: Mapping[str, int] = field(default_factory=dict)
    machines: tuple[StoppedInstance, ...] = ()
    template: str = ""  # its name
    version: str = ""  # as the group names it
    image: str = ""
    page: str = ""
    earliest: float = 0.0
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Traces:
    """What AWS shows of a service's releases. `images`: the names of own images that begin as ours do."""

    groups: tuple[Footprint, ...]
    first: int  # the first number that no release which left anything bears, and none before the journal's next one
    images: tuple[str, ...] = ()
    account: str = ""  # id of the account that they are in


@dataclass(frozen=True)
class Baseline:
    """What a release starts from, found and judged before anything is recorded or changed."""

    blue: Group
    target_groups: tuple[str, ...]  # ARNs, in the config's order
    template: Template
    resolved_version: str  # the number that blue's template reference means now
    routes: tuple[str, ...]
    delays: Delays = Delays()
    builder: str = ""  # instance id, "" when an image is given
    image: str = ""  # AMI id that is given or was found for the commit
    blue_image: str = ""  # AMI id that blue's template version carries; "" when it takes it from elsewhere
    account: str = ""
    region: str = ""
    listeners: tuple[str, ...] = ()  # ARNs whose weights decide who serves; none: the target groups are shared
    previews: tuple[str, ...] = ()  # ARNs of those that show green before it serves
    idle_target_group: str = ""  # weighted: ARN of the one that gets no traffic now
    stickiness: float = 0.0  # weighted: seconds for which clients stay with a target group, whatever its weight
    unwell: str = ""  # what is wrong with blue, in one sentence; "" when it is whole
    unsettled: str = ""  # what is under way in a whole blue and ends by itself, in one clause: a release waits for it
    borne: int = 0  # how many of blue, and of the rest, are in service and healthy wherever they serve
    rest: tuple[Group, ...] = ()  # what failed releases left in the target groups, which a cure takes out
    spare: Idle | None = None  # of a standing pair: the group that is to be green
    sets_default: bool = True  # whether the released version may become the template's default
    attached: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # to blue: kind -> names
    types: Mapping[str, int] = field(default_factory=dict)  # of blue's instances: instance type -> how many
    findings: tuple[Finding, ...] = ()  # what else is there; refused ones keep a release from beginning

    def to_start(self) -> dict[str, Any]:
        """What the first event records of it, by the names of `release.Started`."""
        traffic = ("target_groups", "listeners", "previews", "routes", "idle_target_group", "stickiness")
        alike = (*traffic, "image", "blue_image", "builder", "account", "region", "sets_default")
        known = {name: getattr(self, name) for name in alike}
        found = tuple(one.to_facts() for one in self.findings)
        return {**known, "blue_group": self.blue.name, "default_version": self.template.default, "findings": found}

    @property
    def idle(self) -> str:
        """That blue is at size 0, in one clause; "" when it is not."""
        return "" if self.blue.desired else f"the group {self.blue.name} is at size 0"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was found that a person should hear of, a clause each."""
        return tuple(one.said for one in self.findings if one.verdict is not Verdict.NOTED)
