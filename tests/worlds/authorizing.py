"""Every call of a driver, judged by a policy as IAM does: on the resources that the call names, with their tags.

Which resources and condition keys an action has is in AWS's Service Authorization Reference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lab.aws import FakeAws
from lab.aws.client import Answers
from lab.aws.identity import decision
from lab.aws.wire import Answer, Incoming, parse, place_in_s3

Context = Mapping[str, Sequence[str]]
IAM = {"elbv2": "elasticloadbalancing", "service-quotas": "servicequotas"}
#: Operations that IAM knows by another name (Amazon S3 API, HeadBucket).
ASKED_AS = {"s3:HeadBucket": "s3:ListBucket"}


@dataclass(frozen=True)
class Question:
    """What IAM is asked: an action on a resource, with what conditions may ask for."""

    action: str
    resource: str = "*"
    context: Context = field(default_factory=dict)

    def __str__(self) -> str:
        """For people to read."""
        return f"{self.action} on {self.resource} with {dict(self.context)}"


class Authorizer:
    """A watch over the calls of drivers that keeps what the policy would have refused, and what it was needed for."""

    def __init__(
        self, aws: FakeAws, policy: Callable[[], Sequence[Mapping[str, Any]]], roles: Sequence[str] = ()
    ) -> None:
        """`policy` gives the statements as JSON has them; it is asked again before anything counts as refused.

        `roles`: ARNs of the roles of the instances.
        """
        self.aws, self._policy, self.roles = aws, policy, roles
        self.statements = policy()
        self.refused: list[str] = []
        self._judged: set[str] = set()  # what was judged before
        self.needed: set[tuple[str, str]] = set()  # a statement's Sid and an action that it was needed for

    def watch(self, answers: Answers) -> Answers:
        """The same answers, each call judged before it has its effect."""

        def answer(request: Incoming, recorded: bool) -> Answer:
            for question in self._questions(request):
                self._judge(question)
            return answers(request, recorded)

        return answer

    def _judge(self, asked: Question) -> None:
        if (known := str(asked)) in self._judged:
            return
        self._judged.add(known)
        by = self._by(asked)
        if not by:
            self.statements = self._policy()  # what hangs on the group may have been there later
            by = self._by(asked)
        if not by:
            self.refused.append(str(asked))
        self.needed |= {(str(one["Sid"]), asked.action) for one in by}

    def _by(self, asked: Question) -> list[Mapping[str, Any]]:
        """The statements that allow it."""
        how = (asked.action, asked.resource, asked.context)
        return [one for one in self.statements if decision([one], *how) == "allowed"]

    def _questions(self, request: Incoming) -> Iterator[Question]:
        """What IAM asks of a call."""
        service = IAM.get(request.service, request.service)
        named = f"{service}:{request.operation}"
        action = ASKED_AS.get(named, named)
        if request.service == "s3":
            bucket, key = place_in_s3(request.written.url, request.written.headers.get("host", ""))
            yield Question(action, f"arn:aws:s3:::{bucket}/{key}".rstrip("/"))
            return
        params = parse(request) if request.service != "dynamodb" else request.direct or {}
        yield from _KINDS.get(action, _KINDS.get(f"{service}:*", _anything))(self, action, params)

    # --- resources

    def arn(self, service: str, resource: str, *, region: bool = True) -> str:
        """An ARN of this account."""
        return f"arn:aws:{service}:{self.aws.region if region else ''}:{self.aws.account}:{resource}"

    def group(self, name: str) -> tuple[str, Context]:
        """A group, with its tags as they are."""
        known = self.aws.engine.state.groups.get(name)
        tags = {key: value for key, (value, _) in known.tags.items()} if known else {}
        arn = self.arn("autoscaling", f"autoScalingGroup:0b0b:autoScalingGroupName/{name}")
        return arn, {**_tags("autoscaling:resourcetag", tags), **_tags("aws:resourcetag", tags)}

    def ec2(self, kind: str, id_: str, *more: str) -> tuple[str, Context]:
        """An instance, image, snapshot or template, with its tags by each of these condition keys."""
        tags = self.aws.engine.state.tags.get(id_, {})
        context = {key: value for prefix in ("aws:resourcetag", *more) for key, value in _tags(prefix, tags).items()}
        owner = "" if kind in ("image", "snapshot") else self.aws.account
        return f"arn:aws:ec2:{self.aws.region}:{owner}:{kind}/{id_}", context


def _tags(prefix: str, tags: Mapping[str, str]) -> dict[str, list[str]]:
    return {f"{prefix}/{key}".lower(): [value] for key, value in tags.items()}


def _given(tags: Sequence[Mapping[str, Any]]) -> Context:
    """Tags of a request."""
    known = {str(one["Key"]): str(one.get("Value", "")) for one in tags}
    return {**_tags("aws:requesttag", known), "aws:tagkeys": list(known)}


Params = Mapping[str, Any]
Asks = Callable[[Authorizer, str, Params], Iterator[Question]]


def _anything(by: Authorizer, action: str, params: Params) -> Iterator[Question]:
    """Actions for which AWS knows no resource."""
    yield Question(action)


def _on_group(by: Authorizer, action: str, params: Params) -> Iterator[Question]:
    if action.split(":")[1].startswith("Describe"):
        yield Question(action)
        return
    yield Question(action, *by.group(params["AutoScalingGroupName"]))
    if action == "autoscaling:UpdateAutoScalingGroup" and params.keys() & {"LaunchTemplate", "MixedInstancesPolicy"}:
        yield from _launches(by)


def _launches(by: Authorizer) -> Iterator[Question]:
    """Who gives a group a template must be allowed what the group then does (EC2 Auto Scaling user guide)."""
    yield Question("ec2:RunInstances")
    yield Question("ec2:CreateTags", by.arn("ec2", "instance/*"), {"ec2:createaction": ["RunInstances"]})
    passed = {"iam:passedtoservice": ["ec2.amazonaws.com"]}
    yield from (Question("iam:PassRole", role, passed) for role in by.roles)


def _creates_group(by: Authorizer, action: str, params: Params) -> Iterator[Question]:
    """Who makes a group must be allowed to tag it, to launch, and to give its instances their role."""
    arn, _ = by.group(params["AutoScalingGroupName"])
    for each in (action, "autoscaling:CreateOrUpdateTags"):
        yield Question(each, arn, _given(params.get("Tags", [])))
    yield from _launches(by)


def _tags_group(by: Authorizer, action: str, params: Params) -> Iterator[Question]:
    for name in {one["ResourceId"] for one in params["Tags"]}:
        arn, context = by.group(name)
        yield Question(action, arn, {**context, **_given(params["Tags"])})


def _on_instances(by: Authorizer, action: str, params: Params) -> Iterator[Question]:
    for id_ in params["InstanceIds"]:
        yield Question(action, *by.ec2("instance", id_))


def _makes_image(by: Authorizer, action: str, params: Params) -> Iterator[Question]:
    yield Question(action, *by.ec2("instance", params["InstanceId"]))
    for one in params.get("TagSpecifications", []):
        kind = f"arn:aws:ec2:{by.aws.region}::{one['ResourceType']}/*"
        yield Question(action, kind, _given(one["Tags"]))
        yield Question("ec2:CreateTags", kind, {**_given(one["Tags"]), "ec2:createaction": ["CreateImage"]})


def _tags_images(by: Authorizer, action: str, params: Params) -> Iterator[Question]:
    for id_ in params["Resources"]:
        arn, context = by.ec2("image", id_)
        yield Question(action, arn, {**context, **_given(params["Tags"])})


def _on_image(by: Authorizer, action: str, params: Params) -> Iterator[Question]:
    yield Question(action, *by.ec2("image", params["ImageId"]))
    if action == "ec2:DeregisterImage":
        yield from (Question("ec2:DeleteSnapshot", *by.ec2("snapshot", id_)) for id_ in _snapshots(by, params))


def _snapshots(by: Authorizer, params: Params) -> list[str]:
    """They go with the image where the call says so."""
    if not params.get("DeleteAssociatedSnapshots"):
        return []
    image = by.aws.engine.state.images.get(params["ImageId"])
    return [image.snapshot] if image else []


def _on_snapshot(by: Authorizer, action: str, params: Params) -> Iterator[Question]:
    yield Question(action, *by.ec2("snapshot", params["SnapshotId"]))


def _on_template(by: Authorizer, action: str, params: Params) -> Iterator[Question]:
    yield Question(action, *by.ec2("launch-template", params["LaunchTemplateId"]))


def _sends(by: Authorizer, action: str, params: Params) -> Iterator[Question]:
    yield Question(action, f"arn:aws:ssm:{by.aws.region}::document/{params['DocumentName']}")
    for id_ in params["InstanceIds"]:
        yield Question(action, *by.ec2("instance", id_, "ssm:resourcetag"))


def _on_listener(by: Authorizer, action: str, params: Params) -> Iterator[Question]:
    yield Question(action, params.get("ListenerArn") or params["RuleArn"])


def _on_alarms(by: Authorizer, action: str, params: Params) -> Iterator[Question]:
    for name in params.get("AlarmNames") or [params["AlarmName"]]:
        arn = by.arn("cloudwatch", f"alarm:{name}")
        yield Question(action, arn, _given(params.get("Tags", [])))
        if params.get("Tags"):
            yield Question("cloudwatch:TagResource", arn, _given(params["Tags"]))


def _on_alarm_arn(by: Authorizer, action: str, params: Params) -> Iterator[Question]:
    yield Question(action, params["ResourceARN"])


def _on_parameter(by: Authorizer, action: str, params: Params) -> Iterator[Question]:
    yield Question(action, by.arn("ssm", f"parameter/{params['Name'].lstrip('/')}"))


def _on_table(by: Authorizer, action: str, params: Params) -> Iterator[Question]:
    """A transaction needs the permissions of its parts (DynamoDB API)."""
    if action != "dynamodb:TransactWriteItems":
        yield Question(action, by.arn("dynamodb", f"table/{params['TableName']}"))
        return
    for one in params["TransactItems"]:
        ((kind, part),) = one.items()
        verb = "ConditionCheckItem" if kind == "ConditionCheck" else f"{kind}Item"
        yield Question(f"dynamodb:{verb}", by.arn("dynamodb", f"table/{part['TableName']}"))


_KINDS: Mapping[str, Asks] = {
    "autoscaling:*": _on_group,
    "autoscaling:CreateAutoScalingGroup": _creates_group,
    "autoscaling:CreateOrUpdateTags": _tags_group,
    "autoscaling:DeleteTags": _tags_group,
    "ec2:StartInstances": _on_instances,
    "ec2:StopInstances": _on_instances,
    "ec2:CreateImage": _makes_image,
    "ec2:CreateTags": _tags_images,
    "ec2:DeregisterImage": _on_image,
    "ec2:DescribeImageAttribute": _on_image,
    "ec2:DeleteSnapshot": _on_snapshot,
    "ec2:CreateLaunchTemplateVersion": _on_template,
    "ec2:DeleteLaunchTemplateVersions": _on_template,
    "ec2:ModifyLaunchTemplate": _on_template,
    "ssm:SendCommand": _sends,
    "ssm:GetParameter": _on_parameter,
    "elasticloadbalancing:ModifyListener": _on_listener,
    "elasticloadbalancing:ModifyRule": _on_listener,
    "cloudwatch:PutMetricAlarm": _on_alarms,
    "cloudwatch:DeleteAlarms": _on_alarms,
    "cloudwatch:ListTagsForResource": _on_alarm_arn,
    "dynamodb:*": _on_table,
}
