"""The pictures of the pages: `python -m tests.pictures` writes them into docs/pictures; a test compares.

A picture is SVG that shows on light and dark pages; nothing in it is loaded from elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from bluegreen.config import parse
from bluegreen.events import Event, EventKind, Fleet, Observed, Phase, Verb
from tests.worlds import GOOD, Ops

FOLDER = Path(__file__).parent.parent / "docs" / "pictures"
_LINE = 18
_STYLE = """\
text{font:14px system-ui,sans-serif;fill:#1f2328}.b{font-weight:600}.s{font-size:12px;fill:#59636e}
rect{fill:#fff;stroke:#818b98;stroke-width:1.5}rect.page{stroke:none}
.area rect{fill:#f6f8fa;stroke-dasharray:6 4}
.ours rect,rect.ours{fill:#ddf4ff;stroke:#0969da}
.green rect,rect.green,polygon.green{fill:#dafbe1;stroke:#1a7f37}
path{fill:none;stroke:#59636e;stroke-width:1.5}marker path{fill:#59636e}
@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.s{fill:#9198a1}
rect{fill:#151b23;stroke:#656c76}rect.page,.area rect{fill:#0d1117}
.ours rect,rect.ours{fill:#0c2d6b;stroke:#4493f8}
.green rect,rect.green,polygon.green{fill:#0f4822;stroke:#3fb950}
path{stroke:#9198a1}marker path{fill:#9198a1}}"""


@dataclass(frozen=True)
class Box:
    """A rectangle with a title and lines (`|` between them); `kind`: `ours` is of a template, `area` holds others."""

    x: int
    y: int
    width: int
    height: int
    title: str
    lines: str = ""
    kind: str = ""

    def svg(self) -> Iterator[str]:
        """Its elements."""
        yield f'<g class="{self.kind}">' if self.kind else "<g>"
        yield f'<rect x="{self.x}" y="{self.y}" width="{self.width}" height="{self.height}" rx="8"/>'
        yield _text(self.x + 12, self.y + 24, self.title, "b")
        for number, line in enumerate(self.lines.split("|"), 1):
            yield _text(self.x + 12, self.y + 24 + number * _LINE, line, "s")
        yield "</g>"


@dataclass(frozen=True)
class Arrow:
    """A line through points, with a head at its end and words at a place."""

    points: Sequence[tuple[int, int]]
    words: str = ""
    at: tuple[int, int] = (0, 0)

    def svg(self) -> Iterator[str]:
        """Its elements."""
        way = " L".join(f"{x} {y}" for x, y in self.points)
        yield f'<path d="M{way}" marker-end="url(#head)"/>'
        if self.words:
            yield _text(*self.at, self.words, "s")


@dataclass(frozen=True)
class Bar:
    """A step on the line of minutes."""

    row: int
    start: int
    end: int
    title: str
    kind: str = "ours"

    def svg(self) -> Iterator[str]:
        """Its elements: the title stands left of the bar."""
        y = _TOP + self.row * _ROW
        width = (self.end - self.start) * _MINUTE
        yield f'<rect class="{self.kind}" x="{_minute(self.start)}" y="{y}" width="{width}" height="20" rx="4"/>'
        yield _text(12, y + 15, self.title, "b" if self.kind == "green" else "")


_LEFT, _TOP, _ROW, _MINUTE = 320, 44, 30, 16


def _minute(number: int) -> int:
    return _LEFT + number * _MINUTE


def _text(x: int, y: int, words: str, kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{x}" y="{y}"{named}>{escape(words)}</text>'


def _picture(width: int, height: int, title: str, parts: Sequence[Box | Arrow | Bar], more: Sequence[str] = ()) -> str:
    head = '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{_STYLE}</style>",
        f'<rect class="page" width="{width}" height="{height}"/>',
        f'<defs>{head}<path d="M0 0 L8 4 L0 8 Z"/></marker></defs>',
        *(line for part in parts for line in part.svg()),
        *more,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


# --- what stands where -----------------------------------------------------------------------------------


def setup() -> str:
    """Who is who: what was there, what the templates make, and who calls whom."""
    title = "The account with what the templates of deploy/ make, and who calls whom"
    return _picture(
        960,
        470,
        title,
        [
            Box(240, 12, 708, 446, "Your AWS account", kind="area"),
            Box(12, 60, 190, 92, "GitHub", "your repository:|release.yml, reconcile.yml|environment production"),
            Box(12, 330, 190, 74, "Slack", "cards, buttons, commands|(if you want it)"),
            Box(270, 60, 190, 74, "OpenID provider", "github.yml|once for each account", "ours"),
            Box(270, 190, 190, 92, "Role bluegreen", "github.yml|policies: printed by|bluegreen iam-policy", "ours"),
            Box(270, 330, 190, 92, "Bot on Fargate", "bot.yml|its role has the same|policies", "ours"),
            Box(520, 190, 180, 92, "Journal", "journal.yml|one DynamoDB table,|every event of a release", "ours"),
            Box(520, 330, 180, 92, "Builder", "builder.yml|stopped; makes the image|of each release", "ours"),
            Box(760, 60, 170, 74, "Load balancer", "its listener and|target group"),
            Box(760, 190, 170, 74, "web-asg (blue)", "the group that serves|today"),
            Box(760, 330, 170, 92, "green", "the group that a release|makes; it is the blue|of the next one", "green"),
            Arrow([(202, 97), (270, 97)], "token", (218, 90)),
            Arrow([(365, 134), (365, 190)], "only production", (375, 166)),
            Arrow([(202, 367), (270, 367)], "socket", (216, 360)),
            Arrow([(460, 224), (520, 224)]),
            Arrow([(460, 262), (490, 262), (490, 352), (520, 352)]),
            Arrow([(460, 350), (478, 350), (478, 244), (520, 244)]),
            Arrow([(460, 390), (520, 390)]),
            Arrow([(460, 206), (480, 206), (480, 97), (760, 97)], "moves the traffic", (560, 90)),
            Arrow([(700, 376), (760, 376)], "image", (712, 369)),
            Arrow([(845, 134), (845, 190)]),
            Arrow([(930, 97), (942, 97), (942, 376), (930, 376)]),
        ],
    )  # fmt: skip


# --- how long it takes -----------------------------------------------------------------------------------

#: Step, from and to which minute, and whether users notice it. The page has the same numbers.
STEPS = (
    ("1. The builder", 0, 6, "ours"),
    ("2. The table", 6, 7, "ours"),
    ("3. init, doctor", 7, 10, "ours"),
    ("4. The plan", 10, 11, "ours"),
    ("5. First release: the image", 11, 16, "ours"),
    ("• green starts, and is checked", 16, 18, "ours"),
    ("• both serve (overlap 5m)", 18, 23, "green"),
    ("• green serves alone (soak 15m)", 23, 38, "green"),
    ("7. Meanwhile: GitHub", 23, 29, "ours"),
)
_END = 40


def first_release() -> str:
    """Half an hour, step by step."""
    bars = [Bar(row, start, end, title, kind) for row, (title, start, end, kind) in enumerate(STEPS)]
    bottom = _TOP + len(STEPS) * _ROW
    ticks = [
        line
        for minute in range(0, _END + 1, 10)
        for line in (
            f'<path d="M{_minute(minute)} {_TOP - 8} L{_minute(minute)} {bottom}" stroke-dasharray="2 4"/>',
            _text(_minute(minute) - 8, _TOP - 16, f"{minute}", "s"),
        )
    ]
    title = "The first half hour, in minutes: users get the new version after 18, and it serves alone after 23"
    return _picture(980, bottom + 12, title, bars, [*ticks, _text(12, _TOP - 16, "minutes", "s")])


# --- a release -------------------------------------------------------------------------------------------

#: Who it takes, where the chart is, and how many pixels a minute has.
_CHART, _HIGH, _SIDE, _PER_MINUTE = 70, 110, 30, 33
#: Phases that share a label, since they are short.
_LABELS = {
    Phase.BAKING: "baking the image",
    Phase.LAUNCHING: "launching, checking",
    Phase.OVERLAPPING: "both serve",
    Phase.SOAKING: "soaking: green serves alone",
    Phase.RETIRING: "retiring",
}


def played() -> list[Event]:
    """The events of a real release with weights, on the lab's clock: overlap in steps, then a soak."""
    world = Ops(instances=4, weighted=True)
    known = {key: value for key, value in world.config.to_dict().items() if value is not None}
    traffic = {key: value for key, value in known["traffic"].items() if value is not None}
    world.config = parse({**known, "traffic": {**traffic, "overlap": "5m", "steps": [10, 50]}, "soak": "15m"})
    release = world.start(GOOD)
    world.drive(release.id)
    return world.engine().events(release.id)


def release() -> str:
    """Who served at which moment of a release, and who was there."""
    events = played()
    began, end = events[0].at, events[-1].at + 90

    def x(at: float) -> int:
        return _SIDE + round((at - began) / 60 * _PER_MINUTE)

    shares = [(one.at, fleet.share) for one in events if (fleet := _green(one)) and fleet.share is not None]
    done = {one.verb: one.at for one in events if one.kind is EventKind.DID and one.verb}
    steps = [(began, 0.0), *shares, (end, 100.0)]
    back = (next(at for at, share in shares if share), done[Verb.EMPTY_BLUE])
    title = "A release: green gets a tenth of the traffic, then half, then all; blue runs on until the soak has passed"
    parts = [
        f'<rect class="ours" x="{x(began)}" y="{_CHART}" width="{x(end) - x(began)}" height="{_HIGH}"/>',
        f'<polygon class="green" points="{_area([(x(at), share) for at, share in steps])}"/>',
        _text(x(began) + 12, _CHART + 60, "the traffic goes to blue", "b"),
        _text(x(done[Verb.SHIFT]) + 60, _CHART + 60, "the traffic goes to green", "b"),
        *_phases(events, x, _CHART + _HIGH),
        *_lived("web-asg, blue: 4 instances", x(began), x(done[Verb.DELETE_BLUE]), 228, "ours"),
        *_lived("web-production-v1, green: 4 instances", x(done[Verb.CREATE_GREEN]), x(end), 262, "green"),
        f'<path d="M{x(back[0])} 306 L{x(back[1])} 306" marker-end="url(#head)"/>',
        _text(x(back[0]), 326, "a rollback takes seconds: blue still runs, so only weights change", "s"),
    ]
    return _picture(2 * _SIDE + x(end) - x(began), 340, title, [], parts)


def _green(event: Event) -> Fleet | None:
    seen = event.payload.seen if isinstance(event.payload, Observed) else None
    return seen if isinstance(seen, Fleet) and seen.subject == "green" else None


def _area(steps: Sequence[tuple[int, float]]) -> str:
    """Green's part of the chart: as high as its share, in steps."""
    bottom = _CHART + _HIGH
    points, share = [(steps[0][0], bottom)], 0.0
    for at, after in steps:
        points += [(at, bottom - round(share * _HIGH / 100)), (at, bottom - round(after * _HIGH / 100))]
        share = after
    return " ".join(f"{left},{top}" for left, top in [*points, (steps[-1][0], bottom)])


def _phases(events: Sequence[Event], x: Callable[[float], int], bottom: int) -> Iterator[str]:
    """Where each began, with its label above in two rows, so that short ones have room."""
    entered = [(Phase.BAKING, events[0].at), *((one.phase, one.at) for one in events if one.phase)]
    labelled = [(phase, at) for phase, at in entered if phase in _LABELS]
    for number, (phase, at) in enumerate(labelled):
        top = 34 if number % 2 else 54
        yield f'<path d="M{x(at)} {top - 14} L{x(at)} {bottom}" stroke-dasharray="2 4"/>'
        yield _text(x(at) + 5, top, _LABELS[phase or Phase.BAKING], "s")


def _lived(words: str, start: int, end: int, top: int, kind: str) -> Iterator[str]:
    yield f'<rect class="{kind}" x="{start}" y="{top}" width="{end - start}" height="26" rx="4"/>'
    yield _text(start + 12, top + 18, words, "s")


PICTURES = {"setup.svg": setup, "first-release.svg": first_release, "release.svg": release}


def main() -> None:
    """Write them."""
    FOLDER.mkdir(exist_ok=True)
    for name, made in PICTURES.items():
        (FOLDER / name).write_text(made(), encoding="utf-8")


if __name__ == "__main__":
    main()
