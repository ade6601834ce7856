"""What a step was asked for, by its inputs and by the run that it is part of: which service, which commit, by whom."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bluegreen import wording
from bluegreen.action.inputs import Inputs
from bluegreen.engine import region_in
from bluegreen.errors import ConfigError

if TYPE_CHECKING:
    from bluegreen.config import Config
    from bluegreen.github import Pull

#: Characters of one piece of `source`: a commit's first line may be a novel.
_LONGEST = 300


@dataclass(frozen=True)
class Request:
    """The inputs and the environment of one step."""

    environment: Mapping[str, str]
    inputs: Inputs

    def github(self, name: str) -> str:
        """A variable that GitHub sets, by its name without GITHUB_; "" when it does not."""
        return self.environment.get(f"GITHUB_{name}", "")

    @property
    def run_url(self) -> str:
        """The page of the run; "" outside of GitHub."""
        run = self.github("RUN_ID")
        return f"{self.github('SERVER_URL')}/{self.github('REPOSITORY')}/actions/runs/{run}" if run else ""

    @property
    def api(self) -> str:
        """The address of GitHub's API."""
        return self.github("API_URL") or "https://api.github.com"

    @property
    def login(self) -> str:
        """Who is behind the run: the person who started it, or started it again."""
        return self.github("TRIGGERING_ACTOR") or self.github("ACTOR")

    def request_id(self, commit: str, ami: str) -> str:
        """What makes two starts the same: one attempt of one job asks for one release of a commit or image."""
        run = self.github("RUN_ID")
        attempt = self.github("RUN_ATTEMPT") or "1"
        return f"github/{run}/{attempt}/{self.github('JOB')}/{commit}/{ami}" if run else ""

    # --- the service -----------------------------------------------------------------------------

    def config(self) -> Config:
        """The configuration; ConfigError when it is absent or wrong, or describes another service than was named."""
        config = self._read()
        if self.inputs.service and self.inputs.service not in (config.service, config.id):
            what = f"describes {config.id}, not the service that was named"
            raise ConfigError(what, where=self.inputs.config, hint="Correct one of them, or leave `service` out.")
        return config

    def _read(self) -> Config:
        from bluegreen.config import load

        if not Path(self.inputs.config).exists():
            hint = "Put actions/checkout before this step, or name the file with `config`."
            raise ConfigError("there is no such file in the workspace", where="config", hint=hint)
        config, named = load(self.inputs.config, self.inputs.environment or None), self.inputs.aws_region
        return config.model_copy(update={"region": named}) if named else config

    def service(self) -> str:
        """The service that is meant, with its environment; a full name needs no configuration."""
        named = self.inputs.service
        if "/" in named:
            return named
        if named and self.inputs.environment:
            return f"{named}/{self.inputs.environment}"
        return self.config().id

    def region(self) -> str | None:
        """The region that was named, else the configuration's, else the AWS environment's; None: its profile's."""
        return self.inputs.aws_region or self._region_of_the_config() or region_in(self.environment)

    def _region_of_the_config(self) -> str | None:
        if self._needs_no_config and not Path(self.inputs.config).exists():
            return None
        try:
            return self._read().region
        except ConfigError:
            if self._needs_no_config:
                return None
            raise

    @property
    def _needs_no_config(self) -> bool:
        """A service that is fully named can be rolled back without a configuration, or with a broken one."""
        if self.inputs.command in ("release", "plan"):
            return False
        return self.inputs.command in ("reconcile", "status") or "/" in self.inputs.service

    # --- the commit ------------------------------------------------------------------------------

    def commit(self) -> str:
        """The commit that was named, else the one that the run is for; with an image, no commit."""
        if self.inputs.commit or self.inputs.ami:
            return self.inputs.commit
        pull = self._event().get("pull_request") or {}
        merged = str(pull.get("merge_commit_sha") or "") if pull.get("merged") else ""
        return merged or self.github("SHA")

    @property
    def pull(self) -> int:
        """The number of the open pull request that the run is for; 0 without one."""
        pull = self._event().get("pull_request") or {}
        return 0 if pull.get("merged") else int(pull.get("number") or 0)

    def source(self, commit: str, pull: Pull | None, hide: Callable[[str], str]) -> dict[str, str]:
        """Where the release comes from, for display; nothing in it is trusted."""
        head = self._event().get("head_commit") or {}
        same = bool(commit) and head.get("id") == commit
        found = {
            "repository": self.github("REPOSITORY"),
            "server": self.github("SERVER_URL"),
            "run_id": self.github("RUN_ID"),
            "run_url": self.run_url,
            "ref": self.github("REF_NAME"),
            "event": self.github("EVENT_NAME"),
            "actor": self.github("ACTOR"),
            "title": pull.title if pull else str(head.get("message", "")).split("\n")[0] if same else "",
            "author": pull.author if pull else str((head.get("author") or {}).get("username", "")) if same else "",
            "author_login": self._author_login(commit, pull),
            "pull": str(pull.number) if pull else "",
            "workflow": self.github("WORKFLOW_REF").partition("@")[0].rpartition("/")[2],
        }
        return {name: hide(wording.one_line(value))[:_LONGEST] for name, value in found.items()}

    def _author_login(self, commit: str, pull: Pull | None) -> str:
        """Whose the commit is, as logins with blanks between; "" when that cannot be told whole.

        Whoever opened the pull request. Without one, whoever pushed and, by GitHub, wrote each commit of the push: an
        author whom git names is one whom anybody can name.
        """
        event = self._event()
        opened = event.get("pull_request") or {}
        if pull:
            logins = list(pull.openers)
        elif opened.get("merged") and opened.get("merge_commit_sha") == commit:
            logins = [_login(opened.get("user"))]
        elif pull is not None and (event.get("head_commit") or {}).get("id") == commit:
            pushed = [event["head_commit"], *(event.get("commits") or ())]
            logins = [_login(event.get("sender")), *(_login(one.get("author")) for one in pushed)]
        else:
            return ""
        told = " ".join(dict.fromkeys(logins))
        return told if all(logins) and len(told) <= _LONGEST else ""

    def _event(self) -> dict[str, Any]:
        """The payload of the event that started the run; empty when it cannot be read."""
        try:
            read = json.loads(Path(self.github("EVENT_PATH")).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return read if isinstance(read, dict) else {}


def _login(user: Mapping[str, Any] | None) -> str:
    """As the API and the commits of a push have it; "" of an author whom GitHub does not know."""
    return str((user or {}).get("login") or (user or {}).get("username") or "")
