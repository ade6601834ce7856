"""Who may order what: by ids, through lists and groups, and closed when in doubt."""

from __future__ import annotations

from typing import Any

import pytest

from bluegreen.errors import NotPermitted, Refused
from bluegreen.permission import Order, in_no_group, judge, listed, permitted
from bluegreen.release import Reason

PROMOTER, ON_CALL, STRANGER = "slack:U0PROMO", "slack:U0ONCALL", "slack:U0NOBODY"
RELEASERS, ON_CALLS = "S0RELEASERS", "S0ONCALLS"
LISTS: dict[str, Any] = {"promoters": ["U0PROMO", RELEASERS], "rollbackers": ["U0ONCALL", ON_CALLS]}
CONFIG: dict[str, Any] = {"slack": LISTS}
OPEN: dict[str, Any] = {"slack": {"promoters": ["*"], "rollbackers": ["*"]}}
#: order -> whether those of `promoters` may, whether those of `rollbackers` may
MAY = {
    Order.PROMOTE: (True, False),
    Order.HOLD: (True, True),
    Order.ROLL_BACK: (False, True),
    Order.RELEASE: (True, False),
    Order.RELEASE_AGAIN: (False, True),
    Order.FREEZE: (True, False),
    Order.LOOK: (True, True),
}
NOBODY: list[dict[str, Any]] = [
    {},
    {"slack": None},
    {"slack": {}},
    {"slack": {"promoters": None, "rollbackers": None}},
    {"slack": {"promoters": [], "rollbackers": []}},
]


def refusal(order: Order, who: str, config: dict[str, Any]) -> NotPermitted:
    """How that is refused; `permitted` says the same."""
    with pytest.raises(NotPermitted) as refused:
        judge(order, who, config, "web/production#42")
    assert not permitted(order, who, config)
    return refused.value


@pytest.mark.parametrize("order", list(Order))
def test_every_order_has_its_lists(order: Order) -> None:
    """Whoever a list of the order names by id may, whoever only the other list names may not; a stranger never."""
    found = tuple(permitted(order, who, CONFIG) for who in (PROMOTER, ON_CALL))
    assert found == MAY[order]
    assert not permitted(order, STRANGER, CONFIG)


@pytest.mark.parametrize("order", list(Order))
def test_a_group_is_as_good_as_a_name(order: Order) -> None:
    """Who is in a group that is named may what a person who is named may."""
    found = tuple(permitted(order, STRANGER, CONFIG, lambda one, g=group: one == g) for group in (RELEASERS, ON_CALLS))  # type: ignore[misc]  # the group of this turn
    assert found == MAY[order]


def test_only_the_groups_of_the_order_are_asked_about() -> None:
    """And none when the person is named: asking Slack costs time, and may fail."""
    asked: list[str] = []

    def member(group: str) -> bool:
        asked.append(group)
        return False

    assert permitted(Order.PROMOTE, PROMOTER, CONFIG, member)
    assert not permitted(Order.ROLL_BACK, ON_CALL, OPEN | {"slack": {"promoters": ["*"]}}, member)
    assert asked == []
    assert not permitted(Order.PROMOTE, STRANGER, CONFIG, member)
    assert asked == [RELEASERS]
    assert not permitted(Order.HOLD, STRANGER, CONFIG, member)
    assert asked == [RELEASERS, RELEASERS, ON_CALLS]


def test_nobody_is_in_a_group_unless_somebody_says_so() -> None:
    """A door that knows no groups."""
    assert not in_no_group(RELEASERS)
    assert not permitted(Order.PROMOTE, STRANGER, CONFIG)


def test_everybody_means_those_with_an_id_and_for_that_list_alone() -> None:
    """`*` in one list opens nothing that the other guards."""
    config = {"slack": {"promoters": ["*"], "rollbackers": ["U0ONCALL"]}}
    assert permitted(Order.PROMOTE, STRANGER, config)
    assert permitted(Order.HOLD, STRANGER, config)
    assert not permitted(Order.ROLL_BACK, STRANGER, config)


@pytest.mark.parametrize("order", list(Order))
@pytest.mark.parametrize("config", NOBODY)
def test_empty_lists_let_nobody_pass(order: Order, config: dict[str, Any]) -> None:
    """Not even somebody whose groups are all groups; the hint says what to write where."""
    refused = refusal(order, PROMOTER, config)
    assert not permitted(order, PROMOTER, config, lambda group: True)
    assert refused.may == ()
    assert refused.hint.startswith("Nobody may, until slack.")
    assert "in bluegreen.yml names somebody." in refused.hint


@pytest.mark.parametrize(
    "who",
    [
        "",
        "slack:",
        "slack",
        "U0PROMO",  # a display name may be chosen to equal an id; an id comes with its scheme
        "*",
        "ann",
        "Slack:U0PROMO",
        " slack:U0PROMO",
        "email:U0PROMO",
        "teams:U0PROMO",
        "ARN:aws:iam::1:user/ann",
        "GitHub:ann",
        "xarn:aws:iam::1:user/ann",
    ],
)
@pytest.mark.parametrize("config", [CONFIG, OPEN], ids=["lists", "everybody"])
@pytest.mark.parametrize("order", [Order.PROMOTE, Order.ROLL_BACK, Order.LOOK])
def test_who_is_no_id_of_a_known_kind_may_nothing(who: str, config: dict[str, Any], order: Order) -> None:
    """Whatever the lists say, and whatever groups they are in."""
    assert isinstance(refusal(order, who, config), Refused)
    assert not permitted(order, who, config, lambda group: True)


@pytest.mark.parametrize("who", ["slack:u0promo", "slack:U0PROMO ", "slack:U0PROM", "slack:U0PROMO1", "slack:slack:U0"])
def test_an_id_is_compared_whole(who: str) -> None:
    """No part, no other case, no blank."""
    refusal(Order.PROMOTE, who, CONFIG)


@pytest.mark.parametrize("order", list(Order))
@pytest.mark.parametrize(
    "who",
    ["arn:aws:iam::1:user/ann", "arn:aws-cn:sts::1:assumed-role/Admin/ann", "github:octocat", "github:dependabot[bot]"],
)
def test_aws_and_github_have_judged_already(who: str, order: Order) -> None:
    """IAM and the workflow's own rules; no list is needed, and no group is asked about."""

    def never(group: str) -> bool:
        raise AssertionError(f"asked about {group}")

    judge(order, who, {}, "web/production", never)
    judge(order, who, CONFIG, "web/production", never)


@pytest.mark.parametrize(
    ("order", "lists", "may"),
    [
        (Order.PROMOTE, "slack.promoters", ("U0PROMO", RELEASERS)),
        (Order.ROLL_BACK, "slack.rollbackers", ("U0ONCALL", ON_CALLS)),
        (Order.HOLD, "slack.promoters or slack.rollbackers", ("U0PROMO", RELEASERS, "U0ONCALL", ON_CALLS)),
    ],
)
def test_a_refusal_says_who_may(order: Order, lists: str, may: tuple[str, ...]) -> None:
    """What was ordered, which list to look at, and the ids, for a door to make names of."""
    refused = refusal(order, STRANGER, CONFIG)
    assert refused.what.startswith(("you may not promote it", "you may not roll it back", "you may not hold it"))
    assert f": {lists} does not name" in refused.what
    assert (refused.reason, refused.where, refused.may) == (Reason.NOT_PERMITTED, "web/production#42", may)
    assert refused.hint == f"Who may: {', '.join(may)}."


def test_who_is_in_both_lists_is_named_once() -> None:
    """In the order of the lists."""
    config = {"slack": {"promoters": ["U0B", "U0A"], "rollbackers": ["U0A", "*"]}}
    assert listed(Order.HOLD, config) == ("U0B", "U0A", "*")
    assert listed(Order.ROLL_BACK, config) == ("U0A", "*")
