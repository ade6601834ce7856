"""The driver: leases, orders, interruptions, and a journal that cannot be reached."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from itertools import groupby, repeat
from typing import Any

import pytest

from bluegreen import Engine, Until
from bluegreen.driver import ANSWERS, LOOK_MAX, SystemClock, TableClock
from bluegreen.errors import AwsError, Interrupted, LeaseLost, Refused
from bluegreen.events import Awaited, Awaiting, Event, EventKind, Outcome, Phase, Reason, Verb
from bluegreen.journal import SKEW, Journal
from bluegreen.release import Release
from bluegreen.wording import sentence
from lab.aws.client import Answers
from lab.aws.wire import Answer, Incoming
from lab.clock import VirtualClock
from tests.worlds import GOOD, Ops, Unforeseen, bare, fast, has, kinds, once

AMI = {"ami": "image"}
#: How often a driver looks for orders unless told, in seconds.
LISTEN = 0.5


def test_a_release_goes_live() -> None:
    """Green serves alone, blue is gone, sizes and processes are as blue's were, the builder is stopped."""
    o = bare()
    done = o.drive(o.start().id)
    assert done is not None
    assert done.outcome is Outcome.LIVE
    assert o.wrong(done) == []
    assert o.group(o.world.group) is None
    assert {o.machines.commit(i) for i in o.aws.routes(o.world.target_group)} == {GOOD}


def test_the_next_release_finds_what_is_live() -> None:
    """Green of the first is blue of the second; the image of a commit that has one is used again."""
    o = bare()
    first = o.drive(o.start().id)
    second = o.start()
    assert first is not None
    assert second.blue_group == first.green_group
    assert second.image == first.image
    done = o.drive(second.id)
    assert done is not None
    assert done.outcome is Outcome.LIVE
    assert Verb.START_BUILDER not in done.began


@pytest.mark.parametrize(
    ("until", "phase"), [(Until.HELD, Phase.HOLDING), (Until.SWITCHED, Phase.SOAKING), (Until.LIVE, Phase.RETIRING)]
)
def test_a_driver_goes_no_further_than_it_was_asked(until: Until, phase: Phase) -> None:
    """The release is parked, and any driver goes on from there."""
    o = bare()
    release = o.start(hold=until is Until.HELD)
    parked = o.drive(release.id, until=until)
    assert parked is not None
    assert parked.phase is phase
    if until is Until.HELD:
        o.engine().promote("web/production", who="slack:U1")
    done = o.drive(release.id)
    assert done is not None
    assert done.outcome is Outcome.LIVE


def test_a_held_release_waits_for_a_person() -> None:
    """The driver that waits hears the promotion."""
    o = bare()
    promote = once(
        lambda seen: seen.phase is Phase.HOLDING, lambda: o.engine().promote("web/production", who="slack:U1")
    )
    done = o.drive(o.start(hold=True).id, when=promote)
    assert done is not None
    assert done.outcome is Outcome.LIVE
    assert done.promoters == ("slack:U1",)


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase.can_roll_back])
def test_a_rollback_ordered_in_any_phase_leaves_blue_alone(phase: Phase) -> None:
    """Blue serves alone, unpinned; what the release made is gone or named."""
    o = bare()
    release = o.start(hold=True)
    promote = once(
        lambda seen: seen.phase is Phase.HOLDING and phase is not Phase.HOLDING,
        lambda: o.engine().promote("web/production", who="slack:U1"),
    )
    back = o.order_back(phase)

    def when(seen: Release) -> None:
        promote(seen)
        back(seen)

    done = o.drive(release.id, when=when)
    assert done is not None
    assert (done.outcome, done.reason, done.left) == (Outcome.ROLLED_BACK, Reason.ORDERED, phase)
    assert o.wrong(done) == []


def test_an_order_written_just_before_an_act_beats_it() -> None:
    """`began` meets the order's number: the act is not done (S7)."""
    o = bare()
    release = o.start()
    engine = o.engine()
    at_switch = once(
        lambda seen: seen.phase is Phase.SWITCHING, lambda: engine.roll_back("web/production", who="slack:U1")
    )
    done = o.drive(release.id, when=at_switch)
    assert done is not None
    assert Verb.TAKE_BLUE_OUT not in done.began
    assert done.outcome is Outcome.ROLLED_BACK


@dataclass
class Slow:
    """An AWS that takes its time over each call of one service, from some moment on."""

    clock: VirtualClock
    seconds: float = 0.0
    service: str = "elbv2"

    def watch(self, answers: Answers) -> Answers:
        """The same answers, later."""

        def answer(request: Incoming, recorded: bool) -> Answer:
            if request.name.startswith(self.service):
                self.clock.late(self.seconds)
            return answers(request, recorded)

        return answer


@pytest.mark.parametrize("weighted", [False, True])
def test_an_order_ends_a_look_that_takes_long(weighted: bool) -> None:
    """It waits for no call that is out, whatever else the look would have asked, and needs no look of its own."""
    o = fast(20, weighted=weighted, rules=weighted, checks=[], listen=LISTEN)
    release, slow = o.start(), Slow(o.clock)
    given: list[float] = []

    def order() -> None:
        given.append(o.clock.now())
        o.engine().roll_back("web/production", who="slack:U1")

    def in_the_middle() -> None:
        slow.seconds = 8.0
        o.clock.after(17, order)
        o.clock.after(40, lambda: setattr(slow, "seconds", 0.0))

    slept = once(lambda seen: seen.phase is Phase.OVERLAPPING, in_the_middle)
    done = o.drive(release.id, death=slow, when=slept)
    assert done is not None
    assert done.outcome is Outcome.ROLLED_BACK
    began = next(e for e in o.told if e.kind is EventKind.ENTERED and e.facts["phase"] == Phase.ROLLING_BACK)
    assert began.at - given[0] <= LISTEN
    assert o.wrong(done) == []


ALARM = {"name": "errors", "alarm": "web-5xx", "every": "2s"}
CPU = {"name": "cpu", "metric": "CPUUtilization", "namespace": "AWS/EC2", "statistic": "Average", "at_most": 50}
COMMAND = {"name": "unit", "run": "true", "every": "2s"}


@pytest.mark.parametrize(
    ("call", "checks"),
    [
        ("cloudwatch:DescribeAlarms", [ALARM]),
        ("cloudwatch:GetMetricData", [{**CPU, "dimensions": {"AutoScalingGroupName": "web-production"}}]),
        ("ssm:*", [COMMAND]),
        ("autoscaling:DescribeAutoScalingGroups", []),
        ("elbv2:DescribeTargetHealth", []),
    ],
)
@pytest.mark.parametrize("after", [0.1, 17.0])
def test_an_order_is_heard_whatever_aws_does_with_the_calls_of_a_look(
    call: str, checks: list[Any], after: float
) -> None:
    """They get lost on their way, each until its timeout, one attempt after another."""
    o = fast(60, checks=checks, listen=LISTEN)
    release, given = o.start(), list[float]()

    def order() -> None:
        given.append(o.clock.now())
        o.engine().roll_back("web/production", who="slack:U1")

    def lost() -> None:
        o.aws.faults.swallow(call, times=None)
        o.clock.after(after, order)

    def when(seen: Release) -> None:
        at_the_overlap(seen)
        rolls_back(seen)

    at_the_overlap = once(lambda seen: seen.phase is Phase.OVERLAPPING, lost)
    rolls_back = once(lambda seen: seen.phase is Phase.ROLLING_BACK, o.aws.faults.clear)
    done = o.drive(release.id, when=when)
    assert done is not None
    assert done.entered[Phase.ROLLING_BACK] - given[0] <= LISTEN
    assert "Swallowed" in {one.error for one in o.aws.calls}
    assert (done.outcome, done.reason, o.wrong(done)) == (Outcome.ROLLED_BACK, Reason.ORDERED, [])


@pytest.mark.parametrize("verb", [Verb.ATTACH_GREEN, Verb.JOIN_GREEN])
def test_an_order_ends_an_act_that_has_changed_nothing(verb: Verb) -> None:
    """It asks first, and is not answered."""
    o = fast(60, checks=[], listen=LISTEN)
    release, given = o.start(), list[float]()

    def order() -> None:
        given.append(o.clock.now())
        o.engine().roll_back("web/production", who="slack:U1")

    def lost() -> None:
        o.aws.faults.swallow("autoscaling:Describe*", times=None)
        o.clock.after(3.0, order)

    def when(seen: Release) -> None:
        at_the_act(seen)
        rolls_back(seen)

    at_the_act = once(has(verb, done=False), lost)
    rolls_back = once(lambda seen: seen.phase is Phase.ROLLING_BACK, o.aws.faults.clear)
    done = o.drive(release.id, when=when)
    assert done is not None
    assert done.entered[Phase.ROLLING_BACK] - given[0] <= LISTEN
    assert verb not in done.did
    assert (done.outcome, done.reason, o.wrong(done)) == (Outcome.ROLLED_BACK, Reason.ORDERED, [])


def test_a_look_ends_though_aws_never_does() -> None:
    """One answer comes a byte at a time: the look is given up, and counts as one that saw nothing."""
    o = fast(20, checks=[], timeouts={"healthy": 600})
    release, slow = o.start(), Slow(o.clock)

    def stuck() -> None:
        slow.seconds = 1e6
        o.clock.after(LOOK_MAX, lambda: setattr(slow, "seconds", 0.0))

    done = o.drive(release.id, death=slow, when=once(lambda seen: seen.phase is Phase.OVERLAPPING, stuck))
    assert done is not None
    assert done.outcome is Outcome.LIVE
    (blind,) = [one for one in o.told if one.kind is EventKind.BLINDED]
    assert blind.facts["message"] == "AWS: no answer for 120 s"


def test_a_look_ends_when_the_lease_may_be_anothers() -> None:
    """The journal is out of reach for as long as the lease lasts: nothing is done on what is seen then."""
    o = fast(20, checks=[])
    release, slow = o.start(), Slow(o.clock)
    ended: list[float] = []

    def away() -> None:
        slow.seconds = 1e6
        o.aws.faults.fail("dynamodb:*", "ThrottlingException", "slow down", times=None)
        o.clock.after(50, back)

    def back() -> None:
        slow.seconds = 0.0
        o.aws.faults.clear()
        ended.append(o.clock.now())

    done = o.drive(release.id, death=slow, when=once(lambda seen: seen.phase is Phase.OVERLAPPING, away))
    assert done is not None
    assert done.outcome is Outcome.LIVE
    assert EventKind.BLINDED not in kinds(o.told)
    assert next(one for one in o.told if one.at > ended[0]).at - ended[0] < 10


def test_no_look_outlives_the_lease() -> None:
    """Every call of it takes eight seconds: the lease is kept, and nobody takes over."""
    o = fast(20, weighted=True, rules=True, checks=[])
    release, slow, taken = o.start(), Slow(o.clock), list[object]()
    other = Journal(o.aws.session(), "bluegreen")

    def take() -> None:
        taken.append(other.take_lease(release.id, "other", o.clock.now()))
        if len(taken) < 60:
            o.clock.after(3, take)

    def from_now_on() -> None:
        slow.seconds = 8.0
        take()

    done = o.drive(release.id, death=slow, when=once(lambda seen: seen.phase is Phase.OVERLAPPING, from_now_on))
    assert taken == [None] * 60
    assert done is not None
    assert done.outcome is not None


def test_a_journal_that_fails_in_the_middle_of_a_look_is_no_blindness() -> None:
    """AWS answers all the same."""
    o = fast(20, checks=[])
    release, slow = o.start(), Slow(o.clock)

    def away() -> None:
        slow.seconds = 2.0
        o.aws.faults.fail("dynamodb:Query", "ThrottlingException", "slow down", times=20)
        o.clock.after(30, lambda: setattr(slow, "seconds", 0.0))

    done = o.drive(release.id, death=slow, when=once(lambda seen: seen.phase is Phase.OVERLAPPING, away))
    assert done is not None
    assert done.outcome is Outcome.LIVE
    assert EventKind.BLINDED not in kinds(o.told)


def test_an_order_written_in_the_middle_of_an_act_loses_nothing() -> None:
    """What the act made is recorded after the order."""
    o = bare()
    release = o.start()
    order = once(has(Verb.MAKE_IMAGE, done=False), lambda: o.engine().roll_back("web/production", who="slack:U1"))
    done = o.drive(release.id, when=order)
    assert done is not None
    assert done.outcome is Outcome.ROLLED_BACK
    assert done.did[Verb.MAKE_IMAGE].seq > done.began[Verb.MAKE_IMAGE].seq + 1
    assert done.left_behind == (f"image {done.made_image}",)


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize(
    "verb",
    [Verb.START_BUILDER, Verb.PIN_BLUE, Verb.CREATE_GREEN, Verb.JOIN_GREEN, Verb.TAKE_BLUE_OUT, Verb.DELETE_BLUE],
)
def test_two_drivers_do_no_harm(verb: Verb, done: bool) -> None:
    """One sleeps in the middle of an act, another takes over and finishes; the first wakes and does nothing."""
    o = bare()
    release = o.start()
    finish = once(has(verb, done=done), lambda: o.rescue(release.id))
    with pytest.raises(LeaseLost):
        o.drive(release.id, when=finish)
    mutating = [call for call in o.aws.calls if call.mutating and call.service != "dynamodb"]
    ended = o.engine().load(release.id)
    assert ended.outcome is Outcome.LIVE
    assert ended.settled_at is not None
    assert mutating[-1].when <= ended.settled_at
    assert o.wrong(ended) == []


def test_a_driver_does_not_wait_for_ever_for_another() -> None:
    """It is told that the other drives."""
    o = bare()
    release = o.start()
    journal = Journal(o.aws.session(), "bluegreen")
    lease = journal.take_lease(release.id, "other", o.clock.now(), 3600)
    assert lease is not None
    with pytest.raises(Refused) as refusal:
        o.drive(release.id)
    assert refusal.value.reason == Reason.UNDER_WAY
    with pytest.raises(Interrupted):
        o.drive(release.id, stop=lambda: True)


#: What an engine is given, and the seconds that its drivers' leases then last.
LEASES: list[tuple[dict[str, float], float]] = [({}, 30.0), ({"lease": 6.0}, 6.0)]


def leasing(o: Ops, given: dict[str, float]) -> Engine:
    """Another process, with leases of its own length."""
    return Engine(session=o.aws.session(), clock=o.clock, **given)  # type: ignore[arg-type]  # lease alone


@pytest.mark.parametrize(("given", "seconds"), LEASES)
def test_a_lease_is_kept_a_third_full(given: dict[str, float], seconds: float) -> None:
    """As long as its driver lives and waits; before an act it is two thirds full."""
    o = bare()
    release = o.start()
    journal, left = Journal(o.aws.session(), "bluegreen"), [seconds]

    def look(*_: object) -> None:
        lease = journal.lease(release.id)
        if lease:
            assert lease.seconds == seconds
            left.append(lease.expires - o.clock.now())
        o.clock.after(0.7, look)

    look()
    leasing(o, given).drive(release.id, tell=lambda *_: None)
    assert len(left) > 50
    assert seconds / 3 - LISTEN <= min(left) < seconds * 2 / 3 + LISTEN


@pytest.mark.parametrize(("given", "seconds"), LEASES)
def test_a_dead_drivers_lease_is_waited_for(given: dict[str, float], seconds: float) -> None:
    """As long as it may live by another machine's clock, and no longer."""
    o = bare()
    release = o.start()
    journal = Journal(o.aws.session(), "bluegreen")
    died = o.clock.now()
    assert journal.take_lease(release.id, "dead", died, seconds)
    taken: list[float] = []
    leasing(o, given).drive(release.id, tell=lambda *_: taken.append(o.clock.now()))
    assert seconds + SKEW <= taken[0] - died <= seconds + SKEW + LISTEN


@pytest.mark.parametrize(("given", "seconds"), LEASES)
def test_a_living_drivers_lease_is_waited_for_half_as_long_again(given: dict[str, float], seconds: float) -> None:
    """Then whoever waits is told that another drives."""
    o = bare()
    release = o.start()
    began = o.clock.now()
    assert Journal(o.aws.session(), "bluegreen").take_lease(release.id, "other", began, 3600)
    with pytest.raises(Refused):
        leasing(o, given).drive(release.id, tell=lambda *_: None)
    assert seconds * 1.5 <= o.clock.now() - began <= seconds * 1.5 + LISTEN


# --- clocks that differ ----------------------------------------------------------------------------------


class Machine(VirtualClock):
    """A machine's clock that can be set."""

    ahead = 0.0

    def now(self) -> float:
        """What it shows."""
        return super().now() + self.ahead


def heard(clock: TableClock, by: Machine, *late: float) -> float:
    """Answers come that were so long on their way; by how much the clock is off then."""
    for seconds in late or (0.0,):
        by.sleep(1.3)
        clock.heard(float(int(VirtualClock.now(by) - seconds)))  # HTTP's dates are in whole seconds
    return clock.now() - VirtualClock.now(by)


@pytest.mark.parametrize("ahead", [60.0, -60.0, 7.25, 3600.0])
def test_the_tables_time_is_taken(ahead: float, caplog: pytest.LogCaptureFixture) -> None:
    """To about a second; it is said once by how much the machine's own is off, and no more when that is put right."""
    machine = Machine()
    clock = TableClock(machine)
    machine.ahead = ahead
    assert abs(heard(clock, machine)) <= 1
    before = clock.now()
    assert abs(heard(clock, machine, *[0.1] * 20)) <= 1
    assert clock.now() > before
    assert abs(clock.ahead - ahead) <= 1
    (said,) = caplog.messages
    assert said.startswith(f"this machine's clock is {abs(clock.ahead)} s {'fast' if ahead > 0 else 'slow'}")
    machine.ahead = 0.0
    assert abs(heard(clock, machine, *[0.0] * ANSWERS)) <= 1
    assert clock.ahead == 0
    assert len(caplog.messages) == 1


def test_a_clock_that_is_right_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    """Also when an answer is long on its way."""
    machine = Machine()
    clock = TableClock(machine)
    assert heard(clock, machine, 0.0, 0.2, 3.0, 9.0, 0.9) == 0.0
    machine.ahead = 1.2
    assert heard(clock, machine, *[0.1] * 9) == pytest.approx(1.2)
    assert not caplog.messages
    machine.ahead = 4.0  # wrong, but no matter
    assert abs(heard(clock, machine, *[0.1] * 9)) <= 1
    assert clock.ahead == 0
    assert not caplog.messages


@pytest.mark.parametrize("ahead", [-60.0, 60.0])
def test_a_dead_drivers_lease_is_waited_for_by_the_tables_time(ahead: float) -> None:
    """Not the shorter nor the longer for a clock that is off; and whoever takes over says so."""
    o = bare()
    release = o.start()
    died = o.clock.now()
    assert Journal(o.aws.session(), "bluegreen").take_lease(release.id, "dead", died, 30)
    o.skews = repeat(ahead)
    taken: list[float] = []
    o.drive(release.id, when=lambda _: taken.append(o.clock.now()))
    assert 30 + SKEW - 1 <= taken[0] - died <= 30 + SKEW + 1 + LISTEN
    o.told.clear()
    parked = o.drive(o.start(hold=True).id, until=Until.HELD)
    assert parked is not None
    o.drive(parked.id, until=Until.HELD)
    (up,) = (event for event in o.told if event.kind is EventKind.TAKEN_UP)
    assert abs(up.facts["clock_ahead"] - ahead) <= 1
    assert abs(up.at - o.clock.now()) <= 1
    assert sentence(up, parked).endswith(
        f"; its clock is {abs(up.facts['clock_ahead'])} s {'fast' if ahead > 0 else 'slow'}"
    )


@pytest.mark.parametrize("rounds", range(1, 40, 3))
def test_after_a_signal_nothing_new_is_begun(rounds: int) -> None:
    """The journal says interrupted, no changing call follows the signal, and another driver goes on."""
    o = bare()
    release = o.start()
    asked = [0, 0]

    def stop() -> bool:
        asked[0] += 1
        if asked[0] == rounds * 4:
            asked[1] = len(o.aws.calls)
        return asked[0] >= rounds * 4

    with pytest.raises(Interrupted):
        o.drive(release.id, stop=stop)
    changed = [c.name for c in o.aws.calls[asked[1] :] if c.mutating and c.service != "dynamodb"]
    assert changed == []
    assert o.engine().load(release.id).interrupted
    done = o.rescue(release.id)
    assert done.outcome is Outcome.LIVE
    assert o.wrong(done) == []


def test_an_interruption_that_cannot_be_recorded_is_an_interruption() -> None:
    """The release can be resumed all the same."""
    o = bare()
    release = o.start()
    stopped: list[bool] = []

    def stop_and_lose_the_journal(seen: Release) -> None:
        if seen.phase is Phase.LAUNCHING and not stopped:
            stopped.append(True)
            for operation in ("PutItem", "Query", "UpdateItem", "DeleteItem"):
                o.aws.faults.deny(f"dynamodb:{operation}")

    with pytest.raises(AwsError):
        o.drive(release.id, when=stop_and_lose_the_journal)
    o.aws.faults.clear()
    stopped.clear()
    o.clock.sleep(60)
    with pytest.raises(Interrupted):
        o.drive(release.id, when=stop_and_lose_the_journal, stop=lambda: bool(stopped))
    o.aws.faults.clear()
    assert o.rescue(release.id).outcome is Outcome.LIVE


def test_an_interruption_after_the_end_is_not_recorded() -> None:
    """Another driver finished meanwhile: the last event stays `settled`."""
    o = bare()
    release = o.start()
    stopped: list[bool] = []

    def finish_elsewhere() -> None:
        o.rescue(release.id)
        stopped.append(True)

    slept = once(has(Verb.JOIN_GREEN, done=True), finish_elsewhere)
    with pytest.raises(Interrupted):
        o.drive(release.id, when=slept, stop=lambda: bool(stopped))
    ended = o.engine().load(release.id)
    assert ended.outcome is Outcome.LIVE
    assert not ended.interrupted


@pytest.mark.parametrize(("minutes", "outcome"), [(5, Outcome.LIVE), (11, Outcome.ROLLED_BACK)])
def test_an_aws_that_shows_nothing_is_waited_for(minutes: int, outcome: Outcome) -> None:
    """Nothing is done blind; after ten minutes the release goes back, and says why."""
    o = bare(overlap=60)
    release = o.start()
    look = "elbv2:DescribeTargetHealth"

    def blind() -> None:
        o.aws.faults.server_error(look, times=None)
        o.clock.after(minutes * 60, o.aws.faults.clear)

    done = o.drive(release.id, when=once(lambda seen: seen.phase is Phase.OVERLAPPING, blind))
    assert done is not None
    assert done.outcome is outcome
    assert kinds(o.told).count(EventKind.BLINDED) == (
        1 if outcome is Outcome.LIVE else 2
    )  # going back, it is told anew
    assert done.reason is (Reason.COMPLETED if outcome is Outcome.LIVE else Reason.BLIND)
    assert o.wrong(done) == []


def test_two_blind_looks_far_apart_are_no_long_blindness() -> None:
    """Each is over with the next look that AWS answers, even when that shows nothing new."""
    o = bare(overlap=1200)
    release = o.start()

    def fail_shown_and_recorded() -> None:
        for minutes in (1, 14):
            o.clock.after(minutes * 60, lambda: o.aws.faults.server_error("elbv2:DescribeTargetHealth", times=3))

    steady = once(lambda seen: "targets" in seen.checks and seen.checks["targets"].held, fail_shown_and_recorded)
    done = o.drive(release.id, when=steady)
    assert done is not None
    assert done.outcome is Outcome.LIVE
    assert kinds(o.told).count(EventKind.BLINDED) == 2


def test_a_journal_that_is_away_for_a_while_is_waited_for() -> None:
    """Throttled writes do not end a release."""
    o = bare()
    release = o.start()
    away = once(
        lambda seen: seen.phase is Phase.LAUNCHING,
        lambda: o.aws.faults.fail("dynamodb:PutItem", "ThrottlingException", "slow down", times=20),
    )
    done = o.drive(release.id, when=away)
    assert done is not None
    assert done.outcome is Outcome.LIVE


def test_a_journal_that_stays_away_ends_the_driver() -> None:
    """After ten minutes; the release can be resumed."""
    o = bare()
    release = o.start()

    def break_journal() -> None:
        for operation in ("PutItem", "UpdateItem", "Query"):
            o.aws.faults.server_error(f"dynamodb:{operation}", times=None)

    away = once(lambda seen: seen.phase is Phase.LAUNCHING, break_journal)
    before = o.clock.now()
    with pytest.raises(AwsError):
        o.drive(release.id, when=away)
    assert 600 <= o.clock.now() - before < 1000
    o.aws.faults.clear()
    assert o.rescue(release.id).outcome is Outcome.LIVE


@pytest.mark.parametrize("operation", ["autoscaling:DescribeAutoScalingGroups", "autoscaling:CreateAutoScalingGroup"])
def test_credentials_that_expire_end_the_driver_and_not_the_release(operation: str) -> None:
    """Before a look or in an act: that is about this driver. Another one, with credentials, goes on to the end."""
    o = bare()
    release = o.start()
    expire = once(
        lambda seen: seen.phase is Phase.LAUNCHING,
        lambda: o.aws.faults.fail(operation, "ExpiredToken", "The security token included is expired", times=1),
    )
    with pytest.raises(AwsError, match="Renew the AWS credentials") as caught:
        o.drive(release.id, when=expire)
    assert caught.value.expired
    left = o.engine().load(release.id)
    assert (left.phase, left.outcome, left.blind_since, left.failed_attempt) == (Phase.LAUNCHING, None, None, None)
    assert o.rescue(release.id).outcome is Outcome.LIVE


def test_a_look_that_is_too_old_is_not_acted_on() -> None:
    """The process was suspended between looking and acting: it looks again."""
    o = bare()
    release = o.start()
    asleep = once(has(Verb.CREATE_GREEN, done=False), lambda: o.clock.sleep(16))
    done = o.drive(release.id, when=asleep)
    assert done is not None
    assert done.outcome is Outcome.LIVE
    begun = [e for e in o.told if e.kind is EventKind.BEGAN and e.verb is Verb.CREATE_GREEN]
    assert len(begun) == 2
    assert sum(c.name == "autoscaling:CreateAutoScalingGroup" for c in o.aws.calls) == 1


def test_a_listener_that_breaks_does_not_break_the_release() -> None:
    """S10."""
    o = bare()

    def broken(seen: Release) -> None:
        raise RuntimeError("no terminal any more")

    done = o.drive(o.start().id, when=broken)
    assert done is not None
    assert done.outcome is Outcome.LIVE


@pytest.mark.parametrize(
    ("phase", "times", "outcome"),
    [
        (Phase.OVERLAPPING, 2, Outcome.LIVE),
        (Phase.OVERLAPPING, 3, Outcome.ROLLED_BACK),
        (Phase.OVERLAPPING, 6, Outcome.FAILED),
        (Phase.RETIRING, 2, Outcome.LIVE),
        (Phase.RETIRING, 3, Outcome.FAILED),
    ],
)
def test_a_mistake_of_our_own_is_told_and_ends(phase: Phase, times: int, outcome: Outcome) -> None:
    """Tried again twice; then the release goes back, or stops for a person. Never for ever, never in the log alone."""
    o = bare()
    unforeseen = Unforeseen(times)
    begin = once(lambda seen: seen.phase is phase, unforeseen.begin)
    done = o.drive(o.start().id, death=unforeseen, when=begin)
    assert done is not None
    assert done.outcome is outcome
    assert kinds(o.told).count(EventKind.ERRED) == times
    erred = next(one for one in o.told if one.kind is EventKind.ERRED)
    assert re.fullmatch(r"KeyError: 'MinSize' \(aws/groups.py, line \d+\)", erred.facts["message"])
    if outcome is Outcome.LIVE:
        assert o.wrong(done) == []
        return
    assert done.reason is Reason.MISTAKE
    assert "Please report it" in done.message
    if outcome is Outcome.FAILED:
        o.engine().resume("web/production", who="slack:U1")
        done = o.rescue(done.id)
    assert done.outcome is (Outcome.LIVE if phase is Phase.RETIRING else Outcome.ROLLED_BACK)
    assert o.wrong(done) == []


@pytest.mark.parametrize("phase", [Phase.SOAKING, Phase.ROLLING_BACK, Phase.RETIRING])
def test_pages_of_html_are_waited_out(phase: Phase) -> None:
    """In place of whatever AWS would have said, in the middle of a way back, too."""
    o = bare()
    release = o.start()

    def strike() -> None:
        for service in ("autoscaling", "elbv2", "dynamodb"):
            o.aws.faults.page(f"{service}:*", times=4)

    pages = once(lambda seen: seen.phase is phase, strike)
    back = o.order_back(Phase.SOAKING) if phase is Phase.ROLLING_BACK else lambda _: None

    def when(seen: Release) -> None:
        pages(seen)
        back(seen)

    done = o.drive(release.id, when=when)
    assert done is not None
    assert done.outcome is (Outcome.ROLLED_BACK if phase is Phase.ROLLING_BACK else Outcome.LIVE)
    assert EventKind.ERRED not in kinds(o.told)
    assert o.wrong(done) == []


def test_the_builder_bakes_for_one_release_at_a_time() -> None:
    """The other waits, and goes on when it is free."""
    o = bare()
    release = o.start()
    journal = Journal(o.aws.session(), "bluegreen")
    other = journal.open("api/production", lambda n: {**_facts(release), "service": "api/production", "number": n}, 0.0)
    assert journal.claim_builder(release.builder, other.release, o.clock.now()) == ""
    busy: list[float] = []

    def free_later(seen: Release) -> None:
        if seen.failed_attempt and seen.failed_attempt.code == "BuilderBusy":
            busy.append(o.clock.now())
            if len(busy) == 3:
                journal.free_builder(release.builder, other.release)

    done = o.drive(release.id, when=free_later)
    assert done is not None
    assert done.outcome is Outcome.LIVE
    assert len(busy) >= 3


def _facts(release: Release) -> dict[str, object]:
    """The first event's facts, for a second service."""
    names = ("commit", "image", "hold", "config", "blue_group", "green_group", "image_name", "builder")
    return {**{name: getattr(release, name) for name in names}, "who": "me", "target_groups": []}


@pytest.mark.parametrize("weighted", [False, True])
def test_what_is_awaited_is_written_down_by_whoever_waits(weighted: bool) -> None:
    """Whoever reads the journal knows what the driver waits for, and until when; with few events more."""
    o = fast(weighted=weighted, checks=[])
    release, untold = o.start(hold=True), []

    def tell(seen: Release, event: Event | None, awaited: Awaited | None, deadline: float | None) -> None:
        if event is not None:
            o.told.append(event)
        elif awaited is not None:
            stands = o.engine().load(release.id).awaits
            untold.append((awaited, deadline, stands is not None and stands.like(Awaiting(awaited, deadline))))
        if seen.phase is Phase.HOLDING and not seen.promoters and awaited is Awaited.PROMOTION and untold[-1][2]:
            o.engine().promote("web/production", who="slack:U1")

    o.engine().drive(release.id, tell=tell)
    known = [told for (*_, told) in untold]
    runs = [list(same) for _, same in groupby(untold, key=lambda one: one[:2])]
    assert all(told for run in runs for (*_, told) in run[2:]), "from the third look of a wait on at the latest"
    assert any(known)
    assert kinds(o.told).count(EventKind.AWAITED) <= 15
    said = [Awaited(event.facts["awaited"]) for event in o.told if event.kind is EventKind.AWAITED]
    assert {Awaited.IMAGE, Awaited.GREEN_UP, Awaited.OVERLAP, Awaited.PROMOTION, Awaited.BLUE_EMPTY} <= set(said)


def test_who_parks_a_release_says_what_it_waits_for() -> None:
    """Nobody drives it while a person is awaited, and the card tells until when."""
    o = bare()
    parked = o.drive(o.start(hold=True).id, until=Until.HELD)
    assert parked is not None
    assert parked.awaits == Awaiting(Awaited.PROMOTION, parked.in_phase_since + o.config.promotion.timeout)


def test_a_second_driver_says_that_it_took_over() -> None:
    """The first says nothing of the kind."""
    o = bare()
    release = o.start()
    o.drive(release.id, until=Until.SWITCHED)
    assert EventKind.TAKEN_UP not in kinds(o.told)
    o.drive(release.id)
    assert kinds(o.told).count(EventKind.TAKEN_UP) == 1


def test_a_settled_release_is_not_driven_again() -> None:
    """Driving it once more changes nothing."""
    o = bare()
    release = o.start()
    o.drive(release.id)
    events: list[Event] = o.told[:]
    again = o.drive(release.id)
    assert again is not None
    assert again.outcome is Outcome.LIVE
    assert o.told == events


def test_the_machines_own_clock() -> None:
    """Epoch seconds, and a sleep that lasts."""
    clock = SystemClock()
    before, began = time.time(), time.monotonic()
    assert before <= clock.now() <= time.time()
    clock.sleep(0.02)
    assert time.monotonic() - began >= 0.02
