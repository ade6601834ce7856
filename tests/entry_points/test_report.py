"""`bluegreen report` on releases that were played, and its pages in a browser."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import bluegreen.engine
from bluegreen.cli import cli
from bluegreen.events import Phase
from bluegreen.report import page
from tests import browser
from tests.browser import NEEDS_BROWSER, SCHEMES, WIDTHS
from tests.worlds import GOOD, Ops, asleep, fast

SERVICE = "web/production"


@pytest.fixture(scope="module")
def played() -> Ops:
    """A release that went live, and one that somebody rolled back in its soak."""
    ops = fast(weighted=True)
    ops.drive(ops.start(GOOD).id)
    ops.drive(ops.start("c0ffee02").id, when=ops.order_back(Phase.SOAKING))
    return ops


@pytest.fixture
def beside(played: Ops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with the journal of those releases behind the command."""
    return at(played, tmp_path, monkeypatch)


def at(ops: Ops, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The command works there, on that world and by its clock."""
    monkeypatch.setattr(bluegreen.engine, "Engine", lambda **_: ops.engine())
    monkeypatch.setattr("time.time", ops.clock.now)
    monkeypatch.chdir(folder)
    return folder


def run(*arguments: str) -> Result:
    """The command, as called in a shell; nothing may escape it."""
    result = CliRunner().invoke(cli, ["report", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_the_newest_release_has_a_page_by_its_name(beside: Path) -> None:
    """A named one goes where it is told to; a report is replaced by a newer one."""
    assert run(SERVICE).stdout == "web-production-2.html has the report of web/production#2\n"
    assert "rolled back" in (beside / "web-production-2.html").read_text()
    for _ in range(2):
        assert run(f"{SERVICE}#1", "-o", "report.html").exit_code == 0
    assert "web/production#1 is live" in (beside / "report.html").read_text()
    assert run(f"{SERVICE}#1", "-o", ".").exit_code == 0
    assert (beside / "web-production-1.html").stat().st_mode & 0o777 == 0o644
    assert run(f"{SERVICE}#1", "-o", "-").stdout.startswith("<!DOCTYPE html>")


def test_a_file_that_is_no_report_is_kept(beside: Path) -> None:
    """Unless it is asked for; so is one of a history, and then no page is written."""
    for name in ("index.html", "web-production-1.html"):
        (beside / name).write_text("mine")
        refused = run(SERVICE, "--all", "-o", "index.html")
        assert refused.exit_code == 2
        assert f"{name}: is there, and is no report of bluegreen" in refused.stderr
        assert not (beside / "web-production-2.html").exists()
        (beside / name).unlink()
    (beside / "notes.txt").write_text("mine")
    assert "add --force" in run(SERVICE, "-o", "notes.txt").stderr
    assert (beside / "notes.txt").read_text() == "mine"
    assert run(SERVICE, "-o", "notes.txt", "--force").exit_code == 0
    assert "cannot be written" in run(SERVICE, "-o", "notes.txt/x.html").stderr


def test_a_release_that_is_not_there_is_an_error_with_a_way_on(beside: Path) -> None:
    """A number too high, a service without releases, a number that is none."""
    unknown, never, none = run(f"{SERVICE}#9"), run("api/production"), run(f"{SERVICE}#x")
    assert (unknown.exit_code, never.exit_code, none.exit_code) == (4, 2, 2)
    assert "`bluegreen history web/production` lists the existing ones." in unknown.stderr
    assert "`bluegreen status` lists the services with releases." in never.stderr
    assert "Name a release as in web/production#42" in none.stderr
    assert "api/production: has no releases" in run("api/production", "--all").stderr
    assert list(beside.iterdir()) == []


def test_programs_get_the_values(beside: Path) -> None:
    """Of a release, and of a history."""
    one, every = json.loads(run(SERVICE, "--json").stdout), json.loads(run("--all", "--json").stdout)
    assert (one["release"], one["decision"]) == (f"{SERVICE}#2", "rolled_back")
    assert one["rollback"]["by"] == "slack:U1"
    assert 0 <= one["rollback"]["seconds"] < 60
    assert (one["blue"][0]["desired"], one["checks"].keys() >= {"targets"}) == (2, True)
    assert [row["release"] for row in every["releases"]] == [f"{SERVICE}#2", f"{SERVICE}#1"]
    assert [figure["counted"] for figure in every["figures"]] == [
        *("1 in 90 days", "median of 1", "1 of 2", "median of 1"),
    ]  # fmt: skip


def test_the_index_stands_beside_the_pages(beside: Path) -> None:
    """Of every service in the journal, where there is no configuration."""
    assert "history/index.html lists 2 releases of web/production" in run("--all").stdout
    links = re.findall(r'href="([^":]+)"', (beside / "history" / "index.html").read_text())
    assert links == ["web-production-2.html", "web-production-1.html"]
    assert all('href="index.html"' in (beside / "history" / link).read_text() for link in links)
    assert run("--all", "-o", "-").stdout.count("<tr>") == 3
    assert run("--all", "-o", "new").exit_code == 0
    assert (beside / "new" / "index.html").exists()


def test_a_release_at_size_0_has_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There was no overlap, and nobody was served."""
    ops = asleep()
    ops.drive(ops.start(GOOD).id)
    at(ops, tmp_path, monkeypatch)
    told = json.loads(run(SERVICE, "--json").stdout)
    assert (told["decision"], told["instance_hours"]) == ("live", 0.0)
    assert "0 instance-hours" in run(SERVICE, "-o", "-").stdout


@NEEDS_BROWSER
@pytest.mark.xdist_group("browser")
def test_pages_fit_every_reader(beside: Path) -> None:
    """On a laptop and a phone, light and dark: nothing to scroll to, no complaint, no request to others, WCAG AA."""
    assert run("--all", "-o", ".").exit_code == 0
    with browser.browser() as chromium:
        for width in WIDTHS:
            for scheme in SCHEMES:
                with browser.opened(chromium, width, scheme, beside.as_uri()) as seen:
                    for name in ("index", "web-production-1", "web-production-2"):
                        seen.page.goto((beside / f"{name}.html").as_uri())
                        seen.page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
                        assert seen.faults(accessible=width < 400) == [], (name, width, scheme)
                        browser.picture(seen.page, beside / "screenshots", f"{name}-{width}-{scheme}")
        with browser.opened(chromium, 800, "dark", beside.as_uri()) as seen:
            seen.page.goto((beside / "web-production-1.html").as_uri())
            hidden = seen.page.locator("details td").first
            assert not hidden.is_visible()
            seen.page.emulate_media(media="print")
            assert hidden.is_visible(), "paper has no way to open what is folded"
            colour = seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert colour == "rgb(255, 255, 255)"


def test_a_page_is_known_by_its_mark(beside: Path) -> None:
    """Within what is read of a file before it is replaced."""
    assert page.MARK in run(SERVICE, "-o", "-").stdout[:1000]
