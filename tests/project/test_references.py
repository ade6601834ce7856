"""Whatever a document, a hint or a help text names can be typed: commands, options, inputs, keys, targets.

`test_advice` tests in which words each entry point gives advice. This file reads every text: the pages, the examples,
the sentences of the source, what `--help` prints, Slack's manifest.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import botocore.session
import click
import pytest
import yaml
from botocore import xform_name

from bluegreen.action.inputs import INPUTS
from bluegreen.cli import cli
from bot import commands
from tests import contract
from tests.project.test_advice import sentences
from tests.worlds.files import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")])
FILES = (".md", ".yml", ".html")
DECLARED = sorted(
    [
        *ROOT.glob("examples/**/*.yml"),
        *ROOT.glob("bluegreen/workflows/*.yml"),
        *ROOT.glob("lab/page/*.html"),
        ROOT / "action.yml",
        ROOT / "bot" / "manifest.yml",
    ]
)
#: Slack's own commands, and paths that the bot serves: they look like commands of ours.
NOT_OURS = {"/invite", "/metrics", "/healthz"}
#: Named as `key: value` too: GitHub's permissions, lines of a log, and how YAML is written.
OTHERS_KEYS = {"actions", "contents", "deployment", "deployments", "file", "id-token", "pull-requests", "ready", "key"}
#: Commands of AWS's command line that are no operations of the API, with their options; and options of every command.
OF_ITS_OWN = {
    ("cloudformation", "deploy"): {"stack-name", "template-file", "capabilities", "parameter-overrides"},
    ("ec2", "wait"): {"instance-ids"},
    ("ecr", "get-login-password"): set[str](),
    ("logs", "tail"): {"follow"},
}
EVERYWHERE = {"region", "query", "output"}
Text = tuple[str, str]


# --- what there is to read -----------------------------------------------------------------------------------


@cache
def texts() -> tuple[Text, ...]:
    """Every text, and where it stands."""
    files = ((str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")) for path in [*PAGES, *DECLARED])
    return (*files, *sentences(), *_helps())


def _helps() -> Iterator[Text]:
    for name, command in cli.commands.items():
        shown = [command.help, *(one.help for one in command.params if isinstance(one, click.Option))]
        yield f"bluegreen {name} --help", "\n".join(filter(None, shown))


@cache
def code() -> tuple[Text, ...]:
    """Everything in the texts that somebody may copy or type, word for word."""
    return tuple((where, said) for where, text in texts() for said in _code(text, sentence=not where.endswith(FILES)))


def _code(text: str, *, sentence: bool) -> Iterator[str]:
    block = r"(?ms)^ *```(\w*)\n(.*?)^ *```"
    for kind, lines in re.findall(block, text):
        if kind in ("sh", "console"):
            yield from _lines(kind, lines)
    prose = re.sub(block, "", text)
    yield from (" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose))
    yield from _bare(prose, sentence=sentence)


def _bare(prose: str, *, sentence: bool) -> Iterator[str]:
    """What stands in no backticks: commands of Slack, inputs, variables, and in our own sentences whole commands."""
    yield from re.findall(r"(?:^|[\s(“\"])(/[a-z]{4,})(?=[\s,.:;)\"”]|$)", prose)
    for said in re.findall(r"\binputs? ((?:`[a-z-]+`(?:, | and | or )?)+)", prose):
        yield from (f"input {name}" for name in re.findall(r"`([a-z-]+)`", said))
    yield from (f"variable {name}" for name in re.findall(r"\bBLUEGREEN_[A-Z_]+\b", prose))
    if sentence:
        yield from (f"bluegreen {rest}" for rest in re.findall(r": bluegreen ([a-z][^,;.]*)", prose))
        yield from re.findall(r"(?<!`)\baws [a-z0-9]+ [a-z]+-[^`;)]*", prose)


def _lines(kind: str, block: str) -> Iterator[str]:
    for line in block.replace("\\\n", " ").splitlines():
        typed = line.strip().partition(" #")[0].strip()
        if kind == "sh" or typed.startswith("$ "):
            yield from (part.strip() for part in typed.removeprefix("$ ").split("&&"))


def _words(said: str) -> list[str]:
    """As a shell takes them; brackets say that something may be left out."""
    try:
        return shlex.split(re.sub(r"[\[\]]", "", said))
    except ValueError:
        return said.split()


# --- what may be named ----------------------------------------------------------------------------------------


def _bluegreen(said: str) -> str | None:
    """What is wrong with a command of ours; None when it is another's."""
    words = _words(said)
    if words[:1] != ["bluegreen"] or len(words) == 1 or not re.match(r"-|[a-z]+$", words[1]):
        return None
    if words[1].startswith("-"):
        return "" if set(words[1:]) <= {"--help", "-h", "--version"} else f"no such option: {words[1]}"
    if words[1] not in cli.commands:
        return f"no such command: {words[1]}"
    return "".join(f"no such option: {word}" for word in words[2:] if word[0] == "-" and word not in _options(words[1]))


@cache
def _options(command: str) -> frozenset[str]:
    """Every option of a command, or of all of them ("")."""
    if command == "demo":
        return frozenset([*contract.command_line()["commands"]["demo"], "-h"])
    found = [cli.commands[command]] if command else [one for name, one in cli.commands.items() if name != "demo"]
    more = _options("demo") if not command else frozenset[str]()
    return more | {"--help", "-h", *(opt for one in found for param in one.params for opt in param.opts)}


def _option(said: str) -> str | None:
    """An option alone is one of some command."""
    word = _words(said)[0] if said.startswith("--") else ""
    return None if not word else "" if word in _options("") else f"no such option: {word}"


def _slack(said: str) -> str | None:
    found = re.match(r"(/[a-z]+)(?: |$)", said)
    if not found or found[1] in NOT_OURS:
        return None
    return "" if found[1] in commands.COMMANDS else f"no such command: {found[1]}"


def _input(said: str) -> str | None:
    name = said.removeprefix("input ")
    return None if name == said else "" if name in INPUTS else f"no such input: {name}"


def _variable(said: str) -> str | None:
    name = said.removeprefix("variable ")
    return None if name == said else "" if name in _variables() else f"nobody reads {name}"


@cache
def _variables() -> frozenset[str]:
    """What the code, the Makefile and the workflows read."""
    source = [path.read_text() for top in ("bluegreen", "bot", "tests") for path in ROOT.glob(f"{top}/**/*.py")]
    found = re.findall(r"""["'](BLUEGREEN_[A-Z_]+)["']""", "".join(source))
    others = [path.read_text() for path in [ROOT / "Makefile", *ROOT.glob("bluegreen/workflows/*.yml")]]
    return frozenset([*found, *re.findall(r"(?:vars\.|\$\()(BLUEGREEN_[A-Z_]+)", "".join(others))])


def _make(said: str) -> str | None:
    words = [word for word in _words(said) if not re.match(r"[A-Z_]+=", word)]
    if words[:1] != ["make"]:
        return None
    targets = re.findall(r"(?m)^([a-z]+):.*##", (ROOT / "Makefile").read_text())
    return "".join(f"no such target: {word}" for word in words[1:] if word not in targets)


def _module(said: str) -> str | None:
    found = re.search(r"python -m ((?:tests|bluegreen|bot|lab)[\w.]*)", said)
    if not found:
        return None
    path = ROOT / found[1].replace(".", "/")
    return "" if path.with_suffix(".py").exists() or (path / "__main__.py").exists() else f"no such module: {found[1]}"


def _aws(said: str) -> str | None:
    """A command of AWS's command line, by botocore's model of its API."""
    found = re.match(r"aws ([a-z0-9]+) ([a-z-]+)(.*)", said)
    if not found:
        return None
    if (members := OF_ITS_OWN.get((found[1], found[2]), _members(found[1]).get(found[2]))) is None:
        return f"no such operation: {found[1]} {found[2]}"
    options = re.findall(r"(?<!\S)--(?:no-)?([a-z-]+)", found[3].partition(" | ")[0])
    return "".join(f"no such option: {option}" for option in options if option not in {*members, *EVERYWHERE})


@cache
def _members(service: str) -> dict[str, set[str]]:
    model = botocore.session.get_session().get_service_model(service)
    shapes = {xform_name(name, "-"): model.operation_model(name).input_shape for name in model.operation_names}
    return {name: {xform_name(one, "-") for one in (shape.members if shape else ())} for name, shape in shapes.items()}


def _key(said: str) -> str | None:
    """`key: value` of the Action or of the configuration."""
    found = re.fullmatch(r"([a-z][a-z_-]+): (.*)", said)
    if not found:
        return None
    name, value = found.groups()
    if name in INPUTS and name not in _keys() and not re.search(r"[A-Z…]", value):
        return "" if re.fullmatch(INPUTS[name].form, value) else f"{name} takes no {value}"
    return "" if name in {*INPUTS, *_keys(), *OTHERS_KEYS} else f"no such key: {name}"


def _dotted(said: str) -> str | None:
    """`traffic.overlap` of the configuration."""
    first, _, second = said.partition(".")
    parts = _parts().get(first)
    if not parts or not re.fullmatch(r"[a-z_]+", second):
        return None
    return "" if second in parts else f"no such key: {said}"


@cache
def _parts() -> dict[str, frozenset[str]]:
    """The keys of each part of the configuration."""
    return {name: frozenset(_properties(part)) for name, part in contract.configuration()["properties"].items()}


@cache
def _keys() -> frozenset[str]:
    return frozenset(_properties(contract.configuration()))


def _properties(schema: Any) -> Iterator[str]:
    """Every key, at whatever depth."""
    if isinstance(schema, dict):
        yield from schema.get("properties", ())
    for part in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from _properties(part)


#: How each kind is checked, how often it is found at least, and one that must be refused.
KINDS: dict[str, tuple[Callable[[str], str | None], int, str]] = {
    "a command": (_bluegreen, 80, "bluegreen destroy web/production"),
    "an option of a command": (_bluegreen, 80, "bluegreen adopt web --cure"),
    "an option": (_option, 20, "--colour"),
    "a command in Slack": (_slack, 80, "/destroy web"),
    "an input": (_input, 8, "input colour"),
    "a key": (_key, 40, "colour: blue"),
    "the value of an input": (_key, 40, "command: destroy"),
    "a part of the configuration": (_dotted, 30, "traffic.colour"),
    "a variable": (_variable, 10, "variable BLUEGREEN_COLOUR"),
    "a target of make": (_make, 20, "make destroy"),
    "a module": (_module, 8, "python -m tests.destroy"),
    "a command of AWS": (_aws, 15, "aws ec2 destroy-instances"),
    "an option of AWS": (_aws, 15, "aws ec2 stop-instances --instance-ids i-1 --colour"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_named_exists(kind: str) -> None:
    """In every text; what does not exist would be refused."""
    check, least, nothing = KINDS[kind]
    found = [(where, said, wrong) for where, said in code() if (wrong := check(said)) is not None]
    assert [one for one in found if one[2]] == []
    assert len(found) >= least
    assert check(nothing)


def test_steps_in_the_documents_give_inputs_that_there_are() -> None:
    """In every YAML block of every page, with values that the Action takes."""
    blocks = [block for page in PAGES for block in re.findall(r"(?ms)^```yaml\n(.*?)^```", page.read_text())]
    steps = [step for block in blocks for step in _steps(yaml.safe_load(block))]
    assert len(steps) > 3
    for step in steps:
        for name, value in (step.get("with") or {}).items():
            assert name in INPUTS, name
            assert "${{" in str(value) or re.fullmatch(INPUTS[name].form, str(value), re.IGNORECASE), (name, value)


def _steps(read: Any) -> Iterator[dict[str, Any]]:
    """Every step that uses the Action, of which the documents show what changes in the workflow."""
    if isinstance(read, dict) and "with" in read and read.get("uses", "./") == "./":
        yield read
    for part in read.values() if isinstance(read, dict) else read if isinstance(read, list) else ():
        yield from _steps(part)
