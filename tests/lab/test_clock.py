"""The virtual clock: it moves when somebody sleeps, and what was put on it happens on the way, in order."""

from __future__ import annotations

import time

import pytest

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


def test_work_beside_somebody_takes_its_time() -> None:
    """Whoever waits is asked meanwhile; what is late alone is slept."""
    clock, asked = VirtualClock(1000), list[float]()

    def heed() -> float:
        asked.append(clock.now())
        return 0.5

    def work() -> str:
        clock.late(1.2)
        return "done"

    assert clock.beside(work, heed) == "done"
    assert (asked, clock.now()) == ([1000.0, 1000.5, 1001.0], 1001.2)
    clock.late(3)
    assert clock.now() == 1004.2


def test_work_beside_somebody_is_ended_by_what_heed_raises_and_raises_when_it_is_over() -> None:
    """Nobody waits for the rest of it; an error comes as late as an answer."""
    clock = VirtualClock(1000)

    def fails() -> None:
        clock.late(2)
        raise ValueError("late")

    with pytest.raises(ValueError, match="late"):
        clock.beside(fails, lambda: 0.5)
    assert clock.now() == 1002

    def heed() -> float:
        if clock.now() > 1003:
            raise KeyError
        return 0.5

    with pytest.raises(KeyError):
        clock.beside(lambda: clock.late(60), heed)
    assert clock.now() == 1003.5


def test_the_real_clock_waits() -> None:
    """It tells epoch seconds, and sleeping takes its time; a negative sleep takes none."""
    clock, began = RealClock(), time.monotonic()
    clock.sleep(0.02)
    clock.sleep(-1)
    assert time.monotonic() - began >= 0.02
    before = time.time()
    assert before <= clock.now() <= time.time()
