"""One set of requests to DynamoDB, for Amazon's own and for the lab's: each scenario on an account with a table."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

Asked = dict[str, Any]
Request = tuple[str, Asked]
Scenario = list[Request]

TABLE = "table"
KEYS = [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}]
KINDS = [{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")]
NOTHING = {"ReturnValuesOnConditionCheckFailure": "NONE"}
ALL_OLD = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
#: An item may have so many bytes, names and values taken together.
LARGEST = 400 * 1024


def at(sk: str, pk: str = "a") -> Asked:
    """A key."""
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def n(text: str) -> Asked:
    """A number, as it is written."""
    return {"N": text}


def s(text: str) -> Asked:
    """A text."""
    return {"S": text}


def made(name: str = TABLE, **more: Any) -> Request:
    """Make a table."""
    asked = {"TableName": name, "KeySchema": KEYS, "AttributeDefinitions": KINDS, "BillingMode": "PAY_PER_REQUEST"}
    return "CreateTable", {**asked, **more}


def worded(texts: Asked, values: Asked) -> Asked:
    """Expressions with their names and those of the values that they use."""
    words = set(re.findall(r"[#:]\w+", " ".join(texts.values())))
    names = {word: word[1:] for word in sorted(words) if word[0] == "#"}
    used = {word: values[word] for word in sorted(words) if word[0] == ":"}
    found = {"ExpressionAttributeNames": names, "ExpressionAttributeValues": used}
    return {**texts, **{name: what for name, what in found.items() if what}}


def if_(condition: str, **values: Asked) -> Asked:
    """A condition; `v=n("1")` is what `:v` stands for."""
    return worded({"ConditionExpression": condition}, {f":{name}": value for name, value in values.items()})


def put(sk: str, more: Asked | None = None, pk: str = "a", **attributes: Any) -> Request:
    """Put an item."""
    return "PutItem", {"TableName": TABLE, "Item": {**at(sk, pk), **attributes}, **(more or {})}


def get(sk: str, pk: str = "a") -> Request:
    """Get an item."""
    return "GetItem", {"TableName": TABLE, "Key": at(sk, pk), "ConsistentRead": True}


def delete(sk: str, more: Asked | None = None) -> Request:
    """Delete an item."""
    return "DeleteItem", {"TableName": TABLE, "Key": at(sk), **(more or {})}


def update(
    sk: str, text: str, condition: str = "", returned: str = "", more: Asked | None = None, **values: Asked
) -> Request:
    """Update an item."""
    texts = {"UpdateExpression": text, **({"ConditionExpression": condition} if condition else {})}
    told = {"ReturnValues": returned} if returned else {}
    words = worded(texts, {f":{name}": value for name, value in values.items()})
    return "UpdateItem", {"TableName": TABLE, "Key": at(sk), **words, **told, **(more or {})}


def together(*requests: Request, token: str = "") -> Request:
    """The same writes in one transaction."""
    items = [{operation.removesuffix("Item"): asked} for operation, asked in requests]
    return "TransactWriteItems", {"TransactItems": items, **({"ClientRequestToken": token} if token else {})}


def check(sk: str, condition: str, more: Asked | None = None, **values: Asked) -> Request:
    """A condition on an item, as part of a transaction."""
    return "ConditionCheck", {"TableName": TABLE, "Key": at(sk), **if_(condition, **values), **(more or {})}


def query(where: str = "pk = :pk", more: Asked | None = None, **values: str) -> Request:
    """Query the partition `a`."""
    words = {":pk": s("a"), **{f":{name}": s(value) for name, value in values.items()}}
    asked = {"TableName": TABLE, "KeyConditionExpression": where, "ExpressionAttributeValues": words}
    return "Query", {**asked, **(more or {})}


def scan(**more: Any) -> Request:
    """Scan the table."""
    return "Scan", {"TableName": TABLE, **more}


# --- conditions --------------------------------------------------------------------------------------------

SAMPLE: Any = {"n": n("0"), "t": s("ab"), "m": {"M": {"k": n("1.5"), "deep": {"M": {"t": s("x")}}}}}
CONDITIONS = [
    "attribute_exists(pk)",
    "attribute_not_exists(pk)",
    "attribute_exists(#n)",
    "attribute_not_exists(#m.#none)",
    "attribute_exists(#m.#deep.#t)",
    *(f"#{what} {sign} :{what}" for what in "nt" for sign in ("=", "<>", "<", "<=", ">", ">=")),
    "#n <= :n OR attribute_not_exists(pk)",
    "#n < :n AND #t >= :t",
    "#n < :n AND #t >= :t OR #m.#k = :half",
    "#m.#k = :half OR #n < :n AND #t > :t",
    "attribute_exists(pk) AND (attribute_not_exists(#t) OR #t = :t OR (#m.#k = :n AND #n = :n))",
    "#m.#deep.#t = :t",
    "#none = :n",
    "#none <> :n",
    "#n = :t",
    "#t < :n",
    "NOT #n = :n",
    "NOT (#n = :n OR #t = :t)",
    "#n BETWEEN :n AND :half",
    "#n IN (:half, :n)",
    "begins_with(#t, :t)",
    "contains(#t, :t)",
    "attribute_type(#n, :N)",
    "size(#t) > :n",
    "#m = :m",
    "(attribute_exists(pk))",
]
WORDS = {":half": n("1.5"), ":N": s("N"), ":m": SAMPLE["m"]}
EDGES = [(n("-1"), s("aa")), (n("0.0"), s("ab")), (n("1"), s("abc"))]
WRONG_CONDITIONS = [
    "((#n = :n))",
    "#n = :n AND",
    "#n == :n",
    "name = :n",
    "#n = :n OR OR #t = :t",
    "attribute_exists(:n)",
    "attribute_exist(#n)",
    "#n BETWEEN :half AND :n",
    "#n < :m",
    "begins_with(#t, :n)",
    "#n = :n)",
]


def conditions() -> Scenario:
    """Each on an item and on none, with values below, at and above the item's."""
    longer: Any = {"t": s("ü\N{GRINNING FACE}")}
    sizes = (put("g", if_("size(#t) = :n", n=n(str(size))), **longer) for size in (2, 3, 6, 2))
    asked = [{":n": number, ":t": text, **WORDS} for number, text in EDGES]
    on_one = [put("e", worded({"ConditionExpression": one}, words), **SAMPLE) for one in CONDITIONS for words in asked]
    on_none = [delete("none", worded({"ConditionExpression": one}, words)) for one in CONDITIONS for words in asked]
    return [put("g", **longer), *sizes, put("e", **SAMPLE), *on_one, *on_none, query()]


def wrong_conditions() -> Scenario:
    """Those that are refused, whatever the item is."""
    words = {":n": n("0"), ":t": s("ab"), **WORDS}
    asked = (worded({"ConditionExpression": one}, words) for one in WRONG_CONDITIONS)
    return [put("e", **SAMPLE), *(put("e", one) for one in asked), get("e")]


def words() -> Scenario:
    """Names and values that are given and not used, used and not given, or empty."""
    return [
        put("e", **SAMPLE),
        put("e", {**if_("#n = :n", n=n("0")), "ExpressionAttributeNames": {"#n": "n", "#x": "x"}}),
        put("e", {**if_("#n = :n", n=n("0")), "ExpressionAttributeValues": {":n": n("0"), ":x": n("0")}}),
        put("e", {**if_("#n = :n", n=n("0")), "ExpressionAttributeNames": {"#x": "x"}}),
        put("e", {**if_("#n = :n", n=n("0")), "ExpressionAttributeValues": {":x": n("0")}}),
        put("e", {"ExpressionAttributeNames": {"#x": "x"}}),
        put("e", {"ExpressionAttributeValues": {":x": n("0")}}),
        put("e", {"ConditionExpression": ""}),
        put("e", {**if_("attribute_exists(pk)"), "ExpressionAttributeValues": {}}),
        put("e", {**if_("attribute_exists(pk)"), "ReturnValuesOnConditionCheckFailure": "SOME"}),
        get("e"),
    ]


def told_what_is_there() -> Scenario:
    """The item in the way comes with the refusal of a put, update, delete and of a transaction, if it is asked for."""
    no, yes = if_("attribute_not_exists(pk)"), if_("attribute_exists(pk)")
    writes = [
        [put(sk, {**condition, **told}, n=n("2")),
         delete(sk, {**condition, **told}),
         update(sk, "SET #n = :n", condition["ConditionExpression"], more=told, n=n("2"))]
        for sk, condition in (("e", no), ("none", yes)) for told in (ALL_OLD, NOTHING, {})
    ]  # fmt: skip
    plain = [one for three in writes for one in three]
    in_one = [together(one, put("other", n=n("1")), check("x", "attribute_not_exists(pk)", ALL_OLD)) for one in plain]
    return [put("e", **SAMPLE), *plain, *in_one, together(check("e", "attribute_not_exists(pk)", ALL_OLD)), query()]


# --- transactions ------------------------------------------------------------------------------------------


def repeated_token() -> Scenario:
    """The same token again: done once; with other items, refused; after a refusal, tried anew."""
    first = together(put("e", if_("attribute_not_exists(pk)"), n=n("1")), token="one")
    counted = together(
        update("count", "SET #n = if_not_exists(#n, :zero) + :one", zero=n("0"), one=n("1")), token="two"
    )
    unmet = together(put("late", if_("attribute_not_exists(pk)")), check("gate", "attribute_exists(pk)"), token="three")
    return [
        first,
        first,
        together(put("e", if_("attribute_not_exists(pk)"), n=n("2")), token="one"),
        together(put("f"), token="one"),
        counted,
        counted,
        get("count"),
        unmet,
        put("gate"),
        unmet,
        unmet,
        delete("late"),
        unmet,
        together(put("e", if_("attribute_not_exists(pk)"), n=n("1")), token="four"),
        together(put("e", if_("attribute_not_exists(pk)"), n=n("1"))),
        together(put("g"), token="x" * 36),
        together(put("g"), token="x" * 37),
        ("TransactWriteItems", {**together(put("g"))[1], "ClientRequestToken": ""}),
        query(),
    ]


def transactions() -> Scenario:
    """All or nothing, with a reason for each item; what a transaction may not hold."""
    yes, no = "attribute_exists(pk)", "attribute_not_exists(pk)"
    return [
        put("e", **SAMPLE),
        together(put("f", if_(no)), update("e", "SET #n = :n", yes, n=n("1")), delete("none"), check("e2", no)),
        together(put("f", if_(no)), update("e", "SET #n = :n", yes, n=n("2")), check("e3", yes), delete("e4")),
        together(put("f", if_(no) | ALL_OLD), update("e", "SET #n = :n", no, more=ALL_OLD, n=n("2")), delete("x")),
        together(put("g"), put("g")),
        together(),
        together(*(put(f"many/{number:03}") for number in range(100))),
        together(*(put(f"more/{number:03}") for number in range(101))),
        together(check("e", yes)),
        together(("ConditionCheck", {"TableName": TABLE, "Key": at("e")})),
        together(put("h"), ("PutItem", {"TableName": "elsewhere", "Item": at("h")})),
        together(put("h"), update("e", "SET #t = :one + :n", one=s("x"), n=n("1"))),
        together(put("h"), update("e", "SET #m.#none.#x = :n", n=n("1"))),
        together(update("e", "SET pk = :t", t=s("x"))),
        together(update("e", "SET pk = :t", no, t=s("x"))),
        together(put("h", t=n("one"))),
        together(put("h", t=s("x" * LARGEST))),
        ("TransactWriteItems", {"TransactItems": [{}]}),
        ("TransactWriteItems", {"TransactItems": [{"Put": put("h")[1], "Delete": delete("i")[1]}]}),
        query("pk = :pk AND sk BETWEEN :first AND :last", first="e", last="h"),
    ]


# --- updates -----------------------------------------------------------------------------------------------


def updates() -> Scenario:
    """What an update leaves, and what it says: of an item that is there and of one that is not."""
    two: Any = {"n": n("2"), "t": s("new")}
    return [
        put("e", **SAMPLE),
        update("e", "SET #n = :n, #t = :t", **two),
        update("e", "SET #n = if_not_exists(#n, :n) + :n REMOVE #t", returned="ALL_NEW", n=n("2")),
        update("e", "SET #n = #n + :n", returned="UPDATED_NEW", n=n("0.5")),
        update("e", "SET #n = #n - :n", returned="UPDATED_OLD", n=n("0.25")),
        update("e", "SET #n = #n + :n", returned="ALL_NEW", n=n("0.5")),
        update("e", "ADD #n :n", returned="ALL_NEW", n=n("0.5")),
        update("e", "SET #m.#k = :t, #m.#deep.#u = :n", returned="ALL_NEW", **two),
        update("e", "SET #m.#none.#u = :n", **two | {"t": s("")}),
        update("e", "REMOVE #m.#deep.#t, #m.#none, #none", returned="ALL_OLD"),
        update("e", "REMOVE #m.#none.#u"),
        update("e", "SET #m = if_not_exists(#m, :m)", returned="ALL_NEW", m={"M": {}}),
        update("new", "SET #n = :n", returned="ALL_OLD", **two),
        update("newer", "SET #n = :n", returned="ALL_NEW", **two),
        update("newest", "REMOVE #n", returned="ALL_NEW"),
        update("newest", "SET #n = if_not_exists(#n, :zero) + :n", returned="ALL_NEW", zero=n("0"), n=n("1")),
        update("e", "SET #t = #t + :n", n=n("1")),
        update("e", "SET #n = :n SET #t = :t", **two),
        update("e", "SET #m = :m REMOVE #m.#k", m={"M": {}}),
        update("e", "SET #n = :n, #n = :n", n=n("1")),
        update("e", "SET pk = :t", **two),
        update("e", "SET name = :t", **two),
        update("e", "SET #n :n", n=n("1")),
        update("e", "SET #n = #none", returned="ALL_NEW"),
        update("e", "SET #n = :n", returned="SOME", n=n("1")),
        ("UpdateItem", {"TableName": TABLE, "Key": at("bare"), "ReturnValues": "ALL_NEW"}),
        query(),
    ]


# --- numbers, keys and sizes -------------------------------------------------------------------------------

NUMBERS = [
    "1.0", "1E2", "-0", "0.00", "1e3", "+5", "007", "1767225600.0", "-1.50", ".5", "5.", "1E-7", "0.000001",
    "123456789012345678901234567890.5", "99999999999999999999999999999999999999", "1E125", "1E126", "-1E-130", "1E-131",
    "999999999999999999999999999999999999999", "1.10E1", "0E5", "1_000", "", " 1", "one", "NaN", "Infinity", "0x1",
]  # fmt: skip


def numbers() -> Scenario:
    """How they come back, and which are refused."""
    return [
        *(request for text in NUMBERS for request in (put("e", n=n(text)), get("e"))),
        put("e", n=n("1.0")),
        *(
            together(check("e", f"#n {sign} :n", n=n(text)))
            for sign in "=<>"
            for text in ("1", "1.00", "10E-1", "1.01")
        ),
        update("e", "SET #n = #n + :n", returned="ALL_NEW", n=n("1.5")),
        update("e", "SET #n = #n - :n", returned="ALL_NEW", n=n("9")),
        update("e", "SET #n = if_not_exists(#n, :n) + :n", returned="ALL_NEW", n=n("12345678901234567890")),
        update("e", "SET #n = #n + :n", n=n("0.00000000000000000000000000001")),
        update("e", "SET #n = #n + :n", n=n("9E125")),
        put("f", n=n("9E125")),
        update("f", "SET #n = #n + :n", n=n("9E125")),
        update("f", "ADD #n :n", n=s("1")),
        together(update("e", "SET #m.#k = :n", n=n("3"))),
        query(),
        scan(),
    ]


def keys() -> Scenario:
    """Which keys are taken."""
    long = [put("x" * size) for size in (1024, 1025)] + [put("e", pk="x" * size) for size in (2048, 2049)]
    odd: list[Asked] = [
        {"pk": s("a")},
        {"pk": s("a"), "sk": n("1")},
        {**at("e"), "more": s("x")},
        {"pk": s("a"), "sk": s("")},
    ]
    asks = [(operation, name) for operation, name in (("PutItem", "Item"), ("GetItem", "Key"), ("DeleteItem", "Key"))]
    return [
        *long,
        *((operation, {"TableName": TABLE, name: key}) for operation, name in asks for key in odd),
        put("é" * 512),
        put("é" * 513),
        ("UpdateItem", {"TableName": TABLE, "Key": {"pk": s("a")}, **worded({"UpdateExpression": "REMOVE #n"}, {})}),
        query("sk = :sk", sk="e"),
        query("pk = :pk AND begins_with(sk, :start)", start=""),
    ]


def weighing(size: int, text: str = "x", **more: Any) -> Request:
    """Put an item of so many bytes: the names, and the values in UTF-8."""
    rest = size - sum(map(len, ("pk", "a", "sk", "e", "t", *more)))
    each = len(text.encode())
    return put("e", t=s(text * (rest // each) + "y" * (rest % each)), **more)


def sizes() -> Scenario:
    """Items around 400 KB: by put, by update and in a transaction, of one byte a character and of more."""
    around = [409_590, 409_599, LARGEST, LARGEST + 1]
    half = s("x" * 204_800)
    return [
        *(weighing(size) for size in range(409_590, 409_602)),
        *(weighing(size, "é") for size in around),
        *(weighing(size, "\N{GRINNING FACE}") for size in around),
        *(together(weighing(size)) for size in around),
        *(together(weighing(size), put("f")) for size in around),
        weighing(LARGEST),
        update("e", "SET #n = :n", n=n("1")),
        update("e", "SET #a = :a", a=s("xxxxxx")),
        put("e", t=half),
        update("e", "SET #u = :u", u=s("x" * 204_792)),
        update("e", "SET #u = :u", u=s("x" * 204_793)),
        update("e", "SET #u = :u", u=s("x" * 204_794)),
        update("e", "SET #u = :u", u=s("x" * 204_795)),
        together(update("e", "SET #u = :u", u=s("x" * 204_800))),
        *(
            put("e", t=s("x" * (409_500 + more)), n=n("123.45"), m={"M": {"k": s("v"), "n": n("1")}})
            for more in range(76, 80)
        ),
        *(put("e", t=s("x" * (409_500 + more)), **OTHERS) for more in range(79, 83)),
    ]


OTHERS: Any = {"l": {"L": [s("a"), n("10")]}, "b": {"BOOL": True}, "z": {"NULL": True}}


# --- reading -----------------------------------------------------------------------------------------------


def filled() -> Scenario:
    """Some items, not in the order of their keys."""
    places = [
        ("a", "f"),
        ("a", "e/2"),
        ("b", "e/1"),
        ("a", "e/1"),
        ("a", "ü"),
        ("a", "e/3"),
        ("a", "\ufb03"),
        ("a", "\U0001f600"),
    ]
    return [put(sk, pk=pk, n=n(str(number))) for number, (pk, sk) in enumerate(places)]


RANGES: list[tuple[str, dict[str, str]]] = [
    ("pk = :pk", {}),
    ("pk = :pk AND begins_with(sk, :start)", {"start": "e/"}),
    ("pk = :pk AND begins_with(sk, :start)", {"start": "e/2"}),
    ("pk = :pk AND begins_with(sk, :start)", {"start": "none"}),
    ("pk = :pk AND sk BETWEEN :first AND :last", {"first": "e/2", "last": "f"}),
    ("pk = :pk AND sk BETWEEN :first AND :last", {"first": "e/2", "last": "e/2"}),
    ("pk = :pk AND sk BETWEEN :first AND :last", {"first": "g", "last": "h"}),
    ("pk = :pk AND sk = :sk", {"sk": "f"}),
    ("pk = :pk AND sk > :sk", {"sk": "e/2"}),
    ("pk = :pk AND sk <= :sk", {"sk": "e/2"}),
    ("pk = :pk AND sk < :sk", {"sk": "f"}),
    ("pk = :pk AND sk >= :sk", {"sk": "e/2"}),
    ("pk = :pk AND sk >= :sk", {"sk": "e/25"}),
]
PAGES: list[Asked] = [
    {}, {"Limit": 1}, {"Limit": 2}, {"Limit": 7}, {"Limit": 8}, {"ScanIndexForward": False},
    *({"ScanIndexForward": False, "Limit": limit} for limit in (1, 3, 6)),
]  # fmt: skip


def queries() -> Scenario:
    """Which items, in which order, and where the next page begins."""
    starts = [{**page, "ExclusiveStartKey": at(sk)} for page in PAGES for sk in ("e/2", "e/25", "a", "\U0001f600")]
    return [
        *filled(),
        *(query(where, page, **values) for where, values in RANGES for page in PAGES),
        *(query(more=page) for page in starts),
        *(query(*RANGES[1][:1], {**page, "ExclusiveStartKey": at("e/1")}, **RANGES[1][1]) for page in PAGES),
        query("pk = :pk AND begins_with(sk, :start)", {"ExclusiveStartKey": at("f")}, start="e/"),
        query(more={"ExclusiveStartKey": at("e/1", "b")}),
        query("pk = :pk AND sk BETWEEN :first AND :last", first="f", last="e"),
        query("pk = :pk AND sk BETWEEN :first AND :last", {"Limit": 1}, first="f", last="e"),
        query("pk = :pk AND begins_with(sk, :start)", start=""),
        query("pk = :pk AND sk BETWEEN :first AND :last", first="", last="e"),
        query(more={"Limit": 0}),
        query("pk = :pk AND sk <> :sk", sk="e"),
        query("pk = :pk OR sk = :sk", sk="e"),
        query("pk = :pk", extra="e"),
        query(more={"Select": "COUNT"}),
        query(more={"ConsistentRead": True, "Limit": 1, "ReturnConsumedCapacity": "NONE"}),
    ]


def filters() -> Scenario:
    """A filter is laid on what was read: the page ends where the reading ended."""
    big = {"FilterExpression": "n > :n", "ExpressionAttributeValues": {":n": n("2")}}
    of_a = {**big, "ExpressionAttributeValues": {":n": n("2"), ":pk": s("a")}}
    return [
        *filled(),
        *(query(more={**of_a, **page}) for page in PAGES),
        scan(**big),
        scan(**big, Limit=3),
    ]


def large_pages() -> Scenario:
    """A page ends at 1 MB."""
    return [
        *(put(f"{number}", t=s("x" * 300_000)) for number in range(5)),
        query(),
        query(more={"ScanIndexForward": False}),
        query(more={"ExclusiveStartKey": at("2")}),
        query(more={"Limit": 3}),
        query(more={"Limit": 5}),
        scan(),
        scan(Limit=2),
        scan(ExclusiveStartKey=at("3")),
    ]


def scans() -> Scenario:
    """All items of one partition in order, page by page."""
    return [
        scan(),
        scan(Limit=1),
        *(one for one in filled() if one[1]["Item"]["pk"] == s("a")),
        scan(),
        *(scan(Limit=limit) for limit in (1, 2, 6, 7, 8)),
        *(
            scan(Limit=limit, ExclusiveStartKey=at(sk))
            for limit in (1, 2, 9)
            for sk in ("e/1", "f", "\U0001f600", "e/25")
        ),
        scan(ConsistentRead=True),
        scan(Select="COUNT"),
        scan(Limit=0),
    ]


# --- tables ------------------------------------------------------------------------------------------------


def tables() -> Scenario:
    """Names, and what is said of a table that is not there."""
    names = ["t", "tt", "ttt", "t" * 255, "t" * 256, "a b c", "a/b", "-._", ""]
    gone = {"TableName": "elsewhere"}
    return [
        *(made(name) for name in names),
        made(),
        ("DescribeTable", {"TableName": TABLE}),
        ("DescribeTable", gone),
        ("DescribeTable", {"TableName": "t"}),
        ("GetItem", {**gone, "Key": at("e")}),
        ("GetItem", {"TableName": "t", "Key": at("e")}),
        ("PutItem", {**gone, "Item": at("e")}),
        ("UpdateItem", {**gone, "Key": at("e"), **worded({"UpdateExpression": "REMOVE #n"}, {})}),
        ("DeleteItem", {**gone, "Key": at("e")}),
        ("Query", {**query()[1], **gone}),
        ("Scan", gone),
        ("TransactWriteItems", {"TransactItems": [{"Put": {**gone, "Item": at("e")}}]}),
        ("ListTables", {}),
        ("DeleteTable", gone),
        put("e"),
        ("DeleteTable", {"TableName": "ttt"}),
        ("DescribeTable", {"TableName": "ttt"}),
        get("e"),
    ]


# --- anything ----------------------------------------------------------------------------------------------

TEXTS = ["", "a", "b", "ab", "ü", "z\N{GRINNING FACE}"]
#: DynamoDB Local leaves zeros at the end of a number in a map and of one that an update sets; here are none to be left.
WHOLE = ["0", "1", "-2", "3", "10", "1767225600"]
LISTS: list[Asked] = [{"L": [s("a")]}, {"BOOL": True}, {"NULL": True}, {"M": {"k": {"M": {}}}}]
UPDATES = [
    "SET #n = :n",
    "SET #n = :n, #t = :t",
    "SET #n = if_not_exists(#n, :n) + :w",
    "SET #m = if_not_exists(#m, :m) REMOVE #t",
    "SET #m.#k = :n",
    "SET #m.#k = :t REMOVE #n, #t",
    "REMOVE #m.#k",
    "REMOVE #n",
    "SET #n = #n + :n",
    "SET #o = #t, #t = #o",
    "ADD #n :n",
]
WRONG_UPDATES = [
    "SET #m = :m REMOVE #m.#k",
    "SET name = :t",
    "SET #n = :n SET #t = :t",
    "SET #t = #t + :n",
    "SET #n",
]
PKS, SKS = ("a", "b"), ("e/1", "e/2", "e/3", "f", "ü")


class Wild:
    """Any requests, by dice."""

    def __init__(self, dice: Random) -> None:
        self._dice = dice

    def scenario(self, length: int) -> Scenario:
        """Some items, any requests, and at the end everything that there is, in every way."""
        asked = [self._request() for _ in range(length)]
        ending = [query(where, page, **values) for where, values in RANGES[:5:2] for page in PAGES[1:5:3]]
        return [*filled(), *asked, *ending, *(get(sk, "b") for sk in SKS)]

    def _request(self) -> Request:
        kind = self._dice.choice(["put", "put", "update", "delete", "get", "query", "transact", "transact"])
        if kind == "get":
            return get(self._one(SKS), self._one(PKS))
        if kind == "query":
            where, values = self._one(RANGES)
            return query(where, self._one(PAGES), **values)
        if kind == "transact":
            keys = self._dice.sample([at(sk, pk) for sk in SKS for pk in PKS], self._dice.randint(1, 3))
            return together(*(self._write(self._one(["put", "update", "delete", "check"]), key) for key in keys))
        operation, asked = self._write(kind, at(self._one(SKS), self._one(PKS)))
        shown = ["NONE", "ALL_OLD", *(["ALL_NEW"] if kind == "update" else [])]
        return operation, {**asked, **({"ReturnValues": self._one(shown)} if self._dice.random() < 0.4 else {})}

    def _write(self, kind: str, key: Asked) -> Request:
        if kind == "put":
            return "PutItem", {"TableName": TABLE, "Item": {**key, **self._attributes()}, **self._worded({}, 0.5)}
        operation = {"update": "UpdateItem", "delete": "DeleteItem", "check": "ConditionCheck"}[kind]
        texts = {"UpdateExpression": self._rarely(WRONG_UPDATES, UPDATES)} if kind == "update" else {}
        return operation, {"TableName": TABLE, "Key": key, **self._worded(texts, 1.0 if kind == "check" else 0.5)}

    def _worded(self, texts: Asked, often: float) -> Asked:
        if self._dice.random() < often:
            texts = {**texts, "ConditionExpression": self._rarely(WRONG_CONDITIONS, CONDITIONS)}
        told = ALL_OLD if "ConditionExpression" in texts and self._dice.random() < 0.5 else {}
        words = {
            ":n": n(self._one(WHOLE)),
            ":w": n(self._one(WHOLE)),
            ":t": s(self._one(TEXTS)),
            ":m": self._map(),
            ":half": n("1.5"),
        }
        return {**worded(texts, {**words, ":N": s("N")}), **told}

    def _attributes(self) -> Asked:
        found: Asked = {"m": self._map(), "n": self._number(), "t": s(self._one(TEXTS)), "o": self._one(LISTS)}
        return {name: value for name, value in found.items() if self._dice.random() < 0.7}

    def _map(self) -> Asked:
        return {"M": {name: n(self._one(WHOLE)) for name in ("k", "deep") if self._dice.random() < 0.7}}

    def _number(self) -> Asked:
        return n(self._one([*WHOLE, "1.5", "-0.25"]))

    def _rarely(self, rare: Sequence[str], common: Sequence[str]) -> str:
        return self._dice.choice(rare if self._dice.random() < 0.1 else common)

    def _one(self, things: Sequence[Any]) -> Any:  # one of whatever they are
        return self._dice.choice(things)


def anything() -> Scenario:
    """Many requests by dice, always the same."""
    return [request for seed in range(20) for request in Wild(Random(seed)).scenario(30)]


# --- all of them -------------------------------------------------------------------------------------------

SCENARIOS: dict[str, Callable[[], Scenario]] = {
    scenario.__name__: scenario
    for scenario in (
        conditions, wrong_conditions, words, told_what_is_there, repeated_token, transactions, updates, numbers, keys,
        sizes, queries, filters, large_pages, scans, tables, anything,
    )
}  # fmt: skip


def requests(name: str) -> Iterator[Request]:
    """All of one scenario, the table first."""
    if name != "tables":
        yield made()
    yield from SCENARIOS[name]()
