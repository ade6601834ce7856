"""What AWS answered a moment ago is not asked again, and never given again where a change made it out of date."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from botocore.session import get_session

from bluegreen.aws import FRESH, calls
from bluegreen.aws.calls import Calls, Readings
from bluegreen.events import Outcome, Phase
from tests.worlds import Ops, fast
from tests.worlds.account import AwsStage
from tests.worlds.attachments import hang

GROUPS = "autoscaling:DescribeAutoScalingGroups"


class Remembering(AwsStage):
    """With a clock, an answer is kept."""

    def another_cloud(self, **options: Any) -> Any:
        """As an engine makes it."""
        return super().another_cloud(clock=self.fake.clock.now, **options)

    def cost(self) -> Counter[str]:
        """The calls of one look."""
        before = Counter(self.cloud.calls)
        self.observe()
        return self.cloud.calls - before


def test_a_look_that_follows_at_once_asks_nothing() -> None:
    """Until two seconds are over, so that a look after a wait reads everything."""
    stage = Remembering(ami=True).go_to(Phase.OVERLAPPING)
    stage.clock.sleep(FRESH + 1)
    assert stage.cost()[GROUPS] == 1
    stage.clock.sleep(FRESH)
    assert not stage.cost()
    stage.clock.sleep(0.1)
    assert stage.cost()[GROUPS] == 1


def test_a_faster_poll_reads_everything_at_every_poll() -> None:
    """Half a poll is the most."""
    stage = Remembering(ami=True, config={"poll": "1s"}).go_to(Phase.OVERLAPPING)
    for _ in range(2):
        stage.clock.sleep(1)
        assert stage.cost()[GROUPS] == 1


def test_without_a_clock_everything_is_asked_again() -> None:
    """As a tool that only looks would have it."""
    stage = AwsStage(ami=True).go_to(Phase.OVERLAPPING)
    for _ in range(2):
        before = stage.cloud.calls[GROUPS]
        stage.observe()
        assert stage.cloud.calls[GROUPS] == before + 1


def test_after_an_error_everything_is_read_again() -> None:
    """What was answered may have been the cause."""
    stage = Remembering(ami=True).go_to(Phase.OVERLAPPING)
    stage.clock.sleep(FRESH + 1)
    stage.observe()
    with pytest.raises(ZeroDivisionError), stage.cloud._calls.translate_errors():
        _ = 1 / 0
    assert stage.cost()[GROUPS] == 1


@pytest.mark.parametrize("weighted", [False, True])
def test_what_is_given_again_is_what_aws_would_answer(weighted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole release with everything attached: each answer that is given again is compared with a new one."""
    given, outdated, recalled = Counter[str](), list[str](), Calls._recalled

    def checked(self: Calls, service: str, call: Any) -> Any:
        made = recalled(self, service, call)

        def compared(operation: str, arguments: dict[str, Any]) -> Any:
            before = sum(self.count.values())
            answer = made(operation, arguments)
            if sum(self.count.values()) == before:
                given[operation] += 1
                fresh = call(operation, arguments)
                if {**fresh, "ResponseMetadata": 0} != {**answer, "ResponseMetadata": 0}:
                    outdated.append(operation)
            return answer

        return compared

    monkeypatch.setattr(Calls, "_recalled", checked)
    monkeypatch.setattr(Readings, "group", lambda self, name: None)  # so that groups come through there, too
    o: Ops = fast(20, weighted=weighted)
    hang(o.world, o.world.group)
    done = o.drive(o.start().id)
    assert done is not None
    assert (done.outcome, o.wrong(done), outdated) == (Outcome.LIVE, [], [])
    assert {"DescribeAutoScalingGroups", "DescribePolicies", "DescribeTargetHealth"} <= given.keys()


def test_the_table_names_operations_that_aws_has() -> None:
    """Botocore knows them all."""
    models = {name: get_session().get_service_model(name) for name in ("autoscaling", "cloudwatch", "ec2", "elbv2")}
    named = {*calls._OUTDATED, *(read for outdated in calls._OUTDATED.values() for read in outdated)}
    for service, _, operation in (name.partition(":") for name in named):
        assert operation in models[service].operation_names


def test_a_change_to_one_group_leaves_what_is_known_of_others() -> None:
    """A change that names no group, or that is not in the table, leaves less."""
    readings = Readings(lambda: 0.0, 1.0)

    def left(change: str, group: str) -> set[str]:
        readings.forget()
        readings.keep_group("web", ({},))
        readings.keep_group("other", ())
        readings.keep("autoscaling:DescribePolicies", '{"AutoScalingGroupName": "web"}', {})
        readings.changed(change, group)
        return {asked for _, asked in readings._kept}

    policies = '{"AutoScalingGroupName": "web"}'
    assert left("autoscaling:SuspendProcesses", "web") == {"AutoScalingGroupName other", policies}
    assert left("autoscaling:DeleteTags", "") == {policies}
    assert left("autoscaling:DeleteAutoScalingGroup", "web") == set()
