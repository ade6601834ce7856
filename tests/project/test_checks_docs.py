"""docs/checks.md says what the code does: keys, defaults, numbers, examples."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from bluegreen import judgement
from bluegreen.aws import metrics, probes
from bluegreen.config import AlarmCheck, HttpCheck, MetricCheck, RunCheck, parse
from bluegreen.judgement import Rule, need
from bluegreen.release import duration
from tests import judging
from tests.worlds.files import ROOT

PAGE = ROOT / "docs" / "checks.md"
DOCS = PAGE.read_text()
KINDS: dict[str, Any] = {"http": HttpCheck, "run": RunCheck, "alarm": AlarmCheck, "metric": MetricCheck}
COMMON = ("name", "every", "needs", "within", "at_most_failed", "when")


def table(heading: str) -> dict[str, list[str]]:
    """The rows of the first table under the heading, by their first cell."""
    rest = DOCS.split(f"\n{heading}\n")[1]
    lines = re.split(r"\n\n", rest[rest.index("\n|") + 1 :])[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert all(len(row) == len(rows[0]) and row[-1] for row in rows), rows
    return {row[0].strip("`"): row[1:] for row in rows}


def default(kind: str, key: str) -> str:
    """As the page writes it."""
    field = KINDS[kind]._keys()[key]
    match field.default:
        case float() as share if key == "at_most_failed":
            return f"{share:.0%}"
        case float() as seconds:
            return duration(seconds)
        case bool() as truth:
            return str(truth).lower()
        case tuple() as many:
            return ", ".join(map(str, many))
        case int() | str() as plain:
            return str(plain)
    return "-"


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_of_a_kind_is_in_its_table(kind: str) -> None:
    """In the config's order but for the common ones, with its default."""
    rows = table(f"## `{kind}`")
    keys = [key for key in KINDS[kind]._keys() if key not in COMMON]
    assert list(rows) == keys
    assert {key: row[0] for key, row in rows.items()} == {key: default(kind, key) for key in keys}


@pytest.mark.parametrize("kind", KINDS)
def test_the_common_keys_are_in_one_table(kind: str) -> None:
    """With what a kind has of its own."""
    rows = table("## Every kind")
    assert tuple(rows) == COMMON
    for key, (said, _) in rows.items():
        of_all, _, own = said.partition("; ")
        exception = re.fullmatch(r"`(\w+)`: (.*)", own)
        if exception and exception[1] == kind:
            expected = exception[2]
            assert key != "when" or expected == "checking, too"
            expected = f"checking, {of_all}" if key == "when" else expected
        else:
            expected = of_all
        assert default(kind, key) == expected, key


def test_the_example_is_valid() -> None:
    """With weighted traffic, and judged by the rules that are measured."""
    (example,) = re.findall(r"```yaml\n(.*?)```", DOCS, re.DOTALL)
    listener = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/web/50dc6c495c0c9188/f2f7dc8efc522ab2"
    config = parse(
        {
            "service": "web",
            "group": "web-asg",
            "image": {"ami": "ami-0123"},
            "traffic": {"target_groups": ["a", "b"], "listeners": [listener]},
            **yaml.safe_load(example),
        }
    )
    assert {next(kind for kind in KINDS if hasattr(check, kind)) for check in config.checks} == set(KINDS)
    rules = [metrics._rule(check) for check in config.checks if isinstance(check, MetricCheck)]
    assert rules == [judging.ERRORS, judging.LATENCY]


def plain(heading: str) -> str:
    """What stands under the heading, on one line."""
    return " ".join(DOCS.split(f"\n{heading}\n")[1].split("\n#", maxsplit=1)[0].split())


def dense(statistic: str) -> str:
    """`p90: 100`."""
    return f"{statistic}: {need(Rule(statistic, 1, 60, 10)).dense:,}"


@pytest.mark.parametrize(
    ("heading", "said"),
    [
        ("## `http`", f"The first {'' if probes.BODY_MAX == 1 << 20 else '?'}MiB of an answer is read"),
        ("## `run`", {3: "the last three lines"}[probes.END_LINES]),
        ("## `run`", {90.0: "within a minute and a half"}[probes.ROUND_SECONDS]),
        ("### What is judged, and how", {60.0: "have been over for a minute"}[metrics.SETTLING]),
        ("### What is judged, and how", {5: "five bad ones in a row fail at once"}[judgement.PERIODS]),
        ("### What is too little data", f"{judgement.PERIODS} periods, or as many as the window has"),
        (
            "### What is too little data",
            f"{judgement.REQUESTS_FOR_COUNTS} for counts against blue, {judgement.REQUESTS} for other values",
        ),
        ("### What is too little data", ", ".join(map(dense, ("p50", "p90", "p95", "p99", "p99.9")))),
        ("### What is too little data", {10: "ten requests beyond the percentile"}[judgement.BEYOND]),
        ("### What is too little data", {0.5: "is content with half"}[judgement.CONTENT]),
        ("### What is too little data", f"less than {-(-need(Rule('p99', 1, 60, 10)).dense // 60)} requests a second"),
        ("### The statistics in plain words", f"at most 1 in {1 / judgement.LEVEL:,.0f} at one evaluation"),
        ("### The statistics in plain words", {0.02: "chance would bring them once in fifty"}[judgement.DOUBTFUL]),
        ("### The statistics in plain words", f"For up to {judgement.EXACT} values"),
    ],
)
def test_a_number_is_the_codes(heading: str, said: str) -> None:
    """Each on the page that decides something."""
    assert said in plain(heading)


def test_what_is_silent_when_nothing_happened_is_named() -> None:
    """All of it."""
    text = plain("### What is too little data")
    for name in metrics.ZERO_WHEN_SILENT:
        assert re.sub(r"(?<=HTTPCode_Target_)\dXX(?=_Count)", "…", name) in text


def test_the_words_are_those_that_are_said() -> None:
    """The examples of values."""
    text = " ".join(DOCS.split())
    counts = judgement.Data(dict.fromkeys(range(10), 1.2), dict.fromkeys(range(10), 153.0))
    blue = judgement.Data(dict.fromkeys(range(10), 0.3), dict.fromkeys(range(10), 1380.0))
    assert f"`{judgement.evaluate(judging.ERRORS, counts, [blue]).value}`" in text
    values = [judgement.Data(dict.fromkeys(range(8), one), dict.fromkeys(range(8), 1e3)) for one in (0.42, 0.4)]
    assert f"`{judgement.evaluate(judging.LATENCY, values[0], values[1:]).value}`" in text
    few = judgement.Data({0: 0.0, 1: 0.0}, {0: 1.0, 1: 1.0})
    assert f"`{judgement.evaluate(judging.ERRORS, few, [few]).value}`" in text


def test_what_was_measured_is_what_is_assumed() -> None:
    """The service of the simulation, in the page's words."""
    service: Any = judging.Service()
    text = plain("### How well that works")
    assert f"{service.rate:g} requests a second, steps of {service.shares[0]} % and {service.shares[1]} %" in text
    assert f"(sigma {service.spread})" in text
    assert f"together by {service.together:.0%}".replace("%", " %") in text
    assert f"each by {service.apart:.0%} more".replace("%", " %") in text
    assert f"`within` {judging.WITHIN} minutes" in text


@pytest.mark.parametrize("file", ["README.md", "docs/configuration.md", "docs/traffic.md", "docs/how-it-works.md"])
def test_the_page_is_found(file: str) -> None:
    """From where people look for it; and its own links lead somewhere."""
    links = {((ROOT / file).parent / link).resolve() for link in re.findall(r"\]\(([^)#]+)", (ROOT / file).read_text())}
    assert PAGE.resolve() in links
    assert [link for link in re.findall(r"\]\(([^)#]+)", DOCS) if not (PAGE.parent / link).exists()] == []
