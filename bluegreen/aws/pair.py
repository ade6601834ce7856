"""A standing pair: two groups that belong to somebody else, such as Terraform, and take turns.

    idle         the one that is to be green, compared with blue, before a release begins
    take         it becomes green: marked, on our template version, as large as blue
    empty        green to size 0 again, on the way back
    give_back    its owner's sizes, template reference, processes and tags, after that

Nothing is made or deleted. What scales follows the role: who serves has blue's sizes, and of the processes that scale
those suspended that blue's owner had suspended. Everything else stays as the owner of each group has it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bluegreen.aws import attachments, copy, groups, surroundings, tags, templates
from bluegreen.aws.attachments import ACTIONS, ALARM, KINDS, Attachments
from bluegreen.aws.calls import Answer, Calls
from bluegreen.aws.surroundings import Beside
from bluegreen.aws_commands import detach, empty_group, suspend
from bluegreen.config import Config
from bluegreen.errors import AwsError
from bluegreen.events import IdleBefore, Made
from bluegreen.observation import Finding, FindingKey, Group, Idle, Verdict, busy
from bluegreen.release import Release, count_of, holder_of, listed

#: What blue may have that its service does not work without; of everything else a person is only told.
NEEDED = ("lifecycle hook", "scaling policy", "alarm", "scheduled action")
#: What things are called: in either group as its owner likes.
_NAMES = ("PolicyName", "ScheduledActionName", "LifecycleHookName")
#: What an alarm watches and how; whom it tells, and by whose policy it acts, is its own.
_COMPARED = tuple(member for member in ALARM if member not in ("AlarmName", "AlarmDescription", *ACTIONS))


# --- before a release ----------------------------------------------------------------------------


def other(config: Config, blue: str) -> str:
    """The group of the pair that is to be green."""
    return next(name for name in config.names if name != blue)


def marks(group: Answer) -> dict[str, str]:
    """The group's tags of bluegreen's, but for who holds it."""
    return {key: value for key, value in tags.as_dict(group.get("Tags")).items() if key in tags.OF_INSTANCES}


def idle(calls: Calls, group: Answer) -> Idle:
    """The group, in our words."""
    known = groups.known(group)
    version = known.template_version
    if version in (templates.DEFAULT, templates.LATEST):
        version = templates.resolved(templates.look(calls, known.template), version)
    return Idle(known, version, marks(group))


def findings(calls: Calls, at: Beside, blue: Attachments, shown: Answer, launched: Answer) -> Iterator[Finding]:
    """Why the group that is to be green, as it is `shown`, cannot be it now, and how it differs from blue.

    `launched`: what blue's launch template version says.
    """
    group = groups.known(shown)
    if found := busy(group):
        yield Finding(FindingKey.PAIR_BUSY, found, "only an idle group can become green", Verdict.REFUSED, _hint(group))
    holder = holder_of(group.held_by)
    if holder and holder.rpartition("#")[0] != at.config.id:
        found = f"{group.name} is held by {holder}, a release of another service"
        hint = "Let that release end, and give each service groups of its own."
        yield Finding(FindingKey.PAIR_BUSY, found, "", Verdict.REFUSED, hint)
    yield from _woken_by_itself(group, has := attachments.look(calls, shown))
    home = (at.idle,) if at.idle else at.serving
    yield from _differences(_Side(blue, at.serving), _Side(has, home))
    if at.own:
        yield _templates(at, launched)


def _templates(at: Beside, launched: Answer) -> Finding:
    """Each group has its own; green's version is made in its own, and nothing else in it changes but the image."""
    differ = [one for one in surroundings.changes(launched, at.launched) if not one.startswith("ImageId")]
    found = f"{at.launcher.name} launches from a launch template of its own, {at.launcher.template}"
    harm = f"it differs from {at.blue.name}'s in {listed(differ, 12)}" if differ else "it differs in the image alone"
    said = f"{harm}; green's version is made in it, and its default version stays as it is"
    return Finding(FindingKey.PAIR_DIFFERS, found, said, Verdict.WARNED if differ else Verdict.NOTED)


def _woken_by_itself(group: Group, has: Attachments) -> Iterator[Finding]:
    """A scheduled action sets sizes, whatever the maximum is; on a group that has been blue it is suspended."""
    actions = list(has.kinds["scheduled action"])
    if actions and "ScheduledActions" not in group.suspended:
        found = f"{group.name} is idle, but its scheduled action {listed(actions)} is not suspended"
        hint = f"`{suspend(group.name, 'ScheduledActions')}`; on the group that serves bluegreen resumes it."
        yield Finding(FindingKey.PAIR_BUSY, found, "it starts instances when it is due", Verdict.WARNED, hint)


def _hint(group: Group) -> str:
    if group.deleting:
        return "Make it again, and release then."
    if group.desired or group.instances:
        return f"If nobody needs its instances: `{empty_group(group.name)}`."
    arns = sorted(group.target_groups)
    return f"`{detach(group.name, arns)}`; its owner must ignore that, or it would serve before any check."


@dataclass(frozen=True)
class _Side:
    """One of the two, with the target groups that it serves."""

    has: Attachments
    home: Collection[str]

    @property
    def name(self) -> str:
        return str(self.has.group["AutoScalingGroupName"])

    def kind(self, kind: str) -> dict[str, str]:
        """What it has of a kind: name -> what it does."""
        if kind == "alarm":
            return {one["AlarmName"]: self._plain(copy.shown(one, _COMPARED)) for one in self.has.alarms}
        return {name: self._plain(part) for name, part in self.has.kinds[kind].items()}

    def _plain(self, part: Any) -> str:
        """Without the name that it has, and with neither the group's name nor that of its target groups in it."""
        if isinstance(part, Mapping):
            left = {*_NAMES, *(("StartTime",) if "Recurrence" in part else ())}
            part = {key: value for key, value in part.items() if key not in left}
        text = json.dumps(_ordered(part), sort_keys=True, default=str).replace(self.name, "the group")
        for arn in self.home:
            text = text.replace(arn.rpartition(":")[2], "its target group")
        return text


def _differences(blue: _Side, green: _Side) -> Iterator[Finding]:
    """Member by member, by the table of the copy; what is attached by what it does, whatever it is called."""
    lacking = [one for kind in NEEDED for one in _lacking(kind, blue, green)]
    others = [one for kind in KINDS if kind not in NEEDED for one in _different(kind, blue, green)]
    hint = f"Give {green.name} what it needs; it stays as its owner has it."
    if lacking:
        found = f"{green.name} has nothing like {listed(lacking, 12)} of {blue.name}"
        yield Finding(FindingKey.PAIR_DIFFERS, found, "it would serve without", Verdict.REFUSED, hint)
    if others:
        found = f"{green.name} differs from {blue.name} in {listed(others, 12)}"
        yield Finding(FindingKey.PAIR_DIFFERS, found, "it serves as it is", Verdict.WARNED, hint)


def _lacking(kind: str, blue: _Side, green: _Side) -> Iterator[str]:
    there = green.kind(kind).values()
    yield from (f"the {kind} {name}" for name, does in blue.kind(kind).items() if does not in there)


def _different(kind: str, blue: _Side, green: _Side) -> Iterator[str]:
    """Of a setting its name says enough; groups bear names of their own, and what scales follows the role."""
    one, other = blue.kind(kind), green.kind(kind)
    for name in sorted({*one, *other} - {"Name", *groups.SCALING}):
        if one.get(name) != other.get(name):
            yield name if kind == "setting" else f"the {kind} {name}"


def _ordered(part: Any) -> Any:
    """In lists the order says nothing; subnets are a list in one text."""
    match part:
        case Mapping():
            return {key: _ordered(value) for key, value in part.items()}
        case list() | tuple():
            return sorted((_ordered(one) for one in part), key=lambda one: json.dumps(one, sort_keys=True, default=str))
        case str() if part.startswith("subnet-"):
            return sorted(part.split(","))
    return part


# --- acts ----------------------------------------------------------------------------------------


def take(calls: Calls, release: Release) -> Made:
    """The idle group becomes green: first it gets our marks, then nothing resizes it by itself, then it grows."""
    calls.readings.forget()  # whoever begins to use it in this moment keeps it
    name, before = release.green_group, _before(release)
    green = groups.described(calls, (name,), "UpdateAutoScalingGroup")[name]
    if not groups.is_ours(green, release):
        _must_be_as_before(green, before, release)
        calls.autoscaling.create_or_update_tags(Tags=copy.marks(release))
    groups.suspend(calls, name, groups.OWN_MIND)
    if templates.reference(green)[1] != str(release.template_version):
        assert release.blue is not None
        sizes = {"MinSize": release.size, "DesiredCapacity": release.size}
        most = max(release.blue.maximum, release.size)
        version = copy.on_version(green, str(release.template_version))
        calls.autoscaling.update_auto_scaling_group(AutoScalingGroupName=name, **sizes, MaxSize=most, **version)
    return {"group": name}


def _must_be_as_before(green: Answer, before: IdleBefore, release: Release) -> None:
    """Somebody else may have begun to use it since it was seen idle."""
    found = busy(groups.known(green))
    if not found and (marks(green) != dict(before.marks) or release.is_behind(groups.held_by(green))):
        found = f"another release has taken {release.green_group}"
    if found:
        raise AwsError(f"{found}, so bluegreen leaves it as it is", code="Changed", operation="UpdateAutoScalingGroup")


def empty(calls: Calls, release: Release) -> Made:
    """Green to size 0; its instances go through their lifecycle hooks, those protected from scale-in, too."""
    green = groups.own_green(calls, release, "UpdateAutoScalingGroup")
    if still := groups.target_groups(green) & set(release.target_groups):
        where = count_of(len(still), "target group")
        what = f"the group {release.green_group} is in {where}, so bluegreen leaves it as it is"
        raise AwsError(what, code="InTraffic", operation="UpdateAutoScalingGroup", transient=True)
    groups.unprotect_all(calls, green)
    sizes = {"MinSize": 0, "DesiredCapacity": 0, "MaxSize": 0}
    calls.autoscaling.update_auto_scaling_group(AutoScalingGroupName=release.green_group, **sizes)
    return {}


def give_back(calls: Calls, release: Release) -> Made:
    """Everything that was changed on green is its owner's again; the mark of who holds it goes last.

    Without our marks it was given back before, or is another's by now.
    """
    name, before = release.green_group, _before(release)
    green = groups.describe(calls, name).get(name)
    if green is None or not (groups.is_ours(green, release) or groups.held_by(green) == release.mark):
        return {}
    own, now = set(before.suspended), groups.suspended(green)
    if own - now:
        groups.suspend(calls, name, sorted(own - now))
    sizes = {"MinSize": before.minimum, "MaxSize": before.maximum}
    version = copy.on_version(green, before.template_version)
    calls.autoscaling.update_auto_scaling_group(AutoScalingGroupName=name, **sizes, **version)
    # A read may be older than our own suspending: resuming what runs changes nothing.
    if ours := sorted({*groups.SCALING} - own):
        calls.autoscaling.resume_processes(AutoScalingGroupName=name, ScalingProcesses=ours)
    if before.marks:
        calls.autoscaling.create_or_update_tags(Tags=copy.marked(name, before.marks))
    gone = [key for key in tags.OF_GREEN if key not in before.marks]
    calls.autoscaling.delete_tags(Tags=[groups.tag(name, key) for key in gone])
    return {}


def _before(release: Release) -> IdleBefore:
    assert release.green_before is not None
    return release.green_before
