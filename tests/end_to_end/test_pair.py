"""A standing pair: two groups of somebody else's take turns, and neither is made, deleted or made otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bluegreen import plan_text
from bluegreen.aws import groups
from bluegreen.aws.calls import Calls
from bluegreen.errors import BlueGreenError, Refused
from bluegreen.events import Outcome, Phase, Reason, Verb
from bluegreen.release import Release
from tests.worlds.attachments import hang, hanging
from tests.worlds.crashes import die_everywhere, within
from tests.worlds.pairs import PAIR, groups_there, idle_group, paired, state
from tests.worlds.virtual import GOOD, SICK, Ops, as_told, has, once

BOTH = pytest.mark.parametrize("weighted", [False, True], ids=["shared", "weighted"])
SCALING = ["AZRebalance", "AlarmNotification", "ScheduledActions"]
BACK = [phase for phase in Phase if phase.can_roll_back and phase is not Phase.HOLDING]


def driven(o: Ops, commit: str, *, cure: bool = False, **how: Any) -> Release:
    """A release, to its end."""
    done = o.drive(o.start(commit, cure=cure).id, **how)
    assert done is not None
    assert o.harm == []
    assert groups_there(o) == sorted(PAIR)
    return done


@BOTH
def test_the_two_take_turns(weighted: bool) -> None:
    """There and back and there, a sick version between: sizes, processes and target groups go with the role."""
    o = paired(weighted=weighted)
    sides = [PAIR, PAIR[::-1]]
    for n, commit in enumerate((GOOD, f"{GOOD}2", f"{GOOD}3")):
        blue, green = sides[n % 2]
        before = state(o, blue)
        done = driven(o, commit)
        assert (done.outcome, done.blue_group, done.green_group) == (Outcome.LIVE, blue, green), done.message
        assert done.message == f"{green} serves alone, and {blue} is idle"
        assert done.left_behind == ()
        assert o.serving() == {green}
        now, left = state(o, green), state(o, blue)
        assert {key: now[key] for key in ("sizes", "suspended")} == {key: before[key] for key in ("sizes", "suspended")}
        assert now["target groups"] == list(done.green_targets)
        assert (left["sizes"], left["target groups"], left["suspended"]) == ((0, 0, 0, 0), [], SCALING)
        assert (now["template"], left["template"]) == (before["template"], before["template"])
        assert "bluegreen:held-by" not in {**now["tags"], **left["tags"]}
        if n != 1:
            continue
        idle, serves = left, now
        o.machines.sick(f"{SICK}{n}")
        done = driven(o, f"{SICK}{n}")
        assert (done.outcome, done.left_behind) == (Outcome.ROLLED_BACK, (f"image {done.image}",)), done.message
        assert (state(o, green), state(o, blue)) == (serves, idle)


@pytest.mark.parametrize(
    ("phase", "weighted"), [*((phase, False) for phase in BACK), (Phase.CHECKING, True), (Phase.SOAKING, True)]
)
def test_a_rollback_from_each_phase_gives_the_idle_one_back(phase: Phase, weighted: bool) -> None:
    """With the sizes, reference, processes and tags that its owner had given it; blue, too, is what it was."""
    own = [{"Key": "bluegreen:release", "Value": "web/production#0", "PropagateAtLaunch": True}]
    o = paired(weighted=weighted, changes={"MaxSize": 6, "Tags": own})
    o.world.client("autoscaling").suspend_processes(
        AutoScalingGroupName=PAIR[1], ScalingProcesses=["AlarmNotification", "ReplaceUnhealthy"]
    )
    before = {name: state(o, name) for name in PAIR}
    done = driven(o, GOOD, when=o.order_back(phase))
    assert done.outcome is Outcome.ROLLED_BACK, done.message
    assert {name: state(o, name) for name in PAIR} == before
    assert o.serving() == {PAIR[0]}


#: The acts that a standing pair has for its own.
OWN = {Verb.CREATE_GREEN, Verb.EMPTY_GREEN, Verb.RETURN_GREEN, Verb.EMPTY_BLUE}


@pytest.mark.parametrize(("outcome", "weighted"), [(Outcome.LIVE, True), (Outcome.ROLLED_BACK, False)])
def test_dying_at_every_call_of_its_acts(outcome: Outcome, weighted: bool) -> None:
    """Whoever takes over finds out whose the group is by now, and ends what was begun.

    It takes seconds, as each of these acts is several calls, and every death is a release that goes on.
    """
    o = paired(weighted=weighted, checks=[], timeouts={"healthy": 12})
    idle = state(o, PAIR[1])
    release = o.start(GOOD if outcome is Outcome.LIVE else SICK)
    told = [release]

    def also(done: Release) -> list[str]:
        wrong = [] if groups_there(o) == sorted(PAIR) else [f"there are {groups_there(o)}"]
        if outcome is Outcome.LIVE:
            left = state(o, PAIR[0])
            return wrong + ([] if (left["sizes"], left["suspended"]) == ((0, 0, 0, 0), SCALING) else [f"left: {left}"])
        return wrong + ([] if state(o, PAIR[1]) == idle else [f"{PAIR[1]}: {state(o, PAIR[1])}"])

    crashes = die_everywhere(o, release, outcome, told.append, after=lambda: within(told, OWN), also=also)
    assert len(crashes.points) > 8
    assert "\n".join(crashes.results[:20]) == ""


# --- what cannot be ----------------------------------------------------------------------------------------


def _scaling(o: Ops, operation: str, **params: Any) -> None:
    getattr(o.world.client("autoscaling"), operation)(AutoScalingGroupName=PAIR[1], **params)


def enlarge(o: Ops) -> None:
    """Somebody uses the idle one."""
    _scaling(o, "update_auto_scaling_group", MaxSize=2, DesiredCapacity=1)
    o.clock.sleep(30)


def attach(o: Ops) -> None:
    """It would serve as soon as it has instances."""
    _scaling(o, "attach_load_balancer_target_groups", TargetGroupARNs=[o.world.target_group])


def both_serve(o: Ops) -> None:
    """Nobody can tell which is which."""
    enlarge(o)
    attach(o)


#: What is wrong beforehand; what the refusal says; the commands in it that put it right, in this order.
REFUSED: dict[str, tuple[Callable[[Ops], None], str, int]] = {
    "enlarged": (enlarge, "web-b is not idle: it has 1 instance and the size 1", 1),
    "attached": (attach, "web-b is not idle: it is attached to web", 1),
    "both serve": (both_serve, "web-asg and web-b are both attached to the target groups that serve", 2),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_pair_that_is_not_ready_is_refused_with_what_to_do(what: str) -> None:
    """Before anything is made; the commands of the refusal put it right."""
    begin, said, commands = REFUSED[what]
    o = paired()
    begin(o)
    before = {name: state(o, name) for name in PAIR}
    with pytest.raises(Refused) as caught:
        o.start(GOOD)
    assert said in caught.value.what
    assert {name: state(o, name) for name in PAIR} == before
    told = [part for part in caught.value.hint.split("`") if part.startswith("aws ")]
    assert len(told) == commands
    for command in told:
        as_told(o.world.client, command)
    o.clock.sleep(60)
    assert driven(o, GOOD).outcome is Outcome.LIVE


def test_neither_serves() -> None:
    """Without a word of the journal nobody can tell which one is blue."""
    o = paired()
    client = o.world.client("autoscaling")
    client.detach_load_balancer_target_groups(AutoScalingGroupName=PAIR[0], TargetGroupARNs=[o.world.target_group])
    with pytest.raises(
        Refused, match="neither web-asg nor web-b is attached to the target groups that serve"
    ) as caught:
        o.start(GOOD)
    assert "Attach the one that is to serve" in caught.value.hint


def test_a_group_that_is_missing_or_cannot_be_one_of_a_pair() -> None:
    """By the key that names it."""
    o = paired()
    o.config = o.config.model_copy(update={"groups": (PAIR[0], "web-c")})
    with pytest.raises(BlueGreenError, match="groups: there is no Auto Scaling group `web-c`"):
        o.start(GOOD)
    o.config = o.config.model_copy(update={"groups": PAIR})
    _scaling(o, "put_warm_pool", MinSize=0)
    with pytest.raises(BlueGreenError, match="groups: the group web-b has a warm pool"):
        o.start(GOOD)


def test_an_idle_one_that_lacks_what_scales_blue_is_refused() -> None:
    """It would serve without; whoever knows better lets it pass. What only differs is told."""
    o = paired(changes={"DefaultCooldown": 77})
    kinds = ("tracking", "step", "schedule", "metrics")
    hang(o.world, PAIR[0], kinds)
    with pytest.raises(Refused) as caught:
        o.start(GOOD)
    assert caught.value.reason is Reason.IN_THE_WAY
    for part in ("the scaling policy cpu", "the scaling policy step", "the alarm web-asg-busy", "the scheduled action"):
        assert part in caught.value.what
    assert "allow: [pair_differs]" in caught.value.hint
    o.config = o.config.model_copy(update={"allow": ("pair_differs",)})
    assert driven(o, GOOD).outcome is Outcome.LIVE


def test_what_hangs_on_either_stays_where_it_is() -> None:
    """Each has policies, alarms and schedules of its own, which are equal; none is copied, moved or lost."""
    o = paired()
    for name in PAIR:
        hang(o.world, name, ("tracking", "step", "schedule", "metrics"))
    before = {name: hanging(o.world, name) for name in PAIR}
    done = driven(o, GOOD)
    assert done.outcome is Outcome.LIVE, done.message
    assert [one["found"] for one in done.findings if one["key"] == "pair_differs"] == []
    assert {name: hanging(o.world, name) for name in PAIR} == before


@pytest.mark.parametrize("when", ["during the bake", "after blue was pinned"])
def test_somebody_who_takes_the_idle_one_meanwhile_keeps_it(when: str) -> None:
    """The release goes back before it has touched it."""
    o = paired()
    at = (lambda seen: seen.phase is Phase.BAKING) if when == "during the bake" else has(Verb.SUSPEND_BLUE, done=True)
    done = o.drive(
        o.start(GOOD).id, when=once(at, lambda: _scaling(o, "update_auto_scaling_group", MaxSize=2, DesiredCapacity=1))
    )
    assert done is not None
    assert done.outcome is Outcome.ROLLED_BACK
    assert "web-b is not idle: it has" in done.message
    assert state(o, PAIR[1])["sizes"][:3] == (0, 2, 1)
    assert "bluegreen:release" not in state(o, PAIR[1])["tags"]
    assert state(o, PAIR[0])["suspended"] == []


# --- other worlds ------------------------------------------------------------------------------------------


def own_template(o: Ops, **data: Any) -> str:
    """The idle one launches from a template of its own, whose latest version is 1; its id."""
    ec2, (template, _) = o.world.client("ec2"), state(o, PAIR[0])["template"]
    shown = ec2.describe_launch_template_versions(LaunchTemplateId=template, Versions=["1"])["LaunchTemplateVersions"]
    given = {**shown[0]["LaunchTemplateData"], **data}
    made = ec2.create_launch_template(LaunchTemplateName="web-b", LaunchTemplateData=given)["LaunchTemplate"]
    reference = {"LaunchTemplateId": made["LaunchTemplateId"], "Version": "$Latest"}
    _scaling(o, "update_auto_scaling_group", LaunchTemplate=reference)
    return str(made["LaunchTemplateId"])


def versions(o: Ops, template: str) -> list[int]:
    """Numbers of its versions."""
    shown = o.world.client("ec2").describe_launch_template_versions(LaunchTemplateId=template)
    return sorted(one["VersionNumber"] for one in shown["LaunchTemplateVersions"])


def test_either_may_have_a_launch_template_of_its_own() -> None:
    """Green's version is made in its own, from its own; blue's is not touched. What differs between them is told."""
    o = paired()
    theirs, (blues, _) = own_template(o, InstanceType="m5.large"), state(o, PAIR[0])["template"]
    shown = "\n".join(plan_text.lines(o.engine().plan(o.config, commit=GOOD)))
    assert f"make a new version of launch template {theirs}" in shown
    done = driven(o, SICK)
    assert done.outcome is Outcome.ROLLED_BACK
    assert (versions(o, theirs), versions(o, blues)) == ([1], [1])
    (found,) = (one for one in done.findings if one["key"] == "pair_differs")
    assert f"web-b launches from a launch template of its own, {theirs}" in found["found"]
    assert "InstanceType" in found["harm"]
    done = driven(o, GOOD)
    assert (done.outcome, done.template) == (Outcome.LIVE, theirs), done.message
    assert (versions(o, theirs), versions(o, blues)) == ([1, 3], [1])
    assert state(o, PAIR[1])["template"] == (theirs, "$Latest")
    back = driven(o, f"{GOOD}2")
    assert (back.outcome, back.template) == (Outcome.LIVE, blues), back.message
    assert (versions(o, theirs), versions(o, blues)) == ([1, 3], [1, 2])


def test_who_else_follows_its_own_template_is_found() -> None:
    """They would launch the new image, as with blue's."""
    o = paired()
    theirs = own_template(o)
    idle_group(
        o.world, AutoScalingGroupName="worker", LaunchTemplate={"LaunchTemplateId": theirs, "Version": "$Latest"}
    )
    with pytest.raises(Refused, match=f"worker launches by .Latest from green's launch template {theirs}"):
        o.start(GOOD)


def test_a_pair_of_size_0() -> None:
    """Nothing serves, as at night; the journal, or who is in the target groups, says which one is blue."""
    o = paired()
    o.resized(PAIR[0], 0)
    o.clock.sleep(60)
    o.instances = 0
    done = driven(o, GOOD)
    assert (done.outcome, done.green_group) == (Outcome.LIVE, PAIR[1]), done.message
    assert state(o, PAIR[1])["target groups"] == [o.world.target_group]
    done = driven(o, f"{GOOD}2")
    assert (done.outcome, done.green_group) == (Outcome.LIVE, PAIR[0]), done.message


def test_a_lost_journal_is_repaired_from_what_serves() -> None:
    """The next release begins from the one that serves, and its number goes on."""
    o = paired()
    assert driven(o, GOOD).green_group == PAIR[1]
    o.world.client("dynamodb").delete_table(TableName="bluegreen")
    o.clock.sleep(30)
    made = o.engine().adopt(o.config, who="arn:aws:iam::1:user/ann")
    assert (made.live.name, made.number, made.left) == (PAIR[1], 2, ())
    done = driven(o, f"{GOOD}2")
    assert (done.outcome, done.number, done.green_group) == (Outcome.LIVE, 2, PAIR[0])
    o.world.client("dynamodb").delete_table(TableName="bluegreen")
    o.clock.sleep(30)
    assert driven(o, f"{GOOD}3").green_group == PAIR[1]


def test_a_failed_release_leaves_no_group_to_delete() -> None:
    """Somebody took blue out of the load balancer for good: what is told to do empties green, and keeps it."""
    o = paired()
    client = o.world.client("autoscaling")

    def harm() -> None:
        o.clock.sleep(61)
        client.detach_load_balancer_target_groups(AutoScalingGroupName=PAIR[0], TargetGroupARNs=[o.world.target_group])

    done = o.drive(o.start(GOOD).id, when=once(lambda seen: seen.phase is Phase.CHECKING, harm))
    assert done is not None
    assert done.outcome is Outcome.FAILED
    told = " ".join(done.left_behind)
    assert "delete-auto-scaling-group" not in told
    assert "update-auto-scaling-group --min-size 0 --max-size 0 --desired-capacity 0" in told


def test_a_plan_says_what_is_done_to_a_pair() -> None:
    """Nothing is created or deleted, in neither direction."""
    o = paired()
    plan = o.engine().plan(o.config, commit=GOOD)
    text = "\n".join(plan_text.lines(plan))
    assert "web/production#1 would replace web-asg (2 instances)\nby web-b; bluegreen changed nothing." in text
    assert "give web-b, the idle one of the pair, the new template version and 2 instances" in text
    assert "give web-b back to its owner as it was" in text
    assert "delete web-" not in text
    assert "create web-" not in text


def test_an_idle_one_that_its_schedule_would_start_is_told() -> None:
    """With the command that suspends it; on whoever serves it runs."""
    o = paired()
    for name in PAIR:
        hang(o.world, name, ("schedule",))
    _scaling(o, "resume_processes", ScalingProcesses=["ScheduledActions"])
    (found,) = (one for one in o.engine().plan(o.config, commit=GOOD).baseline.findings if one.key == "pair_busy")
    assert found.said == (
        "web-b is idle, but its scheduled action sale, morning is not suspended: it starts instances when it is due"
    )
    as_told(o.world.client, found.hint.split("`")[1])
    done = driven(o, GOOD)
    assert [one["key"] for one in done.findings if one["key"].startswith("pair")] == []
    assert state(o, PAIR[1])["suspended"] == []


def test_a_cure_of_a_pair_needs_an_idle_one_too() -> None:
    """What serves is ill: the idle one replaces it, and the ill one is idle afterwards, whole or not."""
    o = paired(checks=[])
    for instance in o.aws.members(PAIR[0]):
        o.machines.kill(instance)
    o.clock.sleep(30)
    o.instances = 0  # nobody serves
    with pytest.raises(Refused) as caught:
        o.start(GOOD)
    assert caught.value.reason is Reason.BLUE_UNHEALTHY
    done = driven(o, GOOD, cure=True)
    assert (done.outcome, done.green_group) == (Outcome.LIVE, PAIR[1]), done.message
    assert state(o, PAIR[0])["sizes"] == (0, 0, 0, 0)


def test_launches_that_failed_before_green_was_taken_do_not_speak_against_it() -> None:
    """The group's activities tell of what somebody tried, for a reason that did not pass then."""
    o = paired()
    o.aws.faults.no_capacity(PAIR[1], "Client.InvalidKeyPair.NotFound - The key pair does not exist")
    _scaling(o, "update_auto_scaling_group", MaxSize=1, DesiredCapacity=1)
    o.clock.sleep(200)
    _scaling(o, "update_auto_scaling_group", MaxSize=0, DesiredCapacity=0)
    calls = Calls(None, o.aws.session(), attempts=1)
    assert groups.failed(calls, PAIR[1]).refused
    assert groups.failed(calls, PAIR[1], o.clock.now()) == groups.NOTHING
    o.aws.faults.clear()
    assert driven(o, GOOD).outcome is Outcome.LIVE
