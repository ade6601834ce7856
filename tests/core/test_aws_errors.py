"""AWS's errors in our words are the same whoever asked: the journal, or what looks at groups and load balancers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from urllib3.exceptions import ProtocolError

from bluegreen.aws.calls import Calls, session
from bluegreen.aws_errors import code, lacking, translate
from bluegreen.errors import AwsError, ConfigError, LeaseLost
from bluegreen.journal import Journal
from lab.aws import FakeAws

REGION = "eu-west-1"
PASSING, FINAL, DENIED, EXPIRED = "may pass", "final", "denied", "of the credentials"
JOURNAL, GROUPS = "dynamodb:Query", "autoscaling:DescribeAutoScalingGroups"
#: What AWS refuses with: its code and status, in what kind of error it ends.
REFUSALS = {
    # too many requests
    ("Throttling", 400): PASSING,
    ("ThrottlingException", 400): PASSING,
    ("ThrottlingError", 400): PASSING,
    ("ThrottledException", 400): PASSING,
    ("RequestThrottledException", 400): PASSING,
    ("EC2ThrottledException", 400): PASSING,
    ("RequestLimitExceeded", 503): PASSING,
    ("TooManyRequestsException", 400): PASSING,
    ("ProvisionedThroughputExceededException", 400): PASSING,
    ("SlowDown", 503): PASSING,
    ("SomethingNew", 429): PASSING,
    # AWS itself
    ("InternalFailure", 500): PASSING,
    ("InternalServerError", 500): PASSING,
    ("ServiceUnavailable", 503): PASSING,
    ("SomethingNew", 502): PASSING,
    # somebody else at the same thing, or what is not shown yet
    ("TransactionConflictException", 400): PASSING,
    ("TransactionInProgressException", 400): PASSING,
    ("ResourceContention", 400): PASSING,
    ("InvalidAMIID.NotFound", 400): PASSING,
    ("IDPCommunicationError", 400): PASSING,
    # permission
    ("AccessDenied", 403): DENIED,
    ("AccessDeniedException", 400): DENIED,
    ("UnauthorizedOperation", 403): DENIED,
    ("OptInRequired", 403): DENIED,
    # credentials, and the clock that signs with them
    ("ExpiredToken", 403): EXPIRED,
    ("ExpiredToken", 500): EXPIRED,
    ("ExpiredTokenException", 400): EXPIRED,
    ("InvalidClientTokenId", 403): EXPIRED,
    ("UnrecognizedClientException", 400): EXPIRED,
    ("SignatureDoesNotMatch", 403): EXPIRED,
    ("InvalidSignatureException", 400): EXPIRED,
    ("RequestExpired", 400): EXPIRED,
    ("RequestTimeTooSkewed", 403): EXPIRED,
    # neither waiting nor asking helps
    ("ValidationException", 400): FINAL,
    ("LimitExceededException", 400): FINAL,
    ("InvalidParameterValue", 400): FINAL,
    ("ResourceNotFound", 404): FINAL,
    ("SomethingNew", 400): FINAL,
}
#: What a call breaks off with before there is an answer, or within it.
BREAKS: dict[str, tuple[Exception, str]] = {
    "refused": (exceptions.EndpointConnectionError(endpoint_url="https://aws"), PASSING),
    "cut": (exceptions.ConnectionClosedError(endpoint_url="https://aws"), PASSING),
    "slow": (exceptions.ReadTimeoutError(endpoint_url="https://aws"), PASSING),
    "unreachable": (exceptions.ConnectTimeoutError(endpoint_url="https://aws"), PASSING),
    "no certificate": (exceptions.SSLError(endpoint_url="https://aws", error=OSError("self-signed")), PASSING),
    "no XML": (ResponseParserError("Unable to parse response <html>"), PASSING),
    "half a chunk": (ProtocolError("IncompleteRead"), PASSING),
    "reset": (OSError(104, "Connection reset by peer"), PASSING),
    "no token fetched": (exceptions.CredentialRetrievalError(provider="process", error_msg="exit 1"), PASSING),
    "signed off": (exceptions.UnauthorizedSSOTokenError(), EXPIRED),
    "no credentials": (exceptions.NoCredentialsError(), EXPIRED),
}

Caller = Callable[[FakeAws], object]


def by_the_journal(aws: FakeAws) -> object:
    """One reading of it."""
    return Journal(aws.session(), "bluegreen").read("web/production#1")


def by_the_rest(aws: FakeAws) -> object:
    """One look at groups."""
    calls = Calls(REGION, aws.session(), attempts=1)
    with calls.translate_errors():
        return calls.autoscaling.describe_auto_scaling_groups()


CALLERS = pytest.mark.parametrize(
    ("call", "operation"), [(by_the_journal, JOURNAL), (by_the_rest, GROUPS)], ids=["journal", "rest"]
)


@pytest.fixture
def aws() -> Iterator[FakeAws]:
    """An account with a journal's table."""
    made = FakeAws(region=REGION)
    Journal(made.session(), "bluegreen").ensure_table(made.clock.sleep)
    yield made
    made.close()


def kind(error: AwsError) -> str:
    """The one thing that it is of, besides what is final."""
    known = {PASSING: error.transient, DENIED: error.denied, EXPIRED: error.expired}
    is_of = [one for one, yes in known.items() if yes]
    assert len(is_of) < 2
    return is_of[0] if is_of else FINAL


@CALLERS
def test_what_aws_refuses_ends_the_same_for_both(aws: FakeAws, call: Caller, operation: str) -> None:
    """Whether it may pass, is a permission or of the credentials; in AWS's words where no better advice is known."""
    for (said, status), expected in REFUSALS.items():
        aws.faults.fail(operation, said, "so it is", times=None, status=status)
        with pytest.raises(AwsError) as told:
            call(aws)
        aws.faults.clear()
        error = told.value
        assert (said, kind(error)) == (said, expected)
        assert (error.code, error.operation, error.where) == (said, *[operation.partition(":")[2]] * 2)
        if expected == DENIED:
            assert error.what.startswith(f"not allowed: {operation}")
        else:
            assert error.what == f"{said}: so it is"
        assert bool(error.hint) == (expected in (DENIED, EXPIRED))


@CALLERS
@pytest.mark.parametrize("broken", BREAKS)
def test_what_breaks_off_ends_the_same_for_both(aws: FakeAws, call: Caller, operation: str, broken: str) -> None:
    """Whatever it was on the wire may pass; what the process lacks does not, and says what to do."""
    exception, expected = BREAKS[broken]
    aws.faults._order(operation, lambda request: exception, None)
    with pytest.raises(AwsError) as told:
        call(aws)
    assert kind(told.value) == expected
    assert told.value.what == str(exception)
    assert (told.value.code, told.value.operation) == (type(exception).__name__, operation.partition(":")[2])
    assert bool(told.value.hint) == (expected == EXPIRED)


@CALLERS
@pytest.mark.parametrize("status", [403, 503])
def test_a_page_in_place_of_an_answer_may_pass_for_both(
    aws: FakeAws, call: Caller, operation: str, status: int
) -> None:
    """And the error says where to look when it does not."""
    aws.faults.page(operation, times=None, status=status)
    with pytest.raises(AwsError) as told:
        call(aws)
    assert kind(told.value) == PASSING


@CALLERS
def test_a_permission_is_named_as_iam_names_it(aws: FakeAws, call: Caller, operation: str) -> None:
    """The journal's names its table, too: examples/policy.json allows no other one."""
    aws.faults.deny(operation)
    with pytest.raises(AwsError) as told:
        call(aws)
    named = f"{operation} on the table `bluegreen`" if operation == JOURNAL else operation
    assert told.value.what == f"not allowed: {named}"
    assert told.value.hint.startswith(f"Add {named} to the policy of the role")


@CALLERS
def test_our_own_errors_come_through_as_they_are(aws: FakeAws, call: Caller, operation: str) -> None:
    """Such as the driver's, which is asked for its permit before each attempt."""
    lost = LeaseLost("another driver has taken over")
    aws.faults._order(operation, lambda request: lost, 1)
    with pytest.raises(LeaseLost) as told:
        call(aws)
    assert told.value is lost


@CALLERS
def test_credentials_that_could_not_be_had_are_no_broken_call(aws: FakeAws, call: Caller, operation: str) -> None:
    """AWS refuses the role while a call is signed: final, as when it refuses the call."""
    aws.faults._order(operation, lambda request: refusal("AccessDenied", operation="AssumeRoleWithWebIdentity"), None)
    with pytest.raises(AwsError, match="not allowed: sts:AssumeRoleWithWebIdentity") as told:
        call(aws)
    assert kind(told.value) == DENIED


def refusal(said: str, words: str = "", *, operation: str = "DescribeTargetHealth", status: int = 400) -> ClientError:
    """As botocore raises it."""
    told: Any = {"Error": {"Code": said, "Message": words}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(told, operation)


def told(error: ClientError | BotoCoreError, service: str = "elbv2") -> AwsError:
    """What is made of it."""
    said = translate(error, service)
    assert isinstance(said, AwsError)
    return said


@pytest.mark.parametrize(
    "why",
    [
        "with an explicit deny in a service control policy",
        "with an explicit deny in an identity-based policy",
        "because no permissions boundary allows the elasticloadbalancing:DescribeTargetHealth action",
        "because no service control policy allows the elasticloadbalancing:DescribeTargetHealth action",
    ],
)
def test_a_policy_above_the_role_s_own_is_named(why: str) -> None:
    """To add the action to the role would not help, so nobody is told to at night."""
    words = f"User: arn:x is not authorized to perform: elasticloadbalancing:DescribeTargetHealth on resource: * {why}"
    error = told(refusal("AccessDenied", words, status=403))
    assert error.what == f"not allowed: elasticloadbalancing:DescribeTargetHealth, {why}"
    assert "Ask who keeps that policy" in error.hint


def test_what_the_role_lacks_is_added_to_it() -> None:
    """The ordinary case; the action may be another one than was called."""
    why = "because no identity-based policy allows the iam:PassRole action"
    words = f"User: arn:x is not authorized to perform: iam:PassRole on resource: arn:y {why}"
    error = told(refusal("AccessDenied", words))
    assert error.what == "not allowed: iam:PassRole"
    assert "Add iam:PassRole to the policy" in error.hint
    assert lacking(refusal("AccessDenied", words)) == "iam:PassRole"
    assert lacking(refusal("AccessDenied")) == "DescribeTargetHealth"


def test_a_region_that_is_not_enabled_is_no_matter_of_policies() -> None:
    """The account has to enable it."""
    assert "Enable the service or the region" in told(refusal("OptInRequired", "You are not subscribed")).hint


def test_a_role_that_may_not_be_assumed_is_told_as_such() -> None:
    """The call was never made: the credentials to sign it could not be had."""
    error = told(refusal("AccessDenied", "Not authorized", operation="AssumeRoleWithWebIdentity"), "autoscaling")
    assert error.what == "not allowed: sts:AssumeRoleWithWebIdentity"


def test_ec2_calls_a_wrong_key_or_clock_a_matter_of_permission() -> None:
    """Its code is that of an image which is not ours; only its words tell."""
    words = "AWS was not able to validate the provided access credentials"
    error = refusal("AuthFailure", words, status=401)
    assert (kind(told(error)), lacking(error)) == (EXPIRED, "")
    assert "Renew the AWS credentials" in told(error).hint
    assert kind(told(refusal("AuthFailure", "Not authorized for images: [ami-1]"))) == DENIED


def test_an_answer_without_a_code_or_words() -> None:
    """Its status is what there is to tell."""
    error = refusal("", status=503)
    assert (code(error), lacking(error)) == ("Unknown", "")
    assert (told(error).what, told(error).transient) == ("Unknown, with status 503", True)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (exceptions.NoRegionError(), "no AWS region is set"),
        (exceptions.ProfileNotFound(profile="nope"), "AWS_PROFILE"),
        (exceptions.InvalidRegionError(region_name="eu west"), "AWS_REGION"),
        (exceptions.ConfigParseError(path="~/.aws/config", error="x"), "AWS_CONFIG_FILE"),
    ],
)
def test_settings_that_are_wrong_are_told_as_settings(error: BotoCoreError, says: str) -> None:
    """Nothing was sent: what to set is said."""
    wrong = translate(error)
    assert isinstance(wrong, ConfigError)
    assert says in str(wrong)


def test_what_botocore_would_not_send_is_final() -> None:
    """Unless it is the wire, or the credentials' source, that failed."""
    error = told(exceptions.ParamValidationError(report="x"))
    assert (kind(error), error.operation) == (FINAL, "AWS")
    assert "credentials and settings" in error.hint
    assert kind(told(exceptions.CredentialRetrievalError(provider="process", error_msg="x"))) == PASSING


def test_a_profile_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first thing that is made says so, as a mistake in the settings."""
    monkeypatch.setenv("AWS_PROFILE", "nope")
    with pytest.raises(ConfigError, match=r"profile \(nope\) could not be found.*AWS_PROFILE"):
        session(REGION)
