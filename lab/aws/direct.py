"""Parameters and results that go from hand to hand in one process, as they would be after a way over the wire.

They are read by botocore's own models. What is not sure to come through a wire unchanged goes over the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

Params = dict[str, Any]
"""An AWS structure: parsed from requests, or to be serialised. Its types are in botocore's model, not in Python's."""
Shape = Any  # botocore's and moto's, which know their types
Reader = Callable[[Any], Any]


class UnsureError(Exception):
    """A value that botocore would refuse, or that a wire would change."""


class _Members(dict[str, Reader]):
    """Readers of a structure's members, made when first used: a structure may hold itself."""

    def __init__(self, shape: Shape, reader: Callable[[Shape], Reader]) -> None:
        super().__init__()
        self._shapes, self._reader = shape.members, reader

    def __missing__(self, name: str) -> Reader:
        if name not in self._shapes:
            raise UnsureError
        made = self[name] = self._reader(self._shapes[name])
        return made


def parameters(shape: Shape, *, keeps_empty: bool) -> Reader:
    """Read what a caller gives for this shape; UnsureError: it is for botocore to judge, or to write.

    `keeps_empty`: whether lists and structures without anything in them come through (in JSON they do).
    """

    def reader(one: Shape) -> Reader:
        made = _GIVEN.get(one.type_name)
        if made is None:
            return _unsure
        return made(one, reader, 0 if keeps_empty else 1)

    return reader(shape)


def _unsure(_: object) -> Any:
    raise UnsureError


def _given_structure(shape: Shape, reader: Callable[[Shape], Reader], least: int) -> Reader:
    if shape.is_document_type or shape.is_tagged_union:
        return _unsure
    members, needed = _Members(shape, reader), frozenset(shape.metadata.get("required", ()))

    def read(values: Any) -> Params:
        if type(values) is not dict or len(values) < least or not needed <= values.keys():
            raise UnsureError
        return {name: members[name](value) for name, value in values.items()}

    return read


def _given_list(shape: Shape, reader: Callable[[Shape], Reader], least: int) -> Reader:
    member, least = reader(shape.member), max(least, shape.metadata.get("min", 0))

    def read(values: Any) -> list[Any]:
        if type(values) not in (list, tuple) or len(values) < least:
            raise UnsureError
        return [member(one) for one in values]

    return read


def _given_map(shape: Shape, reader: Callable[[Shape], Reader], least: int) -> Reader:
    key, member = reader(shape.key), reader(shape.value)

    def read(values: Any) -> Params:
        if type(values) is not dict or len(values) < least:
            raise UnsureError
        return {key(name): member(value) for name, value in values.items()}

    return read


def _given_string(shape: Shape, *_: object) -> Reader:
    least = shape.metadata.get("min", 0)

    def read(value: Any) -> str:
        if type(value) is not str or len(value) < least:
            raise UnsureError
        return value

    return read


def _given_integer(shape: Shape, *_: object) -> Reader:
    least = shape.metadata.get("min")

    def read(value: Any) -> int:
        if type(value) is not int or (least is not None and value < least):
            raise UnsureError
        return value

    return read


def _given_boolean(*_: object) -> Reader:
    def read(value: Any) -> bool:
        if type(value) is not bool:
            raise UnsureError
        return value

    return read


_GIVEN: Mapping[str, Callable[[Shape, Callable[[Shape], Reader], int], Reader]] = {
    "structure": _given_structure,
    "list": _given_list,
    "map": _given_map,
    "string": _given_string,
    "integer": _given_integer,
    "long": _given_integer,
    "boolean": _given_boolean,
}


def result(shape: Shape) -> Reader:
    """What botocore's parsers make of a result of this shape; what the model does not know is left out."""
    kind = shape.type_name
    if kind == "structure":
        known, members = frozenset(shape.members), _Members(shape, result)
        return lambda values: {
            name: members[name](value) for name, value in values.items() if value is not None and name in known
        }
    if kind == "list":
        member = result(shape.member)
        return lambda values: [member(one) for one in values]
    if kind == "map":
        inside = result(shape.value)
        return lambda values: {name: inside(value) for name, value in values.items()}
    return _SCALARS[kind]


def _moment(value: Any) -> datetime:
    return datetime.fromtimestamp(float(value), UTC)


_SCALARS: Mapping[str, Reader] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "long": int,
    "float": float,
    "double": float,
    "timestamp": _moment,
}
