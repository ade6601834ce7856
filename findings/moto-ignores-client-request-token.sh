#!/usr/bin/env bash
# moto 5.2.5 ignores TransactWriteItems' ClientRequestToken. Sent again (as an SDK does when an answer was lost), the
# same transaction is done a second time, or cancelled because its own first time fulfilled the condition; DynamoDB
# answers 200 and does nothing, and refuses other items under the same token with IdempotentParameterMismatchException.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'moto[dynamodb]==5.2.5' boto3==1.44.8
AWS_ACCESS_KEY_ID=key AWS_SECRET_ACCESS_KEY=secret "$folder/venv/bin/python" - <<'PYTHON'
import boto3, moto
from botocore.exceptions import ClientError

print(f"moto {moto.__version__}, boto3 {boto3.__version__}")
with moto.mock_aws():
    db = boto3.client("dynamodb", region_name="eu-west-1")
    db.create_table(
        TableName="table",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )

    def transact(pk, **more):
        put = {"TableName": "table", "Item": {"pk": {"S": pk}}, **more}
        try:
            db.transact_write_items(TransactItems=[{"Put": put}], ClientRequestToken="one")
        except ClientError as error:
            return error.response["Error"]["Code"]
        return "done"

    new = {"ConditionExpression": "attribute_not_exists(pk)"}
    seen = {"first": transact("a", **new), "the same again": transact("a", **new), "other items": transact("b")}
for what, said in seen.items():
    print(f"{what}: {said}")
expected = {"first": "done", "the same again": "TransactionCanceledException", "other items": "done"}
raise SystemExit(0 if seen == expected else f"this has changed: it was {expected}")
PYTHON
