"""The live picture of one release on a terminal: its state, its wait, the last events.

`draw` is pure, so that every state of it can be looked at in a test; `Picture` keeps it on the screen.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from bluegreen import wording
from bluegreen.cli import output
from bluegreen.events import Awaited, CheckState, Event, EventKind, Fleet, Outcome, Phase, Verb
from bluegreen.release import Release, duration

_CELLS = 24  # of a line that goes through the whole time of the release
_LEVELS = "▁▂▃▄▅▆▇█"
_WHOLE = 24  # lines of a terminal that has room for all
_MOST_CHECKS = 6
_MOST_EVENTS = 6
_STORY = tuple(phase for phase in Phase if phase is not Phase.ROLLING_BACK)
_OUTCOMES = {Outcome.LIVE: "bold green", Outcome.ROLLED_BACK: "bold yellow", Outcome.FAILED: "bold red"}
#: Kinds that stand elsewhere in the picture, or are followed at once by another that says more.
_UNTOLD = frozenset({EventKind.BEGAN, EventKind.AWAITED, EventKind.SETTLED})
_MARKS = dict.fromkeys((EventKind.STUMBLED, EventKind.BLINDED, EventKind.ERRED, EventKind.ROLLBACK_ORDERED), "yellow")


@dataclass(frozen=True)
class Sample:
    """Both groups at a moment: the healthy part of each, and green's part of the traffic; None: not known."""

    at: float
    blue: float | None
    green: float | None
    share: float | None


def sample(release: Release, at: float) -> Sample:
    """Both groups as the release knows them."""
    blue, green = (_part(release, which) for which in ("blue", "green"))
    seen = release.fleet("green")
    return Sample(at, blue, green, None if seen is None or seen.share is None else seen.share / 100)


def _part(release: Release, which: str) -> float | None:
    seen = release.fleet(which)
    return None if seen is None else min(1.0, _healthy(seen) / max(1, seen.desired))


@dataclass(frozen=True)
class View:
    """Everything that the picture shows."""

    release: Release
    events: Sequence[tuple[float, EventKind, str]] = ()  # at, kind, sentence; the newest last
    awaited: Awaited | None = None
    deadline: float | None = None
    note: str = ""
    closed: bool = False  # it stays on the screen, and what is printed below it goes on from there
    history: Sequence[Sample] = ()  # the newest last


class Picture:
    """Keeps the picture on the screen; its clock goes on between events."""

    says_the_end = False  # it would have to cut it short

    def __init__(self, console: Console | None = None) -> None:
        self.release: Release | None = None
        self._scene: View | None = None
        self._note = ""
        self._events: deque[tuple[float, EventKind, str]] = deque(maxlen=_MOST_EVENTS)
        self._history: tuple[Sample, ...] = ()
        self._console = console or Console(highlight=False)
        self._closed = threading.Event()
        self._live = Live(get_renderable=self._draw, console=self._console, refresh_per_second=4)

    def __enter__(self) -> Self:
        """Begin to show."""
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the last picture on the screen, and the cursor below it."""
        self._closed.set()
        self._live.stop()

    def tell(self, release: Release, event: Event | None, awaited: Awaited | None, deadline: float | None) -> None:
        """Take an event or a wait; the next refresh shows it."""
        self.release = release
        for found in wording.beforehand(release) if event is not None and event.kind is EventKind.STARTED else ():
            self._live.console.print(Text(found, "yellow" if found.startswith("warning") else "dim"))
        if event is not None and event.kind not in _UNTOLD:
            self._events.append((event.at, event.kind, wording.sentence(event, release)))
        if event is not None:
            self._history = also(self._history, sample(release, event.at))
        if awaited is None and release.awaits is not None:  # somebody else drives, and has told it
            awaited, deadline = release.awaits.awaited, release.awaits.deadline
        self._scene = View(release, tuple(self._events), awaited, deadline, history=self._history)

    def note(self, text: str) -> None:
        """Show a remark until the end."""
        self._note = text

    def _draw(self) -> RenderableType:
        scene, size = self._scene, self._console.size
        if scene is None:
            return Text(self._note) if self._closed.is_set() else Text(self._note or "looking at AWS …", style="dim")
        closed = self._closed.is_set()
        return draw(replace(scene, note=self._note, closed=closed), time.time(), size.width, size.height)


def draw(scene: View, now: float, width: int = 80, height: int = 24) -> RenderableType:
    """The picture at that time, at most so wide and high."""
    release = scene.release
    width = min(width, 100)
    parts: list[RenderableType] = [
        _head(release, now, width),
        Text(),
        *_phases(release),
        Text(),
        _fleet(scene, now, height),
    ]
    if release.checks:
        parts += [Text(), _checks(release, width)]
    if not scene.closed:
        parts += [Text(), *_now(scene, now, width)]
    used = sum(part.row_count if isinstance(part, Table) else 1 for part in parts)
    room = max(1, min(_MOST_EVENTS, height - used - 3))
    return Group(*parts, Text(), *_events(scene.events[-room:], width))


def _head(release: Release, now: float, width: int) -> Table:
    """What is released, and for how long it has been under way."""
    what = Text.assemble((release.id, "bold"), ("  ", ""), (_content(release), "dim"))
    elapsed = duration((release.settled_at or now) - release.started_at)
    row = Table.grid(expand=False)
    row.add_column(width=width - 12, no_wrap=True, overflow="ellipsis")
    row.add_column(width=10, justify="right", no_wrap=True)
    row.add_row(Text("  ") + what, Text(elapsed))
    return row


def _content(release: Release) -> str:
    return "  ".join(part for part in (release.commit[:8], release.image) if part)


# --- the phases --------------------------------------------------------------------------------------------


def _phases(release: Release) -> Iterator[Text]:
    """A bar with one part a phase, and their names below it."""
    bar, names = Text("  "), Text("  ")
    for title, style, mark in _phase_parts(release):
        bar.append(mark * len(title) + " ", style)
        names.append(title + " ", style)
    yield bar
    yield names


def _phase_parts(release: Release) -> Iterator[tuple[str, str, str]]:
    at = release.left or release.phase
    back = release.phase is Phase.ROLLING_BACK
    for phase in _STORY:
        if phase is Phase.HOLDING and not release.hold and at is not phase:
            continue
        past = _STORY.index(phase) < _STORY.index(at) or release.outcome is Outcome.LIVE
        if past or (back and phase is at):
            yield wording.phase_title(phase), "dim" if back else "green", "━"
        elif phase is at:
            yield wording.phase_title(phase), _present(release), "━"
        elif not back:
            yield wording.phase_title(phase), "bright_black", "─"
    if back:
        yield wording.phase_title(Phase.ROLLING_BACK), _present(release), "━"


def _present(release: Release) -> str:
    if release.outcome:
        return _OUTCOMES[release.outcome]
    return "bold yellow" if release.phase is Phase.ROLLING_BACK else "bold cyan"


# --- the groups --------------------------------------------------------------------------------------------


def _fleet(scene: View, now: float, height: int) -> Table:
    """Both groups: healthy of all over the time of the release, and now; then how the traffic moved to green."""
    release, samples = scene.release, scene.history or (sample(scene.release, now),)
    cells = over_time(samples, release.started_at, release.settled_at or now)
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=9)
    grid.add_column(min_width=8, max_width=24, no_wrap=True, overflow="ellipsis")
    grid.add_column(width=_CELLS)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(no_wrap=True)
    for which, group in (("blue", release.blue_group), ("green", release.green_group)):
        grid.add_row(*_group_row(which, group, release, [getattr(one, which) if one else None for one in cells]))
    if height >= _WHOLE and any(one and one.share is not None for one in cells):
        share = _line([one.share if one else None for one in cells], "green")
        grid.add_row(Text("  traffic", "dim"), Text("on green", "dim"), share, Text(), Text())
    return grid


def also(history: tuple[Sample, ...], now: Sample) -> tuple[Sample, ...]:
    """With one sample more, if it differs from the last: so their number is that of the changes."""
    last = history[-1] if history else None
    same = last is not None and (last.blue, last.green, last.share) == (now.blue, now.green, now.share)
    return history if same else (*history, now)


def over_time(samples: Sequence[Sample], since: float, until: float) -> list[Sample | None]:
    """For each cell of a line the last sample before its end; None before the first one."""
    length = max(until - since, 1.0)
    ends = [since + length * (cell + 1) / _CELLS for cell in range(_CELLS)]
    return [next((one for one in reversed(samples) if one.at <= end + 0.001), None) for end in ends]


def _line(parts: Sequence[float | None], colour: str) -> Text:
    """A sparkline: as high as the part; flat and grey where there is nothing."""
    line = Text()
    for part in parts:
        mark = _LEVELS[round(part * (len(_LEVELS) - 1))] if part else "▁" if part is not None else "─"
        line.append(mark, colour if part else "bright_black")
    return line


def _gone(release: Release, which: str) -> bool:
    deleting = Verb.DELETE_BLUE if which == "blue" else Verb.DELETE_GREEN
    return deleting in release.did


def _group_row(which: str, name: str, release: Release, parts: Sequence[float | None]) -> tuple[Text, ...]:
    seen, gone = release.fleet(which), _gone(release, which)
    title, line = Text(f"  {which}", which), _line(parts, which)
    if release.pair and which == "green" and (seen is None or Verb.RETURN_GREEN in release.did):
        return title, Text(name), line, Text(), Text("idle", "dim")
    if gone or seen is None:
        return title, Text(name), line, Text(), Text("removed" if gone else "", "dim")
    up = _healthy(seen)
    short = Text(f"{up}/{seen.desired}", "" if up >= seen.desired else "bold yellow")
    return title, Text(name), line, short, _share(seen.share)


def _healthy(seen: Fleet) -> int:
    """Healthy in the load balancer's eyes once it has any, else in its group's."""
    return seen.serving or (0 if seen.share else seen.in_service)


def _share(share: float | None) -> Text:
    return Text(f"{share:.0f} % of traffic") if share else Text("no traffic", "dim")


# --- the checks --------------------------------------------------------------------------------------------


def _checks(release: Release, width: int) -> Table:
    """Every check with what it saw last; those that fail first when there are too many."""
    states = list(release.checks.values())
    if len(states) > _MOST_CHECKS:
        states = sorted(states, key=lambda s: (s.passed, s.held))
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, max_width=24, overflow="ellipsis")
    grid.add_column(no_wrap=True, max_width=width - 48, overflow="ellipsis")
    grid.add_column(no_wrap=True)
    for state in states[:_MOST_CHECKS]:
        grid.add_row(*_check_row(state, wording.needed(release, state.name), wording.flaps(release, state.name)))
    if len(states) > _MOST_CHECKS:
        grid.add_row(Text(f"  and {len(states) - _MOST_CHECKS} more", "dim"), Text(), Text())
    return grid


def _check_row(state: CheckState, needs: int, flaps: str) -> tuple[Text, Text, Text]:
    said = wording.one_line(state.value)
    value = Text(f"{flaps}: {said}" if flaps else said, "dim" if state.held and not flaps else "")
    if not state.passed:
        times = f"failed {state.streak}×" if state.streak > 1 else "failed"
        return Text.assemble(("  ✗ ", "bold red"), state.name), value, Text(times, "red")
    if state.held:
        return Text.assemble(("  ✓ ", "green"), state.name), value, Text("holds", "dim")
    count = f"{state.streak} of {needs}" if needs else f"{state.streak}×"
    return Text.assemble(("  · ", "cyan"), state.name), value, Text(count, "cyan")


# --- now, and what happened --------------------------------------------------------------------------------


def _now(scene: View, now: float, width: int) -> Iterable[Text]:
    """What the release waits for and how long; what a person can do, or a remark. Always two lines."""
    release = scene.release
    if release.outcome:
        yield _fit(wording.outcome_line(release), width, _OUTCOMES[release.outcome])
    elif scene.awaited:
        yield _waiting(scene.awaited, scene.deadline, now, release, width)
    else:
        yield _fit(wording.phase_meaning(release.phase, release), width, "bold")
    if scene.note:
        yield _fit(scene.note, width, "bold yellow")
    else:
        yield _fit(wording.next_step(release), width, "dim")


def _waiting(awaited: Awaited, deadline: float | None, now: float, release: Release, width: int) -> Text:
    """The time left stands at the right edge; a long text before it is cut."""
    left = wording.time_left(awaited, deadline, now)
    room = width - len(left) - 4
    what = _fit(wording.awaiting(awaited, None, now, release), room, "bold")
    what.pad_right(room - what.cell_len)
    return what.append(f"  {left}", "cyan")


def _events(events: Sequence[tuple[float, EventKind, str]], width: int) -> Iterable[Text]:
    for at, kind, said in events:
        line = Text.assemble((output.clock(at), "bright_black"), "  ")
        line.append(said, _MARKS.get(kind, ""))
        yield _fit(line, width)


def _fit(text: Text | str, width: int, style: str = "") -> Text:
    """The text as one line of the picture, cut with an ellipsis when it is too long."""
    line = Text.assemble("  ", text if isinstance(text, Text) else (text, style))
    line.truncate(width - 1, overflow="ellipsis")
    return line
