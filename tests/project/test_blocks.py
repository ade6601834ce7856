"""Every block of the pages and every example can be copied: commands and workflows parse, and nothing is a placeholder.

Commands of ours are parsed by the command line itself; YAML is a configuration, or a part of a workflow or of Slack's
manifest, and each is examined by what reads it.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any, NamedTuple

import click
import hcl2
import jsonschema
import pytest
import yaml

from bluegreen.cli import cli
from bluegreen.config import Config, InvalidConfig, parse
from tests.project.test_references import PAGES
from tests.worlds.files import ROOT

#: Programs of others that the pages use.
PROGRAMS = {"aws", "cd", "cp", "docker", "gh", "git", "make", "pip", "zip", ".venv/bin/python"}
#: What stands for something that the reader has to know, and fails where it is not replaced. Names of the sample
#: service and of its host, web.example.com, are none: `bluegreen doctor` says which of them do not exist.
PLACEHOLDER = re.compile(
    r"\b(?:OWNER|ORG|REPO|EXAMPLE|TODO|FIXME|CHANGE_?ME|XXX+|YOUR[_-]\w+|your-\w+|my-\w+)\b|<[a-z][a-z _-]*>|…"
)
ARN = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/web/1/2"
PLAIN: dict[str, Any] = {
    "service": "web",
    "group": "web-asg",
    "traffic": {"target_groups": ["web"]},
    "image": {"ami": "ami-0123"},
}
WEIGHTED = {**PLAIN, "traffic": {"target_groups": ["web", "web-b"], "listeners": [ARN]}}
MANIFEST = yaml.safe_load((ROOT / "bot" / "manifest.yml").read_text())


class Block(NamedTuple):
    """A fenced block: where it stands, its language, what it says."""

    where: str
    kind: str
    text: str


def blocks() -> list[Block]:
    """Of every page, without its indentation."""
    fence = r"(?ms)^( *)```([^\n]*)\n(.*?)^ *```$"
    found = [(page, match) for page in PAGES for match in re.finditer(fence, page.read_text())]
    return [
        Block(
            f"{page.relative_to(ROOT)}:{page.read_text()[: m.start()].count(chr(10)) + 1}",
            m[2],
            _flush(m[3], len(m[1])),
        )
        for page, m in found
    ]


def _flush(text: str, indent: int) -> str:
    return "".join(line[indent:] if line.strip() else line for line in text.splitlines(keepends=True))


BLOCKS = blocks()


def of(*kinds: str) -> list[Any]:
    """The blocks of these languages, each a case of its own."""
    return [pytest.param(block, id=block.where) for block in BLOCKS if block.kind in kinds]


def test_every_block_says_its_language() -> None:
    """So that each is examined; the names of the pages are found, too."""
    assert len(BLOCKS) > 30
    assert {block.kind for block in BLOCKS} <= {"console", "hcl", "json", "sh", "yaml"}


# --- placeholders ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["uses: OWNER/bluegreen@v1", "cd <folder>", "role: YOUR_ROLE", "arn:aws:…:listener"])
def test_a_placeholder_is_found(text: str) -> None:
    """In whatever way it is written."""
    assert PLACEHOLDER.search(text)


@pytest.mark.parametrize("block", of("console", "hcl", "json", "sh", "yaml"))
def test_no_block_has_a_placeholder(block: Block) -> None:
    """Comments may leave something out, and so may what a command printed."""
    assert PLACEHOLDER.findall(_copied(block)) == []


def _copied(block: Block) -> str:
    if block.kind == "console":
        return "\n".join(_typed(block))
    return re.sub(r"(?m)(^|\s)#.*$", "", block.text)


@pytest.mark.parametrize(
    "path", sorted([*ROOT.glob("examples/*.*"), *ROOT.glob("bluegreen/workflows/*.yml")]), ids=lambda p: p.name
)
def test_no_example_has_a_placeholder(path: Any) -> None:
    """Names in them are those of one sample service."""
    assert PLACEHOLDER.findall(re.sub(r"\?[^}]*}", "", path.read_text())) == []
    if path.suffix == ".json":
        json.loads(path.read_text())


# --- commands --------------------------------------------------------------------------------------------


def _typed(block: Block) -> list[str]:
    """What is typed of a block: everything, or what follows a prompt."""
    joined = block.text.replace("\\\n", " ").splitlines()
    return joined if block.kind == "sh" else [line[2:] for line in joined if line.startswith("$ ")]


def _commands(line: str) -> Iterator[list[str]]:
    """The simple commands of a line, those in $(…) too, each as its words."""
    for inner in re.findall(r"\$\((.*?)\)", line):
        yield from _commands(inner)
    lexer = shlex.shlex(re.sub(r"\$\(.*?\)", "VALUE", line), posix=True, punctuation_chars="&|;<>")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, "&&"]:
        if word in ("&&", "||", "|", ";"):
            yield words
            words = []
        else:
            words.append(word)


def _without_shell(words: list[str]) -> list[str]:
    """Less assignments before it, and where its output goes."""
    kept = [word for n, word in enumerate(words) if ">" not in (word, words[n - 1] if n else "")]
    while kept and re.match(r"\w+=", kept[0]):
        kept = kept[1:]
    return kept


@pytest.mark.parametrize("block", of("sh", "console"))
def test_a_command_can_be_typed(block: Block) -> None:
    """The shell parses it; the command line takes each word of ours, and every other program is known."""
    lines = _typed(block)
    checked = subprocess.run(["bash", "-n"], input="\n".join(lines), text=True, capture_output=True)
    assert (checked.returncode, checked.stderr) == (0, "")
    found = [words for line in lines for one in _commands(line) if (words := _without_shell(one))]
    assert found
    for words in found:
        if words[0] == "bluegreen":
            _parse(words[1:])
        else:
            assert words[0] in PROGRAMS, words


def _parse(words: list[str]) -> None:
    """As click does it, short of running the command: unknown options and wrong values are errors."""
    command = cli.commands[words[0]]
    with click.Context(cli, info_name="bluegreen") as above:
        command.make_context(words[0], words[1:], parent=above)


def test_a_command_that_is_none_is_found() -> None:
    """By its name, an option or a value."""
    for line in ("bluegreen destroy", "bluegreen plan --colour", "bluegreen history --limit many"):
        with pytest.raises((KeyError, click.UsageError)):
            test_a_command_can_be_typed(Block("a.md:1", "sh", line))
    with pytest.raises(AssertionError):
        test_a_command_can_be_typed(Block("a.md:1", "sh", "destroy && bluegreen plan"))
    with pytest.raises(AssertionError):
        test_a_command_can_be_typed(Block("a.md:1", "sh", "bluegreen plan 'web"))


# --- YAML, JSON, HCL -------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", of("yaml"))
def test_yaml_is_what_its_reader_takes(block: Block) -> None:
    """A configuration or a part of one, a part of a workflow, or a part of the manifest."""
    read = yaml.safe_load(block.text)
    if read.keys() <= {*Config.model_fields, "environments"}:
        _configure(read)
    elif read.keys() <= MANIFEST.keys():
        assert _keys(read) <= _keys(MANIFEST) | {"url", "request_url"}
    else:
        _run(read)


def _configure(read: Mapping[str, Any]) -> None:
    """With what every configuration has beside it; with weights where it needs them."""
    try:
        parse(_over(PLAIN, read))
    except InvalidConfig:
        parse(_over(WEIGHTED, read))


def _over(base: Mapping[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    """The part over the base, key by key; what stands in place of a key replaces it."""
    merged = {**base, **part}
    if "traffic" in part:
        merged["traffic"] = {**base["traffic"], **part["traffic"]}
    if "groups" in part:
        merged.pop("group")
    return merged


def _keys(read: Any) -> set[str]:
    """Every key, at whatever depth."""
    parts = read.values() if isinstance(read, dict) else read if isinstance(read, list) else ()
    return {*(read if isinstance(read, dict) else ()), *(key for part in parts for key in _keys(part))}


def _run(read: dict[str, Any]) -> None:
    """As a step of a job, or as a job, by GitHub's schema of workflows."""
    job = {"steps": [read]} if read.keys() <= {"uses", "with"} else read
    steps = [{"uses": "./", **step} for step in job["steps"]]
    workflow = {"on": "push", "jobs": {"release": {"runs-on": "ubuntu-24.04", **job, "steps": steps}}}
    schema = resources.files("check_jsonschema").joinpath("builtin_schemas/vendor/github-workflows.json").read_text()
    jsonschema.Draft7Validator(json.loads(schema)).validate(workflow)


@pytest.mark.parametrize("text", ["servis: web", "soak: long", "steps: [{with: {until: held}, colour: blue}]"])
def test_yaml_that_nothing_reads_is_found(text: str) -> None:
    """A wrong key, a wrong value, a step that GitHub would refuse."""
    with pytest.raises((InvalidConfig, KeyError, jsonschema.ValidationError)):
        test_yaml_is_what_its_reader_takes(Block("a.md:1", "yaml", text))


@pytest.mark.parametrize("block", of("json", "hcl"))
def test_the_rest_parses(block: Block) -> None:
    """JSON and Terraform."""
    (json if block.kind == "json" else hcl2).loads(block.text)
