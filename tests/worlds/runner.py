"""The GitHub runner, as far as an action in a container sees it.

Flags, mounts, variables, files and the schedule of cancelling are those of actions/runner (DockerCommandManager,
ContainerActionHandler, ActionCommandManager, FileCommandManager, ProcessInvoker).
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from tests.worlds.files import ROOT

TAG = "bluegreen-test"
STAND_IN = "bluegreen-base:local"
#: Seconds between SIGINT, SIGTERM and the end of the docker client.
TO_TERM, TO_KILL = 7.5, 2.5
LONGEST_SUMMARY, ANNOTATIONS = 1024 * 1024, 10
BUILD, STEP = 600, 150
FILES = {
    "OUTPUT": "set_output",
    "STATE": "save_state",
    "STEP_SUMMARY": "step_summary",
    "ENV": "set_env",
    "PATH": "add_path",
}
_UNESCAPED = (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%"))


# --- the engine --------------------------------------------------------------------------------------------


def docker(*words: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    """A docker command, and what it said."""
    return subprocess.run(["docker", *words], capture_output=True, text=True, timeout=seconds, check=False)


@cache
def base_image() -> str:
    """The base to build on; skips the test where there is no engine, unless there must be one."""
    works = shutil.which("docker") and docker("info").returncode == 0
    own: str = re.findall(r"(?m)^ARG BASE_IMAGE=(.*)", (ROOT / "Dockerfile").read_text())[0]
    for image in filter(None, (os.environ.get("BLUEGREEN_BASE_IMAGE"), STAND_IN, own)):
        if works and docker("image", "inspect", image).returncode == 0:
            return image
    if os.environ.get("BLUEGREEN_NEED_DOCKER"):
        pytest.fail("no Docker engine with a base image; .ci/docker says why")
    pytest.skip("NOT TESTED: the container needs a Docker engine and a base image (.ci/docker makes both)")


@cache
def image(target: str = "action") -> str:
    """The image of that target, built by the first who asks; docker's cache makes the others quick."""
    base = base_image()
    tag = f"{TAG}-{target}"
    words = ["build", "--network", "host", "--build-arg", f"BASE_IMAGE={base}", "-t", tag, "-q"]
    if target != "action":  # the last stage is what GitHub builds, without naming it
        words += ["--target", target]
    done = subprocess.run(
        ["docker", *words, str(ROOT)],
        env={**os.environ, "DOCKER_BUILDKIT": "0"},
        capture_output=True,
        text=True,
        timeout=BUILD,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return tag


def image_size(target: str = "action") -> int:
    """Bytes, and of those the base's are not ours."""
    sizes = [int(docker("image", "inspect", "-f", "{{.Size}}", one).stdout) for one in (image(target), base_image())]
    return sizes[0] - sizes[1]


# --- what a step leaves ------------------------------------------------------------------------------------


@dataclass
class Ended:
    """A step, as the runner knows it afterwards."""

    code: int
    log: list[str]  # masked, without commands
    raw: str
    outputs: dict[str, str]
    state: dict[str, str]
    summary: str
    annotations: list[tuple[str, str, str]]  # level, title, message
    groups: list[str]
    masks: list[str]
    gone: float = 0.0  # seconds from the first signal until the container was gone

    def said(self, level: str) -> list[str]:
        """Messages of that level's annotations."""
        return [message for found, _, message in self.annotations if found == level]

    @property
    def shown(self) -> str:
        """Everything that anybody can read of it."""
        notes = [f"{title} {message}" for _, title, message in self.annotations]
        return "\n".join([*self.log, *notes, *self.outputs.values(), *self.state.values(), self.summary])


def _file_command(text: str) -> dict[str, str]:
    """NAME<<DELIMITER, lines, DELIMITER; or NAME=VALUE. Anything else makes the runner fail the step."""
    found: dict[str, str] = {}
    lines = iter(text.splitlines())
    for line in lines:
        if not line:
            continue
        if one := re.fullmatch(r"([^=<]+)<<(.+)", line):
            value = []
            for inner in lines:
                if inner == one[2]:
                    break
                value.append(inner)
            else:
                raise AssertionError(f"the delimiter of {one[1]} never came")
            found[one[1]] = "\n".join(value)
        elif "=" in line:
            name, _, value_ = line.partition("=")
            found[name] = value_
        else:
            raise AssertionError(f"the runner cannot read {line!r}")
    return found


def _unescaped(text: str) -> str:
    for code, sign in _UNESCAPED:
        text = text.replace(code, sign)
    return text


def _read_log(raw: str) -> tuple[list[str], list[tuple[str, str, str]], list[str], list[str]]:
    """Lines, annotations, groups and masks, in the order in which the runner reads them."""
    lines: list[str] = []
    notes: list[tuple[str, str, str]] = []
    groups: list[str] = []
    masks: list[str] = []
    for line in raw.splitlines():
        assert "##[" not in line, f"the runner's first syntax: {line}"
        command = re.match(r"\s*::([\w-]+)(?: ([^:]*))?::(.*)", line)
        if command is None:
            lines.append(_masked(line, masks))
            continue
        name, properties, data = command[1], command[2] or "", _unescaped(command[3])
        if name == "add-mask":
            masks.append(data)
        elif name == "group":
            groups.append(data)
        elif name in ("error", "warning", "notice"):
            title = re.search(r"title=([^,]*)", properties)
            notes.append((name, _unescaped(title[1]) if title else "", _masked(data, masks)))
        else:
            assert name in ("endgroup", "debug"), f"a command that nobody meant: {line}"
    for level in ("error", "warning", "notice"):
        assert sum(note[0] == level for note in notes) <= ANNOTATIONS
    return lines, notes, groups, masks


def _masked(text: str, masks: list[str]) -> str:
    for mask in masks:
        text = text.replace(mask, "***")
    return text


# --- the runner --------------------------------------------------------------------------------------------


@dataclass
class Runner:
    """One job. `github` are GITHUB_* variables without their prefix, `environment` is the job's `env`."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    github: dict[str, str] = field(default_factory=dict)
    token: str = "ghs_" + "0a1B" * 9
    metadata: Mapping[str, Any] = field(default_factory=lambda: yaml.safe_load((ROOT / "action.yml").read_text()))

    def __post_init__(self) -> None:
        """Make the folders that are mounted."""
        for name in ("workspace", "home", "workflow", "file_commands", "runner_temp"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    @property
    def workspace(self) -> Path:
        """Where actions/checkout would have put the repository."""
        return self.folder / "workspace"

    def inputs(self, given: Mapping[str, str]) -> dict[str, str]:
        """As declared: what is given, else the default."""
        declared = self.metadata["inputs"]
        assert set(given) <= set(declared), f"action.yml declares no {set(given) - set(declared)}"
        values = {name: str(said.get("default", "")) for name, said in declared.items()} | dict(given)
        shown = {name: value.replace("${{ github.token }}", self.token) for name, value in values.items()}
        return {f"INPUT_{name.upper()}": value for name, value in shown.items()}

    def run(self, **given: str) -> Ended:
        """The step to its end."""
        with self.start(given) as step:
            return step.wait()

    def cancelled(self, after: str, **given: str) -> Ended:
        """The step, cancelled as soon as a line holds that text."""
        with self.start(given) as step:
            step.until(after)
            return step.cancel()

    def post(self, state: Mapping[str, str], **given: str) -> Ended:
        """The clean-up, in a container of its own."""
        entry = self.metadata["runs"]["post-entrypoint"]
        with self.start(given, entry, {f"STATE_{name}": value for name, value in state.items()}) as step:
            return step.wait()

    @contextlib.contextmanager
    def start(
        self, given: Mapping[str, str], entrypoint: str = "", state: Mapping[str, str] | None = None
    ) -> Iterator[RunnerStep]:
        """A step while it runs; its container is gone afterwards, whatever happened."""
        named = {name.replace("_", "-"): value for name, value in given.items()}
        files = {name: f"{kind}_{uuid4()}" for name, kind in FILES.items()}
        for file in files.values():
            (self.folder / "file_commands" / file).touch()
        variables = {**self._variables(files), **self.inputs(named), **(state or {})}
        name = f"bluegreen-test-{uuid4().hex[:12]}"
        step = RunnerStep(
            name, self._line(name, entrypoint, variables), variables, self.folder / "file_commands", files
        )
        try:
            yield step
        finally:
            step.end()

    def _variables(self, files: Mapping[str, str]) -> dict[str, str]:
        run = {
            "ACTION": "__self", "ACTOR": "octocat", "TRIGGERING_ACTOR": "octocat", "API_URL": "http://127.0.0.1:9",
            "EVENT_NAME": "push", "EVENT_PATH": "/github/workflow/event.json", "JOB": "release",
            "REF": "refs/heads/main",
            "REF_NAME": "main", "REPOSITORY": "acme/web", "RUN_ATTEMPT": "1", "RUN_ID": "77", "RUN_NUMBER": "7",
            "SERVER_URL": "https://github.com", "SHA": "c0ffee01" * 5, "WORKFLOW": "release", "ACTIONS": "true",
            "WORKSPACE": "/github/workspace",
        }  # fmt: skip
        run |= {name: f"/github/file_commands/{file}" for name, file in files.items()} | self.github
        runner = {"OS": "Linux", "ARCH": "X64", "TEMP": "/github/runner_temp", "TOOL_CACHE": "/opt/hostedtoolcache"}
        tools = {"CI": "true", "HOME": "/github/home", "ACTIONS_RUNTIME_TOKEN": "eyJhbGciOi.runtime-token.xyz"}
        github = {f"GITHUB_{name}": value for name, value in run.items()}
        return {**self.environment, **tools, **github, **{f"RUNNER_{k}": v for k, v in runner.items()}}

    def _line(self, name: str, entrypoint: str, variables: Mapping[str, str]) -> list[str]:
        line = ["docker", "run", "--name", name, "--label", "bluegreen-test", "--workdir", "/github/workspace", "--rm"]
        line += [word for variable in variables for word in ("-e", variable)]
        line += ["-e", "GITHUB_ACTIONS=true", "-e", "CI=true"]
        # The one difference: the runner makes a network; ours are servers on this machine's loopback.
        line += ["--network", "host"]
        line += ["--entrypoint", entrypoint] if entrypoint else []
        mounts = {"/var/run/docker.sock": "/var/run/docker.sock"}
        mounts |= {str(path): f"/github/{path.name}" for path in self.folder.iterdir() if path.is_dir()}
        line += [word for source, target in mounts.items() for word in ("-v", f"{source}:{target}")]
        return [*line, image()]


class RunnerStep:
    """A running container, and the docker client that the runner started."""

    def __init__(
        self, name: str, line: list[str], variables: Mapping[str, str], folder: Path, files: Mapping[str, str]
    ) -> None:
        self.name, self._folder, self._files = name, folder, files
        self._lines: list[str] = []
        self._heard = threading.Condition()
        environment = {**os.environ, **variables, "PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
        self.client = subprocess.Popen(
            line,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._over = False
        self._gone = 0.0

    def _read(self) -> None:
        assert self.client.stdout
        for line in self.client.stdout:
            with self._heard:
                self._lines.append(line)
                self._heard.notify_all()
        with self._heard:
            self._over = True
            self._heard.notify_all()

    def until(self, text: str) -> None:
        """Wait for a line with that text."""
        with self._heard:
            said = self._heard.wait_for(lambda: self._over or any(text in line for line in self._lines), STEP)
            assert said, f"{text!r} was not said within {STEP} s"

    def cancel(self) -> Ended:
        """SIGINT to the client, later SIGTERM, and then only the client is killed."""
        began = time.monotonic()
        self.client.send_signal(signal.SIGINT)
        for pause, then in ((TO_TERM, signal.SIGTERM), (TO_KILL, signal.SIGKILL)):
            if not self._container_gone(pause):
                self.client.send_signal(then)
        self._gone = time.monotonic() - began
        return self.wait()

    def _container_gone(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if (
                self.client.poll() is not None
                and not docker("ps", "-q", "--filter", f"name={self.name}").stdout.strip()
            ):
                return True
            time.sleep(0.05)
        return False

    def wait(self) -> Ended:
        """Its end."""
        code = self.client.wait(STEP)
        self._reader.join(10)
        raw = "".join(self._lines)
        lines, notes, groups, masks = _read_log(raw)
        text = {name: (self._folder / file).read_text() for name, file in self._files.items()}
        assert len(text["STEP_SUMMARY"].encode()) <= LONGEST_SUMMARY
        assert text["ENV"] == text["PATH"] == ""
        outputs, state = _file_command(text["OUTPUT"]), _file_command(text["STATE"])
        summary = _masked(text["STEP_SUMMARY"], masks)
        return Ended(code, lines, raw, outputs, state, summary, notes, groups, masks, self._gone)

    def end(self) -> None:
        """Whatever is left of it."""
        if self.client.poll() is None:
            self.client.kill()
            self.client.wait(10)
        docker("rm", "-f", self.name)
