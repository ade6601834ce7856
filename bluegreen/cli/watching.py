"""What `status --watch` shows when no release is named: the table of services, until the person ends it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import click

from bluegreen import entry_points
from bluegreen.engine import ServiceStatus

#: Seconds between two looks, and between two looks whether to end.
EVERY, HEARD = 5.0, 0.2
Sleep = Callable[[float], None]


def again(
    look: Callable[[], Sequence[ServiceStatus]],
    show: Callable[[Sequence[ServiceStatus]], None],
    in_place: bool,
    sleep: Sleep = time.sleep,
) -> int:
    """Show what `look` gives: in its place on a terminal, elsewhere whenever more than the time has changed."""
    before = None
    with entry_points.stopping(lambda text: None) as stop:
        while not stop():
            found = look()
            now = [(one.service, one.driver, one.unreadable, one.record, one.release) for one in found]
            if in_place:
                click.clear()
            if in_place or now != before:
                show(found)
            before = now
            _wait(stop, sleep)
    return entry_points.OK


def _wait(stop: entry_points.Stop, sleep: Sleep) -> None:
    for _ in range(round(EVERY / HEARD)):
        if stop():
            return
        sleep(HEARD)
