"""The builder: the one instance that makes images and is normally stopped."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from bluegreen.aws import commands, sources
from bluegreen.aws.calls import Answer, Calls
from bluegreen.aws.commands import Mask
from bluegreen.aws_errors import code
from bluegreen.config import Config
from bluegreen.errors import AwsError, ConfigError, Refused
from bluegreen.events import Made, Phase, Reason, Verb
from bluegreen.observation import Builder, Command
from bluegreen.release import Release, count_of

BUILD, CHECK = "build", "check"
_GONE = {"shutting-down", "terminated"}

# --- before a release ----------------------------------------------------------------------------


def find(calls: Calls, config: Config) -> str:
    """Id of the builder that the config names; it must be the only one, and stopped."""
    named = config.image.builder
    assert named is not None
    key, value = ("instance", named.instance) if named.instance else ("tag", named.tag)
    where = f"image.builder.{key}"
    instances = _of_id(calls, str(value)) if named.instance else _tagged(calls, str(value))
    if not instances:
        asked = f"instance `{value}`" if named.instance else f"instance with the Name `{value}`"
        raise ConfigError(f"there is no {asked} {calls.place}", where=where, hint="Correct it in bluegreen.yml.")
    if len(instances) > 1:
        ids = ", ".join(sorted(i["InstanceId"] for i in instances))
        hint = "Name the builder by `instance`, or rename the others."
        raise ConfigError(
            f"{count_of(len(instances), 'instance')} have the Name `{value}`: {ids}", where=where, hint=hint
        )
    return _stopped(instances[0], where)


def _stopped(instance: Answer, where: str) -> str:
    id_, state = instance["InstanceId"], instance["State"]["Name"]
    if state != "stopped":
        hint = "bluegreen makes an image only from a builder that nobody else uses: stop it, then release again."
        raise Refused(f"the builder {id_} is {state}", reason=Reason.BUILDER_RUNNING, where=where, hint=hint)
    if instance.get("RootDeviceType") == "instance-store":
        raise ConfigError(f"the builder {id_} cannot be stopped", where=where, hint="Use one with an EBS root volume.")
    return str(id_)


def _of_id(calls: Calls, id_: str) -> list[Answer]:
    """The instance, unless it does not exist or is gone (EC2 API, DescribeInstances)."""
    try:
        answer = calls.ec2.describe_instances(InstanceIds=[id_])
    except ClientError as error:
        if code(error) in ("InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed"):
            return []
        raise
    return [i for i in _instances(answer) if i["State"]["Name"] not in _GONE]


def _tagged(calls: Calls, name: str) -> list[Answer]:
    states = ["pending", "running", "stopping", "stopped"]
    filters = [{"Name": "tag:Name", "Values": [name]}, {"Name": "instance-state-name", "Values": states}]
    pages = calls.ec2.get_paginator("describe_instances").paginate(Filters=filters)
    return [instance for page in pages for instance in _instances(page)]


def _instances(answer: Answer) -> list[Answer]:
    return [instance for reservation in answer["Reservations"] for instance in reservation["Instances"]]


# --- looking -------------------------------------------------------------------------------------


def look(calls: Calls, release: Release, mask: Mask) -> Builder | None:
    """The builder and our commands on it; None when AWS does not show it."""
    state = _state(calls, release.builder)
    if state is None:
        return None
    build, check = (_command(calls, release, verb, mask) for verb in (Verb.RUN_BUILD, Verb.RUN_BUILD_CHECK))
    # A command under way is an agent that answers: one call less in each of many looks.
    busy = any(command is not None and command.state == "running" for command in (build, check))
    online = (
        state == "running"
        and not _is_done(release)
        and (busy or release.builder in commands.online(calls.ssm, [release.builder]))
    )
    return Builder(release.builder, state, online, build, check)


def _is_done(release: Release) -> bool:
    """Whether all commands have succeeded, or a baking release would not stop the builder."""
    return release.phase is Phase.BAKING and Verb.STOP_BUILDER in release.began


def _state(calls: Calls, id_: str) -> str | None:
    try:
        found = _instances(calls.ec2.describe_instances(InstanceIds=[id_]))
    except ClientError as error:
        if code(error).startswith("InvalidInstanceID"):
            return None
        raise
    return str(found[0]["State"]["Name"]) if found else None


def _command(calls: Calls, release: Release, verb: Verb, mask: Mask) -> Command | None:
    """The command that the act sent, by its recorded id, whatever else the builder runs; None before it is recorded."""
    did = release.made(verb)
    if did is None:
        return None
    id_ = did.command
    if _is_done(release) or (verb is Verb.RUN_BUILD and Verb.RUN_BUILD_CHECK in release.began):
        return Command(id_, "succeeded")  # or what comes after it would not have begun
    return commands.look(calls, id_, release.builder, mask)


# --- acting --------------------------------------------------------------------------------------


def start(calls: Calls, release: Release) -> Made:
    """Start the builder; one that runs or comes up already is left so."""
    state = _state(calls, release.builder)
    if state == "stopping":
        raise _not_now("StartInstances", f"the builder {release.builder} is still stopping", passing=True)
    if state not in ("pending", "running"):
        calls.ec2.start_instances(InstanceIds=[release.builder])
    return {"builder": release.builder}


def stop(calls: Calls, release: Release) -> Made:
    """Stop the builder; one that is stopped, stopping or gone is left so."""
    if _state(calls, release.builder) in ("pending", "running"):
        calls.ec2.stop_instances(InstanceIds=[release.builder])
    return {"builder": release.builder}


def build(calls: Calls, release: Release, config: Config) -> Made:
    """Send the config's `run` to the builder, unless it was sent already."""
    named = config.image.builder
    assert named is not None
    return _once(calls, release, config, BUILD, named.run)


def check(calls: Calls, release: Release, config: Config) -> Made:
    """Send the config's `check` to the builder, unless it was sent already."""
    named = config.image.builder
    assert named is not None and named.check is not None
    return _once(calls, release, config, CHECK, named.check)


def _once(calls: Calls, release: Release, config: Config, what: str, script: str) -> Made:
    since, seconds = release.entered[Phase.BAKING], config.timeouts.bake
    more = {"BLUEGREEN_SOURCE_URL": sources.url(calls, release, config)} if release.source_key else {}
    text = commands.script(release, script, more=more)
    return {"command": commands.send_once(calls, release, release.builder, what, text, since=since, seconds=seconds)}


def must_be_stopped(calls: Calls, release: Release) -> None:
    """An image of a running builder would hold half-written files, or reboot it."""
    state = _state(calls, release.builder)
    if state != "stopped":
        what = f"the builder {release.builder} is {state or 'gone'}, not stopped"
        raise _not_now("CreateImage", what, passing=state == "stopping")


def _not_now(operation: str, what: str, **kind: Any) -> AwsError:
    return AwsError(what, code="IncorrectInstanceState", operation=operation, transient=kind["passing"])
