"""What `init` does: look, ask on a terminal, write the files that are not there, and say what comes next."""

from __future__ import annotations

import importlib.metadata
import json
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import click
import yaml

import bluegreen
from bluegreen import config, entry_points, proposal, workflows
from bluegreen.cli import output
from bluegreen.cli.invocation import CONFIG, Invocation, told_by_git
from bluegreen.errors import ConfigError
from bluegreen.observation import Candidates, GroupDetails
from bluegreen.proposal import Proposal, Wishes
from bluegreen.release import agreeing, count_of

#: So many stopped instances are offered; the likely builders come first.
MOST_SHOWN = 20
#: The journal's table where nobody names another: workflows do not mention it.
USUAL_TABLE = "bluegreen"
#: What became of a file.
WROTE, KEPT, LEFT_OUT, SHOWN = "wrote", "kept", "left out", "shown"
_NO_ADDRESS = "nothing here tells which repository has the Action"
_GIVE_IT = (
    "bluegreen init --action REPOSITORY@TAG{}: it writes the workflows, which name the Action "
    "as in octocat/bluegreen@v1"
)


@dataclass(frozen=True)
class InitOptions:
    """The command's own options."""

    wishes: Wishes
    action: str = ""
    workflows: bool = True
    yes: bool = False
    show: bool = False


@dataclass(frozen=True)
class File:
    """One file: its path, its content, and why it is not written; `state` says what became of it."""

    path: Path
    text: str = ""
    why: str = ""
    state: str = ""


def initialize(at: Invocation, options: InitOptions) -> None:
    """Propose a configuration from what AWS shows, and write it with its schema and the workflows."""
    path = Path(at.config_path or CONFIG)
    asks = _asks(at, options)
    if not (asks or options.yes or options.show):
        hint = "Add `--yes` to write them, or `--print` to look at them."
        raise ConfigError("asks before it writes files, and nobody can answer here", where="init", hint=hint)
    options = replace(options, action=workflows.checked(options.action) if options.action else "")
    made = _proposal(at, options, asks=asks) if options.show or _is_missing(path, options.wishes) else None
    files = _files(at, options, path, made, asks=asks)
    if made and not at.as_json:
        _say_what(made)
    new = [one for one in files if not one.why]
    if asks and not options.show and new:
        click.confirm(f"Write {', '.join(map(_shown, (one.path for one in new)))}?", default=True, abort=True)
    done = [_done(one, options) for one in files]
    _report(at, made, done, options)


def _asks(at: Invocation, options: InitOptions) -> bool:
    """Whether somebody sits at a terminal, and is to be asked."""
    return sys.stdin.isatty() and not (options.yes or at.as_json)


def _is_missing(path: Path, wishes: Wishes) -> bool:
    """Whether the configuration is to be written; ConfigError when wishes are for a file that stands already."""
    if not path.exists():
        return True
    if wishes != Wishes(environment=wishes.environment):
        hint = "Edit it, or write another one with `--config FILE`; `--print` shows what `bluegreen init` proposes."
        raise ConfigError("is there already, and `bluegreen init` overwrites no file", where=str(path), hint=hint)
    return False


# --- the proposal ----------------------------------------------------------------------------------------


def _proposal(at: Invocation, options: InitOptions, *, asks: bool) -> Proposal:
    """What the file says, in a way that the configuration's own reader accepts."""
    engine = at.engine()
    wishes = replace(options.wishes, environment=at.environment or "")
    found = engine.candidates()
    one = proposal.choose(found, wishes.group or (_which_group(found) if asks else ""))
    details = engine.details(one.name)
    if asks:
        wishes = _answers(details, wishes, proposal.named_after(one, wishes.environment)[0])
    made = proposal.propose(found, one, details, wishes)
    config.parse(yaml.safe_load(proposal.text(made)), where="init")
    return made


def _which_group(found: Candidates) -> str:
    """Of several groups that fit; "" where there is nothing to ask."""
    able = proposal.fitting(found)
    if len(able) < 2:
        return ""
    rows = [(str(n), one.name, str(one.size), str(len(one.target_groups))) for n, one in enumerate(able, 1)]
    output.table(("", "group", "instances", "target groups"), rows)
    return able[click.prompt("Which group serves?", type=click.IntRange(1, len(able))) - 1].name


def _answers(details: GroupDetails, wishes: Wishes, service: str) -> Wishes:
    """What only a person knows: the service's name, and how an image is built."""
    named = wishes.service or click.prompt("The service's name", default=service, value_proc=_name)
    wishes = replace(wishes, service=named)
    if wishes.ami or wishes.run or not details.machines:
        return wishes
    machine = wishes.builder or _which_builder(details, service)
    if not machine:
        return wishes
    output.say("Which commands bring it to the commit $BLUEGREEN_COMMIT? They run as root, at each release.")
    return replace(wishes, builder=machine, run=click.prompt("Commands"))


def _name(said: str) -> str:
    if not re.fullmatch(config.NAME, said.strip()):
        raise click.BadParameter(config.NAMES)
    return said.strip()


def _which_builder(details: GroupDetails, service: str) -> str:
    shown = details.machines[:MOST_SHOWN]
    rows = [(str(n), one.id, one.name, "yes" if one.managed else "no") for n, one in enumerate(shown, 1)]
    output.table(("", "stopped instance", "name", "in Systems Manager"), rows)
    if more := len(details.machines) - len(shown):
        output.say(f"There {agreeing(more)} {more} more; `--builder` names any of them.")
    text = "Which one makes your images? (0: none, releases take an image that is there)"
    likely = proposal.likely(details, service)
    usual = shown.index(likely) + 1 if likely in shown else 0
    number: int = click.prompt(text, type=click.IntRange(0, len(rows)), default=usual)
    return details.machines[number - 1].id if number else ""


# --- the files -------------------------------------------------------------------------------------------


def _files(at: Invocation, options: InitOptions, path: Path, made: Proposal | None, *, asks: bool) -> list[File]:
    """Every file, in the order in which they are written."""
    schema = json.dumps(config.json_schema(), indent=2) + "\n"
    found = [_file(path, proposal.text(made) if made else ""), _file(path.with_name(proposal.SCHEMA), schema)]
    if not options.workflows:
        return found
    top = _top(path)
    where = [top / workflows.FOLDER / name for name in workflows.NAMES]
    if all(one.exists() for one in where):
        return [*found, *(_file(one, "") for one in where)]
    action = options.action or _address(top) or (_which_action() if asks else "")
    if not action:
        return [*found, *(File(one, why=_NO_ADDRESS, state=LEFT_OUT) for one in where)]
    environment, builds = _what_is_released(at, made)
    table = at.engine().table
    given = {
        "config": path.resolve().relative_to(top.resolve()).as_posix(),
        "table": table if table != USUAL_TABLE else "",
    }
    texts = [
        workflows.rendered(name, action, environment=environment, builds=builds, **given) for name in workflows.NAMES
    ]
    return [*found, *map(_file, where, texts)]


def _top(path: Path) -> Path:
    """The top of the repository in which the configuration is, or will be; outside of one its own folder."""
    folder = next(one for one in path.resolve().parents if one.is_dir())
    return Path(told_by_git(folder, "rev-parse", "--show-toplevel") or path.resolve().parent)


def _what_is_released(at: Invocation, made: Proposal | None) -> tuple[str, bool]:
    """The environment, and whether a release builds an image: by the proposal, else by the file that is there."""
    if made:
        return made.environment, made.builds
    known = at.config()
    return known.environment, known.image.builder is not None


def _file(path: Path, text: str) -> File:
    return File(path, text, "it is there already", KEPT) if path.exists() else File(path, text)


def _done(one: File, options: InitOptions) -> File:
    """Write it, if it is to be written."""
    if options.show:
        return replace(one, state=one.state or SHOWN)
    if one.why:
        return one
    try:
        one.path.parent.mkdir(parents=True, exist_ok=True)
        with one.path.open("x", encoding="utf-8") as file:
            file.write(one.text)
    except FileExistsError:
        return replace(one, why="it is there already", state=KEPT)
    except OSError as error:
        hint = "Correct that, then run `bluegreen init` again: it writes what is missing."
        raise ConfigError(f"cannot be written: {error.strerror}", where=str(one.path), hint=hint) from None
    return replace(one, state=WROTE)


# --- where the Action is ---------------------------------------------------------------------------------


def _address(top: Path) -> str:
    """Of the copy of bluegreen that runs here, for workflows of the repository in that folder."""
    own = workflows.repository_of(told_by_git(top, "remote", "get-url", "origin"))
    return workflows.reachable(_source(), own[0] if own else "")


def _source() -> workflows.Origin | None:
    """What pip recorded; for a local folder, what git says of it."""
    try:
        recorded = json.loads(importlib.metadata.distribution("bluegreen").read_text("direct_url.json") or "{}")
    except (importlib.metadata.PackageNotFoundError, ValueError):
        recorded = {}
    url = urlsplit(str(recorded.get("url", "")))
    if url.scheme not in ("", "file"):
        return workflows.installed_from(recorded)
    return _checkout(Path(unquote(url.path)) if url.path else Path(bluegreen.__file__).parents[1])


def _checkout(folder: Path) -> workflows.Origin | None:
    """The repository that a folder with our action.yml was cloned from, at its commit, if the server has that."""
    said = workflows.repository_of(told_by_git(folder, "remote", "get-url", "origin"))
    if said is None or not (folder / "action.yml").exists():
        return None
    pushed = told_by_git(folder, "branch", "--remotes", "--contains", "HEAD")
    commit = told_by_git(folder, "rev-parse", "HEAD" if pushed else "origin/HEAD")
    named = told_by_git(folder, "describe", "--tags", "--exact-match", commit) if commit else ""
    return workflows.Origin(said[0], said[1], commit, named)


def _which_action() -> str:
    output.say("Which repository has the Action, and which tag or commit of it? As in octocat/bluegreen@v1.")
    text = "The Action (leave it empty to write no workflows)"
    said: str = click.prompt(text, default="", show_default=False, value_proc=_action)
    return said


def _action(said: str) -> str:
    try:
        return workflows.checked(said.strip()) if said.strip() else ""
    except ConfigError as error:
        raise click.BadParameter(error.hint) from None


# --- what is said ----------------------------------------------------------------------------------------


def _say_what(made: Proposal) -> None:
    size = count_of(made.candidate.size, "instance")
    output.say(f"{made.candidate.name} serves in {made.region} of account {made.account}, with {size}.")
    output.say(made.reason)
    why = f", {made.source}" if made.source else ""
    output.say(f"Releases build on {made.source}." if made.builds else f"Releases take {made.ami}{why}.")
    for doubt in made.details.doubts:
        output.say(f"warning: {doubt}", err=True)


def _report(at: Invocation, made: Proposal | None, files: Sequence[File], options: InitOptions) -> None:
    steps = _next_steps(at, files)
    if at.as_json:
        output.echo_json(_as_object(made, files, steps, texts=options.show))
        return
    if options.show:
        _show(files)
        return
    output.say("")
    width = max(len(one.state) for one in files)
    for one in files:
        output.say(f"{one.state:<{width}}  {_shown(one.path)}{f': {one.why}' if one.why else ''}")
    output.say("\nNext:")
    for step in steps:
        output.say(f"  {step}")


def _show(files: Sequence[File]) -> None:
    """The files as they would be; of the schema there is a command for."""
    for one in files:
        if one.path.name == proposal.SCHEMA or one.state == LEFT_OUT:
            why = f"{one.why}: give it with `--action`" if one.why else "`bluegreen schema` prints it"
            output.say(f"\n# --- {_shown(one.path)}: {why}")
            continue
        output.say(f"\n# --- {_shown(one.path)}{f' ({one.why})' if one.why else ''}")
        for line in one.text.splitlines():
            output.say(line)


def _next_steps(at: Invocation, files: Sequence[File]) -> list[str]:
    """Commands, then what is to be done on GitHub."""
    given = {"config": at.config_path, "table": at.table}
    more = "".join(f" --{name} {shlex.quote(value)}" for name, value in given.items() if value)
    table = at.engine().table
    steps = [
        f"bluegreen doctor{more}: every precondition of a release, with what to do",
        f"bluegreen plan{more}: every change of a release, in order; it changes nothing",
        f"bluegreen release{more}: it makes the DynamoDB table {table}, the journal, if that is missing",
    ]
    states = {one.state for one in files if one.path.name in workflows.NAMES}
    if LEFT_OUT in states:
        steps.append(_GIVE_IT.format(more))
    elif states:
        steps.append(
            "on GitHub: make the environment of the workflows, for the branch main only, and put the role's ARN into "
            "its variable BLUEGREEN_ROLE. "
            f"`bluegreen iam-policy{more}` prints the role's policy, and with `--trust` who may take it"
        )
    if KEPT in states and at.config_path:
        steps.append(f"in release.yml: give the step that uses the Action the input `config: {at.config_path}`")
    return steps


def _as_object(made: Proposal | None, files: Sequence[File], steps: list[str], *, texts: bool) -> dict[str, Any]:
    told = {"service": f"{made.service}/{made.environment}", **_known(made)} if made else {}
    listed = [
        {"path": _shown(one.path), "state": one.state, "why": one.why, **({"text": one.text} if texts else {})}
        for one in files
    ]
    return {"schema_version": entry_points.SCHEMA_VERSION, **told, "files": listed, "next": steps}


def _known(made: Proposal) -> dict[str, Any]:
    return {
        "group": made.candidate.name,
        "account": made.account,
        "region": made.region,
        "traffic": "weighted" if made.weighted else "shared",
        "reason": made.reason,
        "doubts": list(made.details.doubts),
    }


def _shown(path: Path) -> str:
    """From here, where that is shorter."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_absolute() and path.is_relative_to(here) else str(path)
