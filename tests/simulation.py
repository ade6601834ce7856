"""Seeded worlds: a release with whatever may come, judged by the safety rules. `python -m tests.simulation 1000`.

A seed says how traffic goes, what is released, what AWS does to it, when drivers die or sleep, what people order and
what somebody else changes; the same seed is the same story. At its end the release is live, rolled back, or failed with
a way on: then the faults end, the way back is ordered, and has to lead to an end that is right.
"""

from __future__ import annotations

import logging
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from botocore.exceptions import ClientError

from bluegreen import Caller
from bluegreen.errors import AwsError, BlueGreenError, Refused
from bluegreen.release import EventKind, Outcome, Phase, Release
from lab.aws.client import Answers
from lab.aws.wire import Answer, Incoming
from tests.worlds import GOOD, SICK, Died, Ops, fast

SERVICE = "web/production"
#: Operations that are struck by themselves, beside `*`: changes, and the reads that decide.
CHANGES = (
    "ec2:StartInstances",
    "ssm:SendCommand",
    "ec2:StopInstances",
    "ec2:CreateImage",
    "ec2:CreateLaunchTemplateVersion",
    "autoscaling:UpdateAutoScalingGroup",
    "autoscaling:SuspendProcesses",
    "autoscaling:CreateAutoScalingGroup",
    "autoscaling:AttachLoadBalancerTargetGroups",
    "autoscaling:DetachLoadBalancerTargetGroups",
    "autoscaling:DeleteAutoScalingGroup",
    "elbv2:ModifyListener",
    "elbv2:ModifyRule",
)
STRUCK = (
    *CHANGES,
    "autoscaling:DescribeAutoScalingGroups",
    "elbv2:DescribeTargetHealth",
    "dynamodb:PutItem",
    "dynamodb:Query",
    "dynamodb:TransactWriteItems",
)
#: Drivers that a release may use up, one after another.
DRIVERS = 40


@dataclass
class Doom:
    """A driver that dies at its nth call: before AWS has heard of it, or after the effect of the next change."""

    at: int
    heard: bool
    calls: int = 0
    dead: bool = False

    def watch(self, answers: Answers) -> Answers:
        """Answers until then."""

        def answer(request: Incoming, recorded: bool) -> Answer:
            self.calls += 1
            self._die(self.calls >= self.at and not self.heard)
            answered = answers(request, recorded)
            self._die(self.calls >= self.at and request.mutating)
            return answered

        return answer

    def _die(self, now: bool) -> None:
        self.dead = self.dead or now
        if self.dead:
            raise Died


@dataclass
class Story:
    """One seed's release."""

    seed: int
    did: list[str] = field(default_factory=list)  # what was done to it, for whoever reads a violation
    shaken: bool = False  # machines fall ill or die: what AWS itself loses is no violation
    meddled: bool = False  # somebody else's hand was in it
    scaled: bool = False  # blue has grown, and green has followed it
    _told: int = 0

    @cached_property
    def dice(self) -> random.Random:
        """Everything that is left to chance."""
        return random.Random(self.seed)

    @cached_property
    def others(self) -> Others:
        """Who stands beside it; with dice of their own, so that they change nothing else of the story."""
        return Others(self.ops, random.Random(f"others {self.seed}"), self.did)

    @cached_property
    def ops(self) -> Ops:
        """The world."""
        dice = self.dice
        promotion = {"by": dice.choice(["auto", "auto", "person"]), "timeout": 60}
        weighted = dice.random() < 0.5
        return fast(
            dice.choice([4.0, 20.0]),
            weighted=weighted,
            rules=weighted and dice.random() < 0.4,
            checks=dice.choice([[], [{"name": "unit", "run": "true", "every": "2s"}]]),
            promotion={**promotion, "on_timeout": dice.choice(["rollback", "promote"])},
            soak=dice.choice([0, 4, 20]),
            retire=dice.choice(["delete", "delete", "empty"]),
            timeouts={"healthy": 120, "launch": 120, "bake": 300},
        )

    def play(self) -> list[str]:
        """Play it to its end; what did not hold."""
        self.others.come()
        release = self.ops.start(self._version())
        for strike in _STRIKES:
            strike(self)
        moments = {self.dice.randrange(1, 160): act for act in _acts(self.dice)}

        def when(seen: Release) -> None:
            self._told += 1
            self._look(seen)
            self.others.act(self._told, seen)
            if act := moments.pop(self._told, ""):
                self._happens(act, seen)

        done = self._drive(release.id, when, list(self._dooms()))
        wrong = [*self._judged(done), *(self._way_on(done) if done.outcome is Outcome.FAILED else [])]
        ended = f"{done.outcome}, {done.reason}: {done.message}"
        return [f"seed {self.seed}: {one} [{ended}; {', '.join(self.did)}]" for one in wrong]

    def _version(self) -> str:
        kind = self.dice.random()
        if kind < 0.15:
            self.did.append("a sick version")
            return SICK
        if kind < 0.3:
            after = self.dice.randrange(5, 90)
            self.did.append(f"a version that falls ill after {after} s")
            self.ops.machines.sick(GOOD, after)
            self.shaken = True
        return GOOD

    def _dooms(self) -> Iterator[Doom]:
        for _ in range(self.dice.choice([0, 0, 1, 3, 8])):
            doom = Doom(self.dice.randrange(1, 250), self.dice.random() < 0.5)
            self.did.append(f"a driver dies at call {doom.at}{' or after' if doom.heard else ''}")
            yield doom

    def _drive(self, release: str, when: Callable[[Release], None], dooms: list[Doom]) -> Release:
        """One driver after another, until it has settled."""
        for _ in range(DRIVERS):
            done = None
            with suppress(BlueGreenError):  # the lease lives, or was lost; the journal fails
                done = self.ops.drive(release, death=dooms.pop(0) if dooms else None, when=when)
            if done is not None:
                return done
            self.ops.clock.sleep(self.dice.randrange(1, 40))
            with suppress(AwsError):
                if (stands := self.ops.engine().load(release)).outcome:
                    return stands
        raise AssertionError(f"not over after {DRIVERS} drivers: {', '.join(self.did)}")

    def _look(self, seen: Release) -> None:
        """S2: where weights give green traffic, as many of it are healthy as it was made with."""
        for listener in seen.listeners:
            if self.ops.aws.weights(listener).get(seen.idle_target_group):
                healthy = sum(state == "healthy" for state in self.ops.aws.serving(seen.idle_target_group).values())
                if healthy < (seen.grew_from or seen.size):
                    self.ops.harm.append(f"green has traffic with {healthy} healthy in {seen.phase}, event {seen.seq}")

    def _happens(self, act: str, seen: Release) -> None:
        self.did.append(f"{act} in {seen.phase}")
        try:
            _ACTS[act](self, seen)
        except (BlueGreenError, ClientError) as error:
            self.did[-1] += f" ({type(error).__name__}: {error})"

    # --- how it ended ---

    def _judged(self, done: Release) -> list[str]:
        """What does not hold of S1, S2 and S5 to S8."""
        wrong = [] if self.shaken or self.meddled else list(self.ops.harm)
        self.ops.harm.clear()
        self._calm(60)
        ordered = any(one.kind is EventKind.ROLLBACK_ORDERED for one in self.ops.engine().events(done.id))
        if ordered and done.outcome is Outcome.LIVE:
            wrong.append("live, though a rollback was ordered")
        if done.outcome is not Outcome.FAILED and not self.meddled:
            wrong += self._wrong(done)
        return [*wrong, *self.others.harmed()]

    def _way_on(self, failed: Release) -> list[str]:
        """A failed release can be brought to an end, once its cause is put right; what a hand broke, by that hand."""
        self.ops.machines.heal(GOOD)
        self._calm(120)
        if self.meddled or self.shaken:
            return []
        try:
            self.ops.engine().roll_back(SERVICE, who="slack:U1")
        except Refused:
            self.ops.engine().resume(SERVICE, who="slack:U1")
        done = self._drive(failed.id, lambda _: None, [])
        if done.outcome is Outcome.FAILED:
            return [f"no way on: {done.message}"]
        return [f"after the way on: {one}" for one in self._wrong(done)]

    def _calm(self, seconds: float) -> None:
        self.ops.aws.faults.clear()
        self.ops.clock.sleep(seconds)

    def _wrong(self, done: Release) -> list[str]:
        theirs = {f"template version {number}" for number in self.others.made}
        found = [one for one in self.ops.wrong(done) if one not in theirs]
        return [one for one in found if not (self.scaled and one.startswith("DesiredCapacity"))]


# --- who stands beside it ----------------------------------------------------------------------------------

WORKER = "worker"


@dataclass
class Others:
    """Somebody else's group on blue's launch template, and what people do to that template meanwhile."""

    ops: Ops
    dice: random.Random
    did: list[str]
    follows: str = ""  # the version that the group is on; "" when there is none
    default: int = 0  # what somebody made the default version
    made: set[int] = field(default_factory=set)  # their own versions
    moments: dict[int, str] = field(default_factory=dict)

    def come(self) -> None:
        """In half of the worlds they are there before the release."""
        if self.dice.random() < 0.5:
            return
        self.follows = self.dice.choice(["1", "$Default"])
        self.did.append(f"a worker on version {self.follows} of the template")
        self._groups.create_auto_scaling_group(
            AutoScalingGroupName=WORKER,
            MinSize=0,
            MaxSize=4,
            DesiredCapacity=1,
            VPCZoneIdentifier=self.ops.world.subnets[0],
            LaunchTemplate=self._version(self.follows),
        )
        acts = ["it scales", "a version", "a default", "onto ours", "a refresh"]
        self.moments = {self.dice.randrange(1, 160): act for act in self.dice.choices(acts, k=3)}

    def act(self, moment: int, seen: Release) -> None:
        """What they do now."""
        act = self.moments.pop(moment, "")
        if act:
            self.did.append(f"others, {act} in {seen.phase}")
            with suppress(ClientError):  # the version is gone again, the refresh is under way already
                self._do(act, seen)

    def _do(self, act: str, seen: Release) -> None:
        match act:
            case "it scales":
                self._groups.set_desired_capacity(AutoScalingGroupName=WORKER, DesiredCapacity=2)
            case "a version" | "a default":
                self._make(default=act == "a default")
            case "onto ours" if seen.template_version and not seen.outcome:
                self._groups.update_auto_scaling_group(
                    AutoScalingGroupName=WORKER, LaunchTemplate=self._version(str(seen.template_version))
                )
                self.follows = str(seen.template_version)
            case "a refresh" if seen.phase is Phase.BAKING:
                self._groups.start_instance_refresh(AutoScalingGroupName=seen.blue_group)

    def _make(self, *, default: bool) -> None:
        ec2, template = self.ops.world.client("ec2"), self.ops.world.template
        data = {"InstanceType": "t3.large"}
        made = ec2.create_launch_template_version(LaunchTemplateId=template, SourceVersion="1", LaunchTemplateData=data)
        number = made["LaunchTemplateVersion"]["VersionNumber"]
        self.made.add(number)
        if default:
            ec2.modify_launch_template(LaunchTemplateId=template, DefaultVersion=str(number))
            self.default = number

    def harmed(self) -> list[str]:
        """S13: what is theirs, and is not as they left it."""
        if not self.follows:
            return []
        pages = self.ops.world.client("ec2").get_paginator("describe_launch_template_versions")
        shown = [
            row
            for page in pages.paginate(LaunchTemplateId=self.ops.world.template)
            for row in page["LaunchTemplateVersions"]
        ]
        there = {one["VersionNumber"]: one for one in shown}
        default = next(number for number, one in there.items() if one["DefaultVersion"])
        wrong = [f"version {number} of others is gone" for number in sorted(self.made - there.keys())]
        if self.default and default != self.default:
            wrong.append(f"the default version is {default}; others made it {self.default}")
        if self.follows.isdecimal() and int(self.follows) not in there:
            wrong.append(f"the worker is on version {self.follows}, which is gone")
        return wrong + self._launched()

    def _launched(self) -> list[str]:
        """The worker launches the image that its people chose."""
        group = self.ops.group(WORKER)
        if group is None:
            return ["the worker is gone"]
        if self.follows not in ("1", "$Default"):
            return []  # they chose ours
        ids = [one["InstanceId"] for one in group["Instances"]]
        shown = self.ops.world.client("ec2").describe_instances(InstanceIds=ids)["Reservations"] if ids else []
        run = {one["ImageId"] for row in shown for one in row["Instances"]} - {self.ops.world.image}
        return [f"the worker launched {', '.join(sorted(run))}"] if run else []

    @property
    def _groups(self) -> Any:
        return self.ops.world.client("autoscaling")

    def _version(self, said: str) -> dict[str, str]:
        return {"LaunchTemplateId": self.ops.world.template, "Version": said}


# --- what AWS does -----------------------------------------------------------------------------------------


def _calls_fail(story: Story) -> None:
    dice, faults = story.dice, story.ops.aws.faults
    for _ in range(dice.choice([0, 0, 2, 6])):
        operation = dice.choice(["*", *STRUCK])
        skip = dice.randrange(150 if operation == "*" else 3)
        dice.choice([faults.throttle, faults.server_error])(operation, times=dice.randrange(1, 6), skip=skip)
        story.did.append(f"{operation} fails")


def _answers_are_lost(story: Story) -> None:
    if story.dice.random() < 0.2:
        operation = story.dice.choice(STRUCK)
        story.ops.aws.faults.lose_answer(operation)
        story.did.append(f"an answer of {operation} is lost")


def _reads_are_stale(story: Story) -> None:
    if story.dice.random() < 0.2:
        seconds = story.dice.randrange(1, 20)
        story.ops.aws.faults.stale(seconds)
        story.did.append(f"reads are {seconds} s old")


def _nothing_comes_of_it(story: Story) -> None:
    dice, faults = story.dice, story.ops.aws.faults
    denied = dice.choice(CHANGES)
    chosen: dict[str, Callable[[], None]] = {
        "no capacity": lambda: faults.no_capacity("web-production", times=dice.choice([1, 2, None])),
        "the image fails": faults.image_fails,
        f"{denied} is denied": lambda: faults.deny(denied),
        "an instance hangs at boot": lambda: faults.never_boots("web-production", times=1),
    }
    if dice.random() < 0.2:
        what = dice.choice(sorted(chosen))
        chosen[what]()
        story.did.append(what)


_STRIKES = (_calls_fail, _answers_are_lost, _reads_are_stale, _nothing_comes_of_it)


# --- what people and others do -----------------------------------------------------------------------------


def _acts(dice: random.Random) -> Iterator[str]:
    """What happens at some moment of the release."""
    orders = ["promote", "roll back", "hold", "freeze", "start another"]
    yield from dice.choices(orders, k=dice.choice([0, 1, 2, 4]))
    if dice.random() < 0.2:
        yield "another driver"
    if dice.random() < 0.2:
        yield dice.choice(["kill one of blue", "kill one of green", "blue scales out", "blue scales out"])
    if dice.random() < 0.12:
        yield dice.choice(["detach blue", "detach green", "delete green", "shrink blue", "edit weights"])


def _promote(story: Story, seen: Release) -> None:
    story.ops.engine().promote(SERVICE, who=Caller(f"slack:U{story.dice.randrange(9)}"))


def _roll_back(story: Story, seen: Release) -> None:
    for _ in range(story.dice.choice([1, 2])):
        story.ops.engine().roll_back(SERVICE, who="slack:U1")


def _hold(story: Story, seen: Release) -> None:
    story.ops.engine().hold(SERVICE, who="slack:U2")


def _freeze(story: Story, seen: Release) -> None:
    ends = story.ops.clock.now() + 30
    story.ops.engine().freeze(SERVICE, who="arn:aws:iam::1:user/ann", why="sale", until=ends)


def _start_another(story: Story, seen: Release) -> None:
    if not seen.outcome:
        other = story.ops.start("c0ffee99")
        raise AssertionError(f"{other.id} was let start")


def _another_driver(story: Story, seen: Release) -> None:
    """The driver that tells of this moment sleeps past its lease; another takes over, and dies or ends the release."""
    story.ops.clock.sleep(35)
    story.ops.drive(seen.id, death=Doom(story.dice.randrange(1, 200), heard=True))


def _kill(story: Story, group: str) -> None:
    story.shaken = True
    if members := sorted(story.ops.aws.members(group)):
        story.ops.machines.kill(story.dice.choice(members))


def _scale_out(story: Story, seen: Release) -> None:
    group = story.ops.group(seen.blue_group)
    if group and seen.phase in (Phase.CHECKING, Phase.OVERLAPPING, Phase.HOLDING):
        story.scaled = True
        more = {"AutoScalingGroupName": seen.blue_group, "DesiredCapacity": group["DesiredCapacity"] + 1}
        story.ops.world.client("autoscaling").set_desired_capacity(**more)


def _hand(act: Callable[[Any, Release], Any]) -> Callable[[Story, Release], None]:
    """Somebody else changes a group, with a client for Auto Scaling."""

    def acts(story: Story, seen: Release) -> None:
        story.meddled = True
        act(story.ops.world.client("autoscaling"), seen)

    return acts


def _edit_weights(story: Story, seen: Release) -> None:
    story.meddled = True
    world, elb = story.ops.world, story.ops.world.client("elbv2")
    if seen.weighted:
        groups = [{"TargetGroupArn": arn, "Weight": story.dice.randrange(3)} for arn in world.target_groups]
        action = {"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}
        where = story.dice.choice(world.listeners)
        if ":listener-rule/" in where:
            elb.modify_rule(RuleArn=where, Actions=[action])
        else:
            elb.modify_listener(ListenerArn=where, DefaultActions=[action])


_ACTS: Mapping[str, Callable[[Story, Release], None]] = {
    "promote": _promote,
    "roll back": _roll_back,
    "hold": _hold,
    "freeze": _freeze,
    "start another": _start_another,
    "another driver": _another_driver,
    "kill one of blue": lambda story, seen: _kill(story, seen.blue_group),
    "kill one of green": lambda story, seen: _kill(story, seen.green_group),
    "blue scales out": _scale_out,
    "detach blue": _hand(
        lambda client, seen: client.detach_load_balancer_target_groups(
            AutoScalingGroupName=seen.blue_group, TargetGroupARNs=list(seen.blue_targets)
        )
    ),
    "detach green": _hand(
        lambda client, seen: client.detach_load_balancer_target_groups(
            AutoScalingGroupName=seen.green_group, TargetGroupARNs=list(seen.green_targets)
        )
    ),
    "delete green": _hand(
        lambda client, seen: client.delete_auto_scaling_group(AutoScalingGroupName=seen.green_group, ForceDelete=True)
    ),
    "shrink blue": _hand(
        lambda client, seen: client.update_auto_scaling_group(
            AutoScalingGroupName=seen.blue_group, MinSize=1, DesiredCapacity=1
        )
    ),
    "edit weights": _edit_weights,
}


# --- many --------------------------------------------------------------------------------------------------


def play(seed: int) -> tuple[str, list[str]]:
    """How a seed's release ended, and what did not hold."""
    logging.getLogger("bluegreen").setLevel("CRITICAL")  # what a driver says of its bad days is no news here
    story = Story(seed)
    try:
        wrong = story.play()
        return f"{story.ops.engine().load(f'{SERVICE}#1').outcome}", wrong
    except Exception:
        return "error", [f"seed {seed}: {', '.join(story.did)}\n{traceback.format_exc()[-1500:]}"]


def play_many(seeds: range, at_once: int = 2) -> tuple[Counter[str], list[str]]:
    """How often they ended so, and every violation."""
    with ProcessPoolExecutor(at_once) as pool:
        ends = list(pool.map(play, seeds, chunksize=10))
    return Counter(outcome for outcome, _ in ends), [one for _, wrong in ends for one in wrong]


def main() -> int:
    """Play so many seeds, from that one on: `python -m tests.simulation 1000 [first]`."""
    count, first = int(sys.argv[1]), int((sys.argv[2:] or ["1"])[0])
    began = time.monotonic()
    outcomes, violations = play_many(range(first, first + count))
    print("\n".join(violations))
    spent = time.monotonic() - began
    print(f"{count} worlds from seed {first}: {dict(outcomes)}, {len(violations)} violations, {spent:.0f} s")
    return int(bool(violations))


if __name__ == "__main__":
    sys.exit(main())
