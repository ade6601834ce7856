"""What wakes a driver that waits; what drivers do is seen in test_processes and test_killed."""

import threading
import time
from types import SimpleNamespace
from typing import Any

from bluegreen.engine import Removal
from bluegreen.journal import KeptGreen, ServiceRecord
from bot.drivers import Drivers, _Alarm
from bot.metrics import Counters
from tests.worlds import Ops


def test_a_ring_before_the_sleep_ends_it() -> None:
    """An order that comes between two looks at the journal is not waited for."""
    alarm = _Alarm(time.time)
    alarm.ring()
    assert _slept(alarm, 30.0)


def test_a_ring_ends_one_sleep() -> None:
    """The next sleep lasts; only a ring of its own ends it."""
    alarm = _Alarm(time.time)
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
    alarm = _Alarm(clock.now)
    alarm.sleep = clock.sleep  # type: ignore[method-assign]  # it waits on the lab's clock
    drivers._drive(release.id, alarm)
    assert seen == [False, True]
    assert not drivers.drives(release.id)
    assert heard


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
