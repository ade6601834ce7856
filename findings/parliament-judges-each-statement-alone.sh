#!/usr/bin/env bash
# EC2's CreateImage needs permission for an instance, an image and its snapshots. A policy that asks for another tag of the
# instance than of what is made must say so in two statements. parliament 1.6.4 judges each statement alone: it reports
# RESOURCE_MISMATCH for both, and nothing for the one wide statement that allows more. It does not import beside setuptools
# 82 or later either, which have no pkg_resources.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
pip=("$dir/venv/bin/python" -m pip install --quiet --disable-pip-version-check)
"${pip[@]}" parliament==1.6.4 setuptools==84.2.1 2>/dev/null
newer=$("$dir/venv/bin/python" -c "import parliament" 2>&1 | tail -n 1 || true)
"${pip[@]}" setuptools==80.9.0 2>/dev/null
NEWER="$newer" "$dir/venv/bin/python" -W ignore - <<'PY'
import json
import os
import sys

from parliament import analyze_policy_string

MADE = ["arn:aws:ec2:*::image/*", "arn:aws:ec2:*::snapshot/*"]
BUILDER = "arn:aws:ec2:*:123456789012:instance/*"


def statement(resources, **condition):
    shown = {"Effect": "Allow", "Action": "ec2:CreateImage", "Resource": resources}
    return {**shown, "Condition": {"StringEquals": condition}} if condition else shown


def issues(*statements):
    policy = {"Version": "2012-10-17", "Statement": list(statements)}
    return sorted(finding.issue for finding in analyze_policy_string(json.dumps(policy)).findings)


narrow = [
    statement(BUILDER, **{"aws:ResourceTag/Name": "builder"}),
    statement(MADE, **{"aws:RequestTag/service": "web"}),
]
found = [os.environ["NEWER"], issues(*narrow), issues(statement([BUILDER, *MADE]))]
print("parliament 1.6.4, imported beside setuptools 84.2.1:", found[0])
print("  CreateImage in two statements, each with its condition:", found[1])
print("  CreateImage in one statement without a condition:      ", found[2])
WANTED = ["ModuleNotFoundError: No module named 'pkg_resources'", ["RESOURCE_MISMATCH"] * 2, []]
sys.exit("This has changed." if found != WANTED else 0)
PY
