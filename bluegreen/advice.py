"""What a person can do next, in the words of the entry point where they read it. Pure.

Hints, sentences and the journal name commands as the command line has them; each entry point shows its own instead:

    `bluegreen rollback web/production --to 41`       the command line
    `/rollback web/production to 41`                  Slack
    a run with `command: rollback`, `to: 41`, …       GitHub, by the workflow's inputs

So the same advice works everywhere, also advice that the journal recorded long ago.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class EntryPoint(StrEnum):
    """Where somebody reads it."""

    COMMAND_LINE = "command line"
    SLACK = "Slack"
    GITHUB = "GitHub"


@dataclass(frozen=True)
class Advice:
    """A command as the command line has it; an option without a value has the value ""."""

    name: str
    service: str = ""
    options: Mapping[str, str] = field(default_factory=dict)


#: The commands that may be advised, each with Slack's word for it.
COMMANDS: Mapping[str, str] = {
    "release": "/release",
    "promote": "/promote",
    "hold": "/hold",
    "rollback": "/rollback",
    "resume": "/resume",
    "status": "/releases",
    "history": "/releases",
    "freeze": "/freeze",
    "unfreeze": "/freeze",
    "adopt": "",
    "reconcile": "",
    "init": "",
    "doctor": "",
    "iam-policy": "",
}
#: What only a terminal can do, as the other entry points say.
_ELSEWHERE = "in a terminal"
#: Options by the workflow's inputs, where those have another name; and commands by the one that does the same.
_INPUTS: Mapping[str, str] = {"region": "aws-region"}
_RUNS: Mapping[str, str] = {"history": "status"}
#: Options that are also advised alone.
_ALONE = ("override", "cure", "config", "region", "environment", "table", "commit", "ami", "until", "to")

_VALUE = r"[A-Z]+\b|[0-9]+|ami-[0-9a-z]+|resolve:ssm:[^\s`]+|held|switched|live|reader"
_SERVICE = r"[a-z0-9-]+/[a-z0-9-]+"
_COMMAND = re.compile(
    rf"(?P<tick>`?)\bbluegreen (?P<name>{'|'.join(COMMANDS)})\b"
    rf"(?P<rest>(?: --[a-z-]+(?: (?:{_VALUE}))?| {_SERVICE})*)(?P=tick)"
)
_WORDS = re.compile(rf" --(?P<option>[a-z-]+)(?: (?P<value>{_VALUE}))?| (?P<service>{_SERVICE})")
_OPTION = re.compile(rf"(?P<tick>`?)(?<![\w-])--(?P<name>{'|'.join(_ALONE)})\b(?: (?P<value>{_VALUE}))?(?P=tick)")


def advised(text: str, entry_point: EntryPoint) -> str:
    """The text with every command of ours in the form of that entry point."""
    if entry_point is EntryPoint.COMMAND_LINE:
        return text
    command = _slack if entry_point is EntryPoint.SLACK else _run
    option = _slack_option if entry_point is EntryPoint.SLACK else _input
    text = _COMMAND.sub(lambda found: _beginning(found, command(_said(found))), text)
    return _OPTION.sub(lambda found: _beginning(found, option(found) or found[0]), text)


def commands_in(text: str) -> Iterator[Advice]:
    """Every command that the text advises."""
    yield from map(_said, _COMMAND.finditer(text))


def _said(found: re.Match[str]) -> Advice:
    words = list(_WORDS.finditer(found["rest"]))
    options = {one["option"]: one["value"] or "" for one in words if one["option"]}
    return Advice(found["name"], next((one["service"] for one in words if one["service"]), ""), options)


def _beginning(found: re.Match[str], words: str) -> str:
    """With a capital where a sentence begins."""
    before = found.string[: found.start()].rstrip()
    return words[0].upper() + words[1:] if not before or before[-1] in ".!?" else words


def _in_a_terminal(said: Advice) -> str:
    return f"`{' '.join(part for part in ('bluegreen', said.name, said.service) if part)}` {_ELSEWHERE}"


# --- Slack -------------------------------------------------------------------------------------------------


def _slack(said: Advice) -> str:
    """An image from before is offered to whoever orders a rollback once blue is gone."""
    if not COMMANDS[said.name]:
        return _in_a_terminal(said)
    word = COMMANDS["rollback" if "ami" in said.options else said.name]
    to = f"to {said.options['to']}" if "to" in said.options else ""
    override = f"override {said.options['override']}" if "override" in said.options else ""
    off = "off" if said.name == "unfreeze" else ""
    return f"`{' '.join(part for part in (word, said.service, to, override, off) if part)}`"


def _slack_option(found: re.Match[str]) -> str:
    return "the same with `override REASON` at its end" if found["name"] == "override" else ""


# --- GitHub ------------------------------------------------------------------------------------------------


def _run(said: Advice) -> str:
    """The inputs of a run by hand; a `true` is what an option without a value means."""
    if not COMMANDS[said.name]:
        return _in_a_terminal(said)
    command = _RUNS.get(said.name, said.name)
    inputs = {"command": command, "service": said.service, **{_name(o): v or "true" for o, v in said.options.items()}}
    return f"a run with {', '.join(f'`{name}: {value}`' for name, value in inputs.items() if value)}"


def _input(found: re.Match[str]) -> str:
    value = f": {found['value']}" if found["value"] else ""
    return f"the input `{_name(found['name'])}{value}`"


def _name(option: str) -> str:
    return _INPUTS.get(option, option)
