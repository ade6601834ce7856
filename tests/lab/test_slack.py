"""The lab's Slack, as Slack's own library sees it: all tests of the bot rest on what it keeps, refuses and forgets."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.error import URLError
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler
from slack_sdk.signature import SignatureVerifier
from slack_sdk.socket_mode.builtin import SocketModeClient
from slack_sdk.socket_mode.client import BaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.webhook import WebhookClient

from lab.slack import GUEST, ON_CALL, PATIENCE, PROMOTER, SCOPES, USES, Delivery, FakeSlack, Person, PostedMessage
from tests.worlds.waiting import eventually

CHANNEL, ELSEWHERE = "C0DEPLOYS", "C0ELSEWHERE"
Call = Callable[[WebClient], Any]
Json = dict[str, Any]
OLD = "1000000000.000001"

#: Each method as the library calls it, so that it succeeds where nothing is wrong.
METHODS: dict[str, Call] = {
    "auth.test": lambda client: client.auth_test(),
    "chat.postMessage": lambda client: client.chat_postMessage(channel=CHANNEL, text="x"),
    "chat.postEphemeral": lambda client: client.chat_postEphemeral(channel=CHANNEL, user=GUEST.id, text="x"),
    "chat.update": lambda client: client.chat_update(channel=CHANNEL, ts=post(client), text="x"),
    "conversations.history": lambda client: client.conversations_history(channel=CHANNEL),
    "conversations.replies": lambda client: client.conversations_replies(channel=CHANNEL, ts=post(client)),
    "usergroups.users.list": lambda client: client.usergroups_users_list(usergroup="S0GROUP"),
    "views.publish": lambda client: client.views_publish(user_id=GUEST.id, view=home()),
}
IN_CHANNELS: dict[str, Callable[[WebClient, str], Any]] = {
    "chat.postMessage": lambda client, channel: client.chat_postMessage(channel=channel, text="x"),
    "chat.postEphemeral": lambda client, channel: client.chat_postEphemeral(channel=channel, user="U", text="x"),
    "chat.update": lambda client, channel: client.chat_update(channel=channel, ts=OLD, text="x"),
    "conversations.history": lambda client, channel: client.conversations_history(channel=channel),
    "conversations.replies": lambda client, channel: client.conversations_replies(channel=channel, ts=OLD),
}


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    """A workspace with two channels; the app is in one of them."""
    with FakeSlack(channels={CHANNEL: "deploys", ELSEWHERE: "elsewhere"}) as made:
        made.members = {CHANNEL}
        made.groups = {"S0GROUP": {PROMOTER.id, GUEST.id}}
        yield made


@pytest.fixture
def client(slack: FakeSlack) -> WebClient:
    """Slack's library with the bot's token; it tries nothing twice."""
    return web(slack)


def web(slack: FakeSlack, token: str = "", **more: Any) -> WebClient:
    """Slack's library with a token."""
    return WebClient(token or slack.bot_token, base_url=slack.url, **{"timeout": 5, "retry_handlers": [], **more})


def post(client: WebClient, text: str = "x", **more: Any) -> str:
    """Post a message; its ts."""
    return str(client.chat_postMessage(channel=CHANNEL, text=text, **more)["ts"])


def section(text: str) -> Json:
    """A section."""
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def buttons(*actions: str) -> Json:
    """A block with a button for each, whose value is its action again."""
    made = [{"type": "button", "action_id": a, "value": f"of {a}", "text": plain(a)} for a in actions]
    return {"type": "actions", "block_id": "orders", "elements": made}


def plain(text: str) -> Json:
    """A plain text object."""
    return {"type": "plain_text", "text": text}


def home(*blocks: Json) -> Json:
    """A Home with these blocks."""
    return {"type": "home", "blocks": list(blocks) or [section("x")]}


def refused(call: Callable[[], Any]) -> SlackApiError:
    """How the library says that Slack said no."""
    with pytest.raises(SlackApiError) as caught:
        call()
    return caught.value


def code(call: Callable[[], Any]) -> str:
    """Slack's error."""
    return str(refused(call).response["error"])


def texts(messages: list[PostedMessage]) -> list[str]:
    """What they say."""
    return [one.text for one in messages]


# --- messages ----------------------------------------------------------------------------------------------


def test_a_message_is_posted(slack: FakeSlack, client: WebClient) -> None:
    """It stands in its channel as it was sent, by the bot, and its ts is the message's name."""
    said = client.chat_postMessage(channel=CHANNEL, text="hello & <you>", blocks=[section("*hello*")])
    (card,) = slack.cards(CHANNEL)
    assert (said["ok"], said["channel"], said["ts"]) == (True, CHANNEL, card.ts)
    assert (card.text, card.blocks, card.user, card.edited) == ("hello & <you>", [section("*hello*")], slack.bot, 0)
    assert said["message"]["text"] == "hello & <you>"
    assert slack.cards(ELSEWHERE) == []
    assert slack.violations == []


def test_every_message_has_its_own_ts(slack: FakeSlack, client: WebClient) -> None:
    """In the order of posting, also when the clock was set back in between."""
    found = [post(client) for _ in range(3)]
    slack._last_ts = time.time_ns() // 1000 + 5_000_000
    found += [post(client) for _ in range(3)]
    assert len(set(found)) == 6
    assert found == sorted(found, key=float)
    assert all(abs(float(ts) - time.time()) < 60 for ts in found)


def test_an_update_replaces_the_whole_message(slack: FakeSlack, client: WebClient) -> None:
    """Without blocks the old ones are gone; the message stays the same one."""
    ts = post(client, "one", blocks=[section("one")])
    client.chat_update(channel=CHANNEL, ts=ts, text="two", blocks=[section("two")])
    (card,) = slack.cards()
    assert (card.ts, card.text, card.blocks, card.edited) == (ts, "two", [section("two")], 1)
    said = client.chat_update(channel=CHANNEL, ts=ts, text="three")
    assert (card.ts, card.text, card.blocks, card.edited) == (ts, "three", [], 2)
    assert (said["ts"], said["text"]) == (ts, "three")


def test_what_is_not_there_cannot_be_updated(slack: FakeSlack, client: WebClient) -> None:
    """Never posted, deleted by somebody, or seen by one person only."""
    deleted, kept = post(client, "deleted"), post(client, "kept")
    slack.delete(deleted)
    alone = client.chat_postEphemeral(channel=CHANNEL, user=GUEST.id, text="alone")["message_ts"]
    for ts in (OLD, deleted, alone):
        assert code(partial(client.chat_update, channel=CHANNEL, ts=ts, text="new")) == "message_not_found"
    assert client.chat_update(channel=CHANNEL, ts=kept, text="new")["ok"]
    assert texts(slack.messages) == ["new", "alone"]


def test_a_ts_means_something_in_its_channel_only(slack: FakeSlack, client: WebClient) -> None:
    """A message is named by channel and ts."""
    slack.members.add(ELSEWHERE)
    ts = post(client)
    assert code(lambda: client.chat_update(channel=ELSEWHERE, ts=ts, text="new")) == "message_not_found"


def test_a_thread_is_in_its_channel_only(slack: FakeSlack, client: WebClient) -> None:
    """As above, for reading."""
    slack.members.add(ELSEWHERE)
    ts = post(client)
    assert code(lambda: client.conversations_replies(channel=ELSEWHERE, ts=ts)) == "thread_not_found"


def test_an_ephemeral_message_is_for_one(slack: FakeSlack, client: WebClient) -> None:
    """Nobody else sees it, and no history knows of it."""
    ts = post(client)
    client.chat_postEphemeral(channel=CHANNEL, user=GUEST.id, text="for you", blocks=[section("for you")])
    (whisper,) = slack.whispers(GUEST.id)
    assert (whisper.text, whisper.blocks) == ("for you", [section("for you")])
    assert slack.whispers(PROMOTER.id) == []
    assert texts(slack.cards()) == ["x"]
    assert len(client.conversations_history(channel=CHANNEL)["messages"]) == 1
    assert len(client.conversations_replies(channel=CHANNEL, ts=ts)["messages"]) == 1


def test_a_thread_is_not_in_the_channel(slack: FakeSlack, client: WebClient) -> None:
    """Unless a reply is broadcast: then both show it."""
    ts, other = post(client, "card"), post(client, "other")
    post(client, "line", thread_ts=ts)
    post(client, "loud", thread_ts=ts, reply_broadcast=True)
    post(client, "quiet", thread_ts=ts, reply_broadcast=False)
    assert texts(slack.cards()) == ["card", "other"]
    assert texts(slack.thread(ts)) == ["line", "loud", "quiet"]
    assert [one.broadcast for one in slack.thread(ts)] == [False, True, False]
    assert slack.thread(other) == []
    shown = client.conversations_history(channel=CHANNEL)["messages"]
    assert [one["text"] for one in shown] == ["loud", "other", "card"]
    replies = client.conversations_replies(channel=CHANNEL, ts=ts)["messages"]
    assert [one["text"] for one in replies] == ["card", "line", "loud", "quiet"]
    assert [one.get("thread_ts") for one in replies] == [None, ts, ts, ts]


# --- reading -----------------------------------------------------------------------------------------------

_METADATA = {"event_type": "bluegreen_card", "event_payload": {"release": "web/production#42", "last": 7}}


@pytest.mark.parametrize(("limit", "pages"), [(1, [1] * 5), (2, [2, 2, 1]), (5, [5]), (200, [5])])
def test_history_comes_in_pages(slack: FakeSlack, client: WebClient, limit: int, pages: list[int]) -> None:
    """The newest first; the library follows the cursor until there is none."""
    posted = [post(client, f"{n}") for n in range(5)]
    found = [page["messages"] for page in client.conversations_history(channel=CHANNEL, limit=limit)]
    assert [len(page) for page in found] == pages
    assert [one["ts"] for page in found for one in page] == posted[::-1]
    first = client.conversations_history(channel=CHANNEL, limit=limit)
    assert first["has_more"] is (len(pages) > 1)


def test_replies_come_in_pages(slack: FakeSlack, client: WebClient) -> None:
    """The oldest first, the card before its lines."""
    ts = post(client, "card")
    posted = [ts, *(post(client, f"{n}", thread_ts=ts) for n in range(4))]
    found = [page["messages"] for page in client.conversations_replies(channel=CHANNEL, ts=ts, limit=2)]
    assert [len(page) for page in found] == [2, 2, 1]
    assert [one["ts"] for page in found for one in page] == posted


def test_nothing_begins_before_oldest(slack: FakeSlack, client: WebClient) -> None:
    """In history and in threads, also in pages."""
    posted = [post(client, f"{n}") for n in range(4)]
    oldest = f"{float(posted[1]) + 0.0000005:.7f}"
    pages = [page["messages"] for page in client.conversations_history(channel=CHANNEL, oldest=oldest, limit=1)]
    assert [one["ts"] for page in pages for one in page] == [posted[3], posted[2]]
    lines = [post(client, f"{n}", thread_ts=posted[0]) for n in range(2)]
    found = client.conversations_replies(channel=CHANNEL, ts=posted[0], oldest=oldest)["messages"]
    assert [one["ts"] for one in found] == lines


def test_oldest_itself_is_left_out(slack: FakeSlack, client: WebClient) -> None:
    """docs.slack.dev, conversations.history: only messages after this time."""
    posted = [post(client) for _ in range(2)]
    found = client.conversations_history(channel=CHANNEL, oldest=posted[0])["messages"]
    assert [one["ts"] for one in found] == [posted[1]]


@pytest.mark.parametrize(("asked", "told"), [({}, False), ({"include_all_metadata": True}, True)])
def test_metadata_is_told_to_who_asks(slack: FakeSlack, client: WebClient, asked: Json, *, told: bool) -> None:
    """It is how a bot finds its own messages again."""
    ts = post(client, metadata=_METADATA)
    post(client, thread_ts=ts, metadata=_METADATA)
    pages = [
        client.conversations_history(channel=CHANNEL, **asked),
        client.conversations_replies(channel=CHANNEL, ts=ts, **asked),
    ]
    found = [one.get("metadata") for page in pages for one in page["messages"]]
    assert found == [_METADATA if told else None] * 3


def test_a_message_without_metadata_has_none(slack: FakeSlack, client: WebClient) -> None:
    """Asked for or not."""
    post(client)
    assert "metadata" not in client.conversations_history(channel=CHANNEL, include_all_metadata=True)["messages"][0]


def test_a_thread_that_is_not_there(slack: FakeSlack, client: WebClient) -> None:
    """Slack's own error."""
    assert code(lambda: client.conversations_replies(channel=CHANNEL, ts=OLD)) == "thread_not_found"


def test_members_of_a_user_group(slack: FakeSlack, client: WebClient) -> None:
    """Those who are in it now; no such group is an error."""
    assert client.usergroups_users_list(usergroup="S0GROUP")["users"] == [GUEST.id, PROMOTER.id]
    slack.groups["S0GROUP"].clear()
    assert client.usergroups_users_list(usergroup="S0GROUP")["users"] == []
    assert code(lambda: client.usergroups_users_list(usergroup="S0OTHER")) == "no_such_subteam"


def test_who_the_token_is(slack: FakeSlack, client: WebClient) -> None:
    """The workspace and the bot's own user."""
    said = client.auth_test()
    assert (said["team_id"], said["user_id"]) == (slack.team, slack.bot)


def test_a_home_is_published(slack: FakeSlack, client: WebClient) -> None:
    """For one person; the next replaces it."""
    client.views_publish(user_id=GUEST.id, view=home(section("one")))
    client.views_publish(user_id=PROMOTER.id, view=home(section("other")))
    client.views_publish(user_id=GUEST.id, view=home(section("two")))
    assert slack.homes == {GUEST.id: [section("two")], PROMOTER.id: [section("other")]}
    assert slack.violations == []


# --- what Slack refuses ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", IN_CHANNELS)
@pytest.mark.parametrize(("channel", "error"), [("C0NOWHERE", "channel_not_found"), (ELSEWHERE, "not_in_channel")])
def test_a_channel_that_is_not_ours(slack: FakeSlack, client: WebClient, method: str, channel: str, error: str) -> None:
    """Every method that names a channel; nothing is posted."""
    assert code(lambda: IN_CHANNELS[method](client, channel)) == error
    assert slack.messages == []
    assert [(one.method, one.error) for one in slack.calls] == [(method, error)]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_works_where_nothing_is_wrong(slack: FakeSlack, client: WebClient, method: str) -> None:
    """Or the refusals below would prove nothing; every call is remembered."""
    assert METHODS[method](client)["ok"] is True
    assert (slack.calls[-1].method, slack.calls[-1].error) == (method, "")
    assert len(slack.called(method)) == 1
    assert slack.violations == []


@pytest.mark.parametrize("method", METHODS)
def test_a_token_that_is_none(slack: FakeSlack, method: str) -> None:
    """Somebody else's, the app's in place of the bot's, or none at all."""
    ts = post(web(slack))
    asked: dict[str, Call] = {
        **METHODS,
        "chat.update": lambda client: client.chat_update(channel=CHANNEL, ts=ts, text="new"),
        "conversations.replies": lambda client: client.conversations_replies(channel=CHANNEL, ts=ts),
    }
    for token in ("xoxb-other", slack.app_token, slack.bot_token[:-1]):
        assert code(partial(asked[method], web(slack, token))) == "invalid_auth"
    assert texts(slack.messages) == ["x"]
    assert slack.homes == {}


@pytest.mark.parametrize("method", METHODS)
def test_a_revoked_token(slack: FakeSlack, client: WebClient, method: str) -> None:
    """Until somebody installs the app again."""
    slack.revoked = True
    assert code(lambda: METHODS[method](client)) == "token_revoked"
    slack.well()
    assert METHODS[method](client)["ok"]


@pytest.mark.parametrize("method", SCOPES)
def test_a_missing_scope(method: str) -> None:
    """Slack says which is needed and which there are; without the others it does not matter."""
    with FakeSlack(scopes={"commands"}) as slack:
        ts = slack._said({"channel": CHANNEL, "text": "x"}, slack.bot).ts
        calls: dict[str, Call] = {
            **METHODS,
            "chat.update": lambda client: client.chat_update(channel=CHANNEL, ts=ts, text="new"),
            "conversations.replies": lambda client: client.conversations_replies(channel=CHANNEL, ts=ts),
        }
        said = refused(lambda: calls[method](web(slack))).response
        assert (said["error"], said["needed"], said["provided"]) == ("missing_scope", SCOPES[method], "commands")
        slack.scopes.add(SCOPES[method])
        slack.groups = {"S0GROUP": set()}
        assert calls[method](web(slack))["ok"]


def test_only_the_app_token_opens_sockets(slack: FakeSlack, client: WebClient) -> None:
    """With connections:write, which a bot's token cannot have."""
    assert code(lambda: client.apps_connections_open(app_token=slack.bot_token)) == "invalid_auth"
    assert client.apps_connections_open(app_token=slack.app_token)["url"].startswith("ws://127.0.0.1:")


def test_a_method_that_is_not_known(slack: FakeSlack, client: WebClient) -> None:
    """A bot that calls it is wrong, or the lab has to learn it: either way a test must fail."""
    assert code(lambda: client.chat_scheduleMessage(channel=CHANNEL, post_at=1, text="x")) == "unknown_method"
    assert slack.violations == ["chat.scheduleMessage is no method that is known here"]


@pytest.mark.parametrize("text", ["[draft] new", "{x}"])
def test_a_text_in_a_form_is_a_text(slack: FakeSlack, client: WebClient, text: str) -> None:
    """Only blocks, metadata and views are JSON there."""
    client.api_call("chat.postMessage", params={"channel": CHANNEL, "text": text})
    assert texts(slack.cards()) == [text]


def test_a_form_may_carry_blocks(slack: FakeSlack, client: WebClient) -> None:
    """As JSON in one of its values: the library does that when it is told to."""
    given_ = {"channel": CHANNEL, "text": "a & b", "blocks": json.dumps([section("x")])}
    client.api_call("chat.postMessage", data=given_)
    assert [(one.text, one.blocks) for one in slack.cards()] == [("a & b", [section("x")])]


# --- what nobody should be sent ----------------------------------------------------------------------------

BAD = [section("x" * 3001)]


@pytest.mark.parametrize(
    ("where", "call"),
    [
        ("chat.postMessage", lambda client: client.chat_postMessage(channel=CHANNEL, text="x", blocks=BAD)),
        ("chat.update", lambda client: client.chat_update(channel=CHANNEL, ts=post(client), text="x", blocks=BAD)),
        (
            "chat.postEphemeral",
            lambda client: client.chat_postEphemeral(channel=CHANNEL, user="U", text="x", blocks=BAD),
        ),
        ("views.publish", lambda client: client.views_publish(user_id="U", view=home(*BAD))),
    ],
)
def test_a_bad_message_is_recorded(slack: FakeSlack, client: WebClient, where: str, call: Call) -> None:
    """With the method and the place; tests assert that there is none."""
    call(client)
    assert slack.violations == [f"{where}: blocks.0.text: 3001 characters, at most 3000"]


def test_what_a_response_holds_is_judged_too(slack: FakeSlack) -> None:
    """By its URL, and in an acknowledgement."""
    url = str(slack.command(GUEST.id, "/releases").payload["response_url"])
    assert WebhookClient(url).send(text="x", blocks=BAD).status_code == 200
    assert slack.violations == ["response: blocks.0.text: 3001 characters, at most 3000"]


def test_a_message_without_words_is_recorded(slack: FakeSlack, client: WebClient) -> None:
    """Screen readers read the text."""
    client.api_call("chat.postMessage", json={"channel": CHANNEL, "blocks": [section("x")]})
    (violation,) = slack.violations
    assert violation.startswith("chat.postMessage: text: missing")


# --- bad days ----------------------------------------------------------------------------------------------


def test_a_limit_of_a_method(slack: FakeSlack, client: WebClient) -> None:
    """429 and how long to wait; other methods go on; it is over when the time is."""
    slack.limit("chat.postMessage", 2, 0.8)
    assert [post(client), post(client)]
    for _ in range(2):
        said = refused(lambda: post(client)).response
        assert (said.status_code, said["error"]) == (429, "ratelimited")
        assert said.headers["Retry-After"] == "1"
    assert client.auth_test()["ok"]
    assert len(slack.messages) == 2
    assert [one.error for one in slack.called("chat.postMessage")] == ["", "", "ratelimited", "ratelimited"]
    eventually(lambda: time.time() > slack.called("chat.postMessage")[1].at + 0.8)
    assert post(client)


def test_a_limit_lets_through_who_waits(slack: FakeSlack) -> None:
    """The library's own handler waits for Retry-After, and succeeds."""
    patient = web(slack, retry_handlers=[RateLimitErrorRetryHandler(max_retry_count=1)])
    slack.limit("chat.postMessage", 1, 1.0)
    began = time.monotonic()
    post(patient, "one")
    post(patient, "two")
    assert time.monotonic() - began >= 1
    assert texts(slack.cards()) == ["one", "two"]


def test_retry_after_is_long_enough(slack: FakeSlack, client: WebClient) -> None:
    """Whole seconds, never fewer than are left."""
    slack.limit("chat.postMessage", 1, 1.4)
    post(client)
    assert float(refused(lambda: post(client)).response.headers["Retry-After"]) >= 1.3


def test_a_failure_of_a_method(slack: FakeSlack, client: WebClient) -> None:
    """An error that Slack answers, so often and no more; the others answer, and nothing was done."""
    slack.fail("chat.postMessage", "internal_error", times=2)
    assert [code(lambda: post(client)) for _ in range(2)] == ["internal_error"] * 2
    assert client.auth_test()["ok"]
    assert slack.messages == []
    assert post(client)


def test_a_failure_of_every_method(slack: FakeSlack, client: WebClient) -> None:
    """Until it is well again."""
    slack.fail("*", "fatal_error")
    for method, call in METHODS.items():
        if method not in ("chat.update", "conversations.replies"):
            assert code(partial(call, client)) == "fatal_error"
    slack.well()
    assert post(client)


def test_a_status_and_how_long_to_wait(slack: FakeSlack, client: WebClient) -> None:
    """429 by order, without counting anything."""
    slack.fail("chat.update", "ratelimited", status=429, retry_after=7, times=1)
    said = refused(lambda: client.chat_update(channel=CHANNEL, ts=OLD, text="x")).response
    assert (said.status_code, said["error"], said.headers["Retry-After"]) == (429, "ratelimited", "7")
    assert code(lambda: client.chat_update(channel=CHANNEL, ts=OLD, text="x")) == "message_not_found"


@pytest.mark.parametrize("status", [500, 503])
def test_a_status_without_json(slack: FakeSlack, client: WebClient, status: int) -> None:
    """What stands before Slack answers with a page."""
    slack.fail("chat.postMessage", status=status, times=1)
    said = refused(lambda: post(client)).response
    assert said.status_code == status
    assert "<html>" in str(said.data)
    assert slack.calls[-1].error == str(status)
    assert post(client)


def test_down_and_well(slack: FakeSlack, client: WebClient) -> None:
    """No method answers, no response is taken (nor counted), no person reaches the bot."""
    url = str(slack.command(GUEST.id, "/releases").payload["response_url"])
    slack.down()
    assert refused(client.auth_test).response.status_code == 503
    assert WebhookClient(url, retry_handlers=[]).send(text="x").status_code == 503
    assert slack.command(GUEST.id, "/releases").wait().trouble == "dispatch_failed"
    assert slack.messages == []
    slack.well()
    assert client.auth_test()["ok"]
    assert [WebhookClient(url).send(text="x").status_code for _ in range(USES)] == [200] * USES


def test_slow(slack: FakeSlack, client: WebClient) -> None:
    """It answers, later; who does not wait for it has an error of the network."""
    slack.slow(0.5)
    began = time.monotonic()
    assert client.auth_test()["ok"]
    assert time.monotonic() - began >= 0.5
    slack.slow(8)
    with pytest.raises((TimeoutError, URLError)):
        web(slack, timeout=0.1).auth_test()
    slack.well()
    assert web(slack, timeout=7).auth_test()["ok"]


# --- response URLs -----------------------------------------------------------------------------------------


def test_a_response_url_is_for_five_answers(slack: FakeSlack) -> None:
    """The sixth is a 404 and changes nothing; another command has another URL."""
    first, second = (str(slack.command(GUEST.id, "/releases").payload["response_url"]) for _ in range(2))
    assert first != second
    codes = [WebhookClient(first).send(text=f"{n}").status_code for n in range(USES + 2)]
    assert codes == [200] * 5 + [404] * 2
    assert texts(slack.whispers(GUEST.id)) == ["0", "1", "2", "3", "4"]
    assert WebhookClient(second).send(text="x").status_code == 200
    assert WebhookClient(f"{first}0").send(text="x").status_code == 404


@pytest.mark.parametrize(
    ("kind", "whispered", "posted"),
    [(None, ["hi"], []), ("ephemeral", ["hi"], []), ("in_channel", [], ["hi"])],
)
def test_who_reads_a_response(slack: FakeSlack, kind: str | None, whispered: list[str], posted: list[str]) -> None:
    """Whoever asked, unless it says that the channel does; in the channel where it was asked."""
    url = str(slack.command(GUEST.id, "/releases").payload["response_url"])
    WebhookClient(url).send(text="hi", blocks=[section("hi")], response_type=kind)
    assert texts(slack.whispers(GUEST.id)) == whispered
    assert texts(slack.cards()) == posted
    assert slack.whispers(PROMOTER.id) == []
    assert [(one.channel, one.blocks) for one in slack.messages] == [(CHANNEL, [section("hi")])]


def test_a_response_replaces_what_was_pressed(slack: FakeSlack, client: WebClient) -> None:
    """If it says so: else there is one more message."""
    ts = post(client, "card", blocks=[buttons("promote")])
    url = str(slack.press(PROMOTER.id, ts, "promote").payload["response_url"])
    WebhookClient(url).send(text="beside", replace_original=False)
    assert texts(slack.messages) == ["card", "beside"]
    WebhookClient(url).send(text="new", replace_original=True)
    assert [(one.ts, one.text, one.blocks, one.edited) for one in slack.cards()] == [(ts, "new", [], 1)]
    assert texts(slack.whispers(PROMOTER.id)) == ["beside"]
    assert slack.violations == []


def test_a_response_deletes_what_was_pressed(slack: FakeSlack, client: WebClient) -> None:
    """A menu that was answered."""
    ts = post(client, "menu", blocks=[buttons("choose:0")])
    other = post(client, "other")
    url = str(slack.press(PROMOTER.id, ts, "choose").payload["response_url"])
    WebhookClient(url).send(delete_original=True)
    assert [one.ts for one in slack.messages] == [other]


def test_a_deletion_needs_no_words(slack: FakeSlack, client: WebClient) -> None:
    """lab.blocks says so."""
    ts = post(client, "menu", blocks=[buttons("choose:0")])
    url = str(slack.press(PROMOTER.id, ts, "choose").payload["response_url"])
    WebhookClient(url).send(delete_original=True)
    assert slack.violations == []


# --- what people do ----------------------------------------------------------------------------------------


def test_what_a_command_carries(slack: FakeSlack) -> None:
    """By ids; two commands have two triggers; whatever a test changes."""
    one = slack.command(PROMOTER.id, "/rollback web production  now").payload
    two = slack.command("U0NOBODY", "/releases", ELSEWHERE, team_id="T0OTHER").payload
    assert (one["command"], one["text"]) == ("/rollback", "web production  now")
    assert (one["user_id"], one["team_id"], one["channel_id"]) == (PROMOTER.id, slack.team, CHANNEL)
    assert (two["command"], two["text"]) == ("/releases", "")
    assert (two["user_id"], two["user_name"]) == ("U0NOBODY", "stranger")
    assert (two["team_id"], two["channel_id"], two["channel_name"]) == ("T0OTHER", ELSEWHERE, "elsewhere")
    assert one["trigger_id"] != two["trigger_id"]


def test_what_a_press_carries(slack: FakeSlack, client: WebClient) -> None:
    """The button with its value and block, the message as it stands, and who pressed it."""
    ts = post(client, "card", blocks=[section("x"), buttons("promote", "roll_back")])
    payload = slack.press(ON_CALL.id, ts, "roll").payload
    (action,) = payload["actions"]
    assert (action["action_id"], action["value"], action["block_id"]) == ("roll_back", "of roll_back", "orders")
    assert payload["user"]["id"] == ON_CALL.id
    assert payload["user"]["team_id"] == payload["team"]["id"] == slack.team
    assert (payload["container"]["message_ts"], payload["container"]["is_ephemeral"]) == (ts, False)
    assert (payload["message"]["ts"], payload["message"]["text"]) == (ts, "card")
    assert payload["channel"] == {"id": CHANNEL, "name": "deploys"}


def test_a_button_is_found_by_its_value_too(slack: FakeSlack, client: WebClient) -> None:
    """Of a menu; in a section it stands beside the text; one that is not there cannot be pressed."""
    menu = buttons("choose:0", "choose:1")
    beside = {**section("x"), "block_id": "beside", "accessory": buttons("again")["elements"][0]}
    ts = post(client, "menu", blocks=[menu, beside])
    assert slack.press(GUEST.id, ts, "choose", "of choose:1").payload["actions"][0]["action_id"] == "choose:1"
    assert slack.press(GUEST.id, ts, "again").payload["actions"][0]["block_id"] == "beside"
    with pytest.raises(StopIteration):
        slack.press(GUEST.id, ts, "promote")
    with pytest.raises(StopIteration):
        slack.press(GUEST.id, ts, "choose", "other")


def test_a_button_that_is_gone_may_be_pressed(slack: FakeSlack, client: WebClient) -> None:
    """On a screen that shows the message of a minute ago."""
    ts = post(client, "card", blocks=[buttons("promote")])
    (card,) = slack.cards()
    block, button = next(card.buttons())
    client.chat_update(channel=CHANNEL, ts=ts, text="decided")
    assert slack.pressed(PROMOTER.id, card, block, button).payload["actions"][0]["value"] == "of promote"


def test_a_stranger_comes_from_their_own_workspace() -> None:
    """Of a shared channel: the press says whose they are."""
    with FakeSlack(people=[Person("U0FOREIGN", "foreign", team="T0OTHER")]) as slack:
        ts = post(web(slack), "card", blocks=[buttons("promote")])
        payload = slack.press("U0FOREIGN", ts, "promote").payload
        assert (payload["user"]["team_id"], payload["team"]["id"]) == ("T0OTHER", slack.team)


# --- Socket Mode -------------------------------------------------------------------------------------------


class Ear:
    """The library's own client of Socket Mode, and what it does with each request: by default it says it has it."""

    def __init__(self, slack: FakeSlack, does: Callable[[BaseSocketModeClient, SocketModeRequest], None]) -> None:
        self.heard: list[SocketModeRequest] = []
        self.messages: list[Json] = []
        self.does = does
        self.client = SocketModeClient(slack.app_token, web_client=web(slack), ping_interval=0.2)
        self.client.message_listeners.append(lambda client, message, raw: self.messages.append(message))  # type: ignore[arg-type, call-arg, misc, unused-ignore]
        self.client.socket_mode_request_listeners.append(self._take)

    def _take(self, client: BaseSocketModeClient, request: SocketModeRequest) -> None:
        self.heard.append(request)
        self.does(client, request)


def acknowledge(client: BaseSocketModeClient, request: SocketModeRequest, **payload: Any) -> None:
    """Say that it was received."""
    client.send_socket_mode_response(SocketModeResponse(request.envelope_id, payload or None))


Ears = Callable[..., Ear]


@pytest.fixture
def ear(slack: FakeSlack) -> Iterator[Ears]:
    """Makes ears that are connected; they are closed at the end."""
    made: list[Ear] = []

    def make(
        does: Callable[[BaseSocketModeClient, SocketModeRequest], None] = acknowledge, *, connected: bool = True
    ) -> Ear:
        already = slack.connected()
        made.append(Ear(slack, does))
        made[-1].client.connect()
        if connected:
            eventually(lambda: slack.connected() == already + 1)
        return made[-1]

    yield make
    slack.down()  # it is quicker to close a client that hears nothing
    closing = [threading.Thread(target=one.client.close) for one in made]
    for thread in closing:
        thread.start()
    for thread in closing:
        thread.join(10)


def test_a_socket_says_hello(slack: FakeSlack, ear: Ears) -> None:
    """And counts: Slack gives an app ten at most."""
    one, two = ear(), ear()
    eventually(lambda: one.messages and two.messages)
    assert [e.messages[0]["type"] for e in (one, two)] == ["hello", "hello"]
    assert [e.messages[0]["num_connections"] for e in (one, two)] == [1, 2]
    assert slack.connected() == 2


def test_requests_come_as_envelopes(slack: FakeSlack, ear: Ears, client: WebClient) -> None:
    """Each kind as what it is, with all that it carries; only a command may be answered in the acknowledgement."""
    heard = ear().heard
    ts = post(client, "card", blocks=[buttons("promote")])
    deliveries = [slack.command(GUEST.id, "/releases"), slack.press(GUEST.id, ts, "promote"), slack.open_home(GUEST.id)]
    assert [one.wait().trouble for one in deliveries] == ["", "", ""]
    found = sorted(heard, key=lambda one: one.type)
    assert [one.type for one in found] == ["events_api", "interactive", "slash_commands"]
    assert [one.accepts_response_payload for one in found] == [False, False, True]
    sent = {one.kind: one.payload for one in deliveries}
    assert {one.type: one.payload for one in found} == json.loads(json.dumps(sent))
    assert found[0].payload["event"]["user"] == GUEST.id
    assert slack.violations == []


def test_how_long_an_acknowledgement_took(slack: FakeSlack, ear: Ears) -> None:
    """As a person felt it."""

    def slowly(client: BaseSocketModeClient, request: SocketModeRequest) -> None:
        time.sleep(0.4)
        acknowledge(client, request)

    ear(slowly)
    delivery = slack.command(GUEST.id, "/releases")
    assert delivery.seconds == float("inf")
    assert 0.4 <= delivery.wait().seconds < PATIENCE
    assert delivery.trouble == ""


def test_an_acknowledgement_may_answer_a_command(slack: FakeSlack, ear: Ears) -> None:
    """As a response does: to one, or to the channel. In one to a press nothing is read."""
    answers = iter([{"text": "for you"}, {"text": "for all", "response_type": "in_channel"}, {"text": "lost"}])
    ear(lambda client, request: acknowledge(client, request, **next(answers)))
    assert slack.command(GUEST.id, "/releases").wait().answer == {"text": "for you"}
    slack.command(GUEST.id, "/releases").wait()
    assert slack.open_home(GUEST.id).wait(2).done.is_set()
    assert texts(slack.whispers(GUEST.id)) == ["for you"]
    assert texts(slack.cards()) == ["for all"]


def test_each_request_goes_to_one_socket(slack: FakeSlack, ear: Ears) -> None:
    """In turn."""
    one, two = ear(), ear()
    for _ in range(3):
        for delivery in [slack.command(GUEST.id, "/releases"), slack.command(GUEST.id, "/releases")]:
            assert delivery.wait().trouble == ""
    assert (len(one.heard), len(two.heard)) == (3, 3)
    assert len({request.envelope_id for request in one.heard + two.heard}) == 6


def test_an_acknowledgement_twice_is_a_mistake(slack: FakeSlack, ear: Ears) -> None:
    """A bot that answers twice does something twice."""

    def twice(client: BaseSocketModeClient, request: SocketModeRequest) -> None:
        acknowledge(client, request)
        acknowledge(client, request)

    ear(twice)
    assert slack.command(GUEST.id, "/releases").wait().trouble == ""
    eventually(lambda: slack.violations)
    (violation,) = slack.violations
    assert violation.startswith("an acknowledgement of nothing, or a second one")
    assert "envelope-" in violation


def test_an_acknowledgement_of_nothing_is_a_mistake(slack: FakeSlack, ear: Ears) -> None:
    """It was never sent; the socket goes on."""
    listening = ear()
    listening.client.send_socket_mode_response(SocketModeResponse("envelope-none"))
    eventually(lambda: slack.violations)
    assert "envelope-none" in slack.violations[0]
    assert slack.command(GUEST.id, "/releases").wait().trouble == ""


def test_without_a_socket_a_person_is_told_at_once(slack: FakeSlack) -> None:
    """Slack does not keep the request."""
    delivery = slack.command(GUEST.id, "/releases").wait(1)
    assert (delivery.trouble, delivery.acknowledged, delivery.seconds) == ("dispatch_failed", None, float("inf"))


def test_without_an_acknowledgement_a_person_is_told_after_three_seconds(slack: FakeSlack, ear: Ears) -> None:
    """And one that comes later is one of nothing."""
    listening = ear(lambda client, request: None)
    assert PATIENCE == 3
    began = time.monotonic()
    delivery = slack.command(GUEST.id, "/releases").wait(60)
    assert time.monotonic() - began >= PATIENCE - 0.1
    assert (delivery.trouble, delivery.acknowledged) == ("operation_timeout", None)
    assert slack.violations == []
    acknowledge(listening.client, listening.heard[0])
    eventually(lambda: slack.violations)
    assert delivery.acknowledged is None


def test_a_dropped_socket_is_opened_again(slack: FakeSlack, ear: Ears) -> None:
    """By the library, and works as before."""
    listening = ear()
    slack.drop_sockets()
    assert slack.connected() == 0
    eventually(lambda: slack.connected() == 1)
    assert slack.command(GUEST.id, "/releases").wait().trouble == ""
    assert listening.heard[-1].payload["command"] == "/releases"
    assert slack.violations == []


def test_deaf(slack: FakeSlack, ear: Ears, client: WebClient) -> None:
    """The Web API answers, sockets do not open; when it is well again the library's client gets one."""
    listening = ear()
    slack.deaf()
    eventually(lambda: slack.called("apps.connections.open")[3:])
    assert client.auth_test()["ok"]
    assert slack.connected() == 0
    assert slack.command(GUEST.id, "/releases").wait(1).trouble == "dispatch_failed"
    assert listening.heard == []
    slack.well()
    eventually(lambda: slack.connected() == 1)
    assert slack.command(GUEST.id, "/releases").wait().trouble == ""


def test_down_cuts_the_sockets(slack: FakeSlack, ear: Ears) -> None:
    """And none opens until it is well."""
    ear()
    slack.down()
    assert slack.connected() == 0
    time.sleep(0.6)
    assert slack.connected() == 0
    slack.well()
    eventually(lambda: slack.connected() == 1)
    assert slack.command(GUEST.id, "/releases").wait().trouble == ""


# --- HTTP --------------------------------------------------------------------------------------------------


class Endpoint:
    """A bot's request URL: what came, and what it answers."""

    def __init__(self) -> None:
        self.came: list[tuple[dict[str, str], str]] = []
        self.status, self.kind, self.answer, self.seconds = 200, "text/plain", "", 0.0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                outer.came.append((dict(self.headers), body))
                time.sleep(outer.seconds)
                self.send_response(outer.status)
                self.send_header("Content-Type", outer.kind)
                self.send_header("Content-Length", str(len(outer.answer.encode())))
                self.end_headers()
                with suppress(OSError):  # whoever asked may have given up
                    self.wfile.write(outer.answer.encode())

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/slack/events"


@pytest.fixture
def endpoint(slack: FakeSlack) -> Iterator[Endpoint]:
    """The app is reached there."""
    made = Endpoint()
    slack.request_url = made.url
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_requests_are_signed_as_slack_signs_them(slack: FakeSlack, endpoint: Endpoint, client: WebClient) -> None:
    """Each kind, in its own form; the library's verifier takes it, and not with another secret."""
    ts = post(client, "card", blocks=[buttons("promote")])
    deliveries = [
        slack.command(GUEST.id, "/freeze web 4h déjà & <vu>"),
        slack.press(GUEST.id, ts, "promote"),
        slack.open_home(GUEST.id),
    ]
    for delivery in deliveries:
        assert delivery.wait().trouble == ""
        assert 0 < delivery.seconds < PATIENCE
    for headers, body in endpoint.came:
        assert SignatureVerifier(slack.signing_secret).is_valid_request(body, headers)
        assert not SignatureVerifier("another secret").is_valid_request(body, headers)
        assert not SignatureVerifier(slack.signing_secret).is_valid_request(f"{body} ", headers)
    kinds = sorted(headers["Content-Type"] for headers, _ in endpoint.came)
    assert kinds == ["application/json", *["application/x-www-form-urlencoded"] * 2]
    bodies = [body for _, body in endpoint.came]
    assert any("text" in parse_qs(body) and parse_qs(body)["text"] == ["web 4h déjà & <vu>"] for body in bodies)


@given(body=st.text(), ago=st.integers(0, 290))
def test_the_signature_is_the_librarys(one_slack: FakeSlack, body: str, ago: int) -> None:
    """For any body, within five minutes."""
    verifier = SignatureVerifier(one_slack.signing_secret)
    headers = one_slack.signed(body.encode(errors="replace").decode(), time.time() - ago)
    assert verifier.is_valid_request(body.encode(errors="replace"), headers)
    assert headers["X-Slack-Signature"] == verifier.generate_signature(
        timestamp=headers["X-Slack-Request-Timestamp"], body=body.encode(errors="replace")
    )


def test_an_old_signature_is_refused(slack: FakeSlack) -> None:
    """That is what the timestamp is for."""
    verifier = SignatureVerifier(slack.signing_secret)
    assert verifier.is_valid_request("x", slack.signed("x"))
    assert not verifier.is_valid_request("x", slack.signed("x", time.time() - 301))


@pytest.fixture(scope="module")
def one_slack() -> Iterator[FakeSlack]:
    """For what changes nothing of it."""
    with FakeSlack() as made:
        yield made


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_a_body_holds_what_was_typed(text: str) -> None:
    """Whatever it is: in a form, in a form that holds JSON, in JSON."""
    payload = {"text": text}
    body, _ = FakeSlack.body_of("slash_commands", payload)
    assert parse_qs(body) == {"text": [text]}
    body, _ = FakeSlack.body_of("interactive", payload)
    assert json.loads(parse_qs(body)["payload"][0]) == payload
    body, _ = FakeSlack.body_of("events_api", payload)
    assert json.loads(body) == payload


@pytest.mark.parametrize(
    ("kind", "answer", "whispered", "posted"),
    [
        ("text/plain", "", [], []),
        ("text/plain", "done", ["done"], []),
        ("application/json", '{"text": "done"}', ["done"], []),
        ("application/json", '{"text": "done", "response_type": "in_channel"}', [], ["done"]),
    ],
)
def test_what_the_answer_to_a_command_says(
    slack: FakeSlack, endpoint: Endpoint, kind: str, answer: str, whispered: list[str], posted: list[str]
) -> None:
    """Nothing, words, or a message."""
    endpoint.kind, endpoint.answer = kind, answer
    assert slack.command(GUEST.id, "/releases").wait().trouble == ""
    assert texts(slack.whispers(GUEST.id)) == whispered
    assert texts(slack.cards()) == posted


@pytest.mark.parametrize("status", [401, 404, 500])
def test_a_status_that_is_not_200_is_a_failure(slack: FakeSlack, endpoint: Endpoint, status: int) -> None:
    """Whoever typed it sees an error."""
    endpoint.status, endpoint.answer = status, "no"
    delivery = slack.command(GUEST.id, "/releases").wait()
    assert (delivery.trouble, delivery.acknowledged) == (f"dispatch_failed ({status})", None)
    assert slack.messages == []


def test_nobody_at_the_request_url(slack: FakeSlack, endpoint: Endpoint) -> None:
    """A connection that is refused."""
    endpoint.server.shutdown()
    endpoint.server.server_close()
    assert slack.command(GUEST.id, "/releases").wait().trouble == "dispatch_failed"


def test_an_answer_after_three_seconds_is_none(slack: FakeSlack, endpoint: Endpoint) -> None:
    """Whatever it would have been."""
    endpoint.seconds = PATIENCE + 1
    delivery: Delivery = slack.command(GUEST.id, "/releases")
    assert delivery.wait(60).trouble == "operation_timeout"
    assert delivery.seconds == float("inf")
