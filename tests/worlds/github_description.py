"""GitHub's OpenAPI description, as far as we need it: how it was cut, and how tests load it.

npm pack @octokit/openapi && tar xzf octokit-openapi-*.tgz
python -m tests.worlds.github_description package/generated/api.github.com.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from tests.worlds.files import ROOT

FILE = ROOT / "tests" / "data" / "github" / "openapi.json"
REPO = "/repos/{owner}/{repo}"
USED = {
    "/rate_limit": ("get",),
    REPO: ("get",),
    f"{REPO}/deployments": ("get", "post"),
    f"{REPO}/deployments/{{deployment_id}}/statuses": ("get", "post"),
    f"{REPO}/commits/{{commit_sha}}/pulls": ("get",),
    f"{REPO}/compare/{{basehead}}": ("get",),
    f"{REPO}/issues/{{issue_number}}/comments": ("get", "post"),
    f"{REPO}/issues/comments/{{comment_id}}": ("patch",),
    f"{REPO}/actions/workflows/{{workflow_id}}/dispatches": ("post",),
    "/orgs/{org}/teams/{team_slug}/memberships/{username}": ("get",),
}
_TALK = frozenset({"description", "summary", "tags", "x-github", "externalDocs", "examples", "title"})


@cache
def description() -> dict[str, Any]:
    """The part that is kept here."""
    found: dict[str, Any] = json.loads(FILE.read_text())
    return found


def cut(whole: dict[str, Any]) -> dict[str, Any]:
    """The paths that we use, with every component that they refer to, without the prose."""
    paths = {path: {m: _silent(whole["paths"][path][m]) for m in methods} for path, methods in USED.items()}
    components: dict[str, dict[str, Any]] = {}
    todo = list(_references(paths))
    while todo:
        kind, name = todo.pop().removeprefix("#/components/").split("/")
        if name in components.setdefault(kind, {}):
            continue
        components[kind][name] = _silent(whole["components"][kind][name])
        todo += _references(components[kind][name])
    return {"openapi": whole["openapi"], "info": whole["info"], "paths": paths, "components": components}


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str) and "/examples/" not in part["$ref"]:
            yield part["$ref"]
        for value in part.values():
            yield from _references(value)
    elif isinstance(part, list):
        for value in part:
            yield from _references(value)


def _silent(part: Any, *, names: bool = False) -> Any:
    """Without prose; below `properties` the same words are names."""
    if isinstance(part, list):
        return [_silent(one) for one in part]
    if not isinstance(part, dict):
        return part
    kept = part if names else {key: value for key, value in part.items() if key not in _TALK}
    return {key: _silent(value, names=key == "properties" and not names) for key, value in kept.items()}


if __name__ == "__main__":
    FILE.write_text(json.dumps(cut(json.loads(Path(sys.argv[1]).read_text())), separators=(",", ":")) + "\n")
