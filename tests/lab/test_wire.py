"""Requests and answers: what goes from hand to hand in this process is what would be read on the wire."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ParamValidationError
from botocore.parsers import create_parser

from lab.aws import fake, wire
from lab.aws.direct import Params, UnsureError, parameters
from lab.aws.fake import FakeAws
from lab.aws.wire import Answer, Incoming, parse
from tests.worlds import GOOD, fast


class Both:
    """Answers every request as on the wire, too, and reads that as boto3 does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.compared: Counter[str] = Counter()
        self.different: list[str] = []
        self.asked: Counter[str] = Counter()
        self._serialise, self._as_read = wire.serialise, wire.as_read
        monkeypatch.setattr(fake, "serialise", self.serialise)
        monkeypatch.setattr(fake, "as_read", self.as_read)

    def serialise(self, request: Incoming, result: Params) -> Answer:
        """What the lab makes of a result."""
        return self._same(request, self._serialise(request, result), self._serialise(_sent(request), result))

    def as_read(self, request: Incoming, answer: Answer) -> Answer:
        """What the lab makes of a written answer."""
        return self._same(request, self._as_read(request, answer), answer)

    def _asked(self, request: Incoming) -> None:
        if request.direct is not None:
            self.asked[request.name] += 1
            read = parse(_sent(request))
            if request.direct != read:
                self.different.append(f"{request.name}: {request.direct} is asked, not {read}")

    def _same(self, request: Incoming, given: Answer, written: Answer) -> Answer:
        self._asked(request)
        if given.read is not None:
            self.compared[request.name] += 1
            if given.read != (read := self._read(request, written)):
                self.different.append(f"{request.name}: {given.read} is not {read}")
        return given

    def _read(self, request: Incoming, answer: Answer) -> Any:
        service = _service(request.service)
        told = {"body": answer.body, "headers": answer.headers, "status_code": answer.status}
        protocol = "query" if answer.body.startswith(b"<") and request.service != "ec2" else service.resolved_protocol
        read = create_parser(protocol).parse(told, service.operation_model(request.operation).output_shape)
        read.pop("ResponseMetadata")
        return read


@cache
def _service(name: str) -> Any:
    made: Any = boto3.Session("x", "x", region_name="eu-west-1")
    return made.client(name).meta.service_model


def _sent(request: Incoming) -> Incoming:
    return replace(request, direct=None)


@pytest.mark.parametrize("weighted", [False, True], ids=["shared", "weighted"])
def test_what_is_given_is_what_would_be_read(monkeypatch: pytest.MonkeyPatch, weighted: bool) -> None:
    """Every request and answer of a whole release, by moto's and botocore's own parsers."""
    both = Both(monkeypatch)
    o = fast(weighted=weighted, rules=weighted)
    done = o.drive(o.start(GOOD).id)
    assert done is not None
    assert both.different == []
    for seen in (both.compared, both.asked):
        assert len(seen) > 25
        assert seen.total() > 200


def _shape(operation: str) -> Any:
    service, name = operation.split(":")
    return _service(service).operation_model(name).input_shape


GROUP = {"AutoScalingGroupName": "web", "MinSize": 1, "MaxSize": 2}


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("autoscaling:CreateAutoScalingGroup", GROUP),
        ("autoscaling:CreateAutoScalingGroup", {**GROUP, "Tags": [{"Key": "a", "PropagateAtLaunch": True}]}),
        ("cloudwatch:PutMetricAlarm", {"AlarmName": "a", "EvaluationPeriods": 1, "ComparisonOperator": "x"}),
        ("dynamodb:GetItem", {"TableName": "abc", "Key": {"pk": {"M": {"a": {"L": [{"N": "1"}]}}}}}),
    ],
)
def test_what_is_sure_is_given(operation: str, params: Params) -> None:
    """As it is, in new hands: who asked may change theirs."""
    given = parameters(_shape(operation), keeps_empty=operation.startswith("dynamodb"))(params)
    assert given == params
    assert given is not params


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("autoscaling:CreateAutoScalingGroup", {**GROUP, "MinSize": "1"}),
        ("autoscaling:CreateAutoScalingGroup", {**GROUP, "MinSize": True}),
        ("autoscaling:CreateAutoScalingGroup", {**GROUP, "NewInstancesProtectedFromScaleIn": 1}),
        ("autoscaling:CreateAutoScalingGroup", {**GROUP, "Members": 1}),
        ("autoscaling:CreateAutoScalingGroup", {**GROUP, "AutoScalingGroupName": ""}),
        ("autoscaling:CreateAutoScalingGroup", {**GROUP, "AutoScalingGroupName": None}),
        ("autoscaling:CreateAutoScalingGroup", {**GROUP, "AvailabilityZones": []}),
        ("autoscaling:CreateAutoScalingGroup", {**GROUP, "TargetGroupARNs": []}),
        ("autoscaling:CreateAutoScalingGroup", {**GROUP, "LaunchTemplate": {}}),
        ("autoscaling:CreateAutoScalingGroup", {"MinSize": 1}),
        ("autoscaling:DescribeAutoScalingGroups", {"AutoScalingGroupNames": "web"}),
        ("cloudwatch:PutMetricAlarm", {"AlarmName": "a", "EvaluationPeriods": 0, "ComparisonOperator": "x"}),
        (
            "cloudwatch:PutMetricAlarm",
            {"AlarmName": "a", "EvaluationPeriods": 1, "ComparisonOperator": "x", "Threshold": 1},
        ),
        ("cloudwatch:GetMetricData", {"MetricDataQueries": [{"Id": "a"}], "StartTime": 1, "EndTime": 2}),
        ("dynamodb:GetItem", {"TableName": "abc", "Key": {"pk": {"B": b"a"}}}),
    ],
)
def test_what_is_not_sure_is_left_to_botocore(operation: str, params: Params) -> None:
    """It would refuse it, or a wire would change it."""
    with pytest.raises(UnsureError):
        parameters(_shape(operation), keeps_empty=operation.startswith("dynamodb"))(params)


def test_wrong_parameters_are_refused_as_ever() -> None:
    """By botocore, before anybody is asked."""
    aws = FakeAws()
    groups: Any = aws.session().client("autoscaling")
    with pytest.raises(ParamValidationError, match="MinSize"):
        groups.create_auto_scaling_group(**{**GROUP, "MinSize": "1"})
    assert aws.calls == []


def test_a_client_of_this_process_tries_as_often_as_it_says() -> None:
    """Three times in all, by the lab's clock; the answer says how often it was tried again."""
    aws = FakeAws()
    config = Config(retries={"mode": "standard", "total_max_attempts": 3})
    groups: Any = aws.session().client("autoscaling", config=config)
    aws.faults.throttle("autoscaling:DescribeAutoScalingGroups", times=2)
    assert groups.describe_auto_scaling_groups()["ResponseMetadata"]["RetryAttempts"] == 2
    aws.faults.throttle("autoscaling:DescribeAutoScalingGroups", times=3)
    with pytest.raises(ClientError, match="Throttling"):
        groups.describe_auto_scaling_groups()
    assert [call.error for call in aws.calls] == ["Throttling", "Throttling", None, *["Throttling"] * 3]
