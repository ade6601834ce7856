"""The policy to copy allows what the code calls, and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import boto3
from botocore import xform_name

from tests.worlds import SICK, Ops
from tests.worlds.files import ROOT

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
    assert len(allowed()) == len(set(allowed()))
    assert set(allowed()) - BESIDE == set(called()) - PARTS


def test_the_policy_is_what_releases_call() -> None:
    """Seen from AWS: a good release, and one that is rolled back."""
    o = Ops(changes={"checks": [{"name": "unit", "run": "true", "needs": 1}]})
    made = len(o.aws.calls)
    for commit in ("c0ffee01aaaa", SICK):
        o.drive(o.start(commit).id)
    seen = {c.name for c in o.aws.calls[made:] if c.service in ("autoscaling", "ec2", "elbv2", "ssm", "dynamodb")}
    assert len(seen) > 25
    assert {name.replace("elbv2:", "elasticloadbalancing:") for name in seen} - PARTS <= set(allowed())
