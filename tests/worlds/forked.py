"""Processes that need not import everything anew: a server that has imported it forks one for each command.

Starting Python and importing boto3 takes most of the time of a short command. What is forked here is a process like any
other: with a session, a working folder, signals and an exit code of its own, and it may be killed at any moment.

    a test ── module, arguments, environment, folder, pipes ──> server ── fork ──> python -m MODULE
           <────────────── its id, later its exit code ───────────┘

There is one server for each process that runs tests; it ends when that process does.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import json
import logging
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

#: Seconds of a driver's lease in what is forked: so that nobody waits half a minute for that of a killed one.
LEASE = 6.0
#: Seconds for which blue, just taken out, is not believed to be healthy: the lab settles in less, and nobody waits 30.
SETTLING = 3.0
#: Seconds without a socket, or without the table, until a bot says that it is not well: instead of 20 and 30.
DEAF, BLIND = 5.0, 15.0
#: Seconds for the server to import everything, on a busy machine.
_PATIENCE = 120.0


class Forked:
    """One process: `subprocess.Popen` as far as tests need it, with text on pipes."""

    def __init__(
        self,
        module: str,
        *words: str,
        environment: Mapping[str, str],
        folder: Path | None = None,
        together: bool = False,
    ) -> None:
        """Start `python -u -m module words`, or `python -u -c words`; `together`: stderr goes where stdout goes."""
        out, self._out_end = os.pipe()
        err, self._err_end = (out, self._out_end) if together else os.pipe()
        self.stdout: IO[str] = open(out, encoding="utf-8")  # noqa: SIM115, PTH123 - a number, as long as the process is of interest
        self.stderr: IO[str] | None = None if together else open(err, encoding="utf-8")  # noqa: SIM115, PTH123
        self.returncode: int | None = None
        asked = {"argv": [module, *words], "environment": dict(environment), "folder": str(folder or Path.cwd())}
        self._line = _server().connect()
        socket.send_fds(self._line, [json.dumps(asked).encode() + b"\n"], [self._out_end, self._err_end])
        for end in {self._out_end, self._err_end}:
            os.close(end)
        self._told = self._line.makefile("r")
        self._asking = threading.Lock()
        self.pid = int(self._told.readline())

    def poll(self) -> int | None:
        """Its exit code, or None while it runs."""
        with selectors.DefaultSelector() as selector, self._asking:
            selector.register(self._line, selectors.EVENT_READ)
            if self.returncode is None and selector.select(0):
                self.returncode = int(self._told.readline())
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, when it has ended. TimeoutExpired when that takes longer."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._line, selectors.EVENT_READ)
            if self.returncode is None and not selector.select(timeout):
                raise subprocess.TimeoutExpired("forked", timeout or 0.0)
        code = self.poll()
        assert code is not None
        return code

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """All that it still says; returns when it has ended. TimeoutExpired when that takes longer."""
        said = ["", ""]

        def read(number: int, pipe: IO[str]) -> None:
            with pipe:
                said[number] = pipe.read()

        pipes = [pipe for pipe in (self.stdout, self.stderr) if pipe]
        readers = [threading.Thread(target=read, args=one, daemon=True) for one in enumerate(pipes)]
        for reader in readers:
            reader.start()
        self.wait(timeout)
        for reader in readers:
            reader.join(timeout)
        return said[0], said[1]

    def send_signal(self, number: int) -> None:
        """Unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Self:
        """The process runs already."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Wait for its end; what failed meanwhile need not wait."""
        if kind is not None:
            self.kill()
        self.wait()


# --- the server, seen from a test --------------------------------------------------------------------------


class _Server:
    """The server's process."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="forked-")
        self._address = f"{self._folder.name}/s"
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "GITHUB_"))}
        line = [sys.executable, "-m", "tests.worlds.forked", self._address]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._process = subprocess.Popen(line, env=environment, cwd=_ROOT, start_new_session=True, **pipes)
        assert self._process.stdout
        assert self._process.stdout.readline(), "no server"

    def connect(self) -> socket.socket:
        """A line for one process."""
        line = socket.socket(socket.AF_UNIX)
        line.connect(self._address)
        return line

    def end(self) -> None:
        """It kills what still runs."""
        self._process.communicate(timeout=_PATIENCE)
        self._folder.cleanup()


_ROOT = Path(__file__).parents[2]


_one_at_a_time = threading.Lock()


def _server() -> _Server:
    with _one_at_a_time:  # tests play worlds side by side, and a server is dear
        return _started()


@functools.cache
def _started() -> _Server:
    made = _Server()
    atexit.register(made.end)
    return made


# --- the server itself -------------------------------------------------------------------------------------


def _warm_up() -> None:
    """Whatever the commands import; botocore's descriptions of services are parsed once."""
    import boto3

    import bot.service  # noqa: F401
    import lab.descriptions  # noqa: F401

    session = boto3.Session(region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")
    for name in ("autoscaling", "cloudwatch", "dynamodb", "ec2", "elbv2", "ssm", "sts"):
        session.client(name)
    gc.freeze()


class _Serving:
    """Forks on request, and tells of each end."""

    def __init__(self, address: str) -> None:
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(address)
        self.listener.listen(64)
        self.lines: dict[int, socket.socket] = {}
        ended, told = socket.socketpair()
        for one in (ended, told):
            one.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
        self.ended, self._told = ended, told

    def run(self) -> dict[str, Any] | None:
        """Serve until stdin ends. In what was forked it returns, too, with what was asked."""
        with selectors.DefaultSelector() as selector:
            for one in (self.listener, self.ended, sys.stdin):
                selector.register(one, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if sys.stdin in ready:
                    self._kill_all()
                    return None
                if self.ended in ready:
                    self._reap()
                if self.listener in ready and (asked := self._fork()):
                    return asked

    def _fork(self) -> dict[str, Any] | None:
        line, _ = self.listener.accept()
        text, ends, _, _ = socket.recv_fds(line, 1 << 16, 2)
        while not text.endswith(b"\n"):
            text += line.recv(1 << 16) or b"\n"  # whoever asked has gone: what was forked fails at what it reads
        if pid := os.fork():
            for end in ends:
                os.close(end)
            self.lines[pid] = line
            line.sendall(f"{pid}\n".encode())
            return None
        self._become_a_child(line, ends)
        asked: dict[str, Any] = json.loads(text)
        return asked

    def _become_a_child(self, line: socket.socket, ends: list[int]) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDONLY)
        for number, end in enumerate((nothing, *ends)):
            os.dup2(end, number)
        for one in (line, self.listener, self.ended, self._told, *self.lines.values()):
            one.close()
        for end in {nothing, *ends} - {0, 1, 2}:
            os.close(end)

    def _reap(self) -> None:
        self.ended.recv(1 << 12)
        while self.lines:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            self._tell(self.lines.pop(pid), os.waitstatus_to_exitcode(status))

    @staticmethod
    def _tell(line: socket.socket, code: int) -> None:
        with contextlib.suppress(OSError):  # nobody wants to know
            line.sendall(f"{code}\n".encode())
        line.close()

    def _kill_all(self) -> None:
        for pid in self.lines:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _run(asked: dict[str, Any]) -> None:
    """What `python -u -m` does."""
    import bluegreen.phases.rollback
    import bot.service

    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    for stream in (sys.stdout, sys.stderr):
        assert hasattr(stream, "reconfigure")
        stream.reconfigure(write_through=True)
    defaults = bluegreen.Engine.__init__.__kwdefaults__
    assert defaults
    defaults["lease"] = LEASE
    vars(bluegreen.phases.rollback)["SETTLING"] = SETTLING
    bot.service.DEAF, bot.service.BLIND = DEAF, BLIND
    module, *words = asked["argv"]
    sys.argv = [module, *words]
    if module == "-c":
        exec(words[0], {"__name__": "__main__"})
    else:
        runpy.run_module(module, run_name="__main__", alter_sys=True)


def _leave(code: str | int | None) -> None:
    """End as Python does, but take nothing down: that would copy all that is shared since the fork."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    if isinstance(code, str):
        print(code, file=sys.stderr)
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code if isinstance(code, int) else 1 if code else 0)


def _main() -> None:
    _warm_up()
    serving = _Serving(sys.argv[1])
    print("ready", flush=True)
    if asked := serving.run():
        try:
            _run(asked)
        except SystemExit as end:
            _leave(end.code)
        _leave(None)


if __name__ == "__main__":
    _main()
