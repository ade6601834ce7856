"""What CONTRIBUTING says of functions."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from statistics import median

from tests.worlds.files import ROOT

#: Lines of a function, without its docstring.
MOST, HALF = 40, 8


def functions() -> Iterator[tuple[str, int]]:
    """Every function of ours: where it is, and how many lines it has."""
    for top in ("bluegreen", "bot", "lab", "tests"):
        for path in sorted((ROOT / top).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield f"{path.relative_to(ROOT)}: {node.name}", _lines(node)


def _lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert node.end_lineno is not None
    first = node.body[0]
    told = ast.get_docstring(node) is not None and first.end_lineno is not None
    return node.end_lineno - node.lineno + 1 - (told and (first.end_lineno or 0) - first.lineno + 1)


def test_functions_are_short_enough_to_read_aloud() -> None:
    """None is longer than most, half are much shorter; `def` and its arguments count, the docstring does not."""
    found = list(functions())
    assert [one for one in found if one[1] > MOST] == []
    assert median(lines for _, lines in found) <= HALF
