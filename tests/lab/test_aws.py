"""The fake AWS is as strict, as slow and as unkind as the real one. What the other tests prove rests on this."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import moto.backends
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError
from botocore.parsers import ResponseParserError

from lab.aws import Crashed, FakeAws, Timings
from lab.aws.engine import FakeInstance
from lab.aws.wire import _json, _model, incoming, serialise
from lab.clock import RealClock, VirtualClock
from lab.machines import FakeMachines
from lab.world import World
from tests.worlds.waiting import eventually

GROUP = "web-asg"


class Lab:
    """A fake AWS with a standard world in it, and the words that the tests use."""

    def __init__(self, **world: Any) -> None:
        self.clock = VirtualClock()
        self.machines = FakeMachines(self.clock)
        self.fake = FakeAws(self.clock, self.machines)
        self.world = World.standard(self.fake, **world)
        self.arn = self.world.target_group

    def client(self, service: str, **config: Any) -> Any:
        """A client of the code under test."""
        session: Any = self.fake.session()
        return session.client(service, config=Config(**config) if config else None)

    def wait(self, seconds: float) -> None:
        """So many seconds pass."""
        self.clock.sleep(seconds)
        self.fake.advance()

    def group(self, name: str = GROUP) -> Any:
        """A group as AWS shows it."""
        return self.world.describe(name)

    def members(self, name: str = GROUP) -> list[str]:
        """A group's instances."""
        return list(self.fake.members(name))

    def states(self, arn: str | None = None) -> list[str]:
        """The states of all targets."""
        return sorted(self.fake.serving(arn or self.arn).values())

    def health(self, instance: str, arn: str | None = None) -> tuple[str, str | None]:
        """What DescribeTargetHealth tells of one."""
        asked = {"TargetGroupArn": arn or self.arn, "Targets": [{"Id": instance}]}
        told = self.client("elbv2").describe_target_health(**asked)["TargetHealthDescriptions"][0]["TargetHealth"]
        return told["State"], told.get("Reason")

    def spec(self, version: str = "1") -> dict[str, str]:
        """A reference to the template."""
        return {"LaunchTemplateId": self.world.template, "Version": version}

    def create(self, name: str = "green", **changes: Any) -> None:
        """Create a group; None leaves a member out."""
        settings = {
            "AutoScalingGroupName": name,
            "MinSize": 0,
            "MaxSize": 8,
            "DesiredCapacity": 2,
            "VPCZoneIdentifier": ",".join(self.world.subnets),
            "LaunchTemplate": self.spec(),
            **changes,
        }
        self.client("autoscaling").create_auto_scaling_group(
            **{key: value for key, value in settings.items() if value is not None}
        )


@pytest.fixture
def lab() -> Iterator[Lab]:
    """The standard world: four healthy instances."""
    lab = Lab()
    yield lab
    lab.fake.close()


class refused:  # noqa: N801 - read as a sentence: with refused("ValidationError")
    """Inside, AWS refuses with this code, and with words that hold `text`."""

    def __init__(self, code: str, text: str = "") -> None:
        self.code, self.text = code, text

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, at: object) -> bool:
        assert isinstance(error, ClientError), f"not refused: {error!r}"
        assert self.code == error.response["Error"]["Code"]
        assert self.text in error.response["Error"]["Message"]
        return True


class TestWorld:
    def test_the_standard_world_is_what_a_user_has(self, lab: Lab) -> None:
        """Four healthy instances behind a listener, a stopped builder, nothing left over, nothing recorded."""
        group = lab.group()
        assert (2, 4, 8) == (group["MinSize"], group["DesiredCapacity"], group["MaxSize"])
        assert ["healthy"] * 4 == lab.states()
        assert lab.fake.instances()[lab.world.builder] == "stopped"
        assert [] == lab.world.leftovers()
        assert [] == lab.fake.calls
        assert {"v1"} == {lab.machines.commit(one) for one in lab.members()}

    @pytest.mark.parametrize(
        "changes",
        [
            {"target_groups": 3},
            {"template_version": "$Latest"},
            {"mixed": True},
            {"launch_configuration": True},
            {"network": True},
            {"weighted": True},
            {"weighted": True, "rules": True, "preview": True},
            {"traffic_source": True},
            {"instances": 1},
            {"group": {"HealthCheckType": "EC2", "DefaultInstanceWarmup": None}},
        ],
    )
    def test_its_variants_become_healthy_too(self, changes: dict[str, Any]) -> None:
        """Each variant has all its instances healthy in each target group that the group is attached to."""
        lab = Lab(**changes)
        attached = lab.group()["TargetGroupARNs"]
        size = changes.get("instances", 4)
        assert changes.get("target_groups", 1) == len(attached)
        assert all(["healthy"] * size == lab.states(arn) for arn in attached)
        assert [] == lab.world.leftovers()

    def test_leftovers_are_named(self, lab: Lab) -> None:
        """A group, an image, a snapshot and a template version of a release, and a running builder, are all seen."""
        ec2 = lab.client("ec2")
        lab.create("web-production-v1", DesiredCapacity=1)
        ec2.start_instances(InstanceIds=[lab.world.builder])
        lab.wait(100)
        image = ec2.create_image(InstanceId=lab.world.builder, Name="web-production-v1-abc")["ImageId"]
        data = {"ImageId": image}
        ec2.create_launch_template_version(LaunchTemplateId=lab.world.template, LaunchTemplateData=data)
        instance = lab.members("web-production-v1")[0]
        found = ["group web-production-v1", f"image {image}", "template version 2", f"instance {instance}"]
        assert [*found, f"builder {lab.world.builder} is running"] == lab.world.leftovers()


class TestInstances:
    def test_an_instance_runs_before_it_answers_and_its_agent_comes_last(self, lab: Lab) -> None:
        """Pending 10 s, running, the machine on after 45 s, SSM online after 55 s."""
        ec2, ssm, builder = lab.client("ec2"), lab.client("ssm"), lab.world.builder
        ec2.start_instances(InstanceIds=[builder])
        asked = [{"Key": "InstanceIds", "Values": [builder]}]
        seen = []
        for _ in range(12):
            online = ssm.describe_instance_information(Filters=asked)["InstanceInformationList"]
            seen.append((lab.fake.instances()[builder], lab.machines.answers(builder, "/"), len(online)))
            lab.wait(5)
        assert [("pending", False, 0)] * 2 == seen[:2]
        assert [("running", False, 0)] * 7 == seen[2:9]
        assert [("running", True, 0)] * 2 == seen[9:11]
        assert ("running", True, 1) == seen[11]

    def test_stopping_takes_time_and_keeps_the_disk(self, lab: Lab) -> None:
        """It cannot be started while it is stopping, and what was on its disk is there again."""
        ec2, builder = lab.client("ec2"), lab.world.builder
        ec2.start_instances(InstanceIds=[builder])
        lab.wait(60)
        lab.machines.submit(builder, "export BLUEGREEN_COMMIT=abc123\ngit checkout $BLUEGREEN_COMMIT")
        ec2.stop_instances(InstanceIds=[builder])
        with refused("IncorrectInstanceState"):
            ec2.start_instances(InstanceIds=[builder])
        lab.wait(20)
        assert lab.fake.instances()[builder] == "stopped"
        ec2.start_instances(InstanceIds=[builder])
        lab.wait(60)
        assert lab.machines.commit(builder) == "abc123"

    def test_instances_are_found_by_filters(self, lab: Lab) -> None:
        """By Name with wildcards, by state and by image, all of which must match; unknown filters are refused."""
        ec2 = lab.client("ec2")

        def found(**filters: list[str]) -> list[str]:
            asked = [{"Name": name.replace("__", ":").replace("_", "-"), "Values": v} for name, v in filters.items()]
            rows = ec2.describe_instances(Filters=asked)["Reservations"]
            return [one["InstanceId"] for row in rows for one in row["Instances"]]

        assert [lab.world.builder] == found(tag__Name=["web-build*"], instance_state_name=["stopped", "running"])
        assert [] == found(tag__Name=["web-builder"], instance_state_name=["running"])
        assert 5 == len(found(image_id=[lab.world.image]))
        with refused("InvalidParameterValue"):
            found(colour=["blue"])
        with refused("InvalidInstanceID.NotFound"):
            ec2.describe_instances(InstanceIds=["i-00000000000000bad"])


class TestImages:
    def test_an_image_is_pending_and_then_available_with_the_disk_of_its_moment(self, lab: Lab) -> None:
        """What happens on the instance after the call is not in the image."""
        ec2, builder = lab.client("ec2"), lab.world.builder
        tags = [
            {"ResourceType": kind, "Tags": [{"Key": "bluegreen:release", "Value": "1"}]}
            for kind in ("image", "snapshot")
        ]
        ec2.start_instances(InstanceIds=[builder])
        lab.wait(60)
        image = ec2.create_image(InstanceId=builder, Name="web-v1", TagSpecifications=tags)["ImageId"]
        lab.machines.submit(builder, "BLUEGREEN_COMMIT=later; git checkout")
        mine = [{"Name": "tag:bluegreen:release", "Values": ["1"]}]
        for seconds, state in ((0, "pending"), (119, "pending"), (1, "available")):
            lab.wait(seconds)
            shown = ec2.describe_images(Owners=["self"], Filters=mine)["Images"]
            assert [(image, state)] == [(one["ImageId"], one["State"]) for one in shown]
        assert lab.machines.image_commit(image) == "v1"
        snapshot = shown[0]["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
        assert [snapshot] == [one["SnapshotId"] for one in ec2.describe_snapshots(Filters=mine)["Snapshots"]]

    def test_names_are_unique_and_well_formed(self, lab: Lab) -> None:
        """A name is taken by a pending, available or failed image until that is deregistered."""
        ec2, builder = lab.client("ec2"), lab.world.builder
        lab.fake.faults.image_fails("Client.InternalError: broken", times=1)
        image = ec2.create_image(InstanceId=builder, Name="web-v1")["ImageId"]
        with refused("InvalidAMIName.Duplicate", f"AMI name web-v1 is already in use by AMI {image}"):
            ec2.create_image(InstanceId=builder, Name="web-v1")
        lab.wait(120)
        shown = ec2.describe_images(ImageIds=[image])["Images"][0]
        assert ("failed", "Client.InternalError: broken") == (shown["State"], shown["StateReason"]["Message"])
        with refused("InvalidAMIName.Duplicate"):
            ec2.create_image(InstanceId=builder, Name="web-v1")
        for name in ("ab", "x" * 129, "web:v1"):
            with refused("InvalidAMIName.Malformed"):
                lab.client("ec2", parameter_validation=False).create_image(InstanceId=builder, Name=name)
        ec2.deregister_image(ImageId=image)
        ec2.create_image(InstanceId=builder, Name="web-v1")

    def test_deregistering_leaves_the_snapshot_unless_asked(self, lab: Lab) -> None:
        """A snapshot in use cannot be deleted, and an image that is gone is not found."""
        ec2 = lab.client("ec2")
        first, second = (
            ec2.create_image(InstanceId=lab.world.builder, Name=f"web-{name}")["ImageId"] for name in ("a", "b")
        )
        shown = ec2.describe_images(ImageIds=[first, second])["Images"]
        one, two = (image["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"] for image in shown)
        with refused("InvalidSnapshot.InUse"):
            ec2.delete_snapshot(SnapshotId=one)
        ec2.deregister_image(ImageId=first)
        told = ec2.deregister_image(ImageId=second, DeleteAssociatedSnapshots=True)
        assert [{"SnapshotId": two, "ReturnCode": "success"}] == told["DeleteSnapshotResults"]
        ec2.describe_snapshots(SnapshotIds=[one])
        ec2.delete_snapshot(SnapshotId=one)
        with refused("InvalidAMIID.NotFound"):
            ec2.describe_images(ImageIds=[first])
        with refused("InvalidAMIID.NotFound"):
            ec2.deregister_image(ImageId=first)
        with refused("InvalidSnapshot.NotFound"):
            ec2.describe_snapshots(SnapshotIds=[two])


class TestTemplates:
    def test_a_version_is_merged_over_its_source(self, lab: Lab) -> None:
        """What is not given is inherited from the source version; without one, nothing is."""
        ec2, template = lab.client("ec2"), lab.world.template
        data = {"ImageId": "ami-2"}
        merged = ec2.create_launch_template_version(
            LaunchTemplateId=template, SourceVersion="1", LaunchTemplateData=data
        )["LaunchTemplateVersion"]
        assert (2, False) == (merged["VersionNumber"], merged["DefaultVersion"])
        first = ec2.describe_launch_template_versions(LaunchTemplateId=template, Versions=["1"])
        before = first["LaunchTemplateVersions"][0]["LaunchTemplateData"]
        assert {**before, "ImageId": "ami-2"} == merged["LaunchTemplateData"]
        bare = ec2.create_launch_template_version(LaunchTemplateId=template, LaunchTemplateData=data)
        assert data == bare["LaunchTemplateVersion"]["LaunchTemplateData"]

    def test_snapshots_of_the_source_are_not_inherited(self, lab: Lab) -> None:
        """As botocore's model says of SourceVersion."""
        ec2, disk = lab.client("ec2"), {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": "snap-1", "VolumeSize": 9}}
        made = ec2.create_launch_template(LaunchTemplateName="t", LaunchTemplateData={"BlockDeviceMappings": [disk]})
        told = ec2.create_launch_template_version(
            LaunchTemplateId=made["LaunchTemplate"]["LaunchTemplateId"],
            SourceVersion="$Latest",
            LaunchTemplateData={"ImageId": "ami-2"},
        )["LaunchTemplateVersion"]["LaunchTemplateData"]
        assert [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 9}}] == told["BlockDeviceMappings"]

    def test_one_token_makes_one_version(self, lab: Lab) -> None:
        """The same call again gives the same version; another call with the token is refused."""
        ec2 = lab.client("ec2")
        call = {"LaunchTemplateId": lab.world.template, "SourceVersion": "1", "ClientToken": "web#1"}
        numbers = [
            ec2.create_launch_template_version(**call, LaunchTemplateData={"ImageId": "ami-2"})[
                "LaunchTemplateVersion"
            ]["VersionNumber"]
            for _ in range(2)
        ]
        assert [2, 2] == numbers
        with refused("IdempotentParameterMismatch"):
            ec2.create_launch_template_version(**call, LaunchTemplateData={"ImageId": "ami-3"})

    def test_latest_and_default(self, lab: Lab) -> None:
        """$Latest is the newest, $Default the one chosen, which cannot be deleted; numbers are never used again."""
        ec2, named = lab.client("ec2"), {"LaunchTemplateId": lab.world.template}
        for number in (2, 3):
            ec2.create_launch_template_version(**named, LaunchTemplateData={"ImageId": f"ami-{number}"})
        ec2.modify_launch_template(**named, DefaultVersion="2")
        rows = ec2.describe_launch_template_versions(**named, Versions=["$Latest", "$Default"])
        assert [3, 2] == [row["VersionNumber"] for row in rows["LaunchTemplateVersions"]]
        told = ec2.delete_launch_template_versions(**named, Versions=["2", "3", "9"])
        gone, kept = (
            told["SuccessfullyDeletedLaunchTemplateVersions"],
            told["UnsuccessfullyDeletedLaunchTemplateVersions"],
        )
        assert ([3], [2, 9]) == ([row["VersionNumber"] for row in gone], [row["VersionNumber"] for row in kept])
        with refused("InvalidLaunchTemplateId.VersionNotFound"):
            ec2.describe_launch_template_versions(**named, Versions=["3"])
        made = ec2.create_launch_template_version(**named, LaunchTemplateData={"ImageId": "ami-4"})
        assert 4 == made["LaunchTemplateVersion"]["VersionNumber"]
        shown = ec2.describe_launch_templates(LaunchTemplateNames=["web-template"])["LaunchTemplates"][0]
        assert (2, 4) == (shown["DefaultVersionNumber"], shown["LatestVersionNumber"])

    def test_what_is_not_there_is_refused(self, lab: Lab) -> None:
        """By id and by name, with AWS's two different codes, and a name can be taken once."""
        ec2 = lab.client("ec2")
        with refused("InvalidLaunchTemplateId.NotFound"):
            ec2.describe_launch_template_versions(LaunchTemplateId="lt-00000000000000bad")
        with refused("InvalidLaunchTemplateName.NotFoundException"):
            ec2.describe_launch_templates(LaunchTemplateNames=["nobody"])
        with refused("InvalidLaunchTemplateName.AlreadyExistsException"):
            ec2.create_launch_template(LaunchTemplateName="web-template", LaunchTemplateData={"ImageId": "ami-1"})


class TestTags:
    def test_tags_are_made_shown_filtered_and_removed(self, lab: Lab) -> None:
        """On our resources and on moto's alike."""
        ec2, image, subnet = lab.client("ec2"), lab.world.image, lab.world.subnets[0]
        tag = {"Key": "bluegreen:service", "Value": "web"}
        ec2.create_tags(Resources=[image], Tags=[tag])
        ec2.create_tags(Resources=[subnet], Tags=[tag])
        filters = [{"Name": "resource-id", "Values": [image]}]
        row = {"ResourceId": image, "ResourceType": "image", **tag}
        assert [row] == ec2.describe_tags(Filters=filters)["Tags"]
        mine = [{"Name": "tag:bluegreen:service", "Values": ["web"]}]
        assert [subnet] == [one["SubnetId"] for one in ec2.describe_subnets(Filters=mine)["Subnets"]]
        ec2.delete_tags(Resources=[image], Tags=[{"Key": "bluegreen:service", "Value": "other"}])
        assert [row] == ec2.describe_tags(Filters=filters)["Tags"]
        ec2.delete_tags(Resources=[image], Tags=[{"Key": "bluegreen:service"}])
        assert [] == ec2.describe_tags(Filters=filters)["Tags"]
        with refused("InvalidAMIID.NotFound"):
            ec2.create_tags(Resources=["ami-00000000000000bad"], Tags=[tag])


class TestGroups:
    def test_a_group_launches_serves_and_is_healthy_in_that_order(self, lab: Lab) -> None:
        """Nothing at first, Pending, InService before it answers, healthy in the end."""
        lab.create(TargetGroupARNs=[lab.arn])
        assert [] == lab.group("green")["Instances"]
        lab.wait(2)
        assert ["Pending"] * 2 == list(lab.fake.members("green").values())
        lab.wait(10)
        assert ["InService"] * 2 == list(lab.fake.members("green").values())
        green = lab.members("green")
        assert ("initial", "Elb.RegistrationInProgress") == lab.health(green[0])
        lab.wait(10)
        assert ("initial", "Elb.InitialHealthChecking") == lab.health(green[0])
        assert set(lab.members()) == set(lab.fake.routes(lab.arn))
        lab.wait(10)  # two failed checks by now: it must pass three, as if it had been well before
        assert ("unhealthy", "Target.FailedHealthChecks") == lab.health(green[0])
        lab.wait(40)
        assert ("healthy", None) == lab.health(green[0])
        assert {*lab.members(), *green} == set(lab.fake.routes(lab.arn))

    def test_every_member_is_kept_and_shown_again(self, lab: Lab) -> None:
        """What goes into CreateAutoScalingGroup comes out of DescribeAutoScalingGroups."""
        given: dict[str, Any] = {
            "DefaultInstanceWarmup": 61,
            "MaxInstanceLifetime": 86_400,
            "InstanceMaintenancePolicy": {"MinHealthyPercentage": 90, "MaxHealthyPercentage": 120},
            "DesiredCapacityType": "units",
            "AvailabilityZoneDistribution": {"CapacityDistributionStrategy": "balanced-only"},
            "AvailabilityZoneImpairmentPolicy": {
                "ZonalShiftEnabled": True,
                "ImpairedZoneHealthCheckBehavior": "ReplaceUnhealthy",
            },
            "DeletionProtection": "prevent-force-deletion",
            "CapacityRebalance": True,
            "DefaultCooldown": 33,
            "HealthCheckType": "ELB",
            "HealthCheckGracePeriod": 44,
            "PlacementGroup": "p",
            "TerminationPolicies": ["NewestInstance", "Default"],
            "NewInstancesProtectedFromScaleIn": True,
            "ServiceLinkedRoleARN": "arn:aws:iam::1:role/x",
            "Context": "c",
            "VPCZoneIdentifier": lab.world.subnets[0],
            "CapacityReservationSpecification": {"CapacityReservationPreference": "none"},
        }
        hook = {"LifecycleHookName": "h", "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING"}
        tags = [{"Key": "a", "Value": "b", "PropagateAtLaunch": False}]
        lab.create(**given, Tags=tags, LifecycleHookSpecificationList=[hook], TargetGroupARNs=[lab.arn])
        shown = lab.group("green")
        assert given == {key: shown[key] for key in given}
        assert [{**tags[0], "ResourceId": "green", "ResourceType": "auto-scaling-group"}] == shown["Tags"]
        assert ([lab.arn], lab.spec()) == (shown["TargetGroupARNs"], _without_name(shown["LaunchTemplate"]))
        hooks = lab.client("autoscaling").describe_lifecycle_hooks(AutoScalingGroupName="green")["LifecycleHooks"]
        defaults = {"DefaultResult": "ABANDON", "HeartbeatTimeout": 3600, "GlobalTimeout": 172_800}
        assert {**hook, **defaults}.items() <= hooks[0].items()

    def test_an_account_has_a_quota_of_groups(self, lab: Lab) -> None:
        """DescribeAccountLimits tells it, and how many there are; one more is refused."""
        limits = lab.client("autoscaling").describe_account_limits()
        assert limits["MaxNumberOfAutoScalingGroups"] == 500
        lab.fake.engine.state.most_groups = limits["NumberOfAutoScalingGroups"] + 1
        lab.create()
        with refused("LimitExceeded"):
            lab.create("another")
        again = lab.client("autoscaling").describe_account_limits()
        assert again["NumberOfAutoScalingGroups"] == again["MaxNumberOfAutoScalingGroups"]

    def test_a_name_is_taken_until_the_old_group_is_gone(self, lab: Lab) -> None:
        """AlreadyExists at once, and also while the old group is being deleted."""
        lab.create(DesiredCapacity=0)
        with refused("AlreadyExists"):
            lab.create()
        lab.client("autoscaling").delete_auto_scaling_group(AutoScalingGroupName="green")
        assert "Delete in progress" == lab.group("green")["Status"]
        with refused("AlreadyExists"):
            lab.create()
        lab.wait(5)
        lab.create()

    def test_what_aws_refuses_is_refused(self, lab: Lab) -> None:
        """Bounds, ways to launch, both id and name of a template, strange subnets, versions, images, target groups."""
        both = {**lab.spec(), "LaunchTemplateName": "web-template"}
        wrong: list[dict[str, Any]] = [
            {"DesiredCapacity": 9},
            {"MinSize": 3},
            {"LaunchTemplate": None},
            {"LaunchConfigurationName": "x"},
            {"LaunchTemplate": both},
            {"LaunchTemplate": lab.spec("7")},
            {"VPCZoneIdentifier": "subnet-bad"},
            {"VPCZoneIdentifier": None},
            {"TargetGroupARNs": ["arn:nobody"]},
            {"TargetGroupARNs": [lab.arn] * 11},
            {"Tags": [{"Key": "aws:cloudformation:stack-name", "Value": "x"}]},
            {"name": "x" * 256},
        ]
        for changes in wrong:
            with refused("ValidationError"):
                lab.create(**changes)
        assert [GROUP] == [one["AutoScalingGroupName"] for one in _groups(lab)]

    def test_a_template_of_a_missing_or_pending_image_is_refused(self, lab: Lab) -> None:
        """AWS wants a valid fully-formed launch template; once the image is available it takes it."""
        ec2 = lab.client("ec2")
        image = ec2.create_image(InstanceId=lab.world.builder, Name="web-v1")["ImageId"]
        for given in ("ami-00000000000000bad", image):
            data = {"ImageId": given}
            ec2.create_launch_template_version(LaunchTemplateId=lab.world.template, LaunchTemplateData=data)
            with refused("ValidationError", "You must use a valid fully-formed launch template"):
                lab.create(LaunchTemplate=lab.spec("$Latest"))
        lab.wait(120)
        lab.create(LaunchTemplate=lab.spec("$Latest"))

    def test_a_group_on_latest_launches_what_is_latest_at_that_time(self) -> None:
        """Instances show the number that $Latest meant when they were launched, and carry that image."""
        lab = Lab(template_version="$Latest", instances=2)
        ec2, old = lab.client("ec2"), lab.members()
        image = ec2.create_image(InstanceId=lab.world.builder, Name="web-v2")["ImageId"]
        lab.wait(120)
        named = {"LaunchTemplateId": lab.world.template, "SourceVersion": "1"}
        ec2.create_launch_template_version(**named, LaunchTemplateData={"ImageId": image})
        lab.client("autoscaling").set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=3)
        lab.wait(20)
        shown = {one["InstanceId"]: one["LaunchTemplate"]["Version"] for one in lab.group()["Instances"]}
        (new,) = shown.keys() - set(old)
        assert {**dict.fromkeys(old, "1"), new: "2"} == shown
        assert "$Latest" == lab.group()["LaunchTemplate"]["Version"]
        rows = ec2.describe_instances(InstanceIds=[new])["Reservations"][0]["Instances"][0]
        assert image == rows["ImageId"]
        tags = {tag["Key"]: tag["Value"] for tag in rows["Tags"]}
        assert (GROUP, "2", "shop") == (
            tags["aws:autoscaling:groupName"],
            tags["aws:ec2launchtemplate:version"],
            tags["team"],
        )
        assert "cost" not in tags

    def test_sizes_are_held_within_bounds(self, lab: Lab) -> None:
        """SetDesiredCapacity outside is refused; a new minimum or maximum moves the desired size into it."""
        groups = lab.client("autoscaling")
        for size, text in ((9, "above max value 8"), (1, "below min value 2")):
            with refused("ValidationError", text):
                groups.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=size)
        groups.update_auto_scaling_group(AutoScalingGroupName=GROUP, MinSize=6)
        assert 6 == lab.group()["DesiredCapacity"]
        groups.update_auto_scaling_group(AutoScalingGroupName=GROUP, MinSize=1, MaxSize=3)
        assert 3 == lab.group()["DesiredCapacity"]
        with refused("ValidationError", "not found"):
            groups.update_auto_scaling_group(AutoScalingGroupName="nobody", MinSize=6)

    def test_a_shown_group_can_be_updated_to_another_template_version(self, lab: Lab) -> None:
        """An update of the template alone keeps all the rest; of the rest alone, the template."""
        groups, before = lab.client("autoscaling"), lab.group()
        groups.update_auto_scaling_group(AutoScalingGroupName=GROUP, LaunchTemplate=lab.spec("$Default"))
        groups.update_auto_scaling_group(AutoScalingGroupName=GROUP, DefaultCooldown=7)
        after = lab.group()
        assert ("$Default", 7) == (after["LaunchTemplate"]["Version"], after["DefaultCooldown"])
        same = before.keys() - {"LaunchTemplate", "DefaultCooldown"}
        assert {key: before[key] for key in same} == {key: after[key] for key in same}

    def test_scale_in_spares_the_protected_and_drains_first(self, lab: Lab) -> None:
        """The oldest unprotected one leaves its target group, drains 30 s, and only then is terminated."""
        groups, members = lab.client("autoscaling"), lab.members()
        groups.set_instance_protection(AutoScalingGroupName=GROUP, InstanceIds=members[:3], ProtectedFromScaleIn=True)
        groups.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=2)
        lab.wait(2)
        victim = members[3]
        assert {**dict.fromkeys(members[:3], "InService"), victim: "Terminating"} == lab.fake.members(GROUP)
        assert (("draining", "Target.DeregistrationInProgress"), "running") == (
            lab.health(victim),
            lab.fake.instances()[victim],
        )
        lab.wait(30)
        assert ("shutting-down", ("unused", "Target.NotRegistered")) == (
            lab.fake.instances()[victim],
            lab.health(victim),
        )
        lab.wait(20)
        assert (members[:3], "terminated") == (lab.members(), lab.fake.instances()[victim])
        with refused("ValidationError", "less than or equal to 50"):
            groups.set_instance_protection(
                AutoScalingGroupName=GROUP, InstanceIds=["i-1"] * 51, ProtectedFromScaleIn=True
            )

    def test_suspended_processes_really_do_nothing(self, lab: Lab) -> None:
        """No launch, no termination, until they are resumed."""
        groups = lab.client("autoscaling")
        groups.suspend_processes(AutoScalingGroupName=GROUP, ScalingProcesses=["Launch", "Terminate"])
        assert ["Launch", "Terminate"] == [one["ProcessName"] for one in lab.group()["SuspendedProcesses"]]
        for size in (6, 3):
            groups.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=size)
            lab.wait(300)
            assert ["InService"] * 4 == list(lab.fake.members(GROUP).values())
        groups.resume_processes(AutoScalingGroupName=GROUP, ScalingProcesses=["Terminate"])
        lab.wait(60)
        assert 3 == len(lab.members())
        with refused("ValidationError"):
            groups.suspend_processes(AutoScalingGroupName=GROUP, ScalingProcesses=["Sleep"])

    def test_without_add_to_load_balancer_nobody_joins(self, lab: Lab) -> None:
        """New instances are InService and not registered."""
        groups = lab.client("autoscaling")
        groups.suspend_processes(AutoScalingGroupName=GROUP, ScalingProcesses=["AddToLoadBalancer"])
        groups.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=5)
        lab.wait(60)
        assert (5, 4) == (len(lab.members()), len(lab.states()))

    def test_deleting_wants_an_empty_group(self, lab: Lab) -> None:
        """ResourceInUse with instances, ScalingActivityInProgress while they go, gone in the end; force empties it."""
        groups = lab.client("autoscaling")
        lab.create()
        lab.wait(15)
        with refused("ResourceInUse"):
            groups.delete_auto_scaling_group(AutoScalingGroupName="green")
        groups.update_auto_scaling_group(AutoScalingGroupName="green", DesiredCapacity=0)
        lab.wait(2)
        with refused("ScalingActivityInProgress"):
            groups.delete_auto_scaling_group(AutoScalingGroupName="green")
        lab.wait(25)
        groups.delete_auto_scaling_group(AutoScalingGroupName="green")
        groups.delete_auto_scaling_group(AutoScalingGroupName=GROUP, ForceDelete=True)
        lab.wait(120)
        assert [] == _groups(lab)
        assert set(lab.fake.instances().values()) == {"stopped", "terminated"}
        assert [] == lab.states()

    def test_an_instance_lost_to_ec2_is_replaced(self, lab: Lab) -> None:
        """Somebody terminates one: the group notices and launches another, which serves in the end."""
        lost = lab.members()[0]
        lab.world.client("ec2").terminate_instances(InstanceIds=[lost])
        lab.wait(1)
        shown = {one["InstanceId"]: one["HealthStatus"] for one in lab.group()["Instances"]}
        assert "Unhealthy" == shown[lost]
        lab.wait(200)
        assert lost not in lab.members()
        assert lab.world.healthy()

    def test_elb_health_counts_after_the_grace_period_only(self) -> None:
        """Sick from the start: kept for the grace period, then replaced; with checks by EC2 alone it is never."""
        lab = Lab(group={"HealthCheckGracePeriod": 200}, instances=2)
        lab.machines.sick("v1")
        lab.wait(60)
        assert (["unhealthy"] * 2, ["InService"] * 2) == (lab.states(), list(lab.fake.members(GROUP).values()))
        first = lab.members()
        lab.wait(140)
        assert not set(first) & {one for one, state in lab.fake.members(GROUP).items() if state == "InService"}
        calm = Lab(group={"HealthCheckType": "EC2", "HealthCheckGracePeriod": 0}, instances=2)
        calm.machines.sick("v1")
        calm.wait(600)
        assert ["InService"] * 2 == list(calm.fake.members(GROUP).values())

    def test_no_grace_period_kills_slow_booters(self, lab: Lab) -> None:
        """The API's default of 0 with ELB checks replaces instances that are still booting: a copy must not drop it."""
        lab.create(HealthCheckType="ELB", TargetGroupARNs=[lab.arn])
        lab.wait(45)
        assert "Unhealthy" in {one["HealthStatus"] for one in lab.group("green")["Instances"]}

    def test_want_of_capacity_is_a_failed_activity_and_is_tried_again(self, lab: Lab) -> None:
        """The reason is in the newest activity; when capacity returns the group grows by itself."""
        lab.fake.faults.no_capacity("green", times=2)
        lab.create()
        lab.wait(3)
        told = lab.client("autoscaling").describe_scaling_activities(AutoScalingGroupName="green")["Activities"]
        assert "Failed" == told[0]["StatusCode"]
        assert (
            "We currently do not have sufficient t3.micro capacity in the Availability Zone" in told[0]["StatusMessage"]
        )
        lab.wait(90)
        told = lab.client("autoscaling").describe_scaling_activities(AutoScalingGroupName="green")["Activities"]
        assert ["Successful"] * 2 + ["Failed"] * 2 == [one["StatusCode"] for one in told]
        assert told[0]["StartTime"] >= told[-1]["StartTime"]

    def test_launching_hooks_delay_service(self, lab: Lab) -> None:
        """Pending:Wait for the hook's time, then by its default result: into service, or terminated."""
        hook = {"LifecycleHookName": "h", "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING"}
        lab.create(LifecycleHookSpecificationList=[{**hook, "DefaultResult": "CONTINUE", "HeartbeatTimeout": 7}])
        lab.wait(12)
        assert {"Pending:Wait"} == set(lab.fake.members("green").values())
        lab.wait(7)
        assert {"InService"} == set(lab.fake.members("green").values())
        lab.create("other", LifecycleHookSpecificationList=[hook])
        lab.wait(12)
        first = lab.members("other")
        lab.client("autoscaling").complete_lifecycle_action(
            AutoScalingGroupName="other", LifecycleHookName="h", InstanceId=first[0], LifecycleActionResult="CONTINUE"
        )
        lab.wait(10)
        states = lab.fake.members("other")
        assert ("InService", "Terminating:Proceed") == (states[first[0]], states[first[1]])

    def test_a_hook_that_gives_up_says_so_in_the_activity(self, lab: Lab) -> None:
        """Cancelled, with AWS's words and a token of its own; the group tries again."""
        hook = {"LifecycleHookName": "h", "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING"}
        lab.create(LifecycleHookSpecificationList=[hook])
        lab.wait(100)
        told = lab.client("autoscaling").describe_scaling_activities(AutoScalingGroupName="green")["Activities"]
        said = [one["StatusMessage"] for one in told if one["StatusCode"] == "Cancelled"]
        assert len(said) >= 4
        assert len(set(said)) == len(said)
        assert all("was abandoned: Lifecycle Action Completed with ABANDON Result" in one for one in said)

    def test_standby_is_no_part_of_the_size_and_ends_by_itself_never(self, lab: Lab) -> None:
        """Out of the target group, replaced unless the size went down, not scaled in; the group is in use."""
        groups = lab.client("autoscaling")
        one, *_ = lab.members()
        with refused("ValidationError", "min-size"):
            groups.update_auto_scaling_group(AutoScalingGroupName=GROUP, MinSize=4)
            groups.enter_standby(InstanceIds=[one], AutoScalingGroupName=GROUP, ShouldDecrementDesiredCapacity=True)
        groups.enter_standby(InstanceIds=[one], AutoScalingGroupName=GROUP, ShouldDecrementDesiredCapacity=False)
        assert (lab.fake.members(GROUP)[one], lab.fake.serving(lab.arn)[one]) == ("EnteringStandby", "draining")
        lab.wait(60)
        assert sorted(lab.fake.members(GROUP).values()) == ["InService"] * 4 + ["Standby"]
        groups.update_auto_scaling_group(AutoScalingGroupName=GROUP, MinSize=0, DesiredCapacity=0)
        lab.wait(200)
        assert lab.fake.members(GROUP) == {one: "Standby"}
        with refused("ResourceInUse"):
            groups.delete_auto_scaling_group(AutoScalingGroupName=GROUP)
        with refused("ValidationError", "not in InService"):
            groups.enter_standby(InstanceIds=[one], AutoScalingGroupName=GROUP, ShouldDecrementDesiredCapacity=False)
        groups.exit_standby(InstanceIds=[one], AutoScalingGroupName=GROUP)
        lab.wait(60)
        assert (lab.fake.members(GROUP), lab.fake.serving(lab.arn)) == ({one: "InService"}, {one: "healthy"})
        assert lab.group()["DesiredCapacity"] == 1
        with refused("ValidationError", "not in Standby"):
            groups.exit_standby(InstanceIds=[one], AutoScalingGroupName=GROUP)

    def test_exit_from_standby_needs_room(self, lab: Lab) -> None:
        """The size grows by those who come back."""
        groups = lab.client("autoscaling")
        one, *_ = lab.members()
        groups.enter_standby(InstanceIds=[one], AutoScalingGroupName=GROUP, ShouldDecrementDesiredCapacity=False)
        lab.wait(60)
        groups.update_auto_scaling_group(AutoScalingGroupName=GROUP, MaxSize=4)
        with refused("ValidationError", "max-size=4"):
            groups.exit_standby(InstanceIds=[one], AutoScalingGroupName=GROUP)

    def test_a_detached_instance_runs_on_outside_of_the_group(self, lab: Lab) -> None:
        """Out of the target group, and replaced; the activity tells of it."""
        groups = lab.client("autoscaling")
        one, *_ = lab.members()
        groups.detach_instances(InstanceIds=[one], AutoScalingGroupName=GROUP, ShouldDecrementDesiredCapacity=False)
        lab.wait(60)
        assert one not in lab.fake.members(GROUP)
        assert list(lab.fake.members(GROUP).values()) == ["InService"] * 4
        assert (one in lab.fake.serving(lab.arn), lab.fake.instances()[one]) == (False, "running")
        told = groups.describe_scaling_activities(AutoScalingGroupName=GROUP)["Activities"]
        assert f"Detaching EC2 instance: {one}" in [activity["Description"] for activity in told]

    def test_what_aws_takes_is_replaced_and_told_apart_from_what_is_sick(self, lab: Lab) -> None:
        """The cause of the activity names the EC2 health check, or the load balancer's."""
        groups = lab.client("autoscaling")
        lab.create(HealthCheckType="ELB", HealthCheckGracePeriod=300, TargetGroupARNs=[lab.arn])
        lab.wait(400)
        taken, sick = lab.members("green")
        lab.fake.take(taken)
        lab.machines.kill(sick)
        lab.wait(200)
        told = groups.describe_scaling_activities(AutoScalingGroupName="green")["Activities"]
        causes = {a["Description"].rpartition(" ")[2]: a["Cause"] for a in told if a["Description"][:4] == "Term"}
        assert "EC2 health check indicating it has been terminated or stopped" in causes[taken]
        assert "ELB system health check failure" in causes[sick]
        shown = lab.client("ec2").describe_instances(InstanceIds=[taken])["Reservations"][0]["Instances"][0]
        assert shown["StateTransitionReason"].startswith("Server.SpotInstanceTermination")

    def test_terminating_hooks_come_after_draining(self, lab: Lab) -> None:
        """Terminating for the deregistration delay, Terminating:Wait for the hook, then EC2 terminates it."""
        groups = lab.client("autoscaling")
        groups.put_lifecycle_hook(
            AutoScalingGroupName=GROUP,
            LifecycleHookName="bye",
            LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING",
            HeartbeatTimeout=3600,
        )
        told = groups.terminate_instance_in_auto_scaling_group(
            InstanceId=lab.members()[0], ShouldDecrementDesiredCapacity=True
        )["Activity"]
        victim = lab.members()[0]
        assert f"Terminating EC2 instance: {victim}" == told["Description"]
        seen = []
        for seconds in (0, 29, 1, 9, 1, 20):
            lab.wait(seconds)
            seen.append((lab.fake.members(GROUP).get(victim), lab.fake.instances()[victim]))
        assert seen == [
            ("Terminating", "running"),
            ("Terminating", "running"),
            ("Terminating:Wait", "running"),
            ("Terminating:Wait", "running"),
            ("Terminating:Proceed", "shutting-down"),
            (None, "terminated"),
        ]
        assert 3 == lab.group()["DesiredCapacity"]

    def test_tags_are_kept(self, lab: Lab) -> None:
        """They come out as they went in, and a group is found by them."""
        groups = lab.client("autoscaling")
        tag = {
            "ResourceId": GROUP,
            "ResourceType": "auto-scaling-group",
            "Key": "k",
            "Value": "v",
            "PropagateAtLaunch": True,
        }
        groups.create_or_update_tags(Tags=[tag])
        asked = [{"Name": "auto-scaling-group", "Values": [GROUP]}, {"Name": "key", "Values": ["k"]}]
        assert [tag] == groups.describe_tags(Filters=asked)["Tags"]
        found = groups.describe_auto_scaling_groups(Filters=[{"Name": "tag:k", "Values": ["v"]}])["AutoScalingGroups"]
        assert [GROUP] == [one["AutoScalingGroupName"] for one in found]
        groups.delete_tags(Tags=[{key: tag[key] for key in ("ResourceId", "ResourceType", "Key")}])
        assert [] == groups.describe_tags(Filters=asked)["Tags"]

    def test_an_instance_refresh(self, lab: Lab) -> None:
        """One at a time, the newest first; with a desired configuration the template is not to be changed meanwhile."""
        groups, named = lab.client("autoscaling"), {"AutoScalingGroupName": GROUP}
        spec = {"LaunchTemplate": {"LaunchTemplateId": lab.world.template, "Version": "1"}}

        def states() -> list[str]:
            return [one["Status"] for one in groups.describe_instance_refreshes(**named)["InstanceRefreshes"]]

        first = groups.start_instance_refresh(**named)["InstanceRefreshId"]
        with refused("InstanceRefreshInProgress"):
            groups.start_instance_refresh(**named)
        groups.update_auto_scaling_group(**named, **spec)
        assert ["Pending"] == states()
        lab.wait(5)
        assert ["InProgress"] == states()
        lab.wait(1000)
        assert ["Successful"] == states()
        with refused("ActiveInstanceRefreshNotFound"):
            groups.cancel_instance_refresh(**named)
        groups.start_instance_refresh(**named, DesiredConfiguration=spec)
        with refused("ValidationError"):
            groups.update_auto_scaling_group(**named, **spec)
        groups.update_auto_scaling_group(**named, MinSize=1)
        groups.cancel_instance_refresh(**named)
        assert ["Cancelling", "Successful"] == states()
        lab.wait(1000)
        assert ["Cancelled", "Successful"] == states()
        only = groups.describe_instance_refreshes(**named, InstanceRefreshIds=[first], MaxRecords=1)
        assert [first] == [one["InstanceRefreshId"] for one in only["InstanceRefreshes"]]

    def test_an_instance_refresh_replaces_one_instance_after_the_other(self, lab: Lab) -> None:
        """By its desired configuration, which is the group's own at the end; protected ones, and Standby, stay."""
        groups, named = lab.client("autoscaling"), {"AutoScalingGroupName": GROUP}
        lab.client("ec2").create_launch_template_version(
            LaunchTemplateId=lab.world.template, SourceVersion="1", LaunchTemplateData={"InstanceType": "t3.large"}
        )
        spec = {"LaunchTemplateId": lab.world.template, "Version": "2"}
        first, second, third, fourth = lab.members()
        groups.set_instance_protection(**named, InstanceIds=[first], ProtectedFromScaleIn=True)
        groups.enter_standby(**named, InstanceIds=[second], ShouldDecrementDesiredCapacity=True)
        lab.wait(60)
        groups.start_instance_refresh(**named, DesiredConfiguration={"LaunchTemplate": spec})
        least = 3
        for _ in range(60):
            lab.wait(10)
            least = min(least, lab.states().count("healthy"))
        (done,) = groups.describe_instance_refreshes(**named)["InstanceRefreshes"]
        assert ("Successful", 100, 0) == tuple(done[k] for k in ("Status", "PercentageComplete", "InstancesToUpdate"))
        assert 2 == least and {third, fourth}.isdisjoint(lab.members()) and {first, second} < {*lab.members()}
        versions = [one["LaunchTemplate"]["Version"] for one in lab.group()["Instances"]]
        assert ["1", "1", "2", "2"] == sorted(versions) and "2" == lab.group()["LaunchTemplate"]["Version"]

    def test_an_instance_refresh_waits_and_fails(self, lab: Lab) -> None:
        """While it is suspended, or an instance is not healthy; an hour of it is too long."""
        groups, named = lab.client("autoscaling"), {"AutoScalingGroupName": GROUP}
        groups.suspend_processes(**named, ScalingProcesses=["InstanceRefresh"])
        before = lab.members()
        groups.start_instance_refresh(**named, DesiredConfiguration={"LaunchTemplate": lab.spec()})
        lab.wait(3500)
        assert before == lab.members()
        lab.wait(300)
        assert ["Failed"] == [one["Status"] for one in groups.describe_instance_refreshes(**named)["InstanceRefreshes"]]

    def test_instances_are_attached(self, lab: Lab) -> None:
        """One that was detached, and back in service a moment later; not one that is a member, nor more than fit."""
        groups, named = lab.client("autoscaling"), {"AutoScalingGroupName": GROUP}
        one, other, *_ = lab.members()
        groups.detach_instances(**named, InstanceIds=[one], ShouldDecrementDesiredCapacity=True)
        lab.wait(60)
        assert one not in lab.members()
        groups.attach_instances(**named, InstanceIds=[one])
        lab.wait(30)
        assert ("InService", "healthy", 4) == (
            lab.fake.members(GROUP)[one],
            lab.health(one)[0],
            lab.group()["DesiredCapacity"],
        )
        for wrong, text in (([other], "already"), (["i-0"], "Invalid"), ([lab.world.builder] * 21, "20")):
            with refused("ValidationError", text):
                groups.attach_instances(**named, InstanceIds=wrong)
        lab.client("ec2").start_instances(InstanceIds=[lab.world.builder])
        lab.wait(60)
        groups.update_auto_scaling_group(**named, MaxSize=4)
        with refused("ValidationError", "max-size"):
            groups.attach_instances(**named, InstanceIds=[lab.world.builder])

    @pytest.mark.parametrize("process", ["AZRebalance", "CapacityRebalance"])
    def test_a_rebalance_launches_before_it_terminates(self, lab: Lab, process: str) -> None:
        """One member more for a while, though its successor answers later; not while suspended, nor untold."""
        groups, named = lab.client("autoscaling"), {"AutoScalingGroupName": GROUP}
        one = lab.members()[0]
        groups.suspend_processes(**named, ScalingProcesses=["AZRebalance", "Launch"])
        lab.fake.rebalance(one, process)
        assert 4 == len(lab.members())
        groups.resume_processes(**named)
        groups.update_auto_scaling_group(**named, CapacityRebalance=process == "CapacityRebalance")
        lab.fake.rebalance(one, process)
        sizes, healthy = set(), set()
        for _ in range(20):
            lab.wait(6)
            sizes.add(len(lab.members()))
            healthy.add(lab.states().count("healthy"))
        assert ({4, 5}, 3) == (sizes, min(healthy)) and one not in lab.members() and "draining" not in lab.states()
        assert 4 == lab.group()["DesiredCapacity"] == lab.states().count("healthy")

    def test_activities_say_why_the_size_was_changed(self, lab: Lab) -> None:
        """A request, a policy's alarm, a scheduled action."""
        groups, named = lab.client("autoscaling"), {"AutoScalingGroupName": GROUP}
        change = {"AdjustmentType": "ChangeInCapacity", "ScalingAdjustment": 1}
        policy = groups.put_scaling_policy(**named, **change, PolicyName="more")["PolicyARN"]
        metric = {"Namespace": "Shop", "MetricName": "Load", "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 1}
        rule = {"Threshold": 5, "ComparisonOperator": "GreaterThanThreshold"}
        watch = lab.client("cloudwatch")
        watch.put_metric_alarm(AlarmName="high", AlarmActions=[policy], **metric, **rule)
        groups.set_desired_capacity(**named, DesiredCapacity=5)
        lab.wait(10)
        watch.set_alarm_state(AlarmName="high", StateValue="ALARM", StateReason="a test")
        lab.wait(10)
        groups.put_scheduled_update_group_action(
            **named, ScheduledActionName="a", DesiredCapacity=7, Recurrence="* * * * *"
        )
        lab.wait(70)
        request, alarm, scheduled = [one["Cause"] for one in groups.describe_scaling_activities(**named)["Activities"]][
            2::-1
        ]
        assert (
            "a user request explicitly set group desired capacity changing the desired capacity from 4 to 5" in request
        )
        assert "alarm high in state ALARM triggered policy more changing the desired capacity from 5 to 6" in alarm
        assert "a scheduled action update of AutoScalingGroup constraints to min: " in scheduled
        assert "desired: 7 changing the desired capacity from 6 to 7" in scheduled

    def test_an_image_is_shared_and_versions_are_found_by_image(self, lab: Lab) -> None:
        """Launch permissions are added and removed; versions are filtered by image and by being the default."""
        ec2, image = lab.client("ec2"), lab.world.image
        other = {"UserId": "210987654321"}
        asked = {"ImageId": image, "Attribute": "launchPermission"}
        for change, shown in (({"Add": [other]}, [other]), ({"Remove": [other]}, [])):
            ec2.modify_image_attribute(ImageId=image, LaunchPermission=change)
            assert shown == ec2.describe_image_attribute(**asked)["LaunchPermissions"]
        with refused("InvalidParameterValue"):
            ec2.describe_image_attribute(ImageId=image, Attribute="description")
        made = ec2.register_image(Name="other", RootDeviceName="/dev/xvda")["ImageId"]
        template = {"LaunchTemplateId": lab.world.template}
        ec2.create_launch_template_version(**template, LaunchTemplateData={"ImageId": made})
        for name, value, number in (("image-id", made, 2), ("image-id", image, 1), ("is-default-version", "true", 1)):
            filters = [{"Name": name, "Values": [value]}]
            (found,) = ec2.describe_launch_template_versions(**template, Filters=filters)["LaunchTemplateVersions"]
            assert number == found["VersionNumber"]

    def test_a_volume_is_no_smaller_than_its_snapshot(self, lab: Lab) -> None:
        """An image takes as much room as the disk that it was made of, whatever a template says."""
        ec2 = lab.client("ec2")
        lab.fake.engine.state.instances[lab.world.builder].launch["BlockDeviceMappings"] = [
            {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 20}}
        ]
        filters = [{"Name": "attachment.instance-id", "Values": [lab.world.builder]}]
        (volume,) = ec2.describe_volumes(Filters=filters)["Volumes"]
        assert (20, "/dev/xvda") == (volume["Size"], volume["Attachments"][0]["Device"])
        made = ec2.create_image(InstanceId=lab.world.builder, Name="grown")["ImageId"]
        lab.wait(300)
        (image,) = ec2.describe_images(ImageIds=[made])["Images"]
        assert 20 == image["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"]
        small = [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 8}}]
        with refused("InvalidBlockDeviceMapping"):
            ec2.run_instances(ImageId=made, MinCount=1, MaxCount=1, BlockDeviceMappings=small)
        ec2.run_instances(ImageId=made, MinCount=1, MaxCount=1)

    def test_a_volume_shows_its_key(self, lab: Lab) -> None:
        """As the launch said it; keys themselves are moto's."""
        filters = [{"Name": "attachment.instance-id", "Values": [lab.world.builder]}]
        show = lab.client("ec2").describe_volumes
        assert not show(Filters=filters)["Volumes"][0]["Encrypted"]
        key = lab.client("kms").create_key()["KeyMetadata"]["Arn"]
        launch = lab.fake.engine.state.instances[lab.world.builder].launch
        launch["BlockDeviceMappings"] = [{"DeviceName": "/dev/xvda", "Ebs": {"KmsKeyId": key}}]
        (volume,) = show(Filters=filters)["Volumes"]
        assert (True, key) == (volume["Encrypted"], volume["KmsKeyId"])

    def test_a_warm_pool_is_filled_and_keeps_its_group_from_being_deleted(self, lab: Lab) -> None:
        """Up to the maximum, or what is to be prepared; stopped. With instances neither it nor its group goes."""
        groups, named = lab.client("autoscaling"), {"AutoScalingGroupName": "green"}
        lab.create()
        groups.put_warm_pool(**named, MinSize=1, MaxGroupPreparedCapacity=5)
        lab.wait(60)
        shown = groups.describe_warm_pool(**named)
        assert ["Warmed:Stopped"] * 3 == [one["LifecycleState"] for one in shown["Instances"]]
        assert {"stopped"} == {lab.fake.instances()[one["InstanceId"]] for one in shown["Instances"]}
        assert (3, 2) == (lab.group("green")["WarmPoolSize"], len(lab.group("green")["Instances"]))
        groups.update_auto_scaling_group(**named, MinSize=0, DesiredCapacity=0)
        lab.wait(120)
        assert (5, []) == (lab.group("green")["WarmPoolSize"], lab.group("green")["Instances"])
        for refused_call in (groups.delete_warm_pool, groups.delete_auto_scaling_group):
            with refused("ResourceInUse"):
                refused_call(**named)
        groups.put_warm_pool(**named, MinSize=0, MaxGroupPreparedCapacity=0)
        lab.wait(60)
        assert 0 == lab.group("green")["WarmPoolSize"]
        groups.delete_warm_pool(**named)
        assert "PendingDelete" == lab.group("green")["WarmPoolConfiguration"]["Status"]
        with refused("ValidationError"):
            groups.put_warm_pool(**named)
        lab.wait(10)
        assert "WarmPoolConfiguration" not in lab.group("green")
        with refused("ValidationError"):
            groups.delete_warm_pool(**named)
        groups.delete_auto_scaling_group(**named)

    @pytest.mark.parametrize("whole", [True, False])
    def test_a_warm_pool_goes_by_force(self, lab: Lab, whole: bool) -> None:
        """Alone, or with its group; its instances are terminated."""
        groups, named = lab.client("autoscaling"), {"AutoScalingGroupName": "green"}
        lab.create()
        groups.put_warm_pool(**named, MaxGroupPreparedCapacity=3)
        lab.wait(60)
        (warmed,) = groups.describe_warm_pool(**named)["Instances"]
        (groups.delete_auto_scaling_group if whole else groups.delete_warm_pool)(**named, ForceDelete=True)
        lab.wait(90)
        assert "terminated" == lab.fake.instances()[warmed["InstanceId"]]
        assert whole is ("green" not in lab.fake.engine.state.groups)

    def test_an_alarm_scales_within_the_group_s_bounds(self, lab: Lab) -> None:
        """By its policy, a simple one or one of steps; not while its notifications are suspended."""
        groups, named = lab.client("autoscaling"), {"AutoScalingGroupName": "green"}
        lab.create(MaxSize=5)
        change = {"AdjustmentType": "ChangeInCapacity"}
        groups.put_scaling_policy(**named, **change, PolicyName="simple", ScalingAdjustment=1)
        steps = [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 8}]
        more = {"PolicyType": "StepScaling", "StepAdjustments": steps}
        groups.put_scaling_policy(**named, **change, **more, PolicyName="steps")
        assert 3 == lab.fake.fire("green", "simple")
        assert 5 == lab.fake.fire("green", "steps")
        groups.update_auto_scaling_group(**named, MinSize=0, DesiredCapacity=0)
        groups.suspend_processes(**named, ScalingProcesses=["AlarmNotification"])
        assert 0 == lab.fake.fire("green", "steps") == lab.fake.fire("green", "there is none")

    def test_pages(self, lab: Lab) -> None:
        """Listings come in pages, and the paginators of boto3 put them together."""
        for number in range(5):
            lab.create(f"g-{number}", DesiredCapacity=0)
        pages = list(
            lab.client("autoscaling")
            .get_paginator("describe_auto_scaling_groups")
            .paginate(PaginationConfig={"PageSize": 2})
        )
        assert [2, 2, 2] == [len(page["AutoScalingGroups"]) for page in pages]


class TestTraffic:
    def test_detaching_drains_and_attaching_brings_back_after_one_check(self, lab: Lab) -> None:
        """Out: draining for the delay, with no new requests at once. In: initial, healthy after one passed check."""
        groups, named = lab.client("autoscaling"), {"AutoScalingGroupName": GROUP, "TargetGroupARNs": [lab.arn]}
        groups.detach_load_balancer_target_groups(**named)
        assert [] == lab.group()["TargetGroupARNs"]
        lab.wait(2)
        assert (["draining"] * 4, []) == (lab.states(), lab.fake.routes(lab.arn))
        told = groups.describe_load_balancer_target_groups(AutoScalingGroupName=GROUP)["LoadBalancerTargetGroups"]
        assert [{"LoadBalancerTargetGroupARN": lab.arn, "State": "Removing"}] == told
        lab.wait(29)
        assert ["draining"] * 4 == lab.states()
        lab.wait(1)
        assert [] == lab.states()
        groups.attach_load_balancer_target_groups(**named)
        lab.wait(2)
        assert (["initial"] * 4, "Added") == (lab.states(), _joined(lab))
        lab.wait(5)
        assert (["healthy"] * 4, "InService") == (lab.states(), _joined(lab))

    def test_a_target_may_come_back_while_it_drains(self, lab: Lab) -> None:
        """It begins as initial again, and the end of the old draining does not remove it."""
        groups, named = lab.client("autoscaling"), {"AutoScalingGroupName": GROUP, "TargetGroupARNs": [lab.arn]}
        groups.detach_load_balancer_target_groups(**named)
        lab.wait(10)
        groups.attach_load_balancer_target_groups(**named)
        lab.wait(2)
        assert ["initial"] * 4 == lab.states()
        lab.wait(60)
        assert ["healthy"] * 4 == lab.states()

    def test_traffic_sources_and_target_groups_are_detached_by_their_own_calls(self) -> None:
        """A source shows in both lists; only DetachTrafficSources takes it out, and that takes both kinds."""
        lab = Lab(traffic_source=True, target_groups=2, instances=2)
        groups, shown = lab.client("autoscaling"), lab.group()
        assert (
            lab.world.target_groups
            == shown["TargetGroupARNs"]
            == [one["Identifier"] for one in shown["TrafficSources"]]
        )
        with refused("ValidationError"):
            groups.detach_load_balancer_target_groups(AutoScalingGroupName=GROUP, TargetGroupARNs=[lab.arn])
        assert [] == groups.describe_load_balancer_target_groups(AutoScalingGroupName=GROUP)["LoadBalancerTargetGroups"]
        sources = groups.describe_traffic_sources(AutoScalingGroupName=GROUP)["TrafficSources"]
        assert ["InService"] * 2 == [one["State"] for one in sources]
        groups.detach_traffic_sources(AutoScalingGroupName=GROUP, TrafficSources=[{"Identifier": lab.arn}])
        groups.attach_load_balancer_target_groups(AutoScalingGroupName=GROUP, TargetGroupARNs=[lab.arn])
        groups.detach_traffic_sources(AutoScalingGroupName=GROUP, TrafficSources=[{"Identifier": lab.arn}])
        lab.wait(40)
        assert [] == lab.states()
        with refused("ValidationError"):
            groups.attach_load_balancer_target_groups(AutoScalingGroupName=GROUP, TargetGroupARNs=[lab.arn] * 11)

    def test_thresholds(self, lab: Lab) -> None:
        """Two failures in a row make a target unhealthy, three passes in a row healthy again."""
        victim = lab.members()[0]
        lab.machines.kill(victim)
        lab.wait(10)
        assert ("healthy", None) == lab.health(victim)
        lab.wait(10)
        assert ("unhealthy", "Target.FailedHealthChecks") == lab.health(victim)
        assert victim not in lab.fake.routes(lab.arn)
        lab.world.client("autoscaling").suspend_processes(AutoScalingGroupName=GROUP)
        lab.machines.start(victim, "")
        lab.wait(20)
        assert "unhealthy" == lab.health(victim)[0]
        lab.wait(10)
        assert "healthy" == lab.health(victim)[0]

    def test_with_nobody_healthy_the_balancer_fails_open(self, lab: Lab) -> None:
        """New requests go to all that are registered, so that a site answers proves nothing."""
        lab.machines.sick("v1")
        lab.wait(30)
        assert set(lab.members()) == set(lab.fake.routes(lab.arn))

    def test_a_group_without_a_listener_is_unused(self, lab: Lab) -> None:
        """Its targets are not checked; once a listener forwards to it they begin as initial."""
        elb = lab.client("elbv2")
        arn = elb.create_target_group(Name="lonely", Protocol="HTTP", Port=80, VpcId=lab.world.vpc)["TargetGroups"][0][
            "TargetGroupArn"
        ]
        elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": one} for one in lab.members()])
        lab.wait(100)
        assert ("unused", "Target.NotInUse") == lab.health(lab.members()[0], arn)
        forward = {
            "Type": "forward",
            "ForwardConfig": {
                "TargetGroups": [{"TargetGroupArn": lab.arn, "Weight": 1}, {"TargetGroupArn": arn, "Weight": 0}]
            },
        }
        elb.modify_listener(ListenerArn=lab.world.listener, DefaultActions=[forward])
        assert "initial" == lab.health(lab.members()[0], arn)[0]
        lab.wait(31)
        assert "healthy" == lab.health(lab.members()[0], arn)[0]
        assert {lab.arn: 1, arn: 0} == lab.fake.weights(lab.world.listener)
        told = elb.describe_target_groups(TargetGroupArns=[arn])["TargetGroups"][0]
        assert [lab.world.balancer] == told["LoadBalancerArns"]

    def test_target_groups_are_told_as_moto_tells_them(self, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
        """All members and attributes, with and without a load balancer, of every kind."""
        elb, vpc = lab.client("elbv2"), lab.world.vpc
        elb.create_target_group(Name="by-ip", Protocol="TCP", Port=81, VpcId=vpc, TargetType="ip", HealthCheckPort="82")
        elb.create_target_group(Name="lambda", TargetType="lambda")

        def told() -> list[Any]:
            groups = elb.describe_target_groups()["TargetGroups"]
            arns = [one["TargetGroupArn"] for one in groups]
            of_one = elb.describe_target_groups(LoadBalancerArn=lab.world.balancer)["TargetGroups"]
            return [
                groups,
                of_one,
                *(elb.describe_target_group_attributes(TargetGroupArn=a)["Attributes"] for a in arns),
            ]

        ours = told()
        monkeypatch.setitem(lab.fake._operations, "elbv2", {})
        assert ours == told()
        assert len(ours) == 2 + 3

    def test_targets_are_refused_when_they_cannot_be(self, lab: Lab) -> None:
        """A stopped instance, one that is not registered, an unknown group by ARN or by name."""
        elb, builder = lab.client("elbv2"), [{"Id": lab.world.builder}]
        with refused("InvalidTarget"):
            elb.register_targets(TargetGroupArn=lab.arn, Targets=builder)
        with refused("InvalidTarget"):
            elb.deregister_targets(TargetGroupArn=lab.arn, Targets=builder)
        with refused("TargetGroupNotFound"):
            elb.describe_target_health(TargetGroupArn=lab.arn + "0")
        with refused("TargetGroupNotFound"):
            elb.describe_target_groups(Names=["nobody"])
        assert ("unused", "Target.NotRegistered") == lab.health(lab.world.builder)


class TestCommands:
    @staticmethod
    def send(lab: Lab, script: str, instances: list[str] | None = None, **more: Any) -> str:
        """Send a script."""
        told = lab.client("ssm").send_command(
            DocumentName="AWS-RunShellScript",
            InstanceIds=instances or [lab.members()[0]],
            Parameters={"commands": [script], **more.pop("parameters", {})},
            **more,
        )
        return str(told["Command"]["CommandId"])

    @staticmethod
    def get(lab: Lab, command: str) -> tuple[str, str, int]:
        """Status, its details, and the exit code."""
        told = lab.client("ssm").get_command_invocation(CommandId=command, InstanceId=lab.members()[0])
        return told["Status"], told["StatusDetails"], told["ResponseCode"]

    def test_a_command_is_not_there_then_in_progress_then_done(self, lab: Lab) -> None:
        """InvocationDoesNotExist just after sending, as AWS does; output and exit code in the end."""
        lab.machines.fails("false", "oh no", 3)
        good, bad = self.send(lab, "true"), self.send(lab, "false")
        with refused("InvocationDoesNotExist"):
            self.get(lab, good)
        lab.wait(1)
        assert "InProgress" == self.get(lab, good)[0]
        lab.wait(2)
        assert (("Success", "Success", 0), ("Failed", "Failed", 3)) == (self.get(lab, good), self.get(lab, bad))
        rows = lab.client("ssm").list_command_invocations(CommandId=bad, Details=True)["CommandInvocations"]
        assert [("Failed", "oh no")] == [(row["Status"], row["CommandPlugins"][0]["Output"]) for row in rows]

    def test_commands_are_listed_by_instance_and_time(self, lab: Lab) -> None:
        """Newest first; InvokedAfter leaves out the older ones."""
        first = self.send(lab, "true", Comment="one")
        lab.wait(100)
        second = self.send(lab, "true", [lab.members()[1]], Comment="two")
        ssm = lab.client("ssm")
        assert [second, first] == [one["CommandId"] for one in ssm.list_commands()["Commands"]]
        told = ssm.list_commands(Filters=[{"key": "InvokedAfter", "value": "2026-01-01T00:02:00Z"}])["Commands"]
        assert [(second, "two")] == [(one["CommandId"], one["Comment"]) for one in told]
        assert [first] == [one["CommandId"] for one in ssm.list_commands(InstanceId=lab.members()[0])["Commands"]]

    def test_commands_and_invocations_come_in_pages(self, lab: Lab) -> None:
        """Fifty, or as many as asked for, newest first, and a token to the next."""
        sent = [self.send(lab, "true", lab.members()[:1]) for _ in range(120)]
        lab.wait(5)
        ssm = lab.client("ssm")
        for operation, member in (("list_commands", "Commands"), ("list_command_invocations", "CommandInvocations")):
            page = getattr(ssm, operation)()
            assert sent[:-51:-1] == [one["CommandId"] for one in page[member]]
            short = getattr(ssm, operation)(NextToken=page["NextToken"], MaxResults=10)
            assert sent[-51:-61:-1] == [one["CommandId"] for one in short[member]]
            pages = ssm.get_paginator(operation).paginate(InstanceId=lab.members()[0])
            assert sent[::-1] == [one["CommandId"] for page in pages for one in page[member]]
            with refused("ValidationException"):
                getattr(ssm, operation)(MaxResults=51)

    def test_time_runs_out_and_commands_are_cancelled(self, lab: Lab) -> None:
        """ExecutionTimeout ends in TimedOut, CancelCommand in Cancelled, and an instance that stops never gets it."""
        lab.machines.slow("sleep", 500)
        slow = self.send(lab, "sleep 500", parameters={"executionTimeout": ["60"]})
        other = self.send(lab, "sleep 500")
        lab.wait(30)
        lab.client("ssm").cancel_command(CommandId=other)
        assert "Cancelled" == self.get(lab, other)[0]
        lab.wait(40)
        assert ("TimedOut", "ExecutionTimedOut", -1) == self.get(lab, slow)
        late = self.send(lab, "true", TimeoutSeconds=30)
        lab.world.client("ec2").stop_instances(InstanceIds=[lab.members()[0]])
        lab.wait(31)
        assert ("TimedOut", "DeliveryTimedOut") == self.get(lab, late)[:2]

    def test_only_instances_that_are_online_get_commands(self, lab: Lab) -> None:
        """InvalidInstanceId for a stopped or booting one; limits of 50 instances and 100 characters of comment."""
        with refused("InvalidInstanceId"):
            self.send(lab, "true", [lab.world.builder])
        lab.client("ec2").start_instances(InstanceIds=[lab.world.builder])
        lab.wait(54)
        with refused("InvalidInstanceId"):
            self.send(lab, "true", [lab.members()[0], lab.world.builder])
        lab.wait(1)
        self.send(lab, "true", [lab.world.builder])
        with refused("ValidationException"):
            self.send(lab, "true", Comment="x" * 101)
        with refused("ValidationException"):
            self.send(lab, "true", [f"i-{number}" for number in range(51)])

    def test_an_instance_without_an_agent_spoils_a_batch(self, lab: Lab) -> None:
        """InvalidInstanceId for all of them; DescribeInstanceInformation shows the others alone."""
        lost, *others = lab.members()
        lab.fake.faults.no_agent(lost)
        with refused("InvalidInstanceId"):
            self.send(lab, "true", [lost, *others])
        asked = [{"Key": "InstanceIds", "Values": [lost, *others]}]
        shown = lab.client("ssm").describe_instance_information(Filters=asked)["InstanceInformationList"]
        assert {one["InstanceId"] for one in shown} == set(others)
        self.send(lab, "true", others)

    def test_a_check_fails_where_the_commit_is_sick(self, lab: Lab) -> None:
        """The pretend machines tell the truth to scripts as to health checks."""
        lab.machines.sick("v1")
        command = self.send(lab, "curl -fsS localhost/healthz")
        lab.wait(3)
        assert ("Failed", 22) == self.get(lab, command)[::2]


class TestMoto:
    def test_tables_are_strict(self, lab: Lab) -> None:
        """A conditional put is refused with the item that is there."""
        db, key = lab.client("dynamodb"), {"AttributeName": "pk", "KeyType": "HASH"}
        kind = {"AttributeName": "pk", "AttributeType": "S"}
        db.create_table(TableName="table", KeySchema=[key], AttributeDefinitions=[kind], BillingMode="PAY_PER_REQUEST")
        put = {"TableName": "table", "Item": {"pk": {"S": "a"}, "n": {"N": "1"}}}
        strict = {"ConditionExpression": "attribute_not_exists(pk)", "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
        db.put_item(**put, **strict)
        with pytest.raises(ClientError) as caught:
            db.put_item(**put, **strict)
        assert "ConditionalCheckFailedException" == caught.value.response["Error"]["Code"]
        assert put["Item"] == caught.value.response["Item"]  # type: ignore[typeddict-item]
        with pytest.raises(db.exceptions.TransactionCanceledException):
            db.transact_write_items(TransactItems=[{"Put": {**put, "ConditionExpression": "attribute_not_exists(pk)"}}])
        assert ["ConditionalCheckFailedException", "TransactionCanceledException"] == [
            call.error for call in lab.fake.calls[-2:]
        ]

    def test_alarms_parameters_and_identity(self, lab: Lab) -> None:
        """What has no physics is moto's: alarms, parameters, who am I, availability zones."""
        watch, ssm = lab.client("cloudwatch"), lab.client("ssm")
        watch.put_metric_alarm(
            AlarmName="web-5xx",
            ComparisonOperator="GreaterThanThreshold",
            EvaluationPeriods=1,
            Threshold=1.0,
            MetricName="m",
            Namespace="n",
            Period=60,
            Statistic="Sum",
        )
        watch.set_alarm_state(AlarmName="web-5xx", StateValue="ALARM", StateReason="test")
        assert "ALARM" == watch.describe_alarms(AlarmNames=["web-5xx"])["MetricAlarms"][0]["StateValue"]
        ssm.put_parameter(Name="/ami/web", Value="ami-1", Type="String")
        assert "ami-1" == ssm.get_parameter(Name="/ami/web")["Parameter"]["Value"]
        assert lab.fake.account == lab.client("sts").get_caller_identity()["Account"]

    def test_two_worlds_share_nothing(self) -> None:
        """Not moto's tables, not our groups; and a world that was closed leaves nothing in moto."""
        one, two = Lab(instances=1), Lab(instances=2)
        kind = {"AttributeName": "pk", "AttributeType": "S"}
        key = {"AttributeName": "pk", "KeyType": "HASH"}
        one.client("dynamodb").create_table(
            TableName="table", KeySchema=[key], AttributeDefinitions=[kind], BillingMode="PAY_PER_REQUEST"
        )
        assert ([], 2) == (two.client("dynamodb").list_tables()["TableNames"], len(two.members()))
        assert one.fake.account != two.fake.account
        account = one.fake.account
        one.fake.close()
        assert account not in moto.backends.get_backend("dynamodb")
        assert 2 == len(two.states())


class TestFaults:
    def test_throttling_is_survived_by_retries_on_the_labs_time(self, lab: Lab) -> None:
        """boto3 retries by itself; its waiting moves the virtual clock, not ours. Codes differ by service."""
        op = "autoscaling:DescribeAutoScalingGroups"
        lab.fake.faults.throttle(op, times=2)
        before = lab.clock.now()
        lab.client("autoscaling", retries={"mode": "standard", "total_max_attempts": 4}).describe_auto_scaling_groups()
        assert ["Throttling", "Throttling", None] == [call.error for call in lab.fake.calls]
        assert [op] * 3 == [call.name for call in lab.fake.calls]
        assert lab.clock.now() > before
        lab.fake.faults.throttle("*", times=None)
        codes = {
            "ec2": "RequestLimitExceeded",
            "ssm": "ThrottlingException",
            "elbv2": "Throttling",
            "dynamodb": "ThrottlingException",
        }
        calls = {
            "ec2": "describe_images",
            "ssm": "list_commands",
            "elbv2": "describe_load_balancers",
            "dynamodb": "list_tables",
        }
        for service, code in codes.items():
            with refused(code):
                getattr(lab.client(service, retries={"total_max_attempts": 1}), calls[service])()

    def test_denials_name_the_action_and_last_until_allowed(self, lab: Lab) -> None:
        """AccessDenied, UnauthorizedOperation or AccessDeniedException, by service; others are not touched."""
        faults, groups = lab.fake.faults, lab.client("autoscaling")
        for pattern in ("autoscaling:Create*", "ec2:CreateImage", "ssm:SendCommand"):
            faults.deny(pattern)
        with refused("AccessDenied", "is not authorized to perform: autoscaling:CreateAutoScalingGroup"):
            lab.create()
        with refused("UnauthorizedOperation", "ec2:CreateImage"):
            lab.client("ec2").create_image(InstanceId=lab.world.builder, Name="web-v1")
        with refused("AccessDeniedException"):
            TestCommands.send(lab, "true")
        groups.describe_auto_scaling_groups()
        faults.allow("autoscaling:Create*")
        lab.create()

    def test_a_fault_may_wait_for_the_nth_call(self, lab: Lab) -> None:
        """`skip` lets calls pass, `times` strikes so many, and what was refused had no effect."""
        lab.fake.faults.fail("autoscaling:SetDesiredCapacity", "ScalingActivityInProgress", "busy", skip=1)
        groups = lab.client("autoscaling")
        groups.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=5)
        with refused("ScalingActivityInProgress", "busy"):
            groups.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=6)
        assert 5 == lab.group()["DesiredCapacity"]

    def test_server_errors_are_retried(self, lab: Lab) -> None:
        """A 500 has no effect, and boto3 tries again."""
        lab.fake.faults.server_error("ec2:CreateImage", times=1)
        lab.client("ec2").create_image(InstanceId=lab.world.builder, Name="web-v1")
        assert ["InternalError", None] == [call.error for call in lab.fake.calls]

    def test_a_lost_answer_has_had_its_effect(self, lab: Lab) -> None:
        """The retry finds the work done (AlreadyExists); without retries the caller sees a broken connection."""
        lab.fake.faults.lose_answer("autoscaling:CreateAutoScalingGroup")
        with refused("AlreadyExists"):
            lab.create("one")
        lab.fake.faults.lose_answer("autoscaling:SetDesiredCapacity", nth=2)
        single = lab.client("autoscaling", retries={"total_max_attempts": 1})
        single.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=5)
        with pytest.raises(ConnectionClosedError):
            single.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=6)
        assert (6, "LostAnswer") == (lab.group()["DesiredCapacity"], lab.fake.calls[-1].error)

    def test_a_call_that_is_swallowed_has_no_effect_and_no_answer(self, lab: Lab) -> None:
        """The client waits as long as it was told to, and boto3 sends it again."""
        lab.fake.faults.swallow("autoscaling:SetDesiredCapacity", times=2)
        patient = lab.client("autoscaling", read_timeout=8, retries={"mode": "standard", "total_max_attempts": 2})
        began = lab.clock.now()
        with pytest.raises(ReadTimeoutError):
            patient.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=5)
        assert 16 <= lab.clock.now() - began < 17
        assert 4 == lab.group()["DesiredCapacity"]
        assert ["Swallowed", "Swallowed"] == [call.error for call in lab.fake.calls]

    def test_a_page_of_html_breaks_a_call_off(self, lab: Lab) -> None:
        """Where XML is due boto3 cannot parse it and does not try again; where JSON is due it is a 500."""
        lab.fake.faults.page("autoscaling:SetDesiredCapacity")
        with pytest.raises(ResponseParserError):
            lab.client("autoscaling").set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=5)
        assert lab.group()["DesiredCapacity"] == 4
        lab.fake.faults.page("ssm:SendCommand", times=3)
        with refused("500"):
            lab.client("ssm").send_command(InstanceIds=[lab.world.builder], DocumentName="AWS-RunShellScript")

    @pytest.mark.parametrize(("when", "there"), [("before", False), ("after", True)])
    @pytest.mark.parametrize("call", [2, "autoscaling:CreateAutoScalingGroup"])
    def test_a_crash_at_a_call(self, lab: Lab, call: int | str, when: Any, there: bool) -> None:
        """It strikes at that very call, before or after its effect, and no `except Exception` survives it."""
        lab.fake.faults.crash(call, when)
        lab.group()
        lab.client("autoscaling").describe_auto_scaling_groups()
        with pytest.raises(Crashed):
            lab.create()
        assert there == ("green" in [one["AutoScalingGroupName"] for one in _groups(lab)])
        assert "Crashed" == lab.fake.calls[1].error

    def test_stale_reads_show_what_was(self, lab: Lab) -> None:
        """What was made is not shown for so long, though it is there; then it is shown."""
        lab.fake.faults.stale(10)
        lab.create(DesiredCapacity=0)
        image = lab.client("ec2").create_image(InstanceId=lab.world.builder, Name="web-v1")["ImageId"]
        groups = lab.client("autoscaling")
        asked = {"AutoScalingGroupNames": ["green"]}
        assert [] == groups.describe_auto_scaling_groups(**asked)["AutoScalingGroups"]
        with refused("InvalidAMIID.NotFound"):
            lab.client("ec2").describe_images(ImageIds=[image])
        with refused("AlreadyExists"):
            lab.create()
        lab.wait(9)
        assert [] == groups.describe_auto_scaling_groups(**asked)["AutoScalingGroups"]
        lab.wait(1)
        assert 1 == len(groups.describe_auto_scaling_groups(**asked)["AutoScalingGroups"])
        lab.client("ec2").describe_images(ImageIds=[image])

    def test_stale_reads_follow_events_too(self, lab: Lab) -> None:
        """Targets are shown as healthy for a while after they were taken out; looks inside tell the truth."""
        lab.fake.faults.stale(10)
        named = {"AutoScalingGroupName": GROUP, "TargetGroupARNs": [lab.arn]}
        lab.client("autoscaling").detach_load_balancer_target_groups(**named)
        lab.wait(8)
        assert ("healthy", ["draining"] * 4) == (lab.health(lab.members()[0])[0], lab.states())
        lab.wait(4)
        assert "draining" == lab.health(lab.members()[0])[0]

    def test_some_never_boot(self, lab: Lab) -> None:
        """They run, and never answer: by group, so many of them."""
        lab.fake.faults.never_boots("green", times=1)
        lab.create(TargetGroupARNs=[lab.arn])
        lab.wait(300)
        states = [lab.health(one)[0] for one in lab.members("green")]
        assert ["healthy", "unhealthy"] == sorted(states)
        assert {"running"} == {lab.fake.instances()[one] for one in lab.members("green")}

    def test_clear_makes_all_well(self, lab: Lab) -> None:
        """After it nothing strikes."""
        faults = lab.fake.faults
        faults.deny("*")
        faults.stale(100)
        faults.crash(1)
        faults.no_capacity()
        faults.clear()
        lab.create()
        lab.wait(20)
        assert 2 == len(lab.group("green")["Instances"])


class TestWaysIn:
    def test_calls_are_recorded_with_who_changes_what(self, lab: Lab) -> None:
        """Service, operation, time, whether it changes something; somebody else's session is not recorded."""
        lab.world.client("ec2").describe_images()
        lab.group()
        lab.client("ec2").describe_images()
        lab.wait(5)
        with refused("ValidationError"):
            lab.client("autoscaling").delete_auto_scaling_group(AutoScalingGroupName="nobody")
        first, second = lab.fake.calls
        assert ("ec2:DescribeImages", False, None) == (first.name, first.mutating, first.error)
        assert ("autoscaling:DeleteAutoScalingGroup", True, "ValidationError") == (
            second.name,
            second.mutating,
            second.error,
        )
        assert (lab.fake.region, 5) == (first.region, second.when - first.when)

    def test_it_survives_a_fork(self, lab: Lab) -> None:
        """A child goes on from the parent's state by itself, and the parent does not see what it does."""
        lab.create()
        child = os.fork()
        if not child:
            code = 1
            try:
                lab.wait(20)
                lab.client("autoscaling").set_desired_capacity(AutoScalingGroupName="green", DesiredCapacity=5)
                lab.wait(20)
                code = 0 if len(lab.members("green")) == 5 else 2
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        assert 0 == os.waitstatus_to_exitcode(status)
        assert [] == lab.members("green")
        lab.wait(20)
        assert 2 == len(lab.members("green"))

    def test_the_fast_serialiser_says_what_motos_says(self, lab: Lab) -> None:
        """Answers read back as boto3 reads them are the same, whichever serialiser wrote them."""
        checked = 0
        for service, operation in (("autoscaling", "DescribeAutoScalingGroups"), ("ec2", "DescribeInstances")):
            request = incoming("POST", "https://x/", {}, b"Action=" + operation.encode(), service, "")
            result = lab.fake._operations[service][operation]({})
            model = _model(service, operation)
            from botocore.parsers import create_parser

            parser = create_parser(model.service_model.protocol)
            ours, theirs = (
                parser.parse({"body": one.body, "headers": {}, "status_code": 200}, model.output_shape)
                for one in (serialise(request, result), _json(model, model.service_model.protocol, request, result))
            )
            for one in (ours, theirs):
                one.pop("ResponseMetadata")
            assert theirs == ours
            checked += len(str(ours))
        assert checked > 5000

    def test_by_http_with_the_real_clock(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Any client with AWS_ENDPOINT_URL reaches the state; time moves by itself; a lost answer cuts the line."""
        fake = FakeAws(RealClock(), timings=replace(Timings.quick(), boot=0.3, launch=0.1, image=0.3))
        try:
            world = World.standard(fake, instances=1, health={"HealthCheckIntervalSeconds": 5}, drain=0)
            monkeypatch.setenv("AWS_ENDPOINT_URL", fake.serve(tick=0.05))
            outside = boto3.Session("LAB", "lab", region_name=fake.region)
            groups = outside.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
            assert [GROUP] == [one["AutoScalingGroupName"] for one in groups]
            assert [world.balancer] == [
                one["LoadBalancerArn"] for one in outside.client("elbv2").describe_load_balancers()["LoadBalancers"]
            ]
            assert fake.account == outside.client("sts").get_caller_identity()["Account"]
            assert [] == outside.client("cloudwatch").describe_alarms()["MetricAlarms"]
            assert [] == outside.client("dynamodb").list_tables()["TableNames"]
            with refused("ValidationError"):
                outside.client("autoscaling").delete_auto_scaling_group(AutoScalingGroupName="nobody")
            state = fake.engine.state
            eventually(lambda: state.instances[world.builder].state == "stopped", 30)
            image = outside.client("ec2").create_image(InstanceId=world.builder, Name="web-v1")["ImageId"]
            eventually(lambda: state.images[image].state == "available", 30)  # nobody asked: the ticker did it
            fake.faults.lose_answer("ec2:DescribeImages")
            with pytest.raises(ConnectionClosedError):
                outside.client("ec2", config=Config(retries={"total_max_attempts": 1})).describe_images()
            fake.faults.swallow("ec2:DescribeImages")
            hasty = Config(read_timeout=0.2, retries={"total_max_attempts": 1})
            with pytest.raises(ReadTimeoutError):
                outside.client("ec2", config=hasty).describe_images()
        finally:
            fake.close()

    def test_answers_bear_the_labs_time(self) -> None:
        """In this process and by HTTP, as AWS's bear its own (HTTP, Date), in whole seconds."""
        fake = FakeAws(VirtualClock(1_700_000_000.7))
        try:
            here = fake.session(recorded=False).client("sts")
            there = boto3.Session("LAB", "lab", region_name=fake.region).client("sts", endpoint_url=fake.serve())
            for client in (here, there):
                headers = client.get_caller_identity()["ResponseMetadata"]["HTTPHeaders"]
                assert headers["date"] == "Tue, 14 Nov 2023 22:13:20 GMT"
        finally:
            fake.close()

    def test_a_slow_health_check_holds_up_nobody(self) -> None:
        """While a machine takes its time to answer its check, requests by HTTP are answered."""
        clock = RealClock()
        machines = FakeMachines(clock)
        fake = FakeAws(clock, machines, Timings.quick())
        try:
            World.standard(fake, instances=1, health={"HealthCheckIntervalSeconds": 5}, drain=0)
            asked, may_answer = threading.Event(), threading.Event()

            def answers(instance_id: str, path: str) -> bool:
                asked.set()
                return may_answer.wait(60)

            machines.answers = answers  # type: ignore[method-assign]
            fake.serve(tick=0.02)
            assert asked.wait(60)
            outside = boto3.Session("LAB", "lab", region_name=fake.region)
            ec2 = outside.client("ec2", endpoint_url=fake.serve(), config=Config(read_timeout=30))
            assert "Images" in ec2.describe_images()
            assert not may_answer.is_set()
        finally:
            may_answer.set()
            fake.close()

    def test_addresses_are_those_of_the_machines(self, lab: Lab) -> None:
        """Machines that have addresses tell them; else the private one is shown."""
        one = lab.members()[0]
        state: FakeInstance = lab.fake.engine.state.instances[one]
        assert f"http://{state.address}" == lab.fake.addresses[one]
        lab.machines.address = lambda instance: f"http://127.0.0.1/{instance}"  # type: ignore[attr-defined]
        assert f"http://127.0.0.1/{one}" == lab.fake.addresses[one]


def _groups(lab: Lab) -> list[Any]:
    found: list[Any] = lab.world.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    return found


def _joined(lab: Lab) -> str:
    told = lab.client("autoscaling").describe_load_balancer_target_groups(AutoScalingGroupName=GROUP)
    return str(told["LoadBalancerTargetGroups"][0]["State"])


def _without_name(spec: dict[str, str]) -> dict[str, str]:
    assert "web-template" == spec["LaunchTemplateName"]
    return {key: value for key, value in spec.items() if key != "LaunchTemplateName"}


def test_descriptions_of_services_are_read_once() -> None:
    """Each session would parse megabytes anew: half of the time in which a lab begins."""
    loaders = [boto3.Session()._session.get_component("data_loader") for _ in range(2)]
    first, second = (loader.load_service_model("ec2", "service-2")["operations"] for loader in loaders)
    assert first is second


def test_latest_means_the_newest_version_that_still_exists() -> None:
    """After the newest is deleted, $Latest is the one before it, and its number is not given again."""
    world = World.standard(FakeAws(VirtualClock()), instances=1)
    ec2 = world.client("ec2")

    def make() -> int:
        made = ec2.create_launch_template_version(
            LaunchTemplateId=world.template, SourceVersion="1", LaunchTemplateData={"InstanceType": "t3.large"}
        )
        return int(made["LaunchTemplateVersion"]["VersionNumber"])

    assert make() == 2
    ec2.delete_launch_template_versions(LaunchTemplateId=world.template, Versions=["2"])
    shown = ec2.describe_launch_template_versions(LaunchTemplateId=world.template, Versions=["$Latest"])
    assert [v["VersionNumber"] for v in shown["LaunchTemplateVersions"]] == [1]
    assert make() == 3
