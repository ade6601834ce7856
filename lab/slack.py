"""A fake Slack: the Web API methods that a bot like ours calls, Socket Mode, and people who type and press.

It keeps what was posted as Slack would show it, judges every message (`lab.blocks`), and misbehaves on order: see
`fail`, `limit`, `down`, `slow`, `drop_sockets` and `deaf`. Facts are from docs.slack.dev (Web API methods, Socket Mode,
handling user interaction); what it does not know stands in `violations`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import itertools
import json
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode

import aiohttp
from aiohttp import web

from lab.balancer import Loop
from lab.blocks import problems_of_home, problems_of_message

Json = Any
HOST = "127.0.0.1"
#: Seconds within which Slack wants an acknowledgement; then the person sees an error.
PATIENCE = 3.0
#: How often a response_url may be used (docs.slack.dev, handling user interaction).
USES = 5
#: Scope that each method needs.
SCOPES = {
    "chat.postMessage": "chat:write",
    "chat.update": "chat:write",
    "chat.postEphemeral": "chat:write",
    "conversations.history": "channels:history",
    "conversations.replies": "channels:history",
    "usergroups.users.list": "usergroups:read",
}
Answer = dict[str, Json]


@dataclass(frozen=True)
class Person:
    """A member of the workspace."""

    id: str
    name: str
    role: str = ""
    team: str = "T0LAB"


@dataclass
class PostedMessage:
    """One message as the channel shows it."""

    ts: str
    channel: str
    user: str
    text: str
    blocks: list[Json] = field(default_factory=list)
    thread_ts: str | None = None
    broadcast: bool = False
    ephemeral: str | None = None
    edited: int = 0
    metadata: Json = None

    def buttons(self) -> Iterator[tuple[str, dict[str, Json]]]:
        """Every button with the id of its block."""
        for block in self.blocks:
            for one in [*block.get("elements", []), block.get("accessory") or {}]:
                if one.get("type") == "button":
                    yield block.get("block_id", ""), one

    def button(self, action: str) -> dict[str, Json]:
        """The first button whose action_id begins so."""
        return next(one for _, one in self.buttons() if one["action_id"].startswith(action))


@dataclass(frozen=True)
class Called:
    """One call of the Web API."""

    method: str
    arguments: Mapping[str, Json]
    at: float
    error: str


@dataclass
class Delivery:
    """Something a person did, on its way to the bot."""

    payload: dict[str, Json]
    kind: str
    began: float
    acknowledged: float | None = None
    answer: Json = None
    trouble: str = ""
    patience: float = PATIENCE
    done: threading.Event = field(default_factory=threading.Event)

    def wait(self, seconds: float | None = None) -> Self:
        """Wait until it was acknowledged, or given up."""
        self.done.wait(self.patience + 1 if seconds is None else seconds)
        return self

    @property
    def seconds(self) -> float:
        """How long the acknowledgement took; infinite without one."""
        return float("inf") if self.acknowledged is None else self.acknowledged - self.began


@dataclass
class MethodFailure:
    """How a method goes wrong, for so many times."""

    method: str
    error: str
    status: int
    retry_after: int
    times: float


PROMOTER = Person("U0PROMOTER", "promoter", "may promote, hold and freeze")
SECOND = Person("U0SECOND", "second promoter", "may promote, hold and freeze")
ON_CALL = Person("U0ONCALL", "on call", "may roll back and hold")
GUEST = Person("U0GUEST", "guest", "may do nothing")
PEOPLE = (PROMOTER, SECOND, ON_CALL, GUEST)


class FakeSlack:
    """One workspace with one app in it. `commands_url` makes it an app that is reached by HTTP."""

    def __init__(
        self,
        *,
        people: Iterable[Person] = PEOPLE,
        channels: Mapping[str, str] | None = None,
        scopes: Iterable[str] = frozenset(SCOPES.values()),
        port: int = 0,
        patience: float = PATIENCE,
    ) -> None:
        """Listen; `close` ends it. `patience`: seconds for an acknowledgement, for who tests on a busy machine."""
        self.team, self.app, self.bot = "T0LAB", "A0LAB", "U0BOT"
        self.bot_token, self.app_token = "xoxb-lab-0000000000", "xapp-lab-0000000000"
        self.signing_secret = "0123456789abcdef0123456789abcdef"  # noqa: S105 - of a fake Slack
        self.people = {one.id: one for one in people}
        self.channels = dict(channels or {"C0DEPLOYS": "deploys"})
        self.members = set(self.channels)
        self.groups: dict[str, set[str]] = {}
        self.scopes = set(scopes)
        self.messages: list[PostedMessage] = []
        self.homes: dict[str, list[Json]] = {}
        self.calls: list[Called] = []
        self.deliveries: list[Delivery] = []
        self.violations: list[str] = []
        self.request_url = ""
        self._patience = patience
        #: Told of each call, with "before" and "after": a test may end whoever made it.
        self.watch: Callable[[str, str], None] = lambda method, when: None
        self.revoked = False
        self._troubles: list[MethodFailure] = []
        self._limits: dict[str, tuple[int, float, deque[float]]] = {}
        self._down, self._deaf, self._slow = False, False, 0.0
        self._numbers = itertools.count(1)
        self._waiting: dict[str, Delivery] = {}
        self._responses: dict[str, tuple[dict[str, Json], int]] = {}
        self._sockets: list[web.WebSocketResponse] = []
        self._turn = itertools.count()
        self._last_ts = 0  # microseconds: a sum of floats may name two messages alike
        self._loop = Loop("slack")
        self._client: aiohttp.ClientSession
        self._runner: web.AppRunner
        self.port = self._loop.run(self._open(port))

    def __enter__(self) -> Self:
        """Use it as a context: it is closed at the end."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Stop listening."""
        self._loop.run(self._shut())
        self._loop.close()

    @property
    def url(self) -> str:
        """The Web API's address, as SLACK_API_URL."""
        return f"http://{HOST}:{self.port}/api/"

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a bot in Socket Mode."""
        tokens = {"SLACK_BOT_TOKEN": self.bot_token, "SLACK_APP_TOKEN": self.app_token}
        return {**tokens, "SLACK_API_URL": self.url}

    # --- what there is ---------------------------------------------------------------------------

    def cards(self, channel: str = "C0DEPLOYS") -> list[PostedMessage]:
        """What stands in the channel itself."""
        return [one for one in self.messages.copy() if one.channel == channel and not (one.thread_ts or one.ephemeral)]

    def thread(self, ts: str) -> list[PostedMessage]:
        """The replies to a message."""
        return [one for one in self.messages.copy() if one.thread_ts == ts and not one.ephemeral]

    def whispers(self, user: str) -> list[PostedMessage]:
        """What only that person sees."""
        return [one for one in self.messages.copy() if one.ephemeral == user]

    def connected(self) -> int:
        """How many sockets are open."""
        return len(self._sockets)

    def called(self, method: str) -> list[Called]:
        """The calls of one method."""
        return [one for one in self.calls.copy() if one.method == method]

    def delete(self, ts: str) -> None:
        """Somebody deletes a message."""
        self.messages = [one for one in self.messages if one.ts != ts]

    # --- what people do --------------------------------------------------------------------------

    def command(self, user: str, line: str, channel: str = "C0DEPLOYS", /, **changes: Json) -> Delivery:
        """Type a slash command; `changes` go over the payload."""
        name, _, text = line.partition(" ")
        payload = {
            "token": "verification",
            "team_id": self.team,
            "team_domain": "lab",
            "channel_id": channel,
            "channel_name": self.channels.get(channel, "elsewhere"),
            "user_id": user,
            "user_name": self._named(user),
            "command": name,
            "text": text,
            "api_app_id": self.app,
            "is_enterprise_install": "false",
            "trigger_id": self._trigger(),
        }
        payload |= {"response_url": self._response_url(channel, user, None), **changes}
        return self.deliver("slash_commands", payload)

    def say(self, user: str, text: str, channel: str = "C0DEPLOYS", *, alone: bool = False) -> None:
        """Write a message; `alone`: only its writer sees it, as one sees the command that one typed."""
        words = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        self._said({"channel": channel, "text": words}, user, ephemeral=user if alone else None)

    def press(self, user: str, ts: str, action: str, value: str | None = None, /, **changes: Json) -> Delivery:
        """Press a button of a message, confirmed; `action` is how its action_id begins."""
        message = next(one for one in self.messages.copy() if one.ts == ts)
        block, button = next(
            (block, one)
            for block, one in message.buttons()
            if one["action_id"].startswith(action) and (value is None or one.get("value") == value)
        )
        return self.pressed(user, message, block, button, **changes)

    def pressed(
        self, user: str, message: PostedMessage, block: str, button: Mapping[str, Json], /, **changes: Json
    ) -> Delivery:
        """Press a button that a message showed once; it may be gone by now."""
        person = {"id": user, "username": self._named(user), "name": self._named(user), "team_id": self._team(user)}
        shown = {"type": "message", "user": self.bot, "ts": message.ts, "text": message.text, "blocks": message.blocks}
        pressed = {**button, "block_id": block, "action_ts": f"{time.time():.6f}"}
        payload: dict[str, Json] = {
            "type": "block_actions",
            "user": person,
            "api_app_id": self.app,
            "token": "verification",
            "container": {
                "type": "message",
                "message_ts": message.ts,
                "channel_id": message.channel,
                "is_ephemeral": bool(message.ephemeral),
            },
            "trigger_id": self._trigger(),
            "team": {"id": self.team, "domain": "lab"},
            "enterprise": None,
            "is_enterprise_install": False,
            "channel": {"id": message.channel, "name": self.channels.get(message.channel, "elsewhere")},
            "message": shown,
            "state": {"values": {}},
            "response_url": self._response_url(message.channel, user, message),
            "actions": [pressed],
        }
        return self.deliver("interactive", {**payload, **changes})

    def press_at_home(self, user: str, action: str, value: str) -> Delivery:
        """Press a button of the app's Home."""
        payload = {
            "type": "block_actions",
            "user": {"id": user, "username": self._named(user), "team_id": self._team(user)},
            "api_app_id": self.app,
            "container": {"type": "view", "view_id": "V0HOME"},
            "trigger_id": self._trigger(),
            "team": {"id": self.team, "domain": "lab"},
            "view": {"id": "V0HOME", "type": "home", "blocks": self.homes.get(user, [])},
            "actions": [{"type": "button", "action_id": action, "block_id": "home", "value": value}],
        }
        return self.deliver("interactive", payload)

    def open_home(self, user: str, **changes: Json) -> Delivery:
        """Open the app's Home."""
        event = {
            "type": "app_home_opened",
            "user": user,
            "channel": "D0HOME",
            "tab": "home",
            "event_ts": f"{time.time()}",
        }
        payload = {
            "token": "verification",
            "team_id": self.team,
            "api_app_id": self.app,
            "event": event,
            "type": "event_callback",
            "event_id": f"Ev{next(self._numbers):08}",
            "event_time": int(time.time()),
        }
        return self.deliver("events_api", {**payload, **changes})

    def deliver(self, kind: str, payload: dict[str, Json]) -> Delivery:
        """Send a payload to the bot: by one of its sockets, or to its request URL."""
        delivery = Delivery(payload, kind, time.time(), patience=self._patience)
        self.deliveries.append(delivery)
        self._loop.begin(self._post(delivery) if self.request_url else self._envelope(delivery))
        return delivery

    def signed(self, body: str, at: float | None = None) -> dict[str, str]:
        """The headers of a request that Slack signs (docs.slack.dev, verifying requests from Slack)."""
        stamp = str(int(time.time() if at is None else at))
        mac = hmac.new(self.signing_secret.encode(), f"v0:{stamp}:{body}".encode(), hashlib.sha256)
        return {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": f"v0={mac.hexdigest()}"}

    @staticmethod
    def body_of(kind: str, payload: Mapping[str, Json]) -> tuple[str, str]:
        """A payload as Slack posts it, and its content type."""
        if kind == "events_api":
            return json.dumps(payload), "application/json"
        fields = payload if kind == "slash_commands" else {"payload": json.dumps(payload)}
        return urlencode(fields), "application/x-www-form-urlencoded"

    # --- bad days --------------------------------------------------------------------------------

    def fail(
        self, method: str, error: str = "", *, status: int = 200, retry_after: int = 0, times: float = float("inf")
    ) -> None:
        """Let a method ("*": every one) answer that error, or that status."""
        self._troubles.append(MethodFailure(method, error, status, retry_after, times))

    def limit(self, method: str, calls: int, seconds: float) -> None:
        """So many calls of a method in so many seconds; then 429, as Slack's tiers do."""
        self._limits[method] = (calls, seconds, deque())

    def down(self) -> None:
        """Nothing answers, and every socket is cut."""
        self._down = True
        self.drop_sockets()

    def deaf(self) -> None:
        """No socket can be opened, though the Web API answers."""
        self._deaf = True
        self.drop_sockets()

    def slow(self, seconds: float) -> None:
        """Answer only after so long."""
        self._slow = seconds

    def drop_sockets(self) -> None:
        """Cut every socket."""
        self._loop.run(self._cut())

    def well(self) -> None:
        """No more troubles."""
        self._troubles.clear()
        self._limits.clear()
        self._down = self._deaf = self.revoked = False
        self._slow = 0.0

    # --- the Web API -----------------------------------------------------------------------------

    async def _api(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        if self._down:
            return web.Response(status=503)
        if self._slow:
            await asyncio.sleep(self._slow)
        arguments = await _arguments(request)
        if limited := self._over_the_limit(method):
            return self._failed(method, arguments, MethodFailure(method, "ratelimited", 429, limited, 1))
        for trouble in self._troubles:
            if trouble.times > 0 and trouble.method in ("*", method):
                trouble.times -= 1
                return self._failed(method, arguments, trouble)
        self.watch(method, "before")
        answer = self._answer(method, arguments, request.headers.get("Authorization", "").removeprefix("Bearer "))
        self.watch(method, "after")
        self.calls.append(Called(method, arguments, time.time(), str(answer.get("error", ""))))
        return web.json_response(answer, headers={"X-OAuth-Scopes": ",".join(sorted(self.scopes))})

    def _failed(self, method: str, arguments: Mapping[str, Json], trouble: MethodFailure) -> web.Response:
        code = trouble.error or ("ratelimited" if trouble.status == 429 else str(trouble.status))
        self.calls.append(Called(method, arguments, time.time(), code))
        headers = {"Retry-After": str(trouble.retry_after)} if trouble.retry_after else {}
        if trouble.status >= 500:
            return web.Response(status=trouble.status, headers=headers, text="<html>trouble</html>")
        return web.json_response({"ok": False, "error": code}, status=trouble.status, headers=headers)

    def _over_the_limit(self, method: str) -> int:
        """Seconds to wait, 0 when the call may be made."""
        if method not in self._limits:
            return 0
        calls, seconds, made = self._limits[method]
        now = time.time()
        while made and made[0] <= now - seconds:
            made.popleft()
        if len(made) >= calls:
            return max(1, math.ceil(made[0] + seconds - now))
        made.append(now)
        return 0

    def _answer(self, method: str, arguments: Mapping[str, Json], token: str) -> Answer:
        known = self._methods().get(method)
        if known is None:
            self.violations.append(f"{method} is no method that is known here")
            return _error("unknown_method")
        wanted = self.app_token if method == "apps.connections.open" else self.bot_token
        if token != wanted or self.revoked:
            return _error("token_revoked" if self.revoked else "invalid_auth")
        scope = SCOPES.get(method)
        if scope and scope not in self.scopes:
            return {**_error("missing_scope"), "needed": scope, "provided": ",".join(sorted(self.scopes))}
        return known(arguments)

    def _methods(self) -> dict[str, Callable[[Mapping[str, Json]], Answer]]:
        return {
            "auth.test": self._auth_test,
            "apps.connections.open": self._open_connection,
            "chat.postMessage": self._post_message,
            "chat.update": self._update_message,
            "chat.postEphemeral": self._post_ephemeral,
            "conversations.history": self._history,
            "conversations.replies": self._replies,
            "usergroups.users.list": self._group_members,
            "views.publish": self._publish,
        }

    def _auth_test(self, arguments: Mapping[str, Json]) -> Answer:
        return {"ok": True, "url": "https://lab.slack.com/", "team": "lab", "user": "bluegreen", "team_id": self.team,
                "user_id": self.bot, "bot_id": "B0BOT", "is_enterprise_install": False}  # fmt: skip

    def _open_connection(self, arguments: Mapping[str, Json]) -> Answer:
        return {"ok": True, "url": f"ws://{HOST}:{self.port}/link/?ticket={next(self._numbers)}"}

    def _post_message(self, arguments: Mapping[str, Json]) -> Answer:
        if trouble := self._channel_trouble(arguments):
            return _error(trouble)
        self.violations += [f"chat.postMessage: {one}" for one in problems_of_message(arguments)]
        thread = arguments.get("thread_ts")
        broadcast = str(arguments.get("reply_broadcast", False)).lower() == "true"
        message = self._said(arguments, self.bot, thread_ts=thread, broadcast=broadcast)
        return {"ok": True, "channel": message.channel, "ts": message.ts, "message": _shown(message)}

    def _update_message(self, arguments: Mapping[str, Json]) -> Answer:
        if trouble := self._channel_trouble(arguments):
            return _error(trouble)
        self.violations += [f"chat.update: {one}" for one in problems_of_message(arguments)]
        named = (arguments.get("channel"), arguments.get("ts"))
        found = [one for one in self.messages if (one.channel, one.ts) == named and not one.ephemeral]
        if not found:
            return _error("message_not_found")
        message = found[0]
        # Without blocks the old ones go (docs.slack.dev, chat.update).
        message.text, message.blocks = str(arguments.get("text", "")), list(arguments.get("blocks") or [])
        message.edited += 1
        return {"ok": True, "channel": message.channel, "ts": message.ts, "text": message.text}

    def _post_ephemeral(self, arguments: Mapping[str, Json]) -> Answer:
        if trouble := self._channel_trouble(arguments):
            return _error(trouble)
        self.violations += [f"chat.postEphemeral: {one}" for one in problems_of_message(arguments)]
        message = self._said(arguments, self.bot, ephemeral=str(arguments["user"]))
        return {"ok": True, "message_ts": message.ts}

    def _history(self, arguments: Mapping[str, Json]) -> Answer:
        if trouble := self._channel_trouble(arguments):
            return _error(trouble)
        shown = [one for one in self.messages if one.channel == arguments["channel"] and not one.ephemeral]
        top = [one for one in reversed(shown) if not one.thread_ts or one.broadcast]
        return self._paged(top, arguments)

    def _replies(self, arguments: Mapping[str, Json]) -> Answer:
        if trouble := self._channel_trouble(arguments):
            return _error(trouble)
        ts = str(arguments.get("ts", ""))
        here = [one for one in self.messages if one.channel == arguments["channel"] and not one.ephemeral]
        found = [one for one in here if ts in (one.ts, one.thread_ts)]
        return self._paged(found, arguments) if found else _error("thread_not_found")

    def _paged(self, found: list[PostedMessage], arguments: Mapping[str, Json]) -> Answer:
        oldest = float(arguments.get("oldest") or 0)
        found = [one for one in found if float(one.ts) > oldest]
        size, start = int(arguments.get("limit") or 100), int(arguments.get("cursor") or 0)
        after = str(start + size) if start + size < len(found) else ""
        told = str(arguments.get("include_all_metadata", "")).lower() in ("true", "1")
        shown = [_shown(one, metadata=told) for one in found[start : start + size]]
        more = {"has_more": bool(after), "response_metadata": {"next_cursor": after}}
        return {"ok": True, "messages": shown, **more}

    def _group_members(self, arguments: Mapping[str, Json]) -> Answer:
        group = self.groups.get(str(arguments.get("usergroup")))
        return _error("no_such_subteam") if group is None else {"ok": True, "users": sorted(group)}

    def _publish(self, arguments: Mapping[str, Json]) -> Answer:
        view = arguments.get("view") or {}
        self.violations += [f"views.publish: {one}" for one in problems_of_home(view)]
        self.homes[str(arguments["user_id"])] = list(view.get("blocks", []))
        return {"ok": True, "view": {**view, "id": "V0HOME"}}

    def _channel_trouble(self, arguments: Mapping[str, Json]) -> str:
        channel = arguments.get("channel")
        if channel in self.people:  # a person's messages with the app
            return ""
        return (
            "channel_not_found" if channel not in self.channels else "" if channel in self.members else "not_in_channel"
        )

    def _said(self, arguments: Mapping[str, Json], user: str, **more: Json) -> PostedMessage:
        self._last_ts = max(time.time_ns() // 1000, self._last_ts + 1)
        message = PostedMessage(
            ts=f"{self._last_ts // 1_000_000}.{self._last_ts % 1_000_000:06d}",
            channel=str(arguments["channel"]),
            user=user,
            text=str(arguments.get("text", "")),
            blocks=list(arguments.get("blocks") or []),
            metadata=arguments.get("metadata"),
            **more,
        )
        self.messages.append(message)
        return message

    # --- response URLs ---------------------------------------------------------------------------

    def _response_url(self, channel: str, user: str, message: PostedMessage | None) -> str:
        ticket = f"{next(self._numbers)}"
        self._responses[ticket] = ({"channel": channel, "user": user, "message": message}, USES)
        return f"http://{HOST}:{self.port}/response/{ticket}"

    async def _response(self, request: web.Request) -> web.Response:
        if self._down:
            return web.Response(status=503)
        about, left = self._responses.get(request.match_info["ticket"], ({}, 0))
        if not left:
            return web.Response(status=404, text="used_url")
        self._responses[request.match_info["ticket"]] = (about, left - 1)
        self._respond(about, await request.json())
        return web.Response(text="ok")

    def _respond(self, about: Mapping[str, Json], body: Mapping[str, Json]) -> None:
        old: PostedMessage | None = about["message"]
        self.violations += [f"response: {one}" for one in problems_of_message(_without_ways(body))]
        if body.get("delete_original") and old is not None:
            self.delete(old.ts)
        elif body.get("replace_original") and old is not None:
            old.text, old.blocks, old.edited = str(body.get("text", "")), list(body.get("blocks") or []), old.edited + 1
        else:
            seen_by = None if body.get("response_type") == "in_channel" else str(about["user"])
            self._said({**body, "channel": about["channel"]}, self.bot, ephemeral=seen_by)

    # --- Socket Mode -----------------------------------------------------------------------------

    async def _link(self, request: web.Request) -> web.StreamResponse:
        if self._down or self._deaf:
            return web.Response(status=503)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        hello = {"type": "hello", "num_connections": len(self._sockets) + 1, "connection_info": {"app_id": self.app}}
        self._sockets.append(socket)
        try:
            await socket.send_json(hello)
            async for heard in socket:
                self._acknowledge(heard.json())
        finally:
            if socket in self._sockets:
                self._sockets.remove(socket)
        return socket

    def _acknowledge(self, said: Mapping[str, Json]) -> None:
        delivery = self._waiting.pop(str(said.get("envelope_id")), None)
        if delivery is None:
            self.violations.append(f"an acknowledgement of nothing, or a second one: {said}")
        else:
            self._taken(delivery, said.get("payload"))

    def _taken(self, delivery: Delivery, answer: Json) -> None:
        delivery.acknowledged, delivery.answer = time.time(), answer
        if answer and delivery.kind == "slash_commands":
            about = {"channel": delivery.payload["channel_id"], "user": delivery.payload["user_id"], "message": None}
            self._respond(about, answer)
        delivery.done.set()

    async def _envelope(self, delivery: Delivery) -> None:
        """To one of the sockets, each in turn; without any the person sees that the app did not respond."""
        if self._down or not self._sockets:
            delivery.trouble = "dispatch_failed"
            return delivery.done.set()
        envelope = f"envelope-{next(self._numbers)}"
        self._waiting[envelope] = delivery
        said = {"envelope_id": envelope, "type": delivery.kind, "payload": delivery.payload}
        socket = self._sockets[next(self._turn) % len(self._sockets)]
        with contextlib.suppress(OSError):  # it drops at this moment: then nobody acknowledges
            await socket.send_json({**said, "accepts_response_payload": delivery.kind == "slash_commands"})
        await asyncio.sleep(self._patience)
        if self._waiting.pop(envelope, None) is not None:
            delivery.trouble = "operation_timeout"
            delivery.done.set()
        return None

    async def _post(self, delivery: Delivery) -> None:
        body, kind = self.body_of(delivery.kind, delivery.payload)
        headers = {**self.signed(body), "Content-Type": kind}
        timeout = aiohttp.ClientTimeout(total=self._patience)
        try:
            async with self._client.post(self.request_url, data=body, headers=headers, timeout=timeout) as answer:
                text = await answer.text()
                if answer.status == 200:
                    said = json.loads(text) if "json" in answer.headers.get("Content-Type", "") else {"text": text}
                    return self._taken(delivery, said if text else None)
                delivery.trouble = f"dispatch_failed ({answer.status})"
        except TimeoutError:
            delivery.trouble = "operation_timeout"
        except (aiohttp.ClientError, OSError):
            delivery.trouble = "dispatch_failed"
        return delivery.done.set()

    async def _cut(self) -> None:
        for socket in self._sockets.copy():
            if socket._req is not None and socket._req.transport is not None:
                socket._req.transport.abort()  # no goodbye: that is how sockets drop
        self._sockets.clear()

    # --- inside ----------------------------------------------------------------------------------

    def _named(self, user: str) -> str:
        return self.people[user].name if user in self.people else "stranger"

    def _team(self, user: str) -> str:
        return self.people[user].team if user in self.people else self.team

    def _trigger(self) -> str:
        return f"{next(self._numbers)}.{next(self._numbers)}.lab"

    async def _open(self, port: int) -> int:
        app = web.Application(client_max_size=1_000_000)
        app.router.add_post("/api/{method}", self._api)
        app.router.add_get("/api/{method}", self._api)
        app.router.add_post("/response/{ticket}", self._response)
        app.router.add_get("/link/", self._link)
        self._client = aiohttp.ClientSession()
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, port).start()
        return int(self._runner.addresses[0][1])

    async def _shut(self) -> None:
        await self._cut()
        await self._client.close()
        await self._runner.cleanup()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()


async def _arguments(request: web.Request) -> dict[str, Json]:
    """What a method was called with, as JSON or as a form whose values may be JSON."""
    if request.content_type == "application/json":
        return dict(json.loads(await request.text() or "{}"))
    given = dict(parse_qsl(await request.text())) | dict(request.query)
    return {name: json.loads(value) if name in _JSON and value else value for name, value in given.items()}


#: Arguments that are JSON also where they come in a form.
_JSON = frozenset({"attachments", "blocks", "metadata", "view"})


def _error(code: str) -> Answer:
    return {"ok": False, "error": code}


def _shown(message: PostedMessage, *, metadata: bool = False) -> Answer:
    shown = {"type": "message", "user": message.user, "ts": message.ts, "text": message.text, "blocks": message.blocks}
    if message.thread_ts:
        shown |= {"thread_ts": message.thread_ts}
    if metadata and message.metadata:
        shown |= {"metadata": message.metadata}
    return shown


def _without_ways(body: Mapping[str, Json]) -> dict[str, Json]:
    """A response without the members that only say how it is to be shown."""
    return {key: value for key, value in body.items() if key != "replace_original"}
