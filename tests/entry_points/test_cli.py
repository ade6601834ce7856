"""The command line: what it understands, prints, and exits with. AWS stands behind the API and is not asked here."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo

import pytest
from botocore.exceptions import EndpointConnectionError
from click.testing import CliRunner, Result
from rich.console import Console

import bluegreen
from bluegreen import (
    BlueGreenError,
    ConfigError,
    Event,
    Interrupted,
    Kept,
    Refused,
    Release,
    ServiceStatus,
    entry_points,
)
from bluegreen.adoption import Adoption, Orphan
from bluegreen.aws_commands import kept_group
from bluegreen.cli import cli, listing, output, picture, watching
from bluegreen.cli.invocation import Invocation
from bluegreen.costs import Extra
from bluegreen.doctor import Diagnosis, Rating, Topic
from bluegreen.driver import Tell
from bluegreen.dry_run import Step
from bluegreen.engine import Removal
from bluegreen.errors import AwsError, LeaseLost
from bluegreen.events import Awaited, BlueBefore, EventKind, Outcome, Phase, Reason, Verb
from bluegreen.journal import Freeze, KeptGreen, Live, ServiceRecord, Summary
from bluegreen.observation import (
    AccountFacts,
    Baseline,
    Delays,
    Finding,
    FindingKey,
    Footprint,
    Group,
    Image,
    Template,
    Verdict,
)
from bluegreen.phases import Act
from lab.aws import FakeAws
from lab.world import World
from tests.worlds.events import ALICE, ARN, BEFORE, FOUND, ID, Diary
from tests.worlds.files import ROOT
from tests.worlds.waiting import eventually

CONFIG = """\
service: web
group: web-asg
region: ap-northeast-2
traffic: {target_groups: [web]}
image: {ami: ami-0123}
"""
BUILT = CONFIG.replace("{ami: ami-0123}", "{builder: {instance: i-0123, run: make}}")
RESULT_KEYS = {
    "decision",
    "reason",
    "release",
    "phase",
    "service",
    "blue-group",
    "green-group",
    "image-id",
    "template-version",
    "schema_version",
}


class _Engine:
    """Stands in for the API: remembers what it was asked, and plays the telling that a test wrote."""

    diary = Diary()
    asked: list[tuple[Any, ...]] = []  # noqa: RUF012 # one list for the one engine of a test
    statuses: list[ServiceStatus] = []  # noqa: RUF012
    ends: BlueGreenError | Exception | None = None
    adopted = Adoption(
        "web/production",
        Footprint("web-production-v4", release="web/production#4", image="ami-4", commit="c0ffee01aa"),
        5,
        (),
        (),
    )

    lines: list[Diagnosis] = []  # noqa: RUF012
    images = Kept({})
    removed: list[Removal] = []  # noqa: RUF012
    left: list[Orphan] = []  # noqa: RUF012
    unread: AwsError | None = None
    drifted: dict[str, str] = {}  # noqa: RUF012
    unknown: Refused | None = None

    def __init__(self, *, table: str | None = None, region: str | None = None) -> None:
        self.where, self.table = (table, region), table or "bluegreen"

    def who(self) -> str:
        return ALICE

    def account(self, config: Any) -> AccountFacts:
        return AccountFacts("123456789012", ("lt-1",), ("arn:aws:iam::123456789012:role/web",), doubts=("a guess",))

    def examine(self, config: Any, *, role: str = "") -> list[Diagnosis]:
        self._ask("examine", config.id, role)
        return self.lines

    def _ask(self, *what: Any) -> None:
        self.asked.append(what)
        if self.ends and what[0] != "attend":
            raise self.ends

    def start(
        self,
        config: Any,
        *,
        commit: str = "",
        ami: str = "",
        who: Any,
        hold: bool = False,
        source: Any = None,
        override: str = "",
        cure: bool = False,
        pack: object = None,
    ) -> Release:
        more = ["cure"] if cure else []
        self._ask("start", config.id, commit, ami, hold, *more, *([override] if override else []))
        return self.diary.told[0][0]

    def release_again(self, service: str, image: str, *, who: Any, title: str, override: str) -> Release:
        self._ask("again", service, image, title, override)
        return self.diary.told[0][0]

    def follow(self, release: str) -> Iterator[Event]:
        return iter([event for _, event, _, _ in self.diary.told if event])

    def attend(self, release: str, *, until: str, tell: Tell, stop: Callable[[], bool]) -> Release:
        self._ask("attend", release, str(until))
        for told in self.diary.told[1:]:
            tell(*told)
        if self.ends:
            raise self.ends
        return self.diary.release

    def watch(self, release: str, *, tell: Tell, stop: Callable[[], bool]) -> Release:
        self._ask("watch", release)
        for told in self.diary.told:
            tell(*told)
        return self.diary.release

    def drive(self, release: str, *, until: str, tell: Tell, stop: Callable[[], bool]) -> Release:
        return self.attend(release, until=until, tell=tell, stop=stop)

    def promote(self, service: str, *, who: Any, override: str = "") -> Event:
        self._ask("promote", service, *([override] if override else []))
        return self.diary.last

    def hold(self, service: str, *, who: Any) -> Event:
        self._ask("hold", service)
        return Event(ID, 9, self.diary.release.last_at, EventKind.HOLD_ORDERED, {"who": who})

    def roll_back(self, service: str, *, who: str, why: str = "") -> Event:
        self._ask("roll_back", service, why)
        return self.diary.last

    def tidy(self) -> list[Removal]:
        return self.removed

    def new_drift(self) -> list[str]:
        return list(self.drifted.values())

    def drift(self, service: str = "") -> dict[str, str]:
        return self.drifted

    def orphans(self, service: str = "") -> list[Orphan]:
        if self.unread:
            raise self.unread
        return self.left

    def adopt(self, config: Any, *, who: str, group: str = "") -> Adoption:
        self._ask("adopt", config.id, group)
        return self.adopted

    def resume(self, service: str, *, who: str) -> Release:
        self._ask("resume", service)
        return self.diary.release

    def image_of(self, service: str, number: int) -> str:
        self._ask("image_of", service, number)
        return "ami-0old"

    def load(self, release: str) -> Release:
        return self.diary.release

    def status(self, service: str | None = None) -> list[ServiceStatus]:
        return [s for s in self.statuses if service in (None, s.service)]

    def history(self, service: str, limit: int) -> list[Summary]:
        self._ask("history", service, limit)
        return [Summary(service, 42, "9f8e7d6c5b4a", "ami-0abc", ALICE, time.time() - 7200, "web-asg", "g")]

    def kept(self, rows: Any) -> Kept:
        return self.images

    def lost(self, service: str) -> Refused | None:
        return self.unknown

    def freeze(self, service: str, *, who: str, why: str, until: float | None) -> Release | None:
        self._ask("freeze", service, why, until)
        return self.diary.release if self.diary.release.holdable else None

    def unfreeze(self, service: str, *, who: str) -> bool:
        self._ask("unfreeze", service)
        return self.asked.count(("unfreeze", service)) == 1

    def undriven(self) -> list[str]:
        return [ID]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[_Engine]:
    """The stand-in behind the command, in a folder with a bluegreen.yml."""

    class Own(_Engine):
        diary = Diary()
        asked: list[tuple[Any, ...]] = []  # noqa: RUF012
        statuses: list[ServiceStatus] = []  # noqa: RUF012

    monkeypatch.setattr(bluegreen.engine, "Engine", Own)
    monkeypatch.chdir(tmp_path)
    Path("bluegreen.yml").write_text(CONFIG)
    return Own


def run(*arguments: str) -> Result:
    """The command, as called in a shell; nothing may escape it."""
    result = CliRunner().invoke(cli, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def last_object(result: Result) -> dict[str, Any]:
    """The result object of a --json run."""
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


def live() -> Diary:
    """A release that goes well."""
    return Diary().serves_both().enters(Phase.SWITCHING).enters(Phase.SOAKING).enters(Phase.RETIRING).settles("live")


def rolled_back() -> Diary:
    """A release that returns to blue."""
    diary = Diary().serves_both().enters(Phase.ROLLING_BACK, reason="ordered", message="")
    return diary.settles("rolled_back", "ordered")


def held() -> Diary:
    """A release that a person must promote."""
    return Diary(hold=True).serves_both().enters(Phase.HOLDING)


def status_of(diary: Diary, *, freeze: Freeze | None = None, driver: str = "") -> ServiceStatus:
    """What the API says of the service."""
    under_way = None if diary.release.outcome else 42
    record = ServiceRecord("web/production", 43, under_way, 42, Live("web-asg", "ami-0", 7, "c", 41), freeze)
    return ServiceStatus("web/production", record, diary.release, driver)


# --- the command itself ------------------------------------------------------------------------------------


def test_help_names_every_command() -> None:
    """And only those that are there."""
    text = run("--help").stdout
    listed = {line.split()[0] for line in text[text.index("Commands:") :].splitlines()[1:]}
    assert listed == {
        *(
            "adopt",
            "demo",
            "doctor",
            "explain",
            "freeze",
            "history",
            "hold",
            "iam-policy",
            "init",
            "plan",
            "promote",
            "reconcile",
        ),
        *("release", "report", "resume", "rollback", "schema", "status", "unfreeze"),
    }


def test_a_policy_is_printed(engine: type[_Engine]) -> None:
    """To standard output, and what is doubted beside it; as JSON with both, as Terraform, as CloudFormation."""
    shown = run("iam-policy")
    statements = {one["Sid"]: one for one in json.loads(shown.stdout)["Statement"]}
    assert statements["InstanceProfile"]["Resource"] == "arn:aws:iam::123456789012:role/web"
    assert shown.stderr == "warning: a guess\n"
    told = json.loads(run("iam-policy", "--for", "reader", "--json").stdout)
    assert (told["service"], told["doubts"]) == ("web/production", ["a guess"])
    assert [one["Sid"] for one in told["policy"]["Statement"]] == [
        *("Look", "ExamineRoles", "ReadImageParameters", "Journal")
    ]
    trust = json.loads(run("iam-policy", "--trust", "--repository", "acme/web").stdout)["Statement"][0]
    assert "repo:acme/web:environment:production" in str(trust)
    assert run("iam-policy", "--trust").exit_code == 2
    both = run("iam-policy", "--trust", "--terraform", "--repository", "acme/web")
    assert (both.exit_code, both.stdout) == (2, "")
    assert run("iam-policy", "--terraform").stdout.startswith('data "aws_iam_policy_document" "bluegreen" {')
    template = json.loads(run("iam-policy", "--for", "reader", "--cloudformation").stdout)
    (policy,) = template["Resources"].values()
    assert policy["Properties"]["ManagedPolicyName"] == "bluegreen-web-production-reader-1"


def test_a_doctor_says_what_is_in_the_way(engine: type[_Engine], monkeypatch: pytest.MonkeyPatch) -> None:
    """A line each, what to do below it, and how many; as JSON a line an object, then the result."""
    slow = Diagnosis(Topic.CLOCK, Rating.BLOCKS, "is 10m behind", "Correct it.")
    good = Diagnosis(Topic.GROUP, Rating.GOOD, "web-asg")
    monkeypatch.setattr(engine, "lines", [slow, good])
    shown = run("doctor", "--role", "releaser")
    assert shown.exit_code == entry_points.FAILED
    assert engine.asked[-1] == ("examine", "web/production", "releaser")
    assert [line.split() for line in shown.stdout.splitlines()] == [
        ["in", "the", "way", "clock", "is", "10m", "behind"],
        ["Correct", "it."],
        ["ok", "group", "web-asg"],
        [],
        ["web/production:", "1", "in", "the", "way,", "1", "ok"],
    ]
    told = [json.loads(line) for line in run("doctor", "--json").stdout.splitlines()]
    assert told[0] == {"topic": "clock", "verdict": "in the way", "said": "is 10m behind", "fix": "Correct it."}
    assert (told[-1]["decision"], told[-1]["verdicts"]) == ("in_the_way", {"in the way": 1, "ok": 1})
    monkeypatch.setattr(engine, "lines", [good])
    assert run("doctor").exit_code == entry_points.OK
    assert json.loads(run("doctor", "--json").stdout.splitlines()[-1])["decision"] == "ready"


def test_the_schema_is_printed(engine: type[_Engine]) -> None:
    """What editors read, as SchemaStore and the entry for its catalog have it; no configuration is needed for it."""
    schema = json.loads(run("schema").stdout)
    assert schema["properties"]["service"]["description"]
    entry = re.search(r"(?s)```json\n(.*?)```", (ROOT / "docs" / "configuration.md").read_text())
    assert entry
    catalog = json.loads(entry[1])
    assert (schema["$id"], schema["title"]) == (catalog["url"], catalog["name"])
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"


def test_help_tells_what_every_command_does_in_a_whole_sentence() -> None:
    """None is cut on a terminal of 80 columns."""
    text = run("--help").stdout
    told = text[text.index("Commands:") :].splitlines()[1:]
    assert [line for line in told if not line.endswith(".") or line.endswith("...")] == []


@pytest.mark.parametrize("name", sorted(set(cli.commands) - {"demo"}))
def test_every_command_takes_the_same_options(name: str) -> None:
    """--config, --environment, --json and the rest mean the same everywhere."""
    text = run(name, "--help").stdout
    assert all(f"--{option}" in text for option in ("config", "environment", "json", "table", "region"))


@pytest.mark.parametrize(
    "arguments",
    [
        ("stat\x1b[2J\u202eus",),
        ("--tab\x1b[2J\u202ele",),
        ("status", "--jso\x1b[2J\u202en"),
        ("status", "a", "b\x1b[2J\u202e"),
        ("release", "--config", "no\x1b[2J\u202e.yml"),
        ("release", "--config", "no\x1b[2J\u202e.yml", "--json"),
    ],
)
def test_what_acts_on_a_terminal_is_written_out(engine: type[_Engine], arguments: tuple[str, ...]) -> None:
    """Errors repeat what was given, whoever gave it."""
    result = run(*arguments)
    assert result.exit_code == 2
    assert "\\x1b[2J\\u202e" in result.stderr
    assert "\x1b" not in result.output
    assert "\u202e" not in result.output


def test_there_is_one_way_to_print() -> None:
    """It writes out what would act on the terminal."""
    sources = {path.name: path.read_text().count("click.echo(") for path in (ROOT / "bluegreen/cli").glob("*.py")}
    assert {name: count for name, count in sources.items() if count} == {"output.py": 2}


def test_help_needs_nothing_heavy() -> None:
    """`bluegreen --help` must come at once: nothing heavy is imported for it."""
    heavy = "('boto3', 'botocore', 'pydantic', 'yaml', 'rich', 'bluegreen.config', 'bluegreen.journal', 'asyncio')"
    code = f"""
import sys
from bluegreen.cli import cli
try:
    cli(["--help"])
except SystemExit:
    pass
print([m for m in {heavy} if m in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("door", ["bluegreen.cli", "bluegreen.action"])
def test_garbage_is_looked_for_seldom(door: str) -> None:
    """What a command makes at its start stays to its end: looking through it again and again costs a sixth."""
    code = f"""
import gc, sys
import {door} as door
sys.argv = ["x", "--help"]
try:
    door.main()
finally:
    sys.exit(gc.get_threshold()[0] // 1000)
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=ROOT).returncode == 50


def test_it_runs_as_a_module() -> None:
    """`python -m bluegreen` is the command."""
    done = subprocess.run([sys.executable, "-m", "bluegreen", "--version"], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == f"bluegreen {bluegreen.__version__}\n"


@pytest.mark.parametrize("wrong", [["relase"], ["release", "--until", "never"], ["rollback", "--to", "0"], ["a", "b"]])
def test_wrong_usage_exits_with_2(engine: type[_Engine], wrong: list[str]) -> None:
    """And asks nothing of AWS."""
    assert run(*wrong).exit_code == 2
    assert not engine.asked


# --- releasing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("diary", "code", "decision"), [(live(), 0, "live"), (rolled_back(), 3, "rolled_back"), (held(), 0, "held")]
)
def test_a_release_exits_as_it_ends(engine: type[_Engine], diary: Diary, code: int, decision: str) -> None:
    """0 live or parked, 3 rolled back; with --json every line is an object and the last is the result."""
    engine.diary = diary
    result = run("release", "--json")
    assert result.exit_code == code
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert [event["seq"] for event in events[:-1]] == list(range(1, diary.release.seq + 1))
    assert events[-1]["decision"] == decision
    assert events[-1].keys() >= RESULT_KEYS
    assert events[-1]["image-id"] == "ami-0abc"
    assert events[-1]["template-version"] == 8


def test_a_failed_release_exits_with_1(engine: type[_Engine]) -> None:
    """It says that a person must act."""
    engine.diary = Diary().serves_both().settles("failed", "changed_outside", "blue was deleted")
    result = run("release")
    assert result.exit_code == 1
    assert "a person must act: someone else changed a resource of the release: blue was deleted" in result.stdout
    assert "bluegreen resume web/production" in result.stdout


def test_elsewhere_than_on_a_terminal_there_is_a_line_per_event(engine: type[_Engine]) -> None:
    """Time, phase, sentence; the end is said once."""
    engine.diary = live()
    lines = run("release").stdout.splitlines()
    clock = output.clock(engine.diary.told[-1][0].last_at)
    assert lines[-2] == f"{clock} live          {ID} is live after 19s: web-production-v42 serves alone"
    assert lines[-1] == "  go back: bluegreen rollback web/production --to 41"
    assert len(lines) == engine.diary.release.seq + 1


def test_a_wait_is_told_once(engine: type[_Engine]) -> None:
    """A look that changes nothing adds no line."""
    diary = Diary().waits(Awaited.BUILD, 60).waits(Awaited.BUILD, 60).waits(Awaited.READ_BACK)
    engine.diary = diary.settles("live")
    assert sum("waiting for the build" in line for line in run("release").stdout.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "hold", "until"),
    [
        ([], False, "live"),
        (["--until", "held"], True, "held"),
        (["--until", "switched"], False, "switched"),
        (["--until", "live"], False, "live"),
    ],
)
def test_until_says_where_to_park(engine: type[_Engine], arguments: list[str], hold: bool, until: str) -> None:
    """`--until held` also makes the release wait for a person."""
    run("release", *arguments)
    assert engine.asked == [("start", "web/production", "", "", hold), ("attend", ID, until)]


def test_nobody_waits_at_the_terminal_for_a_promotion_by_default(engine: type[_Engine]) -> None:
    """A release that a person must promote parks there, unless `--until live` says otherwise."""
    engine.diary = held()
    run("release")
    run("release", "--until", "live")
    assert [what[-1] for what in engine.asked if what[0] == "attend"] == ["held", "live"]


def test_the_environment_is_chosen_by_name(engine: type[_Engine]) -> None:
    """From the file that --config names."""
    Path("other.yml").write_text(CONFIG + "environments: {staging: {group: web-staging-asg}}\n")
    run("release", "--config", "other.yml", "--environment", "staging", "--ami", "ami-0f")
    assert engine.asked[0] == ("start", "web/staging", "", "ami-0f", False)


# --- the region --------------------------------------------------------------------------------------------

REGIONS = [
    (["--region", "eu-west-1"], "eu-west-1"),
    ([], "eu-west-2"),  # the configuration's
    (["--config", "anywhere.yml"], "eu-west-3"),
    (["--config", "anywhere.yml", "!AWS_REGION"], "eu-north-1"),
    (["--config", "anywhere.yml", "!AWS_REGION", "!AWS_DEFAULT_REGION"], "eu-south-1"),
    (["--config", "anywhere.yml", "!AWS_REGION", "!AWS_DEFAULT_REGION", "!AWS_PROFILE"], "none"),
]


@pytest.mark.parametrize(("said", "meant"), REGIONS)
def test_who_says_which_region(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: list[str], meant: str) -> None:
    """The option, the configuration, AWS_REGION, AWS_DEFAULT_REGION, the profile; the first that says anything."""
    (tmp_path / "bluegreen.yml").write_text(CONFIG.replace("ap-northeast-2", "eu-west-2"))
    (tmp_path / "anywhere.yml").write_text(CONFIG.replace("region: ap-northeast-2\n", ""))
    (tmp_path / "aws").write_text("[profile work]\nregion = eu-south-1\n")
    monkeypatch.chdir(tmp_path)
    environment = {"AWS_REGION": "eu-west-3", "AWS_DEFAULT_REGION": "eu-north-1", "AWS_PROFILE": "work"}
    for name, value in {**environment, "AWS_CONFIG_FILE": str(tmp_path / "aws")}.items():
        monkeypatch.setenv(name, value)
    for name in (one[1:] for one in said if one[0] == "!"):
        monkeypatch.delenv(name)
    (host,) = {server.netloc for server in _asked_by(monkeypatch, [one for one in said if one[0] != "!"])} or {"none"}
    assert host == (meant if meant == "none" else f"dynamodb.{meant}.amazonaws.com")


def test_a_region_that_is_named_has_the_group_and_not_the_journal_alone(engine: type[_Engine]) -> None:
    """A journal there of a group elsewhere would know of no release that is under way."""
    at = Invocation(config_path=None, environment=None, as_json=False, table=None, region="eu-west-1")
    assert at.config().region == "eu-west-1"
    assert replace(at, region=None).config().region == "ap-northeast-2"


def _asked_by(monkeypatch: pytest.MonkeyPatch, options: list[str]) -> list[SplitResult]:
    """The addresses that the command asks; nothing is sent."""
    asked: list[SplitResult] = []

    def send(self: object, request: Any) -> None:
        asked.append(urlsplit(request.url))
        raise EndpointConnectionError(endpoint_url=request.url)

    monkeypatch.setattr("botocore.httpsession.URLLib3Session.send", send)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "lab")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "lab")
    result = run("status", *options)
    if not asked:
        assert result.exit_code == 2
        assert "Set AWS_REGION, or `region` in bluegreen.yml, or give `--region`." in result.stderr
    return asked


# --- the commit --------------------------------------------------------------------------------------------


def git(*arguments: str) -> str:
    """Git in the test's folder."""
    who = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    return subprocess.run(["git", *who, *arguments], check=True, capture_output=True, text=True).stdout.strip()


def test_what_is_built_is_head_by_default(engine: type[_Engine]) -> None:
    """Of the repository that the configuration lies in, and a short SHA is expanded."""
    Path("bluegreen.yml").write_text(BUILT)
    git("init", "--quiet")
    git("commit", "--quiet", "--allow-empty", "-m", "one")
    head = git("rev-parse", "HEAD")
    git("commit", "--quiet", "--allow-empty", "-m", "two")
    run("release")
    run("release", "--commit", head[:8])
    assert [what[2] for what in engine.asked if what[0] == "start"] == [git("rev-parse", "HEAD"), head]


@pytest.mark.parametrize(
    ("arguments", "says"), [([], "no git work tree"), (["--commit", "no-such-branch"], "is not a commit")]
)
def test_without_a_commit_nothing_is_built(engine: type[_Engine], arguments: list[str], says: str) -> None:
    """A clear word instead of a build of nothing."""
    Path("bluegreen.yml").write_text(BUILT)
    result = run("release", *arguments)
    assert result.exit_code == 2
    assert says in result.stderr
    assert not engine.asked


def test_a_full_sha_needs_no_git_and_an_image_no_commit(engine: type[_Engine]) -> None:
    """As in a container without the repository."""
    Path("bluegreen.yml").write_text(BUILT)
    run("release", "--commit", "a" * 40)
    run("release", "--ami", "ami-0f")
    assert [what[2:4] for what in engine.asked if what[0] == "start"] == [("a" * 40, ""), ("", "ami-0f")]


# --- which service -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        ([], "web/production"),
        (["web"], "web/production"),
        (["api/test"], "api/test"),
        (["api", "--environment", "production"], "api/production"),
    ],
)
def test_service_is_named_in_full_or_in_part(engine: type[_Engine], arguments: list[str], meant: str) -> None:
    """`web/production`, `web`, or what the configuration describes."""
    run("promote", *arguments, "--no-wait")
    assert engine.asked == [("promote", meant)]


@pytest.mark.parametrize("named", [[], ["web"]])
def test_without_a_configuration_the_only_one_is_meant(engine: type[_Engine], named: list[str]) -> None:
    """The one under way, or the only environment of that name; otherwise the command asks."""
    Path("bluegreen.yml").unlink()
    assert run("promote", *named, "--no-wait").exit_code == 2
    engine.statuses = [status_of(held())]
    run("promote", *named, "--no-wait")
    assert engine.asked == [("promote", "web/production")]
    engine.statuses = [*engine.statuses, *engine.statuses]
    assert "several services are meant" in run("promote", *named, "--no-wait").stderr


def test_a_broken_file_does_not_stand_between_a_person_and_a_rollback(engine: type[_Engine]) -> None:
    """When the service is named in full."""
    Path("bluegreen.yml").write_text("service: [")
    assert run("rollback", "web/production", "--no-wait").exit_code == 0
    assert run("rollback", "--no-wait").exit_code == 2


# --- orders ------------------------------------------------------------------------------------------------


def test_promote_orders_then_shows_the_end(engine: type[_Engine]) -> None:
    """And parks again when more approvals are missing."""
    engine.diary = live()
    assert run("promote").exit_code == 0
    assert engine.asked == [("promote", "web/production"), ("attend", ID, "held")]


def test_a_cure_is_asked_for(engine: type[_Engine]) -> None:
    """By a flag, as nobody returns to what serves then."""
    run("release", "--cure")
    assert engine.asked[0][-1] == "cure"


@pytest.mark.parametrize(("diary", "code"), [(rolled_back(), 0), (live(), 1)])
def test_a_rollback_has_succeeded_when_blue_serves_alone(engine: type[_Engine], diary: Diary, code: int) -> None:
    """Whatever became of the release is no success of the rollback."""
    engine.diary = diary
    assert run("rollback", "--reason", "slow").exit_code == code
    assert engine.asked[0] == ("roll_back", "web/production", "slow")


def test_no_wait_only_orders(engine: type[_Engine]) -> None:
    """The release goes on elsewhere; the command says how it stands."""
    engine.diary = held()
    result = run("rollback", "--no-wait", "--json")
    assert result.exit_code == 0
    assert last_object(result)["phase"] == "holding"
    assert engine.asked == [("roll_back", "web/production", "")]


def test_hold_only_orders(engine: type[_Engine]) -> None:
    """Whoever drives the release hears it; how it stands is said, and nobody waits at a terminal."""
    engine.diary = held()
    result = run("hold")
    assert (result.exit_code, engine.asked) == (0, [("hold", "web/production")])
    assert "bluegreen promote web/production" in result.stdout
    engine.ends = Refused("already waits for a promotion", reason=Reason.MOVED_ON)
    assert run("hold", "web/production").exit_code == 4


def test_rollback_to_a_number_releases_its_image_again(engine: type[_Engine]) -> None:
    """Once blue is gone, the way back is a release."""
    engine.diary = live()
    assert run("rollback", "--to", "41").exit_code == 0
    begun = ("again", "web/production", "ami-0old", "release 41 again", "")  # no freeze may be in its way
    assert engine.asked[:2] == [("image_of", "web/production", 41), begun]
    engine.asked.clear()
    assert run("rollback", "--to", "41", "--no-wait").exit_code == 0
    assert engine.asked[1:] == [begun]
    run("rollback", "api/production", "--to", "41", "--reason", "slow", "--override", "we must")
    assert ("again", "api/production", "ami-0old", "slow", "we must") in engine.asked
    assert run("rollback", "--override", "we must").exit_code == 2


def test_adopt_says_what_it_found_and_what_is_left(engine: type[_Engine], monkeypatch: pytest.MonkeyPatch) -> None:
    """And whether anything was put right."""
    live = (
        "web/production: web-production-v4 of web/production#4 is live with ami-4, commit c0ffee01; the next release "
        "has"
    )
    assert f"{live} number 5\nThe journal was right; bluegreen changed nothing.\n" == run("adopt").stdout
    monkeypatch.setattr(engine, "adopted", replace(engine.adopted, found=("it was lost",), left=("v3 is there",)))
    said = run("adopt", "web/production", "--group", "web-production-v4").stdout
    assert said.splitlines() == [
        "found: it was lost",
        f"{live} number 5",
        "The journal is now right.",
        "also: v3 is there",
    ]
    assert engine.asked == [("adopt", "web/production", ""), ("adopt", "web/production", "web-production-v4")]


def test_adopt_as_json(engine: type[_Engine]) -> None:
    """The same, for scripts."""
    assert json.loads(run("adopt", "--json").stdout) == {
        "schema_version": 1,
        "service": "web/production",
        "live": "web-production-v4",
        "image": "ami-4",
        "commit": "c0ffee01aa",
        "next": 5,
        "found": [],
        "left": [],
        "ended": "",
        "images": [],
    }


def test_adopt_names_the_images_that_can_be_released(engine: type[_Engine], monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that does it."""
    images = (Image("ami-3", "x", "available", tagged_release="web/production#3", good=True),)
    monkeypatch.setattr(engine, "adopted", replace(engine.adopted, images=images))
    said, way = run("adopt").stdout.splitlines()[-2:]
    assert said == "earlier images: ami-3 (web/production#3, went live)"
    assert way.strip().startswith("go back to one: `bluegreen release --ami ami-3 --cure` releases ami-3")
    assert json.loads(run("adopt", "--json").stdout)["images"] == ["ami-3"]


@pytest.mark.parametrize("arguments", [("status",), ("status", "web/production"), ("history",)])
def test_a_lost_journal_is_told(engine: type[_Engine], monkeypatch: pytest.MonkeyPatch, arguments: Any) -> None:
    """In place of that no service has releases; not where AWS shows nothing either."""
    monkeypatch.setattr(engine, "history", lambda *_: [])
    monkeypatch.setattr(engine, "unknown", Refused("AWS shows v3", reason=Reason.UNRESOLVED, where=ID))
    result = run(*arguments)
    assert (result.exit_code, f"{ID}: AWS shows v3" in result.stderr) == (4, True)
    monkeypatch.setattr(engine, "unknown", None)
    assert run(*arguments).exit_code == (2 if arguments == ("status", "web/production") else 0)


def test_history_says_whose_image_is_gone(engine: type[_Engine], monkeypatch: pytest.MonkeyPatch) -> None:
    """And that nobody could tell."""
    monkeypatch.setattr(engine, "images", Kept({"ami-0abc": False}))
    assert "ami-0abc, gone" in run("history").stdout
    assert last_object(run("history", "--json"))["releases"][0]["image_there"] is False
    monkeypatch.setattr(engine, "images", Kept({}, "no credentials"))
    said = run("history").stdout
    assert "bluegreen could not read which images exist: no credentials" in said
    assert "gone" not in said
    assert last_object(run("history", "--json"))["releases"][0]["image_there"] is None


def test_adopt_needs_the_configuration_of_the_service(engine: type[_Engine]) -> None:
    """The one that says where it serves."""
    result = run("adopt", "api/production")
    assert result.exit_code == 2
    assert "describes web/production, not api/production" in result.stderr


def test_resume_drives_on(engine: type[_Engine]) -> None:
    """What was interrupted, or failed."""
    engine.diary = live()
    assert run("resume").exit_code == 0
    assert engine.asked == [("resume", "web/production"), ("attend", ID, "held")]


@pytest.mark.parametrize(
    ("diary", "ends", "code"),
    [
        (live(), None, 0),
        (held(), None, 0),
        (rolled_back(), None, 3),
        (held(), Interrupted("stopped"), 130),
        (held(), Refused("another driver", reason="under_way"), 0),
        (held(), KeyError("x"), 1),
    ],
)
def test_reconcile_sums_up(engine: type[_Engine], diary: Diary, ends: Exception | None, code: int) -> None:
    """Each release for itself; what needs a person decides the exit code."""
    engine.diary, engine.ends = diary, ends
    result = run("reconcile", "--json")
    assert result.exit_code == code
    assert last_object(result)["releases"][0]["release"] == ID


def test_reconcile_says_what_it_removed(engine: type[_Engine], monkeypatch: pytest.MonkeyPatch) -> None:
    """What it could not remove needs a person."""
    monkeypatch.setattr(engine, "statuses", [])
    gone = Removal("web/production", "web-production-v4", "web-production-v4 is being deleted")
    monkeypatch.setattr(engine, "removed", [gone])
    result = run("reconcile")
    assert (result.exit_code, "web-production-v4 is being deleted" in result.output) == (0, True)
    assert last_object(run("reconcile", "--json"))["removed"] == [vars(gone)]
    monkeypatch.setattr(engine, "removed", [gone, replace(gone, done=False)])
    assert run("reconcile").exit_code == 1


def test_status_watches_what_is_under_way(engine: type[_Engine], monkeypatch: pytest.MonkeyPatch) -> None:
    """To its end, by the events of the journal; without a release under way it is the status as it is."""
    monkeypatch.setattr(engine, "diary", live())
    status = status_of(held())
    monkeypatch.setattr(engine, "statuses", [replace(status, record=replace(status.record, under_way=42))])
    watched = run("status", "web/production", "--watch")
    assert (watched.exit_code, engine.asked) == (0, [("watch", ID)])
    assert "is live" in watched.output
    monkeypatch.setattr(engine, "statuses", [status_of(live())])
    assert run("status", "web/production", "--watch").output == run("status", "web/production").output


def test_the_table_is_watched_until_the_person_ends_it(capsys: pytest.CaptureFixture[str]) -> None:
    """In its place on a terminal; elsewhere it comes again only when more than the time has changed."""
    first, second = status_of(held()), status_of(live())
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 80:
            signal.raise_signal(signal.SIGINT)

    def shown(in_place: bool) -> list[str]:
        told, looks = list[str](), iter([[first], [first], [second], [second]])
        slept.clear()
        code = watching.again(lambda: next(looks), lambda found: told.append(found[0].service), in_place, sleep)
        assert (code, sum(slept)) == (0, pytest.approx(16.0))
        return told

    assert len(shown(in_place=False)) == 2
    assert len(shown(in_place=True)) == 4


def test_status_names_what_is_kept_for_a_look_inside(engine: type[_Engine], monkeypatch: pytest.MonkeyPatch) -> None:
    """Until when, and what ends it now; when its time is over, what removes it."""
    status = status_of(rolled_back())
    kept = (KeptGreen(40, "web-production-v40", 1.0), KeptGreen(42, "web-production-v42", 9e9))
    monkeypatch.setattr(engine, "statuses", [replace(status, record=replace(status.record, kept=kept))])
    said = " ".join(run("status").output.split())
    over = "group web-production-v40, kept for inspection until 1970-01-01 00:00 UTC: `bluegreen reconcile` removes it"
    assert over in said
    assert kept_group("web-production-v42", "2255-03-14 16:00 UTC") in said
    assert last_object(run("status", "--json"))["services"][0]["kept"] == [vars(one) for one in kept]


def test_status_names_what_nobody_needs(engine: type[_Engine], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all services or one; where AWS cannot be read the journal tells all the same."""
    monkeypatch.setattr(engine, "statuses", [status_of(live())])
    orphan = Orphan(Footprint("web-production-v3", service="web/production", release="web/production#3", number=3))
    monkeypatch.setattr(engine, "left", [orphan])
    for service in ([], ["web/production"]):
        assert "left: group web-production-v3 of web/production#3" in " ".join(run("status", *service).output.split())
    monkeypatch.setattr(engine, "drifted", {"web/production": "web/production: another serves"})
    for command in ("status", "reconcile"):
        assert "found: web/production: another serves" in run(command).output
        assert last_object(run(command, "--json"))["found"] == ["web/production: another serves"]
    group = {"service": "web/production", "group": "web-production-v3", "release": "web/production#3", "size": 0}
    assert last_object(run("status", "--json"))["left"] == [{**group, "removable": False}]
    monkeypatch.setattr(engine, "unread", AwsError("denied", code="AccessDenied", operation="X"))
    assert (run("status").exit_code, last_object(run("status", "--json"))["left"]) == (0, [])


# --- errors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code", "decision"),
    [
        (Refused("is frozen", reason="frozen", where="web/production", hint="Ask bob."), 4, "refused"),
        (ConfigError("is wrong", where="web/production", hint="Ask bob."), 2, "failed"),
        (AwsError("Rate exceeded", code="Throttling", operation="web/production", hint="Ask bob."), 1, "failed"),
    ],
)
def test_errors_say_where_what_and_what_next(
    engine: type[_Engine], error: BlueGreenError, code: int, decision: str
) -> None:
    """On stderr for people, on stdout for programs, and in the exit code."""
    engine.ends = error
    result = run("promote", "--json")
    assert result.exit_code == code
    assert result.stderr == f"error: web/production: {error.what}\n  Ask bob.\n"
    assert last_object(result)["decision"] == decision
    assert last_object(result)["message"] == error.what


@pytest.mark.parametrize("code", ["ExpiredTokenException", "UnauthorizedSSOTokenError"])
def test_credentials_that_expire_park_the_release(engine: type[_Engine], code: str) -> None:
    """Nothing has failed: it is interrupted, and what to do about both is said, whoever could not be reached."""
    engine.diary, engine.ends = held(), AwsError("no more", code=code, operation="Query")
    engine.start = lambda self, *args, **kwargs: self.diary.told[0][0]  # type: ignore[method-assign]
    result = run("release", "--json")
    assert (result.exit_code, last_object(result)["decision"]) == (130, "interrupted")
    for said in (result.stderr, last_object(result)["hint"]):
        assert "Renew the AWS credentials" in said
        assert "go on: bluegreen resume web/production" in said
    engine.diary = live()
    assert run("release").exit_code == 1  # nothing is left to go on with


@pytest.mark.parametrize("error", [Interrupted("stopped on request"), LeaseLost("another driver took over")])
def test_an_interruption_names_the_way_on(engine: type[_Engine], error: BlueGreenError) -> None:
    """Exit code 130, and the command that goes on."""
    engine.diary, engine.ends = held(), error
    engine.start = lambda self, *args, **kwargs: self.diary.told[0][0]  # type: ignore[method-assign]
    result = run("release", "--json")
    assert result.exit_code == 130
    assert "bluegreen resume web/production" in result.stderr
    assert last_object(result) | {"decision": "interrupted", "release": ID} == last_object(result)


def test_a_wrong_configuration_exits_with_2(engine: type[_Engine]) -> None:
    """Every problem with its line."""
    Path("bluegreen.yml").write_text(CONFIG + "sok: 5m\n")
    result = run("release")
    assert result.exit_code == 2
    assert "sok" in result.stderr


def test_what_nobody_foresaw_is_one_line(engine: type[_Engine], monkeypatch: pytest.MonkeyPatch) -> None:
    """The traceback is for those who ask for it."""
    engine.ends = ZeroDivisionError("division\nby zero")
    result = run("promote")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ZeroDivisionError: division by zero\n")
    assert "BLUEGREEN_DEBUG=1" in result.stderr
    monkeypatch.setenv("BLUEGREEN_DEBUG", "1")
    assert isinstance(CliRunner().invoke(cli, ["promote"]).exception, ZeroDivisionError)


def test_control_c_before_anything_began_is_an_interruption(engine: type[_Engine]) -> None:
    """Nothing was begun, so there is nothing to resume."""
    engine.ends = KeyboardInterrupt()  # type: ignore[assignment]
    assert run("promote").exit_code == 130


# --- signals -----------------------------------------------------------------------------------------------

WAITING = """
import time
from bluegreen import entry_points
from bluegreen.cli import output
from bluegreen.errors import Interrupted
lines = output.Lines()
with entry_points.stopping(lines.note) as stop:
    print("ready", flush=True)
    while not stop():
        time.sleep(0.05)
    time.sleep({longer})
    print("safe", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_at_the_next_safe_point(number: signal.Signals) -> None:
    """And a second one does not make it less safe."""
    code = WAITING.format(longer=1)
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.stderr.readline() == "stopping at the next safe point; bluegreen begins nothing new\n"
        process.send_signal(number)
        assert "resume" in process.stderr.readline()
        assert process.stdout.readline() == "safe\n"
    assert process.returncode == 0


# --- looking -----------------------------------------------------------------------------------------------


def test_status_shows_what_is_under_way(engine: type[_Engine]) -> None:
    """One row a service, and what can be done."""
    assert "No service has been released yet." in run("status").stdout
    freeze = Freeze("bob", "holidays", time.time() - 3700, time.time() + 3600)
    engine.statuses = [status_of(held(), freeze=freeze)]
    heads, row, frozen, where, step = run("status").stdout.splitlines()
    assert heads.split() == ["service", "state", "release", "since", "serving", "driver"]
    assert row.split()[:4] == ["web/production", "holding,", "frozen", ID]
    assert row.endswith("nobody")
    assert frozen.endswith("by bob 1 hour ago: holidays")
    assert where.startswith(f"{ID} is holding")
    assert "bluegreen promote web/production" in step


def test_the_status_of_what_was_never_released(engine: type[_Engine]) -> None:
    """A name that is mistyped is no empty table."""
    result = run("status", "wbe/production")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "wbe/production: has no releases" in result.stderr


def test_status_and_history_as_json(engine: type[_Engine]) -> None:
    """One object each."""
    engine.statuses = [status_of(live(), driver="host:1")]
    service = last_object(run("status", "web", "--json"))["services"][0]
    assert service["live"]["group"] == "web-asg"
    assert service["release"]["decision"] == "live"
    assert last_object(run("history", "--json"))["releases"][0]["number"] == 42


def test_history_shows_the_releases(engine: type[_Engine]) -> None:
    """The newest first, with ages in words."""
    _, row = run("history", "--limit", "3").stdout.splitlines()
    assert engine.asked == [("history", "web/production", 3)]
    assert row.split() == ["#42", "under", "way", "2", "hours", "ago", "2h", "9f8e7d6c", "ami-0abc", "Admin/alice"]


def test_on_a_terminal_tables_are_ruled(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Elsewhere they are columns that a script can cut."""
    monkeypatch.setattr(output, "can_show_pictures", lambda: True)
    listing.print_status([status_of(held())], as_json=False)
    assert "───" in capsys.readouterr().out


@pytest.mark.parametrize(("until", "seconds"), [("4h", 14400), ("", None), ("forever", None)])
def test_freeze_until_a_time(engine: type[_Engine], until: str, seconds: float | None) -> None:
    """From now, or without an end."""
    assert run("freeze", "--reason", "holidays", "--until", until).exit_code == 0
    _, service, why, ends = engine.asked[0]
    assert (service, why) == ("web/production", "holidays")
    assert ends is None if seconds is None else ends == pytest.approx(time.time() + seconds, abs=5)


@pytest.mark.parametrize("until", ["soon", "yesterday", "1999-01-01"])
def test_freeze_refuses_what_is_no_time_to_come(engine: type[_Engine], until: str) -> None:
    """Wrong usage."""
    assert run("freeze", "--until", until).exit_code == 2
    assert not engine.asked


@pytest.mark.parametrize(("command", "where"), [("release", ("", "", False)), ("promote", ())])
def test_an_override_has_its_reason(engine: type[_Engine], command: str, where: tuple[object, ...]) -> None:
    """It is handed on as it is; an empty one, or none, is wrong usage, and nothing is ordered."""
    run(command, "--override", "the shop is down")
    assert engine.asked[0][2:] == (*where, "the shop is down")
    engine.asked.clear()
    run(command)
    assert engine.asked[0][2:] == where
    engine.asked.clear()
    for wrong in (["--override", ""], ["--override", "  "], ["--override"]):
        result = run(command, *wrong)
        assert result.exit_code == 2
        assert "--override" in result.stderr
    assert not engine.asked


@pytest.mark.parametrize("reason", [Reason.FROZEN, Reason.BAD_COMMIT])
def test_what_may_be_overridden_exits_as_refused(engine: type[_Engine], reason: Reason) -> None:
    """With the way on."""
    engine.ends = Refused("no", reason=reason, where=ID, hint="`--override REASON` goes on anyway.")
    result = run("release", "--json")
    assert result.exit_code == 4
    assert [last_object(result)[key] for key in ("decision", "reason")] == ["refused", reason]
    assert "--override REASON" in last_object(result)["hint"]


def test_status_shows_windows_of_the_configuration(engine: type[_Engine]) -> None:
    """Beside a freeze by order; of the windows the end is told in their zone."""
    always = {"cron": "* * * * *", "for": "2m", "why": "always"}
    began = datetime.now(ZoneInfo("Asia/Seoul")) - timedelta(hours=1)
    today = {"cron": f"{began.minute} {began.hour} * * *", "for": "4h", "zone": "Asia/Seoul", "why": "today"}
    ends = f"{began + timedelta(hours=4):%Y-%m-%d %H:%M} Asia/Seoul"
    for window, words in ((today, f"until {ends}, by bluegreen.yml: today"), (always, "by bluegreen.yml: always")):
        engine.statuses = [status_of(Diary(hold=True, freeze=[window]).serves_both().enters(Phase.HOLDING))]
        _, row, frozen, *_ = run("status").stdout.splitlines()
        assert row.split()[:3] == ["web/production", "holding,", "frozen"]
        assert frozen == f"web/production is frozen {words}"
        (told,) = last_object(run("status", "--json"))["services"]
        assert told["freeze"] is None
        assert [one["why"] for one in told["frozen"]] == [window["why"]]
    engine.statuses = [status_of(held(), freeze=Freeze("bob", "", time.time() - 60, time.time() - 1))]
    assert "frozen" not in run("status").stdout


@pytest.mark.parametrize(("zone", "shown"), [("UTC", "2026-01-01 00:00 UTC"), ("Asia/Seoul", "2026-01-01 09:00 KST")])
def test_a_moment_has_its_zone(monkeypatch: pytest.MonkeyPatch, zone: str, shown: str) -> None:
    """Whoever reads a log of another machine, or a message that was handed on, knows when it was."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        at = datetime(2026, 1, 1, tzinfo=ZoneInfo("UTC")).timestamp()
        assert output.date(at) == shown
        assert output.clock(at) == f"{shown[11:16]}:00 {shown[17:]}"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_freeze_and_unfreeze_say_what_they_did(engine: type[_Engine]) -> None:
    """To people and to programs; also that a release which began before goes on."""
    assert "web/production is frozen until 2" in run("freeze", "--until", "30d").stdout
    engine.diary = Diary(hold=False)
    goes_on = f"{engine.diary.release.id} began before and goes on: bluegreen hold web/production lets it wait"
    assert run("freeze").stdout == f"web/production is frozen; {goes_on}\n"
    assert run("unfreeze").stdout == "web/production is not frozen\n"
    assert run("unfreeze").stdout == "web/production is not frozen, and was not\n"
    assert last_object(run("unfreeze", "--json"))["frozen"] is False


# --- the plan ----------------------------------------------------------------------------------------------


BEFOREHAND = [
    "warning: web-asg belongs to a stack: the stack will miss it. Set `retire: empty`.",
    "noted: open connections stay",
]


def test_what_was_found_beforehand_is_told_once(engine: type[_Engine]) -> None:
    """A line each below that of the start; with --json it is a fact of the first event."""
    engine.diary = Diary(found=True).serves_both().settles("live")
    lines = run("release", "--ami", "ami-1").stdout.splitlines()
    assert [line.split("  ", 1)[1].strip() for line in lines[1:3]] == BEFOREHAND
    assert sum("belongs to a stack" in line for line in lines) == 1
    first = json.loads(run("release", "--ami", "ami-1", "--json").stdout.splitlines()[0])
    assert [found["key"] for found in first["facts"]["findings"]] == ["kept_elsewhere", "open_connections"]


def test_what_was_found_stays_above_the_picture() -> None:
    """Events that follow do not push it away."""
    console = Console(file=io.StringIO(), force_terminal=True, width=120, height=30)
    with picture.Picture(console) as shown:
        for told in Diary(found=True).serves_both().told:
            shown.tell(*told)
    text = console.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO
    assert all(text.count(line) == 1 for line in BEFOREHAND)


WORKER = Finding(FindingKey.OTHER_TARGETS, "a worker follows", "it would launch", Verdict.REFUSED, "Pin it.")


def planned() -> bluegreen.Plan:
    """A short plan."""
    steps = (
        Step(Phase.LAUNCHING, act=Act(Verb.PIN_BLUE, blue=BlueBefore.from_facts(BEFORE))),
        Step(Phase.LAUNCHING, act=Act(Verb.CREATE_GREEN)),
        Step(Phase.LAUNCHING, awaited=Awaited.GREEN_UP),
        Step(Phase.SWITCHING, act=Act(Verb.TAKE_BLUE_OUT)),
    )
    undo = (Step(Phase.ROLLING_BACK, act=Act(Verb.DELETE_GREEN)),)
    template = Template("lt-0123456789abcdef0", 7, 7)
    blue, delays = Group("web-production-v41", 4, 2, 8), Delays(7200, 300, ("drain-jobs", "flush"))
    baseline = Baseline(blue, (ARN,), template, "7", (), delays, findings=(*FOUND, WORKER))
    rollback = ((Phase.LAUNCHING, undo), (Phase.CHECKING, undo))
    return bluegreen.Plan(Diary().release, baseline, steps, rollback, Extra({"m5.large": 4}, 1200.0))


def test_a_plan_names_everything_and_changes_nothing(engine: type[_Engine]) -> None:
    """Every step with its real names; phases with the same rollback are told together."""
    engine.plan = lambda self, config, *, commit, ami: planned()  # type: ignore[attr-defined]
    text = run("plan").stdout
    assert "create web-production-v42 with 4 instances" in text
    assert "wait for green's instances to come in service" in text
    assert "take web-production-v41 out of target group web\n" in text
    assert f"target group web: {ARN}" in text
    assert "  launching, checking\n    delete web-production-v42\n" in text
    assert "  refused: a worker follows: it would launch. Pin it.\n  warning: web-asg belongs to a stack: " in text
    assert "  noted: open connections stay\n" in text
    assert "may take 3h 5m to leave, at most: 2h in drain-jobs and flush, 5m until its requests have ended, 1h" in text
    found = last_object(run("plan", "--json"))
    assert found["decision"] == "planned"
    assert [one["verdict"] for one in found["findings"]] == ["warned", "noted", "refused"]
    assert [step["phase"] for step in found["steps"]] == ["launching"] * 3 + ["switching"]
    assert found["rollback"]["checking"][0]["act"] == "delete_green"


# --- demo --------------------------------------------------------------------------------------------------


def test_demo_runs_the_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    """With whatever arguments it takes; its exit code is ours."""
    given: list[str] = []

    def demo(argv: list[str]) -> int:
        given.extend(argv)
        return 3

    monkeypatch.setitem(sys.modules, "lab.demo", SimpleNamespace(main=demo))
    assert run("demo", "--fast", "--help").exit_code == 3
    assert given == ["--fast", "--help"]


def test_demo_without_the_lab_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong usage rather than a traceback."""
    monkeypatch.setitem(sys.modules, "lab.demo", None)
    result = run("demo")
    assert result.exit_code == 2
    assert "pip install 'bluegreen[lab]'" in result.stderr


# --- the picture -------------------------------------------------------------------------------------------


def drawn(diary: Diary, *, width: int = 80, height: int = 24, **more: Any) -> str:
    """The picture as text, with the last thing told."""
    events = tuple((event.at, event.kind, f"event {event.seq}") for _, event, _, _ in diary.told if event)
    _, _, awaited, deadline = diary.told[-1]
    situation = picture.View(diary.release, events, awaited, deadline, **more)
    console = Console(file=io.StringIO(), width=width, height=height, legacy_windows=False)
    console.print(picture.draw(situation, diary.now, width, height))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def rows(text: str) -> list[str]:
    """Its lines, without the empty ones."""
    return [line.strip() for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize("height", [16, 24])
def test_the_picture_fits_the_terminal(width: int, height: int) -> None:
    """Twelve checks, long values and wide terminals do not break it."""
    diary = held().waits(Awaited.PROMOTION, 3600)
    for n in range(12):
        diary.checks(f"check-{n}", passed=n != 7, value="a very long answer " * 9)
    text = drawn(diary.waits(Awaited.PROMOTION, 3600), width=width, height=height)
    assert all(len(line) <= width for line in text.splitlines())
    assert len(text.splitlines()) <= max(height, 22)
    assert "and 6 more" in text
    assert "check-7" in text


def test_the_picture_shows_groups_checks_and_what_is_awaited() -> None:
    """Healthy of all, the share, the last values, and for how long yet."""
    diary = Diary(checks=[{"name": "home", "http": "https://web.example.com/"}]).serves_both()
    diary.sees("green", 3, 3, 43).checks("home", passed=True, streak=2, value="200 in 12 ms")
    found = rows(drawn(diary.waits(Awaited.OVERLAP, 192)))
    assert any(row.startswith("blue") and row.endswith("4/4  50 % of traffic") for row in found)
    assert any(row.startswith("green") and row.endswith("3/4  43 % of traffic") for row in found)
    assert "· home  200 in 12 ms  2 of 3" in found
    diary.checks("home", passed=False, value="503", changes=40, over=600)
    assert "✗ home  changed 40 times in 10m: 503  failed" in rows(drawn(diary.waits(Awaited.OVERLAP, 192)))
    assert any(row.startswith("waiting for the overlap") and row.endswith("3m 12s to go") for row in found)
    assert "go back: bluegreen rollback web/production" in found


def test_the_picture_shows_how_groups_and_traffic_moved() -> None:
    """A line each over the whole time: healthy targets of both, and green's share; grey before anything was seen."""
    samples = [
        picture.Sample(1000.0, 1.0, None, None),
        picture.Sample(1012.0, 1.0, 0.5, 0.0),
        picture.Sample(1018.0, 0.75, 1.0, 0.5),
    ]
    diary = Diary().serves_both()
    diary.now = 1024.0
    found = rows(drawn(diary.waits(Awaited.OVERLAP, 192), history=samples))
    (blue,) = (row for row in found if row.startswith("blue"))
    (green,) = (row for row in found if row.startswith("green"))
    (traffic,) = (row for row in found if row.startswith("traffic"))
    assert "█" * 17 + "▆" * 7 in blue
    assert "─" * 11 + "▅" * 6 + "█" * 7 in green
    assert traffic.endswith("─" * 11 + "▁" * 6 + "▅" * 7)


def test_the_picture_remembers_changes_alone() -> None:
    """So a release that is held for days takes no more room than what happened in it."""
    one = picture.Sample(1.0, 1.0, 0.0, 0.0)
    history = picture.also((), one)
    assert picture.also(history, replace(one, at=2.0)) == history
    assert len(picture.also(history, replace(one, at=2.0, green=0.5))) == 2


def test_holding_is_only_drawn_when_somebody_holds() -> None:
    """A phase that is not entered is not promised."""
    assert "holding" in drawn(held())
    assert "holding" not in drawn(Diary().serves_both())


def test_a_rollback_takes_the_place_of_what_was_to_come() -> None:
    """The bar ends with it."""
    text = drawn(rolled_back())
    assert "overlapping rolling back" in text
    assert "soaking" not in text.splitlines()[3]


def test_a_group_that_was_deleted_is_shown_as_removed() -> None:
    """Rather than as one of zero instances."""
    assert "removed" in drawn(live().does(Verb.DELETE_BLUE))


def test_a_remark_takes_the_place_of_the_next_step() -> None:
    """As after a signal."""
    text = drawn(held(), note="stopping at the next safe point")
    assert "stopping at the next safe point" in text
    assert "bluegreen promote" not in text


def test_a_live_picture_leaves_the_last_state_on_the_screen() -> None:
    """What is awaited is over then; the words below it say the rest."""
    file = io.StringIO()
    with picture.Picture(Console(file=file, force_terminal=True, width=80, height=24)) as shown:
        for told in live().told:
            shown.tell(*told)
        shown.note("careful")
        eventually(lambda: "careful" in file.getvalue())
    assert shown.release is not None
    assert shown.release.outcome is Outcome.LIVE
    assert "careful" in file.getvalue()
    assert "careful" not in file.getvalue().rsplit("retiring", 1)[1]


@pytest.mark.parametrize(
    ("terminal", "environment", "expected"),
    [
        (True, {"TERM": "xterm"}, picture.Picture),
        (True, {"TERM": "dumb"}, output.Lines),
        (False, {"TERM": "xterm"}, output.Lines),
    ],
)
def test_the_picture_is_for_terminals_that_can_show_it(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, environment: dict[str, str], expected: type
) -> None:
    """Elsewhere there are lines."""
    stdout = SimpleNamespace(isatty=lambda: terminal, encoding="utf-8", write=lambda text: 0, flush=lambda: None)
    monkeypatch.setattr(sys, "stdout", stdout)
    monkeypatch.setitem(os.environ, "TERM", environment["TERM"])
    assert type(output.screen_for(as_json=False)) is expected
    assert type(output.screen_for(as_json=True)) is output.Objects


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Marks and words alone tell everything (no-color.org)."""
    monkeypatch.setenv("NO_COLOR", "1")
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=80, height=24)
    console.print(picture.draw(picture.View(held().release), 1100.0))
    assert "\x1b[3" not in file.getvalue()
    assert "\x1b[9" not in file.getvalue()


# --- a whole release, in the lab ---------------------------------------------------------------------------


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    """A service on a fake AWS whose hours take no time, in a folder with its bluegreen.yml."""
    fake = FakeAws()
    world = World.standard(fake, instances=2)
    real = bluegreen.Engine

    def engine(**where: Any) -> bluegreen.Engine:
        return real(**where, session=fake.session(), clock=fake.clock)

    monkeypatch.setattr(bluegreen.engine, "Engine", engine)
    monkeypatch.chdir(tmp_path)
    Path("bluegreen.yml").write_text(json.dumps(world.config()))
    Path("held.yml").write_text(json.dumps(world.config(promotion={"by": "person"})))
    return world


@pytest.mark.slow
def test_release_hold_promote_and_return(lab: World) -> None:
    """The whole way through the real API: release, hold, refuse another, promote, and release the first again."""
    first = run("release", "--commit", "a" * 40, "--json")
    assert (first.exit_code, last_object(first)["decision"]) == (0, "live")
    second = run("release", "--config", "held.yml", "--commit", "b" * 40, "--json")
    assert (second.exit_code, last_object(second)["decision"]) == (0, "held")
    assert run("release", "--commit", "c" * 40).exit_code == 4
    assert "bluegreen promote web/production" in run("status").stdout
    promoted = run("promote", "--json")
    assert (promoted.exit_code, last_object(promoted)["release"]) == (0, "web/production#2")
    assert run("rollback").exit_code == 4
    again = run("rollback", "--to", "1", "--json")
    assert (again.exit_code, last_object(again)["image-id"]) == (0, last_object(first)["image-id"])
    assert len(run("history").stdout.splitlines()) == 4


@pytest.mark.slow
def test_plan_and_rollback(lab: World) -> None:
    """A plan changes nothing; a rollback gives blue everything back."""
    assert run("plan", "--commit", "a" * 40).exit_code == 0
    assert "No service has been released yet." in run("status").stdout
    assert run("release", "--commit", "a" * 40, "--until", "held").exit_code == 0
    result = run("rollback", "--reason", "slow")
    assert (result.exit_code, "was rolled back" in result.stdout) == (0, True)


# --- exit codes --------------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="NOT TESTED: only Linux has a device that is full")
def test_no_space_for_the_output() -> None:
    """It is no mistake of bluegreen's."""
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "bluegreen", "schema"]
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert (ended.returncode, b"the output: there is no space left" in ended.stderr) == (1, True)


def test_every_outcome_and_error_has_its_exit_code() -> None:
    """They are fixed: scripts and workflows depend on them."""
    ends = {"live": 0, "failed": 1, "rolled_back": 3}
    assert {o: entry_points.exit_code(Diary().settles(o).release) for o in Outcome} == ends
    errors = (ConfigError("x"), Refused("x", reason=Reason.FROZEN), Interrupted("x"), BlueGreenError("x"))
    assert [entry_points.error_code(error) for error in errors] == [2, 4, 130, 1]
    assert [entry_points.error_code(error, held().release) for error in errors] == [2, 4, 130, 1]
    assert EventKind.SETTLED in {told[1].kind for told in live().told if told[1]}
