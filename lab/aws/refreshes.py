"""Instance refreshes of Auto Scaling groups replace one instance after the other.

    Pending -> InProgress -> Successful
    InProgress -> Cancelling -> Cancelled, or InProgress -> Failed

While one is in progress it terminates an old instance, and the group launches another. A refresh that makes no progress
for an hour has failed. What it replaced stays replaced. With a desired configuration the group launches new instances
by that, and takes it over as its own at the end.
"""

from __future__ import annotations

import copy

from lab.aws.direct import Params
from lab.aws.ec2 import Handler
from lab.aws.engine import FakeGroup, Member, page
from lab.aws.groups import WAYS, Groups, invalid
from lab.aws.wire import ErrorAnswer

STUCK = 3600
"""Seconds without progress after which a refresh has failed (user guide, instance refresh)."""
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
        group = self.groups.group(params["AutoScalingGroupName"])
        kept = self._kept(group.name)
        if self._active(kept):
            raise ErrorAnswer(
                "InstanceRefreshInProgress", "An Instance Refresh is already in progress and blocks the execution"
            )
        made = {key: value for key, value in params.items() if key in ("AutoScalingGroupName", "DesiredConfiguration")}
        made |= {"InstanceRefreshId": self.engine.new_id("refresh"), "Status": "Pending", "StartTime": self.engine.now}
        made["old"] = [one.id for one in group.active()]
        kept[made["InstanceRefreshId"]] = made
        self.engine.after(self.engine.timings.react, self._begins, group.name, made["InstanceRefreshId"])
        return {"InstanceRefreshId": made["InstanceRefreshId"]}

    def cancel(self, params: Params) -> Params:
        """End the one that is under way (ActiveInstanceRefreshNotFound)."""
        active = self._active(self._kept(params["AutoScalingGroupName"]))
        if active is None:
            raise ErrorAnswer("ActiveInstanceRefreshNotFound", "No in progress or pending Instance Refresh found")
        active["Status"] = "Cancelling"
        where = (params["AutoScalingGroupName"], active["InstanceRefreshId"])
        self.engine.after(self.engine.timings.react, self._ends, *where)
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

    # -- what they do by themselves ----------------------------------------------------------------------------------

    def _found(self, name: str, refresh: str, status: str) -> tuple[FakeGroup, Params] | None:
        """Unless somebody cancelled it meanwhile, or deleted the group."""
        group = self.engine.state.groups.get(name)
        row = group.attached.get("refreshes", {}).get(refresh) if group else None
        return (group, row) if group and not group.deleting and row and row["Status"] == status else None

    def _begins(self, name: str, refresh: str) -> None:
        if found := self._found(name, refresh, "Pending"):
            group, row = found
            row.update(Status="InProgress", InstancesToUpdate=len(row["old"]), PercentageComplete=0)
            if wanted := row.get("DesiredConfiguration"):
                group.attached["desired"] = copy.deepcopy(wanted)
            row["moved"] = self.engine.now
            self.engine.after(self.engine.timings.refresh, self._step, name, refresh)

    def _step(self, name: str, refresh: str) -> None:
        """The next one, once every instance serves that the group should have; the refresh waits while suspended."""
        if not (found := self._found(name, refresh, "InProgress")):
            return
        group, row = found
        self._advance(group, row)
        if self.engine.now - row["moved"] > STUCK:
            row.update(Status="Failed", EndTime=self.engine.now, StatusReason="No progress was made for an hour.")
            group.attached.pop("desired", None)
        if row["Status"] == "InProgress":
            self.engine.after(self.engine.timings.refresh, self._step, name, refresh)

    def _advance(self, group: FakeGroup, row: Params) -> None:
        if "InstanceRefresh" in group.suspended or not self._settled(group):
            return
        left = [group.members[one] for one in row["old"] if one in group.members and self._counts(group.members[one])]
        row["InstancesToUpdate"] = len(left)
        row["PercentageComplete"] = 100 - round(100 * len(left) / max(1, len(row["old"])))
        row["moved"] = self.engine.now
        if left:
            cause = "an instance was taken out of service in response to an instance refresh."
            self.groups.scaling.terminate(group, left[0], cause)
            self.groups.scaling.wake(group)
        else:
            self._succeeds(group, row)

    def _counts(self, member: Member) -> bool:
        """Protected instances, and those in Standby, are left alone (ScaleInProtectedInstances, Ignore)."""
        return member.lifecycle == "InService" and not member.protected

    def _settled(self, group: FakeGroup) -> bool:
        serving = [one for one in group.active() if one.lifecycle == "InService"]
        healthy = {one.id for one in serving if self.groups.scaling.answers(group, one)}
        return len(group.members) - len(group.aside()) == len(healthy) == int(group.config["DesiredCapacity"])

    def _succeeds(self, group: FakeGroup, row: Params) -> None:
        row.update(Status="Successful", EndTime=self.engine.now)
        if wanted := group.attached.pop("desired", None):
            kept = {key: value for key, value in group.config.items() if key not in WAYS}
            group.config = {**kept, **wanted}

    def _ends(self, name: str, refresh: str) -> None:
        if found := self._found(name, refresh, "Cancelling"):
            group, row = found
            row.update(Status="Cancelled", EndTime=self.engine.now)
            group.attached.pop("desired", None)
