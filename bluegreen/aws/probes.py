"""Checks: HTTP answers, commands on every green instance, CloudWatch alarms and metrics.

A check that cannot be evaluated fails, with the cause; only the end of the observation raises here. The memory
between observations (when a check last ran, which requests and commands are open) only saves calls: another driver asks
at once, and finds commands by their comment. An observation never waits for an open answer; a later one has it.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import urllib3

from bluegreen.aws import commands, groups
from bluegreen.aws.calls import Answer, Calls, started
from bluegreen.aws.metrics import MetricChecks
from bluegreen.config import AlarmCheck, Check, Config, HttpCheck, MetricCheck, RunCheck, link_local
from bluegreen.errors import AwsError, ConfigError
from bluegreen.events import Phase
from bluegreen.judgement import Evaluation
from bluegreen.observation import CheckResult, Group
from bluegreen.release import Release

#: SendCommand takes this many instances a call (Systems Manager API).
COMMAND_BATCH = 50
#: How long a check's command may run, and how long its answer is awaited, in seconds.
RUN_SECONDS, ROUND_SECONDS = 60.0, 90.0
#: As much of an answer is searched for `contains`, in bytes.
BODY_MAX = 1 << 20
#: As much is told of a cause, and of a command's end: cards cut at 200 characters.
LINE_MAX, END_MAX = 200, 150
#: As much of a JSON value is told.
VALUE_MAX = 60
#: DescribeAlarms takes this many names a call (CloudWatch API).
ALARM_BATCH = 100
#: So many of a command's last lines are told.
END_LINES = 3
#: A look waits so long for answers that come at once, in seconds; a rollback may be ordered meanwhile.
SOON = 0.2
#: So much longer than its timeout a question may be out before it counts as unanswered: looking up a name has none
#: of its own. It is not asked again before it has come back, so that a check has one thread at most.
PATIENCE = 1.0

# `checks.*.when` has no word of its own for these: both serve as in the overlap, or green alone as in the soak.
_WHEN = {Phase.HOLDING: "overlapping", Phase.SWITCHING: "overlapping", Phase.RETIRING: "soaking"}

Mask = Callable[[str], str]


@dataclass(frozen=True)
class HttpAnswer:
    """What an HTTP check was answered."""

    status: int
    body: bytes
    seconds: float | None  # None: there was no stopwatch
    location: str = ""  # where it redirects to


Stopwatch = Callable[[], float]


@dataclass(frozen=True)
class HttpRequest:
    """What an HTTP check asks: a GET, and how long its answer may take (seconds)."""

    url: str
    headers: Mapping[str, str]
    timeout: float


#: Asks them side by side and gives their answers, whether they are there yet or not. One that will not come raises
#: urllib3's errors, TimeoutError or whatever else is the cause.
Fetch = Callable[[Sequence[HttpRequest]], Sequence[Future[HttpAnswer]]]


@dataclass(frozen=True)
class Question:
    """One HTTP check on its way."""

    answer: Future[HttpAnswer]
    phase: Phase  # what was asked in another says nothing of this one
    since: float


@dataclass(frozen=True)
class Round:
    """One check's commands on their way."""

    commands: tuple[str, ...]
    instances: tuple[str, ...]
    sent_at: float
    unreached: tuple[str, ...] = ()  # of the instances: those whose SSM agent is not online


class Probes:
    """The config's checks, each asked when it is due."""

    def __init__(self, calls: Calls, config: Config, mask: Mask, fetch: Fetch) -> None:
        self._calls, self._config, self._mask, self._fetch = calls, config, mask, fetch
        self._asked: dict[tuple[str, str], float] = {}
        self._rounds: dict[tuple[str, str], Round] = {}
        self._questions: dict[tuple[str, str], Question] = {}
        self._metrics = MetricChecks(calls)

    def look(
        self, release: Release, green: Group | None, now: float, *, lacking: bool = False
    ) -> tuple[CheckResult, ...]:
        """Results of the checks of this phase that are due, in the config's order.

        `lacking`: missing instances were taken, which is not the version's fault; commands wait for their replacements.
        """
        due = [check for check in self._config.checks if self._due(check, release, now)]
        said = {
            **self._alarms([c for c in due if isinstance(c, AlarmCheck)]),
            **self._metrics.verdicts([c for c in due if isinstance(c, MetricCheck)], release, now),
            **self._commands(self._runnable(due, green, lacking=lacking), release, green, now),
            **self._pages([c for c in due if isinstance(c, HttpCheck)], release, now),
        }
        for check in due:
            if isinstance(check, AlarmCheck | MetricCheck) and check.name in said:
                self._asked[release.id, check.name] = now
        return tuple(
            CheckResult(check.name, told.passed, told.value, now, told.certain)
            for check in due
            if (told := said.get(check.name))
        )

    def _due(self, check: Check, release: Release, now: float) -> bool:
        """The load balancer's metrics of green are judged from when it has a share of the traffic."""
        if _WHEN.get(release.phase, release.phase.value) not in check.when:
            return False
        if isinstance(check, MetricCheck) and check.namespace is None and release.share_since is None:
            return False
        key = (release.id, check.name)
        asked = self._asked.get(key)
        out = key in self._rounds or key in self._questions
        return out or asked is None or now - asked >= check.every

    # --- http

    def _pages(self, checks: list[HttpCheck], release: Release, now: float) -> dict[str, Evaluation]:
        """Those that are answered by now; whatever is not out yet is asked first."""
        asked = [check for check in checks if not self._is_out(check, release)]
        answers = (
            self._fetch([HttpRequest(check.http, check.headers, check.timeout) for check in asked]) if asked else ()
        )
        for check, answer in zip(asked, answers, strict=True):
            self._questions[release.id, check.name] = Question(answer, release.phase, now)
            self._asked[release.id, check.name] = now
        said = {check.name: self._answer(check, release, now) for check in checks}
        return {name: verdict for name, verdict in said.items() if verdict is not None}

    def _is_out(self, check: HttpCheck, release: Release) -> bool:
        question = self._questions.get((release.id, check.name))
        return question is not None and question.phase is release.phase

    def _answer(self, check: HttpCheck, release: Release, now: float) -> Evaluation | None:
        """None while it is out."""
        key = (release.id, check.name)
        question = self._questions[key]
        if question.answer.done():
            del self._questions[key]
            return self._read(check, question.answer)
        if now - question.since < check.timeout + PATIENCE:
            return None
        self._questions[key] = replace(question, since=now)
        return _failed(f"no answer within {check.timeout:g} s")

    def _read(self, check: HttpCheck, answer: Future[HttpAnswer]) -> Evaluation:
        try:
            return self._page(check, answer.result())
        except urllib3.exceptions.NewConnectionError as error:  # to urllib3 a kind of timeout
            return _failed(f"no answer: {_cause(error)}")
        except (urllib3.exceptions.TimeoutError, TimeoutError):
            return _failed(f"no answer within {check.timeout:g} s")
        except Exception as error:  # whatever it is, it is no answer
            return _failed(f"no answer: {_cause(error)}")

    def _page(self, check: HttpCheck, page: HttpAnswer) -> Evaluation:
        value = f"{page.status}" if page.seconds is None else f"{page.status} after {page.seconds:.1f} s"
        if page.status not in check.status:
            return _failed(f"{value}, to {self._mask(page.location)[:LINE_MAX]}" if page.location else value)
        if check.contains and check.contains.encode() not in page.body:
            return _failed(f"{value}, without `{check.contains}`")
        if wrong := _wrong_in(page.body, check.json_values, self._mask if check.reveal else None):
            return _failed(f"{value}, {wrong}"[:LINE_MAX])
        return Evaluation(passed=True, value=value)

    # --- alarms

    def _alarms(self, checks: list[AlarmCheck]) -> dict[str, Evaluation]:
        """A hundred a call (CloudWatch API, DescribeAlarms)."""
        shown: dict[str, Answer] = {}
        try:
            with self._calls.translate_errors():
                for names in groups.batches(sorted({check.alarm for check in checks}), ALARM_BATCH):
                    answer = self._calls.cloudwatch.describe_alarms(
                        AlarmNames=names, AlarmTypes=["MetricAlarm", "CompositeAlarm"], MaxRecords=ALARM_BATCH
                    )
                    found = [*answer.get("MetricAlarms", []), *answer.get("CompositeAlarms", [])]
                    shown |= {alarm["AlarmName"]: alarm for alarm in found}
        except (AwsError, ConfigError) as error:
            return {check.name: _failed(f"could not be read: {error.what}") for check in checks}
        return {check.name: _alarm(shown.get(check.alarm), check) for check in checks}

    # --- commands

    def _runnable(self, due: list[Check], green: Group | None, *, lacking: bool) -> list[RunCheck]:
        nobody = green is None or not green.in_service
        return [] if lacking and nobody else [c for c in due if isinstance(c, RunCheck)]

    def _commands(
        self, checks: list[RunCheck], release: Release, green: Group | None, now: float
    ) -> dict[str, Evaluation]:
        answers = {check.name: self._told(check, release, green, now) for check in checks}
        return {name: answer for name, answer in answers.items() if answer is not None}

    def _told(self, check: RunCheck, release: Release, green: Group | None, now: float) -> Evaluation | None:
        try:
            with self._calls.translate_errors():
                return self._command(check, release, green, now)
        except (AwsError, ConfigError) as error:
            self._asked[release.id, check.name] = now
            return _failed(f"could not be read: {error.what}")

    def _command(self, check: RunCheck, release: Release, green: Group | None, now: float) -> Evaluation | None:
        """None while the commands are on their way."""
        ids = sorted(green.in_service) if green else []
        if not ids:
            return _failed("no green instance is in service")
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
        said = commands.comment(release, check.name)
        text = commands.script(release, check.run, commands.KEPT_LISTED)
        fresh = (release.id, check.name) not in self._asked
        taken: list[str] = []
        unreached: list[str] = []
        for batch in groups.batches(ids, COMMAND_BATCH):
            if fresh and (sent := self._sent(said, batch, now, check.every)):
                taken.append(sent)
                continue
            command, lost = self._send(batch, said, text)
            taken += [command] if command else []
            unreached += lost
        return Round(tuple(taken), tuple(ids), now, tuple(unreached))

    def _send(self, batch: list[str], said: str, text: str) -> tuple[str, list[str]]:
        """To those whom SSM reaches: the command's id, "" when it reaches nobody, and whom it does not reach."""
        try:
            return commands.send(self._calls.ssm, batch, said, text, RUN_SECONDS), []
        except commands.UnreachableError as error:
            lost = error.ids
        others = [id_ for id_ in batch if id_ not in lost]
        return (commands.send(self._calls.ssm, others, said, text, RUN_SECONDS) if others else ""), lost

    def _sent(self, said: str, batch: list[str], now: float, every: float) -> str | None:
        """Id of a command with our comment that was sent to these instances less than `every` ago."""
        for command in commands.sent(self._calls, batch[0], said, since=now - every):
            young = now - command["RequestedDateTime"].timestamp() < every
            if young and set(command.get("InstanceIds", [])) == set(batch):
                return str(command["CommandId"])
        return None

    def _ended(self, round_: Round, now: float) -> Evaluation | None:
        shown = {i["InstanceId"]: i for command in round_.commands for i in self._invocations(command)}
        states = {id_: _state(shown.get(id_)) for id_ in round_.instances}
        states |= dict.fromkeys(round_.unreached, "unreached")
        if any(state in ("pending", "running") for state in states.values()) and now - round_.sent_at < ROUND_SECONDS:
            return None
        passed = [id_ for id_, state in states.items() if state == "passed"]
        value = f"{len(passed)} of {len(states)} passed"
        sick = next((id_ for id_ in round_.instances if states[id_] != "passed"), None)
        if sick is None:
            return Evaluation(passed=True, value=value)
        return _failed(f"{value}; {sick}: {self._end(shown.get(sick), states[sick])}")

    def _invocations(self, command: str) -> list[Answer]:
        pages = self._calls.ssm.get_paginator("list_command_invocations").paginate(CommandId=command, Details=True)
        return [invocation for page in pages for invocation in page["CommandInvocations"]]

    def _end(self, invocation: Answer | None, state: str) -> str:
        """The last lines; what is cut off is their beginning."""
        if state == "unreached":
            return "SSM does not reach it: its agent is not online"
        if invocation is None or state != "failed":
            return f"no answer within {ROUND_SECONDS:g} s"
        printed = commands.tail(invocation, self._mask, END_LINES)
        lines = " | ".join(" ".join(line.split()) for line in printed.splitlines())
        return lines if len(lines) <= END_MAX else f"…{lines[1 - END_MAX :]}"


def _state(invocation: Answer | None) -> str:
    if invocation is None:
        return "pending"
    return commands.STATES.get(invocation["Status"], "passed" if invocation["Status"] == "Success" else "failed")


def _failed(value: str) -> Evaluation:
    return Evaluation(passed=False, value=value)


def _alarm(shown: Answer | None, check: AlarmCheck) -> Evaluation:
    """Only OK passes, unless missing data was said to: it is no good news (S2)."""
    if shown is None:
        return _failed(f"there is no alarm `{check.alarm}`")
    state = shown["StateValue"]
    if state == "OK":
        return Evaluation(passed=True, value=state)
    if state == "INSUFFICIENT_DATA" and check.missing == "pass":
        return Evaluation(passed=True, value=f"{state}, which passes")
    reason = " ".join(shown.get("StateReason", "").split())[:LINE_MAX]
    return _failed(f"{state}: {reason}" if reason else state)


def _wrong_in(body: bytes, wanted: Mapping[str, Any], mask: Mask | None) -> str:
    """The first of the wanted values that the JSON in the body does not have; empty when it has them all.

    What is there instead is told only where there is a mask for it.
    """
    if not wanted:
        return ""
    try:
        held = json.loads(body)
    except (ValueError, RecursionError):
        return "not JSON" if len(body) < BODY_MAX else f"more than {BODY_MAX >> 20} MiB of JSON"
    for path, value in wanted.items():
        found = list(_at(held, path.split(".")))
        if not found:
            return f"without `{path}`"
        if found[0] != value or isinstance(found[0], bool) is not isinstance(value, bool):  # to Python 1 is True
            instead = f"{_short(found[0], mask)}, " if mask else ""
            return f"`{path}` is {instead}not {_short(value)}"
    return ""


def _at(held: Any, path: list[str]) -> Iterator[Any]:
    """What stands at the path, if anything does: parts are keys of objects, or places in lists."""
    for part in path:
        match held:
            case dict() if part in held:
                held = held[part]
            case list() if part.isdecimal() and int(part) < len(held):
                held = held[int(part)]
            case _:
                return
    yield held


def _short(value: Any, mask: Mask = str) -> str:
    said = mask(json.dumps(value, ensure_ascii=False))
    return said if len(said) <= VALUE_MAX else f"{said[: VALUE_MAX - 1]}…"


def _cause(error: BaseException) -> str:
    """The root of it, without urllib3's wrapping."""
    reason = getattr(error, "reason", None) or error
    words = (
        str(reason).rpartition(": ")[2] if isinstance(reason, urllib3.exceptions.NewConnectionError) else str(reason)
    )
    return " ".join(words.split())[:LINE_MAX] or type(reason).__name__


def fetcher(stopwatch: Stopwatch | None) -> Fetch:
    """Asks in earnest: once, and without following redirects, for what answers must be what was asked.

    Each in a thread of its own, which ends with its timeout: a pool's would keep the process from ending. What comes at
    once is waited for.
    """

    def fetch(questions: Sequence[HttpRequest]) -> list[Future[HttpAnswer]]:
        answers = [_in_a_thread(partial(_got, asked, stopwatch)) for asked in questions]
        wait(answers, timeout=SOON)
        return answers

    return fetch


def _in_a_thread(get: Callable[[], HttpAnswer]) -> Future[HttpAnswer]:
    try:
        return started(get)
    except RuntimeError as error:  # no more threads
        answer: Future[HttpAnswer] = Future()
        answer.set_exception(error)
        return answer


def _got(asked: HttpRequest, stopwatch: Stopwatch | None) -> HttpAnswer:
    began = stopwatch() if stopwatch else 0.0
    with _cut_off_after(asked.timeout, asked.url) as pool:
        headers = {"user-agent": "bluegreen", **asked.headers}
        response = pool.request("GET", asked.url, headers=headers, redirect=False, preload_content=False)
        body = b"".join(_pieces(response))
    seconds = stopwatch() - began if stopwatch else None
    return HttpAnswer(response.status, body, seconds, response.headers.get("location", ""))


@contextmanager
def _cut_off_after(seconds: float, url: str) -> Iterator[urllib3.PoolManager]:
    """Connections to the URL that end when the time is over: urllib3's timeouts begin again with each byte of a header.

    Raises TimeoutError then, whatever was read, as an answer that is cut off may look like a whole one.
    """
    end = _End()
    timer = threading.Timer(seconds, end.comes)
    timer.daemon = True
    with urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(total=seconds)) as manager:
        end.watch(manager.connection_from_url(url))
        try:
            timer.start()
            yield manager
        except Exception as error:
            raise (TimeoutError() if end.over else error) from error
        finally:
            timer.cancel()
            end.close()
    if end.over:
        raise TimeoutError


class _End:
    """Closes a pool's connections when their time is over."""

    def __init__(self) -> None:
        self.over = False
        self._lines: list[socket.socket] = []

    def watch(self, pool: Any) -> None:  # Any: urllib3's two kinds of pools
        """From now on its connections are known."""
        end = self

        class Line(pool.ConnectionCls):  # type: ignore[misc]  # http's, or https's
            def _new_conn(self) -> socket.socket:
                """By the addresses that were looked at: asked again, the name may give others."""
                return _first(self, super()._new_conn, lambda: end.over)

            def connect(self) -> None:
                super().connect()
                end.opened(self.sock)

        pool.ConnectionCls = Line

    def opened(self, line: socket.socket) -> None:
        """Too late, perhaps: looking up the name has no timeout."""
        self._lines.append(line)
        if self.over:
            raise TimeoutError

    def comes(self) -> None:
        """The reader of a connection has its end."""
        self.over = True
        for line in self._lines:
            with suppress(OSError):
                socket.socket.shutdown(line, socket.SHUT_RDWR)  # not TLS's own, which is not for a second thread

    def close(self) -> None:
        """Nothing is left open."""
        for line in self._lines:
            line.close()


def _first(line: Any, connect: Callable[[], socket.socket], late: Callable[[], bool]) -> socket.socket:
    """Connect urllib3's `line` to the first address of its host that answers; to none when one is link-local."""
    named = line._dns_host  # noqa: SLF001 - urllib3 has no other place for where to connect to
    try:
        found = socket.getaddrinfo(named, line.port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise urllib3.exceptions.NameResolutionError(named, line, error) from error
    addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
    if wrong := next(filter(link_local, addresses), None):
        raise ValueError(f"{named} is at {wrong}, which is link-local: refused, because credentials are there")
    for left, address in enumerate(addresses, 1 - len(addresses)):
        line._dns_host = address  # noqa: SLF001 - as above
        try:
            return connect()
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError):
            if not left or late():
                raise
        finally:
            line._dns_host = named  # noqa: SLF001 - as above: the certificate must be for it
    raise urllib3.exceptions.NewConnectionError(line, f"Failed to resolve '{named}'")


def _pieces(response: urllib3.BaseHTTPResponse) -> Iterable[bytes]:
    """The body as it comes; what is beyond the most that is searched is not read."""
    size = 0
    while size < BODY_MAX and (piece := response.read1(1 << 16)):
        size += len(piece)
        yield piece
