"""What `doctor` prints: a line for each precondition, with what to do, and how many are in the way."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from bluegreen import doctor, entry_points
from bluegreen.cli import output
from bluegreen.cli.invocation import Invocation
from bluegreen.doctor import Diagnosis, Rating

_COLOURS = {Rating.BLOCKS: "red", Rating.WARNS: "yellow", Rating.UNSEEN: "cyan"}
#: A column of text that is narrower is not worth reading.
_NARROWEST = 30
_RATING, _TOPIC = (max(map(len, words)) for words in (Rating, doctor.Topic))


def examine(at: Invocation, role: str) -> int:
    """Print the lines; 1 when something is in the way."""
    config = at.config()
    found = at.engine(config).examine(config, role=role)
    code = entry_points.FAILED if doctor.in_the_way(found) else entry_points.OK
    if at.as_json:
        for one in found:
            output.echo_json(_as_object(one))
        output.echo_json(_result(config.id, found))
        return code
    for one in found:
        _print(one)
    output.say("")
    output.say(f"{config.id}: {', '.join(_counts(found))}")
    return code


def _print(one: Diagnosis) -> None:
    """What to do stands below, where the eye looks for it."""
    head = f"{one.rating:<{_RATING}}  {one.topic:<{_TOPIC}}  "
    for line in _wrapped(head, one.said):
        output.say(line, colour=_COLOURS.get(one.rating))
    for line in _wrapped(" " * len(head), one.fix) if one.fix else ():
        output.say(line)


def _wrapped(head: str, text: str) -> list[str]:
    """On a terminal lines end with it, and keep the column; elsewhere a line is whole, for grep."""
    if not sys.stdout.isatty():
        return [f"{head}{text}"]
    width = max(shutil.get_terminal_size().columns, len(head) + _NARROWEST)
    return textwrap.wrap(
        text,
        width,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,  # a command is copied whole
    )


def _counts(found: Sequence[Diagnosis]) -> Iterator[str]:
    """`1 in the way, 2 warn, 9 ok`."""
    counted = Counter(one.rating for one in found)
    return (f"{counted[rating]} {rating}" for rating in Rating if counted[rating])


def _as_object(one: Diagnosis) -> dict[str, Any]:
    return {"topic": one.topic, "verdict": one.rating, "said": one.said, "fix": one.fix}


def _result(service: str, found: Sequence[Diagnosis]) -> dict[str, Any]:
    decision = "in_the_way" if doctor.in_the_way(found) else "ready"
    counted = Counter(str(one.rating) for one in found)
    base = {"schema_version": entry_points.SCHEMA_VERSION, "decision": decision, "service": service}
    return {**base, "message": ", ".join(_counts(found)), "verdicts": counted}
