"""What happens to a group during its release: each kind, in each phase, with both kinds of traffic.

`python -m tests.disturbances [part of a name ...]` plays all of them and prints a table. In the end the release is
live, or rolled back where that was ordered or green's service fell ill; one that failed goes on once somebody has done
what it says. The safety rules hold at every moment, and the sizes are what the group's owner and its policies want.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bluegreen.events import Outcome, Phase
from bluegreen.release import Release
from tests.worlds import CHANGES, FAST, GOOD, HEALTH, Ops, as_told

Sizes = tuple[int, int, int]
Happens = Callable[[Ops, str], Sizes | None]
"""To the group of that name. The sizes that are right in the end; None: it cannot happen yet."""

SERVICE = "web/production"
SIZES: Sizes = (1, 8, 2)
DUE: Sizes = (3, 12, 3)
KEYS = ("MinSize", "MaxSize", "DesiredCapacity")
#: A refresh begins at once, and hooks hold as long as they say.
TIMINGS = replace(FAST, refresh=2, hook=20)
#: In these it happens when AWS must show everything that the release did.
LATE = {Phase.OVERLAPPING: 65.0, Phase.SOAKING: 65.0}


# --- what happens ----------------------------------------------------------------------------------------------------


def _resized(**sizes: int) -> Happens:
    """By its owner."""
    now = tuple(sizes.get(key, size) for key, size in zip(KEYS, SIZES, strict=True))

    def happens(o: Ops, group: str) -> Sizes:
        o.world.client("autoscaling").update_auto_scaling_group(AutoScalingGroupName=group, **sizes)
        return now[0], now[1], now[2]

    return happens


def _scaled(by: int) -> Happens:
    """By a policy, which stays within the group's bounds, as AWS does."""

    def happens(o: Ops, group: str) -> Sizes | None:
        shown = o.group(group)
        if shown is None:
            return None
        size = min(max(shown["DesiredCapacity"] + by, shown["MinSize"]), shown["MaxSize"])
        o.world.client("autoscaling").set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=size)
        return SIZES[0], SIZES[1], size

    return happens


def _to_one(do: Callable[[Ops, str, str], object], sizes: Sizes = SIZES, *, answers: bool = False) -> Happens:
    """To one of its instances, as soon as one is in service; `answers`: as soon as it answers."""

    def happens(o: Ops, group: str) -> Sizes | None:
        up = [one for one, state in sorted(o.aws.members(group).items()) if state == "InService"]
        found = [one for one in up if o.machines.answers(one, "/") or not answers]
        if not found:
            return None
        do(o, group, found[0])
        return sizes

    return happens


def _protected(o: Ops, group: str) -> Sizes | None:
    """All that are in service."""
    up = [one for one, state in o.aws.members(group).items() if state == "InService"]
    if up:
        named = {"AutoScalingGroupName": group, "InstanceIds": up, "ProtectedFromScaleIn": True}
        o.world.client("autoscaling").set_instance_protection(**named)
    return SIZES if up else None


def _scheduled(o: Ops, group: str) -> Sizes:
    """By an action that its owner makes now, and that is due every minute."""
    sizes = dict(zip(KEYS, DUE, strict=True))
    o.world.client("autoscaling").put_scheduled_update_group_action(
        AutoScalingGroupName=group, ScheduledActionName="often", Recurrence="* * * * *", **sizes
    )
    return DUE


def _refreshed(o: Ops, group: str) -> Sizes | None:
    if not (shown := o.group(group)) or not shown["Instances"]:
        return None
    o.world.client("autoscaling").start_instance_refresh(AutoScalingGroupName=group)
    return SIZES


def _set_aside(o: Ops, group: str, instance: str) -> None:
    """Another is launched in its place."""
    named = {"AutoScalingGroupName": group, "InstanceIds": [instance]}
    o.world.client("autoscaling").enter_standby(**named, ShouldDecrementDesiredCapacity=False)


def _set_aside_and_back(o: Ops, group: str, instance: str) -> None:
    """As soon as it has drained. The group grows by it when it comes back (user guide, Standby)."""

    def back() -> None:
        if group in o.aws.engine.state.groups:
            named = {"AutoScalingGroupName": group, "InstanceIds": [instance]}
            o.world.client("autoscaling").exit_standby(**named)

    _set_aside(o, group, instance)
    o.clock.after(7, back)


def _taken(o: Ops, group: str, instance: str) -> None:
    o.aws.take(instance)


def _ill(o: Ops, group: str, instance: str) -> None:
    o.machines.kill(instance)


def _out_of_balance(o: Ops, group: str, instance: str) -> None:
    o.aws.rebalance(instance)


def _spot_at_risk(o: Ops, group: str, instance: str) -> None:
    o.aws.rebalance(instance, "CapacityRebalance")


@dataclass(frozen=True)
class Kind:
    """What happens to which group; and what is right then."""

    which: str  # blue or green
    happens: Happens
    missing: int = 0  # so many of who serves are gone by it for a while
    ill: bool = False  # for which the version answers: on green it is rolled back, as long as that is possible
    hooks: bool = False  # instances wait in lifecycle hooks
    stays: str = ""  # what is left of it, and told at the end
    never: tuple[Phase, ...] = ()  # when it cannot happen

    @property
    def phases(self) -> tuple[Phase, ...]:
        """When it can happen: to green, once that is there."""
        return tuple(
            phase for phase in Phase if phase not in self.never and (self.which == "blue" or phase is not Phase.BAKING)
        )

    def outcomes(self, phase: Phase) -> tuple[Outcome, ...]:
        """How the release may end, in the end."""
        if phase is Phase.ROLLING_BACK:
            return (Outcome.ROLLED_BACK,)
        if self.ill and self.which == "green":
            return (Outcome.LIVE, Outcome.ROLLED_BACK) if phase is Phase.RETIRING else (Outcome.ROLLED_BACK,)
        return (Outcome.LIVE,)


def _of_both(name: str, happens: Happens, **more: Any) -> Iterator[tuple[str, Kind]]:
    for which in ("blue", "green"):
        yield f"{which}{name}", Kind(which, happens, **more)


KINDS: Mapping[str, Kind] = {
    **dict(_of_both(" scales out", _scaled(1))),
    **dict(_of_both(" scales in", _scaled(-1))),
    "blue's owner sets the maximum": Kind("blue", _resized(MaxSize=20)),
    "blue's owner sets the minimum": Kind("blue", _resized(MinSize=0)),
    "blue's owner schedules an action": Kind("blue", _scheduled),
    **dict(_of_both("'s instances are refreshed", _refreshed, missing=1)),
    **dict(_of_both("'s zones are rebalanced", _to_one(_out_of_balance), missing=1)),
    **dict(_of_both("'s spot capacity is rebalanced", _to_one(_spot_at_risk), missing=1)),
    **dict(_of_both(": AWS takes an instance", _to_one(_taken), missing=1)),
    **dict(_of_both(": hooks hold who comes and goes", _to_one(_taken), missing=1, hooks=True)),
    "blue: an instance is ill": Kind("blue", _to_one(_ill, answers=True), missing=1, ill=True),
    "green: an instance is ill": Kind(
        "green", _to_one(_ill, answers=True), missing=1, ill=True, never=(Phase.LAUNCHING,)
    ),
    **dict(_of_both(": an instance enters Standby", _to_one(_set_aside), missing=1, stays="in Standby")),
    "blue: an instance enters and exits Standby": Kind(
        "blue", _to_one(_set_aside_and_back, (1, 8, 3)), missing=1, never=(Phase.RETIRING,)
    ),
    "green: an instance enters and exits Standby": Kind("green", _to_one(_set_aside_and_back, (1, 8, 3)), missing=1),
    **dict(_of_both("'s instances are protected", _protected)),
}


# --- a row -----------------------------------------------------------------------------------------------------------


@dataclass
class Row:
    """A release to which it happens."""

    name: str
    phase: Phase
    weighted: bool
    sizes: Sizes | None = None
    ways: list[str] = field(default_factory=list)  # how it ended, and what a person did then
    wrong: list[str] = field(default_factory=list)

    @property
    def kind(self) -> Kind:
        """Of what happens."""
        return KINDS[self.name]

    def __str__(self) -> str:
        """For people to read."""
        return f"{self.name} in {self.phase}, {'weighted' if self.weighted else 'shared'}"

    def play(self) -> Row:
        """To its end; then it says what was wrong."""
        o = self._world()
        release = o.start(GOOD)
        done = self._drive(o, release.id)
        self.ways.append(f"{done.outcome}")
        if done.outcome is Outcome.FAILED:
            done = self._as_told(o, done)
        self.wrong = [f"{self}: {one} [{', '.join(self.ways)}: {done.message}]" for one in self._judged(o, done)]
        return self

    def _world(self) -> Ops:
        """Two instances of a group that may have one to eight, and gives spot capacity back."""
        group = {"MinSize": SIZES[0], "MaxSize": SIZES[1], "CapacityRebalance": True}
        late = self.phase in LATE
        changes = {**CHANGES, "soak": 90 if late else 8}
        changes["promotion"] = {"by": "person" if self.phase is Phase.HOLDING else "auto"}
        o = Ops(timings=TIMINGS, changes=changes, health=HEALTH, drain=5, weighted=self.weighted, group=group, listen=2)
        traffic: dict[str, Any] = {"overlap": 140.0 if late and self.weighted else 70.0 if late else 4.0}
        traffic |= {"steps": (0, 50)} if self.weighted else {}
        o.config = o.config.model_copy(update={"traffic": o.config.traffic.model_copy(update=traffic)})
        if self.kind.hooks:
            self._hook(o)
        return o

    def _hook(self, o: Ops) -> None:
        for name, transition in (("boot", "LAUNCHING"), ("bye", "TERMINATING")):
            hook: dict[str, Any] = {
                "LifecycleHookName": name,
                "LifecycleTransition": f"autoscaling:EC2_INSTANCE_{transition}",
            }
            hook |= {"HeartbeatTimeout": 20, "DefaultResult": "CONTINUE"}
            o.world.client("autoscaling").put_lifecycle_hook(AutoScalingGroupName=o.world.group, **hook)

    def _drive(self, o: Ops, release: str) -> Release:
        """One driver after another, as one goes when it waits for people; they promote when it has happened."""
        when = self._when(o)
        for _ in range(3):
            done = o.drive(release, when=when)
            assert done is not None
            if done.outcome:
                return done
            when(done)
        raise AssertionError(f"{self}: not over")

    def _when(self, o: Ops) -> Callable[[Release], None]:
        ordered: list[str] = []

        def when(seen: Release) -> None:
            if self.phase is Phase.ROLLING_BACK and seen.phase is Phase.SOAKING and not ordered:
                ordered.append("rollback")
                o.engine().roll_back(SERVICE, who="slack:U1")
            if seen.phase is self.phase and self.sizes is None:
                self._happens(o, seen)
            if seen.phase is Phase.HOLDING and seen.promotable and self.sizes and not ordered:
                ordered.append("promotion")
                o.engine().promote(SERVICE, who="slack:U1")

        return when

    def _happens(self, o: Ops, seen: Release) -> None:
        if o.clock.now() - seen.in_phase_since < LATE.get(self.phase, 0.0):
            return
        group = seen.blue_group if self.kind.which == "blue" else seen.green_group
        self.sizes = self.kind.happens(o, group)
        if self.sizes is not None:
            o.instances = min(o.instances, self.sizes[2]) - self.kind.missing

    def _as_told(self, o: Ops, failed: Release) -> Release:
        """A person does what a failed release says, and lets it go on."""
        for command in re.findall(r"[`(](aws [^`)]*)[`)]", failed.message):
            as_told(o.world.client, command)
            self.ways.append(" ".join(command.split()[1:3]))
        o.clock.sleep(60)
        o.engine().resume(SERVICE, who="slack:U1")
        done = self._drive(o, failed.id)
        self.ways.append(f"{done.outcome}")
        return done

    def _judged(self, o: Ops, done: Release) -> Iterator[str]:
        """S1, S5, S6 and S8, the outcome, and the sizes of who serves."""
        if self.sizes is None:
            yield "it did not happen"
            return
        o.clock.sleep(60)
        if done.outcome not in self.kind.outcomes(self.phase):
            yield f"not {' or '.join(self.kind.outcomes(self.phase))}"
        stays = done.green_group if done.outcome is Outcome.LIVE else done.blue_group
        o.before = {**(o.before or {}), **dict(zip(KEYS, self._wanted(done), strict=True))}
        yield from o.wrong(done)
        if self.kind.stays and not any(self.kind.stays in left for left in done.left_behind):
            happened = done.blue_group if self.kind.which == "blue" else done.green_group
            if happened == stays or o.group(happened):
                yield f"{self.kind.stays} is not told"

    def _wanted(self, done: Release) -> Sizes:
        """What happened to the group that goes in the end counts no more, but for blue's owner and its growth."""
        assert self.sizes is not None
        gone = self.kind.which == "green" and done.outcome is Outcome.ROLLED_BACK
        return SIZES if gone else self.sizes


# --- many ------------------------------------------------------------------------------------------------------------


def rows(name: str) -> list[Row]:
    """Everything that is played of a kind."""
    return [Row(name, phase, weighted) for phase in KINDS[name].phases for weighted in (False, True)]


def some(name: str, seed: int = 0) -> list[Row]:
    """A quarter of the phases, each with one kind of traffic: all kinds together are in every phase, with both.

    Another `seed` is another eighth of everything.
    """
    number = list(KINDS).index(name) + seed
    chosen = [phase for at, phase in enumerate(Phase) if at % 4 == number % 4 and phase in KINDS[name].phases]
    return [Row(name, phase, bool((number // 4 + at) % 2)) for at, phase in enumerate(chosen)]


def table(played: list[Row]) -> str:
    """A line for each kind, a column for each phase: how it ended with shared / weighted target groups."""
    cells = {(row.name, row.phase, row.weighted): "!" if row.wrong else _short(row.ways) for row in played}
    lines = [f"{'':42}{''.join(f'{phase.value:>25}' for phase in Phase)}"]
    for name in dict.fromkeys(row.name for row in played):
        both = [" / ".join(cells.get((name, phase, way), "-") for way in (False, True)) for phase in Phase]
        lines.append(f"{name:42}{''.join(f'{cell:>25}' for cell in both)}")
    return "\n".join(lines)


def _short(ways: list[str]) -> str:
    words = {"rolled_back": "back", "failed": "told"}
    return ">".join(words.get(way, way) for way in ways if way in ("live", "rolled_back", "failed"))


def main() -> int:
    """Play all, or the kinds whose names have one of these words."""
    logging.getLogger("bluegreen").setLevel("CRITICAL")
    began, wanted = time.process_time(), sys.argv[1:] or [""]
    names = [name for name in KINDS if any(word in name for word in wanted)]
    played = [row.play() for name in names for row in rows(name)]
    violations = [one for row in played for one in row.wrong]
    print("\n".join([table(played), *violations]))
    print(f"{len(played)} releases, {len(violations)} violations, {time.process_time() - began:.0f} s of CPU")
    return int(bool(violations))


if __name__ == "__main__":
    sys.exit(main())
