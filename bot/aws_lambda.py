"""AWS Lambda: `bot.aws_lambda.handler`, for Slack's requests (a function URL) and for a schedule, once a minute.

The app and the commands are the same as elsewhere. The function verifies and acknowledges a request, then invokes
itself for the work (Bolt's lazy listeners; it needs `lambda:InvokeFunction` on itself). The scheduled invocation keeps
the cards and drives releases without a driver, as long as it may run. Then it stops at a safe point, and the next one
continues.
"""

from __future__ import annotations

import base64
import logging
import os
import threading
import time
from collections.abc import Mapping
from functools import cache
from typing import Any

from slack_bolt.adapter.aws_lambda import SlackRequestHandler

from bot import app, settings
from bot.service import Bot

#: Seconds before an invocation's end at which nothing new is begun: a call to AWS that hangs still ends.
RESERVE = 15.0


@cache
def _bot() -> tuple[Bot, SlackRequestHandler]:
    """Made once in each execution environment."""
    read = settings.read({"PORT": "0", **os.environ, "SLACK_APP_TOKEN": ""})
    logging.getLogger().setLevel(read.log_level)
    bot = Bot(read)
    return bot, SlackRequestHandler(app.build(read, bot.slack, bot.commands))


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer Slack, do the work of a request, or a minute's work of the schedule. `context`: Lambda's own."""
    bot, requests = _bot()
    ends = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - RESERVE
    if "requestContext" not in event:
        return _minute(bot, ends)
    if _is_post(event) and (refusal := _refusal(event, bot.settings.signing_secret)):
        return {"statusCode": refusal, "headers": {}, "body": ""}
    bot.drivers.resume()
    answer: dict[str, Any] = requests.handle(event, context)  # type: ignore[no-untyped-call]
    if _is_work(event):
        bot.drivers.wait(ends - time.monotonic())
        bot.drivers.drain()
    return answer


def _is_post(event: Mapping[str, Any]) -> bool:
    return bool(event["requestContext"].get("http", {}).get("method") == "POST")


def _refusal(event: Mapping[str, Any], secret: str) -> int | None:
    """The status for what is no request of Slack's."""
    body = str(event.get("body") or "").encode()
    try:
        body = base64.b64decode(body, validate=True) if event.get("isBase64Encoded") else body
    except ValueError:
        return 400
    headers = {str(name): str(text) for name, text in (event.get("headers") or {}).items()}
    read = app.read(secret, headers, body)
    return read if isinstance(read, int) else None


def _is_work(event: Mapping[str, Any]) -> bool:
    return "x-slack-bolt-lazy-only" in (event.get("headers") or {})


def _minute(bot: Bot, ends: float) -> dict[str, Any]:
    """Cards and drivers, until the invocation ends or nothing is left to do."""
    bot.engine.ensure_table()
    bot.drivers.resume()
    stop = threading.Event()
    cards = threading.Thread(target=bot.cards.run, args=(stop.is_set,), name="follower")
    cards.start()
    while time.monotonic() < ends:
        bot.drivers.scan()
        time.sleep(1.0)
        if not any(record.under_way for record in bot.engine.services()):
            break
    bot.drivers.drain()
    stop.set()
    cards.join()
    return {"ok": True}
