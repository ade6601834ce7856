"""From an order to roll back to the first act of the rollback, in real time, while checks are out.

`bluegreen` in processes of its own, one driver and two; a server whose pages hang, trickle, or come when the longest
timeout is nearly over. The order is given at any moment of the overlap.
"""

from __future__ import annotations

import contextlib
import random
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bluegreen import Engine, Event, EventKind, Phase, release_id
from tests.worlds.forked import Forked
from tests.worlds.processes import Place, place
from tests.worlds.waiting import eventually

SERVICE = "web/production"
#: Releases that are rolled back, with one driver and with two.
ORDERS = 20
#: The order is given so many seconds after the overlap began, at most.
WITHIN = 6.0
#: Seconds: the longest timeout there is, and how soon before it a page comes.
TIMEOUT, EARLY = 30.0, 0.2

Row = tuple[str, str, str]


def rows() -> list[Row]:
    """One row for one driver, one for two."""
    return [
        (f"order to first act while checks hang and trickle, {many}", _spread(_measured(drivers)), "at most 1 s (p99)")
        for drivers, many in ((1, "one driver"), (2, "two"))
    ]


def _spread(seconds: list[float]) -> str:
    ordered = sorted(seconds)
    return f"median {ordered[len(ordered) // 2]:.2f} s, worst of {len(ordered)} {ordered[-1]:.2f} s"


def _measured(drivers: int) -> list[float]:
    dice = random.Random(drivers)
    with tempfile.TemporaryDirectory() as folder, _server() as url:
        pages = ("hang", "trickle", "late")
        checks = [
            {"name": page, "http": f"{url}/{page}", "timeout": f"{TIMEOUT:g}s", "every": "1s", "within": "10m"}
            for page in pages
        ]
        with place(Path(folder) / "world", checks=checks, slack={"rollbackers": ["*"]}, poll=1) as at:
            at.change(overlap=600)
            return [_one(at, number, drivers, dice.uniform(0, WITHIN)) for number in range(1, ORDERS + 1)]


def _one(at: Place, number: int, drivers: int, after: float) -> float:
    """One release until it is rolled back; the seconds from the order to the first act."""
    ec2 = at.world.client("ec2")
    image = ec2.register_image(Name=f"next-{number}", RootDeviceName="/dev/xvda")["ImageId"]
    engine, id_ = Engine(session=at.aws.session(recorded=False), clock=at.clock), release_id(SERVICE, number)
    processes = [at.command("release", "--ami", image, "--commit", f"{number:08x}")]
    eventually(lambda: any(_phase(engine, id_) == one for one in (Phase.LAUNCHING, Phase.OVERLAPPING)), 60)
    processes += [at.command("resume", SERVICE) for _ in range(drivers - 1)]
    eventually(lambda: _phase(engine, id_) == Phase.OVERLAPPING, 60)
    time.sleep(after)
    order = engine.roll_back(SERVICE, who="slack:U1")
    eventually(lambda: _first_act(engine, order) is not None, 240)
    _ended(processes)
    first = _first_act(engine, order)
    assert first is not None
    return first.at - order.at


def _phase(engine: Engine, id_: str) -> Phase | None:
    known = {record.service: record for record in engine.services()}
    there = SERVICE in known and (known[SERVICE].under_way or 0) == int(id_.rpartition("#")[2])
    return engine.load(id_).phase if there else None


def _first_act(engine: Engine, order: Event) -> Event | None:
    events = engine.events(order.release)
    return next((one for one in events if one.seq > order.seq and one.kind is EventKind.BEGAN), None)


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
