"""The journal against the world: who serves, and which number comes next, when the two do not agree. Pure.

A journal may be lost, named wrongly, or restored from before; the groups in the target groups serve anyway. What
serves is taken for blue when only one can be meant, and every number and name that is taken is passed over.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from bluegreen.aws_commands import delete_group, detach, empty_group
from bluegreen.errors import Refused
from bluegreen.events import Outcome, Phase, Reason, Verb
from bluegreen.observation import NEAR, Finding, FindingKey, Footprint, Image, Remains, Traces
from bluegreen.release import Release, agreeing, count_of, holder_of, is_name_of, names, release_id


@dataclass(frozen=True)
class Standing:
    """What the next release begins from."""

    blue: str
    number: int
    found: Footprint | None = None  # what serves, when the journal says something else
    findings: tuple[Finding, ...] = ()

    @property
    def commit(self) -> str:
        """What serves runs, where the journal cannot know."""
        return self.found.commit if self.found else ""


def stand(
    service: str, recorded: str, known: int, traces: Traces, *, journaled: bool, pair: Collection[str] = ()
) -> Standing:
    """What the next release begins from.

    `recorded`: the group that is live by the journal (`journaled`), or by the configuration; `known`: the next number
    by the journal. `pair`: the names of a standing pair. Refused when it does not serve, and AWS does not show which
    other group does.
    """
    if pair:
        return _of_pair(service, recorded if journaled else "", known, traces, pair)
    there = next((one for one in traces.groups if one.name == recorded), None)
    serving = [one for one in traces.groups if one.serves and one.number and one.size]
    found = None
    if serving and not (there and there.serves):
        found = _only(service, recorded, serving)
    elif there is None and journaled:
        what = f"the journal says that {recorded} serves, and there is no such group"
        raise Refused(
            what, reason=Reason.UNRESOLVED, where=service, hint=f"{command(service)} records the serving group."
        )
    number = _free(service, traces)
    said = (*_behind(service, recorded, known, found, traces), *_skipped(service, number, traces))
    return Standing(found.name if found else recorded, number, found, said)


def _of_pair(service: str, recorded: str, known: int, traces: Traces, pair: Collection[str]) -> Standing:
    """Of a standing pair that one is blue which serves, by what AWS shows; at size 0 by what the journal says."""
    if recorded and recorded not in pair:
        what = f"the journal says that {recorded} serves, and `groups` names {' and '.join(pair)}"
        hint = f"Name it there, or let one of the two serve in its place and run {command(service)}."
        raise Refused(what, reason=Reason.UNRESOLVED, where=service, hint=hint)
    serving = [one for one in traces.groups if one.name in pair and one.serves]
    running = [one for one in serving if one.size] or [one for one in serving if one.name == recorded] or serving
    if len(running) != 1:
        raise _unclear(service, recorded, pair, running)
    (blue,) = running
    found = blue if recorded and blue.name != recorded else None
    number = _free(service, traces, pair)
    behind = _behind(service, recorded or blue.name, known, found, traces, pair)
    return Standing(blue.name, number, found, (*behind, *_skipped(service, number, traces, pair)))


def _unclear(service: str, recorded: str, pair: Collection[str], serving: Sequence[Footprint]) -> Refused:
    both = " and ".join(pair)
    if not serving:
        what = f"neither {' nor '.join(pair)} is attached to the target groups that serve"
        hint = "Attach the one that is to serve, and leave the other at size 0, in no target group."
        return Refused(what, reason=Reason.UNRESOLVED, where=service, hint=hint)
    other = min((one for one in serving if one.name != recorded), key=lambda one: one.size)
    commands = f"`{detach(other.name, other.targets)}`, then `{empty_group(other.name)}`"
    hint = f"Take the one out that is not to serve, and empty it; {other.name} by {commands}."
    what = f"{both} are both attached to the target groups that serve"
    return Refused(what, reason=Reason.UNRESOLVED, where=service, hint=hint)


def _only(service: str, recorded: str, serving: Sequence[Footprint]) -> Footprint:
    if len(serving) == 1:
        return serving[0]
    both = " and ".join(one.name for one in serving)
    what = f"the journal says that {recorded} serves, and {both} do"
    raise Refused(what, reason=Reason.UNRESOLVED, where=service, hint=f"{command(service)} shows what you can do.")


def _free(service: str, traces: Traces, pair: Collection[str] = ()) -> int:
    """The first number whose names nobody bears."""
    for number in range(traces.first, traces.first + NEAR):
        if not _takers(service, number, traces, pair):
            return number
    taken = f"{names(service, traces.first, '')['green_group']} and the next {NEAR - 1} names are taken"
    hint = "Rename the resources with these names, or give the service another name in bluegreen.yml."
    raise Refused(taken, reason=Reason.UNRESOLVED, where=service, hint=hint)


def _takers(service: str, number: int, traces: Traces, pair: Collection[str] = ()) -> list[str]:
    """Who has a name that the release of this number would give; with a standing pair it gives no group one."""
    green = names(service, number, "")["green_group"]
    groups = [f"the group {one.name} of {one.maker}" for one in traces.groups if one.name == green and not pair]
    return groups + [f"the image {image}" for image in traces.images if image.startswith(f"{green}-")]


def _behind(
    service: str,
    recorded: str,
    known: int,
    found: Footprint | None,
    traces: Traces,
    pair: Collection[str] = (),
) -> Iterator[Finding]:
    if found:
        said = f"the journal says that {recorded} serves, and AWS shows that {found.name} does"
        whose = f", of {release_id(service, found.number)}," if found.number else ""
        yield Finding(FindingKey.JOURNAL_BEHIND, said, f"{found.name}{whose} becomes blue")
    blue = next((one for one in traces.groups if one.name == (found.name if found else recorded)), None)
    if blue and blue.pinned and (found or traces.first > known):
        yield Finding(FindingKey.JOURNAL_BEHIND, _pinned(blue).rstrip("."), "green would be so, too", hint=_unpin(blue))
    if traces.first > known:
        last = release_id(service, traces.first - 1)
        said = f"the journal has no record of {last}, but AWS shows what it made"
        hint = "Check whether BLUEGREEN_TABLE names the right table, and whether someone restored it."
        yield Finding(FindingKey.JOURNAL_BEHIND, said, f"numbers continue after {traces.first - 1}", hint=hint)
    if found or traces.first > known:
        yield from _running_on(recorded, found.name if found else recorded, traces, pair)


def _running_on(recorded: str, blue: str, traces: Traces, pair: Collection[str] = ()) -> Iterator[Finding]:
    """Who runs beside blue without traffic, as the blue of a release whose record was lost may."""
    for one in traces.groups:
        if one.name != blue and one.size and not one.serves and (one.number or one.name == recorded):
            hint = f"If nobody needs it: `{_ending(one, pair)}`."
            yield Finding(
                FindingKey.JOURNAL_BEHIND, _idle(one), "it keeps running, and this release ignores it", hint=hint
            )


def _idle(group: Footprint) -> str:
    of = f" of {group.release}" if group.release else ""
    return f"{group.name}{of} has {count_of(group.size, 'instance')} and gets no traffic"


def _ending(group: Footprint, configured: Collection[str] = ()) -> str:
    """What a release made goes; whatever else there is, such as Terraform's, is only emptied."""
    made = group.number and group.name not in configured
    return delete_group(group.name) if made else empty_group(group.name)


def _skipped(service: str, number: int, traces: Traces, pair: Collection[str] = ()) -> Iterator[Finding]:
    for passed in range(traces.first, number):
        takers = " and ".join(_takers(service, passed, traces, pair))
        said = f"{takers} has a name that {release_id(service, passed)} would give"
        yield Finding(FindingKey.NAME_TAKEN, said, f"number {passed} is skipped, and its owner keeps it")


def command(service: str) -> str:
    """The command that repairs the record."""
    return f"`bluegreen adopt {service}`"


# --- repairing the record ------------------------------------------------------------------------


@dataclass(frozen=True)
class Adoption:
    """What the record of a service is to say, and what else was found."""

    service: str
    live: Footprint
    number: int  # of the next release
    found: tuple[str, ...]  # what was wrong, a clause each; empty when the record is right
    left: tuple[str, ...]  # what nobody needs, and the command that removes it, a sentence each
    ended: str = ""  # a release that was under way by the journal alone: it is settled as failed
    images: tuple[Image, ...] = ()  # of earlier releases, which can be released; those that went live first


def adopted(
    service: str,
    recorded: str,
    known: int,
    under_way: Release | None,
    traces: Traces,
    named: str = "",
    *,
    configured: Collection[str] = (),
    images: tuple[Image, ...] = (),
) -> Adoption:
    """What to record of a service; `named` says which of several groups is live. Refused when that is unclear.

    `recorded`: the group that is live by the journal, "" when it names none. `known`: the next number by the journal.
    `configured`: the groups that bluegreen.yml names, which no release made. `images`: the service's own images that
    can launch.
    """
    live = _live(service, traces, named)
    if under_way and _fits(under_way, traces):
        what = f"{under_way.id} is under way, and AWS confirms it"
        hint = f"`bluegreen resume {service}` goes on, `bluegreen rollback {service}` returns to blue."
        raise Refused(what, reason=Reason.UNDER_WAY, where=service, hint=hint)
    found = [f"the journal names {recorded or 'no group'} as live, and {live.name} serves"]
    found = found if recorded != live.name else []
    if traces.first > known:
        found.append(
            f"the journal has no record of {release_id(service, traces.first - 1)}, but AWS shows what it made"
        )
    if under_way:
        found.append(f"{under_way.id} is under way only in the journal: AWS does not confirm it")
    left, ended = tuple(_leftovers(live, configured, traces)), under_way.id if under_way else ""
    others = tuple(image for image in _best_first(images) if image.id != live.image)
    return Adoption(service, live, _free(service, traces), tuple(found), left, ended, others)


def _live(service: str, traces: Traces, named: str) -> Footprint:
    """The one group that serves, or the one of them that is named."""
    serving = [one for one in traces.groups if one.serves and one.size and one.service in ("", service)]
    chosen = [one for one in serving if one.name == named] if named else serving
    if len(chosen) == 1:
        return chosen[0]
    if not serving:
        hint = "Attach the group that should serve to the target groups, then adopt it."
        raise Refused("no group serves in its target groups", reason=Reason.UNRESOLVED, where=service, hint=hint)
    there = " and ".join(f"{one.name} (of {one.maker}, {count_of(one.size, 'instance')})" for one in serving)
    what = (
        f"{named} does not serve in the target groups, {there} do" if named else f"{there} serve in the target groups"
    )
    hint = f"`bluegreen adopt {service} --group NAME` takes one of them as live, and leaves the others as they are."
    raise Refused(what, reason=Reason.UNRESOLVED, where=service, hint=hint)


#: Blue need not serve in these, nor on the way back from them.
_AFTER_THE_SWITCH = (Phase.SWITCHING, Phase.SOAKING, Phase.RETIRING)


def _fits(release: Release, traces: Traces) -> bool:
    """Whether AWS shows what a release of this journal would have come to: then it is driven on, not given up."""
    if elsewhere(release, traces):
        return False
    there = {one.name: one for one in traces.groups}
    blue, green = there.get(release.blue_group), there.get(release.green_group)
    if release.phase is Phase.RETIRING:
        return green is not None and green.serves
    reached = release.left or release.phase
    return blue is not None and blue.size > 0 and (blue.serves or reached in _AFTER_THE_SWITCH)


def elsewhere(release: Release, traces: Traces) -> bool:
    """Whether a release of this journal was of another world: another account, another time, another's groups."""
    green = next((one for one in traces.groups if one.name == release.green_group), None)
    # One of a standing pair bears the marks of an earlier release before it is taken, and once it is given back.
    taken = not release.pair or (Verb.CREATE_GREEN in release.did and Verb.RETURN_GREEN not in release.began)
    ours = green is None or not taken or release.owns(green.release, green.token)
    strange = green is not None and (release.blue_group == release.green_group or not ours)
    later = traces.first > release.number + 1
    return strange or later or another_account(release, traces.account)


def another_account(release: Release, account: str) -> bool:
    """Whether it was begun in another account than this; not in journals of old, which do not say."""
    return bool(release.account and account) and release.account != account


def _leftovers(live: Footprint, configured: Collection[str], traces: Traces) -> Iterator[str]:
    """What earlier releases left, and the commands that are safe; what serves alone is never among it."""
    for one in traces.groups:
        if one.name == live.name or not one.size:
            continue
        if one.serves:
            whose = f" of {one.release}" if one.release else ""
            first = "" if set(one.targets) & set(live.targets) else _WEIGHT_FIRST
            then = f"{first}{detach(one.name, one.targets)}"
            yield f"{one.name}{whose} serves beside {live.name}; if it should not: {then}"
        elif one.number or one.name in configured:
            yield f"{_idle(one)}; if nobody needs it: {_ending(one, configured)}"
    if live.pinned:
        yield f"{_pinned(live)} {_unpin(live)}"


#: A target group that is emptied while it has a weight goes on getting its share, which nobody answers.
_WEIGHT_FIRST = "first give its target group weight 0 in every listener and rule (aws elbv2 modify-listener), then "


def _pinned(group: Footprint) -> str:
    return (
        f"{group.name} seems pinned by an unfinished release: its minimum is its size, {group.size}, and "
        "AZRebalance and ScheduledActions are suspended."
    )


def _unpin(group: Footprint) -> str:
    name = f"--auto-scaling-group-name {group.name}"
    resume = f"aws autoscaling resume-processes {name} --scaling-processes AZRebalance ScheduledActions"
    return f"If nobody wants that: {resume}; and aws autoscaling update-auto-scaling-group {name} --min-size NUMBER"


# --- what nobody needs ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Orphan:
    """A group that a release left, and that gets no traffic. `release` made it; None: this journal does not know it."""

    group: Footprint
    release: Release | None = None

    @property
    def removable(self) -> bool:
        """Whether it is proven to be nobody's: its release is known, and no person has set an instance aside in it."""
        return self.release is not None and not self.group.parked

    @property
    def said(self) -> str:
        """Whose it is, and what removes it."""
        it = self.group
        there = f"group {it.name} of {it.release}, {count_of(it.size, 'instance')} without traffic"
        if self.release is None:
            return f"{there}, which this journal does not know; if nobody needs it: {_ending(it)}"
        if it.parked:
            return f"{there}, with {', '.join(it.parked)} set aside; if nobody needs it: {_ending(it)}"
        return f"{there}, which nobody needs: `bluegreen reconcile` removes it"


def needed(last: Release | None) -> set[str]:
    """The groups of the newest release that failed: a person decides about them, or a cure does; those of a pair."""
    if last is None:
        return set()
    pair = set(last.config.get("groups") or ())
    return {last.blue_group, last.green_group, *last.known_groups, *pair} if last.outcome is Outcome.FAILED else pair


def orphan(group: Footprint, maker: Release | None, holder: Release | None, *, keeps_empty: bool) -> Orphan | None:
    """What a group is that no release needs; None when it is attached to anything, held, or kept empty on purpose.

    `maker` and `holder`: the releases that its tags name, as far as the journal knows them.
    """
    held = holder_of(group.held_by) not in ("", group.release) and (holder is None or holder.outcome is None)
    made = is_name_of(group.service, group.name) and not (maker is not None and maker.pair)
    if group.targets or held or not made:
        return None
    if maker is None or not maker.owns(group.release, group.token):
        return Orphan(group)
    kept = keeps_empty and not group.size
    return None if kept or maker.outcome is None or maker.green_group != group.name else Orphan(group, maker)


# --- who serves, by the journal and by AWS ---------------------------------------------------------


def drifted(service: str, live: str, groups: Iterable[Footprint]) -> str:
    """How AWS differs from the journal about who serves, and what to do, in sentences; "" when they agree.

    A group of size 0 that is attached serves when it is scaled up.
    """
    there = {one.name: one for one in groups}
    others = sorted(one.name for one in there.values() if one.service == service and one.targets and one.size)
    others = [name for name in others if name != live]
    beside = f"{' and '.join(others)} {agreeing(len(others))} attached to a target group" if others else ""
    if live not in there:
        found = f"there is no such group{f', and {beside}' if beside else ''}"
    elif not there[live].targets:
        found = f"it is attached to no target group{f', and {beside}' if beside else ''}"
    elif beside:
        found = f"{beside}, too"
    else:
        return ""
    said = f"{service}: the journal says that {live} serves, but {found}"
    return f"{said}. {command(service)} repairs the journal; bluegreen changes nothing in AWS by itself"


# --- a journal that knows nothing ----------------------------------------------------------------


#: So many images are named; of more the number is told.
NAMED = 5


def unknown(service: str, table: str, there: Remains, *, repaired: bool) -> Refused | None:
    """Says that the journal lacks the releases that made what is `there`; None if `there` is empty.

    `repaired`: someone has repaired the journal, and earlier releases stay lost.
    """
    if not (there.groups or there.images):
        return None
    found = [*(_group_said(one) for one in there.groups if one.size), *_images_said(there.images)]
    what = f"the journal `{table}` has no release, but AWS shows resources of releases: {'; '.join(found)}"
    serving = {one.release for one in there.groups if one.size and one.targets}
    back = ways_on(image for image in there.images if image.tagged_release not in serving)
    table_ = "Check whether BLUEGREEN_TABLE names the right table."
    repair = "" if repaired else f"{table_} {command(service)} repairs the journal, and changes nothing else."
    hint = f"{repair} {back}".strip()
    return Refused(what, reason=Reason.UNRESOLVED, where=service, hint=hint)


def ways_on(images: Iterable[Image], ill: str = "") -> str:
    """How to release an image that only its tags describe, over what serves, in a sentence."""
    image = next((one for one in _best_first(images) if one.id != ill), None)
    if image is None:
        return ""
    return f"`bluegreen release --ami {image.id} --cure` releases {_image_said(image)}, whatever serves."


def images_said(images: Iterable[Image], ill: str = "") -> str:
    """Which images there are, in a clause; "" for none. `ill`: what serves."""
    named = [_image_said(image) for image in _best_first(images) if image.id != ill]
    more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
    return f"{', '.join(named[:NAMED])}{more}"


def _best_first(images: Iterable[Image]) -> list[Image]:
    """Those that went live before all others, each kind as it comes: the newest first."""
    return sorted(images, key=lambda image: not image.good)


def _image_said(image: Image) -> str:
    """`ami-1 (web/production#3, commit c0ffee01, went live)`."""
    marks = (image.tagged_release, f"commit {image.commit[:8]}" if image.commit else "")
    told = ", ".join(part for part in (*marks, "went live" if image.good else "") if part)
    return f"{image.id} ({told})" if told else image.id


def _group_said(group: Footprint) -> str:
    where = "in a target group" if group.targets else "in no target group"
    return f"the group {group.name} of {group.release}, {count_of(group.size, 'instance')} {where}"


def _images_said(images: Sequence[Image]) -> list[str]:
    named = images_said(images)
    return [f"the images {named}"] if named else []
