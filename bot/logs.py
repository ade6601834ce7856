"""The bot's log, which other clients and bad days cannot flood."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import TextIO, cast

#: Lines of one kind of trouble in one minute; the rest are counted.
MOST, MINUTE = 20, 60.0
_FORM = "%(asctime)s %(levelname)-7s %(name)s  %(message)s"
#: We say ourselves what they mean.
_NOISY = ("aiohttp.server", "botocore", "urllib3", "slack_sdk", "bot.socket", "bot.bolt")


def set_up(level: str) -> None:
    """Write to stderr from that level on; with DEBUG everything, without bounds, as libraries say it."""
    logging.basicConfig(level=level, format=_FORM, handlers=None if level == "DEBUG" else [Bounded()])
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel("DEBUG" if level == "DEBUG" else "CRITICAL")


@dataclass
class _Kind:
    """What a line of code logged in this minute; `last` is the last that was left out."""

    written: int = 0
    left_out: int = 0
    last: logging.LogRecord | None = None


class Bounded(logging.StreamHandler[TextIO]):
    """Writes warnings and errors of one kind a few times a minute, then reports how many more there were.

    A kind is the line of code that logs it, with the type of the error: other words are no other kind.
    """

    def __init__(self, most: int = MOST, seconds: float = MINUTE) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter(_FORM))
        self._most, self._seconds = most, seconds
        self._kinds: dict[object, _Kind] = {}
        self._minute: threading.Timer | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write it, or count it."""
        if record.levelno < logging.WARNING:
            super().emit(record)
            return
        self._begin()
        error = record.exc_info[0] if record.exc_info else None
        kind = self._kinds.setdefault((record.pathname, record.lineno, error), _Kind())
        if kind.written < self._most:
            kind.written += 1
            super().emit(record)
        else:
            kind.left_out, kind.last = kind.left_out + 1, record

    def _begin(self) -> None:
        """A minute, unless one is under way."""
        if not self._minute:
            self._minute = threading.Timer(self._seconds, self.tell)
            self._minute.daemon = True
            self._minute.start()

    def tell(self) -> None:
        """End the minute: what was left out of it, one line a kind."""
        with cast("threading.RLock", self.lock):
            kinds, self._kinds, self._minute = self._kinds, {}, None
            for kind in kinds.values():
                if kind.last:
                    super().emit(self._summary(kind.last, kind.left_out))

    def _summary(self, last: logging.LogRecord, count: int) -> logging.LogRecord:
        said = f"{count} more of this kind in {self._seconds:.0f} s, the last: {last.getMessage()}"
        return logging.LogRecord(last.name, last.levelno, last.pathname, last.lineno, said, (), None)

    def close(self) -> None:
        """Tell what is left."""
        if self._minute:
            self._minute.cancel()
        self.tell()
        super().close()
