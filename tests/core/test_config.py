"""`bluegreen.yml`: what it means, and every way in which it can be wrong, one line a rule."""

# ruff: noqa: E501 (one line a rule)

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bluegreen import config as module
from bluegreen.config import (
    EXAMPLE,
    LONGEST,
    LONGEST_ANSWER,
    MOST,
    SELDOMEST,
    AlarmCheck,
    AwsConfig,
    BuilderConfig,
    Config,
    FreezeConfig,
    GitHubConfig,
    HttpCheck,
    ImageConfig,
    InvalidConfig,
    MetricCheck,
    Problem,
    Promotion,
    RunCheck,
    SlackConfig,
    Timeouts,
    TrafficConfig,
    duration,
    json_schema,
    link_local,
    load,
    parse,
)
from bluegreen.errors import ConfigError
from tests.worlds.files import ROOT
from tests.worlds.release import SMALL, small

BUILDER = {"instance": "i-0123", "run": "make"}
LB = "arn:aws:elasticloadbalancing:eu-west-1:123456789012"
LISTENER, RULE = f"{LB}:listener/app/web/01/02", f"{LB}:listener-rule/app/web/01/02/03"
WEIGHTED: dict[str, Any] = {"target_groups": ["a", "b"], "listeners": [LISTENER, RULE]}
METRIC: dict[str, Any] = {"metric": "TargetResponseTime", "statistic": "p99", "at_most": 1.2, "compare": "blue"}
OWN = {"metric": "Depth", "statistic": "Average", "at_most": 9, "namespace": "Web"}
FREEZE = FreezeConfig.model_validate(
    {"cron": "0 16 * * FRI", "for": "64h", "zone": "Europe/Berlin", "why": "the weekend"}
)
ARNS = "Copy it from the load balancer's page: arn:aws:elasticloadbalancing:…:listener/app/… or …:listener-rule/…."
WRONG_ARNS = [
    "web",
    f"{LB}:loadbalancer/app/web/01",
    f"{LB}:targetgroup/web/01",
    LISTENER.replace("app", "gwy"),
    f"{LISTENER} ",
]
WRONG_PRINCIPALS = [
    "ann", "123456789012", "arn:aws:iam::123456789012:root", "arn:aws:iam::12345:role/A", "arn:aws:s3:::web",
    "arn:aws:sts::123456789012:assumed-role/Admin/ann", "arn:aws:iam::123456789012:role/", "arn:gcp:iam::123456789012:user/a",
]  # fmt: skip
WRONG_CRONS = [
    ("friday", "wrong number of fields"), ("0 16 * *", "wrong number of fields"), ("@daily", "wrong number of fields"),
    ("0 0 16 * * FRI", "wrong number of fields"), ("", "wrong number of fields"), ("60 16 * * *", "bad minute"),
    ("0 24 * * *", "bad hour"), ("0 0 30 2 *", "bad day-of-month"), ("0 0 * 13 *", "bad month"),
    ("0 16 * * FRIDAY", "bad day-of-week"), ("0 16 * * FRI-MON", "bad day-of-week"),
]  # fmt: skip
ROLE = "arn:aws:iam::123456789012:role/OnCall"
MAPPING = "must be keys with values, but is {}. Write `key: value` lines below it."
QUOTES = "If you mean text, put it in quotes."
DURATIONS = "Write 90s, 15m, 4h, 2d, or a number of seconds."


def check(**keys: Any) -> dict[str, Any]:
    """A small config with one check, `home`, that says these keys."""
    return small(checks=[{"name": "home", **keys}])


def weighted(**keys: Any) -> dict[str, Any]:
    """A small config with weighted traffic that also says these keys."""
    return small(traffic={**deepcopy(WEIGHTED), **keys})


def metric(**keys: Any) -> dict[str, Any]:
    """One with weighted traffic and a check of a metric that says these keys."""
    return {**weighted(), "checks": [{"name": "home", **METRIC, **keys}]}


def own(**keys: Any) -> dict[str, Any]:
    """One with shared traffic and a check of a metric that the load balancer does not keep."""
    return check(**{**OWN, **keys})


def freeze(**keys: Any) -> dict[str, Any]:
    """One with a freeze that says these keys."""
    return small(freeze=[{"cron": "0 16 * * FRI", "for": "64h", **keys}])


def person(**keys: Any) -> dict[str, Any]:
    """One whose releases a person promotes, by these keys."""
    return small(promotion={"by": "person", **keys})


def uncommented() -> dict[str, Any]:
    """The example with the lines that only mention a key or a check."""
    text = re.sub(r"(?m)^( *)# (- \{|\w+: )", r"\1\2", EXAMPLE)
    mapping = yaml.safe_load(text)
    assert isinstance(mapping, dict)
    return mapping


def keys_of(model: type[module._Model]) -> list[str]:
    """The keys as the file writes them."""
    return list(model._keys())


def told(mapping: object, environment: str | None = None) -> list[str]:
    """What `parse` says is wrong, line by line."""
    with pytest.raises(InvalidConfig) as caught:
        parse(mapping, environment)
    return [str(problem) for problem in caught.value.problems]


def written(folder: Path, text: str | bytes) -> Path:
    """A file with this text."""
    path = folder / "bluegreen.yml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# --- what it means ---------------------------------------------------------------------------------------


def test_example_means_what_it_shows() -> None:
    """The documented example is a whole config."""
    config = parse(yaml.safe_load(EXAMPLE))
    run = 'cd /srv/web && git fetch origin && git checkout --force "$BLUEGREEN_COMMIT" && ./install\n'
    expected = Config(
        service="web",
        environment="production",
        region="ap-northeast-2",
        group="web-asg",
        traffic=TrafficConfig(target_groups=("web",), overlap=300.0),
        image=ImageConfig(builder=BuilderConfig(instance="i-0123", run=run, check="systemctl is-active web"), keep=5),
        checks=(
            HttpCheck(
                name="home", http="https://web.example.com/healthz", contains="ok", headers={"x-preview": "green"}
            ),
            RunCheck(name="unit", run="curl -fsS localhost/healthz"),
            AlarmCheck(name="errors", alarm="web-5xx"),
        ),
        slack=SlackConfig(channel="C0123", promoters=("S0GROUP", "U0123"), rollbackers=("*",), overriders=("U0123",)),
        github=GitHubConfig(promoters=("octocat", "acme/release-managers")),
        aws=AwsConfig(overriders=("arn:aws:iam::123456789012:role/OnCall",)),
        people={"alice": ("U0123", "octocat")},
        freeze=(FREEZE,),
    )
    assert expected == config


def test_example_shows_the_defaults() -> None:
    """What the example says of promotion, times and what becomes of blue is what is done when nothing is said."""
    shown, silent = parse(yaml.safe_load(EXAMPLE)), parse(SMALL)
    for key in ("promotion", "soak", "retire", "timeouts", "poll", "environment"):
        assert getattr(shown, key) == getattr(silent, key)
    assert shown.traffic.overlap == silent.traffic.overlap
    assert shown.image.keep == silent.image.keep


def test_example_shows_every_key() -> None:
    """A key that the example does not name does not exist."""
    shown = {key: set(value) for key, value in uncommented().items() if isinstance(value, dict)}
    checks: set[str] = set().union(*map(set, uncommented()["checks"]))
    words = {word for line in EXAMPLE.splitlines() if "may say:" in line for word in re.findall(r"(\w+):", line)}
    missing = [
        *(set(keys_of(Config)) - set(uncommented()) - {"environments"}),
        *(set(keys_of(TrafficConfig)) - shown["traffic"]),
        *(set(keys_of(ImageConfig)) - shown["image"]),
        *(set(keys_of(BuilderConfig)) - {*uncommented()["image"]["builder"], "tag"}),
        *({key for kind in (HttpCheck, RunCheck, AlarmCheck, MetricCheck) for key in keys_of(kind)} - checks - words),
        *(set(keys_of(Promotion)) - shown["promotion"]),
        *(set(keys_of(Timeouts)) - shown["timeouts"]),
        *(set(keys_of(SlackConfig)) - shown["slack"]),
        *(set(keys_of(GitHubConfig)) - shown["github"]),
        *(set(keys_of(AwsConfig)) - shown["aws"]),
        *(set(keys_of(FreezeConfig)) - set(uncommented()["freeze"][0])),
    ]
    assert missing == []
    assert "# or tag:" in EXAMPLE


def test_every_key_is_documented() -> None:
    """Those of checks on a page of their own."""
    page, checks = ((ROOT / "docs" / name).read_text() for name in ("configuration.md", "checks.md"))
    nested: dict[type[module._Model], str] = {
        TrafficConfig: "traffic",
        Promotion: "promotion",
        SlackConfig: "slack",
        GitHubConfig: "github",
        AwsConfig: "aws",
        FreezeConfig: "freeze",
    }
    missing = [f"{at}.{key}" for model, at in nested.items() for key in keys_of(model) if f"`{at}.{key}`" not in page]
    whole: tuple[type[module._Model], ...] = (Config, ImageConfig, BuilderConfig, Timeouts)
    missing += [key for model in whole for key in keys_of(model) if f"{key}:" not in page and f"`{key}`" not in page]
    kinds: tuple[type[module._Model], ...] = (HttpCheck, RunCheck, AlarmCheck, MetricCheck)
    for model in kinds:
        missing += [key for key in keys_of(model) if f"`{key}`" not in checks and f"{key}:" not in checks]
    assert missing == []


def test_what_the_example_only_mentions_is_right_too() -> None:
    """People take the comment sign away."""
    mapping = uncommented()
    mapping["traffic"]["target_groups"] = ["web", "web-idle"]
    del mapping["image"]["builder"]
    assert parse({key: mapping[key] for key in mapping.keys() - {"group", "retire", "keep_failed"}}).groups == (
        "web-a",
        "web-b",
    )
    del mapping["groups"]
    config = parse(mapping)
    assert config.traffic.shares == (0, 10, 50)
    assert [check.name for check in config.checks] == ["home", "unit", "errors", "database", "all", "latency", "queue"]


def test_defaults() -> None:
    """Four keys are enough."""
    config = parse(SMALL)
    assert config.environment == "production"
    assert (config.region, config.checks, config.soak, config.retire, config.poll) == (None, (), 900.0, "delete", 5.0)
    assert config.promotion == Promotion(by="auto", timeout=14400.0, on_timeout="rollback", approvals=1)
    assert config.timeouts == Timeouts(bake=7200.0, launch=900.0, healthy=600.0)
    assert config.slack == SlackConfig(channel=None, promoters=(), rollbackers=())


@pytest.mark.parametrize(
    ("kind", "when"),
    [
        ({"http": "http://web"}, ("overlapping", "soaking")),
        ({"alarm": "web-5xx"}, ("overlapping", "soaking")),
        ({"run": "true"}, ("checking", "overlapping", "soaking")),
    ],
)
def test_when_a_check_is_looked_at(kind: dict[str, str], when: tuple[str, ...]) -> None:
    """Only a command can tell something of green before green serves; that is the default of each kind."""
    (found,) = parse(check(**kind)).checks
    assert (when, 10.0, 3, 300.0) == (found.when, found.every, found.needs, found.within)


@pytest.mark.parametrize(("said", "meant"), [(204, (204,)), ([200, 204], (200, 204))])
def test_status_is_one_or_several(said: object, meant: tuple[int, ...]) -> None:
    """One status may stand without a list."""
    (found,) = parse(check(http="http://web", status=said)).checks
    assert isinstance(found, HttpCheck)
    assert meant == found.status


def test_key_without_a_value_counts_as_not_written() -> None:
    """A heading whose content is commented out changes nothing."""
    assert parse(SMALL) == parse(small(slack=None, checks=None, soak=None, environments=None))


def test_names() -> None:
    """Everything is named after service and environment."""
    config = parse(SMALL, None)
    assert config.id == "web/production"


def test_config_cannot_be_changed() -> None:
    """A release holds on to the config that it began with."""
    with pytest.raises(ValidationError, match="frozen"):
        parse(SMALL).poll = 1.0  # type: ignore[misc]


# --- environments ----------------------------------------------------------------------------------------


STAGED = small(soak="1m", promotion={"by": "person"}, environments={"staging": {"group": "other", "promotion": {}}})


def test_environment_replaces_whole_keys() -> None:
    """An environment's key stands in place of the one above, with all that is nested in it."""
    config = parse(STAGED, "staging")
    assert ("web/staging", "other", "auto", 60.0) == (config.id, config.group, config.promotion.by, config.soak)


@pytest.mark.parametrize(
    ("own", "asked", "meant"),
    [
        (None, None, "production"),
        (None, "", "production"),
        (None, "staging", "staging"),
        (None, "production", "production"),
        ("staging", None, "staging"),
        ("live", None, "live"),
        ("live", "live", "live"),
        ("live", "staging", "staging"),
    ],
)
def test_choice_of_environment(own: str | None, asked: str | None, meant: str) -> None:
    """The one that is asked for, else the file's own, else production."""
    assert meant == parse({**STAGED, "environment": own}, asked).environment


def test_environment_may_bring_what_the_file_lacks_or_take_away() -> None:
    """Only the environment that is asked for must be whole; a key set to nothing is the default again."""
    mapping = small(slack={"channel": "C1"}, environments={"a": {"group": "a", "slack": None}, "b": None})
    del mapping["group"]
    assert parse(mapping, "a").slack == SlackConfig()
    assert told(mapping, "b") == told(mapping)
    assert told(mapping) == [
        "group: is missing. Add the Auto Scaling group that serves before the first release, as in group: web-asg."
    ]


def pair(**keys: Any) -> dict[str, Any]:
    """The smallest config with a standing pair."""
    return {key: value for key, value in {**small(), "groups": ["web-a", "web-b"], **keys}.items() if key != "group"}


def test_a_standing_pair_stands_in_place_of_a_group() -> None:
    """Blue is kept, whatever is said of it elsewhere; both kinds name their groups alike."""
    config = parse(pair())
    assert (config.group, config.groups, config.retire) == (None, ("web-a", "web-b"), "empty")
    assert config.names == ("web-a", "web-b")
    assert Config.from_dict(config.to_dict()) == config
    assert parse(small()).names == ("web-asg",)


@pytest.mark.parametrize(
    ("mapping", "line"),
    [
        (small(groups=["a", "b"]), "groups: stands beside `group`. Remove one: `groups` is a standing pair, in place of `group`."),
        (pair(groups=["a"]), "groups: names 1. Name exactly two groups: they take turns."),
        (pair(groups=["a", "b", "c"]), "groups: names 3. Name exactly two groups: they take turns."),
        (pair(groups=["a", "a"]), "groups: names `a` twice. Remove one."),
        (pair(groups=["a", ""]), "groups.1: must not be empty. Write something, or remove the key."),
        (pair(keep_failed="2h"), "keep_failed: keeps a green that failed, but one of a standing pair is given back. Remove it: the next release needs the idle group."),
        (pair(keep_failed="soon"), "keep_failed: `soon` is not a duration. Write 90s, 15m, 4h, 2d, or a number of seconds."),
        (pair(retire="delete"), "retire: is `delete`, but neither group of a standing pair is ever deleted. Remove it, or write `retire: empty`."),
    ],
)  # fmt: skip
def test_a_wrong_pair(mapping: dict[str, Any], line: str) -> None:
    """By the key where it stands."""
    assert told(mapping) == [line]


def test_an_environment_may_have_a_pair_where_the_file_has_a_group() -> None:
    """And the other way round: either stands in place of the other."""
    assert parse(small(environments={"staging": {"groups": ["a", "b"]}}), "staging").names == ("a", "b")
    assert parse(pair(environments={"staging": {"group": "a"}}), "staging").names == ("a",)


@pytest.mark.parametrize(
    ("environments", "asked", "lines"),
    [
        ({"staging": {}}, "stagin", ["environments: has no `stagin`. Did you mean `staging`?"]),
        ({"staging": {}}, "qa", ["environments: has no `qa`. Known are: production, staging."]),
        (["a"], None, [f"environments: {MAPPING.format('a list')}"]),
        ({"a": 5}, None, [f"environments.a: {MAPPING.format('`5`')}"]),
        ({1: {}}, None, ["environments.1: `1` is not a name. Use small letters, digits and hyphens, as in web-2."]),
        ({"A": {}}, None, ["environments.A: `A` is not a name. Use small letters, digits and hyphens, as in web-2."]),
        (
            {"a": {"environment": "b"}},
            "a",
            ["environments.a.environment: is not allowed in an environment. Remove it."],
        ),
        (
            {"a": {"environments": {}}},
            "a",
            ["environments.a.environments: is not allowed in an environment. Remove it."],
        ),
        ({"a": {"group": 5}}, "a", [f"environments.a.group: must be text, but is `5`. {QUOTES}"]),
        ({"a": {"group": 5}}, None, [f"environments.a.group: must be text, but is `5`. {QUOTES}"]),
        ({"a": {"grup": "b"}}, None, ["environments.a.grup: is not a known key. Did you mean `group`?"]),
    ],
)
def test_wrong_environments(environments: object, asked: str | None, lines: list[str]) -> None:
    """What is wrong in any environment is told, at its own path, whichever is asked for."""
    assert lines == told(small(environments=environments), asked)


def test_what_an_environment_replaces_must_be_right_too() -> None:
    """A mistake above is told though the environment that is asked for does not use it."""
    mapping = small(soak="soon", environments={"a": {"soak": "1m"}})
    assert told(mapping, "a") == [f"soak: `soon` is not a duration. {DURATIONS}"]


# --- what can be wrong -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mapping", "line"),
    [
        (None, "must be keys with values, but is empty. `bluegreen init` writes one, once this file is gone."),
        (small(service=False), f"service: must be text, but is false (to YAML, yes, no, on and off are truth values). {QUOTES}"),
        (small(service="Web"), "service: `Web` is not a name. Use small letters, digits and hyphens, as in web-2."),
        (small(service="-web"), "service: `-web` is not a name. Use small letters, digits and hyphens, as in web-2."),
        (small(service="w" * 51), "service: with the environment `production` is longer than 60 characters. Shorten one: the names of groups and images have both."),
        (small(environment=5), f"environment: must be text, but is `5`. {QUOTES}"),
        (small(environment=""), "environment: `` is not a name. Use small letters, digits and hyphens, as in web-2."),
        (small(region="seoul"), "region: `seoul` is not a region. Write it as in ap-northeast-2."),
        (small(group=" "), "group: must not be empty. Write something, or remove the key."),
        (small(trafic={}), "trafic: is not a known key. Did you mean `traffic`?"),
        (small(zzz={}), "zzz: is not a known key. Known are: allow, aws, checks, environment, freeze, github, group, groups, hooks, image, keep_failed, people, poll, promotion, region, report_url, retire, service, slack, soak, timeouts, traffic."),
        (dict[object, object]({**SMALL}) | {7: 1}, "7: is not a key: `7` is not text. Put the key in quotes."),
        (small(traffic=5), f"traffic: {MAPPING.format('`5`')}"),
        (small(traffic={}), "traffic.target_groups: is missing. Add every target group that blue is registered in, names or ARNs, as in target_groups: [web]; with listeners exactly two."),
        (small(traffic={"target_groups": "web"}), "traffic.target_groups: must be a list, but is `web`. Write [one, two], or one `- item` a line."),
        (small(traffic={"target_groups": []}), "traffic.target_groups: must not be empty. Name at least one."),
        (small(traffic={"target_groups": ["a", "a"]}), "traffic.target_groups: names `a` twice. Remove one."),
        (small(traffic={"target_groups": [{}]}), f"traffic.target_groups.0: must be text, but is keys with values. {QUOTES}"),
        (small(traffic={"target_groups": ["a"], "overlap": "5 minutes"}), f"traffic.overlap: `5 minutes` is not a duration. {DURATIONS}"),
        (small(image={}), "image: says neither `builder` nor `ami`. Give it exactly one of builder, ami."),
        (small(image={"ami": "ami-1", "builder": BUILDER}), "image: says both `builder` and `ami`. Give it exactly one of builder, ami."),
        (small(image={"ami": "web"}), "image.ami: `web` is not an AMI. Write ami-0123… or resolve:ssm:/path/to/parameter."),
        (small(image={"ami": "ami-1", "keep": 0}), "image.keep: must be at least 1, but is `0`."),
        (small(image={"ami": "ami-1", "keep": "5"}), "image.keep: must be an integer, but is `5`. Write digits without quotes."),
        (small(image={"builder": {"run": "make"}}), "image.builder: says neither `instance` nor `tag`. Give it exactly one of instance, tag."),
        (small(image={"builder": {**BUILDER, "tag": "b"}}), "image.builder: says both `instance` and `tag`. Give it exactly one of instance, tag."),
        (small(image={"builder": {"tag": "b"}}), "image.builder.run: is missing. Add the commands that bring the builder to $BLUEGREEN_COMMIT, as root."),
        (small(image={"builder": {"instance": "web", "run": "make"}}), "image.builder.instance: `web` is not an instance id. Write i-0123…, or use `tag` for its Name."),
        (small(checks={}), "checks: must be a list, but is keys with values. Write [one, two], or one `- item` a line."),
        (small(checks=["home"]), "checks.0: has nothing to check. Give it exactly one of http, run, alarm, metric."),
        (check(), "checks.0: has nothing to check. Give it exactly one of http, run, alarm, metric."),
        (weighted(target_groups=["a"]), "traffic.target_groups: names 1 for weighted traffic. Name exactly two: the one that serves, and one that waits."),
        (weighted(target_groups=["a", "b", "c"]), "traffic.target_groups: names 3 for weighted traffic. Name exactly two: the one that serves, and one that waits."),
        (weighted(target_groups=["a", "a"]), "traffic.target_groups: names `a` twice. Remove one."),
        (weighted(listeners=[]), "traffic.listeners: must not be empty. Name at least one."),
        (weighted(listeners=[RULE, RULE]), f"traffic.listeners: names `{RULE[:57]}...` twice. Remove one."),
        (weighted(listeners="web"), "traffic.listeners: must be a list, but is `web`. Write [one, two], or one `- item` a line."),
        *((weighted(listeners=[wrong]), f"traffic.listeners.0: `{wrong[:57] + '...' if len(wrong) > 60 else wrong}` is not the ARN of a listener or rule. {ARNS}") for wrong in WRONG_ARNS),
        (weighted(preview=[LISTENER]), "traffic.preview.0: is also in `listeners`. It can lead to green early, or serve by weight: remove it from one."),
        (weighted(preview=["web"]), f"traffic.preview.0: `web` is not the ARN of a listener or rule. {ARNS}"),
        (weighted(preview=[]), "traffic.preview: must not be empty. Name at least one."),
        (weighted(preview=RULE), f"traffic.preview: must be a list, but is `{RULE[:57]}...`. Write [one, two], or one `- item` a line."),
        (small(traffic={"target_groups": ["a"], "preview": [RULE]}), "traffic.preview: needs `listeners`. Name the listeners whose weights to move, or remove it."),
        (small(traffic={"target_groups": ["a"], "steps": [0]}), "traffic.steps: needs `listeners`. Name the listeners whose weights to move, or remove it."),
        (weighted(steps=[]), "traffic.steps: must not be empty. Name at least one."),
        (weighted(steps=10), "traffic.steps: must be a list, but is `10`. Write [one, two], or one `- item` a line."),
        (weighted(steps=[10, 10]), "traffic.steps: names `10` twice. Remove one."),
        (weighted(steps=[10, 50, 20]), "traffic.steps: goes down from 50 to 20. Write shares that rise, as in [0, 10, 50]."),
        (weighted(steps=[100]), "traffic.steps.0: must be at most 99, but is `100`."),
        (weighted(steps=[-1]), "traffic.steps.0: must be at least 0, but is `-1`."),
        (weighted(steps=["10%"]), "traffic.steps.0: must be an integer, but is `10%`. Write digits without quotes."),
        (weighted(steps=[0.5]), "traffic.steps.0: must be an integer, but is `0.5`. Write digits without quotes."),
        (check(**METRIC), "checks.0.metric: needs weighted traffic: a shared target group mixes both. Add `listeners` to traffic, or a `namespace` to the metric."),
        (metric(metric=" "), "checks.0.metric: must not be empty. Write something, or remove the key."),
        ({**weighted(), "checks": [{"name": "home", "metric": "A", "at_most": 1}]}, "checks.0.statistic: is missing. Add the statistic, as in Sum, Average or p99."),
        ({**weighted(), "checks": [{"name": "home", "metric": "A", "statistic": "Sum"}]}, "checks.0.at_most: is missing. Add the limit; with `compare: blue` a factor on blue's value."),
        *((metric(statistic=wrong), f"checks.0.statistic: `{wrong}` is not a statistic. Write Sum, Average, Minimum, Maximum, SampleCount, or a percentile as in p99.") for wrong in ("sum", "P99", "p101", "p", "p99%", "99", "p9.", "p-1", "tm99", "mean", "")),
        (metric(at_most=0), "checks.0.at_most: must be more than 0, but is `0`."),
        (metric(at_most=-1), "checks.0.at_most: must be more than 0, but is `-1`."),
        (metric(at_most="1.2"), "checks.0.at_most: must be a number, but is `1.2`. Write digits without quotes."),
        (metric(at_most=True), "checks.0.at_most: must be a number, but is true (to YAML, yes, no, on and off are truth values). Write digits without quotes."),
        (metric(at_most=float("inf")), "checks.0.at_most: must be a number, but is `inf`. Write digits without quotes."),
        (metric(at_most=float("nan")), "checks.0.at_most: must be a number, but is `nan`. Write digits without quotes."),
        (metric(compare="green"), "checks.0.compare: must be `blue`, but is `green`."),
        (metric(window=0), f"checks.0.window: must be longer than 0 seconds. {DURATIONS}"),
        (metric(window=30), "checks.0: has a window that is shorter than its period. Raise `window`, or lower `period`."),
        (metric(period="1 minute"), f"checks.0.period: `1 minute` is not a duration. {DURATIONS}"),
        *((metric(period=wrong), f"checks.0: has a period of {wrong:g}s, which CloudWatch does not keep. Write 1s, 5s, 10s, 30s or full minutes.") for wrong in (2, 15, 90, 0.5)),
        (metric(every="9m"), "checks.0: can never hold: 3 evaluations every 540s take 1080s, but within is 900s. Raise `within`, or lower `every` or `needs`."),
        (metric(namespace="Web"), "checks.0.compare: needs a metric of the load balancer. Only metrics of the load balancer separate blue and green: remove `namespace`, or `compare`."),
        (metric(dimensions={"a": "b"}), "checks.0.dimensions: needs `namespace`. Name the namespace, or remove the dimensions."),
        (own(namespace=""), "checks.0.namespace: must not be empty. Write something, or remove the key."),
        (own(dimensions=["a"]), f"checks.0.dimensions: {MAPPING.format('a list')}"),
        (own(dimensions={"a": 1}), f"checks.0.dimensions.a: must be text, but is `1`. {QUOTES}"),
        (check(alarm="a", missing="maybe"), "checks.0.missing: must be `fail` or `pass`, but is `maybe`."),
        (check(alarm="a", missing=True), "checks.0.missing: must be `fail` or `pass`, but is true (to YAML, yes, no, on and off are truth values)."),
        (check(http="http://a", json=["a"]), f"checks.0.json: {MAPPING.format('a list')}"),
        (check(http="http://a", json={" ": 1}), "checks.0.json. .[key]: must not be empty. Write something, or remove the key."),
        (check(http="http://a", json_values={"a": 1}), "checks.0.json_values: is not a known key. Known are: at_most_failed, contains, every, headers, http, json, name, needs, reveal, status, timeout, when, within."),
        (check(http="http://a", timeout=0), f"checks.0.timeout: must be longer than 0 seconds. {DURATIONS}"),
        *((check(http="http://a", timeout=wrong), f"checks.0.timeout: must be at most 30s, but is {said} seconds. Check a faster page.") for wrong, said in ((30.1, "30.1"), ("1m", "60"), ("99999999d", "8,639,999,913,600"))),
        (check(http="http://a", timeout="20s", within="20s"), "checks.0: the timeout of 20s is not shorter than `within`, which is 20s. Lower `timeout`, or raise `within`."),
        (check(http="http://a", alarm="b"), "checks.0.alarm: is a second thing to check. Make it a separate check, with its own name."),
        (check(run="a", evry=5), "checks.0.evry: is not a known key. Did you mean `every`?"),
        (check(run=5), f"checks.0.run: must be text, but is `5`. {QUOTES}"),
        (check(run="a", every=0), f"checks.0.every: must be longer than 0 seconds. {DURATIONS}"),
        (check(run="a", needs=True), "checks.0.needs: must be an integer, but is true (to YAML, yes, no, on and off are truth values). Write digits without quotes."),
        (check(run="a", within="20s", every="11s"), "checks.0: can never hold: 3 evaluations every 11s take 22s, but within is 20s. Raise `within`, or lower `every` or `needs`."),
        (check(run="a", when=[]), "checks.0.when: must not be empty. Name at least one."),
        (check(run="a", when=["baking"]), "checks.0.when.0: must be `checking`, `overlapping` or `soaking`, but is `baking`."),
        *((check(http=f"http://{host}/latest"), f"checks.0: {host.strip('[]')} is link-local: an instance has its credentials there. Use the service's own address.") for host in ("169.254.169.254", "169.254.170.2", "[fe80::1]", "[fd00:ec2::254]", "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "2852039166", "0xa9fea9fe", "169.254.43518")),
        (check(http="ftp://web"), "checks.0.http: `ftp://web` is not a URL to ask. Write the complete URL, as in https://web.example.com/healthz."),
        (check(http="http:///a"), "checks.0.http: `http:///a` is not a URL to ask. Write the complete URL, as in https://web.example.com/healthz."),
        (check(http="http://[a"), "checks.0.http: `http://[a` is not a URL to ask. Write the complete URL, as in https://web.example.com/healthz."),
        (check(http="http://a/ b"), "checks.0.http: `http://a/ b` is not a URL to ask. Write the complete URL, as in https://web.example.com/healthz."),
        (check(http="http://me:secret@web"), "checks.0.http: has a name or password in the URL. Remove it: the journal keeps the configuration."),
        (check(http="http://a", status=99), "checks.0.status.0: must be at least 100, but is `99`."),
        (check(http="http://a", status=[600]), "checks.0.status.0: must be at most 599, but is `600`."),
        (check(http="http://a", headers=[]), f"checks.0.headers: {MAPPING.format('a list')}"),
        (check(http="http://a", headers={"x": 1}), f"checks.0.headers.x: must be text, but is `1`. {QUOTES}"),
        (check(http="http://a", headers={"x y": "z"}), "checks.0.headers: `x y` is not a valid header. Use one line of plain ASCII."),
        (check(http="http://a", headers={"x": "a\r\nb"}), "checks.0.headers: `x` is not a valid header. Use one line of plain ASCII."),
        (check(http="http://a", headers={"Authorization": "z"}), "checks.0.headers: `Authorization` would go into the journal. Remove it, and check a page that needs no secret."),
        (small(checks=[{"name": "a", "run": "b"}, {"name": "a", "run": "c"}]), "checks.1.name: `a` is also the name of checks.0. Give each check its own name."),
        (small(checks=[{"run": "b"}]), "checks.0.name: is missing. Add a name for the check, as in name: home."),
        (small(checks=[{"name": "Green", "run": "b"}]), "checks.0.name: `Green` is the name of a built-in check. Give the check another name."),
        (small(checks=[{"name": "x" * 41, "run": "b"}]), f"checks.0.name: `{'x' * 41}` is not a name for a check. Use one line of 1 to 40 characters."),
        (small(promotion={"by": "Bob"}), "promotion.by: must be `auto` or `person`, but is `Bob`."),
        (small(promotion={"timeout": 0}), f"promotion.timeout: must be longer than 0 seconds. {DURATIONS}"),
        (small(promotion={"approvals": 2}), "promotion: asks for approvals, but `by: auto` needs nobody. Set by: person, or remove approvals."),
        (small(promotion={"by_author": False}), "promotion: excludes the author, but `by: auto` needs nobody. Set by: person, or remove by_author."),
        (person(by_author="no"), "promotion.by_author: must be true or false, but is `no`. Write it without quotes."),
        (person(by_author=0), "promotion.by_author: must be true or false, but is `0`. Write it without quotes."),
        (person(remind="never"), f"promotion.remind: `never` is not a duration. {DURATIONS}"),
        (small(soak=-1), f"soak: `-1` is not a duration. {DURATIONS}"),
        (small(soak=[1]), f"soak: a list is not a duration. {DURATIONS}"),
        (small(retire="stop"), "retire: must be `delete` or `empty`, but is `stop`."),
        (small(timeouts={"bake": "x" * 70}), f"timeouts.bake: `{'x' * 57}...` is not a duration. {DURATIONS}"),
        (small(poll=0.01), "poll: must be at least 0.1 seconds. If you poll more often, AWS refuses calls."),
        (small(slack={"channel": "#web"}), "slack.channel: `#web` is not a channel's id. Write C0123…, from the channel's About page: names can change."),
        (small(slack={"promoters": ["ann"]}), "slack.promoters.0: `ann` is not a Slack id. Write a person's U0123…, a user group's S0123…, or * for everyone."),
        (small(slack={"overriders": ["ann"]}), "slack.overriders.0: `ann` is not a Slack id. Write a person's U0123…, a user group's S0123…, or * for everyone."),
        (small(slack={"overriders": "*"}), "slack.overriders: must be a list, but is `*`. Write [one, two], or one `- item` a line."),
        *((small(github={"promoters": [wrong]}), f"github.promoters.0: `{wrong}` is not a GitHub login or team. Write octocat for a person, acme/release-managers for a team, or * for everyone.") for wrong in ("@octocat", "acme/", "/web", "acme/web/x", "Ann Smith", "-ann", "ann[bot", "acme/we b", "")),
        (small(github={"rollbackers": [5]}), f"github.rollbackers.0: must be text, but is `5`. {QUOTES}"),
        (small(github={"overrider": []}), "github.overrider: is not a known key. Did you mean `overriders`?"),
        *((small(aws={"overriders": [wrong]}), f"aws.overriders.0: `{wrong[:57] + '...' if len(wrong) > 60 else wrong}` is not a distinct AWS principal. Write the ARN of an IAM user or role, of an IAM Identity Center user's session, or * for everyone.") for wrong in WRONG_PRINCIPALS),
        (small(people={"ann": ["U0ANN", "not an id"]}), "people.ann.1: `not an id` is not a person's id. Write a Slack id (U0123…), a GitHub login, or the ARN of an AWS principal."),
        (small(people={"ann": ["*"]}), "people.ann.0: `*` is not a person's id. Write a Slack id (U0123…), a GitHub login, or the ARN of an AWS principal."),
        (small(people={"ann": ["acme/web"]}), "people.ann.0: `acme/web` is not a person's id. Write a Slack id (U0123…), a GitHub login, or the ARN of an AWS principal."),
        (small(people={"ann": "octocat"}), "people.ann: must be a list, but is `octocat`. Write [one, two], or one `- item` a line."),
        (small(people=["ann"]), f"people: {MAPPING.format('a list')}"),
        (small(people={"ann": ["Octocat"], "bob": ["U1", "octocat"]}), "people.bob.1: `octocat` is also an id of ann. An id belongs to one person: remove one."),
        (small(freeze={"cron": "0 16 * * FRI"}), "freeze: must be a list, but is keys with values. Write [one, two], or one `- item` a line."),
        (small(freeze=["weekends"]), f"freeze.0: {MAPPING.format('`weekends`')}"),
        (small(freeze=[{"for": "1h"}]), "freeze.0.cron: is missing. Add when it begins: minute, hour, day, month, weekday, as in 0 16 * * FRI."),
        (small(freeze=[{"cron": "0 16 * * FRI"}]), "freeze.0.for: is missing. Add how long it lasts, as in for: 64h."),
        *((freeze(cron=wrong), f"freeze.0.cron: `{wrong}` is not a recurring time: {why}. Write minute, hour, day, month, weekday, as in 0 16 * * FRI.") for wrong, why in WRONG_CRONS),
        (freeze(cron=5), f"freeze.0.cron: must be text, but is `5`. {QUOTES}"),
        (freeze(**{"for": 0}), f"freeze.0.for: must be longer than 0 seconds. {DURATIONS}"),
        (freeze(**{"for": "367d"}), "freeze.0.for: must be at most 366d, but is 31,708,800 seconds. Write several windows: one may begin when another ends."),
        (freeze(**{"for": "the weekend"}), f"freeze.0.for: `the weekend` is not a duration. {DURATIONS}"),
        (freeze(zone="Europe/Berln"), "freeze.0.zone: `Europe/Berln` is not a time zone. Did you mean `Europe/Berlin`?"),
        (freeze(zone="+02:00"), "freeze.0.zone: `+02:00` is not a time zone. Write one as in Europe/Berlin or UTC."),
        (freeze(zone="../../etc/passwd"), "freeze.0.zone: `../../etc/passwd` is not a time zone. Write one as in Europe/Berlin or UTC."),
        (freeze(zone=""), "freeze.0.zone: `` is not a time zone. Write one as in Europe/Berlin or UTC."),
        (freeze(why=""), "freeze.0.why: must not be empty. Write something, or remove the key."),
    ],
)  # fmt: skip
def test_wrong(mapping: object, line: str) -> None:
    """One mistake is told once: its path, what is wrong, what to do."""
    assert [line] == told(mapping)


RIGHT: list[tuple[dict[str, Any], Any]] = [
    (weighted(), lambda c: (c.traffic.shares, c.traffic.preview) == ((50,), None)),
    (weighted(steps=[0]), lambda c: c.traffic.shares == (0,)),
    (weighted(steps=[0, 1, 99]), lambda c: c.traffic.shares == (0, 1, 99)),
    (small(), lambda c: c.traffic.shares == ()),
    *(
        (weighted(listeners=[f"arn:{partition}:elasticloadbalancing:{region}:123456789012:{end}"]), lambda c: c.traffic.listeners)
        for partition, region in [("aws", "eu-west-1"), ("aws-cn", "cn-north-1"), ("aws-us-gov", "us-gov-west-1")]
        for end in ["listener/app/web/01/02", "listener/net/web/01/02", "listener-rule/app/web/01/02/03"]
    ),
    (weighted(preview=[RULE.replace("03", "04")]), lambda c: len(c.traffic.preview) == 1),
    *((metric(statistic=s), lambda c: c.checks) for s in ("Sum", "Average", "Minimum", "Maximum", "SampleCount", "p0", "p50", "p99", "p99.9", "p100")),
    (metric(), lambda c: (c.checks[0].window, c.checks[0].period, c.checks[0].every, c.checks[0].within) == (600.0, 60.0, 60.0, 900.0)),
    (metric(at_most=2), lambda c: c.checks[0].at_most == 2.0),
    *((metric(period=p, window=p), lambda c: c.checks) for p in (1, 5, 10, 30, 60, "5m")),
    (metric(compare=None), lambda c: c.checks[0].compare is None),
    (own(), lambda c: (c.checks[0].namespace, c.checks[0].dimensions) == ("Web", {})),
    (own(dimensions={"Queue": "mail"}), lambda c: c.checks[0].dimensions == {"Queue": "mail"}),
    (check(alarm="a"), lambda c: c.checks[0].missing == "fail"),
    (check(alarm="a", missing="pass"), lambda c: c.checks[0].missing == "pass"),
    (check(http="http://a", json={"a.b": None, "c": [1, {"d": True}]}), lambda c: c.checks[0].json_values == {"a.b": None, "c": [1, {"d": True}]}),
    (person(), lambda c: (c.promotion.by_author, c.promotion.remind) == (True, 1800.0)),
    (person(by_author=False, remind=0, approvals=2), lambda c: (c.promotion.by_author, c.promotion.remind) == (False, 0.0)),
    (small(), lambda c: (c.slack.overriders, c.people, c.freeze) == ((), {}, ())),
    (small(), lambda c: (c.github.promoters, c.github.rollbackers, c.github.overriders) == (("*",), ("*",), ())),
    (small(), lambda c: (c.aws.promoters, c.aws.rollbackers, c.aws.overriders) == (("*",), ("*",), ("*",))),
    (small(github={"promoters": []}), lambda c: c.github.promoters == ()),
    *((small(github={"overriders": [login]}), lambda c: c.github.overriders) for login in ("*", "o", "octo-cat", "octocat_acme", "dependabot[bot]", "a--b", "acme/web.team_1")),
    *(
        (small(aws={"overriders": [arn]}), lambda c: c.aws.overriders)
        for arn in (
            "*", ROLE, "arn:aws-cn:iam::123456789012:user/ops/ann", "arn:aws-us-gov:iam::123456789012:role/a/b/C",
            "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_Admin_0123456789abcdef/ann@example.com",
        )
    ),
    (small(people={"ann": ["U0ANN", "octocat", "ann_acme", ROLE], "bob": []}), lambda c: len(c.people["ann"]) == 4),
    (freeze(), lambda c: (c.freeze[0].for_, c.freeze[0].zone, c.freeze[0].why) == (230400.0, "UTC", "a freeze window of bluegreen.yml")),
    *((freeze(cron=cron), lambda c: c.freeze) for cron in ("* * * * *", "*/5 8-18 1,15 JAN-mar 1-5", "0 0 L * *", "0 9 * * MON#1", "0 0 29 2 *")),
    *((freeze(zone=zone), lambda c: c.freeze) for zone in ("UTC", "Asia/Seoul", "Etc/GMT+5", "America/Argentina/Buenos_Aires")),
    (freeze(**{"for": "366d"}), lambda c: c.freeze[0].for_ == 366 * 86400),
]  # fmt: skip


@cache
def editors() -> jsonschema.Draft7Validator:
    """What an editor checks a file with; that the schema is one is checked by a test of its own."""
    return jsonschema.Draft7Validator(json_schema())


@pytest.mark.parametrize(("mapping", "means"), RIGHT)
def test_right(mapping: dict[str, Any], means: Any) -> None:
    """What may be written, what it means, and that the journal and editors understand it as well."""
    config = parse(mapping)
    assert means(config)
    editors().validate(mapping)
    assert config == Config.from_dict(json.loads(json.dumps(config.to_dict())))


def test_everything_wrong_is_told_at_once() -> None:
    """Nobody must correct one thing to learn of the next, nor of mistakes between keys."""
    mapping = small(
        service="Web",
        image={"ami": "x", "builder": {"instance": "y", "tag": "z", "run": 5}},
        checks=[{"name": "a"}, {"name": "a", "run": "", "when": ["x"]}, 5],
        promotion={"by": "Bob"},
        soon=1,
        environments={"b": {"retire": "no"}},
    )
    paths = sorted(line.split(":")[0] for line in told(mapping, "c"))
    assert paths == [
        "checks.0", "checks.1.name", "checks.1.run", "checks.1.when.0", "checks.2", "environments",
        "environments.b.retire", "image", "image.ami", "image.builder", "image.builder.instance", "image.builder.run",
        "promotion.by", "service", "soon",
    ]  # fmt: skip


def test_error_as_a_person_reads_it() -> None:
    """The file, how many things, then one line each."""
    with pytest.raises(ConfigError) as caught:
        parse(small(soak="x", retire="y"), where="deploy.yml")
    assert str(caught.value).splitlines() == [
        "deploy.yml: 2 things are wrong",
        f"  soak: `x` is not a duration. {DURATIONS}",
        "  retire: must be `delete` or `empty`, but is `y`.",
    ]


def test_unforeseen_errors_keep_the_library_s_words() -> None:
    """A kind of error that has no words here is still told."""
    problem = module._problem({"loc": ("a",), "type": "new_kind", "msg": "has {odd} braces", "input": 1})
    assert str(problem) == "a: has {odd} braces."


# --- durations -------------------------------------------------------------------------------------------


@given(st.integers(0, 10**6), st.sampled_from([("s", 1), ("m", 60), ("h", 3600), ("d", 86400), ("", 1)]))
def test_durations(count: int, unit: tuple[str, int]) -> None:
    """A number with a unit, or of seconds."""
    assert count * unit[1] == duration(f"{count}{unit[0]}") == duration(f" {count} {unit[0]}".rstrip())
    assert count == duration(count) == duration(float(count))


@given(st.one_of(st.text(), st.floats(), st.integers(), st.none(), st.booleans(), st.lists(st.integers())))
def test_duration_is_seconds_or_told(value: object) -> None:
    """Whatever is given, the answer is a span of time or an error in words."""
    try:
        seconds = duration(value)
    except ValueError as error:
        assert "is not a duration" in str(error)  # noqa: PT017
    else:
        assert 0 <= seconds < float("inf")


@pytest.mark.parametrize("value", [True, None, "", "m", "1w", "-1s", "1e3", "٣s", "9" * 400, 10**400, float("nan")])
def test_no_durations(value: object) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match="is not a duration"):
        duration(value)


@pytest.mark.parametrize(
    ("said", "meant"), [("20%", 0.2), ("12.5 %", 0.125), ("0%", 0.0), (0, 0.0), (1, 1.0), (0.3, 0.3), ("100%", 1.0)]
)
def test_a_share_is_written_in_percent_or_as_a_part_of_one(said: object, meant: float) -> None:
    """And kept as the part."""
    config = parse(check(http="http://a", at_most_failed=said))
    assert config.checks[0].at_most_failed == pytest.approx(meant)
    assert Config.from_dict(config.to_dict()) == config


@pytest.mark.parametrize("said", ["20", "101%", 20, -0.1, 1.1, "-1%", True, float("nan"), 10**400, [0.2]])
def test_what_is_no_share(said: object) -> None:
    """Twenty is not twenty percent."""
    (line,) = told(check(http="http://a", at_most_failed=said))
    assert line.startswith("checks.0.at_most_failed: ")
    assert line.endswith("is not a share. Write 0% to 100%, or a number from 0 to 1.")


#: Every duration and count, by its path: (its bound, as it is written, how it is told), all else left out.
BOUNDS: dict[str, tuple[str, str]] = {
    **dict.fromkeys(("traffic.overlap", "soak", "promotion.timeout", "promotion.remind"), ("30d", "30d")),
    **dict.fromkeys(("timeouts.bake", "timeouts.launch", "timeouts.healthy"), ("30d", "30d")),
    **dict.fromkeys(("checks.0.within", "checks.0.every"), ("30d", "30d")),
    **dict.fromkeys(("checks.1.window", "checks.1.period"), ("30d", "30d")),
    **dict.fromkeys(("image.keep", "checks.0.needs", "promotion.approvals"), ("1000", "1,000")),
    "poll": ("10m", "10m"),
    "checks.0.timeout": ("30s", "30s"),
    "freeze.0.for": ("366d", "366d"),
}


def bounded(path: str, value: object) -> dict[str, Any]:
    """A configuration that is right but for that value."""
    page = {"name": "a", "http": "http://a", "every": 1, "within": "30d"}
    count = {"name": "b", "metric": "M", "statistic": "Sum", "at_most": 1, "namespace": "N"}
    whole: dict[str, Any] = {
        **deepcopy(SMALL),
        "checks": [page, {**count, "window": "30d", "period": "1d", "within": "30d"}],
        "promotion": {"by": "person"},
        "timeouts": {},
        "freeze": [{"cron": "0 16 * * FRI", "for": "64h"}],
    }
    at: Any = whole
    *way, last = path.split(".")
    for part in way:
        at = at[int(part)] if part.isdecimal() else at[part]
    at[last] = value
    return whole


@pytest.mark.parametrize("path", BOUNDS)
def test_every_duration_and_count_has_a_bound(path: str) -> None:
    """At its bound it is right; beyond, it is refused with where, what and the bound."""
    bound, shown = BOUNDS[path]
    number = int(bound) if bound.isdecimal() else int(duration(bound))
    if path != "checks.0.every":  # three looks, a month apart each, take longer than a check may take
        parse(bounded(path, number if bound.isdecimal() else bound))
    for beyond in (number + 1, 10**12):
        line = next(line for line in told(bounded(path, beyond)) if line.startswith(f"{path}: "))
        assert f"must be at most {shown}, but is {beyond:,}" in line
    if not bound.isdecimal():
        assert f"{path}: must be at most {shown}" in "".join(told(bounded(path, "99999999d")))
    for no in (-1, float("nan"), float("inf")):
        assert any(line.startswith(f"{path}: ") for line in told(bounded(path, no)))


def test_no_number_of_the_schema_is_without_a_bound() -> None:
    """A key that is added has to say how much it may be; `at_most` is compared, and nobody waits for it."""

    def numbers(part: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
        if isinstance(part, dict):
            if part.get("type") in ("number", "integer"):
                yield path, part
            for key, inner in part.items():
                yield from numbers(inner, f"{path}.{key}")
        for inner in part if isinstance(part, list) else ():
            yield from numbers(inner, path)

    found = dict(numbers(json_schema(), ""))
    assert len(found) > 15
    assert [path for path, one in found.items() if "maximum" not in one and not path.endswith(".at_most")] == []


def test_a_metric_s_window_has_so_many_values_at_most() -> None:
    """CloudWatch answers a call with 100,800 values at most, and a look asks for several metrics."""
    parse(bounded("checks.1.period", "30m"))
    assert told(bounded("checks.1.period", "29m")) == [
        "checks.1: has a window of more than 1,440 periods. Lower `window`, or raise `period`."
    ]


def test_what_an_older_build_recorded_without_a_bound_is_read_at_its_bound() -> None:
    """A release that is under way is driven on, and rolled back, whatever was let pass when it began."""
    for path in BOUNDS:
        recorded = bounded(path, 10**12)
        config = Config.from_dict(recorded)
        assert parse(bounded("soak", 1)).service == config.service
    assert Config.from_dict(bounded("soak", 8.6e15)).soak == LONGEST
    assert Config.from_dict(bounded("promotion.approvals", 10**9)).promotion.approvals == MOST


# --- the frozen config -----------------------------------------------------------------------------------


_texts = st.text(min_size=1).filter(str.strip)
_spans = st.floats(0.1, 1e6)
_common = {"needs": st.integers(1, 3), "every": _spans.map(lambda s: s / 10), "within": st.just(1e6)}
_checks: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.builds(dict, run=_texts, **_common),
    st.builds(dict, alarm=_texts, **_common),
    st.builds(dict, http=st.just("https://a/b"), status=st.lists(st.integers(100, 599), min_size=1, unique=True)),
)
_images: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.builds(dict, ami=st.sampled_from(["ami-01", "resolve:ssm:/a"]), keep=st.integers(1, MOST)),
    st.builds(dict, builder=st.builds(dict, tag=_texts, run=_texts)),
)
_mappings: st.SearchStrategy[dict[str, Any]] = st.builds(
    dict,
    service=st.from_regex(r"[a-z0-9][a-z0-9-]{0,40}", fullmatch=True),
    group=_texts,
    traffic=st.builds(dict, target_groups=st.lists(_texts, min_size=1, unique=True), overlap=st.floats(0, 1e6)),
    image=_images,
    checks=st.lists(_checks).map(lambda found: [{**each, "name": f"n{n}"} for n, each in enumerate(found)]),
    promotion=st.builds(dict, by=st.just("person"), approvals=st.integers(1, 9), timeout=_spans),
    poll=st.floats(0.1, SELDOMEST),
)


@given(_mappings)
def test_round_trip(mapping: dict[str, Any]) -> None:
    """The journal gives back the config that it was given."""
    config = parse(mapping)
    assert config == Config.from_dict(json.loads(json.dumps(config.to_dict())))


def test_round_trip_of_the_example() -> None:
    """Every kind of check and the builder survive as well."""
    config = parse(yaml.safe_load(EXAMPLE), "staging")
    assert config == Config.from_dict(json.loads(json.dumps(config.to_dict())))


def test_journal_of_another_version() -> None:
    """A frozen config that this version cannot read is an error with its place."""
    with pytest.raises(InvalidConfig, match=r"the journal's config: 1 thing is wrong\n  later: is not a known key"):
        Config.from_dict({**parse(SMALL).to_dict(), "later": 1})


def test_a_timeout_without_a_bound_is_brought_within_it() -> None:
    """It was accepted by an older version, and its release goes on."""
    data = parse(check(http="http://a")).to_dict()
    data["checks"][0] |= {"timeout": 3600.0, "within": 20.0}
    (read,) = Config.from_dict(data).checks
    assert isinstance(read, HttpCheck)
    assert read.timeout == LONGEST_ANSWER


def test_journal_of_an_older_version() -> None:
    """A config that was frozen before there were weights, metrics, people and freezes is read as it was meant."""
    config = parse(
        check(http="http://a") | {"slack": {"channel": "C1", "promoters": ["*"]}, "promotion": {"by": "person"}}
    )
    data = config.to_dict()
    for key in ("github", "aws", "people", "freeze"):
        del data[key]
    for part, keys in (
        ("traffic", "listeners preview steps"),
        ("promotion", "by_author remind"),
        ("slack", "overriders"),
    ):
        data[part] = {key: value for key, value in data[part].items() if key not in keys.split()}
    del data["checks"][0]["json"]
    assert config == Config.from_dict(data)


def test_schema_accepts_the_example_and_refuses_unknown_keys() -> None:
    """Editors can judge the file as it is typed."""
    example = yaml.safe_load(EXAMPLE)
    jsonschema.Draft7Validator.check_schema(json_schema())
    editors().validate(example)
    for wrong in ({**example, "trafic": 1}, {**example, "environments": {"a": {"grup": 1}}}, {**example, "soak": "x"}):
        with pytest.raises(jsonschema.ValidationError):
            editors().validate(wrong)


# --- the file --------------------------------------------------------------------------------------------


def test_load(tmp_path: Path) -> None:
    """A file is parsed for the environment that is asked for."""
    assert load(written(tmp_path, EXAMPLE), "staging") == parse(yaml.safe_load(EXAMPLE), "staging")
    assert load(str(written(tmp_path, EXAMPLE))).environment == "production"


def test_lines_of_problems(tmp_path: Path) -> None:
    """Each problem in a file bears its line, in their order; what is missing bears the line of what it misses."""
    text = EXAMPLE.replace("soak: 15m", "soak: soon").replace("run: |", "rn: |").replace("alarm:", "metric:")
    path = written(tmp_path, text.replace("group: web-asg", "# group").replace("{group: ", "{retire: "))
    with pytest.raises(InvalidConfig) as caught:
        load(path)
    assert [(p.line, p.path) for p in caught.value.problems] == [
        (1, "group"), (15, "image.builder.run"), (17, "image.builder.rn"), (26, "checks.2.metric"),
        (26, "checks.2.statistic"), (26, "checks.2.at_most"), (34, "soak"), (51, "environments.staging.retire"),
    ]  # fmt: skip
    assert f"{path}: 8 things are wrong\n  line 1, group: is missing." in str(caught.value)


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("https://reports.example.com/{service}/{number}.html", ""),
        ("https://reports.example.com/{service}.html", "does not name a release"),
        ("https://reports.example.com/{commit}/{number}", "does not name a release"),
        ("reports/{number}", "is not a URL"),
        ("https://ann:secret@example.com/{number}", "has a name or password"),
    ],
)
def test_where_reports_are(tmp_path: Path, url: str, wrong: str) -> None:
    """An address that differs for each release, and that holds no secret."""
    path = written(tmp_path, f"report_url: {url}\n")
    with pytest.raises(InvalidConfig) as caught:
        load(path)
    told = [one.what for one in caught.value.problems if one.loc == ("report_url",)]
    assert (wrong in told[0]) if wrong else told == []


def test_keys_written_twice(tmp_path: Path) -> None:
    """YAML would silently take the last one; merged and aliased mappings are no repetition."""
    path = written(tmp_path, "soak: 1m\nslack: {channel: C1, channel: C2}\nsoak: 2m\nchecks:\n- {run: a, run: b}\n")
    with pytest.raises(InvalidConfig) as caught:
        load(path)
    assert caught.value.problems == (
        Problem(("slack", "channel"), "already stands in line 2", "Remove one.", 2),
        Problem(("soak",), "already stands in line 1", "Remove one.", 3),
        Problem(("checks", "0", "run"), "already stands in line 5", "Remove one.", 5),
    )


@pytest.mark.parametrize(
    ("written_as", "read_as"),
    [
        *(("1:30", "90"), ("15:00", "900"), ("010", "8"), ("0200", "128"), ("00", "0"), ("-010", "-8")),
        *(("0x1f", "31"), ("0b11", "3"), ("1_000", "1000"), ("1:30.5", "90.5"), ("1_0.5", "10.5")),
    ],
)
def test_numbers_that_versions_of_yaml_read_differently(tmp_path: Path, written_as: str, read_as: str) -> None:
    """As a value, in a list and as a key; each with its line, and with what to write."""
    path = written(tmp_path, f"soak:\n  {written_as}\npeople: {{ann: [{written_as}], {written_as}: [U1]}}\n")
    with pytest.raises(InvalidConfig) as caught:
        load(path)
    what = f"is {written_as}, which YAML reads as the number {read_as}"
    number = f"{read_as} if you mean that number"
    meant = f"{read_as}s if you mean a time, {number}" if ":" in written_as else number
    hint = f'Write {meant}, or "{written_as}" in quotes if you mean text.'
    places: list[tuple[tuple[str, ...], int]] = [(("soak",), 2), (("people", written_as), 3)]
    places.append((("people", "ann", "0"), 3))
    assert sorted(caught.value.problems, key=str) == sorted((Problem(loc, what, hint, n) for loc, n in places), key=str)


@pytest.mark.parametrize("number", ["0", "90", "+90", "-1", "0.5", ".5", "5.", "1.5e+3", '"010"', "!!str 010", "08"])
def test_numbers_that_every_yaml_reads_alike(tmp_path: Path, number: str) -> None:
    """And texts: nothing is said of how they are written."""
    with pytest.raises(InvalidConfig) as caught:
        load(written(tmp_path, f"extra: {number}\n"))
    assert not [one for one in caught.value.problems if "YAML reads" in one.what]


def test_an_alias_of_what_it_stands_in_has_no_numbers(tmp_path: Path) -> None:
    """One in itself is looked at once."""
    with pytest.raises(InvalidConfig) as caught:
        load(written(tmp_path, "checks: &a [*a, 010]\n"))
    assert [one.loc for one in caught.value.problems] == [("checks", "1")]


def test_anchors_and_merges(tmp_path: Path) -> None:
    """A mapping may be repeated with changes, as YAML allows."""
    text = EXAMPLE + "  a: &a {soak: 1m, poll: 1s}\n  b: {<<: *a, soak: 2m}\n"
    config = load(written(tmp_path, text), "b")
    assert (120.0, 1.0) == (config.soak, config.poll)


def test_alias_of_what_it_stands_in(tmp_path: Path) -> None:
    """A file that contains itself is wrong, not endless."""
    with pytest.raises(InvalidConfig, match=r"line 1, checks\.0: has nothing to check"):
        load(written(tmp_path, "checks: &a [*a]\n"))


@pytest.mark.parametrize(
    "host", ["web", "10.0.0.1", "[::1]", "127.0.0.1", "[2001:db8::1]", "169.253.255.255", "ü.example"]
)
def test_other_hosts_may_be_asked(host: str) -> None:
    """Names are looked at where they are asked."""
    assert parse(check(http=f"http://{host}/")).checks
    assert not link_local(host.strip("[]"))


def test_a_recorded_check_of_a_link_local_address_is_read() -> None:
    """A release under way goes on; whoever asks refuses."""
    config = parse(check(http="http://web/")).to_dict()
    config["checks"][0]["http"] = "http://169.254.169.254/"
    assert Config.from_dict(config).checks


def test_aliases_that_multiply(tmp_path: Path) -> None:
    """Nine times a level: the file is small, what it means is not; merges likewise."""
    for level in ("[{}]", "{{x: [{}]}}", "{{<<: [{}]}}"):
        lines = ["a0: &a0 {x: 1}", *(f"a{n}: &a{n} {level.format(', '.join([f'*a{n - 1}'] * 9))}" for n in range(1, 9))]
        with pytest.raises(ConfigError, match="has more than 20000 parts, with all that its aliases"):
            load(written(tmp_path, "\n".join(lines)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("service: [web\n", "line 2, column 1: is not YAML: expected ',' or ']', but got '<stream end>'. Correct the YAML there."),
        ("a: !!python/none x\n", "line 1, column 4: is not YAML: could not determine a constructor for the tag"),
        ("a: 2024-13-40\n", "is not YAML: month must be in 1..12. Correct the YAML."),
        ("a: \0\n", "is not YAML: unacceptable character #x0000: special characters are not allowed"),
        ("a: " + "{a: " * 900, "is not YAML: maximum recursion depth exceeded"),
        (b"\xff\xfe\xff", "is not UTF-8 text. Save it as UTF-8."),
        ("", "1 thing is wrong\n  must be keys with values, but is empty. `bluegreen init` writes one, once this file is gone."),
        ("- a", "1 thing is wrong\n  line 1: must be keys with values, but is a list. `bluegreen init` writes one, once this file is gone."),
    ],
)  # fmt: skip
def test_wrong_files(tmp_path: Path, text: str | bytes, said: str) -> None:
    """What cannot be read as YAML is told with its line, where there is one."""
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: {said}")


def test_yaml_errors_without_a_place() -> None:
    """YAML's own words are enough when it names no place."""
    assert module._yaml_problem(yaml.MarkedYAMLError(context="while hoping")) == "is not YAML: while hoping"


def test_no_file(tmp_path: Path) -> None:
    """The path that was looked for, and what to do."""
    path = tmp_path / "bluegreen.yml"
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value) == (
        f"{path}: there is no such file. `bluegreen init` writes one; or name another file with `--config`."
    )
    with pytest.raises(ConfigError, match=r"cannot be read: Is a directory\. Name a file to read\."):
        load(tmp_path)


@pytest.mark.parametrize("page", ["README.md", "docs/configuration.md"])
def test_what_the_documents_show_is_valid(page: str) -> None:
    """People copy it."""
    text = (ROOT / page).read_text()
    example = text.split("```yaml\n", 1)[1].split("```", 1)[0]
    assert parse(yaml.safe_load(example)).id == "web/production"
