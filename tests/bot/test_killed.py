"""Bots that die by SIGKILL at some call to Slack, and what comes after: one card, each line once, the end right.

Much of the time is spent waiting for what the dead bot held to lapse, so many worlds wait side by side.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.worlds.chat import ON_CALL, PROMOTER, BotProcess, Chat, chat

AT_ONCE = 6
PERSON: dict[str, Any] = {"promotion": {"by": "person"}}


def killer(c: Chat, victim: BotProcess, number: int, when: str) -> threading.Event:
    """Kill the bot at that call to Slack, before or after its effect."""
    struck, seen = threading.Event(), [0]

    def watch(method: str, moment: str) -> None:
        if moment != when or method in ("auth.test", "apps.connections.open") or struck.is_set():
            return
        seen[0] += 1
        if seen[0] == number:
            struck.set()
            victim.kill()

    c.slack.watch = watch
    return struck


def wrong(c: Chat, ended: str, *, live: bool) -> list[str]:
    """What does not hold once the newest bot has told all of it."""
    c.shows(ended)
    c.eventually(lambda: c.lines() and c.lines()[-1][1] == len(c.at.kinds("")))
    cards = c.cards()
    lines = c.lines()
    found = [] if len(cards) == 1 else [f"{len(cards)} cards"]
    found += [] if len(lines) == len(set(lines)) else [f"lines told twice: {lines}"]
    found += [] if lines == sorted(lines, key=lambda one: one[1]) else [f"lines out of order: {lines}"]
    return found + c.at.wrong(live=live)


def killed_while_following(folder: Path, number: int, when: str) -> list[str]:
    """A runner drives; the bot that tells of it dies, and another goes on."""
    with chat(folder) as c:
        victim = c.ready_bot()
        struck = killer(c, victim, number, when)
        with c.release() as runner:
            struck.wait(60)
            c.bot()
            code = runner.wait(120)
        if not struck.is_set():
            return [f"call {number}: there was none"]
        found = [] if code == 0 else [f"exit {code}"]
        return [f"call {number} {when}: {text}" for text in found + wrong(c, "is live", live=True)]


def killed_while_driving(folder: Path, number: int, when: str) -> list[str]:
    """The bot itself drives what was promoted, or ordered back; it dies, and another brings it to its end."""
    with chat(folder, **PERSON) as c:
        c.held()
        victim = c.ready_bot()
        back = number % 2 == 0
        card = c.shows("both serve until a person promotes")
        struck = killer(c, victim, number, when)

        def order() -> None:
            if back:
                c.slack.command(ON_CALL.id, "/rollback").wait(1)
            else:
                c.slack.press(PROMOTER.id, card.ts, "promote").wait(1)

        order()
        struck.wait(60)
        c.ready_bot()
        if not struck.is_set():
            return [f"call {number}: there was none"]
        if not c.at.kinds("rollback_ordered" if back else "promoted"):
            order()  # it died with the order in its hands: Slack says so to the person, who repeats it
        ended = "was rolled back" if back else "is live"
        return [f"driving, call {number} {when}: {text}" for text in wrong(c, ended, live=not back)]


@pytest.mark.slow
def test_killed_at_six_points(tmp_path: Path) -> None:
    """Four while it follows, before or after the effect of a call, and two while it drives.

    A follower dies at every call in test_follower, a driver in test_crashes.
    """
    cases = [(killed_while_following, 1 + n, ("before", "after")[n % 2]) for n in range(4)]
    cases += [(killed_while_driving, 1 + n, ("before", "after")[n % 2]) for n in range(2)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ends = [pool.submit(case, tmp_path / f"{n}", call, when) for n, (case, call, when) in enumerate(cases)]
    found = [end.result() for end in ends]
    assert [text for one in found for text in one] == []
