"""The IAM policy for those who release one service in one environment: the calls that bluegreen makes, and no other.

A release may change what has its service's tag (`bluegreen:service`), and by name what was there before the first
one: the group, the launch template, the builder, the listeners. Pure: `AccountFacts` has what no configuration says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bluegreen.config import Config, MetricCheck, RunCheck
from bluegreen.errors import ConfigError
from bluegreen.observation import AccountFacts
from bluegreen.release import prefixes

SERVICE, HELD, OUTCOME = "bluegreen:service", "bluegreen:held-by", "bluegreen:outcome"
#: What a group bears that a release made, or took of a standing pair.
MARKS = ("bluegreen:commit", HELD, "bluegreen:release", SERVICE, "bluegreen:token")
#: Characters of a managed policy, blanks not counted (IAM user guide, quotas).
LONGEST = 6144


class Holder(StrEnum):
    """Who gets the policy."""

    ACTION = "action"
    BOT = "bot"
    READER = "reader"  # status, history, plan and doctor, and no order


@dataclass(frozen=True)
class Statement:
    """What is allowed, on what, and on which condition."""

    sid: str
    actions: Sequence[str]
    resources: Sequence[str] = ("*",)
    condition: Mapping[str, Mapping[str, Sequence[str] | str]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """As a policy document has it: one action and one resource stand without brackets."""
        shown = {"Sid": self.sid, "Effect": "Allow", "Action": _plain(self.actions), "Resource": _plain(self.resources)}
        return {**shown, "Condition": dict(self.condition)} if self.condition else shown


def policy(config: Config, account: AccountFacts, table: str, holder: Holder = Holder.ACTION) -> tuple[Statement, ...]:
    """The statements, in the order of docs/permissions.md. `table`: the journal's."""
    made = _Policy(config, account, table)
    found = made.reading() if holder is Holder.READER else made.releasing()
    return tuple(statement for statement in found if statement.actions and statement.resources)


def document(statements: Iterable[Statement]) -> dict[str, Any]:
    """The policy document."""
    return {"Version": "2012-10-17", "Statement": [statement.as_json() for statement in statements]}


def terraform(statements: Iterable[Statement], name: str) -> str:
    """The same as a data source of Terraform's AWS provider, `aws_iam_policy_document`, of this name."""
    body = "\n".join(_block(statement) for statement in statements)
    return f'data "aws_iam_policy_document" "{name}" {{\n{body}\n}}'


def cloudformation(statements: Iterable[Statement], config: Config, holder: Holder = Holder.ACTION) -> dict[str, Any]:
    """The same as a template of AWS CloudFormation: managed policies, as many as its size needs, and their ARNs.

    A role may have ten of them, so a bot's has those of several services.
    """
    reader = ["reader"] if holder is Holder.READER else []
    name = "-".join(["bluegreen", prefixes(config.id)[0], *reader])
    parts = {f"Policy{number}": part for number, part in enumerate(_parts(statements), 1)}
    arns = {"Fn::Join": [",", [{"Ref": one} for one in parts]]}
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"bluegreen: what releases of {config.id} may do (bluegreen iam-policy --cloudformation)",
        "Resources": {one: _managed(f"{name}-{one.removeprefix('Policy')}", part) for one, part in parts.items()},
        "Outputs": {"PolicyArns": {"Description": "For the parameter PolicyArns of roles", "Value": arns}},
    }


#: GitHub's provider of OpenID Connect tokens, and whom its tokens for AWS are for (GitHub docs, OpenID Connect).
GITHUB, AUDIENCE = "token.actions.githubusercontent.com", "sts.amazonaws.com"
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*/[\w.-]+", re.ASCII)


def trust(caller: str, repository: str, environment: str) -> dict[str, Any]:
    """The trust policy of the workflows' role: only jobs of that environment of the repository may take it.

    `caller`: an ARN of the account. `repository`: OWNER/NAME; ConfigError when it is another text, such as a pattern.
    """
    if not _REPOSITORY.fullmatch(repository):
        hint = "Name the repository of the workflows as GitHub does, as in octocat/web."
        what = f"is no repository: {repository}" if repository else "nothing here tells which repository it is"
        raise ConfigError(what, where="--repository", hint=hint)
    _, partition, _, _, account, _ = caller.split(":", 5)
    said = {f"{GITHUB}:aud": AUDIENCE, f"{GITHUB}:sub": f"repo:{repository}:environment:{environment}"}
    statement = {
        "Effect": "Allow",
        "Principal": {"Federated": f"arn:{partition}:iam::{account}:oidc-provider/{GITHUB}"},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": said},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def _managed(name: str, part: Sequence[Statement]) -> dict[str, Any]:
    return {
        "Type": "AWS::IAM::ManagedPolicy",
        "Properties": {"ManagedPolicyName": name, "PolicyDocument": document(part)},
    }


def _parts(statements: Iterable[Statement]) -> list[list[Statement]]:
    """In their order, each as full as it may be; a statement that is too long for any is left to AWS to refuse."""
    parts: list[list[Statement]] = [[]]
    for statement in statements:
        if parts[-1] and _length([*parts[-1], statement]) > LONGEST:
            parts.append([])
        parts[-1].append(statement)
    return parts


def _length(statements: Iterable[Statement]) -> int:
    return len(json.dumps(document(statements), separators=(",", ":")))


def _block(statement: Statement) -> str:
    lines = [
        f"    sid       = {json.dumps(statement.sid)}",
        f"    actions   = {_listed(statement.actions)}",
        f"    resources = {_listed(statement.resources)}",
    ]
    for test, asked in statement.condition.items():
        for variable, values in asked.items():
            given = [values] if isinstance(values, str) else values
            lines += [
                "    condition {",
                f"      test     = {json.dumps(test)}",
                f"      variable = {json.dumps(variable)}",
            ]
            lines += [f"      values   = {_listed(given)}", "    }"]
    return "\n".join(["  statement {", *lines, "  }"])


def _listed(values: Sequence[str]) -> str:
    if len(values) == 1:
        return json.dumps(list(values))
    return "[\n" + "".join(f"      {json.dumps(value)},\n" for value in values) + "    ]"


def _plain(values: Sequence[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else list(values)


# --- reading -------------------------------------------------------------------------------------

#: Reads for which AWS knows no resource, or of what is the user's own (docs/permissions.md says why, one by one).
LOOKS = (
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
    "cloudwatch:DescribeAlarms",
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
    "kms:DescribeKey",
    "pricing:GetProducts",
    "servicequotas:GetServiceQuota",
    "ssm:DescribeInstanceInformation",
    "ssm:GetCommandInvocation",
    "ssm:ListCommandInvocations",
    "ssm:ListCommands",
    "sts:GetCallerIdentity",
)
ROLES = (
    "iam:GetInstanceProfile",
    "iam:GetPolicy",
    "iam:GetPolicyVersion",
    "iam:GetRole",
    "iam:GetRolePolicy",
    "iam:ListAttachedRolePolicies",
    "iam:ListRolePolicies",
    "iam:SimulatePrincipalPolicy",
)
#: Asked of the builder's agent.
AGENTS = "ssm:DescribeInstanceInformation"
_COMMANDS = frozenset(action for action in LOOKS if action.startswith("ssm:"))


# --- releasing -----------------------------------------------------------------------------------

_CHANGES = (
    "autoscaling:AttachLoadBalancerTargetGroups",
    "autoscaling:AttachTrafficSources",
    "autoscaling:DeleteAutoScalingGroup",
    "autoscaling:DeleteWarmPool",
    "autoscaling:DetachLoadBalancerTargetGroups",
    "autoscaling:DetachTrafficSources",
    "autoscaling:PutWarmPool",
    "autoscaling:ResumeProcesses",
    "autoscaling:SetInstanceProtection",
    "autoscaling:SuspendProcesses",
    "autoscaling:UpdateAutoScalingGroup",
)
_ATTACHES = (
    "autoscaling:CreateOrUpdateTags",
    "autoscaling:DeleteLifecycleHook",
    "autoscaling:DeleteNotificationConfiguration",
    "autoscaling:DeletePolicy",
    "autoscaling:DeleteScheduledAction",
    "autoscaling:DeleteTags",
    "autoscaling:DisableMetricsCollection",
    "autoscaling:EnableMetricsCollection",
    "autoscaling:PutLifecycleHook",
    "autoscaling:PutNotificationConfiguration",
    "autoscaling:PutScalingPolicy",
    "autoscaling:PutScheduledUpdateGroupAction",
)


class _Policy:
    """The statements of one configuration."""

    def __init__(self, config: Config, account: AccountFacts, table: str) -> None:
        self.config, self.account, self.table = config, account, table
        kinds = {type(check) for check in config.checks}
        self.names, self.pair = config.names, config.groups is not None
        self.metrics, self.builder = MetricCheck in kinds, config.image.builder
        self.runs = RunCheck in kinds or any((config.hooks.before_switch, config.hooks.after_live))

    def reading(self) -> Iterator[Statement]:
        """What `status`, `history`, `plan`, `iam-policy` and `doctor` read."""
        seldom = {*_COMMANDS, "cloudwatch:GetMetricData", "ec2:DescribeSnapshots"} - (
            {AGENTS} if self.builder else set()
        )
        yield Statement("Look", [one for one in LOOKS if one not in seldom])
        policies = f"arn:{self.account.partition}:iam::*:policy/*"  # AWS's own, too
        kinds = ("instance-profile", "role", "user")
        yield Statement("ExamineRoles", ROLES, [*(self._iam(f"{kind}/*") for kind in kinds), policies])
        yield self.parameters()
        yield self._bucket()
        seen = ("DescribeContinuousBackups", "DescribeTable", "DescribeTimeToLive")
        yield self._journal(*seen, "GetItem", "Query")

    def releasing(self) -> Iterator[Statement]:
        """What orders and drivers need; a statement without an action or a resource stands for nothing."""
        yield Statement("Look", [action for action in LOOKS if self._is_read(action)])
        yield self.parameters()
        yield from self._images()
        yield from self._source()
        yield from self._commands()
        yield from self._groups()
        yield from self._alarms()
        yield from self._launching()
        yield from self._weights()
        passed = {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}
        yield Statement("InstanceProfile", ["iam:PassRole"], self.account.roles, passed)
        yield self._journal("CreateTable", "DeleteItem", "DescribeTable", "GetItem", "PutItem", "Query", "UpdateItem")

    def _is_read(self, action: str) -> bool:
        if action == "ec2:DescribeSnapshots":  # how far an image is that is made
            return self.builder is not None
        if action in _COMMANDS:
            return self.runs or self.builder is not None
        return action != "cloudwatch:GetMetricData" or self.metrics

    def parameters(self) -> Statement:
        """For `ami: resolve:ssm:…`, in the configuration or in an order."""
        shared = f"arn:{self.account.partition}:ssm:*::parameter/aws/service/*"
        return Statement("ReadImageParameters", ["ssm:GetParameter"], [shared, self._arn("ssm", self._below)])

    @property
    def _below(self) -> str:
        """The parameter that the configuration names, else those of the service."""
        named = (self.config.image.ami or "").removeprefix("resolve:ssm:")
        return f"parameter{named}" if named.startswith("/") else f"parameter/{self.config.service}/*"

    def _images(self) -> Iterator[Statement]:
        partition = self.account.partition
        kinds = [f"arn:{partition}:ec2:*::image/*", f"arn:{partition}:ec2:*::snapshot/*"]
        creating = ["RunInstances"]
        if self.builder is not None:
            machine, condition = self._builder("aws:ResourceTag")
            uses = ("ec2:CreateImage", "ec2:StartInstances", "ec2:StopInstances")
            yield Statement("UseTheBuilder", uses, [machine], condition)
            yield Statement("MakeImages", ["ec2:CreateImage"], kinds, self._tagged("aws:RequestTag"))
            creating = ["CreateImage", "RunInstances"]
        made = {"StringEquals": {"ec2:CreateAction": _plain(creating)}}
        yield Statement("TagWhatIsMade", ["ec2:CreateTags"], ["*"], made)
        if self.builder is not None:
            only = {"ForAllValues:StringEquals": {"aws:TagKeys": OUTCOME}}
            live = {**self._tagged("aws:ResourceTag"), **only}
            yield Statement("TagImagesThatWentLive", ["ec2:CreateTags"], kinds[:1], live)
            drops = ("ec2:DeleteSnapshot", "ec2:DeregisterImage", "ec2:DescribeImageAttribute")
            yield Statement("DropOldImages", drops, kinds, self._tagged("aws:ResourceTag"))

    def _source(self) -> Iterator[Statement]:
        """Whoever signs a URL for the builder must be allowed to read there. HeadBucket is asked for as ListBucket."""
        packed = ("s3:DeleteObject", "s3:GetObject", "s3:PutObject")
        yield Statement("PackedSource", packed, [f"{one}/bluegreen/{self.config.id}/*" for one in self._buckets()])
        yield self._bucket()

    def _bucket(self) -> Statement:
        return Statement("LookAtTheBucket", ["s3:ListBucket"], self._buckets())

    def _buckets(self) -> list[str]:
        source = self.builder.source if self.builder else None
        return [f"arn:{self.account.partition}:s3:::{source.bucket}"] if source else []

    def _commands(self) -> Iterator[Statement]:
        send = ["ssm:SendCommand"]
        if self.runs or self.builder is not None:
            yield Statement(
                "RunTheShellDocument", send, [f"arn:{self.account.partition}:ssm:*::document/AWS-RunShellScript"]
            )
        if self.builder is not None:
            machine, condition = self._builder("ssm:resourceTag")
            yield Statement("RunItOnTheBuilder", send, [machine], condition)
        if self.runs:
            yield Statement("RunItOnGreen", send, [self._arn("ec2", "instance/*")], self._tagged("ssm:resourceTag"))

    def _builder(self, key: str) -> tuple[str, dict[str, dict[str, str]]]:
        assert self.builder is not None
        if self.builder.instance:
            return self._arn("ec2", f"instance/{self.builder.instance}"), {}
        return self._arn("ec2", "instance/*"), {"StringEquals": {f"{key}/Name": str(self.builder.tag)}}

    def _groups(self) -> Iterator[Statement]:
        """Neither group of a standing pair is made, deleted, or given anything but sizes and marks."""
        own, named = (
            [self._group(f"{prefix}-v*") for prefix in prefixes(self.config.id)],
            [*map(self._group, self.names)],
        )
        made = [] if self.pair else own
        makes = ("autoscaling:CreateAutoScalingGroup", "autoscaling:CreateOrUpdateTags")
        yield Statement("MakeGroups", makes, made[:1], self._tagged("aws:RequestTag"))
        mark = {"ForAllValues:StringEquals": {"aws:TagKeys": MARKS if self.pair else HELD}}
        marks = ("autoscaling:CreateOrUpdateTags", "autoscaling:DeleteTags")
        yield Statement("MarkGroups", marks, [*made, *named], mark)
        yield Statement("ChangeGroups", _CHANGES, made, self._tagged("autoscaling:ResourceTag"))
        yield Statement("ChangeNamedGroups", [one for one in _CHANGES if not (self.pair and "Delete" in one)], named)
        yield Statement("AttachToGreen", _ATTACHES, made, self._tagged("autoscaling:ResourceTag"))

    def _alarms(self) -> Iterator[Statement]:
        """A copy has green's name behind the alarm's own."""
        if self.pair:
            return
        copies = self._arn("cloudwatch", f"alarm:*-{prefixes(self.config.id)[0]}-v*")
        alarms = [self._arn("cloudwatch", f"alarm:{name}") for name in self.account.alarms]
        actions = ("cloudwatch:ListTagsForResource", "cloudwatch:PutMetricAlarm", "cloudwatch:TagResource")
        yield Statement("AlarmsOfItsPolicies", actions, [*alarms, copies])
        yield Statement("DropCopiesOfAlarms", ["cloudwatch:DeleteAlarms"], [copies])

    def _launching(self) -> Iterator[Statement]:
        yield Statement("LaunchGreen", ["ec2:RunInstances"])
        versions = (
            "ec2:CreateLaunchTemplateVersion",
            "ec2:DeleteLaunchTemplateVersions",
            "ec2:ModifyLaunchTemplate",
        )
        templates = [self._arn("ec2", f"launch-template/{id_}") for id_ in self.account.templates]
        yield Statement("VersionsOfTheTemplate", versions, templates)

    def _weights(self) -> Iterator[Statement]:
        """Previews are rules that AWS shows: any of the same listeners."""
        named = self.config.traffic.listeners or ()
        previews = [f"{_rules_of(one)}/*" for one in named if 0 in (self.config.traffic.steps or ())]
        listeners = [one for one in named if ":listener-rule/" not in one]
        rules = [one for one in named if ":listener-rule/" in one]
        yield Statement("MoveListeners", ["elasticloadbalancing:ModifyListener"], listeners)
        yield Statement("MoveRules", ["elasticloadbalancing:ModifyRule"], sorted({*rules, *previews}))

    def _journal(self, *operations: str) -> Statement:
        actions = [f"dynamodb:{operation}" for operation in operations]
        return Statement("Journal", actions, [self._arn("dynamodb", f"table/{self.table}")])

    def _tagged(self, key: str) -> dict[str, dict[str, str]]:
        return {"StringEquals": {f"{key}/{SERVICE}": self.config.id}}

    def _group(self, name: str) -> str:
        return self._arn("autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{name}")

    def _iam(self, resource: str) -> str:
        return f"arn:{self.account.partition}:iam::{self.account.id}:{resource}"

    def _arn(self, service: str, resource: str) -> str:
        return f"arn:{self.account.partition}:{service}:*:{self.account.id}:{resource}"


def _rules_of(arn: str) -> str:
    """How the ARNs of a listener's rules begin: `…:listener-rule/app/web/0123/4567`."""
    start, _, path = arn.replace(":listener-rule/", ":listener/").partition(":listener/")
    return f"{start}:listener-rule/{'/'.join(path.split('/')[:4])}"
