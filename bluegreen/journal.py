"""The journal: one DynamoDB table that orders the events of every release and holds all shared state.

    pk                  sk               what
    web/production#42   event/000017     an event, written once
                        lease            who drives the release, until when
                    note/NAME        what a door remembers of it, such as the place of its card
    web/production      release/000042   the release in one line, for the history
                        request/ID       the event that a request led to: asking again makes no second one
    service             web/production   next number, release under way, what is live, freeze, bad commits
    builder             i-0123           the release that bakes on it
    duty/NAME           lease            which of several processes does what only one should
    answer/ID           answer           what a request was answered: asking again gets the same

Whatever must be true together is written in one transaction, and every write is conditional, so any number
of writers on any number of machines may race: one wins, the others look again.

A write whose answer was lost is sent again by botocore and then meets its own item. Each event therefore
carries an id of the call that wrote it; meeting that is success:

    us        put event 17, write=a ── taken ──X (answer lost)    put again ── refused, write=a is there: ours
    another                                    put event 17, write=b ── refused, write=a is there: Conflict

Neither clock nor `sleep` is used here: both come in as arguments.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from botocore.config import Config as ClientConfig
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, NoRegionError
from botocore.exceptions import ConnectionError as NoConnectionError
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError as Urllib3Error

from bluegreen.errors import AwsError, ConfigError, Conflict, LeaseLost, Refused
from bluegreen.release import (
    TELLING,
    Event,
    EventKind,
    Facts,
    Outcome,
    Reason,
    Release,
    apply,
    fold,
    moment,
    release_id,
)

if TYPE_CHECKING:
    import boto3

#: A call ends within 19 s (three times connecting and reading, the pauses between, and before them one hasty attempt):
#: less than the 20 s of its lease that a driver keeps in hand.
_CLIENT = ClientConfig(connect_timeout=2, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 3})
#: What stands between an order and its driver is tried in haste first: DynamoDB answers within milliseconds, across an
#: ocean within a quarter of a second, so what has not come by then was lost on its way.
_HASTY = ClientConfig(connect_timeout=0.4, read_timeout=0.4, retries={"mode": "standard", "total_max_attempts": 1})

#: Another's lease counts as lapsed only so long after its end: two machines go by the table's time, which they know to
#: some two seconds (`driver.TableClock`).
SKEW = 2.0
#: Facts larger than this are refused; DynamoDB's own limit is 400 KB for an item.
LARGEST = 100_000

#: So many bad commits and images of a service are remembered, the newest.
BAD_ONES = 50

#: How often a lost race is run again. Losing means that somebody else got further, so no pause is needed.
_RACES = 30
#: How often a write is sent again that met another's transaction in flight; that is over in milliseconds.
_CLASHES = 8
#: How long a new table may take to become usable, and how often we look.
_TABLE_LOOKS, _TABLE_PAUSE = 120, 1.0

_KEYS = {"pk": "HASH", "sk": "RANGE"}
_REOPENING = frozenset({EventKind.ROLLBACK_ORDERED, EventKind.RESUMED})

_THROTTLED = frozenset({"ThrottlingError", "ThrottlingException", "ProvisionedThroughputExceeded",
                        "ProvisionedThroughputExceededException", "RequestLimitExceeded"})  # fmt: skip
_CLASHED = frozenset({"TransactionConflict", "TransactionConflictException", "TransactionInProgressException"})

#: An item, a key or the arguments of one call, as boto3 takes and gives them: JSON-like and untyped there.
Item = dict[str, Any]


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
    adopted: int | None = None  # the newest release when the record was repaired: what failed up to it is of no account

    @property
    def repaired(self) -> bool:
        """Whether the newest release is from before the record was repaired."""
        return self.adopted is not None and (self.last or 0) <= self.adopted

    def rolled_back(self, commit: str, image: str) -> int | None:
        """Number of the release in which the commit (the image, without one) was rolled back for its own sake.

        A commit may be abbreviated, here and there.
        """
        return max((number for known, number in self.bad.items() if _means(known, commit, image)), default=None)


@dataclass(frozen=True)
class Summary:
    """A release in one line. `settled`, `outcome` and `reason` are None while it is under way."""

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


class Journal:
    """The journal in one table of the session's account and region.

    Every method may raise AwsError. When the table is absent, `service`, `services`, `history` and `summary`
    take it for an empty journal; the others raise ConfigError. `heard` is told the time (epoch, in whole seconds) that
    each answer bears.
    """

    def __init__(
        self, session: boto3.Session, table: str, *, heard: Callable[[float], None] = lambda date: None
    ) -> None:
        self.table, self._heard = table, heard
        try:
            self._client, self._hasty = (self._made(session, config) for config in (_CLIENT, _HASTY))
        except NoRegionError as error:
            raise ConfigError("no AWS region is set", hint="Set `region` in bluegreen.yml, or AWS_REGION.") from error

    def _made(self, session: boto3.Session, config: ClientConfig) -> Any:
        # Any: boto3-stubs type the client of DynamoDB only with an extra package, which we do without.
        client: Any = session.client("dynamodb", config=config)
        client.meta.events.register("after-call.dynamodb", _no_page)
        client.meta.events.register("after-call.dynamodb", self._hear)
        return client

    def _hear(self, http_response: Any, **_: object) -> None:
        """Every answer tells the time (HTTP, Date)."""
        with suppress(TypeError, ValueError):  # none, or none that can be read
            self._heard(parsedate_to_datetime(http_response.headers.get("date")).timestamp())

    # --- the table -------------------------------------------------------------------------------

    def ensure_table(self, sleep: Callable[[float], None]) -> None:
        """Make the table when it is absent, and wait until it can be used.

        AwsError (`denied`) when we may not make it; ConfigError when it takes too long or has other keys.
        """
        status = ""
        for _ in range(_TABLE_LOOKS):
            status = self._table_status()
            if status in ("ACTIVE", "UPDATING"):
                return
            if not status:
                self._create_table()
            sleep(_TABLE_PAUSE)
        what = f"the table is still {status or 'absent'} after {_TABLE_LOOKS * _TABLE_PAUSE:.0f} s"
        raise ConfigError(what, where=self.table, hint="Look at it in the DynamoDB console, then try again.")

    def _table_status(self) -> str:
        """Empty when there is none."""
        try:
            table = self._call("describe_table", TableName=self.table)["Table"]
        except _NoTableError:
            return ""
        if {key["AttributeName"]: key["KeyType"] for key in table["KeySchema"]} != _KEYS:
            hint = "It belongs to something else: give the journal another name in BLUEGREEN_TABLE."
            raise ConfigError("the table has other keys than `pk` and `sk`", where=self.table, hint=hint)
        return str(table["TableStatus"])

    def _create_table(self) -> None:
        try:
            self._call(
                "create_table",
                TableName=self.table,
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in _KEYS],
                KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in _KEYS.items()],
            )
        except AwsError as error:
            if error.code == "ResourceInUseException":  # another process makes it at this moment
                return
            if error.denied:
                raise self._may_not_create(error) from error
            raise

    def _may_not_create(self, error: AwsError) -> AwsError:
        hint = (
            f"Allow `dynamodb:CreateTable`, or have `{self.table}` made by somebody who may, with the string keys "
            "`pk` (hash) and `sk` (range), or name an existing one in BLUEGREEN_TABLE."
        )
        what = f"the journal's table `{self.table}` is absent, and making it is not permitted"
        return AwsError(what, code=error.code, operation=error.operation, denied=True, hint=hint)

    # --- starting a release ----------------------------------------------------------------------

    def open(
        self,
        service: str,
        facts_for: Callable[[int], Facts],
        now: float,
        *,
        request: str = "",
        admit: Callable[[ServiceRecord], Facts] = lambda record: {},
        least: int = 1,
        live: Live | None = None,
    ) -> Event:
        """Write the `started` event of the service's next release; `facts_for` takes its number.

        `admit` is asked about the service as it is at that moment: it raises to refuse, and what it returns is added to
        the facts. A `request` that was answered before gets the same release again, even if that has settled. Refused
        (under_way) while another is under way; ConfigError when the facts are too large. `least`: the lowest number
        that it may have; `live`: what serves, when that is not what was recorded.
        """
        for _ in range(_RACES):
            if first := self.requested(service, request):
                return first
            record = self.service(service) or ServiceRecord(service)
            self.refuse_second(record)
            number = max(record.next, least)
            facts = {**facts_for(number), **admit(record)}
            event = _new(release_id(service, number), 1, EventKind.STARTED, facts, now)
            try:
                return self._open(record, event, request, live)
            except _UnmetError:
                continue
        raise Conflict("others keep starting releases", where=service, hint="Try again.")

    def _open(self, record: ServiceRecord, event: Event, request: str, live: Live | None) -> Event:
        """Only as long as the service is as it was judged: bad ones change with the release that settled last."""
        since = record.freeze.since if record.freeze else None
        same = "attribute_not_exists(#freeze)" if since is None else "#freeze.#since = :since"
        release = fold([event])
        known = {":live": vars(live)} if live else {}
        service = self._service_update(
            record.service,
            "SET #next = :after, #under_way = :number, #last = :number, #bad = if_not_exists(#bad, :none)"
            + (", #live = :live" if live else ""),
            f"attribute_not_exists(#under_way) AND (attribute_not_exists(#next) OR #next = :next) AND {same}",
            {
                ":number": release.number,
                ":next": record.next,
                ":after": release.number + 1,
                ":since": since,
                ":none": {},
                **known,
            },
        )
        asked = [self._request(record.service, request, event)] if request else []
        return self._transact(event, release, service, *asked)

    def requested(self, service: str, request: str) -> Event | None:
        """The start or order that this request led to earlier; None when it did not, or is empty."""
        item = self._get(service, f"request/{request}") if request else None
        return self._event_at(item["release"], item.get("seq", 1)) if item else None

    def _request(self, service: str, request: str, event: Event) -> Item:
        key = {"pk": service, "sk": f"request/{request}"}
        item = {**key, "release": event.release, "seq": event.seq, "at": event.at}
        return {"Put": self._new_item(item)}

    def refuse_second(self, record: ServiceRecord) -> None:
        """Refused when a release is under way: there is one at a time."""
        if record.under_way:
            raise self._under_way(record.service, record.under_way)

    def _under_way(self, service: str, number: int) -> Refused:
        there = self.load(release_id(service, number))
        since = _time(there.started_at)
        what = f"{there.id} is under way ({there.phase}), started by {there.started_by} at {since}"
        back = ", or roll it back" if there.returnable else ""
        hint = f"`bluegreen status {service}` shows it; start again when it has settled{back}."
        return Refused(what, reason=Reason.UNDER_WAY, where=service, hint=hint)

    # --- events ----------------------------------------------------------------------------------

    def read(self, release: str, after: int = 0) -> list[Event]:
        """The events with a higher number than `after`, in order, as they are at this moment."""
        first, last = _event_key(after + 1), "event/~"
        values = {":pk": release, ":first": first, ":last": last}
        return list(map(_event, self._query("pk = :pk AND sk BETWEEN :first AND :last", values, hasty=True)))

    def load(self, release: str) -> Release:
        """The release that its events tell. Refused (nothing_to_do) when there are none."""
        events = self.read(release)
        if not events:
            raise _no_release(release)
        return fold(events)

    def append(self, release: str, seq: int, kind: EventKind, facts: Facts, now: float) -> Event:
        """Write the event with this number. Conflict when it is taken, ConfigError when the facts are too large.

        The event returned holds the facts as others will read them.
        """
        event, write = _new(release, seq, kind, facts, now), uuid4().hex
        try:
            self._call("put_item", hasty=True, **self._new_item(_event_item(event, write)))
        except _UnmetError as unmet:
            if not unmet.ours(write):
                raise _taken(event) from unmet
        return event

    def order(
        self, release: str, kind: EventKind, facts: Facts, now: float, allowed: Callable[[Release], Facts | None]
    ) -> Event:
        """Append a person's order as soon as nobody else writes; one whose `request` is there already is that event.

        `allowed` is asked about the release as it is at that moment: it raises to refuse, and what it returns is added
        to the facts. A release that failed is under way again when it is resumed or a rollback is ordered: Refused
        (under_way, moved_on) when there is a newer one.
        """
        service, request = release.partition("#")[0], str(facts.get("request", ""))
        for _ in range(_RACES):
            if first := self.requested(service, request):
                return first
            current = self.load(release)
            try:
                told = {**facts, **(allowed(current) or {})}
                event = self._order(current, _new(release, current.seq + 1, kind, told, now))
                self._point_at(service, event)
                return event
            except Conflict:
                continue
            except Refused:  # the other delivery of the same request may have been first, and that is why
                if first := self.requested(service, request):
                    return first
                raise
        raise Conflict("others keep writing events", where=release, hint="Try again.")

    def _point_at(self, service: str, order: Event) -> None:
        """Whoever reads all services sees of which release somebody ordered something; without it they see it later."""
        pointing = self._service_update(
            service, "SET #ordered = :ordered", "attribute_exists(pk)", {":ordered": f"{order.release}/{order.seq}"}
        )
        with suppress(AwsError, _UnmetError):
            self._call("update_item", **pointing)

    def _order(self, release: Release, event: Event) -> Event:
        if release.outcome is None:
            return self._append_order(event, self._asked(release, event))
        if release.outcome is Outcome.FAILED and event.kind in _REOPENING:
            return self._reopen(release, event)
        raise Refused(f"has settled as {release.outcome}", reason=Reason.MOVED_ON, where=release.id)

    def _asked(self, release: Release, event: Event) -> list[Item]:
        request = str(event.facts.get("request", ""))
        return [self._request(release.service, request, event)] if request else []

    def _append_order(self, event: Event, asked: list[Item]) -> Event:
        """The event, and with it that its request has led to it."""
        if not asked:
            return self.append(event.release, event.seq, event.kind, event.facts, event.at)
        try:
            return self._write_with(event, asked)
        except _UnmetError as unmet:
            raise _taken(event) from unmet

    def _reopen(self, release: Release, event: Event) -> Event:
        service = self._service_update(
            release.service,
            "SET #under_way = :number",
            "attribute_not_exists(#under_way) AND #last = :number",
            {":number": release.number},
        )
        try:
            return self._transact(event, apply(release, event), service, *self._asked(release, event))
        except _UnmetError as unmet:
            raise self._not_reopened(release, event) from unmet

    def _not_reopened(self, release: Release, event: Event) -> Conflict | Refused:
        if self._event_at(event.release, event.seq):
            return _taken(event)
        record = self.service(release.service) or ServiceRecord(release.service)
        if record.under_way:
            return self._under_way(record.service, record.under_way)
        hint = f"The newest is {release_id(record.service, record.last)}." if record.last else ""
        return Refused("there is a newer release", reason=Reason.MOVED_ON, where=release.id, hint=hint)

    def settle(self, release: Release, seq: int, facts: Facts, now: float) -> Event:
        """Write the last event, and with it the summary and the service's new state.

        An outcome of `live` makes green what is live. What was rolled back for its own sake is remembered as bad until
        it goes live after all. Saying the same again is harmless. Conflict when another event has the number;
        ConfigError when the service does not have this release under way.
        """
        event = _new(release.id, seq, EventKind.SETTLED, facts, now)
        settled = apply(release, event)
        try:
            return self._transact(event, settled, self._settled_service(settled))
        except _UnmetError as unmet:
            taken = self._event_at(release.id, seq)
            if taken and (taken.kind, taken.facts) == (event.kind, event.facts):
                return taken
            if taken:
                raise _taken(event) from unmet
        hint = f"Somebody changed the item of `{release.service}` in the table `{self.table}`."
        raise ConfigError("the journal does not have it under way", where=release.id, hint=hint)

    def _settled_service(self, settled: Release) -> Item:
        """Nobody else changes what is bad meanwhile: that takes a release under way, and there is only this one."""
        serves = _live(settled)
        live = {":live": vars(serves)} if serves else {}
        sets = ["#live = :live"] if live else []
        before = (self.service(settled.service) or ServiceRecord(settled.service)).bad
        bad = _bad_after(before, settled)
        if bad != before:
            sets.append("#bad = :bad")
        update = f"{'SET ' if sets else ''}{', '.join(sets)} REMOVE #under_way".strip()
        values = {":number": settled.number, **live, **({":bad": bad} if bad != before else {})}
        return self._service_update(settled.service, update, "#under_way = :number", values)

    def follow(self, release: str, after: int, sleep: Callable[[float], None], poll: float = 1.0) -> Iterator[Event]:
        """The events after a number as they come, until the newest one is `settled`.

        After an AwsError, follow again from the last event that came. Refused when there is no such release.
        """
        seen = self.read(release, max(after - 1, 0))  # with the last one known: it may have been `settled`
        if not seen:
            raise _no_release(release)
        while True:
            yield from (event for event in seen if event.seq > after)
            last = seen[-1]
            if last.kind is EventKind.SETTLED:
                return
            sleep(poll)
            seen = self.read(release, last.seq) or [last]
            after = max(after, last.seq)

    # --- services --------------------------------------------------------------------------------

    def service(self, service: str) -> ServiceRecord | None:
        """The record of one service, None when nothing was ever written of it."""
        try:
            item = self._get("service", service)
        except _NoTableError:
            return None
        return _record(item) if item else None

    def services(self) -> list[ServiceRecord]:
        """Every service in the table, by name."""
        try:
            return [_record(item) for item in self._query("pk = :pk", {":pk": "service"})]
        except _NoTableError:
            return []

    def history(self, service: str, limit: int) -> list[Summary]:
        """The service's releases, the newest first, at most `limit`."""
        values = {":pk": service, ":prefix": "release/"}
        found = self._query(
            "pk = :pk AND begins_with(sk, :prefix)", values, ScanIndexForward=False, Limit=max(limit, 1)
        )
        try:
            return [_summary(item) for item in islice(found, limit)]
        except _NoTableError:
            return []

    def summary(self, service: str, number: int) -> Summary | None:
        """One release in one line, None when there is no such release."""
        try:
            item = self._get(service, _summary_key(number))
        except _NoTableError:
            return None
        return _summary(item) if item else None

    def adopt(self, record: ServiceRecord, live: Live, next_number: int, who: str, now: float) -> None:
        """Write what serves and which number comes next, as long as the record is as it was and nothing is under way.

        Conflict when it is not.
        """
        update = self._service_update(
            record.service,
            "SET #live = :live, #next = :next, #adopted = :last, #adopted_by = :who, #adopted_at = :now",
            "attribute_not_exists(#under_way) AND (attribute_not_exists(#next) OR #next = :known)",
            {
                ":live": vars(live),
                ":next": next_number,
                ":last": record.last or 0,
                ":who": who,
                ":now": now,
                ":known": record.next,
            },
        )
        try:
            self._call("update_item", **update)
        except _UnmetError as unmet:
            what = "somebody else started or repaired it at this moment"
            raise Conflict(what, where=record.service, hint="Try again.") from unmet

    def freeze(self, service: str, *, who: str, why: str, until: float | None, now: float) -> None:
        """Freeze the service until then, or until that is lifted. A freeze that is there is replaced."""
        freeze = {"who": who, "why": why, "since": now, "until": until}
        self._call("update_item", **self._service_update(service, "SET #freeze = :freeze", "", {":freeze": freeze}))

    def unfreeze(self, service: str, *, who: str) -> Freeze | None:
        """Lift the freeze and note who did; returns it, None when there was none."""
        update = self._service_update(
            service, "SET #thawed_by = :who REMOVE #freeze", "attribute_exists(#freeze)", {":who": who}
        )
        try:
            old = self._call("update_item", ReturnValues="ALL_OLD", **update)
        except _UnmetError:
            return None
        return _record(_plain(old["Attributes"])).freeze

    # --- what doors remember ---------------------------------------------------------------------

    def note(self, release: str, name: str, facts: Facts, token: int) -> bool:
        """Keep what a door must remember of a release; False when somebody with a newer lease's token wrote it."""
        item = {"pk": release, "sk": f"note/{name}", "facts": _json(facts), "token": token}
        condition = _expressed({":token": token}, condition="attribute_not_exists(pk) OR #token <= :token")
        try:
            self._call("put_item", TableName=self.table, Item=_attributes(item), **condition)
        except _UnmetError:
            return False
        return True

    def noted(self, release: str, name: str) -> dict[str, Any] | None:
        """What was kept; None when nothing was."""
        item = self._get(release, f"note/{name}")
        return dict(json.loads(item["facts"])) if item else None

    def answer(self, request: str, facts: Facts, now: float) -> dict[str, Any]:
        """Keep what a request was answered, unless it was answered before; returns the first answer."""
        item = {"pk": f"answer/{request}", "sk": "answer", "facts": _json(facts), "at": now}
        try:
            self._call("put_item", **self._new_item(item))
        except _UnmetError as unmet:
            return dict(json.loads(_plain(unmet.found[0] or {})["facts"]))
        return dict(json.loads(_json(facts)))

    def answered(self, request: str) -> dict[str, Any] | None:
        """The first answer to a request; None when it is new."""
        item = self._get(f"answer/{request}", "answer")
        return dict(json.loads(item["facts"])) if item else None

    # --- the builder -----------------------------------------------------------------------------

    def claim_builder(self, builder: str, release: str, now: float) -> str:
        """Empty when the builder is the release's now, or was already; else the release that bakes on it.

        The claim of a release that has settled (or is not known) is taken over.
        """
        claim = {"pk": "builder", "sk": builder, "release": release, "since": now}
        holder = self._claim(claim, over="")
        for _ in range(_RACES):
            if holder is None or holder == release:
                return ""
            if self._bakes(holder):
                return holder
            holder = self._claim(claim, over=holder)
        raise Conflict("others keep claiming the builder", where=builder, hint="Try again.")

    def _claim(self, claim: Item, *, over: str) -> str | None:
        """Put our claim where there is none, or where `over` has it. None when done, else who has it ("": nobody)."""
        put = self._new_item(claim)
        if over:
            put |= _expressed({":other": over}, condition="#release = :other")
        try:
            self._call("put_item", **put)
        except _UnmetError as unmet:
            return str(_plain(unmet.found[0] or {}).get("release", ""))
        return None

    def _bakes(self, release: str) -> bool:
        service, _, number = release.rpartition("#")
        summary = self.summary(service, int(number)) if number.isdigit() else None
        return bool(summary and not summary.outcome)

    def free_builder(self, builder: str, release: str) -> None:
        """Give the claim up; nothing happens when it is another's."""
        condition = _expressed({":release": release}, condition="#release = :release")
        try:
            self._call("delete_item", TableName=self.table, Key=_key("builder", builder), **condition)
        except _UnmetError:
            return

    # --- the lease -------------------------------------------------------------------------------

    def take_lease(self, release: str, holder: str, now: float, seconds: float = 30.0) -> Lease | None:
        """The right to drive, for so long; None while another holder has it. Taking it twice is harmless."""
        expires = now + seconds
        expressed = _expressed(
            {
                ":me": holder,
                ":nobody": "",
                ":expires": expires,
                ":seconds": seconds,
                ":lapsed": now - SKEW,
                ":zero": 0,
                ":one": 1,
            },
            update="SET #holder = :me, #expires = :expires, #seconds = :seconds,"
            " #token = if_not_exists(#token, :zero) + :one",
            condition="attribute_not_exists(pk) OR #holder = :me OR #holder = :nobody OR #expires <= :lapsed",
        )
        try:
            new = self._update_lease(release, expressed)
        except _UnmetError:
            return None
        return Lease(release, holder, int(new["token"]), expires, seconds)

    def renew(self, lease: Lease, now: float) -> Lease:
        """The lease, from now on for as long as it was taken for. LeaseLost when another has taken it.

        A lease that ran out is renewed if nobody took it: then nobody else drove.
        """
        renewed = replace(lease, expires=now + lease.seconds)
        expressed = _expressed(
            {":me": lease.holder, ":token": lease.token, ":expires": renewed.expires},
            update="SET #expires = :expires",
            condition="#holder = :me AND #token = :token",
        )
        try:
            self._update_lease(lease.release, expressed, hasty=True)
        except _UnmetError as unmet:
            raise self._lost(lease) from unmet
        except _NoTableError as gone:
            raise _vanished(f"the journal's table `{self.table}` is gone", lease.release) from gone
        return renewed

    def _lost(self, lease: Lease) -> LeaseLost:
        """Another has it, or the journal is not what it was: its table was deleted, emptied or restored meanwhile."""
        try:
            there = self._get(lease.release, "lease")
        except _NoTableError:
            there = None
        if there is None:
            return _vanished(f"the journal `{self.table}` has no record of this release any more", lease.release)
        hint = "It drives the release on; `bluegreen status` shows it."
        return LeaseLost("another driver has taken over", where=lease.release, hint=hint)

    def drop(self, lease: Lease) -> None:
        """Let others drive at once; nothing happens when another has the lease already."""
        expressed = _expressed(
            {":token": lease.token, ":nobody": "", ":zero": 0},
            update="SET #holder = :nobody, #expires = :zero",  # the item stays, so that the token goes on growing
            condition="#token = :token",
        )
        try:
            self._update_lease(lease.release, expressed)
        except (_UnmetError, _NoTableError):
            return

    def lease(self, release: str) -> Lease | None:
        """Who may drive and until when, as last written (it may have lapsed); None when nobody has it."""
        item = self._get(release, "lease")
        if not item or not item["holder"]:
            return None
        return Lease(release, item["holder"], item["token"], float(item["expires"]), float(item["seconds"]))

    def driver(self, release: str, now: Callable[[], float]) -> str:
        """The holder who drives the release now, "" when nobody does; `now` is asked when the lease has been read."""
        lease = self.lease(release)
        return lease.holder if lease and lease.lives(now()) else ""

    def _update_lease(self, release: str, expressed: Item, *, hasty: bool = False) -> Item:
        arguments = {"TableName": self.table, "Key": _key(release, "lease"), "ReturnValues": "ALL_NEW", **expressed}
        answer = self._call("update_item", hasty=hasty, **arguments)
        return _plain(answer["Attributes"])

    # --- calls -----------------------------------------------------------------------------------

    def _transact(self, event: Event, release: Release, service: Item, *more: Item) -> Event:
        """Write the event, the release's summary and the service's item, all or none of them."""
        summary = {"Put": {"TableName": self.table, "Item": _attributes(_summary_item(release))}}
        return self._write_with(event, [summary, {"Update": service}, *more])

    def _write_with(self, event: Event, others: Sequence[Item]) -> Event:
        """Write the event and the other items, all or none; _UnmetError unless it is there by this very call."""
        write = uuid4().hex
        items = [{"Put": self._new_item(_event_item(event, write))}, *others]
        try:
            self._call("transact_write_items", TransactItems=items)
        except _UnmetError as unmet:
            if not unmet.ours(write):
                raise
        return event

    def _service_update(
        self, service: str, update: str, condition: str, values: Item, names: Mapping[str, str] | None = None
    ) -> Item:
        expressed = _expressed(values, names or {}, update=update, condition=condition)
        return {"TableName": self.table, "Key": _key("service", service), **expressed}

    def _new_item(self, item: Item) -> Item:
        """Arguments that write an item unless there is one; the one that is there comes with the error."""
        return {
            "TableName": self.table,
            "Item": _attributes(item),
            "ConditionExpression": "attribute_not_exists(pk)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }

    def _event_at(self, release: str, seq: int) -> Event | None:
        item = self._get(release, _event_key(seq))
        return _event(item) if item else None

    def _get(self, pk: str, sk: str) -> Item | None:
        answer = self._call("get_item", TableName=self.table, Key=_key(pk, sk), ConsistentRead=True)
        return _plain(answer["Item"]) if "Item" in answer else None

    def _query(self, where: str, values: Item, **more: Any) -> Iterator[Item]:  # Any: Limit and the like
        """Every item that matches, page after page, as written up to now."""
        arguments = {
            "TableName": self.table,
            "KeyConditionExpression": where,
            "ExpressionAttributeValues": _attributes(values),
            "ConsistentRead": True,
            **more,
        }
        page = self._call("query", **arguments)
        yield from map(_plain, page["Items"])
        while last := page.get("LastEvaluatedKey"):
            page = self._call("query", ExclusiveStartKey=last, **arguments)
            yield from map(_plain, page["Items"])

    def _call(self, method: str, *, hasty: bool = False, **arguments: Any) -> Item:  # Any: boto3's own arguments
        """One call to DynamoDB. Its errors become ours here: _UnmetError, _NoTableError, AwsError.

        `hasty`: so that one request that is lost costs less than half a second; the call must bear being made twice.
        """
        try:
            soon = self._sent_in_haste(method, arguments) if hasty else None
            return self._send(method, arguments) if soon is None else soon
        except ClientError as error:
            raise self._translated(error) from error
        except (BotoCoreError, ResponseParserError, Urllib3Error, OSError) as error:
            # What is no error of botocore's own kind came of an answer that was none.
            transient = not isinstance(error, BotoCoreError) or isinstance(error, (NoConnectionError, HTTPClientError))
            hint = "" if transient else "Check the AWS credentials and settings of this process."
            operation = self._client.meta.method_to_api_mapping[method]
            code = type(error).__name__
            raise AwsError(str(error), code=code, operation=operation, transient=transient, hint=hint) from error

    def _sent_in_haste(self, method: str, arguments: Item) -> Item | None:
        """None when there is no answer, or none that lasts: then it is asked again, with patience."""
        try:
            return dict(getattr(self._hasty, method)(**arguments))
        except ClientError as error:
            if "ConditionalCheckFailedException" in _codes(error):
                raise
        except (AwsError, BotoCoreError, ResponseParserError, Urllib3Error, OSError):
            pass
        return None

    def _send(self, method: str, arguments: Item) -> Item:
        for _ in range(_CLASHES):
            try:
                return dict(getattr(self._client, method)(**arguments))
            except ClientError as error:
                if _CLASHED.isdisjoint(_codes(error)):
                    raise
        return dict(getattr(self._client, method)(**arguments))

    def _translated(self, error: ClientError) -> Exception:
        reasons = _reasons(error)
        if any(reason["Code"] == "ConditionalCheckFailed" for reason in reasons):
            return _UnmetError(reasons)
        cause: Item = next((reason for reason in reasons if reason["Code"] != "None"), _said(error))
        if cause["Code"] == "ResourceNotFoundException":
            hint = (
                "Look at the name (BLUEGREEN_TABLE) and the region; the first release makes the table. If it was there "
                "before, what serves goes on serving, and `bluegreen adopt` puts the record right."
            )
            region = self._client.meta.region_name
            return _NoTableError(f"there is no journal table `{self.table}` in {region}", hint=hint)
        return self._aws_error(cause["Code"], cause.get("Message", ""), error)

    def _aws_error(self, code: str, message: str, error: ClientError) -> AwsError:
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        denied = code.startswith("AccessDenied")
        hint = f"Allow it on the table `{self.table}`; examples/policy.json has what is needed." if denied else ""
        return AwsError(
            f"{message or 'DynamoDB said no more'} ({code})",
            code=code,
            operation=error.operation_name,
            transient=code in _THROTTLED | _CLASHED or status >= 500,
            denied=denied,
            hint=hint,
        )


def _no_page(http_response: Any, model: Any, **_: object) -> None:
    """Botocore takes any page of HTML for an empty answer, as if a write had been done."""
    if http_response.headers.get("content-type", "").startswith("text/html"):
        what = f"a page of HTML with status {http_response.status_code} came in place of DynamoDB's answer"
        raise AwsError(what, code="NoAnswer", operation=model.name, transient=True)


class _NoTableError(ConfigError):
    """The table is absent."""


class _UnmetError(Exception):
    """A condition did not hold, and nothing was written.

    `found` has a place for each item of the call: None where its condition held, else the item that is
    there ({} when there is none, or when it was not asked for).
    """

    def __init__(self, reasons: Sequence[Item]) -> None:
        super().__init__("a condition did not hold")
        unmet = (reason["Code"] == "ConditionalCheckFailed" for reason in reasons)
        self.found: list[Item | None] = [
            reason.get("Item", {}) if bad else None for reason, bad in zip(reasons, unmet, strict=True)
        ]

    def ours(self, write: str) -> bool:
        """Whether the event that is in the way is the very one that we were writing."""
        return _plain(self.found[0] or {}).get("write") == write


# --- what DynamoDB says ------------------------------------------------------------------------------


def _said(error: ClientError) -> Item:
    """Code and message, which a response may lack."""
    return {"Code": "Unknown", "Message": "", **error.response.get("Error", {})}


def _reasons(error: ClientError) -> list[Item]:
    """Why a write was not done, item by item: one for a plain write, several for a transaction."""
    if _said(error)["Code"] == "ConditionalCheckFailedException":
        return [{"Code": "ConditionalCheckFailed", "Item": error.response.get("Item", {})}]
    return [{"Code": "None", **reason} for reason in error.response.get("CancellationReasons", [])]


def _codes(error: ClientError) -> set[str]:
    return {_said(error)["Code"], *(reason["Code"] for reason in _reasons(error))}


# --- values and expressions --------------------------------------------------------------------------


def _attribute(value: Any) -> Item:  # Any: what an item may hold
    if isinstance(value, str):
        return {"S": str(value)}
    if isinstance(value, (int, float)):
        return {"N": repr(value)}
    return {"M": _attributes(value)}


def _attributes(values: Mapping[str, Any]) -> Item:
    """As DynamoDB spells it. What is None is left out."""
    return {name: _attribute(value) for name, value in values.items() if value is not None}


def _plain(item: Item) -> Item:
    """The reverse of `_attributes`; a whole number comes back as int, whatever it was."""
    return {name: _value(attribute) for name, attribute in item.items()}


def _value(attribute: Item) -> Any:  # Any: what an item may hold
    [(tag, raw)] = attribute.items()
    if tag == "N":
        return int(raw) if re.fullmatch(r"-?\d+", raw) else float(raw)
    return _plain(raw) if tag == "M" else raw


def _key(pk: str, sk: str) -> Item:
    return _attributes({"pk": pk, "sk": sk})


def _expressed(values: Item, names: Mapping[str, str] | None = None, *, update: str = "", condition: str = "") -> Item:
    """Arguments for expressions in which every attribute is written `#name`, as many names are reserved words."""
    written = set(re.findall(r"#\w+", f"{update} {condition}"))
    expressions = {"UpdateExpression": update, "ConditionExpression": condition}
    return {
        **{name: text for name, text in expressions.items() if text},
        "ExpressionAttributeNames": {**{name: name[1:] for name in written}, **(names or {})},
        "ExpressionAttributeValues": _attributes(values),
    }


# --- events ------------------------------------------------------------------------------------------


def _new(release: str, seq: int, kind: EventKind, facts: Facts, now: float) -> Event:
    """An event with its facts as they will be read back. ConfigError when they are too large."""
    text = _json(facts)
    if len(text) > LARGEST:
        what = f"the facts of `{kind}` take {len(text):,} bytes, and the journal takes {LARGEST:,}"
        raise ConfigError(what, where=release, hint="Shorten the texts in the configuration.")
    return Event(release, seq, now, kind, json.loads(text))


def _json(facts: Facts) -> str:
    """ASCII only, so that its length is its size and no half character of a command's output can spoil it."""
    return json.dumps(facts, separators=(",", ":"), default=dict)


def _event_key(seq: int) -> str:
    return f"event/{seq:06}"


def _event_item(event: Event, write: str) -> Item:
    return {
        "pk": event.release,
        "sk": _event_key(event.seq),
        "seq": event.seq,
        "at": event.at,
        "kind": event.kind,
        "facts": _json(event.facts),
        "write": write,
    }


def _event(item: Item) -> Event:
    try:
        kind = EventKind(item["kind"])
    except ValueError as error:
        hint = "A newer bluegreen wrote it: bring this one up to date."
        raise ConfigError(f"cannot read an event `{item['kind']}`", where=item["pk"], hint=hint) from error
    return Event(item["pk"], item["seq"], float(item["at"]), kind, json.loads(item["facts"]))


# --- summaries and records ---------------------------------------------------------------------------


def _summary_key(number: int) -> str:
    return f"release/{number:06}"


def _summary_item(release: Release) -> Item:
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
    return {"pk": summary.service, "sk": _summary_key(summary.number), **vars(summary)}


def _summary(item: Item) -> Summary:
    known = {f.name: item[f.name] for f in fields(Summary) if f.name in item}
    for name, kind in (("started", float), ("settled", float), ("outcome", Outcome), ("reason", Reason)):
        if name in known:
            known[name] = kind(known[name])
    return Summary(**known)


def _bad_after(bad: Mapping[str, int], settled: Release) -> Mapping[str, int]:
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


def _live(release: Release) -> Live | None:
    """What serves now, where that is another than before: green, or a group that was taken along and returned to."""
    if release.outcome is not Outcome.LIVE:
        taken = release.takes if release.outcome is Outcome.ROLLED_BACK else {}
        if not taken:
            return None
        return Live(release.blue_group, release.blue_image, None, taken["commit"], taken["number"])
    return Live(release.green_group, release.image, release.template_version, release.commit, release.number)


def _record(item: Item) -> ServiceRecord:
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
    )


def _freeze(item: Item) -> Freeze:
    until = float(item["until"]) if "until" in item else None
    return Freeze(item["who"], item["why"], float(item["since"]), until)


# --- sentences ---------------------------------------------------------------------------------------


def _time(at: float) -> str:
    return moment(at, "%Y-%m-%d %H:%M UTC")


def _taken(event: Event) -> Conflict:
    return Conflict(f"event {event.seq} is taken", where=event.release)


def _vanished(what: str, release: str) -> LeaseLost:
    """A driver's lease that is nowhere: nobody has taken over."""
    service, _, number = release.rpartition("#")
    repair = f" `bluegreen adopt {service}` puts the record right, by what AWS shows." if number.isdigit() else ""
    hint = f"It was deleted, emptied or restored; what serves goes on serving.{repair}"
    return LeaseLost(what, where=release, hint=hint)


def _no_release(release: str) -> Refused:
    hint = f"`bluegreen history {release.partition('#')[0]}` lists those there are."
    return Refused("there is no such release", reason=Reason.NOTHING_TO_DO, where=release, hint=hint)
