"""Listeners and rules of the fake AWS: as strict as the real ones, and given back whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lab.aws import FakeAws
from lab.aws.wire import _json, _model, incoming, parse, serialise
from lab.clock import VirtualClock
from lab.machines import FakeMachines
from lab.world import World

STICKY = {"Enabled": True, "DurationSeconds": 3600}
OIDC = {
    "Issuer": "https://id.example.com",
    "AuthorizationEndpoint": "https://id.example.com/authorize",
    "TokenEndpoint": "https://id.example.com/token",
    "UserInfoEndpoint": "https://id.example.com/userinfo",
    "ClientId": "web",
    "ClientSecret": "hush",
}
PATH = [{"Field": "path-pattern", "PathPatternConfig": {"Values": ["/admin*"]}}]


class Lab:
    """A weighted world, and short words for its load balancer."""

    def __init__(self, **world: Any) -> None:
        self.clock = VirtualClock()
        self.fake = FakeAws(self.clock, FakeMachines(self.clock))
        self.world = World.standard(self.fake, instances=1, **{"weighted": True, **world})
        self.elb = self.world.client("elbv2")
        self.blue, *others = self.world.target_groups
        self.green = others[-1] if others else ""

    def group(self, name: str, protocol: str = "HTTP") -> str:
        """One more target group."""
        made = self.elb.create_target_group(Name=name, Protocol=protocol, Port=80, VpcId=self.world.vpc)
        return str(made["TargetGroups"][0]["TargetGroupArn"])

    def forward(self, blue: int = 100, green: int = 0, *more: str, **config: Any) -> dict[str, Any]:
        """A forward action by weight; more groups get the weight 0."""
        shares = [(self.blue, blue), (self.green, green), *((one, 0) for one in more)]
        groups = [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in shares]
        return {"Type": "forward", "ForwardConfig": {"TargetGroups": groups, **config}}

    def listens(self, *actions: dict[str, Any], **more: Any) -> Any:
        """Change the listener; as AWS then shows it."""
        given = {"DefaultActions": list(actions)} if actions else {}
        return self.elb.modify_listener(ListenerArn=self.world.listener, **given, **more)["Listeners"][0]

    def rule(self, *actions: dict[str, Any], priority: int = 7, conditions: Any = None) -> Any:
        """Make a rule; as AWS then shows it."""
        made = self.elb.create_rule(
            ListenerArn=self.world.listener, Priority=priority, Conditions=conditions or PATH, Actions=list(actions)
        )
        return made["Rules"][0]

    def secure(self) -> None:
        """Let the listener speak HTTPS."""
        made = self.world.client("iam").upload_server_certificate(
            ServerCertificateName="web", CertificateBody="certificate", PrivateKey="key"
        )
        certificate = made["ServerCertificateMetadata"]["Arn"]
        self.listens(Protocol="HTTPS", Port=443, Certificates=[{"CertificateArn": certificate}])


@pytest.fixture
def lab() -> Iterator[Lab]:
    """A weighted world."""
    lab = Lab()
    yield lab
    lab.fake.close()


def refused(code: str, text: str = "") -> Any:
    """AWS refuses with this code."""
    return pytest.raises(ClientError, match=f"{code}.*{text}")


def login(**config: Any) -> dict[str, Any]:
    """An authenticate-oidc action; None leaves a member out."""
    given = {key: value for key, value in {**OIDC, **config}.items() if value is not None}
    return {"Type": "authenticate-oidc", "Order": 1, "AuthenticateOidcConfig": given}


# --- what is given back ----------------------------------------------------------------------------


def test_actions_are_given_back_whole(lab: Lab) -> None:
    """Order, authentication, stickiness, weights: as set, completed by what AWS adds; listed in their order."""
    lab.secure()
    extra = {"AuthenticationRequestExtraParams": {"display": "page"}, "Scope": "openid email"}
    forward = {**lab.forward(90, 10, TargetGroupStickinessConfig=STICKY), "Order": 2}
    lab.listens(forward, login(**extra))
    shown = lab.elb.describe_listeners(ListenerArns=[lab.world.listener])["Listeners"][0]
    oidc = {key: value for key, value in OIDC.items() if key != "ClientSecret"}
    added: dict[str, Any] = {"SessionCookieName": "AWSELBAuthSessionCookie", "SessionTimeout": 604_800}
    added["OnUnauthenticatedRequest"] = "authenticate"
    whole = {"Type": "authenticate-oidc", "Order": 1, "AuthenticateOidcConfig": {**oidc, **extra, **added}}
    assert [whole, forward] == shown["DefaultActions"]
    default = lab.elb.describe_rules(ListenerArn=lab.world.listener)["Rules"][-1]
    assert shown["DefaultActions"] == default["Actions"]
    assert ("default", True, []) == (default["Priority"], default["IsDefault"], default["Conditions"])
    assert ("HTTPS", 443) == (shown["Protocol"], shown["Port"])
    assert {"Certificates", "SslPolicy"} <= shown.keys()


@pytest.mark.parametrize("way", ["TargetGroupArn", "ForwardConfig", "both"])
def test_a_single_target_group_is_shown_in_both_ways(lab: Lab, way: str) -> None:
    """However it was told."""
    config = {"TargetGroups": [{"TargetGroupArn": lab.blue}]}
    action: dict[str, Any] = {"Type": "forward", "TargetGroupArn": lab.blue, "ForwardConfig": config}
    shown = lab.listens({key: value for key, value in action.items() if way in (key, "both") or key == "Type"})
    weighed = [{"TargetGroupArn": lab.blue, "Weight": 1}]
    whole = {"TargetGroups": weighed, "TargetGroupStickinessConfig": {"Enabled": False}}
    assert [{**action, "ForwardConfig": whole}] == shown["DefaultActions"]
    assert {lab.blue: 1} == lab.fake.weights(lab.world.listener)


def test_what_was_shown_can_be_given_back(lab: Lab) -> None:
    """Nothing is changed by it: reading and writing the same leaves everything as it was."""
    rule = lab.rule(lab.forward(1, 0, TargetGroupStickinessConfig=STICKY))
    before = lab.elb.describe_listeners(LoadBalancerArn=lab.world.balancer)["Listeners"]
    lab.listens(*before[0]["DefaultActions"])
    lab.elb.modify_rule(RuleArn=rule["RuleArn"], Actions=rule["Actions"])
    assert before == lab.elb.describe_listeners(LoadBalancerArn=lab.world.balancer)["Listeners"]
    assert [rule] == lab.elb.describe_rules(RuleArns=[rule["RuleArn"]])["Rules"]


def test_one_thing_changed_leaves_the_others(lab: Lab) -> None:
    """ModifyListener and ModifyRule replace what is given only."""
    rule = lab.rule(lab.forward(1, 0))
    conditions = [{"Field": "host-header", "Values": ["a.example.com"]}]
    changed = lab.elb.modify_rule(RuleArn=rule["RuleArn"], Conditions=conditions)["Rules"][0]
    assert rule["Actions"] == changed["Actions"]
    assert [{**conditions[0], "HostHeaderConfig": {"Values": ["a.example.com"]}}] == changed["Conditions"]
    assert (
        lab.listens(Port=8080)["DefaultActions"]
        == lab.elb.describe_listeners(ListenerArns=[lab.world.listener])["Listeners"][0]["DefaultActions"]
    )
    changed = lab.elb.modify_rule(RuleArn=rule["RuleArn"], Actions=[lab.forward(2, 1)])["Rules"][0]
    assert "host-header" == changed["Conditions"][0]["Field"]
    assert {lab.blue: 2, lab.green: 1} == lab.fake.weights(rule["RuleArn"])


def test_back_to_http_the_certificate_goes(lab: Lab) -> None:
    """Changing the protocol removes policy and certificate, and back again one must be given."""
    lab.secure()
    assert "Certificates" not in lab.listens(Protocol="HTTP", Port=80)
    with refused("InvalidConfigurationRequest"):
        lab.listens(Protocol="HTTPS")


def test_rules_come_by_priority_and_in_pages(lab: Lab) -> None:
    """The default rule last, whatever was made first; also after the priorities were changed."""
    arns = {n: lab.rule(lab.forward(), priority=n)["RuleArn"] for n in (30, 10, 20)}

    def priorities() -> list[str]:
        pages = lab.elb.get_paginator("describe_rules").paginate(
            ListenerArn=lab.world.listener, PaginationConfig={"PageSize": 2}
        )
        return [rule["Priority"] for page in pages for rule in page["Rules"]]

    assert ["10", "20", "30", "default"] == priorities()
    swapped = [{"RuleArn": arns[10], "Priority": 20}, {"RuleArn": arns[20], "Priority": 10}]
    lab.elb.set_rule_priorities(RulePriorities=swapped)
    assert [arns[20], arns[10], arns[30]] == [arn for arn, _, _ in lab.fake.rules(lab.world.listener)][:3]
    with refused("PriorityInUse"):
        lab.elb.set_rule_priorities(RulePriorities=[{"RuleArn": arns[10], "Priority": 30}])
    with refused("PriorityInUse"):
        lab.rule(lab.forward(), priority=30)
    assert [] == lab.fake.rules("nobody")
    assert [] == lab.fake.actions("nobody")


def test_answers_are_those_of_motos_serialiser(lab: Lab) -> None:
    """Also those with maps in them, which other services do not have."""
    lab.secure()
    extra = {"AuthenticationRequestExtraParams": {"display": "a & b", "prompt": "login"}}
    lab.listens(login(**extra), {**lab.forward(), "Order": 2})
    from botocore.parsers import create_parser

    for operation, form in (("DescribeListeners", "ListenerArns.member.1"), ("DescribeRules", "ListenerArn")):
        body = f"Action={operation}&{form}={lab.world.listener}".encode()
        request = incoming("POST", "https://x/", {}, body, "elbv2", "")
        result = lab.fake._operations["elbv2"][operation](parse(request))
        model = _model("elbv2", operation)
        ours, theirs = (
            create_parser("query").parse({"body": one.body, "headers": {}, "status_code": 200}, model.output_shape)
            for one in (serialise(request, result), _json(model, "query", request, result))
        )
        assert "a & b" in str(ours)
        assert {**theirs, "ResponseMetadata": 0} == {**ours, "ResponseMetadata": 0}


# --- secrets -----------------------------------------------------------------------------------------


def test_a_client_secret_survives_and_is_never_shown(lab: Lab) -> None:
    """Whoever changes weights says UseExistingClientSecret, or loses it: then AWS refuses."""
    lab.secure()
    rule = lab.rule(login(), {**lab.forward(100, 0), "Order": 2})
    shown = lab.elb.describe_rules(RuleArns=[rule["RuleArn"]])["Rules"][0]["Actions"]
    assert "hush" not in str((rule, shown))
    assert "UseExistingClientSecret" not in str(shown)
    with refused("InvalidLoadBalancerAction", "UseExistingClientSecret"):
        lab.elb.modify_rule(RuleArn=rule["RuleArn"], Actions=shown)
    kept = {
        **shown[0],
        "AuthenticateOidcConfig": {**shown[0]["AuthenticateOidcConfig"], "UseExistingClientSecret": True},
    }
    lab.elb.modify_rule(RuleArn=rule["RuleArn"], Actions=[kept, {**lab.forward(50, 50), "Order": 2}])
    (first, _) = lab.fake.actions(rule["RuleArn"])
    assert "hush" == first["AuthenticateOidcConfig"]["ClientSecret"]
    assert shown[0] == lab.elb.describe_rules(RuleArns=[rule["RuleArn"]])["Rules"][0]["Actions"][0]
    new = login(ClientSecret="other")
    lab.elb.modify_rule(RuleArn=rule["RuleArn"], Actions=[new, {**lab.forward(50, 50), "Order": 2}])
    assert "other" == lab.fake.actions(rule["RuleArn"])[0]["AuthenticateOidcConfig"]["ClientSecret"]


def test_a_secret_that_is_not_there_cannot_be_kept(lab: Lab) -> None:
    """At a creation, and where nobody logged in before."""
    lab.secure()
    forward = {**lab.forward(), "Order": 2}
    with refused("InvalidLoadBalancerAction", "no client secret yet"):
        lab.rule(login(ClientSecret=None, UseExistingClientSecret=True), forward)
    with refused("InvalidLoadBalancerAction", "no client secret yet"):
        lab.listens(login(ClientSecret=None, UseExistingClientSecret=True), forward)
    with refused("InvalidLoadBalancerAction"):
        lab.rule(login(ClientSecret=None), forward)
    cognito = {"UserPoolArn": "arn:aws:cognito-idp:r:1:userpool/p", "UserPoolClientId": "c", "UserPoolDomain": "d"}
    shown = lab.rule({"Type": "authenticate-cognito", "Order": 1, "AuthenticateCognitoConfig": cognito}, forward)
    assert cognito.items() <= shown["Actions"][0]["AuthenticateCognitoConfig"].items()


# --- what is refused -----------------------------------------------------------------------------------

ACTIONS: list[tuple[str, Any, str]] = [
    ("weight 1000", lambda lab: [lab.forward(1000, 0)], "ValidationError"),
    ("weight -1", lambda lab: [lab.forward(-1, 0)], "ValidationError"),
    (
        "no stickiness of 8 days",
        lambda lab: [lab.forward(TargetGroupStickinessConfig={"DurationSeconds": 691_200})],
        "Val",
    ),
    (
        "no stickiness of 0 s",
        lambda lab: [lab.forward(TargetGroupStickinessConfig={"DurationSeconds": 0})],
        "Validation",
    ),
    (
        "sticky, but how long",
        lambda lab: [lab.forward(TargetGroupStickinessConfig={"Enabled": True})],
        "ValidationError",
    ),
    ("two groups and TargetGroupArn", lambda lab: [{**lab.forward(), "TargetGroupArn": lab.blue}], "InvalidLoad"),
    (
        "TargetGroupArn of another group",
        lambda lab: [
            {
                "Type": "forward",
                "TargetGroupArn": lab.blue,
                "ForwardConfig": {"TargetGroups": [{"TargetGroupArn": lab.green}]},
            }
        ],
        "InvalidLoadBalancerAction",
    ),
    (
        "six groups",
        lambda lab: [lab.forward(1, 0, *(lab.group(f"more-{n}") for n in range(4)))],
        "InvalidLoadBalancerAction",
    ),
    ("no group", lambda lab: [{"Type": "forward"}], "InvalidLoadBalancerAction"),
    ("an unknown group", lambda lab: [{"Type": "forward", "TargetGroupArn": lab.blue + "0"}], "TargetGroupNotFound"),
    (
        "a group of another protocol",
        lambda lab: [{"Type": "forward", "TargetGroupArn": lab.group("tcp", "TCP")}],
        "Incompat",
    ),
    (
        "two forwards",
        lambda lab: [{**lab.forward(), "Order": 1}, {**lab.forward(), "Order": 2}],
        "InvalidLoadBalancerAction",
    ),
    ("two actions without order", lambda lab: [login(), lab.forward()], "InvalidLoadBalancerAction"),
    ("two actions of one order", lambda lab: [login(), {**lab.forward(), "Order": 1}], "InvalidLoadBalancerAction"),
    ("a login alone", lambda lab: [login()], "InvalidLoadBalancerAction"),
    ("a login over HTTP", lambda lab: [login(), {**lab.forward(), "Order": 2}], "InvalidLoadBalancerAction"),
    (
        "an unknown fixed response",
        lambda lab: [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "99"}}],
        "Val",
    ),
]


@pytest.mark.parametrize(("actions", "code"), [one[1:] for one in ACTIONS], ids=[one[0] for one in ACTIONS])
@pytest.mark.parametrize("call", ["CreateListener", "ModifyListener", "CreateRule", "ModifyRule"])
def test_actions_that_are_refused(lab: Lab, call: str, actions: Any, code: str) -> None:
    """By each of the four calls, and nothing is changed by it."""
    rule = lab.rule(lab.forward())
    given, before = actions(lab), lab.fake.rules(lab.world.listener)
    with refused(code):
        match call:
            case "CreateListener":
                lab.elb.create_listener(
                    LoadBalancerArn=lab.world.balancer, Protocol="HTTP", Port=9000, DefaultActions=given
                )
            case "ModifyListener":
                lab.listens(*given)
            case "CreateRule":
                lab.rule(*given, priority=8)
            case _:
                lab.elb.modify_rule(RuleArn=rule["RuleArn"], Actions=given)
    assert before == lab.fake.rules(lab.world.listener)
    assert 1 == len(lab.elb.describe_listeners(LoadBalancerArn=lab.world.balancer)["Listeners"])


def test_weights_at_their_bounds(lab: Lab) -> None:
    """0 and 999, also all of them 0, and five target groups."""
    lab.listens(lab.forward(999, 0, *(lab.group(f"more-{n}") for n in range(3))))
    assert 5 == len(lab.fake.weights(lab.world.listener))
    lab.listens(lab.forward(0, 0))
    assert {lab.blue: 0, lab.green: 0} == lab.fake.weights(lab.world.listener)


def test_a_target_group_has_one_load_balancer(lab: Lab) -> None:
    """Another one cannot forward to it, until the first has let it go."""
    other = lab.elb.create_load_balancer(Name="other", Subnets=lab.world.subnets)["LoadBalancers"][0]["LoadBalancerArn"]

    def listen() -> None:
        forward = [{"Type": "forward", "TargetGroupArn": lab.green}]
        lab.elb.create_listener(LoadBalancerArn=other, Protocol="HTTP", Port=80, DefaultActions=forward)

    with refused("TargetGroupAssociationLimit"):
        listen()
    lab.listens({"Type": "forward", "TargetGroupArn": lab.blue})
    listen()
    with refused("TargetGroupAssociationLimit"):
        lab.listens(lab.forward())


def test_the_default_rule_belongs_to_its_listener(lab: Lab) -> None:
    """It cannot be modified, deleted or moved by the calls for rules."""
    default = lab.elb.describe_rules(ListenerArn=lab.world.listener)["Rules"][-1]["RuleArn"]
    with refused("OperationNotPermitted"):
        lab.elb.modify_rule(RuleArn=default, Actions=[lab.forward()])
    with refused("OperationNotPermitted"):
        lab.elb.delete_rule(RuleArn=default)
    with refused("OperationNotPermitted"):
        lab.elb.set_rule_priorities(RulePriorities=[{"RuleArn": default, "Priority": 1}])


def test_what_is_not_there_is_not_found(lab: Lab) -> None:
    """Each with its own error; one unknown among known ones is enough."""
    rule = lab.rule(lab.forward())["RuleArn"]
    lab.elb.delete_rule(RuleArn=rule)
    calls: tuple[Callable[[], Any], ...] = (
        lambda: lab.elb.modify_rule(RuleArn=rule, Actions=[lab.forward()]),
        lambda: lab.elb.delete_rule(RuleArn=rule),
        lambda: lab.elb.describe_rules(RuleArns=[rule]),
        lambda: lab.elb.set_rule_priorities(RulePriorities=[{"RuleArn": rule, "Priority": 1}]),
    )
    for call in calls:
        with refused("RuleNotFound"):
            call()
    gone = lab.world.listener + "0"
    calls = (
        lambda: lab.elb.describe_listeners(ListenerArns=[lab.world.listener, gone]),
        lambda: lab.elb.modify_listener(ListenerArn=gone, DefaultActions=[lab.forward()]),
        lambda: lab.elb.describe_rules(ListenerArn=gone),
        lambda: lab.elb.create_rule(ListenerArn=gone, Priority=1, Conditions=PATH, Actions=[lab.forward()]),
    )
    for call in calls:
        with refused("ListenerNotFound"):
            call()


def test_what_is_asked_for_must_be_said(lab: Lab) -> None:
    """A load balancer that is there, and one of the ways to name listeners and rules."""
    rule = lab.rule(lab.forward(), priority=8)["RuleArn"]
    nowhere = lab.world.balancer + "0"
    calls: tuple[Callable[[], Any], ...] = (
        lambda: lab.elb.describe_listeners(LoadBalancerArn=nowhere),
        lambda: lab.elb.create_listener(
            LoadBalancerArn=nowhere, Protocol="HTTP", Port=1, DefaultActions=[lab.forward()]
        ),
    )
    for call in calls:
        with refused("LoadBalancerNotFound"):
            call()
    calls = (
        lab.elb.describe_listeners,
        lab.elb.describe_rules,
        lambda: lab.elb.describe_rules(ListenerArn=lab.world.listener, RuleArns=[rule]),
        lambda: lab.elb.modify_rule(RuleArn=lab.rule(lab.forward())["RuleArn"]),
    )
    for call in calls:
        with refused("ValidationError"):
            call()


def test_a_port_has_one_listener(lab: Lab) -> None:
    """The same settings again are no error (CreateListener is idempotent), others are."""
    where = {"LoadBalancerArn": lab.world.balancer, "Protocol": "HTTP", "Port": 80}
    again = lab.elb.create_listener(**where, DefaultActions=[lab.forward(100, 0)])["Listeners"][0]
    assert lab.world.listener == again["ListenerArn"]
    with refused("DuplicateListener"):
        lab.elb.create_listener(**where, DefaultActions=[lab.forward(99, 0)])
    with refused("ValidationError"):
        lab.elb.create_listener(**{**where, "Protocol": "HTTPS", "Port": 443}, DefaultActions=[lab.forward()])
    with refused("UnsupportedProtocol"):
        lab.listens(Protocol="TCP")
    with refused("SubnetNotFound"):
        lab.elb.create_load_balancer(Name="nowhere", Subnets=[])


def test_a_network_load_balancer_has_no_rules_and_no_logins() -> None:
    """Its ARNs say net, its listeners forward only, by weight if their action names several groups."""
    lab = Lab(network=True)
    assert ":loadbalancer/net/web-lb/" in lab.world.balancer
    assert ":listener/net/web-lb/" in lab.world.listener
    assert {lab.blue: 100, lab.green: 0} == lab.fake.weights(lab.world.listener)
    sticky = lab.listens(lab.forward(50, 50, TargetGroupStickinessConfig={"Enabled": True}))["DefaultActions"][0]
    assert {"Enabled": True} == sticky["ForwardConfig"]["TargetGroupStickinessConfig"]
    with refused("UnsupportedProtocol"):
        lab.rule(lab.forward())
    with refused("UnsupportedProtocol"):
        lab.elb.describe_rules(ListenerArn=lab.world.listener)
    with refused("InvalidLoadBalancerAction"):
        lab.listens(login(), {**lab.forward(), "Order": 2})
    with refused("InvalidLoadBalancerAction"):
        lab.listens({"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}})
    with refused("IncompatibleProtocols"):
        lab.listens({"Type": "forward", "TargetGroupArn": lab.group("http")})
    shown = lab.elb.describe_load_balancers(Names=["web-lb"])["LoadBalancers"][0]
    assert (lab.world.balancer, "network") == (shown["LoadBalancerArn"], shown["Type"])
    assert "TLS" == lab.listens(Protocol="TLS")["Protocol"]
    tags = [{"Key": "team", "Value": "shop"}]
    made = lab.elb.create_load_balancer(Name="tagged", Subnets=lab.world.subnets, Type="network", Tags=tags)
    arn = made["LoadBalancers"][0]["LoadBalancerArn"]
    assert tags == lab.elb.describe_tags(ResourceArns=[arn])["TagDescriptions"][0]["Tags"]
