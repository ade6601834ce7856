"""What `doctor` asks Slack and GitHub about the tokens of this environment. It reads, and posts nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPRedirectHandler, Request, build_opener

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
    said = answer.said
    if not said.get("ok"):
        return SlackToken(error=str(said.get("error") or f"status {answer.status}"))
    scopes = answer.headers.get("x-oauth-scopes")
    known = None if scopes is None else frozenset(one.strip() for one in scopes.split(",") if one.strip())
    team = str(said.get("team") or said.get("team_id"))
    if not channel:
        return SlackToken(team, scopes=known)
    query = urlencode({"channel": channel, "limit": 1})
    read = _asked("Slack", f"{url}conversations.history?{query}", token).said
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


@dataclass(frozen=True)
class TokenAnswer:
    """What an API answered."""

    status: int
    headers: Mapping[str, str]  # by their names in lower case
    said: Mapping[str, Any]  # {} for anything that is no JSON object


class _Stays(HTTPRedirectHandler):
    """A token is for whom it was asked for."""

    def redirect_request(self, *_: object) -> None:
        """None: the redirection itself is the answer."""


def _asked(whom: str, url: str, token: str) -> TokenAnswer:
    """Once, by the proxy of this environment if it has one."""
    asked = Request(url, headers={"Authorization": f"Bearer {token}", "User-Agent": "bluegreen"})
    try:
        with build_opener(_Stays).open(asked, timeout=TIMEOUT) as answer:
            return TokenAnswer(answer.status, _lower(answer.headers.items()), _json(answer.read()))
    except HTTPError as error:
        return TokenAnswer(error.code, _lower(error.headers.items()), {})
    except (OSError, HTTPException) as error:
        what = f"no answer: {getattr(error, 'reason', None) or str(error) or type(error).__name__}"
        raise BlueGreenError(what, where=whom, hint="Check the network and the proxy, then try again.") from None


def _lower(headers: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    return {name.lower(): value for name, value in headers}


def _json(body: bytes) -> Mapping[str, Any]:
    try:
        said = json.loads(body)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
