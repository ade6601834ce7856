#!/usr/bin/env bash
# moto 5.2.5 gives a number back in the text in which it came. DynamoDB trims it: 1.0, 1E2 and -0 come back as 1, 100
# and 0, so whoever tells whole numbers from others by their text sees another type on AWS than in the tests.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'moto[dynamodb]==5.2.5' boto3==1.44.8
AWS_ACCESS_KEY_ID=key AWS_SECRET_ACCESS_KEY=secret "$folder/venv/bin/python" - <<'PYTHON'
import boto3, moto

print(f"moto {moto.__version__}, boto3 {boto3.__version__}")
with moto.mock_aws():
    db = boto3.client("dynamodb", region_name="eu-west-1")
    db.create_table(
        TableName="table",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    seen = {}
    for text in ("1.0", "1E2", "-0"):
        db.put_item(TableName="table", Item={"pk": {"S": "a"}, "n": {"N": text}})
        seen[text] = db.get_item(TableName="table", Key={"pk": {"S": "a"}})["Item"]["n"]["N"]
for wrote, read in seen.items():
    print(f"{wrote} comes back as {read}")
raise SystemExit(0 if all(wrote == read for wrote, read in seen.items()) else "this has changed")
PYTHON
