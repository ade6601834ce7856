"""The packed source of a commit, against git itself."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from bluegreen.checkout import pack
from bluegreen.errors import ConfigError


def git(folder: Path, *words: str) -> str:
    """What git says."""
    who = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "protocol.file.allow=always")
    return subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(name="repo")
def a_repository(tmp_path: Path) -> Path:
    """With an executable, a link, a folder, and a name beyond ASCII."""
    folder = tmp_path / "web"
    (folder / "app").mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    (folder / "install").write_text("#!/bin/sh\necho installed\n")
    (folder / "install").chmod(0o755)
    (folder / "app" / "größe.txt").write_text("deep")
    (folder / "app" / ("long" * 40)).write_text("a path of more than a hundred characters")
    (folder / "latest").symlink_to("app/größe.txt")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "one")
    return folder


def packed(folder: Path, commit: str) -> tarfile.TarFile:
    """The archive, opened."""
    into = io.BytesIO()
    pack(folder, commit, into)
    return tarfile.open(fileobj=io.BytesIO(into.getvalue()))


def contents(tar: tarfile.TarFile) -> dict[str, tuple[bool, str, bytes]]:
    """Every file and link: executable, where it leads, content."""
    return {
        one.name: (bool(one.mode & 0o100) and one.isfile(), one.linkname, read.read() if read else b"")
        for one in tar.getmembers()
        if not one.isdir()
        for read in [tar.extractfile(one) if one.isfile() else None]
    }


def by_git(folder: Path, commit: str) -> dict[str, tuple[bool, str, bytes]]:
    """What `git archive` gives."""
    done = subprocess.run(["git", "archive", commit], cwd=folder, check=True, capture_output=True)
    return contents(tarfile.open(fileobj=io.BytesIO(done.stdout)))


def test_it_holds_what_git_archives(repo: Path) -> None:
    """The commit, not what lies in the folder since; from a folder within, too."""
    commit = git(repo, "rev-parse", "HEAD")
    (repo / "install").write_text("changed since")
    (repo / "stray").write_text("not of the commit")
    assert contents(packed(repo, commit)) == by_git(repo, commit)
    assert contents(packed(repo / "app", commit)) == by_git(repo, commit)


def test_an_earlier_commit_is_packed_as_it_was(repo: Path) -> None:
    """The folder may have another one checked out."""
    first = git(repo, "rev-parse", "HEAD")
    git(repo, "rm", "-q", "latest")
    git(repo, "commit", "-qm", "two")
    git(repo, "gc", "-q")
    assert "latest" in contents(packed(repo, first))


def test_the_beginning_of_an_id_is_enough(repo: Path) -> None:
    """The Action's input takes seven digits."""
    commit = git(repo, "rev-parse", "HEAD")
    assert contents(packed(repo, commit[:7])) == by_git(repo, commit)


def test_the_same_commit_gives_the_same_bytes(repo: Path) -> None:
    """Whoever packs it, whenever."""
    made = [io.BytesIO(), io.BytesIO()]
    for into in made:
        pack(repo, git(repo, "rev-parse", "HEAD"), into)
    assert made[0].getvalue() == made[1].getvalue()


def test_a_submodule_is_there_if_it_is_checked_out(repo: Path, tmp_path: Path) -> None:
    """With git archive it would be left out in any case."""
    git(repo, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(repo), "vendor/web")
    git(repo, "commit", "-qm", "with a submodule")
    commit = git(repo, "rev-parse", "HEAD")
    assert {"vendor/web/install", "vendor/web/app/größe.txt"} < contents(packed(repo, commit)).keys()
    git(tmp_path, "clone", "-q", str(repo), "plain")
    assert contents(packed(tmp_path / "plain", commit)) == by_git(repo, commit)


def test_a_shallow_checkout_is_enough(repo: Path, tmp_path: Path) -> None:
    """actions/checkout fetches one commit."""
    git(repo, "commit", "-q", "--allow-empty", "-m", "two")
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{repo}", "shallow")
    commit = git(repo, "rev-parse", "HEAD")
    assert contents(packed(tmp_path / "shallow", commit)) == by_git(repo, commit)


def test_what_is_not_there_is_said_with_what_to_do(repo: Path, tmp_path: Path) -> None:
    """No repository, no such commit, a part that was not fetched."""
    with pytest.raises(ConfigError, match="is not in a git repository") as told:
        packed(tmp_path, "c" * 40)
    assert "actions/checkout" in told.value.hint
    with pytest.raises(ConfigError, match="lacks the commit") as told:
        packed(repo, "c" * 40)
    assert "Fetch it" in told.value.hint
    commit, blob = git(repo, "rev-parse", "HEAD"), git(repo, "rev-parse", "HEAD:install")
    (repo / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(ConfigError, match=f"lacks the object {blob} of the commit") as told:
        packed(repo, commit)
    assert "filter" in told.value.hint


def test_a_branch_or_a_file_is_no_commit(repo: Path) -> None:
    """Who calls gives the full id of a commit."""
    with pytest.raises(ConfigError, match="lacks the commit"):
        packed(repo, git(repo, "rev-parse", "HEAD:install"))
