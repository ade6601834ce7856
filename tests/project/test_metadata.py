"""action.yml, code, documents, workflows and examples say the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from bluegreen import config
from bluegreen import workflows as texts
from bluegreen.action import OUTPUTS
from bluegreen.action.inputs import COMMANDS, INPUTS
from bluegreen.events import Reason
from tests.lint import workflows
from tests.worlds.files import ROOT

ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
DOCS = (ROOT / "docs" / "action.md").read_text()
#: Our own Action, in workflows of ours and in the texts that `bluegreen init` writes with an address.
OURS = "./"


def table(heading: str) -> dict[str, list[str]]:
    """The rows of the table under that heading of docs/action.md, by their first cell."""
    section = DOCS.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    return {row[0].strip("`"): row[1:] for row in rows[2:]}


def steps(path: str) -> Iterator[dict[str, Any]]:
    """Every step of a workflow."""
    for job in yaml.safe_load((ROOT / path).read_text())["jobs"].values():
        yield from job["steps"]


def test_inputs_are_the_same_in_action_code_and_docs() -> None:
    """Names, defaults, and their order."""
    declared = {name: str(said.get("default", "")) for name, said in ACTION["inputs"].items()}
    assert declared == {name: said.default for name, said in INPUTS.items()}
    assert list(declared) == list(INPUTS)
    documented = {name: row[0].strip("`").replace("-", "", row[0] == "-") for name, row in table("Inputs").items()}
    assert documented == declared


def test_outputs_are_the_same_in_action_code_and_docs() -> None:
    """And each says what it is."""
    assert tuple(ACTION["outputs"]) == OUTPUTS == tuple(table("Outputs"))
    assert all(said["description"] for said in [*ACTION["outputs"].values(), *ACTION["inputs"].values()])


def test_commands_and_reasons_are_documented() -> None:
    """Closed lists that workflows branch on."""
    assert set(table("Commands")) == set(COMMANDS)
    assert set(table("Reasons")) == {str(reason) for reason in Reason}


@pytest.mark.parametrize("path", workflows())
def test_what_is_used_is_pinned_and_called_rightly(path: str) -> None:
    """By a whole SHA with its version beside it; our own Action with inputs that it has."""
    text = (ROOT / path).read_text()
    for used in re.findall(r"uses: (.*)", text):
        if used != OURS:
            assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", used), used
    for step in steps(path):
        if step.get("uses") == OURS:
            assert set(step["with"]) <= set(ACTION["inputs"])
        assert "${{" not in step.get("run", ""), "an expression in a shell's text"


@pytest.mark.parametrize("path", [one for one in workflows() if "release" in one or "reconcile" in one])
def test_a_release_is_never_cancelled_for_a_newer_one(path: str) -> None:
    """And has no permission that it does not need."""
    workflow = yaml.safe_load((ROOT / path).read_text())
    assert workflow["concurrency"]["cancel-in-progress"] is False
    assert workflow["permissions"] == {}
    (job,) = workflow["jobs"].values()
    needed = {"contents": "read", "deployments": "write", "id-token": "write", "pull-requests": "write"}
    assert job["permissions"] == needed


def test_what_init_writes_is_what_we_use_ourselves() -> None:
    """Step for step; only the address is another."""
    for name in texts.NAMES:
        theirs = yaml.safe_load(texts.rendered(name, "./"))["jobs"].values()
        assert [step for job in theirs for step in job["steps"]] == list(steps(f".github/workflows/{name}"))


def test_the_example_configuration_is_valid() -> None:
    """With the product's own eyes."""
    assert config.load(str(ROOT / "examples" / "bluegreen.yml"), None).id == "web/production"


def test_the_container_starts_what_action_yml_names() -> None:
    """The runner starts the clean-up by its path."""
    text = (ROOT / "Dockerfile").read_text()
    assert ACTION["runs"]["post-entrypoint"] == "/opt/bluegreen/bin/bluegreen-post"
    assert "/opt/bluegreen/bin/bluegreen-post\n" in text
    assert re.findall(r"(?m)^FROM .* AS (\S+)", text)[-1] == "action"
