"""Secrets in what commands print: hidden before it is shown, journaled or told."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

HIDDEN = "***"
#: Names whose values are hidden wherever they turn up.
_SECRET_NAME = re.compile(r"SECRET|TOKEN|PASSW|CREDENTIAL|PRIVATE|API_?KEY", re.IGNORECASE)
#: Shorter values are words, not secrets; hiding them would make the output unreadable.
_SHORTEST = 8
_PATTERNS = (
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    # access key ids and the tokens of GitHub and Slack, by the prefixes that their makers document
    re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bgh[pousr]_\w{20,}|\bgithub_pat_\w{20,}|\bxox[abeprs]-[\w-]{10,}"),
    re.compile(r"(?<=://)[^\s/:@]+:[^\s/@]+(?=@)"),
    re.compile(r"(?i)(?<=authorization: )[^\r\n]+|(?<=bearer )[\w.~+/=-]{8,}"),
)
_ASSIGNED = re.compile(
    r"(?i)\b([\w-]*(?:secret|token|passw|credential|api_?key)[\w-]*[\"']?\s*[=:]\s*)([\"']?)[^\s\"',;]+"
)


def secrets_of(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The values of a process's environment that nobody else may see, longest first."""
    found = {v for name, v in environment.items() if _SECRET_NAME.search(name) and len(v) >= _SHORTEST}
    return tuple(sorted(found, key=len, reverse=True))


def mask(text: str, secrets: Iterable[str] = ()) -> str:
    """The text with known secrets, and what looks like one, replaced by `***`."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    for pattern in _PATTERNS:
        text = pattern.sub(HIDDEN, text)
    return _ASSIGNED.sub(rf"\1\2{HIDDEN}", text)
