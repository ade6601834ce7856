"""The bot as a whole: made from its settings, run until it is told to stop, drained.

Slack may be away when it starts, and at any time after: releases are driven all the same.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from slack_bolt import App, BoltResponse
from slack_bolt.adapter.socket_mode.internals import run_bolt_app, send_response
from slack_sdk import WebClient
from slack_sdk.errors import SlackClientError
from slack_sdk.socket_mode.builtin import SocketModeClient
from slack_sdk.socket_mode.client import BaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest

from bluegreen import Engine
from bot import app as slack_app
from bot.desk import Desk
from bot.drivers import Drivers
from bot.follower import Follower
from bot.metrics import Metrics
from bot.serving import Server
from bot.settings import Settings
from bot.slack import Slack

log = logging.getLogger("bot")

#: Seconds without a working socket, or without an answer from the journal, after which the bot is not well.
DEAF, BLIND = 20.0, 30.0
#: Slack's server pings each few seconds; a socket that heard nothing for so long is dead, whatever it says of itself.
SILENT = 60.0


class Socket:
    """Socket Mode: connected whenever Slack lets us, and honest about whether it hears."""

    def __init__(self, settings: Settings, app: App, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics
        self._client = SocketModeClient(
            app_token=settings.app_token,
            web_client=WebClient(base_url=settings.slack_api, timeout=5, retry_handlers=[]),
            logger=logging.getLogger("bot.socket"),
            ping_interval=5,
            concurrency=16,
        )
        self._client.socket_mode_request_listeners.append(self._take)
        self._heard = self._heard_envelope = time.monotonic()
        self._closing = threading.Event()
        self._client.on_message_listeners.append(lambda message: self._note())
        self._keeper = threading.Thread(target=self._keep_connected, name="socket", daemon=True)
        self._keeper.start()

    def deaf_for(self) -> float:
        """Seconds since the socket was last seen to work."""
        self._look()
        return time.monotonic() - self._heard

    def envelope_age(self) -> float:
        """Seconds since Slack last sent a request."""
        return time.monotonic() - self._heard_envelope

    def close(self) -> None:
        """Take no more requests; what was taken is acknowledged."""
        self._closing.set()
        self._client.close()
        self._keeper.join(5)

    def _keep_connected(self) -> None:
        """The client reconnects by itself once it was connected; until then, and when it is stuck, we do."""
        first = True
        while not self._closing.wait(0 if first else 5):
            first = False
            self._look()
            if self._closing.is_set() or (self._client.is_connected() and time.monotonic() - self._heard < DEAF):
                continue
            try:
                self._client.connect_to_new_endpoint(force=True)
            except (SlackClientError, OSError, ValueError) as error:
                log.info("no socket to Slack yet: %s", type(error).__name__)
            except Exception:
                log.exception("a mistake in connecting to Slack")

    def _look(self) -> None:
        session = self._client.current_session
        if session is None or not session.is_active():
            return
        pong = session.last_ping_pong_time
        if pong is None or time.time() - pong < SILENT:
            self._note()

    def _note(self) -> None:
        self._heard = time.monotonic()

    def _take(self, client: BaseSocketModeClient, request: SocketModeRequest) -> None:
        began = time.monotonic()
        self._heard_envelope = began
        answer: BoltResponse = run_bolt_app(self._app, request)
        send_response(client, request, answer, time.time())
        self._metrics.acknowledged.labels(request.type).observe(time.monotonic() - began)


class Bot:
    """Everything that works together; `run` returns when `stop` says so, with everything drained."""

    def __init__(self, settings: Settings, engine: Engine | None = None) -> None:
        self.settings = settings
        self.engine = engine or Engine(table=settings.table, region=settings.region)
        self.metrics = Metrics()
        self.slack = Slack(settings.bot_token, settings.slack_api, self.metrics)
        self.follower = Follower(self.engine, self.slack, self.metrics)
        self.drivers = Drivers(self.engine, self.metrics, self.follower.hear)
        self.follower.driven = self.drivers.drives
        self.desk = Desk(
            self.engine,
            self.slack,
            drive=self.drivers.kick,
            heard=self.follower.hear,
            github_token=settings.github_token,
            github_api=settings.github_api,
        )
        self._socket: Socket | None = None

    def run(self, stop: threading.Event) -> None:
        """Serve until then. ConfigError when the table cannot be used, OSError when the port is taken."""
        self.engine.ensure_table()
        lanes = slack_app.Lanes(log)
        app = slack_app.build(self.settings, self.slack, self.desk, lanes)
        server = self._serve(app)
        drained = threading.Event()
        followed, driven = self._work(self.follower.run, drained), self._work(self.drivers.run, stop)
        self._socket = Socket(self.settings, app, self.metrics) if self.settings.by_socket else None
        where = "by Socket Mode" if self._socket else "at /slack/events"
        port = f", port {server.port}" if server else ""
        log.info("ready: Slack %s%s, journal %s, as %s", where, port, self.engine.table, self.engine.holder)
        stop.wait()
        log.info("stopping: what is driven here ends at its next safe point, and another driver goes on")
        if self._socket:
            self._socket.close()
        lanes.close()
        self.drivers.drain()
        drained.set()  # the follower goes last: what the others did is told
        for thread in (driven, followed):
            thread.join(10)
        if server:
            server.close()
        log.info("stopped")

    def health(self) -> Mapping[str, Any]:
        """Whether the bot hears Slack and reaches its table, for /healthz."""
        blind = time.monotonic() - self.drivers.read_at
        found: dict[str, Any] = {"table": blind < BLIND, "table_read_seconds_ago": round(blind, 1)}
        if self._socket:
            deaf = self._socket.deaf_for()
            found |= {"socket": deaf < DEAF, "last_request_seconds_ago": round(self._socket.envelope_age(), 1)}
        well = all(found[name] for name in ("table", "socket") if name in found)
        return {"ok": well, **found, "follows": self.follower.follows}

    def _serve(self, app: App) -> Server | None:
        if self.settings.port is None:
            return None
        return Server(self.settings.port, self.health, self.metrics, None if self.settings.by_socket else app)

    @staticmethod
    def _work(run: Callable[[Callable[[], bool]], None], stop: threading.Event) -> threading.Thread:
        thread = threading.Thread(target=run, args=(stop.is_set,), name=run.__qualname__, daemon=True)
        thread.start()
        return thread
