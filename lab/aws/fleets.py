"""EC2 Fleets and Spot Fleet requests, as far as they name launch templates. They launch no instance here.

    submitted -> active -> deleted_running | deleted_terminating       (Spot Fleet: cancelled_...)

A fleet keeps the number that `$Latest` or `$Default` meant when it was made or modified, and shows that (seen on AWS:
aws-controllers-k8s/ec2-controller#308). Of Spot Fleet requests no page of AWS's says so: they show what was asked.
"""

from __future__ import annotations

import copy

from lab.aws.direct import Params
from lab.aws.ec2 import Handler, Templates
from lab.aws.engine import Timeline, matches, page
from lab.aws.wire import ErrorAnswer

UNDER_WAY = ("submitted", "active", "modifying")


class Fleets:
    """The part of EC2 that is about fleets."""

    def __init__(self, engine: Timeline, templates: Templates) -> None:
        """Work on the engine's state."""
        self.engine, self.templates = engine, templates

    def operations(self) -> dict[str, Handler]:
        """What of fleets is answered here."""
        return {
            "CreateFleet": self.create,
            "ModifyFleet": self.modify,
            "DeleteFleets": self.delete,
            "DescribeFleets": self.describe,
            "RequestSpotFleet": self.request,
            "CancelSpotFleetRequests": self.cancel,
            "DescribeSpotFleetRequests": self.describe_requests,
        }

    # -- EC2 Fleet ---------------------------------------------------------------------------------------------------

    def create(self, params: Params) -> Params:
        """Make a fleet; without a type it is one that maintains its size."""
        new = self.engine.new_id("fleet")
        self.engine.state.fleets[new] = {
            "FleetId": new,
            "CreateTime": self.engine.now,
            "FleetState": "submitted",
            "ActivityStatus": "pending_fulfillment",
            "Type": params.get("Type") or "maintain",
            "LaunchTemplateConfigs": self._resolved(params["LaunchTemplateConfigs"]),
            "TargetCapacitySpecification": params["TargetCapacitySpecification"],
        }
        self.engine.after(self.engine.timings.react, self._goes_on, new, "FleetState", "submitted", "active")
        where = (new, "ActivityStatus", "pending_fulfillment", "fulfilled")
        self.engine.after(self.engine.timings.launch, self._goes_on, *where)
        return {"FleetId": new}

    def modify(self, params: Params) -> Params:
        """Give it other templates; only one that maintains its size takes that."""
        fleet = self._fleet(params["FleetId"])
        if fleet["Type"] != "maintain":
            raise ErrorAnswer("InvalidFleetConfig", "Only fleets of type maintain can be modified.")
        if "LaunchTemplateConfigs" in params:
            fleet["LaunchTemplateConfigs"] = self._resolved(params["LaunchTemplateConfigs"])
        return {"Return": True}

    def delete(self, params: Params) -> Params:
        """End fleets, with their instances or without."""
        state = "deleted_terminating" if params["TerminateInstances"] else "deleted_running"
        done: list[Params] = []
        for fleet in [self._fleet(one) for one in params["FleetIds"]]:
            known = {"FleetId": fleet["FleetId"], "PreviousFleetState": fleet["FleetState"]}
            fleet["FleetState"] = state
            done.append({**known, "CurrentFleetState": state})
        return {"SuccessfulFleetDeletions": done, "UnsuccessfulFleetDeletions": []}

    def describe(self, params: Params) -> Params:
        """Fleets; those of type instant only when asked for by id."""
        ids = params.get("FleetIds") or []
        have = [self._fleet(one) for one in ids] or [
            fleet for fleet in self.engine.state.fleets.values() if fleet["Type"] != "instant"
        ]
        found = [fleet for fleet in have if matches(params.get("Filters"), _values, fleet)]
        shown, more = page(found, params, "MaxResults", 1000)
        return {"Fleets": shown, **more}

    def _fleet(self, name: str) -> Params:
        if name not in self.engine.state.fleets:
            raise ErrorAnswer("InvalidFleetId.NotFound", f"The fleet ID '{name}' does not exist")
        return self.engine.state.fleets[name]

    def _resolved(self, configs: list[Params]) -> list[Params]:
        """With the number that each reference means now."""
        said: list[Params] = copy.deepcopy(configs)
        for one in said:
            spec = one["LaunchTemplateSpecification"]
            if not spec.get("Version"):
                raise ErrorAnswer("InvalidParameterValue", "A launch template version must be specified")
            spec["Version"] = str(self.templates.version(self.templates.find(spec), spec["Version"]).number)
        return said

    def _goes_on(self, name: str, member: str, before: str, after: str) -> None:
        """Unless somebody ended it meanwhile."""
        fleet = self.engine.state.fleets[name]
        if fleet["FleetState"] in UNDER_WAY and fleet[member] == before:
            fleet[member] = after

    # -- Spot Fleet --------------------------------------------------------------------------------------------------

    def request(self, params: Params) -> Params:
        """Make a request; without a type it is one that maintains its size."""
        new = self.engine.new_id("sfr")
        config: Params = {"Type": "maintain", **copy.deepcopy(params["SpotFleetRequestConfig"])}
        for one in config.get("LaunchTemplateConfigs") or []:
            self.templates.find(one["LaunchTemplateSpecification"])
        self.engine.state.spot_fleets[new] = {
            "SpotFleetRequestId": new,
            "CreateTime": self.engine.now,
            "SpotFleetRequestState": "active",
            "ActivityStatus": "pending_fulfillment",
            "SpotFleetRequestConfig": config,
        }
        return {"SpotFleetRequestId": new}

    def cancel(self, params: Params) -> Params:
        """End requests, with their instances or without."""
        state = "cancelled_terminating" if params["TerminateInstances"] else "cancelled_running"
        done: list[Params] = []
        for name in params["SpotFleetRequestIds"]:
            row = self._request(name)
            known = {"SpotFleetRequestId": name, "PreviousSpotFleetRequestState": row["SpotFleetRequestState"]}
            row["SpotFleetRequestState"] = state
            done.append({**known, "CurrentSpotFleetRequestState": state})
        return {"SuccessfulFleetRequests": done, "UnsuccessfulFleetRequests": []}

    def describe_requests(self, params: Params) -> Params:
        """Requests, all of them unless named."""
        ids = params.get("SpotFleetRequestIds") or list(self.engine.state.spot_fleets)
        shown, more = page([self._request(one) for one in ids], params, "MaxResults", 1000)
        return {"SpotFleetRequestConfigs": shown, **more}

    def _request(self, name: str) -> Params:
        if name not in self.engine.state.spot_fleets:
            raise ErrorAnswer(
                "InvalidSpotFleetRequestId.NotFound", f"The spot fleet request ID '{name}' does not exist"
            )
        return self.engine.state.spot_fleets[name]


def _values(fleet: Params, name: str) -> list[str] | None:
    known = {"fleet-state": "FleetState", "activity-status": "ActivityStatus", "type": "Type"}
    return [fleet[known[name]]] if name in known else None
