"""Visitors: a constant number of them, each asking for the next page as soon as the last one has come.

They keep what they saw, request by request with the time, to show afterwards which version served when.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp

from lab.balancer import Loop


@dataclass(frozen=True)
class Visit:
    """One request as its sender saw it."""

    began: float
    """Seconds since the epoch, as `time.time()` tells them: to be laid beside a journal."""
    ended: float
    status: int
    """0 where there was no answer at all."""
    version: str | None
    trouble: str | None

    @property
    def failed(self) -> bool:
        """Whether the visitor would call it broken."""
        return self.trouble is not None or self.status >= 500


@dataclass(frozen=True)
class Visits:
    """Requests in the order in which they ended, and what can be asked of them."""

    all: tuple[Visit, ...]

    def since(self, moment: float) -> Visits:
        """Those that began at that moment or later."""
        return Visits(tuple(visit for visit in self.all if visit.began >= moment))

    @property
    def failed(self) -> tuple[Visit, ...]:
        """Those that failed."""
        return tuple(visit for visit in self.all if visit.failed)

    def by_version(self) -> dict[str, int]:
        """How many each version answered."""
        return dict(Counter(visit.version for visit in self.all if visit.version is not None))

    def first(self, version: str) -> float | None:
        """When that version was first seen."""
        return min((visit.ended for visit in self.all if visit.version == version), default=None)

    def last(self, version: str) -> float | None:
        """When that version was last seen."""
        return max((visit.ended for visit in self.all if visit.version == version), default=None)

    def slowest(self) -> float:
        """The longest that anybody waited, in seconds."""
        return max((visit.ended - visit.began for visit in self.all), default=0.0)


class Load:
    """Visitors to one URL. They stop by themselves after `seconds` or `requests`, by what comes first."""

    def __init__(
        self,
        url: str,
        *,
        visitors: int = 8,
        pause: float = 0.0,
        seconds: float = 300.0,
        requests: int = 200_000,
        timeout: float = 15.0,
    ) -> None:
        """Prepare `visitors` of them, each waiting `pause` seconds between two requests."""
        self._url = url
        self._visitors = visitors
        self._pause = pause
        self._seconds = seconds
        self._left = requests
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._seen: list[Visit] = []
        self._failed = 0
        self._stopped = False
        self._loop: Loop | None = None
        self._wait: Callable[[], None] = lambda: None

    def __enter__(self) -> Self:
        """Visit for as long as the context lasts, unless a bound is met before."""
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop."""
        self.stop()

    def start(self) -> None:
        """Send the visitors, and return at once."""
        self._loop = Loop("load")
        self._wait = self._loop.begin(self._visit())

    def seen(self) -> Visits:
        """What they have seen so far."""
        return Visits(tuple(self._seen))

    def lately(self, seconds: float) -> Visits:
        """What they have seen in so many last seconds."""
        since = time.time() - seconds
        recent = itertools.takewhile(lambda visit: visit.ended >= since, reversed(self._seen.copy()))
        return Visits(tuple(recent)[::-1])

    def totals(self) -> tuple[int, int]:
        """How many requests have been answered or given up so far, and how many of them failed."""
        return len(self._seen), self._failed

    def stop(self) -> Visits:
        """Let every visitor finish the request under way, send no more, and tell what they saw."""
        self._stopped = True
        return self.wait()

    def wait(self) -> Visits:
        """Wait until a bound is met, and tell what they saw."""
        self._wait()
        if self._loop is not None:
            self._loop.close()
            self._loop, self._wait = None, lambda: None
        return self.seen()

    async def _visit(self) -> None:
        deadline = time.monotonic() + self._seconds
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=self._timeout) as client:
            await asyncio.gather(*(self._visitor(client, deadline) for _ in range(self._visitors)))

    async def _visitor(self, client: aiohttp.ClientSession, deadline: float) -> None:
        while not self._stopped and self._left > 0 and time.monotonic() < deadline:
            self._left -= 1
            visit = await self._request(client)
            self._seen.append(visit)
            self._failed += visit.failed
            await asyncio.sleep(self._pause)

    async def _request(self, client: aiohttp.ClientSession) -> Visit:
        began = time.time()
        try:
            async with client.get(self._url, allow_redirects=False) as answer:
                await answer.read()
                return Visit(began, time.time(), answer.status, answer.headers.get("X-Version"), None)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return Visit(began, time.time(), 0, None, f"{type(error).__name__}: {error}")
