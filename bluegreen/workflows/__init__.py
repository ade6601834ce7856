"""The workflows that `bluegreen init` writes, and where they get the Action from. Pure; the files beside it are texts.

`release.yml` and `reconcile.yml` use the Action as `./`, as our own do. `rendered` puts the address of somebody's copy
of this repository in its place; a placeholder would fail when GitHub runs it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from bluegreen.config import DEFAULT_ENVIRONMENT
from bluegreen.errors import ConfigError

NAMES = ("release.yml", "reconcile.yml")
#: Where GitHub reads them, from the top of a repository.
FOLDER = ".github/workflows"
#: The configuration that the Action reads by default.
CONFIG = "bluegreen.yml"
_ADDRESS = re.compile(r"(?P<owner>[A-Za-z0-9][A-Za-z0-9-]*)/(?P<repo>[\w.-]+)@(?P<ref>[\w./-]+)", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_PUSH = "  push:\n    branches: [main]\n"
_INPUTS = "      - uses: ./\n        with:\n"


@dataclass(frozen=True)
class Origin:
    """Where a copy of bluegreen came from: a repository on a server, a commit of it, and the tag or branch by name."""

    host: str
    repository: str  # OWNER/REPO
    commit: str = ""
    ref: str = ""

    @property
    def uses(self) -> str:
        """The commit, with what names it as a comment: what was installed is what runs. "" when neither is known."""
        if not self.commit:
            return f"{self.repository}@{self.ref}" if self.ref else ""
        named = f" # {self.ref}" if self.ref and self.ref != self.commit else ""
        return f"{self.repository}@{self.commit}{named}"


# --- where the Action is -------------------------------------------------------------------------


def checked(address: str) -> str:
    """An address that a person gave; ConfigError when GitHub would refuse it."""
    if not _ADDRESS.fullmatch(address):
        hint = "Write the repository and a tag, branch or commit of it, as in octocat/bluegreen@v1."
        raise ConfigError("is no address of an Action", where=f"--action {address}", hint=hint)
    return address


def installed_from(direct_url: Mapping[str, Any]) -> Origin | None:
    """By what pip recorded of an installation from a repository (PEP 610); None when it was from elsewhere."""
    said = repository_of(str(direct_url.get("url", "")))
    made = direct_url.get("vcs_info") or {}
    if said is None or not (made or said[2]):
        return None
    host, repository, ref = said
    return Origin(host, repository, str(made.get("commit_id", "")), str(made.get("requested_revision", "") or ref))


def repository_of(url: str) -> tuple[str, str, str] | None:
    """Server, OWNER/REPO and ref of a URL of GitHub: of a clone (https, ssh, scp's form), or of an archive."""
    if scp := re.fullmatch(r"(?:\w+@)?([\w.-]+):([^/].*)", url):
        url = f"ssh://{scp[1]}/{scp[2]}"
    parts = urlsplit(url)
    found = re.fullmatch(
        r"/([\w-]+/[\w.-]+?)(?:\.git)?/?(?:archive/(?:refs/(?:tags|heads)/)?(.+?)(?:\.zip|\.tar\.gz))?", parts.path
    )
    if parts.scheme not in ("https", "http", "ssh", "git") or not parts.hostname or not found:
        return None
    return parts.hostname, found[1], found[2] or ""


def reachable(source: Origin | None, own_host: str) -> str:
    """The address of a source, for a repository on that server ("" when unknown); "" when its runs cannot use it."""
    hosts = {"github.com", own_host}
    return source.uses if source and source.host in hosts else ""


# --- the files -----------------------------------------------------------------------------------


@cache
def template(name: str) -> str:
    """A workflow as it is kept here, with the Action as `./`."""
    return files("bluegreen.workflows").joinpath(name).read_text(encoding="utf-8")


def rendered(
    name: str,
    action: str,
    *,
    environment: str = DEFAULT_ENVIRONMENT,
    config: str = CONFIG,
    table: str = "",
    builds: bool = True,
) -> str:
    """The workflow for a repository.

    `config`: the configuration from the top of the repository. `table`: the journal's, if it has a name of its own.
    Without a build a merge brings nothing new, so only people start a release.
    """
    given = {"config": config if config != CONFIG else "", "table": table}
    lines = "".join(f"          {key}: {json.dumps(value)}\n" for key, value in given.items() if value)
    said = template(name).replace(_INPUTS, f"{_INPUTS}{lines}").replace("uses: ./\n", f"uses: {action}\n")
    if not builds:
        said = said.replace(_PUSH, "").replace("when main moves, and by hand", "by hand")
    if environment != DEFAULT_ENVIRONMENT:
        for line, quoted in (("name: {}", 'name: "{}"'), ("default: {}", 'default: "{}"'), ("'{}'", "'{}'")):
            said = said.replace(line.format(DEFAULT_ENVIRONMENT), quoted.format(environment))
    return said
