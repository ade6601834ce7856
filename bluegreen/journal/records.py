"""What the journal keeps, as values; and the items of the table that they are kept as."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields

from bluegreen.errors import ConfigError
from bluegreen.events import Event, EventKind, Facts, Outcome, Reason
from bluegreen.journal.dynamodb import Item
from bluegreen.release import TELLING, Release, release_id

#: Another's lease counts as lapsed only so long after its end: two machines go by the table's time, which they know to
#: some two seconds (`driver.TableClock`).
SKEW = 2.0
#: Facts larger than this are refused; DynamoDB's own limit is 400 KB for an item.
LARGEST = 100_000

#: Answers to requests say in this attribute when they may go (epoch, in full seconds): DynamoDB removes them where its
#: time to live is on. Nothing else has it: a release is read at any age, and only as long as all its events are there.
TTL = "ttl"
#: GitHub runs a workflow again for 30 days (GitHub's documentation, re-running workflows), Slack repeats for minutes.
ANSWERS_KEPT = 90 * 86_400

#: So many bad commits and images of a service are remembered, the newest.
BAD_ONES = 50


@dataclass(frozen=True)
class Live:
    """What serves a service since its last release that went live."""

    group: str
    image: str
    template_version: int | None
    commit: str
    number: int  # of the release


@dataclass(frozen=True)
class Freeze:
    """Nobody may start or promote a release. Times are epoch seconds; `until` None: until it is lifted."""

    who: str
    why: str
    since: float
    until: float | None = None

    def holds(self, now: float) -> bool:
        """Whether it still is in force."""
        return self.until is None or self.until > now


@dataclass(frozen=True)
class KeptGreen:
    """A green that failed, kept for inspection until then (epoch seconds). `number`: of its release."""

    number: int
    group: str
    until: float


@dataclass(frozen=True)
class ServiceRecord:
    """A service as the journal knows it."""

    service: str
    next: int = 1
    under_way: int | None = None
    last: int | None = None  # the newest release, settled or not
    live: Live | None = None
    freeze: Freeze | None = None  # as written; whether it still holds is a matter of time
    ordered: str = ""  # the last order: its release and the number of its event, as in web/production#42/17
    bad: Mapping[str, int] = field(default_factory=dict)  # commit, or image without one -> release that was rolled back
    kept: tuple[KeptGreen, ...] = ()  # until it is removed, the oldest first
    adopted: int | None = None  # the newest release when the record was repaired: what failed up to it is of no account

    @property
    def repaired(self) -> bool:
        """Whether the newest release is from before the record was repaired."""
        return self.adopted is not None and (self.last or 0) <= self.adopted

    def rolled_back(self, commit: str, image: str) -> int | None:
        """Number of the release in which the commit (the image, without one) was rolled back for its own faults.

        A commit may be abbreviated, here and there.
        """
        return max((number for known, number in self.bad.items() if _means(known, commit, image)), default=None)


@dataclass(frozen=True)
class Summary:
    """A release in one line. While it is under way, `settled`, `outcome` and `reason` have the value None."""

    service: str
    number: int
    commit: str
    image: str
    who: str
    started: float
    blue: str
    green: str
    template_version: int | None = None
    settled: float | None = None
    outcome: Outcome | None = None
    reason: Reason | None = None
    message: str = ""

    @property
    def id(self) -> str:
        """`web/production#42`."""
        return release_id(self.service, self.number)


@dataclass(frozen=True)
class Lease:
    """The right to drive a release until `expires` (epoch seconds). `token` grows with each taking."""

    release: str
    holder: str
    token: int
    expires: float
    seconds: float

    def lives(self, now: float) -> bool:
        """Whether others must keep away."""
        return bool(self.holder) and self.expires > now - SKEW


# --- events ------------------------------------------------------------------------------------------


def new_event(release: str, seq: int, kind: EventKind, facts: Facts, now: float) -> Event:
    """An event with its facts as they will be read back. ConfigError when they are too large."""
    text = as_json(facts)
    if len(text) > LARGEST:
        what = f"the facts of `{kind}` take {len(text):,} bytes, and the journal takes {LARGEST:,}"
        raise ConfigError(what, where=release, hint="Shorten the texts in the configuration.")
    return Event(release, seq, now, kind, json.loads(text))


def as_json(facts: Facts) -> str:
    """ASCII only, so that its length is its size and no half character of a command's output can spoil it."""
    return json.dumps(facts, separators=(",", ":"), default=dict)


def event_key(seq: int) -> str:
    """Sorts as the numbers do."""
    return f"event/{seq:06}"


def event_item(event: Event, write: str) -> Item:
    """`write`: id of the call that writes it."""
    return {
        "pk": event.release,
        "sk": event_key(event.seq),
        "seq": event.seq,
        "at": event.at,
        "kind": event.kind,
        "facts": as_json(event.facts),
        "write": write,
    }


def event_of(item: Item) -> Event:
    """ConfigError when a newer bluegreen wrote an event that this one does not know."""
    try:
        kind = EventKind(item["kind"])
    except ValueError as error:
        hint = "A newer bluegreen wrote it: update this one."
        raise ConfigError(f"cannot read an event `{item['kind']}`", where=item["pk"], hint=hint) from error
    return Event(item["pk"], item["seq"], float(item["at"]), kind, json.loads(item["facts"]))


def expiring(item: Item, now: float) -> Item:
    """The item of an answer, with the time from which on nobody asks for it."""
    return {**item, TTL: int(now) + ANSWERS_KEPT}


# --- summaries and records ---------------------------------------------------------------------------


def summary_key(number: int) -> str:
    """Sorts as the numbers do."""
    return f"release/{number:06}"


def summary_item(release: Release) -> Item:
    """The release in one line, as it is now."""
    settled = release.outcome is not None
    summary = Summary(
        service=release.service,
        number=release.number,
        commit=release.commit,
        image=release.image,
        who=release.started_by,
        started=release.started_at,
        blue=release.blue_group,
        green=release.green_group,
        template_version=release.template_version,
        settled=release.settled_at,
        outcome=release.outcome,
        reason=release.reason if settled else None,
        message=release.message if settled else "",
    )
    return {"pk": summary.service, "sk": summary_key(summary.number), **vars(summary)}


def summary_of(item: Item) -> Summary:
    """As it was kept; what a newer bluegreen added is left out."""
    known = {f.name: item[f.name] for f in fields(Summary) if f.name in item}
    for name, kind in (("started", float), ("settled", float), ("outcome", Outcome), ("reason", Reason)):
        if name in known:
            known[name] = kind(known[name])
    return Summary(**known)


def bad_after(bad: Mapping[str, int], settled: Release) -> Mapping[str, int]:
    """What is to be remembered as bad once this release has settled; see `ServiceRecord.rolled_back`."""
    it = settled.commit or settled.image
    others = {known: n for known, n in bad.items() if not _means(known, settled.commit, settled.image)}
    if settled.outcome is Outcome.LIVE:
        return others
    if settled.outcome is not Outcome.ROLLED_BACK or settled.reason not in TELLING or not it:
        return bad
    newest = sorted(others.items(), key=lambda pair: pair[1])[-(BAD_ONES - 1) :]
    return {**dict(newest), it: settled.number}


def _means(known: str, commit: str, image: str) -> bool:
    """Whether what is remembered is the commit; without one, the image."""
    return known.startswith(commit) or commit.startswith(known) if commit else known == image


def live_after(release: Release) -> Live | None:
    """What serves now, where that is another than before: green, or a group that was taken along and returned to."""
    if release.outcome is not Outcome.LIVE:
        taken = release.takes if release.outcome is Outcome.ROLLED_BACK else {}
        if not taken:
            return None
        return Live(release.blue_group, release.blue_image, None, taken["commit"], taken["number"])
    return Live(release.green_group, release.image, release.template_version, release.commit, release.number)


def record_of(item: Item) -> ServiceRecord:
    """As it was kept; what an older bluegreen did not write has its default."""
    live, freeze = item.get("live"), item.get("freeze")
    return ServiceRecord(
        service=item["sk"],
        next=item.get("next", 1),
        under_way=item.get("under_way"),
        last=item.get("last"),
        live=Live(**{"template_version": None, **live}) if live else None,
        freeze=_freeze(freeze) if freeze else None,
        ordered=item.get("ordered", ""),
        bad=item.get("bad", {}),
        adopted=item.get("adopted"),
        kept=tuple(_kept(number, one) for number, one in sorted(item.get("kept", {}).items(), key=_by_number)),
    )


def kept_item(kept: Iterable[KeptGreen]) -> Item:
    """By number, as text: the keys of a map."""
    return {str(one.number): {"group": one.group, "until": one.until} for one in kept}


def _by_number(pair: tuple[str, Item]) -> int:
    return int(pair[0])


def _kept(number: str, item: Item) -> KeptGreen:
    return KeptGreen(int(number), item["group"], float(item["until"]))


def _freeze(item: Item) -> Freeze:
    until = float(item["until"]) if "until" in item else None
    return Freeze(item["who"], item["why"], float(item["since"]), until)
