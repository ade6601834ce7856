"""The site of docs/: it builds, its links lead somewhere, and a newcomer finds what people ask first."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests import site
from tests.browser import NEEDS_BROWSER, SCHEMES, WIDTHS, browser, opened, picture, served
from tests.project.test_references import PAGES
from tests.worlds.files import ROOT

pytestmark = pytest.mark.xdist_group("site")  # one build for all
#: What people ask before they try it -> a heading that answers, as the page and the anchor.
QUESTIONS: Mapping[str, tuple[str, str]] = {
    "how long a release takes": ("timing.html", "a-release"),
    "what it costs": ("deploying.html", "what-it-costs"),
    "which permissions it needs": ("permissions.html", "the-role-in-aws"),
    "what happens to Terraform's state": ("how-to/terraform.html", "what-happens-to-the-state"),
    "how to leave": ("getting-started.html", "how-to-leave"),
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does."""
    return site.build(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def known(built: Path) -> dict[str, site.Page]:
    """Its pages, read once."""
    return site.pages(built)


def test_every_page_is_built_and_each_file_that_pages_link_to(known: dict[str, site.Page]) -> None:
    """`build` fails where a link, an anchor or a file is missing, or something would be loaded from elsewhere."""
    assert {f"{path.relative_to(site.DOCS).with_suffix('.html')}" for path in site.DOCS.rglob("*.md")} <= known.keys()
    assert {"files/examples/policy.json.html", "files/deploy/index.html", "files/SECURITY.html"} <= known.keys()


@pytest.mark.parametrize(
    ("html", "said"),
    [
        ('<a href="b.html">', "a.html: b.html leads to no page"),
        ('<a href="a.html#c">', "a.html: a.html#c names no anchor of a.html"),
        ('<a href="#c">', "a.html: #c names no anchor of a.html"),
        ('<img src="b.svg">', "a.html: b.svg is not there"),
        ('<script src="https://cdn.example/x.js">', "a.html: https://cdn.example/x.js would be loaded from elsewhere"),
        ('<link rel="stylesheet" href="//b/c.css">', "a.html: //b/c.css would be loaded from elsewhere"),
    ],
)
def test_what_is_missing_is_found(html: str, said: str, tmp_path: Path) -> None:
    """Each kind of it."""
    (tmp_path / "a.html").write_text(html)
    assert list(site.missing(tmp_path)) == [said]


def test_a_link_to_a_file_that_the_repository_has_not_is_found(tmp_path: Path) -> None:
    """It stops the build; one to another host is not followed."""
    page = site.DOCS / "a.md"
    assert site.turned("[b](https://b/../c) [t](traffic.md#x)", page, []) == "[b](https://b/../c) [t](traffic.md#x)"
    with pytest.raises(site.Broken, match=r"docs/a.md: ../nowhere.md does not exist"):
        site.turned("[b](../nowhere.md)", page, [])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere_on_github_too(page: Path) -> None:
    """Of every page of the repository: the file is there, and a heading of it has that anchor by GitHub's rule."""
    for link, anchor in site.LINK.findall(page.read_text()):
        found = (page.parent / link).resolve()
        if "//" not in link and not link.startswith("mailto:"):
            assert found.exists(), link
            assert not anchor or found.suffix != ".md" or anchor[1:] in anchors(found.read_text()), link + anchor
    for anchor in re.findall(r"\]\(#([^)]+)\)", page.read_text()):
        assert anchor in anchors(page.read_text()), anchor


def anchors(page: str) -> set[str]:
    """Of its headings: letters, digits, dashes and underscores stay, in small letters; a blank is a dash."""
    headings = re.findall(r"(?m)^#+ (.+)$", re.sub(r"(?ms)^ *```.*?^ *```", "", page))
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)|`", r"\1", heading).lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}


def test_an_anchor_is_githubs() -> None:
    """Marks fall away, and a blank beside one stays."""
    assert anchors("# `a_b` & C: [d](e)\n```sh\n# f\n```\n") == {"a_b--c-d"}


def test_every_page_is_in_the_navigation_once() -> None:
    """A page that is not there is found by the search alone."""
    listed = list(_pages(tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"]))
    assert sorted(listed) == sorted(str(path.relative_to(site.DOCS)) for path in site.DOCS.rglob("*.md"))


def _pages(entries: list[dict[str, Any]]) -> Iterator[str]:
    for entry in entries:
        for below in entry.values():
            yield from [below] if isinstance(below, str) else _pages(below)


@pytest.mark.parametrize("question", QUESTIONS)
def test_what_people_ask_first_is_within_three_clicks(question: str, known: dict[str, site.Page]) -> None:
    """Of links in the text of pages; the navigation and the search do not count."""
    goal = QUESTIONS[question]
    assert not goal[1] or goal[1] in known[goal[0]].anchors
    reached, clicks = {("index.html", "")}, 0
    while goal not in reached:
        clicks += 1
        assert clicks <= 3, question
        ways = [(page, link) for page, _ in reached if page in known for link in known[page].text_links]
        reached |= {found for page, link in ways if (found := site.target(page, link))}


# --- as people see it ----------------------------------------------------------------------------------------

#: The first page, a long reference, and a page for the night: all that pages consist of.
LOOKED_AT = ("index.html", "reference/configuration.html", "outcomes.html")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One for all."""
    with browser() as started:
        yield started


@NEEDS_BROWSER
@pytest.mark.slow(seconds=10)  # six looks at complete pages, contrast included
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_pages_fit_and_everybody_can_read_them(
    width: int, scheme: str, built: Path, chromium: Browser, tmp_path: Path
) -> None:
    """No scroll to the side, no error, nothing loaded from elsewhere, contrast of AA; each page in two of four ways."""
    with served(built) as url, opened(chromium, width, scheme, url) as seen:
        for number, name in enumerate(LOOKED_AT):
            seen.page.goto(url + name)
            picture(seen.page, tmp_path, f"site-{number}-{scheme}-{width}")
            looked = (number + WIDTHS.index(width) + SCHEMES.index(scheme)) % 2 == 0
            assert seen.faults(accessible=looked) == [], name


@NEEDS_BROWSER
def test_the_search_finds_a_reason_without_asking_anybody(built: Path, chromium: Browser) -> None:
    """By its name, as it stands in a log."""
    with served(built) as url, opened(chromium, WIDTHS[0], SCHEMES[0], url) as seen:
        seen.page.goto(url)
        asked = seen.page.get_by_label("Search").locator("input")
        asked.wait_for(state="attached")  # the page's script has put it there, so the button works
        seen.page.get_by_role("button", name="Search").click()
        asked.fill("hold_expired")
        expect(seen.page.locator("a[href*='outcomes.html']").filter(has_text="hold_expired").first).to_be_visible(
            timeout=30_000
        )
        assert seen.faults(accessible=False) == []
