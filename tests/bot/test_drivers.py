"""What wakes a driver that waits; what drivers do is seen in test_processes and test_killed."""

import threading
import time
from types import SimpleNamespace
from typing import Any

from bluegreen.driver import LOOKS_UP
from bluegreen.engine import Removal
from bluegreen.events import Event, EventKind, Outcome, Phase
from bluegreen.journal import KeptGreen, ServiceRecord
from bluegreen.release import Release
from bot.drivers import DEAF, OFTEN, SELDOM, Drivers, _Alarm
from bot.metrics import Counters
from tests.worlds import Ops, bare


def test_a_ring_before_the_sleep_ends_it() -> None:
    """An order that comes between two looks at the journal is not waited for."""
    alarm = _Alarm(time.time, lambda: 30.0)
    alarm.ring()
    assert _slept(alarm, 30.0)


def test_a_ring_ends_one_sleep() -> None:
    """The next sleep lasts; only a ring of its own ends it."""
    alarm = _Alarm(time.time, lambda: 30.0)
    alarm.ring()
    alarm.sleep(30.0)
    assert not _slept(alarm, 30.0, patience=0.2)


def test_what_only_waits_for_the_lease_is_not_driven() -> None:
    """Another process drives it and tells this bot nothing, so the follower must go on looking."""
    ops = Ops(instances=1)
    release, engine, clock = ops.start(), ops.engine(), ops.clock
    lease = engine._journal.take_lease(release.id, "elsewhere", clock.now(), 30)
    assert lease is not None
    heard: list[str] = []
    seen: list[bool] = []
    drivers = Drivers(engine, Counters(), heard.append)

    def look() -> None:
        seen.append(drivers.drives(release.id))

    clock.after(3, look)
    clock.after(5, lambda: engine._journal.drop(lease))
    clock.after(20, look)
    clock.after(21, drivers._stopping.set)
    alarm = _Alarm(clock.now, lambda: 0.5)
    alarm.sleep = clock.sleep  # type: ignore[method-assign]  # it waits on the lab's clock
    drivers._drive(release.id, alarm)
    assert seen == [False, True]
    assert not drivers.drives(release.id)
    assert heard


def test_drivers_hear_of_orders_by_one_read_for_all() -> None:
    """A driver reads its own journal seldom as long as that read comes, and is woken by an order of another process."""
    ops = Ops(instances=1)
    release = ops.start()
    drivers = Drivers(ops.engine(), Counters(), lambda release: None)
    assert drivers._every() == OFTEN
    alarm = drivers._alarms[release.id] = _Alarm(time.time, drivers._every)
    drivers.hear()
    assert (drivers._every(), alarm.told()) == (SELDOM, False)
    ops.engine().hold("web/production", who="slack:U1")
    drivers.hear()
    assert (alarm.told(), alarm.told()) == (True, False)
    drivers.hear()
    assert not alarm.told()
    ops.aws.faults.deny("dynamodb:Query")
    drivers.hear()
    drivers._heard_at -= DEAF
    assert drivers._every() == OFTEN


def test_a_driver_that_is_told_acts_at_once_and_reads_seldom() -> None:
    """Of a release that is held for an hour: an order is heard within a second, and the journal is hardly read."""
    ops = bare(promotion={"by": "person", "timeout": "2h"})
    release = ops.start()
    told: list[bool] = []
    hearing = SimpleNamespace(every=lambda: SELDOM, told=lambda: bool(told and told.pop()))
    reads: list[float] = []

    def order() -> None:
        reads.append(sum(call.name == "dynamodb:Query" for call in ops.aws.calls))
        ops.engine().promote("web/production", who="slack:U1")
        told.append(True)

    ops.clock.after(3600, order)
    heard: list[float] = []

    def tell(seen: Release, event: Event | None, awaited: object, deadline: float | None) -> None:
        if event is not None and event.kind is EventKind.ENTERED and event.phase is Phase.SWITCHING:
            heard.append(ops.clock.now())

    began = ops.clock.now()
    done = ops.engine().drive(release.id, tell=tell, hearing=hearing)
    assert done.outcome is Outcome.LIVE
    assert reads[0] < 3600 / SELDOM + 100
    assert heard[0] - began - 3600 <= LOOKS_UP + 1


def test_what_was_kept_long_enough_is_removed_once_a_minute() -> None:
    """Beside the scan; what goes wrong there harms no scan, and nothing is begun while the bot ends."""
    removed: list[str] = []
    over, later = (KeptGreen(number, f"web-v{number}", until) for number, until in ((1, 10.0), (2, 30.0)))
    records = [ServiceRecord("web/production", kept=(over, later)), ServiceRecord("api/production", kept=(later,))]
    record = records[0]

    def remove(record: ServiceRecord) -> list[Removal]:
        removed.append(record.service)
        if len(removed) == 1:
            raise KeyError("x")
        return [Removal(record.service, "web-v1", "is gone", done=done) for done in (True, False)]

    engine: Any = SimpleNamespace(
        services=lambda: records,
        remove_kept=remove,
        clock=SimpleNamespace(now=lambda: 20.0),
        answered=lambda name: None,
    )
    drivers = Drivers(engine, Counters(), lambda release: None)
    drivers.scan()
    drivers.drain()
    drivers.resume()
    drivers.scan()
    assert removed == ["web/production"], "it was tried less than a minute ago"
    drivers._not_before.clear()
    drivers.scan()
    drivers.drain()
    assert removed == ["web/production"] * 2
    drivers._not_before.clear()
    drivers._tidy(record)
    assert (removed, drivers._tidying) == (["web/production"] * 2, {})


def _slept(alarm: _Alarm, seconds: float, patience: float = 10.0) -> bool:
    """Whether the sleep has ended in time."""
    sleeper = threading.Thread(target=alarm.sleep, args=(seconds,), daemon=True)
    sleeper.start()
    sleeper.join(patience)
    return not sleeper.is_alive()
