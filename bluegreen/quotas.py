"""Whether twice the group fits: how much of what AWS counts is used, and how much more green needs. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile

from bluegreen.observation import Finding, FindingKey, Verdict


@dataclass(frozen=True)
class Use:
    """How much is used of what AWS counts, and how much more a second group needs.

    `code`: for Service Quotas. `sure`: a release that exceeds it cannot succeed. `said`: the
    numbers in other words, `mend`: what to do when more is needed; both "" for a quota's own.
    """

    what: str
    used: float
    more: float
    most: float
    code: str = ""
    sure: bool = False
    said: str = ""
    mend: str = ""

    @property
    def fits(self) -> bool:
        """Whether green fits beside what is there."""
        return self.used + self.more <= self.most

    @property
    def numbers(self) -> str:
        """For people."""
        return self.said or f"{self.used:g} used, {self.more:g} more for green, quota {self.most:g}"

    @property
    def fix(self) -> str:
        """What to do when green does not fit."""
        if self.mend or not self.code:
            return self.mend or "Ask AWS to raise it (Service Quotas)."
        asks = f"aws service-quotas request-service-quota-increase --service-code ec2 --quota-code {self.code}"
        return f"`{asks} --desired-value {self.used + 2 * self.more:g}`"


def finding(use: Use) -> Finding | None:
    """The finding before a release; None when green fits."""
    if use.fits:
        return None
    verdict = Verdict.REFUSED if use.sure else Verdict.WARNED
    return Finding(FindingKey.NO_ROOM, f"{use.what}: {use.numbers}", "not all of green fits", verdict, use.fix)


def free_addresses(size: int, free: Mapping[str, int]) -> Use:
    """Of a group's subnets. `free`: subnet id -> addresses that are left in it; without subnets nothing is known."""
    left = sum(free.values()) if free else size
    said = f"{left} left in {', '.join(sorted(free))}, {size} needed for green"
    mend = "Free addresses there, or give the group another subnet of the same zone."
    return Use("addresses", 0, size, left, sure=True, said=said, mend=mend)


#: EC2's quotas of vCPUs, by the first letters of instance types: on demand and spot (Service Quotas, ec2).
VCPU_QUOTAS: Mapping[str, tuple[str, str]] = {
    "standard": ("L-1216C47A", "L-34B43A08"),
    "g": ("L-DB2E81BA", "L-3819A6DF"),
    "vt": ("L-DB2E81BA", "L-3819A6DF"),
    "p": ("L-417A185B", "L-7212CCBC"),
    "x": ("L-7295265B", "L-E3A00192"),
    "f": ("L-74FC7D96", "L-88CF9481"),
    "inf": ("L-1945791B", "L-B5D1601B"),
    "trn": ("L-2C3B7624", "L-6B0D517C"),
}
_STANDARD = frozenset("acdhimrtz")


def vcpu_quota(kind: str, *, spot: bool) -> str:
    """The code of the quota that an instance type counts against; "" for a family that has another one."""
    family = "".join(takewhile(str.isalpha, kind))
    named = VCPU_QUOTAS.get(family) or (VCPU_QUOTAS["standard"] if family[:1] in _STANDARD else ("", ""))
    return named[1 if spot else 0]
