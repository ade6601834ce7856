"""Dying at every call: the world is forked at each, one copy loses its driver there, another driver takes over."""

from __future__ import annotations

import gc
import os
import pickle
import sys
import traceback
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field

from bluegreen.events import EventKind, Outcome, Verb
from bluegreen.release import Release
from lab.aws.client import Answers
from lab.aws.wire import Answer, Incoming
from tests.worlds import Died, Ops

#: Copies of the world that run at the same time, beside the first: pytest has a worker for each core and more.
AT_ONCE = 1


@dataclass(frozen=True)
class Point:
    """Where a driver died: its call number, which, and whether AWS had heard of it."""

    number: int
    operation: str
    heard: bool

    def __str__(self) -> str:
        """For people to read."""
        return f"call {self.number} {self.operation} {'after' if self.heard else 'before'} its effect"


def _tells(request: Incoming) -> bool:
    """Whether it only writes down what was seen, what is awaited, or that the driver lives."""
    asked = request.direct or {}
    if request.name == "dynamodb:UpdateItem":
        return "lease" in asked["Key"].get("sk", {}).values()
    return request.name == "dynamodb:PutItem" and asked["Item"].get("kind", {}).get("S") in _TELLING


_TELLING = (EventKind.OBSERVED, EventKind.AWAITED)


@dataclass
class Crashes:
    """Forks the world at the calls of one driver. In the copy the driver is dead."""

    active: bool = True
    died: bool = False
    copy: Point | None = None  # in a copy: where it began
    points: list[Point] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    _calls: int = 0
    _changes: int = 0  # how many of the calls have changed something that matters to the next driver
    _told: bool = False  # whether the last change only told what is
    _visited: int = -1  # after how many changes the world was last forked
    _pipe: int = -1
    _children: list[tuple[Point, int, int]] = field(default_factory=list)

    def watch(self, answers: Answers) -> Answers:
        """Every call that is answered by these answers may be a point to die at."""

        def answer(request: Incoming, recorded: bool) -> Answer:
            if self.died:
                raise Died
            self._calls += 1
            self._visit(Point(self._calls, request.name, heard=False))
            answered = answers(request, recorded)
            if request.mutating:
                told, self._told = self._told, _tells(request)
                self._changes += not (told and self._told)
                self._visit(Point(self._calls, request.name, heard=True))
            return answered

        return answer

    def _visit(self, point: Point) -> None:
        """A driver keeps nothing: until its next change has been answered, all its deaths leave the same world.

        Of what a driver only tells, one thing after another, the first is enough: who takes over looks for itself.
        """
        if self.active and self._visited != self._changes:
            self._visited = self._changes
            if self.branch(point):
                self.died = True
                raise Died

    def branch(self, point: Point) -> bool:
        """Go on in two worlds; True in the copy."""
        if self.copy:
            return False
        self.points.append(point)
        while len(self._children) >= AT_ONCE:
            self._collect()
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            sys.settrace(None)  # nobody reads what a copy covers, and tracing doubles its time
            gc.disable()
            self.copy, self._pipe = point, writer
            return True
        os.close(writer)
        self._children.append((point, child, reader))
        return False

    def end(self, verify: Callable[[], list[str]]) -> None:
        """In a copy: judge how it ended, report and exit. In the first world: wait for the copies."""
        if self.copy:
            self._report(verify)
        while self._children:
            self._collect()

    def _report(self, verify: Callable[[], list[str]]) -> None:
        try:
            wrong = verify()
        except BaseException:
            wrong = [traceback.format_exc()[-2500:]]
        with os.fdopen(self._pipe, "wb") as pipe:
            pickle.dump(wrong, pipe)
        os._exit(0)

    def _collect(self) -> None:
        point, child, reader = self._children.pop(0)
        with os.fdopen(reader, "rb") as pipe:
            answer = pipe.read()
        os.waitpid(child, 0)
        wrong = pickle.loads(answer) if answer else ["the copy of the world vanished"]  # from our own child
        self.results += [f"{point}: {text}" for text in wrong]


def within(told: Sequence[Release], verbs: Container[Verb]) -> bool:
    """Whether the newest event of the release, as it was told of last, is that one of these acts has begun."""
    last = max(told[-1].began.values(), key=lambda event: event.seq, default=None)
    return last is not None and last.verb in verbs and last.seq == told[-1].seq


def die_everywhere(
    ops: Ops,
    release: Release,
    outcome: Outcome,
    when: Callable[[Release], None],
    *,
    after: Callable[[], bool],
    then: Callable[[], Outcome] | None = None,
    also: Callable[[Release], list[str]] = lambda done: [],
) -> Crashes:
    """Drive the release; at every call for which `after()` holds, also see what becomes of it if the driver dies.

    `then` is what people do before the next driver takes over; it says what that makes of the release. `also` says what
    else is wrong with how it ended.
    """
    crashes = Crashes(active=after())

    def tell(seen: Release) -> None:
        when(seen)
        crashes.active = after()

    def taken_over() -> list[str]:
        expected = then() if then else outcome
        ended = ops.rescue(release.id, when=when)
        return verify(ops, ended, expected) + also(ended)

    done = ops.drive(release.id, death=crashes, when=tell)
    if crashes.died:
        crashes.end(taken_over)
    assert done is not None
    crashes.results += verify(ops, done, outcome) + also(done)
    crashes.end(list)
    return crashes


def verify(ops: Ops, done: Release, outcome: Outcome) -> list[str]:
    """Whatever is wrong with how a release ended."""
    wrong = [] if done.outcome == outcome else [f"ended {done.outcome} ({done.reason}: {done.message}), not {outcome}"]
    return wrong + ops.wrong(done)
