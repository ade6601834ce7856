"""What Amazon's DynamoDB answered, kept in files: a scenario each, a line for each request."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.worlds.dynamodb import Ask
from tests.worlds.files import ROOT
from tests.worlds.requests import Request, requests

FOLDER = ROOT / "tests" / "data" / "dynamodb"
#: A character so often is written once, with the number.
_LONG = re.compile(r"(.)\1{99,}", re.DOTALL)
Said = tuple[str, int, Any]
"""Which request it was (the operation, and the first letters of a digest), the status, and the answer."""


def said(name: str, ask: Ask) -> list[Said]:
    """All answers of a scenario, as they are recorded."""
    return [_line(request, *ask(*request)) for request in requests(name)]


def recorded(name: str) -> list[Said]:
    """What Amazon's said."""
    return [tuple(line) for line in json.loads(_file(name).read_text(encoding="utf-8"))]


def record(name: str, ask: Ask) -> None:
    """Keep it."""
    FOLDER.mkdir(exist_ok=True)
    lines = [json.dumps(line, sort_keys=True, ensure_ascii=False) for line in said(name, ask)]
    _file(name).write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


def _file(name: str) -> Path:
    return FOLDER / f"{name}.json"


def _line(request: Request, status: int, answer: Any) -> Said:
    operation, asked = request
    digest = sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:8]
    return f"{operation} {digest}", status, _short(_told_of_tables(operation, answer))


def _told_of_tables(operation: str, answer: Any) -> Any:
    """Of a table's description only what is not a matter of time and place."""
    shown = answer.get("Table") or answer.get("TableDescription") or {}
    names = ("TableName", "KeySchema", "AttributeDefinitions", "BillingModeSummary")
    found = {name: shown[name] for name in names if name in shown}
    found.get("BillingModeSummary", {}).pop("LastUpdateToPayPerRequestDateTime", None)
    return {"Table": found} if shown else answer


def _short(thing: Any) -> Any:
    if isinstance(thing, dict):
        return {name: _short(one) for name, one in thing.items()}
    if isinstance(thing, list):
        return [_short(one) for one in thing]
    return _LONG.sub(lambda found: f"{found[1]}×{len(found[0])}", thing) if isinstance(thing, str) else thing
