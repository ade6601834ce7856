"""The account before a first release: candidates, and the details of one of them; read only."""

from __future__ import annotations

from typing import Any

import pytest

from bluegreen.aws import candidates, details
from bluegreen.errors import AwsError
from bluegreen.observation import Candidate, GroupDetails
from lab.aws import FakeAws
from lab.world import World


@pytest.fixture
def aws() -> FakeAws:
    """An account without services."""
    return FakeAws()


def seen(aws: FakeAws, name: str = "web-asg") -> Candidate:
    """That group, as a candidate."""
    return next(one for one in candidates(None, aws.session()).groups if one.name == name)


def around(aws: FakeAws, name: str = "web-asg") -> GroupDetails:
    """What is around it."""
    return details(None, aws.session(), name)


def test_a_group_is_a_candidate_with_what_it_says_of_itself(aws: FakeAws) -> None:
    """Its size, its target groups, its tags; and everything is only read."""
    world = World.standard(aws, instances=2)
    tags: Any = [{"ResourceId": world.group, "ResourceType": "auto-scaling-group", "PropagateAtLaunch": False}]
    named = [{**tags[0], "Key": key, "Value": value} for key, value in (("Name", "shop"), ("bluegreen:service", "a/b"))]
    world.client("autoscaling").create_or_update_tags(Tags=named)
    assert seen(aws) == Candidate("web-asg", 2, tuple(world.target_groups), title="shop", service="a/b")
    found = candidates(None, aws.session())
    assert (found.account, found.place) == (aws.account, f"in {aws.region} of account {aws.account}")
    around(aws)
    assert [call.name for call in aws.calls if call.mutating] == []


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ({"launch_configuration": True}, "has the launch configuration `web-lc`, not a launch template"),
        ({"group": {"LoadBalancerNames": ["old"]}}, "is behind classic load balancers (old)"),
    ],
)
def test_why_a_group_cannot_be_released_is_what_a_release_would_say(aws: FakeAws, kind: Any, why: str) -> None:
    """By the same rules as the examination before a release."""
    World.standard(aws, instances=1, **kind)
    assert [what for what, _ in seen(aws).unfit] == [why]
    assert around(aws).forwards


def test_a_target_group_that_nobody_forwards_to(aws: FakeAws) -> None:
    """A release could not see whether green serves."""
    world = World.standard(aws, instances=1)
    world.client("elbv2").delete_listener(ListenerArn=world.listener)
    assert [what for what, _ in seen(aws).unfit] == ["no load balancer forwards to `web`"]
    assert around(aws).forwards == ()


def test_a_group_of_a_service_that_keeps_it(aws: FakeAws) -> None:
    """ECS, EKS and Elastic Beanstalk release it themselves; CloudFormation only makes it again."""
    world = World.standard(aws, instances=1)
    tag: Any = {"ResourceId": world.group, "ResourceType": "auto-scaling-group", "PropagateAtLaunch": False}
    scaling = world.client("autoscaling")
    scaling.create_or_update_tags(Tags=[{**tag, "Key": "managed-by", "Value": "terraform"}])
    assert (seen(aws).keeper, seen(aws).unfit) == ("what its tag says, managed-by: terraform", ())
    scaling.create_or_update_tags(Tags=[{**tag, "Key": "eks:cluster-name", "Value": "blue"}])
    assert seen(aws).unfit == (
        ("is managed by the EKS cluster blue", "Update its nodes with EKS: its instances are nodes of a cluster."),
    )


def test_a_mixed_instances_policy_is_told_by_its_types(aws: FakeAws) -> None:
    """And what it launches by the template in it."""
    world = World.standard(aws, instances=1, mixed=True)
    assert seen(aws).kinds == ("t3.micro", "t3a.micro")
    found = around(aws)
    assert (found.template, found.version, found.image) == (world.template_name, "1", world.image)


def test_what_reaches_the_group(aws: FakeAws) -> None:
    """Every listener and rule of its load balancer, the target groups behind it, and who is in those beside its own."""
    world = World.standard(aws, instances=1, weighted=True, rules=True, preview=True)
    World.standard(aws, instances=1, service="api")
    found = around(aws)
    own, idle = world.target_groups
    assert found.pools == {own: "web", idle: "web-green"}
    assert found.members == {idle: 0}
    assert {one.arn: one.weights for one in found.forwards} == {
        **{arn: {own: 100, idle: 0} for arn in world.listeners},
        **{arn: {own: 0, idle: 100} for arn in world.previews},
    }
    assert (found.page, found.earliest) == ("http://localhost:80/healthz", 30.0)


def test_a_target_group_of_addresses_is_none_for_green(aws: FakeAws) -> None:
    """Auto Scaling groups register instances."""
    world = World.standard(aws, instances=1)
    elb = world.client("elbv2")
    made = elb.create_target_group(Name="ips", Protocol="HTTP", Port=80, VpcId=world.vpc, TargetType="ip")
    arn = made["TargetGroups"][0]["TargetGroupArn"]
    shares: Any = [{"TargetGroupArn": world.target_group, "Weight": 1}, {"TargetGroupArn": arn, "Weight": 0}]
    action: Any = {"Type": "forward", "ForwardConfig": {"TargetGroups": shares}}
    elb.modify_listener(ListenerArn=world.listener, DefaultActions=[action])
    found = around(aws)
    assert (set(found.pools), set(found.members)) == ({world.target_group}, {arn})


def test_stopped_instances_may_be_builders(aws: FakeAws) -> None:
    """Those of no group; a name or a tag may say so."""
    world = World.standard(aws, instances=1)
    ec2 = world.client("ec2")
    (builder,) = around(aws).machines
    assert (builder.id, builder.name, builder.hinted) == (world.builder, "web-builder", True)
    ec2.create_tags(Resources=[world.builder], Tags=[{"Key": "Name", "Value": "rover"}])
    assert [(one.name, one.hinted) for one in around(aws).machines] == [("rover", False)]
    ec2.create_tags(Resources=[world.builder], Tags=[{"Key": "role", "Value": "image-builder"}])
    assert [one.hinted for one in around(aws).machines] == [True]
    ec2.start_instances(InstanceIds=[world.builder])
    assert around(aws).machines == ()


def test_an_image_that_is_gone_is_no_image_to_release(aws: FakeAws) -> None:
    """What runs goes on running; a launch would fail."""
    world = World.standard(aws, instances=1)
    world.client("ec2").deregister_image(ImageId=world.image)
    found = around(aws)
    assert (found.image, found.doubts) == (
        "",
        (f"the image {world.image} that the group launches does not exist any more",),
    )


def test_what_a_permission_hides_is_a_doubt(aws: FakeAws) -> None:
    """Of builders and images; without the others nothing can be proposed."""
    world = World.standard(aws, instances=1)
    for operation in ("DescribeInstances", "DescribeImages"):
        aws.faults.deny(f"ec2:{operation}")
    found = around(aws)
    assert (found.machines, found.image) == ((), world.image)
    assert [doubt.rpartition(": ")[2] for doubt in found.doubts] == [
        "ec2:DescribeInstances is not allowed",
        "ec2:DescribeImages is not allowed",
    ]
    aws.faults.deny("elbv2:DescribeTargetGroups")
    with pytest.raises(AwsError, match="not allowed: elasticloadbalancing:DescribeTargetGroups"):
        candidates(None, aws.session())
