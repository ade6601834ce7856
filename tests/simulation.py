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
from bluegreen.events import EventKind, Outcome, Phase
from bluegreen.release import Release
from lab.aws.client import Answers
from lab.aws.wire import Answer, Incoming
from tests.worlds import GOOD, SICK, Died, Ops, attachments, fast
from tests.worlds.pairs import PAIR, groups_there, pair_up, state
from tests.worlds.strangers import KINDS, Strangers

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
#: What a look asks, and AWS may swallow.
LOOKED_AT = (
    "autoscaling:Describe*",
    "elbv2:Describe*",
    "ec2:Describe*",
    "ssm:List*",
    "cloudwatch:*",
    "dynamodb:Query",
)
#: A rollback begins so many seconds after its order, at most, whatever AWS swallows of looks: a driver of these worlds
#: reads the journal every two, and clocks may differ. One attempt of a call that is swallowed takes eight.
HEARD = 7.0
#: The sizes that a scheduled action gives to who serves, in some worlds.
DUE = {"MinSize": 3, "MaxSize": 9, "DesiredCapacity": 5}
#: What a group of a standing pair cannot have, or not while it is in no target group.
NOT_OF_PAIRS = ("warm pool", "per target", "simple")
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
    hindered: bool = False  # what an order may have to wait for: a driver that is dead or asleep, a change, the journal
    scaled: bool = False  # blue has grown, and green has followed it
    release: str = ""
    hung: attachments.Found = field(default_factory=dict)  # what hung on blue before its release
    idle: dict[str, Any] = field(default_factory=dict)  # of a pair: what its owner made of the idle one
    due: float = 0  # when a scheduled action comes to blue, with the sizes `DUE`; 0: there is none
    _told: int = 0

    @cached_property
    def dice(self) -> random.Random:
        """Everything that is left to chance."""
        return random.Random(self.seed)

    @cached_property
    def ops(self) -> Ops:
        """The world."""
        dice = self.dice
        promotion = {"by": dice.choice(["auto", "auto", "person"]), "timeout": 60}
        weighted = dice.random() < 0.5
        made = fast(
            dice.choice([4.0, 20.0]),
            weighted=weighted,
            rules=weighted and dice.random() < 0.4,
            checks=[
                *dice.choice([[], [{"name": "unit", "run": "true", "every": "2s"}]]),
                *self._pages(),
                *self._alarms(),
            ],
            promotion={**promotion, "on_timeout": dice.choice(["rollback", "promote"])},
            soak=dice.choice([0, 4, 20]),
            retire=dice.choice(["delete", "delete", "empty"]),
            timeouts={"healthy": 120, "launch": 120, "bake": 300},
        )
        if self.machines.random() < 0.3:
            made.skews = iter(lambda: float(self.machines.choice([-60, -60, 0, 3, 60, 60])), None)
            self.did.append("clocks differ by minutes")
        if self.pair:
            pair_up(made)
            self.did.append("a standing pair")
        return made

    @cached_property
    def pair(self) -> bool:
        """Whether it is of a standing pair."""
        return random.Random(f"{self.seed} pair").random() < 0.1

    @cached_property
    def machines(self) -> random.Random:
        """What is left to chance of machines: their clocks, and how long a page takes to answer a check."""
        return random.Random(f"{self.seed} machines")

    def _pages(self) -> list[dict[str, Any]]:
        """Checks whose answers are out for a while: they come at their bound, late, or never."""
        if self.machines.random() < 0.7:
            return []
        how = self.machines.choice(["0.3", "3", "29", "never", "lost"])
        self.did.append(f"a page answers: {how}")
        page = {"name": "page", "http": f"http://web.example.com/{how}", "timeout": "30s", "every": "2s"}
        return [{**page, "within": "2m"}]

    @cached_property
    def silence(self) -> random.Random:
        """What is left to chance of calls that AWS swallows."""
        return random.Random(f"{self.seed} silence")

    def _alarms(self) -> list[dict[str, Any]]:
        """A check that asks CloudWatch, which has no data."""
        alarm = {"name": "alarm", "alarm": "web-5xx", "missing": "pass", "every": "2s"}
        return [alarm] if self.silence.random() < 0.3 else []

    @cached_property
    def strangers(self) -> Strangers:
        """What stands beside the service, whose dice are its own: older seeds are the same stories."""
        kinds = [kind for kind in KINDS if self.others.random() < 0.12]
        self.did += kinds
        found = Strangers(self.ops.world, kinds)
        self.ops.beside = {name for name, group in found.groups.items() if group["TargetGroupARNs"]}
        return found

    @cached_property
    def others(self) -> random.Random:
        """What is left to chance of others."""
        return random.Random(-self.seed)

    @cached_property
    def load(self) -> random.Random:
        """What is left to chance of what hangs on blue, and of the load that it follows."""
        return random.Random(f"{self.seed} load")

    def _hang(self) -> None:
        """Some of what a group can have, or all of it."""
        if self.load.random() < 0.3:
            some = [kind for kind in attachments.KINDS if self.load.random() < 0.4]
            kinds = some if self.load.random() < 0.7 else list(attachments.KINDS)
            kinds = [kind for kind in kinds if not (self.pair and kind in NOT_OF_PAIRS)]
            for group in self._groups if kinds else ():
                attachments.hang(self.ops.world, group, kinds)
            self.did += [f"blue has {kind}" for kind in kinds]
            self.ops.clock.sleep(60)  # until its warm pool is filled
        self.hung = attachments.hanging(self.ops.world, self.ops.world.group)
        if self.load.random() < 0.15:
            after = self.load.randrange(10, 400)
            self.due = int(self.ops.clock.now() + after) + 1.0  # AWS knows whole seconds
            self.did.append(f"an action falls due after {after} s")
            for group in self._groups:
                attachments.schedule(self.ops.world, group, self.due - 1, DUE)
        self.idle = state(self.ops, PAIR[1]) if self.pair else {}

    @property
    def _groups(self) -> tuple[str, ...]:
        """Who has what hangs on blue: of a pair its owner gives it to both."""
        return PAIR if self.pair else (self.ops.world.group,)

    def play(self) -> list[str]:
        """Play it to its end; what did not hold."""
        version, them = self._version(), self.strangers
        self._hang()
        release = self.ops.start(version)
        self.release = release.id
        for strike in _STRIKES:
            strike(self)
        moments = {self.dice.randrange(1, 160): act for act in _acts(self.dice)}
        moments |= {self.others.randrange(1, 160): act for act in _theirs(self.others)}
        if "policy simple" in self.hung:
            moments |= {self.load.randrange(1, 160): "the load grows" for _ in range(self.load.choice([0, 1, 2]))}

        def when(seen: Release) -> None:
            self._told += 1
            self._look(seen)
            if act := moments.pop(self._told, ""):
                self._happens(act, seen)

        done = self._drive(release.id, when, list(self._dooms()))
        wrong = [*self._judged(done), *(self._way_on(done) if done.outcome is Outcome.FAILED else [])]
        wrong += [f"S13: {one}" for one in them.wrong()]
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
            self.hindered = True
            doom = Doom(self.dice.randrange(1, 250), self.dice.random() < 0.5)
            self.did.append(f"a driver dies at call {doom.at}{' or after' if doom.heard else ''}")
            yield doom

    def _drive(self, release: str, when: Callable[[Release], None], dooms: list[Doom]) -> Release:
        """One driver after another, until it has settled."""
        for _ in range(DRIVERS):
            done = None
            with suppress(BlueGreenError):  # the lease lives, or was lost; the journal fails
                done = self.ops.drive(release, death=dooms.pop(0) if dooms else None, when=when)
            if done is not None and not self._reopened(release):
                return done
            self.ops.clock.sleep(self.dice.randrange(1, 40))
            with suppress(AwsError):
                if (stands := self.ops.engine().load(release)).outcome:
                    return stands
        raise AssertionError(f"not over after {DRIVERS} drivers: {', '.join(self.did)}")

    def _reopened(self, release: str) -> bool:
        """Whether somebody ordered a failed one back in the moment in which it ended."""
        with suppress(AwsError):
            return self.ops.engine().load(release).outcome is None
        return False

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
        wrong += [] if self.hindered else self._waited(done)
        if done.outcome is not Outcome.FAILED and not self.meddled:
            wrong += self._wrong(done)
        return wrong

    def _waited(self, done: Release) -> Iterator[str]:
        """S7: what an order to roll back waited for its driver, which was there all the time."""
        events = self.ops.engine().events(done.id)
        order = next((one for one in events if one.kind is EventKind.ROLLBACK_ORDERED), None)
        back = done.entered.get(Phase.ROLLING_BACK)
        if order and back and back - order.at > HEARD:
            yield f"S7: a rollback was ordered {back - order.at:.1f} s before it began"

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
        found = [one for one in self.ops.wrong(done) if not self._meant(one)]
        if self.shaken and self.ops.beside:  # who serves beside it is all that is healthy, and gets everything
            found = [one for one in found if not one.startswith("set() serve")]
        found = [one for one in found if not self.strangers.own(one)]
        return [*found, *self._lost(done), *(self._of_pair(done) if self.pair else [])]

    def _of_pair(self, done: Release) -> Iterator[str]:
        """Neither group is gone, no other is there, and the idle one is idle, or what its owner made of it."""
        if (there := sorted(set(groups_there(self.ops)) - self.strangers.groups.keys())) != sorted(PAIR):
            yield f"there are the groups {there}"
        elif done.outcome is Outcome.LIVE and (sizes := state(self.ops, PAIR[0])["sizes"]) != (0, 0, 0, 0):
            yield f"{PAIR[0]} has the sizes {sizes}"
        elif done.outcome is not Outcome.LIVE and (now := state(self.ops, PAIR[1])) != self.idle:
            yield f"{PAIR[1]} is {now}, was {self.idle}"

    def _meant(self, wrong: str) -> bool:
        """Whether it is a size that somebody wanted: a policy, an owner, or a scheduled action."""
        sizes = DUE if self.due and self.ops.clock.now() >= self.due else {}
        return (self.scaled and wrong.startswith("DesiredCapacity")) or wrong.partition(" is ")[0] in sizes

    def _lost(self, done: Release) -> list[str]:
        """S14: what hung on blue and does not hang on who serves now, and what fell due and was not caught up."""
        live = done.outcome is Outcome.LIVE
        group = self.ops.group(done.green_group if live else done.blue_group) or {}
        wrong = [f"{key} is {group.get(key)}, {size} fell due" for key, size in DUE.items() if group.get(key) != size]
        wrong = wrong if self.due and self.ops.clock.now() >= self.due and not self.scaled else []
        now = attachments.hanging(self.ops.world, group.get("AutoScalingGroupName", ""))
        wrong += attachments.differences(self.hung, {kind: now[kind] for kind in now if kind != "scheduled due"})
        return [f"S14: {one}" for one in wrong]


# --- what AWS does -----------------------------------------------------------------------------------------


def _calls_fail(story: Story) -> None:
    dice, faults = story.dice, story.ops.aws.faults
    for _ in range(dice.choice([0, 0, 2, 6])):
        operation = dice.choice(["*", *STRUCK])
        skip = dice.randrange(150 if operation == "*" else 3)
        story.hindered = True
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


def _calls_are_swallowed(story: Story) -> None:
    """Those of looks, with no answer until their timeout; sometimes those that change something."""
    dice, faults = story.silence, story.ops.aws.faults
    if any("alarm" in vars(check) for check in story.ops.config.checks):
        _make_alarm(story)
    for _ in range(dice.choice([0, 0, 1, 3])):
        operation = dice.choice(LOOKED_AT if dice.random() < 0.8 else CHANGES)
        story.hindered |= operation in CHANGES
        times = 1 if operation == "dynamodb:Query" else dice.randrange(1, 9)
        faults.swallow(operation, times=times, skip=dice.randrange(40))
        story.did.append(f"{operation} is swallowed")


def _make_alarm(story: Story) -> None:
    metric = {"Namespace": "web", "MetricName": "Errors", "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 1}
    rule = {"Threshold": 1, "ComparisonOperator": "GreaterThanThreshold"}
    story.ops.world.client("cloudwatch").put_metric_alarm(AlarmName="web-5xx", **metric, **rule)


_STRIKES = (_calls_fail, _answers_are_lost, _reads_are_stale, _nothing_comes_of_it, _calls_are_swallowed)


# --- what people and others do -----------------------------------------------------------------------------


def _acts(dice: random.Random) -> Iterator[str]:
    """What happens at some moment of the release."""
    orders = ["promote", "roll back", "hold", "freeze", "start another"]
    yield from dice.choices(orders, k=dice.choice([0, 1, 2, 4]))
    if dice.random() < 0.2:
        yield "another driver"
    if dice.random() < 0.2:
        yield dice.choice(["kill one of blue", "kill one of green", "blue scales out", "blue scales out"])
    if dice.random() < 0.2:
        yield dice.choice(["AWS takes one of blue", "AWS takes one of green", "AWS takes one of green"])
    if dice.random() < 0.1:
        yield dice.choice(
            ["one of blue to standby", "one of green to standby", "detach one of blue", "detach one of green"]
        )
    if dice.random() < 0.12:
        yield dice.choice(["detach blue", "detach green", "delete green", "shrink blue", "edit weights"])


def _theirs(dice: random.Random) -> Iterator[str]:
    """What others do at some moment to what is theirs."""
    for act in (
        "a version by somebody",
        "a default by somebody",
        "a worker moves to green's version",
        "the worker scales",
        "commands",
        "a refresh of blue",
    ):
        if dice.random() < 0.08:
            yield act


def _moves_to(story: Story, seen: Release) -> None:
    if seen.template_version is not None and not seen.outcome:
        story.strangers.moves_to(seen.template_version)


def _refreshes(story: Story, seen: Release) -> None:
    """It takes instances out of service one by one. AWS refuses it while another is under way."""
    if seen.phase is Phase.BAKING:
        story.shaken = True
        story.ops.world.client("autoscaling").start_instance_refresh(AutoScalingGroupName=seen.blue_group)


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
    story.hindered = True
    story.ops.clock.sleep(35)
    story.ops.drive(seen.id, death=Doom(story.dice.randrange(1, 200), heard=True))


def _kill(story: Story, group: str) -> None:
    story.shaken = True
    if members := sorted(story.ops.aws.members(group)):
        story.ops.machines.kill(story.dice.choice(members))


def _take(story: Story, group: str) -> None:
    """AWS wants its capacity back."""
    story.shaken = True
    if members := sorted(story.ops.aws.members(group)):
        story.ops.aws.take(story.dice.choice(members))


def _set_aside(call: str, which: str) -> Callable[[Story, Release], None]:
    """Somebody puts an instance in service into Standby, or detaches it; another is launched in its place."""

    def acts(story: Story, seen: Release) -> None:
        story.meddled = True
        group = getattr(seen, which)
        up = sorted(id_ for id_, state in story.ops.aws.members(group).items() if state == "InService")
        if up:
            one = {"InstanceIds": [story.dice.choice(up)], "ShouldDecrementDesiredCapacity": False}
            getattr(story.ops.world.client("autoscaling"), call)(AutoScalingGroupName=group, **one)

    return acts


def _scale_out(story: Story, seen: Release) -> None:
    group = story.ops.group(seen.blue_group)
    if group and seen.phase in (Phase.CHECKING, Phase.OVERLAPPING, Phase.HOLDING):
        story.scaled = True
        more = {"AutoScalingGroupName": seen.blue_group, "DesiredCapacity": group["DesiredCapacity"] + 1}
        story.ops.world.client("autoscaling").set_desired_capacity(**more)


def _load_grows(story: Story, seen: Release) -> None:
    """The alarms of both groups say so, as both serve the same; a policy changes the size unless that is suspended."""
    watch = story.ops.world.client("cloudwatch")
    story.scaled = True
    for alarm in watch.describe_alarms(AlarmNamePrefix="")["MetricAlarms"]:
        if "Metrics" in alarm and any(":scalingPolicy:" in arn for arn in alarm["AlarmActions"]):
            for state in ("OK", "ALARM"):
                watch.set_alarm_state(AlarmName=alarm["AlarmName"], StateValue=state, StateReason="load")


def _hand(act: Callable[[Any, Release], Any]) -> Callable[[Story, Release], None]:
    """Somebody else changes a group, with a client for Auto Scaling."""

    def acts(story: Story, seen: Release) -> None:
        story.meddled = True
        act(story.ops.world.client("autoscaling"), seen)

    return acts


def _delete_green(story: Story, seen: Release) -> None:
    """Unless the group of that name is somebody else's."""
    if seen.green_group not in story.strangers.groups:
        story.meddled = True
        client = story.ops.world.client("autoscaling")
        client.delete_auto_scaling_group(AutoScalingGroupName=seen.green_group, ForceDelete=True)


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
    "AWS takes one of blue": lambda story, seen: _take(story, seen.blue_group),
    "AWS takes one of green": lambda story, seen: _take(story, seen.green_group),
    "one of blue to standby": _set_aside("enter_standby", "blue_group"),
    "one of green to standby": _set_aside("enter_standby", "green_group"),
    "detach one of blue": _set_aside("detach_instances", "blue_group"),
    "detach one of green": _set_aside("detach_instances", "green_group"),
    "blue scales out": _scale_out,
    "the load grows": _load_grows,
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
    "delete green": _delete_green,
    "shrink blue": _hand(
        lambda client, seen: client.update_auto_scaling_group(
            AutoScalingGroupName=seen.blue_group, MinSize=1, DesiredCapacity=1
        )
    ),
    "edit weights": _edit_weights,
    "a version by somebody": lambda story, seen: story.strangers.makes_a_version(default=False),
    "a default by somebody": lambda story, seen: story.strangers.makes_a_version(default=True),
    "a worker moves to green's version": _moves_to,
    "commands": lambda story, seen: story.strangers.sends_commands(60),
    "the worker scales": lambda story, seen: story.strangers.scales(),
    "a refresh of blue": _refreshes,
}


# --- many --------------------------------------------------------------------------------------------------


def play(seed: int) -> tuple[str, list[str]]:
    """How a seed's release ended, and what did not hold."""
    story = Story(seed)
    try:
        wrong = story.play()
        return f"{story.ops.engine().load(story.release).outcome}", wrong
    except Exception:
        return "error", [f"seed {seed}: {', '.join(story.did)}\n{traceback.format_exc()[-1500:]}"]


def play_many(seeds: range, at_once: int = 2) -> tuple[Counter[str], list[str]]:
    """How often they ended so, and every violation."""
    with ProcessPoolExecutor(at_once, initializer=_silent) as pool:
        ends = list(pool.map(play, seeds, chunksize=10))
    return Counter(outcome for outcome, _ in ends), [one for _, wrong in ends for one in wrong]


def _silent() -> None:
    logging.getLogger("bluegreen").setLevel("CRITICAL")  # what a driver says of its bad days is no news here


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
