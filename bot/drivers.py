"""Drivers for every release that has none: holds to be watched, soaks that end, runners that crashed.

Each release has its own thread, never one that answers people. Any number of bots may do this:
the lease decides who drives.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from bluegreen.engine import Engine
from bluegreen.errors import BlueGreenError, Interrupted, LeaseLost, Refused
from bluegreen.events import Awaited, Event, Reason, Until
from bluegreen.release import Release
from bot.metrics import Counters, Fence

log = logging.getLogger("bot.drivers")

#: How often the journal is asked what is under way; while something is driven, also which release was ordered what.
SCAN, HEAR = 5.0, 0.5
#: How often a driver reads the events of its release: seldom as long as one read of all services tells of every order,
#: and by itself when that has not come for so long.
SELDOM, OFTEN, DEAF = 30.0, 0.5, 3.0
#: A release that was written of so lately is left to whoever wrote: a runner that starts it takes the lease soon.
GRACE = 10.0
#: After trouble with a release it is left alone for so long.
TROUBLED = 30.0
#: Seconds from one attempt to remove what a service has kept to the next.
TIDY = 60.0
#: Releases driven by one bot at the same time.
MOST = 200
#: Seconds for drivers to come to a safe point when the bot ends; one call to AWS takes less.
DRAIN = 8.0


class _Alarm:
    """The time of a driver that can be woken, and how it hears of orders. `every`: as in `driver.Hearing`."""

    def __init__(self, now: Callable[[], float], every: Callable[[], float]) -> None:
        self.now, self.every = now, every
        self._rung, self._told = threading.Event(), threading.Event()

    def sleep(self, seconds: float) -> None:
        """Return after so many seconds, or once it is rung."""
        self._rung.wait(seconds)
        self._rung.clear()

    def ring(self) -> None:
        """End the sleep, or the next one: somebody has written about the release."""
        self._told.set()
        self._rung.set()

    def told(self) -> bool:
        """Whether it was rung since this was asked last."""
        told = self._told.is_set()
        self._told.clear()
        return told


class Drivers:
    """Drives releases that have no driver; `kick` starts with one at once, or wakes its driver here."""

    def __init__(self, engine: Engine, metrics: Counters, heard: Callable[[str], None]) -> None:
        self._engine, self._metrics, self._heard = engine, metrics, heard
        self._threads: dict[str, threading.Thread] = {}
        self._alarms: dict[str, _Alarm] = {}
        self._driven: set[str] = set()  # those of the threads that hold the lease
        self._tidying: dict[str, threading.Thread] = {}  # by service
        self._not_before: dict[str, float] = {}  # release, or service, that is left alone for a while
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._trouble = ""
        self._orders: dict[str, str] = {}  # the last order that is known of each service
        self._heard_at = -math.inf  # when all services were read last
        self._fence = Fence(metrics, log)
        self.read_at = time.monotonic()  # when the journal answered last

    def drives(self, release: str) -> bool:
        """Whether this bot drives it, so that it hears of each event; not while another still does."""
        return release in self._driven

    def kick(self, release: str) -> None:
        """Drive it; if this bot already does, make its driver read the journal. Returns at once."""
        with self._lock:
            if alarm := self._alarms.get(release):
                alarm.ring()
                return
            if self._stopping.is_set() or len(self._threads) >= MOST:
                return
            alarm = _Alarm(self._engine.clock.now, self._every)
            thread = threading.Thread(target=self._drive, args=(release, alarm), name=f"drives {release}", daemon=True)
            self._threads[release], self._alarms[release] = thread, alarm
        self._metrics.driving.set(len(self._threads))
        thread.start()

    def run(self, stop: Callable[[], bool]) -> None:
        """Drive releases that have no driver, until `stop` says so."""
        scanned = -math.inf
        while not stop():
            if time.monotonic() - scanned >= SCAN:
                scanned = time.monotonic()
                self.scan()
            else:
                self.hear()
            self._stopping.wait(HEAR if self._threads else SCAN)

    def scan(self) -> None:
        """Check everything that is under way once."""
        self._with_services(self._consider_all)

    def hear(self) -> None:
        """Wake the drivers here whose releases were ordered something; one read for all of them."""
        self._with_services(lambda records: None)

    def drain(self, seconds: float = DRAIN) -> None:
        """Let every driver end at its next safe point; the next driver continues from there."""
        self._stopping.set()
        ends = time.monotonic() + seconds
        for thread in [*self._threads.values(), *self._tidying.values()]:
            thread.join(max(0.0, ends - time.monotonic()))

    def resume(self) -> None:
        """Drive again after a drain."""
        self._stopping.clear()

    def wait(self, seconds: float) -> None:
        """Wait until nothing is driven here any more, at most so long."""
        ends = time.monotonic() + seconds
        while self._threads and time.monotonic() < ends:
            time.sleep(0.1)

    # --- inside ----------------------------------------------------------------------------------

    def _with_services(self, do: Callable[[list[Any]], None]) -> None:
        """Do it with every service, as it is now; what goes wrong is logged, and the next time comes."""
        try:
            do(self._read())
            self._trouble = ""
        except BlueGreenError as error:
            if self._trouble != str(error):
                log.warning("cannot read the journal: %s", error)
            self._trouble = str(error)
        except Exception:
            log.exception("an internal error while looking at all services")

    def _consider_all(self, records: list[Any]) -> None:
        if not records:
            self._engine.answered("health")  # an absent table reads as an empty journal there, and not here
        for record in records:
            if record.under_way:
                release = f"{record.service}#{record.under_way}"
                self._fence.passes("driven", release, partial(self._consider, release))
            if any(kept.until <= self._engine.clock.now() for kept in record.kept):
                self._fence.passes("tidied", record.service, partial(self._tidy, record))
        self.read_at = time.monotonic()

    def _read(self) -> list[Any]:
        """Every service; whoever drives a release that somebody ordered something is woken."""
        began = time.monotonic()
        records = self._engine.services()
        for record in records:
            if record.ordered != self._orders.get(record.service, ""):
                self._orders[record.service] = record.ordered
                self._wake(record.ordered.rpartition("/")[0])
        self._heard_at = began
        return records

    def _wake(self, release: str) -> None:
        with self._lock:
            alarm = self._alarms.get(release)
        if alarm:
            alarm.ring()

    def _every(self) -> float:
        """What a driver hears of orders by all services, it need not read itself."""
        return SELDOM if time.monotonic() - self._heard_at < DEAF else OFTEN

    def _consider(self, release: str) -> None:
        if release in self._threads or time.monotonic() < self._not_before.get(release, 0.0):
            return
        if self._engine.driver(release):
            return
        if self._engine.clock.now() - self._engine.load(release).last_at >= GRACE:
            self.kick(release)

    def _tidy(self, record: Any) -> None:
        """Remove what was kept long enough, beside the scan: AWS may be slow."""
        service = record.service
        if self._stopping.is_set() or time.monotonic() < self._not_before.get(service, 0.0):
            return
        self._not_before[service] = time.monotonic() + TIDY
        thread = threading.Thread(target=self._remove, args=(record,), name=f"tidies {service}", daemon=True)
        self._tidying[service] = thread
        thread.start()

    def _remove(self, record: Any) -> None:
        try:
            for one in self._engine.remove_kept(record):
                log.log(logging.INFO if one.done else logging.WARNING, "%s: %s", record.service, one.said)
        except Exception:
            log.exception("an internal error while removing what %s has kept", record.service)
        finally:
            self._tidying.pop(record.service, None)

    def _drive(self, release: str, alarm: _Alarm) -> None:
        try:
            self._engine.drive(
                release,
                until=Until.LIVE,
                tell=self._told,
                stop=self._stopping.is_set,
                clock=alarm,
                hearing=alarm,
            )
        except (LeaseLost, Interrupted):
            log.info("another driver has %s, or it comes later", release)
        except Refused as refusal:
            if refusal.reason != Reason.UNDER_WAY:
                self._troubled(release, refusal)
        except BlueGreenError as error:
            self._troubled(release, error)
        except Exception:
            log.exception("an internal error while driving %s", release)
            self._not_before[release] = time.monotonic() + TROUBLED
        finally:
            with self._lock:
                self._threads.pop(release, None)
                self._alarms.pop(release, None)
                self._driven.discard(release)
            self._metrics.driving.set(len(self._threads))
            self._heard(release)

    def _told(self, release: Release, event: Event | None, awaited: Awaited | None, deadline: float | None) -> None:
        """The driver's Tell; it tells nothing before it has the lease."""
        self._driven.add(release.id)
        if event:
            self._heard(release.id)

    def _troubled(self, release: str, error: BlueGreenError) -> None:
        log.error("cannot drive %s now: %s", release, error)
        self._not_before[release] = time.monotonic() + TROUBLED
