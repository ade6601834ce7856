"""The story of a hook: sent once, to one instance of green; waited for; and what follows when it fails."""

from __future__ import annotations

from typing import Any

import pytest

from bluegreen import phases
from bluegreen.events import DELIVERY, Act, Awaited, EventKind, Outcome, Phase, Reason, Verb
from bluegreen.observation import Command
from bluegreen.phases import Enter, Rest, RollBack, Wait, hooks
from bluegreen.phases.decision import Situation
from tests.worlds.release import Stage

BEFORE, AFTER = Verb.RUN_BEFORE_SWITCH, Verb.RUN_AFTER_LIVE
HOOKS = {"before_switch": {"run": "./migrate up", "timeout": "5m"}, "after_live": {"run": "./migrate contract"}}
FIRST, SECOND = "web-production-v42-0", "web-production-v42-1"
RUNNING, DONE, FAILED = Command("c", "running"), Command("c", "succeeded"), Command("c", "failed", "no such table")
#: When the wait for a command that was sent ends: its own limit, the time to reach it, and that to see it.
LIMIT = 300 + DELIVERY + phases.GRACE


def launched(**changes: Any) -> Stage:
    """Green is in service, and the hook is next."""
    return Stage(hooks=HOOKS, **changes).launched()


def sent(stage: Stage | None = None, verb: Verb = BEFORE) -> Stage:
    """It was sent."""
    return (stage or launched()).did(verb, instances=[FIRST], command="c")


def begun() -> Stage:
    """A driver died while it sent it, or heard no answer."""
    return launched().told(EventKind.BEGAN, verb=BEFORE, instances=[FIRST])


def retired(**changes: Any) -> Stage:
    """Blue is gone, green is tidied up, and the last hook is next."""
    stage = Stage(hooks=HOOKS, **changes).switched().enters(Phase.RETIRING)
    stage.did(Verb.FOLLOW_BLUE, Verb.STILL_BLUE, Verb.EMPTY_BLUE, Verb.SET_DEFAULT_VERSION)
    stage.did(Verb.RESTORE_GREEN, Verb.RESUME_GREEN, Verb.DELETE_BLUE, Verb.MARK_IMAGE)
    return stage.sees(blue=None).targets(green="healthy")


def end(stage: Stage) -> Rest:
    """The last decision."""
    decision = stage.decision
    assert isinstance(decision, Rest)
    return decision


# --- before the switch ---


def test_it_runs_once_green_is_in_service_and_before_it_is_judged() -> None:
    """On the first of green, and nothing else happens meanwhile; when it has ended well, checking begins."""
    s = launched()
    assert s.decision == Act(BEFORE, instances=(FIRST,))
    s.did(BEFORE, instances=[FIRST], command="c")
    assert s.decision == Wait(Awaited.HOOK, 5.0, s.now + LIMIT)
    assert s.sees(hook=RUNNING).decision == Wait(Awaited.HOOK, 5.0, s.now + LIMIT)
    assert s.sees(hook=DONE).decision == Enter(Phase.CHECKING)


def test_a_release_without_hooks_goes_on_as_ever() -> None:
    """Neither is required."""
    assert Stage().launched().decision == Enter(Phase.CHECKING)


@pytest.mark.parametrize(
    ("command", "said"), [(FAILED, "no such table"), (Command("c", "failed"), "it printed nothing")]
)
def test_one_that_fails_goes_back(command: Command, said: str) -> None:
    """Green has had no traffic; the end of what it printed says why."""
    why = f"the hook before_switch on {FIRST} failed: {said}"
    assert sent().sees(hook=command).decision == RollBack(Reason.HOOK_FAILED, why)


def test_one_that_does_not_end_goes_back() -> None:
    """SSM ends it after its own limit, but its agent may be gone."""
    s = sent().sees(hook=RUNNING)
    assert isinstance(s.passes(LIMIT - 1).decision, Wait)
    assert s.passes(1).decision == RollBack(
        Reason.HOOK_FAILED, f"the hook before_switch on {FIRST} did not end within 5m"
    )


def test_one_whose_instance_is_gone_goes_back() -> None:
    """It is never sent to another: nobody knows how far it came."""
    s = sent().sees(hook=RUNNING).alter("green", instances=())
    why = f"the hook before_switch on {FIRST} did not end: the instance is gone"
    assert s.decision == RollBack(Reason.HOOK_FAILED, why)


def test_one_that_may_have_been_sent_is_looked_for_before_it_is_sent_again() -> None:
    """AWS is given time to list it; then the same is done on the same instance, which finds what runs there."""
    s = begun()
    assert s.decision == Wait(Awaited.HOOK, 5.0)
    assert begun().sees(hook=RUNNING).decision == Act(BEFORE, instances=(FIRST,))
    assert s.passes(phases.GRACE).decision == Act(BEFORE, instances=(FIRST,))
    s.alter("green", instances=s.seen.green.instances[1:])  # type: ignore[union-attr]  # it is there
    why = f"the hook before_switch may have run on {FIRST}, which is gone"
    assert s.decision == RollBack(Reason.HOOK_FAILED, why)


@pytest.mark.parametrize(("code", "then"), [("InvalidInstanceId", SECOND), ("ServiceUnavailable", FIRST)])
def test_only_a_sure_refusal_lets_another_instance_run_it(code: str, then: str) -> None:
    """An agent that is not online took nothing; an answer that was lost says nothing."""
    s = begun().told(EventKind.STUMBLED, verb=BEFORE, code=code, message="no", transient=True, denied=False)
    assert s.passes(phases.GRACE).decision == Act(BEFORE, instances=(then,))


def test_the_last_one_refused_is_followed_by_the_first() -> None:
    """Round and round, until the patience with AWS is over."""
    s = launched().told(EventKind.BEGAN, verb=BEFORE, instances=["web-production-v42-3"])
    s.told(EventKind.STUMBLED, verb=BEFORE, code="InvalidInstanceId", message="no", transient=True, denied=False)
    assert s.passes(5).decision == Act(BEFORE, instances=(FIRST,))


def test_the_time_that_it_takes_is_no_delay_of_the_launch() -> None:
    """An instance that is lost meanwhile has its whole time to be replaced."""
    s = sent().passes(1000).sees(hook=DONE)
    green = s.seen.green
    assert green is not None
    s.alter("green", instances=green.instances[:3])
    assert s.decision == Wait(Awaited.GREEN_UP, 30.0, 1000 + 300 + 900)


def test_of_a_green_that_nobody_is_in_it_says_so() -> None:
    """Whoever asked for it gets no release without it."""
    s = retired()
    s.alter("green", instances=(), desired=0)
    assert hooks.failure(Situation(s.release, s.seen, s.config, s.now)) == (
        "the hook after_live found no instance of green in service"
    )


def test_it_waits_for_an_agent_that_answers() -> None:
    """An instance is in service before; another one may be the first. For ever it does not wait."""
    s = launched().sees(agents=frozenset())
    assert s.decision == Wait(Awaited.AGENT, 5.0, 1000 + 600)
    assert s.sees(agents=frozenset({SECOND})).decision == Act(BEFORE, instances=(SECOND,))
    why = "the hook before_switch could not be sent: SSM reaches no instance of green"
    assert s.sees(agents=frozenset()).passes(600).decision == RollBack(Reason.HOOK_FAILED, why)


# --- going back ---


def test_a_green_that_goes_waits_for_its_hook() -> None:
    """Blue serves, and half a migration may be worse than a whole one; as soon as it ends, green goes."""
    s = sent().sees(hook=RUNNING).rolls_back()
    assert s.decision == Wait(Awaited.HOOK, 5.0, s.now + LIMIT)
    assert s.sees(hook=FAILED).verb is Verb.DELETE_GREEN
    assert s.sees(hook=RUNNING).passes(LIMIT).verb is Verb.DELETE_GREEN
    assert sent().sees(hook=RUNNING).rolls_back().alter("green", instances=()).verb is Verb.DELETE_GREEN


def test_of_one_that_may_have_been_sent_it_waits_as_long_as_AWS_may_hide_it() -> None:
    """Then there is none."""
    s = begun().rolls_back()
    assert isinstance(s.decision, Wait)
    assert s.sees(hook=RUNNING).passes(phases.GRACE).decision == Wait(Awaited.HOOK, 5.0, 1000 + LIMIT)
    assert s.sees(hook=None).verb is Verb.DELETE_GREEN


def test_once_it_has_ended_nobody_asks_again() -> None:
    """Green was judged afterwards."""
    assert sent().enters(Phase.CHECKING).rolls_back().verb is Verb.DELETE_GREEN
    assert launched().rolls_back().verb is Verb.DELETE_GREEN


# --- after live ---


def test_the_last_hook_runs_when_nothing_returns_to_blue_any_more() -> None:
    """And the release is live when it has ended."""
    s = retired()
    assert s.decision == Act(AFTER, instances=(FIRST,))
    sent(s, AFTER)
    assert s.decision == Wait(Awaited.HOOK, 5.0, s.now + 600 + DELIVERY + phases.GRACE)
    assert end(s.sees(hook=DONE)).message == "web-production-v42 serves alone"


def test_a_last_hook_that_fails_is_told_and_the_release_is_live() -> None:
    """Green serves alone, whatever became of it."""
    last = end(sent(retired(), AFTER).sees(hook=FAILED))
    assert last.outcome is Outcome.LIVE
    assert last.message == f"web-production-v42 serves alone; the hook after_live on {FIRST} failed: no such table"


def test_one_that_AWS_does_not_let_us_send_is_given_up() -> None:
    """With AWS's words."""
    s = retired().told(EventKind.BEGAN, verb=AFTER, instances=[FIRST])
    s.told(EventKind.STUMBLED, verb=AFTER, code="AccessDenied", message="no right.", transient=False, denied=True)
    assert end(s).message == "web-production-v42 serves alone; the hook after_live could not be run: no right"


# --- without ---


def test_an_earlier_image_runs_no_hook() -> None:
    """It was live before; the end says so."""
    s = launched(started={"goes_back": True})
    assert s.decision == Enter(Phase.CHECKING)
    assert end(retired(started={"goes_back": True})).message == (
        "web-production-v42 serves alone; did not run its hook before_switch and after_live"
    )


# --- what is recorded ---


def test_what_becomes_of_it_is_recorded_when_it_changes() -> None:
    """By its name."""
    s = sent().sees(hook=RUNNING).notices()
    assert s.release.observed["hook before_switch"].value == "running"
    s = sent(retired(), AFTER).sees(hook=DONE).notices()
    assert s.release.observed["hook after_live"].value == "succeeded"
