"""What is in the way of a release: broken set-ups, each named with its fix, before anything is changed."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from bluegreen import Until, doctor, iam_policy
from bluegreen.aws import account, examination
from bluegreen.config import parse
from bluegreen.doctor import Diagnosis, Rating, Topic
from bluegreen.errors import BlueGreenError
from bluegreen.tokens import examinations as asked_of_tokens
from lab.aws.client import Answers
from lab.aws.wire import Answer, Incoming
from lab.github import FakeGitHub
from lab.slack import FakeSlack
from tests.worlds import Ops, fast
from tests.worlds.github_description import description
from tests.worlds.release import small

BLOCKS, WARNS, UNSEEN = Rating.BLOCKS, Rating.WARNS, Rating.UNSEEN
#: Variables that name tokens: what the machine of a test has is not examined.
TOKENS = ("SLACK_BOT_TOKEN", "SLACK_API_URL", "GITHUB_TOKEN", "GITHUB_API_URL", "GITHUB_REPOSITORY")


@pytest.fixture(autouse=True)
def no_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what a test sets."""
    for name in TOKENS:
        monkeypatch.delenv(name, raising=False)


def well(**changes: Any) -> Ops:
    """A service that nothing is in the way of; what a release takes long for is short, but its soak."""
    return fast(checks=[], soak=60, **changes)


def examined(o: Ops, **options: Any) -> list[Diagnosis]:
    """The lines; nothing may be changed for them."""
    begun = len(o.aws.calls)
    found = o.engine().examine(o.config, **options)
    assert changes(o, begun) == []
    return found


def changes(o: Ops, begun: int) -> list[str]:
    """Calls since then that change something."""
    return [call.name for call in o.aws.calls[begun:] if call.mutating]


def begins(o: Ops) -> bool:
    """Whether a release begins; one that is refused has changed nothing."""
    begun = len(o.aws.calls)
    try:
        o.start(pack=lambda file: None)
    except BlueGreenError:
        assert changes(o, begun) == []
        return False
    return True


# --- how a set-up can be broken --------------------------------------------------------------------------


def expire(o: Ops) -> None:
    """The credentials are over."""
    o.aws.faults.fail("*", "ExpiredToken", "The security token included in the request is expired", None, status=403)


def lag(o: Ops) -> None:
    """This machine's clock is wrong, and AWS refuses what it signs."""
    o.skews = iter([-600.0] * 9)
    o.aws.faults.fail("*", "RequestExpired", "Request has expired.", None, status=403)


def drift(o: Ops) -> None:
    """It is a little wrong."""
    o.skews = iter([45.0] * 9)


def role(o: Ops, without: str = "", denies: str = "", boundary: str = "") -> None:
    """The caller is a role with the policy that is printed, less a statement, under others."""
    facts = account(o.config, None, o.aws.session())
    made = iam_policy.document(iam_policy.policy(o.config, facts, "bluegreen"))
    rows = [one for one in made["Statement"] if one["Sid"] != without]
    rows += [{"Effect": "Deny", "Action": denies, "Resource": "*"}] if denies else []
    iam, limits = o.world.client("iam"), {}
    if boundary:
        only = json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}})
        only = only.replace('"Action": "*"', f'"NotAction": "{boundary}"')
        arn = iam.create_policy(PolicyName="boundary", PolicyDocument=only)["Policy"]["Arn"]
        limits = {"PermissionsBoundary": arn}
    iam.create_role(RoleName="bluegreen", Path="/ci/", AssumeRolePolicyDocument="{}", **limits)
    policy = json.dumps({"Version": "2012-10-17", "Statement": rows})
    iam.put_role_policy(RoleName="bluegreen", PolicyName="releases", PolicyDocument=policy)
    o.aws.identity.arn = f"arn:aws:sts::{o.aws.account}:assumed-role/bluegreen/session"


def lack(o: Ops) -> None:
    """A statement is missing, and EC2 says so to a dry run."""
    role(o, without="LaunchGreen")
    o.aws.faults.deny("ec2:RunInstances")


def lack_a_read(o: Ops) -> None:
    """One that a release can do without."""
    role(o, denies="kms:DescribeKey")


def forbid(o: Ops) -> None:
    """Another policy denies it."""
    role(o, denies="autoscaling:CreateAutoScalingGroup")


def bound(o: Ops) -> None:
    """The permissions boundary does not have it."""
    role(o, boundary="elasticloadbalancing:*")


def may_not_ask(o: Ops) -> None:
    """The simulator may not be asked, and EC2 says no to a dry run."""
    role(o)
    o.aws.faults.deny("iam:SimulatePrincipalPolicy")
    o.aws.faults.deny("ec2:RunInstances")


def table(o: Ops, *keys: str, **more: Any) -> None:
    """A table with these keys."""
    o.world.client("dynamodb").create_table(
        TableName="bluegreen",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
        KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)],
    )


def foreign_table(o: Ops) -> None:
    """Somebody else's."""
    table(o, "id")


def plain_table(o: Ops) -> None:
    """Ours, without a way back."""
    table(o, "pk", "sk")


def configured(**changes: Any) -> Callable[[Ops], None]:
    """The configuration says something else."""

    def change(o: Ops) -> None:
        o.config = o.config.model_validate({**o.config.to_dict(), **changes})

    return change


def packed(o: Ops) -> dict[str, Any]:
    """The builder gets the commit from a bucket."""
    builder = o.config.to_dict()["image"]["builder"]
    return {"builder": {**builder, "source": {"bucket": "packed"}}}


def groups(o: Ops, method: str, **arguments: Any) -> None:
    """Somebody changes blue."""
    getattr(o.world.client("autoscaling"), method)(AutoScalingGroupName=o.world.group, **arguments)


def suspend(o: Ops) -> None:
    """Somebody suspended what a release needs."""
    groups(o, "suspend_processes", ScalingProcesses=["Launch"])


def fall_ill(o: Ops) -> None:
    """An instance of blue no longer answers."""
    o.machines.kill(next(iter(o.aws.members(o.world.group))))
    o.clock.sleep(25)


def detach(o: Ops) -> None:
    """The load balancer sends blue nothing."""
    groups(o, "detach_load_balancer_target_groups", TargetGroupARNs=[o.world.target_group])


def second_target_group(o: Ops) -> str:
    """The ARN of another one."""
    made = o.world.client("elbv2").create_target_group(Name="more", Protocol="HTTP", Port=80, VpcId=o.world.vpc)
    return str(made["TargetGroups"][0]["TargetGroupArn"])


def attach_another(o: Ops) -> None:
    """Blue serves where the configuration does not say."""
    groups(o, "attach_load_balancer_target_groups", TargetGroupARNs=[second_target_group(o)])


def follow(o: Ops) -> None:
    """Another group launches whatever is latest."""
    o.world.client("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName="worker",
        MinSize=0,
        MaxSize=1,
        VPCZoneIdentifier=o.world.subnets[0],
        LaunchTemplate={"LaunchTemplateId": o.world.template, "Version": "$Latest"},
    )


def refresh(o: Ops) -> None:
    """Somebody replaces blue's instances."""
    groups(o, "start_instance_refresh")


def keep(o: Ops) -> None:
    """Another tool of AWS's made the group."""
    tag = {"Key": "elasticbeanstalk:environment-name", "Value": "web", "PropagateAtLaunch": False}
    rows = [{**tag, "ResourceId": o.world.group, "ResourceType": "auto-scaling-group"}]
    o.world.client("autoscaling").create_or_update_tags(Tags=rows)


def no_more_groups(o: Ops) -> None:
    """The account has as many as it may."""
    o.aws.engine.state.most_groups = 1


def start_builder(o: Ops) -> None:
    """Somebody works on it."""
    o.world.client("ec2").start_instances(InstanceIds=[o.world.builder])
    o.clock.sleep(60)


def rename_builder(o: Ops) -> None:
    """Nobody finds it any more."""
    o.world.client("ec2").create_tags(Resources=[o.world.builder], Tags=[{"Key": "Name", "Value": "other"}])


def serve_with_builder(o: Ops) -> None:
    """It is stopped, and registered."""
    start_builder(o)
    targets = [{"Id": o.world.builder}]
    o.world.client("elbv2").register_targets(TargetGroupArn=o.world.target_group, Targets=targets)
    o.world.client("ec2").stop_instances(InstanceIds=[o.world.builder])
    o.clock.sleep(60)


def elb(o: Ops) -> None:
    """ELB health checks from the first second."""
    groups(o, "update_auto_scaling_group", HealthCheckType="ELB", HealthCheckGracePeriod=0)


def attribute(key: str, value: str) -> Callable[[Ops], None]:
    """An attribute of the target group."""

    def change(o: Ops) -> None:
        said = [{"Key": key, "Value": value}]
        if key.startswith("stickiness"):
            said += [{"Key": "stickiness.enabled", "Value": "true"}, {"Key": "stickiness.type", "Value": "lb_cookie"}]
        arn = o.world.target_group
        o.world.client("elbv2").modify_target_group_attributes(TargetGroupArn=arn, Attributes=said)

    return change


def check_slowly(o: Ops) -> None:
    """A target is healthy after most of an hour."""
    settings = {"HealthCheckIntervalSeconds": 300, "HealthyThresholdCount": 10, "HealthCheckTimeoutSeconds": 60}
    o.world.client("elbv2").modify_target_group(TargetGroupArn=o.world.target_group, **settings)


def few(code: str, value: float) -> Callable[[Ops], None]:
    """A quota of EC2."""
    return lambda o: o.aws.quotas.values.update({code: value})


def few_targets(o: Ops) -> None:
    """The load balancer takes fewer than both groups have."""
    o.aws.quotas.balancing["targets-per-application-load-balancer"] = 3


def crowd(o: Ops) -> None:
    """Blue's subnet is small and nearly full."""
    ec2 = o.world.client("ec2")
    made = ec2.create_subnet(VpcId=o.world.vpc, CidrBlock="172.31.240.0/28")["Subnet"]["SubnetId"]
    ec2.run_instances(ImageId=o.world.image, MinCount=10, MaxCount=10, SubnetId=made)
    groups(o, "update_auto_scaling_group", VPCZoneIdentifier=made)


def instance(o: Ops) -> str:
    """The id of an instance that stands beside the group."""
    ec2 = o.world.client("ec2")
    made = ec2.run_instances(ImageId=o.world.image, MinCount=1, MaxCount=1, SubnetId=o.world.subnets[0])
    return str(made["Instances"][0]["InstanceId"])


def second_builder(o: Ops) -> None:
    """Two instances bear its name."""
    o.world.client("ec2").create_tags(Resources=[instance(o)], Tags=[{"Key": "Name", "Value": "web-builder"}])


def no_listener(o: Ops) -> None:
    """Nothing leads to the target group any more."""
    elbv2 = o.world.client("elbv2")
    for one in elbv2.describe_listeners(LoadBalancerArn=o.world.balancer)["Listeners"]:
        elbv2.delete_listener(ListenerArn=one["ListenerArn"])


def addresses(o: Ops) -> None:
    """A target group that Auto Scaling cannot register instances in."""
    made = {"Protocol": "HTTP", "Port": 80, "VpcId": o.world.vpc, "TargetType": "ip"}
    o.world.client("elbv2").create_target_group(Name="ips", **made)
    configured(traffic={"target_groups": ["web", "ips"]})(o)


def deploy(o: Ops) -> None:
    """CodeDeploy deploys to the group."""
    name = "CodeDeploy-managed-automatic-launch-deployment-hook-web-1"
    hook = {"LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING", "RoleARN": "arn:aws:iam::123456789012:role/x"}
    groups(o, "put_lifecycle_hook", LifecycleHookName=name, **hook)


def freeze(o: Ops) -> None:
    """Somebody froze the service."""
    o.engine().freeze(o.config.id, who="arn:aws:iam::1:user/ann", why="the sale")


def deny(operation: str) -> Callable[[Ops], None]:
    """A read is not permitted."""
    return lambda o: o.aws.faults.deny(operation)


@dataclass(frozen=True)
class Broken:
    """A set-up: which line names it, in which words, and whether a release begins nevertheless."""

    how: Callable[[Ops], object]
    topic: Topic
    rating: Rating
    said: str
    fix: str
    begins: bool = False


CREDENTIALS, CLOCK, PERMISSIONS, JOURNAL = Topic.CREDENTIALS, Topic.CLOCK, Topic.PERMISSIONS, Topic.JOURNAL
SET_UPS = {
    "expired credentials": Broken(
        expire, CREDENTIALS, BLOCKS, "token included in the request is expired", "Renew the AWS"
    ),
    "a clock that AWS refuses": Broken(lag, CLOCK, BLOCKS, "10m behind AWS's, and AWS refuses", "Correct it"),
    "a clock that is off": Broken(drift, CLOCK, WARNS, r"4\ds ahead of AWS's", "Correct it", begins=True),
    "a missing statement": Broken(
        lack,
        PERMISSIONS,
        BLOCKS,
        "ec2:RunInstances is not allowed",
        "statement that is missing: LaunchGreen",
    ),
    "a denied read": Broken(
        lack_a_read, PERMISSIONS, WARNS, "kms:DescribeKey is not allowed", "Ask who keeps", begins=True
    ),
    "an explicit deny": Broken(
        forbid,
        PERMISSIONS,
        BLOCKS,
        "CreateAutoScalingGroup is not allowed, by an explicit deny",
        "Ask who",
        begins=True,
    ),
    "a permissions boundary": Broken(
        bound, PERMISSIONS, BLOCKS, "not allowed, by the role's permissions boundary", "Ask who keeps", begins=True
    ),
    "no simulator": Broken(
        may_not_ask, PERMISSIONS, BLOCKS, r"ec2:RunInstances is not allowed \(EC2 DryRun\)", "LaunchGreen"
    ),
    "a table of others": Broken(foreign_table, JOURNAL, BLOCKS, "other keys than `pk` and `sk`", "BLUEGREEN_TABLE"),
    "a table without recovery": Broken(
        plain_table, JOURNAL, WARNS, "no point-in-time recovery", "update-continuous-backups", begins=True
    ),
    "no such group": Broken(
        configured(group="wbe-asg"), Topic.GROUP, BLOCKS, "no Auto Scaling group `wbe-asg`", "web-asg"
    ),
    "a suspended process": Broken(suspend, Topic.GROUP, BLOCKS, "web-asg has Launch suspended", "Resume it"),
    "an unhealthy group": Broken(fall_ill, Topic.GROUP, BLOCKS, "not completely healthy", "--cure"),
    "no such target group": Broken(
        configured(traffic={"target_groups": ["wbe"]}),
        Topic.TRAFFIC,
        BLOCKS,
        "no target group `wbe`",
        "Did you mean `web`",
    ),
    "a detached group": Broken(detach, Topic.TRAFFIC, BLOCKS, "web-asg is not attached to web", "Attach the group"),
    "a target group too few": Broken(attach_another, Topic.TRAFFIC, BLOCKS, "also attached to more", "List it too"),
    "a shared template": Broken(follow, Topic.FINDINGS, BLOCKS, r"worker launches by \$Latest", "Put it on a version"),
    "an instance refresh": Broken(refresh, Topic.FINDINGS, BLOCKS, "refresh", "cancel"),
    "a group of Elastic Beanstalk": Broken(
        keep, Topic.FINDINGS, BLOCKS, "Elastic Beanstalk environment", "Release it with"
    ),
    "no group more": Broken(
        no_more_groups, Topic.QUOTAS, BLOCKS, "the account has 1 Auto Scaling groups", "raise the quota"
    ),
    "few vCPUs": Broken(
        few("L-1216C47A", 6),
        Topic.QUOTAS,
        BLOCKS,
        "4 used, 4 more for green, quota 6",
        "quota-code L-1216C47A",
    ),
    "few images": Broken(few("L-B665C33B", 1), Topic.QUOTAS, WARNS, "images: 1 used", "L-B665C33B", begins=True),
    "few targets": Broken(few_targets, Topic.QUOTAS, BLOCKS, "targets of web-lb: 2 used", "Ask AWS to raise"),
    "no address": Broken(
        crowd, Topic.ADDRESSES, BLOCKS, "addresses: 1 left in subnet-.*, 2 needed for green", "another subnet"
    ),
    "a running builder": Broken(start_builder, Topic.BUILDER, BLOCKS, "is running", "stop it, then release again"),
    "no builder": Broken(
        rename_builder, Topic.BUILDER, BLOCKS, "no instance with the Name `web-builder`", "Correct it"
    ),
    "no bucket": Broken(
        lambda o: configured(image=packed(o))(o), Topic.BUILDER, BLOCKS, "there is no bucket `packed`", "Create it"
    ),
    "a builder that serves": Broken(
        serve_with_builder, Topic.BUILDER, BLOCKS, "is in the target group web", "Deregister it"
    ),
    "a builder without SSM": Broken(
        lambda o: None,
        Topic.BUILDER,
        WARNS,
        "SSM has never heard an agent",
        "AmazonSSMManagedInstanceCore",
        begins=True,
    ),
    "no grace": Broken(elb, Topic.HEALTH, WARNS, "no grace period", "--health-check-grace-period 60", begins=True),
    "a long delay": Broken(
        attribute("deregistration_delay.timeout_seconds", "1800"),
        Topic.HEALTH,
        WARNS,
        "keeps leaving targets for 30m",
        "Lower its deregistration delay",
        begins=True,
    ),
    "clients that stick": Broken(
        attribute("stickiness.lb_cookie.duration_seconds", "86400"),
        Topic.HEALTH,
        WARNS,
        "stay with one instance for 1d, the soak is 1m",
        "Lower the duration of its stickiness",
        begins=True,
    ),
    "a slow start": Broken(
        attribute("slow_start.duration_seconds", "300"),
        Topic.HEALTH,
        WARNS,
        "over 5m, but the overlap is 4s",
        "Raise `traffic.overlap`",
        begins=True,
    ),
    "slow health checks": Broken(
        check_slowly, Topic.HEALTH, WARNS, "needs 50m to be healthy", "raise `timeouts.healthy`", begins=True
    ),
    "a read that a release may not": Broken(
        deny("elbv2:DescribeListeners"),
        Topic.GROUP,
        BLOCKS,
        "needs elasticloadbalancing:DescribeListeners, and so does a release",
        "Add elasticloadbalancing:DescribeListeners",
    ),
    "a journal that a release may not read": Broken(
        deny("dynamodb:GetItem"),
        JOURNAL,
        BLOCKS,
        "needs dynamodb:GetItem on the table `bluegreen`, and so does a release",
        "Add dynamodb:GetItem",
    ),
    "a table that may not be looked at": Broken(
        deny("dynamodb:DescribeTable"),
        JOURNAL,
        BLOCKS,
        "needs dynamodb:DescribeTable on the table `bluegreen`, and so does a release",
        "Add dynamodb:DescribeTable",
    ),
    "two builders": Broken(
        second_builder, Topic.BUILDER, BLOCKS, "2 instances have the Name `web-builder`", "Name the builder by"
    ),
    "no listener": Broken(no_listener, Topic.TRAFFIC, BLOCKS, "no load balancer forwards to", "Let a listener or rule"),
    "targets that are addresses": Broken(
        addresses, Topic.TRAFFIC, BLOCKS, "`ips` has targets of type ip", "use a target group of that type"
    ),
    "a group of CodeDeploy": Broken(deploy, Topic.FINDINGS, BLOCKS, "CodeDeploy deploys to web-asg", ""),
    "half a pair": Broken(
        configured(group=None, groups=["web-asg", "web-b"], retire="empty"),
        Topic.GROUP,
        BLOCKS,
        "no Auto Scaling group `web-b`",
        "web-asg",
    ),
    "a group that is being deleted": Broken(
        lambda o: groups(o, "delete_auto_scaling_group", ForceDelete=True),
        Topic.GROUP,
        BLOCKS,
        "is being deleted",
        "Set `group`",
    ),
    "a release under way": Broken(
        begins, JOURNAL, BLOCKS, "web/production#1 is under way", "`bluegreen status` shows it"
    ),
    "a freeze": Broken(
        freeze, Topic.FINDINGS, BLOCKS, "is frozen by arn:aws:iam::1:user/ann", "bluegreen unfreeze web/production"
    ),
    "no such image": Broken(
        configured(image={"ami": "ami-0123456789abcdef0"}),
        Topic.FINDINGS,
        BLOCKS,
        "there is no image `ami-0123456789abcdef0`",
        "Correct the id",
    ),
    "no such parameter": Broken(
        configured(image={"ami": "resolve:ssm:/web/image"}),
        Topic.FINDINGS,
        BLOCKS,
        "there is no SSM parameter `/web/image`",
        "Correct the name",
    ),
    "groups that may not be read": Broken(
        deny("autoscaling:DescribeAutoScalingGroups"),
        Topic.GROUP,
        BLOCKS,
        "needs autoscaling:DescribeAutoScalingGroups, and so does a release",
        "Add autoscaling:DescribeAutoScalingGroups",
    ),
    "images that may not be read": Broken(
        deny("ec2:DescribeImages"),
        Topic.GROUP,
        BLOCKS,
        "needs ec2:DescribeImages, and so does a release",
        "Add ec2:DescribeImages",
    ),
    "a read that doctor may not": Broken(
        deny("ec2:DescribeSubnets"),
        Topic.ADDRESSES,
        UNSEEN,
        "needs ec2:DescribeSubnets",
        "Add ec2:DescribeSubnets",
        begins=True,
    ),
}


def test_of_thirty_broken_set_ups_a_release_knows_before_it_begins() -> None:
    """Each line has one of which a release is sure to fail, but for four.

    A release needs neither Slack nor GitHub; a policy that allows too much does it no harm; and with health checks that
    may hurt, blue itself serves.
    """
    refused = [broken.topic for broken in SET_UPS.values() if not broken.begins]
    assert len(refused) >= 30
    assert set(refused) == set(Topic) - {Topic.SLACK, Topic.GITHUB, Topic.POLICY, Topic.HEALTH}


def test_nothing_is_in_the_way_of_a_good_set_up() -> None:
    """Every line is good, but for a table that the first release makes, and for what this world lacks."""
    o = well()
    start_builder(o)
    o.world.client("ec2").stop_instances(InstanceIds=[o.world.builder])
    o.clock.sleep(60)
    role(o)
    plain_table(o)
    backups = {"PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True}}
    o.world.client("dynamodb").update_continuous_backups(TableName="bluegreen", **backups)
    found = examined(o)
    assert [one for one in found if one.rating in (BLOCKS, WARNS)] == []
    assert {one.topic for one in found if one.rating is UNSEEN} == {Topic.SLACK, Topic.GITHUB}
    assert {one.topic for one in found} == set(Topic)
    assert begins(o)


@pytest.mark.parametrize("broken", SET_UPS.values(), ids=SET_UPS)
def test_a_broken_set_up_is_named(broken: Broken) -> None:
    """With its fix, by its line; and a release is refused before it changes anything, if it can be known then."""
    o = well()
    broken.how(o)
    found = examined(o)
    named = [one for one in found if one.topic is broken.topic and re.search(broken.said, one.said)]
    assert len({(one.said, one.rating) for one in found if one.rating is BLOCKS}) <= 2  # one cause, few lines
    assert [one.rating for one in named] == [broken.rating], found
    assert broken.fix in named[0].fix
    assert begins(o) is broken.begins


def test_a_role_that_may_more_than_it_needs() -> None:
    """Of somebody else's role it is warned; one's own may be a person's. Attached policies count, too."""
    o = well()
    role(o)
    assert [one.rating for one in examined(o, role="bluegreen") if one.topic is Topic.POLICY] == [Rating.GOOD]
    iam = o.world.client("iam")
    wide = json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}})
    iam.attach_role_policy(
        RoleName="bluegreen", PolicyArn=iam.create_policy(PolicyName="more", PolicyDocument=wide)["Policy"]["Arn"]
    )
    arn = f"arn:aws:iam::{o.aws.account}:role/ci/bluegreen"
    line = next(one for one in examined(o, role=arn) if one.topic is Topic.POLICY)
    assert (line.rating, line.said) == (WARNS, f"{arn} has more than a release needs: s3:*")
    assert [one.rating for one in examined(o) if one.topic is Topic.POLICY] == [Rating.GOOD]


def test_what_a_group_of_a_hundred_costs() -> None:
    """In calls: whoever waits at night waits for them, though most go side by side. Prints the seconds of its own."""
    o = Ops(instances=100, weighted=True, rules=True, changes={"checks": [{"name": "unit", "run": "true", "needs": 1}]})
    role(o)
    begun, clock = len(o.aws.calls), time.perf_counter()
    found = examined(o)
    print(f"{len(o.aws.calls) - begun} calls, {time.perf_counter() - clock:.1f} s")
    assert len(o.aws.calls) - begun <= 60
    assert any("200 used, 200 more for green" in one.said for one in found), found
    assert [one.said for one in found if one.topic is Topic.TRAFFIC] == ["web-asg serves in web"]  # not in the idle one


@pytest.fixture(scope="module")
def chat() -> Iterator[FakeSlack]:
    """A workspace where the bot has its manifest's scopes, and is in its channel."""
    made = FakeSlack(scopes=doctor.SCOPES, channels={"C0DEPLOYS": "deploys", "C0OTHER": "other"})
    yield made
    made.close()


@pytest.fixture(scope="module")
def forge() -> Iterator[FakeGitHub]:
    """A repository, and the token that sees it."""
    made = FakeGitHub(description(), token="ghs_lab")
    yield made
    made.close()


@pytest.fixture
def tokens(chat: FakeSlack, forge: FakeGitHub, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Variables that name both, as they are well."""
    given = {
        "SLACK_BOT_TOKEN": chat.bot_token,
        "SLACK_API_URL": chat.url,
        "GITHUB_TOKEN": "ghs_lab",
        "GITHUB_API_URL": forge.url,
        "GITHUB_REPOSITORY": "acme/web",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    yield given
    chat.well()
    chat.scopes, chat.members = set(doctor.SCOPES), set(chat.channels)
    assert (chat.violations, forge.violations) == ([], [])


def of_tokens(channel: str = "C0DEPLOYS") -> list[tuple[Topic, Rating, str]]:
    """The lines about tokens, without AWS."""
    config = parse(small(slack={"channel": channel}))
    found = examination.side_by_side(asked_of_tokens(os.environ, config))
    return [(one.topic, one.rating, one.said) for one in found]


def test_tokens_that_are_well(tokens: dict[str, str], chat: FakeSlack) -> None:
    """With every scope, in the channel, and with access to the repository; nothing is posted."""
    assert {rating for _, rating, _ in of_tokens()} == {Rating.GOOD}
    assert (Topic.GITHUB, Rating.GOOD, "GitHub takes the token and reads acme/web") in of_tokens()
    assert chat.messages == []


@pytest.mark.parametrize(
    ("broken", "line"),
    [
        ({"SLACK_BOT_TOKEN": "xoxb-other"}, (Topic.SLACK, BLOCKS, "refuses SLACK_BOT_TOKEN: invalid_auth")),
        ({"scopes": {"chat:write", "channels:history"}}, (Topic.SLACK, BLOCKS, "lacks the scope commands")),
        ({"scopes": {*doctor.SCOPES, "users:read"}}, (Topic.SLACK, WARNS, "does not ask for: users:read")),
        ({"members": {"C0OTHER"}}, (Topic.SLACK, BLOCKS, "the bot is not in the channel C0DEPLOYS")),
        ({"SLACK_API_URL": "http://127.0.0.1:9/"}, (Topic.SLACK, UNSEEN, "Slack: no answer")),
        ({"GITHUB_TOKEN": "ghs_other"}, (Topic.GITHUB, BLOCKS, "GitHub refuses GITHUB_TOKEN")),
        ({"GITHUB_REPOSITORY": "acme/other"}, (Topic.GITHUB, BLOCKS, "does not see acme/other")),
        ({"GITHUB_REPOSITORY": ""}, (Topic.GITHUB, Rating.GOOD, "GitHub takes the token")),
        ({"GITHUB_TOKEN": ""}, (Topic.GITHUB, UNSEEN, "GITHUB_TOKEN is not set")),
    ],
)
def test_tokens_that_are_not(
    broken: dict[str, Any],
    line: tuple[Topic, Rating, str],
    tokens: dict[str, str],
    chat: FakeSlack,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each is a line; a release begins, and only Slack or GitHub shows nothing."""
    for name, value in broken.items():
        if name.isupper():
            monkeypatch.setenv(name, value)
        else:
            setattr(chat, name, value)
    assert [one for one in of_tokens() if one[:2] == line[:2] and line[2] in one[2]]


def test_a_token_follows_no_redirection(tokens: dict[str, str], forge: FakeGitHub) -> None:
    """It is for whom it was asked for; a page in place of an answer is no answer, either."""
    forge.fail("/repos", 302, Location=f"{forge.url}/rate_limit")
    begun = len(forge.asked)
    try:
        assert (Topic.GITHUB, UNSEEN, "GitHub answers with status 302") in of_tokens()
    finally:
        forge.well()
    assert len(forge.asked) == begun + 1


class Hanging:
    """An operation that is never answered, in earnest: no timeout ends it."""

    def __init__(self, operation: str) -> None:
        self.operation, self.over = operation, threading.Event()

    def watch(self, answers: Answers) -> Answers:
        """Answers to all others."""

        def answer(request: Incoming, recorded: bool) -> Answer:
            if request.name == self.operation:
                self.over.wait(60)
            return answers(request, recorded)

        return answer


def test_a_dry_run_is_tagged_as_the_real_request_is() -> None:
    """A policy asks for the tag of the snapshot, too: without it the release would be refused in vain."""
    o = well()
    asked: list[dict[str, Any]] = []

    class Seen:
        """Notes each order of an image."""

        def watch(self, answers: Answers) -> Answers:
            def answer(request: Incoming, recorded: bool) -> Answer:
                if request.name == "ec2:CreateImage":
                    asked.append(dict(request.direct or {}))
                return answers(request, recorded)

            return answer

    release = o.engine(Seen()).start(o.config, commit="c0ffee01aaaa", who="slack:U1")
    o.drive(release.id, death=Seen())
    kinds = [sorted(one["ResourceType"] for one in said["TagSpecifications"]) for said in asked]
    assert kinds == [["image", "snapshot"]] * 2


def test_an_endpoint_that_hangs_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others come meanwhile, and nobody waits for it."""
    o, hanging = well(), Hanging("ssm:DescribeInstanceInformation")
    monkeypatch.setattr(examination, "LIMIT", 0.5)
    try:
        found = o.engine(hanging).examine(o.config)
    finally:
        hanging.over.set()
    hung = [one for one in found if one.topic is Topic.BUILDER]
    assert [(one.rating, one.said) for one in hung] == [(UNSEEN, "no answer within 0.5 s")]
    assert "VPC endpoints" in hung[0].fix
    assert any(one.topic is Topic.GROUP and one.rating is Rating.GOOD for one in found)


def test_a_builder_that_runs_hides_nothing_else() -> None:
    """What comes behind it in the preflight is examined all the same."""
    o = well()
    start_builder(o)
    follow(o)
    found = {(one.topic, one.rating) for one in examined(o)}
    assert {(Topic.BUILDER, BLOCKS), (Topic.FINDINGS, BLOCKS), (Topic.GROUP, Rating.GOOD)} <= found
    assert (Topic.FINDINGS, UNSEEN) not in found


def test_a_release_that_is_under_way_is_not_taken_for_a_fault() -> None:
    """It has started the builder, or green serves beside blue: that says nothing of the next release."""
    o = well()
    release = o.start(hold=True)
    o.drive(release.id, until=Until.HELD)
    found = examined(o)
    assert [(one.topic, one.rating) for one in found if one.rating is BLOCKS] == [(Topic.JOURNAL, BLOCKS)]
    used = {one.topic for one in found if one.said == f"{release.id} uses it"}
    assert used == {Topic.GROUP, Topic.TRAFFIC, Topic.FINDINGS, Topic.BUILDER}
    assert not begins(o)
    o.engine().promote("web/production", who="slack:U1")
    o.drive(release.id)
    assert [one for one in examined(o) if one.rating is BLOCKS] == []


def test_a_role_that_does_not_exist() -> None:
    """It is named as it was given."""
    found = [one for one in examined(well(), role="nobody") if one.rating is BLOCKS]
    assert {one.topic for one in found} == {Topic.PERMISSIONS, Topic.POLICY}
    assert all(one.said.startswith("--role: there is no role `nobody` in account") for one in found)


def test_every_line_has_a_broken_set_up() -> None:
    """Those about tokens have tests of their own."""
    tokens = {Topic.SLACK, Topic.GITHUB}
    assert len(SET_UPS) >= 30
    assert {one.topic for one in SET_UPS.values()} == set(Topic) - tokens - {Topic.POLICY}
