"""The story with weights, one decision at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bluegreen import phases
from bluegreen.events import Awaited, EventKind, Expiring, Outcome, Phase, Reason, Verb
from bluegreen.observation import CheckResult
from bluegreen.phases import Act, Decision, Enter, Rest, RollBack, Wait
from tests.worlds.release import IDLE, LISTENER, RULE, TG, Stage, group

STEPS = [0, 10, 50]


def weighted(**changes: Any) -> Stage:
    """A release with three steps of 100 s each."""
    return Stage(**{"steps": STEPS, **changes})


def shift(share: int) -> Decision:
    """The act that gives green this share."""
    return Act(Verb.SHIFT, share=share)


# --- checking: green waits in the idle target group ---


def test_green_joins_without_traffic_and_is_judged_there() -> None:
    """Weights first, so that the idle target group is in the listener's action and checked; then green."""
    s = weighted().launched().enters(Phase.CHECKING)
    assert s.decision == shift(0)
    s.shifted(0)
    assert s.decision == Act(Verb.JOIN_GREEN)
    s.did(Verb.JOIN_GREEN).attach("green").targets(blue="healthy", green="initial").checks()
    assert s.decision == Wait(Awaited.CHECKS, 5.0)
    s.targets(blue="healthy", green="healthy").checks()
    assert s.decision == Enter(Phase.OVERLAPPING)


def test_green_does_not_join_where_a_listener_gives_it_a_share() -> None:
    """S9: somebody else has set that, and green would be given it unchecked."""
    s = weighted().launched().enters(Phase.CHECKING).gives(0, 20).told(EventKind.BEGAN, verb=Verb.SHIFT, share=0)
    s.told(EventKind.DID, verb=Verb.SHIFT)
    assert isinstance(s.decision, Rest)
    assert s.gives(0).decision == Act(Verb.JOIN_GREEN)


def test_green_that_never_gets_healthy_goes_back_before_any_user_meets_it() -> None:
    """The limit is that of target health, counted from when it could be checked."""
    s = weighted().launched().enters(Phase.CHECKING).shifted(0).did(Verb.JOIN_GREEN)
    s.attach("green").targets(blue="healthy", green="unhealthy").checks().passes(600)
    assert s.decision == RollBack(Reason.NEVER_HEALTHY, "targets did not hold within 10m: 0 of 4 healthy")
    s.rolls_back().checks()
    assert s.decision == Act(Verb.TAKE_GREEN_OUT)


# --- overlapping: step by step ---


def test_every_step_lasts_its_part_and_is_read_back() -> None:
    """0 is a preview: the traffic stays where it is."""
    s = weighted().joined()
    assert s.decision == Wait(Awaited.STEP, 30.0, s.now + 100)
    assert s.passes(100).decision == shift(10)
    s.told(EventKind.BEGAN, verb=Verb.SHIFT, share=10)
    assert s.gives(10, 0).decision == shift(10), "the second listener is missing"
    s.told(EventKind.DID, verb=Verb.SHIFT)
    assert s.decision == Wait(Awaited.READ_BACK, 5.0)
    s.gives(10)
    assert s.decision == Wait(Awaited.STEP, 30.0, s.now + 100)
    s.passes(99)
    assert isinstance(s.decision, Wait)
    assert s.passes(1).decision == shift(50)
    s.shifted(50)
    assert s.decision == Wait(Awaited.OVERLAP, 30.0, s.now + 100)
    assert s.passes(100).decision == Enter(Phase.SWITCHING)


def test_the_first_share_is_given_at_once_when_there_is_no_preview() -> None:
    """Steps without a 0 begin with traffic."""
    s = weighted(steps=[20]).joined()
    assert s.decision == shift(20)
    assert s.shifted(20).decision == Wait(Awaited.OVERLAP, 30.0, s.now + 300)


def test_no_more_traffic_for_a_green_that_is_not_wholly_healthy() -> None:
    """S2: a target that was just lost holds the step back; when it stays lost the check decides."""
    s = weighted().joined().passes(100).targets(blue="healthy", green="unhealthy")
    assert s.decision == Wait(Awaited.CHECKS, 5.0)
    s.checks()
    assert s.decision == RollBack(Reason.CHECK_FAILED, "check targets no longer holds: 0 of 4 healthy")


def test_a_failed_check_goes_back_at_once_in_the_middle_of_a_step() -> None:
    """Not at the end of it."""
    s = weighted(checks=[{"name": "home", "http": "https://x"}]).joined().checks("home").passes(100).shifted(10)
    s.checks("home", passed=False)
    assert s.decision == RollBack(Reason.CHECK_FAILED, "check home no longer holds: seen (failed 3 of 10 looks)")
    s.rolls_back()
    assert s.decision == shift(0)


ERRORS = {
    "name": "errors",
    "metric": "HTTPCode_Target_5XX_Count",
    "statistic": "Sum",
    "at_most": 1.5,
    "compare": "blue",
}
QUEUE = {"name": "queue", "metric": "Depth", "statistic": "Average", "at_most": 9, "namespace": "web"}


def test_the_load_balancers_metrics_are_awaited_from_greens_first_share() -> None:
    """A preview has none: it would last for ever. Their time to come to hold begins with the share."""
    s = weighted(checks=[ERRORS]).joined()
    assert s.decision == Wait(Awaited.STEP, 30.0, s.now + 100)
    s.passes(1000).shifted(10)
    assert s.decision == Wait(Awaited.CHECKS, 5.0)
    s.passes(899)
    assert s.decision == Wait(Awaited.CHECKS, 5.0)
    s.passes(1)
    assert s.decision == RollBack(Reason.CHECK_FAILED, "errors did not hold within 15m: never answered")
    for minute in range(5):
        s.sees(checks=(CheckResult("errors", False, f"{minute} of 5 minutes", s.now),)).notices()
    assert s.decision == RollBack(Reason.CHECK_FAILED, "errors did not hold within 15m: 4 of 5 minutes")
    seq = s.release.seq
    assert s.notices().release.seq == seq, "the same reason is not told again"
    s.checks("errors")
    assert s.decision == Wait(Awaited.STEP, 30.0, s.now + 100)
    assert s.release.share_since == s.release.did[Verb.SHIFT].at


def test_other_metrics_are_awaited_from_the_first() -> None:
    """Nobody but their owner knows whose they are."""
    s = weighted(checks=[QUEUE]).joined()
    assert s.decision == Wait(Awaited.CHECKS, 5.0)


def test_the_share_is_green_s_from_the_first_shift_on() -> None:
    """A later step, or nothing at all, does not change when it began."""
    s = weighted().joined()
    assert s.release.share_since is None
    first = s.passes(50).shifted(10).release.share_since
    assert first == s.now
    assert s.passes(50).shifted(50).release.share_since == first
    assert s.passes(50).shifted(0).release.share_since == first


def test_a_promotion_ends_the_steps() -> None:
    """Whoever promotes has seen enough."""
    s = weighted().joined().told(EventKind.PROMOTED, who="U1")
    assert s.decision == Enter(Phase.SWITCHING)


# --- switching, soaking, retiring ---


def test_the_switch_is_a_shift_that_is_read_back() -> None:
    """Blue stays in its target group, without traffic, until it is retired."""
    s = weighted().joined().shifted(50).enters(Phase.SWITCHING)
    assert s.decision == shift(100)
    s.did(Verb.SHIFT, share=100).gives(100, 50)
    assert s.decision == Wait(Awaited.READ_BACK, 5.0)
    assert s.gives(100).decision == Enter(Phase.SOAKING)
    s.enters(Phase.SOAKING)
    assert s.decision == Wait(Awaited.SOAK, 30.0, s.now + 900)


def test_blue_leaves_its_target_group_before_it_is_emptied() -> None:
    """So that what is still on its way to it ends."""
    s = weighted().switched().enters(Phase.RETIRING)
    assert s.decision == Act(Verb.TAKE_BLUE_OUT)
    s.did(Verb.TAKE_BLUE_OUT).detach("blue").targets(blue="draining", green="healthy")
    assert s.decision == Wait(Awaited.DRAINED, 30.0, s.release.in_phase_since + 3660)
    assert s.targets(green="healthy").did(Verb.STILL_BLUE).decision == Act(Verb.EMPTY_BLUE)


def test_blue_is_not_touched_while_a_listener_gives_it_traffic() -> None:
    """S3, S9: somebody gave it back at the last moment, or it cannot be told. What AWS shows may lag for a minute."""
    s = weighted().switched().enters(Phase.RETIRING)
    assert s.gives(0).decision == Wait(Awaited.CHECKS, 5.0, s.release.in_phase_since + 7200)
    for shares in ((100, 90), (None, 100)):
        found = s.gives(*shares).decision
        assert isinstance(found, Rest)
        assert found.reason is Reason.CHANGED_OUTSIDE
    assert isinstance(s.passes(61).gives(0).decision, Rest)


@pytest.mark.parametrize("steps", [None, [50]])
def test_somebody_takes_green_out_while_blue_is_retired(steps: list[int] | None) -> None:
    """S9: it stops at once and says so; blue is left as it is. Green may grow and shrink meanwhile."""
    s = Stage(steps=steps).switched().enters(Phase.RETIRING).passes(61)
    s.targets(green="healthy") if steps is None else s.targets(blue="healthy", green="healthy")
    before = s.decision
    assert isinstance(before, Act)
    assert s.alter("green", desired=6).decision == before
    s.alter("green", desired=4).detach("green")
    found = s.decision
    assert isinstance(found, Rest)
    assert (found.outcome, found.reason) == (Outcome.FAILED, Reason.CHANGED_OUTSIDE)
    assert found.message == "web-production-v42 was taken out of the load balancer"
    gone = s.sees(green=None).decision
    assert isinstance(gone, Rest)
    assert gone.message == "the group web-production-v42 was deleted"


# --- the way back ---


@pytest.mark.parametrize("phase", [Phase.OVERLAPPING, Phase.HOLDING, Phase.SWITCHING, Phase.SOAKING])
def test_the_way_back_is_one_shift(phase: Phase) -> None:
    """Blue is whole and healthy: nothing needs to be waited for. Then green leaves and is removed."""
    s = weighted().joined().shifted(100 if phase is Phase.SOAKING else 50).enters(phase).rolls_back()
    assert s.decision == shift(0)
    s.shifted(0)
    assert s.decision == Act(Verb.TAKE_GREEN_OUT)
    s.did(Verb.TAKE_GREEN_OUT).detach("green").targets(blue="healthy", green="draining")
    assert s.decision == Wait(Awaited.DRAINED, 30.0, s.release.in_phase_since + 3660)
    assert s.targets(blue="healthy").decision == Act(Verb.DELETE_GREEN)


def test_clients_who_stick_to_green_are_waited_for() -> None:
    """From when it lost its weight; then blue gets its time to be healthy. Without them nothing is waited for."""
    s = weighted().joined()
    s.release = replace(s.release, stickiness=700)
    s.shifted(50).enters(Phase.SWITCHING).rolls_back()
    assert s.decision == shift(0)
    s.shifted(0)
    ends = s.now + 700
    assert s.decision == Wait(Awaited.CLIENTS, 30.0, ends)
    assert s.passes(690).decision == Wait(Awaited.CLIENTS, 10.0, ends)
    assert s.gives(10).decision == shift(0), "somebody gave green traffic again"
    s.checks("errors", passed=False, times=1).gives(0)
    assert s.decision == Wait(Awaited.CLIENTS, 9.0, ends), "what green's checks say hurries nobody any more"
    s.detach("green").targets(blue="healthy")
    assert s.decision == Act(Verb.DELETE_GREEN), "it is out already"
    s.attach("green").targets(blue="unhealthy", green="healthy").passes(10)
    assert s.decision == Wait(Awaited.BLUE_HEALTHY, 5.0)
    assert isinstance(s.passes(600).decision, Rest)
    assert s.targets(blue="healthy", green="healthy").decision == Act(Verb.TAKE_GREEN_OUT)


def test_before_green_had_a_share_nobody_sticks_to_it() -> None:
    """It leaves at once."""
    s = weighted().idle()
    s.release = replace(s.release, stickiness=700)
    assert s.rolls_back().decision == Act(Verb.TAKE_GREEN_OUT)


def test_the_soak_is_as_long_as_clients_stick_to_blue() -> None:
    """For an hour at most; and as long as the configuration says, if that is longer."""
    s = weighted().switched()
    for stickiness, soak in ((0, 900), (600, 900), (1800, 1800), (86_400, 3600)):
        s.release = replace(s.release, stickiness=stickiness)
        assert s.decision == Wait(Awaited.SOAK, 30.0, s.release.entered[Phase.SOAKING] + soak)


def test_no_traffic_for_a_sick_blue() -> None:
    """S11: then it halts and calls for a person; green keeps what it has."""
    s = weighted().switched().rolls_back().targets(blue="unhealthy", green="healthy")
    assert s.decision == Wait(Awaited.BLUE_HEALTHY, 5.0)
    found = s.passes(600).decision
    assert isinstance(found, Rest)
    assert (found.outcome, found.reason) == (Outcome.FAILED, Reason.BLUE_UNHEALTHY)


def test_a_shift_that_somebody_takes_back_again_and_again_ends_in_a_halt() -> None:
    """Every wait has a limit."""
    s = weighted().joined().shifted(50).rolls_back().did(Verb.SHIFT, share=0).passes(61)
    assert s.decision == shift(0)
    found = s.passes(600).decision
    assert isinstance(found, Rest)
    assert found.reason is Reason.CHANGED_OUTSIDE


def test_green_that_has_just_joined_is_seen_before_it_is_taken_out() -> None:
    """Its targets may yet appear."""
    s = weighted().launched().enters(Phase.CHECKING).shifted(0).did(Verb.JOIN_GREEN).rolls_back()
    assert s.decision == Wait(Awaited.READ_BACK, 5.0)
    s.attach("green").targets(blue="healthy", green="initial")
    assert s.decision == Act(Verb.TAKE_GREEN_OUT)


def test_a_listener_that_cannot_be_read_is_not_taken_for_safe() -> None:
    """A rollback that cannot see who serves says so to AWS until it is answered, and never removes green."""
    s = weighted().joined().shifted(50).rolls_back().gives(None)
    assert s.decision == shift(0)


def test_a_preview_shows_blue_again() -> None:
    """Once, after the users' traffic is safe; without one nothing more is called."""
    s = weighted(previews=1).idle().rolls_back()
    back = Act(Verb.SHIFT, share=0, preview="blue")
    assert s.decision == back
    assert s.did(Verb.SHIFT, share=0, preview="blue").decision == Act(Verb.TAKE_GREEN_OUT)
    assert weighted(previews=1).joined().shifted(10).rolls_back().decision == back
    assert weighted(previews=1).launched().rolls_back().verb is Verb.DELETE_GREEN
    assert weighted().idle().rolls_back().decision == Act(Verb.TAKE_GREEN_OUT)


# --- others ---


def test_weights_that_were_edited_during_the_bake_are_no_business_of_a_rollback() -> None:
    """Nothing was made yet, and nobody's weights are touched."""
    s = weighted().enters(Phase.LAUNCHING, image="ami-1").rolls_back()
    found = s.sees(blue=group("web-asg", target_groups=frozenset({TG})), targets={TG: {}, IDLE: {}}).gives(50).decision
    assert isinstance(found, Rest)
    assert found.outcome is Outcome.ROLLED_BACK


def test_what_was_changed_during_the_bake() -> None:
    """Nothing was made yet, so nothing needs a person."""
    blue = group("web-asg", target_groups=frozenset({TG}))
    s = weighted().enters(Phase.LAUNCHING, image="ami-1").sees(blue=blue, routes=("a", "c"))
    assert s.verb is Verb.PIN_BLUE
    s.release = replace(s.release, routes=("a", "b"))
    found = "someone changed the load balancer: gone: b; new: c"
    assert s.decision == RollBack(Reason.CHANGED_OUTSIDE, found)
    assert s.sees(routes=None).verb is Verb.PIN_BLUE
    assert s.sees(routes=("a", "b")).verb is Verb.PIN_BLUE
    s.detach("blue")
    assert s.decision == RollBack(Reason.CHANGED_OUTSIDE, "web-asg was taken out of the load balancer")


@pytest.mark.parametrize(
    ("shares", "says"),
    [
        ((10, 30), "gives green 30 % of the traffic; this release had set 10 %"),
        ((10, 0), "gives green 0 % of the traffic; this release had set 10 %"),
        ((10, None), "does not say what green gets; this release had set 10 %"),
    ],
)
@pytest.mark.parametrize("phase", [Phase.OVERLAPPING, Phase.HOLDING, Phase.SWITCHING, Phase.SOAKING])
def test_weights_that_somebody_else_moved(phase: Phase, shares: tuple[float | None, ...], says: str) -> None:
    """S9: it stops and names the listener."""
    s = weighted().joined().shifted(10).enters(phase).passes(61).gives(*shares)
    found = s.decision
    assert isinstance(found, Rest)
    assert found.reason is Reason.CHANGED_OUTSIDE
    assert "listener-rule/x" in found.message
    assert says in found.message


def test_what_aws_shows_may_lag_behind_a_shift() -> None:
    """For a minute the share before it is no intrusion, nor is a shift that died half-way."""
    s = weighted().joined().shifted(10).passes(100)
    s.did(Verb.SHIFT, share=50)
    assert s.gives(10).decision == Wait(Awaited.READ_BACK, 5.0)
    assert isinstance(s.passes(61).decision, Rest)
    s = weighted().joined().shifted(10).passes(100).told(EventKind.BEGAN, verb=Verb.SHIFT, share=50).gives(10, 50)
    assert s.passes(61).decision == shift(50)
    s.told(EventKind.BEGAN, verb=Verb.SHIFT, share=50)
    assert s.decision == shift(50), "begun again, it still may be either"


@pytest.mark.parametrize(("which", "name"), [("blue", "web-asg"), ("green", "web-production-v42")])
def test_a_group_that_somebody_else_detached(which: str, name: str) -> None:
    """Each has to be in its own target group."""
    s = weighted().joined().passes(61).detach(which)
    found = s.decision
    assert isinstance(found, Rest)
    assert found.message == f"{name} was taken out of the load balancer"


# --- what is told ---


def test_shares_are_told_as_the_listeners_say_them() -> None:
    """Not by the number of servers; and not while the listeners disagree."""
    s = weighted().joined().shifted(10).notices()
    assert [fleet.share for name in ("blue", "green") if (fleet := s.release.fleet(name))] == [90, 10]
    assert s.release.observed["traffic"].value == "both"
    s.gives(0).notices()
    assert s.release.observed["traffic"].value == "blue"
    s.gives(10, 20).notices()
    green = s.release.fleet("green")
    assert green is not None
    assert green.share is None
    assert s.gives(100).notices().release.observed["traffic"].value == "green"


def test_a_look_without_targets_still_tells_who_is_given_the_traffic() -> None:
    """And one without either tells nothing."""
    s = weighted().launched().sees(targets={})
    assert "traffic" in [one.subject for one in phases.noticed(s.release, s.seen, s.config)]
    s.sees(shares=None)
    assert "traffic" not in [one.subject for one in phases.noticed(s.release, s.seen, s.config)]


def test_homes() -> None:
    """Which target group is whose, and what the release remembers of its shifts."""
    s = weighted().joined().shifted(10).shifted(50)
    assert (s.release.share, s.release.share_before) == (50, 10)
    assert s.release.green_targets == (IDLE,)
    assert s.release.listeners == (LISTENER, RULE)
    assert s.seen.home(s.seen.green) == {IDLE}  # type: ignore[arg-type]  # set by joined
    assert not Stage().release.weighted


# --- the reminder ---


@pytest.mark.parametrize(
    ("promotion", "quiet", "early"),
    [
        ({"timeout": 3600, "remind": 600}, 3000, 3000),
        ({"timeout": 3600, "remind": 7200}, 1800, 1800),
        ({"timeout": 3600, "on_timeout": "promote"}, 1800, 1800),
    ],
)
def test_people_are_reminded_once_before_a_hold_expires(promotion: dict[str, Any], quiet: float, early: float) -> None:
    """In time, but not before half of it has passed."""
    s = Stage(hold=True, promotion={"by": "person", **promotion}).joined().enters(Phase.HOLDING)
    since = s.now

    def told() -> list[Any]:
        return [one for one in phases.noticed(s.release, s.seen, s.config) if one.subject == "hold"]

    s.passes(quiet - 1).sees(at=s.now)
    assert told() == []
    s.passes(1).sees(at=s.now)
    then = promotion.get("on_timeout", "rollback")
    assert told() == [Expiring("hold", "expires", at=since + 3600, then=then)]
    s.notices().passes(60).sees(at=s.now)
    assert told() == []


def test_nobody_is_reminded_who_does_not_want_to_be() -> None:
    """`remind: 0`."""
    s = Stage(hold=True, promotion={"by": "person", "timeout": 60, "remind": 0}).joined().enters(Phase.HOLDING)
    s.passes(59).sees(at=s.now)
    assert "hold" not in [one.subject for one in phases.noticed(s.release, s.seen, s.config)]


def test_weights_that_this_release_never_moved_are_not_given_back() -> None:
    """They are another release's, when a journal is not of this world; green was never in its target group."""
    s = Stage(ami="ami-1", steps=[50]).launched().rolls_back().gives(100)
    assert s.verb is Verb.DELETE_GREEN
