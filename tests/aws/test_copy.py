"""The copy of blue: every member of the API is dealt with, and green is what blue is."""

from __future__ import annotations

from typing import Any

import botocore.session
import pytest

from bluegreen.aws.copy import HOOK, MEMBERS, Part
from bluegreen.events import Phase, Verb
from tests.worlds.account import AwsStage

MODEL: Any = botocore.session.get_session().get_service_model("autoscaling")
INPUT = MODEL.shape_for("CreateAutoScalingGroupType").members
SHOWN = MODEL.shape_for("AutoScalingGroup").members


def test_every_member_of_the_api_is_dealt_with() -> None:
    """When AWS adds a setting to groups, this fails until somebody says what becomes of it."""
    assert set(INPUT) == set(MEMBERS)


@pytest.mark.parametrize("member", sorted(m for m, part in MEMBERS.items() if part is Part.SAME))
def test_what_is_copied_is_shown_in_the_same_shape(member: str) -> None:
    """A member can only be handed on as it is if it is shown as it is taken."""
    assert SHOWN[member].type_name == INPUT[member].type_name
    if SHOWN[member].type_name == "structure":
        assert set(SHOWN[member].members) == set(INPUT[member].members)


def test_every_setting_of_a_group_that_is_shown_is_dealt_with() -> None:
    """What a group shows and CreateAutoScalingGroup does not take is known, and needs another call or none."""
    state = {"AutoScalingGroupARN", "CreatedTime", "Instances", "PredictedCapacity", "Status", "WarmPoolSize"}
    later = {"SuspendedProcesses", "EnabledMetrics", "WarmPoolConfiguration"}
    assert state | later == set(SHOWN) - set(MEMBERS)


def test_every_member_of_a_lifecycle_hook_is_dealt_with() -> None:
    """Hooks are made with the group, so that its first instances go through them."""
    assert set(HOOK) == set(MODEL.shape_for("LifecycleHookSpecification").members)


SETTINGS: dict[str, Any] = {
    "NewInstancesProtectedFromScaleIn": True,
    "CapacityRebalance": True,
    "HealthCheckType": "EC2",
    "HealthCheckGracePeriod": 0,
    "DefaultCooldown": 77,
    "TerminationPolicies": ["NewestInstance", "Default"],
    "AvailabilityZoneDistribution": {"CapacityDistributionStrategy": "balanced-only"},
    "DeletionProtection": "prevent-force-deletion",
}
OF_ITS_OWN = {
    "AutoScalingGroupName",
    "AutoScalingGroupARN",
    "CreatedTime",
    "Instances",
    "LaunchTemplate",
    "MinSize",
    "SuspendedProcesses",
    "Tags",
    "TargetGroupARNs",
    "TrafficSources",
}


def launched(**world: Any) -> AwsStage:
    """A stage where green was made."""
    stage = AwsStage(ami=True, **world)
    stage.go_to(Phase.LAUNCHING)
    while Verb.CREATE_GREEN not in stage.release.did:
        stage.step()
    return stage


def test_green_shows_what_blue_shows() -> None:
    """Whatever blue's owner set is set on green, the traffic excepted."""
    stage = launched(group=SETTINGS)
    blue, green = stage.world.describe(), stage.world.describe(stage.release.green_group)
    assert {k: v for k, v in blue.items() if k not in OF_ITS_OWN} == {
        k: v for k, v in green.items() if k not in OF_ITS_OWN
    }
    assert (green["MinSize"], green["DesiredCapacity"], green["MaxSize"]) == (4, 4, 8)
    assert green["TargetGroupARNs"] == []
    assert green["LaunchTemplate"]["Version"] == "2"


def test_tags_are_blue_s_and_the_release_s() -> None:
    """Blue's tags keep their reach to instances; AWS's own tags cannot be set; ours name the release."""
    stage = launched()
    shown = stage.world.describe(stage.release.green_group)["Tags"]
    assert {tag["Key"]: (tag["Value"], tag["PropagateAtLaunch"]) for tag in shown} == {
        "team": ("shop", True),
        "cost": ("42", False),
        "bluegreen:service": ("web/production", True),
        "bluegreen:release": ("web/production#1", True),
        "bluegreen:commit": ("abcdef1234567890", True),
        "bluegreen:held-by": ("web/production#1", False),
    }


def test_lifecycle_hooks_are_there_from_the_first_instance_on() -> None:
    """They are given with the group, not after it."""
    hook = {
        "LifecycleHookName": "drain",
        "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
        "HeartbeatTimeout": 60,
        "DefaultResult": "CONTINUE",
    }
    stage = AwsStage(ami=True)
    stage.client("autoscaling").put_lifecycle_hook(AutoScalingGroupName=stage.world.group, **hook)
    stage.go_to(Phase.CHECKING)
    green = stage.client("autoscaling").describe_lifecycle_hooks(AutoScalingGroupName=stage.release.green_group)
    assert [hook] == [{k: shown[k] for k in hook} for shown in green["LifecycleHooks"]]
    assert "autoscaling:PutLifecycleHook" not in stage.changes()


def test_mixed_instances_are_carried_over() -> None:
    """The policy stays as it is, but for the template's version, which is ours."""
    stage = launched(mixed=True)
    blue, green = stage.world.describe(), stage.world.describe(stage.release.green_group)
    template = green["MixedInstancesPolicy"]["LaunchTemplate"]
    assert template["Overrides"] == blue["MixedInstancesPolicy"]["LaunchTemplate"]["Overrides"]
    assert template["LaunchTemplateSpecification"]["Version"] == "2"
    assert blue["MixedInstancesPolicy"]["LaunchTemplate"]["LaunchTemplateSpecification"]["Version"] == "1"


def test_the_template_version_differs_in_its_image_only() -> None:
    """Everything else of blue's version is inherited."""
    stage = AwsStage()
    stage.go_to(Phase.CHECKING)
    asked = {"LaunchTemplateId": stage.world.template, "Versions": ["1", "2"]}
    shown = stage.client("ec2").describe_launch_template_versions(**asked)["LaunchTemplateVersions"]
    old, new = sorted((v["LaunchTemplateData"] for v in shown), key=lambda d: d["ImageId"] != stage.world.image)
    assert new == {**old, "ImageId": stage.release.image}
    assert old["ImageId"] != new["ImageId"]


def test_snapshots_of_the_block_devices_are_said_again() -> None:
    """AWS does not inherit them from the source version (EC2 API, CreateLaunchTemplateVersion)."""
    stage = AwsStage(ami=True)
    devices = [{"DeviceName": "/dev/sdf", "Ebs": {"SnapshotId": "snap-0123", "VolumeSize": 9}}]
    data = {"ImageId": stage.world.image, "InstanceType": "t3.micro", "BlockDeviceMappings": devices}
    stage.client("ec2").create_launch_template_version(LaunchTemplateId=stage.world.template, LaunchTemplateData=data)
    stage.client("autoscaling").update_auto_scaling_group(
        AutoScalingGroupName=stage.world.group,
        LaunchTemplate={"LaunchTemplateId": stage.world.template, "Version": "2"},
    )
    assert any("takes /dev/sdf from a snapshot" in one for one in stage.baseline().warnings)
    stage.go_to(Phase.LAUNCHING)
    while Verb.MAKE_TEMPLATE_VERSION not in stage.release.did:
        stage.step()
    asked = {"LaunchTemplateId": stage.world.template, "Versions": ["3"]}
    made = stage.client("ec2").describe_launch_template_versions(**asked)["LaunchTemplateVersions"][0]
    assert made["LaunchTemplateData"]["BlockDeviceMappings"] == devices
