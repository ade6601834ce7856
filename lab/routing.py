"""Where a request goes: the listener's rules by priority, the target group by weight or cookie, the target in turn.

    conditions of the rule       all must hold, each with any of its values; * and ? stand for anything
    weights                      choose the group before anybody looks at its health, as AWS does
    a cookie AWSALBTG            chooses it instead, until it expires, while the rule still names the group

The cookie beats a weight of 0. It also beats a group without a healthy target, which then answers 503 (AWS re:Post,
"alb to automatically redirect traffic"). We assume that its time counts from when it was set.
"""

from __future__ import annotations

import base64
import itertools
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl

COOKIE = "AWSALBTG"
LOGGED_IN = "AWSELBAuthSessionCookie-0"
"""The cookie of somebody who has logged in; the lab looks no closer."""

Params = dict[str, Any]


@dataclass(frozen=True)
class RoutedRequest:
    """A request, as far as rules see it."""

    path: str = "/"
    query: str = ""
    host: str = ""
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    """By name in small letters."""
    cookies: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Pool:
    """One target group as the listener forwards to it now."""

    name: str
    targets: Mapping[str, str]
    """Instance id to target state: healthy, initial, unhealthy, draining, unused."""
    weight: int = 1

    def candidates(self) -> list[str]:
        """Who may get a new request: the healthy; with none of them, all that are registered."""
        healthy = [target for target, state in self.targets.items() if state == "healthy"]
        return healthy or [target for target, state in self.targets.items() if state not in ("draining", "unused")]


@dataclass(frozen=True)
class Way:
    """What is to be done with one request: forward it to one of the pools, or answer it at once."""

    pools: Sequence[Pool] = ()
    rule: str = ""
    sticky: float = 0
    """Seconds for which a client stays with its target group; 0: it does not."""
    answer: tuple[int, Mapping[str, str], str] | None = None
    """Status, headers and body of an answer that needs no target."""


Table = Callable[[RoutedRequest], Way]


class Routes(Protocol):
    """What a table needs of the fake AWS (`lab.aws.FakeAws`)."""

    def rules(self, listener_arn: str, /) -> list[tuple[str, list[Params], list[Params]]]:
        """Its rules in the order in which they are tried: ARN, conditions, actions."""
        ...

    def serving(self, target_group_arn: str, /) -> dict[str, str]:
        """The state of each target in the group."""
        ...


def table_of(aws: Routes, listener: str) -> Table:
    """The routing table that a listener of the fake AWS means, read again at every request."""

    def look_up(asked: RoutedRequest) -> Way:
        for arn, conditions, actions in aws.rules(listener):
            if all(fits(condition, asked) for condition in conditions):
                return _way(aws, arn, actions, asked)
        return Way()

    return look_up


def _way(aws: Routes, rule: str, actions: list[Params], asked: RoutedRequest) -> Way:
    *before, last = actions
    for action in before:
        if (answer := _stopped(action, asked)) is not None:
            return Way(rule=rule, answer=answer)
    if last["Type"] == "forward":
        config = last["ForwardConfig"]
        sticky = config["TargetGroupStickinessConfig"]
        shares = {one["TargetGroupArn"]: int(one["Weight"]) for one in config["TargetGroups"]}
        pools = [Pool(arn, aws.serving(arn), weight) for arn, weight in shares.items()]
        return Way(pools, rule, float(sticky.get("DurationSeconds", 0)) if sticky["Enabled"] else 0)
    if last["Type"] == "redirect":
        config = last["RedirectConfig"]
        return Way(rule=rule, answer=(int(config["StatusCode"][-3:]), {"Location": _target(config, asked)}, ""))
    config = last["FixedResponseConfig"]
    kind = {"Content-Type": config.get("ContentType") or "text/plain"}
    return Way(rule=rule, answer=(int(config["StatusCode"]), kind, config.get("MessageBody") or ""))


def _stopped(action: Params, asked: RoutedRequest) -> tuple[int, Mapping[str, str], str] | None:
    """The answer to somebody who has not logged in; None for who has, or need not."""
    config = action.get("AuthenticateOidcConfig") or action.get("AuthenticateCognitoConfig") or {}
    otherwise = config.get("OnUnauthenticatedRequest")
    if LOGGED_IN in asked.cookies or otherwise == "allow":
        return None
    if otherwise == "deny":
        return 401, {}, ""
    return 302, {"Location": config.get("AuthorizationEndpoint") or "https://login.invalid/"}, ""


def _target(config: Params, asked: RoutedRequest) -> str:
    """Where a redirect leads; the parts that it does not change are the request's."""
    host = config.get("Host") or "#{host}"
    path = config.get("Path") or "/#{path}"
    query = config.get("Query") or "#{query}"
    said = f"{(config.get('Protocol') or 'http').lower()}://{host}{path}"
    said += f"?{query}" if query.replace("#{query}", asked.query) else ""
    for word, value in (("host", asked.host), ("path", asked.path.lstrip("/")), ("query", asked.query)):
        said = said.replace(f"#{{{word}}}", value)
    return said


# --- conditions ----------------------------------------------------------------------------------


def fits(condition: Params, asked: RoutedRequest) -> bool:
    """Whether a request meets a condition; one that the lab cannot judge is never met."""
    match condition.get("Field"):
        case "path-pattern":
            return any(_like(one, asked.path) for one in condition["PathPatternConfig"]["Values"])
        case "host-header":
            hosts = condition["HostHeaderConfig"]["Values"]
            return any(_like(one.lower(), asked.host.partition(":")[0].lower()) for one in hosts)
        case "http-header":
            config = condition["HttpHeaderConfig"]
            sent = asked.headers.get(config["HttpHeaderName"].lower())
            return sent is not None and any(_like(one.lower(), sent.lower()) for one in config["Values"])
        case "http-request-method":
            return asked.method in condition["HttpRequestMethodConfig"]["Values"]
        case "query-string":
            pairs = parse_qsl(asked.query, keep_blank_values=True)
            return any(_has(one, pairs) for one in condition["QueryStringConfig"]["Values"])
    return False


def _has(wanted: Params, pairs: list[tuple[str, str]]) -> bool:
    key, value = wanted.get("Key"), wanted["Value"].lower()
    return any((key is None or _like(key.lower(), k.lower())) and _like(value, v.lower()) for k, v in pairs)


def _like(pattern: str, text: str) -> bool:
    """Whether the text is as the pattern says, whose * is anything and whose ? is one character."""
    parts = ({"*": ".*", "?": "."}.get(one) or re.escape(one) for one in pattern)
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None


# --- turns ---------------------------------------------------------------------------------------


class Turns:
    """Who is next: smooth weighted turns among a rule's groups, then round robin among the targets of one."""

    def __init__(self) -> None:
        """Nobody has had a turn."""
        self._credit: dict[str, Counter[str]] = {}
        self._weights: dict[str, dict[str, int]] = {}
        self._next: dict[str, itertools.count[int]] = {}

    def group(self, pools: Sequence[Pool], rule: str = "") -> Pool | None:
        """The group whose turn it is; over any hundred requests the shares are those of the weights."""
        weights = {pool.name: pool.weight for pool in pools if pool.weight > 0}
        if not weights:
            return None
        if self._weights.get(rule) != weights:  # what was saved up under other weights counts no more
            self._weights[rule], self._credit[rule] = weights, Counter()
        credit = self._credit[rule]
        credit.update(weights)
        chosen = max(weights, key=lambda name: credit[name])
        credit[chosen] -= sum(weights.values())
        return next(pool for pool in pools if pool.name == chosen)

    def target(self, pool: Pool) -> str | None:
        """The target of that group whose turn it is."""
        candidates = pool.candidates()
        turn = self._next.setdefault(pool.name, itertools.count())
        return candidates[next(turn) % len(candidates)] if candidates else None


def stuck(way: Way, cookies: Mapping[str, str], now: float) -> Pool | None:
    """The group that a client stays with, if it has a cookie that says so and the rule still names it."""
    if not way.sticky or COOKIE not in cookies:
        return None
    try:
        name, _, until = base64.urlsafe_b64decode(cookies[COOKIE]).decode().rpartition(" ")
        good = float(until) > now
    except ValueError:
        return None
    return next((pool for pool in way.pools if good and pool.name == name), None)


def cookie(pool: Pool, until: float) -> str:
    """The value that makes a client stay with that group until then (epoch seconds); opaque, as AWS's is."""
    return base64.urlsafe_b64encode(f"{pool.name} {until}".encode()).decode()
