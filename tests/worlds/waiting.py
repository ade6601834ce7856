"""Waits that end: for anything that comes a little later than what announced it."""

from __future__ import annotations

import inspect
import json
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from lab.slack import FakeSlack

T = TypeVar("T")
#: Seconds for anything that is waited for: a bot takes a release up that nobody has driven for 10 s.
PATIENCE = 90.0
#: Seconds between two looks, when it takes long: looking costs, too.
LONGEST = 0.25


class Speaks(Protocol):
    """A process whose log is kept."""

    @property
    def log(self) -> str:
        """What it said so far."""
        ...


def eventually(
    true: Callable[[], T],
    seconds: float = PATIENCE,
    *,
    bots: Iterable[Speaks] = (),
    slack: FakeSlack | None = None,
) -> T:
    """Wait for something to become true, and return it; what was waited for and who said what when it does not."""
    ends, pause = time.monotonic() + seconds, 0.01
    while not (found := true()):
        assert time.monotonic() < ends, f"waited {seconds:.0f} s in vain for {_source(true)}\n{_told(bots, slack)}"
        time.sleep(pause)
        pause = min(1.2 * pause, LONGEST)
    return found


def _source(true: Callable[[], object]) -> str:
    try:
        return inspect.getsource(true).strip()
    except (OSError, TypeError):
        return repr(true)


def _told(bots: Iterable[Speaks], slack: FakeSlack | None) -> str:
    logs = "\n".join(one.log for one in bots)[-5000:]
    whispers = [vars(one) for one in slack.messages.copy() if one.ephemeral] if slack else []
    return logs + (json.dumps(whispers, default=str)[-3000:] if whispers else "")


def alive(folder: Path) -> list[str]:
    """Those that work inside `folder` (on Linux; elsewhere none are seen, and closed ports must do as evidence)."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,args="], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if str(folder) in _working_folder(line.split()[0])]


def _working_folder(pid: str) -> str:
    try:
        return str(Path(f"/proc/{pid}/cwd").readlink())
    except OSError:
        return ""
