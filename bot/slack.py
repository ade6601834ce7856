"""Calls to Slack's Web API, and its bad days: each failure becomes one of three things that callers tell apart.

    Later    the same call may succeed after `seconds` (429 with Retry-After, 5xx, timeouts, no connection)
    Lost     the subject of the call is gone (message_not_found)
    Refusal  Slack says no until a person changes something (not_in_channel, token_revoked, …)

An outage is logged once when it begins and once when it is over. Retries are the callers', who know what is still true.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from typing import Any
from urllib.error import URLError

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.webhook import WebhookClient

from bluegreen.errors import Untold
from bot.metrics import Counters

log = logging.getLogger("bot.slack")

#: Seconds until an answer is given up.
TIMEOUT = 5
#: Pauses between tries while Slack does not answer; each is twice the one before.
PAUSE, LONGEST_PAUSE = 1.0, 30.0
#: After a refusal a person has to do something; so long until we look whether they did.
REFUSED_PAUSE = 60.0
#: How often an answer to a person is tried again.
TRIES = 4

_LOST = frozenset({"message_not_found", "thread_not_found", "cant_update_message", "edit_window_closed"})
_REMEDIES: Mapping[str, str] = {
    "channel_not_found": "correct slack.channel in bluegreen.yml, or invite the bot to that private channel",
    "not_in_channel": "invite the bot to the channel: /invite @bluegreen",
    "is_archived": "unarchive the channel, or name another in bluegreen.yml",
    "missing_scope": "install the app again with the scopes of bot/manifest.yml",
    "token_revoked": "install the app again and give the bot its new SLACK_BOT_TOKEN",
    "invalid_auth": "give the bot a valid SLACK_BOT_TOKEN",
    "account_inactive": "install the app again and give the bot its new SLACK_BOT_TOKEN",
    "not_authed": "give the bot a valid SLACK_BOT_TOKEN",
}
#: Refusals that concern every call, not one channel.
GLOBAL = frozenset({"token_revoked", "invalid_auth", "account_inactive", "not_authed", "token_expired"})


class Later(Exception):
    """The same call may succeed after so many seconds."""

    def __init__(self, why: str, seconds: float, *, unclear: bool = False) -> None:
        super().__init__(why)
        self.seconds = seconds
        self.unclear = unclear  # whether Slack may have done it all the same


class Lost(Exception):
    """The message is gone, or may not be changed any more."""


class Refusal(Exception):
    """Slack says no; `code` is its error."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Slack:
    """The Web API with a bot's token. Any thread may call it."""

    def __init__(self, token: str, url: str, metrics: Counters) -> None:
        self._client = WebClient(token=token, base_url=url, timeout=TIMEOUT, retry_handlers=[])
        self._metrics = metrics
        self._lock = threading.Lock()
        self._not_before: dict[str, float] = {}  # by method; "" is all of them
        self._pause = PAUSE
        self._trouble = ""
        self._complained: set[str] = set()
        self._identity: tuple[str, str] | None = None

    @property
    def identity(self) -> tuple[str, str]:
        """The bot's workspace and its own user id; raises as `call` does until Slack has told it once."""
        if self._identity is None:
            said = self.call("auth.test")
            self._identity = (str(said["team_id"]), str(said["user_id"]))
        return self._identity

    def call(self, method: str, about: str = "", **arguments: Any) -> dict[str, Any]:
        """Call a method. `about` names in the log what it was for, such as a channel. Raises Later, Lost or Refusal."""
        self._wait_for_nobody(method)
        try:
            if method in ("conversations.history", "conversations.replies", "usergroups.users.list"):
                answer = self._client.api_call(method, http_verb="GET", params=arguments)
            else:
                answer = self._client.api_call(method, json=arguments)
        except SlackApiError as error:
            raise self._said_no(method, about, error) from None
        except (SlackClientError, OSError, URLError, ValueError) as error:
            raise self._unreachable(method, type(error).__name__) from None
        self._well()
        return dict(answer.data) if isinstance(answer.data, dict) else {}

    def _wait_for_nobody(self, method: str) -> None:
        """Slack asked us to wait: then it is not called at all until that is over."""
        with self._lock:
            until = max(self._not_before.get(method, 0.0), self._not_before.get("", 0.0))
        if (left := until - time.monotonic()) > 0:
            raise Later("Slack asked us to wait", left)

    def _said_no(self, method: str, about: str, error: SlackApiError) -> Exception:
        status = error.response.status_code
        said = error.response.data if isinstance(error.response.data, dict) else {}
        code = str(said.get("error") or f"status {status}")
        if status == 429 or code in ("ratelimited", "rate_limited"):
            return self._limited(method, error)
        if status >= 500 or code in ("internal_error", "fatal_error", "service_unavailable", "request_timeout"):
            return self._unreachable(method, code)
        self._metrics.failures.labels(method, code).inc()
        if code in _LOST:
            return Lost(code)
        self._complain(code, about or method)
        if code in GLOBAL:
            self._rest("", REFUSED_PAUSE)
        return Refusal(code)

    def _limited(self, method: str, error: SlackApiError) -> Later:
        self._metrics.limited.labels(method).inc()
        headers = {name.lower(): value for name, value in error.response.headers.items()}
        asked = str(headers.get("retry-after", "1"))
        seconds = float(asked) if asked.replace(".", "", 1).isdigit() else 1.0
        self._rest(method, seconds)
        return Later("rate limited", seconds)

    def _unreachable(self, method: str, why: str) -> Later:
        self._metrics.failures.labels(method, why).inc()
        with self._lock:
            seconds, self._pause = self._pause, min(2 * self._pause, LONGEST_PAUSE)
            first, self._trouble = not self._trouble, why
        if first:
            log.warning("Slack cannot be reached (%s): releases go on, and cards catch up when it answers", why)
        self._rest("", seconds)
        return Later(why, seconds, unclear=True)

    def _rest(self, method: str, seconds: float) -> None:
        with self._lock:
            self._not_before[method] = time.monotonic() + seconds

    def _well(self) -> None:
        with self._lock:
            over, self._trouble, self._pause = bool(self._trouble), "", PAUSE
        if over:
            log.warning("Slack answers again")

    def _complain(self, code: str, about: str) -> None:
        """Once for each thing that a person has to put right."""
        if f"{code} {about}" not in self._complained:
            self._complained.add(f"{code} {about}")
            log.error("Slack refuses (%s) for %s: %s", code, about, _REMEDIES.get(code, "see docs/slack.md"))

    def answer(self, url: str, body: Mapping[str, Any]) -> bool:
        """Answer a person by the URL that came with what they did; whether Slack took it.

        A URL takes five answers within 30 minutes (docs.slack.dev, handling user interaction).
        """
        for attempt in range(TRIES):
            try:
                sent = WebhookClient(url, timeout=TIMEOUT, retry_handlers=[]).send_dict(dict(body))
            except (SlackClientError, OSError, ValueError):
                status = 0
            else:
                status = sent.status_code
            if status == 200:
                return True
            if 400 <= status < 500 and status != 429:
                break
            if attempt < TRIES - 1:
                time.sleep(PAUSE * 2**attempt)
        log.warning("an answer to a person did not reach Slack")
        return False


class UserGroups:
    """Who is in which user group, asked of Slack and remembered for half a minute."""

    REMEMBERED = 30.0

    def __init__(self, slack: Slack) -> None:
        self._slack = slack
        self._known: dict[str, tuple[float, frozenset[str]]] = {}

    def member(self, user: str, group: str) -> bool:
        """Whether the user is in the group; Untold when Slack does not say now, even if it did before (S12)."""
        asked, members = self._known.get(group, (-self.REMEMBERED, frozenset()))
        if time.monotonic() - asked > self.REMEMBERED:
            try:
                said = self._slack.call("usergroups.users.list", about=f"the user group {group}", usergroup=group)
            except (Later, Lost, Refusal) as error:
                raise Untold(f"Slack does not show who is in {group} ({error})") from None
            members = frozenset(str(one) for one in said.get("users", []))
            self._known[group] = (time.monotonic(), members)
        return user in members
