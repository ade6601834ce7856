"""The workflows that `bluegreen init` writes, and where they get the Action from."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from bluegreen import workflows
from bluegreen.errors import ConfigError
from bluegreen.workflows import Origin, checked, installed_from, reachable, rendered, repository_of

COMMIT = "0123456789abcdef0123456789abcdef01234567"
USES = f"octocat/bluegreen@{COMMIT} # v1"


def read(name: str, **said: Any) -> dict[Any, Any]:
    """A workflow as YAML; 1.1 reads its key `on` as true."""
    content: dict[Any, Any] = yaml.safe_load(rendered(name, USES, **said))
    return content


@pytest.mark.parametrize("name", workflows.NAMES)
def test_a_workflow_has_the_address_and_no_placeholder(name: str) -> None:
    """In every step that uses the Action."""
    used = re.findall(r"uses: (.*)", rendered(name, USES))
    assert [one for one in used if not one.startswith("actions/")] == [USES]
    assert "./" not in used[0]


def test_a_workflow_is_of_this_environment_configuration_and_table() -> None:
    """By default it says nothing of what is the default."""
    plain = read("release.yml")["jobs"]["release"]["steps"][1]["with"]
    assert not {"config", "table"} & set(plain)
    for name in workflows.NAMES:
        said = read(name, environment="staging", config="services/web/bluegreen.yml", table="releases")
        (job,) = said["jobs"].values()
        given = job["steps"][1]["with"]
        assert (given["config"], given["table"]) == ("services/web/bluegreen.yml", "releases")
        assert "staging" in job["environment"]["name"]
        assert "production" not in str(said["jobs"]) + str(said["concurrency"])
    assert (
        read("release.yml", environment="staging")[True]["workflow_dispatch"]["inputs"]["environment"]["default"]
        == "staging"
    )


def test_a_merge_releases_only_what_is_built() -> None:
    """Another image than the one that serves is a person's to name."""
    assert set(read("release.yml")[True]) == {"push", "workflow_dispatch"}
    assert set(read("release.yml", builds=False)[True]) == {"workflow_dispatch"}
    assert rendered("release.yml", USES, builds=False).startswith("# Releases a service by hand.\n")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://github.com/octocat/bluegreen.git", ("github.com", "octocat/bluegreen", "")),
        ("https://github.com/octocat/bluegreen", ("github.com", "octocat/bluegreen", "")),
        ("https://token@github.com/octocat/bluegreen/", ("github.com", "octocat/bluegreen", "")),
        ("git@github.com:octocat/bluegreen.git", ("github.com", "octocat/bluegreen", "")),
        ("ssh://git@github.com/octocat/bluegreen.git", ("github.com", "octocat/bluegreen", "")),
        ("https://ghe.example.com/octocat/blue.green", ("ghe.example.com", "octocat/blue.green", "")),
        ("https://github.com/octocat/bluegreen/archive/refs/tags/v1.zip", ("github.com", "octocat/bluegreen", "v1")),
        (f"https://github.com/octocat/bluegreen/archive/{COMMIT}.tar.gz", ("github.com", "octocat/bluegreen", COMMIT)),
        ("file:///home/ann/bluegreen", None),
        ("/home/ann/bluegreen", None),
        ("https:///octocat/bluegreen", None),
        ("", None),
    ],
)
def test_a_repository_is_told_by_its_url(url: str, said: tuple[str, str, str] | None) -> None:
    """As pip records it, or git has it."""
    assert repository_of(url) == said


def test_what_pip_recorded_is_what_runs() -> None:
    """The commit, with the tag or branch that was asked for."""
    made = {"vcs": "git", "commit_id": COMMIT, "requested_revision": "v1"}
    it = installed_from({"url": "https://github.com/octocat/bluegreen.git", "vcs_info": made})
    assert it is not None
    assert it.uses == USES
    assert (
        installed_from({"url": "https://pypi.example.com/packages/bluegreen-0.1.0.tar.gz", "archive_info": {}}) is None
    )
    archive = installed_from(
        {"url": "https://github.com/octocat/bluegreen/archive/refs/tags/v1.zip", "archive_info": {}}
    )
    assert archive == Origin("github.com", "octocat/bluegreen", "", "v1")
    assert archive.uses == "octocat/bluegreen@v1"
    assert Origin("github.com", "octocat/bluegreen", COMMIT, COMMIT).uses == f"octocat/bluegreen@{COMMIT}"
    assert Origin("github.com", "octocat/bluegreen").uses == ""


def test_only_a_server_that_the_workflows_reach_counts() -> None:
    """github.com, and the one on which the repository is."""
    own = Origin("ghe.example.com", "octocat/bluegreen", COMMIT)
    assert reachable(None, "github.com") == ""
    assert reachable(own, "github.com") == reachable(own, "") == ""
    assert reachable(own, "ghe.example.com") == own.uses


@pytest.mark.parametrize("address", ["octocat/bluegreen", "bluegreen@v1", "octocat/blue green@v1", "./", "a/b@v1\nx"])
def test_an_address_that_github_would_refuse_is_refused(address: str) -> None:
    """With what to write."""
    assert checked("octocat/bluegreen@v1") == "octocat/bluegreen@v1"
    with pytest.raises(ConfigError, match="is no address of an Action") as error:
        checked(address)
    assert "octocat/bluegreen@v1" in error.value.hint
