"""What a look shows, what it costs, and what is not shown yet."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from bluegreen.aws import Cloud
from bluegreen.aws.observer import ROUTES_EVERY
from bluegreen.errors import AwsError, Conflict
from bluegreen.events import Act, EventKind, Phase, Reason, Verb
from bluegreen.observation import Delays, Observation
from lab.aws.client import FakeSession
from lab.aws.faults import LostAnswer
from lab.aws.wire import Answer, Incoming
from tests.worlds.account import AwsStage

GROUPS = "autoscaling:DescribeAutoScalingGroups"
HEALTH = "elbv2:DescribeTargetHealth"


def cost(stage: AwsStage) -> tuple[Observation, dict[str, int]]:
    """One look, and the calls that it took."""
    before = Counter(stage.cloud.calls)
    seen = stage.observe()
    return seen, dict(stage.cloud.calls - before)


def until(stage: AwsStage, verb: Verb) -> AwsStage:
    """Drive until the act was done."""
    while verb not in stage.release.did:
        stage.step()
    return stage


def test_baking_looks_at_the_builder_only_while_it_works() -> None:
    """One call for its state; then its agent, then its commands."""
    stage = until(AwsStage(), Verb.START_BUILDER)
    seen, calls = cost(stage)
    assert calls == {"ec2:DescribeInstances": 1}
    assert seen.builder is not None
    assert seen.builder.state == "pending"
    until(stage, Verb.RUN_BUILD)
    stage.clock.sleep(3)
    seen, calls = cost(stage)
    assert calls["ssm:ListCommandInvocations"] == 1
    assert seen.builder is not None
    assert seen.builder.build is not None


def test_a_builder_that_is_stopping_is_not_asked_for_its_commands() -> None:
    """They have succeeded, or it would not stop."""
    stage = until(AwsStage(), Verb.STOP_BUILDER)
    seen, calls = cost(stage)
    assert calls == {"ec2:DescribeInstances": 1}
    assert seen.builder is not None
    assert seen.builder.build is not None
    assert (seen.builder.state, seen.builder.build.state) == ("stopping", "succeeded")


def test_baking_looks_at_nothing_but_the_image_once_it_is_made() -> None:
    """It may take hours."""
    stage = until(AwsStage(), Verb.FREE_BUILDER)
    seen, calls = cost(stage)
    assert calls == {"ec2:DescribeImages": 1}
    assert seen.image is not None
    assert (seen.image.state, seen.image.tagged_release) == ("pending", "web/production#1")


@pytest.mark.parametrize("back", [False, True])
def test_an_image_that_a_dead_driver_ordered_is_looked_for(back: bool) -> None:
    """It had no time to write down its id, and the bake or its rollback must know of it."""
    stage = until(AwsStage(), Verb.STOP_BUILDER)
    stage.clock.sleep(60)
    stage.told(EventKind.BEGAN, verb=Verb.MAKE_IMAGE)
    made = stage.perform(Verb.MAKE_IMAGE)["image"]
    if back:
        stage.enters(Phase.ROLLING_BACK, reason=Reason.ORDERED, message="ordered")
    seen = stage.observe().image
    assert seen is not None
    assert seen.id == made


def test_launching_says_why_green_does_not_come_up() -> None:
    """In AWS's words, while instances are missing."""
    stage = AwsStage(ami=True)
    stage.fake.faults.no_capacity("web-production-v1")
    until(stage, Verb.CREATE_GREEN)
    stage.clock.sleep(60)
    green = stage.observe().green
    assert green is not None
    assert "sufficient t3.micro capacity" in green.activity


TOO_SMALL = (
    "Volume of size 8GB is smaller than snapshot 'snap-0{}', expect size >= 30GB. Launching EC2 instance failed."
)


@pytest.mark.parametrize(
    ("message", "refused"),
    [
        (TOO_SMALL.format("0a1"), 3),
        ("Client.InternalError: Client error on launch", 3),
        (None, 0),  # no capacity
        ("You have requested more vCPU capacity than your current vCPU limit of 32 allows", 0),
        ("Server.InternalError: Internal error on launch", 0),
    ],
)
def test_refusals_that_do_not_pass_are_counted(message: str | None, refused: int) -> None:
    """Attempt by attempt, since the last launch that went well; what may pass counts for nothing."""
    stage = AwsStage(ami=True).go_to(Phase.LAUNCHING)
    stage.fake.faults.no_capacity("web-production-v1", message)
    until(stage, Verb.CREATE_GREEN)
    stage.clock.sleep(3 + 60)
    green = stage.observe().green
    assert green is not None
    assert (green.refused, bool(green.activity)) == (refused, True)
    stage.fake.faults.clear()
    stage.clock.sleep(120)
    stage.client("autoscaling").set_desired_capacity(AutoScalingGroupName=green.name, DesiredCapacity=5)
    stage.fake.faults.no_capacity("web-production-v1", message)
    stage.clock.sleep(3)
    later = stage.observe().green
    assert later is not None
    assert later.refused == min(refused, 1)


def test_another_reason_is_another_row_of_refusals() -> None:
    """What differs in numbers alone is the same reason."""
    stage = AwsStage(ami=True).go_to(Phase.LAUNCHING)
    stage.fake.faults.no_capacity("web-production-v1", "another matter", times=1)
    for number in ("0a1", "0a2"):
        stage.fake.faults.no_capacity("web-production-v1", TOO_SMALL.format(number), times=1)
    until(stage, Verb.CREATE_GREEN)
    stage.clock.sleep(3 + 60)
    green = stage.observe().green
    assert green is not None
    assert green.refused == 2


def test_a_launch_hook_that_abandons_everybody_is_hopeless() -> None:
    """Each abandonment has a token of its own, and is told as one reason."""
    hook = {"LifecycleHookName": "smoke", "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING"}
    stage = AwsStage(ami=True)
    stage.client("autoscaling").put_lifecycle_hook(AutoScalingGroupName="web-asg", **hook)
    stage.go_to(Phase.ROLLING_BACK)
    assert stage.release.reason is Reason.LAUNCH_REFUSED
    assert "3 times for the same reason: Instance failed to complete user's Lifecycle Action" in stage.release.message
    assert "Lifecycle Action was abandoned: Lifecycle Action Completed with ABANDON Result" in stage.release.message
    assert stage.clock.now() - stage.release.entered[Phase.LAUNCHING] < 180


def test_what_aws_took_is_told_apart_from_what_is_ill() -> None:
    """By EC2's state at once, and by the cause of its termination later; asked only while green lacks something."""
    stage = AwsStage(ami=True, health={"HealthCheckIntervalSeconds": 5}).go_to(Phase.SOAKING)
    green, scaling = stage.release.green_group, stage.client("autoscaling")
    scaling.suspend_processes(AutoScalingGroupName=green, ScalingProcesses=["ReplaceUnhealthy"])
    gone, ill, *_ = sorted(stage.fake.members(green))
    stage.fake.take(gone)
    assert stage.observe().taken == (gone,), "before the group has done anything"
    stage.machines.kill(ill)
    stage.clock.sleep(30)
    assert stage.observe().taken == (gone,)
    scaling.resume_processes(AutoScalingGroupName=green, ScalingProcesses=["ReplaceUnhealthy"])
    stage.clock.sleep(60)
    assert gone not in stage.fake.members(green)
    assert stage.observe().taken == (gone,), "by the causes of their terminations"
    stage.clock.sleep(300)
    calls = stage.cloud.calls["autoscaling:DescribeScalingActivities"]
    assert stage.observe().taken == ()
    assert stage.cloud.calls["autoscaling:DescribeScalingActivities"] == calls


def test_who_was_detached_and_runs_on_is_found() -> None:
    """Not who was terminated since, or is in another group; of blue not once it is emptied. Last those still there."""
    stage = AwsStage(ami=True).go_to(Phase.SOAKING)
    one, two, three, _ = sorted(stage.fake.members("web-asg"))
    away = {"AutoScalingGroupName": "web-asg", "ShouldDecrementDesiredCapacity": False}
    stage.client("autoscaling").detach_instances(InstanceIds=[one, two, three], **away)
    stage.client("ec2").terminate_instances(InstanceIds=[two])
    stage.go_to(Phase.RETIRING)
    assert stage.observe().detached == {"web-asg": (one, three), "web-production-v1": ()}
    until(stage, Verb.EMPTY_BLUE)
    stage.client("ec2").terminate_instances(InstanceIds=[one])
    rest = stage.go_to_the_end()
    said = f"instance {three}, detached from web-asg, still running outside of every group"
    assert rest.left == (f"{said}: aws ec2 terminate-instances --instance-ids {three}",)


def test_whom_a_hand_took_of_green_is_found_while_it_is_not_whole() -> None:
    """By its group's activities; and who was detached once more before green is deleted, after which nobody knows."""
    stage = AwsStage(ami=True).go_to(Phase.SOAKING)
    green = "web-production-v1"
    one, *_ = sorted(stage.fake.members(green))
    assert stage.observe().detached == {}, "it is whole"
    away = {"AutoScalingGroupName": green, "ShouldDecrementDesiredCapacity": False, "InstanceIds": [one]}
    stage.client("autoscaling").detach_instances(**away)
    seen = stage.observe()
    assert (seen.detached, seen.taken) == ({green: ()}, ())
    assert [i.id for i in seen.green.instances if i.set_aside] == [one]  # type: ignore[union-attr]  # it is there
    stage.clock.sleep(30)
    assert stage.observe().detached == {green: (one,)}
    stage.clock.sleep(300)
    assert stage.observe().detached == {}, "another was launched in its place"
    stage.enters(Phase.ROLLING_BACK, reason=Reason.ORDERED, message="ordered")
    rest = stage.go_to_the_end()
    said = f"instance {one}, detached from {green}, still running outside of every group"
    assert rest.left == (f"{said}: aws ec2 terminate-instances --instance-ids {one}",)
    assert stage.fake.instances()[one] == "running"


def test_blue_s_own_hooks_and_delays_are_looked_at_before_it_is_pinned() -> None:
    """The longest of each; hooks at the launch hold nobody who leaves. The plan has them, too."""
    hook = {"LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING", "DefaultResult": "CONTINUE"}
    hooks = [
        {**hook, "LifecycleHookName": "short", "HeartbeatTimeout": 60},
        {**hook, "LifecycleHookName": "long", "HeartbeatTimeout": 3600},
        {**hook, "LifecycleHookName": "boot", "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING"},
    ]
    stage = AwsStage(ami=True, group={"LifecycleHookSpecificationList": hooks}, drain=45)
    assert stage.baseline().delays == Delays(held=172_800, drain=45, hooks=("long", "short"))
    stage.go_to(Phase.LAUNCHING)
    assert stage.observe().delays == stage.baseline().delays
    until(stage, Verb.SUSPEND_BLUE)
    assert stage.observe().delays is None, "once is enough"
    assert stage.release.blue is not None
    assert (stage.release.blue.held, stage.release.blue.hooks) == (172_800, ("long", "short"))


@pytest.mark.parametrize("phase", [Phase.OVERLAPPING, Phase.SOAKING])
@pytest.mark.parametrize("size", [2, 20])
def test_a_look_costs_the_same_whatever_the_size(phase: Phase, size: int) -> None:
    """One call for both groups, one a target group; the routes every two minutes."""
    stage = AwsStage(ami=True, instances=size).go_to(phase)
    stage.observe()
    stage.clock.sleep(10)
    seen, calls = cost(stage)
    assert calls == {GROUPS: 1, HEALTH: 1}
    assert seen.routes is None
    stage.clock.sleep(120)
    seen, calls = cost(stage)
    assert calls == {GROUPS: 1, HEALTH: 1, "elbv2:DescribeListeners": 1, "elbv2:DescribeRules": 1}
    assert seen.routes == stage.release.blue.routes if stage.release.blue else False


def test_switching_looks_at_the_routes_every_time() -> None:
    """S4 and S9: right before and right after blue is taken out."""
    stage = AwsStage(ami=True).go_to(Phase.SWITCHING)
    assert stage.observe().routes == stage.observe().routes != None  # noqa: E711


def test_another_process_sees_the_same() -> None:
    """What is remembered only saves calls."""
    stage = AwsStage(ami=True).go_to(Phase.SOAKING)
    stage.observe()
    stage.clock.sleep(1)
    mine = stage.observe()
    theirs = stage.another_cloud().observe(stage.release, stage.clock.now())
    assert (mine.blue, mine.green, mine.targets) == (theirs.blue, theirs.green, theirs.targets)


def change_listener(stage: AwsStage, **members: Any) -> None:
    """Somebody changes what the listener does."""
    action: dict[str, Any] = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "503"}}
    stage.client("elbv2").modify_listener(ListenerArn=stage.world.listener, DefaultActions=[members or action])


def test_a_listener_that_was_changed_shows_in_the_routes() -> None:
    """And so does one that is gone with its load balancer."""
    stage = AwsStage(ami=True).go_to(Phase.SWITCHING)
    change_listener(stage)
    assert stage.observe().routes == ()
    stage.client("elbv2").delete_listener(ListenerArn=stage.world.listener)
    assert stage.observe().routes == ()


def test_weights_and_other_target_groups_are_part_of_a_route() -> None:
    """What is not ours in it must not change either while we release."""
    stage = AwsStage(ami=True).go_to(Phase.SWITCHING)
    vpc = stage.world.vpc
    made = stage.client("elbv2").create_target_group(Name="beside", Protocol="HTTP", Port=80, VpcId=vpc)
    shares = [
        {"TargetGroupArn": stage.world.target_group, "Weight": 90},
        {"TargetGroupArn": made["TargetGroups"][0]["TargetGroupArn"], "Weight": 10},
    ]
    change_listener(stage, Type="forward", ForwardConfig={"TargetGroups": shares})
    (route,) = stage.observe().routes or ()
    assert "beside/" in route
    assert "(10), web/" in route
    assert "(90)" in route


def test_a_known_route_is_seen_to_change_in_one_call() -> None:
    """With weights: an edit and a loss with the next look, what somebody added with the next whole one."""
    stage = AwsStage(ami=True, weighted=True).go_to(Phase.SOAKING)
    stage.observe()
    stage.clock.sleep(30)
    seen, calls = cost(stage)
    assert calls == {GROUPS: 1, HEALTH: 2, "elbv2:DescribeRules": 1}
    condition = [{"Field": "path-pattern", "PathPatternConfig": {"Values": ["/a/*"]}}]
    forward = [{"Type": "forward", "TargetGroupArn": stage.world.target_group}]
    rule = {"ListenerArn": stage.world.listener, "Priority": 7}
    stage.client("elbv2").create_rule(**rule, Conditions=condition, Actions=forward)
    assert stage.observe().routes == seen.routes
    stage.clock.sleep(ROUTES_EVERY - 30)
    routes = stage.observe().routes or ()
    assert len(routes) == len(seen.routes or ()) + 1
    change_listener(stage)
    assert len(stage.observe().routes or ()) == len(routes) - 1
    (added,) = [one for one in shown_rules(stage) if one["Priority"] == "7"]
    stage.client("elbv2").delete_rule(RuleArn=added["RuleArn"])
    assert stage.observe().routes == ()


def shown_rules(stage: AwsStage) -> list[dict[str, Any]]:
    """The rules of the listener."""
    found: list[dict[str, Any]] = stage.client("elbv2").describe_rules(ListenerArn=stage.world.listener)["Rules"]
    return found


def test_a_rule_shows_its_condition() -> None:
    """One line a rule."""
    stage = AwsStage()
    forward = [{"Type": "forward", "TargetGroupArn": stage.world.target_group}]
    condition = [{"Field": "path-pattern", "PathPatternConfig": {"Values": ["/b/*", "/a/*"]}}]
    rule = {"ListenerArn": stage.world.listener, "Priority": 7}
    stage.client("elbv2").create_rule(**rule, Conditions=condition, Actions=forward)
    assert any("rule 7 (path-pattern=/a/*|/b/*): forward web/" in route for route in stage.baseline().routes)


def test_a_target_on_two_ports_is_trusted_only_if_both_are_healthy() -> None:
    """And is out only if both are out."""
    stage = AwsStage(ami=True).go_to(Phase.SOAKING)
    victim = next(iter(stage.fake.members("web-asg")))
    other = [{"Id": victim, "Port": 8081}]
    stage.client("elbv2").register_targets(TargetGroupArn=stage.world.target_group, Targets=other)
    states = stage.observe().targets[stage.world.target_group]
    assert states[victim] != "healthy"
    assert stage.observe().in_traffic("blue")


def blurred(stage: AwsStage, before: Verb) -> AwsStage:
    """From here on, reads show what was 20 s ago."""
    until(stage, before)
    stage.clock.sleep(60)
    stage.fake.faults.stale(20)
    return stage


def test_what_was_just_made_and_is_not_shown_yet_is_none() -> None:
    """Reads are eventually consistent: that is no error."""
    stage = blurred(AwsStage(), Verb.STOP_BUILDER)
    stage.act(Verb.MAKE_IMAGE)
    assert stage.observe().image is None
    stage = blurred(AwsStage(ami=True), Verb.MAKE_TEMPLATE_VERSION)
    stage.act(Verb.CREATE_GREEN)
    assert stage.observe().green is None
    stage.clock.sleep(30)
    assert stage.observe().green is not None


def test_a_stale_look_makes_nothing_twice() -> None:
    """Acts meet what they cannot see yet: a token, or a name that is taken."""
    stage = blurred(AwsStage(ami=True), Verb.SUSPEND_BLUE)
    assert stage.act(Verb.MAKE_TEMPLATE_VERSION) == stage.perform(Verb.MAKE_TEMPLATE_VERSION)
    stage.clock.sleep(30)
    stage.act(Verb.CREATE_GREEN)
    with pytest.raises(AwsError, match="exists, but does not show it yet") as told:
        stage.perform(Verb.CREATE_GREEN)
    assert told.value.transient
    stage.clock.sleep(30)
    assert stage.perform(Verb.CREATE_GREEN) == {"group": "web-production-v1"}


def test_rolling_back_looks_for_what_must_go() -> None:
    """The template only once green is gone; who was detached only once green is out and drained, and there."""
    stage = AwsStage(ami=True).go_to(Phase.OVERLAPPING)
    until(stage, Verb.JOIN_GREEN)
    stage.enters(Phase.ROLLING_BACK, reason=Reason.ORDERED, message="ordered")
    assert cost(stage)[1] == {GROUPS: 1, HEALTH: 1}
    stage = AwsStage(ami=True).go_to(Phase.CHECKING)
    stage.enters(Phase.ROLLING_BACK, reason=Reason.ORDERED, message="ordered")
    seen, calls = cost(stage)
    assert calls == {GROUPS: 1, HEALTH: 1, "autoscaling:DescribeScalingActivities": 2}
    assert seen.template is None
    until(stage, Verb.DELETE_GREEN)
    stage.clock.sleep(120)
    template = stage.observe().template
    assert template is not None
    assert (template.default, template.latest, template.ours) == (1, 2, 2)


def test_rolling_back_looks_for_what_must_go_though_green_s_name_is_a_stranger_s() -> None:
    """Somebody made a group of that name during the bake: our version is there all the same, and has to go."""
    stage = AwsStage(ami=True).go_to(Phase.LAUNCHING)
    until(stage, Verb.MAKE_TEMPLATE_VERSION)
    spec = {"LaunchTemplateId": stage.world.template, "Version": "1"}
    stage.client("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName=stage.release.green_group,
        MinSize=0,
        MaxSize=1,
        VPCZoneIdentifier=",".join(stage.world.subnets),
        LaunchTemplate=spec,
    )
    stage.enters(Phase.ROLLING_BACK, reason=Reason.AWS_ERROR, message="the name is taken")
    seen = stage.observe()
    assert seen.green is not None
    assert seen.template is not None
    assert seen.template.ours == 2


def test_a_version_is_ours_though_its_number_was_never_told() -> None:
    """A driver died having made it, and somebody made a newer one since: it is known by its description."""
    stage = until(AwsStage(ami=True), Verb.SUSPEND_BLUE)
    stage.told(EventKind.BEGAN, verb=Verb.MAKE_TEMPLATE_VERSION)
    made = stage.perform(Verb.MAKE_TEMPLATE_VERSION)["template_version"]
    newer = {"LaunchTemplateId": stage.world.template, "SourceVersion": "1"}
    stage.client("ec2").create_launch_template_version(**newer, LaunchTemplateData={"InstanceType": "t3.large"})
    stage.enters(Phase.ROLLING_BACK, reason=Reason.ORDERED, message="ordered")
    template = stage.observe().template
    assert template is not None
    assert (template.latest, template.ours) == (made + 1, made)


def test_rolling_back_from_baking_looks_at_builder_and_image() -> None:
    """The builder is left as it was found."""
    stage = until(AwsStage(), Verb.RUN_BUILD)
    stage.enters(Phase.ROLLING_BACK, reason=Reason.ORDERED, message="ordered")
    seen = stage.observe()
    assert seen.builder is not None
    assert seen.blue is None


# --- images that may be dropped ------------------------------------------------------------------


def old_images(stage: AwsStage, count: int) -> list[str]:
    """Images of earlier releases, oldest first."""
    made = []
    for n in range(count):
        stage.clock.sleep(60)
        image = stage.client("ec2").register_image(Name=f"old-{n}", RootDeviceName="/dev/xvda")["ImageId"]
        service = [{"Key": "bluegreen:service", "Value": "web/production"}]
        stage.client("ec2").create_tags(Resources=[image], Tags=service)
        made.append(image)
    return made


def retired(stage: AwsStage) -> AwsStage:
    """Blue is gone."""
    stage.go_to(Phase.RETIRING)
    return until(stage, Verb.DELETE_BLUE)


def builder(keep: int) -> dict[str, Any]:
    """A config that keeps so many images."""
    run = {"tag": "web-builder", "run": "git checkout $BLUEGREEN_COMMIT"}
    return {"image": {"builder": run, "keep": keep}}


def test_images_beyond_those_to_keep_are_dropped_oldest_first() -> None:
    """Ours of this release counts among the newest."""
    stage = AwsStage(config=builder(2))
    old = old_images(stage, 4)
    retired(stage)
    stage.clock.sleep(90)
    assert stage.observe().droppable == tuple(old[:3])
    stage.act(Verb.DROP_IMAGE, image=old[0])
    assert stage.observe().droppable == tuple(old[1:3])
    assert stage.go_to_the_end().left == ()
    left = stage.client("ec2").describe_images(Owners=["self"])["Images"]
    assert {old[3], stage.release.image, stage.world.image} == {image["ImageId"] for image in left}


def test_an_image_in_use_is_not_dropped() -> None:
    """By an instance, even a stopped one, or by a version of the template."""
    stage = AwsStage(config=builder(1))
    old = old_images(stage, 3)
    data = {"ImageId": old[1], "InstanceType": "t3.micro"}
    asked = {"LaunchTemplateId": stage.world.template, "LaunchTemplateData": data}
    stage.client("ec2").create_launch_template_version(**asked)
    stage.client("ec2").run_instances(
        ImageId=old[0], InstanceType="t3.micro", MinCount=1, MaxCount=1, SubnetId=stage.world.subnets[0]
    )
    service = stage.release.service
    assert service == "web/production"
    retired(stage)
    stage.clock.sleep(90)
    assert stage.observe().droppable == (old[2],)


def on_image(stage: AwsStage, image: str, template: str = "") -> dict[str, str]:
    """A reference to a new version with this image, as a release makes it, or to a new template."""
    ec2, data = stage.client("ec2"), {"ImageId": image, "InstanceType": "t3.micro"}
    if template:
        made = ec2.create_launch_template(LaunchTemplateName=template, LaunchTemplateData=data)["LaunchTemplate"]
        return {"LaunchTemplateId": made["LaunchTemplateId"], "Version": "1"}
    asked = {"LaunchTemplateId": stage.world.template, "VersionDescription": "web/production#7 0123"}
    made = ec2.create_launch_template_version(**asked, LaunchTemplateData=data)["LaunchTemplateVersion"]
    return {"LaunchTemplateId": stage.world.template, "Version": str(made["VersionNumber"])}


def test_an_image_that_any_group_launches_is_not_dropped() -> None:
    """By a number, by a word, in an override, and at size 0; by a fleet; nor one that another account may launch."""
    stage = AwsStage(config=builder(1))
    old = old_images(stage, 9)
    numbered, override, unused = (on_image(stage, image) for image in old[:3])
    default, latest = (on_image(stage, image, f"other-{image}") for image in old[3:5])
    kept_empty(stage, "nightly", LaunchTemplate=numbered)
    kept_empty(stage, "by-default", LaunchTemplate={**default, "Version": "$Default"})
    kept_empty(stage, "by-latest", LaunchTemplate={**latest, "Version": "$Latest"})
    plain = {"LaunchTemplateSpecification": {"LaunchTemplateId": stage.world.template, "Version": "1"}}
    arm = {"InstanceType": "t4g.micro", "LaunchTemplateSpecification": override}
    mixed = {"LaunchTemplate": {**plain, "Overrides": [{"InstanceType": "t3.micro"}, arm]}}
    kept_empty(stage, "mixed", LaunchTemplate=None, MixedInstancesPolicy=mixed)
    gone = on_image(stage, old[6], "gone")
    kept_empty(stage, "on-what-is-gone", LaunchTemplate=gone)
    stage.client("ec2").delete_launch_template(LaunchTemplateId=gone["LaunchTemplateId"])
    share = {"Add": [{"UserId": "210987654321"}]}
    stage.client("ec2").modify_image_attribute(ImageId=old[5], LaunchPermission=share)
    assert unused["Version"] == "4"
    on_image(stage, old[8], "fleets")
    stage.client("ec2").create_fleet(
        LaunchTemplateConfigs=[{"LaunchTemplateSpecification": {"LaunchTemplateName": "fleets", "Version": "1"}}],
        TargetCapacitySpecification={"TotalTargetCapacity": 0},
    )
    retired(stage)
    stage.clock.sleep(90)
    assert stage.observe().droppable == (old[2], old[6], old[7])
    for action in ("ec2:DescribeImageAttribute", "ec2:DescribeFleets", "ec2:DescribeSpotFleetRequests"):
        stage.fake.faults.deny(action)
        stage.clock.sleep(90)
        assert stage.observe().droppable == ()
        stage.fake.faults.allow(action)


def test_an_image_that_is_named_without_a_version_in_use_is_not_dropped() -> None:
    """By a launch configuration, an override of a group or of a fleet, a Spot Fleet request, or anybody's template."""
    stage = AwsStage(config=builder(1))
    configured, override, of_fleet, of_spot, default, latest, free = old = old_images(stage, 7)
    groups, ec2 = stage.client("autoscaling"), stage.client("ec2")
    groups.create_launch_configuration(LaunchConfigurationName="old", ImageId=configured, InstanceType="t3.micro")
    kept_empty(stage, "configured", LaunchTemplate=None, LaunchConfigurationName="old")
    plain = {"LaunchTemplateSpecification": {"LaunchTemplateId": stage.world.template, "Version": "1"}}
    mixed = {"LaunchTemplate": {**plain, "Overrides": [{"InstanceType": "t3.micro", "ImageId": override}]}}
    kept_empty(stage, "mixed", LaunchTemplate=None, MixedInstancesPolicy=mixed)
    overrides = [{"InstanceType": "t3.micro", "ImageId": of_fleet}]
    size = {"TargetCapacitySpecification": {"TotalTargetCapacity": 0}}
    ec2.create_fleet(LaunchTemplateConfigs=[{**plain, "Overrides": overrides}], **size)
    ask = {"IamFleetRole": "arn:aws:iam::123456789012:role/fleet", "TargetCapacity": 0}
    ec2.request_spot_fleet(SpotFleetRequestConfig={**ask, "LaunchSpecifications": [{"ImageId": of_spot}]})
    on_image(stage, default, "nobody-s")
    newer = {"LaunchTemplateName": "nobody-s", "LaunchTemplateData": {"ImageId": latest}}
    ec2.create_launch_template_version(**newer)
    retired(stage)
    stage.clock.sleep(90)
    assert stage.observe().droppable == (free,)
    stage.fake.faults.deny("autoscaling:DescribeLaunchConfigurations")
    stage.clock.sleep(90)
    assert (stage.observe().droppable, len(old)) == ((), 7), "what that group launches cannot be seen"


def test_images_that_went_live_are_kept_before_all_others() -> None:
    """A night of rollbacks costs none of those that can be returned to."""
    stage = AwsStage(config=builder(3))
    old = old_images(stage, 5)
    mark = [{"Key": "bluegreen:outcome", "Value": "live"}]
    stage.client("ec2").create_tags(Resources=old[:2], Tags=mark)
    retired(stage)
    stage.clock.sleep(90)
    assert stage.observe().droppable == tuple(old[2:])
    stage.act(Verb.MARK_IMAGE)
    assert stage.perform(Verb.MARK_IMAGE) == {"image": stage.release.image}
    assert stage.changes().count("ec2:CreateTags") == 1
    found = stage.cloud.images([*old, stage.release.image, "ami-0123456789abcdef0"])
    assert {id_ for id_, image in found.items() if image.good} == {*old[:2], stage.release.image}
    assert set(found) == {*old, stage.release.image}


def test_an_image_that_was_made_elsewhere_is_not_marked() -> None:
    """It is somebody else's."""
    stage = AwsStage(ami=True)
    stage.perform(Verb.MARK_IMAGE)
    assert "ec2:CreateTags" not in stage.changes()


# --- versions of the launch template that may be dropped -------------------------------------------


def old_versions(stage: AwsStage, *images: str, by: str = "web/production#7 0123") -> list[str]:
    """Versions as earlier releases made them, oldest first."""
    ec2 = stage.client("ec2")
    return [
        str(
            ec2.create_launch_template_version(
                LaunchTemplateId=stage.world.template,
                VersionDescription=by,
                LaunchTemplateData={"ImageId": image, "InstanceType": "t3.micro"},
            )["LaunchTemplateVersion"]["VersionNumber"]
        )
        for image in images
    ]


def test_versions_that_earlier_releases_made_are_dropped_beyond_those_to_keep() -> None:
    """The newest stay, and the newest with each image that stays; others' versions are never ours to drop."""
    stage = AwsStage(config=builder(2))
    image = old_images(stage, 1)[0]
    ours = old_versions(stage, image, image, *["ami-0123456789abcdef0"] * 3)
    others = [
        old_versions(stage, "ami-0123456789abcdef0", by=by) for by in ("web/staging#1", "by hand", "web/production#x")
    ]
    last = old_versions(stage, "ami-0123456789abcdef0")
    retired(stage)
    stage.clock.sleep(90)
    assert stage.observe().old_versions == tuple(map(int, (ours[0], *ours[2:])))
    stage.act(Verb.DROP_VERSIONS, versions=(int(ours[0]),))
    assert stage.observe().old_versions == tuple(map(int, ours[2:]))
    assert stage.perform(Verb.DROP_VERSIONS, versions=(int(ours[0]),)) == {"versions": ()}, "after a crash"
    assert stage.go_to_the_end().left == ()
    shown = stage.client("ec2").describe_launch_template_versions(LaunchTemplateId=stage.world.template)
    left = {str(one["VersionNumber"]) for one in shown["LaunchTemplateVersions"]}
    assert left == {"1", ours[1], *(one for made in others for one in made), *last, str(stage.release.template_version)}


def test_a_version_in_use_is_not_dropped() -> None:
    """By a group, by its number or in an override; by a fleet; by an instance, detached too; nor the default."""
    stage = AwsStage(config=builder(1))
    lt, ec2 = stage.world.template, stage.client("ec2")
    name = ec2.describe_launch_templates(LaunchTemplateIds=[lt])["LaunchTemplates"][0]["LaunchTemplateName"]
    numbered, override, moved, fleet, lone, free = old_versions(stage, *[stage.world.image] * 6)
    kept_empty(stage, "nightly", LaunchTemplate={"LaunchTemplateId": lt, "Version": numbered})
    plain = {"LaunchTemplateSpecification": {"LaunchTemplateId": lt, "Version": "1"}}
    arm = {"InstanceType": "t4g.micro", "LaunchTemplateSpecification": {"LaunchTemplateId": lt, "Version": override}}
    mixed = {"LaunchTemplate": {**plain, "Overrides": [{"InstanceType": "t3.micro"}, arm]}}
    kept_empty(stage, "mixed", LaunchTemplate=None, MixedInstancesPolicy=mixed)
    groups = stage.client("autoscaling")
    for name_, version in (("moved", moved), ("left", lone)):
        on = {"LaunchTemplateId": lt, "Version": version}
        kept_empty(stage, name_, LaunchTemplate=on, MinSize=0, MaxSize=1, DesiredCapacity=1)
    stage.clock.sleep(180)
    gone = groups.describe_auto_scaling_groups(AutoScalingGroupNames=["left"])["AutoScalingGroups"][0]["Instances"]
    away = {"AutoScalingGroupName": "left", "ShouldDecrementDesiredCapacity": True}
    groups.detach_instances(InstanceIds=[gone[0]["InstanceId"]], **away)
    for name_ in ("moved", "left"):
        first = {"LaunchTemplateId": lt, "Version": "1"}
        groups.update_auto_scaling_group(AutoScalingGroupName=name_, LaunchTemplate=first)
    ec2.create_fleet(
        LaunchTemplateConfigs=[{"LaunchTemplateSpecification": {"LaunchTemplateName": name, "Version": fleet}}],
        TargetCapacitySpecification={"TotalTargetCapacity": 0},
    )
    retired(stage)
    stage.clock.sleep(90)
    assert stage.observe().old_versions == (int(free),)
    stage.fake.faults.deny("ec2:DescribeFleets")
    stage.clock.sleep(90)
    assert stage.observe().old_versions == (), "what fleets launch cannot be seen"
    ec2.modify_launch_template(LaunchTemplateId=lt, DefaultVersion=free)
    assert stage.perform(Verb.DROP_VERSIONS, versions=(int(free),)) == {"versions": ()}, "the default since"


def test_only_versions_of_this_service_are_dropped_and_a_refusal_is_told() -> None:
    """Whoever asks."""
    stage = until(AwsStage(ami=True), Verb.SUSPEND_BLUE)
    theirs, ours = old_versions(stage, stage.world.image, by="x")[0], old_versions(stage, *[stage.world.image] * 2)[0]
    with pytest.raises(AwsError, match="is not of web/production, so bluegreen keeps it"):
        stage.perform(Verb.DROP_VERSIONS, versions=(int(theirs),))
    stage.fake.faults.deny("ec2:DeleteLaunchTemplateVersions")
    with pytest.raises(AwsError) as denied:
        stage.perform(Verb.DROP_VERSIONS, versions=(int(ours),))
    assert denied.value.denied


# --- groups that earlier releases kept empty ------------------------------------------------------


def kept_empty(stage: AwsStage, name: str, release: str = "", **changes: Any) -> str:
    """A group of size 0, of an earlier release if it says so."""
    marks = {"bluegreen:service": release.rpartition("#")[0], "bluegreen:release": release} if release else {}
    tags = [{"Key": key, "Value": value, "PropagateAtLaunch": True} for key, value in marks.items()]
    template = {"LaunchTemplateId": stage.world.template, "Version": "1"}
    settings = {"MinSize": 0, "MaxSize": 0, "LaunchTemplate": template, "VPCZoneIdentifier": stage.world.subnets[0]}
    groups = stage.client("autoscaling")
    given = {key: value for key, value in {**settings, **changes}.items() if value is not None}
    groups.create_auto_scaling_group(AutoScalingGroupName=name, Tags=tags, **given)
    return name


def test_groups_that_earlier_releases_kept_empty_may_go() -> None:
    """No other: not one in use, attached, of another service or of a later release, nor one that is only named so."""
    stage = AwsStage(config={"retire": "empty"}, ami=True)
    stage.told(EventKind.TAKEN_UP, holder="x")
    stage._release = replace(stage.release, number=9, green_group="web-production-v9")
    mine = [kept_empty(stage, f"web-production-v{n}", f"web/production#{n}") for n in (1, 2)]
    kept_empty(stage, "web-production-v3", "web/production#3", MaxSize=1, DesiredCapacity=1)
    kept_empty(stage, "web-production-v4", "web/production#4", TargetGroupARNs=[stage.world.target_group])
    kept_empty(stage, "web-production-v5")
    kept_empty(stage, "web-staging-v6", "web/staging#6")
    kept_empty(stage, "web-production-copy", "web/production#2")
    kept_empty(stage, "web-production-v10", "web/production#10")
    kept_empty(stage, "web-production-v7", "web/production#7")
    stage.client("autoscaling").put_warm_pool(AutoScalingGroupName="web-production-v7", MinSize=1)
    stage.go_to(Phase.RETIRING)
    while stage.observe().emptied == ():
        stage.step()
    assert stage.observe().emptied == tuple(mine)
    stage.act(Verb.DROP_GROUP, group=mine[0])
    assert stage.perform(Verb.DROP_GROUP, group=mine[0]) == {"group": mine[0]}
    assert stage.observe().emptied == (mine[1],)
    stage.client("autoscaling").update_auto_scaling_group(
        AutoScalingGroupName=mine[1], MinSize=1, MaxSize=1, DesiredCapacity=1
    )
    with pytest.raises(AwsError, match="web-production-v2 is in use, or not of an earlier release of web/production"):
        stage.perform(Verb.DROP_GROUP, group=mine[1])


def test_only_images_of_this_service_are_dropped() -> None:
    """Whoever asks."""
    stage = AwsStage(ami=True)
    with pytest.raises(AwsError, match="is not of web/production, so bluegreen keeps it"):
        stage.perform(Verb.DROP_IMAGE, image=stage.world.image)
    assert stage.perform(Verb.DROP_IMAGE, image="ami-0123456789abcdef0") == {"image": "ami-0123456789abcdef0"}


def test_who_else_serves_is_looked_up_only_when_somebody_does() -> None:
    """By the groups that they are of; one of this service was put back by somebody."""
    stage = AwsStage(ami=True).go_to(Phase.RETIRING)
    _, calls = cost(stage)
    assert "autoscaling:DescribeAutoScalingInstances" not in calls
    for name, tags in (("worker", {}), ("web-production-v0", {"bluegreen:service": "web/production"})):
        stage.client("autoscaling").create_auto_scaling_group(
            AutoScalingGroupName=name,
            MinSize=1,
            MaxSize=1,
            VPCZoneIdentifier=stage.world.subnets[0],
            LaunchTemplate={"LaunchTemplateId": stage.world.template, "Version": "1"},
            TargetGroupARNs=stage.world.target_groups[:1],
            Tags=[{"Key": key, "Value": value, "PropagateAtLaunch": True} for key, value in tags.items()],
        )
    stage.clock.sleep(300)
    seen = stage.observe()
    assert sorted(seen.beside.values()) == ["web-production-v0", "worker"]
    assert seen.strayed == ("web-production-v0",)


def often() -> float:
    """Asked again soon."""
    return 0.01


def test_a_look_beside_its_driver_sees_and_fails_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """In threads, and where there are no more of them."""
    stage = AwsStage(ami=True).go_to(Phase.OVERLAPPING)
    now = stage.clock.now()
    seen = stage.another_cloud().observe(stage.release, now)
    assert stage.another_cloud().observe(stage.release, now, often) == seen
    stage.fake.faults.deny(GROUPS)
    with pytest.raises(AwsError, match=f"not allowed: {GROUPS}"):
        stage.another_cloud().observe(stage.release, now, often)
    stage.fake.faults.clear()

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    assert stage.another_cloud().observe(stage.release, now, often) == seen


def test_a_call_that_is_abandoned_asks_nothing_more() -> None:
    """The look ends while AWS is silent; botocore would send again what it gets no answer to."""
    stage = AwsStage(ami=True).go_to(Phase.LAUNCHING)
    before, asked, answers = set(threading.enumerate()), list[str](), threading.Event()

    def answer(request: Incoming, recorded: bool) -> Answer:
        asked.append(request.name)
        answers.wait(30)
        raise LostAnswer

    heeded = iter(range(3))

    def heed() -> float:
        if next(heeded, None) is None:
            raise Conflict("there is news")
        return 0.01

    cloud = Cloud(stage.config, FakeSession(answer, stage.clock, stage.fake.region, recorded=True))
    with pytest.raises(Conflict):
        cloud.observe(stage.release, stage.clock.now(), heed)
    (thread,) = set(threading.enumerate()) - before
    answers.set()
    thread.join(30)
    assert len(asked) == 1
    with pytest.raises(AwsError, match="Connection was closed"):
        cloud.observe(stage.release, stage.clock.now(), often)
    assert len(asked) == 1 + 3, "the next look asks as ever"


def test_an_act_is_left_only_before_it_has_changed_anything() -> None:
    """Whatever it asks afterwards is waited for, so that the journal is told how it ended."""
    stage = until(AwsStage(ami=True).go_to(Phase.LAUNCHING), Verb.MAKE_TEMPLATE_VERSION)
    asked: list[bool] = []

    def heed() -> float:
        asked.append(any(call.mutating for call in stage.fake.calls[before:]))
        return 0.01

    before = len(stage.fake.calls)
    stage.cloud.perform(Act(Verb.CREATE_GREEN), stage.release, lambda: None, heed)
    assert any(call.mutating for call in stage.fake.calls[before:])
    assert asked
    assert not any(asked)
