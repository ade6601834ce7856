"""CloudWatch metric math, as much of it as alarms on groups use: arithmetic, FILL, IF, and SUM, AVG, MIN, MAX of lists.

What else CloudWatch knows (SEARCH, ANOMALY_DETECTION_BAND, time series functions) is UnknownMathError: an alarm on it
is kept and shown, and never evaluated.
"""

from __future__ import annotations

import ast
import operator
import statistics
from collections.abc import Callable
from functools import lru_cache

Lookup = Callable[[str], float]
"""The value of an id at one moment; MissingError if it has none."""
Term = Callable[[Lookup], float]

_OPERATORS: dict[type[ast.operator | ast.unaryop | ast.cmpop], Callable[..., float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.Gt: lambda one, other: float(one > other),
    ast.GtE: lambda one, other: float(one >= other),
    ast.Lt: lambda one, other: float(one < other),
    ast.LtE: lambda one, other: float(one <= other),
}
_OVER_LISTS: dict[str, Callable[[list[float]], float]] = {
    "SUM": sum,
    "AVG": statistics.fmean,
    "MIN": min,
    "MAX": max,
}


class UnknownMathError(Exception):
    """Metric math that the lab does not know."""


class MissingError(Exception):
    """No data point at that moment."""


@lru_cache
def understood(expression: str) -> Term:
    """The expression, ready to be asked for its value at one moment (a division by zero has none)."""
    try:
        return _term(ast.parse(expression.strip(), mode="eval").body)
    except SyntaxError:
        raise UnknownMathError(expression) from None


def _term(node: ast.expr) -> Term:
    match node:
        case ast.Constant(value=int() | float() as value):
            return lambda _: float(value)
        case ast.Name(id=name):
            return lambda lookup: lookup(name)
        case ast.UnaryOp(op=sign, operand=inner):
            return _applied(type(sign), inner)
        case ast.BinOp(left=left, op=sign, right=right):
            return _applied(type(sign), left, right)
        case ast.Compare(left=left, ops=[sign], comparators=[right]):
            return _applied(type(sign), left, right)
        case ast.Call(func=ast.Name(id=name), args=given):
            return _called(name.upper(), given)
    raise UnknownMathError(ast.unparse(node))


def _applied(sign: type[ast.operator | ast.unaryop | ast.cmpop], *nodes: ast.expr) -> Term:
    if sign not in _OPERATORS:
        raise UnknownMathError(sign.__name__)
    act, terms = _OPERATORS[sign], [_term(node) for node in nodes]

    def value(lookup: Lookup) -> float:
        try:
            return act(*(term(lookup) for term in terms))
        except ZeroDivisionError:
            raise MissingError from None

    return value


def _called(name: str, given: list[ast.expr]) -> Term:
    match name, given:
        case "FILL", [one, ast.expr() as other]:
            return _filled(_term(one), _term(other))
        case "IF", [asked, one, other]:
            condition, yes, no = _term(asked), _term(one), _term(other)
            return lambda lookup: yes(lookup) if condition(lookup) else no(lookup)
        case (("SUM" | "AVG" | "MIN" | "MAX"), [ast.List(elts=members)]):
            terms = [_term(member) for member in members]
            return lambda lookup: _OVER_LISTS[name]([term(lookup) for term in terms])
    raise UnknownMathError(name)


def _filled(one: Term, other: Term) -> Term:
    def value(lookup: Lookup) -> float:
        try:
            return one(lookup)
        except MissingError:
            return other(lookup)

    return value
