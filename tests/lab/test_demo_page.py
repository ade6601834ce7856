"""The demo as a newcomer uses it: a real browser, a real bot, real servers under load.

Screenshots are kept in $BLUEGREEN_SCREENSHOTS, else in the test's own folder.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser import NEEDS_BROWSER, SCHEMES, WIDTHS, Seen, browser, opened, picture
from tests.worlds.files import ROOT
from tests.worlds.waiting import alive, eventually

pytestmark = [pytest.mark.slow(seconds=60), pytest.mark.xdist_group("theatre"), NEEDS_BROWSER]
#: Milliseconds for a phase of a release to come.
SOON = 90_000
#: The bars of the chart by their colour: from which second to which they reach, of the 90 that it shows.
BARS = """
Object.fromEntries(["grey", "blue", "green", "failed"].map((colour) => {
  const drawn = [...document.querySelectorAll(`#chart .layer.${colour}`)].map((one) => one.getAttribute("d")).join("");
  return [colour, [...drawn.matchAll(/M([\\d.]+) /g)].map(([, x]) => Math.round(Number(x) / 10)).sort((a, b) => a - b)];
}))
"""


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


def look(seen: Seen, folder: Path, name: str) -> None:
    """Wide and narrow, light and dark: nothing to the side, nothing complained of, and all of it can be read."""
    page = seen.page
    scheme: Any  # one of the literals that playwright wants
    for width in WIDTHS:
        for scheme in SCHEMES:
            page.set_viewport_size({"width": width, "height": 844})
            page.emulate_media(color_scheme=scheme)
            # Both widths show the same nodes in the same colours, and axe-core is the dear part.
            assert seen.faults(accessible=width == WIDTHS[0]) == [], (name, width, scheme)
            picture(page, folder, f"{name}-{width}-{scheme}")
    box = page.get_by_test_id("say").bounding_box()
    assert box and box["y"] + box["height"] < 844, "on a phone the channel is in the first screen"
    page.set_viewport_size({"width": WIDTHS[0], "height": 844})


def speak_as(page: Page, person: str) -> None:
    """Be that person from now on."""
    page.get_by_test_id("person").select_option(person)


def type_(page: Page, text: str) -> None:
    """Type it into the channel."""
    page.get_by_test_id("say").fill(text)
    page.get_by_test_id("send").click()


def press(page: Page, action: str, where: str = "channel") -> None:
    """Press the card's button, or that of the Home, and confirm."""
    page.get_by_test_id(where).locator(f"[data-action-id={action}]").last.click()
    page.get_by_test_id("confirm-yes").click()


def turn_to(page: Page, tab: str) -> None:
    """Show the channel or the Home."""
    page.get_by_test_id(f"{tab}-tab").click()


def shows_the_move(bars: dict[str, list[int]]) -> None:
    """By colour what each version served, after a rollback, to the last second."""
    assert bars["green"], "what green served stays in the chart"
    assert bars["green"][-1] < bars["blue"][-1] >= 87, "blue serves to the last second"
    assert (bars["grey"], bars["failed"]) == ([], [])


def test_promoted_by_button_and_rolled_back_by_typing(tmp_path: Path) -> None:
    """One release is promoted on the Home, another rolled back by typing; a guest is refused; nobody is hurt."""
    kept = tmp_path / "screenshots"
    with demo(tmp_path / "demo") as (process, url), browser() as chromium, opened(chromium, 1280, "light", url) as seen:
        page = seen.page
        page.goto(url)
        channel, home = page.get_by_test_id("channel"), page.get_by_test_id("home")
        expect(page.get_by_test_id("start")).to_contain_text("Press Release a good version")
        look(seen, kept, "0-empty")
        page.get_by_test_id("release-good").click()
        expect(channel).to_contain_text("web/production#1 holding", timeout=SOON)
        assert "from image ami-" in channel.inner_text()
        look(seen, kept, "1-held")
        speak_as(page, "U0GUEST")
        press(page, "promote")
        expect(channel).to_contain_text("you may not promote it", timeout=SOON)
        turn_to(page, "home")
        expect(home).to_contain_text("There is no service that you may promote", timeout=SOON)
        speak_as(page, "U0PROMOTER")
        expect(home).to_contain_text("live: image ami-", timeout=SOON)
        look(seen, kept, "2-home")
        press(page, "promote", "home")
        expect(home.locator("[data-action-id=promote]")).to_have_count(0, timeout=SOON)
        expect(home).to_contain_text("live: #1", timeout=SOON)
        turn_to(page, "channel")
        expect(channel).to_contain_text("web/production#1 live", timeout=SOON)
        page.get_by_test_id("release-good").click()
        expect(channel).to_contain_text("web/production#2 holding", timeout=SOON)
        speak_as(page, "U0ONCALL")
        type_(page, "/rollback")
        expect(channel).to_contain_text("web/production#2 rolled back", timeout=SOON)
        expect(page.get_by_test_id("shares")).to_contain_text("2", timeout=SOON)
        shows_the_move(page.evaluate(BARS))
        look(seen, kept, "3-rolled-back")
        assert page.get_by_test_id("failed").inner_text() == "0"
        assert int(page.get_by_test_id("requests").inner_text().replace(",", "")) > 100
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    eventually(lambda: alive(tmp_path / "demo") == [], 30)
