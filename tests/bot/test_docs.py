"""docs/slack.md, the bot's code, its manifest and the file for compose say the same."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from bluegreen import Order, Outcome, Phase, Previous
from bluegreen.config import load
from bluegreen.permission import listed
from bot import app, aws_lambda, cards, messages
from bot.commands import COMMANDS
from bot.drivers import MOST
from bot.metrics import Counters
from bot.settings import DEFAULTS, VARIABLES
from bot.slack import _REMEDIES
from lab.slack import SCOPES
from tests.worlds.cards import at
from tests.worlds.files import ROOT

Json = dict[str, Any]
PAGE = ROOT / "docs" / "slack.md"
DOCS = PAGE.read_text()
MANIFEST: Json = yaml.safe_load((ROOT / "bot" / "manifest.yml").read_text())
COMPOSE_TEXT = (ROOT / "examples" / "bot.compose.yml").read_text()
COMPOSE: Json = yaml.safe_load(COMPOSE_TEXT)["services"]["bot"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SCHEMA: Json = json.loads((ROOT / "tests" / "data" / "slack" / "manifest.schema.json").read_text())
#: The orders that a command or a button may lead to; who may give them is the core's to say.
LEADS_TO: Mapping[str, tuple[Order, ...]] = {
    "/promote": (Order.PROMOTE,),
    "/rollback": (Order.ROLL_BACK, Order.RELEASE_AGAIN),
    "/hold": (Order.HOLD,),
    "/resume": (Order.RESUME,),
    "/release": (Order.RELEASE,),
    "/releases": (Order.LOOK,),
    "/freeze": (Order.FREEZE,),
    messages.PROMOTE: (Order.PROMOTE,),
    messages.HOLD: (Order.HOLD,),
    messages.ROLL_BACK: (Order.ROLL_BACK,),
    messages.AGAIN: (Order.RELEASE_AGAIN,),
}


def section(heading: str, of: str = DOCS) -> str:
    """What stands under that heading."""
    return of.split(f"\n## {heading}\n")[1].split("\n## ", maxsplit=1)[0]


def table(heading: str) -> dict[str, list[str]]:
    """The rows of the table there, by their first cell; one that stands there twice is a mistake."""
    rows = [
        [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in section(heading).splitlines()
        if line[:1] == "|"
    ]
    names = [row[0].strip("`") for row in rows[2:]]
    assert len(names) == len(set(names)), names
    assert all(all(row) and len(row) == len(rows[0]) for row in rows), rows
    return {name: row[1:] for name, row in zip(names, rows[2:], strict=True)}


def may(*orders: Order) -> set[str]:
    """The lists of bluegreen.yml that the core asks for them."""
    people = {"promoters": "U1", "rollbackers": "U2"}
    named = {one for order in orders for one in listed(order, {"slack": {key: [id_] for key, id_ in people.items()}})}
    return {key for key, id_ in people.items() if id_ in named}


def told(cell: str) -> set[str]:
    """The lists that a cell names."""
    return set(re.findall(r"`(promoters|rollbackers)`", cell))


# --- variables ---------------------------------------------------------------------------------------------


def test_every_variable_is_in_the_table_and_no_other() -> None:
    """In the code's order, with the code's defaults."""
    rows = table("Variables")
    assert list(rows) == list(VARIABLES)
    assert {name: row[0].strip("`") for name, row in rows.items() if row[0] != "-"} == dict(DEFAULTS)


def test_the_levels_of_the_log_are_those_of_the_code() -> None:
    """Whoever writes another one is refused."""
    code, docs = VARIABLES["LOG_LEVEL"], table("Variables")["LOG_LEVEL"][1]
    assert re.findall(r"[A-Z]{4,}", docs) == re.findall(r"[A-Z]{4,}", code) == ["DEBUG", "INFO", "WARNING", "ERROR"]


def test_the_port_of_the_image_is_the_documented_one() -> None:
    """In the table, in what is typed, and in what docker is told."""
    port = re.findall(r"(?m)^ENV PORT=(\d+)$", DOCKERFILE)
    assert port == re.findall(r"(?m)^EXPOSE (\d+)$", DOCKERFILE)
    assert f"the image sets {port[0]}" in table("Variables")["PORT"][1]
    start = section("Ten minutes")
    assert f"-p 127.0.0.1:{port[0]}:{port[0]} " in start
    assert f"localhost:{port[0]}/healthz" in start


def test_what_is_typed_to_start_the_bot_names_variables_that_it_reads() -> None:
    """AWS's own beside them."""
    given = set(re.findall(r"-e ([A-Z_]+)", section("Ten minutes")))
    keys = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}
    assert given - keys <= set(VARIABLES)
    assert {"SLACK_BOT_TOKEN", "SLACK_APP_TOKEN", "AWS_REGION"} | keys <= given


# --- commands ----------------------------------------------------------------------------------------------


def declared() -> list[Json]:
    """The manifest's commands."""
    found: list[Json] = MANIFEST["features"]["slash_commands"]
    return found


def test_commands_are_the_same_in_code_manifest_and_docs() -> None:
    """Names and what may follow them."""
    assert {one["command"]: one["usage_hint"] for one in declared()} == dict(COMMANDS)
    assert {name: row[0].strip("`") for name, row in table("Commands").items()} == dict(COMMANDS)
    assert len(declared()) == len(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_who_may_give_a_command_is_what_the_core_says(name: str) -> None:
    """The very lists, no more and no fewer."""
    assert told(table("Commands")[name][1]) == may(*LEADS_TO[name])


def test_every_command_comes_with_ids() -> None:
    """Escaped, so that a mention is an id; and with a description."""
    assert [one["command"] for one in declared() if one.get("should_escape") is not True] == []
    assert all(one["description"] for one in declared())


# --- buttons -----------------------------------------------------------------------------------------------


def buttons(part: Any) -> Iterator[Json]:
    """Every button in blocks."""
    if isinstance(part, dict):
        if part.get("type") == "button":
            yield part
        part = part.values()
    if not isinstance(part, str) and hasattr(part, "__iter__"):
        for one in part:
            yield from buttons(one)


def shown() -> dict[str, Json]:
    """One button of each action, as people see them."""
    cards = [at(phase, hold=hold).card for phase in Phase for hold in (True, False)]
    live = at(Phase.RETIRING).ends(Outcome.LIVE).release
    again = messages.again(Previous(live, "ami-0old", 41, ""), "[]")
    choice = messages.choices("Which service does /promote mean?", [("web/production", "[]")])
    said = [*(one.blocks for one in (*cards, again, choice)), messages.home([], {}, 0.0)["blocks"]]
    return {one["action_id"].partition(":")[0]: one for one in buttons(said)}


def test_every_button_is_documented_and_no_other() -> None:
    """By its label; every action that the app listens to has one."""
    assert set(shown()) == set(app._BUTTONS)
    assert {one["text"]["text"] for one in shown().values()} == set(table("Buttons"))


@pytest.mark.parametrize("action", app._BUTTONS)
def test_a_button_asks_first_where_docs_say_so(action: str) -> None:
    """And who may press it is what the core says."""
    one = shown()[action]
    _, asks, who, _ = table("Buttons")[one["text"]["text"]]
    assert asks == ("yes" if "confirm" in one else "no")
    assert told(who) == may(*LEADS_TO.get(action, ()))


# --- the manifest ------------------------------------------------------------------------------------------


def problems(manifest: Json) -> list[str]:
    """What Slack would say about it."""
    return [error.message for error in Draft7Validator(SCHEMA).iter_errors(manifest)]


def test_the_manifest_is_valid() -> None:
    """By Slack's schema, which knows a mistake when it sees one."""
    assert problems(MANIFEST) == []
    wrong = copy.deepcopy(MANIFEST)
    wrong["features"]["slash_commands"][0]["usage"] = "x"
    wrong["display_information"]["name"] = "x" * 36
    assert len(problems(wrong)) == 2


def test_the_manifest_is_for_socket_mode() -> None:
    """As the ten minutes say; buttons and the Home reach the bot."""
    settings = MANIFEST["settings"]
    assert settings["socket_mode_enabled"] is settings["interactivity"]["is_enabled"] is True
    assert settings["event_subscriptions"]["bot_events"] == ["app_home_opened"]
    assert MANIFEST["features"]["app_home"]["home_tab_enabled"] is True
    assert f"/invite @{MANIFEST['features']['bot_user']['display_name']}" in section("Ten minutes")


def test_every_scope_has_its_reason() -> None:
    """What it is for and what happens without it; none is missing and none is asked for without one."""
    assert list(table("Scopes")) == MANIFEST["oauth_config"]["scopes"]["bot"]
    assert set(MANIFEST["oauth_config"]["scopes"]) == {"bot"}


def test_the_scopes_are_enough() -> None:
    """For every method that the fake Slack asks a scope for; the test of the bot calls them all."""
    asked = set(MANIFEST["oauth_config"]["scopes"]["bot"])
    assert set(SCOPES.values()) <= asked
    assert asked - set(SCOPES.values()) == {"commands", "groups:history"}, "asked for, and needed by no method"


def overlaid(base: Json, over: Json) -> Json:
    """`over` on `base`, key by key; the command that it shows stands for each."""
    made = copy.deepcopy(base)
    for key, value in over.items():
        if key == "slash_commands":
            made[key] = [{**one, **value[0], "command": one["command"]} for one in made[key]]
        else:
            made[key] = overlaid(made[key], value) if isinstance(value, dict) else value
    return made


def test_the_manifest_for_http_is_valid_and_whole() -> None:
    """What docs change is all that is to be changed: every request has the address that the bot serves."""
    text = section("HTTP in place of Socket Mode")
    (change,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    over = yaml.safe_load(change)
    made = overlaid(MANIFEST, over)
    settings = made["settings"]
    assert problems(made) == []
    assert settings["socket_mode_enabled"] is False
    urls = {one["url"] for one in made["features"]["slash_commands"]}
    urls |= {settings[key]["request_url"] for key in ("interactivity", "event_subscriptions")}
    assert len(urls) == 1
    path = re.sub(r"https://[^/]+", "", urls.pop())
    assert f'add_post("{path}"' in (ROOT / "bot" / "serving.py").read_text()
    assert f"`https://bluegreen.example.com{path}`" in text


def test_what_comes_from_slack_says_so() -> None:
    """Its licence and where it is from."""
    folder = ROOT / "tests" / "data" / "slack"
    licence = (folder / "LICENSE.manifest-schema").read_text()
    assert licence.startswith("MIT License\n\nCopyright (c) Slack Technologies, LLC\n")
    about = (folder / "README.md").read_text()
    kept = {path.name for path in folder.iterdir()} - {"README.md"}
    assert set(re.findall(r"`([\w.-]+)`", about)) & kept == kept
    assert "`slackapi/manifest-schema`" in about


# --- numbers and words -------------------------------------------------------------------------------------


def test_every_metric_is_documented_and_no_other() -> None:
    """By the name that Prometheus shows, with its labels."""
    families = {one.name: one for one in Counters().registry.collect()}
    names = {name + ("_total" if one.type == "counter" else "") for name, one in families.items()}
    assert set(table("Numbers")) == names
    labels = {one._name: one._labelnames for one in vars(Counters()).values() if hasattr(one, "_labelnames")}
    documented = {
        name.removesuffix("_total"): tuple(re.findall(r"`(\w+)`", row[0])) for name, row in table("Numbers").items()
    }
    assert documented == labels
    assert set(re.findall(r"bluegreen_\w+", DOCS)) == names, "one that is named elsewhere on the page"


def test_every_refusal_that_the_log_explains_is_documented() -> None:
    """A closed list; for others the log names this page."""
    assert set(table("When Slack says no")) == set(_REMEDIES)


@pytest.mark.parametrize(
    "said",
    [
        f"A card shows {messages.MOST_CHECKS} checks",
        f"the Home {messages.MOST_SERVICES} services and {messages.MOST_RELEASES} releases of each",
        f"a choice {messages.MOST_CHOICES} services",
        f"A bot drives {MOST} releases at the same time",
        f"edited every {cards.EDIT} seconds at most",
        f"every {cards.HEARTBEAT:.0f} seconds when only its clock",
        f"up to {cards.MOST_LINES} in a message",
    ],
)
def test_a_limit_is_the_codes(said: str) -> None:
    """Each number on the page."""
    assert said in " ".join(section("Limits").split())


def test_the_handler_of_lambda_is_there() -> None:
    """By the name that docs give."""
    text = section("AWS Lambda")
    assert f"`{aws_lambda.__name__}.{aws_lambda.handler.__name__}`" in text
    assert f"the last {aws_lambda.RESERVE:.0f} seconds" in text


def test_what_goes_into_bluegreen_yml_is_valid(tmp_path: Path) -> None:
    """With the product's own eyes, beside the example."""
    (part,) = re.findall(r"```yaml\n(.*?)```", section("Ten minutes"), re.DOTALL)
    written = tmp_path / "bluegreen.yml"
    example = (ROOT / "examples" / "bluegreen.yml").read_text()
    written.write_text(example + re.sub(r"(?m)^ {3}", "", part))
    slack = load(str(written), None).slack
    assert (slack.channel, slack.promoters, slack.rollbackers) == ("C0123ABCD", ("U0123ABCD",), ("S0123ABCD",))


# --- the file for compose ----------------------------------------------------------------------------------


def test_compose_names_variables_that_the_bot_reads() -> None:
    """And gives each the value of the same name, with the bot's own default where there is one."""
    given: Mapping[str, str] = COMPOSE["environment"]
    assert set(given) <= set(VARIABLES)
    for name, value in given.items():
        (found,) = re.findall(r"^\$\{(\w+):([-?])(.*)\}$", value)
        assert found[0] == name
        assert (found[1] == "?") is (name in {"SLACK_BOT_TOKEN", "SLACK_APP_TOKEN", "AWS_REGION"}), name
        assert found[1] == "?" or found[2] == DEFAULTS.get(name, "")
    assert set(re.findall(r"\$\{(\w+)", COMPOSE_TEXT)) == set(given)


def test_compose_builds_the_bot_and_keeps_it_in() -> None:
    """The target that there is, its port for this machine alone, no more rights than it needs, time to end well."""
    target = COMPOSE["build"]["target"]
    assert re.findall(rf"(?m)^FROM .* AS ({target})$", DOCKERFILE) == ["bot"]
    assert ((ROOT / "examples") / COMPOSE["build"]["context"]).resolve() == ROOT.resolve()
    (port,) = re.findall(r"(?m)^ENV PORT=(\d+)$", DOCKERFILE)
    assert COMPOSE["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert (COMPOSE["read_only"], COMPOSE["cap_drop"]) == (True, ["ALL"])
    seconds = COMPOSE["stop_grace_period"].removesuffix("s")
    assert f"--stop-timeout {seconds} " in section("Ten minutes")
    assert f"Give it {seconds} seconds." in section("Bad days")


# --- the page ----------------------------------------------------------------------------------------------


def test_links_lead_somewhere() -> None:
    """Every file that the page names, and the pages that name this one."""
    links = re.findall(r"\]\(([^)#]+)", DOCS)
    assert len(links) >= 5
    assert [link for link in links if not (PAGE.parent / link).exists()] == []
    files = re.findall(r"(?:-f|-r) ((?:examples|requirements)/\S+?)`? ", DOCS)
    assert set(files) == {"examples/bot.compose.yml", "requirements/bot.txt"}
    assert [name for name in files if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("file", ["README.md", "docs/configuration.md", "docs/operating.md", "docs/how-it-works.md"])
def test_the_page_is_found(file: str) -> None:
    """From where people look for it."""
    links = {((ROOT / file).parent / link).resolve() for link in re.findall(r"\]\(([^)#]+)", (ROOT / file).read_text())}
    assert PAGE.resolve() in links
    headings = {title.lower().replace(" ", "-") for title in re.findall(r"(?m)^## (.*)$", DOCS)}
    assert set(re.findall(r"slack\.md#([\w-]+)", (ROOT / file).read_text())) <= headings


def test_the_page_is_narrow() -> None:
    """As everything here."""
    assert [n for n, line in enumerate(DOCS.splitlines(), 1) if len(line) > 120] == []
