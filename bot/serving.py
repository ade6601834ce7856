"""HTTP: Slack's requests, /healthz and /metrics."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiohttp import web
from slack_bolt import App, BoltRequest

from bot.metrics import Metrics

#: Bytes of a request; Slack's own are far smaller.
LARGEST = 1_000_000
#: Threads that check and acknowledge requests: milliseconds each.
TAKERS = 16

Health = Callable[[], Mapping[str, Any]]


class Server:
    """Serves in a thread of its own. `app` None: no requests of Slack, as in Socket Mode."""

    def __init__(self, port: int, health: Health, metrics: Metrics, app: App | None) -> None:
        self._health, self._metrics, self._app = health, metrics, app
        self._takers = ThreadPoolExecutor(TAKERS, "slack")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="http", daemon=True)
        self._thread.start()
        try:
            self._runner = asyncio.run_coroutine_threadsafe(self._open(port), self._loop).result()
        except OSError:
            self._end()
            raise
        self.port: int = self._runner.addresses[0][1]

    def close(self) -> None:
        """Answer what is in flight, and take no more."""
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result()
        self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._takers.shutdown(wait=False)

    async def _open(self, port: int) -> web.AppRunner:
        site = web.Application(client_max_size=LARGEST)
        site.router.add_get("/healthz", self._healthz)
        site.router.add_get("/metrics", self._numbers)
        if self._app is not None:
            site.router.add_post("/slack/events", self._take)
        runner = web.AppRunner(site, access_log=None, shutdown_timeout=3.0)
        await runner.setup()
        await web.TCPSite(runner, "0.0.0.0", port).start()  # noqa: S104 - Slack and whoever watches the bot come from outside
        return runner

    async def _healthz(self, request: web.Request) -> web.Response:
        health = self._health()
        return web.json_response(dict(health), status=200 if health["ok"] else 503)

    async def _numbers(self, request: web.Request) -> web.Response:
        return web.Response(body=self._metrics.page(), headers={"Content-Type": "text/plain; version=0.0.4"})

    async def _take(self, request: web.Request) -> web.Response:
        began = time.monotonic()
        try:
            body = (await request.read()).decode()
        except UnicodeDecodeError:
            return web.Response(status=400)
        headers: dict[str, str | Sequence[str]] = {name.lower(): [text] for name, text in request.headers.items()}
        asked = BoltRequest(body=body, headers=headers, query=request.query_string)
        assert self._app is not None
        answer = await asyncio.get_running_loop().run_in_executor(self._takers, self._app.dispatch, asked)
        self._metrics.acknowledged.labels("http").observe(time.monotonic() - began)
        shown = {name: value for name, value in answer.first_headers().items() if name.lower() != "content-length"}
        return web.Response(status=answer.status, body=(answer.body or "").encode(), headers=shown)
