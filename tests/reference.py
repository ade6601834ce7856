"""The pages of docs/reference, written from the code: `python -m tests.reference record`.

They are kept in the repository, so that links to them work on GitHub, too; tests/project/test_reference.py compares.
What a page says stands in the code: descriptions of the configuration, help of commands, comments of closed words.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
import tokenize
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from enum import StrEnum
from functools import cache
from typing import Any

import click
import yaml

from bluegreen import config, entry_points, events, iam_policy, wording
from bluegreen.action.inputs import COMMANDS, INPUTS
from bluegreen.cli import cli
from bluegreen.iam_policy import Holder
from bluegreen.release import duration
from bot import commands as slack
from lab import demo
from tests.worlds.account import FACTS
from tests.worlds.files import ROOT

FOLDER = ROOT / "docs" / "reference"
RECORD = "python -m tests.reference record"
Schema = Mapping[str, Any]


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of Markdown. A bar in a cell would end it."""
    titles = list(head)
    lines = [titles, ["---"] * len(titles), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def code(said: object) -> str:
    """In backticks; nothing is a dash."""
    return f"`{said}`" if str(said) else "-"


def begun(words: str) -> str:
    """With a capital letter and a full stop."""
    plain = " ".join(words.split())
    return f"{plain[0].upper()}{plain[1:].rstrip('.')}."


@cache
def comments(kind: type[StrEnum]) -> Mapping[str, str]:
    """What stands behind each member of a closed set in the source, by the member's name."""
    with tokenize.open(events.__file__) as source:
        lines = source.read().partition(f"class {kind.__name__}(StrEnum)")[2].partition("\n\n\n")[0]
    return dict(re.findall(r"(?m)^    ([A-Z_]+) = \S+  # (.+)$", lines))


# --- the configuration -----------------------------------------------------------------------------------

#: Where a page explains more, by the path of the key.
EXPLAINED: Mapping[str, str] = {
    "traffic": "../traffic.md",
    "image": "../builder.md",
    "checks": "../checks.md",
    "promotion": "../permissions.md#promotions",
    "hooks": "../hooks.md",
    "slack": "../slack.md",
    "github": "../permissions.md#ids",
    "aws": "../permissions.md#ids",
    "freeze": "../operating.md#freezes-and-overrides",
}
KINDS = {"HttpCheck": "http", "RunCheck": "run", "AlarmCheck": "alarm", "MetricCheck": "metric"}


def configuration() -> str:
    """Every key of `bluegreen.yml`, at every depth."""
    schema = config.json_schema()
    parts = "\n\n".join(_section(path, one, schema) for path, one in _sections("", schema, schema["definitions"]))
    return f"""# Every key of `bluegreen.yml`

The JSON Schema that `bluegreen schema` prints has the same keys. [An example with comments](../configuration.md) is
easier to begin with.

{_keys("", schema, schema)}

{parts}
"""


def _sections(path: str, part: Schema, classes: Mapping[str, Schema]) -> Iterator[tuple[str, Schema]]:
    """What stands below a key, with the path of that key."""
    for key, said in part["properties"].items():
        for name in _classes(said):
            below = f"{path}.{key}".lstrip(".")
            yield f"{below} {KINDS[name]}" if name in KINDS else below, classes[name]
            yield from _sections(below, classes[name], classes)


def _classes(said: Schema) -> Iterator[str]:
    """The parts that a key leads to."""
    if "$ref" in said and "JsonValue" not in said["$ref"]:
        yield said["$ref"].rpartition("/")[2]
    for one in (*said.get("anyOf", ()), *said.get("oneOf", ()), *([said["items"]] if "items" in said else ())):
        yield from _classes(one)


def _section(path: str, part: Schema, schema: Schema) -> str:
    key, _, kind = path.partition(" ")
    title = f"## `{key}`: a check by `{kind}`" if kind else f"## `{key}`"
    more = f" [More]({EXPLAINED[key]})." if key in EXPLAINED else ""
    said = begun(part["description"].partition("\n\n")[0]).replace("docs/checks.md", "[checks](../checks.md)")
    return f"{title}\n\n{said}{more}\n\n{_keys(key, part, schema)}"


def _keys(path: str, part: Schema, schema: Schema) -> str:
    required = part.get("required", ())
    rows = [
        (
            code(f"{path}.{key}".lstrip(".")),
            _type(said, schema),
            "required" if key in required else _default(said),
            said["description"],
        )
        for key, said in part["properties"].items()
    ]
    return table(("key", "value", "default", "meaning"), rows)


def _type(said: Schema, schema: Schema) -> str:
    """What may stand there, in a few words."""
    if found := [one for one in said.get("anyOf", ()) if one != {"type": "null"}]:
        kinds = [one.get("pattern", "") for one in found]
        if any("smhd" in one for one in kinds):
            return f"duration{_bounds(found[0], duration)}"
        if any("%" in one for one in kinds):
            return "share, as in `20%`"
        return ", or ".join(dict.fromkeys(_type(one, schema) for one in found))
    if "oneOf" in said:
        return "map, below"
    if "$ref" in said:
        return "anything" if "JsonValue" in said["$ref"] else "map, below"
    return _plain(said, schema)


def _plain(said: Schema, schema: Schema) -> str:
    if "enum" in said or "const" in said:
        return ", ".join(code(one) for one in said.get("enum", [said.get("const")]))
    match said.get("type"):
        case "array":
            return f"list of: {_type(said['items'], schema)}"
        case "boolean":
            return "`true` or `false`"
        case "integer" | "number":
            return f"number{_bounds(said, lambda bound: f'{bound:,g}')}"
        case "string":
            return "text"
    return "map"


def _bounds(said: Schema, shown: Callable[[float], str]) -> str:
    least, most = said.get("minimum"), said.get("maximum")
    if least and most:
        return f", {shown(least)} to {shown(most)}"
    return f", at most {shown(most)}" if most else ""


def _default(said: Schema) -> str:
    value = said.get("default")
    if value is None or value in ([], {}) or "$ref" in said:
        return "-"
    if isinstance(value, list):
        return ", ".join(code(one) for one in value)
    if isinstance(value, bool):
        return code(str(value).lower())
    spans = any("smhd" in one.get("pattern", "") for one in said.get("anyOf", ()))
    return code(duration(value)) if spans else code(f"{value:.0%}") if isinstance(value, float) else code(value)


# --- the command line ------------------------------------------------------------------------------------

#: The exit codes, as bluegreen/entry_points.py has them.
CODES: Mapping[int, str] = {
    entry_points.OK: "live, or stopped where you asked; the command did what it says",
    entry_points.FAILED: "the release failed, or any other error",
    entry_points.USAGE: "wrong usage, or a wrong configuration; nothing was changed",
    entry_points.ROLLED_BACK: "rolled back; for `bluegreen rollback` itself that is a 0",
    entry_points.REFUSED: "refused: [the reasons](../outcomes.md#refused)",
    entry_points.INTERRUPTED: "interrupted: the release can be resumed",
}


def command_line() -> str:
    """Every command, with its options and the exit codes."""
    parts = "\n\n".join(_command(name, found) for name, found in sorted(cli.commands.items()) if name != "demo")
    return f"""# The command line

## Exit codes

{table(("code", "meaning"), ((str(number), said) for number, said in CODES.items()))}

## Options of every command

{table(("option", "meaning"), map(_option, _shared()))}

`--help` shows the options of a command, and `bluegreen --version` the version.

{parts}

## `bluegreen demo`

{begun(cli.commands["demo"].help or "")} [A walk through it](../lab.md).

{table(("option", "meaning"), _demo())}
"""


@cache
def _shared() -> tuple[click.Parameter, ...]:
    """Options that every command has; of `demo` click knows none."""
    found = [command.params for name, command in cli.commands.items() if name != "demo"]
    return tuple(one for one in found[0] if all(any(one.opts == other.opts for other in params) for params in found))


def _command(name: str, found: click.Command) -> str:
    own = [one for one in found.params if not any(one.opts == other.opts for other in _shared())]
    options = [one for one in own if isinstance(one, click.Option)]
    words = [f"[{one.name.upper()}]" for one in own if isinstance(one, click.Argument) and one.name]
    rest = f"\n\n{table(('option', 'meaning'), map(_option, options))}" if options else ""
    given = "".join(f" {word}" for word in words)
    said = "\n\n".join(begun(part) for part in (found.help or "").split("\n\n"))
    return f"## `bluegreen {name}`\n\n`bluegreen {name}{given}`\n\n{said}{rest}"


def _option(one: click.Parameter) -> tuple[str, str]:
    assert isinstance(one, click.Option)
    with click.Context(cli) as above:
        shown, said = one.get_help_record(above) or ("", "")
    return code(shown), re.sub(r" +", " ", said)


def _demo() -> Iterator[tuple[str, str]]:
    """From its own help, which argparse writes as wide as a terminal."""
    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.suppress(SystemExit):
        demo.main(["--help"])
    for option, said in re.findall(r"(?m)^  (--\S+(?: \S+)?)\s+(.+(?:\n {10,}.+)*)", printed.getvalue()):
        yield code(option.replace("{", "").replace("}", "")), begun(said)


# --- the Action, Slack -----------------------------------------------------------------------------------


def action() -> str:
    """What workflows give and get."""
    declared = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    inputs = (
        (code(name), code(INPUTS[name].default), said["description"], INPUTS[name].example)
        for name, said in declared["inputs"].items()
    )
    outputs = (
        (code(name), said["description"].replace("docs/action.md", "[the reasons](events.md#reasons)"))
        for name, said in declared["outputs"].items()
    )
    return f"""# The Action: inputs and outputs

As `action.yml` declares them. [The page about the Action](../action.md) has recipes, permissions and what GitHub shows.

## Inputs

The commands are {", ".join(map(code, COMMANDS))}.

{table(("input", "default", "meaning", "form"), inputs)}

## Outputs

{table(("output", "meaning"), outputs)}

The exit codes are those of [the command line](command-line.md#exit-codes).
"""


def bot() -> str:
    """What can be typed in Slack."""
    manifest = yaml.safe_load((ROOT / "bot" / "manifest.yml").read_text(encoding="utf-8"))
    said = {one["command"]: one["description"] for one in manifest["features"]["slash_commands"]}
    rows = ((code(name), code(words), said[name]) for name, words in slack.COMMANDS.items())
    return f"""# Commands in Slack

{table(("command", "what may follow", "what it does"), rows)}

Brackets mark what may be missing. `help` after a command shows this line of it.
[The page about the bot](../slack.md#commands) says who may give each command, and has the buttons.
"""


# --- the journal -----------------------------------------------------------------------------------------


JOURNAL = """# Events and closed words

A release is a list of events in the journal. `bluegreen release --json` prints each as an object a line. Every
word here is one of a closed list, which only grows.

## Phases

{phases}

## Outcomes

{outcomes}

## Kinds of events

{kinds}

## Acts

An act is one changing call, or a few for one purpose. Events of the kinds `began`, `did` and `stumbled` name it.

{acts}

## What a driver waits for

{waits}

## Reasons

Each has [an entry with what to do](../outcomes.md).

{reasons}
"""


def journal() -> str:
    """The closed words of a release, as logs, outputs and the journal have them."""
    reasons = ((f"[`{one}`](../outcomes.md#{one})", wording._REASONS[one]) for one in events.Reason)
    return JOURNAL.format(
        phases=_listed(events.Phase, wording._PHASES),
        outcomes=_listed(events.Outcome, comments(events.Outcome)),
        kinds=table(("kind", "what happened", "what it records", "what it may record"), _kinds()),
        acts=_listed(events.Verb, {verb: _filled(said[0]) for verb, said in wording._ACTS.items()}),
        waits=_listed(events.Awaited, {one: _filled(said) for one, said in wording._WAITS.items()}),
        reasons=table(("reason", "what it means"), reasons),
    )


def _kinds() -> Iterator[tuple[str, ...]]:
    for kind in events.EventKind:
        facts = (", ".join(map(code, one)) or "-" for one in _recorded(kind))
        yield code(kind), comments(events.EventKind)[kind.name], *facts


def _listed(kind: type[StrEnum], said: Mapping[Any, str]) -> str:
    return table(("word", "meaning"), ((code(one), said.get(one) or said[one.name]) for one in kind))


def _recorded(kind: events.EventKind) -> tuple[list[str], list[str]]:
    """The names of the facts: those that are always there, and those only where they say something."""
    payload = events._PAYLOADS[kind]
    if payload is events.Observed:
        return ["subject", "value"], ["changes", "over"]
    if payload is events.Entered:
        return ["phase"], ["image", "reason", "message"]
    assert issubclass(payload, events.Recorded)
    known = [one.name for one in fields(payload)]
    return [one for one in known if one not in payload.seldom], [one for one in known if one in payload.seldom]


#: What stands in a sentence's places; one that adds what is known at that moment is left out.
PLACES: Mapping[str, str] = {
    "alarms": "alarms",
    "blue": "blue",
    "blue_targets": "blue's target groups",
    "blue_version": "as it is now",
    "builder": "the builder",
    "commit": "the commit",
    "given": "green its share of the traffic",
    "green": "green",
    "green_targets": "green's target groups",
    "group": "the group",
    "instance": "one instance of green",
    "old_versions": "old versions",
    "processes": "processes",
    "rest": "the groups that failed releases left",
    "servers": "as many instances as blue",
    "source": "of the commit",
    "version": "the new version",
}


def _filled(said: str) -> str:
    one = re.sub(r"(?<!old )(image|launch template) \{\w+\}", r"the \1", said)
    return re.sub(r" ?\{(\w+)\}", lambda place: f" {PLACES[place[1]]}" if place[1] in PLACES else "", one).strip()


# --- permissions -----------------------------------------------------------------------------------------


def permissions() -> str:
    """Every action of AWS that a role may need."""
    example = yaml.safe_load((ROOT / "examples" / "policy.json").read_text(encoding="utf-8"))
    needed: dict[str, list[str]] = {}
    for statement in example["Statement"]:
        for name in _several(statement["Action"]):
            needed.setdefault(name, []).append(code(statement["Sid"]))
    read = iam_policy.policy(
        config.load(str(ROOT / "examples" / "bluegreen.yml"), None), FACTS, "bluegreen", Holder.READER
    )
    reader = {name for statement in read for name in statement.actions}
    rows = (
        (code(name), ", ".join(needed.get(name, ["-"])), "yes" if name in reader else "-")
        for name in sorted({*needed, *reader})
    )
    return f"""# IAM actions

Every action that a policy of `bluegreen iam-policy` can have. What a service does not need is missing in its own
policy. [The role in AWS](../permissions.md#the-role-in-aws) says for each statement which resources it names, and why
not fewer.
The reader's policy (`--for reader`) is for those who only look: `status`, `history`, `plan` and `doctor`.

{table(("action", "statement of a release", "reader"), rows)}
"""


def _several(said: str | list[str]) -> list[str]:
    return [said] if isinstance(said, str) else said


# --- all of it -------------------------------------------------------------------------------------------

PAGES: Mapping[str, Callable[[], str]] = {
    "configuration.md": configuration,
    "command-line.md": command_line,
    "action.md": action,
    "slack.md": bot,
    "events.md": journal,
    "iam.md": permissions,
}
NOTE = f"<!-- Written from the code by `{RECORD}`. -->\n\n"


def written(page: str) -> str:
    """The page as the code is now."""
    return NOTE + PAGES[page]()


def main(word: str = "") -> None:
    """Do what the word says."""
    if word != "record":
        raise SystemExit(__doc__)
    FOLDER.mkdir(exist_ok=True)
    for page in PAGES:
        (FOLDER / page).write_text(written(page), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:2])
