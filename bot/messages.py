"""What is shown in Slack, as Block Kit: pure functions of a release and the time.

Foreign text (a commit's title, the output of a check) appears as plain text, or escaped and `verbatim`. So it cannot
contain a link, a mention or a ping (docs.slack.dev, formatting message text). The top-level `text` says
the state in words: screen readers and notifications use it instead of the blocks.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

from bluegreen import plan_text
from bluegreen.advice import EntryPoint, advised
from bluegreen.engine import Kept, Plan, Previous, ServiceStatus
from bluegreen.events import (
    Awaited,
    CheckState,
    Did,
    Entered,
    Event,
    EventKind,
    Expiring,
    Observed,
    Outcome,
    Phase,
    Settled,
    Started,
    Verb,
)
from bluegreen.permission import Order, listed
from bluegreen.release import IN_NO_CALENDAR, Release, count_of, duration, report_url
from bluegreen.release import moment as moment_by
from bluegreen.wording import (
    age,
    awaiting,
    beforehand,
    flaps,
    needed,
    next_step,
    one_line,
    outcome_line,
    phase_meaning,
    phase_title,
    previous_number,
    sentence,
    serving,
)

Block = dict[str, Any]
#: Slack's limits, and what we keep of them (docs.slack.dev, Block Kit reference).
SECTION, FIELD, HEADER, BUTTON, CONFIRM, VALUE = 2900, 1900, 150, 75, 300, 2000
#: Characters of all blocks as JSON: Slack refuses a message from about 13,200 on (bolt-js issue 2509).
WHOLE = 12_000
LINE, NAME = 900, 60
MOST_CHECKS, MOST_FOUND, MOST_SERVICES, MOST_RELEASES, MOST_CHOICES = 8, 3, 20, 10, 5
TITLE = 200
#: A space at which no line ends.
TIED = "\u00a0"

PROMOTE, HOLD, ROLL_BACK, AGAIN, CHOOSE, REFRESH = "promote", "hold", "roll_back", "again", "choose", "refresh"
_STORY = tuple(phase for phase in Phase if phase is not Phase.ROLLING_BACK)
_MARKS = {Outcome.LIVE: "✅", Outcome.ROLLED_BACK: "↩️", Outcome.FAILED: "❌"}
_TARGETS = "targets"  # the check that every release has
_SLACK_PERSON = re.compile(r"slack:([UW][A-Z0-9]+)")
#: So many people and groups are reminded at most; nobody reads a line of names.
MOST_REMINDED = 4
_IDS = re.compile(r"\b([UWS][A-Z0-9]{5,})\b")


@dataclass(frozen=True)
class Message:
    """A message: its text for screen readers, and its blocks."""

    text: str
    blocks: tuple[Block, ...] = ()

    def body(self) -> dict[str, Any]:
        """As Slack's methods take it. Without blocks the text is shown."""
        return {"text": self.text, **({"blocks": list(self.blocks)} if self.blocks else {})}


# --- words -------------------------------------------------------------------------------------------------


def quoted(text: str, most: int = SECTION) -> str:
    """Somebody's words, harmless in mrkdwn: no link, no mention, one line."""
    clean = one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _cut(clean, most)


def here(text: str) -> str:
    """Our own words, with the commands that they advise as Slack has them."""
    return advised(text, EntryPoint.SLACK)


def who(name: str) -> str:
    """A person: a mention for somebody of this workspace, else the readable end of what they came with."""
    found = _SLACK_PERSON.fullmatch(name)
    if found:
        return f"<@{found[1]}>"
    return quoted(name.rsplit(":", 1)[-1].split("/", 1)[-1] if name.startswith("arn:") else name or "somebody")


def told(event: Event, release: Release) -> str:
    """An event as one line of mrkdwn, with its people as mentions."""
    line = quoted(here(sentence(event, release)))
    for name in {event.who, release.rollback_by}:
        if _SLACK_PERSON.fullmatch(name):
            line = line.replace(name, who(name), 1)
    if event.kind is EventKind.STARTED:
        return "\n".join([line, *(f"• {quoted(here(found), 600)}" for found in beforehand(release, loud=True))])
    return f"{line}{_reminded(release)}" if _reminds(event) else line


def _reminds(event: Event) -> bool:
    """Whether it says that a hold is about to expire."""
    return isinstance(event.payload, Observed) and isinstance(event.payload.seen, Expiring)


def _reminded(release: Release) -> str:
    """Those who may promote and have not yet; never everyone."""
    given = {name.removeprefix("slack:") for name in release.promoters}
    ids = [one for one in listed(Order.PROMOTE, release.config) if one != "*" and one not in given]
    more = f" and {len(ids) - MOST_REMINDED} more" if len(ids) > MOST_REMINDED else ""
    return f". Who may promote: {', '.join(map(_mention, ids[:MOST_REMINDED]))}{more}" if ids else ""


def _mention(id_: str) -> str:
    return f"<!subteam^{id_}>" if id_[0] == "S" else f"<@{id_}>"


def mentioned(text: str) -> str:
    """A sentence of ours, with the people of this workspace whom it names as mentions."""
    return _SLACK_PERSON.sub(lambda found: _mention(found[1]), quoted(text))


def named(ids: str) -> str:
    """Ids of people and groups in our own sentences, as mentions."""
    return _IDS.sub(lambda found: _mention(found[1]), quoted(ids))


def _cut(text: str, most: int) -> str:
    """At most so long; what would be left of a link, a mention or an entity goes, too."""
    return text if len(text) <= most else f"{re.sub(r'(<[^<>]*|&[a-z]*)$', '', text[: most - 1])}…"


def fitting(blocks: Iterable[Block]) -> tuple[Block, ...]:
    """The blocks as they are, or with their longest texts cut until Slack takes them all."""
    made = tuple(blocks)
    for most in (1000, 400, 150, 60, 20):
        if len(json.dumps(made)) <= WHOLE:
            break
        made = tuple(_shortened(block, most) for block in made)
    return made


def _shortened(part: Any, most: int) -> Any:  # Any: whatever JSON holds
    if isinstance(part, list):
        return [_shortened(one, most) for one in part]
    if not isinstance(part, dict) or part.get("type") == "actions":
        return part
    if isinstance(part.get("text"), str):
        return {**part, "text": _cut(part["text"], most)}
    return {key: _shortened(value, most) for key, value in part.items()}


def plain(text: str, most: int = SECTION) -> Block:
    """A plain text object: nothing in it means anything."""
    return {"type": "plain_text", "text": _cut(text or " ", most), "emoji": False}


def mrkdwn(text: str, most: int = SECTION) -> Block:
    """A text object of our own markup; `verbatim` keeps bare URLs and names what they are."""
    return {"type": "mrkdwn", "text": _cut(text or " ", most), "verbatim": True}


def section(text: str) -> Block:
    """A section of our own markup."""
    return {"type": "section", "text": mrkdwn(text)}


def context(*texts: str) -> Block:
    """Small print."""
    return {"type": "context", "elements": [mrkdwn(text) for text in texts[:10]]}


def button(action: str, label: str, value: str, *, style: str = "", confirm: Block | None = None) -> Block:
    """A button; it does nothing without its confirmation, if it has one."""
    made: Block = {
        "type": "button",
        "action_id": action,
        "text": plain(label, BUTTON),
        "value": _cut(value, VALUE),
        "accessibility_label": _cut(label, BUTTON),
    }
    return made | ({"style": style} if style else {}) | ({"confirm": confirm} if confirm else {})


def confirm(title: str, text: str, yes: str, *, style: str = "primary") -> Block:
    """What a person reads before a press counts."""
    asked = {"title": plain(title, 100), "text": plain(text, CONFIRM), "confirm": plain(yes, 30)}
    return {**asked, "deny": plain("Cancel", 30), "style": style}


def link(url: str, text: str) -> str:
    """A link of ours; nothing where there is no address that is one."""
    if not (re.fullmatch(r"https?://[^\s<>|]+", url) and url.isprintable()):
        return ""
    return f"<{url}|{quoted(text)}>"


def moment(at: float, form: str = "{time_secs}") -> str:
    """A time that Slack shows in the reader's time zone."""
    written = moment_by(at, "%H:%M:%S")
    return written if written == IN_NO_CALENDAR else f"<!date^{math.floor(at)}^{form}|{written} UTC>"


# --- the card ----------------------------------------------------------------------------------------------


def card(release: Release, now: float) -> Message:
    """The one live card of a release."""
    blocks = [
        {"type": "header", "text": plain(_heading(release), HEADER)},
        section(_change(release)),
        *_title(release),
        context(_place(release)),
        *_cure(release),
        *_beforehand(release),
        section(_bar(release)),
        {"type": "section", "fields": [mrkdwn(_group(release, name), FIELD) for name in ("blue", "green")]},
        *_checks(release),
        section(_state(release, now)),
        *_buttons(release),
        *_links(release),
    ]
    return Message(spoken(release, now), fitting({**block, "block_id": f"card-{n}"} for n, block in enumerate(blocks)))


def spoken(release: Release, now: float) -> str:
    """The card in words."""
    groups = "; ".join(
        f"{name} {_count(release, name)}" for name in ("blue", "green") if _count(release, name) and not release.outcome
    )
    failing = [state.name for state in release.checks.values() if not state.passed]
    parts = [outcome_line(release), groups, f"failing checks: {', '.join(failing)}" if failing else ""]
    return _cut(_with_people(". ".join(part for part in parts if part), release), 2000)


def _heading(release: Release) -> str:
    if release.outcome:
        return _marked(_MARKS[release.outcome], f"{release.id} {release.outcome.value.replace('_', ' ')}")
    return _marked("⏪" if release.phase is Phase.ROLLING_BACK else "🔵", f"{release.id} {phase_title(release.phase)}")


def _marked(mark: str, text: str) -> str:
    """The text behind its mark: no line ends between them."""
    return f"{mark}{TIED}{text}"


def _change(release: Release) -> str:
    return f"*from* {_of_blue(release)}  *to* {_version(release, release.number, release.commit, release.image)}"


def _of_blue(release: Release) -> str:
    """The version that blue runs, as far as it is known; the group's name where nothing is."""
    known = _version(release, previous_number(release), release.blue_commit, release.blue_image)
    return known or f"what {_code(release.blue_group)} runs"


def _version(release: Release, number: int | None, commit: str, image: str) -> str:
    """`#41 1a2b3c4d`. What is older than the first release has no number, and often no commit: then it is its image."""
    made = _commit(release, commit) or (f"image {_code(image)}" if image else "")
    return " ".join(part for part in (f"#{number}" if number else "", made) if part)


def _commit(release: Release, commit: str) -> str:
    server, repository = release.source.get("server", ""), release.source.get("repository", "")
    shown = commit[:8]
    url = f"{server}/{repository}/commit/{commit}" if commit and server and repository else ""
    return link(url, shown) or _code(shown)


def _code(text: str) -> str:
    return f"`{quoted(text).replace('`', '')}`" if text else ""


def _title(release: Release) -> list[Block]:
    """The commit's title is somebody's: plain text, whatever it looks like."""
    title, author = release.source.get("title", ""), release.source.get("author", "")
    if not title:
        return []
    by = f", by {_cut(one_line(author), NAME)}" if author else ""
    return [{"type": "section", "text": plain(f"{_cut(one_line(title), TITLE)}{by}")}]


def _cure(release: Release) -> list[Block]:
    """What everybody must know of it: why it is in haste, and that nothing returns to blue."""
    if not release.cure:
        return []
    return [context(f"*A cure, without a rollback to blue:* {quoted(_cut(release.cure, 500))}")]


def _place(release: Release) -> str:
    account = f"account {release.account}" if release.account else ""
    by = f"started by {who(release.started_by)}"
    return "  ·  ".join(part for part in (quoted(release.service), account, release.region, by) if part)


def _beforehand(release: Release) -> list[Block]:
    """What was warned of before it began; the thread has the rest."""
    found = beforehand(release, loud=True)
    more = [f"and {len(found) - MOST_FOUND} more, in the thread"] if len(found) > MOST_FOUND else []
    lines = [_marked("⚠", quoted(here(one.removeprefix("warning: ")), 300)) for one in found[:MOST_FOUND]]
    return [context("\n".join([*lines, *more]))] if lines else []


def _bar(release: Release) -> str:
    """Every phase by name: past ones ticked, the present one bold, those to come plain. No line ends within one."""
    at = release.left or release.phase
    back = release.phase is Phase.ROLLING_BACK
    parts = []
    for phase in _STORY:
        if phase is Phase.HOLDING and not release.hold and at is not phase:
            continue
        title = phase_title(phase)
        if _STORY.index(phase) < _STORY.index(at) or release.outcome is Outcome.LIVE:
            parts.append(_marked("✓", title))
        elif phase is at and not back:
            parts.append(f"*{_marked('✗' if release.outcome else '▶', title)}*")
        elif phase is at:
            parts.append(_marked("✗", title))
        elif not back and not release.outcome:
            parts.append(_marked("○", title))
    if back:
        present = f"*{_marked('✗' if release.outcome else '▶', 'rolling back')}*"
        parts.append(_marked("✓", "rolled back") if release.outcome is Outcome.ROLLED_BACK else present)
    return "  ".join(part.replace(" ", TIED) for part in parts)


def _is_back(release: Release, which: str) -> bool:
    """Whether green, of a standing pair, was given back to its owner."""
    return which == "green" and Verb.RETURN_GREEN in release.did


def _group(release: Release, which: str) -> str:
    name = release.blue_group if which == "blue" else release.green_group
    mark = "🔷" if which == "blue" else "🟩"
    gone = Verb.DELETE_BLUE if which == "blue" else Verb.DELETE_GREEN
    # Blue serves from before the release; what it counts is not seen before green is to be made.
    unseen = (
        ("is ill" if release.cure else "serves")
        if which == "blue"
        else "idle"
        if release.pair
        else "was not made"
        if release.outcome
        else "not made yet"
    )
    said = (
        "removed"
        if gone in release.did
        else "idle again"
        if _is_back(release, which)
        else _count(release, which) or unseen
    )
    return f"{_marked(mark, f'*{which}*')}  {_code(name)}\n{said}"


def _count(release: Release, which: str) -> str:
    seen = release.fleet(which)
    if not seen:
        return ""
    serving, share = seen.serving, seen.share
    up = serving if serving or share else seen.in_service
    word = "healthy" if serving or share else "in service"
    return f"{up} of {seen.desired} {word}, {f'{share:g} % of the traffic' if share else 'no traffic'}"


def _checks(release: Release) -> list[Block]:
    """The last answers; those that fail first."""
    states = sorted(release.checks.values(), key=lambda state: (state.passed, state.held))
    if not states:
        return []
    lines = [_check(state, needed(release, state.name), flaps(release, state.name)) for state in states[:MOST_CHECKS]]
    more = [f"and {len(states) - MOST_CHECKS} more"] if len(states) > MOST_CHECKS else []
    return [context("\n".join([*lines, *more]))]


def _check(state: CheckState, needs: int, changes: str) -> str:
    value = f", it flaps ({changes})" if changes else ""
    value += f": {quoted(state.value, 200)}" if state.value else ""
    if not state.passed:
        often = f" {count_of(state.streak, 'time')}" if state.streak > 1 else ""
        return _marked("✗", f"check *{quoted(state.name)}* fails{often}{value}")
    held = "holds" if state.held else f"passes ({state.streak} of {needs})" if needs else "passes"
    return _marked("✓" if state.held else "·", f"check {quoted(state.name)} {held}{value}")


def _state(release: Release, now: float) -> str:
    if release.outcome:
        ended = f"*{_with_people(outcome_line(release), release)}*"
        step = next_step(release) if release.outcome is not Outcome.LIVE else ""
        return f"{ended}\n{quoted(here(step[:1].upper() + step[1:]))}" if step else ended
    elapsed = f"{duration(now - release.started_at)} since the start"
    undriven = "*It has no driver now; the next one continues it.*\n" if release.interrupted else ""
    if release.rollback_pending:
        return f"*{who(release.rollback_by)} ordered the rollback.*\n{undriven}{elapsed}"
    if release.interrupted:
        return f"{undriven}{elapsed}{_approved(release)}"
    return f"*{_meaning(release)}*\n{_expires(release, now)}{_waits(release, now)}{elapsed}{_approved(release)}"


def _meaning(release: Release) -> str:
    """What goes on; of a rollback also why."""
    meaning = phase_meaning(release.phase, release)
    if release.phase is Phase.ROLLING_BACK and release.rollback_by:
        return f"{meaning}: ordered by {who(release.rollback_by)}"
    if release.phase is Phase.ROLLING_BACK and release.message:
        return f"{meaning}: {quoted(here(release.message), 500)}"
    return meaning


def _waits(release: Release, now: float) -> str:
    if release.awaits is None:
        return ""
    awaited, deadline = release.awaits.awaited, release.awaits.deadline
    told = awaited is Awaited.PROMOTION  # by `_expires`
    until = f" (until {moment(deadline)})" if deadline and deadline > now and not told else ""
    return f"{quoted(awaiting(awaited, None, now, release))}{until}  ·  "


def _expires(release: Release, now: float) -> str:
    """When a hold ends by itself, and into what."""
    promotion = release.config.get("promotion") or {}
    ends = release.in_phase_since + promotion.get("timeout", 0.0)
    if release.phase is not Phase.HOLDING or not release.promotable or ends <= now:
        return ""
    then = "promoted" if promotion.get("on_timeout") == "promote" else "rolled back"
    return f"Expires {moment(ends, '{date_short_pretty} {time}')}: then it is {then}.\n"


def _approved(release: Release) -> str:
    if not release.promoters:
        return f"  ·  held by {who(release.held_by)}" if release.held_by else ""
    people = ", ".join(who(one) for one in release.promoters)
    return f"  ·  promoted by {people} ({len(release.promoters)} of {release.approvals})"


def _with_people(text: str, release: Release) -> str:
    said = quoted(here(text))
    return said.replace(release.rollback_by, who(release.rollback_by), 1) if release.rollback_by else said


#: What a button orders.
_ORDER_OF = {PROMOTE: Order.PROMOTE, ROLL_BACK: Order.ROLL_BACK, HOLD: Order.HOLD}


def _buttons(release: Release, may: Callable[[Order], bool] = lambda order: True) -> list[Block]:
    """What can be decided now, by whoever may; a decision takes its buttons with it."""
    number = previous_number(release)
    old = f"#{number}" if number else _cut(one_line(release.blue_group), NAME)
    new = _cut(one_line(release.commit[:8] or release.image), NAME)
    where = f"{release.service} in account {release.account or '?'}, {release.region or '?'}"
    made = []
    if release.promotable:
        text = f"{where}: green ({new}) gets all traffic, blue ({old}) none."
        asked = confirm(f"Promote {release.id}?", text, "Promote")
        made.append(button(PROMOTE, "Promote", release.revision, style="primary", confirm=asked))
    if release.returnable:
        blue = "goes on as it is" if release.cure and release.left_whole is None else "gets all traffic again"
        text = f"{where}: blue ({old}) {blue}, green ({new}) is removed."
        asked = confirm(f"Roll back {release.id}?", text, "Roll back", style="danger")
        made.append(button(ROLL_BACK, "Roll back", release.revision, style="danger", confirm=asked))
    if release.holdable:
        text = f"{where}: blue ({old}) and green ({new}) both serve until someone promotes or rolls back."
        asked = confirm(f"Hold {release.id}?", text, "Hold")
        made.append(button(HOLD, "Hold", release.revision, confirm=asked))
    shown = [one for one in made if may(_ORDER_OF[one["action_id"]])]
    return [{"type": "actions", "elements": shown}] if shown else []


def _links(release: Release) -> list[Block]:
    server, repository = release.source.get("server", ""), release.source.get("repository", "")
    pull = release.source.get("pull", "")
    home = f"{server}/{repository}" if server and repository else ""
    found = [
        link(release.source.get("run_url", ""), "run"),
        link(f"{home}/pull/{pull}", f"pull request {pull}") if home and pull else "",
        link(f"{home}/deployments", "deployments") if home else "",
        link(release.report_url, "report") if release.outcome else "",
    ]
    return [context("  ·  ".join(one for one in found if one))] if any(found) else []


# --- the thread --------------------------------------------------------------------------------------------

_ALWAYS = frozenset(
    {
        EventKind.ENTERED,
        EventKind.STUMBLED,
        EventKind.BLINDED,
        EventKind.ERRED,
        EventKind.PROMOTED,
        EventKind.HOLD_ORDERED,
        EventKind.ROLLBACK_ORDERED,
        EventKind.INTERRUPTED,
        EventKind.TAKEN_UP,
        EventKind.RESUMED,
        EventKind.SETTLED,
    }
)
#: What the channel reads, too: orders with who gave them, and trouble.
ORDERS = frozenset({EventKind.PROMOTED, EventKind.HOLD_ORDERED, EventKind.ROLLBACK_ORDERED, EventKind.RESUMED})
_TOLD_ACTS = frozenset({Verb.CREATE_GREEN, Verb.JOIN_GREEN, Verb.TAKE_BLUE_OUT, Verb.JOIN_BLUE, Verb.TAKE_GREEN_OUT})


def worth_a_line(event: Event) -> bool:
    """Whether the thread tells it: phases, changes of health and traffic, orders, troubles."""
    match event.payload:
        case Started(findings=findings):
            return any(found["verdict"] == "warned" for found in findings)
        case Did(verb=verb, stays_on_version=version):
            return verb in _TOLD_ACTS or version is not None
        case Observed(seen=CheckState() as answer):
            return _changes(answer)
        case Observed():
            return True
    return event.kind in _ALWAYS


def _changes(answer: CheckState) -> bool:
    """A check that begins to fail, is lost, comes to hold, or passes again; not each answer on the way there.

    Green's targets are not healthy when they have just joined: that is no news until they were.
    """
    held, first = answer.held_since, answer.streak == 1
    if not answer.passed:
        return answer.lost or (first and (held is not None or answer.name != _TARGETS))
    return held is not None and (held >= answer.since or first)


def aloud(event: Event) -> bool:
    """Whether the channel gets the line, too: orders, a hold that expires, a rollback, a failure."""
    match event.payload:
        case Entered(phase=phase):
            return phase is Phase.ROLLING_BACK
        case Settled(outcome=outcome):
            return outcome is not Outcome.LIVE
    return event.kind in ORDERS or _reminds(event)


def line(event: Event, release: Release) -> str:
    """One line of the thread; `release` has the event folded in."""
    title = release.outcome.value.replace("_", " ") if release.outcome else phase_title(release.phase)
    return f"{moment(event.at)}  _{title}_  {told(event, release)}"


def lines(texts: Sequence[str], spoken_: str) -> Message:
    """Several lines of the thread in one message; each is there, however long the others are."""
    packed: list[str] = []
    for text in (_cut(text, LINE) for text in texts):
        if packed and len(packed[-1]) + len(text) < SECTION:
            packed[-1] += f"\n{text}"
        else:
            packed.append(text)
    return Message(_cut(spoken_, 2000), fitting(map(section, packed)))


# --- answers -----------------------------------------------------------------------------------------------


def refusal(text: str, hint: str = "", *blocks: Block) -> Message:
    """Why not, and what to do."""
    spoken_ = f"{text.rstrip('.')}. {hint}".strip()
    return Message(_cut(spoken_, SECTION), (section(spoken_), *blocks) if blocks else ())


def choices(question: str, found: Sequence[tuple[str, str]]) -> Message:
    """Several meanings are possible: a button for each (label, value)."""
    made = [button(f"{CHOOSE}:{n}", label, value) for n, (label, value) in enumerate(found[:MOST_CHOICES])]
    more = f" ({len(found) - MOST_CHOICES} more: name one)" if len(found) > MOST_CHOICES else ""
    said = f"{question}{more}"
    listed = ", ".join(label for label, _ in found)
    return Message(quoted(f"{said} {listed}"), (section(quoted(said)), {"type": "actions", "elements": made}))


def plan(made: Plan) -> Message:
    """What a release would do now: what matters of it, then every step."""
    release = made.release
    line = quoted(
        f"{release.id} would replace {release.blue_group} by {release.green_group}; bluegreen changed nothing."
    )
    told_ = [quoted(here(one), LINE) for one in plan_text.gist(made)]
    steps = quoted_lines([here(one) for one in plan_text.steps(made)], SECTION - 10)
    listed_ = _cut("\n".join(f"• {one}" for one in told_), SECTION)
    blocks = [section(f"*{line}*"), *([section(listed_)] if listed_ else []), section(f"```{steps}```")]
    return Message(_cut("\n".join([line, *told_]), SECTION), fitting(blocks))


def quoted_lines(lines: Iterable[str], most: int) -> str:
    """Lines for a block of code, as many as fit; how many are left out stands at the end."""
    shown = [quoted(one, LINE).replace("`", "'") for one in lines]
    for count in range(len(shown), 0, -1):
        more = f"\n… and {len(shown) - count} more" if count < len(shown) else ""
        if len(text := "\n".join(shown[:count]) + more) <= most:
            return text
    return ""


def again(previous: Previous, value: str) -> Message:
    """Blue is retired: what a release of the previous image would bring back."""
    release = previous.release
    old = f"{release.service}#{previous.number}" if previous.number else release.blue_group
    made = f" ({previous.commit[:8]})" if previous.commit else ""
    text = (
        f"{release.id}: blue is retired, so a rollback in seconds is impossible. "
        f"A release of the image of {old}{made} brings it back in minutes, also during a freeze."
    )
    asked = confirm(
        f"Release {old} again?",
        f"{release.service} in account {release.account or '?'}, {release.region or '?'}: from {release.id} back to "
        f"the image of {old}, {previous.image}{made}, as a new release.",
        "Release it",
        style="danger",
    )
    pressed = button(AGAIN, f"Release {old} again", value, style="danger", confirm=asked)
    return Message(quoted(text), (section(quoted(text)), {"type": "actions", "elements": [pressed]}))


def known_bad(what: str, title: str, value: str) -> Message:
    """The second question: the image to release again was rolled back."""
    text = f"{what}. bluegreen releases it again only if you confirm."
    asked = confirm("Release it anyway?", f"{_cut(one_line(what), 200)}. {title}?", "Release it", style="danger")
    pressed = button(AGAIN, f"{title[:1].upper()}{title[1:]} anyway", value, style="danger", confirm=asked)
    return Message(quoted(text), (section(quoted(text)), {"type": "actions", "elements": [pressed]}))


def overview(statuses: Sequence[ServiceStatus], now: float) -> Message:
    """What runs and what is live, service by service."""
    if not statuses:
        return Message(
            "There is no service that you may promote or roll back: slack.promoters and slack.rollbackers list who may."
        )
    found = [block for status in statuses[:MOST_SERVICES] for block in service_blocks(status, now)]
    spoken_ = "; ".join(f"{one.service}: {_stands(one)}" for one in statuses)
    more = len(statuses) - MOST_SERVICES
    found += [context(f"and {more} more: `/releases` with a name shows one")] if more > 0 else []
    return Message(quoted(spoken_, 2000), fitting(found))


def service_blocks(status: ServiceStatus, now: float) -> list[Block]:
    """One service: live version, release under way, freeze."""
    record = status.record
    stands = _with_people(_stands(status), status.release) if status.release else quoted(_stands(status))
    parts = [f"*{quoted(status.service)}*  {stands}"]
    parts += [f"live: {live}"] if (live := _live(status)) else []
    for freeze in status.freezes(now):
        until = f" until {moment(freeze.until, '{date_short} {time}')}" if freeze.until else ""
        why = f": {quoted(freeze.why, 300)}" if freeze.why else ""
        parts.append(_marked("❄", f"frozen by {who(freeze.who) if freeze.who else 'bluegreen.yml'}{until}{why}"))
    for kept in record.kept:
        until = moment(kept.until, "{date_short} {time}")
        parts.append(f"kept for inspection, without traffic: {_code(kept.group)} until {until}")
    return [section("\n".join(parts))]


def _config(status: ServiceStatus) -> Mapping[str, Any]:
    return status.release.config if status.release else {}


def _live(status: ServiceStatus) -> str:
    """The version that is live: of the last release that went live, or else what served before the first one."""
    live, release = status.record.live, status.release
    if live:
        return f"#{live.number} {_code(live.commit[:8])} {_code(live.image)}"
    return _of_blue(release) if release and serving(release) != release.green_group else ""


def _stands(status: ServiceStatus) -> str:
    release = status.release
    if release is None:
        return "no releases yet"
    driven = "" if release.outcome or status.driver else " (no driver now)"
    return f"{outcome_line(release)}{driven}"


#: Characters of an address in a list of releases.
_LONGEST_URL = 200


def history(
    rows: Iterable[Any], now: float, kept: Kept | None = None, config: Mapping[str, Any] = MappingProxyType({})
) -> Block:
    """The last releases, one line each, and whose images are gone, if AWS was read.

    `config`: of the last release, which says where the reports are.
    """
    made = []
    for row in rows:
        url = report_url(config, row.service, row.number) if row.outcome else ""
        report = link(url, "report") if len(url) <= _LONGEST_URL else ""  # a line that is cut would end in half a link
        outcome = row.outcome.value.replace("_", " ") if row.outcome else "under way"
        what = row.commit[:8] or row.image
        gone = ", its image is gone" if kept and kept.gone(row.image) else ""
        line = f"#{row.number}  {_code(what)}  *{outcome}*  {age(now - row.started)}  by {who(row.who)}{gone}"
        made.append(f"{line}  {report}".rstrip())
    return section(_cut("\n".join(made), SECTION) if made else "No release yet.")


def home(
    statuses: Sequence[ServiceStatus],
    histories: Mapping[str, Sequence[Any]],
    now: float,
    may: Callable[[ServiceStatus, Order], bool] = lambda status, order: True,
) -> dict[str, Any]:
    """The dashboard of the App Home, with the buttons of each release under way that its person may press."""
    refresh = {"type": "actions", "elements": [button(REFRESH, "Look again", "home")]}
    shown = statuses[:MOST_SERVICES]
    under_way = [one for one in statuses if one.record.under_way]
    top = f"{count_of(len(statuses), 'service')}, {count_of(len(under_way), 'release')} under way, as of {moment(now)}"
    blocks: list[Block] = [{"type": "header", "text": plain("Releases", HEADER)}, context(top), refresh]
    if not statuses:
        blocks.append(section(quoted(overview([], now).text)))
    for status in shown:
        blocks += [{"type": "divider"}, *service_blocks(status, now)]
        blocks += _buttons(status.release, partial(may, status)) if status.release else []
        told = history(histories.get(status.service, ())[:MOST_RELEASES], now, config=_config(status))
        blocks.append(context(told["text"]["text"]))
    if len(statuses) > len(shown):
        blocks.append(context(f"and {len(statuses) - len(shown)} more: `/releases` shows each"))
    return {"type": "home", "blocks": [{**block, "block_id": f"home-{n}"} for n, block in enumerate(blocks[:100])]}
