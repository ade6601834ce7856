"""Who calls, and what IAM would allow: STS's answer, and the policy simulator over moto's roles and users.

The simulator judges as the IAM user guide says (policy evaluation logic). An explicit deny wins, else one statement
that allows is enough. Of what can stand above an own policy it knows the permissions boundary.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from lab.aws.direct import Params
from lab.aws.ec2 import ElsewhereError, Handler
from lab.aws.wire import ErrorAnswer

Statement = Mapping[str, Any]


class CallerIdentity:
    """The caller of this account, and the simulator of its policies."""

    def __init__(self, iam: Callable[[], Any]) -> None:
        """`iam` gives moto's backend of the account."""
        self._iam = iam
        self.arn = ""
        """Who calls, for STS; "" for moto's own user."""

    def sts(self) -> dict[str, Handler]:
        """What of STS is answered here."""
        return {"GetCallerIdentity": self.get_caller_identity}

    def operations(self) -> dict[str, Handler]:
        """What of IAM is answered here."""
        return {"SimulatePrincipalPolicy": self.simulate_principal_policy}

    def get_caller_identity(self, params: Params) -> Params:
        """The identity that was set."""
        if not self.arn:
            raise ElsewhereError
        return {"Account": self.arn.split(":")[4], "Arn": self.arn, "UserId": "AIDALAB"}

    def simulate_principal_policy(self, params: Params) -> Params:
        """A result for each action, with one for each resource where there are several; in pages of MaxItems."""
        policies, boundary = self._policies(str(params["PolicySourceArn"]))
        context = {e["ContextKeyName"].lower(): e["ContextKeyValues"] for e in params.get("ContextEntries") or []}
        resources = params.get("ResourceArns") or ["*"]
        results = [_result(policies, boundary, action, resources, context) for action in params["ActionNames"]]
        begin, most = int(params.get("Marker") or 0), int(params.get("MaxItems") or 100)
        end = begin + most
        more = {"IsTruncated": True, "Marker": str(end)} if end < len(results) else {"IsTruncated": False}
        return {"EvaluationResults": results[begin:end], **more}

    def _policies(self, arn: str) -> tuple[list[Statement], list[Statement] | None]:
        """The statements of the identity's policies, and if it has a permissions boundary, those of that."""
        iam = self._iam()
        known = [*iam.roles.values(), *iam.users.values()]
        found = next((one for one in known if one.arn == arn), None)
        if found is None:
            raise ErrorAnswer("NoSuchEntity", f"The principal with ARN {arn} cannot be found.", 404)
        inline = [_document(policy) for policy in dict(found.policies).values()]
        attached = [_document(_in_force(policy)) for policy in found.managed_policies.values()]
        own = [statement for document in (*inline, *attached) for statement in document]
        boundary = getattr(found, "permissions_boundary_arn", None)
        return own, _document(_in_force(iam.managed_policies[boundary])) if boundary else None


def _in_force(policy: Any) -> Any:
    """The default version of a managed policy of moto's."""
    return next(one.document for one in policy.versions if one.version_id == policy.default_version_id)


def _document(said: str | Mapping[str, Any]) -> list[Statement]:
    document = json.loads(said) if isinstance(said, str) else said
    return _many(document["Statement"])


def _many(said: Any) -> list[Any]:
    return list(said) if isinstance(said, list) else [said]


def _result(
    own: Sequence[Statement],
    boundary: Sequence[Statement] | None,
    action: str,
    resources: Sequence[str],
    context: Mapping[str, Sequence[str]],
) -> Params:
    decisions = [decision(own, action, resource, context) for resource in resources]
    result: Params = {"EvalActionName": action, "EvalResourceName": resources[0]}
    if boundary is not None:
        within = [decision(boundary, action, resource, context) == "allowed" for resource in resources]
        decisions = [one if fits else "implicitDeny" for one, fits in zip(decisions, within, strict=True)]
        result["PermissionsBoundaryDecisionDetail"] = {"AllowedByPermissionsBoundary": all(within)}
    gravest = next((one for one in ("explicitDeny", "implicitDeny") if one in decisions), "allowed")
    result["EvalDecision"] = gravest
    if len(resources) > 1:
        result["ResourceSpecificResults"] = [
            {"EvalResourceName": resource, "EvalResourceDecision": decision}
            for resource, decision in zip(resources, decisions, strict=True)
        ]
    return result


def decision(statements: Sequence[Statement], action: str, resource: str, context: Mapping[str, Sequence[str]]) -> str:
    """What a policy says of an action on a resource: `allowed`, `implicitDeny` or `explicitDeny`.

    `context`: keys in lower case, as conditions ask for them.
    """
    effects = {one["Effect"] for one in statements if _is_about(one, action, resource, context)}
    return "explicitDeny" if "Deny" in effects else "allowed" if "Allow" in effects else "implicitDeny"


def _is_about(one: Statement, action: str, resource: str, context: Mapping[str, Sequence[str]]) -> bool:
    return (
        _listed(one, "Action", action.lower())
        and _listed(one, "Resource", resource)
        and all(_holds(*each, context) for each in _conditions(one))
    )


def _listed(one: Statement, member: str, name: str) -> bool:
    """Whether `Action` or `Resource` names it, or its opposite does not."""
    wanted = one.get(member, one.get(f"Not{member}", []))
    patterns = [text.lower() if member == "Action" else text for text in _many(wanted)]
    return any(_like(name, pattern) for pattern in patterns) == (member in one)


def _like(name: str, pattern: str) -> bool:
    return re.fullmatch(fnmatch.translate(pattern.replace("[", "[[]")), name) is not None


def _conditions(one: Statement) -> Iterator[tuple[str, str, list[str]]]:
    for operator, asked in one.get("Condition", {}).items():
        for key, values in asked.items():
            yield operator, key.lower(), [str(value) for value in _many(values)]


def _holds(operator: str, key: str, wanted: Sequence[str], context: Mapping[str, Sequence[str]]) -> bool:
    """String conditions, as the IAM user guide has them; NotImplementedError for any other, not a wrong answer."""
    every, _, plain = operator.rpartition(":")
    tests = {"StringEquals": str.__eq__, "StringLike": _like}
    if plain not in tests or every not in ("", "ForAllValues"):
        raise NotImplementedError(operator)
    given = context.get(key, [])
    fits = [any(tests[plain](value, one) for one in wanted) for value in given]
    return all(fits) if every else any(fits)
