"""What Slack shows: every state of a release in words, within Slack's limits, and nobody's words as markup."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bluegreen import Kept, Previous, ServiceStatus
from bluegreen.events import Awaited, Event, EventKind, Outcome, Phase, Verb
from bluegreen.journal import Freeze, KeptGreen, Live, ServiceRecord, Summary
from bluegreen.permission import Order
from bot import messages
from bot.messages import Message
from lab.blocks import JSON_OF_BLOCKS, problems_of_home, problems_of_message
from tests.worlds.cards import (
    ACCOUNT,
    NEW_COMMIT,
    NEW_URL,
    OLD_COMMIT,
    OLD_URL,
    PERSON,
    REGION,
    SECOND,
    SERVER,
    Story,
    at,
)
from tests.worlds.events import ALICE, FACTS, FOUND, ID, Diary

Block = dict[str, Any]
UP_TO_SOAKING = (*(phase for phase in Phase if phase.can_roll_back),)


def failed(phase: Phase) -> Story:
    """A release that failed there."""
    return at(phase).ends(Outcome.FAILED, "denied", "not authorized to perform: autoscaling:DeleteAutoScalingGroup")


def rolled_back(phase: Phase) -> Story:
    """A release that was rolled back from there."""
    return at(phase).rolls_back().ends(Outcome.ROLLED_BACK, "check_failed", "home did not hold: 503")


def ordered_back(phase: Phase) -> Story:
    """A release whose rollback was ordered there."""
    return at(phase).ordered(EventKind.ROLLBACK_ORDERED)


#: Every phase, and every outcome from wherever it can come.
STATES: dict[str, Callable[[], Story]] = {
    **{phase.value: partial(at, phase) for phase in Phase},
    **{f"held {phase}": partial(at, phase, hold=True) for phase in Phase},
    **{f"failed in {phase}": partial(failed, phase) for phase in Phase},
    **{f"rolled back from {phase}": partial(rolled_back, phase) for phase in UP_TO_SOAKING},
    **{f"ordered back in {phase}": partial(ordered_back, phase) for phase in UP_TO_SOAKING},
    "live": lambda: at(Phase.RETIRING).ends(Outcome.LIVE),
    "live after a hold": lambda: at(Phase.RETIRING, hold=True).ends(Outcome.LIVE),
    "nobody drives": lambda: interrupted(at(Phase.OVERLAPPING)),
    "a call fails": lambda: failed_attempts(at(Phase.LAUNCHING)),
    "resumed": lambda: failed(Phase.SOAKING).ordered(EventKind.RESUMED),
    "without source": lambda: at(Phase.OVERLAPPING, facts={"source": {}, "account": "", "region": ""}),
}
states = pytest.mark.parametrize("make", STATES.values(), ids=STATES.keys())


def interrupted(story: Story) -> Story:
    """Its driver was told to stop."""
    story.happens(EventKind.INTERRUPTED, holder="host:1")
    return story


def failed_attempts(story: Story, message: str = "Rate exceeded") -> Story:
    """A call fails and will be tried again."""
    problem = {"code": "Throttling", "message": message, "transient": True, "denied": False}
    story.happens(EventKind.STUMBLED, verb="create_green", **problem)
    return story


# --- what a message holds ----------------------------------------------------------------------------------


def objects(value: object) -> Iterator[Block]:
    """Every object in the blocks."""
    if isinstance(value, Mapping):
        yield dict(value)
    for inner in value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ():
        yield from objects(inner)


def texts(value: object, kind: str) -> list[str]:
    """Every text object of a kind, as it is read."""
    return [text.replace(messages.TIED, " ") for text in written(value, kind)]


def written(value: object, kind: str) -> list[str]:
    """The same, with the spaces at which no line ends."""
    return [str(one["text"]) for one in objects(value) if one.get("type") == kind]


def shown(said: Message) -> str:
    """Everything that can be read without pressing anything, a text object a line."""
    return "\n".join(text for text in texts([b for b in said.blocks if b["type"] != "actions"], "mrkdwn"))


def buttons(blocks: object) -> list[Block]:
    """Every button."""
    return [one for one in objects(blocks) if one.get("type") == "button"]


def actions(said: Message) -> list[str]:
    """What can be pressed."""
    return [str(one["action_id"]) for one in buttons(said.blocks)]


def bar(said: Message) -> str:
    """The line of the phases."""
    (found,) = [text for text in written(said.blocks, "mrkdwn") if "baking" in text]
    assert not [part for part in found.split("  ") if " " in part]  # no line ends within a phase
    return found.replace(messages.TIED, " ")


def lines_of(text: str) -> list[str]:
    """Its lines; the space at which none ends is no evil character."""
    return text.replace(messages.TIED, " ").split("\n")


def check_lines(said: Message) -> list[str]:
    """The lines of the checks."""
    lines = shown(said).split("\n")
    return [one for one in lines if one.startswith(("✗ check", "✓ check", "· check", "and "))]


#: Our own markup: mentions, times, links into the repository.
MENTION = re.compile(r"<(?:@|!subteam\^)([UWS][A-Z0-9]+)>")
OURS = re.compile(r"<!date\^\d+\^[^<>|]+\|[^<>|]+>|<https://(?:github|example)\.com/[^<>|\s]+\|[^<>]*>")


def markup(said: Message) -> list[str]:
    """What Slack would take for markup and is none of ours; who is mentioned is told by id."""
    found = []
    for text in [said.text, *texts(said.blocks, "mrkdwn")]:
        found += MENTION.findall(text)
        found += re.findall(r"<[^<>]*>?|>", OURS.sub("", MENTION.sub("", text)))
    return sorted(set(found))


def problems(said: Message) -> list[str]:
    """What Slack would refuse."""
    return problems_of_message(said.body())


# --- the card ----------------------------------------------------------------------------------------------


@states
def test_every_card_is_one_that_slack_takes(make: Callable[[], Story]) -> None:
    """In every phase and outcome; with room to spare; every text of ours is verbatim."""
    card = make().card
    assert problems(card) == []
    assert all(one.get("verbatim") is True for one in objects(card.blocks) if one.get("type") == "mrkdwn")
    assert not any(one["emoji"] for one in objects(card.blocks) if one.get("type") == "plain_text")
    assert len(card.blocks) <= 12
    assert markup(card) in ([], ["U0PROMOTER"])


@states
def test_every_card_says_its_state_in_words(make: Callable[[], Story]) -> None:
    """The top-level text names the release and where it stands, and so does the headline."""
    story = make()
    card, release = story.card, story.release
    state = (release.outcome or release.phase).value.replace("_", " ")
    (header,) = [block["text"]["text"] for block in card.blocks if block["type"] == "header"]
    assert card.text.startswith(f"{ID} ")
    assert state.replace("live", "is live") in card.text
    assert header.endswith(f"{ID} {state}")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("overlapping", f"{ID} is overlapping: blue and green both serve. blue 4 of 4 healthy, 50 % of the traffic; "),
        ("live", f"{ID} is live after "),
        ("rolled back from soaking", "web-production-v41 serves alone: "),
        ("failed in soaking", f"{ID} failed in soaking, a person must act: a permission is missing: not authorized"),
        ("nobody drives", f"{ID} is overlapping, interrupted: "),
    ],
)
def test_the_text_of_a_card(name: str, words: str) -> None:
    """Screen readers and notifications have nothing else."""
    assert words in STATES[name]().card.text


def test_the_text_names_failing_checks() -> None:
    """By their names; those that pass are not in it."""
    story = at(Phase.OVERLAPPING)
    story.checks("home", passed=False).checks("targets", passed=True).checks("unit", passed=False)
    assert story.card.text.endswith(". failing checks: home, unit")


def test_a_cure_tells_why_on_its_card_and_what_going_back_is() -> None:
    """Blue is not given anything; it goes on as it is."""
    ill = "the group web-asg is not completely healthy: its desired size is 0"
    story = at(Phase.OVERLAPPING, facts={"cure": ill, "wanted": 2})
    shown = json.dumps(story.card.blocks)
    assert f"*A cure, without a rollback to blue:* {ill}" in shown
    assert "blue (#41) goes on as it is, green (9f8e7d6c) is removed" in shown
    assert "A cure" not in json.dumps(at(Phase.OVERLAPPING).card.blocks)


@pytest.mark.parametrize(
    ("facts", "source", "blue", "said"),
    [
        (
            {},
            {},
            "web-production-v41",
            f"*from* #41 <{OLD_URL}|1a2b3c4d>  *to* #42 <{NEW_URL}|9f8e7d6c>",
        ),
        (
            {"blue_commit": ""},
            {},
            "web-asg",
            f"*from* what `web-asg` runs  *to* #42 <{NEW_URL}|9f8e7d6c>",
        ),
        (
            {"blue_commit": "", "blue_image": "ami-0old"},
            {},
            "web-asg",
            f"*from* image `ami-0old`  *to* #42 <{NEW_URL}|9f8e7d6c>",
        ),
        ({"blue_commit": ""}, {}, "web-production-v41", f"*from* #41  *to* #42 <{NEW_URL}|9f8e7d6c>"),
        ({}, {"server": ""}, "web-asg", "*from* `1a2b3c4d`  *to* #42 `9f8e7d6c`"),
        pytest.param(
            {},
            {"server": "javascript:x"},
            "web-asg",
            "*from* `1a2b3c4d`  *to* #42 `9f8e7d6c`",
        ),
        ({"commit": "", "image": "ami-0def"}, {}, "web-production-v9", "  *to* #42 image `ami-0def`"),
    ],
)
def test_from_what_to_what(facts: dict[str, str], source: dict[str, str], blue: str, said: str) -> None:
    """Versions, with links where the repository is known; what is older than the first release has only an image."""
    card = Story(facts=facts, source=source, blue=blue).card
    (line,) = [text for text in texts(card.blocks, "mrkdwn") if text.startswith("*from*")]
    assert line.endswith(said)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ({}, ["Faster checkout, by Ann"]),
        ({"author": ""}, ["Faster checkout"]),
        ({"title": ""}, []),
        ({"title": "x" * 201}, [f"{'x' * 199}…, by Ann"]),
        ({"title": "*bold* `code` <https://evil|click>"}, ["*bold* `code` <https://evil|click>, by Ann"]),
        ({"title": "two\nlines\tand \x1b[31mred"}, ["two lines and red, by Ann"]),
    ],
)
def test_a_title_is_plain_text(source: dict[str, str], found: list[str]) -> None:
    """Whatever it looks like: in an object in which nothing means anything, on one line."""
    card = Story(source=source).card
    plain = [b["text"] for b in card.blocks if b["type"] == "section" and b.get("text", {}).get("type") == "plain_text"]
    assert [one["text"] for one in plain] == found
    assert "Faster" not in shown(card)
    assert all("<https://evil" not in text for text in [card.text, *texts(card.blocks, "mrkdwn")])


def test_where_and_by_whom() -> None:
    """Service, account, region and who started it."""
    line = f"web/production  ·  account {ACCOUNT}  ·  {REGION}  ·  started by "
    assert f"{line}Admin/alice" in shown(Story().card)
    assert f"{line}<@U0PROMOTER>" in shown(Story(facts={"who": PERSON}).card)
    assert "web/production  ·  started by Admin/alice" in shown(Story(facts={"account": "", "region": ""}).card)


def test_what_was_found_beforehand_is_on_the_card() -> None:
    """What was warned of, with what to do; a note is no news here."""
    said = texts(at(Phase.SOAKING, found=True).card.blocks, "mrkdwn")
    assert "⚠ web-asg belongs to a stack: the stack will miss it. Set `retire: empty`." in said
    assert "open connections" not in str(at(Phase.SOAKING, found=True).card.blocks)


def test_of_many_findings_the_card_shows_some() -> None:
    """The thread has them all."""
    many = [{**FOUND[0].to_facts(), "found": f"thing {n}"} for n in range(5)]
    shown = str(at(Phase.BAKING, facts={"findings": many}).card.blocks)
    assert ("thing 2" in shown, "thing 3" in shown, "and 2 more, in the thread" in shown) == (True, False, True)


def test_the_thread_begins_with_what_was_found() -> None:
    """Where something was warned of; else the card says how it began."""
    story = Story(found=True)
    assert messages.worth_a_line(story.last)
    first, *found = messages.told(story.last, story.release).splitlines()
    assert "started web/production#42" in first
    assert found == ["• warning: web-asg belongs to a stack: the stack will miss it. Set `retire: empty`."]
    assert not messages.worth_a_line(Story(facts={"findings": [FOUND[1].to_facts()]}).last)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("baking", "*▶ baking*  ○ launching  ○ checking  ○ overlapping  ○ switching  ○ soaking  ○ retiring"),
        (
            "held baking",
            "*▶ baking*  ○ launching  ○ checking  ○ overlapping  ○ holding  ○ switching  ○ soaking  ○ retiring",
        ),
        ("checking", "✓ baking  ✓ launching  *▶ checking*  ○ overlapping  ○ switching  ○ soaking  ○ retiring"),
        (
            "holding",
            "✓ baking  ✓ launching  ✓ checking  ✓ overlapping  *▶ holding*  ○ switching  ○ soaking  ○ retiring",
        ),
        ("soaking", "✓ baking  ✓ launching  ✓ checking  ✓ overlapping  ✓ switching  *▶ soaking*  ○ retiring"),
        ("live", "✓ baking  ✓ launching  ✓ checking  ✓ overlapping  ✓ switching  ✓ soaking  ✓ retiring"),
        (
            "live after a hold",
            "✓ baking  ✓ launching  ✓ checking  ✓ overlapping  ✓ holding  ✓ switching  ✓ soaking  ✓ retiring",
        ),
        ("rolling_back", "✓ baking  ✓ launching  ✓ checking  ✗ overlapping  *▶ rolling back*"),
        ("rolled back from baking", "✗ baking  ✓ rolled back"),
        (
            "rolled back from soaking",
            "✓ baking  ✓ launching  ✓ checking  ✓ overlapping  ✓ switching  ✗ soaking  ✓ rolled back",
        ),
        ("failed in launching", "✓ baking  *✗ launching*"),
        (
            "failed in retiring",
            "✓ baking  ✓ launching  ✓ checking  ✓ overlapping  ✓ switching  ✓ soaking  *✗ retiring*",
        ),
        pytest.param(
            "failed in rolling_back",
            "✓ baking  ✓ launching  ✓ checking  ✗ overlapping  *✗ rolling back*",
        ),
    ],
)
def test_the_bar_of_the_phases(name: str, said: str) -> None:
    """By names, with marks that are no colours."""
    assert bar(STATES[name]().card) == said


@states
def test_no_mark_stands_alone_at_the_end_of_a_line(make: Callable[[], Story]) -> None:
    """Nor begins its word the next one: the space between them does not break."""
    story = make().checks("home", passed=False, value="503").checks("unit", passed=True, held=True)
    status = service(story=story, freeze=Freeze(ALICE, "", 1000.0))
    blocks = [*story.card.blocks, *messages.service_blocks(status, NOW)]
    said = "\n".join([*written(blocks, "mrkdwn"), *written(blocks, "plain_text")])
    assert re.findall(r"[✓✗▶○⚠❄🔷🟩✅❌🔵⏪\ufe0f](?!\ufe0f|\u00a0).?.?", said) == []


def test_both_groups_with_counts_and_share() -> None:
    """As they were seen last, from before green is made until blue is gone."""

    def groups(story: Story) -> list[str]:
        (fields,) = [block["fields"] for block in story.card.blocks if "fields" in block]
        return texts(fields, "mrkdwn")

    story = Story()
    blue, green = "🔷 *blue*  `web-production-v41`\n", "🟩 *green*  `web-production-v42`\n"
    assert groups(story) == [f"{blue}serves", f"{green}not made yet"]
    assert groups(Story().settles("rolled_back", "build_failed"))[1] == f"{green}was not made"
    story.sees("blue", 4, 4, 100).sees("green", 2, 0, 0)
    assert groups(story) == [f"{blue}4 of 4 healthy, 100 % of the traffic", f"{green}2 of 4 in service, no traffic"]
    story.sees("blue", 4, 4, 50).sees("green", 4, 3, 50)
    assert groups(story) == [
        f"{blue}4 of 4 healthy, 50 % of the traffic",
        f"{green}3 of 4 healthy, 50 % of the traffic",
    ]
    story.sees("green", 4, 0, 50)
    assert groups(story)[1] == f"{green}0 of 4 healthy, 50 % of the traffic"
    story.sees("blue", 4, 0, None, desired=0).does(Verb.DELETE_BLUE)
    assert groups(story)[0] == f"{blue}removed"
    assert groups(Story().does(Verb.DELETE_GREEN))[1] == f"{green}removed"


# --- checks ------------------------------------------------------------------------------------------------


def test_checks_with_their_values() -> None:
    """Failing, on the way, held; the words say it, not only the mark."""
    story = at(Phase.OVERLAPPING)
    assert check_lines(story.card) == []
    story.checks("targets", passed=True, streak=3, held=True, value="4 of 4 healthy")
    story.checks("home", passed=False, streak=1, value="503").checks("errors", passed=False, streak=4, value="ALARM")
    story.checks("unit", passed=True, streak=2, value="")
    assert check_lines(story.card) == [
        "✗ check *home* fails: 503",
        "✗ check *errors* fails 4 times: ALARM",
        "· check unit passes",
        "✓ check targets holds: 4 of 4 healthy",
    ]


def test_a_check_that_flaps_says_how_often() -> None:
    """Behind its last answer's word, before its value."""
    story = at(Phase.OVERLAPPING).checks("home", passed=False, value="503", changes=40, over=600.4)
    story.checks("unit", passed=True, held=True, changes=40, over=600.4)
    assert check_lines(story.card) == [
        "✗ check *home* fails, it flaps (changed 40 times in 10m): 503",
        "✓ check unit holds, it flaps (changed 40 times in 10m): 200",
    ]


def test_a_check_on_its_way_says_how_far() -> None:
    """As often as the frozen configuration wants it."""
    check = {"name": "home", "http": "https://web.example.com/", "needs": 3}
    story = at(Phase.OVERLAPPING, checks=[check]).checks("home", passed=True, streak=2, value="200")
    assert check_lines(story.card) == ["· check home passes (2 of 3): 200"]


@pytest.mark.parametrize(("many", "more"), [(8, []), (9, ["and 1 more"]), (30, ["and 22 more"])])
def test_of_many_checks_the_failing_are_shown(many: int, more: list[str]) -> None:
    """Eight, and how many more there are; those that fail first, whenever they were seen."""
    story = at(Phase.OVERLAPPING)
    for n in range(many - 2):
        story.checks(f"check-{n}", passed=True, streak=3, held=n % 2 == 0, value="x" * 300)
    story.checks("red", passed=False, value="x" * 300).checks("black", passed=False, value="503")
    lines = check_lines(story.card)
    assert [one.split(":")[0] for one in lines[:2]] == ["✗ check *red* fails", "✗ check *black* fails"]
    assert len(lines) == 8 + len(more)
    assert lines[8:] == more
    assert problems(story.card) == []


# --- what is awaited ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        (EventKind.ROLLBACK_ORDERED, f"*{messages.who(PERSON)} ordered the rollback.*"),
        (EventKind.PROMOTED, f"promoted by {messages.who(PERSON)} (1 of 1)"),
    ],
)
def test_an_order_is_shown_also_while_nobody_drives(kind: EventKind, shown: str) -> None:
    """Whoever ordered sees that it was taken."""
    story = interrupted(at(Phase.OVERLAPPING)).ordered(kind)
    assert shown in state(story)
    assert "It has no driver now" in state(story)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("failed in soaking", "Once that is fixed: `/resume web/production`; go back: `/rollback web/production`"),
        ("failed in rolling_back", "Once that is fixed: `/resume web/production`"),
        ("rolled back from soaking", "`/release`"),
    ],
)
def test_an_end_that_is_not_live_says_what_to_do(name: str, words: str) -> None:
    """Below how it ended, in Slack's own commands."""
    lines = [text for text in texts(STATES[name]().card.blocks, "mrkdwn") if f"*{ID}" in text]
    assert [words in text.partition("\n")[2] for text in lines] == [True]


def state(story: Story, later: float = 5) -> str:
    """The lines that say what goes on, and how long it has."""
    card = messages.card(story.release, story.now + later)
    (line,) = [text for text in texts(card.blocks, "mrkdwn") if "since the start" in text]
    return line


@pytest.mark.parametrize(
    ("phase", "awaited", "said", "seconds"),
    [
        (Phase.BAKING, Awaited.IMAGE, "waiting for image web-production-v42-9f8e7d6c to become available", 7200),
        (Phase.LAUNCHING, Awaited.GREEN_UP, "waiting for green's instances to come in service (1 of 4)", 900),
        (Phase.CHECKING, Awaited.CHECKS, "waiting for every check to hold", None),
        (Phase.HOLDING, Awaited.PROMOTION, "waiting for a person to promote", None),
        (Phase.SWITCHING, Awaited.READ_BACK, "waiting for the load balancer to show the last change", None),
        (Phase.SOAKING, Awaited.SOAK, "waiting for the soak to pass", 900),
        (Phase.RETIRING, Awaited.BLUE_EMPTY, "waiting for blue's instances to leave (4 left)", None),
    ],
)
def test_what_is_awaited_and_until_when(phase: Phase, awaited: Awaited, said: str, seconds: float | None) -> None:
    """What its driver wrote, in the reader's own time; nothing is promised that is over."""
    story = at(phase).checks("targets", passed=True, streak=3, held=True)
    assert "waiting for" not in state(story), "nothing is guessed"
    ends = story.now + (seconds or 60)
    until = {"deadline": ends} if seconds or phase is Phase.HOLDING else {}
    story.happens(EventKind.AWAITED, awaited=awaited, **until)
    text = state(story)
    if seconds is None:
        assert f"{said}  ·  " in text
        return
    assert f"{said} (until <!date^{int(ends)}^{{time_secs}}|" in text
    assert f"{said}  ·  " in state(story, later=ends - story.now + 1)


@pytest.mark.parametrize(("then", "word"), [("rollback", "rolled back"), ("promote", "promoted")])
def test_a_hold_says_when_it_expires_and_into_what(then: str, word: str) -> None:
    """Checks held or not; not once it is over, and nowhere else."""
    story = holding({"timeout": 7200.0, "on_timeout": then})
    ends = story.release.in_phase_since + 7200
    line = f"Expires <!date^{int(ends)}^{{date_short_pretty}} {{time}}|"
    assert line in state(story)
    assert f"UTC>: then it is {word}.\n" in state(story)
    assert "Expires" not in state(story, later=ends - story.now)
    assert "Expires" not in state(story.ordered(EventKind.PROMOTED))
    assert "Expires" not in state(at(Phase.OVERLAPPING))
    assert "Expires" not in state(holding({}))


def holding(promotion: Mapping[str, Any], **config: Any) -> Story:
    """A release that waits for a person, by that configuration."""
    story = at(Phase.HOLDING, hold=True)
    story.release = replace(story.release, config={**story.release.config, "promotion": promotion, **config})
    return story


# --- a hold that expires -----------------------------------------------------------------------------------


def reminded(promoters: list[str], given: tuple[str, ...] = (), approvals: int = 1) -> str:
    """What the channel hears."""
    story = holding({"approvals": approvals}, slack={"promoters": promoters})
    story.release = replace(story.release, promoters=given)
    story.happens(EventKind.OBSERVED, subject="hold", value="expires", at=story.now + 1801, then="rollback")
    assert messages.worth_a_line(story.last)
    assert messages.aloud(story.last)
    assert problems(messages.lines([messages.line(story.last, story.release)], "x")) == []
    return messages.told(story.last, story.release)


def test_whoever_may_promote_is_reminded() -> None:
    """By id, groups too; not whoever has promoted, never everyone, and not a crowd."""
    said = reminded(["U0ANN", "S0GROUP"])
    assert said == f"nobody has promoted {ID}: in 30m it is rolled back. Who may promote: <@U0ANN>, <!subteam^S0GROUP>"
    assert reminded(["*"]) == reminded([]) == f"nobody has promoted {ID}: in 30m it is rolled back"
    half = reminded(["U0ANN", "U0BOB", "*"], given=("slack:U0ANN",), approvals=2)
    assert half == f"only 1 of 2 people has promoted {ID}: in 30m it is rolled back. Who may promote: <@U0BOB>"
    crowd = reminded([f"U{n}" for n in range(9)])
    assert crowd.endswith("<@U3> and 5 more")
    assert crowd.count("<@") == messages.MOST_REMINDED


def test_other_sights_remind_nobody() -> None:
    """Nor are they for the channel."""
    story = at(Phase.HOLDING).sees("green", 4, 4, 50)
    assert not messages.aloud(story.last)
    assert "Who may" not in messages.told(story.last, story.release)


def test_people_in_our_sentences_are_mentions() -> None:
    """Those of this workspace, by their whole id; nothing else becomes one."""
    assert messages.mentioned("as slack:U0ANN, or slack:ann") == "as <@U0ANN>, or slack:ann"
    assert messages.mentioned("<!here> U0ANN") == "&lt;!here&gt; U0ANN"


def test_a_time_is_the_readers() -> None:
    """Slack shows it in their zone; whoever's client cannot reads UTC."""
    assert messages.moment(1_700_000_000.9) == "<!date^1700000000^{time_secs}|22:13:20 UTC>"
    before = math.nextafter(1_700_000_000, 0)
    assert messages.moment(before) == "<!date^1699999999^{time_secs}|22:13:19 UTC>"
    assert messages.moment(0, "{date_short}") == "<!date^0^{date_short}|00:00:00 UTC>"


def test_how_long_it_goes_on() -> None:
    """Since it was started."""
    story = Story()
    assert state(story, later=3723).endswith("1h 2m since the start")
    assert "since the start" not in shown(STATES["live"]().card)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nobody drives", "*It has no driver now; the next one continues it.*"),
        ("ordered back in holding", "*<@U0PROMOTER> ordered the rollback.*"),
        ("a call fails", "waiting for the next try (could not create web-production-v42 with 4 instances)"),
        ("rolling_back", "*the traffic returns to blue, then green is removed: home did not hold: 503*"),
    ],
)
def test_what_goes_on_beside_the_usual(name: str, words: str) -> None:
    """What a person has to know first."""
    assert words in state(STATES[name]())


@pytest.mark.parametrize(
    ("story", "words"),
    [
        (lambda: at(Phase.HOLDING, hold=True), ""),
        (lambda: at(Phase.OVERLAPPING).ordered(EventKind.HOLD_ORDERED), "held by <@U0PROMOTER>"),
        (lambda: at(Phase.HOLDING, hold=True).ordered(EventKind.PROMOTED), "promoted by <@U0PROMOTER> (1 of 1)"),
        (
            lambda: (
                at(Phase.HOLDING, hold=True, promotion={"by": "person", "approvals": 3})
                .ordered(EventKind.PROMOTED)
                .ordered(EventKind.PROMOTED, ALICE)
            ),
            "promoted by <@U0PROMOTER>, Admin/alice (2 of 3)",
        ),
    ],
)
def test_who_decided(story: Callable[[], Story], words: str) -> None:
    """Holds and promotions, with those that are still missing."""
    text = state(story())
    assert text.endswith(words)
    assert words or ("by <@" not in text and "promoted by" not in text)


def test_who_ordered_the_rollback_is_said_to_the_end() -> None:
    """While it goes on, and once it is over."""
    story = at(Phase.SOAKING).ordered(EventKind.ROLLBACK_ORDERED).rolls_back("ordered", "")
    assert "ordered by <@U0PROMOTER>" in state(story)
    assert "serves alone: ordered by <@U0PROMOTER>*" in shown(story.ends(Outcome.ROLLED_BACK, "ordered").card)


# --- buttons -----------------------------------------------------------------------------------------------

_ORDERS = {"P": "promote", "R": "roll_back", "H": "hold"}
#: phase: without a hold, held, promoted by one of one, promoted by one of two, a rollback ordered
_DECIDABLE = {
    Phase.BAKING: ("RH", "R", "R", "R", ""),
    Phase.LAUNCHING: ("RH", "R", "R", "R", ""),
    Phase.CHECKING: ("RH", "R", "R", "R", ""),
    Phase.OVERLAPPING: ("PRH", "PR", "R", "PR", ""),
    Phase.HOLDING: ("PR", "PR", "R", "PR", ""),
    Phase.SWITCHING: ("R", "R", "R", "R", ""),
    Phase.SOAKING: ("R", "R", "R", "R", ""),
    Phase.RETIRING: ("R", "R", "R", "R", ""),
    Phase.ROLLING_BACK: ("", "", "", "", ""),
}
_TWO = {"promotion": {"by": "person", "approvals": 2}}
_WAYS: tuple[Callable[[Phase], Story], ...] = (
    at,
    lambda phase: at(phase, hold=True),
    lambda phase: at(phase, hold=True).ordered(EventKind.PROMOTED),
    lambda phase: at(phase, hold=True, **_TWO).ordered(EventKind.PROMOTED),
    lambda phase: at(phase).ordered(EventKind.ROLLBACK_ORDERED),
)


@pytest.mark.parametrize("way", range(5), ids=["auto", "held", "promoted", "one of two", "ordered back"])
@pytest.mark.parametrize("phase", list(Phase))
def test_what_can_be_decided_has_a_button(phase: Phase, way: int) -> None:
    """And nothing else: a decision takes its buttons with it."""
    story = _WAYS[way](phase)
    assert actions(story.card) == [_ORDERS[one] for one in _DECIDABLE[phase][way]]
    assert {one["value"] for one in buttons(story.card.blocks)} <= {story.release.revision}


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("outcome", list(Outcome))
def test_what_is_over_has_no_button(outcome: Outcome, phase: Phase) -> None:
    """Only of a failed one blue can be given the traffic again, while it is whole."""
    back = outcome is Outcome.FAILED and phase is not Phase.ROLLING_BACK
    card = at(phase, hold=True).ends(outcome, "denied").card
    assert actions(card) == (["roll_back"] if back else [])
    assert [block["type"] for block in card.blocks].count("actions") == back


def test_a_blue_that_is_emptied_has_no_button() -> None:
    """Nor has a cure once what was ill is out."""
    assert actions(at(Phase.RETIRING).does(Verb.EMPTY_BLUE).card) == []


def test_a_rollback_of_a_failed_release_takes_the_button() -> None:
    """It is under way again."""
    assert actions(failed(Phase.SOAKING).ordered(EventKind.ROLLBACK_ORDERED).card) == []


@pytest.mark.parametrize(
    ("facts", "blue", "old", "new"),
    [
        ({}, "web-production-v41", "#41", "9f8e7d6c"),
        ({}, "web-asg", "web-asg", "9f8e7d6c"),
        ({"commit": "", "image": "ami-0def"}, "web-production-v41", "#41", "ami-0abc"),
        ({}, "g" * 255, "g" * 59 + "…", "9f8e7d6c"),
    ],
)
def test_a_button_asks_before_it_counts(facts: dict[str, str], blue: str, old: str, new: str) -> None:
    """What it does, where, from what to what; the danger is marked, and it can be left."""
    story = Story(facts=facts, blue=blue).comes_to(Phase.OVERLAPPING)
    found = {one["action_id"]: one for one in buttons(story.card.blocks)}
    where = f"web/production in account {ACCOUNT}, {REGION}: "
    said = {
        "promote": f"{where}green ({new}) gets all traffic, blue ({old}) none.",
        "roll_back": f"{where}blue ({old}) gets all traffic again, green ({new}) is removed.",
        "hold": f"{where}blue ({old}) and green ({new}) both serve until someone promotes or rolls back.",
    }
    titles = {"promote": f"Promote {ID}?", "roll_back": f"Roll back {ID}?", "hold": f"Hold {ID}?"}
    assert {name: one["confirm"]["text"]["text"] for name, one in found.items()} == said
    assert {name: one["confirm"]["title"]["text"] for name, one in found.items()} == titles
    assert {one["confirm"]["deny"]["text"] for one in found.values()} == {"Cancel"}
    assert (found["promote"]["style"], found["roll_back"]["style"]) == ("primary", "danger")
    assert found["roll_back"]["confirm"]["style"] == "danger"
    assert "style" not in found["hold"]
    assert all(one["accessibility_label"] == one["text"]["text"] for one in found.values())


def test_a_hold_changes_what_a_button_stands_for() -> None:
    """One that was pressed on the card of before is stale."""
    story = at(Phase.OVERLAPPING)
    before = {one["value"] for one in buttons(story.card.blocks)}
    after = {one["value"] for one in buttons(story.ordered(EventKind.HOLD_ORDERED).card.blocks)}
    assert before == {f"{ID}|auto"}
    assert after == {f"{ID}|hold"}


def test_a_card_links_to_what_it_speaks_of() -> None:
    """The run, the pull request, the deployments; nothing that is no address."""
    base = f"{SERVER}/acme/web"
    run, pull, there = (
        f"<{base}/actions/runs/1|run>",
        f"<{base}/pull/7|pull request 7>",
        f"<{base}/deployments|deployments>",
    )
    assert f"{run}  ·  {pull}  ·  {there}" in shown(Story().card)
    assert f"{run}  ·  {there}" in shown(Story(source={"pull": ""}).card)
    bad = {"run_url": "javascript:alert(1)", "repository": ""}
    assert "run>" not in shown(Story(source=bad).card)
    assert [block["type"] for block in Story(source=bad).card.blocks][-1] == "actions"


# --- limits ------------------------------------------------------------------------------------------------

LONG = 5_000
#: Where somebody else's words come into a card.
PLACES: dict[str, Callable[[str], Story]] = {
    "title": lambda text: at(Phase.OVERLAPPING, source={"title": text}),
    "author": lambda text: at(Phase.OVERLAPPING, source={"author": text}),
    "pull": lambda text: at(Phase.OVERLAPPING, source={"pull": text}),
    "run": lambda text: at(Phase.OVERLAPPING, source={"run_url": f"https://example.com/{text}"}),
    "repository": lambda text: at(Phase.OVERLAPPING, source={"repository": text}),
    "commit": lambda text: at(Phase.OVERLAPPING, facts={"commit": text}),
    "blue's commit": lambda text: at(Phase.OVERLAPPING, facts={"blue_commit": text}),
    "blue's group": lambda text: at(Phase.OVERLAPPING, blue=text),
    "who started": lambda text: at(Phase.OVERLAPPING, facts={"who": text}),
    "who held": lambda text: at(Phase.OVERLAPPING).ordered(EventKind.HOLD_ORDERED, text),
    "who promoted": lambda text: at(Phase.HOLDING, hold=True).ordered(EventKind.PROMOTED, text),
    "who ordered back": lambda text: at(Phase.SOAKING).ordered(EventKind.ROLLBACK_ORDERED, text),
    "check's name": lambda text: checked(at(Phase.OVERLAPPING), text, "503"),
    "check's value": lambda text: checked(at(Phase.OVERLAPPING), "home", text),
    "many values": lambda text: checked(at(Phase.OVERLAPPING), "home", text, many=30),
    "reason": lambda text: at(Phase.OVERLAPPING).rolls_back(message=text),
    "rolled back": lambda text: at(Phase.ROLLING_BACK).ends(Outcome.ROLLED_BACK, "check_failed", text),
    "failed": lambda text: at(Phase.SOAKING).ends(Outcome.FAILED, "denied", text),
    "stumble": lambda text: failed_attempts(at(Phase.LAUNCHING), text),
}
LETTERS = {
    **{
        f"{letter}-long": letter * LONG
        for letter in ["x", " ", "&", "<", ">", '"', "\\", "`", "*", "é", "🚀", "\u202e"]
    },
    "controls": "\x00\n\r\x1b[31m\x7f\x9f" * 500,
    "empty": "",
}


def checked(story: Story, name: str, value: str, many: int = 1) -> Story:
    """A check, or many, that answer so."""
    for n in range(many):
        story.checks(name if many == 1 else f"{name}-{n}", passed=False, streak=n + 1, value=value)
    return story


def limits() -> Iterator[Any]:
    """Each place with each kind of letters."""
    for place in PLACES:
        for letters in LETTERS:
            yield pytest.param(place, letters, id=f"{place}-{letters}")


@pytest.mark.parametrize(("place", "letters"), list(limits()))
def test_no_words_break_a_limit(place: str, letters: str) -> None:
    """Five thousand letters, or none, in any place."""
    assert problems(PLACES[place](LETTERS[letters]).card) == []


def everything(text: str, author: str) -> Story:
    """The same words in every place that people write freely."""
    story = Story(source={"title": text, "author": author}, facts={"who": text}).comes_to(Phase.OVERLAPPING)
    checked(story, "home", text, many=20)
    story.rolls_back(message=text)
    return story


@pytest.mark.parametrize(
    "letter",
    ["x", "&", '"', "\\"],
)
def test_long_words_everywhere(letter: str) -> None:
    """Title, author, who, twenty checks and the reason at once, under way and settled."""
    story = everything(letter * LONG, letter * LONG)
    assert problems(story.card) == []
    assert problems(story.ends(Outcome.ROLLED_BACK, "check_failed", letter * LONG).card) == []


_SPECIAL = "<>&*_~`|@#!^\"'\\/:\n\r\t\x00\x1b\u202e\u200f\u2066\ufeff"
_EVIL = [
    "<!channel>",
    "<!here> <!everyone>",
    "<https://evil.example|click>",
    "<@U0PROMOTER>",
    "<!subteam^S0GROUP>",
    "<#C0DEPLOYS>",
    "&lt;!channel&gt;",
    "*bold* _it_ ~no~ `code` ```block```",
    "one\ntwo\r\nthree\u2028four",
    "\x00\x1b[31mred\x1b]8;;https://evil\x07",
    "\u202egnihton\u202c",
    "slack:U0PROMOTER <@U0GUEST>",
    "https://evil.example/?a=<b>|c",
    "> quote\n• list",
    "<!date^0^{date}|<!channel>>",
    ":rotating_light: @channel @here",
    "a" * 199 + "<",
    "&" * 199 + "<!channel>",
]
#: The judge's objection to a title; see below.
_IN_PLAIN_TEXT = "blocks.2.text: mentions everyone, with "
_words = st.one_of(
    st.text(max_size=300), st.text(st.sampled_from(_SPECIAL), max_size=300), st.sampled_from(_EVIL), st.just("")
)


@settings(max_examples=200)
@given(title=_words, value=_words, name=_words, message=_words, who=_words)
def test_no_words_become_markup(title: str, value: str, name: str, message: str, who: str) -> None:
    """Whoever wrote a title, printed a check's value, gave a reason or a name: no link, no mention, no ping."""
    story = Story(source={"title": title}, facts={"who": who}).comes_to(Phase.OVERLAPPING)
    checked(story, name, value).checks("unit", passed=True, value=value)
    cards = [story.card, story.rolls_back(message=message).card]
    cards += [story.ends(Outcome.ROLLED_BACK, "check_failed", message).card]
    for card in cards:
        assert markup(card) == []
        assert [one for one in problems(card) if not one.startswith(_IN_PLAIN_TEXT)] == []
        assert all(text.isprintable() for one in texts(card.blocks, "mrkdwn") for text in lines_of(one))


@pytest.mark.parametrize("evil", _EVIL)
@pytest.mark.parametrize("place", PLACES)
def test_nothing_evil_becomes_markup(place: str, evil: str) -> None:
    """The same in each place alone, by name."""
    assert markup(PLACES[place](evil).card) == []


def test_a_title_may_speak_of_the_channel() -> None:
    """In plain text it is just a word: the judge and the card have to agree about that."""
    assert problems(Story(source={"title": "Stop <!channel> in alerts"}).card) == []


@pytest.mark.parametrize("place", ["commit", "blue's commit", "run", "pull", "repository"])
def test_an_address_is_printable(place: str) -> None:
    """One with a control character or a mark of direction is none."""
    card = PLACES[place]("9f8e\x00\u202e7d6c").card
    assert all(line.isprintable() for text in texts(card.blocks, "mrkdwn") for line in lines_of(text))


# --- people, words, links ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (PERSON, "<@U0PROMOTER>"),
        ("slack:W0ENTERPRISE", "<@W0ENTERPRISE>"),
        ("slack:S0GROUP", "slack:S0GROUP"),
        ("slack:B0BOT", "slack:B0BOT"),
        ("slack:u0promoter", "slack:u0promoter"),
        ("slack:U0PROMOTER>", "slack:U0PROMOTER&gt;"),
        ("slack:U0PROMOTER\n", "slack:U0PROMOTER"),
        (" slack:U0PROMOTER", "slack:U0PROMOTER"),
        ("xslack:U0PROMOTER", "xslack:U0PROMOTER"),
        ("slack:", "slack:"),
        ("slack:!channel", "slack:!channel"),
        ("U0PROMOTER", "U0PROMOTER"),
        ("<@U0PROMOTER>", "&lt;@U0PROMOTER&gt;"),
        ("github:octocat", "github:octocat"),
        (ALICE, "Admin/alice"),
        ("arn:aws:iam::123456789012:user/<!here>", "&lt;!here&gt;"),
        ("arn:aws:iam::123456789012:root", "root"),
        ("", "somebody"),
    ],
)
def test_who(name: str, said: str) -> None:
    """Only a person of Slack, by id, is mentioned."""
    assert messages.who(name) == said


@given(st.one_of(_words, st.from_regex(r"slack:.{0,12}"), st.from_regex(r"arn:.{0,20}")))
def test_who_mentions_nobody_else(name: str) -> None:
    """For any name."""
    said = messages.who(name)
    if re.fullmatch(r"slack:[UW][A-Z0-9]+", name):
        assert said == f"<@{name.removeprefix('slack:')}>"
    else:
        assert not {"<", ">", "\n"} & set(said)


@given(_words, st.integers(10, 400))
def test_quoted_words_are_one_harmless_line(text: str, most: int) -> None:
    """Printable, escaped, cut; short and harmless ones are left alone."""
    said = messages.quoted(text, most)
    assert said.isprintable()
    assert len(said) <= most
    assert not {"<", ">"} & set(said)
    assert "&" not in re.sub(r"&(amp|lt|gt);", "", said) or said.endswith("…")


@pytest.mark.parametrize(
    ("text", "most", "said"),
    [
        ("a & <b>", 100, "a &amp; &lt;b&gt;"),
        ("&lt;", 100, "&amp;lt;"),
        ("  two \r\n lines ", 100, "two lines"),
        ("x" * 10, 10, "x" * 10),
        ("x" * 11, 10, f"{'x' * 9}…"),
    ],
)
def test_quoted(text: str, most: int, said: str) -> None:
    """docs.slack.dev: these three letters are escaped, no others."""
    assert messages.quoted(text, most) == said


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        ("U0PROMOTER or S0GROUP may", "<@U0PROMOTER> or <!subteam^S0GROUP> may"),
        ("<@U0PROMOTER>", "&lt;<@U0PROMOTER>&gt;".replace("<@U0PROMOTER>", "@<@U0PROMOTER>")),
        ("nobody may", "nobody may"),
        ("U0 and USA and W1", "U0 and USA and W1"),
    ],
)
def test_ids_in_our_own_sentences_become_names(ids: str, said: str) -> None:
    """People and groups; Slack shows an id as a name."""
    assert messages.named(ids) == said


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://example.com/a?b=c&d", "<https://example.com/a?b=c&d|x &amp; y>"),
        ("http://ghe.example.com", "<http://ghe.example.com|x &amp; y>"),
        *[
            (url, "")
            for url in ("", "javascript:x", "https://", "https://a b", "https://a|b", "https://a>", "<https://a")
        ],
        *[(url, "") for url in ("https://a\nb", " https://a", "https://a\n", "mailto:a@b", "//a")],
    ],
)
def test_a_link_needs_an_address(url: str, said: str) -> None:
    """What is none becomes nothing, not half a link."""
    assert messages.link(url, "x & y") == said


def test_a_message_without_blocks_is_its_text() -> None:
    """Slack shows the text then; an empty list would take the blocks away."""
    assert Message("hi").body() == {"text": "hi"}
    block = messages.section("hi")
    assert Message("hi", (block,)).body() == {"text": "hi", "blocks": [block]}


# --- the thread --------------------------------------------------------------------------------------------

_TOLD = {Verb.CREATE_GREEN, Verb.JOIN_GREEN, Verb.TAKE_BLUE_OUT, Verb.JOIN_BLUE, Verb.TAKE_GREEN_OUT}


def event(kind: EventKind, **facts: Any) -> Event:
    """An event."""
    return Event(ID, 2, 1000.0, kind, facts)


@pytest.mark.parametrize(
    ("kind", "worth", "loud"),
    [
        (EventKind.STARTED, False, False),
        (EventKind.ENTERED, True, False),
        (EventKind.BEGAN, False, False),
        (EventKind.DID, True, False),
        (EventKind.STUMBLED, True, False),
        (EventKind.OBSERVED, True, False),
        (EventKind.AWAITED, False, False),
        (EventKind.BLINDED, True, False),
        (EventKind.ERRED, True, False),
        (EventKind.PROMOTED, True, True),
        (EventKind.HOLD_ORDERED, True, True),
        (EventKind.ROLLBACK_ORDERED, True, True),
        (EventKind.INTERRUPTED, True, False),
        (EventKind.TAKEN_UP, True, False),
        (EventKind.RESUMED, True, True),
        (EventKind.SETTLED, True, False),
    ],
)
def test_what_the_thread_tells_and_the_channel_hears(kind: EventKind, *, worth: bool, loud: bool) -> None:
    """Of every kind of event, as it usually is: joining green, overlapping, live."""
    one = event(kind, **(Diary().last.facts if kind is EventKind.STARTED else FACTS.get(kind, {})))
    assert messages.worth_a_line(one) is worth
    assert messages.aloud(one) is loud


def test_no_kind_of_event_is_forgotten() -> None:
    """A new one has to be put into the table above."""
    table = test_what_the_thread_tells_and_the_channel_hears.pytestmark[0].args[1]  # type: ignore[attr-defined]
    assert [kind for kind, _, _ in table] == list(EventKind)


@pytest.mark.parametrize("verb", list(Verb))
def test_acts_that_the_thread_tells(verb: Verb) -> None:
    """Those that change who serves, when they were done; the others are for the log."""
    assert messages.worth_a_line(event(EventKind.DID, verb=verb)) is (verb in _TOLD)
    assert messages.worth_a_line(event(EventKind.BEGAN, verb=verb)) is False
    assert messages.aloud(event(EventKind.DID, verb=verb)) is False


@pytest.mark.parametrize("phase", list(Phase))
def test_of_the_phases_the_channel_hears_the_rollback(phase: Phase) -> None:
    """The thread tells each."""
    one = event(EventKind.ENTERED, phase=phase, reason="ordered", message="")
    assert messages.worth_a_line(one)
    assert messages.aloud(one) is (phase is Phase.ROLLING_BACK)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_of_the_ends_the_channel_hears_the_bad_ones(outcome: Outcome) -> None:
    """Live is what everybody expects."""
    one = event(EventKind.SETTLED, outcome=outcome.value, reason="denied", message="", left=[])
    assert messages.worth_a_line(one)
    assert messages.aloud(one) is (outcome is not Outcome.LIVE)


@pytest.mark.parametrize(
    ("subject", "passed", "streak", "held", "lost", "worth"),
    [
        ("home", True, 1, None, False, False),
        ("home", True, 2, None, False, False),
        ("home", True, 3, 110.0, False, True),
        ("home", True, 2, 90.0, False, False),
        ("home", True, 1, 90.0, False, True),
        ("home", False, 1, None, False, True),
        ("home", False, 2, None, False, False),
        ("home", False, 1, 90.0, False, True),
        ("home", False, 2, 90.0, False, False),
        ("home", False, 3, None, True, True),
        ("targets", False, 1, None, False, False),
        ("targets", False, 1, 90.0, False, True),
        ("targets", False, 3, None, True, True),
        ("targets", True, 3, 110.0, False, True),
    ],
)
def test_answers_of_checks_that_are_news(
    subject: str, streak: int, held: float | None, *, passed: bool, lost: bool, worth: bool
) -> None:
    """It begins to fail, is lost, holds, passes again; this run of answers began at 100."""
    facts = {"subject": subject, "passed": passed, "streak": streak, "held_since": held, "lost": lost, "since": 100.0}
    facts |= {"value": "503"}
    assert messages.worth_a_line(event(EventKind.OBSERVED, **facts)) is worth


@pytest.mark.parametrize("subject", ["traffic", "blue", "green", "image", "build", "activity", "sight"])
def test_what_is_seen_beside_checks_is_told(subject: str) -> None:
    """Health, traffic, the image, AWS's own words."""
    assert messages.worth_a_line(event(EventKind.OBSERVED, subject=subject, value="x")) is True


@pytest.mark.parametrize("kind", [kind for kind in EventKind if kind is not EventKind.STARTED])
def test_every_event_has_its_line(kind: EventKind) -> None:
    """When, in which phase, what; a message of the thread that Slack takes."""
    story = at(Phase.OVERLAPPING)
    story.happens(kind, **FACTS[kind])
    said = messages.line(story.last, story.release)
    phase = "live" if kind is EventKind.SETTLED else "overlapping"
    assert said.startswith(f"<!date^{int(story.now)}^{{time_secs}}|")
    assert f" UTC>  _{phase}_  " in said
    assert len(said.partition("_  ")[2]) > 10
    assert problems(messages.lines([said], messages.told(story.last, story.release))) == []


@pytest.mark.parametrize(
    ("kind", "who", "said"),
    [
        (EventKind.PROMOTED, PERSON, f"<@U0PROMOTER> promoted {ID}"),
        (EventKind.HOLD_ORDERED, PERSON, f"<@U0PROMOTER> ordered {ID} to wait for a promotion"),
        (EventKind.ROLLBACK_ORDERED, PERSON, f"<@U0PROMOTER> ordered the rollback of {ID}: it is slow"),
        (EventKind.PROMOTED, ALICE, f"Admin/alice promoted {ID}"),
        (EventKind.PROMOTED, "github:octocat", f"github:octocat promoted {ID}"),
        (EventKind.PROMOTED, "<!channel>", f"&lt;!channel&gt; promoted {ID}"),
    ],
)
def test_an_order_names_who_gave_it(kind: EventKind, who: str, said: str) -> None:
    """The mention is what tells the person that it was taken."""
    story = at(Phase.OVERLAPPING).ordered(kind, who)
    assert messages.told(story.last, story.release) == said


def test_a_rollback_is_told_with_who_ordered_it() -> None:
    """When it begins and when it is over."""
    story = at(Phase.SOAKING).ordered(EventKind.ROLLBACK_ORDERED).rolls_back("ordered", "")
    assert messages.told(story.last, story.release) == "returning to blue: ordered by <@U0PROMOTER>"
    story.ends(Outcome.ROLLED_BACK, "ordered")
    assert messages.told(story.last, story.release).endswith("serves alone: ordered by <@U0PROMOTER>")


@given(why=_words, who=st.sampled_from([PERSON, SECOND, ALICE, "<@U0GUEST>"]), message=_words)
def test_no_line_becomes_markup(why: str, who: str, message: str) -> None:
    """Reasons of rollbacks, what AWS said: nobody is mentioned but who gave the order."""
    story = at(Phase.OVERLAPPING)
    story.happens(EventKind.ROLLBACK_ORDERED, who=who, why=why)
    found = [messages.line(story.last, story.release)]
    for again in (
        failed_attempts(story, message),
        story.rolls_back(message=message),
        story.ends(Outcome.FAILED, "denied", why),
    ):
        found.append(messages.line(again.last, again.release))
    said = messages.lines(found, "; ".join(found))
    assert set(markup(said)) <= {who.removeprefix("slack:")} - {ALICE, "<@U0GUEST>"}
    assert problems(said) == []


def test_lines_come_in_one_message() -> None:
    """One under the other; what is read aloud is beside."""
    said = messages.lines(["one", "two"], "one; two")
    assert (said.text, texts(said.blocks, "mrkdwn")) == ("one; two", ["one\ntwo"])
    long = messages.lines(["x" * LONG], "y" * LONG)
    assert problems(long) == []
    assert len(long.text) == 2000


def test_no_line_is_lost_among_others() -> None:
    """The follower gathers twelve; each shall begin, however long the others are."""
    said = messages.lines([f"line {n}: {'x' * 400}" for n in range(12)], "twelve")
    assert [n for n in range(12) if f"line {n}:" not in shown(said)] == []


# --- answers -----------------------------------------------------------------------------------------------


def test_a_refusal_says_why_and_what_to_do() -> None:
    """In one message that only its reader sees; with blocks when there is something to press."""
    assert messages.refusal("It is frozen.", "Lift it.") == Message("It is frozen. Lift it.")
    assert messages.refusal("No") == Message("No.")
    pressable = {"type": "actions", "elements": [messages.button("again", "Again", "x")]}
    said = messages.refusal("No", "Try", pressable)
    assert (said.text, texts(said.blocks, "mrkdwn"), actions(said)) == ("No. Try", ["No. Try"], ["again"])
    for one in (said, messages.refusal("x" * LONG, "y"), messages.refusal("x" * LONG, "y", pressable)):
        assert problems(one) == []


@pytest.mark.parametrize(("many", "shown_", "more"), [(2, 2, ""), (5, 5, ""), (9, 5, " (4 more: name one)")])
def test_several_things_may_be_meant(many: int, shown_: int, more: str) -> None:
    """A button for each of the first five; all are named in the text."""
    found = [(f"web-{n}/production", f'["/promote", "web-{n}/production"]') for n in range(many)]
    said = messages.choices("Which service does /promote mean?", found)
    assert actions(said) == [f"choose:{n}" for n in range(shown_)]
    assert [(one["text"]["text"], one["value"]) for one in buttons(said.blocks)] == found[:shown_]
    assert texts(said.blocks, "mrkdwn") == [f"Which service does /promote mean?{more}"]
    assert said.text.startswith(f"Which service does /promote mean?{more} web-0/production, ")
    assert all(label in said.text for label, _ in found)
    assert problems(said) == []


@given(
    st.lists(st.tuples(st.text(min_size=1, max_size=120), st.text(min_size=1, max_size=3000)), min_size=1, max_size=9)
)
def test_choices_never_break_a_limit(found: list[tuple[str, str]]) -> None:
    """Whatever the labels; they are names of services, so printable."""
    said = messages.choices("Which?", [("".join(c for c in label if c.isprintable()) or "x", v) for label, v in found])
    assert [one for one in problems(said) if "mentions everyone" not in one] == []
    assert markup(said) == []


@pytest.mark.parametrize(
    ("number", "commit", "old", "made"),
    [
        (41, OLD_COMMIT, "web/production#41", " (1a2b3c4d)"),
        (41, "", "web/production#41", ""),
        (None, "", "web-production-v41", ""),
    ],
)
def test_again(number: int | None, commit: str, old: str, made: str) -> None:
    """Past the point of return: what a release of the image before would bring back, and a button for it."""
    release = STATES["live"]().release
    said = messages.again(Previous(release, "ami-0old", number, commit), '["web/production", "ami-0old"]')
    (one,) = buttons(said.blocks)
    assert said.text == (
        f"{ID}: blue is retired, so a rollback in seconds is impossible. "
        f"A release of the image of {old}{made} brings it back in minutes, also during a freeze."
    )
    assert texts(said.blocks, "mrkdwn") == [said.text]
    assert (one["action_id"], one["value"], one["style"]) == ("again", '["web/production", "ami-0old"]', "danger")
    assert (one["text"]["text"], one["confirm"]["title"]["text"]) == (f"Release {old} again", f"Release {old} again?")
    assert one["confirm"]["text"]["text"] == (
        f"web/production in account {ACCOUNT}, {REGION}: from {ID} back to the image of {old}, ami-0old{made}, "
        "as a new release."
    )
    assert one["confirm"]["style"] == "danger"
    assert problems(said) == []


# --- services ----------------------------------------------------------------------------------------------

NOW = 5_000.0


def service(
    name: str = "web/production", story: Story | None = None, driver: str = "host:1", **record: Any
) -> ServiceStatus:
    """A service as the journal knows it."""
    release = replace(story.release, service=name, id=f"{name}#42") if story else None
    under_way = 42 if release and not release.outcome else None
    return ServiceStatus(name, ServiceRecord(name, under_way=under_way, **record), release, driver)


def test_a_window_of_the_configuration_is_shown_as_a_freeze() -> None:
    """Beside a freeze by order, with its end and its reason, which is nobody's markup."""
    windows = [{"cron": "0 1 1 1 *", "for": "10h", "why": "a & <!here>"}]
    frozen = service(story=at(Phase.SOAKING, freeze=windows), freeze=Freeze(ALICE, "", 1000.0))
    text = block(frozen)
    assert "❄ frozen by Admin/alice\n" in text
    assert "❄ frozen by bluegreen.yml until <!date^39600^{date_short} {time}|" in text
    assert text.endswith(": a &amp; &lt;!here&gt;")


def test_a_green_that_is_kept_is_shown() -> None:
    """Until when, in the reader's own time."""
    text = block(service(kept=(KeptGreen(42, "web-production-v42", 39_600.0),)))
    assert "kept for inspection, without traffic: `web-production-v42` until <!date^39600^" in text


def row(number: int, outcome: Outcome | None = Outcome.LIVE, **changes: Any) -> Summary:
    """A release of its history."""
    made = Summary(
        "web/production", number, NEW_COMMIT, "ami-0abc", PERSON, NOW - 3600, "blue", "green", outcome=outcome
    )
    return replace(made, **changes)


#: Of a service that the journal knows nothing live of, such as one whose first release is under way.
LIVE_BEFORE = f"live: #41 <{OLD_URL}|1a2b3c4d>"


def block(status: ServiceStatus) -> str:
    """What is shown of a service."""
    (found,) = texts(messages.service_blocks(status, NOW), "mrkdwn")
    return found


@pytest.mark.parametrize(
    ("status", "lines"),
    [
        (service(), ["*web/production*  no releases yet"]),
        (
            service(story=at(Phase.OVERLAPPING)),
            ["*web/production*  web/production#42 is overlapping: blue and green both serve", LIVE_BEFORE],
        ),
        (
            service(story=at(Phase.OVERLAPPING), driver=""),
            [
                "*web/production*  web/production#42 is overlapping: blue and green both serve (no driver now)",
                LIVE_BEFORE,
            ],
        ),
        (
            service(live=Live("web-production-v41", "ami-0old", 7, OLD_COMMIT, 41)),
            ["*web/production*  no releases yet", "live: #41 `1a2b3c4d` `ami-0old`"],
        ),
        (
            service(freeze=Freeze(PERSON, "a & <!here>", 1000.0, 90_000.0)),
            [
                "*web/production*  no releases yet",
                "❄ frozen by <@U0PROMOTER> until <!date^90000^{date_short} {time}|01:00:00 UTC>: a &amp; &lt;!here&gt;",
            ],
        ),
        (
            service(freeze=Freeze(ALICE, "", 1000.0)),
            ["*web/production*  no releases yet", "❄ frozen by Admin/alice"],
        ),
        (service(freeze=Freeze(ALICE, "", 1000.0, NOW)), ["*web/production*  no releases yet"]),
    ],
    ids=["nothing", "under way", "nobody drives", "live", "frozen", "frozen for good", "frozen once"],
)
def test_a_service_in_a_few_lines(status: ServiceStatus, lines: list[str]) -> None:
    """What runs, what is live, what is frozen by whom, until when and why."""
    assert block(status).split("\n") == lines


def test_what_served_before_the_first_release_is_live() -> None:
    """Also once that release is rolled back, but not where it failed and green serves: nothing is known then."""
    facts = {"blue_commit": "", "blue_image": "ami-0old"}
    rolled_back_ = at(Phase.OVERLAPPING, facts=facts, blue="web-asg").rolls_back().ends(Outcome.ROLLED_BACK, "ordered")
    assert block(service(story=rolled_back_)).split("\n")[1] == "live: image `ami-0old`"
    stuck = at(Phase.SOAKING, facts=facts, blue="web-asg")
    stuck.happens(EventKind.OBSERVED, subject="traffic", value="green").ends(Outcome.FAILED, "denied")
    assert "live: " not in block(service(story=stuck))


def test_a_settled_release_needs_no_driver() -> None:
    """So it is not said that it has none."""
    assert "no driver now" not in block(service(story=STATES["live"](), driver=""))


@given(why=_words, who=_words)
def test_no_freeze_becomes_markup(why: str, who: str) -> None:
    """Reasons are what somebody typed."""
    frozen = service(freeze=Freeze(who, why, 1000.0))
    for said in (messages.overview([frozen], NOW), Message("x", tuple(messages.home([frozen], {}, NOW)["blocks"]))):
        assert markup(said) == []
        assert problems(said) == []


def test_a_freeze_with_long_words() -> None:
    """Everything still is shown, and the reason is cut."""
    frozen = service(freeze=Freeze("x" * LONG, "y" * LONG, 1000.0))
    assert problems(messages.overview([frozen], NOW)) == []
    assert "y" * 299 + "…" in block(service(freeze=Freeze(ALICE, "y" * LONG, 1000.0)))


def test_an_overview() -> None:
    """Each service with its state, in the text and in the blocks; none is said too."""
    found = [service("api/production"), service(story=at(Phase.SOAKING))]
    said = messages.overview(found, NOW)
    assert said.text.startswith("api/production: no releases yet; web/production: web/production#42 is soaking: ")
    assert [text.split("*")[1] for text in texts(said.blocks, "mrkdwn")] == ["api/production", "web/production"]
    assert problems(said) == []
    nothing = messages.overview([], NOW)
    assert nothing.blocks == ()
    assert nothing.text.startswith("There is no service that you may promote or roll back")
    assert problems(nothing) == []


def test_an_overview_of_many_says_how_many_more() -> None:
    """Whoever reads a list has to know that it is not whole."""
    assert "5 more" in shown(messages.overview([service(f"web-{n}/production") for n in range(25)], NOW))


def test_an_overview_of_trouble_fits() -> None:
    """When much is wrong, /releases is asked most."""
    story = at(Phase.SOAKING).ends(Outcome.FAILED, "denied", "x" * 600)
    assert problems(messages.overview([service(f"web-{n}/production", story) for n in range(20)], NOW)) == []


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (row(41), "#41  `9f8e7d6c`  *live*  1 hour ago  by <@U0PROMOTER>"),
        (row(41, Outcome.ROLLED_BACK, who=ALICE), "#41  `9f8e7d6c`  *rolled back*  1 hour ago  by Admin/alice"),
        (row(41, None, commit=""), "#41  `ami-0abc`  *under way*  1 hour ago  by <@U0PROMOTER>"),
        (row(41, commit="<!here>`"), "#41  `&lt;!here&gt;`  *live*  1 hour ago  by <@U0PROMOTER>"),
    ],
)
def test_a_line_of_the_history(one: Summary, said: str) -> None:
    """Which, what, how it ended, when, by whom."""
    assert messages.history([one, row(40)], NOW)["text"]["text"].split("\n")[0] == said


def test_a_line_of_the_history_says_that_its_image_is_gone() -> None:
    """Where AWS was asked, and shows it no more."""
    said = messages.history([row(41), row(40)], NOW, Kept({"ami-0abc": False}))["text"]["text"]
    assert said.split("\n")[0].endswith("by <@U0PROMOTER>, its image is gone")
    assert "gone" not in messages.history([row(41)], NOW, Kept({}, "no credentials"))["text"]["text"]


def test_a_line_of_the_history_links_to_the_report() -> None:
    """Once it has settled, where the configuration says the address."""
    config = {"report_url": "https://reports.example.com/{service}/{environment}/{number}.html"}
    lines = messages.history([row(41), row(40, None)], NOW, config=config)["text"]["text"].split("\n")
    assert lines[0].endswith("by <@U0PROMOTER>  <https://reports.example.com/web/production/41.html|report>")
    assert "report" not in lines[1]
    long = {"report_url": f"https://reports.example.com/{'x' * 200}/{{number}}"}
    assert "report" not in messages.history([row(41)], NOW, config=long)["text"]["text"]


def test_the_card_of_a_release_that_has_settled_links_to_its_report() -> None:
    """Before that it changes with every event."""
    story = at(Phase.SOAKING, report_url="https://reports.example.com/{number}")
    assert "|report>" not in shown(story.card)
    assert "<https://reports.example.com/42|report>" in shown(story.ends(Outcome.FAILED, "denied", "no").card)


def test_no_history() -> None:
    """Is said."""
    assert messages.history([], NOW)["text"]["text"] == "No release yet."


# --- the Home ----------------------------------------------------------------------------------------------


def home_texts(view: Block) -> list[str]:
    """Everything that is read in it."""
    return texts(view["blocks"], "mrkdwn")


def test_a_home_of_nothing() -> None:
    """It says so, and can be looked at again."""
    view = messages.home([], {}, NOW)
    assert problems_of_home(view) == []
    assert home_texts(view)[0] == "0 services, 0 releases under way, as of <!date^5000^{time_secs}|01:23:20 UTC>"
    assert "There is no service that you may promote" in home_texts(view)[1]
    assert [one["action_id"] for one in buttons(view["blocks"])] == ["refresh"]


def test_a_home_of_one() -> None:
    """The service and its last ten releases."""
    found = service(story=at(Phase.HOLDING, hold=True), live=Live("web-production-v41", "ami-0old", 7, OLD_COMMIT, 41))
    view = messages.home([found], {"web/production": [row(n) for n in range(41, 29, -1)], "api/x": [row(1)]}, NOW)
    assert problems_of_home(view) == []
    head, shown_, rows = home_texts(view)
    assert head.startswith("1 service, 1 release under way, as of ")
    assert "is holding" in shown_
    assert [line.split()[0] for line in rows.split("\n")] == [f"#{n}" for n in range(41, 31, -1)]


def test_a_home_has_the_buttons_that_its_person_may_press() -> None:
    """Those of the card, for each release under way; of a service in which nothing can be decided, none."""

    def pressable(*orders: Order) -> list[str]:
        found = [
            service(story=at(Phase.HOLDING, hold=True)),
            service("api/production"),
            service("x/y", at(Phase.BAKING)),
        ]
        view = messages.home(found, {}, NOW, lambda status, order: order in orders)
        assert problems_of_home(view) == []
        return [f"{one['action_id']} {one['value'].split('#')[0]}" for one in buttons(view["blocks"])[1:]]

    assert pressable(Order.PROMOTE) == ["promote web/production"]
    assert pressable(Order.ROLL_BACK) == ["roll_back web/production", "roll_back x/y"]
    assert pressable() == []
    held = at(Phase.HOLDING, hold=True)
    there = messages.home([service(story=held)], {}, NOW)["blocks"]
    assert buttons(there)[1:] == buttons(held.card.blocks)


def test_a_home_of_many() -> None:
    """The first twenty and how many more; what is under way is counted over all."""
    freeze = Freeze(PERSON, "y" * LONG, 1000.0)
    found = [service(f"web-{n}/production", at(Phase.SOAKING), driver="", freeze=freeze) for n in range(25)]
    view = messages.home(found, {one.service: [row(n) for n in range(9)] for one in found}, NOW)
    assert problems_of_home(view) == []
    said = home_texts(view)
    assert said[0].startswith("25 services, 25 releases under way")
    assert said[-1] == "and 5 more: `/releases` shows each"
    assert [n for n in range(25) if any(f"*web-{n}/production*" in text for text in said)] == list(range(20))
    assert sum("(no driver now)" in text and "❄ frozen by <@U0PROMOTER>" in text for text in said) == 20


def test_a_home_of_twenty_is_whole() -> None:
    """Nothing is said of more; a service without releases says so."""
    view = messages.home([service(f"web-{n}/production") for n in range(20)], {}, NOW)
    assert "more" not in " ".join(home_texts(view))
    assert home_texts(view).count("No release yet.") == 20
    assert problems_of_home(view) == []


@settings(max_examples=50)
@given(who=_words, commit=_words, why=_words, message=_words)
def test_no_home_becomes_markup(who: str, commit: str, why: str, message: str) -> None:
    """Histories hold names and commits of others."""
    story = at(Phase.SOAKING).ends(Outcome.FAILED, "denied", message)
    found = service(story=story, freeze=Freeze(who, why, 1000.0), live=Live("g", "ami-1", 7, commit, 41))
    view = messages.home([found], {"web/production": [row(1, who=who, commit=commit)]}, NOW)
    assert problems_of_home(view) == []
    assert markup(Message("x", tuple(view["blocks"]))) == []


def test_the_limits_here_are_within_those_of_slack() -> None:
    """As lab/blocks.py has them; twenty services and more fit into a Home."""
    assert messages.SECTION < 3000
    assert messages.FIELD < 2000
    assert (messages.HEADER, messages.BUTTON, messages.CONFIRM, messages.VALUE) == (150, 75, 300, 2000)
    assert 4 * messages.MOST_SERVICES + 5 <= 100
    assert messages.MOST_CHECKS == 8
    assert JSON_OF_BLOCKS == 13_000
