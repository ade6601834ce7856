"""S3: buckets of this account, and objects in them; asked as any client asks, by path or by host.

A presigned URL is judged by its time alone: the lab holds no keys to judge its signature by.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlsplit
from xml.sax.saxutils import escape

from lab.aws.wire import Answer, Incoming, place_in_s3


@dataclass
class StoredBucket:
    """One bucket."""

    region: str
    objects: dict[str, bytes] = field(default_factory=dict)


class Buckets:
    """The account's buckets; others' are refused as S3 does."""

    def __init__(self, region: str, account: str, now: Callable[[], float]) -> None:
        """Begin with none; `now`: epoch seconds."""
        self._region, self._account, self._now = region, account, now
        self.buckets: dict[str, StoredBucket] = {}

    def answer(self, request: Incoming) -> Answer:
        """One answer; to HEAD without a body."""
        answer = self._answer(request)
        return replace(answer, body=b"") if request.written.method == "HEAD" else answer

    def _answer(self, request: Incoming) -> Answer:
        asked = request.written
        name, key = place_in_s3(asked.url, asked.headers.get("host", ""))
        if request.operation == "CreateBucket":
            said = re.search(rb"<LocationConstraint>([^<]+)<", asked.body)
            self.buckets[name] = StoredBucket(said[1].decode() if said else self._region)
            return Answer(200, {}, b"")
        bucket = self.buckets.get(name)
        if bucket is None:
            return _error(404, "NoSuchBucket", "The specified bucket does not exist")
        owner = asked.headers.get("x-amz-expected-bucket-owner", self._account)
        if owner != self._account or self._is_late(asked.url):
            return _error(403, "AccessDenied", "Access Denied")
        if request.operation == "HeadBucket":
            return Answer(200, {"x-amz-bucket-region": bucket.region}, b"")
        return self._object(request, bucket, key)

    def _object(self, request: Incoming, bucket: StoredBucket, key: str) -> Answer:
        match request.operation:
            case "PutObject":
                bucket.objects[key] = request.written.body
                return Answer(
                    200, {"ETag": f'"{hashlib.md5(request.written.body, usedforsecurity=False).hexdigest()}"'}, b""
                )
            case "DeleteObject":
                bucket.objects.pop(key, None)
                return Answer(204, {}, b"")
            case "GetObject" if key in bucket.objects:
                return Answer(200, {"Content-Type": "application/octet-stream"}, bucket.objects[key])
            case "GetObject":
                return _error(404, "NoSuchKey", "The specified key does not exist.")
        return _error(501, "NotImplemented", f"The lab does not know {request.name}")

    def _is_late(self, url: str) -> bool:
        """Whether it was presigned for a time that is over."""
        said = dict(parse_qsl(urlsplit(url).query))
        if "X-Amz-Expires" not in said:
            return False
        signed = datetime.strptime(said["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
        return self._now() > signed + float(said["X-Amz-Expires"])


def _error(status: int, code: str, message: str) -> Answer:
    body = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    return Answer(status, {"Content-Type": "application/xml"}, body.encode())
