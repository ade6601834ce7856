"""What `reconcile` prints: many releases at once, and how far they came."""

from __future__ import annotations

from bluegreen import entry_points
from bluegreen.cli import invocation, output


def reconcile(at: invocation.Invocation) -> int:
    """Drive every release that has no driver, and print how far they came."""
    with (
        output.screen_for(as_json=at.as_json, several=True) as screen,
        output.warnings_to(screen),
        entry_points.stopping(screen.note) as stop,
    ):
        config = at.config_if_any()
        done = entry_points.drive_all(lambda: at.engine(config), at.engine(config).undriven(), screen.tell, stop)
    _sum_up(done, as_json=at.as_json)
    return entry_points.gravest(done)


def _sum_up(done: list[entry_points.Done], *, as_json: bool) -> None:
    if as_json:
        output.echo_json({"schema_version": entry_points.SCHEMA_VERSION, "releases": [one.result for one in done]})
        return
    if not done:
        output.say("Every release under way has a driver.")
    for one in done:
        if one.error is not None:
            output.failure(one.error, as_json=False)
        elif one.release is not None:
            output.ended(one.release, as_json=False)
