"""The story of a release, and everything that may be ordered of it. `Engine` is what every way in calls."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any

from bluegreen.errors import (
    AwsError,
    BlueGreenError,
    ConfigError,
    Conflict,
    Interrupted,
    LeaseLost,
    Refused,
)
from bluegreen.events import (
    Event,
    EventKind,
    Facts,
    HoldOrdered,
    Outcome,
    Phase,
    Promoted,
    Reason,
    Resumed,
    RollbackOrdered,
    Settled,
    Started,
    Until,
    kind_of,
)
from bluegreen.freezing import Frozen, bounded, moment_in, upcoming, windows
from bluegreen.orders import (
    BY_HAND,
    IN_SPITE,
    LONGEST_REASON,
    Caller,
    also_found,
    as_one,
    freezes_in_force,
    has_failed,
    in_spite_of,
    known_to_be_bad,
    lacks_room,
    left_behind,
    let_pass_by,
    may_be_held,
    may_be_promoted,
    may_be_rolled_back,
    must_look_the_same,
    not_whole,
    not_whole_either,
    override_hint,
    override_reason,
    put_right,
    refuse_what_is_in_the_way,
    refused_by_freeze,
    standing_of,
)
from bluegreen.permission import Order, authorize, judge_approval
from bluegreen.release import Release, apply, fold, holder_of, names, release_id
from bluegreen.wording import (
    number_of_group,
    one_line,
    person,
    way_back,
)

if TYPE_CHECKING:
    from bluegreen.adoption import Adoption, Orphan, Standing
    from bluegreen.aws import Beside, Cloud, Fetch
    from bluegreen.aws.calls import Calls
    from bluegreen.config import Config
    from bluegreen.costs import Extra
    from bluegreen.doctor import Diagnosis, Topic
    from bluegreen.driver import Clock, Hearing, TableClock, Tell
    from bluegreen.dry_run import Step
    from bluegreen.github import Run
    from bluegreen.journal import Journal, KeptGreen, Lease, Live, ServiceRecord, Summary
    from bluegreen.observation import (
        AccountFacts,
        Baseline,
        Candidates,
        Finding,
        Footprint,
        GroupDetails,
        Observation,
    )

#: Asked of a service whether a commit or an image may start: facts to record, or Refused.
Admit = Callable[["ServiceRecord", str, str], Facts]

#: Writes the packed source of the commit; see `checkout.pack`.
Pack = Callable[[IO[bytes]], None]

#: A boto3 Session; its type stays behind the door to AWS.
Session = Any


#: So many images of a list are looked for, the newest: what one call takes (EC2 API, values of a filter).
LISTED = 200

#: A freeze that begins within so many seconds is worth a warning.
SOON = 86_400.0

#: How often somebody who watches a release that another drives looks whether that driver still lives.
TAKE_OVER = 5.0


@dataclass(frozen=True)
class _Start:
    """A release that is asked for, before anything is known of what it starts from."""

    config: Config
    first: Started
    order: Order  # a new release, or an earlier image
    admit: Admit
    table: bool  # the journal's table is there
    ami: str = ""  # id of the image; "" for the one of its commit
    request: str = ""  # a repeated call with it gets the first release
    cure: bool = False  # it goes on over a blue that is not whole
    stop: Callable[[], bool] = lambda: False  # asked before it is recorded
    pack: Pack | None = None  # where the caller has the commit checked out


@dataclass(frozen=True)
class Plan:
    """What a release would do now, and what a rollback would do in each phase; nothing was changed."""

    release: Release  # as it would be recorded; its number is the next one
    baseline: Baseline
    steps: tuple[Step, ...]
    rollback: tuple[tuple[Phase, tuple[Step, ...]], ...]
    extra: Extra  # what it costs beside what serves


@dataclass(frozen=True)
class ServiceStatus:
    """One service as the journal knows it. `driver` names who drives now, "" when nobody does."""

    service: str
    record: ServiceRecord
    release: Release | None  # under way, or else the last one
    driver: str
    unreadable: str = ""  # why its release cannot be read; "" when it can

    def freezes(self, now: float) -> tuple[Frozen, ...]:
        """Every freeze in force then, by order and by the windows of that release's configuration."""
        return freezes_in_force(self.record, self.release.config if self.release else {}, now)


@dataclass(frozen=True)
class Previous:
    """What a release of the previous image would bring back. `number` is None when no release made that image."""

    release: Release  # that is to be replaced
    image: str
    number: int | None
    commit: str


@dataclass(frozen=True)
class Kept:
    """Whether images are still there: id -> that it can be launched; `untold` is why bluegreen could not read AWS."""

    there: Mapping[str, bool]
    untold: str = ""

    def gone(self, image: str) -> bool:
        """Whether AWS answered, and has no such image."""
        return self.there.get(image) is False


@dataclass(frozen=True)
class Removal:
    """What became of a group that a release left. `said` is a clause; `done`: it is gone, or being deleted."""

    service: str
    group: str
    said: str
    done: bool = True


class Engine:
    """The releases of one AWS account and region, as recorded in one journal table.

    `table` defaults to $BLUEGREEN_TABLE, then `bluegreen`; `holder` names its drivers in the lease, which lasts `lease`
    seconds. Its driver renews it when two thirds are left; others wait half as long again. A call to AWS must end
    within those two thirds, and clocks differ by up to 2 s. So use less than 30 only near AWS, and never less than 6.
    All drivers of one table should have the same. While a driver waits, it reads orders every `listen` seconds.

    `clock` is the table's time, from the given clock or the machine's. `fetch` asks the URLs of HTTP checks
    (`aws.Fetch`), and `beside` makes the calls of an observation while its driver listens (`aws.Beside`).
    Methods raise ConfigError, Refused (with a `reason`) and AwsError; see `errors`.
    """

    def __init__(
        self,
        *,
        table: str | None = None,
        region: str | None = None,
        session: Session | None = None,
        clock: Clock | None = None,
        holder: str = "",
        lease: float = 30.0,
        listen: float = 0.5,
        fetch: Fetch | None = None,
        beside: Beside | None = None,
    ) -> None:
        self.table = table or os.environ.get("BLUEGREEN_TABLE") or "bluegreen"
        self.clock = _table_clock(clock)
        self.holder = holder or _holder()
        self.lease, self._listen = lease, listen
        self._fetch, self._beside = fetch, beside
        self._region = region or region_in(os.environ)
        self._given_session = session
        self._made_journal: Journal | None = None

    # --- releasing -------------------------------------------------------------------------------

    def plan(self, config: Config, *, commit: str = "", ami: str = "") -> Plan:
        """Everything that a release would do, in order. Changes nothing, not even the journal."""
        from bluegreen.costs import extra
        from bluegreen.dry_run import steps_of_release, steps_of_rollback

        record = self._record(config.id)
        standing, baseline = self._found(config, record, commit, ami)
        first = _asked(config, commit)
        first = replace(first, source_key=self._source_key(first, baseline))
        begun = self._started(first, baseline, record, standing)
        facts = begun(standing.number)
        release = _unrecorded(release_id(config.id, standing.number), facts, self.clock.now())
        phases = [phase for phase in Phase if phase.can_roll_back]
        undone = [(phase, steps_of_rollback(release, baseline, config, phase)) for phase in phases]
        shown = tuple((phase, steps) for phase, steps in undone if steps)
        prices, unpriced = self._cloud(config).prices(baseline.types)
        return Plan(
            release,
            baseline,
            steps_of_release(release, baseline, config),
            shown,
            extra(release, config, baseline.types, prices, unpriced),
        )

    def plan_next(self, service: str, *, who: str | Caller) -> Plan:
        """The same of the service's next release, by the configuration of its last; the commit is not known.

        Refused when the caller may not see the service, or no release of it is known.
        """
        by, last = _caller(who), self._last(self._record(service))
        if last is None:
            raise self._nothing_known(service, "no service has releases")
        authorize(Order.LOOK, by.who, last.config, service, by.member)
        return self.plan(_placed(last))

    def start(
        self,
        config: Config,
        *,
        commit: str = "",
        ami: str = "",
        who: str | Caller,
        order: Order = Order.RELEASE,
        hold: bool = False,
        request: str = "",
        source: Mapping[str, str] | None = None,
        override: str = "",
        cure: bool = False,
        stop: Callable[[], bool] = lambda: False,
        pack: Pack | None = None,
    ) -> Release:
        """Record a new release; it changes nothing in AWS until someone drives it.

        This configuration decides about `who`, for an earlier image as RELEASE_AGAIN. `request` makes a repeated call
        return the first release. `source` says where it comes from, for display: repository, server, run_id, run_url,
        ref, event, actor, title, author, pull, workflow. Its `author_login`, GitHub logins separated by blanks, decides
        who may not promote. `pack` writes the packed commit where the configuration says that the builder gets it from
        S3 (`checkout.pack`); ConfigError without one.

        Refused when the caller lacks permission, another release is under way, blue is unhealthy, a finding is in the
        way, the service is frozen or this commit was rolled back. `override` is the reason to start despite the last
        two; an earlier image that was live is exempt. With `cure` it goes on over an unhealthy blue, without a rollback
        to it; an order for an earlier image includes that. Interrupted when `stop` says so before the recording.
        """
        by, override, again = _caller(who), override_reason(override), order is Order.RELEASE_AGAIN
        table = self._journal.is_ready()
        if first := self._journal.requested(config.id, request):
            return self._journal.load(first.release)
        authorize(order, by.who, config.to_dict(), config.id, by.member)
        made = self._made_in(config.id, ami) if again else None
        author = {"author_login": self._author_login(made)} if again else {}
        asked = replace(
            _asked(config, commit or (made.commit if made else ""), hold=hold),
            who=by.who,
            source={**(source or {}), **author},
            again=made.number if made else None,
        )
        admit = self._admission(config, by, order, override, hold=hold)
        first = self._begun(_Start(config, asked, order, admit, table, ami, request, cure or again, stop, pack))
        return self._journal.load(first.release)

    def drive(
        self,
        release: str,
        *,
        until: Until = Until.LIVE,
        tell: Tell,
        stop: Callable[[], bool] = lambda: False,
        clock: Clock | None = None,
        hearing: Hearing | None = None,
        known: Release | None = None,
    ) -> Release:
        """Drive a release to its end or as far as `until`; see `Driver.drive` for what it raises.

        A `clock` of the caller's own may end a wait early, so that an order which the caller knows of is seen at once.
        `hearing`: of a caller who learns of orders in another way, so that the journal is read rarely.
        `known`: the caller's copy of the release; the driver reads and shows only later events.
        """
        from bluegreen.driver import Driver, Reading

        loaded = known or self._journal.load(release)
        config = _placed(loaded)
        self._refuse_elsewhere(loaded, config)
        driver = Driver(
            loaded,
            journal=self._journal,
            cloud=self._cloud(config),
            config=config,
            clock=clock or self.clock,
            ahead=lambda: self.clock.ahead,
            holder=self.holder,
            lease=self.lease,
            hearing=hearing or Reading(self._listen),
            tell=tell,
            stop=stop,
        )
        return driver.drive(until)

    def attend(
        self,
        release: str,
        *,
        until: Until = Until.LIVE,
        tell: Tell,
        stop: Callable[[], bool] = lambda: False,
        known: Release | None = None,
    ) -> Release:
        """Show a release to its end: drive it if it has no driver, otherwise follow it. `known`: as for `drive`."""
        while True:
            known = self._follow_driver(known or self._journal.load(release), tell, stop)
            if known.outcome:
                return known
            try:
                return self.drive(release, until=until, tell=tell, stop=stop, known=known)
            except LeaseLost:
                known = None  # another driver took over: follow it
            except Refused as refusal:
                if refusal.reason != Reason.UNDER_WAY:
                    raise
                known = None

    def watch(self, release: str, *, tell: Tell, stop: Callable[[], bool] = lambda: False) -> Release:
        """Tell all that has happened to a release, and what happens until it has settled.

        It reads the journal, and drives nothing: some driver must. Interrupted when `stop` says so.
        """
        known: Release | None = None

        def pause(seconds: float) -> None:
            if stop():
                raise Interrupted("stopped watching", where=release, hint="Its driver goes on.")
            self.clock.sleep(seconds)

        for event in self._journal.follow(release, 0, pause):
            known = apply(known, event) if known else fold([event])
            tell(known, event, None, None)
        assert known is not None, "follow refuses a release without events"
        return known

    def follow(self, release: str, *, after: int = 0) -> Iterator[Event]:
        """The events of a release as they come, until it has settled."""
        return self._journal.follow(release, after, self.clock.sleep)

    # --- orders ----------------------------------------------------------------------------------

    def promote(self, service: str, *, who: str | Caller, override: str = "") -> Event:
        """Order the release under way to go on. Refused when a promotion has no effect now.

        Also refused while the service is frozen, unless the release returns to an earlier live version, or `override`
        gives a reason and the caller may override.
        """
        by, override = _caller(who), override_reason(override)

        def allowed(current: Release) -> Facts:
            must_look_the_same(current, by)
            may_be_promoted(current)
            judge_approval(current, by.who)
            freezes = () if current.goes_back else self._freezes(self._record(service), current.config)
            return in_spite_of(
                refused_by_freeze(freezes, by, current.config, current.id), override, by, current.config, current.id
            )

        return self._order(service, Promoted(by.who, by.request), Order.PROMOTE, by, allowed)

    def hold(self, service: str, *, who: str | Caller) -> Event:
        """Order the release under way to wait for a promotion. Refused once it waits, or green serves alone."""
        by = _caller(who)

        def allowed(current: Release) -> None:
            must_look_the_same(current, by)
            may_be_held(current)

        return self._order(service, HoldOrdered(by.who, by.request), Order.HOLD, by, allowed)

    def roll_back(self, service: str, *, who: str | Caller, why: str = "") -> Event:
        """Order the return to blue. Refused once blue is being emptied; the hint says what to do instead."""
        by, allowed = _caller(who), partial(may_be_rolled_back, way_back=self._way_back)
        ordered = RollbackOrdered(by.who, why, by.request)
        return self._order(service, ordered, Order.ROLL_BACK, by, allowed, failed=True)

    def previous(self, service: str, *, who: str | Caller) -> Previous:
        """The version before the release that is live or retires its blue.

        Refused when the last release is in another state, the earlier version is unknown, or the caller may not.
        """
        by = _caller(who)
        last = self._to_release_again(service, by)
        if last.outcome is not Outcome.LIVE and last.phase is not Phase.RETIRING:
            what = f"{last.id} is not live, so there is no earlier image"
            hint = f"`bluegreen rollback {service} --to N` names one; `bluegreen history {service}` lists them."
            raise Refused(what, reason=Reason.NOTHING_TO_DO, where=service, hint=hint)
        live = self._live_before(last)
        if live is not None:
            return Previous(last, live.image, live.number, live.commit)
        if not last.blue_image or last.cure:
            hint = (
                f"A release with `--cure` replaces what serves; `bluegreen history {service}` lists earlier releases."
            )
            what = "no earlier good image is known" if last.cure else "the previous image is unknown"
            raise Refused(what, reason=Reason.NOTHING_TO_DO, where=service, hint=hint)
        if self._kept(last, [last.blue_image]).gone(last.blue_image):
            what = f"the previous image, {last.blue_image}, no longer exists"
            raise Refused(what, reason=Reason.NOTHING_TO_DO, where=service, hint=self._offered(service))
        return Previous(last, last.blue_image, None, last.blue_commit)

    def release_again(
        self,
        service: str,
        image: str,
        *,
        who: str | Caller,
        title: str = "",
        hold: bool = False,
        override: str = "",
        source: Mapping[str, str] = MappingProxyType({}),
        stop: Callable[[], bool] = lambda: False,
    ) -> Release:
        """Start a release of an earlier image, with the configuration of the last release; see `start`.

        It has the image and the commit of the release that made it, and everything else as it is now. An image whose
        commit was rolled back is refused without `override`, although it may have been live. The caller must drive it.
        """
        by = _caller(who)
        last = self._to_release_again(service, by)
        known = {key: last.source[key] for key in ("repository", "server", "workflow", "ref") if last.source.get(key)}
        return self.start(
            _config(last),
            ami=image,
            who=by,
            order=Order.RELEASE_AGAIN,
            hold=hold,
            request=by.request,
            source={**known, **{key: value for key, value in source.items() if value}, "title": title},
            override=override,
            stop=stop,
        )

    def dispatch(self, service: str, *, ref: str, who: str | Caller, token: str, api: str) -> Run:
        """Start the workflow that released the service last, for a branch, a tag or a commit ("": the same as then).

        ConfigError when no release came from a workflow, or GitHub refuses; Refused when a release may not start.
        """
        from bluegreen.github import dispatch

        by, record = _caller(who), self._record(service)
        last = self._last(record)
        if record is not None and last is not None:
            authorize(Order.RELEASE, by.who, last.config, service, by.member)
            self._journal.refuse_second(record)
            if refusals := refused_by_freeze(self._freezes(record, last.config), by, last.config, service, BY_HAND):
                raise as_one(refusals)
            self._taken_along(_config(last), record, cure=False)
        from_workflow = self._from_workflow(last) if last else None
        if from_workflow is None:
            hint = "Run the workflow once by hand; then the bot knows it."
            raise ConfigError("no GitHub workflow has released it yet", where=service, hint=hint)
        return dispatch(token, api, from_workflow, ref)

    def resume(self, service: str, *, who: str | Caller) -> Release:
        """The release to continue; it reopens a failed one where it stopped, if the caller may."""
        release = self._last(self._record(service))
        if release is None:
            raise self._nothing_known(service, "no service has releases")
        if release.outcome is Outcome.FAILED:
            by = _caller(who)
            self._order(service, Resumed(by.who, by.request), Order.RESUME, by, has_failed, failed=True)
            return self._journal.load(release.id)
        if release.outcome:
            hint = f"`bluegreen status {service}` shows what serves."
            was = "is" if release.outcome is Outcome.LIVE else "was"
            what = f"{was} {standing_of(release)}, so there is nothing to resume"
            raise Refused(what, reason=Reason.MOVED_ON, where=release.id, hint=hint)
        return release

    def adopt(self, config: Config, *, who: str | Caller, group: str = "") -> Adoption:
        """Repair the record of a service from what AWS shows: who is live, which number is next.

        For a journal that was lost, restored, or swapped with another. `group` says which of several is live. It
        settles a release as failed that is under way only in the journal, and changes nothing in AWS. Refused when it
        is unclear what serves, when a release is really under way, or when a driver is at work.
        """
        from bluegreen.adoption import adopted
        from bluegreen.journal import ServiceRecord

        by = _caller(who)
        authorize(Order.RESUME, by.who, config.to_dict(), config.id, by.member)
        self._journal.ensure_table(self.clock.sleep)
        record = self._record(config.id) or ServiceRecord(config.id)
        under_way = self._journal.load(release_id(config.id, record.under_way)) if record.under_way else None
        self._refuse_driven(under_way)
        cloud = self._cloud(config)
        made = adopted(
            config.id,
            record.live.group if record.live else "",
            record.next,
            under_way,
            cloud.everybody(record.next),
            group,
            configured=config.names,
            images=cloud.own_images(),
        )
        if made.found:
            self._repair(record, under_way, made, by.who)
        return made

    def _refuse_driven(self, release: Release | None) -> None:
        if release and (driver := self.driver(release.id)):
            what = f"{release.id} is driven by {driver}"
            hint = "Wait until it stops, or stop it; then run adopt again."
            raise Refused(what, reason=Reason.UNDER_WAY, where=release.service, hint=hint)

    def _repair(self, record: ServiceRecord, under_way: Release | None, made: Adoption, who: str) -> None:
        from bluegreen.journal import Live

        now, it = self.clock.now(), made.live
        if under_way:
            said = f"{person(who)} repaired the journal: {it.name} serves, and AWS does not confirm this release"
            settled = Settled(Outcome.FAILED, Reason.CHANGED_OUTSIDE, said)
            self._journal.settle(under_way, under_way.seq + 1, settled.to_facts(), now)
        live = Live(it.name, it.image, it.version, it.commit, it.number)
        self._journal.adopt(record, live, made.number, who, now)

    def abandon(self, release: str, holder: str) -> None:
        """End the lease of a driver that is known to be gone, so that the next driver can start at once."""
        lease = self._journal.lease(release)
        if lease is not None and lease.holder == holder:
            self._journal.drop(lease)

    def image_of(self, service: str, number: int) -> str:
        """The AMI of an earlier release, for returning to it. ConfigError when it is unknown or gone."""
        summary, name = self._journal.summary(service, number), release_id(service, number)
        if summary is None and self._last(self._record(service)) is None:
            raise self._nothing_known(service, f"there is no image of {name}")
        if summary is None or not summary.image:
            raise ConfigError(f"there is no image of {name}", hint=self._offered(service))
        if self._kept(self._journal.load(summary.id), [summary.image]).gone(summary.image):
            what = f"the image {summary.image} of {name} no longer exists"
            raise ConfigError(what, hint=self._offered(service))
        return summary.image

    # --- looking ---------------------------------------------------------------------------------

    def load(self, release: str) -> Release:
        """A release as its events tell it."""
        return self._journal.load(release)

    def events(self, release: str, *, after: int = 0) -> list[Event]:
        """What has happened to a release, in order, from the event after that number on."""
        return self._journal.read(release, after)

    def status(self, service: str | None = None) -> list[ServiceStatus]:
        """Every service that the journal knows, or the one asked for; one of many that is unreadable harms no other."""
        if service is None:
            return [self._status_of_many(record) for record in self._journal.services()]
        record = self._record(service)
        return [self._status(record)] if record else []

    def history(self, service: str, limit: int = 20) -> list[Summary]:
        """The service's releases, the newest first."""
        return self._journal.history(service, limit)

    def kept(self, rows: Sequence[Summary]) -> Kept:
        """Which images of these releases of a service are still there: one call, the newest 200 of them."""
        images = list(dict.fromkeys(row.image for row in rows if row.image))[:LISTED]
        try:
            return self._kept(self._journal.load(rows[0].id), images) if images else Kept({})
        except BlueGreenError as error:
            return Kept({}, one_line(str(error)))

    def lost(self, service: str) -> Refused | None:
        """What AWS shows of a service that is absent from the journal; None if AWS shows nothing."""
        from bluegreen.adoption import unknown
        from bluegreen.aws import remains

        try:
            there, record = remains(service, self._region, self._session), self._record(service)
        except BlueGreenError:
            return None  # that AWS cannot be asked is no news here
        return unknown(service, self.table, there, repaired=bool(record and record.repaired))

    def freeze(self, service: str, *, who: str | Caller, why: str, until: float | None = None) -> Release | None:
        """Refuse releases and promotions of the service until then (epoch seconds), or until it is lifted.

        Returns the release that began before and goes on, because it needs no promotion.
        """
        by, until = _caller(who), None if until is None else bounded(until, self.clock.now())
        last = self._judge_freeze(service, by)
        self._journal.ensure_table(self.clock.sleep)
        self._journal.freeze(service, who=by.who, why=why, until=until, now=self.clock.now())
        return last if last and last.holdable else None

    def may_freeze(self, service: str, *, who: str | Caller) -> None:
        """Refused when the caller may not freeze; call it before asking for the length."""
        self._judge_freeze(service, _caller(who))

    def unfreeze(self, service: str, *, who: str | Caller) -> bool:
        """Lift the freeze; whether there was one."""
        by = _caller(who)
        self._judge_freeze(service, by)
        return self._journal.unfreeze(service, who=by.who) is not None

    def services(self) -> list[ServiceRecord]:
        """Every service that the journal knows, in one read."""
        return self._journal.services()

    def driver(self, release: str) -> str:
        """Who drives the release now, "" when nobody does."""
        return self._journal.driver(release, self.clock.now)

    def undriven(self) -> list[str]:
        """The releases under way that no living driver holds."""
        return [s.release.id for s in self.status() if s.record.under_way and s.release and not s.driver]

    def tidy(self) -> list[Removal]:
        """Remove what releases of any service have left and nobody needs; what became of each.

        Only what this journal proves to be of a release that has settled, and what is attached to nothing.
        """
        kept = [one for record in self.services() if record.kept for one in self.remove_kept(record)]
        try:
            left = self.orphans()
        except BlueGreenError as error:
            return [
                *kept,
                Removal("", "", one_line(f"bluegreen could not read what releases left: {error}"), done=False),
            ]
        return [*kept, *(self._remove_orphan(one.release) for one in left if one.release and one.removable)]

    def _remove_orphan(self, release: Release) -> Removal:
        told = partial(Removal, release.service, release.green_group)
        whose = f"{release.green_group} of {release.id}, which nobody needs,"
        try:
            there = self._remove_left(release)
        except BlueGreenError as error:
            return told(one_line(f"{whose} could not be removed completely: {error}"), done=False)
        return told(f"{whose} is {'being deleted' if there else 'gone'}")

    def orphans(self, service: str = "") -> list[Orphan]:
        """Groups of this region that releases left, and that get no traffic; of one service, or of all.

        Without those of a service with a release under way, those that a failed release needs, and those that are kept.
        """
        from bluegreen.adoption import needed
        from bluegreen.aws import left_groups

        left: dict[str, list[Footprint]] = {}
        for group in left_groups(self._region, self._session):
            left.setdefault(group.service, []).append(group)
        found = []
        for record in self.services():
            if record.under_way or record.service not in left or service not in ("", record.service):
                continue
            last = self._last(record)
            used = {record.live.group if record.live else "", *(kept.group for kept in record.kept)}
            used |= needed(None if record.repaired else last)
            empty = last is not None and last.config.get("retire") == "empty"
            groups = (one for one in left[record.service] if one.name not in used)
            found += [one for group in groups if (one := self._orphan(group, keeps_empty=empty))]
        return found

    def drift(self, service: str = "") -> dict[str, str]:
        """How AWS differs from the journal about who serves, in sentences by service; of one service, or of all.

        Of services in this region without a release under way, and whose newest release did not fail.
        """
        from bluegreen.adoption import drifted
        from bluegreen.aws import left_groups

        asked = [record for record in self.services() if record.live and service in ("", record.service)]
        lasts = {record.service: self._last(record) for record in asked if not record.under_way}
        here = {name for name, last in lasts.items() if last and self._is_here(last)}
        live = {record.service: record.live.group for record in asked if record.live and record.service in here}
        groups = left_groups(self._region, self._session, live.values()) if live else ()
        found = {name: drifted(name, group, groups) for name, group in live.items()}
        return {name: said for name, said in found.items() if said and self._is_of_this_account(lasts[name])}

    def _is_here(self, last: Release) -> bool:
        """Whether the newest release has not failed, and was in the region where this process looks."""
        return last.outcome is not Outcome.FAILED and self._region in (None, "", last.region or self._region)

    def _is_of_this_account(self, last: Release | None) -> bool:
        try:
            if last:
                self._refuse_elsewhere(last, _placed(last))
        except Refused:
            return False
        return True

    def new_drift(self) -> list[str]:
        """The same of all services, as far as it is new: this call records it as said."""
        import hashlib

        new = []
        try:
            for service, said in self.drift().items():
                told = f"drift/{service}/{hashlib.sha256(said.encode()).hexdigest()[:16]}"
                if self.answered(told) is None:
                    self.answer(told, {"said": said})
                    new.append(said)
        except BlueGreenError:
            return new  # what AWS does not show now it shows the next time
        return new

    def _orphan(self, group: Footprint, *, keeps_empty: bool) -> Orphan | None:
        from bluegreen.adoption import orphan

        maker, holder = (self._if_known(id_) for id_ in (group.release, holder_of(group.held_by)))
        return orphan(group, maker, holder, keeps_empty=keeps_empty)

    def _if_known(self, id_: str) -> Release | None:
        try:
            return self._journal.load(id_) if id_ else None
        except Refused:
            return None

    def remove_kept(self, record: ServiceRecord) -> list[Removal]:
        """Remove the greens that were kept for inspection and whose time is over; what became of each."""
        now = self.clock.now()
        return [self._remove_kept(record, kept) for kept in record.kept if kept.until <= now]

    def _remove_kept(self, record: ServiceRecord, kept: KeptGreen) -> Removal:
        told = partial(Removal, record.service, kept.group)
        id_ = release_id(record.service, kept.number)
        try:
            serves = record.live is not None and record.live.group == kept.group
            if not serves and self._remove_left(self._journal.load(id_)):
                return told(f"{kept.group}, which {id_} left for inspection, is being deleted")
            self._journal.forget_kept(record.service, kept)
        except BlueGreenError as error:
            return told(one_line(f"{kept.group}, which {id_} left for inspection, is still there: {error}"), done=False)
        return told(f"{kept.group} serves, so it stays" if serves else f"{kept.group} of {id_} is gone")

    def _remove_left(self, release: Release) -> bool:
        config = _placed(release)
        self._refuse_elsewhere(release, config)
        return self._cloud(config).remove_left(release)

    # --- what entry points remember --------------------------------------------------------------

    def take_leadership(self, name: str, seconds: float) -> Lease | None:
        """Leadership for so many seconds; None while another process has it."""
        leadership = f"duty/{name}"
        # Its answer tells the table's time, by which the lease is judged.
        has_it = self._journal.driver(leadership, self.clock.now)
        if has_it not in ("", self.holder):
            return None
        return self._journal.take_lease(leadership, self.holder, self.clock.now(), seconds)

    def keep_leadership(self, leadership: Lease) -> Lease:
        """Renew the leadership; LeaseLost when another took it."""
        return self._journal.renew(leadership, self.clock.now())

    def drop_leadership(self, leadership: Lease) -> None:
        """Give up the leadership."""
        self._journal.drop(leadership)

    def note(self, release: str, name: str, facts: Facts, leadership: Lease) -> bool:
        """Keep a note of an entry point about a release; False when another has the leadership by now."""
        return self._journal.note(release, name, facts, leadership.token)

    def noted(self, release: str, name: str) -> dict[str, Any] | None:
        """The note; None without one."""
        return self._journal.noted(release, name)

    def answer(self, request: str, facts: Facts) -> dict[str, Any]:
        """Record the answer to a request; returns the first answer, which may be an earlier one."""
        return self._journal.answer(request, facts, self.clock.now())

    def answered(self, request: str) -> dict[str, Any] | None:
        """The first answer to a request; None when it is new."""
        return self._journal.answered(request)

    def ensure_table(self) -> None:
        """Make the journal's table when it is absent; ConfigError when that takes too long."""
        self._journal.ensure_table(self.clock.sleep)

    def account(self, config: Config) -> AccountFacts:
        """What an IAM policy for releases of the service names; ConfigError when there is no group of it."""
        from bluegreen.aws import account

        return account(config, self._region, self._session)

    def examine(self, config: Config, *, role: str = "") -> list[Diagnosis]:
        """Every precondition of a release, a line each, in the order to read them. Changes nothing.

        `role`: name or ARN of the role whose permissions count; "": the caller's. What cannot be examined, or does not
        answer within a minute, is a line, too.
        """
        from bluegreen import doctor, tokens
        from bluegreen.aws import examination

        who = partial(self._caller_of, config)
        found = examination.side_by_side([(doctor.Topic.CREDENTIALS, who), *tokens.examinations(os.environ, config)])
        if not doctor.is_known(found):
            return doctor.in_order([*found, doctor.NOTHING_ELSE])
        once = copy.copy(self)
        vars(once).update(_given_session=examination.OneReading(self._session), _made_journal=None)
        found += examination.side_by_side(once._examinations(config, role))  # noqa: SLF001 - an engine as this one
        return doctor.in_order(found)

    def candidates(self) -> Candidates:
        """The groups of the region that a first release could start from, and why others cannot be released."""
        from bluegreen.aws import candidates

        return candidates(self._region, self._session)

    def details(self, group: str) -> GroupDetails:
        """What a first release of the group would find around it: traffic, template, builders."""
        from bluegreen.aws import details

        return details(self._region, self._session, group)

    def who(self) -> str:
        """The AWS principal that calls, as an ARN; an assumed role's session is part of it (STS API)."""
        from bluegreen.aws import caller

        return caller(self._session)

    # --- inside ----------------------------------------------------------------------------------

    @property
    def _session(self) -> Session:
        if self._given_session is None:
            from bluegreen.aws import session

            self._given_session = session(self._region)
        return self._given_session

    @property
    def _journal(self) -> Journal:
        if self._made_journal is None:
            from bluegreen.journal import Journal

            self._made_journal = Journal(self._session, self.table, heard=self.clock.heard)
        return self._made_journal

    def _cloud(self, config: Config, attempts: int | None = None) -> Cloud:
        """`attempts`: as for `aws.Cloud`, which knows how many are usual."""
        from bluegreen.aws import ATTEMPTS, Cloud
        from bluegreen.masking import mask, secrets_of

        secrets = secrets_of(os.environ)
        hide, stopwatch = (lambda text: mask(text, secrets)), time.monotonic
        return Cloud(
            config,
            self._session,
            mask=hide,
            stopwatch=stopwatch,
            fetch=self._fetch,
            attempts=attempts or ATTEMPTS,
            beside=self._beside,
            clock=self.clock.now,
        )

    def _calls(self, config: Config) -> Calls:
        from bluegreen.aws.calls import Calls

        return Calls(config.region, self._session, attempts=2)

    def _caller_of(self, config: Config) -> Iterator[Diagnosis]:
        """The client is made when the line is: what is wrong with this process's settings is said there."""
        from bluegreen.aws import examination

        yield from examination.caller(self._calls(config), self.clock.now)

    def _examinations(self, config: Config, role: str) -> list[tuple[Topic, Callable[[], Iterable[Diagnosis]]]]:
        from bluegreen.aws import examination
        from bluegreen.doctor import Topic

        serving = partial(self._serving, config)
        aws = examination.of_service(self._calls(config), config, self.table, role, serving)
        own = (
            (Topic.JOURNAL, partial(self._journal_read, config, role)),
            (Topic.GROUP, partial(self._preflight, config, role)),
        )
        return [*aws, *own]

    def _serving(self, config: Config) -> tuple[str, str]:
        """The group that serves, by the journal, and the release that is under way; "" when none is."""
        record = self._readable_record(config)
        live = record.live.group if record and record.live else config.names[0]
        return live, release_id(config.id, record.under_way) if record and record.under_way else ""

    def _readable_record(self, config: Config) -> ServiceRecord | None:
        """None also of a journal that cannot be read: its own line says so, and all else is examined nevertheless."""
        try:
            return self._record(config.id)
        except BlueGreenError:
            return None

    def _journal_read(self, config: Config, role: str) -> Iterator[Diagnosis]:
        from bluegreen import doctor

        try:
            self._record(config.id)
        except BlueGreenError as error:
            yield from doctor.no_record(error, own=not role)

    def _preflight(self, config: Config, role: str) -> Iterator[Diagnosis]:
        from bluegreen import doctor

        if under_way := self._serving(config)[1]:
            yield from doctor.busy(under_way, doctor.Topic.GROUP, doctor.Topic.TRAFFIC, doctor.Topic.FINDINGS)
            return
        try:
            yield from doctor.plan(self._examinable(config))
        except BlueGreenError as error:
            yield from doctor.no_plan(error, own=not role)

    def _examinable(self, config: Config) -> Baseline:
        """What a release would start from. A builder that is not ready hides nothing that comes behind it."""
        from bluegreen import doctor
        from bluegreen.aws import examination

        record = self._readable_record(config)
        try:
            return self._found(config, record)[1]
        except BlueGreenError as error:
            image = doctor.is_of_builder(error) and examination.image_of(self._calls(config), self._serving(config)[0])
            if not image:
                raise
        return self._found(config, record, ami=image)[1]

    def _kept(self, release: Release, images: Sequence[str]) -> Kept:
        """Which of these images are there, asked once, where the release was made."""
        try:
            shown = self._cloud(_placed(release), attempts=1).images(images) if images else {}
        except BlueGreenError as error:
            return Kept({}, one_line(str(error)))
        return Kept({image: image in shown for image in images})

    def _offered(self, service: str) -> str:
        """Which release's image can be released again, of those that are good, in a sentence."""
        record = self._record(service)
        live = record.live.image if record and record.live else ""
        which = self._good(record, record.next if record else 1, {live})
        listed = f"`bluegreen history {service}` shows which images still exist."
        if which is None:
            return listed
        return f"`bluegreen rollback {service} --to {which.number}` releases {which.image} again; {listed}"

    def _nothing_known(self, service: str, what: str, hint: str = "") -> Refused:
        """The journal knows no release of it: what AWS shows of lost ones, else just that."""
        return self.lost(service) or Refused(what, reason=Reason.NOTHING_TO_DO, where=service, hint=hint)

    def _not_whole(
        self, config: Config, record: ServiceRecord | None, standing: Standing, baseline: Baseline
    ) -> Refused:
        """With what a lost journal leaves to go back to."""
        from bluegreen.adoption import command, images_said, ways_on

        refusal = not_whole(baseline)
        if not standing.findings and self._last(record) is not None:
            return refusal
        own, ill = self._cloud(config).own_images(), baseline.blue_image
        found = [refusal.what, *(one.said for one in standing.findings)]
        if named := images_said(own, ill):
            found.append(f"earlier images: {named}")
        repair = f"{command(config.id)} repairs the journal." if standing.findings else ""
        hint = " ".join(part for part in (refusal.hint, ways_on(own, ill), repair) if part)
        return Refused("; ".join(found), reason=Reason.BLUE_UNHEALTHY, where=refusal.where, hint=hint)

    def _record(self, service: str) -> ServiceRecord | None:
        return self._journal.service(service)

    def _ground(
        self,
        config: Config,
        record: ServiceRecord | None,
        commit: str,
        ami: str,
        takes: Facts = MappingProxyType({}),
    ) -> tuple[Standing, Baseline]:
        """Who serves and which number comes next, by the journal and by what AWS shows; and what that starts from.

        `takes`: what is taken along of a failed release.
        """
        from bluegreen.adoption import stand

        serves, rest = str(takes.get("group", "")), [one["group"] for one in takes.get("rest", ())]
        live, known = record.live if record else None, record.next if record else 1
        recorded, cloud = serves or (live.group if live else config.names[0]), self._cloud(config)
        traces, journaled = cloud.traces(recorded, known), bool(live or serves)
        standing = stand(config.id, recorded, known, traces, journaled=journaled, pair=config.groups or ())
        baseline = cloud.baseline(standing.blue, commit, ami, rest)
        return standing, replace(baseline, findings=(*standing.findings, *baseline.findings))

    def _found(
        self, config: Config, record: ServiceRecord | None, commit: str = "", ami: str = ""
    ) -> tuple[Standing, Baseline]:
        """The same, with everything that would refuse a release now, and all that was found."""
        standing, baseline = self._ground(config, record, commit, ami)
        hindrances = self._hindrances(config, record, commit, baseline)
        judged = let_pass_by(baseline.findings, config, Order.RELEASE)
        found = (*hindrances, *also_found(baseline), *self._soon(config, record), *judged)
        return standing, replace(baseline, findings=found)

    def _begun(self, asked: _Start) -> Event:
        """The first event of what is asked for, written unless something is in the way."""
        config, record, commit = asked.config, self._record(asked.config.id), asked.first.commit
        if record is not None:
            self._refuse_under_way(record, config)
            asked.admit(record, commit, asked.ami)
        first = replace(asked.first, takes=self._taken_along(config, record, cure=asked.cure))
        standing, baseline = self._ground(config, record, commit, asked.ami, first.takes)
        if asked.cure:
            baseline = replace(baseline, unwell=baseline.unwell or baseline.unsettled or baseline.idle)
        elif baseline.unwell:
            raise self._not_whole(config, record, standing, baseline)
        found = (*baseline.findings, *self._cloud(config).denied(baseline))
        judged = let_pass_by(found, config, asked.order)
        baseline = replace(baseline, findings=(*also_found(baseline), *self._soon(config, record), *judged))
        if record is not None and lacks_room(judged):
            self.remove_kept(record)  # what was kept for long enough takes room: the next attempt has it
        refuse_what_is_in_the_way(baseline.findings, config.id)
        if asked.stop():
            raise Interrupted("stopped before anything began", where=config.id)
        if record is not None:
            self.remove_kept(record)  # whoever finds it still there later says so
        key = self._source_key(asked.first, baseline)
        self._put_source(asked, key)
        self._make_table(asked, key)
        write = partial(
            self._journal.open,
            config.id,
            self._started(replace(first, source_key=key), baseline, record, standing),
            self.clock.now(),
            request=asked.request,
            admit=lambda then: asked.admit(then, commit, baseline.image),
            least=standing.number,
            live=_live_of(standing, baseline),
        )
        return self._opened(config, key, write)

    def _make_table(self, asked: _Start, key: str) -> None:
        """Where there is none, as the last thing before the first event: what is refused leaves no table behind."""
        try:
            if not asked.table:
                self._journal.ensure_table(self.clock.sleep)
        except BlueGreenError:
            self._take_source_back(asked.config, key)
            raise

    def _opened(self, config: Config, key: str, write: Callable[[], Event]) -> Event:
        """The first event, written; what was packed for a release that is refused, or began before, goes again."""
        try:
            begun = write()
        except (Refused, ConfigError, Conflict):
            self._take_source_back(config, key)
            raise
        if isinstance(begun.payload, Started) and begun.payload.source_key != key:
            self._take_source_back(config, key)
        return begun

    @staticmethod
    def _source_key(first: Started, baseline: Baseline) -> str:
        """Where the packed source is put, of a release that builds from one; "" of any other."""
        builder = (first.config.get("image") or {}).get("builder") or {}
        if baseline.image or not (baseline.builder and builder.get("source")):
            return ""
        return f"bluegreen/{first.service}/{first.commit[:12]}-{_token()}.tar.gz"

    def _put_source(self, asked: _Start, key: str) -> None:
        """Into the bucket, before anything is recorded: without it the bake would fail."""
        if not key:
            return
        if asked.pack is None:
            hint = "Release it where its commit is checked out: from its workflow, or in its folder."
            what = "needs the checkout of the commit"
            raise ConfigError(what, where="image.builder.source", hint=hint)
        from tempfile import TemporaryFile

        with TemporaryFile() as packed:
            asked.pack(packed)
            packed.seek(0)
            self._cloud(asked.config).put_source(key, packed)

    def _take_source_back(self, config: Config, key: str) -> None:
        with suppress(BlueGreenError):  # the bucket's own rule removes what this cannot
            if key:
                self._cloud(config).remove_source(key)

    def _started(
        self, asked: Started, baseline: Baseline, record: ServiceRecord | None, standing: Standing
    ) -> Callable[[int], Facts]:
        """What the first event records: what was asked for, and what it starts from; by the number that it gets."""
        cure = self._cure(baseline, record, asked.takes)
        worse = {baseline.image, baseline.blue_image if cure else ""}
        good = self._good(record, record.next if record else 1, worse)
        live = record.live if record else None
        first = replace(
            asked,
            **baseline.to_start(),
            **cure,
            blue_commit=asked.takes.get("commit", standing.commit or (live.commit if live else "")),
            back=self._back(baseline, asked.service, good),
            back_image=good.image if good else "",
            token=_token(),
        )

        def numbered(number: int) -> Facts:
            named: dict[str, Any] = {**names(asked.service, number, asked.commit)}
            named |= {"green_group": baseline.spare.group.name} if baseline.spare else {}
            return replace(first, number=number, **named).to_facts()

        return numbered

    def _back(self, baseline: Baseline, service: str, good: Summary | None) -> int | None:
        """Number of the release to go back to; 0 when the journal knows no image of the one that made blue."""
        made = number_of_group(service, baseline.blue.name)
        known = self._journal.summary(service, made) if made and not good else None
        return good.number if good else None if known and known.image else 0

    def _cure(self, baseline: Baseline, record: ServiceRecord | None, takes: Facts) -> Facts:
        """What is to be recorded of a blue that is not whole; one at size 0 says less than green needs."""
        from bluegreen.observation import in_target_groups

        if not (baseline.unwell or baseline.rest):
            return {}
        blue, wanted = baseline.blue, max((one.desired for one in baseline.rest), default=0)
        if not blue.desired:
            live = record.live if record else None
            before = self._size_of(record.service, live.number) if record and live else 0
            wanted = max(blue.minimum, takes.get("size", before), wanted, 1)
        beside = f"{in_target_groups(baseline.rest)} beside {blue.name}" if baseline.rest else ""
        ill = "; ".join(said for said in (baseline.unwell, beside) if said)
        return {"cure": ill, "borne": baseline.borne, "wanted": wanted if wanted > blue.desired else 0}

    def _size_of(self, service: str, number: int) -> int:
        """How large its green was; 0 when the journal does not know."""
        try:
            return self._journal.load(release_id(service, number)).size
        except Refused:
            return 0

    def _admission(self, config: Config, by: Caller, order: Order, override: str, *, hold: bool) -> Admit:
        """What is asked of a service whether this commit or image may start: facts to record, or Refused."""
        rules = config.to_dict()

        def admit(record: ServiceRecord, commit: str, image: str) -> Facts:
            back = order is Order.RELEASE_AGAIN and self._was_live(record, image)
            frozen = [] if back else refused_by_freeze(self._freezes(record, rules), by, rules, config.id)
            refusals = [*frozen, *self._rolled_back(record, commit, image, by, rules, back=back)]
            # What was live may go back by whoever may roll back; that it is known to be bad is only asked about. A way
            # back waits for nobody who did not ask for it.
            known = in_spite_of(refusals, override, by, rules, config.id, judged=not back)
            return {**known, "goes_back": True, "hold": hold} if back else known

        return admit

    def _hindrances(
        self, config: Config, record: ServiceRecord | None, commit: str, baseline: Baseline
    ) -> Iterator[Finding]:
        """What would refuse the release now."""
        from bluegreen.observation import Finding, FindingKey, Verdict

        rules = config.to_dict()
        if baseline.unwell:
            refusal = not_whole(baseline)
            yield Finding(FindingKey.BLUE_UNHEALTHY, refusal.what, "", Verdict.REFUSED, refusal.hint)
        for refusal in refused_by_freeze(self._freezes(record, rules), Caller(""), rules, config.id):
            yield Finding(FindingKey.FROZEN, f"{config.id} is {refusal.what}", "", Verdict.REFUSED, refusal.hint)
        for refusal in self._rolled_back(record, commit, baseline.image, Caller(""), rules) if record else ():
            yield Finding(FindingKey.ROLLED_BACK, refusal.what, "", Verdict.REFUSED, refusal.hint)

    def _soon(self, config: Config, record: ServiceRecord | None) -> Iterator[Finding]:
        """A freeze that begins soon: nobody could promote then."""
        from bluegreen.observation import Finding, FindingKey

        rules, now = config.to_dict(), self.clock.now()
        soon = upcoming(windows(rules), now, SOON)
        if soon and not freezes_in_force(record, rules, now):
            found = f"from {moment_in(soon.zone, soon.since)} on it is {soon}"
            yield Finding(FindingKey.FROZEN, found, "promotions are refused then")

    def _freezes(self, record: ServiceRecord | None, rules: Mapping[str, Any]) -> tuple[Frozen, ...]:
        return freezes_in_force(record, rules, self.clock.now())

    def _rolled_back(
        self,
        record: ServiceRecord,
        commit: str,
        image: str,
        by: Caller,
        rules: Mapping[str, Any],
        *,
        back: bool = False,
    ) -> Iterator[Refused]:
        """That it was rolled back for its own faults: in which release, when and why.

        `back`: it was live, and is ordered back.
        """
        if record.bad and image and not commit:
            made = self._made_in(record.service, image)
            commit = made.commit if made else ""
        number = record.rolled_back(commit, image)
        if number is None:
            return
        told = self._journal.summary(record.service, number)
        hint = IN_SPITE if back else override_hint(by, rules)
        yield known_to_be_bad(record.service, number, commit, image, told, hint)

    def _was_live(self, record: ServiceRecord, image: str) -> bool:
        """Whether the image has served: that of a release that went live, or what there was before the first."""
        known = self._journal.history(record.service, 500)
        if any(one.image == image for one in known if one.outcome is Outcome.LIVE):
            return True
        return any(self._journal.load(one.id).blue_image == image for one in {known[0], known[-1]}) if known else False

    def _taken_along(self, config: Config, record: ServiceRecord | None, *, cure: bool) -> Facts:
        """A failed release may have left its green group or its pins: a cure goes on from there, others are refused."""
        found = self._unresolved(config, record)
        if found is None:
            return {}
        from bluegreen.phases.takeover import taken_along

        last, seen = found
        if cure:
            return taken_along(last, seen)
        if last.outcome is not Outcome.FAILED:
            raise not_whole_either(last, seen)
        self._refuse_what_does_not_fit(last, config, record)
        raise left_behind(last)

    def _refuse_under_way(self, record: ServiceRecord, config: Config) -> None:
        """There is one at a time; what was begun in another account is under way by the journal alone."""
        if record.under_way:
            self._refuse_elsewhere(self._journal.load(release_id(record.service, record.under_way)), config)
        self._journal.refuse_second(record)

    def _refuse_elsewhere(self, release: Release, config: Config) -> None:
        """Refused when it was begun in another account; what cannot be asked is met again by the driver.

        Asked once: an order may wait for the driver that begins with this.
        """
        from bluegreen.adoption import another_account

        if not release.account:
            return
        try:
            account, _ = self._cloud(config, attempts=1).account()
        except AwsError:
            return
        if another_account(release, account):
            what = f"was begun in the account {release.account}, and these credentials are of {account}"
            raise Refused(what, reason=Reason.UNRESOLVED, where=release.id, hint=put_right(release.service))

    def _refuse_what_does_not_fit(self, failed: Release, config: Config, record: ServiceRecord | None) -> None:
        """A failed release of another world is not gone on with, nor back from: the journal is put right."""
        from bluegreen.adoption import elsewhere

        live = record.live if record else None
        traces = self._cloud(config).traces(live.group if live else config.names[0], record.next if record else 1)
        if elsewhere(failed, traces):
            what = "failed, and AWS does not confirm it: the journal is old, or belongs to another service"
            raise Refused(what, reason=Reason.UNRESOLVED, where=failed.id, hint=put_right(config.id))

    def _unresolved(self, config: Config, record: ServiceRecord | None) -> tuple[Release, Observation] | None:
        """The last release, if it failed and has left something, and what AWS shows of it."""
        if record is None or not record.last or record.under_way or record.repaired:
            return None
        last = self._journal.load(release_id(config.id, record.last))
        failed = last.outcome is Outcome.FAILED and Phase.BAKING not in (last.phase, last.left)
        if not (failed or (last.rest and last.outcome is not Outcome.LIVE)):
            return None
        self._refuse_elsewhere(last, config)
        look = replace(last, phase=Phase.ROLLING_BACK, left=last.left or Phase.SWITCHING)  # without checks
        seen = self._cloud(_config(last)).observe(look, self.clock.now())
        held = bool(last.blue and seen.blue) and last.holds(seen.blue.held_by if seen.blue else "")
        pinned = held and bool(last.blue and seen.blue and seen.blue.minimum != last.blue.minimum)
        left = seen.green is not None and last.owns(seen.green.release, seen.green.token)
        return (last, seen) if (failed and (pinned or left)) or seen.crowding else None

    def _last(self, record: ServiceRecord | None) -> Release | None:
        """The newest release of the service, settled or not; None before the first."""
        return self._journal.load(release_id(record.service, record.last)) if record and record.last else None

    def _to_release_again(self, service: str, by: Caller) -> Release:
        """The newest release, when the caller may release an earlier image in its place; else Refused."""
        last = self._last(self._record(service))
        if last is None:
            raise self._nothing_known(service, "no service has releases")
        authorize(Order.RELEASE_AGAIN, by.who, last.config, service, by.member)
        return last

    def _order(
        self,
        service: str,
        ordered: Promoted | HoldOrdered | RollbackOrdered | Resumed,
        order: Order,
        by: Caller,
        allowed: Callable[[Release], Facts | None],
        *,
        failed: bool = False,
    ) -> Event:
        """Judge the caller, then append the order to the release that is meant; a request that came before acted."""
        if first := self._journal.requested(service, by.request):
            return first
        release = self._meant(service, by, failed=failed)

        def judged(current: Release) -> Facts | None:
            authorize(order, by.who, current.config, current.id, by.member)
            self._refuse_repaired(current)
            return allowed(current)

        return self._journal.order(release, kind_of(ordered), ordered.to_facts(), self.clock.now(), judged)

    def _made_in(self, service: str, image: str) -> Summary | None:
        """The release that an image is of, as far as the journal knows: the first that had it."""
        return next((one for one in reversed(self._journal.history(service, 500)) if one.image == image), None)

    def _refuse_repaired(self, release: Release) -> None:
        """What failed before the record was repaired is not taken up again: it is not of this world."""
        record = self._record(release.service) if release.outcome is Outcome.FAILED else None
        if record and record.repaired:
            what = "does not count any more: someone repaired the journal after it"
            raise Refused(what, reason=Reason.MOVED_ON, where=release.id, hint="Start a release.")

    def _author_login(self, made: Summary | None) -> str:
        """Whose the commit in an earlier image is, when the release that made it knew."""
        return self._journal.load(made.id).source.get("author_login", "") if made else ""

    def _from_workflow(self, last: Release) -> Release | None:
        """The newest release that a workflow started."""
        if last.source.get("workflow"):
            return last
        earlier = (s.id for s in self._journal.history(last.service, 20) if s.number < last.number)
        return next((one for one in map(self._journal.load, earlier) if one.source.get("workflow")), None)

    def _judge_freeze(self, service: str, by: Caller) -> Release | None:
        """By the lists of the last release, which is returned; a service without one only the command line knows."""
        last = self._last(self._record(service))
        authorize(Order.FREEZE, by.who, last.config if last else {}, service, by.member)
        return last

    def _meant(self, service: str, by: Caller, *, failed: bool = False) -> str:
        """The release that the person saw, else the one under way."""
        if not by.revision:
            return self._current(service, failed=failed)
        release = by.revision.partition("|")[0]
        if release.partition("#")[0] != service:
            raise Refused("the button belongs to another service", reason=Reason.MOVED_ON, where=release)
        return release

    def _live_before(self, release: Release) -> Summary | None:
        """The last release that went live before this one, and is good."""
        worse = {release.image, release.blue_image if release.cure else ""}
        return self._good(self._record(release.service), release.number, worse)

    def _good(self, record: ServiceRecord | None, before: int, worse: set[str]) -> Summary | None:
        """The last one before it that went live, was not rolled back, and whose image is there and not `worse`.

        Those are what is to be left now, and what a cure has replaced since, or failed to: nobody goes back to that.
        """
        if record is None:
            return None
        rows = [one for one in self._journal.history(record.service, 50) if one.number < before]
        rows = [one for one in rows if one.outcome in (Outcome.LIVE, Outcome.FAILED) and one.image]
        good = [one for one in rows if one.outcome is Outcome.LIVE]
        kept = self.kept(good)
        there = [one for one in good if not kept.gone(one.image) and record.rolled_back(one.commit, one.image) is None]
        for one in rows if there else ():
            if one in there and one.image not in worse:
                return one
            if (passed := self._journal.load(one.id)).cure:
                worse = {*worse, passed.blue_image}
        return None

    def _current(self, service: str, *, failed: bool = False) -> str:
        record = self._record(service)
        if record and record.under_way:
            return release_id(service, record.under_way)
        if failed and record and record.last:
            last = self._journal.load(release_id(service, record.last))
            if last.outcome is Outcome.FAILED:
                return last.id
            may_be_rolled_back(last, self._way_back)
        what, hint = "no release is under way", f"`bluegreen history {service}` shows earlier releases."
        if record is None or not record.last:
            raise self._nothing_known(service, what, hint)
        raise Refused(what, reason=Reason.NOTHING_TO_DO, where=service, hint=hint)

    def _way_back(self, release: Release) -> str:
        live = self._live_before(release)
        image = live.image if live else release.blue_image
        command = way_back(replace(release, back=live.number if live else 0, back_image=image))
        first = "" if release.outcome else "Once it has settled, "
        if not command or (live is None and self._kept(release, [image]).gone(image)):
            return f"{first or 'No earlier good image is known: '}a release with `--cure` replaces what serves."
        return f"{first}`{command}` releases {image} again."

    def _status_of_many(self, record: ServiceRecord) -> ServiceStatus:
        try:
            return self._status(record)
        except AwsError:
            raise
        except Exception as error:  # whatever it is, it is that release's alone
            said = str(error) if isinstance(error, BlueGreenError) else f"{type(error).__name__}: {error}"
            return ServiceStatus(record.service, record, None, "", unreadable=one_line(said)[:LONGEST_REASON])

    def _status(self, record: ServiceRecord) -> ServiceStatus:
        number = record.under_way or record.last
        release = self._journal.load(release_id(record.service, number)) if number else None
        driver = self._journal.driver(release.id, self.clock.now) if release and record.under_way else ""
        return ServiceStatus(record.service, record, release, driver)

    def _follow_driver(self, release: Release, tell: Tell, stop: Callable[[], bool]) -> Release:
        """Tell what another driver does, for as long as it lives."""
        while not release.outcome and self._journal.driver(release.id, self.clock.now):
            checked = self.clock.now()
            while self.clock.now() - checked < TAKE_OVER and not release.outcome:
                if stop():
                    raise Interrupted("stopped watching", where=release.id, hint="Its driver goes on.")
                self.clock.sleep(1.0)
                release = _tell_news(release, self._journal.read(release.id, release.seq), tell)
        return release


def region_in(environment: Mapping[str, str]) -> str | None:
    """The region that an AWS environment names; None: that of its profile, if it has one.

    boto3 reads AWS_DEFAULT_REGION alone, every other SDK and Lambda AWS_REGION; it comes first here as there.
    """
    return environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or None


def _tell_news(release: Release, news: list[Event], tell: Tell) -> Release:

    for event in news:
        release = apply(release, event)
        tell(release, event, None, None)
    return release


def _caller(who: str | Caller) -> Caller:
    return who if isinstance(who, Caller) else Caller(who)


def _asked(config: Config, commit: str, *, hold: bool = False) -> Started:
    """A release of that commit, before anything is known of what it starts from."""
    nothing: dict[str, Any] = dict.fromkeys(("who", "image", "blue_group", "green_group", "image_name", "builder"), "")
    held = hold or config.promotion.by == "person"
    return Started(config.id, 0, commit=commit, hold=held, config=config.to_dict(), target_groups=(), **nothing)


def _placed(release: Release) -> Config:
    """Its configuration, with the region in which it began, wherever whoever looks now may be."""
    config = _config(release)
    return config.model_copy(update={"region": release.region}) if config.region is None and release.region else config


def _config(release: Release) -> Config:
    from bluegreen.config import Config

    return Config.from_dict(dict(release.config))


def _unrecorded(id_: str, facts: Facts, now: float) -> Release:

    return fold([Event(id_, 1, now, EventKind.STARTED, facts)])


def _table_clock(clock: Clock | None) -> TableClock:
    from bluegreen.driver import SystemClock, TableClock

    return TableClock(clock or SystemClock())


def _live_of(standing: Standing, baseline: Baseline) -> Live | None:
    """What the journal has to be told serves; None when it knows."""
    from bluegreen.journal import Live

    found = standing.found
    if found is None:
        return None
    version = int(baseline.resolved_version)
    return Live(found.name, baseline.blue_image, version, found.commit, found.number)


def _token() -> str:
    """What everything that a release makes will bear, and nothing else."""
    import secrets

    return secrets.token_hex(8)


def _holder() -> str:
    """Host, process and a random part: unique, and telling."""
    import socket
    import uuid

    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:6]}"
