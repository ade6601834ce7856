"""The runner's side of a step: lines and commands on stdout, and the files that it reads afterwards.

Facts are from the documentation of workflow commands and the source of actions/runner and actions/toolkit.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

from bluegreen.masking import mask, secrets_of
from bluegreen.wording import visible

#: Per level and step, and characters of one message; the runner drops and cuts what is more.
ANNOTATIONS, MESSAGE = 10, 4096
#: Bytes. Of a summary over 1024 KiB the runner keeps nothing.
SUMMARY = 1_000_000


class Workflow:
    """What a step writes for the runner, with secrets masked.

    May be used by several threads. A file that cannot be written fails no release: one warning says so.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._files = {name: environment.get(f"GITHUB_{name}", "") for name in ("OUTPUT", "STATE", "STEP_SUMMARY")}
        self._secrets: tuple[str, ...] = ()
        self._told: Counter[str] = Counter()
        self._group = ""
        self._lock = threading.RLock()
        self._unwritable: set[str] = set()
        for secret in secrets_of(environment):
            self.add_secret(secret)

    # --- what is hidden --------------------------------------------------------------------------

    def add_secret(self, secret: str) -> None:
        """Mask it from now on, here and in everything that the runner shows."""
        if not secret.strip() or secret in self._secrets:
            return
        with self._lock:
            self._secrets = tuple(sorted((*self._secrets, secret), key=len, reverse=True))
            self._write(f"::add-mask::{_data(secret)}")

    @property
    def secrets(self) -> tuple[str, ...]:
        """All that is masked, the longest first."""
        return self._secrets

    def hide(self, text: str) -> str:
        """The text without secrets, and without what the runner would take for a command inside a line."""
        return mask(text, self._secrets).replace("##[", "# #[")

    # --- the log ---------------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """Lines of the log; none of them can be a command."""
        for line in self.hide(text).splitlines() or [""]:
            self._write(_no_command(visible(line)))

    def group(self, title: str) -> None:
        """Group the following lines under this title; "" ends the group."""
        with self._lock:
            if title == self._group:
                return
            if self._group:
                self._write("::endgroup::")
            if title:
                self._write(f"::group::{_data(self.hide(title))}")
            self._group = title

    def annotate(self, level: str, title: str, message: str) -> None:
        """An annotation on the run: `error`, `warning` or `notice`. Beyond the tenth it is only a line of the log."""
        with self._lock:
            self._told[level] += 1
            text = self.hide(message)
            if self._told[level] > ANNOTATIONS:
                self.say(f"{level}: {title}: {text}")
                return
            cut = text if len(text) <= MESSAGE else f"{text[: MESSAGE - 1]}…"
            self._write(f"::{level} title={_property(self.hide(title))}::{_data(cut)}")

    # --- the files -------------------------------------------------------------------------------

    def output(self, values: Mapping[str, object]) -> None:
        """Outputs of the step."""
        self._assign("OUTPUT", values)

    def state(self, values: Mapping[str, object]) -> None:
        """Kept for the post step, where they are STATE_<name>."""
        self._assign("STATE", values)

    def summary(self, markdown: str) -> None:
        """Add to the page of the run; cut it where the runner would drop all of it."""
        data = self.hide(markdown).encode()
        if len(data) > SUMMARY:
            data = data[:SUMMARY].decode(errors="ignore").encode() + b"\n\n(cut: the log has the rest)\n"
        self._append("STEP_SUMMARY", data.decode() + "\n")

    def _assign(self, file: str, values: Mapping[str, object]) -> None:
        """With a delimiter that no value can foresee (actions/toolkit, file-command)."""
        lines = []
        for name, value in values.items():
            delimiter = f"ghadelimiter_{uuid4()}"
            lines += [f"{name}<<{delimiter}", self.hide(str(value)), delimiter]
        self._append(file, "".join(f"{line}\n" for line in lines))

    def _append(self, file: str, text: str) -> None:
        path = self._files[file]
        if not path:
            return
        try:
            with self._lock, Path(path).open("a", encoding="utf-8") as opened:
                opened.write(text)
        except OSError as error:
            if file not in self._unwritable:
                self._unwritable.add(file)
                self.say(f"warning: GITHUB_{file} cannot be written: {error.strerror}")

    def _write(self, line: str) -> None:
        with self._lock:
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()


def _no_command(line: str) -> str:
    """What begins with `::` once it is trimmed is a command to the runner (actions/runner, ActionCommand)."""
    begun = len(line) - len(line.lstrip())
    return f"{line[:begun]}: :{line[begun + 2 :]}" if line.startswith("::", begun) else line


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
