"""boto3 clients that are answered in this process: botocore checks, tells its hooks, retries; nothing is sent."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from email.utils import formatdate
from functools import cache, lru_cache, partial
from itertools import count
from typing import Any
from urllib.parse import urlencode

import boto3
import botocore.session
from botocore import UNSIGNED
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.endpoint import Endpoint, convert_to_response_dict
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError
from botocore.hooks import first_non_none_response
from botocore.parsers import ResponseParserFactory
from botocore.retries import standard
from botocore.utils import parse_timestamp

from lab.aws.direct import Params, Reader, UnsureError, parameters
from lab.aws.faults import LostAnswer, Swallowed
from lab.aws.wire import REQUEST_ID, Answer, Incoming, Written
from lab.clock import Clock

Answers = Callable[[Incoming, bool], Answer]

_models: dict[tuple[str, str, str], Any] = {}
"""Clients cost some 30 ms to make; they are made once a process and then copied, which costs microseconds."""


class Body(io.BytesIO):
    """An answer's body as botocore reads it from a socket."""

    def stream(self, **_: object) -> Iterator[bytes]:
        """All of it at once."""
        yield self.read()


class Response(AWSResponse):
    """One answer; `said`: what is to be read in it, or None when its body is to be parsed."""

    def __init__(self, url: str, headers: Any, answer: Answer) -> None:
        """Take the answer with these headers."""
        super().__init__(url, answer.status, headers, Body(answer.body))
        self.said: Params | None = answer.read


@dataclass(frozen=True)
class Sending:
    """What hooks see before a request is sent; `send` sends it, independent of their answer."""

    url: str
    send: Callable[[], AWSResponse]


class Nobody:
    """A user agent's name: nobody reads it here, and botocore composes it again for each call."""

    def to_string(self) -> str:
        """What would be sent."""
        return "lab"


class Asking:
    """How a client asks in this process: as botocore does, without what only a server needs.

    `patience` is the read timeout, in seconds. Waits between retries are the lab's time.
    """

    def __init__(
        self, client: Any, region: str, patience: float, answers: Answers, clock: Clock, recorded: bool
    ) -> None:
        """Say who answers this client."""
        self._client, self._model = client, client.meta.service_model
        self._events = vars(client.meta.events)["_emitter"]  # under the aliases that botocore looks up each time
        self._name, self._service = self._model.service_id.hyphenize(), str(self._model.service_name)
        self._region, self._patience, self._recorded = region, patience, recorded
        self._answers, self._clock, self._url = answers, clock, client.meta.endpoint_url

    def call(self, operation: str, params: Params) -> Params:
        """What the client returns, in place of botocore's `_make_api_call`, or the same exception."""
        model, context = self._model.operation_model(operation), dict[str, Any]()
        given = self._emit("provide-client-params", operation, params=params, model=model, context=context)
        params = params if given is None else given
        self._emit("before-parameter-build", operation, params=params, model=model, context=context)
        asked = self._incoming(model, params)
        written = {"headers": {}, "context": context}
        read = self._emit("before-call", operation, model=model, params=written, request_signer=None, context=context)
        response, said = read or self._answered(asked, model, written)
        self._emit("after-call", operation, http_response=response, parsed=said, model=model, context=context)
        if response.status_code >= 300:
            raise self._client.exceptions.from_code(said.get("Error", {}).get("Code"))(said, operation)
        return said

    def _incoming(self, model: Any, params: Params) -> Incoming:
        def write() -> Written:
            url = self._url if self._service != "s3" else self._client._resolve_endpoint_ruleset(model, params, {})[0]
            made = self._client._convert_to_request_dict(params, model, url)
            body = made["body"]
            body = body.read() if hasattr(body, "read") else body
            sent = urlencode(body) if isinstance(body, dict) else body or b""
            headers = {name.lower(): str(value) for name, value in made["headers"].items()}
            return Written(made["method"], made["url"], headers, sent.encode() if isinstance(sent, str) else sent)

        direct = _direct(self._service, model, params)
        written = write() if direct is None else None
        return Incoming(self._service, model.name, self._region, lambda: written or write(), direct)

    def _answered(self, asked: Incoming, model: Any, written: Params) -> tuple[AWSResponse, Params]:
        """With as many tries as the client makes."""
        for tries in count(1):
            response, error = self._tried(asked, model)
            if response and response[0].status_code < 300:  # botocore would ask about a success, too
                break
            about = {"caught_exception": error, "request_dict": written, "endpoint": None, "attempts": tries}
            seconds = self._emit("needs-retry", model.name, response=response, operation=model, **about)
            if seconds is None or seconds is False:
                break
            self._clock.late(float(seconds))
        if error is not None:
            self._emit("after-call-error", model.name, exception=error, context=written["context"])
            raise error
        assert response is not None
        response[1]["ResponseMetadata"]["RetryAttempts"] = tries - 1
        return response

    def _tried(self, asked: Incoming, model: Any) -> tuple[tuple[AWSResponse, Params] | None, Exception | None]:
        try:
            sending = Sending(self._url, partial(self._send, asked))
            response = self._emit("before-send", model.name, request=sending) or self._send(asked)
            return self._read(response, model), None
        except Exception as error:
            return None, error

    def _send(self, asked: Incoming) -> AWSResponse:
        try:
            answer = self._answers(asked, self._recorded)
        except LostAnswer:
            raise ConnectionClosedError(endpoint_url=self._url) from None
        except Swallowed:
            self._clock.late(self._patience)
            raise ReadTimeoutError(endpoint_url=self._url) from None
        return Response(self._url, {**answer.headers, "date": formatdate(self._clock.now(), usegmt=True)}, answer)

    def _read(self, response: AWSResponse, model: Any) -> tuple[AWSResponse, Params]:
        """What is to be read in an answer; one that says it is not parsed."""
        said = response.said if isinstance(response, Response) else None
        if said is None:
            return response, _parsed(response, model)
        meta = {"RequestId": REQUEST_ID, "HTTPStatusCode": response.status_code, "HTTPHeaders": dict(response.headers)}
        return response, {**said, "ResponseMetadata": meta}

    def _emit(self, event: str, to: str, /, **facts: Any) -> Any:
        answers = self._events.emit(f"{event}.{self._name}.{to}", **facts)
        return first_non_none_response(answers) if answers else None


def _direct(service: str, model: Any, params: Params) -> Params | None:
    """The parameters, if they need no writing. S3 has them in path and headers."""
    if service == "s3":
        return None
    with suppress(UnsureError):
        return dict(_reader(service, model)(params))
    return None


@cache
def _reader(service: str, model: Any) -> Reader:
    shape = model.input_shape
    if shape is None:
        return lambda params: {}
    return parameters(shape, keeps_empty=model.service_model.resolved_protocol == "json")


def _parsed(response: AWSResponse, model: Any) -> Params:
    told: Any = convert_to_response_dict(response, model)
    parser: Any = _parsers().create_parser(model.service_model.resolved_protocol)
    parsed: Params = parser.parse(told, model.output_shape)
    if response.status_code >= 300:
        kind: Any = Endpoint
        kind._add_modeled_error_fields(None, told, parsed, model, parser)
    return parsed


class FakeSession(boto3.Session):
    """A boto3 session on the fake AWS."""

    def __init__(self, answers: Answers, clock: Clock, region: str, recorded: bool) -> None:
        """Be somebody with keys that mean nothing."""
        self.__dict__.update(vars(_maker()))  # not super(): it would add its handlers to botocore's session each time
        self._how = (answers, clock, recorded)
        self._region = region

    @property
    def region_name(self) -> str:
        """The region that clients are made for unless told."""
        return self._region

    def client(  # type: ignore[override]  # boto3-stubs have an overload a service
        self, service_name: str, region_name: str | None = None, **options: Any
    ) -> Any:
        """A client; only `config` of the other options means something here."""
        region, config = region_name or self._region, options.get("config")
        key = (service_name, region, repr(sorted(vars(config).items())) if config else "")
        if key not in _models:
            _models[key] = self._model(service_name, region, config)
        return self._copy(_models[key], service_name, region)

    def _model(self, service: str, region: str, config: Config | None) -> Any:
        # AWS_ENDPOINT_URL may be set for others in this process; this client has nothing to do with it
        kind: Any = Config  # whose stubs do not know this option
        mine = kind(ignore_configured_endpoint_urls=True, signature_version=UNSIGNED)
        maker: Any = _maker()
        made = maker.client(service, region_name=region, config=mine.merge(config) if config else mine)
        _forget_others(made)
        return made

    def _copy(self, model: Any, service: str, region: str) -> Any:
        client: Any = object.__new__(type(model))  # copy.copy would ask it for attributes before it has any
        client.__dict__.update(vars(model))
        client.meta = copy.copy(model.meta)
        client.meta.events = copy.copy(model.meta.events)
        vars(client.meta.events).update(_alias_name_cache=vars(model.meta.events)["_alias_name_cache"])
        vars(client).update(_endpoint=None, _cache={}, _user_agent_creator=Nobody())
        asking = Asking(client, region, float(client.meta.config.read_timeout), *self._how)
        vars(client)["_make_api_call"] = asking.call
        _renew_retries(client)
        return client


def _renew_retries(client: Any) -> None:
    """Standard retries draw on a quota that belongs to one client; a copy gets its own."""
    retries = client.meta.config.retries or {}
    if retries.get("mode") != "standard":
        return
    service = client.meta.service_model.service_id.hyphenize()
    client.meta.events.unregister(f"needs-retry.{service}", unique_id=f"retry-config-{service}")
    standard.register_retry_handler(client, retries.get("total_max_attempts", standard.DEFAULT_MAX_ATTEMPTS))


def _forget_others(client: Any) -> None:
    """Botocore gives every client its handlers for every service's events; each copy would copy them all."""
    emitter = vars(client.meta.events)["_emitter"]
    service = client.meta.service_model.service_id.hyphenize()
    events = vars(emitter._handlers)["_root"]["children"]
    del events["docs"], events["creating-client-class"]
    events["before-call"]["values"] = None  # headers that only a server would read
    for event in events.values():
        event["children"] = {name: one for name, one in (event["children"] or {}).items() if name == service}
    vars(emitter).update(_lookup_cache={}, _verify_accept_kwargs=_trusted)


def _trusted(_: object) -> None:
    """Botocore looks at the signature of each hook: a tenth of a world's time."""


@lru_cache(maxsize=4096)
def _timestamp(text: str) -> datetime:
    """As botocore reads it; most times are told again and again."""
    moment: datetime = parse_timestamp(text)
    return moment


@lru_cache
def _parsers() -> Any:  # whose stubs do not know the defaults
    """Makers of what reads answers."""
    made: Any = ResponseParserFactory()
    made.set_parser_defaults(timestamp_parser=_timestamp)
    return made


@lru_cache
def _maker() -> boto3.Session:
    """The one session that makes clients; it keeps loaded models, and nothing of any world."""
    return boto3.Session("LAB", "lab", region_name="us-east-1", botocore_session=botocore.session.Session())
