"""The short way: over a blue that is not whole, and back to what was live before."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bluegreen import phases
from bluegreen.aws_commands import delete_group, delete_version
from bluegreen.events import Awaited, EventKind, Outcome, Phase, Reason, Verb
from bluegreen.observation import CheckResult, Group, Instance, in_target_groups
from bluegreen.phases import Act, Enter, Rest, RollBack, Wait
from bluegreen.phases.decision import leftovers
from bluegreen.phases.takeover import remaining, taken_along
from tests.worlds.release import BEFORE, TG, Stage, group

ILL = "the group web-asg is not completely healthy: web-asg-3 is unhealthy in web"
GREEN, FAILED = "web-production-v42", "web/production#42"
GREEN_LEFT: dict[str, Any] = {"group": GREEN, "of": FAILED, "keep": False}
OLD: dict[str, Any] = {"group": "old", "of": "web/production#41", "keep": False}
OLD_VERSION: dict[str, Any] = {"group": "old", "of": "web/production#41", "template": "lt-1", "version": 6}
DELETE_OLD_VERSION = f"version 6 of the launch template lt-1: {delete_version('lt-1', 6)}"
NOTHING_DUE: dict[str, Any] = {"suspended": [], "schedules": [], "scheduled_until": None}
REST = {"group": "old", "release": FAILED, "token": "old"}
CHECKS: list[dict[str, Any]] = [
    {"name": "unit", "run": "true", "every": 1},
    {"name": "home", "http": "https://web.example.com", "every": 1},
    {"name": "errors", "alarm": "web-5xx", "every": 1},
]


def cure(*, healthy: int = 0, borne: int = 0, **more: Any) -> Stage:
    """Green in service beside a blue of four of which so many are healthy; `borne` were when it began."""
    started = {"cure": ILL, "borne": borne, **more.pop("started", {})}
    s = Stage(started=started, **more).launched()
    return ailing(s, healthy)


def ailing(s: Stage, healthy: int, *, green: str = "") -> Stage:
    """So many of blue are healthy, and all of green in that state."""
    assert s.seen.blue is not None
    s.targets(blue="unhealthy", **({"green": green} if green else {}))
    (home,) = s.release.blue_targets
    members = {i.id: "healthy" for i in s.seen.blue.instances[:healthy]}
    return s.sees(targets={**s.seen.targets, home: {**s.seen.targets[home], **members}}).notices()


def joined(s: Stage, healthy: int) -> Stage:
    """Green has joined and is seen healthy twice beside it."""
    s.enters(Phase.CHECKING).enters(Phase.OVERLAPPING).did(Verb.JOIN_GREEN).attach("green")
    return ailing(ailing(s, healthy, green="healthy").passes(5), healthy, green="healthy")


def ended(s: Stage) -> Rest:
    """It is over."""
    decision = s.decision
    assert isinstance(decision, Rest)
    return decision


def awaited(s: Stage) -> Awaited | None:
    """What is waited for."""
    decision = s.decision
    return decision.awaited if isinstance(decision, Wait) else None


def test_two_looks_and_the_sick_are_out() -> None:
    """No overlap; each look must show all of green; other than after the usual three."""
    s = cure(healthy=2, borne=2)
    s.enters(Phase.CHECKING).enters(Phase.OVERLAPPING).did(Verb.JOIN_GREEN).attach("green")
    ailing(s, 2, green="healthy")
    assert isinstance(s.decision, Wait)
    ailing(s.passes(5), 2, green="healthy")
    assert s.decision == Enter(Phase.SWITCHING)
    assert s.enters(Phase.SWITCHING).verb is Verb.TAKE_BLUE_OUT


def test_by_weights_green_gets_everything_in_one_step() -> None:
    """It was healthy in the idle target group before; shares beside the sick are left out."""
    s = cure(steps=[10, 50])
    s.enters(Phase.CHECKING).did(Verb.SHIFT, share=0).did(Verb.JOIN_GREEN).attach("green")
    ailing(ailing(s, 0, green="healthy").passes(5), 0, green="healthy")
    assert s.decision == Enter(Phase.OVERLAPPING)
    assert s.enters(Phase.OVERLAPPING).decision == Enter(Phase.SWITCHING)
    assert s.enters(Phase.SWITCHING).decision == Act(Verb.SHIFT, share=100)


def test_a_way_back_is_as_short() -> None:
    """Blue is whole, and known to be worse."""
    s = joined(Stage(started={"goes_back": True}).launched(), 4)
    assert s.decision == Enter(Phase.SWITCHING)


def test_only_green_is_asked_before_the_switch() -> None:
    """A page and an alarm may show what blue does; once green serves alone they count, from then on."""
    s = joined(cure(checks=CHECKS), 0)
    sick = [CheckResult(name, False, "503", s.now) for name in ("home", "errors")]
    for _ in range(2):
        s.passes(5).sees(checks=(CheckResult("unit", True, "0", s.now), *sick), at=s.now).notices()
    assert set(s.release.checks) == {"targets", "unit"}
    assert s.decision == Enter(Phase.SWITCHING)
    s.enters(Phase.SWITCHING).did(Verb.TAKE_BLUE_OUT).detach("blue").targets(blue="draining", green="healthy")
    s.passes(1000).enters(Phase.SOAKING)
    assert s.checks("home", times=1, passed=False).decision == Wait(Awaited.SOAK, 5.0, s.release.in_phase_since + 900)
    assert "home did not hold within 5m" in ended(s.passes(300)).message


def test_by_weights_a_page_is_green_s_before_it_has_traffic() -> None:
    """The preview shows green alone."""
    s = cure(steps=[10], checks=[{**CHECKS[1], "when": ["checking"]}])
    s.enters(Phase.CHECKING).did(Verb.SHIFT, share=0).did(Verb.JOIN_GREEN).attach("green")
    s.sees(checks=(CheckResult("home", True, "200", s.now),)).notices()
    assert set(s.release.checks) == {"home", "targets"}


@pytest.mark.parametrize("borne", [0, 2])
def test_before_the_switch_going_back_removes_green_alone(borne: int) -> None:
    """While it boots, and once it has joined and serves nobody: blue serves as it did."""
    assert cure(healthy=borne, borne=borne).rolls_back().verb is Verb.DELETE_GREEN
    s = joined(cure(healthy=borne, borne=borne), borne)
    ailing(s, borne, green="unhealthy")
    assert s.rolls_back().verb is Verb.TAKE_GREEN_OUT


def test_blue_that_bears_what_it_bore_lets_a_healthy_green_go() -> None:
    """The person who orders it decides."""
    assert joined(cure(healthy=2, borne=2), 2).rolls_back().verb is Verb.TAKE_GREEN_OUT


def test_a_green_that_was_given_no_weight_goes_although_nobody_else_serves() -> None:
    """Blue has all the traffic, ill as it is: nobody is served worse. Once green has a share it stays."""
    s = cure(steps=[10]).enters(Phase.CHECKING).did(Verb.SHIFT, share=0).did(Verb.JOIN_GREEN).attach("green")
    ailing(s, 0, green="healthy").enters(Phase.SWITCHING).rolls_back()
    assert s.verb is Verb.TAKE_GREEN_OUT
    assert awaited(s.gives(100)) is Awaited.BLUE_HEALTHY


def test_a_green_that_must_stay_beside_what_is_ill_is_named_with_what_ends_it() -> None:
    """A rollback would end as this one did."""
    s = joined(cure(), 0).rolls_back().passes(600)
    (named,) = (said for said in ended(s).left if said.startswith("group "))
    assert named == f"group {GREEN}, which gets traffic beside web-asg: a release with `--cure` takes out both"


@pytest.mark.parametrize(("healthy", "borne"), [(1, 2), (0, 0)])
def test_green_stays_when_fewer_would_serve_without_it(healthy: int, borne: int) -> None:
    """S1 and S3: blue has become worse, or nobody else serves at all."""
    s = joined(cure(healthy=borne, borne=borne), healthy).rolls_back()
    assert s.decision == Wait(Awaited.BLUE_HEALTHY, 5.0)
    assert ended(s.passes(600)).reason is Reason.BLUE_UNHEALTHY


def switched(s: Stage, healthy: int) -> Stage:
    """Blue was taken out when so many of it were healthy, and green serves alone."""
    ailing(joined(s, healthy), healthy, green="healthy").enters(Phase.SWITCHING).did(Verb.TAKE_BLUE_OUT)
    s.detach("blue").targets(blue="draining", green="healthy").notices()
    return s.enters(Phase.SOAKING)


def test_nothing_returns_to_a_blue_that_was_ill_when_it_was_taken_out() -> None:
    """Green that fails then calls for a person, and says that it still serves (S11)."""
    s = switched(cure(healthy=1, borne=1, checks=[CHECKS[0]]), 1)
    assert not (s.release.can_return or s.release.returnable or s.release.can_roll_back)
    found = ended(s.checks("unit").checks("unit", passed=False))
    assert (found.outcome, found.reason) == (Outcome.FAILED, Reason.CHECK_FAILED)
    assert found.message.endswith("web-asg was unhealthy when it left, so green stays as it is")
    denied = phases.blind(s.release, s.now, denied=True, message="no")
    assert isinstance(denied, Rest)


@pytest.mark.parametrize("steps", [(), (10,)], ids=["shared", "weighted"])
def test_green_that_falls_ill_before_an_ill_blue_is_emptied_ends_the_release(steps: tuple[int, ...]) -> None:
    """Nothing here helps any more: waiting would only keep the next cure out."""
    s = cure(healthy=0, borne=0, **({"steps": [*steps]} if steps else {}))
    s.enters(Phase.CHECKING).did(Verb.SHIFT, share=0).did(Verb.JOIN_GREEN).attach("green")
    ailing(s, 0, green="healthy").enters(Phase.OVERLAPPING).enters(Phase.SWITCHING)
    if steps:
        s.shifted(100)
    else:
        s.did(Verb.TAKE_BLUE_OUT).detach("blue")
    s.enters(Phase.SOAKING).enters(Phase.RETIRING)
    for _ in range(3):
        s.targets(blue="draining", green="unhealthy").passes(5).notices()
    found = ended(s)
    assert (found.outcome, found.reason) == (Outcome.FAILED, Reason.CHECK_FAILED)
    assert found.message == "0 of 4 of green healthy and there is no rollback to web-asg, which was unhealthy"


def test_blue_that_became_whole_before_it_was_taken_out_is_returned_to() -> None:
    """One that was only growing when the release began, say."""
    s = switched(cure(healthy=3, borne=3, checks=[CHECKS[0]]), 4)
    assert s.release.can_return
    assert isinstance(s.checks("unit").checks("unit", passed=False).decision, RollBack)
    assert s.rolls_back().verb is Verb.JOIN_BLUE


def test_by_weights_blue_is_seen_to_become_whole_after_the_switch() -> None:
    """It never leaves its target group."""
    s = cure(steps=[10]).enters(Phase.CHECKING).did(Verb.SHIFT, share=0).did(Verb.JOIN_GREEN).attach("green")
    ailing(s, 0, green="healthy").enters(Phase.OVERLAPPING).enters(Phase.SWITCHING).shifted(100).enters(Phase.SOAKING)
    assert not s.release.can_return
    assert ailing(s, 4, green="healthy").release.can_return


def test_green_has_a_size_although_blue_has_none() -> None:
    """Blue at size 0 is never whole at that size."""
    s = Stage(started={"cure": ILL, "wanted": 3}).enters(Phase.LAUNCHING, image="ami-1")
    before = {"desired": 0, "minimum": 0, "maximum": 8, "template": "lt-1", "template_version": "7"}
    s.did(Verb.PIN_BLUE, blue={**before, "resolved_version": "7", "suspended": [], "routes": []})
    assert s.release.size == 3
    empty = Stage(started={"cure": ILL, "wanted": 3}).launched()
    assert empty.seen.blue is not None
    few = replace(empty.seen.blue, desired=0, instances=(Instance("i-1", "InService"),))
    assert not empty.sees(blue=few).targets(blue="healthy").notices().release.blue_whole


# --- what a failed release left ---


def failed(s: Stage) -> Stage:
    """It calls for a person."""
    return s.told(EventKind.SETTLED, outcome="failed", reason="changed_outside", message="x", left=[])


def test_the_group_that_serves_is_taken_along_with_what_was_pinned_on_it() -> None:
    """Blue, before the switch: its own sizes, reference and processes; green and its version are named."""
    s = failed(Stage().launched())
    found = taken_along(s.release, s.seen)
    assert (found["group"], found["release"], found["size"], found["rest"]) == ("web-asg", FAILED, 4, [])
    assert found["before"] == {"minimum": 2, "maximum": 8, "template_version": "$Latest", **NOTHING_DUE}
    version = {"template": "lt-1", "version": 8}
    assert found["left"] == [{**GREEN_LEFT}, {"group": GREEN, "of": FAILED, **version}]
    unpinned = failed(Stage().launched().did(Verb.UNPIN_BLUE, Verb.RESUME_BLUE).sees(green=None))
    assert taken_along(unpinned.release, unpinned.seen)["before"] == {}


def test_what_another_release_holds_is_taken_as_it_is() -> None:
    """What the failed one knows of it is of another time."""
    pinned = Stage().did(Verb.PIN_BLUE, blue={**BEFORE, "marked": True}).launched()
    s = failed(pinned.alter("blue", held_by="web/production#43 beef"))
    assert taken_along(s.release, s.seen)["before"] == {}


def test_green_that_serves_alone_is_taken_along() -> None:
    """It gets what was to be handed to it; blue is removed as it would have been."""
    s = failed(Stage().switched())
    found = taken_along(s.release, s.seen)
    assert (found["group"], found["commit"]) == (GREEN, "abcdef1234")
    assert found["before"] == {"minimum": 2, "maximum": 8, **NOTHING_DUE}
    assert found["left"] == [{"group": "web-asg", "of": FAILED, "keep": False}]
    kept = failed(Stage(retire="empty").switched().did(Verb.RESTORE_GREEN, Verb.RESUME_GREEN))
    found = taken_along(kept.release, kept.seen)
    assert (found["before"], found["left"][0]["keep"]) == ({}, True)


@pytest.mark.parametrize(
    ("blue", "green", "serves", "out"),
    [("healthy", "unhealthy", "web-asg", GREEN), ("unhealthy", "healthy", GREEN, "web-asg")],
)
def test_of_two_in_the_target_groups_the_better_is_taken_for_blue(blue: str, green: str, serves: str, out: str) -> None:
    """The other one is taken out, too, by the marks that it bears; whoever else bears green's name is not touched."""
    s = failed(Stage(started={"token": "t"}).joined().targets(blue=blue, green=green))
    found = taken_along(s.release, s.seen)
    marks = {"release": FAILED, "token": "t"} if out == GREEN else {"release": "", "token": ""}
    assert (found["group"], found["rest"]) == (serves, [{"group": out, **marks}])
    found = taken_along(s.release, s.alter("green", token="theirs").seen)
    assert (found["group"], found["rest"]) == ("web-asg", [])
    assert GREEN_LEFT not in found["left"]


def crowded(*, healthy: int = 0, **more: Any) -> Stage:
    """A cure over a blue of which so many are healthy, beside a group that a failed release left with one healthy."""
    s = cure(healthy=healthy, borne=healthy + 1, **more, started={"takes": {"rest": [REST], "left": [OLD]}})
    return ailing(s, healthy)


def beside(s: Stage, *states: str) -> Stage:
    """What was left is in the target group, with weights in green's, and its targets are so."""
    home = s.release.green_targets
    old = group(OLD["group"], len(states), target_groups=frozenset(home), release=FAILED, token="old")
    members = {one.id: state for one, state in zip(old.instances, states, strict=True)}
    targets = {arn: {**there, **members} if arn in home else there for arn, there in s.seen.targets.items()}
    return s.sees(targets=targets, rest=(old,), homes={**s.seen.homes, old.name: frozenset(home)})


def gone(s: Stage) -> Stage:
    """It is out, and drains."""
    left = {
        arn: {id_: "draining" if id_.startswith("old") else state for id_, state in there.items()}
        for arn, there in s.seen.targets.items()
    }
    return s.sees(targets=left, rest=(replace(group(OLD["group"], 2), target_groups=frozenset()),))


def test_what_was_left_is_taken_out_first_and_not_before_green_is_whole() -> None:
    """One boot after the order; the driver waits until the load balancer shows it."""
    s = beside(joined(crowded(), 0), "healthy", "unhealthy")
    assert s.decision == Enter(Phase.SWITCHING)
    s.enters(Phase.SWITCHING)
    assert s.decision == Act(Verb.TAKE_REST_OUT, groups=(OLD["group"],))
    assert beside(ailing(s, 0, green="unhealthy"), "healthy", "unhealthy").verb is None
    beside(ailing(s, 0, green="healthy"), "healthy", "unhealthy").did(Verb.TAKE_REST_OUT, groups=[OLD["group"]])
    assert awaited(s) is Awaited.READ_BACK
    assert not s.release.can_return
    assert gone(s).verb is Verb.TAKE_BLUE_OUT


def test_whoever_puts_it_back_again_and_again_is_told_of() -> None:
    """The wait has a limit; blue that was whole is returned to."""
    s = beside(joined(crowded(healthy=4), 4), "healthy").enters(Phase.SWITCHING).did(Verb.TAKE_REST_OUT).passes(600)
    decision = s.decision
    assert isinstance(decision, RollBack)
    assert decision.message == f"{OLD['group']} is in the target groups still, despite several attempts to remove them"


def test_many_that_were_left_are_named_together() -> None:
    """In good grammar."""
    assert in_target_groups([Group(name, 1, 1, 1) for name in ("a", "b")]) == "a and b are in the target groups"


@pytest.mark.parametrize(("states", "verb"), [(["healthy"], Verb.TAKE_GREEN_OUT), (["unhealthy"], None)])
def test_before_that_going_back_counts_who_served_beside_blue(states: list[str], verb: Verb | None) -> None:
    """Green leaves when as many serve without it as when it began."""
    s = beside(joined(crowded(healthy=1), 1), *states).rolls_back()
    assert s.verb is verb


def test_by_weights_what_gets_nothing_leaves_before_green_joins() -> None:
    """Then green is checked without traffic, as ever; and a rollback is possible still."""
    s = beside(crowded(steps=[10]).gives(0), "healthy").enters(Phase.CHECKING)
    assert s.verb is Verb.TAKE_REST_OUT
    assert s.did(Verb.TAKE_REST_OUT).release.can_return
    assert awaited(s) is Awaited.READ_BACK
    assert gone(s).decision == Act(Verb.SHIFT, share=0)


@pytest.mark.parametrize("shares", [(50, 50), (100, 0)], ids=["split", "listeners that do not agree"])
def test_by_weights_that_are_split_green_joins_beside_what_was_left(shares: tuple[int, int]) -> None:
    """Nobody is taken out before green is whole; then the rest leaves, and green gets everything in one step."""
    pages = [{**CHECKS[1], "when": ["checking", "soaking"]}, CHECKS[0]]
    s = beside(crowded(steps=[10], checks=pages).gives(*shares), "healthy").enters(Phase.CHECKING)
    assert s.sees(checks=(CheckResult("home", False, "503", s.now),)).notices().release.checks == {}
    assert s.checks("unit").decision == Enter(Phase.OVERLAPPING)
    assert s.enters(Phase.OVERLAPPING).verb is Verb.JOIN_GREEN
    s.did(Verb.JOIN_GREEN).attach("green")
    for _ in range(2):
        beside(ailing(s.passes(5), 0, green="healthy"), "healthy")
    assert s.decision == Enter(Phase.SWITCHING)
    assert s.enters(Phase.SWITCHING).passes(70).verb is Verb.TAKE_REST_OUT
    assert gone(s.did(Verb.TAKE_REST_OUT)).decision == Act(Verb.SHIFT, share=100)


# --- what is named as left ---


@pytest.mark.parametrize(
    ("there", "said"),
    [
        (None, ["group old of web/production#41, which may get traffic: a release with `--cure` takes it out"]),
        ((), [DELETE_OLD_VERSION]),
        (
            (group("old"),),
            [f"group old of web/production#41, which gets no traffic: {delete_group('old')}", DELETE_OLD_VERSION],
        ),
        (
            (group("old", target_groups=frozenset({TG})),),
            ["group old of web/production#41, which may get traffic: a release with `--cure` takes it out"],
        ),
    ],
    ids=["not looked at", "gone", "out", "in"],
)
def test_what_is_left_is_said_by_what_is_there(there: tuple[Group, ...] | None, said: list[str]) -> None:
    """What serves is never named as safe to delete, and what is gone is not named."""
    s = Stage(started={"takes": {"rest": [REST], "left": [OLD, OLD_VERSION]}}).sees(rest=there)
    assert list(remaining(s.release, s.seen)) == said


def test_what_was_left_and_is_kept_empty_is_emptied() -> None:
    """`retire: empty`; without a look what was in no target group is named as it was."""
    s = Stage(started={"takes": {"left": [{**OLD, "keep": True}]}})
    (said,) = remaining(s.release)
    assert said.endswith("--min-size 0 --max-size 0 --desired-capacity 0 --auto-scaling-group-name old")


def test_what_was_left_before_is_handed_on_once() -> None:
    """A cure that fails, too, loses nothing and names nothing twice; who serves by now is no leftover."""
    takes = {"release": "web/production#41", "left": [OLD, OLD_VERSION, "image ami-0: x"], "before": {"minimum": 1}}
    s = Stage(started={"takes": takes}).enters(Phase.LAUNCHING, image="ami-1")
    assert taken_along(failed(s).release, s.seen)["left"] == takes["left"]
    assert taken_along(failed(s).release, s.seen)["before"] == {}
    s.sees(blue=group("web-asg", target_groups=frozenset({TG})), routes=())
    decision = s.decision
    assert isinstance(decision, Act)
    assert decision.blue is not None
    assert (decision.verb, decision.blue.minimum, decision.blue.maximum) == (Verb.PIN_BLUE, 1, 8)
    assert leftovers(s.release)[-1] == "image ami-0: x"
    again = failed(
        Stage(started={"takes": {"left": [GREEN_LEFT, {**GREEN_LEFT, "version": 8, "template": "lt-1"}]}}).switched()
    )
    assert taken_along(again.release, again.seen)["left"] == [{"group": "web-asg", "of": FAILED, "keep": False}]
