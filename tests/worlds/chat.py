"""A world with a chat: one service, the pretend Slack, and bots in processes of their own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab.slack import GUEST, ON_CALL, PROMOTER, SECOND, Message, PretendSlack
from tests.worlds.processes import Place, place

SERVICE = "web/production"
CHANNEL = "C0DEPLOYS"
SLACK = {"channel": CHANNEL, "promoters": [PROMOTER.id, SECOND.id], "rollbackers": [ON_CALL.id, PROMOTER.id]}
#: Seconds for anything that is waited for: a dead driver's lease lapses after 30.
PATIENCE = 90.0


class BotProcess:
    """`python -m bot`, with everything it logged."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bot"],
            env={**os.environ, **environment},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line.rstrip())

    @property
    def log(self) -> str:
        """What it said so far."""
        return "\n".join(self.said)

    @property
    def port(self) -> int:
        """Where it serves HTTP."""
        eventually(lambda: "ready:" in self.log or self.process.poll() is not None, self)
        return int(re.findall(r"port (\d+)", self.log)[-1])

    def get(self, path: str) -> tuple[int, str]:
        """What it serves."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()

    def end(self, seconds: float = 30) -> int:
        """SIGTERM; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self._reader.join(5)
        return code


class Chat:
    """Place, Slack and bots."""

    def __init__(self, at: Place, slack: PretendSlack) -> None:
        self.at, self.slack = at, slack
        self.bots: list[BotProcess] = []

    def bot(self, **changes: str) -> BotProcess:
        """Start one more."""
        environment = {**self.at.account, **self.slack.environment, "PORT": "0", **changes}
        started = BotProcess(environment)
        self.bots.append(started)
        return started

    def ready_bot(self, **changes: str) -> BotProcess:
        """Start one, and wait until Slack can reach it."""
        started = self.bot(**changes)
        eventually(lambda: "ready:" in started.log, started)
        if "SLACK_SIGNING_SECRET" not in changes:
            eventually(lambda: self.slack.connected() > 0, started)
        return started

    def release(self, *words: str, commit: str = "c0ffee01") -> subprocess.Popen[str]:
        """Start `bluegreen release`."""
        return self.at.command("release", "--commit", commit, *words)

    def held(self, commit: str = "c0ffee01") -> None:
        """A release that waits for a promotion, parked by its runner."""
        result = self.at.run("release", "--commit", commit, "--until", "held")
        assert result["decision"] == "held", result

    def card(self) -> Message:
        """The newest card, when it is there."""
        eventually(self._cards)
        return self._cards()[-1]

    def _cards(self) -> list[Message]:
        """An order's line stands in the channel, too; only cards say in their metadata whose they are."""
        return [one for one in self.slack.cards(CHANNEL) if one.metadata]

    def shows(self, words: str, seconds: float = PATIENCE) -> Message:
        """The newest card, as soon as it says that."""
        eventually(lambda: words in str(self.card().text) + str(self.card().blocks), *self.bots, seconds=seconds)
        return self.card()

    def whispered(self, user: str, words: str) -> Message:
        """What the bot told a person, as soon as it has."""
        eventually(lambda: any(words in one.text for one in self.slack.whispers(user)), *self.bots, slack=self.slack)
        return next(one for one in self.slack.whispers(user) if words in one.text)

    def status(self) -> dict[str, Any]:
        """What the command line says of the service."""
        found: dict[str, Any] = self.at.run("status", SERVICE)["services"][0]
        return found

    def lines(self) -> list[tuple[str, int]]:
        """The releases and last events that the threads' messages speak of."""
        found = [one.metadata for one in self.slack.messages.copy() if one.thread_ts and one.metadata]
        return [(one["event_payload"]["release"], one["event_payload"]["last"]) for one in found]


def eventually(
    true: Callable[[], object], *bots: BotProcess, seconds: float = PATIENCE, slack: PretendSlack | None = None
) -> None:
    """Wait for something to become true; what the bots said when it does not."""
    ends = time.monotonic() + seconds
    while not true():
        told = "\n".join(one.log for one in bots)[-5000:]
        if slack is not None:
            told += json.dumps([vars(one) for one in slack.messages if one.ephemeral], default=str)[-3000:]
        assert time.monotonic() < ends, f"waited in vain\n{told}"
        time.sleep(0.05)


@contextmanager
def chat(folder: Path, *, groups: dict[str, set[str]] | None = None, **changes: Any) -> Iterator[Chat]:
    """A world with a Slack; at the end all bots are gone and no message broke a rule."""
    with place(folder, **{"slack": SLACK, **changes}) as at, PretendSlack() as slack:
        slack.groups = groups or {}
        made = Chat(at, slack)
        try:
            yield made
        finally:
            for bot in made.bots:
                if bot.process.poll() is None:
                    bot.kill()
        assert slack.violations == []


__all__ = ["GUEST", "ON_CALL", "PROMOTER", "SECOND", "Chat", "chat", "eventually"]
