"""The lab's load balancer and its visitors: real HTTP, and counters that can count failures."""

from __future__ import annotations

import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lab.balancer import Balancer, Pool, Turns
from lab.load import Load
from lab.server import HOST, Servers


class Table:
    """A routing table that a test edits while requests run."""

    def __init__(self) -> None:
        """No group yet."""
        self.pools: dict[str, tuple[dict[str, str], int]] = {}

    def put(self, group: str, weight: int = 1, **states: str) -> None:
        """Set one group: `put("web", i_1="healthy")`."""
        self.pools[group] = ({name.replace("_", "-"): state for name, state in states.items()}, weight)

    def __call__(self) -> list[Pool]:
        """The table as it stands."""
        return [Pool(name, dict(states), weight) for name, (states, weight) in self.pools.items()]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Instances i-1 and i-2 of version 1, i-3 and i-4 of version 2, all serving."""
    with Servers(tmp_path_factory.mktemp("lab") / "lab") as servers:
        servers.repository.push("2")
        for instance_id in ("i-3", "i-4"):
            servers.repository.clone(servers.disk(instance_id))
        for instance_id in ("i-1", "i-2", "i-3", "i-4"):
            serve(servers, instance_id)
        yield servers


@pytest.fixture
def table() -> Table:
    """An empty table."""
    return Table()


@pytest.fixture
def balancer(servers: Servers, table: Table) -> Iterator[Balancer]:
    """A balancer before those servers."""
    with Balancer(table, servers.address, connect_timeout=1, idle_timeout=1.5) as balancer:
        yield balancer


def serve(servers: Servers, instance_id: str) -> None:
    """Start an instance and wait until it answers."""
    servers.start(instance_id, "base")
    deadline = time.monotonic() + 5
    while not servers.answers(instance_id, "/"):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def get(url: str) -> tuple[int, str]:
    """Status and version of one answer."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.headers["X-Version"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, ""


def test_every_target_has_its_turn(balancer: Balancer, table: Table) -> None:
    """Round robin among the healthy; the others get nothing."""
    table.put("web", i_1="healthy", i_2="healthy", i_3="unhealthy", i_4="initial")
    assert {get(balancer.url) for _ in range(10)} == {(200, "1")}
    assert balancer.counts.by_target == {"i-1": 5, "i-2": 5}


def test_weights_are_obeyed(balancer: Balancer, table: Table) -> None:
    """Of a hundred requests, as many go to a group as its weight says."""
    table.put("blue", 90, i_1="healthy", i_2="healthy")
    table.put("green", 10, i_3="healthy", i_4="healthy")
    visits = Load(balancer.url, visitors=4, requests=100)
    visits.start()
    assert visits.wait().by_version() == {"1": 90, "2": 10}
    assert balancer.counts.by_group == {"blue": 90, "green": 10}


def test_weight_zero_gets_nothing() -> None:
    """A group without weight has no turn, however healthy; and without any weight nobody has."""
    turns = Turns()
    preview = Pool("green", {"i-3": "healthy"}, 0)
    blue = Pool("blue", {"i-1": "healthy"}, 1)
    assert [turns.group([blue, preview]) for _ in range(3)] == [blue, blue, blue]
    assert turns.group([preview]) is None


def test_group_is_chosen_before_its_health(balancer: Balancer, table: Table) -> None:
    """As at AWS, weight sends requests into an empty group while the other one is well."""
    table.put("blue", 50, i_1="healthy")
    table.put("green", 50)
    assert sorted(get(balancer.url)[0] for _ in range(4)) == [200, 200, 503, 503]


def test_nobody_healthy_means_everybody(balancer: Balancer, table: Table) -> None:
    """With no healthy target the balancer fails open to all registered ones, but not to those that leave."""
    table.put("web", i_1="unhealthy", i_3="initial", i_4="draining")
    assert [get(balancer.url) for _ in range(4)].count((200, "1")) == 2
    assert balancer.counts.by_target == {"i-1": 2, "i-3": 2}


def test_no_target_is_503(balancer: Balancer, table: Table) -> None:
    """Nothing registered, or everything draining: 503, and it is counted."""
    table.put("web", i_1="draining")
    assert get(balancer.url)[0] == 503
    assert [failure.status for failure in balancer.counts.failures] == [503]


def test_silent_target_is_504(table: Table) -> None:
    """A target that accepts and says nothing costs a 504 after the idle timeout."""
    table.put("web", i_mute="healthy")
    with socket.create_server((HOST, 0)) as mute:
        address = f"http://{HOST}:{mute.getsockname()[1]}"
        with Balancer(table, lambda _: address, idle_timeout=0.3) as balancer:
            assert get(balancer.url)[0] == 504


def test_draining_target_finishes_its_request(balancer: Balancer, table: Table) -> None:
    """A slow request on a target that begins to drain is answered by it; new ones go elsewhere."""
    table.put("web", i_1="healthy")
    with ThreadPoolExecutor(1) as visitor:
        slow = visitor.submit(get, f"{balancer.url}/slow?seconds=1")
        while not balancer.outstanding("i-1"):
            time.sleep(0.01)
        table.put("web", i_1="draining", i_3="healthy")
        assert {get(balancer.url) for _ in range(5)} == {(200, "2")}
        assert not slow.done()
        assert slow.result() == (200, "1")
    assert balancer.outstanding("i-1") == 0


def test_right_order_fails_nobody(servers: Servers, balancer: Balancer, table: Table) -> None:
    """Drain, wait for the last answer, terminate: under load, not one request fails."""
    serve(servers, "i-5")
    table.put("web", i_5="healthy", i_3="healthy")
    with Load(balancer.url, visitors=8, seconds=20) as load:
        time.sleep(0.5)
        table.put("web", i_5="draining", i_3="healthy")
        moment = time.time()
        while balancer.outstanding("i-5"):
            time.sleep(0.01)
        servers.terminate("i-5")
        time.sleep(0.5)
        visits = load.stop()
    assert visits.failed == ()
    assert visits.by_version()["1"] > 10
    last = visits.last("1")
    assert last is not None
    assert last - moment < 0.5


def test_hard_kill_is_counted(servers: Servers, balancer: Balancer, table: Table) -> None:
    """A target that loses its power while it is in use costs requests, and both counters see each of them."""
    serve(servers, "i-6")
    table.put("web", i_6="healthy", i_3="healthy")
    with Load(balancer.url, visitors=8, seconds=20) as load:
        time.sleep(0.3)
        servers.kill("i-6")
        time.sleep(0.3)
        visits = load.stop()
    assert len(visits.failed) > 10
    assert {visit.status for visit in visits.failed} == {502}
    assert len(visits.failed) == len(balancer.counts.failures)


def test_visitors_see_a_dead_balancer(servers: Servers, table: Table) -> None:
    """Where nothing answers at all, every visit is a failure with its reason."""
    with Balancer(table, servers.address) as balancer:
        url = balancer.url
    load = Load(url, visitors=2, pause=0.01, requests=6)
    load.start()
    visits = load.wait()
    assert [visit.status for visit in visits.failed] == [0] * 6
    assert all(visit.trouble for visit in visits.failed)


def test_visitors_stop_by_themselves(balancer: Balancer, table: Table) -> None:
    """Neither time nor number goes past its bound."""
    table.put("web", i_1="healthy")
    began = time.monotonic()
    with Load(balancer.url, visitors=3, seconds=0.4) as timed:
        timed.wait()
    assert time.monotonic() - began < 1.5
    with Load(balancer.url, visitors=3, requests=20) as counted:
        assert len(counted.wait().all) == 20


def test_visits_tell_when(balancer: Balancer, table: Table) -> None:
    """The moment of a switch can be read from what the visitors saw."""
    table.put("web", i_1="healthy")
    with Load(balancer.url, visitors=4, seconds=10) as load:
        time.sleep(0.2)
        table.put("web", i_3="healthy")
        switch = time.time()
        time.sleep(0.2)
        visits = load.stop()
    first, last = visits.first("2"), visits.last("1")
    assert first is not None
    assert last is not None
    assert abs(first - switch) < 0.3
    assert abs(last - switch) < 0.3
    assert set(visits.since(switch + 0.3).by_version()) <= {"2"}
    assert visits.slowest() < 1


class Echo(BaseHTTPRequestHandler):
    """Answers with what it was sent."""

    def do_POST(self) -> None:
        """Say it back."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(302)
        self.send_header("Location", self.path)
        self.send_header("X-Seen", f"{self.headers['X-Forwarded-For']} {self.headers['X-Preview']}")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server gives it
        """Say nothing on the terminal."""


def test_requests_pass_whole(table: Table) -> None:
    """Method, path, query, headers and body go through, and so does the answer, redirections included."""
    table.put("web", i_echo="healthy")
    with ThreadingHTTPServer((HOST, 0), Echo) as echo:
        threading.Thread(target=echo.serve_forever, daemon=True).start()
        address = f"http://{HOST}:{echo.server_port}"
        with Balancer(table, lambda _: address) as balancer:
            connection = HTTPConnection(balancer.url.removeprefix("http://"), timeout=5)
            connection.request("POST", "/a%20b?c=d", body=b"x" * 10_000, headers={"X-Preview": "green"})
            answer = connection.getresponse()
            seen = (answer.status, answer.headers["Location"], answer.headers["X-Seen"], answer.read())
            connection.close()
        echo.shutdown()
    assert seen == (302, "/a%20b?c=d", f"{HOST} green", b"x" * 10_000)
