"""The virtual clock: it moves when somebody sleeps, and what was put on it happens on the way, in order."""

from __future__ import annotations

import time

from lab.clock import RealClock, VirtualClock


def test_it_stands_still_until_somebody_sleeps() -> None:
    """Two looks show the same time; a sleep moves it by exactly so much, and nobody waits."""
    clock, began = VirtualClock(1000), time.monotonic()
    assert (1000, 1000) == (clock.now(), clock.now())
    clock.sleep(86_400)
    assert clock.now() == 87_400
    assert time.monotonic() - began < 8_640


def test_callbacks_run_in_time_order_at_their_own_time() -> None:
    """Each sees the clock at its own moment; of two at the same moment the first put runs first."""
    clock = VirtualClock(0)
    seen: list[tuple[str, float]] = []
    clock.at(20, lambda: seen.append(("late", clock.now())))
    clock.after(10, lambda: seen.append(("early", clock.now())))
    clock.after(10, lambda: seen.append(("second", clock.now())))
    clock.sleep(15)
    assert seen == [("early", 10), ("second", 10)]
    clock.sleep(15)
    assert seen[-1] == ("late", 20)
    assert clock.now() == 30


def test_a_callback_may_sleep_and_put_more_on_the_clock() -> None:
    """The clock never goes back, and what is due by then runs too."""
    clock = VirtualClock(0)
    seen: list[float] = []

    def again() -> None:
        seen.append(clock.now())
        clock.sleep(3)
        clock.after(4, lambda: seen.append(clock.now()))

    clock.after(5, again)
    clock.sleep(20)
    assert (seen, clock.now()) == ([5, 12], 20)


def test_the_real_clock_waits() -> None:
    """It tells epoch seconds, and sleeping takes its time; a negative sleep takes none."""
    clock, began = RealClock(), time.monotonic()
    clock.sleep(0.02)
    clock.sleep(-1)
    assert time.monotonic() - began >= 0.02
    before = time.time()
    assert before <= clock.now() <= time.time()
