"""Requests, as the load balancers tell CloudWatch of them: real ones one by one, made-up ones in bulk or by simulation.

    balancer (real)  saw ─┐
    test             feed ├─► RequestCount, HTTPCode_Target_2XX_Count …, TargetResponseTime of group and balancer
    virtual visitors ─────┘   HealthyHostCount follows the targets by itself
                           RequestCountPerTarget, and the CPU of groups (`capacity`), are reckoned from both when read

Which metric has which dimensions, and that idle metrics have no data, is from "CloudWatch metrics for your
Application Load Balancer" (and "Network": it knows flows, not requests).
"""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lab.aws.engine import Target, Timeline
from lab.aws.metrics import Metrics, Points, name_of
from lab.aws.targets import Targets
from lab.machines import Manner

APPLICATION, NETWORK = "AWS/ApplicationELB", "AWS/NetworkELB"
CAPACITY, IDLE = 100.0, 2.0
"""Of an instance: requests a second that keep it wholly busy, unless told; percent of its CPU without any."""


class Seen(NamedTuple):
    """One request, as the load balancer saw it."""

    group: str
    status: int
    seconds: float | None
    at: float


@dataclass
class Hosts:
    """How many targets of a group are healthy since when, and until when that is published."""

    healthy: int = 0
    unhealthy: int = 0
    since: float = 0
    told: int = -1


class Traffic:
    """What passes through the load balancers."""

    def __init__(self, engine: Timeline, metrics: Metrics, targets: Targets, weights: Callable[[str], dict[str, int]]):
        """Tell these metrics; `weights` says what a listener or rule forwards to."""
        self.engine, self.metrics, self.targets, self.weights = engine, metrics, targets, weights
        self._waiting: deque[Seen] = deque()
        self._hosts: dict[str, Hosts] = {}
        self.capacity = CAPACITY
        """Requests a second that keep an instance wholly busy."""
        metrics.sources.append(self._settle)
        metrics.derived[APPLICATION, "RequestCountPerTarget"] = self._requests_per_target
        metrics.derived["AWS/EC2", "CPUUtilization"] = self._cpu
        targets.on_change.append(self._target_changed)

    # -- what happened ---------------------------------------------------------------------------------------------

    def saw(self, group: str, status: int, seconds: float | None, at: float | None = None) -> None:
        """One request to that target group, from any thread. `seconds` is None when no target answered it."""
        self._waiting.append(Seen(group, status, seconds, self.engine.clock.now() if at is None else at))

    def feed(
        self, group: str, count: int, *, at: float | None = None, failures: int = 0, seconds: Iterable[float] = ()
    ) -> None:
        """`count` requests of one moment (now, unless told), so many of them answered with 500; with answer times."""
        statuses = Counter({200: count - failures, 500: failures})
        self._tell(group, self.engine.clock.now() if at is None else at, statuses, list(seconds))

    def simulate(
        self,
        listener: str,
        rate: float,
        *,
        seed: int = 0,
        every: float = 5.0,
        drift: float = 0.05,
        wobble: float = 0.02,
    ) -> SimulatedVisitors:
        """Virtual visitors from now on: `rate` a second on average, by the weights of that listener (or rule).

        They come in batches every `every` seconds of the lab's time. How a version answers is what the machines say
        (`PretendMachines.behaves`). `drift`: how much all answer times go up and down together, minute by minute;
        `wobble`: how much one instance is slower or quicker than another (both: deviation of the logarithm).
        """
        return SimulatedVisitors(self, listener, rate, random.Random(seed), every, drift, wobble)

    def dimensions(self, group: str) -> list[dict[str, str]]:
        """The dimensions of a target group's metrics, as a request has them."""
        found = self._balancer(group)
        if found is None:
            raise ValueError(f"no load balancer forwards to {group}, so it has no metrics")
        return [{"Name": name, "Value": value} for name, value in {**_of_group(group), **_of_balancer(found)}.items()]

    # -- what is told ----------------------------------------------------------------------------------------------

    def balancing_changed(self) -> None:
        """A listener or rule was changed: groups come under a load balancer, and leave it."""
        for group in self.engine.state.targets:
            self._count_hosts(group)

    def _target_changed(self, group: str, _target: Target) -> None:
        self._count_hosts(group)

    def _settle(self) -> None:
        """Tell what was seen and not yet told; whoever reads metrics does it first."""
        batches: dict[tuple[str, float], list[Seen]] = {}
        while self._waiting:
            seen = self._waiting.popleft()
            batches.setdefault((seen.group, seen.at // 1), []).append(seen)
        for (group, at), many in batches.items():
            answered = [seen for seen in many if seen.seconds is not None]
            times = [seen.seconds for seen in answered if seen.seconds is not None]
            self._tell(group, at, Counter(seen.status for seen in answered), times)
            self._tell_failures(group, at, Counter(seen.status for seen in many if seen.seconds is None))
        for group in self._hosts:
            self._tell_hosts(group, self.engine.now)

    def _tell(self, group: str, at: float, statuses: Mapping[int, int], seconds: list[float]) -> None:
        for dimensions in self._reported(group, at, sum(statuses.values())):
            kinds = Counter({f"{kind}XX": 0 for kind in range(2, 6)})
            for status, count in statuses.items():
                kinds[f"{status // 100}XX"] += count
            self._put("RequestCount", dimensions, at, [1], [sum(statuses.values())])
            for kind, count in kinds.items():
                self._put(f"HTTPCode_Target_{kind}_Count", dimensions, at, [1], [count])
            self._put("TargetResponseTime", dimensions, at, seconds, unit="Seconds")

    def _tell_failures(self, group: str, at: float, statuses: Mapping[int, int]) -> None:
        """What the load balancer answered itself: no target, or none that answered."""
        reached = sum(count for status, count in statuses.items() if status != 503)
        for dimensions in self._reported(group, at, sum(statuses.values())):
            self._put("RequestCount", dimensions, at, [1], [reached])
            self._put("TargetConnectionErrorCount", dimensions, at, [1], [statuses.get(502, 0)])
            if "TargetGroup" not in dimensions:
                self._put("HTTPCode_ELB_5XX_Count", dimensions, at, [1], [sum(statuses.values())])
                for status, count in statuses.items():
                    self._put(f"HTTPCode_ELB_{status}_Count", dimensions, at, [1], [count])

    def _reported(self, group: str, at: float, count: int) -> Iterator[dict[str, str]]:
        """The dimensions under which requests to a group are told; a Network Load Balancer tells flows only."""
        balancer = self._balancer(group)
        if balancer is None:
            return
        if _namespace(balancer) == NETWORK:
            self._put("NewFlowCount", _of_balancer(balancer), at, [1], [count])
            return
        yield {**_of_group(group), **_of_balancer(balancer)}
        yield _of_balancer(balancer)

    def _put(
        self,
        metric: str,
        dimensions: dict[str, str],
        at: float,
        values: Iterable[float],
        counts: list[float] | list[int] | None = None,
        unit: str = "Count",
    ) -> None:
        """Nothing is told where nothing happened."""
        if counts is not None and not sum(counts):
            return
        values = list(values)
        if values:
            timings = self.engine.timings
            namespace = NETWORK if dimensions["LoadBalancer"].startswith("net/") else APPLICATION
            self.metrics.put(
                namespace,
                metric,
                values,
                dimensions,
                at,
                counts=counts,
                resolution=timings.publish,
                unit=unit,
                lag=timings.lag,
            )

    # -- what is reckoned --------------------------------------------------------------------------------------------

    def _requests_per_target(self, of: dict[str, str], period: int, start: float, end: float) -> Points | None:
        """Requests by healthy hosts, where there were any; its load balancer need not be among the dimensions."""
        found = [arn for arn in self.engine.state.targets if arn.endswith(":" + of.get("TargetGroup", "?"))]
        loads = self._loads(found[0], period, start, end) if found else None
        return None if loads is None else [(at, load) for at, load in loads if load]

    def _loads(self, group: str, period: int, start: float, end: float) -> Points | None:
        """Requests to each healthy host; None if there never were any requests."""
        balancer = self._balancer(group)
        dimensions = {**_of_group(group), **_of_balancer(balancer)} if balancer else {}
        requests = name_of(APPLICATION, "RequestCount", dimensions)
        if not self.metrics.has(requests):
            return None
        hosts = name_of(APPLICATION, "HealthyHostCount", dimensions)
        healthy = dict(self.metrics.points(hosts, "Average", period, start, end))
        came = dict(self.metrics.points(requests, "Sum", period, start, end))
        return [(at, came.get(at, 0) / max(1.0, healthy.get(at, 1.0))) for at in sorted({*came, *healthy})]

    def _cpu(self, of: dict[str, str], period: int, start: float, end: float) -> Points | None:
        """Of an Auto Scaling group, as an average of its instances: by the requests to each in its target groups."""
        group = self.engine.state.groups.get(of.get("AutoScalingGroupName", ""))
        told = [self._loads(arn, period, start, end) for arn in group.sources] if group else []
        if not any(loads is not None for loads in told):
            return None
        rates: dict[float, float] = {}
        for at, load in itertools.chain.from_iterable(loads or () for loads in told):
            rates[at] = rates.get(at, 0) + load / period
        return [(at, min(100.0, IDLE + 100 * rate / self.capacity)) for at, rate in sorted(rates.items())]

    # -- hosts -----------------------------------------------------------------------------------------------------

    def _count_hosts(self, group: str) -> None:
        """Something changed: what was true until now is told, and what is true from now on is kept."""
        self._tell_hosts(group, self.engine.now)
        states = Counter(self.targets.states(group).values())
        registered = sum(count for state, count in states.items() if state not in ("draining", "unused"))
        if registered:
            self._hosts[group] = Hosts(states["healthy"], registered - states["healthy"], self.engine.now)
        else:
            self._hosts.pop(group, None)

    def _tell_hosts(self, group: str, until: float) -> None:
        hosts, balancer = self._hosts.get(group), self._balancer(group)
        if hosts is None or balancer is None:
            return
        step = self.engine.timings.publish
        for number in range(max(hosts.told + 1, int(hosts.since // step)), int(until // step) + 1):
            at = max(hosts.since, number * step)
            dimensions = {**_of_group(group), **_of_balancer(balancer)}
            self._put("HealthyHostCount", dimensions, at, [hosts.healthy])
            self._put("UnHealthyHostCount", dimensions, at, [hosts.unhealthy])
            hosts.told = number

    def _balancer(self, group: str) -> str | None:
        """The one load balancer that forwards to a group, if any does."""
        found: Any = self.targets.balancers().target_groups.get(group)
        return next(iter(found.load_balancer_arns), None) if found else None


@dataclass
class SimulatedVisitors:
    """Virtual visitors. What they met is counted by target group."""

    traffic: Traffic
    listener: str
    rate: float
    dice: random.Random
    every: float
    drift: float
    wobble: float
    requests: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    _speeds: dict[str, float] = field(default_factory=dict)
    _minute: tuple[int, float] = (-1, 1.0)
    _gone: bool = False

    def __post_init__(self) -> None:
        """The first batch comes after the first interval."""
        self.traffic.engine.after(self.every, self._come)

    def stop(self) -> None:
        """No more of them."""
        self._gone = True

    def _come(self) -> None:
        if self._gone:
            return
        self.traffic.engine.after(self.every, self._come)
        weights = {group: weight for group, weight in self.traffic.weights(self.listener).items() if weight}
        if weights:
            many = arrivals(self.dice, self.rate * self.every)
            chosen = Counter(self.dice.choices(list(weights), list(weights.values()), k=many))
            for group, count in sorted(chosen.items()):
                self._visit(group, count)

    def _visit(self, group: str, count: int) -> None:
        at = self.traffic.engine.now - self.every / 2
        states = self.traffic.targets.states(group)
        targets = [one for one, state in states.items() if state == "healthy"]
        targets = targets or [one for one, state in states.items() if state not in ("draining", "unused")]
        self.requests[group] += count
        if not targets:
            self.failures[group] += count
            for _ in range(count):
                self.traffic.saw(group, 503, None, at)
            return
        failed, seconds = 0, []
        for n, target in enumerate(targets):
            manner, mine = self._manner(target), count // len(targets) + (n < count % len(targets))
            failed += manner.failures(self.dice, mine)
            seconds += manner.times(self.dice, mine, self._speed(target) * self._weather())
        self.failures[group] += failed
        self.traffic.feed(group, count, at=at, failures=failed, seconds=seconds)

    def _manner(self, target: str) -> Manner:
        tell: Callable[[str], Manner] | None = getattr(self.traffic.engine.machines, "manner", None)
        return tell(target) if tell else Manner()

    def _speed(self, target: str) -> float:
        """What makes this instance slower or quicker than others, for as long as it lives."""
        if target not in self._speeds:
            self._speeds[target] = self.dice.lognormvariate(0, self.wobble)
        return self._speeds[target]

    def _weather(self) -> float:
        """What makes everything slower or quicker in this minute."""
        minute = int(self.traffic.engine.now // 60)
        if minute != self._minute[0]:
            self._minute = minute, self.dice.lognormvariate(0, self.drift)
        return self._minute[1]


def arrivals(dice: random.Random, expected: float) -> int:
    """How many come where so many are expected and each comes by itself (Poisson; for many by its normal limit)."""
    if expected > 50:
        return max(0, round(dice.gauss(expected, math.sqrt(expected))))
    left, count = math.exp(-expected), 0
    chance = dice.random()
    while chance > left:
        chance *= dice.random()
        count += 1
    return count


def _namespace(balancer: str) -> str:
    return NETWORK if ":loadbalancer/net/" in balancer else APPLICATION


def _of_group(group: str) -> dict[str, str]:
    return {"TargetGroup": group.rpartition(":")[2]}


def _of_balancer(balancer: str) -> dict[str, str]:
    return {"LoadBalancer": balancer.partition(":loadbalancer/")[2]}
