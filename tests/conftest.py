"""What holds for every test."""

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


# How long an example takes says more about what else the machine does than about the code.
settings.register_profile("calm", deadline=None)
settings.load_profile("calm")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slow ones first: they mostly wait, and at the end nothing else would be left to do meanwhile."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


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
