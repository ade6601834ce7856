"""Weighted traffic under load, in real time: steps, a promotion, a rollback out of the soak; every request counted.

Real servers behind the real proxy of the lab, the command `bluegreen` in processes of its own. Bounded: the visitors
stop after `REQUESTS` requests or `LONGEST` seconds.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.console import Console

from bluegreen.events import EventKind, Verb
from lab.demo_service import SERVICE, DemoService, PrintedEvent, Teller
from lab.load import Visits

STEPS = (0, 10, 50)
#: Seconds of all steps together, and of the soak, which a rollback ends.
OVERLAP, SOAK = 60, 120
#: Seconds for which clients of one rule stick: after the rollback green stays for them.
STICKINESS = 15
VISITORS, REQUESTS, LONGEST = 24, 100_000, 480.0
#: A change of weights counts from the next request on; those under way and the clocks of two processes get so long.
SETTLING = 1.0

Row = tuple[str, str, str]


@dataclass(frozen=True)
class Step:
    """Green's share of one step: percent asked for, and seen by the visitors, of so many requests."""

    asked: int
    seen: float
    requests: int


@dataclass(frozen=True)
class Outcome:
    """What the visitors saw, and what it took."""

    visits: Visits
    steps: tuple[Step, ...]
    moved: tuple[str, ...]  # changing calls from the order to roll back to all traffic on blue
    codes: tuple[int, ...]


class Quiet(Teller):
    """Keeps what the command said, and prints nothing."""

    def __init__(self) -> None:
        super().__init__(Console(quiet=True))
        self.said: list[PrintedEvent] = []

    def hear(self, said: PrintedEvent | str) -> None:
        """Each event once, whoever tells it."""
        if isinstance(said, PrintedEvent) and said.seq not in {one.seq for one in self.said}:
            self.said.append(said)


def rows() -> Iterator[Row]:
    """The rows of `make benchmark`."""
    done = play()
    shares = ", ".join(f"{one.asked} % asked, {one.seen:.1f} % of {one.requests:,}" for one in done.steps)
    failed = len(done.visits.failed)
    yield "weighted release, promoted, rolled back: failed", f"{failed} of {len(done.visits.all):,}", "0 of 100,000"
    yield "green's share in each step", shares, "within 2 points"
    yield "changing calls until blue has all traffic", ", ".join(done.moved), "1 per listener"


def play(requests: int = REQUESTS, overlap: float = OVERLAP) -> Outcome:
    """Release by steps, hold, promote, roll back out of the soak, and let the visitors go on to their number."""
    teller = Quiet()
    settings: dict[str, Any] = {"traffic": {"steps": list(STEPS), "overlap": overlap}, "soak": SOAK}
    with tempfile.TemporaryDirectory(prefix="bluegreen-load-") as folder:
        world = {"rules": True, "stickiness": STICKINESS}
        stage = DemoService(
            Path(folder), teller, 3, VISITORS, LONGEST, weighted=True, world=world, pause=0.0, **settings
        )
        try:
            codes = _release_and_return(stage)
            _until(stage, requests)
            visits = stage.load.stop()
            return Outcome(visits, tuple(_steps(teller.said, visits)), _moved(stage, teller.said), codes)
        finally:
            stage.close()


def _release_and_return(stage: DemoService) -> tuple[int, ...]:
    commit = stage.servers.repository.push("2")
    codes = [stage.bluegreen("release", "--commit", commit, "--until", "held", by="person").wait(LONGEST)]
    promoting = stage.bluegreen("promote", SERVICE, by="person")
    stage.wait_until_alone("2", promoting)
    codes.append(stage.bluegreen("rollback", SERVICE, by="person").wait())
    return (*codes, promoting.wait())


def _until(stage: DemoService, requests: int) -> None:
    ends = time.monotonic() + LONGEST
    while stage.load.totals()[0] < requests and time.monotonic() < ends:
        time.sleep(0.5)


def _steps(said: list[PrintedEvent], visits: Visits) -> Iterator[Step]:
    """What visitors saw while each share was given: from its shift to the next."""
    shifts = [one for one in said if one.kind == EventKind.BEGAN and one.facts.get("verb") == Verb.SHIFT]
    done = {one.seq for one in said if one.kind == EventKind.DID}
    ends = [one.at for one in shifts if one.seq + 1 in done]
    for (shift, begins), (_, over) in pairwise(zip(shifts, ends, strict=True)):
        share = int(shift.facts["share"])
        seen = [one for one in visits.all if begins + SETTLING <= one.began < over - 0.1]
        green = sum(one.version == "2" for one in seen)
        if seen and share in STEPS:
            yield Step(share, 100 * green / len(seen), len(seen))


def _moved(stage: DemoService, said: list[PrintedEvent]) -> tuple[str, ...]:
    ordered = next(one.at for one in said if one.kind == EventKind.ROLLBACK_ORDERED)
    alone = next(
        one.at
        for one in said
        if one.at > ordered and one.facts.get("value") == "blue" and one.kind == EventKind.OBSERVED
    )
    calls = [one for one in stage.aws.calls if one.mutating and ordered <= one.when <= alone]
    return tuple(one.name for one in calls if one.service != "dynamodb")


def print_measured(rows: Callable[[], Iterable[Any]]) -> None:
    """Measure, and print the rows and how long it took."""
    began = time.monotonic()
    for row in rows():
        print(json.dumps(row))
    print(f"in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    print_measured(rows)
