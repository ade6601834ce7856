"""A whole world on the virtual clock: pretend AWS, a service that serves, and drivers that may die.

`Ops` is the people and machines around a release. Every AWS call of a driver goes through a session of its
own, so one driver can die (nothing of it reaches AWS any more, as after SIGKILL) while the world goes on.
"""

from __future__ import annotations

import os
import pickle
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import boto3

from bluegreen import Engine, Until
from bluegreen.config import Config, parse
from bluegreen.errors import BlueGreenError
from bluegreen.release import Awaited, Event, EventKind, Phase, Release
from lab.aws import PretendAws
from lab.clock import VirtualClock
from lab.machines import PretendMachines
from lab.world import World

GOOD, SICK = "c0ffee01aaaa", "bad0bad0bbbb"


class Died(BaseException):
    """The driver's process is gone; no `except Exception` of its may notice."""


@dataclass
class Death:
    """Kills its session at the call number `at`, before AWS hears of it or after it took effect."""

    at: int | None = None
    after: bool = False
    calls: list[str] = field(default_factory=list)
    dead: bool = False

    def watch(self, session: boto3.Session) -> boto3.Session:
        """Count this session's calls, and end it in time."""
        events: Any = session.events  # botocore's emitter is untyped
        events.register("before-send", self._before)
        events.register("after-call", self._after)
        return session

    def _before(self, request: Any, event_name: str, **_: Any) -> None:
        if self.dead:
            raise Died
        self.calls.append(event_name.removeprefix("before-send."))
        if self.at == len(self.calls) and not self.after:
            self._die()

    def _after(self, **_: Any) -> None:
        if self.dead or (self.at == len(self.calls) and self.after):
            self._die()

    def _die(self) -> NoReturn:
        self.dead = True
        raise Died


class Ops:
    """A service `web/production` on pretend AWS, and what people do with it."""

    def __init__(self, *, instances: int = 2, changes: Mapping[str, Any] | None = None, **world: Any) -> None:
        self.clock = VirtualClock()
        self.machines = PretendMachines(self.clock)
        self.machines.sick(SICK)
        self.aws = PretendAws(self.clock, self.machines)
        self.world = World.standard(self.aws, instances=instances, **world)
        quick = {"poll": "5s", "soak": "20s", "traffic": {**self.world.config()["traffic"], "overlap": "20s"}}
        self.config: Config = parse({**self.world.config(), **quick, **(changes or {})})
        self.before = self.group(self.world.group)
        self.told: list[Event] = []
        self.serving_least: int | None = None

    def engine(self, death: Death | None = None) -> Engine:
        """A new process: a session, a journal, a driver of its own."""
        session = self.aws.session()
        return Engine(session=death.watch(session) if death else session, clock=self.clock)

    def start(self, commit: str = GOOD, **changes: Any) -> Release:
        """Somebody orders a release."""
        return self.engine().start(self.config, commit=commit, who="arn:aws:iam::1:user/ann", **changes)

    def drive(
        self,
        release: str,
        *,
        death: Death | None = None,
        until: Until = Until.LIVE,
        stop: Callable[[], bool] = lambda: False,
        when: Callable[[Release], None] = lambda _: None,
    ) -> Release | None:
        """A driver drives; None when it died. `when` is called at everything it tells."""

        def tell(seen: Release, event: Event | None, awaited: Awaited | None, deadline: float | None) -> None:
            if event is not None:
                self.told.append(event)
            when(seen)

        try:
            return self.engine(death).drive(release, until=until, tell=tell, stop=stop)
        except Died:
            return None

    def rescue(self, release: str) -> Release:
        """Another driver takes over until the release has settled."""
        for _ in range(3):
            try:
                done = self.drive(release)
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

    def serving(self) -> set[str]:
        """Names of the groups whose instances get new requests now."""
        ids = set(self.aws.routes(self.world.target_group))
        groups = self.world.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
        return {g["AutoScalingGroupName"] for g in groups if ids & {i["InstanceId"] for i in g["Instances"]}}

    def builder_state(self) -> str:
        """EC2's state of the builder."""
        found = self.world.client("ec2").describe_instances(InstanceIds=[self.world.builder])
        return str(found["Reservations"][0]["Instances"][0]["State"]["Name"])

    def wrong(self, release: Release) -> list[str]:
        """Whatever does not hold at the end of a release, by the safety rules S1, S5, S6 and S8."""
        good = release.green_group if release.outcome == "live" else release.blue_group
        found = [] if self.serving() == {good} else [f"{self.serving()} serve, not {good}"]
        found += self._sizes(good)
        if self.builder_state() not in ("stopped", "stopping"):
            found.append(f"the builder is {self.builder_state()}")
        leftovers = self.world.leftovers(release.green_group) if release.outcome == "live" else self.world.leftovers()
        named = " ".join(release.left_behind)
        return found + [left for left in leftovers if not any(word in named for word in left.split())]

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


def in_a_fork(work: Callable[[], Any]) -> Any:
    """Run in a copy of this process and bring the result back: the world itself stays as it is."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            answer: Any = work()
        except BaseException:
            answer = AssertionError(traceback.format_exc())
        with os.fdopen(writer, "wb") as pipe:
            pickle.dump(answer, pipe)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pickle.load(pipe)  # noqa: S301 - from our own child
    os.waitpid(child, 0)
    if isinstance(answer, AssertionError):
        raise answer
    return answer


def kinds(events: list[Event]) -> list[EventKind]:
    """The kinds alone."""
    return [event.kind for event in events]
