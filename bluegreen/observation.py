"""What AWS shows now: frozen values, made by `aws`, judged by `phases`.

A look covers what the release's phase needs (see `aws.Cloud.observe`); parts that were not looked at
are None or empty. `None` for something that was looked for means: AWS does not show it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

HEALTHY = "healthy"
#: Target states in which new requests may be routed to a target, or soon will be (ELBv2 TargetHealth).
IN_TRAFFIC = frozenset({"initial", "healthy", "unhealthy", "unhealthy.draining", "unavailable"})
DRAINING = "draining"


@dataclass(frozen=True)
class Command:
    """One SSM Run Command on one instance."""

    id: str
    state: str  # pending | running | succeeded | failed
    tail: str = ""  # the last lines of its output, secrets masked


@dataclass(frozen=True)
class Builder:
    """The builder instance and our commands on it (found by their comment, so a crash loses none)."""

    id: str
    state: str  # EC2 instance state: pending | running | stopping | stopped | shutting-down | terminated
    online: bool = False  # SSM agent answers
    build: Command | None = None
    check: Command | None = None


@dataclass(frozen=True)
class Image:
    """An AMI. `tagged_release` is the release that made it, "" when it is not ours."""

    id: str
    name: str
    state: str  # pending | available | failed | …
    reason: str = ""
    tagged_release: str = ""


@dataclass(frozen=True)
class Instance:
    """One instance of a group, as the Auto Scaling group sees it."""

    id: str
    lifecycle: str  # InService, Pending, Terminating:Wait, …
    healthy: bool = True
    protected: bool = False

    @property
    def in_service(self) -> bool:
        """Running, counted by its group, and healthy in its group's eyes."""
        return self.lifecycle == "InService" and self.healthy


@dataclass(frozen=True)
class Group:
    """An Auto Scaling group. `template_version` is as the group says it (a number, $Latest, $Default)."""

    name: str
    desired: int
    minimum: int
    maximum: int
    template: str = ""  # launch template id
    template_version: str = ""
    instances: tuple[Instance, ...] = ()
    suspended: frozenset[str] = frozenset()
    target_groups: frozenset[str] = frozenset()  # ARNs attached
    deleting: bool = False
    release: str = ""  # tag bluegreen:release
    activity: str = ""  # why its last launch failed, in AWS's words; "" when nothing failed

    @property
    def in_service(self) -> tuple[str, ...]:
        """Ids of the instances that are in service."""
        return tuple(i.id for i in self.instances if i.in_service)


@dataclass(frozen=True)
class Template:
    """The launch template's numbers: `ours` is the version that this release made, None if absent."""

    id: str
    default: int
    latest: int
    ours: int | None = None


@dataclass(frozen=True)
class CheckResult:
    """One answer of one check. `value` is what was seen, in a few words. `at`: epoch seconds."""

    name: str
    passed: bool
    value: str
    at: float


@dataclass(frozen=True)
class Observation:
    """One frozen picture of what AWS shows at `at` (epoch seconds)."""

    at: float
    builder: Builder | None = None
    image: Image | None = None
    template: Template | None = None
    blue: Group | None = None
    green: Group | None = None
    #: target group ARN -> instance id -> target state; exactly the release's target groups
    targets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    #: how the load balancer reaches the target groups, one line a listener or rule, sorted; None: not looked at
    routes: tuple[str, ...] | None = None
    checks: tuple[CheckResult, ...] = ()
    #: images of this service that may be dropped now, oldest first (retiring only)
    droppable: tuple[str, ...] = ()

    def states(self, group: Group | None) -> tuple[str, ...]:
        """Every target state of the group's instances, over all target groups."""
        ids = {i.id for i in group.instances} if group else set()
        return tuple(state for members in self.targets.values() for id_, state in members.items() if id_ in ids)

    def serving(self, group: Group | None) -> tuple[str, ...]:
        """Ids of the group's own instances that are in service and `healthy` in every target group (S2).

        A group that is detached serves nobody: its targets may be shown healthy until they begin to drain.
        """
        if group is None or not self.targets or not group.target_groups >= self.targets.keys():
            return ()
        return tuple(id_ for id_ in group.in_service if all(m.get(id_) == HEALTHY for m in self.targets.values()))

    def in_traffic(self, group: Group | None) -> bool:
        """Whether the group is attached, or any of its instances may still get new requests."""
        if group is None:
            return False
        attached = bool(group.target_groups & self.targets.keys())
        return attached or any(state in IN_TRAFFIC for state in self.states(group))

    def draining(self, group: Group | None) -> bool:
        """Whether requests in flight may still be with the group's instances."""
        return DRAINING in self.states(group)


@dataclass(frozen=True)
class Baseline:
    """What a release starts from, found and judged before anything is recorded or changed."""

    blue: Group
    target_groups: tuple[str, ...]  # ARNs, in the config's order
    template: Template
    resolved_version: str  # the number that blue's template reference means now
    routes: tuple[str, ...]
    builder: str = ""  # instance id, "" when an image is given
    image: str = ""  # AMI id that is given or was found for the commit
    blue_image: str = ""  # AMI id that blue's template version carries; "" when it takes it from elsewhere
    account: str = ""
    region: str = ""
    warnings: tuple[str, ...] = ()
