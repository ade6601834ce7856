"""Listeners and rules, as strict as AWS: input is checked, completed, and returned in full.

moto keeps them, so that target groups know who uses them; it accepts what AWS refuses, and shows secrets. The
refusals are from the Elastic Load Balancing API (Action, ForwardActionConfig, AuthenticateOidcActionConfig, each call's
errors) and its quotas. We do not know its exact words, or the code where the API names several.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from moto.core.exceptions import ServiceException
from moto.elbv2.models import FakeAction

from lab.aws.direct import Params
from lab.aws.ec2 import Handler
from lab.aws.wire import ErrorAnswer

MOST_GROUPS = 5
"""Target groups of one forward action; the quota cannot be raised."""
HEAVIEST = 999
LONGEST_STICKINESS = 604_800
HTTP, NETWORK = ("HTTP", "HTTPS"), ("TCP", "UDP", "TCP_UDP", "TLS")
AUTHENTICATION = {"authenticate-oidc": "AuthenticateOidcConfig", "authenticate-cognito": "AuthenticateCognitoConfig"}
LAST = ("forward", "redirect", "fixed-response")
LOGIN_DEFAULTS: Params = {
    "SessionCookieName": "AWSELBAuthSessionCookie",
    "Scope": "openid",
    "SessionTimeout": 604_800,
    "OnUnauthenticatedRequest": "authenticate",
}
VALUES = {"path-pattern": "PathPatternConfig", "host-header": "HostHeaderConfig"}
"""Conditions whose values AWS shows twice: in `Values` too."""
PAGE = 50

Backend = Any  # moto's, whose classes have no types


class Listeners:
    """The part of Elastic Load Balancing that says where requests go."""

    def __init__(self, backend: Callable[[], Backend], changed: Callable[[], None]) -> None:
        """Work on what moto keeps; `changed` is told after each change."""
        self._backend, self._changed = backend, changed

    def operations(self) -> dict[str, Handler]:
        """What of Elastic Load Balancing is answered here."""
        return {
            "CreateLoadBalancer": self.create_load_balancer,
            "CreateListener": self.create_listener,
            "ModifyListener": self.modify_listener,
            "DescribeListeners": self.describe_listeners,
            "CreateRule": self.create_rule,
            "ModifyRule": self.modify_rule,
            "DeleteRule": self.delete_rule,
            "SetRulePriorities": self.set_rule_priorities,
            "DescribeRules": self.describe_rules,
        }

    # -- looks inside ------------------------------------------------------------------------------------------------

    def actions(self, arn: str) -> list[Params]:
        """What a listener or rule does, secrets included; none if there is no such thing."""
        return copy.deepcopy(self._actions(arn))

    def weights(self, arn: str) -> dict[str, int]:
        """The weight of each target group that a listener or rule forwards to."""
        return dict(forwarded(self._actions(arn)))

    def _actions(self, arn: str) -> list[Params]:
        for listener in self._listeners():
            for rule in listener.rules.values():
                if arn in (rule.arn, listener.arn if rule.is_default else ""):
                    return [action.data for action in rule.actions]
        return []

    def rules(self, listener_arn: str) -> list[tuple[str, list[Params], list[Params]]]:
        """A listener's rules in the order in which they are tried, the default rule last: ARN, conditions, actions."""
        for listener in self._listeners():
            if listener.arn == listener_arn:
                return [
                    (rule.arn, rule.conditions, [action.data for action in rule.actions])
                    for rule in _in_order(listener)
                ]
        return []

    # -- load balancers ----------------------------------------------------------------------------------------------

    def create_load_balancer(self, params: Params) -> Params:
        """As moto does it, but with the ARN that a Network Load Balancer has."""
        backend, kind = self._backend(), params.get("Type") or "application"
        with _as_aws_says():
            made = backend.create_load_balancer(
                name=params["Name"],
                security_groups=params.get("SecurityGroups") or [],
                subnet_ids=params.get("Subnets") or [],
                subnet_mappings=params.get("SubnetMappings") or [],
                scheme=params.get("Scheme") or "internet-facing",
                loadbalancer_type=kind,
                ip_address_type=params.get("IpAddressType") or "ipv4",
                tags=params.get("Tags"),
            )
        if kind == "network":
            del backend.load_balancers[made.arn]
            made.arn = made.arn.replace(":loadbalancer/app/", ":loadbalancer/net/")
            backend.load_balancers[made.arn] = made
            backend.tagging_service.tag_resource(made.arn, params.get("Tags"))
        self._changed()
        return {"LoadBalancers": [_shown_balancer(made)]}

    # -- listeners ---------------------------------------------------------------------------------------------------

    def create_listener(self, params: Params) -> Params:
        """Make a listener; one with the same settings is given back, another one on the port is refused."""
        backend, where = self._backend(), params["LoadBalancerArn"]
        balancer = backend.load_balancers.get(where)
        if balancer is None:
            raise ErrorAnswer("LoadBalancerNotFound", f"Load balancer '{where}' not found")
        protocol, port = params.get("Protocol"), params.get("Port")
        actions = self._checked(params["DefaultActions"], balancer, protocol, None)
        for other in balancer.listeners.values():
            if int(other.port) == port:
                same = other.protocol == protocol and [one.data for one in other.default_actions] == actions
                if same:
                    return {"Listeners": [_shown_listener(other)]}
                raise ErrorAnswer("DuplicateListener", "A listener already exists on this port for this load balancer")
        certificates = params.get("Certificates") or []
        if protocol in ("HTTPS", "TLS") and len(certificates) != 1:
            raise ErrorAnswer("ValidationError", "A certificate must be specified for HTTPS listeners")
        with _as_aws_says():
            made = backend.create_listener(
                load_balancer_arn=where,
                protocol=protocol,
                port=port,
                ssl_policy=params.get("SslPolicy") or "ELBSecurityPolicy-2016-08",
                certificate=certificates[0]["CertificateArn"] if certificates else None,
                actions=actions,
                alpn_policy=params.get("AlpnPolicy"),
                tags=params.get("Tags"),
            )
        self._changed()
        return {"Listeners": [_shown_listener(made)]}

    def modify_listener(self, params: Params) -> Params:
        """Replace what is given; what is not given stays."""
        listener = self._listener(params["ListenerArn"])
        balancer = self._backend().load_balancers[listener.load_balancer_arn]
        protocol = params.get("Protocol") or listener.protocol
        if protocol not in (HTTP if balancer.type == "application" else NETWORK):
            raise ErrorAnswer("UnsupportedProtocol", f"Protocol {protocol} is not supported by this load balancer")
        given = params.get("DefaultActions")
        actions = self._checked(given, balancer, protocol, listener.default_actions) if given else []
        with _as_aws_says():
            self._backend().modify_listener(
                listener.arn,
                params.get("Port"),
                params.get("Protocol") if protocol in ("HTTP", "HTTPS", "TCP") else None,
                params.get("SslPolicy"),
                params.get("Certificates") or [],
                actions,
            )
        listener.protocol = protocol
        if protocol in ("HTTP", "TCP"):
            listener.certificate, listener.certificates = None, []
        self._changed()
        return {"Listeners": [_shown_listener(listener)]}

    def describe_listeners(self, params: Params) -> Params:
        """Those of a load balancer, or those asked for, of which each must be there."""
        arns, where = params.get("ListenerArns"), params.get("LoadBalancerArn")
        if bool(arns) == bool(where):
            raise ErrorAnswer("ValidationError", "You must specify either listener ARNs or a load balancer ARN")
        if where and where not in self._backend().load_balancers:
            raise ErrorAnswer("LoadBalancerNotFound", f"Load balancer '{where}' not found")
        found = [self._listener(arn) for arn in arns] if arns else self._listeners(where)
        return _paged("Listeners", [_shown_listener(one) for one in found], params)

    # -- rules -------------------------------------------------------------------------------------------------------

    def create_rule(self, params: Params) -> Params:
        """Make a rule; its priority must be free."""
        listener = self._listener(params["ListenerArn"])
        balancer = self._with_rules(listener)
        actions = self._checked(params["Actions"], balancer, listener.protocol, None)
        conditions = _completed(params["Conditions"])
        if any(rule.priority == params["Priority"] for rule in listener.rules.values()):
            raise ErrorAnswer("PriorityInUse", f"Priority '{params['Priority']}' is currently in use")
        with _as_aws_says():
            made = self._backend().create_rule(
                listener.arn, conditions, params["Priority"], actions, params.get("Tags")
            )
        self._changed()
        return {"Rules": [_shown_rule(made)]}

    def modify_rule(self, params: Params) -> Params:
        """Replace its conditions, its actions, or both; the default rule is its listener's."""
        listener, rule = self._rule(params["RuleArn"])
        if rule.is_default:
            raise ErrorAnswer("OperationNotPermitted", f"Default rule '{rule.arn}' cannot be modified")
        given = params.get("Actions")
        actions = self._checked(given, self._with_rules(listener), listener.protocol, rule.actions) if given else []
        with _as_aws_says():
            self._backend().modify_rule(rule.arn, _completed(params.get("Conditions") or []), actions)
        self._changed()
        return {"Rules": [_shown_rule(rule)]}

    def delete_rule(self, params: Params) -> Params:
        """Delete it; the default rule cannot be."""
        listener, rule = self._rule(params["RuleArn"])
        if rule.is_default:
            raise ErrorAnswer("OperationNotPermitted", f"Default rule '{rule.arn}' cannot be deleted")
        listener.remove_rule(rule.arn)
        self._changed()
        return {}

    def set_rule_priorities(self, params: Params) -> Params:
        """Put rules into another order, all at once: only the result must be free of conflicts."""
        wanted = {one["RuleArn"]: int(one["Priority"]) for one in params["RulePriorities"]}
        found = [self._rule(arn) for arn in wanted]
        for listener, rule in found:
            if rule.is_default:
                raise ErrorAnswer("OperationNotPermitted", f"Default rule '{rule.arn}' cannot have a priority")
            taken = [wanted.get(one.arn, one.priority) for one in listener.rules.values()]
            if taken.count(wanted[rule.arn]) > 1:
                raise ErrorAnswer("PriorityInUse", f"Priority '{wanted[rule.arn]}' is currently in use")
        for _, rule in found:
            rule.priority = wanted[rule.arn]
        self._changed()
        return {"Rules": [_shown_rule(rule) for _, rule in found]}

    def describe_rules(self, params: Params) -> Params:
        """Those of a listener, the default rule last; or those asked for, of which each must be there."""
        arns, where = params.get("RuleArns"), params.get("ListenerArn")
        if bool(arns) == bool(where):
            raise ErrorAnswer("ValidationError", "You must specify either listener rule ARNs or a listener ARN")
        if arns:
            found = [self._rule(arn)[1] for arn in arns]
        else:
            listener = self._listener(str(where))
            self._with_rules(listener)
            found = _in_order(listener)
        return _paged("Rules", [_shown_rule(rule) for rule in found], params)

    # -- finding -----------------------------------------------------------------------------------------------------

    def _listeners(self, balancer: str | None = None) -> list[Any]:
        balancers = self._backend().load_balancers.values()
        return [one for each in balancers if balancer in (None, each.arn) for one in each.listeners.values()]

    def _listener(self, arn: str) -> Any:
        found = next((one for one in self._listeners() if one.arn == arn), None)
        if found is None:
            raise ErrorAnswer("ListenerNotFound", f"One or more listeners not found: '{arn}'")
        return found

    def _rule(self, arn: str) -> tuple[Any, Any]:
        for listener in self._listeners():
            for rule in listener.rules.values():
                if rule.arn == arn:
                    return listener, rule
        raise ErrorAnswer("RuleNotFound", f"One or more rules not found: '{arn}'")

    def _with_rules(self, listener: Any) -> Any:
        """The listener's load balancer, if its listeners have rules."""
        balancer = self._backend().load_balancers[listener.load_balancer_arn]
        if balancer.type != "application":
            raise ErrorAnswer("UnsupportedProtocol", "Rules are not supported by listeners of this load balancer")
        return balancer

    # -- checking ----------------------------------------------------------------------------------------------------

    def _checked(self, actions: list[Params], balancer: Any, protocol: str | None, old: Any) -> list[Params]:
        """The actions as they will be kept: complete, in their order, and with the secret that they refer to."""
        orders = [action.get("Order") for action in actions]
        if len(actions) > 1 and (None in orders or len(set(orders)) < len(orders)):
            raise _invalid("Each of several actions must have an order of its own")
        ordered = sorted(copy.deepcopy(actions), key=lambda action: action.get("Order") or 0)
        if [action["Type"] in LAST for action in ordered] != [False] * (len(ordered) - 1) + [True]:
            raise _invalid("Exactly one forward, redirect or fixed-response action is needed, as the last one")
        for action in ordered:
            if action["Type"] == "forward":
                self._check_forward(action, balancer)
            elif balancer.type != "application":
                raise _invalid(f"Action type '{action['Type']}' is not supported by this load balancer")
            elif action["Type"] in AUTHENTICATION:
                _check_login(action, protocol, old)
        with _as_aws_says():
            self._backend()._validate_actions([FakeAction(action) for action in ordered])
        return ordered

    def _check_forward(self, action: Params, balancer: Any) -> None:
        alone, config = action.get("TargetGroupArn"), action.get("ForwardConfig") or {}
        groups = config.get("TargetGroups") or ([{"TargetGroupArn": alone}] if alone else [])
        if not groups:
            raise _invalid("A forward action must name a target group")
        if alone and [one["TargetGroupArn"] for one in groups] != [alone]:
            raise _invalid("TargetGroupArn and ForwardConfig must name one and the same target group")
        if len(groups) > MOST_GROUPS:
            raise _invalid(f"A forward action can have at most {MOST_GROUPS} target groups")
        for one in groups:
            one.setdefault("Weight", 1)
            if not 0 <= int(one["Weight"]) <= HEAVIEST:
                raise ErrorAnswer("ValidationError", f"Weight '{one['Weight']}' must be between 0 and {HEAVIEST}")
            self._check_group(one["TargetGroupArn"], balancer)
        sticky = config.get("TargetGroupStickinessConfig") or {"Enabled": False}
        _check_stickiness(sticky, balancer)
        action["ForwardConfig"] = {"TargetGroups": groups, "TargetGroupStickinessConfig": sticky}
        if len(groups) == 1:
            action["TargetGroupArn"] = groups[0]["TargetGroupArn"]

    def _check_group(self, arn: str, balancer: Any) -> None:
        group = self._backend().target_groups.get(arn)
        if group is None:
            raise ErrorAnswer("TargetGroupNotFound", f"Target groups '{arn}' not found")
        if group.protocol not in (HTTP if balancer.type == "application" else NETWORK):
            text = f"The protocol {group.protocol} of target group '{arn}' does not suit the load balancer"
            raise ErrorAnswer("IncompatibleProtocols", text)
        if others := [one for one in group.load_balancer_arns if one != balancer.arn]:
            text = f"The following target groups cannot be associated with more than one load balancer: {arn}"
            raise ErrorAnswer("TargetGroupAssociationLimit", f"{text} ({others[0]})")


def _check_stickiness(sticky: Params, balancer: Any) -> None:
    seconds = sticky.get("DurationSeconds")
    if seconds is not None and not 1 <= int(seconds) <= LONGEST_STICKINESS:
        raise ErrorAnswer("ValidationError", f"DurationSeconds must be between 1 and {LONGEST_STICKINESS}")
    if sticky.get("Enabled") and seconds is None and balancer.type == "application":
        raise ErrorAnswer("ValidationError", "DurationSeconds must be specified when stickiness is enabled")


def _check_login(action: Params, protocol: str | None, old: Any) -> None:
    """Who logs in where: on HTTPS only, and with a secret, given or kept. `old`: the actions that are replaced."""
    key = AUTHENTICATION[action["Type"]]
    if protocol != "HTTPS":
        raise _invalid(f"Actions of type '{action['Type']}' are supported only on HTTPS listeners")
    config = action[key] = {**LOGIN_DEFAULTS, **(action.get(key) or {})}
    if action["Type"] != "authenticate-oidc":
        return
    keep = config.pop("UseExistingClientSecret", False)
    kept = next((one.data[key]["ClientSecret"] for one in old or () if one.type == action["Type"]), None)
    if keep and config.get("ClientSecret") is None:
        if kept is None:
            raise _invalid("UseExistingClientSecret is true, but there is no client secret yet")
        config["ClientSecret"] = kept
    if config.get("ClientSecret") is None:
        raise _invalid("A client secret must be specified, or UseExistingClientSecret be true")


def _completed(conditions: list[Params]) -> list[Params]:
    """Conditions as AWS shows them: paths and hosts in both of their members."""
    completed = copy.deepcopy(conditions)
    for one in completed:
        key = VALUES.get(one.get("Field", ""))
        values = key and ((one.get(key) or {}).get("Values") or one.get("Values"))
        if key and values:
            one.pop("Values", None)
            one[key] = {"Values": values}
    return completed


# --- showing -------------------------------------------------------------------------------------------------------


def _shown_balancer(balancer: Any) -> Params:
    return {
        "LoadBalancerArn": balancer.arn,
        "LoadBalancerName": balancer.name,
        "DNSName": balancer.dns_name,
        "CanonicalHostedZoneId": balancer.canonical_hosted_zone_id,
        "Scheme": balancer.scheme,
        "VpcId": balancer.vpc_id,
        "Type": balancer.type,
        "State": {"Code": balancer.state},
        "IpAddressType": balancer.ip_address_type,
        "SecurityGroups": balancer.security_groups,
        "AvailabilityZones": [
            {"ZoneName": zone.zone_name, "SubnetId": zone.subnet_id} for zone in balancer.availability_zones
        ],
    }


def _shown_listener(listener: Any) -> Params:
    secure: Params = {}
    if listener.protocol in ("HTTPS", "TLS"):
        secure["Certificates"] = [{"CertificateArn": listener.certificate}] if listener.certificate else []
        secure["SslPolicy"] = listener.ssl_policy
    return {
        "ListenerArn": listener.arn,
        "LoadBalancerArn": listener.load_balancer_arn,
        "Port": int(listener.port),
        "Protocol": listener.protocol,
        **secure,
        "DefaultActions": [_shown_action(action) for action in listener.default_actions],
        **({"AlpnPolicy": listener.alpn_policy} if listener.alpn_policy else {}),
    }


def _shown_rule(rule: Any) -> Params:
    return {
        "RuleArn": rule.arn,
        "Priority": str(rule.priority),
        "Conditions": [_shown_condition(one) for one in rule.conditions],
        "Actions": [_shown_action(action) for action in rule.actions],
        "IsDefault": rule.is_default,
    }


def _shown_condition(condition: Params) -> Params:
    key = VALUES.get(condition.get("Field", ""))
    return {**condition, "Values": condition[key]["Values"]} if key in condition else condition


def _shown_action(action: FakeAction) -> Params:
    """Everything but the secret (AuthenticateOidcActionConfig: it is never given back)."""
    data: Params = copy.deepcopy(action.data)
    data.get("AuthenticateOidcConfig", {}).pop("ClientSecret", None)
    return data


def _in_order(listener: Any) -> list[Any]:
    return sorted(listener.rules.values(), key=lambda rule: (rule.is_default, 0 if rule.is_default else rule.priority))


def _paged(key: str, rows: list[Params], params: Params) -> Params:
    size, first = int(params.get("PageSize") or PAGE), int(params.get("Marker") or 0)
    more = {"NextMarker": str(first + size)} if first + size < len(rows) else {}
    return {key: rows[first : first + size], **more}


class _as_aws_says:  # noqa: N801 - read as a sentence: with _as_aws_says()
    """Inside, what moto refuses is refused in our way."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, at: object) -> None:
        if isinstance(error, ServiceException):
            raise ErrorAnswer(error.code, error.message) from error


def _invalid(message: str) -> ErrorAnswer:
    return ErrorAnswer("InvalidLoadBalancerAction", message)


def forwarded(actions: Iterable[Params]) -> Iterator[tuple[str, int]]:
    """Each target group that these actions forward to, with its weight."""
    for action in actions:
        config = action.get("ForwardConfig") or {}
        for one in config.get("TargetGroups") or []:
            yield one["TargetGroupArn"], int(one["Weight"])
