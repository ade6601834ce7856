"""The history of services over a time, and its four figures, from the journal alone. Pure; times are epoch seconds.

The figures are those of DORA (dora.dev): deployment frequency, lead time for changes, change failure rate, and time to
restore service. DORA calls the last one failed deployment recovery time today.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from bluegreen.events import Outcome
from bluegreen.release import duration
from bluegreen.report.story import Story, failed_in_production

DAY = 86_400.0


@dataclass(frozen=True)
class Figure:
    """One figure: its name, its value for people, what was counted, and how it is defined."""

    name: str
    value: str
    counted: str
    definition: str
    number: float | None  # for programs; None where there was nothing to count


@dataclass(frozen=True)
class History:
    """The releases that began in a time, the newest first, and their figures."""

    services: tuple[str, ...]
    since: float
    until: float
    stories: tuple[Story, ...]
    figures: tuple[Figure, ...]


def history(services: Sequence[str], stories: Iterable[Story], since: float, until: float) -> History:
    """The history of these releases, of which only those count that began in the time."""
    within = [one for one in stories if since <= one.release.started_at <= until]
    newest = tuple(sorted(within, key=lambda one: one.release.started_at, reverse=True))
    return History(tuple(services), since, until, newest, figures(newest, since, until))


def figures(stories: Sequence[Story], since: float, until: float) -> tuple[Figure, ...]:
    """The four figures of these releases."""
    live = [one for one in stories if one.release.outcome is Outcome.LIVE]
    return (_frequency(len(live), until - since), _lead_time(live), _failure_rate(stories), _restored(stories))


def _frequency(live: int, seconds: float) -> Figure:
    days = max(seconds / DAY, 1.0)
    said = f"{live / days:.1f} a day" if live >= days else f"{7 * live / days:.1f} a week"
    return Figure(
        "Deployment frequency",
        said if live else "none",
        f"{live} in {days:.0f} days",
        "Releases that went live, divided by the time.",
        live / days,
    )


def _lead_time(live: Sequence[Story]) -> Figure:
    return _median(
        "Lead time for changes",
        [one.end - one.release.started_at for one in live],
        "unknown",
        "From the request of a release to the moment when it is live. "
        "The journal does not have the time of the commit, so the time before the request is not in it.",
    )


def _failure_rate(stories: Sequence[Story]) -> Figure:
    had = [one for one in stories if one.served is not None and one.release.outcome]
    bad = [one for one in had if _failed(one, stories)]
    return Figure(
        "Change failure rate",
        f"{100 * len(bad) / len(had):.0f} %" if had else "unknown",
        f"{len(bad)} of {len(had)}",
        "Of the settled releases that had traffic: those that were rolled back or failed, and those that a later "
        "release of an earlier image replaced.",
        len(bad) / len(had) if had else None,
    )


def _restored(stories: Sequence[Story]) -> Figure:
    back = [one.back.seconds for one in stories if one.back and one.back.seconds is not None]
    again = [one.end - one.release.started_at for one in stories if _goes_back(one)]
    return _median(
        "Time to restore service",
        [*back, *again],
        "nothing to restore",
        "From the order of a rollback, or the check that caused it, to green's last answer. "
        "Where an earlier image was released again: from that request until it is live.",
    )


def _median(name: str, times: Sequence[float], nothing: str, definition: str) -> Figure:
    """Of times in seconds; `nothing`: what is said without any."""
    middle = median(times) if times else None
    return Figure(name, nothing if middle is None else duration(middle), f"median of {len(times)}", definition, middle)


def _goes_back(one: Story) -> bool:
    return one.release.goes_back and one.release.outcome is Outcome.LIVE


def _failed(one: Story, stories: Iterable[Story]) -> bool:
    """`stories`: the newest first. What went live next tells: an earlier image, or a new one."""
    of = one.release
    later = [other for other in stories if other.release.service == of.service and other.release.number > of.number]
    replaced = [other for other in later if other.release.outcome is Outcome.LIVE]
    return failed_in_production(one) or bool(replaced and _goes_back(replaced[-1]))


def as_object(of: History) -> dict[str, Any]:
    """For programs."""
    return {
        "services": list(of.services),
        "from": of.since,
        "to": of.until,
        "figures": [vars(one) for one in of.figures],
        "releases": [
            {"release": one.release.id, "outcome": one.release.outcome, "started": one.release.started_at}
            for one in of.stories
        ],
    }
