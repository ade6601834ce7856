"""docs/doctor.md tells of every line that `bluegreen doctor` can print."""

from __future__ import annotations

import re

from bluegreen.doctor import Rating, Topic
from tests.worlds.files import ROOT

PAGE = (ROOT / "docs" / "doctor.md").read_text()


def rows(heading: str) -> dict[str, list[str]]:
    """The table below that line, by its first cell."""
    below = PAGE.split(heading, 1)[1].split("\n## ")[0]
    cells = ([cell.strip() for cell in row.split(" | ")] for row in re.findall(r"(?m)^\| (.+) \|$", below)[2:])
    return {row[0].strip("`"): row[1:] for row in cells}


def test_every_line_is_told_in_its_order() -> None:
    """What is examined, what is in the way, and what a release does then."""
    told = rows("## The lines")
    assert list(told) == [str(topic) for topic in Topic]
    assert all(len(row) == 3 and all(row) for row in told.values())


def test_verdicts_are_told() -> None:
    """Each with what it means, in the order of the lines."""
    assert list(rows("# Doctor")) == [str(rating) for rating in Rating]
