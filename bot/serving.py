"""HTTP: Slack's requests, /healthz and /metrics.

Anybody may connect, and the bot knows a client only after the complete request and its signature. So unknown clients
have limits of connections, bytes and seconds. At the limit a new client replaces the oldest one, because Slack sends a
request at once and completely. Clients cannot take what the bot needs for AWS and Slack, above all open files.

aiohttp parses and answers, without a limit for the time of a request or the number of connections. Other servers do not
help: uvicorn, hypercorn and `waitress` refuse new clients when they are full, so half-sent requests keep Slack out.
Their time limits start again with each byte, or leave out the head.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

from aiohttp import web
from slack_bolt import App

from bot import app as slack_app
from bot.metrics import Counters

log = logging.getLogger("bot.http")

#: Bytes of a request, after its head and of its head; Slack's own are far smaller.
LARGEST, HEAD = 500_000, 16_384
#: Bytes of all requests that are not answered yet, and of what is read at once: as much may come from everybody before
#: whoever is thrown out is gone.
HELD, PIECE = 1_000_000, 16_384
#: Connections at the same time; fewer when they would be more than this share of the process's files.
MOST, SHARE = 128, 4
#: Seconds from a connection to its end, whatever it does: Slack waits for three.
LIFE = 10.0
#: Connections that are accepted before others are looked after, and that the system keeps waiting.
AT_ONCE, WAITING = 16, 4096
#: Seconds without accepting when the system has no file left.
REST = 0.2
#: Threads that check and acknowledge requests: milliseconds each.
TAKERS = 16
#: Files that a bot needs to drive many releases.
ENOUGH = 1024

SLOW, FULL, LARGE = "slow", "full", "large"
_WHY: Mapping[str, str] = {
    SLOW: f"it was still open after {LIFE:.0f} s",
    FULL: "others came, and it was the oldest or the largest incomplete request",
    LARGE: f"more than {HEAD} bytes of head, or more than {LARGEST} after it",
}

Health = Callable[[], Mapping[str, Any]]


def raise_file_limit() -> None:
    """Take as many open files as the system lets this process have, and say how many."""
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    except (OSError, ValueError) as error:  # macOS says that there is no limit, and then has one
        log.info("the limit of open files stays at %d: %s", before, error)
    now = _files()
    log.info("files: at most %d (the limit was %d), of them %d for connections to this bot", now, before, _places())
    if now < ENOUGH:
        log.warning("%d files are few for a bot: raise the limit (ulimit -n, LimitNOFILE=, --ulimit nofile=)", now)


def _files() -> int:
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return soft if soft != resource.RLIM_INFINITY else MOST * SHARE


def _places() -> int:
    return max(1, min(MOST, _files() // SHARE))


class _Room:
    """The connections that are open, in the order in which they came."""

    def __init__(self, places: int, metrics: Counters) -> None:
        self._places, self._metrics = places, metrics
        self._inside: dict[asyncio.BaseProtocol, _Connection] = {}
        self.held, self.buffer = 0, memoryview(bytearray(PIECE))

    def enter(self, who: _Connection) -> None:
        """Let it in; at the limit the oldest unknown client leaves."""
        strangers = [one for one in self._inside.values() if not one.known] if self.full else []
        for oldest in strangers[:1]:
            self.end(oldest, FULL)
        self._inside[who.parser] = who
        if len(self._inside) > self._places:
            self.end(who, FULL)

    @property
    def full(self) -> bool:
        """Whether no place is free."""
        return len(self._inside) >= self._places

    def hold(self, who: _Connection, size: int) -> bool:
        """Count what it sent; False when it had to go."""
        self.held += size
        while self.held > HELD and (strangers := [one for one in self._inside.values() if not one.known]):
            self.end(max(strangers, key=lambda one: one.size), FULL)
        return who.parser in self._inside

    def end(self, who: _Connection, why: str) -> None:
        """Close it at once."""
        self.leave(who)
        self._metrics.closed.labels(why).inc()
        # Some load balancers open connections before they need them; that is no trouble.
        level = logging.WARNING if who.size or why != SLOW else logging.DEBUG
        log.log(level, "a connection of %s was closed: %s", who.peer, _WHY[why])
        who.transport.abort()

    def leave(self, who: _Connection) -> None:
        """The connection is gone, or will be."""
        if self._inside.pop(who.parser, None):
            self.held -= who.size

    def know(self, request: web.Request) -> None:
        """Slack signed this request: its connection keeps its place until it is answered."""
        if one := self._inside.get(request.protocol):
            one.known = True

    def empty(self) -> None:
        """Close those of unknown clients, without an answer."""
        for one in [one for one in self._inside.values() if not one.known]:
            one.transport.abort()


class _Connection(asyncio.BufferedProtocol):
    """One request, handed on to aiohttp's parser as long as it keeps within its limits."""

    transport: asyncio.Transport

    def __init__(self, room: _Room, parser: web.RequestHandler) -> None:
        self.parser, self._room = parser, room
        self.size, self.known, self.peer = 0, False, "?"
        self._headed, self._last = False, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, and begin to count the seconds."""
        self.transport = cast("asyncio.Transport", transport)
        self.peer = str((transport.get_extra_info("peername") or "?")[0])
        self._end = asyncio.get_running_loop().call_later(LIFE, self._room.end, self, SLOW)
        self.parser.connection_made(transport)
        self._room.enter(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where each connection is read into, one after the other: large pieces would leave holes in the memory."""
        return self._room.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Hand it on, or end when it is too much."""
        data = bytes(self._room.buffer[:nbytes])
        head = self._head(data)
        self.size += len(data)
        if not self._room.hold(self, len(data)):
            return
        if head > HEAD or self.size > HEAD + LARGEST:
            self._room.end(self, LARGE)
        else:
            self.parser.data_received(data)

    def _head(self, data: bytes) -> int:
        """How long the head is, or how long it is so far."""
        if self._headed:
            return 0
        joined = self._last + data
        ends = joined.find(b"\r\n\r\n")
        self._headed, self._last = ends >= 0, joined[-3:]
        return self.size + (ends if self._headed else len(data))

    def eof_received(self) -> None:
        """Hand it on: they send no more."""
        self.parser.eof_received()

    def pause_writing(self) -> None:
        """Hand it on: they read slowly."""
        self.parser.pause_writing()

    def resume_writing(self) -> None:
        """Hand it on: they read again."""
        self.parser.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave."""
        self._end.cancel()
        self._room.leave(self)
        self.parser.connection_lost(exc)


class _Door:
    """Accepts connections, and survives that the system has no file left for one.

    asyncio's own accepting tries again a hundred times, and logs each.
    """

    def __init__(self, port: int, made: Callable[[], asyncio.BaseProtocol]) -> None:
        self._made, self._loop = made, asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[Any]] = set()
        # Slack and whoever watches the bot come from outside
        self._socket = socket.create_server(("0.0.0.0", port), backlog=WAITING)  # noqa: S104
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        self._open()

    def _open(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                accepted, _peer = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.error("cannot accept connections now: %s", error)  # noqa: TRY400 - the error says it all
                self._loop.remove_reader(self._socket)
                self._loop.call_later(REST, self._open)
                return
            accepted.setblocking(False)
            task = self._loop.create_task(self._loop.connect_accepted_socket(self._made, accepted))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Accept no more."""
        self._loop.remove_reader(self._socket)
        self._socket.close()


class HttpServer:
    """Serves in a thread of its own. `app` None: no requests of Slack, as in Socket Mode; `secret` is for them."""

    def __init__(self, port: int, health: Health, metrics: Counters, app: App | None, secret: str = "") -> None:
        self._health, self._metrics, self._app, self._secret = health, metrics, app, secret
        self._takers = ThreadPoolExecutor(TAKERS, "slack")
        self._room = _Room(_places(), metrics)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="http", daemon=True)
        self._thread.start()
        try:
            self._runner, self._door = asyncio.run_coroutine_threadsafe(self._open(port), self._loop).result()
        except OSError:
            self._end()
            raise
        self.port = self._door.port

    def close(self) -> None:
        """Answer what is in flight, and take no more."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._end()

    async def _close(self) -> None:
        self._door.close()
        self._room.empty()
        await self._runner.cleanup()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._takers.shutdown(wait=False)

    async def _open(self, port: int) -> tuple[web.AppRunner, _Door]:
        site = web.Application(client_max_size=LARGEST, middlewares=[_answered])
        site.router.add_get("/healthz", self._healthz)
        site.router.add_get("/metrics", self._numbers)
        if self._app is not None:
            site.router.add_post("/slack/events", self._take)
        # Without auto_decompress, as Slack packs nothing, and a packed body has no limit of its own.
        runner = web.AppRunner(site, access_log=None, shutdown_timeout=3.0, lingering_time=2.0, auto_decompress=False)
        await runner.setup()
        server = runner.server
        assert server is not None
        try:
            return runner, _Door(port, lambda: _Connection(self._room, server()))
        except OSError:
            await runner.cleanup()
            raise

    async def _healthz(self, request: web.Request) -> web.Response:
        health = self._health()
        return web.json_response(dict(health), status=200 if health["ok"] else 503)

    async def _numbers(self, request: web.Request) -> web.Response:
        return web.Response(body=self._metrics.page(), headers={"Content-Type": "text/plain; version=0.0.4"})

    async def _take(self, request: web.Request) -> web.Response:
        began = time.monotonic()
        if "x-slack-signature" not in request.headers:
            return web.Response(status=401)  # without waiting for the rest
        if (request.content_length or 0) > LARGEST:
            return web.Response(status=413)
        asked = slack_app.read(self._secret, request.headers, await _body(request), request.query_string)
        if isinstance(asked, int):
            return web.Response(status=asked)
        self._room.know(request)
        assert self._app is not None
        answer = await asyncio.get_running_loop().run_in_executor(self._takers, self._app.dispatch, asked)
        self._metrics.acknowledged.labels("http").observe(time.monotonic() - began)
        shown = {name: value for name, value in answer.first_headers().items() if name.lower() != "content-length"}
        return web.Response(status=answer.status, body=(answer.body or "").encode(), headers=shown)


async def _body(request: web.Request) -> bytes:
    """All of it; ConnectionError when they are gone.

    What is read is let go of when it does not end well: aiohttp keeps the error, and it the variables.
    """
    if request.transport is None:
        raise ConnectionResetError  # gone before we began: aiohttp would raise RuntimeError
    pieces: list[bytes] = []
    size = 0
    try:
        while piece := await request.content.readany():
            pieces.append(piece)
            size += len(piece)
            if size > LARGEST:
                raise web.HTTPRequestEntityTooLarge(max_size=LARGEST, actual_size=size)
        return b"".join(pieces)
    except OSError as gone:
        raise ConnectionResetError from gone
    finally:
        piece = b""
        pieces.clear()


@web.middleware
async def _answered(request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
    """The answer, whatever happens; a connection carries one request, so that its seconds can be counted."""
    answer: web.StreamResponse
    try:
        answer = await handler(request)
    except web.HTTPException as refused:
        answer = web.Response(status=refused.status, reason=refused.reason, headers=refused.headers.copy())
    except web.RequestPayloadError:
        answer = web.Response(status=400)
    except ConnectionError:
        answer = web.Response(status=400)  # they are gone: nobody reads it
    except Exception:
        log.exception("an internal error while answering a request for %s", request.path)
        answer = web.Response(status=500)
    answer.force_close()
    return answer
