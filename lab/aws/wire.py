"""The wire: requests as any AWS client sends them, answers as any AWS client reads them.

Both ways in, HTTP and in-process, meet in `Incoming`. What a request means and how an answer looks is read from
botocore's own model (by moto's parser), so there is no format of our own to get wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property, lru_cache
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.sax.saxutils import escape

from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import Request
from moto.core.serialize import ResponseSerializer, get_serializer_class
from moto.core.utils import get_service_model

from lab.aws import direct
from lab.aws.direct import Params, Reader

SIGNED_AS = {"elasticloadbalancing": "elbv2", "monitoring": "cloudwatch", "servicequotas": "service-quotas"}
"""Services whose name in a signature is not the one boto3 uses."""
SCOPE = re.compile(r"Credential=[^/]+/\d+/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request")
_BY_HOST = re.compile(r"(?P<bucket>[a-z0-9][a-z0-9.-]+)\.s3[.-]")
#: The method, and whether a key is named -> the operation (Amazon S3 API).
_S3_OPERATIONS = {
    ("PUT", False): "CreateBucket",
    ("HEAD", False): "HeadBucket",
    ("PUT", True): "PutObject",
    ("GET", True): "GetObject",
    ("DELETE", True): "DeleteObject",
}
READS = ("Describe", "List", "Get", "Head", "Query", "Scan", "BatchGet", "TransactGet", "Lookup", "Simulate")
REQUEST_ID = "00000000-0000-4000-8000-000000000000"


class ErrorAnswer(Exception):
    """A refusal, as AWS words it."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        """Keep the error code, the message, and the HTTP status that it travels with."""
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status = code, message, status


@dataclass(frozen=True)
class Written:
    """A request as it is sent; the names of its headers are in lower case."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Incoming:
    """One request, not yet understood further than who is asked for what.

    Who asks in this process gives the parameters as they are (`direct`), and takes what a client would read for the
    answer: writing requests and answers, and reading them again, is most of a world's time. `tests/lab/test_wire.py`
    compares both ways.
    """

    service: str
    operation: str
    region: str
    write: Callable[[], Written]
    direct: Params | None = None

    @cached_property
    def written(self) -> Written:
        """As it is sent."""
        return self.write()

    @property
    def name(self) -> str:
        """As IAM writes it: `autoscaling:CreateAutoScalingGroup`."""
        return f"{self.service}:{self.operation}"

    @property
    def mutating(self) -> bool:
        """Whether the operation, by its name, changes something."""
        return not self.operation.startswith(READS)


@dataclass(frozen=True)
class Answer:
    """One response."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    read: Params | None = None  # to a direct request: what a client would read in the body, which is empty then

    @property
    def error_code(self) -> str | None:
        """The error code inside, if it is a refusal."""
        if self.status < 400:
            return None
        found = re.search(rb'<Code>([^<]+)</Code>|"__type":\s*"(?:[^"#]*#)?([^"]+)"', self.body)
        return next((group.decode() for group in found.groups() if group), "?") if found else str(self.status)


def incoming(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    service: str | None = None,
    region: str | None = None,
) -> Incoming:
    """Understand a request as far as needed to know whom to ask; its signature tells the service."""
    lower = {key.lower(): _text(value) for key, value in headers.items()}
    if service is None and (signed := _presigned(url)):
        service, region = signed
    if service is None or region is None:
        service, region = _signed_for(lower.get("authorization", ""), _operation(lower, url, body))
    written = Written(method, url, lower, body)
    if service == "s3":
        return Incoming(service, _s3_operation(method, url, lower.get("host", "")), region, lambda: written)
    return Incoming(service, _operation(lower, url, body), region, lambda: written)


def place_in_s3(url: str, host: str = "") -> tuple[str, str]:
    """Bucket and key of a URL, by its host or by its path; "" for what it does not name."""
    parts = urlsplit(url)
    found, path = _BY_HOST.match(parts.netloc or host), unquote(parts.path).lstrip("/")
    if found:
        return found["bucket"], path
    bucket, _, key = path.partition("/")
    return bucket, key


def _s3_operation(method: str, url: str, host: str = "") -> str:
    """What is asked; "" for what the lab does not know."""
    return _S3_OPERATIONS.get((method, bool(place_in_s3(url, host)[1])), "")


def _presigned(url: str) -> tuple[str, str] | None:
    """Service and region of a URL that is signed itself."""
    scope = re.search(r"X-Amz-Credential=[^&]*%2F(?P<region>[^&]+)%2F(?P<service>[^&]+)%2Faws4_request", url)
    return (scope["service"], scope["region"]) if scope else None


def _signed_for(authorization: str, operation: str) -> tuple[str, str]:
    """Service and region of a request's signature; of all that we are asked only one call needs none."""
    scope = SCOPE.search(authorization)
    if scope is not None:
        return SIGNED_AS.get(scope["service"], scope["service"]), scope["region"]
    if operation == "AssumeRoleWithWebIdentity":  # the token is the proof (STS API)
        return "sts", "us-east-1"
    raise ErrorAnswer("MissingAuthenticationToken", "Request is missing Authentication Token", 403)


def _operation(headers: Mapping[str, str], url: str, body: bytes) -> str:
    if target := headers.get("x-amz-target"):
        return target.rpartition(".")[2]
    if found := re.search(rb"(?:^|&)Action=(\w+)", body):
        return found[1].decode()
    path, query = urlsplit(url)[2:4]  # smithy RPC: /service/<name>/operation/<operation>
    return dict(parse_qsl(query)).get("Action") or path.rpartition("/")[2]


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


@lru_cache
def _model(service: str, operation: str) -> Any:  # moto's OperationModel
    return service_model(service).operation_model(operation)


@lru_cache
def service_model(service: str) -> Any:  # moto's ServiceModel
    """A service's model: botocore's, with moto's shapes."""
    return get_service_model(service)


@cache
def _result(service: str, operation: str) -> Reader:
    shape = _model(service, operation).output_shape
    return direct.result(shape) if shape else lambda _: {}


def _protocol(request: Incoming) -> str:
    """How this request is written. A service may know several ways, and its clients choose one (CloudWatch)."""
    protocol = str(service_model(request.service).protocol)
    if protocol in PROTOCOL_PARSERS:
        return protocol
    return "json" if "x-amz-target" in request.written.headers else "query"


def parse(request: Incoming) -> Params:
    """The parameters of a request, as boto3 callers write them (timestamps naive, in UTC)."""
    if request.direct is not None:
        return request.direct
    model = _model(request.service, request.operation)
    protocol = _protocol(request)
    values = {} if protocol == "json" else dict(parse_qsl(request.written.body.decode(), keep_blank_values=True))
    raw: Any = {
        "body": request.written.body,
        "headers": {},
        "method": "POST",
        "url_params": {},
        "url_path": "/",
        "values": values,
    }
    parsed: Params = PROTOCOL_PARSERS[protocol](model).parse(raw)
    return parsed


def serialise(request: Incoming, result: Params) -> Answer:
    """What the client gets for a result. Times in it are epoch seconds."""
    if request.direct is not None:
        return Answer(200, {}, b"", _result(request.service, request.operation)(result))
    model = _model(request.service, request.operation)
    protocol, shape = _protocol(request), model.output_shape
    if protocol == "json":
        return _json(model, protocol, request, result)
    inside = _members(shape, result) if shape else ""
    name, meta = request.operation, f"<ResponseMetadata><RequestId>{REQUEST_ID}</RequestId></ResponseMetadata>"
    if protocol == "ec2":
        return _xml(200, f"<{name}Response><requestId>{REQUEST_ID}</requestId>{inside}</{name}Response>")
    return _xml(200, f"<{name}Response><{name}Result>{inside}</{name}Result>{meta}</{name}Response>")


def _json(model: Any, protocol: str, request: Incoming, result: Params) -> Answer:
    serializer: ResponseSerializer = get_serializer_class(request.service, protocol)(operation_model=model)
    done = serializer.serialize(result)
    body = done["body"]
    return Answer(done["status_code"], dict(done["headers"]), body if isinstance(body, bytes) else body.encode())


def _members(shape: Any, values: Params) -> str:
    """A structure's members as XML; what the model does not know is left out. Much faster than moto's."""
    known = shape.members
    return "".join(
        _element(known[key], key, value) for key, value in values.items() if key in known and value is not None
    )


def _element(shape: Any, key: str, value: Any) -> str:
    name = shape.serialization.get("name", key)
    if shape.type_name != "list":
        return f"<{name}>{_content(shape, value)}</{name}>"
    item = shape.member.serialization.get("name", "member")
    return f"<{name}>" + "".join(f"<{item}>{_content(shape.member, one)}</{item}>" for one in value) + f"</{name}>"


def _content(shape: Any, value: Any) -> str:
    kind = shape.type_name
    if kind == "structure":
        return _members(shape, value)
    if kind == "map":
        inside = (f"<entry><key>{escape(k)}</key><value>{escape(str(v))}</value></entry>" for k, v in value.items())
        return "".join(inside)
    if kind == "boolean":
        return "true" if value else "false"
    if kind == "timestamp":
        return datetime.fromtimestamp(float(value), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return escape(str(value))


def as_read(request: Incoming, answer: Answer) -> Answer:
    """An answer in JSON whose values are all of types that JSON has."""
    if request.direct is None or answer.status != 200:
        return answer
    return Answer(200, answer.headers, b"", json.loads(answer.body))


def refuse(request: Incoming, error: ErrorAnswer) -> Answer:
    """What the client gets for a refusal, in the service's own format."""
    code, message = escape(error.code), escape(error.message)
    if request.service == "ec2":
        text = f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
        return _xml(error.status, f"{text}<RequestID>{REQUEST_ID}</RequestID></Response>")
    if _protocol(request) == "query":
        text = f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
        return _xml(error.status, f"{text}<RequestId>{REQUEST_ID}</RequestId></ErrorResponse>")
    body = json.dumps({"__type": error.code, "message": error.message}).encode()
    headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-ErrorType": error.code}
    return Answer(error.status, headers, body)


def _xml(status: int, text: str) -> Answer:
    return Answer(status, {"Content-Type": "text/xml"}, text.encode())


def for_moto(request: Incoming, account: str) -> Request:
    """The request as moto wants it: at AWS's own address, in the account that is ours alone."""
    prefix = service_model(request.service).endpoint_prefix
    sent = request.written
    url = f"https://{prefix}.{request.region}.amazonaws.com{urlsplit(sent.url).path or '/'}"
    return Request.from_primitives(sent.method, url, {**sent.headers, "x-moto-account-id": account}, sent.body)
