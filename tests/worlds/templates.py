"""What is in deploy/, as values: CloudFormation's templates and Terraform's modules, both in CloudFormation's words.

A parameter, a resource and a fact of the account become marks, the same on both sides: `{var.role_name}`, `{res.task}`,
`{region}`. An element of a list that is there on a condition is `{"if": MARK, "then": ELEMENT}`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import hcl2
import yaml

from tests.worlds.files import ROOT

CLOUDFORMATION, TERRAFORM = ROOT / "deploy" / "cloudformation", ROOT / "deploy" / "terraform"
STACKS = sorted(path.stem for path in CLOUDFORMATION.glob("*.yml"))
_FACTS = {"AccountId": "account", "Partition": "partition", "Region": "region", "URLSuffix": "suffix"}
Tree = Any  # JSON, of any shape


# --- CloudFormation ----------------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms of functions."""


def _function(loader: yaml.Loader, name: str, node: yaml.Node) -> Tree:
    if isinstance(node, yaml.SequenceNode):
        value: Tree = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_scalar(node)  # type: ignore[arg-type] # no template of ours has a mapping here
    if name == "GetAtt":
        value = str(value).split(".", 1)
    return {name if name == "Ref" else f"Fn::{name}": value}


_Loader.add_multi_constructor("!", _function)


def template(stack: str) -> dict[str, Tree]:
    """A template, its functions written out."""
    found: dict[str, Tree] = yaml.load((CLOUDFORMATION / f"{stack}.yml").read_text(), _Loader)
    return found


def snake(name: str) -> str:
    """`OidcProviderArn` as Terraform writes it."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.replace("GitHub", "Github")).lower()


class Template:
    """A template and how its functions are marked."""

    def __init__(self, whole: Mapping[str, Tree]) -> None:
        self.whole = whole
        self.resources: Mapping[str, Tree] = whole["Resources"]

    def properties(self) -> dict[str, tuple[str, Tree]]:
        """Of each resource its type and its properties, with marks."""
        return {snake(name): (one["Type"], self.marked(one["Properties"])) for name, one in self.resources.items()}

    def marked(self, value: Tree) -> Tree:
        """The same, with marks in place of functions."""
        if isinstance(value, list):
            return [self.marked(one) for one in value]
        if not isinstance(value, dict):
            return value
        ((name, given),) = value.items() if len(value) == 1 else (("", ""),)
        function = getattr(self, f"_{name.removeprefix('Fn::').lower()}", None)
        if function and (name == "Ref" or name.startswith("Fn::")):
            return function(given)
        return {key: self.marked(one) for key, one in value.items()}

    def _ref(self, name: str) -> str:
        if name == "AWS::StackName":
            return "{var.name}"
        if name.startswith("AWS::"):
            return "{" + _FACTS[name.removeprefix("AWS::")] + "}"
        return "{" + ("res." if name in self.resources else "var.") + snake(name) + "}"

    def _getatt(self, given: list[str]) -> str:
        return "{res." + snake(given[0]) + "}"

    def _sub(self, text: str) -> str:
        return re.sub(r"\$\{([\w:]+)\}", lambda found: self._ref(found[1]), text)

    def _base64(self, text: str) -> str:
        return text

    def _if(self, given: list[Tree]) -> Tree:
        condition, then, otherwise = given
        if otherwise == {"Ref": "AWS::NoValue"}:
            return {"if": "{var." + snake(condition.removeprefix("Has")) + "}", "then": self.marked(then)}
        return "{" + snake(condition) + "}"


# --- Terraform ---------------------------------------------------------------------------------------------


def module(name: str) -> dict[str, Tree]:
    """A module of Terraform, as python-hcl2 reads it, without its quotes."""
    with (TERRAFORM / name / "main.tf").open() as file:
        found: dict[str, Tree] = _plain(hcl2.load(file))
    return found


def merged(blocks: list[dict[str, Tree]]) -> dict[str, Tree]:
    """Blocks of one kind by their names."""
    return {name: body for block in blocks for name, body in block.items()}


def resources(whole: Mapping[str, Tree]) -> list[tuple[str, str, dict[str, Tree]]]:
    """Of each resource its type, its name and its arguments, with marks."""
    found = [(type_, name, body) for one in whole["resource"] for type_, of in one.items() for name, body in of.items()]
    return [(type_, name, _marks(body)) for type_, name, body in found if name != "__is_block__"]


def _plain(value: Tree) -> Tree:
    if isinstance(value, dict):
        return {_unquoted(key): _plain(one) for key, one in value.items() if key != "__is_block__"}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return _unquoted(value) if isinstance(value, str) else value


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def _marks(value: Tree) -> Tree:
    if isinstance(value, dict):
        return {key: _marks(one) for key, one in value.items() if key != "__comments__"}
    if isinstance(value, list):
        return [_marks(one) for one in value]
    return _expression(value) if isinstance(value, str) else value


_JSON = re.compile(r"\$\{jsonencode\((.*)\)\}", re.DOTALL)
_JOINED = re.compile(r"\$\{concat\((\[.*\]), var\.(\w+) \? (\[.*\]) : \[\]\)\}", re.DOTALL)
_TEXT = re.compile(r"<<-END\n(.*?)\n? *END", re.DOTALL)


def _expression(text: str) -> Tree:
    if found := _JSON.fullmatch(text):
        return _marks(_parsed(found[1]))
    if found := _JOINED.fullmatch(text):
        extra = [{"if": "{var." + found[2] + "}", "then": one} for one in _marks(_parsed(found[3]))]
        return [*_marks(_parsed(found[1])), *extra]
    if found := _TEXT.fullmatch(text):
        return "".join(f"{line.strip()}\n" for line in found[1].splitlines())
    return re.sub(r"\$\{([^}]+)\}", lambda one: _reference(one[1]), text)


def _parsed(expression: str) -> Tree:
    return _plain(hcl2.loads(f"x = {expression}\n")["x"])


def _reference(path: str) -> str:
    if found := re.fullmatch(r"aws_\w+\.(\w+)\.(?:arn|id|name)", path):
        return "{res." + found[1] + "}"
    return "{" + path.removeprefix("local.") + "}"
