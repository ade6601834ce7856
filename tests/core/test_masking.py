"""What looks like a secret is hidden; what does not stays readable."""

from __future__ import annotations

import pytest

from bluegreen.masking import mask, secrets_of
from bluegreen.release import Outcome
from tests.worlds import bare


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("key AKIAABCDEFGHIJKLMNOP here", "key *** here"),
        ("ghp_" + "a" * 36, "***"),
        ("xoxb-1234567890-abcdef", "***"),
        ("git clone https://ann:hunter22@example.com/x", "git clone https://***@example.com/x"),
        ("Authorization: Basic abc def", "Authorization: ***"),
        ("bearer abcdefgh.ijkl", "bearer ***"),
        ("DB_PASSWORD=hunter2 make", "DB_PASSWORD=*** make"),
        ('{"api_key": "abc", "n": 1}', '{"api_key": "***", "n": 1}'),
        ("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----\nok", "***\nok"),
        ("-----BEGIN PRIVATE KEY-----\ncut off", "***"),
        ("fatal: could not read from remote repository", "fatal: could not read from remote repository"),
        ("https://example.com:8080/path", "https://example.com:8080/path"),
    ],
)
def test_masked(text: str, shown: str) -> None:
    """One line a rule."""
    assert mask(text) == shown


def test_values_of_the_environment_are_known() -> None:
    """By the names of their variables; short values are words."""
    secrets = secrets_of({"AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI", "MY_TOKEN": "short", "HOME": "/home/ann-home"})
    assert secrets == ("wJalrXUtnFEMI",)
    assert mask("echo wJalrXUtnFEMI", secrets) == "echo ***"


def test_a_secret_that_a_build_prints_is_not_in_the_journal() -> None:
    """Neither in an event nor in the last one."""
    o = bare()
    o.machines.fails("git fetch", output="remote: https://ann:hunter2222@git.example.com refused")
    release = o.start()
    done = o.drive(release.id)
    assert done is not None
    assert done.outcome is Outcome.ROLLED_BACK
    assert "refused" in done.message
    assert all("hunter2222" not in str(event.facts) for event in o.engine().follow(release.id))
