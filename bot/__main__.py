"""`python -m bot`: run until SIGTERM or SIGINT."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading

from bluegreen import BlueGreenError
from bot import settings
from bot.running import Bot


def main() -> int:
    """Exit codes: 0 stopped on request, 1 it could not run, 2 its settings are wrong."""
    try:
        read = settings.read(os.environ)
    except BlueGreenError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    logging.basicConfig(level=read.log_level, format="%(asctime)s %(levelname)-7s %(name)s  %(message)s")
    for noisy in ("botocore", "urllib3", "slack_sdk", "bot.socket", "bot.bolt"):  # we say ourselves what they mean
        logging.getLogger(noisy).setLevel("DEBUG" if read.log_level == "DEBUG" else "CRITICAL")
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
