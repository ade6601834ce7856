"""Whether a service can be released, and what is in the way: facts become lines with a verdict and what to do.

`aws.examination` and `tokens` read the facts, and change nothing. Every line stands for one precondition. A fact that
could not be read is a line, too, which says what it needs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from itertools import groupby
from typing import Any

from bluegreen.config import Config
from bluegreen.errors import AwsError, BlueGreenError, ConfigError, Refused
from bluegreen.iam_policy import Statement
from bluegreen.observation import Baseline, Finding, FindingKey, Verdict
from bluegreen.quotas import Use, free_addresses
from bluegreen.release import agreeing, count_of, duration, listed


class Topic(StrEnum):
    """What a line is about, in the order of the lines."""

    CREDENTIALS = "credentials"
    CLOCK = "clock"
    PERMISSIONS = "permissions"
    POLICY = "policy"
    JOURNAL = "journal"
    GROUP = "group"
    TRAFFIC = "traffic"
    FINDINGS = "findings"
    HEALTH = "health"
    BUILDER = "builder"
    QUOTAS = "quotas"
    ADDRESSES = "addresses"
    SLACK = "slack"
    GITHUB = "github"


class Rating(StrEnum):
    """What a line says of a release."""

    BLOCKS = "in the way"
    WARNS = "warn"
    UNSEEN = "not examined"
    GOOD = "ok"


@dataclass(frozen=True)
class Diagnosis:
    """One line. `said` is a clause; `fix` is a sentence or several on what to do, "" when nothing is needed."""

    topic: Topic
    rating: Rating
    said: str
    fix: str = ""


#: AWS refuses requests whose time differs by more (AWS General Reference, Signature Version 4).
SKEW_MAX = 300.0
#: A clock that is off by more makes logs of several machines hard to read; releases use the time of the table.
SKEW_SHOWN = 10.0
#: Names of actions that one line says; nobody reads more.
MOST_NAMED = 4
#: The default of AWS, and longer than most requests last (Elastic Load Balancing, deregistration delay), in seconds.
DRAIN_LONG = 300.0
#: Actions without which a release goes on: it cannot examine a part of what surrounds it (docs/findings.md, `unseen`).
TOLERATED = frozenset(
    {
        "autoscaling:DescribeAccountLimits",
        "autoscaling:DescribeInstanceRefreshes",
        "autoscaling:DescribeLaunchConfigurations",
        "ec2:DescribeFleets",
        "ec2:DescribeSnapshots",
        "ec2:DescribeSpotFleetRequests",
        "ec2:DescribeSubnets",
        "ec2:DescribeVolumes",
        "elasticloadbalancing:DescribeAccountLimits",
        "kms:DescribeKey",
        "servicequotas:GetServiceQuota",
    }
)


def _good(topic: Topic, said: str) -> Diagnosis:
    return Diagnosis(topic, Rating.GOOD, said)


def _warns(topic: Topic, said: str, fix: str) -> Diagnosis:
    return Diagnosis(topic, Rating.WARNS, said, fix)


def _blocks(topic: Topic, said: str, fix: str) -> Diagnosis:
    return Diagnosis(topic, Rating.BLOCKS, said, fix)


def unseen(topic: Topic, said: str, fix: str = "") -> Diagnosis:
    """A line that could not be examined."""
    return Diagnosis(topic, Rating.UNSEEN, said, fix)


def failed(topic: Topic, error: BaseException, seconds: float = 0.0) -> Diagnosis:
    """The line of an examination that ended so; after `seconds` it was given up."""
    if topic is Topic.CREDENTIALS:  # whatever it is, nothing can be done without AWS
        return replace(_failed(topic, error, seconds), rating=Rating.BLOCKS)
    return _failed(topic, error, seconds)


def _failed(topic: Topic, error: BaseException, seconds: float) -> Diagnosis:
    match error:
        case TimeoutError():
            fix = "Check the network, the proxy and the VPC endpoints between this machine and AWS, then try again."
            return unseen(topic, f"no answer within {seconds:g} s", fix)
        case AwsError(denied=True):
            return unseen(topic, f"needs {error.what.removeprefix('not allowed: ')}", error.hint)
        case AwsError(expired=True):
            return _blocks(topic, error.what, error.hint)
        case ConfigError() | Refused():
            return _blocks(topic, f"{error.where}: {error.what}" if error.where else error.what, error.hint)
        case BlueGreenError():
            return unseen(topic, f"{error.where}: {error.what}", error.hint or "Try again.")
    fix = "This is an internal error of bluegreen: please report it with the traceback that BLUEGREEN_DEBUG=1 shows."
    return unseen(topic, f"{type(error).__name__}: {error}", fix)


def in_order(found: Iterable[Diagnosis]) -> list[Diagnosis]:
    """The lines in their order, each once: by topic, and of one topic the gravest first."""
    topics, ratings = list(Topic), list(Rating)
    return sorted(dict.fromkeys(found), key=lambda one: (topics.index(one.topic), ratings.index(one.rating)))


def in_the_way(found: Iterable[Diagnosis]) -> bool:
    """Whether a release cannot succeed as things are."""
    return any(one.rating is Rating.BLOCKS for one in found)


# --- credentials and clock -----------------------------------------------------------------------


def credentials(arn: str, region: str) -> Iterator[Diagnosis]:
    """Who calls, and where."""
    yield _good(Topic.CREDENTIALS, f"{arn} in {region}")
    if arn.endswith(":root"):
        fix = "Use a role with the policy that `bluegreen iam-policy` prints."
        yield _warns(Topic.CREDENTIALS, "these are the credentials of the root user, who may do everything", fix)


#: In place of all other lines about AWS.
NOTHING_ELSE = unseen(Topic.FINDINGS, "everything else in AWS", "First correct the credentials.")


def is_known(found: Iterable[Diagnosis]) -> bool:
    """Whether AWS knows who calls: without that nothing else of AWS can be examined."""
    return any(one.topic is Topic.CREDENTIALS and one.rating is Rating.GOOD for one in found)


def without_group(topic: Topic) -> Diagnosis:
    """What depends on the settings of a group that could not be read."""
    return unseen(topic, "needs the group", f"First do what the line `{Topic.GROUP}` says.")


def clock(ahead: float | None) -> Diagnosis:
    """`ahead`: by how many seconds this machine is ahead of AWS; None when no answer told the time."""
    if ahead is None:
        return unseen(Topic.CLOCK, "no answer of AWS told the time")
    off = f"this machine's clock is {duration(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} AWS's"
    fix = "Correct it, for example with chrony or systemd-timesyncd."
    if abs(ahead) >= SKEW_MAX:
        return _blocks(Topic.CLOCK, f"{off}, and AWS refuses requests that are {duration(SKEW_MAX)} off", fix)
    if abs(ahead) >= SKEW_SHOWN:
        return _warns(Topic.CLOCK, f"{off}; releases use the time of the journal's table, logs do not", fix)
    return _good(Topic.CLOCK, f"within {SKEW_SHOWN:g} s of AWS's")


# --- permissions ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Simulation:
    """One question to IAM's simulator, which judges every action on every resource, in this context.

    `context`: condition keys; one with several values at once, as the keys of tags, has a list. `wanted`: the pairs of
    action and resource that matter -> the statement that allows them.
    """

    context: Mapping[str, str | Sequence[str]]
    wanted: Mapping[tuple[str, str], str]

    @property
    def actions(self) -> list[str]:
        """What to ask for, once each."""
        return list(dict.fromkeys(action for action, _ in self.wanted))

    @property
    def resources(self) -> list[str]:
        """On what, once each."""
        return list(dict.fromkeys(resource for _, resource in self.wanted))


@dataclass(frozen=True)
class Permission:
    """Whether an action of a statement is allowed. `why` says who denies it; "" when nothing allows it."""

    statement: str
    action: str
    allowed: bool
    why: str = ""


def simulations(statements: Iterable[Statement], region: str) -> list[Simulation]:
    """What to ask, so that a role with these statements, or with wider ones, gets an answer of yes to everything.

    Statements with the same condition are one question, since IAM judges each combination of action and resource
    (IAM API, SimulatePrincipalPolicy).
    """
    made: dict[tuple[str, bool], Simulation] = {}
    for one in statements:
        context = dict(_context(one))
        same = (repr(context), "*" in one.resources)
        pairs = {(action, example(arn, region)): one.sid for action in one.actions for arn in one.resources}
        before = made[same].wanted if same in made else {}
        made[same] = Simulation(context, {**before, **pairs})
    return list(made.values())


def _context(statement: Statement) -> Iterator[tuple[str, str | list[str]]]:
    """What satisfies its condition: of values that it compares with, one is enough, unless it asks for all of a set."""
    for test, asked in statement.condition.items():
        for key, values in asked.items():
            allowed = [values] if isinstance(values, str) else list(values)
            yield key, allowed if test.startswith("ForAllValues:") else allowed[0]


def example(resource: str, region: str) -> str:
    """A resource that a pattern of a policy means: the simulator compares names, and knows no patterns in them."""
    if resource == "*":
        return resource
    partition, service, where, account, path = resource.split(":", 5)[1:]
    name = path.replace("autoScalingGroup:*:", "autoScalingGroup:00000000-0000-4000-8000-000000000000:")
    place = region if where == "*" else where
    return ":".join(("arn", partition, service, place, account, name.replace("*", "1")))


def permissions(found: Sequence[Permission], asked: Iterable[Simulation], principal: str) -> Iterator[Diagnosis]:
    """What IAM's simulator said of each action that a release calls."""
    silent = {action for one in asked for action in one.actions} - {one.action for one in found}
    if silent:
        yield unseen(Topic.PERMISSIONS, f"{listed(sorted(silent))}: IAM's simulator says nothing of them")
    denied = [one for one in found if not one.allowed]
    for (statement, why), ones in groupby(sorted(denied, key=_statement_and_why), key=_statement_and_why):
        yield _denied(statement, why, sorted({one.action for one in ones}))
    actions = {one.action for one in found}
    if not denied and not silent:
        said = f"{principal} has all {len(actions)} that a release needs (iam:SimulatePrincipalPolicy)"
        yield _good(Topic.PERMISSIONS, said)


def _statement_and_why(one: Permission) -> tuple[str, str]:
    return one.statement, one.why


def _denied(statement: str, why: str, actions: Sequence[str]) -> Diagnosis:
    said = f"{listed(actions, MOST_NAMED)} {agreeing(len(actions))} not allowed{f', {why}' if why else ''}"
    fix = f"`bluegreen iam-policy` prints the statement that is missing: {statement}."
    if why:
        fix = "Ask who keeps that policy: to add the action to the role's own is not enough."
    if TOLERATED.issuperset(actions):
        return _warns(Topic.PERMISSIONS, f"{said}, so bluegreen cannot examine all that surrounds a release", fix)
    return _blocks(Topic.PERMISSIONS, said, fix)


def dry_runs(found: Sequence[Permission], needs: str) -> Iterator[Diagnosis]:
    """What EC2 said to requests with DryRun. `needs`: the action that doctor lacks to ask the simulator."""
    for one in found:
        if not one.allowed:
            said = f"{one.action} is not allowed (EC2 DryRun)"
            fix = f"`bluegreen iam-policy` prints the statement that is missing: {one.statement}."
            yield _blocks(Topic.PERMISSIONS, said, fix)
    allowed = sorted({one.action for one in found if one.allowed})
    if allowed:
        yield _good(Topic.PERMISSIONS, f"{listed(allowed, len(allowed))} (EC2 DryRun)")
    fix = f"Add {needs} to this role (`bluegreen iam-policy --for reader`), or run doctor as a role that has it."
    said = f"changes in other services than EC2, because IAM's simulator needs {needs}"
    yield unseen(Topic.PERMISSIONS, f"{said}; the other lines tried the reads", fix)


# --- the policy in force -------------------------------------------------------------------------


@dataclass(frozen=True)
class Grant:
    """What one statement of a policy in force allows: a pattern of actions on a pattern of resources.

    `keys`: condition keys that it asks for. A statement with NotAction or NotResource has `*` in its place.
    """

    action: str
    resource: str
    keys: frozenset[str] = frozenset()

    def __str__(self) -> str:
        """For people: where it holds is said only if it is not everywhere."""
        return self.action if self.resource == "*" else f"{self.action} on {self.resource}"


def grants(document: Mapping[str, Any]) -> Iterator[Grant]:
    """What a policy document allows, statement by statement; denials narrow it, and are the simulator's to judge."""
    for one in _many(document.get("Statement", [])):
        if one.get("Effect") == "Allow":
            keys = frozenset(key.lower() for asked in one.get("Condition", {}).values() for key in asked)
            actions, resources = _many(one.get("Action", "*")), _many(one.get("Resource", "*"))
            yield from (Grant(action, resource, keys) for action in actions for resource in resources)


def _many(said: Any) -> list[Any]:
    """A policy says one thing plainly, several as a list."""
    return said if isinstance(said, list) else [said]


def policy_in_force(principal: str, found: Iterable[Grant], wanted: Iterable[Statement], *, own: bool) -> Diagnosis:
    """Whether a role may more than its releases need. `own`: it is the caller's, whom a person may be."""
    known = [one for statement in wanted for one in grants({"Statement": statement.as_json()})]
    more = sorted({str(one) for one in found if not any(_covers(ours, one) for ours in known)})
    if not more:
        return _good(Topic.POLICY, f"{principal} has nothing that `bluegreen iam-policy` does not print")
    said = f"{principal} has more than a release needs: {listed(more, MOST_NAMED)}"
    if own:
        return _good(Topic.POLICY, f"{said}; `--role` examines the role of the Action or the bot")
    return _warns(
        Topic.POLICY, said, "Give it the policy that `bluegreen iam-policy` prints, and take the others away."
    )


def _covers(ours: Grant, theirs: Grant) -> bool:
    """Whether a statement of ours allows all that theirs does."""
    same = ours.action.lower() == theirs.action.lower()
    return same and fnmatchcase(theirs.resource, ours.resource) and ours.keys <= theirs.keys


# --- the journal's table -------------------------------------------------------------------------


@dataclass(frozen=True)
class TableSettings:
    """The table as DynamoDB shows it; None: not readable, with the action that is needed in `needs`."""

    name: str
    status: str  # "" when there is none
    keys: Mapping[str, str]
    recovery: bool | None = None
    expires: bool | None = None  # whether it has time to live
    needs: str = ""


#: Attributes of the journal's key, and their kinds.
KEYS: Mapping[str, str] = {"pk": "HASH", "sk": "RANGE"}


def is_usable(table: TableSettings) -> bool:
    """Whether the journal can be read and written there."""
    return dict(table.keys) == KEYS and table.status in ("ACTIVE", "UPDATING")


def journal(table: TableSettings, under_way: str = "") -> Iterator[Diagnosis]:
    """`under_way`: id of the release that is under way, which changes what other lines say."""
    if not table.status:
        fix = "The first release makes it, if it may; or make it beforehand, with the string keys `pk` and `sk`."
        yield _warns(Topic.JOURNAL, f"there is no table `{table.name}` yet", fix)
        return
    if dict(table.keys) != KEYS:
        fix = "It belongs to another program: give the journal another name in BLUEGREEN_TABLE."
        yield _blocks(Topic.JOURNAL, f"the table `{table.name}` has other keys than `pk` and `sk`", fix)
        return
    if not is_usable(table):
        fix = "Wait until it is active, or name another in BLUEGREEN_TABLE."
        yield _blocks(Topic.JOURNAL, f"the table `{table.name}` is {table.status}", fix)
        return
    yield from _kept(table)
    if under_way:
        fix = "`bluegreen status` shows it."
        yield _blocks(Topic.JOURNAL, f"{under_way} is under way: until it has settled, another release is refused", fix)


def busy(under_way: str, *topics: Topic) -> Iterator[Diagnosis]:
    """Lines about what a release under way uses and changes: what they would say now says nothing of the next one."""
    for topic in topics:
        yield unseen(topic, f"{under_way} uses it", "Run doctor again when that has settled.")


def _kept(table: TableSettings) -> Iterator[Diagnosis]:
    name = f"the table `{table.name}`"
    stays = "" if table.expires is not False else "; without time to live, old answers to requests stay in it"
    if table.needs:
        yield unseen(Topic.JOURNAL, f"point-in-time recovery or time to live: needs {table.needs}")
    if table.recovery is not False:
        yield _good(Topic.JOURNAL, f"{name} is there{', with point-in-time recovery' if table.recovery else ''}{stays}")
    else:
        fix = (
            f"`aws dynamodb update-continuous-backups --table-name {table.name} "
            "--point-in-time-recovery-specification PointInTimeRecoveryEnabled=true`"
        )
        yield _warns(Topic.JOURNAL, f"{name} has no point-in-time recovery: a deletion by mistake is final", fix)


# --- what a release starts from ------------------------------------------------------------------

#: Findings before a release that are about these topics; all others are FINDINGS.
_TOPICS: Mapping[FindingKey, Topic] = {
    FindingKey.BLUE_UNHEALTHY: Topic.GROUP,
    FindingKey.NOTHING_SERVES: Topic.GROUP,
    FindingKey.TEMPLATE_LOST: Topic.GROUP,
    FindingKey.SHARED_BUILDER: Topic.BUILDER,
    FindingKey.STICKY_CLIENTS: Topic.HEALTH,
    FindingKey.TEMPLATE_FULL: Topic.QUOTAS,
    FindingKey.GROUP_QUOTA: Topic.QUOTAS,
    FindingKey.CROWDED_TARGET_GROUP: Topic.QUOTAS,
    FindingKey.JOURNAL_BEHIND: Topic.JOURNAL,
}
_RATINGS = {Verdict.REFUSED: Rating.BLOCKS, Verdict.WARNED: Rating.WARNS}
#: Keys of the configuration, by how they begin -> what they are about.
_PLACES = {"group": Topic.GROUP, "groups": Topic.GROUP, "traffic": Topic.TRAFFIC}


def plan(baseline: Baseline) -> Iterator[Diagnosis]:
    """What a release would start from, and all that it found beforehand (docs/findings.md)."""
    blue, found = baseline.blue, [_finding(one) for one in baseline.findings if _is_told(one)]
    yield from found
    if not any(one.topic is Topic.GROUP and one.rating is Rating.BLOCKS for one in found):
        size = count_of(blue.desired, "instance")
        yield _good(Topic.GROUP, f"{blue.name}, {size}, on version {baseline.resolved_version} of {blue.template}")
    serving = [arn for arn in baseline.target_groups if arn != baseline.idle_target_group]
    names = [arn.rpartition("targetgroup/")[2].partition("/")[0] for arn in serving]
    yield _good(Topic.TRAFFIC, f"{blue.name} serves in {listed(names, len(names))}")
    if not any(one.topic is Topic.FINDINGS for one in found):
        yield _good(Topic.FINDINGS, "nothing else in the account is in the way")
    if not any(one.topic is Topic.QUOTAS for one in found):
        yield _good(Topic.QUOTAS, "another group, its template version and its targets fit")


def _is_told(one: Finding) -> bool:
    """What is only noted, `plan` shows; the quotas and addresses have lines of their own, which also say what fits."""
    if one.key is FindingKey.NO_ROOM:
        return False
    return one.verdict is not Verdict.NOTED or one.key is FindingKey.UNSEEN


def _finding(one: Finding) -> Diagnosis:
    topic = _TOPICS.get(one.key, Topic.FINDINGS)
    return Diagnosis(topic, _RATINGS.get(one.verdict, Rating.UNSEEN), one.said, one.hint)


def no_plan(error: BlueGreenError, *, own: bool) -> Iterator[Diagnosis]:
    """The line of a preflight that was refused, or had no answer; what comes behind it was not examined.

    `own`: it is the caller who releases, and would be denied the same.
    """
    topic = _PLACES.get(error.where.partition(".")[0], Topic.FINDINGS)
    topic = Topic.GROUP if isinstance(error, AwsError) else topic
    yield _read_of_a_release(topic, error, own=own)
    fix = f"First do what the line `{topic}` says."
    if topic is Topic.GROUP:
        yield unseen(Topic.TRAFFIC, "needs the group", fix)
    if topic is not Topic.FINDINGS:
        yield unseen(Topic.FINDINGS, "what else `bluegreen plan` finds", fix)


def no_record(error: BlueGreenError, *, own: bool) -> Iterator[Diagnosis]:
    """The line of a journal whose items may not be read; what else is wrong with it, its table's line says."""
    if isinstance(error, AwsError) and error.denied:
        yield _read_of_a_release(Topic.JOURNAL, error, own=own)


def _read_of_a_release(topic: Topic, error: BlueGreenError, *, own: bool) -> Diagnosis:
    line = failed(topic, error)
    if own and isinstance(error, AwsError) and error.denied:
        return replace(line, rating=Rating.BLOCKS, said=f"{line.said}, and so does a release")
    return line


def is_of_builder(error: BlueGreenError) -> bool:
    """Whether a preflight was refused for the builder, which has lines of its own."""
    return error.where.startswith("image.builder")


# --- health checks -------------------------------------------------------------------------------


@dataclass(frozen=True)
class GroupSettings:
    """What of blue decides how green fares. `grace`: seconds, `elb`: whether target health replaces instances."""

    name: str
    size: int
    elb: bool
    grace: float
    subnets: tuple[str, ...] = ()
    target_groups: tuple[str, ...] = ()  # ARNs
    mixed: bool = False  # it launches by a mixed instances policy


@dataclass(frozen=True)
class TargetGroupSettings:
    """Health checks and attributes of a target group, in seconds; `sticky`: 0 without stickiness."""

    name: str
    interval: float
    rises: int  # passed checks until a target is healthy
    falls: int  # failed checks until it is unhealthy
    drain: float = 0.0
    slow_start: float = 0.0
    sticky: float = 0.0


def health(group: GroupSettings, targets: Sequence[TargetGroupSettings], config: Config) -> Iterator[Diagnosis]:
    """Settings that will hurt: they let instances be replaced while they boot, or a release wait or see too little."""
    found = [*_grace(group, targets), *(line for one in targets for line in _checked(one, config))]
    yield from found or [_good(Topic.HEALTH, "health checks and attributes of the target groups suit a release")]


def _grace(group: GroupSettings, targets: Sequence[TargetGroupSettings]) -> Iterator[Diagnosis]:
    if not group.elb or group.grace:
        return
    needed = max((one.interval * one.rises for one in targets), default=0.0)
    seconds = max(60, math.ceil(2 * needed))
    fix = (
        f"`aws autoscaling update-auto-scaling-group --auto-scaling-group-name {group.name} "
        f"--health-check-grace-period {seconds}`, or as long as an instance takes to serve."
    )
    said = f"{group.name} has ELB health checks and no grace period: it replaces instances that still start"
    yield _warns(Topic.HEALTH, said, fix)


def _checked(one: TargetGroupSettings, config: Config) -> Iterator[Diagnosis]:
    rises, falls = one.interval * one.rises, one.interval * one.falls
    change = "Lower the interval or the threshold of the health check"
    if rises >= config.timeouts.healthy:
        said = f"a target of {one.name} that fails a check needs {duration(rises)} to be healthy, but a release waits"
        fix = f"{change}, or raise `timeouts.healthy`."
        yield _warns(Topic.HEALTH, f"{said} {duration(config.timeouts.healthy)}", fix)
    if config.soak and falls > config.soak:
        said = f"{one.name} takes {duration(falls)} to find a target unhealthy, but the soak ends after"
        yield _warns(Topic.HEALTH, f"{said} {duration(config.soak)}", f"{change}, or raise `soak`.")
    if one.drain > DRAIN_LONG:
        said = f"{one.name} keeps leaving targets for {duration(one.drain)}, and every release waits so long for blue"
        fix = (
            "Lower its deregistration delay (deregistration_delay.timeout_seconds) to what your longest request needs."
        )
        yield _warns(Topic.HEALTH, said, fix)
    yield from _traffic(one, config)


def _traffic(one: TargetGroupSettings, config: Config) -> Iterator[Diagnosis]:
    if one.sticky > config.soak:
        said = f"clients of {one.name} stay with one instance for {duration(one.sticky)}, the soak is"
        harm = f"{duration(config.soak)}: fewer of them reach green while both serve"
        fix = "Lower the duration of its stickiness, or raise `soak`."
        yield _warns(Topic.HEALTH, f"{said} {harm}", fix)
    overlap = config.traffic.overlap
    if one.slow_start > overlap:
        said = f"{one.name} starts targets slowly, over {duration(one.slow_start)}, but the overlap is"
        fix = "Raise `traffic.overlap`, or lower slow_start.duration_seconds of the target group."
        yield _warns(Topic.HEALTH, f"{said} {duration(overlap)}: green is judged before it has its share", fix)


# --- the builder ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class BuilderSettings:
    """The builder, which was found stopped. `agent`: SSM's state of it, "" when SSM does not know it."""

    id: str
    profile: str
    agent: str
    heard: str  # when its agent was heard last, "" when never


def builder(found: BuilderSettings) -> Iterator[Diagnosis]:
    """Whether Systems Manager can run commands on it: seen only once it runs."""
    if found.agent:
        yield _good(Topic.BUILDER, f"{found.id} is stopped; its SSM agent was heard {found.heard or 'before'}")
        return
    said = f"SSM has never heard an agent of {found.id}"
    if not found.profile:
        fix = "Give it an instance profile whose role has the policy AmazonSSMManagedInstanceCore, and start it once."
        yield _warns(Topic.BUILDER, f"{said}, which has no instance profile", fix)
        return
    fix = (
        f"Start it once, and look with `aws ssm describe-instance-information`. The role of {found.profile} needs the "
        "policy AmazonSSMManagedInstanceCore, and the instance the SSM agent and a way to SSM's endpoints."
    )
    yield _warns(Topic.BUILDER, said, fix)


def bucket(name: str) -> Diagnosis:
    """The bucket of the packed commit, which was found."""
    return _good(Topic.BUILDER, f"the bucket {name} of the packed commit is in this account and region")


# --- quotas and addresses ------------------------------------------------------------------------


def quota(use: Use) -> Diagnosis:
    """Whether twice the group fits."""
    if use.fits:
        return _good(Topic.QUOTAS, f"{use.what}: {use.numbers}")
    rated = _blocks if use.sure else _warns
    return rated(Topic.QUOTAS, f"{use.what}: {use.numbers}, so not all of green fits", use.fix)


def addresses(group: GroupSettings, free: Mapping[str, int]) -> Diagnosis:
    """`free`: subnet id -> addresses that are left in it. A group spreads its instances over its subnets."""
    use = free_addresses(group.size, free)
    if not use.fits:
        return _blocks(Topic.ADDRESSES, f"{use.what}: {use.numbers}, so not all of green fits", use.fix)
    share = math.ceil(group.size / len(free)) if free else 0
    short = {subnet: left for subnet, left in free.items() if left < share}
    if not short:
        return _good(
            Topic.ADDRESSES,
            f"{sum(free.values())} free in {count_of(len(free), 'subnet')}, {group.size} more for green",
        )
    named = listed([f"{subnet} has {left} free" for subnet, left in sorted(short.items())])
    return _warns(Topic.ADDRESSES, f"{named}, and green needs about {share} in each subnet", use.fix)


# --- Slack and GitHub ----------------------------------------------------------------------------

#: Scopes of the bot's token, as bot/manifest.yml asks for them, and what is missing without each.
SCOPES: Mapping[str, str] = {
    "commands": "the commands do not work",
    "chat:write": "the bot shows nothing",
    "channels:history": "a card or line may appear twice after a crash",
    "groups:history": "the same in a private channel",
    "usergroups:read": "members of user groups may not give orders",
}
#: Scopes without which the bot is of no use.
_NEEDED = frozenset({"commands", "chat:write"})


@dataclass(frozen=True)
class SlackToken:
    """What Slack says of the bot's token. `error`: Slack's code when it refuses it; `scopes` None: it did not say."""

    team: str = ""
    error: str = ""
    scopes: frozenset[str] | None = None
    channel: str = ""  # the configuration's
    channel_error: str = ""  # Slack's code when the bot may not read there


def slack(token: SlackToken | None) -> Iterator[Diagnosis]:
    """`token` None: SLACK_BOT_TOKEN is not set."""
    if token is None:
        yield unseen(Topic.SLACK, "SLACK_BOT_TOKEN is not set", "Set it where the bot runs; without a bot, do nothing.")
        return
    if token.error:
        fix = "Install the app again (docs/slack.md), and set SLACK_BOT_TOKEN to its Bot User OAuth Token, xoxb-…."
        yield _blocks(Topic.SLACK, f"Slack refuses SLACK_BOT_TOKEN: {token.error}", fix)
        return
    yield from _scopes(token)
    yield from _channel(token)


def _scopes(token: SlackToken) -> Iterator[Diagnosis]:
    again = "Update the app from bot/manifest.yml (App Manifest), and install it again."
    if token.scopes is None:
        yield unseen(Topic.SLACK, "the scopes of the token, because Slack does not name them")
        return
    missing = [scope for scope in SCOPES if scope not in token.scopes]
    for scope in missing:
        rated = _blocks if scope in _NEEDED else _warns
        yield rated(Topic.SLACK, f"the token lacks the scope {scope}: {SCOPES[scope]}", again)
    more = sorted(token.scopes - SCOPES.keys())
    if more:
        yield _warns(Topic.SLACK, f"the token has scopes that bot/manifest.yml does not ask for: {listed(more)}", again)
    if not missing and not more:
        yield _good(Topic.SLACK, f"the token is for {token.team}, with the scopes of bot/manifest.yml")


def _channel(token: SlackToken) -> Iterator[Diagnosis]:
    if not token.channel:
        fix = "Set `slack.channel` in bluegreen.yml to the channel's id."
        yield _warns(Topic.SLACK, "no channel is named, so releases have no card", fix)
    elif token.channel_error in ("not_in_channel", "channel_not_found"):
        fix = "Invite it there with `/invite @bluegreen`, or correct `slack.channel` in bluegreen.yml."
        yield _blocks(Topic.SLACK, f"the bot is not in the channel {token.channel}", fix)
    elif token.channel_error:
        yield unseen(Topic.SLACK, f"the channel {token.channel}: Slack says {token.channel_error}")
    else:
        yield _good(Topic.SLACK, f"the bot is in {token.channel}")


@dataclass(frozen=True)
class GitHubToken:
    """What GitHub says of the token. `status`: HTTP's, of the repository when one is named, else of the token."""

    status: int
    repository: str = ""


def github(token: GitHubToken | None) -> Iterator[Diagnosis]:
    """`token` None: GITHUB_TOKEN is not set."""
    if token is None:
        fix = "Set it where the bot runs, for /release; a workflow has its own."
        yield unseen(Topic.GITHUB, "GITHUB_TOKEN is not set", fix)
    elif token.status == 200:
        where = f" and reads {token.repository}" if token.repository else ""
        yield _good(Topic.GITHUB, f"GitHub takes the token{where}")
    elif token.status == 401:
        yield _blocks(Topic.GITHUB, "GitHub refuses GITHUB_TOKEN", "Make a new token, and set GITHUB_TOKEN to it.")
    elif token.status in (403, 404) and token.repository:
        fix = "Give the token access to the repository, with `actions: write` for /release."
        yield _blocks(Topic.GITHUB, f"the token does not see {token.repository}", fix)
    else:
        yield unseen(Topic.GITHUB, f"GitHub answers with status {token.status}", "Try again later.")
