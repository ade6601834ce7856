"""The fake AWS as its users see it: two entry points, faults, a record of calls, and inspection."""

from __future__ import annotations

import itertools
import os
import re
import threading
import weakref
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import boto3
import moto.backends

from lab.aws.alarms import Alarms
from lab.aws.attached import Attached
from lab.aws.bounds import check_bounds
from lab.aws.buckets import Buckets
from lab.aws.client import FakeSession
from lab.aws.commands import SsmCommands
from lab.aws.ec2 import Ec2, ElsewhereError, Handler, Templates
from lab.aws.engine import Timeline, Timings
from lab.aws.faults import Faults, HtmlAnswer, LostAnswer, Swallowed
from lab.aws.fleets import Fleets
from lab.aws.groups import Groups
from lab.aws.identity import CallerIdentity
from lab.aws.listeners import Listeners
from lab.aws.metrics import Metrics
from lab.aws.policies import Policies
from lab.aws.prices import Prices
from lab.aws.quotas import Quotas
from lab.aws.refreshes import Refreshes
from lab.aws.scaling import Scaling
from lab.aws.schedules import Schedules
from lab.aws.server import FakeAwsServer
from lab.aws.stacks import Stacks
from lab.aws.tables import Tables
from lab.aws.targets import Targets
from lab.aws.traffic import Traffic
from lab.aws.wire import Answer, ErrorAnswer, Incoming, as_read, for_moto, parse, refuse, serialise
from lab.clock import Clock, RealClock, VirtualClock
from lab.machines import FakeMachines, Machines

os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")  # hundreds of images that nobody here looks at

BOUNDED = ("autoscaling", "cloudwatch")
"""Services whose requests are compared with the bounds of their model; what is asked of others is not checked so."""
DRY_RUN = "Request would have succeeded, but DryRun flag is set."
_accounts = itertools.count(100_000_000_001)
_free: list[str] = []


@dataclass(frozen=True)
class Call:
    """One request that was answered (or was to be)."""

    service: str
    operation: str
    region: str
    when: float
    """Epoch seconds by the lab's clock."""
    mutating: bool
    error: str | None
    """The error code that it was answered with; "LostAnswer" when the connection was cut after the effect, "Swallowed"
    when nothing came of it."""

    @property
    def name(self) -> str:
        """As IAM writes it."""
        return f"{self.service}:{self.operation}"


class FakeAws:
    """One account in one region. Any number of them may live in one process; they share nothing."""

    def __init__(
        self,
        clock: Clock | None = None,
        machines: Machines | None = None,
        timings: Timings | None = None,
        region: str = "ap-northeast-2",
    ) -> None:
        """Begin with an empty account on this clock (a virtual one unless told)."""
        self.clock: Clock = clock or VirtualClock()
        self.machines: Machines = machines or FakeMachines(self.clock)
        self.region, self.account = region, _free.pop() if _free else str(next(_accounts))
        self.faults = Faults()
        self.calls: list[Call] = []
        self.engine = Timeline(self.clock, self.machines, timings or Timings(), self.faults)
        self.lock = threading.RLock()
        self._server: FakeAwsServer | None = None
        self._subnets: dict[str, str] | None = None
        self._build()
        self._forget = weakref.finalize(self, _forget, self.account)

    def _build(self) -> None:
        ec2, templates = Ec2(self.engine, self._zones, self.account), Templates(self.engine)
        self._ec2 = ec2
        self._stacks = Stacks(ec2, lambda: self._moto("cloudformation"))
        self._targets = Targets(self.engine, lambda: self._moto("elbv2"))
        self._listeners = Listeners(lambda: self._moto("elbv2"), self._balancing_changed)
        scaling = Scaling(self.engine, ec2, templates, self._targets)
        self._scaling = scaling
        groups = Groups(self.engine, scaling, templates, self.region, self.account)
        self.metrics = Metrics(self.engine)
        self.identity, self.quotas = CallerIdentity(lambda: _backends("iam")[self.account]["aws"]), Quotas()
        self.prices = Prices()
        self.alarms = Alarms(self.engine, self.metrics, self.region, self.account)
        self._policies = Policies(groups, self.alarms)
        self.buckets = Buckets(self.region, self.account, self.clock.now)
        self.traffic = Traffic(self.engine, self.metrics, self._targets, self.weights)
        self._operations: dict[str, dict[str, Handler]] = {
            "ec2": {**ec2.operations(), **templates.operations(), **Fleets(self.engine, templates).operations()},
            "autoscaling": {
                **groups.operations(),
                **self._policies.operations(),
                **Schedules(groups).operations(),
                **Attached(groups, self.metrics).operations(),
                **Refreshes(groups).operations(),
            },
            "elbv2": {
                **self._targets.operations(),
                **self._listeners.operations(),
                **self.quotas.of_balancers(),
            },
            "ssm": SsmCommands(self.engine).operations(),
            "sts": self.identity.sts(),
            "iam": self.identity.operations(),
            "service-quotas": self.quotas.operations(),
            "pricing": self.prices.operations(),
            "cloudwatch": {**self.metrics.operations(), **self.alarms.operations()},
        }
        tables = _backends("dynamodb")
        self._tables = Tables(lambda region: tables[self.account][region].tables, self.clock.now)

    # -- ways in -----------------------------------------------------------------------------------------------------

    def session(self, recorded: bool = True) -> boto3.Session:
        """A boto3 session whose clients are answered here, without sockets or threads.

        With `recorded=False` it is somebody else's: its calls are not in `calls`, and no fault strikes them.
        """
        return FakeSession(self._answer_in_process, self.clock, self.region, recorded)

    def serve(self, port: int = 0, tick: float = 0.1) -> str:
        """Listen on 127.0.0.1 and give the URL for AWS_ENDPOINT_URL; every `tick` seconds, time moves things."""
        if self._server is None:
            self._server = FakeAwsServer(self, port, tick)
        return self._server.url

    def close(self) -> None:
        """Stop listening, and let moto forget the account."""
        if self._server:
            self._server.close()
            self._server = None
        self._forget()

    def advance(self) -> None:
        """Let everything happen that is due by the clock. Every request does it first, or a server's ticker."""
        with self.lock:
            self.engine.advance()

    def tick(self, ask: Callable[[list[tuple[str, str]]], dict[tuple[str, str], bool]]) -> None:
        """Advance, having asked the machines before: a slow health check must not hold up requests."""
        with self.lock:
            due = self._targets.due_looks()
        looks = ask(due) if due else {}
        with self.lock:
            self._targets.saw(looks)
            self.engine.advance()

    def answer(self, request: Incoming, recorded: bool = True) -> Answer:
        """Answer one request. LostAnswer: it had its effect, the connection is to be cut. Swallowed: it had none."""
        with self.lock:
            if self._server is None or not isinstance(self.clock, RealClock):
                self.engine.advance()
            if not recorded:
                return self._effect(request)
            number, error = len(self.calls) + 1, "Crashed"
            try:
                answer = self._struck(request, number)
                error = answer.error_code or ""
            except (LostAnswer, Swallowed) as lost:
                error = type(lost).__name__
                raise
            finally:
                where = (request.service, request.operation, request.region)
                mutating = request.mutating and not self._is_dry(request)
                self.calls.append(Call(*where, self.engine.now, mutating, error or None))
            return answer

    def _struck(self, request: Incoming, number: int) -> Answer:
        try:
            self.faults.before(request, number)
        except ErrorAnswer as error:
            return refuse(request, error)
        except HtmlAnswer as page:
            return Answer(page.status, {"Content-Type": "text/html"}, page.body)
        answer = self._effect(request)
        self.faults.later(request, number)
        return answer

    def _answer_in_process(self, request: Incoming, recorded: bool) -> Answer:
        return self.answer(request, recorded)

    def _effect(self, request: Incoming) -> Answer:
        ours = self._operations.get(request.service, {})
        handler = ours.get(request.operation)
        if request.service == "s3":
            return self.buckets.answer(request)
        if handler is None and request.service in ("autoscaling", "cloudwatch"):
            return refuse(request, ErrorAnswer("InvalidAction", f"The lab does not know {request.name}"))
        if request.service == "dynamodb" and (answer := self._tables.answer(request)):
            return as_read(request, answer)
        if self._is_dry(request):
            return refuse(request, ErrorAnswer("DryRunOperation", DRY_RUN, 412))
        if handler is None:
            return self._by_moto(request)
        try:
            return serialise(request, self._ours(request, handler))
        except ErrorAnswer as error:
            return refuse(request, error)
        except ElsewhereError:
            return self._by_moto(request)

    def _is_dry(self, request: Incoming) -> bool:
        """Whether EC2 is only asked whether it would do that."""
        return request.service == "ec2" and request.mutating and bool(parse(request).get("DryRun"))

    def _ours(self, request: Incoming, handler: Handler) -> dict[str, Any]:
        if not request.mutating:
            with self.engine.as_seen():
                return handler(parse(request))
        params = parse(request)
        if request.service in BOUNDED:
            check_bounds(request.service, request.operation, params)
        result = handler(params)
        self.engine.keep()
        return result

    # -- moto --------------------------------------------------------------------------------------------------------

    def _by_moto(self, request: Incoming) -> Answer:
        if request.name == "ec2:DescribeSubnets":
            self._count_addresses()
        asked = for_moto(request, self.account)
        handler = _moto_handler(request.service, asked.path)
        status, headers, body = handler(asked, asked.url, asked.headers)
        if request.mutating and request.service == "ec2":
            self._subnets = None
        if request.mutating and request.service == "cloudformation":
            self._stacks.changed()
        if request.mutating and request.service == "elbv2":
            self._balancing_changed()
        return Answer(int(status), dict(headers), body if isinstance(body, bytes) else str(body).encode())

    def _balancing_changed(self) -> None:
        self._targets.balancing_changed()
        self.traffic.balancing_changed()

    def _moto(self, service: str) -> Any:  # a moto backend: each has a class of its own
        return _backends(service)[self.account][self.region]

    def _zones(self) -> dict[str, str]:
        if self._subnets is None:
            zones = self._moto("ec2").subnets.values()
            self._subnets = {s.id: s.availability_zone for zone in zones for s in zone.values()}
        return self._subnets

    def _count_addresses(self) -> None:
        """Moto knows nothing of our instances, which have an address each; AWS keeps five of a subnet for itself."""
        taken = Counter(i.subnet for i in self.engine.state.instances.values() if i.state != "terminated")
        for subnet in (one for zone in self._moto("ec2").subnets.values() for one in zone.values()):
            subnet._available_ip_addresses = subnet.cidr.num_addresses - 5 - taken[subnet.id]

    def network(self) -> tuple[str, list[str]]:
        """The default network that every account begins with: its VPC and that one's subnets."""
        found = [one for zone in self._moto("ec2").subnets.values() for one in zone.values()]
        return found[0].vpc_id, [one.id for one in found]

    def take(self, instance_id: str) -> None:
        """AWS ends an instance, as it does when it wants spot capacity back."""
        with self.lock:
            self.engine.advance()
            self._ec2.terminate(instance_id, "Server.SpotInstanceTermination: Spot instance termination")

    def rebalance(self, instance_id: str, process: str = "AZRebalance") -> None:
        """A group replaces an instance, its successor first: to even out zones, or since spot capacity ends.

        The second (`process`: "CapacityRebalance") happens only if the group has that setting; nobody can suspend it.
        """
        with self.lock:
            self.engine.advance()
            for group in self.engine.state.groups.values():
                if instance_id in group.members and (process == "AZRebalance" or group.config[process]):
                    self._scaling.swap(group, group.members[instance_id], process)

    # -- looks inside, for tests -------------------------------------------------------------------------------------

    def instances(self) -> dict[str, str]:
        """Every instance's EC2 state."""
        self.advance()
        return {instance.id: instance.state for instance in self.engine.state.instances.values()}

    def members(self, group: str) -> dict[str, str]:
        """A group's instances and their lifecycle states; none if there is no such group."""
        self.advance()
        found = self.engine.state.groups.get(group)
        return {member.id: member.lifecycle for member in found.members.values()} if found else {}

    def fire(self, group: str, policy: str) -> int:
        """Let the alarm of a scaling policy fire; the size that the group is to have then."""
        with self.lock:
            self.advance()
            return self._policies.fire(group, policy)

    def serving(self, target_group_arn: str) -> dict[str, str]:
        """The state of each target that is registered or draining."""
        self.advance()
        return self._targets.states(target_group_arn)

    def routes(self, target_group_arn: str) -> list[str]:
        """To whom a load balancer sends new requests now: the healthy, or with none of them all that are registered."""
        states = self.serving(target_group_arn)
        healthy = [one for one, state in states.items() if state == "healthy"]
        return healthy or [one for one, state in states.items() if state not in ("draining", "unused")]

    def weights(self, listener_or_rule_arn: str) -> dict[str, int]:
        """The weight of each target group that a listener (its default action) or rule forwards to."""
        with self.lock:
            return self._listeners.weights(listener_or_rule_arn)

    def actions(self, listener_or_rule_arn: str) -> list[dict[str, Any]]:
        """What a listener (by default) or rule does, secrets included; none if there is no such thing."""
        with self.lock:
            return self._listeners.actions(listener_or_rule_arn)

    def rules(self, listener_arn: str) -> list[tuple[str, list[dict[str, Any]], list[dict[str, Any]]]]:
        """A listener's rules as they are tried, the default rule last: ARN, conditions, actions."""
        with self.lock:
            return self._listeners.rules(listener_arn)

    @property
    def addresses(self) -> dict[str, str]:
        """Where each instance serves: what `machines.address` says if it can, else its private address."""
        tell: Callable[[str], str | None] = getattr(self.machines, "address", lambda _: None)
        return {i.id: tell(i.id) or f"http://{i.address}" for i in self.engine.state.instances.values()}


@cache
def _backends(service: str) -> Any:  # moto's accounts; it imports the service's module each time it is asked
    named: Any = service
    return moto.backends.get_backend(named)


_handlers: dict[tuple[str, str], Any] = {}


def _moto_handler(service: str, path: str) -> Any:  # moto's dispatch functions
    if (service, path) not in _handlers:
        backend = _backends(service)["123456789012"]
        backend = backend["aws" if "aws" in backend.regions and "us-east-1" not in backend.regions else "us-east-1"]
        _handlers[service, path] = next(h for pattern, h in backend.url_paths.items() if re.match(f"{pattern}$", path))
    return _handlers[service, path]


def _forget(account: str) -> None:
    """Throw away what moto keeps for an account, and let the next one have its number."""
    from moto.core.base_backend import BackendDict

    backends: Any = vars(BackendDict)["_instances"]
    for backend in backends:
        backend.pop(account, None)
    if account not in _free:
        _free.append(account)
