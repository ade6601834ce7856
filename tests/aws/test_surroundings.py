"""What else is there: everything that a look before a release finds, with its verdict and what to do."""

from __future__ import annotations

import re
from typing import Any

import pytest

from bluegreen.aws import surroundings, tags
from bluegreen.errors import AwsError
from bluegreen.events import Phase, Reason, Verb
from bluegreen.observation import Finding, FindingKey, Verdict, let_pass
from tests.worlds.account import AwsStage
from tests.worlds.attachments import hang
from tests.worlds.pairs import PAIR, idle_group

WARNED, NOTED, REFUSED = Verdict.WARNED, Verdict.NOTED, Verdict.REFUSED


def found(stage: AwsStage, key: FindingKey) -> Finding | None:
    """What the preflight finds of this key."""
    return next((one for one in stage.baseline().findings if one.key is key), None)


def told(stage: AwsStage, key: FindingKey, verdict: Verdict) -> str:
    """The same, which must be there with this verdict; in words, with the hint."""
    one = found(stage, key)
    assert one is not None, stage.baseline().findings
    assert one.verdict is verdict
    return f"{one.said}. {one.hint}"


def worker(stage: AwsStage, version: str, name: str = "worker", **more: Any) -> None:
    """Somebody's group on the same launch template."""
    way = more or {"LaunchTemplate": {"LaunchTemplateId": stage.world.template, "Version": version}}
    size = {"MinSize": 0, "MaxSize": 1, "VPCZoneIdentifier": stage.world.subnets[0]}
    stage.client("autoscaling").create_auto_scaling_group(AutoScalingGroupName=name, **size, **way)


def version(stage: AwsStage, **data: Any) -> str:
    """Somebody makes a version from the first."""
    made = stage.client("ec2").create_launch_template_version(
        LaunchTemplateId=stage.world.template, SourceVersion="1", LaunchTemplateData=data
    )
    return str(made["LaunchTemplateVersion"]["VersionNumber"])


def alarm(stage: AwsStage, name: str = "web-5xx", **dimensions: str) -> None:
    """An alarm with these dimensions."""
    stage.client("cloudwatch").put_metric_alarm(
        AlarmName=name,
        Namespace="AWS/EC2",
        MetricName="CPUUtilization",
        Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
        Statistic="Average",
        Period=60,
        EvaluationPeriods=1,
        Threshold=90,
        ComparisonOperator="GreaterThanThreshold",
    )


def checks(*checks: dict[str, Any]) -> dict[str, Any]:
    """A configuration with these checks."""
    return {"checks": list(checks)}


def test_nobody_else_is_there() -> None:
    """A plain group has nothing to tell, on whatever version it is."""
    for said in ("1", "$Latest", "$Default"):
        assert AwsStage(template_version=said).baseline().findings == ()


# --- who else launches from the template ---


def test_a_group_that_follows_latest() -> None:
    """It would launch our image before anybody has checked it."""
    stage = AwsStage()
    worker(stage, "$Latest")
    said = told(stage, FindingKey.SHARED_TEMPLATE, REFUSED)
    assert "the group worker launches by $Latest" in said
    assert "it would launch the unreleased image as soon as green exists" in said
    worker(stage, "$Latest", "cron")
    assert "the groups cron, worker launch by $Latest" in told(stage, FindingKey.SHARED_TEMPLATE, REFUSED)


def test_a_mixed_group_and_an_override_that_follow() -> None:
    """A policy names the template, and each override may name one of its own."""
    stage = AwsStage()
    spec = {"LaunchTemplateId": stage.world.template, "Version": "1"}
    override = {"InstanceType": "t4g.micro", "LaunchTemplateSpecification": {**spec, "Version": "$Latest"}}
    policy = {"LaunchTemplate": {"LaunchTemplateSpecification": spec, "Overrides": [override]}}
    worker(stage, "", MixedInstancesPolicy=policy)
    told(stage, FindingKey.SHARED_TEMPLATE, REFUSED)


def test_everybody_who_follows_is_found_on_whatever_page() -> None:
    """Groups come fifty a page."""
    stage = AwsStage()
    for n in range(60):
        worker(stage, "1", f"other-{n:02}")
    worker(stage, "$Latest", "z-last")
    assert "z-last" in told(stage, FindingKey.SHARED_TEMPLATE, REFUSED)
    assert "other-00, other-01, other-02 and 57 more launch from" in told(stage, FindingKey.TEMPLATE_USERS, NOTED)


def test_a_group_on_another_template_is_nobody() -> None:
    """Only blue's template is shared."""
    stage = AwsStage()
    data = {"ImageId": stage.world.image, "InstanceType": "t3.micro"}
    made = stage.client("ec2").create_launch_template(LaunchTemplateName="other", LaunchTemplateData=data)
    other = {"LaunchTemplateId": made["LaunchTemplate"]["LaunchTemplateId"], "Version": "$Latest"}
    worker(stage, "", LaunchTemplate=other)
    assert stage.baseline().findings == ()


def test_a_default_that_others_follow_stays() -> None:
    """They are spared, and it is said; with blue on $Default green cannot follow it, either."""
    stage = AwsStage()
    worker(stage, "$Default")
    said = told(stage, FindingKey.DEFAULT_FOLLOWED, WARNED)
    assert said.startswith("the group worker launches by $Default from blue's launch template")
    assert "so the default version stays as it is. `allow: [shared_template]`" in said
    assert not stage.baseline().sets_default
    stage = AwsStage(template_version="$Default")
    worker(stage, "$Default")
    assert "and green stays on its version number" in told(stage, FindingKey.DEFAULT_FOLLOWED, WARNED)


def test_a_default_that_others_may_follow() -> None:
    """Allowed, they follow once the release is live."""
    stage = AwsStage(config={"allow": ["shared_template"]})
    worker(stage, "$Default")
    assert "once the release is live" in told(stage, FindingKey.SHARED_TEMPLATE, REFUSED)  # the engine lets it pass
    assert stage.baseline().sets_default


def test_a_default_that_is_not_blue_s_stays() -> None:
    """Somebody set it before, for somebody else: blue launches from another version."""
    stage = AwsStage()
    number = version(stage, InstanceType="t3.large")
    stage.client("ec2").modify_launch_template(LaunchTemplateId=stage.world.template, DefaultVersion=number)
    said = told(stage, FindingKey.DEFAULT_ELSEWHERE, NOTED)
    assert f"is {number}, while web-asg is on 1: so the default version stays as it is" in said
    assert not stage.baseline().sets_default


def test_somebody_s_new_default_is_left() -> None:
    """It was set after blue was pinned, and nobody asked us to take it away."""
    stage = AwsStage().go_to(Phase.RETIRING)
    made = version(stage, InstanceType="t3.large")
    stage.client("ec2").modify_launch_template(LaunchTemplateId=stage.world.template, DefaultVersion=made)
    with pytest.raises(AwsError, match=f"stays as it is: someone made version {made} the default"):
        stage.perform(Verb.SET_DEFAULT_VERSION)
    stage.client("ec2").modify_launch_template(LaunchTemplateId=stage.world.template, DefaultVersion="1")
    stage.perform(Verb.SET_DEFAULT_VERSION)
    assert stage.perform(Verb.SET_DEFAULT_VERSION) == {}  # ours by now, and so it may stay


def test_a_default_that_others_have_begun_to_follow_is_left() -> None:
    """They came after the look; allowed, they follow."""
    for allow in ([], ["shared_template"]):
        stage = AwsStage(config={"allow": allow}).go_to(Phase.RETIRING)
        worker(stage, "$Default")
        if allow:
            assert stage.perform(Verb.SET_DEFAULT_VERSION) == {}
        else:
            with pytest.raises(AwsError, match="stays as it is: worker launches by it"):
                stage.perform(Verb.SET_DEFAULT_VERSION)


def test_a_version_that_another_group_is_on_is_not_deleted() -> None:
    """Somebody put it there during the release."""
    stage = AwsStage().go_to(Phase.CHECKING)
    worker(stage, str(stage.release.template_version))
    stage.enters(Phase.ROLLING_BACK, reason=Reason.ORDERED, message="")
    with pytest.raises(AwsError, match="worker launches from it"):
        stage.go_to_the_end()


def test_green_that_cannot_follow_latest_says_so() -> None:
    """Somebody made a version meanwhile: $Latest would bring that up."""
    stage = AwsStage(template_version="$Latest").go_to(Phase.RETIRING)
    version(stage, InstanceType="t3.large")
    assert stage.perform(Verb.RESTORE_GREEN) == {"stays_on_version": 2}


# --- fleets ---


def fleet(stage: AwsStage, version: str = "$Latest", *, named: bool = False, kind: str = "maintain") -> str:
    """Somebody's EC2 Fleet on the same launch template."""
    way = {"LaunchTemplateName": stage.world.template_name} if named else {"LaunchTemplateId": stage.world.template}
    made = stage.client("ec2").create_fleet(
        LaunchTemplateConfigs=[{"LaunchTemplateSpecification": {**way, "Version": version}}],
        TargetCapacitySpecification={"TotalTargetCapacity": 1},
        Type=kind,
    )
    return str(made["FleetId"])


def spot_fleet(stage: AwsStage, version: str) -> str:
    """Somebody's Spot Fleet request on it."""
    spec = {"LaunchTemplateId": stage.world.template, "Version": version}
    config = {
        "IamFleetRole": "arn:aws:iam::1:role/fleet",
        "TargetCapacity": 1,
        "LaunchTemplateConfigs": [{"LaunchTemplateSpecification": spec}],
    }
    made = stage.client("ec2").request_spot_fleet(SpotFleetRequestConfig=config)
    return str(made["SpotFleetRequestId"])


@pytest.mark.parametrize("named", [False, True])
def test_a_fleet_on_the_template(*, named: bool) -> None:
    """By whatever reference it was made, it is on a number: noted, by id and by name alike."""
    stage = AwsStage()
    made = fleet(stage, named=named)
    said = told(stage, FindingKey.TEMPLATE_USERS, NOTED)
    assert said == f"the fleet {made} launches from a numbered version of {stage.world.template}, too. "
    assert stage.baseline().sets_default


def test_fleets_that_launch_nothing_any_more() -> None:
    """Ended ones, what had its instances once, an instant one, and one on another template."""
    stage = AwsStage()
    ended = fleet(stage)
    stage.client("ec2").delete_fleets(FleetIds=[ended], TerminateInstances=False)
    once = fleet(stage, kind="request")
    fleet(stage, kind="instant")
    said = told(stage, FindingKey.TEMPLATE_USERS, NOTED)
    assert said.startswith(f"the fleet {once} launches")  # it has no instances yet
    cancelled = spot_fleet(stage, "$Latest")
    stage.client("ec2").cancel_spot_fleet_requests(SpotFleetRequestIds=[cancelled], TerminateInstances=False)
    data = {"ImageId": stage.world.image}
    stage.client("ec2").create_launch_template(LaunchTemplateName="other", LaunchTemplateData=data)
    spec = {"LaunchTemplateName": "other", "Version": "$Latest"}
    stage.client("ec2").create_fleet(
        LaunchTemplateConfigs=[{"LaunchTemplateSpecification": spec}],
        TargetCapacitySpecification={"TotalTargetCapacity": 1},
    )
    stage.clock.sleep(60)
    assert stage.baseline().findings == ()


def test_a_spot_fleet_request_that_follows() -> None:
    """What says $Latest or $Default is taken by its word."""
    stage = AwsStage()
    made = spot_fleet(stage, "$Latest")
    said = told(stage, FindingKey.SHARED_TEMPLATE, REFUSED)
    assert said.startswith(f"the Spot Fleet request {made} launches by $Latest from blue's launch template")
    stage = AwsStage()
    spot_fleet(stage, "$Default")
    assert "so the default version stays as it is" in told(stage, FindingKey.DEFAULT_FOLLOWED, WARNED)
    assert not stage.baseline().sets_default


def test_a_version_that_a_fleet_came_to_be_on_is_not_deleted() -> None:
    """It was made during the release, by $Latest, which meant the release's own version."""
    stage = AwsStage().go_to(Phase.CHECKING)
    made = fleet(stage, named=True)
    stage.enters(Phase.ROLLING_BACK, reason=Reason.ORDERED, message="")
    with pytest.raises(AwsError, match=f"{made} launches from it"):
        stage.go_to_the_end()


def test_a_default_that_a_spot_fleet_request_came_to_follow_is_left() -> None:
    """As one that a group has begun to follow; where nobody may look at fleets, they are not known."""
    stage = AwsStage().go_to(Phase.RETIRING)
    made = spot_fleet(stage, "$Default")
    with pytest.raises(AwsError, match=f"stays as it is: {made} launches by it"):
        stage.perform(Verb.SET_DEFAULT_VERSION)
    stage.fake.faults.deny("ec2:DescribeSpotFleetRequests")
    assert stage.perform(Verb.SET_DEFAULT_VERSION) == {}


# --- keys ---


def a_key(stage: AwsStage, *, enabled: bool = False, dies: bool = False) -> str:
    """The ARN of a key; disabled unless told."""
    kms = stage.client("kms")
    made = kms.create_key()["KeyMetadata"]
    if dies:
        kms.schedule_key_deletion(KeyId=made["KeyId"])
    elif not enabled:
        kms.disable_key(KeyId=made["KeyId"])
    return str(made["Arn"])


def disk(key: str) -> list[dict[str, Any]]:
    """A root volume with this key."""
    return [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 8, "Encrypted": True, "KmsKeyId": key}}]


def test_a_key_of_the_template_that_is_disabled() -> None:
    """No instance would launch, after the whole bake."""
    stage = AwsStage(template_version="$Latest")
    made = a_key(stage)
    version(stage, InstanceType="t3.micro", BlockDeviceMappings=disk(made))
    said = told(stage, FindingKey.KEY_UNUSABLE, REFUSED)
    where = f"/dev/xvda in version 2 of {stage.world.template}"
    assert said == (
        f"the KMS key {made} of {where} is disabled: no instance can launch from it. "
        f"Enable it: `aws kms enable-key --key-id {made}`."
    )


def test_a_key_by_its_alias_is_told_once() -> None:
    """The builder's volume has it by its ARN; the advice names that."""
    stage = AwsStage(template_version="$Latest")
    made = a_key(stage, dies=True)
    stage.client("kms").create_alias(AliasName="alias/web", TargetKeyId=made.rpartition("/")[2])
    version(stage, BlockDeviceMappings=disk("alias/web"))
    attached(stage, stage.world.builder, made)
    found = [one for one in stage.baseline().findings if one.key is FindingKey.KEY_UNUSABLE]
    assert [one.found.split(" of ")[0] for one in found] == ["the KMS key alias/web"]
    assert "is to be deleted" in found[0].found
    assert f"`aws kms cancel-key-deletion --key-id {made}`, then `aws kms enable-key --key-id {made}`" in found[0].hint


def attached(stage: AwsStage, instance: str, key: str) -> None:
    """The instance's root volume is encrypted with this key."""
    stage.fake.engine.state.instances[instance].launch["BlockDeviceMappings"] = disk(key)


def test_a_key_of_the_builder_that_is_gone() -> None:
    """Nothing is baked when an image is given."""
    stage = AwsStage()
    attached(stage, stage.world.builder, "0123abcd-0000-0000-0000-000000000000")
    said = told(stage, FindingKey.KEY_UNUSABLE, REFUSED)
    assert f"of the builder {stage.world.builder} does not exist: it cannot start, and no image of it" in said
    stage.ami = stage.world.image
    assert found(stage, FindingKey.KEY_UNUSABLE) is None


def test_a_key_of_blue_s_volumes() -> None:
    """Green may have another one; nobody is refused for it. One that works is nothing."""
    stage = AwsStage()
    made = a_key(stage)
    attached(stage, next(iter(stage.fake.members("web-asg"))), made)
    said = told(stage, FindingKey.KEY_UNUSABLE, WARNED)
    assert f"the KMS key {made} of the volumes of web-asg is disabled: neither it nor green may be able" in said
    stage.client("kms").enable_key(KeyId=made.rpartition("/")[2])
    assert stage.baseline().findings == ()


def test_every_state_that_is_told_is_one_of_aws_s() -> None:
    """Those in which a key works, or soon does, are not."""
    shape = AwsStage().client("kms").meta.service_model.shape_for("KeyState")
    assert set(shape.enum) - set(surroundings.UNUSABLE) == {"Creating", "Enabled", "Updating"}
    assert set(surroundings.UNUSABLE) - set(shape.enum) == {"Absent"}


def test_a_key_that_may_not_be_looked_at_hides_no_other() -> None:
    """Another account's key policy may refuse."""
    stage = AwsStage()
    made = a_key(stage)
    attached(stage, stage.world.builder, a_key(stage, enabled=True))
    attached(stage, next(iter(stage.fake.members("web-asg"))), made)
    stage.fake.faults.deny("kms:DescribeKey", times=1)
    assert made in told(stage, FindingKey.KEY_UNUSABLE, WARNED)
    stage.fake.faults.deny("kms:DescribeKey", times=1)
    said = told(stage, FindingKey.UNSEEN, NOTED)
    assert said.startswith("bluegreen may not read the KMS keys of volumes")
    assert "Add kms:DescribeKey to the policy" in said


# --- blue's template ---


def test_a_version_that_was_deleted() -> None:
    """Found before the bake: nothing could be launched from it."""
    stage = AwsStage()
    made = version(stage, InstanceType="t3.small")
    group = {"AutoScalingGroupName": "web-asg", "LaunchTemplate": {"LaunchTemplateId": stage.world.template}}
    group["LaunchTemplate"] |= {"Version": made}  # type: ignore[operator]  # it is the mapping above
    stage.client("autoscaling").update_auto_scaling_group(**group)
    stage.client("ec2").delete_launch_template_versions(LaunchTemplateId=stage.world.template, Versions=[made])
    said = told(stage, FindingKey.TEMPLATE_LOST, REFUSED)
    assert f"web-asg is on version {made} of {stage.world.template}, which does not exist" in said


def test_instances_that_run_an_older_version() -> None:
    """Green takes over what was changed, member by member; what may hold secrets is only named."""
    stage = AwsStage(template_version="$Latest")
    version(stage, InstanceType="t3.large", UserData="c2VjcmV0", ImageId=stage.world.image)
    said = told(stage, FindingKey.TEMPLATE_DRIFT, WARNED)
    assert "run version 1 of" in said
    assert "but the group is on $Latest, which is 2 now" in said
    assert "green takes over these changes: InstanceType t3.micro → t3.large, UserData." in said
    assert "c2VjcmV0" not in said


def test_only_the_image_differs() -> None:
    """It is replaced anyway, but a way back would bring up the newer one."""
    stage = AwsStage(template_version="$Latest")
    newer = stage.client("ec2").register_image(Name="newer", RootDeviceName="/dev/xvda")["ImageId"]
    version(stage, ImageId=newer)
    said = told(stage, FindingKey.TEMPLATE_DRIFT, NOTED)
    assert f"only the image differs, ImageId {stage.world.image} → {newer}" in said
    version(stage, InstanceType="t3.micro")
    assert "both say the same" in told(stage, FindingKey.TEMPLATE_DRIFT, NOTED)


def test_what_the_instances_run_is_gone() -> None:
    """Then nobody can tell what differs."""
    stage = AwsStage(template_version="$Latest")
    made = version(stage, InstanceType="t3.large")
    client = stage.client("ec2")
    client.modify_launch_template(LaunchTemplateId=stage.world.template, DefaultVersion=made)
    client.delete_launch_template_versions(LaunchTemplateId=stage.world.template, Versions=["1"])
    assert "version 1 is gone, so the difference is unknown" in told(stage, FindingKey.TEMPLATE_DRIFT, WARNED)


def test_a_snapshot_in_the_template() -> None:
    """Its volume is not the image's."""
    stage = AwsStage(template_version="$Latest")
    mapping = [{"DeviceName": "/dev/sdf", "Ebs": {"SnapshotId": "snap-0123"}}]
    version(stage, BlockDeviceMappings=mapping)
    assert "takes /dev/sdf from a snapshot" in told(stage, FindingKey.SNAPSHOTS, WARNED)


def test_a_builder_that_is_more_than_that() -> None:
    """One that serves would serve what is being built; a group replaces one that is stopped."""
    stage = AwsStage()
    client, named = stage.client("ec2"), {"InstanceIds": [stage.world.builder]}
    client.start_instances(**named)
    stage.clock.sleep(60)
    targets = [{"Id": stage.world.builder}]
    stage.client("elbv2").register_targets(TargetGroupArn=stage.world.target_group, Targets=targets)
    client.stop_instances(**named)
    stage.clock.sleep(60)
    said = told(stage, FindingKey.SHARED_BUILDER, REFUSED)
    assert f"the builder {stage.world.builder} is in the target group web: it would serve unreleased commits" in said
    stage = AwsStage()
    stage.fake.engine.state.tags[stage.world.builder]["aws:autoscaling:groupName"] = "builders"
    said = told(stage, FindingKey.SHARED_BUILDER, WARNED)
    assert "is an instance of the group builders: the group may replace it" in said


def test_a_builder_that_has_grown() -> None:
    """EC2 refuses a volume smaller than its snapshot; a template that says no size takes the image's."""
    stage = AwsStage()
    builder = stage.fake.engine.state.instances[stage.world.builder]
    builder.launch["BlockDeviceMappings"] = [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 20}}]
    said = told(stage, FindingKey.VOLUME_TOO_SMALL, REFUSED)
    assert f"/dev/xvda of the builder {stage.world.builder} has 20 GiB, and version 1 of" in said
    assert said.endswith(
        "no instance could launch from its image. Give /dev/xvda at least 20 GiB in the launch template."
    )
    stage.ami = stage.world.image
    assert found(stage, FindingKey.VOLUME_TOO_SMALL) is None  # nothing is baked


def test_an_image_that_is_larger_than_the_template_s_volume() -> None:
    """Sure of one that a release made; another's snapshot may be smaller than its volume."""
    stage = AwsStage(ami=True)
    stage.fake.engine.state.images[stage.world.image].size = 9
    said = told(stage, FindingKey.VOLUME_TOO_SMALL, WARNED)
    assert f"/dev/xvda of the image {stage.world.image} has 9 GiB" in said
    assert "no instance may launch from it" in said
    tag = [{"Key": "bluegreen:service", "Value": "web/production"}]
    stage.client("ec2").create_tags(Resources=[stage.world.image], Tags=tag)
    assert "no instance can launch from it" in told(stage, FindingKey.VOLUME_TOO_SMALL, REFUSED)


# --- what is under way on blue ---


def test_an_instance_refresh() -> None:
    """Refused before anything begins; one that is over is nothing."""
    stage = AwsStage()
    client = stage.client("autoscaling")
    begun = client.start_instance_refresh(AutoScalingGroupName="web-asg")
    said = told(stage, FindingKey.INSTANCE_REFRESH, REFUSED)
    assert f"the instance refresh {begun['InstanceRefreshId']} of web-asg is under way (Pending)" in said
    assert "`aws autoscaling cancel-instance-refresh --auto-scaling-group-name web-asg`" in said
    stage.clock.sleep(30)
    assert "(InProgress, 0 % done)" in told(stage, FindingKey.INSTANCE_REFRESH, REFUSED)
    client.cancel_instance_refresh(AutoScalingGroupName="web-asg")
    assert "(Cancelling, 0 % done)" in told(stage, FindingKey.INSTANCE_REFRESH, REFUSED)
    stage.clock.sleep(30)
    assert stage.baseline().findings == ()


def test_an_instance_refresh_that_begins_during_the_bake() -> None:
    """It is waited for, and then blue is pinned."""
    stage = AwsStage().go_to(Phase.LAUNCHING)
    stage.client("autoscaling").start_instance_refresh(AutoScalingGroupName="web-asg")
    assert "under way" in stage.observe().refresh
    stage.go_to(Phase.CHECKING)
    assert stage.release.began[Verb.PIN_BLUE].at > stage.release.in_phase_since - 1000
    assert stage.observe().refresh == ""


@pytest.mark.parametrize("phase", [Phase.LAUNCHING, Phase.CHECKING, Phase.SOAKING, Phase.RETIRING])
def test_an_instance_refresh_that_begins_later_is_seen_by_what_it_moves(phase: Phase) -> None:
    """Nothing is asked while nobody comes or goes, then once a minute; the command that stops it is named."""
    stage = AwsStage(ami=True).go_to(phase)
    while Verb.SUSPEND_BLUE not in stage.release.did:
        stage.step()
    asked = stage.cloud.calls["autoscaling:DescribeInstanceRefreshes"]
    client = stage.client("autoscaling")
    begun = client.start_instance_refresh(AutoScalingGroupName="web-asg")
    assert stage.observe().refresh == ""
    assert stage.cloud.calls["autoscaling:DescribeInstanceRefreshes"] == asked
    first = next(iter(stage.fake.members("web-asg")))
    client.terminate_instance_in_auto_scaling_group(InstanceId=first, ShouldDecrementDesiredCapacity=False)
    said = stage.observe().refresh
    assert said.startswith(f"the instance refresh {begun['InstanceRefreshId']} of web-asg is under way (")
    assert said.endswith("`aws autoscaling cancel-instance-refresh --auto-scaling-group-name web-asg` cancels it")
    stage.observe()
    assert stage.cloud.calls["autoscaling:DescribeInstanceRefreshes"] == asked + 1


def test_an_instance_refresh_of_green_is_seen() -> None:
    """From when it has launched: while it boots all of it moves."""
    stage = AwsStage(ami=True).go_to(Phase.CHECKING)
    stage.client("autoscaling").start_instance_refresh(AutoScalingGroupName=stage.release.green_group)
    first = next(iter(stage.fake.members(stage.release.green_group)))
    more = {"InstanceId": first, "ShouldDecrementDesiredCapacity": False}
    stage.client("autoscaling").terminate_instance_in_auto_scaling_group(**more)
    assert f" of {stage.release.green_group} is under way" in stage.observe().refresh


# --- alarms ---


@pytest.mark.parametrize("group", ["web-asg", "web-production-v7"])
def test_an_alarm_on_the_group_s_name(group: str) -> None:
    """It judges blue once, and has no data ever after."""
    check = {"name": "cpu", "alarm": "web-5xx"}
    stage = AwsStage(config=checks(check))
    alarm(stage, AutoScalingGroupName=group)
    said = told(stage, FindingKey.BOUND_ALARM, REFUSED)
    assert f"the check cpu uses the alarm web-5xx, which watches the group {group}" in said
    stage = AwsStage(config=checks({**check, "missing": "pass"}))
    alarm(stage, AutoScalingGroupName=group)
    assert "without data it says nothing about green" in told(stage, FindingKey.BOUND_ALARM, WARNED)


def test_an_alarm_on_something_else() -> None:
    """A neighbour's group, the shared target group, or an alarm that is not there yet."""
    stage = AwsStage(config=checks({"name": "cpu", "alarm": "web-5xx"}, {"name": "no", "alarm": "nobody"}))
    alarm(stage, AutoScalingGroupName="worker", TargetGroup=stage.world.target_group.rpartition(":")[2])
    assert stage.baseline().findings == ()


def test_a_composite_alarm_that_stands_on_one() -> None:
    """However deep."""
    stage = AwsStage(config=checks({"name": "all", "alarm": "all"}))
    alarm(stage, "cpu", AutoScalingGroupName="web-asg")
    put = stage.client("cloudwatch").put_composite_alarm
    put(AlarmName="some", AlarmRule='NOT OK("cpu")')
    put(AlarmName="all", AlarmRule="ALARM(some) OR ALARM(some)")
    assert "the alarm all, which watches the group web-asg" in told(stage, FindingKey.BOUND_ALARM, REFUSED)


def test_an_alarm_on_a_weighted_target_group() -> None:
    """Whichever of the two: after the next release it is the other one's turn."""
    for n in (0, 1):
        stage = AwsStage(weighted=True, config=checks({"name": "slow", "alarm": "web-5xx"}))
        alarm(stage, TargetGroup=stage.world.target_groups[n].rpartition(":")[2])
        said = told(stage, FindingKey.BOUND_ALARM, REFUSED)
        assert f"which watches the target group {('web', 'web-green')[n]}" in said
        assert "a check by `metric` without `namespace`" in said


def test_alarms_that_watch_blue_and_follow_nobody() -> None:
    """By its name, also in an expression; not those of its policies, of the checks, of AWS, or of others."""
    stage = AwsStage(config=checks({"name": "cpu", "alarm": "check", "missing": "pass"}))
    hang(stage.world, "web-asg", ("step", "tracking"))
    for name, group in (("check", "web-asg"), ("cpu", "web-asg"), ("disk", "web-asg"), ("theirs", "worker")):
        alarm(stage, name, AutoScalingGroupName=group)
    said = told(stage, FindingKey.LEFT_ALARM, NOTED)
    assert said == (
        "the alarms cpu, disk watch web-asg by its name, and no scaling policy moves them to green: that group is gone "
        "once green is live. Let them watch the load balancer or its target groups, which stay."
    )
    stage = AwsStage(config={"retire": "empty"})
    dimensions = [{"Name": "AutoScalingGroupName", "Value": "web-asg"}]
    metric = {"Namespace": "AWS/EC2", "MetricName": "CPUUtilization", "Dimensions": dimensions}
    stage.client("cloudwatch").put_metric_alarm(
        AlarmName="math",
        Metrics=[{"Id": "m", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Average"}, "ReturnData": True}],
        EvaluationPeriods=1,
        Threshold=90,
        ComparisonOperator="GreaterThanThreshold",
    )
    said = told(stage, FindingKey.LEFT_ALARM, NOTED)
    assert "the alarm math watches web-asg by its name, and no scaling policy moves it to green" in said
    assert "that group is empty once green is live. Let it watch" in said


def test_alarms_on_blue_s_target_group() -> None:
    """With weights it is green's turn to have no traffic; the other one is not blue's."""
    stage = AwsStage(weighted=True)
    for name, arn in zip(("blue", "green"), stage.world.target_groups, strict=True):
        alarm(stage, name, TargetGroup=arn.rpartition(":")[2])
    said = told(stage, FindingKey.LEFT_ALARM, NOTED)
    assert "the alarm blue watches the target group web by its name" in said
    assert "Let it watch both target groups, or the load balancer." in said


def test_of_very_many_alarms_the_first_thousand_are_read() -> None:
    """The others cost too many calls."""
    stage = AwsStage()
    stage.fake.calls.clear()
    stage.baseline()
    few = [call.name for call in stage.fake.calls].count("cloudwatch:DescribeAlarms")
    for number in range(1100):
        alarm(stage, f"n{number:04}", AutoScalingGroupName="web-asg" if number == 1050 else "worker")
    stage.fake.calls.clear()
    assert FindingKey.LEFT_ALARM not in {one.key for one in stage.baseline().findings}
    assert (few, [call.name for call in stage.fake.calls].count("cloudwatch:DescribeAlarms")) == (1, 10)


# --- blue itself ---


@pytest.mark.parametrize(
    ("tag", "says"),
    [
        ({"aws:cloudformation:stack-name": "shop"}, "managed by the CloudFormation stack shop"),
        ({"ManagedBy": "Terraform"}, "managed by what its tag says, ManagedBy: Terraform"),
        ({"terraform": "true"}, "managed by what its tag says, terraform: true"),
        ({"provisioner": "pulumi"}, "managed by what its tag says, provisioner: pulumi"),
    ],
)
def test_a_group_that_a_tool_keeps(tag: dict[str, str], says: str) -> None:
    """Whoever made it makes it anew; an empty one gets its size back."""
    stage = tagged(AwsStage(), tag)
    said = told(stage, FindingKey.KEPT_ELSEWHERE, WARNED)
    assert says in said
    assert "after the deletion it will make the group again" in said
    assert "Set `retire: empty`" in said
    stage = tagged(AwsStage(config={"retire": "empty"}), tag)
    assert "may restore the size" in told(stage, FindingKey.KEPT_ELSEWHERE, WARNED)


def test_a_group_that_nobody_keeps() -> None:
    """Tags that say no, and green, which bears a copy of blue's."""
    assert tagged(AwsStage(), {"terraform": "false", "team": "shop"}).baseline().findings == ()
    stage = tagged(AwsStage(ami=True), {"ManagedBy": "terraform"}, propagate=True)
    stage.go_to_the_end()
    made = stage.cloud.baseline(stage.release.green_group, "", stage.ami)
    assert FindingKey.KEPT_ELSEWHERE not in {one.key for one in made.findings}


def test_a_group_that_was_of_a_pair_is_kept_elsewhere_all_the_same() -> None:
    """It bears marks of releases that did not make it; as one of the pair it is told of once, as alone each time."""
    stage = tagged(AwsStage(), {"ManagedBy": "terraform", "bluegreen:service": "web/production"})
    assert "after the deletion it will make the group again" in told(stage, FindingKey.KEPT_ELSEWHERE, WARNED)
    idle_group(stage.world)
    stage.config = stage.config.model_copy(update={"group": None, "groups": PAIR, "retire": "empty"})
    stage.cloud = stage.another_cloud()
    assert FindingKey.KEPT_ELSEWHERE not in {one.key for one in stage.baseline().findings}
    del stage.fake.engine.state.groups["web-asg"].tags["bluegreen:service"]
    said = told(stage, FindingKey.KEPT_ELSEWHERE, WARNED)
    assert "its next run may restore sizes, target groups and template version of either group of the pair" in said


def tagged(stage: AwsStage, tag: dict[str, str], *, propagate: bool = False) -> AwsStage:
    """The group with these tags, some of which only AWS may set."""
    stage.fake.engine.state.groups["web-asg"].tags |= {key: (value, propagate) for key, value in tag.items()}
    return stage


def test_what_is_special_about_blue() -> None:
    """Retention, reservations, a warm pool."""
    more = {
        "CapacityReservationSpecification": {"CapacityReservationPreference": "capacity-reservations-only"},
        "InstanceLifecyclePolicy": {"RetentionTriggers": {"TerminateHookAbandon": "retain"}},
    }
    stage = AwsStage(group=more)
    stage.client("autoscaling").put_warm_pool(AutoScalingGroupName="web-asg")
    keys = [FindingKey.RETAINED_INSTANCES, FindingKey.CAPACITY_RESERVATIONS]
    keys += [FindingKey.WARM_POOL]
    assert [one.key for one in stage.baseline().findings] == keys


@pytest.mark.parametrize(
    ("tag", "value", "says"),
    [
        ("elasticbeanstalk:environment-name", "shop", "the Elastic Beanstalk environment shop: "),
        ("eks:nodegroup-name", "workers", "the EKS node group workers: "),
        ("eks:cluster-name", "main", "the EKS cluster main: "),
        ("AmazonECSManaged", "", "a capacity provider of Amazon ECS: "),
    ],
)
def test_a_group_that_belongs_to_another_service_of_amazons(tag: str, value: str, says: str) -> None:
    """That knows nothing of green. A tag that is only a leftover can be let pass."""
    stage = AwsStage(config={"allow": ["kept_elsewhere"]})
    tagged(stage, {"aws:cloudformation:stack-name": "awseb-1", tag: value})
    said = told(stage, FindingKey.KEPT_ELSEWHERE, REFUSED)
    assert said.startswith(f"web-asg seems to be managed by {says}it does not know green")
    assert said.endswith(".")
    (finding,) = let_pass(stage.baseline().findings, stage.config.allow)
    assert finding.verdict is WARNED


def test_a_hook_of_codedeploy_is_refused_and_never_copied() -> None:
    """It would hold each instance of green until it times out; whoever lets it pass gets a green without it."""
    stage = AwsStage(ami=True)
    hook: dict[str, Any] = {"LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING", "HeartbeatTimeout": 600}
    hook |= {"DefaultResult": "CONTINUE"}
    name = "CodeDeploy-managed-automatic-launch-deployment-hook-web-1a2b3c"
    for one in (name, "warm-up"):
        stage.client("autoscaling").put_lifecycle_hook(AutoScalingGroupName="web-asg", LifecycleHookName=one, **hook)
    said = told(stage, FindingKey.DEPLOYMENT_HOOK, REFUSED)
    assert f"CodeDeploy deploys to web-asg, by its hook {name}" in said
    stage.go_to(Phase.CHECKING)
    green = stage.client("autoscaling").describe_lifecycle_hooks(AutoScalingGroupName=stage.release.green_group)
    assert [one["LifecycleHookName"] for one in green["LifecycleHooks"]] == ["warm-up"]


# --- room ---


def own_tags(stage: AwsStage) -> int:
    """How many blue has."""
    shown = stage.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=["web-asg"])
    return len(shown["AutoScalingGroups"][0]["Tags"])


def test_what_green_bears_of_ours_is_counted_as_it_is() -> None:
    """The numbers that the quotas are judged by."""
    stage = AwsStage(token="t0")
    stage.go_to(Phase.CHECKING)
    shown = stage.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[stage.release.green_group])
    ours = [tag for tag in shown["AutoScalingGroups"][0]["Tags"] if tag["Key"].startswith("bluegreen:")]
    assert {tag["Key"] for tag in ours} == set(tags.OF_GREEN)
    assert {tag["Key"] for tag in ours if tag["PropagateAtLaunch"]} == set(tags.OF_INSTANCES)


def test_more_tags_than_a_group_can_have() -> None:
    """45 of one's own and five of ours are just enough; what AWS set itself does not count."""
    stage = AwsStage()
    room = surroundings.TAGS_MAX - len(tags.OF_GREEN) - own_tags(stage)
    tagged(stage, {f"own-{n}": "x" for n in range(room)} | {"aws:cloudformation:logical-id": "x"})
    assert found(stage, FindingKey.TOO_MANY_TAGS) is None
    tagged(stage, {"more-1": "x", "more-2": "x"})
    said = told(stage, FindingKey.TOO_MANY_TAGS, REFUSED)
    assert said.startswith("web-asg has 47 tags, and green gets 5 more of bluegreen's: AWS takes 50")
    assert said.endswith("Remove at least 2 from web-asg.")


def test_more_tags_than_an_instance_can_have() -> None:
    """The template gives it some, and the group those that propagate."""
    stage = AwsStage()
    named = [{"ResourceType": "instance", "Tags": [{"Key": f"t-{n}", "Value": "x"} for n in range(36)]}]
    stage.client("autoscaling").update_auto_scaling_group(
        AutoScalingGroupName="web-asg",
        LaunchTemplate={
            "LaunchTemplateId": stage.world.template,
            "Version": version(stage, TagSpecifications=named),
        },
    )
    tagged(stage, {f"t-{n}": "x" for n in range(5)} | {f"own-{n}": "x" for n in range(9)}, propagate=True)
    assert found(stage, FindingKey.TOO_MANY_TAGS) is None
    tagged(stage, {"own-9": "x"}, propagate=True)
    assert "give green's instances 51 tags" in told(stage, FindingKey.TOO_MANY_TAGS, REFUSED)


def test_a_launch_template_that_takes_no_more_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions that were deleted leave their numbers behind, and do not count."""
    monkeypatch.setattr(surroundings, "VERSIONS_MAX", 3)
    stage = AwsStage()
    numbers = [version(stage, EbsOptimized=True), version(stage, EbsOptimized=False)]
    said = told(stage, FindingKey.TEMPLATE_FULL, REFUSED)
    assert f"the launch template {stage.world.template} has 3 versions" in said
    assert f"delete-launch-template-versions --launch-template-id {stage.world.template} --versions" in said
    stage.client("ec2").delete_launch_template_versions(LaunchTemplateId=stage.world.template, Versions=numbers[:1])
    assert found(stage, FindingKey.TEMPLATE_FULL) is None


def test_a_target_group_that_does_not_take_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """While both serve each has its own targets; AWS may have raised the quota, so the release begins."""
    stage = AwsStage()
    both = 2 * len(stage.fake.members("web-asg"))
    monkeypatch.setattr(surroundings, "TARGETS_MAX", both)
    assert found(stage, FindingKey.CROWDED_TARGET_GROUP) is None
    monkeypatch.setattr(surroundings, "TARGETS_MAX", both - 1)
    said = told(stage, FindingKey.CROWDED_TARGET_GROUP, WARNED)
    assert said.startswith(f"web would have {both} targets while both groups serve: the quota is {both - 1}. Ask AWS")


def test_an_account_that_takes_no_more_groups() -> None:
    """AWS would say so after the bake."""
    stage = AwsStage()
    assert found(stage, FindingKey.GROUP_QUOTA) is None
    stage.fake.engine.state.most_groups = 1
    said = told(stage, FindingKey.GROUP_QUOTA, REFUSED)
    assert said.startswith("the account has 1 Auto Scaling groups in ")
    assert "its quota is 1, so AWS would refuse green after the bake" in said


VCPUS = "L-1216C47A"


def test_a_green_whose_vcpus_exceed_the_quota() -> None:
    """EC2 would say so at the launch, after the bake. A mixed green may take types with fewer."""
    stage = AwsStage()
    assert found(stage, FindingKey.NO_ROOM) is None
    stage.fake.quotas.values[VCPUS] = 5.0
    said = told(stage, FindingKey.NO_ROOM, REFUSED)
    assert re.match(r"vCPUs \(Running On-Demand Standard .*\): \d+ used, \d+ more for green, quota 5: not all of", said)
    assert f"--quota-code {VCPUS} --desired-value" in said


def test_quotas_that_do_not_answer() -> None:
    """Where Service Quotas cannot be reached, the release goes on without."""
    stage = AwsStage()
    stage.fake.faults.fail("service-quotas:GetServiceQuota", "ServiceUnavailable", "Try later", None, status=503)
    said = told(stage, FindingKey.UNSEEN, NOTED)
    assert said.startswith("bluegreen cannot read the quotas of vCPUs: ServiceUnavailable")


def test_targets_that_a_load_balancer_does_not_take() -> None:
    """Registering green would fail."""
    stage = AwsStage()
    stage.fake.quotas.balancing["targets-per-application-load-balancer"] = 3
    assert told(stage, FindingKey.NO_ROOM, REFUSED).startswith("targets of web-lb: 4 used, 4 more for green, quota 3")


# --- looks that are not permitted ---


@pytest.mark.parametrize(
    ("operation", "what"),
    [
        ("autoscaling:DescribeInstanceRefreshes", "blue's instance refreshes"),
        ("ec2:DescribeFleets", "EC2 Fleets' launch templates"),
        ("ec2:DescribeSpotFleetRequests", "Spot Fleet requests' launch templates"),
        ("ec2:DescribeVolumes", "the builder's volumes"),
        ("ec2:DescribeSubnets", "the load balancers' quotas, or the subnets' addresses"),
        ("service-quotas:GetServiceQuota", "the quotas of vCPUs"),
    ],
)
def test_a_look_that_is_not_permitted(operation: str, what: str) -> None:
    """It is said with the action to grant, and the release goes on, all the way."""
    stage = AwsStage()
    stage.fake.faults.deny(operation)
    said = told(stage, FindingKey.UNSEEN, NOTED)
    action = operation.replace("service-quotas", "servicequotas")
    assert said.startswith(f"bluegreen may not read {what}: bluegreen cannot examine this. Add {action} to")
    stage.go_to(Phase.CHECKING)


def test_a_look_that_fails() -> None:
    """What AWS cannot answer is no permission that is missing."""
    stage = AwsStage()
    stage.fake.faults.fail("ec2:DescribeVolumes", "InternalError", "so it is", times=None)
    with pytest.raises(AwsError, match="so it is"):
        stage.baseline()
