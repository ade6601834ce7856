"""What every entry point needs: the exit codes, the result for programs, signals, and many releases at once.

Exit codes: 0 live, or parked at the requested point; 1 failed; 2 wrong usage or config; 3 rolled back; 4 refused; 130
interrupted. An interrupted release is resumable: someone stopped it, or the journal is unreachable, perhaps with these
credentials alone. The next driver continues it.
"""

from __future__ import annotations

import errno
import gc
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any

from bluegreen import wording
from bluegreen.advice import EntryPoint, advised
from bluegreen.errors import AwsError, BlueGreenError, ConfigError, Interrupted, LeaseLost, Refused
from bluegreen.events import Outcome, Until
from bluegreen.release import Release

if TYPE_CHECKING:
    from bluegreen.driver import Tell
    from bluegreen.engine import Engine, Removal

SCHEMA_VERSION = 1
OK, FAILED, USAGE, ROLLED_BACK, REFUSED, INTERRUPTED = 0, 1, 2, 3, 4, 130

_ENDS = {Outcome.LIVE: OK, Outcome.FAILED: FAILED, Outcome.ROLLED_BACK: ROLLED_BACK}
_STOPPING = "stopping at the next safe point; bluegreen begins nothing new"
_STILL = "still stopping; if this process dies, `bluegreen resume` continues from the journal"


def collect_seldom() -> None:
    """Collect garbage rarely: what a start makes, above all descriptions of AWS's services, stays to the end.

    At Python's own rate that takes a sixth of the CPU of a short command.
    """
    gc.set_threshold(50_000, 20, 100)


def exit_code(release: Release) -> int:
    """Of a release that has settled, or is parked at the requested point."""
    return _ENDS[release.outcome] if release.outcome else OK


def error_code(error: BaseException, release: Release | None = None) -> int:
    """The exit code that an error means, which came while that release was driven or followed."""
    match error:
        case AwsError() if release is not None and not release.outcome:
            return INTERRUPTED
        case ConfigError():
            return USAGE
        case Refused():
            return REFUSED
        case Interrupted() | LeaseLost() | KeyboardInterrupt():
            return INTERRUPTED
    return FAILED


# --- the result --------------------------------------------------------------------------------------------


def result(release: Release, decision: str = "") -> dict[str, Any]:
    """A release for programs; the keys are those of the Action's outputs."""
    return {
        "schema_version": SCHEMA_VERSION,
        "decision": decision or release.outcome or "held",
        "reason": release.reason or "",
        "message": wording.outcome_line(release),
        "release": release.id,
        "phase": release.phase,
        "service": release.service,
        "blue-group": release.blue_group,
        "green-group": release.green_group,
        "image-id": release.image,
        "template-version": release.template_version,
    }


def failed_result(
    error: BlueGreenError, release: Release | None, entry_point: EntryPoint = EntryPoint.COMMAND_LINE
) -> dict[str, Any]:
    """An error for programs, with what is known of the release that it happened to."""
    match error:
        case Refused(reason=why):
            decision, reason = "refused", str(why)
        case Interrupted() | LeaseLost():
            decision, reason = "interrupted", ""
        case AwsError() if release is not None and not release.outcome:
            decision, reason = "interrupted", type(error).__name__
        case _:
            decision, reason = "failed", type(error).__name__
    base = result(release, decision) if release else {"schema_version": SCHEMA_VERSION, "decision": decision}
    return {
        **base,
        "reason": reason,
        "message": error.what,
        "where": error.where,
        "hint": way_on(error, release, entry_point),
    }


def unexpected(error: Exception) -> BlueGreenError:
    """An exception that nobody foresaw, as an error that says what to do about it."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = str(error.filename or "the output")
        return BlueGreenError("there is no space left", where=where, hint="Free space there, then try again.")
    hint_ = "This is an internal error of bluegreen: please report it with the traceback that BLUEGREEN_DEBUG=1 shows."
    return BlueGreenError(wording.one_line(str(error)) or "no message", where=type(error).__name__, hint=hint_)


def way_on(error: BlueGreenError, release: Release | None, entry_point: EntryPoint = EntryPoint.COMMAND_LINE) -> str:
    """The error's own hint, and how to go on with a release that it left under way."""
    hint = error.hint
    if release is not None and not release.outcome and not isinstance(error, Refused):
        resume = f"go on: bluegreen resume {release.service}"
        hint = resume if release.interrupted or not hint else f"{hint.rstrip('.')}; {resume}"
    return advised(hint, entry_point)


# --- signals -----------------------------------------------------------------------------------------------


class Stop:
    """Whether somebody asked this process to stop; SIGINT and SIGTERM do."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._asked = threading.Event()

    def __call__(self) -> bool:
        """Whether it was asked for."""
        return self._asked.is_set()

    def ask(self, signum: int = 0, frame: FrameType | None = None) -> None:
        """Ask for it. A second signal changes nothing: every call to AWS must be recorded completely."""
        again = self._asked.is_set()
        self._asked.set()
        self._say(_STILL if again else _STOPPING)


@contextmanager
def stopping(say: Callable[[str], None]) -> Iterator[Stop]:
    """Within it, signals ask for a stop at the next safe point."""
    stop = Stop(say)
    before = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(ValueError):  # not in the main thread: its owner hears the signals
            before[number] = signal.signal(number, stop.ask)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# --- many at once ------------------------------------------------------------------------------------------

#: How many releases are driven at the same time; the others wait for their turn.
AT_ONCE = 16
#: Of several releases the one that needs a person most decides the exit code.
_GRAVEST = (FAILED, INTERRUPTED, ROLLED_BACK, OK)


@dataclass(frozen=True)
class Done:
    """How far one of several releases was driven."""

    id: str
    release: Release | None = None
    error: BlueGreenError | None = None

    @property
    def code(self) -> int:
        """As for a release alone; one that another driver took over counts as well."""
        if self.error is not None:
            return OK if isinstance(self.error, Refused) else self._code_of(self.error)
        return exit_code(self.release) if self.release else OK

    @staticmethod
    def _code_of(error: BlueGreenError) -> int:
        """It was under way, or it would not have been driven."""
        return INTERRUPTED if isinstance(error, AwsError) else error_code(error)

    @property
    def result(self) -> dict[str, Any]:
        """For programs."""
        if self.error is not None:
            told = {"release": self.id, **failed_result(self.error, None)}
            return told | {"decision": "interrupted"} if self.code == INTERRUPTED else told
        return result(self.release) if self.release else {}


def drive_all(engine: Callable[[], Engine], ids: Sequence[str], tell: Tell, stop: Callable[[], bool]) -> list[Done]:
    """Drive these releases as far as they go without a person, each in a thread and with an engine of its own.

    What boto3 makes is not to be made in several threads from one session.
    """

    def drive(id_: str) -> Done:
        try:
            return Done(id_, release=engine().drive(id_, until=Until.HELD, tell=tell, stop=stop))
        except BlueGreenError as error:
            return Done(id_, error=error)
        except Exception as error:  # one release's trouble is not the others'
            return Done(id_, error=unexpected(error))

    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        return list(pool.map(drive, ids))


def gravest(done: Sequence[Done], removed: Sequence[Removal] = ()) -> int:
    """The exit code of many; what could not be removed needs a person, too."""
    codes = {OK, *(one.code for one in done), *(FAILED for one in removed if not one.done)}
    return next(code for code in _GRAVEST if code in codes)
