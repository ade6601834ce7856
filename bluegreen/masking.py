"""Secrets in what commands print: hidden before it is cut, shown, journaled or told.

A table of kinds, ours. The kept library that comes nearest, detect-secrets, says that a line of source holds a secret,
not where it ends: of a key it knows the BEGIN line alone. Nor does it know Slack's `xapp-` or GitHub's `github_pat_`.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import pairwise
from urllib.parse import quote

HIDDEN = "***"
#: Names whose values are hidden wherever they turn up.
_SECRET_NAME = re.compile(r"SECRET|TOKEN|PASSW|PASSPHRASE|CREDENTIAL|PRIVATE|API_?KEY", re.IGNORECASE)
#: Shorter values are words, not secrets; hiding them would make the output unreadable.
_SHORTEST = 8
#: A word or two of one case, with a short number, as in `production`, `eu-central-1`: names of things. Who makes a
#: password of one of them finds it hidden behind `password=`, but not wherever the word is said.
_WORD = r"(?:[A-Z]?[a-z]{1,12}|[A-Z]{1,13}|[0-9]{1,4})"
_WORDS = re.compile(rf"{_WORD}(?:[-_./: ]{_WORD})?(?:[-_./: ][0-9]{{1,4}})?")


def secrets_of(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The values of a process's environment that nobody else may see, longest first, without common words."""
    named = {value.strip() for name, value in environment.items() if _SECRET_NAME.search(name)}
    return tuple(sorted(filter(is_secret, named), key=len, reverse=True))


def is_secret(value: str) -> bool:
    """Whether hiding the value wherever it turns up hides a secret, and not words that everything is made of."""
    return len(value) >= _SHORTEST and not _WORDS.fullmatch(value)


def mask(text: str, secrets: Iterable[str] = ()) -> str:
    """The text with known secrets, and what looks like one, replaced by `***`.

    Give it all there is, and cut afterwards: of a secret that was cut, the rest looks like nothing.
    """
    for spelling in _spellings(tuple(secrets)):
        text = text.replace(spelling, HIDDEN)
    text = _without_keys(text)
    for pattern in _KINDS.values():
        text = pattern.sub(_hidden, text)
    return _ENCODED.sub(lambda found: HIDDEN if _is_random(found[0]) else found[0], text)


@lru_cache(maxsize=8)
def _spellings(secrets: tuple[str, ...]) -> tuple[str, ...]:
    """How the secrets may be written, longest first."""
    written = {spelling for secret in secrets if secret for spelling in _written(secret)}
    return tuple(sorted(written, key=len, reverse=True))


def _written(secret: str) -> Iterator[str]:
    """As it is, each line of it, in JSON, in a URL, and encoded for a header or a manifest of Kubernetes."""
    yield secret
    yield from (line.strip() for line in secret.splitlines() if is_secret(line.strip()))
    yield json.dumps(secret)[1:-1]
    yield quote(secret, safe="")
    yield b64encode(secret.encode(errors="surrogateescape")).decode()


def _hidden(found: re.Match[str]) -> str:
    """What was found without its group `v`, or without itself; quotes around it stay."""
    start, end = found.span("v") if "v" in found.re.groupindex else found.span()
    value = found.string[start:end]
    quoted = re.fullmatch(r"""(\\*["'`]).*\1""", value, re.DOTALL)
    around = quoted[1] if quoted and len(value) > len(quoted[1]) else ""
    return f"{found.string[found.start() : start]}{around}{HIDDEN}{around}{found.string[end : found.end()]}"


def _is_random(run: str) -> bool:
    """Whether letters of both cases and digits follow each other as they come; names and paths keep to one longer."""
    kinds = [(c.islower(), c.isupper(), c.isdigit()) for c in run]
    changes = sum(one != other for one, other in pairwise(kinds))
    both = run.lower() != run != run.upper()
    return both and changes > 0.4 * len(run) and 8 * run.count("/") < len(run)


# --- private keys: several lines, of which the first or the last may be missing ---------------------------------------

_TITLE = r"(?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
_KEY = re.compile(rf"-----BEGIN {_TITLE}.*?(?:-----END {_TITLE}|\Z)", re.DOTALL)
_KEY_END = re.compile(rf"^.*-----END {_TITLE}")
#: A line of which the end is encoded; of the last before END it may be short.
_ENCODED_END = re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{16,}={0,2}\s*$")
_SHORT_END = re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]+={0,2}\s*$")
#: Where both BEGIN and END are missing: whole lines of a key, and the short one after them.
_KEY_LINES = re.compile(
    r"(?m)^(?P<before>(?:[^\n]{0,80}?[^\nA-Za-z0-9+/])?)(?=[a-z0-9+/]*[A-Z])(?=[A-Z0-9+/]*[a-z])[A-Za-z0-9+/]{64,76}\r?$"
    r"(?:\n(?P=before)[A-Za-z0-9+/]{2,76}={0,2}\r?$)*"
)
#: Long runs of base64, but for the checksums that package managers compare in the open.
_ENCODED = re.compile(
    r"(?<![A-Za-z0-9+/_.-])(?<!sha256-)(?<!sha384-)(?<!sha512-)[A-Za-z0-9+/]{40,}={0,2}(?![\w+/-]|\.\w)"
)


def _without_keys(text: str) -> str:
    """Private keys are hidden from BEGIN to END; without a BEGIN, from the first line above END that may belong."""
    lines: list[str] = []
    for line in _KEY.sub(HIDDEN, text).split("\n"):
        if _KEY_END.search(line):
            if lines and _SHORT_END.search(lines[-1]):
                del lines[-1]
            while lines and _ENCODED_END.search(lines[-1]):
                del lines[-1]
        lines.append(_KEY_END.sub(HIDDEN, line))
    return _KEY_LINES.sub(rf"\g<before>{HIDDEN}", "\n".join(lines))


# --- everything else: a table of kinds --------------------------------------------------------------------------------

#: Tokens that their makers document by a prefix.
_PREFIXED = (
    r"(?:A3T[A-Z0-9]|ABIA|ACCA|AKIA|ASIA)[A-Z0-9]{16}",  # AWS, access key ids
    r"gh[pousr]_\w{20,}|github_pat_\w{20,}",
    r"gl(?:pat|dt|ft|soat|rt|cbt|imt|ptt|agent|oas)-[\w-]{10,}|GR1348941[\w-]{20,}",  # GitLab
    r"xox[a-z](?:\.xox[a-z])?-[\w-]{10,}|xapp-[\w-]{10,}",  # Slack
    r"eyJ[\w-]{6,2000}={0,2}\.[\w-]{4,}={0,2}(?:\.[\w-]*={0,2}){0,3}",  # JSON web tokens, signed or encrypted
    r"[rs]k_(?:live|test)_\w{10,}|whsec_[\w+/=]{10,}",  # Stripe
    r"AIza[\w-]{30,}|ya29\.[\w-]{10,}|GOCSPX-[\w-]{10,}",  # Google
    r"npm_\w{20,}|pypi-[\w-]{20,}|rubygems_[0-9a-f]{20,}|dckr_[po]at_[\w-]{10,}|cio\w{32}",
    r"SG\.[\w-]{10,}\.[\w-]{10,}|[0-9a-f]{32}-us\d{1,2}\b|SK[0-9a-f]{32}",  # SendGrid, Mailchimp, Twilio
    r"sk-(?:ant-|proj-|svcacct-)?[\w-]{20,}|hf_\w{20,}",
    r"hv[sbr]\.[\w-]{10,}|\w{10,20}\.atlasv1\.[\w-]{10,}|do[opr]_v1_\w{10,}|dapi[0-9a-f]{32}",  # HashiCorp, and others
    r"ATATT3[\w=-]{10,}|lin_api_\w{10,}|NRAK-\w{10,}|shp(?:at|ca|pa|ss)_\w{10,}|gl(?:sa|c)_[\w=+/]{10,}",
    r"AGE-SECRET-KEY-1\w{10,}|sq0[a-z]{3}-[\w-]{10,}|\d{8,10}:[\w-]{35}(?![\w-])",
)
_NAMES = (
    r"secret|token|passw(?:or)?d|passw|passphrase|(?<=[_-])pwd|pwd(?![ \t]*=[ \t]*/)|credential|signature"
    r"|(?:api|access|account|auth|encryption|license|master|private|shared|signing|webhook)[-_. ]?key"
    r"|(?<![a-z])sig(?![a-z])"
)
_QUOTED = (
    r"""\\{1,9}".*?\\{1,9}"|\\{1,9}'.*?\\{1,9}'|"(?:\\.|[^"\\\n])*(?:"|$)|'(?:\\.|[^'\\\n])*(?:'|$)|`[^`\n]*(?:`|$)"""
)
#: A quoted value with what a shell would join to it; one in brackets; else all up to the next blank.
_VALUE = (
    rf"""(?P<v>(?:{_QUOTED})(?:{_QUOTED}|\\.|[^\s"'`,;&)}}\]>:\\])*|\[[^\]\n]*\]?|\{{[^}}\n]*\}}?"""
    rf"""|[|>][-+]?[ \t]*\n[ \t]+[^\n]+|[^\s"'`](?:{_QUOTED}|[^\s"'`])*)"""
)
_FLAGS = re.IGNORECASE | re.MULTILINE
_KINDS = {
    "known by its prefix": re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(_PREFIXED)})"),
    "address of a webhook": re.compile(
        r"(?<=hooks\.slack\.com/)[\w/-]+|(?<=/api/webhooks/)[\w/-]+|(?<=/webhook/)[\w@/-]+"
    ),
    "password in a URL": re.compile(
        r"""(?<=://)[^\s/@:"'<>]{0,100}:[^\s"'<>]{0,400}(?=@)|(?<=://)[^\s/@:"'<>?]{16,400}(?=@)"""
    ),
    "header": re.compile(
        r"\b(?:(?:proxy-)?authorization|(?:set-)?cookie|private-token|x-[\w-]{0,40}(?:auth|key|secret|token)[\w-]{0,40})"
        rf"""\\*["']?[ \t]*[:=,][ \t]*(?P<v>{_QUOTED}|[^\s"'][^\r\n]*)""",
        _FLAGS,
    ),
    "bearer": re.compile(r"\bbearer[ \t]+(?P<v>[\w.~+/=-]{8,})", _FLAGS),
    "basic": re.compile(r"\bbasic[ \t]+(?P<v>[A-Za-z0-9+/]{6,}={1,2})", _FLAGS),
    "spoken password": re.compile(r"(?:passw(?:or)?d|passphrase)[ \t]*:[ \t]+(?P<v>[^\s\"'`\[{][^\r\n]*)", _FLAGS),
    "assigned": re.compile(rf"""(?:{_NAMES})[\w.-]{{0,40}}\\*["']?\]?[ \t]*(?:=>|:=|==?|:)[ \t]*{_VALUE}""", _FLAGS),
    "argument": re.compile(
        rf"(?:(?<!\S)--?|\b(?:ARG|ENV|SETX?)[ \t]+)[\w-]{{0,40}}(?:{_NAMES})[\w-]{{0,40}}[ \t]+{_VALUE}", _FLAGS
    ),
    "element": re.compile(rf"<[\w:-]{{0,40}}(?:{_NAMES})[\w:-]{{0,40}}>(?P<v>[^<]+)", _FLAGS),
    "user and password": re.compile(rf"(?<!\S)(?:-u|--user)[ =]?(?P<v>{_QUOTED}|[^\s:]+:\S+)", _FLAGS),
    "SQL": re.compile(rf"\b(?:IDENTIFIED[ \t]+BY|PASSWORD)[ \t]+(?P<v>{_QUOTED})", _FLAGS),
    "netrc": re.compile(r"\blogin[ \t]+\S+[ \t]+password[ \t]+(?P<v>\S+)", _FLAGS),
    "password of a login": re.compile(r"\b(?:sshpass|login)\b[^\n]{0,200}?[ \t]-p[ \t]*(?P<v>\S+)", _FLAGS),
}
