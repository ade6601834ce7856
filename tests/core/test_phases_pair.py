"""The story of a standing pair, one decision at a time: nothing is made, deleted, or advised to be deleted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bluegreen.aws_commands import empty_group, terminate
from bluegreen.events import Act, Awaited, EventKind, IdleBefore, Outcome, Phase, Reason, Verb
from bluegreen.observation import Group, Idle, Instance
from bluegreen.phases import Enter, Rest, RollBack, Wait
from bluegreen.phases.decision import leftovers
from bluegreen.phases.takeover import remaining, taken_along
from tests.worlds.release import BEFORE, IDLE_BEFORE, TG, Stage, group, paired

OTHER = {"release": "web/production#41", "token": "theirs"}


def spare(**changes: Any) -> Idle:
    """The idle one, before the release has touched it."""
    idle = group("web-b", 0, maximum=6, template_version="$Latest", suspended=frozenset({"ReplaceUnhealthy"}))
    return Idle(replace(idle, **changes), "7", {"bluegreen:release": "web/production#41"})


def at_the_pin(**idle: Any) -> Stage:
    """The image is there, blue is to be pinned."""
    s = paired(ami="ami-1").enters(Phase.LAUNCHING, image="ami-1")
    return s.sees(blue=group("web-a", target_groups=frozenset({TG})), spare=spare(**idle))


def test_what_its_owner_gave_it_is_recorded_before_anything_is_done() -> None:
    """With blue's own, in the one act that begins."""
    decision = at_the_pin().decision
    assert isinstance(decision, Act)
    assert (decision.verb, decision.green) == (Verb.PIN_BLUE, IdleBefore.from_facts(IDLE_BEFORE))
    again = Act.from_facts(decision.to_facts())
    assert (again.green, again.blue) == (decision.green, decision.blue)


@pytest.mark.parametrize(
    ("idle", "said"),
    [
        ({"desired": 1}, "web-b is not idle: it has 0 instances and the size 1"),
        ({"instances": (Instance("i-1", "InService"),)}, "web-b is not idle: it has 1 instance and the size 0"),
        ({"target_groups": frozenset({TG})}, "web-b is not idle: it is attached to arn:web"),
        ({"deleting": True}, "web-b is being deleted"),
        ({"held_by": "web/production#43 x"}, "web-b is held by web/production#43, which the journal does not know"),
    ],
)
def test_one_that_is_idle_no_more_ends_the_release_before_it_is_touched(idle: dict[str, Any], said: str) -> None:
    """Nothing was made beside an image, so nobody needs to act."""
    assert at_the_pin(**idle).decision == RollBack(Reason.CHANGED_OUTSIDE, said)


def test_one_that_is_gone_ends_it_too() -> None:
    """It is not made again."""
    gone = "the group web-b is gone"
    assert at_the_pin().sees(spare=None).decision == RollBack(Reason.CHANGED_OUTSIDE, gone)


def test_it_is_taken_and_nothing_is_attached_to_it() -> None:
    """Its policies, alarms and schedules are its owner's."""
    s = at_the_pin()
    for verb in (Verb.PIN_BLUE, Verb.SUSPEND_BLUE, Verb.MAKE_TEMPLATE_VERSION, Verb.CREATE_GREEN, Verb.SUSPEND_GREEN):
        decision = s.decision
        assert isinstance(decision, Act)
        assert decision.verb is verb
        s.did(verb, **{key: value for key, value in decision.to_facts().items() if key != "verb"})
        if verb is Verb.CREATE_GREEN:
            s.sees(green=group("web-b", 4, release=s.release.id, token="mine"))
    assert s.decision == Enter(Phase.CHECKING)


def test_marks_of_an_earlier_release_are_no_stranger_as_long_as_ours_may_not_show() -> None:
    """A read may be older than the mark; later it belongs to somebody else."""
    s = paired().launched().enters(Phase.CHECKING).alter("green", **OTHER)
    assert s.decision == Enter(Phase.OVERLAPPING)
    decision = s.passes(61).decision
    assert isinstance(decision, Rest)
    assert decision.message.startswith("the group web-b is of web/production#41 and does not belong to this release")


# --- the way back ------------------------------------------------------------------------------------------


def going_back() -> Stage:
    """Green is in service, and the rollback begins."""
    return paired().launched().enters(Phase.CHECKING).rolls_back()


def emptied(s: Stage) -> Stage:
    """AWS shows green at size 0."""
    return s.did(Verb.EMPTY_GREEN).alter("green", desired=0, minimum=0, maximum=0, instances=())


def test_green_is_emptied_then_given_back_then_its_version_goes() -> None:
    """In this order: a group on `$Latest` must not move, and its owner gets it without instances."""
    s = going_back()
    assert s.decision == Act(Verb.EMPTY_GREEN)
    s.did(Verb.EMPTY_GREEN)
    s.alter("green", desired=0, minimum=0, maximum=0)
    assert isinstance(s.decision, Wait)
    assert s.decision.awaited is Awaited.GREEN_EMPTY
    s.alter("green", instances=())
    assert s.decision == Act(Verb.RETURN_GREEN)
    s.told(EventKind.BEGAN, verb=Verb.RETURN_GREEN).alter("green", **OTHER)
    assert s.decision == Act(Verb.RETURN_GREEN), "begun, and perhaps half done"
    s.did(Verb.RETURN_GREEN).sees(green=None)
    assert s.decision == Act(Verb.DELETE_TEMPLATE_VERSION)
    s.did(Verb.DELETE_TEMPLATE_VERSION)
    assert s.decision == Act(Verb.UNPIN_BLUE)
    s.did(Verb.UNPIN_BLUE, Verb.RESUME_BLUE)
    done = s.decision
    assert isinstance(done, Rest)
    assert (done.outcome, done.left) == (Outcome.ROLLED_BACK, ())


def test_an_order_to_empty_green_that_does_not_show_is_given_again() -> None:
    """What AWS shows may lag; after its time it is repeated."""
    s = going_back().did(Verb.EMPTY_GREEN)
    assert s.decision == Wait(Awaited.READ_BACK, 5.0)
    assert s.passes(61).decision == Act(Verb.EMPTY_GREEN)


def test_green_that_does_not_get_empty_is_for_a_person() -> None:
    """By who is in the way; the advice empties it, and nobody is told to delete it."""
    parked = Instance("i-9", "Standby")
    s = emptied(going_back()).alter("green", instances=(parked,))
    assert s.release.blue is not None
    s.passes(s.release.blue.leaves_within)
    done = s.decision
    assert isinstance(done, Rest)
    assert (done.outcome, done.reason) == (Outcome.FAILED, Reason.RETIRE_LATE)
    assert "1 instance of web-b is still there" in done.message
    assert "i-9 of web-b is in Standby" in done.message
    assert f"group web-b: {empty_group('web-b')}" in done.left
    assert "delete-auto-scaling-group" not in " ".join(done.left)


def test_a_mark_that_does_not_show_yet_is_waited_for() -> None:
    """The order to go back came right after green was taken; where it never was, nothing is given back."""
    s = at_the_pin()
    s.did(Verb.PIN_BLUE, blue=BEFORE, green=IDLE_BEFORE).did(Verb.SUSPEND_BLUE)
    s.did(Verb.MAKE_TEMPLATE_VERSION, template_version=8).told(EventKind.BEGAN, verb=Verb.CREATE_GREEN)
    s.rolls_back().sees(green=group("web-b", 0, **OTHER))
    assert s.decision == Wait(Awaited.READ_BACK, 5.0)
    assert s.passes(61).decision == Act(Verb.UNPIN_BLUE)


# --- the end -----------------------------------------------------------------------------------------------


def retired() -> Stage:
    """Blue is empty, green has its settings again."""
    s = paired().switched().enters(Phase.RETIRING).targets(green="healthy")
    s.did(
        Verb.FOLLOW_BLUE, attached={"changed": [], "parts": {}, "alarms": [], "minimum": 2, "maximum": 8, "desired": 4}
    )
    s.did(Verb.STILL_BLUE, processes=["AlarmNotification"]).did(Verb.EMPTY_BLUE)
    s.did(Verb.SET_DEFAULT_VERSION, Verb.RESTORE_GREEN, Verb.RESUME_GREEN, Verb.MARK_IMAGE)
    return s.alter("blue", desired=0, minimum=0, maximum=0, instances=())


def test_blue_stays_and_is_the_idle_one() -> None:
    """Its warm pool, if somebody made one meanwhile, too; it is no leftover."""
    done = retired().alter("blue", warm=0).decision
    assert done == Rest(Outcome.LIVE, Reason.COMPLETED, "web-b serves alone, and web-a is idle", ())


def test_who_stays_in_blue_is_named_with_the_command_that_ends_it() -> None:
    """A group of a pair is not deleted for it."""
    parked = Instance("i-9", "Standby")
    done = retired().alter("blue", instances=(parked,)).decision
    assert isinstance(done, Rest)
    assert done.left == (f"group web-a, which gets no traffic, with i-9 in Standby: {terminate(['i-9'])}",)


def test_what_is_half_emptied_is_not_deleted_either() -> None:
    """A release that fails while blue is emptied."""
    s = paired().switched().enters(Phase.RETIRING).targets(green="healthy").did(Verb.EMPTY_BLUE)
    assert f"group web-a, which gets no traffic: {empty_group('web-a')}" in leftovers(s.release, s.seen)


def test_what_was_given_back_is_no_leftover() -> None:
    """Whatever failed afterwards."""
    s = emptied(going_back()).did(Verb.RETURN_GREEN).sees(green=None)
    assert [one for one in leftovers(s.release, s.seen) if one.startswith("group web-b")] == []


# --- what the next release makes of it ---------------------------------------------------------------------


def test_a_cure_takes_along_no_group_to_delete() -> None:
    """The other one is its green, or was given back; either way it stays."""
    s = paired().launched().enters(Phase.CHECKING)
    (left,) = (one for one in taken_along(s.release, s.seen)["left"] if "version" not in one)
    assert left == {"group": "web-b", "of": s.release.id, "keep": True}
    cure = paired()
    next_ = replace(cure.release, takes={"left": [left, {**left, "group": "web-c"}], "rest": []})
    assert next_.known_groups == ("web-c",)
    rest: tuple[Group, ...] = (group("web-b"), group("web-c"))
    assert remaining(next_, replace(cure.seen, rest=rest)) == (
        f"group web-c of {s.release.id}, which gets no traffic: {empty_group('web-c')}",
    )


def test_versions_are_made_in_greens_own_template() -> None:
    """From its own version; with one template for both from blue's, which serves."""
    assert paired().release.template == paired().release.reference == paired().release.source_version == ""
    same = paired().launched().release
    assert (same.template, same.source_version, same.reference) == ("lt-1", "7", "$Latest")
    own = paired().enters(Phase.LAUNCHING)
    own.did(Verb.PIN_BLUE, blue=BEFORE, green={**IDLE_BEFORE, "template": "lt-2", "resolved_version": "3"})
    assert (own.release.template, own.release.source_version) == ("lt-2", "3")
    alone = Stage().launched().release
    assert (alone.template, alone.source_version, alone.reference) == ("lt-1", "7", "$Latest")
