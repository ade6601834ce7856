"""Who may order what: one evaluator for every door, by ids, and closed when in doubt.

A Slack user's order is judged by the lists that the service's configuration holds. Whoever comes with AWS credentials
(the command line) or through a workflow (GitHub) has been judged there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from bluegreen.errors import NotPermitted
from bluegreen.release import Reason

#: Whether the person who orders is in that group, by its id; it may ask Slack, and says no when it cannot tell.
Member = Callable[[str], bool]

EVERYBODY = "*"
#: What the id of a person begins with; S is a group (docs.slack.dev, object types).
_PEOPLE = ("U", "W")
_SLACK, _JUDGED = "slack:", ("arn:", "github:")


class Order(StrEnum):
    """What a person can order."""

    PROMOTE = "promote"  # let the release go on
    HOLD = "hold"  # let it wait for a promotion
    ROLL_BACK = "roll back"  # return to blue
    RELEASE = "release"  # start a release
    RELEASE_AGAIN = "release again"  # release the image of an earlier release
    FREEZE = "freeze"  # refuse releases for a time, or lift that
    LOOK = "look at"  # see what the journal tells


_WORDS: Mapping[Order, str] = {
    Order.PROMOTE: "promote it",
    Order.HOLD: "hold it",
    Order.ROLL_BACK: "roll it back",
    Order.RELEASE: "release it",
    Order.RELEASE_AGAIN: "release an earlier image of it",
    Order.FREEZE: "freeze it",
    Order.LOOK: "look at it",
}
_PROMOTERS, _ROLLBACKERS = "promoters", "rollbackers"
_LISTS: Mapping[Order, tuple[str, ...]] = {
    Order.PROMOTE: (_PROMOTERS,),
    Order.HOLD: (_PROMOTERS, _ROLLBACKERS),  # waiting is the careful thing: either may ask for it
    Order.ROLL_BACK: (_ROLLBACKERS,),
    Order.RELEASE: (_PROMOTERS,),
    Order.RELEASE_AGAIN: (_ROLLBACKERS,),
    Order.FREEZE: (_PROMOTERS,),
    Order.LOOK: (_PROMOTERS, _ROLLBACKERS),
}


def in_no_group(group: str) -> bool:
    """The membership of somebody of whom none is known."""
    return False


def judge(order: Order, who: str, config: Mapping[str, Any], where: str, member: Member = in_no_group) -> None:
    """Return when `who` (`slack:U…`, an ARN, `github:login`) may order that by the config; else raise NotPermitted."""
    if who.startswith(_JUDGED):
        return
    named = listed(order, config)
    person = who.removeprefix(_SLACK) if who.startswith(_SLACK) else ""
    if person.startswith(_PEOPLE) and (
        EVERYBODY in named or person in named or any(member(one) for one in named if one.startswith("S"))
    ):
        return
    lists = " or ".join(f"slack.{name}" for name in _LISTS[order])
    hint = f"Who may: {', '.join(named)}." if named else f"Nobody may, until {lists} in bluegreen.yml names somebody."
    raise NotPermitted(
        f"you may not {_WORDS[order]}: {lists} does not name you",
        reason=Reason.NOT_PERMITTED,
        where=where,
        hint=hint,
        may=named,
    )


def permitted(order: Order, who: str, config: Mapping[str, Any], member: Member = in_no_group) -> bool:
    """Whether `judge` lets it pass."""
    try:
        judge(order, who, config, "", member)
    except NotPermitted:
        return False
    return True


def listed(order: Order, config: Mapping[str, Any]) -> tuple[str, ...]:
    """The ids of people and groups that may order that; `*` is everyone."""
    slack = config.get("slack") or {}
    found = [str(one) for name in _LISTS[order] for one in slack.get(name) or ()]
    return tuple(dict.fromkeys(found))
