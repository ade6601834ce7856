"""The follower in this process, step by step on the lab's clock: cards, threads, duty, and Slack's bad days."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest

from bluegreen import Engine, EventKind, Interrupted, LeaseLost, Outcome, Phase, Release, Until, fold
from bluegreen.config import Config, parse
from bluegreen.wording import phase_title
from bot import cards as following
from bot import messages
from bot.cards import Cards
from bot.metrics import Counters
from bot.slack import Later, Slack
from lab.aws import Timings
from lab.aws.client import Answers, FakeSession
from lab.aws.wire import Answer, Incoming
from lab.slack import ON_CALL, PROMOTER, FakeSlack, PostedMessage
from tests.worlds import GOOD, SICK, Died, Ops

CHANNEL, SERVICE = "C0DEPLOYS", "web/production"
LISTS = {"channel": CHANNEL, "promoters": ["*"], "rollbackers": ["*"]}
ANN = "arn:aws:iam::1:user/ann"
#: A world where not much time is spent with waiting.
TIMINGS = Timings(launch=2, boot=6, ssm=2, stop=4, terminate=4, image=15, register=2)
#: Seconds of the lab's clock between two steps, as `Cards.run` has them.
STEP = 0.25


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    """A workspace; whatever was posted broke no rule."""
    with FakeSlack() as made:
        yield made
    assert made.violations == []


class Bot:
    """One follower, with a Slack client and numbers of its own."""

    def __init__(self, at: Newsroom, session: Any = None) -> None:
        self.engine = Engine(session=session or at.ops.aws.session(), clock=at.ops.clock, table=at.table)
        self.metrics = Counters()
        self.slack = Slack(at.slack.bot_token, at.slack.url, self.metrics)
        self.cards = Cards(self.engine, self.slack, self.metrics, now=at.ops.clock.now)

    def number(self, name: str, **labels: str) -> float:
        """One of its numbers."""
        return self.metrics.registry.get_sample_value(f"bluegreen_{name}", labels) or 0.0


class Newsroom:
    """A world, its Slack, and bots that follow; every call to Slack is noted with the time of the lab's clock."""

    _tables = itertools.count(1)

    def __init__(self, at: FakeSlack, ops: Ops | None = None, /, **changes: Any) -> None:
        self.slack, self.table = at, f"journal-{next(self._tables)}"
        self.ops = ops or Ops(instances=1, timings=TIMINGS, changes={"slack": LISTS, **changes})
        self.times: list[tuple[str, float]] = []
        at.watch = lambda method, when: self.times.append((method, self.ops.clock.now())) if when == "before" else None
        self.engine = Engine(session=self.ops.aws.session(), clock=self.ops.clock, table=self.table)
        self.engine.ensure_table()

    def config(self, **changes: Any) -> Config:
        """Another service in the same group; started, never driven."""
        return parse({**self.ops.world.config(), "slack": LISTS, **changes})

    def start(self, commit: str = GOOD, config: Config | None = None) -> Release:
        """Somebody orders a release."""
        return self.engine.start(config or self.ops.config, commit=commit, who=ANN)

    def happens(self, release: Release, kind: EventKind, **facts: Any) -> None:
        """A driver elsewhere writes that."""
        last = self.engine.events(release.id)[-1].seq
        self.engine._journal.append(release.id, last + 1, kind, facts, self.ops.clock.now())

    def drive(self, release: Release, **more: Any) -> Release:
        """A driver drives it, in its own process."""
        driver = Engine(session=self.ops.aws.session(), clock=self.ops.clock, table=self.table)
        return driver.drive(release.id, tell=lambda *_: None, **more)

    def beats(self, *bots: Bot) -> Callable[[], None]:
        """From now on these step whenever the clock goes on; what is returned ends it."""
        ended = threading.Event()

        def beat() -> None:
            if not ended.is_set():
                for bot in bots:
                    bot.cards.step()
                self.ops.clock.after(STEP, beat)

        beat()
        return ended.set

    def passes(self, seconds: float, *bots: Bot) -> None:
        """Time goes by, and they step."""
        end = self.beats(*bots)
        self.ops.clock.sleep(seconds)
        end()

    # --- what Slack shows ---

    def cards(self, release: Release | None = None) -> list[PostedMessage]:
        """The cards that stand there now."""
        found = [one for one in self.slack.cards() if one.metadata]
        return [one for one in found if release is None or one.metadata["event_payload"]["release"] == release.id]

    def lines(self, release: Release | None = None) -> list[str]:
        """Every line of the threads, in the order in which they came."""
        found = [one for one in self.slack.messages if one.thread_ts and one.metadata]
        mine = [one for one in found if release is None or one.metadata["event_payload"]["release"] == release.id]
        return [line for one in mine for block in one.blocks for line in block["text"]["text"].split("\n")]

    def should(self, release: Release) -> list[str]:
        """The lines that a thread has when all of it was told."""
        told: list[str] = []
        events = self.engine.events(release.id)
        for n, event in enumerate(events):
            if messages.worth_a_line(event):
                told.append(messages.line(event, fold(events[: n + 1])))
        return told

    def wrong(self, release: Release) -> list[str]:
        """What does not hold when everything was told: one card with the last state, each line once, in order."""
        loaded, cards = self.engine.load(release.id), self.cards(release)
        found = [] if len(cards) == 1 else [f"{len(cards)} cards"]
        last = messages.card(loaded, self.ops.clock.now())
        found += [] if cards and tuple(cards[-1].blocks) == last.blocks else ["the card does not show the last state"]
        found += (
            [] if cards and all(one.thread_ts == cards[-1].ts for one in self.posts(release)) else ["a lost thread"]
        )
        return found + ([] if self.lines(release) == self.should(release) else [f"lines are {self.lines(release)}"])

    def posts(self, release: Release) -> list[PostedMessage]:
        """The messages of its thread."""
        found = [one for one in self.slack.messages if one.thread_ts and one.metadata]
        return [one for one in found if one.metadata["event_payload"]["release"] == release.id]

    def edits(self) -> list[float]:
        """When cards were edited."""
        return [at for method, at in self.times if method == "chat.update"]


# --- card and thread ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("commit", "outcome"), [(GOOD, Outcome.LIVE), (SICK, Outcome.ROLLED_BACK)], ids=["live", "rolled back"]
)
def test_a_whole_release(slack: FakeSlack, commit: str, outcome: Outcome) -> None:
    """One card, never edited faster than Slack likes, and in the end with the last state; each line once."""
    at = Newsroom(slack)
    bot = Bot(at)
    release = at.start(commit)
    end = at.beats(bot)
    assert at.drive(release).outcome is outcome
    at.ops.clock.sleep(3)
    end()
    assert at.wrong(release) == []
    assert all(later - earlier >= following.EDIT for earlier, later in pairwise(at.edits()))
    assert len(at.edits()) > 10
    calls = len(at.slack.calls)
    at.passes(60, bot)
    assert len(at.slack.calls) == calls  # nothing more is said of what is over


@pytest.mark.slow
def test_every_phase_is_shown(slack: FakeSlack) -> None:
    """The card says where the release is, no later than an edit and a look after it came there."""
    at = Newsroom(slack)
    release = at.start()
    late: list[str] = []
    bot = Bot(at)
    end = at.beats(bot)

    def look() -> None:
        seen = at.engine.load(release.id)
        since = at.ops.clock.now() - seen.in_phase_since
        heading = at.cards()[-1].blocks[0]["text"]["text"] if at.cards() else ""
        if since > following.EDIT + following.LOOK + STEP and phase_title(seen.phase) not in heading:
            late.append(f"{seen.phase} since {since}: {heading}")
        if not seen.outcome:
            at.ops.clock.after(0.5, look)

    at.ops.clock.after(5, look)
    at.drive(release)
    end()
    assert late == []


def test_the_last_state_is_sent_however_soon_it_came(slack: FakeSlack) -> None:
    """A change right after an edit waits, and is not forgotten; several changes are one edit."""
    at = Newsroom(slack)
    bot = Bot(at)
    release = at.start(config=at.config())
    at.passes(5, bot)
    (card,) = at.cards()
    at.happens(release, EventKind.BLINDED, code="Throttling", message="slow down")
    at.passes(2, bot)
    assert len(at.edits()) == 1
    for phase in (Phase.LAUNCHING, Phase.CHECKING):
        at.happens(release, EventKind.ENTERED, phase=phase)
        bot.cards.hear(release.id)
        at.passes(0.5, bot)
    assert len(at.edits()) == 1
    at.passes(3, bot)
    assert len(at.edits()) == 2
    assert "checking" in at.cards()[0].blocks[0]["text"]["text"]
    assert (at.cards(), at.wrong(release)[1:]) == ([card], [])


def test_an_order_waits_for_no_edit(slack: FakeSlack) -> None:
    """However lately the card was edited, and however many cards were: whoever ordered sees it within a second."""
    at = Newsroom(slack)
    bot = Bot(at)
    release = at.start(config=at.config())
    at.passes(5, bot)
    bot.cards._edits.extend([at.ops.clock.now()] * following.EDITS)
    at.happens(release, EventKind.ENTERED, phase=Phase.LAUNCHING)
    at.passes(10, bot)
    assert at.edits() == []  # what is left of Slack's fifty is for orders
    for order, shown in ((at.engine.hold, "held by <@U0ONCALL>"), (at.engine.roll_back, "ordered the rollback")):
        order(SERVICE, who=f"slack:{ON_CALL.id}")
        at.passes(following.LOOK_ALL + STEP, bot)
        assert shown in str(at.cards()[0].blocks)
    assert len(at.edits()) == 2
    assert at.wrong(release) == []


def test_heartbeat(slack: FakeSlack) -> None:
    """While nothing happens the card's clock alone is worth an edit every twenty seconds."""
    at = Newsroom(slack)
    bot = Bot(at)
    at.start(config=at.config())
    at.passes(130, bot)
    gaps = [later - earlier for earlier, later in pairwise(at.edits())]
    assert len(gaps) == 5
    assert gaps == [following.HEARTBEAT] * 5
    assert at.lines() == at.lines()[:1]


@pytest.mark.slow
def test_heartbeat_of_many(slack: FakeSlack) -> None:
    """Many clocks tick seldomer: all of them together stay below what Slack allows in a minute."""
    at = Newsroom(slack)
    bot = Bot(at)
    for n in range(24):
        at.start(config=at.config(environment=f"e{n}"))
    at.passes(20, bot)
    at.times.clear()
    at.passes(120, bot)
    assert len(at.cards()) == 24
    assert 2 * 24 <= len(at.edits()) <= 4 * 24
    assert max(sum(begin <= one < begin + 60 for one in at.edits()) for begin in at.edits()) <= 50


def test_lines_are_gathered_and_loud_ones_alone(slack: FakeSlack) -> None:
    """What comes within a second is one message; what the channel is to hear goes at once, alone and broadcast."""
    at = Newsroom(slack)
    bot = Bot(at)
    release = at.start()
    end = at.beats(bot)
    with pytest.raises(Interrupted):
        at.drive(release, stop=lambda: at.engine.load(release.id).phase is Phase.SOAKING)
    at.engine.roll_back(SERVICE, who=f"slack:{PROMOTER.id}")
    at.ops.clock.sleep(following.LOOK + 2 * STEP)
    assert at.posts(release)[-1].broadcast
    assert at.drive(release).outcome is Outcome.ROLLED_BACK
    at.ops.clock.sleep(5)
    end()
    assert at.wrong(release) == []
    posts = at.posts(release)
    loud = ["<@U0PROMOTER> ordered the rollback", "returning to blue", "was rolled back"]
    broadcast = [one for one in posts if one.broadcast]
    assert [len(one.blocks) for one in broadcast] == [1, 1, 1]
    assert ["\n" in one.blocks[0]["text"]["text"] for one in broadcast] == [False] * 3
    assert [words in str(one.blocks) for words, one in zip(loud, broadcast, strict=True)] == [True] * 3
    assert len(posts) < len(at.lines())  # some were gathered
    assert [one.metadata["event_payload"]["last"] for one in posts] == sorted(
        one.metadata["event_payload"]["last"] for one in posts
    )


def test_a_quiet_line_waits_for_company(slack: FakeSlack) -> None:
    """A second for others to come; then all that came are one message, in which nobody is called."""
    at = Newsroom(slack)
    bot = Bot(at)
    release = at.start(config=at.config())
    at.passes(3, bot)
    for seq in (2, 3):
        at.engine._journal.append(release.id, seq, EventKind.INTERRUPTED, {}, at.ops.clock.now())
        bot.cards.hear(release.id)
        bot.cards.step()
        at.ops.clock.sleep(0.5)
        assert at.posts(release) == []
    bot.cards.step()
    (post,) = at.posts(release)
    assert len(at.lines(release)) == 2
    assert not post.broadcast


def test_an_order_is_heard_at_once(slack: FakeSlack) -> None:
    """Whoever took it calls: there is no waiting for the next look, also of a release that was not known."""
    at = Newsroom(slack)
    bot = Bot(at)
    bot.cards.step()
    release = at.start(config=at.config())
    at.ops.clock.sleep(0.1)
    bot.cards.step()
    assert at.cards() == []
    bot.cards.hear(release.id)
    bot.cards.step()
    assert len(at.cards()) == 1
    at.engine.hold(SERVICE, who=f"slack:{ON_CALL.id}")
    bot.cards.step()
    assert "<@U0ONCALL>" not in str(at.lines())
    bot.cards.hear(release.id)
    bot.cards.step()
    assert "<@U0ONCALL>" in at.lines()[-1]


def test_what_is_driven_here_is_read_seldom(slack: FakeSlack) -> None:
    """A release that this bot drives says itself when something happened."""
    at = Newsroom(slack)
    bot = Bot(at)
    release = at.start(config=at.config())
    at.passes(3, bot)
    bot.cards.driven = lambda one: one == release.id
    at.happens(release, EventKind.ENTERED, phase=Phase.LAUNCHING)
    at.passes(4, bot)
    assert at.lines() == []
    at.passes(following.LOOK_DRIVEN, bot)
    assert "blue is pinned" in at.lines()[-1]


def test_without_a_channel(slack: FakeSlack) -> None:
    """Slack is not even asked who we are."""
    at = Newsroom(slack)
    bot = Bot(at)
    lists = {"promoters": ["*"], "rollbackers": ["*"]}
    release = at.start(config=at.config(slack=lists))
    bare = at.start(config=at.config(slack=None, environment="staging"))
    for one in (release, bare):
        at.engine.roll_back(one.service, who=ANN)
        at.passes(5, bot)
        assert at.drive(one).outcome is Outcome.ROLLED_BACK
    at.passes(30, bot)
    assert slack.calls == []
    assert bot.number("releases_total", outcome="rolled_back") == 2


# --- one of several ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_second_bot_stands_by(slack: FakeSlack) -> None:
    """Of two that work side by side one speaks; when it ends politely the other goes on at once."""
    at = Newsroom(slack)
    first, second = Bot(at), Bot(at)
    release = at.start()
    end = at.beats(first, second)
    with pytest.raises(Interrupted):
        at.drive(release, stop=lambda: at.engine.load(release.id).phase is Phase.SOAKING)
    end()
    assert (first.cards.follows, second.cards.follows) == (True, False)
    assert (first.number("follower"), second.number("follower")) == (1, 0)
    first.cards.run(lambda: True)  # it ends: once more, and the duty is free
    assert (first.cards.follows, first.number("follower")) == (False, 0)
    end = at.beats(second)
    assert second.cards.follows
    assert at.drive(release).outcome is Outcome.LIVE
    at.ops.clock.sleep(5)
    end()
    assert at.wrong(release) == []


def test_a_bot_that_dies(slack: FakeSlack) -> None:
    """Its duty lapses, then another goes on with the same card; the first, should it wake, says no more."""
    at = Newsroom(slack)
    first, second = Bot(at), Bot(at)
    release = at.start(config=at.config())
    at.passes(4, first)
    at.engine.hold(SERVICE, who=f"slack:{ON_CALL.id}")
    at.passes(6, second)
    assert not second.cards.follows
    assert "<@U0ONCALL>" not in str(at.lines())
    at.passes(4, second)
    assert second.cards.follows
    assert "<@U0ONCALL>" in at.lines()[-1]
    at.engine.roll_back(SERVICE, who=f"slack:{PROMOTER.id}")
    calls = len(slack.calls)
    with pytest.raises(LeaseLost):
        first.cards.step()
    first.cards._guarded(first.cards.step)
    assert len(slack.calls) == calls
    assert not first.cards.follows
    at.passes(3, first, second)
    assert (first.cards.follows, second.cards.follows) == (False, True)
    second.cards._drop()
    at.drive(release)
    at.passes(10, first)  # its turn again: what it knew once is out of date
    assert at.wrong(release) == []


def test_a_bot_that_slept_between_its_look_and_its_note(slack: FakeSlack) -> None:
    """Its note is refused, as another has the duty: so it does not post."""
    at = Newsroom(slack)
    first, second = Bot(at), Bot(at)
    release = at.start(config=at.config())
    at.passes(4, first)
    at.engine.hold(SERVICE, who=f"slack:{ON_CALL.id}")
    stale = first.cards._followed[release.id]
    first.cards._read(stale)
    at.passes(20, second)
    posts = len(slack.messages)
    with pytest.raises(LeaseLost, match="another bot is the leader now"):
        first.cards._say(stale)
    assert len(slack.messages) == posts


class Death:
    """Dies at a call to AWS of that number, before or after its effect; counts them."""

    def __init__(self, number: int = 0, *, heard: bool = False) -> None:
        self.number, self.heard, self.calls, self.dead = number, heard, 0, False

    def watch(self, answers: Answers) -> Answers:
        """Answers to one process."""

        def answer(request: Incoming, recorded: bool) -> Answer:
            if self.dead:
                raise Died
            self.calls += 1
            if self.calls == self.number and not self.heard:
                self.dead = True
                raise Died
            answered = answers(request, recorded)
            if self.calls == self.number:
                self.dead = True
                raise Died
            return answered

        return answer


def dies(at: Newsroom, death: Death) -> Release:
    """A bot follows a release that is held, ordered back and rolled back, until its death; then another does."""
    session = FakeSession(death.watch(at.ops.aws.answer), at.ops.clock, at.ops.aws.region, recorded=True)
    first = Bot(at, session)
    release = at.start(config=at.config())
    orders: list[Callable[[], Any]] = [
        lambda: None,
        lambda: at.engine.hold(SERVICE, who=f"slack:{ON_CALL.id}"),
        lambda: at.engine.roll_back(SERVICE, who=f"slack:{ON_CALL.id}"),
        lambda: at.drive(release),
    ]
    for order in orders:
        order()
        for _ in range(3):
            try:
                if not death.dead:
                    first.cards.step()
            except Died:
                pass
            at.ops.clock.sleep(1.3)
    at.passes(30, Bot(at))
    return release


@pytest.mark.slow
def test_dying_at_every_call(slack: FakeSlack) -> None:
    """Also between a note and its post, and between a post and its note: one card, each line once, in order."""
    ops = Ops(instances=1, changes={"slack": LISTS})
    quiet = Newsroom(slack, ops)
    whole = Death()
    assert quiet.wrong(dies(quiet, whole)) == []
    found: list[str] = []
    for number, heard in itertools.product(range(1, whole.calls + 1), (False, True)):
        slack.messages.clear()
        at = Newsroom(slack, ops)
        death = Death(number, heard=heard)
        release = dies(at, death)
        assert death.dead
        found += [f"call {number} {'after' if heard else 'before'}: {text}" for text in at.wrong(release)]
    assert whole.calls > 20
    assert found == []


@pytest.mark.parametrize("posted", [False, True])
def test_dying_between_the_note_and_the_card(slack: FakeSlack, posted: bool) -> None:
    """The next bot looks whether it is there, and where Slack does not let it, rather posts twice than not at all."""
    at = Newsroom(slack)
    first = Bot(at)
    release = at.start(config=at.config())
    if not posted:
        slack.fail("chat.postMessage", "internal_error", status=500, times=1)
        first.cards.step()
        slack.well()
    else:
        first.cards.step()
        leadership = first.cards._leadership
        noted = {"channel": CHANNEL, "ts": "", "told": 0, "telling": 0, "posting": True}
        assert at.engine.note(release.id, "card", noted, leadership)
    assert len(at.cards()) == posted
    slack.scopes.discard("channels:history")
    at.passes(20, Bot(at))
    assert len(at.cards()) == 1 + posted
    assert len(slack.called("conversations.history")) == 1
    slack.scopes.add("channels:history")


def test_missing_scope_is_complained_of_once(slack: FakeSlack, caplog: pytest.LogCaptureFixture) -> None:
    """Of a history that may not be read: once, with what to do; the thread goes on."""
    at = Newsroom(slack)
    slack.scopes.discard("channels:history")
    bot = Bot(at)
    release = at.start(config=at.config())
    second = at.start(config=at.config(environment="staging"))
    bot.cards.step()
    for one in (release, second):
        noted = {"channel": CHANNEL, "ts": "", "told": 0, "telling": 0, "posting": True}
        assert at.engine.note(one.id, "card", noted, bot.cards._leadership)
    at.passes(20, Bot(at))
    assert len(slack.called("conversations.history")) == 2
    assert caplog.text.count("missing_scope") == 1
    assert "install the app again" in caplog.text
    assert len(at.lines(release)) == len(at.should(release))


# --- what came before --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ago", "told"), [(60.0, True), (86_300.0, True), (86_500.0, False), (900_000.0, False)])
def test_what_settled_while_no_bot_ran(slack: FakeSlack, ago: float, told: bool) -> None:
    """Within a day it gets its card and its thread, once; the past is not retold."""
    at = Newsroom(slack)
    release = at.start(config=at.config())
    at.engine.roll_back(SERVICE, who=f"slack:{ON_CALL.id}")
    at.drive(release)
    at.ops.clock.sleep(ago)
    bots = [Bot(at), Bot(at)]  # the later one says nothing more
    for bot in bots:
        at.passes(10, bot)
        bot.cards._drop()
    assert at.wrong(release) == [] if told else slack.calls == []
    assert [bot.number("releases_total", outcome="rolled_back") for bot in bots] == [0, 0]  # nobody saw it settle


def test_what_a_bot_left_half_told_is_told_whenever(slack: FakeSlack) -> None:
    """A card that was begun is brought to its end, also after days."""
    at = Newsroom(slack)
    release = at.start(config=at.config())
    at.passes(5, Bot(at))
    at.engine.roll_back(SERVICE, who=f"slack:{ON_CALL.id}")
    at.drive(release)
    at.ops.clock.sleep(3 * following.RETOLD)
    at.passes(10, Bot(at))
    assert at.wrong(release) == []


def test_what_is_under_way_for_days(slack: FakeSlack) -> None:
    """A hold that began before any bot ran is no past."""
    at = Newsroom(slack)
    release = at.start(config=at.config())
    at.ops.clock.sleep(2 * following.RETOLD)
    at.passes(5, Bot(at))
    assert at.wrong(release) == []


def test_several_releases_of_a_service(slack: FakeSlack) -> None:
    """Each has its card, also those that came and went between two looks."""
    at = Newsroom(slack)
    bot = Bot(at)
    made = [at.start(config=at.config())]
    at.passes(4, bot)
    at.engine.roll_back(SERVICE, who=f"slack:{ON_CALL.id}")
    at.drive(made[0])
    for n in range(2):
        made.append(at.start(f"{n}0c0ffee", config=at.config()))
        at.engine.roll_back(SERVICE, who=f"slack:{ON_CALL.id}")
        at.drive(made[-1])
    at.passes(10, bot)
    assert [at.wrong(one) for one in made] == [[], [], []]
    assert bot.number("releases_total", outcome="rolled_back") == 3


def test_a_hold_that_expires(slack: FakeSlack) -> None:
    """The card says when and into what; before that the channel hears it once, with a mention of who may promote."""
    lists = {"channel": CHANNEL, "promoters": ["S0GROUP", PROMOTER.id, "*"], "rollbackers": ["*"]}
    promotion = {"by": "person", "timeout": "3m", "remind": "1m"}
    at = Newsroom(slack, slack=lists, promotion=promotion)
    bot = Bot(at)
    release = at.start()
    held = at.drive(release, until=Until.HELD)
    at.passes(10, bot)
    ends = int(held.in_phase_since + 180)
    (card,) = at.cards(release)
    assert any(f"Expires <!date^{ends}^" in block.get("text", {}).get("text", "") for block in card.blocks)
    stop = at.beats(bot)
    done = at.drive(release)
    stop()
    at.passes(30, bot)
    assert (done.outcome, done.reason) == (Outcome.ROLLED_BACK, "hold_expired")
    told = [one for one in at.posts(release) if "nobody has promoted" in str(one.blocks)]
    assert len(told) == 1
    assert told[0].broadcast
    assert "it is rolled back. Who may promote: <!subteam^S0GROUP>, <@U0PROMOTER>" in str(told[0].blocks)
    assert at.wrong(release) == []


@pytest.mark.slow
def test_a_failed_one_that_goes_on(slack: FakeSlack) -> None:
    """The same card, though it was over."""
    at, release, bot = failed_and_ordered_back(slack)
    assert at.wrong(release) == []
    assert bot.number("releases_total", outcome="rolled_back") == 1
    assert bot.number("rollbacks_total", reason="ordered") == 1


@pytest.mark.slow
def test_a_failed_one_that_goes_on_is_counted_once(slack: FakeSlack) -> None:
    """What was measured before it failed is not measured again."""
    _, _, bot = failed_and_ordered_back(slack)
    assert bot.number("releases_total", outcome="failed") == 1
    assert bot.number("phase_seconds_count", phase="launching") == 1


def failed_and_ordered_back(slack: FakeSlack) -> tuple[Newsroom, Release, Bot]:
    """Somebody else puts blue on another version in the soak: it fails; then a person orders the return to blue."""
    at = Newsroom(slack)
    bot = Bot(at)
    release = at.start()
    end = at.beats(bot)
    with pytest.raises(Interrupted):
        at.drive(release, stop=lambda: at.engine.load(release.id).phase is Phase.SOAKING)
    latest = {"LaunchTemplateId": at.ops.world.template, "Version": "$Latest"}
    others = at.ops.world.client("autoscaling")
    others.update_auto_scaling_group(AutoScalingGroupName=release.blue_group, LaunchTemplate=latest)
    failed = at.drive(release)
    assert failed.outcome is Outcome.FAILED, failed
    at.ops.clock.sleep(10)
    assert at.wrong(release) == []
    assert bot.number("releases_total", outcome="failed") == 1
    at.engine.roll_back(SERVICE, who=f"slack:{ON_CALL.id}")
    assert at.drive(release).outcome is Outcome.ROLLED_BACK
    at.ops.clock.sleep(10)
    end()
    return at, release, bot


# --- Slack's bad days --------------------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slack's client waits for real time, which here does not go by."""
    monkeypatch.setattr("bot.slack.PAUSE", 0.0)
    monkeypatch.setattr("bot.slack.REFUSED_PAUSE", 0.0)


def test_a_card_that_somebody_deleted(slack: FakeSlack) -> None:
    """It is posted again, and told on beneath; what was told is not told again."""
    at = Newsroom(slack)
    bot = Bot(at)
    release = at.start(config=at.config())
    at.passes(5, bot)
    (card,) = at.cards()
    lines = at.lines()
    slack.delete(card.ts)
    at.engine.roll_back(SERVICE, who=f"slack:{ON_CALL.id}")
    at.passes(5, bot)
    (again,) = at.cards()
    assert again.ts != card.ts
    at.drive(release)
    at.passes(10, bot)
    assert at.lines(release) == at.should(release)
    assert {one.thread_ts for one in at.posts(release)[len(lines) :]} <= {card.ts, again.ts}
    assert tuple(again.blocks) == messages.card(at.engine.load(release.id), at.ops.clock.now()).blocks
    at.passes(10, Bot(at))
    assert len(at.cards()) == 1


def test_a_deleted_card_gets_no_line_beneath_what_is_gone(slack: FakeSlack) -> None:
    """The edit that finds it gone comes before the lines, so those that follow are beneath the new one."""
    at = Newsroom(slack)
    bot = Bot(at)
    release = at.start(config=at.config())
    at.passes(5, bot)
    slack.delete(at.cards()[0].ts)
    at.engine.roll_back(SERVICE, who=f"slack:{ON_CALL.id}")
    at.passes(5, bot)
    assert at.posts(release)[-1].thread_ts == at.cards()[0].ts


@pytest.mark.parametrize("times", [1, 4])
def test_trouble_with_posting_a_card(slack: FakeSlack, impatient: None, times: int) -> None:
    """One card in the end, with everything beneath it."""
    at = Newsroom(slack)
    slack.fail("chat.postMessage", "internal_error", status=500, times=times)
    bot = Bot(at)
    release = at.start(config=at.config())
    at.passes(10, bot)
    at.engine.roll_back(SERVICE, who=f"slack:{ON_CALL.id}")
    slack.fail("*", "internal_error", status=503, times=times)
    at.drive(release)
    at.passes(20, bot)
    assert at.wrong(release) == []


@pytest.mark.parametrize("what", ["card", "lines"])
def test_an_answer_that_came_too_late(slack: FakeSlack, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Slack took it, though nobody heard: look before it is said again, as after a crash."""
    monkeypatch.setattr("bot.slack.PAUSE", 0.0)
    monkeypatch.setattr("bot.slack.TIMEOUT", 1)
    at = Newsroom(slack)
    bot = Bot(at)
    release = at.start(config=at.config())
    if what == "lines":
        at.passes(3, bot)
        at.engine.hold(SERVICE, who=f"slack:{ON_CALL.id}")
        at.ops.clock.sleep(2)
    taken = threading.Event()

    def watch(method: str, when: str) -> None:
        if (method, when) == ("chat.postMessage", "after") and not taken.is_set():
            time.sleep(1.5)  # it stands in the channel already; the answer comes when nobody listens any more
            taken.set()

    slack.watch = watch
    bot.cards.step()
    assert taken.wait(5)
    at.passes(20, bot)
    assert at.wrong(release) == []


def test_a_limit_for_edits_does_not_stop_other_releases_cards(slack: FakeSlack) -> None:
    """429 is for one method: cards of new releases are posted meanwhile."""
    at = Newsroom(slack)
    bot = Bot(at)
    first = at.start(config=at.config())
    at.passes(4, bot)
    slack.fail("chat.update", status=429, retry_after=30)
    at.engine.hold(SERVICE, who=f"slack:{ON_CALL.id}")
    at.passes(4, bot)
    assert len(slack.called("chat.update")) == 1  # then it is not called at all
    second = at.start(config=at.config(environment="staging"))
    at.passes(4, bot)
    assert len(at.cards(second)) == 1
    assert at.lines(second) == at.should(second)
    assert bot.number("slack_rate_limited_total", method="chat.update") == 1
    assert len(at.cards(first)) == 1


def test_a_limit_for_edits_does_not_stop_the_thread(slack: FakeSlack) -> None:
    """429 is for one method: lines, which are posted, go on while the card may not be edited."""
    at = Newsroom(slack)
    bot = Bot(at)
    release = at.start(config=at.config())
    at.passes(4, bot)
    slack.fail("chat.update", status=429, retry_after=30)
    at.engine.hold(SERVICE, who=f"slack:{ON_CALL.id}")
    at.passes(4, bot)
    at.engine.roll_back(SERVICE, who=f"slack:{ON_CALL.id}")
    at.passes(4, bot)
    assert at.lines(release) == at.should(release)


def test_a_limit_for_lines_does_not_stop_the_card(slack: FakeSlack) -> None:
    """The card shows what is, though the thread must wait."""
    at = Newsroom(slack)
    bot = Bot(at)
    at.start(config=at.config())
    at.passes(4, bot)
    slack.fail("chat.postMessage", status=429, retry_after=30)
    at.engine.hold(SERVICE, who=f"slack:{ON_CALL.id}")
    at.passes(4, bot)
    at.engine.roll_back(SERVICE, who=f"slack:{ON_CALL.id}")
    at.passes(4, bot)
    assert "<@U0ONCALL> ordered the rollback" in str(at.cards()[0].blocks)


def test_a_limit_lasts_as_long_as_slack_says(slack: FakeSlack) -> None:
    """Retry-After is waited for to its end: until then that method is not called again, and the others are."""
    slack.fail("chat.update", status=429, retry_after=30)
    client = Slack(slack.bot_token, slack.url, Counters())
    with pytest.raises(Later) as told:
        client.call("chat.update", channel=CHANNEL, ts="1.2", text="news")
    assert told.value.seconds == 30
    with pytest.raises(Later) as again:
        client.call("chat.update", channel=CHANNEL, ts="1.2", text="news")
    assert 1 < again.value.seconds <= 30
    assert len(slack.called("chat.update")) == 1
    assert client.identity == (slack.team, slack.bot)


def test_after_a_limit_everything_is_told(slack: FakeSlack) -> None:
    """Nothing is lost while Slack asks us to wait; it is told when that is over."""
    at = Newsroom(slack)
    bot = Bot(at)
    release = at.start(config=at.config())
    at.passes(4, bot)
    slack.fail("*", status=429, retry_after=1, times=2)
    at.engine.roll_back(SERVICE, who=f"slack:{ON_CALL.id}")
    at.drive(release)
    ends = bot.slack._not_before
    for _ in range(20_000):  # Slack's pause is a real second, however quick the lab is
        at.ops.clock.sleep(STEP)
        bot.cards.step()
        if release.id not in bot.cards._followed:
            break
    assert at.wrong(release) == []
    assert ends
    limited = [n for n, one in enumerate(slack.calls) if one.error == "ratelimited"]
    assert len(limited) == 2
    for n in limited:  # not before the second that Slack asked for
        later = [one.at for one in slack.calls[n + 1 :] if one.method == slack.calls[n].method]
        assert later[0] - slack.calls[n].at >= 1
    assert sum(bot.number("slack_rate_limited_total", method=f"chat.{one}") for one in ("update", "postMessage")) == 2


@pytest.mark.parametrize(
    ("code", "remedy", "order"),
    [
        ("token_revoked", "install the app again", lambda slack: setattr(slack, "revoked", True)),
        ("not_in_channel", "invite the bot", lambda slack: slack.members.clear()),
        ("channel_not_found", "correct slack.channel", lambda slack: slack.channels.clear()),
        ("is_archived", "unarchive the channel", lambda slack: slack.fail("*", "is_archived")),
    ],
)
def test_what_a_person_must_put_right(
    slack: FakeSlack,
    impatient: None,
    caplog: pytest.LogCaptureFixture,
    code: str,
    remedy: str,
    order: Callable[[FakeSlack], None],
) -> None:
    """Complained of once, looked at now and then, and all of it told when it is right again."""
    at = Newsroom(slack)
    bot = Bot(at)
    order(slack)
    release = at.start(config=at.config())
    at.passes(400, bot)
    assert caplog.text.count(code) == 1
    assert remedy in caplog.text
    assert slack.bot_token not in caplog.text
    tried = [when for method, when in at.times if method == "chat.postMessage"] if code != "is_archived" else []
    assert all(later - earlier >= following.REFUSED for earlier, later in pairwise(tried))
    assert 5 <= len(slack.called("chat.postMessage")) <= 1 + 400 / following.REFUSED
    assert bot.number("slack_failures_total", method="chat.postMessage", error=code) >= 5
    slack.well()
    slack.channels[CHANNEL] = "deploys"
    slack.members.add(CHANNEL)
    at.engine.roll_back(SERVICE, who=f"slack:{ON_CALL.id}")
    at.drive(release)
    at.passes(100, bot)
    assert at.wrong(release) == []


def test_one_channel_s_trouble_is_not_another_s(slack: FakeSlack, impatient: None) -> None:
    """Where the bot was not invited concerns nobody else."""
    at = Newsroom(slack)
    bot = Bot(at)
    slack.channels["C0SECRET"] = "secret"
    at.start(config=at.config(slack={**LISTS, "channel": "C0SECRET"}))
    other = at.start(config=at.config(environment="staging"))
    at.passes(10, bot)
    assert len(at.cards(other)) == 1
    assert at.lines(other) == at.should(other)
    assert slack.cards("C0SECRET") == []


def test_a_journal_that_does_not_answer(slack: FakeSlack, caplog: pytest.LogCaptureFixture) -> None:
    """Cards stand still, which is said once, and go on afterwards."""
    at = Newsroom(slack)
    bot = Bot(at)
    release = at.start(config=at.config())
    at.passes(4, bot)
    at.engine.roll_back(SERVICE, who=f"slack:{ON_CALL.id}")
    at.drive(release)
    at.ops.aws.faults.deny("dynamodb:Query")
    at.ops.clock.sleep(5)
    for _ in range(2):
        bot.cards._guarded(bot.cards.step)
    assert caplog.text.count("cards do not change") == 1
    at.ops.aws.faults.clear()
    at.passes(10, bot)
    assert at.wrong(release) == []


# --- numbers -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_metrics(slack: FakeSlack) -> None:
    """What happened while it followed, by outcome, reason and phase; what is under way now."""
    at = Newsroom(slack)
    bot = Bot(at)
    end = at.beats(bot)
    release = at.start(SICK)
    at.ops.clock.sleep(2)
    assert bot.number("releases_under_way") == 1
    at.drive(release)
    at.ops.clock.sleep(5)
    assert bot.number("releases_under_way") == 0
    live = at.drive(at.start(GOOD))
    at.ops.clock.sleep(5)
    end()
    reason = at.engine.load(release.id).reason
    assert reason is not None
    counted = {
        ("releases_total", "outcome", "live"): 1,
        ("releases_total", "outcome", "rolled_back"): 1,
        ("releases_total", "outcome", "failed"): 0,
        ("rollbacks_total", "reason", str(reason)): 1,
        ("phase_seconds_count", "phase", "baking"): 2,
        ("phase_seconds_count", "phase", "soaking"): 1,
        ("phase_seconds_count", "phase", "rolling_back"): 1,
    }
    assert {key: bot.number(key[0], **{key[1]: key[2]}) for key in counted} == counted
    took = live.entered[Phase.RETIRING] - live.entered[Phase.SOAKING]
    assert bot.number("phase_seconds_sum", phase="soaking") == pytest.approx(took)
    assert bot.number("follower") == 1


# --- the fence between releases ----------------------------------------------------------------------------


def test_a_release_that_cannot_be_shown_harms_no_other(slack: FakeSlack, caplog: pytest.LogCaptureFixture) -> None:
    """The others' cards go on; it is counted, said once, and after a minute the bot is not well; then it is again."""
    at = Newsroom(slack)
    bot = Bot(at)
    ill, well = at.start(), at.start(config=at.config(service="shop"))
    sizes = {"desired": 4, "in_service": 4, "serving": 4}
    at.happens(ill, EventKind.OBSERVED, subject="green", value="nobody knows this form", share="half of it", **sizes)
    at.passes(30, bot)
    assert [one.metadata["event_payload"]["release"] for one in at.cards() if one.metadata] == [well.id]
    assert bot.cards.standing_still() == ()
    at.happens(well, EventKind.ENTERED, phase="launching")
    at.passes(45, bot)
    assert "launching" in at.cards(well)[0].text
    assert bot.cards.standing_still() == (ill.id,)
    assert bot.number("fenced_total", what="shown") > 2
    assert sum("cannot be shown, the others go on" in one.message for one in caplog.records) == 1
    at.happens(ill, EventKind.OBSERVED, subject="green", value="4 of 4", share=50, **sizes)
    at.passes(30, bot)
    assert bot.cards.standing_still() == ()
    assert len(at.cards(ill)) == 1
    assert "is unknown to this version" in str(at.lines(ill))


def test_what_an_older_build_recorded_without_a_bound_is_shown(slack: FakeSlack) -> None:
    """A hold of 99,999,999 days, a freeze to the end of the calendar: cards go on, and nobody's list breaks."""
    at = Newsroom(slack)
    bot = Bot(at)
    changes = {"promotion": at.ops.config.promotion.model_copy(update={"by": "person", "timeout": 8.6e15})}
    release = at.start(config=at.ops.config.model_copy(update={**changes, "soak": 8.6e15}))
    at.happens(release, EventKind.ENTERED, phase="holding")
    at.happens(release, EventKind.AWAITED, awaited="promotion", deadline=8.6e15)
    at.engine._journal.freeze(SERVICE, who=ANN, why="", until=253402343940.0, now=at.ops.clock.now())
    at.passes(30, bot)
    assert "a time beyond the calendar" in str(at.cards(release)[0].blocks)
    shown = messages.overview(at.engine.status(), at.ops.clock.now())
    assert "a time beyond the calendar" in str(shown.blocks)
    assert bot.cards.standing_still() == ()
    assert at.engine._journal.service(SERVICE).freeze.holds(at.ops.clock.now())  # type: ignore[union-attr]


def test_a_mistake_in_following_them_all_is_told_by_health(slack: FakeSlack, monkeypatch: pytest.MonkeyPatch) -> None:
    """No card goes on: all stand still."""
    at = Newsroom(slack)
    bot = Bot(at)
    at.start()
    at.passes(5, bot)
    monkeypatch.setattr(time, "sleep", at.ops.clock.sleep)
    monkeypatch.setattr(bot.engine, "services", lambda: 1 / 0)
    at.ops.clock.sleep(1)
    for _ in range(70):
        bot.cards._guarded(bot.cards.step)
    assert bot.cards.standing_still() == ("all cards",)
