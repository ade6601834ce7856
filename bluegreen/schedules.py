"""Scheduled actions of an Auto Scaling group: which were due in a span of time, and the sizes that they set. Pure.

AWS skips what is due while the process `ScheduledActions` is suspended, and does not run it afterwards
(EC2 Auto Scaling user guide, suspending processes).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

#: What a scheduled action may set.
SIZES = ("MinSize", "MaxSize", "DesiredCapacity")


@dataclass(frozen=True)
class Schedule:
    """One scheduled action. Times are epoch seconds; a size that it does not set is None."""

    name: str
    cron: str = ""  # five fields; "": it happens once, at `start`
    zone: str = "UTC"
    start: float | None = None
    end: float | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)  # by the API's names

    def to_facts(self) -> dict[str, Any]:
        """JSON-ready; `Schedule(**facts)` is the reverse."""
        return {**vars(self), "sizes": dict(self.sizes)}

    def due(self, since: float, until: float) -> float | None:
        """When it was last due after `since` and by `until`; otherwise None, also for a cron of unknown form."""
        if not self.cron:
            return self.start if self.start is not None and since < self.start <= until else None
        last = min(until, until if self.end is None else self.end)
        found = self._before(last)
        first = since if self.start is None else max(since, self.start - 1)
        return found if found is not None and found > first else None

    def _before(self, last: float) -> float | None:
        """When its cron last came by then; None when that cannot be told."""
        from cronsim import CronSim, CronSimError

        try:
            zone = ZoneInfo(self.zone)
            runs = CronSim(self.cron, datetime.fromtimestamp(int(last) + 1, UTC).astimezone(zone), reverse=True)
        except (CronSimError, LookupError, ValueError, OSError):
            return None
        return next(at for run in runs if (at := run.timestamp()) <= last)


@dataclass(frozen=True)
class Missed:
    """The sizes that what was missed sets, by the API's names, and the actions that set them, in order of time."""

    sizes: Mapping[str, int]
    names: tuple[str, ...]


def missed(schedules: Iterable[Schedule], since: float, resumed: float, now: float) -> Missed:
    """What was due after `since` and by `resumed`, and was not overtaken by what AWS itself ran from then to `now`."""
    runs = sorted(((at, one) for one in schedules if (at := one.due(since, now)) is not None), key=lambda run: run[0])
    sizes: dict[str, tuple[float, str, int]] = {}
    for at, one in runs:
        sizes |= {which: (at, one.name, size) for which, size in one.sizes.items()}
    left = {which: told for which, told in sizes.items() if told[0] <= resumed}
    names = dict.fromkeys(name for _, name, _ in sorted(left.values()))
    return Missed({which: size for which, (_, _, size) in left.items()}, tuple(names))


def shown_and_recorded(shown: Iterable[Schedule], recorded: Iterable[Schedule]) -> Iterator[Schedule]:
    """What is there now, and what happened once and is therefore shown no more.

    AWS shows as the start of a recurring action when it is due next, so the start is as it was recorded.
    """
    was = {one.name: one for one in recorded}
    there = set()
    for one in shown:
        there.add(one.name)
        before = was.get(one.name)
        same = before is not None and (before.cron, before.zone) == (one.cron, one.zone)
        yield replace(one, start=before.start) if before is not None and same and one.cron else one
    yield from (one for one in was.values() if not one.cron and one.name not in there)


def read(shown: Mapping[str, Any]) -> Schedule:
    """A scheduled action as the API shows it (DescribeScheduledActions)."""
    start, end = (at.timestamp() if (at := shown.get(key)) else None for key in ("StartTime", "EndTime"))
    return Schedule(
        name=shown["ScheduledActionName"],
        cron=shown.get("Recurrence") or "",
        zone=shown.get("TimeZone") or "UTC",
        start=start,
        end=end,
        sizes={which: shown[which] for which in SIZES if shown.get(which) is not None},
    )
