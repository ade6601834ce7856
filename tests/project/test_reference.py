"""The pages that are written from the code, and the page with every reason, say what the code says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import pytest

from bluegreen.action.inputs import INPUTS
from bluegreen.cli import cli
from bluegreen.events import Awaited, EventKind, Outcome, Phase, Reason, Verb
from tests import contract, reference
from tests.benchmark import rollback
from tests.worlds.files import ROOT

OUTCOMES = (ROOT / "docs" / "outcomes.md").read_text()
TIMING = (ROOT / "docs" / "timing.md").read_text()
#: The chapters of the page with every reason, and the exit code that each names.
CHAPTERS: Mapping[str, int] = {"Live": 0, "Rolled back": 3, "Failed": 1, "Refused": 4, "Interrupted": 130}


# --- pages from the code -------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", reference.PAGES)
def test_a_page_is_as_the_code_is(page: str) -> None:
    """Whoever changes a command, a key or a word writes the pages again."""
    said = f"docs/reference/{page} says otherwise: {reference.RECORD}"
    assert (reference.FOLDER / page).read_text(encoding="utf-8") == reference.written(page), said


def test_every_page_of_the_folder_is_written() -> None:
    """None is left from a part that is gone."""
    assert {path.name for path in reference.FOLDER.iterdir()} == set(reference.PAGES)


def test_nothing_is_left_out() -> None:
    """Every key at every depth, command, option, input and word has a row with a meaning."""
    pages = {page: reference.written(page) for page in reference.PAGES}
    assert set(_keys(contract.configuration(), "")) == set(_first_cells(pages["configuration.md"]))
    commands, cells = pages["command-line.md"], list(_first_cells(pages["command-line.md"]))
    assert set(re.findall(r"(?m)^## `bluegreen ([a-z-]+)`$", commands)) == set(cli.commands)
    options = {opt for one in cli.commands.values() for param in one.params for opt in param.opts if opt[:2] == "--"}
    assert {*options, *contract.command_line()["commands"]["demo"]} - {"--help"} == {
        one.split(", ")[-1].split()[0] for one in cells
    }
    assert set(INPUTS) <= set(_first_cells(pages["action.md"]))
    words = set(_first_cells(pages["events.md"]))
    assert {*Phase, *Outcome, *EventKind, *Verb, *Awaited, *Reason} <= words


def _keys(schema: object, path: str) -> Iterator[str]:
    """The path of every key, as the page has it; what stands below an environment is what stands at the top."""
    if isinstance(schema, dict):
        for key, below in schema.get("properties", {}).items() if isinstance(schema.get("properties"), dict) else ():
            yield f"{path}.{key}".lstrip(".")
            if key != "environments":
                yield from _keys(below, f"{path}.{key}")
        for kind in ("anyOf", "oneOf", "items"):
            yield from _keys(schema.get(kind), path)
    elif isinstance(schema, list):
        for one in schema:
            yield from _keys(one, path)


def _first_cells(page: str) -> Iterator[str]:
    """What is in backticks, perhaps as a link, at the beginning of a row."""
    for cell, rest in re.findall(r"(?m)^\| \[?`([^`]+)`(?:\]\([^)]*\))? \|(.*)\|$", page):
        assert all(one.strip() for one in rest.replace("\\|", "").split("|")), cell
        yield cell


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ({"type": "string"}, "text"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "text"),
        ({"enum": ["a", "b"]}, "`a`, `b`"),
        ({"type": "integer", "minimum": 1, "maximum": 1000}, "number, 1 to 1,000"),
        ({"type": "array", "items": {"type": "boolean"}}, "list of: `true` or `false`"),
        ({"anyOf": [{"type": "number", "maximum": 600.0}, {"pattern": "[smhd]"}]}, "duration, at most 10m"),
        ({"$ref": "#/definitions/Other"}, "map, below"),
    ],
)
def test_what_a_key_takes_is_said_in_a_few_words(said: reference.Schema, shown: str) -> None:
    """Of the forms that the schema has."""
    assert reference._type(said, {}) == shown


# --- every reason --------------------------------------------------------------------------------------------


def entries() -> dict[str, str]:
    """The text of each entry, by its reason."""
    found = re.findall(r"(?ms)^### `(\w+)`\n\n(.*?)(?=^##|\Z)", OUTCOMES)
    assert len(dict(found)) == len(found)
    return dict(found)


def test_every_reason_has_an_entry_with_its_anchor() -> None:
    """What it means, and what to do: two paragraphs each."""
    assert set(entries()) == {str(reason) for reason in Reason}
    for reason, text in entries().items():
        assert re.fullmatch(r"\*\*What it means\.\*\* .+?\n\n\*\*What to do\.\*\* .+", text.strip(), re.DOTALL), reason


def test_every_end_has_a_chapter_with_its_exit_code() -> None:
    """Of the outcomes, a refusal and an interruption."""
    chapters = dict(re.findall(r"(?ms)^## (.+?)\n\n(.*?)(?=^## |\Z)", OUTCOMES))
    assert list(chapters) == list(CHAPTERS)
    for name, number in CHAPTERS.items():
        assert re.search(rf"Exit\s+code {number}\.", chapters[name]), name
    assert {name.lower().replace(" ", "_") for name in chapters} >= {str(outcome) for outcome in Outcome}


# --- how long a rollback takes -------------------------------------------------------------------------------


def cell(traffic: str, interval: int, column: int) -> rollback.Span:
    """What the table says of these: seconds."""
    (row,) = re.findall(rf"(?m)^\| {traffic} \| {interval} s \| (.+) \| (.+) \|$", TIMING)
    numbers = [float(one) for one in re.findall(r"\d+", row[column])]
    return rollback.Span(0.0 if row[column].startswith("below") else numbers[0], numbers[-1])


def test_the_readme_says_what_the_table_says() -> None:
    """Shared target groups, at best and at worst."""
    shared = [cell("shared", interval, column) for interval in rollback.INTERVALS for column in (0, 1)]
    said = f"{min(one.least for one in shared):.0f} to {max(one.most for one in shared):.0f} seconds"
    assert f"{said} with shared target groups" in " ".join((ROOT / "README.md").read_text().split())


@pytest.mark.parametrize(
    ("traffic", "interval", "after"),
    [("weighted", 30, rollback.LATE), ("shared", 10, rollback.LATE), ("shared", 5, rollback.SOON)],
)
def test_the_table_of_rollbacks_is_what_is_measured(traffic: str, interval: int, after: tuple[int, ...]) -> None:
    """Three of its cells, one order each. If the rule has changed: `python -m tests.benchmark.rollback`."""
    said = cell(traffic, interval, int(after is rollback.LATE))
    found = rollback.measured(interval, after[0], weighted=traffic == "weighted")
    assert said.least - 1 <= found <= said.most + 1
