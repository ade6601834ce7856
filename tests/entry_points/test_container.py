"""The Action in its container, run as the runner runs it, against the lab and a fake GitHub."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from bluegreen.action import OUTPUTS
from bluegreen.masking import HIDDEN
from lab.github import FakeGitHub
from tests.worlds.chat import chat
from tests.worlds.files import ROOT
from tests.worlds.github_description import description
from tests.worlds.processes import Place, place
from tests.worlds.runner import Ended, Runner, docker, image

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("container")]
EVENTS = ROOT / "tests" / "data" / "github" / "events"
COMMIT = "c0ffee01" * 5
#: Of all cancelled releases so many go on at the same time.
AT_ONCE = 5


@contextmanager
def job(folder: Path, event: str = "push") -> Iterator[tuple[Runner, Place, FakeGitHub]]:
    """A job with a checked out repository, AWS credentials, and GitHub."""
    github = FakeGitHub(description(), token="ghs_" + "0a1B" * 9)
    payload = json.loads((EVENTS / f"{event}.json").read_text())
    commit = payload.get("after", COMMIT)  # what GITHUB_SHA is for a push
    github.merged(commit, 7, "Faster pages")
    try:
        with place(folder / "place") as at:
            runner = Runner(folder / "runner", dict(at.account))
            runner.github |= {"API_URL": github.url, "EVENT_NAME": event, "SHA": commit}
            shutil.copy(at.file, runner.workspace / "bluegreen.yml")
            shutil.copy(EVENTS / f"{event}.json", runner.folder / "workflow" / "event.json")
            yield runner, at, github
    finally:
        github.close()
    assert github.violations == []


def files(folder: Path) -> list[str]:
    """Everything in it."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# --- the image ---------------------------------------------------------------------------------------------


def inside(target: str, *words: str) -> str:
    """What a command in the image says."""
    done = docker("run", "--rm", "--entrypoint", words[0], image(target), *words[1:])
    return (done.stdout + done.stderr).strip()


def test_who_runs_in_it() -> None:
    """GitHub asks for root in an action; the bot has no need of it."""
    assert inside("action", "id", "-u") == "0"
    assert inside("bot", "id", "-u") == "10001"
    settings = json.loads(docker("image", "inspect", image()).stdout)[0]["Config"]
    assert settings["Entrypoint"] == ["/opt/bluegreen/bin/python", "-I", "-u", "-m", "bluegreen.action"]
    assert not settings.get("WorkingDir")


def test_what_is_in_it() -> None:
    """Each image holds what it needs, and nothing to build or fetch with."""
    python = "/opt/bluegreen/bin/python"
    have = "import importlib.util as u; print([n for n in ({}) if u.find_spec(n)])"
    names = "'bluegreen','github','slack_bolt','moto','lab','tests','pip','pytest'"
    assert inside("action", python, "-I", "-c", have.format(names)) == "['bluegreen', 'github']"
    assert inside("bot", python, "-I", "-c", have.format(f"{names},'bot','prometheus_client'")) == (
        "['bluegreen', 'github', 'slack_bolt', 'bot', 'prometheus_client']"
    )
    assert inside("action", "sh", "-c", "command -v git gcc docker || echo none") == "none"


def test_the_bot_in_its_container(tmp_path: Path) -> None:
    """It says what it lacks; with everything it is healthy, shows a release, and ends when it is told to."""
    bare = docker("run", "--rm", image("bot"))
    assert bare.returncode == 2
    assert "SLACK_BOT_TOKEN is not set" in bare.stdout + bare.stderr
    with chat(tmp_path / "at") as c:
        given = {**c.at.account, **c.slack.environment, "PORT": "0"}
        variables = [word for name, value in given.items() for word in ("-e", f"{name}={value}")]
        started = docker("run", "-d", "--network", "host", "--read-only", *variables, image("bot"))
        name = started.stdout.strip()
        try:
            c.eventually(lambda: c.slack.connected() == 1)
            assert c.at.run("release", "--commit", "c0ffee01")["decision"] == "live"
            c.shows("is live")
            assert docker("stop", "-t", "20", name).returncode == 0
            assert docker("inspect", "-f", "{{.State.ExitCode}}", name).stdout.strip() == "0"
        finally:
            docker("rm", "-f", name)


def test_the_users_repository_cannot_get_in(tmp_path: Path) -> None:
    """The working folder is theirs, and so are PATH, PYTHONPATH and HOME of the job."""
    runner = Runner(tmp_path, {"PYTHONPATH": "/github/workspace", "PYTHONHOME": "/nowhere", "LD_LIBRARY_PATH": "/x"})
    for name in ("github", "yaml", "boto3", "bluegreen", "click"):
        (runner.workspace / f"{name}.py").write_text("raise SystemExit('the wrong module')")
    before = files(runner.workspace)
    ended = runner.run(command="nonsense")
    assert ended.code == 2, ended.raw
    assert "`command` must be one of" in ended.said("error")[0]
    assert "docs/action.md" in ended.raw
    assert ended.outputs["decision"] == "failed"
    assert files(runner.workspace) == before


# --- whole releases ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", ["push", "workflow_dispatch"])
def test_a_whole_release(tmp_path: Path, event: str) -> None:
    """Outputs, page, annotations, deployment and comment of a release that goes live; then the clean-up."""
    with job(tmp_path, event) as (runner, at, github):
        before = files(runner.workspace)
        given = {} if event == "push" else {"service": "web", "commit": COMMIT[:10]}
        ended = runner.run(environment_url="https://web.example.com", **given)
        assert ended.code == 0, ended.raw
        assert tuple(ended.outputs) == OUTPUTS
        assert (ended.outputs["decision"], ended.outputs["release"]) == ("live", "web/production#1")
        assert json.loads(ended.outputs["result"])["green-group"] == ended.outputs["green-group"]
        assert ended.groups[:3] == ["baking", "launching", "checking"]
        assert len(ended.said("notice")) == 1
        assert "serves alone" in ended.said("notice")[0]
        assert ended.said("error") == ended.said("warning") == []
        assert "```mermaid" in ended.summary
        assert at.wrong(live=True) == []
        (deployment,) = github.deployments.values()
        assert deployment.state == "success"
        assert deployment.statuses[-1]["environment_url"] == "https://web.example.com"
        if event == "push":
            (comment,) = github.comments.values()
            assert "is live" in comment["body"]
            assert "Faster pages" in ended.summary
        post = runner.post(ended.state)
        assert (post.code, post.annotations) == (0, [])
        kept = [one for one in files(runner.workspace) if not one.startswith("bluegreen-report")]
        assert kept == before
        report = runner.workspace / ended.outputs["report"]
        assert "web/production#1" in report.read_text()
        assert (report.parent / ".gitignore").read_text() == "*\n"
        assert report.parent.stat().st_mode & 0o777 == 0o777


def test_no_secret_comes_out(tmp_path: Path) -> None:
    """Of inputs, of the job's variables, of what the builder printed: nowhere, not even on GitHub."""
    with job(tmp_path) as (runner, at, github):
        key, hidden = "AKIA" + "Q7" * 8, "correct-horse-battery"
        planted = [runner.token, key, hidden, "eyJhbGciOi.runtime-token.xyz", "lab-secret-key", "xoxb-123456789-abcdef"]
        runner.environment["DATABASE_PASSWORD"] = hidden
        at.machines.fails("git fetch", output="\n".join([*planted, "no such branch"]))
        ended = runner.run()
        assert (ended.code, ended.outputs["reason"]) == (3, "build_failed"), ended.raw
        unmasked = "\n".join(line for line in ended.raw.splitlines() if not line.startswith("::add-mask::"))
        told = json.dumps([*(d.statuses for d in github.deployments.values()), *github.comments.values()])
        everything = unmasked + ended.shown + told + at.journal()
        assert "no such branch" in everything
        assert HIDDEN in everything
        assert [secret for secret in planted if secret in everything] == []


def test_github_away_all_the_time(tmp_path: Path) -> None:
    """The release ends as it would have; the page says what GitHub does not know."""
    with job(tmp_path) as (runner, at, github):
        github.fail("/repos/", 503)
        ended = runner.run()
        assert (ended.code, ended.outputs["decision"]) == (0, "live"), ended.raw
        assert "What is missing on GitHub" in ended.summary
        assert "503" in ended.said("warning")[0]
        assert at.wrong(live=True) == []


def test_github_s_own_credentials(tmp_path: Path) -> None:
    """The OIDC token is exchanged for the role, and is masked before anything is printed."""
    with job(tmp_path) as (runner, at, github):
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            del runner.environment[name]
        runner.environment |= github.oidc
        role = "arn:aws:iam::123456789012:role/release"
        ended = runner.run(role_to_assume=role, until="held", allowed_account_ids=at.aws.account)
        assert (ended.code, ended.outputs["decision"]) == (0, "held"), ended.raw
        assert github.tokens
        assert set(github.tokens) <= set(ended.masks)
        assert runner.run(role_to_assume=role, allowed_account_ids="999999999999").code == 2


# --- cancelling --------------------------------------------------------------------------------------------

#: Lines of the log at which a run is cancelled: all through a release, and out of the hold.
MOMENTS = (
    "::add-mask::lab-secret-key", "started web/production#1", "about to claim builder", "claimed builder",
    "about to start builder", "started builder", "to boot and answer", "sent the build", "waiting for the build",
    "told builder", "about to make image", "ordered image", "to become available", "is available", "green boots",
    "about to pin", "pinned web-asg", "about to make a new version", "made version", "about to create",
    "created web-production-v1", "to come in service", "suspended the scaling processes on web-production-v1",
    "about to join", "joined web-production-v1", "waiting for every check", "the overlap to pass",
    "about to take web-asg", "took web-asg", "to green alone", "waiting for the soak", "::group::retiring",
    "ordered the deletion",
)  # fmt: skip


#: Seconds after which a runner kills a step that it cancelled: 7.5 until SIGTERM, 2.5 more (actions/runner).
KILLED = 10.0


def cancelled(folder: Path, moment: str, on_cancel: str) -> list[str] | None:
    """What does not hold after a run was cancelled there, cleaned up, and another run has ended the release.

    None when the release was over before the signal came, as it may be at its last lines.
    """
    with job(folder) as (runner, at, github):
        with runner.start({"on_cancel": on_cancel}) as step:
            step.until(moment)
            signalled = at.clock.now()
            ended = step.cancel()
        if ended.code == 0:
            return None
        found = [] if ended.gone < KILLED else [f"gone after {ended.gone:.1f} s"]
        found += [] if ended.code == 130 else [f"exit {ended.code}: {ended.raw[-500:]}"]
        late = [c for c in at.aws.calls if c.mutating and c.service != "dynamodb" and c.when > signalled + 1.0]
        found += [f"begun after the signal: {c.name}" for c in late]
        found += again(runner, at, github, ended, on_cancel)
        return [f"{moment}, {on_cancel}: {text}" for text in found]


def again(runner: Runner, at: Place, github: FakeGitHub, ended: Ended, on_cancel: str) -> list[str]:
    """The clean-up, then `resume`; where nothing had been begun, the release anew."""
    post = runner.post(ended.state, on_cancel=on_cancel)
    found = [] if post.code == 0 else [f"post: {post.raw}"]
    if ended.state.get("release"):
        found += [] if any("command: resume" in w for w in post.said("warning")) else [f"post said: {post.raw}"]
        open_ = [d for d in github.deployments.values() if d.state == "in_progress"]
        found += [f"the deployment is {d.state}" for d in open_]
    runner.github |= {"RUN_ID": "78"}
    last = runner.run(command="resume" if ended.state.get("release") else "release")
    back = last.outputs["decision"] == "rolled_back"
    if on_cancel == "park" and back:
        found.append(f"was rolled back: {last.raw[-500:]}")
    if last.outputs["decision"] not in ("live", "rolled_back"):
        found.append(f"afterwards: {last.raw[-800:]}")
    return found + at.wrong(live=not back)


def turn() -> int:
    """Which third of the moments is looked at: CI goes through all of them, a run at a time."""
    return int(os.environ.get("BLUEGREEN_SEED") or 0) % 3


def test_cancelled_at_a_third_of_thirty_points_and_more(tmp_path: Path) -> None:
    """Gone before the runner would kill it, nothing new begun, cleaned up, and the next attempt ends right."""
    image()
    cases = [(moment, "rollback" if n % 2 else "park") for n, moment in enumerate(MOMENTS[turn() :: 3])]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ends = [pool.submit(cancelled, tmp_path / str(n), *case) for n, case in enumerate(cases)]
    played = [_alone_if_late(end.result(), tmp_path / f"{n}-alone", *cases[n]) for n, end in enumerate(ends)]
    found = [wrong for wrong in played if wrong is not None]
    assert [text for wrong in found for text in wrong] == []
    assert len(found) >= len(cases) - 1


def _alone_if_late(wrong: list[str] | None, folder: Path, moment: str, on_cancel: str) -> list[str] | None:
    """The seconds of a runner are real ones: what the other containers held up is judged without them."""
    late = wrong is not None and any("gone after" in text for text in wrong)
    return cancelled(folder, moment, on_cancel) if late else wrong
