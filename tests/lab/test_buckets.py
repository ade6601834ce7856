"""The lab's S3: by both ways in, with what S3 refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
import urllib3
from botocore.config import Config
from botocore.exceptions import ClientError

from lab.aws import FakeAws
from lab.clock import RealClock

KEY = "bluegreen/web/größe.tar.gz"
HERE = "ap-northeast-2"


SIGNED = Config(signature_version="s3v4")


def by_http(fake: FakeAws) -> Any:  # boto3's client
    """Somebody else's client."""
    return boto3.Session("a", "b", region_name=HERE).client("s3", endpoint_url=fake.serve(), config=SIGNED)


@pytest.fixture(name="asked", params=["in process", "by HTTP"])
def both_ways(request: pytest.FixtureRequest) -> Iterator[tuple[FakeAws, Any]]:
    """The lab, and a client of it."""
    fake = FakeAws(RealClock())
    client = fake.session().client("s3", config=SIGNED) if request.param == "in process" else by_http(fake)
    client.create_bucket(Bucket="web-sources", CreateBucketConfiguration={"LocationConstraint": HERE})
    yield fake, client
    fake.close()


def refused(call: Any, **asked: Any) -> str:
    """The code of the refusal."""
    with pytest.raises(ClientError) as told:
        call(**asked)
    return str(told.value.response["Error"]["Code"])


def test_what_was_put_is_there_until_it_is_deleted(asked: tuple[FakeAws, Any]) -> None:
    """Whatever the key is made of; deleting twice is no error."""
    fake, client = asked
    there = {"Bucket": "web-sources", "Key": KEY}
    client.put_object(**there, Body=b"one", ExpectedBucketOwner=fake.account)
    assert client.get_object(**there)["Body"].read() == b"one"
    assert list(fake.buckets.buckets["web-sources"].objects) == [KEY]
    client.delete_object(**there)
    client.delete_object(**there)
    assert refused(client.get_object, **there) == "NoSuchKey"


def test_a_bucket_says_its_region_and_refuses_strangers(asked: tuple[FakeAws, Any]) -> None:
    """HeadBucket has no body, so its codes are the statuses."""
    fake, client = asked
    assert client.head_bucket(Bucket="web-sources")["BucketRegion"] == HERE
    assert refused(client.head_bucket, Bucket="web-nothing") == "404"
    assert refused(client.head_bucket, Bucket="web-sources", ExpectedBucketOwner="1" * 12) == "403"
    stranger = {"Key": KEY, "Body": b"", "ExpectedBucketOwner": "1" * 12}
    assert refused(client.put_object, Bucket="web-sources", **stranger) == "AccessDenied"
    assert refused(client.put_object, Bucket="web-nothing", Key=KEY, Body=b"") == "NoSuchBucket"
    assert refused(client.copy_object, Bucket="web-nothing", Key=KEY, CopySource="a/b") in ("NoSuchBucket", "501")
    assert fake.account not in ("", "1" * 12)


@pytest.mark.parametrize(("seconds", "status"), [(60, 200), (-60, 403)])
def test_a_presigned_url_is_good_for_its_time(seconds: int, status: int) -> None:
    """For whoever holds it."""
    fake = FakeAws(RealClock())
    client = by_http(fake)
    client.create_bucket(Bucket="web-sources", CreateBucketConfiguration={"LocationConstraint": HERE})
    there = {"Bucket": "web-sources", "Key": KEY}
    client.put_object(**there, Body=b"one")
    url = client.generate_presigned_url("get_object", Params=there, ExpiresIn=seconds)
    assert urllib3.request("GET", url, retries=False).status == status
    fake.close()
