"""Who may give which order: one evaluator for every entry point, by ids, which refuses in doubt.

Each realm guarantees its own ids, and has its own lists in the configuration:

    slack:U0123                 Slack    slack.*    people, user groups (S…), `*`
    github:octocat              GitHub   github.*   logins in any case, teams (acme/web), `*`
    arn:aws:iam::1:user/ann     AWS      aws.*      users, roles (every session of them), `*`

Names prove nothing: display names, and the names that callers choose for sessions of roles. A promotion has more rules:
N approvals are N people, and where `promotion.by_author` is false the commit's author may not. `people` lists the ids
of one person. In doubt the evaluator refuses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bluegreen.errors import NotPermitted, Refused, Untold
from bluegreen.events import Reason
from bluegreen.release import Release, count_of, duration

#: A configuration, as `Config.to_dict` and the journal have it.
Rules = Mapping[str, Any]
#: Whether the person who orders is in that group, by its id (S0123, acme/web). Raises Untold when it cannot tell.
Member = Callable[[str], bool]

EVERYBODY = "*"


class Order(StrEnum):
    """What a person can order."""

    PROMOTE = "promote"  # let the release go on
    HOLD = "hold"  # let it wait for a promotion
    ROLL_BACK = "roll back"  # return to blue
    RELEASE = "release"  # start a release
    RELEASE_AGAIN = "release again"  # release the image of an earlier release
    RESUME = "resume"  # another try after it failed
    FREEZE = "freeze"  # refuse releases for a time, or lift that
    OVERRIDE = "override"  # release or promote despite a freeze, or what was rolled back
    LOOK = "look at"  # see what the journal tells


class Realm(StrEnum):
    """Who identifies an id."""

    SLACK = "slack"
    GITHUB = "github"
    AWS = "aws"


_WORDS: Mapping[Order, str] = {
    Order.PROMOTE: "promote it",
    Order.HOLD: "hold it",
    Order.ROLL_BACK: "roll it back",
    Order.RELEASE: "release it",
    Order.RELEASE_AGAIN: "release an earlier image of it",
    Order.RESUME: "resume it",
    Order.FREEZE: "freeze it",
    Order.OVERRIDE: "override a freeze or a rolled-back commit",
    Order.LOOK: "see it",
}
_PROMOTERS, _ROLLBACKERS, _OVERRIDERS = "promoters", "rollbackers", "overriders"
_LISTS: Mapping[Order, tuple[str, ...]] = {
    Order.PROMOTE: (_PROMOTERS,),
    Order.HOLD: (_PROMOTERS, _ROLLBACKERS),  # waiting is the careful thing: either may ask for it
    Order.ROLL_BACK: (_ROLLBACKERS,),
    Order.RELEASE: (_PROMOTERS,),
    Order.RELEASE_AGAIN: (_ROLLBACKERS,),
    Order.RESUME: (_PROMOTERS, _ROLLBACKERS),  # it goes on, or goes on going back
    Order.FREEZE: (_PROMOTERS,),
    Order.OVERRIDE: (_OVERRIDERS,),
    Order.LOOK: (_PROMOTERS, _ROLLBACKERS),
}
#: What holds where a configuration says nothing, as those do that older releases recorded.
_DEFAULTS: Mapping[Realm, Mapping[str, tuple[str, ...]]] = {
    Realm.SLACK: {_PROMOTERS: (), _ROLLBACKERS: (), _OVERRIDERS: ()},
    Realm.GITHUB: {_PROMOTERS: (EVERYBODY,), _ROLLBACKERS: (EVERYBODY,), _OVERRIDERS: ()},
    Realm.AWS: {_PROMOTERS: (EVERYBODY,), _ROLLBACKERS: (EVERYBODY,), _OVERRIDERS: (EVERYBODY,)},
}


# --- ids ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Identity:
    """Somebody, as their realm identifies them.

    An equal `key` means the same id. `scope` names the kind of id of which a person has one: an account in Slack, a
    login, an IAM user of an account. It is "" for ids that several people use, as a role or a GitHub App.
    """

    realm: Realm
    id: str
    key: str
    scope: str
    role: str = ""  # of a session: its role, as `_role` writes it


_SLACK_ID = re.compile(r"[UW][A-Z0-9]+")
_LOGIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]*)(\[bot\])?")
_ARN = re.compile(r"arn:(aws[a-z-]*):(iam|sts)::([0-9]+):([A-Za-z0-9_+=,.@/-]+)")
_SSO_ROLE = re.compile(r"AWSReservedSSO_[A-Za-z0-9_+=,.@-]+_[0-9a-f]{16}")


def identify(who: str) -> Identity | None:
    """Who that is; None for text that is not an id of a known realm."""
    prefix, _, rest = who.partition(":")
    if prefix == "slack" and _SLACK_ID.fullmatch(rest):
        return Identity(Realm.SLACK, rest, who, "slack")
    if prefix == "github" and (login := _LOGIN.fullmatch(rest)):
        return Identity(Realm.GITHUB, rest.lower(), who.lower(), "" if login[2] else "github")
    if arn := _ARN.fullmatch(who):
        return _principal(who, *arn.groups())
    return None


def _principal(arn: str, partition: str, service: str, account: str, resource: str) -> Identity | None:
    """An AWS principal, as GetCallerIdentity of the STS API tells it.

    The ARN of a role's session leaves out the role's path. Its caller chose the session's name, but for roles of IAM
    Identity Center: there it is the user's.
    """
    kind, _, name = resource.partition("/")
    match service, kind:
        case "sts", "assumed-role" if re.fullmatch(r"[^/]+/[^/]+", name):
            role, _, session = name.partition("/")
            key = _role(partition, account, role)
            if _SSO_ROLE.fullmatch(role):
                return Identity(Realm.AWS, arn, f"sso/{session.lower()}", "sso", key)
            return Identity(Realm.AWS, arn, key, "", key)
        case _, "user" if name:
            return Identity(Realm.AWS, arn, arn, f"users of {account}")
        case ("iam", "root") | ("sts", "federated-user"):
            return Identity(Realm.AWS, arn, _role(partition, account, kind), "")
    return None


def _role(partition: str, account: str, name: str) -> str:
    return f"{partition}:{account}:{name}"


def _role_named(entry: str) -> str:
    """The role that an ARN of IAM names, without its path; "" when it names none."""
    arn = _ARN.fullmatch(entry)
    if arn is None or arn[2] != "iam" or not arn[4].startswith("role/"):
        return ""
    return _role(arn[1], arn[3], arn[4].rpartition("/")[2])


def _means(entry: str, one: Identity) -> bool:
    """Whether an entry of a list of their realm is that one, whole and not a part."""
    if one.realm is Realm.SLACK:
        return entry == one.id
    if one.realm is Realm.GITHUB:
        return entry.lower() == one.id
    return entry == one.id or (bool(one.role) and _role_named(entry) == one.role)


# --- lists -------------------------------------------------------------------------------------------------


_ENTRY_POINTS = "Give the order from Slack, a GitHub workflow or the command line."


@dataclass(frozen=True)
class Ruling:
    """Whether someone may give an order, and by which rule.

    `rule` is the list that names them, by its entry `by`, or else the lists that do not; "" when they have no id.
    """

    order: Order
    allowed: bool
    rule: str
    by: str = ""
    may: tuple[str, ...] = ()  # the ids in those lists
    unasked: tuple[str, ...] = ()  # groups in them of which nobody could be asked
    doubts: tuple[str, ...] = ()  # why not

    @property
    def hint(self) -> str:
        """What to do about a refusal."""
        if not self.may:
            return f"Nobody may, until {self.rule} in bluegreen.yml names someone." if self.rule else _ENTRY_POINTS
        return " ".join((f"Who may: {', '.join(self.may)}.", *(doubt[:1].upper() + doubt[1:] for doubt in self.doubts)))


def in_no_group(group: str) -> bool:
    """The membership of someone without known groups."""
    return False


def rule(order: Order, who: str, config: Rules, member: Member = in_no_group) -> Ruling:
    """Whether the lists let `who` order that. Groups are asked about only when nothing else names them."""
    one = identify(who)
    if one is None:
        return Ruling(order, False, "")
    for name in _LISTS[order]:
        for entry in _listed(config, one.realm, name):
            if entry == EVERYBODY or _means(entry, one):
                return Ruling(order, True, f"{one.realm}.{name}", entry)
    return _rule_by_groups(order, one, config, member)


def _rule_by_groups(order: Order, one: Identity, config: Rules, member: Member) -> Ruling:
    unasked: dict[str, str] = {}
    for name in _LISTS[order]:
        for group in filter(_GROUPS[one.realm], _listed(config, one.realm, name)):
            try:
                if member(group):
                    return Ruling(order, True, f"{one.realm}.{name}", group)
            except Untold as untold:
                unasked[group] = str(untold)
    lists = " or ".join(f"{one.realm}.{name}" for name in _LISTS[order])
    may, doubts = listed(order, config, one.realm), tuple(dict.fromkeys(unasked.values()))
    return Ruling(order, False, lists, "", may, tuple(unasked), doubts)


#: Which entries are user groups of Slack, and teams of GitHub.
_GROUPS: Mapping[Realm, Callable[[str], bool]] = {
    Realm.SLACK: lambda entry: entry.startswith("S"),
    Realm.GITHUB: lambda entry: "/" in entry,
    Realm.AWS: lambda entry: False,
}


def authorize(order: Order, who: str, config: Rules, where: str, member: Member = in_no_group) -> None:
    """Return when `who` may order that by the lists of the config; else raise NotPermitted, which names the rule."""
    ruling = rule(order, who, config, member)
    if ruling.allowed:
        return
    named = "" if who.startswith("slack:") else f", {who}"
    because = (
        f"{ruling.rule} does not name you{named}" if ruling.rule else f"{ascii(who)[:80]} is not a known kind of id"
    )
    raise _refusal(f"you may not {_WORDS[order]}: {because}", where, ruling.hint, ruling.may)


def permitted(order: Order, who: str, config: Rules, member: Member = in_no_group) -> bool:
    """Whether `authorize` lets it pass."""
    return rule(order, who, config, member).allowed


def listed(order: Order, config: Rules, realm: Realm = Realm.SLACK) -> tuple[str, ...]:
    """The ids of people and groups of that realm who may order that; `*` is everyone."""
    return tuple(dict.fromkeys(one for name in _LISTS[order] for one in _listed(config, realm, name)))


def _listed(config: Rules, realm: Realm, name: str) -> tuple[str, ...]:
    found = (config.get(realm) or {}).get(name, _DEFAULTS[realm][name])
    return tuple(str(one) for one in found or ())


def _refusal(what: str, where: str, hint: str, may: tuple[str, ...] = ()) -> NotPermitted:
    return NotPermitted(what, reason=Reason.NOT_PERMITTED, where=where, hint=hint, may=may)


# --- promotions --------------------------------------------------------------------------------------------

_COUNTS_LATER = "that counts from the next release on"


def judge_approval(release: Release, who: str) -> None:
    """Return when a promotion by `who`, whom the lists let promote, is one more approval of the release.

    Else raise: Refused when they gave one already, NotPermitted when they are the author, or in doubt.
    """
    for earlier in release.promoters:
        _refuse_repeated(release, who, earlier)
    if release.approvals > 1:
        _refuse_shared(release, who)
    if not (release.config.get("promotion") or {}).get("by_author", True):
        _refuse_author(release, who)


def _asked_for(release: Release) -> str:
    return f"promotion.approvals asks for {count_of(release.approvals, 'person', 'people')}"


def _refuse_repeated(release: Release, who: str, earlier: str) -> None:
    same = _same(who, earlier, release.config)
    if same:
        as_whom = "" if who == earlier else f", as {earlier}"
        hint = f"{release.approvals - len(release.promoters)} more must promote it, too."
        raise Refused(f"you have already promoted it{as_whom}", reason=Reason.MOVED_ON, where=release.id, hint=hint)
    if same is None:
        what = f"{_asked_for(release)}, and you may be {earlier}, who has promoted it"
        hint = f"Promote from the same realm, or list both ids under `people`: {_COUNTS_LATER}."
        raise _refusal(what, release.id, hint)


def _refuse_shared(release: Release, who: str) -> None:
    """Once it stood in the journal, nobody else could be told from it."""
    one = identify(who)
    if one and (one.scope or _person(one, release.config)):
        return
    what = f"{_asked_for(release)}, and {who} may be anybody"
    hint = f"Promote with your own id, or list this id under `people`: {_COUNTS_LATER}."
    raise _refusal(what, release.id, hint)


def _refuse_author(release: Release, who: str) -> None:
    authors = authors_of(release)
    if not authors:
        what = f"promotion.by_author is false, and nobody knows whose commit {release.commit[:8]} is"
        hint = "Release it by a pull request and the GitHub Action, which records the author's login."
        raise _refusal(what, release.id, hint)
    for author in authors:
        same = _same(who, author, release.config)
        if same:
            raise _refusal(f"promotion.by_author is false, and you are the author: {author}", release.id, _ELSE)
        if same is None:
            what = f"promotion.by_author is false, and you may be the author: {author}"
            hint = f"{_ELSE} Or list all your ids under `people`: {_COUNTS_LATER}."
            raise _refusal(what, release.id, hint)


_ELSE = "Someone else must promote it."


def authors_of(release: Release) -> tuple[str, ...]:
    """The author of the release's commit, as ids; empty when unknown. A display name from git proves nothing.

    If no person wrote it (a given image, a commit of a GitHub App), the person who released it counts as the author.
    """
    logins = str(release.source.get("author_login") or "").split()
    people = tuple(f"github:{login}" for login in logins if not login.endswith("[bot]"))
    if len(people) < len(logins) or not (logins or release.commit):
        return (*people, release.started_by)
    return people


# --- people ------------------------------------------------------------------------------------------------


def _same(one: str, other: str, config: Rules) -> bool | None:
    """Whether two ids are one person's; None when that cannot be told.

    A person has one id of a scope at most, unless `people` gives them more.
    """
    a, b = identify(one), identify(other)
    if a is None or b is None:
        return True if one == other else None
    if a.key == b.key:
        return True
    named, unnamed = _person(a, config), _person(b, config)
    if named and unnamed:
        return named == unnamed
    if a.scope and a.scope == b.scope:
        return False
    known, rest = (named, b) if named else (unnamed, a)
    return False if rest.scope and rest.scope in _scopes(known, config) else None


def _person(one: Identity, config: Rules) -> str:
    """Whose id that is, by `people`; "" when they do not name it."""
    people = config.get("people") or {}
    return next((str(name) for name, ids in people.items() if any(_is_theirs(entry, one) for entry in ids)), "")


def _is_theirs(entry: str, one: Identity) -> bool:
    """An entry that looks like an id of Slack is none of GitHub, where anybody may choose such a login."""
    return _means(entry, one) and (one.realm is not Realm.GITHUB or not _SLACK_ID.fullmatch(entry))


def _scopes(name: str, config: Rules) -> frozenset[str]:
    """Of what the person has an id."""
    ids = (config.get("people") or {}).get(name) or ()
    found = (identify(_as_who(str(entry))) for entry in ids)
    return frozenset(one.scope for one in found if one)


def _as_who(entry: str) -> str:
    if entry.startswith("arn:"):
        return entry
    return f"slack:{entry}" if _SLACK_ID.fullmatch(entry) else f"github:{entry}"


# --- explaining --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """Who of a realm may order something: `who` may, by the lists that `rule` names."""

    order: Order
    realm: Realm
    rule: str
    who: tuple[str, ...]
    default: bool  # whether every one of the lists is what holds where nothing is said


def explain(config: Rules) -> tuple[Row, ...]:
    """For each order, realm by realm, which list decides and for whom."""
    return tuple(_row(order, realm, config) for order in Order for realm in Realm)


def _row(order: Order, realm: Realm, config: Rules) -> Row:
    names = _LISTS[order]
    default = all(_listed(config, realm, name) == _DEFAULTS[realm][name] for name in names)
    lists = " or ".join(f"{realm}.{name}" for name in names)
    return Row(order, realm, lists, listed(order, config, realm), default)


def conditions(config: Rules) -> Iterator[str]:
    """What a promotion must fulfil besides the lists, and what happens without one; a sentence each."""
    promotion = config.get("promotion") or {}
    yield from _conditions_of_promotion(promotion)
    for name, ids in (config.get("people") or {}).items():
        yield f"people: {', '.join(ids)} are one person, {name}"
    for one in config.get("freeze") or ():
        yield f"freeze: no release or promotion from {one['cron']} ({one['zone']}) for {duration(one['for'])}"


def _conditions_of_promotion(promotion: Rules) -> Iterator[str]:
    if promotion.get("by") != "person":
        yield "promotion.by: no person has to promote, unless someone orders a hold"
    approvals = int(promotion.get("approvals") or 1)
    people = f"{count_of(approvals, 'person', 'different people')} must promote"
    then = "is promoted" if promotion.get("on_timeout") == "promote" else "is rolled back"
    yield f"promotion.approvals: {people}"
    yield f"promotion.by_author: the commit's author may {'' if promotion.get('by_author', True) else 'not '}promote it"
    yield f"promotion.timeout: what nobody promotes within {duration(promotion.get('timeout', 0.0))} {then}"


def rulings(who: str, config: Rules, member: Member = in_no_group) -> tuple[Ruling, ...]:
    """What somebody may order, and by which rule; a promotion also by what is asked of every promotion."""
    return tuple(_barred(rule(order, who, config, member), who, config) for order in Order)


def _barred(ruling: Ruling, who: str, config: Rules) -> Ruling:
    """The ruling, or that somebody whom the lists let promote never can."""
    one, promotion = identify(who), config.get("promotion") or {}
    if one is None or not (ruling.order is Order.PROMOTE and ruling.allowed):
        return ruling
    person = _person(one, config)
    if int(promotion.get("approvals") or 1) > 1 and not (one.scope or person):
        doubt = "several people may use that id, and `people` does not list it"
        return Ruling(Order.PROMOTE, False, "promotion.approvals", doubts=(doubt,))
    if not promotion.get("by_author", True) and "github" not in {one.scope, *_scopes(person, config)}:
        doubt = "they may be the commit's author, because `people` has no GitHub login of theirs"
        return Ruling(Order.PROMOTE, False, "promotion.by_author", doubts=(doubt,))
    return ruling
