"""A stage for the story: a release and what AWS shows, set by verbs, so that a test reads like a diary."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

from bluegreen import phases
from bluegreen.config import Config, parse
from bluegreen.events import Event, EventKind, Observed, Phase, Taken, Verb
from bluegreen.observation import Builder, CheckResult, Group, Image, Instance, Observation, Template
from bluegreen.phases import Act, Decision
from bluegreen.release import Release, apply, fold, names

TG = "arn:web"
#: Of weighted traffic: the idle target group, and a listener and a rule that weigh both.
IDLE, LISTENER, RULE = (
    "arn:web-green",
    "arn:aws:elasticloadbalancing:r:1:listener/app/lb/1/2",
    "arn:r:1:listener-rule/x",
)
SERVICE = "web/production"
#: What is recorded of blue when it is pinned.
BEFORE: dict[str, Any] = {
    "desired": 4,
    "minimum": 2,
    "maximum": 8,
    "template": "lt-1",
    "template_version": "$Latest",
    "resolved_version": "7",
    "suspended": [],
    "routes": ["web:80 -> web"],
}
#: And of the idle group of a standing pair.
IDLE_BEFORE: dict[str, Any] = {
    "minimum": 0,
    "maximum": 6,
    "template": "lt-1",
    "template_version": "$Latest",
    "resolved_version": "7",
    "suspended": ["ReplaceUnhealthy"],
    "marks": {"bluegreen:release": "web/production#41"},
}
ALB = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/lb/1/2"
SMALL: dict[str, Any] = {
    "service": "web",
    "group": "web-asg",
    "traffic": {"target_groups": ["web"]},
    "image": {"ami": "ami-0123"},
}


def small(**keys: Any) -> dict[str, Any]:
    """The smallest whole config, with these keys set."""
    return {**deepcopy(SMALL), **keys}


def config(**changes: Any) -> Config:
    """A valid configuration with the builder route, poll 5 s, overlap 300 s and soak 900 s."""
    base: dict[str, Any] = {
        "service": "web",
        "group": "web-asg",
        "traffic": {"target_groups": ["web"]},
        "image": {"builder": {"instance": "i-0123456789abcdef0", "run": "make", "check": "true"}},
    }
    return parse({**base, **changes})


def paired(**changes: Any) -> Stage:
    """A release of a standing pair: web-a serves, web-b is the idle one that becomes green."""
    keys = {"group": None, "groups": ["web-a", "web-b"], **changes}
    return Stage(started={"blue_group": "web-a", "green_group": "web-b", "token": "mine"}, **keys)


def group(name: str, size: int = 4, **changes: Any) -> Group:
    """A group whose instances are all in service; blue's name gets it the target group."""
    made = Group(
        name=name,
        desired=size,
        minimum=size,
        maximum=8,
        template="lt-1",
        template_version="7",
        instances=tuple(Instance(f"{name}-{n}", "InService") for n in range(size)),
    )
    return replace(made, **changes)


def attached(**facts: Any) -> dict[str, Any]:
    """What is attached to blue, as an event records it: nothing, unless it is said."""
    return {"changed": [], "parts": {}, "alarms": [], **facts}


class Stage:
    """One release on stage. `now` only moves when told; every change goes through an event."""

    def __init__(
        self,
        *,
        hold: bool = False,
        ami: str = "",
        steps: list[int] | None = None,
        previews: int = 0,
        started: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> None:
        self.weighted = steps is not None
        if steps is not None:
            changes["traffic"] = {"target_groups": ["web", "web-green"], "listeners": [ALB], "steps": steps}
        self.config = config(**changes)
        self.now = 1000.0
        facts = {
            "service": SERVICE,
            "number": 42,
            "who": "me",
            "commit": "abcdef1234",
            "image": ami,
            "hold": hold,
            "config": self.config.to_dict(),
            "blue_group": "web-asg",
            "target_groups": [TG, IDLE] if self.weighted else [TG],
            "listeners": [LISTENER, RULE] if self.weighted else [],
            "previews": [f"arn:preview-{n}" for n in range(previews)],
            "idle_target_group": IDLE if self.weighted else "",
            "builder": "" if ami else "i-0123456789abcdef0",
            **names(SERVICE, 42, "abcdef1234"),
            **(started or {}),
        }
        self.release: Release = fold([Event(f"{SERVICE}#42", 1, self.now, EventKind.STARTED, facts)])
        self.seen = Observation(at=self.now)

    # --- what happens ---

    def told(self, kind: EventKind, **facts: Any) -> Stage:
        """One more event."""
        self.release = apply(self.release, Event(self.release.id, self.release.seq + 1, self.now, kind, facts))
        return self

    def did(self, *verbs: Verb, **facts: Any) -> Stage:
        """The acts were begun and done."""
        for verb in verbs:
            self.told(EventKind.BEGAN, verb=verb, **facts).told(EventKind.DID, verb=verb, **facts)
        return self

    def enters(self, phase: Phase, **facts: Any) -> Stage:
        """The phase begins now."""
        return self.told(EventKind.ENTERED, phase=phase, **facts)

    def rolls_back(self, reason: str = "ordered") -> Stage:
        """The rollback begins now."""
        return self.enters(Phase.ROLLING_BACK, reason=reason, message="because")

    def passes(self, seconds: float) -> Stage:
        """Time goes by."""
        self.now += seconds
        return self

    def sees(self, **changes: Any) -> Stage:
        """AWS shows something else."""
        self.seen = replace(self.seen, **changes)
        return self

    def builder(self, state: str, **changes: Any) -> Stage:
        """The builder is in this EC2 state."""
        return self.sees(builder=Builder("i-0123456789abcdef0", state, **changes))

    def image(self, state: str, **changes: Any) -> Stage:
        """The image is in this state."""
        return self.sees(image=Image("ami-1", "web-production-v42-abcdef12", state, **changes))

    def checks(self, *names_: str, passed: bool = True, times: int = 3) -> Stage:
        """These checks answer so many times in a row, a second apart, with AWS as it is seen now."""
        for _ in range(times):
            self.passes(1)
            results = tuple(CheckResult(name, passed, "seen", self.now) for name in names_)
            self.sees(checks=results, at=self.now)
            self.notices()
        return self.sees(checks=())

    def notices(self) -> Stage:
        """What the look shows becomes events, as the driver does it."""
        for seen in phases.noticed(self.release, self.seen, self.config):
            self.told(EventKind.OBSERVED, **Observed(seen).to_facts())
        return self

    @property
    def taken(self) -> Taken:
        """What was taken of green, as it was seen last."""
        assert self.release.taken is not None
        return self.release.taken

    # --- the usual way to a phase ---

    def launched(self) -> Stage:
        """Blue pinned, green in service beside it."""
        more = {"green": IDLE_BEFORE} if self.release.pair else {}
        blue = group(self.release.blue_group, target_groups=frozenset({TG}))
        self.enters(Phase.LAUNCHING, image="ami-1").did(Verb.PIN_BLUE, blue=BEFORE, **more).did(Verb.SUSPEND_BLUE)
        self.did(Verb.MAKE_TEMPLATE_VERSION, template_version=8).did(Verb.CREATE_GREEN, Verb.SUSPEND_GREEN)
        self.did(Verb.ATTACH_GREEN, attached=attached())
        marks: dict[str, Any] = {"release": self.release.id, "token": self.release.token}
        green = group(self.release.green_group, template_version="8", **marks)
        template = Template("lt-1", default=7, latest=8, ours=8)
        self.sees(blue=blue, green=green, template=template, routes=("web:80 -> web",)).targets(blue="healthy")
        return self.gives(0) if self.weighted else self

    def joined(self) -> Stage:
        """Both are in the load balancer, every target healthy, the target check held."""
        if self.weighted:
            return self.idle().enters(Phase.OVERLAPPING)
        self.launched().enters(Phase.CHECKING).enters(Phase.OVERLAPPING).did(Verb.JOIN_GREEN)
        self.attach("green").targets(blue="healthy", green="healthy")
        return self.checks()

    def idle(self) -> Stage:
        """Weighted: green is healthy in the idle target group, without traffic."""
        self.launched().enters(Phase.CHECKING).did(Verb.SHIFT, share=0).did(Verb.JOIN_GREEN)
        self.attach("green").targets(blue="healthy", green="healthy")
        return self.checks()

    def shifted(self, share: int) -> Stage:
        """Weighted: green was given this share, and every listener shows it."""
        return self.did(Verb.SHIFT, share=share).gives(share)

    def gives(self, *shares: float | None) -> Stage:
        """Weighted: what the listener gives green, and the rule, if that is another share."""
        return self.sees(shares=dict(zip((LISTENER, RULE), shares if len(shares) > 1 else shares * 2, strict=True)))

    def switched(self) -> Stage:
        """Green alone is in the load balancer, the soak begins now."""
        if self.weighted:
            return self.joined().enters(Phase.SWITCHING).shifted(100).enters(Phase.SOAKING)
        self.joined().enters(Phase.SWITCHING).did(Verb.TAKE_BLUE_OUT)
        return self.detach("blue").targets(blue="draining", green="healthy").enters(Phase.SOAKING)

    def attach(self, which: str) -> Stage:
        """The group shows its target group as its own."""
        name = getattr(self.seen, which).name
        return self._target_groups(which, frozenset(self.release.targets_of(name)))

    def detach(self, which: str) -> Stage:
        """The group no longer shows it."""
        return self._target_groups(which, frozenset())

    def _target_groups(self, which: str, arns: frozenset[str]) -> Stage:
        return self.sees(**{which: replace(getattr(self.seen, which), target_groups=arns)})

    def alter(self, which: str, **changes: Any) -> Stage:
        """Something about the group is otherwise."""
        return self.sees(**{which: replace(getattr(self.seen, which), **changes)})

    def targets(self, **states: str) -> Stage:
        """Every instance of the named groups is in this target state; the others are absent."""
        members: dict[str, dict[str, str]] = {arn: {} for arn in self.release.target_groups}
        for which, state in states.items():
            group_ = getattr(self.seen, which)
            for arn in self.release.targets_of(group_.name):
                members[arn] |= {i.id: state for i in group_.instances}
        groups = (self.release.blue_group, self.release.green_group) if self.weighted else ()
        return self.sees(targets=members, homes={name: frozenset(self.release.targets_of(name)) for name in groups})

    # --- what is decided ---

    @property
    def decision(self) -> Decision:
        """What to do now."""
        return phases.decide(self.release, self.seen, self.config, self.now)

    @property
    def verb(self) -> Verb | None:
        """The act that is decided, if it is one."""
        decision = self.decision
        return decision.verb if isinstance(decision, Act) else None
