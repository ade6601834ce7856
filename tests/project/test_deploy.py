"""deploy/: CloudFormation and Terraform say the same, without findings, and what they make works."""

from __future__ import annotations

import json
import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import parliament
import pytest
import yaml
from botocore.exceptions import ClientError
from moto import mock_aws

from bluegreen import iam_policy
from bluegreen.config import parse
from bluegreen.events import EventKind, Outcome
from bluegreen.iam_policy import LONGEST, Holder
from bluegreen.journal import Journal
from bluegreen.journal.dynamodb import DynamoTable
from bluegreen.journal.records import TTL
from lab.aws import FakeAws
from tests.core.test_journal import outcome, started
from tests.worlds import bare, ministack
from tests.worlds.account import full
from tests.worlds.files import ROOT
from tests.worlds.ministack import MINISTACK
from tests.worlds.release import small
from tests.worlds.templates import CLOUDFORMATION, STACKS, Template, merged, module, resources, snake, template

PAGE = (ROOT / "docs" / "deploying.md").read_text()
EXAMPLES = ROOT / "examples"


# --- both say the same -------------------------------------------------------------------------------------

#: Each kind of resource: Terraform's type, CloudFormation's, and which argument is which property. Every argument that
#: a module gives, and every property that a template gives, is here; a number is a place in a list.
KINDS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "aws_dynamodb_table": (
        "AWS::DynamoDB::Table",
        {
            "name": "TableName",
            "billing_mode": "BillingMode",
            "hash_key": "KeySchema.0.AttributeName",
            "range_key": "KeySchema.1.AttributeName",
            "attribute.name": "AttributeDefinitions.*.AttributeName",
            "attribute.type": "AttributeDefinitions.*.AttributeType",
            "deletion_protection_enabled": "DeletionProtectionEnabled",
            "point_in_time_recovery.enabled": "PointInTimeRecoverySpecification.PointInTimeRecoveryEnabled",
            "ttl.attribute_name": "TimeToLiveSpecification.AttributeName",
            "ttl.enabled": "TimeToLiveSpecification.Enabled",
        },
    ),
    "aws_iam_openid_connect_provider": (
        "AWS::IAM::OIDCProvider",
        {"url": "Url", "client_id_list": "ClientIdList"},
    ),
    "aws_iam_role": (
        "AWS::IAM::Role",
        {
            "name": "RoleName",
            "description": "Description",
            "max_session_duration": "MaxSessionDuration",
            "assume_role_policy": "AssumeRolePolicyDocument",
        },
    ),
    "aws_iam_instance_profile": ("AWS::IAM::InstanceProfile", {"role": "Roles.0"}),
    "aws_cloudwatch_log_group": (
        "AWS::Logs::LogGroup",
        {"name": "LogGroupName", "retention_in_days": "RetentionInDays"},
    ),
    "aws_security_group": (
        "AWS::EC2::SecurityGroup",
        {
            "description": "GroupDescription",
            "vpc_id": "VpcId",
            "egress.description": "SecurityGroupEgress.*.Description",
            "egress.protocol": "SecurityGroupEgress.*.IpProtocol",
            "egress.from_port": "SecurityGroupEgress.*.FromPort",
            "egress.to_port": "SecurityGroupEgress.*.ToPort",
            "egress.cidr_blocks.0": "SecurityGroupEgress.*.CidrIp",
        },
    ),
    "aws_ecs_cluster": ("AWS::ECS::Cluster", {"name": "ClusterName"}),
    "aws_ecs_task_definition": (
        "AWS::ECS::TaskDefinition",
        {
            "family": "Family",
            "requires_compatibilities": "RequiresCompatibilities",
            "network_mode": "NetworkMode",
            "cpu": "Cpu",
            "memory": "Memory",
            "runtime_platform.operating_system_family": "RuntimePlatform.OperatingSystemFamily",
            "runtime_platform.cpu_architecture": "RuntimePlatform.CpuArchitecture",
            "task_role_arn": "TaskRoleArn",
            "execution_role_arn": "ExecutionRoleArn",
            "container_definitions": "ContainerDefinitions",
        },
    ),
    "aws_ecs_service": (
        "AWS::ECS::Service",
        {
            "name": "ServiceName",
            "cluster": "Cluster",
            "task_definition": "TaskDefinition",
            "launch_type": "LaunchType",
            "desired_count": "DesiredCount",
            "deployment_minimum_healthy_percent": "DeploymentConfiguration.MinimumHealthyPercent",
            "deployment_maximum_percent": "DeploymentConfiguration.MaximumPercent",
            "deployment_circuit_breaker.enable": "DeploymentConfiguration.DeploymentCircuitBreaker.Enable",
            "deployment_circuit_breaker.rollback": "DeploymentConfiguration.DeploymentCircuitBreaker.Rollback",
            "network_configuration.subnets": "NetworkConfiguration.AwsvpcConfiguration.Subnets",
            "network_configuration.security_groups": "NetworkConfiguration.AwsvpcConfiguration.SecurityGroups",
            "network_configuration.assign_public_ip": "NetworkConfiguration.AwsvpcConfiguration.AssignPublicIp",
        },
    ),
    "aws_s3_bucket": ("AWS::S3::Bucket", {"bucket": "BucketName"}),
    "aws_s3_bucket_public_access_block": (
        "AWS::S3::Bucket",
        {
            "block_public_acls": "PublicAccessBlockConfiguration.BlockPublicAcls",
            "block_public_policy": "PublicAccessBlockConfiguration.BlockPublicPolicy",
            "ignore_public_acls": "PublicAccessBlockConfiguration.IgnorePublicAcls",
            "restrict_public_buckets": "PublicAccessBlockConfiguration.RestrictPublicBuckets",
        },
    ),
    "aws_s3_bucket_lifecycle_configuration": (
        "AWS::S3::Bucket",
        {
            "rule.id": "LifecycleConfiguration.Rules.*.Id",
            "rule.status": "LifecycleConfiguration.Rules.*.Status",
            "rule.filter.0.prefix": "LifecycleConfiguration.Rules.*.Prefix",
            "rule.expiration.0.days": "LifecycleConfiguration.Rules.*.ExpirationInDays",
        },
    ),
    "aws_instance": (
        "AWS::EC2::Instance",
        {
            "ami": "ImageId",
            "instance_type": "InstanceType",
            "iam_instance_profile": "IamInstanceProfile",
            "instance_initiated_shutdown_behavior": "InstanceInitiatedShutdownBehavior",
            "metadata_options.http_endpoint": "MetadataOptions.HttpEndpoint",
            "metadata_options.http_tokens": "MetadataOptions.HttpTokens",
            "metadata_options.http_put_response_hop_limit": "MetadataOptions.HttpPutResponseHopLimit",
            "subnet_id": "NetworkInterfaces.0.SubnetId",
            "vpc_security_group_ids": "NetworkInterfaces.0.GroupSet",
            "associate_public_ip_address": "NetworkInterfaces.0.AssociatePublicIpAddress",
            "user_data": "UserData",
            "tags.Name": "Tags.0.Value",
        },
    ),
}
#: What Terraform has as resources of their own, CloudFormation within the role or the bucket.
WITHIN = (
    "aws_iam_role_policy_attachment",
    "aws_iam_role_policy",
    "aws_s3_bucket_public_access_block",
    "aws_s3_bucket_lifecycle_configuration",
)
#: Properties that Terraform has no argument for, as it means just this.
IMPLIED = {
    "KeySchema.0.KeyType": "HASH",
    "KeySchema.1.KeyType": "RANGE",
    "NetworkInterfaces.0.DeviceIndex": "0",
    "NetworkInterfaces.0.DeleteOnTermination": True,
    "Tags.0.Key": "Name",
}
#: Arguments about Terraform itself; and ports of all protocols, which CloudFormation leaves out.
ASIDE = {"count", "lifecycle", "depends_on"}
#: The same on both sides, in the words of each.
WORDS = {
    "{makes_provider}": "{provider_arn}",
    "{parameters}": "arn:{partition}:ssm:{region}:{account}:parameter{var.secrets}",
}


def leaves(tree: Any, stop: Any = (), path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value with its path; a path in `stop` is not gone into."""
    if path in stop or not isinstance(tree, dict | list) or not tree:
        yield path, tree
        return
    for key, one in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield from leaves(one, stop, f"{path}.{key}".strip("."))


def of_terraform(stack: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """A module's resources as CloudFormation's types and properties, by path."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    within = []
    for type_, name, arguments in resources(module(stack)):
        if type_ in WITHIN:
            within.append((type_, arguments))
            continue
        kind, words = KINDS[type_]
        given = {key: one for key, one in arguments.items() if key not in ASIDE}
        found[name] = (kind, dict(_renamed(given, words)))
    for type_, arguments in within:
        found[_owner(arguments)][1].update(_of_owner(type_, arguments))
    return found


def _owner(arguments: Mapping[str, Any]) -> str:
    """The resource whose property it is in CloudFormation: `{res.role}`."""
    return str(arguments.get("role", arguments.get("bucket")))[5:-1]


def _renamed(given: Mapping[str, Any], words: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    """A block is a list; one that may be repeated has `*` in its property."""
    flat = {key: one[0] if _is_block(key, one, words) else one for key, one in given.items()}
    for path, value in leaves(flat, words):
        place = "".join(re.findall(r"\.(\d+)\.", path)[:1])
        word = re.sub(r"\.\d+\.", ".", path, count=1) if place else path
        if word in ("egress.from_port", "egress.to_port") and given["egress"][0]["protocol"] == "-1":
            continue
        told = _pascal(value) if path == "container_definitions" else value
        yield from leaves(_said(told), (), words[word].replace("*", place))


def _is_block(key: str, one: Any, words: Mapping[str, str]) -> bool:
    repeated = any(word.startswith(f"{key}.") and "*" in name for word, name in words.items())
    return isinstance(one, list) and key not in words and not repeated


def _of_owner(type_: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    if type_ in KINDS:
        given = {key: one for key, one in arguments.items() if key != "bucket"}
        return dict(_renamed(given, KINDS[type_][1]))
    if type_ == "aws_iam_role_policy":
        policy = {"PolicyName": arguments["name"], "PolicyDocument": _said(arguments["policy"])}
        return dict(leaves([policy], (), "Policies"))
    arn = arguments["policy_arn"]
    every = (arn, arguments.get("count")) == ("{var.policy_arns[count.index]}", "{length(var.policy_arns)}")
    return {"ManagedPolicyArns": "{var.policy_arns}"} if every else {"ManagedPolicyArns.0": arn}


def _pascal(value: Any, *, keep: bool = False) -> Any:
    """A container definition's words; the options of a log driver are its own."""
    if isinstance(value, list):
        return [_pascal(one) for one in value]
    if not isinstance(value, dict):
        return value
    own = keep or "if" in value
    return {key if own else key[0].upper() + key[1:]: _pascal(one, keep=key == "options") for key, one in value.items()}


def _said(value: Any) -> Any:
    text = json.dumps(value)
    for theirs, ours in WORDS.items():
        text = text.replace(theirs, ours)
    return json.loads(text.replace("{res.log}:*", "{res.log}"))


def of_cloudformation(stack: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """A template's resources, by path."""
    found = Template(template(stack)).properties()
    return {name: (type_, _less_implied(dict(leaves(_said(given))))) for name, (type_, given) in found.items()}


def _less_implied(given: dict[str, Any]) -> dict[str, Any]:
    return {path: one for path, one in given.items() if (path, one) not in IMPLIED.items()}


@pytest.mark.parametrize("stack", STACKS)
def test_terraform_makes_what_cloudformation_makes(stack: str) -> None:
    """The same kinds with the same names and properties, every one of them; each is kept by both, or by none."""
    assert of_terraform(stack) == of_cloudformation(stack)
    kept = {snake(name) for name, one in template(stack)["Resources"].items() if one.get("DeletionPolicy") == "Retain"}
    held = {
        name for _, name, said in resources(module(stack)) if {"prevent_destroy": True} in said.get("lifecycle", [])
    }
    assert kept == held


@pytest.mark.parametrize("stack", STACKS)
def test_both_ask_and_tell_the_same(stack: str) -> None:
    """Parameters with their defaults, and outputs. A stack of CloudFormation has a name of its own."""
    asked, told = template(stack)["Parameters"], template(stack).get("Outputs", {})
    variables, outputs = merged(module(stack)["variable"]), merged(module(stack)["output"])
    own = {"name"} if stack == "bot" else set()
    assert set(variables) - own == set(map(snake, asked))
    for name, said in asked.items():
        assert variables[snake(name)].get("default") == _value(said.get("Default")), name
    assert set(outputs) == set(map(snake, told))
    assert all(one["description"] for one in (*variables.values(), *outputs.values()))


def _value(default: Any) -> Any:
    return {"true": True, "false": False}.get(default, default)


def test_the_policies_are_those_of_the_command() -> None:
    """CloudFormation gets them printed; Terraform's module gives each half of the document to a policy of its own."""
    printed = iam_policy.cloudformation(full(), parse(small()), Holder.BOT)
    everything = [one for p in printed["Resources"].values() for one in p["Properties"]["PolicyDocument"]["Statement"]]
    halves = [body["policy"]["Statement"] for _, _, body in resources(module("policies"))]
    assert halves == [
        "{[for i, one in local.statements : one if i < local.half]}",
        "{[for i, one in local.statements : one if i >= local.half]}",
    ]
    middle = -(-len(everything) // 2)
    for half in (everything[:middle], everything[middle:]):
        assert len(json.dumps({"Version": "2012-10-17", "Statement": half}, separators=(",", ":"))) < LONGEST
    assert module("policies")["locals"][0]["half"] == "${ceil(length(local.statements) / 2)}"
    names = [one["Properties"]["ManagedPolicyName"] for one in printed["Resources"].values()]
    assert [
        body["name"].replace("{var.name}", "bluegreen-web-production") for _, _, body in resources(module("policies"))
    ] == names


def test_no_template_has_permissions_of_the_tool() -> None:
    """They come from `bluegreen iam-policy` alone; the roles take ARNs."""
    for stack in STACKS:
        text = (CLOUDFORMATION / f"{stack}.yml").read_text()
        assert not re.search(r"(?:autoscaling|elasticloadbalancing|dynamodb|ec2|cloudwatch):[A-Z]", text)
    for stack, role in (("github", "role"), ("bot", "bot_role")):
        assert Template(template(stack)).properties()[role][1]["ManagedPolicyArns"] == "{var.policy_arns}"


def test_the_example_is_the_trust_policy_of_the_template() -> None:
    """With the names of the example."""
    (_, said) = Template(template("github")).properties()["role"]
    text = json.dumps(said["AssumeRolePolicyDocument"])
    names = {
        "{makes_provider}": "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com",
        "{var.repository}": "acme/web",
        "{var.github_environment}": template("github")["Parameters"]["GitHubEnvironment"]["Default"],
    }
    for mark, name in names.items():
        text = text.replace(mark, name)
    assert json.loads(text) == json.loads((EXAMPLES / "trust-policy.json").read_text())


# --- without findings --------------------------------------------------------------------------------------


def test_policies_have_no_findings() -> None:
    """Parliament knows each action's resources (`make lint` asks cfn-lint about the rest)."""
    for stack in STACKS:
        for _, said in Template(template(stack)).properties().values():
            for policy in said.get("Policies", []):
                text = (
                    json.dumps(policy["PolicyDocument"])
                    .replace('{"if": "{var.github_token}", "then": ', "")
                    .replace('GITHUB_TOKEN"}', 'GITHUB_TOKEN"')
                )
                text = (
                    text.replace("{account}", "123456789012")
                    .replace("{partition}", "aws")
                    .replace("{region}", "eu-west-1")
                )
                text = text.replace("{res.log}", "arn:aws:logs:eu-west-1:123456789012:log-group:bot:*")
                assert parliament.analyze_policy_string(re.sub(r"\{var\.\w+\}", "/x", text)).findings == []


# --- really made -------------------------------------------------------------------------------------------

Client = Callable[[str], Any]
TRUSTED = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"


@pytest.fixture(params=["moto", pytest.param("MiniStack", marks=MINISTACK)])
def account(request: pytest.FixtureRequest) -> Iterator[tuple[str, Client]]:
    """An account of somebody else's AWS, and its name."""
    session = ministack.session()
    if request.param == "moto":
        with mock_aws(), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of what it cannot make, which is the test's to say
            yield "moto", session.client  # type: ignore[misc]
        return
    yield "MiniStack", lambda service: session.client(service, endpoint_url=ministack.url())  # type: ignore[call-overload]


class Account:
    """Stacks in it, made one after the other."""

    def __init__(self, client: Client) -> None:
        self.client = client
        vpc = client("ec2").create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
        subnet = client("ec2").create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
        self.network = {"VpcId": vpc, "SubnetIds": subnet, "SubnetId": subnet}
        self.made: dict[str, set[str]] = {}

    def make(self, name: str, body: str, **parameters: str) -> dict[str, str]:
        """The outputs of a new stack; ClientError when it cannot be made."""
        cloud = self.client("cloudformation")
        given = [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]
        cloud.create_stack(StackName=name, TemplateBody=body, Parameters=given, Capabilities=["CAPABILITY_NAMED_IAM"])
        end = time.monotonic() + 30
        while (stack := cloud.describe_stacks(StackName=name)["Stacks"][0])["StackStatus"] == "CREATE_IN_PROGRESS":
            assert time.monotonic() < end
            time.sleep(0.05)
        assert stack["StackStatus"] == "CREATE_COMPLETE", stack
        return {one["OutputKey"]: one["OutputValue"] for one in stack.get("Outputs", [])}

    def make_ours(self, stack: str, **parameters: str) -> dict[str, str]:
        """The same of a template of deploy/."""
        return self.make(f"bluegreen-{stack}", (CLOUDFORMATION / f"{stack}.yml").read_text(), **parameters)

    def makes(self, stack: str, **parameters: str) -> bool:
        """Whether it can."""
        try:
            self.make_ours(stack, **parameters)
        except ClientError:
            return False
        return True


def test_what_is_made_and_what_cannot_be(account: tuple[str, Client]) -> None:
    """Every stack, the policies first, as the page goes; what each of the two cannot make is in the page's table."""
    name, client = account
    stacks = Account(client)
    vpc, subnet = stacks.network["VpcId"], stacks.network["SubnetId"]
    policies = stacks.make("policies", json.dumps(iam_policy.cloudformation(full(), parse(small()))))["PolicyArns"]
    assert len(policies.split(",")) == 2
    cannot = set()
    if not stacks.makes("github", Repository="acme/web", PolicyArns=policies):
        cannot.add("`AWS::IAM::OIDCProvider`")
    role = stacks.make(
        "role",
        (CLOUDFORMATION / "github.yml").read_text(),
        Repository="acme/web",
        PolicyArns=policies,
        OidcProviderArn=TRUSTED,
    )
    if not _attached(client, role["RoleArn"]):
        cannot.add("`ManagedPolicyArns` of a role")
    stacks.make_ours("source", BucketName="acme-web-sources")
    if not _expires(client):
        cannot.add("`LifecycleConfiguration`")
    if not stacks.makes("builder", ImageId="ami-12c6146b", VpcId=vpc, SubnetId=subnet, PublicIp="true"):
        cannot.add("`AWS::EC2::Instance`")
    stacks.make_ours("bot", PolicyArns=policies, Tag="1", VpcId=vpc, SubnetIds=subnet, PublicIp="ENABLED")
    _runs(client)
    stacks.make_ours("journal", TableName="journal")
    cannot |= set(_lacks_of_the_table(client))
    rows = re.findall(r"(?m)^\| (.+?) \| (.+?) \| (.+?) \|$", PAGE.split("\n## Tried on\n")[1])
    column = rows[0].index({"moto": "moto 5.2.5", "MiniStack": "MiniStack 1.5.33"}[name])
    assert {row[0] for row in rows[2:] if row[column] != "made"} == cannot


def _attached(client: Client, arn: str) -> bool:
    role = client("iam").get_role(RoleName=arn.rpartition("/")[2])["Role"]
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Condition"]["StringEquals"] == {
        "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
        "token.actions.githubusercontent.com:sub": "repo:acme/web:environment:production",
    }
    found = client("iam").list_attached_role_policies(RoleName=role["RoleName"])["AttachedPolicies"]
    assert len(found) in (0, 2)
    return bool(found)


def _expires(client: Client) -> bool:
    try:
        return bool(client("s3").get_bucket_lifecycle_configuration(Bucket="acme-web-sources")["Rules"])
    except ClientError:
        return False


def _runs(client: Client) -> None:
    (service,) = client("ecs").describe_services(cluster="bluegreen-bot", services=["bot"])["services"]
    assert service["desiredCount"] == 1
    task = client("ecs").describe_task_definition(taskDefinition=service["taskDefinition"])["taskDefinition"]
    (bot,) = task["containerDefinitions"]
    # moto has a null in place of no value; MiniStack has names in CloudFormation's case, which boto3 leaves out.
    assert len([one for one in bot["secrets"] if one is not None]) == 2


def _lacks_of_the_table(client: Client) -> Iterator[str]:
    table = client("dynamodb")
    if table.describe_time_to_live(TableName="journal")["TimeToLiveDescription"]["TimeToLiveStatus"] == "DISABLED":
        yield "`TimeToLiveSpecification`"
    backups = table.describe_continuous_backups(TableName="journal")["ContinuousBackupsDescription"]
    if backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "DISABLED":
        yield "`PointInTimeRecoverySpecification`"


# --- the table ---------------------------------------------------------------------------------------------


def asked_for() -> dict[str, Any]:
    """What CreateTable is asked for by the template; recovery and time to live are calls of their own."""
    properties = template("journal")["Resources"]["Table"]["Properties"]
    later = ("PointInTimeRecoverySpecification", "TimeToLiveSpecification")
    return {**{key: one for key, one in properties.items() if key not in later}, "TableName": "bluegreen"}


def test_the_table_is_the_one_that_the_code_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the protection; and the attribute that goes is the one that answers have."""
    aws, asked = FakeAws(region=ministack.REGION), {}
    monkeypatch.setattr(DynamoTable, "call", lambda self, method, **arguments: asked.update(arguments))
    DynamoTable(aws.session(), "bluegreen")._create()
    assert asked_for() == {**asked, "DeletionProtectionEnabled": True}
    time_to_live = template("journal")["Resources"]["Table"]["Properties"]["TimeToLiveSpecification"]
    assert time_to_live == {"AttributeName": TTL, "Enabled": True}
    aws.close()


def test_a_release_goes_by_the_table_of_the_template() -> None:
    """From the start to the end, and no other table is made."""
    o = bare()
    o.world.client("dynamodb").create_table(**asked_for())
    release = o.drive(o.start("c0ffee01aaaa").id)
    assert release and release.outcome is Outcome.LIVE
    assert [one.name for one in o.aws.calls].count("dynamodb:CreateTable") == 0


@pytest.mark.parametrize("_", [pytest.param("", marks=MINISTACK)], ids=["MiniStack"])
def test_the_journal_works_on_the_table_of_the_stack(_: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made by CloudFormation, of somebody else's DynamoDB: events, orders, the lease, the history."""
    session = ministack.session()
    monkeypatch.setenv("AWS_ENDPOINT_URL", ministack.url())
    Account(session.client).make_ours("journal")  # type: ignore[arg-type]
    journal = Journal(session, "bluegreen")
    journal.ensure_table(lambda seconds: None)
    release = journal.open("web/production", started(), 1.0, request="run-1").release
    lease = journal.take_lease(release, "me", 1.0)
    assert lease
    journal.renew(lease, 2.0)
    journal.order(release, EventKind.HOLD_ORDERED, {"who": "me", "request": "r-1"}, 3.0, lambda found: None)
    journal.settle(journal.load(release), 3, outcome(Outcome.LIVE), 4.0)
    assert [one.outcome for one in journal.history("web/production", 5)] == [Outcome.LIVE]


# --- what others say of it ---------------------------------------------------------------------------------


def test_the_task_is_the_container_of_the_compose_file() -> None:
    """The same time to stop, the same rights, and no variable that the bot does not know."""
    from bot.settings import VARIABLES

    compose = yaml.safe_load((EXAMPLES / "bot.compose.yml").read_text())["services"]["bot"]
    (bot,) = template("bot")["Resources"]["Task"]["Properties"]["ContainerDefinitions"]
    assert f"{bot['StopTimeout']}s" == compose["stop_grace_period"]
    assert bot["ReadonlyRootFilesystem"] is compose["read_only"]
    assert bot["LinuxParameters"]["Capabilities"]["Drop"] == compose["cap_drop"]
    secrets = Template(template("bot")).marked(bot["Secrets"])
    named = [one.get("then", one)["Name"] for one in [*bot["Environment"], *secrets]]
    assert set(named) <= set(VARIABLES)
    assert "HealthCheck" not in bot


@pytest.mark.parametrize("stack", STACKS)
def test_the_page_lists_every_parameter(stack: str) -> None:
    """In the order of the template, with its default."""
    rows = re.findall(
        r"(?m)^\| `(\w+)` \| (.+?) \| .+ \|$", PAGE.split(f"\n### The parameters of {stack}.yml\n")[1].split("\n#")[0]
    )
    asked = template(stack)["Parameters"]
    assert [(name, default.strip("`")) for name, default in rows] == [
        (name, str(said.get("Default", "-")) or "empty") for name, said in asked.items()
    ]
