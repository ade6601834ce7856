"""The numbers of the design, measured on the lab: `make benchmark`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from statistics import median

from rich.console import Console
from rich.table import Table

from bluegreen.events import Phase
from bluegreen.release import Release
from bluegreen.report import page, story
from tests.benchmark import bot, orders, rollback, scaling, siege, takeover, traffic
from tests.simulation import play_many
from tests.worlds import Ops
from tests.worlds.attachments import hang
from tests.worlds.events import flapping
from tests.worlds.runner import image, image_size

CHANGES = {"poll": 5, "soak": 900}
OVERLAP = 300.0
WORLDS = 400


@dataclass(frozen=True)
class Row:
    """One number: what it is, what was measured, what the design wants."""

    what: str
    measured: str
    wanted: str


def main() -> None:
    """Measure everything, one row each."""
    table = Table("what", "measured", "the design wants", title="bluegreen: measured on the lab")
    for row in [
        *_releases(),
        _worlds(),
        _rollback(),
        *_rollbacks(),
        *_cures(),
        _help(),
        _report(),
        *_traffic(),
        *_scaling(),
        *_bot(),
        *_orders(),
        *_takeover(),
        *_siege(),
        *_container(),
    ]:
        table.add_row(row.what, row.measured, row.wanted)
    Console(width=118).print(table)


def _ops(instances: int, *, weighted: bool = False) -> Ops:
    ops = Ops(instances=instances, changes=CHANGES, weighted=weighted)
    ops.config = ops.config.model_copy(update={"traffic": ops.config.traffic.model_copy(update={"overlap": OVERLAP})})
    return ops


def _cures() -> list[Row]:
    """The live version is ill, and somebody orders the image of before: in seconds, with instances that boot in 45."""
    rows = []
    for weighted in (False, True):
        first, out = _cure(weighted)
        what = f"order to the first healthy answer, and until the ill are out ({'weights' if weighted else 'shared'})"
        rows.append(Row(what, f"{first:.0f} s, {out:.0f} s", "boot, health, two looks"))
    return rows


def _cure(weighted: bool) -> tuple[float, float]:
    ops = _ops(4, weighted=weighted)
    for commit in ("0fee0001aaaa", "0fee0002bbbb"):
        live = ops.drive(ops.start(commit).id)
    ops.machines.sick("0fee0002bbbb")
    ops.clock.sleep(60)
    assert live is not None
    began, answers, alone = ops.clock.now(), list[float](), list[float]()
    release = ops.engine().release_again("web/production", live.blue_image, who="slack:U1")

    def when(_: Release) -> None:
        serving = ops.serving()
        groups = ops.config.traffic.target_groups
        if release.green_group in serving and any("healthy" in ops.aws.serving(one).values() for one in groups):
            answers.append(ops.clock.now() - began)
        if serving == {release.green_group}:
            alone.append(ops.clock.now() - began)

    ops.drive(release.id, when=when)
    return answers[0], alone[0]


def _releases() -> list[Row]:
    small, large, full, weighted = (
        _release(4),
        _release(100),
        _release(4, full=True),
        _release(4, full=True, weighted=True),
    )
    calls, more, attached, by_weight = (sum(count.values()) for count, _, _ in (small, large, full, weighted))
    journal = small[1]
    busiest = ", ".join(f"{name} {count}" for name, count in small[0].most_common(3))
    return [
        Row("AWS calls of a release, 4 instances, default times", f"{calls} ({busiest})", "-"),
        Row("the same, with everything attached", str(attached), "at most 180"),
        Row("the same, weighted", f"{by_weight} ({by_weight / attached:.2f} x)", "at most 1.5 x"),
        Row("the same, 100 instances", f"{more} ({more / calls:.2f} x)", "at most 1.3 x for 400"),
        Row("journal reads and writes beside them, 4 instances", str(journal), "-"),
        Row("time above what the world itself takes", f"{100 * small[2]:.1f} %", "at most 5 %"),
    ]


def _release(instances: int, *, full: bool = False, weighted: bool = False) -> tuple[Counter[str], int, float]:
    """Calls by operation, journal calls, and the share of the time that is our own; `full`: with attachments."""
    ops = _ops(instances, weighted=weighted)
    if full:
        hang(ops.world, ops.world.group)
    before = len(ops.aws.calls)
    done = ops.drive(ops.start().id)
    assert done is not None, "nobody killed this driver"
    assert done.outcome == "live", done.message
    calls = Counter(call.name for call in ops.aws.calls[before:])
    journal = sum(count for name, count in calls.items() if name.startswith("dynamodb"))
    cloud = Counter({name: count for name, count in calls.items() if not name.startswith("dynamodb")})
    total = (done.settled_at or 0.0) - done.started_at
    return cloud, journal, (total - _worlds_own(ops, done)) / total


def _worlds_own(ops: Ops, done: Release) -> float:
    """Seconds that the release would take if we noticed everything at once.

    Builder up, its command, its stop, the image; the group's reaction and launch; the targets' first healthy
    moment as the lab's clock had it; overlap and soak; blue's termination.
    """
    t = ops.aws.engine.timings
    bake = t.boot + t.ssm + t.command + t.stop + t.image
    launch = t.react + t.launch
    joined = done.entered[Phase.OVERLAPPING]
    healthy = min(check.since for check in done.checks.values()) - joined
    return bake + launch + healthy + OVERLAP + 900.0 + t.react + t.terminate


def _worlds() -> Row:
    """Some of the seeded worlds: a minute of them; `python -m tests.simulation` plays all."""
    outcomes, violations = play_many(range(1, WORLDS + 1))
    ends = ", ".join(f"{count} {outcome.replace('_', ' ')}" for outcome, count in outcomes.most_common())
    return Row("seeded worlds: violations of S1 to S8", f"{len(violations)} in {WORLDS} ({ends})", "0 in 10,000")


def _rollback() -> Row:
    """From the order to blue serving alone, out of the soak; and the changing calls until then."""
    ops = _ops(4)
    release = ops.start()
    done = ops.drive(release.id, when=ops.order_back(Phase.SOAKING))
    assert done is not None, "nobody killed this driver"
    order = next(event for event in ops.told if event.kind == "rollback_ordered")
    alone = next(e for e in ops.told if e.seq > order.seq and e.facts.get("value") == "blue")
    changing = [e.verb for e in ops.told if order.seq < e.seq < alone.seq and e.kind == "began"]
    acts = ", ".join(str(verb) for verb in changing)
    first = next(e for e in ops.told if e.seq > order.seq and e.kind == "began")
    said = f"{first.at - order.at:.1f} s to the first call, {alone.at - order.at:.0f} s to blue alone ({acts})"
    return Row("rollback out of the soak, driver alive", said, "at most 1 s to the first call")


def _rollbacks() -> list[Row]:
    """Order to green's last answer, by the interval of health checks: the table of docs/timing.md, half a minute."""
    return [
        Row(f"rollback, {traffic}, checks every {interval}: soon, long after the switch", f"{soon}, {late}", "-")
        for traffic, interval, soon, late in rollback.rows()
    ]


def _report() -> Row:
    """The page of the largest journal there can be of a release of 400 instances that is held for 72 hours."""
    events, now = flapping()
    taken, shown = [], ""
    for _ in range(5):
        began = time.perf_counter()
        shown = page.release(story.story(events, now))
        taken.append(time.perf_counter() - began)
    size = len(shown.encode()) / 1024
    what = f"the report of a release of 400 instances held for 72 h ({len(events)} events)"
    return Row(what, f"{median(taken):.2f} s, {size:.0f} KiB", "below 2 s, below 500 KiB")


def _help() -> Row:
    """Processor time of `bluegreen --help`, against that of an empty Python."""
    ours, python = (
        median(_processor_time(line) for _ in range(7)) for line in (["-m", "bluegreen", "--help"], ["-c", "pass"])
    )
    said = f"{1000 * ours:.0f} ms of CPU, {ours / python:.1f} x an empty Python"
    return Row("bluegreen --help", said, "below 150 ms")


def _traffic() -> list[Row]:
    """Weighted traffic under load, in real time: some four minutes."""
    return [Row(*one) for one in traffic.rows()]


def _scaling() -> list[Row]:
    """A group that scales by its own policy, whose load doubles twice, in real time: some ten minutes."""
    return [Row(*one) for one in scaling.rows()]


def _orders() -> list[Row]:
    """Rollbacks ordered while checks are out and AWS is silent, in real time: some fifteen minutes."""
    return [Row(*one) for one in orders.rows()]


def _takeover() -> list[Row]:
    """What a release with thousands of events costs the next driver: half a minute."""
    return [Row(*one) for one in takeover.rows()]


def _bot() -> list[Row]:
    """The bot with 50 releases to drive, in real time: some three minutes."""
    return [Row(*one) for one in bot.rows()]


def _siege() -> list[Row]:
    """The bot's HTTP door with strangers in it, in real time: a minute and a half."""
    return [Row(*one) for one in siege.rows()]


def _container() -> list[Row]:
    """What the image adds to its base, and how long it takes until the Action's first line."""
    if not shutil.which("docker") or subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        return [Row("the Action's image", "not measured: no Docker engine", "-")]
    size = image_size() / 1e6
    line = ["docker", "run", "--rm", "-e", "INPUT_COMMAND=nonsense", image()]
    bare = ["docker", "run", "--rm", "--entrypoint", "/opt/bluegreen/bin/python", image(), "-Ic", "pass"]
    ours, empty = (median(_seconds(one) for _ in range(5)) for one in (line, bare))
    said = f"{ours:.2f} s until it has judged its inputs, {ours / empty:.1f} x an empty Python in it"
    return [
        Row("the Action's image, without its base", f"{size:.0f} MB", "-"),
        Row("cold start of the Action", said, "-"),
    ]


def _seconds(line: list[str]) -> float:
    began = time.monotonic()
    subprocess.run(line, capture_output=True, check=False)
    return time.monotonic() - began


def _processor_time(line: list[str]) -> float:
    script = (
        "import resource,subprocess,sys;"
        "subprocess.run([sys.executable,*sys.argv[1:]],stdout=subprocess.DEVNULL,check=True);"
        "u=resource.getrusage(resource.RUSAGE_CHILDREN);print(u.ru_utime+u.ru_stime)"
    )
    compiled = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    out = subprocess.run(
        [sys.executable, "-c", script, *line], env=compiled, capture_output=True, text=True, check=True
    )
    return float(out.stdout)


if __name__ == "__main__":
    started = time.monotonic()
    main()
    Console().print(f"in {time.monotonic() - started:.0f} s")
