"""What wakes a driver that waits; what drivers do is seen in test_processes and test_killed."""

import threading
import time

from bot.drivers import _Alarm


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


def _slept(alarm: _Alarm, seconds: float, patience: float = 10.0) -> bool:
    """Whether the sleep has ended in time."""
    sleeper = threading.Thread(target=alarm.sleep, args=(seconds,), daemon=True)
    sleeper.start()
    sleeper.join(patience)
    return not sleeper.is_alive()
