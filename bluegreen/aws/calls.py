"""The wire: clients, the count of calls, the permit before every changing call, and AWS's errors in our words.

Whatever is asked of AWS goes through one `Calls`. botocore tells it of every attempt before it is sent, so
no module here can forget to count a call, or to ask for the permit.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import boto3
from botocore.config import Config as BotoConfig
from botocore.credentials import AssumeRoleWithWebIdentityCredentialFetcher, DeferredRefreshableCredentials
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ReadTimeoutError,
)
from botocore.exceptions import ConnectionError as BrokenConnection
from botocore.session import get_session

from bluegreen.errors import AwsError, BlueGreenError, ConfigError

T = TypeVar("T")

Answer = dict[str, Any]
Permit = Callable[[], None]
#: Asked before a call and while it is out: seconds until it wants to be asked again. It raises to end the look.
Heed = Callable[[], float]
#: Does work beside the caller and gives what comes of it, heeding meanwhile. What `heed` raises abandons the work.
Beside = Callable[[Callable[[], Any], Heed], Any]

#: Seconds. One attempt ends well within the 20 s of its lease that a driver keeps in hand; and before every attempt to
#: change something the driver is asked for its permit. The calls of a look are made beside it.
CONNECT_TIMEOUT, READ_TIMEOUT, ATTEMPTS = 3, 8, 3

#: So much is told of what broke a call off: an answer that cannot be parsed is repeated whole.
WORDS_MAX = 300

#: A session may not make clients in two threads at once (boto3 guide, multithreading); a bot drives in many.
_MAKING = threading.Lock()

_READING = re.compile(r"(Describe|List|Get)[A-Z]")
#: IAM's name of a service where it is not botocore's.
_IAM = {"elbv2": "elasticloadbalancing"}
_DENIED = re.compile(r"AccessDenied|Unauthorized|NotAuthorized|AuthFailure|OptInRequired")
_NAMED_ACTION = re.compile(r"not authorized to perform: ([\w-]+:\w+)")
_PASSING = re.compile(
    r"Throttl|TooManyRequests|RequestLimitExceeded|SlowDown|BandwidthLimit|PriorRequestNotComplete"
    r"|ResourceContention|ScalingActivityInProgress|ResourceInUse|ConcurrentModification"
    r"|InternalError|InternalFailure|InternalServer|ServiceUnavailable|Unavailable$|RequestTimeout"
    # What was made a moment ago may not be shown yet (EC2 API, eventual consistency).
    r"|InvalidAMIID\.NotFound|InvalidLaunchTemplateId\.VersionNotFound"
)


class Calls:
    """Clients made when first used, and every call they make."""

    def __init__(
        self, region: str | None, session: boto3.Session | None, attempts: int = ATTEMPTS, beside: Beside | None = None
    ) -> None:
        self._session = session or boto3.Session()
        self._region = region
        self._attempts = attempts
        self._beside = beside or in_a_thread
        self._permit: Permit | None = None
        self._heed: Heed | None = None
        self._asking = threading.local()  # whose `call` is the one that this thread makes
        self._last = ("", "")
        self._broken: Exception | None = None  # what the last call broke off with
        self.count: Counter[str] = Counter()

    @cached_property
    def autoscaling(self) -> Any:
        """EC2 Auto Scaling."""
        return self._client("autoscaling")

    @cached_property
    def ec2(self) -> Any:
        """EC2."""
        return self._client("ec2")

    @cached_property
    def elb(self) -> Any:
        """Elastic Load Balancing, second version."""
        return self._client("elbv2")

    @cached_property
    def ssm(self) -> Any:
        """Systems Manager."""
        return self._client("ssm")

    @cached_property
    def once(self) -> Any:
        """Systems Manager, for what must not be sent again while nobody knows whether it was taken.

        SendCommand takes no client token: a second try after a lost answer would be a second command.
        """
        return self._client("ssm", attempts=1)

    @cached_property
    def cloudwatch(self) -> Any:
        """CloudWatch."""
        return self._client("cloudwatch")

    @cached_property
    def kms(self) -> Any:
        """Key Management Service."""
        return self._client("kms")

    @cached_property
    def sts(self) -> Any:
        """Security Token Service."""
        return self._client("sts")

    @cached_property
    def account(self) -> tuple[str, str]:
        """Account id and region (STS API, GetCallerIdentity needs no permission)."""
        return str(self.sts.get_caller_identity()["Account"]), str(self.sts.meta.region_name)

    @cached_property
    def place(self) -> str:
        """Where was looked, as errors say it: `in ap-northeast-2 of account 123456789012`."""
        account, region = self.account
        return f"in {region} of account {account}"

    def _client(self, service: str, attempts: int | None = None) -> Any:
        config = BotoConfig(
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            # Not adaptive: that sleeps between our permit and the sending, for as long as it likes.
            retries={"mode": "standard", "total_max_attempts": attempts or self._attempts},
            user_agent_extra="bluegreen",
        )
        with _MAKING:
            client: Any = self._session.client(service, region_name=self._region, config=config)  # type: ignore[call-overload]
        client.meta.events.register_first("before-call", self._before_call)
        client.meta.events.register_first("before-send", self._before_send)
        client.meta.events.register("after-call", self._after_call)
        client.meta.events.register("after-call-error", self._after_call_error)
        # Everything that a client is asked comes through here: its methods and its paginators (botocore, client.py).
        client._make_api_call = self._heeded(client._make_api_call)  # noqa: SLF001 - there is no public place
        return client

    def _heeded(self, call: Callable[[str, Answer], Any]) -> Callable[[str, Answer], Any]:
        """The same; in a look beside the driver, whole: botocore's pauses, credentials that are fetched, and all.

        So are the readings of an act before its first change: as long as there was none, nobody need know of the act.
        One that is abandoned asks nothing more: what it has sent may be answered, and nobody hears it.
        """

        def made(operation: str, arguments: Answer) -> Any:
            if self._permit is not None and not _READING.match(operation):
                self._heed = None  # an act changes something: whatever it asks from now on is waited for
            if self._heed is None:
                return call(operation, arguments)
            mine = _Asking()

            def work() -> Any:
                self._asking.call = mine
                try:
                    return call(operation, arguments)
                finally:
                    self._asking.call = None

            try:
                return self._beside(work, self._heed)
            except BaseException:
                mine.abandoned = True
                raise

        return made

    def _is_abandoned(self) -> bool:
        mine = getattr(self._asking, "call", None)
        return mine is not None and mine.abandoned

    def _before_call(self, model: Any, **_: object) -> None:
        self._last = (model.service_model.service_name, model.name)
        self.count[":".join(self._last)] += 1

    def _before_send(self, **_: object) -> None:
        """Each attempt of a changing call needs the permit: the lease may have run out since the last one."""
        if self._permit is not None and not _READING.match(self._last[1]):
            self._permit()
        if self._is_abandoned():
            raise AwsError("abandoned", code="Abandoned", operation=self._last[1], transient=True)

    def _after_call(self, http_response: Any, model: Any, **_: object) -> None:
        """Where JSON is due botocore takes any page of HTML for an empty answer, or for an error without a code."""
        if http_response.headers.get("content-type", "").startswith("text/html"):
            what = f"a page of HTML with status {http_response.status_code} came in place of AWS's answer"
            raise AwsError(what, code="NoAnswer", operation=model.name, transient=True)

    def _after_call_error(self, exception: Exception, **_: object) -> None:
        if not self._is_abandoned():
            self._broken = exception

    @contextmanager
    def permitted(self, permit: Permit) -> Iterator[None]:
        """Within, `permit` is called immediately before everything that changes AWS; it raises to prevent it."""
        self._permit = permit
        try:
            yield
        finally:
            self._permit = None

    @contextmanager
    def heeding(self, heed: Heed | None) -> Iterator[None]:
        """Within, every call is made beside the caller, and `heed` asked before it and while it is out."""
        self._heed = heed
        try:
            yield
        finally:
            self._heed = None

    @contextmanager
    def translate_errors(self) -> Iterator[None]:
        """Within, what a call raises becomes `AwsError`, or `ConfigError` where credentials are missing.

        Whatever breaks a call off, between its sending and the end of its answer's parsing, is of the wire and may
        pass: a page of HTML in place of XML is raised as ResponseParserError, which is no error of botocore's own kind.
        """
        try:
            yield
        except BlueGreenError:  # the permit's, from within a call, or ours in place of a page of HTML
            raise
        except ClientError as error:
            raise _from_answer(error, *self._last) from error
        except Exception as error:
            if not isinstance(error, BotoCoreError) and error is not self._broken:
                raise
            raise _from_wire(error, self._last[1], broken=error is self._broken) from error


@dataclass
class _Asking:
    """One call of a look."""

    abandoned: bool = False


def in_a_thread(work: Callable[[], Any], heed: Heed) -> Any:
    """`Beside`, in earnest. Where no thread is to be had the work is done here, and heard of afterwards."""
    seconds = heed()
    try:
        answer = started(work)
    except RuntimeError:
        return work()
    while not wait([answer], timeout=seconds).done:
        seconds = heed()
    return answer.result()


def started(work: Callable[[], T]) -> Future[T]:
    """What comes of work in a thread of its own, which keeps no process from ending. RuntimeError: no more threads."""
    answer: Future[T] = Future()

    def settle() -> None:
        try:
            answer.set_result(work())
        except BaseException as error:  # nobody would see it in this thread
            answer.set_exception(error)

    threading.Thread(target=settle, daemon=True).start()
    return answer


def session(region: str | None = None) -> boto3.Session:
    """A session with the credentials that the AWS environment holds; `region` None: that environment's."""
    return boto3.Session(region_name=region)


def web_identity_session(region: str | None, role: str, name: str, token: Callable[[], str]) -> boto3.Session:
    """A session with the credentials of a role, which are fetched again before they expire.

    `token` gives a fresh OpenID Connect token each time, `name` is seen in CloudTrail (STS API,
    AssumeRoleWithWebIdentity: an hour, whatever the role allows). The first call fetches.
    """
    core = get_session()
    core.set_config_variable("region", region)

    def patient(service: str, config: BotoConfig) -> Any:
        """Unlike botocore, whose own patience is minutes: longer than a lease."""
        times = BotoConfig(
            connect_timeout=CONNECT_TIMEOUT, read_timeout=READ_TIMEOUT, retries={"total_max_attempts": 2}
        )
        return core.create_client(service, config=config.merge(times))

    fetcher = AssumeRoleWithWebIdentityCredentialFetcher(
        client_creator=patient,
        web_identity_token_loader=token,
        role_arn=role,
        extra_args={"RoleSessionName": name},
    )
    # botocore offers no public way to set refreshable credentials; boto3's own resolver ends in this attribute.
    core._credentials = DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role-with-web-identity")  # type: ignore[attr-defined]  # noqa: SLF001
    return boto3.Session(botocore_session=core)


def caller(session: boto3.Session | None = None) -> str:
    """ARN of the principal that calls (STS API, GetCallerIdentity needs no permission)."""
    calls = Calls(None, session)
    with calls.translate_errors():
        return str(calls.sts.get_caller_identity()["Arn"])


def code(error: ClientError) -> str:
    """AWS's error code."""
    return str(error.response.get("Error", {}).get("Code", ""))


def lacking(error: ClientError) -> str:
    """The action that is not permitted, as IAM names it where AWS says so; "" when the error is another one."""
    if not _DENIED.search(code(error)):
        return ""
    named = _NAMED_ACTION.search(str(error.response.get("Error", {}).get("Message", "")))
    return named[1] if named else error.operation_name


def _from_answer(error: ClientError, service: str, operation: str) -> AwsError:
    said = code(error)
    words = " ".join(str(error.response.get("Error", {}).get("Message", "")).split())
    if _DENIED.search(said):
        return _denied(said, words, service, operation)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return AwsError(
        f"{said}: {words}" if words else said,
        code=said,
        operation=error.operation_name,
        transient=bool(_PASSING.search(said)) or status >= 500 or status == 429,
    )


def _denied(said: str, words: str, service: str, operation: str) -> AwsError:
    named = _NAMED_ACTION.search(words)  # may be another action than the one called, such as iam:PassRole
    action = named[1] if named else f"{_IAM.get(service, service)}:{operation}"
    hint = f"Add {action} to the policy of the role that bluegreen uses (examples/policy.json has it whole)."
    return AwsError(f"not allowed: {action}", code=said, operation=operation, denied=True, hint=hint)


def _from_wire(error: Exception, operation: str, *, broken: bool) -> AwsError | ConfigError:
    if isinstance(error, NoRegionError):
        return ConfigError(
            "no AWS region is known", where="region", hint="Set `region` in bluegreen.yml, or AWS_REGION."
        )
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        hint = "Give AWS credentials, for example by a role to assume or a profile."
        return ConfigError("there are no AWS credentials", where="AWS", hint=hint)
    passing = broken or isinstance(
        error, BrokenConnection | HTTPClientError | ReadTimeoutError | CredentialRetrievalError
    )
    words = " ".join(str(error).split())[:WORDS_MAX] or type(error).__name__
    return AwsError(words, code=type(error).__name__, operation=operation or "AWS", transient=passing)
