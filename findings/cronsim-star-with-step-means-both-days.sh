#!/usr/bin/env bash
# In cron a day matches when the day of the month or the day of the week does, if both fields are restricted. cronsim 2.8
# takes every field that begins with `*` for unrestricted, as Debian's cron does: `*/2` and `1-31/2` name the same days of
# the month, and together with a weekday the first means both, the second either.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/python" -m pip install --quiet --disable-pip-version-check cronsim==2.8 2>/dev/null
"$dir/venv/bin/python" - <<'PY'
import sys
from datetime import datetime

from cronsim import CronSim

WANTED = {"0 0 */2 * 1": "Mon 05, Mon 19, Mon 09, Mon 23", "0 0 1-31/2 * 1": "Sat 03, Mon 05, Wed 07, Fri 09"}
print("cronsim 2.8, from 1 January 2026")
found = {}
for cron in WANTED:
    days = CronSim(cron, datetime(2026, 1, 1))
    found[cron] = ", ".join(f"{next(days):%a %d}" for _ in range(4))
    print(f"  {cron:15} {found[cron]}")
sys.exit("This has changed." if found != WANTED else 0)
PY
