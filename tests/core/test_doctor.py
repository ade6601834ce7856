"""Facts become lines: each precondition with its verdict, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
import yaml

from bluegreen import doctor
from bluegreen.config import Config
from bluegreen.doctor import (
    KEYS,
    SCOPES,
    BuilderSettings,
    Diagnosis,
    GitHubToken,
    GroupSettings,
    Permission,
    Rating,
    SlackToken,
    TableSettings,
    TargetGroupSettings,
    Topic,
)
from bluegreen.errors import AwsError, BlueGreenError, ConfigError, Refused
from bluegreen.iam_policy import Statement, policy
from bluegreen.journal import dynamodb
from bluegreen.observation import Baseline, Finding, FindingKey, Group, Template, Verdict
from bluegreen.quotas import Use
from tests.worlds.account import FACTS
from tests.worlds.files import ROOT
from tests.worlds.release import config

BLOCKS, WARNS, UNSEEN, GOOD = Rating.BLOCKS, Rating.WARNS, Rating.UNSEEN, Rating.GOOD
GROUP = GroupSettings("web-asg", 4, elb=False, grace=0, subnets=("subnet-1", "subnet-2"))
TARGETS = TargetGroupSettings("web", interval=10, rises=3, falls=2, drain=300)
ROLE = "arn:aws:iam::123456789012:role/bluegreen"


def only(found: Iterable[Diagnosis], rating: Rating) -> Diagnosis:
    """The one line, which must have this verdict."""
    (one,) = found
    assert one.rating is rating, one
    assert bool(one.fix) == (rating is not GOOD) or rating is UNSEEN
    return one


# --- what an examination ended with ---


@pytest.mark.parametrize(
    ("error", "rating", "said", "fix"),
    [
        (TimeoutError(), UNSEEN, "no answer within 30 s", "Check the network"),
        (
            AwsError("not allowed: ec2:DescribeSubnets", code="x", operation="x", denied=True, hint="Add it."),
            UNSEEN,
            "needs ec2:DescribeSubnets",
            "Add it.",
        ),
        (AwsError("too old", code="ExpiredToken", operation="x"), BLOCKS, "too old", "Renew the AWS credentials"),
        (ConfigError("is none", where="group", hint="Name one."), BLOCKS, "group: is none", "Name one."),
        (Refused("is frozen", reason="frozen", hint="Wait."), BLOCKS, "is frozen", "Wait."),
        (AwsError("broke", code="x", operation="DescribeSubnets"), UNSEEN, "DescribeSubnets: broke", "Try again."),
        (BlueGreenError("no answer", where="Slack", hint="Wait."), UNSEEN, "Slack: no answer", "Wait."),
        (ValueError("eh"), UNSEEN, "ValueError: eh", "internal error"),
    ],
)
def test_what_cannot_be_examined_is_a_line(error: Exception, rating: Rating, said: str, fix: str) -> None:
    """A missing permission, silence, an error of ours; what a release would stumble over is in the way."""
    line = doctor.failed(Topic.ADDRESSES, error, 30)
    assert (line.topic, line.rating, line.said) == (Topic.ADDRESSES, rating, said)
    assert fix in line.fix
    assert doctor.failed(Topic.CREDENTIALS, error, 30).rating is BLOCKS


def test_lines_have_an_order() -> None:
    """By topic, the gravest of a topic first; only what is in the way decides."""
    good, warns = Diagnosis(Topic.CLOCK, GOOD, "x"), Diagnosis(Topic.CLOCK, WARNS, "x", "Do.")
    blocks = Diagnosis(Topic.CREDENTIALS, BLOCKS, "x", "Do.")
    assert doctor.in_order([good, warns, blocks, good]) == [blocks, warns, good]
    assert doctor.in_the_way([good, blocks])
    assert not doctor.in_the_way([good, warns, doctor.NOTHING_ELSE])
    assert doctor.is_known(doctor.credentials(ROLE, "eu-west-1"))
    assert not doctor.is_known([good, blocks])
    assert doctor.without_group(Topic.HEALTH).rating is UNSEEN


def test_the_root_user_is_warned_of() -> None:
    """It works; it is too much."""
    only(doctor.credentials(ROLE, "eu-west-1"), GOOD)
    _, line = doctor.credentials("arn:aws:iam::123456789012:root", "eu-west-1")
    assert line.rating is WARNS
    assert "root user" in line.said


@pytest.mark.parametrize(
    ("ahead", "rating", "said"),
    [
        (None, UNSEEN, "no answer"),
        (9.9, GOOD, "within 10 s"),
        (-42.0, WARNS, "42s behind AWS's"),
        (301.0, BLOCKS, "5m 1s ahead of AWS's, and AWS refuses requests that are 5m off"),
    ],
)
def test_clocks(ahead: float | None, rating: Rating, said: str) -> None:
    """AWS refuses what comes five minutes off."""
    line = doctor.clock(ahead)
    assert line.rating is rating
    assert said in line.said


# --- permissions ---


def test_every_statement_is_asked_of_the_simulator() -> None:
    """Each action on an example of each resource, in the context of its condition; few questions."""
    statements = policy(config(checks=[{"name": "unit", "run": "true"}]), FACTS, "bluegreen")
    asked = doctor.simulations(statements, "eu-west-1")
    wanted = {(sid, action) for one in asked for (action, _), sid in one.wanted.items()}
    assert wanted == {(one.sid, action) for one in statements for action in one.actions}
    assert len(asked) < len(statements) / 1.5
    by = {sid: one for one in asked for sid in one.wanted.values()}
    assert by["MakeGroups"].context == {"aws:RequestTag/bluegreen:service": "web/production"}
    assert by["MarkGroups"].context == {"aws:TagKeys": ["bluegreen:held-by"]}
    assert by["TagWhatIsMade"].context == {"ec2:CreateAction": "CreateImage"}
    assert by["Look"].resources == ["*"]
    assert all("*" not in name for one in asked for name in one.resources if name != "*")


def test_an_example_of_a_resource() -> None:
    """A region, a name and an id in the place of stars."""
    named = "arn:aws:autoscaling:*:123456789012:autoScalingGroup:*:autoScalingGroupName/web-production-v*"
    made = "arn:aws:autoscaling:eu-west-1:123456789012:autoScalingGroup:00000000-0000-4000-8000-000000000000:"
    assert doctor.example(named, "eu-west-1") == f"{made}autoScalingGroupName/web-production-v1"
    assert doctor.example("arn:aws:iam::123456789012:role/web", "eu-west-1") == "arn:aws:iam::123456789012:role/web"
    assert doctor.example("*", "eu-west-1") == "*"


STATEMENT = Statement("LaunchGreen", ["ec2:RunInstances", "ec2:DescribeFleets"])


def permissions(*found: Permission) -> list[Diagnosis]:
    """The lines, where these two actions were asked for."""
    return list(doctor.permissions(found, doctor.simulations([STATEMENT], "r"), ROLE))


def test_what_the_simulator_denies_is_named_with_its_statement() -> None:
    """By whom, if it is not for want of a statement; a read that is tolerated only warns."""
    run, read = Permission("LaunchGreen", "ec2:RunInstances", True), Permission("Look", "ec2:DescribeFleets", True)
    assert f"{ROLE} has all 2 that a release needs" in only(permissions(run, read), GOOD).said
    line = only(permissions(replace(run, allowed=False), read), BLOCKS)
    assert line.said == "ec2:RunInstances is not allowed"
    assert line.fix == "`bluegreen iam-policy` prints the statement that is missing: LaunchGreen."
    line = only(permissions(replace(run, allowed=False, why="by an explicit deny"), read), BLOCKS)
    assert line.said == "ec2:RunInstances is not allowed, by an explicit deny"
    assert "Ask who keeps that policy" in line.fix
    assert "cannot examine all" in only(permissions(run, replace(read, allowed=False)), WARNS).said
    more = [replace(run, action=f"ec2:Run{n}", allowed=False) for n in range(2)]
    assert "ec2:Run0, ec2:Run1 are not allowed" in permissions(*more, run, read)[0].said


def test_silence_is_no_permission() -> None:
    """An action of which the simulator says nothing is not taken for allowed."""
    line = only(permissions(Permission("LaunchGreen", "ec2:RunInstances", True)), UNSEEN)
    assert line.said == "ec2:DescribeFleets: IAM's simulator says nothing of them"


def test_dry_runs_tell_of_ec2_alone() -> None:
    """Which way was used stands in the line, and what it cannot tell."""
    found = [Permission("LaunchGreen", "ec2:RunInstances", True), Permission("MakeImages", "ec2:CreateImage", False)]
    denied, allowed, others = doctor.dry_runs(found, "iam:SimulatePrincipalPolicy")
    assert (denied.rating, denied.said) == (BLOCKS, "ec2:CreateImage is not allowed (EC2 DryRun)")
    assert "MakeImages" in denied.fix
    assert (allowed.rating, allowed.said) == (GOOD, "ec2:RunInstances (EC2 DryRun)")
    assert (others.rating, "iam:SimulatePrincipalPolicy" in others.said) == (UNSEEN, True)
    assert only(doctor.dry_runs([], "iam:GetRole"), UNSEEN).fix


# --- the policy in force ---

GROUPS = "arn:aws:autoscaling:*:1:autoScalingGroup:*:autoScalingGroupName/web-v*"
OURS = [
    Statement("Look", ["ec2:DescribeImages"]),
    Statement("Own", ["autoscaling:DeleteTags"], [GROUPS], {"StringEquals": {"aws:TagKeys": "a"}}),
]


def in_force(*statements: dict[str, Any], own: bool = False) -> Diagnosis:
    """The line of a role with these statements."""
    found = list(doctor.grants({"Statement": [{"Effect": "Allow", **one} for one in statements]}))
    return doctor.policy_in_force(ROLE, found, OURS, own=own)


NARROW = {
    "Action": "autoscaling:deletetags",
    "Resource": GROUPS.replace("*", "1"),
    "Condition": {"StringLike": {"AWS:TagKeys": "a", "aws:RequestedRegion": "r"}},
}


@pytest.mark.parametrize(
    "statement",
    [
        {"Action": ["ec2:DescribeImages"], "Resource": "*"},
        NARROW,
        {"Effect": "Deny", "Action": "*", "Resource": "*"},
    ],
)
def test_a_role_that_has_no_more(statement: dict[str, Any]) -> None:
    """The same, narrower resources, more conditions; a denial gives nothing."""
    assert in_force(statement).rating is GOOD


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ({"Action": "ec2:Describe*", "Resource": "*"}, "ec2:Describe*"),
        ({"Action": "s3:GetObject", "Resource": "arn:aws:s3:::x"}, "s3:GetObject on arn:aws:s3:::x"),
        ({**NARROW, "Resource": "*"}, "autoscaling:deletetags"),
        ({**NARROW, "Condition": {}}, f"autoscaling:deletetags on {NARROW['Resource']}"),
        ({"NotAction": "iam:*", "Resource": "*"}, "*"),
        ({"Action": "ec2:DescribeImages", "NotResource": "*"}, ""),
    ],
)
def test_a_role_that_has_more(statement: dict[str, Any], said: str) -> None:
    """Other actions, patterns of them, wider resources, a condition less; of a person that is no fault."""
    line = in_force(statement)
    assert line.rating is (WARNS if said else GOOD)
    assert line.said.endswith(f"than a release needs: {said}") or not said
    assert in_force(statement, own=True).rating is GOOD


# --- the journal ---


def test_the_key_of_the_table_is_the_journal_s() -> None:
    """The journal makes it, the doctor compares it."""
    assert dict(KEYS) == dynamodb._KEYS


@pytest.mark.parametrize(
    ("table", "rating", "said"),
    [
        (TableSettings("t", "", {}), WARNS, "there is no table `t` yet"),
        (TableSettings("t", "ACTIVE", {"id": "HASH"}), BLOCKS, "the table `t` has other keys than `pk` and `sk`"),
        (TableSettings("t", "DELETING", KEYS), BLOCKS, "the table `t` is DELETING"),
        (TableSettings("t", "ACTIVE", KEYS, recovery=False), WARNS, "the table `t` has no point-in-time recovery"),
        (TableSettings("t", "UPDATING", KEYS, recovery=True), GOOD, "the table `t` is there, with point-in-time"),
        (TableSettings("t", "ACTIVE", KEYS, recovery=True, expires=False), GOOD, "old answers to requests stay in it"),
    ],
)
def test_tables(table: TableSettings, rating: Rating, said: str) -> None:
    """Absent, somebody else's, on its way out, or without a way back."""
    assert said in only(doctor.journal(table), rating).said


def test_what_may_not_be_read_of_the_table() -> None:
    """It is there, and its recovery unknown; a release under way explains what is in the way."""
    table = TableSettings("t", "ACTIVE", KEYS, needs="dynamodb:DescribeContinuousBackups")
    recovery, there, busy = doctor.journal(table, "web/production#4")
    assert (there.rating, recovery.rating, busy.rating) == (GOOD, UNSEEN, BLOCKS)
    assert "needs dynamodb:DescribeContinuousBackups" in recovery.said
    assert busy.said == "web/production#4 is under way: until it has settled, another release is refused"
    assert only(doctor.busy("web/production#4", Topic.BUILDER), UNSEEN).said == "web/production#4 uses it"


# --- what a release starts from ---

BASELINE = Baseline(
    Group("web-asg", 4, 4, 8, "lt-1", "7"),
    ("arn:aws:elasticloadbalancing:r:1:targetgroup/web/0123",),
    Template("lt-1", default=7, latest=7),
    "7",
    (),
)


def planned(*findings: Finding) -> dict[Topic, list[Rating]]:
    """Topic -> the verdicts of its lines."""
    lines = doctor.plan(replace(BASELINE, findings=findings))
    found: dict[Topic, list[Rating]] = {}
    for one in lines:
        found.setdefault(one.topic, []).append(one.rating)
    return found


def test_a_release_that_may_begin() -> None:
    """The group, its target groups, and that nothing else was found; notes are for `plan`."""
    good = {Topic.GROUP: [GOOD], Topic.TRAFFIC: [GOOD], Topic.FINDINGS: [GOOD], Topic.QUOTAS: [GOOD]}
    assert planned() == good
    assert planned(Finding(FindingKey.WARM_POOL, "x", verdict=Verdict.NOTED)) == good
    alone = replace(BASELINE, blue=replace(BASELINE.blue, desired=1))
    assert next(iter(doctor.plan(alone))).said == "web-asg, 1 instance, on version 7 of lt-1"


@pytest.mark.parametrize(
    ("key", "verdict", "topic", "ratings"),
    [
        (FindingKey.BLUE_UNHEALTHY, Verdict.REFUSED, Topic.GROUP, [BLOCKS]),
        (FindingKey.NOTHING_SERVES, Verdict.WARNED, Topic.GROUP, [WARNS, GOOD]),
        (FindingKey.SHARED_TEMPLATE, Verdict.REFUSED, Topic.FINDINGS, [BLOCKS]),
        (FindingKey.UNSEEN, Verdict.NOTED, Topic.FINDINGS, [UNSEEN]),
        (FindingKey.GROUP_QUOTA, Verdict.REFUSED, Topic.QUOTAS, [BLOCKS]),
        (FindingKey.SHARED_BUILDER, Verdict.REFUSED, Topic.BUILDER, [BLOCKS]),
    ],
)
def test_findings_stand_where_they_belong(
    key: FindingKey, verdict: Verdict, topic: Topic, ratings: list[Rating]
) -> None:
    """In words as in `plan`, and never beside a line that says all is well."""
    assert planned(Finding(key, "x", "y", verdict, "Do."))[topic] == ratings


@pytest.mark.parametrize(
    ("error", "topics"),
    [
        (ConfigError("x", where="group"), {Topic.GROUP: BLOCKS, Topic.TRAFFIC: UNSEEN, Topic.FINDINGS: UNSEEN}),
        (ConfigError("x", where="groups"), {Topic.GROUP: BLOCKS, Topic.TRAFFIC: UNSEEN, Topic.FINDINGS: UNSEEN}),
        (ConfigError("x", where="traffic.target_groups.0"), {Topic.TRAFFIC: BLOCKS, Topic.FINDINGS: UNSEEN}),
        (ConfigError("x", where="image.ami"), {Topic.FINDINGS: BLOCKS}),
        (
            AwsError("x", code="x", operation="DescribeListeners"),
            {Topic.GROUP: UNSEEN, Topic.TRAFFIC: UNSEEN, Topic.FINDINGS: UNSEEN},
        ),
    ],
)
def test_a_preflight_that_ends_early(error: BlueGreenError, topics: dict[Topic, Rating]) -> None:
    """Its line is that of what is wrong; the rest was not examined. A builder has lines of its own."""
    assert not doctor.is_of_builder(error)
    assert doctor.is_of_builder(ConfigError("x", where="image.builder.tag"))
    assert {one.topic: one.rating for one in doctor.no_plan(error, own=True)} == topics


def test_a_preflight_that_is_denied_a_read() -> None:
    """Who releases would be denied the same; who asks for another role only cannot look."""
    error = AwsError("not allowed: ec2:DescribeImages", code="x", operation="x", denied=True, hint="Add it.")
    own, other = (next(doctor.no_plan(error, own=own)) for own in (True, False))
    assert (own.rating, own.said) == (BLOCKS, "needs ec2:DescribeImages, and so does a release")
    assert (other.rating, other.said) == (UNSEEN, "needs ec2:DescribeImages")


# --- health checks ---


def health(target: dict[str, Any] | None = None, group: GroupSettings = GROUP, **keys: Any) -> list[Diagnosis]:
    """The lines of a target group with these settings."""
    targets = [replace(TARGETS, **target)] if target is not None else []
    return list(doctor.health(group, targets, config(**keys)))


def test_settings_that_suit_a_release() -> None:
    """AWS's defaults do."""
    assert "suit a release" in only(health({}), GOOD).said
    assert "suit a release" in only(health({}, replace(GROUP, elb=True, grace=60)), GOOD).said


@pytest.mark.parametrize(
    ("target", "keys", "said"),
    [
        ({"interval": 300, "rises": 10}, {}, "needs 50m to be healthy, but a release waits 10m"),
        ({"interval": 300, "rises": 1}, {"soak": "5m"}, "takes 10m to find a target unhealthy"),
        ({"drain": 3600}, {}, "keeps leaving targets for 1h"),
        ({"sticky": 86400}, {}, "stay with one instance for 1d, the soak is 15m"),
        ({"slow_start": 900}, {}, "starts targets slowly, over 15m, but the overlap is 5m"),
    ],
)
def test_settings_that_will_hurt(target: dict[str, Any], keys: dict[str, Any], said: str) -> None:
    """Each with what to change."""
    assert said in only(health(target, **keys), WARNS).said


def test_no_soak_sees_nothing_unhealthy_anyway() -> None:
    """Who wants none is not told that it is short."""
    assert "suit a release" in only(health({}, soak=0), GOOD).said


def test_a_group_that_judges_by_the_balancer_while_it_boots() -> None:
    """As many seconds as its target groups need, at least a minute."""
    group = replace(GROUP, elb=True)
    assert "--health-check-grace-period 200`" in only(health({"interval": 10, "rises": 10}, group), WARNS).fix
    assert "--health-check-grace-period 60`" in only(health(None, group), WARNS).fix


# --- builder, quotas, addresses ---


def test_a_builder_that_ssm_knows() -> None:
    """It runs no command before it is started; what is known is whether its agent was ever heard."""
    known = BuilderSettings("i-1", "builder", "ConnectionLost", "2030-01-31")
    assert only(doctor.builder(known), GOOD).said == "i-1 is stopped; its SSM agent was heard 2030-01-31"
    assert "was heard before" in only(doctor.builder(replace(known, heard="")), GOOD).said
    assert "role of builder needs" in only(doctor.builder(replace(known, agent="")), WARNS).fix
    assert "no instance profile" in only(doctor.builder(replace(known, agent="", profile="")), WARNS).said


def test_a_bucket_that_is_here() -> None:
    """It is named."""
    assert doctor.bucket("packed").said == "the bucket packed of the packed commit is in this account and region"


def test_quotas() -> None:
    """Twice the group must fit; what is sure not to is in the way."""
    use = Use("vCPUs", 60, 4, 64, "L-1216C47A", sure=True)
    assert doctor.quota(use).said == "vCPUs: 60 used, 4 more for green, quota 64"
    short = doctor.quota(replace(use, most=63))
    assert (short.rating, "--quota-code L-1216C47A --desired-value 68`" in short.fix) == (BLOCKS, True)
    assert doctor.quota(replace(use, most=63, sure=False)).rating is WARNS


def test_addresses() -> None:
    """As many again, evenly over the subnets."""
    assert doctor.addresses(GROUP, {"subnet-1": 2, "subnet-2": 2}).rating is GOOD
    short = doctor.addresses(GROUP, {"subnet-1": 1, "subnet-2": 200})
    assert (short.rating, short.said) == (WARNS, "subnet-1 has 1 free, and green needs about 2 in each subnet")
    none = doctor.addresses(GROUP, {"subnet-2": 1, "subnet-1": 2})
    said = "addresses: 3 left in subnet-1, subnet-2, 4 needed for green, so not all of green fits"
    assert (none.rating, none.said) == (BLOCKS, said)
    assert doctor.addresses(replace(GROUP, size=0), {}).rating is GOOD


# --- Slack and GitHub ---


def test_the_scopes_are_those_of_the_manifest() -> None:
    """Whoever changes the manifest changes what the doctor asks for."""
    manifest = yaml.safe_load((ROOT / "bot" / "manifest.yml").read_text())
    assert set(SCOPES) == set(manifest["oauth_config"]["scopes"]["bot"])


def slack(**facts: Any) -> list[tuple[Rating, str]]:
    """The lines of a token that is well, but for this."""
    token = SlackToken(**{"team": "acme", "scopes": frozenset(SCOPES), "channel": "C1", **facts})
    return [(one.rating, one.said) for one in doctor.slack(token)]


def test_a_bot_that_can_work() -> None:
    """Its token has the manifest's scopes, and it is in the channel."""
    assert slack() == [
        (GOOD, "the token is for acme, with the scopes of bot/manifest.yml"),
        (GOOD, "the bot is in C1"),
    ]
    assert only(doctor.slack(None), UNSEEN).said == "SLACK_BOT_TOKEN is not set"


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        ({"error": "invalid_auth"}, (BLOCKS, "Slack refuses SLACK_BOT_TOKEN: invalid_auth")),
        (
            {"scopes": frozenset(SCOPES) - {"chat:write"}},
            (BLOCKS, "the token lacks the scope chat:write: the bot shows nothing"),
        ),
        (
            {"scopes": frozenset(SCOPES) - {"groups:history"}},
            (WARNS, "the token lacks the scope groups:history: the same in a private channel"),
        ),
        (
            {"scopes": frozenset({*SCOPES, "users:read"})},
            (WARNS, "the token has scopes that bot/manifest.yml does not ask for: users:read"),
        ),
        ({"scopes": None}, (UNSEEN, "the scopes of the token, because Slack does not name them")),
        ({"channel": ""}, (WARNS, "no channel is named, so releases have no card")),
        ({"channel_error": "not_in_channel"}, (BLOCKS, "the bot is not in the channel C1")),
        ({"channel_error": "ratelimited"}, (UNSEEN, "the channel C1: Slack says ratelimited")),
    ],
)
def test_a_bot_that_cannot(facts: dict[str, Any], line: tuple[Rating, str]) -> None:
    """Refused, without a scope, with more than it needs, or not in the channel."""
    assert line in slack(**facts)


@pytest.mark.parametrize(
    ("token", "rating", "said"),
    [
        (None, UNSEEN, "GITHUB_TOKEN is not set"),
        (GitHubToken(200), GOOD, "GitHub takes the token"),
        (GitHubToken(200, "acme/web"), GOOD, "GitHub takes the token and reads acme/web"),
        (GitHubToken(401), BLOCKS, "GitHub refuses GITHUB_TOKEN"),
        (GitHubToken(404, "acme/web"), BLOCKS, "the token does not see acme/web"),
        (GitHubToken(403), UNSEEN, "GitHub answers with status 403"),
        (GitHubToken(503), UNSEEN, "GitHub answers with status 503"),
    ],
)
def test_tokens_of_github(token: GitHubToken | None, rating: Rating, said: str) -> None:
    """Taken, refused, or without access to the repository."""
    assert only(doctor.github(token), rating).said == said


def test_the_configuration_of_these_tests() -> None:
    """What the lines above compare with."""
    made: Config = config()
    assert (made.soak, made.traffic.overlap, made.timeouts.healthy) == (900, 300, 600)
