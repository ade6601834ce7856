"""The policy to copy allows what the code calls, and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore import xform_name

from bluegreen import iam_policy, workflows
from bluegreen.aws import account, tags
from bluegreen.config import parse
from bluegreen.events import Phase
from bluegreen.release import Release, names
from tests.worlds import CHANGES, FAST, HEALTH, SICK, Ops, fast
from tests.worlds.account import FACTS
from tests.worlds.attachments import hang, strip
from tests.worlds.authorizing import ASKED_AS, Authorizer
from tests.worlds.files import ROOT
from tests.worlds.pairs import paired

PERMISSIONS = (ROOT / "docs" / "permissions.md").read_text()
POLICY = (ROOT / "examples" / "policy.json").read_text()
STATEMENTS = json.loads(POLICY)["Statement"]
#: What the example names, beside what examples/bluegreen.yml says: everything that a service can need.
EXAMPLE = {
    "traffic": {
        "target_groups": ["web-a", "web-b"],
        "listeners": ["arn:aws:elasticloadbalancing:ap-northeast-2:123456789012:listener/app/web/0123abcd/4567abcd"],
        "steps": [0, 50],
    },
    "image": {
        "builder": {
            "tag": "web-builder",
            "run": 'curl -fsS "$BLUEGREEN_SOURCE_URL" | tar -xz',
            "source": {"bucket": "web-sources"},
        }
    },
    "checks": [
        {"name": "unit", "run": "curl -fsS localhost/healthz"},
        {"name": "slow", "metric": "TargetResponseTime", "statistic": "p99", "at_most": 1.2},
    ],
}
SERVICE = "web/production"
#: How the ARN of any group begins.
GROUPS = "arn:aws:autoscaling:*:123456789012:autoScalingGroup:*:autoScalingGroupName/"
#: IAM's name of a client, where it is another.
IAM = {"elb": "elasticloadbalancing", "elbv2": "elasticloadbalancing", "quotas": "servicequotas"}
#: boto3's name of a client, where it is another.
BOTO = {"elb": "elbv2", "quotas": "service-quotas"}
#: What `doctor` asks, and no release.
DOCTOR = ROOT / "bluegreen" / "aws" / "examination.py"
#: No calls of ours, but asked for beside them (EC2 Auto Scaling user guide, launch templates; EC2 API, CreateImage
#: and DeregisterImage with tags and snapshots; CloudWatch API, PutMetricAlarm with tags): who makes a group must be
#: allowed what the group then does.
#: A presigned URL is good for what its signer may do (S3 user guide).
BESIDE = {"ec2:RunInstances", "ec2:DeleteSnapshot", "iam:PassRole", "cloudwatch:TagResource", "s3:GetObject"}
#: Asked for by `bluegreen iam-policy` alone, with the rights of whoever makes the role.
MAKING = {"iam:GetInstanceProfile"}
#: A transaction needs the permissions of its parts (DynamoDB API).
PARTS = {"dynamodb:TransactWriteItems"}


def allowed() -> list[str]:
    """Every action of the policy."""
    return [action for s in STATEMENTS for action in listed(s["Action"])]


def called() -> Iterator[str]:
    """Every operation that the source of a release names."""
    yield from named_in(path for path in (ROOT / "bluegreen" / "aws").glob("*.py") if path != DOCTOR)
    journal = (path.read_text() for path in (ROOT / "bluegreen" / "journal").glob("*.py"))
    for plain in re.findall(r"\.call\(\s*\"(\w+)\"", "".join(journal)):
        yield action("dynamodb", plain)


def named_in(paths: Iterable[Path]) -> Iterator[str]:
    """Operations, by a method or as what is paged through."""
    clients = r"(autoscaling|ec2|elb|iam|kms|pricing|s3|ssm|cloudwatch|sts|dynamodb|quotas)"
    for path in paths:
        source = path.read_text()
        for client, method in re.findall(rf"[. ]{clients}\.(\w+)", source):
            if not method.startswith(("get_paginator", "generate_")) and method not in ("meta", "exceptions"):
                yield action(client, method)
        yield from (action("ec2", paged) for paged in re.findall(r"_pages\(calls, \"(\w+)\"", source))
        for client, paged in re.findall(rf"[. ]{clients}\.get_paginator\(\s*\"(\w+)\"", source):
            yield action(client, paged)


def action(client: str, method: str) -> str:
    """The method of a client as IAM names it."""
    named = f"{IAM.get(client, client)}:{operations(BOTO.get(client, client))[method]}"
    return ASKED_AS.get(named, named)


@cache
def operations(service: str) -> dict[str, str]:
    """Which operation each method of a client stands for."""
    model = boto3.Session()._session.get_service_model(service)
    return {xform_name(name): name for name in model.operation_names}


def test_the_policy_is_what_the_code_calls() -> None:
    """No permission too few, for a release at night; none too many."""
    assert set(allowed()) - BESIDE == set(called()) - PARTS - MAKING


def test_a_reader_may_what_doctor_asks() -> None:
    """Its own reads and no more; EC2's DryRun asks for what the role may change, if it may."""
    config = yaml.safe_load((ROOT / "examples" / "bluegreen.yml").read_text())
    made = iam_policy.policy(parse({**config, **EXAMPLE}), FACTS, "bluegreen", iam_policy.Holder.READER)
    granted = {one for statement in made for one in statement.actions}
    asked = set(named_in([DOCTOR]))
    assert asked <= granted
    assert granted - set(called()) - BESIDE == asked - set(called())


def test_the_example_is_what_the_command_prints() -> None:
    """With the names of an example; the file is written anew from this."""
    config = yaml.safe_load((ROOT / "examples" / "bluegreen.yml").read_text())
    made = iam_policy.policy(parse({**config, **EXAMPLE}), FACTS, "bluegreen")
    assert json.loads(POLICY) == iam_policy.document(made)


#: Actions for which AWS knows no resource to name, so that a policy can say `*` only (Service Authorization Reference).
UNNAMEABLE = {
    "autoscaling:DescribeAccountLimits",
    "autoscaling:DescribeAutoScalingGroups",
    "autoscaling:DescribeAutoScalingInstances",
    "autoscaling:DescribeInstanceRefreshes",
    "autoscaling:DescribeLaunchConfigurations",
    "autoscaling:DescribeLifecycleHooks",
    "autoscaling:DescribeLoadBalancerTargetGroups",
    "autoscaling:DescribeNotificationConfigurations",
    "autoscaling:DescribePolicies",
    "autoscaling:DescribeScalingActivities",
    "autoscaling:DescribeScheduledActions",
    "cloudwatch:GetMetricData",
    "ec2:DescribeFleets",
    "ec2:DescribeImages",
    "ec2:DescribeInstances",
    "ec2:DescribeLaunchTemplateVersions",
    "ec2:DescribeSnapshots",
    "ec2:DescribeSpotFleetRequests",
    "ec2:DescribeSubnets",
    "ec2:DescribeVolumes",
    "elasticloadbalancing:DescribeAccountLimits",
    "elasticloadbalancing:DescribeListeners",
    "elasticloadbalancing:DescribeRules",
    "elasticloadbalancing:DescribeTargetGroupAttributes",
    "elasticloadbalancing:DescribeTargetGroups",
    "elasticloadbalancing:DescribeTargetHealth",
    "pricing:GetProducts",
    "servicequotas:GetServiceQuota",
    "ssm:DescribeInstanceInformation",
    "ssm:GetCommandInvocation",
    "ssm:ListCommandInvocations",
    "ssm:ListCommands",
    "sts:GetCallerIdentity",
}
#: Others that are allowed on everything: what they are asked for is the user's, has no name that a policy could know
#: beforehand, and bears no tag of ours. docs/permissions.md says why, one by one.
WIDE = {"cloudwatch:DescribeAlarms", "ec2:RunInstances", "kms:DescribeKey"}
#: What is done to what a release made is asked for by the tag that it put there; by which condition key.
BY_TAG = {
    "autoscaling:AttachLoadBalancerTargetGroups": "autoscaling:ResourceTag",
    "autoscaling:AttachTrafficSources": "autoscaling:ResourceTag",
    "autoscaling:CreateAutoScalingGroup": "aws:RequestTag",
    "autoscaling:CreateOrUpdateTags": "aws:RequestTag",
    "autoscaling:DeleteAutoScalingGroup": "autoscaling:ResourceTag",
    "autoscaling:DeleteLifecycleHook": "autoscaling:ResourceTag",
    "autoscaling:DeleteNotificationConfiguration": "autoscaling:ResourceTag",
    "autoscaling:DeletePolicy": "autoscaling:ResourceTag",
    "autoscaling:DeleteScheduledAction": "autoscaling:ResourceTag",
    "autoscaling:DeleteWarmPool": "autoscaling:ResourceTag",
    "autoscaling:DetachLoadBalancerTargetGroups": "autoscaling:ResourceTag",
    "autoscaling:DetachTrafficSources": "autoscaling:ResourceTag",
    "autoscaling:DisableMetricsCollection": "autoscaling:ResourceTag",
    "autoscaling:EnableMetricsCollection": "autoscaling:ResourceTag",
    "autoscaling:PutLifecycleHook": "autoscaling:ResourceTag",
    "autoscaling:PutNotificationConfiguration": "autoscaling:ResourceTag",
    "autoscaling:PutScalingPolicy": "autoscaling:ResourceTag",
    "autoscaling:PutScheduledUpdateGroupAction": "autoscaling:ResourceTag",
    "autoscaling:PutWarmPool": "autoscaling:ResourceTag",
    "autoscaling:ResumeProcesses": "autoscaling:ResourceTag",
    "autoscaling:SetInstanceProtection": "autoscaling:ResourceTag",
    "autoscaling:SuspendProcesses": "autoscaling:ResourceTag",
    "autoscaling:UpdateAutoScalingGroup": "autoscaling:ResourceTag",
    "ec2:CreateImage": "aws:RequestTag",
    "ec2:CreateTags": "aws:ResourceTag",
    "ec2:DeleteSnapshot": "aws:ResourceTag",
    "ec2:DeregisterImage": "aws:ResourceTag",
    "ec2:DescribeImageAttribute": "aws:ResourceTag",
    "ssm:SendCommand": "ssm:resourceTag",
}
#: IAM's quota for the inline policies of a role; white space does not count.
LONGEST = 10_240


def statements(action: str) -> list[dict[str, Any]]:
    """Those that allow it."""
    return [s for s in STATEMENTS if action in listed(s["Action"])]


def listed(said: str | list[str]) -> list[str]:
    """A policy says one thing plainly, several as a list."""
    return [said] if isinstance(said, str) else said


def wide(statement: dict[str, Any]) -> bool:
    """Whether it names nothing, or nothing but a kind of things, and asks for nothing."""
    anything = re.compile(r"\*|arn:aws:[a-z0-9]+:\*:[0-9*]*:[a-zA-Z-]+[/:]\*")
    return "Condition" not in statement and any(anything.fullmatch(one) for one in listed(statement["Resource"]))


def test_what_names_nothing() -> None:
    """The judge of the following tests."""
    for one in ("*", "arn:aws:ec2:*::image/*", "arn:aws:ec2:*:123456789012:instance/*"):
        assert wide({"Resource": [one]})
        assert not wide({"Resource": one, "Condition": {}})
    assert not wide({"Resource": "arn:aws:ssm:*:123456789012:parameter/web/*"})


def test_only_what_cannot_be_narrowed_is_allowed_on_everything() -> None:
    """Reads of whole lists, and what is the user's own; the page gives each its reason, in this order."""
    everywhere = [action for s in STATEMENTS if wide(s) for action in listed(s["Action"])]
    assert set(everywhere) <= UNNAMEABLE | WIDE
    assert set(everywhere) - UNNAMEABLE == WIDE
    rows = PERMISSIONS.split("\n### What is allowed on everything\n")[1].split("\n## ")[0]
    told = {row[0]: row[1:] for row in re.findall(r"(?m)^\| `(\w+:\w+)` \| (.+?) \| (.+?) \|$", rows)}
    assert list(told) == everywhere
    assert {action for action, (why, _) in told.items() if why == "it accepts no resource"} == UNNAMEABLE


@pytest.mark.parametrize(("action", "key"), BY_TAG.items())
def test_what_may_be_asked_for_by_tag_is(action: str, key: str) -> None:
    """None of them is allowed on everything, and one statement each goes by the tag that releases put there."""
    found = statements(action)
    assert [one["Sid"] for one in found if wide(one)] == []
    tagged = [
        one for one in found if one.get("Condition", {}).get("StringEquals") == {f"{key}/{tags.SERVICE}": SERVICE}
    ]
    assert len(tagged) == 1


def test_what_is_changed_goes_by_tag_or_is_named() -> None:
    """Whatever is no read: by the tag, or by the name of what was there before."""
    reading = re.compile(r"\w+:(Describe|List|Get)[A-Z]")
    named = {a for s in STATEMENTS if not wide(s) for a in listed(s["Action"])}
    assert {a for a in allowed() if not reading.match(a)} <= named | {"ec2:RunInstances"}


def test_the_first_blue_may_have_done_to_it_what_groups_may() -> None:
    """It bears no tag: what is allowed by the tag is allowed by its name, too."""
    by = {s["Sid"]: s["Action"] for s in STATEMENTS}
    assert by["ChangeNamedGroups"] == by["ChangeGroups"]


def test_the_policy_fits() -> None:
    """AWS takes it as an inline policy of a role, with room for longer names and for others."""
    assert len(re.sub(r"\s", "", POLICY)) < LONGEST - 2000


def test_of_tags_only_the_mark_is_taken_off_what_no_release_made() -> None:
    """Other tags of a group are their owner's; green's follow those of blue."""
    only = {"ForAllValues:StringEquals": {"aws:TagKeys": tags.HELD}}
    made = {"StringEquals": {f"autoscaling:ResourceTag/{tags.SERVICE}": SERVICE}}
    assert [one["Condition"] for one in statements("autoscaling:DeleteTags")] == [only, made]


def test_names_in_the_policy_are_those_of_the_example() -> None:
    """The builder and the first blue, which bear no tag of ours."""
    config = yaml.safe_load((ROOT / "examples" / "bluegreen.yml").read_text())
    for key in ("ssm:resourceTag", "aws:ResourceTag"):
        assert f'"{key}/Name": "{config["image"]["builder"]["tag"]}"' in POLICY
    assert f':autoScalingGroupName/{config["group"]}"' in POLICY
    assert {SERVICE} == set(re.findall(r"bluegreen:service\": \"(.*?)\"", POLICY))
    made = names(SERVICE, 4, "c0ffee")["green_group"]
    assert [s["Sid"] for s in STATEMENTS if s["Resource"] == GROUPS + made.replace("-v4", "-v*")] == [
        "MakeGroups",
        "ChangeGroups",
        "AttachToGreen",
    ]


def test_every_statement_is_explained() -> None:
    """docs/permissions.md says of each why it is as wide as it is."""
    table = PERMISSIONS.split("\n## The role in AWS\n")[1]
    heads = re.findall(r"(?m)^\| (`\w+`(?:, `\w+`)*) \|", table)
    assert [sid for head in heads for sid in re.findall(r"\w+", head)] == [one["Sid"] for one in STATEMENTS]


@pytest.mark.parametrize("page", ["docs/action.md", "docs/permissions.md", "README.md", "examples/README.md"])
def test_who_may_take_the_role_is_told(page: str) -> None:
    """A policy that trusts an environment trusts each branch that may run in it: GitHub must be told which."""
    trusted = json.loads((ROOT / "examples" / "trust-policy.json").read_text())
    subject = trusted["Statement"][0]["Condition"]["StringEquals"]["token.actions.githubusercontent.com:sub"]
    name = subject.rpartition(":environment:")[2]
    said = " ".join((ROOT / page).read_text().split())
    assert f"estrict the environment `{name}` to the branch `main`" in said


@pytest.mark.parametrize("name", ["release.yml", "reconcile.yml"])
def test_the_workflows_say_it_where_the_environment_is(name: str) -> None:
    """Whoever has `bluegreen init` write them reads it."""
    text = workflows.template(name)
    assert "Restrict this environment to the branch main" in text


COMMANDS = [{"name": "unit", "run": "true", "needs": 1}]


def built_from_s3() -> Ops:
    """A builder that gets the source by URL, and hooks; the first build of each kind fails."""
    builder = {"tag": "web-builder", "run": "curl $BLUEGREEN_SOURCE_URL", "source": {"bucket": "web-sources"}}
    o = fast(weighted=True, rules=True, image={"builder": builder, "keep": 1}, hooks={"before_switch": {"run": "true"}})
    o.aws.engine.timings = replace(o.aws.engine.timings, image=100)  # so long that bluegreen asks how far it is
    place: Any = {"LocationConstraint": o.aws.region}
    o.aws.session(recorded=False).client("s3").create_bucket(Bucket="web-sources", CreateBucketConfiguration=place)
    return o


def protected() -> Ops:
    """With everything that can hang on a group, attached as traffic sources, and protected from scale-in."""
    group = {"NewInstancesProtectedFromScaleIn": True}
    changes = {**CHANGES, "image": KEEPS_ONE, "checks": COMMANDS}
    quick: dict[str, Any] = {"timings": FAST, "health": HEALTH, "drain": 5}
    return hung(Ops(instances=2, traffic_source=True, group=group, changes=changes, **quick))


KEEPS_ONE = {"builder": {"tag": "web-builder", "run": "git checkout $BLUEGREEN_COMMIT"}, "keep": 1}
WORLDS: dict[str, Callable[[], Ops]] = {
    "shared": lambda: fast(loose=True),
    "weighted": lambda: fast(weighted=True, rules=True, checks=[], loose=True),
    "with attachments and commands": lambda: hung(fast(checks=COMMANDS)),
    "a standing pair": lambda: paired(checks=[]),
    "built from S3": built_from_s3,
    "protected": protected,
}


def judged(o: Ops) -> Authorizer:
    """What the policy says to releases of the service: good, sick, rolled back, one whose build fails, and a plan."""
    facts = account(o.config, None, o.aws.session(recorded=False))

    def policy() -> list[dict[str, Any]]:
        found = iam_policy.policy(o.config, account(o.config, None, o.aws.session(recorded=False)), "bluegreen")
        return list(json.loads(json.dumps(iam_policy.document(found)))["Statement"])

    judge = Authorizer(o.aws, policy, facts.roles)
    engine = o.engine(judge)
    engine.plan(o.config, commit="c0ffee00aaaa")

    def release(commit: str, when: Callable[[Release], None] = lambda _: None) -> None:
        begun = engine.start(o.config, commit=commit, who="slack:U1", pack=lambda into: None, override="for the proof")
        o.drive(begun.id, death=judge, when=when)

    for commit in ("c0ffee01aaaa", SICK):
        release(commit)
    release("c0ffee02aaaa", take_off(o))
    release("c0ffee03aaaa", o.order_back(Phase.SOAKING))
    o.machines.fails("BLUEGREEN_COMMIT=c0ffee04aaaa", "no such file")
    release("c0ffee04aaaa")
    return judge


def test_a_policy_that_lacks_something_is_found_out() -> None:
    """The judge of the test before: by name, by tag, by what a tag may be called."""
    o = fast()
    facts = account(o.config, None, o.aws.session(recorded=False))
    whole = json.loads(json.dumps(iam_policy.document(iam_policy.policy(o.config, facts, "bluegreen"))))["Statement"]
    lacking = json.loads(json.dumps(whole).replace("autoScalingGroupName/web-asg", "autoScalingGroupName/api-asg"))
    renamed = json.loads(json.dumps(whole).replace("bluegreen:held-by", "bluegreen:holder"))
    retagged = json.loads(json.dumps(whole).replace('/bluegreen:service": "web/', '/bluegreen:service": "api/'))
    for broken, said in ((lacking, "web-asg"), (renamed, "bluegreen:held-by"), (retagged, "CreateAutoScalingGroup")):
        world = fast()
        judge = Authorizer(world.aws, partial(list, broken))
        world.drive(world.start("c0ffee01aaaa").id, death=judge)
        assert any(said in one for one in judge.refused)


#: Granted for what none of the worlds has: strangers among the targets, a launch configuration beside the group, a key
#: of a customer's, a parameter that names the image; and what a presigned URL is good for.
SELDOM = {
    "autoscaling:DescribeAutoScalingInstances",
    "s3:GetObject",
    "autoscaling:DescribeLaunchConfigurations",
    "kms:DescribeKey",
    "ssm:GetParameter",
}


def take_off(o: Ops) -> Callable[[Release], None]:
    """The owner takes everything off blue, and hangs a hook there, while both serve: green follows."""
    done: list[str] = []

    def when(seen: Release) -> None:
        if seen.phase is Phase.OVERLAPPING and not seen.pair and not done:
            done.append(seen.id)
            strip(o.world, seen.blue_group)
            hook = {"LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING", "DefaultResult": "CONTINUE"}
            named = {"AutoScalingGroupName": seen.blue_group, "LifecycleHookName": "new", "HeartbeatTimeout": 30}
            o.world.client("autoscaling").put_lifecycle_hook(**named, **hook)

    return when


@pytest.mark.slow
def test_iam_allows_what_releases_call_and_grants_nothing_else() -> None:
    """Action, resource, tags and conditions, as AWS judges them, over all of these worlds."""
    judges = {name: judged(make()) for name, make in WORLDS.items()}
    assert {name: judge.refused for name, judge in judges.items()} == {key: [] for key in WORLDS}
    needed = {action for judge in judges.values() for _, action in judge.needed}
    granted = {action for judge in judges.values() for one in judge.statements for action in listed(one["Action"])}
    assert granted - needed == SELDOM


def hung(o: Ops) -> Ops:
    """With everything that can hang on a group."""
    hang(o.world, o.world.group)
    return o
