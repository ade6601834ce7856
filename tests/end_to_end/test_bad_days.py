"""Bad days, from the order to the end: what is told, and what is left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bluegreen import Engine
from bluegreen.errors import AwsError, ConfigError, Interrupted, Refused
from bluegreen.events import Awaited, Event, EventKind, Outcome, Phase, Reason, Verb
from bluegreen.release import Release
from bluegreen.wording import awaited_text
from tests.worlds import GOOD, SICK, Last, Ops, as_told, asleep, bare, fast, has, once

CHANGES = {
    "ec2:StartInstances",
    "ssm:SendCommand",
    "ec2:StopInstances",
    "ec2:CreateImage",
    "autoscaling:UpdateAutoScalingGroup",
    "autoscaling:SuspendProcesses",
    "ec2:CreateLaunchTemplateVersion",
    "autoscaling:CreateAutoScalingGroup",
    "autoscaling:AttachLoadBalancerTargetGroups",
    "autoscaling:DetachLoadBalancerTargetGroups",
    "autoscaling:ResumeProcesses",
    "autoscaling:DeleteAutoScalingGroup",
}


def ended(o: Ops, release: Release, when: Callable[[Release], None] = lambda _: None) -> Release:
    """The release driven to its end."""
    done = o.drive(release.id, when=when)
    assert done is not None
    return done


def test_a_builder_whose_commands_fail() -> None:
    """Their last lines reach the person; the builder is stopped again."""
    o = bare()
    o.machines.fails("git fetch", output="fatal: could not read from remote repository")
    done = ended(o, o.start())
    assert (done.outcome, done.reason) == (Outcome.ROLLED_BACK, Reason.BUILD_FAILED)
    assert "could not read from remote repository" in done.message
    assert o.wrong(done) == []


def test_a_builder_on_which_others_run_commands() -> None:
    """Patching and monitoring by the thousand, and a driver that dies having sent the build: it is sent once."""
    o = bare()
    o.machines.slow("git fetch", 300)
    ssm, jobs = o.world.client("ssm"), {"DocumentName": "AWS-RunShellScript", "Parameters": {"commands": ["true"]}}

    def others() -> None:
        for _ in range(500):
            ssm.send_command(InstanceIds=[o.world.builder], Comment="patching", **jobs)

    release = o.start()
    assert o.drive(release.id, death=Last("ssm:SendCommand")) is None
    others()
    done = o.rescue(release.id, when=once(has(Verb.RUN_BUILD, done=True), others))
    assert done.outcome is Outcome.LIVE
    builds = [c for c in o.aws.engine.state.commands.values() if c.params["Comment"] != "patching"]
    assert [c.params["Comment"] for c in builds] == [f"{release.mark} build"]
    assert o.wrong(done) == []


def test_an_image_that_fails() -> None:
    """It is removed, and AWS's reason is told."""
    o = bare()
    o.aws.faults.image_fails("Client.InternalError: snapshot")
    done = ended(o, o.start())
    assert (done.outcome, done.reason) == (Outcome.ROLLED_BACK, Reason.IMAGE_FAILED)
    assert "snapshot" in done.message
    assert o.wrong(done) == []


def an_image_of(seconds: float) -> Ops:
    """A world whose image takes so long."""
    o = bare()
    o.aws.engine.timings = replace(o.aws.engine.timings, image=seconds)
    return o


def test_an_image_that_takes_long_tells_how_far_it_is() -> None:
    """By AWS's own numbers, asked once a minute at most, in tens of a percent: so there are few events."""
    o = an_image_of(600)
    waits: list[str] = []

    def told(seen: Release) -> None:
        waits.append(awaited_text(Awaited.IMAGE, seen))

    assert ended(o, o.start(), when=told).outcome is Outcome.LIVE
    seen = [event for event in o.told if event.kind is EventKind.OBSERVED and event.facts["subject"] == "image"]
    progress = [event.facts["progress"] for event in seen if event.facts.get("progress") is not None]
    assert progress == sorted(set(progress))
    assert len(progress) >= 7
    assert [call.name for call in o.aws.calls].count("ec2:DescribeSnapshots") <= 10
    assert any(wait.endswith("to become available (50 %)") for wait in waits)


def test_an_image_whose_progress_may_not_be_asked_for() -> None:
    """Then it is awaited as before."""
    o = an_image_of(200)
    o.aws.faults.deny("ec2:DescribeSnapshots")
    assert ended(o, o.start()).outcome is Outcome.LIVE
    assert not any(event.facts.get("progress") for event in o.told if event.kind is EventKind.OBSERVED)


def test_watching_a_release_drives_nothing() -> None:
    """All that happened is told, then what comes, until it has settled; whoever watches may go at any time."""
    o = bare()
    release, told = o.start(), list[Event]()

    def driven() -> bool:
        o.drive(release.id)
        return False

    def tell(seen: Release, event: Event | None, awaited: object, deadline: float | None) -> None:
        assert event is not None
        told.append(event)

    with pytest.raises(Interrupted):
        o.engine().watch(release.id, tell=tell, stop=lambda: True)
    assert [event.kind for event in told] == [EventKind.STARTED]
    told.clear()
    assert o.engine().watch(release.id, tell=tell, stop=driven).outcome is Outcome.LIVE
    assert [event.seq for event in told] == list(range(1, len(told) + 1))
    with pytest.raises(Refused, match="no such release"):
        o.engine().watch("web/production#9", tell=tell)


def test_no_capacity() -> None:
    """The scaling activity's own words, as soon as they are known and at the end."""
    o = bare(timeouts={"launch": 120})
    words = "We currently do not have sufficient t3.micro capacity in the Availability Zone you requested"
    o.aws.faults.no_capacity("web-production", words)
    done = ended(o, o.start())
    assert (done.outcome, done.reason) == (Outcome.ROLLED_BACK, Reason.LAUNCH_LATE)
    assert words in done.message
    told = [e for e in o.told if e.kind is EventKind.OBSERVED and e.facts["subject"] == "activity"]
    assert words in told[0].facts["value"]
    assert o.wrong(done) == []


def test_a_version_that_never_gets_healthy() -> None:
    """Users never meet it; blue serves on."""
    o = bare(timeouts={"healthy": 60})
    done = ended(o, o.start(SICK))
    assert (done.outcome, done.reason) == (Outcome.ROLLED_BACK, Reason.NEVER_HEALTHY)
    assert o.wrong(done) == []


@pytest.mark.parametrize("phase", [Phase.OVERLAPPING, Phase.SOAKING])
def test_a_version_that_falls_ill_later(phase: Phase) -> None:
    """Rolled back by itself, with what was seen."""
    o = bare(120, soak=120, poll=1)
    ill = once(
        lambda seen: seen.phase is phase and seen.checks.get("targets") is not None and seen.checks["targets"].held,
        lambda: o.machines.sick(GOOD),
    )
    done = ended(o, o.start(), ill)
    assert (done.outcome, done.reason, done.left) == (Outcome.ROLLED_BACK, Reason.CHECK_FAILED, phase)
    assert "healthy" in done.message
    o.harm.clear()  # green falling ill is not a removal of ours
    assert o.wrong(done) == []


def test_a_blue_that_is_not_whole_refuses_the_start() -> None:
    """Nothing is recorded."""
    o = bare()
    o.machines.kill(next(iter(o.aws.routes(o.world.target_group))))
    o.clock.sleep(12)
    with pytest.raises(Refused) as refusal:
        o.start()
    assert refusal.value.reason == Reason.BLUE_UNHEALTHY


def test_a_builder_that_runs_refuses_the_start() -> None:
    """Somebody works on it: it is left alone."""
    o = bare()
    o.world.client("ec2").start_instances(InstanceIds=[o.world.builder])
    o.clock.sleep(10)
    with pytest.raises(Refused) as refusal:
        o.start()
    assert refusal.value.reason == Reason.BUILDER_RUNNING
    assert o.builder_state() == "running"


def test_one_release_at_a_time() -> None:
    """The refusal says which, who and since when."""
    o = bare()
    first = o.start()
    with pytest.raises(Refused) as refusal:
        o.start()
    assert refusal.value.reason == Reason.UNDER_WAY
    assert all(word in str(refusal.value) for word in (first.id, "user/ann", "202"))


def test_a_frozen_service_is_not_released() -> None:
    """Who and why; rolling back stays possible."""
    o = bare()
    engine = o.engine()
    release = o.start()
    engine.freeze("web/production", who="slack:U1", why="big sale")
    done = ended(o, release, o.order_back(Phase.SOAKING))
    assert done.outcome is Outcome.ROLLED_BACK
    with pytest.raises(Refused) as refusal:
        o.start()
    assert refusal.value.reason == Reason.FROZEN
    assert "big sale" in str(refusal.value)
    engine.unfreeze("web/production", who="slack:U1")
    assert o.start("c0ffee02").number == 2


def test_no_table_and_no_permission_to_make_one() -> None:
    """The error names both."""
    o = bare()
    o.aws.faults.deny("dynamodb:CreateTable")
    with pytest.raises((AwsError, ConfigError)) as error:
        o.start()
    assert "bluegreen" in str(error.value)
    assert "dynamodb:CreateTable" in str(error.value)


@pytest.mark.parametrize("operation", sorted(CHANGES))
def test_a_missing_permission_names_the_action(operation: str) -> None:
    """Rolled back where that is possible, else failed or live with what is left; the words say what is missing."""
    o = bare()
    release = o.start()
    o.aws.faults.deny(operation)
    done = ended(o, release)
    if operation == "autoscaling:DeleteAutoScalingGroup":
        assert "group web-asg, empty, AWS refused to delete it" in done.left_behind[0]
        assert operation in done.left_behind[0]
    else:
        assert done.outcome in (Outcome.ROLLED_BACK, Outcome.FAILED)
    assert any(operation in str(e.facts) for e in o.told if e.kind is EventKind.STUMBLED)
    o.aws.faults.clear()
    if done.outcome is Outcome.FAILED:
        resumed = o.engine().resume("web/production", who="slack:U1")
        done = ended(o, resumed)
    assert o.wrong(done) == []


def test_a_failed_release_blocks_the_next_until_it_is_resolved() -> None:
    """Its leftovers would be built upon."""
    o = bare()
    release = o.start()
    o.aws.faults.deny("autoscaling:DeleteAutoScalingGroup")
    failed = ended(o, release, o.order_back(Phase.OVERLAPPING))
    assert failed.outcome is Outcome.FAILED
    o.aws.faults.clear()
    with pytest.raises(Refused) as refusal:
        o.start()
    assert refusal.value.reason == Reason.UNRESOLVED
    o.engine().roll_back("web/production", who="slack:U1")
    done = ended(o, release)
    assert done.outcome is Outcome.ROLLED_BACK
    assert o.wrong(done) == []
    with pytest.raises(Refused, match="c0ffee01 was rolled back in web/production#1"):  # as ordered at first
        o.start()
    assert o.start("c0ffee02").number == 2


def test_throttling_everywhere() -> None:
    """Every fifth call is throttled; the release goes live."""
    o = bare()
    release = o.start()
    for skip in range(0, 400, 5):
        o.aws.faults.throttle("*", times=1, skip=skip)
    done = ended(o, release)
    assert done.outcome is Outcome.LIVE
    assert o.wrong(done) == []


@pytest.mark.parametrize("operation", sorted(CHANGES))
def test_a_lost_answer_makes_nothing_twice(operation: str) -> None:
    """The call took effect, its answer never came."""
    o = bare()
    release = o.start()
    o.aws.faults.lose_answer(operation)
    done = ended(o, release)
    assert done.outcome is Outcome.LIVE
    assert o.wrong(done) == []


@pytest.mark.parametrize("back", [False, True])
def test_stale_reads(back: bool) -> None:
    """What was just made does not show for a while: nothing is made twice or taken for another's doing."""
    o = bare(timeouts={"healthy": 300})
    release = o.start()
    o.aws.faults.stale(20)
    done = ended(o, release, o.order_back(Phase.SOAKING) if back else lambda _: None)
    assert done.outcome is (Outcome.ROLLED_BACK if back else Outcome.LIVE)
    o.aws.faults.clear()
    o.clock.sleep(60)
    assert o.wrong(done) == []


def by_hand(o: Ops) -> dict[str, Callable[[], Any]]:
    """What somebody else may do while a release is under way."""
    group, green = o.world.group, "web-production-v1"
    scaling, balancing = o.world.client("autoscaling"), o.world.client("elbv2")
    fixed = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "503"}}
    arns = [o.world.target_group]
    return {
        "load balancer": lambda: balancing.modify_listener(ListenerArn=o.world.listener, DefaultActions=[fixed]),
        "was shrunk": lambda: scaling.update_auto_scaling_group(
            AutoScalingGroupName=group, MinSize=1, DesiredCapacity=1
        ),
        "was taken out": lambda: scaling.detach_load_balancer_target_groups(
            AutoScalingGroupName=green, TargetGroupARNs=arns
        ),
        "was deleted": lambda: scaling.delete_auto_scaling_group(AutoScalingGroupName=green, ForceDelete=True),
    }


@pytest.mark.parametrize("what", ["load balancer", "was shrunk", "was taken out", "was deleted"])
def test_what_others_change_stops_the_release(what: str) -> None:
    """S9: it says what it found and touches nothing more."""
    o = bare(200, poll=5)
    hand = by_hand(o)[what]
    settled = once(lambda seen: seen.phase is Phase.OVERLAPPING and o.clock.now() - seen.last_at > 65, hand)
    release = o.start()
    done = ended(o, release, settled)
    assert (done.outcome, done.reason) == (Outcome.FAILED, Reason.CHANGED_OUTSIDE)
    assert what in done.message
    assert any(left.startswith("group web-production-v1") for left in done.left_behind)


@pytest.mark.parametrize("weighted", [False, True])
def test_blue_that_scales_out_is_followed(weighted: bool) -> None:
    """Green grows before the switch, and those of it that boot for a minute fail no check."""
    o = Ops(weighted=weighted, changes={"checks": [{"name": "unit", "run": "curl -fsS localhost/healthz"}]})
    grows = once(
        lambda seen: seen.phase is Phase.OVERLAPPING and seen.checks["targets"].held,
        lambda: o.world.client("autoscaling").set_desired_capacity(AutoScalingGroupName="web-asg", DesiredCapacity=3),
    )
    done = ended(o, o.start(), grows)
    assert (done.outcome, done.message) == (Outcome.LIVE, "web-production-v1 serves alone")
    green = o.group(done.green_group)
    assert green is not None
    assert green["DesiredCapacity"] == 3
    assert o.harm == []
    failed = [
        e.facts["value"] for e in o.told if e.facts.get("passed") is False and e.at > done.entered[Phase.SWITCHING]
    ]
    assert failed == []


@pytest.mark.parametrize("weighted", [False, True])
def test_who_takes_green_out_while_blue_is_retired_can_put_it_right(weighted: bool) -> None:
    """It stops, names the ways on, back among them as blue is whole, and goes on from there."""
    o = fast(70.0, weighted=weighted, checks=[])
    release = o.start()
    names = {"AutoScalingGroupName": release.green_group, "TargetGroupARNs": list(release.green_targets)}
    scaling = o.world.client("autoscaling")
    hand = once(lambda seen: seen.phase is Phase.RETIRING, lambda: scaling.detach_load_balancer_target_groups(**names))
    failed = ended(o, release, hand)
    assert (failed.outcome, failed.reason) == (Outcome.FAILED, Reason.CHANGED_OUTSIDE)
    assert failed.message == "web-production-v1 was taken out of the load balancer"
    with pytest.raises(Refused) as refusal:
        o.start()
    for way in ("`bluegreen rollback web/production` returns to blue", "`bluegreen resume web/production` goes on"):
        assert way in refusal.value.hint
    scaling.attach_load_balancer_target_groups(**names)
    o.clock.sleep(60)
    o.harm.clear()
    done = ended(o, o.engine().resume("web/production", who="slack:U1"))
    assert done.outcome is Outcome.LIVE
    assert o.wrong(done) == []


@pytest.mark.parametrize("retire", ["delete", "empty"])
def test_blue_with_a_warm_pool_is_retired(retire: str) -> None:
    """A rollback leaves the pool alone; retiring empties and deletes it, and then the group."""
    o = bare(retire=retire)
    client, blue = o.world.client("autoscaling"), {"AutoScalingGroupName": o.world.group}
    client.put_warm_pool(**blue)
    o.clock.sleep(30)
    assert ended(o, o.start(SICK)).outcome is Outcome.ROLLED_BACK
    assert len(client.describe_warm_pool(**blue)["Instances"]) == 2
    done = ended(o, o.start())
    wrong = [one for one in o.wrong(done) if not one.startswith("image ")]  # of the release that was rolled back
    assert (done.outcome, wrong) == (Outcome.LIVE, [])
    left = o.group(o.world.group)
    assert (left is None) is (retire == "delete")
    assert "WarmPoolConfiguration" not in (left or {})


@pytest.mark.parametrize("retire", ["delete", "empty"])
def test_nothing_starts_a_blue_that_is_retired(retire: str) -> None:
    """An alarm of the shared target group fires again and again."""
    o = bare(retire=retire)
    client, blue = o.world.client("autoscaling"), {"AutoScalingGroupName": o.world.group}
    change = {"AdjustmentType": "ChangeInCapacity", "ScalingAdjustment": 8}
    client.put_scaling_policy(**blue, **change, PolicyName="busy")
    asked: list[int] = []

    def when(seen: Release) -> None:
        group = o.group(o.world.group)
        if Verb.STILL_BLUE in seen.did and group and not group.get("Status"):
            asked.append(o.aws.fire(o.world.group, "busy"))

    done = ended(o, o.start(), when)
    assert (done.outcome, o.wrong(done)) == (Outcome.LIVE, [])
    assert 0 < len(asked) == asked.count(0) + asked.count(2)
    assert asked[-1] == 0
    if retire == "empty":
        client.resume_processes(**blue)
        assert o.aws.fire(o.world.group, "busy") == 0


def test_twelve_releases_leave_one_emptied_group_and_the_images_to_keep() -> None:
    """`retire: empty`, `keep: 3`: the last blue, the configured group, three images that went live; bad ones are gone.

    It takes its seconds: what piles up shows only after many releases.
    """
    o = bare(retire="empty", soak=0)
    o.config = o.config.model_copy(update={"image": o.config.image.model_copy(update={"keep": 3})})
    for n in range(1, 13):
        commit = f"c0ffee{n:02}aaaa"
        if bad := n in (4, 11):
            o.machines.sick(commit)
        done = ended(o, o.start(commit))
        assert done.outcome is (Outcome.ROLLED_BACK if bad else Outcome.LIVE)
    o.clock.sleep(30)
    groups = o.world.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    kept = {"web-asg", "web-production-v10", "web-production-v12"}
    assert {group["AutoScalingGroupName"] for group in groups} == kept
    assert done.left_behind == ("group web-production-v10, kept empty",)
    assert done.message.endswith("deleted, because earlier releases had kept them empty: web-production-v9")
    images = o.world.client("ec2").describe_images(Owners=["self"])["Images"]
    made = {image["Name"].rpartition("-")[0] for image in images if image["ImageId"] != o.world.image}
    assert made == {"web-production-v9", "web-production-v10", "web-production-v12"}


def test_an_empty_journal_is_no_error() -> None:
    """Before the first release there is nothing to tell, and a plan can be made."""
    o = bare()
    engine: Engine = o.engine()
    assert engine.status() == []
    assert engine.history("web/production") == []
    plan = engine.plan(o.config, commit=GOOD)
    assert next(step.act.verb for step in plan.steps if step.act) == "claim_builder"
    assert engine.status() == []


@pytest.mark.parametrize("weighted", [False, True])
def test_a_plan_is_what_a_release_does(weighted: bool) -> None:
    """The same acts in the same order."""
    o = Ops(weighted=weighted)
    planned = [step.act.verb for step in o.engine().plan(o.config, commit=GOOD).steps if step.act]
    ended(o, o.start())
    done = [e.verb for e in o.told if e.kind is EventKind.BEGAN]
    assert planned == done


@pytest.mark.parametrize("phase", [Phase.CHECKING, Phase.OVERLAPPING, Phase.SOAKING, Phase.RETIRING])
def test_an_instance_of_blue_in_standby_stops_nothing(phase: Phase) -> None:
    """It is told of at once, by id and state; it neither serves nor leaves, and the last event names it."""
    o = bare()
    client = o.world.client("autoscaling")
    one, *_ = sorted(o.aws.members(o.world.group))
    aside = {"InstanceIds": [one], "AutoScalingGroupName": o.world.group, "ShouldDecrementDesiredCapacity": False}
    done = o.drive(o.start().id, when=once(lambda seen: seen.phase is phase, lambda: client.enter_standby(**aside)))
    assert done is not None
    assert done.outcome is Outcome.LIVE
    assert done.settled_at is not None
    assert done.settled_at - done.entered[phase] < 120
    told = [e for e in o.told if e.kind is EventKind.OBSERVED and e.facts["subject"] == "parked blue"]
    assert f"{one} of web-asg is in " in told[0].facts["value"]
    assert told[0].at - done.entered[phase] < 15
    (left,) = done.left_behind
    assert left.startswith(
        f"group web-asg, which gets no traffic, with {one} in Standby: aws autoscaling delete-auto-scaling-group"
    )
    assert o.serving() == {done.green_group}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("phase", [Phase.OVERLAPPING, Phase.HOLDING, Phase.SWITCHING, Phase.SOAKING, Phase.RETIRING])
def test_what_aws_takes_is_not_the_version_s_fault(phase: Phase, weighted: bool) -> None:
    """A spot interruption: it is told, replaced, and the release goes live; commands are for those who serve."""
    o = fast(weighted=weighted, soak=20)
    taken: list[str] = []

    def take(seen: Release) -> None:
        held = "targets" in seen.checks and seen.checks["targets"].held
        if seen.phase is phase and held and not taken:
            taken.append(min(o.aws.members(seen.green_group)))
            o.aws.take(taken[0])
        if seen.phase is Phase.HOLDING and not seen.promoters:
            o.engine().promote("web/production", who="slack:U1")

    done = ended(o, o.start(hold=phase is Phase.HOLDING), take)
    assert (done.outcome, done.reason) == (Outcome.LIVE, Reason.COMPLETED)
    told = [e.facts for e in o.told if e.kind is EventKind.OBSERVED and e.facts["subject"] == "taken"]
    assert (told[0]["value"], told[0]["instances"]) == (f"AWS took {taken[0]} of {done.green_group}", taken)
    assert len(told) <= 2
    o.harm.clear()  # what AWS itself takes is no harm of ours
    assert o.wrong(done) == []


@pytest.mark.parametrize("weighted", [False, True], ids=["shared", "weighted"])
@pytest.mark.parametrize("held", [False, True], ids=["before it held", "after it held"])
def test_all_of_green_is_taken_while_blue_serves(weighted: bool, held: bool) -> None:
    """A command finds nobody to run on: that is no failure, and those who come instead are asked."""
    o = fast(12.0, weighted=weighted)

    def take(seen: Release) -> bool:
        unit = "unit" in seen.checks and seen.checks["unit"].held
        return seen.phase in (Phase.CHECKING, Phase.OVERLAPPING) and unit is held

    def gone() -> None:
        for one in o.aws.members("web-production-v1"):
            o.aws.take(one)

    done = ended(o, o.start(), once(take, lambda: o.clock.after(1.0, gone)))
    assert (done.outcome, done.reason) == (Outcome.LIVE, Reason.COMPLETED)
    assert any(e.facts.get("subject") == "taken" for e in o.told)
    assert o.wrong(done) == []


def set_aside(o: Ops, call: str, group: str) -> str:
    """Somebody puts an instance in service into Standby, or detaches it; AWS is to launch another in its place."""
    one = min(id_ for id_, state in o.aws.members(group).items() if state == "InService")
    aside = {"InstanceIds": [one], "AutoScalingGroupName": group, "ShouldDecrementDesiredCapacity": False}
    getattr(o.world.client("autoscaling"), call)(**aside)
    return one


@pytest.mark.parametrize(
    ("phase", "call"),
    [
        (Phase.CHECKING, "enter_standby"),
        (Phase.OVERLAPPING, "detach_instances"),
        (Phase.SWITCHING, "enter_standby"),
        (Phase.SOAKING, "detach_instances"),
    ],
)
def test_what_a_hand_takes_of_green_is_not_the_version_s_fault(phase: Phase, call: str) -> None:
    """Another comes in its place, the release goes live, and its last event says how the one set aside ends."""
    o = fast(weighted=phase is Phase.SWITCHING, soak=20)
    aside: list[str] = []

    def acts(seen: Release) -> None:
        held = phase is Phase.CHECKING or ("targets" in seen.checks and seen.checks["targets"].held)
        if seen.phase is phase and held and not aside:
            aside.append(set_aside(o, call, seen.green_group))

    done = ended(o, o.start(), acts)
    assert (done.outcome, done.reason) == (Outcome.LIVE, Reason.COMPLETED), done.message
    (left,) = done.left_behind
    assert left.startswith(f"instance {aside[0]}")
    command = left.rpartition(": ")[2] if call == "detach_instances" else left.rpartition("(")[2].rstrip(")")
    as_told(o.world.client, command)
    o.clock.sleep(60)
    assert o.aws.instances().get(aside[0], "terminated") == "terminated"
    assert o.serving() == {done.green_group}


def test_what_a_hand_takes_and_nobody_replaces_speaks_against_no_version() -> None:
    """It is waited for, told at once with what ends it, and at the end goes back; the commit may be released again."""
    o = fast(soak=300, timeouts={"healthy": 60})

    def acts() -> None:
        o.aws.faults.no_capacity("web-production-v1")
        set_aside(o, "enter_standby", "web-production-v1")

    done = ended(o, o.start(), once(lambda seen: seen.phase is Phase.SOAKING, acts))
    assert (done.outcome, done.reason) == (Outcome.ROLLED_BACK, Reason.CHANGED_OUTSIDE)
    assert "was set aside by a person" in done.message
    assert "is in Standby: return it to service (aws autoscaling exit-standby" in done.message
    told = next(e for e in o.told if e.kind is EventKind.OBSERVED and e.facts["subject"] == "parked green")
    assert told.at - done.entered[Phase.SOAKING] < 15
    o.aws.faults.clear()
    assert o.start(done.commit, ami=o.world.image).number == done.number + 1, "the commit is not refused"


def test_what_is_ill_is_the_version_s_fault() -> None:
    """Also where the group itself terminates what its load balancer finds ill."""
    o = fast(soak=20)
    ill = once(
        lambda seen: seen.phase is Phase.SOAKING,
        lambda: o.machines.kill(min(o.aws.members("web-production-v1"))),
    )
    done = ended(o, o.start(), ill)
    assert (done.outcome, done.reason) == (Outcome.ROLLED_BACK, Reason.CHECK_FAILED)
    assert "taken" not in done.observed


@pytest.mark.parametrize(("phase", "outcome"), [(Phase.SOAKING, Outcome.ROLLED_BACK), (Phase.HOLDING, Outcome.LIVE)])
def test_what_aws_does_not_replace_in_time(phase: Phase, outcome: Outcome) -> None:
    """Alone green goes back, and the commit is not held to be bad; while blue serves, too, it may take its time."""
    o = fast(soak=300, timeouts={"healthy": 60})

    def take(seen: Release) -> None:
        held = "targets" in seen.checks and seen.checks["targets"].held
        if seen.phase is phase and held and "taken" not in seen.observed:
            o.aws.faults.no_capacity("web-production-v1")
            o.aws.take(min(o.aws.members(seen.green_group)))
            o.clock.after(120, o.aws.faults.clear)
        if seen.phase is Phase.HOLDING and o.clock.now() - seen.in_phase_since > 180 and not seen.promoters:
            o.engine().promote("web/production", who="slack:U1")

    done = ended(o, o.start(hold=phase is Phase.HOLDING), take)
    assert done.outcome is outcome
    if outcome is Outcome.ROLLED_BACK:
        assert done.reason is Reason.LAUNCH_LATE
        assert "and not replaced within 1m: 1 healthy" in done.message
        assert o.start(GOOD).number == 2, "it may be released again"


# --- a service that sleeps ---


@pytest.mark.parametrize("weighted", [False, True])
def test_a_service_at_size_0_is_released_and_rolled_back(weighted: bool) -> None:
    """Green is at size 0, too, with everything attached; the next release begins from there, and goes back."""
    o = asleep(weighted=weighted)
    began = o.start()
    assert "nothing_serves" in [one["key"] for one in began.findings]
    done = o.drive(began.id)
    assert done is not None
    assert (done.outcome, done.checks) == (Outcome.LIVE, {})
    assert done.message == f"nothing served: {done.green_group} is at size 0, as web-asg was; skipped checks: unit"
    green = o.group(done.green_group)
    assert green is not None
    home = set(done.green_targets)
    assert (green["MinSize"], green["DesiredCapacity"], set(green["TargetGroupARNs"])) == (0, 0, home)
    assert o.group("web-asg") is None
    back = o.drive(o.start(SICK).id, when=o.order_back(Phase.SOAKING))
    assert back is not None
    assert (back.outcome, o.group(back.green_group)) == (Outcome.ROLLED_BACK, None)
    o.resized(done.green_group, 2)
    o.clock.sleep(60)
    assert o.serving() == {done.green_group}


def test_a_service_at_size_0_that_wakes_during_its_release_is_judged() -> None:
    """Somebody scales blue up before the switch: green gets as many, and the version is sick."""
    o = asleep()
    up = once(lambda seen: seen.phase is Phase.CHECKING, lambda: o.resized("web-asg", 2))
    done = o.drive(o.start(SICK).id, when=up)
    assert done is not None
    assert (done.outcome, done.reason) == (Outcome.ROLLED_BACK, Reason.NEVER_HEALTHY)
    o.clock.sleep(60)
    assert o.serving() == {"web-asg"}
