"""The bot's HTTP door under siege: half-open connections and half-sent bodies of strangers, and people who order.

    strangers (asyncio) ──┐
    people, fake Slack ┴─ HTTP ──> python -m bot ── HTTP ──> fake AWS

Whoever is thrown out comes again after a moment, as an attacker would.
"""

from __future__ import annotations

import asyncio
import logging
import math
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from lab.slack import GUEST, ON_CALL
from tests.worlds.chat import BotProcess, Chat, chat

#: Strangers who send half a head, and who send half a body of so many bytes; seconds until one comes again.
HALF_OPEN, HALF_SENT, SIZE, AGAIN = 1000, 200, 490_000, 5.0
#: Orders a second; seconds of them before the strangers come, and with them.
PACE, WARM, LASTS = 5.0, 10.0, 40.0
HEAD = "POST /slack/events HTTP/1.1\r\nHost: bot\r\nX-Slack-Signature: v0=0\r\nX-Slack-Request-Timestamp: {now:.0f}\r\n"


@dataclass
class Seen:
    """What was measured."""

    quiet: list[float] = field(default_factory=list)
    acknowledged: list[float] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    rollback: float = math.inf
    fresh: float = 0.0
    idle: float = 0.0
    memory: list[float] = field(default_factory=list)
    opened: int = 0
    longest: float = 0.0
    left: int = 0
    log_lines: int = 0
    tracebacks: int = 0


class Strangers:
    """Connections that never say all of it, from a thread of their own."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.opened, self.open, self.longest = 0, 0, 0.0
        self._over = False

    async def _all(self) -> None:
        await asyncio.gather(*(self._one(n, n < HALF_SENT) for n in range(HALF_OPEN + HALF_SENT)))

    async def _one(self, number: int, body: bool) -> None:
        await asyncio.sleep(AGAIN * (number % 100) / 100)
        while not self._over:
            with suppress(OSError):
                await self._visit(body)
            await asyncio.sleep(AGAIN)

    async def _visit(self, body: bool) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        began = time.monotonic()
        self.opened, self.open = self.opened + 1, self.open + 1
        try:
            head = HEAD.format(now=time.time())
            writer.write(head.encode() + (f"Content-Length: {SIZE}\r\n\r\n".encode() if body else b""))
            if body:
                writer.write(b"x" * (SIZE - 1))
            await reader.read()
        finally:
            self.open -= 1
            self.longest = max(self.longest, time.monotonic() - began)
            writer.close()

    @classmethod
    def come(cls, pipe: Connection, port: int) -> None:
        """Their process: they come until something is said, then those that are there wait on until they are closed."""
        asyncio.run(cls(port)._until(pipe))

    async def _until(self, pipe: Connection) -> None:
        coming = asyncio.create_task(self._all())
        await asyncio.to_thread(pipe.recv)
        self._over = True
        await asyncio.wait([coming], timeout=30)
        pipe.send((self.opened, self.open, self.longest))


def memory(bot: BotProcess) -> float:
    """MB."""
    line = ["ps", "-o", "rss=", "-p", str(bot.process.pid)]
    return int(subprocess.run(line, capture_output=True, text=True, check=True).stdout) / 1024


def measure(seconds: float = LASTS) -> Seen:
    """For so long; nothing is left running.

    Idle is a bot that has done everything once, as after its first day: it drives a release and has answered orders.
    Before that it has not made its clients for AWS, which are its own and no stranger's.
    """
    seen = Seen()
    with tempfile.TemporaryDirectory() as folder, chat(Path(folder) / "at", promotion={"by": "person"}, soak=300) as c:
        bot = c.bot(anew=True, SLACK_APP_TOKEN="", SLACK_SIGNING_SECRET=c.slack.signing_secret)
        c.slack.request_url = f"http://127.0.0.1:{bot.port}/slack/events"
        c.held()
        c.shows("both serve until a person promotes")
        seen.fresh = memory(bot)
        c.eventually(lambda: "bluegreen_releases_driven_here 1.0" in bot.get("/metrics")[1])
        _type(c, bot, WARM, quiet := Seen())
        seen.quiet, seen.idle = quiet.acknowledged, memory(bot)
        context = multiprocessing.get_context("spawn")
        pipe, other = context.Pipe()
        context.Process(target=Strangers.come, args=(other, bot.port), daemon=True).start()
        _type(c, bot, seconds, seen)
        began = time.monotonic()
        c.slack.command(ON_CALL.id, "/rollback")
        c.whispered(ON_CALL.id, "Ordered the rollback of web/production#1")
        seen.rollback = time.monotonic() - began
        pipe.send("enough")
        assert pipe.poll(60)
        seen.opened, seen.left, seen.longest = pipe.recv()
        seen.log_lines, seen.tracebacks = len(bot.said), bot.log.count("Traceback")
        c.shows("was rolled back")
    return seen


def _type(c: Chat, bot: BotProcess, seconds: float, seen: Seen) -> None:
    """Commands at a steady pace, whatever the bot does meanwhile."""
    began, typed = time.monotonic(), []
    for number in range(int(PACE * seconds)):
        time.sleep(max(0.0, began + number / PACE - time.monotonic()))
        typed.append(c.slack.command(GUEST.id, "/promote web"))
        if not number % int(PACE):
            seen.memory.append(memory(bot))
    done = [one.wait() for one in typed]
    seen.acknowledged += [one.seconds for one in done]
    seen.troubles += [one.trouble for one in done if one.trouble]


def rows(seconds: float = LASTS) -> list[tuple[str, str, str]]:
    """What, measured, wanted: of each number one."""
    seen = measure(seconds)
    who = f"{HALF_OPEN} half-open connections, {HALF_SENT} half-sent bodies, {seen.opened} in {seconds:.0f} s"
    lost = f", {len(seen.troubles)} lost" if seen.troubles else ""
    most, idle = max(seen.memory), f"it drives a release, and {len(seen.quiet)} orders are answered"
    closed = f"{seen.left} left, the longest stood {seen.longest:.1f} s"
    log = f"{seen.log_lines} lines, {seen.tracebacks} tracebacks"
    return [
        (f"orders acknowledged beside {who}", f"{_shown(seen.acknowledged)}{lost}", "p99 below 200 ms"),
        ("the same without them", _shown(seen.quiet), "-"),
        ("/rollback to its answer beside them", f"{seen.rollback:.2f} s", "at most 1 s"),
        (f"the bot's memory idle: {idle}; when it had started", f"{seen.idle:.1f} MB; {seen.fresh:.1f} MB", "-"),
        (
            "the bot's memory beside them, at most",
            f"{most:.1f} MB, {most / seen.idle:.2f} x idle",
            "at most 1.2 x idle",
        ),
        ("how long they stand; the bot's log", f"{closed}; {log}", "30 s; bounded, 0 tracebacks"),
    ]


def _shown(seconds: Sequence[float]) -> str:
    found = sorted(1000 * one for one in seconds)
    p99 = found[math.ceil(0.99 * len(found)) - 1]
    return f"{len(found)}: p50 {found[len(found) // 2]:.0f} ms, p99 {p99:.0f} ms, worst {found[-1]:.0f} ms"


def main(seconds: float) -> None:
    """Say it."""
    logging.basicConfig(level="INFO")
    for row in rows(seconds):
        print(" | ".join(row))


if __name__ == "__main__":
    main(float(sys.argv[1]))
