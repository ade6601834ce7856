"""Journals that earlier builds wrote: `python -m tests.journals record NAME` records those of this build.

Each file holds the journal of one release: its events, and the points at which tests stop its driver. A point says how
many events there were, and which other items had changed since the point before. Ids of AWS and times differ from world
to world, so placeholders in braces stand for them. `replace_journal` fills them in for the release of another world.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from bluegreen.aws.tags import HELD
from bluegreen.events import Event, EventKind, Phase, Verb
from bluegreen.release import Release
from tests.worlds import GOOD, Ops, fast
from tests.worlds.files import ROOT

FOLDER = ROOT / "tests" / "data" / "journals"
SERVICE, TABLE = "web/production", "bluegreen"
#: Numbers from here on are moments (epoch seconds).
MOMENTS = 1e9
#: Points besides the entry of each phase.
HALF_WAY = (Verb.EMPTY_BLUE, Verb.TAKE_GREEN_OUT)
Json = dict[str, Any]
#: Whether traffic is weighted, and whether the release is rolled back.
Story = tuple[bool, bool]
STORIES: Mapping[str, Story] = {
    f"{'weighted' if weighted else 'shared'}-{'rolled-back' if back else 'live'}": (weighted, back)
    for weighted in (False, True)
    for back in (False, True)
}


# --- the release ------------------------------------------------------------------------------------------


def play(story: Story, at: Callable[[Ops, str, Release], None]) -> Release | None:
    """Drive a release that is held and promoted, or ordered back in its soak. `at` is called at each point."""
    weighted, back = story
    ops = fast(weighted=weighted, loose=True, checks=[])
    release = ops.start(GOOD, hold=True)
    at(ops, str(Phase.BAKING), release)
    passed = {""}

    def when(seen: Release) -> None:
        name = _point(ops.told[-1])
        if name in passed:
            return
        passed.add(name)
        at(ops, name, seen)
        give_orders(ops, name, back=back)

    return ops.drive(release.id, when=when)


def give_orders(ops: Ops, point: str, *, back: bool = False) -> None:
    """Order what the story needs at this point."""
    if point == Phase.HOLDING:
        ops.engine().promote(SERVICE, who="slack:U2")
    if point == Phase.SOAKING and back:
        ops.engine().roll_back(SERVICE, who="slack:U1")


def _point(event: Event) -> str:
    """The name of the point that the event is; "" when it is none."""
    if event.kind is EventKind.ENTERED:
        return str(event.phase)
    half_way = event.kind is EventKind.DID and event.verb in HALF_WAY
    return str(event.verb) if half_way else ""


# --- writing -----------------------------------------------------------------------------------------------


def record(name: str) -> None:
    """Write what this build records into a folder of that name."""
    (FOLDER / name).mkdir(parents=True)
    for file, story in STORIES.items():
        (FOLDER / name / f"{file}.json").write_text(_recorded(story), encoding="utf-8")


def _recorded(story: Story) -> str:
    points: dict[str, Json] = {}
    events: list[list[Any]] = []

    def at(ops: Ops, point: str, seen: Release) -> None:
        items = [with_placeholders(plain(one), placeholders(ops, seen), seen.started_at) for one in _scan(ops)]
        events[:] = [[one["at"], one["kind"], one["facts"]] for one in items if one["sk"].startswith("event/")]
        others = [one for one in items if not one["sk"].startswith("event/") and one["sk"] != "lease"]
        known = [one for earlier in points.values() for one in earlier["items"]]
        points[point] = {"events": len(events), "items": [one for one in others if one not in known]}

    play(story, at)
    if story[1]:  # up to the order it is the release that goes on
        points = {name: points[name] for name in (Phase.BAKING, Phase.ROLLING_BACK, Verb.TAKE_GREEN_OUT)}
    rows = ",\n".join(f"  {json.dumps(one, ensure_ascii=False)}" for one in events)
    last = ",\n".join(f"  {json.dumps(name)}: {json.dumps(one, ensure_ascii=False)}" for name, one in points.items())
    return f'{{"events": [\n{rows}\n],\n"points": {{\n{last}\n}}}}\n'


def _scan(ops: Ops) -> list[Json]:
    found: list[Json] = ops.world.client("dynamodb").scan(TableName=TABLE)["Items"]
    return found


def plain(item: Json) -> Json:
    """An item without DynamoDB's types; the facts of an event are parsed."""
    spelled = ((name, *one.items()) for name, one in item.items())
    read = {name: _read(tag, raw) for name, (tag, raw) in spelled}
    return {**read, "facts": json.loads(read["facts"])} if "facts" in read else read


def _read(tag: str, raw: Any) -> Any:
    if tag == "N":
        return int(raw) if raw.lstrip("-").isdigit() else float(raw)
    return plain(raw) if tag == "M" else raw


def placeholders(ops: Ops, release: Release) -> dict[str, str]:
    """Placeholder -> value, of everything that differs from world to world."""
    named = {"{token}": getattr(release, "token", ""), "{image}": release.image, "{account}": release.account}
    named |= {"{template}": ops.world.template, "{builder}": release.builder, "{blue image}": release.blue_image}
    for name in ("target_groups", "listeners", "routes"):
        named |= {f"{{{name} {number}}}": one for number, one in enumerate(getattr(release, name))}
    return {name: value for name, value in named.items() if value}


def with_placeholders(thing: Any, known: Mapping[str, str], start: float) -> Any:
    """The same, with placeholders for ids and times."""
    if isinstance(thing, dict):
        return {name: with_placeholders(one, known, start) for name, one in thing.items()}
    if isinstance(thing, list):
        return [with_placeholders(one, known, start) for one in thing]
    if isinstance(thing, int | float) and thing >= MOMENTS:
        return f"{{+{thing - start}}}"
    for name, value in sorted(known.items(), key=lambda one: -len(one[1])) if isinstance(thing, str) else ():
        thing = thing.replace(value, name)
    return thing


# --- reading -----------------------------------------------------------------------------------------------


def recordings() -> list[tuple[str, str]]:
    """The build and the story of each file."""
    return sorted((path.parent.name, path.stem) for path in FOLDER.glob("*/*.json"))


def points(build: str, file: str) -> list[str]:
    """The points of a file."""
    return list(_file(build, file)["points"])


@cache
def _file(build: str, file: str) -> Json:
    read: Json = json.loads((FOLDER / build / f"{file}.json").read_text(encoding="utf-8"))
    return read


def replace_journal(build: str, file: str, point: str, ops: Ops, seen: Release) -> None:
    """Replace what is in the table by what that build had recorded at this point; no driver holds a lease then."""
    read = _file(build, file)
    events = read["events"][: read["points"][point]["events"]]
    known = placeholders(ops, seen)
    start = ops.clock.now() - float(_MOMENT.fullmatch(events[-1][0])[1])  # type: ignore[index]
    rows = [
        {"pk": seen.id, "sk": f"event/{seq:06}", "seq": seq, "at": at, "kind": kind, "facts": facts, "write": "theirs"}
        for seq, (at, kind, facts) in enumerate(events, 1)
    ]
    names = list(read["points"])
    others = [one for name in names[: names.index(point) + 1] for one in read["points"][name]["items"]]
    _write(ops, [_spelled(_without_placeholders(item, known, start)) for item in [*rows, *others]])
    if not any(facts.get("blue", {}).get("marked") for _, _, facts in events):
        _unmark(ops)


def _write(ops: Ops, items: list[Json]) -> None:
    """Make these the items of the table; of two with the same key the later counts."""
    client = ops.world.client("dynamodb")
    kept = {(item["pk"]["S"], item["sk"]["S"]): item for item in items}
    for item in _scan(ops):
        if (item["pk"]["S"], item["sk"]["S"]) not in kept:
            client.delete_item(TableName=TABLE, Key={key: item[key] for key in ("pk", "sk")})
    for item in kept.values():
        client.put_item(TableName=TABLE, Item=item)


def _unmark(ops: Ops) -> None:
    """Take the mark off every group, for a build that knew none or has not set it yet."""
    client = ops.world.client("autoscaling")
    for group in client.describe_auto_scaling_groups()["AutoScalingGroups"]:
        mark = {"ResourceId": group["AutoScalingGroupName"], "ResourceType": "auto-scaling-group", "Key": HELD}
        client.delete_tags(Tags=[mark])


_MOMENT = re.compile(r"\{\+(.*)\}")


def _without_placeholders(thing: Any, known: Mapping[str, str], start: float) -> Any:
    """The reverse, in another world."""
    if isinstance(thing, dict):
        return {name: _without_placeholders(one, known, start) for name, one in thing.items()}
    if isinstance(thing, list):
        return [_without_placeholders(one, known, start) for one in thing]
    if not isinstance(thing, str):
        return thing
    if moment := _MOMENT.fullmatch(thing):
        return start + float(moment[1])
    for name, value in known.items():
        thing = thing.replace(name, value)
    return thing


def _spelled(item: Json) -> Json:
    """An item as DynamoDB has it."""
    written = {name: json.dumps(one) if name == "facts" else one for name, one in item.items()}
    return {name: _attribute(one) for name, one in written.items()}


def _attribute(value: Any) -> Json:
    if isinstance(value, dict):
        return {"M": {name: _attribute(one) for name, one in value.items()}}
    return {"S": value} if isinstance(value, str) else {"N": repr(value)}


def main(word: str = "", name: str = "") -> None:
    """Do what the word says."""
    if word != "record" or not name:
        raise SystemExit(__doc__)
    record(name)


if __name__ == "__main__":
    main(*sys.argv[1:3])
