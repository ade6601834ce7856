"""A journal that is lost, at every point of a release: `python -m tests.lost_journals [part of a name ...] [every N]`.

A world has a past of two days: a release that was rolled back and one that went live, and the same again an hour ago.
Then comes one more, and at every point of it, and before it began, the journal is deleted, put back as it was at every
point of a release of an hour or of two days ago, or swapped with one that other releases of the same numbers filled.
Whoever drives goes on by what the journal says; then somebody releases, and does what they are told, word by word.
What serves is not touched by anything but that release, and it goes live.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import pickle
import re
import shlex
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore import xform_name
from botocore.exceptions import ClientError

from bluegreen.errors import Refused
from bluegreen.events import Outcome, Phase
from bluegreen.observation import FindingKey
from bluegreen.release import Release
from tests.worlds import Ops, fast
from tests.worlds.crashes import Crashes, Point

SERVICE, TABLE, ANN = "web/production", "bluegreen", "arn:aws:iam::1:user/ann"
Items = list[dict[str, Any]]
#: What is somebody's own in the group that serves: an old journal must not write other values over it.
OWN = {"MinSize": 0, "MaxSize": 9}
BETWEEN = "between releases"
#: How many hours after each part of the past the next begins: one that was rolled back, one that went live.
PAST = {"two days ago": 47.0, "an hour ago": 1.0}
#: A person gives up after so many refusals.
PATIENT = 5


# --- points ------------------------------------------------------------------------------------------------


def point(seen: Release) -> str:
    """Where a release is: its phase, and what was done last in it."""
    done = [one for one in seen.did.values() if one.at > seen.in_phase_since]
    last = max(done, key=lambda one: one.seq, default=None)
    return f"{seen.phase}{f', {last.verb}' if last else ''}"


@dataclass
class Past:
    """Backups of a journal: by when, then by the point at which a release was."""

    kept: dict[str, dict[str, Items]] = field(default_factory=dict)
    account: str = ""

    def keeps(self, ops: Ops, when: str) -> Callable[[Release], None]:
        """For `when` of a drive."""
        kept = self.kept.setdefault(when, {})

        def keep(seen: Release) -> None:
            if not seen.outcome and point(seen) not in kept:
                kept[point(seen)] = items(ops)

        return keep


def items(ops: Ops) -> Items:
    """The journal as it is."""
    found: Items = ops.world.client("dynamodb").scan(TableName=TABLE)["Items"]
    return found


def put_back(ops: Ops, backup: Items, after: float = 900) -> None:
    """The journal is this now, so many seconds later; the leases in it have lapsed."""
    client = ops.world.client("dynamodb")
    client.delete_table(TableName=TABLE)
    ops.clock.sleep(after)
    ops.engine().ensure_table()
    for item in backup:
        client.put_item(TableName=TABLE, Item=item)


def lived(weighted: bool, past: Mapping[str, float], ways: Sequence[bool]) -> tuple[Ops, Past]:
    """A service with its past, and the backups of it; nobody releases now.

    `past`: the hours that pass after each part of it; `ways`: whether each of its releases is rolled back.
    """
    ops, backups = fast(weighted=weighted, loose=True, checks=[]), Past()
    for when, hours in past.items():
        for back in ways:
            begin(ops, f"{'bad' if back else 'c0ffee'}{when}", backups.keeps(ops, when), back=back)
        backups.kept[when][BETWEEN] = items(ops)
        ops.clock.sleep(3600 * hours)
    name = max(ops.serving())
    ops.world.client("autoscaling").update_auto_scaling_group(AutoScalingGroupName=name, **OWN)
    return ops, backups


def begin(ops: Ops, commit: str, when: Callable[[Release], None], *, back: bool = False) -> Release | None:
    """A release, held until somebody promotes; `back`: it is rolled back once green serves alone."""
    release = ops.start(commit, ami=ops.world.image, hold=True, override="again")
    ordered: set[Phase] = set()

    def tell(seen: Release) -> None:
        when(seen)
        if seen.phase in ordered:
            return
        ordered.add(seen.phase)
        if seen.phase is Phase.HOLDING:
            ops.engine().promote(SERVICE, who="slack:U2")
        if seen.phase is Phase.SOAKING and back:
            ops.engine().roll_back(SERVICE, who="slack:U1")

    return ops.drive(release.id, when=tell)


# --- what may become of a journal --------------------------------------------------------------------------


def losses(past: Past, other: Past) -> Iterator[tuple[str, str, Items | None]]:
    """What happened, the point of the journal that is there now, and its items; None: it was deleted."""
    yield "deleted", "", None
    for when, kept in past.kept.items():
        yield from ((f"as {when}", at, kept[at]) for at in ends(kept))
    yield from (("swapped", at, other.kept["now"][at]) for at in ends(other.kept["now"]))
    for at in ends(other.kept["now"])[::4]:
        yield "of another account", at, renamed(other.kept["now"][at], other.account, "210987654321")
    yield "of another environment", "", renamed(past.kept["an hour ago"][BETWEEN], "production", "staging")


def ends(kept: Mapping[str, object]) -> list[str]:
    """The first and the last point of each phase."""
    by: dict[str, list[str]] = {}
    for at in kept:
        by.setdefault(at.partition(",")[0], []).append(at)
    return [one for found in by.values() for one in dict.fromkeys((found[0], found[-1]))]


def renamed(backup: Items, old: str, new: str) -> Items:
    """The same with another name in it."""
    changed: Items = json.loads(json.dumps(backup).replace(old, new))
    return changed


def swapped(ops: Ops, ways: Sequence[bool]) -> Past:
    """What the journal would hold if other releases of the same numbers had been made: seen in copies of the world."""
    past = Past(account=ops.engine().load(f"{SERVICE}#1").account)
    for back in ways:
        reader, writer = os.pipe()
        if not os.fork():
            with os.fdopen(writer, "wb") as pipe:
                seen = Past()
                begin(ops, f"c0ffee9{back:d}", seen.keeps(ops, "now"), back=back)
                pickle.dump(seen.kept["now"], pipe)
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            kept = pickle.load(pipe)  # from our own child
        os.wait()
        chosen = {at: one for at, one in kept.items() if at.startswith(Phase.ROLLING_BACK) == back}
        past.kept.setdefault("now", {}).update(chosen)
    return past


# --- what people and machines do then ----------------------------------------------------------------------


@dataclass
class Night:
    """From the loss on: what serves is watched, the bot drives, a person releases and does what they are told."""

    ops: Ops
    did: list[str] = field(default_factory=list)

    def passes(self) -> list[str]:
        """What was wrong."""
        before = self.picture()
        self.ops.harm.clear()
        self.machines()
        wrong = [*self.ops.harm, *differences(before, self.picture())]
        self.ops.harm.clear()
        wrong += self.released(set(before["groups"]))
        return [*wrong, f"way: {', '.join(self.did) or 'at once'}"]

    def picture(self) -> dict[str, Any]:
        """What serves, and how."""
        world = self.ops.world
        groups = {name: _plain(self.ops.group(name) or {}) for name in self.ops.serving()}
        weights = {arn: self.ops.aws.weights(arn) for arn in world.listeners}
        return {"groups": groups, "weights": weights}

    def machines(self) -> None:
        """Whoever drives takes up what is under way, twice: what failed or was refused is not waited for."""
        for _ in range(2):
            for id_ in self.ops.engine().undriven():
                try:
                    self.ops.drive(id_)
                except Refused as refusal:
                    self.did.append(f"not driven ({refusal.reason})")

    def released(self, serving: set[str]) -> list[str]:
        """The next release, as people are told."""
        image = self.ops.world.image
        for _ in range(PATIENT):
            try:
                self.heed_the_plan()
                release = self.ops.start("c0ffee77", ami=image)
            except Refused as refusal:
                if not (set(self.ops.serving()) & serving):
                    return [f"{self.ops.serving()} serve, not {serving}, after {self.did}"]
                self.obey(refusal)
            else:
                return self.ended(self.ops.drive(release.id))
        return [f"still refused after {self.did}"]

    def heed_the_plan(self) -> None:
        """What the plan advises about the journal is done before the release."""
        plan = self.ops.engine().plan(self.ops.config, commit="c0ffee77", ami=self.ops.world.image)
        for finding in plan.baseline.findings:
            if finding.key is FindingKey.JOURNAL_BEHIND and "aws autoscaling" in finding.hint:
                self.did.append("unpinned")
                self.run_all(finding.hint)

    def obey(self, refusal: Refused) -> None:
        """Do what the hint says first; where weights are to be moved, move them."""
        if "Give one of them all the traffic" in refusal.hint:
            self.did.append("weights")
            give_all(self.ops, max(self.ops.serving()))
            return
        told = re.findall(r"`([^`]*)`", refusal.hint)
        if not told:
            raise refusal
        self.run(told[0])

    def run(self, command: str) -> None:
        """One command, word by word as it was told."""
        words = shlex.split(command)
        if words[0] == "aws":
            self.did.append(words[2])
            self.aws(words[1], words[2], words[3:])
            return
        self.did.append(words[1])
        engine = self.ops.engine()
        match words[1]:
            case "adopt":
                self.adopt(words[2:])
            case "rollback":
                engine.roll_back(words[2], who=ANN)
                self.drive_under_way()
            case "resume":
                engine.resume(words[2], who=ANN)
                self.drive_under_way()
            case "status":
                self.drive_under_way()
            case other:
                raise AssertionError(f"nobody said how to do {other}")

    def drive_under_way(self) -> None:
        """Whoever ordered waits for the end."""
        for id_ in self.ops.engine().undriven():
            self.ops.drive(id_)

    def adopt(self, words: Sequence[str]) -> None:
        """Of two that serve a person names the newer; what is left is removed as it says."""
        try:
            group = (
                words[words.index("--group") + 1].replace("NAME", max(self.ops.serving())) if "--group" in words else ""
            )
            made = self.ops.engine().adopt(self.ops.config, who=ANN, group=group)
        except Refused as refusal:
            self.obey(refusal)
            return
        for sentence in made.left:
            self.run_all(sentence)
        self.ops.clock.sleep(30)

    def run_all(self, sentence: str) -> None:
        """Every AWS command of a sentence; the number that it asks for is what they know to be theirs."""
        if "modify-listener" in sentence:
            give_all(self.ops, max(self.ops.serving()))
        for command in re.findall(r"aws (?:autoscaling|ec2) [^;`)]*", sentence):
            self.run(command.replace("NUMBER", str(OWN["MinSize"])).rstrip(". "))

    def aws(self, service: str, verb: str, words: Sequence[str]) -> None:
        """AWS's own command line, as far as it is advised."""
        client = self.ops.world.client(service)
        model = client.meta.service_model.operation_model(_operation(client, verb))
        members = {xform_name(name, "-"): (name, shape.type_name) for name, shape in model.input_shape.members.items()}
        given: dict[str, Any] = {}
        for word in words:
            if word.startswith("--"):
                name, kind = members[word[2:]]
                given[name] = True if kind == "boolean" else []
            elif isinstance(given[name], list):
                given[name].append(int(word) if kind == "integer" else word)
        plain = {k: v if members[xform_name(k, "-")][1] in ("list", "boolean") else v[0] for k, v in given.items()}
        try:
            getattr(client, verb.replace("-", "_"))(**plain)
        except ClientError as error:
            if "pending delete" not in str(error):  # what was told twice was done the first time
                raise

    def ended(self, done: Release | None) -> list[str]:
        """S1 and S8, and blue's own settings are green's."""
        assert done is not None
        wrong = [*self.ops.harm]
        if done.outcome is not Outcome.LIVE:
            wrong.append(f"{done.outcome}: {done.message}, after {self.did}")
        elif self.ops.serving() != {done.green_group}:
            wrong.append(f"{self.ops.serving()} serve, not {done.green_group}")
        else:
            green = self.ops.group(done.green_group) or {}
            wrong += [f"{key} is {green[key]}, was {own}" for key, own in OWN.items() if green[key] != own]
            wrong += [f"suspended: {green['SuspendedProcesses']}"] if green["SuspendedProcesses"] else []
        return wrong


def _operation(client: Any, verb: str) -> str:
    """CreateOrUpdateTags of create-or-update-tags."""
    return str(client.meta.method_to_api_mapping[verb.replace("-", "_")])


def _plain(group: Mapping[str, Any]) -> dict[str, Any]:
    """What nobody may change of a group that serves; its instances by id alone."""
    instances = sorted(one["InstanceId"] for one in group["Instances"])
    keys = ("MinSize", "MaxSize", "DesiredCapacity", "LaunchTemplate", "SuspendedProcesses", "TargetGroupARNs")
    return {**{key: group.get(key) for key in keys}, "Instances": instances}


def differences(before: Any, now: Any, where: str = "") -> list[str]:
    """What of the picture changed."""
    if not (isinstance(before, dict) and isinstance(now, dict)):
        return [] if before == now else [f"touched: {where.strip()} is {now}, was {before}"]
    keys = sorted({*before, *now})
    return [said for key in keys for said in differences(before.get(key), now.get(key), f"{where} {key}")]


def give_all(ops: Ops, name: str) -> None:
    """Every listener gives the group's target group everything."""
    group = ops.group(name)
    assert group is not None
    shares = [
        {"TargetGroupArn": arn, "Weight": 100 if arn in group["TargetGroupARNs"] else 0}
        for arn in ops.world.target_groups
    ]
    action = {"Type": "forward", "ForwardConfig": {"TargetGroups": shares}}
    ops.world.client("elbv2").modify_listener(ListenerArn=ops.world.listener, DefaultActions=[action])


# --- all of it ---------------------------------------------------------------------------------------------


@dataclass
class Matrix:
    """Every loss at every point of a release, with one kind of traffic; each in a copy of the world."""

    weighted: bool
    wanted: Callable[[str], bool] = lambda name: True
    past: Mapping[str, float] = field(default_factory=lambda: PAST)
    ways: Sequence[bool] = (True, False)
    worlds: Crashes = field(default_factory=Crashes)

    def play(self) -> list[tuple[str, list[str]]]:
        """The name of each story, and what was wrong in it and how it went on."""
        ops, past = lived(self.weighted, self.past, self.ways)
        other = swapped(ops, self.ways)
        points = set(ends(other.kept["now"]))
        self._lose(ops, past, other, BETWEEN)
        for back in self.ways:
            self._tell(ops, past, other, points, back=back)
        self.worlds.end(list)
        return [(one.operation, said) for one, said in zip(self.worlds.points, self._said(), strict=True)]

    def _said(self) -> list[list[str]]:
        by: dict[str, list[str]] = {str(one): [] for one in self.worlds.points}
        for said in self.worlds.results:
            at, _, what = said.partition(" effect: ")
            by[f"{at} effect"].append(what)
        return list(by.values())

    def _tell(self, ops: Ops, past: Past, other: Past, points: set[str], *, back: bool) -> None:
        """The release that is under way; one that is rolled back comes first, and leaves all as it was."""

        def when(seen: Release) -> None:
            at = point(seen)
            ours = (seen.phase is Phase.ROLLING_BACK) == back
            if ours and at in points and not (seen.outcome or self.worlds.copy):
                points.remove(at)
                self._lose(ops, past, other, at)

        begin(ops, f"c0ffee5{back:d}", when, back=back)

    def _lose(self, ops: Ops, past: Past, other: Past, at: str) -> None:
        for what, was, backup in losses(past, other):
            name = f"{at} | {what} | {was}"
            if self.wanted(name) and self.worlds.branch(Point(len(self.worlds.points), name, heard=True)):
                if backup is None:
                    ops.world.client("dynamodb").delete_table(TableName=TABLE)
                    ops.clock.sleep(60)
                else:
                    put_back(ops, backup)
                self.worlds.end(Night(ops).passes)


def wrong(said: Sequence[str]) -> list[str]:
    """Without how people went on."""
    return [one for one in said if not one.startswith("way: ")]


def table(told: Sequence[tuple[str, list[str]]]) -> str:
    """A line for each loss at each phase: how many, how many wrong, and the ways on."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for name, said in told:
        at, what, _ = name.split(" | ")
        row = counts.setdefault((at.partition(",")[0], what), Counter())
        row.update(["worlds", *(["wrong"] if wrong(said) else []), *(one for one in said if one not in wrong(said))])
    lines = [f"{'at':18} {'the journal':24} {'worlds':>6} {'wrong':>5}  what the next release took"]
    for (at, what), row in counts.items():
        ways = "; ".join(f"{n} {way[5:]}" for way, n in row.most_common() if way.startswith("way: "))
        lines.append(f"{at:18} {what:24} {row['worlds']:6} {row['wrong']:5}  {ways}")
    return "\n".join(lines)


def main(words: Sequence[str]) -> int:
    """Play all, or those whose names hold each of the words; `every N`: only so many of them."""
    logging.getLogger("bluegreen").setLevel("CRITICAL")
    every = int(words[words.index("every") + 1]) if "every" in words else 1
    parts = words[: words.index("every")] if "every" in words else words
    number = itertools.count()
    bad = 0
    for weighted in (False, True):
        began = time.monotonic()
        matrix = Matrix(weighted, lambda name: all(p in name for p in parts) and next(number) % every == 0)
        told = matrix.play()
        print(f"\n{'weighted' if weighted else 'shared'} traffic\n{table(told)}")
        faults = [f"WRONG {name}: {one}" for name, said in told for one in wrong(said)]
        bad += len(faults)
        print(*faults, sep="\n")
        print(f"{len(told)} worlds, {time.monotonic() - began:.0f} s", flush=True)
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
