"""The loop: observe, decide, record, act. The one place where decisions meet effects, sleep and the clock.

Nothing that decides is in memory alone: a driver may die at any line. The next one that takes the lease continues from
the events and a new observation. (The journal has only a part of flapping values; see `phases.Lately`.) The order
inside a round matters:

    observe → decide → append `began` → act → append `did`

`began` carries the next number after the events that the decision was made from. If anybody (a person
with a rollback order, another driver) wrote since then, that number is taken and the driver skips the act.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Protocol, assert_never

from bluegreen import phases
from bluegreen.errors import AwsError, BlueGreenError, Conflict, Interrupted, Refused
from bluegreen.events import (
    Act,
    Awaited,
    Awaiting,
    Blinded,
    Did,
    DriverStopped,
    Entered,
    Erred,
    Event,
    EventKind,
    Facts,
    Made,
    Observed,
    ObservedState,
    Payload,
    Phase,
    Reason,
    Settled,
    Stumbled,
    TakenUp,
    Until,
    Verb,
    kind_of,
)
from bluegreen.phases import Decision, Enter, Rest, RollBack, Wait
from bluegreen.release import Release, apply

if TYPE_CHECKING:
    from bluegreen.config import Config
    from bluegreen.observation import Observation

log = logging.getLogger("bluegreen")

#: The lease is renewed when less than this part of it is left: 20 of 30 s; one attempt of a call to AWS takes less.
MARGIN = 2 / 3
#: While it only looks and waits, a driver renews when less than this part is left: 10 of 30 s. A lease that lapses in
#: between is renewed unless another driver has taken it, and before an act MARGIN counts.
WAITING = 1 / 3
#: A look that takes longer than this is given up, in seconds: AWS was asked three times, or answers a byte at a time.
LOOK_MAX = 120.0
#: In a look the journal is not asked more often than this, in seconds.
SHORTEST = 0.05
#: In a look, and while the journal fails or another driver has the lease, a driver looks up so often, in seconds.
ASKED = 0.5
#: While it waits a driver looks up at least so often, in seconds: how it hears of orders may have changed.
LOOKS_UP = 2.0
#: An act is not done on a look older than this.
FRESH = 15.0
#: How long the journal may be out of reach before the driver gives up; the release can be resumed.
PATIENCE = 600.0
#: How long we wait for another driver's lease to lapse, in leases: 45 s for one of 30 s, as clocks differ.
LAPSE = 1.5


#: A clock that differs less from the table's is right, in seconds; one that differs more than that is worth a warning.
ACCURACY, WORTH_SAYING = 2.0, 5.0
#: So many of DynamoDB's last answers say what time it is.
ANSWERS = 3

#: So much is told of a mistake of our own.
MISTAKE_MAX = 200

#: What a driver that was asked to go no further does not wait for.
_NOT_OURS: Mapping[Until, frozenset[Awaited]] = {
    Until.HELD: frozenset({Awaited.PROMOTION}),
    Until.SWITCHED: frozenset({Awaited.PROMOTION, Awaited.SOAK}),
    Until.LIVE: frozenset(),
}

#: Called with each new event, and without one at each wait: (release, event, awaited, deadline).
Tell = Callable[[Release, Event | None, Awaited | None, float | None], None]


class Clock(Protocol):
    """Time, passed in so that tests need not wait."""

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""
        ...


class Hearing(Protocol):
    """How a driver hears of what others write about its release."""

    def every(self) -> float:
        """Seconds between two reads of the journal at most, as things are now."""
        ...

    def told(self) -> bool:
        """Whether somebody is known to have written since this was asked last."""
        ...


@dataclass(frozen=True)
class Reading:
    """It reads the journal so often, in seconds; nobody tells it anything."""

    seconds: float

    def every(self) -> float:
        """Always the same."""
        return self.seconds

    def told(self) -> bool:
        """Never."""
        return False


class SystemClock:
    """The machine's own time."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Block for so many seconds."""
        time.sleep(seconds)


class TableClock:
    """The time of the journal's table, by this machine's clock and what it is found to be off by.

    All drivers of one table use this time, so that a lease, a soak and a deadline end at the same moment for all of
    them. Every answer of DynamoDB has it, in full seconds and a little late, so differences up to `ACCURACY` do not
    count. A slow answer makes the clock seem ahead, so it uses the newest few.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._behind: deque[float] = deque(maxlen=ANSWERS)
        self._lock = threading.Lock()  # a bot drives in many threads
        self._off = 0.0
        self._said = False

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._clock.now() + self._off

    def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""
        self._clock.sleep(seconds)

    @property
    def ahead(self) -> int:
        """By how many seconds this machine's clock is ahead, negative when behind; 0 if the difference is small."""
        return 0 if abs(self._off) <= WORTH_SAYING else -round(self._off)

    def heard(self, date: float) -> None:
        """The table's time, as an answer that came at this moment told it."""
        with self._lock:
            self._behind.append(date + 0.5 - self._clock.now())
            off = max(self._behind)
            off = off if abs(off) > ACCURACY else 0.0
            if abs(off - self._off) <= ACCURACY / 2:
                return
            self._off = off
            said, self._said = self._said, bool(self.ahead)
        if self.ahead and not said:
            log.warning("this machine's clock is %s; bluegreen uses DynamoDB's time; correct the clock", self._how_far)

    @property
    def _how_far(self) -> str:
        return f"{abs(self.ahead)} s {'fast' if self.ahead > 0 else 'slow'}"


class Journal(Protocol):
    """What a driver needs of the journal; `journal.Journal` implements it, and documents what each call raises."""

    def read(self, release_id: str, after: int = 0) -> list[Event]:
        """Events after a number, in order."""
        ...

    def append(self, release_id: str, seq: int, kind: EventKind, facts: Facts, now: float) -> Event:
        """Write the next event; Conflict when its number is taken."""
        ...

    def settle(self, release: Release, seq: int, facts: Facts, now: float) -> Event:
        """Write the last event and the service's new state at once."""
        ...

    def claim_builder(self, builder: str, release_id: str, now: float) -> str:
        """Empty when the builder is ours now, else the release that holds it."""
        ...

    def free_builder(self, builder: str, release_id: str) -> None:
        """Give the claim up."""
        ...

    def take_lease(self, release_id: str, holder: str, now: float, seconds: float) -> Any:
        """A lease for so long (with `expires`, epoch seconds), or None while another driver's lives."""
        ...

    def renew(self, lease: Any, now: float) -> Any:
        """The lease, longer; LeaseLost when another driver has it."""
        ...

    def drop(self, lease: Any) -> None:
        """End the lease."""
        ...


class Cloud(Protocol):
    """What a driver needs of AWS; `aws.Cloud` implements it."""

    def observe(self, release: Release, now: float, heed: Callable[[], float]) -> Observation:
        """An observation for the release's phase; AwsError when AWS does not give it.

        It calls `heed` before every call to AWS, and again after the seconds that `heed` returns, until the answer is
        there. `heed` raises to end the observation at once.
        """
        ...

    def perform(self, act: Act, release: Release, permit: Callable[[], None], heed: Callable[[], float]) -> Made:
        """Do one act; `permit` is called before every changing call, and raises when it may not be made.

        Before the first of them `heed` may end the act, as it may end an observation.
        """
        ...


class Driver:
    """Drives one release. `holder` names this driver in the lease of `lease` seconds, for people to read.

    `release` is what the journal said when it was last read; any other driver would read the same. `ahead` returns by
    how many seconds this machine's clock is ahead of the table's, which the journal records (`TableClock.ahead`).
    `hearing` says when the journal is to be read.
    """

    def __init__(
        self,
        release: Release,
        *,
        journal: Journal,
        cloud: Cloud,
        config: Config,
        clock: Clock,
        holder: str,
        lease: float,
        hearing: Hearing,
        tell: Tell,
        stop: Callable[[], bool] = lambda: False,
        ahead: Callable[[], int] = lambda: 0,
    ) -> None:
        self.release = release
        self.journal = journal
        self.cloud = cloud
        self.config = config
        self.clock = clock
        self.holder = holder
        self.lease_seconds = lease
        self.hearing = hearing
        self.tell = tell
        self.stop = stop
        self.ahead = ahead
        self._lease: Any = None  # the journal's own kind of lease
        self._lately = phases.Lately()
        self._looked = 0.0
        self._looking = 0.0  # since when
        self._heard_at = 0.0  # when the journal was last read, or shown to have nothing new
        self._taken_up = False
        self._behind = False  # others have written, or may have
        self._parked = False
        self._waited: tuple[Phase, Awaited] | None = None  # the last wait; forgotten, an event comes a look later
        self._unreachable: float | None = None  # since when the journal fails

    def drive(self, until: Until = Until.LIVE) -> Release:
        """Drive the release to its end, or as far as `until`; returns it as it then stands.

        Raises Refused when another driver goes on driving it, LeaseLost when another took it over,
        Interrupted when `stop` said so (recorded, and resumable). AwsError when the journal is unreachable or the
        credentials have expired: the release has not failed, and another driver may continue.
        """
        self._take_lease()
        try:
            while not self.release.outcome and not self._parked:
                self._round(until)
        except Interrupted:
            self._record_interruption()
            raise
        finally:
            self._drop_lease()
        return self.release

    def _round(self, until: Until) -> None:
        try:
            self._permit(WAITING)
            if self._behind:
                self._catch_up()
            if not self._taken_up:
                self._take_up()
            else:
                self._go_on(until)
            self._unreachable = None
        except Conflict:
            self._behind = True
        except AwsError as error:  # those of the cloud are dealt with where they arise: this is the journal's
            self._wait_for_journal(error)

    def _go_on(self, until: Until) -> None:
        try:
            self._carry_out(self._decide(), until)
        except BlueGreenError:
            raise
        except Exception as error:
            log.exception("an internal error of bluegreen in %s", self.release.id)
            self._own_mistake(error, until)

    # --- look and decide -------------------------------------------------------------------------

    def _decide(self) -> Decision:
        if ordered := phases.ordered(self._known):
            return ordered
        self._looking = self.clock.now()
        try:
            seen = self.cloud.observe(self._known, self._looking, self._heed)
        except AwsError as error:
            if error.expired:
                raise
            return self._blind(error)
        self._looked = self.clock.now()
        self._notice(phases.noticed(self._known, seen, self.config))
        return phases.decide(self._known, seen, self.config, self._looked)

    @property
    def _known(self) -> Release:
        """What the journal says, and what was seen since."""
        return self._lately.known(self.release)

    def _notice(self, changed: Iterable[ObservedState]) -> None:
        for seen in changed:
            if seen.subject in phases.ALWAYS:
                self._append(Observed(seen))
            else:
                self._lately = self._lately.also(self._known, seen)
        self._write_down(self._lately.due(self.release, self._looked))

    def _write_down(self, observed: Iterable[Observed]) -> None:
        for one in observed:
            self._append(one)
            self._lately = self._lately.without(one.seen.subject)

    def _write_all_down(self) -> None:
        self._write_down(self._lately.all(self.release, self.clock.now()))

    def _heed(self) -> float:
        """In the middle of a look, or before an act's first change: keep the lease, and end it when there is an order.

        Any other news in the journal is as good. Seconds until it is to be asked again. A look ends, too, when it takes
        too long, or when the lease may be another's.
        """
        if self.clock.now() - self._looking >= LOOK_MAX:
            raise AwsError(f"no answer for {LOOK_MAX:g} s", code="NoAnswer", operation="AWS", transient=True)
        try:
            self._permit(WAITING)
            news = self._hears() and self._catch_up()
        except AwsError as error:  # the journal's: it is met again after the look, which AWS may answer all the same
            if self.clock.now() >= self._lease.expires:
                raise Conflict("the lease is over", where=self.release.id) from error
            return ASKED
        if news:
            raise Conflict("there is news", where=self.release.id)
        return min(max(self._read_in(), SHORTEST), ASKED)

    def _blind(self, error: AwsError) -> Decision:
        if self.release.blind_since is None:
            self._append(Blinded(error.code, str(error)))
        return phases.blind(self._known, self.clock.now(), denied=error.denied, message=str(error))

    def _own_mistake(self, error: Exception, until: Until) -> None:
        """Told to people, tried again a few times, then given up as the phase allows.

        What goes wrong in here ends this driver: there is nobody left to tell it to but its door.
        """
        self._record(Erred(type(error).__name__, _mistake(error)))
        self._carry_out(phases.erred(self._known, self.clock.now()), until)

    # --- carry out -------------------------------------------------------------------------------

    def _carry_out(self, decision: Decision, until: Until) -> None:
        ordered = isinstance(decision, RollBack) and decision.reason is Reason.ORDERED
        if not (ordered or isinstance(decision, Wait)):
            self._write_all_down()  # whoever reads what is done can see why; an order is not kept waiting by it
        match decision:
            case Act():
                self._act(decision)
            case Enter():
                self._append(Entered(decision.phase, decision.image))
            case RollBack():
                why = (decision.reason, decision.message)
                self._append(Entered(Phase.ROLLING_BACK, goes_back_for=why))
            case Wait():
                self._wait(decision, until)
            case Rest():
                self._settle(decision)
            case _:
                assert_never(decision)

    def _act(self, act: Act) -> None:
        self._append(act)
        if self.clock.now() - self._looked > FRESH:
            return
        try:
            made = self._perform(act)
        except AwsError as error:
            if error.expired:
                raise
            self._record(_failed_attempt(act.verb, error))
        else:
            self._record(Did(act.verb, **made))

    def _perform(self, act: Act) -> Made:
        self._permit()
        if act.verb is Verb.CLAIM_BUILDER:
            return self._claim_builder()
        if act.verb is Verb.FREE_BUILDER:
            self.journal.free_builder(self.release.builder, self.release.id)
            return {}
        return self.cloud.perform(act, self.release, self._permit, self._heed)

    def _claim_builder(self) -> Made:
        builder = self.release.builder
        other = self.journal.claim_builder(builder, self.release.id, self.clock.now())
        if other:
            busy = f"{builder} is baking for {other}"
            raise AwsError(busy, code="BuilderBusy", operation="claim", transient=True)
        return {"builder": builder}

    def _settle(self, rest: Rest) -> None:
        settled = Settled(rest.outcome, rest.reason, rest.message, rest.left)
        event = self.journal.settle(self.release, self.release.seq + 1, settled.to_facts(), self.clock.now())
        self._heard(event)

    # --- wait ------------------------------------------------------------------------------------

    def _wait(self, wait: Wait, until: Until) -> None:
        self._say(None, wait.awaited, wait.deadline)
        self._record_wait(wait)
        if wait.awaited in _NOT_OURS[until]:
            self._write_all_down()
            self._parked = True
            return
        ends = self.clock.now() + wait.seconds
        while (left := ends - self.clock.now()) > 0:
            self.clock.sleep(min(left, self._read_in(), self._renewed_in(), LOOKS_UP))
            self._permit(WAITING)
            if self._hears() and self._catch_up():
                return

    def _hears(self) -> bool:
        """Whether the journal is to be read now."""
        return self.hearing.told() or self._read_in() <= 0

    def _read_in(self) -> float:
        """Seconds until the journal is to be read, if nobody tells of anything before."""
        return max(self._heard_at + self.hearing.every() - self.clock.now(), 0.0)

    def _renewed_in(self) -> float:
        """Seconds until the lease of a driver that waits is to be renewed."""
        left: float = self._lease.expires - self.clock.now()
        return max(left - WAITING * self.lease_seconds, SHORTEST)

    def _record_wait(self, wait: Wait) -> None:
        """So that whoever asks is told what is awaited, not what it may be.

        A wait without an end may be over with the next look: it is told when that goes on waiting for the same.
        """
        now, before = Awaiting(wait.awaited, wait.deadline), self._waited
        self._waited = (self.release.phase, wait.awaited)
        if now.like(self.release.awaits) or (wait.deadline is None and before != self._waited):
            return
        self._append(now)

    def _wait_for_journal(self, error: AwsError) -> None:
        now = self.clock.now()
        self._unreachable = now if self._unreachable is None else self._unreachable
        if not error.transient or now - self._unreachable >= PATIENCE:
            raise error
        log.warning("the journal cannot be reached, trying again: %s", error)
        self.clock.sleep(ASKED)

    # --- the journal -----------------------------------------------------------------------------

    def _append(self, payload: Payload) -> None:
        now, kind = self.clock.now(), kind_of(payload)
        event = self.journal.append(self.release.id, self.release.seq + 1, kind, payload.to_facts(), now)
        self._heard_at = now
        self._heard(event)

    def _record(self, payload: Payload) -> None:
        """What has happened has happened, whatever others wrote meanwhile."""
        try:
            self._append(payload)
        except Conflict:
            self._catch_up()
            self._append(payload)

    def _take_up(self) -> None:
        """Go on where the journal stands; say so unless we are the release's first driver."""
        self._catch_up()
        if self.release.seq > 1 and not self.release.outcome:
            self._append(TakenUp(self.holder, self.ahead()))
        self._taken_up = True

    def _catch_up(self) -> bool:
        """Read what others wrote; whether there was anything."""
        now = self.clock.now()
        news = self.journal.read(self.release.id, after=self.release.seq)
        self._heard_at, self._behind = now, False
        for event in news:
            self._heard(event)
        return bool(news)

    def _heard(self, event: Event) -> None:
        self.release = apply(self.release, event)
        self._say(event, None, None)

    def _say(self, event: Event | None, awaited: Awaited | None, deadline: float | None) -> None:
        """Nobody who listens may stop a release (S10)."""
        try:
            self.tell(self.release, event, awaited, deadline)
        except Exception:
            log.exception("could not show %s", event or awaited)

    def _record_interruption(self) -> None:
        try:
            self._catch_up()
            if not self.release.outcome:
                self._write_all_down()
                self._append(DriverStopped(self.holder))
        except (AwsError, Conflict):
            log.warning("could not record the interruption; you can resume the release anyway")

    # --- the lease -------------------------------------------------------------------------------

    def _permit(self, left: float = MARGIN) -> None:
        """Raise unless something new may be begun now: nobody asked us to stop, and the lease is ours.

        It is renewed when less than this part of it is left.
        """
        if self.stop():
            raise Interrupted("stopped on request", where=self.release.id, hint="resume continues from here")
        now = self.clock.now()
        if self._lease.expires - now < left * self.lease_seconds:
            self._lease = self.journal.renew(self._lease, now)

    def _take_lease(self) -> None:
        gives_up = self.clock.now() + LAPSE * self.lease_seconds
        while (lease := self._taken_lease()) is None:
            if self.stop():
                raise Interrupted("stopped on request", where=self.release.id)
            if self.clock.now() >= gives_up:
                hint = "That driver continues; `bluegreen status` shows the release."
                raise Refused("another driver is at work", reason=Reason.UNDER_WAY, where=self.release.id, hint=hint)
            self.clock.sleep(ASKED)
        self._lease = lease

    def _taken_lease(self) -> Any:
        return self.journal.take_lease(self.release.id, self.holder, self.clock.now(), self.lease_seconds)

    def _drop_lease(self) -> None:
        try:
            self.journal.drop(self._lease)
        except AwsError:
            log.warning("could not free the lease of %s; it ends by itself", self.release.id)


def _failed_attempt(verb: Verb, error: AwsError) -> Stumbled:
    return Stumbled(verb, error.code, str(error), error.transient, error.denied)


def _mistake(error: Exception) -> str:
    """What went wrong and where, for whoever mends it: `KeyError: 'x' (phases/retiring.py, line 42)`."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = "/".join(PurePath(last.filename).parts[-2:])
    said = " ".join(f"{type(error).__name__}: {error}".split())[:MISTAKE_MAX]
    return f"{said} ({where}, line {last.lineno})"
