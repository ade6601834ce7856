"""The load balancer: a reverse proxy that treats requests as an Application Load Balancer does.

    no target registered         503
    connection refused or cut    502, and no second try: the request may have had its effect
    no answer in time            504
    no target healthy            every registered one is tried (fail open)

`lab.routing` decides where each request goes: a change counts from the next request on, and requests in flight to a
leaving target go on. Health is decided elsewhere.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from email.utils import formatdate
from types import TracebackType
from typing import Self, TypeVar

import aiohttp
from aiohttp import web

from lab.routing import COOKIE, Pool, RoutedRequest, Table, Turns, cookie, stuck

HOST = "127.0.0.1"
HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
T = TypeVar("T")


@dataclass(frozen=True)
class Failure:
    """One request that this balancer could not have answered."""

    at: float
    status: int
    target: str | None
    why: str


@dataclass
class Counts:
    """What has been forwarded so far."""

    by_group: Counter[str] = field(default_factory=Counter)
    by_target: Counter[str] = field(default_factory=Counter)
    by_version: Counter[str] = field(default_factory=Counter)
    by_status: Counter[int] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)


class Balancer:
    """A reverse proxy on a loopback port, in a thread of its own."""

    def __init__(
        self,
        table: Table,
        address: Callable[[str], str | None],
        *,
        saw: Callable[[str, int, float | None], None] = lambda group, status, seconds: None,
        connect_timeout: float = 10.0,
        idle_timeout: float = 60.0,
    ) -> None:
        """`table` tells where a request goes at this moment, `address` the URL of an instance.

        `saw` is told each request: its target group, its status, and the seconds that its target took for the answer,
        None when no target answered (`FakeAws.traffic.saw`). The timeouts are an ALB's.
        """
        self._table = table
        self._address = address
        self._saw = saw
        # A connection for each request: on a kept one, a target's goodbye could meet a request that is just being sent.
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout, sock_read=idle_timeout)
        self._turns = Turns()
        self._outstanding: Counter[str] = Counter()
        self._loop = Loop("balancer")
        self._client: aiohttp.ClientSession
        self._runner: web.ServerRunner
        self.counts = Counts()
        self.url = ""

    def __enter__(self) -> Self:
        """Serve for as long as the context lasts."""
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close it."""
        self.close()

    def start(self) -> str:
        """Begin to serve, and return the URL."""
        self.url = self._loop.run(self._open())
        return self.url

    def close(self) -> None:
        """Serve nobody any more."""
        self._loop.run(self._shut())
        self._loop.close()

    def outstanding(self, instance_id: str) -> int:
        """How many requests the instance has not answered yet."""
        return self._outstanding[instance_id]

    async def _open(self) -> str:
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        self._client = aiohttp.ClientSession(
            connector=connector, timeout=self._timeout, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
        )
        self._runner = web.ServerRunner(web.Server(self._answer, access_log=None), shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, 0, backlog=512)
        await site.start()
        port: int = self._runner.addresses[0][1]
        return f"http://{HOST}:{port}"

    async def _shut(self) -> None:
        await self._runner.cleanup()
        await self._client.close()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        asked = _asked(request)
        way = self._table(asked)
        if way.answer is not None:
            status, headers, body = way.answer
            self.counts.by_status[status] += 1
            return web.Response(status=status, headers=headers, text=body)
        kept = stuck(way, asked.cookies, time.time())
        pool = kept or self._turns.group(way.pools, way.rule)
        if pool is None:
            return self._fail(503, None, "no target group has any weight")
        answer = await self._served(request, pool)
        if way.sticky and kept is None:
            _stick(answer, pool, way.sticky)
        return answer

    async def _served(self, request: web.BaseRequest, pool: Pool) -> web.Response:
        """The answer of a target of that group, or our own."""
        self.counts.by_group[pool.name] += 1
        target = self._turns.target(pool)
        if target is None:
            self._saw(pool.name, 503, None)
            return self._fail(503, None, "no target is registered")
        self.counts.by_target[target] += 1
        self._outstanding[target] += 1
        began = time.monotonic()
        try:
            answer, answered = await self._forward(request, target)
        finally:
            self._outstanding[target] -= 1
        self._saw(pool.name, answer.status, time.monotonic() - began if answered else None)
        return answer

    async def _forward(self, request: web.BaseRequest, target: str) -> tuple[web.Response, bool]:
        """The answer, and whether it is the target's."""
        address = self._address(target)
        if address is None:
            return self._fail(502, target, "the instance is gone"), False
        try:
            return await self._exchange(request, address), True
        except TimeoutError as error:
            return self._fail(504, target, f"no answer in time: {error}"), False
        except (aiohttp.ClientError, OSError) as error:
            return self._fail(502, target, f"{type(error).__name__}: {error}"), False

    async def _exchange(self, request: web.BaseRequest, address: str) -> web.Response:
        """One request to the target, its answer to the client."""
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP]
        headers.append(("X-Forwarded-For", request.remote or HOST))
        body = await request.read()
        async with self._client.request(
            request.method, address + request.path_qs, headers=headers, data=body or None, allow_redirects=False
        ) as answer:
            content = await answer.read()
            self.counts.by_version[answer.headers.get("X-Version", "unknown")] += 1
            self.counts.by_status[answer.status] += 1
            kept = [(name, value) for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP]
            return web.Response(status=answer.status, body=content, headers=kept)

    def _fail(self, status: int, target: str | None, why: str) -> web.Response:
        self.counts.by_status[status] += 1
        self.counts.failures.append(Failure(time.time(), status, target, why))
        return web.Response(status=status, text=f"{status}\n")


def _asked(request: web.BaseRequest) -> RoutedRequest:
    headers = {name.lower(): value for name, value in request.headers.items()}
    url = request.rel_url
    return RoutedRequest(url.raw_path, url.raw_query_string, request.host, request.method, headers, request.cookies)


def _stick(answer: web.Response, pool: Pool, seconds: float) -> None:
    """Let the client come back to this group: one cookie for it, and one for requests from other sites (CORS)."""
    value = cookie(pool, time.time() + seconds)
    expires = formatdate(time.time() + seconds, usegmt=True)
    answer.headers.add("Set-Cookie", f"{COOKIE}={value}; Expires={expires}; Path=/")
    answer.headers.add("Set-Cookie", f"{COOKIE}CORS={value}; Expires={expires}; Path=/; SameSite=None; Secure")


class Loop:
    """An event loop in a thread of its own, for use from code that does not await."""

    def __init__(self, name: str) -> None:
        """Start it."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[object, object, T]) -> T:
        """Do that there, and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def begin(self, work: Coroutine[object, object, T]) -> Callable[[], T]:
        """Do that there; the answer waits for its end."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result

    def close(self) -> None:
        """End the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
