"""What `reconcile` prints: many releases at once, and how far they came."""

from __future__ import annotations

from bluegreen import entry_points
from bluegreen.cli import invocation, output
from bluegreen.engine import Removal


def reconcile(at: invocation.Invocation) -> int:
    """Drive every release that has no driver, remove what was kept long enough, and print what became of both."""
    with (
        output.screen_for(as_json=at.as_json, several=True) as screen,
        output.warnings_to(screen),
        entry_points.stopping(screen.note) as stop,
    ):
        config = at.config_if_any()
        done = entry_points.drive_all(lambda: at.engine(config), at.engine(config).undriven(), screen.tell, stop)
        engine = at.engine(config)
        removed, found = engine.tidy(), engine.new_drift()
    _sum_up(done, removed, found, as_json=at.as_json)
    return entry_points.gravest(done, removed)


def _sum_up(done: list[entry_points.Done], removed: list[Removal], found: list[str], *, as_json: bool) -> None:
    if as_json:
        told = {"releases": [one.result for one in done], "removed": [vars(one) for one in removed], "found": found}
        output.echo_json({"schema_version": entry_points.SCHEMA_VERSION, **told})
        return
    for said in found:
        output.say(f"found: {said}")
    if not done:
        output.say("Every release under way has a driver.")
    for gone in removed:
        output.say(gone.said)
    for one in done:
        if one.error is not None:
            output.failure(one.error, as_json=False)
        elif one.release is not None:
            output.ended(one.release, as_json=False)
