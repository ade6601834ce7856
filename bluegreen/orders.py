"""What may be ordered: whether a release may start, be promoted, held, rolled back; what a freeze or a lapse refuses.

Decided from values alone: `engine` reads them, and appends the order to the journal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bluegreen.errors import ConfigError, Refused
from bluegreen.events import Facts, Outcome, Phase, Reason
from bluegreen.freezing import Frozen, frozen, in_words, moment_in, windows
from bluegreen.permission import Member, Order, authorize, identify, in_no_group, listed
from bluegreen.release import Release, release_id
from bluegreen.wording import one_line, person, phase_title

if TYPE_CHECKING:
    from bluegreen.config import Config
    from bluegreen.journal import ServiceRecord, Summary
    from bluegreen.observation import Baseline, Finding, Observation

#: Characters of the reason why something is overridden.
LONGEST_REASON = 300


IN_SPITE = "`--override REASON` goes on anyway."


#: A workflow that is started from elsewhere is given no `override`: that is judged by who runs it.
BY_HAND = "To go on anyway, run the workflow by hand on GitHub, with its input `override`."


BEFORE_THE_SWITCH = (Phase.BAKING, Phase.LAUNCHING, Phase.CHECKING, Phase.OVERLAPPING, Phase.HOLDING)


@dataclass(frozen=True)
class Caller:
    """Who gives an order, and what makes two deliveries of it one.

    `who` is an id (an ARN, `github:login`, `slack:U…`); `member` says whether they are in a group; `request` names the
    delivery: a second one with the same name acts no more. `revision` is the state that the pressed button
    showed (`Release.revision`): the order is for that release alone, and refused as moved on when its state differs.
    """

    who: str
    member: Member = in_no_group
    request: str = ""
    revision: str = ""


def may_be_promoted(release: Release) -> None:
    """Refused when it cannot be promoted now."""
    if release.promotable:
        return
    if len(release.promoters) >= release.approvals and not release.outcome:
        by = " and ".join(person(one) for one in release.promoters)
        raise Refused(f"was already promoted by {by}", reason=Reason.MOVED_ON, where=release.id)
    early = not release.outcome and release.phase in BEFORE_THE_SWITCH[:3]
    hint = "It can be promoted once blue and green both serve." if early else "It has moved on."
    what = f"cannot be promoted while {standing_of(release)}"
    raise Refused(what, reason=Reason.MOVED_ON, where=release.id, hint=hint)


def may_be_held(release: Release) -> None:
    """Refused when it cannot be held now."""
    if release.holdable:
        return
    waits = release.hold and not (release.outcome or release.rollback_by) and release.phase in BEFORE_THE_SWITCH
    what = "already waits for a promotion" if waits else f"cannot be held while {standing_of(release)}"
    hint = f"`bluegreen promote {release.service}` lets it go on." if waits else ""
    raise Refused(what, reason=Reason.MOVED_ON, where=release.id, hint=hint)


def has_failed(release: Release) -> None:
    """Refused when there is nothing to resume."""
    if release.outcome is not Outcome.FAILED:
        raise Refused("has not failed", reason=Reason.MOVED_ON, where=release.id)


def may_be_rolled_back(release: Release, way_back: Callable[[Release], str]) -> None:
    """Refused when a rollback in seconds is impossible; `way_back` says how to return to an earlier image then."""
    if release.outcome is Outcome.ROLLED_BACK or (release.phase is Phase.ROLLING_BACK and not release.outcome):
        raise Refused("is already rolled back", reason=Reason.MOVED_ON, where=release.id)
    what = ""
    if not release.can_return:
        what = f"{release.blue_group} was unhealthy when it left, so there is no rollback to it"
    elif (release.phase is Phase.RETIRING and release.emptying) or release.outcome is Outcome.LIVE:
        what = "blue is retired, so a rollback in seconds is impossible"
    if what:
        raise Refused(what, reason=Reason.MOVED_ON, where=release.id, hint=way_back(release))


def must_look_the_same(release: Release, by: Caller) -> None:
    """A button counts for the state that its card showed."""
    if by.revision and by.revision != release.revision:
        hint = "Read the current card, and decide again."
        raise Refused("has moved on since", reason=Reason.MOVED_ON, where=release.id, hint=hint)


def standing_of(release: Release) -> str:
    """Its state, for a sentence that says why an order is impossible."""
    if release.outcome:
        return release.outcome.value.replace("_", " ")
    return "its rollback is ordered" if release.rollback_pending else phase_title(release.phase)


def freezes_in_force(record: ServiceRecord | None, rules: Mapping[str, Any], now: float) -> tuple[Frozen, ...]:
    """What is in force: the freeze by order first, then that of the configuration's windows."""
    ordered = record.freeze if record else None
    found = frozen(windows(rules), now)
    by_order = (
        [Frozen(ordered.since, ordered.until, ordered.why, ordered.who)] if ordered and ordered.holds(now) else []
    )
    return (*by_order, *([found] if found else []))


def refused_by_freeze(
    freezes: Sequence[Frozen], by: Caller, rules: Mapping[str, Any], where: str, in_spite: str = ""
) -> list[Refused]:
    """Says that it is frozen, until when and why; `in_spite` replaces the usual advice how to go on anyway."""
    if not freezes:
        return []
    service = where.partition("#")[0]
    lift = f"`bluegreen unfreeze {service}` lifts it. " if freezes[0].who and len(freezes) == 1 else ""
    hint = f"{lift}{in_spite or override_hint(by, rules)}"
    return [Refused(in_words(freezes), reason=Reason.FROZEN, where=where, hint=hint)]


def override_hint(by: Caller, rules: Mapping[str, Any]) -> str:
    """How to go on anyway, and who may, by the lists of the same realm."""
    one = identify(by.who)
    may = listed(Order.OVERRIDE, rules, one.realm) if one else ()
    who = "everyone" if "*" in may else ", ".join(may) or "nobody"
    allowed = f" Who may ({one.realm}.overriders): {who}." if one else ""
    return f"`--override REASON` goes on anyway.{allowed}"


def in_spite_of(
    refusals: Sequence[Refused],
    override: str,
    by: Caller,
    rules: Mapping[str, Any],
    where: str,
    *,
    judged: bool = True,
) -> Facts:
    """Raise the refusals, unless someone with the right overrides them; returns what to record of that."""
    if not refusals:
        return {}
    if not override:
        raise as_one(refusals)
    if judged:
        authorize(Order.OVERRIDE, by.who, rules, where, by.member)
    return {"override": override, "despite": [str(refusal.reason) for refusal in refusals]}


def as_one(refusals: Sequence[Refused]) -> Refused:
    """All that is in the way, by the first one's reason."""
    first, said = refusals[0], "; ".join(refusal.what for refusal in refusals)
    return Refused(said, reason=first.reason, where=first.where, hint=first.hint)


def override_reason(override: str) -> str:
    """The reason on one line; ConfigError when there are only blanks, or too many words."""
    if override and not override.strip():
        raise ConfigError("is empty", where="override", hint="Give a reason: the journal keeps it.")
    if len(override) > LONGEST_REASON:
        what = f"has {len(override)} characters"
        raise ConfigError(what, where="override", hint=f"Say it in {LONGEST_REASON} at most.")
    return one_line(override)


def let_pass_by(findings: Iterable[Finding], config: Config, order: Order) -> tuple[Finding, ...]:
    """The findings, as this configuration and order take them: a release of an earlier image is only warned."""
    from bluegreen.config import ALLOWABLE
    from bluegreen.observation import let_pass

    return let_pass(findings, ALLOWABLE if order is Order.RELEASE_AGAIN else config.allow)


def lacks_room(findings: Iterable[Finding]) -> bool:
    """Whether green does not fit, and the release is refused for that."""
    from bluegreen.observation import FindingKey, Verdict

    return any(one.key is FindingKey.NO_ROOM and one.verdict is Verdict.REFUSED for one in findings)


def refuse_what_is_in_the_way(findings: Iterable[Finding], where: str) -> None:
    """All of it at once, each with what to do."""
    from bluegreen.config import ALLOWABLE

    refused = [one for one in findings if one.verdict == "refused"]
    if not refused:
        return
    allow = sorted({str(one.key) for one in refused if one.key in ALLOWABLE})
    mend = " ".join(dict.fromkeys(one.hint for one in refused if one.hint))
    hint = f"{mend} `allow: [{', '.join(allow)}]` in bluegreen.yml lets it pass." if allow else mend
    raise Refused("; ".join(one.said for one in refused), reason=Reason.IN_THE_WAY, where=where, hint=hint.strip())


def not_whole(baseline: Baseline) -> Refused:
    """A release promises a rollback to blue."""
    hint = (
        "Repair it, or release anyway with `--cure`. Then there is no rollback to it, and it is taken out as "
        "soon as green is healthy."
    )
    return Refused(baseline.unwell, reason=Reason.BLUE_UNHEALTHY, where="group", hint=hint)


def also_found(baseline: Baseline) -> Iterator[Finding]:
    """What a release that promises a return to blue does about a blue that is scaling, or at size 0."""
    from bluegreen.observation import Finding, FindingKey, Verdict

    if baseline.unwell:
        return
    if baseline.unsettled:
        harm = "the release waits until it has settled, then pins it and makes green"
        yield Finding(FindingKey.BLUE_SCALING, baseline.unsettled, harm, Verdict.NOTED)
    if baseline.idle:
        harm = "green is made at size 0, too. As nothing serves, the release skips checks, overlap and soak"
        yield Finding(FindingKey.NOTHING_SERVES, baseline.idle, harm)


def not_whole_either(last: Release, seen: Observation) -> Refused:
    """A cure that was rolled back took no group out."""
    from bluegreen.observation import in_target_groups

    what = f"was rolled back, and {in_target_groups(seen.crowding)} beside {last.blue_group}"
    hint = "A release with `--cure`, in a workflow `cure: true`, takes out both once green is healthy."
    return Refused(what, reason=Reason.UNRESOLVED, where=last.id, hint=hint)


def left_behind(last: Release) -> Refused:
    """A release that failed and left more than blue: how to continue from it."""
    service, left = last.service, ", ".join(last.left_behind) or last.green_group
    back = f"`bluegreen rollback {service}` returns to blue and tidies up, " if last.can_roll_back else ""
    anew = "a release with `--cure`, in a workflow `cure: true`, replaces what serves and removes the leftovers."
    lost = f" If the journal is outdated, `bluegreen adopt {service}` repairs it."
    behind = lost if last.reason is Reason.CHANGED_OUTSIDE else ""
    hint = f"{back}`bluegreen resume {service}` goes on, {anew}{behind}"
    return Refused(f"failed and left behind: {left}", reason=Reason.UNRESOLVED, where=last.id, hint=hint)


def known_to_be_bad(service: str, number: int, commit: str, image: str, told: Summary | None, in_spite: str) -> Refused:
    """That release rolled back the commit or image for its own faults; `told` is its summary."""
    what = f"commit {commit[:8]}" if commit else f"image {image}"
    at = f" at {moment_in('UTC', told.settled)}" if told and told.settled else ""
    why = f": {told.message}" if told and told.message else ""
    text = f"{what} was rolled back in {release_id(service, number)}{at}{why}"
    return Refused(text, reason=Reason.BAD_COMMIT, where=service, hint=f"Release another one. {in_spite}")


def put_right(service: str) -> str:
    """What to do when the journal does not match AWS."""
    return (
        f"`bluegreen adopt {service}` repairs the journal; check first whether BLUEGREEN_TABLE names the right table."
    )
