"""What AWS refuses before it looks at anything: values that are outside the bounds of its own model.

botocore checks only the least length of what is given. A name of 300 letters, or a word outside an
enumeration, goes to AWS, which refuses it in these words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from lab.aws.direct import Params, Shape
from lab.aws.wire import ErrorAnswer, service_model

Check = Callable[[Any, str], Iterator[str]]
"""What is wrong with a value at a place."""


def check_bounds(service: str, operation: str, params: Params) -> None:
    """ValidationError if a member is too long, too large, or none of its enumeration's words."""
    check = _of_operation(service, operation)
    if check and (wrong := list(check(params, ""))):
        number = f"{len(wrong)} validation error{'s' * (len(wrong) > 1)} detected"
        raise ErrorAnswer("ValidationError", f"{number}: {'; '.join(wrong)}")


@cache
def _of_operation(service: str, operation: str) -> Check | None:
    shape = service_model(service).operation_model(operation).input_shape
    return _check(shape, ()) if shape else None


def _check(shape: Shape, above: tuple[str, ...]) -> Check | None:
    """None where nothing can be wrong; a structure that holds itself is looked at once."""
    if shape.name in above:
        return None
    match shape.type_name:
        case "structure":
            return _check_structure(shape, (*above, shape.name))
        case "list":
            return _check_list(shape, (*above, shape.name))
        case "string" | "integer" | "long":
            return _check_scalar(shape)
    return None


def _check_structure(shape: Shape, above: tuple[str, ...]) -> Check | None:
    members = {name: check for name, one in shape.members.items() if (check := _check(one, above))}

    def wrong(value: Params, where: str) -> Iterator[str]:
        for name in value.keys() & members.keys():
            yield from members[name](value[name], f"{where}.{_lower(name)}".lstrip("."))

    return wrong if members else None


def _check_list(shape: Shape, above: tuple[str, ...]) -> Check | None:
    member, most = _check(shape.member, above), shape.metadata.get("max")

    def wrong(value: list[Any], where: str) -> Iterator[str]:
        if most is not None and len(value) > most:
            yield _said(value, where, f"have length less than or equal to {most}")
        for number, one in enumerate(value, 1):
            if member:
                yield from member(one, f"{where}.{number}.member")

    return wrong if member or most is not None else None


def _check_scalar(shape: Shape) -> Check | None:
    least, most, words = shape.metadata.get("min"), shape.metadata.get("max"), shape.metadata.get("enum")
    text = shape.type_name == "string"

    def wrong(value: Any, where: str) -> Iterator[str]:
        size, what = (len(value), "have length") if text else (int(value), "have value")
        if least is not None and size < least:
            yield _said(value, where, f"{what} greater than or equal to {least}")
        if most is not None and size > most:
            yield _said(value, where, f"{what} less than or equal to {most}")
        if words and value not in words:
            yield _said(value, where, f"satisfy enum value set: [{', '.join(words)}]")

    return wrong if (least, most, words) != (None, None, None) else None


def _said(value: object, where: str, must: str) -> str:
    return f"Value '{value}' at '{where}' failed to satisfy constraint: Member must {must}"


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]
