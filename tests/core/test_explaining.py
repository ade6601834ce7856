"""What `bluegreen explain` prints: who may what, and by which rule."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bluegreen.cli import cli
from bluegreen.cli.explaining import WINDOWS
from lab.github import FakeGitHub
from tests.worlds.github_description import description

CONFIG = """\
service: web
group: web-asg
traffic: {target_groups: [web]}
image: {ami: ami-0123}
promotion: {by: person, approvals: 2, by_author: false}
slack: {promoters: [S0GROUP, U0123], rollbackers: ["*"], overriders: [U0123]}
github: {promoters: [octocat, acme/web, acme/leads]}
people: {alice: [U0123, octocat]}
freeze: [{cron: "0 16 * * FRI", for: 64h, zone: Europe/Berlin}]
"""
SESSION = "arn:aws:sts::123456789012:assumed-role/Admin/ann"


@pytest.fixture(autouse=True)
def nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """No token, and so no way to GitHub."""
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    monkeypatch.delenv("GITHUB_API_URL", raising=False)


def explain(folder: Path, *words: str) -> Result:
    """Run it on that configuration; nothing of AWS is there."""
    (folder / "bluegreen.yml").write_text(CONFIG)
    return CliRunner().invoke(cli, ["explain", "--config", str(folder / "bluegreen.yml"), *words])


def table(text: str) -> dict[str, list[str]]:
    """The rows by their first cell."""
    rows = [line.split("  ") for line in text.splitlines() if "  " in line]
    return {row[0]: [cell.strip() for cell in row[1:] if cell.strip()] for row in rows}


def test_it_shows_each_order_in_each_realm(tmp_path: Path) -> None:
    """Lists and ids, with a mark where nothing was said; and what else a promotion asks for."""
    result = explain(tmp_path)
    assert result.exit_code == 0
    rows = table(result.stdout)
    assert rows["promote"] == ["promoters", "S0GROUP, U0123", "octocat, acme/web, acme/leads", "everyone*"]
    assert rows["roll back"] == ["rollbackers", "everyone", "everyone*", "everyone*"]
    assert rows["override"] == ["overriders", "U0123", "nobody*", "everyone*"]
    assert rows["hold"][:2] == ["promoters or rollbackers", "everyone"]
    assert "* the default, if the configuration has no entry" in result.stdout
    assert "promotion.approvals: 2 different people must promote" in result.stdout
    assert "promotion.by_author: the commit's author may not promote it" in result.stdout
    assert "people: U0123, octocat are one person, alice" in result.stdout
    assert "freeze: no release or promotion from 0 16 * * FRI (Europe/Berlin) for 2d 16h" in result.stdout


@pytest.mark.parametrize(
    ("who", "order", "verdict"),
    [
        ("slack:U0123", "promote", ["yes", "slack.promoters names U0123"]),
        ("slack:U0999", "promote", ["if in S0GROUP", "slack.promoters names a group that bluegreen cannot read"]),
        ("slack:U0999", "roll back", ["yes", "slack.rollbackers names everyone"]),
        ("slack:U0999", "override", ["no", "slack.overriders names others"]),
        ("github:OctoCat", "release", ["yes", "github.promoters names octocat"]),
        ("github:hubot", "override", ["no", "github.overriders names nobody"]),
        (
            "github:hubot",
            "freeze",
            ["if in acme/web or acme/leads", "github.promoters names groups that bluegreen cannot read"],
        ),
        (SESSION, "roll back", ["yes", "aws.rollbackers names everyone"]),
        (
            SESSION,
            "promote",
            ["no", "promotion.approvals: several people may use that id, and `people` does not list it"],
        ),
    ],
)
def test_it_judges_one_person(tmp_path: Path, who: str, order: str, verdict: list[str]) -> None:
    """The verdict on each order with its rule; what only others know is left open."""
    result = explain(tmp_path, "--who", who)
    assert result.exit_code == 0
    assert f"What {who} may do with web/production:" in result.stdout
    assert table(result.stdout)[order] == verdict


@pytest.mark.parametrize("who", ["bob", "U0123", "slack:bob", "*"])
def test_a_name_is_nobody(tmp_path: Path, who: str) -> None:
    """It says what an id looks like."""
    result = explain(tmp_path, "--who", who)
    assert result.exit_code == 2
    assert f"--who {who}: is no id" in result.stderr
    assert "Write slack:U0123…, github:octocat, or the ARN of an AWS principal." in result.stderr


def test_github_is_asked_where_there_is_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of teams alone; a token that may not see them leaves it open."""
    github = FakeGitHub(description(), token="ghs_right")
    monkeypatch.setenv("GITHUB_TOKEN", "ghs_right")
    monkeypatch.setenv("GITHUB_API_URL", github.url)
    try:
        assert table(explain(tmp_path, "--who", "github:hubot").stdout)["promote"] == [
            "no",
            "github.promoters names others",
        ]
        github.joins("acme/leads", "hubot")
        assert table(explain(tmp_path, "--who", "github:hubot").stdout)["release"] == [
            "yes",
            "github.promoters names acme/leads",
        ]
        github.fail("/teams/", 403)
        assert table(explain(tmp_path, "--who", "github:hubot").stdout)["release"][0] == "if in acme/web or acme/leads"
        asked = len(github.asked)
        explain(tmp_path, "--who", "slack:U0999")
        assert len(github.asked) == asked
        assert github.violations == []
    finally:
        github.close()


def test_the_next_windows_are_shown(tmp_path: Path) -> None:
    """Five, so that people see what an expression means."""
    shown = explain(tmp_path).stdout.partition("The next freeze windows:")[2].splitlines()[2:]
    assert shown[0].split() == ["from", "until", "reason"]
    assert len(shown[1:]) == WINDOWS
    assert all(re.fullmatch(r"\S+ 16:00 Europe/Berlin +\S+ 08:00 Europe/Berlin +\S.*", line) for line in shown[1:])
    freezes = said(tmp_path)["freezes"]
    assert [one["from"] for one in freezes] == [line[:30].rstrip() for line in shown[1:]]
    (tmp_path / "bluegreen.yml").write_text(CONFIG.partition("freeze:")[0])
    alone = CliRunner().invoke(cli, ["explain", "--config", str(tmp_path / "bluegreen.yml")])
    assert "freeze windows" not in alone.stdout


def said(folder: Path, *words: str) -> dict[str, Any]:
    """For programs: one object."""
    result = explain(folder, "--json", *words)
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_for_programs(tmp_path: Path) -> None:
    """Rules, conditions, and the verdicts on somebody who is named."""
    rules = said(tmp_path)
    assert (rules["schema_version"], rules["service"], len(rules["orders"])) == (1, "web/production", 27)
    first = {"order": "promote", "realm": "slack", "rule": "slack.promoters", "who": ["S0GROUP", "U0123"]}
    assert rules["orders"][0] == {**first, "default": False}
    assert "promotion.approvals: 2 different people must promote" in rules["conditions"]
    assert "may" not in rules
    person = said(tmp_path, "--who", "slack:U0999")
    assert person["who"] == "slack:U0999"
    assert person["may"][0] == {
        "order": "promote",
        "may": False,
        "rule": "slack.promoters",
        "by": "",
        "if_in": ["S0GROUP"],
        "doubts": ["bluegreen cannot read who is in S0GROUP"],
    }
