"""What a step tells, while it goes on and at its end: the log, GitHub, annotations, the page, outputs."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bluegreen import entry_points, wording
from bluegreen.action import summary
from bluegreen.action.workflow import Workflow
from bluegreen.advice import EntryPoint, advised
from bluegreen.errors import BlueGreenError, Interrupted
from bluegreen.events import Awaited, Awaiting, Event, EventKind, Outcome
from bluegreen.release import Release, agreeing, apply, count_of, fold, moment

if TYPE_CHECKING:
    from bluegreen.github import GitHub

#: The Action's outputs, in the order in which they are documented.
OUTPUTS = (
    "decision",
    "reason",
    "release",
    "phase",
    "service",
    "blue-group",
    "green-group",
    "image-id",
    "template-version",
    "result",
    "report",
)

#: So many of the events before this step are lines of its log: whoever takes a long release over drives it at once.
EARLIER = 100


class Reporter:
    """Shows a step to everybody; `release` is the state that it showed last."""

    def __init__(self, workflow: Workflow, github: GitHub | None = None) -> None:
        self.workflow, self.github = workflow, github
        self.release: Release | None = None
        self._events: list[Event] = []
        self._awaited: tuple[Awaited, float | None] | None = None

    @property
    def events(self) -> Sequence[Event]:
        """All events of the release that are known here, in order."""
        return self._events

    # --- while it goes on ------------------------------------------------------------------------

    def from_the_start(self, events: Sequence[Event]) -> None:
        """The page also shows what happened before this step; the log has the end of it."""
        if not events:
            return
        if unsaid := events[:-EARLIER]:
            self.release, self._events = fold(unsaid), list(unsaid)
            self._line(
                unsaid[-1].at, f"{count_of(len(unsaid), 'earlier event')} {agreeing(len(unsaid))} in the journal"
            )
        for event in events[-EARLIER:]:
            self._hear(apply(self.release, event) if self.release else fold([event]), event)
        assert self.release is not None
        if len(events) == 1:  # it was begun by this very step
            for found in wording.beforehand(self.release, loud=True):
                said = advised(found.removeprefix("warning: "), EntryPoint.GITHUB)
                self.workflow.annotate("warning", f"bluegreen: {self.release.id}", said)
        if self.github:
            self.github.tell(self.release, None, None, None)

    def tell(self, release: Release, event: Event | None, awaited: Awaited | None, deadline: float | None) -> None:
        """The driver's Tell: the log, grouped by phase, and GitHub."""
        if event is not None and self._events and event.seq <= self._events[-1].seq:
            return
        if event is not None:
            self._hear(release, event)
        elif awaited is not None:
            self._wait(release, awaited, deadline)
        if self.github:
            self.github.tell(release, event, awaited, deadline)

    def tell_of_many(
        self, release: Release, event: Event | None, awaited: Awaited | None, deadline: float | None
    ) -> None:
        """The Tell of one driver among several: each line names its release."""
        if event is not None:
            said = wording.sentence(event, release)
            self._line(event.at, f"{release.id} {wording.phase_title(release.phase)}: {said}")
        if self.github:
            self.github.tell(release, event, awaited, deadline)

    def _hear(self, release: Release, event: Event) -> None:
        self.release = release
        self._events.append(event)
        if isinstance(event.payload, Awaiting):
            self._wait(release, event.payload.awaited, event.payload.deadline)
            return
        self.workflow.group("" if release.outcome else wording.phase_title(release.phase))
        self._line(event.at, wording.sentence(event, release))
        for found in wording.beforehand(release) if event.kind is EventKind.STARTED else ():
            self._line(event.at, found)

    def _wait(self, release: Release, awaited: Awaited, deadline: float | None) -> None:
        if self._awaited == (awaited, deadline):
            return
        self._awaited = (awaited, deadline)
        now = time.time()
        self._line(now, wording.awaiting(awaited, deadline, now, release))

    def _line(self, at: float, said: str) -> None:
        self.workflow.say(f"{_clock(at)} {advised(said, EntryPoint.GITHUB)}")

    # --- at the end ------------------------------------------------------------------------------

    def output(self, result: Mapping[str, Any]) -> None:
        """The Action's outputs; what is not known is empty."""
        values = {name: _text(result.get(name)) for name in OUTPUTS}
        self.workflow.output({**values, "result": json.dumps(result, default=str)})

    def ended(self, seconds: float, error: BlueGreenError | None = None) -> None:
        """Annotations and the page, and within so many seconds what GitHub still lacks."""
        self.workflow.group("")
        if error is not None:
            self._annotate_error(error)
        elif self.release is not None:
            self._annotate(self.release)
        problems = self._flushed(seconds)
        if self._events:
            self.workflow.summary(summary.page(self._events, problems=problems))
        elif error is not None:
            self.workflow.summary(
                summary.failure(
                    error.where or "bluegreen", error.what, entry_points.way_on(error, None, EntryPoint.GITHUB)
                )
            )

    def waits_for_a_driver(self, release: Release, events: Sequence[Event], how_to_go_on: str, seconds: float) -> None:
        """After a step that was cancelled."""
        self.release = release
        self._flushed(seconds)
        self.workflow.annotate("warning", f"bluegreen: {release.id} waits for a driver", how_to_go_on)
        self.workflow.summary(summary.page(events))

    def _flushed(self, seconds: float) -> tuple[str, ...]:
        if self.github is None:
            return ()
        if self.release is not None:
            self.github.parked(self.release)
        problems = self.github.close(seconds)
        for problem in problems:
            self.workflow.annotate("warning", "bluegreen: GitHub has not everything", problem)
        return problems

    def _annotate(self, release: Release) -> None:
        level = "notice" if release.outcome in (Outcome.LIVE, None) else "error"
        step = wording.next_step(release)
        message = wording.outcome_line(release) + (f"\n{step}" if step else "")
        self.workflow.annotate(level, f"bluegreen: {release.id}", advised(message, EntryPoint.GITHUB))

    def _annotate_error(self, error: BlueGreenError) -> None:
        level = "warning" if isinstance(error, Interrupted) else "error"
        hint = entry_points.way_on(error, self.release, EntryPoint.GITHUB)
        said = f"{error.what.rstrip('.')}. {hint}" if hint else error.what
        self.workflow.annotate(level, f"bluegreen: {error.where}" if error.where else "bluegreen", said)


def _clock(at: float) -> str:
    return moment(at, "%H:%M:%S UTC")


def _text(value: object) -> str:
    return "" if value is None else str(value)
