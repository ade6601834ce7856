"""The stage with weights: real servers, real visitors, and metrics that tell what these met."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from lab.demo_page import SHOWN, UNKNOWN, Colours
from lab.demo_service import DemoService, Teller
from tests.worlds.waiting import eventually

VISITORS = 6


def test_a_weighted_stage(tmp_path: Path) -> None:
    """Shares as the weights say, nobody hurt by a shift, a preview by header, CloudWatch with the real numbers."""
    traffic = {"steps": [0, 25], "overlap": 20}
    world = {"preview": True}
    teller = Teller(Console(file=io.StringIO()))
    stage = DemoService(
        tmp_path, teller, 1, VISITORS, weighted=True, world=world, takes=0.01, pause=0.01, traffic=traffic
    )
    try:
        blue, green = stage.world.target_groups
        config = yaml.safe_load((stage.servers.repository.folder / "bluegreen-person.yml").read_text())
        assert {"target_groups", "listeners", "preview", "steps", "overlap"} == config["traffic"].keys()
        assert ([0, 25], 20, "person") == (*(config["traffic"][key] for key in traffic), config["promotion"]["by"])
        join_green(stage, green)
        weigh(stage, 75, 25)
        began = dict(stage.balancer.counts.by_group)
        moment = stage.aws.clock.now()
        eventually(lambda: stage.balancer.counts.by_group[green] - began.get(green, 0) > 100)
        served = {arn: stage.balancer.counts.by_group[arn] - began.get(arn, 0) for arn in (blue, green)}
        assert 0.25 == pytest.approx(served[green] / sum(served.values()), abs=0.01)
        weigh(stage, 0, 100)
        eventually(lambda: sum(told(stage, green, "RequestCount", moment)) > served[green])
        counted, seconds = told(stage, green, "RequestCount", moment), told(stage, green, "TargetResponseTime", moment)
        assert () == stage.load.seen().failed
        assert sum(counted) > served[green] > 50
        assert 0.01 < seconds[0] < 0.2  # on a slow machine, too
    finally:
        stage.close()


def join_green(stage: DemoService, group: str) -> None:
    """A second group, healthy in the idle target group."""
    stage.world.client("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName="green",
        MinSize=1,
        MaxSize=1,
        VPCZoneIdentifier=",".join(stage.world.subnets),
        LaunchTemplate={"LaunchTemplateId": stage.world.template, "Version": "1"},
        TargetGroupARNs=[group],
    )
    eventually(lambda: list(stage.aws.serving(group).values()) == ["healthy"], 30)


def weigh(stage: DemoService, blue: int, green: int) -> None:
    """Move the traffic."""
    ends = zip(stage.world.target_groups, (blue, green), strict=True)
    shares = [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in ends]
    action = {"Type": "forward", "ForwardConfig": {"TargetGroups": shares}}
    stage.world.client("elbv2").modify_listener(ListenerArn=stage.world.listener, DefaultActions=[action])


def told(stage: DemoService, group: str, metric: str, since: float) -> list[float]:
    """What CloudWatch has of one metric of the group, second by second: sums of counts, medians of times."""
    about = {"Namespace": "AWS/ApplicationELB", "MetricName": metric, "Dimensions": stage.aws.traffic.dimensions(group)}
    stat = {"Metric": about, "Period": 1, "Stat": "Sum" if metric.endswith("Count") else "p50"}
    query = {"Id": "m", "MetricStat": stat}
    answer = stage.world.client("cloudwatch").get_metric_data(
        MetricDataQueries=[query], StartTime=since, EndTime=time.time()
    )
    return [float(value) for value in answer["MetricDataResults"][0]["Values"]]


def test_what_a_version_served_keeps_its_colour() -> None:
    """Blue from the first second; green stays green after a rollback; live, it is blue from then on."""

    def group(role: str, version: str) -> dict[str, Any]:
        return {"role": role, "instances": [{"version": version}]}

    colours = Colours()
    assert colours.of("1") == "grey"
    colours.learn([group("", "1")])
    assert colours.then(1, ["1"]) == {"1": "blue"}
    colours.learn([group("blue", "1"), group("green", UNKNOWN)])
    colours.learn([group("blue", "1"), group("green", "2")])
    assert colours.then(2, ["1", "2"]) == {"1": "blue", "2": "green"}
    colours.learn([group("", "2")])
    assert colours.then(3, ["2"]) == {"2": "blue"}
    assert colours.then(2, ["1", "2"]) == {"1": "blue", "2": "green"}
    colours.learn([group("blue", "2"), group("green", "3")])
    colours.learn([group("", "2")])
    assert (colours.of("3"), colours.of("2"), colours.of("1")) == ("green", "blue", "grey")
    assert colours.then(2 + SHOWN + 1, ["2"]) == {"2": "blue"}
    assert colours.then(2, ["2"]) == {"2": "blue"}  # so old a second is shown no more
