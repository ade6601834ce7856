"""The judge of Slack messages: at a limit it is silent, one above it says where, and it knows what harms."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from lab.blocks import JSON_OF_BLOCKS, problems_of_home, problems_of_message

Json = dict[str, Any]


def plain(text: str = "x", **more: Any) -> Json:
    """A text object without markup."""
    return {"type": "plain_text", "text": text, **more}


def mrkdwn(text: str = "x", **more: Any) -> Json:
    """A text object with markup."""
    return {"type": "mrkdwn", "text": text, **more}


def button(**more: Any) -> Json:
    """A button."""
    return {"type": "button", "text": plain(), **more}


def confirm(**more: Any) -> Json:
    """A button that asks back."""
    question = {"title": plain(), "text": mrkdwn(), "confirm": plain(), "deny": plain(), **more}
    return actions(button(confirm=question))


def option(text: str = "x", value: str = "x", **more: Any) -> Json:
    """One choice of a menu."""
    return {"text": plain(text), "value": value, **more}


def select(*options: Json, **more: Any) -> Json:
    """A menu."""
    return actions({"type": "static_select", "options": list(options or [option()]), **more})


def groups(*found: Json) -> Json:
    """A menu whose options are in groups."""
    return actions({"type": "static_select", "option_groups": list(found)})


def actions(*elements: Json, **more: Any) -> Json:
    """A block of buttons and menus."""
    return {"type": "actions", "elements": list(elements), **more}


def section(**more: Any) -> Json:
    """A section."""
    return {"type": "section", **more}


def context(*elements: Json) -> Json:
    """A line of small print."""
    return {"type": "context", "elements": list(elements)}


def image(**more: Any) -> Json:
    """A picture: a block, or an element of one."""
    return {"type": "image", "alt_text": "x", "image_url": "x", **more}


def header(text: Json) -> Json:
    """A headline."""
    return {"type": "header", "text": text}


def divider(**more: Any) -> Json:
    """A line between."""
    return {"type": "divider", **more}


def rich(*elements: Any) -> Json:
    """Text as the editor of Slack makes it."""
    return {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": list(elements)}]}


def saying(*blocks: Any, **more: Any) -> list[str]:
    """The problems of a message with these blocks."""
    return problems_of_message({"channel": "C1", "text": "It is live.", "blocks": list(blocks), **more})


def home(*blocks: Any, **more: Any) -> list[str]:
    """The problems of a home with these blocks."""
    return problems_of_home({"type": "home", "blocks": list(blocks), **more})


EVERYTHING: list[Json] = [
    section(
        block_id="first",
        text=mrkdwn("*main* is &lt;!channel&gt; live\n\tfor <@U1> and <#C1>", verbatim=True),
        fields=[mrkdwn(), plain("x", emoji=True)],
        accessory=button(
            action_id="open",
            value="r1",
            url="https://example.com",
            style="danger",
            accessibility_label="Open",
            confirm={"title": plain(), "text": plain(), "confirm": plain(), "deny": plain(), "style": "primary"},
        ),
        expand=True,
    ),
    section(fields=[mrkdwn()], accessory=image()),
    header(plain("Live ✅")),
    context(mrkdwn(), plain(), {"type": "image", "alt_text": "x", "slack_file": {"id": "F1"}}),
    actions(button(action_id="a", style="primary"), button(action_id="b"), button(), button(), block_id="second"),
    actions(button(action_id="a")),
    select(
        option(description=plain()),
        action_id="which",
        placeholder=plain(),
        initial_option=option(),
        focus_on_load=True,
        confirm={"title": plain(), "text": mrkdwn(), "confirm": plain(), "deny": plain()},
    ),
    groups({"label": plain(), "options": [option()]}),
    divider(block_id="third"),
    image(title=plain()),
    rich({"type": "text", "text": "x", "style": {"bold": True}}),
]


def test_a_good_message_has_no_problems() -> None:
    """Every block and every key that is known, in one message."""
    message = {
        "channel": "C1",
        "text": "It is live.",
        "blocks": EVERYTHING,
        "attachments": [{"color": "#36a64f", "fallback": "x", "blocks": [divider()], "fields": [{"value": "x"}]}],
        "metadata": {"event_type": "release", "event_payload": {"id": "r1", "any": {"depth": []}}},
        "thread_ts": "1.2",
        "reply_broadcast": True,
        "unfurl_links": False,
        "parse": "none",
    }
    assert problems_of_message(message) == []


def test_a_good_home_has_no_problems() -> None:
    """The same blocks as in a message; a home needs no text."""
    assert home(*EVERYTHING, private_metadata="", callback_id="x", external_id="x") == []


@pytest.mark.parametrize("block", EVERYTHING, ids=lambda block: str(block["type"]))
def test_what_is_good_alone_is_good_among_others(block: Json) -> None:
    """No block owes its being accepted to its neighbours."""
    assert saying(block) == []
    assert home(block) == []


@pytest.mark.parametrize(
    "body",
    [
        {"response_type": "ephemeral", "replace_original": False, "text": "x"},
        {"response_type": "in_channel", "text": "x", "blocks": []},
        {"delete_original": True},
        {"channel": "C1", "ts": "1.2", "text": "x", "attachments": []},
        {"channel": "C1", "user": "U1", "text": "x"},
        {"text": "x", "as_user": True, "username": "x", "icon_emoji": ":x:", "icon_url": "x", "file_ids": ["F1"]},
        {"text": "x", "mrkdwn": True, "link_names": False, "unfurl_links": False, "unfurl_media": False},
        {"text": "x", "attachments": [{"pretext": "x", "title": "x", "title_link": "x", "ts": 1, "mrkdwn_in": []}]},
        {"text": "x", "attachments": [{"author_name": "x", "author_link": "x", "author_icon": "x", "blocks": []}]},
        {"text": "x", "attachments": [{"image_url": "x", "thumb_url": "x", "footer": "x", "footer_icon": "x"}]},
    ],
)
def test_every_kind_of_body_is_known(body: Json) -> None:
    """Posts to a response_url, updates and ephemeral messages are messages too."""
    assert problems_of_message(body) == []


# --- limits of length: name, most, what the block looks like, path ------------------------------------------

LENGTHS: list[tuple[str, int, Callable[[str], Json], str]] = [
    ("section", 3000, lambda x: section(text=mrkdwn(x)), "blocks.0.text"),
    ("plain section", 3000, lambda x: section(text=plain(x)), "blocks.0.text"),
    ("field", 2000, lambda x: section(fields=[plain(), mrkdwn(x)]), "blocks.0.fields.1"),
    ("header", 150, lambda x: header(plain(x)), "blocks.0.text"),
    ("context", 3000, lambda x: context(mrkdwn(x)), "blocks.0.elements.0"),
    ("plain context", 3000, lambda x: context(plain(x)), "blocks.0.elements.0"),
    ("alt_text of an element", 2000, lambda x: context(image(alt_text=x)), "blocks.0.elements.0.alt_text"),
    ("image_url of an element", 3000, lambda x: context(image(image_url=x)), "blocks.0.elements.0.image_url"),
    ("alt_text", 2000, lambda x: image(alt_text=x), "blocks.0.alt_text"),
    ("image_url", 3000, lambda x: image(image_url=x), "blocks.0.image_url"),
    ("title of an image", 2000, lambda x: image(title=plain(x)), "blocks.0.title"),
    ("block_id", 255, lambda x: divider(block_id=x), "blocks.0.block_id"),
    ("button", 75, lambda x: actions(button(text=plain(x))), "blocks.0.elements.0.text"),
    ("accessory", 75, lambda x: section(text=plain(), accessory=button(text=plain(x))), "blocks.0.accessory.text"),
    ("value", 2000, lambda x: actions(button(value=x)), "blocks.0.elements.0.value"),
    ("action_id", 255, lambda x: actions(button(action_id=x)), "blocks.0.elements.0.action_id"),
    ("url", 3000, lambda x: actions(button(url=x)), "blocks.0.elements.0.url"),
    ("label", 75, lambda x: actions(button(accessibility_label=x)), "blocks.0.elements.0.accessibility_label"),
    ("title of confirm", 100, lambda x: confirm(title=plain(x)), "blocks.0.elements.0.confirm.title"),
    ("text of confirm", 300, lambda x: confirm(text=mrkdwn(x)), "blocks.0.elements.0.confirm.text"),
    ("plain text of confirm", 300, lambda x: confirm(text=plain(x)), "blocks.0.elements.0.confirm.text"),
    ("confirm of confirm", 30, lambda x: confirm(confirm=plain(x)), "blocks.0.elements.0.confirm.confirm"),
    ("deny of confirm", 30, lambda x: confirm(deny=plain(x)), "blocks.0.elements.0.confirm.deny"),
    ("option", 75, lambda x: select(option(), option(x)), "blocks.0.elements.0.options.1.text"),
    ("value of an option", 150, lambda x: select(option("x", x)), "blocks.0.elements.0.options.0.value"),
    (
        "description of an option",
        75,
        lambda x: select(option(description=plain(x))),
        "blocks.0.elements.0.options.0.description",
    ),
    ("initial option", 75, lambda x: select(initial_option=option(x)), "blocks.0.elements.0.initial_option.text"),
    ("placeholder", 150, lambda x: select(placeholder=plain(x)), "blocks.0.elements.0.placeholder"),
    ("action_id of a menu", 255, lambda x: select(action_id=x), "blocks.0.elements.0.action_id"),
    (
        "label of a group",
        75,
        lambda x: groups({"label": plain(x), "options": [option()]}),
        "blocks.0.elements.0.option_groups.0.label",
    ),
]
length = pytest.mark.parametrize(
    ("most", "block", "path"), [row[1:] for row in LENGTHS], ids=[row[0] for row in LENGTHS]
)


@length
def test_a_string_may_be_as_long_as_its_limit_and_no_longer(most: int, block: Callable[[str], Json], path: str) -> None:
    """At the limit nothing is said; one character more is the one problem, in messages and homes alike."""
    told = [f"{path}: {most + 1} characters, at most {most}"]
    assert saying(block("é" * most)) == []
    assert saying(block("é" * (most + 1))) == told
    assert home(block("é" * (most + 1))) == told


@length
def test_no_string_may_be_empty(most: int, block: Callable[[str], Json], path: str) -> None:
    """One character is enough."""
    assert saying(block("x")) == []
    assert saying(block("")) == [f"{path}: empty, at least 1 character"]


@length
def test_a_string_is_a_string(most: int, block: Callable[[Any], Json], path: str) -> None:
    """Neither a number nor null is one."""
    assert saying(block(7)) == [f"{path}: not a string"]
    assert saying(block(None)) == [f"{path}: not a string"]


# --- limits of number: name, least, most, what the block looks like with so many, path ----------------------

NUMBERS: list[tuple[str, int, int, Callable[[int], Json], str]] = [
    ("fields", 1, 10, lambda n: section(fields=[plain()] * n), "blocks.0.fields"),
    ("context", 1, 10, lambda n: context(*[mrkdwn()] * n), "blocks.0.elements"),
    ("actions", 1, 25, lambda n: actions(*[button()] * n), "blocks.0.elements"),
    (
        "options",
        1,
        100,
        lambda n: actions({"type": "static_select", "options": [option()] * n}),
        "blocks.0.elements.0.options",
    ),
    (
        "option groups",
        1,
        100,
        lambda n: groups(*[{"label": plain(), "options": [option()]}] * n),
        "blocks.0.elements.0.option_groups",
    ),
    (
        "options of a group",
        1,
        100,
        lambda n: groups({"label": plain(), "options": [option()] * n}),
        "blocks.0.elements.0.option_groups.0.options",
    ),
]


@pytest.mark.parametrize(
    ("least", "most", "block", "path"), [row[1:] for row in NUMBERS], ids=[row[0] for row in NUMBERS]
)
def test_a_list_has_its_least_and_its_most(least: int, most: int, block: Callable[[int], Json], path: str) -> None:
    """At both ends nothing is said; one beyond either is the one problem."""
    assert home(block(least)) == []
    assert home(block(most)) == []
    assert home(block(most + 1)) == [f"{path}: {most + 1} items, at most {most}"]
    assert home(block(least - 1)) == [f"{path}: {least - 1} items, at least {least}"]


def test_a_message_has_fifty_blocks_and_a_home_a_hundred() -> None:
    """The number counts, whatever they are; none at all is what removes the blocks of a message."""
    assert saying(*[divider()] * 50) == []
    assert saying(*[divider()] * 51) == ["blocks: 51 items, at most 50"]
    assert home(*[divider()] * 100) == []
    assert home(*[divider()] * 101) == ["blocks: 101 items, at most 100"]
    assert saying() == []
    assert home() == ["blocks: 0 items, at least 1"]


def test_attachments_have_limits_too() -> None:
    """A hundred attachments, fifty blocks in each."""
    assert saying(attachments=[{"blocks": [divider()] * 50}] * 100) == []
    assert saying(attachments=[{}] * 101) == ["attachments: 101 items, at most 100"]
    assert saying(attachments=[{"blocks": [divider()] * 51}]) == ["attachments.0.blocks: 51 items, at most 50"]
    assert saying(attachments=[{"blocks": [header(plain(""))]}]) == [
        "attachments.0.blocks.0.text: empty, at least 1 character"
    ]


def test_all_blocks_together_have_a_limit() -> None:
    """Slack refuses a message whose blocks are each short enough, if together they are too long; a home it takes."""
    blocks = [section(text=plain("x" * 2500)) for _ in range(5)]
    blocks.append(section(text=plain("x")))
    missing = JSON_OF_BLOCKS - len(json.dumps(blocks))
    blocks[-1]["text"]["text"] += "x" * missing
    assert len(json.dumps(blocks)) == 13_000
    assert saying(*blocks) == []
    blocks[-1]["text"]["text"] += "x"
    assert saying(*blocks) == ["blocks: 13001 characters of JSON, at most 13000"]
    assert home(*blocks) == []


def test_a_letter_counts_as_one_whatever_its_code() -> None:
    """Four sections of Greek are no longer than four of English, though their JSON may be written six times so."""
    assert saying(*[section(text=plain("λ" * 3000))] * 4) == []
    assert len(json.dumps("λ" * 3000)) > JSON_OF_BLOCKS


@pytest.mark.parametrize(("key", "most"), [("private_metadata", 3000), ("callback_id", 255)])
def test_what_a_home_carries_has_limits(key: str, most: int) -> None:
    """They are no text for anybody, but Slack counts them."""
    assert home(divider(), **{key: "x" * most}) == []
    assert home(divider(), **{key: "x" * (most + 1)}) == [f"{key}: {most + 1} characters, at most {most}"]


# --- the text of the message --------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [{}, {"text": ""}, {"text": " \n"}, {"text": "", "delete_original": False}])
def test_a_message_has_a_text(body: Json) -> None:
    """A screen reader reads the text, not the blocks."""
    told = ["text: missing or empty, and screen readers read it instead of the blocks"]
    assert problems_of_message({"channel": "C1", "blocks": [divider()], **body}) == told


def test_the_text_may_be_long_but_not_longer_than_slack_keeps() -> None:
    """Beyond 40,000 characters Slack cuts it."""
    assert problems_of_message({"text": "x" * 40_000}) == []
    assert problems_of_message({"text": "x" * 40_001}) == ["text: 40001 characters, at most 40000"]
    assert problems_of_message({"text": None}) == ["text: not a string"]


# --- what is wrong in its kind: the block, the one problem --------------------------------------------------

KINDS = "section or header or context or actions or divider or image or rich_text"
WRONG: list[tuple[Any, str]] = [
    ({"type": "sectoin"}, f"blocks.0: of type 'sectoin', which is not {KINDS}"),
    ({"text": plain()}, f"blocks.0: of type None, which is not {KINDS}"),
    ({"type": ["section"]}, f"blocks.0: of type ['section'], which is not {KINDS}"),
    ("section", f"blocks.0: of type None, which is not {KINDS}"),
    (section(), "blocks.0: without text or fields"),
    (section(text="x"), "blocks.0.text: of type None, which is not plain_text or mrkdwn"),
    (
        section(text={"type": "markdown", "text": "x"}),
        "blocks.0.text: of type 'markdown', which is not plain_text or mrkdwn",
    ),
    (section(text={"type": "mrkdwn"}), "blocks.0.text.text: missing"),
    (section(text=mrkdwn(emoji=True)), "blocks.0.text.emoji: unknown key"),
    (section(text=plain(verbatim=True)), "blocks.0.text.verbatim: unknown key"),
    (section(text=plain(emoji="yes")), "blocks.0.text.emoji: not true or false"),
    (section(text=mrkdwn(verbatim=1)), "blocks.0.text.verbatim: not true or false"),
    (section(text=plain(), expand="no"), "blocks.0.expand: not true or false"),
    (section(fields=plain()), "blocks.0.fields: not a list"),
    (
        section(text=plain(), accessory=plain()),
        "blocks.0.accessory: of type 'plain_text', which is not button or static_select or image",
    ),
    (header(mrkdwn()), "blocks.0.text: of type 'mrkdwn', which is not plain_text"),
    ({"type": "header"}, "blocks.0.text: missing"),
    ({"type": "context"}, "blocks.0.elements: missing"),
    (context(button()), "blocks.0.elements.0: of type 'button', which is not image or plain_text or mrkdwn"),
    (context(mrkdwn(emoji=True)), "blocks.0.elements.0.emoji: unknown key"),
    (context(plain(verbatim=True)), "blocks.0.elements.0.verbatim: unknown key"),
    (context({"type": "image", "image_url": "x"}), "blocks.0.elements.0.alt_text: missing"),
    (context({"type": "image", "alt_text": "x"}), "blocks.0.elements.0: without image_url or slack_file"),
    ({"type": "actions"}, "blocks.0.elements: missing"),
    (actions(mrkdwn()), "blocks.0.elements.0: of type 'mrkdwn', which is not button or static_select"),
    (actions({"type": "button"}), "blocks.0.elements.0.text: missing"),
    (actions(button(text=mrkdwn())), "blocks.0.elements.0.text: of type 'mrkdwn', which is not plain_text"),
    (actions(button(style="default")), "blocks.0.elements.0.style: 'default' is not primary or danger"),
    (actions(button(confirm="sure?")), "blocks.0.elements.0.confirm: not an object"),
    (confirm(style="red"), "blocks.0.elements.0.confirm.style: 'red' is not primary or danger"),
    (confirm(title=mrkdwn()), "blocks.0.elements.0.confirm.title: of type 'mrkdwn', which is not plain_text"),
    (confirm(confirm=mrkdwn()), "blocks.0.elements.0.confirm.confirm: of type 'mrkdwn', which is not plain_text"),
    (confirm(deny=mrkdwn()), "blocks.0.elements.0.confirm.deny: of type 'mrkdwn', which is not plain_text"),
    (actions({"type": "static_select"}), "blocks.0.elements.0: without options or option_groups"),
    (
        select(option_groups=[{"label": plain(), "options": [option()]}]),
        "blocks.0.elements.0: with options and option_groups, only one of them may be",
    ),
    (select({"text": plain()}), "blocks.0.elements.0.options.0.value: missing"),
    (select({"value": "x"}), "blocks.0.elements.0.options.0.text: missing"),
    (
        select({"text": mrkdwn(), "value": "x"}),
        "blocks.0.elements.0.options.0.text: of type 'mrkdwn', which is not plain_text",
    ),
    (select(placeholder=mrkdwn()), "blocks.0.elements.0.placeholder: of type 'mrkdwn', which is not plain_text"),
    (select(focus_on_load="yes"), "blocks.0.elements.0.focus_on_load: not true or false"),
    (groups({"label": plain()}), "blocks.0.elements.0.option_groups.0.options: missing"),
    (groups({"options": [option()]}), "blocks.0.elements.0.option_groups.0.label: missing"),
    ({"type": "image", "image_url": "x"}, "blocks.0.alt_text: missing"),
    ({"type": "image", "alt_text": "x"}, "blocks.0: without image_url or slack_file"),
    (image(slack_file={"id": "F1"}), "blocks.0: with image_url and slack_file, only one of them may be"),
    (image(title=mrkdwn()), "blocks.0.title: of type 'mrkdwn', which is not plain_text"),
    ({"type": "image", "alt_text": "x", "slack_file": "F1"}, "blocks.0.slack_file: not an object"),
    ({"type": "rich_text"}, "blocks.0.elements: missing"),
    *(
        (confirm_without, f"blocks.0.elements.0.confirm.{key}: missing")
        for key in ("title", "text", "confirm", "deny")
        for confirm_without in [
            actions(button(confirm={k: plain() for k in ("title", "text", "confirm", "deny") if k != key}))
        ]
    ),
]


@pytest.mark.parametrize(("block", "problem"), WRONG, ids=[problem for _, problem in WRONG])
def test_what_is_wrong_in_its_kind_is_the_one_problem(block: Any, problem: str) -> None:
    """Where it is, what it is and what it should be; other blocks are left alone."""
    assert saying(block, divider()) == [problem]
    assert home(block, divider()) == [problem]


# --- unknown keys ------------------------------------------------------------------------------------------


def objects(value: Any, path: str = "blocks") -> list[tuple[str, Json]]:
    """Every object in the value, with its path."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [pair for key, item in inner for pair in objects(item, f"{path}.{key}")]
    return [(path, value), *found] if isinstance(value, dict) else found


JUDGED = [path for path, _ in objects(EVERYTHING) if "slack_file" not in path and not path.startswith("blocks.10.")]


@pytest.mark.parametrize("path", JUDGED)
@pytest.mark.parametrize("key", ["colour", "a.text"])
def test_no_object_has_an_unknown_key(path: str, key: str) -> None:
    """Slack's own library lets such keys through, and Slack refuses the message."""
    blocks = json.loads(json.dumps(EVERYTHING))
    dict(objects(blocks))[path][key] = 1
    assert saying(*blocks) == [f"{path}.{key}: unknown key"]


def test_neither_message_nor_view_nor_attachment_has_an_unknown_key() -> None:
    """A misspelt argument would be lost without a word."""
    assert saying(bloks=[]) == ["bloks: unknown key"]
    assert saying(attachments=[{"colour": "x"}]) == ["attachments.0.colour: unknown key"]
    assert home(divider(), title=plain()) == ["title: unknown key"]


def test_the_keys_of_a_body_have_their_words() -> None:
    """What is none of them Slack takes for something else."""
    assert saying(response_type="all") == ["response_type: 'all' is not in_channel or ephemeral"]
    assert saying(parse="yes") == ["parse: 'yes' is not none or full"]
    assert problems_of_message({"text": "x", "blocks": "[]"}) == ["blocks: not a list"]
    assert saying(attachments=["x"]) == ["attachments.0: not an object"]


def test_a_view_of_a_home_says_so_and_has_blocks() -> None:
    """A modal is no home."""
    assert problems_of_home({"type": "modal", "blocks": [divider()]}) == ["type: 'modal' is not home"]
    assert problems_of_home({}) == ["type: missing", "blocks: missing"]
    assert home(divider(), external_id="") == ["external_id: empty, at least 1 character"]


@pytest.mark.parametrize(
    ("metadata", "problem"),
    [
        ({"event_payload": {}}, "metadata.event_type: missing"),
        ({"event_type": "x"}, "metadata.event_payload: missing"),
        ({"event_type": 1, "event_payload": {}}, "metadata.event_type: not a string"),
        ({"event_type": "", "event_payload": {}}, "metadata.event_type: empty, at least 1 character"),
        ({"event_type": "x", "event_payload": "{}"}, "metadata.event_payload: not an object"),
        ({"event_type": "x", "event_payload": {}, "id": 1}, "metadata.id: unknown key"),
        ("x", "metadata: not an object"),
    ],
)
def test_metadata_has_a_type_and_a_payload(metadata: Any, problem: str) -> None:
    """Slack drops metadata that lack either, and says so only in a warning."""
    assert saying(metadata=metadata) == [problem]


# --- duplicates --------------------------------------------------------------------------------------------


def test_a_block_id_is_there_once() -> None:
    """Once in the message, its attachments included; every further one is told."""
    again = ": 'a' for the second time, it must be unique"
    blocks = [divider(block_id="a"), divider(block_id="b"), divider(block_id="a")]
    assert saying(*blocks[:2]) == home(*blocks[:2]) == []
    assert saying(*blocks) == home(*blocks) == [f"blocks.2.block_id{again}"]
    assert saying(blocks[0], attachments=[{"blocks": [blocks[1]]}, {"blocks": blocks[2:]}]) == [
        f"attachments.1.blocks.0.block_id{again}"
    ]


def test_an_action_id_is_there_once_in_its_block() -> None:
    """Two blocks may have the same, and elements without any are no duplicates."""
    one, other = button(action_id="a"), button(action_id="b")
    assert saying(actions(one, other, button(), button()), actions(one)) == []
    assert saying(divider(), actions(one, other, one)) == [
        "blocks.1.elements.2.action_id: 'a' for the second time, it must be unique"
    ]


# --- harm --------------------------------------------------------------------------------------------------

PLACES: list[tuple[Callable[[str], Json], str]] = [
    (lambda x: {"text": x}, "text"),
    (lambda x: {"blocks": [section(text=mrkdwn(x))]}, "blocks.0.text"),
    (lambda x: {"blocks": [section(fields=[mrkdwn(x)])]}, "blocks.0.fields.0"),
    (lambda x: {"blocks": [header(plain(x))]}, "blocks.0.text"),
    (lambda x: {"blocks": [context(mrkdwn(x))]}, "blocks.0.elements.0"),
    (lambda x: {"blocks": [actions(button(text=plain(x)))]}, "blocks.0.elements.0.text"),
    (lambda x: {"blocks": [confirm(text=mrkdwn(x))]}, "blocks.0.elements.0.confirm.text"),
    (lambda x: {"blocks": [image(alt_text=x)]}, "blocks.0.alt_text"),
    (lambda x: {"blocks": [rich({"type": "text", "text": x})]}, "blocks.0.elements.0.elements.0.text"),
    (lambda x: {"attachments": [{"text": x}]}, "attachments.0.text"),
    (lambda x: {"attachments": [{"fields": [{"value": x}]}]}, "attachments.0.fields.0.value"),
    (lambda x: {"attachments": [{"blocks": [section(text=mrkdwn(x))]}]}, "attachments.0.blocks.0.text"),
]
somewhere = pytest.mark.parametrize(("body", "path"), PLACES, ids=[f"{n}-{row[1]}" for n, row in enumerate(PLACES)])


#: In plain text nobody is mentioned (docs.slack.dev, text object).
LOUD = [row for row in PLACES if "plain_text" not in str(row[0]("x").get("blocks"))]


@pytest.mark.parametrize(("body", "path"), LOUD, ids=[f"{n}-{row[1]}" for n, row in enumerate(LOUD)])
@pytest.mark.parametrize(
    ("text", "mention"),
    [("a <!channel> b", "channel"), ("<!here>", "here"), ("<!everyone>", "everyone"), ("<!here|@here>", "here")],
)
def test_nobody_mentions_everyone(body: Callable[[str], Json], path: str, text: str, mention: str) -> None:
    """A commit's title may say so, and would wake the whole channel."""
    assert saying(**body(text)) == [f"{path}: mentions everyone, with <!{mention}>"]


@somewhere
@pytest.mark.parametrize(
    "text", ["&lt;!channel&gt;", "@here", "<!date^1^{date}^x>", "<!subteam^S1>", "<@U1>", "! channel>"]
)
def test_other_mentions_are_no_harm(body: Callable[[str], Json], path: str, text: str) -> None:
    """What is escaped is text; a person or a group may be called."""
    assert saying(**body(text)) == []


@somewhere
@pytest.mark.parametrize("character", ["\x00", "\x07", "\x0b", "\r", "\x1b", "\x1f", "\x7f", "\x85", "\x9f"])
def test_no_text_holds_a_control_character(body: Callable[[str], Json], path: str, character: str) -> None:
    """Logs bring them: colours of a terminal, bells, nulls."""
    assert saying(**body(f"a{character}b")) == [f"{path}: holds the control character U+{ord(character):04X}"]


@somewhere
def test_newlines_tabs_and_letters_are_no_control_characters(body: Callable[[str], Json], path: str) -> None:
    """Neither are a space without a break and an emoji."""
    assert saying(**body("a\n\tb\u00a0é → ✅🚀")) == []


def test_rich_text_mentions_everyone_with_an_element_of_its_own() -> None:
    """There it is no text at all."""
    told = ["blocks.0.elements.0.elements.1: mentions everyone, with a broadcast"]
    assert saying(rich({"type": "text", "text": "x"}, {"type": "broadcast", "range": "here"})) == told


def test_what_nobody_is_shown_may_hold_anything() -> None:
    """A value goes back to the bot as it came, and metadata are for programs."""
    hidden = "<!here>\x1f"
    assert saying(actions(button(value=hidden, action_id=hidden))) == []
    assert saying(metadata={"event_type": "x", "event_payload": {"text": hidden}}) == []


def test_every_problem_is_told() -> None:
    """One does not hide the others, and the text comes first."""
    found = problems_of_message({"blocks": [header(mrkdwn()), section(text=plain("<!here>\x07" * 400), colour=1)]})
    assert found == [
        "text: missing or empty, and screen readers read it instead of the blocks",
        "blocks.0.text: of type 'mrkdwn', which is not plain_text",
        "blocks.1.text: 3200 characters, at most 3000",
        "blocks.1.text: holds the control character U+0007",
        "blocks.1.colour: unknown key",
    ]
