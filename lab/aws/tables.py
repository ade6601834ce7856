"""DynamoDB's tables: moto makes and describes them, what is in them is ours.

A journal asks all day, and moto weighs, casts and sorts the complete table at each read; it also says other things than
DynamoDB says. So every request about items is answered here, as Amazon's own DynamoDB answers it: one set of requests
(`tests/worlds/requests.py`) is put to both.

    a request about items ── understood? ── yes ── our rows ── an answer, or a refusal in DynamoDB's words
                                         └─ no ─── NotImplemented: better no answer than a wrong one
    about tables ─────────── a name of 3 to 255 characters? ── moto

Understood are the operations below on tables without indexes and streams whose keys are texts. A number is kept as
DynamoDB writes it; a transaction with the token of an earlier one is not done again; an item has at most 400 KB.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, NamedTuple

from lab.aws.expressions import Given, read_condition, read_update, words_of
from lab.aws.values import LARGEST_ITEM, Item, UnknownError, Value, invalid, taken_all, weight
from lab.aws.wire import Answer, ErrorAnswer, Incoming

Asked = dict[str, Any]
"""A request's parameters, as JSON has them."""

#: A page of a query or scan ends with the item that makes it so large.
LARGEST_PAGE = 1024 * 1024
LONGEST_KEYS = (2048, 1024)
#: How long a transaction's token is remembered, and how long it may be.
TOKEN_SECONDS, LONGEST_TOKEN = 600, 36
MOST_WRITES = 100
_ERRORS = "com.amazonaws.dynamodb.v20120810#"
_HEADERS = {"Content-Type": "application/x-amz-json-1.0"}
_NAME = re.compile(r"[\w.-]{3,255}", re.ASCII)
_NOT_A_NAME = "Table names have 3 to 255 characters, of a-z, A-Z, 0-9, '_', '-' and '.'"
_TABLES = {
    "CreateTable", "DescribeTable", "DeleteTable", "ListTables", "UpdateTable", "TagResource", "UntagResource",
    "ListTagsOfResource", "DescribeContinuousBackups", "UpdateContinuousBackups", "DescribeLimits",
    "DescribeTimeToLive", "UpdateTimeToLive",
}  # fmt: skip

_WORDS = {"ExpressionAttributeNames", "ExpressionAttributeValues"}
_CONDITION = {*_WORDS, "ConditionExpression", "ReturnValuesOnConditionCheckFailure"}
_PAGE = {*_WORDS, "FilterExpression", "ConsistentRead", "Limit", "ExclusiveStartKey", "Select"}
#: What we know of each operation and of each kind of write in a transaction; what is needed comes first.
_KNOWN: dict[str, tuple[set[str], set[str]]] = {
    "GetItem": ({"TableName", "Key"}, {"ConsistentRead"}),
    "Query": ({"TableName", "KeyConditionExpression"}, {*_PAGE, "ScanIndexForward"}),
    "Scan": ({"TableName"}, _PAGE),
    "PutItem": ({"TableName", "Item"}, {*_CONDITION, "ReturnValues"}),
    "UpdateItem": ({"TableName", "Key"}, {*_CONDITION, "UpdateExpression", "ReturnValues"}),
    "DeleteItem": ({"TableName", "Key"}, {*_CONDITION, "ReturnValues"}),
    "TransactWriteItems": ({"TransactItems"}, {"ClientRequestToken"}),
    "Put": ({"TableName", "Item"}, _CONDITION),
    "Update": ({"TableName", "Key", "UpdateExpression"}, _CONDITION),
    "Delete": ({"TableName", "Key"}, _CONDITION),
    "ConditionCheck": ({"TableName", "Key", "ConditionExpression"}, _CONDITION),
}
_RETURNED = ("NONE", "ALL_OLD", "ALL_NEW", "UPDATED_OLD", "UPDATED_NEW")
_OF_THE_KEY = "One or more parameter values were invalid"
_TOO_LARGE = "Item size to update has exceeded the maximum allowed size"
_WRITES = ("Put", "Update", "Delete", "ConditionCheck")
#: Asked for or not, there is nothing to tell.
_NOTHING_TO_TELL = {"ReturnConsumedCapacity": "NONE", "ReturnItemCollectionMetrics": "NONE"}


class StoredItem(NamedTuple):
    """An item, the JSON in which it is sent, and its bytes."""

    item: Item
    text: str
    bytes: int


class Range(NamedTuple):
    """The sort keys that a query wants; `first` and `last` are the ends where it has an end that is in it."""

    wanted: Callable[[str], bool]
    first: str = ""
    last: str = ""


class Place(NamedTuple):
    """Where an item is."""

    pk: str
    sk: str


@dataclass
class Partition:
    """The items with the same hash key, in the order of their sort keys."""

    rows: dict[str, StoredItem] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)

    def put(self, sk: str, row: StoredItem) -> None:
        """Keep an item, in place of the one that is there."""
        if sk not in self.rows:
            insort(self.order, sk)
        self.rows[sk] = row

    def drop(self, sk: str) -> None:
        """Forget an item, if it is there."""
        if self.rows.pop(sk, None):
            del self.order[bisect_left(self.order, sk)]


class Table:
    """A table's items."""

    def __init__(self, model: Any) -> None:
        """`model` is moto's table, which knows its keys."""
        if model.all_indexes() or model.stream_shard is not None:
            raise UnknownError("a table with an index or a stream")
        self.model = model
        self.keys = tuple(key["AttributeName"] for key in sorted(model.schema, key=lambda key: str(key["KeyType"])))
        if {model.hash_key_type, model.range_key_type} - {"S", None}:
            raise UnknownError("a key that is no text")
        self.partitions: defaultdict[str, Partition] = defaultdict(Partition)

    def find(self, place: Place) -> StoredItem | None:
        """One item."""
        partition = self.partitions.get(place.pk)
        return partition.rows.get(place.sk) if partition else None

    def key(self, place: Place) -> Item:
        """The key of an item that is there."""
        return {name: {"S": text} for name, text in zip(self.keys, place, strict=False)}

    def place(self, key: Mapping[str, Value], *, whole: bool = True) -> Place:
        """Where a key leads; `whole`: nothing else may be in it."""
        if whole and key.keys() != set(self.keys):
            raise invalid("The number of conditions on the keys is invalid")
        texts = [self.text(name, key.get(name)) for name in self.keys]
        for text, longest in zip(texts, LONGEST_KEYS, strict=False):
            if len(text.encode()) > longest:
                raise invalid("A hash key has at most 2048 bytes, a sort key 1024")
        return Place(*texts, *[""] * (2 - len(texts)))

    @staticmethod
    def text(name: str, value: Value | None) -> str:
        """The text of a key."""
        text = (value or {}).get("S")
        if not isinstance(text, str):
            raise invalid(f"One or more parameter values were invalid: {name} is missing or of another type")
        if not text:
            raise invalid(f"A key attribute cannot contain an empty string value. Key: {name}")
        return text

    def places(self) -> Iterator[Place]:
        """All of them, as a scan finds them: scattered by hash, then in order."""
        for pk in sorted(self.partitions, key=_scattered):
            yield from (Place(pk, sk) for sk in self.partitions[pk].order)


@dataclass(frozen=True)
class Write:
    """One write, not yet done: the current item, whether the condition holds, and the new item (None: deleted)."""

    table: Table
    place: Place
    old: StoredItem | None
    met: bool
    new: StoredItem | None
    tells: bool  # which item is in the way, if one is
    touched: Collection[str] = ()  # the attributes that an update is about
    wrong: str = ""  # with what an update would leave

    def do(self) -> None:
        """Do it."""
        if self.new:
            self.table.partitions[self.place.pk].put(self.place.sk, self.new)
        elif self.old:
            self.table.partitions[self.place.pk].drop(self.place.sk)

    @property
    def reason(self) -> Asked:
        """Why it was not done, in the words of a cancelled transaction."""
        if self.wrong:
            return {"Code": "ValidationError", "Message": self.wrong}
        if self.met:
            return {"Code": "None"}
        shown = {"Item": self.old.item} if self.old and self.tells else {}
        return {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed", **shown}


class Tables:
    """All tables of an account. `moto` gives moto's tables of a region, by their names; `now` is the lab's clock."""

    def __init__(self, moto: Callable[[str], dict[str, Any]], now: Callable[[], float]) -> None:
        self._moto, self._now = moto, now
        self._tables: dict[tuple[str, str], Table] = {}
        self._tokens: dict[tuple[str, str], tuple[float, str]] = {}
        self._operations: dict[str, Callable[[str, Asked], Answer]] = {
            "GetItem": self._get_item,
            "Query": self._query,
            "Scan": self._scan,
            "TransactWriteItems": self._transact,
            "UpdateItem": self._write_item("Update"),
            "PutItem": self._write_item("Put"),
            "DeleteItem": self._write_item("Delete"),
        }

    def answer(self, request: Incoming) -> Answer | None:
        """None when it is about a table, and moto is to answer."""
        operation = self._operations.get(request.operation)
        asked = json.loads(request.written.body) if request.direct is None else request.direct
        try:
            if operation:
                return operation(request.region, _understood(request.operation, asked))
            _check_tables(request.operation, asked)
        except ErrorAnswer as error:
            return _refusal(error.code, {"message": error.message})
        except UnknownError as what:
            return _refusal(
                "NotImplemented", {"message": f"The lab's DynamoDB does not know {what} (lab/aws/tables.py)"}
            )
        return None

    def _table(self, region: str, asked: Asked) -> Table:
        """The one that is asked about; it is empty if it was made anew since."""
        name = asked["TableName"]
        _check_name(name)
        model = self._moto(region).get(name)
        if model is None:
            raise ErrorAnswer("ResourceNotFoundException", "Requested resource not found")
        found = self._tables.get((region, name))
        if found is None or found.model is not model:
            found = self._tables[region, name] = Table(model)
        return found

    # --- reading ---

    def _get_item(self, region: str, asked: Asked) -> Answer:
        table = self._table(region, asked)
        row = table.find(table.place(asked["Key"]))
        return _answer(f'{{"Item": {row.text}}}' if row else "{}")

    def _scan(self, region: str, asked: Asked) -> Answer:
        table = self._table(region, asked)
        places = table.places()
        if "ExclusiveStartKey" in asked:
            start = table.place(asked["ExclusiveStartKey"])
            after = (_scattered(start.pk), start.sk)
            places = (place for place in places if (_scattered(place.pk), place.sk) > after)
        return _page(table, places, asked, _given(asked, "FilterExpression"))

    def _query(self, region: str, asked: Asked) -> Answer:
        table, given = self._table(region, asked), _given(asked, "KeyConditionExpression", "FilterExpression")
        pk, (wanted, first, last) = _key_condition(table, asked["KeyConditionExpression"], given)
        order = table.partitions[pk].order if pk in table.partitions else []
        forward = asked.get("ScanIndexForward", True)
        if "ExclusiveStartKey" in asked:
            start = table.place(asked["ExclusiveStartKey"])
            if start.pk != pk or not wanted(start.sk):
                raise invalid("The provided starting key does not match the range key predicate")
            order = order[bisect_right(order, start.sk) :] if forward else order[: bisect_left(order, start.sk)]
        places = (Place(pk, sk) for sk in (order if forward else reversed(order)) if wanted(sk))
        return _page(table, places, asked, given, end=last if forward else first)

    # --- writing ---

    def _write_item(self, kind: str) -> Callable[[str, Asked], Answer]:
        def write(region: str, asked: Asked) -> Answer:
            returned = asked.get("ReturnValues", "NONE")
            if returned not in (_RETURNED if kind == "Update" else ("NONE", "ALL_OLD")):
                raise invalid("Return values set to invalid value")
            one = self._write(region, kind, asked)
            if one.wrong:
                raise invalid(one.wrong)
            return _done([one], _told(one, returned)) or _unmet(one)

        return write

    def _transact(self, region: str, asked: Asked) -> Answer:
        if not 0 < len(asked["TransactItems"]) <= MOST_WRITES:
            raise invalid(f"A transaction has 1 to {MOST_WRITES} items")
        if self._is_done(region, asked):
            return _answer("{}")
        kinds = [_kind_of(one) for one in asked["TransactItems"]]
        writes = [self._write(region, kind, _understood(kind, what)) for kind, what in kinds]
        if len({(id(one.table), one.place) for one in writes}) < len(writes):
            raise invalid("Transaction request cannot include multiple operations on one item")
        done = _done(writes, "{}")
        if done and (token := asked.get("ClientRequestToken")):
            self._tokens[region, token] = self._now(), _digest(asked)
        return done or _cancelled(writes)

    def _is_done(self, region: str, asked: Asked) -> bool:
        """Whether the transaction is an earlier one sent again: then it has been done."""
        token = asked.get("ClientRequestToken", "")
        if len(token) > LONGEST_TOKEN:
            raise invalid(f"A ClientRequestToken has at most {LONGEST_TOKEN} characters")
        since, digest = self._tokens.get((region, token), (0.0, ""))
        if not digest or self._now() - since >= TOKEN_SECONDS:
            return False
        if digest != _digest(asked):
            raise ErrorAnswer("IdempotentParameterMismatchException", "")
        return True

    def _write(self, region: str, kind: str, asked: Asked) -> Write:
        table, condition = self._table(region, asked), asked.get("ConditionExpression")
        given = _given(asked, "ConditionExpression", "UpdateExpression")
        tells = asked.get("ReturnValuesOnConditionCheckFailure", "NONE")
        if tells not in ("NONE", "ALL_OLD"):
            raise invalid(f"ReturnValuesOnConditionCheckFailure is NONE or ALL_OLD, not {tells}")
        put = _row(taken_all(asked["Item"])) if kind == "Put" else None
        place = table.place(put.item, whole=False) if put else table.place(asked["Key"])
        old = table.find(place)
        met = condition is None or read_condition(condition)(old.item if old else {}, given)
        made = Write(table, place, old, met, old if kind == "ConditionCheck" else put, tells == "ALL_OLD")
        return _updated(made, asked.get("UpdateExpression"), given) if kind == "Update" else made


# --- what is asked -----------------------------------------------------------------------------------------


def _understood(kind: str, asked: Asked) -> Asked:
    """The same, if it holds what it must and nothing but what we know of this kind."""
    needed, known = _KNOWN[kind]
    if missing := needed - asked.keys():
        raise invalid(f"{kind} needs {', '.join(sorted(missing))}")
    others = {name for name in asked.keys() - needed - known if asked[name] != _NOTHING_TO_TELL.get(name)}
    if others:
        raise UnknownError(f"{', '.join(sorted(others))} of {kind}")
    return asked


def _given(asked: Asked, *expressions: str) -> Given:
    """What the words of a request's expressions stand for."""
    texts = [asked[name] for name in expressions if name in asked]
    return Given(asked.get("ExpressionAttributeNames"), asked.get("ExpressionAttributeValues"), *texts)


def _check_tables(operation: str, asked: Asked) -> None:
    """Whether it is for moto."""
    if operation not in _TABLES:
        raise UnknownError(operation)
    if "TableName" in asked:
        _check_name(asked["TableName"])


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise invalid(_NOT_A_NAME)


def _kind_of(one: Asked) -> tuple[str, Asked]:
    if len(one) != 1:
        raise invalid("Each of TransactItems is one of " + ", ".join(_WRITES))
    [(kind, what)] = one.items()
    if kind not in _WRITES:
        raise UnknownError(f"{kind} in a transaction")
    return kind, what


def _key_condition(table: Table, expression: str, given: Given) -> tuple[str, Range]:
    """The hash key that a query asks for, and which sort keys."""
    names = [given.names.get(word, word) for word in words_of(expression)]
    match names:
        case [name, "=", pk, *rest] if name == table.keys[0] and pk in given.values:
            return table.text(name, given.values[pk]), _range(table.keys[1:], rest, given.values)
    raise invalid(f"A query begins with the condition `{table.keys[0]} = :value`, joined to others by AND")


def _range(keys: Sequence[str], words: Sequence[str], values: Mapping[str, Value]) -> Range:
    """What a query says of the sort key, which has one of a few forms."""
    key = keys[0] if keys else ""
    texts = [Table.text(key, values[word]) for word in words if word in values]
    match [word if word != key else "KEY" for word in words if word not in values], texts:
        case [], []:
            return Range(lambda sk: True)
        case ["AND", "KEY", "BETWEEN", "AND"], [first, last]:
            if first > last:
                raise invalid("The BETWEEN operator requires upper bound to be greater than or equal to lower bound")
            return Range(lambda sk: first <= sk <= last, first, last)
        case ["AND", "begins_with", "(", "KEY", ",", ")"], [start]:
            return Range(lambda sk: sk.startswith(start))
        case ["AND", "KEY", sign], [text] if sign in _SIGNS:
            return Range(lambda sk: _SIGNS[sign](sk, text), text if sign == ">=" else "", text if sign == "<=" else "")
    raise invalid("Invalid operator used in KeyConditionExpression")


_SIGNS: dict[str, Callable[[str, str], bool]] = {
    "=": lambda sk, text: sk == text,
    "<": lambda sk, text: sk < text,
    "<=": lambda sk, text: sk <= text,
    ">": lambda sk, text: sk > text,
    ">=": lambda sk, text: sk >= text,
}


def _updated(write: Write, expression: str | None, given: Given) -> Write:
    """The same write with what an update makes of the item."""
    before = write.old.item if write.old else write.table.key(write.place)
    if expression is None:
        return replace(write, new=_row(before))
    change = read_update(expression)
    change.check(given)
    touched = change.touched(given)
    if not write.met:
        return write
    if part := touched & {*write.table.keys}:
        return replace(
            write, wrong=f"{_OF_THE_KEY}: Cannot update attribute {min(part)}. This attribute is part of the key"
        )
    after = change.done(before, given)
    new = StoredItem(after, json.dumps(after), weight(after))
    return replace(write, new=new, touched=touched, wrong=_TOO_LARGE if new.bytes > LARGEST_ITEM else "")


def _row(item: Item) -> StoredItem:
    size = weight(item)
    if size > LARGEST_ITEM:
        raise invalid("Item size has exceeded the maximum allowed size")
    return StoredItem(item, json.dumps(item), size)


def _scattered(pk: str) -> str:
    return sha256(pk.encode()).hexdigest()


def _digest(asked: Asked) -> str:
    return sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


# --- what is answered --------------------------------------------------------------------------------------


def _page(table: Table, places: Iterator[Place], asked: Asked, given: Given, end: str = "") -> Answer:
    """As much as is asked for; where it stops before `end`, so that there may be more, the next page begins."""
    limit, size = asked.get("Limit"), 0
    if limit is not None and limit < 1:
        raise invalid("Limit must be greater than or equal to 1")
    wanted = read_condition(asked["FilterExpression"]) if "FilterExpression" in asked else None
    read, shown, last = 0, [], ""
    for place in places:
        row = table.partitions[place.pk].rows[place.sk]
        read, size = read + 1, size + row.bytes
        if wanted is None or wanted(row.item, given):
            shown.append(row.text)
        if read == limit or size >= LARGEST_PAGE:
            last = f', "LastEvaluatedKey": {json.dumps(table.key(place))}' if not end or place.sk != end else ""
            break
    return _answer(f'{{"Count": {len(shown)}, "ScannedCount": {read}{_items(shown, asked)}{last}}}')


def _items(texts: Sequence[str], asked: Asked) -> str:
    select = asked.get("Select", "ALL_ATTRIBUTES")
    if select not in ("ALL_ATTRIBUTES", "COUNT"):
        raise UnknownError(f"Select {select}")
    return f', "Items": [{", ".join(texts)}]' if select != "COUNT" else ""


def _told(write: Write, returned: str) -> str:
    """What an item was, or is afterwards."""
    row = write.old if returned.endswith("OLD") else write.new if returned != "NONE" else None
    shown = row.item if row else {}
    if returned.startswith("UPDATED"):
        shown = {name: value for name, value in shown.items() if name in write.touched}
    return json.dumps({"Attributes": shown}) if shown else "{}"


def _done(writes: Sequence[Write], text: str) -> Answer | None:
    """All of them, or none if the condition of one does not hold."""
    if not all(write.met and not write.wrong for write in writes):
        return None
    for write in writes:
        write.do()
    return _answer(text)


def _unmet(write: Write) -> Answer:
    reason = write.reason
    shown = {name: reason[name] for name in ("Item",) if name in reason}
    return _refusal("ConditionalCheckFailedException", {"message": reason["Message"], **shown})


def _cancelled(writes: Collection[Write]) -> Answer:
    reasons = [write.reason for write in writes]
    codes = ", ".join(reason["Code"] for reason in reasons)
    why = f"Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]"
    return _refusal("TransactionCanceledException", {"Message": why, "CancellationReasons": reasons})


def _refusal(code: str, said: Asked) -> Answer:
    return Answer(400, {**_HEADERS, "x-amzn-ErrorType": code}, json.dumps({"__type": _ERRORS + code, **said}).encode())


def _answer(text: str) -> Answer:
    return Answer(200, _HEADERS, text.encode())
