"""GitHub, told truthfully: a deployment with its statuses for each release, and a comment on the merged pull request.

`tell` only queues a message; one thread sends it, so that GitHub's slowness, limits and outages never slow or
stop a release. Deployment and comment are looked for by name before they are made, so any process that drives a
release goes on with those of the process before.

Facts from GitHub's REST API: without `required_contexts: []` a deployment waits for checks. `auto_inactive` leaves out
production, so this module sets the replaced deployment inactive. A description has at most 140 characters.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import requests
from github import Auth, Github, GithubException

from bluegreen.errors import ConfigError, Untold
from bluegreen.events import Awaited, Event, Outcome, Phase
from bluegreen.release import Release

#: Seconds until an answer is given up.
TIMEOUT = 5
DESCRIPTION, COMMENT = 140, 65_000
#: Pauses in seconds while GitHub does not answer; the longest when it says itself how long to wait.
PAUSE, LONGEST_PAUSE = 1.0, 300.0
#: So many earlier deployments are looked at for ones that were left open.
EARLIER = 15
#: Pages of a hundred comments that are looked through for ours; GitHub allows 2,500 comments.
PAGES = 26
#: Who writes with a workflow's own token.
ACTIONS = "github-actions[bot]"
#: Statuses not yet sent that are kept; of more, those in the middle are dropped: they are past.
KEPT = 20

#: Retries and pauses of the library would hold up a step that is being cancelled: they are ours.
_OURS: Mapping[str, Any] = {"retry": None, "seconds_between_requests": None, "seconds_between_writes": None}
_OPEN = frozenset({"queued", "pending", "in_progress"})
_STATES = {Outcome.LIVE: "success", Outcome.ROLLED_BACK: "failure", Outcome.FAILED: "error"}
_GRANTS = {"deployments": "deployments: write", "comments": "pull-requests: write", "pulls": "pull-requests: read"}


@dataclass(frozen=True)
class Pull:
    """A merged pull request; `author` is the login of the person who opened it, "" of someone who is gone.

    `openers` are the logins of all people who opened a pull request with the same commit.
    """

    number: int
    title: str
    author: str
    openers: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is one."""
        return self.number > 0


#: GitHub says that no merged pull request brought the commit.
NO_PULL = Pull(0, "", "")


@dataclass(frozen=True)
class Between:
    """The commits from blue's to green's: their first lines, the oldest first, and how many there are in all."""

    titles: tuple[str, ...]
    total: int


@dataclass(frozen=True)
class Run:
    """A run of a workflow. `url` is its page; "" where GitHub does not tell which run it will be."""

    url: str
    workflow: str
    repository: str
    ref: str


@dataclass(frozen=True)
class _Status:
    """What a deployment is to show."""

    release: Release
    state: str
    description: str


#: A full commit; anything else that is named is a branch or a tag.
_COMMIT = re.compile(r"[0-9a-f]{40}")


def dispatch(token: str, api: str, last: Release, ref: str) -> Run:
    """Start the workflow that `last` came from, for a branch, a tag or a full commit; "": for the branch it ran on.

    ConfigError when GitHub is unreachable or refuses (REST API, create a workflow dispatch event).
    """
    repository, workflow = str(last.source["repository"]), str(last.source["workflow"])
    commit = ref if _COMMIT.fullmatch(ref) else ""
    branch = (ref if not commit else "") or str(last.source.get("ref") or "main")
    service, _, environment = last.service.rpartition("/")
    inputs = {"service": service, "environment": environment, **({"commit": commit} if commit else {})}
    at = f"/repos/{repository}/actions/workflows/{quote(workflow, safe='')}/dispatches"
    body = {"ref": branch, "inputs": inputs, "return_run_details": True}
    client = Github(auth=Auth.Token(token), base_url=api, timeout=TIMEOUT, lazy=True, **_OURS)
    try:
        said = client.requester.requestJsonAndCheck("POST", at, input=body)[1] or {}
    except (GithubException, requests.RequestException) as error:
        hint = (
            "The token needs `actions: write` there; the branch or tag must exist and have the workflow; "
            "write a commit with all 40 digits."
        )
        raise ConfigError(_in_words(error), where=f"{repository}, {workflow} on {branch}", hint=hint) from None
    return Run(str(said.get("html_url") or ""), workflow, repository, commit[:8] or branch)


class Teams:
    """Who is in which team of an organization, asked with a token that may read the organization's members."""

    def __init__(self, token: str, api: str) -> None:
        self._token, self._api = token, api

    def member(self, login: str, team: str) -> bool:
        """Whether the login is in the team (`acme/web`); Untold when GitHub does not say.

        An invitation is no membership (REST API, get team membership for a user: state).
        """
        org, _, slug = team.partition("/")
        at = f"/orgs/{quote(org, safe='')}/teams/{quote(slug, safe='')}/memberships/{quote(login, safe='')}"
        if not self._token:
            raise Untold(
                f"bluegreen has no token to read who is in {team}",
                hint="Use a token with that right as `github-token`.",
            )
        client = Github(auth=Auth.Token(self._token), base_url=self._api, timeout=TIMEOUT, lazy=True, **_OURS)
        try:
            said = client.requester.requestJsonAndCheck("GET", at)[1]
        except (GithubException, requests.RequestException) as error:
            if isinstance(error, GithubException) and error.status == 404:
                return False
            raise _untold(team, error) from None
        return bool(said.get("state") == "active")


def _untold(team: str, error: Exception) -> Untold:
    if isinstance(error, GithubException) and error.status in (401, 403) and not _passes(error):
        hint = "It needs `read:org`, or as an app the permission Members: read; a job's own token lacks it."
        return Untold(f"the token may not read who is in {team}", hint=hint)
    return Untold(f"GitHub does not show who is in {team}: {_in_words(error)}", hint="Try again.")


class GitHub:
    """One repository's deployments and comments. Nothing here raises, and `tell` returns at once.

    `describe` words where a release stands, `comment` is the body of its comment, `past` gives an earlier release by
    its id, `before` the commit that blue runs. All they return must be free of secrets.
    """

    def __init__(
        self,
        token: str,
        repository: str,
        *,
        api: str = "https://api.github.com",
        log_url: str = "",
        environment_url: str = "",
        describe: Callable[[Release], str],
        comment: Callable[[Release, Between | None], str],
        past: Callable[[str], Release | None],
        before: Callable[[Release], str],
        now: Callable[[], float],
    ) -> None:
        client = Github(auth=Auth.Token(token), base_url=api, timeout=TIMEOUT, lazy=True, **_OURS)
        self._api = client.requester
        self._at = f"/repos/{repository}"
        self._log_url, self._environment_url = log_url, environment_url
        self._describe, self._comment, self._past, self._before, self._now = describe, comment, past, before, now
        self._todo: list[_Status] = []
        self._wake = threading.Condition()
        self._ends: float | None = None
        self._worker: threading.Thread | None = None
        self._last: dict[str, tuple[str, str]] = {}  # by release: what was noted last
        self._deployments: dict[str, int] = {}
        self._tidied: set[str] = set()
        self._between: dict[str, Between | None] = {}
        self._comments: dict[str, int] = {}
        self._denied: set[str] = set()
        self._problems: dict[str, None] = {}
        self._trouble = ""
        self._writer = ""

    # --- what entry points call ------------------------------------------------------------------

    def pull_of(self, commit: str) -> Pull | None:
        """The merged pull request that brought the commit; NO_PULL if it came without one, None if GitHub is silent."""
        try:
            found = self._get(f"{self._at}/commits/{commit}/pulls", per_page="10")
        except (GithubException, requests.RequestException) as error:
            self._note_denial("pulls", error)
            return None
        merged = [pull for pull in found if pull.get("merged_at")]
        if not merged:
            return NO_PULL
        openers = tuple(str((pull["user"] or {}).get("login", "")) for pull in merged)
        return Pull(int(merged[0]["number"]), str(merged[0]["title"]), openers[0], openers)

    def comment_plan(self, pull: int, service: str, body: str) -> tuple[str, ...]:
        """Comment a plan on a pull request, or edit the one of its service; returns what it could not send."""
        try:
            self._permitted("comments", lambda: self._comment_on(str(pull), f"plan:{service}", body))
        except (GithubException, requests.RequestException) as error:
            self._problems[f"the plan is not on the pull request: {_in_words(error)}"] = None
        return tuple(self._problems)

    def tell(self, release: Release, event: Event | None, awaited: Awaited | None, deadline: float | None) -> None:
        """The driver's Tell."""
        state = "pending" if release.interrupted or release.phase is Phase.HOLDING else "in_progress"
        self._note(release, _STATES[release.outcome] if release.outcome else state)

    def parked(self, release: Release) -> None:
        """The release has no driver now, so it makes no progress."""
        if not release.outcome:
            self._note(release, "pending")

    def close(self, seconds: float) -> tuple[str, ...]:
        """Send what is left within so many seconds; returns what it could not send, one sentence each."""
        with self._wake:
            self._ends = self._now() + seconds
            self._wake.notify_all()
        if self._worker is not None:
            self._worker.join(seconds + TIMEOUT)
        for status in self._todo[-1:]:
            because = f": {self._trouble}" if self._trouble else ""
            self._problems[f"the deployment of {status.release.id} could not be set to {status.state}{because}"] = None
        return tuple(self._problems)

    # --- the thread ------------------------------------------------------------------------------

    def _note(self, release: Release, state: str) -> None:
        description = _cut(self._describe(release), DESCRIPTION)
        if self._last.get(release.id) == (state, description):
            return
        self._last[release.id] = (state, description)
        with self._wake:
            self._todo.append(_Status(release, state, description))
            del self._todo[1:-KEPT]
            self._wake.notify_all()
        if self._worker is None:
            self._worker = threading.Thread(target=self._work, name="github", daemon=True)
            self._worker.start()

    def _work(self) -> None:
        pause = PAUSE
        while (status := self._next()) is not None:
            try:
                self._say(status)
            except (GithubException, requests.RequestException) as error:
                self._trouble = _in_words(error)
                if _passes(error):
                    self._rest(_asked_for(error, self._now()) or pause)
                    pause = min(2 * pause, LONGEST_PAUSE)
                    continue
                self._problems[f"{status.release.id}: {self._trouble}"] = None
            except Exception as error:  # a mistake in telling must not end the telling
                self._problems[f"{status.release.id}: {type(error).__name__}"] = None
            pause = PAUSE
            self._done(status)

    def _next(self) -> _Status | None:
        """The oldest status not said; None when there is none and none will come, or when time is over."""
        with self._wake:
            while not self._todo and self._ends is None:
                self._wake.wait()
            over = self._ends is not None and self._now() >= self._ends
            return None if over or not self._todo else self._todo[0]

    def _done(self, status: _Status) -> None:
        with self._wake:
            if self._todo and self._todo[0] is status:
                del self._todo[0]

    def _rest(self, seconds: float) -> None:
        """Wait, but no longer than `close` allows."""
        with self._wake:
            ends = self._now() + min(seconds, LONGEST_PAUSE)
            while (left := (ends if self._ends is None else min(ends, self._ends)) - self._now()) > 0:
                self._wake.wait(left)

    # --- what is said ----------------------------------------------------------------------------

    def _say(self, status: _Status) -> None:
        self._permitted("deployments", lambda: self._show(status))
        if status.release.source.get("pull"):
            self._permitted("comments", lambda: self._write_comment(status.release))

    def _permitted(self, what: str, say: Callable[[], None]) -> None:
        """Say it, unless the token may not: then that is told once, with the permission to add."""
        if what in self._denied:
            return
        try:
            say()
        except GithubException as error:
            if not self._note_denial(what, error):
                raise

    def _note_denial(self, what: str, error: Exception) -> bool:
        denied = isinstance(error, GithubException) and error.status in (401, 403, 404) and not _passes(error)
        if denied and what not in self._denied:
            self._denied.add(what)
            self._problems[f"the token may not use {what}: give the job the permission `{_GRANTS[what]}`"] = None
        return denied

    def _show(self, status: _Status) -> None:
        release = status.release
        deployment = self._deployment(release)
        if deployment is None:
            return
        self._set(deployment, status.state, status.description, live=release.outcome is Outcome.LIVE)
        if release.id not in self._tidied or release.outcome is Outcome.LIVE:
            self._tidy(release)
            self._tidied.add(release.id)

    def _deployment(self, release: Release) -> int | None:
        """The release's deployment: the one that is there, else a new one; None without anything to deploy."""
        if release.id in self._deployments:
            return self._deployments[release.id]
        ref = release.commit or release.source.get("ref", "")
        if not ref:
            return None
        task = f"deploy:{release.id}"
        there = self._get(f"{self._at}/deployments", task=task)
        made = there[0] if there else self._post(f"{self._at}/deployments", _wanted(release, ref, task))
        self._deployments[release.id] = int(made["id"])
        return self._deployments[release.id]

    def _set(self, deployment: int, state: str, description: str, *, live: bool = False) -> None:
        said = {"state": state, "description": description, "auto_inactive": False}
        links = {"log_url": self._log_url, "environment_url": self._environment_url if live else ""}
        there = self._get(f"{self._at}/deployments/{deployment}/statuses", per_page="1")
        if there and (there[0]["state"], there[0].get("description")) == (state, description):
            return
        given = {key: value for key, value in links.items() if value}
        self._post(f"{self._at}/deployments/{deployment}/statuses", {**said, **given})

    def _tidy(self, release: Release) -> None:
        """Earlier deployments of the service: what was replaced is inactive, what was left open is closed."""
        environment = release.service.rpartition("/")[2]
        listed = self._get(f"{self._at}/deployments", environment=environment, per_page="50")
        prefix = f"deploy:{release.service}#"
        own = [one for one in listed if str(one["task"]).startswith(prefix)]
        earlier = [one for one in own if (_number(one["task"]) or release.number) < release.number]
        for one in earlier[:EARLIER]:
            shown = self._get(f"{self._at}/deployments/{one['id']}/statuses", per_page="1")
            state = str(shown[0]["state"]) if shown else "pending"
            if state == "success" and release.outcome is Outcome.LIVE:
                self._set(int(one["id"]), "inactive", f"replaced by {release.id}")
            elif state in _OPEN:
                self._close_orphan(int(one["id"]), str(one["task"]).removeprefix("deploy:"))

    def _close_orphan(self, deployment: int, id_: str) -> None:
        """Its driver died before it could say how the release ended."""
        ended = self._past(id_)
        if ended is None or ended.outcome is None:
            self._set(deployment, "error", "the result of this release is unknown")
        elif ended.outcome is Outcome.LIVE:
            self._set(deployment, "inactive", _cut(self._describe(ended), DESCRIPTION))
        else:
            self._set(deployment, _STATES[ended.outcome], _cut(self._describe(ended), DESCRIPTION))

    # --- the comment -----------------------------------------------------------------------------

    def _write_comment(self, release: Release) -> None:
        """One for each release."""
        self._comment_on(release.source["pull"], release.id, self._comment(release, self._commits(release)))

    def _comment_on(self, pull: str, what: str, text: str) -> None:
        """One for each thing that is told, edited in place, found by a mark that nobody sees."""
        mark = f"<!-- bluegreen:{what} -->"
        body, comments = f"{mark}\n{text}"[:COMMENT], f"{self._at}/issues/{pull}/comments"
        if what not in self._comments:
            there = self._own_comment(comments, mark)
            made = there or self._post(comments, {"body": body})
            self._comments[what] = int(made["id"])
            if not there:
                return
        where = f"{self._at}/issues/comments/{self._comments[what]}"
        self._api.requestJsonAndCheck("PATCH", where, input={"body": body})

    def _own_comment(self, comments: str, mark: str) -> Any:
        """Ours with the mark, on whichever page: others may write the mark, too, and change what they wrote."""
        for page in range(1, PAGES + 1):
            listed = self._get(comments, per_page="100", page=str(page))
            for one in listed:
                if str(one.get("body", "")).startswith(mark) and (one.get("user") or {}).get("login") == self._login():
                    return one
            if len(listed) < 100:
                break
        return None

    def _login(self) -> str:
        """Who writes with our token (GraphQL API, viewer: it knows apps, too, which REST's /user refuses)."""
        if not self._writer:
            try:
                said = self._api.graphql_query("query { viewer { login } }", {})[1]
                self._writer = str(said["data"]["viewer"]["login"])
            except GithubException as error:
                if _passes(error):
                    raise
                self._writer = ACTIONS
        return self._writer

    def _commits(self, release: Release) -> Between | None:
        if release.id not in self._between:
            self._between[release.id] = self._compared(self._before(release), release.commit)
        return self._between[release.id]

    def _compared(self, base: str, head: str) -> Between | None:
        if not (base and head) or base == head:
            return None
        try:
            found = self._get(f"{self._at}/compare/{base}...{head}", per_page="100")
        except GithubException as error:
            if _passes(error):
                raise
            return None  # the commits are not in one line, or one of them is gone
        titles = tuple(str(one["commit"]["message"]).split("\n")[0] for one in found["commits"])
        return Between(titles, int(found["total_commits"]))

    # --- the wire --------------------------------------------------------------------------------

    def _get(self, path: str, **query: str) -> Any:
        return self._api.requestJsonAndCheck("GET", path, parameters=query)[1]

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._api.requestJsonAndCheck("POST", path, input=dict(body))[1]


def _wanted(release: Release, ref: str, task: str) -> dict[str, Any]:
    environment = release.service.rpartition("/")[2]
    return {
        "ref": ref,
        "task": task,
        "auto_merge": False,
        "required_contexts": [],
        "payload": {"release": release.id},
        "environment": environment,
        "description": _cut(f"{release.id} by bluegreen", DESCRIPTION),
        "production_environment": environment == "production",
    }


def _number(task: object) -> int | None:
    number = str(task).rpartition("#")[2]
    return int(number) if number.isdigit() else None


def _passes(error: Exception) -> bool:
    """Whether the same may succeed later."""
    if not isinstance(error, GithubException):
        return True
    limited = error.status in (403, 429) and _asked_for(error, 0.0) > 0
    return limited or error.status in (0, 408, 429) or error.status >= 500


def _asked_for(error: Exception, now: float) -> float:
    """Seconds that GitHub asks us to wait: Retry-After, or until the primary limit begins anew; 0: it does not say."""
    headers = {str(k).lower(): str(v) for k, v in (getattr(error, "headers", None) or {}).items()}
    after, reset = headers.get("retry-after", ""), headers.get("x-ratelimit-reset", "")
    if after.isdigit():
        return max(1.0, float(after))
    if headers.get("x-ratelimit-remaining") == "0" and reset.isdigit():
        return max(1.0, float(reset) - now)
    return 0.0


def _in_words(error: Exception) -> str:
    """Without what a library might put of the request into its message."""
    if isinstance(error, GithubException):
        said = error.data.get("message", "") if isinstance(error.data, dict) else ""
        return f"GitHub answered {error.status}{f': {said}' if said else ''}"
    return f"GitHub cannot be reached ({type(error).__name__})"


def _cut(text: str, length: int) -> str:
    """At a word, with a mark."""
    if len(text) <= length:
        return text
    head = text[: length - 1]
    return f"{head.rpartition(' ')[0] or head}…"
