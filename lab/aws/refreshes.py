"""Instance refreshes of Auto Scaling groups: their states, and what AWS refuses while one is under way.

    Pending -> InProgress -> Successful; InProgress -> Cancelling -> Cancelled

They replace no instance here: what is looked at of them is that they are there.
"""

from __future__ import annotations

from lab.aws.direct import Params
from lab.aws.ec2 import Handler
from lab.aws.engine import page
from lab.aws.groups import WAYS, Groups, invalid
from lab.aws.wire import ErrorAnswer

UNDER_WAY = ("Pending", "InProgress", "Cancelling", "RollbackInProgress", "Baking")


class Refreshes:
    """The part of EC2 Auto Scaling that is about instance refreshes."""

    def __init__(self, groups: Groups) -> None:
        """Kept with the groups."""
        self.groups, self.engine = groups, groups.engine

    def operations(self) -> dict[str, Handler]:
        """Start, cancel, look; and the update of a group, which a refresh may forbid."""
        return {
            "StartInstanceRefresh": self.start,
            "CancelInstanceRefresh": self.cancel,
            "DescribeInstanceRefreshes": self.describe,
            "UpdateAutoScalingGroup": self.update,
        }

    def start(self, params: Params) -> Params:
        """Begin one; a group has one at a time (InstanceRefreshInProgress)."""
        kept = self._kept(params["AutoScalingGroupName"])
        if self._active(kept):
            raise ErrorAnswer(
                "InstanceRefreshInProgress", "An Instance Refresh is already in progress and blocks the execution"
            )
        made = {key: value for key, value in params.items() if key in ("AutoScalingGroupName", "DesiredConfiguration")}
        made |= {"InstanceRefreshId": self.engine.new_id("refresh"), "Status": "Pending", "StartTime": self.engine.now}
        kept[made["InstanceRefreshId"]] = made
        where = (params["AutoScalingGroupName"], made["InstanceRefreshId"])
        self.engine.after(self.engine.timings.react, self._becomes, *where, "Pending", "InProgress")
        self.engine.after(self.engine.timings.refresh, self._becomes, *where, "InProgress", "Successful")
        return {"InstanceRefreshId": made["InstanceRefreshId"]}

    def cancel(self, params: Params) -> Params:
        """End the one that is under way (ActiveInstanceRefreshNotFound)."""
        active = self._active(self._kept(params["AutoScalingGroupName"]))
        if active is None:
            raise ErrorAnswer("ActiveInstanceRefreshNotFound", "No in progress or pending Instance Refresh found")
        active["Status"] = "Cancelling"
        where = (params["AutoScalingGroupName"], active["InstanceRefreshId"])
        self.engine.after(self.engine.timings.react, self._becomes, *where, "Cancelling", "Cancelled")
        return {"InstanceRefreshId": active["InstanceRefreshId"]}

    def describe(self, params: Params) -> Params:
        """Those of a group, the newest first."""
        wanted = params.get("InstanceRefreshIds")
        kept = self._kept(params["AutoScalingGroupName"])
        rows = [row for name, row in reversed(kept.items()) if not wanted or name in wanted]
        shown, more = page(rows, params, "MaxRecords", 50, 100)
        return {"InstanceRefreshes": shown, **more}

    def update(self, params: Params) -> Params:
        """Refused for what a refresh's desired configuration decides, while that is under way."""
        active = self._active(self._kept(params["AutoScalingGroupName"]))
        if active and active.get("DesiredConfiguration") and any(way in params for way in WAYS):
            derived = "All configuration options derived from the desired configuration are not available for update"
            text = f"An active instance refresh with a desired configuration exists. {derived}"
            raise invalid(f"{text} while the instance refresh is active.")
        return self.groups.update(params)

    def _kept(self, name: str) -> dict[str, Params]:
        return self.groups.group_or_deleting(name).attached.setdefault("refreshes", {})

    def _active(self, kept: dict[str, Params]) -> Params | None:
        return next((row for row in kept.values() if row["Status"] in UNDER_WAY), None)

    def _becomes(self, name: str, refresh: str, before: str, after: str) -> None:
        """Unless somebody cancelled it meanwhile, or deleted the group."""
        group = self.engine.state.groups.get(name)
        row = group.attached.get("refreshes", {}).get(refresh) if group else None
        if row is not None and row["Status"] == before:
            row["Status"] = after
