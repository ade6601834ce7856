"""What may be ordered: whether a release may start, be promoted, held, rolled back; what a freeze or a lapse refuses.

Decided from values alone: `engine` reads them, and appends the order to the journal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bluegreen.errors import ConfigError, Refused
from bluegreen.freezing import Frozen, frozen, in_words, moment_in, windows
from bluegreen.permission import Member, Order, authorize, identify, in_no_group, listed
from bluegreen.release import Facts, Outcome, Phase, Reason, Release, release_id
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
    delivery: a second one with the same name acts no more. `face` is what they saw who pressed a button
    (`Release.face`): the order is for that release alone, and refused as moved on when it looks otherwise now.
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
        raise Refused(f"was promoted by {by} already", reason=Reason.MOVED_ON, where=release.id)
    early = not release.outcome and release.phase in BEFORE_THE_SWITCH[:3]
    hint = "It can be promoted once blue and green both serve." if early else "It has moved on."
    what = f"cannot be promoted while {standing_of(release)}"
    raise Refused(what, reason=Reason.MOVED_ON, where=release.id, hint=hint)


def may_be_held(release: Release) -> None:
    """Refused when it cannot be held now."""
    if release.holdable:
        return
    waits = release.hold and not (release.outcome or release.rollback_by) and release.phase in BEFORE_THE_SWITCH
    what = "waits for a promotion already" if waits else f"cannot be held while {standing_of(release)}"
    hint = f"`bluegreen promote {release.service}` lets it go on." if waits else ""
    raise Refused(what, reason=Reason.MOVED_ON, where=release.id, hint=hint)


def has_failed(release: Release) -> None:
    """Refused when there is nothing to resume."""
    if release.outcome is not Outcome.FAILED:
        raise Refused("has not failed", reason=Reason.MOVED_ON, where=release.id)


def may_be_rolled_back(release: Release, way_back: Callable[[Release], str]) -> None:
    """Refused when nothing is left to return to in seconds; `way_back` says what brings an earlier image back then."""
    if release.outcome is Outcome.ROLLED_BACK or (release.phase is Phase.ROLLING_BACK and not release.outcome):
        raise Refused("is rolled back already", reason=Reason.MOVED_ON, where=release.id)
    what = ""
    if not release.can_return:
        what = f"{release.blue_group} was not whole when it was taken out, so nothing returns to it"
    elif (release.phase is Phase.RETIRING and release.emptying) or release.outcome is Outcome.LIVE:
        what = "blue is retired, so there is nothing left to return to in seconds"
    if what:
        raise Refused(what, reason=Reason.MOVED_ON, where=release.id, hint=way_back(release))


def must_look_the_same(release: Release, by: Caller) -> None:
    """A button speaks of what its card showed."""
    if by.revision and by.revision != release.revision:
        hint = "Look at what it shows now, and decide again."
        raise Refused("has moved on since", reason=Reason.MOVED_ON, where=release.id, hint=hint)


def standing_of(release: Release) -> str:
    """How it stands, for a sentence that says why something cannot be ordered."""
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
    """That it is frozen, until when and why; `in_spite` says how to go on all the same, where the usual way is none."""
    if not freezes:
        return []
    service = where.partition("#")[0]
    lift = f"`bluegreen unfreeze {service}` lifts it. " if freezes[0].who and len(freezes) == 1 else ""
    hint = f"{lift}{in_spite or override_hint(by, rules)}"
    return [Refused(in_words(freezes), reason=Reason.FROZEN, where=where, hint=hint)]


def override_hint(by: Caller, rules: Mapping[str, Any]) -> str:
    """How to go on all the same, and who may, by the lists for those who come the same way."""
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
    """Raise what refuses, unless it is overridden by somebody who may; what to record of that."""
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
        raise ConfigError("is empty", where="override", hint="Say why: it is kept in the journal.")
    if len(override) > LONGEST_REASON:
        what = f"has {len(override)} characters"
        raise ConfigError(what, where="override", hint=f"Say it in {LONGEST_REASON} at most.")
    return one_line(override)


def let_pass_by(findings: Iterable[Finding], config: Config, order: Order) -> tuple[Finding, ...]:
    """What was found, as this configuration and order take it: who goes back is told, not refused."""
    from bluegreen.config import ALLOWABLE
    from bluegreen.observation import let_pass

    return let_pass(findings, ALLOWABLE if order is Order.RELEASE_AGAIN else config.allow)


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
    """A release promises that blue can be returned to."""
    hint = (
        "Bring it in order, or release all the same with `--cure`. Then nothing returns to it, and it is taken out as "
        "soon as green is healthy."
    )
    return Refused(baseline.unwell, reason=Reason.BLUE_UNHEALTHY, where="group", hint=hint)


def waits_for(baseline: Baseline) -> tuple[Finding, ...]:
    """What a release that begins now waits for by itself."""
    from bluegreen.observation import Finding, FindingKey, Verdict

    if baseline.unwell or not baseline.unsettled:
        return ()
    harm = "the release pins it, and makes green, once it has settled"
    return (Finding(FindingKey.BLUE_SCALING, baseline.unsettled, harm, Verdict.NOTED),)


def not_whole_either(last: Release, seen: Observation) -> Refused:
    """A cure that was rolled back took nobody out."""
    from bluegreen.observation import in_target_groups

    what = f"was rolled back, and {in_target_groups(seen.crowding)} beside {last.blue_group} still"
    hint = "A release with `--cure`, in a workflow `cure: true`, takes out both once green is healthy."
    return Refused(what, reason=Reason.UNRESOLVED, where=last.id, hint=hint)


def left_behind(last: Release) -> Refused:
    """A release that failed with more than blue there: what goes on from it."""
    service, left = last.service, ", ".join(last.left_behind) or last.green_group
    back = f"`bluegreen rollback {service}` returns to blue and tidies up, " if last.can_roll_back else ""
    anew = "a release with `--cure`, in a workflow `cure: true`, replaces whatever serves and takes it along."
    lost = f" If the journal is behind, `bluegreen adopt {service}` puts it right."
    behind = lost if last.reason is Reason.CHANGED_OUTSIDE else ""
    hint = f"{back}`bluegreen resume {service}` goes on, {anew}{behind}"
    return Refused(f"failed and left behind: {left}", reason=Reason.UNRESOLVED, where=last.id, hint=hint)


def known_to_be_bad(service: str, number: int, commit: str, image: str, told: Summary | None, in_spite: str) -> Refused:
    """Commit or image were rolled back for their own sake in that release, of which `told` is known."""
    what = f"commit {commit[:8]}" if commit else f"image {image}"
    at = f" at {moment_in('UTC', told.settled)}" if told and told.settled else ""
    why = f": {told.message}" if told and told.message else ""
    text = f"{what} was rolled back in {release_id(service, number)}{at}{why}"
    return Refused(text, reason=Reason.BAD_COMMIT, where=service, hint=f"Release another one. {in_spite}")


def put_right(service: str) -> str:
    """What to do where the journal does not fit."""
    return (
        f"`bluegreen adopt {service}` puts the journal right; look first whether BLUEGREEN_TABLE names the right table."
    )
