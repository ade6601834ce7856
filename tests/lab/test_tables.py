"""The lab's tables answer what moto's answer, only sooner: the same operations, on both."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.aws import PretendAws
from lab.aws.wire import Answer, Incoming
from tests.worlds import Ops

Call = tuple[str, dict[str, Any]]
TABLE = {"TableName": "t"}
KEYS = [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}]
KINDS = [{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")]
#: What moto answers though nobody asked for it.
UNASKED = {"ResponseMetadata", "ConsumedCapacity", "ItemCollectionMetrics"}


class Account:
    """An account with a table, which is moto's alone unless it is to be fast."""

    def __init__(self, *, fast: bool = True) -> None:
        self.pretend = PretendAws()
        self.lent = lent(self.pretend, fast=fast)
        self.client: Any = self.pretend.session().client("dynamodb")
        self.client.create_table(**TABLE, KeySchema=KEYS, AttributeDefinitions=KINDS, BillingMode="PAY_PER_REQUEST")

    def says(self, method: str, arguments: dict[str, Any]) -> object:
        """What is answered, or how it is refused; of a query every page."""
        try:
            if method == "query":
                pages = self.client.get_paginator("query").paginate(**arguments)
                return [item for page in pages for item in page["Items"]]
            answer = getattr(self.client, method)(**arguments)
        except ClientError as error:
            told = error.response
            return told["Error"], told.get("Item"), told.get("CancellationReasons")
        except Exception as error:  # moto's own failures, and boto's
            return type(error).__name__
        return {name: value for name, value in answer.items() if name not in UNASKED}


def lent(pretend: PretendAws, *, fast: bool = True) -> Counter[str]:
    """How often moto is asked to do what; everything, unless it is to be fast."""
    counts: Counter[str] = Counter()
    ours = pretend._tables.answer

    def answer(request: Incoming) -> Answer | None:
        answered = ours(request) if fast else None
        if answered is None:
            counts[request.operation] += 1
        return answered

    pretend._tables.answer = answer  # type: ignore[method-assign]
    return counts


# --- what is asked -----------------------------------------------------------------------------------------

TEXTS = st.sampled_from(["", "a", "b", "ab", "ü", "z\N{GRINNING FACE}"]).map(lambda text: {"S": text})
NUMBERS = st.sampled_from(["0", "1", "-2", "3", "1.5", "10", "1767225600.0"]).map(lambda text: {"N": text})
MAPS = st.dictionaries(st.sampled_from(["k", "l"]), st.one_of(TEXTS, NUMBERS), max_size=2).map(lambda one: {"M": one})
OTHERS = st.sampled_from(
    [{"N": "1e3"}, {"L": [{"S": "a"}]}, {"BOOL": True}, {"NULL": True}, {"SS": ["a"]}, {"M": {"k": {"M": {}}}}]
)
RARELY_OTHERS = st.integers(1, 9).flatmap(lambda n: OTHERS if n == 5 else NUMBERS)
PLACES = st.fixed_dictionaries(
    {
        "pk": st.sampled_from(["a", "b"]).map(lambda text: {"S": text}),
        "sk": st.sampled_from(["e/1", "e/2", "e/3", "f", "ü"]).map(lambda text: {"S": text}),
    }
)
ITEMS = st.builds(
    lambda place, more: {**place, **more},
    PLACES,
    st.fixed_dictionaries({"m": MAPS}, optional={"n": NUMBERS, "t": TEXTS, "o": RARELY_OTHERS}),
)
#: Those that are ours to read, and those that are not: refused, or rarely written.
CONDITIONS = [
    "attribute_not_exists(pk)",
    "attribute_exists(#n)",
    "#n = :n",
    "#n <= :n OR attribute_not_exists(pk)",
    "#n < :n AND #t >= :t",
    "attribute_exists(pk) AND (attribute_not_exists(#t) OR #t = :t OR #m.#k = :n)",
    "#m.#k = :n",
    "#t > :t",
]
FOREIGN_CONDITIONS = [
    "#m = :m",
    "NOT attribute_exists(#n)",
    "#n IN (:n, :w)",
    "begins_with(#t, :t)",
    "#n = :t",
    "((#n = :n))",
    "size = :n",
    "#n = :n AND",
]
UPDATES = [
    "SET #n = :n",
    "SET #n = :n, #t = :t",
    "SET #n = if_not_exists(#n, :n) + :w",
    "SET #m = if_not_exists(#m, :m) REMOVE #t",
    "SET #m.#k = :n",
    "SET #m.#k = :t REMOVE #n, #t",
    "REMOVE #m.#k",
    "REMOVE #n",
]
FOREIGN_UPDATES = [
    "SET #n = #n + :n",
    "SET #o = list_append(#o, :o)",
    "ADD #n :n",
    "SET #m = :m REMOVE #m.#k",
    "SET pk = :t",
    "SET name = :t",
    "SET #n = :n SET #t = :t",
]
VALUES = {":n": NUMBERS, ":w": NUMBERS, ":t": TEXTS, ":m": MAPS, ":o": OTHERS}


def one_in_nine(rare: list[str], common: list[str]) -> st.SearchStrategy[str]:
    """Mostly one of the common."""
    return st.integers(1, 9).flatmap(lambda n: st.sampled_from(rare if n == 5 else common))


def worded(texts: dict[str, str], more: str, value: Callable[[str], Any]) -> dict[str, Any]:
    """Expressions, and what their words stand for; `more` is one that they do not have."""
    words = sorted({*re.findall(r"[#:]\w+", " ".join(texts.values())), more} - {""})
    names = {word: word[1:] for word in words if word[0] == "#"}
    values = {word: value(word) for word in words if word[0] == ":"}
    found = {"ExpressionAttributeNames": names, "ExpressionAttributeValues": values}
    return {**texts, **{name: what for name, what in found.items() if what}}


@st.composite
def expressed(draw: st.DrawFn, *, update: bool = False, always: bool = False) -> dict[str, Any]:
    """Expressions with their names and values; now and then with one too many."""
    texts = {"UpdateExpression": draw(one_in_nine(FOREIGN_UPDATES, UPDATES))} if update else {}
    if always or draw(st.booleans()):
        texts["ConditionExpression"] = draw(one_in_nine(FOREIGN_CONDITIONS, CONDITIONS))
    told = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
    more = draw(one_in_nine(["#n", ":n"], [""]))
    return worded(texts, more, lambda word: draw(VALUES[word])) | (
        told if len(texts) > update and draw(st.booleans()) else {}
    )


PUTS = st.builds(lambda item, more: {**TABLE, "Item": item, **more}, ITEMS, expressed())
DELETES = st.builds(lambda place, more: {**TABLE, "Key": place, **more}, PLACES, expressed())
UPDATINGS = st.builds(lambda place, more: {**TABLE, "Key": place, **more}, PLACES, expressed(update=True))
CHECKS = st.builds(lambda place, more: {**TABLE, "Key": place, **more}, PLACES, expressed(always=True))
RETURNED = st.sampled_from([{}, {}, {"ReturnValues": "ALL_NEW"}, {"ReturnValues": "ALL_OLD"}])
KINDS_OF_WRITES = {"Put": PUTS, "Delete": DELETES, "Update": UPDATINGS, "ConditionCheck": CHECKS}
TRANSACTED = st.lists(
    st.one_of(*(st.fixed_dictionaries({name: kind}) for name, kind in KINDS_OF_WRITES.items())),
    min_size=1,
    max_size=3,
)
WHERE = st.one_of(
    st.sampled_from(["a", "b"]).map(lambda pk: ("pk = :pk", {":pk": {"S": pk}})),
    st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["e/", "e/2", "g", ""])).map(
        lambda at: ("pk = :pk AND begins_with(sk, :start)", {":pk": {"S": at[0]}, ":start": {"S": at[1]}})
    ),
    st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["e/1", "e/2"]), st.sampled_from(["e/2", "e/~", "ü"])).map(
        lambda at: (
            "pk = :pk AND sk BETWEEN :first AND :last",
            {":pk": {"S": at[0]}, ":first": {"S": at[1]}, ":last": {"S": at[2]}},
        )
    ),
)
PAGES = st.fixed_dictionaries({}, optional={"Limit": st.integers(1, 3), "ScanIndexForward": st.booleans()})
QUERIES = st.builds(
    lambda where, pages: {
        **TABLE,
        "KeyConditionExpression": where[0],
        "ExpressionAttributeValues": where[1],
        "ConsistentRead": True,
        **pages,
    },
    WHERE,
    PAGES,
)
#: At the end of each test: everything there is, in every way in which it can be asked for.
ENDING: list[Call] = [
    (
        "query",
        {
            **TABLE,
            "KeyConditionExpression": "pk = :pk" + more,
            "ExpressionAttributeValues": {":pk": {"S": "a"}, **values},
            **page,
        },
    )
    for more, values in [
        ("", {}),
        (" AND begins_with(sk, :start)", {":start": {"S": "e/"}}),
        (" AND sk BETWEEN :first AND :last", {":first": {"S": "e/2"}, ":last": {"S": "f"}}),
    ]
    for page in ({}, {"Limit": 2}, {"Limit": 1, "ScanIndexForward": False})
] + [("scan", TABLE)]
CALLS: st.SearchStrategy[Call] = st.one_of(
    PUTS.map(lambda one: ("put_item", one)),
    PUTS.map(lambda one: ("put_item", one)),
    st.builds(lambda one, told: ("update_item", {**one, **told}), UPDATINGS, RETURNED),
    DELETES.map(lambda one: ("delete_item", one)),
    PLACES.map(lambda one: ("get_item", {**TABLE, "Key": one, "ConsistentRead": True})),
    QUERIES.map(lambda one: ("query", one)),
    TRANSACTED.map(lambda one: ("transact_write_items", {"TransactItems": one})),
    st.just(("scan", TABLE)),
)


def filled() -> Iterator[Call]:
    """Some items to begin with, not in the order of their keys."""
    for number, (pk, sk) in enumerate([("a", "f"), ("a", "e/2"), ("b", "e/1"), ("a", "e/1"), ("a", "ü"), ("a", "e/3")]):
        item = {"pk": {"S": pk}, "sk": {"S": sk}, "n": {"N": f"{number}"}, "t": {"S": "ab"}, "m": {"M": {}}}
        yield "put_item", {**TABLE, "Item": item}


@settings(max_examples=60)
@given(st.lists(CALLS, min_size=4, max_size=30))
def test_the_same_as_moto(calls: list[Call]) -> None:
    """Whatever is put, updated, deleted, transacted and asked: the same answers, refusals and items."""
    ours, motos = Account(), Account(fast=False)
    try:
        for call in (*filled(), *calls, *ENDING):
            assert (call, ours.says(*call)) == (call, motos.says(*call))
    finally:
        ours.pretend.close()
        motos.pretend.close()


def test_conditions_at_their_edges() -> None:
    """Each on the same item, with values just below, at and just above the item's; and on none."""
    ours, motos = Account(), Account(fast=False)
    for call in filled():
        assert ours.says(*call) == motos.says(*call)
    edges = itertools.product(CONDITIONS, ["-1", "0", "0.0", "1"], ["aa", "ab", "abc"], ["f", "none"])
    for condition, number, text, sk in edges:
        given_words = {":n": {"N": number}, ":t": {"S": text}}
        check = worded({"ConditionExpression": condition}, "", given_words.__getitem__)
        one = {"ConditionCheck": {**TABLE, "Key": {"pk": {"S": "a"}, "sk": {"S": sk}}, **check}}
        call = ("transact_write_items", {"TransactItems": [one]})
        assert (call, ours.says(*call)) == (call, motos.says(*call))
    assert set(ours.lent) == {"CreateTable"}


def test_a_release_needs_no_moto() -> None:
    """All that the journal asks is answered here, but for the table itself."""
    o = Ops()
    asked = lent(o.aws)
    release = o.start()
    o.drive(release.id)
    assert set(asked) == {"DescribeTable", "CreateTable"}
