"""Scaling policies: what is put, what is refused, and how they change a group's size.

PutScalingPolicy -> kept, with its ARN; a target tracking one brings its two alarms
alarm --its action, every minute while ALARM--> execute -> the group's desired size, within its bounds
"""

from __future__ import annotations

import copy
import math
import statistics
from collections.abc import Callable, Iterator
from itertools import pairwise

from lab.aws.alarms import Alarm, Alarms
from lab.aws.direct import Params
from lab.aws.ec2 import Handler
from lab.aws.engine import FakeGroup, page
from lab.aws.groups import Groups, invalid
from lab.aws.wire import ErrorAnswer

MOST_POLICIES, MOST_STEPS = 50, 20
"""Quotas of a group and of a step scaling policy (user guide, quotas)."""
SIMPLE, STEP, TRACKING, PREDICTIVE = "SimpleScaling", "StepScaling", "TargetTrackingScaling", "PredictiveScaling"
NEEDS = {
    SIMPLE: ("AdjustmentType", "ScalingAdjustment"),
    STEP: ("AdjustmentType", "StepAdjustments"),
    TRACKING: ("TargetTrackingConfiguration",),
    PREDICTIVE: ("PredictiveScalingConfiguration",),
}
"""What a policy of each type must be told (API model, PutScalingPolicy)."""
MAY = {
    SIMPLE: {"MinAdjustmentStep", "MinAdjustmentMagnitude", "Cooldown"},
    STEP: {"MinAdjustmentStep", "MinAdjustmentMagnitude", "MetricAggregationType", "EstimatedInstanceWarmup"},
    TRACKING: {"EstimatedInstanceWarmup"},
    PREDICTIVE: set[str](),
}
OF_ALL = {"AutoScalingGroupName", "PolicyName", "PolicyType", "Enabled"}
ADJUSTMENTS = ("ChangeInCapacity", "ExactCapacity", "PercentChangeInCapacity")
AGGREGATIONS: dict[str, Callable[[list[float]], float]] = {"Minimum": min, "Maximum": max, "Average": statistics.fmean}
METRICS = {
    "ASGAverageCPUUtilization": ("AWS/EC2", "CPUUtilization", "Average"),
    "ASGAverageCPUUtilizationHighResolution": ("AWS/EC2", "CPUUtilization", "Average"),
    "ASGAverageNetworkIn": ("AWS/EC2", "NetworkIn", "Average"),
    "ASGAverageNetworkOut": ("AWS/EC2", "NetworkOut", "Average"),
    "ALBRequestCountPerTarget": ("AWS/ApplicationELB", "RequestCountPerTarget", "Sum"),
}
OUT_AFTER, IN_AFTER, IN_BELOW = 3, 15, 0.9
"""Minutes over the target until it scales out, minutes under `IN_BELOW` of it until it scales in (the alarms that AWS
makes; it does not say how it chooses them)."""
PATH = "policies"


class Policies:
    """The part of EC2 Auto Scaling that is about scaling policies."""

    def __init__(self, groups: Groups, alarms: Alarms) -> None:
        """Kept with the groups; run by the alarms that name them."""
        self.groups, self.alarms, self.engine = groups, alarms, groups.engine
        groups.on_delete.append(self._forget)
        alarms.on_action = self._alarmed

    def operations(self) -> dict[str, Handler]:
        """Put, look, delete."""
        return {
            "PutScalingPolicy": self.put,
            "DescribePolicies": self.describe,
            "DeletePolicy": self.delete,
            "ExecutePolicy": self.execute,
        }

    # -- calls -----------------------------------------------------------------------------------------------------

    def put(self, params: Params) -> Params:
        """Make a policy or change it: what is not told stays as it was, and the ARN too."""
        group = self.groups.group(params["AutoScalingGroupName"])
        kept, name = self._kept(group), params["PolicyName"]
        given = {key: copy.deepcopy(value) for key, value in params.items() if value != []}
        old = kept.get(name, {})
        if old and given.get("PolicyType", SIMPLE) != old["PolicyType"]:
            raise invalid("The policy type of an existing policy cannot be changed")  # its words are not known to us
        if not old and len(kept) >= MOST_POLICIES:
            raise ErrorAnswer("LimitExceeded", f"A group has at most {MOST_POLICIES} scaling policies")
        policy = {"PolicyType": SIMPLE, "Enabled": True, **old, **given}
        _check(policy, group)
        kept[name] = {**policy, "PolicyARN": old.get("PolicyARN") or self.groups.arn_of(group, "scalingPolicy", name)}
        if policy["PolicyType"] == TRACKING:
            self._watch(group, kept[name])
        return {"PolicyARN": kept[name]["PolicyARN"], "Alarms": self._alarms_of(kept[name])}

    def describe(self, params: Params) -> Params:
        """Policies of one group or all, by name or ARN, and by type; unknown names are left out."""
        name, wanted, types = params.get("AutoScalingGroupName"), params.get("PolicyNames"), params.get("PolicyTypes")
        groups = [self.groups.group_or_deleting(name)] if name else self.engine.state.groups.values()
        rows = [policy for group in groups for policy in group.attached.get(PATH, {}).values()]
        rows = [row for row in rows if not wanted or {row["PolicyName"], row["PolicyARN"]} & set(wanted)]
        rows = [row for row in rows if not types or row["PolicyType"] in types]
        shown, more = page(rows, params, "MaxRecords", 50, 100)
        return {"ScalingPolicies": [self._shown(row) for row in shown], **more}

    def delete(self, params: Params) -> Params:
        """Delete a policy, and itself from the alarms that have it as their action; its own alarms go with it."""
        group = self.groups.group(params["AutoScalingGroupName"])
        policy = self._find(group, params["PolicyName"])
        del self._kept(group)[policy["PolicyName"]]
        self.alarms.drop_action(policy["PolicyARN"])
        self.alarms.remove(policy.get("own", ()))
        return {}

    def execute(self, params: Params) -> Params:
        """Run a policy now. A step policy gets the size of the breach and the threshold."""
        group = self.groups.group(params["AutoScalingGroupName"])
        policy, over = self._find(group, params["PolicyName"]), None
        if policy["PolicyType"] not in (SIMPLE, STEP):
            raise invalid(f"ExecutePolicy is not supported for the policy type: {policy['PolicyType']}")
        if (policy["PolicyType"] == STEP) is not ({"MetricValue", "BreachThreshold"} <= params.keys()):
            raise invalid("MetricValue and BreachThreshold must be specified for StepScaling, and only for it")
        if policy["PolicyType"] == STEP:
            over = float(params["MetricValue"]) - float(params["BreachThreshold"])
            if _step(policy, over) is None:
                raise invalid("The metric value does not correspond to a step adjustment of the policy")
        if params.get("HonorCooldown") and self._cools(group):
            raise ErrorAnswer("ScalingActivityInProgress", f"{group.name} is in cooldown")
        old = int(group.config["DesiredCapacity"])
        self._run(group, policy, over or 0.0)
        self.groups.changed(group, f"a user request executed policy {policy['PolicyName']}", old)
        return {}

    def _find(self, group: FakeGroup, name: str) -> Params:
        kept = self._kept(group)
        found = [one for one in kept.values() if name in (one["PolicyName"], one["PolicyARN"])]
        if not found:
            raise invalid(f"No scaling policy found with name: {name}")  # its exact words are not known to us
        return found[0]

    def _kept(self, group: FakeGroup) -> dict[str, Params]:
        return group.attached.setdefault(PATH, {})

    def _shown(self, policy: Params) -> Params:
        """As DescribePolicies shows it: StepAdjustments and Alarms in any case (CLI reference, its examples)."""
        return {"StepAdjustments": [], **policy, "Alarms": self._alarms_of(policy)}

    def _alarms_of(self, policy: Params) -> list[Params]:
        return [{"AlarmName": one.name, "AlarmARN": one.arn} for one in self.alarms.naming(policy["PolicyARN"])]

    def _forget(self, group: FakeGroup) -> None:
        """The group is deleted, and with it its policies, and the alarms that have no action without them."""
        for policy in group.attached.pop(PATH, {}).values():
            self.alarms.remove(self.alarms.drop_action(policy["PolicyARN"]))

    # -- how they scale ----------------------------------------------------------------------------------------------

    def fire(self, name: str, policy: str) -> int:
        """The alarm of a policy fires, its threshold just crossed; the size that the group is to have then.

        Nothing happens while AlarmNotification is suspended, for a missing or disabled policy, or for a group that is
        being deleted (ValidationError).
        """
        group = self.groups.group(name)
        kept = self._kept(group).get(policy)
        if kept and kept["Enabled"] and "AlarmNotification" not in group.suspended:
            self._run(group, kept, 0.0)
        return int(group.config["DesiredCapacity"])

    def _alarmed(self, arn: str, alarm: Alarm) -> None:
        """An alarm has that action: if it is a policy that may scale now, it does."""
        found = [
            (group, policy)
            for group in self.engine.state.groups.values()
            for policy in group.attached.get(PATH, {}).values()
            if policy["PolicyARN"] == arn
        ]
        for group, policy in found:
            if policy["Enabled"] and "AlarmNotification" not in group.suspended and not group.deleting:
                old = int(group.config["DesiredCapacity"])
                self._scale(group, policy, alarm)
                why = f"a monitor alarm {alarm.name} in state {alarm.state} triggered policy {policy['PolicyName']}"
                self.groups.changed(group, why, old)

    def _scale(self, group: FakeGroup, policy: Params, alarm: Alarm) -> None:
        kind, threshold = policy["PolicyType"], float(alarm.config.get("Threshold", 0))
        if kind == TRACKING and alarm.values:
            self._track(group, policy, alarm)
        elif kind == STEP:
            told = AGGREGATIONS[policy["MetricAggregationType"]]
            over = told(alarm.values) - threshold if alarm.values else 0.0
            self._run(group, policy, over)
        elif kind == SIMPLE and not self._cools(group):
            self._run(group, policy, 0.0)

    def _run(self, group: FakeGroup, policy: Params, over: float) -> None:
        """What a simple policy says, or the step of one for so much over the threshold."""
        change = policy if policy["PolicyType"] == SIMPLE else _step(policy, over)
        if change is None:
            return
        size = int(group.config["DesiredCapacity"])
        if policy["PolicyType"] == SIMPLE:
            self._become(group, _adjusted(size, policy, int(change["ScalingAdjustment"])))
            group.attached["cooldown"] = {"from": {"at": self.engine.now, "of": policy.get("Cooldown")}}
        else:
            self._out_or_in(group, policy, lambda n: _adjusted(n, policy, int(change["ScalingAdjustment"])))

    def _cools(self, group: FakeGroup) -> bool:
        """Whether a simple policy scaled it so lately that another may not."""
        last = group.attached.get("cooldown", {}).get("from")
        if last is None:
            return False
        own = last["of"]
        return bool(self.engine.now < last["at"] + float(group.config["DefaultCooldown"] if own is None else own))

    def _track(self, group: FakeGroup, policy: Params, alarm: Alarm) -> None:
        """Out by proportion; in by one at a time, and only if no other target tracking policy is against it."""
        tracking = policy["TargetTrackingConfiguration"]
        share = alarm.values[-1] / float(tracking["TargetValue"])
        if alarm.name == policy["own"][0]:
            self._out_or_in(group, policy, lambda n: max(n, math.ceil(n * share)))
        elif not tracking["DisableScaleIn"] and self._all_low(group):
            self._out_or_in(group, policy, lambda n: max(n - 1, math.ceil(n * share)))

    def _all_low(self, group: FakeGroup) -> bool:
        tracking = [one for one in self._kept(group).values() if one["PolicyType"] == TRACKING and one["Enabled"]]
        lows = [one["own"][1] for one in tracking if not one["TargetTrackingConfiguration"]["DisableScaleIn"]]
        return all(alarm.state == "ALARM" for alarm in self.alarms.named(lows))

    def _out_or_in(self, group: FakeGroup, policy: Params, wanted: Callable[[int], int]) -> None:
        """Instances that warm up do not count for what is wanted, and while there are any nothing is taken away."""
        size, warming = int(group.config["DesiredCapacity"]), group.attached.get("warming", {}).get("from", {})
        warm = self.engine.now >= warming.get("until", self.engine.now)
        base = size if warm else min(size, warming["size"])
        if (new := wanted(base)) > size:
            until = self.engine.now + self.engine.timings.launch + self._warmup(group, policy)
            group.attached["warming"] = {"from": {"until": until, "size": base}}
        if new > size or warm:
            self._become(group, new)

    def _warmup(self, group: FakeGroup, policy: Params) -> float:
        told = (policy.get("EstimatedInstanceWarmup"), group.config.get("DefaultInstanceWarmup"))
        return float(next((one for one in told if one is not None and one >= 0), group.config["DefaultCooldown"]))

    def _become(self, group: FakeGroup, wanted: int) -> None:
        old, low, high = (int(group.config[key]) for key in ("DesiredCapacity", "MinSize", "MaxSize"))
        new = min(max(wanted, low), high)
        if new != old:
            group.config["DesiredCapacity"] = new
            self.groups.scaling.wake(group)

    # -- the alarms of target tracking -------------------------------------------------------------------------------

    def _watch(self, group: FakeGroup, policy: Params) -> None:
        """Its two alarms: above the target for a short time, clearly under it for a long one."""
        tracking = policy["TargetTrackingConfiguration"]
        tracking.setdefault("DisableScaleIn", False)
        policy.setdefault("own", [self._name(group, side) for side in ("AlarmHigh", "AlarmLow")])
        high, low = policy["own"]
        about = {
            **_measured(group, tracking),
            "AlarmDescription": f"DO NOT EDIT OR DELETE. For TargetTrackingScaling policy {policy['PolicyARN']}.",
            "AlarmActions": [policy["PolicyARN"]],
        }
        target = float(tracking["TargetValue"])
        up = {"ComparisonOperator": "GreaterThanThreshold", "Threshold": target, "EvaluationPeriods": OUT_AFTER}
        down = {"ComparisonOperator": "LessThanThreshold", "Threshold": target * IN_BELOW}
        self.alarms.put_metric_alarm({**about, **up, "AlarmName": high})
        self.alarms.put_metric_alarm({**about, **down, "EvaluationPeriods": IN_AFTER, "AlarmName": low})

    def _name(self, group: FakeGroup, side: str) -> str:
        return f"TargetTracking-{group.name}-{side}-{self.engine.new_uuid()}"


def _measured(group: FakeGroup, tracking: Params) -> Params:
    """The metric of a target tracking policy, as an alarm has it."""
    if own := tracking.get("CustomizedMetricSpecification"):
        return _customized(own)
    predefined = tracking["PredefinedMetricSpecification"]
    namespace, metric, statistic = METRICS[predefined["PredefinedMetricType"]]
    dimensions = {"AutoScalingGroupName": group.name}
    if label := predefined.get("ResourceLabel"):
        balancer, _, target_group = label.partition("/targetgroup/")
        dimensions = {"TargetGroup": f"targetgroup/{target_group}", "LoadBalancer": balancer}
    named = [{"Name": name, "Value": value} for name, value in dimensions.items()]
    return {"Namespace": namespace, "MetricName": metric, "Statistic": statistic, "Dimensions": named, "Period": 60}


def _customized(own: Params) -> Params:
    if "Metrics" not in own:
        return {"Period": 60, "Dimensions": [], **own}
    return {"Metrics": [_with_period(query) for query in own["Metrics"]]}


def _with_period(query: Params) -> Params:
    return {**query, "MetricStat": {"Period": 60, **query["MetricStat"]}} if "MetricStat" in query else query


# --- reckoning --------------------------------------------------------------------------------------------------------


def _step(policy: Params, over: float) -> Params | None:
    """The step for so much over the threshold; upper bounds are exclusive above it, lower ones below it (API model)."""
    for step in policy["StepAdjustments"]:
        low, high = _range(step)
        if low <= over < high if over >= 0 else low < over <= high:
            return dict(step)
    return None


def _adjusted(size: int, policy: Params, adjustment: int) -> int:
    """Percentages are rounded towards no change, but change something (user guide, scaling adjustment types)."""
    match policy["AdjustmentType"]:
        case "ExactCapacity":
            return adjustment
        case "ChangeInCapacity":
            return size + adjustment
    least = max(1, int(policy.get("MinAdjustmentMagnitude") or policy.get("MinAdjustmentStep") or 1))
    return size + int(math.copysign(max(abs(size * adjustment) // 100, least), adjustment)) if adjustment else size


# --- what is refused; where AWS's exact words are not known to us, they say the same -----------------------------


def _check(policy: Params, group: FakeGroup) -> None:
    kind = policy["PolicyType"]
    if kind not in NEEDS:
        raise invalid(f"Unsupported policy type: {kind}")
    if missing := [key for key in NEEDS[kind] if key not in policy]:
        raise invalid(f"You must specify {missing[0]} for the policy type: {kind}")
    known = {*OF_ALL, *NEEDS[kind], *MAY[kind], "PolicyARN", "own"}
    if strange := sorted(policy.keys() - known):
        raise invalid(f"{strange[0]} is not supported by the policy type: {kind}")
    {SIMPLE: _check_simple, STEP: _check_step, TRACKING: _check_tracking, PREDICTIVE: _check_predictive}[kind](
        policy, group
    )


def _check_simple(policy: Params, _group: FakeGroup) -> None:
    _check_adjustment(policy)
    if policy["AdjustmentType"] == "ExactCapacity" and int(policy["ScalingAdjustment"]) < 0:
        raise invalid("ScalingAdjustment must not be negative with AdjustmentType ExactCapacity")


def _check_adjustment(policy: Params) -> None:
    if policy["AdjustmentType"] not in ADJUSTMENTS:
        raise invalid(f"Unsupported adjustment type: {policy['AdjustmentType']}. It must be one of {ADJUSTMENTS}")
    least = {"MinAdjustmentMagnitude", "MinAdjustmentStep"} & policy.keys()
    if least and policy["AdjustmentType"] != "PercentChangeInCapacity":
        raise invalid(f"{min(least)} is only supported with the adjustment type PercentChangeInCapacity")


def _check_step(policy: Params, _group: FakeGroup) -> None:
    _check_adjustment(policy)
    if policy.setdefault("MetricAggregationType", "Average") not in AGGREGATIONS:
        raise invalid(f"Unsupported metric aggregation type: {policy['MetricAggregationType']}")
    steps = policy["StepAdjustments"]
    if len(steps) > MOST_STEPS:
        raise invalid(f"A step scaling policy has at most {MOST_STEPS} step adjustments")
    ranges = sorted(_range(step) for step in steps)
    if any(low >= high for low, high in ranges) or any(one[1] != two[0] for one, two in pairwise(ranges)):
        raise invalid("Step adjustment intervals can't overlap or have a gap between them")
    if (math.inf not in ranges[-1] and ranges[-1][1] > 0) or (-math.inf not in ranges[0] and ranges[0][0] < 0):
        raise invalid("There must be a step adjustment with an unspecified bound in each direction that has one")


def _range(step: Params) -> tuple[float, float]:
    low, high = step.get("MetricIntervalLowerBound"), step.get("MetricIntervalUpperBound")
    if low is None and high is None:
        raise invalid("At least one of MetricIntervalLowerBound and MetricIntervalUpperBound must be specified")
    return -math.inf if low is None else float(low), math.inf if high is None else float(high)


def _check_tracking(policy: Params, group: FakeGroup) -> None:
    tracking = policy["TargetTrackingConfiguration"]
    ways = ("PredefinedMetricSpecification", "CustomizedMetricSpecification")
    if sum(way in tracking for way in ways) != 1:
        raise invalid(f"You must specify either {ways[0]} or {ways[1]}")
    if predefined := tracking.get(ways[0]):
        _check_label(predefined, "ALBRequestCountPerTarget", group)


def _check_label(predefined: Params, kind: str, group: FakeGroup) -> None:
    """A metric of a target group names one that the group is attached to (API model, ResourceLabel)."""
    label, wanted = predefined.get("ResourceLabel"), predefined["PredefinedMetricType"] == kind
    if wanted is not (label is not None):
        raise invalid(f"ResourceLabel must be specified {'for' if wanted else 'only for'} the metric type {kind}")
    if label is not None and not any(label.endswith("/" + arn.rpartition(":")[2]) for arn in group.sources):
        raise invalid(f"The load balancer target group of the resource label {label} is not attached to {group.name}")


def _check_predictive(policy: Params, group: FakeGroup) -> None:
    config = policy["PredictiveScalingConfiguration"]
    if len(config["MetricSpecifications"]) != 1:
        raise invalid("PredictiveScalingConfiguration must have exactly one metric specification")
    for predefined, kind in _predefined(config["MetricSpecifications"][0]):
        _check_label(predefined, kind, group)
    config.setdefault("Mode", "ForecastOnly")
    grows = config.setdefault("MaxCapacityBreachBehavior", "HonorMaxCapacity") == "IncreaseMaxCapacity"
    if grows is not ("MaxCapacityBuffer" in config):
        raise invalid("MaxCapacityBuffer must be specified with IncreaseMaxCapacity, and only with it")
    if int(config.setdefault("SchedulingBufferTime", 300)) >= 3600:
        raise invalid("SchedulingBufferTime must be less than 3600")


def _predefined(spec: Params) -> Iterator[tuple[Params, str]]:
    """Its predefined metrics, each with the type that needs a label."""
    kinds = {
        "PredefinedMetricPairSpecification": "ALBRequestCount",
        "PredefinedScalingMetricSpecification": "ALBRequestCountPerTarget",
        "PredefinedLoadMetricSpecification": "ALBTargetGroupRequestCount",
    }
    yield from ((spec[key], kind) for key, kind in kinds.items() if key in spec)
