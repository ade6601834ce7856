"""MiniStack for a session of tests: one process on loopback, empty at its start. `make ministack` fetches it."""

from __future__ import annotations

import atexit
import itertools
import os
import socket
import tempfile
import time
from functools import cache

import boto3
import pytest

from lab.server import ProcessGroup
from tests import ministack
from tests.worlds.dynamodb import free_port
from tests.worlds.files import ROOT

#: Seconds that it may take until it answers; it takes less than one.
START = 60.0
REGION = "eu-west-1"
_accounts = (f"{number:012}" for number in itertools.count(1))
MUST = bool(os.environ.get("BLUEGREEN_NEED_MINISTACK"))
LACKS = "" if ministack.fetched() else "NOT TESTED: MiniStack is not here (`make ministack` fetches it)"
#: For all that uses the one process of a session: it runs on one worker, or is left out, which is said in one line.
MINISTACK = [
    pytest.mark.xdist_group("ministack"),
    *([pytest.mark.skip(reason=LACKS)] if LACKS and not MUST else []),
]


@cache
def url() -> str:
    """Where it listens, started when first asked for; it cannot outlive this process."""
    if LACKS:
        pytest.fail(LACKS)
    port, group = free_port(), ProcessGroup()
    said = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process may write
    place = {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "HOME": str(ministack.MINISTACK)}
    process = group.run([str(ministack.command())], folder=ROOT, environment={"PATH": os.defpath, **place}, output=said)
    atexit.register(group.kill)
    end = time.monotonic() + START
    while socket.socket().connect_ex(("127.0.0.1", port)):
        if process.poll() is not None or time.monotonic() > end:
            said.seek(0)
            raise RuntimeError(f"MiniStack does not start: {said.read().decode(errors='replace')}")
        time.sleep(0.05)
    return f"http://127.0.0.1:{port}"


def session() -> boto3.Session:
    """Of an empty account: one is named by its key. Clients need `endpoint_url`, or AWS_ENDPOINT_URL."""
    return boto3.Session(aws_access_key_id=next(_accounts), aws_secret_access_key="test", region_name=REGION)
