"""Whether twice the group fits into what AWS counts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bluegreen.observation import FindingKey, Verdict
from bluegreen.quotas import Use, finding, free_addresses, vcpu_quota

USE = Use("vCPUs", 60, 4, 64, "L-1216C47A", sure=True)


def test_what_fits_is_no_finding() -> None:
    """To the last one."""
    assert finding(USE) is None
    assert finding(free_addresses(4, {"subnet-1": 3, "subnet-2": 1})) is None
    assert finding(free_addresses(4, {})) is None  # without subnets nothing is known


def test_what_does_not_fit_is_refused_if_that_is_sure() -> None:
    """With the numbers, and what to ask AWS for."""
    found = finding(replace(USE, used=61))
    assert found
    assert (found.key, found.verdict) == (FindingKey.NO_ROOM, Verdict.REFUSED)
    assert found.said == "vCPUs: 61 used, 4 more for green, quota 64: not all of green fits"
    assert "--quota-code L-1216C47A --desired-value 69`" in found.hint
    unsure = finding(replace(USE, used=61, sure=False, code=""))
    assert unsure
    assert (unsure.verdict, unsure.hint) == (Verdict.WARNED, "Ask AWS to raise it (Service Quotas).")


def test_too_few_addresses() -> None:
    """Instances of a group go to any of its subnets, so those of all count."""
    found = finding(free_addresses(5, {"subnet-2": 3, "subnet-1": 1}))
    assert found
    assert found.verdict is Verdict.REFUSED
    assert found.found == "addresses: 4 left in subnet-1, subnet-2, 5 needed for green"
    assert found.hint.startswith("Free addresses there")


@pytest.mark.parametrize(
    ("kind", "spot", "code"),
    [
        ("t4g.micro", False, "L-1216C47A"),
        ("m7i-flex.large", True, "L-34B43A08"),
        ("g5.xlarge", False, "L-DB2E81BA"),
        ("inf2.xlarge", False, "L-1945791B"),
        ("u-6tb1.metal", False, ""),
    ],
)
def test_which_quota_an_instance_type_counts_against(kind: str, spot: bool, code: str) -> None:
    """By its family; of some families we know none."""
    assert vcpu_quota(kind, spot=spot) == code
