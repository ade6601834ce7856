"""Hooks: a script that runs once in a release, on one instance of green, found again by its comment."""

from __future__ import annotations

from bluegreen.aws import commands
from bluegreen.aws.calls import Calls
from bluegreen.aws.commands import Mask
from bluegreen.config import Config, HookConfig
from bluegreen.events import Act, Made, Phase, Verb
from bluegreen.observation import Command
from bluegreen.release import Release

#: The act that sends a hook -> what names it in its comment, and the phase in which it is sent.
_HOOKS = {
    Verb.RUN_BEFORE_SWITCH: ("hook before_switch", Phase.LAUNCHING),
    Verb.RUN_AFTER_LIVE: ("hook after_live", Phase.RETIRING),
}


def run(calls: Calls, release: Release, config: Config, act: Act) -> Made:
    """Send the hook to the instance that the act names, unless it was sent there already."""
    hook, (instance,), (what, phase) = _configured(config, act.verb), act.instances, _HOOKS[act.verb]
    since, seconds = release.entered[phase], hook.timeout
    text = commands.script(release, hook.run)
    return {"command": commands.send_once(calls, release, instance, what, text, since=since, seconds=seconds)}


def look(calls: Calls, release: Release, verb: Verb, mask: Mask) -> Command | None:
    """How the hook fares; None when it was not sent, as far as AWS shows."""
    act, made = release.act(verb), release.made(verb)
    if act is None:
        return None
    (instance,), (what, phase) = act.instances, _HOOKS[verb]
    id_ = made.command if made else commands.find(calls, release, instance, what, since=release.entered[phase])
    return commands.look(calls, id_, instance, mask) if id_ else None


def _configured(config: Config, verb: Verb) -> HookConfig:
    hook = config.hooks.before_switch if verb is Verb.RUN_BEFORE_SWITCH else config.hooks.after_live
    assert hook is not None
    return hook
