"""The checks: what passes, what fails, and that nothing raises."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import urllib3

from bluegreen.aws import Page
from bluegreen.aws.probes import fetcher
from bluegreen.observation import CheckResult
from bluegreen.release import Phase
from tests.aws_stage import AwsStage

HTTP = {"name": "home", "http": "https://web.example.com/healthz", "contains": "ok", "headers": {"x-preview": "green"}}
RUN = {"name": "unit", "run": "curl -fsS localhost/healthz"}
ALARM = {"name": "errors", "alarm": "web-5xx"}


def overlapping(*checks: dict[str, Any], **world: Any) -> AwsStage:
    """A stage where both serve, and no check was asked yet in this process."""
    stage = AwsStage(config={"checks": [{"when": ["overlapping"], **check} for check in checks]}, ami=True, **world)
    stage.go_to(Phase.OVERLAPPING)
    stage.clock.sleep(60)  # green's agents report
    stage.cloud = stage.another_cloud()
    return stage


def answers(stage: AwsStage, looks: int = 1, seconds: float = 5) -> list[CheckResult]:
    """The results of so many looks."""
    found: list[CheckResult] = []
    for _ in range(looks):
        found += stage.observe().checks
        stage.clock.sleep(seconds)
    return found


# --- http ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "passed", "value"),
    [
        (Page(200, b"all ok", 0.21), True, "200 after 0.2 s"),
        (Page(200, b"all ok", None), True, "200"),
        (Page(503, b"ok", 0.21), False, "503 after 0.2 s"),
        (Page(301, b"ok", 0.21), False, "301 after 0.2 s"),
        (Page(200, b"welcome", 0.21), False, "200 after 0.2 s, without `ok`"),
        (urllib3.exceptions.ReadTimeoutError(None, "/", "late"), False, "no answer within 5 s"),  # type: ignore[arg-type]
        (urllib3.exceptions.SSLError("certificate verify failed"), False, "no answer: certificate verify failed"),
        (OSError("unreachable"), False, "no answer: unreachable"),
    ],
)
def test_an_http_check_says_what_was_answered(page: Page | Exception, passed: bool, value: str) -> None:
    """Status, time, and what is missing; an answer that does not come fails with its cause."""

    def fetch(url: str, headers: Mapping[str, str], timeout: float) -> Page:
        assert (url, dict(headers), timeout) == (HTTP["http"], HTTP["headers"], 5.0)
        if isinstance(page, Exception):
            raise page
        return page

    stage = overlapping(HTTP)
    stage.cloud = stage.another_cloud(fetch=fetch)
    (result,) = answers(stage)
    assert (result.name, result.passed, result.value) == ("home", passed, value)


class Server(http.server.BaseHTTPRequestHandler):
    """Answers what its path says."""

    def do_GET(self) -> None:
        """`/204` and so on; `/header` gives back a header."""
        status = 302 if self.path == "/away" else 200
        self.send_response(status)
        self.send_header("location", "/")
        self.end_headers()
        self.wfile.write((self.headers.get("x-preview") or "none").encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    """The address of a real server."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_fetching_in_earnest(url: str) -> None:
    """Headers are sent, redirects are not followed, time is taken."""
    ticks = iter(range(100))
    page = fetcher(lambda: float(next(ticks)) / 10)(f"{url}/", {"x-preview": "green"}, 5)
    assert (page.status, page.body) == (200, b"green")
    assert page.seconds is not None
    assert page.seconds > 0
    assert fetcher(None)(f"{url}/away", {}, 5) == Page(302, b"none", None)


def test_a_page_that_trickles_is_no_answer(url: str) -> None:
    """It would keep an order to roll back waiting."""
    ticks = iter(range(0, 1000, 10))
    with pytest.raises(TimeoutError):
        fetcher(lambda: float(next(ticks)))(f"{url}/", {}, 5)


def test_nobody_listens() -> None:
    """The root cause, without the library's wrapping."""
    stage = overlapping({**HTTP, "http": "http://127.0.0.1:1/"})
    (result,) = answers(stage)
    assert (result.passed, result.value) == (False, "no answer: [Errno 111] Connection refused")


def test_checks_are_asked_at_their_own_pace() -> None:
    """`every`, whatever the driver's."""
    asked = []

    def fetch(url: str, headers: Mapping[str, str], timeout: float) -> Page:
        asked.append(url)
        return Page(200, b"ok", None)

    stage = overlapping({**HTTP, "every": "20s"})
    stage.cloud = stage.another_cloud(fetch=fetch)
    assert len(answers(stage, looks=9, seconds=5)) == 3
    assert len(asked) == 3


def test_checks_keep_to_their_phases() -> None:
    """Holding and switching are part of the overlap to a check."""
    stage = AwsStage(config={"checks": [{**ALARM, "when": ["overlapping"]}]}, ami=True)
    stage.go_to(Phase.CHECKING)
    assert stage.observe().checks == ()
    for phase, expected in ((Phase.HOLDING, 1), (Phase.SWITCHING, 1), (Phase.SOAKING, 0)):
        stage.enters(phase)
        stage.cloud = stage.another_cloud()
        assert len(stage.observe().checks) == expected


# --- alarms --------------------------------------------------------------------------------------


def alarm(stage: AwsStage, state: str) -> None:
    """The alarm, in this state."""
    watch = stage.client("cloudwatch")
    watch.put_metric_alarm(
        AlarmName="web-5xx",
        MetricName="HTTPCode_Target_5XX_Count",
        Namespace="AWS/ApplicationELB",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )
    watch.set_alarm_state(AlarmName="web-5xx", StateValue=state, StateReason="2 datapoints were over 1")


@pytest.mark.parametrize(
    ("state", "passed", "value"),
    [
        ("OK", True, "OK"),
        ("ALARM", False, "ALARM: 2 datapoints were over 1"),
        ("INSUFFICIENT_DATA", False, "INSUFFICIENT_DATA: 2 datapoints were over 1"),
        ("", False, "there is no alarm `web-5xx`"),
    ],
)
def test_only_an_alarm_that_is_ok_passes(state: str, passed: bool, value: str) -> None:
    """Missing data is no good news."""
    stage = overlapping(ALARM)
    if state:
        alarm(stage, state)
    (result,) = answers(stage)
    assert (result.passed, result.value) == (passed, value)


def test_alarms_are_asked_for_in_one_call() -> None:
    """However many there are."""
    stage = overlapping(ALARM, {"name": "other", "alarm": "web-latency"})
    assert [r.name for r in answers(stage)] == ["errors", "other"]
    assert stage.cloud.calls["cloudwatch:DescribeAlarms"] == 1


# --- commands ------------------------------------------------------------------------------------


def test_a_command_runs_on_every_green_instance() -> None:
    """It is sent in one look, and its answer comes in a later one."""
    stage = overlapping(RUN)
    assert stage.observe().checks == ()
    stage.clock.sleep(10)
    (result,) = stage.observe().checks
    assert (result.passed, result.value) == (True, "4 of 4 passed")
    commands = stage.client("ssm").list_commands()["Commands"]
    assert set(commands[0]["InstanceIds"]) == set(stage.pretend.members(stage.release.green_group))


def test_more_instances_than_one_call_takes() -> None:
    """Fifty a call."""
    stage = overlapping(RUN, instances=60)
    before = stage.cloud.calls["ssm:SendCommand"]
    (result,) = answers(stage, looks=2, seconds=9)
    assert result.value == "60 of 60 passed"
    assert stage.cloud.calls["ssm:SendCommand"] - before == 2


def test_a_command_that_fails_says_where_and_what() -> None:
    """The first instance and its last line, secrets masked."""
    stage = overlapping(RUN)
    stage.machines.fails("curl -fsS", output="starting\ncurl: (22) s3cret", times=1)
    stage.cloud = stage.another_cloud(mask=lambda text: text.replace("s3cret", "***"))
    (result,) = answers(stage, looks=2, seconds=9)
    assert not result.passed
    assert result.value.startswith("3 of 4 passed; i-")
    assert result.value.endswith(": curl: (22) ***")


def test_a_command_that_never_ends_fails() -> None:
    """Missing data fails a check."""
    stage = overlapping(RUN)
    stage.machines.slow("curl -fsS", 3600)
    results = answers(stage, looks=25, seconds=5)
    assert results
    assert not results[0].passed


def test_another_process_takes_over_the_commands_on_their_way() -> None:
    """They are found by their comment, and not sent again."""
    stage = overlapping(RUN)
    stage.observe()
    stage.clock.sleep(9)
    other = stage.another_cloud()
    assert other.observe(stage.release, stage.clock.now()).checks == ()
    (result,) = other.observe(stage.release, stage.clock.now()).checks
    assert result.passed
    assert other.calls["ssm:SendCommand"] == 0


# --- trouble -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("check", "operation"), [(ALARM, "cloudwatch:DescribeAlarms"), (RUN, "ssm:SendCommand")], ids=["alarm", "run"]
)
def test_a_check_that_cannot_be_asked_fails_with_the_cause(check: dict[str, Any], operation: str) -> None:
    """It never raises, be the trouble passing or not."""
    for trouble, said in (
        ("deny", f"could not be asked: not allowed: {operation}"),
        ("throttle", "could not be asked:"),
    ):
        stage = overlapping(check)
        getattr(stage.pretend.faults, trouble)(operation)
        (result,) = answers(stage)
        assert not result.passed
        assert result.value.startswith(said)
