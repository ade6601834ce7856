"""Releases under virtual traffic that metric checks decide: the whole product, on a fake AWS and its CloudWatch."""

from __future__ import annotations

import pytest

from bluegreen.events import Outcome, Phase, Reason
from bluegreen.release import Release
from tests.worlds import GOOD, Ops

NEW = "feedc0de1111"
CHECKS = [
    {"name": "errors", "metric": "HTTPCode_Target_5XX_Count", "statistic": "Sum", "at_most": 1.5, "compare": "blue"},
    {"name": "latency", "metric": "TargetResponseTime", "statistic": "p90", "at_most": 1.2, "compare": "blue"},
]


def released(seed: int, **manner: float) -> tuple[Ops, Release]:
    """A weighted release of a version that behaves so, under 20 requests a second."""
    o = Ops(weighted=True, changes={"checks": CHECKS, "soak": "15m"})
    traffic = o.config.traffic.model_copy(update={"overlap": 360.0, "steps": (0, 10, 50)})
    o.config = o.config.model_copy(update={"traffic": traffic})
    o.machines.behaves(NEW, **manner)
    visitors = o.aws.traffic.simulate(o.world.listener, 20, seed=seed)
    o.clock.sleep(900)  # blue has served for a while
    done = o.drive(o.start(NEW).id)
    visitors.stop()
    assert visitors.requests.total() > 20_000
    assert done is not None
    return o, done


def test_a_good_version_goes_live() -> None:
    """Past every look of the overlap and of the soak, in which blue has no traffic to be compared with."""
    o, done = released(1)
    assert done.outcome is Outcome.LIVE, done.message
    assert o.wrong(done) == []
    assert done.checks["errors"].held
    assert done.checks["latency"].held


@pytest.mark.parametrize(
    ("manner", "check", "minutes"),
    [({"failing": 0.02}, "errors", 10), ({"slower": 1.5}, "latency", 17), ({"failing": 0.5}, "errors", 5)],
    ids=["fails 2 %", "1.5 x slower", "fails half"],
)
def test_a_sick_version_is_rolled_back_before_the_switch(manner: dict[str, float], check: str, minutes: int) -> None:
    """While it has a tenth of the traffic; the reason names both sides."""
    o, done = released(3, **manner)
    assert (done.outcome, done.reason) == (Outcome.ROLLED_BACK, Reason.CHECK_FAILED)
    assert done.message.startswith(f"check {check} "), done.message
    assert "green" in done.message
    assert "blue" in done.message
    assert Phase.SWITCHING not in done.entered
    assert done.share_since is not None
    assert done.entered[Phase.ROLLING_BACK] - done.share_since < minutes * 60
    assert o.wrong(done) == []


def test_a_service_that_nobody_uses_is_not_switched_blindly() -> None:
    """Too little data is no pass; the reason says how little."""
    o = Ops(weighted=True, changes={"checks": CHECKS})
    done = o.drive(o.start(GOOD).id)
    assert done is not None
    assert done.outcome is Outcome.ROLLED_BACK
    assert done.message == "errors did not hold within 15m: too little data: 0 of 5 minutes"
