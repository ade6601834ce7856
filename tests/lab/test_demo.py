"""The demo: it tells the truth about what it saw, and cleans up after itself whatever ends it."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console

from lab.demo import Ending
from lab.demo_service import CommandProcess, Teller, account
from lab.load import Visit, Visits
from tests.worlds.files import ROOT
from tests.worlds.waiting import alive, eventually

EVENT = (
    '{"release": "web/production#1", "seq": %d, "at": 5.0, "kind": "%s", "phase": "soaking",'
    ' "facts": {}, "sentence": "sentence %d"}'
)


#: A demo as small as it gets: who watches it is a test.
SMALL = ("--no-browser", "--instances", "1", "--visitors", "1", "--pause", "0.2", "--soak", "4")


@contextmanager
def demo(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The demo as a process of its own, with everything it keeps in `folder`."""
    environment = {**os.environ, "TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "bluegreen", "demo", *SMALL]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(process: subprocess.Popen[str], words: str) -> None:
    """Read what it says until it has said that."""
    assert process.stdout is not None
    assert any(words in line for line in process.stdout), f"the demo never said: {words}"


def heard(script: str) -> tuple[CommandProcess, str]:
    """What is told of a command that does what the script says."""
    written = io.StringIO()
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    command = CommandProcess(process, Teller(Console(file=written, width=100)).hear)
    command.wait(5)
    return command, written.getvalue()


@pytest.mark.slow(seconds=60)
def test_three_acts(tmp_path: Path) -> None:
    """All three acts end as told, no request fails, and nothing is left behind."""
    with demo(tmp_path) as process:
        said, _ = process.communicate(timeout=400)
    assert process.returncode == 0, said
    assert "Everything ended as told" in said
    assert ", 0 failed." in said
    assert alive(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_interruption_while_the_lab_is_built(tmp_path: Path) -> None:
    """SIGTERM at once: what was started by then is ended, too."""
    with demo(tmp_path) as process:
        eventually(lambda: alive(tmp_path), 60)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 130
    assert alive(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_interrupted_demo_leaves_nothing(tmp_path: Path) -> None:
    """Ctrl-C in the middle of a release: exit 130, no process, no file."""
    with demo(tmp_path) as process:
        read_until(process, "claimed builder")
        assert alive(tmp_path)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    eventually(lambda: alive(tmp_path) == [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_killed_demo_leaves_no_process(tmp_path: Path) -> None:
    """SIGKILL in the middle of a release takes servers and commands with it."""
    with demo(tmp_path) as process:
        read_until(process, "claimed builder")
        lived = " ".join(alive(tmp_path))
        assert "app.py" in lived and "bluegreen release" in lived
        process.kill()
    eventually(lambda: alive(tmp_path) == [])


def test_failed_request_spoils_an_act() -> None:
    """An act is good only if it ended as told and every visitor was served."""
    fine = Visits((Visit(1.0, 1.1, 200, "2", None),))
    broken = Visits((*fine.all, Visit(1.1, 1.2, 502, None, None)))
    unreachable = Visits((Visit(1.0, 1.1, 0, None, "refused"),))
    verdicts = [Ending("", (), fine), Ending("", ("it ended otherwise",), fine)]
    verdicts += [Ending("", (), broken), Ending("", (), unreachable)]
    assert [verdict.good for verdict in verdicts] == [True, False, False, False]


def test_events_are_told_once() -> None:
    """Two commands may show the same release; what one has told the other does not repeat."""
    first, second = EVENT % (1, "entered", 1), EVENT % (2, "did", 2)
    _, said = heard(f"print('''{first}\n{second}\n{first}''')")
    assert (said.count("sentence 1"), said.count("sentence 2")) == (1, 1)


def test_small_things_are_left_out() -> None:
    """Of what a command says in JSON, a newcomer is told what happened, not every look."""
    _, said = heard(f"print('''{EVENT % (1, 'began', 1)}\n{EVENT % (2, 'observed', 2)}''')")
    assert said == ""


def test_errors_of_a_command_are_shown() -> None:
    """What is no JSON is shown as it is, and the result is kept."""
    command, said = heard("import sys; print('{\"decision\": \"live\"}'); print('error: [no] such group')")
    assert command.result == {"decision": "live"}
    assert "error: [no] such group" in said


def test_stuck_command_is_ended() -> None:
    """Patience ends, and the exit code tells it."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], stdout=subprocess.PIPE)
    assert CommandProcess(process, lambda _: None).wait(0.2) == -signal.SIGKILL


def test_real_account_is_out_of_reach() -> None:
    """No command of the demo can see the credentials, profiles or tables of whoever runs it."""
    own = {
        "AWS_PROFILE": "work",
        "AWS_SESSION_TOKEN": "t",
        "AWS_ENDPOINT_URL_EC2": "x",
        "BLUEGREEN_TABLE": "b",
        "HOME": "/",
    }
    given = account(own, "http://127.0.0.1:1", "eu-west-1")
    assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_EC2", "BLUEGREEN_TABLE"} & set(given)
    assert (given["AWS_ENDPOINT_URL"], given["AWS_CONFIG_FILE"], given["HOME"]) == (
        "http://127.0.0.1:1",
        os.devnull,
        "/",
    )
