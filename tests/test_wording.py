"""Everything that can happen has its sentence."""

from __future__ import annotations

from typing import Any

import pytest

from bluegreen import wording
from bluegreen.release import Awaited, EventKind, Outcome, Phase, Reason, Verb, duration
from tests.telling import ARN, ID, Telling

WHO = {"who": "slack:U0ALICE"}
FACTS: dict[EventKind, dict[str, Any]] = {
    EventKind.ENTERED: {"phase": "overlapping"},
    EventKind.BEGAN: {"verb": "join_green"},
    EventKind.DID: {"verb": "join_green"},
    EventKind.STUMBLED: {"verb": "join_green", "code": "X", "message": "no", "transient": False, "denied": False},
    EventKind.OBSERVED: {"subject": "traffic", "value": "both"},
    EventKind.BLINDED: {"code": "X", "message": "Rate exceeded"},
    EventKind.PROMOTED: WHO,
    EventKind.HOLD_ORDERED: WHO,
    EventKind.ROLLBACK_ORDERED: {**WHO, "why": "it is slow"},
    EventKind.INTERRUPTED: {"holder": "host:1"},
    EventKind.TAKEN_UP: {"holder": "host:1"},
    EventKind.RESUMED: WHO,
    EventKind.SETTLED: {"outcome": "live", "reason": "completed", "message": "", "left": []},
}


def said(telling: Telling) -> str:
    """The sentence of the event that was told last."""
    return wording.sentence(telling.last, telling.release)


def plain(text: str) -> str:
    """The text, if it is one plain line without markup or holes."""
    assert text
    assert text == text.strip()
    assert text.isprintable()
    assert not {"{", "}", "*", "`"} & set(text)
    assert "None" not in text
    return text


@pytest.fixture
def telling() -> Telling:
    """A release in the middle of its overlap."""
    return Telling().serves_both()


# --- nothing is unworded -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(EventKind))
def test_every_kind_of_event_has_a_sentence(kind: EventKind) -> None:
    """A kind without words would leave a hole in every log."""
    telling = Telling()
    if kind is not EventKind.STARTED:
        telling.serves_both().happens(kind, **FACTS[kind])
    assert telling.last.kind is kind
    plain(said(telling))


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
@pytest.mark.parametrize("verb", list(Verb))
def test_every_verb_has_its_words(verb: Verb, known: bool) -> None:
    """As an intent, begun, done and failed; also when no name is known yet."""
    telling = Telling().serves_both() if known else Telling()
    plain(wording.intent(verb, {}, telling.release))
    facts = {"blue": telling.release.blue.to_facts()} if known and telling.release.blue else {}
    if known or verb is not Verb.PIN_BLUE:
        plain(said(telling.happens(EventKind.BEGAN, verb=verb, size=4, **facts)))
    plain(said(telling.happens(EventKind.DID, verb=verb)))
    problem = {"code": "Throttling", "message": "Rate exceeded", "transient": True, "denied": False}
    plain(said(telling.happens(EventKind.STUMBLED, verb=verb, **problem)))


@pytest.mark.parametrize("message", ["", "home did not hold."])
@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_its_words(telling: Telling, reason: Reason, message: str) -> None:
    """In a rollback and in an end, with and without what is known beside it."""
    plain(said(telling.enters(Phase.ROLLING_BACK, reason=reason, message=message)))
    for outcome in Outcome:
        assert ".:" not in plain(said(telling.settles(outcome, reason, message)))


@pytest.mark.parametrize("phase", list(Phase))
def test_every_phase_has_its_words(telling: Telling, phase: Phase) -> None:
    """Title, meaning, where it stands, and what can be done."""
    telling.enters(phase, reason="ordered", message="")
    plain(said(telling))
    plain(wording.phase_meaning(phase))
    assert "_" not in plain(wording.phase_title(phase))
    assert plain(wording.outcome_line(telling.release)).startswith(ID)


@pytest.mark.parametrize("awaited", list(Awaited))
def test_everything_awaited_has_its_words(awaited: Awaited) -> None:
    """Early, when nothing is known, and late."""
    for telling in (Telling(), Telling().serves_both()):
        for deadline in (None, telling.now + 90, telling.now - 1):
            plain(wording.awaiting(awaited, deadline, telling.now, telling.release))


# --- what the sentences say --------------------------------------------------------------------------------


def test_a_start_names_who_and_what() -> None:
    """The first line of every log."""
    assert said(Telling()) == f"Admin/alice started {ID}: 9f8e7d6c from web-production-v41 to web-production-v42"


def test_acts_carry_their_real_names(telling: Telling) -> None:
    """A plan shows ARNs, a log the short names."""
    assert wording.intent(Verb.JOIN_GREEN, {}, telling.release) == (
        f"join web-production-v42 to target group web ({ARN})"
    )
    assert said(telling.does(Verb.TAKE_BLUE_OUT)) == "took web-production-v41 out of target group web"
    assert said(telling.does(Verb.DROP_IMAGE, image="ami-0old")) == "dropped the old image ami-0old"


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ((2, 0, None), "green: 2 of 4 in service"),
        ((4, 0, 0), "green: 4 of 4 in service, no traffic"),
        ((4, 3, 43), "green: 3 of 4 serving, 43 % of the traffic"),
    ],
)
def test_a_group_is_told_by_numbers(telling: Telling, seen: tuple[int, int, int | None], expected: str) -> None:
    """In service until it has targets that serve."""
    assert said(telling.sees("green", *seen)) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"passed": True, "streak": 2}, "check home passes (2 of 3): 200"),
        ({"passed": True, "streak": 3, "held": True}, "check home holds: 200"),
        ({"passed": False, "streak": 2}, "check home fails, 2 times in a row: 200"),
    ],
)
def test_a_check_is_told_by_its_run(answer: dict[str, Any], expected: str) -> None:
    """How often of how often, and what was seen."""
    telling = Telling(checks=[{"name": "home", "http": "https://web.example.com/"}])
    assert said(telling.checks("home", **answer)) == expected


@pytest.mark.parametrize("subject", ["image", "build", "build check", "activity", "something new"])
def test_whatever_else_is_observed_has_a_sentence(telling: Telling, subject: str) -> None:
    """Also what a later version observes."""
    assert "available" in plain(said(telling.happens(EventKind.OBSERVED, subject=subject, value="available")))


def test_a_stumble_says_what_follows(telling: Telling) -> None:
    """Whether it is tried again is what a reader wants to know."""
    facts: dict[str, Any] = {"verb": "take_blue_out", "code": "Throttling", "message": "Rate exceeded"}
    telling.happens(EventKind.STUMBLED, **facts, transient=True, denied=False)
    expected = (
        "could not take web-production-v41 out of target group web: Rate exceeded (Throttling); trying again soon"
    )
    assert said(telling) == expected


def test_a_rollback_says_why_and_for_whom(telling: Telling) -> None:
    """The name of a person, not an ARN."""
    telling.happens(EventKind.ROLLBACK_ORDERED, who="arn:aws:iam::1:user/bob", why="slow")
    assert said(telling) == f"bob ordered the rollback of {ID}: slow"
    telling.enters(Phase.ROLLING_BACK, reason="ordered", message="ordered by arn:aws:iam::1:user/bob")
    assert said(telling) == "going back to blue: ordered by bob"


def test_ends_are_true_and_name_what_is_left(telling: Telling) -> None:
    """`rolled back` never reads as success, and leftovers are named."""
    telling.enters(Phase.ROLLING_BACK, reason="check_failed", message="home no longer holds: 502")
    telling.settles("rolled_back", "check_failed", "home no longer holds: 502", ("image ami-0abc",))
    assert said(telling) == wording.outcome_line(telling.release)
    assert wording.outcome_line(telling.release) == (
        f"{ID} was rolled back after 17s, web-production-v41 serves alone: "
        "home no longer holds: 502; still there: image ami-0abc"
    )


@pytest.mark.parametrize(
    ("awaited", "seconds", "expected"),
    [
        (Awaited.OVERLAP, 192, "waiting for the overlap to pass, 3m 12s to go"),
        (Awaited.GREEN_UP, 840, "waiting for green's instances to come in service (4 of 4), at most 14m more"),
        (Awaited.READ_BACK, None, "waiting for the load balancer to show the last change"),
    ],
)
def test_waiting_says_for_what_and_how_long(
    telling: Telling, awaited: Awaited, seconds: float | None, expected: str
) -> None:
    """A time that passes is told as such, a limit as a limit."""
    deadline = None if seconds is None else telling.now + seconds
    assert wording.awaiting(awaited, deadline, telling.now, telling.release) == expected


def test_approvals_are_counted() -> None:
    """Of several, who is missing matters."""
    telling = Telling(hold=True, promotion={"by": "person", "approvals": 2}).serves_both().enters(Phase.HOLDING)
    telling.happens(EventKind.PROMOTED, who="slack:U0BOB")
    assert wording.awaiting(Awaited.PROMOTION, None, 0, telling.release) == "waiting for a person to promote (1 of 2)"


# --- what can be done --------------------------------------------------------------------------------------


def test_the_next_step_fits_where_the_release_stands(telling: Telling) -> None:
    """The commands that would be refused are never named."""
    back = "bluegreen rollback web/production"
    assert wording.next_step(telling.release) == f"go back: {back}"
    telling.enters(Phase.HOLDING)
    assert wording.next_step(telling.release) == f"bluegreen promote web/production, or {back}"
    telling.enters(Phase.RETIRING)
    assert wording.next_step(telling.release) == f"go back: {back} --to 41"
    telling.settles("live")
    assert wording.next_step(telling.release) == f"go back: {back} --to 41"


def test_before_the_first_release_there_is_no_number_to_go_back_to() -> None:
    """Its image can be released all the same."""
    telling = Telling(blue="web-asg").serves_both().settles("live")
    assert "--ami AMI" in wording.next_step(telling.release)


def test_interrupted_failed_and_rolled_back_name_the_way_on(telling: Telling) -> None:
    """Nobody is left with an end and no way on."""
    stopped = Telling().happens(EventKind.INTERRUPTED, holder="x").release
    assert wording.next_step(stopped) == "go on: bluegreen resume web/production"
    assert "resume" in wording.next_step(telling.settles("failed", "changed_outside", "blue is gone").release)
    telling.happens(EventKind.ROLLBACK_ORDERED, who="bob", why="")
    assert not wording.next_step(telling.release)
    telling.enters(Phase.ROLLING_BACK, reason="ordered", message="").settles("rolled_back", "ordered")
    assert "bluegreen release" in wording.next_step(telling.release)


# --- small words -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(-1, "0s"), (45.4, "45s"), (192, "3m 12s"), (3600, "1h"), (7500, "2h 5m"), (277200, "3d 5h"), (86400, "1d")],
)
def test_durations_are_short(seconds: float, expected: str) -> None:
    """Two units at most."""
    assert duration(seconds) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(3, "just now"), (60, "1 minute ago"), (7300, "2 hours ago"), (200000, "2 days ago")],
)
def test_ages_are_words(seconds: float, expected: str) -> None:
    """As a person would say it."""
    assert wording.age(seconds) == expected


def test_what_others_said_becomes_one_harmless_line() -> None:
    """Output of commands may hold line ends, terminal codes, and what GitHub takes for a command."""
    assert wording.one_line("a\x1b[31m red\r\n::error::b\x07") == "a red ::error::b"
