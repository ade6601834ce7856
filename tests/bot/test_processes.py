"""The bot as a process, on the lab's AWS and the pretend Slack: what people see, what they may, and bad days."""

from __future__ import annotations

import json
import time
import urllib.request
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from lab.slack import Message
from tests.worlds.chat import GUEST, ON_CALL, PROMOTER, SECOND, SERVICE, SLACK, Chat, chat, eventually

pytestmark = pytest.mark.slow
PERSON: dict[str, Any] = {"promotion": {"by": "person"}}
#: A soak long enough to act in.
LONG: dict[str, Any] = {**PERSON, "soak": 300}


def events(at: Chat, kind: str) -> list[dict[str, Any]]:
    """What the journal holds of that kind, of all releases."""
    found = [json.loads(one) for one in at.at.kinds(kind)]
    return sorted(found, key=str)


def orders(at: Chat) -> int:
    """How many orders were written."""
    return sum(len(events(at, kind)) for kind in ("promoted", "hold_ordered", "rollback_ordered"))


# --- what people see and do --------------------------------------------------------------------------------


def test_from_the_first_card_to_live(tmp_path: Path) -> None:
    """The runner parks the release, the bot watches the hold, a press promotes it, and the bot brings it live."""
    with chat(tmp_path / "at", **PERSON) as c:
        bot = c.ready_bot()
        c.held()
        held = c.shows("both serve until a person promotes")
        assert [one["action_id"] for _, one in held.buttons()] == ["promote", "roll_back"]
        assert held.button("promote")["confirm"]["title"]["text"] == "Promote web/production#1?"
        guest = c.slack.press(GUEST.id, held.ts, "promote").wait()
        assert guest.seconds < 1
        assert "Who may: <@U0PROMOTER>, <@U0SECOND>" in c.whispered(GUEST.id, "you may not promote").text
        assert orders(c) == 0
        c.slack.press(PROMOTER.id, held.ts, "promote").wait()
        live = c.shows("is live")
        c.whispered(PROMOTER.id, "Promoted web/production#1")
        assert list(live.buttons()) == []
        assert len([one for one in c.slack.cards() if one.metadata]) == 1
        told = "\n".join(one.blocks[0]["text"]["text"] for one in c.slack.thread(live.ts))
        words = ("blue is pinned", "both serve", "<@U0PROMOTER> promoted", "took web-asg", "serves alone", "is live")
        assert [one for one in words if one not in told] == []
        assert [one.broadcast for one in c.slack.thread(live.ts) if "promoted web" in str(one.blocks)] == [True]
        assert len(c.lines()) == len(set(c.lines()))
        assert c.at.wrong(live=True) == []
        stale = c.slack.pressed(PROMOTER.id, live, "", {**held_button(held), "value": f"{SERVICE}#1|hold"}).wait()
        assert stale.trouble == ""
        c.whispered(PROMOTER.id, "This release has moved on")
        assert orders(c) == 1
        status, page = bot.get("/metrics")
        assert status == 200
        assert 'bluegreen_releases_total{outcome="live"} 1.0' in page
        assert 'bluegreen_phase_seconds_count{phase="soaking"} 1.0' in page
        assert bot.get("/healthz")[0] == 200
        assert bot.end() == 0


def held_button(held: Message) -> dict[str, Any]:
    """The Promote button of a card that has it no more."""
    return {"type": "button", "action_id": "promote", "text": {"type": "plain_text", "text": "Promote"}}


def test_rolled_back_while_a_runner_drives(tmp_path: Path) -> None:
    """The order is an event; the runner that drives sees it within a second and goes back."""
    with chat(tmp_path / "at", soak=300) as c:
        c.ready_bot()
        with c.release() as runner:
            c.shows("green serves alone; blue stays whole")
            c.slack.command(GUEST.id, "/rollback").wait()
            c.whispered(GUEST.id, "you may not roll it back")
            pressed = c.slack.command(ON_CALL.id, "/rollback web").wait()
            assert pressed.seconds < 1
            c.whispered(ON_CALL.id, "Ordered the rollback of web/production#1")
            assert runner.wait(60) == 3
        card = c.shows("was rolled back")
        assert "<@U0ONCALL>" in str(card.blocks)
        aloud = [str(one.blocks) for one in c.slack.thread(card.ts) if one.broadcast]
        assert [word for word in ("ordered the rollback", "going back to blue", "was rolled back") if word not in
                "".join(aloud)] == []  # fmt: skip
        assert c.at.wrong(live=False) == []


def test_rolled_back_by_the_bot_and_blue_s_image_again(tmp_path: Path) -> None:
    """Without a driver the bot goes back at once; past retiring it offers the image before, and releases it."""
    with chat(tmp_path / "at", **LONG) as c:
        c.held()
        c.ready_bot()
        c.shows("both serve until a person promotes")
        c.slack.command(ON_CALL.id, "/rollback web production").wait()
        c.shows("was rolled back")
        assert c.at.wrong(live=False) == []
        assert c.at.run("release", "--ami", c.at.world.image, "--until", "held")["decision"] == "held"
        c.at.file.write_text(c.at.file.read_text().replace("soak: 300", "soak: 1"))
    with chat(tmp_path / "second", **PERSON) as c:
        assert c.at.run("release", "--commit", "c0ffee01", "--until", "held")["decision"] == "held"
        assert c.at.run("promote")["decision"] == "live"
        c.ready_bot()
        c.slack.command(ON_CALL.id, "/rollback").wait()
        offer = c.whispered(ON_CALL.id, "blue is retired")
        assert "web-asg" in offer.button("again")["confirm"]["text"]["text"]
        assert len(events(c, "started")) == 1
        c.slack.press(GUEST.id, offer.ts, "again").wait()
        c.whispered(GUEST.id, "you may not release an earlier image")
        c.slack.press(ON_CALL.id, offer.ts, "again").wait()
        c.whispered(ON_CALL.id, "Started web/production#2")
        card = c.shows("web/production#2")
        eventually(lambda: "both serve until" in str(c.card().blocks), *c.bots)
        c.slack.press(PROMOTER.id, card.ts, "promote").wait()
        c.shows("web/production#2 is live")
        found = c.at.world.leftovers()
        assert [one for one in found if "image" not in one and "ami-" not in one and "version" not in one] == []


def test_hold_and_two_people(tmp_path: Path) -> None:
    """A press holds a release that would have gone on; then two different people must promote it."""
    changes: dict[str, Any] = {
        "promotion": {"by": "person", "approvals": 2},
        "slack": {**SLACK, "promoters": ["S0GROUP"]},
    }
    with chat(tmp_path / "at", groups={"S0GROUP": {PROMOTER.id, SECOND.id}}, **changes) as c:
        c.ready_bot()
        c.held()
        c.shows("both serve until a person promotes")
        for _ in range(2):
            c.slack.command(PROMOTER.id, "/promote").wait()
        c.whispered(PROMOTER.id, "1 more must promote it, too")
        c.whispered(PROMOTER.id, "you have promoted it already")
        card = c.shows("(1 of 2)")
        c.slack.groups["S0GROUP"] = {PROMOTER.id}
        c.slack.press(ON_CALL.id, card.ts, "promote").wait()
        c.whispered(ON_CALL.id, "Who may: <!subteam^S0GROUP>")
        c.slack.groups["S0GROUP"] = {PROMOTER.id, SECOND.id}
        time.sleep(0.1)
        assert len(events(c, "promoted")) == 1
        eventually(lambda: _presses(c, card.ts), *c.bots)
        c.shows("is live")
        assert {one["who"] for one in events(c, "promoted")} == {f"slack:{PROMOTER.id}", f"slack:{SECOND.id}"}


def _presses(c: Chat, ts: str) -> bool:
    """The second person promotes, as soon as the bot has heard that they are in the group again."""
    c.slack.command(SECOND.id, "/promote").wait()
    time.sleep(1.0)
    return len(events(c, "promoted")) == 2


def test_a_held_release_of_auto(tmp_path: Path) -> None:
    """Hold stops what would go on by itself."""
    changes: dict[str, Any] = {"promotion": {"by": "auto"}}
    with chat(tmp_path / "at", **changes) as c:
        c.at.file.write_text(c.at.file.read_text().replace("overlap: 1", "overlap: 20"))
        c.ready_bot()
        with c.release() as runner:
            card = c.shows("blue and green both serve")
            assert [one["action_id"] for _, one in card.buttons()] == ["promote", "roll_back", "hold"]
            c.slack.press(ON_CALL.id, card.ts, "hold").wait()
            c.whispered(ON_CALL.id, "Held web/production#1")
            c.shows("held by <@U0ONCALL>")
            c.slack.pressed(PROMOTER.id, card, "", {**card.button("promote")}).wait()
            c.slack.command(PROMOTER.id, "/rollback").wait()
            assert runner.wait(60) == 3


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
        before = len(held.slack.messages)
        done = held.slack.command(PROMOTER.id, line, **changes).wait()
        assert done.trouble == ""
        eventually(lambda before=before: len(held.slack.messages) > before, *held.bots)  # type: ignore[misc]
        said = held.slack.messages[-1]
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
    card = held.card()
    other = {"id": PROMOTER.id, "username": "promoter", "team_id": "T0OTHER"}
    held.slack.press(PROMOTER.id, card.ts, "promote", user=other).wait()
    held.slack.press(PROMOTER.id, card.ts, "promote", team={"id": "T0OTHER", "domain": "lab"}).wait()
    time.sleep(1.0)
    assert orders(held) == 0


@HELD
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("/promote nonsense", "there is no service nonsense"),
        ("/promote web production now", "is more than I understand"),
        ("/rollback web to forty", "is not the number of a release"),
        ("/rollback web to 99", "there is no image of web/production#99"),
        ("/freeze web 2001-01-01", "is past"),
        ("/freeze web 2030-13-01", "is no time"),
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
    eventually(lambda: {ON_CALL.id, GUEST.id} <= held.slack.homes.keys(), *held.bots)
    assert "web/production#1 is holding" in str(held.slack.homes[ON_CALL.id])
    assert "web/production#1" not in str(held.slack.homes[GUEST.id])
    held.slack.homes.clear()
    held.slack.press_at_home(ON_CALL.id, "refresh", "home").wait()
    eventually(lambda: ON_CALL.id in held.slack.homes, *held.bots)


# --- twice, and two ----------------------------------------------------------------------------------------


def test_the_same_request_twice_and_two_bots(tmp_path: Path) -> None:
    """Delivered twice, to two bots: it acts once, and both give the first answer."""
    with chat(tmp_path / "at", **LONG) as c:
        c.ready_bot()
        c.bot()
        eventually(lambda: c.slack.connected() == 2, *c.bots)
        c.held()
        card = c.shows("both serve until a person promotes")
        first = c.slack.press(PROMOTER.id, card.ts, "promote").wait()
        c.whispered(PROMOTER.id, "Promoted")
        for _ in range(3):
            c.slack.deliver("interactive", first.payload).wait()
        told = [one for one in c.slack.whispers(PROMOTER.id) if one.text.startswith("Promoted")]
        eventually(lambda: len([w for w in c.slack.whispers(PROMOTER.id) if w.text == told[0].text]) == 4, *c.bots)
        assert len(events(c, "promoted")) == 1
        c.shows("green serves alone; blue stays whole")
        back = c.slack.command(ON_CALL.id, "/rollback").wait()
        again = [c.slack.deliver("slash_commands", back.payload) for _ in range(4)]
        assert all(one.wait().trouble == "" for one in again)
        c.shows("was rolled back")
        assert len(events(c, "rollback_ordered")) == 1
        assert len([one for one in c.slack.cards() if one.metadata]) == 1
        assert len(c.lines()) == len(set(c.lines()))
        assert c.at.wrong(live=False) == []


def test_freezing(tmp_path: Path) -> None:
    """Frozen by a person of the lists, with a reason and an end; lifted; one line in the channel each time."""
    with chat(tmp_path / "at") as c:
        assert c.at.run("release", "--commit", "c0ffee01")["decision"] == "live"
        c.ready_bot()
        c.slack.command(ON_CALL.id, "/freeze web 4h no releases today").wait()
        c.whispered(ON_CALL.id, "you may not freeze")
        c.slack.command(PROMOTER.id, "/freeze 4h a &lt;big&gt; sale").wait()
        eventually(lambda: any("froze web/production" in one.text for one in c.slack.cards()), *c.bots)
        line = next(one for one in c.slack.cards() if "froze" in one.text)
        assert line.text.startswith("<@U0PROMOTER> froze web/production until <!date^")
        assert line.text.endswith(": a &lt;big&gt; sale")
        refused = c.at.run("release", "--commit", "c0ffee02")
        assert (refused["code"], refused["reason"]) == (4, "frozen")
        c.slack.command(PROMOTER.id, "/freeze web production off").wait()
        c.whispered(PROMOTER.id, "is not frozen")
        assert c.at.run("release", "--commit", "c0ffee02")["decision"] == "live"


# --- HTTP --------------------------------------------------------------------------------------------------


def test_by_http(tmp_path: Path) -> None:
    """Slack's signature is asked for, its time too, and a body that comes twice acts once."""
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
        c.shows("green serves alone; blue stays whole")
        assert len(events(c, "promoted")) == 1
        pressed = c.slack.press(ON_CALL.id, card.ts, "roll_back").wait()
        assert pressed.seconds < 2
        c.shows("was rolled back")
        assert bot.get("/healthz")[0] == 200
        assert bot.end() == 0


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


# --- Slack's bad days --------------------------------------------------------------------------------------


def test_slack_down_for_the_whole_release(tmp_path: Path) -> None:
    """The release ends as it would have; when Slack is back, one card shows the truth, and its thread all of it."""
    with chat(tmp_path / "at") as c:
        c.slack.down()
        bot = c.bot()
        eventually(lambda: "ready:" in bot.log, bot)
        result = c.at.run("release", "--commit", "c0ffee01")
        assert (result["code"], result["decision"]) == (0, "live")
        assert c.at.wrong(live=True) == []
        assert c.slack.messages == []
        assert bot.log.count("Slack cannot be reached") == 1
        c.slack.well()
        card = c.shows("is live")
        eventually(lambda: c.lines() and c.lines()[-1][1] == len(c.at.kinds("")), bot)
        assert len(c.slack.cards()) == 1
        assert "blue is pinned" in str([one.blocks for one in c.slack.thread(card.ts)])
        assert len(c.lines()) == len(set(c.lines()))
        eventually(lambda: c.slack.connected() == 1, bot)
        assert bot.log.count("Slack answers again") == 1


def test_limits_and_errors(tmp_path: Path) -> None:
    """429 with Retry-After, 500, a deleted card, a wrong channel, a revoked token: the card catches up each time."""
    with chat(tmp_path / "at", **LONG) as c:
        c.slack.fail("chat.postMessage", "ratelimited", status=429, retry_after=2, times=2)
        c.slack.fail("chat.update", "internal_error", status=500, times=2)
        bot = c.ready_bot()
        c.held()
        card = c.shows("both serve until a person promotes")
        c.slack.delete(card.ts)
        eventually(lambda: c.slack.cards() and c.slack.cards()[-1].ts != card.ts, bot)
        asked = [one.at for one in c.slack.called("chat.postMessage")]
        assert all(later - earlier >= 1.9 for earlier, later in pairwise(asked[:3]))
        assert 'bluegreen_slack_rate_limited_total{method="chat.postMessage"} 2.0' in bot.get("/metrics")[1]
        c.slack.members.clear()
        c.slack.command(PROMOTER.id, "/promote").wait()
        c.whispered(PROMOTER.id, "Promoted")
        eventually(lambda: "not_in_channel" in bot.log, bot)
        assert bot.log.count("not_in_channel") == 1
        eventually(lambda: any(one["phase"] == "soaking" for one in events(c, "entered")), bot)
        c.slack.members.add("C0DEPLOYS")
        c.slack.command(ON_CALL.id, "/rollback").wait()
        c.shows("was rolled back", 150)
        assert c.at.wrong(live=False) == []


def test_revoked_token(tmp_path: Path) -> None:
    """The log says once what to do, and the release goes on."""
    with chat(tmp_path / "at") as c:
        bot = c.ready_bot()
        c.slack.revoked = True
        result = c.at.run("release", "--commit", "c0ffee01")
        assert result["decision"] == "live"
        eventually(lambda: "token_revoked" in bot.log, bot)
        assert bot.log.count("install the app again") == 1
        assert c.slack.bot_token not in bot.log


def test_sockets_that_drop(tmp_path: Path) -> None:
    """A dropped socket comes back; a bot that cannot hear says so at /healthz, and so does one without its table."""
    with chat(tmp_path / "at", **PERSON) as c:
        bot = c.ready_bot()
        c.held()
        c.shows("both serve until a person promotes")
        for _ in range(3):
            c.slack.drop_sockets()
            eventually(lambda: c.slack.connected() == 1, bot)
        c.slack.command(GUEST.id, "/promote").wait()
        c.whispered(GUEST.id, "you may not promote")
        c.slack.deaf()
        eventually(lambda: bot.get("/healthz")[0] == 503, bot, seconds=60)
        assert json.loads(bot.get("/healthz")[1])["socket"] is False
        c.slack.well()
        eventually(lambda: bot.get("/healthz")[0] == 200, bot, seconds=60)
        c.at.aws.session(recorded=False).client("dynamodb").delete_table(TableName="bluegreen")
        c.at.aws.close()
        eventually(lambda: json.loads(bot.get("/healthz")[1])["table"] is False, bot, seconds=90)


def test_ended_politely(tmp_path: Path) -> None:
    """SIGTERM: what it drives ends at a safe point, and the next bot goes on at once with the same card."""
    with chat(tmp_path / "at", **LONG) as c:
        first = c.ready_bot()
        c.held()
        card = c.shows("both serve until a person promotes")
        c.slack.press(PROMOTER.id, card.ts, "promote").wait()
        c.shows("green serves alone; blue stays whole")
        began = time.monotonic()
        assert first.end() == 0
        assert time.monotonic() - began < 12
        assert events(c, "interrupted")
        c.ready_bot()
        c.slack.command(ON_CALL.id, "/rollback").wait()
        c.shows("was rolled back")
        assert len(c.slack.cards()) == 1
        assert len(c.lines()) == len(set(c.lines()))
        assert c.at.wrong(live=False) == []


def test_without_settings(tmp_path: Path) -> None:
    """It says everything that is missing, and no secret, with exit code 2."""
    with chat(tmp_path / "at") as c:
        bot = c.bot(SLACK_BOT_TOKEN="xapp-secret-value", SLACK_APP_TOKEN="", PORT="no")
        assert bot.process.wait(30) == 2
        eventually(lambda: "PORT is not a port" in bot.log)
        assert "SLACK_BOT_TOKEN does not begin with xoxb-" in bot.log
        assert "neither SLACK_APP_TOKEN" in bot.log
        assert "secret-value" not in bot.log
