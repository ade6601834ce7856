"""Numbers in sentences: each agrees with its noun and its verb, whichever number it is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bluegreen.release import agreeing, count_of
from tests.worlds.files import ROOT

#: What sentences count. `1 instances` and `2 instance` are both wrong.
NOUNS = (
    "actions|alarms|checks|commits|events|groups|hooks|images|instances|looks|minutes|people|promotions|releases|replies"
    "|requests|services|subnets|tags|targets|times|versions|warnings"
)
COUNTED = re.compile(rf" (?:(?:different|earlier|instance|old|other|stopped|target) )?(?:{NOUNS})\b")


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "0 instances are, 0 people have"),
        (1, "1 instance is, 1 person has"),
        (2, "2 instances are, 2 people have"),
        (1200, "1,200 instances are, 1,200 people have"),
    ],
)
def test_what_is_counted_agrees_with_its_number(number: int, said: str) -> None:
    """The noun and the verb."""
    people = f"{count_of(number, 'person', 'people')} {agreeing(number, 'has', 'have')}"
    assert f"{count_of(number, 'instance')} {agreeing(number)}, {people}" == said


def written() -> Iterator[tuple[Path, ast.JoinedStr]]:
    """Every text with values in it, in what is shipped."""
    for path in sorted(path for part in ("bluegreen", "bot") for path in (ROOT / part).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        yield from ((path, node) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr))


def counted_by_hand(text: ast.JoinedStr) -> Iterator[str]:
    """Values before a noun in its plural, and endings that are chosen on the spot; constants are no `1`."""
    for value, after in zip(text.values, [*text.values[1:], None], strict=True):
        if not isinstance(value, ast.FormattedValue):
            continue
        said = ast.unparse(value.value)
        if re.search(r"== 1 else|!= 1 else", said):
            yield said
        behind = str(after.value) if isinstance(after, ast.Constant) else ""
        if COUNTED.match(behind) and not said.isupper():
            yield f"{said}{behind}"


def test_no_sentence_counts_by_hand() -> None:
    """`count_of` and `agreeing` do: a noun with a fixed ending is wrong for one number or for the others."""
    found = [f"{path.name}:{node.lineno}: {said}" for path, node in written() for said in counted_by_hand(node)]
    assert found == []
