"""What the computers do: boot from an image, keep a disk, answer health checks, run scripts, be frozen into an image.

The fake AWS (`lab.aws`) only knows this protocol. `PretendMachines` keeps it in memory, `lab.server.Servers` with
real processes. An image that nobody froze is the one every service begins with.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from lab.clock import Clock

COMMIT = re.compile(r"\bBLUEGREEN_COMMIT=['\"]?([^\s'\";]+)")
CHECKS_OUT = re.compile(r"\b(checkout|switch|reset|pull|merge)\b")


@dataclass(frozen=True)
class Result:
    """How a script ended."""

    exit_code: int
    output: str


class Machines(Protocol):
    """What a fake AWS asks of its computers. It never starts a terminated one."""

    def start(self, instance_id: str, image_id: str) -> None:
        """Switch on: the first start copies the image's disk, a later one keeps its own."""
        ...

    def stop(self, instance_id: str) -> None:
        """Switch off; the disk stays. Nothing happens if it is off."""
        ...

    def terminate(self, instance_id: str) -> None:
        """Switch off and throw the disk away."""
        ...

    def answers(self, instance_id: str, path: str) -> bool:
        """Whether a health check of that path would pass now."""
        ...

    def submit(self, instance_id: str, script: str) -> Callable[[], Result | None]:
        """Begin to run a shell script as root; ask what is returned until it gives the result."""
        ...

    def freeze(self, instance_id: str, image_id: str) -> None:
        """Make an image of the disk as it is now."""
        ...

    def forget(self, image_id: str) -> None:
        """Throw an image away; the disks made from it stay."""
        ...


@dataclass
class Disk:
    """What matters of a disk: the commit whose code lies on it."""

    commit: str


@dataclass(frozen=True)
class Manner:
    """How a version answers visitors: answer times spread as those of web services do, with a long tail."""

    failing: float = 0.0
    """The share of requests that it answers with 500."""
    median: float = 0.05
    """Seconds that half of the answers take at most."""
    spread: float = 0.4
    """Deviation of the logarithm of the seconds: with 0.4, p90 is 1.7 and p99 some 3 times the median."""
    tail: float = 0.01
    """The share of requests that take three times as long, for whatever reason."""

    def failures(self, dice: random.Random, count: int) -> int:
        """How many of so many requests fail."""
        return sum(dice.random() < self.failing for _ in range(count)) if self.failing else 0

    def times(self, dice: random.Random, count: int, factor: float = 1.0) -> list[float]:
        """How many seconds each of so many answers takes, all of them longer by a factor."""
        middle = math.log(self.median * factor)
        return [
            dice.lognormvariate(middle, self.spread) * (3 if dice.random() < self.tail else 1) for _ in range(count)
        ]


@dataclass
class ScriptFailure:
    """Scripts that hold `text` end so, for the next `times` runs (None: always)."""

    text: str
    result: Result
    times: int | None

    def strikes(self, script: str) -> bool:
        """Whether this script is struck; counts it if so."""
        if self.text not in script or self.times == 0:
            return False
        self.times = None if self.times is None else self.times - 1
        return True


@dataclass
class FakeMachines:
    """Computers in memory, for tests and the simulation."""

    clock: Clock
    base: str = "v1"
    """The commit on the disk of an image that nobody froze."""
    images: dict[str, Disk] = field(default_factory=dict)
    disks: dict[str, Disk] = field(default_factory=dict)
    started: dict[str, float] = field(default_factory=dict)
    """Who is on, and since when (epoch seconds)."""
    scripts: list[tuple[str, str]] = field(default_factory=list)
    """Every script that was run: (instance, text)."""
    usual: Manner = Manner()
    """How a commit answers of which nothing else was said."""
    _manners: dict[str, Manner] = field(default_factory=dict)
    _sick: dict[str, float] = field(default_factory=dict)
    _killed: set[str] = field(default_factory=set)
    _slow: dict[str, float] = field(default_factory=dict)
    _troubles: list[ScriptFailure] = field(default_factory=list)

    def sick(self, commit: str, after: float = 0) -> None:
        """Let every machine with this commit fail its health checks from `after` seconds after its start."""
        self._sick[commit] = after

    def heal(self, commit: str) -> None:
        """Let that commit be well again."""
        self._sick.pop(commit, None)

    def behaves(self, commit: str, *, failing: float = 0.0, slower: float = 1.0) -> None:
        """Let this commit fail such a share of its requests, and be slower by a factor; its health checks pass."""
        self._manners[commit] = replace(self.usual, failing=failing, median=self.usual.median * slower)

    def manner(self, instance_id: str) -> Manner:
        """How an instance answers visitors."""
        disk = self.disks.get(instance_id, Disk(self.base))
        return self._manners.get(disk.commit, self.usual)

    def kill(self, instance_id: str) -> None:
        """Let one machine answer nothing any more, until it is started again."""
        self._killed.add(instance_id)

    def fails(self, text: str, output: str = "", exit_code: int = 1, times: int | None = None) -> None:
        """Let scripts that hold `text` fail so, the next `times` times (None: always)."""
        self._troubles.append(ScriptFailure(text, Result(exit_code, output), times))

    def slow(self, text: str, seconds: float) -> None:
        """Let scripts that hold `text` take so many seconds."""
        self._slow[text] = seconds

    def commit(self, instance_id: str) -> str:
        """The commit that an instance's disk carries. KeyError: it has none (never started, or terminated)."""
        return self.disks[instance_id].commit

    def image_commit(self, image_id: str) -> str:
        """The commit that an image carries."""
        return self.images.get(image_id, Disk(self.base)).commit

    def start(self, instance_id: str, image_id: str) -> None:
        """Switch on: the first start copies the image's disk."""
        self.disks.setdefault(instance_id, Disk(self.image_commit(image_id)))
        self.started.setdefault(instance_id, self.clock.now())
        self._killed.discard(instance_id)

    def stop(self, instance_id: str) -> None:
        """Switch off; the disk stays."""
        self.started.pop(instance_id, None)

    def terminate(self, instance_id: str) -> None:
        """Switch off and throw the disk away."""
        self.stop(instance_id)
        self.disks.pop(instance_id, None)

    def answers(self, instance_id: str, path: str) -> bool:
        """Whether it is on and its commit is healthy now."""
        return instance_id in self.started and instance_id not in self._killed and not self._is_sick(instance_id)

    def submit(self, instance_id: str, script: str) -> Callable[[], Result | None]:
        """Run a script: it may change the disk's commit, and ends when the time it takes has passed."""
        self.scripts.append((instance_id, script))
        ends = self.clock.now() + max((s for text, s in self._slow.items() if text in script), default=0.0)
        result = self._run(instance_id, script)
        return lambda: result if self.clock.now() >= ends else None

    def freeze(self, instance_id: str, image_id: str) -> None:
        """Make an image of the disk as it is now."""
        self.images[image_id] = Disk(self.disks[instance_id].commit if instance_id in self.disks else self.base)

    def forget(self, image_id: str) -> None:
        """Throw an image away."""
        self.images.pop(image_id, None)

    def _is_sick(self, instance_id: str) -> bool:
        after = self._sick.get(self.commit(instance_id))
        return after is not None and self.clock.now() >= self.started[instance_id] + after

    def _run(self, instance_id: str, script: str) -> Result:
        if instance_id not in self.started:
            return Result(255, f"{instance_id} does not run")
        for trouble in self._troubles:
            if trouble.strikes(script):
                return trouble.result
        if "healthz" in script and not self.answers(instance_id, "/healthz"):
            return Result(22, "curl: (22) The requested URL returned error: 500")
        if (wanted := COMMIT.search(script)) and CHECKS_OUT.search(script):
            self.disks[instance_id].commit = wanted.group(1)
        return Result(0, "")
