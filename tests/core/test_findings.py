"""What is found beforehand: refused all at once, let pass by those who know better, told in the first event."""

from __future__ import annotations

from typing import Any

import pytest

from bluegreen.errors import Refused
from bluegreen.events import Awaited, EventKind, Outcome, Phase, Reason
from bluegreen.observation import Finding, FindingKey, Verdict, let_pass
from bluegreen.permission import Order
from tests.worlds import GOOD, Ops, bare

ANN = "arn:aws:iam::1:user/ann"
ONE = Finding(FindingKey.SHARED_TEMPLATE, "a worker follows", "it would launch", Verdict.REFUSED, "Pin it.")


def shared(**changes: Any) -> Ops:
    """A service whose launch template a worker follows."""
    o = bare(**changes)
    o.world.client("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName="worker",
        MinSize=0,
        MaxSize=5,
        VPCZoneIdentifier=o.world.subnets[0],
        LaunchTemplate={"LaunchTemplateId": o.world.template, "Version": "$Latest"},
    )
    return o


def test_words_and_facts() -> None:
    """One clause for people, JSON for the journal."""
    assert ONE.said == "a worker follows: it would launch"
    facts = {"key": "shared_template", "found": "a worker follows", "harm": "it would launch", "verdict": "refused"}
    assert ONE.to_facts() == {**facts, "hint": "Pin it."}


def test_what_may_be_let_pass_is_warned_of() -> None:
    """Of what is refused, and of that only what is allowed."""
    lost = Finding(FindingKey.TEMPLATE_LOST, "it is gone", verdict=Verdict.REFUSED)
    noted = Finding(FindingKey.OPEN_CONNECTIONS, "they stay", verdict=Verdict.NOTED)
    passed = let_pass((ONE, lost, noted), ("shared_template", "open_connections"))
    assert [one.verdict for one in passed] == [Verdict.WARNED, Verdict.REFUSED, Verdict.NOTED]


def test_everything_in_the_way_is_refused_at_once() -> None:
    """Before anything is recorded; with what to mend, and what may be let pass. A plan shows it, and is not refused."""
    o = shared()
    o.world.client("autoscaling").start_instance_refresh(AutoScalingGroupName="web-asg")
    with pytest.raises(Refused) as told:
        o.start()
    assert (told.value.reason, told.value.where) == (Reason.IN_THE_WAY, "web/production")
    assert told.value.what.startswith("the group worker launches by $Latest from blue's launch template ")
    assert " of web-asg is under way" in told.value.what
    assert "cancel-instance-refresh --auto-scaling-group-name web-asg" in told.value.hint
    assert told.value.hint.endswith("`allow: [shared_template]` in bluegreen.yml lets it pass.")
    assert o.engine().history("web/production") == []
    found = o.engine().plan(o.config, commit=GOOD).baseline.findings
    assert [one.key for one in found if one.verdict is Verdict.REFUSED] == ["shared_template", "instance_refresh"]


def test_what_cannot_be_let_pass_offers_nothing() -> None:
    """An instance refresh has to end."""
    o = bare()
    o.world.client("autoscaling").start_instance_refresh(AutoScalingGroupName="web-asg")
    with pytest.raises(Refused) as told:
        o.start()
    assert "allow" not in told.value.hint


def test_what_was_let_pass_is_a_fact_of_the_first_event() -> None:
    """By the configuration, or because the release goes back."""
    o = shared(allow=["shared_template"])
    assert [(one["key"], one["verdict"]) for one in o.start().findings] == [("shared_template", "warned")]
    o = shared()
    again = o.engine().start(o.config, ami=o.world.image, who=ANN, order=Order.RELEASE_AGAIN)
    assert [(one["key"], one["verdict"]) for one in again.findings] == [("shared_template", "warned")]


def test_a_release_waits_for_a_blue_that_is_scaling() -> None:
    """The plan says so; green gets the size that blue has then. A cure does not wait."""
    o = bare()
    assert o.before is not None
    size, more = o.before["DesiredCapacity"], o.before["DesiredCapacity"] + 1
    o.world.client("autoscaling").set_desired_capacity(AutoScalingGroupName="web-asg", DesiredCapacity=more)
    plan = o.engine().plan(o.config, commit=GOOD, ami=o.world.image)
    assert [(one.key, one.verdict) for one in plan.baseline.findings] == [(FindingKey.BLUE_SCALING, Verdict.NOTED)]
    assert plan.baseline.findings[0].said.startswith(f"the group web-asg is scaling: it has {size} instance")
    assert Awaited.BLUE_SETTLED in [step.awaited for step in plan.steps if step.phase is Phase.LAUNCHING]
    release = o.start(ami=o.world.image)
    assert [one["key"] for one in release.findings] == ["blue_scaling"]
    assert not release.cure
    done = o.drive(release.id)
    assert done is not None
    assert (done.outcome, done.size) == (Outcome.LIVE, more)
    assert Awaited.BLUE_SETTLED in [one.facts["awaited"] for one in o.told if one.kind is EventKind.AWAITED]
    assert not o.harm


def test_a_cure_does_not_wait_for_a_blue_that_is_scaling() -> None:
    """It may scale for ever, as its instances die."""
    o = bare()
    o.world.client("autoscaling").set_desired_capacity(AutoScalingGroupName="web-asg", DesiredCapacity=3)
    release = o.start(cure=True)
    assert release.cure.startswith("the group web-asg is scaling: ")
    assert release.findings == ()
