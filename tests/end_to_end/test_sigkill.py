"""Real processes, really killed: `bluegreen` dies by SIGKILL at some call, and another one takes over.

Much of the time is spent waiting for the dead driver's lease to lapse, short as it is here, so many worlds wait side by
side.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.worlds.processes import When, place

AT_ONCE = 6


def killed_release(folder: Path, call: int, when: When) -> list[str]:
    """`release` dies at that call; `resume` brings it live."""
    with place(folder) as p:
        if not p.kill_at(call, when, "release", "--commit", "c0ffee01"):
            return [f"call {call}: the release ended before it"]
        again = ("resume",) if p.kinds("started") else ("release", "--commit", "c0ffee01")
        result = p.run(*again)
        ended = [] if (result["code"], result["decision"]) == (0, "live") else [str(result)]
        return [f"call {call} {when}: {text}" for text in ended + p.wrong(live=True)]


def killed_rollback(folder: Path, call: int, when: When) -> list[str]:
    """`rollback` dies at that call; `resume`, or the order again if it was not written, brings blue back alone."""
    with place(folder) as p:
        held = p.run("release", "--commit", "c0ffee01", "--until", "held")
        assert held["decision"] == "held", held
        if not p.kill_at(call, when, "rollback"):
            return [f"call {call}: the rollback ended before it"]
        result = p.run("rollback")
        if result["code"] == 4:
            result = p.run("resume")
        ended = [] if result["decision"] == "rolled_back" else [str(result)]
        return [f"call {call} {when}: {text}" for text in ended + p.wrong(live=False)]


@pytest.mark.slow
def test_killed_at_six_points(tmp_path: Path) -> None:
    """Four in a release, two in a rollback; before and after the call's effect. All points are in test_crashes."""
    moments: tuple[When, When] = ("before", "after")
    cases = [(killed_release, 20 + 50 * n, moments[n % 2]) for n in range(4)]
    cases += [(killed_rollback, 4 + 26 * n, moments[n % 2]) for n in range(2)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ends = [pool.submit(case, tmp_path / f"{n}", call, when) for n, (case, call, when) in enumerate(cases)]
    wrong = [text for end in ends for text in end.result()]
    assert wrong == []
