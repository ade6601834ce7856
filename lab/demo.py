"""The demo: a web service under load on this computer, released, promoted and rolled back.

In a browser (`lab.demo_page`) people do it themselves: release, press Promote, type `/rollback`, watch the traffic
move. With `--no-browser` it runs in the terminal:

    Act 1   version 2 goes live
    Act 2   version 3 becomes unhealthy while both versions serve, and rolls back by itself
    Act 3   a person promotes version 4, changes their mind, and rolls it back

AWS is a fake; servers, load balancer, visitors, git and every second are real. The product is used as anybody uses
it: by the command `bluegreen`, a process of its own, that knows only AWS_ENDPOINT_URL of the lab.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lab.demo_page import SOAK, open_page
from lab.demo_service import PAUSE, SERVICE, DemoService, Teller
from lab.load import Visits

OPENING = """\
[bold]bluegreen[/bold] releases a web service three times, while visitors use it.

[green]Real[/green]       {instances} web servers, each a process; the load balancer before them; the git commits;
           {visitors} visitors who never stop asking; every second that passes
[dim]Fake[/dim]       AWS itself: you need no account, and pay nothing
"""
LIVE = """\
A commit brings version 2. bluegreen makes an image of it, and starts as many new servers as serve now. Both versions
serve for a while, then version 2 alone; the old servers wait a little before they go."""
ILL = """\
Version 3 starts well, passes every check, and becomes unhealthy once visitors use it. Nobody does anything."""
MIND = """\
Version 4 is well, but this time a person decides. Both versions serve until someone promotes; then version 4 serves
alone, and while the old servers still wait, the person changes their mind."""


SHORT_SOAK = 10
"""Seconds for which the old servers wait in the first two acts."""
SAMPLE = 12
"""Requests that tell who serves."""


@dataclass(frozen=True)
class Ending:
    """How one act ended."""

    title: str
    wrong: tuple[str, ...]
    """What was not as told, one sentence each."""
    visits: Visits
    back: float | None = None
    """Seconds from the recorded order, or the decision, to the last request that the rolled-back version served."""

    @property
    def good(self) -> bool:
        """Whether it ended as told, and no visitor was hurt."""
        return not self.wrong and not self.visits.failed


# --- the three acts ------------------------------------------------------------------------------------------


def goes_live(stage: DemoService) -> Ending:
    """Version 2 goes live."""
    stage.teller.say(LIVE)
    began, commit = time.time(), stage.servers.repository.push("2")
    with stage.teller.picture(stage.load, "1", "2"):
        code = stage.bluegreen("release", "--commit", commit).wait()
    wrong = _unless((code == 0, f"the command ended with {code}, not 0"), _alone(stage, "2"))
    return Ending("Version 2 goes live", wrong, stage.seen_since(began))


def falls_ill(stage: DemoService) -> Ending:
    """Version 3 becomes unhealthy."""
    stage.teller.say(ILL)
    began, commit = time.time(), stage.servers.repository.push("3", **stage.ill_soon)
    with stage.teller.picture(stage.load, _serving(stage), "3"):
        code = stage.bluegreen("release", "--commit", commit).wait()
    decided, visits = stage.teller.moment(began, "entered", "rolling_back"), stage.seen_since(began)
    served = (visits.first("3") is not None, "no visitor ever saw version 3")
    wrong = _unless((code == 3, f"the command ended with {code}, not 3"), served, _back_alone(stage, visits, "3"))
    return Ending("Version 3 is rolled back by itself", wrong, visits, _after(decided, visits.last("3")))


def changes_mind(stage: DemoService) -> Ending:
    """Version 4 is promoted and rolled back by a person."""
    stage.teller.say(MIND)
    began, commit = time.time(), stage.servers.repository.push("4")
    with stage.teller.picture(stage.load, _serving(stage), "4"):
        held = stage.bluegreen("release", "--commit", commit, by="person")
        codes = [held.wait()]
        promoting = stage.bluegreen("promote", SERVICE, by="person")
        alone = stage.wait_until_alone("4", promoting)
        codes += [stage.bluegreen("rollback", SERVICE, "--reason", "a change of mind", by="person").wait()]
        codes += [promoting.wait()]
    ordered, visits = stage.teller.moment(began, "rollback_ordered"), stage.seen_since(began)
    wrong = _unless(
        (codes == [0, 0, 3], f"release, rollback and promote ended with {codes}, not 0, 0 and 3"),
        (held.result.get("decision") == "held", f"the release was {held.result.get('decision')}, not held"),
        (alone, "version 4 never served alone"),
        _back_alone(stage, visits, "4"),
    )
    return Ending("Version 4 is rolled back by order", wrong, visits, _after(ordered, visits.last("4")))


ACTS: tuple[Callable[[DemoService], Ending], ...] = (goes_live, falls_ill, changes_mind)


def _serving(stage: DemoService) -> str:
    """The version that serves before an act."""
    versions = stage.load.lately(1.0).by_version()
    return max(versions, key=lambda version: versions[version], default="?")


def _unless(*claims: tuple[bool, str]) -> tuple[str, ...]:
    return tuple(otherwise for true, otherwise in claims if not true)


def _alone(stage: DemoService, version: str) -> tuple[bool, str]:
    """Whether visitors who come from now on see that version and no other."""
    seen = set(stage.seen_next(SAMPLE).by_version())
    return seen == {version}, f"visitors see version {' and '.join(sorted(seen)) or 'nothing'}, not {version} alone"


def _back_alone(stage: DemoService, visits: Visits, gone: str) -> tuple[bool, str]:
    """Whether what served before the act serves alone again."""
    before = next((visit.version for visit in visits.all if visit.version), "?")
    return _alone(stage, before) if before != gone else (False, f"version {gone} served before its act")


def _after(moment: float | None, last: float | None) -> float | None:
    return None if moment is None or last is None else max(0.0, last - moment)


# --- the frame -----------------------------------------------------------------------------------------------


def play(teller: Teller, acts: Sequence[int], instances: int, visitors: int, **settings: Any) -> bool:
    """Play these acts; True when each ended as told and no request failed. `settings` go to the stage."""
    teller.say(OPENING.format(instances=instances, visitors=visitors))
    with _stage(teller, instances, visitors, settings) as stage:
        verdicts = [_perform(stage, number) for number in acts]
        stage.history()
    teller.say()
    teller.table(_summary(verdicts))
    teller.say()
    good, total = all(one.good for one in verdicts), sum(len(one.visits.all) for one in verdicts)
    failed = sum(len(one.visits.failed) for one in verdicts)
    colour, word = ("green", "Everything ended as told") if good else ("red", "Not everything ended as told")
    teller.say(f"[bold {colour}]{word}: {total:,} requests, {failed:,} failed.[/]")
    return good


@contextlib.contextmanager
def _stage(teller: Teller, instances: int, visitors: int, settings: dict[str, Any]) -> Iterator[DemoService]:
    mind = {"soak": SOAK}  # whoever changes their mind has the time to
    with tempfile.TemporaryDirectory(prefix="bluegreen-demo-", ignore_cleanup_errors=True) as folder:
        with teller.waiting("Starting the servers of version 1"):
            stage = DemoService(Path(folder), teller, instances, visitors, person=mind, **settings)
        try:
            yield stage
        finally:
            stage.close()


def _perform(stage: DemoService, number: int) -> Ending:
    act = ACTS[number - 1]
    stage.teller.say(f"\n[bold]Act {number}   {(act.__doc__ or '').rstrip('.')}[/bold]")
    verdict = act(stage)
    stage.teller.say(f"\n  {_in_words(verdict)}")
    for wrong in (*verdict.wrong, *_troubles(verdict.visits)):
        stage.teller.say(f"  [red]{wrong}[/red]")
    return verdict


def _in_words(verdict: Ending) -> str:
    mark = "[green]✓[/green]" if verdict.good else "[red]✗[/red]"
    back = f" Back in {verdict.back:.1f} s." if verdict.back is not None else ""
    return f"{mark} {_versions(verdict.visits)}; {len(verdict.visits.failed):,} failed.{back}"


def _versions(visits: Visits) -> str:
    return ", ".join(f"version {version} answered {count:,}" for version, count in sorted(visits.by_version().items()))


def _troubles(visits: Visits) -> list[str]:
    return [f"{visit.status or 'no answer'}: {escape(visit.trouble or 'an error page')}" for visit in visits.failed[:3]]


def _summary(verdicts: Sequence[Ending]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("what visitors saw")
    for head in ("requests", "failed", "seconds to roll back"):
        table.add_column(head, justify="right")
    for one in verdicts:
        back = "" if one.back is None else f"{one.back:.1f}"
        mark = "[green]✓[/green]" if one.good else "[red]✗[/red]"
        table.add_row(f"{mark} {one.title}", f"{len(one.visits.all):,}", f"{len(one.visits.failed):,}", back)
    return table


def _terminated(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> int:
    """Play the demo. Exit code 0: all went as told; 1: something did not; 130: interrupted."""
    parser = argparse.ArgumentParser(prog="bluegreen demo", description="Releases on this machine, without AWS.")
    parser.add_argument("--no-browser", action="store_true", help="play three acts in the terminal")
    parser.add_argument("--act", type=int, action="append", choices=(1, 2, 3), help="there only this act (repeatable)")
    parser.add_argument("--port", type=int, default=8642, help="of the page (default: 8642, or a free one)")
    parser.add_argument("--minutes", type=float, default=30, help="after which the page closes (default: 30)")
    soak = f"seconds in which one can go back at once (default: {SHORT_SOAK}, on the page {SOAK})"
    parser.add_argument("--soak", type=float, help=soak)
    parser.add_argument("--instances", type=int, default=4, help="servers in the group (default: 4)")
    parser.add_argument("--visitors", type=int, default=8, help="visitors at the same time (default: 8)")
    pause = "seconds that a visitor rests between two requests (default: %(default)s)"
    parser.add_argument("--pause", type=float, default=PAUSE, help=pause)
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _terminated)
    console = Console(highlight=False)
    try:
        if not (given.no_browser or given.act):
            settings = {"seconds": 60 * given.minutes, "soak": given.soak or SOAK, "pause": given.pause}
            return open_page(Teller(console), given.instances, given.visitors, given.port, **settings)
        settings = {"soak": given.soak or SHORT_SOAK, "pause": given.pause}
        return 0 if play(Teller(console), given.act or (1, 2, 3), given.instances, given.visitors, **settings) else 1
    except KeyboardInterrupt:
        console.print("\nStopped; nothing is left behind.")
        return 130


if __name__ == "__main__":
    sys.exit(main())
