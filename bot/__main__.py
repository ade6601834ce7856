"""`python -m bot`: run until SIGTERM or SIGINT."""

from __future__ import annotations

import os
import signal
import sys
import threading

from bluegreen.errors import BlueGreenError
from bot import logs, settings
from bot.service import Bot
from bot.serving import raise_file_limit


def main() -> int:
    """Exit codes: 0 stopped on request, 1 it could not run, 2 its settings are wrong."""
    try:
        read = settings.read(os.environ)
    except BlueGreenError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    logs.set_up(read.log_level)
    raise_file_limit()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda signum, frame: stop.set())
    try:
        Bot(read).run(stop)
    except (BlueGreenError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
