"""What a workflow tells the Action: every input with its default, its meaning and what it may be.

`action.yml`, docs/action.md and the README say the same; tests/project/test_metadata.py holds them together.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

from bluegreen.errors import ConfigError

COMMANDS = ("release", "plan", "promote", "hold", "rollback", "resume", "reconcile", "status", "unfreeze")
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0", "")
#: Keys that the runner itself takes under `with:` for a container (workflow syntax, `jobs.<id>.steps[*].with`).
_RUNNERS_OWN = {"args", "entrypoint"}


@dataclass(frozen=True)
class Input:
    """One input. `form` is a pattern of the complete value, `example` a valid one."""

    meaning: str
    default: str = ""
    form: str = ".*"
    example: str = ""


INPUTS: Mapping[str, Input] = {
    "command": Input("What to do", "release", "|".join(COMMANDS), f"one of {', '.join(COMMANDS)}"),
    "config": Input("The configuration in the workspace", "bluegreen.yml", ".+", "a path in the workspace"),
    "environment": Input("The environment in it", form="[a-z0-9][a-z0-9-]*", example="as in staging"),
    "service": Input(
        "Which service, if no configuration says it",
        form="[a-z0-9-]+(/[a-z0-9-]+)?",
        example="as in web/production",
    ),
    "commit": Input("What to release", form="[0-9a-f]{7,40}", example="a commit of 7 to 40 hex digits"),
    "ami": Input(
        "Release this image instead of a build", form=r"ami-[0-9a-f]+|resolve:ssm:\S+", example="as in ami-0123"
    ),
    "until": Input("Where to end the step", form="held|switched|live", example="one of held, switched, live"),
    "to": Input("Roll back to this release's image", form="[1-9][0-9]{0,8}", example="the number of a release"),
    "override": Input(
        "Why to go on despite a freeze or an earlier rollback",
        form=r"[^\r\n]{1,300}",
        example="a reason on one line of at most 300 characters",
    ),
    "cure": Input(
        "Release although the serving version is unhealthy", "false", "|".join(_TRUE + _FALSE), "true or false"
    ),
    "aws-region": Input("The AWS region", form="[a-z]{2}(-[a-z]+)+-[0-9]+", example="as in ap-northeast-2"),
    "role-to-assume": Input(
        "A role for GitHub's OIDC token",
        form=r"arn:[a-z-]+:iam::\d{12}:role/\S+",
        example="as in arn:aws:iam::123456789012:role/release",
    ),
    "allowed-account-ids": Input(
        "Refuse any other AWS account", form=r"\d{12}(\s*,\s*\d{12})*", example="12 digits, several separated by commas"
    ),
    "table": Input("The journal's table", form=r"[\w.-]{3,255}", example="the name of a DynamoDB table"),
    "github-token": Input("For the deployment and the comment", "${{ github.token }}", r"\S+", "a token on one line"),
    "dry-run": Input("Only plan", "false", "|".join(_TRUE + _FALSE), "true or false"),
    "on-cancel": Input("What happens to the release of a cancelled run", "park", "park|rollback", "park or rollback"),
    "environment-url": Input("What GitHub links to", form=r"https?://\S+", example="as in https://web.example.com"),
}


@dataclass(frozen=True)
class Inputs:
    """The inputs of one step, checked; an absent one is its default, which may be "" for: not given."""

    command: str
    config: str
    environment: str
    service: str
    commit: str
    ami: str
    until: str
    to: str
    override: str
    cure: str
    aws_region: str
    role_to_assume: str
    allowed_account_ids: str
    table: str
    github_token: str
    dry_run: str
    on_cancel: str
    environment_url: str

    @property
    def only_plans(self) -> bool:
        """Whether nothing may be changed."""
        return self.command == "plan" or self.dry_run.lower() in _TRUE

    @property
    def cures(self) -> bool:
        """Whether a release may begin over an unhealthy blue."""
        return self.cure.lower() in _TRUE

    @property
    def accounts(self) -> frozenset[str]:
        """The AWS accounts that are allowed; empty: every one."""
        return frozenset(re.findall(r"\d{12}", self.allowed_account_ids))


def read(environment: Mapping[str, str]) -> Inputs:
    """The inputs, from INPUT_<NAME>; ConfigError names every wrong one.

    A value is never repeated in the error: it may be a secret in the wrong place.
    """
    wrong = [*_unknown(environment), *_malformed(environment), *_misplaced(environment)]
    if wrong:
        things = "1 input is wrong" if len(wrong) == 1 else f"{len(wrong)} inputs are wrong"
        raise ConfigError("\n  ".join([things, *wrong]), where="with", hint="docs/action.md says what each may be.")
    return Inputs(**{field.name: _value(environment, field.name.replace("_", "-")) for field in fields(Inputs)})


def variable(name: str) -> str:
    """The environment variable of an input: hyphens stay (actions/runner)."""
    return f"INPUT_{name.upper()}"


def _value(environment: Mapping[str, str], name: str) -> str:
    default = INPUTS[name].default
    return environment.get(variable(name), "").strip() or ("" if default.startswith("${{") else default)


def _malformed(environment: Mapping[str, str]) -> Iterator[str]:
    for name, said in INPUTS.items():
        value = _value(environment, name)
        tested = value.lower() if name in ("dry-run", "cure") else value
        if value and not re.fullmatch(said.form, tested):
            yield (
                f"`{name}` must be {said.example}."
                if not said.example.startswith("as in")
                else (f"`{name}` has the wrong form: write it {said.example}.")
            )


def _misplaced(environment: Mapping[str, str]) -> Iterator[str]:
    """Inputs that would be silently without effect."""
    command = _value(environment, "command")
    makes = {"release", "plan"}
    for name, commands in {
        "commit": makes,
        "ami": makes,
        "until": {"release"},
        "to": {"rollback"},
        "override": {"release", "promote", "rollback"} if _value(environment, "to") else {"release", "promote"},
    }.items():
        if _value(environment, name) and command in COMMANDS and command not in commands:
            yield f"`{name}` has no meaning with the command {command}: remove it."
    if command not in makes and _value(environment, "dry-run").lower() in _TRUE:
        yield f"`dry-run` is for the command release, not {command}: it has no plan."
    if command != "release" and _value(environment, "cure").lower() in _TRUE:
        yield f"`cure` is for the command release, not {command}: a rollback is one already."


def _unknown(environment: Mapping[str, str]) -> Iterator[str]:
    """Near misses of our own names; other variables of that form may belong to whatever runs around us."""
    known = {variable(name): name for name in INPUTS}
    for given in sorted(environment):
        if not given.startswith("INPUT_") or given in known or given[6:].lower() in _RUNNERS_OWN:
            continue
        if near := difflib.get_close_matches(given.replace("_", "-"), [k.replace("_", "-") for k in known], 1, 0.8):
            meant = next(name for key, name in known.items() if key.replace("_", "-") == near[0])
            yield f"`{given[6:].lower()}` is not an input: did you mean `{meant}`?"
