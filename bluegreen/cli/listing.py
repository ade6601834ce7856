"""What `status` and `history` print."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bluegreen import entry_points, wording
from bluegreen.adoption import images_said, ways_on
from bluegreen.aws_commands import kept_group
from bluegreen.cli import output
from bluegreen.engine import Kept, ServiceStatus
from bluegreen.freezing import Frozen
from bluegreen.release import MINUTE, Release, duration, moment

if TYPE_CHECKING:
    from bluegreen.adoption import Adoption, Orphan
    from bluegreen.journal import KeptGreen, Summary


# --- status ------------------------------------------------------------------------------------------------


def print_status(
    statuses: Sequence[ServiceStatus], left: Sequence[Orphan] = (), found: Sequence[str] = (), *, as_json: bool
) -> None:
    """A table of services; of a single one also what a person can do.

    `left`: what nobody needs any more; `found`: where AWS differs from the journal.
    """
    if as_json:
        told = {"services": [_service(s) for s in statuses], "left": [_left(one) for one in left], "found": list(found)}
        output.echo_json({"schema_version": entry_points.SCHEMA_VERSION, **told})
        return
    if not statuses:
        output.say("No service has been released yet.")
        output.hint("begin: bluegreen release")
        return
    now = time.time()
    heads = ("service", "state", "release", "since", "serving", "driver")
    output.table(heads, [_status_row(status, now) for status in statuses])
    for status in statuses:
        _explain(status, now)
    for said in found:
        output.say(f"found: {said}")
    for one in left:
        output.say(f"left: {one.said}")


def _status_row(status: ServiceStatus, now: float) -> tuple[str, ...]:
    release = status.release
    live = wording.serving(release) if release else "-"
    since = wording.age(now - _since(release)) if release else "-"
    driver = status.driver or ("nobody" if status.record.under_way else "-")
    return (status.service, _state(status, now), release.id if release else "-", since, live, driver)


def _state(status: ServiceStatus, now: float) -> str:
    release = status.release
    bare = "unreadable" if status.unreadable else "unreleased"
    words = (release.outcome.value if release.outcome else release.phase.value) if release else bare
    frozen = ", frozen" if status.freezes(now) else ""
    return f"{words.replace('_', ' ')}{frozen}"


def _since(release: Release) -> float:
    return release.settled_at if release.settled_at is not None else release.in_phase_since


def _explain(status: ServiceStatus, now: float) -> None:
    release = status.release
    if status.unreadable:
        output.say(f"{status.service} cannot be read: {status.unreadable}")
    for freeze in status.freezes(now):
        output.say(wording.one_line(f"{status.service} is frozen {_freeze(freeze, now)}"))
    for kept in status.record.kept:
        output.say(_kept(kept, now))
    if release is not None and (status.record.under_way or release.outcome == "failed"):
        output.say(wording.outcome_line(release))
        output.hint(wording.next_step(release))


def _left(one: Orphan) -> dict[str, Any]:
    it = one.group
    known = {"service": it.service, "group": it.name, "release": it.release, "size": it.size}
    return {**known, "removable": one.removable}


def _kept(kept: KeptGreen, now: float) -> str:
    until = moment(kept.until, MINUTE)
    if now < kept.until:
        return kept_group(kept.group, until)
    return f"group {kept.group}, kept for inspection until {until}: `bluegreen reconcile` removes it"


def _freeze(freeze: Frozen, now: float) -> str:
    why = f": {freeze.why}" if freeze.why else ""
    if not freeze.who:
        return f"until {freeze.end}, by bluegreen.yml{why}" if freeze.end else f"by bluegreen.yml{why}"
    until = f"until {output.date(freeze.until)}, " if freeze.until else ""
    return f"{until}by {wording.person(freeze.who)} {wording.age(now - freeze.since)}{why}"


def _service(status: ServiceStatus) -> dict[str, Any]:
    record, release = status.record, status.release
    return {
        "service": status.service,
        "under_way": record.under_way,
        "live": vars(record.live) if record.live else None,
        "freeze": vars(record.freeze) if record.freeze else None,
        "frozen": [vars(freeze) for freeze in status.freezes(time.time())],
        "kept": [vars(kept) for kept in record.kept],
        "driver": status.driver,
        "unreadable": status.unreadable,
        "release": entry_points.result(release, _decision(release)) if release else None,
        "next": wording.next_step(release) if release else "",
    }


def _decision(release: Release) -> str:
    """A release that goes on has no decision yet."""
    return release.outcome or "under_way"


# --- history -----------------------------------------------------------------------------------------------


def print_history(service: str, releases: Sequence[Summary], kept: Kept, *, as_json: bool) -> None:
    """A table of releases, the newest first, and whose images are gone."""
    if as_json:
        rows = [{**vars(summary), "image_there": kept.there.get(summary.image)} for summary in releases]
        output.echo_json({"schema_version": entry_points.SCHEMA_VERSION, "service": service, "releases": rows})
        return
    if not releases:
        output.say(f"{service} has not been released yet.")
        return
    now = time.time()
    heads = ("release", "outcome", "when", "took", "commit", "image", "by")
    output.table(heads, [_history_row(summary, kept, now) for summary in releases])
    if kept.untold:
        output.hint(f"bluegreen could not read which images exist: {kept.untold}")


def _history_row(summary: Summary, kept: Kept, now: float) -> tuple[str, ...]:
    outcome = summary.outcome.value.replace("_", " ") if summary.outcome else "under way"
    took = duration((summary.settled or now) - summary.started)
    by = wording.person(summary.who)
    when = wording.age(now - summary.started)
    image = f"{summary.image}, gone" if kept.gone(summary.image) else summary.image or "-"
    return (f"#{summary.number}", outcome, when, took, summary.commit[:8] or "-", image, by)


# --- adopt -------------------------------------------------------------------------------------------------


def print_adoption(made: Adoption, *, as_json: bool) -> None:
    """The new record of a service, its corrections, and other findings."""
    live = made.live
    if as_json:
        shown = {"live": live.name, "image": live.image, "commit": live.commit, "next": made.number}
        lists = {"found": list(made.found), "left": list(made.left), "ended": made.ended}
        lists |= {"images": [image.id for image in made.images]}
        output.echo_json({"schema_version": entry_points.SCHEMA_VERSION, "service": made.service, **shown, **lists})
        return
    for found in made.found:
        output.say(f"found: {found}")
    whose = f" of {live.release}" if live.release else ""
    runs = f" with {live.image}" if live.image else ""
    commit = f", commit {live.commit[:8]}" if live.commit else ""
    output.say(f"{made.service}: {live.name}{whose} is live{runs}{commit}; the next release has number {made.number}")
    output.say("The journal is now right." if made.found else "The journal was right; bluegreen changed nothing.")
    for left in made.left:
        output.say(f"also: {left}")
    if said := images_said(made.images):
        output.say(f"earlier images: {said}")
        output.hint(f"go back to one: {ways_on(made.images)}")
