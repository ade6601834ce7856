"""What every command needs: where to look, which service is meant, and one way out for errors."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bluegreen import entry_points
from bluegreen.errors import BlueGreenError, ConfigError, Interrupted
from bluegreen.wording import one_line, visible

if TYPE_CHECKING:
    from bluegreen.config import Config
    from bluegreen.engine import Engine

CONFIG = "bluegreen.yml"


@dataclass(frozen=True)
class Invocation:
    """What a command got besides its own arguments."""

    config_path: str | None
    environment: str | None
    as_json: bool
    table: str | None
    region: str | None

    def config(self) -> Config:
        """The configuration, in the region that was named, if one was; ConfigError when it is missing or wrong."""
        from bluegreen.config import load

        config = load(self.config_path or CONFIG, self.environment)
        return config.model_copy(update={"region": self.region}) if self.region else config

    def config_if_any(self) -> Config | None:
        """The configuration, by its name or from this folder; None if both are missing."""
        return self.config() if self.config_path or Path(CONFIG).exists() else None

    def engine(self, config: Config | None = None) -> Engine:
        """The API, in the region that was named, else the configuration's, else the AWS environment's."""
        from bluegreen.engine import Engine

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
            from bluegreen.cli import output

            output.say(f"warning: {error.where} is unusable, so its region is unknown, too", err=True)
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


def source_of(commit: str, folder: Path) -> dict[str, str]:
    """Title and author of the commit, for display; empty where git does not know it."""
    said = told_by_git(folder, "show", "--no-patch", "--format=%s%x00%an", "--end-of-options", commit) if commit else ""
    title, _, author = said.partition("\0")
    return {"title": one_line(title)[:300], "author": one_line(author)[:100]} if title else {}


def repository_of(folder: Path) -> str:
    """OWNER/NAME of the folder's origin on GitHub or a server like it; empty where git names none."""
    from bluegreen import workflows

    found = workflows.repository_of(told_by_git(folder, "remote", "get-url", "origin"))
    return found[1] if found else ""


def _git(folder: Path, revision: str) -> str:
    """The revision's full SHA; empty when there is no git, no repository or no such commit."""
    return told_by_git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")


def told_by_git(folder: Path, *words: str) -> str:
    """What git says there; empty when it fails."""
    command = ["git", "-C", str(folder), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


# --- the group of commands ---------------------------------------------------------------------------------


class CommandGroup(click.Group):
    """The command group: every error leaves as one line, a hint and the right exit code."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:  # Any: as click has it
        """Read the options that stand before the command."""
        try:
            return super().make_context(*args, **kwargs)
        except click.ClickException as error:
            vars(error).update(message=visible(error.message))  # it repeats what was given
            raise

    def invoke(self, ctx: click.Context) -> None:
        """Run the command that was asked for."""
        from bluegreen.cli import output

        try:
            super().invoke(ctx)
        except click.ClickException as error:
            vars(error).update(message=visible(error.message))
            raise
        except (click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except BlueGreenError as error:
            output.failure(error, as_json=_asked_for_json(ctx))
            ctx.exit(entry_points.error_code(error))
        except KeyboardInterrupt:
            output.failure(Interrupted("interrupted before anything began"), as_json=_asked_for_json(ctx))
            ctx.exit(entry_points.INTERRUPTED)
        except Exception as error:
            if os.environ.get("BLUEGREEN_DEBUG"):
                raise
            output.failure(entry_points.unexpected(error), as_json=_asked_for_json(ctx))
            ctx.exit(entry_points.FAILED)


def _asked_for_json(ctx: click.Context) -> bool:
    return bool(ctx.find_root().meta.get("bluegreen.json"))
