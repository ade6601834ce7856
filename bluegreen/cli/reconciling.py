"""What `reconcile` does: drive many releases at once, and sum up."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import click

from bluegreen import Until
from bluegreen.cli import door, output
from bluegreen.errors import BlueGreenError, Refused
from bluegreen.release import Release

#: Of several releases the one that needs a person most decides the exit code.
_GRAVEST = (door.FAILED, door.INTERRUPTED, door.ROLLED_BACK, door.OK)


@dataclass(frozen=True)
class Done:
    """How far one release was driven."""

    id: str
    release: Release | None = None
    error: BlueGreenError | None = None

    @property
    def code(self) -> int:
        """As for a release alone; one that another driver took up meanwhile is in good hands."""
        if self.error is not None:
            return door.OK if isinstance(self.error, Refused) else door.error_code(self.error)
        return door.exit_code(self.release) if self.release else door.OK


def drive_all(at: door.Door, ids: list[str], at_once: int) -> int:
    """Drive these releases, each in a thread of its own, and print how far they came."""
    with (
        output.screen_for(as_json=at.as_json, several=True) as screen,
        output.warnings_to(screen),
        door.stopping(screen.note) as stop,
        ThreadPoolExecutor(max_workers=at_once) as pool,
    ):
        done = list(pool.map(lambda id_: _drive(at, id_, screen, stop), ids))
    _sum_up(done, as_json=at.as_json)
    codes = {door.OK, *(one.code for one in done)}
    return next(code for code in _GRAVEST if code in codes)


def _drive(at: door.Door, id_: str, screen: output.Screen, stop: door.Stop) -> Done:
    """An engine for each: what boto3 makes is not to be made in several threads from one session."""
    try:
        engine = at.engine(at.config_if_any())
        return Done(id_, release=engine.drive(id_, until=Until.HELD, tell=screen.tell, stop=stop))
    except BlueGreenError as error:
        return Done(id_, error=error)
    except Exception as error:  # one release's trouble is not the others'
        return Done(id_, error=output.unexpected(error))


def _sum_up(done: list[Done], *, as_json: bool) -> None:
    if as_json:
        output.echo_json({"schema_version": output.SCHEMA_VERSION, "releases": [_object(one) for one in done]})
        return
    if not done:
        click.echo("Every release under way has a driver.")
    for one in done:
        if one.error is not None:
            output.failure(one.error, as_json=False)
        elif one.release is not None:
            output.ended(one.release, as_json=False)


def _object(one: Done) -> dict[str, Any]:
    if one.error is not None:
        return {"release": one.id, **output.failed_result(one.error, None)}
    return output.result(one.release) if one.release else {}
