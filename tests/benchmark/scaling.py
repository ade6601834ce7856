"""A group that scales on its load is released under load, in real time; every request counted.

Real servers behind the real proxy of the lab, which tells CloudWatch of each request; the command `bluegreen` in a
process of its own. The load doubles when green serves alone, and once more when it is live. Bounded: the visitors rest
between two requests, and stop after `LONGEST` seconds.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bluegreen.events import EventKind, Phase
from lab.demo_service import DemoService
from lab.load import Load
from tests.benchmark.traffic import Quiet, Row, print_measured

#: So many visitors at first, each with some four requests a second; with two instances half of them for each.
VISITORS, REST = 4, 0.25
#: Requests a minute and instance that the group's policy is to hold.
TARGET = 600.0
#: An alarm of target tracking wants three minutes of load; a soak has to be longer than that. Seconds.
SOAK, PATIENCE, LONGEST = 330, 330.0, 1200.0
GROUP = {"MinSize": 1, "MaxSize": 8}


@dataclass(frozen=True)
class Outcome:
    """What the visitors saw, and how many instances green was to have."""

    requests: int
    failed: int
    sizes: tuple[int, int, int]  # when the load doubled, when live, and after it had doubled again
    code: int


def rows() -> Iterator[Row]:
    """The rows of `make benchmark`."""
    done = play()
    grew = ", then ".join(str(size) for size in done.sizes)
    yield "load doubles in the soak and after live: failed", f"{done.failed} of {done.requests:,}", "0"
    yield "green's size, by its own policy", f"{grew} (exit code {done.code})", "more before it is live"


def play() -> Outcome:
    """Release, double the load in the soak and after it, and wait until green has grown."""
    teller = Quiet()
    with tempfile.TemporaryDirectory(prefix="bluegreen-scaling-") as folder, contextlib.ExitStack() as loads:
        stage = DemoService(Path(folder), teller, 2, VISITORS, LONGEST, world={"group": GROUP}, pause=REST, soak=SOAK)
        loads.callback(stage.close)
        _scales(stage)
        release = stage.bluegreen("release", "--commit", stage.servers.repository.push("2"))
        _until(lambda: _entered(teller, Phase.SOAKING) or not release.running)
        sizes = [_size(stage)]
        more = [loads.enter_context(_visitors(stage, VISITORS))]
        code = release.wait(SOAK + PATIENCE)
        sizes.append(_size(stage))
        more.append(loads.enter_context(_visitors(stage, 2 * VISITORS)))
        _until(lambda: _size(stage) > sizes[1])
        sizes.append(_size(stage))
        time.sleep(10)  # the new ones join, and serve
        seen = [load.stop() for load in (stage.load, *more)]
        requests, failed = (sum(counts) for counts in zip(*((len(v.all), len(v.failed)) for v in seen), strict=True))
        return Outcome(requests, failed, (sizes[0], sizes[1], sizes[2]), code)


def _scales(stage: DemoService) -> None:
    """A target tracking policy by the requests to each target."""
    label = f"{stage.world.balancer.partition(':loadbalancer/')[2]}/{stage.world.target_group.rpartition(':')[2]}"
    metric = {"PredefinedMetricType": "ALBRequestCountPerTarget", "ResourceLabel": label}
    stage.world.client("autoscaling").put_scaling_policy(
        AutoScalingGroupName=stage.world.group,
        PolicyName="requests",
        PolicyType="TargetTrackingScaling",
        TargetTrackingConfiguration={"PredefinedMetricSpecification": metric, "TargetValue": TARGET},
    )


def _visitors(stage: DemoService, count: int) -> Load:
    return Load(stage.balancer.url, visitors=count, pause=REST, seconds=LONGEST)


def _entered(teller: Quiet, phase: Phase) -> bool:
    return any(one.kind == EventKind.ENTERED and one.phase == phase for one in teller.said)


def _size(stage: DemoService) -> int:
    """Of green, which is the group beside the one that the world began with."""
    groups = stage.world.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    return sum(group["DesiredCapacity"] for group in groups if group["AutoScalingGroupName"] != stage.world.group)


def _until(done: Callable[[], bool]) -> None:
    ends = time.monotonic() + PATIENCE
    while not done() and time.monotonic() < ends:
        time.sleep(1)


if __name__ == "__main__":
    print_measured(rows)
