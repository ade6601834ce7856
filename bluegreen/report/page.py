"""The report as HTML: one file that asks nothing of others and needs no script.

Charts have no words inside: a drawing is as wide as the page, and its labels are text beside it, so they stay readable
on a phone. Every text of the journal passes `Words`, which masks and escapes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import PurePosixPath
from zoneinfo import ZoneInfo

from bluegreen import wording
from bluegreen.costs import instance_hours
from bluegreen.events import EventKind, Outcome
from bluegreen.masking import mask
from bluegreen.release import MINUTE, Release, agreeing, count_of, duration, moment
from bluegreen.report.history import History
from bluegreen.report.story import CheckAnswer, Line, Span, Story
from bluegreen.report.style import STYLE

#: By this a later report knows that it may replace the file.
MARK = '<meta name="generator" content="bluegreen report">'
#: So many rows a table has at most: a release that flaps for days has thousands of events.
ROWS, ANSWERS = 600, 60
#: Units of a chart's width, and the least width of a phase: a switch of seconds is seen beside a hold of days.
WIDE, LEAST = 1000.0, 40.0
#: Heights of the charts, in units.
HIGH = 100.0
_KINDS = {Outcome.LIVE: "good", Outcome.ROLLED_BACK: "warn", Outcome.FAILED: "bad"}
_TRIFLES = frozenset({EventKind.BEGAN, EventKind.AWAITED})


@dataclass(frozen=True)
class Words:
    """How words and times are written. `secrets`: values that nobody may see; `zone`: the reader's, beside UTC."""

    secrets: Sequence[str] = ()
    zone: str = ""

    def __call__(self, text: object) -> str:
        """Anything as text of a page: masked, one printable line, escaped."""
        return escape(wording.one_line(mask(str(text), self.secrets)))

    def time(self, at: float) -> str:
        """A moment, to the second, in UTC; with a zone also there."""
        said = moment(at, "%Y-%m-%d %H:%M:%S UTC")
        local = f" <small>{self._local(at)}</small>" if self.zone else ""
        return f'<time datetime="{moment(at, "%Y-%m-%dT%H:%M:%SZ")}">{said}</time>{local}'

    def _local(self, at: float) -> str:
        return escape(moment(at, "%H:%M:%S", ZoneInfo(self.zone)) + f" {self.zone}")


def zone_of(release: Release) -> str:
    """The time zone of its service, by the first freeze window that names one; "" for UTC alone."""
    named = (str(one.get("zone", "UTC")) for one in release.config.get("freeze") or ())
    return next((name for name in named if name != "UTC"), "")


# --- a release -------------------------------------------------------------------------------------------


def release(of: Story, secrets: Sequence[str] = (), *, index: str = "") -> str:
    """The page of a release. `index`: where the history is, from there."""
    say, it = Words(secrets, zone_of(of.release)), of.release
    up = f'<p class="up"><a href="{escape(index)}">All releases</a></p>' if index else ""
    parts = [
        up,
        f"<header><h1>{say(it.id)} {_badge(it)}</h1><p>{say(wording.outcome_line(it))}</p></header>",
        _figures(of, say),
        _next(of, say),
        _charts(of, say),
        _phases(of, say),
        _orders(of, say),
        _checks(of, say),
        _made(of, say),
        _facts(of, say),
        _events(of, say),
        f"<footer>As of {say.time(of.at)}, from the journal.</footer>",
    ]
    return _document(f"{it.id}: {state(it)}", "\n".join(part for part in parts if part), say)


def state(of: Release) -> str:
    """How it stands: the outcome, else the phase."""
    return wording.phase_title(of.phase) if of.outcome is None else of.outcome.value.replace("_", " ")


def _badge(of: Release) -> str:
    kind = f" {_KINDS[of.outcome]}" if of.outcome else ""
    return f'<span class="badge{kind}">{state(of)}</span>'


def _document(title: str, body: str, say: Words) -> str:
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{MARK}\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<link rel="icon" href="data:,">\n'
        f"<title>{say(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _section(title: str, body: str) -> str:
    return f"<section>\n<h2>{title}</h2>\n{body}\n</section>"


def _figures(of: Story, say: Words) -> str:
    """The numbers that people ask for first."""
    took = duration(of.end - of.release.started_at)
    shown = [
        ("took" if of.release.outcome else "so far", took, "from the request"),
        ("to roll back", _back_took(of), _back_words(of, say)),
        ("overlap", instance_hours(of.beside), "blue and green both ran; times your price of an instance"),
        ("orders", str(len(of.orders)), "by people"),
    ]
    return f'<dl class="figures">{"".join(_figure(*one) for one in shown)}</dl>'


def _figure(name: str, value: str, note: str) -> str:
    return f"<div><dt>{name}</dt><dd><b>{value}</b><span>{note}</span></dd></div>"


def _back_took(of: Story) -> str:
    if of.back is None:
        return "-"
    seconds = of.back.seconds
    return "-" if seconds is None else f"{seconds:.1f} s" if seconds < 60 else duration(seconds)


def _back_words(of: Story, say: Words) -> str:
    if of.back is None:
        return "nobody rolled back"
    if not of.back.had:
        return "green had no traffic"
    if of.back.clear is None:
        return "the journal does not show green without traffic yet"
    order = f"the order by {say(wording.person(of.back.by))}" if of.back.by else "the moment when bluegreen decided it"
    return f"from {order} to green's last answer"


def _next(of: Story, say: Words) -> str:
    step = wording.next_step(of.release)
    return f'<p class="next"><b>What can be done now:</b> {say(step)}</p>' if step else ""


def _facts(of: Story, say: Words) -> str:
    it = of.release
    named = [
        ("service", say(it.service)),
        ("commit", say(it.commit or "-")),
        ("change", say(" by ".join(filter(None, (it.source.get("title", ""), it.source.get("author", ""))))))
        if it.source.get("title")
        else ("", ""),
        ("before", say(it.blue_commit or it.blue_image or it.blue_group)),
        ("image", say(it.image or "-")),
        ("blue", f'<span class="blue">{say(it.blue_group)}</span>'),
        ("green", f'<span class="green">{say(it.green_group)}</span>'),
        ("traffic", "by weights" if it.weighted else "by shared target groups"),
        ("account", say(f"{it.account} {it.region}")) if it.account else ("", ""),
        ("started", f"{say.time(it.started_at)} by {say(wording.person(it.started_by))}"),
        ("run", link(it.source.get("run_url", ""), say)),
    ]  # fmt: skip
    rows = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in named if value)
    found = _listed("Found before it began", wording.beforehand(it), say)
    return _section("What it was", f'<dl class="facts">{rows}</dl>{found}')


def link(address: str, say: Words) -> str:
    """A link, if it is one of the web; else its text. Somebody else wrote it."""
    safe = address.startswith(("https://", "http://"))
    return f'<a href="{say(address)}" rel="noreferrer">{say(address)}</a>' if safe else say(address)


# --- the charts ------------------------------------------------------------------------------------------

Place = Callable[[float], float]


def _charts(of: Story, say: Words) -> str:
    place, stretched = axis(of.spans)
    parts = [_bands(of.spans, place), _shares(of, place, say), _healthy(of, place), _ticks(of.spans, say)]
    note = "<p class=note>Short phases are drawn wider than they were; the table has their times.</p>"
    return _section("How it went", "".join(part for part in (*parts, note if stretched else "") if part))


def axis(spans: Sequence[Span]) -> tuple[Place, bool]:
    """Where a moment stands in a chart; whether short phases are wider than their time."""
    total = sum(span.seconds for span in spans) or 1.0
    least = min(LEAST, WIDE / 2 / len(spans))
    widths = [least + (WIDE - least * len(spans)) * span.seconds / total for span in spans]
    starts = [sum(widths[:number]) for number in range(len(spans))]

    def place(at: float) -> float:
        number = next((n for n, span in enumerate(spans) if at < span.end), len(spans) - 1)
        part = (at - spans[number].start) / (spans[number].seconds or 1.0)
        return starts[number] + widths[number] * min(1.0, max(0.0, part))

    shortest = min(span.seconds for span in spans)
    return place, shortest / total * WIDE < least


def _bands(spans: Sequence[Span], place: Place) -> str:
    """The phases as a row of boxes, as wide as in the charts below."""
    ends = [*(place(span.start) for span in spans[1:]), WIDE]
    starts = [0.0, *ends[:-1]]
    boxes = "".join(
        f'<li class="{span.phase.replace("_", "-")}" style="flex:{max(end - start, 1):.0f} 1 0" '
        f'title="{wording.phase_title(span.phase)}, {duration(span.seconds)}"><span>{wording.phase_title(span.phase)}'
        "</span></li>"
        for span, start, end in zip(spans, starts, ends, strict=True)
    )
    return f'<h3>Phases</h3><ol class="bands">{boxes}</ol>'


def _shares(of: Story, place: Place, say: Words) -> str:
    known = [(one.at, one.share) for one in of.green if one.share is not None]
    if not known:
        return ""
    it, end = of.release, of.spans[-1].end
    steps = _steps([(of.spans[0].start, 0.0), *known], end, place, 100.0)
    names = say(it.blue_commit[:8] or it.blue_group), say(it.commit[:8] or it.green_group)
    area = f'<polygon class="green-area" points="0,{HIGH:g} {steps} {WIDE:g},{HIGH:g}"/>'
    drawn = f'<rect class="blue-area" width="{WIDE:g}" height="{HIGH:g}"/>{area}'
    return _chart("Share of the traffic", drawn, ("100 %", "0"), names)


def _healthy(of: Story, place: Place) -> str:
    if not (of.blue or of.green):
        return ""
    most = max(1, *(max(one.desired, one.healthy) for one in (*of.blue, *of.green)))
    end = of.spans[-1].end
    drawn = ""
    for which, points in (("blue", of.blue), ("green", of.green)):
        if points:
            steps = _steps([(one.at, float(one.healthy)) for one in points], end, place, most)
            drawn += f'<polyline class="{which}-line" points="{steps}"/>'
    return _chart("Healthy targets", drawn, (str(most), "0"), ("blue", "green"))


def _steps(known: Sequence[tuple[float, float]], end: float, place: Place, most: float) -> str:
    """Points of a line in steps; of those in one place only the lowest, the highest and the last are drawn."""
    columns: dict[int, list[float]] = {}
    for at, value in known:
        columns.setdefault(round(place(at)), []).append(value)
    drawn, last = list[str](), known[0][1]
    for x, values in columns.items():
        for value in dict.fromkeys((last, min(values), max(values), values[-1])):
            drawn.append(f"{x},{HIGH - value * HIGH / most:.4g}")
        if values[-1] != last and drawn[-1] != (there := f"{x},{HIGH - values[-1] * HIGH / most:.4g}"):
            drawn.append(there)
        last = values[-1]
    return " ".join([*drawn, f"{round(place(end))},{HIGH - last * HIGH / most:.4g}"])


def _chart(title: str, drawn: str, scale: tuple[str, str], names: tuple[str, str]) -> str:
    """A drawing with its words around it, which are HTML already."""
    key = f'<span class="key blue">{names[0]}</span> <span class="key green">{names[1]}</span>'
    view = f'viewBox="0 0 {WIDE:g} {HIGH:g}" preserveAspectRatio="none" role="img" aria-label="{title} over time"'
    return (
        f'<figure><figcaption>{title} <span class="keys">{key}</span></figcaption>'
        f'<div class="plot"><span class="top">{scale[0]}</span><span class="bottom">{scale[1]}</span>'
        f"<svg {view}>{drawn}</svg></div></figure>"
    )


def _ticks(spans: Sequence[Span], say: Words) -> str:
    return f'<p class="ticks"><span>{say.time(spans[0].start)}</span><span>{say.time(spans[-1].end)}</span></p>'


# --- the tables ------------------------------------------------------------------------------------------


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows of cells that are HTML already. On a phone each cell stands under the name of its column."""
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    body = "\n".join(f"<tr>{_cells(heads, row)}</tr>" for row in rows)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def _cells(heads: Sequence[str], row: Sequence[str]) -> str:
    return "".join(f'<td data-head="{name}">{cell}</td>' for name, cell in zip(heads, row, strict=True))


def _listed(title: str, found: Iterable[str], say: Words) -> str:
    items = "".join(f"<li>{say(one)}</li>" for one in found)
    return f"<h3>{title}</h3><ul>{items}</ul>" if items else ""


def _phases(of: Story, say: Words) -> str:
    rows = [
        (
            wording.phase_title(span.phase),
            say.time(span.start),
            duration(span.seconds),
            say(wording.phase_meaning(span.phase, of.release)),
        )
        for span in of.spans
    ]
    return _section("Phases", table(("phase", "from", "took", "meaning"), rows))


def _orders(of: Story, say: Words) -> str:
    rows = [(say.time(one.at), say(wording.person(one.who)), say(one.words)) for one in of.orders]
    return _section("Who did what, and why", table(("when", "who", "what"), rows))


def _checks(of: Story, say: Words) -> str:
    if not of.checks:
        return _section("Checks", "<p>No check has answered.</p>")
    shown = "".join(_check(name, answers, say) for name, answers in of.checks.items())
    return _section("Checks", f"<p class=note>The journal has each change of an answer.</p>{shown}")


def _check(name: str, answers: Sequence[CheckAnswer], say: Words) -> str:
    last, bad = answers[-1], sum(not one.passed for one in answers)
    verdict = "fails" if last.state.lost or not last.passed else "holds" if last.state.held else "passes"
    kind = "bad" if verdict == "fails" else "good"
    earlier = len(answers) - ANSWERS
    in_the_journal = f"{count_of(earlier, 'earlier one')} {agreeing(earlier)} in the journal."
    left = f"<p class=note>{in_the_journal}</p>" if earlier > 0 else ""
    rows = ((say.time(one.at), "passed" if one.passed else "failed", say(one.value)) for one in answers[-ANSWERS:])
    said = f"{count_of(len(answers), 'change')}, {bad} failed"
    return (
        f'<details><summary><b>{say(name)}</b> <span class="badge {kind}">{verdict}</span> {say(last.value)} '
        f"<small>{said}</small></summary>{left}{table(('when', 'answer', 'seen'), rows)}</details>"
    )


def _made(of: Story, say: Words) -> str:
    lists = (("Made", of.made), ("Removed", of.removed), ("Still there", of.release.left_behind))
    shown = "".join(_listed(title, found, say) for title, found in lists)
    return _section("What was made and removed", shown or "<p>Nothing so far.</p>")


def _events(of: Story, say: Words) -> str:
    told = [one for one in of.lines if one.kind not in _TRIFLES]
    rows = list(_rows(told[: ROWS // 3], say)) if len(told) > ROWS else list(_rows(told, say))
    if len(told) > ROWS:
        between = len(told) - ROWS // 3 * 3
        rows.append(("", "", f"{count_of(between, 'event')} between {agreeing(between)} in the journal"))
        rows += _rows(told[-(ROWS // 3 * 2) :], say)
    inside = table(("when", "phase", "what"), rows)
    return _section(
        "Everything that happened", f"<details><summary>{count_of(len(told), 'event')}</summary>{inside}</details>"
    )


def _rows(told: Iterable[Line], say: Words) -> Iterator[tuple[str, str, str]]:
    for one in told:
        yield say.time(one.at), wording.phase_title(one.phase), say(one.words)


# --- the history -----------------------------------------------------------------------------------------


def file_of(id_: str) -> str:
    """The name of a release's page: `web-production-42.html`. Dashes in names are doubled, so each has its own."""
    service, _, number = id_.rpartition("#")
    return f"{'-'.join(part.replace('-', '--') for part in PurePosixPath(service).parts)}-{number}.html"


def index(of: History, secrets: Sequence[str] = ()) -> str:
    """The page of the history; each release's page stands beside it."""
    say = Words(secrets)
    shown = "".join(_figure(one.name, one.value, f"{one.counted}. {one.definition}") for one in of.figures)
    rows = [
        (
            f'<a href="{escape(file_of(it.id))}">{say(it.id)}</a>',
            _badge(it),
            say.time(it.started_at),
            duration(one.end - it.started_at),
            say(it.commit[:8] or it.image or "-"),
            say(wording.person(it.started_by)),
        )
        for one in of.stories
        for it in (one.release,)
    ]
    heads = ("release", "state", "started", "took", "commit", "by")
    listed = table(heads, rows) if rows else "<p>No release began in this time.</p>"
    title = f"Releases of {', '.join(of.services) or 'no service'}"
    window = f"{moment(of.since, MINUTE)} to {moment(of.until, MINUTE)}"
    body = (
        f"<header><h1>{say(title)}</h1><p>Those that began from {window}.</p></header>"
        f'<dl class="figures wide">{shown}</dl>{_section("Releases", listed)}'
        f"<footer>As of {say.time(of.until)}, from the journal.</footer>"
    )
    return _document(title, body, say)
