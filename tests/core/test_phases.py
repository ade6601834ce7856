"""The story, one decision at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bluegreen import phases
from bluegreen.aws_commands import delete_group
from bluegreen.events import Awaited, BlueBefore, EventKind, Outcome, Parked, Phase, Reason, Verb
from bluegreen.observation import CheckResult, Command, Delays, Group, Instance, Observation, Template
from bluegreen.phases import Act, Enter, Rest, RollBack, Wait
from bluegreen.release import MINUTE, Mistake, moment
from tests.worlds.release import BEFORE, TG, Stage, attached, group

DONE = Command("c", "succeeded")
RUNNING = Command("c", "running")
FAILED = Command("c", "failed", "no space left on device")


def failed_attempts(stage: Stage, verb: Verb, *, transient: bool = False, denied: bool = False) -> Stage:
    """The act was begun and AWS refused it."""
    stage.told(EventKind.BEGAN, verb=verb)
    return stage.told(
        EventKind.STUMBLED, verb=verb, code="X", message="AWS said no", transient=transient, denied=denied
    )


# --- baking ---


def test_a_bake_goes_step_by_step() -> None:
    """Claim, start, build, check, stop, image, free: each once what went before is seen."""
    s = Stage().builder("stopped")
    assert s.verb is Verb.CLAIM_BUILDER
    assert s.did(Verb.CLAIM_BUILDER).verb is Verb.START_BUILDER
    s.did(Verb.START_BUILDER)
    assert s.decision == Wait(Awaited.BUILDER_UP, 5.0)
    assert s.builder("pending").decision == Wait(Awaited.BUILDER_UP, 5.0)
    assert s.builder("running").decision == Wait(Awaited.BUILDER_UP, 5.0)
    assert s.builder("running", online=True).verb is Verb.RUN_BUILD
    s.did(Verb.RUN_BUILD)
    assert s.decision == Wait(Awaited.BUILD, 5.0)
    assert s.builder("running", online=True, build=RUNNING).decision == Wait(Awaited.BUILD, 5.0)
    assert s.builder("running", online=True, build=DONE).verb is Verb.RUN_BUILD_CHECK
    assert s.builder("running", online=True, build=DONE, check=RUNNING).decision == Wait(Awaited.BUILD, 5.0)
    assert s.builder("running", online=True, build=DONE, check=DONE).verb is Verb.STOP_BUILDER
    s.did(Verb.STOP_BUILDER)
    assert s.decision == Wait(Awaited.BUILDER_STOPPED, 5.0)
    assert s.builder("stopping", build=DONE, check=DONE).decision == Wait(Awaited.BUILDER_STOPPED, 5.0)
    assert s.builder("stopped", build=DONE, check=DONE).verb is Verb.MAKE_IMAGE
    s.did(Verb.MAKE_IMAGE, image="ami-1")
    assert s.decision == Wait(Awaited.IMAGE, 5.0)
    assert s.image("pending").verb is Verb.FREE_BUILDER
    s.did(Verb.FREE_BUILDER)
    assert s.decision == Wait(Awaited.IMAGE, 30.0, 1000.0 + 7200)
    assert s.image("available").decision == Enter(Phase.LAUNCHING, image="ami-1")


@pytest.mark.parametrize("verb", [Verb.RUN_BUILD, Verb.RUN_BUILD_CHECK])
def test_a_command_that_may_run_is_not_sent_again(verb: Verb) -> None:
    """A driver died while it sent it, or heard no answer: AWS is given time to list it. A refusal is sure."""
    s = Stage().did(Verb.CLAIM_BUILDER, Verb.START_BUILDER)
    s.builder("running", online=True, build=DONE if verb is Verb.RUN_BUILD_CHECK else None)
    assert s.told(EventKind.BEGAN, verb=verb).decision == Wait(Awaited.BUILD, 5.0)
    assert s.passes(60).verb is verb
    failed_attempts(s, verb, transient=True)
    assert s.passes(10).decision == Wait(Awaited.BUILD, 5.0)
    for code in ("IncorrectInstanceState", "ThrottlingException"):
        s.told(EventKind.BEGAN, verb=verb)
        s.told(EventKind.STUMBLED, verb=verb, code=code, message="no", transient=True, denied=False)
        assert s.passes(15).verb is verb
    assert s.told(EventKind.BEGAN, verb=verb).decision == Wait(Awaited.BUILD, 5.0)  # that refusal was of the one before


KEY = "bluegreen/web/production/abcdef1234-9f86.tar.gz"
SOURCE = {"builder": {"tag": "b", "run": "make", "source": {"bucket": "web-sources"}}}


def packed() -> Stage:
    """The builder gets the source from S3, and is claimed."""
    return Stage(image=SOURCE, started={"source_key": KEY}).did(Verb.CLAIM_BUILDER)


def test_the_packed_source_goes_as_soon_as_the_builder_is_free() -> None:
    """The image has it; the image itself is waited for without it."""
    s = packed().image("pending").did(Verb.FREE_BUILDER)
    assert s.verb is Verb.DROP_SOURCE
    assert s.did(Verb.DROP_SOURCE).decision == Wait(Awaited.IMAGE, 30.0, 1000.0 + 7200)
    back = packed().builder("stopped").rolls_back().did(Verb.FREE_BUILDER)
    assert back.verb is Verb.DROP_SOURCE
    assert back.did(Verb.DROP_SOURCE).sees(builder=None).decision == Rest(
        Outcome.ROLLED_BACK, Reason.ORDERED, "because"
    )


def test_a_packed_source_that_stays_is_named_with_the_command() -> None:
    """AWS refuses to delete it, or the release fails before."""
    named = f"the packed source: aws s3 rm s3://web-sources/{KEY}"
    s = packed().builder("stopped").rolls_back().did(Verb.FREE_BUILDER)
    s.told(EventKind.BEGAN, verb=Verb.DROP_SOURCE)
    s.told(EventKind.STUMBLED, verb=Verb.DROP_SOURCE, code="AccessDenied", message="no", transient=False, denied=True)
    assert s.sees(builder=None).decision == Rest(Outcome.ROLLED_BACK, Reason.ORDERED, "because", (named,))
    assert named in phases.decision.leftovers(packed().release)
    assert named not in phases.decision.leftovers(packed().did(Verb.DROP_SOURCE).release)


def test_a_build_without_check_is_stopped_after_the_build() -> None:
    """`check` is optional."""
    s = Stage(image={"builder": {"tag": "b", "run": "make"}})
    s.did(Verb.CLAIM_BUILDER, Verb.START_BUILDER).builder("running", online=True, build=DONE)
    assert s.verb is Verb.STOP_BUILDER


def test_an_image_that_is_there_is_used_as_it_is() -> None:
    """A given image needs no builder."""
    assert Stage(ami="ami-1").image("available").decision == Enter(Phase.LAUNCHING, image="ami-1")


@pytest.mark.parametrize(
    ("stage", "reason", "says"),
    [
        (Stage(ami="ami-9"), Reason.IMAGE_FAILED, "ami-9 does not exist"),
        (Stage().image("failed", reason="no snapshot"), Reason.IMAGE_FAILED, "ami-1 is failed: no snapshot"),
        (Stage().image("failed"), Reason.IMAGE_FAILED, "ami-1 is failed"),
        (Stage().image("pending").passes(7200), Reason.BUILD_LATE, "still pending after 2h"),
        (Stage().builder("stopped").passes(7200), Reason.BUILD_LATE, "no image after 2h"),
        (Stage().did(Verb.CLAIM_BUILDER, Verb.MAKE_IMAGE, image="ami-1").passes(60), Reason.IMAGE_FAILED, "is gone"),
        (Stage().did(Verb.CLAIM_BUILDER), Reason.BUILDER_LOST, "does not exist"),
        (Stage().did(Verb.CLAIM_BUILDER).builder("terminated"), Reason.BUILDER_LOST, "is terminated"),
        (Stage().did(Verb.CLAIM_BUILDER).builder("running"), Reason.BUILDER_RUNNING, "is already running"),
        (
            Stage().did(Verb.CLAIM_BUILDER, Verb.START_BUILDER).builder("stopped").passes(60),
            Reason.BUILDER_LOST,
            "stopped before its build was done",
        ),
        (
            Stage().did(Verb.CLAIM_BUILDER, Verb.START_BUILDER).builder("running", online=True, build=FAILED),
            Reason.BUILD_FAILED,
            "no space left on device",
        ),
        (
            Stage().did(Verb.CLAIM_BUILDER, Verb.START_BUILDER).builder("stopped", build=DONE, check=FAILED),
            Reason.BUILD_FAILED,
            "the builder's check failed",
        ),
    ],
)
def test_a_bake_that_cannot_succeed_is_rolled_back(stage: Stage, reason: Reason, says: str) -> None:
    """Every way for a bake to fail has its reason, and says what was seen."""
    decision = stage.decision
    assert isinstance(decision, RollBack)
    assert decision.reason is reason
    assert says in decision.message


# --- launching and checking ---


def test_blue_is_pinned_before_anything_is_made() -> None:
    """The event that pins blue holds what is to be put back, with $Latest resolved to the number it means."""
    s = Stage().launched()
    blue = replace(s.seen.blue, minimum=2, template_version="$Latest", suspended=frozenset({"Terminate"}))  # type: ignore[type-var]  # set by launched
    s = Stage().enters(Phase.LAUNCHING, image="ami-1").sees(blue=blue, template=s.seen.template, routes=("r",))
    s.sees(delays=Delays(900, 30, ("drain-jobs",)))
    decision = s.decision
    assert isinstance(decision, Act)
    assert decision.verb is Verb.PIN_BLUE
    assert decision.to_facts()["blue"] == {
        "desired": 4,
        "minimum": 2,
        "maximum": 8,
        "template": "lt-1",
        "template_version": "$Latest",
        "resolved_version": "8",
        "suspended": ["Terminate"],
        "routes": ["r"],
        "held": 900.0,
        "drain": 30.0,
        "hooks": ["drain-jobs"],
        "marked": True,
        "schedules": [],
        "scheduled_until": s.now,
    }
    s.told(EventKind.BEGAN, **decision.to_facts()).alter("blue", minimum=4, template_version="8")
    again = s.decision
    assert isinstance(again, Act)
    assert again == decision, "what a crash repeats must not be the pinned values"
    assert s.did(Verb.PIN_BLUE).verb is Verb.SUSPEND_BLUE
    assert s.did(Verb.SUSPEND_BLUE).verb is Verb.MAKE_TEMPLATE_VERSION
    assert s.did(Verb.MAKE_TEMPLATE_VERSION, template_version=9).verb is Verb.CREATE_GREEN
    assert s.did(Verb.CREATE_GREEN).decision == Wait(Awaited.GREEN_UP, 5.0, 1900.0)


def test_a_number_needs_no_resolving() -> None:
    """Without a template to look at, blue's own number is what it means."""
    s = Stage().launched()
    blue = s.seen.blue
    s = Stage().enters(Phase.LAUNCHING, image="ami-1").sees(blue=blue)
    decision = s.decision
    assert isinstance(decision, Act)
    assert decision.blue is not None
    assert decision.blue.resolved_version == "7"


def test_blue_gone_before_it_was_pinned_is_rolled_back() -> None:
    """Nothing was made yet, so there is nothing to stop at."""
    s = Stage().enters(Phase.LAUNCHING, image="ami-1")
    assert isinstance(s.decision, RollBack)


def test_green_must_be_wholly_in_service() -> None:
    """Three of four is not enough; at the limit the scaling activity's own words are told."""
    s = Stage().launched()
    s.release = replace(s.release, did={v: e for v, e in s.release.did.items() if v is not Verb.SUSPEND_GREEN})
    green = group("web-production-v42", 4, release=s.release.id)
    s.sees(green=replace(green, instances=green.instances[:3], activity="no capacity in 2a"))
    assert s.decision == Wait(Awaited.GREEN_UP, 5.0, 1900.0)
    s.passes(900)
    decision = s.decision
    assert isinstance(decision, RollBack)
    assert decision.message == "3 of 4 instances in service after 15m: no capacity in 2a"
    s.sees(green=replace(green, instances=()))
    assert "0 of 4" in str(s.decision)
    s.sees(green=green)
    assert s.verb is Verb.SUSPEND_GREEN
    assert s.did(Verb.SUSPEND_GREEN).decision == Enter(Phase.CHECKING)


def test_green_is_as_blue_before_it_is_checked() -> None:
    """What is attached to blue is put on green until nothing differs any more; what cannot be made alike goes back."""
    s = Stage().launched()
    s.release = replace(s.release, did={v: e for v, e in s.release.did.items() if v is not Verb.ATTACH_GREEN})
    assert s.decision == Act(Verb.ATTACH_GREEN)
    changed = ["scaling policy cpu", "metric GroupMinSize"]
    s.did(Verb.ATTACH_GREEN, attached=attached(changed=changed))
    assert s.decision == Act(Verb.ATTACH_GREEN, again=1)
    s.told(EventKind.BEGAN, verb=Verb.ATTACH_GREEN, again=1)
    s.told(EventKind.DID, verb=Verb.ATTACH_GREEN, attached=attached(changed=changed))
    assert s.decision == Wait(Awaited.READ_BACK, 5.0), "what AWS shows may be older"
    s.passes(11)
    assert s.decision == Act(Verb.ATTACH_GREEN, again=2)
    s.passes(600)
    told = "web-production-v42 is not as blue: scaling policy cpu, metric GroupMinSize"
    assert s.decision == RollBack(Reason.COPY_DIFFERS, told)
    s.told(EventKind.BEGAN, verb=Verb.ATTACH_GREEN, again=1)
    s.told(EventKind.DID, verb=Verb.ATTACH_GREEN, attached=attached())
    assert s.decision == Enter(Phase.CHECKING)


def test_policies_that_name_a_target_group_follow_green_into_it() -> None:
    """Once it is seen there; what is not alike yet is put again after a pause, and nothing waits for it."""
    s = Stage().launched().did(Verb.ATTACH_GREEN, attached=attached(later=["scaling policy requests"]))
    s.enters(Phase.OVERLAPPING).did(Verb.JOIN_GREEN).targets(blue="healthy", green="initial")
    assert s.verb is not Verb.ATTACH_GREEN, "it is not seen in the target group yet"
    s.attach("green").targets(blue="healthy", green="healthy")
    assert s.decision == Act(Verb.ATTACH_GREEN, again=1)
    s.told(EventKind.BEGAN, verb=Verb.ATTACH_GREEN, again=1)
    s.told(EventKind.DID, verb=Verb.ATTACH_GREEN, attached=attached(changed=["scaling policy requests"]))
    assert s.verb is not Verb.ATTACH_GREEN
    s.passes(10)
    assert s.decision == Act(Verb.ATTACH_GREEN, again=2)
    s.told(EventKind.BEGAN, verb=Verb.ATTACH_GREEN, again=2)
    s.told(EventKind.DID, verb=Verb.ATTACH_GREEN, attached=attached()).passes(60)
    assert s.verb is not Verb.ATTACH_GREEN


@pytest.mark.parametrize(
    ("ago", "sizes", "since"),
    [(5.0, {"MinSize": 6}, 30.0), (5.0, {"MinSize": 2}, 0.0), (30.0, {"MinSize": 6}, 0.0), (-5.0, {"MinSize": 6}, 0.0)],
    ids=["its size is not shown", "its size is shown", "long since", "to come"],
)
def test_an_action_that_aws_ran_a_moment_ago_may_not_show_yet(ago: float, sizes: dict[str, int], since: float) -> None:
    """What is put back at the end is from before it: so it counts as missed."""
    s = Stage().launched()
    blue = replace(s.seen.blue, minimum=2)  # type: ignore[type-var]  # set by launched
    s = Stage().enters(Phase.LAUNCHING, image="ami-1").sees(blue=blue, template=s.seen.template, routes=("r",))
    s.sees(schedules=({**SCHEDULE, "cron": "", "start": s.now - ago, "sizes": sizes},))
    decision = s.decision
    assert isinstance(decision, Act)
    assert decision.blue is not None
    assert decision.blue.scheduled_until == s.now - since


SCHEDULE = {"name": "morning", "cron": "0 8 * * *", "zone": "UTC", "start": None, "end": None, "sizes": {"MinSize": 6}}


def scheduled(s: Stage, **before: Any) -> Stage:
    """Blue had a scheduled action when it was pinned."""
    assert s.release.blue is not None
    given = {"schedules": (SCHEDULE,), "scheduled_until": 900.0, **before}
    s.release = replace(s.release, blue=replace(s.release.blue, **given))
    return s


def test_what_fell_due_is_caught_up_on_whoever_serves() -> None:
    """Once schedules run again, and never twice; of a group whose owner had suspended them nothing is."""
    s = scheduled(retired().targets(green="healthy")).sees(blue=None)
    s.did(Verb.SET_DEFAULT_VERSION, Verb.RESTORE_GREEN)
    assert s.verb is Verb.RESUME_GREEN
    s.did(Verb.RESUME_GREEN)
    assert s.decision == Act(Verb.CATCH_UP, group=GREEN)
    assert s.did(Verb.CATCH_UP, actions=[], sizes={}).verb is Verb.MARK_IMAGE
    own = scheduled(retired().targets(green="healthy"), suspended=("ScheduledActions",)).sees(blue=None)
    assert own.did(Verb.SET_DEFAULT_VERSION, Verb.RESTORE_GREEN, Verb.RESUME_GREEN).verb is Verb.MARK_IMAGE


def test_an_action_that_was_made_meanwhile_is_caught_up() -> None:
    """It is known from when green followed blue."""
    s = scheduled(retired().targets(green="healthy"), schedules=()).sees(blue=None)
    parts = {"scheduled action noon": "0"}
    s.did(Verb.FOLLOW_BLUE, attached=attached(parts=parts))
    s.did(Verb.SET_DEFAULT_VERSION, Verb.RESTORE_GREEN, Verb.RESUME_GREEN)
    assert s.verb is Verb.CATCH_UP


def test_a_rollback_removes_the_copies_of_alarms_and_catches_up_on_blue() -> None:
    """The copies are found by green's policies, so they go before green."""
    s = Stage().launched().did(Verb.ATTACH_GREEN, attached=attached(alarms=["high-web-production-v42"]))
    scheduled(s).rolls_back().sees(targets={TG: {f"web-asg-{n}": "healthy" for n in range(4)}})
    assert s.verb is Verb.DROP_ALARMS
    assert s.did(Verb.DROP_ALARMS).verb is Verb.DELETE_GREEN
    s.did(Verb.DELETE_GREEN, Verb.DELETE_TEMPLATE_VERSION, Verb.UNPIN_BLUE, Verb.RESUME_BLUE).sees(green=None)
    assert s.decision == Act(Verb.CATCH_UP, group="web-asg")
    s.did(Verb.CATCH_UP, actions=[], sizes={})
    assert isinstance(s.decision, Rest)


def test_a_driver_that_died_having_resumed_leaves_the_catching_up_to_the_next() -> None:
    """Who resumes takes our mark off last, so a group without it runs its schedules again, recorded or not."""
    s = scheduled(marked()).rolls_back().sees(green=None, template=Template("lt-1", 7, 7))
    s.did(Verb.DELETE_GREEN, Verb.DELETE_TEMPLATE_VERSION, Verb.UNPIN_BLUE)
    assert s.verb is Verb.RESUME_BLUE
    s.told(EventKind.BEGAN, verb=Verb.RESUME_BLUE).alter("blue", held_by="web/production#42 beef")
    assert isinstance(s.decision, Rest)  # it is somebody else's by now
    assert s.alter("blue", held_by="").decision == Act(Verb.CATCH_UP, group="web-asg")
    s = Stage(ami="ami-1", started={"token": "9f86", "sets_default": False})
    s.did(Verb.PIN_BLUE, blue={**BEFORE, "marked": True, "schedules": (SCHEDULE,), "scheduled_until": 900.0})
    s.switched().enters(Phase.RETIRING).alter("green", held_by=s.release.mark).sees(blue=None).did(Verb.RESTORE_GREEN)
    assert s.verb is Verb.RESUME_GREEN
    s.told(EventKind.BEGAN, verb=Verb.RESUME_GREEN).alter("green", held_by="")
    assert s.decision == Act(Verb.CATCH_UP, group=GREEN)


def test_what_could_not_be_carried_over_is_named() -> None:
    """It fails no release, and its last event says what is missing and why."""
    s = retired().targets(green="healthy").sees(blue=None)
    s.did(Verb.FOLLOW_BLUE, attached=attached(warm_pool={"MinSize": 1}))
    s.did(Verb.SET_DEFAULT_VERSION, Verb.RESTORE_GREEN, Verb.RESUME_GREEN, Verb.MARK_IMAGE)
    failed_attempts(s, Verb.MAKE_WARM_POOL, denied=True)
    decision = s.decision
    assert isinstance(decision, Rest)
    assert [left for left in decision.left if left.startswith("no warm pool on web-production-v42")]
    s = Stage().launched().did(Verb.ATTACH_GREEN, attached=attached(alarms=["high-web-production-v42"]))
    s.passes(60).alter("blue", desired=1)
    decision = s.decision
    assert isinstance(decision, Rest)
    assert f"alarms high-{GREEN}: aws cloudwatch delete-alarms --alarm-names high-{GREEN}" in decision.left


def test_a_hopeless_launch_is_not_waited_for() -> None:
    """The same refusal three times, which does not pass, is enough; not while any instance is up."""
    s = Stage().launched()
    green = group("web-production-v42", 4, release=s.release.id, activity="Volume is too small")
    s.sees(green=replace(green, instances=(), refused=2))
    assert isinstance(s.decision, Wait)
    s.sees(green=replace(green, instances=(), refused=3))
    why = "AWS refused every launch of green, 3 times for the same reason: Volume is too small"
    assert s.decision == RollBack(Reason.LAUNCH_REFUSED, why)
    s.sees(green=replace(green, instances=green.instances[:1], refused=3))
    assert isinstance(s.decision, Wait)


STANDBY = (
    "web-asg-0 of web-asg is in Standby: return it to service (aws autoscaling exit-standby --auto-scaling-group-name "
    "web-asg --instance-ids web-asg-0) or terminate it (aws autoscaling terminate-instance-in-auto-scaling-group "
    "--instance-id web-asg-0 --no-should-decrement-desired-capacity)"
)


def puts(s: Stage, which: str, lifecycle: str, count: int = 1) -> Stage:
    """Instances of the group go into this lifecycle state."""
    instances = getattr(s.seen, which).instances
    moved = tuple(replace(one, lifecycle=lifecycle) for one in instances[:count])
    return s.alter(which, instances=(*moved, *instances[count:]))


def test_who_is_in_the_way_is_told_at_once_and_once() -> None:
    """By id, state and the command that ends it; and that it is over."""
    s = puts(Stage().switched().notices(), "blue", "Standby")
    seq = s.notices().release.seq
    assert s.release.observed["parked blue"] == Parked("parked blue", STANDBY, ("web-asg-0",))
    assert s.notices().release.seq == seq, "once"
    puts(s, "blue", "InService").notices()
    assert s.release.observed["parked blue"].value == ""
    puts(s, "green", "Terminating:Retained", 2).notices()
    said = s.release.observed["parked green"].value
    assert said.startswith(
        "web-production-v42-0, web-production-v42-1 of web-production-v42 are in Terminating:Retained"
    )
    assert "terminate-instance-in-auto-scaling-group --instance-id web-production-v42-0 " in said
    big = group("web-asg", 8, instances=tuple(Instance(f"i-{n}", "Quarantined") for n in range(8)))
    assert (
        "i-3, i-4 and 3 more of web-asg are in Quarantined: "
        in s.sees(blue=big).notices().release.observed["parked blue"].value
    )


def test_a_hook_that_holds_is_told_once_for_all_instances() -> None:
    """Each passes through it; with the name, where it is known."""
    s = Stage().switched()
    assert s.release.blue is not None
    s.release = replace(s.release, blue=replace(s.release.blue, hooks=("drain-jobs",)))
    seq = puts(s.notices(), "blue", "Terminating:Wait").notices().release.seq
    assert s.release.observed["held blue"].value == "drain-jobs holds instances of web-asg (Terminating:Wait)"
    held = puts(s, "blue", "Terminating:Wait", 3).notices().release
    assert held.seq == seq + 1, "the group's count alone"
    puts(s, "green", "Pending:Wait").notices()
    said = s.release.observed["held green"].value
    assert said == "a lifecycle hook holds instances of web-production-v42 (Pending:Wait)"


def emptying(s: Stage) -> Stage:
    """Blue was told to be empty, and green has its settings."""
    s.enters(Phase.RETIRING).targets(green="healthy").did(Verb.STILL_BLUE, Verb.EMPTY_BLUE)
    s.alter("blue", desired=0, minimum=0, maximum=0)
    return s.did(Verb.SET_DEFAULT_VERSION, Verb.RESTORE_GREEN, Verb.RESUME_GREEN, Verb.MARK_IMAGE)


@pytest.mark.parametrize("retire", ["delete", "empty"])
def test_blue_is_not_waited_for_when_only_a_person_can_empty_it(retire: str) -> None:
    """The release is live, and its last event says who is there and what to do."""
    s = emptying(Stage(retire=retire).switched())
    puts(s, "blue", "Standby")
    assert isinstance(s.decision, Wait), "the others still go"
    s.alter("blue", instances=s.seen.blue.instances[:1])  # type: ignore[union-attr]  # it is there
    decision = s.decision
    assert isinstance(decision, Rest)
    ends = "aws autoscaling delete-auto-scaling-group --auto-scaling-group-name web-asg --force-delete ends them"
    assert decision.outcome is Outcome.LIVE
    assert decision.left == (f"group web-asg, which gets no traffic, with web-asg-0 in Standby: {ends}",)


def test_who_was_detached_from_blue_is_named_at_the_end() -> None:
    """It runs on, and nobody else knows of it; unless somebody has ended it since, or it gets traffic."""
    s = (
        Stage()
        .switched()
        .enters(Phase.RETIRING)
        .targets(green="healthy")
        .sees(detached={"web-asg": ("i-9",)})
        .notices()
    )
    emptying(s).sees(detached={}).notices().sees(blue=None)
    decision = s.decision
    assert isinstance(decision, Rest)
    ends = "aws ec2 terminate-instances --instance-ids i-9"
    assert decision.left == (f"instance i-9, detached from web-asg, still running outside of every group: {ends}",)
    targets = s.seen.targets
    decision = s.sees(targets={TG: {**targets[TG], "i-9": "healthy"}}).decision
    assert isinstance(decision, Rest)
    assert decision.left == ()
    decision = s.sees(targets=targets, detached={"web-asg": ()}).notices().decision
    assert isinstance(decision, Rest)
    assert (decision.left, s.release.observed["detached"].value) == ((), "")


def test_messages_at_a_limit_name_who_is_in_the_way() -> None:
    """A green that does not come up, a blue that does not bear, a green that does not serve, a blue that shrank."""
    s = Stage().launched()
    s.release = replace(s.release, did={v: e for v, e in s.release.did.items() if v is not Verb.SUSPEND_GREEN})
    decision = puts(s, "green", "Standby").passes(900).decision
    assert isinstance(decision, RollBack)
    assert decision.reason is Reason.CHANGED_OUTSIDE
    assert "web-production-v42-0 of web-production-v42 is in Standby" in decision.message
    s = puts(Stage().switched().rolls_back(), "blue", "Standby").passes(600)
    assert STANDBY in str(s.decision)
    s = puts(Stage().switched().enters(Phase.RETIRING), "green", "Standby").targets(green="draining").passes(7200)
    assert "is in Standby: return it to service" in str(s.decision)
    s = puts(Stage().joined().passes(60), "blue", "Standby").alter("blue", desired=3)
    assert STANDBY in str(s.decision)


def test_messages_at_a_limit_name_who_is_ill() -> None:
    """While others of the group are well, replacing it may be all that is needed; where all are ill it is not."""
    s = Stage().switched().rolls_back().attach("blue")
    states = {f"web-asg-{n}": "healthy" if n else "unhealthy" for n in range(4)}
    ill = "; web-asg-0 of web-asg is unhealthy: terminate it (aws autoscaling terminate-instance-in-auto-scaling-group"
    assert ill in str(s.passes(600).sees(targets={TG: {**s.seen.targets[TG], **states}}).decision)
    s.sees(targets={TG: {**s.seen.targets[TG], **dict.fromkeys(states, "unhealthy")}})
    assert "0 of 4 of blue healthy after 10m, so green stays as it is'" in str(s.decision)
    s.sees(targets={TG: {**s.seen.targets[TG], **states, "web-asg-0": "initial"}})
    assert "3 of 4 of blue healthy after 10m, so green stays as it is'" in str(s.decision)
    green = emptied(3).passes(600).decision
    assert f"{GREEN}-3 of {GREEN} is unhealthy: terminate it" in str(green)


def test_time_that_nobody_watched_is_no_delay() -> None:
    """A driver that takes a release up gives green its whole time."""
    s = Stage().launched()
    s.sees(green=group("web-production-v42", 4, instances=(), release=s.release.id)).passes(5000)
    assert isinstance(s.decision, RollBack)
    assert s.told(EventKind.TAKEN_UP, holder="b").decision == Wait(Awaited.GREEN_UP, 5.0, s.now + 900)


def test_checking_without_checks_is_over_at_once() -> None:
    """Target health is judged once green has joined."""
    assert Stage().launched().enters(Phase.CHECKING).decision == Enter(Phase.OVERLAPPING)


RUN = [{"name": "unit", "run": "true"}]


def test_checking_waits_until_every_check_held() -> None:
    """`needs` times in a row; an answer that differs starts the count again."""
    s = Stage(checks=RUN).launched().enters(Phase.CHECKING)
    assert s.decision == Wait(Awaited.CHECKS, 5.0)
    s.checks("unit", times=2)
    assert s.decision == Wait(Awaited.CHECKS, 5.0)
    s.checks("unit", passed=False, times=1).checks("unit", times=2)
    assert s.decision == Wait(Awaited.CHECKS, 5.0)
    assert s.checks("unit", times=1).decision == Enter(Phase.OVERLAPPING)


def test_a_check_that_never_answers_fails() -> None:
    """Missing data is not a pass."""
    s = Stage(checks=RUN).launched().enters(Phase.CHECKING).passes(300)
    assert s.decision == RollBack(Reason.CHECK_FAILED, "unit did not hold within 5m: never answered")
    s.checks("unit", passed=False, times=1)
    assert s.decision == RollBack(Reason.CHECK_FAILED, "unit did not hold within 5m: seen")


# --- overlapping and holding ---


def test_green_joins_and_both_serve_for_the_overlap() -> None:
    """The overlap counts from when every check held."""
    s = Stage().launched().enters(Phase.CHECKING).enters(Phase.OVERLAPPING)
    assert s.verb is Verb.JOIN_GREEN
    s.did(Verb.JOIN_GREEN).attach("green").targets(blue="healthy", green="initial")
    assert s.decision == Wait(Awaited.CHECKS, 5.0)
    held = s.targets(blue="healthy", green="healthy").checks().now
    assert s.decision == Wait(Awaited.OVERLAP, 30.0, held + 300)
    s.passes(299)
    assert s.decision == Wait(Awaited.OVERLAP, 1.0, held + 300)
    assert s.passes(1).decision == Enter(Phase.SWITCHING)


def test_a_person_may_promote_early_but_not_past_a_check() -> None:
    """To promote ends the wait, not the judging."""
    s = Stage().launched().enters(Phase.CHECKING).enters(Phase.OVERLAPPING).did(Verb.JOIN_GREEN)
    s.told(EventKind.PROMOTED, who="U1")
    assert s.decision == Wait(Awaited.CHECKS, 5.0)
    s.attach("green").targets(blue="healthy", green="healthy").checks()
    assert s.decision == Enter(Phase.SWITCHING)


def test_a_hold_awaits_a_person() -> None:
    """After the overlap a held release waits; a promotion lets it go on, the timeout rolls it back."""
    s = Stage(hold=True).joined().passes(300)
    assert s.decision == Enter(Phase.HOLDING)
    s.enters(Phase.HOLDING)
    assert s.decision == Wait(Awaited.PROMOTION, 30.0, s.now + 4 * 3600)
    s.passes(4 * 3600)
    assert s.decision == RollBack(Reason.HOLD_EXPIRED, "nobody promoted within 4h")
    assert s.told(EventKind.PROMOTED, who="U1").decision == Enter(Phase.SWITCHING)


def test_a_hold_may_expire_into_promotion() -> None:
    """`on_timeout: promote`."""
    s = Stage(hold=True, promotion={"timeout": "10s", "on_timeout": "promote"}).joined().enters(Phase.HOLDING)
    assert s.passes(10).decision == Enter(Phase.SWITCHING)


def test_green_that_never_gets_healthy_is_rolled_back() -> None:
    """Empty, initial, draining and unknown are not healthy (S2)."""
    s = Stage().launched().enters(Phase.CHECKING).enters(Phase.OVERLAPPING).did(Verb.JOIN_GREEN).attach("green")
    s.targets(blue="healthy", green="initial").notices().passes(600)
    assert s.decision == RollBack(Reason.NEVER_HEALTHY, "targets did not hold within 10m: 0 of 4 healthy")


def test_one_bad_answer_is_not_a_failed_check() -> None:
    """A check that held is lost only after `needs` bad answers in a row."""
    s = Stage().joined().targets(blue="healthy", green="unhealthy").checks(times=2)
    assert isinstance(s.decision, Wait)
    s.checks(times=1)
    assert s.decision == RollBack(Reason.CHECK_FAILED, "check targets no longer holds: 0 of 4 healthy")


HOME = {"name": "home", "http": "https://x"}


@pytest.mark.parametrize("before", [(), (True,) * 3, (True,), (False,) * 4], ids=["new", "held", "passed", "failing"])
def test_a_failure_beyond_doubt_is_not_waited_out(before: tuple[bool, ...]) -> None:
    """It loses the check at once, whatever was answered before, and whether or not it has come to hold."""
    s = Stage(checks=[HOME]).joined()
    for passed in before:
        s.checks("home", passed=passed, times=1)
    assert isinstance(s.decision, Wait)
    s.sees(checks=(CheckResult("home", False, "12 of 600", s.now, certain=True),)).notices()
    assert s.decision == RollBack(Reason.CHECK_FAILED, "check home fails: 12 of 600")
    assert s.release.checks["home"].streak <= 3
    seq = s.release.seq
    assert s.notices().release.seq == seq + (len(before) < 4), "said again only while it is counted"


def looked(s: Stage, answers: str, every: float = 10.0) -> Stage:
    """Looks at `home`, one each time: `.` passes, `x` fails."""
    for answer in answers:
        value = "200" if answer == "." else "503"
        s.passes(every).sees(checks=(CheckResult("home", answer == ".", value, s.now),)).notices()
    return s


@pytest.mark.parametrize(
    ("answers", "at_most", "lost"),
    [
        ("xx.xx.x", "20%", "check home no longer holds: 503 (failed 5 of 8 looks)"),
        ("x." * 4 + "." * 60, "20%", ""),  # four of twenty
        ("x...." * 12, "20%", ""),  # one of five, for ever
        ("." * 60 + "x.." * 12 + "x", "20%", "check home no longer holds: 503 (failed 13 of 60 looks)"),
        (("xx." * 40)[:100], "100%", ""),  # never three in a row
        ("..x", "0%", "check home no longer holds: 503 (failed 1 of 4 looks)"),
        ("x.." * 4 + "." * 60 + "x.." * 4, 0.2, ""),  # what is long past counts no more
    ],
)
def test_a_share_of_failures_counts_beside_a_run_of_them(answers: str, at_most: str | float, lost: str) -> None:
    """A check that failed in 80 of 123 looks, never three in a row, would go live."""
    s = Stage(checks=[{**HOME, "at_most_failed": at_most, "when": ["overlapping"]}]).joined()
    looked(s, "xx.xx.")  # what fails before it has come to hold is a matter of `within`
    assert s.release.checks["home"].failures == ()
    looked(looked(s, "..."), answers)
    assert s.release.checks["home"].lost is bool(lost)
    if lost:
        assert s.decision == RollBack(Reason.CHECK_FAILED, lost)


@pytest.mark.parametrize(("every", "told"), [("10s", 3), ("60s", 6)])
def test_a_check_that_goes_on_failing_says_so_in_measure(every: str, told: int) -> None:
    """Of one that is looked at rarely each new reason is an event, so that the last one is known in the end."""
    s = Stage(checks=[{**HOME, "every": every}]).joined()
    seq = s.release.seq
    for n in range(6):
        s.sees(checks=(CheckResult("home", False, f"reason {n}", s.now),)).notices()
    s.sees(checks=(CheckResult("home", False, "reason 5", s.now),)).notices()
    assert s.release.seq == seq + told
    assert s.release.checks["home"].streak == 3


def test_a_check_that_recovers_keeps_its_time() -> None:
    """A short blip does not start the overlap again."""
    s = Stage().joined()
    held = s.release.checks["targets"].held_since
    s.targets(blue="healthy", green="unhealthy").checks(times=1)
    s.targets(blue="healthy", green="healthy").checks(times=3)
    assert s.release.checks["targets"].held_since == held


def test_calm_waits_follow_the_pace_of_the_checks() -> None:
    """A check every second is looked at every second, also while nothing else happens."""
    checks = [{"name": "home", "http": "https://x", "every": "1s"}]
    s = Stage(checks=checks).joined().checks("home")
    decision = s.decision
    assert isinstance(decision, Wait)
    assert decision.seconds == 1.0


@pytest.mark.parametrize(("age", "pace"), [(0, 5), (100, 5), (200, 10), (600, 30), (7000, 30)])
def test_what_aws_takes_long_for_is_looked_at_less_often(age: float, pace: float) -> None:
    """Noticing it late costs a twentieth of the phase; a check is looked at as ever."""
    s = Stage().did(Verb.CLAIM_BUILDER, Verb.START_BUILDER).builder("pending").passes(age)
    assert s.decision == Wait(Awaited.BUILDER_UP, pace)
    s = Stage().launched().enters(Phase.CHECKING).enters(Phase.OVERLAPPING).did(Verb.JOIN_GREEN).attach("green")
    assert s.targets(blue="healthy", green="initial").passes(min(age, 500)).decision == Wait(Awaited.CHECKS, 5.0)


def test_a_bad_answer_ends_the_calm() -> None:
    """The next looks come at the usual pace, so that a failure is known soon."""
    s = Stage().joined()
    calm = s.decision
    assert isinstance(calm, Wait)
    s.targets(blue="healthy", green="unhealthy").checks(times=1)
    alarmed = s.decision
    assert isinstance(alarmed, Wait)
    assert (calm.seconds, alarmed.seconds) == (30.0, 5.0)


# --- switching and soaking ---


def test_blue_leaves_once_green_can_bear_everything() -> None:
    """Detach, read back, soak."""
    s = Stage().joined().enters(Phase.SWITCHING)
    assert s.verb is Verb.TAKE_BLUE_OUT
    s.did(Verb.TAKE_BLUE_OUT)
    assert s.decision == Wait(Awaited.READ_BACK, 5.0)
    s.detach("blue").targets(blue="draining", green="healthy")
    assert s.decision == Enter(Phase.SOAKING)


def test_a_detachment_that_does_not_show_is_repeated() -> None:
    """What AWS does not show after a minute is done again."""
    s = Stage().joined().enters(Phase.SWITCHING).did(Verb.TAKE_BLUE_OUT).passes(60)
    assert s.verb is Verb.TAKE_BLUE_OUT


def test_green_grows_when_blue_has_grown() -> None:
    """Blue scaled out during the overlap: green catches up before blue leaves."""
    s = (
        Stage()
        .joined()
        .enters(Phase.SWITCHING)
        .sees(blue=group("web-asg", 6, minimum=4, target_groups=frozenset({TG})))
    )
    assert s.decision == Act(Verb.GROW_GREEN, size=6)
    s.did(Verb.GROW_GREEN, size=6)
    assert s.decision == Wait(Awaited.GREEN_GROWN, 5.0)
    s.alter("green", desired=6)
    assert s.passes(600).decision == RollBack(Reason.NEVER_HEALTHY, "4 of 6 of green served after 10m")


def test_who_boots_because_green_grows_is_no_loss() -> None:
    """The targets that green had before must stay healthy; after the switch all of them must."""
    s = Stage().joined().enters(Phase.SWITCHING).did(Verb.GROW_GREEN, size=5).did(Verb.GROW_GREEN, size=6)
    assert s.seen.green is not None
    s.alter("green", desired=6, instances=(*s.seen.green.instances, Instance("new-1", "Pending")))
    s.checks(times=4)
    assert s.release.checks["targets"].passed
    assert s.decision == Wait(Awaited.GREEN_GROWN, 5.0)
    s.targets(blue="healthy", green="unhealthy").checks(times=3)
    assert s.decision == RollBack(Reason.CHECK_FAILED, "check targets no longer holds: 0 of 6 healthy")
    s.enters(Phase.SOAKING).targets(green="healthy").checks(times=1)
    assert not s.release.checks["targets"].passed, "five are too few now"


def test_nothing_is_removed_while_green_is_too_small() -> None:
    """The guard before the removing call (S3)."""
    s = Stage().joined().enters(Phase.SWITCHING)
    s.sees(targets={TG: {**dict(s.seen.targets[TG]), "web-production-v42-0": "unhealthy"}})
    assert s.decision == Wait(Awaited.GREEN_GROWN, 5.0)


def test_the_soak_passes_with_every_check_held() -> None:
    """Blue is idle and whole until then."""
    s = Stage().switched()
    ends = s.now + 900
    assert s.decision == Wait(Awaited.SOAK, 30.0, ends)
    assert s.passes(900).decision == Enter(Phase.RETIRING)
    s.targets(blue="draining", green="unhealthy")
    assert s.decision == Wait(Awaited.CHECKS, 5.0)


def test_green_that_fails_in_the_soak_is_rolled_back() -> None:
    """Until blue is retired the way back is a matter of seconds."""
    s = Stage().switched().targets(blue="draining", green="unhealthy").checks()
    assert isinstance(s.decision, RollBack)


# --- retiring ---


def retired(**changes: object) -> Stage:
    """A release that has just entered retiring."""
    return Stage(**changes).switched().enters(Phase.RETIRING)  # type: ignore[arg-type]  # configuration keys


def test_retiring_goes_step_by_step() -> None:
    """Drain, empty, hand over, delete, tidy."""
    s = retired()
    assert s.decision == Wait(Awaited.DRAINED, 30.0, s.release.in_phase_since + 3660)
    s.targets(green="healthy")
    protected = tuple(replace(i, protected=True) for i in s.seen.blue.instances)  # type: ignore[union-attr]  # on stage
    s.alter("blue", instances=protected)
    assert s.decision == Act(Verb.FOLLOW_BLUE)
    s.did(Verb.FOLLOW_BLUE, attached=attached(alarms=["high-web-production-v42"], warm_pool={"MinSize": 1}))
    assert s.decision == Act(Verb.STILL_BLUE, processes=("AlarmNotification", "AZRebalance", "ScheduledActions"))
    s.did(Verb.STILL_BLUE)
    assert s.decision == Act(Verb.UNPROTECT_BLUE, instances=tuple(i.id for i in protected))
    s.alter("blue", instances=tuple(replace(i, protected=False) for i in protected))
    assert s.verb is Verb.EMPTY_BLUE
    s.did(Verb.EMPTY_BLUE).alter("blue", desired=0, minimum=0, maximum=0)
    assert s.verb is Verb.HAND_ALARMS_OVER, "nothing returns to blue from here"
    s.did(Verb.HAND_ALARMS_OVER)
    followed = replace(s.release, sets_default=False)
    assert phases.decide(followed, s.seen, s.config, s.now) == Act(Verb.RESTORE_GREEN), "the default is others', too"
    for verb in (Verb.SET_DEFAULT_VERSION, Verb.RESTORE_GREEN, Verb.RESUME_GREEN):
        assert s.verb is verb
        s.did(verb)
    assert s.decision == Wait(Awaited.BLUE_EMPTY, 5.0, s.release.in_phase_since + 7200)
    s.alter("blue", instances=())
    assert s.verb is Verb.DELETE_BLUE
    s.did(Verb.DELETE_BLUE)
    assert s.decision == Wait(Awaited.GROUP_GONE, 5.0, s.release.in_phase_since + 7200)
    s.sees(blue=None, droppable=("ami-old", "ami-older"))
    assert s.verb is Verb.MAKE_WARM_POOL, "not beside blue's"
    s.did(Verb.MAKE_WARM_POOL)
    assert s.verb is Verb.MARK_IMAGE
    s.did(Verb.MARK_IMAGE)
    assert s.decision == Act(Verb.DROP_IMAGE, image="ami-old")
    s.did(Verb.DROP_IMAGE, image="ami-old")
    assert s.decision == Wait(Awaited.READ_BACK, 5.0)
    assert s.sees(droppable=("ami-older",)).decision == Act(Verb.DROP_IMAGE, image="ami-older")
    s.sees(droppable=())
    assert s.decision == Rest(Outcome.LIVE, Reason.COMPLETED, "web-production-v42 serves alone")


def test_old_template_versions_go_after_the_images_as_many_as_a_call_takes() -> None:
    """Until none is seen."""
    s = retired().targets(green="healthy").sees(blue=None, droppable=("ami-old",), old_versions=tuple(range(1, 204)))
    s.did(Verb.RESTORE_GREEN, Verb.RESUME_GREEN, Verb.SET_DEFAULT_VERSION, Verb.MARK_IMAGE)
    assert s.decision == Act(Verb.DROP_IMAGE, image="ami-old")
    s.sees(droppable=())
    assert s.decision == Act(Verb.DROP_VERSIONS, versions=tuple(range(1, 201)))
    s.did(Verb.DROP_VERSIONS, versions=tuple(range(1, 201))).sees(old_versions=(201, 202, 203))
    assert s.decision == Act(Verb.DROP_VERSIONS, versions=(201, 202, 203))
    s.did(Verb.DROP_VERSIONS, versions=(201, 202, 203)).sees(old_versions=())
    assert s.decision == Rest(Outcome.LIVE, Reason.COMPLETED, "web-production-v42 serves alone")


def test_a_group_kept_empty_is_named() -> None:
    """`retire: empty` leaves the group, and says so (S5)."""
    s = retired(retire="empty").targets(green="healthy").did(Verb.STILL_BLUE)
    s.alter("blue", desired=0, minimum=0, maximum=0, instances=())
    s.did(Verb.RESTORE_GREEN, Verb.RESUME_GREEN, Verb.SET_DEFAULT_VERSION, Verb.MARK_IMAGE)
    assert s.decision == Rest(
        Outcome.LIVE, Reason.COMPLETED, "web-production-v42 serves alone", ("group web-asg, kept empty",)
    )


@pytest.mark.parametrize(
    ("beside", "serves"),
    [
        (
            {"i-9": "worker", "i-8": "worker", "i-7": ""},
            "beside 3 other targets (1 of no group, 2 of the group worker)",
        ),
        ({"i-9": "worker"}, "beside 1 other target (1 of the group worker)"),
    ],
)
def test_who_serves_beside_green_is_said(beside: dict[str, str], serves: str) -> None:
    """Nobody reads "alone" where others answer, too (S8)."""
    s = retired(retire="empty").targets(green="healthy").did(Verb.STILL_BLUE)
    s.alter("blue", desired=0, minimum=0, maximum=0, instances=()).sees(beside=beside)
    s.did(Verb.RESTORE_GREEN, Verb.RESUME_GREEN, Verb.SET_DEFAULT_VERSION, Verb.MARK_IMAGE)
    decision = s.decision
    assert isinstance(decision, Rest)
    assert (decision.outcome, decision.message) == (Outcome.LIVE, f"web-production-v42 serves {serves}")


def test_a_group_of_an_earlier_release_that_was_put_back_stops_the_release() -> None:
    """A `terraform apply` attached it again: what answers is not what was released; a cure may have known of it."""
    s = retired().targets(green="healthy").sees(beside={"i-9": "web-production-v40"}, strayed=("web-production-v40",))
    said = "the group web-production-v40, of an earlier release, is in the load balancer again"
    decision = s.decision
    assert isinstance(decision, Rest)
    assert (decision.outcome, decision.reason, decision.message) == (Outcome.FAILED, Reason.CHANGED_OUTSIDE, said)
    s.release = replace(s.release, takes={"left": ["group web-production-v40, which serves"]})
    assert not isinstance(s.decision, Rest)


@pytest.mark.parametrize(("held", "limit"), [(None, 7200), (0, 30 + 3600), (48 * 3600, 48 * 3600 + 30 + 3600)])
def test_blue_has_as_long_as_its_own_hooks_and_delays_take(held: float | None, limit: float) -> None:
    """Two hours only where nobody looked, as in releases that began before that was done."""
    s = Stage().switched()
    assert s.release.blue is not None
    s.release = replace(s.release, blue=replace(s.release.blue, held=held, drain=30))
    s.enters(Phase.RETIRING).targets(green="healthy").did(Verb.STILL_BLUE, Verb.EMPTY_BLUE)
    s.alter("blue", desired=0, minimum=0, maximum=0)
    s.did(Verb.SET_DEFAULT_VERSION, Verb.RESTORE_GREEN, Verb.RESUME_GREEN, Verb.MARK_IMAGE).passes(limit - 1)
    assert s.decision == Wait(Awaited.BLUE_EMPTY, 1.0, s.now + 1)
    decision = s.passes(1).decision
    assert isinstance(decision, Rest)
    assert (decision.outcome, decision.reason) == (Outcome.FAILED, Reason.RETIRE_LATE)


@pytest.mark.parametrize("change", [{"desired": 1}, {"minimum": 1, "desired": 1}, {"maximum": 8}])
def test_blue_that_was_scaled_out_again_is_emptied_again(change: dict[str, int]) -> None:
    """Whoever did it: by then nothing of it serves."""
    s = retired(retire="empty").targets(green="healthy").did(Verb.STILL_BLUE, Verb.EMPTY_BLUE).passes(60)
    assert s.alter("blue", **{"desired": 0, "minimum": 0, "maximum": 0, **change}).verb is Verb.EMPTY_BLUE


def awaited(s: Stage) -> Awaited | None:
    """What is waited for, however long."""
    decision = s.decision
    return decision.awaited if isinstance(decision, Wait) else None


def test_a_group_that_somebody_deletes_is_not_changed() -> None:
    """AWS refuses every change of it."""
    s = retired().targets(green="healthy").alter("blue", deleting=True, warm=2)
    assert s.verb is Verb.SET_DEFAULT_VERSION
    s.did(Verb.RESTORE_GREEN, Verb.RESUME_GREEN, Verb.SET_DEFAULT_VERSION, Verb.MARK_IMAGE).alter("blue", instances=())
    assert awaited(s) is Awaited.GROUP_GONE


def without_blue(**changes: object) -> Stage:
    """Blue has no instances any more, and green has what was blue's."""
    s = retired(**changes).targets(green="healthy").did(Verb.STILL_BLUE, Verb.EMPTY_BLUE)
    s.alter("blue", desired=0, minimum=0, maximum=0, instances=())
    return s.did(Verb.RESTORE_GREEN, Verb.RESUME_GREEN, Verb.SET_DEFAULT_VERSION, Verb.MARK_IMAGE)


@pytest.mark.parametrize("retire", ["delete", "empty"])
def test_a_warm_pool_goes_before_its_group(retire: str) -> None:
    """Its instances leave, then it goes, then the group: AWS refuses any other order."""
    s = without_blue(retire=retire).alter("blue", warm=2)
    assert s.verb is Verb.DRAIN_WARM_POOL
    assert awaited(s.did(Verb.DRAIN_WARM_POOL)) is Awaited.WARM_POOL
    assert s.alter("blue", warm=0).verb is Verb.DELETE_WARM_POOL
    assert awaited(s.did(Verb.DELETE_WARM_POOL)) is Awaited.WARM_POOL
    assert s.passes(60).verb is Verb.DELETE_WARM_POOL
    assert awaited(s.alter("blue", warm_leaving=True)) is Awaited.WARM_POOL
    s.alter("blue", warm=None, warm_leaving=False)
    assert s.verb is (Verb.DELETE_BLUE if retire == "delete" else None)


def test_a_warm_pool_that_does_not_empty_calls_for_a_person() -> None:
    """As a group that does not."""
    decision = without_blue().alter("blue", warm=2).did(Verb.DRAIN_WARM_POOL).passes(7200).decision
    assert isinstance(decision, Rest)
    assert "0 instances of web-asg, and its warm pool with 2 are still there" in decision.message


def test_groups_that_earlier_releases_kept_empty_are_deleted() -> None:
    """All but the last one; the last event says which."""
    s = without_blue(retire="empty").sees(emptied=("web-production-v39", "web-production-v40"))
    for name, rest in (("web-production-v39", ("web-production-v40",)), ("web-production-v40", ())):
        assert s.decision == Act(Verb.DROP_GROUP, group=name)
        s.did(Verb.DROP_GROUP, group=name).sees(emptied=rest)
    says = (
        "web-production-v42 serves alone; deleted, because earlier releases had kept them empty: "
        "web-production-v39, web-production-v40"
    )
    assert s.did(Verb.DROP_GROUP, group="web-production-v40").decision == Rest(
        Outcome.LIVE, Reason.COMPLETED, says, ("group web-asg, kept empty",)
    )


def test_a_group_that_aws_will_not_delete_fails_no_release() -> None:
    """Green serves alone: whatever is left is named, with the reason. Passing refusals are waited out for a while."""
    s = failed_attempts(without_blue(), Verb.DELETE_BLUE)
    left = "group web-asg, empty, AWS refused to delete it (AWS said no)"
    assert s.decision == Rest(Outcome.LIVE, Reason.COMPLETED, "web-production-v42 serves alone", (left,))
    s = without_blue()
    failed_attempts(s, Verb.DELETE_BLUE, transient=True)
    assert isinstance(s.decision, Wait)
    failed_attempts(s.passes(299), Verb.DELETE_BLUE, transient=True)
    assert isinstance(s.decision, Wait)
    assert isinstance(failed_attempts(s.passes(1), Verb.DELETE_BLUE, transient=True).decision, Rest)
    s = failed_attempts(without_blue(retire="empty").sees(emptied=("web-production-v40",)), Verb.DROP_GROUP)
    decision = s.decision
    assert isinstance(decision, Rest)
    assert decision.left == ("group web-asg, kept empty", "group web-production-v40, empty")


def test_live_is_never_said_of_a_green_that_does_not_serve_alone() -> None:
    """S8: it waits, and calls for a person in the end."""
    s = retired().targets(green="unhealthy")
    assert s.decision == Wait(Awaited.CHECKS, 5.0, s.release.in_phase_since + 7200)
    decision = s.passes(7200).decision
    assert isinstance(decision, Rest)
    assert decision.outcome is Outcome.FAILED
    s = retired().sees(green=None)
    assert s.decision == Wait(Awaited.CHECKS, 5.0, s.release.in_phase_since + 7200)


def test_blue_that_does_not_empty_calls_for_a_person() -> None:
    """Lifecycle hooks may hold instances for long, but not for ever."""
    s = (
        retired()
        .targets(green="healthy")
        .did(Verb.RESTORE_GREEN, Verb.RESUME_GREEN, Verb.SET_DEFAULT_VERSION, Verb.MARK_IMAGE)
    )
    s.did(Verb.STILL_BLUE, Verb.EMPTY_BLUE).alter("blue", desired=0, minimum=0, maximum=0).passes(7200)
    decision = s.decision
    assert isinstance(decision, Rest)
    assert decision.reason is Reason.RETIRE_LATE
    delete = "aws autoscaling delete-auto-scaling-group --auto-scaling-group-name web-asg --force-delete"
    assert decision.left == (f"group web-asg, which gets no traffic: {delete}",)


def test_what_serves_is_never_a_leftover() -> None:
    """Whoever tidies up by the last event deletes nothing that gets traffic, or may get it."""
    both = Stage().joined().passes(60).alter("blue", desired=1)
    assert named_groups(both.decision) == [
        "group web-production-v42, which gets traffic beside web-asg: bluegreen rollback web/production"
    ]
    alone = Stage().switched().passes(60).alter("green", desired=3)
    assert named_groups(alone.decision) == []
    blind = phases.blind(Stage().switched().release, 2000.0, denied=True, message="no")
    assert isinstance(blind, RollBack)
    retiring = retired().did(Verb.EMPTY_BLUE)
    assert named_groups(phases.blind(retiring.release, retiring.now, denied=True, message="no")) == []
    theirs = Stage().launched().alter("green", release="other/x#1")
    assert named_groups(theirs.decision) == []


def named_groups(decision: phases.Decision) -> list[str]:
    """The groups that a halt names as left."""
    assert isinstance(decision, Rest)
    return [left for left in decision.left if left.startswith("group")]


def test_images_and_versions_that_cannot_be_dropped_are_named() -> None:
    """A missing permission for tidying does not fail a release."""
    s = retired().targets(green="healthy").sees(blue=None, droppable=("ami-old",), old_versions=(3, 4))
    s.did(Verb.RESTORE_GREEN, Verb.RESUME_GREEN)
    failed_attempts(s, Verb.SET_DEFAULT_VERSION, denied=True)
    failed_attempts(s, Verb.MARK_IMAGE, denied=True)
    failed_attempts(s, Verb.DROP_IMAGE, denied=True)
    failed_attempts(s, Verb.DROP_VERSIONS, denied=True)
    delete = "aws ec2 delete-launch-template-versions --launch-template-id lt-1 --versions"
    old = f"old versions 3, 4 of the launch template lt-1 (AWS said no): {delete} 3 4"
    assert s.decision == Rest(Outcome.LIVE, Reason.COMPLETED, "web-production-v42 serves alone", ("image ami-old", old))
    assert (
        named(s.sees(old_versions=(3,)))[-1] == f"old version 3 of the launch template lt-1 (AWS said no): {delete} 3"
    )
    assert named(s.sees(old_versions=())) == ("image ami-old",), "a person deleted them"


def named(s: Stage) -> tuple[str, ...]:
    """What is left at the end."""
    decision = s.decision
    assert isinstance(decision, Rest)
    return decision.left


# --- rolling back ---


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.ROLLING_BACK])
def test_an_order_to_roll_back_comes_before_everything(phase: Phase) -> None:
    """In every phase, as long as blue is not emptied, whatever else is the matter (S7)."""
    s = Stage().launched().enters(phase)
    failed_attempts(s, Verb.CREATE_GREEN, transient=True).told(EventKind.ROLLBACK_ORDERED, who="U1")
    s.told(EventKind.PROMOTED, who="U2")
    assert s.decision == phases.ordered(s.release) == RollBack(Reason.ORDERED, "ordered by U1")


def test_an_order_after_blue_is_emptied_changes_nothing() -> None:
    """The doors refuse it; should it slip in, the story goes on."""
    s = retired().did(Verb.EMPTY_BLUE).told(EventKind.ROLLBACK_ORDERED, who="U1")
    assert not isinstance(s.decision, RollBack)
    assert phases.ordered(s.release) is None


def test_until_blue_is_emptied_the_checks_of_the_soak_go_on() -> None:
    """Blue drains, and is whole: what is lost then goes back to it, though it has left its target group."""
    s = retired(checks=[{"name": "unit", "run": "true"}]).checks("unit")
    assert isinstance(s.checks("unit", passed=False).decision, RollBack)
    assert s.rolls_back().verb is Verb.JOIN_BLUE
    s = retired().targets(green="unhealthy")
    for _ in range(3):
        s.passes(5).notices()
    found = s.decision
    assert isinstance(found, RollBack)
    assert found.message == "check targets no longer holds: 0 of 4 healthy"


def emptied(healthy: int, looks: int = 3) -> Stage:
    """Blue is being emptied while so many of green are healthy, for so many looks."""
    s = retired(checks=[{"name": "unit", "run": "true"}]).did(Verb.STILL_BLUE, Verb.EMPTY_BLUE)
    s.alter("blue", desired=0, minimum=0, maximum=0)
    s.targets(green="unhealthy")
    members = {i.id: "healthy" for i in s.seen.green.instances[:healthy]}  # type: ignore[union-attr]  # on stage
    s.sees(targets={arn: {**states, **members} for arn, states in s.seen.targets.items()})
    for _ in range(looks):
        s.passes(5).notices()
    return s


def test_one_bad_look_while_blue_is_emptied_decides_nothing() -> None:
    """Several in a row do (S2)."""
    assert isinstance(emptied(0, looks=1).decision, Wait)


def test_a_green_that_falls_ill_while_blue_is_emptied_makes_room_for_its_cure() -> None:
    """At once when nobody serves; when some do, the others have their time. No check can lead back any more."""
    s = emptied(0)
    decision = s.decision
    assert isinstance(decision, Rest)
    assert (decision.outcome, decision.reason) == (Outcome.FAILED, Reason.CHECK_FAILED)
    assert decision.message == "0 of 4 of green healthy while web-asg is being emptied, so a rollback is impossible"
    s = emptied(3).checks("unit", passed=False)
    assert s.decision == Wait(Awaited.CHECKS, 5.0, s.release.in_phase_since + 7200)
    assert isinstance(s.passes(600).decision, Rest)


def test_a_green_that_scales_while_blue_is_emptied_is_not_ill() -> None:
    """It has blue's sizes again, and policies of its own."""
    s = emptied(3).alter("green", desired=3).notices()
    assert s.verb is Verb.SET_DEFAULT_VERSION


def test_undoing_a_bake_stops_the_builder() -> None:
    """Only if we started it (S6)."""
    s = Stage().did(Verb.CLAIM_BUILDER, Verb.START_BUILDER).builder("running").rolls_back()
    assert s.verb is Verb.STOP_BUILDER
    s.did(Verb.STOP_BUILDER)
    assert s.decision == Wait(Awaited.BUILDER_STOPPED, 5.0)
    assert s.builder("stopping").decision == Wait(Awaited.BUILDER_STOPPED, 5.0)
    assert s.builder("stopped").verb is Verb.FREE_BUILDER
    s.did(Verb.FREE_BUILDER)
    assert s.decision == Rest(Outcome.ROLLED_BACK, Reason.ORDERED, "because")


def test_a_builder_that_somebody_else_started_is_left_alone() -> None:
    """S6: as it was found."""
    s = Stage().did(Verb.CLAIM_BUILDER).builder("running").rolls_back("builder_running")
    assert s.verb is Verb.FREE_BUILDER


def test_a_builder_that_may_be_starting_is_waited_for() -> None:
    """The start may have been sent just before a crash, and not show yet."""
    s = Stage().did(Verb.CLAIM_BUILDER).told(EventKind.BEGAN, verb=Verb.START_BUILDER).builder("stopped").rolls_back()
    assert s.decision == Wait(Awaited.BUILDER_STOPPED, 5.0)
    assert s.passes(60).verb is Verb.FREE_BUILDER


def test_a_failed_image_is_removed_and_a_good_one_is_named() -> None:
    """S5: nothing is left behind unnamed."""
    s = Stage().did(Verb.MAKE_IMAGE, image="ami-1").image("failed", tagged_release="web/production#42").rolls_back()
    assert s.decision == Act(Verb.DROP_IMAGE, image="ami-1")
    s.did(Verb.DROP_IMAGE, image="ami-1")
    assert s.decision == Rest(Outcome.ROLLED_BACK, Reason.ORDERED, "because")
    s = Stage().did(Verb.MAKE_IMAGE, image="ami-1").image("pending", tagged_release="web/production#42").rolls_back()
    assert s.decision == Rest(Outcome.ROLLED_BACK, Reason.ORDERED, "because", ("image ami-1",))


@pytest.mark.parametrize("phase", [Phase.LAUNCHING, Phase.CHECKING])
def test_before_green_had_traffic_it_is_simply_removed(phase: Phase) -> None:
    """Delete green, its template version, then put blue's settings back, in that order."""
    s = Stage().launched().enters(phase).rolls_back()
    assert s.verb is Verb.DELETE_GREEN
    s.did(Verb.DELETE_GREEN)
    assert s.decision == Wait(Awaited.GROUP_GONE, 5.0)
    s.sees(green=None)
    assert s.verb is Verb.DELETE_TEMPLATE_VERSION
    s.did(Verb.DELETE_TEMPLATE_VERSION)
    assert s.verb is Verb.UNPIN_BLUE
    s.did(Verb.UNPIN_BLUE)
    assert s.verb is Verb.RESUME_BLUE
    s.did(Verb.RESUME_BLUE)
    assert s.decision == Rest(Outcome.ROLLED_BACK, Reason.ORDERED, "because")


def test_a_green_that_failed_stays_for_a_look_inside() -> None:
    """Where the configuration asks for it; its template version goes, and blue is put back as after every rollback."""
    s = Stage(keep_failed="2h").joined().rolls_back("check_failed")
    assert s.verb is Verb.TAKE_GREEN_OUT
    s.did(Verb.TAKE_GREEN_OUT).detach("green").targets(blue="healthy")
    until = s.now + 7200
    assert s.decision == Act(Verb.KEEP_GREEN, until=until)
    s.did(Verb.KEEP_GREEN, until=until)
    assert s.release.kept_until == until
    for verb in (Verb.DELETE_TEMPLATE_VERSION, Verb.UNPIN_BLUE, Verb.RESUME_BLUE):
        assert s.verb is verb
        s.did(verb)
    kept = f"group web-production-v42, without traffic, kept for inspection until {moment(until, MINUTE)}"
    assert named(s) == (f"{kept}: {delete_group('web-production-v42')} ends it now",)
    assert named(s.sees(green=None)) == (), "a person ended it"


def test_a_green_that_nobody_can_look_into_is_removed() -> None:
    """Without instances, after a hold that expired, and when AWS does not let us keep it; and by default."""
    for reason, changes, keep in (
        ("launch_late", {"instances": ()}, "2h"),
        ("hold_expired", {}, "2h"),
        ("check_failed", {}, "0"),
    ):
        s = Stage(keep_failed=keep).launched().alter("green", **changes).rolls_back(reason)
        assert s.verb is Verb.DELETE_GREEN
    s = Stage(keep_failed="2h").launched().rolls_back("check_failed")
    assert s.verb is Verb.KEEP_GREEN
    assert failed_attempts(s, Verb.KEEP_GREEN, denied=True).verb is Verb.DELETE_GREEN
    s.did(Verb.DELETE_GREEN)
    assert s.decision == Wait(Awaited.GROUP_GONE, 5.0)


def test_a_group_that_may_still_appear_is_waited_for() -> None:
    """Green may have been created just before a crash, and not show yet (S5)."""
    s = Stage().launched().sees(green=None, template=None).rolls_back()
    assert s.decision == Wait(Awaited.GROUP_GONE, 5.0)
    s.told(EventKind.BEGAN, verb=Verb.MAKE_TEMPLATE_VERSION)
    s.release = replace(s.release, began={v: e for v, e in s.release.began.items() if v is not Verb.CREATE_GREEN})
    assert s.decision == Wait(Awaited.READ_BACK, 5.0)
    assert s.passes(60).verb is Verb.UNPIN_BLUE


def test_a_group_of_our_name_that_is_not_ours_is_left_alone() -> None:
    """Green could not be made because its name is taken: what was made is undone, and the other is not looked at."""
    s = Stage().enters(Phase.LAUNCHING, image="ami-1").did(Verb.PIN_BLUE, blue=BEFORE)
    s.did(Verb.SUSPEND_BLUE).did(Verb.MAKE_TEMPLATE_VERSION, template_version=8)
    failed_attempts(s, Verb.CREATE_GREEN).sees(blue=group("web-asg", target_groups=frozenset({TG})))
    s.sees(green=group("web-production-v42", release="other/production#42"), template=Template("lt-1", 7, 8, ours=8))
    s.attach("green").targets(blue="healthy", green="healthy").rolls_back()
    assert s.passes(60).verb is Verb.DELETE_TEMPLATE_VERSION
    assert s.did(Verb.DELETE_TEMPLATE_VERSION).verb is Verb.UNPIN_BLUE


STRANGE: list[dict[str, str]] = [
    {"release": "web/production#42", "token": "another"},  # of another journal's release of that number
    {"release": "web/production#42"},  # of the same, from before tokens
    {},
]


@pytest.mark.parametrize("marks", STRANGE, ids=str)
@pytest.mark.parametrize("phase", [Phase.LAUNCHING, Phase.CHECKING, *list(Phase)[3:8]])
def test_a_green_that_another_made_stops_the_release(phase: Phase, marks: dict[str, str]) -> None:
    """The journal speaks of another world: nothing is touched, forwards or back, and a person is called."""
    s = (
        Stage(started={"token": "mine"})
        .switched()
        .enters(phase)
        .alter("green", **{"release": "", "token": "", **marks})
    )
    for rolled_back in (False, True):
        decision = s.rolls_back().decision if rolled_back else s.decision
        assert isinstance(decision, Rest)
        assert (decision.outcome, decision.reason) == (Outcome.FAILED, Reason.CHANGED_OUTSIDE)
        assert "does not belong to this release" in decision.message


def test_a_green_that_is_blue_is_never_green() -> None:
    """An old journal may have given green the name of the group that serves, with tags that fit."""
    s = Stage(started={"blue_group": "web-production-v42"}).switched()
    assert isinstance(s.rolls_back().decision, Rest)


def test_a_green_that_will_not_go_calls_for_a_person() -> None:
    """Every wait has a limit."""
    s = Stage().launched().rolls_back().did(Verb.DELETE_GREEN).alter("green", deleting=True)
    assert s.decision == Wait(Awaited.GROUP_GONE, 5.0)
    decision = s.passes(7200).decision
    assert isinstance(decision, Rest)
    assert decision.reason is Reason.RETIRE_LATE
    assert decision.left[-1] == "pins on group web-asg (its own: minimum 2, template version $Latest)"


def test_a_version_that_cannot_be_removed_is_named() -> None:
    """It harms nobody, so it does not fail the rollback."""
    s = Stage().launched().sees(green=None).rolls_back().did(Verb.DELETE_GREEN)
    failed_attempts(s, Verb.DELETE_TEMPLATE_VERSION, denied=True)
    s.did(Verb.UNPIN_BLUE, Verb.RESUME_BLUE)
    decision = s.decision
    assert isinstance(decision, Rest)
    assert decision.left == ("version 8 of the launch template lt-1",)
    s.did(Verb.UNPIN_BLUE, stays_on_version=7).did(Verb.RESUME_BLUE)
    decision = s.decision
    assert isinstance(decision, Rest)
    assert decision.left[1] == "group web-asg on template version 7"


def test_a_rollback_before_blue_was_pinned_has_nothing_to_undo() -> None:
    """Entered launching, and ordered back at once."""
    s = Stage().enters(Phase.LAUNCHING, image="ami-1").rolls_back()
    s.sees(blue=group("web-asg", target_groups=frozenset({TG})), targets={TG: {}})
    assert s.decision == Rest(Outcome.ROLLED_BACK, Reason.ORDERED, "because")


ATTACH = "aws autoscaling attach-load-balancer-target-groups --auto-scaling-group-name web-asg --target-group-arns"


@pytest.mark.parametrize(
    ("blue", "said"),
    [(None, "is gone"), (group("web-asg"), f"was taken out of the load balancer: `{ATTACH} {TG}` returns it")],
    ids=["gone", "out"],
)
def test_rolled_back_is_not_said_where_blue_does_not_serve(blue: Group | None, said: str) -> None:
    """A journal from before: its blue was replaced long since, and nothing was made yet."""
    s = Stage().enters(Phase.LAUNCHING, image="ami-1").rolls_back().sees(blue=blue, targets={TG: {}})
    decision = s.decision
    assert isinstance(decision, Rest)
    assert (decision.outcome, decision.reason) == (Outcome.FAILED, Reason.CHANGED_OUTSIDE)
    assert decision.message == f"web-asg {said}; this release changed nothing"


def test_a_blue_that_is_just_being_detached_does_not_serve() -> None:
    """Its targets may be shown healthy for a while."""
    s = Stage().enters(Phase.LAUNCHING, image="ami-1").rolls_back().sees(blue=group("web-asg", 4))
    decision = s.targets(blue="healthy").decision
    assert isinstance(decision, Rest)
    assert decision.outcome is Outcome.FAILED


def test_a_blue_that_may_be_pinned_is_unpinned() -> None:
    """A driver died pinning it: whether the pins are there or not, blue's own settings are put back."""
    before = Stage().launched().release.blue
    assert before is not None
    s = Stage().enters(Phase.LAUNCHING, image="ami-1").sees(blue=group("web-asg", target_groups=frozenset({TG})))
    s.told(EventKind.BEGAN, verb=Verb.PIN_BLUE, blue=before.to_facts()).rolls_back()
    assert s.verb is Verb.UNPIN_BLUE
    assert s.did(Verb.UNPIN_BLUE).verb is Verb.RESUME_BLUE
    s.did(Verb.RESUME_BLUE)
    assert s.decision == Rest(Outcome.ROLLED_BACK, Reason.ORDERED, "because")


def refused(s: Stage, verb: Verb, *, transient: bool = False, **facts: Any) -> Stage:
    """A try that AWS answered with an error."""
    why = {"code": "ValidationError", "message": "no", "transient": transient, "denied": False}
    return s.told(EventKind.BEGAN, verb=verb, **facts).told(EventKind.STUMBLED, verb=verb, **why)


def test_what_aws_refused_has_changed_nothing() -> None:
    """Blue was never pinned, so there is nothing to put back, and nothing is left."""
    before = Stage().launched().release.blue
    assert before is not None
    s = Stage().enters(Phase.LAUNCHING, image="ami-1").sees(blue=group("web-asg", target_groups=frozenset({TG})))
    s.sees(targets={TG: {}})
    refused(s, Verb.PIN_BLUE, blue=before.to_facts()).rolls_back()
    assert s.decision == Rest(Outcome.ROLLED_BACK, Reason.ORDERED, "because")
    assert phases.blind(s.release, s.now, denied=True, message="").left == ()  # type: ignore[union-attr]  # it rests


def test_what_may_have_been_done_before_it_was_refused_is_undone() -> None:
    """The first try ended without an answer."""
    before = Stage().launched().release.blue
    assert before is not None
    s = Stage().enters(Phase.LAUNCHING, image="ami-1").sees(blue=group("web-asg", target_groups=frozenset({TG})))
    s.sees(targets={TG: {}})
    refused(s, Verb.PIN_BLUE, transient=True, blue=before.to_facts())
    refused(s, Verb.PIN_BLUE, blue=before.to_facts()).rolls_back()
    assert s.verb is Verb.UNPIN_BLUE


def test_a_green_that_was_never_made_is_not_left() -> None:
    """AWS refused to make it."""
    s = refused(Stage().enters(Phase.LAUNCHING, image="ami-1"), Verb.CREATE_GREEN).rolls_back()
    decision = phases.blind(s.release, s.now, denied=True, message="")
    assert isinstance(decision, Rest)
    assert decision.left == ()


def test_an_instance_refresh_of_blue_is_waited_for() -> None:
    """As long as a launch may take; then nothing was made, and green has its own time."""
    s = Stage().launched()
    blue, template = s.seen.blue, s.seen.template
    s = Stage().enters(Phase.LAUNCHING, image="ami-1").sees(blue=blue, template=template, refresh="it is refreshed")
    assert s.decision == Wait(Awaited.REFRESHED, 30.0, 1900.0)
    s.passes(600).sees(refresh="")
    decision = s.decision
    assert isinstance(decision, Act)
    s.did(Verb.PIN_BLUE, blue=decision.to_facts()["blue"]).did(Verb.SUSPEND_BLUE, Verb.CREATE_GREEN)
    s.did(Verb.MAKE_TEMPLATE_VERSION, template_version=9)
    assert s.decision == Wait(Awaited.GREEN_UP, 30.0, 2500.0)
    s = Stage().enters(Phase.LAUNCHING, image="ami-1").sees(blue=blue, template=template, refresh="it is refreshed")
    assert s.passes(900).decision == RollBack(Reason.CHANGED_OUTSIDE, "it is refreshed")


# --- instances of blue that are set aside, protected, or held by a hook ---


def at(where: str, *, weighted: bool) -> Stage:
    """A release that has come so far with a whole blue."""
    s = Stage(steps=[0, 50]) if weighted else Stage()
    match where:
        case "before the pin":
            blue, template = group("web-asg", target_groups=frozenset({TG})), Template("lt-1", default=7, latest=7)
            return s.enters(Phase.LAUNCHING, image="ami-1").sees(blue=blue, template=template)
        case "launching" | "checking":
            s = s.idle() if weighted else s.launched()
        case "overlapping" | "holding" | "switching":
            s = s.joined()
        case "soaking" | "rolling back":
            s = s.switched()
        case _:
            s = s.switched().enters(Phase.RETIRING)
            s = s.did(Verb.TAKE_BLUE_OUT).detach("blue") if weighted else s
            return s.did(Verb.STILL_BLUE).targets(green="healthy")
    return s.rolls_back() if where == "rolling back" else s if s.release.phase == where else s.enters(Phase(where))


def told_to_be_empty(s: Stage) -> Stage:
    """Blue was told to be empty, and all else is done."""
    s.did(Verb.EMPTY_BLUE, Verb.SET_DEFAULT_VERSION, Verb.RESTORE_GREEN, Verb.RESUME_GREEN, Verb.MARK_IMAGE)
    return s.alter("blue", desired=0, minimum=0, maximum=0)


def in_short(decision: phases.Decision) -> str:
    """What is decided, without its facts."""
    match decision:
        case Act():
            return f"{decision.verb}"
        case Enter():
            return f"enter {decision.phase}"
        case Wait():
            return f"wait for {decision.awaited}"
    return str(decision)


HELD_BY_HOOKS = ("Pending:Wait", "Terminating:Wait")
#: What is decided with a whole blue, in shared target groups and with weights; then where one instance matters.
DECIDED: dict[str, tuple[str, str, dict[str, str]]] = {
    "before the pin": ("pin_blue", "pin_blue", dict.fromkeys(("Standby", *HELD_BY_HOOKS), "wait for blue_settled")),
    "launching": ("enter checking", "enter checking", {}),
    "checking": ("enter overlapping", "enter overlapping", {}),
    "overlapping": ("wait for overlap", "wait for step", {}),
    "holding": ("wait for promotion", "wait for promotion", {}),
    "switching": ("take_blue_out", "shift", {}),
    "soaking": ("wait for soak", "wait for soak", {}),
    "retiring": ("empty_blue", "empty_blue", {"protected": "unprotect_blue"}),
    "emptied": ("wait for blue_empty", "wait for blue_empty", {}),
    "rolling back": ("join_blue", "shift", dict.fromkeys(("Standby", *HELD_BY_HOOKS), "wait for blue_healthy")),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("how", ["whole", "Standby", "protected", *HELD_BY_HOOKS])
@pytest.mark.parametrize("where", DECIDED)
def test_one_instance_of_blue_is_not_as_the_others(where: str, how: str, weighted: bool) -> None:
    """It is waited for only where blue is counted, or is to serve; nothing is in the way of a switch to green."""
    s = told_to_be_empty(at("retiring", weighted=weighted)) if where == "emptied" else at(where, weighted=weighted)
    first, *others = s.seen.blue.instances  # type: ignore[union-attr]  # set by the stage
    one = replace(first, protected=how == "protected", lifecycle="InService" if how in ("whole", "protected") else how)
    s.alter("blue", instances=(one, *others))
    usual, differs = DECIDED[where][weighted], DECIDED[where][2]
    assert in_short(s.decision) == differs.get(how, usual)


# --- a group at size 0 ---


def asleep(*, weighted: bool = False, **changes: Any) -> Stage:
    """A release of a blue at size 0, with green made at size 0 beside it."""
    s = Stage(steps=[0, 50], **changes) if weighted else Stage(**changes)
    none: dict[str, Any] = {"desired": 0, "minimum": 0, "instances": ()}
    s.launched().alter("blue", **none).alter("green", **none)
    pinned = {**BEFORE, "desired": 0, "minimum": 0}
    s.release = replace(s.release, blue=BlueBefore.from_facts(pinned), size=0)
    return s.targets()


CHECKED: dict[str, Any] = {
    "checks": [{"name": "home", "http": "https://web.example.com"}, {"name": "unit", "run": "true"}]
}


def test_nothing_is_asked_of_a_release_of_size_0() -> None:
    """Nobody serves: no check, no overlap, no soak; and the end says so."""
    s = asleep(**CHECKED).enters(Phase.CHECKING)
    assert s.decision == Enter(Phase.OVERLAPPING)
    assert s.enters(Phase.OVERLAPPING).verb is Verb.JOIN_GREEN
    s.did(Verb.JOIN_GREEN).attach("green").notices()
    assert s.release.checks == {}
    assert s.decision == Enter(Phase.SWITCHING)
    assert s.enters(Phase.SWITCHING).verb is Verb.TAKE_BLUE_OUT
    assert s.did(Verb.TAKE_BLUE_OUT).detach("blue").decision == Enter(Phase.SOAKING)
    assert s.enters(Phase.SOAKING).decision == Enter(Phase.RETIRING)
    s.enters(Phase.RETIRING).did(Verb.STILL_BLUE, Verb.EMPTY_BLUE, Verb.SET_DEFAULT_VERSION)
    s.did(Verb.RESTORE_GREEN, Verb.RESUME_GREEN, Verb.DELETE_BLUE, Verb.MARK_IMAGE).sees(blue=None)
    end = s.decision
    assert isinstance(end, Rest)
    assert end.outcome is Outcome.LIVE
    said = "nothing served: web-production-v42 is at size 0, as web-asg was; skipped checks: home, unit"
    assert end.message == said
    s.config = s.config.model_copy(update={"checks": ()})
    assert "skipped checks" not in str(s.decision)


def test_weights_move_at_once_in_a_release_of_size_0() -> None:
    """There is nobody whose share could rise in steps."""
    s = asleep(weighted=True).enters(Phase.CHECKING).did(Verb.SHIFT, share=0)
    assert s.verb is Verb.JOIN_GREEN
    s.did(Verb.JOIN_GREEN).attach("green").attach("blue")
    assert s.decision == Enter(Phase.OVERLAPPING)
    assert s.enters(Phase.OVERLAPPING).decision == Enter(Phase.SWITCHING)
    assert s.enters(Phase.SWITCHING).decision == Act(Verb.SHIFT, share=100)
    assert s.shifted(100).decision == Enter(Phase.SOAKING)


def test_a_release_of_size_0_waits_for_a_promotion_that_is_configured() -> None:
    """That is a person's word on the version, not on its health."""
    s = asleep(hold=True).enters(Phase.CHECKING).enters(Phase.OVERLAPPING).did(Verb.JOIN_GREEN).attach("green")
    assert s.decision == Enter(Phase.HOLDING)
    assert s.enters(Phase.HOLDING).decision == Wait(Awaited.PROMOTION, 30.0, s.now + 14400)


@pytest.mark.parametrize("which", ["blue", "green"])
@pytest.mark.parametrize("phase", [*Phase][2:-1])
def test_somebody_scales_up_a_release_of_size_0(phase: Phase, which: str) -> None:
    """Green gets as many, and is judged from then on, in its whole time; what a driver that died began is repeated."""
    s = asleep().enters(Phase.CHECKING)
    if phase is not Phase.CHECKING:
        s.enters(Phase.OVERLAPPING).did(Verb.JOIN_GREEN).attach("green")
    s.enters(phase).passes(5000).alter(which, desired=3)
    assert s.decision == Act(Verb.GROW_GREEN, size=3)
    s.told(EventKind.BEGAN, verb=Verb.GROW_GREEN, size=3)
    assert s.decision == Act(Verb.GROW_GREEN, size=3)
    s.told(EventKind.DID, verb=Verb.GROW_GREEN, size=3).alter("green", desired=3, minimum=3)
    assert not s.release.idle
    assert isinstance(s.decision, Wait) or phase is Phase.CHECKING
    if phase in (Phase.OVERLAPPING, Phase.HOLDING, Phase.SWITCHING, Phase.SOAKING):
        late = s.passes(600).decision
        assert isinstance(late, RollBack)
        assert late.message.startswith("targets did not hold within 10m")


def test_nobody_scales_up_a_green_that_is_not_there() -> None:
    """It is another's, or is being deleted."""
    s = asleep().enters(Phase.CHECKING).alter("blue", desired=3)
    s.alter("green", deleting=True)
    assert s.verb is not Verb.GROW_GREEN
    s.alter("green", deleting=False, release="web/production#7")
    assert s.verb is not Verb.GROW_GREEN


def test_a_rollback_of_a_release_of_size_0() -> None:
    """Blue joins, and green is removed; what somebody scaled up meanwhile must be healthy before green leaves."""
    s = asleep().enters(Phase.CHECKING).enters(Phase.OVERLAPPING).did(Verb.JOIN_GREEN).attach("green")
    s.enters(Phase.SWITCHING).did(Verb.TAKE_BLUE_OUT).detach("blue").enters(Phase.SOAKING).rolls_back()
    assert s.verb is Verb.JOIN_BLUE
    s.did(Verb.JOIN_BLUE).attach("blue").passes(40)
    assert s.verb is Verb.TAKE_GREEN_OUT
    s.alter("blue", desired=3)
    assert s.decision == Wait(Awaited.BLUE_HEALTHY, 5.0)
    blue = group("web-asg", 3, minimum=0, target_groups=frozenset({TG}))
    assert s.sees(blue=blue).targets(blue="healthy").verb is Verb.TAKE_GREEN_OUT


REFRESHED = "the instance refresh r-1 of web-asg is under way (InProgress)"


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("phase", [one for one in Phase if one.can_roll_back and one is not Phase.BAKING])
def test_an_instance_refresh_that_begins_later_stops_the_release(phase: Phase, weighted: bool) -> None:
    """It replaces instances that the release counts on, of blue or of green; a rollback that is ordered goes on."""
    s = Stage(steps=[0, 50]) if weighted else Stage()
    early = phase in (Phase.LAUNCHING, Phase.CHECKING)
    s = s.launched() if early else s.switched() if phase is Phase.SOAKING else s.joined()
    s = s.enters(phase).sees(refresh=REFRESHED)
    stop = s.decision
    assert isinstance(stop, Rest)
    assert (stop.outcome, stop.reason, stop.message) == (Outcome.FAILED, Reason.CHANGED_OUTSIDE, REFRESHED)
    s.told(EventKind.ROLLBACK_ORDERED, who="you")
    assert isinstance(s.decision, RollBack)
    assert not isinstance(s.rolls_back().decision, Rest)


def test_an_instance_refresh_while_blue_is_retired_stops_the_release() -> None:
    """Until blue is emptied there is something to lose."""
    stop = Stage().switched().enters(Phase.RETIRING).sees(refresh=REFRESHED).decision
    assert isinstance(stop, Rest)
    assert (stop.reason, stop.message) == (Reason.CHANGED_OUTSIDE, REFRESHED)


#: A group of four that is scaling: what AWS shows of it, and how that is said.
MOVING: dict[str, tuple[dict[str, Any], str]] = {
    "out": ({"desired": 6}, "it has 4 instances of 6"),
    "in": ({"desired": 3}, "it has 4 instances of 3"),
    "boots": (
        {"desired": 5, "instances": (*group("web-asg").instances, Instance("i-9", "Pending:Wait"))},
        "i-9 is Pending:Wait",
    ),
    "leaves": ({"instances": (*group("web-asg").instances, Instance("i-9", "Terminating"))}, "i-9 is Terminating"),
    "is detached": ({"instances": (*group("web-asg").instances, Instance("i-9", "Detaching"))}, "i-9 is Detaching"),
    "is replaced": (
        {"instances": (*group("web-asg").instances[:3], Instance("i-9", "Terminating", healthy=False))},
        "it has 3 instances of 4; i-9 is Terminating",
    ),
}


def scaling(what: str = "boots", **changes: Any) -> Stage:
    """A release that is about to pin a blue that is scaling."""
    s = Stage(**changes).enters(Phase.LAUNCHING, image="ami-1").sees(template=Template("lt-1", default=7, latest=7))
    return s.sees(blue=group("web-asg", target_groups=frozenset({TG}), **MOVING[what][0]))


@pytest.mark.parametrize("what", MOVING)
def test_a_blue_that_is_scaling_is_waited_for(what: str) -> None:
    """It is counted once it has settled, within the time that anything may take to be healthy."""
    s = scaling(what)
    assert s.decision == Wait(Awaited.BLUE_SETTLED, 5.0, 1600.0)
    assert s.passes(400).decision == Wait(Awaited.BLUE_SETTLED, 20.0, 1600.0)
    late = s.passes(200).decision
    said = f"the group web-asg is scaling: {MOVING[what][1]}, still after 10m"
    assert late == RollBack(Reason.BLUE_UNSETTLED, said)
    blue = group("web-asg", 6, target_groups=frozenset({TG}))
    settled = s.sees(blue=blue).decision
    assert isinstance(settled, Act)
    assert settled.blue is not None
    assert (settled.verb, settled.blue.desired) == (Verb.PIN_BLUE, 6)


def test_new_targets_of_blue_are_waited_for() -> None:
    """They count once they are healthy; what is parked does not settle by itself, and is not waited for."""
    s = Stage().enters(Phase.LAUNCHING, image="ami-1").sees(template=Template("lt-1", default=7, latest=7))
    blue = group("web-asg", target_groups=frozenset({TG}))
    s.sees(blue=blue, blue_targets={TG: dict.fromkeys(blue.in_service, "initial")})
    assert s.decision == Wait(Awaited.BLUE_SETTLED, 5.0, 1600.0)
    late = str(s.passes(600).decision)
    assert "web-asg-0 waits for its first health checks" in late
    assert "web-asg-2 waits for its first health checks and 1 more" in late
    s.sees(blue_targets={TG: dict.fromkeys(blue.in_service, "healthy")})
    assert s.verb is Verb.PIN_BLUE
    s.alter("blue", instances=(*blue.instances, Instance("i-9", "Standby"), Instance("i-8", "Quarantined")))
    assert s.verb is Verb.PIN_BLUE
    s.alter("blue", instances=(*blue.instances, Instance("i-9", "Warmed:Stopped"), Instance("i-8", "Warmed:Pending")))
    assert s.verb is Verb.PIN_BLUE


def test_nobody_waits_for_a_blue_that_is_to_be_cured_or_is_pinned_already() -> None:
    """It may never settle; and what a driver that died had begun is done once more."""
    assert scaling(started={"cure": "it is scaling"}).verb is Verb.PIN_BLUE
    assert scaling().told(EventKind.BEGAN, verb=Verb.PIN_BLUE, blue=BEFORE).verb is Verb.PIN_BLUE


def test_a_rollback_that_is_ordered_meanwhile_waits_for_nothing() -> None:
    """Nothing was made yet."""
    s = scaling().told(EventKind.ROLLBACK_ORDERED, who="you")
    assert s.decision == RollBack(Reason.ORDERED, "ordered by you")
    s.rolls_back().attach("blue").targets(blue="healthy")
    assert isinstance(s.decision, Rest)
    assert s.decision.outcome is Outcome.ROLLED_BACK


@pytest.mark.parametrize("phase", [Phase.OVERLAPPING, Phase.HOLDING])
def test_while_both_serve_green_leaves(phase: Phase) -> None:
    """One call; then green drains before it is removed."""
    s = Stage().joined().enters(phase).rolls_back()
    assert s.verb is Verb.TAKE_GREEN_OUT
    s.did(Verb.TAKE_GREEN_OUT)
    assert s.decision == Wait(Awaited.READ_BACK, 5.0)
    s.detach("green").targets(blue="healthy", green="draining")
    assert s.decision == Wait(Awaited.DRAINED, 30.0, s.release.in_phase_since + 3660)
    s.targets(blue="healthy")
    assert s.verb is Verb.DELETE_GREEN


def test_a_drain_that_does_not_end_is_not_waited_for() -> None:
    """The longest deregistration delay is an hour."""
    s = Stage().joined().rolls_back().detach("green").targets(blue="healthy", green="draining")
    assert s.passes(3660).verb is Verb.DELETE_GREEN


@pytest.mark.parametrize("phase", [Phase.SWITCHING, Phase.SOAKING])
def test_after_the_switch_blue_joins_first(phase: Phase) -> None:
    """Blue is given traffic, seen healthy, and only then green leaves (S1, S3)."""
    s = Stage().switched().enters(phase).rolls_back()
    assert s.verb is Verb.JOIN_BLUE
    s.did(Verb.JOIN_BLUE)
    assert s.decision == Wait(Awaited.BLUE_HEALTHY, 5.0)
    s.attach("blue").targets(blue="initial", green="healthy")
    assert s.decision == Wait(Awaited.BLUE_HEALTHY, 5.0)
    s.targets(blue="healthy", green="healthy").passes(30)
    assert s.verb is Verb.TAKE_GREEN_OUT


def test_blue_that_was_just_detached_is_not_trusted() -> None:
    """It may still be shown attached and healthy, and drain a moment later: it joins again, and that is awaited."""
    s = Stage().joined().enters(Phase.SWITCHING).told(EventKind.BEGAN, verb=Verb.TAKE_BLUE_OUT).rolls_back()
    assert s.verb is Verb.JOIN_BLUE
    s.did(Verb.JOIN_BLUE)
    assert s.decision == Wait(Awaited.BLUE_HEALTHY, 5.0)
    assert s.passes(30).verb is Verb.TAKE_GREEN_OUT


def test_targets_of_a_detached_group_serve_nobody() -> None:
    """Whatever their state is shown as."""
    s = Stage().joined().detach("blue")
    assert s.seen.serving(s.seen.blue) == ()


def test_green_that_may_be_joining_is_not_removed_yet() -> None:
    """It was told to join just before the rollback; its targets may appear yet."""
    s = Stage().launched().enters(Phase.OVERLAPPING).told(EventKind.BEGAN, verb=Verb.JOIN_GREEN).rolls_back()
    assert s.decision == Wait(Awaited.READ_BACK, 5.0)
    assert s.passes(60).verb is Verb.DELETE_GREEN


def test_an_image_that_was_just_ordered_is_named() -> None:
    """Although nobody recorded its id (S5)."""
    s = Stage().did(Verb.START_BUILDER, Verb.STOP_BUILDER).told(EventKind.BEGAN, verb=Verb.MAKE_IMAGE)
    s.builder("stopped").rolls_back()
    assert s.decision == Wait(Awaited.IMAGE, 5.0)
    s.image("pending", tagged_release=s.release.id)
    assert s.decision == Rest(Outcome.ROLLED_BACK, Reason.ORDERED, "because", ("image ami-1",))


def test_no_traffic_for_a_blue_that_is_not_healthy() -> None:
    """S11: it is not joined, green is not taken out, a person is called."""
    s = Stage().switched().rolls_back()
    sick = tuple(Instance(i.id, "InService", healthy=False) for i in s.seen.blue.instances)  # type: ignore[union-attr]  # on stage
    s.alter("blue", instances=sick)
    assert s.decision == Wait(Awaited.BLUE_HEALTHY, 5.0)
    decision = s.passes(600).decision
    assert isinstance(decision, Rest)
    assert decision.outcome is Outcome.FAILED
    assert decision.reason is Reason.BLUE_UNHEALTHY
    assert "0 of 4 of blue healthy" in decision.message


def test_no_rollback_to_a_blue_that_is_gone() -> None:
    """Green is left as it is."""
    decision = Stage().switched().rolls_back().sees(blue=None).decision
    assert isinstance(decision, Rest)
    assert decision.reason is Reason.BLUE_UNHEALTHY


def test_green_that_somebody_put_into_traffic_is_not_deleted_under_it() -> None:
    """Before it joined by our hand, green may be in the load balancer by another's."""
    s = Stage().launched().attach("green").targets(blue="unhealthy", green="healthy").rolls_back()
    assert s.decision == Wait(Awaited.BLUE_HEALTHY, 5.0)
    decision = s.passes(600).decision
    assert isinstance(decision, Rest)
    assert decision.reason is Reason.BLUE_UNHEALTHY


def test_pins_cannot_be_taken_off_a_group_that_is_gone() -> None:
    """It is said, not passed over (S6)."""
    s = Stage().launched().sees(green=None, blue=None).rolls_back()
    s.did(Verb.DELETE_GREEN, Verb.DELETE_TEMPLATE_VERSION)
    decision = s.decision
    assert isinstance(decision, Rest)
    assert decision.reason is Reason.CHANGED_OUTSIDE


# --- what others changed (S9) ---


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"blue": None}, "web-asg was deleted"),
        ({"blue": {"deleting": True}}, "web-asg was deleted"),
        ({"blue": {"desired": 3}}, "web-asg was shrunk from 4 to 3"),
        ({"blue": {"template_version": "9"}}, "put on template version 9 (it was on 7)"),
        ({"blue": {"target_groups": frozenset()}}, "web-asg was taken out of the load balancer"),
        ({"green": None}, "web-production-v42 was deleted"),
        ({"green": {"deleting": True}}, "web-production-v42 was deleted"),
        ({"green": {"desired": 3}}, "web-production-v42 was shrunk from 4 to 3"),
        ({"green": {"target_groups": frozenset()}}, "web-production-v42 was taken out of the load balancer"),
        ({"routes": ("web:80 -> other",)}, "gone: web:80 -> web; new: web:80 -> other"),
        ({"routes": ()}, "gone: web:80 -> web; new: nothing"),
    ],
)
@pytest.mark.parametrize("phase", [Phase.OVERLAPPING, Phase.HOLDING, Phase.SWITCHING])
def test_a_change_by_others_stops_the_release(change: dict[str, object], says: str, phase: Phase) -> None:
    """It says what it found and what it leaves, and touches nothing more."""
    s = Stage().joined().enters(phase).passes(60)
    for name, value in change.items():
        s.alter(name, **value) if isinstance(value, dict) else s.sees(**{name: value})
    decision = s.decision
    assert isinstance(decision, Rest)
    assert (decision.outcome, decision.reason) == (Outcome.FAILED, Reason.CHANGED_OUTSIDE)
    assert says in decision.message
    assert any(left.startswith("group web-production-v42") for left in decision.left)


def test_blue_put_back_during_the_soak_stops_the_release() -> None:
    """Somebody wants blue to serve: not ours to fight."""
    s = Stage().switched().passes(60).attach("blue")
    decision = s.decision
    assert isinstance(decision, Rest)
    assert decision.message == "web-asg was put back into the load balancer"


def test_what_was_just_done_is_not_taken_for_a_change_by_others() -> None:
    """AWS's reads lag behind its writes."""
    s = Stage().launched()
    s.sees(green=None, blue=group("web-asg", minimum=2, target_groups=frozenset({TG})))
    assert isinstance(s.decision, Wait)


def test_growing_green_is_not_taken_for_a_change_by_others() -> None:
    """Its new size may show before or after."""
    s = Stage().joined().passes(60).enters(Phase.SWITCHING)
    s.sees(blue=group("web-asg", 6, minimum=4, target_groups=frozenset({TG}))).did(Verb.GROW_GREEN, size=6)
    assert isinstance(s.decision, Wait)


# --- calls that fail ---


def test_a_passing_failure_is_tried_again_with_growing_pauses() -> None:
    """1, 2, 4, 8, then every 15 seconds; ten minutes of it is too much."""
    s = Stage().launched()
    pauses = []
    for _ in range(6):
        failed_attempts(s, Verb.CREATE_GREEN, transient=True)
        decision = s.decision
        assert isinstance(decision, Wait)
        pauses.append(decision.seconds)
        s.passes(decision.seconds)
    assert pauses == [1, 2, 4, 8, 15, 15]
    assert s.verb is Verb.CREATE_GREEN
    failed_attempts(s.passes(600), Verb.CREATE_GREEN, transient=True)
    assert s.decision == RollBack(Reason.AWS_ERROR, "AWS said no")


def test_a_refused_call_rolls_the_release_back() -> None:
    """A missing permission is named."""
    s = failed_attempts(Stage().launched(), Verb.CREATE_GREEN, denied=True)
    assert s.decision == RollBack(Reason.DENIED, "AWS said no")


def test_a_refused_call_while_undoing_is_tried_three_times() -> None:
    """Then a person is called."""
    s = Stage().launched().rolls_back()
    failed_attempts(s, Verb.DELETE_GREEN, denied=True)
    assert s.decision == Wait(Awaited.RETRY, 1.0, s.now + 1)
    assert s.passes(1).verb is Verb.DELETE_GREEN
    failed_attempts(failed_attempts(s, Verb.DELETE_GREEN, denied=True), Verb.DELETE_GREEN, denied=True)
    decision = s.decision
    assert isinstance(decision, Rest)
    assert (decision.outcome, decision.reason) == (Outcome.FAILED, Reason.DENIED)


def test_a_busy_builder_is_waited_for_as_long_as_a_bake_may_take() -> None:
    """Another release bakes on it."""
    s = failed_attempts(Stage().builder("stopped"), Verb.CLAIM_BUILDER, transient=True)
    assert s.decision == Wait(Awaited.BUILDER_FREE, 1.0, s.now + 1)
    failed_attempts(s.passes(3600), Verb.CLAIM_BUILDER, transient=True)
    assert isinstance(s.decision, Wait)


def test_success_ends_a_run_of_failures() -> None:
    """And so does another act."""
    s = failed_attempts(Stage().launched(), Verb.CREATE_GREEN, transient=True).did(Verb.CREATE_GREEN)
    assert s.release.failed_attempt is None
    failed_attempts(failed_attempts(s, Verb.JOIN_GREEN, transient=True), Verb.SUSPEND_GREEN, transient=True)
    assert s.release.failed_attempt is not None
    assert s.release.failed_attempt.count == 1


def test_blindness_is_waited_out_and_then_given_up() -> None:
    """AWS cannot be asked: ten minutes, then back; while finishing, a person is called."""
    s = Stage().launched()
    assert phases.blind(s.release, s.now, denied=False, message="no route") == Wait(Awaited.REACHABLE, 1.0, s.now + 600)
    s.told(EventKind.BLINDED, code="X", message="no route").passes(600)
    assert phases.blind(s.release, s.now, denied=False, message="no route") == RollBack(Reason.BLIND, "no route")
    assert phases.blind(s.release, s.now, denied=True, message="no") == RollBack(Reason.DENIED, "no")
    s.rolls_back().told(EventKind.BLINDED, code="X", message="no route").passes(600)
    decision = phases.blind(s.release, s.now, denied=False, message="no route")
    assert isinstance(decision, Rest)
    assert decision.outcome is Outcome.FAILED


def errs(s: Stage) -> Stage:
    """Bluegreen makes a mistake."""
    return s.told(EventKind.ERRED, code="KeyError", message="KeyError: 'x' (phases/retiring.py, line 42)")


def test_a_mistake_of_our_own_is_tried_again_and_then_given_up() -> None:
    """Twice, with pauses; then the way that the phase allows, with where to report it."""
    s = Stage().launched()
    assert phases.erred(s.release, s.now) == Wait(Awaited.RETRY, 1.0, s.now + 1)
    assert phases.erred(errs(s).release, s.now) == Wait(Awaited.RETRY, 2.0, s.now + 2)
    assert phases.erred(errs(s).release, s.now) == Wait(Awaited.RETRY, 8.0, s.now + 8)
    decision = phases.erred(errs(s).release, s.now)
    assert isinstance(decision, RollBack)
    assert decision.reason is Reason.MISTAKE
    assert decision.message.startswith(
        "an internal error of bluegreen: KeyError: 'x' (phases/retiring.py, line 42). Please"
    )
    s.rolls_back()
    assert s.release.mistake is None, "going back has its own tries"
    decision = phases.erred(errs(errs(errs(s))).release, s.now)
    assert isinstance(decision, Rest)
    assert (decision.outcome, decision.reason) == (Outcome.FAILED, Reason.MISTAKE)
    assert any(left.startswith("group web-production-v42") for left in decision.left)


def test_what_works_in_between_ends_a_row_of_mistakes() -> None:
    """An act that was done, or so long a time."""
    s = errs(errs(Stage().launched()))
    assert errs(s.did(Verb.JOIN_GREEN)).release.mistake == Mistake(
        1, s.now, "KeyError: 'x' (phases/retiring.py, line 42)"
    )
    assert errs(s).release.mistake.count == 2  # type: ignore[union-attr]  # it erred
    assert errs(s.passes(300)).release.mistake.count == 1  # type: ignore[union-attr]


# --- what is worth telling ---


def test_only_changes_are_told() -> None:
    """The same look twice gives nothing the second time."""
    s = Stage().joined().sees(checks=())
    s.notices()
    assert phases.noticed(s.release, replace(s.seen, targets={}), s.config) != []
    assert phases.noticed(s.release, s.seen, s.config) == []


def test_what_a_bake_shows_is_told() -> None:
    """Image and build states, each once."""
    s = Stage().builder("running", build=RUNNING).image("pending")
    told = {one.subject: one.value for one in phases.noticed(s.release, s.seen, s.config)}
    assert told == {"image": "pending", "build": "running"}


def test_an_activity_is_told_and_taken_back() -> None:
    """Why launches fail, in AWS's words, and that they no longer do."""
    s = Stage().launched().alter("green", activity="no capacity").notices()
    assert s.release.observed["activity"].value == "no capacity"
    assert s.alter("green", activity="").notices().release.observed["activity"].value == ""


@pytest.mark.parametrize(
    ("states", "value"),
    [
        ({"blue": "healthy"}, "blue"),
        ({"blue": "healthy", "green": "initial"}, "both"),
        ({"blue": "draining", "green": "healthy"}, "green"),
        ({"blue": "draining", "green": "draining"}, "nobody"),
    ],
)
def test_who_has_the_traffic_is_told(states: dict[str, str], value: str) -> None:
    """Draining targets get no new requests."""
    s = Stage().joined().detach("blue").detach("green").targets(**states)
    told = {one.subject: one for one in phases.noticed(s.release, s.seen, s.config)}
    if value != s.release.observed["traffic"].value:
        assert told["traffic"].value == value


def test_an_empty_look_serves_nobody() -> None:
    """Nothing seen is nothing trusted (S2)."""
    seen = Observation(at=0)
    assert seen.serving(None) == ()
    assert seen.serving(group("g")) == ()
    assert not seen.in_traffic("green")
    assert not seen.draining(None)


def test_a_halt_names_everything_that_may_be_left() -> None:
    """S5: what was begun and not seen to be undone."""
    s = Stage().did(Verb.CLAIM_BUILDER, Verb.START_BUILDER).rolls_back()
    decision = phases.blind(s.release, s.now, denied=True, message="no")
    assert isinstance(decision, Rest)
    stop = "aws ec2 stop-instances --instance-ids i-0123456789abcdef0"
    assert decision.left == (f"builder i-0123456789abcdef0, perhaps running: {stop}",)
    s = Stage().did(Verb.MAKE_IMAGE, image="ami-1").launched().rolls_back().did(Verb.UNPIN_BLUE)
    decision = phases.blind(s.release, s.now, denied=True, message="no")
    assert isinstance(decision, Rest)
    assert decision.left == (
        (
            "group web-production-v42: aws autoscaling delete-auto-scaling-group --auto-scaling-group-name "
            "web-production-v42 --force-delete"
        ),
        (
            "version 8 of the launch template lt-1: aws ec2 delete-launch-template-versions --launch-template-id lt-1 "
            "--versions 8"
        ),
        "image ami-1: aws ec2 deregister-image --image-id ami-1",
    )


def test_a_hold_whose_check_wavers_is_not_promoted() -> None:
    """A promotion counts once every check holds again."""
    s = Stage(hold=True, checks=[{"name": "home", "http": "https://x"}]).joined().enters(Phase.HOLDING)
    s.told(EventKind.PROMOTED, who="U1")
    assert s.decision == Wait(Awaited.CHECKS, 5.0)


def test_short_limits_are_told_in_seconds() -> None:
    """As a person says it."""
    s = Stage(checks=[{"name": "unit", "run": "true", "within": "60s"}]).launched().enters(Phase.CHECKING).passes(60)
    assert s.decision == RollBack(Reason.CHECK_FAILED, "unit did not hold within 1m: never answered")


# --- a hold that is ordered on the way ---


@pytest.mark.parametrize("phase", [Phase.BAKING, Phase.LAUNCHING, Phase.CHECKING, Phase.OVERLAPPING])
def test_a_hold_ordered_on_the_way_ends_the_overlap_in_holding(phase: Phase) -> None:
    """Whenever it was ordered; without it the release would have switched."""
    s = Stage().enters(phase).told(EventKind.HOLD_ORDERED, who="U1")
    held = s.joined().passes(300)
    assert held.decision == Enter(Phase.HOLDING)
    assert Stage().joined().passes(300).decision == Enter(Phase.SWITCHING)


def test_a_hold_ordered_in_the_overlap_takes_back_the_promotion() -> None:
    """Whoever promoted before is not counted, whoever does so afterwards is."""
    s = Stage().joined().told(EventKind.PROMOTED, who="U1")
    assert s.decision == Enter(Phase.SWITCHING)
    s.told(EventKind.HOLD_ORDERED, who="U2")
    assert isinstance(s.decision, Wait)
    assert s.passes(300).decision == Enter(Phase.HOLDING)
    s.enters(Phase.HOLDING)
    assert s.decision == Wait(Awaited.PROMOTION, 30.0, s.now + 4 * 3600)
    assert s.told(EventKind.PROMOTED, who="U1").decision == Enter(Phase.SWITCHING)


def test_as_many_people_as_are_asked_for() -> None:
    """One of two is not enough, in the overlap or in the hold; the same one twice is one."""
    s = Stage(hold=True, promotion={"by": "person", "approvals": 2}).joined()
    for _ in range(2):
        s.told(EventKind.PROMOTED, who="U1")
        assert isinstance(s.decision, Wait)
    s.passes(300).enters(Phase.HOLDING)
    assert isinstance(s.decision, Wait)
    assert s.told(EventKind.PROMOTED, who="U2").decision == Enter(Phase.SWITCHING)


@pytest.mark.parametrize("phase", [Phase.SWITCHING, Phase.SOAKING])
def test_a_hold_that_comes_too_late_changes_nothing(phase: Phase) -> None:
    """The doors refuse it; should it slip in, the story goes on."""
    s = Stage().joined().enters(phase) if phase is Phase.SWITCHING else Stage().switched()
    before = s.decision
    assert s.told(EventKind.HOLD_ORDERED, who="U1").decision == before


# --- what AWS takes ---


def taken(s: Stage, *ids: str) -> Stage:
    """AWS took these instances of green, and shows it."""
    left = tuple(one for one in s.seen.green.instances if one.id not in ids)  # type: ignore[union-attr]  # it is there
    return s.alter("green", instances=left).sees(taken=ids)


GREEN = "web-production-v42"


def joins(s: Stage, name: str, state: str) -> Stage:
    """Another instance of green is in service, in this target state."""
    assert s.seen.green is not None
    others = tuple(one for one in s.seen.green.instances if one.id != name)
    s.alter("green", instances=(*others, Instance(name, "InService")))
    return s.sees(targets={TG: {**s.seen.targets[TG], name: state}})


@pytest.mark.parametrize("phase", [Phase.OVERLAPPING, Phase.HOLDING, Phase.SWITCHING, Phase.SOAKING, Phase.RETIRING])
def test_what_aws_takes_is_no_fault_of_the_version(phase: Phase) -> None:
    """Told once; those that remain are judged, and whoever comes in its place may boot; then it is whole again."""
    s = Stage().joined().enters(phase)
    taken(s, f"{GREEN}-0").checks()
    assert s.release.checks["targets"].held
    assert not isinstance(s.decision, RollBack)
    told = s.taken
    assert (told.value, told.instances) == (f"AWS took {GREEN}-0 of {GREEN}", (f"{GREEN}-0",))
    assert told.remain == (f"{GREEN}-1", f"{GREEN}-2", f"{GREEN}-3")
    for state in ("initial", "unhealthy"):
        joins(s, "new", state).checks()
        assert s.release.checks["targets"].held, "a newcomer boots"
    seq = s.release.seq
    assert s.notices().release.seq == seq
    s.sees(targets={TG: dict.fromkeys(s.seen.targets[TG], "healthy")}).checks(times=1)
    assert s.taken.value == ""
    s.sees(taken=(f"{GREEN}-0",)).targets(green="healthy")
    s.sees(targets={TG: {**s.seen.targets[TG], f"{GREEN}-1": "unhealthy"}}).checks()
    assert s.release.checks["targets"].lost, "what was taken long ago is no excuse"


def test_those_that_remain_are_judged() -> None:
    """One of them is ill: that is the version's fault, whatever AWS took."""
    s = taken(Stage().switched(), f"{GREEN}-0").checks(times=1)
    s.sees(targets={TG: {**s.seen.targets[TG], f"{GREEN}-1": "unhealthy"}}).checks()
    decision = s.decision
    assert isinstance(decision, RollBack)
    assert decision.reason is Reason.CHECK_FAILED
    assert decision.message.startswith("check targets no longer holds: 2 of 4 healthy, the others were taken by AWS")


def test_aws_takes_another_before_the_first_is_replaced() -> None:
    """Both are told; whoever has come to serve meanwhile is judged from then on."""
    s = taken(Stage().switched(), f"{GREEN}-0").checks()
    joins(s, "new", "initial")
    taken(s, f"{GREEN}-0", f"{GREEN}-1").checks()
    assert s.taken.remain == (f"{GREEN}-2", f"{GREEN}-3")
    s.sees(targets={TG: {**s.seen.targets[TG], "new": "healthy"}})
    taken(s, f"{GREEN}-0", f"{GREEN}-1", f"{GREEN}-2").checks()
    told = s.taken
    assert (told.remain, told.value) == (
        ("new", f"{GREEN}-3"),
        f"AWS took {GREEN}-0, {GREEN}-1, {GREEN}-2 of {GREEN}",
    )
    assert s.release.checks["targets"].held


def test_a_loss_of_a_newcomer_only_is_seen_with_the_newcomer_there() -> None:
    """A look that comes late finds the replacement booting already: it is not judged."""
    s = joins(taken(Stage().switched(), f"{GREEN}-0"), "new", "initial").checks()
    assert s.taken.remain == (f"{GREEN}-1", f"{GREEN}-2", f"{GREEN}-3")
    assert s.release.checks["targets"].held


@pytest.mark.parametrize("phase", [Phase.OVERLAPPING, Phase.HOLDING, Phase.SWITCHING, Phase.SOAKING])
def test_what_is_not_replaced_in_time(phase: Phase) -> None:
    """Alone green must be whole again within its healthy time; while blue serves, too, that is enough."""
    s = (Stage().switched() if phase is Phase.SOAKING else Stage().joined()).enters(phase)
    if phase is Phase.SWITCHING:
        s.passes(60)
    taken(s, f"{GREEN}-0").checks().passes(599 - 3)
    assert not isinstance(s.decision, RollBack) or phase is Phase.SWITCHING
    decision = s.passes(3).decision
    if phase in (Phase.OVERLAPPING, Phase.HOLDING):
        assert not isinstance(decision, RollBack)
        s.targets(green="healthy").passes(0)
        decision = s.targets(blue="unhealthy", green="healthy").decision
    assert isinstance(decision, RollBack)
    assert decision.reason is Reason.LAUNCH_LATE
    assert f"AWS took {GREEN}-0" in decision.message


@pytest.mark.parametrize("by_hand", [False, True])
def test_nobody_is_waited_for_while_nobody_serves(by_hand: bool) -> None:
    """All of green was taken: blue gets the traffic at once, and the version is not to blame."""
    s, all_ = Stage().switched(), tuple(f"{GREEN}-{n}" for n in range(4))
    decision = (puts(s, "green", "Standby", 4) if by_hand else taken(s, *all_)).notices().decision
    assert isinstance(decision, RollBack)
    assert decision.reason is (Reason.CHANGED_OUTSIDE if by_hand else Reason.LAUNCH_LATE)
    assert ", and nobody serves: 0 healthy" in decision.message
    s = taken(Stage().joined(), *all_).checks()
    assert s.release.checks["targets"].held, "blue serves: they are waited for"


@pytest.mark.parametrize(("kind", "reason"), [("run", Reason.LAUNCH_LATE), ("alarm", Reason.CHECK_FAILED)])
def test_a_check_that_finds_nobody_to_ask_blames_no_version(kind: str, reason: Reason) -> None:
    """All of green was taken before it was in any target group, and nobody comes: what can be asked is judged."""
    s = Stage(checks=[{"name": "unit", kind: "x", "when": ["checking"]}]).launched().enters(Phase.CHECKING)
    taken(s.sees(targets={}), *(f"{GREEN}-{n}" for n in range(4))).notices()
    decision = s.passes(700).decision
    assert isinstance(decision, RollBack)
    assert decision.reason is reason
    assert decision.message.startswith("unit did not hold within ")
    assert (f"AWS took {GREEN}-0, " in decision.message) is (kind == "run")


def test_all_of_green_is_taken_while_blue_is_emptied() -> None:
    """Nothing can return to blue; green's group has the time of a boot, then the release makes room for its cure."""
    s = Stage().switched().enters(Phase.RETIRING).targets(green="healthy").did(Verb.STILL_BLUE, Verb.EMPTY_BLUE)
    puts(s, "green", "Standby", 4).checks()
    assert isinstance(s.passes(590).decision, Wait)
    decision = s.passes(10).decision
    assert isinstance(decision, Rest)
    assert (decision.outcome, decision.reason) == (Outcome.FAILED, Reason.CHANGED_OUTSIDE)
    said = "0 of 4 of green healthy while web-asg is being emptied, so a rollback is impossible, since "
    assert decision.message.startswith(
        f"{said}{GREEN}-0, {GREEN}-1, {GREEN}-2, {GREEN}-3 of green were set aside by a person"
    )


# --- what a person's hand takes ---


@pytest.mark.parametrize("phase", [Phase.OVERLAPPING, Phase.HOLDING, Phase.SWITCHING, Phase.SOAKING, Phase.RETIRING])
@pytest.mark.parametrize("state", ["EnteringStandby", "Standby", "Detaching"])
def test_what_a_hand_takes_is_no_fault_of_the_version(phase: Phase, state: str) -> None:
    """As what AWS takes; and with how it ends."""
    s = Stage().joined().enters(phase)
    puts(s, "green", state).checks()
    told = s.taken
    assert told.value == f"{GREEN}-0 of {GREEN} was set aside by a person"
    assert (told.by_hand, told.remain) == ((f"{GREEN}-0",), (f"{GREEN}-1", f"{GREEN}-2", f"{GREEN}-3"))
    assert s.release.checks["targets"].held
    assert not isinstance(s.decision, RollBack)
    s.sees(targets={TG: {**s.seen.targets[TG], f"{GREEN}-1": "unhealthy"}}).checks()
    decision = s.decision
    assert isinstance(decision, RollBack)
    assert decision.message == (
        "check targets no longer holds: 2 of 4 healthy, the others were taken by hand and have no replacement yet"
    )


def test_who_was_detached_and_is_no_member_any_more_is_known_by_the_groups_activities() -> None:
    """A look that comes late."""
    s = Stage().switched()
    assert s.seen.green is not None
    s.alter("green", instances=s.seen.green.instances[1:]).sees(detached={GREEN: (f"{GREEN}-0",)}).checks()
    assert s.taken.by_hand == (f"{GREEN}-0",)
    assert s.release.detached(GREEN) == (f"{GREEN}-0",)
    assert s.release.checks["targets"].held


def test_both_take_at_once() -> None:
    """Each is told for itself, and who is not replaced by a hand's doing is nobody's fault."""
    s = taken(puts(Stage().switched(), "green", "Standby"), f"{GREEN}-1").checks()
    value = f"AWS took {GREEN}-1 of {GREEN} and {GREEN}-0 of {GREEN} was set aside by a person"
    assert s.taken.value == value
    decision = s.passes(600).decision
    assert isinstance(decision, RollBack)
    assert decision.reason is Reason.CHANGED_OUTSIDE
    assert f"{GREEN}-0 of {GREEN} is in Standby: return it to service (aws autoscaling exit-standby" in decision.message
    assert decision.message.endswith("and not replaced within 10m: 2 healthy")


def test_who_is_put_back_and_set_aside_once_more_is_a_loss_again() -> None:
    """And leaving Standby makes its group larger by one, which stops nothing."""
    s = joins(puts(Stage().switched(), "green", "Standby").checks(), "new", "healthy").checks()
    assert (s.taken.value, s.taken.instances) == ("", (f"{GREEN}-0",))
    s.passes(60).alter("green", desired=5)
    puts(s, "green", "InService").targets(green="healthy").checks()
    assert not isinstance(s.decision, Rest)
    s.alter("green", desired=4, instances=tuple(one for one in s.seen.green.instances if one.id != "new"))  # type: ignore[union-attr]  # it is there
    puts(s, "green", "Standby").checks()
    assert s.taken.value == f"{GREEN}-0 of {GREEN} was set aside by a person"
    assert s.release.checks["targets"].held


def test_who_is_set_aside_and_replaced_between_two_looks_may_be_put_back() -> None:
    """It is known from when it is seen, although nobody is missing."""
    s = puts(joins(Stage().switched(), "new", "healthy"), "green", "Standby").notices()
    assert (s.taken.value, s.taken.instances) == ("", (f"{GREEN}-0",))
    seq = s.notices().release.seq
    assert s.notices().release.seq == seq
    s.passes(60).alter("green", desired=5)
    puts(s, "green", "InService").targets(green="healthy")
    assert not isinstance(s.decision, Rest)


def test_in_checking_nobody_is_waited_for_and_newcomers_are_not_judged() -> None:
    """Before green is in a target group nobody can tell whether who came in its place has booted."""
    s = puts(Stage().launched().enters(Phase.CHECKING).sees(targets={}), "green", "Standby").notices()
    assert s.taken.remain == (f"{GREEN}-1", f"{GREEN}-2", f"{GREEN}-3")
    s.alter("green", instances=(*s.seen.green.instances, Instance("new", "InService")))  # type: ignore[union-attr]  # it is there
    assert s.notices().taken.value != ""
    assert s.passes(700).decision == Enter(Phase.OVERLAPPING)


@pytest.mark.parametrize("ill", [False, True])
def test_a_hand_before_green_was_ever_healthy(ill: bool) -> None:
    """It is not healthy in time; the version answers for those who are there."""
    s = Stage().launched().enters(Phase.CHECKING).enters(Phase.OVERLAPPING).did(Verb.JOIN_GREEN).attach("green")
    puts(s, "green", "Standby").targets(blue="healthy", green="initial").checks()
    assert not s.release.checks["targets"].held
    s.targets(blue="healthy", green="unhealthy" if ill else "healthy").passes(600)
    decision = s.decision
    assert isinstance(decision, RollBack)
    assert decision.reason is (Reason.NEVER_HEALTHY if ill else Reason.CHANGED_OUTSIDE)
    assert "targets did not hold within 10m" in decision.message


def test_who_was_set_aside_is_named_at_every_end() -> None:
    """With the command that ends it, unless it goes with its group."""
    ends = "aws ec2 terminate-instances --instance-ids i-9"
    outside = f"instance i-9, detached from {GREEN}, still running outside of every group: {ends}"
    s = Stage().switched().sees(detached={GREEN: ("i-9",)}).notices()
    puts(s, "green", "Standby", 1).notices()
    s.alter("green", desired=3).passes(60)
    decision = s.decision
    assert isinstance(decision, Rest)
    assert decision.outcome is Outcome.FAILED
    assert decision.left[0] == outside
    assert decision.left[1].startswith(f"instance {GREEN}-0 of {GREEN} is in Standby: return it to service")
    s = Stage().switched().sees(detached={GREEN: ("i-9",)}).notices().rolls_back()
    s.did(Verb.JOIN_BLUE, Verb.TAKE_GREEN_OUT, Verb.DELETE_GREEN, Verb.DELETE_TEMPLATE_VERSION)
    s.did(Verb.UNPIN_BLUE, Verb.RESUME_BLUE).attach("blue").targets(blue="healthy").passes(61)
    puts(s, "blue", "Standby").sees(green=None, template=Template("lt-1", default=7, latest=7), builder=None)
    s.sees(blue=replace(s.seen.blue, instances=(*s.seen.blue.instances, Instance("b", "InService"))))  # type: ignore[union-attr,type-var]  # it is there
    s.sees(targets={TG: {**s.seen.targets[TG], "b": "healthy"}})
    decision = s.decision
    assert isinstance(decision, Rest), decision
    assert decision.outcome is Outcome.ROLLED_BACK
    assert decision.left == (outside, f"instance {STANDBY}")


# --- whose settings ------------------------------------------------------------------------------


def marked(mark: str = "") -> Stage:
    """Green in service beside a blue that bears this release's mark, or another one."""
    s = Stage(ami="ami-1", started={"token": "9f86"}).did(Verb.PIN_BLUE, blue={**BEFORE, "marked": True}).launched()
    for which in ("blue", "green"):
        s.alter(which, held_by=mark or s.release.mark, minimum=4)
    return s.passes(phases.GRACE)


@pytest.mark.parametrize("which", ["blue", "green"])
def test_a_group_that_another_release_holds_stops_this_one(which: str) -> None:
    """One of two journals is not of this world; what is pinned by then is no leftover of this release."""
    s = marked()
    assert isinstance(s.decision, Enter)
    name = getattr(s.alter(which, held_by="web/production#43 beef").seen, which).name
    stop = s.decision
    assert isinstance(stop, Rest)
    assert stop.message == f"the group {name} is held by web/production#43 now, so bluegreen leaves it alone"
    assert any(left.startswith("pins on group") for left in stop.left) == (which == "green")


def test_a_rollback_takes_nothing_from_who_began_from_blue_since() -> None:
    """Green is gone, so whoever gets the traffic, and whoever holds blue, is of another release."""
    s = marked().rolls_back().sees(green=None).alter("blue", held_by="web/production#43 beef")
    stop = s.decision
    assert isinstance(stop, Rest)
    assert (stop.outcome, stop.reason) == (Outcome.FAILED, Reason.CHANGED_OUTSIDE)
    assert stop.message == "the group web-asg is held by web/production#43 now, so bluegreen leaves it alone"


@pytest.mark.parametrize(
    ("mark", "behind"),
    [
        ("web/production#43 beef", True),
        ("web/production#42 beef", True),
        ("web/production#41 beef", False),
        ("api/production#43 beef", False),
        ("web/production#x beef", False),
        ("", False),
    ],
)
def test_what_a_later_release_holds_is_not_pinned(mark: str, behind: bool) -> None:
    """A journal from before knows nothing of it; what an earlier release left on the group stops nobody."""
    blue = group("web-asg", target_groups=frozenset({TG}), held_by=mark)
    s = Stage(ami="ami-1", started={"token": "9f86"}).enters(Phase.LAUNCHING).sees(blue=blue)
    said = f"web-asg is held by {mark.partition(' ')[0]}, which the journal does not know"
    assert s.decision == RollBack(Reason.CHANGED_OUTSIDE, said) if behind else s.verb is Verb.PIN_BLUE


def test_a_mark_that_somebody_took_off_stops_nobody() -> None:
    """A tool that keeps tags as it knows them; what is not held is not put back later, and that is told."""
    s = marked()
    s.alter("blue", held_by="")
    assert isinstance(s.decision, Enter)
    s.rolls_back().sees(green=None, template=Template("lt-1", 7, 7))
    s.did(Verb.DELETE_GREEN, Verb.DELETE_TEMPLATE_VERSION)
    end = s.decision
    assert isinstance(end, Rest)
    assert end.left == ("group web-asg as it is, because nobody holds it now",)
    for verb in (Verb.UNPIN_BLUE, Verb.RESUME_BLUE):  # in a look that is older than the mark's end they are done again
        s.alter("blue", held_by=s.release.mark)
        assert s.verb is verb
        s.did(verb).alter("blue", held_by="")
        assert isinstance(s.decision, Rest)
        assert s.decision.left == ()


def test_a_mark_that_is_not_shown_yet_is_waited_for() -> None:
    """A rollback so soon after blue was pinned must not leave it so."""
    s = Stage(ami="ami-1", started={"token": "9f86"}).enters(Phase.LAUNCHING)
    s.did(Verb.PIN_BLUE, blue={**BEFORE, "marked": True}).sees(blue=group("web-asg", target_groups=frozenset({TG})))
    assert s.verb is Verb.SUSPEND_BLUE
    s.passes(phases.GRACE)
    assert s.decision == RollBack(Reason.CHANGED_OUTSIDE, "the group web-asg does not belong to this release any more")
    s.passes(-phases.GRACE / 2).rolls_back()
    assert s.decision == Wait(Awaited.READ_BACK, 5.0)
    assert isinstance(s.passes(phases.GRACE).decision, Rest)


def test_what_was_handed_over_before_is_not_set_again() -> None:
    """A journal from before the end of a release: green is somebody's own since."""
    s = Stage(ami="ami-1", started={"token": "9f86", "sets_default": False})
    s.did(Verb.PIN_BLUE, blue={**BEFORE, "marked": True}).switched().enters(Phase.RETIRING)
    s.alter("green", held_by=s.release.mark).sees(blue=None)
    assert s.verb is Verb.RESTORE_GREEN
    s.alter("green", held_by="")
    assert s.verb is Verb.MARK_IMAGE
