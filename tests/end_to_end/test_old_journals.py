"""A release that an earlier build began goes on under this one from every phase, forward and back."""

from __future__ import annotations

from functools import partial

import pytest

from bluegreen.events import Outcome, Phase
from bluegreen.release import Release
from tests import journals
from tests.worlds import Ops, once
from tests.worlds.crashes import Crashes, Point, verify


@pytest.mark.parametrize(("build", "file"), journals.recordings())
def test_a_release_of_an_earlier_build_goes_on(build: str, file: str) -> None:
    """At each point the world is copied, the old journal replaces this build's, and another driver takes over."""
    worlds, points = Crashes(), journals.points(build, file)

    def at(ops: Ops, point: str, seen: Release) -> None:
        if worlds.copy:
            return
        if point == Phase.BAKING:  # from here on the release is that build's, and so is the token of what it makes
            journals.replace_journal(build, file, point, ops, seen)
        for back in _orders_back(file, point) if point in points else ():
            if worlds.branch(Point(seen.seq, f"{point}, {'back' if back else 'on'}", heard=True)):
                worlds.end(partial(_goes_on, ops, build, file, point, seen, back=back))

    journals.play(journals.STORIES[file], at)
    worlds.end(list)
    assert worlds.results == []
    assert len(worlds.points) == sum(len(_orders_back(file, point)) for point in points)


def _orders_back(file: str, point: str) -> tuple[bool, ...]:
    """Whether to order a rollback at this point, tried in turn. There is none once it rolls back or blue is emptied."""
    if journals.STORIES[file][1]:
        return () if point == Phase.BAKING else (False,)
    return (False, True) if point in set(Phase) else (False,)


def _goes_on(ops: Ops, build: str, file: str, point: str, seen: Release, *, back: bool) -> list[str]:
    """What was wrong."""
    journals.replace_journal(build, file, point, ops, seen)
    if back:
        ops.engine().roll_back(journals.SERVICE, who="slack:U1")

    def waits(seen: Release) -> bool:
        return seen.phase is Phase.HOLDING and seen.promotable

    done = ops.drive(seen.id, when=once(waits, lambda: journals.give_orders(ops, Phase.HOLDING)))
    assert done is not None
    return verify(ops, done, Outcome.ROLLED_BACK if back or journals.STORIES[file][1] else Outcome.LIVE)
