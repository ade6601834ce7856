"""Who may import whom (design section 3), read from the source of every file, imports inside functions included."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worlds.files import ROOT

#: What each part of `bluegreen` may import of `bluegreen`; itself always.
MAY_IMPORT = {
    "errors": set[str](),
    "checkout": {"errors"},
    "costs": {"config", "release"},
    "advice": set[str](),
    "aws_commands": set[str](),
    "aws_errors": {"errors"},
    "events": set[str](),
    "release": {"events"},
    "schedules": set[str](),
    "observation": {"release"},  # how numbers are said, so that each agrees with its noun
    "judgement": {"release"},  # the same
    "config": {"errors"},
    "permission": {"events", "release", "errors"},
    "adoption": {"aws_commands", "events", "release", "observation", "errors"},
    "freezing": {"events", "release", "config", "errors"},
    "iam_policy": {"events", "release", "observation", "config", "errors"},
    "quotas": {"observation"},
    "doctor": {"iam_policy", "quotas", "release", "observation", "config", "errors"},
    "tokens": {"doctor", "config", "errors"},
    "proposal": {"events", "release", "observation", "config", "errors"},
    "workflows": {"config", "errors"},
    "phases": {"aws_commands", "events", "release", "observation", "schedules", "config", "errors"},
    "dry_run": {"phases", "schedules", "events", "release", "observation", "config", "errors"},
    "driver": {"phases", "events", "release", "observation", "config", "errors"},
    "journal": {"aws_errors", "events", "release", "observation", "config", "errors"},
    "aws": {
        "costs",
        "aws_commands",
        "aws_errors",
        "events",
        "release",
        "observation",
        "schedules",
        "config",
        "errors",
        "judgement",
        "doctor",  # gives its facts their form
        "quotas",
        "iam_policy",  # what a simulation asks for
    },
    "wording": {"events", "release", "observation", "config", "errors"},
    "orders": {"freezing", "permission", "wording", "events", "release", "observation", "config", "errors", "journal"},
    "entry_points": {"advice", "wording", "events", "release", "errors", "engine", "driver"},
    "plan_text": {
        "costs",
        "entry_points",
        "wording",
        "dry_run",
        "observation",
        "events",
        "release",
        "errors",
        "engine",
    },
    "report": {"costs", "masking", "wording", "events", "release"},
    "github": {"events", "release", "observation", "config", "errors"},
}
#: What the bot may import of it: orders and values, neither journal nor AWS.
BOT_MAY_IMPORT = {
    "__init__",
    "advice",
    "costs",
    "engine",
    "errors",
    "events",
    "freezing",
    "orders",
    "permission",
    "plan_text",
    "release",
    "wording",
}
#: What a part may not import, though it is free otherwise.
MAY_NOT_IMPORT = {
    "__init__": {"action", "cli", "__main__", "entry_points", "plan_text"},
    "engine": {"__init__", "action", "cli", "__main__", "entry_points", "plan_text"},
    "action": {"cli", "__main__"},
    "cli": {"action", "__main__"},
    "__main__": {"action"},
}
INNER = {"action", "cli", "__main__"}  # no other part may import a door
#: Where a library may be imported, of all that is shipped (the lab stands outside, and speaks of boto as it likes).
LIBRARIES = {
    "boto3": {"bluegreen.aws", "bluegreen.journal"},
    "botocore": {"bluegreen.aws", "bluegreen.aws_errors", "bluegreen.journal.dynamodb"},
    "slack_bolt": {"bot"},
    "slack_sdk": {"bot"},
    "github": {"bluegreen.github"},
}
TIMEKEEPERS = {"driver", "engine", "__main__", "action", "cli"}
CLOCKS = (
    "time",
    "sched",
    "asyncio.sleep",
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.datetime.today",
    "datetime.date.today",
    "os.environ",
    "os.environb",
    "os.getenv",
)
NO_NAMES = {"base", "common", "helper", "helpers", "misc", "util", "utils"}


def under(name: str, part: str) -> bool:
    """Whether the dotted name is the part or lies in it."""
    return name == part or name.startswith(f"{part}.")


def imports(tree: ast.AST, module: str, *, package: bool) -> Iterator[tuple[str, str, str]]:
    """Every import: what it imports, the local name, and the dotted name that this stands for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.split(".")[0]
                yield alias.name, alias.asname or first, alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom):
            source = origin(node, module, package=package)
            for alias in node.names:
                target = f"{source}.{alias.name}"
                yield target, alias.asname or alias.name, target


def origin(node: ast.ImportFrom, module: str, *, package: bool) -> str:
    """The absolute name of what is imported from."""
    parts = module.split(".")
    start = parts[: len(parts) - node.level + package] if node.level else []
    return ".".join([*start, *([node.module] if node.module else [])])


def dotted(node: ast.expr) -> str:
    """`a.b.c` of an attribute chain; "" when it begins with something else than a name."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            before = dotted(value)
            return f"{before}.{attr}" if before else ""
    return ""


def uses(source: str, module: str, *, package: bool = False) -> set[str]:
    """Dotted names of everything that the source imports, or reaches through what it imports."""
    tree = ast.parse(source)
    found = set()
    local = {}
    for target, name, stands_for in imports(tree, module, package=package):
        found.add(target)
        local[name] = stands_for
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            first, _, rest = dotted(node).partition(".")
            if first in local:
                found.add(f"{local[first]}.{rest}")
    return found


def modules() -> dict[str, Path]:
    """Every module of ours by its dotted name."""
    paths = (path for top in ("bluegreen", "bot", "lab") for path in sorted((ROOT / top).rglob("*.py")))
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in paths if "sample" not in path.parts
    }


def parts_of_bluegreen() -> set[str]:
    """The names of the modules and packages in `bluegreen`, as designed and as they are."""
    return {*MAY_IMPORT, *MAY_NOT_IMPORT} | {name.split(".")[1] for name in modules() if under(name, "bluegreen")}


def breaches(name: str, source: str) -> list[str]:
    """What the module does that its place forbids."""
    package = name.endswith(".__init__")
    used = uses(source, name.removesuffix(".__init__"), package=package)
    return sorted({*of_name(name), *of_libraries(name, used), *of_ours(name, used), *of_time(name, used)})


def of_name(name: str) -> Iterator[str]:
    """Names that say nothing of what is inside."""
    if bad := {part.strip("_") for part in name.split(".")} & NO_NAMES:
        yield f"{name}: `{min(bad)}` says nothing of what is inside"


def of_libraries(name: str, used: set[str]) -> Iterator[str]:
    """Libraries outside of the one place that knows them."""
    for library, places in LIBRARIES.items():
        exempt = under(name, "lab") and library.startswith("boto")
        if not exempt and not any(under(name, place) for place in places) and any(under(u, library) for u in used):
            yield f"{name} imports {library}"


def of_ours(name: str, used: set[str]) -> Iterator[str]:
    """Imports among our own modules that go the wrong way."""
    top = name.partition(".")[0]
    parts = parts_of_bluegreen()
    ours = {u.split(".")[1] if "." in u else "__init__" for u in used if under(u, "bluegreen")}
    ours = {part if part in parts else "__init__" for part in ours}
    if top == "bluegreen":
        part = name.split(".")[1]
        free = parts - INNER if part not in MAY_NOT_IMPORT else parts - MAY_NOT_IMPORT[part]
        wrong = ours - MAY_IMPORT.get(part, free) - {part}
        outside = {"bot", "tests"} if part == "cli" else {"bot", "lab", "tests"}  # `bluegreen demo` opens the lab
    elif top == "bot":
        wrong, outside = ours - BOT_MAY_IMPORT, {"lab", "tests"}
    else:
        wrong, outside = ours - {"config"}, {"tests"}
    yield from (f"{name} imports bluegreen.{part}" for part in wrong)
    yield from (f"{name} imports {other}" for other in outside if any(under(u, other) for u in used))


def of_time(name: str, used: set[str]) -> Iterator[str]:
    """The clock, sleep and the environment outside of the driver and the entry points."""
    if under(name, "bluegreen") and name.split(".")[1] not in TIMEKEEPERS:
        yield from (f"{name} uses {clock}" for clock in CLOCKS if any(under(u, clock) for u in used))


@pytest.mark.parametrize("name", sorted(modules()))
def test_module_keeps_to_its_layer(name: str) -> None:
    """Every module imports and reads only what its place allows."""
    assert [] == breaches(name, modules()[name].read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("name", "source", "breach"),
    [
        ("bot.app", "from bluegreen.config import load", "bot.app imports bluegreen.config"),
        ("bot.app", "from bluegreen import journal", "bot.app imports bluegreen.journal"),
        ("bot.app", "import bluegreen\nbluegreen.aws.Cloud", "bot.app imports bluegreen.aws"),
        ("bot.app", "import lab.slack", "bot.app imports lab"),
        ("bot.app", "import boto3", "bot.app imports boto3"),
        ("bluegreen.action", "from bluegreen import cli", "bluegreen.action imports bluegreen.cli"),
        ("bluegreen.cli.show", "from bluegreen.action import main", "bluegreen.cli.show imports bluegreen.action"),
        ("bluegreen.cli.show", "from ..action import main", "bluegreen.cli.show imports bluegreen.action"),
        ("bluegreen.cli.show", "import bot", "bluegreen.cli.show imports bot"),
        ("bluegreen.__init__", "from .cli import main", "bluegreen.__init__ imports bluegreen.cli"),
        ("bluegreen.__init__", "import lab", "bluegreen.__init__ imports lab"),
        ("bluegreen.somewhere", "from bluegreen import cli", "bluegreen.somewhere imports bluegreen.cli"),
        ("bluegreen.driver", "import bluegreen.journal", "bluegreen.driver imports bluegreen.journal"),
        ("bluegreen.driver", "from bluegreen.aws import Cloud", "bluegreen.driver imports bluegreen.aws"),
        ("bluegreen.driver", "from bluegreen import start", "bluegreen.driver imports bluegreen.__init__"),
        ("bluegreen.phases", "from . import journal", "bluegreen.phases imports bluegreen.journal"),
        ("bluegreen.phases.baking", "from .. import wording", "bluegreen.phases.baking imports bluegreen.wording"),
        ("bluegreen.phases.__init__", "from ..driver import x", "bluegreen.phases.__init__ imports bluegreen.driver"),
        ("bluegreen.aws.groups", "from bluegreen.phases import x", "bluegreen.aws.groups imports bluegreen.phases"),
        ("bluegreen.journal", "def f():\n  import bluegreen.aws", "bluegreen.journal imports bluegreen.aws"),
        ("bluegreen.wording", "from bluegreen.github import x", "bluegreen.wording imports bluegreen.github"),
        ("bluegreen.github", "from bluegreen.wording import x", "bluegreen.github imports bluegreen.wording"),
        ("bluegreen.release", "from bluegreen.errors import Refused", "bluegreen.release imports bluegreen.errors"),
        ("bluegreen.observation", "from .config import Config", "bluegreen.observation imports bluegreen.config"),
        ("bluegreen.config", "from bluegreen.release import Phase", "bluegreen.config imports bluegreen.release"),
        ("bluegreen.errors", "import bluegreen.config", "bluegreen.errors imports bluegreen.config"),
        ("bluegreen.driver", "import boto3", "bluegreen.driver imports boto3"),
        ("bluegreen.cli", "def f():\n  from botocore.config import Config", "bluegreen.cli imports botocore"),
        ("bluegreen.action", "from slack_sdk import WebClient", "bluegreen.action imports slack_sdk"),
        ("lab.slack", "import slack_bolt", "lab.slack imports slack_bolt"),
        ("bluegreen.action", "from github import Github", "bluegreen.action imports github"),
        ("bluegreen.phases", "import time", "bluegreen.phases uses time"),
        ("bluegreen.journal", "def f():\n  from time import sleep", "bluegreen.journal uses time"),
        (
            "bluegreen.aws.probes",
            "import datetime as d\nd.datetime.now()",
            "bluegreen.aws.probes uses datetime.datetime.now",
        ),
        (
            "bluegreen.wording",
            "from datetime import datetime\ndatetime.now()",
            "bluegreen.wording uses datetime.datetime.now",
        ),
        (
            "bluegreen.wording",
            "from datetime import date as d\nd.today()",
            "bluegreen.wording uses datetime.date.today",
        ),
        ("bluegreen.journal", "import os\nos.environ['X']", "bluegreen.journal uses os.environ"),
        ("bluegreen.journal", "from os import getenv", "bluegreen.journal uses os.getenv"),
        ("bluegreen.github", "import asyncio\nasyncio.sleep(1)", "bluegreen.github uses asyncio.sleep"),
        ("lab.aws", "from bluegreen.errors import AwsError", "lab.aws imports bluegreen.errors"),
        ("lab.aws", "from bluegreen import start", "lab.aws imports bluegreen.__init__"),
        ("lab.aws", "import bluegreen", "lab.aws imports bluegreen.__init__"),
        ("bluegreen.utils", "", "bluegreen.utils: `utils` says nothing of what is inside"),
        ("bluegreen.aws._base", "", "bluegreen.aws._base: `base` says nothing of what is inside"),
    ],
)
def test_checker_goes_red(name: str, source: str, breach: str) -> None:
    """Each rule, broken once, is told with the module and what it did."""
    assert [breach] == breaches(name, source)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("bot.app", "from bluegreen import promote, start"),
        ("bot.app", "import bluegreen\nbluegreen.promote()"),
        ("bot.app", "import time, os\nfrom slack_bolt import App\nos.environ['X']"),
        ("bluegreen.cli.show", "from bluegreen import start, config\nfrom bluegreen.cli.live import Live\nimport lab"),
        ("bluegreen.driver", "import time\nfrom bluegreen import phases, release\nfrom .config import Config"),
        ("bluegreen.phases.baking", "from .decision import Situation\nfrom bluegreen.observation import Group"),
        ("bluegreen.aws.groups", "import boto3\nfrom botocore.config import Config\nfrom . import images"),
        ("bluegreen.github", "from github import Github\nfrom bluegreen.release import Event"),
        ("bluegreen.wording", "from datetime import datetime\ndatetime.fromtimestamp(0)"),
        ("lab.aws", "import boto3, time\nfrom bluegreen.config import parse"),
    ],
)
def test_checker_lets_pass(name: str, source: str) -> None:
    """What each place is allowed to do is not told."""
    assert [] == breaches(name, source)


def test_the_package_itself_only_names_what_it_gives() -> None:
    """Whoever looks for the engine finds it under its name."""
    kinds = {type(node) for node in ast.parse((ROOT / "bluegreen" / "__init__.py").read_text()).body}
    assert kinds == {ast.Expr, ast.ImportFrom, ast.Assign}
