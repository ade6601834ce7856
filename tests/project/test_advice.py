"""Whatever an error advises works where it is shown; entry points, workflows and trust policy agree.

The advice is read from the source, each place of it: a hint that nobody's test provokes is held, too.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from bluegreen.action import inputs
from bluegreen.action.inputs import COMMANDS, INPUTS
from bluegreen.advice import COMMANDS as ADVISED
from bluegreen.advice import EntryPoint, advised, commands_in
from bluegreen.cli import cli
from bot import commands
from tests.worlds.files import ROOT

#: What stands for a value that is put into a sentence.
SERVICE, NUMBER = "web/production", "41"
#: A command in a sentence of ours, whether `advice` knows it or not.
_NAMED = re.compile(r"`bluegreen ([a-z-]+)|: bluegreen ([a-z-]+)")
#: Whose texts only a terminal shows: so they may name every command there is.
IN_TERMINALS = ("bluegreen/cli", "bluegreen/doctor.py", "bluegreen/proposal.py", "bluegreen/iam_policy.py")
WORKFLOWS = ROOT / "bluegreen" / "workflows"


def sentences() -> Iterator[tuple[str, str]]:
    """Every text of ours that people may be shown: where it stands, and what it says with samples put in."""
    for path in sorted([*ROOT.glob("bluegreen/**/*.py"), *ROOT.glob("bot/*.py")]):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        inside = {part for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
        documented = {node.value for node in nodes if isinstance(node, ast.Expr)}
        for node in nodes:
            if node in documented or node in inside:
                continue
            if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str)):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", _filled(node)


def _filled(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(map(_filled, node.values))
    named = ast.unparse(node)
    if "number" in named:
        return NUMBER
    if "image" in named:
        return "ami-0123"
    return SERVICE if re.search(r"service|config\.id|meant|partition\('#'\)", named) else "…"


ADVICE = [(where, text) for where, text in sentences() if _NAMED.search(text) or list(commands_in(text))]


def test_there_is_advice() -> None:
    """Or this file would hold nothing."""
    assert len(ADVICE) > 15
    assert {said.name for _, text in ADVICE for said in commands_in(text)} >= {"rollback", "resume", "release", "hold"}


@pytest.mark.parametrize(("where", "text"), ADVICE)
def test_a_terminal_knows_what_is_advised(where: str, text: str) -> None:
    """There is such a command, with such options and no other."""
    for found in _NAMED.finditer(text):
        known = cli.commands if where.startswith(IN_TERMINALS) else ADVISED
        assert (found[1] or found[2]) in known, f"{where}: no door has a word for it"
    for said in commands_in(text):
        arguments = [word for name, value in said.options.items() for word in (f"--{name}", value or "REASON") if word]
        arguments = [one for one in arguments if one != "REASON" or "override" in said.options]
        given = [*([said.service] if said.service else []), *(NUMBER if one == "N" else one for one in arguments)]
        cli.commands[said.name].make_context(said.name, given)


@pytest.mark.parametrize(("where", "text"), ADVICE)
def test_slack_knows_what_is_advised(where: str, text: str) -> None:
    """Every command has become one of Slack's, with words that the desk understands."""
    if where.startswith(IN_TERMINALS):
        return
    there = re.sub(
        r"`bluegreen (?:adopt|reconcile|init|doctor|iam-policy)[^`]*` in a terminal",
        "",
        advised(text, EntryPoint.SLACK),
    )
    assert "bluegreen" not in re.sub(
        r"`bluegreen`|bluegreen\.yml|run of bluegreen|in a terminal `bluegreen.*", "", there
    )
    for name, words in re.findall(r"`(/[a-z]+)([^`]*)`", there):
        assert name in commands.COMMANDS, where
        rest = words.split()
        if name in ("/promote", "/rollback"):
            rest, _ = commands._overridden(rest, name)
        if name == "/rollback":
            rest, _ = commands._to_number([NUMBER if word == "N" else word for word in rest])
        if name != "/freeze":
            assert list(rest) in ([], [SERVICE]), where


def runs(text: str) -> Iterator[dict[str, str]]:
    """The inputs of each run that a text advises, as GitHub hands them to the Action."""
    for said in re.findall(r"[Aa] run with ((?:(?:, )?`[a-z-]+: [^`]+`)+)", text):
        yield dict(re.findall(r"`([a-z-]+): ([^`]+)`", said))


@pytest.mark.parametrize(("where", "text"), ADVICE)
def test_github_knows_what_is_advised(where: str, text: str) -> None:
    """Every command has become a run by hand, of inputs that the workflow has and the Action takes together."""
    if where.startswith((*IN_TERMINALS, "bot/")):
        return
    there = re.sub(
        r"`bluegreen (?:adopt|reconcile|init|doctor|iam-policy)[^`]*` in a terminal",
        "",
        advised(text, EntryPoint.GITHUB),
    )
    assert not list(commands_in(re.sub(r"in a terminal `[^`]*`", "", there))), where
    for asked in runs(there):
        given = {name: {"N": NUMBER, "AMI": "ami-0123"}.get(value, value) for name, value in asked.items()}
        assert set(given) <= set(by_hand()["inputs"]), where
        assert given["command"] in by_hand()["inputs"]["command"]["options"], where
        inputs.read({inputs.variable(name): value for name, value in given.items()})


@pytest.mark.parametrize(
    ("text", "slack", "github"),
    [
        (
            "`bluegreen rollback web/production --to 41` releases ami-1 again.",
            "`/rollback web/production to 41` releases ami-1 again.",
            "A run with `command: rollback`, `service: web/production`, `to: 41` releases ami-1 again.",
        ),
        (
            "bluegreen promote web/production, or bluegreen rollback web/production",
            "`/promote web/production`, or `/rollback web/production`",
            (
                "A run with `command: promote`, `service: web/production`, or "
                "a run with `command: rollback`, `service: web/production`"
            ),
        ),
        (
            "Wait. `bluegreen unfreeze web/production` lifts it. `--override REASON` goes on.",
            "Wait. `/freeze web/production off` lifts it. The same with `override REASON` at its end goes on.",
            (
                "Wait. A run with `command: unfreeze`, `service: web/production` lifts it. "
                "The input `override: REASON` goes on."
            ),
        ),
        (
            "go back: bluegreen release --ami AMI, with the image from before; release it with `--cure`",
            "go back: `/rollback`, with the image from before; release it with `--cure`",
            (
                "go back: a run with `command: release`, `ami: AMI`, with the image from before; "
                "release it with the input `cure`"
            ),
        ),
        (
            "`bluegreen adopt web/production` puts it right.",
            "`bluegreen adopt web/production` in a terminal puts it right.",
            "`bluegreen adopt web/production` in a terminal puts it right.",
        ),
        ("A newer bluegreen wrote it: update this one.", None, None),
        ("git fetch --force origin", None, None),
        (
            "`bluegreen history web/production` shows it, or name it with `--region`",
            "`/releases web/production` shows it, or name it with `--region`",
            "A run with `command: status`, `service: web/production` shows it, or name it with the input `aws-region`",
        ),
    ],
)
def test_each_door_has_its_own_words(text: str, slack: str | None, github: str | None) -> None:
    """The command line's are what the core and the journal say; what is no advice stays as it is."""
    assert advised(text, EntryPoint.COMMAND_LINE) == text
    assert advised(text, EntryPoint.SLACK) == (slack or text)
    assert advised(text, EntryPoint.GITHUB) == (github or text)


# --- workflows ---------------------------------------------------------------------------------------------


def workflow(name: str) -> dict[str, Any]:
    """A workflow to copy; YAML 1.1 reads its key `on` as true."""
    read: dict[Any, Any] = yaml.safe_load((WORKFLOWS / name).read_text())
    return {"on" if key is True else key: value for key, value in read.items()}


def by_hand() -> dict[str, Any]:
    """What can be said when release.yml is run by hand."""
    found: dict[str, Any] = workflow("release.yml")["on"]["workflow_dispatch"]
    return found


def test_the_workflow_hands_on_whatever_can_be_said_by_hand() -> None:
    """Each input of the workflow is one of the Action, and reaches it; each command can be chosen."""
    said = by_hand()["inputs"]
    (job,) = workflow("release.yml")["jobs"].values()
    (handed,) = (step["with"] for step in job["steps"] if step.get("id") == "bluegreen")
    assert set(said) <= set(INPUTS)
    assert {name for name in said if f"inputs.{name}" in str(handed.get(name))} == set(said)
    assert {*said["command"]["options"], "reconcile"} == set(COMMANDS)


def test_a_rollback_waits_for_no_release() -> None:
    """What is typed by hand for a release under way is not queued behind it; releases of a service are."""
    group = workflow("release.yml")["concurrency"]["group"]
    assert {"inputs.command", "inputs.service", "inputs.environment"} <= set(re.findall(r"inputs\.\w+", group))


@pytest.mark.parametrize("name", sorted(path.name for path in WORKFLOWS.glob("*.yml")))
def test_the_trust_policy_lets_the_workflows_in(name: str) -> None:
    """Each job that takes the role runs in the environment that the policy names, where the role's variable is."""
    policy = json.loads((ROOT / "examples" / "trust-policy.json").read_text())
    subject = policy["Statement"][0]["Condition"]["StringEquals"]["token.actions.githubusercontent.com:sub"]
    trusted = subject.rpartition("environment:")[2]
    for job in workflow(name)["jobs"].values():
        (step,) = (one for one in job["steps"] if one["uses"] == "./")
        assert step["with"]["role-to-assume"] == "${{ vars.BLUEGREEN_ROLE }}"
        environment = job["environment"]["name"]
        assert environment in (trusted, f"${{{{ inputs.environment || '{trusted}' }}}}")
        assert job["environment"]["deployment"] is False
        assert job["permissions"]["id-token"] == "write"


def test_the_way_through_is_documented() -> None:
    """The variable, the environment, and the commands."""
    page = Path(ROOT / "docs" / "action.md").read_text()
    assert "`BLUEGREEN_ROLE` of the environment `production`" in page
    assert all(f"| `{command}` |" in page for command in COMMANDS)
    assert isinstance(cli, click.Group)
