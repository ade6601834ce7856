"""The journal on the lab's DynamoDB and on Amazon's own: what it keeps, when writers race and answers are lost, too."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count, islice
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse, HTTPHeaders
from botocore.exceptions import ReadTimeoutError

from bluegreen.errors import AwsError, ConfigError, Conflict, LeaseLost, Refused
from bluegreen.events import Event, EventKind, Facts, Outcome, Phase, Reason
from bluegreen.journal import BAD_ONES, LARGEST, Freeze, Journal, KeptGreen, Lease, Live, ServiceRecord
from bluegreen.release import Release, apply, names, release_id
from lab.aws import FakeAws
from lab.aws.client import Sending
from lab.clock import VirtualClock
from tests.worlds.dynamodb import AMAZONS, REGION, amazons

TABLE = "bluegreen"
WEB = "web/production"
FIRST, SECOND = release_id(WEB, 1), release_id(WEB, 2)
T = 1_700_000_000.0
COMMIT = "4f0c1d2e3a4b5c6d7e8f"
Handler = Callable[..., Any]


# --- the scene ---------------------------------------------------------------------------------------


@pytest.fixture(autouse=True, params=["lab", pytest.param("amazon", marks=AMAZONS)])
def _account(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty AWS account; botocore tries again without a pause."""
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_ENDPOINT_URL_DYNAMODB"):
        monkeypatch.delenv(name, raising=False)
    if request.param == "amazon":
        _sessions.append(amazons().session(VirtualClock()))
        yield
    else:
        aws = FakeAws(region=REGION)
        _sessions.append(aws.session())
        yield
        aws.close()
    _sessions.clear()


@pytest.fixture
def journal() -> Journal:
    """A journal with a table."""
    made = another()
    made.ensure_table(lambda seconds: None)
    return made


@pytest.fixture
def rival(journal: Journal) -> Journal:
    """Another process at the same table."""
    return another()


_sessions: list[boto3.Session] = []


def another(table: str = TABLE) -> Journal:
    """A journal with a connection of its own."""
    return Journal(_sessions[0], table)


def no_sleep(seconds: float) -> None:
    """Where nothing should have to be waited for."""
    raise AssertionError(f"slept {seconds} s")


def started(service: str = WEB, commit: str = COMMIT, **more: Any) -> Callable[[int], Facts]:
    """The facts of a first event, by its number."""

    def facts(number: int) -> Facts:
        return {
            "service": service,
            "number": number,
            "who": "github:ann",
            "commit": commit,
            "image": "",
            "hold": False,
            "config": {"soak": 1.5, "builder": None, "checks": [{"name": "home"}]},
            "blue_group": "web-asg",
            "target_groups": ["arn:web"],
            "builder": "i-0123",
            **names(service, number, commit),
            **more,
        }

    return facts


def opened(journal: Journal, service: str = WEB, now: float = T, **more: Any) -> Release:
    """A release that has just been started."""
    return journal.load(journal.open(service, started(service, **more), now).release)


def outcome(kind: Outcome, reason: Reason = Reason.COMPLETED, **more: Any) -> Facts:
    """The facts of a last event."""
    return {"outcome": kind, "reason": reason, "message": "as it went", "left": [], **more}


def settled(journal: Journal, kind: Outcome = Outcome.LIVE, now: float = T + 60, **more: Any) -> Release:
    """A release that was started and has settled."""
    release = opened(journal, **more)
    return apply(release, journal.settle(release, 2, outcome(kind), now))


def anything(release: Release) -> None:
    """Allow every order."""


def before(journal: Journal, operation: str, act: Callable[[], object], times: int = 1) -> None:
    """Do something just before the journal's next calls of the operation are sent."""
    left = iter(range(times))

    def handler(**_: Any) -> None:
        if next(left, None) is not None:
            act()

    for client in (journal._db._hasty, journal._db._client):
        client.meta.events.register(f"before-call.dynamodb.{operation}", handler)


def on_send(journal: Journal, operation: str, handler: Handler, times: int = 1) -> None:
    """Stand in for the network at the journal's next requests of the operation; hasty ones before them do not count."""
    left = list(range(times))

    def hasty(event_name: str, request: Sending, **_: Any) -> AWSResponse | None:
        return handler(event_name, request) if left else None

    def patient(event_name: str, request: Sending, **_: Any) -> AWSResponse | None:
        return handler(event_name, request) if left and left.pop() is not None else None

    journal._db._hasty.meta.events.register_first(f"before-send.dynamodb.{operation}", hasty)
    journal._db._client.meta.events.register_first(f"before-send.dynamodb.{operation}", patient)


def lose_answer(journal: Journal, operation: str, times: int = 1) -> None:
    """Let the next requests of the operation take effect, and their answers be lost."""

    def handler(event_name: str, request: Sending) -> None:
        request.send()
        raise ReadTimeoutError(endpoint_url=request.url)

    on_send(journal, operation, handler, times)


class _Raw:
    """The body of a response, as botocore reads it."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self.body


def fail(journal: Journal, operation: str, code: str, *, status: int = 400, times: int = 1, **more: Any) -> None:
    """Let the next requests of the operation be answered with an error, without effect."""
    said = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": f"{code} it is", **more}
    body = json.dumps(said).encode()

    def handler(event_name: str, request: Sending) -> AWSResponse:
        return AWSResponse(request.url, status, HTTPHeaders(), _Raw(body))

    on_send(journal, operation, handler, times)


def cancelled(journal: Journal, *codes: str, times: int = 1) -> None:
    """Let the next transactions be cancelled for these reasons, item by item."""
    reasons = [{"Code": code, "Message": f"{code} it is"} for code in codes]
    fail(journal, "TransactWriteItems", "TransactionCanceledException", times=times, CancellationReasons=reasons)


def table_of(journal: Journal) -> list[dict[str, Any]]:
    """Everything in the table."""
    items: list[dict[str, Any]] = journal._db._client.scan(TableName=TABLE)["Items"]
    return items


def test_faults(journal: Journal) -> None:
    """A failed request has no effect, one whose answer is lost has; each happens as often as was said."""
    opened(journal)
    fail(journal, "PutItem", "ValidationException")
    with pytest.raises(AwsError, match="ValidationException it is"):
        journal.append(FIRST, 2, EventKind.BLINDED, {}, T)
    assert len(journal.read(FIRST)) == 1
    lose_answer(journal, "PutItem", times=3)
    with pytest.raises(AwsError, match="Read timeout"):
        journal.append(FIRST, 2, EventKind.BLINDED, {}, T)
    assert len(journal.read(FIRST)) == 2
    assert journal.append(FIRST, 3, EventKind.BLINDED, {}, T).seq == 3


# --- the table ---------------------------------------------------------------------------------------


def test_table_is_made_on_demand() -> None:
    """The first call makes the table, paid by use, with the two keys; later calls find it."""
    journal = another()
    slept: list[float] = []
    journal.ensure_table(slept.append)
    journal.ensure_table(no_sleep)
    table = journal._db._client.describe_table(TableName=TABLE)["Table"]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert {key["AttributeName"]: key["KeyType"] for key in table["KeySchema"]} == {"pk": "HASH", "sk": "RANGE"}
    assert slept == [1.0]


def test_table_made_by_two_at_once() -> None:
    """Whoever comes second when the table is being made waits for it instead of failing."""
    journal = another()
    before(journal, "CreateTable", lambda: another().ensure_table(lambda seconds: None))
    journal.ensure_table(lambda seconds: None)
    assert opened(journal).id == FIRST


def test_table_that_never_becomes_usable(journal: Journal) -> None:
    """Waiting for a table has an end, and the error says in which state the table is."""
    slept: list[float] = []
    keys = [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}]
    stuck = {"Table": {"TableStatus": "DELETING", "KeySchema": keys}}

    def handler(event_name: str, request: Sending) -> AWSResponse:
        return AWSResponse(request.url, 200, HTTPHeaders(), _Raw(json.dumps(stuck).encode()))

    on_send(journal, "DescribeTable", handler, times=1000)
    with pytest.raises(ConfigError, match="still DELETING after 120 s"):
        journal.ensure_table(slept.append)
    assert sum(slept) == 120


def test_table_that_may_not_be_made() -> None:
    """The error names the table, the missing permission and what to do."""
    journal = another()
    fail(journal, "CreateTable", "AccessDeniedException")
    with pytest.raises(AwsError) as caught:
        journal.ensure_table(no_sleep)
    assert caught.value.denied
    assert "`bluegreen` does not exist" in str(caught.value)
    assert "dynamodb:CreateTable" in str(caught.value)
    assert "`pk` (hash) and `sk` (range)" in str(caught.value)


def test_table_that_cannot_be_made() -> None:
    """Another failure of making the table is told as AWS says it."""
    journal = another()
    fail(journal, "CreateTable", "LimitExceededException", times=9)
    with pytest.raises(AwsError, match="LimitExceededException") as caught:
        journal.ensure_table(no_sleep)
    assert not caught.value.denied


def test_table_of_somebody_else() -> None:
    """A table with other keys is left alone."""
    journal = another()
    journal._db._client.create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    with pytest.raises(ConfigError, match="other keys"):
        journal.ensure_table(no_sleep)


def test_absent_table_is_an_empty_journal_to_those_who_look() -> None:
    """Before the first release there is no table: nothing was recorded, and looking is no error."""
    journal = another()
    assert journal.service(WEB) is None
    assert journal.services() == []
    assert journal.history(WEB, 5) == []
    assert journal.summary(WEB, 1) is None


def test_absent_table_is_an_error_to_those_who_write() -> None:
    """A wrong name or region is named when something should be written or loaded."""
    journal = another("elsewhere")
    with pytest.raises(ConfigError, match="no journal table `elsewhere` in eu-west-1"):
        journal.open(WEB, started(), T)
    with pytest.raises(ConfigError, match="BLUEGREEN_TABLE"):
        journal.load(FIRST)


def test_no_region(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a region the error says where to set one."""
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    with pytest.raises(ConfigError, match="AWS_REGION"):
        Journal(boto3.Session(), TABLE)


def test_a_call_is_shorter_than_what_is_left_of_a_lease() -> None:
    """All tries of one call, with their pauses (at most 1 s, then 2 s), end within a driver's 20 s margin."""
    journal = another()
    configs = [client.meta.config for client in (journal._db._hasty, journal._db._client)]
    tries = sum(c.retries["total_max_attempts"] * (c.connect_timeout + c.read_timeout) for c in configs)
    assert tries + 1 + 2 < 20


def test_what_is_lost_on_its_way_costs_less_than_half_a_second() -> None:
    """One reading, one writing, one renewal, by the lab's clock: an order is to be heard within a second."""
    aws = FakeAws()
    journal = Journal(aws.session(), TABLE)
    journal.ensure_table(aws.clock.sleep)
    opened(journal)
    lease = journal.take_lease(FIRST, "ann", T)
    assert lease is not None
    calls: dict[str, Callable[[], object]] = {
        "Query": lambda: journal.read(FIRST),
        "PutItem": lambda: journal.append(FIRST, 2, EventKind.BLINDED, {}, T),
        "UpdateItem": lambda: journal.renew(lease, T + 1),
    }
    for operation, call in calls.items():
        aws.faults.swallow(f"dynamodb:{operation}")
        began = aws.clock.now()
        call()
        assert 0.1 < aws.clock.now() - began < 0.5
    assert [event.seq for event in journal.read(FIRST)] == [1, 2]


# --- starting a release ------------------------------------------------------------------------------


def test_open(journal: Journal) -> None:
    """A release gets the next number, its first event, a summary, and is under way."""
    event = journal.open(WEB, started(), T)
    assert event == Event(FIRST, 1, T, EventKind.STARTED, started()(1))
    assert journal.read(FIRST) == [event]
    assert journal.service(WEB) == ServiceRecord(WEB, next=2, under_way=1, last=1)
    summary = journal.summary(WEB, 1)
    assert summary is not None
    assert (summary.id, summary.commit, summary.who, summary.started) == (FIRST, COMMIT, "github:ann", T)
    assert (summary.blue, summary.green, summary.outcome, summary.settled) == (
        "web-asg",
        "web-production-v1",
        None,
        None,
    )


def test_open_is_refused_while_another_is_under_way(journal: Journal) -> None:
    """The refusal tells which release, its phase, who started it and when."""
    opened(journal)
    with pytest.raises(Refused) as caught:
        journal.open(WEB, started(), T + 1)
    assert caught.value.reason == Reason.UNDER_WAY
    assert "web/production#1 is under way (baking), started by github:ann at 2023-11-14 22:13 UTC" in str(caught.value)


def test_open_goes_on_after_the_last_has_settled(journal: Journal) -> None:
    """Numbers are never used twice, and services do not meet."""
    settled(journal)
    assert opened(journal).id == SECOND
    assert opened(journal, "web/staging").id == "web/staging#1"


def test_open_loses_the_race(journal: Journal, rival: Journal) -> None:
    """Of two starts at once one wins; the other is refused and told by whom."""
    before(journal, "TransactWriteItems", lambda: opened(rival))
    with pytest.raises(Refused, match="#1 is under way"):
        journal.open(WEB, started(), T)
    assert len(journal.history(WEB, 9)) == 1


def test_open_takes_the_next_number_after_a_lost_race(journal: Journal, rival: Journal) -> None:
    """When the rival's release settled at once, ours follows with a fresh number and fresh names."""
    before(journal, "TransactWriteItems", lambda: settled(rival))
    event = journal.open(WEB, started(), T)
    assert event.release == SECOND
    assert event.facts["green_group"] == "web-production-v2"


def test_open_while_a_failed_release_is_resumed(journal: Journal, rival: Journal) -> None:
    """A release that is reopened between our looking and our starting is under way, and we are refused."""
    settled(journal, Outcome.FAILED)
    order = (FIRST, EventKind.RESUMED, {"who": "bob"}, T + 99)
    before(journal, "TransactWriteItems", lambda: rival.order(*order, anything))
    with pytest.raises(Refused, match="#1 is under way"):
        journal.open(WEB, started(), T + 99)


def test_open_gives_up_after_many_lost_races(journal: Journal) -> None:
    """Even when somebody always is faster, the call ends."""
    cancelled(journal, "None", "None", "ConditionalCheckFailed", times=30)
    with pytest.raises(Conflict, match="others keep starting"):
        journal.open(WEB, started(), T)


def test_open_with_a_lost_answer(journal: Journal) -> None:
    """A start whose answer was lost is sent again, and still is one release."""
    lose_answer(journal, "TransactWriteItems")
    assert journal.open(WEB, started(), T).release == FIRST
    assert journal.service(WEB) == ServiceRecord(WEB, next=2, under_way=1, last=1)


def test_open_with_a_lost_answer_and_a_clash(journal: Journal) -> None:
    """Sent again, it clashed with itself; sent anew, with another token, it meets its own event and still is one."""
    lose_answer(journal, "TransactWriteItems")
    cancelled(journal, "TransactionConflict", "None", "None")
    assert journal.open(WEB, started(), T).release == FIRST
    assert journal.service(WEB) == ServiceRecord(WEB, next=2, under_way=1, last=1)
    assert len(journal.read(FIRST)) == 1


def test_open_goes_on_after_numbers_that_the_journal_does_not_know(journal: Journal) -> None:
    """And says what serves, at once with the start."""
    serves = Live("web-production-v6", "ami-6", 7, "c0ffee06", 6)
    assert journal.open(WEB, started(), T, least=7, live=serves).release == release_id(WEB, 7)
    assert journal.service(WEB) == ServiceRecord(WEB, next=8, under_way=7, last=7, live=serves)
    journal.settle(journal.load(release_id(WEB, 7)), 2, outcome(Outcome.ROLLED_BACK), T + 60)
    assert journal.open(WEB, started(), T, least=7).release == release_id(WEB, 8)


def test_a_green_that_is_kept_is_known_until_it_is_gone(journal: Journal) -> None:
    """By the service's record, so that whoever removes it need not read every release."""
    for number in (1, 2):
        release = journal.open(WEB, started(), T).release
        journal.append(release, 2, EventKind.BEGAN, {"verb": "keep_green", "until": T + number + 0.5}, T)
        journal.append(release, 3, EventKind.DID, {"verb": "keep_green"}, T)
        journal.settle(journal.load(release), 4, outcome(Outcome.ROLLED_BACK), T + 60)
    first, second = (KeptGreen(number, f"web-production-v{number}", T + number + 0.5) for number in (1, 2))
    assert journal.service(WEB) == ServiceRecord(WEB, next=3, last=2, kept=(first, second))
    journal.forget_kept(WEB, replace(first, until=T))
    journal.forget_kept(WEB, first)
    journal.forget_kept(WEB, first)
    assert journal.service(WEB) == ServiceRecord(WEB, next=3, last=2, kept=(second,))


def test_adopt_puts_the_record_right(journal: Journal) -> None:
    """What failed before is of no account any more, until the next release."""
    settled(journal, Outcome.FAILED, reason=Reason.CHANGED_OUTSIDE)
    serves, record = Live("web-production-v6", "ami-6", 7, "c0ffee06", 6), journal.service(WEB)
    assert record is not None
    assert not record.repaired
    journal.adopt(record, serves, 7, "ann", T)
    assert (repaired := journal.service(WEB)) == ServiceRecord(WEB, next=7, last=1, live=serves, adopted=1)
    assert repaired.repaired
    opened(journal)
    assert not (journal.service(WEB) or repaired).repaired


def test_adopt_does_not_write_over_what_happens_meanwhile(journal: Journal) -> None:
    """A release was started, or somebody else put it right."""
    serves, lost = Live("web-production-v6", "ami-6", 7, "c0ffee06", 6), ServiceRecord(WEB)
    journal.adopt(lost, serves, 7, "ann", T)
    for _ in range(2):
        with pytest.raises(Conflict, match="someone else started or repaired it"):
            journal.adopt(lost, serves, 8, "bob", T)
        if not (journal.service(WEB) or lost).under_way:
            opened(journal)
    assert (record := journal.service(WEB))
    assert (record.next, record.live) == (8, serves)


def test_same_request_is_the_same_release(journal: Journal, rival: Journal) -> None:
    """A repeated start request gets its first release, even from another door and after it has settled."""
    first = journal.open(WEB, started(), T, request="run-7")
    assert rival.open(WEB, started(), T + 9, request="run-7") == first
    journal.settle(journal.load(FIRST), 2, outcome(Outcome.LIVE), T + 60)
    assert rival.open(WEB, started(), T + 99, request="run-7") == first
    assert rival.open(WEB, started(), T + 99, request="run-8").release == SECOND


def test_same_request_at_the_same_time(journal: Journal, rival: Journal) -> None:
    """Two deliveries of one request that run side by side make one release, and neither is refused."""
    before(journal, "TransactWriteItems", lambda: rival.open(WEB, started(), T, request="run-7"))
    assert journal.open(WEB, started(), T, request="run-7").release == FIRST
    assert journal.service(WEB) == ServiceRecord(WEB, next=2, under_way=1, last=1)


def test_facts_that_are_too_large(journal: Journal) -> None:
    """What DynamoDB could not hold is refused before it is sent, with its size."""
    with pytest.raises(ConfigError, match=r"`started` take 100,\d\d\d bytes"):
        journal.open(WEB, started(note="é" * (LARGEST // 6)), T)
    assert journal.service(WEB) is None


# --- freezing ----------------------------------------------------------------------------------------


def test_freeze(journal: Journal) -> None:
    """What is kept of a freeze is what was said; a later one takes its place."""
    journal.freeze(WEB, who="slack:U1", why="sale", until=T + 3600, now=T)
    assert journal.service(WEB) == ServiceRecord(WEB, freeze=Freeze("slack:U1", "sale", T, T + 3600))
    journal.freeze(WEB, who="slack:U2", why="", until=None, now=T + 1)
    assert journal.service(WEB) == ServiceRecord(WEB, freeze=Freeze("slack:U2", "", T + 1))


def test_freeze_ends_by_itself() -> None:
    """At its end a freeze holds no more; without one it holds until it is lifted."""
    ends, endless = Freeze("slack:U1", "", T, T + 3600), Freeze("slack:U1", "", T)
    assert [ends.holds(T + 3599), ends.holds(T + 3600), endless.holds(T + 1e9)] == [True, False, True]


def test_freeze_is_lifted(journal: Journal) -> None:
    """Lifting tells what was lifted, and that nothing was."""
    journal.freeze(WEB, who="slack:U1", why="", until=None, now=T)
    assert journal.unfreeze(WEB, who="slack:U2") == Freeze("slack:U1", "", T)
    assert journal.unfreeze(WEB, who="slack:U2") is None


def test_freeze_leaves_the_release_under_way_alone(journal: Journal) -> None:
    """A freeze stops starts only."""
    release = opened(journal)
    journal.freeze(WEB, who="slack:U1", why="", until=None, now=T)
    journal.settle(release, 2, outcome(Outcome.LIVE), T + 1)
    record = journal.service(WEB)
    assert record is not None
    assert record.under_way is None
    assert record.freeze is not None


# --- events ------------------------------------------------------------------------------------------


def test_append_and_read(journal: Journal) -> None:
    """Facts come back as they were, floats, nothing and nested ones included, and in order."""
    opened(journal)
    facts = {"subject": "home", "value": "é", "held_since": None, "since": T + 0.25, "n": 3, "ok": True, "x": (1, 2)}
    event = journal.append(FIRST, 2, EventKind.OBSERVED, facts, T + 0.125)
    assert event.facts == {**facts, "x": [1, 2]}
    assert [e.kind for e in journal.read(FIRST)] == [EventKind.STARTED, EventKind.OBSERVED]
    assert journal.read(FIRST, after=1) == [event]
    assert journal.read(FIRST, after=2) == []


def test_reading_many_events(journal: Journal) -> None:
    """Events over more than one page (1 MB) are read wholly and in order; the lease is not among them."""
    opened(journal)
    journal.take_lease(FIRST, "ann", T)
    for seq in range(2, 16):
        journal.append(FIRST, seq, EventKind.BLINDED, {"message": "x" * 90_000}, T + seq)
    assert [event.seq for event in journal.read(FIRST)] == list(range(1, 16))


def test_reading_after_the_newest_is_one_small_call(journal: Journal) -> None:
    """What a waiting driver does every second is one query, strongly consistent, of the new events only."""
    opened(journal)
    calls: list[dict[str, Any]] = []
    for client in (journal._db._hasty, journal._db._client):
        client.meta.events.register("provide-client-params.dynamodb", lambda params, **_: calls.append(params))
    journal.read(FIRST, after=1)
    assert len(calls) == 1
    assert calls[0]["ConsistentRead"] is True
    assert {"S": "event/000002"} in calls[0]["ExpressionAttributeValues"].values()


def test_append_to_a_taken_number(journal: Journal, rival: Journal) -> None:
    """Of two writers of an event one wins, even with the same words."""
    opened(journal)
    rival.append(FIRST, 2, EventKind.PROMOTED, {"who": "bob"}, T)
    with pytest.raises(Conflict, match="event 2 is taken"):
        journal.append(FIRST, 2, EventKind.PROMOTED, {"who": "bob"}, T)


def test_append_with_a_lost_answer(journal: Journal) -> None:
    """An event whose answer was lost meets itself when it is sent again: that is success."""
    opened(journal)
    lose_answer(journal, "PutItem")
    event = journal.append(FIRST, 2, EventKind.PROMOTED, {"who": "bob"}, T)
    assert journal.read(FIRST, after=1) == [event]


def test_append_with_every_answer_lost(journal: Journal) -> None:
    """When no answer ever comes the error says that trying again is worth while; the event may be there."""
    opened(journal)
    lose_answer(journal, "PutItem", times=3)
    with pytest.raises(AwsError) as caught:
        journal.append(FIRST, 2, EventKind.PROMOTED, {"who": "bob"}, T)
    assert (caught.value.transient, caught.value.operation) == (True, "PutItem")
    assert len(journal.read(FIRST)) == 2


def test_append_meets_a_transaction(journal: Journal) -> None:
    """A write that clashes with another's transaction is sent again; after a bounded number of times it fails."""
    opened(journal)
    fail(journal, "PutItem", "TransactionConflictException", times=3)
    journal.append(FIRST, 2, EventKind.PROMOTED, {"who": "bob"}, T)
    fail(journal, "PutItem", "TransactionConflictException", times=1000)
    with pytest.raises(AwsError, match="TransactionConflictException") as caught:
        journal.append(FIRST, 3, EventKind.PROMOTED, {"who": "bob"}, T)
    assert caught.value.transient


def test_load_what_is_not_there(journal: Journal) -> None:
    """A release without events is none."""
    with pytest.raises(Refused, match="no such release") as caught:
        journal.load(FIRST)
    assert caught.value.reason == Reason.NOTHING_TO_DO


def test_event_of_a_newer_version(journal: Journal) -> None:
    """An event that this version does not know stops it with advice instead of being misread."""
    opened(journal)
    item = {"pk": FIRST, "sk": "event/000002", "kind": "teleported"}
    journal._db._client.put_item(TableName=TABLE, Item={name: {"S": value} for name, value in item.items()})
    with pytest.raises(ConfigError, match="`teleported`"):
        journal.load(FIRST)


# --- orders ------------------------------------------------------------------------------------------


def test_order(journal: Journal) -> None:
    """An order is the next event, and is given only if the release as it stands allows it."""
    opened(journal)
    journal.append(FIRST, 2, EventKind.ENTERED, {"phase": Phase.OVERLAPPING}, T)
    asked: list[Phase] = []
    event = journal.order(FIRST, EventKind.PROMOTED, {"who": "bob"}, T, lambda release: asked.append(release.phase))
    assert (event.seq, asked) == (3, [Phase.OVERLAPPING])
    assert journal.load(FIRST).promoters == ("bob",)


def test_an_order_is_seen_by_whoever_reads_all_services(journal: Journal) -> None:
    """One read tells of which release somebody ordered something; where that cannot be written, the order stands."""
    opened(journal)
    assert [one.ordered for one in journal.services()] == [""]
    first = journal.order(FIRST, EventKind.HOLD_ORDERED, {"who": "slack:U1"}, T, lambda current: None)
    assert [one.ordered for one in journal.services()] == [f"{FIRST}/{first.seq}"]
    fail(journal, "UpdateItem", "AccessDeniedException")
    second = journal.order(FIRST, EventKind.ROLLBACK_ORDERED, {"who": "slack:U1"}, T, lambda current: None)
    assert journal.load(FIRST).seq == second.seq
    assert [one.ordered for one in journal.services()] == [f"{FIRST}/{first.seq}"]


def test_order_that_is_not_allowed(journal: Journal) -> None:
    """What refuses an order passes, and nothing is written."""
    opened(journal)

    def never(release: Release) -> None:
        raise Refused("not you", reason=Reason.NOT_PERMITTED)

    with pytest.raises(Refused, match="not you"):
        journal.order(FIRST, EventKind.PROMOTED, {"who": "bob"}, T, never)
    assert len(journal.read(FIRST)) == 1


def test_order_while_the_driver_writes(journal: Journal, rival: Journal) -> None:
    """Losing the number to the driver, an order asks again about the release as it is then."""
    opened(journal)
    before(journal, "PutItem", lambda: rival.append(FIRST, 2, EventKind.ENTERED, {"phase": Phase.RETIRING}, T))
    asked: list[Phase] = []
    event = journal.order(FIRST, EventKind.PROMOTED, {"who": "bob"}, T, lambda release: asked.append(release.phase))
    assert (event.seq, asked) == (3, [Phase.BAKING, Phase.RETIRING])


def test_order_gives_up_after_many_lost_races(journal: Journal, rival: Journal) -> None:
    """Even when somebody always is faster, the call ends."""
    opened(journal)

    seq = count(2)
    before(journal, "PutItem", lambda: rival.append(FIRST, next(seq), EventKind.BLINDED, {}, T), times=1000)
    with pytest.raises(Conflict, match="others keep writing"):
        journal.order(FIRST, EventKind.PROMOTED, {"who": "bob"}, T, anything)


@pytest.mark.parametrize("kind", [EventKind.RESUMED, EventKind.ROLLBACK_ORDERED])
def test_order_reopens_what_failed(journal: Journal, kind: EventKind) -> None:
    """A failed release that is resumed or to be rolled back is under way again, in every record."""
    settled(journal, Outcome.FAILED)
    journal.order(FIRST, kind, {"who": "bob"}, T + 99, anything)
    assert journal.load(FIRST).outcome is None
    record, summary = journal.service(WEB), journal.summary(WEB, 1)
    assert record is not None
    assert record.under_way == 1
    assert summary is not None
    assert (summary.outcome, summary.settled, summary.reason, summary.message) == (None, None, None, "")
    with pytest.raises(Refused, match="under way"):
        journal.open(WEB, started(), T + 100)


def test_order_reopens_with_a_lost_answer(journal: Journal) -> None:
    """A reopening whose answer was lost happens once."""
    settled(journal, Outcome.FAILED)
    lose_answer(journal, "TransactWriteItems")
    assert journal.order(FIRST, EventKind.RESUMED, {"who": "bob"}, T + 99, anything).seq == 3
    assert len(journal.read(FIRST)) == 3


def test_order_reopened_by_another(journal: Journal, rival: Journal) -> None:
    """When somebody else reopens the release just before us, our order follows theirs."""
    settled(journal, Outcome.FAILED)
    before(
        journal, "TransactWriteItems", lambda: rival.order(FIRST, EventKind.RESUMED, {"who": "eve"}, T + 99, anything)
    )
    assert journal.order(FIRST, EventKind.ROLLBACK_ORDERED, {"who": "bob"}, T + 99, anything).seq == 4
    assert journal.load(FIRST).rollback_by == "bob"


def test_order_does_not_reopen_beside_another_release(journal: Journal) -> None:
    """A failed release stays as it is while a newer one is under way."""
    settled(journal, Outcome.FAILED)
    opened(journal)
    with pytest.raises(Refused, match="#2 is under way") as caught:
        journal.order(FIRST, EventKind.RESUMED, {"who": "bob"}, T + 99, anything)
    assert caught.value.reason == Reason.UNDER_WAY


def test_order_does_not_reopen_what_was_overtaken(journal: Journal) -> None:
    """After a newer release, settled or not, the failed one is history."""
    settled(journal, Outcome.FAILED)
    settled(journal, Outcome.LIVE)
    with pytest.raises(Refused, match="The newest is web/production#2") as caught:
        journal.order(FIRST, EventKind.RESUMED, {"who": "bob"}, T + 99, anything)
    assert caught.value.reason == Reason.MOVED_ON


def test_order_on_a_service_that_was_deleted(journal: Journal) -> None:
    """Without the service's item a failed release cannot be reopened; nothing is made up."""
    settled(journal, Outcome.FAILED)
    journal._db._client.delete_item(TableName=TABLE, Key={"pk": {"S": "service"}, "sk": {"S": WEB}})
    with pytest.raises(Refused, match="newer"):
        journal.order(FIRST, EventKind.RESUMED, {"who": "bob"}, T + 99, anything)
    assert journal.service(WEB) is None


@pytest.mark.parametrize(
    ("ended", "kind"),
    [
        (Outcome.LIVE, EventKind.ROLLBACK_ORDERED),
        (Outcome.ROLLED_BACK, EventKind.RESUMED),
        (Outcome.FAILED, EventKind.PROMOTED),
    ],
)
def test_order_to_what_has_settled(journal: Journal, ended: Outcome, kind: EventKind) -> None:
    """Whoever allows it, a release that has settled takes no order but those that reopen a failed one."""
    settled(journal, ended)
    with pytest.raises(Refused, match=f"has settled as {ended}") as caught:
        journal.order(FIRST, kind, {"who": "bob"}, T + 99, anything)
    assert caught.value.reason == Reason.MOVED_ON


# --- settling ----------------------------------------------------------------------------------------


def test_settle_as_live(journal: Journal) -> None:
    """The last event, the summary and what the service runs change together."""
    release = opened(journal)
    did = {"verb": "make_template_version", "template_version": 7}
    baked = {"phase": Phase.LAUNCHING, "image": "ami-1"}
    release = apply(release, journal.append(FIRST, 2, EventKind.ENTERED, baked, T + 2))
    release = apply(release, journal.append(FIRST, 3, EventKind.DID, did, T + 3))
    event = journal.settle(release, 4, outcome(Outcome.LIVE), T + 60)
    assert journal.read(FIRST)[-1] == event
    live = Live("web-production-v1", "ami-1", 7, COMMIT, 1)
    assert journal.service(WEB) == ServiceRecord(WEB, next=2, last=1, live=live)
    summary = journal.summary(WEB, 1)
    assert summary is not None
    assert (summary.outcome, summary.reason, summary.settled) == (Outcome.LIVE, Reason.COMPLETED, T + 60)
    assert (summary.image, summary.template_version, summary.message) == ("ami-1", 7, "as it went")


def test_settle_without_a_template_version(journal: Journal) -> None:
    """What is live is known even if no number of a template version is."""
    settled(journal, commit="")
    record = journal.service(WEB)
    assert record is not None
    assert record.live == Live("web-production-v1", "", None, "", 1)


@pytest.mark.parametrize("reason", list(Reason))
@pytest.mark.parametrize("ended", list(Outcome))
def test_what_was_rolled_back_for_its_own_sake_is_remembered(journal: Journal, ended: Outcome, reason: Reason) -> None:
    """In one item with what is under way; a build that failed or a hold that expired says nothing of the commit."""
    journal.settle(opened(journal), 2, outcome(ended, reason), T + 60)
    telltale = reason in ("ordered", "check_failed", "never_healthy")
    record = journal.service(WEB)
    assert record is not None
    assert record.under_way is None
    assert record.bad == ({COMMIT: 1} if ended == "rolled_back" and telltale else {})


def bad(journal: Journal, **more: Any) -> int:
    """A release that is rolled back by its checks; its number."""
    release = opened(journal, **more)
    journal.settle(release, 2, outcome(Outcome.ROLLED_BACK, Reason.CHECK_FAILED), T + 60)
    return release.number


def rolled_back(journal: Journal, commit: str, image: str = "") -> int | None:
    """What the journal says of a commit or an image."""
    record = journal.service(WEB)
    assert record is not None
    return record.rolled_back(commit, image)


@pytest.mark.parametrize(
    ("began", "asked", "found"),
    [
        (("c0ffee01beef", ""), ("c0ffee01beef", "ami-1"), True),
        (("c0ffee01beef", ""), ("c0ffee0", ""), True),  # abbreviated, there
        (("c0ffee0", ""), ("c0ffee01beef", ""), True),  # and here
        (("c0ffee01beef", ""), ("c0ffee02beef", ""), False),
        (("c0ffee01beef", ""), ("", ""), False),
        (("c0ffee01beef", "ami-1"), ("", "ami-1"), False),  # the commit is what was judged
        (("", "ami-1"), ("", "ami-1"), True),
        (("", "ami-1"), ("", "ami-12"), False),  # an image has no short form
        (("", "ami-12"), ("", "ami-1"), False),
        (("", "ami-1"), ("c0ffee01beef", "ami-1"), False),
        (("", ""), ("", ""), False),
    ],
)
def test_how_a_bad_one_is_known_again(
    journal: Journal, began: tuple[str, str], asked: tuple[str, str], found: bool
) -> None:
    """By its commit, however long it is written; by the image when there is no commit. Going live forgives it."""
    number = bad(journal, commit=began[0], image=began[1])
    assert rolled_back(journal, *asked) == (number if found else None)
    journal.settle(opened(journal, commit=asked[0], image=asked[1]), 2, outcome(Outcome.LIVE), T + 99)
    record = journal.service(WEB)
    assert record is not None
    assert bool(record.bad) is (any(began) and not found)


def test_the_newest_bad_ones_are_remembered(journal: Journal) -> None:
    """The item does not grow for ever; a commit that is rolled back again is as new as that."""
    commits = [f"{n:07x}beef" for n in range(BAD_ONES + 3)]
    for commit in commits[:5]:
        bad(journal, commit=commit)
    bad(journal, commit=commits[0])
    for commit in commits[5:]:
        bad(journal, commit=commit)
    record = journal.service(WEB)
    assert record is not None
    assert len(record.bad) == BAD_ONES
    assert record.rolled_back(commits[0], "") == 6
    gone = [commit for commit in commits if record.rolled_back(commit, "") is None]
    assert gone == commits[1:4]


def test_the_oldest_are_forgotten_by_their_releases(journal: Journal) -> None:
    """DynamoDB keeps no order in a map."""
    release = opened(journal)
    commits = {f"{n:07x}beef": {"N": str(-n)} for n in range(BAD_ONES)}  # the first is the newest
    key = {"pk": {"S": "service"}, "sk": {"S": WEB}}
    many = {":bad": {"M": commits}}
    journal._db._client.update_item(
        TableName=TABLE, Key=key, UpdateExpression="SET bad = :bad", ExpressionAttributeValues=many
    )
    journal.settle(release, 2, outcome(Outcome.ROLLED_BACK, Reason.CHECK_FAILED), T + 60)
    record = journal.service(WEB)
    assert record is not None
    assert set(commits) - set(record.bad) == {list(commits)[-1]}


def forget(journal: Journal) -> None:
    """The service's item as it was before anything bad was remembered in it."""
    key = {"pk": {"S": "service"}, "sk": {"S": WEB}}
    journal._db._client.update_item(TableName=TABLE, Key=key, UpdateExpression="REMOVE bad")


@pytest.mark.parametrize("ended", [Outcome.LIVE, Outcome.ROLLED_BACK, Outcome.FAILED])
def test_an_item_without_bad_ones(journal: Journal, ended: Outcome) -> None:
    """A service of an older journal is started, settles, and remembers from then on."""
    release = opened(journal)
    forget(journal)
    journal.settle(release, 2, outcome(ended, Reason.CHECK_FAILED), T + 60)
    assert rolled_back(journal, COMMIT) == (1 if ended is Outcome.ROLLED_BACK else None)
    forget(journal)
    assert rolled_back(journal, COMMIT) is None
    assert bad(journal) == 2
    assert rolled_back(journal, COMMIT) == 2


def test_a_crash_while_settling_leaves_all_or_nothing(journal: Journal, rival: Journal) -> None:
    """The next driver settles it again: the commit is bad once the release has settled, and no sooner."""
    release = opened(journal)
    facts = outcome(Outcome.ROLLED_BACK, Reason.CHECK_FAILED)
    fail(journal, "TransactWriteItems", "InternalServerError", status=500, times=3)
    with pytest.raises(AwsError):
        journal.settle(release, 2, facts, T + 60)
    assert rolled_back(journal, COMMIT) is None
    lose_answer(rival, "TransactWriteItems", times=3)
    with pytest.raises(AwsError):
        rival.settle(release, 2, facts, T + 61)
    assert rolled_back(journal, COMMIT) == 1
    assert journal.settle(release, 2, facts, T + 62).at == T + 61
    assert rolled_back(journal, COMMIT) == 1


def test_settle_with_a_lost_answer(journal: Journal) -> None:
    """A settling whose answer was lost is sent again and is one."""
    release = opened(journal)
    lose_answer(journal, "TransactWriteItems")
    journal.settle(release, 2, outcome(Outcome.LIVE), T + 60)
    assert len(journal.read(FIRST)) == 2


def test_settle_twice(journal: Journal) -> None:
    """A driver that does not know that it has settled may say the same again."""
    release = opened(journal)
    first = journal.settle(release, 2, outcome(Outcome.LIVE), T + 60)
    assert journal.settle(release, 2, outcome(Outcome.LIVE), T + 70) == first


def test_settle_after_an_order(journal: Journal, rival: Journal) -> None:
    """An order that came first must be read: the release does not settle over it."""
    release = opened(journal)
    order = (FIRST, EventKind.ROLLBACK_ORDERED, {"who": "bob"}, T)
    before(journal, "TransactWriteItems", lambda: rival.order(*order, anything))
    with pytest.raises(Conflict):
        journal.settle(release, 2, outcome(Outcome.LIVE), T + 60)
    record, summary = journal.service(WEB), journal.summary(WEB, 1)
    assert record is not None
    assert (record.under_way, record.live) == (1, None)
    assert summary is not None
    assert summary.outcome is None


def test_settle_what_is_not_under_way(journal: Journal) -> None:
    """When the service's item was tampered with, settling fails for good instead of being tried for ever."""
    release = opened(journal)
    journal._db._client.delete_item(TableName=TABLE, Key={"pk": {"S": "service"}, "sk": {"S": WEB}})
    with pytest.raises(ConfigError, match="it is not under way"):
        journal.settle(release, 2, outcome(Outcome.LIVE), T + 60)
    assert len(journal.read(FIRST)) == 1


# --- transactions that are cancelled -----------------------------------------------------------------


def test_transaction_meets_another(journal: Journal) -> None:
    """A transaction that clashed with another is sent again, even if another item's condition failed as well."""
    cancelled(journal, "ConditionalCheckFailed", "None", "TransactionConflict", times=3)
    assert opened(journal).id == FIRST


@pytest.mark.parametrize(
    ("code", "transient"),
    [("TransactionConflict", True), ("ThrottlingError", True), ("ValidationError", False)],
)
def test_transaction_cancelled_for_another_reason(journal: Journal, code: str, transient: bool) -> None:
    """The error tells the reason of the item that failed, and whether trying again is worth while."""
    cancelled(journal, "None", code, "None", times=1000)
    with pytest.raises(AwsError, match=f"{code} it is") as caught:
        journal.open(WEB, started(), T)
    error = caught.value
    assert (error.code, error.transient, error.operation) == (code, transient, "TransactWriteItems")


# --- errors ------------------------------------------------------------------------------------------


def test_permission_that_is_missing(journal: Journal) -> None:
    """The error says what is denied, on which table, and how to find out what is needed."""
    fail(journal, "Query", "AccessDeniedException")
    with pytest.raises(AwsError, match="`bluegreen iam-policy` prints") as caught:
        journal.read(FIRST)
    assert (caught.value.denied, caught.value.transient) == (True, False)


@pytest.mark.parametrize("code", ["ExpiredTokenException", "UnrecognizedClientException", "InvalidClientTokenId"])
def test_credentials_that_have_expired(journal: Journal, code: str) -> None:
    """The error says what to do about credentials, and that waiting does not help."""
    fail(journal, "Query", code, times=9)
    with pytest.raises(AwsError, match="Renew the AWS credentials") as caught:
        journal.read(FIRST)
    assert (caught.value.expired, caught.value.denied, caught.value.transient) == (True, False, False)


@pytest.mark.parametrize(("code", "status"), [("InternalServerError", 500), ("ThrottlingException", 400)])
def test_service_that_is_unwell(journal: Journal, code: str, status: int) -> None:
    """A failure that passes is tried three times, then told as one that may pass."""
    fail(journal, "Query", code, status=status, times=2)
    assert journal.read(FIRST) == []
    fail(journal, "Query", code, status=status, times=3)
    with pytest.raises(AwsError, match=code) as caught:
        journal.read(FIRST)
    assert caught.value.transient


@pytest.mark.parametrize("status", [200, 403, 500])
def test_a_page_of_html_in_place_of_an_answer(journal: Journal, status: int) -> None:
    """A proxy's: as good as no answer, so it may pass, and a write that got one was not done."""
    body = _Raw(b"<!DOCTYPE html><p>proxy<hr>")
    page = HTTPHeaders.from_dict({"Content-Type": "text/html; charset=utf-8"})
    on_send(journal, "PutItem", lambda _, sent: AWSResponse(sent.url, status, page, body), times=3)
    opened(journal)
    with pytest.raises(AwsError, match=f"a page of HTML with status {status}") as caught:
        journal.append(FIRST, 2, EventKind.BLINDED, {}, T)
    assert caught.value.transient
    assert [event.seq for event in journal.read(FIRST)] == [1]


def test_what_is_not_sent_at_all(journal: Journal) -> None:
    """A call that botocore itself refuses ends as any other: trying again is no use."""
    with pytest.raises(AwsError, match="Missing required parameter") as caught:
        journal._db.call("get_item", TableName=TABLE)
    assert not caught.value.transient


def test_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without credentials the error points at them."""
    journal = Journal(boto3.Session("KEY", "secret", region_name=REGION), TABLE)
    for client in (journal._db._hasty, journal._db._client):
        monkeypatch.setattr(client._request_signer, "_credentials", None)
    with pytest.raises(AwsError, match="Give AWS credentials") as caught:
        journal.read(FIRST)
    assert (caught.value.code, caught.value.transient) == ("NoCredentialsError", False)


# --- following ---------------------------------------------------------------------------------------


def test_follow(journal: Journal, rival: Journal) -> None:
    """A follower sees each event once, as it comes, and ends with the release."""
    release = opened(journal)
    happenings: list[Callable[[], object]] = [
        lambda: rival.append(FIRST, 2, EventKind.PROMOTED, {"who": "bob"}, T),
        lambda: None,
        lambda: rival.settle(rival.load(FIRST), 3, outcome(Outcome.LIVE), T),
    ]
    to_come = iter(happenings)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        next(to_come)()

    assert [event.seq for event in journal.follow(release.id, 0, sleep)] == [1, 2, 3]
    assert slept == [1.0, 1.0, 1.0]


def test_follow_from_the_middle(journal: Journal) -> None:
    """Who has seen some events gets those after them; who has seen the last gets none and is let go."""
    settled(journal)
    assert [event.seq for event in journal.follow(FIRST, 1, no_sleep)] == [2]
    assert list(journal.follow(FIRST, 2, no_sleep)) == []


def test_follow_what_was_reopened(journal: Journal) -> None:
    """A release that failed and was resumed is followed on."""
    settled(journal, Outcome.FAILED)
    journal.order(FIRST, EventKind.RESUMED, {"who": "bob"}, T + 99, anything)
    follower = journal.follow(FIRST, 1, no_sleep)
    assert [event.kind for event in islice(follower, 2)] == [EventKind.SETTLED, EventKind.RESUMED]
    with pytest.raises(AssertionError, match="slept"):
        next(follower)


def test_follow_nothing(journal: Journal) -> None:
    """There is no waiting for a release that nobody started."""
    with pytest.raises(Refused, match="no such release"):
        next(journal.follow(FIRST, 0, no_sleep))


# --- services and history ----------------------------------------------------------------------------


def test_services(journal: Journal) -> None:
    """All services are found with one query, by name."""
    opened(journal)
    opened(journal, "api/production")
    journal.freeze("worker/staging", who="slack:U1", why="", until=None, now=T)
    assert [record.service for record in journal.services()] == ["api/production", WEB, "worker/staging"]


def test_history(journal: Journal) -> None:
    """Releases come newest first, as many as asked for, and requests are not among them."""
    for number in range(1, 13):
        release = journal.open(WEB, started(), T + number, request=f"run-{number}")
        journal.settle(journal.load(release.release), 2, outcome(Outcome.LIVE), T + number)
    assert [summary.number for summary in journal.history(WEB, 3)] == [12, 11, 10]
    assert len(journal.history(WEB, 99)) == 12
    assert journal.history(WEB, 0) == []
    assert journal.summary(WEB, 99) is None


# --- the builder -------------------------------------------------------------------------------------


def test_builder_is_claimed_by_one(journal: Journal) -> None:
    """While one release bakes another waits; the one that bakes may ask again."""
    first, other = opened(journal), opened(journal, "api/production")
    assert journal.claim_builder("i-0123", first.id, T) == ""
    assert journal.claim_builder("i-0123", first.id, T + 1) == ""
    assert journal.claim_builder("i-0123", other.id, T + 1) == first.id
    assert journal.claim_builder("i-0456", other.id, T + 1) == ""


def test_builder_is_freed(journal: Journal) -> None:
    """Only its holder frees the builder; doing so twice is harmless."""
    first, other = opened(journal), opened(journal, "api/production")
    journal.claim_builder("i-0123", first.id, T)
    journal.free_builder("i-0123", other.id)
    assert journal.claim_builder("i-0123", other.id, T) == first.id
    journal.free_builder("i-0123", first.id)
    journal.free_builder("i-0123", first.id)
    assert journal.claim_builder("i-0123", other.id, T) == ""


@pytest.mark.parametrize("holder", [FIRST, "web/production#77", "somebody"])
def test_builder_of_a_release_that_is_over(journal: Journal, holder: str) -> None:
    """The claim of a release that has settled, or that nobody knows, is taken over."""
    settled(journal)
    journal.claim_builder("i-0123", holder, T)
    other = opened(journal, "api/production")
    assert journal.claim_builder("i-0123", other.id, T) == ""
    assert journal.claim_builder("i-0123", opened(journal).id, T) == other.id


def test_builder_taken_over_by_another_first(journal: Journal, rival: Journal) -> None:
    """Of two that take over a dead claim one wins, and the other learns who."""
    settled(journal)
    journal.claim_builder("i-0123", FIRST, T)
    other, release = opened(journal, "api/production"), opened(journal)
    before(journal, "GetItem", lambda: rival.claim_builder("i-0123", other.id, T))
    assert journal.claim_builder("i-0123", release.id, T) == other.id


def test_builder_freed_while_we_ask(journal: Journal, rival: Journal) -> None:
    """A claim that is given up between our look and our taking over is taken all the same."""
    settled(journal)
    journal.claim_builder("i-0123", FIRST, T)
    release = opened(journal)
    before(journal, "GetItem", lambda: rival.free_builder("i-0123", FIRST))
    assert journal.claim_builder("i-0123", release.id, T) == ""


def test_builder_that_changes_hands_for_ever(journal: Journal) -> None:
    """Even when somebody always is faster, the call ends."""
    fail(journal, "PutItem", "ConditionalCheckFailedException", times=1000)
    with pytest.raises(Conflict, match="others keep claiming"):
        journal.claim_builder("i-0123", FIRST, T)


# --- the lease ---------------------------------------------------------------------------------------


def test_lease_is_taken_by_one(journal: Journal, rival: Journal) -> None:
    """One driver at a time; everybody can see who, and until when."""
    lease = journal.take_lease(FIRST, "ann", T)
    assert lease == Lease(FIRST, "ann", token=1, expires=T + 30, seconds=30)
    assert rival.take_lease(FIRST, "bob", T + 1) is None
    assert rival.lease(FIRST) == lease
    assert rival.driver(FIRST, lambda: T + 1) == "ann"


def test_lease_that_nobody_took(journal: Journal) -> None:
    """A release without a lease has no driver."""
    assert journal.lease(FIRST) is None
    assert journal.driver(FIRST, lambda: T) == ""


def test_lease_lapses_with_room_for_skewed_clocks(journal: Journal, rival: Journal) -> None:
    """Another takes over two seconds after the end, not before; the token grows."""
    journal.take_lease(FIRST, "ann", T)
    assert rival.take_lease(FIRST, "bob", T + 31.9) is None
    assert rival.driver(FIRST, lambda: T + 31.9) == "ann"
    assert rival.driver(FIRST, lambda: T + 32) == ""
    lease = rival.take_lease(FIRST, "bob", T + 32)
    assert lease == Lease(FIRST, "bob", token=2, expires=T + 62, seconds=30)


def test_lease_is_renewed(journal: Journal, rival: Journal) -> None:
    """Renewing keeps others away for as long again, under the same token."""
    lease = journal.take_lease(FIRST, "ann", T, seconds=20)
    assert lease is not None
    renewed = journal.renew(lease, T + 10)
    assert renewed == Lease(FIRST, "ann", token=1, expires=T + 30, seconds=20)
    assert rival.take_lease(FIRST, "bob", T + 31) is None
    assert rival.lease(FIRST) == renewed


def test_lease_that_ran_out_but_that_nobody_took(journal: Journal) -> None:
    """A driver that slept too long goes on if nobody came in between."""
    lease = journal.take_lease(FIRST, "ann", T)
    assert lease is not None
    assert journal.renew(lease, T + 500).expires == T + 530


def test_lease_that_is_lost(journal: Journal, rival: Journal) -> None:
    """A driver that was taken over can neither renew nor end the lease of the new one."""
    lease = journal.take_lease(FIRST, "ann", T)
    assert lease is not None
    taken = rival.take_lease(FIRST, "bob", T + 40)
    with pytest.raises(LeaseLost, match="another driver"):
        journal.renew(lease, T + 41)
    journal.drop(lease)
    assert rival.lease(FIRST) == taken


def test_lease_that_vanished_with_its_journal(journal: Journal) -> None:
    """Nobody has taken over: the table was emptied, or is gone, and it is said what repairs it."""
    lease, leadership = journal.take_lease(FIRST, "ann", T), journal.take_lease("duty/follow", "ann", T)
    assert lease is not None
    assert leadership is not None
    for one in (FIRST, "duty/follow"):
        journal._db._client.delete_item(TableName=journal.table, Key={"pk": {"S": one}, "sk": {"S": "lease"}})
    with pytest.raises(LeaseLost, match="has no record of this release any more") as lost:
        journal.renew(lease, T + 1)
    assert lost.value.hint == (
        "Someone deleted, emptied or restored it; the service goes on serving. `bluegreen adopt web/production` "
        "repairs the journal from what AWS shows."
    )
    with pytest.raises(LeaseLost) as lost:
        journal.renew(leadership, T + 1)
    assert lost.value.hint.endswith("the service goes on serving.")
    journal._db._client.delete_table(TableName=journal.table)
    with pytest.raises(LeaseLost, match="is gone"):
        journal.renew(lease, T + 1)
    journal.drop(lease)


def test_lease_is_dropped(journal: Journal, rival: Journal) -> None:
    """A dropped lease is free at once, cannot be renewed, and its token is not used again."""
    lease = journal.take_lease(FIRST, "ann", T)
    assert lease is not None
    journal.drop(lease)
    assert journal.lease(FIRST) is None
    with pytest.raises(LeaseLost):
        journal.renew(lease, T + 1)
    taken = rival.take_lease(FIRST, "bob", T)
    assert taken is not None
    assert taken.token == 2


def test_lease_taken_and_renewed_with_lost_answers(journal: Journal) -> None:
    """A lease whose answer was lost is ours when asked for again."""
    lose_answer(journal, "UpdateItem")
    lease = journal.take_lease(FIRST, "ann", T)
    assert lease is not None
    lose_answer(journal, "UpdateItem")
    assert journal.renew(lease, T + 10).token == lease.token
    lose_answer(journal, "UpdateItem")
    journal.drop(lease)
    assert journal.lease(FIRST) is None


# --- what is kept ------------------------------------------------------------------------------------


def test_layout_of_the_table(journal: Journal) -> None:
    """Other versions and other tools find things where the module's heading says."""
    release = journal.open(WEB, started(), T, request="run-7").release
    journal.take_lease(release, "ann", T)
    journal.claim_builder("i-0123", release, T)
    assert {(item["pk"]["S"], item["sk"]["S"]) for item in table_of(journal)} == {
        (FIRST, "event/000001"),
        (FIRST, "lease"),
        (WEB, "release/000001"),
        (WEB, "request/run-7"),
        ("service", WEB),
        ("builder", "i-0123"),
    }


def test_only_answers_to_requests_may_ever_go(journal: Journal) -> None:
    """DynamoDB removes what has the attribute, and a release needs all its events: whoever reads it later, and when."""
    release = journal.open(WEB, started(), T, request="run-7").release
    journal.append(release, 2, EventKind.ENTERED, {"phase": Phase.BAKING}, T)
    journal.order(release, EventKind.HOLD_ORDERED, {"who": "ann", "request": "r-1"}, T + 1.5, lambda found: None)
    journal.answer("r-2", {"text": "Held."}, T + 2)
    journal.take_lease(release, "ann", T)
    journal.note(release, "card", {"ts": "1"}, 1)
    journal.settle(journal.load(release), 4, outcome(Outcome.LIVE), T + 60)
    going = {item["sk"]["S"]: item["ttl"]["N"] for item in table_of(journal) if "ttl" in item}
    ninety = 90 * 24 * 60 * 60
    assert going == {
        "request/run-7": str(int(T) + ninety),
        "request/r-1": str(int(T) + 1 + ninety),
        "answer": str(int(T) + 2 + ninety),
    }


# --- orders that come twice --------------------------------------------------------------------------


def test_order_of_a_request_that_was_heard(journal: Journal, rival: Journal) -> None:
    """A second delivery is the first event again: whatever has happened since, and whoever may not any more."""

    def never(release: Release) -> None:
        raise Refused("not now", reason=Reason.MOVED_ON)

    opened(journal)
    facts = {"who": "slack:U1", "request": "r-1"}
    first = journal.order(FIRST, EventKind.PROMOTED, facts, T, anything)
    journal.append(FIRST, 3, EventKind.ENTERED, {"phase": Phase.SWITCHING}, T + 1)
    assert rival.order(FIRST, EventKind.PROMOTED, facts, T + 2, never) == first
    journal.settle(journal.load(FIRST), 4, outcome(Outcome.LIVE), T + 60)
    assert rival.order(FIRST, EventKind.PROMOTED, facts, T + 99, never) == first
    assert [event.seq for event in journal.read(FIRST)] == [1, 2, 3, 4]


def test_order_of_a_request_that_is_delivered_twice_at_once(journal: Journal, rival: Journal) -> None:
    """Losing the number to its own twin, an order is that event and not a second one."""
    opened(journal)
    facts = {"who": "slack:U1", "request": "r-1"}
    twin: list[Event] = []

    def deliver() -> None:
        twin.append(rival.order(FIRST, EventKind.PROMOTED, facts, T, anything))

    before(journal, "TransactWriteItems", deliver)
    assert journal.order(FIRST, EventKind.PROMOTED, facts, T + 1, anything) == twin[0]
    assert journal.read(FIRST, after=1) == twin


@pytest.mark.parametrize("facts", [{}, {"request": ""}], ids=["absent", "empty"])
def test_orders_without_a_request_are_each_their_own(journal: Journal, facts: Facts) -> None:
    """As are those of different requests."""
    opened(journal)
    for request in (facts, facts, {"request": "r-1"}, {"request": "r-2"}):
        journal.order(FIRST, EventKind.PROMOTED, {"who": "slack:U1", **request}, T, anything)
    assert [event.seq for event in journal.read(FIRST, after=1)] == [2, 3, 4, 5]


def test_order_that_reopens_is_heard_once(journal: Journal, rival: Journal) -> None:
    """Also when its twin has reopened the release in between."""
    settled(journal, Outcome.FAILED)
    facts = {"who": "slack:U1", "request": "r-1"}
    order = (FIRST, EventKind.ROLLBACK_ORDERED, facts, T + 99)
    before(journal, "TransactWriteItems", lambda: rival.order(*order, anything))
    assert journal.order(*order, anything).seq == 3
    assert [event.kind for event in journal.read(FIRST, after=2)] == [EventKind.ROLLBACK_ORDERED]


# --- who is admitted ---------------------------------------------------------------------------------


def unless_frozen(record: ServiceRecord) -> Facts:
    """Admits to a service that is not frozen, and says so."""
    if record.freeze:
        raise Refused("frozen", reason=Reason.FROZEN)
    return {"seen": record.next}


def test_what_admits_is_told(journal: Journal) -> None:
    """What it returns stands in the first event, beside what is said of every release."""
    event = journal.open(WEB, started(), T, admit=unless_frozen)
    assert (event.facts["seen"], event.facts["commit"]) == (1, COMMIT)
    assert journal.read(FIRST) == [event]


def test_a_freeze_that_comes_in_between_is_heeded(journal: Journal, rival: Journal) -> None:
    """What was judged is what is written upon: otherwise it is judged anew."""
    before(journal, "TransactWriteItems", lambda: rival.freeze(WEB, who="slack:U1", why="", until=None, now=T))
    with pytest.raises(Refused, match="frozen"):
        journal.open(WEB, started(), T, admit=unless_frozen)
    assert rolled_back(journal, COMMIT) is None
    assert journal.history(WEB, 9) == []


def test_another_freeze_in_between_is_judged_as_well(journal: Journal, rival: Journal) -> None:
    """So is one that was lifted."""
    journal.freeze(WEB, who="slack:U1", why="", until=None, now=T)
    judged: list[Freeze | None] = []

    def admit(record: ServiceRecord) -> Facts:
        judged.append(record.freeze)
        return {}

    before(journal, "TransactWriteItems", lambda: rival.freeze(WEB, who="slack:U2", why="", until=None, now=T + 1))
    journal.settle(journal.load(journal.open(WEB, started(), T + 2, admit=admit).release), 2, outcome(Outcome.LIVE), T)
    before(journal, "TransactWriteItems", lambda: rival.unfreeze(WEB, who="slack:U2"))
    journal.open(WEB, started(), T + 3, admit=admit)
    assert judged == [Freeze("slack:U1", "", T), *[Freeze("slack:U2", "", T + 1)] * 2, None]


def test_nobody_is_admitted_beside_another(journal: Journal, rival: Journal) -> None:
    """SubjectState before, or lost in the race; nobody is judged for that."""
    opened(journal)
    with pytest.raises(Refused) as caught:
        journal.open(WEB, started(), T + 1, admit=unless_frozen)
    assert caught.value.reason == Reason.UNDER_WAY
    before(journal, "TransactWriteItems", lambda: opened(rival, "web/staging"))
    with pytest.raises(Refused, match="#1 is under way"):
        journal.open("web/staging", started("web/staging"), T, admit=unless_frozen)


def test_what_allows_an_order_is_told(journal: Journal) -> None:
    """What it returns stands in the event; nothing is returned by most."""
    opened(journal)
    event = journal.order(FIRST, EventKind.PROMOTED, {"who": "bob"}, T, lambda release: {"override": "it burns"})
    assert event.facts == {"who": "bob", "override": "it burns"}
    assert journal.read(FIRST)[-1] == event


# --- what entry points remember -----------------------------------------------------------------------------


def test_notes(journal: Journal, rival: Journal) -> None:
    """A note is kept by release and name, comes back as it was, and is replaced whole."""
    opened(journal)
    assert journal.noted(FIRST, "card") is None
    assert journal.note(FIRST, "card", {"ts": "1700.25", "lines": [1, None], "é": {"n": 0.5}}, 1)
    assert rival.noted(FIRST, "card") == {"ts": "1700.25", "lines": [1, None], "é": {"n": 0.5}}
    assert journal.note(FIRST, "card", {"ts": "1800"}, 1)
    assert rival.noted(FIRST, "card") == {"ts": "1800"}
    assert rival.noted(FIRST, "thread") is None
    assert rival.noted(SECOND, "card") is None
    assert len(journal.read(FIRST)) == 1


def test_note_of_somebody_whose_duty_has_passed_on(journal: Journal, rival: Journal) -> None:
    """Who wakes up late with an older token writes nothing; of other notes it is no matter."""
    opened(journal)
    old = journal.take_lease("duty/follow", "ann", T)
    new = rival.take_lease("duty/follow", "bob", T + 99)
    assert old is not None
    assert new is not None
    assert rival.note(FIRST, "card", {"by": "bob"}, new.token)
    assert not journal.note(FIRST, "card", {"by": "ann"}, old.token)
    assert journal.noted(FIRST, "card") == {"by": "bob"}
    assert journal.note(FIRST, "card", {"by": "cy"}, new.token + 1)
    assert not rival.note(FIRST, "card", {"by": "bob"}, new.token)
    assert journal.note(FIRST, "thread", {"by": "ann"}, old.token)


def test_note_with_a_lost_answer(journal: Journal) -> None:
    """It meets itself, and is kept."""
    opened(journal)
    lose_answer(journal, "PutItem")
    assert journal.note(FIRST, "card", {"ts": "1"}, 1)
    assert journal.noted(FIRST, "card") == {"ts": "1"}


def test_answers(journal: Journal, rival: Journal) -> None:
    """Whoever answers second learns what was answered first; requests do not meet."""
    assert journal.answered("r-1") is None
    assert journal.answer("r-1", {"text": "Promoted.", "blocks": []}, T) == {"text": "Promoted.", "blocks": []}
    assert rival.answer("r-1", {"text": "was promoted already", "blocks": []}, T + 1)["text"] == "Promoted."
    assert rival.answered("r-1") == {"text": "Promoted.", "blocks": []}
    assert rival.answer("r-2", {"text": "no"}, T + 2) == {"text": "no"}


def test_answers_at_once(journal: Journal, rival: Journal) -> None:
    """Of two, one is the first, and both give it."""
    given: list[dict[str, Any]] = []
    before(journal, "PutItem", lambda: given.append(rival.answer("r-1", {"text": "a"}, T)))
    given.append(journal.answer("r-1", {"text": "b"}, T))
    assert given == [{"text": "a"}, {"text": "a"}]


def test_answer_with_a_lost_answer(journal: Journal) -> None:
    """DynamoDB's was lost: ours stands there already, and is the first."""
    lose_answer(journal, "PutItem")
    assert journal.answer("r-1", {"text": "a"}, T) == {"text": "a"}


def test_duties(journal: Journal, rival: Journal) -> None:
    """As with a release's driver: one at a time, for so long, given back or lapsed; never a driver of a release."""
    leadership = journal.take_lease("duty/follow", "ann", T, 10)
    assert leadership is not None
    assert rival.take_lease("duty/follow", "bob", T, 10) is None
    assert rival.take_lease("duty/other", "bob", T, 10) is not None
    later = journal.renew(leadership, T + 9)
    assert rival.take_lease("duty/follow", "bob", T + 12, 10) is None
    journal.drop(later)
    taken = rival.take_lease("duty/follow", "bob", T + 12, 10)
    assert taken is not None
    assert taken.token > leadership.token
    with pytest.raises(LeaseLost):
        journal.renew(later, T + 13)
    assert journal.services() == []


def test_layout_of_what_entry_points_remember(journal: Journal) -> None:
    """Where the module's heading says."""
    journal.note(FIRST, "card", {}, 1)
    journal.answer("r-1", {}, T)
    journal.take_lease("duty/follow", "ann", T)
    assert {(item["pk"]["S"], item["sk"]["S"]) for item in table_of(journal)} == {
        (FIRST, "note/card"),
        ("answer/r-1", "answer"),
        ("duty/follow", "lease"),
    }


def test_every_answer_tells_the_time(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is a refusal, too; and one without a date tells none."""
    told: list[float] = []
    listening = Journal(_sessions[0], TABLE, heard=told.append)
    assert listening.take_lease(FIRST, "ann", T) is not None
    assert listening.take_lease(FIRST, "bob", T) is None
    assert len(told) == 2
    assert told[0] > 1.7e9
    assert told[1] - told[0] in (0, 1)
    for said in (None, "", "yesterday"):
        listening._db._hear(SimpleNamespace(headers={"date": said} if said is not None else {}))
    assert len(told) == 2
