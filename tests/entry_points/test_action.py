"""The Action without its container: inputs, what the runner is told, credentials, and whole steps as processes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from bluegreen import Caller, Engine
from bluegreen.action import OUTPUTS, ActionStep, credentials, inputs, summary
from bluegreen.action.inputs import INPUTS, Inputs
from bluegreen.action.reporter import EARLIER, Reporter
from bluegreen.action.request import Request
from bluegreen.action.workflow import ANNOTATIONS, SUMMARY, Workflow
from bluegreen.engine import Kept, ServiceStatus
from bluegreen.errors import AwsError, ConfigError, Untold
from bluegreen.events import Event, EventKind, Outcome, Phase
from bluegreen.github import NO_PULL, Pull
from bluegreen.journal import Journal, KeptGreen, ServiceRecord
from bluegreen.release import fold
from lab.aws import FakeAws
from lab.clock import RealClock
from lab.github import FakeGitHub
from tests.worlds.events import FOUND
from tests.worlds.files import ROOT
from tests.worlds.forked import Forked
from tests.worlds.github_description import description
from tests.worlds.processes import PATIENCE, Place, place
from tests.worlds.release import Stage

COMMIT = "c0ffee01" * 5
SECRET = "hunter2-hunter2"


# --- inputs ------------------------------------------------------------------------------------------------


def read(**given: str) -> Inputs:
    """Inputs as the runner hands them over; `aws_region` is `aws-region`."""
    return inputs.read({f"INPUT_{name.upper().replace('_', '-')}": value for name, value in given.items()})


def test_what_is_not_given_is_its_default() -> None:
    """An empty input is one that is not given; a default that GitHub fills in is empty without GitHub."""
    found = read(command="", commit="  ")
    assert (found.command, found.config, found.on_cancel, found.github_token) == (
        "release",
        "bluegreen.yml",
        "park",
        "",
    )
    assert not found.only_plans


WRONG = [
    ({"command": "relase"}, "`command` must be one of release"),
    ({"commit": "main"}, "`commit` must be a commit"),
    ({"ami": "image-1"}, "`ami` has the wrong form"),
    ({"until": "done"}, "`until` must be one of held"),
    ({"to": "zero", "command": "rollback"}, "`to` must be the number"),
    ({"aws_region": "seoul"}, "as in ap-northeast-2"),
    ({"role_to_assume": "release"}, "arn:aws:iam::123456789012:role/release"),
    ({"allowed_account_ids": "12"}, "12 digits"),
    ({"dry_run": "perhaps"}, "`dry-run` must be true or false"),
    ({"cure": "perhaps"}, "`cure` must be true or false"),
    ({"cure": "true", "command": "rollback"}, "`cure` is for the command release"),
    ({"on_cancel": "stop"}, "park or rollback"),
    ({"environment_url": "example.com"}, "as in https://"),
    ({"service": "Web App"}, "as in web/production"),
    ({"environment": "Prod!"}, "as in staging"),
    ({"table": "a b"}, "DynamoDB table"),
    ({"github_token": "one two"}, "a token on one line"),
    ({"commit": COMMIT, "command": "promote"}, "`commit` has no meaning with the command promote"),
    ({"to": "3"}, "`to` has no meaning with the command release"),
    ({"override": "down", "command": "rollback"}, "`override` has no meaning with the command rollback"),
    ({"override": "down", "command": "plan"}, "`override` has no meaning with the command plan"),
    ({"override": "x" * 301}, "`override` must be a reason on one line of at most 300 characters"),
    ({"override": "down\nand out"}, "`override` must be a reason on one line"),
    ({"dry_run": "true", "command": "rollback"}, "`dry-run` is for the command release"),
]


@pytest.mark.parametrize(("given", "said"), WRONG, ids=[said for _, said in WRONG])
def test_a_wrong_input_is_named(given: dict[str, str], said: str) -> None:
    """With what it must be, and without its value: that may be a secret in the wrong place."""
    with pytest.raises(ConfigError) as error:
        read(**given)
    assert said in str(error.value)


def test_every_wrong_input_is_told_at_once_and_no_value() -> None:
    """Nobody likes to correct one line a run."""
    with pytest.raises(ConfigError) as error:
        read(commit=SECRET, ami=SECRET, role_to_assume=SECRET)
    assert "3 inputs are wrong" in str(error.value)
    assert SECRET not in str(error.value)


@pytest.mark.parametrize(("name", "meant"), [("INPUT_DRY_RUN", "dry-run"), ("INPUT_COMIT", "commit")])
def test_a_misspelt_input_is_not_silently_without_effect(name: str, meant: str) -> None:
    """Above all `dry_run`."""
    with pytest.raises(ConfigError, match=f"did you mean `{meant}`"):
        inputs.read({name: "true"})
    assert inputs.read({"INPUT_ARGS": "x", "INPUT_SOMETHING-ELSE-ALTOGETHER": "y"}).command == "release"


def test_every_form_accepts_its_example() -> None:
    """An error that shows a wrong example is worse than none."""
    for name, said in INPUTS.items():
        if said.example.startswith("as in "):
            assert re.fullmatch(said.form, said.example.removeprefix("as in ")), name


# --- where a release comes from ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "workflow"),
    [
        ("acme/web/.github/workflows/release.yml@refs/heads/main", "release.yml"),
        ("acme/web/.github/workflows/my release.yaml@refs/tags/v1", "my release.yaml"),
        ("acme/web/.github/workflows/release.yml@refs/heads/feature/a@b", "release.yml"),
        ("acme/web/.github/workflows/release.yml@refs/pull/7/merge", "release.yml"),
        ("", ""),
    ],
)
def test_a_release_knows_the_workflow_that_made_it(variable: str, workflow: str) -> None:
    """By its file's name, as GitHub's API wants it; the branch stands elsewhere."""
    run = {"GITHUB_WORKFLOW_REF": variable, "GITHUB_REPOSITORY": "acme/web", "GITHUB_REF_NAME": "trunk"}
    source = Request(run, read()).source(COMMIT, None, str)
    assert (source["workflow"], source["repository"], source["ref"]) == (workflow, "acme/web", "trunk")


def test_a_run_outside_of_github_has_no_workflow() -> None:
    """Every piece is there, and empty."""
    assert set(Request({}, read()).source(COMMIT, None, str).values()) == {""}


def test_what_a_release_remembers_of_its_run_is_short_plain_and_without_secrets() -> None:
    """A branch may bear any name."""
    run = {"GITHUB_WORKFLOW_REF": f"acme/web/x/{SECRET}.yml@main", "GITHUB_REF_NAME": "a\x1b[31m\nb" + "x" * 500}
    source = Request(run, read()).source("", None, lambda text: text.replace(SECRET, "***"))
    assert source["workflow"] == "***.yml"
    assert source["ref"].startswith("a bxx")
    assert len(source["ref"]) == 300


def wrote(login: str) -> dict[str, Any]:
    """A commit of a push; GitHub knows the login by the address that git has."""
    return {"id": COMMIT, "message": "x", "author": {"name": "Ann", **({"username": login} if login else {})}}


MERGED = {"pull_request": {"merged": True, "merge_commit_sha": COMMIT, "user": {"login": "octocat"}}}
OPENED = Pull(7, "Faster", "octocat", ("octocat",))


@pytest.mark.parametrize(
    ("event", "pull", "login"),
    [
        # --- whoever opened the pull request, whoever merged it or wrote the commit of the merge
        ({"head_commit": wrote("merger"), "sender": {"login": "merger"}}, OPENED, "octocat"),
        ({}, OPENED, "octocat"),
        ({}, Pull(9, "Release", "hubot", ("hubot", "octocat")), "hubot octocat"),
        ({}, Pull(9, "Release", "hubot", ("hubot", "")), ""),
        ({}, Pull(7, "Faster", "", ("",)), ""),
        (MERGED, None, "octocat"),
        ({"pull_request": {**MERGED["pull_request"], "merged": False}}, None, ""),
        ({"pull_request": {**MERGED["pull_request"], "merge_commit_sha": "f" * 40}}, None, ""),
        ({"pull_request": {**MERGED["pull_request"], "user": None}}, None, ""),
        # --- pushed: whoever pushed, and whoever wrote any of it
        ({"head_commit": wrote("octocat"), "sender": {"login": "octocat"}}, NO_PULL, "octocat"),
        ({"head_commit": wrote("octocat"), "sender": {"login": "hubot"}}, NO_PULL, "hubot octocat"),
        (
            {"head_commit": wrote("ann"), "sender": {"login": "ann"}, "commits": [wrote("bob"), wrote("ann")]},
            NO_PULL,
            "ann bob",
        ),
        ({"head_commit": wrote(""), "sender": {"login": "octocat"}}, NO_PULL, ""),
        ({"head_commit": wrote("octocat")}, NO_PULL, ""),
        ({"head_commit": wrote("ann"), "sender": {"login": "ann"}, "commits": [wrote("")]}, NO_PULL, ""),
        ({"head_commit": {**wrote("ann"), "id": "f" * 40}, "sender": {"login": "ann"}}, NO_PULL, ""),
        # --- GitHub was not asked, or did not say: there may be a pull request
        ({"head_commit": wrote("octocat"), "sender": {"login": "octocat"}}, None, ""),
        # --- rather nobody than some of them
        (
            {
                "head_commit": wrote("ann"),
                "sender": {"login": "ann"},
                "commits": [wrote(f"{n:039}") for n in range(8)],
            },
            NO_PULL,
            "",
        ),
        ({"inputs": {}, "sender": {"login": "octocat"}}, NO_PULL, ""),
        ({}, None, ""),
    ],
)
def test_whose_a_commit_is(tmp_path: Path, event: dict[str, Any], pull: Pull | None, login: str) -> None:
    """By logins that GitHub vouches for; the name that a commit bears is shown, and says nothing."""
    (tmp_path / "event.json").write_text(json.dumps(event))
    asked = Request({"GITHUB_EVENT_PATH": str(tmp_path / "event.json")}, read())
    assert asked.source(COMMIT, pull, str)["author_login"] == login


def test_the_published_payload_of_a_push_has_these_keys() -> None:
    """GitHub's own example."""
    path = ROOT / "tests" / "data" / "github" / "events" / "push.json"
    commit = json.loads(path.read_text())["head_commit"]["id"]
    asked = Request({"GITHUB_EVENT_PATH": str(path)}, read())
    assert asked.source(commit, NO_PULL, str)["author_login"] == "Codertocat"


@pytest.mark.parametrize(
    ("environment", "region"),
    [
        ({"AWS_REGION": "eu-west-3", "AWS_DEFAULT_REGION": "eu-north-1"}, "eu-west-3"),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "eu-north-1"}, "eu-north-1"),
        ({}, None),
    ],
)
def test_the_region_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, environment: dict[str, str], region: str | None
) -> None:
    """It counts where neither the input nor the configuration says one."""
    monkeypatch.chdir(tmp_path)
    assert Request(environment, read(command="reconcile")).region() == region
    assert Request(environment, read(command="reconcile", aws_region="eu-west-1")).region() == "eu-west-1"


def test_a_region_that_is_named_has_the_group_and_not_the_journal_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A journal there of a group elsewhere would know of no release that is under way."""
    (tmp_path / "bluegreen.yml").write_text(
        "{service: web, group: web-asg, region: ap-northeast-2, traffic: {target_groups: [web]}, image: {ami: ami-0f}}"
    )
    monkeypatch.chdir(tmp_path)
    assert Request({}, read(command="release", aws_region="eu-west-1")).config().region == "eu-west-1"
    assert Request({}, read(command="release")).config().region == "ap-northeast-2"


# --- who runs it -------------------------------------------------------------------------------------------


def caller(**environment: str) -> Caller:
    """Who orders, in a job with that environment."""
    keys = {"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "lab", "AWS_SECRET_ACCESS_KEY": "lab-secret-key"}
    given = inputs.read({"INPUT_GITHUB-TOKEN": "ghs_right", "INPUT_COMMAND": "reconcile"})
    return ActionStep(Request({**keys, **environment}, given), Workflow({})).caller


def test_whoever_runs_the_workflow_is_in_their_teams() -> None:
    """By the token; of a run that was started again whoever did that."""
    github = FakeGitHub(description(), token="ghs_right")
    try:
        github.joins("acme/web", "octocat")
        by = caller(GITHUB_ACTOR="eve", GITHUB_TRIGGERING_ACTOR="octocat", GITHUB_API_URL=github.url)
        assert by.who == "github:octocat"
        assert by.member("acme/web")
        assert not by.member("acme/leads")
        github.leaves("acme/web", "octocat")
        assert not by.member("acme/web")
        github.fail("/teams/", 403)
        with pytest.raises(Untold, match="the token may not read who is in acme/web"):
            by.member("acme/web")
        assert github.violations == []
    finally:
        github.close()


# --- what the runner is told ------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """The environment with the runner's files."""
    return {f"GITHUB_{name}": str(tmp_path / name) for name in ("OUTPUT", "STATE", "STEP_SUMMARY")}


def told(files: dict[str, str], name: str) -> str:
    """What stands in one of them."""
    path = Path(files[f"GITHUB_{name}"])
    return path.read_text() if path.exists() else ""


def test_no_line_of_the_log_is_a_command(files: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """Neither at its start, nor inside (the runner's first syntax), nor after a line end."""
    Workflow(files).say(
        "::set-output name=a::b\nfine\n  ::error::x ##[add-path]/evil\n\u00a0::stop-commands::x\n\x1b[2Jred"
    )
    lines = capsys.readouterr().out.splitlines()
    assert all(not line.lstrip().startswith("::") for line in lines)
    assert "\\x1b[2Jred" in lines
    assert lines[0] == ": :set-output name=a::b"
    assert "##[" not in "".join(lines)


def test_annotations_are_escaped_counted_and_cut(files: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """Line ends cannot end the command; the eleventh is a line of the log."""
    workflow = Workflow(files)
    workflow.annotate("error", "a:b,c", "100 %\nnext" + "x" * 5000)
    for n in range(ANNOTATIONS):
        workflow.annotate("error", "more", str(n))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("::error title=a%3Ab%2Cc::100 %25%0Anext")
    assert len(lines[0].partition("c::")[2].replace("%25", "%").replace("%0A", "\n")) == 4096
    assert sum(line.startswith("::error") for line in lines) == ANNOTATIONS
    assert lines[-1] == f"error: more: {ANNOTATIONS - 1}"


def test_a_value_cannot_end_its_own_output(files: dict[str, str]) -> None:
    """The delimiter is another each time."""
    workflow = Workflow(files)
    workflow.output({"a": "x\nghadelimiter_1\nb=evil", "c": ""})
    lines = told(files, "OUTPUT").splitlines()
    delimiter = lines[0].removeprefix("a<<")
    assert lines.index(delimiter) == 4
    assert lines[5].startswith("c<<")
    assert lines[5] != f"c<<{delimiter}"


def test_a_summary_is_cut_before_the_runner_drops_it(files: dict[str, str]) -> None:
    """Over 1024 KiB nothing of it would be kept."""
    Workflow(files).summary("ü" * SUMMARY)
    assert SUMMARY - 10 < len(told(files, "STEP_SUMMARY").encode()) < 1024 * 1024
    assert "(cut: the log has the rest)" in told(files, "STEP_SUMMARY")


def test_secrets_are_hidden_everywhere(files: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """Those of the environment by their names, those that come up later, and what looks like one."""
    workflow = Workflow({**files, "DEPLOY_TOKEN": SECRET})
    workflow.add_secret("oidc-oidc-oidc")
    key = "AKIA" + "Q" * 16
    text = f"{SECRET} oidc-oidc-oidc {key}"
    workflow.say(text)
    workflow.annotate("notice", text, text)
    workflow.output({"a": text})
    workflow.state({"a": text})
    workflow.summary(text)
    out = capsys.readouterr().out.splitlines()
    shown = [line for line in out if not line.startswith("::add-mask::")]
    everything = "\n".join([*shown, *(told(files, name) for name in ("OUTPUT", "STATE", "STEP_SUMMARY"))])
    assert "***" in everything
    assert not any(secret in everything for secret in (SECRET, "oidc-oidc-oidc", key))
    assert out[0] == f"::add-mask::{SECRET}"


def test_files_that_cannot_be_written_are_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    """A release does not fail because of a page."""
    workflow = Workflow({"GITHUB_STEP_SUMMARY": "/nowhere/at/all"})
    workflow.summary("a")
    workflow.summary("b")
    assert capsys.readouterr().out.count("cannot be written") == 1


# --- the page ----------------------------------------------------------------------------------------------


def events(stage: Stage) -> list[Event]:
    """Three events of a release that waits for a person."""
    facts = {"config": stage.config.to_dict(), "number": 42, "who": "github:octocat", "commit": COMMIT, "image": ""}
    facts |= {"service": "web/production", "hold": True, "blue_group": "web-asg", "green_group": "web-production-v42"}
    facts |= {"image_name": "web-production-v42-c0ffee01", "target_groups": [], "builder": "i-1"}
    facts |= {"source": {"title": "fix @team | <b>x</b> ![](x) #7", "author": "octocat", "server": "", "run_url": ""}}
    first = Event("web/production#42", 1, 0.0, EventKind.STARTED, facts)
    phases = [Phase.LAUNCHING, Phase.OVERLAPPING, Phase.HOLDING]
    later = [Event(first.release, n + 2, 60.0 * n, EventKind.ENTERED, {"phase": p}) for n, p in enumerate(phases)]
    return [first, *later]


def test_the_page_says_how_to_go_on() -> None:
    """Who may promote and how, and the way back."""
    page = summary.page(events(Stage()), problems=["the deployment of web/production#42: 503"])
    assert "Waits for a promotion" in page
    assert "`bluegreen promote web/production`" in page
    assert "`bluegreen rollback web/production`" in page
    assert "What is missing on GitHub" in page
    assert re.search(r"launching :1970-01-01T00:00:00, 60s", page)


def test_nobody_elses_words_are_markup() -> None:
    """No mention pings, no cell breaks, no image loads."""
    page = summary.page(events(Stage()))
    row = next(line for line in page.splitlines() if line.startswith("| change"))
    assert "@team" not in row
    assert "<b>" not in row.replace("\\<b\\>", "")
    assert row.replace("\\|", "").count("|") == 3
    assert "\\!\\[" in row or "!\\[" in row


def test_a_page_of_many_events_stays_small() -> None:
    """A release of days; the newest rows are kept."""
    many = events(Stage())
    for n in range(3000):
        many.append(Event(many[0].release, 5 + n, 200.0 + n, EventKind.INTERRUPTED, {"holder": f"driver-{n}"}))
    page = summary.page(many)
    assert len(page.encode()) < SUMMARY
    assert page.count("\n|") < 300


def test_taking_over_is_work_in_proportion_to_what_happened(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever goes on with a release of days drives it at once: twice the events in log and page, twice the work."""

    def work(count: int) -> int:
        told = [*events(Stage())]
        while len(told) < count:
            told.append(Event(told[0].release, len(told) + 1, 200.0, EventKind.INTERRUPTED, {"holder": "driver"}))
        calls = Counter[str]()
        sys.setprofile(lambda frame, what, arg: calls.update([what]))
        try:
            reporter = Reporter(Workflow({}))
            reporter.from_the_start(told)
            reporter.ended(0)
        finally:
            sys.setprofile(None)
        assert reporter.release == fold(told)
        return calls["call"] + calls["c_call"]

    small, large, larger = work(500), work(1000), work(2000)
    assert larger - large < 2.1 * (large - small)
    assert larger - large < 1000 * 100, "calls of functions, Python's own among them"
    log = capsys.readouterr().out.splitlines()
    assert sum(" earlier events are in the journal" in line for line in log) == 3
    assert sum("the driver was stopped" in line for line in log) == 3 * EARLIER


def test_what_was_found_beforehand_is_on_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    """And in the log; the step that began the release annotates what was warned of, a later one does not."""
    first, later, *_ = events(Stage())
    first = replace(first, facts={**first.facts, "findings": [one.to_facts() for one in FOUND]})
    listed = summary.page([first, later]).split("**Found beforehand**")[1].split("```")[0]
    assert [line[2:9] for line in listed.splitlines() if line] == ["warning", "noted: "]
    for began, annotated in (([first], 1), ([first, later], 0)):
        Reporter(Workflow({})).from_the_start(began)
        log = capsys.readouterr().out
        assert log.count("::warning") == annotated
        said = [line.split(" ", 2)[2] for line in log.splitlines() if "belongs to a stack" in line and line[:2] != "::"]
        assert said == ["warning: web-asg belongs to a stack: the stack will miss it. Set `retire: empty`."]


# --- credentials -------------------------------------------------------------------------------------------


def test_credentials_are_fetched_again_before_they_expire(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a release that is longer than an hour does not die of it."""
    fake, github = FakeAws(RealClock()), FakeGitHub({})
    monkeypatch.setenv("AWS_ENDPOINT_URL", fake.serve())
    hidden: list[str] = []
    try:
        given = read(role_to_assume="arn:aws:iam::123456789012:role/release")
        session = credentials.session(given, fake.region, github.oidc, hidden.append)
        first = session.get_credentials().get_frozen_credentials()
        assert session.get_credentials().get_frozen_credentials() == first
        later = datetime.now(UTC) + timedelta(minutes=50)
        monkeypatch.setattr("botocore.credentials._local_now", lambda: later)
        session.get_credentials()._time_fetcher = lambda: later
        assert session.get_credentials().get_frozen_credentials() != first
        assert hidden == github.tokens
        assert len(github.tokens) == 2
    finally:
        fake.close()
        github.close()


def test_a_job_without_credentials() -> None:
    """Says which permission is missing; none is asked for where no role is named."""
    assert credentials.session(read(), None, {}, print) is None
    given = read(role_to_assume="arn:aws:iam::123456789012:role/release")
    with pytest.raises(ConfigError, match="id-token"):
        credentials.session(given, "eu-west-1", {}, print)
    gone = {"ACTIONS_ID_TOKEN_REQUEST_URL": "http://127.0.0.1:9/x", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "r"}
    session = credentials.session(given, "eu-west-1", gone, print)
    with pytest.raises(AwsError, match="no OIDC token"):
        session.get_credentials().get_frozen_credentials()


# --- whole steps -------------------------------------------------------------------------------------------


class Job:
    """Steps of one job of a workflow, as processes, in a world of their own."""

    def __init__(self, at: Place, folder: Path) -> None:
        self.at, self.folder = at, folder
        self.attempt = "1"

    def environment(self, **given: str) -> dict[str, str]:
        """What the runner sets; `given` are inputs, or variables when they are in capitals."""
        run = {"REPOSITORY": "acme/web", "SERVER_URL": "https://github.com", "RUN_ID": "77", "JOB": "release"}
        run |= {"ACTOR": "octocat", "SHA": COMMIT, "EVENT_NAME": "push", "REF_NAME": "main"}
        run |= {name: str(self.folder / name) for name in ("OUTPUT", "STATE", "STEP_SUMMARY")}
        named = {
            k if k.isupper() or k.startswith("STATE_") else f"INPUT_{k.upper().replace('_', '-')}": v
            for k, v in given.items()
        }
        github = {f"GITHUB_{name}": value for name, value in {**run, "RUN_ATTEMPT": self.attempt}.items()}
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("GITHUB_", "INPUT_", "AWS_"))}
        return {**kept, **self.at.account, **github, "PYTHONPATH": str(ROOT), **named}

    def start(self, *entry: str, **given: str) -> Forked:
        """Begin a step."""
        for name in ("OUTPUT", "STATE", "STEP_SUMMARY"):
            (self.folder / name).unlink(missing_ok=True)
        line = entry or ("bluegreen.action",)
        return Forked(*line, environment=self.environment(**given), folder=self.folder, together=True)

    def step(self, *entry: str, **given: str) -> tuple[int, str]:
        """A whole step: its exit code and its log."""
        process = self.start(*entry, **given)
        log, _ = process.communicate(timeout=PATIENCE)
        return process.wait(), log

    def post(self, **given: str) -> tuple[int, str]:
        """The post step, with the state that the step before has left."""
        state = {f"STATE_{name}": value for name, value in self.file("STATE").items()}
        return self.step("-c", "import sys; from bluegreen.action import post; sys.exit(post())", **{**given, **state})

    def file(self, name: str) -> dict[str, str]:
        """Outputs or state, as the runner reads them."""
        path = self.folder / name
        found = re.finditer(r"(?ms)^([\w-]+)<<(\S+)\n(.*?)\n?^\2$", path.read_text() if path.exists() else "")
        return {one[1]: one[3] for one in found}

    def summary(self) -> str:
        """The page."""
        path = self.folder / "STEP_SUMMARY"
        return path.read_text() if path.exists() else ""


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    """A job, with bluegreen.yml in its workspace."""
    with place(tmp_path / "place") as at:
        yield Job(at, tmp_path / "place")


def checked_out(job: Job) -> dict[str, str]:
    """The workspace is a checkout, and the builder gets its commit from S3; what the runner says of it."""
    path = job.folder / "bluegreen.yml"
    config = yaml.safe_load(path.read_text())
    config["image"]["builder"]["source"] = {"bucket": "web-sources"}
    path.write_text(yaml.safe_dump(config))
    place_: Any = {"LocationConstraint": job.at.aws.region}
    client = job.at.aws.session(recorded=False).client("s3")
    client.create_bucket(Bucket="web-sources", CreateBucketConfiguration=place_)
    who = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    for words in (("init", "-q"), ("add", "bluegreen.yml"), (*who, "commit", "-qm", "one")):
        subprocess.run(["git", *words], cwd=job.folder, check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=job.folder, check=True, capture_output=True, text=True)
    return {"GITHUB_SHA": head.stdout.strip(), "GITHUB_WORKSPACE": str(job.folder)}


def test_a_release_goes_live(job: Job) -> None:
    """Outputs, groups, page and exit code; the post step finds nothing to do. The builder gets the commit from S3."""
    code, log = job.step(**checked_out(job))
    assert code == 0, log
    assert [c.operation for c in job.at.aws.calls if c.service == "s3"] == ["HeadBucket", "PutObject", "DeleteObject"]
    out = job.file("OUTPUT")
    assert tuple(out) == OUTPUTS
    assert (out["decision"], out["release"], out["phase"]) == ("live", "web/production#1", "retiring")
    assert json.loads(out["result"])["schema_version"] == 1
    assert log.count("::group::") == log.count("::endgroup::") > 4
    assert "::notice title=bluegreen%3A web/production#1::" in log
    assert "serves alone" in job.summary()
    assert out["report"] == "bluegreen-report/web-production-1.html"
    assert "web/production#1" in (job.folder / out["report"]).read_text()
    code, log = job.post()
    assert code == 0
    assert "is live" in log
    assert "::warning" not in log


def test_a_report_that_cannot_be_written_fails_no_release(job: Job) -> None:
    """One warning says so, and the output is empty."""
    there = checked_out(job)
    (job.folder / "bluegreen-report").write_text("a file in the way")
    code, log = job.step(**there)
    assert (code, job.file("OUTPUT")["decision"], job.file("OUTPUT")["report"]) == (0, "live", ""), log
    assert "::warning title=report::the report could not be written" in log


def test_a_plan_changes_nothing(job: Job) -> None:
    """And is shown on the page, and on the open pull request that the run is for."""
    github, event = FakeGitHub(description(), token="ghs_right"), job.folder / "event.json"
    event.write_text(json.dumps({"pull_request": {"number": 7, "merged": False}}))
    to = {"GITHUB_API_URL": github.url, "GITHUB_EVENT_PATH": str(event)}
    code, log = job.step(dry_run="true", github_token=github.token, **to)
    github.close()
    assert (code, job.file("OUTPUT")["decision"]) == (0, "planned"), log
    assert "bluegreen changed nothing" in job.summary()
    (comment,) = github.comments.values()
    assert "Plan: web/production" in comment["body"]
    assert "instance-hours" in comment["body"]
    assert not [c for c in job.at.aws.calls if c.mutating]
    assert "No release began" in job.post()[1]


def test_held_promoted_and_a_second_run_refused(job: Job) -> None:
    """Nobody's runner waits for a person; another run is told who is at work."""
    assert job.step(until="held")[0] == 0
    assert job.file("OUTPUT")["decision"] == "held"
    assert "Waits for a promotion" in job.summary()
    code, log = job.step(RUN_ID="78", GITHUB_RUN_ID="78")
    assert (code, job.file("OUTPUT")["reason"]) == (4, "under_way"), log
    assert "github:octocat" in log
    code, log = job.step(command="promote")
    assert (code, job.file("OUTPUT")["decision"]) == (0, "live"), log


def test_rolled_back_by_order(job: Job) -> None:
    """The command succeeds when blue serves alone; its decision says rolled_back, in red."""
    job.step(until="held")
    code, log = job.step(command="rollback", service="web/production")
    assert (code, job.file("OUTPUT")["decision"], job.file("OUTPUT")["reason"]) == (0, "rolled_back", "ordered"), log
    assert "::error" in log
    assert job.at.wrong(live=False) == []
    job.attempt = "2"
    code, log = job.step()
    assert (code, job.file("OUTPUT")["decision"], job.file("OUTPUT")["reason"]) == (4, "refused", "bad_commit"), log
    assert f"commit {COMMIT[:8]} was rolled back in web/production#1" in log


def test_a_secret_that_html_would_escape_is_not_in_the_report(job: Job) -> None:
    """It is masked before it is escaped: behind that nobody would know it again."""
    secret = "correct<horse&battery>"
    job.step(until="held")
    job.at.run("rollback", "--no-wait", "--reason", f"it fails with {secret}")
    code, log = job.step(
        command="resume", service="web/production", GITHUB_WORKSPACE=str(job.folder), DATABASE_PASSWORD=secret
    )
    assert code == 3, log
    shown = (job.folder / job.file("OUTPUT")["report"]).read_text()
    assert "it fails with ***" in shown
    assert "horse" not in shown


def test_a_freeze_is_overridden_by_those_who_may(tmp_path: Path) -> None:
    """With a reason that is recorded without what is secret in it; promoting asks for its own."""
    always = {"cron": "* * * * *", "for": "2m", "why": "always"}
    with place(tmp_path / "place", freeze=[always], github={"overriders": ["octocat"]}) as at:
        job, secret = Job(at, tmp_path / "place"), "ghp_" + "x1Y2" * 9
        code, log = job.step()
        assert (code, job.file("OUTPUT")["decision"], job.file("OUTPUT")["reason"]) == (4, "refused", "frozen"), log
        assert "always" in log
        assert "The input `override: REASON` goes on anyway. Who may (github.overriders): octocat." in log
        code, log = job.step(command="hold")
        assert (code, job.file("OUTPUT")["reason"]) == (4, "nothing_to_do"), log
        assert "A run with `command: status`, `service: web/production` shows earlier releases." in log
        code, log = job.step(override=f"the shop is down, {secret}", until="held")
        assert (code, job.file("OUTPUT")["decision"]) == (0, "held"), log
        assert "despite the freeze: the shop is down" in log
        assert secret not in at.journal()
        code, log = job.step(command="promote", override="it still is")
        assert (code, job.file("OUTPUT")["decision"]) == (0, "live"), log
        assert "despite the freeze: it still is" in log
        engine = Engine(session=at.aws.session())
        engine.freeze("web/production", who="arn:aws:iam::1:user/ann", why="sale")
        code, log = job.step(command="status", service="web/production")
        assert (code, job.file("OUTPUT")["decision"]) == (0, ""), log
        assert "web/production\\#1 is live" in log
        assert "frozen by arn:aws:iam::1:user/ann until it is lifted: sale" in log
        assert job.step(command="unfreeze")[0] == 0
        assert engine.status("web/production")[0].record.freeze is None


def test_who_may_not_release(tmp_path: Path) -> None:
    """Refused before anything is done; the log says which list, who may, and what the token lacks."""
    with place(tmp_path / "place", github={"promoters": ["hubot", "acme/web"]}) as at:
        job, github = Job(at, tmp_path / "place"), FakeGitHub(description(), token="ghs_right")
        try:
            github.fail("/teams/", 403)
            code, log = job.step(github_token="ghs_right", GITHUB_API_URL=github.url)
        finally:
            github.close()
        assert (code, job.file("OUTPUT")["reason"]) == (4, "not_permitted"), log
        assert "you may not release it: github.promoters does not name you, github:octocat" in log
        assert "Who may: hubot, acme/web. The token may not read who is in acme/web. It needs `read:org`" in log
        assert not [c for c in at.aws.calls if c.mutating and c.service != "dynamodb"]


def test_reconcile_drives_what_nobody_drives(job: Job) -> None:
    """For teams without the bot."""
    assert "Every release under way has a driver." in job.step(command="reconcile")[1]
    job.step(until="switched")
    code, log = job.step(command="reconcile")
    assert (code, job.file("OUTPUT")["decision"]) == (0, "live"), log


def test_the_status_names_what_is_kept_for_a_look_inside() -> None:
    """As text, with the command that ends it."""
    kept = KeptGreen(42, "web-production-v42", 3600.0)
    status = ServiceStatus("web/production", ServiceRecord("web/production", kept=(kept,)), None, "")
    page = summary.status([status], [], Kept({}), 0.0)
    assert "kept for inspection until 1970-01-01 01:00 UTC: aws autoscaling delete-auto-scaling-group" in page


def test_wrong_accounts_configurations_and_services(job: Job) -> None:
    """Exit 2, an annotation, nothing done."""
    code, log = job.step(allowed_account_ids="999999999999")
    assert code == 2
    assert "credentials are of account" in log
    code, log = job.step(config="nowhere.yml")
    assert code == 2
    assert "actions/checkout" in log
    code, log = job.step(service="api")
    assert code == 2
    assert "describes web/production" in log
    code, log = job.step(role_to_assume="arn:aws:iam::123456789012:role/release")
    assert code == 2
    assert "the permission `id-token`" in log
    assert job.file("OUTPUT")["decision"] == "failed"
    assert not [c for c in job.at.aws.calls if c.mutating]


def at_the_boot_of_green(process: Forked) -> None:
    """Its log says so."""
    heard: list[str] = []
    for line in process.stdout:
        heard.append(line)
        if "green boots" in line:
            return
    raise AssertionError("".join(heard))


@pytest.mark.parametrize("on_cancel", ["park", "rollback"])
def test_a_cancelled_step_goes_no_further(job: Job, on_cancel: str) -> None:
    """Nothing new after the signal; post frees the lease and says how to go on; running it again goes on."""
    process = job.start(on_cancel=on_cancel)
    at_the_boot_of_green(process)
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=10)[0]  # then the runner kills: its limit, not a measure
    assert process.returncode == 130, rest
    out = job.file("OUTPUT")
    assert out["decision"] == "interrupted"
    code, log = job.post(on_cancel=on_cancel)
    assert code == 0
    assert "::warning title=bluegreen%3A web/production#1 waits for a driver::" in log
    job.attempt = "2"
    code, log = job.step()
    ended = {"park": (0, "live"), "rollback": (3, "rolled_back")}[on_cancel]
    assert (code, job.file("OUTPUT")["decision"]) == ended, log
    assert job.at.wrong(live=on_cancel == "park") == []


def test_credentials_that_expire_cancel_nothing(job: Job) -> None:
    """The step is interrupted and says what to do; nobody cancelled it, so that asks for no rollback."""
    process = job.start(on_cancel="rollback")
    at_the_boot_of_green(process)
    job.at.aws.faults.fail("autoscaling:DescribeAutoScalingGroups", "ExpiredToken", "the token is expired", times=1)
    rest = process.communicate(timeout=PATIENCE)[0]
    assert (process.returncode, job.file("OUTPUT")["decision"]) == (130, "interrupted"), rest
    assert "Renew the AWS credentials" in rest
    assert "go on: a run with `command: resume`, `service: web/production`" in rest
    assert "waits for a driver" in job.post(on_cancel="rollback")[1]
    job.attempt = "2"
    code, log = job.step()
    assert (code, job.file("OUTPUT")["decision"]) == (0, "live"), log


def test_a_step_that_was_killed_is_cleaned_up(job: Job) -> None:
    """Its lease is freed, so the next driver need not wait for it to lapse."""
    process = job.start()
    at_the_boot_of_green(process)
    process.kill()
    process.communicate(timeout=PATIENCE)
    assert "stands in" in job.post()[1]
    assert Journal(job.at.aws.session(recorded=False), "bluegreen").lease("web/production#1") is None
    assert job.at.run("resume")["code"] == 0


def test_no_secret_comes_out(job: Job) -> None:
    """Of inputs, variables and what the builder printed: not in log, page, outputs, state or journal."""
    planted = {
        "DATABASE_PASSWORD": "correct-horse-battery",
        "INPUT_GITHUB-TOKEN": "ghs_" + "a1B2" * 9,
        "ACTIONS_RUNTIME_TOKEN": "eyJhbGciOi.runtime.token",
    }
    key, slack = "AKIA" + "Q7" * 8, "xoxb-1234567890-abcdef"
    printed = "\n".join([*planted.values(), key, slack, "API_KEY=plain-but-secret", "could not install"])
    job.at.machines.fails("git fetch", output=printed)
    code, log = job.step(GITHUB_API_URL="http://127.0.0.1:9", **planted)
    assert (code, job.file("OUTPUT")["reason"]) == (3, "build_failed"), log
    shown = "\n".join(line for line in log.splitlines() if not line.startswith("::add-mask::"))
    files = "".join((job.folder / name).read_text() for name in ("OUTPUT", "STATE", "STEP_SUMMARY"))
    assert "could not install" in shown
    for secret in (*planted.values(), key, slack, "plain-but-secret", "lab-secret-key"):
        assert secret not in shown + files + job.at.journal()


@pytest.mark.parametrize("name", INPUTS)
def test_a_secret_in_the_wrong_input(job: Job, name: str) -> None:
    """Whichever it is: it is not shown, not even in the error."""
    secret = "ghp_" + "x1Y2" * 9
    value = {"environment-url": f"https://user:{secret}@example.com", "config": f"{secret}.yml"}.get(name, secret)
    plain = {} if name in ("command", "dry-run") else {"INPUT_DRY-RUN": "true"}
    _, log = job.step(**{**plain, f"INPUT_{name.upper()}": value})
    shown = "\n".join(line for line in log.splitlines() if not line.startswith("::add-mask::"))
    files = "".join((job.folder / file).read_text() for file in ("OUTPUT", "STEP_SUMMARY"))
    assert shown
    assert secret not in shown + files


def test_the_outcome_decides_the_colour() -> None:
    """Only what is live, or waits as it was asked to, is green."""
    assert {outcome: summary._MARKS[outcome] for outcome in Outcome}[Outcome.ROLLED_BACK] != "✅"
