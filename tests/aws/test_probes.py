"""The checks: what passes, what fails, and that nothing raises."""

from __future__ import annotations

import contextlib
import http.server
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bluegreen.aws import Fetch, HttpAnswer, HttpRequest
from bluegreen.aws.probes import PATIENCE, SOON, fetcher
from bluegreen.events import Phase
from bluegreen.observation import CheckResult
from tests.worlds.account import AwsStage

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


def answered(stage: AwsStage) -> list[CheckResult]:
    """The results of the first look that has any: what is asked in earnest takes real time."""
    for _ in range(300):
        if found := stage.observe().checks:
            return list(found)
        time.sleep(0.01)
    raise AssertionError("no answer")


def at_once(page: Callable[[HttpRequest], HttpAnswer]) -> Fetch:
    """Answers that are there when they are asked for."""

    def answer(asked: HttpRequest) -> Future[HttpAnswer]:
        made: Future[HttpAnswer] = Future()
        try:
            made.set_result(page(asked))
        except Exception as error:
            made.set_exception(error)
        return made

    return lambda questions: [answer(one) for one in questions]


class Out:
    """Questions whose answers are given by the test."""

    def __init__(self) -> None:
        self.answers: list[Future[HttpAnswer]] = []

    def fetch(self, questions: Sequence[HttpRequest]) -> list[Future[HttpAnswer]]:
        """Answers that are out."""
        made: list[Future[HttpAnswer]] = [Future() for _ in questions]
        self.answers += made
        return made


# --- http ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "passed", "value"),
    [
        (HttpAnswer(200, b"all ok", 0.21), True, "200 after 0.2 s"),
        (HttpAnswer(200, b"all ok", None), True, "200"),
        (HttpAnswer(503, b"ok", 0.21), False, "503 after 0.2 s"),
        (HttpAnswer(301, b"ok", 0.21, "/login"), False, "301 after 0.2 s, to /login"),
        (HttpAnswer(200, b"welcome", 0.21), False, "200 after 0.2 s, without `ok`"),
        (urllib3.exceptions.ReadTimeoutError(None, "/", "late"), False, "no answer within 5 s"),  # type: ignore[arg-type]
        (urllib3.exceptions.SSLError("certificate verify failed"), False, "no answer: certificate verify failed"),
        (OSError("unreachable"), False, "no answer: unreachable"),
        (RuntimeError("what nobody thought of"), False, "no answer: what nobody thought of"),
    ],
)
def test_an_http_check_says_what_was_answered(page: HttpAnswer | Exception, passed: bool, value: str) -> None:
    """Status, time, and what is missing; an answer that does not come fails with its cause."""

    def got(asked: HttpRequest) -> HttpAnswer:
        assert (asked.url, dict(asked.headers), asked.timeout) == (HTTP["http"], HTTP["headers"], 5.0)
        if isinstance(page, Exception):
            raise page
        return page

    stage = overlapping(HTTP)
    stage.cloud = stage.another_cloud(fetch=at_once(got))
    (result,) = answers(stage)
    assert (result.name, result.passed, result.value) == ("home", passed, value)


BODY = b"""{"status": {"db": "ok", "ready": true, "workers": 3}, "shards": [{"id": 7, "lag": 0.5}], "note": "s3cret"}"""


@pytest.mark.parametrize(
    ("wanted", "body", "said"),
    [
        ({"status.db": "ok"}, BODY, ""),
        ({"status.ready": True, "status.workers": 3, "shards.0.lag": 0.5}, BODY, ""),
        ({"status": {"db": "ok", "ready": True, "workers": 3}}, BODY, ""),
        ({"status.db": "down"}, BODY, ', `status.db` is "ok", not "down"'),
        ({"status.db": "ok", "shards.0.id": 8}, BODY, ", `shards.0.id` is 7, not 8"),
        ({"status.workers": "3"}, BODY, ', `status.workers` is 3, not "3"'),
        ({"status.ready": 1}, BODY, ", `status.ready` is true, not 1"),
        ({"status.cache": None}, BODY, ", without `status.cache`"),
        ({"shards.1.id": 7}, BODY, ", without `shards.1.id`"),
        ({"shards.first": 7}, BODY, ", without `shards.first`"),
        ({"status.db.host": "ok"}, BODY, ", without `status.db.host`"),
        ({"note": "x"}, BODY, ', `note` is "***", not "x"'),
        ({"long": 1}, b'{"long": "' + b"x" * 500 + b'"}', f', `long` is "{"x" * 58}…, not 1'),
        ({"a": 1}, b"<html>", ", not JSON"),
        ({"a": 1}, b"[" * 100_000, ", not JSON"),
        ({"a": 1}, b'{"a": "' + b"x" * (1 << 20), ", more than 1 MiB of JSON"),
    ],
)
def test_json_values_are_looked_up(wanted: dict[str, Any], body: bytes, said: str) -> None:
    """By their path through objects and lists; what is otherwise is told, secrets masked."""
    stage = overlapping({"name": "home", "http": "http://web.example.com/", "json": wanted, "reveal": True})
    mask = {"mask": lambda text: text.replace("s3cret", "***")}
    stage.cloud = stage.another_cloud(fetch=at_once(lambda _: HttpAnswer(200, body, None)), **mask)
    (result,) = answers(stage)
    assert (result.passed, result.value) == (not said, f"200{said}")


@pytest.mark.parametrize(("show", "said"), [(False, ""), (True, '"sk…", ')])
def test_the_value_is_told_only_when_asked_for(show: bool, said: str) -> None:
    """It may be a secret of a kind that nobody knows."""
    stage = overlapping({"name": "a", "http": "http://a", "json": {"key": "x"}, **({"reveal": True} if show else {})})
    stage.cloud = stage.another_cloud(fetch=at_once(lambda _: HttpAnswer(200, b'{"key": "sk\xe2\x80\xa6"}', None)))
    (result,) = answers(stage)
    assert result.value == f'200, `key` is {said}not "x"'


def resolver(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Every name leads there; which were looked up. Addresses lead to themselves."""
    looked: list[str] = []
    real = socket.getaddrinfo

    def found(host: str, port: int, *rest: Any, **named: Any) -> list[Any]:
        if host.replace(".", "").isdigit():
            return real(host, port, *rest, **named)
        looked.append(host)
        family = {True: socket.AF_INET6, False: socket.AF_INET}
        return [(family[":" in one], socket.SOCK_STREAM, 6, "", (one, port)) for one in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", found)
    return looked


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1%eth0", "fd00:ec2::254", "::ffff:169.254.169.254"])
def test_a_name_that_leads_to_metadata_is_not_asked(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Whatever else it leads to."""
    resolver(monkeypatch, "127.0.0.1", address)
    (result,) = answered(overlapping({**HTTP, "http": "http://web.example.com:1/"}))
    said = f"no answer: web.example.com is at {address}, which is link-local: refused, because credentials are there"
    assert (result.passed, result.value) == (False, said)


def test_what_was_looked_up_is_what_is_asked(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looked up once, or the second answer could lead elsewhere; addresses that do not answer are passed over."""
    looked = resolver(monkeypatch, "127.0.0.2", "127.0.0.1")
    port = urllib3.util.parse_url(url).port
    assert fetcher(None)([HttpRequest(f"http://web.example.com:{port}/", {}, 5)])[0].result(5).status == 200
    assert looked == ["web.example.com"]


def test_a_name_that_is_nobody_s() -> None:
    """The cause is told."""
    with pytest.raises(urllib3.exceptions.NameResolutionError):
        fetcher(None)([HttpRequest("http://web.invalid/", {}, 5)])[0].result(5)


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
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_fetching_in_earnest(url: str) -> None:
    """Headers are sent, redirects are not followed, time is taken."""
    ticks = iter(range(100))
    page = fetcher(lambda: float(next(ticks)) / 10)([HttpRequest(f"{url}/", {"x-preview": "green"}, 5)])[0].result(5)
    assert (page.status, page.body) == (200, b"green")
    assert page.seconds is not None
    assert page.seconds > 0
    (away,) = fetcher(None)([HttpRequest(f"{url}/away", {}, 5)])
    assert away.result(5) == HttpAnswer(302, b"none", None, "/")


def test_nobody_listens() -> None:
    """The root cause, without the library's wrapping."""
    stage = overlapping({**HTTP, "http": "http://127.0.0.1:1/"})
    (result,) = answered(stage)
    assert (result.passed, result.value) == (False, "no answer: [Errno 111] Connection refused")


@pytest.fixture
def raw() -> Iterator[Callable[[bytes, float], str]]:
    """Serves bytes over and over, with a pause after each time; a server's address, until the client has had enough."""
    sockets = []

    def serve(piece: bytes, pause: float) -> str:
        listening = socket.create_server(("127.0.0.1", 0))
        sockets.append(listening)

        def answer() -> None:
            with contextlib.suppress(OSError):
                talking, _ = listening.accept()
                sockets.append(talking)
                talking.sendall(b"HTTP/1.1 200 OK\r\n")
                while not over.wait(pause):
                    talking.sendall(piece)

        threading.Thread(target=answer, daemon=True).start()
        return f"http://127.0.0.1:{listening.getsockname()[1]}/"

    over = threading.Event()
    yield serve
    over.set()
    for one in sockets:
        one.close()


@pytest.mark.parametrize("piece", [b"x-more: 1\r\n", b"\r\n", b""], ids=["headers", "body", "nothing"])
def test_an_answer_that_never_ends_is_none(raw: Callable[[bytes, float], str], piece: bytes) -> None:
    """Though something comes all the time; and no thread is left, nor a connection."""
    before = set(threading.enumerate())
    stage = overlapping({"name": "home", "http": raw(piece, 0.05), "timeout": 0.2})
    stage.cloud = stage.another_cloud(stopwatch=time.monotonic)
    (result,) = answered(stage)
    assert (result.passed, result.value) == (False, "no answer within 0.2 s")
    mine = [one for one in threading.enumerate() if one not in before and "answer" not in one.name]
    for one in mine:
        one.join(5)
    assert not any(one.is_alive() for one in mine)


def test_a_look_does_not_wait_for_an_answer_that_is_out() -> None:
    """It has no news of the check; a later look has, whatever came meanwhile."""
    out = Out()
    stage = overlapping({**HTTP, "timeout": "30s"})
    stage.cloud = stage.another_cloud(fetch=out.fetch)
    assert answers(stage) == []
    out.answers[0].set_result(HttpAnswer(200, b"ok", 4.2))
    assert [(one.passed, one.value) for one in answers(stage)] == [(True, "200 after 4.2 s")]
    assert len(out.answers) == 1, "due again 10 s after it was asked"


def test_what_does_not_come_at_once_is_not_waited_for(raw: Callable[[bytes, float], str]) -> None:
    """A rollback may be ordered meanwhile."""
    stage = overlapping({"name": "home", "http": raw(b"", 1), "timeout": "30s"})
    began = time.monotonic()
    assert answers(stage) == []
    assert SOON <= time.monotonic() - began < SOON + 2


def test_what_never_comes_back_is_not_asked_again() -> None:
    """Looking up a name cannot be broken off: the check fails, time and again, and has one thread."""
    out = Out()
    stage = overlapping(HTTP)
    stage.cloud = stage.another_cloud(fetch=out.fetch)
    found = answers(stage, looks=7, seconds=5 + PATIENCE)
    assert [(one.passed, one.value) for one in found] == [(False, "no answer within 5 s")] * 6
    assert len(out.answers) == 1


def test_what_was_asked_in_another_phase_says_nothing_of_this_one() -> None:
    """It was blue that answered, perhaps."""
    out = Out()
    stage = overlapping({**HTTP, "when": ["overlapping", "soaking"]})
    stage.cloud = stage.another_cloud(fetch=out.fetch)
    assert answers(stage) == []
    stage.enters(Phase.SOAKING)
    out.answers[0].set_result(HttpAnswer(200, b"ok", 4.2))
    assert answers(stage) == []
    out.answers[1].set_result(HttpAnswer(503, b"", 0.1))
    assert [one.value for one in answers(stage)] == ["503 after 0.1 s"]


def test_a_machine_without_threads_to_spare(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check fails, and says why."""
    stage = overlapping({**HTTP, "http": "http://127.0.0.1:1/"})

    def start(_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    (result,) = answers(stage)
    assert result.value == "no answer: can't start new thread"


def test_one_that_hangs_does_not_hold_up_the_others(url: str, raw: Callable[[bytes, float], str]) -> None:
    """They are asked side by side, however many there are."""
    many = [{"name": f"page {n}", "http": f"{url}/{n}"} for n in range(12)]
    stage = overlapping({"name": "hangs", "http": raw(b"", 1), "timeout": "30s"}, *many)
    found: set[str] = set()
    for _ in range(300):
        found |= {one.name for one in stage.observe().checks if one.passed}
        if len(found) == 12:
            return
        time.sleep(0.01)
    raise AssertionError(found)


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    (folder / "cert.pem").write_bytes(made.public_bytes(pem))
    (folder / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """An https server for the name localhost, and its certificate, which nobody else vouches for."""
    cert, key = certificate(tmp_path, "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"https://localhost:{server.server_port}/", cert
    server.shutdown()
    server.server_close()


def test_certificates_are_verified(secure: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Who vouches for itself is not believed, nor who bears another name; the cause is told."""
    url, cert = secure
    (unknown,) = answered(overlapping({"name": "home", "http": url}))
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    (known,) = answered(overlapping({"name": "home", "http": url}))
    (other,) = answered(overlapping({"name": "home", "http": url.replace("localhost", "127.0.0.1")}))
    assert (unknown.passed, known.passed, other.passed) == (False, True, False)
    assert "certificate verify failed: self-signed certificate" in unknown.value
    assert "certificate verify failed: IP address mismatch" in other.value


def test_checks_are_asked_at_their_own_pace() -> None:
    """`every`, whatever the driver's."""
    asked = []

    def page(question: HttpRequest) -> HttpAnswer:
        asked.append(question.url)
        return HttpAnswer(200, b"ok", None)

    stage = overlapping({**HTTP, "every": "20s"})
    stage.cloud = stage.another_cloud(fetch=at_once(page))
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


def alarm(stage: AwsStage, state: str, name: str = "web-5xx") -> None:
    """The alarm, in this state."""
    watch = stage.client("cloudwatch")
    watch.put_metric_alarm(
        AlarmName=name,
        MetricName="HTTPCode_Target_5XX_Count",
        Namespace="AWS/ApplicationELB",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )
    watch.set_alarm_state(AlarmName=name, StateValue=state, StateReason="2 datapoints were over 1")


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


@pytest.mark.parametrize(
    ("state", "passed", "value"),
    [
        ("OK", True, "OK"),
        ("ALARM", False, "ALARM: 2 datapoints were over 1"),
        ("INSUFFICIENT_DATA", True, "INSUFFICIENT_DATA, which passes"),
        ("", False, "there is no alarm `web-5xx`"),
    ],
)
def test_missing_data_may_pass(state: str, passed: bool, value: str) -> None:
    """Where the config says so; a deleted alarm never does."""
    stage = overlapping({**ALARM, "missing": "pass"})
    alarm(stage, state or "OK")
    if not state:
        stage.client("cloudwatch").delete_alarms(AlarmNames=["web-5xx"])
    (result,) = answers(stage)
    assert (result.passed, result.value) == (passed, value)


@pytest.mark.parametrize("state", ["OK", "ALARM", "INSUFFICIENT_DATA"])
def test_a_composite_alarm_counts_as_one(state: str) -> None:
    """Asked for by its name, like any other."""
    stage = overlapping({"name": "all", "alarm": "web-all"})
    alarm(stage, "OK")
    watch = stage.client("cloudwatch")
    watch.put_composite_alarm(AlarmName="web-all", AlarmRule="ALARM(web-5xx)")
    watch.set_alarm_state(AlarmName="web-all", StateValue=state, StateReason="said so")
    (result,) = answers(stage)
    assert (result.passed, result.value) == (state == "OK", state if state == "OK" else f"{state}: said so")


def test_more_alarms_than_one_call_takes() -> None:
    """A hundred a call, and a hundred in its answer."""
    checks = [{"name": f"alarm {n}", "alarm": f"web-{n}"} for n in range(120)]
    stage = overlapping(*checks)
    watch = stage.client("cloudwatch")
    for n in range(120):
        alarm(stage, "OK", f"web-{n}")
    assert len(watch.describe_alarms(MaxRecords=100)["MetricAlarms"]) == 100
    assert [result.passed for result in answers(stage)] == [True] * 120
    assert stage.cloud.calls["cloudwatch:DescribeAlarms"] == 2


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
    assert set(commands[0]["InstanceIds"]) == set(stage.fake.members(stage.release.green_group))


def test_more_instances_than_one_call_takes() -> None:
    """Fifty a call."""
    stage = overlapping(RUN, instances=60)
    before = stage.cloud.calls["ssm:SendCommand"]
    (result,) = answers(stage, looks=2, seconds=9)
    assert result.value == "60 of 60 passed"
    assert stage.cloud.calls["ssm:SendCommand"] - before == 2


def test_a_command_that_fails_says_where_and_what() -> None:
    """The first instance and its last lines, secrets masked."""
    stage = overlapping(RUN)
    stage.machines.fails("curl -fsS", output="begun\nstarting\n\n  trying   once\ncurl: (22) s3cret", times=1)
    stage.cloud = stage.another_cloud(mask=lambda text: text.replace("s3cret", "***"))
    (result,) = answers(stage, looks=2, seconds=9)
    assert not result.passed
    assert result.value.startswith("3 of 4 passed; i-")
    assert result.value.endswith(": starting | trying once | curl: (22) ***")


@pytest.mark.parametrize("lost", [1, 2])
def test_who_has_no_agent_is_blamed_by_id(lost: int) -> None:
    """SSM refuses a whole batch for one of them; the command runs on the others, and they are not blamed."""
    stage = overlapping(RUN, instances=60)
    ids = sorted(stage.fake.members(stage.release.green_group))
    stage.fake.faults.no_agent(*ids[:lost])
    before = stage.cloud.calls["ssm:SendCommand"]
    (result,) = answers(stage, looks=2, seconds=9)
    assert not result.passed
    assert result.value == f"{60 - lost} of 60 passed; {ids[0]}: SSM does not reach it: its agent is not online"
    assert stage.cloud.calls["ssm:SendCommand"] - before == 3, "the first batch once more; the second was not refused"
    assert stage.cloud.calls["ssm:DescribeInstanceInformation"] == 1, "sixty in all, fifty a page, ten asked of them"


def test_a_batch_in_which_nobody_has_an_agent() -> None:
    """Nothing is sent, and each look says so."""
    stage = overlapping(RUN)
    stage.fake.faults.no_agent(*stage.fake.members(stage.release.green_group))
    results = answers(stage, looks=2, seconds=30)
    assert [one.passed for one in results] == [False]
    assert results[0].value.startswith("0 of 4 passed; i-")
    stage.fake.faults.clear()
    assert answers(stage, looks=2, seconds=9)[-1].passed


def test_the_end_of_an_output_is_what_is_told() -> None:
    """However long its lines are: a card holds 200 characters."""
    stage = overlapping(RUN)
    stage.machines.fails("curl -fsS", output=f"{'x' * 400}\n{'y' * 100} the cause")
    (result,) = answers(stage, looks=2, seconds=9)
    assert ": …xxx" in result.value
    assert result.value.endswith(f"x | {'y' * 100} the cause")
    assert len(result.value) <= 200


def test_a_command_that_never_ends_fails() -> None:
    """Missing data fails a check."""
    stage = overlapping(RUN)
    stage.machines.slow("curl -fsS", 3600)
    results = answers(stage, looks=25, seconds=5)
    assert results
    assert not results[0].passed


def test_another_process_takes_over_the_commands_on_their_way() -> None:
    """They are found by their comment among everything else that runs there, and not sent again."""
    stage = overlapping(RUN)
    stage.observe()
    for instance in stage.fake.members(stage.release.green_group):
        for _ in range(60):
            asked = {"DocumentName": "AWS-RunShellScript", "Parameters": {"commands": ["true"]}}
            stage.client("ssm").send_command(InstanceIds=[instance], Comment="patching", **asked)
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
        ("deny", f"could not be read: not allowed: {operation}"),
        ("throttle", "could not be read:"),
    ):
        stage = overlapping(check)
        getattr(stage.fake.faults, trouble)(operation)
        (result,) = answers(stage)
        assert not result.passed
        assert result.value.startswith(said)
