"""Fleets of the fake AWS: what they show of launch templates, and whom a listing leaves out."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from lab.aws import FakeAws
from lab.clock import VirtualClock
from lab.machines import FakeMachines

CAPACITY = {"TotalTargetCapacity": 1}


class Account:
    """One launch template, and nothing else."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.fake = FakeAws(self.clock, FakeMachines(self.clock))
        self.ec2: Any = self.fake.session().client("ec2")
        made = self.ec2.create_launch_template(LaunchTemplateName="web", LaunchTemplateData={"ImageId": "ami-1"})
        self.template = made["LaunchTemplate"]["LaunchTemplateId"]

    def version(self) -> None:
        """Somebody makes a version."""
        self.ec2.create_launch_template_version(LaunchTemplateName="web", LaunchTemplateData={"ImageId": "ami-2"})

    def fleet(self, version: str = "$Latest", kind: str = "maintain") -> str:
        """A fleet on it."""
        made = self.ec2.create_fleet(LaunchTemplateConfigs=on(version), TargetCapacitySpecification=CAPACITY, Type=kind)
        return str(made["FleetId"])

    def shown(self, *ids: str) -> dict[str, tuple[str, str, str]]:
        """State, activity and version of what is listed."""
        rows = self.ec2.describe_fleets(**({"FleetIds": list(ids)} if ids else {}))["Fleets"]
        specs = {row["FleetId"]: row["LaunchTemplateConfigs"][0]["LaunchTemplateSpecification"] for row in rows}
        return {
            row["FleetId"]: (row["FleetState"], row["ActivityStatus"], specs[row["FleetId"]]["Version"]) for row in rows
        }


def on(version: str) -> list[dict[str, Any]]:
    """What refers to the template by its name."""
    return [{"LaunchTemplateSpecification": {"LaunchTemplateName": "web", "Version": version}}]


@pytest.fixture
def account() -> Account:
    """One of its own."""
    return Account()


def test_a_fleet_keeps_the_number_that_its_reference_meant(account: Account) -> None:
    """Later versions are nothing to it until it is modified."""
    account.version()
    latest, default = account.fleet(), account.fleet("$Default")
    account.version()
    assert account.shown()[latest] == ("submitted", "pending_fulfillment", "2")
    assert account.shown()[default][2] == "1"
    account.clock.sleep(60)
    assert account.shown(latest) == {latest: ("active", "fulfilled", "2")}
    account.ec2.modify_fleet(FleetId=latest, LaunchTemplateConfigs=on("$Latest"))
    assert account.shown()[latest][2] == "3"


def test_an_instant_fleet_is_shown_by_its_id_only(account: Account) -> None:
    """As the API's reference says of DescribeFleets."""
    instant = account.fleet(kind="instant")
    assert account.shown() == {}
    assert list(account.shown(instant)) == [instant]


def test_an_ended_fleet_stays_ended(account: Account) -> None:
    """It is still listed."""
    running, ending = account.fleet(), account.fleet(kind="request")
    account.ec2.delete_fleets(FleetIds=[running], TerminateInstances=False)
    account.ec2.delete_fleets(FleetIds=[ending], TerminateInstances=True)
    account.clock.sleep(60)
    assert {account.shown()[running][0], account.shown()[ending][0]} == {"deleted_running", "deleted_terminating"}
    filters = [{"Name": "fleet-state", "Values": ["deleted_running"]}]
    assert [row["FleetId"] for row in account.ec2.describe_fleets(Filters=filters)["Fleets"]] == [running]


def test_what_is_refused(account: Account) -> None:
    """Unknown fleets and templates, no version, and a change of what was asked for once."""
    once = account.fleet(kind="request")
    spot = account.ec2.describe_spot_fleet_requests
    with pytest.raises(ClientError, match=r"InvalidFleetId\.NotFound"):
        account.shown("fleet-0")
    with pytest.raises(ClientError, match="InvalidParameterValue"):
        account.fleet("")
    with pytest.raises(ClientError, match=r"InvalidLaunchTemplateId\.VersionNotFound"):
        account.fleet("7")
    with pytest.raises(ClientError, match="InvalidFleetConfig"):
        account.ec2.modify_fleet(FleetId=once, LaunchTemplateConfigs=on("1"))
    with pytest.raises(ClientError, match=r"InvalidSpotFleetRequestId\.NotFound"):
        spot(SpotFleetRequestIds=["sfr-0"])


def test_a_spot_fleet_request_shows_what_it_was_given(account: Account) -> None:
    """Page by page, ended ones too."""
    config = {"IamFleetRole": "arn:aws:iam::1:role/fleet", "TargetCapacity": 1, "LaunchTemplateConfigs": on("$Default")}
    ids = [account.ec2.request_spot_fleet(SpotFleetRequestConfig=config)["SpotFleetRequestId"] for _ in range(3)]
    account.ec2.cancel_spot_fleet_requests(SpotFleetRequestIds=ids[:1], TerminateInstances=False)
    pages = account.ec2.get_paginator("describe_spot_fleet_requests").paginate(PaginationConfig={"PageSize": 2})
    rows = [row for page in pages for row in page["SpotFleetRequestConfigs"]]
    assert [row["SpotFleetRequestId"] for row in rows] == ids
    assert [row["SpotFleetRequestState"] for row in rows] == ["cancelled_running", "active", "active"]
    (said,) = rows[0]["SpotFleetRequestConfig"]["LaunchTemplateConfigs"]
    assert said["LaunchTemplateSpecification"] == {"LaunchTemplateName": "web", "Version": "$Default"}
    assert rows[0]["SpotFleetRequestConfig"]["Type"] == "maintain"
