"""What Prometheus reads at /metrics, and the fence between releases: one that fails is counted and harms no other."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from bluegreen.errors import AwsError, BlueGreenError, LeaseLost

#: What goes wrong with one release again and again is logged so often, in seconds.
TOLD_EVERY = 600.0
_SECONDS = (1, 5, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400)
_BLINK = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2, 3)


class Counters:
    """The bot's numbers, in a registry of their own so that two bots in one process do not meet."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()

        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(f"bluegreen_{name}", what, labels, registry=registry)

        def gauge(name: str, what: str) -> Gauge:
            return Gauge(f"bluegreen_{name}", what, registry=registry)

        self.releases = counter("releases", "Releases that settled, as the leader saw them", "outcome")
        self.rollbacks = counter("rollbacks", "Releases that returned to blue", "reason")
        self.limited = counter("slack_rate_limited", "Calls that Slack answered with 429", "method")
        self.failures = counter("slack_failures", "Calls to Slack that failed", "method", "error")
        self.closed = counter("connections_closed", "Connections closed before an answer", "why")
        self.under_way = gauge("releases_under_way", "Releases that have not settled")
        self.driving = gauge("releases_driven_here", "Releases that this bot drives")
        self.fenced = counter("fenced", "Errors that kept a release from being read, shown or driven", "what")
        self.following = gauge("follower", "1 while this bot keeps the cards")
        self.phases = Histogram(
            "bluegreen_phase_seconds", "How long phases took", ["phase"], buckets=_SECONDS, registry=registry
        )
        self.acknowledged = Histogram(
            "bluegreen_slack_acknowledgement_seconds",
            "From a request to its acknowledgement",
            ["kind"],
            buckets=_BLINK,
            registry=registry,
        )

    def page(self) -> bytes:
        """All of it in Prometheus's text form."""
        return generate_latest(self.registry)


class Fence:
    """Between releases: what goes wrong with one is logged at a bounded rate and counted, and the others go on."""

    def __init__(self, metrics: Counters, log: logging.Logger, now: Callable[[], float] = time.monotonic) -> None:
        self._metrics, self._log, self._now = metrics, log, now
        self._since: dict[tuple[str, str], float] = {}
        self._said: dict[tuple[str, str], float] = {}

    def passes(self, what: str, whose: str, act: Callable[[], object]) -> bool:
        """Do it with one release; whether it went well. A journal out of reach or a lost lease concerns them all."""
        one = (what, whose)
        try:
            act()
        except (AwsError, LeaseLost):
            raise
        except Exception as error:
            self._metrics.fenced.labels(what).inc()
            self._since.setdefault(one, self._now())
            self._tell(one, error)
            return False
        self._since.pop(one, None)
        return True

    def _tell(self, one: tuple[str, str], error: Exception) -> None:
        now, (what, whose) = self._now(), one
        if now - self._said.get(one, -math.inf) >= TOLD_EVERY:
            self._said[one] = now
            trace = None if isinstance(error, BlueGreenError) else error
            self._log.error("%s: cannot be %s, the others go on: %s", whose, what, error, exc_info=trace)

    def failing(self, what: str, seconds: float = 0.0) -> tuple[str, ...]:
        """Who has failed for so long, by name."""
        ends = self._now() - seconds
        return tuple(sorted(whose for (of, whose), since in list(self._since.items()) if of == what and since <= ends))
