"""How long a rollback takes, from the order to green's last answer: `python -m tests.benchmark.rollback`.

On the lab's virtual clock, with the driver alive, for shared and for weighted traffic and for health checks of several
intervals. The order is given soon after the switch, when a shared blue may still be about to drain, and long after it.
docs/timing.md has the table; a test plays one row of it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from bluegreen.events import Phase
from lab.aws.engine import Timings
from tests.worlds import Ops

#: Seconds between two health checks of a target (a target group may have 5 to 300; 30 is the default).
INTERVALS = (5, 10, 30)
#: Seconds from the switch to the order, soon and long after it: several, because checks and polls have their rhythm.
SOON, LATE = (1, 3, 5), (600, 603, 606)
#: Seconds between two looks at who gets traffic.
STEP = 0.5


@dataclass(frozen=True)
class Span:
    """The shortest and the longest of several times, in seconds."""

    least: float
    most: float

    def __str__(self) -> str:
        """As the table has it."""
        if self.most < 1:
            return "below 1 s"
        least, most = f"{self.least:.0f}", f"{self.most:.0f}"
        return f"{most} s" if least == most else f"{least} to {most} s"


def measured(interval: int, after: float, *, weighted: bool) -> float:
    """Seconds from an order, given so long after the switch, to green's last answer to a new request.

    The first check of a new target comes a complete interval after it was registered: AWS promises no time, so this
    is the longest that it can take where every check passes.
    """
    checks = {"HealthCheckIntervalSeconds": interval, "HealthCheckTimeoutSeconds": min(interval - 1, 5)}
    ops = Ops(
        instances=4,
        weighted=weighted,
        health=checks,
        timings=Timings(register=interval),
        changes={"soak": "1h"},
    )
    release = ops.start()
    last, ordered = [0.0], [0.0]

    def look() -> None:
        if release.green_group in ops.serving():
            last[0] = ops.clock.now()
            ops.clock.after(STEP, look)

    def order() -> None:
        ordered[0] = ops.clock.now()
        ops.engine().roll_back(release.service, who="slack:U1")
        look()

    def when(seen: object) -> None:
        switched = ops.serving() == {release.green_group}
        if switched and not ordered[0]:
            ordered[0] = ops.clock.now() + after
            ops.clock.at(ordered[0], order)

    done = ops.drive(release.id, when=when)
    assert done is not None
    assert (done.outcome, done.left) == ("rolled_back", Phase.SOAKING), done.message
    return last[0] - ordered[0]


def span(interval: int, moments: tuple[int, ...], *, weighted: bool) -> Span:
    """Of orders at all these moments."""
    found = [measured(interval, after, weighted=weighted) for after in moments]
    return Span(min(found), max(found))


def rows() -> Iterator[tuple[str, str, str, str]]:
    """The table: traffic, interval, ordered soon after the switch, ordered long after."""
    for weighted, interval in itertools.product((True, False), INTERVALS):
        soon, late = (str(span(interval, moments, weighted=weighted)) for moments in (SOON, LATE))
        yield "weighted" if weighted else "shared", f"{interval} s", soon, late


if __name__ == "__main__":
    for row in rows():
        print(f"| {' | '.join(row)} |")
