"""The engine: what there is, what is due when, and how what is due comes true as the clock moves."""

from __future__ import annotations

import contextlib
import fnmatch
import heapq
import itertools
import pickle
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from lab.aws.direct import Params
from lab.aws.faults import Faults
from lab.aws.wire import ErrorAnswer
from lab.clock import Clock
from lab.machines import Machines

T = TypeVar("T")
Page = tuple[list[Any], Params]
"""Some rows of a listing, and what to add to the answer if there are more."""


@dataclass(frozen=True)
class Timings:
    """How long things take, in seconds."""

    launch: float = 10  # an instance is `pending`; then it is `running`, though its service does not answer yet
    boot: float = 45  # from the start until its service can answer
    ssm: float = 10  # from having booted until the SSM agent is online
    stop: float = 20  # `stopping`
    terminate: float = 20  # `shutting-down`
    image: float = 120  # an image is `pending`
    react: float = 2  # until an Auto Scaling group begins to do what it was told
    register: float = 5  # from being registered until the first health check
    send: float = 1  # a command that was sent cannot be looked up yet (InvocationDoesNotExist)
    command: float = 3  # from sending a command until it can be seen to have ended, at the earliest
    hook: float = 10  # the longest a lifecycle hook waits, whatever its HeartbeatTimeout
    retry: float = 30  # between two attempts of a group to launch what failed to launch
    poll: float = 1  # between two looks at a running script
    publish: int = 60  # the length of a data point of a load balancer's metrics
    lag: float = 60  # from the end of such a data point until CloudWatch shows it
    refresh: float = 60  # between two looks of an instance refresh, which may replace an instance at each

    @classmethod
    def quick(cls) -> Timings:
        """For demos on a real clock: a second or two each."""
        return cls(1, 2, 0.5, 1, 1, 2, 0.3, 0.3, 0.2, 0.3, 1, 2, 0.1, 1, 0.5)


@dataclass
class FakeInstance:
    """One EC2 instance."""

    id: str
    launched: float
    launch: Params  # the RunInstances members that it was made with
    subnet: str
    zone: str
    address: str
    state: str = "pending"
    reason: str = ""
    booted: float | None = None  # since when the machine is on
    heard: float | None = None  # when its SSM agent was online last, before it went off
    start: int = 0  # which start of it this is: what was due for an earlier one is void

    @property
    def image(self) -> str:
        """The image it was launched from."""
        return str(self.launch["ImageId"])


@dataclass
class FakeImage:
    """One AMI."""

    id: str
    name: str
    made: float
    source: str | None
    snapshot: str
    state: str = "pending"
    reason: str = ""
    description: str = ""
    shared: list[Params] = field(default_factory=list)  # who else may launch it
    size: int = 8  # GiB that its root volume takes at least


@dataclass
class Version:
    """One launch template version."""

    number: int
    data: Params
    description: str | None
    made: float


@dataclass
class FakeTemplate:
    """One launch template."""

    id: str
    name: str
    made: float
    versions: dict[int, Version] = field(default_factory=dict)
    default: int = 1
    numbered: int = 0  # how many versions it ever had: a deleted one's number is not given again
    tokens: dict[str, tuple[Params, int]] = field(default_factory=dict)

    @property
    def latest(self) -> int:
        """What `$Latest` means: the newest version that still exists."""
        return max(self.versions)


#: Lifecycle states of members that do not count for the desired size (EC2 Auto Scaling user guide, standby).
ASIDE = frozenset({"EnteringStandby", "Standby", "Detaching"})


@dataclass
class Member:
    """One instance of an Auto Scaling group."""

    id: str
    zone: str
    kind: str
    template: Params | None
    lifecycle: str = "Pending"
    healthy: bool = True
    protected: bool = False
    ailing: str = "a user health-check"  # why it is not healthy, as the activity that ends it says
    joined: float = 0  # when it came into service (epoch seconds)
    activity: Params = field(default_factory=dict)  # the launch or termination under way


@dataclass
class FakeGroup:
    """One Auto Scaling group."""

    name: str
    arn: str
    made: float
    config: Params
    members: dict[str, Member] = field(default_factory=dict)
    warm: dict[str, Member] = field(default_factory=dict)  # of its warm pool: launched, and stopped again
    suspended: dict[str, str] = field(default_factory=dict)
    tags: dict[str, tuple[str, bool]] = field(default_factory=dict)
    hooks: dict[str, Params] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)  # target group -> by which call: "group" or "source"
    leaving: dict[str, float] = field(default_factory=dict)  # target group detached -> until when it is `Removing`
    activities: list[Params] = field(default_factory=list)
    attached: dict[str, dict[str, Params]] = field(default_factory=dict)  # policies, schedules, metrics, the warm pool
    deleting: bool = False
    because: str = ""  # why its desired size was last changed, as the activities say that follow from it

    @property
    def pool(self) -> Params | None:
        """The settings of its warm pool, None if it has none."""
        return self.attached.get("warm", {}).get("pool")

    def active(self) -> list[Member]:
        """Members that count for the desired size: not on their way out, and not set aside."""
        return [member for member in self.staying() if member.lifecycle not in ASIDE]

    def aside(self) -> list[Member]:
        """Members that are set aside, or on their way there."""
        return [member for member in self.staying() if member.lifecycle in ASIDE]

    def staying(self) -> list[Member]:
        """Members that are not on their way out."""
        return [member for member in self.members.values() if not member.lifecycle.startswith("Terminat")]


@dataclass
class Target:
    """One instance in one target group."""

    id: str
    port: int
    since: float
    state: str = "initial"
    reason: str | None = "Elb.RegistrationInProgress"
    passed: int = 0
    failed: int = 0
    life: int = 0  # which registration of it this is: checks that were due for an earlier one are void


@dataclass
class CommandInvocation:
    """One command on one instance."""

    command: str
    instance: str
    sent: float
    status: str = "Pending"
    began: float | None = None
    ended: float | None = None
    exit_code: int = -1
    output: str = ""
    error: str = ""


@dataclass
class FakeCommand:
    """One SendCommand."""

    id: str
    sent: float
    params: Params
    invocations: dict[str, CommandInvocation] = field(default_factory=dict)


@dataclass
class State:
    """Everything that is ours rather than moto's. Plain data only, so that it can be pickled as a picture of itself."""

    instances: dict[str, FakeInstance] = field(default_factory=dict)
    images: dict[str, FakeImage] = field(default_factory=dict)
    snapshots: dict[str, Params] = field(default_factory=dict)
    templates: dict[str, FakeTemplate] = field(default_factory=dict)
    fleets: dict[str, Params] = field(default_factory=dict)
    spot_fleets: dict[str, Params] = field(default_factory=dict)
    configurations: dict[str, Params] = field(default_factory=dict)
    most_groups: int = 500  # the account's quota of groups in its region (AWS's default)
    groups: dict[str, FakeGroup] = field(default_factory=dict)
    targets: dict[str, dict[str, Target]] = field(default_factory=dict)
    commands: dict[str, FakeCommand] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)


class Timeline:
    """State, and the transitions that are due. It has no thread: `advance` brings it up to the clock."""

    def __init__(self, clock: Clock, machines: Machines, timings: Timings, faults: Faults) -> None:
        """Begin with nothing at the clock's present."""
        self.clock, self.machines, self.timings, self.faults = clock, machines, timings, faults
        self.state = State()
        self.now = clock.now()
        self._due: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = itertools.count(1)
        self._pictures: list[tuple[float, bytes]] = []
        faults.on_stale = self.keep

    def new_id(self, prefix: str) -> str:
        """An id that AWS could have given: the same ones in every run."""
        return f"{prefix}-{next(self._number):017x}"

    def new_uuid(self) -> str:
        """Such an id in the form of a UUID."""
        return str(uuid.UUID(int=next(self._number) | 0x4000_8000 << 48))

    def after(self, seconds: float, act: Callable[..., None], *arguments: object) -> None:
        """Have `act(*arguments)` happen so many seconds after what happens now."""
        heapq.heappush(self._due, (self.now + seconds, next(self._number), act, arguments))

    def advance(self) -> None:
        """Let everything happen that is due by the clock, each at its own time and in order."""
        until = self.clock.now()
        while self._due and self._due[0][0] <= until:
            when, _, act, arguments = heapq.heappop(self._due)
            self.now = max(self.now, when)
            act(*arguments)
            self.keep()
        self.now = max(self.now, until)

    def due(self, act: Callable[..., None]) -> list[tuple[Any, ...]]:
        """The arguments of every call of `act` that `advance` would make now."""
        until = self.clock.now()
        return [arguments for when, _, what, arguments in self._due if when <= until and what == act]

    def keep(self) -> None:
        """Take a picture of the state, if reads are to be stale; AWS's own reads are eventually consistent."""
        if not self.faults.staleness:
            return
        self._pictures.append((self.now, pickle.dumps(self.state, pickle.HIGHEST_PROTOCOL)))
        while len(self._pictures) > 1 and self._pictures[1][0] <= self.now - self.faults.staleness:
            self._pictures.pop(0)

    @contextlib.contextmanager
    def as_seen(self) -> Iterator[None]:
        """While inside, the state is the one that a stale read shows."""
        if not self.faults.staleness or not self._pictures:
            yield
            return
        seen = [picture for when, picture in self._pictures if when <= self.now - self.faults.staleness]
        real = self.state
        self.state = pickle.loads(seen[-1] if seen else self._pictures[0][1])  # noqa: S301 - our own bytes
        try:
            yield
        finally:
            self.state = real


def page(
    items: Sequence[Any], params: Params, size_key: str, default: int, limit: int = 1000, code: str = "ValidationError"
) -> Page:
    """One page of a listing, and the `NextToken` to the next, if there is one. `code`: of what refuses the size."""
    size = int(params.get(size_key) or default)
    if not 1 <= size <= limit:
        raise ErrorAnswer(code, f"{size_key} must be between 1 and {limit}")
    first = int(params.get("NextToken") or 0)
    more: Params = {"NextToken": str(first + size)} if first + size < len(items) else {}
    return list(items[first : first + size]), more


def matches(filters: Iterable[Params] | None, values: Callable[[T, str], Iterable[str] | None], resource: T) -> bool:
    """Whether a resource passes EC2's filters: each must match with any of its values, which may hold `*` and `?`.

    `values` tells what a filter sees of a resource, None if there is no such filter.
    """
    return all(_passes(wanted, values(resource, wanted["Name"])) for wanted in filters or ())


def _passes(wanted: Params, values: Iterable[str] | None) -> bool:
    if values is None:
        raise ErrorAnswer("InvalidParameterValue", f"The filter '{wanted['Name']}' is invalid")
    return any(fnmatch.fnmatchcase(value, pattern) for value in values for pattern in wanted.get("Values", []))


def tag_values(name: str, tags: dict[str, str]) -> list[str] | None:
    """The values that the filters `tag:<key>` and `tag-key` see, None for other filters."""
    if name == "tag-key":
        return list(tags)
    if not name.startswith("tag:"):
        return None
    return [value for key, value in tags.items() if key == name[4:]]


def tag_list(tags: dict[str, str]) -> list[Params]:
    """Tags as EC2 shows them."""
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
