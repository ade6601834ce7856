"""What `bluegreen init` proposes, from values alone: which group, which traffic, which image, and the file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from bluegreen import proposal
from bluegreen.config import json_schema, parse
from bluegreen.errors import ConfigError
from bluegreen.observation import Candidate, Candidates, Forward, GroupDetails, StoppedInstance
from bluegreen.proposal import Wishes, choose, named_after, propose, text

ARN = "arn:aws:elasticloadbalancing:eu-west-1:123456789012"
OWN, IDLE, OTHER = (f"{ARN}:targetgroup/{name}/0123" for name in ("web", "web-green", "docs"))
LISTENER, RULE = f"{ARN}:listener/app/web/1/2", f"{ARN}:listener-rule/app/web/1/2/3"
NETWORK = f"{ARN}:listener/net/web/1/2"
POOLS = {OWN: "web", IDLE: "web-green", OTHER: "docs"}
WEB = Candidate("web-asg", 2, (OWN,))
BUILDER = StoppedInstance("i-0b", "web-builder", managed=True, hinted=True)
DETAILS = GroupDetails(
    forwards=(Forward(LISTENER, "listener HTTP:80", {OWN: 1}),),
    pools=POOLS,
    machines=(BUILDER,),
    template="web",
    version="$Latest",
    image="ami-01",
    page="http://localhost:80/healthz",
)


def found(*groups: Candidate) -> Candidates:
    """An account with these groups."""
    return Candidates("123456789012", "eu-west-1", groups)


def made(
    details: GroupDetails = DETAILS, one: Candidate = WEB, others: Iterable[Candidate] = (), **said: str
) -> proposal.Proposal:
    """The proposal for that group."""
    return propose(found(one, *others), one, details, Wishes(**said))


def read(it: proposal.Proposal) -> dict[str, Any]:
    """The file as YAML, which our own reader and the schema accept."""
    content: dict[str, Any] = yaml.safe_load(text(it))
    parse(content)
    jsonschema.Draft7Validator(json_schema()).validate(content)
    return content


def told(error: pytest.ExceptionInfo[ConfigError]) -> str:
    """The error on one line; every one has a hint."""
    assert error.value.hint
    return str(error.value)


# --- the group -------------------------------------------------------------------------------------------


def test_the_only_group_that_can_be_released_is_taken() -> None:
    """Whatever else there is: without target groups, unfit, or made by a release."""
    others = [
        Candidate("alone"),
        Candidate("old", 1, (OTHER,), unfit=(("has a launch configuration", "Make a template."),)),
        Candidate("api-production-v3", 1, (OTHER,), service="api/production"),
    ]
    assert choose(found(*others, WEB)) == WEB


def test_several_are_listed_with_the_option_that_picks() -> None:
    """And each can be named."""
    api = Candidate("api-asg", 1, (OTHER,))
    with pytest.raises(ConfigError) as error:
        choose(found(api, WEB))
    assert "2 Auto Scaling groups in eu-west-1 of account 123456789012 can be released: api-asg, web-asg" in told(error)
    assert "`--group api-asg`" in told(error)
    assert choose(found(api, WEB), "web-asg") == WEB
    many = [replace(api, name=f"g{n:02}") for n in range(25)]
    with pytest.raises(ConfigError, match="g19 and 5 more"):
        choose(found(*many))


UNFIT = Candidate("old", 1, (OTHER,), unfit=(("has the launch configuration `x`", "Create a launch template."),))
MADE = Candidate("api-production-v3", 1, (OTHER,), service="api/production")


@pytest.mark.parametrize(
    ("groups", "named", "said"),
    [
        ((), "", "there is no Auto Scaling group in eu-west-1 of account 123456789012. Name another region"),
        (
            (WEB,),
            "web-as",
            "no Auto Scaling group `web-as` in eu-west-1 of account 123456789012. Did you mean `web-asg`?",
        ),
        ((WEB,), "zzz", "no Auto Scaling group `zzz` in eu-west-1 of account 123456789012. Name another region"),
        ((UNFIT,), "", "the group old has the launch configuration `x`. Create a launch template."),
        ((UNFIT, WEB), "old", "the group old has the launch configuration `x`. Create a launch template."),
        ((Candidate("alone"),), "", "is registered in a target group: alone. Attach one"),
        (
            (Candidate("alone"),),
            "alone",
            "the group alone in eu-west-1 of account 123456789012 is registered in no target",
        ),
        ((UNFIT, replace(UNFIT, name="older")), "", "old has the launch configuration `x`; older has the launch"),
        ((MADE, replace(MADE, name="api-v4")), "", "releases made every group in eu-west-1 of account 123456789012"),
    ],
)
def test_why_no_group_can_be_taken(groups: tuple[Candidate, ...], named: str, said: str) -> None:
    """Where, what, and what to do."""
    with pytest.raises(ConfigError) as error:
        choose(found(*groups), named)
    assert said in told(error)


def test_a_group_of_a_release_is_taken_by_its_name() -> None:
    """Its configuration may be lost; its tag tells the service."""
    assert choose(found(MADE)) == MADE
    assert named_after(MADE) == ("api", "production")
    assert named_after(MADE, "staging") == ("api", "staging")


@pytest.mark.parametrize(
    ("name", "title", "said"),
    [
        ("web-asg", "", ("web", "production")),
        ("Web_Production_ASG", "", ("web", "production")),
        ("web-staging-asg", "", ("web", "staging")),
        ("web-stg", "", ("web", "staging")),
        ("prod", "", ("prod", "production")),
        ("stack-Group-1ABC", "The Shop", ("the-shop", "production")),
        ("asg", "", ("asg", "production")),
        ("---", "", ("service", "production")),
        ("w" * 90, "", ("w" * 50, "production")),
    ],
)
def test_the_service_is_named_after_the_group(name: str, title: str, said: tuple[str, str]) -> None:
    """Less what names its kind; an environment in it is that of the service."""
    assert named_after(Candidate(name, title=title)) == said


def test_another_environment_stays_in_the_name_of_the_service() -> None:
    """Somebody wants it so."""
    assert named_after(Candidate("web-staging-asg"), "production") == ("web-staging", "production")


# --- traffic ---------------------------------------------------------------------------------------------


def ways(*forwards: Forward, **members: int) -> GroupDetails:
    """These listeners and rules; so many targets in the target groups of those names."""
    arns = {name: arn for arn, name in POOLS.items()}
    return replace(DETAILS, forwards=forwards, members={arns[name.replace("_", "-")]: n for name, n in members.items()})


BOTH = Forward(LISTENER, "listener HTTP:80", {OWN: 100, IDLE: 0})


def test_a_load_balancer_that_is_made_for_weights_gets_them() -> None:
    """Every listener and rule that gives blue traffic is named; what shows the idle one alone is a preview."""
    rule = Forward(RULE, "rule 1", {IDLE: 100})
    plain = Forward(f"{LISTENER}9", "listener HTTP:81", {OWN: 1})
    foreign = Forward(f"{LISTENER}8", "listener HTTP:82", {OTHER: 1})
    it = made(ways(BOTH, rule, plain, foreign, web_green=0))
    assert (
        it.reason
        == "Weighted, because its load balancer forwards to web and web-green already, and nobody is in web-green."
    )
    traffic = read(it)["traffic"]
    assert traffic["target_groups"] == ["web", "web-green"]
    assert (traffic["listeners"], traffic["preview"]) == ([LISTENER, f"{LISTENER}9"], [RULE])
    assert traffic["steps"] == [0, 10, 50]
    assert read(made(ways(BOTH)))["traffic"]["steps"] == [10, 50]


@pytest.mark.parametrize(
    ("details", "one", "others", "why"),
    [
        (DETAILS, WEB, (), "the load balancer of web-asg does not forward to two target groups"),
        (ways(BOTH), replace(WEB, target_groups=(OTHER, OWN)), (), "web-asg is in 2 target groups"),
        (
            ways(BOTH, Forward(RULE, "rule 1", {OWN: 1, OTHER: 0})),
            WEB,
            (),
            "its listeners and rules forward to several pairs",
        ),
        (ways(BOTH, web_green=1), WEB, (), "web-green, to which its load balancer forwards too, has 1 target."),
        (ways(BOTH, web_green=2), WEB, (), "web-green, to which its load balancer forwards too, has 2 targets."),
        (
            ways(BOTH),
            WEB,
            (Candidate("b", 0, (IDLE,)),),
            "web-green, to which its load balancer forwards too, belongs to b",
        ),
        (
            replace(ways(BOTH), pools={OWN: "web"}),
            WEB,
            (),
            "web-green, to which its load balancer forwards too, takes no",
        ),
        (ways(replace(BOTH, weights={OWN: 0, IDLE: 100})), WEB, (), "no listener or rule gives web any traffic"),
        (ways(BOTH, Forward(RULE, "rule 1", {OWN: 50, IDLE: 50})), WEB, (), "rule 1 divides its traffic already"),
        (
            ways(BOTH, Forward(RULE, "rule 1", {OWN: 0, IDLE: 0})),
            WEB,
            (),
            "rule 1 gives neither of its target groups any",
        ),
        (ways(BOTH, Forward(RULE, "rule 1", {IDLE: 1, OTHER: 1})), WEB, (), "rule 1 forwards to docs too"),
        (
            ways(replace(BOTH, arn=NETWORK), Forward(f"{NETWORK}9", "TCP:81", {OWN: 1})),
            WEB,
            (),
            "TCP:81 has no weights",
        ),
        (
            ways(BOTH, Forward(RULE, "rule 1", {OWN: 1, **{f"{OTHER}{n}": 0 for n in range(4)}})),
            WEB,
            (),
            "rule 1 forwards to the most target groups that AWS takes",
        ),
    ],
)
def test_anything_else_is_shared_and_says_why(details: GroupDetails, one: Candidate, others: Any, why: str) -> None:
    """Shared target groups need nothing of the load balancer."""
    it = made(details, one, others)
    assert it.reason.startswith("Shared, because ")
    assert why in it.reason
    assert set(read(it)["traffic"]) == {"target_groups", "overlap"}


# --- the image -------------------------------------------------------------------------------------------


def test_without_commands_the_image_that_serves_is_released() -> None:
    """A guess is never run as root: the builder that was found stands in a comment, and works there."""
    it = made()
    assert read(it)["image"] == {"ami": "ami-01"}
    assert not it.builds
    commented = text(it).replace("  # builder:", "  builder:").replace("  #   ", "    ").replace("  ami: ami-01\n", "")
    assert (
        parse(yaml.safe_load(commented)).image.builder
        == parse(
            {**read(it), "image": {"builder": {"tag": "web-builder", "run": proposal._RUN.format(service="web")}}}
        ).image.builder
    )
    assert "tag: web-builder  " in text(made(replace(DETAILS, machines=())))


def test_an_image_that_is_named_is_taken() -> None:
    """By id, or by a parameter as the template may name it."""
    assert read(made(ami="ami-02"))["image"] == {"ami": "ami-02"}
    assert read(made(replace(DETAILS, image="resolve:ssm:/web")))["image"] == {"ami": "resolve:ssm:/web"}


def test_of_several_builders_the_one_of_the_service_is_shown() -> None:
    """By its name; else none is."""
    others = (StoppedInstance("i-0c", "api-builder", hinted=True), StoppedInstance("i-0d", "web-old"))
    it = made(replace(DETAILS, machines=(*others, BUILDER)))
    assert it.likely == BUILDER
    assert made(replace(DETAILS, machines=(*others, BUILDER)), service="shop").likely == BUILDER
    assert made(replace(DETAILS, machines=(*others, replace(BUILDER, name="builder")))).likely is None


@pytest.mark.parametrize(
    ("machines", "named", "key"),
    [
        ((BUILDER,), "", {"tag": "web-builder"}),
        ((BUILDER, StoppedInstance("i-0c", "x")), "i-0c", {"tag": "x"}),
        ((BUILDER, replace(BUILDER, id="i-0c")), "i-0c", {"instance": "i-0c"}),
        ((StoppedInstance("i-0c"), BUILDER), "i-0c", {"instance": "i-0c"}),
    ],
)
def test_a_builder_is_written_with_its_commands(machines: Any, named: str, key: dict[str, str]) -> None:
    """By its Name, if no other stopped instance has that."""
    it = made(replace(DETAILS, machines=machines), run="make: all # twice", builder=named)
    assert read(it)["image"] == {"builder": {**key, "run": "make: all # twice"}}
    assert it.builds


@pytest.mark.parametrize(
    ("details", "said", "why"),
    [
        (DETAILS, {"builder": "i-0b"}, "--builder i-0b: has no commands to run. Say with `--run`"),
        (DETAILS, {"builder": "i-0c", "run": "make"}, "--builder i-0c: names no stopped instance. Stop your builder"),
        (
            replace(DETAILS, machines=(BUILDER, replace(BUILDER, id="i-0c"))),
            {"builder": "web-builder", "run": "make"},
            "2 stopped instances have that name",
        ),
        (
            replace(DETAILS, machines=()),
            {"run": "make"},
            "--run: needs a builder, and no single stopped instance looks",
        ),
        (replace(DETAILS, machines=(StoppedInstance("i-0c"),)), {"run": "make"}, "Stopped instances: i-0c."),
        (DETAILS, {"ami": "ami-02", "run": "make"}, "--ami: stands beside a builder"),
        (replace(DETAILS, image=""), {}, "image: there is no image to release. Name an image with `--ami`"),
        (replace(DETAILS, image="", doubts=("it is gone",)), {}, "image: there is no image to release (it is gone)."),
    ],
)
def test_what_cannot_be_known_is_asked_for(details: GroupDetails, said: dict[str, Any], why: str) -> None:
    """With the option that says it."""
    with pytest.raises(ConfigError) as error:
        made(details, **said)
    assert why in told(error)


# --- the file --------------------------------------------------------------------------------------------


def test_the_file_says_what_was_found() -> None:
    """The first line names the schema for editors; the comments say where the rest comes from."""
    it = made(DETAILS, replace(WEB, kinds=("t3.micro", "t3a.micro")))
    lines = text(it).splitlines()
    assert lines[0] == "# yaml-language-server: $schema=bluegreen.schema.json"
    assert (
        "# It serves today with 2 instances from the launch template web (version $Latest). Green gets its mixed"
        in lines
    )
    assert "account 123456789012 shows in eu-west-1" in text(it)
    known = {"service", "environment", "region", "group", "traffic", "image", "checks", "soak"}
    assert set(read(it)) == known
    assert (read(it)["region"], read(it)["group"]) == ("eu-west-1", "web-asg")
    assert "with 1 instance from" in text(made(replace(DETAILS, version="", page=""), replace(WEB, size=1)))
    assert all(len(line) <= 120 or "arn:" in line for line in lines)


def test_what_was_wished_is_in_it() -> None:
    """Names and times."""
    it = read(made(service="shop", environment="staging", overlap="1m", soak="90s"))
    assert (it["service"], it["environment"], it["soak"], it["traffic"]["overlap"]) == ("shop", "staging", "90s", "1m")


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (replace(WEB, keeper="the CloudFormation stack web"), "managed by the CloudFormation stack web"),
        (replace(WEB, locked=True), "protected from all deletion"),
    ],
)
def test_a_group_that_must_not_be_deleted_is_kept(one: Candidate, why: str) -> None:
    """Or another tool would make it again, or AWS would refuse."""
    it = made(DETAILS, one)
    assert read(it)["retire"] == "empty"
    assert why in " ".join(text(it).split())


def test_slow_health_checks_get_the_time_that_they_need() -> None:
    """Or a release would be refused: its targets could not be healthy in time."""
    assert "timeouts" not in read(made(replace(DETAILS, earliest=599.0)))
    it = made(replace(DETAILS, earliest=610.0))
    assert parse(read(it)).timeouts.healthy == 21 * 60
    assert "timeouts: {healthy: 21m}           # a new target is healthy after 10m 10s, at the earliest" in text(it)


@given(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1), st.sampled_from(["", " ", "#", ": "]))
@example("1:30", "")
@example("0x1f", "")
@example("on", "")
@example("~", "")
@example("5m", "")
@example("\u200b", "")
def test_every_name_is_read_back_as_it_is(name: str, more: str) -> None:
    """As text, whatever YAML would make of it."""
    value = f"{name}{more}{name}" if more else name
    assert yaml.safe_load(f"a: {proposal.scalar(value)}") == {"a": value}
    assert yaml.safe_load(f"[{proposal.scalar(value)}]") == [value]
