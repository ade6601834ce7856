"""Weighted traffic before a release: which of the two target groups serves, and whether weights can be moved.

Every listener must say the same, so that one number describes the traffic. The configuration must name everything else
that forwards to these target groups, or retiring blue would cut it off.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from bluegreen.aws import traffic
from bluegreen.aws.calls import Answer, Calls
from bluegreen.aws.traffic import Route
from bluegreen.config import Config
from bluegreen.errors import ConfigError, Refused
from bluegreen.events import Reason
from bluegreen.observation import GROUPS_MAX, Finding, FindingKey, Verdict
from bluegreen.release import LONGEST_STAY, count_of, duration

_LISTENERS, _PREVIEW = "traffic.listeners", "traffic.preview"
_NETWORK = ":listener/net/"


@dataclass(frozen=True)
class WeightedTraffic:
    """How the two target groups are weighed; all empty where target groups are shared."""

    listeners: tuple[str, ...] = ()
    previews: tuple[str, ...] = ()
    idle: str = ""  # ARN of the target group that gets no traffic
    stickiness: float = 0.0  # seconds for which clients stay with a target group, whatever its weight
    findings: tuple[Finding, ...] = ()

    @property
    def known(self) -> dict[str, Any]:
        """By the names of `Baseline`."""
        alike = {one: getattr(self, one) for one in ("listeners", "previews", "stickiness")}
        return {**alike, "idle_target_group": self.idle}


def assess(calls: Calls, config: Config, arns: Sequence[str], ways: Sequence[Route], idle: str = "") -> WeightedTraffic:
    """What the listeners' weights say now; ConfigError or Refused when a release could not move them.

    `idle`: the target group that will be green's. A cure takes out its members.
    """
    listeners, previews = config.traffic.listeners or (), config.traffic.preview or ()
    if not listeners:
        return WeightedTraffic()
    shown = traffic.described(calls, (*listeners, *previews))
    for where, named in ((_LISTENERS, listeners), (_PREVIEW, previews)):
        for n, arn in enumerate(named):
            _must_forward(shown.get(arn), arn, arns, f"{where}.{n}")
    idle = idle or _idle({arn: traffic.forwarded(shown[arn]) for arn in listeners}, arns)
    _must_be_all((*listeners, *previews), arns, ways, idle)
    sticky = {arn: _stickiness(shown[arn]) for arn in listeners}
    return WeightedTraffic(listeners, previews, idle, max(sticky.values()), tuple(_surprises(sticky, config.soak)))


def must_be_empty(idle: str, members: dict[str, str], leaving: Collection[str]) -> None:
    """Green needs an empty target group: other members would get green's share."""
    there = [id_ for id_, state in members.items() if state != "draining" and id_ not in leaving]
    if there:
        what = f"the idle target group {_short(idle)} holds {', '.join(sorted(there)[:3])}"
        more = f" and {len(there) - 3} more" if len(there) > 3 else ""
        hint = "Finish or roll back the release that left them there; `bluegreen adopt` shows whose they are."
        raise Refused(what + more, reason=Reason.UNRESOLVED, where="traffic.target_groups", hint=hint)


# --- what must be so -----------------------------------------------------------------------------


def _must_forward(actions: list[Answer] | None, arn: str, arns: Sequence[str], where: str) -> None:
    if actions is None:
        kind = "rule" if traffic.is_rule(arn) else "listener"
        raise ConfigError(f"there is no {kind} {_name(arn)}", where=where, hint="Correct its ARN in bluegreen.yml.")
    weights = traffic.forwarded(actions)
    missing = [one for one in arns if one not in weights]
    if len(missing) == len(arns):
        hint = "Let it forward to them, or name another."
        raise ConfigError(f"{_name(arn)} forwards to neither target group", where=where, hint=hint)
    if missing and _NETWORK in arn:
        hint = f"Let its action forward to both, {_short(missing[0])} with weight 0; or share the target groups."
        what = f"{_name(arn)} has no weights: a Network Load Balancer needs them in its action"
        raise ConfigError(what, where=where, hint=hint)
    if len(weights) + len(missing) > GROUPS_MAX:
        what = f"{_name(arn)} forwards to {count_of(len(weights), 'target group')}, and {GROUPS_MAX} are the most"
        raise ConfigError(what, where=where, hint=f"Make room for {_short(missing[0])}.")
    others = sorted(_short(one) for one, weight in weights.items() if weight and one not in arns)
    if others:
        hint = "Set their weights to 0; otherwise green's share would be unclear."
        raise ConfigError(f"{_name(arn)} gives traffic to {', '.join(others)} too", where=where, hint=hint)


def _idle(weights: dict[str, dict[str, int]], arns: Sequence[str]) -> str:
    """The target group that no listener gives traffic; Refused when they do not agree."""
    serving = {arn: [one for one in arns if found.get(one)] for arn, found in weights.items()}
    for arn, some in serving.items():
        if len(some) != 1:
            both = "both target groups traffic" if some else "neither target group any traffic"
            hint = "Give one of them all the traffic and the other 0: the first is blue's."
            _refused(f"{_name(arn)} gives {both}", hint)
    said = {one for some in serving.values() for one in some}
    if len(said) > 1:
        each = "; ".join(f"{_name(arn)} gives {_short(some[0])} everything" for arn, some in serving.items())
        _refused(f"the listeners disagree about blue: {each}", "Make all of them send everything to the same one.")
    return next(one for one in arns if one not in said)


def _must_be_all(named: Sequence[str], arns: Sequence[str], ways: Sequence[Route], idle: str) -> None:
    """What is not named would go on sending to blue when it is retired, or send to green before it is checked."""
    for way in ways:
        if way.arn not in named:
            to = ", ".join(_short(one) for one in way.shares() if one in arns)
            early = "it would show green before it serves" if idle in way.shares() else "it would be cut off from blue"
            hint = f"Name it in {_LISTENERS}, or in {_PREVIEW} if only you see it: {way.arn}"
            raise ConfigError(f"{way.name} forwards to {to} too, and {early}", where=_LISTENERS, hint=hint)


def _refused(what: str, hint: str) -> NoReturn:
    raise Refused(what, reason=Reason.UNRESOLVED, where=_LISTENERS, hint=hint)


# --- what may surprise ---------------------------------------------------------------------------


def _stickiness(actions: list[Answer]) -> float:
    """Seconds; an action that is sticky without a duration is a Network Load Balancer's, and of its open flows."""
    sticky = [action.get("ForwardConfig", {}).get("TargetGroupStickinessConfig", {}) for action in actions]
    return float(max((one.get("DurationSeconds", 0) for one in sticky if one.get("Enabled")), default=0))


def _surprises(sticky: Mapping[str, float], soak: float) -> Iterator[Finding]:
    for arn, seconds in sticky.items():
        if seconds:
            found = (
                f"{_name(arn)} keeps clients on their target group for {duration(seconds)}, independent of the weights"
            )
            yield Finding(FindingKey.STICKY_CLIENTS, found, _waits(seconds, soak))
    if any(_NETWORK in arn for arn in sticky):
        found = "weights of a Network Load Balancer apply to new connections: open ones stay where they are"
    else:
        found = "open connections (WebSockets, streams, long requests) stay with blue until they end or blue is retired"
    yield Finding(FindingKey.OPEN_CONNECTIONS, found, verdict=Verdict.NOTED)


def _waits(seconds: float, soak: float) -> str:
    """What that costs a release, and whom it does not spare."""
    stay, longest = min(seconds, LONGEST_STAY), max(LONGEST_STAY, soak)
    soaks = f"the soak lasts {duration(stay)}, not {duration(soak)}" if stay > soak else "the soak is long enough"
    told = f"{soaks}, and a rollback leaves green for {duration(stay)}"
    if seconds <= longest:
        return told
    return f"{told}; a client that returns later to an empty target group gets 503, so make it shorter"


def _name(arn: str) -> str:
    """A listener or rule as people find it again: what stands behind the account in its ARN."""
    return arn.rpartition(":")[2]


def _short(arn: str) -> str:
    return arn.rpartition("targetgroup/")[2].partition("/")[0]
