"""The commit of a checkout as a tar archive: the builder gets the source without a key to the repository.

The Action's container has no git, so dulwich reads the repository there as everywhere.
"""

from __future__ import annotations

import io
import stat
import tarfile
from collections.abc import Iterator
from gzip import GzipFile
from pathlib import Path
from typing import IO, TYPE_CHECKING

from bluegreen.errors import ConfigError

if TYPE_CHECKING:
    from dulwich.objects import Commit, TreeEntry
    from dulwich.repo import Repo

#: git's mode of a submodule: what stands there is a commit of another repository.
SUBMODULE = 0o160000
WHOLE = "With actions/checkout, leave `filter` and `sparse-checkout` out."


def pack(folder: Path, commit: str, into: IO[bytes]) -> None:
    """Write the files of the commit as a `.tar.gz`; the same commit gives the same bytes.

    Files, executables and links are as git has them; submodules are there if they are checked out. ConfigError when
    the folder is no git repository, or lacks the commit or a part of it.
    """
    from dulwich.errors import NotGitRepository
    from dulwich.repo import Repo

    try:
        repo = Repo.discover(str(folder))
    except NotGitRepository:
        hint = "Run it in a checkout of the commit; in a workflow, add actions/checkout before this step."
        raise ConfigError("is not in a git repository", where=str(folder), hint=hint) from None
    with repo:
        at = _commit(repo, commit.encode(), commit).commit_time
        zipped = GzipFile(fileobj=into, mode="wb", filename="", mtime=at)
        with zipped, tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for entry, data in _files(repo, commit.encode(), b"", commit):
                entry.mtime = at
                tar.addfile(entry, io.BytesIO(data))


def _commit(repo: Repo, named: bytes, whose: str) -> Commit:
    """By its id, or the beginning of it."""
    from dulwich.objectspec import parse_commit

    try:
        return parse_commit(repo, named)
    except (KeyError, ValueError):
        hint = "Fetch it, as with `ref` of actions/checkout, or release the commit that is checked out."
        what = f"the checkout in {repo.path} lacks the commit {named.decode()}"
        raise ConfigError(what, where=whose, hint=hint) from None


def _files(repo: Repo, commit: bytes, below: bytes, whose: str) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    from dulwich.object_store import iter_tree_contents

    try:
        for entry in iter_tree_contents(repo.object_store, _commit(repo, commit, whose).tree):
            if entry.mode == SUBMODULE:
                yield from _submodule(repo, entry, below + entry.path, whose)
            else:
                yield _member(entry, below, repo.object_store[entry.sha].as_raw_string())
    except KeyError as error:
        missing = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error.args[0])
        what = f"the checkout lacks the object {missing} of the commit"
        raise ConfigError(what, where=whose, hint=WHOLE) from None


def _submodule(repo: Repo, entry: TreeEntry, path: bytes, whose: str) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    from dulwich.errors import NotGitRepository
    from dulwich.repo import Repo

    try:
        inner = Repo(str(Path(repo.path) / entry.path.decode(errors="surrogateescape")))
    except NotGitRepository:
        return  # not checked out: git archive leaves it out, too
    with inner:
        yield from _files(inner, entry.sha, path + b"/", whose)


def _member(entry: TreeEntry, below: bytes, data: bytes) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo((below + entry.path).decode(errors="surrogateescape"))
    if stat.S_ISLNK(entry.mode):
        info.type, info.linkname = tarfile.SYMTYPE, data.decode(errors="surrogateescape")
        return info, b""
    info.mode, info.size = 0o755 if entry.mode & stat.S_IXUSR else 0o644, len(data)
    return info, data
