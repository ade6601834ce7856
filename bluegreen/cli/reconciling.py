"""What `reconcile` prints: many releases at once, and how far they came."""

from __future__ import annotations

from bluegreen import doors
from bluegreen.cli import door, output


def reconcile(at: door.Door) -> int:
    """Drive every release that nobody drives, and print how far they came."""
    with (
        output.screen_for(as_json=at.as_json, several=True) as screen,
        output.warnings_to(screen),
        doors.stopping(screen.note) as stop,
    ):
        config = at.config_if_any()
        done = doors.drive_all(lambda: at.engine(config), at.engine(config).undriven(), screen.tell, stop)
    _sum_up(done, as_json=at.as_json)
    return doors.gravest(done)


def _sum_up(done: list[doors.Done], *, as_json: bool) -> None:
    if as_json:
        output.echo_json({"schema_version": doors.SCHEMA_VERSION, "releases": [one.result for one in done]})
        return
    if not done:
        output.say("Every release under way has a driver.")
    for one in done:
        if one.error is not None:
            output.failure(one.error, as_json=False)
        elif one.release is not None:
            output.ended(one.release, as_json=False)
