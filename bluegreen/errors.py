"""Every error that reaches a person says where, what, and what to do next.

BlueGreenError
├── ConfigError      the configuration or the way of calling is wrong              exit 2
├── Refused          right, but not now or not by you (carries a Reason)           exit 4
│   └── NotPermitted by others: it names who may
├── AwsError         one call to AWS failed: its code, its words, worth retrying?
├── Untold           who is in a group could not be found out: then nobody is
├── Conflict         somebody else wrote the journal's next event: read and decide again
├── LeaseLost        another driver has taken this release: stop at once
└── Interrupted      this driver was asked to stop; the release can be resumed     exit 130
"""

from __future__ import annotations

import re

#: How AWS says that credentials no longer count, or that the clock of whoever signs is wrong (its APIs' common
#: errors), and how botocore says that a sign-on has ended, or that there are no credentials.
_EXPIRED = re.compile(
    r"Expired|InvalidClientTokenId|UnrecognizedClient|SignatureDoesNotMatch|InvalidSignature|InvalidAccessKeyId"
    r"|SSOToken|TokenRetrieval|LoginRefresh|LoginTokenLoad|TooSkewed|RequestInTheFuture|NoCredentials|PartialCredentials"
)
RENEW = "Renew the AWS credentials (and check this machine's clock), then try again."


def has_expired(code: str) -> bool:
    """Whether an error code of AWS, or the name of an error of botocore, is about the credentials themselves."""
    return bool(_EXPIRED.search(code))


class BlueGreenError(Exception):
    """An error with its place, its content and the next step for the person who reads it."""

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        """`where: what. What to do.` on one line; absent parts are left out."""
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text.rstrip('.')}. {self.hint}" if self.hint else text


class ConfigError(BlueGreenError):
    """The configuration, an argument or what they name in AWS is wrong; nothing was changed."""


class Refused(BlueGreenError):
    """The order is well formed but may not be carried out; `reason` is a value of `release.Reason`."""

    def __init__(self, what: str, *, reason: str, where: str = "", hint: str = "") -> None:
        super().__init__(what, where=where, hint=hint)
        self.reason = reason


class NotPermitted(Refused):
    """Not by this person; `may` holds the ids of the people and groups who may."""

    def __init__(self, what: str, *, reason: str, where: str = "", hint: str = "", may: tuple[str, ...] = ()) -> None:
        super().__init__(what, reason=reason, where=where, hint=hint)
        self.may = may


class AwsError(BlueGreenError):
    """A call to AWS failed.

    `code` is AWS's error code, `operation` the API operation. `transient`: the same call may succeed later (throttling,
    5xx, a broken connection). `denied`: a permission is missing. `expired`: the credentials are invalid, so this driver
    can do nothing, but others can.
    """

    def __init__(
        self,
        what: str,
        *,
        code: str,
        operation: str,
        transient: bool = False,
        denied: bool = False,
        where: str = "",
        hint: str = "",
    ) -> None:
        self.expired = has_expired(code)
        super().__init__(what, where=where or operation, hint=hint or (RENEW if self.expired else ""))
        self.code = code
        self.operation = operation
        self.transient = transient
        self.denied = denied


class Untold(BlueGreenError):
    """The members of a group are unknown; the judge treats the group as empty, and repeats the reason."""


class Conflict(BlueGreenError):
    """The event's number is taken: another writer was first."""


class LeaseLost(BlueGreenError):
    """Another driver holds the lease, or ours ran out before it could be renewed."""


class Interrupted(BlueGreenError):
    """This driver had to stop; it began nothing new after that."""
