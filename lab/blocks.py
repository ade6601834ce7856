"""A judge of Slack messages: what Slack would refuse, and what nobody should be sent.

Ask `problems_of_message` and `problems_of_home`; each problem is a sentence that begins with the path of its place, as
in `blocks.3.elements.0.text: 76 characters, at most 75`. The length of a text object is reported at the object's own
path.

The limits are those of docs.slack.dev/reference/block-kit. Slack's own libraries let unknown keys and too many blocks
through; here they are problems. So is a block or element that the bot has no use for (input, table, overflow): the
tables further down say what is known. Lengths are in code points.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

Judge = Callable[[str, Any], Iterator[str]]
"""It is given a path and the value there, and yields the problems of that value."""
Table = Mapping[str, Judge]

JSON_OF_BLOCKS = 13_000
"""Slack documents no such limit; `msg_blocks_too_long` was seen from 13,172 characters on (slackapi/bolt-js#2509)."""
EVERYONE = re.compile(r"<!(channel|here|everyone)\b")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def problems_of_message(message: Mapping[str, Any]) -> list[str]:
    """What is wrong with the body of chat.postMessage, chat.update, chat.postEphemeral or a post to a response_url."""
    blocks = (numbered(f"{place}blocks", holder.get("blocks")) for place, holder in holders_of_blocks(message))
    return [
        *unspoken(message),
        *MESSAGE("", message),
        *too_long("blocks", message.get("blocks")),
        *twice("block_id", chain.from_iterable(blocks)),
    ]


def problems_of_home(view: Mapping[str, Any]) -> list[str]:
    """What is wrong with the view of views.publish."""
    return [*HOME("", view), *twice("block_id", numbered("blocks", view.get("blocks")))]


# --- the message as a whole --------------------------------------------------------------------------------


def unspoken(message: Mapping[str, Any]) -> Iterator[str]:
    """The text must say something, for screen readers read it instead of the blocks; only a deletion needs none."""
    text = message.get("text", "")
    if isinstance(text, str) and not text.strip() and message.get("delete_original") is not True:
        yield "text: missing or empty, and screen readers read it instead of the blocks"


def too_long(path: str, blocks: object) -> Iterator[str]:
    """The blocks together, counted in their JSON with every letter as one."""
    length = len(json.dumps(blocks, ensure_ascii=False))
    if length > JSON_OF_BLOCKS:
        yield f"{path}: {length} characters of JSON, at most {JSON_OF_BLOCKS}"


def holders_of_blocks(message: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The message and its attachments, each with what its paths begin with."""
    yield "", message
    for path, attachment in numbered("attachments", message.get("attachments")):
        if isinstance(attachment, Mapping):
            yield f"{path}.", attachment


def twice(key: str, items: Iterable[tuple[str, Any]]) -> Iterator[str]:
    """The items whose name, under that key, an earlier item already has."""
    seen: set[str] = set()
    for path, item in items:
        name = item.get(key) if isinstance(item, Mapping) else None
        if isinstance(name, str) and name in seen:
            yield f"{path}.{key}: {name!r} for the second time, it must be unique"
        elif isinstance(name, str):
            seen.add(name)


# --- what a string may hold --------------------------------------------------------------------------------


def harm(path: str, text: str, *, markup: bool = True) -> Iterator[str]:
    """What disturbs everybody in the channel, or the reader. In plain text nobody is mentioned."""
    if markup and (mention := EVERYONE.search(text)):
        yield f"{path}: mentions everyone, with <!{mention[1]}>"
    if control := CONTROL.search(text):
        yield f"{path}: holds the control character U+{ord(control[0]):04X}"


def string(most: float, least: int = 1) -> Judge:
    """A string that nobody is shown: a name, an address, a value."""

    def judge(path: str, value: Any) -> Iterator[str]:
        if not isinstance(value, str):
            yield f"{path}: not a string"
        elif len(value) < least:
            yield f"{path}: empty, at least {least} character"
        elif len(value) > most:
            yield f"{path}: {len(value)} characters, at most {most}"

    return judge


def prose(most: int, least: int = 1, *, markup: bool = True) -> Judge:
    """A string that somebody is shown."""

    def judge(path: str, value: Any) -> Iterator[str]:
        yield from string(most, least)(path, value)
        if isinstance(value, str):
            yield from harm(path, value, markup=markup)

    return judge


def one_of(*words: str) -> Judge:
    """One of these words."""

    def judge(path: str, value: Any) -> Iterator[str]:
        if value not in words:
            yield f"{path}: {value!r} is not {' or '.join(words)}"

    return judge


# --- what else a value may be ------------------------------------------------------------------------------


def anything(path: str, value: Any) -> Iterator[str]:
    """Not judged."""
    yield from ()


def unknown(path: str, value: Any) -> Iterator[str]:
    """A key that Slack does not have there."""
    yield f"{path}: unknown key"


def boolean(path: str, value: Any) -> Iterator[str]:
    """True or false."""
    if not isinstance(value, bool):
        yield f"{path}: not true or false"


def mapping(path: str, value: Any) -> Iterator[str]:
    """An object with any keys."""
    if not isinstance(value, Mapping):
        yield f"{path}: not an object"


def shown(path: str, value: Any) -> Iterator[str]:
    """Something of which only that matters that every string in it may be shown."""
    if isinstance(value, str):
        yield from harm(path, value)
    if isinstance(value, Mapping) and value.get("type") == "broadcast":
        yield f"{path}: mentions everyone, with a broadcast"
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from shown(at(path, key), inner)
    for place, inner in numbered(path, value):
        yield from shown(place, inner)


# --- what is made of others --------------------------------------------------------------------------------


def numbered(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The items of a list with their paths; of anything else, none."""
    for number, item in enumerate(value if isinstance(value, list | tuple) else ()):
        yield f"{path}.{number}", item


def at(path: str, key: str) -> str:
    """The path of what an object has under that key."""
    return f"{path}.{key}" if path else key


def listing(most: int, item: Judge, least: int = 1) -> Judge:
    """A list of so many items."""

    def judge(path: str, value: Any) -> Iterator[str]:
        if not isinstance(value, list | tuple):
            yield f"{path}: not a list"
        elif not least <= len(value) <= most:
            yield f"{path}: {len(value)} items, at " + (f"most {most}" if value else f"least {least}")
        for place, inner in numbered(path, value):
            yield from item(place, inner)

    return judge


def shape(required: Table, optional: Table) -> Judge:
    """An object with these keys and no others."""
    known = {**required, **optional}

    def judge(path: str, value: Any) -> Iterator[str]:
        if not isinstance(value, Mapping):
            yield f"{path}: not an object"
            return
        yield from (f"{at(path, key)}: missing" for key in required if key not in value)
        for key, inner in value.items():
            yield from known.get(key, unknown)(at(path, key), inner)

    return judge


def typed(kinds: Table) -> Judge:
    """An object that is judged by its type."""

    def judge(path: str, value: Any) -> Iterator[str]:
        kind = value.get("type") if isinstance(value, Mapping) else None
        if isinstance(kind, str) and kind in kinds:
            yield from kinds[kind](path, value)
        else:
            yield f"{path}: of type {kind!r}, which is not {' or '.join(kinds)}"

    return judge


def both(*judges: Judge) -> Judge:
    """What all of them have to say."""

    def judge(path: str, value: Any) -> Iterator[str]:
        for each in judges:
            yield from each(path, value)

    return judge


def some_of(*keys: str) -> Judge:
    """At least one of these keys."""

    def judge(path: str, value: Any) -> Iterator[str]:
        if not any(key in value for key in keys):
            yield f"{path}: without {' or '.join(keys)}"

    return judge


def one_key_of(*keys: str) -> Judge:
    """One of these keys and no more."""

    def judge(path: str, value: Any) -> Iterator[str]:
        yield from some_of(*keys)(path, value)
        if sum(key in value for key in keys) > 1:
            yield f"{path}: with {' and '.join(keys)}, only one of them may be"

    return judge


# --- composition objects -----------------------------------------------------------------------------------


def text_object(most: int, extra: str) -> Judge:
    """A text object; its length is reported at its own path."""

    def judge(path: str, value: Any) -> Iterator[str]:
        def text(_: str, inner: Any) -> Iterator[str]:
            return prose(most, markup=extra == "verbatim")(path, inner)

        yield from shape({"type": anything, "text": text}, {extra: boolean})(path, value)

    return judge


def plain(most: int) -> Judge:
    """A text object without markup."""
    return typed({"plain_text": text_object(most, "emoji")})


def words(most: int) -> Judge:
    """A text object with markup or without."""
    return typed({"plain_text": text_object(most, "emoji"), "mrkdwn": text_object(most, "verbatim")})


STYLE = one_of("primary", "danger")
CONFIRM = shape(
    {"title": plain(100), "text": words(300), "confirm": plain(30), "deny": plain(30)},
    {"style": STYLE},
)
OPTION = shape({"text": plain(75), "value": string(150)}, {"description": plain(75)})
OPTION_GROUP = shape({"label": plain(75), "options": listing(100, OPTION)}, {})


# --- elements ----------------------------------------------------------------------------------------------

PICTURE: Table = {"image_url": string(3000), "slack_file": mapping}
ONE_SOURCE = one_key_of(*PICTURE)
IMAGE = both(shape({"type": anything, "alt_text": prose(2000)}, PICTURE), ONE_SOURCE)
BUTTON = shape(
    {"type": anything, "text": plain(75)},
    {
        "action_id": string(255),
        "value": string(2000),
        "url": string(3000),
        "style": STYLE,
        "confirm": CONFIRM,
        "accessibility_label": prose(75),
    },
)
SELECT = both(
    shape(
        {"type": anything},
        {
            "action_id": string(255),
            "placeholder": plain(150),
            "options": listing(100, OPTION),
            "option_groups": listing(100, OPTION_GROUP),
            "initial_option": OPTION,
            "confirm": CONFIRM,
            "focus_on_load": boolean,
        },
    ),
    one_key_of("options", "option_groups"),
)
ACTIVE: Table = {"button": BUTTON, "static_select": SELECT}
IN_CONTEXT: Table = {
    "image": IMAGE,
    "plain_text": text_object(3000, "emoji"),
    "mrkdwn": text_object(3000, "verbatim"),
}


# --- blocks ------------------------------------------------------------------------------------------------


def block(required: Table, optional: Table | None = None) -> Judge:
    """A block with these keys and those that every block has."""
    return shape({"type": anything, **required}, {"block_id": string(255), **(optional or {})})


def action_ids(path: str, actions: Any) -> Iterator[str]:
    """No two elements of one block may have the same action_id."""
    yield from twice("action_id", numbered(f"{path}.elements", actions.get("elements")))


SECTION: Table = {
    "text": words(3000),
    "fields": listing(10, words(2000)),
    "accessory": typed({**ACTIVE, "image": IMAGE}),
    "expand": boolean,
}
BLOCKS: Table = {
    "section": both(block({}, SECTION), some_of("text", "fields")),
    "header": block({"text": plain(150)}),
    "context": block({"elements": listing(10, typed(IN_CONTEXT))}),
    "actions": both(block({"elements": listing(25, typed(ACTIVE))}), action_ids),
    "divider": block({}),
    "image": both(block({"alt_text": prose(2000)}, {**PICTURE, "title": plain(2000)}), ONE_SOURCE),
    "rich_text": block({"elements": shown}),
}


# --- messages and views ------------------------------------------------------------------------------------

METADATA = shape({"event_type": string(math.inf), "event_payload": mapping}, {})
LEGACY = (
    *("fallback", "color", "pretext", "author_name", "author_link", "author_icon", "title", "title_link", "text"),
    *("fields", "image_url", "thumb_url", "footer", "footer_icon", "ts", "mrkdwn_in"),
)
"""The keys of an attachment from before there were blocks."""
ATTACHMENT = shape({}, {"blocks": listing(50, typed(BLOCKS), least=0), **dict.fromkeys(LEGACY, shown)})
ENVELOPE = (
    *("channel", "ts", "thread_ts", "user", "as_user", "username", "icon_emoji", "icon_url", "file_ids"),
    *("mrkdwn", "link_names", "reply_broadcast", "unfurl_links", "unfurl_media", "replace_original", "delete_original"),
)
"""The keys of a body that say where it goes and how it is treated."""
MESSAGE = shape(
    {},
    {
        **dict.fromkeys(ENVELOPE, anything),
        "text": prose(40_000, least=0),
        "blocks": listing(50, typed(BLOCKS), least=0),
        "attachments": listing(100, ATTACHMENT, least=0),
        "metadata": METADATA,
        "parse": one_of("none", "full"),
        "response_type": one_of("in_channel", "ephemeral"),
    },
)
HOME = shape(
    {"type": one_of("home"), "blocks": listing(100, typed(BLOCKS))},
    {"private_metadata": string(3000, least=0), "callback_id": string(255), "external_id": string(math.inf)},
)
