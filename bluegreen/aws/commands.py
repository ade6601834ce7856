"""SSM Run Command: the scripts that bluegreen sends to instances, found again by their comment, and what they printed.

The builder's commands, `run` checks and hooks are sent here.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from botocore.exceptions import ClientError

from bluegreen.aws.calls import Answer, Calls
from bluegreen.aws_errors import code
from bluegreen.config import LONGEST_HOOK
from bluegreen.errors import AwsError
from bluegreen.events import DELIVERY
from bluegreen.observation import Command
from bluegreen.release import Release, second_of

Mask = Callable[[str], str]

SHELL = "AWS-RunShellScript"
TAIL_LINES = 20
#: What SSM takes at most as a comment (Systems Manager API, SendCommand).
COMMENT_MAX = 100
#: So many seconds AWS's clock and ours may differ at most; AWS refuses calls that come with more.
SKEW = 900.0
#: SSM's states of an invocation, in our words (Systems Manager API, ListCommandInvocations).
STATES = {"Pending": "pending", "Delayed": "pending", "InProgress": "running", "Cancelling": "running"}
#: As much of the end of the output is printed, in bytes: what SSM then shows whole, and of a listed invocation.
KEPT, KEPT_LISTED = 20_000, 2_300
#: Characters that SSM shows of an output and of its errors, and of both in a listed invocation (GetCommandInvocation,
#: CommandPlugin: Output).
SHOWN, SHOWN_ERRORS, SHOWN_LISTED = 24_000, 8_000, 2_500
#: The first line of an output whose beginning the script left out.
CUT = "[bluegreen: the beginning of the output is left out]"
#: In place of the rest of a line: of a secret in it nobody could tell any more that it is one.
LEFT_OUT = "…"
#: How SSM's agent ends what it cut, amid a line (amazon-ssm-agent, pluginutil).
_TRUNCATED = re.compile(r"\n?(?<!-)-{2,9}(?:Output|Error) truncated-{2,9}", re.IGNORECASE)
END = "BLUEGREEN_END_OF_SCRIPT"
_SCRIPT = """\
set -e
{exports}
bluegreen=$(mktemp -d)
trap 'rm -rf "$bluegreen"' EXIT
cat >"$bluegreen/script" <<'{end}'
{commands}
{end}
ended=0
{shell} "$bluegreen/script" >"$bluegreen/output" 2>&1 || ended=$?
if [ "$(wc -c <"$bluegreen/output")" -gt {kept} ]; then
  echo '{cut}'
  tail -c {kept} "$bluegreen/output" | tail -n +2
else
  cat "$bluegreen/output"
fi
exit $ended
"""


# --- looking -------------------------------------------------------------------------------------


def look(calls: Calls, id_: str, instance: str, mask: Mask) -> Command:
    """The command on the instance; SSM takes it, and lists it some seconds later."""
    shown = _invocation(calls, id_, instance)
    if shown is None:
        return Command(id_, "pending")
    state = STATES.get(shown["Status"], "succeeded" if shown["Status"] == "Success" else "failed")
    return Command(id_, state, _end_of(calls, shown, mask) if state == "failed" else "")


def _invocation(calls: Calls, command: str, instance: str) -> Answer | None:
    pages = calls.ssm.get_paginator("list_command_invocations")
    shown = pages.paginate(CommandId=command, InstanceId=instance, Details=True)
    return next((one for page in shown for one in page["CommandInvocations"]), None)


def _end_of(calls: Calls, invocation: Answer, mask: Mask) -> str:
    """The last lines of both outputs, masked: a build fails at its end, which a listed invocation may not hold."""
    asked = {"CommandId": invocation["CommandId"], "InstanceId": invocation["InstanceId"]}
    try:
        shown = calls.ssm.get_command_invocation(**asked)
    except ClientError as error:
        if code(error) != "InvocationDoesNotExist":
            raise
        return tail(invocation, mask)
    outputs = (("StandardOutputContent", SHOWN), ("StandardErrorContent", SHOWN_ERRORS))
    printed = "\n".join(whole_lines(shown.get(key, ""), limit) for key, limit in outputs)
    return last_lines(mask(printed), TAIL_LINES) or tail(invocation, mask)


def tail(invocation: Answer, mask: Mask, lines: int = TAIL_LINES) -> str:
    """The last lines that a listed invocation printed, masked; when it printed nothing, what SSM says of its end."""
    outputs = (plugin.get("Output", "") for plugin in invocation.get("CommandPlugins", []))
    printed = "\n".join(whole_lines(output, SHOWN_LISTED) for output in outputs)
    silent = "" if invocation["Status"] == "Success" else invocation.get("StatusDetails") or invocation["Status"]
    return last_lines(mask(printed), lines) or silent


def whole_lines(printed: str, limit: int) -> str:
    """What SSM shows, which it cuts at `limit`, without the lines of which only a part is there."""
    *cut, rest = _TRUNCATED.split(printed)
    lines = [line for part in cut for line in (*part.split("\n")[:-1], LEFT_OUT)] + rest.split("\n")
    size = len(printed.encode())
    if size >= limit:
        lines[-1] = LEFT_OUT
    if size >= min(limit, KEPT) and lines[0] != CUT:  # a script of an earlier version does not say what it left out
        lines[0] = LEFT_OUT
    return "\n".join(lines)


def last_lines(printed: str, lines: int) -> str:
    """The last lines that are not empty."""
    return "\n".join([line.rstrip() for line in printed.splitlines() if line.strip()][-lines:])


# --- sending -------------------------------------------------------------------------------------


def comment(release: Release, what: str) -> str:
    """The comment by which any driver finds our commands; if it is too long, the release's id is cut."""
    end = f" {release.token} {what}" if release.token else f" {what}"
    return f"{release.id[: max(COMMENT_MAX - len(end), 0)]}{end}"


def send_once(
    calls: Calls, release: Release, instance: str, what: str, text: str, *, since: float, seconds: float
) -> str:
    """Send the script to the instance, unless that was done since then (epoch seconds); the command's id.

    A driver that died, or heard no answer, may have sent it. `what` names it in its comment; it runs for so many
    `seconds` at most.
    """
    known = find(calls, release, instance, what, since=since)
    return known or send(calls.once, [instance], comment(release, what), text, seconds)


def find(calls: Calls, release: Release, instance: str, what: str, *, since: float) -> str:
    """Id of the command that was sent to the instance since then (epoch seconds), the first one; "" without one."""
    known = sent(calls, instance, comment(release, what), since=since)
    return str(known[-1]["CommandId"]) if known else ""


def sent(calls: Calls, instance: str, said: str, *, since: float) -> list[Answer]:
    """Commands with this comment that the instance got since then (epoch seconds), newest first.

    Commands are listed at once, their invocations only some seconds later; and other people's may fill the first
    pages (Systems Manager API, ListCommands: 50 a page).
    """
    after = second_of(since - SKEW).strftime("%Y-%m-%dT%H:%M:%SZ")
    asked = {"InstanceId": instance, "Filters": [{"key": "InvokedAfter", "value": after}]}
    pages = calls.ssm.get_paginator("list_commands").paginate(**asked)
    found = [command for page in pages for command in page["Commands"] if command.get("Comment") == said]
    return sorted(found, key=lambda command: str(command["RequestedDateTime"]), reverse=True)


def send(ssm: Any, ids: list[str], said: str, text: str, seconds: float) -> str:
    """Send a shell script to up to 50 instances with this client; the command's id (SSM API, SendCommand).

    UnreachableError when SSM does not reach some of them: then it was sent to nobody.
    """
    parameters = {"commands": [text], "executionTimeout": [str(min(max(int(seconds), 1), int(LONGEST_HOOK)))]}
    try:
        answer = ssm.send_command(
            InstanceIds=ids,
            DocumentName=SHELL,
            Comment=said,
            Parameters=parameters,
            TimeoutSeconds=DELIVERY,
            # The defaults are 50 at a time, and nothing more is sent after one failure: we want every answer.
            MaxConcurrency="100%",
            MaxErrors="100%",
        )
    except ClientError as error:
        if code(error) != "InvalidInstanceId":
            raise
        raise UnreachableError(_unreached(ssm, ids)) from error
    return str(answer["Command"]["CommandId"])


class UnreachableError(AwsError):
    """SSM does not reach `ids`: agent or role are missing, or offline. InvalidInstanceId itself names all instances."""

    def __init__(self, ids: list[str]) -> None:
        what = f"SSM does not reach {', '.join(ids)}: its agent is not online there"
        super().__init__(what, code="InvalidInstanceId", operation="SendCommand", transient=True)
        self.ids = ids


def _unreached(ssm: Any, ids: list[str]) -> list[str]:
    """Those of the instances whose agent is not online; all of them when each is by now."""
    reached = online(ssm, ids)
    return [id_ for id_ in ids if id_ not in reached] or ids


def online(ssm: Any, ids: list[str]) -> frozenset[str]:
    """Those of the instances, 100 at most, whose agent answers."""
    return frozenset(id_ for id_, agent in agents(ssm, ids).items() if agent["PingStatus"] == "Online")


def agents(ssm: Any, ids: list[str]) -> dict[str, Answer]:
    """The agent of each of the instances, 100 at most, that was ever heard (SSM API, DescribeInstanceInformation).

    Of a stopped instance it stays listed, with its connection lost.
    """
    filters = [{"Key": "InstanceIds", "Values": ids}]
    pages = ssm.get_paginator("describe_instance_information").paginate(Filters=filters)
    return {agent["InstanceId"]: agent for page in pages for agent in page["InstanceInformationList"]}


def script(release: Release, commands: str, kept: int = KEPT, more: Mapping[str, str] = MappingProxyType({})) -> str:
    """The commands with their environment and `more` of it, in a shell of their own that stops at the first failure.

    SSM keeps the beginning of what is printed, and a build fails at its end: so this prints the end, in complete
    lines of at most `kept` bytes.
    """
    variables = {
        "BLUEGREEN_COMMIT": release.commit,
        "BLUEGREEN_SERVICE": release.service,
        "BLUEGREEN_RELEASE": release.id,
        **more,
    }
    exports = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())
    body = commands.rstrip("\n")
    return _SCRIPT.format(exports=exports, commands=body, end=END, shell=_shell(commands), kept=kept, cut=CUT)


def _shell(commands: str) -> str:
    """What reads the script: the interpreter of its `#!` line, else the shell."""
    first = commands.partition("\n")[0]
    if not first.startswith("#!"):
        return "/bin/sh -e"
    named = first.removeprefix("#!").strip()
    return f"{named} -e" if named.endswith("sh") else named
