"""DynamoDB's expressions, read from left to right and kept ready to be asked.

condition    OR of AND of NOT of: (condition), operand = operand (also <>, <, <=, > and >=),
             operand BETWEEN operand AND operand, operand IN (operand, ...). Functions:
             attribute_exists, attribute_not_exists, attribute_type, begins_with, contains
update       SET path = operand [+ or - operand], ... REMOVE path, ... ADD path number, ...
operand      path, :value, size(path); in an update if_not_exists(path, operand), too
path         names with dots between; each is #name, or a bare word that is not reserved

An expression that is wrong is refused as DynamoDB refuses it. What is right and not known here (places in a list, sets,
list_append, DELETE) raises UnknownError.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from functools import lru_cache
from itertools import pairwise
from typing import Any

from moto.dynamodb.parsing.reserved_keywords import ReservedKeywords

from lab.aws.values import Item, UnknownError, Value, invalid, taken_all, written

Path = tuple[str, ...]
Condition = Callable[[Item, "Given"], bool]
Comparison = Callable[[Item, "Given", Sequence[str]], bool]
"""A condition that is told which values it compares."""
Operand = Callable[[Item, "Given"], Value | None]
Act = Callable[[Item, Item, "Given"], Item]
"""Changes an item, given as it was at first and as it is by now."""

_WORD = re.compile(r"\s*([#:]?\w+|<>|<=|>=|[=<>(),.+-])")
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ORDERED = ("S", "N")
_TYPES = {"S", "N", "B", "SS", "NS", "BS", "M", "L", "BOOL", "NULL"}
#: A sum may have more digits than a number that is kept; then it is refused when it is written.
_WIDE = Context(prec=300)
_ABSENT = "The provided expression refers to an attribute that does not exist in the item"
_NOWHERE = "The document path provided in the update expression is invalid for update"


class Given:
    """What the words of a request's expressions stand for."""

    def __init__(self, names: Mapping[str, str] | None, values: Mapping[str, Value] | None, *expressions: str) -> None:
        """All that is given must be used, and the other way round."""
        self.names, self.values = names or {}, taken_all(values or {})
        words = {word for text in expressions for word in words_of(text) if word[0] in "#:"}
        for kind, sign, given in (("Names", "#", names), ("Values", ":", values)):
            if given is not None and not expressions:
                raise invalid(f"ExpressionAttribute{kind} can only be specified when using expressions")
            if given == {}:
                raise invalid(f"ExpressionAttribute{kind} must not be empty")
            self._compare(kind, {word for word in words if word[0] == sign}, set(given or {}))

    @staticmethod
    def _compare(kind: str, used: set[str], given: set[str]) -> None:
        if used - given:
            word = min(used - given)
            what = f"attribute {kind.lower()[:-1]}"
            raise invalid(f"An expression {what} used in an expression is not defined; {what}: {word}")
        if given - used:
            unused = ", ".join(sorted(given - used))
            raise invalid(f"Value provided in ExpressionAttribute{kind} unused in expressions: keys: {{{unused}}}")

    def named(self, path: Path) -> Path:
        """The attributes that a path leads through."""
        return tuple(self.names.get(word, word) for word in path)

    def at(self, item: Item, path: Path) -> Value | None:
        """What is there."""
        *parents, last = self.named(path)
        for name in parents:
            item = item.get(name, {}).get("M", {})
        return item.get(last)


@dataclass(frozen=True)
class Update:
    """What an update expression does."""

    acts: Sequence[Act]
    paths: Sequence[Path]
    numbers: Sequence[str]
    """The values that must be numbers."""

    def check(self, given: Given) -> None:
        """Refuse what is wrong for any item: nothing may be changed twice."""
        named = sorted(given.named(path) for path in self.paths)
        if any(later[: len(path)] == path for path, later in pairwise(named)):
            raise invalid("Invalid UpdateExpression: Two document paths overlap with each other")
        if any("N" not in given.values[word] for word in self.numbers):
            raise invalid("Invalid UpdateExpression: Incorrect operand type for operator or function")

    def touched(self, given: Given) -> set[str]:
        """The attributes of an item that it is about."""
        return {given.named(path)[0] for path in self.paths}

    def done(self, old: Item, given: Given) -> Item:
        """The item as it is afterwards."""
        new = old
        for act in self.acts:
            new = act(old, new, given)
        return new


def _with(item: Item, path: Path, value: Value | None) -> Item:
    """The item with another value there; None: with none."""
    name, *rest = path
    if rest:
        inside = item.get(name, {}).get("M")
        if inside is None:
            raise invalid(_NOWHERE)
        return {**item, name: {"M": _with(inside, tuple(rest), value)}}
    if value is not None:
        return {**item, name: value}
    return {key: one for key, one in item.items() if key != name}


# --- reading -----------------------------------------------------------------------------------------------


@lru_cache
def words_of(expression: str) -> tuple[str, ...]:
    """Its words."""
    words, end = [], 0
    while found := _WORD.match(expression, end):
        words.append(found[1])
        end = found.end()
    if rest := expression[end:].strip():
        if rest[0] == "[":
            raise UnknownError("a place in a list")
        raise invalid(f"Invalid expression: Syntax error; near: {rest[:9]}")
    if not words:
        raise invalid("Invalid expression: The expression can not be empty;")
    return tuple(words)


@lru_cache
def read_condition(expression: str) -> Condition:
    """A condition, ready to be asked about an item ("": always true)."""
    reader = _Reader(expression)
    condition = reader.condition()
    reader.end()
    return condition


@lru_cache
def read_update(expression: str) -> Update:
    """An update, ready to be done."""
    reader = _Reader(expression)
    update = reader.update()
    reader.end()
    return update


class _Words:
    """Goes through the words of an expression."""

    def __init__(self, expression: str) -> None:
        self._words = [*words_of(expression), ""]
        self._next = 0

    def end(self) -> None:
        """Nothing may be left."""
        if self._words[self._next]:
            raise self.wrong()

    def wrong(self) -> Exception:
        """That it cannot go on with the next word."""
        return invalid(f"Invalid expression: Syntax error; token: {self._words[self._next] or '<EOF>'}")

    def take(self, word: str) -> bool:
        """Pass over this word, in capitals or not, if it is the next one."""
        taken = self._words[self._next].upper() == word
        self._next += taken
        return taken

    def call(self, *functions: str) -> str:
        """Pass over the name of one of these functions and its parenthesis, if they come next; "" if not."""
        name = self._words[self._next]
        if self._words[self._next + 1 : self._next + 2] != ["("]:
            return ""
        if name == "list_append":
            raise UnknownError(name)
        if name not in functions:
            raise invalid(f"Invalid expression: Invalid function name; function: {name}")
        self._next += 2
        return name

    def need(self, word: str) -> None:
        """Pass over this word, which must come next."""
        if not self.take(word):
            raise self.wrong()

    def word(self) -> str:
        """The next one, a name or a value."""
        word = self._words[self._next]
        if not re.fullmatch(r"[#:]?\w+", word):
            raise self.wrong()
        self._next += 1
        return word

    def several(self, one: Callable[[], Any]) -> Iterator[Any]:
        """One or more, with commas between."""
        yield one()
        while self.take(","):
            yield one()

    def doubled(self) -> bool:
        """Whether the parenthesis that opens here is the only thing in the one before it."""
        depth, at = 0, self._next
        while at < len(self._words) - 1:
            depth += {"(": 1, ")": -1}.get(self._words[at], 0)
            at += 1
            if not depth:
                break
        return self._words[self._next] == "(" and self._words[at] == ")"


class _Reader(_Words):
    """Reads conditions and updates."""

    def path(self) -> Path:
        names = [self._name()]
        while self.take("."):
            names.append(self._name())
        return tuple(names)

    def _name(self) -> str:
        word = self.word()
        if word[0] == ":" or word[0].isdigit():
            raise invalid("Invalid expression: Operator or function requires a document path")
        if word.upper() in reserved():
            raise invalid(f"Invalid expression: Attribute name is a reserved keyword; reserved keyword: {word}")
        return word

    def operand(self, *functions: str) -> Operand:
        """What something is compared with, or is set to."""
        if function := self.call(*functions):
            path = self.path()
            other = self._other(function)
            self.need(")")
            return lambda item, given: _valued(function, given.at(item, path), other(item, given))
        if self._words[self._next][:1] == ":":
            word = self.word()
            return lambda item, given: given.values[word]
        path = self.path()
        return lambda item, given: given.at(item, path)

    def _other(self, function: str) -> Operand:
        if function == "size":
            return lambda item, given: None
        self.need(",")
        return self.operand("if_not_exists")

    # --- conditions ---

    def condition(self) -> Condition:
        parts = [self._all()]
        while self.take("OR"):
            parts.append(self._all())
        return lambda item, given: any([part(item, given) for part in parts])  # noqa: C419 - each is checked

    def _all(self) -> Condition:
        parts = [self._one()]
        while self.take("AND"):
            parts.append(self._one())
        return lambda item, given: all([part(item, given) for part in parts])  # noqa: C419 - each is checked

    def _one(self) -> Condition:
        if self.take("NOT"):
            part = self._one()
            return lambda item, given: not part(item, given)
        if self.take("("):
            if self.doubled():
                raise invalid("Invalid expression: The expression has redundant parentheses;")
            inside = self.condition()
            self.need(")")
            return inside
        if function := self._function():
            return function
        start = self._next
        compare = self._comparison(self.operand("size"))
        words = self._values_since(start)
        return lambda item, given: compare(item, given, words)

    def _function(self) -> Condition | None:
        name = self.call(*_FUNCTIONS, "size")
        if name in ("", "size"):
            self._next -= 2 * bool(name)  # it is an operand
            return None
        path = self.path()
        if name.endswith("exists"):
            self.need(")")
            return lambda item, given: (given.at(item, path) is not None) is (name == "attribute_exists")
        self.need(",")
        argument = self.operand()
        self.need(")")
        return lambda item, given: _FUNCTIONS[name](given.at(item, path), argument(item, given))

    def _values_since(self, start: int) -> list[str]:
        return [word for word in self._words[start : self._next] if word[0] == ":"]

    def _comparison(self, one: Operand) -> Comparison:
        if self.take("BETWEEN"):
            first = self.operand("size")
            self.need("AND")
            last = self.operand("size")
            return lambda item, given, words: _between(
                *(operand(_orderly(item, given, words), given) for operand in (one, first, last))
            )
        if self.take("IN"):
            self.need("(")
            others = list(self.several(lambda: self.operand("size")))
            self.need(")")
            return lambda item, given, words: any(_equal(one(item, given), other(item, given)) for other in others)
        sign = next((sign for sign in ("=", "<>", *_COMPARISONS) if self.take(sign)), "")
        if not sign:
            raise self.wrong()
        other = self.operand("size")
        if sign in _COMPARISONS:
            return lambda item, given, words: _compared(
                sign, one(_orderly(item, given, words), given), other(item, given)
            )
        return lambda item, given, words: _equal(one(item, given), other(item, given)) is (sign == "=")

    # --- updates ---

    def update(self) -> Update:
        kinds = {"SET": self._assignment, "REMOVE": self._removal, "ADD": self._addition}
        acts: list[Act] = []
        paths: list[Path] = []
        self.numbers: list[str] = []
        while kind := next((kind for kind in kinds if self.take(kind)), ""):
            for path, act in self.several(kinds.pop(kind)):  # each section once
                paths.append(path)
                acts.append(act)
        if self.take("DELETE"):
            raise UnknownError("DELETE, as there are no sets")
        if not acts:
            raise self.wrong()
        return Update(acts, paths, self.numbers)

    def _assignment(self) -> tuple[Path, Act]:
        path = self.path()
        self.need("=")
        start, one = self._next, self.operand("if_not_exists")
        sign = next((sign for sign in "+-" if self.take(sign)), "")
        other = self.operand("if_not_exists") if sign else None
        if sign:
            self.numbers += self._values_since(start)

        def act(old: Item, new: Item, given: Given) -> Item:
            value = _there(one(old, given))
            return _with(new, given.named(path), _sum(sign, value, _there(other(old, given))) if other else value)

        return path, act

    def _removal(self) -> tuple[Path, Act]:
        path = self.path()
        return path, lambda old, new, given: _with(new, given.named(path), None)

    def _addition(self) -> tuple[Path, Act]:
        path, start = self.path(), self._next
        more = self.operand()
        self.numbers += self._values_since(start)

        def act(old: Item, new: Item, given: Given) -> Item:
            return _with(new, given.named(path), _sum("+", given.at(old, path) or {"N": "0"}, _there(more(old, given))))

        return path, act


@lru_cache
def reserved() -> frozenset[str]:
    """The words that no bare name may be."""
    return frozenset(ReservedKeywords.get_reserved_keywords())


# --- reckoning ---------------------------------------------------------------------------------------------


def _valued(function: str, found: Value | None, other: Value | None) -> Value | None:
    if function == "if_not_exists":
        return other if found is None else found
    if found is None:
        return None
    [(kind, inside)] = found.items()
    if kind in ("N", "BOOL", "NULL"):
        return None
    return {"N": str(len(inside.encode("utf-16-le")) // 2 if kind == "S" else len(inside))}


def _there(value: Value | None) -> Value:
    if value is None:
        raise invalid(_ABSENT)
    return value


def _sum(sign: str, one: Value, other: Value) -> Value:
    if "N" not in one or "N" not in other:
        raise invalid("Invalid UpdateExpression: Incorrect operand type for operator or function")
    reckon = _WIDE.add if sign == "+" else _WIDE.subtract
    return {"N": written(reckon(Decimal(one["N"]), Decimal(other["N"])))}


def _equal(one: Value | None, other: Value | None) -> bool:
    return one is not None and one == other


def _compared(sign: str, one: Value | None, other: Value | None) -> bool:
    """Texts are ordered as their UTF-8 is; what cannot be compared is not smaller and not larger."""
    kind = _kind(one), _kind(other)
    if kind[0] != kind[1] or kind[0] not in _ORDERED:
        return False
    return _COMPARISONS[sign](_ordered(one), _ordered(other))


def _between(one: Value | None, first: Value | None, last: Value | None) -> bool:
    if _compared(">", first, last):
        raise invalid("The BETWEEN operator requires upper bound to be greater than or equal to lower bound")
    return _compared(">=", one, first) and _compared("<=", one, last)


def _orderly(item: Item, given: Given, words: Sequence[str]) -> Item:
    """The item, if each of these values has a type that is ordered."""
    if any(_kind(given.values[word]) not in _ORDERED for word in words):
        raise invalid("Incorrect operand type for operator or function")
    return item


def _kind(value: Value | None) -> str:
    return next(iter(value)) if value else ""


def _ordered(value: Value | None) -> Any:  # a Decimal or a text: those that are compared are of one type
    assert value
    return Decimal(value["N"]) if "N" in value else value["S"]


def _begins(found: Value | None, start: Value | None) -> bool:
    if start is not None and "S" not in start:
        raise invalid("Incorrect operand type for operator or function; operator or function: begins_with")
    return "S" in (found or {}) and found["S"].startswith(_there(start)["S"])  # type: ignore[index]  # found has an S


def _contains(found: Value | None, part: Value | None) -> bool:
    if found is None or part is None:
        return False
    if "L" in found:
        return part in found["L"]
    return "S" in found and "S" in part and part["S"] in found["S"]


def _is_of(found: Value | None, kind: Value | None) -> bool:
    if (kind or {}).get("S") not in _TYPES:
        raise invalid("Invalid attribute type name found; valid types: " + ", ".join(sorted(_TYPES)))
    return found is not None and _there(kind)["S"] in found


_FUNCTIONS: dict[str, Callable[[Value | None, Value | None], bool]] = {
    "attribute_exists": lambda found, _: found is not None,
    "attribute_not_exists": lambda found, _: found is None,
    "attribute_type": _is_of,
    "begins_with": _begins,
    "contains": _contains,
}
