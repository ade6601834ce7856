"""Instances that are real: a folder for a disk, a process for a machine, a loopback port for an address.

An image is a frozen copy of a disk, and every disk begins as a copy of an image. The first image of all is a clone of
the sample repository, so a release takes every step for real:

    commit --git fetch--> the builder's disk --freeze--> image --copy--> an instance's disk --python--> what users see
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from lab.machines import Result

BASH, GIT = shutil.which("bash") or "/bin/bash", shutil.which("git") or "git"
SAMPLE = Path(__file__).with_name("sample")
HOST = "127.0.0.1"
LOOK_TIMEOUT = 1.0
"""Seconds that a health check waits for its answer."""
STOP_SECONDS = 30
"""Seconds that a machine has to shut down before its power is cut, as on EC2."""

# The guard leads the process group of one machine. It is told `stop` by the lab, and sees the end of its input when the
# lab is gone, be it by SIGKILL; nothing that runs in its group can outlive it, however ill it is.
GUARD = f"""
trap '' TERM INT HUP
read -r word || kill -KILL 0
kill -TERM 0
read -r -t {STOP_SECONDS} word
kill -KILL 0
"""

# Whoever sits at this computer may have hooks, signing and a name of their own: none of it belongs in the lab.
GIT_ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_AUTHOR_NAME": "lab",
    "GIT_AUTHOR_EMAIL": "lab@example.com",
    "GIT_COMMITTER_NAME": "lab",
    "GIT_COMMITTER_EMAIL": "lab@example.com",
}
SETTINGS = ("SICK_AFTER", "SICK_AFTER_REQUESTS", "CRASH_AFTER", "FAILS", "TAKES")
"""Files beside the sample that say how a version behaves; what they mean is told there."""
FIRST_DAY = 1_767_225_600  # 2026-01-01: with fixed dates the same history has the same commit ids on every computer


class ProcessGroup:
    """Processes that live and die together, and never longer than this one."""

    def __init__(self) -> None:
        """Start the guard, whose process group the others join."""
        self._guard = subprocess.Popen(
            [BASH, "-c", GUARD], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, process_group=0
        )
        self._members: list[subprocess.Popen[bytes]] = []

    def run(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        output: IO[bytes] | int = subprocess.DEVNULL,
        pass_fds: Sequence[int] = (),
    ) -> subprocess.Popen[bytes]:
        """Start one process in the group; what it prints goes to `output`."""
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=pass_fds,
            process_group=self._guard.pid,
        )
        self._members.append(process)
        return process

    def interrupt(self) -> None:
        """Ask all of them to end; kill the others after `STOP_SECONDS`."""
        with contextlib.suppress(OSError):
            os.write(self._input(), b"stop\n")

    def kill(self) -> None:
        """End all of them now."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self._guard.poll() is None:
                os.killpg(self._guard.pid, signal.SIGKILL)
        for process in (*self._members, self._guard):
            process.wait()
        self._close_input()

    def gone(self) -> bool:
        """Whether all the members have ended; then the guard ends too."""
        if any(process.poll() is None for process in self._members):
            return False
        self.kill()
        return True

    def _input(self) -> int:
        if self._guard.stdin is None or self._guard.stdin.closed:
            raise BrokenPipeError
        return self._guard.stdin.fileno()

    def _close_input(self) -> None:
        if self._guard.stdin is not None:
            with contextlib.suppress(OSError):
                self._guard.stdin.close()


class Repository:
    """The sample service's source, as its developers push it: a git repository with one commit a version."""

    def __init__(self, folder: Path, **usual: float) -> None:
        """Make the repository in `folder`, version 1 as its first commit; `usual` settings hold for every version."""
        self.folder = folder
        self._usual = usual
        self._commits = 0
        shutil.copytree(SAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
        self._set({})
        self._git("init", "--quiet", "--template=", "--initial-branch=main")
        self._first = self._commit("version 1")

    @property
    def first(self) -> str:
        """The commit of version 1."""
        return self._first

    def push(self, version: str, **settings: float) -> str:
        """Commit a new version and return its id; `sick_after=5` becomes the file SICK_AFTER, and so on."""
        self._set(settings)
        (self.folder / "VERSION").write_text(f"{version}\n")
        return self._commit(f"version {version}")

    def _set(self, settings: Mapping[str, float]) -> None:
        """Write the files that say how a version behaves, and no others."""
        for old in SETTINGS:
            (self.folder / old).unlink(missing_ok=True)
        for name, value in {**self._usual, **settings}.items():
            (self.folder / name.upper()).write_text(f"{value}\n")

    def clone(self, folder: Path) -> None:
        """Put a clone of the repository, checked out at its newest commit, in `folder`."""
        self._git("clone", "--quiet", "--template=", ".", str(folder))

    def _commit(self, message: str) -> str:
        self._git("add", "--all")
        self._git("commit", "--quiet", "--message", message)
        self._commits += 1
        return self._git("rev-parse", "HEAD").strip()

    def _git(self, *arguments: str) -> str:
        date = f"{FIRST_DAY + self._commits} +0000"
        environment = {**os.environ, **GIT_ENVIRONMENT, "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
        done = subprocess.run(
            [GIT, *arguments], cwd=self.folder, env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout


class Machine:
    """One instance that is switched on: the service found on its disk, and the commands sent to it."""

    def __init__(self, instance_id: str, disk: Path) -> None:
        """Switch it on; the service starts by itself."""
        self._disk = disk
        self._group = ProcessGroup()
        # Bound here, listened to there: the address is known at once, and refuses everybody until the service is up.
        with socket.socket() as door:
            door.bind((HOST, 0))
            self.port: int = door.getsockname()[1]
            self._environment = self._machine_environment(instance_id)
            self._group.run(
                [sys.executable, "-I", "-S", "app.py"],
                folder=disk,
                environment={**self._environment, "LISTEN_FD": str(door.fileno())},
                pass_fds=[door.fileno()],
            )

    def _machine_environment(self, instance_id: str) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        own = {"PATH": path, "HOME": str(self._disk), "INSTANCE_ID": instance_id, "PORT": str(self.port)}
        return {**GIT_ENVIRONMENT, **own}

    def submit(self, script: str) -> Callable[[], Result | None]:
        """Start a shell script in the machine's folder; the answer tells, when asked, how it ended."""
        output = tempfile.TemporaryFile()  # noqa: SIM115 - open until somebody has asked for the result
        command = [BASH, "-c", script]
        process = self._group.run(command, folder=self._disk, environment=self._environment, output=output)
        return _Outcome(process, output)

    def interrupt(self) -> None:
        """Shut down, as an operating system does: SIGTERM, and patience."""
        self._group.interrupt()

    def kill(self) -> None:
        """Pull the plug."""
        self._group.kill()

    def gone(self) -> bool:
        """Whether nothing of it runs any more."""
        return self._group.gone()


class _Outcome:
    """What a submitted script comes to; asked again, it answers the same."""

    def __init__(self, process: subprocess.Popen[bytes], output: IO[bytes]) -> None:
        self._process = process
        self._output = output
        self._result: Result | None = None

    def __call__(self) -> Result | None:
        code = self._process.poll()
        if self._result is None and code is not None:
            with self._output as printed:
                printed.seek(0)
                self._result = Result(code, printed.read().decode(errors="replace"))
        return self._result


class Servers:
    """All instances and images of the lab, in one temporary folder. It keeps what `lab.machines.Machines` promises."""

    def __init__(self, folder: Path | None = None, **usual: float) -> None:
        """Make the sample repository in `folder` (else a temporary one) and wait for instances.

        `usual` are settings of every version that does not say otherwise, as in `takes=0.02`.
        """
        self._folder = Path(tempfile.mkdtemp(prefix="bluegreen-lab-")) if folder is None else folder
        self._images = self._folder / "images"
        self._disks = self._folder / "disks"
        self._running: dict[str, Machine] = {}
        self._leaving: list[Machine] = []
        self._lock = threading.RLock()
        for made in (self._images, self._disks):
            made.mkdir(parents=True)
        self.repository = Repository(self._folder / "repository", **usual)
        self.repository.clone(self._images / "base")

    def __enter__(self) -> Self:
        """Use it as a context: everything is gone at the end."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close it."""
        self.close()

    def start(self, instance_id: str, image_id: str) -> None:
        """Switch an instance on; its disk is copied from the image at its first start only."""
        with self._lock:
            self._sweep()
            if instance_id in self._running:
                return
            disk = self._disks / instance_id
            if not disk.exists():
                shutil.copytree(self._image(image_id), disk, symlinks=True)
            self._running[instance_id] = Machine(instance_id, disk)

    def stop(self, instance_id: str) -> None:
        """Switch it off; requests in flight are answered first, and its disk stays."""
        with self._lock:
            machine = self._running.pop(instance_id, None)
            if machine is not None:
                machine.interrupt()
                self._leaving.append(machine)
            self._sweep()

    def terminate(self, instance_id: str) -> None:
        """Switch it off and throw its disk away."""
        self.stop(instance_id)
        shutil.rmtree(self._disks / instance_id, ignore_errors=True)

    def kill(self, instance_id: str) -> None:
        """Let it fail as hardware fails: no goodbye, and connections cut. Its disk stays."""
        with self._lock:
            machine = self._running.pop(instance_id)
        machine.kill()

    def answers(self, instance_id: str, path: str) -> bool:
        """Whether a GET of that path is answered well (2xx or 3xx) within a second."""
        port = self.port(instance_id)
        return port is not None and 200 <= _status(port, path) < 400

    def submit(self, instance_id: str, script: str) -> Callable[[], Result | None]:
        """Run a shell script in the instance's folder, beside everything else; ask the answer for its result."""
        with self._lock:
            machine = self._running.get(instance_id)
            return machine.submit(script) if machine else lambda: Result(255, f"{instance_id} does not run")

    def freeze(self, instance_id: str, image_id: str) -> None:
        """Make an image: a copy of the instance's disk as it is now."""
        shutil.copytree(self._disks / instance_id, self._images / image_id, symlinks=True)

    def forget(self, image_id: str) -> None:
        """Throw an image away; instances made from it keep their disks."""
        shutil.rmtree(self._images / image_id, ignore_errors=True)

    def port(self, instance_id: str) -> int | None:
        """The loopback port on which the instance serves, while it is on."""
        machine = self._running.get(instance_id)
        return machine.port if machine else None

    def address(self, instance_id: str) -> str | None:
        """The same as a URL."""
        port = self.port(instance_id)
        return None if port is None else f"http://{HOST}:{port}"

    def disk(self, instance_id: str) -> Path:
        """The folder that is the instance's disk."""
        return self._disks / instance_id

    def close(self) -> None:
        """Kill every process and remove the folder."""
        with self._lock:
            machines = [*self._running.values(), *self._leaving]
            self._running, self._leaving = {}, []
        for machine in machines:
            machine.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _image(self, image_id: str) -> Path:
        """The image's folder; an image that nobody froze here is the one that every service begins with."""
        frozen = self._images / image_id
        return frozen if frozen.exists() else self._images / "base"

    def _sweep(self) -> None:
        self._leaving = [machine for machine in self._leaving if not machine.gone()]


def _status(port: int, path: str) -> int:
    """The status that a GET is answered with, or 0."""
    connection = http.client.HTTPConnection(HOST, port, timeout=LOOK_TIMEOUT)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()
