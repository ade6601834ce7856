"""Time as a thing that is passed in: real for the demo, virtual for tests and the simulation."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol


class Clock(Protocol):
    """Tells the time and can wait."""

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    def sleep(self, seconds: float) -> None:
        """Come back when so many seconds have passed."""
        ...

    def late(self, seconds: float) -> None:
        """The current work takes so much longer."""
        ...


class RealClock:
    """The computer's own clock."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait in earnest."""
        time.sleep(max(0.0, seconds))

    def late(self, seconds: float) -> None:
        """Wait in earnest."""
        self.sleep(seconds)


class VirtualClock:
    """A clock that stands still until somebody sleeps; then it jumps, and runs on its way what was put on it.

    It has no thread: `sleep` is what moves it, so two hours of a release take milliseconds, always in the same way.
    """

    def __init__(self, start: float = 1_767_225_600.0) -> None:
        """Begin at `start` (epoch seconds; 2026-01-01 unless told)."""
        self._now = start
        self._number = itertools.count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._late: float | None = None  # None: nothing is done beside anybody

    def now(self) -> float:
        """Seconds since the epoch, as far as this clock has been moved."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Move on by so many seconds at once; callbacks due on the way run in the order of their time."""
        self.move_to(self._now + max(0.0, seconds))

    def move_to(self, when: float) -> None:
        """Move on to that moment; a moment that has passed moves nothing. A callback may itself sleep."""
        while self._due and self._due[0][0] <= when:
            due, _, callback = heapq.heappop(self._due)
            self._now = max(self._now, due)
            callback()
        self._now = max(self._now, when)

    def late(self, seconds: float) -> None:
        """Let what is done beside somebody take so much longer; without any such, sleep."""
        if self._late is None:
            self.sleep(seconds)
        else:
            self._late += seconds

    def beside(self, work: Callable[[], Any], heed: Callable[[], float]) -> Any:
        """Do work at once, and give what comes of it when it has taken its time (`late`).

        `heed` is called before, and until then again after the seconds that it gives; what it raises ends the waiting.
        """
        wait, outer = heed(), self._late
        self._late = 0.0
        try:
            outcome = _settled(work)
            ends = self._now + self._late
        finally:
            self._late = outer
        while self._now < ends:
            self.sleep(min(ends - self._now, wait))
            wait = heed() if self._now < ends else 0.0
        return outcome.result()

    def at(self, when: float, callback: Callable[[], None]) -> None:
        """Have `callback` run when the clock reaches `when`; of two at one moment, the one put first runs first."""
        heapq.heappush(self._due, (when, next(self._number), callback))

    def after(self, seconds: float, callback: Callable[[], None]) -> None:
        """Have `callback` run so many seconds from now."""
        self.at(self._now + seconds, callback)


def _settled(work: Callable[[], Any]) -> Future[Any]:
    outcome: Future[Any] = Future()
    try:
        outcome.set_result(work())
    except BaseException as error:
        outcome.set_exception(error)
    return outcome
