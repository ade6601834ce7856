"""What CONTRIBUTING says of functions, and of where things are."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from statistics import median

from tests.worlds.files import ROOT

#: Lines of a function, without its docstring.
MOST, HALF = 40, 8
Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions() -> Iterator[tuple[str, int]]:
    """Every function of ours: where it is, and how many lines it has."""
    for top in ("bluegreen", "bot", "lab", "tests"):
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
