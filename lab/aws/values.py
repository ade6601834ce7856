"""What DynamoDB keeps: values with their types, numbers as it writes them, and what each weighs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Context, Decimal, Inexact
from functools import lru_cache
from typing import Any

from lab.aws.wire import ErrorAnswer

Value = dict[str, Any]
"""An attribute's value, with its type: {"S": "text"}, {"N": "1.5"}, {"M": {...}}."""
Item = dict[str, Value]

#: An item has at most so many bytes, its names included.
LARGEST_ITEM = 400 * 1024
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_DIGITS = 38
_LARGEST, _SMALLEST = Decimal("9.9999999999999999999999999999999999999E125"), Decimal("1E-130")
_EXACT = Context(prec=_DIGITS, traps=[Inexact])
#: What a map or list weighs besides what is in it, and each of those besides itself.
_AROUND, _EACH = 3, 1


class UnknownError(Exception):
    """A request of which the lab does not know what AWS would say: better no answer than a wrong one."""


def invalid(message: str) -> ErrorAnswer:
    """The refusal of a request that is wrong in itself."""
    return ErrorAnswer("ValidationException", message)


def taken(value: Value) -> Value:
    """A value as it is kept: numbers are written in one way."""
    if len(value) != 1:
        raise invalid("Supplied AttributeValue has more than one datatypes set, or none")
    [(kind, inside)] = value.items()
    match kind, inside:
        case "S", str():
            return value
        case "N", str():
            return {"N": number(inside)}
        case "M", dict():
            return {"M": taken_all(inside)}
        case "L", list():
            return {"L": [taken(one) for one in inside]}
        case ("BOOL", bool()) | ("NULL", True):
            return value
    raise UnknownError(f"a value of the type {kind}")


def taken_all(values: Mapping[str, Value]) -> Item:
    """Several values as they are kept."""
    return {name: taken(value) for name, value in values.items()}


@lru_cache(4096)
def number(text: str) -> str:
    """A number as DynamoDB writes it: no exponent, and no zeros at its ends."""
    if not _NUMBER.fullmatch(text):
        raise invalid("A value provided cannot be converted into a number")
    return written(Decimal(text))


def written(value: Decimal) -> str:
    """The same, of a number that was reckoned."""
    try:
        short = _EXACT.create_decimal(value.normalize(Context(prec=2 * 308)))
    except Inexact:
        raise invalid("Attempting to store more than 38 significant digits in a Number") from None
    if not short:
        return "0"
    if abs(short) > _LARGEST:
        raise invalid("Number overflow. Attempting to store a number with magnitude larger than supported range")
    if abs(short) < _SMALLEST:
        raise invalid("Number underflow. Attempting to store a number with magnitude smaller than supported range")
    return f"{short:f}"


def weight(item: Mapping[str, Value]) -> int:
    """How many bytes an item has."""
    return sum(len(name.encode()) + _weight(value) for name, value in item.items())


def _weight(value: Value) -> int:
    [(kind, inside)] = value.items()
    if kind == "S":
        return len(inside.encode())
    if kind == "N":
        return _number_weight(inside)
    if kind == "M":
        return _AROUND + _EACH * len(inside) + weight(inside)
    return _AROUND + sum(_EACH + _weight(one) for one in inside) if kind == "L" else 1


def _number_weight(text: str) -> int:
    """A byte for each two digits, counted from the point; one more, and one for a minus."""
    whole, _, part = text.lstrip("-").partition(".")
    pairs = (whole.zfill(len(whole) + len(whole) % 2) + part + "0" * (len(part) % 2)).rstrip("0")
    head = len(pairs) - len(pairs.lstrip("0"))
    return 1 + (len(pairs) + 1) // 2 - head // 2 + text.startswith("-")
