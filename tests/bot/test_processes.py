"""The bot as a process, on the lab's AWS and the fake Slack: what only processes show.

Sockets and signatures, signals, health, a runner beside a bot, two bots, a Slack that is away. What is answered to
whom, and what cards and threads say, is tested on the virtual clock: in test_desk and test_follower.
"""

from __future__ import annotations

import json
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from lab.slack import PostedMessage
from tests.worlds.chat import GUEST, ON_CALL, PROMOTER, SERVICE, BotProcess, Chat, chat
from tests.worlds.waiting import PATIENCE

pytestmark = pytest.mark.slow
PERSON: dict[str, Any] = {"promotion": {"by": "person"}}
#: A soak long enough to act in.
LONG: dict[str, Any] = {**PERSON, "soak": 300}


def events(at: Chat, kind: str) -> list[dict[str, Any]]:
    """What the journal holds of that kind, of all releases."""
    found = [json.loads(one) for one in at.at.kinds(kind)]
    return sorted(found, key=str)


def answers(at: Chat) -> list[PostedMessage]:
    """What single persons were told; cards and threads go on meanwhile."""
    return [one for one in at.slack.messages.copy() if one.ephemeral]


def orders(at: Chat) -> int:
    """How many orders were written."""
    return sum(len(events(at, kind)) for kind in ("promoted", "hold_ordered", "rollback_ordered"))


# --- whole releases ----------------------------------------------------------------------------------------


def test_from_the_first_card_to_live(tmp_path: Path) -> None:
    """The runner parks the release, the bot watches the hold, a press promotes it, and the bot brings it live."""
    with chat(tmp_path / "at", **PERSON) as c:
        bot = c.listening(c.bot(anew=True))
        c.held()
        held = c.shows("both serve until a person promotes")
        assert [one["action_id"] for _, one in held.buttons()] == ["promote", "roll_back"]
        assert held.button("promote")["confirm"]["title"]["text"] == "Promote web/production#1?"
        c.slack.press(GUEST.id, held.ts, "promote").wait()
        assert "Who may: <@U0PROMOTER>, <@U0SECOND>" in c.whispered(GUEST.id, "you may not promote").text
        assert orders(c) == 0
        c.slack.press(PROMOTER.id, held.ts, "promote").wait()
        live = c.shows("is live")
        c.whispered(PROMOTER.id, "Promoted web/production#1")
        assert list(live.buttons()) == []
        words = ("blue is pinned", "both serve", "<@U0PROMOTER> promoted", "took web-asg", "serves alone", "is live")
        c.thread_says(*words)
        c.everything_told()
        assert len(c.cards()) == 1
        assert [one.broadcast for one in c.slack.thread(live.ts) if "promoted web" in str(one.blocks)] == [True]
        assert c.at.wrong(live=True) == []
        c.slack.pressed(PROMOTER.id, live, "", {**held_button(), "value": f"{SERVICE}#1|hold"}).wait()
        c.whispered(PROMOTER.id, "This release has moved on")
        assert orders(c) == 1
        counted = (
            'bluegreen_releases_total{outcome="live"} 1.0',
            'bluegreen_phase_seconds_count{phase="soaking"} 1.0',
        )
        c.eventually(lambda: all(line in bot.get("/metrics")[1] for line in counted))
        assert bot.get("/metrics")[0] == 200
        assert bot.get("/healthz")[0] == 200
        frozen_for_a_while(c)
        assert bot.end() == 0


def held_button() -> dict[str, Any]:
    """The Promote button of a card that has it no more."""
    return {"type": "button", "action_id": "promote", "text": {"type": "plain_text", "text": "Promote"}}


def frozen_for_a_while(c: Chat) -> None:
    """What is frozen in Slack is refused at the command line; whoever may not freeze is told so by the same bot."""
    c.slack.command(ON_CALL.id, "/freeze web 4h no releases today").wait()
    c.whispered(ON_CALL.id, "you may not freeze")
    c.slack.command(PROMOTER.id, "/freeze 4h a &lt;big&gt; sale").wait()
    (line,) = c.eventually(lambda: [one for one in c.slack.cards() if "froze web/production" in one.text])
    assert line.text.startswith("<@U0PROMOTER> froze web/production until <!date^")
    assert line.text.endswith(": a &lt;big&gt; sale")
    refused = c.at.run("release", "--commit", "c0ffee02")
    assert (refused["code"], refused["reason"]) == (4, "frozen")
    c.slack.command(PROMOTER.id, "/freeze web production off").wait()
    c.whispered(PROMOTER.id, "is not frozen")


def test_a_bot_beside_a_runner(tmp_path: Path) -> None:
    """What people order in Slack the runner that drives hears: it waits, goes on, and goes back."""
    with chat(tmp_path / "at", soak=300) as c:
        c.at.change(overlap=60)
        c.ready_bot()
        with c.release() as runner:
            card = c.shows("blue and green both serve")
            assert [one["action_id"] for _, one in card.buttons()] == ["promote", "roll_back", "hold"]
            c.slack.press(ON_CALL.id, card.ts, "hold").wait()
            c.whispered(ON_CALL.id, "Held web/production#1")
            held = c.shows("held by <@U0ONCALL>")
            c.slack.press(PROMOTER.id, held.ts, "promote").wait()
            c.shows("green serves alone; blue keeps running")
            c.slack.command(GUEST.id, "/rollback").wait()
            c.whispered(GUEST.id, "you may not roll it back")
            assert c.slack.command(ON_CALL.id, "/rollback web").wait().trouble == ""
            c.whispered(ON_CALL.id, "Ordered the rollback of web/production#1")
            assert runner.wait(PATIENCE) == 3
        assert "<@U0ONCALL>" in str(c.shows("was rolled back").blocks)
        c.thread_says("ordered the rollback", "returning to blue", "was rolled back", aloud=True)
        assert c.at.wrong(live=False) == []


# --- whoever is not who they seem --------------------------------------------------------------------------


#: One bot and one release for all of these: they stay on one worker.
HELD = pytest.mark.xdist_group("held")


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A release that waits, and a bot; nobody in the tests that use it may change it."""
    with chat(tmp_path_factory.mktemp("held") / "at", **PERSON) as c:
        c.ready_bot()
        c.held()
        c.shows("both serve until a person promotes")
        yield c
        assert orders(c) == 0


@HELD
@pytest.mark.parametrize(
    "changes",
    [
        {"user_id": "U0STRANGER"},
        {"user_id": "U0STRANGER", "user_name": "U0PROMOTER"},
        {"user_id": "U0STRANGER", "user_name": "promoter"},
        {"user_id": "*"},
        {"user_id": "S0GROUP"},
        {"user_id": "u0promoter"},
        {"team_id": "T0OTHER"},
        {"team_id": "T0OTHER", "team_domain": "lab"},
    ],
)
def test_who_may_not(held: Chat, changes: dict[str, str]) -> None:
    """Strangers, spoofed names, ids that are none, and people of other workspaces: refused, and nothing is written."""
    for line in ("/promote web", "/rollback web", "/freeze web 4h"):
        before = len(answers(held))
        done = held.slack.command(PROMOTER.id, line, **changes).wait()
        assert done.trouble == ""
        held.eventually(lambda before=before: len(answers(held)) > before)  # type: ignore[misc]
        said = answers(held)[-1]
        assert "may not" in said.text or "another workspace" in said.text
    assert orders(held) == 0


@HELD
def test_groups_stay_on_one_worker(request: pytest.FixtureRequest) -> None:
    """Else each worker has a bot and a release of its own; with pytest 9.2 that was so, and nobody said it."""
    grouped = getattr(request.config.option, "loadgroup", False)
    assert not grouped or request.node.nodeid.endswith("@held")


@HELD
def test_press_from_another_workspace(held: Chat) -> None:
    """A shared channel may hold people of other workspaces: their ids mean nothing here."""
    bot, card = held.bots[0], held.card()
    told = "refused a request from another workspace"
    held.eventually(lambda: bot.log.count(told) >= sum("another workspace" in one.text for one in answers(held)))
    refused = bot.log.count(told)
    other = {"id": PROMOTER.id, "username": "promoter", "team_id": "T0OTHER"}
    held.slack.press(PROMOTER.id, card.ts, "promote", user=other).wait()
    held.slack.press(PROMOTER.id, card.ts, "promote", team={"id": "T0OTHER", "domain": "lab"}).wait()
    held.eventually(lambda: bot.log.count(told) == refused + 2)
    assert orders(held) == 0


@HELD
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("/promote nonsense", "there is no service nonsense"),
        ("/promote web production now", "has too many words"),
        ("/rollback web to forty", "is not the number of a release"),
        ("/rollback web to 99", "there is no image of web/production#99"),
        ("/freeze web 2001-01-01", "is past"),
        ("/freeze web 2030-13-01", "is not a time"),
        ("/release web", "no GITHUB_TOKEN"),
        ("/releases nonsense", "there is no service nonsense that you may see"),
        ("/promote help", "/promote [service] [environment]"),
    ],
)
def test_what_cannot_be_understood(held: Chat, line: str, words: str) -> None:
    """The answer says what, and what to write; only its writer sees it."""
    held.slack.command(PROMOTER.id, line).wait()
    assert held.whispered(PROMOTER.id, words).ephemeral == PROMOTER.id


@HELD
def test_looking(held: Chat) -> None:
    """`/releases` and the Home show what one may see, and nothing to others."""
    held.slack.command(ON_CALL.id, "/releases web").wait()
    shown = held.whispered(ON_CALL.id, "web/production")
    assert "#1" in str(shown.blocks[-1])
    held.slack.command(GUEST.id, "/releases").wait()
    held.whispered(GUEST.id, "no service that you may promote or roll back")
    for person in (ON_CALL, GUEST):
        held.slack.open_home(person.id).wait()
    held.eventually(lambda: {ON_CALL.id, GUEST.id} <= held.slack.homes.keys())
    assert "web/production#1 is holding" in str(held.slack.homes[ON_CALL.id])
    assert "web/production#1" not in str(held.slack.homes[GUEST.id])
    held.slack.homes.clear()
    held.slack.press_at_home(ON_CALL.id, "refresh", "home").wait()
    held.eventually(lambda: ON_CALL.id in held.slack.homes)


# --- twice, two, and one after the other -------------------------------------------------------------------


def test_the_same_request_twice_two_bots_and_another(tmp_path: Path) -> None:
    """Delivered again, to any of two bots, it acts once; ended politely, they leave the release to the next."""
    with chat(tmp_path / "at", **LONG) as c:
        first, second = c.ready_bot(), c.ready_bot()
        c.held()
        card = c.shows("both serve until a person promotes")
        pressed = c.slack.press(PROMOTER.id, card.ts, "promote").wait()
        answer = c.whispered(PROMOTER.id, "Promoted")
        for _ in range(3):
            c.slack.deliver("interactive", pressed.payload).wait()
        c.eventually(lambda: [one.text for one in c.slack.whispers(PROMOTER.id)] == [answer.text] * 4)
        assert len(events(c, "promoted")) == 1
        c.shows("green serves alone; blue keeps running")
        assert [first.end(), second.end()] == [0, 0]  # within 30 s, whatever they drive
        assert len(events(c, "interrupted")) >= 1
        c.ready_bot()
        back = c.slack.command(ON_CALL.id, "/rollback").wait()
        again = [c.slack.deliver("slash_commands", back.payload) for _ in range(4)]
        assert [one.wait().trouble for one in again] == [""] * 4
        c.shows("was rolled back")
        c.everything_told()
        assert len(events(c, "rollback_ordered")) == 1
        assert len(c.cards()) == 1
        assert c.at.wrong(live=False) == []


# --- HTTP --------------------------------------------------------------------------------------------------


def test_by_http(tmp_path: Path) -> None:
    """Slack's signature is asked for, its time too, and a body that comes twice acts once, channel or no channel."""
    with chat(tmp_path / "at", **LONG) as c:
        bot = c.bot(SLACK_APP_TOKEN="", SLACK_SIGNING_SECRET=c.slack.signing_secret)
        c.slack.request_url = f"http://127.0.0.1:{bot.port}/slack/events"
        c.held()
        card = c.shows("both serve until a person promotes")
        body, kind = c.slack.body_of("slash_commands", {**_typed(c, "/promote"), "user_id": PROMOTER.id})
        forged = {"X-Slack-Request-Timestamp": str(int(time.time())), "X-Slack-Signature": "v0=" + "0" * 64}
        other = replace_secret(c)
        for headers in (forged, c.slack.signed(body, time.time() - 400), {}, other, c.slack.signed(body + "x")):
            assert post(c.slack.request_url, body, {**headers, "Content-Type": kind}) == 401
        assert orders(c) == 0
        headers = {**c.slack.signed(body), "Content-Type": kind}
        for _ in range(3):
            assert post(c.slack.request_url, body, headers) == 200
        c.shows("green serves alone; blue keeps running")
        assert len(events(c, "promoted")) == 1
        c.slack.members.clear()
        assert c.slack.press(ON_CALL.id, card.ts, "roll_back").wait().trouble == ""
        channel_is_lost(c, bot)
        assert bot.get("/healthz")[0] == 200
        assert bot.end() == 0


def channel_is_lost(c: Chat, bot: BotProcess) -> None:
    """What Slack refuses stops no release; the log says so once, and the card catches up."""
    c.eventually(lambda: "not_in_channel" in bot.log)
    c.eventually(lambda: events(c, "settled"))
    assert "was rolled back" not in str(c.card().blocks)
    assert c.at.wrong(live=False) == []
    c.slack.members.add("C0DEPLOYS")
    c.shows("was rolled back")
    c.everything_told()
    assert bot.log.count("not_in_channel") == 1


def _typed(c: Chat, line: str) -> dict[str, Any]:
    """A payload that Slack has not sent."""
    name, _, text = line.partition(" ")
    return {"team_id": c.slack.team, "channel_id": "C0DEPLOYS", "command": name, "text": text, "trigger_id": "1.2.x",
            "response_url": ""}  # fmt: skip


def replace_secret(c: Chat) -> dict[str, str]:
    """A signature with another app's secret."""
    own, c.slack.signing_secret = c.slack.signing_secret, "f" * 32
    try:
        return c.slack.signed("anything")
    finally:
        c.slack.signing_secret = own


def post(url: str, body: str, headers: dict[str, str]) -> int:
    """The status that a POST is answered with."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body.encode(), headers), timeout=10) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


# --- bad days ----------------------------------------------------------------------------------------------


def test_slack_down_for_the_whole_release(tmp_path: Path) -> None:
    """The release ends as it would have; when Slack is back, one card shows the truth, and its thread all of it."""
    with chat(tmp_path / "at") as c:
        c.slack.down()
        bot = c.bot()
        c.eventually(lambda: "ready:" in bot.log)
        result = c.at.run("release", "--commit", "c0ffee01")
        assert (result["code"], result["decision"]) == (0, "live")
        assert c.at.wrong(live=True) == []
        assert c.slack.messages == []
        c.eventually(lambda: bot.log.count("Slack cannot be reached") == 1)
        c.slack.well()
        c.shows("is live")
        c.thread_says("blue is pinned")
        c.everything_told()
        assert len(c.slack.cards()) == 1
        c.eventually(lambda: c.slack.connected() == 1)
        c.eventually(lambda: bot.log.count("Slack answers again") == 1)
        assert bot.log.count("Slack cannot be reached") == 1
        sockets_drop(c, bot)
        nothing_answers(c, bot)


def sockets_drop(c: Chat, bot: BotProcess) -> None:
    """A dropped socket comes back; a bot that cannot hear says so at /healthz."""
    for _ in range(3):
        c.slack.drop_sockets()
        c.eventually(lambda: c.slack.connected() == 1)
    c.slack.command(GUEST.id, "/freeze").wait()
    c.whispered(GUEST.id, "you may not freeze")
    c.slack.deaf()
    c.eventually(lambda: bot.get("/healthz")[0] == 503)
    assert json.loads(bot.get("/healthz")[1])["socket"] is False
    c.slack.well()
    c.eventually(lambda: bot.get("/healthz")[0] == 200)


def nothing_answers(c: Chat, bot: BotProcess) -> None:
    """A bot without its table says so, too."""
    c.at.aws.session(recorded=False).client("dynamodb").delete_table(TableName="bluegreen")
    c.at.aws.close()
    c.eventually(lambda: json.loads(bot.get("/healthz")[1])["table"] is False)


def test_without_settings() -> None:
    """It says everything that is missing, and no secret, with exit code 2."""
    given = {"SLACK_BOT_TOKEN": "xapp-secret-value", "SLACK_APP_TOKEN": "", "PORT": "no"}
    bot = BotProcess.forked(given)
    assert bot.process.wait(PATIENCE) == bot.end() == 2
    assert "PORT is not a port" in bot.log
    assert "SLACK_BOT_TOKEN does not begin with xoxb-" in bot.log
    assert "neither SLACK_APP_TOKEN" in bot.log
    assert "secret-value" not in bot.log
