"""The bot's settings: every variable, every mistake with its sentence, all at once, and never a secret."""

from __future__ import annotations

import logging
import subprocess
import sys
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluegreen.errors import ConfigError
from bot.settings import DEFAULTS, VARIABLES, Settings, read

Environment = dict[str, str]
BOT, APP, SIGNING, GITHUB = "xoxb-1-bot-secret", "xapp-1-app-secret", "signing-secret-8f14", "ghp_github_secret"
SOCKET: Environment = {"SLACK_BOT_TOKEN": BOT, "SLACK_APP_TOKEN": APP}
HTTP: Environment = {"SLACK_BOT_TOKEN": BOT, "SLACK_SIGNING_SECRET": SIGNING, "PORT": "3000"}
HEAD = "the bot cannot start:"
HINT = "docs/slack.md says where to find each."
NO_BOT_TOKEN = (
    "SLACK_BOT_TOKEN is not set: find it on the app's page in Slack (OAuth & Permissions, Bot User OAuth Token)."
)
NOT_A_BOT_TOKEN = (
    "SLACK_BOT_TOKEN does not begin with xoxb-: is it another token? (OAuth & Permissions, Bot User OAuth Token)"
)
NOT_AN_APP_TOKEN = (
    "SLACK_APP_TOKEN does not begin with xapp-: is it another token? (Basic Information, App-Level Tokens)"
)
NO_WAY = "neither SLACK_APP_TOKEN (Socket Mode) nor SLACK_SIGNING_SECRET (HTTP) is set: set one of them."
NO_PORT = "PORT is not set: with SLACK_SIGNING_SECRET the bot waits there for Slack's requests."
NOT_A_PORT = "PORT is not a port: write a number from 0 to 65535."
NOT_SLACK = "SLACK_API_URL is not a URL: write the complete URL, or leave it out."
NOT_GITHUB = "GITHUB_API_URL is not a URL: write the complete URL, or leave it out."
NO_LEVEL = "LOG_LEVEL must be one of DEBUG, INFO, WARNING, ERROR."


def without(name: str, of: Environment) -> Environment:
    """The environment less one variable."""
    return {key: value for key, value in of.items() if key != name}


def problems(environment: Environment) -> list[str]:
    """Each thing that is wrong."""
    with pytest.raises(ConfigError) as caught:
        read(environment)
    head, *found = [line.strip() for line in caught.value.what.split("\n")]
    assert head == HEAD
    assert caught.value.hint == HINT
    return found


# --- what is read ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_", "field", "value"),
    [
        ({}, "bot_token", BOT),
        ({}, "app_token", APP),
        ({}, "signing_secret", ""),
        ({"SLACK_SIGNING_SECRET": SIGNING}, "signing_secret", SIGNING),
        ({}, "github_token", ""),
        ({"GITHUB_TOKEN": GITHUB}, "github_token", GITHUB),
        ({}, "port", None),
        ({"PORT": ""}, "port", None),
        ({"PORT": "0"}, "port", 0),
        ({"PORT": "3000"}, "port", 3000),
        ({"PORT": "65535"}, "port", 65535),
        ({}, "slack_api", "https://slack.com/api/"),
        ({"SLACK_API_URL": ""}, "slack_api", "https://slack.com/api/"),
        ({"SLACK_API_URL": "http://127.0.0.1:8/api"}, "slack_api", "http://127.0.0.1:8/api/"),
        ({"SLACK_API_URL": "http://127.0.0.1:8/api/"}, "slack_api", "http://127.0.0.1:8/api/"),
        ({}, "github_api", "https://api.github.com"),
        ({"GITHUB_API_URL": "https://ghe.example.com/api/v3/"}, "github_api", "https://ghe.example.com/api/v3"),
        ({}, "table", "bluegreen"),
        ({"BLUEGREEN_TABLE": "journal"}, "table", "journal"),
        ({}, "region", None),
        ({"AWS_REGION": "eu-west-1"}, "region", "eu-west-1"),
        ({"AWS_DEFAULT_REGION": "eu-west-2"}, "region", "eu-west-2"),
        ({"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-2"}, "region", "eu-west-1"),
        ({}, "log_level", "INFO"),
        ({"LOG_LEVEL": "DEBUG"}, "log_level", "DEBUG"),
        ({"LOG_LEVEL": "warning"}, "log_level", "WARNING"),
        ({"LOG_LEVEL": "Error"}, "log_level", "ERROR"),
    ],
)
def test_what_is_read(given_: Environment, field: str, value: object) -> None:
    """One variable a line, as it is given and as it is left out."""
    assert getattr(read({**SOCKET, **given_}), field) == value


def test_space_around_a_value_is_nothing() -> None:
    """A secret that was copied with its line end works."""
    read_ = read(
        {"SLACK_BOT_TOKEN": f" {BOT}\n", "SLACK_APP_TOKEN": f"{APP}\r\n", "PORT": " 80 ", "LOG_LEVEL": " info"}
    )
    assert (read_.bot_token, read_.app_token, read_.port, read_.log_level) == (BOT, APP, 80, "INFO")


@pytest.mark.parametrize(
    ("environment", "by_socket"),
    [(SOCKET, True), (HTTP, False), ({**SOCKET, **HTTP}, True), ({**HTTP, "SLACK_APP_TOKEN": "  "}, False)],
    ids=["socket", "http", "both", "blank"],
)
def test_an_app_token_means_socket_mode(environment: Environment, *, by_socket: bool) -> None:
    """Whatever else is set."""
    assert read(environment).by_socket is by_socket


def test_the_rest_of_the_environment_means_nothing() -> None:
    """Only what is documented is read."""
    assert read({**SOCKET, "PATH": "/bin", "SLACK_TOKEN": "x", "LOGLEVEL": "no"}) == read(SOCKET)


def test_every_variable_matters() -> None:
    """What stands in the table is read: another value makes other settings."""
    other = {"SLACK_BOT_TOKEN": f"{BOT}2", "SLACK_APP_TOKEN": f"{APP}2", "PORT": "1", "LOG_LEVEL": "DEBUG"}
    for name in VARIABLES:
        value = other.get(name, "https://example.com/other")
        assert read({**SOCKET, name: value}) != read(SOCKET), name


def test_every_default_is_one_of_a_variable() -> None:
    """And each variable says what it is for."""
    assert DEFAULTS.keys() <= VARIABLES.keys()
    assert all(VARIABLES.values())


# --- what is wrong -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        (without("SLACK_BOT_TOKEN", SOCKET), NO_BOT_TOKEN),
        ({**SOCKET, "SLACK_BOT_TOKEN": ""}, NO_BOT_TOKEN),
        ({**SOCKET, "SLACK_BOT_TOKEN": "  "}, NO_BOT_TOKEN),
        ({**SOCKET, "SLACK_BOT_TOKEN": "xoxp-of-a-person"}, NOT_A_BOT_TOKEN),
        ({**SOCKET, "SLACK_BOT_TOKEN": APP}, NOT_A_BOT_TOKEN),
        ({**SOCKET, "SLACK_APP_TOKEN": BOT}, NOT_AN_APP_TOKEN),
        ({**HTTP, "SLACK_APP_TOKEN": "nonsense"}, NOT_AN_APP_TOKEN),
        (without("SLACK_APP_TOKEN", SOCKET), NO_WAY),
        ({**SOCKET, "SLACK_APP_TOKEN": " "}, NO_WAY),
        ({**without("SLACK_APP_TOKEN", SOCKET), "PORT": "3000"}, NO_WAY),
        (without("PORT", HTTP), NO_PORT),
        ({**HTTP, "PORT": " "}, NO_PORT),
        *[({**HTTP, "PORT": port}, NOT_A_PORT) for port in ("http", "65536", "-1", "80.0", "0x50", "3000;", "1e3")],
        ({**SOCKET, "PORT": "http"}, NOT_A_PORT),
        *[({**SOCKET, "SLACK_API_URL": url}, NOT_SLACK) for url in ("slack.com/api", "ftp://x", "//x", "file:///x")],
        ({**SOCKET, "GITHUB_API_URL": "api.github.com"}, NOT_GITHUB),
        *[({**SOCKET, "LOG_LEVEL": level}, NO_LEVEL) for level in ("LOUD", "CRITICAL", "10", "INFO DEBUG")],
    ],
)
def test_a_mistake_has_its_sentence(environment: Environment, said: str) -> None:
    """One thing is wrong, and nothing else is said."""
    assert problems(environment) == [said]


def test_all_mistakes_are_told_at_once() -> None:
    """Nobody starts the bot six times to hear of six mistakes."""
    wrong = {"PORT": "x", "SLACK_API_URL": "x", "GITHUB_API_URL": "x", "LOG_LEVEL": "x"}
    assert problems(wrong) == [NO_BOT_TOKEN, NO_WAY, NOT_A_PORT, NOT_SLACK, NOT_GITHUB, NO_LEVEL]
    assert problems({"SLACK_BOT_TOKEN": "x", "SLACK_APP_TOKEN": "x", **wrong})[:2] == [
        NOT_A_BOT_TOKEN,
        NOT_AN_APP_TOKEN,
    ]


def test_nothing_set_at_all() -> None:
    """The first start of most people: what to find, where, and which page says more."""
    with pytest.raises(ConfigError) as caught:
        read({})
    assert str(caught.value) == f"{HEAD}\n  {NO_BOT_TOKEN}\n  {NO_WAY.rstrip('.')}. {HINT}"


def test_a_digit_that_is_no_number() -> None:
    """The sentence, not a traceback."""
    assert problems({**HTTP, "PORT": "8²"}) == [NOT_A_PORT]


# --- secrets -----------------------------------------------------------------------------------------------

#: Each with a frame that no sentence has: hypothesis knows the words of this file, too.
_SECRET = st.text(st.characters(codec="ascii", min_codepoint=33, exclude_characters="\"'\\"), min_size=8).map(
    "~{}~".format
)


@given(bot=_SECRET, app=_SECRET, signing=_SECRET, github=_SECRET)
def test_no_secret_shows(bot: str, app: str, signing: str, github: str) -> None:
    """Neither in what the settings look like, nor in a log line of them."""
    tokens = {"SLACK_BOT_TOKEN": f"xoxb-{bot}", "SLACK_APP_TOKEN": f"xapp-{app}", "SLACK_SIGNING_SECRET": signing}
    settings = read({**tokens, "GITHUB_TOKEN": github})
    record = logging.LogRecord("bot", logging.INFO, "", 0, "%s %r", (settings, settings), None)
    for shown in (repr(settings), str(settings), f"{settings}", record.getMessage()):
        assert not [one for one in (bot, app, signing, github) if one in shown]


def test_the_repr_shows_what_is_no_secret() -> None:
    """Else nobody could see from a log how the bot was set."""
    shown = repr(read({**HTTP, "GITHUB_TOKEN": GITHUB, "BLUEGREEN_TABLE": "journal"}))
    hidden = {"bot_token", "app_token", "signing_secret", "github_token"}
    for one in fields(Settings):
        assert (f"{one.name}=" in shown) is (one.name not in hidden), one.name
    assert "table='journal'" in shown
    assert "port=3000" in shown


@given(bot=_SECRET, app=_SECRET, signing=_SECRET, port=_SECRET)
def test_no_secret_is_in_an_error(bot: str, app: str, signing: str, port: str) -> None:
    """Not of a token in the wrong place, not even of one in PORT: an error is logged."""
    given_ = {"SLACK_BOT_TOKEN": f"x{bot}", "SLACK_APP_TOKEN": f"x{app}", "SLACK_SIGNING_SECRET": signing}
    misplaced = {
        "PORT": f"x{port}",
        "SLACK_API_URL": f"x{app}",
        "GITHUB_API_URL": f"x{bot}",
        "LOG_LEVEL": f"x{signing}",
    }
    with pytest.raises(ConfigError) as caught:
        read({**given_, **misplaced, "GITHUB_TOKEN": bot})
    for shown in (str(caught.value), repr(caught.value), caught.value.what, caught.value.hint):
        assert not [one for one in (bot, app, signing, port) if one in shown]


# --- as a person sees it -----------------------------------------------------------------------------------


def test_the_bot_says_what_is_wrong_and_exits_2() -> None:
    """On stderr, without a traceback and without what is secret; nothing was begun."""
    environment = {"SLACK_BOT_TOKEN": APP, "PORT": "no"}
    done = subprocess.run([sys.executable, "-m", "bot"], env=environment, capture_output=True, text=True, timeout=60)
    lines = done.stderr.splitlines()
    assert done.returncode == 2, done.stderr
    assert lines[0] == f"error: {HEAD}"
    assert [line.strip() for line in lines[1:]] == [NOT_A_BOT_TOKEN, NO_WAY, f"{NOT_A_PORT} {HINT}"]
    assert APP not in done.stderr + done.stdout
