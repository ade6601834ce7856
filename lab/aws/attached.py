"""What else hangs on a group: notification configurations, the collection of its metrics, its warm pool."""

from __future__ import annotations

from collections import Counter

from lab.aws.direct import Params
from lab.aws.ec2 import Handler
from lab.aws.engine import FakeGroup, page
from lab.aws.groups import Groups, invalid, show_member
from lab.aws.metrics import Metrics
from lab.aws.wire import ErrorAnswer

EVERY = 60
"""Seconds between two data points of a group's metrics; "1Minute" is the only granularity that there is."""
MOST_TOPICS = 10
"""SNS topics of a group (API model, PutNotificationConfiguration)."""
NOTIFICATIONS = tuple(
    f"autoscaling:{kind}"
    for kind in (
        "EC2_INSTANCE_LAUNCH",
        "EC2_INSTANCE_LAUNCH_ERROR",
        "EC2_INSTANCE_TERMINATE",
        "EC2_INSTANCE_TERMINATE_ERROR",
        "TEST_NOTIFICATION",
    )
)
_STATES = ("InService", "Pending", "Standby", "Terminating", "Total")
METRICS = (
    "GroupMinSize",
    "GroupMaxSize",
    "GroupDesiredCapacity",
    *(f"Group{state}Instances" for state in _STATES),
    *(f"Group{state}Capacity" for state in _STATES),
    *(f"WarmPool{state}Capacity" for state in ("Desired", "Warmed", "Pending", "Terminating", "Total")),
    "GroupAndWarmPoolDesiredCapacity",
    "GroupAndWarmPoolTotalCapacity",
)
"""Every metric of a group (API model, EnableMetricsCollection)."""


class Attached:
    """The parts of EC2 Auto Scaling that keep something with a group."""

    def __init__(self, groups: Groups, metrics: Metrics) -> None:
        """Keep it with the groups; tell their metrics."""
        self.groups, self.metrics = groups, metrics

    def operations(self) -> dict[str, Handler]:
        """Notifications, metrics, warm pools."""
        return {
            "PutNotificationConfiguration": self.put_notification,
            "DescribeNotificationConfigurations": self.describe_notifications,
            "DeleteNotificationConfiguration": self.delete_notification,
            "DescribeAutoScalingNotificationTypes": lambda _: {"AutoScalingNotificationTypes": list(NOTIFICATIONS)},
            "EnableMetricsCollection": self.enable_metrics,
            "DisableMetricsCollection": self.disable_metrics,
            "DescribeMetricCollectionTypes": lambda _: {
                "Metrics": [{"Metric": name} for name in METRICS],
                "Granularities": [{"Granularity": "1Minute"}],
            },
            "PutWarmPool": self.put_warm_pool,
            "DescribeWarmPool": self.describe_warm_pool,
            "DeleteWarmPool": self.delete_warm_pool,
        }

    # -- notifications ---------------------------------------------------------------------------------------------

    def put_notification(self, params: Params) -> Params:
        """Keep which notifications go to a topic, instead of those that went there."""
        kept, topic = self._kept(params["AutoScalingGroupName"], "notifications"), params["TopicARN"]
        if not topic.startswith("arn:"):
            raise invalid(f"Invalid Topic ARN: {topic}")  # its exact words are not known to us
        if strange := [kind for kind in params["NotificationTypes"] if kind not in NOTIFICATIONS]:
            raise invalid(f"Unsupported notification type: {strange[0]}")  # nor these
        if topic not in kept and len(kept) >= MOST_TOPICS:
            raise ErrorAnswer("LimitExceeded", f"A group has at most {MOST_TOPICS} notification topics")
        kept[topic] = {**params, "NotificationTypes": list(dict.fromkeys(params["NotificationTypes"]))}
        return {}

    def describe_notifications(self, params: Params) -> Params:
        """One row a type of notification."""
        wanted = params.get("AutoScalingGroupNames")
        groups = [one for name, one in self.groups.engine.state.groups.items() if not wanted or name in wanted]
        kept = [row for group in groups for row in group.attached.get("notifications", {}).values()]
        rows = [
            {"AutoScalingGroupName": row["AutoScalingGroupName"], "TopicARN": row["TopicARN"], "NotificationType": kind}
            for row in kept
            for kind in row["NotificationTypes"]
        ]
        shown, more = page(rows, params, "MaxRecords", 50, 100)
        return {"NotificationConfigurations": shown, **more}

    def delete_notification(self, params: Params) -> Params:
        """No notification goes to that topic any more."""
        kept, topic = self._kept(params["AutoScalingGroupName"], "notifications"), params["TopicARN"]
        if kept.pop(topic, None) is None:
            raise invalid(f"No notification configuration found for {topic}")  # its exact words are not known to us
        return {}

    # -- metrics ---------------------------------------------------------------------------------------------------

    def enable_metrics(self, params: Params) -> Params:
        """Collect these metrics, too, or all; DescribeAutoScalingGroups shows them."""
        if params["Granularity"] != "1Minute":
            raise invalid(f"Invalid granularity: {params['Granularity']}")  # its exact words are not known to us
        group, names = self.groups.group(params["AutoScalingGroupName"]), _metrics(params)
        if not group.attached.get("metrics"):
            self.groups.engine.after(EVERY, self._tell, group.name, group.made)
        for name in names:
            row = {"Metric": name, "Granularity": params["Granularity"]}
            group.attached.setdefault("metrics", {})[name] = row
        return {}

    def _tell(self, name: str, made: float) -> None:
        """What a group is like, every minute for as long as anything is collected of it."""
        group = self.groups.engine.state.groups.get(name)
        if group is None or group.made != made or not (wanted := group.attached.get("metrics")):
            return
        self.groups.engine.after(EVERY, self._tell, name, made)
        for metric, value in measured(group).items():
            if metric in wanted:
                dimensions, at = {"AutoScalingGroupName": name}, self.groups.engine.now
                self.metrics.put("AWS/AutoScaling", metric, [value], dimensions, at)

    def disable_metrics(self, params: Params) -> Params:
        """Collect these metrics no longer, or none."""
        kept = self._kept(params["AutoScalingGroupName"], "metrics")
        for name in _metrics(params):
            kept.pop(name, None)
        return {}

    # -- the warm pool ---------------------------------------------------------------------------------------------

    def put_warm_pool(self, params: Params) -> Params:
        """Have a warm pool, or change it: instances are launched and stopped; the lab does not scale out from it."""
        given = {key: value for key, value in params.items() if key != "AutoScalingGroupName"}
        group = self.groups.group(params["AutoScalingGroupName"])
        if "MixedInstancesPolicy" in group.config:
            text = "You can't add a warm pool to an Auto Scaling group that has a mixed instances policy"
            raise invalid(text)  # its exact words are not known to us
        if (group.pool or {}).get("Status"):
            raise invalid(f"The warm pool of {group.name} is pending delete")  # nor these
        old = {"MinSize": 0, "PoolState": "Stopped", **(group.pool or {})}
        group.attached["warm"] = {"pool": {**old, **given}}
        self.groups.scaling.wake(group)
        return {}

    def describe_warm_pool(self, params: Params) -> Params:
        """A warm pool's settings and instances."""
        group = self.groups.group(params["AutoScalingGroupName"])
        shown, more = page([show_member(group, one) for one in group.warm.values()], params, "MaxRecords", 50, 50)
        return {"Instances": shown, **({"WarmPoolConfiguration": group.pool} if group.pool else {}), **more}

    def delete_warm_pool(self, params: Params) -> Params:
        """Delete a warm pool; its instances with it only by force, else it must be empty (ResourceInUse)."""
        group = self.groups.group(params["AutoScalingGroupName"])
        if group.pool is None:
            raise invalid(f"No warm pool found for {group.name}")  # its exact words are not known to us
        if group.warm and not params.get("ForceDelete"):
            text = "You cannot delete a warm pool while there are instances in it."
            raise ErrorAnswer("ResourceInUse", text)  # its exact words are not known to us
        group.pool["Status"] = "PendingDelete"
        self.groups.scaling.wake(group)
        return {}

    def _kept(self, group: str, kind: str) -> dict[str, Params]:
        return self.groups.group(group).attached.setdefault(kind, {})


def measured(group: FakeGroup) -> dict[str, float]:
    """Every metric of a group now; a capacity counts instances, as the lab knows no weights."""
    states = Counter({"InService": 0, "Pending": 0, "Standby": 0, "Terminating": 0})
    states.update(one.lifecycle.removeprefix("Entering").partition(":")[0] for one in group.members.values())
    warm = Counter(one.lifecycle.partition(":")[2] for one in group.warm.values())
    size, total = int(group.config["DesiredCapacity"]), len(group.members)
    told = {"GroupMinSize": group.config["MinSize"], "GroupMaxSize": group.config["MaxSize"]}
    told |= {f"Group{state}{what}": states[state] for state in states for what in ("Instances", "Capacity")}
    told |= {"GroupDesiredCapacity": size, "GroupTotalInstances": total, "GroupTotalCapacity": total}
    told |= {"WarmPoolWarmedCapacity": warm["Stopped"], "WarmPoolPendingCapacity": warm["Pending"]}
    told |= {"WarmPoolTerminatingCapacity": warm["Terminating"], "WarmPoolTotalCapacity": len(group.warm)}
    told["WarmPoolDesiredCapacity"] = len(group.warm) - warm["Terminating"]
    told["GroupAndWarmPoolDesiredCapacity"] = size + told["WarmPoolDesiredCapacity"]
    return {**told, "GroupAndWarmPoolTotalCapacity": total + len(group.warm)}


def _metrics(params: Params) -> list[str]:
    """Those that are meant: all, if none is named."""
    names = params.get("Metrics") or list(METRICS)
    if strange := [name for name in names if name not in METRICS]:
        raise invalid(f"Invalid metric: {strange[0]}")  # its exact words are not known to us
    return names
