"""The wire: clients, the count of calls, the permit before every changing call, and AWS's errors in our words.

Every call to AWS goes through one `Calls`. botocore announces every attempt before it sends it. So no module here
can forget to count a call, or to ask for the permit.
"""

from __future__ import annotations

import json
import math
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import boto3
from botocore.config import Config as BotoConfig
from botocore.credentials import AssumeRoleWithWebIdentityCredentialFetcher, DeferredRefreshableCredentials
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import get_session

from bluegreen import aws_errors
from bluegreen.errors import AwsError

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

#: A session may not make clients in two threads at once (boto3 guide, multithreading); a bot drives in many.
_MAKING = threading.Lock()

_READING = re.compile(r"(Describe|List|Get|Head|Simulate)[A-Z]")

#: Where the Price List Query API is (Billing and Cost Management user guide, endpoints): of AWS, and of AWS China.
PRICED_IN = {"aws": "us-east-1", "aws-cn": "cn-northwest-1"}

#: The reading of groups, of which each is kept by its name.
GROUPS = "autoscaling:DescribeAutoScalingGroups"
_NAMED = "AutoScalingGroupName"
#: Who is in a group or a target group, and where groups are attached; what a load balancer does with requests.
_MEMBERS = frozenset(
    {
        GROUPS,
        "autoscaling:DescribeAutoScalingInstances",
        "autoscaling:DescribeLoadBalancerTargetGroups",
        "autoscaling:DescribeScalingActivities",
        "ec2:DescribeInstances",
        "elbv2:DescribeTargetHealth",
    }
)
_ROUTES = frozenset({"elbv2:DescribeListeners", "elbv2:DescribeRules"})
_POLICIES = frozenset({"autoscaling:DescribePolicies", "cloudwatch:DescribeAlarms"})
#: What a change makes out of date, where that is known: readings of these operations. Any other change makes all so.
_OUTDATED: Mapping[str, frozenset[str]] = {
    "autoscaling:SuspendProcesses": frozenset({GROUPS}),
    "autoscaling:ResumeProcesses": frozenset({GROUPS}),
    "autoscaling:CreateOrUpdateTags": frozenset({GROUPS}),
    "autoscaling:DeleteTags": frozenset({GROUPS}),
    "autoscaling:EnableMetricsCollection": frozenset({GROUPS}),
    "autoscaling:DisableMetricsCollection": frozenset({GROUPS}),
    "autoscaling:UpdateAutoScalingGroup": _MEMBERS,
    "autoscaling:PutWarmPool": _MEMBERS,
    "autoscaling:DeleteWarmPool": _MEMBERS,
    "autoscaling:AttachLoadBalancerTargetGroups": _MEMBERS | _ROUTES,
    "autoscaling:DetachLoadBalancerTargetGroups": _MEMBERS | _ROUTES,
    "autoscaling:PutScalingPolicy": _POLICIES,
    "autoscaling:DeletePolicy": _POLICIES,
    "autoscaling:PutScheduledUpdateGroupAction": frozenset({"autoscaling:DescribeScheduledActions"}),
    "autoscaling:DeleteScheduledAction": frozenset({"autoscaling:DescribeScheduledActions"}),
    "autoscaling:PutLifecycleHook": frozenset({"autoscaling:DescribeLifecycleHooks"}),
    "autoscaling:DeleteLifecycleHook": frozenset({"autoscaling:DescribeLifecycleHooks"}),
    "autoscaling:PutNotificationConfiguration": frozenset({"autoscaling:DescribeNotificationConfigurations"}),
    "autoscaling:DeleteNotificationConfiguration": frozenset({"autoscaling:DescribeNotificationConfigurations"}),
    "cloudwatch:PutMetricAlarm": _POLICIES | {"cloudwatch:ListTagsForResource"},
    "cloudwatch:DeleteAlarms": _POLICIES | {"cloudwatch:ListTagsForResource"},
    "ec2:CreateLaunchTemplateVersion": frozenset({"ec2:DescribeLaunchTemplateVersions"}),
    "ec2:DeleteLaunchTemplateVersions": frozenset({"ec2:DescribeLaunchTemplateVersions"}),
    "ec2:ModifyLaunchTemplate": frozenset({"ec2:DescribeLaunchTemplateVersions"}),
}


class Readings:
    """What AWS answered in the last `seconds` by the `clock`, until a change of ours makes it out of date.

    An act need not ask again what the observation before it read a moment ago, and the next observation need not ask
    what that act left as it was. Without a clock nothing is kept.
    """

    def __init__(self, clock: Callable[[], float] | None, seconds: float) -> None:
        self._clock, self._seconds = clock, seconds
        self._kept: dict[tuple[str, str], tuple[float, Any]] = {}

    def of(self, operation: str, asked: str) -> Any:
        """The answer, None unless it came lately."""
        at, answer = self._kept.get((operation, asked), (-math.inf, None))
        return answer if self._is_fresh(at) else None

    def keep(self, operation: str, asked: str, answer: Any) -> None:
        """Keep an answer, which nobody may alter."""
        if self._clock is not None:
            self._kept = {key: one for key, one in self._kept.items() if self._is_fresh(one[0])}
            self._kept[operation, asked] = (self._clock(), answer)

    def changed(self, operation: str, group: str) -> None:
        """Forget what this change makes out of date; of a change to one group what is of others stays true."""
        outdated = _OUTDATED.get(operation)
        if outdated is None:
            self.forget()
            return
        self._kept = {
            (read, asked): one
            for (read, asked), one in self._kept.items()
            if read not in outdated or (group and _NAMED in asked and group not in asked)
        }

    def forget(self) -> None:
        """Everything is read again."""
        self._kept = {}

    def _is_fresh(self, at: float) -> bool:
        return self._clock is not None and 0 <= self._clock() - at <= self._seconds

    def group(self, name: str) -> tuple[Answer, ...] | None:
        """A group by its name, () when AWS showed nothing of that name; None unless it was read lately."""
        found: tuple[Answer, ...] | None = self.of(GROUPS, f"{_NAMED} {name}")
        return found

    def keep_group(self, name: str, shown: tuple[Answer, ...]) -> None:
        """Keep a group, as `group` gives it."""
        self.keep(GROUPS, f"{_NAMED} {name}", shown)


class Calls:
    """Clients made when first used, and every call they make.

    `clock` and `fresh`: for so many seconds by it an answer may be given again, see `Readings`.
    """

    def __init__(
        self,
        region: str | None,
        session: boto3.Session | None,
        attempts: int = ATTEMPTS,
        beside: Beside | None = None,
        clock: Callable[[], float] | None = None,
        fresh: float = 0.0,
    ) -> None:
        self._session = session or boto3.Session()
        self._region = region
        self._attempts = attempts
        self._beside = beside or in_a_thread
        self._permit: Permit | None = None
        self._heed: Heed | None = None
        self._asking = threading.local()  # whose `call` is the one that this thread makes
        self._last = ("", "")
        self.count: Counter[str] = Counter()
        self.readings = Readings(clock, fresh)

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
    def s3(self) -> Any:
        """S3. Its older signature is not good for presigned URLs of every region."""
        return self._client("s3", signature_version="s3v4")

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
    def pricing(self) -> Any:
        """The price list, which is in one region; it is asked once: nothing waits for a price."""
        return self._client("pricing", attempts=1, region=PRICED_IN.get(self.partition, PRICED_IN["aws"]))

    @cached_property
    def iam(self) -> Any:
        """Identity and Access Management."""
        return self._client("iam")

    @cached_property
    def quotas(self) -> Any:
        """Service Quotas."""
        return self._client("service-quotas")

    @cached_property
    def dynamodb(self) -> Any:
        """DynamoDB, for what is read of the table itself; its items are the journal's."""
        return self._client("dynamodb")

    @cached_property
    def _caller(self) -> Answer:
        """STS API, GetCallerIdentity needs no permission."""
        answer: Answer = self.sts.get_caller_identity()
        return answer

    @property
    def account(self) -> tuple[str, str]:
        """Account id and region."""
        return str(self._caller["Account"]), str(self.sts.meta.region_name)

    @property
    def caller(self) -> str:
        """ARN of the principal that calls; of an assumed role without the role's path."""
        return str(self._caller["Arn"])

    @property
    def partition(self) -> str:
        """`aws`, or that of other regions, such as `aws-cn`."""
        return self.caller.split(":")[1]

    @cached_property
    def place(self) -> str:
        """Where was looked, as errors say it: `in ap-northeast-2 of account 123456789012`."""
        account, region = self.account
        return f"in {region} of account {account}"

    def _client(self, service: str, attempts: int | None = None, region: str | None = None, **options: Any) -> Any:
        config = BotoConfig(
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            # Not adaptive: that sleeps between our permit and the sending, for as long as it likes.
            retries={"mode": "standard", "total_max_attempts": attempts or self._attempts},
            user_agent_extra="bluegreen",
            **options,
        )
        with _MAKING:
            client: Any = self._session.client(service, region_name=region or self._region, config=config)  # type: ignore[call-overload]
        client.meta.events.register_first("before-call", self._before_call)
        client.meta.events.register_first("before-send", self._before_send)
        aws_errors.listen(client)
        # Everything that a client is asked comes through here: its methods and its paginators (botocore, client.py).
        client._make_api_call = self._recalled(service, self._heeded(client._make_api_call))  # noqa: SLF001 - there is no public place
        return client

    def _recalled(self, service: str, call: Callable[[str, Answer], Any]) -> Callable[[str, Answer], Any]:
        """The same, less what was read a moment ago."""

        def made(operation: str, arguments: Answer) -> Any:
            named = f"{service}:{operation}"
            if not _READING.match(operation):
                self.readings.changed(named, arguments.get(_NAMED, ""))
                return call(operation, arguments)
            asked = json.dumps(arguments, sort_keys=True, default=str)
            known = self.readings.of(named, asked)
            if known is None:
                known = call(operation, arguments)
                self.readings.keep(named, asked, known)
            return known

        return made

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
        """Within, what a call raises becomes `AwsError`, or `ConfigError` where this process's settings are wrong.

        After an error of any kind everything is read again.
        """
        try:
            yield
        except BaseException as error:
            self.readings.forget()
            if isinstance(error, ClientError | BotoCoreError):
                raise aws_errors.translate(error, self._last[0]) from error
            raise


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
    """A session with the credentials that the AWS environment holds; `region` None: that environment's.

    ConfigError when its settings are wrong, such as the name of a profile.
    """
    try:
        return boto3.Session(region_name=region)
    except BotoCoreError as error:
        raise aws_errors.translate(error) from error


def web_identity_session(region: str | None, role: str, name: str, token: Callable[[], str]) -> boto3.Session:
    """A session with the credentials of a role; it renews them before they expire.

    `token` gives a fresh OpenID Connect token each time, `name` appears in CloudTrail (STS API,
    AssumeRoleWithWebIdentity: an hour, even if the role allows more). The first call fetches.
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
