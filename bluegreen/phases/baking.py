"""Baking: come by an AMI."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bluegreen.events import Act, Awaited, Phase, Reason, Verb
from bluegreen.observation import Builder, Image
from bluegreen.phases.decision import Decision, Enter, RollBack, Situation
from bluegreen.release import duration

#: Codes with which a command is refused before it is taken: the agent is not known yet, or there were too many calls.
NOT_TAKEN = frozenset({"IncorrectInstanceState", "ThrottlingException"})


def baking(s: Situation) -> Decision:
    """Come by an AMI: given, found, or made on the builder, which is always stopped again."""
    image = s.seen.image
    if image is not None:
        return free_builder(s) or drop_source(s) or _judge_image(s, image)
    if s.release.image_given:
        return RollBack(Reason.IMAGE_FAILED, f"the image {s.release.image} does not exist or is not shared with us")
    if s.phase_age >= s.config.timeouts.bake:
        return RollBack(Reason.BUILD_LATE, f"no image after {duration(s.phase_age)}")
    if s.did(Verb.MAKE_IMAGE):
        return _image_unseen(s)
    return _claim_builder(s) or _build(s)


def _judge_image(s: Situation, image: Image) -> Decision:
    if image.state == "available":
        return Enter(Phase.LAUNCHING, image=image.id)
    if image.state != "pending":
        why = f": {image.reason}" if image.reason else ""
        return RollBack(Reason.IMAGE_FAILED, f"the image {image.id} is {image.state}{why}")
    deadline = s.watched_since + s.config.timeouts.bake
    if s.now >= deadline:
        return RollBack(Reason.BUILD_LATE, f"the image {image.id} is still pending after {duration(s.phase_age)}")
    return s.wait(Awaited.IMAGE, deadline, calm=True)


def _image_unseen(s: Situation) -> Decision:
    if s.fresh(Verb.MAKE_IMAGE):
        return s.wait(Awaited.IMAGE)
    return RollBack(Reason.IMAGE_FAILED, f"the image {s.release.made_image} is gone")


def _claim_builder(s: Situation) -> Decision | None:
    return None if s.did(Verb.CLAIM_BUILDER) else Act(Verb.CLAIM_BUILDER)


def free_builder(s: Situation) -> Decision | None:
    """Let other releases bake, once we need the builder no more."""
    claimed = s.began(Verb.CLAIM_BUILDER) and not s.did(Verb.FREE_BUILDER)
    return Act(Verb.FREE_BUILDER) if claimed else None


def drop_source(s: Situation) -> Decision | None:
    """Once the builder is done with it."""
    return Act(Verb.DROP_SOURCE) if s.release.source_key and not s.over(Verb.DROP_SOURCE) else None


def _build(s: Situation) -> Decision:
    builder = s.seen.builder
    if builder is None or builder.state not in _BUILDER:
        state = "does not exist" if builder is None else f"is {builder.state}"
        return RollBack(Reason.BUILDER_LOST, f"the builder {s.release.builder} {state}")
    return _BUILDER[builder.state](s, builder)


def _builder_stopped(s: Situation, builder: Builder) -> Decision:
    if _built(s, builder):
        return Act(Verb.MAKE_IMAGE)
    failed = _failed_command(builder)
    if failed:
        return failed
    if not s.did(Verb.START_BUILDER):
        return Act(Verb.START_BUILDER)
    if s.fresh(Verb.START_BUILDER):
        return s.wait(Awaited.BUILDER_UP)
    return RollBack(Reason.BUILDER_LOST, f"the builder {builder.id} was stopped before its build was done")


def _builder_running(s: Situation, builder: Builder) -> Decision:
    if not s.began(Verb.START_BUILDER):
        return RollBack(
            Reason.BUILDER_RUNNING, f"the builder {builder.id} is already running, and this release did not start it"
        )
    failed = _failed_command(builder)
    if failed:
        return failed
    if _built(s, builder):
        return s.wait(Awaited.BUILDER_STOPPED) if s.did(Verb.STOP_BUILDER) else Act(Verb.STOP_BUILDER)
    if not builder.online:
        return s.wait(Awaited.BUILDER_UP)
    return _run_commands(s, builder)


def _run_commands(s: Situation, builder: Builder) -> Decision:
    verb, command = Verb.RUN_BUILD, builder.build
    if command is not None and command.state == "succeeded":
        verb, command = Verb.RUN_BUILD_CHECK, builder.check
    if command is not None or s.did(verb) or _may_have_been_sent(s, verb):
        return s.wait(Awaited.BUILD)
    return Act(verb)


def _may_have_been_sent(s: Situation, verb: Verb) -> bool:
    """Begun so lately by a driver that died, or that heard no answer, that AWS may not list it yet."""
    return s.fresh(verb) and not s.not_taken(verb, NOT_TAKEN)


def _builder_moving(s: Situation, builder: Builder) -> Decision:
    waits = Awaited.BUILDER_UP if builder.state == "pending" else Awaited.BUILDER_STOPPED
    return s.wait(waits)


def _built(s: Situation, builder: Builder) -> bool:
    image = s.config.image.builder
    needed = [builder.build] if image is None or not image.check else [builder.build, builder.check]
    return all(command is not None and command.state == "succeeded" for command in needed)


def _failed_command(builder: Builder) -> RollBack | None:
    for what, command in (("build", builder.build), ("check", builder.check)):
        if command is not None and command.state == "failed":
            return RollBack(Reason.BUILD_FAILED, f"the builder's {what} failed: {command.tail or 'it printed nothing'}")
    return None


_BUILDER: Mapping[str, Callable[[Situation, Builder], Decision]] = {
    "stopped": _builder_stopped,
    "pending": _builder_moving,
    "running": _builder_running,
    "stopping": _builder_moving,
}
