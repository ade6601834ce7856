"""A release is its events, folded."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bluegreen.events import (
    REACHABLE,
    Awaited,
    Awaiting,
    Event,
    EventKind,
    Observed,
    Outcome,
    Phase,
    Promoted,
    Reason,
    Started,
    Stumbled,
    Taken,
    Verb,
    kind_of,
)
from bluegreen.release import duration, fold, is_name_of, moment, names, number_of, release_id, report_url
from tests.worlds.events import FACTS, ID
from tests.worlds.files import ROOT
from tests.worlds.release import Stage


def test_names_are_known_before_anything_is_made() -> None:
    """The group and the image bear the service, the number and the commit."""
    assert names("web/production", 42, "abcdef123456") == {
        "green_group": "web-production-v42",
        "image_name": "web-production-v42-abcdef12",
    }
    assert names("web/production", 1, "")["image_name"] == "web-production-v1-image"
    assert release_id("web/production", 42) == "web/production#42"


@pytest.mark.parametrize(
    "service", ["web/production", "web-eu/production", "web/eu-production", "w/p", "a" * 30 + "/" + "-b" * 15]
)
def test_names_are_what_aws_takes(service: str) -> None:
    """A group's name: 255 characters at most; an image's: 3 to 128 of letters, digits and a few others (EC2 API)."""
    made = names(service, 123456, "c0ffee01aaaa")
    assert all(re.fullmatch(r"[a-z0-9-]{3,128}", name) for name in made.values())


_PART = st.from_regex(r"[ab1][ab1-]{0,6}", fullmatch=True)


@given(st.tuples(_PART, _PART), st.tuples(_PART, _PART), st.integers(1, 99), st.integers(1, 99))
@example(("web", "eu-production"), ("web-eu", "production"), 1, 1)
@example(("a-1", "1-1"), ("a", "1-1-1"), 1, 1)
def test_no_two_services_share_a_name(one: tuple[str, str], other: tuple[str, str], m: int, n: int) -> None:
    """In one account and table, whatever they are called: by construction, not by chance."""
    first, second = ("/".join(one), m), ("/".join(other), n)
    if first != second:
        assert names(*first, "c0ffee01")["green_group"] != names(*second, "c0ffee01")["green_group"]


def test_numbers_are_read_from_ids() -> None:
    """Anything else is none."""
    assert [number_of(one) for one in ("web/production#42", "web/production", "x#y", "")] == [42, 0, 0, 0]


def test_what_a_release_made_bears_its_token() -> None:
    """An id may be borne by a release of another journal; without a token, as in old journals, it has to do."""
    new, old = Stage(started={"token": "9f86"}).release, Stage().release
    assert (new.mark, old.mark) == ("web/production#42 9f86", "web/production#42")
    assert [new.owns("web/production#42", token) for token in ("9f86", "", "other")] == [True, False, False]
    assert [old.owns("web/production#42", token) for token in ("", "9f86")] == [True, False]
    assert not old.owns("other/production#42", "")


def test_there_is_no_release_without_its_first_event() -> None:
    """An empty journal tells of nothing."""
    with pytest.raises(ValueError, match="not enough values"):
        fold([])


@pytest.mark.parametrize(
    ("phase", "back", "promote"),
    [
        (Phase.BAKING, True, False),
        (Phase.OVERLAPPING, True, True),
        (Phase.HOLDING, True, True),
        (Phase.SOAKING, True, False),
        (Phase.RETIRING, False, False),
        (Phase.ROLLING_BACK, False, False),
    ],
)
def test_phases_say_what_may_be_ordered(phase: Phase, back: bool, promote: bool) -> None:
    """Rollback up to soaking, promotion while both serve."""
    assert (phase.can_roll_back, phase.awaits_promotion) == (back, promote)


def test_events_speak_of_acts_or_phases() -> None:
    """What an event does not speak of is None."""
    act = Event("r", 2, 0.0, EventKind.BEGAN, {"verb": "join_green"})
    entered = Event("r", 3, 0.0, EventKind.ENTERED, {"phase": "soaking"})
    assert (act.verb, act.phase) == (Verb.JOIN_GREEN, None)
    assert (entered.verb, entered.phase) == (None, Phase.SOAKING)


def test_an_interruption_is_over_when_somebody_goes_on() -> None:
    """By taking it up, or by the next act."""
    s = Stage().told(EventKind.INTERRUPTED, holder="a")
    assert s.release.interrupted
    assert not s.told(EventKind.TAKEN_UP, holder="b").release.interrupted
    assert not s.told(EventKind.INTERRUPTED, holder="b").did(Verb.START_BUILDER).release.interrupted


def test_one_person_promotes_once() -> None:
    """Two orders of one person are one approval."""
    s = Stage().told(EventKind.PROMOTED, who="U1").told(EventKind.PROMOTED, who="U1").told(EventKind.PROMOTED, who="U2")
    assert s.release.promoters == ("U1", "U2")


def settled(stage: Stage, outcome: Outcome) -> Stage:
    """The release ends."""
    facts = {"outcome": outcome, "reason": "denied", "message": "no", "left": ["group g"]}
    return stage.told(EventKind.SETTLED, **facts)


def test_the_last_event_tells_outcome_reason_and_what_is_left() -> None:
    """S5, S8."""
    release = settled(Stage().passes(5), Outcome.FAILED).release
    assert (release.outcome, release.settled_at, release.left_behind) == (Outcome.FAILED, 1005.0, ("group g",))


def test_a_rollback_that_is_resumed_is_one_for_the_reason_that_it_had() -> None:
    """What stopped it says nothing of the version: the end tells, and the service remembers, why it began."""
    s = Stage().joined().rolls_back("check_failed")
    s.told(EventKind.SETTLED, outcome="failed", reason="blue_unhealthy", message="blue is ill", left=[])
    assert (s.release.reason, s.release.message) == (Reason.BLUE_UNHEALTHY, "blue is ill")
    s.told(EventKind.RESUMED, who="ann")
    assert (s.release.reason, s.release.message) == (Reason.CHECK_FAILED, "because")


@pytest.mark.parametrize("kind", [EventKind.RESUMED, EventKind.ROLLBACK_ORDERED])
def test_a_failed_release_is_reopened_by_a_person(kind: EventKind) -> None:
    """Its limits count anew, its failures are forgotten."""
    s = settled(Stage().joined(), Outcome.FAILED).passes(3600).told(kind, who="U1")
    assert s.release.outcome is None
    assert s.release.settled_at is None
    assert s.release.checks == {}
    assert s.release.watched_since == s.now
    assert s.release.rollback_pending is (kind is EventKind.ROLLBACK_ORDERED)


def test_an_order_after_the_end_changes_nothing() -> None:
    """Only `failed` can be reopened."""
    s = settled(Stage(), Outcome.LIVE).told(EventKind.ROLLBACK_ORDERED, who="U1")
    assert s.release.outcome is Outcome.LIVE


# --- what may be ordered -----------------------------------------------------------------------------------


EARLY = (Phase.BAKING, Phase.LAUNCHING, Phase.CHECKING)
#: phase -> may be promoted, held, returned
MAY = {
    **dict.fromkeys(EARLY, (False, True, True)),
    Phase.OVERLAPPING: (True, True, True),
    Phase.HOLDING: (True, False, True),
    Phase.SWITCHING: (False, False, True),
    Phase.SOAKING: (False, False, True),
    Phase.RETIRING: (False, False, True),
    Phase.ROLLING_BACK: (False, False, False),
}


def may(s: Stage) -> tuple[bool, bool, bool]:
    """Whether an order to promote, to hold, to roll back means something."""
    return s.release.promotable, s.release.holdable, s.release.returnable


@pytest.mark.parametrize("phase", list(Phase))
def test_the_phase_says_what_an_order_means(phase: Phase) -> None:
    """Of a release of which nothing was ordered yet."""
    assert may(at(phase)) == MAY[phase]


def at(phase: Phase, **more: Any) -> Stage:
    """A release in that phase."""
    return Stage(**more).enters(phase, reason="ordered", message="")


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase.can_roll_back])
def test_after_the_order_to_roll_back_no_other_means_anything(phase: Phase) -> None:
    """S7; the order stays pending until the rollback begins."""
    s = at(phase).told(EventKind.ROLLBACK_ORDERED, who="U1")
    assert may(s) == (False, False, False)
    assert s.release.rollback_pending
    assert not s.rolls_back().release.rollback_pending


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("outcome", list(Outcome))
def test_after_the_end_only_what_failed_can_go_back(outcome: Outcome, phase: Phase) -> None:
    """And only from where blue is whole."""
    expected = outcome is Outcome.FAILED and phase is not Phase.ROLLING_BACK
    assert may(settled(at(phase), outcome)) == (False, False, expected)


@pytest.mark.parametrize("verb", [Verb.UNPROTECT_BLUE, Verb.EMPTY_BLUE, Verb.RESTORE_GREEN, Verb.DELETE_BLUE])
def test_from_its_emptying_on_nothing_returns_to_blue(verb: Verb) -> None:
    """It may have left its target group before; an order that slips in all the same means nothing."""
    s = at(Phase.RETIRING).did(Verb.TAKE_BLUE_OUT)
    assert s.release.can_roll_back
    assert s.release.finishing
    s.told(EventKind.BEGAN, verb=verb)
    assert not (s.release.can_roll_back or s.release.returnable)
    assert not s.told(EventKind.ROLLBACK_ORDERED, who="U1").release.rollback_pending


@pytest.mark.parametrize("phase", [*EARLY, Phase.OVERLAPPING])
def test_what_is_held_cannot_be_held(phase: Phase) -> None:
    """From the start, or by order."""
    assert not at(phase, hold=True).release.holdable
    held = at(phase).told(EventKind.HOLD_ORDERED, who="U1").release
    assert (held.hold, held.held_by, held.holdable) == (True, "U1", False)
    assert at(phase).release.held_by == ""


def test_enough_people_decide() -> None:
    """Until then one more means something; afterwards neither a promotion nor a hold does."""
    s = at(Phase.OVERLAPPING, hold=True, promotion={"by": "person", "approvals": 2})
    assert s.release.approvals == 2
    s.told(EventKind.PROMOTED, who="U1")
    assert s.release.promotable
    assert not s.told(EventKind.PROMOTED, who="U2").release.promotable
    one = at(Phase.OVERLAPPING)
    assert one.release.approvals == 1
    assert may(one.told(EventKind.PROMOTED, who="U1")) == (False, False, True)


@pytest.mark.parametrize("config", [{}, {"promotion": None}, {"promotion": {}}, {"promotion": {"approvals": None}}])
def test_one_approval_unless_it_is_said(config: dict[str, Any]) -> None:
    """The configuration of an older version may say nothing of it."""
    assert replace(Stage().release, config=config).approvals == 1


def test_a_hold_takes_back_who_promoted_before() -> None:
    """They have to look again."""
    s = at(Phase.OVERLAPPING).told(EventKind.PROMOTED, who="U1").told(EventKind.HOLD_ORDERED, who="U2")
    assert (s.release.promoters, s.release.promotable) == ((), True)
    assert s.told(EventKind.PROMOTED, who="U1").release.promoters == ("U1",)


def test_the_face_is_what_a_decision_is_about() -> None:
    """Its number and whether it waits for a person; not the phase, which goes on by itself."""
    s = Stage()
    assert s.release.revision == "web/production#42|auto"
    assert s.joined().told(EventKind.PROMOTED, who="U1").release.revision == "web/production#42|auto"
    assert s.told(EventKind.HOLD_ORDERED, who="U1").release.revision == "web/production#42|hold"
    assert Stage(hold=True).release.revision == "web/production#42|hold"


# --- what the events leave ---------------------------------------------------------------------------------


def test_what_an_older_version_did_not_write_is_not_known() -> None:
    """The first event lacks it, and nothing breaks."""
    first = Stage().release
    kept = ("service", "number", "config", "commit", "image", "hold", "blue_group", "green_group", "image_name")
    facts = {**{name: getattr(first, name) for name in kept}, "who": "me", "target_groups": [], "builder": ""}
    old = fold([Event(first.id, 1, 5.0, EventKind.STARTED, facts)])
    assert (old.blue_image, old.blue_commit, old.account, old.region, dict(old.source)) == ("", "", "", "", {})
    more = {"blue_image": "ami-0", "blue_commit": "c0", "account": "1", "region": "r", "source": {"ref": "main"}}
    new = fold([Event(first.id, 1, 5.0, EventKind.STARTED, {**facts, **more})])
    assert {name: getattr(new, name) for name in more} == more


def test_the_image_that_was_made_is_known_by_its_id() -> None:
    """From the act that ordered it."""
    assert Stage().release.made_image == ""
    assert Stage().did(Verb.MAKE_IMAGE, image="ami-1").release.made_image == "ami-1"
    began = Stage().told(EventKind.BEGAN, verb=Verb.MAKE_IMAGE)
    assert began.release.made_image == "", "nobody knows its id yet"
    assert began.enters(Phase.LAUNCHING, image="ami-1").release.made_image == "ami-1"
    assert Stage().enters(Phase.LAUNCHING, image="ami-1").release.made_image == "", "it was there before"


def test_blue_as_it_was_survives_the_journal() -> None:
    """What was written first counts: a repeated act would note the pinned values."""
    s = Stage().launched()
    before = s.release.blue
    assert before is not None
    assert type(before).from_facts(before.to_facts()) == before
    again = {**before.to_facts(), "desired": 9, "minimum": 9}
    assert s.told(EventKind.BEGAN, verb=Verb.PIN_BLUE, blue=again).release.blue == before
    assert s.release.size == 4
    assert s.told(EventKind.BEGAN, verb=Verb.GROW_GREEN, size=6).release.size == 6


def failed_attempts(s: Stage, verb: Verb, *, transient: bool = True) -> Stage:
    """The act fails."""
    return s.told(EventKind.STUMBLED, verb=verb, code="X", message="no", transient=transient, denied=False)


def test_failures_of_one_act_in_a_row_are_counted() -> None:
    """Another act, a success or the next phase begins anew."""
    s = failed_attempts(failed_attempts(Stage(), Verb.JOIN_GREEN).passes(7), Verb.JOIN_GREEN)
    assert s.release.failed_attempt is not None
    assert (s.release.failed_attempt.count, s.release.failed_attempt.first, s.release.failed_attempt.last) == (
        2,
        1000.0,
        1007.0,
    )
    failed_attempts(s, Verb.GROW_GREEN)
    assert s.release.failed_attempt is not None
    assert (s.release.failed_attempt.verb, s.release.failed_attempt.count) == (Verb.GROW_GREEN, 1)
    assert s.did(Verb.GROW_GREEN, size=6).release.failed_attempt is None
    assert failed_attempts(s, Verb.GROW_GREEN).enters(Phase.SWITCHING).release.failed_attempt is None


def test_an_optional_act_is_given_up() -> None:
    """When it can never succeed; a passing failure is tried again."""
    s = failed_attempts(Stage(), Verb.DROP_IMAGE)
    assert s.release.failed_attempt is not None
    assert s.release.gave_up == {}
    failed_attempts(s, Verb.DROP_IMAGE, transient=False)
    assert (s.release.failed_attempt, set(s.release.gave_up)) == (None, {Verb.DROP_IMAGE})
    lasting = failed_attempts(Stage(), Verb.JOIN_GREEN, transient=False)
    assert lasting.release.failed_attempt is not None


def test_blind_seconds_are_no_delay() -> None:
    """Blindness counts from its first event, and is taken off when AWS answers again."""
    s = Stage().enters(Phase.LAUNCHING).passes(100).told(EventKind.BLINDED).passes(30).told(EventKind.BLINDED)
    assert s.release.blind_since == 1100.0
    s.passes(10).told(EventKind.OBSERVED, subject=REACHABLE, value="AWS answers again")
    assert (s.release.blind_since, s.release.watched_since) == (None, 1040.0)
    s.told(EventKind.OBSERVED, subject=REACHABLE, value="AWS answers again")
    assert s.release.watched_since == 1040.0
    assert s.told(EventKind.BLINDED).enters(Phase.CHECKING).release.blind_since is None


def test_what_was_seen_last_is_kept_by_subject() -> None:
    """A check's answer is a state, too."""
    s = Stage().told(EventKind.OBSERVED, subject="traffic", value="blue")
    s.told(EventKind.OBSERVED, subject="traffic", value="both")
    assert s.release.observed["traffic"].value == "both"
    assert s.release.checks == {}
    s.told(
        EventKind.OBSERVED, subject="home", value="200", passed=True, streak=3, since=1.0, held_since=2.0, lost=False
    )
    state = s.release.checks["home"]
    assert (state.held, state.streak, state.value) == (True, 3, "200")
    assert s.release.observed["home"].value == "200"


def test_going_back_remembers_from_where_and_why() -> None:
    """The image that became known on the way stays known."""
    s = Stage().enters(Phase.LAUNCHING, image="ami-1").enters(Phase.CHECKING).rolls_back("check_failed")
    assert (s.release.left, s.release.reason, s.release.message) == (Phase.CHECKING, "check_failed", "because")
    assert (s.release.image, s.release.in_phase_since) == ("ami-1", s.now)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-1, "0s"),
        (59.6, "1m"),
        (60, "1m"),
        (61, "1m 1s"),
        (3600, "1h"),
        (3661, "1h 1m"),
        (86400, "1d"),
        (90000, "1d 1h"),
    ],
)
def test_durations(seconds: float, said: str) -> None:
    """Two units at most, and none that is nothing."""
    assert duration(seconds) == said


@pytest.mark.parametrize("value", [8.6e15, -1e15, math.inf, -math.inf, math.nan])
def test_what_no_calendar_has_is_told_all_the_same(value: float) -> None:
    """An older build may have recorded it: nobody who shows it may fail."""
    assert moment(value, "%Y-%m-%d") == moment(value, "%Y-%m-%d", None) == "a time beyond the calendar"
    assert duration(value) == ("forever" if not math.isfinite(value) else "0s" if value < 0 else "99537037037d")
    assert moment(253402300799.0, "%Y-%m-%d %H:%M") == "9999-12-31 23:59"
    assert moment(253402300799.0, "%Y", ZoneInfo("Asia/Seoul")) == "a time beyond the calendar"


def test_groups_of_a_service_are_known_by_name() -> None:
    """Whatever a release of it made, in older versions too; never a neighbour's."""
    made = ("web-production-v7", "web-production-v7-x", "web-staging-v7", "worker")
    assert [is_name_of("web/production", name) for name in made] == [True, False, False, False]
    dashed = ("web-eu-production-3-v1", "web-eu-production-v1", "web-eu-production-6-v1")
    assert [is_name_of("web/eu-production", name) for name in dashed] == [True, True, False]


# --- what is awaited ---


BUSY = Awaiting(Awaited.BUILDER_FREE)


def test_what_is_awaited_is_what_its_driver_wrote() -> None:
    """Until something is done, or the next phase begins; a failure says by itself that another try is awaited."""
    s = Stage().told(EventKind.AWAITED, awaited=Awaited.IMAGE, deadline=1900.0)
    assert s.release.awaits == Awaiting(Awaited.IMAGE, 1900.0)
    assert s.told(EventKind.AWAITED, awaited=Awaited.CHECKS).release.awaits == Awaiting(Awaited.CHECKS)
    assert s.told(EventKind.BEGAN, verb=Verb.CLAIM_BUILDER).release.awaits is None
    failed = {"code": "X", "message": "no", "transient": True, "denied": False}
    assert s.told(EventKind.STUMBLED, verb=Verb.CLAIM_BUILDER, **failed).release.awaits == BUSY
    assert s.told(EventKind.STUMBLED, verb=Verb.START_BUILDER, **failed).release.awaits == Awaiting(Awaited.RETRY)
    assert s.told(EventKind.DID, verb=Verb.START_BUILDER).release.awaits is None
    assert s.told(EventKind.ERRED, code="X", message="x").release.awaits == Awaiting(Awaited.RETRY)
    assert s.told(EventKind.BLINDED, code="X", message="x").release.awaits == Awaiting(Awaited.REACHABLE)
    assert s.told(EventKind.OBSERVED, subject="sight", value="again").release.awaits is None
    for kind, facts in (
        (EventKind.ENTERED, {"phase": "launching"}),
        (EventKind.ROLLBACK_ORDERED, {"who": "me"}),
        (EventKind.SETTLED, {"outcome": "failed", "reason": "blind", "message": "", "left": []}),
    ):
        s.told(EventKind.AWAITED, awaited=Awaited.IMAGE, deadline=1900.0)
        assert s.told(kind, **facts).release.awaits is None, kind


@pytest.mark.parametrize(
    ("one", "other", "like"),
    [
        (Awaiting(Awaited.SOAK, 10.0), Awaiting(Awaited.SOAK, 10.9), True),
        (Awaiting(Awaited.SOAK, 10.0), Awaiting(Awaited.SOAK, 11.0), False),
        (Awaiting(Awaited.SOAK, 10.0), Awaiting(Awaited.OVERLAP, 10.0), False),
        (Awaiting(Awaited.CHECKS), Awaiting(Awaited.CHECKS), True),
        (Awaiting(Awaited.CHECKS), Awaiting(Awaited.CHECKS, 10.0), False),
        (Awaiting(Awaited.RETRY, 10.0), Awaiting(Awaited.RETRY), True),
        (Awaiting(Awaited.RETRY, 10.0), None, False),
    ],
)
def test_what_is_no_news_to_a_reader(one: Awaiting, other: Awaiting | None, like: bool) -> None:
    """The same, to a second; of what is tried again the failure was the news."""
    assert one.like(other) is like


def test_what_a_release_starts_from_is_recorded_and_read_again() -> None:
    """All of it, as JSON has it; what few releases have is left out where there is none, as in journals of old."""
    first = Stage().release
    facts: dict[str, Any] = {
        "config": {"a": 1},
        "hold": True,
        "number": 42,
        "target_groups": ("arn:1",),
        "findings": ({"key": "x"},),
    }
    plain = Started("web/production", who="me", commit="c", image="", blue_group="b", green_group="g", image_name="n",
                    builder="", **facts)  # fmt: skip
    assert not {"takes", "cure", "borne", "wanted", "goes_back"} & plain.to_facts().keys()
    for started in (plain, replace(plain, cure="ill", borne=1, wanted=2, takes={"a": "b"}, goes_back=True)):
        written = json.loads(json.dumps(started.to_facts()))
        assert Started.from_facts(written) == started
        told = fold([Event(first.id, 1, 5.0, EventKind.STARTED, written)])
        assert (told.started_by, told.cure, told.target_groups) == ("me", started.cure, ("arn:1",))


def _as_written(event: Event) -> dict[str, Any]:
    """What this build writes of the event, as JSON has it."""
    return dict(json.loads(json.dumps(event.payload.to_facts(), default=dict)))


def _without_news(written: Any, before: Any) -> Any:
    """What was there before, as it is written now."""
    if not isinstance(before, dict):
        return written
    return {name: _without_news(written[name], one) for name, one in before.items()}


@pytest.mark.parametrize("file", sorted((ROOT / "tests/data/journals").glob("*/*.json")), ids=lambda file: file.stem)
def test_what_builds_recorded_is_read_and_would_be_written_as_it_was(file: Path) -> None:
    """Fact by fact, of every event of whole releases; newer builds may write more."""
    events = [Event(ID, 1, 1.0, EventKind(kind), facts) for _, kind, facts in json.loads(file.read_text())["events"]]
    assert len(events) > 30
    for event in events:
        assert _without_news(_as_written(event), event.facts) == event.facts
        assert kind_of(event.payload) is event.kind


#: One event of each form that recorded releases do not have.
SELDOM: list[tuple[EventKind, dict[str, Any]]] = [
    *FACTS.items(),
    (EventKind.ENTERED, {"phase": "rolling_back", "reason": "check_failed", "message": ""}),
    (EventKind.BEGAN, {"verb": "shift", "share": 0}),
    (EventKind.BEGAN, {"verb": "shift", "share": 0, "preview": "blue"}),
    (EventKind.BEGAN, {"verb": "grow_green", "size": 6}),
    (EventKind.BEGAN, {"verb": "take_rest_out", "groups": ["web-production-v40"]}),
    (EventKind.BEGAN, {"verb": "still_blue", "processes": ["AZRebalance"]}),
    (EventKind.BEGAN, {"verb": "unprotect_blue", "instances": ["i-1"]}),
    (EventKind.DID, {"verb": "restore_green", "stays_on_version": 7}),
    (EventKind.DID, {"verb": "unpin_blue", "stays_on_version": "7"}),
    (EventKind.DID, {"verb": "grow_green", "size": 6}),
    (EventKind.DID, {"verb": "drop_group", "group": "web-production-v40"}),
    (EventKind.DID, {"verb": "drop_image", "image": "ami-1"}),
    (EventKind.OBSERVED, {"subject": "traffic", "value": "both", "changes": 12, "over": 60.5}),
    (EventKind.OBSERVED, {"subject": "parked blue", "value": "i-1 is in Standby", "instances": ["i-1"]}),
    (EventKind.OBSERVED, {"subject": "parked blue", "value": ""}),
    (EventKind.OBSERVED, {"subject": "detached green", "value": "", "instances": []}),
    (EventKind.OBSERVED, {"subject": "held green", "value": "a hook holds instances"}),
    (EventKind.OBSERVED, {"subject": "hold", "value": "expires", "at": 9.0, "then": "promote"}),
    (EventKind.OBSERVED, {"subject": "taken", "value": "", "instances": ["i-1"], "remain": [], "since": 5.0}),
    (
        EventKind.OBSERVED,
        {
            "subject": "taken",
            "value": "AWS took i-1 of green",
            "instances": ["i-1"],
            "remain": ["i-2"],
            "since": 5.0,
            "missing": ["i-1"],
            "by_hand": [],
        },
    ),
    (
        EventKind.OBSERVED,
        {
            "subject": "home",
            "value": "503",
            "passed": False,
            "streak": 3,
            "since": 5.0,
            "held_since": None,
            "lost": True,
            "certain": True,
            "failures": [1.0, 2.5],
        },
    ),
    (EventKind.OBSERVED, {"subject": "green", "value": "a newer build says it in this form"}),
    (EventKind.AWAITED, {"awaited": "promotion"}),
    (EventKind.PROMOTED, {"who": "ann", "request": "1", "override": "it burns", "despite": ["frozen"]}),
    (EventKind.ROLLBACK_ORDERED, {"who": "ann", "why": "", "request": "1"}),
    (EventKind.TAKEN_UP, {"holder": "host:1", "clock_ahead": -9}),
    (EventKind.SETTLED, {"outcome": "failed", "reason": "denied", "message": "no", "left": ["group g"]}),
]


@pytest.mark.parametrize(("kind", "facts"), SELDOM)
def test_what_an_event_records_is_read_and_would_be_written_as_it_was(kind: EventKind, facts: dict[str, Any]) -> None:
    """By the kind, the act and the subject."""
    event = Event(ID, 1, 1.0, kind, facts)
    assert _as_written(event) == facts
    assert kind_of(event.payload) is kind


def test_facts_of_another_version_are_no_matter() -> None:
    """What an older one did not know has its default; what a newer one knows is kept beside what this one reads."""
    old = Event(ID, 1, 1.0, EventKind.STUMBLED, {"verb": "pin_blue"})
    assert old.payload == Stumbled(Verb.PIN_BLUE, code="", message="", transient=False, denied=False)
    new = Event(ID, 1, 1.0, EventKind.PROMOTED, {"who": "ann", "mood": "good"})
    assert (new.payload, new.facts["mood"]) == (Promoted("ann"), "good")
    assert (new.who, old.who, old.verb, new.verb) == ("ann", "", Verb.PIN_BLUE, None)
    taken = Event(ID, 1, 1.0, EventKind.OBSERVED, {"subject": "taken", "value": "AWS took i-1", "instances": ["i-1"]})
    assert isinstance(taken.payload, Observed)
    assert taken.payload.seen == Taken("taken", "AWS took i-1", ("i-1",), missing=None, by_hand=None)


def test_the_first_act_is_asked_for_before_there_is_any() -> None:
    """Of what was not begun, done or seen there is nothing."""
    release = Stage().release
    assert (release.act(Verb.PIN_BLUE), release.made(Verb.PIN_BLUE), release.taken) == (None, None, None)
    assert (release.fleet("blue"), release.aside("detached"), release.detached(release.blue_group)) == (None, (), ())


def test_where_its_report_is() -> None:
    """By its configuration; nowhere when that does not say."""
    config = {"report_url": "https://reports.example.com/{service}/{environment}/{number}.html"}
    assert report_url(config, "web/production", 42) == "https://reports.example.com/web/production/42.html"
    assert Stage().release.report_url == ""
