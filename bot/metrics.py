"""What Prometheus reads at /metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (1, 5, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400)
_BLINK = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2, 3)


class Metrics:
    """The bot's numbers, in a registry of their own so that two bots in one process do not meet."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()

        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(f"bluegreen_{name}", what, labels, registry=registry)

        def gauge(name: str, what: str) -> Gauge:
            return Gauge(f"bluegreen_{name}", what, registry=registry)

        self.releases = counter("releases", "Releases that settled, as the follower saw them", "outcome")
        self.rollbacks = counter("rollbacks", "Releases that returned to blue", "reason")
        self.limited = counter("slack_rate_limited", "Calls that Slack answered with 429", "method")
        self.failures = counter("slack_failures", "Calls to Slack that failed", "method", "error")
        self.closed = counter("connections_closed", "Connections that were closed before a request was answered", "why")
        self.under_way = gauge("releases_under_way", "Releases that have not settled")
        self.driving = gauge("releases_driven_here", "Releases that this bot drives")
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
