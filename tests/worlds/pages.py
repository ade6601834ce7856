"""A page, followed to the letter: its commands for a shell, one after the other, against the lab's AWS.

Understood are the shell's words that the page uses: `NAME=value`, `$NAME`, `$(…)`, a backslash at the end of a line,
`> file`, and comments. `bluegreen` runs in this process, `aws` as its manual says, by the API; all else is what the
machine has.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from string import Template
from typing import Any

import jmespath  # type: ignore[import-untyped] # it brings no types
from click.testing import CliRunner

from bluegreen.cli import cli
from lab.clock import Clock
from tests.worlds.virtual import as_told

Client = Callable[[str], Any]
#: How often `aws … wait` asks, and for how long (AWS CLI, its waiters).
_PAUSE, _ASKS = 15.0, 40
_FENCE = re.compile(r"(?ms)^ *```sh\n(.*?)^ *```")


def commands(page: str) -> Iterator[str]:
    """Every command in the fences of a page, in order; a line that goes on is one with the next."""
    for block in _FENCE.findall(page):
        for line in block.replace("\\\n", " ").splitlines():
            if said := re.sub(r"(^|\s)# .*", "", line).strip():
                yield " ".join(said.split())


class Reader:
    """Somebody who types what the page says. AssertionError with what was said when a command fails."""

    def __init__(self, client: Client, clock: Clock, folder: Path) -> None:
        self.client, self.clock, self.folder = client, clock, folder
        self.values: dict[str, str] = {}
        self.said: list[tuple[str, str]] = []

    def follow(self, page: str) -> None:
        """Type everything."""
        for line in commands(page):
            self.type(line)

    def type(self, line: str) -> str:
        """One line; what it printed."""
        if given := re.fullmatch(r"(\w+)=(.*)", line):
            self.values[given[1]] = shlex.split(self._expanded(given[2]))[0]
            return ""
        command, _, file = line.partition(" > ")
        printed = self._run(shlex.split(self._expanded(command)))
        if file:
            (self.folder / file.strip()).write_text(printed)
        self.said.append((line, printed))
        return printed

    def _expanded(self, text: str) -> str:
        """As in a shell, what stands in single quotes stays; a command in `$(…)` may have such quotes itself."""
        inner = re.sub(r"\$\((.+)\)", lambda found: self.type(found[1]).strip(), text)
        parts = re.split(r"('[^']*')", inner)
        return "".join(one if one[:1] == "'" else Template(one).substitute(self.values) for one in parts)

    def _run(self, words: list[str]) -> str:
        if words[0] == "bluegreen":
            done = CliRunner().invoke(cli, words[1:])
            assert done.exit_code == 0, (words, done.output)
            return done.stdout
        if words[0] == "aws":
            return self._aws(words)
        ran = subprocess.run(words, cwd=self.folder, capture_output=True, text=True, timeout=60, check=False)
        assert ran.returncode == 0, (words, ran.stderr)
        return ran.stdout

    # --- AWS's command line --------------------------------------------------------------------------------

    def _aws(self, words: list[str]) -> str:
        words, query = _taken(words, "--query")
        words, form = _taken(words, "--output")
        if words[1:3] == ["cloudformation", "deploy"]:
            self._deploy(dict(_named(words[3:])))
            return ""
        if words[2] == "wait":
            self._wait(words)
            return ""
        answer = as_told(self.client, shlex.join(words))
        found = jmespath.search(query, answer) if query else answer
        return str(found) if form == "text" else repr(found)

    def _wait(self, words: list[str]) -> None:
        waiter = self.client(words[1]).waiter_names
        assert words[3].replace("-", "_") in waiter, words
        assert words[1:4] == ["ec2", "wait", "instance-stopped"], "the only one that is waited for here"
        for _ in range(_ASKS):
            found = as_told(self.client, shlex.join(["aws", "ec2", "describe-instances", *words[4:]]))
            if found["Reservations"][0]["Instances"][0]["State"]["Name"] == "stopped":
                return
            self.clock.sleep(_PAUSE)
        raise AssertionError(f"never: {words}")

    def _deploy(self, given: dict[str, list[str]]) -> None:
        """Make the stack; its file is looked for where the command runs."""
        cloud, name = self.client("cloudformation"), given["stack-name"][0]
        pairs = [one.partition("=") for one in given.get("parameter-overrides", [])]
        cloud.create_stack(
            StackName=name,
            TemplateBody=(self.folder / given["template-file"][0]).read_text(),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, _, value in pairs],
            Capabilities=given.get("capabilities", []),
        )
        (stack,) = cloud.describe_stacks(StackName=name)["Stacks"]
        assert stack["StackStatus"] == "CREATE_COMPLETE", stack


def _taken(words: list[str], option: str) -> tuple[list[str], str]:
    """Without the option, and its value."""
    if option not in words:
        return words, ""
    place = words.index(option)
    return [*words[:place], *words[place + 2 :]], words[place + 1]


def _named(words: list[str]) -> Iterator[tuple[str, list[str]]]:
    begins = [n for n, word in enumerate(words) if word.startswith("--")]
    for begin, end in zip(begins, [*begins[1:], len(words)], strict=True):
        yield words[begin].removeprefix("--"), words[begin + 1 : end]
