"""What the environment says: read once at the start, with every mistake told at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from bluegreen.engine import region_in
from bluegreen.errors import ConfigError

#: Every variable with what it is for; docs/slack.md says the same, and a test holds them together.
VARIABLES: Mapping[str, str] = {
    "SLACK_BOT_TOKEN": "the app's bot token, xoxb-…",
    "SLACK_APP_TOKEN": "an app-level token with connections:write, xapp-…; with it the bot uses Socket Mode",
    "SLACK_SIGNING_SECRET": "for HTTP: the secret with which Slack signs its requests",
    "PORT": "the port for Slack's requests (HTTP), /healthz and /metrics",
    "SLACK_API_URL": "another address of Slack's Web API",
    "GITHUB_TOKEN": "for /release: a token with actions: write",
    "GITHUB_API_URL": "another address of GitHub's API",
    "BLUEGREEN_TABLE": "the journal's table",
    "AWS_REGION": "the region of the table",
    "LOG_LEVEL": "DEBUG, INFO, WARNING or ERROR",
}
DEFAULTS: Mapping[str, str] = {
    "SLACK_API_URL": "https://slack.com/api/",
    "GITHUB_API_URL": "https://api.github.com",
    "BLUEGREEN_TABLE": "bluegreen",
    "LOG_LEVEL": "INFO",
}
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_DOCS = "docs/slack.md says where to find each."


@dataclass(frozen=True)
class Settings:
    """The bot's own settings; secrets do not show in its repr."""

    bot_token: str = field(repr=False)
    app_token: str = field(repr=False)
    signing_secret: str = field(repr=False)
    github_token: str = field(repr=False)
    port: int | None
    slack_api: str
    github_api: str
    table: str
    region: str | None
    log_level: str

    @property
    def by_socket(self) -> bool:
        """Whether Slack is reached by Socket Mode, not by HTTP."""
        return bool(self.app_token)


def read(environment: Mapping[str, str]) -> Settings:
    """The settings; ConfigError names everything that is wrong, and no secret."""
    given = {name: (environment.get(name) or "").strip() or DEFAULTS.get(name, "") for name in VARIABLES}
    if problems := list(_problems(given)):
        raise ConfigError("\n  ".join(["the bot cannot start:", *problems]), hint=_DOCS)
    return Settings(
        bot_token=given["SLACK_BOT_TOKEN"],
        app_token=given["SLACK_APP_TOKEN"],
        signing_secret=given["SLACK_SIGNING_SECRET"],
        github_token=given["GITHUB_TOKEN"],
        port=int(given["PORT"]) if given["PORT"] else None,
        slack_api=given["SLACK_API_URL"].rstrip("/") + "/",
        github_api=given["GITHUB_API_URL"].rstrip("/"),
        table=given["BLUEGREEN_TABLE"],
        region=region_in({**environment, "AWS_REGION": given["AWS_REGION"]}),
        log_level=given["LOG_LEVEL"].upper(),
    )


def _problems(given: Mapping[str, str]) -> Iterator[str]:
    yield from _token(given, "SLACK_BOT_TOKEN", "xoxb-", "OAuth & Permissions, Bot User OAuth Token")
    if given["SLACK_APP_TOKEN"]:
        yield from _token(given, "SLACK_APP_TOKEN", "xapp-", "Basic Information, App-Level Tokens")
    elif not given["SLACK_SIGNING_SECRET"]:
        yield "neither SLACK_APP_TOKEN (Socket Mode) nor SLACK_SIGNING_SECRET (HTTP) is set: set one of them."
    elif not given["PORT"]:
        yield "PORT is not set: with SLACK_SIGNING_SECRET the bot waits there for Slack's requests."
    if given["PORT"] and not (re.fullmatch(r"[0-9]{1,5}", given["PORT"]) and int(given["PORT"]) <= 65535):
        yield "PORT is not a port: write a number from 0 to 65535."
    for name in ("SLACK_API_URL", "GITHUB_API_URL"):
        if not given[name].startswith(("https://", "http://")):
            yield f"{name} is not a URL: write the complete URL, or leave it out."
    if given["LOG_LEVEL"].upper() not in _LEVELS:
        yield f"LOG_LEVEL must be one of {', '.join(_LEVELS)}."


def _token(given: Mapping[str, str], name: str, prefix: str, where: str) -> Iterator[str]:
    if not given[name]:
        yield f"{name} is not set: find it on the app's page in Slack ({where})."
    elif not given[name].startswith(prefix):
        yield f"{name} does not begin with {prefix}: is it another token? ({where})"
