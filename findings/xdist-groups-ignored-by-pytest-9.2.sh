#!/usr/bin/env bash
# pytest-xdist 3.8.0 keeps the tests of an xdist_group on one worker with pytest 9.1.1, and spreads them over the workers
# with pytest 9.2.0. Nothing is printed about it: fixtures of a module are made once a worker, and tests that must not
# run at the same time do.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
mkdir tests
cat >tests/test_group.py <<'PY'
import os
import time

import pytest


@pytest.mark.xdist_group("one")
@pytest.mark.parametrize("number", range(8))
def test_of_the_group(number):
    time.sleep(0.1)
    with open(os.environ["SEEN"], "a") as seen:
        seen.write(os.environ["PYTEST_XDIST_WORKER"] + "\n")
PY

workers() { # how many workers ran the group's tests with this pytest
  python3 -m venv "$1"
  "$1/bin/python" -m pip install --quiet --disable-pip-version-check "pytest==$1" pytest-xdist==3.8.0 2>/dev/null
  SEEN="$dir/seen-$1" "$1/bin/python" -m pytest -q -p no:cacheprovider -n 2 --dist loadgroup tests >"log-$1"
  sort -u "seen-$1" | wc -l
}

before=$(workers 9.1.1)
after=$(workers 9.2.0)
echo "pytest-xdist 3.8.0, -n 2 --dist loadgroup, 8 tests of one group:"
echo "  pytest 9.1.1: $before worker(s)"
echo "  pytest 9.2.0: $after worker(s)"
[[ "$before $after" == "1 2" ]] || { echo "This has changed."; exit 1; }
