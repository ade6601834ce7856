"""AWS credentials of a step: what an earlier step left in the environment, or a role for GitHub's OIDC token."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from bluegreen.action.inputs import Inputs
from bluegreen.errors import AwsError, ConfigError

AUDIENCE = "sts.amazonaws.com"
_TRIES, _SECONDS = 3, 5.0
_GRANT = "Give the job the permission `id-token` (write), or configure credentials in an earlier step."


def session(inputs: Inputs, region: str | None, environment: Mapping[str, str], hide: Callable[[str], None]) -> Any:
    """A boto3 session; None for what the environment says.

    It passes every new secret to `hide`. ConfigError when the job may not ask GitHub for a token.
    """
    if not inputs.role_to_assume:
        return None
    from bluegreen.aws import web_identity_session

    url, bearer = (environment.get(f"ACTIONS_ID_TOKEN_REQUEST_{part}", "") for part in ("URL", "TOKEN"))
    if not (url and bearer):
        raise ConfigError("GitHub gives this job no OIDC token", where="role-to-assume", hint=_GRANT)
    run = f"bluegreen-{environment.get('GITHUB_RUN_ID', 'run')}"
    return web_identity_session(region, inputs.role_to_assume, run, lambda: _token(url, bearer, hide))


def _token(url: str, bearer: str, hide: Callable[[str], None]) -> str:
    """A fresh token; it lives for minutes, so it is asked for each time that the role's credentials run out."""
    address = f"{url}{'&' if '?' in url else '?'}audience={quote(AUDIENCE)}"
    request = urllib.request.Request(address, headers={"Authorization": f"Bearer {bearer}"})
    error: Exception | None = None
    for _ in range(_TRIES):
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
                token = str(json.load(answer)["value"])
        except (OSError, ValueError, KeyError) as failed:
            error = failed
            continue
        hide(token)
        return token
    what = f"GitHub gave no OIDC token: {error}"
    raise AwsError(what, code="NoIdToken", operation="AssumeRoleWithWebIdentity", transient=True)


def check_account(arn: str, allowed: frozenset[str]) -> None:
    """ConfigError unless the principal's account is one of those allowed; none named allows every one."""
    account = arn.split(":")[4]
    if allowed and account not in allowed:
        hint = "Correct the role or the credentials of this job; bluegreen changed nothing."
        raise ConfigError(f"these credentials are of account {account}", where="allowed-account-ids", hint=hint)
