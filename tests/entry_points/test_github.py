"""What GitHub is told of releases, over HTTP, against a fake GitHub that knows the published description."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from bluegreen import wording
from bluegreen.action import summary
from bluegreen.errors import ConfigError, Untold
from bluegreen.events import EventKind, Outcome, Phase
from bluegreen.github import NO_PULL, Between, GitHub, Run, Teams, dispatch
from bluegreen.release import Release
from lab.github import FakeGitHub
from tests.worlds.github_description import description
from tests.worlds.release import Stage
from tests.worlds.waiting import eventually

COMMIT, BEFORE = "abcdef1234", "0123456789"


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    """One that finds nothing wrong in the end."""
    made = FakeGitHub(description(), token="ghs_right")
    made.commits = [(BEFORE, "old"), ("aaaaaaaaaa", "ask @team to <b>look</b>\n\nbody"), (COMMIT, "new")]
    yield made
    made.close()
    assert made.violations == []


class Past(dict[str, Release]):
    """Earlier releases, as the journal would tell them."""


def door(at: FakeGitHub, past: Past | None = None, token: str = "ghs_right", url: str = "") -> GitHub:
    """A new process that tells GitHub."""
    return GitHub(
        token,
        at.repository,
        api=url or at.url,
        log_url="https://github.com/acme/web/actions/runs/77",
        environment_url="https://web.example.com",
        describe=wording.outcome_line,
        comment=lambda release, between: summary.comment(release, between.titles if between else ()),
        past=(past or Past()).get,
        before=lambda release: release.blue_commit,
        now=time.time,
    )


def stage(number: int = 42, pull: str = "7") -> Stage:
    """A release that has begun, from a pull request."""
    made = Stage()
    made.release = replace(
        made.release,
        id=f"web/production#{number}",
        number=number,
        blue_commit=BEFORE,
        source={"pull": pull, "repository": "acme/web", "server": "https://github.com"},
    )
    return made


def settled(s: Stage, outcome: Outcome, reason: str = "completed") -> Release:
    """How it ended."""
    return s.told(EventKind.SETTLED, outcome=outcome, reason=reason, message="", left=[]).release


def told(to: GitHub, *releases: Release) -> tuple[str, ...]:
    """Tell of each in turn, and wait until it has been said."""
    for release in releases:
        to.tell(release, None, None, None)
    return to.close(10)


def states(at: FakeGitHub, task: str = "deploy:web/production#42") -> list[str]:
    """The statuses of a release's deployment, in order."""
    found = [one for one in at.deployments.values() if one.asked["task"] == task]
    assert len(found) == 1
    return [str(status["state"]) for status in found[0].statuses]


def test_a_whole_release(github: FakeGitHub) -> None:
    """One deployment, a status for each phase with the run's address, success with the environment's; a comment."""
    s = stage()
    releases = [s.release, s.launched().enters(Phase.OVERLAPPING).release, s.enters(Phase.SOAKING).release]
    assert told(door(github), *releases, settled(s, Outcome.LIVE)) == ()
    assert states(github) == ["in_progress", "in_progress", "in_progress", "success"]
    (deployment,) = github.deployments.values()
    assert deployment.asked["ref"] == COMMIT
    assert (deployment.asked["environment"], deployment.asked["auto_merge"]) == ("production", False)
    assert {status["log_url"] for status in deployment.statuses} == {"https://github.com/acme/web/actions/runs/77"}
    assert deployment.statuses[-1]["environment_url"] == "https://web.example.com"
    assert "environment_url" not in deployment.statuses[0]
    (comment,) = github.comments.values()
    assert comment["body"].startswith("<!-- bluegreen:web/production#42 -->")
    assert comment["edits"] == 3
    assert "2 commits" in comment["body"]
    assert "is live" in comment["body"]


def test_a_plan_has_one_comment_for_each_service(github: FakeGitHub) -> None:
    """Edited in place by the next run; never a stranger's."""
    github.remark(7, "<!-- bluegreen:plan:web/production -->\nall is well", "mallory")
    for service, body in (("web/production", "one"), ("web/staging", "two"), ("web/production", "three")):
        assert door(github).comment_plan(7, service, body) == ()
    own = [one["body"] for one in github.comments.values() if one["user"] != "mallory"]
    assert own == ["<!-- bluegreen:plan:web/production -->\nthree", "<!-- bluegreen:plan:web/staging -->\ntwo"]


def test_a_plan_that_may_not_be_commented_says_what_is_missing(github: FakeGitHub) -> None:
    """A pull request from a fork has a token that only reads; or GitHub does not answer."""
    github.fail("/comments", 403, body={"message": "Resource not accessible by integration"})
    told = door(github).comment_plan(7, "web/production", "one")
    assert told == ("the token may not use comments: give the job the permission `pull-requests: write`",)
    (problem,) = door(github, url="http://127.0.0.1:9").comment_plan(7, "web/production", "one")
    assert problem.startswith("the plan is not on the pull request: ")


def test_a_commits_words_ping_nobody(github: FakeGitHub) -> None:
    """Titles are somebody else's words."""
    told(door(github), stage().release)
    (comment,) = github.comments.values()
    assert "@team" not in comment["body"]
    assert "<b>" not in comment["body"].replace("\\<b\\>", "")


@pytest.mark.parametrize(
    ("outcome", "state"), [(Outcome.ROLLED_BACK, "failure"), (Outcome.FAILED, "error"), (Outcome.LIVE, "success")]
)
def test_an_outcome_is_never_prettier_than_it_is(github: FakeGitHub, outcome: Outcome, state: str) -> None:
    """A rollback is a failure of the deployment."""
    s = stage().launched()
    reason = "completed" if outcome is Outcome.LIVE else "check_failed"
    told(door(github), settled(s, outcome, reason))
    assert states(github)[-1] == state


def test_what_waits_for_a_person_is_pending(github: FakeGitHub) -> None:
    """Held, interrupted, or parked: nobody drives it now."""
    s = stage().launched().enters(Phase.HOLDING)
    first = door(github)
    told(first, s.release)
    assert states(github) == ["pending"]
    told(door(github), s.told(EventKind.TAKEN_UP, holder="b").enters(Phase.SWITCHING).release)
    parking = door(github)
    parking.parked(s.release)
    assert parking.close(10) == ()
    assert states(github) == ["pending", "in_progress", "pending"]


def test_another_process_goes_on_with_the_same_deployment(github: FakeGitHub) -> None:
    """And the same comment; what stands there already is not said again."""
    s = stage()
    told(door(github), s.release)
    told(door(github), s.release)
    told(door(github), s.launched().enters(Phase.CHECKING).release)
    assert states(github) == ["in_progress", "in_progress"]
    assert len(github.comments) == 1


def test_a_stranger_s_comment_with_our_mark_is_not_ours(github: FakeGitHub) -> None:
    """Whoever wrote it could change what it says; every driver finds its own, behind however many others."""
    s = stage()
    for n in range(150):
        github.remark(7, "<!-- bluegreen:web/production#42 -->\nall is well" if n % 2 else "nice", "mallory")
    for _ in range(3):
        assert told(door(github), s.release) == ()
    own = [one for one in github.comments.values() if one["user"] != "mallory"]
    assert [one["edits"] for one in own] == [2]
    assert all(one["edits"] == 0 for one in github.comments.values() if one["user"] == "mallory")


def test_who_writes_is_not_told(github: FakeGitHub) -> None:
    """Then it is a workflow's own token, in all likelihood: its comment is found again."""
    github.fail("/graphql", 403)
    github.remark(7, "<!-- bluegreen:web/production#42 -->\nall is well", "mallory")
    for _ in range(2):
        assert told(door(github), stage().release) == ()
    assert len(github.comments) == 2


def test_what_was_replaced_is_inactive(github: FakeGitHub) -> None:
    """Earlier successes of this service; another service of the environment is left alone."""
    for number, service in ((40, "web/staging"), (41, "api/staging"), (42, "web/staging")):
        live = settled(stage(number).launched(), Outcome.LIVE)
        told(door(github), replace(live, service=service, id=f"{service}#{number}"))
    assert states(github, "deploy:web/staging#40")[-1] == "inactive"
    assert states(github, "deploy:api/staging#41")[-1] == "success"


def test_orphans_are_closed_by_whoever_drives_on(github: FakeGitHub) -> None:
    """By what the journal says of them."""
    past = Past()
    for number, outcome in ((38, Outcome.LIVE), (39, Outcome.ROLLED_BACK), (40, Outcome.FAILED), (41, None)):
        s = stage(number).launched()
        told(door(github, past), s.release)
        if outcome:
            past[s.release.id] = settled(s, outcome, "ordered")
    told(door(github, past), stage().release)
    ended = [states(github, f"deploy:web/production#{n}")[-1] for n in (38, 39, 40, 41)]
    assert ended == ["inactive", "failure", "error", "error"]


def test_descriptions_are_cut_at_a_word(github: FakeGitHub) -> None:
    """GitHub refuses more than 140 characters."""
    s = stage().launched()
    long = s.told(EventKind.SETTLED, outcome="rolled_back", reason="check_failed", message="word " * 60, left=[])
    told(door(github), long.release)
    (deployment,) = github.deployments.values()
    assert deployment.statuses[-1]["description"].endswith("word…")


def test_an_outage_delays_and_loses_nothing_that_counts(github: FakeGitHub) -> None:
    """The last state is said when GitHub is back."""
    github.fail("/repos/", 503)
    s = stage().launched()
    to = door(github)
    to.tell(s.release, None, None, None)
    to.tell(settled(s, Outcome.LIVE), None, None, None)
    eventually(lambda: github.asked)
    github.well()
    assert to.close(20) == ()
    assert states(github)[-1] == "success"


def test_what_could_not_be_said_is_told(github: FakeGitHub) -> None:
    """For the page of the run; the token is in no word of it."""
    github.fail("/repos/", 502)
    (problem,) = told_hastily(door(github), stage().release)
    assert "web/production#42 could not be set to in_progress" in problem
    assert "502" in problem
    assert "ghs_right" not in problem


def told_hastily(to: GitHub, release: Release) -> tuple[str, ...]:
    """Tell of it, and give up soon."""
    to.tell(release, None, None, None)
    return to.close(0.3)


def test_nobody_at_home() -> None:
    """No connection at all."""
    gone = FakeGitHub({"paths": {}})
    gone.close()
    (problem,) = told_hastily(door(gone), stage().release)
    assert "cannot be reached" in problem


@pytest.mark.parametrize("kind", ["primary", "secondary"])
def test_limits_are_waited_for(github: FakeGitHub, kind: str) -> None:
    """As long as GitHub says, and then it goes on."""
    if kind == "primary":
        github.limit_rate(1)
    else:
        github.fail("/repos/", 429, 1, Retry_After="1")
    assert told(door(github), stage().release) == ()
    assert states(github) == ["in_progress"]


def test_a_missing_permission_is_said_once(github: FakeGitHub) -> None:
    """With its name; everything else is still told."""
    github.fail("/comments", 403, body={"message": "Resource not accessible by integration"})
    s = stage()
    problems = told(door(github), s.release, s.launched().enters(Phase.CHECKING).release)
    assert problems == ("the token may not use comments: give the job the permission `pull-requests: write`",)
    assert states(github) == ["in_progress", "in_progress"]


def test_a_wrong_token(github: FakeGitHub) -> None:
    """Is a missing permission, too."""
    problems = told(door(github, token="ghs_wrong"), stage().release)
    assert any("deployments: write" in problem for problem in problems)
    assert not any("ghs_" in problem for problem in problems)


def test_a_slow_github_slows_nobody(github: FakeGitHub) -> None:
    """`tell` returns while GitHub has not answered yet."""
    github.slow(1.0)
    s = stage()
    to = door(github)
    for _ in range(50):
        s.told(EventKind.OBSERVED, subject="traffic", value="blue")
        to.tell(s.release, None, None, None)
    assert github.deployments == {}
    assert threading.active_count() < 50
    github.well()
    to.close(20)


def test_the_pull_request_of_a_commit(github: FakeGitHub) -> None:
    """Number, title, author; that there is none is another answer than GitHub's silence."""
    github.merged(COMMIT, 7, "Faster")
    found = door(github).pull_of(COMMIT)
    assert found is not None
    assert (found.number, found.title, found.author, found.openers) == (7, "Faster", "octocat", ("octocat",))
    none = door(github).pull_of("f" * 10)
    assert none is NO_PULL
    assert not none
    github.fail("/pulls", 500)
    assert door(github).pull_of(COMMIT) is None


def test_a_commit_that_two_pull_requests_brought(github: FakeGitHub) -> None:
    """As one into trunk and one from there into the branch that is released: whoever opened either."""
    listed = [
        {"number": 9, "title": "Release", "user": {"login": "hubot"}, "merged_at": "2026-01-02T00:00:00Z"},
        {"number": 8, "title": "Open", "user": {"login": "eve"}, "merged_at": None},
        {"number": 7, "title": "Faster", "user": {"login": "octocat"}, "merged_at": "2026-01-01T00:00:00Z"},
        {"number": 6, "title": "Gone", "user": None, "merged_at": "2026-01-01T00:00:00Z"},
    ]
    github.fail("/pulls", 200, body=listed)
    found = door(github).pull_of(COMMIT)
    assert found is not None
    assert (found.number, found.author, found.openers) == (9, "hubot", ("hubot", "octocat", ""))


def test_commits_that_are_not_in_one_line(github: FakeGitHub) -> None:
    """No list, but a comment all the same."""
    s = stage()
    s.release = replace(s.release, blue_commit="f" * 10)
    assert told(door(github), s.release) == ()
    (comment,) = github.comments.values()
    assert "commits</summary>" not in comment["body"]
    assert Between((), 0).total == 0


# --- starting a workflow -----------------------------------------------------------------------------------

RUN = "https://github.com/acme/web/actions/runs"


def released(**changes: str) -> Release:
    """The last release, which a workflow made."""
    source = {"repository": "acme/web", "workflow": "release.yml", "ref": "trunk", **changes}
    return replace(stage().release, source=source)


@pytest.mark.parametrize(
    ("named", "branch", "commit", "shown"),
    [
        ("", "trunk", None, "trunk"),
        ("hotfix/7", "hotfix/7", None, "hotfix/7"),
        ("v1.2.3", "v1.2.3", None, "v1.2.3"),
        ("abcdef12" * 5, "trunk", "abcdef12" * 5, "abcdef12"),
        ("abcdef12", "abcdef12", None, "abcdef12"),  # a part of a commit may be a branch's name: GitHub decides
        ("ABCDEF12" * 5, "ABCDEF12" * 5, None, "ABCDEF12" * 5),
        ("abcdef12" * 8, "abcdef12" * 8, None, "abcdef12" * 8),
    ],
)
def test_a_workflow_is_started(github: FakeGitHub, named: str, branch: str, commit: str | None, shown: str) -> None:
    """For a branch or a tag, or on the branch of the last time for a full commit; GitHub tells which run it is."""
    assert dispatch("ghs_right", github.url, released(), named) == Run(f"{RUN}/1", "release.yml", "acme/web", shown)
    inputs = {"service": "web", "environment": "production", **({"commit": commit} if commit else {})}
    (asked,) = github.asked
    assert (asked.method, asked.path) == ("POST", "/repos/acme/web/actions/workflows/release.yml/dispatches")
    assert asked.body == {"ref": branch, "inputs": inputs, "return_run_details": True}
    assert dispatch("ghs_right", github.url, released(), named).url == f"{RUN}/2"


def test_a_branch_that_nobody_noted_is_main(github: FakeGitHub) -> None:
    """An older journal, or an image that was released again."""
    bare = replace(stage().release, source={"repository": "acme/web", "workflow": "release.yml"})
    for last in (bare, released(ref="")):
        assert dispatch("ghs_right", github.url, last, "").ref == "main"
        assert dispatch("ghs_right", github.url, last, "abcdef12" * 5).ref == "abcdef12"
    assert [one["ref"] for one in github.dispatches] == ["main"] * 4


def test_a_service_of_another_environment(github: FakeGitHub) -> None:
    """Both are the workflow's inputs."""
    dispatch("ghs_right", github.url, replace(released(), service="api-v2/staging"), "")
    assert github.dispatches[0]["inputs"] == {"service": "api-v2", "environment": "staging"}


def test_a_workflow_s_name_cannot_lead_elsewhere(github: FakeGitHub) -> None:
    """It is one part of the path, whatever stands in it."""
    dispatch("ghs_right", github.url, released(workflow="my release.yml"), "")
    assert github.dispatches[0]["workflow"] == "my%20release.yml"
    dispatch("ghs_right", github.url, released(workflow="../../deployments?x=#y"), "")
    assert github.asked[-1].path == "/repos/acme/web/actions/workflows/..%2F..%2Fdeployments%3Fx%3D%23y/dispatches"
    assert github.asked[-1].query == {}


def test_a_github_that_does_not_tell_the_run(github: FakeGitHub) -> None:
    """An older GitHub Enterprise answers nothing: the run is started all the same."""
    github.fail("/dispatches", 204, body="")
    assert dispatch("ghs_right", github.url, released(), "") == Run("", "release.yml", "acme/web", "trunk")


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, "Bad credentials"),
        (403, "Resource not accessible by personal access token"),
        (404, "Not Found"),
        (422, "No ref found for: nowhere"),
        (422, "Workflow does not have 'workflow_dispatch' trigger"),
        (429, "You have exceeded a secondary rate limit"),
        (500, "Server Error"),
        (503, "Service Unavailable"),
    ],
)
def test_a_workflow_that_github_does_not_start(github: FakeGitHub, status: int, message: str) -> None:
    """Its words, and what to look at; asked once, so that no second run begins; the token is in no word of it."""
    github.fail("/dispatches", status, body={"message": message})
    with pytest.raises(ConfigError) as error:
        dispatch("ghs_right", github.url, released(), "nowhere")
    assert error.value.what == f"GitHub answered {status}: {message}"
    assert error.value.where == "acme/web, release.yml on nowhere"
    assert "actions: write" in error.value.hint
    assert "ghs_right" not in repr(error.value) + str(error.value)
    assert error.value.__cause__ is None
    assert len(github.asked) == 1
    assert github.dispatches == []


def test_a_workflow_and_a_wrong_token(github: FakeGitHub) -> None:
    """The token is what is judged: nothing is started."""
    with pytest.raises(ConfigError, match="401"):
        dispatch("ghs_wrong", github.url, released(), "")
    assert github.dispatches == []


def test_a_workflow_and_nobody_at_home() -> None:
    """No connection at all."""
    gone = FakeGitHub({"paths": {}})
    gone.close()
    with pytest.raises(ConfigError, match="GitHub cannot be reached"):
        dispatch("ghs_right", gone.url, released(), "")


# --- who is in a team --------------------------------------------------------------------------------------


def test_who_is_in_a_team(github: FakeGitHub) -> None:
    """By login in any case; an invitation is no membership, nor is one of another team or organization."""
    github.joins("acme/web", "octocat")
    github.joins("acme/web", "newcomer", "pending")
    teams = Teams("ghs_right", github.url)
    assert teams.member("octocat", "acme/web")
    assert teams.member("OctoCat", "acme/web")
    assert not teams.member("newcomer", "acme/web")
    assert not teams.member("hubot", "acme/web")
    assert not teams.member("octocat", "acme/leads")
    assert not teams.member("octocat", "evil/web")
    github.leaves("acme/web", "octocat")
    assert not teams.member("octocat", "acme/web")
    assert {one.path for one in github.asked} >= {"/orgs/acme/teams/web/memberships/octocat"}


def test_a_team_s_name_cannot_lead_elsewhere(github: FakeGitHub) -> None:
    """What is in it is one part of the path."""
    with pytest.raises(Untold):
        Teams("ghs_wrong", github.url).member("../../x", "acme/web/../leads?a=b")
    assert github.asked[0].path == "/orgs/acme/teams/web%2F..%2Fleads%3Fa%3Db/memberships/..%2F..%2Fx"


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_may_not_see_teams(github: FakeGitHub, status: int) -> None:
    """Nobody is in any; it is told what the token lacks."""
    github.joins("acme/web", "octocat")
    github.fail("/teams/", status, body={"message": "Resource not accessible by integration"})
    with pytest.raises(Untold) as untold:
        Teams("ghs_right", github.url).member("octocat", "acme/web")
    assert untold.value.what == "the token may not read who is in acme/web"
    assert "read:org" in untold.value.hint


def test_a_github_that_does_not_tell_of_teams(github: FakeGitHub) -> None:
    """No token, an outage, a limit, nobody at home: not a no that somebody has to put right."""
    with pytest.raises(Untold, match="bluegreen has no token to read who is in acme/web"):
        Teams("", github.url).member("octocat", "acme/web")
    assert github.asked == []
    github.fail("/teams/", 502, times=1)
    github.fail("/teams/", 403, times=1, retry_after="60")
    teams = Teams("ghs_right", github.url)
    for said in ("GitHub does not show who is in acme/web: GitHub answered 502", "GitHub answered 403"):
        with pytest.raises(Untold, match=said) as untold:
            teams.member("octocat", "acme/web")
        assert untold.value.hint == "Try again."
    gone = FakeGitHub({"paths": {}})
    gone.close()
    with pytest.raises(Untold, match="GitHub cannot be reached"):
        Teams("ghs_right", gone.url).member("octocat", "acme/web")


class TestTheLab:
    """We trust what it says, so it is tested as well."""

    def test_a_wrong_request_is_a_violation(self) -> None:
        """A body that the description does not know."""
        at = FakeGitHub(description())
        to = door(at)
        to._post("/repos/acme/web/deployments", {"ref": 7, "required_contexts": []})
        assert any("ref" in one for one in at.violations)
        at.violations.clear()
        at.deployments.clear()
        to._get("/repos/acme/web/deployments", colour="red")
        assert at.violations == ["get /repos/{owner}/{repo}/deployments: no parameter colour"]
        at.close()

    def test_a_wrong_answer_is_a_violation(self) -> None:
        """It cannot say what GitHub never says."""
        at = FakeGitHub(description())
        door(at)._post("/repos/acme/web/deployments", {"ref": "main", "required_contexts": []})
        at.deployments[1].asked["task"] = 7
        door(at)._get("/repos/acme/web/deployments")
        assert any("answer 200" in one for one in at.violations)
        at.close()

    def test_github_s_own_ways(self, github: FakeGitHub) -> None:
        """Checks are waited for unless told otherwise; a long description is refused; unknown things are not found."""
        to = door(github)
        for path, body, status in (
            ("deployments", {"ref": "main"}, 409),
            ("deployments/99/statuses", {"state": "success"}, 404),
        ):
            with pytest.raises(Exception, match=str(status)):
                to._post(f"/repos/acme/web/{path}", body)
        to._post("/repos/acme/web/deployments", {"ref": "main", "required_contexts": []})
        with pytest.raises(Exception, match="422"):
            to._post("/repos/acme/web/deployments/1/statuses", {"state": "success", "description": "x" * 141})
        github.violations.clear()  # that one was meant
