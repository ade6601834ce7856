"""The policy for a role: what each configuration needs, and no more; as JSON and as Terraform."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import hcl2
import parliament
import pytest

from bluegreen.config import parse
from bluegreen.errors import ConfigError
from bluegreen.iam_policy import LONGEST, MARKS, Holder, Statement, cloudformation, document, policy, terraform, trust
from bluegreen.observation import AccountFacts
from tests.worlds.account import BUILDER, FACTS, LISTENER, METRIC, RULE, full
from tests.worlds.files import ROOT
from tests.worlds.release import small

#: Actions on several kinds of resources, of which other statements have the others, or the service has but one.
SPLIT = {
    *("ec2:CreateImage", "ssm:SendCommand"),
    *("elasticloadbalancing:ModifyListener", "elasticloadbalancing:ModifyRule"),
}
#: Actions on everything: AWS knows no resource for them, or none that a policy could name (docs/permissions.md).
WIDE = {"cloudwatch:DescribeAlarms", "kms:DescribeKey", "ec2:RunInstances"}


def made(holder: Holder = Holder.ACTION, account: AccountFacts = FACTS, **keys: Any) -> dict[str, Statement]:
    """The statements by their names."""
    config = parse(small(**{"image": {"ami": "ami-0123"}, **keys}))
    return {one.sid: one for one in policy(config, account, "bluegreen", holder)}


def test_a_given_image_needs_no_builder() -> None:
    """Neither its commands, nor images that are made; instances of green are tagged all the same."""
    found = made()
    assert {"UseTheBuilder", "MakeImages", "DropOldImages", "RunTheShellDocument", "MoveListeners"}.isdisjoint(found)
    assert not [action for action in found["Look"].actions if action.startswith("ssm:")]
    assert found["TagWhatIsMade"].condition == {"StringEquals": {"ec2:CreateAction": "RunInstances"}}
    assert "cloudwatch:GetMetricData" not in found["Look"].actions


@pytest.mark.parametrize(
    ("builder", "resource", "condition"),
    [
        ({"tag": "web-builder"}, "instance/*", {"StringEquals": {"aws:ResourceTag/Name": "web-builder"}}),
        ({"instance": "i-0123"}, "instance/i-0123", {}),
    ],
)
def test_the_builder_is_named(builder: dict[str, str], resource: str, condition: dict[str, Any]) -> None:
    """By its id, or by its name."""
    found = made(image={"builder": {**builder, "run": "./install"}})
    assert found["UseTheBuilder"].resources == [f"arn:aws:ec2:*:123456789012:{resource}"]
    assert found["UseTheBuilder"].condition == condition
    assert found["RunItOnTheBuilder"].resources == found["UseTheBuilder"].resources
    assert found["TagWhatIsMade"].condition == {"StringEquals": {"ec2:CreateAction": ["CreateImage", "RunInstances"]}}
    assert "RunItOnGreen" not in found


def test_checks_need_what_they_ask() -> None:
    """Commands on green, and metrics."""
    found = made(checks=[{"name": "unit", "run": "true"}, {"name": "errors", "alarm": "web-5xx"}])
    assert found["RunItOnGreen"].condition == {"StringEquals": {"ssm:resourceTag/bluegreen:service": "web/production"}}
    assert "ssm:ListCommandInvocations" in found["Look"].actions
    measured = made(traffic={"target_groups": ["a", "b"], "listeners": [LISTENER]}, checks=[METRIC])
    assert "cloudwatch:GetMetricData" in measured["Look"].actions


def test_weights_are_moved_where_the_configuration_says() -> None:
    """Listeners, rules, and with a preview the rules of the same listener."""
    traffic = {"target_groups": ["a", "b"], "listeners": [LISTENER, RULE]}
    found = made(traffic=traffic)
    assert (found["MoveListeners"].resources, found["MoveRules"].resources) == ([LISTENER], [RULE])
    shown = made(traffic={**traffic, "steps": [0, 50]})
    assert shown["MoveRules"].resources == [RULE, RULE.replace("/2123456789abcdef", "/*")][::-1]


def test_what_was_there_is_named_and_what_is_made_bears_the_tag() -> None:
    """Groups, versions, alarms, the role of the instances, the table."""
    found = made(environment="staging", group="web-asg")
    groups = "arn:aws:autoscaling:*:123456789012:autoScalingGroup:*:autoScalingGroupName/"
    assert found["ChangeNamedGroups"].resources == [f"{groups}web-asg"]
    assert found["ChangeGroups"].resources == [f"{groups}web-staging-v*"]
    tagged = {"StringEquals": {"autoscaling:ResourceTag/bluegreen:service": "web/staging"}}
    assert found["ChangeGroups"].condition == found["AttachToGreen"].condition == tagged
    assert found["VersionsOfTheTemplate"].resources == [
        "arn:aws:ec2:*:123456789012:launch-template/lt-0123456789abcdef0"
    ]
    assert found["InstanceProfile"].resources == FACTS.roles
    alarms = [f"arn:aws:cloudwatch:*:123456789012:alarm:{name}" for name in ("web-high", "*-web-staging-v*")]
    assert (found["AlarmsOfItsPolicies"].resources, found["DropCopiesOfAlarms"].resources) == (alarms, alarms[1:])
    assert found["Journal"].resources == ["arn:aws:dynamodb:*:123456789012:table/bluegreen"]
    assert "InstanceProfile" not in made(account=replace(FACTS, roles=()))
    assert all("aws-cn" in one for one in made(account=replace(FACTS, partition="aws-cn"))["Journal"].resources)


def test_a_standing_pair_is_named_and_neither_made_nor_deleted() -> None:
    """Nothing is copied: it has its own policies and alarms."""
    keys = {key: value for key, value in small().items() if key != "group"}
    config = parse({**keys, "image": {"ami": "ami-0123"}, "groups": ["web-a", "web-b"]})
    found = {one.sid: one for one in policy(config, FACTS, "bluegreen")}
    groups = "arn:aws:autoscaling:*:123456789012:autoScalingGroup:*:autoScalingGroupName/"
    assert found["ChangeNamedGroups"].resources == [f"{groups}web-a", f"{groups}web-b"]
    assert found["MarkGroups"].resources == found["ChangeNamedGroups"].resources
    assert found["MarkGroups"].condition == {"ForAllValues:StringEquals": {"aws:TagKeys": MARKS}}
    assert {"MakeGroups", "ChangeGroups", "AttachToGreen", "AlarmsOfItsPolicies"}.isdisjoint(found)
    assert "autoscaling:DeleteAutoScalingGroup" not in {action for one in found.values() for action in one.actions}


@pytest.mark.parametrize(
    ("ami", "resource"),
    [("resolve:ssm:/golden/web", "/golden/web"), ("resolve:ssm:web:3", "/web/*"), ("ami-0123", "/web/*")],
)
def test_parameters_of_images_are_named(ami: str, resource: str) -> None:
    """That of the configuration; an order may name one below the service's name."""
    assert made(image={"ami": ami})["ReadImageParameters"].resources == [
        "arn:aws:ssm:*::parameter/aws/service/*",
        f"arn:aws:ssm:*:123456789012:parameter{resource}",
    ]


def test_a_reader_changes_nothing() -> None:
    """It reads AWS and the journal, and asks IAM's simulator; the agent is only that of a builder."""
    found = made(Holder.READER, image=BUILDER, checks=[{"name": "unit", "run": "true"}])
    assert list(found) == ["Look", "ExamineRoles", "ReadImageParameters", "Journal"]
    actions = {action.partition(":")[2] for one in found.values() for action in one.actions}
    assert all(action.startswith(("Describe", "Get", "List", "Query", "Simulate")) for action in actions)
    assert "arn:aws:iam::123456789012:role/*" in found["ExamineRoles"].resources
    assert "ssm:DescribeInstanceInformation" in found["Look"].actions
    assert "ssm:DescribeInstanceInformation" not in made(Holder.READER)["Look"].actions


def test_terraform_says_the_same() -> None:
    """Its document has the statements of the JSON, one by one."""
    (data,) = hcl2.loads(terraform(full(), "bluegreen") + "\n")["data"]
    ((_, named),) = data.items()
    ((_, body),) = named.items()
    assert [_said(block) for block in body["statement"]] == document(full())["Statement"]


def test_cloudformation_makes_policies_as_large_as_may_be() -> None:
    """All statements in their order, in no more managed policies than needed; their ARNs are what roles ask for."""
    config = parse(small())
    template = cloudformation(full(), config)
    documents = [one["Properties"]["PolicyDocument"] for one in template["Resources"].values()]
    assert [said for one in documents for said in one["Statement"]] == document(full())["Statement"]
    sizes = [len(json.dumps(one, separators=(",", ":"))) for one in documents]
    assert max(sizes) <= LONGEST < sum(sizes)
    assert len(sizes) == 2
    assert [one["Properties"]["ManagedPolicyName"] for one in template["Resources"].values()] == [
        "bluegreen-web-production-1",
        "bluegreen-web-production-2",
    ]
    arns = {"Fn::Join": [",", [{"Ref": "Policy1"}, {"Ref": "Policy2"}]]}
    assert template["Outputs"]["PolicyArns"]["Value"] == arns


def test_a_policy_of_a_reader_is_one_and_has_another_name() -> None:
    """So that both stand side by side; a statement that is too long for any policy stays alone."""
    config = parse(small())
    template = cloudformation(policy(config, FACTS, "bluegreen", Holder.READER), config, Holder.READER)
    (made,) = template["Resources"].values()
    assert made["Properties"]["ManagedPolicyName"] == "bluegreen-web-production-reader-1"
    long = Statement("Long", ["ec2:CreateTags"] * 500)
    assert len(cloudformation([long, long], config)["Resources"]) == 2


def _said(block: dict[str, Any]) -> dict[str, Any]:
    plain = _unquoted(block)
    conditions: dict[str, dict[str, Any]] = {}
    for one in plain.get("condition", []):
        conditions.setdefault(one["test"], {})[one["variable"]] = _one_or_many(one["values"])
    found = {"Sid": plain["sid"], "Effect": "Allow", "Action": _one_or_many(plain["actions"])}
    found["Resource"] = _one_or_many(plain["resources"])
    return {**found, "Condition": conditions} if conditions else found


def _unquoted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key.strip('"'): _unquoted(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_unquoted(one) for one in value]
    return value.strip('"') if isinstance(value, str) else value


def _one_or_many(values: list[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else values


def test_the_linter_of_policies_has_nothing_to_say() -> None:
    """Parliament knows each action's resources and condition keys (Service Authorization Reference)."""
    config = parse(small(image=BUILDER))
    reading = parliament.analyze_policy_string(json.dumps(document(policy(config, FACTS, "t", Holder.READER))))
    assert {one.issue for one in reading.findings} <= {"RESOURCE_STAR", "RESOURCE_MISMATCH"}
    found = parliament.analyze_policy_string(json.dumps(document(full()))).findings
    assert [one for one in found if one.issue not in ("RESOURCE_STAR", "RESOURCE_MISMATCH")] == []
    wide = {action for one in found if one.issue == "RESOURCE_STAR" for action in one.detail}
    assert wide == WIDE
    assert {row["action"] for one in found if one.issue == "RESOURCE_MISMATCH" for row in one.detail} == SPLIT


def test_a_packed_source_is_of_this_service_in_its_bucket() -> None:
    """Nobody packs without a builder that fetches it from there."""
    builder = {"tag": "web-builder", "run": "make", "source": {"bucket": "sources"}}
    found = made(image={"builder": builder})
    assert found["PackedSource"].resources == ["arn:aws:s3:::sources/bluegreen/web/production/*"]
    assert found["LookAtTheBucket"].resources == ["arn:aws:s3:::sources"]
    assert "PackedSource" not in made()


# --- who may take the role -------------------------------------------------------------------------------


def test_the_trust_policy_names_the_repository_and_its_environment() -> None:
    """The example is what is printed for the sample service."""
    shown = trust("arn:aws:sts::123456789012:assumed-role/ann/ann", "acme/web", "production")
    assert shown == json.loads((ROOT / "examples" / "trust-policy.json").read_text())
    chinese = trust("arn:aws-cn:iam::123456789012:user/ann", "acme/web", "qa")["Statement"][0]
    assert chinese["Principal"]["Federated"].startswith("arn:aws-cn:iam::123456789012:oidc-provider/")
    assert "repo:acme/web:environment:qa" in str(chinese)


@pytest.mark.parametrize("named", ["", "web", "acme/*", "https://github.com/acme/web"])
def test_a_trust_policy_for_no_one_repository_is_refused(named: str) -> None:
    """A pattern would let others in."""
    with pytest.raises(ConfigError) as error:
        trust("arn:aws:iam::123456789012:user/ann", named, "production")
    assert (error.value.where, "octocat/web" in error.value.hint) == ("--repository", True)
