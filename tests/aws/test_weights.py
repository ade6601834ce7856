"""Weights on a pretend load balancer: read, judged before a release, moved without touching anything else."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from bluegreen import phases
from bluegreen.config import parse
from bluegreen.errors import AwsError, ConfigError, Refused
from bluegreen.events import Outcome, Phase, Reason, Verb
from bluegreen.observation import Baseline, FindingKey
from lab.routing import COOKIE, RoutedRequest, Turns, cookie, stuck, table_of
from tests.worlds.account import AwsStage

STICKY = {"Enabled": True, "DurationSeconds": 3600}
OIDC = {
    "Issuer": "https://id.example.com",
    "AuthorizationEndpoint": "https://id.example.com/authorize",
    "TokenEndpoint": "https://id.example.com/token",
    "UserInfoEndpoint": "https://id.example.com/userinfo",
    "ClientId": "web",
}
PATH = [{"Field": "path-pattern", "PathPatternConfig": {"Values": ["/admin*"]}}]
HEADER = [{"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "x-preview", "Values": ["green"]}}]


class Weighted(AwsStage):
    """A service behind two target groups, of which the second is idle."""

    def __init__(self, **world: Any) -> None:
        super().__init__(weighted=True, **world)
        self.elb = self.client("elbv2")
        self.blue, self.green = self.world.target_groups

    def forward(self, blue: int | None, green: int | None, **more: Any) -> dict[str, Any]:
        """A forward action with these weights; None leaves the group out."""
        both = ((self.blue, blue), (self.green, green))
        groups = [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in both if weight is not None]
        return {"Type": "forward", "ForwardConfig": {"TargetGroups": groups, **more}}

    def listens(self, *actions: dict[str, Any]) -> Weighted:
        """The listener has this default action now."""
        self.elb.modify_listener(ListenerArn=self.world.listener, DefaultActions=list(actions))
        return self

    def rule(self, *actions: dict[str, Any], conditions: list[dict[str, Any]] = PATH, priority: int = 7) -> str:
        """One more rule; its ARN."""
        made = self.elb.create_rule(
            ListenerArn=self.world.listener, Priority=priority, Conditions=conditions, Actions=list(actions)
        )
        return str(made["Rules"][0]["RuleArn"])

    def configured(self, *listeners: str, soak: int = 60, **more: Any) -> Weighted:
        """The config names these listeners and rules."""
        traffic = {"target_groups": [self.blue, self.green], "overlap": 30, "steps": [0, 10, 50], **more}
        traffic["listeners"] = list(listeners) or [self.world.listener]
        self.config = parse(self.world.config(traffic=traffic, soak=soak))
        self.cloud = self.another_cloud()
        return self

    def shown(self) -> list[Any]:
        """Every listener and rule as AWS shows it, whole."""
        listeners = self.elb.describe_listeners(LoadBalancerArn=self.world.balancer)["Listeners"]
        rules = [self.elb.describe_rules(ListenerArn=one["ListenerArn"])["Rules"] for one in listeners]
        return [*listeners, *rules]

    def refused(self, kind: type[ConfigError | Refused] = ConfigError) -> str:
        """What the preflight says against it, having changed nothing."""
        with pytest.raises(kind) as told:
            self.baseline()
        assert self.changes() == []
        assert told.value.hint
        return f"{told.value} {told.value.hint}"


def without_weights(shown: Any) -> Any:
    """The same, with every weight taken out."""
    if isinstance(shown, dict):
        return {key: without_weights(value) for key, value in shown.items() if key != "Weight"}
    return [without_weights(one) for one in shown] if isinstance(shown, list) else shown


# --- before a release ---


def said(found: Baseline) -> str:
    """Everything that was found beside it."""
    return " ".join(one.said for one in found.findings)


def test_blue_s_target_group_is_the_one_with_the_weight() -> None:
    """Whichever of the two the config names first."""
    found = Weighted().baseline()
    assert found.idle_target_group.endswith(found.target_groups[1].rpartition(":")[2])
    stage = Weighted()
    stage.config = parse(
        stage.world.config(
            traffic={"target_groups": [stage.green, stage.blue], "listeners": [stage.world.listener], "overlap": 9}
        )
    )
    stage.cloud = stage.another_cloud()
    found = stage.baseline()
    assert found.idle_target_group == stage.green
    assert found.listeners == (stage.world.listener,)
    assert "open connections" in said(found)


@pytest.mark.parametrize(
    ("blue", "green", "says"),
    [
        (50, 50, "gives both target groups traffic"),
        (0, 0, "gives neither target group any traffic"),
        (100, 1, "Give one of them all the traffic"),
    ],
)
def test_weights_that_do_not_say_who_is_blue(blue: int, green: int, says: str) -> None:
    """Somebody's experiment, or a release that was left."""
    stage = Weighted()
    assert says in stage.listens(stage.forward(blue, green)).refused(Refused)


def test_listeners_that_do_not_agree() -> None:
    """Both are told, with what each says."""
    stage = Weighted()
    rule = stage.rule(stage.forward(0, 100))
    said = stage.configured(stage.world.listener, rule).refused(Refused)
    assert "disagree about blue" in said
    assert "gives web everything" in said
    assert "gives web-green everything" in said


def test_a_rule_that_is_not_named() -> None:
    """It would go on sending to blue; or show green to users who were not asked."""
    stage = Weighted()
    stage.rule(stage.forward(100, None), conditions=PATH)
    assert "rule 7 (path-pattern=/admin*) forwards to web too, and it would be cut off from blue" in stage.refused()
    stage = Weighted()
    rule = stage.rule(stage.forward(None, 1), conditions=HEADER)
    assert "forwards to web-green too, and it would show green before it serves" in stage.refused()
    assert stage.configured(preview=[rule]).baseline().previews == (rule,)


def another(arn: str) -> str:
    """An ARN like it, of nothing."""
    return arn[:-1] + ("0" if arn[-1] != "0" else "1")


def test_listeners_that_cannot_be_moved() -> None:
    """Each is named with its place in the config."""
    stage = Weighted()
    missing = another(stage.world.listener)
    assert (
        "traffic.listeners.1: there is no listener listener/app/web-lb"
        in stage.configured(stage.world.listener, missing).refused()
    )
    rule = stage.rule({"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}})
    assert "traffic.preview.0: listener-rule/app/" in stage.configured(preview=[rule]).refused()
    assert "there is no rule" in stage.configured(stage.world.listener, another(rule)).refused()


def test_another_target_group_with_weight() -> None:
    """A share of the traffic could not be told; with weight 0 it is left alone. Five are the most."""
    stage = Weighted()
    more = [
        stage.elb.create_target_group(Name=f"more-{n}", Protocol="HTTP", Port=80, VpcId=stage.world.vpc)[
            "TargetGroups"
        ][0]["TargetGroupArn"]
        for n in range(4)
    ]

    def with_more(green: int | None, *weights: int) -> Weighted:
        action = stage.forward(100, green)
        others = [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in zip(more, weights, strict=False)]
        action["ForwardConfig"]["TargetGroups"] += others
        return stage.listens(action)

    assert "gives traffic to more-0 too" in with_more(0, 5).refused()
    assert with_more(0, 0, 0, 0).baseline().idle_target_group == stage.green
    said = with_more(None, 0, 0, 0, 0).refused()
    assert "forwards to 5 target groups, and 5 are the most" in said
    assert "Make room for web-green" in said


def test_somebody_in_the_idle_target_group() -> None:
    """They would get green's share."""
    stage = Weighted()
    stage.elb.register_targets(
        TargetGroupArn=stage.green, Targets=[{"Id": one} for one in stage.fake.members("web-asg")]
    )
    said = stage.refused(Refused)
    assert "the idle target group web-green holds i-" in said
    assert "and 1 more" in said


def test_blue_in_the_wrong_target_group() -> None:
    """The listener says that the other one serves."""
    stage = Weighted()
    stage.listens(stage.forward(0, 100))
    assert "is not attached to web-green" in stage.refused()


@pytest.mark.parametrize(
    ("seconds", "soak", "says"),
    [
        (30, 60, "for 30s, independent of the weights: the soak is long enough, and a rollback leaves green for 30s"),
        (3600, 60, "the soak lasts 1h, not 1m, and a rollback leaves green for 1h"),
        (7200, 60, "the soak lasts 1h, not 1m, and a rollback leaves green for 1h; a client that returns later to a"),
        (7200, 7200, "the soak is long enough, and a rollback leaves green for 1h"),
    ],
)
def test_stickiness_is_warned_of(seconds: int, soak: int, says: str) -> None:
    """With how long it lasts, and what that means for a release."""
    stage = Weighted()
    stage.listens(stage.forward(100, 0, TargetGroupStickinessConfig={"Enabled": True, "DurationSeconds": seconds}))
    stage.configured(soak=soak)
    found = stage.baseline()
    sticky = next(one for one in found.findings if one.key is FindingKey.STICKY_CLIENTS)
    assert says in sticky.said
    assert ("gets 503" in sticky.harm) == (seconds > max(soak, 3600))
    assert found.stickiness == seconds


def test_stickiness_that_is_off() -> None:
    """Its duration means nothing then."""
    stage = Weighted()
    stage.listens(stage.forward(100, 0, TargetGroupStickinessConfig={"Enabled": False, "DurationSeconds": 3600}))
    found = stage.baseline()
    assert found.stickiness == 0
    assert "keeps clients" not in said(found)


def test_a_network_load_balancer_whose_action_names_both() -> None:
    """Its weights count for connections, which is said; the release works."""
    stage = Weighted(network=True).configured()
    assert "apply to new connections" in said(stage.baseline())
    assert stage.go_to_the_end().outcome is Outcome.LIVE


def test_a_network_load_balancer_without_weights() -> None:
    """Refused, with the reason and the way out."""
    stage = Weighted(network=True)
    stage.listens({"Type": "forward", "TargetGroupArn": stage.blue})
    said = stage.refused()
    assert "a Network Load Balancer needs them in its action" in said
    assert "or share the target groups" in said


def test_a_listener_that_names_only_blue_s() -> None:
    """The idle target group is added with weight 0, so that it is health-checked; then it is as any other."""
    stage = Weighted()
    stage.listens({"Type": "forward", "TargetGroupArn": stage.blue})
    stage.configured().go_to(Phase.OVERLAPPING)
    assert stage.fake.weights(stage.world.listener) == {stage.blue: 100, stage.green: 0}
    assert stage.go_to_the_end().outcome is Outcome.LIVE
    assert stage.fake.weights(stage.world.listener) == {stage.blue: 0, stage.green: 100}


# --- moving them ---


def furnished() -> Weighted:
    """Authentication, stickiness, two rules and a preview."""
    stage = Weighted()
    login = {"Type": "authenticate-oidc", "Order": 1, "AuthenticateOidcConfig": {**OIDC, "ClientSecret": "hush"}}
    made = stage.client("iam").upload_server_certificate(
        ServerCertificateName="web", CertificateBody="certificate", PrivateKey="key"
    )
    certificate = made["ServerCertificateMetadata"]["Arn"]
    stage.elb.modify_listener(
        ListenerArn=stage.world.listener,
        Protocol="HTTPS",
        Port=443,
        SslPolicy="ELBSecurityPolicy-TLS13-1-2-2021-06",
        Certificates=[{"CertificateArn": certificate}],
        DefaultActions=[login, {**stage.forward(100, 0, TargetGroupStickinessConfig=STICKY), "Order": 2}],
    )
    rules = [
        stage.rule(login, {**stage.forward(1, 0), "Order": 2}, priority=7),
        stage.rule(stage.forward(999, 0, TargetGroupStickinessConfig=STICKY), conditions=HEADER, priority=8),
    ]
    host = [{"Field": "host-header", "HostHeaderConfig": {"Values": ["preview.example.com"]}}]
    preview = stage.rule(stage.forward(0, 1), conditions=host, priority=9)
    return stage.configured(stage.world.listener, *rules, preview=[preview])


def share(weights: dict[str, int], arn: str) -> float:
    """Its part of all weight, in percent."""
    return 100 * weights[arn] / sum(weights.values())


@pytest.mark.parametrize("left", [None, Phase.CHECKING, Phase.OVERLAPPING, Phase.SWITCHING, Phase.SOAKING])
def test_nothing_but_weights_is_changed(left: Phase | None) -> None:
    """By a release, and by a rollback out of each phase: compared whole."""
    stage = furnished()
    before = stage.shown()
    if left is None:
        assert stage.go_to_the_end().outcome is Outcome.LIVE
    else:
        stage.go_to(left)
        for _ in range(2):
            stage.step()
        stage.enters(Phase.ROLLING_BACK, reason=Reason.ORDERED, message="because")
        assert stage.go_to_the_end().outcome is Outcome.ROLLED_BACK
    after = stage.shown()
    assert without_weights(after) == without_weights(before)
    green = 100 if left is None else 0
    listeners = (*stage.release.listeners, *stage.release.previews)
    assert [share(stage.fake.weights(arn), stage.green) for arn in listeners] == [green] * 4


def test_the_way_back_is_one_call_a_listener() -> None:
    """Counted: from the order to all traffic on blue nothing else is changed."""
    stage = furnished().go_to(Phase.SOAKING)
    stage.enters(Phase.ROLLING_BACK, reason=Reason.ORDERED, message="because")
    before = len(stage.changes())
    while stage.observe().share("green") != 0:
        stage.step()
    moved = stage.changes()[before:]
    assert sorted(moved) == ["elbv2:ModifyListener", *["elbv2:ModifyRule"] * 3]


def test_a_shift_that_is_made_already_costs_no_call() -> None:
    """And one that was made in part is completed."""
    stage = furnished().go_to(Phase.OVERLAPPING)
    before = len(stage.changes())
    stage.perform(Verb.SHIFT, share=0)
    assert stage.changes()[before:] == []
    stage.perform(Verb.SHIFT, share=10)
    assert len(stage.changes()[before:]) == 3, "the preview shows green already"


def test_a_listener_that_goes_away() -> None:
    """The shift says which; the look tells that green's share is unknown, and nothing is taken for safe."""
    stage = furnished().go_to(Phase.OVERLAPPING)
    rule = stage.release.listeners[1]
    stage.elb.delete_rule(RuleArn=rule)
    with pytest.raises(AwsError, match=r"listener-rule/app/.* does not exist"):
        stage.perform(Verb.SHIFT, share=10)
    seen = stage.observe()
    assert seen.shares is not None
    assert seen.shares[rule] is None
    assert seen.in_traffic("blue")
    assert seen.in_traffic("green")
    stage.listens({"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "503"}})
    with pytest.raises(AwsError, match="forwards to neither target group"):
        stage.perform(Verb.SHIFT, share=0)


def test_a_group_attached_as_a_traffic_source() -> None:
    """Green joins in the way in which blue was joined."""
    stage = Weighted(traffic_source=True).go_to(Phase.OVERLAPPING)
    shown = stage.client("autoscaling").describe_traffic_sources(AutoScalingGroupName=stage.release.green_group)
    assert [one["Identifier"] for one in shown["TrafficSources"]] == [stage.green]


# --- clients who stick ---


class Loyal(Weighted):
    """One more client at each step, who keeps the cookie that comes with the first answer, and asks at every step."""

    def __init__(self, seconds: int) -> None:
        super().__init__()
        self.listens(self.forward(100, 0, TargetGroupStickinessConfig={"Enabled": True, "DurationSeconds": seconds}))
        self.configured(soak=60)
        self.cookies: list[str] = []
        self.unanswered: list[str] = []  # in which phase, by which target group
        self.answered: Counter[str] = Counter()
        self._turns = Turns()

    def step(self) -> phases.Decision:
        """As ever, then everybody asks."""
        decision = super().step()
        now = self.clock.now()
        way = table_of(self.fake, self.world.listener)(RoutedRequest())
        first = self._turns.group(way.pools)
        assert first is not None
        self.cookies.append(cookie(first, now + way.sticky))
        for one in self.cookies:
            if pool := stuck(way, {COOKIE: one}, now):
                self.answered[pool.name] += 1
                self.unanswered += [] if pool.candidates() else [f"{self.release.phase}: {pool.name}"]
        return decision


@pytest.mark.parametrize("left", [None, Phase.OVERLAPPING, Phase.SOAKING])
def test_clients_who_stick_are_answered_all_the_time(left: Phase | None) -> None:
    """A target group that lost its weight is not emptied before they follow: blue's or, after a rollback, green's."""
    stage = Loyal(600)
    if left is None:
        assert stage.go_to_the_end().outcome is Outcome.LIVE
        assert stage.release.entered[Phase.RETIRING] - stage.release.entered[Phase.SOAKING] >= 600
    else:
        stage.go_to(left)
        while len(stage.answered) < 2:
            stage.step()
        stage.enters(Phase.ROLLING_BACK, reason=Reason.ORDERED, message="because")
        ordered = stage.clock.now()
        assert stage.go_to_the_end().outcome is Outcome.ROLLED_BACK
        assert 600 < stage.clock.now() - ordered < 800
    assert stage.unanswered == []
    assert len(stage.answered) == 2, "some of them stuck to each"


def test_clients_who_stick_for_days_are_not_waited_for() -> None:
    """A release does not take days, and `plan` said what becomes of them."""
    stage = Loyal(7200)
    assert stage.go_to_the_end().outcome is Outcome.LIVE
    assert 3600 <= stage.release.entered[Phase.RETIRING] - stage.release.entered[Phase.SOAKING] < 3700
    assert {one.partition(":")[0] for one in stage.unanswered} <= {Phase.RETIRING}


# --- others ---


def edit_weights(stage: Weighted) -> str:
    """Somebody gives both the same."""
    stage.listens(stage.forward(50, 49))
    return "of the traffic; this release had set"


def edit_stickiness(stage: Weighted) -> str:
    """Somebody makes clients stick."""
    weights = stage.fake.weights(stage.world.listener)
    stage.listens(stage.forward(weights[stage.blue], weights[stage.green], TargetGroupStickinessConfig=STICKY))
    return "someone changed the load balancer: gone: listener"


def add_rule(stage: Weighted) -> str:
    """Somebody sends a part of the users to blue whatever we do."""
    stage.rule(stage.forward(1, None))
    return "new: listener HTTP:80"


def detach_blue(stage: Weighted) -> str:
    """Somebody takes blue out."""
    stage.client("autoscaling").detach_load_balancer_target_groups(
        AutoScalingGroupName=stage.release.blue_group, TargetGroupARNs=[stage.blue]
    )
    return "web-asg was taken out of the load balancer"


def detach_green(stage: Weighted) -> str:
    """Somebody takes green out."""
    stage.client("autoscaling").detach_load_balancer_target_groups(
        AutoScalingGroupName=stage.release.green_group, TargetGroupARNs=[stage.green]
    )
    return "web-production-v1 was taken out of the load balancer"


#: What may still be done before the edit is seen: an image and green are made, without any traffic.
HARMLESS = {
    "StartInstances",
    "SendCommand",
    "StopInstances",
    "CreateImage",
    "AttachLoadBalancerTargetGroups",
    "SuspendProcesses",
    "UpdateAutoScalingGroup",
    "CreateLaunchTemplateVersion",
    "CreateOrUpdateTags",
    "CreateAutoScalingGroup",
}
EDITS = [edit_weights, edit_stickiness, add_rule, detach_blue, detach_green]


EARLY = (Phase.BAKING, Phase.LAUNCHING, Phase.CHECKING)
EDITED = [
    (phase, edit)
    for phase in Phase
    for edit in EDITS
    if phase is not Phase.ROLLING_BACK
    if not (edit is detach_green and phase in EARLY)  # it is in no target group yet
    if edit in (edit_weights, detach_green) or phase is not Phase.RETIRING  # then these take nothing from green
]


@pytest.mark.parametrize(("phase", "edit"), EDITED)
def test_somebody_edits_by_hand(phase: Phase, edit: Any) -> None:
    """S9: it stops, says what it found, and breaks nothing; whoever serves goes on serving."""
    stage = Weighted()
    stage.go_to(Phase.OVERLAPPING if phase is Phase.HOLDING else phase)
    if phase is Phase.HOLDING:
        stage.enters(Phase.HOLDING)
    stage.clock.sleep(61)  # AWS shows what was done before
    says, before = edit(stage), len(stage.changes())
    weights = stage.fake.weights(stage.world.listener)
    found = stage.go_to_the_end()
    nothing_made = phase in (Phase.BAKING, Phase.LAUNCHING) and found.outcome is Outcome.ROLLED_BACK
    assert found.outcome is Outcome.FAILED or nothing_made
    assert found.reason is Reason.CHANGED_OUTSIDE
    assert says in found.message
    assert stage.fake.weights(stage.world.listener) == weights, "the listener is as they left it"
    assert len(stage.fake.members(stage.release.blue_group)) == 4
    done = {name.partition(":")[2] for name in stage.changes()[before:]}
    assert done <= HARMLESS, "nothing was fought"
