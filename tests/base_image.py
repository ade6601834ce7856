"""The base image of the Dockerfile, named by its digest. `python -m tests.base_image [Dockerfile]` takes the newest.

A tag moves; a digest names the same bytes for ever. Asked is the registry of the tag, by its public API (OCI
distribution specification, "pulling manifests") and with nothing but Python's standard library. What was there stays
unless the answer is what it says it is: an index whose SHA-256 is the digest, with every platform that is published.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

#: Docker's own registry, which answers for names that say none.
HUB = "https://registry-1.docker.io"
#: What .github/workflows/publish.yml builds for.
PLATFORMS = ("linux/amd64", "linux/arm64")
INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
TIMEOUT = 20
#: An index has some kilobytes; more than this is none.
LARGEST = 4 * 1024 * 1024
LINE = re.compile(r"(?m)^(ARG BASE_IMAGE=)(\S+)$")
NAME = re.compile(r"(?P<path>[a-z0-9._/-]+):(?P<tag>[\w.-]+)(?:@(?P<digest>sha256:[0-9a-f]{64}))?")
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


class UnknownDigestError(Exception):
    """The registry did not tell the digest; says why, in words for whoever runs `make lock`."""


@dataclass(frozen=True)
class Image:
    """A base image as the Dockerfile names it; `digest` is "" where it names none."""

    path: str
    tag: str
    digest: str = ""

    @classmethod
    def read(cls, dockerfile: str) -> Image:
        """The default of ARG BASE_IMAGE. UnknownDigestError: there is none of a name of Docker's own registry."""
        line = LINE.search(dockerfile)
        named = NAME.fullmatch(line[2]) if line else None
        if named is None:
            raise UnknownDigestError("there is no line `ARG BASE_IMAGE=name:tag` or `…@sha256:…` in it")
        return cls(named["path"], named["tag"], named["digest"] or "")

    def __str__(self) -> str:
        """As `FROM` takes it; with a digest Docker does not look at the tag, people do."""
        return f"{self.path}:{self.tag}{'@' if self.digest else ''}{self.digest}"

    @property
    def repository(self) -> str:
        """As the registry's API has it: official images are in `library`."""
        return self.path if "/" in self.path else f"library/{self.path}"


def newest(image: Image, registry: str = HUB) -> Image:
    """The same tag with the digest that it has now. UnknownDigestError: none that can be trusted was told."""
    url = f"{registry}/v2/{quote(image.repository)}/manifests/{quote(image.tag)}"
    try:
        told, body = _asked(url)
        index = json.loads(body)
    except UnknownDigestError:
        raise
    except urllib.error.HTTPError as error:
        raise UnknownDigestError(f"{url} answered {error.code} {error.reason}") from error
    except (OSError, ValueError) as error:
        raise UnknownDigestError(f"{url} gave no answer that can be read: {error}") from error
    digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
    if told not in ("", digest):
        raise UnknownDigestError(f"{url} says {told}, but what it sent has {digest}")
    _must_be_whole(index, url)
    return Image(image.path, image.tag, digest)


def _asked(url: str) -> tuple[str, bytes]:
    """The digest that is told, "" if none, and the manifest; with a token if the registry wants one."""
    headers = {"Accept": ", ".join(INDEXES), "User-Agent": "bluegreen"}
    try:
        return _fetched(url, headers)
    except urllib.error.HTTPError as error:
        if error.code != 401:
            raise
        token = _token(error.headers.get("WWW-Authenticate", ""))
    return _fetched(url, {**headers, "Authorization": f"Bearer {token}"})


def _token(challenge: str) -> str:
    """A token for reading what is public (distribution specification, token authentication)."""
    said = dict(_CHALLENGE.findall(challenge))
    if not challenge.startswith("Bearer ") or urlsplit(said.get("realm", "")).scheme not in ("https", "http"):
        raise UnknownDigestError(
            f"the registry wants something else than a token: {challenge or 'it does not say what'}"
        )
    asked = urlencode({key: said[key] for key in ("service", "scope") if key in said})
    answer: Any = json.loads(_fetched(f"{said['realm']}?{asked}", {"User-Agent": "bluegreen"})[1])
    token = (answer.get("token") or answer.get("access_token")) if isinstance(answer, dict) else None
    if not token:
        raise UnknownDigestError(f"{said['realm']} gave no token")
    return str(token)


def _fetched(url: str, headers: Mapping[str, str]) -> tuple[str, bytes]:
    asked = urllib.request.Request(url, headers=dict(headers))
    with urllib.request.urlopen(asked, timeout=TIMEOUT) as answer:
        body: bytes = answer.read(LARGEST)
        return str(answer.headers.get("Docker-Content-Digest") or ""), body


def _must_be_whole(index: Any, url: str) -> None:
    """An image of one platform alone has a digest, too, and would break the others' builds."""
    if not isinstance(index, dict) or index.get("mediaType") not in INDEXES:
        raise UnknownDigestError(f"{url} is no index of several platforms")
    have = {
        f"{one.get('os')}/{one.get('architecture')}"
        for one in (manifest.get("platform", {}) for manifest in index.get("manifests", []))
    }
    if missing := [platform for platform in PLATFORMS if platform not in have]:
        raise UnknownDigestError(f"{url} has nothing for {', '.join(missing)}")


def renew(dockerfile: Path, registry: str = HUB) -> str:
    """Write the newest digest into the Dockerfile, and say what was done. UnknownDigestError: it is as it was."""
    text = dockerfile.read_text()
    was = Image.read(text)
    now = newest(was, registry)
    if now == was:
        return f"{dockerfile}: {now} is the newest."
    dockerfile.write_text(LINE.sub(lambda line: f"{line[1]}{now}", text, count=1))
    return f"{dockerfile}: {now}, before {was}."


def main(words: list[str]) -> int:
    """Renew it; 1 if it stays as it was because nobody told the digest."""
    dockerfile, registry = Path(words[0] if words else "Dockerfile"), words[1] if words[1:] else HUB
    try:
        print(renew(dockerfile, registry))
    except UnknownDigestError as error:
        print(f"{dockerfile}: the base image stays as it was: {error}.", file=sys.stderr)
        print(
            f"Run `python -m tests.base_image` again where {urlsplit(registry).netloc} can be reached.", file=sys.stderr
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
