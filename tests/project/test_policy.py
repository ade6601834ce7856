"""The policy to copy allows what the code calls, and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
import yaml
from botocore import xform_name

from bluegreen.aws import tags
from tests.worlds import SICK, Ops
from tests.worlds.files import ROOT

PERMISSIONS = (ROOT / "docs" / "permissions.md").read_text()
STATEMENTS = json.loads((ROOT / "examples" / "policy.json").read_text())["Statement"]
#: IAM's name of a client, where it is another.
IAM = {"elb": "elasticloadbalancing", "elbv2": "elasticloadbalancing"}
#: No calls of ours, but asked for beside them (EC2 Auto Scaling user guide, launch templates; EC2 API, CreateImage
#: and DeregisterImage with tags and snapshots): who makes a group must be allowed what the group then does.
BESIDE = {"ec2:RunInstances", "ec2:DeleteSnapshot", "iam:PassRole", "autoscaling:CreateOrUpdateTags"}
#: A transaction needs the permissions of its parts (DynamoDB API).
PARTS = {"dynamodb:TransactWriteItems"}


def allowed() -> list[str]:
    """Every action of the policy."""
    return [a for s in STATEMENTS for a in ([s["Action"]] if isinstance(s["Action"], str) else s["Action"])]


def called() -> Iterator[str]:
    """Every operation that the source names, by a method or as what is paged through."""
    clients = r"(autoscaling|ec2|elb|ssm|cloudwatch|sts)"
    for path in (ROOT / "bluegreen" / "aws").glob("*.py"):
        source = path.read_text()
        for client, method in re.findall(rf"[. ]{clients}\.(\w+)", source):
            if not method.startswith("get_paginator") and method not in ("meta", "exceptions"):
                yield action(client, method)
        yield from (action("ec2", paged) for paged in re.findall(r"_pages\(calls, \"(\w+)\"", source))
        for client, paged in re.findall(rf"\.{clients}\.get_paginator\(\s*\"(\w+)\"", source):
            yield action(client, paged)
    for plain in re.findall(r"_call\(\s*\"(\w+)\"", (ROOT / "bluegreen" / "journal.py").read_text()):
        yield action("dynamodb", plain)


def action(client: str, method: str) -> str:
    """The method of a client as IAM names it."""
    service = {"elb": "elbv2"}.get(client, client)
    model = boto3.Session()._session.get_service_model(service)
    names = {xform_name(name): name for name in model.operation_names}
    return f"{IAM.get(client, client)}:{names[method]}"


def test_the_policy_is_what_the_code_calls() -> None:
    """No permission too few, for a release at night; none too many."""
    assert set(allowed()) - BESIDE == set(called()) - PARTS


#: What harms others when it is done to what is not ours: each only on what is named, or bears the service's tag.
HARMS = {
    "autoscaling:DeleteAutoScalingGroup": "autoscaling:ResourceTag/bluegreen:service",
    "ec2:CreateTags": "aws:ResourceTag/bluegreen:service",
    "ec2:DeleteSnapshot": "aws:ResourceTag/bluegreen:service",
    "ec2:DeregisterImage": "aws:ResourceTag/bluegreen:service",
    "ssm:SendCommand": "ssm:resourceTag/bluegreen:service",
}


def statements(action: str) -> list[dict[str, Any]]:
    """Those that allow it."""
    return [s for s in STATEMENTS if action in ([s["Action"]] if isinstance(s["Action"], str) else s["Action"])]


def narrow(statement: dict[str, Any]) -> bool:
    """Whether it names things, or asks for something."""
    named = [statement["Resource"]] if isinstance(statement["Resource"], str) else statement["Resource"]
    return "Condition" in statement or not any(one.endswith("*") for one in named)


@pytest.mark.parametrize(("action", "tag"), HARMS.items())
def test_what_harms_others_is_asked_for_by_tag_or_name(action: str, tag: str) -> None:
    """None of them is allowed on everything, and one statement each goes by the tag that releases put there."""
    found = statements(action)
    assert [one["Sid"] for one in found if not narrow(one)] == []
    tagged = [one for one in found if one.get("Condition", {}).get("StringLike") == {tag: "web/*"}]
    assert len(tagged) == 1
    assert tag.endswith(tags.SERVICE)


def test_names_in_the_policy_are_those_of_the_example() -> None:
    """The builder and the first blue, which bear no tag of ours."""
    config = yaml.safe_load((ROOT / "examples" / "bluegreen.yml").read_text())
    policy = (ROOT / "examples" / "policy.json").read_text()
    assert f'"ssm:resourceTag/Name": "{config["image"]["builder"]["tag"]}"' in policy
    assert f':autoScalingGroupName/{config["group"]}"' in policy
    assert {f"{config['service']}/*"} == set(re.findall(r"bluegreen:service\": \"(.*?)\"", policy))


def test_every_statement_is_explained() -> None:
    """docs/permissions.md says of each why it is as wide as it is."""
    table = PERMISSIONS.split("\n## The role in AWS\n")[1]
    assert re.findall(r"(?m)^\| `(\w+)` \|", table) == [one["Sid"] for one in STATEMENTS]


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
    """Whoever copies them reads it."""
    text = (ROOT / "examples" / ".github" / "workflows" / name).read_text()
    assert "Restrict this environment to the branch main" in text


def test_the_policy_is_what_releases_call() -> None:
    """Seen from AWS: a good release, and one that is rolled back."""
    o = Ops(changes={"checks": [{"name": "unit", "run": "true", "needs": 1}]})
    made = len(o.aws.calls)
    for commit in ("c0ffee01aaaa", SICK):
        o.drive(o.start(commit).id)
    seen = {c.name for c in o.aws.calls[made:] if c.service in ("autoscaling", "ec2", "elbv2", "ssm", "dynamodb")}
    assert len(seen) > 25
    assert {name.replace("elbv2:", "elasticloadbalancing:") for name in seen} - PARTS <= set(allowed())
