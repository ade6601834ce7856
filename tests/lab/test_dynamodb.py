"""The lab's DynamoDB says what Amazon's own says: one set of requests, put to both."""

from __future__ import annotations

from itertools import starmap
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.aws import FakeAws
from lab.aws.tables import TOKEN_SECONDS
from tests.worlds import Ops
from tests.worlds.dynamodb import AMAZONS, Amazons, Ask, amazons, labs
from tests.worlds.recordings import Said, recorded, said
from tests.worlds.requests import (
    SCENARIOS,
    TABLE,
    Asked,
    Request,
    Wild,
    at,
    check,
    filled,
    get,
    if_,
    made,
    n,
    put,
    query,
    s,
    scan,
    together,
    update,
)

STALE = "the requests have changed: .venv/bin/python -m tests.dynamodb record (after `make dynamodb`)"


def asked(said: list[Said]) -> list[str]:
    """Which requests they are answers to."""
    return [request for request, _, _ in said]


def lab() -> Ask:
    """The lab's DynamoDB with a table."""
    ask = labs(FakeAws())
    ask(*made())
    return ask


# --- the same ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_lab_says_what_amazons_said(name: str) -> None:
    """Each answer and each refusal, down to the attributes, codes and reasons, as recorded."""
    ours, theirs = said(name, labs(FakeAws())), recorded(name)
    assert asked(theirs) == asked(ours), STALE
    assert theirs == ours


@pytest.fixture(scope="module", params=[pytest.param("amazon", marks=AMAZONS)])
def amazon() -> Amazons:
    """Amazon's own DynamoDB."""
    return amazons()


def test_the_recordings_are_what_amazons_says(amazon: Amazons) -> None:
    """What the lab is held to is no invention of ours."""
    for name in SCENARIOS:
        theirs = said(name, amazon.account())
        assert asked(recorded(name)) == asked(theirs), STALE
        assert (name, recorded(name)) == (name, theirs)


@settings(max_examples=15)
@given(dice=st.randoms(use_true_random=False))
def test_any_requests(amazon: Amazons, dice: Random) -> None:
    """Whatever is put, updated, deleted, transacted and asked: the same answers, refusals and items."""
    ours, theirs = lab(), amazon.account()
    theirs(*made())
    for request in Wild(dice).scenario(12):
        assert (request, theirs(*request)) == (request, ours(*request))


# --- what DynamoDB Local does otherwise than DynamoDB, by its guide -----------------------------------------


def test_numbers_are_trimmed_everywhere() -> None:
    """In a map or list, set by an update, as a sum: no zeros at the end are kept (Local trims a put's own only)."""
    ask = lab()
    ask(*put("e", m={"M": {"k": n("1.0"), "l": {"M": {"k": n("-0.0")}}}}, l={"L": [n("2E1")]}, n=n("1.0")))
    ask(*update("e", "SET #n = #n + :n", n=n("1.50")))
    ask(*update("e", "SET #m.#j = :n, #o = :n", n=n("2.50")))
    item = ask(*get("e"))[1]["Item"]
    assert {"M": {"k": n("1"), "l": {"M": {"k": n("0")}}, "j": n("2.5")}} == item["m"]
    assert (n("2.5"), n("2.5"), {"L": [n("20")]}) == (item["n"], item["o"], item["l"])


def test_a_transaction_writes_an_item_once() -> None:
    """Two writes of one item, or a check beside a write, are refused whatever the conditions say."""
    ask = lab()
    for other in (put("e"), check("e", "attribute_exists(pk)"), update("e", "REMOVE #n")):
        assert (400, "ValidationException") == refusal(ask, together(put("e"), other))
    assert 0 == ask(*scan())[1]["Count"]


def test_a_transaction_has_a_reason_for_each_item() -> None:
    """Also when an update leaves too much (Local tells of that item only)."""
    ask = lab()
    ask(*put("e", t=s("x" * 300_000)))
    _, said = ask(*together(put("f"), update("e", "SET #u = :u", u=s("x" * 300_000))))
    assert ["None", "ValidationError"] == [reason["Code"] for reason in said["CancellationReasons"]]
    assert {} == ask(*get("f"))[1]


# --- what no recording shows -------------------------------------------------------------------------------


def refusal(ask: Ask, request: Request) -> tuple[int, str]:
    """Status and code of a refusal."""
    status, said = ask(*request)
    return status, said.get("__type", "")


def test_a_token_is_good_for_ten_minutes() -> None:
    """Until then the same transaction is done once and others with the token are refused; then it is a new one."""
    aws = FakeAws()
    ask, first = labs(aws), together(put("e", if_("attribute_not_exists(pk)")), token="one")
    other = together(put("f"), token="one")
    ask(*made())
    assert (200, {}) == ask(*first)
    aws.clock.sleep(TOKEN_SECONDS - 0.1)
    assert (200, {}) == ask(*first)
    assert (400, "IdempotentParameterMismatchException") == refusal(ask, other)
    aws.clock.sleep(0.1)
    assert (400, "TransactionCanceledException") == refusal(ask, first)
    assert (200, {}) == ask(*other)


def test_a_scan_finds_every_item_once() -> None:
    """Page by page, whatever the partitions' order is."""
    ask = lab()
    wrote = {(f"p{number % 7}", f"s{number}") for number in range(40)}
    for pk, sk in wrote:
        ask(*put(sk, pk=pk))
    found, page = [], ask(*scan(Limit=3))[1]
    while "LastEvaluatedKey" in page:
        found += page["Items"]
        page = ask(*scan(Limit=3, ExclusiveStartKey=page["LastEvaluatedKey"]))[1]
    found += page["Items"]
    assert sorted(wrote) == sorted((item["pk"]["S"], item["sk"]["S"]) for item in found)


def test_a_table_made_anew_is_empty() -> None:
    """Another table of the same name has nothing of the first."""
    ask = lab()
    ask(*put("e"))
    ask("DeleteTable", {"TableName": TABLE})
    assert (400, "ResourceNotFoundException") == refusal(ask, get("e"))
    ask(*made())
    assert (200, {}) == ask(*get("e"))


INDEX = {
    "IndexName": "index",
    "KeySchema": [{"AttributeName": "sk", "KeyType": "HASH"}],
    "Projection": {"ProjectionType": "ALL"},
}
NUMBER_KEY = [{"AttributeName": "pk", "AttributeType": "S"}, {"AttributeName": "sk", "AttributeType": "N"}]
#: What DynamoDB knows and the lab does not.
UNKNOWN: dict[str, Request] = {
    "a set": put("e", x={"SS": ["a"]}),
    "bytes": put("e", x={"B": "eA=="}),
    "a place in a list": update("e", "SET #l[0] = :n", n=n("1")),
    "list_append": update("e", "SET #l = list_append(#l, :l)", l={"L": []}),
    "DELETE": update("e", "DELETE #x :x", x={"S": "a"}),
    "a projection": query(more={"ProjectionExpression": "sk"}),
    "an index": query(more={"IndexName": "index"}),
    "a segment": scan(Segment=0, TotalSegments=2),
    "the old conditions": put("e", {"Expected": {"pk": {"Exists": False}}}),
    "what it costs": query(more={"ReturnConsumedCapacity": "TOTAL"}),
    "a selection": query(more={"Select": "SPECIFIC_ATTRIBUTES"}),
    "batches": ("BatchWriteItem", {"RequestItems": {TABLE: [{"PutRequest": {"Item": at("e")}}]}}),
    "reads together": ("TransactGetItems", {"TransactItems": [{"Get": {"TableName": TABLE, "Key": at("e")}}]}),
    "statements": ("ExecuteStatement", {"Statement": f'SELECT * FROM "{TABLE}"'}),
    "a copy of all": ("CreateBackup", {"TableName": TABLE, "BackupName": "all"}),
}


@pytest.mark.parametrize("what", UNKNOWN)
def test_what_the_lab_does_not_know_it_refuses(what: str) -> None:
    """Better no answer than a wrong one: in words that are not AWS's, and nothing is done."""
    ask = lab()
    list(starmap(ask, filled()))
    before = ask(*scan())
    assert (400, "NotImplemented") == refusal(ask, UNKNOWN[what])
    assert before == ask(*scan())


@pytest.mark.parametrize(
    "more",
    [
        {"GlobalSecondaryIndexes": [INDEX]},
        {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}},
        {"AttributeDefinitions": NUMBER_KEY},
    ],
)
def test_tables_that_the_lab_does_not_know(more: Asked) -> None:
    """With an index, a stream or a key that is a number they can be made; what is in them is not told."""
    ask = labs(FakeAws())
    assert 200 == ask(*made(**more))[0]
    assert (400, "NotImplemented") == refusal(ask, put("e"))


def test_a_table_with_one_key() -> None:
    """An item in each partition."""
    ask = labs(FakeAws())
    keys: Any = {"KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}]}
    ask(*made(**keys, AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}]))
    items = [{"pk": s(text)} for text in "abc"]
    for item in items:
        assert (200, {}) == ask("PutItem", {"TableName": TABLE, "Item": item})
    assert (200, {"Item": items[1]}) == ask("GetItem", {"TableName": TABLE, "Key": items[1]})
    assert items[:1] == ask(*query())[1]["Items"]
    assert items == sorted(ask(*scan())[1]["Items"], key=str)


def test_all_that_a_release_asks_is_known() -> None:
    """Of its requests about items none is left to moto, or refused as unknown."""
    o = Ops()
    release = o.start()
    o.drive(release.id)
    asked = {call.name for call in o.aws.calls if call.service == "dynamodb"}
    assert {"dynamodb:TransactWriteItems", "dynamodb:Query", "dynamodb:UpdateItem"} <= asked
    assert "NotImplemented" not in {call.error for call in o.aws.calls}
