"""The journal becomes one live card and one thread for each release.

One bot of a table is the leader for ten seconds at a time; another takes over when it dies. The journal has a note of
where a card is and how far its thread has come, so the next leader continues with the same card:

    note {posting}      → chat.postMessage (card)  → note {channel, ts}
    note {told: 12, telling: 17} → chat.postMessage (lines up to event 17, which say so in their metadata)

If a bot dies between a note and its post, the next one reads Slack: the card in the channel, the last line in the
thread. Nothing here slows a release: it only reads the journal and calls Slack, and both may fail for any time (S10).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bluegreen.engine import Engine
from bluegreen.errors import BlueGreenError, LeaseLost
from bluegreen.events import Event, EventKind, Outcome, Settled
from bluegreen.release import Release, apply, fold, release_id
from bot import messages
from bot.metrics import Counters, Fence
from bot.slack import Later, Lost, Refusal, Slack

log = logging.getLogger("bot.cards")

LEADERSHIP, LEADERSHIP_SECONDS, LEADERSHIP_LEFT = "follower", 10.0, 6.0
#: How often the journal is asked what is new in a release; one that this bot drives tells it at once. All services are
#: one read, and say which release was ordered something: that read is more frequent.
LOOK, LOOK_DRIVEN, LOOK_ALL = 1.5, 30.0, 0.5
#: Edits of one card are this far apart at least, but for an order; its clock alone is worth one this seldom, and
#: seldomer with many.
EDIT, HEARTBEAT, HEARTBEAT_EACH = 2.5, 20.0, 1.5
#: Slack takes some fifty edits a minute (tier 3). So many of them may be for clocks, and for clocks and all else that
#: is no order: the rest is kept for people who wait for what they ordered to show.
PULSES, EDITS, MINUTE = 24, 28, 60.0
#: Thread lines wait so long for company, unless the channel is to hear them.
GATHER = 1.0
#: After a refusal a person has to do something; so long until we look whether they did.
REFUSED = 20.0
#: Lines in one message of the thread.
MOST_LINES = 12
#: Releases that settled longer ago get no card any more: a new bot does not retell the past.
RETOLD = 86_400.0
#: How many releases of a service are looked at when the duty is taken over.
SURVEYED = 5
#: A release that cannot be followed is tried again so many seconds later; one that fails for so long stands still.
AGAIN, STILL = 15.0, 60.0
#: What is fenced off from other releases, as the log and the metric have it.
READ, SHOWN = "read", "shown"
CARD, LINES = "bluegreen_card", "bluegreen_lines"


@dataclass
class FollowedRelease:
    """One release as far as it was read, and what Slack shows of it."""

    release: Release
    unsaid: list[tuple[Event, Release]]  # with the release as it was then
    channel: str = ""
    ts: str = ""
    told: int = 0  # events up to this one are told
    telling: int = 0  # events up to this one are told, or a bot was about to
    sure: bool = False  # whether Slack was asked what a bot before us left half done
    posting: bool = False
    shown: tuple[messages.Block, ...] = ()
    shown_seq: int = 0  # the event up to which `shown` was drawn
    ordered: int = 0  # the event of the last order
    edited: float = 0.0
    looked: float = 0.0
    not_before: dict[str, float] = field(default_factory=dict)  # by what is tried: Slack asked us to wait

    @property
    def over(self) -> bool:
        """Whether nothing more will happen to it; a failed one may be resumed."""
        return self.release.outcome is not None


class Cards:
    """Keeps every card. `step` does what is due and returns at once; `run` calls it until it is stopped."""

    def __init__(
        self, engine: Engine, slack: Slack, metrics: Counters, *, now: Callable[[], float] = time.time
    ) -> None:
        self._engine, self._slack, self._metrics, self._now = engine, slack, metrics, now
        self._leadership: Any = None  # the journal's own kind of lease
        self._followed: dict[str, FollowedRelease] = {}
        self._last: dict[str, int] = {}  # by service: the newest release that is known
        self._heard: set[str] = set()
        self._ordered: set[str] = set()  # of these somebody waits to see an order
        self._orders: dict[str, str] = {}  # by service: the last order that is known
        self._edits: deque[float] = deque()  # when cards were edited in the last minute, but for orders
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._looked = 0.0
        self._trouble = ""
        self._went_round, self._mistaken = now(), False
        self._fence = Fence(metrics, log, now)
        self._under_way: set[str] = set()
        self._not_before: dict[tuple[str, str], float] = {}  # what failed is left alone until then
        self._ending = False  # then nothing waits for company any more
        self.driven: Callable[[str], bool] = lambda release: False

    @property
    def follows(self) -> bool:
        """Whether this bot is the leader."""
        return self._leadership is not None

    def standing_still(self) -> tuple[str, ...]:
        """The releases whose cards an internal error has stopped for `STILL` seconds, or `all cards`."""
        if not self.follows:
            return ()
        stuck = self._mistaken and self._now() - self._went_round >= STILL
        failing = sorted({*self._fence.failing(READ, STILL), *self._fence.failing(SHOWN, STILL)})
        return (
            ("all cards",)
            if stuck
            else tuple(one for one in failing if one in self._under_way or one in self._followed)
        )

    def hear(self, release: str) -> None:
        """Something has happened to it: read it at once. Any thread may call it."""
        with self._lock:
            self._heard.add(release)
        self._wake.set()

    def hear_at_once(self, release: str) -> None:
        """Someone gave an order: show it first. Any thread may call it."""
        with self._lock:
            self._ordered.add(release)
        self.hear(release)

    def run(self, stop: Callable[[], bool]) -> None:
        """Keep the cards until `stop` says so; then post what is possible at once, and let another bot lead."""
        while not stop():
            self._guarded(self.step)
            self._wake.wait(0.25)
            self._wake.clear()
        self._ending = True
        self._guarded(self.step)
        self._ending = False
        self._guarded(self._drop)

    def _guarded(self, act: Callable[[], None]) -> None:
        """Trouble with the journal, or a mistake of ours, must not end the following."""
        try:
            act()
            self._trouble, self._mistaken, self._went_round = "", False, self._now()
        except LeaseLost:
            self._forget()
        except BlueGreenError as error:
            if self._trouble != str(error):
                log.warning("cards do not change: %s", error)
            self._trouble = str(error)
            time.sleep(1.0)
        except Exception:
            if not self._mistaken:
                log.exception("an internal error while keeping cards; they may be late")
            self._mistaken = True
            time.sleep(1.0)

    def step(self) -> None:
        """Everything that is due now."""
        if not self._leads():
            return
        self._look()
        for one in sorted(self._followed.values(), key=lambda one: one.edited):
            self._leads()
            self._show_orders()
            self._fenced(SHOWN, one.release.id, partial(self._say, one))
        for id_ in [id_ for id_, one in self._followed.items() if self._is_done(one)]:
            del self._followed[id_]

    def _fenced(self, what: str, whose: str, act: Callable[[], None]) -> None:
        """What goes wrong with one release harms no other; it is tried again soon."""
        if self._now() < self._not_before.get((what, whose), 0.0):
            return
        if not self._fence.passes(what, whose, act):
            self._not_before[what, whose] = self._now() + AGAIN

    # --- the duty --------------------------------------------------------------------------------

    def _leads(self) -> bool:
        if self._leadership is None:
            self._leadership = self._engine.take_leadership(LEADERSHIP, LEADERSHIP_SECONDS)
            self._metrics.following.set(self._leadership is not None)
        elif self._leadership.expires - self._engine.clock.now() < LEADERSHIP_LEFT:
            self._leadership = self._engine.keep_leadership(self._leadership)
        return self._leadership is not None

    def _forget(self) -> None:
        """Another bot follows now; what we knew is out of date."""
        self._leadership = None
        self._followed.clear()
        self._last.clear()
        self._orders.clear()
        self._not_before.clear()
        self._looked = 0.0
        self._metrics.following.set(0)

    def _drop(self) -> None:
        if self._leadership is not None:
            self._engine.drop_leadership(self._leadership)
            self._forget()

    # --- the journal -----------------------------------------------------------------------------

    def _look(self) -> None:
        with self._lock:
            heard, self._heard = self._heard, set()
        now = self._now()
        if now - self._looked >= LOOK_ALL or heard - self._followed.keys():
            self._find()
            self._looked = now
        for id_, one in list(self._followed.items()):
            self._show_orders()
            pause = LOOK_DRIVEN if self.driven(id_) else LOOK
            if id_ in heard or now - one.looked >= pause:
                one.looked = now
                self._fenced(READ, id_, partial(self._read, one))
        self._metrics.under_way.set(sum(not one.over for one in self._followed.values()))

    def _find(self) -> None:
        """Releases that are not followed yet: the newest, those between, and at first some that settled lately."""
        records = self._engine.services()
        self._under_way = {release_id(one.service, one.under_way) for one in records if one.under_way}
        for record in records:
            known = self._last.get(record.service)
            if known is None:
                numbers = [one.number for one in self._engine.history(record.service, SURVEYED)]
            else:
                numbers = list(range(known + 1, (record.last or 0) + 1))
            if record.under_way:
                numbers.append(record.under_way)
            for id_ in (release_id(record.service, number) for number in sorted(set(numbers))):
                self._fenced(READ, id_, partial(self._begin, id_, surveyed=known is None))
            self._last[record.service] = record.last or 0
            self._note_order(record.service, record.ordered)

    def _note_order(self, service: str, ordered: str) -> None:
        """Of an order that another process took only the record of its service tells at once."""
        if ordered != self._orders.setdefault(service, ordered):
            self._orders[service] = ordered
            self.hear_at_once(ordered.rpartition("/")[0])

    def _show_orders(self) -> None:
        """Before whatever else is to be done."""
        while self._ordered:
            with self._lock:
                one = self._followed.get(self._ordered.pop())
            if one is not None:
                self._fenced(SHOWN, one.release.id, partial(self._show, one))

    def _show(self, one: FollowedRelease) -> None:
        self._read(one)
        self._say(one)

    def _begin(self, id_: str, *, surveyed: bool) -> None:
        if id_ in self._followed:
            return
        events = self._engine.events(id_)
        note = self._engine.noted(id_, "card") or {}
        if not events or (note.get("done") and note.get("told", 0) >= events[-1].seq):
            return
        one = FollowedRelease(fold(events[:1]), [], looked=self._now())
        if not note and surveyed and self._now() - events[-1].at > RETOLD:
            return
        one.unsaid.append((events[0], one.release))
        self._take(one, events[1:], measured=events[-1].seq if surveyed else note.get("told", 0))
        one.channel = note.get("channel") or _channel(one.release)
        one.ts, one.posting = note.get("ts", ""), bool(note.get("posting"))
        one.told, one.telling = note.get("told", 0), note.get("telling", 0)
        one.sure = not note
        self._followed[id_] = one

    def _read(self, one: FollowedRelease) -> None:
        self._take(one, self._engine.events(one.release.id, after=one.release.seq), measured=0)

    def _take(self, one: FollowedRelease, events: list[Event], *, measured: int) -> None:
        """Take events up; those up to `measured` are in the metrics already, or too old for them."""
        for event in events:
            if event.seq > measured:
                self._measure(one.release, event)
            one.release = apply(one.release, event)
            one.unsaid.append((event, one.release))
            if event.kind in messages.ORDERS:
                one.ordered = event.seq

    def _measure(self, before: Release, event: Event) -> None:
        if event.kind is EventKind.ENTERED or event.kind is EventKind.SETTLED:
            self._metrics.phases.labels(before.phase).observe(max(0.0, event.at - before.in_phase_since))
        if isinstance(event.payload, Settled):
            self._metrics.releases.labels(event.payload.outcome).inc()
            if event.payload.outcome is Outcome.ROLLED_BACK:
                self._metrics.rollbacks.labels(event.payload.reason).inc()

    # --- Slack -----------------------------------------------------------------------------------

    def _say(self, one: FollowedRelease) -> None:
        """The card, then its edits and its thread, each at its own pace."""
        if not one.channel:
            one.unsaid.clear()
            return
        for act in (self._place, self._edit, self._tell):
            if act == self._place or (one.ts and one.sure):
                self._try(one, act)
        self._note_the_end(one)

    def _try(self, one: FollowedRelease, act: Callable[[FollowedRelease], None]) -> None:
        """A failure is tried again when Slack or a person allows; what is paused does not pause the rest."""
        if self._now() < one.not_before.get(act.__name__, 0.0):
            return
        try:
            act(one)
        except Later as later:
            one.not_before[act.__name__] = self._now() + later.seconds
            if later.unclear:  # Slack may have taken it: look before it is said again
                one.sure, one.posting = False, not one.ts
        except Lost:
            one.ts, one.posting = "", False  # somebody deleted it: the next step makes another
        except Refusal:
            one.not_before[act.__name__] = self._now() + REFUSED

    def _place(self, one: FollowedRelease) -> None:
        """The card is there, and what an earlier try left half done is known."""
        if not one.sure:
            self._ask_what_is_there(one)
        self._post_card(one)

    def _ask_what_is_there(self, one: FollowedRelease) -> None:
        """A bot before us may have died between a note and its post."""
        if not one.ts and one.posting:
            one.ts = next(self._found(one, CARD, "conversations.history"), {}).get("ts", "")
        if one.ts and one.telling > one.told:
            there = self._found(one, LINES, "conversations.replies")
            if any(int(message["metadata"]["event_payload"]["last"]) >= one.telling for message in there):
                one.told = one.telling
        one.sure = True

    def _found(self, one: FollowedRelease, kind: str, method: str) -> Iterator[dict[str, Any]]:
        """Our messages of that kind about the release."""
        asked: dict[str, Any] = {"channel": one.channel, "include_all_metadata": "true", "limit": "200"}
        asked |= {"ts": one.ts} if method == "conversations.replies" else {"oldest": str(one.release.started_at - 60)}
        for _ in range(20):
            try:
                page = self._slack.call(method, about=one.channel, **asked)
            except Refusal as refusal:
                if refusal.code != "missing_scope":
                    raise
                return  # rather twice in the channel than not at all
            for message in page.get("messages", []):
                metadata = message.get("metadata") or {}
                payload = metadata.get("event_payload") or {}
                if metadata.get("event_type") == kind and payload.get("release") == one.release.id:
                    yield message
            cursor = (page.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                return
            asked["cursor"] = cursor

    def _post_card(self, one: FollowedRelease) -> None:
        if one.ts:
            return
        self._note(one, posting=True)
        now = self._now()
        said = messages.card(one.release, now)
        posted = self._slack.call(
            "chat.postMessage",
            about=one.channel,
            channel=one.channel,
            metadata={"event_type": CARD, "event_payload": {"release": one.release.id}},
            **_quietly(said),
        )
        one.channel, one.ts = str(posted.get("channel") or one.channel), str(posted["ts"])
        one.shown, one.shown_seq, one.edited = said.blocks, one.release.seq, now
        self._note(one)

    def _tell(self, one: FollowedRelease) -> None:
        """The lines of the thread that are not told yet, several in a message, each exactly once."""
        while batch := self._batch(one):
            last = batch[-1][0].seq
            worth = [(event, then) for event, then in batch if messages.worth_a_line(event)]
            if worth:
                one.telling = last
                self._note(one)
                self._post_lines(one, worth, last)
            one.told = last
            one.unsaid = [(event, then) for event, then in one.unsaid if event.seq > last]

    def _batch(self, one: FollowedRelease) -> list[tuple[Event, Release]]:
        """What goes into the next message: up to the first that the channel hears, which goes alone."""
        waiting = [(event, then) for event, then in one.unsaid if event.seq > one.told]
        worth = [event for event, _ in waiting if messages.worth_a_line(event)]
        if not waiting or (
            worth and not any(map(messages.aloud, worth)) and self._now() - worth[0].at < GATHER and not self._ending
        ):
            return []
        batch: list[tuple[Event, Release]] = []
        told = 0
        for event, then in waiting:
            loud = messages.worth_a_line(event) and messages.aloud(event)
            if loud and told:
                break
            batch.append((event, then))
            told += messages.worth_a_line(event)
            if loud or told >= MOST_LINES:
                break
        return batch

    def _post_lines(self, one: FollowedRelease, worth: list[tuple[Event, Release]], last: int) -> None:
        texts = [messages.line(event, then) for event, then in worth]
        spoken = "; ".join(messages.told(event, then) for event, then in worth)
        self._slack.call(
            "chat.postMessage",
            about=one.channel,
            channel=one.channel,
            thread_ts=one.ts,
            reply_broadcast=any(messages.aloud(event) for event, _ in worth),
            metadata={"event_type": LINES, "event_payload": {"release": one.release.id, "last": last}},
            **_quietly(messages.lines(texts, spoken)),
        )

    def _edit(self, one: FollowedRelease) -> None:
        now = self._now()
        age = now - one.edited
        pulse = max(HEARTBEAT, HEARTBEAT_EACH * len(self._followed))
        if one.release.seq == one.shown_seq and age < pulse and not one.over:
            return  # nothing but the clock has changed: no card is drawn for that
        said = messages.card(one.release, now)
        if said.blocks == one.shown:
            return
        if not self._may_edit(one, age, pulse):
            return
        one.edited, one.shown_seq = now, 0  # until Slack has taken it
        self._slack.call(
            "chat.update", about=one.channel, channel=one.channel, ts=one.ts, **said.body(), link_names=False
        )
        one.shown, one.shown_seq = said.blocks, one.release.seq

    def _may_edit(self, one: FollowedRelease, age: float, pulse: float) -> bool:
        """Whether a card that would look otherwise now is edited; it was so many seconds ago."""
        if one.ordered > one.shown_seq:
            return True
        changed = one.over or messages.card(one.release, one.edited).blocks != one.shown
        if changed and self._ending:
            return True
        while self._edits and self._edits[0] <= self._now() - MINUTE:
            self._edits.popleft()
        least, most = (EDIT, EDITS) if changed else (pulse, PULSES)
        if age < least or len(self._edits) >= most:
            return False
        self._edits.append(self._now())
        return True

    def _note_the_end(self, one: FollowedRelease) -> None:
        if one.over and one.ts and self._is_told(one):
            self._note(one, done=True)

    def _note(self, one: FollowedRelease, **more: bool) -> None:
        facts = {"channel": one.channel, "ts": one.ts, "told": one.told, "telling": one.telling, **more}
        if not self._engine.note(one.release.id, "card", facts, self._leadership):
            raise LeaseLost("another bot is the leader now", where=one.release.id)

    def _is_told(self, one: FollowedRelease) -> bool:
        return one.told >= one.release.seq and one.shown == messages.card(one.release, self._now()).blocks

    def _is_done(self, one: FollowedRelease) -> bool:
        return one.over and (not one.channel or self._is_told(one))


def _channel(release: Release) -> str:
    return str((release.config.get("slack") or {}).get("channel") or "")


def _quietly(said: messages.Message) -> dict[str, Any]:
    """Without previews of links, and without names that become mentions."""
    return {**said.body(), "unfurl_links": False, "unfurl_media": False, "link_names": False}
