"""What `explain` prints: who may what by a configuration, which rule says so, and when freezes begin."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

from bluegreen import entry_points, freezing, permission
from bluegreen.cli import output
from bluegreen.cli.invocation import Invocation
from bluegreen.errors import ConfigError, Untold
from bluegreen.permission import EVERYBODY, Order, Realm, Row, Ruling

#: So many windows to come are shown: enough to see what an expression means.
WINDOWS = 5

_HEADS = {Realm.SLACK: "Slack", Realm.GITHUB: "GitHub", Realm.AWS: "AWS"}


def explain(at: Invocation, who: str) -> None:
    """Print the rules; with `who` also what somebody may."""
    config = at.config()
    rules = config.to_dict()
    rows, conditions = permission.explain(rules), list(permission.conditions(rules))
    found = _rulings(who, rules) if who else ()
    freezes = list(islice(freezing.coming(freezing.windows(rules), time.time()), WINDOWS))
    if at.as_json:
        told = [{"from": one.start, "until": one.end, "why": one.why} for one in freezes]
        output.echo_json({**_as_object(config.id, rows, conditions, who, found), "freezes": told})
        return
    if who:
        output.say(f"What {who} may do with {config.id}:\n")
        output.table(("order", "may", "rule"), [(one.order, _verdict(one), _because(one)) for one in found])
    else:
        output.say(f"Who may do what with {config.id}:\n")
        heads = ("order", "lists", *_HEADS.values())
        output.table(heads, [_line(order, rows) for order in Order])
        output.hint("* the default, if the configuration has no entry")
    output.say("")
    for line in conditions:
        output.say(line)
    if freezes:
        output.say("\nThe next freeze windows:\n")
        output.table(("from", "until", "reason"), [(one.start, one.end, one.why) for one in freezes])


def _rulings(who: str, rules: permission.Rules) -> tuple[Ruling, ...]:
    if permission.identify(who) is None:
        hint = "Write slack:U0123…, github:octocat, or the ARN of an AWS principal."
        raise ConfigError("is no id", where=f"--who {who}", hint=hint)
    return permission.rulings(who, rules, lambda group: _member(who, group))


def _member(who: str, group: str) -> bool:
    """Of teams GitHub is asked where there is a token; user groups are Slack's to tell."""
    token = os.environ.get("GITHUB_TOKEN", "")
    if "/" not in group or not token:
        raise Untold(f"bluegreen cannot read who is in {group}")
    from bluegreen.github import Teams

    api = os.environ.get("GITHUB_API_URL") or "https://api.github.com"
    return Teams(token, api).member(who.removeprefix("github:"), group)


def _line(order: Order, rows: tuple[Row, ...]) -> tuple[str, ...]:
    """One order over all realms; the lists have the same names in each."""
    own = {row.realm: row for row in rows if row.order is order}
    lists = own[Realm.SLACK].rule.replace("slack.", "")
    return (order, lists, *(_who(own[realm]) for realm in _HEADS))


def _who(row: Row) -> str:
    named = "everyone" if EVERYBODY in row.who else ", ".join(row.who) or "nobody"
    return f"{named}*" if row.default else named


def _verdict(ruling: Ruling) -> str:
    if ruling.allowed:
        return "yes"
    return f"if in {' or '.join(ruling.unasked)}" if ruling.unasked else "no"


def _because(ruling: Ruling) -> str:
    if ruling.allowed:
        return f"{ruling.rule} names {'everyone' if ruling.by == EVERYBODY else ruling.by}"
    if ruling.doubts and not ruling.unasked:
        return f"{ruling.rule}: {ruling.doubts[0]}"
    if ruling.unasked:
        return f"{ruling.rule} names {'groups' if len(ruling.unasked) > 1 else 'a group'} that bluegreen cannot read"
    return f"{ruling.rule} {'names others' if ruling.may else 'names nobody'}"


def _as_object(
    service: str, rows: tuple[Row, ...], conditions: list[str], who: str, found: tuple[Ruling, ...]
) -> dict[str, Any]:
    base = {"schema_version": entry_points.SCHEMA_VERSION, "service": service, "conditions": conditions}
    base["orders"] = [vars(row) for row in rows]
    return {**base, "who": who, "may": list(_judged(found))} if who else base


def _judged(found: tuple[Ruling, ...]) -> Iterator[dict[str, Any]]:
    for one in found:
        yield {
            "order": one.order,
            "may": one.allowed,
            "rule": one.rule,
            "by": one.by,
            "if_in": one.unasked,
            "doubts": one.doubts,
        }
