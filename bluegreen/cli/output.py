"""What a command prints: lines, JSON objects, tables, and the last word."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, Self

import click

from bluegreen import entry_points, wording
from bluegreen.errors import BlueGreenError, Interrupted, LeaseLost
from bluegreen.events import Awaited, Awaiting, Event, EventKind
from bluegreen.release import Release, moment

_PHASE_WIDTH = 12  # the longest is "rolling back"


class Screen(Protocol):
    """Shows a release while it goes on; `release` is its last state."""

    release: Release | None
    says_the_end: bool  # whether it has said in full how a release ended

    def __enter__(self) -> Self:
        """Begin to show."""
        ...

    def __exit__(self, *error: object) -> None:
        """Leave the terminal as a terminal is expected to be left."""
        ...

    def tell(self, release: Release, event: Event | None, awaited: Awaited | None, deadline: float | None) -> None:
        """Show what happened, or what the release waits for; the driver's `Tell`."""
        ...

    def note(self, text: str) -> None:
        """Show a remark; a signal handler may call it."""
        ...


def screen_for(*, as_json: bool, several: bool = False) -> Screen:
    """JSON objects, the live picture on a terminal that can show it, or lines."""
    if as_json:
        return Objects()
    if several or not can_show_pictures():
        return Lines(several=several)
    from bluegreen.cli.picture import Picture

    return Picture()


def can_show_pictures() -> bool:
    """Whether there is a terminal that moves its cursor and knows UTF-8."""
    utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown") and utf8


class _Stream:
    """A screen that only ever adds to its end."""

    says_the_end = True

    def __init__(self) -> None:
        self.release: Release | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """Past Python's buffers, which a signal may have interrupted."""
        os.write(2, f"{wording.visible(text)}\n".encode())


class Lines(_Stream):
    """One line per event, with the time: `12:03:07 overlapping   green: 4 of 4 serving`."""

    def __init__(self, *, several: bool = False) -> None:
        super().__init__()
        self._several = several
        self._awaited: dict[str, tuple[Awaited, float | None]] = {}

    def tell(self, release: Release, event: Event | None, awaited: Awaited | None, deadline: float | None) -> None:
        """A line for the event, or for a new wait."""
        self.release = release
        if event is not None and isinstance(event.payload, Awaiting):
            awaited, deadline, event = event.payload.awaited, event.payload.deadline, None
        if event is not None:
            self._line(release, event.at, wording.sentence(event, release))
            for found in wording.beforehand(release) if event.kind is EventKind.STARTED else ():
                self._line(release, event.at, found)
        elif awaited is not None and self._awaited.get(release.id) != (awaited, deadline):
            self._awaited[release.id] = (awaited, deadline)
            now = time.time()
            self._line(release, now, wording.awaiting(awaited, deadline, now, release))

    def _line(self, release: Release, at: float, text: str) -> None:
        state = release.outcome.value.replace("_", " ") if release.outcome else wording.phase_title(release.phase)
        who = f"{release.id}  " if self._several else ""
        say(f"{clock(at)} {who}{state:<{_PHASE_WIDTH}}  {text}")


class Objects(_Stream):
    """One JSON object per event; waits are not events and are left out."""

    def tell(self, release: Release, event: Event | None, awaited: Awaited | None, deadline: float | None) -> None:
        """The event, its facts and its sentence."""
        self.release = release
        if event is not None:
            facts = dict(event.facts)
            said = {"kind": event.kind, "phase": release.phase, "facts": facts}
            sentence = wording.sentence(event, release)
            echo_json({"release": release.id, "seq": event.seq, "at": event.at, **said, "sentence": sentence})


@contextmanager
def warnings_to(screen: Screen) -> Iterator[None]:
    """The driver's warnings become remarks, so that they do not tear the picture."""
    logger, handler = logging.getLogger("bluegreen"), _Remarks(screen)
    logger.addHandler(handler)
    propagated, logger.propagate = logger.propagate, False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagated


class _Remarks(logging.Handler):
    def __init__(self, screen: Screen) -> None:
        super().__init__(logging.WARNING)
        self._screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        """The message alone; a traceback is for BLUEGREEN_DEBUG."""
        text = self.format(record) if os.environ.get("BLUEGREEN_DEBUG") else record.getMessage()
        self._screen.note(f"{record.levelname.lower()}: {text}")


# --- the last word -----------------------------------------------------------------------------------------


def ended(release: Release, *, as_json: bool, said: bool = False) -> None:
    """Show where the release stands, unless the last line said so, and what a person can do."""
    if as_json:
        echo_json(entry_points.result(release))
        return
    if not (said and release.outcome):
        say(wording.outcome_line(release))
    hint(wording.next_step(release))


def failure(error: BlueGreenError, release: Release | None = None, *, as_json: bool) -> None:
    """An error on stderr: where, what, and what to do next; with --json also a result."""
    place = f"{error.where}: " if error.where else ""
    label = "interrupted" if isinstance(error, Interrupted | LeaseLost) else "error"
    say(f"{label}: {place}{error.what}", err=True)
    hint(entry_points.way_on(error, release), err=True)
    if as_json:
        echo_json(entry_points.failed_result(error, release))


def say(text: str, *, err: bool = False, colour: str | None = None) -> None:
    """Print, with control characters escaped: names and answers come from others. A colour is for terminals alone."""
    shown = wording.visible(text)
    click.echo(click.style(shown, fg=colour) if colour else shown, err=err)


def hint(text: str, *, err: bool = False) -> None:
    """A line on what to do next."""
    if text:
        say(f"  {text}", err=err)


def echo_json(value: dict[str, Any]) -> None:
    """One object on one line."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    click.echo("".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text))


# --- tables ------------------------------------------------------------------------------------------------


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Rows under heads: ruled on a terminal, elsewhere columns that end where the longest cell ends."""
    listed = [[wording.one_line(cell) for cell in row] for row in rows]
    if can_show_pictures():
        _rich_table(heads, listed)
        return
    widths = [max(map(len, column)) for column in zip(heads, *listed, strict=True)]
    for row in (heads, *listed):
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _rich_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for head in heads:
        drawn.add_column(head, overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(cell, style=_CELLS.get(cell.split(",")[0], "")) for cell in row))
    Console(highlight=False).print(drawn)


_CELLS = {"live": "green", "rolled back": "yellow", "failed": "bold red", "frozen": "cyan", "nobody": "dim", "-": "dim"}


def clock(at: float) -> str:
    """The local time of day, with its zone."""
    return moment(at, "%H:%M:%S %Z", None)


def date(at: float) -> str:
    """The local day and minute, with its zone."""
    return moment(at, "%Y-%m-%d %H:%M %Z", None)
