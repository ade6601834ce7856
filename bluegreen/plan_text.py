"""A plan in words: every step in order, and what a rollback would do in each phase."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from bluegreen import costs, entry_points, wording
from bluegreen.engine import Plan
from bluegreen.events import TERMINATING, Phase
from bluegreen.observation import Verdict
from bluegreen.release import Release, count_of, duration

if TYPE_CHECKING:
    from bluegreen.dry_run import Step
    from bluegreen.observation import Delays

_LABELS = {Verdict.REFUSED: "refused", Verdict.WARNED: "warning", Verdict.NOTED: "noted"}


def lines(plan: Plan) -> Iterator[str]:
    """The plan for people."""
    release, blue = _pinned(plan), plan.baseline.blue
    yield f"{release.id} would replace {blue.name} ({count_of(blue.desired, 'instance')})"
    yield f"by {release.green_group}; bluegreen changed nothing."
    for target_group in plan.baseline.target_groups:
        yield f"  target group {wording.short(target_group)}: {target_group}"
    yield f"  {_leaving(plan.baseline.delays)}"
    yield from (f"  {line}" for line in _attached(plan))
    yield from (f"  {line}" for line in costs.lines(plan.extra))
    if uri := plan.release.source_uri:
        yield f"  first it packs the commit, and puts it into {uri}"
    yield from (f"  {line}" for line in _findings(plan))
    yield from _steps(plan.steps, release)
    if plan.rollback:
        yield ""
        yield "A rollback would do this, by the phase of the order:"
        yield from _rollbacks(plan, release)
    yield ""
    yield _way_back(release)


def steps(plan: Plan) -> Iterator[str]:
    """Every step, under the phase in which it is done."""
    yield from (line for line in _steps(plan.steps, _pinned(plan)) if line)


def gist(plan: Plan) -> Iterator[str]:
    """What matters of it first: what was found beside the service, without mere notes, and what it costs."""
    yield from _findings(plan, loud=True)
    yield from costs.lines(plan.extra)


def _findings(plan: Plan, *, loud: bool = False) -> Iterator[str]:
    """What was found beside the service, the gravest first; `loud` leaves the notes out."""
    for one in sorted(plan.baseline.findings, key=lambda one: list(Verdict).index(one.verdict)):
        if not (loud and one.verdict is Verdict.NOTED):
            yield f"{_LABELS[one.verdict]}: {wording.finding(one.to_facts())}"


def _way_back(release: Release) -> str:
    """A cure makes no promise to return to blue."""
    if not release.cure:
        return "Once blue is empty, release the previous image to go back."
    command = wording.way_back(release)
    then = f"to go back, run `{command}`" if command else "the next step is another release with `--cure`"
    return f"Once {release.blue_group} is out, there is no rollback to it, unless it was healthy by then: {then}."


def _attached(plan: Plan) -> Iterator[str]:
    """What hangs on blue and goes over to green, a line for each kind."""
    for kind, names in plan.baseline.attached.items():
        what = kind if len(names) == 1 else _plural(kind)
        yield f"{plan.release.green_group} gets the same {what}: {', '.join(names)}"


def _plural(kind: str) -> str:
    return f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}es" if kind.endswith("ss") else f"{kind}s"


def _leaving(found: Delays) -> str:
    """By whose word blue may take so long; a driver waits for it as long."""
    held = f"{duration(found.held)} in {' and '.join(found.hooks)}, " if found.hooks else ""
    parts = f"{held}{duration(found.drain)} until its requests have ended, {duration(TERMINATING)} to be terminated"
    return f"its instances may take {duration(found.held + found.drain + TERMINATING)} to leave, at most: {parts}"


def _rollbacks(plan: Plan, release: Release) -> Iterator[str]:
    """Phases whose rollback is the same are told together."""
    told = [(phase, tuple(_words(steps, release))) for phase, steps in plan.rollback]
    for words, same in groupby(told, key=lambda pair: pair[1]):
        yield ""
        yield f"  {', '.join(wording.phase_title(phase) for phase, _ in same)}"
        yield from (f"    {word}" for word in words)


def _steps(steps: Sequence[Step], release: Release) -> Iterator[str]:
    for phase, own in groupby(steps, key=lambda step: step.phase):
        yield ""
        yield f"{wording.phase_title(phase)}: {wording.phase_meaning(phase, release)}"
        yield from (f"  {word}" for word in _words(own, release))


def _words(steps: Iterator[Step] | Sequence[Step], release: Release) -> Iterator[str]:
    """ARNs stand at the top of the plan, once."""
    for step in steps:
        if step.act is not None:
            yield wording.intent(step.act, release, arns=False)
        elif step.awaited is not None:
            yield f"wait for {wording.awaited_text(step.awaited, release)}"


def _pinned(plan: Plan) -> Release:
    """The release as it will be once blue is pinned: its words know blue's size and template then."""
    pin = next((step.act for step in plan.steps if step.act is not None and step.act.blue), None)
    if pin is None or pin.blue is None:
        return plan.release
    return replace(plan.release, blue=pin.blue, green_before=pin.green, size=pin.blue.desired)


def as_object(plan: Plan) -> dict[str, Any]:
    """The plan for programs."""
    release = _pinned(plan)
    return {
        **entry_points.result(plan.release, "planned"),
        "message": f"{release.id} would replace {release.blue_group} by {release.green_group}",
        "attached": {kind: list(names) for kind, names in plan.baseline.attached.items()},
        "extra": costs.as_object(plan.extra),
        "findings": [found.to_facts() for found in plan.baseline.findings],
        "steps": [_step(step, release) for step in plan.steps],
        "rollback": {phase: [_step(step, release) for step in steps] for phase, steps in plan.rollback},
    }


def _step(step: Step, release: Release) -> dict[str, Any]:
    phase: dict[str, Any] = {"phase": Phase(step.phase)}
    if step.act is not None:
        return {**phase, "act": step.act.verb, "sentence": wording.intent(step.act, release)}
    return {**phase, "awaited": step.awaited, "sentence": next(_words([step], release))}
