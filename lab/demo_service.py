"""What every demo plays on: a service under load in a fake AWS, the command `bluegreen`, and a narrator.

The product is used as anybody uses it: by processes of its own, that know only the address of AWS.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from lab.aws import FakeAws, Timings
from lab.balancer import Balancer
from lab.clock import RealClock
from lab.load import Load, Visits
from lab.routing import table_of
from lab.server import ProcessGroup, Servers
from lab.world import World

ROOT = Path(__file__).resolve().parent.parent
SERVICE = "web/production"
PATIENCE = 180.0
"""Seconds after which a command that has not ended counts as stuck."""
BUILD = 'git fetch --quiet origin && git checkout --quiet --force "$BLUEGREEN_COMMIT"'
UNIT = {"name": "unit", "run": "python3 app.py --check", "every": 2, "needs": 2}
HEALTH = {"HealthCheckIntervalSeconds": 5, "HealthCheckTimeoutSeconds": 2, "HealthyThresholdCount": 2}
TIMINGS = replace(Timings.quick(), boot=1, register=1)
BAR = 24
PAUSE = 0.05
"""Seconds that a visitor rests between two requests."""
TOLD = {"entered", "did", "stumbled", "promoted", "rollback_ordered", "settled"}
STYLES = {"entered": "bold", "promoted": "bold green", "rollback_ordered": "bold yellow", "stumbled": "yellow"}


@dataclass(frozen=True)
class PrintedEvent:
    """One event of a release, as the command printed it with --json."""

    release: str
    seq: int
    at: float
    kind: str
    phase: str
    sentence: str
    facts: dict[str, Any]


class CommandProcess:
    """One `bluegreen` command under way."""

    def __init__(self, process: subprocess.Popen[bytes], hear: Callable[[PrintedEvent | str], None]) -> None:
        """Listen to it; `hear` is told each event, and each line that is none."""
        self._process = process
        self._hear = hear
        self.result: dict[str, Any] = {}
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def wait(self, seconds: float = PATIENCE) -> int:
        """Its exit code, when it has ended and all it said is heard. What is stuck is killed: that is a code, too."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._listener.join()
        return code

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as printed:
            for line in printed:
                self._take(line.decode(errors="replace").rstrip())

    def _take(self, line: str) -> None:
        try:
            said = json.loads(line)
        except ValueError:
            return self._hear(line)
        if "kind" in said:
            names = ("release", "seq", "at", "kind", "phase", "sentence", "facts")
            return self._hear(PrintedEvent(**{name: said[name] for name in names}))
        self.result = said
        return None


class Teller:
    """What the demo prints: a story, and on a terminal below it one line that lives."""

    def __init__(self, console: Console) -> None:
        """Print there."""
        self._console = console
        self._began = time.time()
        self._heard: set[tuple[str, int]] = set()
        self._events: list[PrintedEvent] = []

    def say(self, text: str = "") -> None:
        """Some words of ours."""
        self._console.print(text, soft_wrap=True)

    def command(self, arguments: Sequence[str]) -> None:
        """A command as one would type it."""
        self._console.print(Text(f"\n$ bluegreen {shlex.join(arguments)}", "cyan"), soft_wrap=True)

    def hear(self, said: PrintedEvent | str) -> None:
        """What a command said. Two that watch one release tell each event once."""
        if isinstance(said, str):
            return self._line(time.time(), "", Text(said, "yellow"))
        if (said.release, said.seq) in self._heard:
            return None
        self._heard.add((said.release, said.seq))
        self._events.append(said)
        return self._line(said.at, said.phase, Text(said.sentence, STYLES.get(said.kind, ""))) if _worth(said) else None

    def moment(self, since: float, kind: str, phase: str = "") -> float | None:
        """When that kind of event (in that phase) came first, since then."""
        found = (said for said in self._events if said.kind == kind and phase in ("", said.phase) and said.at >= since)
        return next((said.at for said in found), None)

    def waiting(self, doing: str) -> contextlib.AbstractContextManager[object]:
        """Say that something is being prepared."""
        if self._console.is_terminal:
            return self._console.status(doing)
        self.say(f"{doing} …")
        return contextlib.nullcontext()

    def picture(self, load: Load, blue: str, green: str) -> contextlib.AbstractContextManager[object]:
        """Show, while it lasts, which version the visitors see; nothing where lines cannot move."""
        if not self._console.is_terminal:
            return contextlib.nullcontext()
        drawn = ServicePicture(load, blue, green)
        return Live(drawn, console=self._console, refresh_per_second=4, transient=True)

    def table(self, table: Table) -> None:
        """A table."""
        self._console.print(table)

    def _line(self, at: float, phase: str, text: Text) -> None:
        seconds = max(0, int(at - self._began))
        head = Text.assemble(
            (f"  {seconds // 60}:{seconds % 60:02}  ", "dim"), (f"{phase.replace('_', ' '):<14}", "dim")
        )
        self._console.print(head + text, soft_wrap=True)


def _worth(said: PrintedEvent) -> bool:
    """Whether a newcomer wants to read it: what happened, and of what was seen the traffic and the troubles."""
    return said.kind in TOLD or said.facts.get("subject") == "traffic" or bool(said.facts.get("lost"))


class ServicePicture:
    """One line: who answers the visitors just now, how often, and with how many failures."""

    def __init__(self, load: Load, blue: str, green: str) -> None:
        """Draw what these visitors see."""
        self._load, self._blue, self._green = load, blue, green

    def __rich__(self) -> Text:
        """The line as it stands."""
        seen, (total, failed) = self._load.lately(1.0), self._load.totals()
        versions = seen.by_version()
        share = versions.get(self._green, 0) / max(1, sum(versions.values()))
        filled = round(BAR * share)
        bar = (f"  version {self._blue} ", "blue"), ("━" * (BAR - filled), "blue"), ("━" * filled, "green")
        rate = f"   {len(seen.all)}/s, {total:,} in all, "
        troubles = (f"{failed:,} failed", "bold red" if failed else "")
        return Text.assemble(*bar, (f" version {self._green}", "green"), (rate, "dim"), troubles, no_wrap=True)


class DemoService:
    """Everything that an act plays with. Closed, it leaves nothing behind."""

    def __init__(
        self,
        folder: Path,
        teller: Teller,
        instances: int,
        visitors: int,
        seconds: float = 900,
        *,
        weighted: bool = False,
        world: Mapping[str, Any] | None = None,
        takes: float = 0.0,
        pause: float = PAUSE,
        person: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        """Build the world: servers, fake AWS, load balancer, visitors. `settings` go over the configuration's.

        `weighted`: two target groups behind the listener, moved by weight; `world`: more options of `World.standard`.
        `takes`: seconds that half of the pages take, in every version that says nothing else. `pause`: of a visitor
        between two requests. `person`: settings over those, where a person promotes.
        """
        self.teller = teller
        self._person = person or {}
        self._share = visitors / max(pause, 0.005) / instances
        self._settings = settings
        self._folder = folder
        self._closing = contextlib.ExitStack()
        with contextlib.ExitStack() as building:
            self.servers = building.enter_context(Servers(folder / "lab", **({"takes": takes} if takes else {})))
            self.aws = FakeAws(RealClock(), self.servers, TIMINGS)
            building.callback(self.aws.close)
            self._url = self.aws.serve()
            self.world = World.standard(
                self.aws, instances, **{"health": HEALTH, "drain": 2, "weighted": weighted, **(world or {})}
            )
            table = table_of(self.aws, self.world.listener)
            self.balancer = building.enter_context(Balancer(table, self.servers.address, saw=self.aws.traffic.saw))
            bounds: dict[str, Any] = {"seconds": seconds, "requests": int(visitors * seconds / max(pause, 0.005))}
            self.load = building.enter_context(Load(self.balancer.url, visitors=visitors, pause=pause, **bounds))
            self._configure(self.world)
            self._commands = ProcessGroup()
            building.callback(self._commands.kill)
            self._closing = building.pop_all()

    def close(self) -> None:
        """End all processes and threads."""
        self._closing.close()

    def bluegreen(self, *arguments: str, by: str = "auto") -> CommandProcess:
        """Run the command, with the configuration that promotes automatically or by a person."""
        self.teller.command([one[:8] if len(one) == 40 else one for one in arguments])
        return CommandProcess(self._run(*arguments, "--json", "--config", str(self._config(by))), self.teller.hear)

    def background(self, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        """Run another module of ours, as in `python -m bot`; it ends with the stage."""
        own = {**account(os.environ, self._url, self.aws.region), **environment}
        command = [sys.executable, "-m", *arguments]
        return self._commands.run(command, folder=self._folder, environment=own, output=subprocess.PIPE)

    def history(self) -> None:
        """Let the product tell what it remembers."""
        self.teller.command(["history", SERVICE])
        CommandProcess(self._run("history", SERVICE, "--config", str(self._config("auto"))), self._quote).wait()

    @property
    def ill_soon(self) -> dict[str, float]:
        """A version that becomes unhealthy when half of the visitors have used it for two seconds or less."""
        return {"sick_after_requests": min(30.0, max(3.0, self._share))}

    def seen_since(self, moment: float) -> Visits:
        """What visitors saw from that moment on."""
        return self.load.seen().since(moment)

    def seen_next(self, requests: int, seconds: float = 15.0) -> Visits:
        """What visitors see in so many requests that begin now, or in as many as there are after so many seconds."""
        began = time.time()
        while len((visits := self.load.lately(seconds).since(began)).all) < requests and time.time() < began + seconds:
            time.sleep(0.1)
        return visits

    def wait_until_alone(self, version: str, while_running: CommandProcess, seconds: float = PATIENCE) -> bool:
        """Wait until visitors have seen that version only for two seconds; False when that never came."""
        deadline = time.time() + seconds
        while time.time() < deadline and while_running.running:
            if set(self.load.lately(2.0).by_version()) == {version}:
                return True
            time.sleep(0.1)
        return False

    def _quote(self, said: PrintedEvent | str) -> None:
        self.teller.say(f"  {escape(str(said))}")

    def _run(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "bluegreen", *arguments]
        environment = account(os.environ, self._url, self.aws.region)
        return self._commands.run(command, folder=self._folder, environment=environment, output=subprocess.PIPE)

    def _configure(self, world: World) -> None:
        usual = {
            "image": {"builder": {"tag": "web-builder", "run": BUILD, "check": "test -s VERSION"}},
            "checks": [UNIT],
            "poll": 0.5,
            "soak": 10,
            **self._settings,
            "traffic": {**world.config()["traffic"], "overlap": 8, **self._settings.get("traffic", {})},
        }
        for by in ("auto", "person"):
            own = self._person if by == "person" else {}
            settings = world.config(**{**usual, **own, "promotion": {**self._settings.get("promotion", {}), "by": by}})
            self._config(by).write_text(yaml.safe_dump(settings, sort_keys=False))

    def _config(self, by: str) -> Path:
        """In the service's repository, where the command finds the commits' titles."""
        return self.servers.repository.folder / f"bluegreen-{by}.yml"


def account(own: Mapping[str, str], url: str, region: str) -> dict[str, str]:
    """The environment of a command: `own`, without a trace of an AWS account or a journal that somebody really has."""
    kept = {key: value for key, value in own.items() if not key.startswith(("AWS_", "BLUEGREEN_"))}
    path = os.pathsep.join(part for part in (str(ROOT), kept.get("PYTHONPATH")) if part)
    keys = {"AWS_ACCESS_KEY_ID": "lab", "AWS_SECRET_ACCESS_KEY": "lab", "AWS_REGION": region}
    files = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    where = {"AWS_ENDPOINT_URL": url, "AWS_EC2_METADATA_DISABLED": "true"}
    return {**kept, **keys, **files, **where, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
