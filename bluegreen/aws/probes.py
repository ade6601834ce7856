"""Checks: HTTP answers, commands on every green instance, CloudWatch alarms.

A check that cannot be evaluated fails, with the cause; nothing here raises. What is remembered from look to
look (when a check was last asked, which commands are on their way) only saves calls: another driver
asks at once, and finds commands by their comment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import urllib3

from bluegreen.aws import builder, groups
from bluegreen.aws.calls import Answer, Calls
from bluegreen.config import AlarmCheck, Config, HttpCheck, RunCheck
from bluegreen.errors import BlueGreenError
from bluegreen.observation import CheckResult, Group
from bluegreen.release import Phase, Release

#: SendCommand takes this many instances a call (Systems Manager API).
COMMAND_BATCH = 50
#: How long a check's command may run, and how long its answer is awaited, in seconds.
RUN_SECONDS, ROUND_SECONDS = 60.0, 90.0
#: As much of an answer is searched for `contains`, in bytes.
BODY_MAX = 1 << 20
#: As much of a command's last line is told.
LINE_MAX = 200

# `checks.*.when` has no word of its own for these: both serve in them as they do in the overlap.
_WHEN = {Phase.HOLDING: "overlapping", Phase.SWITCHING: "overlapping"}

Mask = Callable[[str], str]


@dataclass(frozen=True)
class Page:
    """What an HTTP check was answered."""

    status: int
    body: bytes
    seconds: float | None  # None: there was no stopwatch


Stopwatch = Callable[[], float]
#: Asks a URL with headers and a timeout; raises urllib3's errors.
Fetch = Callable[[str, Mapping[str, str], float], Page]


@dataclass(frozen=True)
class Round:
    """One check's commands on their way."""

    commands: tuple[str, ...]
    instances: tuple[str, ...]
    sent_at: float


class Probes:
    """The config's checks, each asked when it is due."""

    def __init__(self, calls: Calls, config: Config, mask: Mask, fetch: Fetch) -> None:
        self._calls, self._config, self._mask, self._fetch = calls, config, mask, fetch
        self._asked: dict[tuple[str, str], float] = {}
        self._rounds: dict[tuple[str, str], Round] = {}

    def look(self, release: Release, green: Group | None, now: float) -> tuple[CheckResult, ...]:
        """Results of the checks of this phase that are due, in the config's order."""
        when = _WHEN.get(release.phase, release.phase.value)
        due = [c for c in self._config.checks if when in c.when and self._due((release.id, c.name), c.every, now)]
        said = {
            **self._pages([c for c in due if isinstance(c, HttpCheck)]),
            **self._alarms([c for c in due if isinstance(c, AlarmCheck)]),
            **self._commands([c for c in due if isinstance(c, RunCheck)], release, green, now),
        }
        for check in due:
            if check.name in said and not isinstance(check, RunCheck):
                self._asked[release.id, check.name] = now
        return tuple(CheckResult(c.name, said[c.name][0], said[c.name][1], now) for c in due if c.name in said)

    def _due(self, key: tuple[str, str], every: float, now: float) -> bool:
        asked = self._asked.get(key)
        return key in self._rounds or asked is None or now - asked >= every

    # --- http

    def _pages(self, checks: list[HttpCheck]) -> dict[str, tuple[bool, str]]:
        """Side by side: one that hangs must not keep the others, and an order to roll back, waiting in line."""
        if not checks:
            return {}
        with ThreadPoolExecutor(min(len(checks), 8)) as pool:
            return dict(zip((c.name for c in checks), pool.map(self._page, checks), strict=True))

    def _page(self, check: HttpCheck) -> tuple[bool, str]:
        try:
            page = self._fetch(check.http, check.headers, check.timeout)
        except urllib3.exceptions.NewConnectionError as error:  # to urllib3 a kind of timeout
            return False, f"no answer: {_cause(error)}"
        except (urllib3.exceptions.TimeoutError, TimeoutError):
            return False, f"no answer within {check.timeout:g} s"
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            return False, f"no answer: {_cause(error)}"
        value = f"{page.status}" if page.seconds is None else f"{page.status} after {page.seconds:.1f} s"
        if page.status not in check.status:
            return False, value
        if check.contains and check.contains.encode() not in page.body:
            return False, f"{value}, without `{check.contains}`"
        return True, value

    # --- alarms

    def _alarms(self, checks: list[AlarmCheck]) -> dict[str, tuple[bool, str]]:
        """All in one call (CloudWatch API, DescribeAlarms)."""
        if not checks:
            return {}
        names = sorted({check.alarm for check in checks})
        try:
            with self._calls.told():
                answer = self._calls.cloudwatch.describe_alarms(
                    AlarmNames=names, AlarmTypes=["MetricAlarm", "CompositeAlarm"]
                )
        except BlueGreenError as error:
            return {check.name: (False, f"could not be asked: {error.what}") for check in checks}
        shown = {a["AlarmName"]: a for a in [*answer["MetricAlarms"], *answer.get("CompositeAlarms", [])]}
        return {check.name: _alarm(shown.get(check.alarm), check.alarm) for check in checks}

    # --- commands

    def _commands(
        self, checks: list[RunCheck], release: Release, green: Group | None, now: float
    ) -> dict[str, tuple[bool, str]]:
        answers = {check.name: self._told(check, release, green, now) for check in checks}
        return {name: answer for name, answer in answers.items() if answer is not None}

    def _told(self, check: RunCheck, release: Release, green: Group | None, now: float) -> tuple[bool, str] | None:
        try:
            with self._calls.told():
                return self._command(check, release, green, now)
        except BlueGreenError as error:
            self._asked[release.id, check.name] = now
            return False, f"could not be asked: {error.what}"

    def _command(self, check: RunCheck, release: Release, green: Group | None, now: float) -> tuple[bool, str] | None:
        """None while the commands are on their way."""
        ids = sorted(green.in_service) if green else []
        if not ids:
            return False, "no green instance is in service"
        key = (release.id, check.name)
        if key not in self._rounds:
            self._rounds[key] = self._begin(check, release, ids, now)
            self._asked[key] = now
            return None
        answer = self._ended(self._rounds[key], now)
        if answer is not None:
            del self._rounds[key]
        return answer

    def _begin(self, check: RunCheck, release: Release, ids: list[str], now: float) -> Round:
        """Send the command to every instance, where another driver has not just done so."""
        said = builder.comment(release, check.name)
        text = builder.script(release, check.run)
        fresh = (release.id, check.name) not in self._asked
        commands = []
        for batch in groups.batches(ids, COMMAND_BATCH):
            sent = self._sent(said, batch, now, check.every) if fresh else None
            commands.append(sent or builder.send(self._calls, batch, said, text, RUN_SECONDS))
        return Round(tuple(commands), tuple(ids), now)

    def _sent(self, said: str, batch: list[str], now: float, every: float) -> str | None:
        """Id of a command with our comment that was sent to these instances less than `every` ago."""
        listed = self._calls.ssm.list_commands(InstanceId=batch[0])["Commands"]
        for command in listed:
            young = now - command["RequestedDateTime"].timestamp() < every
            if young and command.get("Comment") == said and set(command.get("InstanceIds", [])) == set(batch):
                return str(command["CommandId"])
        return None

    def _ended(self, round_: Round, now: float) -> tuple[bool, str] | None:
        shown = {i["InstanceId"]: i for command in round_.commands for i in self._invocations(command)}
        states = {id_: _state(shown.get(id_)) for id_ in round_.instances}
        if any(state in ("pending", "running") for state in states.values()) and now - round_.sent_at < ROUND_SECONDS:
            return None
        passed = [id_ for id_, state in states.items() if state == "passed"]
        value = f"{len(passed)} of {len(states)} passed"
        sick = next((id_ for id_ in round_.instances if states[id_] != "passed"), None)
        if sick is None:
            return True, value
        return False, f"{value}; {sick}: {self._last_line(shown.get(sick), states[sick])}"

    def _invocations(self, command: str) -> list[Answer]:
        pages = self._calls.ssm.get_paginator("list_command_invocations").paginate(CommandId=command, Details=True)
        return [invocation for page in pages for invocation in page["CommandInvocations"]]

    def _last_line(self, invocation: Answer | None, state: str) -> str:
        if invocation is None or state != "failed":
            return f"no answer within {ROUND_SECONDS:g} s"
        return self._mask(builder.tail(invocation, 1))[:LINE_MAX]


def _state(invocation: Answer | None) -> str:
    if invocation is None:
        return "pending"
    return builder.STATES.get(invocation["Status"], "passed" if invocation["Status"] == "Success" else "failed")


def _alarm(shown: Answer | None, name: str) -> tuple[bool, str]:
    """Only OK passes: missing data is no good news (S2)."""
    if shown is None:
        return False, f"there is no alarm `{name}`"
    state = shown["StateValue"]
    if state == "OK":
        return True, state
    reason = " ".join(shown.get("StateReason", "").split())[:LINE_MAX]
    return False, f"{state}: {reason}" if reason else state


def _cause(error: BaseException) -> str:
    """The root of it, without urllib3's wrapping."""
    reason = getattr(error, "reason", None) or error
    words = (
        str(reason).rpartition(": ")[2] if isinstance(reason, urllib3.exceptions.NewConnectionError) else str(reason)
    )
    return " ".join(words.split())[:LINE_MAX] or type(reason).__name__


def fetcher(stopwatch: Stopwatch | None) -> Fetch:
    """Asks in earnest: once, and without following redirects, for what answers must be what was asked."""

    def fetch(url: str, headers: Mapping[str, str], timeout: float) -> Page:
        began = stopwatch() if stopwatch else 0.0
        with urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(total=timeout)) as pool:
            asked = {"user-agent": "bluegreen", **headers}
            response = pool.request("GET", url, headers=asked, redirect=False, preload_content=False)
            body = b"".join(_pieces(response, lambda: stopwatch is not None and stopwatch() - began > timeout))
        return Page(response.status, body, stopwatch() - began if stopwatch else None)

    return fetch


def _pieces(response: urllib3.BaseHTTPResponse, late: Callable[[], bool]) -> Iterable[bytes]:
    """The body as it comes; one that trickles does not come for ever."""
    size = 0
    while size < BODY_MAX and (piece := response.read1(1 << 16)):
        if late():
            raise TimeoutError
        size += len(piece)
        yield piece
