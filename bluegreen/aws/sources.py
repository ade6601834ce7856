"""The packed source of a commit in S3: put there when a release begins, read by the builder, removed after the bake."""

from __future__ import annotations

from typing import IO

from botocore.exceptions import ClientError

from bluegreen.aws.calls import Calls
from bluegreen.aws_errors import code
from bluegreen.config import Config
from bluegreen.errors import ConfigError
from bluegreen.events import Made
from bluegreen.release import Release

#: Seconds for which the builder can read it: what a session of a role gives at least, wherever that came from.
READABLE = 3600
WHERE = "image.builder.source.bucket"


def put(calls: Calls, config: Config, key: str, packed: IO[bytes]) -> None:
    """Put the archive there (S3 API, PutObject). ConfigError when the bucket is missing, elsewhere, or another's."""
    must_be_here(calls, config)
    calls.s3.put_object(Bucket=_bucket(config), Key=key, Body=packed, ExpectedBucketOwner=calls.account[0])


def must_be_here(calls: Calls, config: Config) -> None:
    """ConfigError otherwise: a presigned URL is good in one region, and the source is for nobody else's bucket."""
    bucket = _bucket(config)
    account, region = calls.account
    try:
        shown = calls.s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=account)
    except ClientError as error:
        # HeadBucket has no body, so the code is the HTTP status (S3 API, HeadBucket).
        if code(error) in ("404", "NoSuchBucket"):
            hint = "Create it, or correct the name in bluegreen.yml."
            raise ConfigError(f"there is no bucket `{bucket}`", where=WHERE, hint=hint) from None
        if code(error) in ("403", "AccessDenied"):
            what = f"the bucket `{bucket}` does not let this role in, or belongs to another account than {account}"
            raise ConfigError(
                what,
                where=WHERE,
                hint="docs/permissions.md lists what the role needs, as PackedSource and LookAtTheBucket.",
            ) from None
        raise
    there = shown.get("BucketRegion") or region
    if there != region:
        what = f"the bucket `{bucket}` is in {there}, and the service in {region}"
        raise ConfigError(what, where=WHERE, hint="Use a bucket in the same region.")


def url(calls: Calls, release: Release, config: Config) -> str:
    """A URL by which anybody can read the archive, for an hour."""
    asked = {"Bucket": _bucket(config), "Key": release.source_key}
    return str(calls.s3.generate_presigned_url("get_object", Params=asked, ExpiresIn=READABLE))


def drop(calls: Calls, release: Release, config: Config) -> Made:
    """Delete the archive (S3 API, DeleteObject: no error when it is gone)."""
    remove(calls, config, release.source_key)
    return {}


def remove(calls: Calls, config: Config, key: str) -> None:
    """Delete an archive."""
    calls.s3.delete_object(Bucket=_bucket(config), Key=key, ExpectedBucketOwner=calls.account[0])


def _bucket(config: Config) -> str:
    builder = config.image.builder
    assert builder is not None and builder.source is not None
    return builder.source.bucket
