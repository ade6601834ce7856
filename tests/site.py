"""The pages of docs/ as a site: `python -m tests.site` builds it in .site/html, `python -m tests.site serve` shows it.

The pages are written for GitHub, where a link may lead to any file of the repository. The site has only pages: so each
linked file outside docs/ becomes a page of the site that shows it, and each linked folder a page that lists it.
`build` fails if a link, an anchor or a picture is missing. `zensical` itself looks at pages and anchors alone.
"""

from __future__ import annotations

import http.server
import os
import posixpath
import re
import shutil
import subprocess
import sys
import webbrowser
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
SETTINGS = ROOT / "zensical.toml"
#: Where `make docs` builds; ignored by git.
PLACE = ROOT / ".site"
#: Below it stand the pages that show files of the repository.
FILES = "files"
#: A link or picture of Markdown, its target without the anchor.
LINK = re.compile(r"(?<=\]\()([^)#\s]+)((?:#[^)\s]*)?)(?=\))")
LANGUAGES = {".yml": "yaml", ".json": "json", ".tf": "hcl", ".py": "python"}


class Broken(Exception):
    """The site cannot be built as it is; the message has one line for each fault."""


def build(folder: Path) -> Path:
    """Build the site in that folder, anew; the folder of its pages. Raises Broken."""
    shutil.rmtree(folder, ignore_errors=True)
    staged = folder / "docs"
    staged.mkdir(parents=True)
    _stage(staged)
    shutil.copy(SETTINGS, folder / SETTINGS.name)
    command = [str(Path(sys.executable).with_name("zensical")), "build", "--strict", "--config-file", SETTINGS.name]
    done = subprocess.run(command, cwd=folder, env={**os.environ, "NO_COLOR": "1"}, capture_output=True, text=True)
    if done.returncode:
        raise Broken(done.stdout + done.stderr)
    if faults := list(missing(folder / "site")):
        raise Broken("\n".join(faults))
    return folder / "site"


# --- from GitHub's pages to the site's -------------------------------------------------------------------


def _stage(staged: Path) -> None:
    """Copy docs/, with links to files of the repository turned to pages that show them; write those pages."""
    shown = [path for path in sorted(DOCS.rglob("*")) if path.is_file()]
    for path in shown:  # it grows: by what each page links to
        page = staged / place(path)
        page.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".md":
            page.write_text(turned(path.read_text(encoding="utf-8"), path, shown), encoding="utf-8")
        elif path.is_relative_to(DOCS):
            shutil.copy(path, page)
        elif path.is_dir():
            shown += [one for one in _inside(path) if one not in shown]
            page.write_text(_listing(path), encoding="utf-8")
        else:
            page.write_text(_showing(path), encoding="utf-8")


def turned(text: str, page: Path, shown: list[Path]) -> str:
    """The text of a page with the links of the site; `shown` gains what it links to outside docs/. Raises Broken."""

    def turn(link: re.Match[str]) -> str:
        target = (page.parent / link[1]).resolve()
        if "//" in link[1]:
            return link[0]
        if not (target.is_relative_to(ROOT) and target.exists()):
            raise Broken(f"{page.relative_to(ROOT)}: {link[1]} does not exist")
        if target not in shown:
            shown.append(target)
        return posixpath.relpath(place(target), posixpath.dirname(place(page)) or ".") + link[2]

    return LINK.sub(turn, text)


def place(path: Path) -> str:
    """Where a page of docs/, or the page that shows a file or a folder, stands from the top of the site."""
    if path.is_relative_to(DOCS):
        return path.relative_to(DOCS).as_posix()
    name = f"{FILES}/{path.relative_to(ROOT).as_posix()}"
    return f"{name}/index.md" if path.is_dir() else name if path.suffix == ".md" else f"{name}.md"


def _inside(folder: Path) -> list[Path]:
    return sorted(one for one in folder.rglob("*") if one.is_file() and one.suffix in LANGUAGES)


def _listing(folder: Path) -> str:
    names = [one.relative_to(folder).as_posix() for one in _inside(folder)]
    return f"# {folder.relative_to(ROOT)}/\n\n" + "".join(f"- [{name}]({name}.md)\n" for name in names)


def _showing(path: Path) -> str:
    """A page with a file word for word; four backticks, because the file may have three."""
    text = path.read_text(encoding="utf-8")
    return f"# {path.relative_to(ROOT)}\n\n````{LANGUAGES.get(path.suffix, 'text')}\n{text}````\n"


# --- what the built site links to ------------------------------------------------------------------------


class Page(HTMLParser):
    """What a built page has: its anchors, its links, and what it loads."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.text_links: list[str] = []  # those in the article, not in the navigation
        self.loads: list[str] = []
        self._articles = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """One element."""
        said = {name: value or "" for name, value in attrs}
        self.anchors |= {said[name] for name in ("id", "name") if name in said}
        self._articles += tag == "article"
        if tag == "a" and "href" in said:
            self.links.append(said["href"])
            self.text_links += [said["href"]] * bool(self._articles)
        elif tag == "link" and said.get("rel") in ("stylesheet", "icon", "preload", "preconnect"):
            self.loads.append(said["href"])
        elif "src" in said:
            self.loads.append(said["src"])

    def handle_endtag(self, tag: str) -> None:
        """The end of one."""
        self._articles -= tag == "article"


def pages(site: Path) -> dict[str, Page]:
    """Every page, by its path from the top of the site."""
    found = sorted(site.rglob("*.html"))
    return {one.relative_to(site).as_posix(): Page(one.read_text(encoding="utf-8")) for one in found}


def target(page: str, link: str) -> tuple[str, str] | None:
    """The path and the anchor that a link on a page leads to; None if it leaves the site."""
    address, anchor = urldefrag(link)
    if urlsplit(link).scheme or link.startswith("//"):
        return None
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page), unquote(address))) if address else page
    return ("index.html" if path == "." else path), unquote(anchor)


def missing(site: Path) -> Iterator[str]:
    """Each link, anchor and file that a page names and that is not there; each thing that it would load from others."""
    known = pages(site)
    for name, page in known.items():
        if name == "404.html":  # it may be shown at any address, so its links begin at the top
            continue
        for link in page.links:
            if found := target(name, link):
                path, anchor = found
                if not (site / path).exists():
                    yield f"{name}: {link} leads to no page"
                elif anchor and path in known and anchor not in known[path].anchors:
                    yield f"{name}: {link} names no anchor of {path}"
        for link in page.loads:
            found = target(name, link)
            if found is None and not link.startswith("data:"):
                yield f"{name}: {link} would be loaded from elsewhere"
            elif found is not None and not (site / found[0]).exists():
                yield f"{name}: {link} is not there"


# --- the command -----------------------------------------------------------------------------------------


def serve(site: Path) -> None:
    """Show it in the browser, until Ctrl-C."""
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        address = f"http://127.0.0.1:{server.server_port}/"
        print(f"{address} (Ctrl-C ends it)", flush=True)
        webbrowser.open(address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


def main() -> int:
    """Build it, and perhaps show it."""
    if sys.argv[1:] not in ([], ["serve"]):
        print(__doc__)
        return 2
    try:
        site = build(PLACE)
    except Broken as error:
        print(error)
        return 1
    print(f"{site.relative_to(ROOT)}: {len(pages(site))} pages")
    if sys.argv[1:]:
        serve(site)
    return 0


if __name__ == "__main__":
    sys.exit(main())
