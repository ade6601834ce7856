"""The demo as a newcomer uses it: a real browser, a real bot, real servers under load.

Screenshots are kept in $BLUEGREEN_SCREENSHOTS, else in the test's own folder.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.worlds.files import ROOT
from tests.worlds.waiting import alive, eventually

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow(seconds=60),
    pytest.mark.xdist_group("theatre"),
    pytest.mark.skipif(
        not CHROMIUM and not os.environ.get("BLUEGREEN_NEED_BROWSER"), reason="there is no chromium on this machine"
    ),
]
#: Milliseconds for a phase of a release to come.
SOON = 90_000


@contextmanager
def demo(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The demo as `make demo` starts it, and the address of its page."""
    environment = {**os.environ, "TMPDIR": str(folder), "PYTHONUNBUFFERED": "1", "BROWSER": "true"}
    few = ["--instances", "1", "--visitors", "1", "--pause", "0.2", "--soak", "5"]
    command = [sys.executable, "-m", "bluegreen", "demo", "--port", "0", "--minutes", "8", *few]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = (re.search(r"http://127\.0\.0\.1:\d+/", line) for line in process.stdout)
            url = next(one[0] for one in found if one)
            yield process, url
        finally:
            process.kill()


@contextmanager
def browser(url: str) -> Iterator[Page]:
    """The page in a headless Chromium; an error in its scripts is an error here."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = started.new_page(viewport={"width": 1360, "height": 940})
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url)
        yield page
        started.close()
        assert errors == []


def picture(page: Page, folder: Path, name: str) -> None:
    """A screenshot."""
    kept = Path(os.environ.get("BLUEGREEN_SCREENSHOTS", str(folder)))
    kept.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(kept / f"{name}.png"))


def speak_as(page: Page, person: str) -> None:
    """Be that person from now on."""
    page.get_by_test_id("person").select_option(person)


def type_(page: Page, text: str) -> None:
    """Type it into the channel."""
    page.get_by_test_id("say").fill(text)
    page.get_by_test_id("send").click()


def press(page: Page, action: str) -> None:
    """Press the card's button, and confirm."""
    page.get_by_test_id("channel").locator(f"[data-action-id={action}]").last.click()
    page.get_by_test_id("confirm-yes").click()


def test_promoted_by_button_and_rolled_back_by_typing(tmp_path: Path) -> None:
    """One release is promoted by the button, another rolled back by typing; a guest is refused; nobody is hurt."""
    kept = tmp_path / "screenshots"
    with demo(tmp_path / "demo") as (process, url), browser(url) as page:
        channel = page.get_by_test_id("channel")
        page.get_by_test_id("release-good").click()
        expect(channel).to_contain_text("web/production#1 holding", timeout=SOON)
        picture(page, kept, "1-held")
        speak_as(page, "U0GUEST")
        press(page, "promote")
        expect(channel).to_contain_text("you may not promote it", timeout=SOON)
        picture(page, kept, "2-guest-refused")
        speak_as(page, "U0PROMOTER")
        press(page, "promote")
        expect(channel).to_contain_text("web/production#1 soaking", timeout=SOON)
        expect(channel).to_contain_text("web/production#1 live", timeout=SOON)
        expect(channel.locator("[data-action-id=promote]")).to_have_count(0)
        picture(page, kept, "3-live")
        page.get_by_test_id("release-good").click()
        expect(channel).to_contain_text("web/production#2 holding", timeout=SOON)
        speak_as(page, "U0ONCALL")
        type_(page, "/rollback")
        expect(channel).to_contain_text("web/production#2 rolled back", timeout=SOON)
        expect(page.get_by_test_id("shares")).to_contain_text("2", timeout=SOON)
        picture(page, kept, "4-rolled-back")
        page.get_by_test_id("home-tab").click()
        expect(page.get_by_test_id("home")).to_contain_text("web/production", timeout=SOON)
        picture(page, kept, "5-home")
        assert page.get_by_test_id("failed").inner_text() == "0"
        assert int(page.get_by_test_id("requests").inner_text().replace(",", "")) > 100
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    eventually(lambda: alive(tmp_path / "demo") == [], 30)
    assert len(list(kept.glob("*.png"))) == 5 or "BLUEGREEN_SCREENSHOTS" in os.environ
