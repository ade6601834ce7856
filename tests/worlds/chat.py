"""A world with a chat: one service, the fake Slack, and bots in processes of their own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from lab.slack import GUEST, ON_CALL, PROMOTER, SECOND, FakeSlack, PostedMessage
from tests.worlds.forked import Forked
from tests.worlds.processes import Place, place
from tests.worlds.waiting import PATIENCE, eventually

SERVICE = "web/production"
CHANNEL = "C0DEPLOYS"
SLACK = {"channel": CHANNEL, "promoters": [PROMOTER.id, SECOND.id], "rollbackers": [ON_CALL.id, PROMOTER.id]}
T = TypeVar("T")


class BotProcess:
    """`python -m bot`, with everything it logged."""

    def __init__(self, process: Forked | subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @classmethod
    def anew(cls, environment: dict[str, str]) -> BotProcess:
        """One that imports everything itself, as users start it."""
        return cls(
            subprocess.Popen(
                [sys.executable, "-m", "bot"],
                env={**os.environ, **environment},
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        )

    @classmethod
    def forked(cls, environment: dict[str, str]) -> BotProcess:
        """One that is there at once, and whose leases are short."""
        return cls(Forked("bot", environment={**os.environ, **environment}, together=True))

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
        eventually(lambda: "ready:" in self.log or self.process.poll() is not None, bots=[self])
        return int(re.findall(r"port (\d+)", self.log)[-1])

    def get(self, path: str) -> tuple[int, str]:
        """What it serves."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
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

    def __init__(self, at: Place, slack: FakeSlack) -> None:
        self.at, self.slack = at, slack
        self.bots: list[BotProcess] = []

    def bot(self, *, anew: bool = False, **changes: str) -> BotProcess:
        """Start one more; `anew`: as users start it."""
        environment = {**self.at.account, **self.slack.environment, "PORT": "0", **changes}
        started = BotProcess.anew(environment) if anew else BotProcess.forked(environment)
        self.bots.append(started)
        return started

    def ready_bot(self) -> BotProcess:
        """Start one, and wait until Slack can reach it."""
        return self.listening(self.bot())

    def listening(self, bot: BotProcess) -> BotProcess:
        """Wait until Slack can reach it, and all of those that were there before."""
        self.eventually(lambda: "ready:" in bot.log)
        living = [one for one in self.bots if one.process.poll() is None]
        self.eventually(lambda: self.slack.connected() >= len(living))
        return bot

    def release(self, *words: str, commit: str = "c0ffee01") -> Forked:
        """Start `bluegreen release`."""
        return self.at.command("release", "--commit", commit, *words)

    def held(self, commit: str = "c0ffee01") -> None:
        """A release that waits for a promotion, parked by its runner."""
        result = self.at.run("release", "--commit", commit, "--until", "held")
        assert result["decision"] == "held", result

    # --- what is waited for ---

    def eventually(self, true: Callable[[], T], seconds: float = PATIENCE) -> T:
        """Wait for it; what bots and people said when it does not come."""
        return eventually(true, seconds, bots=self.bots, slack=self.slack)

    def card(self) -> PostedMessage:
        """The newest card, when it is there."""
        return self.eventually(self.cards)[-1]

    def cards(self) -> list[PostedMessage]:
        """An order's line stands in the channel, too; only cards say in their metadata whose they are."""
        return [one for one in self.slack.cards(CHANNEL) if one.metadata]

    def shows(self, words: str) -> PostedMessage:
        """The newest card, as soon as it says that."""
        return self.eventually(lambda: [one for one in self.cards()[-1:] if words in f"{one.text}{one.blocks}"])[0]

    def whispered(self, user: str, words: str) -> PostedMessage:
        """What the bot told a person, as soon as it has."""
        return self.eventually(lambda: [one for one in self.slack.whispers(user) if words in one.text])[0]

    def thread_says(self, *words: str, aloud: bool = False) -> None:
        """Wait until the newest card's thread has told all of it, in this order; `aloud`: to the channel, too."""
        pattern = re.compile(".*".join(map(re.escape, words)), re.DOTALL)

        def told() -> object:
            lines = [one for one in self.slack.thread(self.card().ts) if one.broadcast or not aloud]
            return pattern.search("\n".join(str(one.blocks) for one in lines))

        self.eventually(told)

    def everything_told(self) -> None:
        """Wait until the threads have told the journal's last event; no line of them came twice."""
        self.eventually(lambda: (lines := self.lines()) and lines[-1][1] == len(self.at.kinds("")))
        assert len(self.lines()) == len(set(self.lines()))

    # --- what is true now ---

    def status(self) -> dict[str, Any]:
        """What the command line says of the service."""
        found: dict[str, Any] = self.at.run("status", SERVICE)["services"][0]
        return found

    def lines(self) -> list[tuple[str, int]]:
        """The releases and last events that the threads' messages speak of."""
        found = [one.metadata for one in self.slack.messages.copy() if one.thread_ts and one.metadata]
        return [(one["event_payload"]["release"], one["event_payload"]["last"]) for one in found]


@contextmanager
def chat(folder: Path, *, groups: dict[str, set[str]] | None = None, **changes: Any) -> Iterator[Chat]:
    """A world with a Slack; at the end all bots are gone and no message broke a rule."""
    with place(folder, **{"slack": SLACK, "poll": 0.5, **changes}) as at, FakeSlack() as slack:
        slack.groups = groups or {}
        made = Chat(at, slack)
        try:
            yield made
        finally:
            for bot in made.bots:
                if bot.process.poll() is None:
                    bot.kill()
        assert slack.violations == []
        assert [word for word in (slack.bot_token, slack.app_token) for bot in made.bots if word in bot.log] == []


__all__ = ["GUEST", "ON_CALL", "PROMOTER", "SECOND", "Chat", "chat"]
