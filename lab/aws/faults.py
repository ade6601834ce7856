"""Faults on order: what AWS does to its users on a bad day, when a test says so."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from lab.aws.wire import ErrorAnswer, Incoming

THROTTLES = {
    "ec2": ("RequestLimitExceeded", "Request limit exceeded.", 503),
    "ssm": ("ThrottlingException", "Rate exceeded", 400),
    "dynamodb": ("ThrottlingException", "Rate exceeded", 400),
}
DENIALS = {"ec2": ("UnauthorizedOperation", 403), "ssm": ("AccessDeniedException", 400)}
DENIALS["dynamodb"] = DENIALS["kms"] = DENIALS["ssm"]
BREAKDOWNS = {"ec2": "InternalError", "ssm": "InternalServerError", "dynamodb": "InternalServerError"}
NO_CAPACITY = (
    "We currently do not have sufficient {kind} capacity in the Availability Zone you requested ({zone}). Our system "
    "will be working on provisioning additional capacity. Launching EC2 instance failed."
)


class LostAnswer(Exception):
    """The connection broke after the effect: the client never learns of it."""


class Swallowed(Exception):
    """The request is lost on its way: nothing comes of it, and the client hears nothing until it has waited enough."""


class HtmlAnswer(Exception):
    """Something on the way answers with a page of HTML, as proxies and load balancers do, in place of AWS."""

    def __init__(self, status: int) -> None:
        super().__init__(f"a page with status {status}")
        self.status = status
        self.body = f"<!DOCTYPE html><html><body><h1>{status}</h1><hr>proxy</body></html>".encode()


class Crashed(BaseException):
    """The calling process dies here. Not an Exception, so that no handler of the code under test survives it."""


@dataclass
class Fault:
    """A fault that was ordered: for operations like `pattern`, after `skip` of them, the next `left` times."""

    pattern: str
    error: Callable[[Incoming], Exception]
    left: int | None
    skip: int = 0
    late: bool = False  # strikes after the effect

    def strikes(self, request: Incoming) -> bool:
        """Whether this call is struck; counts it."""
        if self.left == 0 or not fnmatch.fnmatchcase(request.name, self.pattern):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.left = None if self.left is None else self.left - 1
        return True


@dataclass
class Scarcity:
    """A condition on names that begin with `prefix`, for the next `left` cases (None: until cleared)."""

    prefix: str
    text: str | None
    left: int | None = None

    def strikes(self, *names: str) -> bool:
        """Whether it applies to something with these names; counts it."""
        if self.left == 0 or not any(name.startswith(self.prefix) for name in names):
            return False
        self.left = None if self.left is None else self.left - 1
        return True


@dataclass
class Faults:
    """The order book. Operations are named as in IAM policies and may hold `*`: `autoscaling:Describe*`."""

    staleness: float = 0
    on_stale: Callable[[], None] = lambda: None
    _orders: list[Fault] = field(default_factory=list)
    _crashes: dict[tuple[int | str, str], Callable[[], None]] = field(default_factory=dict)
    _capacity: list[Scarcity] = field(default_factory=list)
    _images: list[Scarcity] = field(default_factory=list)
    _boots: list[Scarcity] = field(default_factory=list)
    _agents: list[Scarcity] = field(default_factory=list)

    def throttle(self, op: str, times: int | None = 1, skip: int = 0) -> None:
        """Refuse the next calls for being too many. boto3 retries them by itself."""
        self._order(op, throttled, times, skip)

    def fail(self, op: str, code: str, message: str, times: int | None = 1, skip: int = 0, status: int = 400) -> None:
        """Refuse the next calls with this error, after letting `skip` pass."""
        self._order(op, lambda _: ErrorAnswer(code, message, status), times, skip)

    def deny(self, op: str, times: int | None = None) -> None:
        """Refuse for want of permission, until `allow`."""
        self._order(op, denied, times)

    def allow(self, op: str) -> None:
        """Drop every order for exactly this name or pattern."""
        self._orders = [order for order in self._orders if order.pattern != op]

    def server_error(self, op: str, times: int | None = 1, skip: int = 0) -> None:
        """Answer 500 without an effect. boto3 retries it by itself."""
        self._order(op, broken_down, times, skip)

    def page(self, op: str, times: int | None = 1, skip: int = 0, status: int = 500) -> None:
        """Answer with a page of HTML, without an effect. Where XML is due boto3 raises ResponseParserError at once."""
        self._order(op, lambda _: HtmlAnswer(status), times, skip)

    def swallow(self, op: str, times: int | None = 1, skip: int = 0) -> None:
        """Let the next calls get lost: no effect and no answer, until the client's read timeout. boto3 sends again."""
        self._order(op, lambda _: Swallowed(), times, skip)

    def lose_answer(self, op: str, nth: int = 1) -> None:
        """Let the nth call from now have its effect, and then cut the connection. boto3 then sends it again."""
        self._orders.append(Fault(op, lambda _: LostAnswer(), 1, nth - 1, late=True))

    def crash(
        self, call: int | str, when: Literal["before", "after"] = "before", how: Callable[[], None] | None = None
    ) -> None:
        """Call `how` at that call, before or after its effect: 1 is the first one in `pretend.calls`.

        A text is the next call of that operation, as in `ec2:RunInstances`. Without `how`, `Crashed` is raised, which
        no `except Exception` catches.
        """
        self._crashes[call, when] = how or _crash

    def stale(self, seconds: float) -> None:
        """Let reads of everything but load balancers and tables show what was so many seconds ago; 0 ends it."""
        self.staleness = seconds
        self.on_stale()

    def no_capacity(self, group_prefix: str = "", message: str | None = None, times: int | None = None) -> None:
        """Let launches of groups with such a name fail, as scaling activities that say why."""
        self._capacity.append(Scarcity(group_prefix, message, times))

    def image_fails(self, reason: str = "Client.InternalError", times: int | None = None) -> None:
        """Let new images end as `failed`, for this reason."""
        self._images.append(Scarcity("", reason, times))

    def never_boots(self, prefix: str = "", times: int | None = None) -> None:
        """Let instances run without ever answering: those whose id, image or group begins with `prefix`."""
        self._boots.append(Scarcity(prefix, None, times))

    def no_agent(self, *instances: str) -> None:
        """Let these instances have no SSM agent that answers."""
        self._agents += [Scarcity(one, None) for one in instances]

    def clear(self) -> None:
        """Let everything be well from now on."""
        for book in (self._orders, self._capacity, self._images, self._boots, self._agents):
            book.clear()
        self._crashes.clear()
        self.staleness = 0

    def before(self, request: Incoming, number: int) -> None:
        """What strikes before the effect. AwsError, Page, Swallowed, or the exception of a crash."""
        self._crash(request, number, "before")
        self._strike(request, late=False)

    def later(self, request: Incoming, number: int) -> None:
        """What strikes after the effect, before the answer. LostAnswer, or the exception of a crash."""
        self._crash(request, number, "after")
        self._strike(request, late=True)

    def _crash(self, request: Incoming, number: int, when: str) -> None:
        for call in (number, request.name):
            self._crashes.pop((call, when), _nothing)()

    def launch_failure(self, group: str, kind: str, zone: str) -> str | None:
        """Why this group cannot launch an instance now."""
        found = next((scarcity for scarcity in self._capacity if scarcity.strikes(group)), None)
        return (found.text or NO_CAPACITY).format(kind=kind, zone=zone) if found else None

    def image_failure(self) -> str | None:
        """Why an image that is to be available now fails instead."""
        found = next((scarcity for scarcity in self._images if scarcity.strikes("")), None)
        return found.text if found else None

    def boot_failure(self, *names: str) -> bool:
        """Whether an instance with these names hangs at boot."""
        return any(scarcity.strikes(*names) for scarcity in self._boots)

    def agent_failure(self, instance: str) -> bool:
        """Whether this instance's agent never answers."""
        return any(scarcity.strikes(instance) for scarcity in self._agents)

    def _order(self, op: str, error: Callable[[Incoming], Exception], times: int | None, skip: int = 0) -> None:
        self._orders.append(Fault(op, error, times, skip))

    def _strike(self, request: Incoming, *, late: bool) -> None:
        for order in self._orders:
            if order.late == late and order.strikes(request):
                raise order.error(request)


def throttled(request: Incoming) -> ErrorAnswer:
    """The refusal for too many requests, as this service words it."""
    return ErrorAnswer(*THROTTLES.get(request.service, ("Throttling", "Rate exceeded", 400)))


def denied(request: Incoming) -> ErrorAnswer:
    """The refusal for want of permission, as this service words it."""
    code, status = DENIALS.get(request.service, ("AccessDenied", 403))
    action = request.name.replace("elbv2:", "elasticloadbalancing:").replace("service-quotas:", "servicequotas:")
    why = (
        f"User: arn:aws:iam::123456789012:user/lab is not authorized to perform: {action} "
        f"because no identity-based policy allows the {action} action"
    )
    return ErrorAnswer(
        code, f"You are not authorized to perform this operation. {why}" if code[0] == "U" else why, status
    )


def broken_down(request: Incoming) -> ErrorAnswer:
    """An error that is AWS's own."""
    return ErrorAnswer(BREAKDOWNS.get(request.service, "InternalFailure"), "An internal error has occurred", 500)


def _nothing() -> None:
    pass


def _crash() -> None:
    raise Crashed
