"""From an order to roll back to the rollback, in real time, while checks are out and AWS is silent.

`bluegreen` in processes of its own, one driver and two. The pages of checks hang, trickle, or come when the longest
timeout is nearly over; or AWS swallows the calls of a look: of checks, or of what every look needs. The order is given
at any moment of the overlap.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import random
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bluegreen import Engine, Event, EventKind, Phase, release_id
from tests.worlds.forked import Forked
from tests.worlds.processes import Place, place
from tests.worlds.waiting import eventually

SERVICE = "web/production"
#: Releases that are rolled back in each case, with one driver and with two; so many cases at once.
ORDERS, AT_ONCE = 20, 4
#: The order is given so many seconds after the overlap began, at most.
WITHIN = 6.0
#: Seconds: the longest timeout there is, and how soon before it a page comes.
TIMEOUT, EARLY = 30.0, 0.2

Row = tuple[str, str, str]
OFTEN = {"every": "1s", "within": "10m"}


@dataclass(frozen=True)
class Case:
    """What is out when the order comes: pages, or calls that AWS swallows from the beginning of the overlap."""

    what: str
    pages: tuple[str, ...] = ()
    checks: tuple[Mapping[str, Any], ...] = ()
    swallowed: tuple[str, ...] = ()
    until_begun: bool = False  # no act can be decided on before AWS answers again


CPU = {"metric": "CPUUtilization", "namespace": "AWS/EC2", "statistic": "Average", "at_most": 50}
CASES = (
    Case("checks hang", pages=("hang",)),
    Case("checks trickle", pages=("trickle",)),
    Case("checks come at their bound", pages=("late",)),
    Case(
        "CloudWatch is silent",
        checks=({"name": "alarm", "alarm": "web-5xx", "missing": "pass", **OFTEN}, {"name": "cpu", **CPU, **OFTEN}),
        swallowed=("cloudwatch:*",),
    ),
    Case("SSM is silent", checks=({"name": "unit", "run": "true", **OFTEN},), swallowed=("ssm:*",)),
    Case(
        "groups and load balancers are silent",
        swallowed=("autoscaling:Describe*", "elbv2:Describe*"),
        until_begun=True,
    ),
)


def rows() -> list[Row]:
    """One row for one driver and one for two, of each case."""
    whole = [(case, drivers) for case in CASES for drivers in (1, 2)]
    with ProcessPoolExecutor(AT_ONCE, multiprocessing.get_context("spawn")) as pool:
        measured = pool.map(_measured, *zip(*whole, strict=True))
        return [_row(*one, seconds) for one, seconds in zip(whole, measured, strict=True)]


def _row(case: Case, drivers: int, seconds: Sequence[float]) -> Row:
    ordered = sorted(seconds)
    to = "the rollback" if case.until_begun else "its first act"
    what = f"order to {to}, {case.what}, {'one driver' if drivers == 1 else 'two'}"
    said = f"median {ordered[len(ordered) // 2]:.2f} s, worst of {len(ordered)} {ordered[-1]:.2f} s"
    return what, said, "at most 1 s (p99)"


def _measured(case: Case, drivers: int) -> list[float]:
    dice = random.Random(f"{case.what} {drivers}")
    with tempfile.TemporaryDirectory() as folder, _server() as url:
        pages = [{"name": page, "http": f"{url}/{page}", "timeout": f"{TIMEOUT:g}s", **OFTEN} for page in case.pages]
        checks = [*pages, *case.checks]
        with place(Path(folder) / "world", checks=checks, slack={"rollbackers": ["*"]}, poll=1) as at:
            at.change(overlap=600)
            return [_one(at, case, number, drivers, dice.uniform(0, WITHIN)) for number in range(1, ORDERS + 1)]


def _one(at: Place, case: Case, number: int, drivers: int, after: float) -> float:
    """One release until it is rolled back; the seconds from the order to the rollback's first act, or its beginning."""
    ec2 = at.world.client("ec2")
    image = ec2.register_image(Name=f"next-{number}", RootDeviceName="/dev/xvda")["ImageId"]
    engine, id_ = Engine(session=at.aws.session(recorded=False), clock=at.clock), release_id(SERVICE, number)
    processes = [at.command("release", "--ami", image, "--commit", f"{number:08x}")]
    eventually(lambda: any(_phase(engine, id_) == one for one in (Phase.LAUNCHING, Phase.OVERLAPPING)), 60)
    processes += [at.command("resume", SERVICE) for _ in range(drivers - 1)]
    eventually(lambda: _phase(engine, id_) == Phase.OVERLAPPING, 60)
    for call in case.swallowed:
        at.aws.faults.swallow(call, times=None)
    time.sleep(after)
    order = engine.roll_back(SERVICE, who="slack:U1")
    eventually(lambda: _after(engine, order, EventKind.ENTERED) is not None, 240)
    begun = _after(engine, order, EventKind.ENTERED)
    for call in case.swallowed if case.until_begun else ():
        at.aws.faults.allow(call)
    eventually(lambda: _after(engine, order, EventKind.BEGAN) is not None, 240)
    act = _after(engine, order, EventKind.BEGAN)
    _ended(processes)
    for call in case.swallowed:
        at.aws.faults.allow(call)
    assert begun is not None
    assert act is not None
    return (begun if case.until_begun else act).at - order.at


def _phase(engine: Engine, id_: str) -> Phase | None:
    known = {record.service: record for record in engine.services()}
    there = SERVICE in known and (known[SERVICE].under_way or 0) == int(id_.rpartition("#")[2])
    return engine.load(id_).phase if there else None


def _after(engine: Engine, order: Event, kind: EventKind) -> Event | None:
    return next((one for one in engine.events(order.release) if one.seq > order.seq and one.kind is kind), None)


def _ended(processes: list[Forked]) -> None:
    for process in processes:
        process.communicate(timeout=150)


@contextmanager
def _server() -> Iterator[str]:
    """The address of the server."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=128)
    over = threading.Event()

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                talking, _ = listening.accept()
                threading.Thread(target=answer, args=(talking,), daemon=True).start()

    def answer(talking: socket.socket) -> None:
        with contextlib.suppress(OSError), talking:
            asked = talking.recv(1 << 16)
            if b"/late" in asked:
                over.wait(TIMEOUT - EARLY)
                talking.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                return
            talking.sendall(b"HTTP/1.1 200 OK\r\n" if b"/trickle" in asked else b"")
            while not over.wait(0.1):
                talking.sendall(b"x: y\r\n" if b"/trickle" in asked else b"")

    threading.Thread(target=accept, daemon=True).start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    over.set()
    listening.close()
