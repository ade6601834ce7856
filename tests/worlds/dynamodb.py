"""Amazon's own DynamoDB (DynamoDB Local) for a session of tests, and the lab's beside it, asked in the same words.

`make dynamodb` fetches it. One Java process serves a whole session; each access key is an account of its own, so every
test has an empty one. It cannot be told to listen on loopback only; what it holds is in memory, and made up.
"""

from __future__ import annotations

import atexit
import http.client
import itertools
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import IO, Any

import boto3
import pytest

from lab.aws import FakeAws
from lab.aws.client import FakeSession
from lab.aws.wire import Answer, Incoming, incoming
from lab.clock import Clock
from lab.server import ProcessGroup
from tests.dynamodb import DYNAMODB

REGION = "eu-west-1"
#: Seconds that Java may take until it answers, and that one answer may take; both many times what they do take.
START, ANSWER = 120.0, 60.0
OLDEST_JAVA = 17
#: A quick start, one thread that collects garbage, little memory: it runs for some seconds.
_JAVA = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-Xmx256m"]
_LOCAL = ["-Djava.library.path=DynamoDBLocal_lib", "-jar", "DynamoDBLocal.jar", "-inMemory", "-disableTelemetry"]
_accounts = (f"account{number}" for number in itertools.count(1))


class Amazons:
    """DynamoDB Local in a process that cannot outlive this one."""

    def __init__(self, folder: Path) -> None:
        """Start it and wait until it answers."""
        self._folder, self._group = folder, ProcessGroup()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process may write
        self._port = free_port()
        self._process = self._group.run(
            [java(), *_JAVA, *_LOCAL, "-port", str(self._port)],
            folder=folder,
            environment=dict(os.environ),
            output=self._said,
        )
        self._line = http.client.HTTPConnection("127.0.0.1", self._port, timeout=ANSWER)
        self._wait()
        atexit.register(self.close)

    def _wait(self) -> None:
        end = time.monotonic() + START
        while True:
            try:
                return self._line.connect()
            except OSError:
                if self._process.poll() is not None or time.monotonic() > end:
                    self.close()
                    raise RuntimeError(f"DynamoDB Local does not start: {_text(self._said)}") from None
                time.sleep(0.05)

    def close(self) -> None:
        """End it."""
        self._line.close()
        self._group.kill()

    def session(self, clock: Clock) -> boto3.Session:
        """A session in an empty account; only its waits between tries are the clock's."""
        key = next(_accounts)
        return FakeSession(lambda request, recorded: self._answer(request, key), clock, REGION, recorded=False)

    def account(self) -> Ask:
        """An empty account, for requests in JSON."""
        key = next(_accounts)
        return lambda operation, asked: told(self._answer(_request(operation, asked), key))

    def _answer(self, request: Incoming, key: str) -> Answer:
        signed = (
            f"AWS4-HMAC-SHA256 Credential={key}/20260101/{REGION}/dynamodb/aws4_request, SignedHeaders=, Signature="
        )
        headers = {
            "X-Amz-Target": request.written.headers["x-amz-target"],
            "Content-Type": "application/x-amz-json-1.0",
        }
        self._line.request("POST", "/", request.written.body, {**headers, "Authorization": signed})
        answer = self._line.getresponse()
        return Answer(answer.status, dict(answer.getheaders()), answer.read())


#: Sentences for people, which differ even between Amazon's own two; nothing of ours reads them.
_VARIES = dict.fromkeys(("ValidationException", "ResourceNotFoundException"), "...")
Asked = dict[str, Any]
Told = tuple[int, Asked]
Ask = Callable[[str, Asked], Told]
"""An operation and its parameters lead to a status and an answer."""


def labs(aws: FakeAws) -> Ask:
    """The account of a fake AWS, for requests in JSON."""
    return lambda operation, asked: told(aws.answer(_request(operation, asked)))


def _request(operation: str, asked: Asked) -> Incoming:
    headers = {"X-Amz-Target": f"DynamoDB_20120810.{operation}", "Content-Type": "application/x-amz-json-1.0"}
    return incoming("POST", "/", headers, json.dumps(asked).encode(), "dynamodb", REGION)


def told(answer: Answer) -> Told:
    """What a client reads of an answer: an error's name comes in one of several packages, its message in two ways."""
    body: Asked = json.loads(answer.body)
    if "__type" in body:
        body["__type"] = body["__type"].rpartition("#")[2]
        body["Message"] = body.pop("message", body.get("Message"))
    for one in (body, *body.get("CancellationReasons", [])):
        if one.get("Message"):
            one["Message"] = _VARIES.get(body["__type"], one["Message"].rstrip("."))
    body.get("TableNames", []).sort()
    body.pop("ConsumedCapacity", None)  # told now and then without being asked for
    return answer.status, body


@cache
def amazons() -> Amazons:
    """The one of this session; skips the test where it cannot be had, unless it must."""
    lack = "needs Java 17 or newer (on Debian and Ubuntu: apt-get install default-jre-headless)"
    lack = lacks() or ("" if _java_version() >= OLDEST_JAVA else lack)
    if lack and MUST:
        pytest.fail(f"no DynamoDB Local: it {lack}")
    if lack:
        pytest.skip(NOT_TESTED + lack)
    return Amazons(home())


def lacks() -> str:
    """What is not there, and what to do; "" when it may be started. It is quick to tell."""
    if not home().joinpath("DynamoDBLocal.jar").exists():
        return "is not here (`make dynamodb` fetches it)"
    return "" if java() else "needs Java (on Debian and Ubuntu: apt-get install default-jre-headless)"


def home() -> Path:
    """The folder in which it lies, there or not."""
    return next(iter(sorted(DYNAMODB.glob("dynamodb_local_*"))), DYNAMODB)


def java() -> str:
    """The command; "" when there is none."""
    homes = [f"{os.environ['JAVA_HOME']}/bin"] if "JAVA_HOME" in os.environ else []
    return shutil.which("java", path=os.pathsep.join([*homes, os.environ.get("PATH", os.defpath)])) or ""


def _java_version() -> int:
    said = subprocess.run([java(), "-XshowSettings:properties", "-version"], capture_output=True, text=True, timeout=60)
    version = re.search(r"java\.specification\.version = (?:1\.)?(\d+)", said.stderr)
    return int(version[1]) if version else 0


def free_port() -> int:
    """One that nobody has at this moment."""
    with socket.socket() as door:
        door.bind(("", 0))
        port: int = door.getsockname()[1]
    return port


def _text(said: IO[bytes]) -> str:
    said.seek(0)
    return said.read().decode(errors="replace").strip()


MUST, NOT_TESTED = bool(os.environ.get("BLUEGREEN_NEED_DYNAMODB")), "NOT TESTED: Amazon's own DynamoDB "
#: For all that uses the one process of a session: it runs on one worker, or is left out, which is said in one line.
AMAZONS = [
    pytest.mark.xdist_group("dynamodb"),
    *([pytest.mark.skip(reason=NOT_TESTED + lacks())] if lacks() and not MUST else []),
]
