"""What AWS shows of a service's releases, whatever the journal says."""

from __future__ import annotations

from typing import Any

import pytest

from bluegreen.aws import account
from bluegreen.errors import ConfigError
from bluegreen.events import Phase
from bluegreen.observation import Footprint
from tests.worlds.account import COMMIT, AwsStage
from tests.worlds.attachments import hang


def of(stage: AwsStage, *, everybody: bool = False) -> dict[str, Footprint]:
    """The groups by name."""
    found = stage.cloud.everybody(1) if everybody else stage.cloud.traces("web-asg", 1)
    return {one.name: one for one in found.groups}


def group(stage: AwsStage, name: str, **more: Any) -> None:
    """Somebody makes an empty group on the service's template."""
    template = {"LaunchTemplateId": stage.world.template, "Version": "1"}
    sizes = {"MinSize": 0, "MaxSize": 1, "VPCZoneIdentifier": stage.world.subnets[0]}
    stage.client("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName=name, LaunchTemplate=template, **sizes, **more
    )


def test_before_the_first_release_there_is_the_configured_group() -> None:
    """It serves, and no release made it."""
    stage = AwsStage()
    (web,) = of(stage).values()
    assert (web.name, web.number, web.serves, web.size, web.pinned) == ("web-asg", 0, True, 4, False)
    assert web.targets == tuple(stage.world.target_groups)
    assert stage.cloud.traces("web-asg", 1).first == 1


def test_what_a_release_made_is_known_by_its_tags() -> None:
    """Numbers go on after it, and it is seen how it serves; its token proves it."""
    stage = AwsStage(token="9f86").go_to(Phase.CHECKING)
    green = of(stage)["web-production-v1"]
    assert (green.number, green.release, green.token, green.commit) == (1, "web/production#1", "9f86", COMMIT)
    assert (green.serves, green.targets, green.size, green.pinned) == (False, (), 4, True)
    assert of(stage)["web-asg"].pinned
    found = stage.cloud.traces("web-asg", 1)
    assert (found.first, found.images) == (2, ("web-production-v1-abcdef12",))
    stage.go_to(Phase.OVERLAPPING)
    stage.step()
    assert of(stage)["web-production-v1"].serves


def profiled(stage: AwsStage) -> None:
    """The instances have a role, by a profile of another name."""
    iam = stage.client("iam")
    iam.create_role(RoleName="web-instance", AssumeRolePolicyDocument="{}")
    iam.create_instance_profile(InstanceProfileName="web")
    iam.add_role_to_instance_profile(InstanceProfileName="web", RoleName="web-instance")
    template = {"LaunchTemplateId": stage.world.template, "Version": "2"}
    data = {"IamInstanceProfile": {"Name": "web"}}
    stage.client("ec2").create_launch_template_version(
        LaunchTemplateId=stage.world.template, SourceVersion="1", LaunchTemplateData=data
    )
    stage.client("autoscaling").update_auto_scaling_group(AutoScalingGroupName="web-asg", LaunchTemplate=template)


def test_what_a_policy_names_is_found() -> None:
    """Template, role and alarms of the group that the configuration names; a profile that is denied is guessed from."""
    stage = AwsStage()
    plain = account(stage.config, None, stage.fake.session())
    assert (plain.templates, plain.roles, plain.alarms) == ((stage.world.template,), (), ())
    profiled(stage)
    hang(stage.world, "web-asg", ["step"])
    found = account(stage.config, None, stage.fake.session())
    role = f"arn:aws:iam::{found.id}:role/web-instance"
    assert (found.templates, found.roles, found.partition, found.doubts) == (
        (stage.world.template,),
        (role,),
        "aws",
        (),
    )
    assert found.alarms
    stage.fake.faults.deny("iam:GetInstanceProfile")
    guessed = account(stage.config, None, stage.fake.session())
    assert guessed.roles == (role.removesuffix("-instance"),)
    assert guessed.doubts == (
        f"bluegreen may not read the instance profile web, so its role is a guess: {guessed.roles[0]}",
    )


def test_a_policy_for_a_group_that_is_gone_names_those_of_the_service() -> None:
    """A release has replaced it; without any there is nothing to name."""
    stage = AwsStage(token="9f86").go_to(Phase.CHECKING)
    stage.client("autoscaling").delete_auto_scaling_group(AutoScalingGroupName="web-asg", ForceDelete=True)
    stage.clock.sleep(300)
    assert account(stage.config, None, stage.fake.session()).templates == (stage.world.template,)
    nowhere = AwsStage(config={"group": "web-asg2"})
    with pytest.raises(ConfigError, match="there is no Auto Scaling group `web-asg2` in "):
        account(nowhere.config, None, nowhere.fake.session())


def test_an_image_alone_tells_of_a_release() -> None:
    """Its group is gone, as after a rollback; that of another service of a like name does not count."""
    stage = AwsStage()
    ec2 = stage.client("ec2")
    for name, service, number in (
        ("web-production-v7-c0ffee", "web/production", 7),
        ("web-production-v9-x", "web/x", 9),
    ):
        made = ec2.register_image(Name=name, RootDeviceName="/dev/xvda")["ImageId"]
        marks = {"bluegreen:service": service, "bluegreen:release": f"{service}#{number}"}
        ec2.create_tags(Resources=[made], Tags=[{"Key": key, "Value": value} for key, value in marks.items()])
    found = stage.cloud.traces("web-asg", 3)
    assert (found.first, found.images) == (8, ("web-production-v7-c0ffee", "web-production-v9-x"))


@pytest.mark.parametrize(("service", "first"), [("web/production", 8), ("api/production", 1)])
def test_the_release_that_holds_a_group_tells_of_its_number(service: str, first: int) -> None:
    """It may have made nothing yet."""
    stage = AwsStage()
    tag = {"ResourceId": "web-asg", "ResourceType": "auto-scaling-group", "Key": "bluegreen:held-by"}
    mark = {**tag, "Value": f"{service}#7 beef", "PropagateAtLaunch": False}
    stage.client("autoscaling").create_or_update_tags(Tags=[mark])
    assert stage.cloud.traces("web-asg", 1).first == first


def test_names_near_the_next_number_are_looked_at() -> None:
    """Whoever bears them."""
    stage = AwsStage()
    for number in (3, 20):
        group(stage, f"web-production-v{number}")
    assert set(of(stage)) == {"web-asg", "web-production-v3"}


@pytest.mark.parametrize("rules", [False, True])
def test_with_weights_those_serve_who_are_given_traffic(rules: bool) -> None:
    """Being in the idle target group is not serving."""
    stage = AwsStage(weighted=True, rules=rules, ami=True).go_to(Phase.OVERLAPPING)
    there = of(stage)
    assert (there["web-asg"].serves, there["web-production-v1"].serves) == (True, False)
    assert there["web-production-v1"].targets == (stage.world.target_groups[-1],)
    stage.go_to(Phase.SOAKING)
    there = of(stage)
    assert (there["web-asg"].serves, there["web-production-v1"].serves) == (False, True)


def test_everybody_is_whoever_is_in_the_target_groups_and_what_they_run() -> None:
    """A stranger among them, and what releases left beside; who is elsewhere does not count."""
    stage = AwsStage(ami=True).go_to(Phase.CHECKING)
    group(stage, "by-hand", TargetGroupARNs=[stage.world.target_group])
    group(stage, "elsewhere")
    there = of(stage, everybody=True)
    assert set(there) == {"web-asg", "by-hand", "web-production-v1"}
    assert (there["web-asg"].image, there["web-asg"].version) == (stage.world.image, 1)
    assert (there["by-hand"].number, there["by-hand"].serves, there["by-hand"].size) == (0, True, 0)


def test_a_group_on_a_launch_configuration_is_told_without_its_image() -> None:
    """It may serve all the same."""
    there = of(AwsStage(launch_configuration=True), everybody=True)
    assert (there["web-asg"].serves, there["web-asg"].image) == (True, "")


def test_target_groups_may_be_named() -> None:
    """By the whole name."""
    stage = AwsStage()
    for names, serves in ((["web"], True), (["we"], False)):
        traffic = stage.config.traffic.model_copy(update={"target_groups": names})
        stage.config = stage.config.model_copy(update={"traffic": traffic})
        stage.cloud = stage.another_cloud()
        assert of(stage)["web-asg"].serves is serves
