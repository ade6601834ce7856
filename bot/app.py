"""Slack's requests: checked, acknowledged at once, and worked off in our own queues.

Bolt's pool has five threads for everything; with five slow requests in it, the next `/rollback` gets no
acknowledgement. So a listener only acknowledges, in the thread of the request, and puts its work into a queue. One
queue is for rollbacks alone, the other for the rest. Bolt's lazy listeners make this possible. On AWS Lambda, where no
thread outlives the answer, Bolt's runner invokes the function again instead.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from slack_bolt import Ack, App, BoltRequest, BoltResponse
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.lazy_listener import LazyListenerRunner
from slack_sdk import WebClient
from slack_sdk.signature import SignatureVerifier

from bot import messages
from bot.commands import COMMANDS, Commands, SlackRequest
from bot.settings import Settings
from bot.slack import Later, Lost, Refusal, Slack

log = logging.getLogger("bot.app")

#: Threads for rollbacks, and for everything else.
RESERVED, COMMON = 4, 8
_BUTTONS = (messages.PROMOTE, messages.HOLD, messages.ROLL_BACK, messages.AGAIN, messages.CHOOSE, messages.REFRESH)
_BUTTON = re.compile(rf"({'|'.join(_BUTTONS)})(:\d+)?")
_ROLLBACK = "/rollback"
_ELSEWHERE = "This bot serves another workspace, so it did nothing."
_UNSURE = "Slack does not show which workspace this bot serves, so it did nothing. Try again in a minute."


class Lanes(LazyListenerRunner):
    """The queues for the work of requests: rollbacks have their own threads."""

    def __init__(self, logger: logging.Logger) -> None:
        self.logger = logger
        self._reserved = ThreadPoolExecutor(RESERVED, "rollback")
        self._common = ThreadPoolExecutor(COMMON, "order")

    def start(self, function: Callable[..., None], request: BoltRequest) -> None:
        """Do it in its lane."""
        lane = self._reserved if is_rollback(request.body) else self._common
        lane.submit(self.run, function, request)

    def close(self) -> None:
        """Finish the current work; drop what waits, so its people have to ask again."""
        self._reserved.shutdown(wait=True, cancel_futures=False)
        self._common.shutdown(wait=True, cancel_futures=True)


def is_signed(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether Slack signed it recently; other clients may write any headers."""
    try:
        return SignatureVerifier(secret).is_valid_request(body, dict(headers))
    except (TypeError, ValueError):  # no number for a time, letters that no signature has
        return False


def read(secret: str, headers: Mapping[str, str], body: bytes, query: str = "") -> BoltRequest | int:
    """The request, or the HTTP status of a refusal.

    Bolt parses before it verifies: a malformed request would make it fail, with a long log.
    """
    if not is_signed(secret, headers, body):
        return 401
    try:
        return BoltRequest(
            body=body.decode(), headers={name.lower(): [text] for name, text in headers.items()}, query=query
        )
    except (ValueError, RecursionError) as error:
        log.warning("cannot read a request that Slack signed: %s", error)
        return 400


def is_rollback(body: Mapping[str, Any]) -> bool:
    """Whether a rollback is asked for: typed, pressed, or chosen among several."""
    if body.get("command") == _ROLLBACK:
        return True
    pressed = [(str(one.get("action_id")), str(one.get("value"))) for one in body.get("actions") or ()]
    return any(
        action in (messages.ROLL_BACK, messages.AGAIN) or (action.startswith(messages.CHOOSE) and _ROLLBACK in value)
        for action, value in pressed
    )


def build(settings: Settings, slack: Slack, commands: Commands, lanes: LazyListenerRunner | None = None) -> App:
    """The Bolt app, the same for Socket Mode, HTTP and Lambda; without `lanes` Bolt's own runner works."""
    # Without an `authorize` of ours, Bolt asks Slack who we are before each request that it has not seen the like of:
    # a rollback would wait for that.
    app = App(
        client=WebClient(base_url=settings.slack_api, timeout=5),
        signing_secret=settings.signing_secret,
        request_verification_enabled=not settings.by_socket,
        authorize=lambda team_id, enterprise_id: AuthorizeResult(
            enterprise_id=enterprise_id, team_id=team_id, bot_token=settings.bot_token
        ),
        process_before_response=True,
        logger=logging.getLogger("bot.bolt"),
    )
    if lanes is not None:
        app.listener_runner.lazy_listener_runner = lanes

    def only_ours(body: Mapping[str, Any], next: Callable[[], BoltResponse]) -> BoltResponse:  # noqa: A002 - Bolt's name
        return _only_ours(slack, body, next)

    def take(body: Mapping[str, Any]) -> None:
        commands.command(str(body["command"]), str(body.get("text") or ""), _asked(body, slack))

    def press(body: Mapping[str, Any]) -> None:
        action = body["actions"][0]
        commands.pressed(str(action["action_id"]), str(action.get("value") or ""), _asked(body, slack))

    def publish(body: Mapping[str, Any]) -> None:
        commands.publish_home(str(body["event"]["user"]))

    app.use(only_ours)
    for name in COMMANDS:
        app.command(name)(ack=_acknowledge, lazy=[take])
    app.action(_BUTTON)(ack=_acknowledge, lazy=[press])
    app.event("app_home_opened")(ack=_acknowledge, lazy=[publish])
    return app


def _acknowledge(ack: Ack) -> None:
    ack()


def _only_ours(slack: Slack, body: Mapping[str, Any], next_: Callable[[], BoltResponse]) -> BoltResponse:
    """Requests of people of our own workspace, by its id; a name of a team or of a person means nothing."""
    try:
        ours, _ = slack.identity
    except (Later, Lost, Refusal):
        return BoltResponse(status=200, body={"text": _UNSURE} if "command" in body else "")
    teams = {
        str(team)
        for team in (
            body.get("team_id"),
            (body.get("team") or {}).get("id"),
            (body.get("user") or {}).get("team_id") if isinstance(body.get("user"), Mapping) else None,
        )
        if team
    }
    if teams == {ours}:
        return next_()
    log.warning("refused a request from another workspace")
    return BoltResponse(status=200, body={"text": _ELSEWHERE} if "command" in body else "")


def _asked(body: Mapping[str, Any], slack: Slack) -> SlackRequest:
    """Who asks, by Slack's id, and how to answer them."""
    user = str(body.get("user_id") or (body.get("user") or {})["id"])
    channel = str(body.get("channel_id") or (body.get("channel") or {}).get("id") or "")
    url = str(body.get("response_url") or "")
    # A trigger is made anew for each thing that a person does, and is the same when Slack delivers it twice.
    request = f"slack/{body.get('team_id') or body['team']['id']}/{body['trigger_id']}"
    return SlackRequest(
        user,
        request,
        channel,
        lambda said: slack.answer(url, said) if url else _whisper(slack, user, said),
        at_home=(body.get("view") or {}).get("type") == "home",
    )


def _whisper(slack: Slack, user: str, said: Mapping[str, Any]) -> bool:
    """What has no response_url came from the Home: there the answer goes to the person's messages with the bot."""
    try:
        slack.call("chat.postMessage", about=user, channel=user, text=said["text"], blocks=said.get("blocks") or [])
    except (Later, Lost, Refusal) as error:
        log.warning("an answer to a person did not reach Slack: %s", error)
        return False
    return True
