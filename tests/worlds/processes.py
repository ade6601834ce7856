"""A world in this process, reached by HTTP, with `bluegreen` in processes of its own, whose leases are short."""

from __future__ import annotations

import functools
import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import yaml

from lab.aws import FakeAws, Timings
from lab.aws.faults import Swallowed
from lab.clock import Clock, RealClock
from lab.machines import FakeMachines
from lab.world import World
from tests.worlds.forked import Forked

#: A second or less for everything.
TIMINGS = Timings(0.2, 0.2, 0.1, 0.2, 0.2, 0.3, 0.1, 0.1, 0.1, 0.1, 0.2, 0.5, 0.1)
HEALTH = {"HealthCheckIntervalSeconds": 5, "HealthyThresholdCount": 2}
#: Seconds until a command that has not ended is stuck.
PATIENCE = 150
When = Literal["before", "after"]


class Place:
    """One service in a world of its own, reached by HTTP, and the command line in processes of its own."""

    def __init__(self, folder: Path, clock: Clock | None = None, **changes: Any) -> None:
        """`changes` go over the keys of the configuration."""
        self.clock = clock or RealClock()
        self.machines = FakeMachines(self.clock)
        self.aws = FakeAws(self.clock, self.machines, TIMINGS)
        self.world = World.standard(self.aws, instances=2, health=HEALTH, drain=1)
        self.file = folder / "bluegreen.yml"
        timeouts = {"bake": 60, "launch": 60, "healthy": 60}
        config = {**self.world.config(), "poll": 0.2, "soak": 0.3, "timeouts": timeouts}
        config["traffic"]["overlap"] = 0.3
        config |= changes
        self.file.write_text(yaml.safe_dump(config))
        self.url = self.aws.serve()

    def change(self, *, overlap: float) -> None:
        """For releases that begin from now on."""
        config = yaml.safe_load(self.file.read_text())
        config["traffic"]["overlap"] = overlap
        self.file.write_text(yaml.safe_dump(config))

    @property
    def account(self) -> dict[str, str]:
        """The environment that leads to this AWS."""
        keys = {"AWS_ACCESS_KEY_ID": "lab", "AWS_SECRET_ACCESS_KEY": "lab-secret-key"}
        return {**keys, "AWS_ENDPOINT_URL": self.url, "AWS_REGION": self.aws.region}

    def command(self, *words: str) -> Forked:
        """Start `bluegreen`."""
        line = ["bluegreen", *words, "--config", str(self.file), "--json"]
        return Forked(*line, environment={**os.environ, **self.account})

    def run(self, *words: str) -> dict[str, Any]:
        """Run `bluegreen` to its end; its result."""
        process = self.command(*words)
        out, err = process.communicate(timeout=PATIENCE)
        assert out, err
        result: dict[str, Any] = json.loads(out.splitlines()[-1])
        return {**result, "code": process.returncode}

    def kill_at(self, call: int | str, when: When, *words: str) -> bool:
        """Run `bluegreen` and kill it at its call of that number, or of that operation; whether it got so far.

        Before the call, AWS does not hear of it.
        """
        victim: Future[Forked] = Future()

        def kill() -> None:
            victim.result(PATIENCE).kill()
            if when == "before":
                raise Swallowed

        self.aws.faults.crash(call if isinstance(call, str) else len(self.aws.calls) + call, when, kill)
        victim.set_result(self.command(*words))
        victim.result().communicate(timeout=PATIENCE)
        return victim.result().returncode == -signal.SIGKILL

    def journal(self) -> str:
        """Everything that stands in the journal's table."""
        return json.dumps(self._table.scan(TableName="bluegreen")["Items"], default=str)

    def kinds(self, kind: str) -> list[str]:
        """The facts of every event of that kind, in JSON; "": of all events."""
        found = [one for page in self._pages() for one in page["Items"]]
        return [str(one["facts"]["S"]) for one in found if "kind" in one and kind in ("", one["kind"]["S"])]

    def _pages(self) -> Iterator[Any]:  # untyped in boto3
        """None before the first release has made the table."""
        with suppress(self._table.exceptions.ResourceNotFoundException):
            yield from self._table.get_paginator("scan").paginate(TableName="bluegreen")

    @functools.cached_property
    def _table(self) -> Any:  # untyped in boto3
        return self.aws.session(recorded=False).client("dynamodb")

    def wrong(self, live: bool) -> list[str]:
        """What does not hold at the end: sizes, processes, leftovers."""
        groups = self.world.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
        group = groups[0]
        found = [f"group {g['AutoScalingGroupName']}" for g in groups[1:]]
        found += [] if (group["AutoScalingGroupName"] != self.world.group) is live else ["the wrong group is left"]
        sizes = (group["MinSize"], group["DesiredCapacity"], group["MaxSize"], group["SuspendedProcesses"])
        found += [] if sizes == (2, 2, 4, []) else [f"sizes and processes are {sizes}"]
        return found + ([] if live else [x for x in self.world.leftovers() if "ami-" not in x and "image" not in x])


@contextmanager
def place(folder: Path, **changes: Any) -> Iterator[Place]:
    """A world that is closed again."""
    folder.mkdir(parents=True)
    made = Place(folder, **changes)
    try:
        yield made
    finally:
        made.aws.close()
