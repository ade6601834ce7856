"""AWS's errors in our words: one translator, for the journal and for all other calls to AWS.

A call fails in one of three ways. AWS refuses: that stays a ClientError until `translate`, so that the caller can see
its `code` first. The connection breaks: `listen` raises our error instead. Or the settings of this process are wrong:
botocore says so before it sends anything.
"""

from __future__ import annotations

import re
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConfigNotFound,
    ConfigParseError,
    CredentialRetrievalError,
    HTTPClientError,
    InvalidConfigError,
    InvalidRegionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
)
from botocore.exceptions import ConnectionError as BrokenConnection

from bluegreen.errors import RENEW, AwsError, BlueGreenError, ConfigError, has_expired

#: So much is told of what broke a call off: an answer that cannot be parsed is repeated whole.
WORDS_MAX = 300

#: IAM's name of a service where it is not botocore's.
_IAM = {"elbv2": "elasticloadbalancing", "service-quotas": "servicequotas"}
_DENIED = re.compile(r"AccessDenied|Unauthorized|NotAuthorized|AuthFailure|OptInRequired")
_NAMED_ACTION = re.compile(r"not authorized to perform: ([\w-]+:\w+)")
#: A policy that stands above what a role is given (IAM, access denied error messages).
_FORBIDDEN = re.compile(
    r"with an explicit deny in an? [\w -]+|because no (?!identity)[\w -]+? allows the [\w:-]+ action"
)
#: EC2 says so both of a key that is none and of a clock that is wrong, by the code of what is not permitted.
_NO_KEY = "validate the provided access credentials"
_PASSING = re.compile(
    r"Throttl|TooManyRequests|RequestLimitExceeded|ThroughputExceeded|SlowDown|BandwidthLimit|PriorRequestNotComplete"
    r"|ResourceContention|ScalingActivityInProgress|ResourceInUse|ConcurrentModification"
    r"|TransactionConflict|TransactionInProgress"
    r"|InternalError|InternalFailure|InternalServer|ServiceUnavailable|Unavailable$|RequestTimeout"
    # The provider of a workflow's identity did not answer AWS (STS API, AssumeRoleWithWebIdentity).
    r"|IDPCommunicationError"
    # What was made a moment ago may not be shown yet (EC2 API, eventual consistency).
    r"|InvalidAMIID\.NotFound|InvalidLaunchTemplateId\.VersionNotFound"
)
_SETTINGS = (NoRegionError, InvalidRegionError, ProfileNotFound, ConfigNotFound, ConfigParseError, InvalidConfigError)


def listen(client: Any) -> None:
    """From now on a call of the client whose connection breaks ends with our AwsError.

    Everything that ends it between its sending and the parsing of its answer is a passing error of the network. For a
    page of HTML in place of XML, botocore raises ResponseParserError, which is not one of its own errors.
    """
    client.meta.events.register("after-call", _refuse_page)
    client.meta.events.register("after-call-error", _broke_off)


def translate(error: ClientError | BotoCoreError, service: str = "", *, on: str = "") -> AwsError | ConfigError:
    """Our error for one that a call, or the making of a client, ended with.

    `service`: botocore's name of what was asked; `on`: what the permission is needed on, as in "on the table `x`".
    ConfigError where the settings of this process are wrong; AwsError otherwise.
    """
    if isinstance(error, ClientError):
        return _refused(error, service, on)
    if isinstance(error, NoRegionError):
        return ConfigError(
            "no AWS region is set", hint="Set AWS_REGION, or `region` in bluegreen.yml, or give `--region`."
        )
    if isinstance(error, _SETTINGS):
        hint = "Check the AWS settings of this process (AWS_PROFILE, AWS_REGION, AWS_CONFIG_FILE)."
        return ConfigError(_words(error), where="AWS", hint=hint)
    return _unsent(error, "", passing=isinstance(error, BrokenConnection | HTTPClientError | CredentialRetrievalError))


def code(error: ClientError) -> str:
    """AWS's error code; "Unknown" where an answer has none."""
    return str(error.response.get("Error", {}).get("Code") or "Unknown")


def lacking(error: ClientError) -> str:
    """The action that is not permitted, as IAM names it where AWS says so; "" when the error is another one."""
    if not _is_denied(error):
        return ""
    named = _NAMED_ACTION.search(_said(error))
    return named[1] if named else error.operation_name


def _said(error: ClientError) -> str:
    return " ".join(str(error.response.get("Error", {}).get("Message") or "").split())


def _is_denied(error: ClientError) -> bool:
    return bool(_DENIED.search(code(error))) and _NO_KEY not in _said(error)


def _refused(error: ClientError, service: str, on: str) -> AwsError:
    if _is_denied(error):
        return _denied(error, service, on)
    said, words = code(error), _said(error)
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    expired = has_expired(said) or _NO_KEY in words
    refused = AwsError(
        f"{said}: {words}" if words else f"{said}, with status {status}",
        code=said,
        operation=error.operation_name,
        transient=not expired and (bool(_PASSING.search(said)) or status >= 500 or status == 429),
        hint=RENEW if expired else "",
    )
    refused.expired = expired
    return refused


def _denied(error: ClientError, service: str, on: str) -> AwsError:
    said, words, operation = code(error), _said(error), error.operation_name
    if operation.startswith("AssumeRole"):  # for the credentials of the call that was meant
        service, on = "sts", ""
    named = _NAMED_ACTION.search(words)  # may be another action than the one called, such as iam:PassRole
    action = " ".join(filter(None, (named[1] if named else f"{_IAM.get(service, service)}:{operation}", on)))
    what = f"not allowed: {action}"
    hint = f"Add {action} to the policy of the role that calls AWS; `bluegreen iam-policy` prints the complete policy."
    if above := _FORBIDDEN.search(words):
        what = f"{what}, {above[0]}"
        hint = "Ask who keeps that policy: to add the action to the role's own is not enough."
    elif "OptInRequired" in said:
        hint = "Enable the service or the region for this account in the AWS console."
    return AwsError(what, code=said, operation=operation, denied=True, hint=hint)


def _refuse_page(http_response: Any, model: Any, **_: object) -> None:
    """Where JSON is due botocore takes any page of HTML for an empty answer, or for an error without a code."""
    if http_response.headers.get("content-type", "").startswith("text/html"):
        what = f"a page of HTML with status {http_response.status_code} came in place of AWS's answer"
        hint = "If it stays so, look at the proxy between this machine and AWS."
        raise AwsError(what, code="NoAnswer", operation=model.name, transient=True, hint=hint)


def _broke_off(exception: Exception, event_name: str, **_: object) -> None:
    # Ours are the permit's; AWS's own are of the credentials that the call was to be signed with.
    if not isinstance(exception, BlueGreenError | ClientError):
        raise _unsent(exception, event_name.rpartition(".")[2], passing=True) from exception


def _unsent(error: Exception, operation: str, *, passing: bool) -> AwsError:
    name = type(error).__name__
    expired, hint = has_expired(name), "" if passing else "Check the AWS credentials and settings of this process."
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        hint = "Give AWS credentials, for example by a role to assume or a profile."
    elif expired:
        hint = ""  # AwsError has it
    return AwsError(
        _words(error), code=name, operation=operation or "AWS", transient=passing and not expired, hint=hint
    )


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:WORDS_MAX] or type(error).__name__
