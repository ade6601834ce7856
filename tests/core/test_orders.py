"""Orders to the engine: who, when, once, and bound to what was seen."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from bluegreen import Caller, Engine, Kept, Until, wording
from bluegreen.errors import ConfigError, LeaseLost, NotPermitted
from bluegreen.events import Event, EventKind, Outcome, Phase, Reason, Verb
from bluegreen.journal import Freeze
from bluegreen.permission import authors_of
from bluegreen.release import Release
from lab.github import FakeGitHub
from tests.worlds import GOOD, Ops, Skewed, has, kinds, once
from tests.worlds.github_description import description
from tests.worlds.orders import (
    ADMIN,
    ADMIN_ARN,
    ANN,
    BOB,
    COMMIT,
    EVE,
    LISTS,
    ON_CALL,
    ORDERS,
    SOURCE,
    WEB,
    at,
    back_in_the_launch,
    enters,
    happens,
    journal,
    lives,
    refusal,
    settles,
    world,
    written,
)

EARLY = [Phase.BAKING, Phase.LAUNCHING, Phase.CHECKING]
LATE = [Phase.SWITCHING, Phase.SOAKING, Phase.RETIRING]


@pytest.fixture
def o() -> Ops:
    """As it usually is."""
    return world()


# --- who ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", list(ORDERS))
def test_an_order_is_judged_by_the_lists_that_the_release_was_started_with(o: Ops, order: str) -> None:
    """The event says who; whoever is not named writes nothing and is told who may."""
    give, who, kind = ORDERS[order]
    release = at(o, Phase.OVERLAPPING)
    refused = refusal(o, lambda: give(o.engine(), EVE), Reason.NOT_PERMITTED)
    assert isinstance(refused, NotPermitted)
    assert who.removeprefix("slack:") in refused.may
    assert refused.where == release.id
    o.config = world(slack={**LISTS, "promoters": ["U0EVE"], "rollbackers": ["U0EVE"]}).config
    refusal(o, lambda: give(o.engine(), EVE), Reason.NOT_PERMITTED)
    event = give(o.engine(), who)
    assert (event.kind, event.facts["who"]) == (kind, who)
    assert written(o)[-1] == event


@pytest.mark.parametrize("who", ["U0ANN", "slack:", "", "ann", "teams:U0ANN"])
@pytest.mark.parametrize("order", list(ORDERS))
def test_nobody_orders_without_an_id_that_is_known(order: str, who: str) -> None:
    """A display name may be anybody's, and everybody is somebody."""
    o = world(slack={"promoters": ["*", "U0ANN"], "rollbackers": ["*", "U0ANN"]})
    at(o, Phase.OVERLAPPING)
    refusal(o, lambda: ORDERS[order][0](o.engine(), who), Reason.NOT_PERMITTED)
    ORDERS[order][0](o.engine(), EVE)


@pytest.mark.parametrize("who", [ADMIN, "github:octocat"])
@pytest.mark.parametrize("order", list(ORDERS))
def test_who_comes_through_aws_or_github_was_judged_there(order: str, who: str) -> None:
    """No list is needed, and the ones of Slack name nobody else."""
    o = world(slack={})
    at(o, Phase.OVERLAPPING)
    refusal(o, lambda: ORDERS[order][0](o.engine(), ANN), Reason.NOT_PERMITTED)
    assert ORDERS[order][0](o.engine(), who).facts["who"] == who


@pytest.mark.parametrize("who", ["github:octocat", f"{ADMIN}2"])
@pytest.mark.parametrize("order", list(ORDERS))
def test_who_comes_through_aws_or_github_is_judged_by_lists_where_there_are_any(order: str, who: str) -> None:
    """And told which one does not name them."""
    o = world(github={"promoters": [], "rollbackers": []}, aws={"promoters": [ADMIN_ARN], "rollbackers": []})
    o.engine().start(o.config, commit=GOOD, who=ADMIN_ARN)
    said = refusal(o, lambda: ORDERS[order][0](o.engine(), who), Reason.NOT_PERMITTED)
    assert f"{'aws' if who.startswith('arn:') else 'github'}." in said.what
    assert f"does not name you, {who}" in said.what


@pytest.mark.parametrize(
    ("who", "rule"),
    [
        (EVE, "slack.promoters does not name you"),
        (ON_CALL, "slack.promoters does not name you"),
        ("github:hubot", "github.promoters does not name you, github:hubot"),
        (ADMIN, f"aws.promoters does not name you, {ADMIN}"),
        ("ann", "is not a known kind of id"),
    ],
)
def test_a_release_is_for_those_who_may_promote(who: str, rule: str) -> None:
    """By the configuration that it is to be released with; nothing is written before that, and a request acts once."""
    o = world(github={"promoters": ["octocat", "acme/web"]}, aws={"promoters": []})
    said = refusal(o, lambda: o.engine().start(o.config, commit=GOOD, who=who), Reason.NOT_PERMITTED)
    assert rule in said.what
    member = Caller("github:hubot", lambda team: team == "acme/web")
    begun = o.engine().start(o.config, commit=GOOD, who=member, request="run-1")
    assert begun.started_by == "github:hubot"
    assert o.engine().start(o.config, commit=GOOD, who="github:hubot", request="run-1").id == begun.id


def test_what_has_settled_is_not_resumed(o: Ops) -> None:
    """It says how it ended, not that something could not be returned to."""
    assert refusal(o, lambda: o.engine().resume(WEB, who=EVE), Reason.NOTHING_TO_DO).what == "no service has releases"
    release = o.start()
    o.engine().roll_back(WEB, who="arn:aws:iam::1:user/ann")
    o.drive(release.id)
    said = refusal(o, lambda: o.engine().resume(WEB, who=EVE), Reason.MOVED_ON)
    assert str(said) == (
        "web/production#1: was rolled back, so there is nothing to resume. "
        "`bluegreen status web/production` shows what serves."
    )


@pytest.mark.parametrize("may", [ANN, ON_CALL, ADMIN, Caller(EVE, lambda group: group == "S0RELEASERS")])
def test_what_failed_is_resumed_by_those_who_may_promote_or_roll_back(o: Ops, may: str | Caller) -> None:
    """Others are refused; one that did not fail needs no order, so whoever drives may drive it."""
    release = at(o, Phase.OVERLAPPING)
    assert o.engine().resume(WEB, who=EVE).id == release.id
    settles(o, release, Outcome.FAILED)
    said = refusal(o, lambda: o.engine().resume(WEB, who=EVE), Reason.NOT_PERMITTED)
    assert said.what == "you may not resume it: slack.promoters or slack.rollbackers does not name you"
    assert o.engine().resume(WEB, who=may).outcome is None
    resumed = written(o)[-1]
    assert (resumed.kind, resumed.facts) == (EventKind.RESUMED, {"who": may if isinstance(may, str) else EVE})


def test_a_member_of_a_group_may_what_the_group_may(o: Ops) -> None:
    """Membership is asked of the door, by the group's id."""
    at(o, Phase.OVERLAPPING)
    stranger, member = Caller(EVE, lambda group: group == "S0OTHERS"), Caller(EVE, lambda group: group == "S0RELEASERS")
    refusal(o, lambda: o.engine().promote(WEB, who=stranger), Reason.NOT_PERMITTED)
    refusal(o, lambda: o.engine().roll_back(WEB, who=member), Reason.NOT_PERMITTED)
    assert o.engine().promote(WEB, who=member).facts == {"who": EVE}


# --- promote -----------------------------------------------------------------------------------------------


def test_two_approvals_are_two_people() -> None:
    """The same person twice is refused and told what is missing; the second person completes, a third is too late."""
    o = world(promotion={"by": "person", "approvals": 2})
    release = o.start()
    o.drive(release.id, until=Until.HELD)
    o.engine().promote(WEB, who=ANN)
    twice = refusal(o, lambda: o.engine().promote(WEB, who=ANN))
    assert "you have already promoted it" in str(twice)
    assert twice.hint == "1 more must promote it, too."
    held = o.drive(release.id, until=Until.HELD)
    assert held is not None
    assert held.phase is Phase.HOLDING
    o.engine().promote(WEB, who=BOB)
    late = refusal(o, lambda: o.engine().promote(WEB, who=ADMIN))
    assert f"was already promoted by {ANN} and {BOB}" in str(late)
    done = o.drive(release.id)
    assert done is not None
    assert (done.outcome, done.promoters) == (Outcome.LIVE, (ANN, BOB))


def test_two_ids_of_one_person_are_one_approval() -> None:
    """Whoever promoted in Slack does not complete it from a workflow or a terminal; somebody else does."""
    people = {"ann": ["U0ANN", "octocat", ADMIN_ARN]}
    o = world(promotion={"by": "person", "approvals": 2}, people=people)
    release = at(o, Phase.HOLDING, hold=True)
    o.engine().promote(WEB, who=ANN)
    for other in ("github:OctoCat", ADMIN_ARN):
        said = refusal(o, lambda w=other: o.engine().promote(WEB, who=w))  # type: ignore[misc]  # this turn's
        assert (said.what, said.hint) == (f"you have already promoted it, as {ANN}", "1 more must promote it, too.")
    o.engine().promote(WEB, who="github:hubot")
    assert o.engine().load(release.id).promoters == (ANN, "github:hubot")


def test_who_may_be_the_first_is_not_the_second() -> None:
    """Closed when in doubt: nobody said whose that login is."""
    o = world(promotion={"by": "person", "approvals": 2})
    at(o, Phase.HOLDING, hold=True)
    o.engine().promote(WEB, who=ANN)
    said = refusal(o, lambda: o.engine().promote(WEB, who="github:octocat"), Reason.NOT_PERMITTED)
    assert said.what == f"promotion.approvals asks for 2 people, and you may be {ANN}, who has promoted it"
    o.engine().promote(WEB, who=BOB)


def test_whoever_left_the_group_orders_no_more_and_what_they_ordered_stands() -> None:
    """The first approval was good when it was given."""
    o = world(promotion={"by": "person", "approvals": 3})
    release = at(o, Phase.HOLDING, hold=True)
    members = {EVE, "slack:U0MIA"}

    def by(who: str) -> Caller:
        return Caller(who, lambda group: group == "S0RELEASERS" and who in members)

    o.engine().promote(WEB, who=by(EVE))
    members.clear()
    refusal(o, lambda: o.engine().promote(WEB, who=by("slack:U0MIA")), Reason.NOT_PERMITTED)
    refusal(o, lambda: o.engine().promote(WEB, who=by(EVE)), Reason.NOT_PERMITTED)
    o.engine().promote(WEB, who=ANN)
    assert o.engine().load(release.id).promoters == (EVE, ANN)


@pytest.mark.parametrize("who", [ANN, "github:octocat", ADMIN_ARN])
def test_an_author_does_not_promote_by_any_door(who: str) -> None:
    """Whoever dispatched somebody else's commit does."""
    people = {"ann": ["U0ANN", "octocat", ADMIN_ARN], "bob": ["U0BOB", "hubot"]}
    o = world(promotion={"by": "person", "by_author": False}, people=people)
    release = at(o, Phase.HOLDING, hold=True, source={"author_login": "octocat", "author": "Bob"})
    said = refusal(o, lambda: o.engine().promote(WEB, who=who), Reason.NOT_PERMITTED)
    assert said.what == "promotion.by_author is false, and you are the author: github:octocat"
    refusal(o, lambda: o.engine().promote(WEB, who=f"{ADMIN}2"), Reason.NOT_PERMITTED)
    o.engine().promote(WEB, who=BOB)
    assert o.engine().load(release.id).promoters == (BOB,)


def test_an_image_from_before_has_the_author_of_its_commit() -> None:
    """Whoever brings it back is not the author; of an image that no release made they are."""
    o = world(promotion={"by": "person", "by_author": False}, people={"ann": ["U0ANN", "octocat"]})
    release = o.start(source={**SOURCE, "author_login": "octocat"})
    o.drive(release.id, until=Until.HELD)
    o.engine().promote(WEB, who="github:hubot")
    first = o.drive(release.id)
    assert first is not None
    again = o.engine().release_again(WEB, first.image, who=ON_CALL)
    assert (again.source["author_login"], again.commit, again.again) == ("octocat", GOOD, 1)
    settles(o, again, Outcome.ROLLED_BACK)
    older = o.engine().release_again(WEB, o.world.image, who=ON_CALL)
    assert older.source["author_login"] == ""
    assert authors_of(older) == (ON_CALL,)


@pytest.mark.parametrize("phase", [Phase.OVERLAPPING, Phase.HOLDING, *LATE])
def test_a_second_promotion_is_told_who_was_first(o: Ops, phase: Phase) -> None:
    """For as long as the release is under way; also whoever gave the first."""
    release = at(o, Phase.OVERLAPPING)
    o.engine().promote(WEB, who=ANN)
    enters(o, o.engine().load(release.id), phase)
    for who in (ANN, BOB):
        assert f"was already promoted by {ANN}" in str(refusal(o, lambda w=who: o.engine().promote(WEB, who=w)))  # type: ignore[misc]  # this turn's


@pytest.mark.parametrize(
    ("phase", "hint"),
    [
        *((phase, "It can be promoted once blue and green both serve.") for phase in EARLY),
        *((phase, "It has moved on.") for phase in (*LATE, Phase.ROLLING_BACK)),
    ],
)
def test_a_promotion_at_another_time_means_nothing(o: Ops, phase: Phase, hint: str) -> None:
    """It is not kept for later; the hint says whether later is worth while."""
    at(o, phase)
    refused = refusal(o, lambda: o.engine().promote(WEB, who=ANN))
    assert refused.what.startswith("cannot be promoted while ")
    assert refused.hint == hint


@pytest.mark.parametrize("phase", [Phase.OVERLAPPING, Phase.HOLDING])
def test_a_promotion_after_the_rollback_was_ordered_is_too_late(o: Ops, phase: Phase) -> None:
    """S7, before a driver has seen the order."""
    at(o, phase)
    o.engine().roll_back(WEB, who=ON_CALL)
    refusal(o, lambda: o.engine().promote(WEB, who=ANN))
    refusal(o, lambda: o.engine().hold(WEB, who=ANN))


@pytest.mark.parametrize("order", list(ORDERS))
@pytest.mark.parametrize("outcome", [Outcome.LIVE, Outcome.ROLLED_BACK])
def test_what_has_settled_takes_no_order(o: Ops, outcome: Outcome, order: str) -> None:
    """Neither by the service's name nor by what a card showed."""
    give, who, _ = ORDERS[order]
    release = settles(o, at(o, Phase.OVERLAPPING), outcome)
    by_name = Reason.MOVED_ON if order == "roll back" else Reason.NOTHING_TO_DO
    refusal(o, lambda: give(o.engine(), who), by_name)
    refusal(o, lambda: give(o.engine(), Caller(who, revision=release.revision)))


@pytest.mark.parametrize("order", list(ORDERS))
def test_nothing_to_order_about(o: Ops, order: str) -> None:
    """No release, no table, or a release that is not there."""
    give, who, _ = ORDERS[order]
    assert "no release is under way" in str(refusal(o, lambda: give(o.engine(), who), Reason.NOTHING_TO_DO))
    at(o, Phase.OVERLAPPING)
    refusal(o, lambda: give(o.engine(), Caller(who, revision=f"{WEB}#9|auto")), Reason.NOTHING_TO_DO)


# --- what was seen -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", list(ORDERS))
def test_an_order_about_what_is_shown_is_given(o: Ops, order: str) -> None:
    """The face of the release as it is."""
    give, who, kind = ORDERS[order]
    release = at(o, Phase.OVERLAPPING)
    event = give(o.engine(), Caller(who, revision=release.revision))
    assert (event.release, event.kind) == (release.id, kind)


@pytest.mark.parametrize("hold", [False, True])
def test_a_promotion_of_what_was_held_in_between_is_refused(o: Ops, hold: bool) -> None:
    """Whoever pressed did not know; the card of now can be pressed."""
    seen = at(o, Phase.OVERLAPPING)
    o.engine().hold(WEB, who=ON_CALL)
    give = o.engine().hold if hold else o.engine().promote
    refused = refusal(o, lambda: give(WEB, who=Caller(ANN, revision=seen.revision)))
    assert (refused.what, refused.where) == ("has moved on since", seen.id)
    now = o.engine().load(seen.id)
    assert now.revision != seen.revision
    assert o.engine().promote(WEB, who=Caller(ANN, revision=now.revision)).facts == {"who": ANN}


@pytest.mark.parametrize("order", list(ORDERS))
def test_an_old_card_orders_nothing_of_the_next_release(o: Ops, order: str) -> None:
    """It speaks of the release that it showed, which has settled."""
    give, who, _ = ORDERS[order]
    old = settles(o, at(o, Phase.OVERLAPPING), Outcome.ROLLED_BACK)
    new = at(o, Phase.OVERLAPPING)
    refused = refusal(o, lambda: give(o.engine(), Caller(who, revision=old.revision)))
    assert refused.where == old.id
    assert give(o.engine(), Caller(who, revision=new.revision)).release == new.id


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase.can_roll_back])
def test_the_way_back_is_open_to_every_card_of_the_release(phase: Phase) -> None:
    """In every phase that has one, even when a hold came in between; blue serves alone in the end."""
    o = world()
    release = o.start()
    ordered: list[Event] = []

    def order(seen: Release) -> None:
        engine = o.engine()
        if seen.phase is Phase.OVERLAPPING and not seen.hold and phase in (Phase.OVERLAPPING, Phase.HOLDING):
            engine.hold(WEB, who=ANN)
        if seen.phase is phase and not ordered:
            ordered.append(engine.roll_back(WEB, who=Caller(ON_CALL, revision=release.revision), why="it is slow"))

    done = o.drive(release.id, when=order)
    assert done is not None
    assert ordered[0].facts == {"who": ON_CALL, "why": "it is slow"}
    assert (done.outcome, done.reason, done.left) == (Outcome.ROLLED_BACK, Reason.ORDERED, phase)
    assert o.wrong(done) == []


def test_whose_account_it_is_keeps_no_order_waiting(o: Ops) -> None:
    """A driver that begins asks once; AWS that swallows it has answered nobody, and the release goes back."""
    release = o.start()
    o.engine().roll_back(WEB, who=ON_CALL)
    o.aws.faults.swallow("sts:GetCallerIdentity", times=None)
    done = o.drive(release.id)
    assert done is not None
    assert done.outcome is Outcome.ROLLED_BACK
    assert [call.error for call in o.aws.calls if call.name == "sts:GetCallerIdentity"][-2:] == [None, "Swallowed"]


@pytest.mark.parametrize("revision", [False, True])
@pytest.mark.parametrize(
    ("phase", "says"), [(Phase.RETIRING, "blue is retired"), (Phase.ROLLING_BACK, "is already rolled back")]
)
def test_where_there_is_no_way_back_the_other_way_is_named(o: Ops, phase: Phase, says: str, revision: bool) -> None:
    """Once blue is being emptied its image is; a rollback that goes on needs no second order."""
    release = at(o, phase)
    if phase is Phase.RETIRING:
        happens(o, release, EventKind.BEGAN, verb=Verb.EMPTY_BLUE)
    refused = refusal(
        o, lambda: o.engine().roll_back(WEB, who=Caller(ON_CALL, revision=release.revision if revision else ""))
    )
    assert says in refused.what
    assert (f"Once it has settled, `bluegreen release --ami {o.world.image} --cure`" in refused.hint) is (
        phase is Phase.RETIRING
    )


def test_what_failed_can_be_rolled_back_by_its_card(o: Ops) -> None:
    """It is under way again; and nothing else can be ordered of it."""
    failed = settles(o, at(o, Phase.OVERLAPPING), Outcome.FAILED)
    refusal(o, lambda: o.engine().promote(WEB, who=Caller(ANN, revision=failed.revision)))
    refusal(o, lambda: o.engine().hold(WEB, who=Caller(ANN, revision=failed.revision)))
    o.engine().roll_back(WEB, who=Caller(ON_CALL, revision=failed.revision))
    (status,) = o.engine().status()
    assert status.record.under_way == failed.number
    assert o.engine().load(failed.id).rollback_pending


# --- hold --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", [*EARLY, Phase.OVERLAPPING])
def test_a_release_is_held_before_it_switches(o: Ops, phase: Phase) -> None:
    """Once: the second is told that it waits already."""
    release = at(o, phase)
    o.engine().hold(WEB, who=ON_CALL)
    held = o.engine().load(release.id)
    assert (held.hold, held.held_by, held.phase) == (True, ON_CALL, phase)
    assert refusal(o, lambda: o.engine().hold(WEB, who=ANN)).what == "already waits for a promotion"


@pytest.mark.parametrize("phase", [*EARLY, Phase.OVERLAPPING, Phase.HOLDING])
def test_what_is_held_from_its_start_needs_no_hold(o: Ops, phase: Phase) -> None:
    """By the configuration, or by whoever started it."""
    at(o, phase, hold=True)
    assert refusal(o, lambda: o.engine().hold(WEB, who=ANN)).what == "already waits for a promotion"


@pytest.mark.parametrize("phase", [*LATE, Phase.ROLLING_BACK])
def test_it_is_too_late_to_hold(o: Ops, phase: Phase) -> None:
    """Green serves alone, or will in a moment."""
    at(o, phase)
    said = refusal(o, lambda: o.engine().hold(WEB, who=ANN)).what
    assert said == f"cannot be held while {phase.value.replace('_', ' ')}"


@pytest.mark.parametrize("phase", LATE)
def test_it_is_too_late_to_hold_what_was_held(o: Ops, phase: Phase) -> None:
    """It waits for nobody any more."""
    enters(o, at(o, Phase.HOLDING, hold=True), phase)
    assert "waits for a promotion" not in refusal(o, lambda: o.engine().hold(WEB, who=ANN)).what


def test_it_is_too_late_to_hold_what_was_promoted(o: Ops) -> None:
    """The promotion stands, although both still serve."""
    release = at(o, Phase.OVERLAPPING)
    o.engine().promote(WEB, who=ANN)
    refusal(o, lambda: o.engine().hold(WEB, who=ON_CALL))
    assert o.engine().load(release.id).promoters == (ANN,)


def test_a_driver_heeds_a_hold() -> None:
    """Ordered while both serve: the release waits where it would have gone on, until a person promotes."""
    o = world()
    release = o.start()
    both = once(has(Verb.JOIN_GREEN, done=True), lambda: o.engine().hold(WEB, who=ON_CALL))
    held = o.drive(release.id, until=Until.HELD, when=both)
    assert held is not None
    assert (held.phase, held.outcome) == (Phase.HOLDING, None)
    assert o.serving() == {held.blue_group, held.green_group}
    o.engine().promote(WEB, who=ANN)
    done = o.drive(release.id)
    assert done is not None
    assert done.outcome is Outcome.LIVE
    assert o.wrong(done) == []


# --- once --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("revision", [False, True])
@pytest.mark.parametrize("order", list(ORDERS))
def test_a_request_acts_once(o: Ops, order: str, revision: bool) -> None:
    """Delivered again, to this process or another, it is the same event, although the release is past it."""
    give, who, kind = ORDERS[order]
    release = at(o, Phase.OVERLAPPING)
    caller = Caller(who, request="trigger-1", revision=release.revision if revision else "")
    first = give(o.engine(), caller)
    happens(o, release, EventKind.BLINDED, code="X", message="")
    assert give(o.engine(), caller) == first
    assert first.facts == {"who": who, "request": "trigger-1", **({"why": ""} if order == "roll back" else {})}
    assert kinds(o.engine().events(release.id)).count(kind) == 1


@pytest.mark.parametrize("order", list(ORDERS))
def test_a_request_that_two_threads_deliver_acts_once(o: Ops, order: str) -> None:
    """Both get the same event."""
    give, who, kind = ORDERS[order]
    release = at(o, Phase.OVERLAPPING)
    engines = [o.engine() for _ in range(4)]
    for engine in engines:
        engine.services()
    gate, got, lock = threading.Barrier(len(engines)), list[Event](), threading.Lock()

    def deliver(engine: Engine) -> None:
        gate.wait()
        event = give(engine, Caller(who, request="trigger-1", revision=release.revision))
        with lock:
            got.append(event)

    threads = [threading.Thread(target=deliver, args=(engine,)) for engine in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == len(engines)
    assert all(event == got[0] for event in got)
    assert kinds(o.engine().events(release.id)).count(kind) == 1


def test_a_request_that_comes_again_late_does_nothing_to_the_next_release(o: Ops) -> None:
    """The process died before it answered; when the request comes again, another release is under way."""
    caller = Caller(ON_CALL, request="trigger-1")
    first = at(o, Phase.OVERLAPPING)
    o.engine().roll_back(WEB, who=caller)
    settles(o, o.engine().load(first.id), Outcome.ROLLED_BACK)
    second = at(o, Phase.OVERLAPPING)
    o.engine().roll_back(WEB, who=caller)
    assert not o.engine().load(second.id).rollback_pending


def test_another_request_is_another_order() -> None:
    """Two people who press at once are two approvals; one who presses twice is told."""
    o = world(promotion={"by": "person", "approvals": 2})
    release = at(o, Phase.HOLDING)
    o.engine().promote(WEB, who=Caller(ANN, request="1"))
    refusal(o, lambda: o.engine().promote(WEB, who=Caller(ANN, request="2")))
    o.engine().promote(WEB, who=Caller(BOB, request="3"))
    assert o.engine().load(release.id).promoters == (ANN, BOB)


# --- the image before --------------------------------------------------------------------------------------


def test_before_any_release_nothing_was_before(o: Ops) -> None:
    """Neither to be looked up nor to be released again."""
    assert "no service has releases" in str(
        refusal(o, lambda: o.engine().previous(WEB, who=ADMIN), Reason.NOTHING_TO_DO)
    )
    o.engine().freeze(WEB, who=ADMIN, why="")  # the service is known, and yet nothing was released
    refusal(o, lambda: o.engine().previous(WEB, who=ADMIN), Reason.NOTHING_TO_DO)
    refusal(o, lambda: o.engine().release_again(WEB, "ami-1", who=ADMIN), Reason.NOTHING_TO_DO)


def test_aws_that_cannot_be_asked_for_what_was_lost_is_no_news(o: Ops) -> None:
    """The order is refused for its own reason."""
    lives(o)
    o.world.client("dynamodb").delete_table(TableName=o.engine().table)
    o.aws.faults.deny("autoscaling:DescribeAutoScalingGroups")
    refused = refusal(o, lambda: o.engine().previous(WEB, who=ADMIN), Reason.NOTHING_TO_DO)
    assert refused.what == "no service has releases"


def test_what_came_before(o: Ops) -> None:
    """First the image that the group ran, then the release before, and it comes back although all is frozen."""
    first = lives(o, source=SOURCE)
    assert first.blue_image == o.world.image
    before = o.engine().previous(WEB, who=ON_CALL)
    assert (before.release.id, before.image, before.number, before.commit) == (first.id, o.world.image, None, "")
    second = lives(o, commit="c0ffee02bbbb", source=SOURCE)
    assert second.blue_image == first.image
    before = o.engine().previous(WEB, who=ON_CALL)
    assert (before.release.id, before.image, before.number, before.commit) == (second.id, first.image, 1, GOOD)
    refused = refusal(o, lambda: o.engine().roll_back(WEB, who=ON_CALL))
    assert refused.hint == f"`bluegreen rollback {WEB} --to 1` releases {first.image} again."

    o.engine().freeze(WEB, who=ANN, why="big sale")
    refusal(o, o.start, Reason.FROZEN)
    again = o.engine().release_again(WEB, before.image, who=Caller(ON_CALL, request="t-1"), title="release 1 again")
    assert (again.number, again.image, again.started_by, again.commit) == (3, first.image, ON_CALL, GOOD)
    said = wording.sentence(o.engine().events(again.id)[0], again)
    assert f"with image {first.image} of #1, all else as it is now, from" in said
    assert again.config == second.config
    kept = {key: SOURCE[key] for key in ("repository", "server", "workflow")}
    assert again.source == {**again.source, **kept, "title": "release 1 again"}
    assert o.engine().release_again(WEB, before.image, who=Caller(ON_CALL, request="t-1")).id == again.id
    done = o.drive(again.id)
    assert done is not None
    assert done.outcome is Outcome.LIVE
    assert Verb.START_BUILDER not in done.began
    assert {o.machines.commit(i) for i in o.aws.routes(o.world.target_group)} == {GOOD}
    refusal(o, o.start, Reason.FROZEN)
    assert o.engine().previous(WEB, who=ON_CALL).number == 2


def drop(o: Ops, image: str) -> None:
    """The image no longer exists, as when `keep` has removed it."""
    o.world.client("ec2").deregister_image(ImageId=image)


def test_only_what_is_still_there_is_offered(o: Ops) -> None:
    """Everywhere where an earlier image is offered: one whose image is gone is passed over, and said to be gone."""
    first, second = lives(o), lives(o, commit="c0ffee02bbbb")
    third = lives(o, commit="c0ffee03cccc")
    assert (third.back, third.back_image) == (2, second.image)
    drop(o, second.image)
    rows = o.engine().history(WEB)
    kept = o.engine().kept(rows)
    assert kept.there == {third.image: True, second.image: False, first.image: True}
    assert [row.number for row in rows if kept.gone(row.image)] == [2]
    assert o.engine().previous(WEB, who=ON_CALL).number == 1
    refused = refusal(o, lambda: o.engine().roll_back(WEB, who=ON_CALL))
    assert refused.hint == f"`bluegreen rollback {WEB} --to 1` releases {first.image} again."
    with pytest.raises(ConfigError) as gone:
        o.engine().image_of(WEB, 2)
    listed = f"`bluegreen history {WEB}` shows which images still exist."
    said = f"the image {second.image} of {WEB}#2 no longer exists. `bluegreen rollback {WEB} --to 1` releases"
    assert str(gone.value) == f"{said} {first.image} again; {listed}"
    assert o.engine().image_of(WEB, 1) == first.image
    drop(o, first.image)
    for number in (1, 7):
        with pytest.raises(ConfigError) as gone:
            o.engine().image_of(WEB, number)
        assert gone.value.hint == listed
    drop(o, o.world.image)
    refused = refusal(o, lambda: o.engine().previous(WEB, who=ON_CALL), Reason.NOTHING_TO_DO)
    assert refused.what == f"the previous image, {second.image}, no longer exists"


def test_aws_that_cannot_be_asked_keeps_no_list_back(o: Ops) -> None:
    """What is offered is then as the journal has it, and the list says that nobody could tell."""
    first, _ = lives(o), lives(o, commit="c0ffee02bbbb")
    o.aws.faults.deny("ec2:DescribeImages")
    kept = o.engine().kept(o.engine().history(WEB))
    assert kept.there == {}
    assert "DescribeImages" in kept.untold
    assert not kept.gone(first.image)
    assert o.engine().image_of(WEB, 1) == first.image
    assert o.engine().kept([]) == Kept({})


def test_an_image_that_the_journal_does_not_know(o: Ops) -> None:
    """A template may name its image elsewhere, and older releases did not note it."""
    release = o.start()
    facts = {**o.engine().events(release.id)[0].facts, "service": "api/production", "number": 1, "blue_image": ""}
    opened = journal(o).open("api/production", lambda number: facts, o.clock.now())
    journal(o).append(opened.release, 2, EventKind.ENTERED, {"phase": Phase.RETIRING}, o.clock.now())
    refused = refusal(o, lambda: o.engine().previous("api/production", who=ON_CALL), Reason.NOTHING_TO_DO)
    assert "the previous image is unknown" in str(refused)


def test_after_a_rollback_what_was_before_is_not_what_is_live(o: Ops) -> None:
    """Release 2 was rolled back, release 1 serves: its image is nothing to go back to."""
    first = lives(o)
    done = o.drive(o.start(commit="c0ffee02bbbb").id, when=back_in_the_launch(o))
    assert done is not None
    assert done.outcome is Outcome.ROLLED_BACK
    assert o.serving() == {first.green_group}
    refused = refusal(o, lambda: o.engine().previous(WEB, who=ON_CALL), Reason.NOTHING_TO_DO)
    assert "is not live, so there is no earlier image" in str(refused)


@pytest.mark.parametrize("who", [ANN, EVE, "U0ONCALL", "slack:"])
def test_to_release_again_is_for_those_who_may_roll_back(o: Ops, who: str) -> None:
    """Who may promote may not; nothing is started."""
    settles(o, at(o, Phase.OVERLAPPING), Outcome.ROLLED_BACK)
    for order in (
        lambda: o.engine().previous(WEB, who=who),
        lambda: o.engine().release_again(WEB, o.world.image, who=who),
    ):
        assert isinstance(refusal(o, order, Reason.NOT_PERMITTED), NotPermitted)
    assert len(o.engine().history(WEB)) == 1
    assert o.engine().release_again(WEB, o.world.image, who=ON_CALL).number == 2


def test_to_release_again_waits_for_the_release_under_way(o: Ops) -> None:
    """One at a time, frozen or not."""
    at(o, Phase.OVERLAPPING)
    o.engine().freeze(WEB, who=ANN, why="")
    refusal(o, lambda: o.engine().release_again(WEB, o.world.image, who=ON_CALL), Reason.UNDER_WAY)


# --- the workflow ------------------------------------------------------------------------------------------


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    """Where the workflow runs."""
    made = FakeGitHub(description(), token="ghs_right")
    yield made
    made.close()
    assert made.violations == []


def dispatch(o: Ops, github: FakeGitHub, who: str | Caller = ANN, ref: str = "") -> str:
    """Start the workflow; the address of its run."""
    return o.engine().dispatch(WEB, ref=ref, who=who, token="ghs_right", api=github.url).url


def test_the_workflow_that_released_last_is_started(o: Ops, github: FakeGitHub) -> None:
    """On its branch, or for what was named; the journal writes nothing, that is the workflow's business."""
    settles(o, at(o, Phase.OVERLAPPING, source=SOURCE), Outcome.ROLLED_BACK)
    before = written(o)
    assert dispatch(o, github) == "https://github.com/acme/web/actions/runs/1"
    dispatch(o, github, ref=COMMIT)
    assert [(one["workflow"], one["ref"], one["inputs"].get("commit")) for one in github.dispatches] == [
        ("release.yml", "trunk", None),
        ("release.yml", "trunk", COMMIT),
    ]
    assert written(o) == before


def test_the_workflow_is_known_after_an_image_was_released_again(o: Ops, github: FakeGitHub) -> None:
    """The way back does not cut off the way forward."""
    settles(o, at(o, Phase.OVERLAPPING, source=SOURCE), Outcome.ROLLED_BACK)
    settles(o, o.engine().release_again(WEB, o.world.image, who=ON_CALL), Outcome.ROLLED_BACK)
    dispatch(o, github)
    assert github.dispatches[0]["workflow"] == "release.yml"


def test_the_branch_is_known_after_an_image_was_released_again(o: Ops, github: FakeGitHub) -> None:
    """Not every repository has a `main`."""
    settles(o, at(o, Phase.OVERLAPPING, source=SOURCE), Outcome.ROLLED_BACK)
    settles(o, o.engine().release_again(WEB, o.world.image, who=ON_CALL), Outcome.ROLLED_BACK)
    dispatch(o, github)
    assert github.dispatches[0]["ref"] == "trunk"


def test_the_workflow_is_known_after_a_release_by_hand(o: Ops, github: FakeGitHub) -> None:
    """The refusal says that no release came from a workflow, and one did."""
    settles(o, at(o, Phase.OVERLAPPING, source=SOURCE), Outcome.ROLLED_BACK)
    settles(o, at(o, Phase.OVERLAPPING), Outcome.ROLLED_BACK)
    dispatch(o, github)


@pytest.mark.parametrize("released", [False, True])
def test_a_service_whose_workflow_is_not_known(o: Ops, github: FakeGitHub, released: bool) -> None:
    """Never released, or from the command line."""
    if released:
        settles(o, at(o, Phase.OVERLAPPING), Outcome.ROLLED_BACK)
    with pytest.raises(ConfigError, match="no GitHub workflow has released it yet"):
        dispatch(o, github)
    assert github.asked == []


def test_a_release_that_may_not_start_is_not_dispatched(o: Ops, github: FakeGitHub) -> None:
    """Not permitted, under way, frozen: told before GitHub is asked."""
    release = at(o, Phase.OVERLAPPING, source=SOURCE)
    refusal(o, lambda: dispatch(o, github, EVE), Reason.NOT_PERMITTED)
    refusal(o, lambda: dispatch(o, github, ON_CALL), Reason.NOT_PERMITTED)
    refusal(o, lambda: dispatch(o, github), Reason.UNDER_WAY)
    settles(o, release, Outcome.ROLLED_BACK)
    o.engine().freeze(WEB, who=ANN, why="big sale")
    assert "big sale" in str(refusal(o, lambda: dispatch(o, github), Reason.FROZEN))
    assert github.asked == []
    o.engine().unfreeze(WEB, who=ANN)
    dispatch(o, github, Caller(EVE, lambda group: group == "S0RELEASERS"))
    assert len(github.dispatches) == 1


# --- freeze ------------------------------------------------------------------------------------------------


def freeze_of(o: Ops) -> Freeze | None:
    """What the journal says."""
    records = o.engine().services()
    return records[0].freeze if records else None


@pytest.mark.parametrize("who", [ANN, ADMIN, Caller(EVE, lambda group: group == "S0RELEASERS")])
def test_a_freeze_is_for_those_who_may_promote(o: Ops, who: str | Caller) -> None:
    """With its reason and its end; whoever lifts it learns whether there was one."""
    at(o, Phase.OVERLAPPING)
    name = who if isinstance(who, str) else who.who
    o.engine().freeze(WEB, who=who, why="big sale", until=o.clock.now() + 60)
    assert freeze_of(o) == Freeze(name, "big sale", o.clock.now(), o.clock.now() + 60)
    assert o.engine().unfreeze(WEB, who=who)
    assert freeze_of(o) is None
    assert not o.engine().unfreeze(WEB, who=who)


@pytest.mark.parametrize("who", [ON_CALL, EVE, "U0ANN", "slack:", ""])
def test_others_neither_freeze_nor_lift(o: Ops, who: str) -> None:
    """What stands stays."""
    at(o, Phase.OVERLAPPING)
    refusal(o, lambda: o.engine().freeze(WEB, who=who, why=""), Reason.NOT_PERMITTED)
    assert freeze_of(o) is None
    o.engine().freeze(WEB, who=ANN, why="big sale")
    refusal(o, lambda: o.engine().freeze(WEB, who=who, why="mine"), Reason.NOT_PERMITTED)
    refusal(o, lambda: o.engine().unfreeze(WEB, who=who), Reason.NOT_PERMITTED)
    freeze = freeze_of(o)
    assert freeze is not None
    assert freeze.why == "big sale"


def test_a_service_without_a_release_is_frozen_from_the_command_line_alone(o: Ops) -> None:
    """Nobody knows its lists."""
    refusal(o, lambda: o.engine().freeze(WEB, who=ANN, why=""), Reason.NOT_PERMITTED)
    o.engine().freeze(WEB, who=ADMIN, why="")
    refusal(o, lambda: o.engine().unfreeze(WEB, who=ANN), Reason.NOT_PERMITTED)
    refusal(o, o.start, Reason.FROZEN)
    assert o.engine().unfreeze(WEB, who=ADMIN)


# --- what doors remember -----------------------------------------------------------------------------------


@pytest.mark.parametrize("ahead", [(60, 0), (-60, 0), (0, 60), (0, -60), (60, -60), (-60, 60)], ids=str)
def test_clocks_that_differ_take_nothing_that_is_kept(o: Ops, ahead: tuple[float, float]) -> None:
    """A duty ends when it ends by the table's time, for whoever has it and whoever wants it."""
    o.start()
    ann, bob = (
        Engine(session=o.aws.session(), clock=Skewed(o.clock, off), holder=name)
        for name, off in zip(("ann", "bob"), ahead, strict=True)
    )
    first = ann.take_leadership("follow", 30)
    assert first is not None
    for _ in range(6):
        o.clock.sleep(9.7)
        assert bob.take_leadership("follow", 30) is None
        first = ann.keep_leadership(first)
    o.clock.sleep(29)
    assert bob.take_leadership("follow", 30) is None
    o.clock.sleep(5)
    assert bob.take_leadership("follow", 30) is not None
    with pytest.raises(LeaseLost):
        ann.keep_leadership(first)


def test_a_duty_is_one_processs_at_a_time(o: Ops) -> None:
    """Kept while it is renewed, passed on when it is dropped or lapses; a note by the older duty is not taken."""
    release = o.start()
    ann, bob = (Engine(session=o.aws.session(), clock=o.clock, holder=name) for name in ("ann", "bob"))
    first = ann.take_leadership("follow", 20)
    assert first is not None
    assert bob.take_leadership("follow", 20) is None
    assert ann.note(release.id, "card", {"ts": "1"}, first)
    o.clock.sleep(15)
    first = ann.keep_leadership(first)
    o.clock.sleep(15)
    assert bob.take_leadership("follow", 20) is None
    o.clock.sleep(10)
    second = bob.take_leadership("follow", 20)
    assert second is not None
    assert bob.note(release.id, "card", {"ts": "2"}, second)
    assert not ann.note(release.id, "card", {"ts": "1"}, first)
    with pytest.raises(LeaseLost):
        ann.keep_leadership(first)
    assert ann.noted(release.id, "card") == {"ts": "2"}
    assert ann.noted(release.id, "thread") is None
    bob.drop_leadership(second)
    assert ann.take_leadership("follow", 20) is not None
    assert o.engine().driver(release.id) == ""


def test_the_first_answer_is_the_answer(o: Ops) -> None:
    """For every process."""
    o.engine().ensure_table()
    assert o.engine().answered("trigger-1") is None
    assert o.engine().answer("trigger-1", {"text": "Promoted."}) == {"text": "Promoted."}
    assert o.engine().answer("trigger-1", {"text": "was promoted already"}) == {"text": "Promoted."}
    assert o.engine().answered("trigger-1") == {"text": "Promoted."}
