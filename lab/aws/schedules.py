"""Scheduled actions: what is put, what is refused, and how they come due.

    PutScheduledUpdateGroupAction -> kept --its time--> the group's sizes, unless ScheduledActions is suspended
    a recurring one then waits for its next time, until its end; any other is there no more

A time that passes while ScheduledActions is suspended is skipped (user guide, suspending processes).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from lab.aws.direct import Params
from lab.aws.ec2 import Handler
from lab.aws.engine import FakeGroup, page
from lab.aws.groups import Groups, invalid
from lab.aws.metrics import seconds
from lab.aws.wire import ErrorAnswer

MOST_ACTIONS, MOST_AT_ONCE = 125, 50
"""Quotas of a group (user guide, quotas), and of one call."""
SIZES = ("MinSize", "MaxSize", "DesiredCapacity")
TIMES = ("StartTime", "EndTime")
PATH = "schedules"


class Schedules:
    """The part of EC2 Auto Scaling that is about scheduled actions."""

    def __init__(self, groups: Groups) -> None:
        """Kept with the groups."""
        self.groups, self.engine = groups, groups.engine
        groups.on_delete.append(lambda group: group.attached.pop(PATH, None))

    def operations(self) -> dict[str, Handler]:
        """Put, look, delete; one by one and several at once."""
        return {
            "PutScheduledUpdateGroupAction": self.put,
            "BatchPutScheduledUpdateGroupAction": self.put_several,
            "DescribeScheduledActions": self.describe,
            "DeleteScheduledAction": self.delete,
            "BatchDeleteScheduledAction": self.delete_several,
        }

    # -- calls -----------------------------------------------------------------------------------------------------

    def put(self, params: Params) -> Params:
        """Make an action or change it."""
        group = self.groups.group(params["AutoScalingGroupName"])
        kept, name = group.attached.setdefault(PATH, {}), params["ScheduledActionName"]
        given = {key: value for key, value in params.items() if key != "Time"}
        action = {**given, **{key: seconds(given[key]) for key in TIMES if key in given}}
        _check(action, self.engine.now)
        if "Recurrence" in action and "StartTime" not in action:
            action["StartTime"] = _next(action, self.engine.now)
        others = [one for other, one in kept.items() if other != name]
        if len(others) >= MOST_ACTIONS:
            raise ErrorAnswer("LimitExceeded", f"A group has at most {MOST_ACTIONS} scheduled actions")
        if any(one["StartTime"] == action["StartTime"] for one in others):
            text = "A scheduled action must have a unique start time"  # its exact words are not known to us
            raise ErrorAnswer("AlreadyExists", text)
        arn = kept.get(name, {}).get("ScheduledActionARN")
        action["ScheduledActionARN"] = arn or self.groups.arn_of(group, "scheduledUpdateGroupAction", name)
        kept[name] = action
        self._wait(group, action)
        return {}

    def put_several(self, params: Params) -> Params:
        """Make or change several; returns the refused ones, and does the others."""
        actions = params["ScheduledUpdateGroupActions"]
        return {"FailedScheduledUpdateGroupActions": list(self._each(params, self.put, actions))}

    def delete_several(self, params: Params) -> Params:
        """Delete several; returns the missing ones."""
        actions = [{"ScheduledActionName": name} for name in params["ScheduledActionNames"]]
        return {"FailedScheduledActions": list(self._each(params, self.delete, actions))}

    def _each(self, params: Params, act: Handler, actions: list[Params]) -> Iterator[Params]:
        name = params["AutoScalingGroupName"]
        self.groups.group(name)
        if len(actions) > MOST_AT_ONCE:
            raise invalid(f"Member must have length less than or equal to {MOST_AT_ONCE}")
        for action in actions:
            try:
                act({**action, "AutoScalingGroupName": name})
            except ErrorAnswer as error:
                told = {"ErrorCode": error.code, "ErrorMessage": error.message}
                yield {"ScheduledActionName": action["ScheduledActionName"], **told}

    def describe(self, params: Params) -> Params:
        """Actions that are still to come, of one group or all; by name, or by the time of the next."""
        name, wanted = params.get("AutoScalingGroupName"), params.get("ScheduledActionNames")
        groups = [self.groups.group_or_deleting(name)] if name else self.engine.state.groups.values()
        rows = [action for group in groups for action in group.attached.get(PATH, {}).values()]
        if wanted:
            rows = [row for row in rows if {row["ScheduledActionName"], row["ScheduledActionARN"]} & set(wanted)]
        else:
            low, high = (seconds(params[key]) if key in params else None for key in TIMES)
            rows = [row for row in rows if low is None or row["StartTime"] >= low]
            rows = [row for row in rows if high is None or row["StartTime"] <= high]
        shown, more = page(rows, params, "MaxRecords", 50, 100)
        return {"ScheduledUpdateGroupActions": [{**row, "Time": row["StartTime"]} for row in shown], **more}

    def delete(self, params: Params) -> Params:
        """Delete an action, by its name or ARN."""
        group, name = self.groups.group(params["AutoScalingGroupName"]), params["ScheduledActionName"]
        kept = group.attached.get(PATH, {})
        found = [key for key, one in kept.items() if name in (key, one["ScheduledActionARN"])]
        if not found:
            raise invalid(f"Scheduled action name not found: {name}")  # its exact words are not known to us
        del kept[found[0]]
        return {}

    # -- what they do by themselves ----------------------------------------------------------------------------------

    def _wait(self, group: FakeGroup, action: Params) -> None:
        when = action["StartTime"]
        self.engine.after(when - self.engine.now, self._due, group.name, action["ScheduledActionARN"], when)

    def _due(self, name: str, arn: str, when: float) -> None:
        """Unless it was deleted or moved meanwhile."""
        group = self.engine.state.groups.get(name)
        kept = group.attached.get(PATH, {}) if group else {}
        action = next((one for one in kept.values() if one["ScheduledActionARN"] == arn), None)
        if group is None or action is None or action["StartTime"] != when:
            return
        following = _next(action, when) if "Recurrence" in action else None
        if following is None or following > action.get("EndTime", following):
            del kept[action["ScheduledActionName"]]
        else:
            action["StartTime"] = following
            self._wait(group, action)
        if "ScheduledActions" not in group.suspended and not group.deleting:
            self._act(group, action)

    def _act(self, group: FakeGroup, action: Params) -> None:
        with contextlib.suppress(ErrorAnswer):  # sizes that do not fit with those that the group has by now
            self.groups.resize(group, {key: action[key] for key in SIZES if key in action})


def _next(action: Params, after: float) -> float:
    """When it comes due next; in its own time zone, told in UTC."""
    zone = ZoneInfo(action.get("TimeZone") or "UTC")
    return next(CronSim(action["Recurrence"], datetime.fromtimestamp(after, zone))).timestamp()


# --- what is refused; where AWS's exact words are not known to us, they say the same -----------------------------


def _check(action: Params, now: float) -> None:
    if not any(key in action for key in SIZES):
        raise invalid("At least one of MinSize, MaxSize and DesiredCapacity must be specified")
    if "Recurrence" not in action and "StartTime" not in action:
        raise invalid("At least one of Recurrence and StartTime must be specified")
    if action.get("StartTime", now) < now:
        raise invalid("Given start time is in the past")
    if "EndTime" in action and action["EndTime"] < max(now, action.get("StartTime", now)):
        raise invalid("The end time must not be before the start time, nor in the past")
    _check_sizes(action)
    if (zone := action.get("TimeZone")) is not None and zone not in available_timezones():
        raise invalid(f"Invalid time zone: {zone}")
    if "Recurrence" in action:
        _check_recurrence(action["Recurrence"])


def _check_sizes(action: Params) -> None:
    sizes = [int(action[key]) for key in ("MinSize", "DesiredCapacity", "MaxSize") if key in action]
    if sizes != sorted(sizes) or min(sizes) < 0:
        raise invalid("The sizes must not be negative, and MinSize <= DesiredCapacity <= MaxSize")


def _check_recurrence(recurrence: str) -> None:
    try:
        comes = next(CronSim(recurrence, datetime.fromtimestamp(0, UTC)), None)
    except CronSimError:
        comes = None
    if comes is None or len(recurrence.split()) != 5:  # cronsim takes a sixth field, for seconds
        raise invalid(f"Given recurrence string: {recurrence} is invalid")
