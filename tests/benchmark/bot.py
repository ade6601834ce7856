"""The bot with 50 releases to drive: how soon it acknowledges, and how soon a rollback is under way.

The fake AWS is a process of its own, so that it does not slow the people and Slack, whose process measures:

    this process: people, fake Slack <── Socket Mode ──> python -m bot ── HTTP ──> the account's process
                  └──────── Account: a pipe, for looks at releases and calls ────────────────┘

The account's process also plays the runners: drivers of releases that the bot does not drive.
"""

from __future__ import annotations

import gc
import itertools
import logging
import math
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from statistics import median
from typing import Any

from bluegreen import Engine, Interrupted
from bluegreen.config import parse
from lab.aws import FakeAws
from lab.aws.wire import Answer, Incoming
from lab.clock import RealClock
from lab.machines import FakeMachines
from lab.slack import GUEST, ON_CALL, PROMOTER, Delivery, FakeSlack
from lab.world import World
from tests.worlds.chat import SLACK, BotProcess
from tests.worlds.processes import HEALTH, TIMINGS
from tests.worlds.waiting import PATIENCE, eventually

#: Releases that the bot drives; of these so many are rolled back, half of them out of the soak.
RUNNING, ROLLED_BACK = 50, 10
#: Further releases, driven elsewhere: rolled back while that driver lives, and just after it has gone.
ELSEWHERE, ALONE = 5, 8
#: Orders whose way to the card is measured, and how many edits Slack takes in a minute (tier 3).
SHOWN, EDITS = 50, 50
#: Commands of people: so many a second, for so many seconds.
PACE, TYPED = 10.0, 30.0
#: Seconds between two rollbacks.
APART = 3.0
_NAMED = re.compile(rb"(?:^|[^a-z])(s\d\d)(?![0-9A-Za-z])")

DRIVEN = tuple(f"s{n:02}" for n in range(RUNNING))
RUNNERS = tuple(f"s{n:02}" for n in range(RUNNING, RUNNING + ELSEWHERE))
PARKED = tuple(f"s{n:02}" for n in range(RUNNING + ELSEWHERE, RUNNING + ELSEWHERE + ALONE))

log = logging.getLogger("benchmark")

Times = Sequence[float]
Row = tuple[str, str, str]


# --- the account, in a process of its own ------------------------------------------------------------------


class Hurried(RealClock):
    """The computer's clock, which waits for nobody until `catch_up`: fifty worlds are built in seconds."""

    def __init__(self) -> None:
        self._behind = 600.0

    def now(self) -> float:
        """Seconds since the epoch, or earlier."""
        return super().now() - self._behind

    def sleep(self, seconds: float) -> None:
        """Skip the wait while there is something to skip."""
        skipped = min(self._behind, seconds)
        self._behind -= skipped
        super().sleep(seconds - skipped)

    def catch_up(self) -> None:
        """From now on it is the computer's clock."""
        self._behind = 0.0


class NotingAws(FakeAws):
    """It notes which service the first changing call of a rollback is for, when each came, and its own slowness."""

    def __init__(self, clock: RealClock) -> None:
        super().__init__(clock, FakeMachines(clock), TIMINGS)
        self.changed: list[tuple[float, str, str]] = []  # when, whose, what
        self.took: list[float] = []

    def answer(self, request: Incoming, recorded: bool = True) -> Answer:
        """Answer one request."""
        began = time.time()
        if request.mutating and request.service != "dynamodb" and (named := _NAMED.search(request.written.body)):
            self.changed.append((began, named[1].decode(), request.operation))
        try:
            return super().answer(request, recorded)
        finally:
            self.took.append(time.time() - began)


class Region:
    """The worlds, their releases, and the runners that drive some of them."""

    def __init__(self) -> None:
        clock = Hurried()
        self.aws = NotingAws(clock)
        worlds = [self._world(name) for name in (*DRIVEN, *RUNNERS, *PARKED)]
        clock.catch_up()
        self.aws.advance()
        self.url = self.aws.serve()
        self.clock = RealClock()
        self.engine = Engine(session=self.aws.session(recorded=False), clock=self.clock)
        self._leave = {name: threading.Event() for name in (*RUNNERS, *PARKED)}
        self._runners: dict[str, threading.Thread] = {}
        for world in worlds:
            self._start(world)

    def _world(self, name: str) -> World:
        return World.standard(self.aws, instances=2, service=name, health=HEALTH, drain=1)

    def _start(self, world: World) -> None:
        config = world.config(soak=300, promotion={"by": "person"}, slack=SLACK)
        config["traffic"]["overlap"] = 1
        config["timeouts"] = {"bake": 60, "launch": 60, "healthy": 60}
        image = world.client("ec2").register_image(Name=f"{world.service}-next", RootDeviceName="/dev/xvda")["ImageId"]
        started = self.engine.start(parse(config), ami=image, who="arn:aws:iam::1:user/ann")
        if world.service in self._leave:
            thread = threading.Thread(target=self._run, args=(world.service, started.id), daemon=True)
            self._runners[world.service] = thread
            thread.start()

    def _run(self, name: str, release: str) -> None:
        engine = Engine(session=self.aws.session(), clock=self.clock)
        with suppress(Interrupted):
            engine.drive(release, tell=lambda *told: None, stop=self._leave[name].is_set)

    def leave(self, name: str) -> None:
        """End a runner; its lease is given back when this returns."""
        self._leave[name].set()
        self._runners[name].join()

    def are(self, phase: str, names: Sequence[str]) -> bool:
        """Whether all these releases are in that phase; the first that is not ends the look."""
        return all(self.engine.load(f"{name}/production#1").phase == phase for name in names)

    def first(self, name: str, since: float) -> list[tuple[float, str]]:
        """The first changing call for a service since then, if there was one."""
        return [(when, what) for when, whose, what in self.aws.changed if whose == name and when >= since][:1]

    def calls(self) -> dict[str, int]:
        """How often each operation was called so far."""
        return dict(Counter(call.name for call in self.aws.calls.copy()))

    def slowness(self, first: int) -> list[float]:
        """How long the lab itself took for each answer, from that one on."""
        return self.aws.took[first:]


def serve(pipe: Connection) -> None:
    """The account's process: do what is asked, until nobody asks any more."""
    gc.disable()  # half a second's pause in a table of 50 releases would be no pause of AWS
    region = Region()
    pipe.send(region.url)
    with suppress(EOFError):
        while True:
            word, *arguments = pipe.recv()
            pipe.send(getattr(region, word)(*arguments))


class Account:
    """The account, as this process sees it."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self.process = context.Process(target=serve, args=(other,), daemon=True)
        self.process.start()
        other.close()
        assert self._pipe.poll(PATIENCE), "no account was made"
        url = self._pipe.recv()
        keys = {"AWS_ACCESS_KEY_ID": "lab", "AWS_SECRET_ACCESS_KEY": "lab-secret-key"}
        self.environment = {**keys, "AWS_ENDPOINT_URL": url, "AWS_REGION": "ap-northeast-2"}

    def ask(self, word: str, *arguments: object) -> Any:  # whatever that method of Region gives
        """What `Region` answers."""
        self._pipe.send((word, *arguments))
        assert self._pipe.poll(PATIENCE), f"no answer to {word} {arguments}"
        return self._pipe.recv()

    def are(self, phase: str, names: Sequence[str]) -> bool:
        """Whether all these releases are in that phase."""
        time.sleep(1.0)  # asking costs the account's process time that the bot needs
        return bool(self.ask("are", phase, names))

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.join()


# --- what is measured --------------------------------------------------------------------------------------


@dataclass
class Spell:
    """A while in which something was going on, and what it cost."""

    seconds: float = 0.0
    cpu: float = 0.0  # of the bot, in seconds
    account_cpu: float = 0.0
    memory: float = 0.0  # of the bot at its end, in MB
    calls: Counter[str] = field(default_factory=Counter)  # of AWS
    slack: Counter[str] = field(default_factory=Counter)
    slowness: list[float] = field(default_factory=list)  # of the lab's answers

    def __str__(self) -> str:
        """One line for whoever wants to know."""
        journal = {name: count for name, count in self.calls.items() if name.startswith("dynamodb")}
        reads = sum(count for name, count in journal.items() if name.split(":")[1] in ("Query", "GetItem", "Scan"))
        each = {name: round(count / self.seconds, 1) for name, count in self.slack.most_common()}
        return (
            f"{self.seconds:.0f} s; bot {100 * self.cpu / self.seconds:.0f} % CPU, {self.memory:.0f} MB; "
            f"account {100 * self.account_cpu / self.seconds:.0f} % CPU, answers in {_spread(self.slowness)}; "
            f"a second: {reads / self.seconds:.0f} journal reads, "
            f"{(sum(journal.values()) - reads) / self.seconds:.0f} journal writes, "
            f"{(sum(self.calls.values()) - sum(journal.values())) / self.seconds:.0f} other AWS calls, "
            f"{sum(self.slack.values()) / self.seconds:.1f} Slack calls {each}"
        )


@dataclass
class Figures:
    """Everything that was measured, in seconds."""

    acknowledged: Times = ()
    driving: Times = ()
    elsewhere: Times = ()
    alone: Times = ()
    shown: Times = ()  # from an order to the card that shows it
    quiet: Spell = field(default_factory=Spell)
    busy: Spell = field(default_factory=Spell)
    notes: list[str] = field(default_factory=list)  # what else was seen


class Bench:
    """The account, the bot and the fake Slack with its people."""

    def __init__(self, account: Account, slack: FakeSlack) -> None:
        self.account, self.slack = account, slack
        self.figures = Figures()
        self._typed_at: dict[str, float] = {}  # by service: when its rollback was typed
        self.bot = BotProcess.anew({**account.environment, **slack.environment, "PORT": "0"})

    def measure(self) -> Figures:
        """Bring all releases to holding, type, and roll some of them back."""
        began = time.monotonic()
        eventually(lambda: self.slack.connected() > 0, bots=[self.bot])
        self._note("the bot listens")
        eventually(lambda: self.account.are("holding", (*DRIVEN, *RUNNERS, *PARKED)), bots=[self.bot])
        soaking = DRIVEN[: ROLLED_BACK // 2]
        for name in soaking:
            self.slack.command(PROMOTER.id, f"/promote {name}")
        eventually(lambda: self.account.are("soaking", soaking), bots=[self.bot])
        self._note(f"all hold or soak after {time.monotonic() - began:.0f} s; load of the machine {_load()}")
        with self._spell(self.figures.quiet):
            time.sleep(20)  # `ps` counts whole seconds
        with self._spell(self.figures.busy):
            typed = self._type()
        self._people(typed)
        self._note(f"load of the machine {_load()}")
        self.figures.driving = self._rollbacks(DRIVEN[:ROLLED_BACK])
        self.figures.elsewhere = self._rollbacks(RUNNERS)
        self.figures.alone = self._rollbacks(PARKED, alone=True)
        ordered = [*DRIVEN[:ROLLED_BACK], *RUNNERS, *PARKED]
        self._rollbacks(DRIVEN[ROLLED_BACK : ROLLED_BACK + SHOWN - len(ordered)])
        self.figures.shown = self._shown()
        return self.figures

    def _note(self, seen: str) -> None:
        self.figures.notes.append(seen)
        log.info("%s", seen)

    @contextmanager
    def _spell(self, spell: Spell) -> Iterator[None]:
        calls, answers, slack = self.account.ask("calls"), len(self.account.ask("slowness", 0)), len(self.slack.calls)
        began, (cpu, _), (account, _) = time.monotonic(), self._spent(self.bot), self._spent(self.account)
        yield
        spell.seconds = time.monotonic() - began
        (later, spell.memory), (account_later, _) = self._spent(self.bot), self._spent(self.account)
        spell.cpu, spell.account_cpu = later - cpu, account_later - account
        spell.slack = Counter(one.method for one in self.slack.calls[slack:])
        spell.calls = Counter(self.account.ask("calls"))
        spell.calls.subtract(calls)
        spell.slowness = self.account.ask("slowness", answers)

    @staticmethod
    def _spent(whose: BotProcess | Account) -> tuple[float, float]:
        """Seconds of CPU so far, and MB now."""
        line = ["ps", "-o", "time=,rss=", "-p", str(whose.process.pid)]
        spent, kilobytes = subprocess.run(line, capture_output=True, text=True, check=True).stdout.split()
        parts = reversed(re.split("[:-]", spent))
        seconds = sum(float(part) * unit for part, unit in zip(parts, (1, 60, 3600, 86400), strict=False))
        return seconds, int(kilobytes) / 1024

    def _type(self) -> list[Delivery]:
        """Commands at a steady pace, whatever the bot does meanwhile."""
        others = itertools.cycle(DRIVEN[ROLLED_BACK:])
        typed: list[Delivery] = []
        began = time.monotonic()
        for number in range(int(PACE * TYPED)):
            time.sleep(max(0.0, began + number / PACE - time.monotonic()))
            typed.append(self._typed(number, next(others)))
        return [one.wait() for one in typed]

    def _people(self, typed: Sequence[Delivery]) -> None:
        """How they fared who typed."""
        self.figures.acknowledged = [one.seconds for one in typed]
        for trouble, count in Counter(one.trouble for one in typed if one.trouble).items():
            self._note(f"{count} x {trouble}")
        began, since = time.monotonic(), typed[0].began
        wanted = sum(one.kind == "slash_commands" for one in typed)
        self._note(f"{self._told(since)} of {wanted} commands were answered when the last was typed")
        with suppress(AssertionError):
            eventually(lambda: self._told(since) >= wanted, seconds=60)
        self._note(f"{self._told(since)} of {wanted} commands were answered {time.monotonic() - began:.1f} s later")

    def _typed(self, number: int, name: str) -> Delivery:
        """One in five asks for every release that there is, which takes the bot a hundred reads of the journal."""
        match number % 10:
            case 0:
                return self.slack.command(ON_CALL.id, "/releases")
            case 5:
                return self.slack.open_home(PROMOTER.id)
            case even if even % 2 == 0:
                return self.slack.command(GUEST.id, f"/promote {name}")
            case _:
                return self.slack.command(GUEST.id, f"/rollback {name}")

    def _told(self, since: float) -> int:
        return sum(1 for one in self.slack.messages.copy() if one.ephemeral and float(one.ts) >= since)

    def _rollbacks(self, names: Sequence[str], *, alone: bool = False) -> list[float]:
        """From each one typed to its first changing call; infinite when none came."""
        found = []
        for name in names:
            if alone:
                self.account.ask("leave", name)
            typed = self.slack.command(ON_CALL.id, f"/rollback {name}")
            self._typed_at[name] = typed.began
            found.append(self._until_first_call(name, typed))
            time.sleep(max(0.0, APART - found[-1]))
        return sorted(found)

    def _shown(self) -> list[float]:
        """From each rollback typed to the edit of its card that names who ordered it; infinite when none did."""
        edits = [one for one in self.slack.calls.copy() if one.method == "chat.update" and not one.error]
        found = []
        for name, began in self._typed_at.items():
            mine = (one for one in edits if one.at >= began and f"{name}/production#1" in str(one.arguments["text"]))
            shown = (one.at for one in mine if f"<@{ON_CALL.id}>" in str(one.arguments["blocks"]))
            found.append(next(shown, math.inf) - began)
            if found[-1] > 1:
                self._note(f"{name}: the order was on the card {found[-1]:.1f} s after it was typed")
        refused = sum(one.method == "chat.update" and bool(one.error) for one in self.slack.calls.copy())
        self._note(f"{len(edits)} edits of cards, {refused} refused")
        return sorted(found)

    def _until_first_call(self, name: str, typed: Delivery) -> float:
        ends = time.monotonic() + 15
        while not (first := self.account.ask("first", name, typed.began)):
            if time.monotonic() > ends:
                self._note(f"{name}: nothing was done, {typed.trouble or 'though the order was taken'}")
                return math.inf
            time.sleep(0.05)
        when, what = first[0]
        self._note(f"{name}: {what} after {when - typed.began:.2f} s, acknowledged after {typed.wait().seconds:.3f} s")
        return float(when - typed.began)


def measure() -> Figures:
    """Everything, in some three minutes; nothing of it is left running."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))  # a runner's timeout leaves nothing, too
    account = Account()
    try:
        with FakeSlack() as slack:
            slack.limit("chat.update", EDITS, 60)
            bench = Bench(account, slack)
            try:
                figures = bench.measure()
                figures.notes += [f"violation: {one}" for one in slack.violations]
                return figures
            finally:
                bench.bot.kill()
    finally:
        account.close()


# --- what is told ------------------------------------------------------------------------------------------


def rows() -> list[Row]:
    """What, measured, wanted: of each number one."""
    seen = measure()
    quiet = seen.quiet
    spent = f"{100 * quiet.cpu / quiet.seconds:.0f} % of a CPU, {quiet.memory:.0f} MB"
    return [
        (
            f"Slack acknowledgement, {RUNNING} releases, {PACE:.0f} requests/s",
            _spread(seen.acknowledged),
            "p99 below 200 ms",
        ),
        ("/rollback to the first changing call, the bot drives", _spread(seen.driving), "at most 1 s"),
        ("the same, another process drives", _spread(seen.elsewhere), "at most 1 s"),
        ("the same, nobody drives", _spread(seen.alone), "at most 2 s"),
        ("order -> card", _spread(seen.shown), "at most 1 s (p99)"),
        (f"the bot's process, driving {RUNNING}", spent, "-"),
    ]


def _load() -> str:
    """How many want a processor, of how many there are: with other work beside it, the times are that work's, too."""
    return f"{os.getloadavg()[0]:.1f} of {os.cpu_count()}"


def _spread(seconds: Times) -> str:
    """Of how many; median, p99 and worst."""
    found = sorted(seconds)
    if not found:
        return "none"
    p99 = found[math.ceil(0.99 * len(found)) - 1]
    shown = [f"{one:.2f} s" if one >= 1 else f"{1000 * one:.0f} ms" for one in (median(found), p99, found[-1])]
    return f"{len(found)}: p50 {shown[0]}, p99 {shown[1]}, worst {shown[2]}"


def main() -> None:
    """The rows, and all that lies behind them."""
    logging.basicConfig(level="INFO", format="%(asctime)s %(message)s")
    began = time.monotonic()
    seen = measure()
    for name in ("acknowledged", "driving", "elsewhere", "alone", "shown"):
        print(f"{name:13}", _spread(getattr(seen, name)))
    print("quiet        ", seen.quiet, "\nbusy         ", seen.busy)
    print(f"in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
