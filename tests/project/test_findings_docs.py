"""docs/findings.md tells of everything that a look before a release can find."""

from __future__ import annotations

from typing import get_args

from bluegreen.config import ALLOWABLE, Allowance
from bluegreen.observation import FindingKey, Verdict
from tests.worlds.files import ROOT

PAGE = (ROOT / "docs" / "findings.md").read_text()


def rows(heading: str) -> dict[str, list[str]]:
    """The table below that line, by its first cell."""
    lines = PAGE.split(heading, 1)[1].split("\n\n")
    table = next(part for part in lines if part.startswith("| ")).splitlines()[2:]
    cells = ([cell.strip() for cell in line.strip("|").split("|")] for line in table)
    return {row[0].strip("`"): row[1:] for row in cells}


def test_every_finding_is_told_in_its_order() -> None:
    """What is looked at, what follows, the verdict, what to do."""
    told = rows("## All findings")
    assert list(told) == [str(key) for key in FindingKey]
    assert all(len(row) == 4 and all(row) for row in told.values())
    verdicts = {str(verdict) for verdict in Verdict}
    assert all(row[2].replace(";", ",").split(",")[0] in verdicts for row in told.values())


def test_verdicts_are_told() -> None:
    """Each with what it means."""
    assert list(rows("# Findings before")) == [str(verdict) for verdict in Verdict]


def test_what_may_be_let_pass_is_something_that_can_be_refused() -> None:
    """The configuration's closed list names keys of findings, and the page says how to write it."""
    assert get_args(Allowance) == ALLOWABLE
    assert set(ALLOWABLE) <= {str(key) for key in FindingKey}
    told = rows("## All findings")
    assert {key for key, row in told.items() if "`allow`" in row[3]} == set(ALLOWABLE)
