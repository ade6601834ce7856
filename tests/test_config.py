"""`bluegreen.yml`: what it means, and every way in which it can be wrong, one line a rule."""

# ruff: noqa: E501 (one line a rule)

from __future__ import annotations

import json
from copy import deepcopy
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
    AlarmCheck,
    Builder,
    Config,
    HttpCheck,
    Image,
    InvalidConfig,
    Problem,
    Promotion,
    RunCheck,
    Slack,
    Timeouts,
    Traffic,
    duration,
    json_schema,
    load,
    parse,
)
from bluegreen.errors import ConfigError

SMALL: dict[str, Any] = {
    "service": "web",
    "group": "web-asg",
    "traffic": {"target_groups": ["web"]},
    "image": {"ami": "ami-0123"},
}
BUILDER = {"instance": "i-0123", "run": "make"}
MAPPING = "must be keys with values, but is {}. Write `key: value` lines below it."
QUOTES = "Put it in quotes if it is meant as text."
DURATIONS = "Write 90s, 15m, 4h, 2d, or a number of seconds."


def small(**keys: Any) -> dict[str, Any]:
    """The smallest whole config, with these keys set."""
    return {**deepcopy(SMALL), **keys}


def check(**keys: Any) -> dict[str, Any]:
    """A small config with one check, `home`, that says these keys."""
    return small(checks=[{"name": "home", **keys}])


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
        traffic=Traffic(target_groups=("web",), overlap=300.0),
        image=Image(builder=Builder(instance="i-0123", run=run, check="systemctl is-active web"), keep=5),
        checks=(
            HttpCheck(
                name="home", http="https://web.example.com/healthz", contains="ok", headers={"x-preview": "green"}
            ),
            RunCheck(name="unit", run="curl -fsS localhost/healthz"),
            AlarmCheck(name="errors", alarm="web-5xx"),
        ),
        slack=Slack(channel="C0123", promoters=("S0GROUP", "U0123"), rollbackers=("*",)),
    )
    assert expected == config


def test_example_shows_the_defaults() -> None:
    """What the example says of promotion, times and what becomes of blue is what is done when nothing is said."""
    shown, silent = parse(yaml.safe_load(EXAMPLE)), parse(SMALL)
    for key in ("promotion", "soak", "retire", "timeouts", "poll"):
        assert getattr(shown, key) == getattr(silent, key)
    assert shown.traffic.overlap == silent.traffic.overlap
    assert shown.image.keep == silent.image.keep


def test_example_shows_every_key() -> None:
    """A key that the example does not name does not exist."""
    models = (Config, Traffic, Builder, Image, HttpCheck, RunCheck, AlarmCheck, Promotion, Timeouts, Slack)
    keys = {key for model in models for key in model.model_fields} - {"timeout"}
    assert [] == sorted(key for key in keys if f"{key}:" not in EXAMPLE)


def test_defaults() -> None:
    """Four keys are enough."""
    config = parse(SMALL)
    assert config.environment == "production"
    assert (config.region, config.checks, config.soak, config.retire, config.poll) == (None, (), 900.0, "delete", 5.0)
    assert config.promotion == Promotion(by="auto", timeout=14400.0, on_timeout="rollback", approvals=1)
    assert config.timeouts == Timeouts(bake=7200.0, launch=900.0, healthy=600.0)
    assert config.slack == Slack(channel=None, promoters=(), rollbackers=())


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
    assert ("web/production", "web-production") == (config.id, config.prefix)


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
    assert parse(mapping, "a").slack == Slack()
    assert told(mapping, "b") == told(mapping)
    assert told(mapping) == [
        "group: is missing. Add the Auto Scaling group that serves before the first release, as in group: web-asg."
    ]


@pytest.mark.parametrize(
    ("environments", "asked", "lines"),
    [
        ({"staging": {}}, "stagin", ["environments: has no `stagin`. Did you mean `staging`?"]),
        ({"staging": {}}, "qa", ["environments: has no `qa`. Known are: production, staging."]),
        (["a"], None, [f"environments: {MAPPING.format('a list')}"]),
        ({"a": 5}, None, [f"environments.a: {MAPPING.format('`5`')}"]),
        ({1: {}}, None, ["environments.1: `1` is not a name. Use small letters, digits and hyphens, as in web-2."]),
        ({"A": {}}, None, ["environments.A: `A` is not a name. Use small letters, digits and hyphens, as in web-2."]),
        ({"a": {"environment": "b"}}, "a", ["environments.a.environment: has no place in an environment. Remove it."]),
        ({"a": {"environments": {}}}, "a", ["environments.a.environments: has no place in an environment. Remove it."]),
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
        (None, "must be keys with values, but is empty. `bluegreen init` writes an example."),
        (small(service=False), f"service: must be text, but is false (to YAML, yes, no, on and off are truth values). {QUOTES}"),
        (small(service="Web"), "service: `Web` is not a name. Use small letters, digits and hyphens, as in web-2."),
        (small(service="-web"), "service: `-web` is not a name. Use small letters, digits and hyphens, as in web-2."),
        (small(service="w" * 51), "service: with the environment `production` is longer than 60 characters. Shorten one: groups and images are named after both."),
        (small(environment=5), f"environment: must be text, but is `5`. {QUOTES}"),
        (small(environment=""), "environment: `` is not a name. Use small letters, digits and hyphens, as in web-2."),
        (small(region="seoul"), "region: `seoul` is not a region. Write it as in ap-northeast-2."),
        (small(group=" "), "group: must not be empty. Write something, or remove the key."),
        (small(trafic={}), "trafic: is not a known key. Did you mean `traffic`?"),
        (small(zzz={}), "zzz: is not a known key. Known are: checks, environment, group, image, poll, promotion, region, retire, service, slack, soak, timeouts, traffic."),
        (dict[object, object]({**SMALL}) | {7: 1}, "7: is no key: `7` is not text. Put the key in quotes."),
        (small(traffic=5), f"traffic: {MAPPING.format('`5`')}"),
        (small(traffic={}), "traffic.target_groups: is missing. Add every target group that blue is registered in, names or ARNs, as in target_groups: [web]."),
        (small(traffic={"target_groups": "web"}), "traffic.target_groups: must be a list, but is `web`. Write [one, two], or one `- item` a line."),
        (small(traffic={"target_groups": []}), "traffic.target_groups: must not be empty. Name at least one."),
        (small(traffic={"target_groups": ["a", "a"]}), "traffic.target_groups: names `a` twice. Remove one."),
        (small(traffic={"target_groups": [{}]}), f"traffic.target_groups.0: must be text, but is keys with values. {QUOTES}"),
        (small(traffic={"target_groups": ["a"], "listeners": ["b"]}), "traffic.listeners: weighted traffic is not supported by this version. Remove `listeners` to release with shared target groups."),
        (small(traffic={"target_groups": ["a"], "steps": [0]}), "traffic.steps: weighted traffic is not supported by this version. Remove `steps` to release with shared target groups."),
        (small(traffic={"target_groups": ["a"], "overlap": "5 minutes"}), f"traffic.overlap: `5 minutes` is not a duration. {DURATIONS}"),
        (small(image={}), "image: says neither `builder` nor `ami`. Give it exactly one of builder, ami."),
        (small(image={"ami": "ami-1", "builder": BUILDER}), "image: says both `builder` and `ami`. Give it exactly one of builder, ami."),
        (small(image={"ami": "web"}), "image.ami: `web` is not an AMI. Write ami-0123… or resolve:ssm:/path/to/parameter."),
        (small(image={"ami": "ami-1", "keep": 0}), "image.keep: must be at least 1, but is `0`."),
        (small(image={"ami": "ami-1", "keep": "5"}), "image.keep: must be a whole number, but is `5`. Write digits without quotes."),
        (small(image={"builder": {"run": "make"}}), "image.builder: says neither `instance` nor `tag`. Give it exactly one of instance, tag."),
        (small(image={"builder": {**BUILDER, "tag": "b"}}), "image.builder: says both `instance` and `tag`. Give it exactly one of instance, tag."),
        (small(image={"builder": {"tag": "b"}}), "image.builder.run: is missing. Add the commands that bring the builder to $BLUEGREEN_COMMIT, as root."),
        (small(image={"builder": {"instance": "web", "run": "make"}}), "image.builder.instance: `web` is not an instance id. Write i-0123…, or use `tag` for its Name."),
        (small(checks={}), "checks: must be a list, but is keys with values. Write [one, two], or one `- item` a line."),
        (small(checks=["home"]), "checks.0: says nothing to check. Give it exactly one of http, run, alarm."),
        (check(), "checks.0: says nothing to check. Give it exactly one of http, run, alarm."),
        (check(metric="x", statistic="p99", at_most=1.2, compare="blue"), "checks.0: metric checks are not supported by this version. Remove the check, or let a CloudWatch alarm watch the metric and check `alarm`."),
        (check(http="http://a", alarm="b"), "checks.0.alarm: is a second thing to check. Make it a check of its own, with its own name."),
        (check(run="a", evry=5), "checks.0.evry: is not a known key. Did you mean `every`?"),
        (check(run=5), f"checks.0.run: must be text, but is `5`. {QUOTES}"),
        (check(run="a", every=0), f"checks.0.every: must be longer than nothing. {DURATIONS}"),
        (check(run="a", needs=True), "checks.0.needs: must be a whole number, but is true (to YAML, yes, no, on and off are truth values). Write digits without quotes."),
        (check(run="a", within="20s", every="11s"), "checks.0: can never hold: 3 looks every 11s take 22s, but within is 20s. Raise `within`, or lower `every` or `needs`."),
        (check(run="a", when=[]), "checks.0.when: must not be empty. Name at least one."),
        (check(run="a", when=["baking"]), "checks.0.when.0: must be `checking`, `overlapping` or `soaking`, but is `baking`."),
        (check(http="ftp://web"), "checks.0.http: `ftp://web` is not a URL to ask. Write it whole, as in https://web.example.com/healthz."),
        (check(http="http:///a"), "checks.0.http: `http:///a` is not a URL to ask. Write it whole, as in https://web.example.com/healthz."),
        (check(http="http://[a"), "checks.0.http: `http://[a` is not a URL to ask. Write it whole, as in https://web.example.com/healthz."),
        (check(http="http://a/ b"), "checks.0.http: `http://a/ b` is not a URL to ask. Write it whole, as in https://web.example.com/healthz."),
        (check(http="http://me:secret@web"), "checks.0.http: has a name or password in the URL. Remove it: the config is kept in the journal."),
        (check(http="http://a", status=99), "checks.0.status.0: must be at least 100, but is `99`."),
        (check(http="http://a", status=[600]), "checks.0.status.0: must be at most 599, but is `600`."),
        (check(http="http://a", headers=[]), f"checks.0.headers: {MAPPING.format('a list')}"),
        (check(http="http://a", headers={"x": 1}), f"checks.0.headers.x: must be text, but is `1`. {QUOTES}"),
        (check(http="http://a", headers={"x y": "z"}), "checks.0.headers: `x y` is not a header that can be sent. Use one line of plain ASCII."),
        (check(http="http://a", headers={"x": "a\r\nb"}), "checks.0.headers: `x` is not a header that can be sent. Use one line of plain ASCII."),
        (check(http="http://a", headers={"Authorization": "z"}), "checks.0.headers: `Authorization` would be kept in the journal. Remove it, and check a page that needs no secret."),
        (small(checks=[{"name": "a", "run": "b"}, {"name": "a", "run": "c"}]), "checks.1.name: `a` is also the name of checks.0. Give each check its own name."),
        (small(checks=[{"run": "b"}]), "checks.0.name: is missing. Add a name for the check, as in name: home."),
        (small(checks=[{"name": "Green", "run": "b"}]), "checks.0.name: `Green` is the name of something that is always watched. Give the check another name."),
        (small(checks=[{"name": "x" * 41, "run": "b"}]), f"checks.0.name: `{'x' * 41}` is not a name for a check. Use one line of 1 to 40 characters."),
        (small(promotion={"by": "Bob"}), "promotion.by: must be `auto` or `person`, but is `Bob`."),
        (small(promotion={"timeout": 0}), f"promotion.timeout: must be longer than nothing. {DURATIONS}"),
        (small(promotion={"approvals": 2}), "promotion: asks for approvals, but `by: auto` asks nobody. Set by: person, or remove approvals."),
        (small(soak=-1), f"soak: `-1` is not a duration. {DURATIONS}"),
        (small(soak=[1]), f"soak: a list is not a duration. {DURATIONS}"),
        (small(retire="stop"), "retire: must be `delete` or `empty`, but is `stop`."),
        (small(timeouts={"bake": "x" * 70}), f"timeouts.bake: `{'x' * 57}...` is not a duration. {DURATIONS}"),
        (small(poll=0.01), "poll: must be at least 0.1 seconds. Looking more often only gets calls refused by AWS."),
        (small(slack={"channel": "#web"}), "slack.channel: `#web` is not a channel's id. Write C0123…, from the channel's About page: names can change."),
        (small(slack={"promoters": ["ann"]}), "slack.promoters.0: `ann` is not a Slack id. Write a person's U0123…, a user group's S0123…, or * for everyone."),
    ],
)  # fmt: skip
def test_wrong(mapping: object, line: str) -> None:
    """One mistake is told once: its path, what is wrong, what to do."""
    assert [line] == told(mapping)


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
    st.builds(dict, ami=st.sampled_from(["ami-01", "resolve:ssm:/a"]), keep=st.integers(1)),
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
    poll=_spans,
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


def test_schema_accepts_the_example_and_refuses_unknown_keys() -> None:
    """Editors can judge the file as it is typed."""
    schema, example = json_schema(), yaml.safe_load(EXAMPLE)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(example, schema)
    for wrong in ({**example, "trafic": 1}, {**example, "environments": {"a": {"grup": 1}}}, {**example, "soak": "x"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)


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
        (1, "group"), (9, "image.builder.run"), (11, "image.builder.rn"), (19, "checks.2"), (22, "soak"),
        (28, "environments.staging.retire"),
    ]  # fmt: skip
    assert f"{path}: 6 things are wrong\n  line 1, group: is missing." in str(caught.value)


def test_keys_written_twice(tmp_path: Path) -> None:
    """YAML would silently take the last one; merged and aliased mappings are no repetition."""
    path = written(tmp_path, "soak: 1m\nslack: {channel: C1, channel: C2}\nsoak: 2m\nchecks:\n- {run: a, run: b}\n")
    with pytest.raises(InvalidConfig) as caught:
        load(path)
    assert caught.value.problems == (
        Problem(("slack", "channel"), "is already said in line 2", "Remove one.", 2),
        Problem(("soak",), "is already said in line 1", "Remove one.", 3),
        Problem(("checks", "0", "run"), "is already said in line 5", "Remove one.", 5),
    )


def test_anchors_and_merges(tmp_path: Path) -> None:
    """A mapping may be repeated with changes, as YAML allows."""
    text = EXAMPLE + "  a: &a {soak: 1m, poll: 1s}\n  b: {<<: *a, soak: 2m}\n"
    config = load(written(tmp_path, text), "b")
    assert (120.0, 1.0) == (config.soak, config.poll)


def test_alias_of_what_it_stands_in(tmp_path: Path) -> None:
    """A file that contains itself is wrong, not endless."""
    with pytest.raises(InvalidConfig, match=r"line 1, checks\.0: says nothing to check"):
        load(written(tmp_path, "checks: &a [*a]\n"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("service: [web\n", "line 2, column 1: is not YAML: expected ',' or ']', but got '<stream end>'. Correct the YAML there."),
        ("a: !!python/none x\n", "line 1, column 4: is not YAML: could not determine a constructor for the tag"),
        ("a: 2024-13-40\n", "is not YAML: month must be in 1..12. Correct the YAML."),
        ("a: \0\n", "is not YAML: unacceptable character #x0000: special characters are not allowed"),
        ("a: " + "{a: " * 900, "is not YAML: maximum recursion depth exceeded"),
        (b"\xff\xfe\xff", "is not UTF-8 text. Save it as UTF-8."),
        ("", "1 thing is wrong\n  must be keys with values, but is empty. `bluegreen init` writes an example."),
        ("- a", "1 thing is wrong\n  line 1: must be keys with values, but is a list. `bluegreen init` writes an example."),
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
        f"{path}: there is no such file. Write one with `bluegreen init`, or name another with --config."
    )
    with pytest.raises(ConfigError, match=r"cannot be read: Is a directory\. Name a file to read\."):
        load(tmp_path)


@pytest.mark.parametrize("page", ["README.md", "docs/configuration.md"])
def test_what_the_documents_show_is_valid(page: str) -> None:
    """People copy it."""
    text = (Path(__file__).parent.parent / page).read_text()
    example = text.split("```yaml\n", 1)[1].split("```", 1)[0]
    assert parse(yaml.safe_load(example)).id == "web/production"
