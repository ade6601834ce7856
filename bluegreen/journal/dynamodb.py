"""The wire to the journal's one table: calls and how often they are sent, errors in our words, and DynamoDB's spelling.

Nothing here knows what the items mean. Neither clock nor `sleep` is used: both come in as arguments.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from botocore.config import Config as ClientConfig
from botocore.exceptions import BotoCoreError, ClientError

from bluegreen import aws_errors
from bluegreen.errors import AwsError, ConfigError

if TYPE_CHECKING:
    import boto3

#: A call ends within 19 s (three times connecting and reading, the pauses between, and before them one hasty attempt):
#: less than the 20 s of its lease that a driver keeps in hand.
_CLIENT = ClientConfig(connect_timeout=2, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 3})
#: What stands between an order and its driver is tried in haste first: DynamoDB answers within milliseconds, across an
#: ocean within a quarter of a second, so what has not come by then was lost on its way.
_HASTY = ClientConfig(connect_timeout=0.4, read_timeout=0.4, retries={"mode": "standard", "total_max_attempts": 1})

#: How often a write is sent again that met another's transaction in flight; that is over in milliseconds.
_CLASHES = 8
#: How long a new table may take to become usable, and how often we look.
_TABLE_LOOKS, _TABLE_PAUSE = 120, 1.0

#: States in which a table can be read and written (DynamoDB API, TableDescription).
_READY = ("ACTIVE", "UPDATING")
_KEYS = {"pk": "HASH", "sk": "RANGE"}

_CLASHED = frozenset({"TransactionConflict", "TransactionConflictException", "TransactionInProgressException"})

#: An item, a key or the arguments of one call, as boto3 takes and gives them: JSON-like and untyped there.
Item = dict[str, Any]


class DynamoTable:
    """One table of the session's account and region, and every call to it."""

    def __init__(
        self, session: boto3.Session, name: str, *, heard: Callable[[float], None] = lambda date: None
    ) -> None:
        self.name, self._heard = name, heard
        try:
            self._client, self._hasty = (self._made(session, config) for config in (_CLIENT, _HASTY))
        except BotoCoreError as error:
            raise aws_errors.translate(error) from error

    def _made(self, session: boto3.Session, config: ClientConfig) -> Any:
        # Any: boto3-stubs type the client of DynamoDB only with an extra package, which we do without.
        client: Any = session.client("dynamodb", config=config)
        aws_errors.listen(client)
        client.meta.events.register("after-call.dynamodb", self._hear)
        return client

    def _hear(self, http_response: Any, **_: object) -> None:
        """Every answer tells the time (HTTP, Date)."""
        with suppress(TypeError, ValueError):  # none, or none that can be read
            self._heard(parsedate_to_datetime(http_response.headers.get("date")).timestamp())

    def ensure(self, sleep: Callable[[float], None]) -> None:
        """Make the table when it is absent, and wait until it can be used.

        AwsError (`denied`) when we may not make it; ConfigError when it takes too long or has other keys.
        """
        status = ""
        for _ in range(_TABLE_LOOKS):
            status = self._status()
            if status in _READY:
                return
            if not status:
                self._create()
            sleep(_TABLE_PAUSE)
        what = f"the table is still {status or 'absent'} after {_TABLE_LOOKS * _TABLE_PAUSE:.0f} s"
        raise ConfigError(what, where=self.name, hint="Check it in the DynamoDB console, then try again.")

    def is_ready(self) -> bool:
        """Whether it can be used; ConfigError when it has other keys."""
        return self._status() in _READY

    def _status(self) -> str:
        """Empty when there is none."""
        try:
            table = self.call("describe_table", TableName=self.name)["Table"]
        except NoTableError:
            return ""
        if {key["AttributeName"]: key["KeyType"] for key in table["KeySchema"]} != _KEYS:
            hint = "It belongs to another program: give the journal another name in BLUEGREEN_TABLE."
            raise ConfigError("the table has other keys than `pk` and `sk`", where=self.name, hint=hint)
        return str(table["TableStatus"])

    def _create(self) -> None:
        try:
            self.call(
                "create_table",
                TableName=self.name,
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in _KEYS],
                KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in _KEYS.items()],
            )
        except AwsError as error:
            if error.code == "ResourceInUseException":  # another process makes it at this moment
                return
            if error.denied:
                raise self._may_not_create(error) from error
            raise

    def _may_not_create(self, error: AwsError) -> AwsError:
        hint = (
            f"Allow `dynamodb:CreateTable`, or have `{self.name}` made by somebody who may, with the string keys "
            "`pk` (hash) and `sk` (range), or name an existing one in BLUEGREEN_TABLE."
        )
        what = f"the journal's table `{self.name}` does not exist, and you may not create it"
        return AwsError(what, code=error.code, operation=error.operation, denied=True, hint=hint)

    def new_item(self, item: Item) -> Item:
        """Arguments that write an item unless there is one; the one that is there comes with the error."""
        return {
            "TableName": self.name,
            "Item": attributes(item),
            "ConditionExpression": "attribute_not_exists(pk)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }

    def get(self, pk: str, sk: str) -> Item | None:
        """The current item, None if it does not exist."""
        answer = self.call("get_item", TableName=self.name, Key=key(pk, sk), ConsistentRead=True)
        return plain(answer["Item"]) if "Item" in answer else None

    def query(self, where: str, values: Item, **more: Any) -> Iterator[Item]:  # Any: Limit and the like
        """Every item that matches, page after page, as written up to now."""
        arguments = {
            "TableName": self.name,
            "KeyConditionExpression": where,
            "ExpressionAttributeValues": attributes(values),
            "ConsistentRead": True,
            **more,
        }
        page = self.call("query", **arguments)
        yield from map(plain, page["Items"])
        while last := page.get("LastEvaluatedKey"):
            page = self.call("query", ExclusiveStartKey=last, **arguments)
            yield from map(plain, page["Items"])

    def call(self, method: str, *, hasty: bool = False, **arguments: Any) -> Item:  # Any: boto3's own arguments
        """One call to DynamoDB. Its errors become ours here: UnmetError, NoTableError, AwsError.

        `hasty`: so that one request that is lost costs less than half a second; the call must be repeatable.
        """
        try:
            soon = self._sent_in_haste(method, arguments) if hasty else None
            return self._send(method, arguments) if soon is None else soon
        except (ClientError, BotoCoreError) as error:
            raise self._translated(error) from error

    def _sent_in_haste(self, method: str, arguments: Item) -> Item | None:
        """None when there is no answer, or none that lasts: then it is asked again, with patience."""
        try:
            return dict(getattr(self._hasty, method)(**arguments))
        except ClientError as error:
            if "ConditionalCheckFailedException" in _codes(error):
                raise
        except AwsError:
            pass
        return None

    def _send(self, method: str, arguments: Item) -> Item:
        for _ in range(_CLASHES):
            try:
                return dict(getattr(self._client, method)(**arguments))
            except ClientError as error:
                if _CLASHED.isdisjoint(_codes(error)):
                    raise
        return dict(getattr(self._client, method)(**arguments))

    def _translated(self, error: ClientError | BotoCoreError) -> Exception:
        if isinstance(error, BotoCoreError):
            return aws_errors.translate(error)
        reasons = _reasons(error)
        if any(reason["Code"] == "ConditionalCheckFailed" for reason in reasons):
            return UnmetError(reasons)
        cause = next((reason for reason in reasons if reason["Code"] != "None"), _said(error))
        if cause["Code"] == "ResourceNotFoundException":
            return self._absent()
        why: Any = {**error.response, "Error": cause}  # Any: as botocore has it
        return aws_errors.translate(
            ClientError(why, error.operation_name), "dynamodb", on=f"on the table `{self.name}`"
        )

    def _absent(self) -> NoTableError:
        hint = (
            "Check the name (BLUEGREEN_TABLE) and the region; the first release makes the table. If it existed before, "
            "the service goes on serving, and `bluegreen adopt` repairs the journal."
        )
        return NoTableError(f"there is no journal table `{self.name}` in {self._client.meta.region_name}", hint=hint)


class NoTableError(ConfigError):
    """The table is absent."""


class UnmetError(Exception):
    """A condition did not hold, and nothing was written.

    `found` has a place for each item of the call: None where its condition held, else the existing item. It is {} if
    the item does not exist, or the call did not ask for it.
    """

    def __init__(self, reasons: Sequence[Item]) -> None:
        super().__init__("a condition did not hold")
        unmet = (reason["Code"] == "ConditionalCheckFailed" for reason in reasons)
        self.found: list[Item | None] = [
            reason.get("Item", {}) if bad else None for reason, bad in zip(reasons, unmet, strict=True)
        ]

    def ours(self, write: str) -> bool:
        """Whether the existing event is the one that we were writing."""
        return plain(self.found[0] or {}).get("write") == write


# --- what DynamoDB says ------------------------------------------------------------------------------


def _said(error: ClientError) -> Item:
    """Code and message, which a response may lack."""
    return {"Code": "Unknown", "Message": "", **error.response.get("Error", {})}


def _reasons(error: ClientError) -> list[Item]:
    """Why a write was not done, item by item: one for a plain write, several for a transaction."""
    if _said(error)["Code"] == "ConditionalCheckFailedException":
        return [{"Code": "ConditionalCheckFailed", "Item": error.response.get("Item", {})}]
    return [{"Code": "None", **reason} for reason in error.response.get("CancellationReasons", [])]


def _codes(error: ClientError) -> set[str]:
    return {_said(error)["Code"], *(reason["Code"] for reason in _reasons(error))}


# --- values and expressions --------------------------------------------------------------------------


def _attribute(value: Any) -> Item:  # Any: what an item may hold
    if isinstance(value, str):
        return {"S": str(value)}
    if isinstance(value, (int, float)):
        return {"N": repr(value)}
    return {"M": attributes(value)}


def attributes(values: Mapping[str, Any]) -> Item:
    """As DynamoDB spells it. It leaves out None."""
    return {name: _attribute(value) for name, value in values.items() if value is not None}


def plain(item: Item) -> Item:
    """The reverse of `attributes`; an integer comes back as int, also if it was a float."""
    return {name: _value(attribute) for name, attribute in item.items()}


def _value(attribute: Item) -> Any:  # Any: what an item may hold
    [(tag, raw)] = attribute.items()
    if tag == "N":
        return int(raw) if re.fullmatch(r"-?\d+", raw) else float(raw)
    return plain(raw) if tag == "M" else raw


def key(pk: str, sk: str) -> Item:
    """The key of one item."""
    return attributes({"pk": pk, "sk": sk})


def expressed(values: Item, names: Mapping[str, str] | None = None, *, update: str = "", condition: str = "") -> Item:
    """Arguments for expressions in which every attribute is written `#name`, as many names are reserved words."""
    written = set(re.findall(r"#\w+", f"{update} {condition}"))
    expressions = {"UpdateExpression": update, "ConditionExpression": condition}
    return {
        **{name: text for name, text in expressions.items() if text},
        "ExpressionAttributeNames": {**{name: name[1:] for name in written}, **(names or {})},
        "ExpressionAttributeValues": attributes(values),
    }
