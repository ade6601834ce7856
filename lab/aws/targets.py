r"""Target groups' targets: registration, health checks, draining. Everything else of load balancing is moto's.

    registered -> initial --one passed check--> healthy --UnhealthyThreshold failures in a row--> unhealthy
                     \------UnhealthyThreshold failures----------------------------------------> unhealthy
    unhealthy --HealthyThreshold passes in a row--> healthy;  deregistered -> draining --delay--> gone

A target that is newly registered needs one passed check only (AWS: "health checks for your target groups").
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore import xform_name
from moto.elbv2.exceptions import ELBClientError

from lab.aws.direct import Params
from lab.aws.ec2 import ElsewhereError, Handler, missing
from lab.aws.engine import FakeInstance, Target, Timeline
from lab.aws.wire import ErrorAnswer

REASONS = {
    "Elb.RegistrationInProgress": "Target registration is in progress",
    "Elb.InitialHealthChecking": "Initial health checks in progress",
    "Target.FailedHealthChecks": "Health checks failed",
    "Target.DeregistrationInProgress": "Target deregistration is in progress",
    "Target.NotInUse": "Target group is not configured to receive traffic from the load balancer",
    "Target.InvalidState": "Target is in the stopped state",
    "Target.NotRegistered": "Target is not registered to the target group",
}


class Targets:
    """Who is in which target group, and how well."""

    def __init__(self, engine: Timeline, balancers: Callable[[], Any]) -> None:
        """Work on the engine's state; `balancers` gives moto's backend, which has groups and listeners."""
        self.engine, self.balancers = engine, balancers
        self.on_change: list[Callable[[str, Target], None]] = []
        self._routed: set[str] | None = None
        self._looked: dict[tuple[str, str], bool] = {}

    def operations(self) -> dict[str, Handler]:
        """What of Elastic Load Balancing is answered here."""
        return {
            "RegisterTargets": self.register_targets,
            "DeregisterTargets": self.deregister_targets,
            "DescribeTargetHealth": self.describe_target_health,
            "DescribeTargetGroups": self.describe_target_groups,
            "DescribeTargetGroupAttributes": self.describe_target_group_attributes,
        }

    def describe_target_groups(self, params: Params) -> Params:
        """Target groups, as moto keeps them; what it refuses it refuses itself."""
        which = (params.get("LoadBalancerArn"), params.get("TargetGroupArns") or [], params.get("Names") or [])
        try:
            found = self.balancers().describe_target_groups(*which)
        except ELBClientError as error:
            raise ElsewhereError from error
        return {"TargetGroups": [_described(group) for group in found]}

    def describe_target_group_attributes(self, params: Params) -> Params:
        """A target group's attributes, or TargetGroupNotFound."""
        attributes = self.group(params["TargetGroupArn"]).attributes
        return {"Attributes": [{"Key": key, "Value": value} for key, value in attributes.items()]}

    def register_targets(self, params: Params) -> Params:
        """Register running instances. InvalidTarget if one is not there or does not run."""
        group = self.group(params["TargetGroupArn"])
        for target in params["Targets"]:
            instance = self.engine.state.instances.get(target["Id"])
            if instance is None:
                raise ErrorAnswer("InvalidTarget", f"The following targets are not in the VPC: {target['Id']}")
            if instance.state != "running":
                text = f"The following targets are not in a running state and cannot be registered: '{target['Id']}'"
                raise ErrorAnswer("InvalidTarget", text)
        for target in params["Targets"]:
            self.register(group.arn, target["Id"], target.get("Port"))
        return {}

    def deregister_targets(self, params: Params) -> Params:
        """Deregister targets. InvalidTarget if one is not registered."""
        group = self.group(params["TargetGroupArn"])
        have = self.engine.state.targets.get(group.arn, {})
        for target in params["Targets"]:
            if target["Id"] not in have:
                raise ErrorAnswer("InvalidTarget", f"The following targets are not registered: {target['Id']}")
        for target in params["Targets"]:
            self.deregister(group.arn, target["Id"])
        return {}

    def describe_target_health(self, params: Params) -> Params:
        """The health of all targets, or of those asked for, which are `unused` when they are not registered."""
        group = self.group(params["TargetGroupArn"])
        have = self.engine.state.targets.get(group.arn, {})
        wanted = [target["Id"] for target in params.get("Targets") or []] or list(have)
        for one in wanted:
            if one not in have and one not in self.engine.state.instances and one.startswith("i-"):
                raise ErrorAnswer("InvalidTarget", missing(one).message)
        return {"TargetHealthDescriptions": [self._show(group, one, have.get(one)) for one in wanted]}

    def group(self, arn: str) -> Any:  # moto's FakeTargetGroup
        """A target group, or TargetGroupNotFound."""
        found = self.balancers().target_groups.get(arn)
        if found is None:
            raise ErrorAnswer("TargetGroupNotFound", f"Target groups '{arn}' not found")
        return found

    def exists(self, arn: str) -> bool:
        """Whether there is such a target group."""
        return arn in self.balancers().target_groups

    def register(self, arn: str, instance_id: str, port: int | None = None) -> None:
        """Register one instance; one that is draining begins again, one that is registered stays as it is."""
        have = self.engine.state.targets.setdefault(arn, {})
        old = have.get(instance_id)
        if old and old.state != "draining":
            return
        group = self.group(arn)
        target = Target(instance_id, int(port or group.port or 80), self.engine.now, life=old.life + 1 if old else 1)
        have[instance_id] = target
        self.engine.after(self.engine.timings.register, self._check, arn, instance_id, target.life)

    def deregister(self, arn: str, instance_id: str) -> float:
        """Take one instance out: no new requests from now. Seconds until it has drained (0: it was not in)."""
        target = self.engine.state.targets.get(arn, {}).get(instance_id)
        if target is None or not self.exists(arn):
            return 0
        delay = self.delay(arn)
        if target.state != "draining":
            target.life += 1
            self._become(arn, target, "draining", "Target.DeregistrationInProgress")
            self.engine.after(delay, self._drained, arn, instance_id, target.life)
        return delay

    def delay(self, arn: str) -> float:
        """The deregistration delay, in seconds."""
        return float(self.group(arn).attributes["deregistration_delay.timeout_seconds"])

    def note(self, instance: FakeInstance) -> None:
        """An instance changed its state: a terminated one leaves, a stopped one must become healthy again."""
        for arn, have in self.engine.state.targets.items():
            target = have.get(instance.id)
            if target is None:
                continue
            if instance.state in ("shutting-down", "terminated"):
                self.deregister(arn, instance.id)
            elif instance.state in ("stopping", "stopped") and target.state != "draining":
                target.passed = target.failed = 0
                self._become(arn, target, "initial", "Elb.InitialHealthChecking")

    def balancing_changed(self) -> None:
        """A listener, rule or group was changed: who gets traffic must be read again, and moto must know it."""
        self._routed = None
        backend = self.balancers()
        for arn in [arn for arn in self.engine.state.targets if arn not in backend.target_groups]:
            del self.engine.state.targets[arn]
        pairs = _routes(backend)
        for arn, group in backend.target_groups.items():  # moto adds to it at CreateListener only
            group.load_balancer_arns = sorted({balancer for balancer, routed in pairs if routed == arn})

    def routed(self) -> set[str]:
        """The target groups that some listener or rule forwards to, with any weight."""
        if self._routed is None:
            self._routed = {arn for _, arn in _routes(self.balancers())}
        return self._routed

    def state(self, arn: str, target: Target) -> tuple[str, str | None]:
        """A target's state and reason, as DescribeTargetHealth tells them."""
        if target.state == "draining":
            return target.state, target.reason
        if arn not in self.routed():
            return "unused", "Target.NotInUse"
        instance = self.engine.state.instances.get(target.id)
        if instance and instance.state in ("stopping", "stopped"):
            return "unused", "Target.InvalidState"
        return target.state, target.reason

    def states(self, arn: str) -> dict[str, str]:
        """The state of each target that is registered or draining."""
        return {one: self.state(arn, target)[0] for one, target in self.engine.state.targets.get(arn, {}).items()}

    def due_looks(self) -> list[tuple[str, str]]:
        """Whom (instance, path) the health checks that are due now will look at."""
        groups = self.balancers().target_groups
        due = [(arn, one) for arn, one, _ in self.engine.due(self._check) if arn in groups]
        return [(one, groups[arn].health_check_path or "/") for arn, one in due]

    def saw(self, looks: dict[tuple[str, str], bool]) -> None:
        """What these looks have shown, so that the checks need not wait for a slow machine."""
        self._looked = looks

    def _show(self, group: Any, instance_id: str, target: Target | None) -> Params:
        state, reason = self.state(group.arn, target) if target else ("unused", "Target.NotRegistered")
        port = target.port if target else int(group.port or 80)
        why = {"Reason": reason, "Description": REASONS[reason]} if reason else {}
        return {
            "Target": {"Id": instance_id, "Port": port},
            "HealthCheckPort": str(port),
            "TargetHealth": {"State": state, **why},
        }

    def _check(self, arn: str, instance_id: str, life: int) -> None:
        """One health check; the next follows after the group's interval."""
        target = self.engine.state.targets.get(arn, {}).get(instance_id)
        if target is None or target.life != life or target.state == "draining":
            return
        group = self.group(arn)
        self.engine.after(float(group.health_check_interval_seconds), self._check, arn, instance_id, life)
        if self.state(arn, target)[0] == "unused":  # nobody checks what gets no traffic, and it must begin anew
            target.state, target.reason = "initial", "Elb.RegistrationInProgress"
            target.passed = target.failed = 0
            return
        self._judge(group, target, self._look(instance_id, group.health_check_path or "/"))

    def _look(self, instance_id: str, path: str) -> bool:
        seen = self._looked.pop((instance_id, path), None)
        return self.engine.machines.answers(instance_id, path) if seen is None else seen

    def _judge(self, group: Any, target: Target, passed: bool) -> None:
        target.passed = target.passed + 1 if passed else 0
        target.failed = 0 if passed else target.failed + 1
        needed = 1 if target.state == "initial" else int(group.healthy_threshold_count)
        if passed and target.passed >= needed:
            if target.state != "healthy":
                self._become(group.arn, target, "healthy", None)
        elif target.failed >= int(group.unhealthy_threshold_count):
            if target.state != "unhealthy":
                self._become(group.arn, target, "unhealthy", "Target.FailedHealthChecks")
        elif target.state == "initial":
            target.reason = "Elb.InitialHealthChecking"

    def _become(self, arn: str, target: Target, state: str, reason: str | None) -> None:
        target.state, target.reason = state, reason
        for told in self.on_change:
            told(arn, target)

    def _drained(self, arn: str, instance_id: str, life: int) -> None:
        have = self.engine.state.targets.get(arn, {})
        if instance_id in have and have[instance_id].life == life:
            del have[instance_id]


def _described(group: Any) -> Params:
    """A target group of moto's: its names for the members are the API's own."""
    alike = ("Protocol", "ProtocolVersion", "Port", "VpcId", "TargetType", "IpAddressType", "Matcher")
    health = ("Protocol", "Port", "Enabled", "IntervalSeconds", "TimeoutSeconds", "Path")
    names = [*alike, *(f"HealthCheck{one}" for one in health), "HealthyThresholdCount", "UnhealthyThresholdCount"]
    shown = {name: getattr(group, xform_name(name), None) for name in [*names, "LoadBalancerArns"]}
    return {"TargetGroupArn": group.arn, "TargetGroupName": group.name, **shown}


def _routes(backend: Any) -> set[tuple[str, str]]:
    """Which load balancer forwards to which target group, by any listener or rule."""
    return {
        (balancer.arn, arn)
        for balancer in backend.load_balancers.values()
        for listener in balancer.listeners.values()
        for rule in [listener, *listener.rules.values()]
        for action in (rule.default_actions if rule is listener else rule.actions)
        for arn in _forwarded(action)
    }


def _forwarded(action: Any) -> list[str]:
    data = getattr(action, "data", action)
    weighted = (data.get("ForwardConfig") or {}).get("TargetGroups") or []
    return [group["TargetGroupArn"] for group in weighted] + [data[k] for k in ("TargetGroupArn",) if data.get(k)]
