"""Hooks: a script that runs once in a release, on one instance of green, found again by its comment."""

from __future__ import annotations

from bluegreen.aws import commands
from bluegreen.aws.calls import Calls
from bluegreen.aws.commands import Mask
from bluegreen.config import Config
from bluegreen.events import HOOKS, Act, Made, Phase, Verb
from bluegreen.observation import Command
from bluegreen.release import Release

#: The phase in which an act sends its hook.
_SENT_IN = {Verb.RUN_BEFORE_SWITCH: Phase.LAUNCHING, Verb.RUN_AFTER_LIVE: Phase.RETIRING}


def run(calls: Calls, release: Release, config: Config, act: Act) -> Made:
    """Send the hook to the instance that the act names, unless it was sent there already."""
    hook, (instance,), what = config.hooks.named(HOOKS[act.verb]), act.instances, _name(act.verb)
    assert hook is not None
    since, seconds = release.entered[_SENT_IN[act.verb]], hook.timeout
    text = commands.script(release, hook.run)
    return {"command": commands.send_once(calls, release, instance, what, text, since=since, seconds=seconds)}


def look(calls: Calls, release: Release, verb: Verb, mask: Mask) -> Command | None:
    """How the hook fares; None when it was not sent, as far as AWS shows."""
    act, made = release.act(verb), release.made(verb)
    if act is None:
        return None
    (instance,), since = act.instances, release.entered[_SENT_IN[verb]]
    id_ = made.command if made else commands.find(calls, release, instance, _name(verb), since=since)
    return commands.look(calls, id_, instance, mask) if id_ else None


def _name(verb: Verb) -> str:
    """What names it in its comment."""
    return f"hook {HOOKS[verb]}"
