"""Hooks: commands of the configuration that run once in a release, on one instance of green.

Nobody knows whether a command may run twice: one that may have run is looked for, and never sent again elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bluegreen.events import DELIVERY, HOOKS, Act, Awaited, Phase, Reason, Verb
from bluegreen.phases.baking import NOT_TAKEN
from bluegreen.phases.decision import GRACE, RollBack, Situation, Wait
from bluegreen.release import Release, duration

if TYPE_CHECKING:
    from bluegreen.config import Config, HookConfig

#: Codes with which SSM takes no command: it reaches the instance not at all, or there were too many calls.
_REFUSED = NOT_TAKEN | {"InvalidInstanceId"}


def skipped_hooks(release: Release, config: Config) -> tuple[str, ...]:
    """Keys of the hooks that the release does not run: at size 0 there is nowhere, and an earlier image had them."""
    if not (release.idle or release.goes_back):
        return ()
    return tuple(name for name in HOOKS.values() if config.hooks.named(name))


def before_switch(s: Situation) -> Act | Wait | RollBack | None:
    """Run it before green gets any traffic; if it fails, return to blue."""
    step = _step(s, Verb.RUN_BEFORE_SWITCH)
    return RollBack(Reason.HOOK_FAILED, step) if isinstance(step, str) else step


def under_way(s: Situation) -> Act | Wait | RollBack | None:
    """The same once it was begun: while it runs, nothing else is decided about green."""
    return before_switch(s) if s.began(Verb.RUN_BEFORE_SWITCH) else None


def after_live(s: Situation) -> Act | Wait | None:
    """Run it once blue is gone; if it fails, `failure` says so."""
    step = None if Verb.RUN_AFTER_LIVE in s.release.gave_up else _step(s, Verb.RUN_AFTER_LIVE)
    return None if isinstance(step, str) else step


def failure(s: Situation) -> str:
    """What the last event tells of an `after_live` that failed; "" without one."""
    refused = s.release.gave_up.get(Verb.RUN_AFTER_LIVE)
    if refused is not None:
        return f"the hook after_live could not be run: {refused.rstrip('.')}"
    step = _step(s, Verb.RUN_AFTER_LIVE)
    return step if isinstance(step, str) else ""


def still_runs(s: Situation) -> Wait | None:
    """A green that goes is left alone until its hook has ended: half a migration may be worse than a complete one."""
    verb = Verb.RUN_BEFORE_SWITCH
    hook, command = s.config.hooks.named(HOOKS[verb]), s.seen.hook
    ended = command is not None and command.state in ("succeeded", "failed")
    if s.release.left is not Phase.LAUNCHING or hook is None or not s.began(verb) or ended or _gone(s, verb):
        return None
    if command is None and not s.fresh(verb):
        return None
    ends = s.release.began[verb].at + hook.timeout + DELIVERY + GRACE
    return s.wait(Awaited.HOOK, ends) if s.now < ends else None


def time_for(s: Situation) -> float:
    """When what the hook may take is over, epoch seconds; 0 before it was begun."""
    verb = Verb.RUN_BEFORE_SWITCH
    hook = s.config.hooks.named(HOOKS[verb])
    return s.release.began[verb].at + hook.timeout if hook and s.began(verb) else 0.0


def _step(s: Situation, verb: Verb) -> Act | Wait | str | None:
    """What to do next; in words why it failed; None when there is nothing to do."""
    hook = s.config.hooks.named(HOOKS[verb])
    if hook is None or HOOKS[verb] in skipped_hooks(s.release, s.config):
        return None
    return _sent(s, verb, hook) if s.did(verb) else _to_send(s, verb)


def _sent(s: Situation, verb: Verb, hook: HookConfig) -> Wait | str | None:
    command = s.seen.hook
    where = f"the hook {HOOKS[verb]} on {instance_of(s.release, verb)}"
    if command is not None and command.state == "succeeded":
        return None
    if command is not None and command.state == "failed":
        return f"{where} failed: {command.tail or 'it printed nothing'}"
    if _gone(s, verb):
        return f"{where} did not end: the instance is gone"
    ends = s.release.did[verb].at + hook.timeout + DELIVERY + GRACE
    if s.now >= ends:
        return f"{where} did not end within {duration(hook.timeout)}"
    return s.wait(Awaited.HOOK, ends)


def _to_send(s: Situation, verb: Verb) -> Act | Wait | str:
    """On whom it may have been begun already; else on anyone in service."""
    up = sorted(s.seen.green.in_service) if s.seen.green else []
    if _may_run(s, verb):
        if _gone(s, verb):
            return f"the hook {HOOKS[verb]} may have run on {instance_of(s.release, verb)}, which is gone"
        hidden = s.seen.hook is None and s.fresh(verb)
        return s.wait(Awaited.HOOK) if hidden else Act(verb, instances=(instance_of(s.release, verb),))
    if not up:
        return f"the hook {HOOKS[verb]} found no instance of green in service"
    if s.seen.agents is not None and not s.seen.agents:
        return _no_agent(s, verb)
    up = [id_ for id_ in up if s.seen.agents is None or id_ in s.seen.agents] or up
    before = instance_of(s.release, verb)
    return Act(verb, instances=(next((id_ for id_ in up if id_ > before), up[0]),))


def _no_agent(s: Situation, verb: Verb) -> Wait | str:
    """An instance is in service before its agent answers."""
    ends = max(s.watched_since, s.release.did[Verb.ATTACH_GREEN].at) + s.config.timeouts.healthy
    if s.now < ends:
        return s.wait(Awaited.AGENT, ends)
    return f"the hook {HOOKS[verb]} could not be sent: SSM reaches no instance of green"


def instance_of(release: Release, verb: Verb) -> str:
    """Id of the instance on which the hook was begun; "" before that."""
    act = release.act(verb)
    return act.instances[0] if act and act.instances else ""


def _may_run(s: Situation, verb: Verb) -> bool:
    """Begun by a driver that died or heard no answer: only some refusals are sure."""
    return s.began(verb) and not s.did(verb) and not s.not_taken(verb, _REFUSED)


def _gone(s: Situation, verb: Verb) -> bool:
    """Whether green does not show the instance any more."""
    green = s.seen.green
    return green is None or instance_of(s.release, verb) not in {one.id for one in green.instances}
