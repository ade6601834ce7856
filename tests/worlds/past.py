"""A world whose past took no time: what led to a situation is played on a clock that leaps, what is tested is not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from bluegreen import Engine, Until
from bluegreen.config import parse
from bluegreen.release import Release
from tests.worlds.processes import Place

#: How long ago such a world begins: longer than any past that is played.
AGO = 600.0
RUNNER = "arn:aws:iam::1:user/ann"


class LateClock:
    """The computer's own clock, minutes late. Whoever sleeps by it makes up for it at once; on time, they wait."""

    def __init__(self, late: float = AGO) -> None:
        self._late = late

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time() - self._late

    def sleep(self, seconds: float) -> None:
        """Make up for so much of the delay; wait when there is none."""
        if not self._late:
            time.sleep(max(0.0, seconds))
        self._late = max(0.0, self._late - max(0.0, seconds))

    def late(self, seconds: float) -> None:
        """As long as anything else."""
        self.sleep(seconds)

    def catch_up(self) -> None:
        """Be on time from now on."""
        self._late = 0.0


class PastPlace(Place):
    """A service in a world that is late until its release is held."""

    clock: LateClock

    def engine(self) -> Engine:
        """The product in this process, on this world's clock."""
        return Engine(session=self.aws.session(recorded=False), clock=self.clock)

    def live(self) -> int | None:
        """The number of the release that is live."""
        (found,) = self.engine().services()
        return found.live.number if found.live else None

    def held(self, commit: str = "c0ffee01") -> Release:
        """A release that waits for a promotion since some minutes, parked by its runner. Once in each world."""
        engine = self.engine()
        config = parse(yaml.safe_load(self.file.read_text()))
        begun = engine.start(config, commit=commit, who=RUNNER, hold=True)
        held = engine.drive(begun.id, until=Until.HELD, tell=lambda *_: None)
        assert self.clock.now() < time.time() - AGO / 4, "the past took too long"
        self.clock.catch_up()
        return held


@contextmanager
def past_place(folder: Path, **changes: Any) -> Iterator[PastPlace]:
    """Such a world; it is closed again."""
    folder.mkdir(parents=True)
    made = PastPlace(folder, clock=LateClock(), **changes)
    try:
        yield made
    finally:
        made.aws.close()
