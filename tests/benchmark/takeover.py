"""What a long history costs whoever goes on: steps of the Action, real processes, with a release held for hours.

The events are those of a check that flaps, as a build without a bound recorded them: each change is one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bluegreen import Engine, EventKind, Phase, release_id
from bluegreen.journal import Journal
from tests.worlds.processes import PATIENCE, Place, place

SERVICE = "web/production"
ID = release_id(SERVICE, 1)
#: Events of the releases that are taken over; what the shortest costs is taken off: Python, and the calls of any step.
FEW, SIZES = 50, (1000, 2000, 4000)
TRIES = 3

Row = tuple[str, str, str]


def rows() -> list[Row]:
    """CPU of taking a release over, from the start of the step to its end after the first look; and of an order."""
    with tempfile.TemporaryDirectory() as folder, place(Path(folder) / "world", poll=1) as at:
        at.run("release", "--ami", _image(at), "--commit", "0badcafe", "--until", "held")
        costs = dict[int, float]()
        for size in (FEW, *SIZES):
            _grow(at, size)
            costs[size] = min(_step(at, "resume") for _ in range(TRIES))
        order, whole = _order(at)
    above = {size: costs[size] - costs[FEW] for size in SIZES}
    said = ", ".join(f"{above[size]:.2f} s for {size:,}" for size in SIZES)
    ratio = above[SIZES[-1]] / above[SIZES[-2]]
    return [
        ("CPU of the Action's taking over, above a short release's", f"{said} ({ratio:.1f} x)", "at most 1 s, linear"),
        (
            f"`command: rollback` in a hold with {SIZES[-1]:,} events",
            f"{order:.1f} s of the step's {whole:.1f} s to the order",
            "-",
        ),
    ]


def _image(at: Place) -> str:
    return str(at.world.client("ec2").register_image(Name="next-1", RootDeviceName="/dev/xvda")["ImageId"])


def _grow(at: Place, size: int) -> None:
    """The check flaps until the journal holds so many events."""
    journal = _journal(at)
    release = journal.load(ID)
    assert release.phase is Phase.HOLDING
    for seq in range(release.seq + 1, size + 1):
        passed, now = bool(seq % 2), at.clock.now()
        run = {"passed": passed, "streak": 1, "since": now, "held_since": release.started_at, "lost": False}
        facts = {"subject": "home", "value": "200 in 0.01 s" if passed else "503 in 0.01 s", **run}
        journal.append(ID, seq, EventKind.OBSERVED, facts, now)


def _journal(at: Place) -> Journal:
    return Engine(session=at.aws.session(recorded=False), clock=at.clock)._journal


def _step(at: Place, command: str) -> float:
    """Seconds of CPU of one step."""
    process = _begun(at, command)
    _, status, used = os.wait4(process.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, command
    process.returncode = 0
    return used.ru_utime + used.ru_stime


def _order(at: Place) -> tuple[float, float]:
    """Seconds from the start of the step until its order stands in the journal, and until blue serves alone again."""
    began = time.time()
    assert _begun(at, "rollback").wait(PATIENCE) == 0
    ended = time.time()
    order = next(event for event in _journal(at).read(ID) if event.kind is EventKind.ROLLBACK_ORDERED)
    return order.at - began, ended - began


def _begun(at: Place, command: str) -> subprocess.Popen[bytes]:
    inputs = {"INPUT_COMMAND": command, "INPUT_SERVICE": SERVICE}
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    line = [sys.executable, "-m", "bluegreen.action"]
    return subprocess.Popen(line, env={**kept, **at.account, **inputs}, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    for one in rows():
        print(*one, sep=" | ")
