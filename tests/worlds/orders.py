"""The virtual world with people who order, and releases brought to a phase by their journal alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bluegreen import Caller, Engine
from bluegreen.errors import Refused
from bluegreen.events import Event, EventKind, Outcome, Phase, Reason
from bluegreen.journal import Journal
from bluegreen.release import Release
from tests.worlds.virtual import Ops, bare, once

WEB = "web/production"
ANN, BOB, ON_CALL, EVE = "slack:U0ANN", "slack:U0BOB", "slack:U0ONCALL", "slack:U0EVE"
ADMIN = "arn:aws:iam::1:user/ann"
ADMIN_ARN = "arn:aws:iam::123456789012:user/ann"
LISTS = {"channel": "C0DEPLOYS", "promoters": ["U0ANN", "U0BOB", "S0RELEASERS"], "rollbackers": ["U0ONCALL"]}
SOURCE = {"repository": "acme/web", "server": "https://github.com", "workflow": "release.yml", "ref": "trunk"}
COMMIT = "c0ffee01" * 5
Give = Callable[[Engine, str | Caller], Event]
ORDERS: dict[str, tuple[Give, str, EventKind]] = {
    "promote": (lambda engine, who: engine.promote(WEB, who=who), ANN, EventKind.PROMOTED),
    "hold": (lambda engine, who: engine.hold(WEB, who=who), ANN, EventKind.HOLD_ORDERED),
    "roll back": (lambda engine, who: engine.roll_back(WEB, who=who), ON_CALL, EventKind.ROLLBACK_ORDERED),
}


def world(**changes: object) -> Ops:
    """A fast world in which few may order anything."""
    return bare(4.0, **{"slack": LISTS, **changes})


def journal(o: Ops) -> Journal:
    """Its journal."""
    return Journal(o.aws.session(), "bluegreen")


def happens(o: Ops, release: Release, kind: EventKind, **facts: Any) -> Release:
    """One more event, as a driver writes it."""
    seq = len(o.engine().events(release.id)) + 1
    journal(o).append(release.id, seq, kind, facts, o.clock.now())
    return o.engine().load(release.id)


def enters(o: Ops, release: Release, phase: Phase) -> Release:
    """A driver brings it to the phase."""
    facts = {"reason": "check_failed", "message": "home no longer holds"} if phase is Phase.ROLLING_BACK else {}
    return release if phase is release.phase else happens(o, release, EventKind.ENTERED, phase=phase, **facts)


def at(o: Ops, phase: Phase, **more: Any) -> Release:
    """A release in that phase, by its journal; nobody drives it."""
    return enters(o, o.start(**more), phase)


def settles(o: Ops, release: Release, outcome: Outcome) -> Release:
    """The release ends."""
    facts = {"outcome": outcome, "reason": "completed", "message": "", "left": []}
    journal(o).settle(release, release.seq + 1, facts, o.clock.now())
    return o.engine().load(release.id)


def lives(o: Ops, **more: Any) -> Release:
    """A release that is driven until it is live."""
    done = o.drive(o.start(**more).id)
    assert done is not None
    assert done.outcome is Outcome.LIVE
    return done


def refusal(o: Ops, order: Callable[[], object], reason: Reason = Reason.MOVED_ON) -> Refused:
    """How the order is refused; nothing is written of any release."""
    before = written(o)
    with pytest.raises(Refused) as refused:
        order()
    assert refused.value.reason == reason
    assert written(o) == before
    return refused.value


def written(o: Ops) -> list[Event]:
    """Every event of the service."""
    engine = o.engine()
    return [event for one in engine.history(WEB) for event in engine.events(one.id)]


def back_in_the_launch(o: Ops) -> Callable[[Release], None]:
    """For `when`: order the rollback in the launch."""
    return once(lambda seen: seen.phase is Phase.LAUNCHING, lambda: o.engine().roll_back(WEB, who=ON_CALL))
