"""The desk in this process: what is typed and pressed, with the real core on the lab's AWS."""

from __future__ import annotations

import itertools
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from bluegreen import EventKind, Interrupted, Outcome, Phase, Release, Until
from bluegreen.advice import commands_in
from bluegreen.config import parse
from bluegreen.errors import Refused
from bot import messages
from bot.commands import Commands, SlackRequest
from bot.metrics import Counters
from bot.slack import Slack, UserGroups
from lab.blocks import problems_of_message
from lab.github import FakeGitHub
from lab.slack import GUEST, ON_CALL, PROMOTER, SECOND, FakeSlack
from lab.world import World
from tests.worlds import FAST, GOOD, HEALTH, SICK, Ops, once
from tests.worlds.github_description import description

CHANNEL, ELSEWHERE = "C0DEPLOYS", "C0OTHER"
WEB, STAGING, API = "web/production", "web/staging", "api/production"
LISTS: dict[str, Any] = {
    "channel": CHANNEL,
    "promoters": [PROMOTER.id, SECOND.id],
    "rollbackers": [ON_CALL.id, PROMOTER.id],
}
SOURCE = {"repository": "acme/web", "server": "https://github.com", "workflow": "release.yml", "ref": "trunk"}
#: Seconds since the epoch at which the lab's clock begins.
NEW_YEAR = 1_767_225_600
Body = Mapping[str, Any]


@pytest.fixture(scope="module")
def slack() -> Iterator[FakeSlack]:
    """One for all: each test is another request, and what is posted is not looked at there."""
    with FakeSlack() as made:
        yield made
    assert made.violations == []


class Reception:
    """A desk with its services, and what people heard there."""

    def __init__(self, at: FakeSlack, drive: Callable[[str], None] | None = None, /, **changes: Any) -> None:
        given = {"slack": LISTS, "promotion": {"by": "person"}, "soak": 4, "poll": 2, **changes}
        self.ops = Ops(instances=1, timings=FAST, health=HEALTH, drain=5, changes=given)
        self.engine = self.ops.engine()
        self.engine.ensure_table()
        self.slack = Slack(at.bot_token, at.url, Counters())
        self.driven: list[str] = []
        self.heard: list[str] = []
        self.drive = drive or self.driven.append
        self.commands = self.another_commands()
        self._requests = itertools.count(1)

    def another_commands(self, **github: Any) -> Commands:
        """Another bot on the same journal."""
        return Commands(self.ops.engine(), self.slack, drive=self.drive, heard=self.heard.append, **github)

    # --- services ---

    def held(self, commit: str = GOOD, **more: Any) -> Release:
        """`web/production` waits for a promotion."""
        return self.drives_on(self.ops.start(commit, **more).id, Until.HELD)

    def live(self, commit: str = GOOD, **more: Any) -> Release:
        """`web/production` was released."""
        release = self.held(commit, **more)
        self.engine.promote(WEB, who="arn:aws:iam::1:user/ann")
        return self.drives_on(release.id)

    def drives_on(self, release: str, until: Until = Until.LIVE) -> Release:
        """A driver takes it as far as it goes."""
        done = self.ops.drive(release, until=until)
        assert done is not None
        return done

    def staging(self) -> Release:
        """`web/staging` bakes, as if it shared the group; nobody drives it."""
        live = [one.record.live for one in self.engine.status(WEB)]
        group = live[0].group if live and live[0] else self.ops.world.group
        config = parse({**self._given(self.ops.world), "environment": "staging", "group": group})
        return self.engine.start(config, commit=GOOD, who="arn:aws:iam::1:user/ann")

    def api(self, until: Until | None = Until.HELD, **more: Any) -> Release:
        """`api/production` waits for a promotion, or only bakes."""
        world = World.standard(self.ops.aws, instances=1, service="api")
        config = parse(self._given(world))
        release = self.engine.start(config, commit=GOOD, who="arn:aws:iam::1:user/ann", **more)
        return self.drives_on(release.id, until) if until else release

    @staticmethod
    def _given(world: World) -> dict[str, Any]:
        given = world.config(promotion={"by": "person"}, soak=20, slack=LISTS)
        given["traffic"]["overlap"] = 20
        return given

    # --- people ---

    def asks(self, line: str, user: str = PROMOTER.id, **more: Any) -> list[Body]:
        """A person types; what they and the channel are answered."""
        name, _, text = line.partition(" ")
        said: list[Body] = []
        (more.pop("at", None) or self.commands).command(name, text, self._asked(user, said, **more))
        return said

    def presses(self, button: Body, user: str = PROMOTER.id, **more: Any) -> list[Body]:
        """A person presses a button."""
        said: list[Body] = []
        self.commands.pressed(str(button["action_id"]), str(button["value"]), self._asked(user, said, **more))
        return said

    def _asked(
        self, user: str, said: list[Body], request: str = "", channel: str = CHANNEL, at_home: bool = False
    ) -> SlackRequest:
        def respond(body: Body) -> bool:
            shown = {key: value for key, value in body.items() if key != "replace_original"}
            assert problems_of_message(shown) == []
            here = re.sub(r"`[^`]+` in a terminal", "", str(body))
            assert not list(commands_in(here)), "a command of the command line is no way on in Slack"
            said.append(body)
            return True

        return SlackRequest(user, request or f"slack/T0LAB/{next(self._requests)}", channel, respond, at_home=at_home)

    # --- what is true now ---

    def happened(self, release: Release | str, kind: EventKind) -> list[Mapping[str, Any]]:
        """The facts of its events of that kind."""
        events = self.engine.events(release if isinstance(release, str) else release.id)
        return [one.facts for one in events if one.kind is kind]

    def card(self, release: Release | str, action: str) -> Body:
        """A button of the card as it looks now."""
        loaded = self.engine.load(release if isinstance(release, str) else release.id)
        return button(messages.card(loaded, self.ops.clock.now()).body(), action)

    def number(self) -> int:
        """How many releases of `web/production` there were."""
        return len(self.engine.history(WEB))


def buttons(body: Body) -> list[Body]:
    """Every button of a message."""
    return [one for block in body.get("blocks", ()) if block["type"] == "actions" for one in block["elements"]]


def button(body: Body, action: str) -> Body:
    """The first whose action begins so."""
    return next(one for one in buttons(body) if str(one["action_id"]).startswith(action))


def choice(said: Sequence[Body], service: str) -> Body:
    """The button for that service, after a question."""
    (body,) = said
    return next(one for one in buttons(body) if one["text"]["text"] == service)


def offered(said: Sequence[Body]) -> list[str]:
    """The services that a question has a button for."""
    assert all(str(one["action_id"]).startswith("choose") for one in buttons(said[0]))
    return [one["text"]["text"] for one in buttons(said[0])]


def told(said: Sequence[Body]) -> str:
    """What the person alone was told."""
    assert [one["response_type"] for one in said][:1] == ["ephemeral"]
    return str(said[0]["text"])


def aloud(said: Sequence[Body]) -> list[str]:
    """What the channel was told."""
    return [str(one["text"]) for one in said[1:] if one["response_type"] == "in_channel"]


# --- one service, or several -------------------------------------------------------------------------------


def test_without_arguments(slack: FakeSlack) -> None:
    """With one service in question nothing need be named; who orders is told, who drives is called."""
    at = Reception(slack)
    assert "no service has releases" in told(at.asks("/promote"))
    release = at.held()
    said = at.asks("/promote", SECOND.id)
    assert (told(said), aloud(said)) == ("Promoted web/production#1.", [])
    assert [one["who"] for one in at.happened(release, EventKind.PROMOTED)] == [f"slack:{SECOND.id}"]
    assert at.driven == at.heard == [release.id]
    assert told(at.asks("/rollback", ON_CALL.id)) == "Ordered the rollback of web/production#1."
    assert at.drives_on(release.id).outcome is Outcome.ROLLED_BACK
    again = at.held("", ami=release.blue_image)  # what serves is no bad image
    assert (again.id, again.phase) == ("web/production#2", Phase.HOLDING)


@pytest.mark.parametrize(
    "words", ["web", "web production", "web/production", "WEB", "Web Production", "  web   production "]
)
def test_how_a_service_is_named(slack: FakeSlack, words: str) -> None:
    """By its name, or with its environment, in any case."""
    at = Reception(slack)
    release = at.ops.start()
    assert told(at.asks(f"/rollback {words}", ON_CALL.id)) == f"Ordered the rollback of {release.id}."
    assert len(at.happened(release, EventKind.ROLLBACK_ORDERED)) == 1


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("/promote production", "there is no service production"),
        ("/promote webs", "there is no service webs"),
        ("/promote web staging", "there is no service web staging"),
        ("/promote web/production now", "has too many words"),
        ("/promote web production now", "has too many words"),
        ("/promote <!channel>", "there is no service &lt;!channel&gt;"),
        ("/rollback to", "there is no service to"),
        ("/rollback web to 0", "is not the number of a release"),
        ("/rollback web to -1", "is not the number of a release"),
        ("/rollback web to two", "is not the number of a release"),
        ("/rollback web to 1", "there is no image of web/production#1"),
        ("/rollback web back to 1", "there is no service web back"),
        ("/release", "no GITHUB_TOKEN"),
        ("/release main", "there is no service main"),
        ("/releases nonsense", "there is no service nonsense that you may see"),
        ("/freeze web 2025-12-31", "is past since 1d"),
        ("/freeze web 2026-02-30", "is not a time"),
        ("/freeze nonsense 4h sale", "Not frozen yet. For how long should web/production be frozen?"),
        ("/freeze web yesterday", "yesterday: is not a time. Write 4h, 2d, 2030-01-31T18:00 (UTC), or forever."),
        ("/freeze web until the sale is over", "until the sale is over: is not a time"),
        (f"/freeze web {'x' * 3000}", "Write the length first, as in: /freeze web/production 4h, and then the reason."),
        ("/promote ?", "/promote [service] [environment]"),
        ("/freeze HELP", "/freeze service"),
    ],
)
def test_what_is_typed_wrongly(slack: FakeSlack, line: str, words: str) -> None:
    """It says what; nothing is ordered."""
    at = Reception(slack)
    release = at.ops.start()
    assert words in told(at.asks(line))
    assert at.engine.load(release.id).seq == release.seq
    assert at.driven == []


@pytest.mark.parametrize("number", ["²", "①"])
def test_a_number_that_is_none(slack: FakeSlack, number: str) -> None:
    """Digits in name only are a typing error, too."""
    at = Reception(slack)
    at.ops.start()
    assert "is not the number of a release" in told(at.asks(f"/rollback web to {number}"))


def test_promoting_one_of_several(slack: FakeSlack) -> None:
    """A button for each that waits for a promotion; the button does what the command would have done."""
    at = Reception(slack)
    at.held()
    api = at.api()
    asked = at.asks("/promote")
    assert offered(asked) == [API, WEB]
    assert "Which service does /promote mean?" in told(asked)
    assert "you may not promote" in told(at.presses(choice(asked, API), GUEST.id))
    assert at.happened(api, EventKind.PROMOTED) == []
    assert told(at.presses(choice(asked, API))) == f"Promoted {api.id}."
    assert [one["who"] for one in at.happened(api, EventKind.PROMOTED)] == [f"slack:{PROMOTER.id}"]
    assert told(at.asks("/promote")) == "Promoted web/production#1."  # the only one that can still be


def test_only_what_can_be_promoted_is_meant(slack: FakeSlack) -> None:
    """One holds and one bakes: there is nothing to ask; of several that do not hold one is asked."""
    at = Reception(slack)
    at.staging()
    api = at.api(until=None)
    assert offered(at.asks("/promote")) == [API, STAGING]
    at.drives_on(api.id, Until.HELD)
    assert told(at.asks("/promote")) == f"Promoted {api.id}."


def test_rolling_back_one_of_two_environments(slack: FakeSlack) -> None:
    """`web` means both; so does nothing."""
    at = Reception(slack)
    production, staging = at.ops.start(), at.staging()
    for line in ("/rollback web", "/rollback"):
        assert offered(at.asks(line, ON_CALL.id)) == [WEB, STAGING]
    pressed = at.presses(choice(at.asks("/rollback web", ON_CALL.id), STAGING), ON_CALL.id)
    assert told(pressed) == f"Ordered the rollback of {staging.id}."
    assert at.happened(production, EventKind.ROLLBACK_ORDERED) == []
    assert [one["who"] for one in at.happened(staging, EventKind.ROLLBACK_ORDERED)] == [f"slack:{ON_CALL.id}"]
    assert told(at.asks("/rollback web", ON_CALL.id)) == f"Ordered the rollback of {production.id}."


def test_rolling_back_to_a_number_of_one_of_two(slack: FakeSlack) -> None:
    """The button remembers the number."""
    at = Reception(slack)
    live = at.live()
    api = at.api(until=None)
    at.engine.roll_back(API, who="arn:aws:iam::1:user/ann")
    assert at.drives_on(api.id).outcome is Outcome.ROLLED_BACK
    asked = at.asks("/rollback to 1", ON_CALL.id)
    assert offered(asked) == [API, WEB]
    assert "there is no image of api/production#1" in told(at.presses(choice(asked, API), ON_CALL.id))
    said = at.presses(choice(asked, WEB), ON_CALL.id)
    assert told(said) == "Started web/production#2: release 1 again."
    assert at.engine.load("web/production#2").image == live.image
    assert at.driven == ["web/production#2"]


def test_freezing_one_of_two(slack: FakeSlack) -> None:
    """The button remembers time and reason."""
    at = Reception(slack)
    at.ops.start()
    at.staging()
    asked = at.asks("/freeze web 4h a &lt;big&gt; sale")
    assert offered(asked) == [WEB, STAGING]
    said = at.presses(choice(asked, STAGING))
    assert told(said).startswith("web/staging is frozen until <!date^")
    assert aloud(said)[0].endswith(": a &lt;big&gt; sale")
    freezes = {one.service: one.freeze for one in at.engine.services()}
    assert freezes[WEB] is None
    frozen = freezes[STAGING]
    assert frozen is not None
    assert (frozen.who, frozen.why) == (f"slack:{PROMOTER.id}", "a <big> sale")
    assert frozen.until == pytest.approx(at.ops.clock.now() + 4 * 3600)


def test_lifting_one_of_two_freezes(slack: FakeSlack) -> None:
    """`off` goes through the button, too."""
    at = Reception(slack)
    at.ops.start()
    at.staging()
    for service in (WEB, STAGING):
        at.asks(f"/freeze {service} forever")
    said = at.presses(choice(at.asks("/freeze web off"), WEB))
    assert (told(said), aloud(said)) == (
        "web/production is not frozen.",
        ["<@U0PROMOTER> lifted the freeze of web/production"],
    )
    assert {one.service: bool(one.freeze) for one in at.engine.services()} == {WEB: False, STAGING: True}


def test_more_services_than_buttons(slack: FakeSlack) -> None:
    """Five have a button; the text names them all."""
    at = Reception(slack)
    given = at._given(at.ops.world)
    for n in range(7):
        at.engine.start(parse({**given, "environment": f"e{n}"}), commit=GOOD, who="arn:aws:iam::1:user/ann")
    asked = at.asks("/rollback")
    assert offered(asked) == [f"web/e{n}" for n in range(5)]
    assert "2 more" in str(asked[0]["blocks"][0])
    assert all(f"web/e{n}" in told(asked) for n in range(7))
    assert told(at.asks("/rollback web e6")) == "Ordered the rollback of web/e6#1."


def test_a_reason_that_fits_no_button(slack: FakeSlack) -> None:
    """What a button cannot hold is never cut: the person names the service."""
    at = Reception(slack)
    at.ops.start()
    at.staging()
    said = at.asks(f"/freeze web 4h {'x' * 3000}")
    assert buttons(said[0]) == []
    assert "Name one of: web/production, web/staging." in told(said)
    assert told(at.asks(f"/freeze web/staging 4h {'x' * 3000}")).startswith("web/staging is frozen until")


#: These do not speak of the release under way, so which has one says nothing about which is meant.
_NARROWED = "_meant narrows to services with a release under way also where none is meant (bot/commands.py)"


@pytest.mark.parametrize("line", ["/freeze web 4h sale", "/rollback web to 1", "/release web"])
def test_one_under_way_says_nothing_about_which_is_meant(slack: FakeSlack, line: str) -> None:
    """A freeze, an earlier image and a new release are for any of the services, not for the one that is busy."""
    at = Reception(slack)
    at.live()
    at.staging()
    at.commands = at.another_commands(github_token="ghs", github_api="http://127.0.0.1:9")
    assert offered(at.asks(line)) == [WEB, STAGING]


# --- buttons of a card -------------------------------------------------------------------------------------


def test_the_card_s_buttons(slack: FakeSlack) -> None:
    """Each orders for the release that the card showed, and only as long as it looks so."""
    at = Reception(slack, promotion={"by": "auto"})
    release = at.ops.start()
    hold, back = at.card(release, "hold"), at.card(release, "roll_back")
    assert told(at.presses(hold, ON_CALL.id)) == f"Held {release.id}."
    assert told(at.presses(hold, ON_CALL.id)).startswith("This release has moved on")
    assert len(at.happened(release, EventKind.HOLD_ORDERED)) == 1
    at.drives_on(release.id, Until.HELD)
    promote = at.card(release, "promote")
    stale = {**promote, "value": f"{release.id}|auto"}
    assert told(at.presses(stale)).startswith("This release has moved on")
    assert told(at.presses(promote)) == f"Promoted {release.id}."
    assert told(at.presses(back, ON_CALL.id)) == f"Ordered the rollback of {release.id}."  # an old face is no reason
    assert told(at.presses(promote)).startswith("This release has moved on")


def test_holding_and_resuming_by_a_command(slack: FakeSlack) -> None:
    """As the button does; and what failed goes on, by those who may say so."""
    at = Reception(slack, promotion={"by": "auto"})
    release = at.ops.start()
    assert "you may not hold it" in told(at.asks("/hold web", GUEST.id))
    assert told(at.asks("/hold web", ON_CALL.id)) == f"Held {release.id}."
    assert "already waits for a promotion" in told(at.asks("/hold"))
    assert (told(at.asks("/resume", ON_CALL.id)), at.driven[-1]) == (f"Resumed {release.id}.", release.id)
    facts = {"outcome": "failed", "reason": "denied", "message": "a permission is missing", "left": []}
    at.engine._journal.settle(at.engine.load(release.id), 3, facts, at.ops.clock.now())
    assert "you may not resume it" in told(at.asks("/resume web production", GUEST.id))
    assert at.engine.load(release.id).outcome is Outcome.FAILED
    assert told(at.asks("/resume web production", ON_CALL.id, channel="C0ELSEWHERE")) == f"Resumed {release.id}."
    assert at.engine.load(release.id).outcome is None
    assert at.driven[-1] == at.heard[-1] == release.id


def test_what_a_frozen_service_advises_can_be_done(slack: FakeSlack) -> None:
    """/promote may be overridden from here; a workflow is given no override, so for /release that is said."""
    at = Reception(slack)
    at.held()
    at.asks("/freeze web 4h sale")
    lift = "`/freeze web/production off` lifts it."
    assert f"{lift} The same with `override REASON` at its end goes on anyway." in told(at.asks("/promote"))
    at.engine.roll_back(WEB, who="arn:aws:iam::1:user/ann")
    at.drives_on("web/production#1")
    at.commands = at.another_commands(github_token="ghs", github_api="http://127.0.0.1:9")
    refused = told(at.asks("/release web"))
    assert f"{lift} To go on anyway, run the workflow by hand on GitHub, with its input `override`." in refused
    assert "/promote" not in refused


def test_a_button_of_an_earlier_release(slack: FakeSlack) -> None:
    """It never touches the release that came after."""
    at = Reception(slack)
    first = at.ops.start()
    back = at.card(first, "roll_back")
    at.asks("/rollback", ON_CALL.id)
    at.drives_on(first.id)
    second = at.ops.start("c0ffee02")
    said = at.presses(back, ON_CALL.id)
    assert told(said).startswith("This release has moved on")
    assert buttons(said[0]) == []
    assert at.happened(second, EventKind.ROLLBACK_ORDERED) == []


def test_two_ids_of_one_person(slack: FakeSlack) -> None:
    """Whoever promoted from a workflow is told so in Slack; whoever may be them is told what to do."""
    people = {"ann": [PROMOTER.id, "octocat"]}
    at = Reception(slack, people=people, promotion={"by": "person", "approvals": 2})
    release = at.held()
    at.engine.promote(WEB, who="github:octocat")
    assert "you have already promoted it, as github:octocat. 1 more must" in told(at.asks("/promote"))
    assert told(at.asks("/promote", SECOND.id)) == f"Promoted {release.id}."
    other = Reception(slack, promotion={"by": "person", "approvals": 2})
    other.held()
    other.engine.promote(WEB, who="github:octocat")
    assert "you may be github:octocat, who has promoted it" in told(other.asks("/promote"))
    again = Reception(slack, people=people, promotion={"by": "person", "approvals": 2})
    again.held()
    assert told(again.asks("/promote")).startswith("Promoted")
    with pytest.raises(Refused, match=f"already promoted it, as slack:{PROMOTER.id}"):
        again.engine.promote(WEB, who="github:octocat")


def test_two_people_and_a_group(slack: FakeSlack) -> None:
    """Who is in the group is Slack's word, and no word is a no; the first is told who is missing."""
    lists = {**LISTS, "promoters": ["S0GROUP"]}
    at = Reception(slack, slack=lists, promotion={"by": "person", "approvals": 2})
    release = at.held()
    said = told(at.asks("/promote"))  # there is no such group yet
    assert "Who may: <!subteam^S0GROUP>. Slack does not show who is in <!subteam^S0GROUP> (no_such_subteam)" in said
    slack.groups = {"S0GROUP": {PROMOTER.id, SECOND.id}}
    assert told(at.asks("/promote")) == f"Promoted {release.id}. 1 more must promote it, too."
    assert "you have already promoted it" in told(at.asks("/promote"))
    refused = told(at.presses(at.card(release, "promote"), GUEST.id))
    assert "you may not promote" in refused
    assert "Who may: <!subteam^S0GROUP>" in refused
    assert told(at.asks("/promote", SECOND.id)) == f"Promoted {release.id}."
    both = [f"slack:{PROMOTER.id}", f"slack:{SECOND.id}"]
    assert [one["who"] for one in at.happened(release, EventKind.PROMOTED)] == both


def test_a_group_that_changes(slack: FakeSlack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who joins it may promote once Slack is asked again; who has left it may no more."""
    at = Reception(slack, slack={**LISTS, "promoters": ["S0GROUP"]})
    release = at.held()
    slack.groups = {"S0GROUP": {PROMOTER.id}}
    assert "you may not promote" in told(at.asks("/promote", SECOND.id))
    slack.groups = {"S0GROUP": {SECOND.id}}
    assert "you may not promote" in told(at.asks("/promote", SECOND.id))
    monkeypatch.setattr(UserGroups, "REMEMBERED", -1.0)
    assert "you may not promote" in told(at.asks("/promote"))
    assert told(at.asks("/promote", SECOND.id)) == f"Promoted {release.id}."


@pytest.mark.parametrize(("channel", "spoken"), [(CHANNEL, False), (ELSEWHERE, True), ("D0DIRECT", True)])
def test_an_order_from_elsewhere(slack: FakeSlack, channel: str, spoken: bool) -> None:
    """The thread tells its own channel; another is told by a line."""
    at = Reception(slack)
    release = at.ops.start()
    said = at.asks("/rollback", ON_CALL.id, channel=channel)
    assert aloud(said) == ([f"<@U0ONCALL>: ordered the rollback of {release.id}"] if spoken else [])


# --- back to an earlier image ------------------------------------------------------------------------------


def test_the_offer_after_live(slack: FakeSlack) -> None:
    """Blue is retired: the image that it ran, and later the release before; a press releases it, despite a freeze."""
    at = Reception(slack)
    first = at.live()
    said = at.asks("/rollback", ON_CALL.id)
    offer = button(said[0], "again")
    assert "blue is retired" in told(said)
    assert "Release web-asg again" in offer["text"]["text"]
    assert first.blue_image in offer["confirm"]["text"]["text"]
    assert at.number() == 1
    for refused in (at.asks("/rollback", GUEST.id), at.presses(offer, GUEST.id)):
        assert "you may not release an earlier image" in told(refused)
    at.asks("/freeze 4h sale")
    pressed = at.presses(offer, ON_CALL.id)
    assert told(pressed) == "Started web/production#2: the image of web-asg again."
    assert aloud(pressed) == ["<@U0ONCALL> started web/production#2: the image of web-asg again"]
    second = at.engine.load("web/production#2")
    assert (second.image, second.started_by) == (first.blue_image, f"slack:{ON_CALL.id}")
    assert at.driven[-1] == at.heard[-1] == second.id
    at.drives_on(second.id, Until.HELD)
    at.asks("/freeze off")
    at.asks("/promote")
    done = at.drives_on(second.id)
    assert done.outcome is Outcome.LIVE
    kept = re.compile("image ami-|template version ")  # of the release before: they stay, to go back to
    assert [one for one in at.ops.wrong(done) if not kept.match(one)] == []
    offer = button(at.asks("/rollback", ON_CALL.id)[0], "again")
    assert offer["text"]["text"] == "Release web/production#1 again"
    assert GOOD[:8] in offer["confirm"]["text"]["text"]
    assert json.loads(offer["value"]) == [WEB, first.image, "release 1 again"]


def test_the_offer_while_blue_is_emptied(slack: FakeSlack) -> None:
    """It is made then, too; pressed too early it says why not, and what to do, and works when the release is live."""
    at = Reception(slack)
    release = at.held()
    at.engine.promote(WEB, who="arn:aws:iam::1:user/ann")
    heard: list[Body] = []

    def retiring(seen: Release) -> None:
        if seen.emptying and not heard:
            heard.extend(at.asks("/rollback", ON_CALL.id))
            heard.extend(at.presses(button(heard[0], "again"), ON_CALL.id))

    assert at.ops.drive(release.id, when=retiring) is not None
    offer, early = heard
    assert "blue is retired" in offer["text"]
    assert "web/production#1 is under way (retiring)" in early["text"]
    assert "start again when it has settled" in early["text"]
    assert at.number() == 1
    assert told(at.presses(button(offer, "again"), ON_CALL.id)).startswith("Started web/production#2")


def test_too_early_does_not_advise_what_is_refused(slack: FakeSlack) -> None:
    """While blue is emptied there is no rolling back: whoever comes from that refusal is not sent back to it."""
    at = Reception(slack)
    release = at.held()
    at.engine.promote(WEB, who="arn:aws:iam::1:user/ann")
    with pytest.raises(Interrupted):
        at.ops.drive(release.id, stop=lambda: at.engine.load(release.id).emptying)
    offer = button(at.asks("/rollback", ON_CALL.id)[0], "again")
    assert "roll it back" not in told(at.presses(offer, ON_CALL.id))


def test_what_was_rolled_back_takes_a_second_question(slack: FakeSlack) -> None:
    """By a button, or by a reason in the command; whoever may not override learns who may."""
    at = Reception(slack, slack={**LISTS, "overriders": [PROMOTER.id], "rollbackers": ["*"]})
    back = once(lambda seen: seen.phase is Phase.LAUNCHING, lambda: at.engine.roll_back(WEB, who="slack:U1"))
    at.ops.drive(at.ops.start(GOOD).id, when=back)
    asked = at.asks("/rollback web to 1")
    assert f"commit {GOOD[:8]} was rolled back in web/production#1" in told(asked)
    second = button(asked[0], "again")
    assert second["confirm"]["title"]["text"] == "Release it anyway?"
    assert "you may not override" in told(at.presses(second, ON_CALL.id))
    assert at.number() == 1
    assert told(at.presses(second, PROMOTER.id)).startswith("Started web/production#2: release 1 again")
    assert at.happened(at.engine.load(f"{WEB}#2"), EventKind.STARTED)[0]["override"] == "asked twice in Slack"
    assert "is under way" in told(at.asks("/rollback web to 1 override the shop is down"))
    assert "needs no reason" in told(at.asks("/rollback web override the shop is down"))


def test_no_offer_after_a_rollback(slack: FakeSlack) -> None:
    """Ordered or not: what is rolled back is back."""
    at = Reception(slack)
    release = at.ops.start(SICK)
    assert at.drives_on(release.id).outcome is Outcome.ROLLED_BACK
    said = at.asks("/rollback", ON_CALL.id)
    assert "is already rolled back" in told(said)
    assert buttons(said[0]) == []


def test_a_card_that_is_live_offers_too(slack: FakeSlack) -> None:
    """The button that was pressed a moment too late; not that of a release long ago."""
    at = Reception(slack)
    release = at.held()
    back = at.card(release, "roll_back")
    at.asks("/promote")
    at.drives_on(release.id)
    assert buttons(at.presses(back, ON_CALL.id)[0]) != []
    second = at.ops.start("c0ffee02")
    assert told(at.presses(back, ON_CALL.id)).startswith("This release has moved on")
    assert at.happened(second, EventKind.ROLLBACK_ORDERED) == []


@pytest.mark.parametrize("words", ["to 1", "web to 1", "web production to #1", "web/production TO web/production#1"])
def test_back_to_a_number(slack: FakeSlack, words: str) -> None:
    """The image of that release as a new release, with the person's name and past any freeze."""
    at = Reception(slack)
    first = at.live()
    at.asks("/freeze forever")
    said = at.asks(f"/rollback {words}", ON_CALL.id, request="slack/T0LAB/twice")
    assert told(said) == "Started web/production#2: release 1 again."
    assert at.engine.load("web/production#2").image == first.image
    assert at.asks(f"/rollback {words}", ON_CALL.id, request="slack/T0LAB/twice") == said
    assert at.number() == 2
    assert "is under way" in told(at.asks(f"/rollback {words}", ON_CALL.id))


# --- /release ----------------------------------------------------------------------------------------------


@contextmanager
def hosted(slack: FakeSlack) -> Iterator[tuple[Reception, FakeGitHub]]:
    """A service that a workflow released, and its GitHub."""
    github = FakeGitHub(description(), token="ghs_right")
    at = Reception(slack)
    at.live(source=SOURCE)
    at.commands = at.another_commands(github_token="ghs_right", github_api=github.url)
    try:
        yield at, github
    finally:
        github.close()
    assert github.violations == []


@pytest.mark.parametrize(
    ("words", "ref", "commit"),
    [
        ("", "trunk", ""),
        ("web", "trunk", ""),
        ("web production", "trunk", ""),
        ("web main", "main", ""),
        ("web/production v1.2.3", "v1.2.3", ""),
        ("web production feature/x&amp;y", "feature/x&y", ""),
        (f"web {'abcdef12' * 5}", "trunk", "abcdef12" * 5),
    ],
)
def test_a_workflow_is_started(slack: FakeSlack, words: str, ref: str, commit: str) -> None:
    """The one that released last, for a branch, a tag or a full commit; the run is shown to person and channel."""
    with hosted(slack) as (at, github):
        said = at.asks(f"/release {words}", request="slack/T0LAB/twice")
        run = "<https://github.com/acme/web/actions/runs/1|the run>"
        assert told(said) == f"Started: {run} in acme/web."
        shown = messages.quoted(commit[:8] or ref)
        assert aloud(said) == [f"<@U0PROMOTER> started a release of web/production from {shown}: {run}"]
        inputs = {"service": "web", "environment": "production", **({"commit": commit} if commit else {})}
        asked = {"workflow": "release.yml", "ref": ref, "inputs": inputs, "return_run_details": True}
        assert github.dispatches == [asked]
        assert at.asks(f"/release {words}", request="slack/T0LAB/twice") == said
        assert len(github.dispatches) == 1


def test_a_workflow_that_does_not_start(slack: FakeSlack) -> None:
    """GitHub's own words; as nothing was begun, the same request may be tried again."""
    with hosted(slack) as (at, github):
        github.fail("/dispatches", 422, times=1, body={"message": "No ref found for: nowhere"})
        said = at.asks("/release web nowhere", request="slack/T0LAB/1")
        assert "GitHub answered 422: No ref found for: nowhere" in told(said)
        assert "ghs_right" not in str(said)
        assert aloud(said) == []
        assert told(at.asks("/release web nowhere", request="slack/T0LAB/1")).startswith("Started: ")


def test_a_github_that_does_not_tell_the_run(slack: FakeSlack) -> None:
    """Then the workflow is named."""
    with hosted(slack) as (at, github):
        github.fail("/dispatches", 204, body="")
        assert told(at.asks("/release")) == "Started: the workflow release.yml in acme/web."


def test_when_no_release_may_start(slack: FakeSlack) -> None:
    """Not by everybody, not frozen, not while one is under way: GitHub is not asked."""
    with hosted(slack) as (at, github):
        assert "you may not release it" in told(at.asks("/release", ON_CALL.id))
        at.asks("/freeze 4h sale")
        assert "frozen by <@U0PROMOTER> until" in told(at.asks("/release"))
        at.asks("/freeze off")
        release = at.ops.start("c0ffee02")
        assert "web/production#2 is under way" in told(at.asks("/release"))
        at.asks("/rollback", ON_CALL.id)
        at.drives_on(release.id)
        assert github.asked == []
        assert told(at.asks("/release")).startswith("Started: ")  # the workflow of the release before is known


def test_a_release_that_came_from_no_workflow(slack: FakeSlack) -> None:
    """It says what to do once by hand."""
    at = Reception(slack)
    at.live()
    at.commands = at.another_commands(github_token="ghs_right", github_api="http://127.0.0.1:9")
    said = at.asks("/release web")
    assert "no GitHub workflow has released it yet" in told(said)
    assert "once by hand" in told(said)


def test_a_plan_shows_what_a_release_would_do_and_starts_nothing(slack: FakeSlack) -> None:
    """By the configuration of the last one, for those who may see the service; without a token for GitHub, too."""
    at = Reception(slack)
    at.live()
    said = at.asks("/release web plan", ON_CALL.id)
    assert told(said).startswith("web/production#2 would replace web-production-v1 by web-production-v2")
    shown = json.dumps(said, ensure_ascii=False)
    assert "instance-hours" in shown
    assert "create web-production-v2" in shown
    assert aloud(said) == []
    assert [one.number for one in at.engine.history(WEB)] == [1]
    assert "you may not see it" in told(at.asks("/release web plan", GUEST.id))


def test_a_plan_of_any_length_is_taken_by_slack(slack: FakeSlack) -> None:
    """What does not fit is counted."""
    assert messages.quoted_lines(["one", "`two`"], 99) == "one\n'two'"
    lines = [f"step {n} {'x' * 40}" for n in range(99)]
    shown = messages.quoted_lines(lines, 500)
    assert len(shown) <= 500
    assert shown.endswith(f"… and {99 - shown.count('step')} more")
    assert messages.quoted_lines(["x" * 99], 9) == ""


def test_releasing_one_of_two(slack: FakeSlack) -> None:
    """The button remembers the branch."""
    with hosted(slack) as (at, github):
        staging = at.staging()
        at.asks("/rollback web staging", ON_CALL.id)
        at.drives_on(staging.id)
        asked = at.asks("/release web main")
        assert offered(asked) == [WEB, STAGING]
        assert github.dispatches == []
        assert "acme/web" in told(at.presses(choice(asked, WEB)))
        assert [(one["ref"], one["inputs"]["environment"]) for one in github.dispatches] == [("main", "production")]


# --- /freeze -----------------------------------------------------------------------------------------------

HOUR, DAY = 3600, 86_400
_31_JANUARY = 30 * DAY  # from the beginning of the lab's clock


@pytest.mark.parametrize(
    ("words", "lasts", "until", "why"),
    [
        ("forever", None, None, ""),
        ("web forever", None, None, ""),
        ("web production forever big sale", None, None, "big sale"),
        ("4h", 4 * HOUR, None, ""),
        ("web 30m sale", 1800, None, "sale"),
        ("web/production 2d big  sale", 2 * DAY, None, "big sale"),
        ("web 2026-01-31", None, NEW_YEAR + _31_JANUARY, ""),
        ("web 2026-01-31T18:00 sale", None, NEW_YEAR + _31_JANUARY + 18 * HOUR, "sale"),
        ("web 2026-01-31T18:00+09:00", None, NEW_YEAR + _31_JANUARY + 9 * HOUR, ""),
        ("web 2026-01-31 18:00 sale", None, NEW_YEAR + _31_JANUARY + 18 * HOUR, "sale"),
        ("web for 4h no word", 4 * HOUR, None, "no word"),
    ],
)
def test_freezing(slack: FakeSlack, words: str, lasts: float | None, until: float | None, why: str) -> None:
    """For a time, to a moment, or until it is lifted; with a reason or without."""
    at = Reception(slack)
    at.ops.start()
    said = at.asks(f"/freeze {words}".strip())
    frozen = at.engine.status(WEB)[0].record.freeze
    assert frozen is not None
    ends = at.ops.clock.now() + lasts if lasts else until
    assert (frozen.who, frozen.why, frozen.until) == (f"slack:{PROMOTER.id}", why, ends)
    shown = f"until <!date^{int(ends)}^" if ends else "until it is lifted"
    assert f"web/production is frozen {shown}" in told(said)
    (line,) = aloud(said)
    assert f"<@U0PROMOTER> froze web/production {shown}" in line
    assert line.endswith(f": {why}" if why else ("UTC>" if ends else "lifted"))


@pytest.mark.parametrize("words", ["", "web", "web production sale of 4h", "sale of the year"])
def test_a_freeze_without_a_time_is_asked_about(slack: FakeSlack, words: str) -> None:
    """Nothing is frozen and nobody hears of it until a length is pressed; the reason goes with it."""
    at = Reception(slack)
    at.ops.start()
    asked = at.asks(f"/freeze {words}".strip())
    assert (aloud(asked), at.engine.status(WEB)[0].record.freeze) == ([], None)
    assert offered(asked) == ["1 hour", "4 hours", "1 day", "Until it is lifted"]
    why = "sale" if "sale" in words else ""
    assert ("The reason: " in told(asked)) is bool(why)
    said = at.presses(choice(asked, "Until it is lifted"))
    assert "web/production is frozen until it is lifted" in told(said)
    at.presses(choice(asked, "4 hours"))
    frozen = at.engine.status(WEB)[0].record.freeze
    assert frozen is not None
    assert frozen.until == at.ops.clock.now() + 4 * HOUR
    assert frozen.why.startswith(why)


def test_who_may_not_freeze_is_not_asked_for_how_long(slack: FakeSlack) -> None:
    """The refusal comes first: buttons that nobody may press are no help."""
    at = Reception(slack)
    at.ops.start()
    assert "you may not freeze" in told(at.asks("/freeze", GUEST.id))


def test_what_a_freeze_does_not_stop(slack: FakeSlack) -> None:
    """A release that asks nobody goes on, and whoever freezes is told how to let it wait; of others nothing is said."""
    at = Reception(slack, promotion={"by": "auto"})
    release = at.ops.start()
    assert f"{release.id} began before and goes on: `/hold web/production` lets it wait." in told(
        at.asks("/freeze web forever")
    )
    at.engine.hold(WEB, who=f"slack:{PROMOTER.id}")
    assert "goes on" not in told(at.asks("/freeze web forever"))


@pytest.mark.parametrize("word", ["off", "lift", "END"])
def test_lifting_a_freeze(slack: FakeSlack, word: str) -> None:
    """Told aloud when there was one; only by somebody of the lists."""
    at = Reception(slack)
    at.ops.start()
    at.asks("/freeze web forever")
    assert "you may not freeze it" in told(at.asks(f"/freeze web {word}", ON_CALL.id))
    said = at.asks(f"/freeze web {word}")
    assert told(said) == "web/production is not frozen."
    assert len(aloud(said)) == 1
    assert at.engine.status(WEB)[0].record.freeze is None
    again = at.asks(f"/freeze {word}")
    assert (told(again), aloud(again)) == ("web/production is not frozen, and was not.", [])


@pytest.mark.parametrize("words", ["99999999d", "web 999999999999h sale", "web 9999-12-31T23:59-12:00"])
def test_a_freeze_past_the_end_of_the_calendar(slack: FakeSlack, words: str) -> None:
    """Either it is refused, or it is written and can be shown; never a internal error of the bot."""
    at = Reception(slack)
    at.ops.start()
    assert "internal error" not in told(at.asks(f"/freeze {words}"))
    assert "internal error" not in told(at.asks("/releases"))


# --- despite a freeze ----------------------------------------------------------------------------------

MAY = {**LISTS, "overriders": [ON_CALL.id]}


def test_promoting_in_spite_of_a_freeze(slack: FakeSlack) -> None:
    """Refused with the way on; by those who may, with a reason, it is given and the reason is told."""
    at = Reception(slack, slack={**MAY, "promoters": [PROMOTER.id, ON_CALL.id]}, promotion={"by": "person"})
    release = at.held()
    at.asks("/freeze 4h sale")
    refused = told(at.asks("/promote"))
    assert "frozen by <@U0PROMOTER> until" in refused
    assert "The same with `override REASON` at its end" in refused
    assert "you may not override a freeze" in told(at.asks("/promote override the shop is down"))
    assert at.happened(release, EventKind.PROMOTED) == []
    said = at.asks("/promote web production OVERRIDE the shop is  down", ON_CALL.id)
    assert told(said).startswith("Promoted web/production#1")
    (facts,) = at.happened(release, EventKind.PROMOTED)
    assert (facts["override"], facts["despite"]) == ("the shop is down", ["frozen"])


@pytest.mark.parametrize("line", ["/promote override", "/promote web override"])
def test_an_override_without_a_reason(slack: FakeSlack, line: str) -> None:
    """Nothing is ordered."""
    at = Reception(slack, slack=MAY)
    release = at.held()
    assert "gives no reason. Give a reason" in told(at.asks(line, ON_CALL.id))
    assert at.happened(release, EventKind.PROMOTED) == []


def test_the_reason_goes_with_the_choice(slack: FakeSlack) -> None:
    """Where several services may be meant, the buttons repeat the whole command."""
    at = Reception(slack)
    at.ops.start()
    at.staging()
    found = [json.loads(one["value"]) for one in buttons(at.asks("/promote web override it burns")[0])]
    assert found == [["/promote", one, "override", "it", "burns"] for one in (WEB, STAGING)]


# --- once --------------------------------------------------------------------------------------------------


def test_the_first_answer_is_kept(slack: FakeSlack) -> None:
    """The same request again, at this bot or another, gives the first answer and does nothing, whatever is true now."""
    at = Reception(slack)
    release = at.ops.start()
    refused = at.asks("/promote", request="slack/T0LAB/early")
    assert "cannot be promoted while" in told(refused)
    at.drives_on(release.id, Until.HELD)
    assert at.asks("/promote", request="slack/T0LAB/early") == refused
    forbidden = at.asks("/promote", GUEST.id, request="slack/T0LAB/guest")
    promoted = at.asks("/promote", request="slack/T0LAB/promotes", channel=ELSEWHERE)
    assert aloud(promoted) != []
    at.drives_on(release.id)
    at.driven.clear()
    for commands in (at.commands, at.another_commands()):
        assert at.asks("/promote", request="slack/T0LAB/promotes", at=commands) == promoted
        assert at.asks("/promote", GUEST.id, request="slack/T0LAB/guest", at=commands) == forbidden
    assert len(at.happened(release, EventKind.PROMOTED)) == 1
    assert at.driven == []
    assert told(at.asks("/promote")) != told(promoted)


def test_a_question_is_kept_and_its_button_acts_once(slack: FakeSlack) -> None:
    """A question is an answer like others; of a button each press is a request of its own."""
    at = Reception(slack)
    production = at.ops.start()
    staging = at.staging()
    asked = at.asks("/rollback web", ON_CALL.id, request="slack/T0LAB/asks")
    first = at.presses(choice(asked, WEB), ON_CALL.id, request="slack/T0LAB/presses")
    assert at.asks("/rollback web", ON_CALL.id, request="slack/T0LAB/asks") == asked
    assert at.presses(choice(asked, WEB), ON_CALL.id, request="slack/T0LAB/presses") == first
    assert len(at.happened(production, EventKind.ROLLBACK_ORDERED)) == 1
    assert at.happened(staging, EventKind.ROLLBACK_ORDERED) == []


def test_a_typing_error_is_not_kept(slack: FakeSlack) -> None:
    """Nothing was decided: the same request may mean something later."""
    at = Reception(slack)
    asked = {"/rollback web": "there is no service web", "/rollback": "no service has releases"}
    for line, words in asked.items():
        assert words in told(at.asks(line, ON_CALL.id, request=f"slack/T0LAB/{line}"))
    at.ops.start()
    assert told(at.asks("/rollback web", ON_CALL.id, request="slack/T0LAB//rollback web")).startswith("Ordered")


def test_an_order_whose_answer_was_lost(slack: FakeSlack, caplog: pytest.LogCaptureFixture) -> None:
    """A mistake after the order: told and logged; the same request again orders nothing twice, and is answered."""
    times: list[str] = []

    def drive(release: str) -> None:
        times.append(release)
        if len(times) == 1:
            raise RuntimeError("a driver that cannot begin")

    at = Reception(slack, drive)
    release = at.ops.start()
    said = told(at.asks("/rollback", ON_CALL.id, request="slack/T0LAB/1"))
    assert "internal error of the bot" in said
    assert "an internal error while answering slack/T0LAB/1" in caplog.text
    assert "a driver that cannot begin" in caplog.text
    assert told(at.asks("/rollback", ON_CALL.id, request="slack/T0LAB/1")).startswith("Ordered the rollback")
    assert len(at.happened(release, EventKind.ROLLBACK_ORDERED)) == 1
    assert times == [release.id, release.id]


@pytest.mark.parametrize("operation", ["GetItem", "Query", "TransactWriteItems"])
def test_a_journal_that_does_not_answer(slack: FakeSlack, operation: str) -> None:
    """The person is told, and asks again; nothing is raised into the thread that works it off, and nothing is kept."""
    at = Reception(slack)
    release = at.ops.start()
    at.ops.aws.faults.deny(f"dynamodb:{operation}")
    said = told(at.asks("/rollback", ON_CALL.id, request="slack/T0LAB/1"))
    assert operation in said
    assert at.driven == []
    at.ops.aws.faults.clear()
    assert told(at.asks("/rollback", ON_CALL.id, request="slack/T0LAB/1")) == f"Ordered the rollback of {release.id}."
    assert len(at.happened(release, EventKind.ROLLBACK_ORDERED)) == 1


def test_an_answer_that_cannot_be_kept(slack: FakeSlack) -> None:
    """The order stands and is driven: the person is told that, not only of the trouble after it."""
    at = Reception(slack)
    release = at.ops.start()
    at.ops.aws.faults.deny("dynamodb:PutItem")
    said = told(at.asks("/rollback", ON_CALL.id))
    assert len(at.happened(release, EventKind.ROLLBACK_ORDERED)) == 1
    assert at.driven == [release.id]
    assert f"Ordered the rollback of {release.id}." in said


# --- looking -----------------------------------------------------------------------------------------------


def test_releases(slack: FakeSlack) -> None:
    """What one may order about; of a single service its last releases, too."""
    at = Reception(slack)
    at.ops.start()
    assert "#1" in str(at.asks("/releases web", ON_CALL.id)[0]["blocks"][-1])
    assert "no service that you may" in told(at.asks("/releases", GUEST.id))
    at.staging()
    both = at.asks("/releases", ON_CALL.id)
    assert WEB in told(both)
    assert STAGING in told(both)
    assert STAGING not in told(at.asks("/releases web production", ON_CALL.id))


def test_the_home(slack: FakeSlack, caplog: pytest.LogCaptureFixture) -> None:
    """Drawn anew at a press; a Slack that refuses it is logged."""
    at = Reception(slack)
    at.ops.start()
    at.presses({"action_id": "refresh", "value": "home"}, ON_CALL.id)
    assert WEB in str(slack.homes.pop(ON_CALL.id))
    slack.fail("views.publish", "not_enabled", times=1)
    at.commands.publish_home(ON_CALL.id)
    assert "could not show a Home" in caplog.text


def test_a_release_is_decided_on_the_home(slack: FakeSlack) -> None:
    """Each sees the buttons that they may press; the answer is theirs alone, and the Home is drawn anew."""
    at = Reception(slack)
    release = at.held()

    def pressable(user: str) -> dict[str, Body]:
        at.commands.publish_home(user)
        shown = [one for block in slack.homes[user] for one in block.get("elements", []) if one["type"] == "button"]
        return {one["action_id"]: one for one in shown}

    assert "live: image `ami-" in str(pressable(ON_CALL.id) and slack.homes[ON_CALL.id])
    assert pressable(ON_CALL.id).keys() == {"roll_back", "refresh"}
    assert pressable(GUEST.id).keys() == {"refresh"}
    promote = pressable(PROMOTER.id)["promote"]
    assert "you may not promote it" in told(at.presses(promote, GUEST.id, channel="", at_home=True))
    said = at.presses(promote, channel="", at_home=True)
    assert (told(said), aloud(said)) == (f"Promoted {release.id}.", [])
    assert '"promote"' not in json.dumps(slack.homes[PROMOTER.id])
    assert at.driven == [release.id]


# --- the way back to the person ----------------------------------------------------------------------------


@contextmanager
def response_url(left: list[int], taken: list[Body]) -> Iterator[str]:
    """An address that answers these statuses in turn, then 200; what it answers with 200 is taken."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"]))
            status = left.pop(0) if left else 200
            if status == 200:
                taken.append(json.loads(sent))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
            """Nobody reads it."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/response"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(
    ("statuses", "reached", "left"),
    [
        ([], True, 0),
        ([500], True, 0),
        ([503, 502, 500], True, 0),
        ([429, 429], True, 0),
        ([500] * 6, False, 2),
        ([404, 200], False, 1),
        ([410, 200], False, 1),
    ],
)
def test_how_an_answer_reaches_the_person(
    slack: FakeSlack,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    statuses: list[int],
    reached: bool,
    left: int,
) -> None:
    """Tried again when Slack fails, four times at most; not when it says that the address is used up."""
    monkeypatch.setattr("bot.slack.PAUSE", 0.01)
    at = Reception(slack)
    release = at.ops.start()
    todo, taken = statuses.copy(), list[Body]()
    with response_url(todo, taken) as url:
        asked = SlackRequest(ON_CALL.id, "slack/T0LAB/1", CHANNEL, lambda body: at.slack.answer(url, body))
        at.commands.command("/rollback", "", asked)
    assert [one["text"] for one in taken] == ([f"Ordered the rollback of {release.id}."] if reached else [])
    assert len(todo) == left
    assert ("did not reach Slack" in caplog.text) is not reached
    assert len(at.happened(release, EventKind.ROLLBACK_ORDERED)) == 1


def test_nobody_at_the_address(slack: FakeSlack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused connection is like a failing Slack: the order stands, and nothing is raised."""
    monkeypatch.setattr("bot.slack.PAUSE", 0.01)
    at = Reception(slack)
    release = at.ops.start()
    answers: list[bool] = []

    def respond(body: Body) -> bool:
        answers.append(at.slack.answer("http://127.0.0.1:9/", body))
        return answers[-1]

    at.commands.command("/rollback", "", SlackRequest(ON_CALL.id, "slack/T0LAB/1", CHANNEL, respond))
    assert answers == [False]
    assert len(at.happened(release, EventKind.ROLLBACK_ORDERED)) == 1
