"""What `doctor` reads of AWS: settings, permissions, quotas. It changes nothing, and every examination stands alone.

Requests to change something have EC2's DryRun: EC2 says whether they are permitted, and does nothing.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from contextlib import suppress
from email.utils import parsedate_to_datetime
from functools import partial
from itertools import islice
from typing import Any
from urllib.parse import unquote

from botocore.exceptions import BotoCoreError, ClientError

from bluegreen import doctor, iam_policy
from bluegreen.aws import builder, capacity, groups, inventory, permitted, sources, templates, traffic
from bluegreen.aws.calls import Answer, Calls, started
from bluegreen.aws_errors import code, lacking, translate
from bluegreen.config import Config
from bluegreen.doctor import (
    BuilderSettings,
    Diagnosis,
    GroupSettings,
    Permission,
    Simulation,
    TableSettings,
    TargetGroupSettings,
    Topic,
)
from bluegreen.errors import BlueGreenError, ConfigError
from bluegreen.quotas import Use

#: Images are counted so many a call, and on so many pages at most.
PAGE, PAGES = 1000, 5
#: Code of the quota of a region's images (Service Quotas, ec2).
IMAGES_QUOTA = "L-B665C33B"
_SIMULATE = "iam:SimulatePrincipalPolicy"

#: Seconds until a line is given up; a call is sent twice at most, and each time ends within eleven.
LIMIT = 30.0

Examination = Callable[[], Iterable[Diagnosis]]


def side_by_side(examinations: Iterable[tuple[Topic, Examination]]) -> list[Diagnosis]:
    """The lines of all, each in a thread of its own. What has not come after LIMIT seconds is a line that says so."""
    seconds = LIMIT
    running = [(topic, _started(examine)) for topic, examine in examinations]
    wait_for([future for _, future in running], timeout=seconds)
    return [line for topic, future in running for line in _lines(topic, future, seconds)]


def _started(examine: Examination) -> Future[list[Diagnosis]]:
    try:
        return started(lambda: list(examine()))
    except RuntimeError as error:  # no more threads
        future: Future[list[Diagnosis]] = Future()
        future.set_exception(error)
        return future


def _lines(topic: Topic, future: Future[list[Diagnosis]], seconds: float) -> list[Diagnosis]:
    if not future.done():
        return [doctor.failed(topic, TimeoutError(), seconds)]
    error = future.exception()
    if isinstance(error, ClientError | BotoCoreError):
        error = translate(error)
    return future.result() if error is None else [doctor.failed(topic, error, seconds)]


def of_service(
    calls: Calls, config: Config, table: str, role: str, serving: Callable[[], tuple[str, str]]
) -> Iterator[tuple[Topic, Examination]]:
    """Everything but the preflight. `serving` gives the name of blue, and the id of a release that is under way."""
    blue = started(lambda: group(calls, serving()[0]))
    yield Topic.PERMISSIONS, _with(blue, Topic.PERMISSIONS, lambda _: permissions(calls, config, table, role))
    yield Topic.POLICY, _with(blue, Topic.POLICY, lambda _: policy(calls, config, table, role))
    yield Topic.JOURNAL, lambda: journal(calls, table, role, lambda: serving()[1])
    yield Topic.HEALTH, _with(blue, Topic.HEALTH, lambda it: health(calls, it, config))
    yield Topic.QUOTAS, _with(blue, Topic.QUOTAS, partial(vcpus, calls))
    yield Topic.QUOTAS, _with(blue, Topic.QUOTAS, partial(balancer, calls))
    yield Topic.ADDRESSES, _with(blue, Topic.ADDRESSES, partial(addresses, calls))
    if config.image.builder is not None:
        yield Topic.BUILDER, partial(the_builder, calls, config, lambda: serving()[1])
        yield Topic.QUOTAS, partial(images, calls)
        if config.image.builder.source is not None:
            yield Topic.BUILDER, partial(bucket, calls, config, config.image.builder.source.bucket)


def _with(
    blue: Future[GroupSettings], topic: Topic, examine: Callable[[GroupSettings], Iterable[Diagnosis]]
) -> Examination:
    """An examination that needs the group; of a group that cannot be read another line tells why."""

    def examined() -> Iterator[Diagnosis]:
        try:
            known = blue.result()
        except (ClientError, BotoCoreError, BlueGreenError):
            yield doctor.without_group(topic)
        else:
            yield from examine(known)

    return examined


class OneReading:
    """A session whose clients ask AWS once for what several examinations read, from any thread.

    Each answer stays: within one examination of a service nothing is read again.
    """

    def __init__(self, session: Any) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._answers: dict[str, Future[Any]] = {}

    def client(self, service: str, region_name: str | None = None, **options: Any) -> Any:
        """As boto3's session makes it."""
        client = self._session.client(service, region_name=region_name, **options)
        asked = f"{service} {client.meta.region_name}"
        client._make_api_call = partial(self._once, asked, client._make_api_call)  # noqa: SLF001 - as in Calls
        return client

    def _once(self, asked: str, call: Callable[[str, Answer], Any], operation: str, arguments: Answer) -> Any:
        key = f"{asked} {operation} {json.dumps(arguments, sort_keys=True, default=str)}"
        with self._lock:
            first = key not in self._answers
            answer = self._answers.setdefault(key, Future())
        if first:
            try:
                answer.set_result(call(operation, arguments))
            except BaseException as error:  # whoever waits for it gets it, too
                answer.set_exception(error)
        return answer.result()


# --- who calls -----------------------------------------------------------------------------------


def caller(calls: Calls, now: Callable[[], float]) -> Iterator[Diagnosis]:
    """Who calls, where, and how far this machine's clock is off: an answer tells the time, be it a refusal."""
    try:
        answer = calls.sts.get_caller_identity()
    except ClientError as error:
        yield doctor.failed(Topic.CREDENTIALS, translate(error, "sts"))
        yield doctor.clock(_ahead(error.response, now()))
        return
    yield from doctor.credentials(str(answer["Arn"]), str(calls.sts.meta.region_name))
    yield doctor.clock(_ahead(answer, now()))


def _ahead(answer: Mapping[str, Any], now: float) -> float | None:
    """AWS says its time in full seconds, a little before the answer is here (HTTP, Date)."""
    said = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    with suppress(TypeError, ValueError):
        return now - parsedate_to_datetime(said).timestamp() - 0.5
    return None


# --- permissions ---------------------------------------------------------------------------------


def permissions(calls: Calls, config: Config, table: str, role: str) -> Iterator[Diagnosis]:
    """Whether the role may do what releases do, by IAM's simulator, else EC2's DryRun. `role`: "" for the caller."""
    facts = inventory.account(calls, config)
    statements = iam_policy.policy(config, facts, table)
    asked = doctor.simulations(statements, calls.account[1])
    try:
        principal = _principal(calls, role)
        if not principal:
            said = f"{calls.caller} has no policy of its own that IAM could simulate"
            yield doctor.unseen(Topic.PERMISSIONS, said, "Name the role that releases with `--role`.")
            return
        found = [one for question in asked for one in _simulated(calls, principal, question)]
    except ClientError as error:
        needs = lacking(error)
        if not needs or role:
            raise
        machine = builder.find(calls, config) if config.image.builder else ""
        launches = [(template, "$Default") for template in facts.templates]
        yield from doctor.dry_runs(list(permitted.dry_runs(calls, config, launches, machine)), needs)
        return
    yield from doctor.permissions(found, asked, principal)


def policy(calls: Calls, config: Config, table: str, role: str) -> Iterator[Diagnosis]:
    """Whether the role has more than `iam-policy` prints, by the documents of its policies."""
    principal = _principal(calls, role)
    if ":role/" not in principal:
        yield doctor.unseen(Topic.POLICY, "bluegreen compares the policies of roles, with `--role`")
        return
    wanted = iam_policy.policy(config, inventory.account(calls, config), table)
    found = [one for document in _documents(calls, principal.rpartition("/")[2]) for one in doctor.grants(document)]
    yield doctor.policy_in_force(principal, found, wanted, own=not role)


def _documents(calls: Calls, role: str) -> Iterator[Answer]:
    """Its inline policies, and the versions in force of those that are attached."""
    for page in calls.iam.get_paginator("list_role_policies").paginate(RoleName=role):
        for name in page["PolicyNames"]:
            yield _read(calls.iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"])
    for page in calls.iam.get_paginator("list_attached_role_policies").paginate(RoleName=role):
        for one in page["AttachedPolicies"]:
            arn = one["PolicyArn"]
            version = calls.iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
            shown = calls.iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]
            yield _read(shown["Document"])


def _read(document: Any) -> Answer:
    """IAM sends JSON in the form of a URL, which boto3 reads (IAM API, GetRolePolicy)."""
    return dict(json.loads(unquote(document)) if isinstance(document, str) else document)


def _principal(calls: Calls, role: str) -> str:
    """ARN of the role or user whose policies count; "" for root and for what IAM does not know as either."""
    if role:
        return _role(calls, role.rpartition("/")[2])
    kind, _, name = calls.caller.split(":", 5)[5].partition("/")
    if kind == "assumed-role":  # without the path that the simulator wants
        return _role(calls, name.partition("/")[0])
    return calls.caller if kind == "user" and ":iam:" in calls.caller else ""


def _role(calls: Calls, name: str) -> str:
    """Its ARN; ConfigError when there is none of this name."""
    try:
        return str(calls.iam.get_role(RoleName=name)["Role"]["Arn"])
    except ClientError as error:
        if code(error) != "NoSuchEntity":
            raise
        what = f"there is no role `{name}` in account {calls.account[0]}"
        raise ConfigError(what, where="--role", hint="Correct the name; a role has it without its path.") from None


def _simulated(calls: Calls, principal: str, asked: Simulation) -> Iterator[Permission]:
    pages = calls.iam.get_paginator("simulate_principal_policy").paginate(
        PolicySourceArn=principal,
        ActionNames=asked.actions,
        ResourceArns=asked.resources,
        ContextEntries=[_entry(key, value) for key, value in asked.context.items()],
        PaginationConfig={"PageSize": PAGE},
    )
    for result in (one for page in pages for one in page["EvaluationResults"]):
        for said in result.get("ResourceSpecificResults") or [result]:
            pair = (result["EvalActionName"], said["EvalResourceName"])
            decision = said.get("EvalResourceDecision") or result["EvalDecision"]
            if pair in asked.wanted:
                why = _why(result, decision)
                yield Permission(asked.wanted[pair], pair[0], decision == "allowed", why)


def _entry(key: str, value: str | Sequence[str]) -> Answer:
    if isinstance(value, str):
        return {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"}
    return {"ContextKeyName": key, "ContextKeyValues": list(value), "ContextKeyType": "stringList"}


def _why(result: Answer, decision: str) -> str:
    """By whom it is denied, though the role's own policies may allow it."""
    if not result.get("OrganizationsDecisionDetail", {}).get("AllowedByOrganizations", True):
        return "by a policy of the organization"
    if not result.get("PermissionsBoundaryDecisionDetail", {}).get("AllowedByPermissionsBoundary", True):
        return "by the role's permissions boundary"
    return "by an explicit deny" if decision == "explicitDeny" else ""


# --- the journal's table ---------------------------------------------------------------------------


def journal(calls: Calls, table: str, role: str, under_way: Callable[[], str]) -> Iterator[Diagnosis]:
    """Whether the table is there, has the journal's keys, and can be restored. `role`: "" for the caller."""
    try:
        shown = calls.dynamodb.describe_table(TableName=table)["Table"]
    except ClientError as error:
        if lacking(error):
            yield from doctor.no_record(translate(error, "dynamodb", on=f"on the table `{table}`"), own=not role)
            return
        if code(error) != "ResourceNotFoundException":
            raise
        yield from doctor.journal(TableSettings(table, "", {}))
        return
    keys = {one["AttributeName"]: one["KeyType"] for one in shown["KeySchema"]}
    backups, lacks = _if_permitted(lambda: calls.dynamodb.describe_continuous_backups(TableName=table))
    living, lacks_too = _if_permitted(lambda: calls.dynamodb.describe_time_to_live(TableName=table))
    recovery = backups.get("ContinuousBackupsDescription", {}).get("PointInTimeRecoveryDescription", {})
    settings = TableSettings(
        table,
        shown["TableStatus"],
        keys,
        recovery=None if lacks else recovery.get("PointInTimeRecoveryStatus") == "ENABLED",
        expires=None if lacks_too else living["TimeToLiveDescription"].get("TimeToLiveStatus") == "ENABLED",
        needs=lacks or lacks_too,
    )
    yield from doctor.journal(settings, under_way() if doctor.is_usable(settings) else "")


def _if_permitted(read: Callable[[], Answer]) -> tuple[Answer, str]:
    """The answer; {} with the action that is needed for it."""
    try:
        return read(), ""
    except ClientError as error:
        if needs := lacking(error):
            return {}, needs
        raise


# --- the group and its target groups -------------------------------------------------------------


def group(calls: Calls, name: str) -> GroupSettings:
    """Blue's settings. ConfigError when there is no such group."""
    shown = groups.describe(calls, name).get(name)
    if shown is None:
        raise ConfigError(f"there is no Auto Scaling group `{name}` {calls.place}", where="group")
    return GroupSettings(
        name=name,
        size=shown["DesiredCapacity"],
        elb="ELB" in shown.get("HealthCheckType", ""),
        grace=float(shown.get("HealthCheckGracePeriod", 0)),
        subnets=groups.subnets(shown),
        mixed="MixedInstancesPolicy" in shown,
        target_groups=tuple(sorted(groups.target_groups(shown))),
    )


def health(calls: Calls, blue: GroupSettings, config: Config) -> Iterator[Diagnosis]:
    """What of the health checks and attributes will hurt."""
    if shown := _described(calls, blue):
        yield from doctor.health(blue, [_target_group(calls, one) for one in shown], config)


def _described(calls: Calls, blue: GroupSettings) -> list[Answer]:
    """The target groups that it is in; without names AWS would show those of everybody."""
    if not blue.target_groups:
        return []
    return list(calls.elb.describe_target_groups(TargetGroupArns=list(blue.target_groups))["TargetGroups"])


def _target_group(calls: Calls, shown: Answer) -> TargetGroupSettings:
    answer = calls.elb.describe_target_group_attributes(TargetGroupArn=shown["TargetGroupArn"])
    said = {one["Key"]: one["Value"] for one in answer["Attributes"]}
    lasts = f"stickiness.{said.get('stickiness.type', 'lb_cookie')}.duration_seconds"
    return TargetGroupSettings(
        name=shown["TargetGroupName"],
        interval=float(shown.get("HealthCheckIntervalSeconds", 30)),
        rises=int(shown.get("HealthyThresholdCount", 5)),
        falls=int(shown.get("UnhealthyThresholdCount", 2)),
        drain=float(said.get("deregistration_delay.timeout_seconds", 300)),
        slow_start=float(said.get("slow_start.duration_seconds", 0)),
        sticky=float(said.get(lasts, 0)) if said.get("stickiness.enabled") == "true" else 0.0,
    )


# --- the builder ---------------------------------------------------------------------------------


def image_of(calls: Calls, blue: str) -> str:
    """The image that a group launches from its template; "" when it does not say."""
    found = groups.known(groups.describe(calls, blue)[blue])
    version = templates.resolved(templates.look(calls, found.template), found.template_version)
    return str(templates.data(calls, found.template, version).get("ImageId", ""))


def bucket(calls: Calls, config: Config, name: str) -> Iterator[Diagnosis]:
    """Whether the bucket from which the builder gets the packed commit is there."""
    sources.must_be_here(calls, config)
    yield doctor.bucket(name)


def the_builder(calls: Calls, config: Config, under_way: Callable[[], str]) -> Iterator[Diagnosis]:
    """Whether it is there, stopped, and known to Systems Manager; a release that is under way may have started it."""
    if busy := under_way():
        yield from doctor.busy(busy, Topic.BUILDER)
        return
    id_ = builder.find(calls, config)
    shown = calls.ec2.describe_instances(InstanceIds=[id_])["Reservations"][0]["Instances"][0]
    filters = [{"Key": "InstanceIds", "Values": [id_]}]
    agents = calls.ssm.describe_instance_information(Filters=filters)["InstanceInformationList"]
    agent = agents[0] if agents else {}
    heard = agent.get("LastPingDateTime")
    yield from doctor.builder(
        BuilderSettings(
            id=id_,
            profile=shown.get("IamInstanceProfile", {}).get("Arn", "").rpartition("/")[2],
            agent=agent.get("PingStatus", ""),
            heard=f"{heard:%Y-%m-%d}" if heard else "",
        )
    )


# --- quotas and addresses ------------------------------------------------------------------------


def vcpus(calls: Calls, blue: GroupSettings) -> Iterator[Diagnosis]:
    """Whether the quotas of vCPUs that blue's instances count against let as many run again."""
    for use in capacity.vcpus(calls, blue.name, mixed=blue.mixed):
        yield doctor.quota(use) if use else doctor.unseen(Topic.QUOTAS, f"vCPUs: {capacity.UNKNOWN_QUOTA}")


def images(calls: Calls) -> Iterator[Diagnosis]:
    """Whether the region's quota lets another image be made; all images of the account count."""
    pages = calls.ec2.get_paginator("describe_images").paginate(
        Owners=["self"], IncludeDeprecated=True, PaginationConfig={"PageSize": PAGE}
    )
    used = sum(len(page["Images"]) for page in islice(pages, PAGES))
    said = capacity.quota(calls, IMAGES_QUOTA)
    yield doctor.quota(Use("images", used, 1, float(said["Value"]), IMAGES_QUOTA))


def balancer(calls: Calls, blue: GroupSettings) -> Iterator[Diagnosis]:
    """Whether the load balancers take both groups' targets."""
    behind = traffic.balancers_behind(_described(calls, blue))
    targets = traffic.targets(calls, blue.target_groups)
    yield from map(doctor.quota, capacity.targets(calls, behind, targets, blue.size))


def addresses(calls: Calls, blue: GroupSettings) -> Iterator[Diagnosis]:
    """Whether blue's subnets have addresses for as many instances again."""
    if not blue.subnets:
        yield doctor.unseen(Topic.ADDRESSES, f"{blue.name} names no subnets")
        return
    yield doctor.addresses(blue, capacity.free(calls, blue.subnets))
