"""Socket Mode: connected whenever Slack lets us, and honest about whether it hears.

The client of slack_sdk reconnects by itself, but not out of everything: it may go on trying an address that Slack gave
for one use. So a client that has not been connected for a while is thrown away, and a new one asks for a new address.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from slack_bolt import App, BoltResponse
from slack_bolt.adapter.socket_mode.async_internals import send_async_response
from slack_bolt.adapter.socket_mode.internals import run_bolt_app
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.web.async_client import AsyncWebClient

from bot.metrics import Counters

log = logging.getLogger("bot.socket")

#: Seconds between pings; a dropped socket is noticed within two of them, a silent one within four.
PING = 2.0
#: Seconds for one try to connect, and the pause before the next.
CONNECT, PAUSE = 8.0, 2.0
#: A client that is not connected for so long is replaced.
PATIENCE = 10.0
#: Threads that check and acknowledge requests: milliseconds each.
TAKERS = 16


class Socket:
    """Takes requests by Socket Mode, in a thread of its own, until it is closed."""

    def __init__(self, app_token: str, url: str, app: App, metrics: Counters) -> None:
        self._token, self._url, self._app, self._metrics = app_token, url, app, metrics
        self._connected_at = self._asked_at = time.monotonic()
        self._closing = threading.Event()
        self._takers = ThreadPoolExecutor(TAKERS, "slack")
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="socket", daemon=True)
        self._thread.start()

    def deaf_for(self) -> float:
        """Seconds since the socket was last seen to work."""
        return time.monotonic() - self._connected_at

    def request_age(self) -> float:
        """Seconds since Slack last sent a request."""
        return time.monotonic() - self._asked_at

    def close(self, seconds: float = 5.0) -> None:
        """Take no more requests; what was taken is acknowledged."""
        self._closing.set()
        self._thread.join(seconds)
        self._takers.shutdown(wait=False)

    async def _run(self) -> None:
        while not self._closing.is_set():
            client = SocketModeClient(
                app_token=self._token,
                web_client=AsyncWebClient(base_url=self._url, timeout=5),
                logger=log,
                ping_interval=PING,
            )
            client.socket_mode_request_listeners.append(self._take)
            try:
                await asyncio.wait_for(client.connect_to_new_endpoint(force=True), CONNECT)
                await self._stay(client)
            except Exception as error:
                log.info("no socket to Slack yet: %s", type(error).__name__)
                await asyncio.sleep(0 if self._closing.is_set() else PAUSE)
            finally:
                with suppress(Exception):  # whatever it says about its end, it is not used any more
                    await asyncio.wait_for(client.close(), 2)  # type: ignore[no-untyped-call]

    async def _stay(self, client: SocketModeClient) -> None:
        """Until it is closed, or the client has lost its way."""
        last = time.monotonic()
        while not self._closing.is_set() and time.monotonic() - last < PATIENCE:
            if await client.is_connected():
                self._connected_at = last = time.monotonic()
            await asyncio.sleep(0.2)

    async def _take(self, client: AsyncBaseSocketModeClient, request: SocketModeRequest) -> None:
        began = self._asked_at = time.monotonic()
        loop = asyncio.get_running_loop()
        answer: BoltResponse = await loop.run_in_executor(self._takers, run_bolt_app, self._app, request)
        await send_async_response(client, request, answer, time.time())
        self._metrics.acknowledged.labels(request.type).observe(time.monotonic() - began)
