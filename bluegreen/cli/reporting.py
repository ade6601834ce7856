"""What `report` writes: the page of a release, or the index of a history with the pages of its releases."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bluegreen import entry_points
from bluegreen.cli import output
from bluegreen.cli.invocation import Invocation
from bluegreen.errors import ConfigError
from bluegreen.masking import secrets_of
from bluegreen.release import count_of
from bluegreen.report import history, page, story
from bluegreen.report.history import DAY, History
from bluegreen.report.story import Story

if TYPE_CHECKING:
    from bluegreen.engine import Engine

#: So many releases of a service are in its history at most.
MOST = 1000
#: Where the index is, if a folder is named.
INDEX = "index.html"


@dataclass(frozen=True)
class ReportOptions:
    """What was asked for. `to`: a file, a folder, `-` for stdout, or "" for the default; `days`: of a history."""

    to: str
    force: bool
    days: int


def report(at: Invocation, named: str | None, options: ReportOptions) -> None:
    """Write the page of a release: the one that is named, else the newest of the service."""
    engine, id_ = _meant(at, named)
    told = _story(engine, id_)
    if at.as_json:
        output.echo_json({**_version(), **entry_points.result(told.release), **story.as_object(told)})
        return
    shown = page.release(told, secrets_of(os.environ))
    if options.to == "-":
        sys.stdout.write(shown)
        return
    path = Path(options.to or page.file_of(id_))
    path = path / page.file_of(id_) if path.is_dir() else path
    write(path, shown, force=options.force)
    output.say(f"{path} has the report of {id_}")


def report_all(at: Invocation, named: str | None, options: ReportOptions) -> None:
    """Write the index of a history, and the page of each release beside it."""
    engine, services = _services(at, named)
    made = _history(engine, services, options.days)
    if at.as_json:
        output.echo_json({**_version(), **history.as_object(made)})
        return
    secrets = secrets_of(os.environ)
    if options.to == "-":
        sys.stdout.write(page.index(made, secrets))
        return
    path = Path(options.to or "history")
    path = path if path.suffix in {".html", ".htm"} else path / INDEX
    pages = {path.with_name(page.file_of(one.release.id)): one for one in made.stories}
    for place in (path, *pages):
        _may_be_written(place, force=options.force)
    for place, one in pages.items():
        write(place, page.release(one, secrets, index=path.name), force=options.force)
    write(path, page.index(made, secrets), force=options.force)
    output.say(f"{path} lists {count_of(len(made.stories), 'release')} of {', '.join(services)}")


def _version() -> dict[str, int]:
    return {"schema_version": entry_points.SCHEMA_VERSION}


# --- what is meant ---------------------------------------------------------------------------------------


def _meant(at: Invocation, named: str | None) -> tuple[Engine, str]:
    """`web/production#42`, or the newest release of a service."""
    service, mark, number = (named or "").partition("#")
    if mark and not re.fullmatch(r"[1-9][0-9]{0,8}", number):
        hint = "Name a release as in web/production#42, or a service for its newest one."
        raise ConfigError("is no release", where=named or "", hint=hint)
    engine, meant = at.meant(service or None)
    if mark:
        return engine, f"{meant}#{number}"
    newest = engine.history(meant, 1)
    if not newest:
        raise engine.lost(meant) or _nothing(meant)
    return engine, newest[0].id


def _nothing(where: str) -> ConfigError:
    return ConfigError("has no releases", where=where, hint="`bluegreen status` lists the services with releases.")


def _story(engine: Engine, id_: str) -> Story:
    if not (events := engine.events(id_)):
        engine.load(id_)  # it says what to do when there is no such release
    return story.story(events, time.time())


def _services(at: Invocation, named: str | None) -> tuple[Engine, Sequence[str]]:
    """The one that is named; else those of the configuration in all its environments; else every one in the journal."""
    if named:
        engine, meant = at.meant(named)
        services = [meant] if engine.history(meant, 1) else []
    else:
        config = at.config_if_any()
        engine, meant = at.engine(config), config.service if config else "the journal"
        known = [one.service for one in engine.services()]
        services = [one for one in known if config is None or one.partition("/")[0] == config.service]
    if not services:
        raise _nothing(meant)
    return engine, services


def _history(engine: Engine, services: Sequence[str], days: int) -> History:
    now = time.time()
    since = now - days * DAY
    rows = [row for service in services for row in engine.history(service, MOST) if row.started >= since]
    return history.history(services, [_story(engine, row.id) for row in rows], since, now)


# --- files -----------------------------------------------------------------------------------------------


def write(path: Path, shown: str, *, force: bool = False) -> None:
    """Put the page there, all of it or nothing. ConfigError when something else is there, or it cannot be written."""
    _may_be_written(path, force=force)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as made:
            made.write(shown)
        Path(made.name).chmod(0o644)
        Path(made.name).replace(path)
    except OSError as error:
        hint = "Name another file with -o, or - for the standard output."
        raise ConfigError(f"cannot be written: {error.strerror}", where=str(path), hint=hint) from error


def _may_be_written(path: Path, *, force: bool) -> None:
    """An older report may be replaced; any other file only if that is asked for."""
    if force or not path.exists():
        return
    if path.is_dir() or page.MARK not in path.read_bytes()[:1000].decode(errors="replace"):
        hint = "Name another file with -o, or add --force."
        raise ConfigError("is there, and is no report of bluegreen", where=str(path), hint=hint)
