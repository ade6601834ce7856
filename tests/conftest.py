"""What holds for every test."""

import signal

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
