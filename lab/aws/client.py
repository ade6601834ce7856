"""boto3 clients that are answered in this process: everything of botocore is at work but signature and socket."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from email.utils import formatdate
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

import boto3
import botocore.session
from botocore import UNSIGNED
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config
from botocore.endpoint import Endpoint, convert_to_response_dict
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError
from botocore.hooks import first_non_none_response
from botocore.parsers import ResponseParserFactory
from botocore.retries import standard
from botocore.utils import parse_timestamp

from lab.aws.faults import LostAnswer, Swallowed
from lab.aws.wire import REQUEST_ID, Answer, Incoming, Params, incoming
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


class NoSession:
    """No HTTP at all: whatever would use it fails."""


class Nobody:
    """A user agent's name: nobody reads it here, and botocore composes it anew for each call."""

    def to_string(self) -> str:
        """What would be sent."""
        return "lab"


class PretendEndpoint(Endpoint):
    """Where requests leave botocore: straight into the pretend AWS. Waits between retries are the lab's time."""

    def attach(
        self, service: str, region: str, patience: float, answers: Answers, clock: Clock, recorded: bool
    ) -> None:
        """Say who answers; `patience` is the read timeout, in seconds."""
        self._service, self._region, self._patience, self._recorded = service, region, patience, recorded
        self._answers, self._clock = answers, clock

    def create_request(self, params: Any, operation_model: object = None) -> AWSPreparedRequest:
        """As in botocore, without what only a server needs."""
        body = params["body"]
        sent: Any = urlencode(body) if isinstance(body, dict) else body
        return AWSPreparedRequest(params["method"], params["url"], params["headers"], sent, stream_output=False)

    def _do_get_response(self, request: Any, operation_model: Any, context: Any) -> Any:
        """As in botocore, without what only a server needs; an answer that says what is to be read is not parsed."""
        service = operation_model.service_model.service_id.hyphenize()
        try:
            instead = self._emit(f"before-send.{service}.{operation_model.name}", request=request)
            response = first_non_none_response(instead) or self._send(request)
        except Exception as error:
            return None, error
        read = response.said if isinstance(response, Response) else None
        if read is None:
            return self._parsed(response, operation_model), None
        meta = {"RequestId": REQUEST_ID, "HTTPStatusCode": response.status_code, "HTTPHeaders": dict(response.headers)}
        return (response, {**read, "ResponseMetadata": meta}), None

    def _get_response(self, request: Any, operation_model: Any, context: Any) -> Any:
        """Nobody hears of `response-received` here."""
        return self._do_get_response(request, operation_model, context)

    def _parsed(self, response: AWSResponse, operation_model: Any) -> tuple[AWSResponse, Any]:
        told: Any = convert_to_response_dict(response, operation_model)
        parser: Any = _parsers().create_parser(operation_model.service_model.resolved_protocol)
        parsed = parser.parse(told, operation_model.output_shape)
        if response.status_code >= 300:
            kind: Any = Endpoint
            kind._add_modeled_error_fields(self, told, parsed, operation_model, parser)
        return response, parsed

    def _send(self, request: AWSPreparedRequest) -> AWSResponse:
        body: Any = request.body or b""
        body = body.encode() if isinstance(body, str) else bytes(body)
        headers: Any = request.headers
        asked = incoming(str(request.method), str(request.url), headers, body, self._service, self._region)
        try:
            answer = self._answers(replace(asked, direct=True), self._recorded)
        except LostAnswer:
            raise ConnectionClosedError(endpoint_url=request.url) from None
        except Swallowed:
            self._clock.late(self._patience)
            raise ReadTimeoutError(endpoint_url=request.url) from None
        told: Any = {**answer.headers, "date": formatdate(self._clock.now(), usegmt=True)}
        return Response(str(request.url), told, answer)

    def _emit(self, event: str, **facts: Any) -> Any:
        emitter: Any = vars(self)["_event_emitter"]
        return emitter.emit(event, **facts)

    def _needs_retry(
        self, attempts: int, operation_model: Any, request_dict: Any, response: Any = None, caught_exception: Any = None
    ) -> bool:
        """As in botocore, which would sleep by the computer's clock, and would ask about a success, too."""
        if response is not None and response[0].status_code < 300:
            return False
        answers = self._emit(
            f"needs-retry.{operation_model.service_model.service_id.hyphenize()}.{operation_model.name}",
            response=response,
            endpoint=self,
            operation=operation_model,
            attempts=attempts,
            caught_exception=caught_exception,
            request_dict=request_dict,
        )
        seconds = first_non_none_response(answers)
        if seconds is None or seconds is False:
            return False
        self._clock.late(float(seconds))
        return True


class PretendSession(boto3.Session):
    """A boto3 session on the pretend AWS."""

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
        nothing: Any = NoSession()
        endpoint = PretendEndpoint("https://lab.invalid", service, client.meta.events, _parsers(), nothing)
        endpoint.attach(service, region, float(client.meta.config.read_timeout), *self._how)
        vars(client).update(_endpoint=endpoint, _cache={}, _ruleset_resolver=None, _user_agent_creator=Nobody())
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
    for event in events.values():
        event["children"] = {name: one for name, one in (event["children"] or {}).items() if name == service}
    vars(emitter)["_lookup_cache"] = {}


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
