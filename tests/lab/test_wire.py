"""Requests and answers: what a client in this process is given is what it would read on the wire."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache
from typing import Any

import boto3
import pytest
from botocore.parsers import create_parser

from lab.aws import pretend, wire
from lab.aws.wire import Answer, Incoming, Params
from tests.worlds import GOOD, fast


class Both:
    """Answers every request as on the wire, too, and reads that as boto3 does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.compared: Counter[str] = Counter()
        self.different: list[str] = []
        self._serialise, self._as_read = wire.serialise, wire.as_read
        monkeypatch.setattr(pretend, "serialise", self.serialise)
        monkeypatch.setattr(pretend, "as_read", self.as_read)

    def serialise(self, request: Incoming, result: Params) -> Answer:
        """What the lab makes of a result."""
        return self._same(request, self._serialise(request, result), self._serialise(_sent(request), result))

    def as_read(self, request: Incoming, answer: Answer) -> Answer:
        """What the lab makes of a written answer."""
        return self._same(request, self._as_read(request, answer), answer)

    def _same(self, request: Incoming, given: Answer, written: Answer) -> Answer:
        if given.read is not None:
            self.compared[request.name] += 1
            if given.read != (read := self._read(request, written)):
                self.different.append(f"{request.name}: {given.read} is not {read}")
        return given

    def _read(self, request: Incoming, answer: Answer) -> Any:
        service = _service(request.service)
        told = {"body": answer.body, "headers": answer.headers, "status_code": answer.status}
        protocol = "query" if answer.body.startswith(b"<") and request.service != "ec2" else service.resolved_protocol
        read = create_parser(protocol).parse(told, service.operation_model(request.operation).output_shape)
        read.pop("ResponseMetadata")
        return read


@cache
def _service(name: str) -> Any:
    made: Any = boto3.Session("x", "x", region_name="eu-west-1")
    return made.client(name).meta.service_model


def _sent(request: Incoming) -> Incoming:
    return replace(request, direct=False)


@pytest.mark.parametrize("weighted", [False, True], ids=["shared", "weighted"])
def test_what_is_given_is_what_would_be_read(monkeypatch: pytest.MonkeyPatch, weighted: bool) -> None:
    """Every answer of a whole release, by botocore's own parsers."""
    both = Both(monkeypatch)
    o = fast(weighted=weighted, rules=weighted)
    done = o.drive(o.start(GOOD).id)
    assert done is not None
    assert both.different == []
    assert len(both.compared) > 25
    assert both.compared.total() > 200
