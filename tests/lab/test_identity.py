"""Who calls, what IAM's simulator says, what an account may have, and requests that are only tried."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lab.aws import FakeAws
from lab.clock import VirtualClock
from lab.world import World

OWN = {"aws:ResourceTag/bluegreen:service": "web/production"}
BUCKET = "arn:aws:s3:::web/*"


@pytest.fixture
def aws() -> FakeAws:
    """An account with nothing in it."""
    return FakeAws(VirtualClock())


def role(aws: FakeAws, *statements: dict[str, Any], boundary: dict[str, Any] | None = None) -> str:
    """The ARN of a role with these statements."""
    iam, limits = aws.session().client("iam"), {}
    if boundary:
        made = iam.create_policy(PolicyName="boundary", PolicyDocument=document(boundary))
        limits = {"PermissionsBoundary": made["Policy"]["Arn"]}
    arn = iam.create_role(RoleName="web", Path="/ci/", AssumeRolePolicyDocument="{}", **limits)["Role"]["Arn"]
    iam.put_role_policy(RoleName="web", PolicyName="own", PolicyDocument=document(*statements))
    return str(arn)


def document(*statements: dict[str, Any]) -> str:
    """As IAM takes it."""
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **one} for one in statements]})


def decided(aws: FakeAws, arn: str, action: str, *resources: str, **context: list[str]) -> dict[str, Any]:
    """What the simulator says of one action."""
    entries = [
        {"ContextKeyName": key, "ContextKeyValues": values, "ContextKeyType": "stringList"}
        for key, values in context.items()
    ]
    asked = {"PolicySourceArn": arn, "ActionNames": [action], "ContextEntries": entries}
    more = {"ResourceArns": list(resources)} if resources else {}
    said = aws.session().client("iam").simulate_principal_policy(**asked, **more)["EvaluationResults"]
    assert len(said) == 1
    return dict(said[0])


def test_what_a_policy_allows(aws: FakeAws) -> None:
    """By patterns of actions, in any case, and of resources; an explicit deny wins; what is not named is denied."""
    arn = role(
        aws,
        {"Action": "s3:Get*", "Resource": BUCKET},
        {"Action": ["sqs:*"], "Resource": "*"},
        {"Effect": "Deny", "NotAction": ["s3:*", "sqs:SendMessage"], "Resource": "*"},
    )
    assert decided(aws, arn, "s3:getobject", "arn:aws:s3:::web/page")["EvalDecision"] == "allowed"
    assert decided(aws, arn, "s3:GetObject")["EvalDecision"] == "implicitDeny"
    assert decided(aws, arn, "sqs:SendMessage")["EvalDecision"] == "allowed"
    assert decided(aws, arn, "sqs:DeleteQueue")["EvalDecision"] == "explicitDeny"


def test_each_combination_is_told(aws: FakeAws) -> None:
    """Of several resources one by one; the action is allowed where each is."""
    arn = role(aws, {"Action": "s3:*", "Resource": BUCKET})
    said = decided(aws, arn, "s3:GetObject", "arn:aws:s3:::web/a", "arn:aws:s3:::other/a")
    decisions = [one["EvalResourceDecision"] for one in said["ResourceSpecificResults"]]
    assert (decisions, said["EvalDecision"]) == (["allowed", "implicitDeny"], "implicitDeny")


def test_conditions(aws: FakeAws) -> None:
    """A key that is absent satisfies none but ForAllValues; an operator that is unknown here is no answer."""
    rows: list[dict[str, Any]] = [
        {"Action": "ec2:Start*", "Resource": "*", "Condition": {"StringEquals": OWN}},
        {"Action": "ec2:Stop*", "Resource": "*", "Condition": {"StringLike": {"aws:ResourceTag/Name": "web-*"}}},
        {
            "Action": "ec2:CreateTags",
            "Resource": "*",
            "Condition": {"ForAllValues:StringEquals": {"aws:TagKeys": ["a"]}},
        },
        {"Action": "ec2:Run*", "Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": "true"}}},
    ]
    arn = role(aws, *rows)
    tag = "aws:ResourceTag/bluegreen:service"
    assert decided(aws, arn, "ec2:StartInstances", **{tag: ["web/production"]})["EvalDecision"] == "allowed"
    assert decided(aws, arn, "ec2:StartInstances", **{tag: ["web/staging"]})["EvalDecision"] == "implicitDeny"
    assert decided(aws, arn, "ec2:StartInstances")["EvalDecision"] == "implicitDeny"
    assert decided(aws, arn, "ec2:StopInstances", **{"aws:ResourceTag/Name": ["web-1"]})["EvalDecision"] == "allowed"
    assert decided(aws, arn, "ec2:CreateTags")["EvalDecision"] == "allowed"
    assert decided(aws, arn, "ec2:CreateTags", **{"aws:TagKeys": ["a", "b"]})["EvalDecision"] == "implicitDeny"
    with pytest.raises(NotImplementedError):
        decided(aws, arn, "ec2:RunInstances")


def test_a_permissions_boundary(aws: FakeAws) -> None:
    """What it lacks is denied, and it is said to be the cause."""
    arn = role(aws, {"Action": "*", "Resource": "*"}, boundary={"Action": "s3:*", "Resource": "*"})
    inside, outside = (decided(aws, arn, one) for one in ("s3:GetObject", "sqs:SendMessage"))
    assert inside["PermissionsBoundaryDecisionDetail"] == {"AllowedByPermissionsBoundary": True}
    assert outside["PermissionsBoundaryDecisionDetail"] == {"AllowedByPermissionsBoundary": False}
    assert (inside["EvalDecision"], outside["EvalDecision"]) == ("allowed", "implicitDeny")


def test_results_come_in_pages(aws: FakeAws) -> None:
    """As many as were asked for; a principal that does not exist is refused."""
    arn = role(aws, {"Action": "*", "Resource": "*"})
    iam = aws.session().client("iam")
    names = [f"s3:Get{n}" for n in range(5)]
    pages = list(
        iam.get_paginator("simulate_principal_policy").paginate(
            PolicySourceArn=arn, ActionNames=names, PaginationConfig={"PageSize": 2}
        )
    )
    assert [len(page["EvaluationResults"]) for page in pages] == [2, 2, 1]
    with pytest.raises(ClientError, match="NoSuchEntity"):
        iam.simulate_principal_policy(PolicySourceArn=f"{arn}-2", ActionNames=names)
    assert [call.mutating for call in aws.calls if "Simulate" in call.operation] == [False] * 4


def test_who_calls_can_be_said(aws: FakeAws) -> None:
    """Moto's own user, unless somebody else is meant."""
    sts = aws.session().client("sts")
    assert sts.get_caller_identity()["Arn"].endswith(":user/moto")
    aws.identity.arn = f"arn:aws:sts::{aws.account}:assumed-role/web/ann"
    assert sts.get_caller_identity()["Arn"] == aws.identity.arn
    assert sts.get_caller_identity()["Account"] == aws.account


def test_a_dry_run_changes_nothing(aws: FakeAws) -> None:
    """EC2 says that it would have, or that it is denied (EC2 API, common parameters); it counts as no change."""
    world = World.standard(aws, instances=1)
    ec2, before = aws.session().client("ec2"), aws.instances()
    named: dict[str, Any] = {"ImageId": world.image, "MinCount": 1, "MaxCount": 1, "DryRun": True}
    with pytest.raises(ClientError, match="DryRunOperation"):
        ec2.run_instances(**named)
    with pytest.raises(ClientError, match="DryRunOperation"):
        ec2.create_vpc(CidrBlock="10.0.0.0/16", DryRun=True)
    aws.faults.deny("ec2:RunInstances")
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        ec2.run_instances(**named)
    assert aws.instances() == before
    assert [call.mutating for call in aws.calls] == [False] * 3


def test_quotas(aws: FakeAws) -> None:
    """Those of EC2 by their codes, those of load balancers by their names."""
    quotas = aws.session().client("service-quotas")
    asked = {"ServiceCode": "ec2", "QuotaCode": "L-1216C47A"}
    assert quotas.get_service_quota(**asked)["Quota"]["Value"] == 5_000
    aws.quotas.values["L-1216C47A"] = 5
    assert quotas.get_service_quota(**asked)["Quota"]["Value"] == 5
    with pytest.raises(ClientError, match="NoSuchResourceException"):
        quotas.get_service_quota(ServiceCode="ec2", QuotaCode="L-0")
    limits = aws.session().client("elbv2").describe_account_limits()["Limits"]
    assert {"Name": "targets-per-application-load-balancer", "Max": "1000"} in limits


def test_addresses_of_a_subnet(aws: FakeAws) -> None:
    """AWS keeps five; each instance has one."""
    world = World.standard(aws, instances=1)
    ec2 = world.client("ec2")
    subnet = ec2.create_subnet(VpcId=world.vpc, CidrBlock="172.31.240.0/28")["Subnet"]["SubnetId"]

    def free() -> int:
        return int(ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["AvailableIpAddressCount"])

    assert free() == 11
    made = ec2.run_instances(ImageId=world.image, MinCount=3, MaxCount=3, SubnetId=subnet)["Instances"]
    assert free() == 8
    ec2.terminate_instances(InstanceIds=[one["InstanceId"] for one in made])
    aws.clock.sleep(300)
    assert free() == 11


def test_what_instances_show_of_their_type(aws: FakeAws) -> None:
    """Cores and threads, the instance profile, and whether they are spot."""
    world = World.standard(aws, instances=1)
    ec2 = world.client("ec2")
    launch: dict[str, Any] = {"ImageId": world.image, "MinCount": 1, "MaxCount": 1}
    more = {"IamInstanceProfile": {"Name": "web"}, "InstanceMarketOptions": {"MarketType": "spot"}}
    ec2.run_instances(**launch, InstanceType="m7g.4xlarge", **more)
    shown = [one for row in ec2.describe_instances()["Reservations"] for one in row["Instances"]]
    big = next(one for one in shown if one["InstanceType"] == "m7g.4xlarge")
    assert big["CpuOptions"] == {"CoreCount": 8, "ThreadsPerCore": 2}
    assert (big["InstanceLifecycle"], big["IamInstanceProfile"]["Arn"].rpartition(":")[2]) == (
        "spot",
        "instance-profile/web",
    )
    small = next(one for one in shown if one["InstanceType"] == "t3.micro")
    assert small["CpuOptions"] == {"CoreCount": 1, "ThreadsPerCore": 2}
    assert {"InstanceLifecycle", "IamInstanceProfile"}.isdisjoint(small)


def test_a_table_says_whether_it_can_be_restored_and_forgets(aws: FakeAws) -> None:
    """Neither, until somebody says so."""
    table, key = aws.session().client("dynamodb"), {"AttributeName": "pk"}
    table.create_table(
        TableName="bluegreen",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{**key, "AttributeType": "S"}],
        KeySchema=[{**key, "KeyType": "HASH"}],
    )

    def said() -> tuple[str, str]:
        backups = table.describe_continuous_backups(TableName="bluegreen")["ContinuousBackupsDescription"]
        living = table.describe_time_to_live(TableName="bluegreen")["TimeToLiveDescription"]
        return backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"], living["TimeToLiveStatus"]

    assert said() == ("DISABLED", "DISABLED")
    table.update_continuous_backups(
        TableName="bluegreen", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )
    specified = {"AttributeName": "ttl", "Enabled": True}
    table.update_time_to_live(TableName="bluegreen", TimeToLiveSpecification=specified)
    assert said() == ("ENABLED", "ENABLED")


def test_ssm_remembers_an_agent(aws: FakeAws) -> None:
    """An instance that is stopped stays listed, as ConnectionLost; one that was never heard is not."""
    world = World.standard(aws, instances=1)
    ec2, ssm = world.client("ec2"), world.client("ssm")
    named = {"InstanceIds": [world.builder]}

    def agents() -> list[str]:
        rows = ssm.describe_instance_information(Filters=[{"Key": "InstanceIds", "Values": [world.builder]}])
        return [one["PingStatus"] for one in rows["InstanceInformationList"]]

    assert agents() == []
    ec2.start_instances(**named)
    aws.clock.sleep(120)
    assert agents() == ["Online"]
    ec2.stop_instances(**named)
    assert agents() == ["ConnectionLost"]
