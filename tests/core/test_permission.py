"""Who may order what: by ids, through lists and groups, and closed when in doubt."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
import yaml

from bluegreen.config import AwsConfig, GitHubConfig, SlackConfig, parse
from bluegreen.errors import NotPermitted, Refused, Untold
from bluegreen.events import Reason
from bluegreen.permission import (
    EVERYBODY,
    Order,
    Realm,
    authorize,
    authors_of,
    conditions,
    explain,
    identify,
    in_no_group,
    judge_approval,
    listed,
    permitted,
    rule,
    rulings,
)
from bluegreen.release import Release
from tests.worlds.files import ROOT
from tests.worlds.release import Stage

ACCOUNT, OTHER = "123456789012", "210987654321"
PROMOTER, ON_CALL, OVERRIDER, STRANGER = "slack:U0PROMO", "slack:U0ONCALL", "slack:U0BOSS", "slack:U0NOBODY"
RELEASERS, ON_CALLS = "S0RELEASERS", "S0ONCALLS"
USER = f"arn:aws:iam::{ACCOUNT}:user/ann"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/Release"
DEEP_ROLE = f"arn:aws:iam::{ACCOUNT}:role/teams/web/Release"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/Release/ann"
SSO_ROLE = "AWSReservedSSO_Release_0123456789abcdef"
SSO = f"arn:aws:sts::{ACCOUNT}:assumed-role/{SSO_ROLE}/ann@example.com"

LISTS: dict[str, Any] = {
    "promoters": ["U0PROMO", RELEASERS],
    "rollbackers": ["U0ONCALL", ON_CALLS],
    "overriders": ["U0BOSS"],
}
BY_SLACK: dict[str, Any] = {"slack": LISTS}
BY_GITHUB: dict[str, Any] = {
    "github": {"promoters": ["octocat", "acme/web"], "rollbackers": ["hubot"], "overriders": ["acme/leads"]}
}
BY_AWS: dict[str, Any] = {"aws": {"promoters": [USER, ROLE], "rollbackers": [DEEP_ROLE, SSO], "overriders": []}}
EVERYONE = {"promoters": ["*"], "rollbackers": ["*"], "overriders": ["*"]}
OPEN: dict[str, Any] = {"slack": EVERYONE, "github": EVERYONE, "aws": EVERYONE}
NOBODY: dict[str, list[str]] = {"promoters": [], "rollbackers": [], "overriders": []}
SHUT: dict[str, Any] = {"slack": NOBODY, "github": NOBODY, "aws": NOBODY}
#: As releases recorded it before there were more realms than one.
OLD = BY_SLACK
NO_ID = "is not a known kind of id"


@dataclass(frozen=True)
class Row:
    """Who orders what by which lists, being in which groups; which rule lets them, or what the refusal says."""

    order: Order
    who: str
    config: Mapping[str, Any]
    allowed: bool
    says: str  # of who may: the rule and its entry
    groups: frozenset[str] = frozenset()


def may(order: Order, who: str, config: Mapping[str, Any], rule: str, *groups: str) -> Row:
    """They may, by that list and that entry of it."""
    return Row(order, who, config, True, rule, frozenset(groups))


def not_(order: Order, who: str, config: Mapping[str, Any], says: str, *groups: str) -> Row:
    """They may not."""
    return Row(order, who, config, False, says, frozenset(groups))


PROMOTE, HOLD, BACK, RELEASE = Order.PROMOTE, Order.HOLD, Order.ROLL_BACK, Order.RELEASE
AGAIN, RESUME, FREEZE, OVERRIDE, LOOK = Order.RELEASE_AGAIN, Order.RESUME, Order.FREEZE, Order.OVERRIDE, Order.LOOK
BOTH = "slack.promoters or slack.rollbackers does not name you"

TABLE = [
    # --- Slack: people
    may(PROMOTE, PROMOTER, BY_SLACK, "slack.promoters U0PROMO"),
    may(RELEASE, PROMOTER, BY_SLACK, "slack.promoters U0PROMO"),
    may(FREEZE, PROMOTER, BY_SLACK, "slack.promoters U0PROMO"),
    may(HOLD, PROMOTER, BY_SLACK, "slack.promoters U0PROMO"),
    may(RESUME, PROMOTER, BY_SLACK, "slack.promoters U0PROMO"),
    may(LOOK, PROMOTER, BY_SLACK, "slack.promoters U0PROMO"),
    not_(BACK, PROMOTER, BY_SLACK, "slack.rollbackers does not name you"),
    not_(AGAIN, PROMOTER, BY_SLACK, "slack.rollbackers does not name you"),
    not_(OVERRIDE, PROMOTER, BY_SLACK, "slack.overriders does not name you"),
    may(BACK, ON_CALL, BY_SLACK, "slack.rollbackers U0ONCALL"),
    may(AGAIN, ON_CALL, BY_SLACK, "slack.rollbackers U0ONCALL"),
    may(HOLD, ON_CALL, BY_SLACK, "slack.rollbackers U0ONCALL"),
    may(RESUME, ON_CALL, BY_SLACK, "slack.rollbackers U0ONCALL"),
    may(LOOK, ON_CALL, BY_SLACK, "slack.rollbackers U0ONCALL"),
    not_(PROMOTE, ON_CALL, BY_SLACK, "slack.promoters does not name you"),
    not_(RELEASE, ON_CALL, BY_SLACK, "slack.promoters does not name you"),
    not_(FREEZE, ON_CALL, BY_SLACK, "slack.promoters does not name you"),
    may(OVERRIDE, OVERRIDER, BY_SLACK, "slack.overriders U0BOSS"),
    not_(PROMOTE, OVERRIDER, BY_SLACK, "slack.promoters does not name you"),
    not_(HOLD, OVERRIDER, BY_SLACK, BOTH),
    *(not_(order, STRANGER, BY_SLACK, "does not name you") for order in Order),
    # --- Slack: groups
    may(PROMOTE, STRANGER, BY_SLACK, f"slack.promoters {RELEASERS}", RELEASERS),
    may(HOLD, STRANGER, BY_SLACK, f"slack.rollbackers {ON_CALLS}", ON_CALLS),
    not_(PROMOTE, STRANGER, BY_SLACK, "slack.promoters does not name you", ON_CALLS, "S0OTHERS"),
    not_(OVERRIDE, STRANGER, BY_SLACK, "slack.overriders does not name you", RELEASERS, ON_CALLS),
    not_(PROMOTE, f"slack:{RELEASERS}", BY_SLACK, NO_ID, RELEASERS),
    not_(PROMOTE, STRANGER, {"slack": {"promoters": ["U0PROMO"]}}, "slack.promoters does not name you", "U0PROMO"),
    # --- everybody, nobody, and what an older release recorded
    may(PROMOTE, STRANGER, OPEN, "slack.promoters *"),
    may(PROMOTE, "github:anybody", OPEN, "github.promoters *"),
    may(OVERRIDE, "github:anybody", OPEN, "github.overriders *"),
    may(OVERRIDE, USER, OPEN, "aws.overriders *"),
    *(not_(order, who, SHUT, "does not name you") for order in Order for who in (PROMOTER, "github:octocat", USER)),
    *(not_(order, PROMOTER, {}, "does not name you") for order in Order),
    may(PROMOTE, "github:octocat", OLD, "github.promoters *"),
    may(BACK, "github:octocat", OLD, "github.rollbackers *"),
    not_(OVERRIDE, "github:octocat", OLD, "github.overriders does not name you"),
    may(PROMOTE, USER, OLD, "aws.promoters *"),
    may(OVERRIDE, SESSION, OLD, "aws.overriders *"),
    may(FREEZE, SSO, {}, "aws.promoters *"),
    # --- GitHub
    may(PROMOTE, "github:octocat", BY_GITHUB, "github.promoters octocat"),
    may(RELEASE, "github:Octocat", BY_GITHUB, "github.promoters octocat"),
    may(PROMOTE, "github:octocat", {"github": {"promoters": ["OctoCat"]}}, "github.promoters OctoCat"),
    not_(BACK, "github:octocat", BY_GITHUB, "github.rollbackers does not name you, github:octocat"),
    may(BACK, "github:hubot", BY_GITHUB, "github.rollbackers hubot"),
    not_(PROMOTE, "github:hubot", BY_GITHUB, "github.promoters does not name you"),
    may(PROMOTE, "github:hubot", BY_GITHUB, "github.promoters acme/web", "acme/web"),
    not_(PROMOTE, "github:hubot", BY_GITHUB, "github.promoters does not name you", "acme/leads", "other/web"),
    may(OVERRIDE, "github:hubot", BY_GITHUB, "github.overriders acme/leads", "acme/leads"),
    not_(OVERRIDE, "github:octocat", BY_GITHUB, "github.overriders does not name you", "acme/web"),
    not_(PROMOTE, "github:acme/web", BY_GITHUB, NO_ID, "acme/web"),
    may(RELEASE, "github:dependabot[bot]", OLD, "github.promoters *"),
    not_(RELEASE, "github:dependabot[bot]", BY_GITHUB, "github.promoters does not name you"),
    not_(RELEASE, "github:octocat[bot]", BY_GITHUB, "github.promoters does not name you"),
    may(RELEASE, "github:mona-cat_acme", OLD, "github.promoters *"),  # as enterprises make them
    # a login that begins with S is no user group
    not_(PROMOTE, "github:hubot", {"github": {"promoters": ["Sam", "*x"]}}, "does not name you", "Sam", "*x"),
    # --- AWS
    may(PROMOTE, USER, BY_AWS, f"aws.promoters {USER}"),
    not_(BACK, USER, BY_AWS, f"aws.rollbackers does not name you, {USER}"),
    may(PROMOTE, SESSION, BY_AWS, f"aws.promoters {ROLE}"),
    may(BACK, SESSION, BY_AWS, f"aws.rollbackers {DEEP_ROLE}"),  # the ARN of a session leaves out the role's path
    may(PROMOTE, SESSION.replace("/ann", "/anybody"), BY_AWS, f"aws.promoters {ROLE}"),
    may(BACK, SSO, BY_AWS, f"aws.rollbackers {SSO}"),
    not_(BACK, SSO.replace("ann@", "bob@"), BY_AWS, "aws.rollbackers does not name you"),
    not_(BACK, SSO.replace("ann@", "Ann@"), BY_AWS, "aws.rollbackers does not name you"),
    not_(OVERRIDE, USER, BY_AWS, "aws.overriders does not name you"),
    not_(PROMOTE, f"arn:aws:iam::{ACCOUNT}:root", BY_AWS, "aws.promoters does not name you"),
    may(PROMOTE, f"arn:aws:iam::{ACCOUNT}:root", OLD, "aws.promoters *"),
    may(PROMOTE, "arn:aws-cn:sts::1:assumed-role/Admin/ann", OLD, "aws.promoters *"),
    # --- the same name, somewhere else
    not_(PROMOTE, USER.replace(ACCOUNT, OTHER), BY_AWS, "aws.promoters does not name you"),
    not_(PROMOTE, SESSION.replace(ACCOUNT, OTHER), BY_AWS, "aws.promoters does not name you"),
    not_(PROMOTE, SESSION.replace("arn:aws:", "arn:aws-cn:"), BY_AWS, "aws.promoters does not name you"),
    not_(PROMOTE, f"{USER}2", BY_AWS, "aws.promoters does not name you"),
    not_(PROMOTE, SESSION.replace("Release", "PreRelease"), BY_AWS, "aws.promoters does not name you"),
    not_(PROMOTE, SESSION.replace("Release", "release"), BY_AWS, "aws.promoters does not name you"),
    not_(PROMOTE, f"arn:aws:iam::{ACCOUNT}:user/x/ann", BY_AWS, "aws.promoters does not name you"),
    not_(PROMOTE, f"arn:aws:iam::{ACCOUNT}:user/Release", BY_AWS, "aws.promoters does not name you"),
    not_(PROMOTE, SESSION, {"aws": {"promoters": [ROLE.replace("role/", "user/")]}}, "aws.promoters does not name you"),
    not_(PROMOTE, SESSION, {"aws": {"promoters": [ROLE.replace(":iam:", ":sts:")]}}, "aws.promoters does not name you"),
    not_(PROMOTE, SESSION, {"aws": {"promoters": ["Release", "role/Release"]}}, "aws.promoters does not name you"),
    # --- names that others choose for themselves
    not_(PROMOTE, f"arn:aws:sts::{ACCOUNT}:assumed-role/Other/Release", BY_AWS, "aws.promoters does not name you"),
    not_(PROMOTE, f"arn:aws:sts::{ACCOUNT}:assumed-role/Other/ann", BY_AWS, "aws.promoters does not name you"),
    not_(PROMOTE, f"arn:aws:sts::{ACCOUNT}:federated-user/ann", BY_AWS, "aws.promoters does not name you"),
    not_(BACK, f"arn:aws:sts::{ACCOUNT}:assumed-role/Other/ann@example.com", BY_AWS, "aws.rollbackers does not name"),
    not_(PROMOTE, "U0PROMO", BY_SLACK, NO_ID),  # a display name in Slack may be anything
    not_(PROMOTE, "slack:ann", BY_SLACK, NO_ID),
    not_(PROMOTE, "slack:u0promo", BY_SLACK, NO_ID),
    not_(PROMOTE, "octocat", BY_GITHUB, NO_ID),
    not_(PROMOTE, "github:Mona Lisa Octocat", OPEN, NO_ID),
    not_(PROMOTE, "github:U0PROMO", BY_SLACK | BY_GITHUB, "github.promoters does not name you"),
    not_(PROMOTE, "slack:OCTOCAT", BY_GITHUB | OLD, NO_ID),
    not_(PROMOTE, "slack:UOCTOCAT", {"slack": {"promoters": ["octocat"]}}, "slack.promoters does not name you"),
    # --- look-alikes
    not_(PROMOTE, "slack:U0PR\N{CYRILLIC CAPITAL LETTER O}MO", OPEN, NO_ID),
    not_(PROMOTE, "slack:U\N{FULLWIDTH DIGIT ZERO}PROMO", OPEN, NO_ID),
    not_(PROMOTE, "github:\N{CYRILLIC SMALL LETTER O}ctocat", OPEN, NO_ID),
    not_(PROMOTE, "github:octocat\N{ZERO WIDTH SPACE}", OPEN, NO_ID),
    not_(PROMOTE, "github:oc\N{KELVIN SIGN}at", OPEN, NO_ID),  # its lower case is k
    not_(PROMOTE, f"arn:aws:iam::{ACCOUNT}:user/\N{CYRILLIC SMALL LETTER A}nn", OPEN, NO_ID),
    not_(PROMOTE, "arn:aws:iam::\N{ARABIC-INDIC DIGIT ONE}:user/ann", OPEN, NO_ID),
    # --- more or less than an id
    *(
        not_(PROMOTE, who, OPEN, NO_ID)
        for who in (
            "",
            "*",
            "slack:",
            "slack:*",
            "slack",
            "slack:U",
            "slack:U0PROMO ",
            " slack:U0PROMO",
            "slack:U0PROMO\n",
            "slack:slack:U0PROMO",
            "Slack:U0PROMO",
            "github:",
            "github:*",
            "github:-octocat",
            "github:octocat ",
            "github:octocat\n",
            "github:octocat,hubot",
            "GitHub:octocat",
            "arn:",
            "arn:aws:iam::1:",
            "arn:aws:iam::1:user/",
            "arn:aws:iam::ann:user/ann",
            "arn:aws:sts::1:assumed-role/Release",
            "arn:aws:sts::1:assumed-role/a/b/c",
            "arn:aws:sts::1:assumed-role//c",
            "arn:aws:s3:::bucket",
            "ARN:aws:iam::1:user/ann",
            f"{USER} ",
            f"{USER}\n",
            f"x{USER}",
            ROLE,  # nobody calls as a role: its sessions do
            "email:ann@example.com",
            "teams:U0PROMO",
        )
    ),
]


def word(row: Row) -> str:
    """Its name in a report."""
    return f"{row.order}-{row.who or 'nothing'}-{'may' if row.allowed else 'not'}"


@pytest.mark.parametrize("row", TABLE, ids=word)
def test_who_may_what(row: Row) -> None:
    """Whoever may, by exactly that rule; whoever may not is told the rule, who may, and what to do."""
    where = "web/production#42"
    found = rule(row.order, row.who, row.config, row.groups.__contains__)
    assert found.allowed == row.allowed == permitted(row.order, row.who, row.config, row.groups.__contains__)
    if row.allowed:
        assert f"{found.rule} {found.by}" == row.says
        authorize(row.order, row.who, row.config, where, row.groups.__contains__)
        return
    with pytest.raises(NotPermitted) as refused:
        authorize(row.order, row.who, row.config, where, row.groups.__contains__)
    said = refused.value
    assert said.what == expected_words(row)
    assert row.says in said.what
    assert (said.reason, said.where) == (Reason.NOT_PERMITTED, where)
    assert said.may == found.may
    assert said.what.isascii()
    assert said.hint == expected_hint(row, said.may)


DOES = {
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


def expected_words(row: Row) -> str:
    """The order, the rule, and as whom they came; in Slack everybody knows that."""
    if row.says == NO_ID:
        return f"you may not {DOES[row.order]}: {row.who!a} {NO_ID}"
    whom = "" if row.who.startswith("slack:") else f", {row.who}"
    return f"you may not {DOES[row.order]}: {rule(row.order, row.who, row.config).rule} does not name you{whom}"


def expected_hint(row: Row, who: Sequence[str]) -> str:
    """Those who may; or which list to fill; or from where to order."""
    if who:
        return f"Who may: {', '.join(who)}."
    if row.says == NO_ID:
        return "Give the order from Slack, a GitHub workflow or the command line."
    found = rule(row.order, row.who, row.config)
    return f"Nobody may, until {found.rule} in bluegreen.yml names someone."


def test_the_table_is_as_long_as_was_promised() -> None:
    """And most of it refuses."""
    assert len(TABLE) >= 60
    assert sum(not row.allowed for row in TABLE) >= 60


def test_every_order_is_judged_in_every_realm_by_lists_of_its_own() -> None:
    """Somebody whom only the other lists name may nothing."""
    lists = {
        Order.PROMOTE: {"promoters"},
        Order.HOLD: {"promoters", "rollbackers"},
        Order.ROLL_BACK: {"rollbackers"},
        Order.RELEASE: {"promoters"},
        Order.RELEASE_AGAIN: {"rollbackers"},
        Order.RESUME: {"promoters", "rollbackers"},
        Order.FREEZE: {"promoters"},
        Order.OVERRIDE: {"overriders"},
        Order.LOOK: {"promoters", "rollbackers"},
    }
    people = {Realm.SLACK: ("slack:U1", "U1"), Realm.GITHUB: ("github:u1", "u1"), Realm.AWS: (USER, USER)}
    for realm, (who, id_) in people.items():
        for name in NOBODY:
            config = {str(realm): {**NOBODY, name: [id_]}}
            assert {order for order in Order if permitted(order, who, config)} == {
                order for order in Order if name in lists[order]
            }


def test_what_a_configuration_does_not_say_is_what_its_models_say() -> None:
    """One place each, and they agree."""
    for realm, model in ((Realm.SLACK, SlackConfig()), (Realm.GITHUB, GitHubConfig()), (Realm.AWS, AwsConfig())):
        for order in Order:
            assert listed(order, {}, realm) == listed(order, {realm: model.model_dump()}, realm)
            assert listed(order, {realm: None}, realm) == listed(order, {}, realm)
    assert listed(Order.PROMOTE, {"github": {"promoters": None}}, Realm.GITHUB) == ()


def test_who_is_in_both_lists_is_named_once() -> None:
    """In the order of the lists."""
    config = {"slack": {"promoters": ["U0B", "U0A"], "rollbackers": ["U0A", "*"]}}
    assert listed(Order.HOLD, config) == ("U0B", "U0A", "*")
    assert listed(Order.ROLL_BACK, config) == ("U0A", "*")


# --- groups ------------------------------------------------------------------------------------------------


def test_only_the_groups_of_the_order_are_asked_about() -> None:
    """And none when the person is named: asking costs time, and may fail."""
    asked: list[str] = []

    def member(group: str) -> bool:
        asked.append(group)
        return False

    assert permitted(Order.PROMOTE, PROMOTER, BY_SLACK, member)
    assert permitted(Order.HOLD, ON_CALL, BY_SLACK, member)
    assert permitted(Order.PROMOTE, "github:octocat", BY_GITHUB, member)
    assert not permitted(Order.PROMOTE, f"arn:aws:iam::{OTHER}:user/ann", BY_AWS, member)
    assert asked == []
    assert not permitted(Order.PROMOTE, STRANGER, BY_SLACK, member)
    assert asked == [RELEASERS]
    assert not permitted(Order.HOLD, STRANGER, BY_SLACK, member)
    assert asked == [RELEASERS, RELEASERS, ON_CALLS]
    assert not permitted(Order.PROMOTE, "github:hubot", BY_GITHUB, member)
    assert asked[3:] == ["acme/web"]


def test_nobody_is_in_a_group_unless_somebody_says_so() -> None:
    """A door that knows no groups."""
    assert not in_no_group(RELEASERS)
    assert not permitted(Order.PROMOTE, STRANGER, BY_SLACK)


def test_whoever_left_a_group_may_no_more() -> None:
    """It is asked anew for each order."""
    members = {RELEASERS}
    authorize(Order.PROMOTE, STRANGER, BY_SLACK, "", members.__contains__)
    members.clear()
    with pytest.raises(NotPermitted, match=r"slack\.promoters does not name you"):
        authorize(Order.PROMOTE, STRANGER, BY_SLACK, "", members.__contains__)


def test_a_group_of_which_nobody_tells_has_no_members() -> None:
    """The refusal says why, once; another group may still name them."""

    def member(group: str) -> bool:
        if group == RELEASERS:
            raise Untold("nobody answers", hint="Try again.")
        return group == ON_CALLS

    with pytest.raises(NotPermitted) as refused:
        authorize(Order.PROMOTE, STRANGER, BY_SLACK, "", member)
    assert refused.value.hint == f"Who may: U0PROMO, {RELEASERS}. Nobody answers. Try again."
    twice = {"slack": {"promoters": [RELEASERS], "rollbackers": [RELEASERS, ON_CALLS]}}
    assert permitted(Order.HOLD, STRANGER, twice, member)
    found = rule(Order.HOLD, STRANGER, {"slack": {"promoters": [RELEASERS], "rollbackers": [RELEASERS]}}, member)
    assert (found.unasked, len(found.doubts)) == ((RELEASERS,), 1)


# --- promotions: N people, and not the author --------------------------------------------------------------

PEOPLE = {
    "ann": ["U0ANN", "octocat", f"arn:aws:iam::{ACCOUNT}:role/Ann"],
    "bob": ["U0BOB", "Hubot"],
    "cat": ["U0CAT", SSO],
    "dan": ["UDAN9"],
}
ANN_S, BOB_S, CAT_S, DAN_S, EVE_S = (f"slack:U{name}" for name in ("0ANN", "0BOB", "0CAT", "DAN9", "0EVE"))
ANN_G, BOB_G, EVE_G = "github:octocat", "github:hubot", "github:eve"
ANN_R = f"arn:aws:sts::{ACCOUNT}:assumed-role/Ann/laptop"
EVE_R = f"arn:aws:sts::{ACCOUNT}:assumed-role/Admin/eve"
BOT = "github:deployer[bot]"
SSO_ELSEWHERE = SSO.replace("_Release_", "_Admin_").replace(ACCOUNT, OTHER)
AGAIN_SAID = "you have already promoted it"
PERHAPS = "promotion.approvals asks for 2 people, and you may be "
ANYBODY = "promotion.approvals asks for 2 people, and {} may be anybody"
AUTHOR = "promotion.by_author is false, and you are the author: "
MAYBE_AUTHOR = "promotion.by_author is false, and you may be the author: "
UNKNOWN = "promotion.by_author is false, and nobody knows whose commit c0ffee01 is"


def waits(
    *given: str,
    approvals: int = 1,
    by_author: bool = True,
    people: Mapping[str, Any] = PEOPLE,
    commit: str = "c0ffee01aaaa",
    started_by: str = EVE_R,
    **source: str,
) -> Release:
    """A release that waits for promotions, of which those were given."""
    config = {"promotion": {"approvals": approvals, "by_author": by_author}, "people": people}
    known = replace(Stage().release, config=config, promoters=given, commit=commit, started_by=started_by)
    return replace(known, source=source)


SECOND_APPROVALS = [
    # --- one person, two ids
    (ANN_S, ANN_S, AGAIN_SAID),
    (ANN_S, ANN_G, f"{AGAIN_SAID}, as {ANN_S}"),
    (ANN_G, ANN_S, f"{AGAIN_SAID}, as {ANN_G}"),
    (ANN_G, "github:Octocat", f"{AGAIN_SAID}, as {ANN_G}"),
    (ANN_S, ANN_R, f"{AGAIN_SAID}, as {ANN_S}"),
    (ANN_R, ANN_S, f"{AGAIN_SAID}, as {ANN_R}"),
    (ANN_R, ANN_R.replace("laptop", "desktop"), f"{AGAIN_SAID}, as {ANN_R}"),
    (EVE_R, EVE_R.replace("/eve", "/mallory"), f"{AGAIN_SAID}, as {EVE_R}"),
    (CAT_S, SSO, f"{AGAIN_SAID}, as {CAT_S}"),
    (SSO, SSO_ELSEWHERE, f"{AGAIN_SAID}, as {SSO}"),
    (USER, USER, AGAIN_SAID),
    ("U1", "U1", AGAIN_SAID),  # as an older release recorded it
    # --- two people
    (ANN_S, BOB_S, ""),
    (ANN_S, EVE_S, ""),
    (EVE_S, ANN_S, ""),
    (EVE_S, "slack:U0MALLORY", ""),
    (ANN_S, BOB_G, ""),
    (ANN_R, BOB_S, ""),
    (BOB_G, EVE_G, ""),
    (USER, USER.replace("ann", "bob"), ""),
    (SSO, SSO.replace("ann@", "bob@"), ""),
    (ANN_S, EVE_G, ""),  # a person has one login, and ann's is another
    (EVE_G, ANN_S, ""),
    (CAT_S, SSO.replace("ann@", "bob@"), ""),  # the same of users of IAM Identity Center
    # --- who can tell?
    (EVE_S, EVE_G, PERHAPS + EVE_S),
    (EVE_G, EVE_S, PERHAPS + EVE_G),
    (EVE_S, USER, PERHAPS + EVE_S),
    (DAN_S, EVE_G, PERHAPS + DAN_S),  # nobody says which login is dan's
    (EVE_G, DAN_S, PERHAPS + EVE_G),
    (CAT_S, USER, PERHAPS + CAT_S),  # an IAM user beside the one of Identity Center
    (USER, USER.replace(ACCOUNT, OTHER), PERHAPS + USER),
    (USER, SSO.replace("ann@", "bob@"), PERHAPS + USER),
    (ANN_S, EVE_R, PERHAPS + ANN_S),  # a role is anybody's who may assume it
    (EVE_R, ANN_S, PERHAPS + EVE_R),
    (ANN_R, USER, PERHAPS + ANN_R),
    (ANN_S, BOT, PERHAPS + ANN_S),
    ("U1", EVE_S, f"{PERHAPS}U1"),
    (EVE_S, "U1", PERHAPS + EVE_S),
    (EVE_R, EVE_R.replace("/Admin/", "/Other/"), PERHAPS + EVE_R),
    (EVE_R, BOT, PERHAPS + EVE_R),
    (BOT, EVE_G, PERHAPS + BOT),
    # a login that looks like an id of Slack is not the one whom `people` means
    (DAN_S, "github:udan9", PERHAPS + DAN_S),
    # --- nobody in particular: it would stand in the way of everybody else
    ("", EVE_R, ANYBODY.format(EVE_R)),
    ("", BOT, ANYBODY.format(BOT)),
    ("", "U1", ANYBODY.format("U1")),
    ("", f"arn:aws:iam::{ACCOUNT}:root", ANYBODY.format(f"arn:aws:iam::{ACCOUNT}:root")),
    ("", ANN_R, ""),
    ("", SSO, ""),
    ("", EVE_S, ""),
]


@pytest.mark.parametrize(("first", "second", "says"), SECOND_APPROVALS)
def test_two_approvals_are_two_people(first: str, second: str, says: str) -> None:
    """Whoever may be the first in another guise is refused, and told what tells them apart."""
    release = waits(*filter(None, [first]), approvals=2)
    if not says:
        judge_approval(release, second)
        return
    with pytest.raises(Refused) as refused:
        judge_approval(release, second)
    said = refused.value
    assert said.what == (f"{says}, who has promoted it" if says.startswith(PERHAPS) else says)
    assert said.where == release.id
    if says.startswith(AGAIN_SAID):
        assert (said.reason, said.hint) == (Reason.MOVED_ON, "1 more must promote it, too.")
    else:
        assert said.reason == Reason.NOT_PERMITTED
        assert said.hint.endswith("under `people`: that counts from the next release on.")


def test_every_approval_before_is_looked_at() -> None:
    """Not the last one alone."""
    release = waits(ANN_S, BOB_S, approvals=3)
    for who in (ANN_G, BOB_G):
        with pytest.raises(Refused, match=f"already promoted it, as slack:U0{'ANN' if who == ANN_G else 'BOB'}"):
            judge_approval(release, who)
    judge_approval(release, CAT_S)


@pytest.mark.parametrize("who", [ANN_S, ANN_G, ANN_R, EVE_S, EVE_G, EVE_R, BOT, USER, SSO])
def test_one_approval_is_anybody_s(who: str) -> None:
    """Nobody has to be told from anybody, even where the configuration says nothing of promotions."""
    judge_approval(waits(author_login="octocat"), who)
    judge_approval(replace(waits(), config={}), who)


def test_without_people_only_ids_of_one_kind_can_be_told_apart() -> None:
    """As for a release that recorded none."""
    release = waits(ANN_S, approvals=2, people={})
    judge_approval(release, BOB_S)
    judge_approval(replace(release, config={**release.config, "people": None}), BOB_S)
    for people in ({}, None, {"ann": ["U0ANN", "deployer[bot]"]}):
        with pytest.raises(NotPermitted, match="you may be slack:U0ANN"):
            judge_approval(replace(release, config={**release.config, "people": people}), BOB_G)
    shared = {**release.config, "people": {"ann": ["U0ANN", "deployer[bot]"]}}
    with pytest.raises(NotPermitted, match="you may be slack:U0ANN"):
        judge_approval(replace(release, config=shared), EVE_R)


PROMOTIONS_OF_AUTHORS = [
    # --- the author, in every realm
    (ANN_G, "octocat", AUTHOR + ANN_G),
    ("github:OctoCat", "octocat", AUTHOR + ANN_G),
    (ANN_G, "OctoCat", f"{AUTHOR}github:OctoCat"),
    (ANN_S, "octocat", AUTHOR + ANN_G),
    (ANN_R, "octocat", AUTHOR + ANN_G),
    (ANN_S, "eve octocat", AUTHOR + ANN_G),
    # --- somebody else
    (BOB_S, "octocat", ""),
    (BOB_G, "octocat", ""),
    (EVE_G, "octocat", ""),
    (ANN_G, "eve", ""),
    (ANN_S, "eve", ""),  # of whom `people` knows the login
    (BOB_S, "octocat eve", ""),
    (EVE_S, "octocat", ""),  # of whom `people` knows the id in Slack
    # --- who can tell?
    (EVE_S, "eve", f"{MAYBE_AUTHOR}github:eve"),
    (EVE_R, "octocat", MAYBE_AUTHOR + ANN_G),
    (USER, "octocat", MAYBE_AUTHOR + ANN_G),
    (CAT_S, "eve", f"{MAYBE_AUTHOR}github:eve"),  # nobody says which login is cat's
    (CAT_S, "octocat", ""),  # ann is another person
    (DAN_S, "udan9", f"{MAYBE_AUTHOR}github:udan9"),
    (BOT, "octocat", MAYBE_AUTHOR + ANN_G),
    (BOB_S, "***", f"{MAYBE_AUTHOR}github:***"),
    (BOB_G, "", UNKNOWN),
    (ANN_S, "", UNKNOWN),
    (USER, " ", UNKNOWN),
]


@pytest.mark.parametrize(("who", "login", "says"), PROMOTIONS_OF_AUTHORS)
def test_an_author_does_not_promote_where_the_configuration_says_so(who: str, login: str, says: str) -> None:
    """Nor whoever may be the author; whatever the commit says of itself in words."""
    release = waits(by_author=False, author_login=login, author=who, actor="octocat")
    judge_approval(waits(author_login=login), who)
    if not says:
        judge_approval(release, who)
        return
    with pytest.raises(NotPermitted) as refused:
        judge_approval(release, who)
    said = refused.value
    assert said.what == says
    assert (said.reason, said.where) == (Reason.NOT_PERMITTED, release.id)
    hints = {AUTHOR: r"Someone else must promote it\.", UNKNOWN: r".* pull request .*\."}
    hints[MAYBE_AUTHOR] = r"Someone else must promote it\. .* `people`.*: that counts from the next release on\."
    assert re.fullmatch(next(hint for start, hint in hints.items() if says.startswith(start)), said.hint)


def test_of_what_no_person_wrote_the_starter_is_the_author() -> None:
    """An image that was given, and a commit of a GitHub App; whoever dispatches somebody's commit is not."""
    image = waits(by_author=False, commit="", started_by=ANN_S)
    assert authors_of(image) == (ANN_S,)
    for who in (ANN_S, ANN_G):
        with pytest.raises(NotPermitted, match="you are the author: slack:U0ANN"):
            judge_approval(image, who)
    judge_approval(image, BOB_G)
    app = waits(by_author=False, started_by=ANN_G, author_login="dependabot[bot]")
    assert authors_of(app) == (ANN_G,)
    with pytest.raises(NotPermitted, match="you are the author: github:octocat"):
        judge_approval(app, ANN_S)
    judge_approval(app, BOB_S)
    assert authors_of(waits(author_login="octocat renovate[bot]", started_by=BOB_G)) == (ANN_G, BOB_G)
    judge_approval(waits(by_author=False, author_login="octocat", started_by=BOB_G), BOB_G)


def test_an_earlier_image_has_the_author_who_is_known() -> None:
    """It has no commit of its own."""
    assert authors_of(waits(commit="", author_login="octocat", started_by=BOB_S)) == (ANN_G,)


def test_both_rules_hold_at_once() -> None:
    """Two people, neither of them the author."""
    release = waits(BOB_S, approvals=2, by_author=False, author_login="octocat")
    with pytest.raises(NotPermitted, match="you are the author"):
        judge_approval(release, ANN_S)
    with pytest.raises(Refused, match="already promoted it, as slack:U0BOB"):
        judge_approval(release, BOB_G)
    judge_approval(release, CAT_S)


# --- explaining --------------------------------------------------------------------------------------------


def test_explain_has_a_row_for_each_order_in_each_realm() -> None:
    """With the lists, the ids in them, and whether that is what holds anyway."""
    rows = {(row.order, row.realm): row for row in explain({**BY_SLACK, "github": {"promoters": ["octocat"]}})}
    assert set(rows) == {(order, realm) for order in Order for realm in Realm}
    promote = rows[Order.PROMOTE, Realm.GITHUB]
    assert (promote.rule, promote.who, promote.default) == ("github.promoters", ("octocat",), False)
    hold = rows[Order.HOLD, Realm.GITHUB]
    assert (hold.rule, hold.who, hold.default) == ("github.promoters or github.rollbackers", ("octocat", "*"), False)
    assert rows[Order.ROLL_BACK, Realm.GITHUB].default
    assert rows[Order.OVERRIDE, Realm.AWS].who == (EVERYBODY,)
    assert not rows[Order.OVERRIDE, Realm.SLACK].default


def test_what_explain_says_is_what_is_judged() -> None:
    """For everybody of the table of whom nobody has to be asked."""
    for config in (BY_SLACK, BY_GITHUB, BY_AWS, OPEN, SHUT, OLD, {}):
        rows = {(row.order, row.realm): row for row in explain(config)}
        for who in {row.who for row in TABLE}:
            one = identify(who)
            for ruling in rulings(who, config):
                assert ruling.allowed == permitted(ruling.order, who, config)
                if one and ruling.allowed:
                    assert ruling.by in rows[ruling.order, one.realm].who


def test_a_promotion_that_can_never_be_is_explained() -> None:
    """What is judged of a release already bars whoever has no name of their own."""

    def promotes(who: str, **promotion: Any) -> tuple[bool, str]:
        config = {"slack": EVERYONE, "promotion": promotion, "people": PEOPLE}
        found = next(one for one in rulings(who, config) if one.order is Order.PROMOTE)
        return found.allowed, found.rule

    assert promotes(EVE_R) == (True, "aws.promoters")
    assert promotes(EVE_R, approvals=2) == (False, "promotion.approvals")
    assert promotes(ANN_R, approvals=2) == (True, "aws.promoters")
    assert promotes(EVE_S, approvals=2) == (True, "slack.promoters")
    assert promotes(EVE_S, by_author=False) == (False, "promotion.by_author")
    assert promotes(EVE_G, by_author=False) == (True, "github.promoters")
    assert promotes(ANN_S, by_author=False) == (True, "slack.promoters")
    assert promotes(CAT_S, by_author=False) == (False, "promotion.by_author")
    barred = rulings(EVE_R, {"promotion": {"approvals": 2}})
    assert [one.order for one in barred if one.doubts] == [Order.PROMOTE]


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({}, "promotion.by: no person has to promote, unless someone orders a hold"),
        ({}, "promotion.approvals: 1 person must promote"),
        ({}, "promotion.by_author: the commit's author may promote it"),
        ({"promotion": {"by": "person", "approvals": 2}}, "promotion.approvals: 2 different people must promote"),
        ({"promotion": {"by_author": False}}, "promotion.by_author: the commit's author may not promote it"),
        (
            {"promotion": {"timeout": 14400.0, "on_timeout": "rollback"}},
            "promotion.timeout: what nobody promotes within 4h is rolled back",
        ),
        (
            {"promotion": {"timeout": 60.0, "on_timeout": "promote"}},
            "promotion.timeout: what nobody promotes within 1m is promoted",
        ),
        ({"people": {"ann": ["U0ANN", "octocat"]}}, "people: U0ANN, octocat are one person, ann"),
        (
            {"freeze": [{"cron": "0 16 * * FRI", "for": 7200.0, "zone": "UTC", "why": "w"}]},
            "freeze: no release or promotion from 0 16 * * FRI (UTC) for 2h",
        ),
    ],
)
def test_what_else_a_promotion_asks_for(config: Mapping[str, Any], says: str) -> None:
    """A sentence each."""
    assert says in list(conditions(config))


def test_nothing_is_said_that_does_not_hold() -> None:
    """Where a person is always asked."""
    said = list(conditions({"promotion": {"by": "person", "timeout": 60.0}}))
    assert [line.partition(":")[0] for line in said] == [
        "promotion.approvals",
        "promotion.by_author",
        "promotion.timeout",
    ]


# --- the page ----------------------------------------------------------------------------------------------

PAGE = (ROOT / "docs" / "permissions.md").read_text()
DOCUMENTED = {
    "promote": Order.PROMOTE,
    "release, from any entry point": Order.RELEASE,
    "freeze, and lift a freeze": Order.FREEZE,
    "roll back": Order.ROLL_BACK,
    "release an earlier image (`rollback --to`, `to`, the bot's offer)": Order.RELEASE_AGAIN,
    "hold": Order.HOLD,
    "resume what failed": Order.RESUME,
    "see it in Slack": Order.LOOK,
    "release or promote despite a freeze, or what was rolled back": Order.OVERRIDE,
}


def documented(heading: str) -> list[list[str]]:
    """The rows of the table there."""
    under = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in under.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def test_the_page_names_the_lists_of_every_order() -> None:
    """And no other."""
    found = {
        DOCUMENTED[order]: set(re.findall(r"`(\w+ers)`", lists))
        for order, lists in documented("Orders and their lists")
    }
    assert found == {order: set(re.findall(r"slack\.(\w+)", rule(order, STRANGER, {}).rule)) for order in Order}


def test_the_page_knows_every_refusal() -> None:
    """By its own words, and the configuration of its examples is one."""
    said = [
        *("slack.promoters does not name you", NO_ID, "Nobody may, until … names someone", f"{PERHAPS}…"),
        *(ANYBODY.format("…"), AUTHOR[:-2], MAYBE_AUTHOR[:-2], UNKNOWN.replace("c0ffee01", "…")),
    ]
    rows = " ".join(row[0] for row in documented("Refusals"))
    assert [one for one in said if f"`{one}`" not in rows] == []
    assert len(documented("Refusals")) == len(said)
    examples = [yaml.safe_load(block) for block in re.findall(r"(?s)```yaml\n(.*?)```", PAGE)]
    base = {"service": "web", "group": "g", "traffic": {"target_groups": ["t"]}, "image": {"ami": "ami-1"}}
    assert (
        [parse({**base, **one}).id for one in examples] == ["web/production"] * len(examples) == ["web/production"] * 2
    )
