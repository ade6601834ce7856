"""What `doctor` asks Slack and GitHub about the tokens of this environment. It reads, and posts nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlencode

import urllib3

from bluegreen import doctor
from bluegreen.config import Config
from bluegreen.doctor import Diagnosis, GitHubToken, SlackToken, Topic
from bluegreen.errors import BlueGreenError

SLACK, GITHUB = "https://slack.com/api/", "https://api.github.com"
#: Seconds until an answer is given up.
TIMEOUT = 5.0


def examinations(
    environment: Mapping[str, str], config: Config
) -> Iterator[tuple[Topic, Callable[[], Iterable[Diagnosis]]]]:
    """One for each chat and forge, by the variables of docs/slack.md."""
    yield Topic.SLACK, partial(_slack, environment, config.slack.channel or "")
    yield Topic.GITHUB, partial(_github, environment)


def _slack(environment: Mapping[str, str], channel: str) -> Iterator[Diagnosis]:
    token = environment.get("SLACK_BOT_TOKEN", "")
    url = environment.get("SLACK_API_URL") or SLACK
    yield from doctor.slack(_of_slack(token, url, channel) if token else None)


def _of_slack(token: str, url: str, channel: str) -> SlackToken:
    """`auth.test` names the scopes in a header; reading needs membership (Slack API, conversations.history)."""
    answer = _asked("Slack", f"{url}auth.test", token)
    said = _json(answer)
    if not said.get("ok"):
        return SlackToken(error=str(said.get("error") or f"status {answer.status}"))
    scopes = answer.headers.get("x-oauth-scopes")
    known = None if scopes is None else frozenset(one.strip() for one in scopes.split(",") if one.strip())
    team = str(said.get("team") or said.get("team_id"))
    if not channel:
        return SlackToken(team, scopes=known)
    query = urlencode({"channel": channel, "limit": 1})
    read = _json(_asked("Slack", f"{url}conversations.history?{query}", token))
    wrong = "" if read.get("ok") else str(read.get("error") or "nothing")
    return SlackToken(team, scopes=known, channel=channel, channel_error=wrong)


def _github(environment: Mapping[str, str]) -> Iterator[Diagnosis]:
    token, repository = environment.get("GITHUB_TOKEN", ""), environment.get("GITHUB_REPOSITORY", "")
    api = (environment.get("GITHUB_API_URL") or GITHUB).rstrip("/")
    if not token:
        yield from doctor.github(None)
        return
    path = f"/repos/{repository}" if repository else "/rate_limit"
    yield from doctor.github(GitHubToken(_asked("GitHub", f"{api}{path}", token).status, repository))


def _asked(whom: str, url: str, token: str) -> urllib3.BaseHTTPResponse:
    """Once, and without following redirects: the token is for whom it was asked for."""
    headers = {"Authorization": f"Bearer {token}", "User-Agent": "bluegreen"}
    timeout = urllib3.Timeout(connect=TIMEOUT, read=TIMEOUT)
    try:
        return urllib3.PoolManager().request(
            "GET", url, headers=headers, timeout=timeout, retries=False, redirect=False
        )
    except urllib3.exceptions.HTTPError as error:
        what = f"no answer: {type(error).__name__}"
        raise BlueGreenError(what, where=whom, hint="Check the network and the proxy, then try again.") from None


def _json(answer: urllib3.BaseHTTPResponse) -> Mapping[str, Any]:
    """{} for anything that is no JSON object."""
    try:
        said = json.loads(answer.data)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
