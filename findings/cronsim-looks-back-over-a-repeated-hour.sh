#!/usr/bin/env bash
# cronsim 2.8, looking back from within the hour that comes twice when clocks are set back, passes over what began in the
# first of the two: it compares the clock on the wall. 02:30 summer time was forty minutes ago, and the day before is told.
# Looking forward it tells of the same 02:30.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/python" -m pip install --quiet --disable-pip-version-check cronsim==2.8 tzdata==2025.2 2>/dev/null
"$dir/venv/bin/python" - <<'PY'
import sys
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from cronsim import CronSim

BERLIN = ZoneInfo("Europe/Berlin")  # clocks go back at 01:00 UTC on 25 October 2026
now = datetime(2026, 10, 25, 1, 10, tzinfo=timezone.utc).astimezone(BERLIN)
back = next(CronSim("30 2 * * *", now, reverse=True)).astimezone(timezone.utc)
forward = next(CronSim("30 2 * * *", now - timedelta(hours=3))).astimezone(timezone.utc)
print("cronsim 2.8, `30 2 * * *` in Europe/Berlin, now 2026-10-25 01:10 UTC")
print(f"  forward from an earlier time: {forward:%Y-%m-%d %H:%M} UTC")
print(f"  the last one, looking back:   {back:%Y-%m-%d %H:%M} UTC")
changed = (f"{forward:%d %H:%M}", f"{back:%d %H:%M}") != ("25 00:30", "24 00:30")
sys.exit("This has changed." if changed else 0)
PY
