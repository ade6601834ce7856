"""The bot's HTTP door, and strangers who stand in it: in this process, by sockets of their own."""

from __future__ import annotations

import io
import logging
import os
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from slack_bolt import Ack, App
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.signature import SignatureVerifier

from bot import logs, serving
from bot.metrics import Counters
from bot.serving import FULL, HEAD, HELD, LARGE, LARGEST, SLOW, HttpServer
from tests.worlds.waiting import eventually

SECRET = "s" * 32
FORM = "application/x-www-form-urlencoded"
POST = b"POST /slack/events HTTP/1.1\r\nHost: bot\r\n"
SIGNED = POST + b"X-Slack-Signature: v0=0\r\n"


class Door:
    """A server, and what comes to it."""

    def __init__(self) -> None:
        self.metrics = Counters()
        self.go = threading.Event()
        self.go.set()
        app = App(
            signing_secret=SECRET, authorize=lambda: AuthorizeResult(enterprise_id=None, team_id="T1", bot_token="x")
        )
        app.command("/promote")(self._promote)
        self.server = HttpServer(0, lambda: {"ok": True}, self.metrics, app, SECRET)
        self.open: list[socket.socket] = []

    def _promote(self, ack: Ack) -> None:
        self.go.wait(10)
        ack("taken")

    def close(self) -> None:
        """Everybody leaves."""
        self.server.close()
        for one in self.open:
            one.close()

    def connect(self) -> socket.socket:
        """One more connection."""
        self.open.append(socket.create_connection(("127.0.0.1", self.server.port), 10))
        return self.open[-1]

    def send(self, said: bytes) -> socket.socket:
        """A connection of somebody who says that, and waits; they may be thrown out while they talk."""
        one = self.connect()
        try:
            one.sendall(said)
        except OSError:
            assert not is_open(one)
        return one

    def ask(self, said: bytes) -> bytes:
        """What that is answered with, until the connection ends."""
        return answer(self.send(said))

    def order(self, body: str = "command=/promote&text=web", kind: str = FORM, **changes: str) -> bytes:
        """A request that Slack signed, or one that is changed from it."""
        stamp = str(int(time.time()))
        signature = str(SignatureVerifier(SECRET).generate_signature(timestamp=stamp, body=body))
        headers = {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": signature, **changes}
        lines = "".join(f"{name}: {text}\r\n" for name, text in headers.items())
        return POST + f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n{lines}\r\n{body}".encode()

    def closed(self, why: str) -> float:
        """How many were closed so."""
        return self.metrics.registry.get_sample_value("bluegreen_connections_closed_total", {"why": why}) or 0.0

    @property
    def inside(self) -> int:
        """How many are in the room."""
        return len(self.server._room._inside)


def answer(one: socket.socket) -> bytes:
    """All that they are told; "" when they are thrown out."""
    said = b""
    try:
        while piece := one.recv(65536):
            said += piece
    except ConnectionError:
        return b""
    return said


def is_open(one: socket.socket) -> bool:
    """Whether it was not closed."""
    one.setblocking(False)
    try:
        return one.recv(65536) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


@pytest.fixture
def door() -> Iterator[Door]:
    """One that is open."""
    made = Door()
    try:
        yield made
    finally:
        made.go.set()
        made.close()


def status(said: bytes) -> int:
    """Of an answer."""
    return int(said.split()[1])


# --- who may come in ---------------------------------------------------------------------------------------


def test_requests_one_by_one(door: Door) -> None:
    """An order, health and numbers, each on a connection of its own, which the answer ends."""
    taken = door.ask(door.order())
    assert (status(taken), b"taken" in taken, b"Connection: close" in taken) == (200, True, True)
    assert b'"ok": true' in door.ask(b"GET /healthz HTTP/1.1\r\nHost: bot\r\n\r\n")
    assert b"bluegreen_connections_closed" in door.ask(b"GET /metrics HTTP/1.1\r\nHost: bot\r\n\r\n")
    assert status(door.ask(b"GET /elsewhere HTTP/1.1\r\nHost: bot\r\n\r\n")) == 404
    eventually(lambda: door.inside == 0)


@pytest.mark.parametrize("sent", [b"{", b"payload={", b"[" * 100_000, b"{}", b"a=%ff", b"payload=" + b"[" * 9999])
@pytest.mark.parametrize("kind", ["application/json", FORM])
def test_a_body_that_is_none(door: Door, caplog: pytest.LogCaptureFixture, sent: bytes, kind: str) -> None:
    """Without a signature it is not even read; with one it is refused; never a traceback."""
    head = POST + f"Content-Type: {kind}\r\nContent-Length: {len(sent)}\r\n".encode()
    stamp = str(int(time.time()))
    right = str(SignatureVerifier(SECRET).generate_signature(timestamp=stamp, body=sent))
    for signature in ("v0=0", "v0=é", right):
        signed = f"X-Slack-Request-Timestamp: {stamp}\r\nX-Slack-Signature: {signature}\r\n\r\n".encode()
        told = status(door.ask(head + signed + sent))
        assert told == 401 if signature != right else told in (400, 404)
    assert status(door.ask(head + b"\r\n" + sent)) == 401
    assert [one for one in caplog.records if one.exc_info and one.name != "aiohttp.server"] == []


@pytest.mark.parametrize("stamp", ["", "now", "1e9", "9" * 5000, "-1", "0"])
def test_a_time_that_is_none(door: Door, stamp: str) -> None:
    """It is no number, or of another day."""
    assert status(door.ask(door.order(**{"X-Slack-Request-Timestamp": stamp}))) == 401


def test_a_body_that_is_no_text(door: Door) -> None:
    """Slack signs text alone."""
    stamped = SIGNED + f"X-Slack-Request-Timestamp: {time.time():.0f}\r\n".encode()
    assert status(door.ask(stamped + b"Content-Length: 2\r\n\r\n\xff\xfe")) == 401


def test_what_is_no_http(door: Door) -> None:
    """Refused, and nothing is said of it at length."""
    assert status(door.ask(b"\x16\x03\x01 nonsense\r\n\r\n")) == 400
    assert status(door.ask(SIGNED + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")) == 400


# --- who stays too long, and who brings too much -----------------------------------------------------------


def test_too_large(door: Door) -> None:
    """A long head, a body that says how long it will be, and one that does not say."""
    assert door.ask(b"GET /healthz HTTP/1.1\r\n" + b"a: b\r\n" * (HEAD // 6)) == b""
    assert door.ask(b"GET /healthz HTTP/1.1\r\n" + b"a: b\r\n" * (HEAD // 6) + b"\r\n") == b""
    assert door.closed(LARGE) == 2
    assert status(door.ask(SIGNED + f"Content-Length: {LARGEST + 1}\r\n\r\n".encode())) == 413
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    endless = door.send(SIGNED + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * (LARGEST // 65536 + 2))
    assert b"200" not in answer(endless)[:20]
    eventually(lambda: door.inside == 0)


def test_everybody_leaves_in_time(monkeypatch: pytest.MonkeyPatch, door: Door) -> None:
    """Half a head, half a body, nothing at all, and who sends a byte now and then."""
    monkeypatch.setattr(serving, "LIFE", 0.4)
    began = time.monotonic()
    sent = (
        POST,
        SIGNED + b"Content-Length: 99\r\n\r\nhalf",
        b"",
        b"GET /elsewhere HTTP/1.1\r\nHost: bot\r\nContent-Length: 9\r\n\r\n",
    )
    waiting = [door.send(one) for one in sent]
    trickles = door.send(POST)
    while is_open(trickles) and time.monotonic() - began < 5:
        time.sleep(0.05)
        try:
            trickles.sendall(b"x")
        except OSError:
            break
    eventually(lambda: not any(map(is_open, waiting)), 5)
    assert time.monotonic() - began < 8  # each of them may stay for 10
    eventually(lambda: door.inside == 0)
    assert door.closed(SLOW) >= 4


def test_a_full_room(door: Door) -> None:
    """More half-open connections and half-sent bodies than there is room for: orders are taken all the same."""
    places, half = door.server._room._places, SIGNED + f"Content-Length: {LARGEST}\r\n\r\n".encode()
    for number in range(2 * places):
        door.send(half + b"x" * (LARGEST // 2) if number % 10 == 0 else POST)
        if number % 20 == 0:
            assert status(door.ask(door.order())) == 200
    assert status(door.ask(b"GET /healthz HTTP/1.1\r\nHost: bot\r\n\r\n")) == 200
    assert door.inside <= places
    assert door.server._room.held <= HELD
    assert door.closed(FULL) >= places - 1


def test_who_is_gone_before_the_answer_begins(
    monkeypatch: pytest.MonkeyPatch, door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    """Read and thrown out at once, as for one that brought less: that is no mistake of ours, and no traceback."""
    first, second, half = door.connect(), door.connect(), SIGNED + b"Content-Length: 99\r\n\r\nhalf"
    eventually(lambda: door.inside == 2)
    monkeypatch.setattr(serving, "HELD", len(half) + len(POST) - 1)
    stands = threading.Barrier(2, timeout=10)
    # the server stands still between the two, and then finds both at once
    door.server._loop.call_soon_threadsafe(lambda: [stands.wait() for _ in range(2)])
    stands.wait()
    first.sendall(half)
    second.sendall(POST)
    stands.wait()
    assert answer(first) == b""
    assert status(door.ask(b"GET /healthz HTTP/1.1\r\nHost: bot\r\n\r\n")) == 200
    assert door.closed(FULL) == 1
    assert [one.message for one in caplog.records if one.name == "bot.http" and one.exc_info] == []


def test_whom_slack_sent_keeps_the_place(door: Door) -> None:
    """An order that is worked on is not thrown out for those who come after it."""
    door.go.clear()
    before = door.send(door.order())
    eventually(lambda: any(one.known for one in door.server._room._inside.values()))
    strangers = [door.send(POST) for _ in range(door.server._room._places + 5)]
    eventually(lambda: not is_open(strangers[0]))
    door.go.set()
    before.setblocking(True)
    assert status(answer(before)) == 200


def test_it_ends_with_strangers_in_it(door: Door) -> None:
    """Nobody who says nothing holds up the bot's end."""
    for said in (POST, b"", SIGNED + b"Content-Length: 99\r\n\r\nhalf"):
        door.send(said)
    began = time.monotonic()
    door.server.close()
    assert time.monotonic() - began < 8  # each of them may stay for 10
    door.server = HttpServer(0, lambda: {"ok": True}, door.metrics, None)


# --- files -------------------------------------------------------------------------------------------------


@contextmanager
def files(soft: int) -> Iterator[None]:
    """So many may be open in this process."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_no_file_is_left(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    """Accepting rests, says so now and then, and goes on when there is a file again."""
    caller = socket.socket()
    door.open.append(caller)
    free = os.dup(0)
    os.close(free)
    with files(free):
        caller.connect(("127.0.0.1", door.server.port))
        caller.sendall(b"GET /healthz HTTP/1.1\r\nHost: bot\r\n\r\n")
        time.sleep(0.5)
    caller.settimeout(5)
    assert status(answer(caller)) == 200
    said = [one.message for one in caplog.records if "cannot accept connections" in one.message]
    assert 1 <= len(said) <= 4
    assert "Too many open files" in said[0]


@pytest.mark.parametrize(("limit", "places"), [(256, 64), (20, 5), (4096, serving.MOST)])
def test_the_bots_own_files(limit: int, places: int) -> None:
    """Strangers have a share of them and no more; nothing else does the limit change."""
    busy = os.dup(0)
    os.close(busy)
    if limit <= busy:
        pytest.skip("this process has more open")
    with files(limit):
        assert serving._places() == places


def test_the_limit_is_raised_and_said(caplog: pytest.LogCaptureFixture) -> None:
    """To what the system allows."""
    caplog.set_level("INFO")
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with files(min(most, 600)):
        serving.raise_file_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == most
    assert f"files: at most {most} (the limit was {min(most, 600)}), of them" in caplog.text


# --- the log -----------------------------------------------------------------------------------------------


@pytest.fixture
def log() -> Iterator[tuple[logging.Logger, Callable[[], list[str]], logs.Bounded]]:
    """A logger, the lines that it wrote, and what bounds them."""
    handler = logs.Bounded(most=3, seconds=60)
    handler.setStream(io.StringIO())
    logger = logging.getLogger("bot.bounded")
    logger.propagate, logger.handlers = False, [handler]
    logger.setLevel("INFO")
    yield logger, lambda: handler.stream.getvalue().splitlines(), handler  # type: ignore[attr-defined]
    handler.close()


def test_the_log_is_bounded(log: Any) -> None:
    """A few of a kind, and how many more there were; other kinds, and what is no trouble, are written all the same."""
    logger, lines, handler = log
    for number in range(1000):
        logger.warning("a connection of %s was closed", number)
    logger.error("something else")
    for _ in range(9):
        logger.info("no trouble")
    assert len(lines()) == 3 + 1 + 9
    handler.tell()
    assert "997 more of this kind in 60 s, the last: a connection of 999 was closed" in lines()[-1]
    logger.error("something else")
    assert len(lines()) == 15
    handler.close()
    assert len(lines()) == 15


def test_a_minute_of_the_log_ends_by_itself(log: Any) -> None:
    """Also when nothing is said any more; and at the end of the bot."""
    logger, lines, handler = log
    handler._seconds = 0.05
    for _ in range(2):
        for number in range(5):
            logger.warning("a connection of %s was closed", number)
        eventually(lambda: "2 more of this kind" in lines()[-1])
    handler._seconds = 60
    for number in range(4):
        logger.warning("a connection of %s was closed", number)
    handler.close()
    assert "1 more of this kind" in lines()[-1]
