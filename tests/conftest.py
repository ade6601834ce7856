"""What holds for every test."""

import fcntl
import gc
import os
import re
import signal
from collections.abc import Generator

import coverage
import pytest
from hypothesis import settings

# A shell that starts us in the background has SIGINT ignored, and children inherit that: then no test could interrupt
# them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


#: Set to a number: property tests search from there. Unset: from the same place each time, so that whoever runs the
#: tests for the first time does not meet a fault that nobody has met before. CI searches on (`make check`, `.ci/run`).
SEED = "BLUEGREEN_SEED"

# How long an example takes says more about what else the machine does than about the code.
settings.register_profile("fixed", deadline=None, derandomize=True, database=None, max_examples=50)
settings.register_profile("searching", deadline=None)
settings.load_profile("searching" if os.environ.get(SEED) else "fixed")


@pytest.hookimpl(tryfirst=True)  # before Hypothesis reads its options
def pytest_configure(config: pytest.Config) -> None:
    """Every worker searches from the seed of the environment (Hypothesis's own option, `--hypothesis-seed`)."""
    if seed := os.environ.get(SEED):
        config.option.hypothesis_seed = seed


def pytest_report_header() -> str:
    """How to search from the same place again."""
    seed = os.environ.get(SEED)
    return f"property tests: searching from {SEED}={seed}" if seed else "property tests: the same examples each time"


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Of several workers one collects first: the others find compiled what it has compiled."""
    kept = session.config.rootpath / ".pytest_cache"
    kept.mkdir(exist_ok=True)
    with (kept / "collecting").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(lock, fcntl.LOCK_SH)
        return (yield)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests wait, the others compute: mixed, one worker does while the other waits. The longest come first."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return  # one after another: tests that share what their module made stay together
    slow = [item for item in items if item.get_closest_marker("slow")]
    quick = [item for item in items if not item.get_closest_marker("slow")]
    slow.sort(key=_seconds, reverse=True)
    items[:] = slow[:2]
    for number, item in enumerate(slow[2:]):
        items += [item, *quick[_part(quick, number, slow) : _part(quick, number + 1, slow)]]
    items += quick[_part(quick, max(0, len(slow) - 2), slow) :]


def _seconds(item: pytest.Item) -> float:
    slow = item.get_closest_marker("slow")
    return float(slow.kwargs.get("seconds", 5)) if slow else 0


def _part(quick: list[pytest.Item], number: int, slow: list[pytest.Item]) -> int:
    """Where the quick ones after so many slow ones begin; a fifth is kept for the end, which nobody shall wait for."""
    return 4 * len(quick) * number // (5 * max(1, len(slow) - 2))


def pytest_collection_finish() -> None:
    """What was imported and collected stays to the end: looking through it for garbage costs an eighth of the CPU."""
    from bluegreen.entry_points import (
        collect_seldom,
    )  # not above: the core is not to be imported before coverage counts

    gc.collect()
    gc.freeze()
    collect_seldom()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """The core is covered by the tests that are named after its modules; tracing makes a test take twice as long."""
    traced = coverage.Coverage.current()
    if traced is None or _covers(item.path.stem, traced.get_option("report:include")):
        return (yield)
    traced.stop()
    try:
        return (yield)
    finally:
        traced.start()


def _covers(test: str, core: object) -> bool:
    """Whether a file of tests is named after a module of the core, such as `bluegreen/phases/*.py`."""
    assert isinstance(core, list)
    names = [re.sub(r"(/\*)?\.py$", "", module).rpartition("/")[2] for module in core]
    return any(f"{test}_".startswith(f"test_{name}_") for name in names)
