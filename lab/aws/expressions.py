"""DynamoDB's expressions, as far as a journal writes them; whatever else there is, moto reads.

condition    one of them, or several with AND, OR and parentheses:
             attribute_exists(path), attribute_not_exists(path), path = :value, also with <, <=, > and >=
update       SET path = operand, path = operand + operand ... REMOVE path, ...
operand      :value or if_not_exists(path, :value)
path         #name, #name.#name, or a bare key: any other bare word might be one of the 573 that are reserved
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise
from typing import Any

from lab.aws.ec2 import ElsewhereError

Value = dict[str, Any]
"""An attribute's value, with its type: {"S": "text"}, {"N": "1.5"}, {"M": {...}}."""
Item = dict[str, Value]
Path = tuple[str, ...]
Condition = Callable[[Item, "Given"], bool]
Operand = tuple[Path, str]
"""A value's name, and before it the path of what is taken if it is there (empty: there is none)."""

KEYS = ("pk", "sk")
_WORD = re.compile(r"\s*([#:]?\w+|<=|>=|[=<>(),.+])")
_NUMBER = re.compile(r"-?\d{1,18}(\.\d{1,18})?")
_INTEGER = re.compile(r"-?\d{1,15}")
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Update:
    """What an update expression does to an item."""

    sets: Sequence[tuple[Path, Sequence[Operand]]]
    removes: Sequence[Path]


@dataclass(frozen=True)
class Given:
    """What the words of expressions stand for: ExpressionAttributeNames and ExpressionAttributeValues."""

    names: dict[str, str]
    values: dict[str, Value]

    def __post_init__(self) -> None:
        """Plain values only."""
        require(all(is_plain(value) for value in self.values.values()))

    def holds(self, condition: str, item: Item) -> bool:
        """Whether an item (an empty one: there is none) meets the condition ("": there is none)."""
        return not condition or read_condition(condition)(item, self)

    def updated(self, update: str, old: Item) -> Item:
        """The item as it is afterwards."""
        what = read_update(update)
        named = [self.named(path) for path in (*(path for path, _ in what.sets), *what.removes)]
        require(not _overlap([*((key,) for key in KEYS), *named]))
        new = old
        for path, (_, operands) in zip(named, what.sets, strict=False):
            new = _with(new, path, _sum([self._operand(one, old) for one in operands]))
        for path in named[len(what.sets) :]:
            new = _without(new, path)
        return new

    def used(self, *expressions: str) -> bool:
        """Whether all names and values that are given are used, and the other way round."""
        words = {word for text in expressions for word in words_of(text) if word[0] in "#:"}
        return words == self.names.keys() | self.values.keys()

    def named(self, path: Path) -> Path:
        """The attributes that a path leads through."""
        return tuple(self.names[word] if word[0] == "#" else word for word in path)

    def at(self, item: Item, path: Path) -> Value | None:
        """What is there."""
        *parents, last = self.named(path)
        for name in parents:
            item = item.get(name, {}).get("M", {})
        return item.get(last)

    def _operand(self, operand: Operand, old: Item) -> Value:
        path, value = operand
        found = self.at(old, path) if path else None
        return self.values[value] if found is None else found


def require(clear: object) -> None:
    """Leave it to moto unless this is so."""
    if not clear:
        raise ElsewhereError


def is_plain(value: Value) -> bool:
    """Whether it is a text, a number without an exponent, or a map of such."""
    if len(value) != 1:
        return False
    [(kind, inside)] = value.items()
    if kind == "M":
        return all(name and is_plain(one) for name, one in inside.items())
    return kind == "S" or (kind == "N" and _NUMBER.fullmatch(inside) is not None)


def _with(item: Item, path: Path, value: Value) -> Item:
    name, *rest = path
    if not rest:
        return {**item, name: value}
    inside = item.get(name, {}).get("M")
    require(inside is not None)
    return {**item, name: {"M": _with(inside or {}, tuple(rest), value)}}


def _without(item: Item, path: Path) -> Item:
    name, *rest = path
    if not rest:
        return {key: value for key, value in item.items() if key != name}
    inside = item.get(name, {}).get("M")
    require(inside is not None)
    return {**item, name: {"M": _without(inside or {}, tuple(rest))}}


def _sum(values: Sequence[Value]) -> Value:
    if len(values) == 1:
        return values[0]
    numbers = [value.get("N", "") for value in values]
    require(all(_INTEGER.fullmatch(number) for number in numbers))
    return {"N": str(sum(map(int, numbers)))}


def _overlap(paths: Sequence[Path]) -> bool:
    return any(later[: len(path)] == path for path, later in pairwise(sorted(paths)))


# --- reading -----------------------------------------------------------------------------------------------


@lru_cache
def words_of(expression: str) -> tuple[str, ...]:
    """Its words."""
    words, end = [], 0
    while found := _WORD.match(expression, end):
        words.append(found[1])
        end = found.end()
    require(not expression[end:].strip())
    return tuple(words)


@lru_cache
def read_condition(expression: str) -> Condition:
    """A condition, ready to be asked."""
    reader = _Reader(expression)
    condition = reader.condition()
    require(reader.ended)
    return condition


@lru_cache
def read_update(expression: str) -> Update:
    """An update, ready to be done."""
    reader = _Reader(expression)
    sets = reader.several(reader.assignment) if reader.take("SET") else []
    removes = reader.several(reader.path) if reader.take("REMOVE") else []
    require(reader.ended and (sets or removes))
    return Update(sets, removes)


class _Reader:
    """Reads an expression from left to right."""

    def __init__(self, expression: str) -> None:
        self._words = [*words_of(expression), ""]
        self._next = 0

    @property
    def ended(self) -> bool:
        return not self._words[self._next]

    def take(self, word: str) -> bool:
        """Pass over this word if it is the next one."""
        taken = self._words[self._next] == word
        self._next += taken
        return taken

    def word(self) -> str:
        require(not self.ended)
        self._next += 1
        return self._words[self._next - 1]

    def several(self, one: Callable[[], Any]) -> list[Any]:
        found = [one()]
        while self.take(","):
            found.append(one())
        return found

    def path(self) -> Path:
        names = [self.word()]
        require(names[0][0] == "#" or names[0] in KEYS)
        while self.take("."):
            names.append(self.word())
            require(names[-1][0] == "#")
        return tuple(names)

    def value(self) -> str:
        word = self.word()
        require(word[0] == ":")
        return word

    def assignment(self) -> tuple[Path, list[Operand]]:
        path = self.path()
        require(self.take("="))
        operands = [self.operand()]
        if self.take("+"):
            operands.append(self.operand())
        return path, operands

    def operand(self) -> Operand:
        if not self.take("if_not_exists"):
            return (), self.value()
        require(self.take("("))
        path = self.path()
        require(self.take(","))
        operand = (path, self.value())
        require(self.take(")"))
        return operand

    def condition(self) -> Condition:
        parts = [self._all()]
        while self.take("OR"):
            parts.append(self._all())
        return lambda item, given: any(part(item, given) for part in parts)

    def _all(self) -> Condition:
        parts = [self._one()]
        while self.take("AND"):
            parts.append(self._one())
        return lambda item, given: all(part(item, given) for part in parts)

    def _one(self) -> Condition:
        if self.take("("):
            require(self._words[self._next] != "(")  # redundant parentheses are refused
            inside = self.condition()
            require(self.take(")"))
            return inside
        for function, there in (("attribute_exists", True), ("attribute_not_exists", False)):
            if self.take(function):
                return self._existence(there)
        path, comparison, value = self.path(), self.word(), self.value()
        require(comparison in _COMPARISONS)
        compare = _COMPARISONS[comparison]
        return lambda item, given: _compared(compare, given.at(item, path), given.values[value])

    def _existence(self, there: bool) -> Condition:
        require(self.take("("))
        path = self.path()
        require(self.take(")"))
        return lambda item, given: (given.at(item, path) is not None) is there


def _compared(compare: Callable[[Any, Any], bool], have: Value | None, want: Value) -> bool:
    """False when there is nothing to compare; texts are ordered as their UTF-8 is, as in DynamoDB."""
    if have is None:
        return False
    [kind] = have
    require(kind in ("S", "N") and kind in want)
    one, other = have[kind], want[kind]
    return compare(Decimal(one), Decimal(other)) if kind == "N" else compare(one, other)
