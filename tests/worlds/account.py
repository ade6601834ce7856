"""A stage for the door to AWS: a pretend account with a service, a Cloud on it, and one release, moved by verbs."""

from __future__ import annotations

from typing import Any, Self

from bluegreen import phases
from bluegreen.aws import Cloud
from bluegreen.config import Config, parse
from bluegreen.events import Act, Did, Event, EventKind, Made, Observed, Phase, Verb
from bluegreen.iam_policy import Holder, Statement, policy
from bluegreen.observation import AccountFacts, Baseline, Observation
from bluegreen.release import Release, apply, fold, names
from lab.aws import FakeAws
from lab.clock import VirtualClock
from lab.machines import FakeMachines
from lab.world import World
from tests.worlds.release import small

COMMIT = "abcdef1234567890"
JOURNAL = (Verb.CLAIM_BUILDER, Verb.FREE_BUILDER)
#: What a policy names of an account that has everything.
FACTS = AccountFacts(
    id="123456789012",
    templates=("lt-0123456789abcdef0",),
    roles=("arn:aws:iam::123456789012:role/web-instance",),
    alarms=("web-high",),
)
LISTENER = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/web/0123456789abcdef/1123456789abcdef"
RULE = LISTENER.replace(":listener/", ":listener-rule/") + "/2123456789abcdef"
BUILDER = {"builder": {"tag": "web-builder", "run": "./install"}}
METRIC = {"name": "slow", "metric": "TargetResponseTime", "statistic": "p99", "at_most": 1.5}


def full() -> tuple[Statement, ...]:
    """The policy of a configuration that needs everything."""
    traffic = {"target_groups": ["a", "b"], "listeners": [LISTENER, RULE], "steps": [0, 50]}
    checks = [METRIC, {"name": "unit", "run": "true"}]
    return policy(parse(small(image=BUILDER, traffic=traffic, checks=checks)), FACTS, "bluegreen", Holder.BOT)


class AwsStage:
    """A service in a fake AWS, and a release of it that only moves when told."""

    def __init__(
        self, *, config: dict[str, Any] | None = None, ami: bool = False, token: str = "", **world: Any
    ) -> None:
        clock = VirtualClock()
        self.machines = FakeMachines(clock)
        self.fake = FakeAws(clock, self.machines)
        self.world = World.standard(self.fake, **world)
        self.config: Config = parse(self.world.config(**(config or {})))
        self.clock = self.fake.clock
        self.cloud = self.another_cloud()
        self.ami = self.world.image if ami else ""
        self.permits = 0
        self.token = token
        self._release: Release | None = None

    def another_cloud(self, **options: Any) -> Cloud:
        """What another process would have: nothing remembered."""
        return Cloud(self.config, self.fake.session(), attempts=1, **options)

    def client(self, service: str) -> Any:
        """Somebody else's client."""
        return self.world.client(service)

    def baseline(self, commit: str = COMMIT) -> Baseline:
        """The preflight of the service's group."""
        return self.cloud.baseline(self.world.group, commit, self.ami)

    @property
    def release(self) -> Release:
        """The release; begun when first asked for."""
        if self._release is None:
            found = self.baseline()
            facts = {
                "service": self.config.id,
                "number": 1,
                "who": "me",
                "commit": COMMIT,
                "image": found.image,
                "hold": False,
                "config": self.config.to_dict(),
                "blue_group": found.blue.name,
                "target_groups": list(found.target_groups),
                "listeners": list(found.listeners),
                "previews": list(found.previews),
                "routes": list(found.routes),
                "idle_target_group": found.idle_target_group,
                "stickiness": found.stickiness,
                "builder": found.builder,
                "default_version": found.template.default,
                "token": self.token,
                **names(self.config.id, 1, COMMIT),
            }
            self._first = Event(f"{self.config.id}#1", 1, self.clock.now(), EventKind.STARTED, facts)
            self._release = fold([self._first])
        return self._release

    def begins_again(self, token: str) -> None:
        """The journal is lost: another release of the same number."""
        facts = {**self._first.facts, "token": token}
        self._release = fold([Event(self._first.release, 1, self.clock.now(), EventKind.STARTED, facts)])

    def told(self, kind: EventKind, **facts: Any) -> None:
        """One more event."""
        release = self.release
        self._release = apply(release, Event(release.id, release.seq + 1, self.clock.now(), kind, facts))

    def enters(self, phase: Phase, **facts: Any) -> None:
        """The phase begins now."""
        self.told(EventKind.ENTERED, phase=phase, **facts)

    def perform(self, verb: Verb, **what: Any) -> Made:
        """The act alone, as after a crash before its `did` was written."""
        return self.cloud.perform(Act(verb, **what), self.release, self._permit)

    def act(self, verb: Verb, **what: Any) -> Made:
        """The act with its events."""
        return self.does(Act(verb, **what))

    def does(self, act: Act) -> Made:
        """The act that was decided on, with its events."""
        self.told(EventKind.BEGAN, **act.to_facts())
        made: Made = {} if act.verb in JOURNAL else self.cloud.perform(act, self.release, self._permit)
        self.told(EventKind.DID, **Did(act.verb, **made).to_facts())
        return made

    def _permit(self) -> None:
        self.permits += 1

    def observe(self) -> Observation:
        """One look now."""
        return self.cloud.observe(self.release, self.clock.now())

    def step(self) -> phases.Decision:
        """Look, decide, and do it; what was decided."""
        seen = self.observe()
        for one in phases.noticed(self.release, seen, self.config):
            self.told(EventKind.OBSERVED, **Observed(one).to_facts())
        decision = phases.decide(self.release, seen, self.config, self.clock.now())
        match decision:
            case phases.Wait(seconds=seconds):
                self.clock.sleep(seconds)
            case phases.Act():
                self.does(decision)
            case phases.Enter(phase=phase, image=image):
                self.enters(phase, **({"image": image} if image else {}))
            case phases.RollBack(reason=reason, message=message):
                self.enters(Phase.ROLLING_BACK, reason=reason, message=message)
        return decision

    def go_to(self, phase: Phase) -> Self:
        """Drive until the phase is entered."""
        for _ in range(2000):
            if self.release.phase is phase:
                return self
            decision = self.step()
            assert not isinstance(decision, phases.Rest), decision
        raise AssertionError(f"never came to {phase}: {self.release.phase}")

    def go_to_the_end(self) -> phases.Rest:
        """Drive until it is over."""
        for _ in range(2000):
            decision = self.step()
            if isinstance(decision, phases.Rest):
                return decision
        raise AssertionError(f"never ended: {self.release.phase}")

    def changes(self) -> list[str]:
        """The changing calls that the cloud made, in order."""
        return [call.name for call in self.fake.calls if call.mutating]
