"""EC2 as far as a release touches it: instances, images, snapshots, launch templates and their tags.

instance  pending --launch--> running --stop--> stopping -> stopped; shutting-down -> terminated, gone an hour later
machine   on `boot` seconds after the start, independent of EC2's state
image     pending --image--> available | failed
"""

from __future__ import annotations

import base64
import copy
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from lab.aws.direct import Params
from lab.aws.engine import FakeImage, FakeInstance, FakeTemplate, Timeline, Version, matches, page, tag_list, tag_values
from lab.aws.wire import ErrorAnswer

IMAGE_NAME = re.compile(r"[a-zA-Z0-9()\[\] ./\-'@_]{3,128}")
GONE_AFTER = 3600
"""Seconds for which a terminated instance is still shown; AWS says "a short while, usually less than an hour"."""
ROOT = "/dev/xvda"
STATE_CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}
MISSING = {
    "i": ("InvalidInstanceID.NotFound", "The instance ID '{}' does not exist"),
    "ami": ("InvalidAMIID.NotFound", "The image id '[{}]' does not exist"),
    "snap": ("InvalidSnapshot.NotFound", "The snapshot '{}' does not exist."),
    "lt": ("InvalidLaunchTemplateId.NotFound", "The specified launch template, with template ID {}, does not exist."),
}
KINDS = {"i": "instance", "ami": "image", "snap": "snapshot", "lt": "launch-template"}

Handler = Callable[[Params], Params]


class ElsewhereError(Exception):
    """Not ours: moto shall answer."""


class Ec2:
    """The EC2 service."""

    def __init__(self, engine: Timeline, subnets: Callable[[], dict[str, str]], account: str) -> None:
        """Work on the engine's state; `subnets` tells the zone of each subnet there is."""
        self.engine, self.subnets, self._account = engine, subnets, account
        self.on_change: list[Callable[[FakeInstance], None]] = []

    def operations(self) -> dict[str, Handler]:
        """What of EC2 is answered here; everything else is moto's."""
        return {
            "RunInstances": self.run_instances,
            "StartInstances": self.start_instances,
            "StopInstances": self.stop_instances,
            "RebootInstances": self.reboot_instances,
            "TerminateInstances": self.terminate_instances,
            "DescribeInstances": self.describe_instances,
            "DescribeInstanceStatus": self.describe_instance_status,
            "DescribeVolumes": self.describe_volumes,
            "CreateImage": self.create_image,
            "RegisterImage": self.register_image,
            "DescribeImages": self.describe_images,
            "DescribeImageAttribute": self.describe_image_attribute,
            "ModifyImageAttribute": self.modify_image_attribute,
            "DeregisterImage": self.deregister_image,
            "DescribeSnapshots": self.describe_snapshots,
            "DeleteSnapshot": self.delete_snapshot,
            "CreateTags": self.create_tags,
            "DeleteTags": self.delete_tags,
            "DescribeTags": self.describe_tags,
        }

    # -- instances ---------------------------------------------------------------------------------------------------

    def run_instances(self, params: Params) -> Params:
        """Launch instances by hand."""
        launch = {key: value for key, value in params.items() if key not in ("MinCount", "MaxCount")}
        tags = _specified(params, "instance")
        made = [self.launch(launch, params.get("SubnetId"), tags) for _ in range(int(params["MaxCount"]))]
        return {"ReservationId": "r-1", "OwnerId": "", "Instances": [self.show(instance) for instance in made]}

    def launch(self, launch: Params, subnet: str | None, tags: dict[str, str], group: str = "") -> FakeInstance:
        """Make one instance and switch it on. AwsError: the image or the subnet cannot be used."""
        image = self.usable(str(launch.get("ImageId", "")))
        if self._root_size(launch, image) < image.size:
            text = f"Volume of size {self._root_size(launch, image)}GB is smaller than snapshot '{image.snapshot}'"
            raise ErrorAnswer("InvalidBlockDeviceMapping", f"{text}, expect size >= {image.size}GB")
        subnets = self.subnets()
        subnet = subnet or next(iter(subnets))
        if subnet not in subnets:
            raise ErrorAnswer("InvalidSubnetID.NotFound", f"The subnet ID '{subnet}' does not exist")
        new = self.engine.new_id("i")
        number = int(new.removeprefix("i-"), 16)
        address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        instance = FakeInstance(new, self.engine.now, {**launch, "ImageId": image.id}, subnet, subnets[subnet], address)
        self.engine.state.instances[new] = instance
        self._tag([new], tags)
        self._switch_on(instance, group)
        return instance

    def usable(self, image_id: str) -> FakeImage:
        """The image, if instances can be launched from it now."""
        image = self.engine.state.images.get(image_id)
        if image is None:
            raise missing(image_id or "ami-")
        if image.state != "available":
            raise ErrorAnswer("InvalidAMIID.Unavailable", f"The image ID '{image_id}' is not available")
        return image

    def start_instances(self, params: Params) -> Params:
        """Start stopped instances. IncorrectInstanceState while they are stopping; running ones stay as they are."""
        found = self._instances(params)
        for instance in found:
            if instance.state not in ("stopped", "running", "pending"):
                raise _wrong_state(instance, "started")
        return self._changed(found, "StartingInstances", lambda i: self._switch_on(i) if i.state == "stopped" else None)

    def stop_instances(self, params: Params) -> Params:
        """Stop running instances; stopped ones stay as they are."""
        found = self._instances(params)
        for instance in found:
            if instance.state in ("shutting-down", "terminated"):
                raise _wrong_state(instance, "stopped")
        return self._changed(found, "StoppingInstances", self._switch_off)

    def reboot_instances(self, params: Params) -> Params:
        """Off and on again, which EC2 shows as `running` all the while."""
        for instance in self._instances(params):
            self.engine.machines.stop(instance.id)
            instance.start += 1
            self._unplug(instance)
            self.engine.after(self.engine.timings.boot, self._boot, instance.id, instance.start)
        return {}

    def terminate_instances(self, params: Params) -> Params:
        """Terminate instances, of any owner."""
        return self._changed(self._instances(params), "TerminatingInstances", lambda i: self.terminate(i.id))

    def terminate(self, instance_id: str, why: str = "Client.UserInitiatedShutdown: User initiated shutdown") -> None:
        """Terminate one instance; nothing happens if it is on its way out."""
        instance = self.engine.state.instances.get(instance_id)
        if instance is None or instance.state in ("shutting-down", "terminated"):
            return
        instance.start += 1
        self._unplug(instance)
        self.engine.machines.terminate(instance_id)
        self._become(instance, "shutting-down", why)
        self.engine.after(self.engine.timings.terminate, self._terminated, instance_id)

    def describe_instances(self, params: Params) -> Params:
        """One reservation each."""
        found = [i for i in self._instances(params) if matches(params.get("Filters"), self._values, i)]
        shown, more = page(found, params, "MaxResults", 1000)
        owner = {"ReservationId": "r-1", "OwnerId": ""}
        return {"Reservations": [{**owner, "Instances": [self.show(instance)]} for instance in shown], **more}

    def describe_volumes(self, params: Params) -> Params:
        """The root volume of each instance; a filter of any other kind than by instance is not known."""
        rows = [self._volume(one) for one in self.engine.state.instances.values() if one.state != "terminated"]
        found = [row for row in rows if matches(params.get("Filters"), _volume_values, row)]
        shown, more = page(found, params, "MaxResults", 500)
        return {"Volumes": shown, **more}

    def _volume(self, instance: FakeInstance) -> Params:
        attached = {"InstanceId": instance.id, "Device": ROOT, "State": "attached", "DeleteOnTermination": True}
        volume = f"vol-{instance.id.removeprefix('i-')}"
        size = self._root_size(instance.launch, self.engine.state.images.get(instance.image))
        shown: Params = {"VolumeId": volume, "Size": size, "State": "in-use", "Attachments": [attached]}
        key = self._root_disk(instance.launch).get("KmsKeyId")
        return {**shown, "Encrypted": bool(key), **({"KmsKeyId": key} if key else {})}

    def _root_size(self, launch: Params, image: FakeImage | None) -> int:
        """GiB: what the launch says of the root volume, else what the image's snapshot takes."""
        return int(self._root_disk(launch).get("VolumeSize") or (image.size if image else 8))

    def _root_disk(self, launch: Params) -> Params:
        """What the launch says of the root volume."""
        disks = (one.get("Ebs", {}) for one in launch.get("BlockDeviceMappings") or [] if one["DeviceName"] == ROOT)
        return next(disks, {})

    def describe_instance_status(self, params: Params) -> Params:
        """Status checks: initializing until the machine is on."""
        found = [i for i in self._instances(params) if i.state == "running" or params.get("IncludeAllInstances")]
        return {"InstanceStatuses": [_status(instance) for instance in found]}

    def show(self, instance: FakeInstance) -> Params:
        """As DescribeInstances shows it."""
        launch = instance.launch
        return {
            "InstanceId": instance.id,
            "ImageId": instance.image,
            "InstanceType": launch.get("InstanceType", "t3.micro"),
            "KeyName": launch.get("KeyName"),
            "LaunchTime": instance.launched,
            "State": _state(instance.state),
            "StateTransitionReason": instance.reason,
            "Placement": {"AvailabilityZone": instance.zone, "Tenancy": "default"},
            "SubnetId": instance.subnet,
            "PrivateIpAddress": instance.address,
            "PrivateDnsName": f"ip-{instance.address.replace('.', '-')}.internal",
            "SecurityGroups": [{"GroupId": group, "GroupName": group} for group in launch.get("SecurityGroupIds", [])],
            "Architecture": "x86_64",
            "RootDeviceName": "/dev/xvda",
            "RootDeviceType": "ebs",
            "CpuOptions": _cpus(str(launch.get("InstanceType", "t3.micro"))),
            "InstanceLifecycle": launch.get("InstanceMarketOptions", {}).get("MarketType"),
            "IamInstanceProfile": self._profile(launch.get("IamInstanceProfile")),
            "Tags": tag_list(self.engine.state.tags.get(instance.id, {})),
        }

    def _profile(self, given: Params | None) -> Params | None:
        """As it is shown, whichever way it was given."""
        if not given:
            return None
        name = given.get("Name") or given["Arn"].rpartition("/")[2]
        return {"Arn": given.get("Arn") or f"arn:aws:iam::{self._account}:instance-profile/{name}", "Id": "AIPALAB"}

    def _values(self, instance: FakeInstance, name: str) -> list[str] | None:
        tags = tag_values(name, self.engine.state.tags.get(instance.id, {}))
        if tags is not None:
            return tags
        known = {
            "instance-id": instance.id,
            "instance-state-name": instance.state,
            "image-id": instance.image,
            "subnet-id": instance.subnet,
            "availability-zone": instance.zone,
            "private-ip-address": instance.address,
            "instance-type": str(instance.launch.get("InstanceType", "t3.micro")),
        }
        return [known[name]] if name in known else None

    def _instances(self, params: Params) -> list[FakeInstance]:
        have = self.engine.state.instances
        return [have[i] for i in _known(params.get("InstanceIds"), have)]

    def _changed(self, found: list[FakeInstance], key: str, change: Callable[[FakeInstance], None]) -> Params:
        before = [(instance, instance.state) for instance in found]
        for instance in found:
            change(instance)
        return {key: [_transition(instance, was) for instance, was in before]}

    def _switch_on(self, instance: FakeInstance, group: str = "") -> None:
        instance.start += 1
        self._become(instance, "pending", "")
        self.engine.after(self.engine.timings.launch, self._running, instance.id, instance.start)
        if not self.engine.faults.boot_failure(instance.id, instance.image, group or instance.id):
            self.engine.after(self.engine.timings.boot, self._boot, instance.id, instance.start)

    def _switch_off(self, instance: FakeInstance) -> None:
        if instance.state in ("stopping", "stopped"):
            return
        instance.start += 1
        self._unplug(instance)
        self.engine.machines.stop(instance.id)
        self._become(instance, "stopping", "User initiated")
        self.engine.after(self.engine.timings.stop, self._stopped, instance.id, instance.start)

    def _unplug(self, instance: FakeInstance) -> None:
        """Whoever was online is remembered by SSM."""
        up = instance.booted is not None and self.engine.now >= instance.booted + self.engine.timings.ssm
        if up and not self.engine.faults.agent_failure(instance.id):
            instance.heard = self.engine.now
        instance.booted = None

    def _running(self, instance_id: str, start: int) -> None:
        if instance := self._still(instance_id, start):
            self._become(instance, "running", "")

    def _boot(self, instance_id: str, start: int) -> None:
        if instance := self._still(instance_id, start):
            instance.booted = self.engine.now
            self.engine.machines.start(instance_id, instance.image)
            if instance.start == 1 and _ends_itself(instance.launch):  # cloud-init runs user data once
                self._switch_off(instance)

    def _stopped(self, instance_id: str, start: int) -> None:
        if instance := self._still(instance_id, start):
            self._become(instance, "stopped", "User initiated")

    def _terminated(self, instance_id: str) -> None:
        instance = self.engine.state.instances[instance_id]
        self._become(instance, "terminated", instance.reason)
        self.engine.after(GONE_AFTER, self._gone, instance_id)

    def _gone(self, instance_id: str) -> None:
        self.engine.state.instances.pop(instance_id)
        self.engine.state.tags.pop(instance_id, None)

    def _still(self, instance_id: str, start: int) -> FakeInstance | None:
        """The instance, if nobody has stopped, started or terminated it since."""
        instance = self.engine.state.instances.get(instance_id)
        return instance if instance and instance.start == start else None

    def _become(self, instance: FakeInstance, state: str, reason: str) -> None:
        instance.state, instance.reason = state, reason
        for told in self.on_change:
            told(instance)

    # -- images and snapshots ----------------------------------------------------------------------------------------

    def create_image(self, params: Params) -> Params:
        """Freeze an instance's disk now; the image is available later. Names are unique, also among failed images."""
        instance = self._instances({"InstanceIds": [params["InstanceId"]]})[0]
        if instance.state not in ("running", "stopped"):
            raise ErrorAnswer("IncorrectState", f"The instance '{instance.id}' is in state '{instance.state}'")
        image = self._new_image(params, instance.id)
        image.size = self._root_size(instance.launch, self.engine.state.images.get(instance.image))
        self.engine.machines.freeze(instance.id, image.id)
        self.engine.after(self.engine.timings.image, self._finish_image, image.id)
        return {"ImageId": image.id}

    def register_image(self, params: Params) -> Params:
        """An image made outside of the lab: available at once, with the disk that every service begins with."""
        image = self._new_image(params, None)
        image.state = "available"
        return {"ImageId": image.id}

    def describe_images(self, params: Params) -> Params:
        """Images, all of which are our own."""
        have = self.engine.state.images
        found = [have[i] for i in _known(params.get("ImageIds"), have)]
        found = [i for i in found if matches(params.get("Filters"), self._image_values, i)]
        shown, more = page(found, params, "MaxResults", 1000)
        return {"Images": [self._show_image(image) for image in shown], **more}

    def describe_image_attribute(self, params: Params) -> Params:
        """Who else may launch an image; no other attribute is known."""
        image = self._image(params["ImageId"])
        if params["Attribute"] != "launchPermission":
            raise ErrorAnswer("InvalidParameterValue", f"The lab does not know the attribute {params['Attribute']}")
        return {"ImageId": image.id, "LaunchPermissions": image.shared}

    def modify_image_attribute(self, params: Params) -> Params:
        """Share an image with other accounts, or no longer."""
        image, change = self._image(params["ImageId"]), params["LaunchPermission"]
        gone = change.get("Remove") or []
        image.shared = [one for one in [*image.shared, *(change.get("Add") or [])] if one not in gone]
        return {}

    def deregister_image(self, params: Params) -> Params:
        """Drop an image, and its snapshots if asked to; instances that run from it go on."""
        image = self._image(params["ImageId"])
        del self.engine.state.images[image.id]
        self.engine.state.tags.pop(image.id, None)
        self.engine.machines.forget(image.id)
        if not params.get("DeleteAssociatedSnapshots"):
            return {"Return": True}
        self._drop_snapshot(image.snapshot)
        return {"Return": True, "DeleteSnapshotResults": [{"SnapshotId": image.snapshot, "ReturnCode": "success"}]}

    def describe_snapshots(self, params: Params) -> Params:
        """Snapshots, all of which are our own."""
        have = self.engine.state.snapshots
        found = [have[i] for i in _known(params.get("SnapshotIds"), have)]
        found = [s for s in found if matches(params.get("Filters"), self._snapshot_values, s)]
        shown, more = page(found, params, "MaxResults", 1000)
        tags = self.engine.state.tags
        made = [{**s, **self._copied(s), "Tags": tag_list(tags.get(s["SnapshotId"], {}))} for s in shown]
        return {"Snapshots": made, **more}

    def _copied(self, snapshot: Params) -> Params:
        """How much of it is copied: all of it once its image is available."""
        image = next((i for i in self.engine.state.images.values() if i.snapshot == snapshot["SnapshotId"]), None)
        if image is None or image.state != "pending":
            return {}
        part = min(0.99, (self.engine.now - image.made) / max(1, self.engine.timings.image))
        return {"State": "pending", "Progress": f"{int(100 * part)}%"}

    def delete_snapshot(self, params: Params) -> Params:
        """Drop a snapshot. InvalidSnapshot.InUse while an image stands on it."""
        snapshot = params["SnapshotId"]
        if snapshot not in self.engine.state.snapshots:
            raise missing(snapshot)
        if user := next((i.id for i in self.engine.state.images.values() if i.snapshot == snapshot), None):
            raise ErrorAnswer("InvalidSnapshot.InUse", f"The snapshot {snapshot} is currently in use by {user}")
        self._drop_snapshot(snapshot)
        return {}

    def _new_image(self, params: Params, source: str | None) -> FakeImage:
        name = str(params["Name"])
        if not IMAGE_NAME.fullmatch(name):
            text = "AMI names must be between 3 and 128 characters long, and may contain letters, numbers, '(', ')', "
            raise ErrorAnswer("InvalidAMIName.Malformed", f"{text}'.', '-', '/' and '_'")
        if taken := next((i.id for i in self.engine.state.images.values() if i.name == name), None):
            raise ErrorAnswer("InvalidAMIName.Duplicate", f"AMI name {name} is already in use by AMI {taken}")
        snapshot = self._new_snapshot(source)
        image = FakeImage(self.engine.new_id("ami"), name, self.engine.now, source, snapshot)
        image.description = params.get("Description") or ""
        self.engine.state.images[image.id] = image
        self._tag([image.id], _specified(params, "image"))
        self._tag([snapshot], _specified(params, "snapshot"))
        return image

    def _new_snapshot(self, source: str | None) -> str:
        snapshot = self.engine.new_id("snap")
        self.engine.state.snapshots[snapshot] = {
            "SnapshotId": snapshot,
            "State": "completed",
            "StartTime": self.engine.now,
            "VolumeSize": 8,
            "Description": f"Created by CreateImage({source})",
            "Progress": "100%",
        }
        return snapshot

    def _drop_snapshot(self, snapshot: str) -> None:
        self.engine.state.snapshots.pop(snapshot, None)
        self.engine.state.tags.pop(snapshot, None)

    def _finish_image(self, image_id: str) -> None:
        image = self.engine.state.images.get(image_id)
        if image is None:
            return
        reason = self.engine.faults.image_failure()
        image.state, image.reason = ("failed", reason) if reason else ("available", "")

    def _image(self, image_id: str) -> FakeImage:
        if image_id not in self.engine.state.images:
            raise missing(image_id)
        return self.engine.state.images[image_id]

    def _show_image(self, image: FakeImage) -> Params:
        disk = {
            "SnapshotId": image.snapshot,
            "VolumeSize": image.size,
            "VolumeType": "gp3",
            "DeleteOnTermination": True,
        }
        reason = {"StateReason": {"Code": image.reason, "Message": image.reason}} if image.reason else {}
        return {
            "ImageId": image.id,
            "Name": image.name,
            "Description": image.description,
            "State": image.state,
            "CreationDate": _iso(image.made),
            "SourceInstanceId": image.source,
            "Architecture": "x86_64",
            "ImageType": "machine",
            "RootDeviceName": "/dev/xvda",
            "RootDeviceType": "ebs",
            "VirtualizationType": "hvm",
            "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": disk}],
            "Tags": tag_list(self.engine.state.tags.get(image.id, {})),
            **reason,
        }

    def _image_values(self, image: FakeImage, name: str) -> list[str] | None:
        tags = tag_values(name, self.engine.state.tags.get(image.id, {}))
        known = {"image-id": image.id, "name": image.name, "state": image.state, "architecture": "x86_64"}
        known |= {"source-instance-id": image.source or "", "block-device-mapping.snapshot-id": image.snapshot}
        return tags if tags is not None else [known[name]] if name in known else None

    def _snapshot_values(self, snapshot: Params, name: str) -> list[str] | None:
        tags = tag_values(name, self.engine.state.tags.get(snapshot["SnapshotId"], {}))
        known = {"snapshot-id": snapshot["SnapshotId"], "status": snapshot["State"]}
        return tags if tags is not None else [known[name]] if name in known else None

    # -- tags --------------------------------------------------------------------------------------------------------

    def create_tags(self, params: Params) -> Params:
        """Tag resources; those that are not ours are left to moto."""
        self._all_ours(params["Resources"])
        self._tag(params["Resources"], {tag["Key"]: tag.get("Value", "") for tag in params["Tags"]})
        return {}

    def delete_tags(self, params: Params) -> Params:
        """Remove tags: all, or those with the keys given; with a value given, only if it is that."""
        self._all_ours(params["Resources"])
        for resource in params["Resources"]:
            tags = self.engine.state.tags.get(resource, {})
            wanted = params.get("Tags") or [{"Key": key} for key in tags]
            for tag in wanted:
                if tags.get(tag["Key"]) == tag.get("Value", tags.get(tag["Key"])):
                    tags.pop(tag["Key"], None)
        return {}

    def describe_tags(self, params: Params) -> Params:
        """Tags of our own resources."""
        rows = [
            {"ResourceId": resource, "ResourceType": KINDS[_prefix(resource)], "Key": key, "Value": value}
            for resource, tags in sorted(self.engine.state.tags.items())
            for key, value in sorted(tags.items())
        ]
        found = [row for row in rows if matches(params.get("Filters"), _tag_row, row)]
        shown, more = page(found, params, "MaxResults", 1000)
        return {"Tags": shown, **more}

    def _all_ours(self, resources: Iterable[str]) -> None:
        state = self.engine.state
        homes: dict[str, Any] = {"i": state.instances, "ami": state.images, "snap": state.snapshots}
        homes["lt"] = state.templates
        for resource in resources:
            if (home := homes.get(_prefix(resource))) is None:
                raise ElsewhereError
            if resource not in home:
                raise missing(resource)

    def _tag(self, resources: Iterable[str], tags: dict[str, str]) -> None:
        for resource in resources:
            self.engine.state.tags.setdefault(resource, {}).update(tags)


class Templates:
    """Launch templates."""

    def __init__(self, engine: Timeline) -> None:
        """Work on the engine's state."""
        self.engine = engine

    def operations(self) -> dict[str, Handler]:
        """What is answered here."""
        return {
            "CreateLaunchTemplate": self.create,
            "CreateLaunchTemplateVersion": self.create_version,
            "DescribeLaunchTemplates": self.describe,
            "DescribeLaunchTemplateVersions": self.describe_versions,
            "ModifyLaunchTemplate": self.modify,
            "DeleteLaunchTemplate": self.delete,
            "DeleteLaunchTemplateVersions": self.delete_versions,
        }

    def create(self, params: Params) -> Params:
        """A template with its version 1."""
        name = params["LaunchTemplateName"]
        if any(template.name == name for template in self.engine.state.templates.values()):
            text = "Launch template name already in use."
            raise ErrorAnswer("InvalidLaunchTemplateName.AlreadyExistsException", text)
        template = FakeTemplate(self.engine.new_id("lt"), name, self.engine.now)
        self.engine.state.templates[template.id] = template
        self.engine.state.tags[template.id] = _specified(params, "launch-template")
        self._add(template, params["LaunchTemplateData"], params.get("VersionDescription"))
        return {"LaunchTemplate": self._show(template)}

    def create_version(self, params: Params) -> Params:
        """A version: what is given over what the source version has; the same token makes it once.

        As botocore's model says, snapshots of the source's block devices are not inherited.
        """
        template = self.find(params)
        token = params.get("ClientToken")
        said = {key: value for key, value in params.items() if key != "ClientToken"}
        if token in template.tokens:
            before, number = template.tokens[token]
            if before != said:
                raise ErrorAnswer("IdempotentParameterMismatch", "Client token already used before.")
            return {"LaunchTemplateVersion": self._show_version(template, template.versions[number])}
        data = {**self._inherited(template, params.get("SourceVersion")), **params["LaunchTemplateData"]}
        version = self._add(template, data, params.get("VersionDescription"))
        if token:
            template.tokens[token] = (said, version.number)
        return {"LaunchTemplateVersion": self._show_version(template, version)}

    def describe(self, params: Params) -> Params:
        """Templates by id, by name, or all that pass the filters."""
        ids, names = params.get("LaunchTemplateIds", []), params.get("LaunchTemplateNames", [])
        found = [self.find({"LaunchTemplateId": i}) for i in ids]
        found += [self.find({"LaunchTemplateName": name}) for name in names]
        found = found if ids or names else list(self.engine.state.templates.values())
        found = [t for t in found if matches(params.get("Filters"), self._values, t)]
        shown, more = page(found, params, "MaxResults", 200)
        return {"LaunchTemplates": [self._show(template) for template in shown], **more}

    def describe_versions(self, params: Params) -> Params:
        """Versions by number, `$Latest` or `$Default`, or all, newest first."""
        if "LaunchTemplateId" not in params and "LaunchTemplateName" not in params:
            pairs = [(t, self.version(t, v)) for t in self.engine.state.templates.values() for v in params["Versions"]]
        else:
            template = self.find(params)
            wanted = params.get("Versions") or sorted(template.versions, reverse=True)
            pairs = [(template, self.version(template, str(number))) for number in wanted]
        low, high = int(params.get("MinVersion") or 0), int(params.get("MaxVersion") or 10**9)
        pairs = [pair for pair in pairs if low <= pair[1].number <= high]
        pairs = [pair for pair in pairs if matches(params.get("Filters"), _version_values, pair)]
        shown, more = page(pairs, params, "MaxResults", 200)
        return {"LaunchTemplateVersions": [self._show_version(*pair) for pair in shown], **more}

    def modify(self, params: Params) -> Params:
        """Make another version the default."""
        template = self.find(params)
        wanted = params.get("DefaultVersion") or params.get("SetDefaultVersion")
        template.default = self.version(template, str(wanted)).number
        return {"LaunchTemplate": self._show(template)}

    def delete(self, params: Params) -> Params:
        """Delete a template and all its versions."""
        template = self.find(params)
        del self.engine.state.templates[template.id]
        self.engine.state.tags.pop(template.id, None)
        return {"LaunchTemplate": self._show(template)}

    def delete_versions(self, params: Params) -> Params:
        """Delete versions; the default one and unknown ones are answered as not deleted."""
        template = self.find(params)
        done: list[Params] = []
        refused: list[Params] = []
        for number in params["Versions"]:
            why = self._undeletable(template, str(number))
            known = {"LaunchTemplateId": template.id, "LaunchTemplateName": template.name, "VersionNumber": int(number)}
            if why:
                refused.append({**known, "ResponseError": why})
            else:
                del template.versions[int(number)]
                done.append(known)
        return {
            "SuccessfullyDeletedLaunchTemplateVersions": done,
            "UnsuccessfullyDeletedLaunchTemplateVersions": refused,
        }

    def find(self, params: Params) -> FakeTemplate:
        """The template that a specification names, by id or name."""
        templates = self.engine.state.templates
        if wanted := params.get("LaunchTemplateId"):
            if wanted not in templates:
                raise missing(wanted)
            return templates[wanted]
        name = params.get("LaunchTemplateName")
        found = next((template for template in templates.values() if template.name == name), None)
        if found is None:
            text = f"The specified launch template, with template name {name}, does not exist."
            raise ErrorAnswer("InvalidLaunchTemplateName.NotFoundException", text)
        return found

    def version(self, template: FakeTemplate, wanted: str) -> Version:
        """The version that a number, `$Latest` or `$Default` means now."""
        number = {"$Latest": template.latest, "$Default": template.default}.get(wanted) or (
            int(wanted) if wanted.isdigit() else 0
        )
        if number not in template.versions:
            text = f"Could not find the specified version {wanted} for the launch template with ID {template.id}."
            raise ErrorAnswer("InvalidLaunchTemplateId.VersionNotFound", text)
        return template.versions[number]

    def _add(self, template: FakeTemplate, data: Params, description: str | None) -> Version:
        template.numbered += 1
        version = Version(template.numbered, copy.deepcopy(data), description, self.engine.now)
        template.versions[version.number] = version
        return version

    def _inherited(self, template: FakeTemplate, source: str | None) -> Params:
        if source is None:
            return {}
        data: Params = copy.deepcopy(self.version(template, source).data)
        for disk in data.get("BlockDeviceMappings", []):
            disk.get("Ebs", {}).pop("SnapshotId", None)
        return data

    def _undeletable(self, template: FakeTemplate, number: str) -> Params | None:
        if number == str(template.default):
            return {"Code": "unexpectedError", "Message": "You cannot delete the default version of a launch template."}
        if int(number) not in template.versions:
            text = f"The launch template version {number} does not exist"
            return {"Code": "launchTemplateVersionDoesNotExist", "Message": text}
        return None

    def _show(self, template: FakeTemplate) -> Params:
        return {
            "LaunchTemplateId": template.id,
            "LaunchTemplateName": template.name,
            "CreateTime": template.made,
            "DefaultVersionNumber": template.default,
            "LatestVersionNumber": max(template.versions),
            "Tags": tag_list(self.engine.state.tags.get(template.id, {})),
        }

    def _show_version(self, template: FakeTemplate, version: Version) -> Params:
        return {
            "LaunchTemplateId": template.id,
            "LaunchTemplateName": template.name,
            "VersionNumber": version.number,
            "VersionDescription": version.description,
            "CreateTime": version.made,
            "DefaultVersion": version.number == template.default,
            "LaunchTemplateData": _data_as_shown(version.data),
        }

    def _values(self, template: FakeTemplate, name: str) -> list[str] | None:
        tags = tag_values(name, self.engine.state.tags.get(template.id, {}))
        return tags if tags is not None else [template.name] if name == "launch-template-name" else None


def _version_values(pair: tuple[FakeTemplate, Version], name: str) -> list[str] | None:
    template, version = pair
    known = {"image-id": str(version.data.get("ImageId", "")), "instance-type": str(version.data.get("InstanceType"))}
    known["is-default-version"] = str(version.number == template.default).lower()
    return [known[name]] if name in known else None


def missing(resource: str) -> ErrorAnswer:
    """The refusal for an id that does not exist."""
    code, text = MISSING.get(_prefix(resource), ("InvalidID", "The ID '{}' is not valid"))
    return ErrorAnswer(code, text.format(resource))


def _data_as_shown(data: Params) -> Params:
    """Requests say TagSpecifications as responses do; only the tags of an empty list vanish."""
    return {key: value for key, value in data.items() if value not in ([], {})}


def _known(wanted: Iterable[str] | None, have: dict[str, Any]) -> list[str]:
    for resource in wanted or ():
        if resource not in have:
            raise missing(resource)
    return list(wanted) if wanted else list(have)


def _prefix(resource: str) -> str:
    return resource.rpartition("-")[0]


def _cpus(kind: str) -> Params:
    """Cores and threads of an instance type, as most families have them: two vCPUs up to large, then four a step."""
    size = kind.partition(".")[2].removesuffix("xlarge")
    cores = 2 * int(size or 1) if kind.endswith("xlarge") else 1
    return {"CoreCount": cores, "ThreadsPerCore": 2}


def _specified(params: Params, kind: str) -> dict[str, str]:
    """The tags that a creating call asks for on this kind of resource."""
    specs = [spec for spec in params.get("TagSpecifications", []) if spec["ResourceType"] == kind]
    return {tag["Key"]: tag.get("Value", "") for spec in specs for tag in spec.get("Tags", [])}


def _tag_row(row: Params, name: str) -> list[str] | None:
    if name.startswith("tag:"):
        return [row["Value"]] if row["Key"] == name[4:] else []
    key = {"resource-id": "ResourceId", "resource-type": "ResourceType", "key": "Key", "value": "Value"}.get(name)
    return [row[key]] if key else None


def _ends_itself(launch: Params) -> bool:
    """Whether its user data shuts the machine down; `shutdown` in it is a command at the beginning of a line."""
    told = base64.b64decode(launch.get("UserData") or "").decode(errors="replace")
    return any(line.startswith("shutdown ") for line in told.splitlines())


def _wrong_state(instance: FakeInstance, verb: str) -> ErrorAnswer:
    text = f"The instance '{instance.id}' is not in a state from which it can be {verb}."
    return ErrorAnswer("IncorrectInstanceState", text)


def _state(name: str) -> Params:
    return {"Code": STATE_CODES[name], "Name": name}


def _transition(instance: FakeInstance, was: str) -> Params:
    return {"InstanceId": instance.id, "PreviousState": _state(was), "CurrentState": _state(instance.state)}


def _status(instance: FakeInstance) -> Params:
    status = {"Status": "ok" if instance.booted is not None else "initializing"}
    return {
        "InstanceId": instance.id,
        "AvailabilityZone": instance.zone,
        "InstanceState": _state(instance.state),
        "InstanceStatus": status,
        "SystemStatus": status,
    }


def _iso(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _volume_values(volume: Params, name: str) -> list[str] | None:
    known = {
        "attachment.instance-id": [one["InstanceId"] for one in volume["Attachments"]],
        "volume-id": [volume["VolumeId"]],
    }
    return known.get(name)
