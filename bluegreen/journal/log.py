"""What is read and written of releases and services, in which order, and on which condition."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from bluegreen.errors import AwsError, ConfigError, Conflict, LeaseLost, Refused
from bluegreen.events import Event, EventKind, Facts, Outcome, Reason
from bluegreen.journal.dynamodb import DynamoTable, Item, NoTableError, UnmetError, attributes, expressed, key, plain
from bluegreen.journal.records import (
    SKEW,
    Freeze,
    KeptGreen,
    Lease,
    Live,
    ServiceRecord,
    Summary,
    as_json,
    bad_after,
    event_item,
    event_key,
    event_of,
    expiring,
    kept_item,
    live_after,
    new_event,
    record_of,
    summary_item,
    summary_key,
    summary_of,
)
from bluegreen.release import Release, apply, fold, moment, release_id

if TYPE_CHECKING:
    import boto3

#: How often a lost race is run again. Losing means that somebody else got further, so no pause is needed.
_RACES = 30
_REOPENING = frozenset({EventKind.ROLLBACK_ORDERED, EventKind.RESUMED})


class Journal:
    """The journal in one table of the session's account and region.

    Every method may raise AwsError. When the table is absent, `service`, `services`, `history` and `summary`
    take it for an empty journal; the others raise ConfigError. It calls `heard` with the time of each
    answer (epoch, in full seconds).
    """

    def __init__(
        self, session: boto3.Session, table: str, *, heard: Callable[[float], None] = lambda date: None
    ) -> None:
        self.table = table
        self._db = DynamoTable(session, table, heard=heard)

    def ensure_table(self, sleep: Callable[[float], None]) -> None:
        """Make the table when it is absent, and wait until it can be used.

        AwsError (`denied`) when we may not make it; ConfigError when it takes too long or has other keys.
        """
        self._db.ensure(sleep)

    def is_ready(self) -> bool:
        """Whether the table can be used; ConfigError when it has other keys."""
        return self._db.is_ready()

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
            event = new_event(release_id(service, number), 1, EventKind.STARTED, facts, now)
            try:
                return self._open(record, event, request, live)
            except UnmetError:
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
        try:
            item = self._db.get(service, f"request/{request}") if request else None
        except NoTableError:
            return None
        return self._event_at(item["release"], item.get("seq", 1)) if item else None

    def _request(self, service: str, request: str, event: Event) -> Item:
        key = {"pk": service, "sk": f"request/{request}"}
        item = {**key, "release": event.release, "seq": event.seq, "at": event.at}
        return {"Put": self._db.new_item(expiring(item, event.at))}

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
        first, last = event_key(after + 1), "event/~"
        values = {":pk": release, ":first": first, ":last": last}
        return list(map(event_of, self._db.query("pk = :pk AND sk BETWEEN :first AND :last", values, hasty=True)))

    def load(self, release: str) -> Release:
        """The release that its events describe. Refused (nothing_to_do) without events."""
        events = self.read(release)
        if not events:
            raise _no_release(release)
        return fold(events)

    def append(self, release: str, seq: int, kind: EventKind, facts: Facts, now: float) -> Event:
        """Write the event with this number. Conflict when it is taken, ConfigError when the facts are too large.

        The event returned holds the facts as others will read them.
        """
        event, write = new_event(release, seq, kind, facts, now), uuid4().hex
        try:
            self._db.call("put_item", hasty=True, **self._db.new_item(event_item(event, write)))
        except UnmetError as unmet:
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
                event = self._order(current, new_event(release, current.seq + 1, kind, told, now))
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
        with suppress(AwsError, UnmetError):
            self._db.call("update_item", **pointing)

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
        except UnmetError as unmet:
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
        except UnmetError as unmet:
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

        An outcome of `live` makes green the live group. The service remembers a commit as bad that was rolled back for
        its own faults, until it goes live after all. A repeated call is harmless. Conflict when another event has the
        number; ConfigError when the service does not have this release under way.
        """
        event = new_event(release.id, seq, EventKind.SETTLED, facts, now)
        settled = apply(release, event)
        try:
            return self._transact(event, settled, self._settled_service(settled))
        except UnmetError as unmet:
            taken = self._event_at(release.id, seq)
            if taken and (taken.kind, taken.facts) == (event.kind, event.facts):
                return taken
            if taken:
                raise _taken(event) from unmet
        hint = f"Someone changed the item of `{release.service}` in the table `{self.table}`."
        raise ConfigError("according to the journal it is not under way", where=release.id, hint=hint)

    def _settled_service(self, settled: Release) -> Item:
        """Nobody else changes what is bad meanwhile: that takes a release under way, and there is only this one."""
        serves = live_after(settled)
        live = {":live": vars(serves)} if serves else {}
        sets = ["#live = :live"] if live else []
        record = self.service(settled.service) or ServiceRecord(settled.service)
        bad = bad_after(record.bad, settled)
        more = {":bad": bad} if bad != record.bad else {}
        if settled.kept_until is not None:
            kept = KeptGreen(settled.number, settled.green_group, settled.kept_until)
            more[":kept"] = kept_item([*record.kept, kept])
        sets += [f"#{name[1:]} = {name}" for name in more]
        update = f"{'SET ' if sets else ''}{', '.join(sets)} REMOVE #under_way".strip()
        values = {":number": settled.number, **live, **more}
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
            item = self._db.get("service", service)
        except NoTableError:
            return None
        return record_of(item) if item else None

    def services(self) -> list[ServiceRecord]:
        """Every service in the table, by name."""
        try:
            return [record_of(item) for item in self._db.query("pk = :pk", {":pk": "service"})]
        except NoTableError:
            return []

    def history(self, service: str, limit: int) -> list[Summary]:
        """The service's releases, the newest first, at most `limit`."""
        values = {":pk": service, ":prefix": "release/"}
        found = self._db.query(
            "pk = :pk AND begins_with(sk, :prefix)", values, ScanIndexForward=False, Limit=max(limit, 1)
        )
        try:
            return [summary_of(item) for item in islice(found, limit)]
        except NoTableError:
            return []

    def summary(self, service: str, number: int) -> Summary | None:
        """One release in one line, None when there is no such release."""
        try:
            item = self._db.get(service, summary_key(number))
        except NoTableError:
            return None
        return summary_of(item) if item else None

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
            self._db.call("update_item", **update)
        except UnmetError as unmet:
            what = "someone else started or repaired it at this moment"
            raise Conflict(what, where=record.service, hint="Try again.") from unmet

    def forget_kept(self, service: str, kept: KeptGreen) -> None:
        """The green that this release left is gone; nothing happens when that is known."""
        update = self._service_update(
            service,
            "REMOVE #kept.#of",
            "#kept.#of.#until = :until",
            {":until": kept.until},
            {"#of": str(kept.number)},
        )
        with suppress(UnmetError):
            self._db.call("update_item", **update)

    def freeze(self, service: str, *, who: str, why: str, until: float | None, now: float) -> None:
        """Freeze the service until then, or until that is lifted. A freeze that is there is replaced."""
        freeze = {"who": who, "why": why, "since": now, "until": until}
        self._db.call("update_item", **self._service_update(service, "SET #freeze = :freeze", "", {":freeze": freeze}))

    def unfreeze(self, service: str, *, who: str) -> Freeze | None:
        """Lift the freeze and note who did; returns it, or None without a freeze."""
        update = self._service_update(
            service, "SET #thawed_by = :who REMOVE #freeze", "attribute_exists(#freeze)", {":who": who}
        )
        try:
            old = self._db.call("update_item", ReturnValues="ALL_OLD", **update)
        except UnmetError:
            return None
        return record_of(plain(old["Attributes"])).freeze

    # --- what entry points remember --------------------------------------------------------------

    def note(self, release: str, name: str, facts: Facts, token: int) -> bool:
        """Keep a note of an entry point about a release; False when someone with a newer lease's token wrote it."""
        item = {"pk": release, "sk": f"note/{name}", "facts": as_json(facts), "token": token}
        condition = expressed({":token": token}, condition="attribute_not_exists(pk) OR #token <= :token")
        try:
            self._db.call("put_item", TableName=self.table, Item=attributes(item), **condition)
        except UnmetError:
            return False
        return True

    def noted(self, release: str, name: str) -> dict[str, Any] | None:
        """The note; None without one."""
        item = self._db.get(release, f"note/{name}")
        return dict(json.loads(item["facts"])) if item else None

    def answer(self, request: str, facts: Facts, now: float) -> dict[str, Any]:
        """Record the answer to a request, unless it has one; returns the first answer."""
        item = {"pk": f"answer/{request}", "sk": "answer", "facts": as_json(facts), "at": now}
        try:
            self._db.call("put_item", **self._db.new_item(expiring(item, now)))
        except UnmetError as unmet:
            return dict(json.loads(plain(unmet.found[0] or {})["facts"]))
        return dict(json.loads(as_json(facts)))

    def answered(self, request: str) -> dict[str, Any] | None:
        """The first answer to a request; None when it is new."""
        item = self._db.get(f"answer/{request}", "answer")
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
        put = self._db.new_item(claim)
        if over:
            put |= expressed({":other": over}, condition="#release = :other")
        try:
            self._db.call("put_item", **put)
        except UnmetError as unmet:
            return str(plain(unmet.found[0] or {}).get("release", ""))
        return None

    def _bakes(self, release: str) -> bool:
        service, _, number = release.rpartition("#")
        summary = self.summary(service, int(number)) if number.isdigit() else None
        return bool(summary and not summary.outcome)

    def free_builder(self, builder: str, release: str) -> None:
        """Give the claim up; nothing happens when it is another's."""
        condition = expressed({":release": release}, condition="#release = :release")
        try:
            self._db.call("delete_item", TableName=self.table, Key=key("builder", builder), **condition)
        except UnmetError:
            return

    # --- the lease -------------------------------------------------------------------------------

    def take_lease(self, release: str, holder: str, now: float, seconds: float = 30.0) -> Lease | None:
        """The right to drive, for so long; None while another holder has it. Taking it twice is harmless."""
        expires = now + seconds
        written = expressed(
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
            new = self._update_lease(release, written)
        except UnmetError:
            return None
        return Lease(release, holder, int(new["token"]), expires, seconds)

    def renew(self, lease: Lease, now: float) -> Lease:
        """The lease, from now on for as long as it was taken for. LeaseLost when another has taken it.

        A lease that ran out is renewed if nobody took it: then nobody else drove.
        """
        renewed = replace(lease, expires=now + lease.seconds)
        written = expressed(
            {":me": lease.holder, ":token": lease.token, ":expires": renewed.expires},
            update="SET #expires = :expires",
            condition="#holder = :me AND #token = :token",
        )
        try:
            self._update_lease(lease.release, written, hasty=True)
        except UnmetError as unmet:
            raise self._lost(lease) from unmet
        except NoTableError as gone:
            raise _vanished(f"the journal's table `{self.table}` is gone", lease.release) from gone
        return renewed

    def _lost(self, lease: Lease) -> LeaseLost:
        """Another has it, or the journal is not what it was: its table was deleted, emptied or restored meanwhile."""
        try:
            there = self._db.get(lease.release, "lease")
        except NoTableError:
            there = None
        if there is None:
            return _vanished(f"the journal `{self.table}` has no record of this release any more", lease.release)
        hint = "It continues the release; `bluegreen status` shows it."
        return LeaseLost("another driver has taken over", where=lease.release, hint=hint)

    def drop(self, lease: Lease) -> None:
        """Let others drive at once; nothing happens when another has the lease already."""
        written = expressed(
            {":token": lease.token, ":nobody": "", ":zero": 0},
            update="SET #holder = :nobody, #expires = :zero",  # the item stays, so that the token goes on growing
            condition="#token = :token",
        )
        try:
            self._update_lease(lease.release, written)
        except (UnmetError, NoTableError):
            return

    def lease(self, release: str) -> Lease | None:
        """Who may drive and until when, as last written (it may have lapsed); None when nobody has it."""
        item = self._db.get(release, "lease")
        if not item or not item["holder"]:
            return None
        return Lease(release, item["holder"], item["token"], float(item["expires"]), float(item["seconds"]))

    def driver(self, release: str, now: Callable[[], float]) -> str:
        """The holder who drives the release now, "" when nobody does; `now` is asked when the lease has been read."""
        lease = self.lease(release)
        return lease.holder if lease and lease.lives(now()) else ""

    def _update_lease(self, release: str, written: Item, *, hasty: bool = False) -> Item:
        arguments = {"TableName": self.table, "Key": key(release, "lease"), "ReturnValues": "ALL_NEW", **written}
        answer = self._db.call("update_item", hasty=hasty, **arguments)
        return plain(answer["Attributes"])

    # --- calls -----------------------------------------------------------------------------------

    def _transact(self, event: Event, release: Release, service: Item, *more: Item) -> Event:
        """Write the event, the release's summary and the service's item, all or none of them."""
        summary = {"Put": {"TableName": self.table, "Item": attributes(summary_item(release))}}
        return self._write_with(event, [summary, {"Update": service}, *more])

    def _write_with(self, event: Event, others: Sequence[Item]) -> Event:
        """Write the event and the other items, all or none; UnmetError unless it is there by this very call."""
        write = uuid4().hex
        items = [{"Put": self._db.new_item(event_item(event, write))}, *others]
        try:
            self._db.call("transact_write_items", TransactItems=items)
        except UnmetError as unmet:
            if not unmet.ours(write):
                raise
        return event

    def _service_update(
        self, service: str, update: str, condition: str, values: Item, names: Mapping[str, str] | None = None
    ) -> Item:
        written = expressed(values, names or {}, update=update, condition=condition)
        return {"TableName": self.table, "Key": key("service", service), **written}

    def _event_at(self, release: str, seq: int) -> Event | None:
        item = self._db.get(release, event_key(seq))
        return event_of(item) if item else None


# --- sentences ---------------------------------------------------------------------------------------


def _time(at: float) -> str:
    return moment(at, "%Y-%m-%d %H:%M UTC")


def _taken(event: Event) -> Conflict:
    return Conflict(f"event {event.seq} is taken", where=event.release)


def _vanished(what: str, release: str) -> LeaseLost:
    """A driver's lease that is nowhere: nobody has taken over."""
    service, _, number = release.rpartition("#")
    repair = f" `bluegreen adopt {service}` repairs the journal from what AWS shows." if number.isdigit() else ""
    hint = f"Someone deleted, emptied or restored it; the service goes on serving.{repair}"
    return LeaseLost(what, where=release, hint=hint)


def _no_release(release: str) -> Refused:
    hint = f"`bluegreen history {release.partition('#')[0]}` lists the existing ones."
    return Refused("there is no such release", reason=Reason.NOTHING_TO_DO, where=release, hint=hint)
