"""What CONTRIBUTING says of functions, of names, and of where things are."""

from __future__ import annotations

import ast
import itertools
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from statistics import median
from types import SimpleNamespace
from typing import Any

import pytest

from tests import conftest
from tests.worlds.files import ROOT

TOPS = ("bluegreen", "bot", "lab", "tests")
#: Lines of a function, without its docstring.
MOST, HALF = 40, 8
#: Names that the field does not have for what they named here: no class or public function, and no file, bears one.
OLD_NAMES = {
    *("Asked", "Desk", "Door", "Doors", "Follower", "Looks", "PretendAws", "PretendGitHub", "PretendMachines"),
    *("PretendSession", "PretendSlack", "Scene", "Stumble", "Telling", "Theatre", "Weighing"),
    *("asked", "drop_duty", "face", "judge", "keep_duty", "looks", "outside", "rehearse", "take_duty", "ways", "weigh"),
}
OLD_FILES = {
    *("asked", "desk", "door", "doors", "follower", "functions", "looks", "noticing", "outside", "planned", "pretend"),
    *("rehearsal", "running", "scene", "stage", "telling", "theatre", "tracks"),
}
#: The driver names what it is given by protocols; each is one thing with the class that has its name.
PROTOCOLS = {"Clock", "Cloud", "Journal"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions() -> Iterator[tuple[str, int]]:
    """Every function of ours: where it is, and how many lines it has."""
    for top in TOPS:
        for path in sorted((ROOT / top).rglob("*.py")):
            for node in _functions(ast.parse(path.read_text())):
                yield f"{path.relative_to(ROOT)}: {node.name}", _lines(node)


def _functions(node: ast.AST) -> Iterator[Function]:
    for part in ast.iter_child_nodes(node):
        if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
            yield part
        if isinstance(part, ast.stmt | ast.excepthandler | ast.match_case):
            yield from _functions(part)


def _lines(node: Function) -> int:
    return _height(node) - (_height(node.body[0]) if ast.get_docstring(node) is not None else 0)


def _height(node: ast.stmt) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def test_functions_are_short_enough_to_read_aloud() -> None:
    """None is longer than most, half are much shorter; `def` and its arguments count, the docstring does not."""
    found = list(functions())
    assert [one for one in found if one[1] > MOST] == []
    assert median(lines for _, lines in found) <= HALF


def test_what_the_walks_name_is_there() -> None:
    """Every file, and every function or class in it."""
    walks = (ROOT / "CONTRIBUTING.md").read_text().partition("## Three walks")[2].partition("\n## ")[0]
    steps = re.findall(r"`((?:bluegreen|bot|lab|docs)/[\w/.]+)(?:: (\w+))?`", walks)
    assert len(steps) > 20
    for path, name in steps:
        text = (ROOT / path).read_text()
        assert re.search(rf"^ *(?:async )?(?:def|class) {name}\b" if name else "", text, re.MULTILINE), (
            f"{path}: {name}"
        )


def test_names_are_those_of_the_field() -> None:
    """Of files, classes and public functions; a name of our own that was given up does not come back."""
    paths = [path.relative_to(ROOT) for top in TOPS for path in (ROOT / top).rglob("*.py")]
    places = {part for path in paths for part in path.with_suffix("").parts}
    assert places & OLD_FILES == set()
    assert [f"{path}: {node.name}" for path, node in named() if node.name in OLD_NAMES] == []


def test_a_class_name_means_one_thing() -> None:
    """No two modules have a class of the same name."""
    places = defaultdict(list)
    for path, node in named():
        if isinstance(node, ast.ClassDef) and node.name not in PROTOCOLS:
            places[node.name].append(path)
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_what_an_event_records_is_read_by_its_class() -> None:
    """Facts by their names are for the classes that read them, and for the journal's index of requests."""
    by_name = re.compile(r"\.facts(\[|\.get\()|\.observed(\[[^\]]+\]|\.get\([^)]*\))(\[|\.get\()")
    files = [path for top in ("bluegreen", "bot") for path in sorted((ROOT / top).rglob("*.py"))]
    found = {str(path.relative_to(ROOT)): len(by_name.findall(path.read_text())) for path in files}
    assert by_name.search('event.facts["who"]')
    assert by_name.search('release.observed.get("blue", {}).get("value")')
    assert {path: count for path, count in found.items() if count} == {"bluegreen/journal/log.py": 1}


def shipped() -> Iterator[tuple[str, ast.Module]]:
    """Every file of the product and the lab, and what stands in it."""
    for top in ("bluegreen", "bot", "lab"):
        for path in sorted((ROOT / top).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


def named() -> Iterator[tuple[str, ast.ClassDef | Function]]:
    """Its public classes and functions, methods among them."""
    for path, tree in shipped():
        bodies = [tree.body, *(node.body for node in tree.body if isinstance(node, ast.ClassDef))]
        for node in itertools.chain(*bodies):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name[0] != "_":
                yield path, node


@pytest.mark.parametrize("slow", range(5))
def test_no_test_is_left_out_when_they_are_mixed(slow: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever part of them is run, on several workers: each is there once."""
    items = [SimpleNamespace(name=n, get_closest_marker=_marker(n < slow)) for n in range(slow + 11)]
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
    mixed: list[Any] = list(items)
    conftest.pytest_collection_modifyitems(mixed)
    assert sorted(one.name for one in mixed) == [one.name for one in items]


def _marker(slow: bool) -> Callable[[str], object]:
    return lambda name: SimpleNamespace(kwargs={}) if slow else None
