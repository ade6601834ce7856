"""DynamoDB's tables: what a journal asks all day is answered here in microseconds, everything else by moto.

moto weighs, casts and sorts a whole table at each read, which was a third of a release's time in the lab.

    a request ── clear to the last word? ── yes ── our rows ── an answer
                                         └─ no ─── our rows are put into moto's tables, and moto answers

Clear are requests of the kinds below that DynamoDB fulfils, or whose condition does not hold, on tables with the keys
`pk` and `sk` that hold texts, numbers and maps. A word that is reserved, a name that is not used, an item that may be
too large, a filter, an index: moto knows, does it or refuses it.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, NamedTuple

from moto.dynamodb.models.dynamo_type import DynamoType
from moto.dynamodb.models.dynamo_type import Item as MotoItem

from lab.aws.ec2 import ElsewhereError
from lab.aws.expressions import KEYS, Given, Item, is_plain, require
from lab.aws.wire import Answer, Incoming

Asked = dict[str, Any]
"""A request's parameters, as JSON has them."""

#: JSON is longer than what DynamoDB weighs: an item of so many bytes is below its 400 KB, a page below its 1 MB.
LARGEST_ITEM, LARGEST_PAGE = 400_000, 1_000_000
LONGEST_KEY = {"pk": 2048, "sk": 1024}
_SCHEMA = [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}]
_WHERE = re.compile(
    r"pk = (?P<pk>:\w+)(?: AND sk BETWEEN (?P<first>:\w+) AND (?P<last>:\w+)| AND begins_with\(sk, (?P<start>:\w+)\))?"
)
_ERRORS = "com.amazonaws.dynamodb.v20120810#"
_HEADERS = {"Content-Type": "application/x-amz-json-1.0"}

_EXPRESSED = {"ConditionExpression", "ExpressionAttributeNames", "ExpressionAttributeValues"}
_TOLD = {*_EXPRESSED, "ReturnValuesOnConditionCheckFailure"}
#: The parameters that we know, of each operation and of each kind of write in a transaction.
_KNOWN: dict[str, set[str]] = {
    "GetItem": {"TableName", "Key", "ConsistentRead"},
    "Query": {
        "TableName", "KeyConditionExpression", "ExpressionAttributeValues", "ConsistentRead", "ScanIndexForward",
        "Limit", "ExclusiveStartKey",
    },
    "PutItem": {"TableName", "Item", *_TOLD},
    "UpdateItem": {"TableName", "Key", "UpdateExpression", "ReturnValues", *_TOLD},
    "DeleteItem": {"TableName", "Key", *_TOLD},
    "TransactWriteItems": {"TransactItems", "ClientRequestToken"},
    "Put": {"TableName", "Item", *_TOLD},
    "Update": {"TableName", "Key", "UpdateExpression", *_TOLD},
    "Delete": {"TableName", "Key", *_TOLD},
    "ConditionCheck": {"TableName", "Key", *_TOLD},
}  # fmt: skip
_WRITES = {"PutItem": "Put", "UpdateItem": "Update", "DeleteItem": "Delete"}


class Row(NamedTuple):
    """An item, and the JSON in which it is sent."""

    item: Item
    text: str


@dataclass
class Partition:
    """The items with the same `pk`, in the order of their `sk`."""

    rows: dict[str, Row] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)

    def put(self, sk: str, row: Row) -> None:
        """Keep an item, in place of the one that is there."""
        if sk not in self.rows:
            insort(self.order, sk)
        self.rows[sk] = row

    def drop(self, sk: str) -> None:
        """Forget an item, if it is there."""
        if self.rows.pop(sk, None):
            del self.order[bisect_left(self.order, sk)]

    def between(self, first: str, last: str) -> list[str]:
        """The keys from one to the other, both included."""
        return self.order[bisect_left(self.order, first) : bisect_right(self.order, last)]

    def beginning(self, start: str) -> list[str]:
        """The keys that begin so."""
        return list(takewhile(lambda sk: sk.startswith(start), self.order[bisect_left(self.order, start) :]))


class Rows(defaultdict[str, Partition]):
    """A table's items, by `pk`."""

    def __init__(self) -> None:
        super().__init__(Partition)

    def find(self, pk: str, sk: str) -> Row | None:
        """One item."""
        partition = self.get(pk)
        return partition.rows.get(sk) if partition else None

    def items(self) -> Iterator[Row]:  # type: ignore[override]
        """All of them."""
        return (row for partition in self.values() for row in partition.rows.values())


@dataclass(frozen=True)
class Write:
    """One write, not yet done: what is there, whether the condition holds, and what shall be there (None: nothing)."""

    rows: Rows
    key: tuple[str, str]
    old: Row | None
    met: bool
    new: Row | None
    tells: bool  # which item is in the way, if one is

    def do(self) -> None:
        """Do it."""
        pk, sk = self.key
        if self.new:
            self.rows[pk].put(sk, self.new)
        else:
            self.rows[pk].drop(sk)

    @property
    def reason(self) -> Asked:
        """Why it was not done, in the words of a cancelled transaction."""
        if self.met:
            return {"Code": "None"}
        shown = {"Item": self.old.item} if self.old and self.tells else {}
        return {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed", **shown}


class Tables:
    """All tables of an account. `moto` gives moto's tables of a region, by their names."""

    def __init__(self, moto: Callable[[str], dict[str, Any]]) -> None:
        self._moto = moto
        self._rows: dict[tuple[str, str], Rows] = {}
        self._operations: dict[str, Callable[[str, Asked], Answer]] = {
            "GetItem": self._get_item,
            "Query": self._query,
            "TransactWriteItems": self._transact,
            "UpdateItem": self._update_item,
            "PutItem": self._write_item("Put"),
            "DeleteItem": self._write_item("Delete"),
        }

    def answer(self, request: Incoming) -> Answer | None:
        """None when moto is to answer, whose tables then hold everything."""
        operation = self._operations.get(request.operation)
        if operation and len(request.body) < LARGEST_ITEM:
            try:
                return operation(request.region, _understood(request.operation, json.loads(request.body)))
            except ElsewhereError:
                pass
        self._lend(forget=request.mutating)
        return None

    # --- the rows ---

    def _table(self, region: str, name: str) -> Rows:
        if (region, name) not in self._rows:
            self._rows[region, name] = _taken(self._moto(region).get(name))
        return self._rows[region, name]

    def _lend(self, *, forget: bool) -> None:
        """Put all rows into moto's tables; `forget` when moto may change them."""
        for (region, name), rows in self._rows.items():
            table = self._moto(region)[name]
            table.items = defaultdict(dict)
            for row in rows.items():
                pk, sk = (DynamoType(row.item[name]) for name in KEYS)
                table.items[pk][sk] = MotoItem(pk, sk, row.item)
        if forget:
            self._rows.clear()

    # --- reading ---

    def _get_item(self, region: str, asked: Asked) -> Answer:
        row = self._table(region, asked["TableName"]).find(*_key(asked["Key"]))
        return _answer(f'{{"Item": {row.text}}}' if row else "{}")

    def _query(self, region: str, asked: Asked) -> Answer:
        partition, keys = self._asked_for(region, asked)
        if not asked.get("ScanIndexForward", True):
            keys.reverse()
        found, last = keys[: asked.get("Limit")], ""
        if "Limit" in asked and len(found) == asked["Limit"]:  # there may be none after it, as in DynamoDB
            where = {name: partition.rows[found[-1]].item[name] for name in KEYS}
            last = f', "LastEvaluatedKey": {json.dumps(where)}'
        text = ", ".join(partition.rows[sk].text for sk in found)
        require(len(text) < LARGEST_PAGE)
        return _answer(f'{{"Count": {len(found)}, "ScannedCount": {len(found)}, "Items": [{text}]{last}}}')

    def _asked_for(self, region: str, asked: Asked) -> tuple[Partition, list[str]]:
        """A partition, and the keys in it that the condition and the start of the page leave."""
        where, values = _WHERE.fullmatch(asked["KeyConditionExpression"]), asked["ExpressionAttributeValues"]
        require(where is not None and {word for word in where.groups() if word} == values.keys())
        texts = {name: _text(values[word]) for name, word in (where.groupdict() if where else {}).items() if word}
        partition = self._table(region, asked["TableName"]).get(texts["pk"], Partition())
        if "first" in texts:
            require(texts["first"] <= texts["last"])
            keys = partition.between(texts["first"], texts["last"])
        else:
            keys = partition.beginning(texts.get("start", ""))
        if "ExclusiveStartKey" not in asked:
            return partition, keys
        pk, start = _key(asked["ExclusiveStartKey"])
        require(pk == texts["pk"])
        forward = asked.get("ScanIndexForward", True)
        return partition, keys[bisect_right(keys, start) :] if forward else keys[: bisect_left(keys, start)]

    # --- writing ---

    def _write_item(self, kind: str) -> Callable[[str, Asked], Answer]:
        def write(region: str, asked: Asked) -> Answer:
            return _done([one := self._write(region, kind, asked)]) or _unmet(one)

        return write

    def _update_item(self, region: str, asked: Asked) -> Answer:
        write, wanted = self._write(region, "Update", asked), asked.get("ReturnValues", "NONE")
        shown = {"NONE": None, "ALL_NEW": write.new, "ALL_OLD": write.old}
        require(wanted in shown and (write.old or wanted != "ALL_OLD"))
        row = shown[wanted]
        return _done([write], f'{{"Attributes": {row.text}}}' if row else "{}") or _unmet(write)

    def _transact(self, region: str, asked: Asked) -> Answer:
        require(0 < len(asked["TransactItems"]) <= 100)
        writes = []
        for one in asked["TransactItems"]:
            [(kind, what)] = one.items()
            writes.append(self._write(region, kind, _understood(kind, what)))
        require(len({(id(one.rows), one.key) for one in writes}) == len(writes))
        return _done(writes) or _cancelled(writes)

    def _write(self, region: str, kind: str, asked: Asked) -> Write:
        rows = self._table(region, asked["TableName"])
        key = _key({name: asked["Item"].get(name) for name in KEYS} if kind == "Put" else asked["Key"])
        condition, update = asked.get("ConditionExpression", ""), asked.get("UpdateExpression", "")
        given = Given(asked.get("ExpressionAttributeNames", {}), asked.get("ExpressionAttributeValues", {}))
        tells = asked.get("ReturnValuesOnConditionCheckFailure", "NONE")
        require(
            given.used(condition, update) and tells in ("NONE", "ALL_OLD") and (condition or kind != "ConditionCheck")
        )
        old = rows.find(*key)
        before = old.item if old else {}
        new = _afterwards(kind, asked, given, before or {"pk": {"S": key[0]}, "sk": {"S": key[1]}})
        met = given.holds(condition, before)
        return Write(rows, key, old, met, old if kind == "ConditionCheck" else new, tells == "ALL_OLD")


# --- what is asked -----------------------------------------------------------------------------------------


def _understood(kind: str, asked: Asked) -> Asked:
    """The same, if it holds nothing but what we know of this kind."""
    known = _KNOWN.get(kind, set())
    needed = known & {"TableName", "Key", "Item", "KeyConditionExpression", "UpdateExpression", "TransactItems"}
    require(needed <= asked.keys() <= known)
    require(asked.get("ExpressionAttributeValues", True) and asked.get("ConditionExpression", True))
    return asked


def _key(key: Asked) -> tuple[str, str]:
    require(key.keys() == set(KEYS))
    pk, sk = (_text(key[name]) for name in KEYS)
    require(len(pk.encode()) <= LONGEST_KEY["pk"] and len(sk.encode()) <= LONGEST_KEY["sk"])
    return pk, sk


def _text(value: Any) -> str:
    """A value that must be a text, and not an empty one."""
    require(isinstance(value, dict) and [*value] == ["S"] and value["S"])
    return str(value["S"])


def _row(item: Item) -> Row:
    require(is_plain({"M": item}))
    text = json.dumps(item)
    require(len(text) < LARGEST_ITEM)
    return Row(item, text)


def _afterwards(kind: str, asked: Asked, given: Given, before: Item) -> Row | None:
    if kind == "Put":
        return _row(asked["Item"])
    return _row(given.updated(asked["UpdateExpression"], before)) if kind == "Update" else None


def _taken(table: Any) -> Rows:
    """The rows of one of moto's tables."""
    require(table and table.schema == _SCHEMA and not table.all_indexes() and table.stream_shard is None)
    require((table.hash_key_type, table.range_key_type) == ("S", "S"))
    rows = Rows()
    for one in table.all_items():
        row = _row(one.to_json()["Attributes"])
        rows[row.item["pk"]["S"]].put(row.item["sk"]["S"], row)
    return rows


# --- what is answered --------------------------------------------------------------------------------------


def _done(writes: Sequence[Write], text: str = "{}") -> Answer | None:
    """All of them, or none if the condition of one does not hold."""
    if not all(write.met for write in writes):
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
