"""A whole world on the virtual clock: fake AWS, a service that serves, and drivers that may die.

`Ops` is the people and machines around a release. Every AWS call of a driver goes through a session of its
own, so one driver can die (nothing of it reaches AWS any more, as after SIGKILL) while the world goes on.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Protocol

from botocore import xform_name

from bluegreen import Engine, Until
from bluegreen.aws import HttpAnswer, HttpRequest
from bluegreen.config import Config, parse
from bluegreen.errors import BlueGreenError
from bluegreen.events import Awaited, Event, EventKind, Phase, Verb
from bluegreen.release import Release
from lab.aws import FakeAws, Timings
from lab.aws.client import Answers, FakeSession
from lab.aws.wire import Answer, Incoming
from lab.clock import VirtualClock
from lab.machines import FakeMachines
from lab.world import World

GOOD, SICK = "c0ffee01aaaa", "bad0bad0bbbb"

#: What makes a world in which nothing takes long (`fast`).
FAST = Timings(1, 3, 1, 2, 2, 5, 1, 1, 0.5, 1, 1, 5, 1)
CHANGES = {
    "soak": 4,
    "poll": 2,
    "timeouts": {"healthy": 120},
    "checks": [{"name": "unit", "run": "true", "every": "2s"}],
}
HEALTH = {"HealthCheckIntervalSeconds": 5, "HealthyThresholdCount": 2, "UnhealthyThresholdCount": 2}
STICKY = {"Enabled": True, "DurationSeconds": 6}


class Died(BaseException):
    """The driver's process is gone; no `except Exception` of its may notice."""


class Watch(Protocol):
    """Something that sees every call of a driver's session, and may end it."""

    def watch(self, answers: Answers) -> Answers:
        """Answers that go through this watch."""
        ...


@dataclass
class Last:
    """Dies once this operation has had its effect, before it hears of it."""

    operation: str
    dead: bool = False

    def watch(self, answers: Answers) -> Answers:
        """Answers until then."""

        def answer(request: Incoming, recorded: bool) -> Answer:
            answered = None if self.dead else answers(request, recorded)
            self.dead = self.dead or request.name == self.operation
            if self.dead or answered is None:
                raise Died
            return answered

        return answer


class Unforeseen:
    """An AWS whose answers lack what we count on, from some moment on, so many times."""

    def __init__(self, times: int) -> None:
        self.left = 0
        self.times = times

    def begin(self) -> None:
        """From now on."""
        self.left = self.times

    def watch(self, answers: Answers) -> Answers:
        """Groups without their minimum."""

        def answer(request: Incoming, recorded: bool) -> Answer:
            answered = answers(request, recorded)
            if request.operation != "DescribeAutoScalingGroups" or not self.left:
                return answered
            self.left -= 1
            for group in (answered.read or {})["AutoScalingGroups"]:
                del group["MinSize"]
            return answered

        return answer


class Pages:
    """Answers to HTTP checks that take the lab's time: what a URL's path says, in seconds, or `never`, or `lost`.

    One that never comes is given up when its time is over; a lost one is not even that, like a name that hangs.
    `flaps`: at once, and each second one is a 503.
    """

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._flapped = False

    def fetch(self, questions: Sequence[HttpRequest]) -> list[Future[HttpAnswer]]:
        """Answers that come as the clock moves on."""
        return [self._ask(one) for one in questions]

    def _ask(self, asked: HttpRequest) -> Future[HttpAnswer]:
        answer: Future[HttpAnswer] = Future()
        how = asked.url.rpartition("/")[2]
        if how == "flaps":
            self._flapped = not self._flapped
            answer.set_result(HttpAnswer(503 if self._flapped else 200, b"", 0.0))
            return answer
        seconds = asked.timeout if how == "never" else 0.0 if how == "lost" else float(how)
        if how == "never" or seconds >= asked.timeout:
            self._clock.after(asked.timeout, lambda: answer.set_exception(TimeoutError()))
        elif how != "lost":
            self._clock.after(seconds, lambda: answer.set_result(HttpAnswer(200, b"", seconds)))
        return answer


@dataclass
class Skewed:
    """A machine's clock, so many seconds ahead of the world's."""

    clock: VirtualClock
    ahead: float

    def now(self) -> float:
        """What this machine takes for the time."""
        return self.clock.now() + self.ahead

    def sleep(self, seconds: float) -> None:
        """As long as anywhere."""
        self.clock.sleep(seconds)


class Ops:
    """A service `web/production` on fake AWS, and what people do with it.

    `skews`: how far ahead the clocks of its machines are, one after another.
    """

    def __init__(
        self,
        *,
        instances: int = 2,
        changes: Mapping[str, Any] | None = None,
        timings: Timings | None = None,
        listen: float = 0.5,
        **world: Any,
    ) -> None:
        self.clock = VirtualClock()
        self.listen = listen
        self.machines = FakeMachines(self.clock)
        self.machines.sick(SICK)
        self.aws = FakeAws(self.clock, self.machines, timings)
        self.world = World.standard(self.aws, instances=instances, **world)
        quick = {"poll": "5s", "soak": "20s", "traffic": {**self.world.config()["traffic"], "overlap": "20s"}}
        quick["slack"] = {"promoters": ["*"], "rollbackers": ["*"]}
        self.config: Config = parse({**self.world.config(), **quick, **(changes or {})})
        self.before = self.group(self.world.group)
        self.told: list[Event] = []
        self.instances = instances
        self.harm: list[str] = []
        self.skews: Iterator[float] = repeat(0.0)
        self.beside: set[str] = set()  # groups of someone else in the target groups: they neither help nor harm

    def engine(self, death: Watch | None = None) -> Engine:
        """A new process: a session, a journal, a driver of its own."""
        session = self.aws.session()
        if death:
            session = FakeSession(death.watch(self.aws.answer), self.clock, self.aws.region, recorded=True)
        clock = Skewed(self.clock, next(self.skews))
        mine: dict[str, Any] = {"fetch": Pages(self.clock).fetch, "beside": self.clock.beside}
        return Engine(session=session, clock=clock, listen=self.listen, **mine)

    def start(self, commit: str = GOOD, **changes: Any) -> Release:
        """Somebody orders a release."""
        return self.engine().start(self.config, commit=commit, who="arn:aws:iam::1:user/ann", **changes)

    def drive(
        self,
        release: str,
        *,
        death: Watch | None = None,
        until: Until = Until.LIVE,
        stop: Callable[[], bool] = lambda: False,
        when: Callable[[Release], None] = lambda _: None,
    ) -> Release | None:
        """A driver drives; None when it died. `when` is called at everything it tells."""

        def tell(seen: Release, event: Event | None, awaited: Awaited | None, deadline: float | None) -> None:
            if event is not None:
                self.told.append(event)
            self._watch(seen)
            when(seen)

        try:
            return self.engine(death).drive(release, until=until, tell=tell, stop=stop)
        except Died:
            return None

    def rescue(self, release: str, when: Callable[[Release], None] = lambda _: None) -> Release:
        """Another driver takes over until the release has settled; it comes when the lease of the dead one is over."""
        self.clock.sleep(33)
        for _ in range(3):
            try:
                done = self.drive(release, when=when)
            except BlueGreenError:  # the dead driver's lease lives: wait for it
                self.clock.sleep(10)
            else:
                assert done is not None
                return done
        raise AssertionError(f"{release} could not be taken over")

    def order_back(self, at: Phase) -> Callable[[Release], None]:
        """For `when`: order the rollback once, as soon as the phase is entered."""
        ordered: list[str] = []

        def order(seen: Release) -> None:
            if seen.phase is at and not ordered:
                ordered.append(seen.id)
                self.engine().roll_back("web/production", who="slack:U1")

        return order

    # --- what is true now ---

    def group(self, name: str) -> dict[str, Any] | None:
        """A group as AWS shows it, without what changes by itself."""
        client = self.world.client("autoscaling")
        groups = client.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
        return groups[0] if groups else None

    def resized(self, name: str, size: int) -> None:
        """Somebody gives a group this size, and lets it shrink."""
        sizes = {"MinSize": 0, "DesiredCapacity": size}
        self.world.client("autoscaling").update_auto_scaling_group(AutoScalingGroupName=name, **sizes)

    def serving(self) -> set[str]:
        """Names of the groups whose instances get new requests now."""
        ids = {one for arn in self._weighing() for one in self.aws.routes(arn)}
        groups = self.world.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
        return {g["AutoScalingGroupName"] for g in groups if ids & {i["InstanceId"] for i in g["Instances"]}}

    def _watch(self, seen: Release) -> None:
        """S1, at every moment that a driver tells of; with weights wherever there is one."""
        for arn in self._weighing():
            others = {id_ for name in self.beside for id_ in self.aws.members(name)}
            healthy = sum(state == "healthy" for id_, state in self.aws.serving(arn).items() if id_ not in others)
            if healthy < self.instances:
                self.harm.append(f"only {healthy} healthy targets in {seen.phase}, event {seen.seq}")

    def _weighing(self) -> set[str]:
        """Target groups that get new requests from some listener."""
        traffic = self.config.traffic
        if not traffic.listeners:
            return {self.world.target_group}
        return {arn for one in traffic.listeners for arn, weight in self.aws.weights(one).items() if weight}

    def builder_state(self) -> str:
        """EC2's state of the builder."""
        found = self.world.client("ec2").describe_instances(InstanceIds=[self.world.builder])
        return str(found["Reservations"][0]["Instances"][0]["State"]["Name"])

    def claims(self) -> dict[str, str]:
        """Builder -> the release that the journal says bakes on it."""
        asked = {"TableName": "bluegreen", "KeyConditionExpression": "pk = :pk"}
        values = {":pk": {"S": "builder"}}
        items = self.world.client("dynamodb").query(**asked, ExpressionAttributeValues=values)["Items"]
        return {item["sk"]["S"]: item["release"]["S"] for item in items}

    def wrong(self, release: Release) -> list[str]:
        """Whatever does not hold at the end of a release, by the safety rules S1, S5, S6 and S8."""
        good = release.green_group if release.outcome == "live" else release.blue_group
        found = list(self.harm)
        serving = self.serving() - self.beside
        expected = {good} if self.before and self.before["DesiredCapacity"] else set()
        found += [] if serving == expected else [f"{serving} serve, not {good}"]
        found += self._sizes(good) + self._reference(good, release)
        if self.builder_state() not in ("stopped", "stopping"):
            found.append(f"the builder is {self.builder_state()}")
        if claims := self.claims():
            found.append(f"the builder is claimed by {claims}")
        leftovers = self.world.leftovers(release.green_group) if release.outcome == "live" else self.world.leftovers()
        return found + [left for left in leftovers if not named(left, release)]

    def _sizes(self, name: str) -> list[str]:
        assert self.before is not None
        now = self.group(name)
        if now is None:
            return [f"{name} is gone"]
        keys = ("MinSize", "MaxSize", "DesiredCapacity")
        wrong = [f"{key} is {now[key]}, was {self.before[key]}" for key in keys if now[key] != self.before[key]]
        if now["SuspendedProcesses"] != self.before["SuspendedProcesses"]:
            wrong.append(f"suspended: {now['SuspendedProcesses']}")
        return wrong

    def _reference(self, name: str, release: Release) -> list[str]:
        """Whichever group serves says which template version it launches as blue did; green's own number differs."""
        now, was = (
            (group or {}).get("LaunchTemplate", {}).get("Version", "") for group in (self.group(name), self.before)
        )
        kept = now == was or (name != self.world.group and not was.startswith("$"))
        return [] if kept or named(f"group {name}", release) else [f"{name} is on template version {now}, was on {was}"]


def named(left: str, release: Release) -> bool:
    """Whether the release names what it left: `template version 2`, or something with an id of its own."""
    if left.startswith("instance ") and release.kept_until is not None:
        return True  # of the group, which is named
    if left.startswith("template version "):
        number = left.split()[2]
        return any(said.startswith(f"version {number} of the launch template ") for said in release.left_behind)
    return any(left.split()[1] in said.replace(",", " ").split() for said in release.left_behind)


def fast(
    overlap: float = 4.0,
    *,
    weighted: bool = False,
    rules: bool = False,
    loose: bool = False,
    listen: float = 2.0,
    **changes: Any,
) -> Ops:
    """A world in which nothing takes long; where weights are, there are two steps, and clients who stick.

    `rules`: three listeners and rules more whose weights are to be moved, and a preview.
    `loose`: blue may shrink, and launches whatever is latest, so that it shows whether it is pinned.
    `listen`: most of a world's calls would be looks for orders, so a driver looks as often for them as for the rest.
    """
    more: dict[str, Any] = {"rules": True, "stickiness": STICKY["DurationSeconds"], "preview": True} if rules else {}
    more |= {"group": {"MinSize": 1}, "template_version": "$Latest"} if loose else {}
    more |= {"weighted": weighted, "listen": listen}
    made = Ops(timings=FAST, changes={**CHANGES, **changes}, health=HEALTH, drain=5, **more)
    steps = {"steps": (0, 50)} if weighted else {}
    traffic = made.config.traffic.model_copy(update={"overlap": overlap, **steps})
    made.config = made.config.model_copy(update={"traffic": traffic})
    if weighted:
        _stick(made.world)
    return made


def _stick(world: World) -> None:
    client = world.client("elbv2")
    shown = client.describe_listeners(ListenerArns=[world.listener])["Listeners"][0]["DefaultActions"][0]
    action = {"Type": "forward", "ForwardConfig": {**shown["ForwardConfig"], "TargetGroupStickinessConfig": STICKY}}
    client.modify_listener(ListenerArn=world.listener, DefaultActions=[action])


def asleep(*, weighted: bool = False, **changes: Any) -> Ops:
    """A group at size 0, as a staging service is at night."""
    o = fast(weighted=weighted, **changes)
    o.resized("web-asg", 0)
    o.clock.sleep(60)
    o.before, o.instances = o.group("web-asg"), 0
    return o


def bare(overlap: float = 4.0, **changes: Any) -> Ops:
    """A fast world without checks but target health."""
    return fast(overlap, checks=[], **changes)


def once(condition: Callable[[Release], bool], do: Callable[[], object]) -> Callable[[Release], None]:
    """For `when`: do it the first time that the condition holds."""
    done: list[bool] = []

    def when(seen: Release) -> None:
        if not done and condition(seen):
            done.append(True)
            do()

    return when


def has(verb: Verb, *, done: bool) -> Callable[[Release], bool]:
    """The act was begun, or done."""
    return lambda seen: verb in (seen.did if done else seen.began)


def kinds(events: list[Event]) -> list[EventKind]:
    """The kinds alone."""
    return [event.kind for event in events]


def as_told(client: Callable[[str], Any], command: str) -> Any:
    """What a person does who copies a command of AWS's own command line, with clients for its services.

    Its words are those of the API, with dashes (AWS CLI user guide, command structure).
    """
    program, service, operation, *words = shlex.split(command)
    assert program == "aws", command
    does = client(service)
    method = operation.replace("-", "_")
    members = does.meta.service_model.operation_model(does.meta.method_to_api_mapping[method]).input_shape.members
    named = {xform_name(name): (name, shape.type_name) for name, shape in members.items()}
    given: dict[str, Any] = {}
    for option, values in _options(words):
        flag = option.removeprefix("no_") if option.startswith("no_") and option not in named else option
        name, kind = named[flag]
        said = flag == option if kind == "boolean" else values if kind == "list" else " ".join(values)
        given[name] = int(" ".join(values)) if kind == "integer" else said
    return getattr(does, method)(**given)


def _options(words: list[str]) -> Iterator[tuple[str, list[str]]]:
    begins = [n for n, word in enumerate(words) if word.startswith("--")]
    for begin, end in zip(begins, [*begins[1:], len(words)], strict=True):
        yield words[begin].removeprefix("--").replace("-", "_"), words[begin + 1 : end]
