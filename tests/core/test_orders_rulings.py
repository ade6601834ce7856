"""What refuses an order, and the way on that it names, from values alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from bluegreen import orders
from bluegreen.errors import Refused
from bluegreen.events import EventKind, Outcome, Phase, Reason
from bluegreen.observation import Baseline, Finding, FindingKey, Observation, Template, Verdict
from bluegreen.orders import Caller
from tests.worlds.release import TG, Stage, group


def refusal(judged: Callable[[], object]) -> Refused:
    """What was refused."""
    with pytest.raises(Refused) as caught:
        judged()
    return caught.value


def settled(outcome: Outcome, reason: str = "ordered", left: tuple[str, ...] = ()) -> Stage:
    """A release that has ended so, after its rollback began."""
    facts = {"outcome": outcome, "reason": reason, "message": "because", "left": list(left)}
    return Stage().launched().rolls_back(reason).told(EventKind.SETTLED, **facts)


def test_only_what_has_failed_is_resumed() -> None:
    """Everything else has moved on."""
    assert refusal(lambda: orders.has_failed(settled(Outcome.ROLLED_BACK).release)).what == "has not failed"
    orders.has_failed(settled(Outcome.FAILED).release)


def test_a_button_speaks_of_what_its_card_showed() -> None:
    """It is refused when that looks otherwise now; who saw no card means whatever is there."""
    release = Stage().release
    orders.must_look_the_same(release, Caller("slack:U1", revision=release.revision))
    orders.must_look_the_same(release, Caller("slack:U1"))
    stale = Caller("slack:U1", revision=f"{release.id}|hold")
    assert refusal(lambda: orders.must_look_the_same(release, stale)).reason is Reason.MOVED_ON


@pytest.mark.parametrize(
    ("stage", "what"),
    [
        (settled(Outcome.ROLLED_BACK), "is already rolled back"),
        (Stage().launched().rolls_back(), "is already rolled back"),
        (settled(Outcome.LIVE), "blue is retired, so a rollback in seconds is impossible"),
    ],
)
def test_what_cannot_be_rolled_back(stage: Stage, what: str) -> None:
    """Nothing is left to return to; then the way back is named."""
    refused = refusal(lambda: orders.may_be_rolled_back(stage.release, lambda release: f"back from {release.id}"))
    assert (refused.what, refused.reason) == (what, Reason.MOVED_ON)
    assert (refused.hint == f"back from {stage.release.id}") is what.startswith("blue")


def test_nothing_returns_to_a_blue_that_was_ill_when_it_was_taken_out() -> None:
    """A cure made no promise; what it replaced is not named as a way back by itself."""
    stage = Stage(started={"cure": "1 of 4 is healthy", "borne": 1}).launched()
    stage.release = replace(stage.enters(Phase.SWITCHING).release, left_whole=False)
    refused = refusal(lambda: orders.may_be_rolled_back(stage.release, lambda _: "another way"))
    assert refused.what == "web-asg was unhealthy when it left, so there is no rollback to it"
    assert refused.hint == "another way"


def test_what_can_be_rolled_back() -> None:
    """Out of every phase but the rollback itself, and what has failed."""
    for stage in (Stage(), Stage().launched(), Stage().launched().enters(Phase.SOAKING), settled(Outcome.FAILED)):
        orders.may_be_rolled_back(stage.release, str)


def test_everything_in_the_way_is_told_at_once() -> None:
    """Each with what to do, once; and the key that lets pass what may pass."""
    refused, hint = Verdict.REFUSED, "Move it."
    shared = Finding(FindingKey.SHARED_TEMPLATE, "a follows it", "it gets the image", refused, hint)
    refresh = Finding(FindingKey.INSTANCE_REFRESH, "b is refreshed", "", refused, hint)
    told = refusal(lambda: orders.refuse_what_is_in_the_way([shared, refresh], "web/production"))
    assert told.what == "a follows it: it gets the image; b is refreshed"
    assert told.hint == "Move it. `allow: [shared_template]` in bluegreen.yml lets it pass."
    assert refusal(lambda: orders.refuse_what_is_in_the_way([refresh], "web/production")).hint == "Move it."
    orders.refuse_what_is_in_the_way([Finding(FindingKey.WARM_POOL, "there is a warm pool")], "web/production")


def test_who_does_not_fit_is_told_apart() -> None:
    """From what is only warned of, and from what else is in the way."""
    full = Finding(FindingKey.NO_ROOM, "8 used, 4 more", verdict=Verdict.REFUSED)
    assert orders.lacks_room([full])
    assert not orders.lacks_room([replace(full, verdict=Verdict.WARNED), replace(full, key=FindingKey.GROUP_QUOTA)])


@pytest.mark.parametrize(("reason", "behind"), [("ordered", False), ("changed_outside", True)])
def test_what_a_failed_release_left(reason: str, behind: bool) -> None:
    """By name, and the ways on; the journal may be behind where somebody else's hand is seen."""
    left = orders.left_behind(settled(Outcome.FAILED, reason, ("v42 with 4 instances",)).release)
    assert left.what == "failed and left behind: v42 with 4 instances"
    assert "`bluegreen resume web/production` goes on" in left.hint
    assert ("`bluegreen adopt web/production`" in left.hint) is behind
    assert orders.left_behind(settled(Outcome.FAILED).release).what.endswith("web-production-v42")


def test_a_release_promises_a_way_back() -> None:
    """So an ill blue refuses it, unless somebody says that it is a cure."""
    baseline = Baseline(group("web-asg"), (TG,), Template("lt-1", 7, 7), "7", (), unwell="1 of 4 is healthy")
    told = orders.not_whole(baseline)
    assert (told.what, told.reason) == ("1 of 4 is healthy", Reason.BLUE_UNHEALTHY)
    assert "`--cure`" in told.hint


def test_a_blue_that_is_scaling_or_at_size_0_refuses_nothing() -> None:
    """It is said what the release does about it; a blue that is ill is refused, or cured, whatever else it is."""
    blue = Baseline(group("web-asg"), (TG,), Template("lt-1", 7, 7), "7", ())
    assert list(orders.also_found(blue)) == []
    asleep = replace(blue, blue=group("web-asg", 0), unsettled="the group web-asg is scaling: it has 1 instance of 0")
    scaling, idle = orders.also_found(asleep)
    assert (scaling.key, scaling.verdict, scaling.found) == (FindingKey.BLUE_SCALING, Verdict.NOTED, asleep.unsettled)
    assert (idle.key, idle.verdict, idle.found) == (
        FindingKey.NOTHING_SERVES,
        Verdict.WARNED,
        "the group web-asg is at size 0",
    )
    assert list(orders.also_found(replace(asleep, unwell="1 of 4 is healthy"))) == []


def test_a_cure_that_was_rolled_back_took_nobody_out() -> None:
    """Both are named, and what takes them out."""
    seen = Observation(at=1.0, rest=(group("web-v41", 1),), targets={TG: {"web-v41-0": "healthy"}})
    told = orders.not_whole_either(settled(Outcome.ROLLED_BACK).release, seen)
    assert told.what == "was rolled back, and web-v41 is in the target groups beside web-asg"


def test_where_the_journal_does_not_fit() -> None:
    """It is put right by a command."""
    assert "`bluegreen adopt web/production`" in orders.put_right("web/production")
