"""CloudFormation of the fake AWS: what a stack makes is there for everybody, instances included."""

from __future__ import annotations

import json
from typing import Any

from lab.aws import FakeAws
from lab.clock import VirtualClock
from lab.machines import FakeMachines

SHUTS_DOWN = "#!/bin/sh\nshutdown -h +1\n"


class Account:
    """An image, and nothing else."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.fake = FakeAws(self.clock, FakeMachines(self.clock))
        self.image = self.client("ec2").register_image(Name="web-base", RootDeviceName="/dev/xvda")["ImageId"]

    def client(self, service: str) -> Any:
        """A client of anybody's."""
        session: Any = self.fake.session()
        return session.client(service)

    def make(self, **properties: Any) -> str:
        """A stack with one instance; the id that it tells."""
        given = {"ImageId": self.image, "InstanceType": "t3.small", **properties}
        resources = {"Machine": {"Type": "AWS::EC2::Instance", "Properties": given}}
        body = json.dumps({"Resources": resources, "Outputs": {"Id": {"Value": {"Ref": "Machine"}}}})
        self.client("cloudformation").create_stack(StackName="one", TemplateBody=body)
        (stack,) = self.client("cloudformation").describe_stacks(StackName="one")["Stacks"]
        return str(stack["Outputs"][0]["OutputValue"])

    def shown(self, instance: str) -> dict[str, Any]:
        """As EC2 shows it."""
        (found,) = self.client("ec2").describe_instances(InstanceIds=[instance])["Reservations"]
        shown: dict[str, Any] = found["Instances"][0]
        return shown


def test_an_instance_of_a_stack_is_one_like_others() -> None:
    """With its image, type and tags; it comes up, and goes with the stack."""
    account = Account()
    made = account.make(Tags=[{"Key": "Name", "Value": "web-builder"}])
    shown = account.shown(made)
    assert (shown["ImageId"], shown["InstanceType"]) == (account.image, "t3.small")
    assert {"Key": "Name", "Value": "web-builder"} in shown["Tags"]
    account.clock.sleep(300)
    assert account.shown(made)["State"]["Name"] == "running"
    account.client("cloudformation").delete_stack(StackName="one")
    account.clock.sleep(300)
    assert account.fake.instances() == {made: "terminated"}


def test_another_stack_leaves_it_alone() -> None:
    """Whatever else is made and deleted."""
    account = Account()
    made = account.make()
    topic = json.dumps({"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}})
    account.client("cloudformation").create_stack(StackName="two", TemplateBody=topic)
    account.client("cloudformation").delete_stack(StackName="two")
    account.clock.sleep(300)
    assert account.fake.instances() == {made: "running"}


def test_an_image_that_is_not_there_makes_no_instance() -> None:
    """The stack says so."""
    account = Account()
    account.make(ImageId="ami-0123456789abcdef0")
    (stack,) = account.client("cloudformation").describe_stacks(StackName="one")["Stacks"]
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert account.fake.instances() == {}


def test_user_data_that_shuts_down_does_so_once() -> None:
    """cloud-init runs it at the first start; whoever starts the instance later finds it running."""
    account = Account()
    made = account.make(UserData={"Fn::Base64": SHUTS_DOWN})
    account.clock.sleep(600)
    assert account.shown(made)["State"]["Name"] == "stopped"
    account.client("ec2").start_instances(InstanceIds=[made])
    account.clock.sleep(600)
    assert account.shown(made)["State"]["Name"] == "running"
