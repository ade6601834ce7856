"""The complete bot: made from its settings, run until a stop, drained.

Slack may be away at its start and later: the bot drives releases anyway.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from slack_bolt import App

from bluegreen.engine import Engine
from bot import app as slack_app
from bot.cards import Cards
from bot.commands import Commands
from bot.drivers import Drivers
from bot.metrics import Counters
from bot.serving import HttpServer
from bot.settings import Settings
from bot.slack import Slack
from bot.socket import Socket

log = logging.getLogger("bot")

#: Seconds without a working socket, or without an answer from the journal, after which the bot is not well.
DEAF, BLIND = 20.0, 30.0


class Bot:
    """Everything that works together; `run` returns when `stop` says so, with everything drained."""

    def __init__(self, settings: Settings, engine: Engine | None = None) -> None:
        self.settings = settings
        self.engine = engine or Engine(table=settings.table, region=settings.region)
        self.metrics = Counters()
        self.slack = Slack(settings.bot_token, settings.slack_api, self.metrics)
        self.cards = Cards(self.engine, self.slack, self.metrics)
        self.drivers = Drivers(self.engine, self.metrics, self.cards.hear)
        self.cards.driven = self.drivers.drives
        self.commands = Commands(
            self.engine,
            self.slack,
            drive=self.drivers.kick,
            heard=self.cards.hear_at_once,
            github_token=settings.github_token,
            github_api=settings.github_api,
            metrics=self.metrics,
        )
        self._socket: Socket | None = None

    def run(self, stop: threading.Event) -> None:
        """Serve until then. ConfigError when the table cannot be used, OSError when the port is taken."""
        self.engine.ensure_table()
        lanes = slack_app.Lanes(log)
        app = slack_app.build(self.settings, self.slack, self.commands, lanes)
        server = self._serve(app)
        drained = threading.Event()
        followed, driven = self._work(self.cards.run, drained), self._work(self.drivers.run, stop)
        self._socket = self._listen(app)
        where = "by Socket Mode" if self._socket else "at /slack/events"
        port = f", port {server.port}" if server else ""
        log.info("ready: Slack %s%s, journal %s, as %s", where, port, self.engine.table, self.engine.holder)
        stop.wait()
        log.info("stopping: releases stop at their next safe point, and another driver continues")
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
        """Whether the bot hears Slack, reaches its table and keeps every card going, for /healthz."""
        blind = time.monotonic() - self.drivers.read_at
        found: dict[str, Any] = {"table": blind < BLIND, "table_read_seconds_ago": round(blind, 1)}
        if self._socket:
            deaf = self._socket.deaf_for()
            found |= {"socket": deaf < DEAF, "last_request_seconds_ago": round(self._socket.request_age(), 1)}
        still = list(self.cards.standing_still())
        well = all(found[name] for name in ("table", "socket") if name in found) and not still
        return {"ok": well, **found, "follows": self.cards.follows, "cards_that_stand_still": still}

    def _listen(self, app: App) -> Socket | None:
        if not self.settings.by_socket:
            return None
        return Socket(self.settings.app_token, self.settings.slack_api, app, self.metrics)

    def _serve(self, app: App) -> HttpServer | None:
        if self.settings.port is None:
            return None
        served = None if self.settings.by_socket else app
        return HttpServer(self.settings.port, self.health, self.metrics, served, self.settings.signing_secret)

    @staticmethod
    def _work(run: Callable[[Callable[[], bool]], None], stop: threading.Event) -> threading.Thread:
        thread = threading.Thread(target=run, args=(stop.is_set,), name=run.__qualname__, daemon=True)
        thread.start()
        return thread
