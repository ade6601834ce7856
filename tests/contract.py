"""What others rely on, read from the code and from releases that are played: `python -m tests.contract record`.

`record` writes it to tests/data/contract, a file for each part, and tests/project/test_contract.py compares. Whoever
changes a part on purpose records it anew: what changes for others is then a difference that can be read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import inspect
import io
import json
import logging
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import click
import yaml

import bluegreen
from bluegreen import Caller, Engine, config, entry_points, errors, plan_text
from bluegreen.action.inputs import INPUTS
from bluegreen.cli import cli, listing, output
from bluegreen.errors import BlueGreenError, Interrupted, Refused
from bluegreen.events import Outcome, Phase, Until
from bluegreen.release import Release
from lab import demo
from tests.journals import plain
from tests.worlds import GOOD, Ops, Unforeseen, bare, once
from tests.worlds.files import ROOT
from tests.worlds.release import Stage

FOLDER = ROOT / "tests" / "data" / "contract"
RECORD = "python -m tests.contract record"
SERVICE, ADMIN = "web/production", "arn:aws:iam::1:user/ann"
Item = dict[str, Any]


# --- Python ------------------------------------------------------------------------------------------------


def api() -> Any:
    """Every name that `bluegreen` exports, with what can be done with it; types are mypy's to hold."""
    return {name: _thing(getattr(bluegreen, name)) for name in sorted(bluegreen.__all__)}


def _thing(thing: Any) -> Any:
    if not isinstance(thing, type):
        return _signature(thing)
    if issubclass(thing, enum.Enum):
        return [str(one.value) for one in thing]
    base = {"is": thing.__mro__[1].__name__} if issubclass(thing, Exception) else {}
    return {**base, "made by": _signature(thing), **dict(_members(thing))}


def _members(thing: type) -> Iterator[tuple[str, Any]]:
    for name, member in sorted(vars(thing).items()):
        if isinstance(member, property) and name[0] != "_":
            yield name, "property"
        elif callable(getattr(thing, name)) and name[0] != "_":
            yield name, _signature(getattr(thing, name))


def _signature(function: Callable[..., Any]) -> list[str]:
    """Parameters in their order, with their defaults; behind `*` they are given by name."""
    found = [one for one in inspect.signature(function).parameters.values() if one.name != "self"]
    named = [one.kind is one.KEYWORD_ONLY for one in found]
    said = [one.name if one.default is one.empty else f"{one.name} = {_default(one.default)}" for one in found]
    return [*said[: named.index(True)], "*", *said[named.index(True) :]] if True in named else said


def _default(value: object) -> str:
    """A function, and a map, have no spelling of their own."""
    made = callable(value) or isinstance(value, Mapping) or repr(value) == "<factory>"
    return "..." if made else str(value) if isinstance(value, enum.Enum) else repr(value)


# --- command line, configuration, Action -------------------------------------------------------------------


def command_line() -> Any:
    """Every command with its options, and what every exit code means."""
    commands = {name: [_parameter(one) for one in found.params] for name, found in sorted(cli.commands.items())}
    everywhere = [one for one in commands["reconcile"] if one in commands["release"]]
    apart = {name: [one for one in said if one not in everywhere] for name, said in commands.items()}
    kinds = {name: one for name, one in sorted(vars(errors).items()) if isinstance(one, type)}
    codes = {
        name: entry_points.error_code(one.__new__(one))
        for name, one in kinds.items()
        if issubclass(one, BlueGreenError)
    }
    ends = {
        str(one or "parked"): entry_points.exit_code(dataclasses.replace(Stage().release, outcome=one))
        for one in (None, *Outcome)
    }
    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.suppress(SystemExit):
        demo.main(["--help"])
    apart["demo"] = sorted(set(re.findall(r"--[a-z-]+", printed.getvalue())))
    return {"every command": everywhere, "commands": apart, "exit codes": {**ends, **codes}}


def _parameter(one: click.Parameter) -> str:
    """`--until held|switched|live`, `service`."""
    said = one.to_info_dict()
    kind = "|".join(said["type"].get("choices", ())) or said["type"]["name"]
    kind = "{min}..{max}".format(**said["type"]) if "min" in said["type"] else kind
    takes = "" if said.get("is_flag") or said["param_type_name"] == "argument" else f" {kind}"
    default = f" = {said['default']}" if said.get("default") else ""
    return f"{', '.join(one.opts)}{takes}{default}{' required' if one.required else ''}"


def configuration() -> Any:
    """The JSON Schema, without names of classes and without sentences."""
    schema = config.json_schema()
    return _plain(schema, schema["definitions"])


def _plain(schema: Any, classes: Mapping[str, Any]) -> Any:
    """A map of keys to schemas may have a key `title`; only a text is one."""
    if isinstance(schema, list):
        return [_plain(one, classes) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        return "anything" if name == "JsonValue" else _plain({**classes[name], **rest}, classes)
    said = ("title", "description", "examples")
    kept = {key: value for key, value in schema.items() if not (key in said and isinstance(value, str | list))}
    return {key: _plain(value, classes) for key, value in kept.items() if key not in ("definitions", "discriminator")}


def action() -> Any:
    """What workflows give and get."""
    declared = yaml.safe_load((ROOT / "action.yml").read_text())
    inputs = {
        name: {"form": INPUTS[name].form, **{key: said[key] for key in ("default", "required") if key in said}}
        for name, said in declared["inputs"].items()
    }
    return {"inputs": inputs, "outputs": list(declared["outputs"])}


# --- releases that are played ------------------------------------------------------------------------------


@dataclasses.dataclass
class Played:
    """The items of the journal, and what programs were told, while releases were played."""

    items: dict[str, list[Item]] = dataclasses.field(default_factory=dict)
    told: dict[str, list[Any]] = dataclasses.field(default_factory=dict)

    def keeps(self, ops: Ops) -> None:
        """The journal, as it is now."""
        for item in ops.world.client("dynamodb").scan(TableName="bluegreen")["Items"]:
            self.items.setdefault(_place(item), []).append(item)

    def hears(self, name: str, thing: Any) -> None:
        """Something that is JSON to whoever reads it."""
        self.told.setdefault(name, []).append(json.loads(json.dumps(thing, default=str)))

    def reads(self, name: str, command: Callable[[], object]) -> None:
        """The object that a command prints."""
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            command()
        self.hears(name, json.loads(printed.getvalue()))

    def drives(self, ops: Ops, id_: str, when: Callable[[Release], object] = lambda _: None, **more: Any) -> Release:
        """As far as it goes, once more when the driver dies."""

        def tell(seen: Release) -> None:
            if seen.seq % 25 == 4:  # the builder is claimed at the fourth event
                self.keeps(ops)
            when(seen)

        done = ops.drive(id_, when=tell, **more) or ops.rescue(id_, when=tell)
        self.keeps(ops)
        self.hears("release, promote, rollback, resume: the last line", entry_points.result(done))
        return done


def _place(item: Item) -> str:
    """Which kind of item it is, by its keys."""
    pk, sk = (re.sub(r"/.*|#\d+", "", item[key]["S"]) for key in ("pk", "sk"))
    return f"{pk} {'NAME' if pk == 'service' else 'ID' if pk == 'builder' else sk}"


@cache
def played() -> Played:
    """The stories below, in two worlds."""
    found = Played()
    _shared(found)
    _weighted(found)
    return found


def _shared(found: Played) -> None:
    """Live; in spite of a freeze; gone back and failed, resumed; over a blue that is ill."""
    ops = bare(github={"overriders": ["*"]}, retire="empty")
    ops.config = ops.config.model_copy(update={"image": ops.config.image.model_copy(update={"keep": 1})})
    engine = ops.engine()
    found.hears("plan", plan_text.as_object(engine.plan(ops.config, commit=GOOD)))
    first = ops.start(GOOD, source={"repository": "acme/web", "title": "Faster"}, request="order-1")
    found.drives(ops, first.id)
    found.reads("a line for each event", lambda: output.Objects().tell(first, engine.events(first.id)[0], None, None))
    _remembers(engine, first.id)
    engine.freeze(SERVICE, who=ADMIN, why="sale", until=ops.clock.now() + 60)
    found.keeps(ops)
    engine.freeze(SERVICE, who=ADMIN, why="sale")
    _looks(found, engine)
    try:
        ops.start("c0ffee02")
    except Refused as refusal:
        found.hears("an error: the last line", entry_points.failed_result(refusal, None))
    second = ops.start("c0ffee02", override="a mend")
    ops.aws.faults.deny("autoscaling:DeleteAutoScalingGroup")
    failed = found.drives(ops, second.id, once(lambda seen: seen.phase is Phase.SOAKING, lambda: _back(engine)))
    found.hears("an error: the last line", entry_points.failed_result(BlueGreenError("lost"), failed))
    ops.aws.faults.clear()
    found.drives(ops, engine.resume(SERVICE, who=ADMIN).id)
    ops.machines.sick(GOOD)
    ops.clock.sleep(30)
    found.drives(ops, ops.start("c0ffee03", cure=True, override="a mend").id)
    found.drives(ops, ops.start("c0ffee04", override="a mend").id)
    _looks(found, engine)
    found.reads("adopt", lambda: listing.print_adoption(engine.adopt(ops.config, who=ADMIN), as_json=True))
    words = ["explain", "--config", str(ROOT / "examples" / "bluegreen.yml"), "--json", "--who", ADMIN]
    found.reads("explain", lambda: cli.main(words, standalone_mode=False))


def _weighted(found: Played) -> None:
    """Held, and promoted; a driver is stopped, another dies; AWS is out of reach, or answers nonsense."""
    ops = bare(weighted=True, rules=True)
    engine, begun = ops.engine(), ops.start(GOOD).id
    unforeseen = Unforeseen(2)

    def when(seen: Release) -> None:
        if seen.phase is Phase.CHECKING and not seen.hold:
            engine.hold(SERVICE, who=ADMIN)
            unforeseen.begin()
            ops.aws.faults.throttle("elbv2:DescribeTargetHealth", times=9)

    with contextlib.suppress(Interrupted):
        ops.drive(begun, stop=lambda: True)
    found.drives(ops, begun, when, death=unforeseen, until=Until.HELD)
    found.hears("reconcile", [entry_points.Done(begun, release=engine.load(begun)).result])
    blue: Any = ops.world.client("autoscaling")
    blue.set_desired_capacity(AutoScalingGroupName=ops.world.group, DesiredCapacity=3)
    ops.clock.sleep(10)
    engine.promote(SERVICE, who=ADMIN)
    found.drives(ops, begun)


def _back(engine: Engine) -> None:
    engine.roll_back(SERVICE, who=Caller(ADMIN, request="order-2"), why="it is slow")


def _remembers(engine: Engine, release: str) -> None:
    """What a chat bot keeps in the journal."""
    duty = engine.take_leadership("web", 30)
    assert duty is not None
    engine.note(release, "card", {"ts": "1.2"}, duty)
    engine.answer("order-3", {"text": "yes"})


def _looks(found: Played, engine: Engine) -> None:
    rows = engine.history(SERVICE)
    found.reads("status", lambda: listing.print_status(engine.status(), as_json=True))
    found.reads("history", lambda: listing.print_history(SERVICE, rows, engine.kept(rows), as_json=True))


def journal() -> Any:
    """Every kind of item, and every kind of event: the keys and the types of what is in it."""
    items = {
        place: shape([{**plain(one), **dict.fromkeys(one.keys() & {"facts"}, "")} for one in found])
        for place, found in sorted(played().items.items())
    }
    events: dict[str, list[Any]] = {}
    for item in played().items["web event"]:
        read = plain(item)
        events.setdefault(f"{read['kind']} {_which(read['facts'])}".rstrip(), []).append(read["facts"])
    return {"items": items, "facts of events": {name: shape(facts) for name, facts in sorted(events.items())}}


def _which(facts: Item) -> str:
    """The act, the phase or the subject that an event speaks of."""
    return "CHECK" if "passed" in facts else str(facts.get("verb") or facts.get("phase") or facts.get("subject") or "")


def results() -> Any:
    """JSON for programs."""
    return {name: shape(told) for name, told in sorted(played().told.items())}


#: Maps whose keys are no names of ours.
FREE = ("config", "bad", "facts", "source", "rollback")


def shape(samples: Sequence[Any], name: str = "") -> Any:
    """The types of what stands in a place; `?` behind a key that is not always there."""
    maps = [one for one in samples if isinstance(one, dict)]
    lists = [one for one in samples if isinstance(one, list)]
    said: list[Any] = sorted({_TYPES[type(one)] for one in samples if not isinstance(one, dict | list)})
    if maps:
        said.append("a map" if name in FREE else _shape_of_maps(maps))
    if lists:
        items = [item for one in lists for item in one]
        said.append([shape(items)] if items else [])
    return said[0] if len(said) == 1 else " or ".join(said) if all(isinstance(one, str) for one in said) else said


def _shape_of_maps(maps: Sequence[Item]) -> Any:
    names = sorted({name for one in maps for name in one})
    there = {name: [one[name] for one in maps if name in one] for name in names}
    return {f"{name}{'?' * (len(found) < len(maps))}": shape(found, name) for name, found in there.items()}


_TYPES = {str: "text", bool: "yes or no", int: "number", float: "number", type(None): "nothing"}


# --- all of it ---------------------------------------------------------------------------------------------

PARTS: Mapping[str, Callable[[], Any]] = {
    one.__name__: one for one in (api, command_line, configuration, action, journal, results)
}


def found(part: str) -> str:
    """The part as it is now, as it is written."""
    return _written(PARTS[part]()) + "\n"


def _written(thing: Any, depth: int = 0) -> str:
    """JSON, with whatever fits on a line on one."""
    flat = json.dumps(thing, ensure_ascii=False)
    if not thing or not isinstance(thing, dict | list) or (depth and len(flat) + 2 * depth < 110):
        return flat
    inner = [(f"{json.dumps(name)}: ", one) for name, one in thing.items()] if isinstance(thing, dict) else None
    lines = [f"{name}{_written(one, depth + 1)}" for name, one in inner or [("", one) for one in thing]]
    begin, end = "{}" if inner else "[]"
    gap = "\n" + " " * (2 * depth)
    return f"{begin}{gap}  {f',{gap}  '.join(lines)}{gap}{end}"


def recorded(part: str) -> str:
    """The part as it was when somebody recorded it last."""
    return (FOLDER / f"{part}.json").read_text(encoding="utf-8")


def main(word: str = "") -> None:
    """Do what the word says."""
    if word != "record":
        raise SystemExit(__doc__)
    logging.getLogger("bluegreen").setLevel("CRITICAL")  # some stories are of faults
    FOLDER.mkdir(exist_ok=True)
    for part in PARTS:
        (FOLDER / f"{part}.json").write_text(found(part), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:2])
