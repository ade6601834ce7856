"""The page of a run and the comment on a pull request: a release in Markdown. Pure; times are epoch seconds, UTC."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from bluegreen import plan_text, wording
from bluegreen.advice import EntryPoint, advised
from bluegreen.aws_commands import kept_group
from bluegreen.engine import Kept, Plan, ServiceStatus
from bluegreen.events import Event, EventKind, Outcome, Phase
from bluegreen.observation import Verdict
from bluegreen.release import MINUTE, Release, apply, count_of, fold, moment

if TYPE_CHECKING:
    from bluegreen.journal import Summary

_MARKS = {Outcome.LIVE: "✅", Outcome.ROLLED_BACK: "↩️", Outcome.FAILED: "❌"}
#: Events that a reader of the page wants; acts and single looks are in the log.
_TOLD = frozenset(EventKind) - {EventKind.BEGAN, EventKind.DID, EventKind.OBSERVED, EventKind.AWAITED}
#: Rows of the table; the newest are kept.
_ROWS = 200
_SPECIAL = re.compile(r"([\\`*_{}\[\]#|<>~$@&])")


def page(events: Sequence[Event], *, problems: Iterable[str] = ()) -> str:
    """What happened to a release: how it ended, its timeline, a table, and what a person can do now."""
    release, told = _folded(events)
    parts = [heading(release), _facts(release), _found(release), _timeline(events), _table(told), _next(release)]
    return "\n\n".join(part for part in (*parts, _untold(problems)) if part)


def failure(title: str, what: str, hint: str) -> str:
    """What kept a release from starting."""
    return f"### ❌ {text(title)}\n\n{text(what)}\n\n{text(hint)}".rstrip()


def plan(lines: Iterable[str]) -> str:
    """A plan, as it stands in the log."""
    fence = "~~~~~~"
    body = "\n".join(line.replace(fence, "") for line in lines)
    return f"### Dry run: no changes made\n\n{fence}text\n{body}\n{fence}"


def plan_comment(made: Plan, lines: Iterable[str]) -> str:
    """The comment of a plan on a pull request: what matters of it first, then all of it, folded."""
    release = made.release
    refused = any(one.verdict is Verdict.REFUSED for one in made.baseline.findings)
    head = f"### {'⛔' if refused else '🔵'} Plan: {text(release.id)} would replace {text(release.blue_group)}"
    listed = "\n".join(f"- {text(advised(line, EntryPoint.GITHUB))}" for line in plan_text.gist(made))
    steps = plan(lines).partition("\n\n")[2]
    whole = f"<details><summary>Every step, and what a rollback would do</summary>\n\n{steps}\n\n</details>"
    return "\n\n".join(part for part in (head, listed, whole) if part)


def comment(release: Release, commits: Sequence[str] = ()) -> str:
    """The comment on the merged pull request: from, to, commits between, result."""
    listed = "".join(f"\n- {text(title)}" for title in commits)
    between = (
        f"\n\n<details><summary>{count_of(len(commits), 'commit')}</summary>\n{listed}\n\n</details>" if commits else ""
    )
    return f"{heading(release)}\n\n{_facts(release)}{between}\n\n{_next(release)}".rstrip()


def status(statuses: Sequence[ServiceStatus], releases: Iterable[Summary], kept: Kept, now: float) -> str:
    """What serves and what is under way; of a single service also its last releases, and whose images are gone."""
    if not statuses:
        return "No service has been released yet."
    rows = [
        (one.service, _stands(one), "; ".join(map(str, one.freezes(now))) or "no", one.driver or "nobody")
        for one in statuses
    ]
    made = [
        (f"#{one.number}", one.outcome.replace("_", " ") if one.outcome else "under way", one.commit[:8],
         f"{one.image}, gone" if kept.gone(one.image) else one.image,
         f"{_stamp(one.started)} UTC", wording.person(one.who))
        for one in releases
    ]  # fmt: skip
    shown = [_rows(("service", "state", "frozen", "driver"), rows)]
    shown += [
        f"- {text(kept_group(kept.group, moment(kept.until, MINUTE)))}" for one in statuses for kept in one.record.kept
    ]
    if made:
        shown.append(_rows(("release", "outcome", "commit", "image", "started", "by"), made))
    return "\n\n".join(shown)


def _stands(one: ServiceStatus) -> str:
    if one.unreadable:
        return f"cannot be read: {one.unreadable}"
    return advised(wording.outcome_line(one.release), EntryPoint.GITHUB) if one.release else "no releases yet"


def _rows(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = (f"| {' | '.join(text(cell) for cell in row)} |" for row in rows)
    return "\n".join([f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}", *lines])


def heading(release: Release) -> str:
    """The state in one line."""
    mark = _MARKS[release.outcome] if release.outcome else "⏸️" if release.interrupted else "🔵"
    return f"### {mark} {text(advised(wording.outcome_line(release), EntryPoint.GITHUB))}"


def text(raw: str) -> str:
    """Somebody else's words as plain text: no markup, no mention, one line."""
    return _SPECIAL.sub(r"\\\1", wording.one_line(raw)).replace("\\@", "@\u2060")


def _facts(release: Release) -> str:
    old, new = release.blue_commit[:8] or release.blue_group, release.commit[:8] or release.image
    source = release.source
    rows = [
        ("service", f"{text(release.service)}, release {release.number}"),
        ("from → to", f"{_commit(release, old, release.blue_commit)} → {_commit(release, new, release.commit)}"),
        ("change", " by ".join(text(part) for part in (source.get("title", ""), source.get("author", "")) if part)),
        ("groups", f"blue `{release.blue_group}`, green `{release.green_group}`"),
        ("image", f"`{release.image}`" if release.image else ""),
        ("started by", text(wording.person(release.started_by))),
        ("promoted by", ", ".join(text(wording.person(who)) for who in release.promoters)),
        ("run", source.get("run_url", "")),
    ]
    return "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows if value)])


def _found(release: Release) -> str:
    """What stood beside it when it began."""
    listed = "\n".join(f"- {text(advised(found, EntryPoint.GITHUB))}" for found in wording.beforehand(release))
    return f"**Found beforehand**\n\n{listed}" if listed else ""


def _commit(release: Release, shown: str, commit: str) -> str:
    server, repository = release.source.get("server", ""), release.source.get("repository", "")
    if not (commit and server and repository):
        return f"`{shown}`"
    return f"[`{shown}`]({server}/{repository}/commit/{commit})"


def _timeline(events: Sequence[Event]) -> str:
    """A Mermaid chart of the phases; a phase that was over at once is drawn a second long."""
    entered = [(event.phase, event.at) for event in events if event.phase]
    first = (Phase.BAKING, events[0].at)
    begun = [first, *entered]
    ends = [*(at for _, at in entered), events[-1].at]
    rows = [
        f"    {wording.phase_title(phase or Phase.BAKING)} :{'crit, ' if phase is Phase.ROLLING_BACK else ''}"
        f"{_stamp(at)}, {max(1, round(end - at))}s"
        for (phase, at), end in zip(begun, ends, strict=True)
    ]
    head = ["```mermaid", "gantt", "    dateFormat YYYY-MM-DDTHH:mm:ss", "    axisFormat %H:%M"]
    return "\n".join([*head, *rows, "```"])


def _folded(events: Sequence[Event]) -> tuple[Release, Iterable[tuple[Event, Release]]]:
    """The release, and the newest events that are told, each with the release as it was then."""
    release = fold(events[:1])
    told = deque([(events[0], release)], _ROWS)
    for event in events[1:]:
        release = apply(release, event)
        if event.kind in _TOLD:
            told.append((event, release))
    return release, told


def _table(told: Iterable[tuple[Event, Release]]) -> str:
    rows = (
        f"| {_clock(event.at)} | {wording.phase_title(then.phase)} "
        f"| {text(advised(wording.sentence(event, then), EntryPoint.GITHUB))} |"
        for event, then in told
    )
    return "\n".join(["| UTC | phase | what happened |", "| --- | --- | --- |", *rows])


def _next(release: Release) -> str:
    lines = []
    if not release.outcome and release.hold and not release.promoters:
        who = (
            ", ".join((release.config.get("slack") or {}).get("promoters") or ()) or "everyone who may run the commands"
        )
        lines.append(
            f"**Waits for a promotion** by {text(who)}: `/promote` in Slack, a run with `command: promote`, or in a "
            f"terminal `bluegreen promote {release.service}`."
        )
    if step := wording.next_step(release):
        lines.append(f"What can be done now: {text(advised(step, EntryPoint.GITHUB))}")
    if not release.outcome and release.can_roll_back:
        lines.append(
            "Roll back in seconds: a run with `command: rollback`, or in a terminal "
            f"`bluegreen rollback {release.service}`."
        )
    return "\n\n".join(lines)


def _untold(problems: Iterable[str]) -> str:
    listed = "\n".join(f"- {text(problem)}" for problem in problems)
    return f"**What is missing on GitHub**\n\n{listed}" if listed else ""


def _stamp(at: float) -> str:
    return moment(at, "%Y-%m-%dT%H:%M:%S")


def _clock(at: float) -> str:
    return moment(at, "%H:%M:%S")
