"""The lab's instances: real processes on real ports, with a disk each, that cannot outlive the lab."""

from __future__ import annotations

import http.client
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import pytest

from lab.machines import Machines, Result
from lab.server import HOST, Repository, Servers
from tests.worlds.files import ROOT
from tests.worlds.waiting import alive, eventually

RELEASE = 'git fetch --quiet origin && git checkout --quiet --force "$BLUEGREEN_COMMIT"'
LAB = """
import sys, time
from pathlib import Path
from lab.server import Servers

servers = Servers(Path(sys.argv[1]))
for number in range(3):
    servers.start(f"i-{number}", "base")
servers.submit("i-0", "sleep 300 & trap '' TERM; while true; do sleep 1; done")
print(*(servers.port(f"i-{number}") for number in range(3)), flush=True)
time.sleep(300)
"""


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    """A lab without instances."""
    with Servers(tmp_path / "lab") as servers:
        yield servers


def get(port: int | None, path: str = "/") -> tuple[int, str]:
    """Ask for a page."""
    assert port is not None
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def started(servers: Servers, instance_id: str, image_id: str = "base") -> int:
    """Start an instance and wait until it serves."""
    servers.start(instance_id, image_id)
    eventually(lambda: servers.answers(instance_id, "/"))
    return cast("int", servers.port(instance_id))


def ran(servers: Servers, instance_id: str, script: str) -> Result:
    """Run a script to its end."""
    outcome = servers.submit(instance_id, script)
    eventually(lambda: outcome() is not None)
    result = outcome()
    assert result is not None
    return result


def refused(port: int) -> bool:
    """Whether nobody listens there."""
    try:
        get(port)
    except ConnectionError:
        return True
    return False


def test_servers_are_machines(servers: Servers) -> None:
    """The fake AWS can use them as its machines (mypy holds the rest)."""
    machines: Machines = servers
    assert machines.answers("i-nobody", "/") is False


def test_first_start_serves_version_1(servers: Servers) -> None:
    """An instance of an image that nobody froze serves the first version of the sample."""
    assert get(started(servers, "i-1", "ami-unheard-of")) == (200, "version 1 from i-1\n")


def test_commit_becomes_what_users_see(servers: Servers) -> None:
    """Commit, fetch on the builder, freeze, start: the new instance serves the new version, the old one the old."""
    old = started(servers, "i-old")
    commit = servers.repository.push("2")
    servers.start("i-builder", "base")
    result = ran(servers, "i-builder", f"export BLUEGREEN_COMMIT={commit}; {RELEASE} && cat VERSION")
    assert (result.exit_code, result.output) == (0, "2\n")
    servers.freeze("i-builder", "ami-2")
    assert get(started(servers, "i-new", "ami-2"))[1] == "version 2 from i-new\n"
    assert get(old)[1] == "version 1 from i-old\n"


def test_image_is_frozen(servers: Servers) -> None:
    """What happens on the builder after the freeze is not in the image."""
    servers.start("i-builder", "base")
    servers.freeze("i-builder", "ami-1")
    ran(servers, "i-builder", "echo 9 > VERSION")
    assert get(started(servers, "i-1", "ami-1"))[1] == "version 1 from i-1\n"


def test_forgotten_image_leaves_instances_alone(servers: Servers) -> None:
    """Deregistering an image does not touch what runs from it."""
    servers.start("i-builder", "base")
    servers.freeze("i-builder", "ami-1")
    port = started(servers, "i-1", "ami-1")
    servers.forget("ami-1")
    assert get(port)[0] == 200


def test_disk_outlives_a_stop_but_not_a_termination(servers: Servers) -> None:
    """A stopped instance starts with what it had written; a terminated one leaves nothing."""
    started(servers, "i-1")
    ran(servers, "i-1", "echo 7 > VERSION")
    servers.stop("i-1")
    assert servers.port("i-1") is None
    assert not servers.answers("i-1", "/")
    assert get(started(servers, "i-1", "some-other-image"))[1] == "version 7 from i-1\n"
    servers.terminate("i-1")
    assert not servers.disk("i-1").exists()


def test_starting_twice_is_starting_once(servers: Servers) -> None:
    """A second start of a running instance changes nothing."""
    port = started(servers, "i-1")
    servers.start("i-1", "base")
    assert servers.port("i-1") == port


def test_stop_answers_what_is_in_flight(servers: Servers) -> None:
    """SIGTERM takes nobody new and answers whoever is inside."""
    port = started(servers, "i-1")
    with ThreadPoolExecutor(1) as visitor:
        slow = visitor.submit(get, port, "/slow?seconds=3")
        time.sleep(1)  # until the visitor is inside, on a slow machine, too
        servers.stop("i-1")
        eventually(lambda: refused(port))
        assert not slow.done()
        assert slow.result() == (200, "version 1 from i-1\n")


def test_script_tells_its_end_only_when_it_has_ended(servers: Servers) -> None:
    """The outcome is None while the script runs; then its exit code and all it printed, on both channels."""
    servers.start("i-1", "base")
    outcome = servers.submit("i-1", "sleep 0.3; echo out; echo err >&2; exit 3")
    assert outcome() is None
    eventually(lambda: outcome() is not None)
    assert outcome() == Result(3, "out\nerr\n")


def test_script_on_a_stopped_instance_fails(servers: Servers) -> None:
    """Nobody is there to run it."""
    result = servers.submit("i-1", "true")()
    assert result is not None
    assert result.exit_code != 0


def test_script_can_ask_the_instance_how_it_is(servers: Servers) -> None:
    """A check run on the instance reaches the instance's own server."""
    started(servers, "i-1")
    assert ran(servers, "i-1", "python3 app.py --check") == Result(0, "ok\n")


def test_sick_after_some_seconds(servers: Servers) -> None:
    """The health check fails from then on; the pages still work, so no visitor is hurt."""
    servers.repository.push("3", sick_after=0.8)
    servers.repository.clone(servers.disk("i-3"))
    port = started(servers, "i-3")
    assert servers.answers("i-3", "/healthz")
    eventually(lambda: not servers.answers("i-3", "/healthz"))
    assert (get(port, "/healthz")[0], get(port)[0]) == (503, 200)


def test_sick_after_some_visitors(servers: Servers) -> None:
    """Only visitors make it ill: health checks are not counted."""
    servers.repository.push("3", sick_after_requests=5)
    servers.repository.clone(servers.disk("i-3"))
    servers.start("i-3", "base")
    eventually(lambda: servers.answers("i-3", "/healthz"))
    assert all(servers.answers("i-3", "/healthz") for _ in range(10))
    assert all(servers.answers("i-3", "/") for _ in range(5))
    assert not servers.answers("i-3", "/healthz")


def test_never_healthy_and_crashing(servers: Servers) -> None:
    """Sick from the first second; and one that dies by itself and refuses everybody."""
    servers.repository.push("3", sick_after=0)
    servers.repository.clone(servers.disk("i-sick"))
    servers.repository.push("4", crash_after=0.5)
    servers.repository.clone(servers.disk("i-crash"))
    started(servers, "i-sick")
    assert not servers.answers("i-sick", "/healthz")
    port = started(servers, "i-crash")
    eventually(lambda: refused(port))


def test_settings_do_not_stick(servers: Servers) -> None:
    """A version after a sick one is well, unless it says otherwise."""
    servers.repository.push("3", sick_after=0)
    servers.repository.push("4")
    servers.repository.clone(servers.disk("i-4"))
    started(servers, "i-4")
    assert servers.answers("i-4", "/healthz")


def test_a_share_of_the_pages_fails_and_health_checks_pass(servers: Servers) -> None:
    """With FAILS, pages answer 500 now and then; the load balancer is told that all is well."""
    servers.repository.push("3", fails=0.2)
    servers.repository.clone(servers.disk("i-1"))
    port = started(servers, "i-1")
    statuses = [get(port)[0] for _ in range(300)]
    assert {200, 500} == set(statuses)
    assert 0.1 < statuses.count(500) / 300 < 0.3
    assert {200} == {get(port, "/healthz")[0] for _ in range(50)}


def test_pages_take_their_time_and_health_checks_none(servers: Servers) -> None:
    """With TAKES, half of the pages take so long at most, and hardly two the same time."""
    servers.repository.push("3", takes=0.02)
    servers.repository.clone(servers.disk("i-1"))
    port = started(servers, "i-1")

    def seconds(path: str) -> list[float]:
        found = []
        for _ in range(60):
            began = time.monotonic()
            get(port, path)
            found.append(time.monotonic() - began)
        return sorted(found)

    pages, checks = seconds("/"), seconds("/healthz")
    assert 0.016 < pages[30] < 0.2  # on a slow machine, too
    assert pages[54] > 1.2 * pages[30] > 1.2 * pages[6]
    assert checks[30] < pages[30]


def test_usual_settings_hold_for_every_version(tmp_path: Path) -> None:
    """Also for the first; a version may say otherwise, and only for itself."""
    repository = Repository(tmp_path / "repository", takes=0.02)

    def setting(name: str) -> str | None:
        file = repository.folder / name
        return file.read_text().strip() if file.exists() else None

    assert ("0.02", None) == (setting("TAKES"), setting("FAILS"))
    repository.push("2", takes=0.03, fails=0.02)
    assert ("0.03", "0.02") == (setting("TAKES"), setting("FAILS"))
    repository.push("3")
    assert ("0.02", None) == (setting("TAKES"), setting("FAILS"))


def test_same_history_same_commits(tmp_path: Path) -> None:
    """Commit ids do not depend on the day, the person or the computer."""
    one, two = Repository(tmp_path / "one"), Repository(tmp_path / "two")
    assert [one.first, one.push("2")] == [two.first, two.push("2")]


def test_nothing_outlives_a_closed_lab(tmp_path: Path) -> None:
    """Closing ends instances, scripts and guards, and removes the folder."""
    with Servers(tmp_path / "lab") as servers:
        port = started(servers, "i-1")
        servers.submit("i-1", "sleep 300")
        servers.start("i-2", "base")
        servers.stop("i-2")
    assert refused(port)
    assert not (tmp_path / "lab").exists()
    assert alive(tmp_path) == []


def test_nothing_outlives_a_killed_lab(tmp_path: Path) -> None:
    """Even SIGKILL, which nobody can handle, leaves no server behind, nor a script that ignores SIGTERM."""
    lab = subprocess.Popen(
        [sys.executable, "-c", LAB, str(tmp_path / "lab")], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert lab.stdout is not None
    ports = [int(port) for port in lab.stdout.readline().split()]
    eventually(lambda: not any(refused(port) for port in ports))
    lab.send_signal(signal.SIGKILL)
    lab.wait()
    eventually(lambda: all(refused(port) for port in ports))
    eventually(lambda: alive(tmp_path) == [])
    lab.stdout.close()
