#!/usr/bin/env bash
# moto 5.2.5 and MiniStack 1.5.33 report CREATE_COMPLETE for stacks and silently leave properties out: both the table's
# TimeToLiveSpecification and PointInTimeRecoverySpecification and the bucket's LifecycleConfiguration, moto also the
# role's ManagedPolicyArns. A test that only reads the stack's status does not see it.
set -euo pipefail
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$folder"' EXIT
for name in moto ministack; do python3 -m venv "$folder/$name"; done
pip=(bin/pip install --quiet --disable-pip-version-check)
"$folder/moto/${pip[0]}" "${pip[@]:1}" 'moto[cloudformation,dynamodb,iam,s3]==5.2.5' boto3==1.44.8
"$folder/ministack/${pip[0]}" "${pip[@]:1}" ministack==1.5.33
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
BIND_HOST=127.0.0.1 GATEWAY_PORT=$port "$folder/ministack/bin/ministack" >/dev/null 2>&1 &
server=$!
for _ in $(seq 100); do (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break || sleep 0.1; done
AWS_ACCESS_KEY_ID=000000000001 AWS_SECRET_ACCESS_KEY=secret "$folder/moto/bin/python" - "http://127.0.0.1:$port" <<'PYTHON'
import json, sys, time
import boto3, moto
from botocore.exceptions import ClientError

POLICY = "arn:aws:iam::aws:policy/ReadOnlyAccess"
TRUST = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
TABLE = {
    "TableName": "table",
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
    "TimeToLiveSpecification": {"AttributeName": "ttl", "Enabled": True},
    "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
}
RULE = {"Id": "old", "Status": "Enabled", "ExpirationInDays": 3}
BODY = {
    "Resources": {
        "Table": {"Type": "AWS::DynamoDB::Table", "Properties": TABLE},
        "Role": {
            "Type": "AWS::IAM::Role",
            "Properties": {"RoleName": "role", "AssumeRolePolicyDocument": TRUST, "ManagedPolicyArns": [POLICY]},
        },
        "Bucket": {
            "Type": "AWS::S3::Bucket",
            "Properties": {"BucketName": "a-bucket", "LifecycleConfiguration": {"Rules": [RULE]}},
        },
    }
}


def lifecycle(client):
    try:
        return bool(client("s3").get_bucket_lifecycle_configuration(Bucket="a-bucket")["Rules"])
    except ClientError:
        return False


def kept(client):
    cloud, db = client("cloudformation"), client("dynamodb")
    cloud.create_stack(StackName="stack", TemplateBody=json.dumps(BODY), Capabilities=["CAPABILITY_NAMED_IAM"])
    while (status := cloud.describe_stacks(StackName="stack")["Stacks"][0]["StackStatus"]).endswith("PROGRESS"):
        time.sleep(0.1)
    backups = db.describe_continuous_backups(TableName="table")["ContinuousBackupsDescription"]
    return status, {
        "TimeToLive": db.describe_time_to_live(TableName="table")["TimeToLiveDescription"]["TimeToLiveStatus"] != "DISABLED",
        "PointInTimeRecovery": backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] != "DISABLED",
        "ManagedPolicyArns": bool(client("iam").list_attached_role_policies(RoleName="role")["AttachedPolicies"]),
        "LifecycleConfiguration": lifecycle(client),
    }


with moto.mock_aws():
    mine = kept(lambda service: boto3.client(service, region_name="eu-west-1"))
theirs = kept(lambda service: boto3.client(service, region_name="eu-west-1", endpoint_url=sys.argv[1]))
print("moto 5.2.5", *mine)
print("MiniStack 1.5.33", *theirs)
lost = {"TimeToLive": False, "PointInTimeRecovery": False, "LifecycleConfiguration": False}
expected = [("CREATE_COMPLETE", {**lost, "ManagedPolicyArns": more}) for more in (False, True)]
raise SystemExit(0 if [mine, theirs] == expected else "this has changed")
PYTHON
