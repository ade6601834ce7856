"""`bluegreen.yml` -> one frozen `Config`, or every error in it at once, each with its path.

    load(path) ─ read, find duplicate keys ─┐
                                            ├─ parse ─ choose the environment, validate ─ Config
    a mapping (tests, the journal) ─────────┘

`EXAMPLE` is the documented example: what it shows is what there is.
"""

from __future__ import annotations

import difflib
import math
import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import yaml
from cronsim import CronSim, CronSimError
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    ModelWrapValidatorHandler,
    Strict,
    Tag,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from pydantic.fields import FieldInfo

from bluegreen.errors import ConfigError

EXAMPLE = """\
service: web
environment: production            # default: production
region: ap-northeast-2             # default: the AWS environment's
group: web-asg                     # the Auto Scaling group that serves before the first release
# groups: [web-a, web-b]           # or a standing pair: the idle one is green, and no group is made or deleted
traffic:
  target_groups: [web]             # every target group that it is registered in (names or ARNs)
  # With weights: listeners and rules that forward to exactly two target groups; rules that show green by a header, say,
  # before it serves; green's share in percent, each for its part of the overlap, where 0 is a preview.
  # listeners: [arn:aws:elasticloadbalancing:ap-northeast-2:123456789012:listener/app/web/0123/4567]
  # preview: [arn:aws:elasticloadbalancing:ap-northeast-2:123456789012:listener-rule/app/web/0123/4567/89ab]
  # steps: [0, 10, 50]
  overlap: 5m                      # how long blue and green both serve
image:                             # exactly one of builder, ami
  builder:
    instance: i-0123               # or tag: web-builder (its Name)
    run: |                         # as root; BLUEGREEN_COMMIT, BLUEGREEN_SERVICE, BLUEGREEN_RELEASE are set
      cd /srv/web && git fetch origin && git checkout --force "$BLUEGREEN_COMMIT" && ./install
    check: systemctl is-active web # must pass before the image is made
    # source: {bucket: web-sources}  # the commit, packed, in S3: run then has its URL in BLUEGREEN_SOURCE_URL
  # ami: ami-0123                  # or resolve:ssm:/path/to/parameter
  keep: 5                          # images and template versions kept per service; never one in use
checks:                            # target health is always checked
  - {name: home, http: "https://web.example.com/healthz", status: 200, contains: ok, headers: {x-preview: green}}
  - {name: unit, run: "curl -fsS localhost/healthz"}  # on every green instance, over SSM
  - {name: errors, alarm: web-5xx}                    # this CloudWatch alarm must not be in ALARM
  # - {name: database, http: "https://web.example.com/status", json: {database.state: up}, reveal: true, timeout: 5s}
  # - {name: all, alarm: web-all, missing: pass}      # so INSUFFICIENT_DATA passes
  # - {name: latency, metric: TargetResponseTime, statistic: p90, at_most: 1.2, compare: blue}  # weighted: 1.2 × blue's
  # - {name: queue, metric: Depth, statistic: Average, at_most: 9, namespace: Web, dimensions: {Queue: mail}}
  # each may say: every: 10s, needs: 3, within: 5m, at_most_failed: 20%, when: [checking, overlapping, soaking]
  # a metric may say: window: 10m, period: 60s
promotion: {by: auto, timeout: 4h, on_timeout: rollback, approvals: 1, by_author: true, remind: 30m}  # or by: person
soak: 15m                          # how long blue keeps running, for a rollback in seconds
retire: delete                     # or empty: keep the group at size 0
# keep_failed: 2h                  # how long a green that was rolled back stays, without traffic, for inspection
# hooks:                           # each runs once in a release, as root on one green instance, over SSM
#   before_switch: {run: "cd /srv/web && ./migrate up", timeout: 10m}  # before green gets traffic; failure: rollback
#   after_live: {run: "cd /srv/web && ./migrate contract"}             # once blue is gone
timeouts: {bake: 2h, launch: 15m, healthy: 10m}
poll: 5s
slack: {channel: C0123, promoters: [S0GROUP, U0123], rollbackers: ["*"], overriders: [U0123]}
github: {promoters: [octocat, acme/release-managers], rollbackers: ["*"], overriders: []}  # logins, team slugs
aws: {promoters: ["*"], rollbackers: ["*"], overriders: ["arn:aws:iam::123456789012:role/OnCall"]}
people: {alice: [U0123, octocat]}  # ids of one person: two of them are one approval
freeze:                            # no release or promotion then; you can still roll back
  - {cron: "0 16 * * FRI", for: 64h, zone: Europe/Berlin, why: the weekend}
# allow: [shared_template]         # findings before a release that shall only warn
# report_url: "https://reports.example.com/{service}/{number}.html"   # cards and lists link there
environments:                      # keys here replace those above
  staging: {group: web-staging-asg, promotion: {by: auto}}
"""

DEFAULT_ENVIRONMENT = "production"
#: The draft that editors know best, which SchemaStore asks for, and the address of a schema there.
DRAFT, SCHEMA_ID = "http://json-schema.org/draft-07/schema#", "https://www.schemastore.org/bluegreen.json"
LONGEST_NAME = 60  # of service and environment together: the names of groups and images are made of them
#: Bounds, each of a kind; docs/configuration.md tells them. In seconds: what a release waits for, which whoever waits
#: longer than a month forgot; a freeze window; from one look to the next.
LONGEST, LONGEST_FREEZE, SELDOMEST = 30 * 86_400.0, 366 * 86_400.0, 600.0
#: The longest that AWS-RunShellScript may run (executionTimeout), in seconds.
LONGEST_HOOK = 172_800.0
#: Of whatever is counted: images, looks in a row, people.
MOST = 1000
#: The values of a metric that are judged at one look.
MOST_PERIODS = 1440
DURATIONS = "Write 90s, 15m, 4h, 2d, or a number of seconds."
NAME = r"[a-z0-9][a-z0-9-]*"
NAMES = "Use small letters, digits and hyphens, as in web-2."
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([smhd]?)")
_SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})
#: So many keys and values a file may hold; a large one has hundreds. Aliases of aliases multiply.
PARTS_MAX = 20_000
_KINDS = ("http", "run", "alarm", "metric")
#: An HTTP check waits no longer for its answer, in seconds.
LONGEST_ANSWER = 30.0
#: The context of a config that was accepted once, by some build: what has a bound since is brought within it.
RECORDED = "recorded"

Loc = tuple[str | int, ...]


# --- what is wrong ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where (`checks.2.every`), what, and what to do. `line` counts from 1."""

    loc: Loc
    what: str
    hint: str = ""
    line: int | None = None

    @property
    def path(self) -> str:
        """The key's path, parts joined by dots; "" is the file itself."""
        return ".".join(str(part) for part in self.loc)

    def __str__(self) -> str:
        """`line 7, traffic.overlap: what. What to do.` on one line."""
        spots = [f"line {self.line}"] * bool(self.line) + [self.path] * bool(self.loc)
        said = f"{', '.join(spots)}: {self.what}" if spots else self.what
        return f"{said}. {self.hint}" if self.hint else f"{said}."


class InvalidConfig(ConfigError):
    """Everything that is wrong with a configuration; `problems` holds it one by one."""

    def __init__(self, problems: Iterable[Problem], *, where: str) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        things = "1 thing is" if len(self.problems) == 1 else f"{len(self.problems)} things are"
        super().__init__("\n  ".join([f"{things} wrong", *map(str, self.problems)]), where=where)


class _Wrong(ValueError):
    """Raised by validators: what is wrong, and what to do."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what, self.hint = what, hint


#: A number that every version of YAML reads alike.
_NUMBER = re.compile(
    r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)

#: pydantic's error types in words: what is wrong, what to do.
_WORDS = {
    "string_type": ("must be text, but is {got}", "If you mean text, put it in quotes."),
    "int_type": ("must be an integer, but is {got}", "Write digits without quotes."),
    "float_type": ("must be a number, but is {got}", "Write digits without quotes."),
    "literal_error": ("must be {expected}, but is {got}", ""),
    "tuple_type": ("must be a list, but is {got}", "Write [one, two], or one `- item` a line."),
    "dict_type": ("must be keys with values, but is {got}", "Write `key: value` lines below it."),
    "model_type": ("must be keys with values, but is {got}", "Write `key: value` lines below it."),
    "greater_than_equal": ("must be at least {ge}, but is {got}", ""),
    "less_than_equal": ("must be at most {le}, but is {got}", ""),
    "invalid_key": ("is not a key: {got} is not text", "Put the key in quotes."),
    "union_tag_not_found": ("has nothing to check", "Give it exactly one of http, run, alarm, metric."),
    "greater_than": ("must be more than {gt:g}, but is {got}", ""),
    "bool_type": ("must be true or false, but is {got}", "Write it without quotes."),
    "finite_number": ("must be a number, but is {got}", "Write digits without quotes."),
}


def _got(value: object) -> str:
    """The value as a person would name it."""
    match value:
        case None:
            return "empty"
        case bool():
            return f"{str(value).lower()} (to YAML, yes, no, on and off are truth values)"
        case Mapping():
            return "keys with values"
        case list() | tuple():
            return "a list"
    text = str(value)
    return f"`{text[:57]}...`" if len(text) > 60 else f"`{text}`"


def _problem(error: Mapping[str, Any]) -> Problem:
    """One of pydantic's errors in our words."""
    loc = tuple(part for n, part in enumerate(error["loc"]) if not (n == 2 and part in _TAGS))
    context = dict(error.get("ctx", {}))
    match context.get("error"):
        case _Wrong() as wrong:
            return Problem(loc, wrong.what, wrong.hint)
    what, hint = _WORDS.get(error["type"], ("{msg}", ""))
    context["expected"] = str(context.get("expected", "")).replace("'", "`")
    return Problem(loc, what.format(got=_got(error["input"]), msg=error["msg"], **context), hint)


def _like(word: str, known: Iterable[str]) -> str:
    """What to do about a word that is not one of the known ones."""
    known = sorted(known)
    near = difflib.get_close_matches(word, known, n=1)
    return f"Did you mean `{near[0]}`?" if near else f"Known are: {', '.join(known)}."


# --- values ----------------------------------------------------------------------------------------------


def duration(value: object) -> float:
    """Seconds meant by `90s`, `15m`, `4h`, `2d`, or a number; ValueError says what is wrong.

    >>> duration("15m")
    900.0
    """
    match value:
        case bool():
            seconds = math.nan
        case int() | float():
            seconds = _float(value)
        case str():
            found = _DURATION.fullmatch(value.strip())
            seconds = float(found[1]) * _SECONDS[found[2]] if found else math.nan
        case _:
            seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0):
        raise _Wrong(f"{_got(value)} is not a duration", DURATIONS)
    return seconds


def _float(number: float) -> float:
    """The number as a float; one too big for a float is infinite."""
    try:
        return float(number)
    except OverflowError:
        return math.inf


def _more_than_nothing(seconds: float) -> float:
    if seconds == 0:
        raise _Wrong("must be longer than 0 seconds", DURATIONS)
    return seconds


def _not_hasty(seconds: float) -> float:
    if seconds < 0.1:
        raise _Wrong("must be at least 0.1 seconds", "If you poll more often, AWS refuses calls.")
    return seconds


def _portion(value: object) -> float:
    """A share: `20%`, or a number from 0 to 1."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?%", value.strip()) if isinstance(value, str) else None
    share = float(found[1]) / 100 if found else math.nan
    if isinstance(value, int | float) and not isinstance(value, bool):
        share = _float(value)
    if not 0 <= share <= 1:
        raise _Wrong(f"{_got(value)} is not a share", "Write 0% to 100%, or a number from 0 to 1.")
    return share


def _filled(text: str) -> str:
    if not text.strip():
        raise _Wrong("must not be empty", "Write something, or remove the key.")
    return text


def _matching(pattern: str, what: str, hint: str) -> AfterValidator:
    """A validator: the whole text matches the pattern."""
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if not compiled.fullmatch(text):
            raise _Wrong(f"{_got(text)} is not {what}", hint)
        return text

    return AfterValidator(check)


_LINK_LOCAL = tuple(map(ip_network, ("169.254.0.0/16", "fe80::/10", "fd00:ec2::/32")))
_NAT64 = ip_network("64:ff9b::/96")


def link_local(host: str) -> bool:
    """Whether it is a link-local address, or one that EC2 reserves for metadata and credentials.

    It accepts every notation; a name is not an address (EC2 User Guide: instance metadata, link-local addresses).
    """
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        try:
            address = ip_address(socket.inet_aton(host))  # as resolvers take 2852039166, or 0xa9fea9fe
        except (OSError, UnicodeError, ValueError):
            return False
    if isinstance(address, IPv6Address):
        inner = IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else address.ipv4_mapped
        address = inner or address
    return any(address in network for network in _LINK_LOCAL)


def _web_address(url: str) -> str:
    """An http or https URL with a host; never with a password, as the config is kept in the journal."""
    try:
        parts = urlsplit(url)
        fit = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fit = False
    if not fit or re.search(r"\s", url):
        raise _Wrong(
            f"{_got(url)} is not a URL to ask", "Write the complete URL, as in https://web.example.com/healthz."
        )
    if "@" in parts.netloc:
        raise _Wrong("has a name or password in the URL", "Remove it: the journal keeps the configuration.")
    return url


def _report_address(url: str) -> str:
    """A web address that differs for each release."""
    fields = set(re.findall(r"\{(.*?)\}", url))
    if "number" not in fields or fields - {"service", "environment", "number"}:
        hint = "Use {service}, {environment} and {number}: https://reports.example.com/{service}/{number}.html."
        raise _Wrong(f"{_got(url)} does not name a release", hint)
    return _web_address(url)


def _plain_headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Headers that can be sent, and that are no secrets, as the config is kept in the journal."""
    for name, value in headers.items():
        if not re.fullmatch(r"[\w!#$%&'*+.^`|~-]+", name, re.ASCII) or re.search(r"[^\t -~]", value):
            raise _Wrong(f"`{name}` is not a valid header", "Use one line of plain ASCII.")
        if name.lower() in _SECRET_HEADERS:
            raise _Wrong(f"`{name}` would go into the journal", "Remove it, and check a page that needs no secret.")
    return headers


def _distinct(items: tuple[Any, ...]) -> tuple[Any, ...]:
    """At least one item, none of them twice."""
    if not items:
        raise _Wrong("must not be empty", "Name at least one.")
    for n, item in enumerate(items):
        if item in items[:n]:
            raise _Wrong(f"names {_got(item)} twice", "Remove one.")
    return items


def _two(names: tuple[str, ...]) -> tuple[str, ...]:
    """Two different ones."""
    if len(_distinct(names)) != 2:
        raise _Wrong(f"names {len(names)}", "Name exactly two groups: they take turns.")
    return names


def _listed(value: object) -> object:
    """A lone status as a list of one."""
    return value if isinstance(value, list | tuple) else (value,)


def _rising(steps: tuple[int, ...]) -> tuple[int, ...]:
    """At least one share, each greater than the one before."""
    for before, after in pairwise(_distinct(steps)):
        if after < before:
            raise _Wrong(f"goes down from {before} to {after}", "Write shares that rise, as in [0, 10, 50].")
    return steps


def _cron(text: str) -> str:
    """Five fields, as crontab(5) has them; the library would take one for seconds, too."""
    wrong = "wrong number of fields" if len(text.split()) != 5 else ""
    try:
        CronSim(text, datetime(2000, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        wrong = wrong or str(error).lower()
    if wrong:
        what = f"{_got(text)} is not a recurring time: {wrong}"
        raise _Wrong(what, "Write minute, hour, day, month, weekday, as in 0 16 * * FRI.")
    return text


N = TypeVar("N", int, float)


def _bounded(most: N, shown: str, hint: str = "", unit: str = " seconds") -> AfterValidator:
    """A validator: refuses more; of what an older build recorded, which knew no bound, it takes the bound."""

    def check(value: N, info: ValidationInfo) -> N:
        if value <= most or info.context == RECORDED:
            return min(value, most)
        raise _Wrong(f"must be at most {shown}, but is {value:,.15g}{unit}", hint)

    return AfterValidator(check)


def _zone(name: str) -> str:
    """A name of the IANA time zone database."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        known = _like(name, available_timezones())
        hint = known if known.startswith("Did") else "Write one as in Europe/Berlin or UTC."
        raise _Wrong(f"{_got(name)} is not a time zone", hint) from None
    return name


def _span(most: float) -> WithJsonSchema:
    """Numbers are bounded there; what stands in text is bounded here."""
    written = {"type": "string", "pattern": r"^ *[0-9]+(\.[0-9]+)? ?[smhd]? *$"}
    return WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0, "maximum": most}, written]})


_STATUS = {"type": "integer", "minimum": 100, "maximum": 599}
#: Seconds; may be 0.
Duration = Annotated[float, _bounded(LONGEST, "30d"), BeforeValidator(duration), _span(LONGEST)]
#: Seconds; more than 0.
Span = Annotated[Duration, AfterValidator(_more_than_nothing)]
#: Seconds; more than 0, a leap year at most.
Spell = Annotated[
    float,
    _bounded(LONGEST_FREEZE, "366d", "Write several windows: one may begin when another ends."),
    AfterValidator(_more_than_nothing),
    BeforeValidator(duration),
    _span(LONGEST_FREEZE),
]
#: Seconds; more than 0, as long as SSM runs a script at most.
HookSpan = Annotated[
    float,
    _bounded(LONGEST_HOOK, "2d"),
    AfterValidator(_more_than_nothing),
    BeforeValidator(duration),
    _span(LONGEST_HOOK),
]
#: Seconds; more than 0, as long as an HTTP check waits at most.
Patience = Annotated[
    float,
    _bounded(LONGEST_ANSWER, "30s", "Check a faster page."),
    AfterValidator(_more_than_nothing),
    BeforeValidator(duration),
    _span(LONGEST_ANSWER),
]
Pace = Annotated[
    float,
    _bounded(SELDOMEST, "10m", "bluegreen does not see what goes wrong in between."),
    AfterValidator(_not_hasty),
    BeforeValidator(duration),
    _span(SELDOMEST),
]
Count = Annotated[int, Strict(), Field(ge=1, json_schema_extra={"maximum": MOST}), _bounded(MOST, f"{MOST:,}", unit="")]
#: A share, from 0 to 1.
Portion = Annotated[
    float,
    BeforeValidator(_portion),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": 1},
                {"type": "string", "pattern": r"^ *[0-9]+(\.[0-9]+)? ?% *$"},
            ]
        }
    ),
]
Text = Annotated[str, AfterValidator(_filled)]
Name = Annotated[str, _matching(NAME, "a name", NAMES)]
#: What the journal calls other things that are seen; a check of such a name would be taken for one of them.
TAKEN = frozenset(
    {"activity", "blue", "build", "build check", "green", "hold", "image", "sight", "targets", "traffic"}
    | {"hook before_switch", "hook after_live"}
)


def _free(name: str) -> str:
    if name.lower() in TAKEN:
        raise _Wrong(f"`{name}` is the name of a built-in check", "Give the check another name.")
    return name


Label = Annotated[
    str,
    AfterValidator(_free),
    _matching(r"(?=.*\S)[^\r\n\t]{1,40}", "a name for a check", "Use one line of 1 to 40 characters."),
]
Region = Annotated[str, _matching(r"[a-z]{2}(-[a-z]+)+-[0-9]+", "a region", "Write it as in ap-northeast-2.")]
Ami = Annotated[
    str,
    _matching(r"ami-[0-9a-f]+|resolve:ssm:\S+", "an AMI", "Write ami-0123… or resolve:ssm:/path/to/parameter."),
]
InstanceId = Annotated[str, _matching(r"i-[0-9a-f]+", "an instance id", "Write i-0123…, or use `tag` for its Name.")]
BucketName = Annotated[
    str,
    _matching(
        r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "the name of a bucket", "Write its name alone, without s3:// and path."
    ),
]
Channel = Annotated[
    str,
    _matching(r"[CGD][A-Z0-9]+", "a channel's id", "Write C0123…, from the channel's About page: names can change."),
]
Person = Annotated[
    str,
    _matching(r"\*|[UWS][A-Z0-9]+", "a Slack id", "Write a person's U0123…, a user group's S0123…, or * for everyone."),
]
Url = Annotated[str, AfterValidator(_web_address)]
ReportAddress = Annotated[str, AfterValidator(_report_address)]
Headers = Annotated[Mapping[str, str], AfterValidator(_plain_headers)]
Status = Annotated[int, Strict(), Field(ge=100, le=599)]
Statuses = Annotated[
    tuple[Status, ...],
    BeforeValidator(_listed),
    AfterValidator(_distinct),
    WithJsonSchema({"anyOf": [_STATUS, {"type": "array", "minItems": 1, "items": _STATUS}]}),
]
TargetGroups = Annotated[tuple[Text, ...], AfterValidator(_distinct)]
When = Literal["checking", "overlapping", "soaking"]
Whens = Annotated[tuple[When, ...], AfterValidator(_distinct)]
People = tuple[Person, ...]
#: People, those of an enterprise (octocat_acme), and GitHub Apps (dependabot[bot]).
_LOGIN = r"[A-Za-z0-9][A-Za-z0-9_-]*(\[bot\])?"
Login = Annotated[
    str,
    _matching(
        rf"\*|{_LOGIN}|[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+",
        "a GitHub login or team",
        "Write octocat for a person, acme/release-managers for a team, or * for everyone.",
    ),
]
Logins = tuple[Login, ...]
_ROLE = r"arn:aws[a-z-]*:iam::\d{12}:(user|role)/[\w+=,.@/-]+"
_SSO = r"arn:aws[a-z-]*:sts::\d{12}:assumed-role/AWSReservedSSO_[\w+=,.@-]+/[\w+=,.@-]+"
Principal = Annotated[
    str,
    _matching(
        rf"\*|{_ROLE}|{_SSO}",
        "a distinct AWS principal",
        "Write the ARN of an IAM user or role, of an IAM Identity Center user's session, or * for everyone.",
    ),
]
Principals = tuple[Principal, ...]
Someone = Annotated[
    str,
    _matching(
        rf"[UW][A-Z0-9]+|{_LOGIN}|{_ROLE}|{_SSO}",
        "a person's id",
        "Write a Slack id (U0123…), a GitHub login, or the ARN of an AWS principal.",
    ),
]
Share = Annotated[int, Strict(), Field(ge=0, le=99)]
Pair = Annotated[tuple[Text, ...], Field(json_schema_extra={"minItems": 2, "maxItems": 2}), AfterValidator(_two)]
Steps = Annotated[tuple[Share, ...], AfterValidator(_rising)]
Limit = Annotated[float, Strict(), Field(gt=0, allow_inf_nan=False)]
Listener = Annotated[
    str,
    _matching(
        r"arn:aws[a-z-]*:elasticloadbalancing:[a-z0-9-]+:\d{12}:listener(-rule)?/(app|net)/\S+",
        "the ARN of a listener or rule",
        "Copy it from the load balancer's page: arn:aws:elasticloadbalancing:…:listener/app/… or …:listener-rule/….",
    ),
]
Listeners = Annotated[tuple[Listener, ...], AfterValidator(_distinct)]
Statistic = Annotated[
    str,
    _matching(
        r"Sum|Average|Minimum|Maximum|SampleCount|p(100|\d{1,2}(\.\d{1,10})?)",
        "a statistic",
        "Write Sum, Average, Minimum, Maximum, SampleCount, or a percentile as in p99.",
    ),
]
Cron = Annotated[str, AfterValidator(_cron)]
Zone = Annotated[str, AfterValidator(_zone)]


# --- the models ------------------------------------------------------------------------------------------


class _Model(BaseModel):
    """Frozen, closed, and telling all that is wrong at once.

    pydantic asks about a model as a whole only when every field is right; `_conflicts` is asked anyway.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def _conflicts(cls, data: Mapping[str, Any]) -> Iterator[tuple[Loc, _Wrong]]:
        """What is wrong between keys of the raw data, whatever else is wrong."""
        yield from ()

    @model_validator(mode="wrap")
    @classmethod
    def _tell_all(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        conflicts = cls._conflicts(data) if isinstance(data, Mapping) else ()
        lines = [_line(loc, wrong) for loc, wrong in conflicts]
        try:
            made = handler(data)
        except ValidationError as error:
            lines += [cls._reworded(dict(line)) for line in error.errors(include_url=False)]
        if lines:
            raise ValidationError.from_exception_data(cls.__name__, lines)
        return made

    @classmethod
    def _reworded(cls, line: dict[str, Any]) -> Any:
        """The error, with the words that only this model knows for its own keys."""
        key = line["loc"][0] if len(line["loc"]) == 1 else None
        match line["type"]:
            case "extra_forbidden" if isinstance(key, str):
                return _line(line["loc"], cls._unknown(key))
            case "missing" if isinstance(key, str):
                return _line(line["loc"], _Wrong("is missing", f"Add {cls._keys()[key].description}."))
        return line

    @classmethod
    def _keys(cls) -> dict[str, FieldInfo]:
        """The fields by the names that the file has for them."""
        return {field.alias or name: field for name, field in cls.model_fields.items()}

    @classmethod
    def _unknown(cls, key: str) -> _Wrong:
        return _Wrong("is not a known key", _like(key, cls._keys()))


def _line(loc: Loc, wrong: _Wrong) -> Any:
    """The error as pydantic takes it."""
    return {"type": "value_error", "loc": loc, "input": None, "ctx": {"error": wrong}}


def _one_of(data: Mapping[str, Any], keys: tuple[str, str]) -> Iterator[tuple[Loc, _Wrong]]:
    """Exactly one of the two keys is said."""
    said = [key for key in keys if data.get(key) is not None]
    if len(said) != 1:
        one, other = keys
        what = "says both `{}` and `{}`" if said else "says neither `{}` nor `{}`"
        yield (), _Wrong(what.format(one, other), f"Give it exactly one of {one}, {other}.")


class TrafficConfig(_Model):
    """How traffic reaches the groups: shared target groups, or two of them with weights behind `listeners`."""

    target_groups: TargetGroups = Field(
        description="every target group that blue is registered in, names or ARNs, as in target_groups: [web]; "
        "with listeners exactly two"
    )
    listeners: Listeners | None = Field(
        default=None, description="ARNs of listeners and rules whose weights divide the traffic"
    )
    preview: Listeners | None = Field(
        default=None, description="ARNs of listeners and rules that lead to green alone before it serves"
    )
    steps: Steps | None = Field(
        default=None, description="green's share in percent, each for an equal part of the overlap; 0 is a preview"
    )
    overlap: Duration = Field(default=300.0, description="how long blue and green both serve")

    @property
    def shares(self) -> tuple[int, ...]:
        """Green's shares in percent, in their order; empty when the target groups are shared."""
        return (self.steps or (50,)) if self.listeners else ()

    @classmethod
    def _conflicts(cls, data: Mapping[str, Any]) -> Iterator[tuple[Loc, _Wrong]]:
        groups, weighted = data.get("target_groups"), data.get("listeners") is not None
        if weighted and isinstance(groups, list | tuple) and len(groups) != 2:
            hint = "Name exactly two: the one that serves, and one that waits."
            yield ("target_groups",), _Wrong(f"names {len(groups)} for weighted traffic", hint)
        for key in ("steps", "preview"):
            if data.get(key) is not None and not weighted:
                hint = "Name the listeners whose weights to move, or remove it."
                yield (key,), _Wrong("needs `listeners`", hint)
        listed = data.get("listeners")
        for n, one in enumerate(data.get("preview") or () if isinstance(data.get("preview"), list | tuple) else ()):
            if isinstance(listed, list | tuple) and one in listed:
                hint = "It can lead to green early, or serve by weight: remove it from one."
                yield ("preview", n), _Wrong("is also in `listeners`", hint)


class SourceConfig(_Model):
    """How the builder gets the source without a key to the repository."""

    bucket: BucketName = Field(description="the S3 bucket for the packed commit, in the service's region")


class BuilderConfig(_Model):
    """The instance that makes images: its id, or its Name tag."""

    instance: InstanceId | None = Field(default=None, description="the builder's instance id")
    tag: Text | None = Field(default=None, description="the builder's Name tag")
    run: Text = Field(description="the commands that bring the builder to $BLUEGREEN_COMMIT, as root")
    check: Text | None = Field(default=None, description="a command that must pass before the image is made")
    source: SourceConfig | None = Field(
        default=None, description="where the packed commit is put; `run` gets its URL in $BLUEGREEN_SOURCE_URL"
    )

    @classmethod
    def _conflicts(cls, data: Mapping[str, Any]) -> Iterator[tuple[Loc, _Wrong]]:
        return _one_of(data, ("instance", "tag"))


class ImageConfig(_Model):
    """Where the AMI comes from: a builder, or one that is there."""

    builder: BuilderConfig | None = Field(default=None, description="the instance that makes images")
    ami: Ami | None = Field(default=None, description="an AMI id, or resolve:ssm:/path/to/parameter")
    keep: Count = Field(default=5, description="images and template versions kept per service; never one in use")

    @classmethod
    def _conflicts(cls, data: Mapping[str, Any]) -> Iterator[tuple[Loc, _Wrong]]:
        return _one_of(data, ("builder", "ami"))


class _Check(_Model):
    """What every check says. It holds when it passed `needs` times in a row, `within` that time."""

    name: Label = Field(description="a name for the check, as in name: home")
    every: Span = Field(default=10.0, description="the time between two evaluations")
    needs: Count = Field(default=3, description="how many passes in a row it needs")
    within: Span = Field(default=300.0, description="the time limit for it to hold")
    at_most_failed: Portion = Field(
        default=0.2,
        description="the share of its last results that may be failures, as in 20%; 100% allows all",
    )
    when: Whens = Field(default=("overlapping", "soaking"), description="the phases in which it runs")

    @model_validator(mode="after")
    def _can_hold(self, info: ValidationInfo) -> Self:
        least = (self.needs - 1) * self.every
        if least > self.within and info.context != RECORDED:
            what = f"can never hold: {self.needs} evaluations every {self.every:g}s take {least:g}s"
            raise _Wrong(f"{what}, but within is {self.within:g}s", "Raise `within`, or lower `every` or `needs`.")
        return self

    @classmethod
    def _unknown(cls, key: str) -> _Wrong:
        if key in _KINDS:
            return _Wrong("is a second thing to check", "Make it a separate check, with its own name.")
        return super()._unknown(key)


class HttpCheck(_Check):
    """A GET from the driver. By default not in `checking`: before green joins, only blue would answer."""

    http: Url = Field(description="the URL to ask")
    status: Statuses = Field(default=(200,), description="the status, or statuses, that pass")
    contains: Text | None = Field(default=None, description="text that the answer must contain")
    json_values: Mapping[Text, JsonValue] = Field(
        default={}, alias="json", description="JSON values that the answer must have, as in {status.db: ok}"
    )
    reveal: bool = Field(
        default=False, strict=True, description="whether a failure shows the answer's value instead of a `json` value"
    )
    headers: Headers = Field(default={}, description="headers to send; no secrets, because the journal keeps them")
    timeout: Patience = Field(default=5.0, description="how long to wait for the answer; at most 30s")

    @model_validator(mode="after")
    def _can_answer(self, info: ValidationInfo) -> Self:
        if self.timeout >= self.within and info.context != RECORDED:
            what = f"the timeout of {self.timeout:g}s is not shorter than `within`, which is {self.within:g}s"
            raise _Wrong(what, "Lower `timeout`, or raise `within`.")
        return self

    @model_validator(mode="after")
    def _may_be_asked(self, info: ValidationInfo) -> Self:
        host = urlsplit(self.http).hostname or ""
        if link_local(host) and info.context != RECORDED:  # who asks refuses it as well
            what = f"{host} is link-local: an instance has its credentials there"
            raise _Wrong(what, "Use the service's own address.")
        return self


class RunCheck(_Check):
    """A command on every green instance, over SSM; passes with exit code 0."""

    run: Text = Field(description="the command")
    when: Whens = Field(default=("checking", "overlapping", "soaking"), description="the phases in which it runs")


class AlarmCheck(_Check):
    """A CloudWatch alarm, metric or composite, that must be OK."""

    alarm: Text = Field(description="the alarm's name")
    missing: Literal["fail", "pass"] = Field(
        default="fail", description="what INSUFFICIENT_DATA means; a missing alarm always fails"
    )


class MetricCheck(_Check):
    """A CloudWatch metric of green, with a limit of its own or against blue's over the same window.

    Without `namespace` it is a metric of the load balancer for green's target group. docs/checks.md explains how it is
    judged, and how much data that needs.
    """

    metric: Text = Field(description="the metric's name, as in TargetResponseTime")
    statistic: Statistic = Field(description="the statistic, as in Sum, Average or p99")
    at_most: Limit = Field(description="the limit; with `compare: blue` a factor on blue's value")
    compare: Literal["blue"] | None = Field(default=None, description="compare green with blue")
    window: Span = Field(default=600.0, description="the time span that it judges, up to now")
    period: Span = Field(default=60.0, description="the time span of one value, in seconds")
    namespace: Text | None = Field(default=None, description="of your own metric")
    dimensions: Mapping[Text, Text] = Field(default={}, description="of your own metric")
    every: Span = Field(default=60.0, description="the time between two evaluations")
    within: Span = Field(default=900.0, description="the time limit for it to hold")

    @classmethod
    def _conflicts(cls, data: Mapping[str, Any]) -> Iterator[tuple[Loc, _Wrong]]:
        if data.get("namespace") is not None and data.get("compare") is not None:
            hint = "Only metrics of the load balancer separate blue and green: remove `namespace`, or `compare`."
            yield ("compare",), _Wrong("needs a metric of the load balancer", hint)
        if data.get("dimensions") and data.get("namespace") is None:
            yield ("dimensions",), _Wrong("needs `namespace`", "Name the namespace, or remove the dimensions.")

    @model_validator(mode="after")
    def _is_kept_so(self, info: ValidationInfo) -> Self:
        if self.period not in (1, 5, 10, 30) and self.period % 60:
            hint = "Write 1s, 5s, 10s, 30s or full minutes."
            raise _Wrong(f"has a period of {self.period:g}s, which CloudWatch does not keep", hint)
        if self.window < self.period:
            raise _Wrong("has a window that is shorter than its period", "Raise `window`, or lower `period`.")
        if self.window > MOST_PERIODS * self.period and info.context != RECORDED:
            what = f"has a window of more than {MOST_PERIODS:,} periods"
            raise _Wrong(what, "Lower `window`, or raise `period`.")
        return self


def _kind(data: object) -> str | None:
    """The tag of the check's model; None when the check has nothing to check."""
    said = data if isinstance(data, Mapping) else vars(data) if isinstance(data, _Check) else {}
    return next((f"{kind} check" for kind in _KINDS if kind in said), None)


_TAGS = frozenset(f"{kind} check" for kind in _KINDS)
Check = Annotated[
    Annotated[HttpCheck, Tag("http check")]
    | Annotated[RunCheck, Tag("run check")]
    | Annotated[AlarmCheck, Tag("alarm check")]
    | Annotated[MetricCheck, Tag("metric check")],
    Discriminator(_kind),
]


class Promotion(_Model):
    """Who lets a release go on after the overlap."""

    by: Literal["auto", "person"] = Field(
        default="auto", description="auto: checks alone decide; person: a person promotes"
    )
    timeout: Span = Field(default=14400.0, description="how long a release waits for a person")
    on_timeout: Literal["rollback", "promote"] = Field(default="rollback", description="what happens then")
    approvals: Count = Field(default=1, description="how many people must promote")
    by_author: bool = Field(default=True, strict=True, description="whether the commit's author may promote it")
    remind: Duration = Field(default=1800.0, description="how long before the hold expires the bot reminds its people")

    @model_validator(mode="after")
    def _asks_somebody(self) -> Self:
        if self.by == "auto" and self.approvals > 1:
            raise _Wrong("asks for approvals, but `by: auto` needs nobody", "Set by: person, or remove approvals.")
        if self.by == "auto" and not self.by_author:
            raise _Wrong("excludes the author, but `by: auto` needs nobody", "Set by: person, or remove by_author.")
        return self


class HookConfig(_Model):
    """A command that runs once in a release, on one green instance, over SSM."""

    run: Text = Field(description="the commands, as root, as in run: cd /srv/web && ./migrate up")
    timeout: HookSpan = Field(default=600.0, description="how long they may run, at most 2d")


class HooksConfig(_Model):
    """Commands that a release runs once."""

    before_switch: HookConfig | None = Field(
        default=None, description="once green runs, before it gets any traffic; a failure rolls back"
    )
    after_live: HookConfig | None = Field(
        default=None, description="once blue is gone; the last event reports a failure"
    )

    def named(self, key: str) -> HookConfig | None:
        """The hook with this key, as `events.HOOKS` has it; None without one."""
        hook: HookConfig | None = getattr(self, key)
        return hook


class Timeouts(_Model):
    """How long AWS may take for what a release waits for."""

    bake: Span = Field(default=7200.0, description="until the image is available")
    launch: Span = Field(default=900.0, description="until green's instances are in service")
    healthy: Span = Field(default=600.0, description="until every target is healthy")


class SlackConfig(_Model):
    """The channel for releases, and who may give orders in Slack: nobody by default."""

    channel: Channel | None = Field(default=None, description="the id of the channel for cards")
    promoters: People = Field(default=(), description="ids of those who may promote; * for everyone")
    rollbackers: People = Field(default=(), description="ids of those who may roll back; * for everyone")
    overriders: People = Field(default=(), description="ids of those who may release despite a freeze")


class GitHubConfig(_Model):
    """Who may give orders with a workflow: everyone who can run it by default, except for overrides."""

    promoters: Logins = Field(default=("*",), description="logins and teams (acme/web) that may promote and release")
    rollbackers: Logins = Field(default=("*",), description="logins and teams that may roll back")
    overriders: Logins = Field(default=(), description="logins and teams that may release despite a freeze")


class AwsConfig(_Model):
    """Who may give orders with AWS credentials, on the command line: everyone who has them by default."""

    promoters: Principals = Field(default=("*",), description="ARNs of those who may promote and release")
    rollbackers: Principals = Field(default=("*",), description="ARNs of those who may roll back")
    overriders: Principals = Field(default=("*",), description="ARNs of those who may release despite a freeze")


class FreezeConfig(_Model):
    """A time that comes again, in which nothing is released or promoted."""

    cron: Cron = Field(description="when it begins: minute, hour, day, month, weekday, as in 0 16 * * FRI")
    for_: Spell = Field(alias="for", description="how long it lasts, as in for: 64h")
    zone: Zone = Field(default="UTC", description="the time zone of `cron`, as in Europe/Berlin")
    why: Text = Field(default="a freeze window of bluegreen.yml", description="the reason that a refusal names")


#: What a look before a release refuses, and a person who knows better may let pass.
Allowance = Literal["shared_template", "kept_elsewhere", "deployment_hook", "pair_differs", "no_room", "not_permitted"]
ALLOWABLE: tuple[str, ...] = get_args(Allowance)


class Config(_Model):
    """One service in one environment: all that a release needs to know."""

    service: Name = Field(description="the service's name, as in service: web")
    environment: Name = Field(
        default=DEFAULT_ENVIRONMENT, description="the environment that the top-level keys describe"
    )
    region: Region | None = Field(default=None, description="the AWS region; otherwise the AWS environment's")
    group: Text | None = Field(
        default=None, description="the Auto Scaling group that serves before the first release, as in group: web-asg"
    )
    groups: Pair | None = Field(
        default=None,
        description="in place of `group`, a standing pair: the idle one of two groups is green, and no group is made "
        "or deleted",
    )
    traffic: TrafficConfig = Field(description="how traffic reaches the group, as in traffic: {target_groups: [web]}")
    image: ImageConfig = Field(description="where images come from, as in image: {ami: ami-0123}")
    checks: tuple[Check, ...] = Field(default=(), description="the checks of green, besides target health")
    promotion: Promotion = Field(default=Promotion(), description="who promotes a release after the overlap")
    soak: Duration = Field(default=900.0, description="how long blue keeps running after the switch")
    retire: Literal["delete", "empty"] = Field(
        default="delete", description="what happens to blue; empty keeps it at size 0"
    )
    keep_failed: Duration = Field(
        default=0.0, description="how long a green that was rolled back is kept, without traffic, for inspection"
    )
    hooks: HooksConfig = Field(default=HooksConfig(), description="commands that run once in a release")
    timeouts: Timeouts = Field(default=Timeouts(), description="how long AWS may take")
    poll: Pace = Field(default=5.0, description="how often bluegreen reads AWS")
    slack: SlackConfig = Field(
        default=SlackConfig(), description="the channel for releases, and who may give orders in Slack"
    )
    github: GitHubConfig = Field(default=GitHubConfig(), description="who may give orders with a workflow")
    aws: AwsConfig = Field(default=AwsConfig(), description="who may give orders with AWS credentials")
    people: Mapping[Text, tuple[Someone, ...]] = Field(
        default={}, description="ids of one person, as in people: {alice: [U0123, octocat]}"
    )
    freeze: tuple[FreezeConfig, ...] = Field(default=(), description="times without releases and promotions")
    allow: tuple[Allowance, ...] = Field(
        default=(), description="findings before a release that shall only warn, as in allow: [shared_template]"
    )

    report_url: ReportAddress | None = Field(
        default=None,
        description="where the reports of releases are, with {service}, {environment} and {number}, as in "
        "https://reports.example.com/{service}/{number}.html; cards and lists link there",
    )

    @model_validator(mode="before")
    @classmethod
    def _of_a_pair(cls, data: Any) -> Any:
        """What is not said of a pair: blue is kept, empty."""
        pair = isinstance(data, Mapping) and data.get("groups") is not None
        return {**data, "retire": "empty"} if pair and data.get("retire") is None else data

    @property
    def names(self) -> tuple[str, ...]:
        """The groups that it names, which bluegreen did not make: one, or a standing pair."""
        return self.groups or (str(self.group),)

    @property
    def id(self) -> str:
        """The service with its environment: `web/production`."""
        return f"{self.service}/{self.environment}"

    def to_dict(self) -> dict[str, Any]:
        """Every key with its value, as JSON can hold it."""
        return self.model_dump(mode="json", by_alias=True)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Config:
        """What `to_dict` gave, back again; what is out of bounds, which an older build let pass, at its bound."""
        config, problems = _validated(data, RECORDED)
        if config is None:
            raise InvalidConfig(problems, where="the journal's config")
        return config

    @classmethod
    def _conflicts(cls, data: Mapping[str, Any]) -> Iterator[tuple[Loc, _Wrong]]:
        service, environment = data.get("service", ""), data.get("environment", DEFAULT_ENVIRONMENT)
        both = isinstance(service, str) and isinstance(environment, str)
        if both and len(service + environment) > LONGEST_NAME:
            what = f"with the environment `{environment}` is longer than {LONGEST_NAME} characters"
            yield ("service",), _Wrong(what, "Shorten one: the names of groups and images have both.")
        yield from _of_one_kind(data, cls.model_fields["group"].description or "")
        if data.get("groups") is not None and data.get("retire") == "delete":
            hint = "Remove it, or write `retire: empty`."
            yield ("retire",), _Wrong("is `delete`, but neither group of a standing pair is ever deleted", hint)
        if data.get("groups") is not None and _takes_time(data.get("keep_failed")):
            hint = "Remove it: the next release needs the idle group."
            yield ("keep_failed",), _Wrong("keeps a green that failed, but one of a standing pair is given back", hint)
        yield from _same_names(data.get("checks"))
        yield from _without_weights(data.get("checks"), data.get("traffic"))
        yield from _same_people(data.get("people"))


def _of_one_kind(data: Mapping[str, Any], group: str) -> Iterator[tuple[Loc, _Wrong]]:
    """Either `group`, or a standing pair."""
    said = [key for key in ("group", "groups") if data.get(key) is not None]
    if not said:
        yield ("group",), _Wrong("is missing", f"Add {group}.")
    if len(said) == 2:
        yield (
            ("groups",),
            _Wrong("stands beside `group`", "Remove one: `groups` is a standing pair, in place of `group`."),
        )


def _takes_time(value: object) -> bool:
    """Whether it is a duration of more than 0; what is wrong about another is told of itself."""
    try:
        return value is not None and duration(value) > 0
    except _Wrong:
        return False


def _same_names(checks: object) -> Iterator[tuple[Loc, _Wrong]]:
    """Checks that bear the name of an earlier one."""
    first: dict[str, int] = {}
    for n, check in enumerate(checks if isinstance(checks, list) else ()):
        name = check.get("name") if isinstance(check, Mapping) else None
        if isinstance(name, str) and first.setdefault(name, n) != n:
            what = f"`{name}` is also the name of checks.{first[name]}"
            yield ("checks", n, "name"), _Wrong(what, "Give each check its own name.")


def _without_weights(checks: object, traffic: object) -> Iterator[tuple[Loc, _Wrong]]:
    """Checks of the load balancer's metrics where blue and green share its target groups."""
    if not isinstance(traffic, Mapping) or traffic.get("listeners") is not None:
        return
    for n, check in enumerate(checks if isinstance(checks, list) else ()):
        if isinstance(check, Mapping) and check.get("metric") is not None and check.get("namespace") is None:
            hint = "Add `listeners` to traffic, or a `namespace` to the metric."
            yield ("checks", n, "metric"), _Wrong("needs weighted traffic: a shared target group mixes both", hint)


def _same_people(people: object) -> Iterator[tuple[Loc, _Wrong]]:
    """Ids that two people bear."""
    first: dict[str, str] = {}
    for name, ids in people.items() if isinstance(people, Mapping) else ():
        for n, one in enumerate(ids if isinstance(ids, list | tuple) else ()):
            if isinstance(one, str) and first.setdefault(one.lower(), str(name)) != name:
                what = f"`{one}` is also an id of {first[one.lower()]}"
                yield ("people", str(name), n), _Wrong(what, "An id belongs to one person: remove one.")


def _validated(data: Mapping[str, Any], context: str = "") -> tuple[Config | None, tuple[Problem, ...]]:
    """The config, or what is wrong with it."""
    try:
        return Config.model_validate(data, context=context), ()
    except ValidationError as error:
        return None, tuple(_problem(line) for line in error.errors(include_url=False))


# --- the file --------------------------------------------------------------------------------------------


def load(path: str | Path, environment: str | None = None) -> Config:
    """The config in the file for the environment; InvalidConfig names the line of each problem."""
    where = str(path)
    node, mapping = _read(_text(where), where)
    try:
        return parse(mapping, environment, where)
    except InvalidConfig as error:
        found = (replace(problem, line=_line_of(node, problem.loc)) for problem in error.problems)
        raise InvalidConfig(sorted(found, key=lambda problem: problem.line or 0), where=where) from None


def parse(mapping: object, environment: str | None = None, where: str = "bluegreen.yml") -> Config:
    """The config that the file's content means for the environment.

    The environment is the one given, else the file's own, else `production`. The keys that
    `environments` holds for it replace the file's; a key without a value counts as not written.
    Environments that are not asked for are checked too, but need not be complete.
    """
    if not isinstance(mapping, Mapping):
        what = Problem(
            (),
            f"must be keys with values, but is {_got(mapping)}",
            "`bluegreen init` writes one, once this file is gone.",
        )
        raise InvalidConfig([what], where=where)
    base, own = _said(mapping), _own(mapping)
    overrides, problems = _overrides(mapping)
    problems += _unheard_of(environment or own, (own, *overrides))
    config, wrong = _chosen(base, overrides, own if problems else environment or own)
    problems += [*wrong, *_elsewhere(base, overrides)]
    if config is None or problems:
        raise InvalidConfig(problems, where=where)
    return config


def _own(mapping: Mapping[str, Any]) -> str:
    """The environment that the top-level keys describe."""
    own = mapping.get("environment")
    return own if own and isinstance(own, str) else DEFAULT_ENVIRONMENT


Keys = dict[str, Any]


def _said(mapping: Mapping[str, Any]) -> Keys:
    """The keys that have a value, without `environments`."""
    return {key: value for key, value in mapping.items() if value is not None and key != "environments"}


def _overrides(mapping: Mapping[str, Any]) -> tuple[dict[str, Mapping[str, Any]], list[Problem]]:
    """What each environment replaces, and what is wrong with how that is written."""
    environments = mapping.get("environments") or {}
    if not isinstance(environments, Mapping):
        return {}, [Problem(("environments",), *_no_mapping(environments))]
    good: dict[str, Mapping[str, Any]] = {}
    problems = []
    for name, keys in environments.items():
        if not isinstance(name, str) or not re.fullmatch(NAME, name):
            problems.append(Problem(("environments", str(name)), f"{_got(name)} is not a name", NAMES))
        elif not isinstance(keys, Mapping | None):
            problems.append(Problem(("environments", name), *_no_mapping(keys)))
        else:
            good[name] = keys or {}
            problems += [_nested(name, key) for key in ("environment", "environments") if key in good[name]]
    return good, problems


def _nested(name: str, key: str) -> Problem:
    return Problem(("environments", name, key), "is not allowed in an environment", "Remove it.")


def _no_mapping(value: object) -> tuple[str, str]:
    what, hint = _WORDS["dict_type"]
    return what.format(got=_got(value)), hint


def _merged(base: Keys, override: Mapping[str, Any], name: str) -> Keys:
    """The base with the environment's keys in place of its own."""
    both = {**base, **override, "environment": name}
    both.pop("environments", None)
    for key, other in (("group", "groups"), ("groups", "group")):
        if override.get(key) is not None and override.get(other) is None:
            both.pop(other, None)  # either stands in place of the other
    return {key: value for key, value in both.items() if value is not None}


def _chosen(
    base: Keys, overrides: Mapping[str, Mapping[str, Any]], name: str
) -> tuple[Config | None, tuple[Problem, ...]]:
    """The config of the environment that is asked for, or what is wrong with it."""
    override = overrides.get(name, {})
    config, problems = _validated(_merged(base, override, name))
    return config, tuple(_placed(problem, name, override) for problem in problems)


def _placed(problem: Problem, name: str, override: Mapping[str, Any]) -> Problem:
    """The problem at the path where its key is written."""
    if set(problem.loc[:1]) & override.keys():
        return replace(problem, loc=("environments", name, *problem.loc))
    return problem


def _elsewhere(base: Keys, overrides: Mapping[str, Mapping[str, Any]]) -> Iterator[Problem]:
    """What is wrong in keys that the environment asked for does not use."""
    _, problems = _validated(base)
    yield from (problem for problem in problems if not _lacking(problem))
    for name, override in overrides.items():
        _, problems = _validated(_merged(base, override, name))
        yield from (_placed(problem, name, override) for problem in problems if set(problem.loc[:1]) & override.keys())


def _lacking(problem: Problem) -> bool:
    """Whether a top-level key is missing: an environment may bring it."""
    return len(problem.loc) == 1 and problem.what == "is missing"


def _unheard_of(chosen: str, known: Iterable[str]) -> Iterator[Problem]:
    names = sorted(set(known))
    if chosen not in names:
        yield Problem(("environments",), f"has no `{chosen}`", _like(chosen, names))


def _text(where: str) -> str:
    try:
        return Path(where).read_text(encoding="utf-8")
    except FileNotFoundError:
        hint = "`bluegreen init` writes one; or name another file with `--config`."
        raise ConfigError("there is no such file", where=where, hint=hint) from None
    except UnicodeDecodeError:
        raise ConfigError("is not UTF-8 text", where=where, hint="Save it as UTF-8.") from None
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=where, hint="Name a file to read.") from None


def _read(text: str, where: str) -> tuple[yaml.Node | None, Any]:
    """The YAML document as nodes, which know their lines, and as plain values."""
    try:
        node, value = _composed(text, where)
    except yaml.MarkedYAMLError as error:
        raise ConfigError(_yaml_problem(error), where=where, hint="Correct the YAML there.") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        what = f"is not YAML: {' '.join(str(error).split())}"
        raise ConfigError(what, where=where, hint="Correct the YAML.") from None
    if wrong := (*_twice(node), *_misread(node)):
        raise InvalidConfig(wrong, where=where)
    return node, value


def _composed(text: str, where: str) -> tuple[yaml.Node | None, Any]:
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node and _size(node, {}) > PARTS_MAX:
            what = f"has more than {PARTS_MAX} parts, with all that its aliases (`*name`) repeat"
            raise ConfigError(what, where=where, hint="Write it without aliases of aliases.")
        return node, loader.construct_document(deepcopy(node)) if node else None
    finally:
        loader.dispose()


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """Parts of the node with all that its aliases repeat; each node is counted once. One in itself repeats nothing."""
    if id(node) not in known:
        known[id(node)] = 0
        below = ((key, value) if isinstance(node, yaml.MappingNode) else (value,) for _, key, value in _parts(node))
        known[id(node)] = 1 + sum(_size(part, known) for parts in below for part in parts)
    return known[id(node)]


def _yaml_problem(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    spot = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return f"{spot}is not YAML: {error.problem or error.context}"


def _twice(node: yaml.Node | None, loc: Loc = (), above: tuple[yaml.Node | None, ...] = ()) -> Iterator[Problem]:
    """Keys that are written twice in one mapping: YAML would silently take the last."""
    if node in above:  # an alias of what it stands in
        return
    first: dict[str, int] = {}
    for part, key, value in _parts(node):
        line = key.start_mark.line + 1
        if part in first:
            yield Problem((*loc, part), f"already stands in line {first[part]}", "Remove one.", line)
        first.setdefault(part, line)
        yield from _twice(value, (*loc, part), (*above, node))


def _misread(node: yaml.Node | None, loc: Loc = (), above: tuple[yaml.Node | None, ...] = ()) -> Iterator[Problem]:
    """Numbers that YAML 1.1 reads in base 60, 16, 8 or 2, or without their `_`: YAML 1.2 and people read text."""
    if node in above:
        return
    for part, key, value in _parts(node):
        for scalar in dict.fromkeys((key, value)):
            if isinstance(scalar, yaml.ScalarNode) and _is_misread(scalar):
                read = yaml.SafeLoader("").construct_object(scalar)
                hint = f'Write {_meant(scalar.value, read)}, or "{scalar.value}" in quotes if you mean text.'
                what = f"is {scalar.value}, which YAML reads as the number {read}"
                yield Problem((*loc, part), what, hint, scalar.start_mark.line + 1)
        yield from _misread(value, (*loc, part), (*above, node))


def _meant(written: str, read: float) -> str:
    """Who writes `1:30` means a time."""
    return (
        f"{read:g}s if you mean a time, {read} if you mean that number"
        if ":" in written
        else f"{read} if you mean that number"
    )


def _is_misread(scalar: yaml.ScalarNode) -> bool:
    number = scalar.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
    return number and not _NUMBER.fullmatch(scalar.value)


def _parts(node: yaml.Node | None) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
    """What the node holds: (part of the path, node that says where it is written, node of its value)."""
    match node:
        case yaml.MappingNode():
            yield from ((str(key.value), key, value) for key, value in node.value)
        case yaml.SequenceNode():
            yield from ((str(n), item, item) for n, item in enumerate(node.value))


def _line_of(node: yaml.Node | None, loc: Loc) -> int | None:
    """The line of the key at the path, or of the nearest thing above it that is written."""
    line = node.start_mark.line + 1 if node else None
    for wanted in loc:
        found = [(key, value) for part, key, value in _parts(node) if part == str(wanted)]
        if not found:
            break
        key, node = found[-1]
        line = key.start_mark.line + 1
    return line


def json_schema() -> dict[str, Any]:
    """The JSON Schema of `bluegreen.yml`, for editors and SchemaStore; `parse` knows more, and says it better."""
    schema = Config.model_json_schema(ref_template="#/definitions/{model}")
    replaced = {key: value for key, value in schema["properties"].items() if key != "environment"}
    any_environment = {"type": ["object", "null"], "properties": replaced, "additionalProperties": False}
    schema["properties"]["environments"] = {
        "type": ["object", "null"],
        "description": "per environment, the keys that replace those above",
        "additionalProperties": any_environment,
    }
    schema |= {"title": "bluegreen.yml", "definitions": schema.pop("$defs"), "required": ["service"]}
    return {"$schema": DRAFT, "$id": SCHEMA_ID, **schema}
