"""A release is its events, folded."""

from __future__ import annotations

import pytest

from bluegreen.release import Event, EventKind, Outcome, Phase, Verb, fold, names, release_id
from tests.stage import Stage


def test_names_are_known_before_anything_is_made() -> None:
    """The group and the image bear the service, the number and the commit."""
    assert names("web/production", 42, "abcdef123456") == {
        "green_group": "web-production-v42",
        "image_name": "web-production-v42-abcdef12",
    }
    assert names("web/production", 1, "")["image_name"] == "web-production-v1-image"
    assert release_id("web/production", 42) == "web/production#42"


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
