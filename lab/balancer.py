"""The load balancer: a reverse proxy that treats requests as an Application Load Balancer does.

    no target registered         503
    connection refused or cut    502, and no second try: the request may have had its effect
    no answer in time            504
    no target healthy            every registered one is tried (fail open)
    weights                      choose the group before anybody looks at its health, as AWS does

It asks for its table at every request and remembers nothing of it, so a change counts from the next request on, and
requests that are on their way to a target that leaves are left alone. Who is healthy is decided elsewhere.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self, TypeVar

import aiohttp
from aiohttp import web

HOST = "127.0.0.1"
HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
T = TypeVar("T")


@dataclass(frozen=True)
class Pool:
    """One target group as the listener forwards to it now."""

    name: str
    targets: Mapping[str, str]
    """Instance id to target state: healthy, initial, unhealthy, draining, unused."""
    weight: int = 1

    def candidates(self) -> list[str]:
        """Who may get a new request: the healthy; with none of them, all that are registered."""
        healthy = [target for target, state in self.targets.items() if state == "healthy"]
        return healthy or [target for target, state in self.targets.items() if state not in ("draining", "unused")]


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


class Routes(Protocol):
    """What a table needs of the pretend AWS (`lab.aws.PretendAws`)."""

    def weights(self, listener_or_rule_arn: str, /) -> dict[str, int]:
        """The weight of each target group that it forwards to."""
        ...

    def serving(self, target_group_arn: str, /) -> dict[str, str]:
        """The state of each target in the group."""
        ...


def table_of(aws: Routes, listener: str) -> Callable[[], list[Pool]]:
    """The routing table that a listener of the pretend AWS means, read anew whenever it is asked for."""
    return lambda: [Pool(arn, aws.serving(arn), weight) for arn, weight in aws.weights(listener).items()]


class Turns:
    """Who is next: smooth weighted turns among the groups, then round robin among the targets of one."""

    def __init__(self) -> None:
        """Nobody has had a turn."""
        self._credit: Counter[str] = Counter()
        self._next: dict[str, itertools.count[int]] = {}

    def group(self, pools: Sequence[Pool]) -> Pool | None:
        """The group whose turn it is; over any hundred requests the shares are those of the weights."""
        weighted = [pool for pool in pools if pool.weight > 0]
        if not weighted:
            return None
        for pool in weighted:
            self._credit[pool.name] += pool.weight
        chosen = max(weighted, key=lambda pool: self._credit[pool.name])
        self._credit[chosen.name] -= sum(pool.weight for pool in weighted)
        return chosen

    def target(self, pool: Pool) -> str | None:
        """The target of that group whose turn it is."""
        candidates = pool.candidates()
        turn = self._next.setdefault(pool.name, itertools.count())
        return candidates[next(turn) % len(candidates)] if candidates else None


class Balancer:
    """A reverse proxy on a loopback port, in a thread of its own."""

    def __init__(
        self,
        table: Callable[[], Sequence[Pool]],
        address: Callable[[str], str | None],
        *,
        connect_timeout: float = 10.0,
        idle_timeout: float = 60.0,
    ) -> None:
        """`table` tells the groups of this moment, `address` the URL of an instance. The timeouts are an ALB's."""
        self._table = table
        self._address = address
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
        pool = self._turns.group(self._table())
        target = self._turns.target(pool) if pool else None
        if pool is None or target is None:
            return self._fail(503, None, "no target is registered")
        self.counts.by_group[pool.name] += 1
        self.counts.by_target[target] += 1
        self._outstanding[target] += 1
        try:
            return await self._forward(request, target)
        finally:
            self._outstanding[target] -= 1

    async def _forward(self, request: web.BaseRequest, target: str) -> web.StreamResponse:
        address = self._address(target)
        if address is None:
            return self._fail(502, target, "the instance is gone")
        try:
            return await self._exchange(request, address)
        except TimeoutError as error:
            return self._fail(504, target, f"no answer in time: {error}")
        except (aiohttp.ClientError, OSError) as error:
            return self._fail(502, target, f"{type(error).__name__}: {error}")

    async def _exchange(self, request: web.BaseRequest, address: str) -> web.StreamResponse:
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
