"""SSM Run Command: scripts on instances, seen late and ending late, as in life."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from lab.aws.direct import Params
from lab.aws.ec2 import Handler
from lab.aws.engine import CommandInvocation, FakeCommand, Timeline, page
from lab.aws.wire import ErrorAnswer
from lab.machines import Result

OUTPUT_LIMIT = 24_000
"""Characters of output that GetCommandInvocation gives (botocore's model); ListCommandInvocations gives 2,500."""
FINAL = ("Success", "Failed", "TimedOut", "Cancelled")


class SsmCommands:
    """The part of SSM that runs scripts."""

    def __init__(self, engine: Timeline) -> None:
        """Work on the engine's state."""
        self.engine = engine
        self._running: dict[tuple[str, str], Callable[[], Result | None]] = {}

    def operations(self) -> dict[str, Handler]:
        """What of SSM is answered here; parameters are moto's."""
        return {
            "SendCommand": self.send_command,
            "ListCommands": self.list_commands,
            "ListCommandInvocations": self.list_command_invocations,
            "GetCommandInvocation": self.get_command_invocation,
            "CancelCommand": self.cancel_command,
            "DescribeInstanceInformation": self.describe_instance_information,
        }

    def send_command(self, params: Params) -> Params:
        """Send a script. InvalidInstanceId unless every instance's agent is online."""
        ids = list(dict.fromkeys(params.get("InstanceIds") or []))
        if len(ids) > 50 or len(params.get("Comment") or "") > 100:
            raise ErrorAnswer("ValidationException", "InstanceIds takes up to 50 members, Comment up to 100 characters")
        if params["DocumentName"] != "AWS-RunShellScript":
            raise ErrorAnswer("InvalidDocument", f"Document with name {params['DocumentName']} does not exist.")
        if not ids or not all(self._online(one) for one in ids):
            raise ErrorAnswer("InvalidInstanceId", f"Instances {ids} not in a valid state for account")
        command = FakeCommand(self.engine.new_id("cmd")[4:].rjust(36, "0"), self.engine.now, params)
        self.engine.state.commands[command.id] = command
        for one in ids:
            command.invocations[one] = CommandInvocation(command.id, one, self.engine.now)
            self.engine.after(self.engine.timings.send, self._begin, command.id, one)
        return {"Command": self._show(command)}

    def list_commands(self, params: Params) -> Params:
        """Commands, newest first, by id, instance and filters (InvokedAfter, InvokedBefore, Status, DocumentName)."""
        commands = [c for c in reversed(self.engine.state.commands.values()) if self._listed(c, params)]
        shown, more = page(commands, params, "MaxResults", 50, 50, "ValidationException")
        return {"Commands": [self._show(command) for command in shown], **more}

    def list_command_invocations(self, params: Params) -> Params:
        """Invocations, with a short output if Details are asked for."""
        commands = [c for c in reversed(self.engine.state.commands.values()) if self._listed(c, params)]
        wanted = params.get("InstanceId")
        rows = [(c, i) for c in commands for i in c.invocations.values() if wanted in (None, i.instance)]
        rows = [(c, i) for c, i in rows if self._visible(c)]
        shown, more = page(rows, params, "MaxResults", 50, 50, "ValidationException")
        details = bool(params.get("Details"))
        return {"CommandInvocations": [_listed_invocation(c, i, details) for c, i in shown], **more}

    def get_command_invocation(self, params: Params) -> Params:
        """One invocation. InvocationDoesNotExist just after sending, as AWS does."""
        command = self.engine.state.commands.get(params["CommandId"])
        invocation = command.invocations.get(params["InstanceId"]) if command else None
        if command is None or invocation is None or not self._visible(command):
            raise ErrorAnswer("InvocationDoesNotExist", "")
        return {
            "CommandId": command.id,
            "InstanceId": invocation.instance,
            "Comment": command.params.get("Comment", ""),
            "DocumentName": "AWS-RunShellScript",
            "PluginName": "aws:runShellScript",
            "ResponseCode": invocation.exit_code,
            "ExecutionStartDateTime": _iso(invocation.began),
            "ExecutionEndDateTime": _iso(invocation.ended),
            "Status": invocation.status,
            "StatusDetails": _details(invocation),
            "StandardOutputContent": invocation.output[:OUTPUT_LIMIT],
            "StandardErrorContent": invocation.error,
        }

    def cancel_command(self, params: Params) -> Params:
        """Cancel what has not ended."""
        command = self.engine.state.commands.get(params["CommandId"])
        if command is None:
            raise ErrorAnswer("InvalidCommandId", "")
        wanted = params.get("InstanceIds") or list(command.invocations)
        for invocation in command.invocations.values():
            if invocation.instance in wanted and invocation.status not in FINAL:
                self._end(invocation, "Cancelled")
        return {}

    def describe_instance_information(self, params: Params) -> Params:
        """The agents: online `ssm` seconds after the machine has booted, else ConnectionLost or not there at all."""
        wanted = self._wanted(params)
        instances = [i for i in self.engine.state.instances.values() if wanted is None or i.id in wanted]
        rows = [self._agent(i.id) for i in instances if self._online(i.id) or i.heard is not None]
        shown, more = page(rows, params, "MaxResults", 50, 50, "ValidationException")
        return {"InstanceInformationList": shown, **more}

    def _wanted(self, params: Params) -> set[str] | None:
        filters = params.get("Filters") or []
        named = [f["Values"] for f in filters if f.get("Key") == "InstanceIds"]
        named += [f["valueSet"] for f in params.get("InstanceInformationFilterList") or [] if f["key"] == "InstanceIds"]
        return set.intersection(*map(set, named)) if named else None

    def _agent(self, instance_id: str) -> Params:
        instance, online = self.engine.state.instances[instance_id], self._online(instance_id)
        return {
            "InstanceId": instance_id,
            "PingStatus": "Online" if online else "ConnectionLost",
            "LastPingDateTime": self.engine.now if online else instance.heard,
            "AgentVersion": "3.3.0.0",
            "PlatformType": "Linux",
            "PlatformName": "Amazon Linux",
            "ResourceType": "EC2Instance",
            "IPAddress": instance.address,
        }

    def _agent_up(self, booted: float) -> bool:
        return self.engine.now >= booted + self.engine.timings.ssm

    def _online(self, instance_id: str) -> bool:
        instance = self.engine.state.instances.get(instance_id)
        up = bool(instance and instance.booted is not None and self._agent_up(instance.booted))
        return up and not self.engine.faults.agent_failure(instance_id)

    def _visible(self, command: FakeCommand) -> bool:
        return self.engine.now >= command.sent + self.engine.timings.send

    def _listed(self, command: FakeCommand, params: Params) -> bool:
        instance = params.get("InstanceId")
        if params.get("CommandId", command.id) != command.id or (instance and instance not in command.invocations):
            return False
        return all(_passes(command, rule["key"], rule["value"]) for rule in params.get("Filters") or [])

    def _show(self, command: FakeCommand) -> Params:
        known = ("DocumentName", "Comment", "InstanceIds", "Parameters", "TimeoutSeconds")
        ended = [i for i in command.invocations.values() if i.status in FINAL]
        return {
            **{key: command.params[key] for key in known if key in command.params},
            "CommandId": command.id,
            "RequestedDateTime": command.sent,
            "Status": _overall(command),
            "StatusDetails": _overall(command),
            "TargetCount": len(command.invocations),
            "CompletedCount": len(ended),
            "ErrorCount": sum(1 for i in ended if i.status != "Success"),
        }

    def _begin(self, command_id: str, instance_id: str) -> None:
        command = self.engine.state.commands[command_id]
        invocation = command.invocations[instance_id]
        if invocation.status != "Pending":
            return
        if not self._online(instance_id):  # it went away between sending and delivery
            self.engine.after(float(command.params.get("TimeoutSeconds") or 3600), self._undelivered, invocation)
            return
        invocation.status, invocation.began = "InProgress", self.engine.now
        self._running[command_id, instance_id] = self.engine.machines.submit(instance_id, _script(command.params))
        rest = max(0.0, self.engine.timings.command - self.engine.timings.send)
        self.engine.after(rest, self._look, command_id, instance_id)

    def _look(self, command_id: str, instance_id: str) -> None:
        """Has the script ended? If not, look again later, unless it has had its time."""
        command = self.engine.state.commands[command_id]
        invocation = command.invocations[instance_id]
        if invocation.status != "InProgress" or invocation.began is None:
            return
        result = self._running[command_id, instance_id]()
        if result is not None:
            invocation.exit_code, invocation.output = result.exit_code, result.output
            self._end(invocation, "Failed" if result.exit_code else "Success")
        elif self.engine.now - invocation.began >= _limit(command.params):
            self._end(invocation, "TimedOut")
        else:
            self.engine.after(self.engine.timings.poll, self._look, command_id, instance_id)

    def _undelivered(self, invocation: CommandInvocation) -> None:
        if invocation.status == "Pending":
            self._end(invocation, "TimedOut")

    def _end(self, invocation: CommandInvocation, status: str) -> None:
        invocation.status, invocation.ended = status, self.engine.now
        self._running.pop((invocation.command, invocation.instance), None)


def _script(params: Params) -> str:
    parameters = params.get("Parameters") or {}
    folder = (parameters.get("workingDirectory") or [""])[0]
    lines = [f"cd {folder}"] if folder else []
    return "\n".join([*lines, *parameters.get("commands", [])])


def _limit(params: Params) -> float:
    return float((params.get("Parameters") or {}).get("executionTimeout", ["3600"])[0])


def _passes(command: FakeCommand, key: str, value: str) -> bool:
    if key in ("InvokedAfter", "InvokedBefore"):
        when = datetime.fromisoformat(value).timestamp()
        return command.sent >= when if key == "InvokedAfter" else command.sent < when
    return value == {"Status": _overall(command), "DocumentName": command.params["DocumentName"]}.get(key)


def _overall(command: FakeCommand) -> str:
    states = [invocation.status for invocation in command.invocations.values()]
    if "Pending" in states or "InProgress" in states:
        return "InProgress" if "InProgress" in states else "Pending"
    return next((state for state in ("Failed", "TimedOut", "Cancelled") if state in states), "Success")


def _details(invocation: CommandInvocation) -> str:
    if invocation.status != "TimedOut":
        return invocation.status
    return "DeliveryTimedOut" if invocation.began is None else "ExecutionTimedOut"


def _listed_invocation(command: FakeCommand, invocation: CommandInvocation, details: bool) -> Params:
    plugin = {
        "Name": "aws:runShellScript",
        "Status": invocation.status,
        "ResponseCode": invocation.exit_code,
        "Output": invocation.output[:2500],
    }
    return {
        "CommandId": command.id,
        "InstanceId": invocation.instance,
        "Comment": command.params.get("Comment", ""),
        "DocumentName": "AWS-RunShellScript",
        "RequestedDateTime": command.sent,
        "Status": invocation.status,
        "StatusDetails": _details(invocation),
        "CommandPlugins": [plugin] if details else [],
    }


def _iso(when: float | None) -> str:
    return "" if when is None else datetime.fromtimestamp(when, UTC).isoformat()
