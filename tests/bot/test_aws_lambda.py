"""The bot on AWS Lambda: a function URL, the function that invokes itself, and a schedule; nothing lives between.

What an order comes to, and what cards say, is tested on a virtual clock (`test_desk.py`, `test_follower.py`): here is
only what depends on where the bot lives.
"""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import unquote

import boto3
import pytest

from bot import aws_lambda, drivers
from lab.slack import GUEST, ON_CALL, PROMOTER, FakeSlack
from tests.worlds.chat import SERVICE, SLACK
from tests.worlds.past import RUNNER, PastPlace, past_place
from tests.worlds.waiting import eventually

PERSON: dict[str, Any] = {"slack": SLACK, "promotion": {"by": "person"}}
pytestmark = pytest.mark.slow
NAME = "bluegreen-bot"
ARN = f"arn:aws:lambda:ap-northeast-2:123456789012:function:{NAME}"
#: An invocation's seconds, when nothing is said about them: far more than anything takes.
LONG = aws_lambda.RESERVE + 120
#: Seconds in which an invocation drives a little.
SHORT = aws_lambda.RESERVE + 2
#: Seconds that whatever is queued or invoked may take on a busy machine.
PATIENCE = 90


@dataclass
class Context:
    """Lambda's own, as far as anybody asks."""

    seconds: float
    entered: threading.Event
    function_name: str = NAME
    invoked_function_arn: str = ARN
    began: float = field(default_factory=time.monotonic)

    def get_remaining_time_in_millis(self) -> int:
        """Until Lambda ends the invocation. The handler asks once it knows its environment."""
        self.entered.set()
        return int((self.began + self.seconds - time.monotonic()) * 1000)


@dataclass
class Invocation:
    """One call of the handler."""

    event: dict[str, Any]
    seconds: float
    answer: Any = None
    error: BaseException | None = None
    took: float = 0.0


class Function:
    """Lambda with our function: its URL, its Invoke call, and what each invocation came to.

    Each invocation finds an execution environment of its own, as with a function that is called seldom; with `warm` all
    share one. What is queued begins while `begins` is set.
    """

    def __init__(self, *, warm: bool = False) -> None:
        self.invocations: list[Invocation] = []
        self.refused: list[str] = []
        self.seconds = LONG
        self.begins = threading.Event()
        self.begins.set()
        self._warm = warm
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._serving = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._serving.start()

    def close(self) -> None:
        """Let everything end."""
        self.begins.set()
        self.wait()
        self._server.shutdown()
        self._server.server_close()
        self._serving.join()

    def wait(self) -> None:
        """Until nothing is invoked any more."""
        for thread in self._threads:
            thread.join(PATIENCE)

    def call(self, event: dict[str, Any], seconds: float | None = None) -> Invocation:
        """One invocation, here and now."""
        made = Invocation(json.loads(json.dumps(event)), self.seconds if seconds is None else seconds)
        self.invocations.append(made)
        entered = threading.Event()
        with self._lock:  # nobody else's environment is taken for ours
            if not self._warm:
                aws_lambda._bot.cache_clear()
            thread = threading.Thread(target=self._run, args=(made, Context(made.seconds, entered)), daemon=True)
            thread.start()
            entered.wait(PATIENCE)
        thread.join()
        return made

    def _queued(self, event: dict[str, Any]) -> None:
        self.begins.wait(PATIENCE)
        self.call(event)

    @staticmethod
    def _run(made: Invocation, context: Context) -> None:
        try:
            made.answer = aws_lambda.handler(made.event, context)
        except BaseException as error:
            made.error = error
            context.entered.set()
        made.took = time.monotonic() - context.began

    def minute(self, seconds: float | None = None) -> Invocation:
        """The schedule's invocation (Amazon EventBridge, scheduled events)."""
        event = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}, "resources": []}
        made = self.call(event, seconds)
        assert (made.answer, made.error) == ({"ok": True}, None)
        return made

    def posted(self, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, str]:
        """What the function URL answers, in payload format 2.0 (AWS Lambda, function URLs)."""
        lower = {name.lower(): value for name, value in headers.items()}
        http = {
            "method": "POST",
            "path": path,
            "protocol": "HTTP/1.1",
            "sourceIp": "127.0.0.1",
            "userAgent": "Slackbot",
        }
        encoded = "json" not in lower.get("content-type", "")  # forms come encoded
        event = {
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": path,
            "rawQueryString": "",
            "headers": lower,
            "requestContext": {"accountId": "anonymous", "http": http, "stage": "$default"},
            "body": base64.b64encode(body).decode() if encoded else body.decode(),
            "isBase64Encoded": encoded,
        }
        made = self.call(event)
        if made.error:
            return 502, "Internal Server Error"
        return int(made.answer["statusCode"]), str(made.answer["body"] or "")

    def work(self) -> list[Invocation]:
        """Those that the function asked itself for."""
        return [one for one in self.invocations if "x-slack-bolt-lazy-only" in one.event.get("headers", {})]

    def _invoke(self, path: str, headers: Mapping[str, str], body: bytes) -> int:
        """Invoke (AWS Lambda API): an event is queued, and the caller does not wait."""
        if unquote(path) != f"/2015-03-31/functions/{ARN}/invocations" or headers["X-Amz-Invocation-Type"] != "Event":
            self.refused.append(path)
            return 404
        thread = threading.Thread(target=self._queued, args=(json.loads(body),), daemon=True)
        self._threads.append(thread)
        thread.start()
        return 202

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        function = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = dict(self.headers)
                if self.path.startswith("/2015-03-31/"):
                    status, said = function._invoke(self.path, headers, body), ""
                else:
                    status, said = function.posted(self.path, headers, body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(said.encode())))
                self.end_headers()
                self.wfile.write(said.encode())

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
                """Nobody reads it."""

        return Handler


@dataclass
class Stage:
    """A service, its Slack, and the function between them."""

    at: PastPlace
    slack: FakeSlack
    function: Function

    def events(self, kind: str) -> int:
        """How many there are in the journal."""
        return len(self.at.kinds(kind))

    def whispered(self, user: str, words: str) -> None:
        """The bot told a person that."""
        eventually(lambda: any(words in one.text for one in self.slack.whispers(user)), slack=self.slack)

    def at_work(self) -> list[str]:
        """The bot's own threads."""
        return [one.name for one in threading.enumerate() if one.name.startswith(("follower", "drives "))]


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """All of it, with the environment of a Lambda function; parameters go over the keys of the configuration."""
    monkeypatch.setattr(drivers, "GRACE", 1.0)  # no runner is about to take anything up
    changes = {**PERSON, **getattr(request, "param", {})}
    warm = changes.pop("warm", False)
    with past_place(tmp_path / "at", **changes) as at, FakeSlack(patience=PATIENCE) as slack:
        function = Function(warm=warm)
        slack.request_url = f"{function.url}/slack/events"
        given = {
            **at.account,
            "AWS_DEFAULT_REGION": at.aws.region,
            "AWS_ENDPOINT_URL_LAMBDA": function.url,
            "SLACK_BOT_TOKEN": slack.bot_token,
            "SLACK_SIGNING_SECRET": slack.signing_secret,
            "SLACK_API_URL": slack.url,
        }
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        for name in ("SLACK_APP_TOKEN", "PORT", "GITHUB_TOKEN", "BLUEGREEN_TABLE", "AWS_PROFILE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
        level = logging.getLogger().level
        aws_lambda._bot.cache_clear()
        try:
            yield Stage(at, slack, function)
        finally:
            function.close()
            aws_lambda._bot.cache_clear()
            logging.getLogger().setLevel(level)
        assert slack.violations == []
        assert function.refused == []


def post(url: str, body: str, headers: Mapping[str, str]) -> int:
    """The status that a POST is answered with."""
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, body.encode(), dict(headers)), timeout=PATIENCE
        ) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


# --- requests ----------------------------------------------------------------------------------------------


def test_promoted_by_a_command(stage: Stage) -> None:
    """Acknowledged before the work; a second invocation does it, answers the person and drives the release to its end.

    Cards are the schedule's.
    """
    stage.at.held()
    stage.function.begins.clear()
    assert stage.slack.command(PROMOTER.id, "/promote web").wait().trouble == ""
    assert stage.events("promoted") == 0
    stage.function.begins.set()
    stage.whispered(PROMOTER.id, "Promoted web/production#1")
    stage.function.wait()
    (work,) = stage.function.work()
    assert work.error is None
    assert work.took < work.seconds - aws_lambda.RESERVE  # it does not wait for nothing
    assert stage.events("promoted") == 1
    assert stage.at.live() == 1
    assert stage.at.wrong(live=True) == []
    assert stage.slack.cards() == []
    stage.function.minute()
    (card,) = stage.slack.cards()
    assert "is live" in str(card.blocks)
    assert "<@U0PROMOTER> promoted" in str([one.blocks for one in stage.slack.thread(card.ts)])


@pytest.mark.parametrize("stage", [{"warm": True, "soak": 300}], indirect=True)
def test_promoted_and_rolled_back_by_buttons_in_one_environment(stage: Stage) -> None:
    """A warm one serves several invocations; what was drained works again, and the same delivery acts once."""
    stage.at.held()
    stage.function.minute(SHORT)
    (card,) = stage.slack.cards()
    stage.function.seconds = SHORT
    pressed = stage.slack.press(PROMOTER.id, card.ts, "promote").wait()
    assert pressed.trouble == ""
    stage.whispered(PROMOTER.id, "Promoted web/production#1")
    stage.function.wait()
    assert stage.slack.deliver("interactive", pressed.payload).wait().trouble == ""
    stage.function.wait()
    assert stage.events("promoted") == 1
    assert len(stage.slack.whispers(PROMOTER.id)) == 2
    stage.function.seconds = LONG
    assert stage.slack.press(ON_CALL.id, card.ts, "roll_back").wait().trouble == ""
    stage.whispered(ON_CALL.id, "Ordered the rollback of web/production#1")
    stage.function.wait()
    assert stage.at.wrong(live=False) == []
    assert [one.error for one in stage.function.invocations if one.error] == []


def test_who_may_not(stage: Stage) -> None:
    """Judged as everywhere: nobody of the lists, and nobody of another workspace; the Home is shown."""
    stage.at.held()
    assert stage.slack.command(GUEST.id, "/promote web").wait().trouble == ""
    stage.whispered(GUEST.id, "you may not promote")
    other = stage.slack.command(PROMOTER.id, "/promote web", team_id="T0OTHER").wait()
    assert "another workspace" in str(other.answer)
    assert stage.slack.open_home(ON_CALL.id).wait().trouble == ""
    eventually(lambda: ON_CALL.id in stage.slack.homes)
    assert "web/production#1 is holding" in str(stage.slack.homes[ON_CALL.id])
    stage.function.wait()
    assert stage.events("promoted") == 0


@pytest.mark.parametrize("stage", [{"warm": True}], indirect=True)
def test_forged(stage: Stage) -> None:
    """A wrong, old or absent signature is refused, also when the request claims to be the function's own work."""
    stage.at.held()
    typed = {"team_id": stage.slack.team, "channel_id": "C0DEPLOYS", "user_id": PROMOTER.id, "command": "/promote"}
    body, kind = stage.slack.body_of("slash_commands", {**typed, "text": "", "trigger_id": "1.2.x", "response_url": ""})
    forged = {"X-Slack-Request-Timestamp": str(int(time.time())), "X-Slack-Signature": "v0=" + "0" * 64}
    work = {"x-slack-bolt-lazy-only": "1", "x-slack-bolt-lazy-function-name": "take"}
    for headers in (forged, stage.slack.signed(body, time.time() - 400), {}, stage.slack.signed(body + "x")):
        for more in ({}, work):
            given = {**headers, **more, "Content-Type": kind}
            assert post(stage.slack.request_url, body, given) == 401
    assert len(stage.function.invocations) == 8
    assert stage.events("promoted") == 0
    stage.function.seconds = aws_lambda.RESERVE  # nothing needs to be driven
    assert post(stage.slack.request_url, body, {**stage.slack.signed(body), "Content-Type": kind}) == 200
    eventually(lambda: stage.events("promoted") == 1)


def test_not_slack(stage: Stage) -> None:
    """What is no request of Slack's at all does nothing and breaks nothing."""
    event = {"requestContext": {"http": {"method": "GET", "path": "/"}}, "headers": {}, "isBase64Encoded": False}
    made = stage.function.call(event)
    assert made.error is None
    assert made.answer["statusCode"] == 404
    assert post(stage.slack.request_url, "", {}) == 401


# --- the schedule ------------------------------------------------------------------------------------------


def test_a_minute_with_nothing_to_do(stage: Stage) -> None:
    """It makes the table, and does not wait for nothing."""
    made = stage.function.minute()
    assert made.took < made.seconds - aws_lambda.RESERVE
    assert stage.slack.messages == []
    stage.at.held()  # in the table that is there now


def test_the_schedule_shows_and_drives(stage: Stage) -> None:
    """It posts the card and watches the hold; what was promoted meanwhile without a driver it brings to its end."""
    stage.at.held()
    stage.function.minute(aws_lambda.RESERVE)
    (card,) = stage.slack.cards()
    assert "both serve until a person promotes" in str(card.blocks)
    made = stage.function.minute(SHORT)
    assert made.took < made.seconds
    assert stage.at_work() == []
    assert stage.events("interrupted") == 1
    stage.at.engine().promote(SERVICE, who=RUNNER)
    stage.function.minute()
    stage.function.minute()  # the last state of the card may wait for an edit, and the next minute
    (same,) = stage.slack.cards()
    assert same.ts == card.ts
    assert "is live" in str(same.blocks)
    assert stage.at.wrong(live=True) == []
    lines = [one.metadata["event_payload"]["last"] for one in stage.slack.thread(card.ts)]
    assert lines == sorted(set(lines))


@pytest.mark.parametrize("stage", [{"soak": 4}], indirect=True)
def test_time_that_runs_out(stage: Stage) -> None:
    """The work stops at a safe point within the reserve, and the next invocation goes on from there."""
    stage.at.held()
    stage.function.seconds = SHORT
    stage.slack.command(PROMOTER.id, "/promote").wait()
    stage.function.wait()
    (work,) = stage.function.work()
    assert (work.error, work.took < work.seconds) == (None, True)
    assert stage.at_work() == []
    assert [one.driver for one in stage.at.engine().status(SERVICE)] == [""]
    assert stage.events("interrupted") == 1
    assert stage.events("settled") == 0
    stage.function.minute(LONG)
    assert stage.events("settled") == 1
    assert stage.events("promoted") == 1
    assert stage.at.wrong(live=True) == []


def test_no_time_at_all(stage: Stage) -> None:
    """A function whose timeout is set too low acknowledges, orders and answers all the same; it only drives nothing."""
    stage.at.held()
    stage.function.seconds = 10
    assert stage.slack.command(PROMOTER.id, "/promote").wait().trouble == ""
    stage.whispered(PROMOTER.id, "Promoted web/production#1")
    stage.function.wait()
    assert stage.events("promoted") == 1
    assert stage.events("settled") == 0


def test_two_minutes_at_once(stage: Stage) -> None:
    """An invocation that lasts longer than a minute meets the next: one card, each line once, one driver."""
    stage.at.held()
    threads = [threading.Thread(target=stage.function.minute, args=(SHORT + 1,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (card,) = stage.slack.cards()
    lines = [one.metadata["event_payload"]["last"] for one in stage.slack.thread(card.ts)]
    assert lines == sorted(set(lines))
    assert [one.error for one in stage.function.invocations] == [None, None]
