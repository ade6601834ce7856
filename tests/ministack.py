"""MiniStack, an AWS of somebody else for the tests of deploy/: `python -m tests.ministack fetch` (`make ministack`).

It has a virtual environment of its own, because it wants another botocore than ours.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
#: Where it lies.
MINISTACK = ROOT / ".ministack"
PINS = ROOT / "requirements" / "ministack.txt"


def command() -> Path:
    """The program, there or not."""
    return MINISTACK / "bin" / "ministack"


def fetched() -> bool:
    """Whether that of our pins is there."""
    return _stamp().exists()


def _stamp() -> Path:
    return MINISTACK / f"{hashlib.sha256(PINS.read_bytes()).hexdigest()}.fetched"


def fetch() -> None:
    """Put it in its folder, unless it is there."""
    if fetched():
        return
    shutil.rmtree(MINISTACK, ignore_errors=True)
    venv.create(MINISTACK, with_pip=False)
    pip = [sys.executable, "-m", "pip", "--python", str(MINISTACK / "bin" / "python")]
    quiet = ["--quiet", "--disable-pip-version-check", "--no-compile", "--no-deps", "--only-binary", ":all:"]
    if subprocess.run([*pip, "install", *quiet, "-r", str(PINS)], check=False).returncode:
        raise SystemExit(f"pip could not install {PINS.name}: is it set up for an index that can be reached?")
    _stamp().touch()
    print(f"MiniStack is in {MINISTACK.name}")


if __name__ == "__main__":
    if sys.argv[1:] != ["fetch"]:
        raise SystemExit(__doc__)
    fetch()
