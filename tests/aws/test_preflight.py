"""The preflight: what a release may start from, and every bad day on which it may not."""

from __future__ import annotations

from typing import Any

import pytest

from bluegreen.config import parse
from bluegreen.errors import ConfigError, Refused
from bluegreen.events import Phase, Reason
from tests.worlds.account import COMMIT, AwsStage


def group(stage: AwsStage) -> dict[str, Any]:
    """The argument that names blue."""
    return {"AutoScalingGroupName": stage.world.group}


def refused(stage: AwsStage, kind: type[ConfigError | Refused] = ConfigError) -> str:
    """What the preflight says against it, after it changed nothing."""
    with pytest.raises(kind) as told:
        stage.baseline()
    assert stage.changes() == []
    assert told.value.hint
    return str(told.value)


def traffic(*names: str) -> dict[str, Any]:
    """A config with these target groups."""
    return {"traffic": {"target_groups": list(names)}}


def test_a_healthy_service_is_found_whole() -> None:
    """Everything that a release records before it changes anything."""
    stage = AwsStage(config=traffic("web"))
    found = stage.baseline()
    assert found.blue.name == "web-asg"
    assert found.target_groups == tuple(stage.world.target_groups)
    assert (found.template.id, found.resolved_version) == (stage.world.template, "1")
    assert (found.builder, found.image) == (stage.world.builder, "")
    assert (found.account, found.region) == (stage.fake.account, "ap-northeast-2")
    assert len(found.routes) == 1
    assert found.findings == ()


def test_the_group_is_missing() -> None:
    """The error says where was looked, and what looks like it."""
    stage = AwsStage()
    with pytest.raises(ConfigError, match="group: there is no Auto Scaling group `web-agg` in ap-northeast-2") as told:
        stage.cloud.baseline("web-agg", COMMIT)
    assert "Did you mean `web-asg`?" in str(told.value)


def test_a_target_group_is_missing() -> None:
    """Named by its place in the config, also among others that exist."""
    said = refused(AwsStage(config=traffic("web", "wev")))
    assert "traffic.target_groups.1: there is no target group `wev`" in said
    assert "Did you mean `web`?" in said


def test_a_target_group_arn_is_missing() -> None:
    """As with a name."""
    stage = AwsStage()
    arn = stage.world.target_group[:-1] + ("0" if stage.world.target_group[-1] != "0" else "1")
    stage.config = parse(stage.world.config(**traffic(arn)))
    stage.cloud = stage.another_cloud()
    assert f"there is no target group `{arn}`" in refused(stage)


def test_one_target_group_under_two_names() -> None:
    """An ARN and a name can mean the same."""
    stage = AwsStage()
    stage.config = parse(stage.world.config(**traffic("web", stage.world.target_group)))
    stage.cloud = stage.another_cloud()
    assert "one target group is named twice" in refused(stage)


def test_the_group_is_not_in_the_target_group() -> None:
    """Then the target group is not what it serves through."""
    stage = AwsStage(target_groups=2)
    arn = stage.world.target_groups[1]
    stage.client("autoscaling").detach_load_balancer_target_groups(**group(stage), TargetGroupARNs=[arn])
    assert "traffic.target_groups.1: the group web-asg is not attached to web-2" in refused(stage)


def test_the_group_is_in_a_target_group_that_is_not_listed() -> None:
    """Blue would go on serving there after the switch."""
    assert "the group web-asg is also attached to web-2" in refused(AwsStage(config=traffic("web"), target_groups=2))


def test_no_load_balancer_forwards_to_the_target_group() -> None:
    """Its targets are `unused` for ever, and nobody would notice."""
    stage = AwsStage()
    vpc = stage.world.vpc
    made = stage.client("elbv2").create_target_group(Name="lonely", Protocol="HTTP", Port=80, VpcId=vpc)
    stage.config = parse(stage.world.config(**traffic("lonely")))
    stage.cloud = stage.another_cloud()
    assert made["TargetGroups"]
    assert "no load balancer forwards to `lonely`" in refused(stage)


def test_targets_that_are_no_instances() -> None:
    """Auto Scaling groups register instances."""
    stage = AwsStage()
    vpc = stage.world.vpc
    stage.client("elbv2").create_target_group(Name="by-ip", Protocol="HTTP", Port=80, VpcId=vpc, TargetType="ip")
    stage.config = parse(stage.world.config(**traffic("by-ip")))
    stage.cloud = stage.another_cloud()
    assert "`by-ip` has targets of type ip" in refused(stage)


def test_a_launch_configuration() -> None:
    """The hint is the way to a launch template."""
    said = refused(AwsStage(launch_configuration=True))
    assert "has the launch configuration `web-lc`" in said
    assert "Create a launch template from it" in said


@pytest.mark.parametrize(
    ("process", "said"),
    [("Launch", "has Launch suspended"), ("Terminate", "has Terminate suspended")],
)
def test_processes_that_a_release_needs(process: str, said: str) -> None:
    """Suspended on blue they would be suspended on green too."""
    stage = AwsStage()
    stage.client("autoscaling").suspend_processes(**group(stage), ScalingProcesses=[process])
    assert said in refused(stage)


def overrides(stage: AwsStage, **members: Any) -> None:
    """Blue's mixed instances policy with one override that says more."""
    policy = stage.world.describe()["MixedInstancesPolicy"]
    policy["LaunchTemplate"]["LaunchTemplateSpecification"].pop("LaunchTemplateName", None)
    policy["LaunchTemplate"]["Overrides"] = [{"InstanceType": "t4g.micro", **members}]
    stage.client("autoscaling").update_auto_scaling_group(**group(stage), MixedInstancesPolicy=policy)


def test_an_override_with_a_template_of_its_own() -> None:
    """One image cannot serve two architectures."""
    stage = AwsStage(mixed=True)
    overrides(stage, LaunchTemplateSpecification={"LaunchTemplateId": stage.world.template, "Version": "1"})
    assert "has a launch template of its own for t4g.micro" in refused(stage)


def test_an_override_with_an_image_of_its_own() -> None:
    """A new template version alone would leave those instances on the old image."""
    stage = AwsStage(mixed=True)
    overrides(stage, ImageId=stage.world.image)
    assert "has an image of its own for t4g.micro" in refused(stage)


def test_weights() -> None:
    """As many units may be fewer targets; where each instance is one unit, the size is their number."""
    stage = AwsStage(mixed=True)
    overrides(stage, WeightedCapacity="2")
    said = refused(stage)
    assert "counts an instance of t4g.micro as 2" in said
    assert "in other units a green of the same size may have fewer" in said
    assert "Remove the weights, or make each of them 1" in said
    overrides(stage, WeightedCapacity="1")
    assert stage.baseline().findings == ()


@pytest.mark.parametrize("unit", ["vcpu", "memory-mib"])
def test_sizes_in_other_units(unit: str) -> None:
    """The same of sizes in vCPUs or memory."""
    said = refused(AwsStage(mixed=True, group={"DesiredCapacityType": unit}))
    assert f"counts its size in {unit}" in said
    assert "Set its desired capacity type to units, and its sizes to numbers of instances." in said


def test_protected_from_all_deletion() -> None:
    """Only in the way of a retirement that deletes."""
    protected = {"DeletionProtection": "prevent-all-deletion"}
    assert "is protected from all deletion" in refused(AwsStage(group=protected))
    assert AwsStage(config={"retire": "empty"}, group=protected).baseline().findings == ()


def test_blue_is_sick() -> None:
    """What is wrong is found, and how many bear the traffic all the same; a whole blue has nothing wrong."""
    stage = AwsStage()
    whole = stage.baseline()
    assert (whole.unwell, whole.borne) == ("", len(whole.blue.instances))
    victim = next(iter(stage.fake.members("web-asg")))
    stage.machines.kill(victim)
    stage.clock.sleep(25)
    found = stage.baseline()
    assert found.unwell == f"the group web-asg is not completely healthy: {victim} is unhealthy in web"
    assert found.borne == whole.borne - 1


def test_blue_is_scaling() -> None:
    """What comes and goes by itself is nothing wrong, until it has settled: instances, then their targets."""
    stage = AwsStage()
    size = len(stage.baseline().blue.instances)
    stage.client("autoscaling").set_desired_capacity(**group(stage), DesiredCapacity=size + 1)
    said = []
    while (found := stage.baseline()).unsettled:
        assert found.unwell == ""
        said.append(found.unsettled)
        stage.clock.sleep(1)
    assert any("Pending" in one for one in said)
    assert "waits for its first health checks" in said[-1]
    assert len(found.blue.instances) == size + 1


def test_what_does_not_settle_by_itself_is_refused_while_blue_scales() -> None:
    """One in Standby stays there, whatever else comes and goes."""
    stage = AwsStage()
    first = stage.baseline().blue.instances[0].id
    aside = {"InstanceIds": [first], "ShouldDecrementDesiredCapacity": False}
    stage.client("autoscaling").enter_standby(**group(stage), **aside)
    stage.clock.sleep(1)
    found = stage.baseline()
    assert f"{first} is " in found.unwell
    assert "Standby" in found.unwell
    assert found.unsettled


def test_blue_is_empty() -> None:
    """Nothing is wrong with that, and nothing is under way."""
    stage = AwsStage()
    stage.client("autoscaling").update_auto_scaling_group(**group(stage), MinSize=0, DesiredCapacity=0)
    stage.clock.sleep(300)
    found = stage.baseline()
    assert (found.unwell, found.unsettled, found.borne) == ("", "", 0)
    assert found.idle == "the group web-asg is at size 0"


def test_the_builder_is_missing() -> None:
    """By tag, and by id."""
    builder = {"run": "true"}
    said = refused(AwsStage(config={"image": {"builder": {"tag": "nobody", **builder}}}))
    assert "image.builder.tag: there is no instance with the Name `nobody`" in said
    said = refused(AwsStage(config={"image": {"builder": {"instance": "i-0123456789abcdef0", **builder}}}))
    assert "image.builder.instance: there is no instance `i-0123456789abcdef0`" in said


def test_two_builders() -> None:
    """A name that means two instances means none."""
    stage = AwsStage()
    name = [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "web-builder"}]}]
    asked = {"ImageId": stage.world.image, "InstanceType": "t3.small", "TagSpecifications": name}
    stage.client("ec2").run_instances(MinCount=1, MaxCount=1, SubnetId=stage.world.subnets[0], **asked)
    assert "2 instances have the Name `web-builder`" in refused(stage)


def test_the_builder_runs() -> None:
    """Somebody is at work on it; with an image given it does not matter."""
    stage = AwsStage()
    stage.client("ec2").start_instances(InstanceIds=[stage.world.builder])
    stage.clock.sleep(60)
    with pytest.raises(Refused) as told:
        stage.baseline()
    assert told.value.reason is Reason.BUILDER_RUNNING
    stage.ami = stage.world.image
    assert stage.baseline().image == stage.world.image


def test_the_image_is_missing() -> None:
    """Given by the door or by the config, the error names where it came from."""
    stage = AwsStage()
    stage.ami = "ami-0123456789abcdef0"
    assert "ami: there is no image `ami-0123456789abcdef0`" in refused(stage)
    assert "image.ami: there is no image" in refused(AwsStage(config={"image": {"ami": "ami-0123456789abcdef0"}}))


def test_an_image_by_parameter() -> None:
    """resolve:ssm:… is looked up; a missing parameter is named."""
    stage = AwsStage(config={"image": {"ami": "resolve:ssm:/web/ami"}})
    assert "there is no SSM parameter `/web/ami`" in refused(stage)
    stage.client("ssm").put_parameter(Name="/web/ami", Value=stage.world.image, Type="String")
    assert stage.baseline().image == stage.world.image


def test_an_image_of_the_commit_is_found() -> None:
    """A release that was rolled back leaves its image; the next of that commit need not bake."""
    stage = AwsStage().go_to(Phase.LAUNCHING)
    made = stage.release.made_image
    assert stage.baseline().image == made
    assert stage.baseline().builder == ""
    assert stage.baseline("1234567890").image == ""


@pytest.mark.parametrize("version", ["$Latest", "$Default"])
def test_a_symbolic_version_is_resolved(version: str) -> None:
    """To the number that it means now."""
    found = AwsStage(template_version=version).baseline()
    assert (found.blue.template_version, found.resolved_version) == (version, "1")


def test_another_group_in_the_target_group() -> None:
    """Somebody else's is warned of; one of ours is what an earlier release left."""
    stage = AwsStage()
    asg = stage.client("autoscaling")
    arns = {"TargetGroupARNs": [stage.world.target_group]}
    template = {"LaunchTemplateId": stage.world.template, "Version": "1"}
    size = {"MinSize": 1, "MaxSize": 1, "VPCZoneIdentifier": stage.world.subnets[0]}
    asg.create_auto_scaling_group(AutoScalingGroupName="other", LaunchTemplate=template, **size, **arns)
    stage.clock.sleep(120)
    assert stage.baseline().warnings == (
        "the target groups hold 1 other target of other: targets that do not belong to blue go on serving beside green",
    )
    tag = {"ResourceId": "other", "ResourceType": "auto-scaling-group", "PropagateAtLaunch": False}
    asg.create_or_update_tags(Tags=[{**tag, "Key": "bluegreen:service", "Value": "web/production"}])
    with pytest.raises(Refused, match="the group other, of an earlier release") as told:
        stage.baseline()
    assert told.value.reason is Reason.UNRESOLVED


def test_a_network_load_balancer() -> None:
    """It has no rules; its listener is the route."""
    (route,) = AwsStage(network=True).baseline().routes
    assert route.startswith("listener TCP:80 of ")
