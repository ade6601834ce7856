"""What every command needs: where to look, which service is meant, signals, and one way out for errors.

Exit codes: 0 live, or parked where it was asked to; 1 failed; 2 wrong usage or config; 3 rolled back;
4 refused; 130 interrupted, resumable.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from bluegreen.errors import BlueGreenError, ConfigError, Interrupted, LeaseLost, Refused
from bluegreen.release import Outcome, Release

if TYPE_CHECKING:
    from bluegreen import Engine
    from bluegreen.config import Config

CONFIG = "bluegreen.yml"
OK, FAILED, USAGE, ROLLED_BACK, REFUSED, INTERRUPTED = 0, 1, 2, 3, 4, 130

_ENDS = {Outcome.LIVE: OK, Outcome.FAILED: FAILED, Outcome.ROLLED_BACK: ROLLED_BACK}
_STOPPING = "stopping at the next safe point; nothing new is begun"
_STILL = "still stopping; whatever becomes of this process, `bluegreen resume` goes on from the journal"


def exit_code(release: Release) -> int:
    """Of a release that has settled, or is parked where it was asked to park."""
    return _ENDS[release.outcome] if release.outcome else OK


def error_code(error: BaseException) -> int:
    """The exit code that an error means."""
    match error:
        case ConfigError():
            return USAGE
        case Refused():
            return REFUSED
        case Interrupted() | LeaseLost() | KeyboardInterrupt():
            return INTERRUPTED
    return FAILED


@dataclass(frozen=True)
class Door:
    """What a command was told besides its own arguments."""

    config_path: str | None
    environment: str | None
    as_json: bool
    table: str | None
    region: str | None

    def config(self) -> Config:
        """The configuration; ConfigError when there is none or it is wrong."""
        from bluegreen.config import load

        return load(self.config_path or CONFIG, self.environment)

    def config_if_any(self) -> Config | None:
        """The configuration, or None when none is named and none is in this folder."""
        return self.config() if self.config_path or Path(CONFIG).exists() else None

    def engine(self, config: Config | None = None) -> Engine:
        """The API, in the region that was named, else the configuration's, else the AWS environment's."""
        from bluegreen import Engine

        return Engine(table=self.table, region=self.region or (config.region if config else None))

    def meant(self, named: str | None) -> tuple[Engine, str]:
        """The API and the service that SERVICE means: `web/production`, `web`, or left out."""
        config = self._config_beside(named)
        engine = self.engine(config)
        if named and "/" in named:
            return engine, named
        if named and self.environment:
            return engine, f"{named}/{self.environment}"
        if config and named in (None, config.service):
            return engine, config.id
        return engine, _only_one(engine, named)

    def _config_beside(self, named: str | None) -> Config | None:
        """A service that is fully named can be rolled back even when the file is broken."""
        try:
            return self.config_if_any()
        except ConfigError as error:
            if not (named and "/" in named):
                raise
            click.echo(f"warning: {error.where} cannot be used, so its region is not known either", err=True)
            return None


def _only_one(engine: Engine, named: str | None) -> str:
    statuses = engine.status()
    if named:
        found = [s.service for s in statuses if s.service.split("/")[0] == named]
    else:
        found = [s.service for s in statuses if s.record.under_way]
    if len(found) == 1:
        return found[0]
    hint = (
        f"Name one of: {', '.join(found)}." if found else "Name it as in web/production; `bluegreen status` lists all."
    )
    what = "several services are meant" if found else f"no service `{named}`" if named else "no release is under way"
    raise ConfigError(what, where=named or "SERVICE", hint=hint)


# --- the commit --------------------------------------------------------------------------------------------


def commit_of(config: Config, given: str, ami: str, folder: Path) -> str:
    """The full SHA to release: the one given, else that of the folder's HEAD when an image is to be built."""
    if given:
        return _git(folder, given) or _as_given(given)
    if config.image.builder is None:
        return ""
    head = _git(folder, "HEAD")
    if not head and not ami:
        raise ConfigError("is no git work tree with a commit", where=str(folder), hint="Name one with --commit SHA.")
    return head


def _as_given(commit: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{7,40}", commit):
        hint = "Give a SHA of 7 to 40 hex digits, or something that git knows here."
        raise ConfigError("is not a commit", where=f"--commit {commit}", hint=hint)
    return commit


def _git(folder: Path, revision: str) -> str:
    """The revision's full SHA; empty when there is no git, no repository or no such commit."""
    command = [
        "git",
        "-C",
        str(folder),
        "rev-parse",
        "--verify",
        "--quiet",
        "--end-of-options",
        f"{revision}^{{commit}}",
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


# --- signals -----------------------------------------------------------------------------------------------


class Stop:
    """Whether somebody asked this process to stop; SIGINT and SIGTERM do."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._asked = threading.Event()

    def __call__(self) -> bool:
        """Whether it was asked for."""
        return self._asked.is_set()

    def ask(self, signum: int = 0, frame: FrameType | None = None) -> None:
        """Ask for it. A second signal changes nothing: what AWS was told is never left half recorded."""
        again = self._asked.is_set()
        self._asked.set()
        self._say(_STILL if again else _STOPPING)


@contextmanager
def stopping(say: Callable[[str], None]) -> Iterator[Stop]:
    """Within it, signals ask for a stop at the next safe point."""
    stop = Stop(say)
    before = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(ValueError):  # not in the main thread: its owner hears the signals
            before[number] = signal.signal(number, stop.ask)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# --- the group of commands ---------------------------------------------------------------------------------


class Doors(click.Group):
    """The command group: every error leaves as one line, a hint and the right exit code."""

    def invoke(self, ctx: click.Context) -> None:
        """Run the command that was asked for."""
        from bluegreen.cli import output

        try:
            super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except BlueGreenError as error:
            output.failure(error, as_json=_asked_for_json(ctx))
            ctx.exit(error_code(error))
        except KeyboardInterrupt:
            output.failure(Interrupted("interrupted before anything was begun"), as_json=_asked_for_json(ctx))
            ctx.exit(INTERRUPTED)
        except Exception as error:
            if os.environ.get("BLUEGREEN_DEBUG"):
                raise
            output.failure(output.unexpected(error), as_json=_asked_for_json(ctx))
            ctx.exit(FAILED)


def _asked_for_json(ctx: click.Context) -> bool:
    return bool(ctx.find_root().meta.get("bluegreen.json"))
