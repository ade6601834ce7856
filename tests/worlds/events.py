"""A release told by hand: a diary of events for what words and pictures are made from."""

from __future__ import annotations

from typing import Any, Self

from bluegreen.events import Awaited, Event, EventKind, Phase, Verb
from bluegreen.observation import Finding, FindingKey, Verdict
from bluegreen.release import Release, apply, fold, names
from tests.worlds.release import SERVICE, config

ARN = "arn:aws:elasticloadbalancing:ap-northeast-2:123456789012:targetgroup/web/0123456789abcdef"
ALICE = "arn:aws:sts::123456789012:assumed-role/Admin/alice"
ID = f"{SERVICE}#42"
BEFORE: dict[str, Any] = {
    "desired": 4,
    "minimum": 2,
    "maximum": 8,
    "template": "lt-0123456789abcdef0",
    "template_version": "$Latest",
    "resolved_version": "7",
    "suspended": [],
    "routes": [],
}

WHO = {"who": "slack:U0ALICE"}
FACTS: dict[EventKind, dict[str, Any]] = {
    EventKind.ENTERED: {"phase": "overlapping"},
    EventKind.BEGAN: {"verb": "join_green"},
    EventKind.DID: {"verb": "join_green"},
    EventKind.STUMBLED: {"verb": "join_green", "code": "X", "message": "no", "transient": False, "denied": False},
    EventKind.OBSERVED: {"subject": "traffic", "value": "both"},
    EventKind.BLINDED: {"code": "X", "message": "Rate exceeded"},
    EventKind.AWAITED: {"awaited": "overlap", "deadline": 1300.0},
    EventKind.ERRED: {"code": "KeyError", "message": "KeyError: 'x' (phases/retiring.py, line 42)"},
    EventKind.PROMOTED: WHO,
    EventKind.HOLD_ORDERED: WHO,
    EventKind.ROLLBACK_ORDERED: {**WHO, "why": "it is slow"},
    EventKind.INTERRUPTED: {"holder": "host:1"},
    EventKind.TAKEN_UP: {"holder": "host:1"},
    EventKind.RESUMED: WHO,
    EventKind.SETTLED: {"outcome": "live", "reason": "completed", "message": "", "left": []},
}


#: What may stand beside a release: (what to do is said, what is good to know).
FOUND = (
    Finding(
        FindingKey.KEPT_ELSEWHERE, "web-asg belongs to a stack", "the stack will miss it", hint="Set `retire: empty`."
    ),
    Finding(FindingKey.OPEN_CONNECTIONS, "open connections stay", verdict=Verdict.NOTED),
)


class Diary:
    """One release; every verb adds an event a second later, `told` is what a driver would have told."""

    def __init__(
        self,
        *,
        hold: bool = False,
        blue: str = "web-production-v41",
        at: float = 1000.0,
        found: bool = False,
        **keys: Any,
    ) -> None:
        self.now = at
        self.told: list[tuple[Release, Event | None, Awaited | None, float | None]] = []
        facts = {
            "service": SERVICE,
            "number": 42,
            "who": ALICE,
            "commit": "9f8e7d6c5b4a",
            "image": "",
            "hold": hold,
            "config": config(**keys).to_dict(),
            "blue_group": blue,
            "target_groups": [ARN],
            "builder": "i-0123456789abcdef0",
            "findings": [one.to_facts() for one in FOUND] if found else [],
            **names(SERVICE, 42, "9f8e7d6c5b4a"),
        }
        self.last = Event(ID, 1, at, EventKind.STARTED, facts)
        self.release = fold([self.last])
        self.told.append((self.release, self.last, None, None))

    def happens(self, kind: EventKind, **facts: Any) -> Self:
        """One more event."""
        self.now += 1
        self.last = Event(ID, self.release.seq + 1, self.now, kind, facts)
        self.release = apply(self.release, self.last)
        self.told.append((self.release, self.last, None, None))
        return self

    def waits(self, awaited: Awaited, seconds: float | None = None) -> Self:
        """The driver waits, for so long at most."""
        deadline = None if seconds is None else self.now + seconds
        self.told.append((self.release, None, awaited, deadline))
        return self

    def enters(self, phase: Phase, **facts: Any) -> Self:
        """The next phase begins."""
        return self.happens(EventKind.ENTERED, phase=phase, **facts)

    def does(self, verb: Verb, **made: Any) -> Self:
        """An act is begun and done."""
        facts = {"blue": BEFORE} if verb is Verb.PIN_BLUE else {}
        return self.happens(EventKind.BEGAN, verb=verb, **facts).happens(EventKind.DID, verb=verb, **made)

    def sees(self, which: str, up: int, serving: int, share: int | None, desired: int = 4) -> Self:
        """A group is seen to change."""
        sizes = {"desired": desired, "in_service": up, "serving": serving, "share": share}
        return self.happens(EventKind.OBSERVED, subject=which, value=f"{up} of {desired}", **sizes)

    def checks(
        self,
        name: str,
        *,
        passed: bool,
        streak: int = 1,
        held: bool = False,
        value: str = "200",
        changes: int = 0,
        over: float = 0.0,
    ) -> Self:
        """A check answers; of one that flaps, how often it changed and in how many seconds."""
        since: dict[str, Any] = {"since": self.now, "held_since": self.now if held else None, "lost": False}
        since |= {"changes": changes, "over": over} if changes else {}
        return self.happens(EventKind.OBSERVED, subject=name, value=value, passed=passed, streak=streak, **since)

    def settles(self, outcome: str, reason: str = "completed", message: str = "", left: tuple[str, ...] = ()) -> Self:
        """The release ends."""
        return self.happens(EventKind.SETTLED, outcome=outcome, reason=reason, message=message, left=list(left))

    def serves_both(self) -> Self:
        """The usual way to the middle of the overlap."""
        self.does(Verb.MAKE_IMAGE, image="ami-0abc").enters(Phase.LAUNCHING, image="ami-0abc").does(Verb.PIN_BLUE)
        self.does(Verb.MAKE_TEMPLATE_VERSION, template_version=8).does(Verb.CREATE_GREEN)
        self.enters(Phase.CHECKING).enters(Phase.OVERLAPPING).does(Verb.JOIN_GREEN)
        return self.sees("blue", 4, 4, 50).sees("green", 4, 4, 50)


def flapping(days: int = 3, instances: int = 400) -> tuple[list[Event], float]:
    """A release that is held while everything flaps, as often as the journal takes it, and when its last event was."""
    diary = Diary(hold=True).serves_both().enters(Phase.HOLDING)
    events = [event for _, event, _, _ in diary.told if event is not None]
    at, release = diary.now, events[0].release
    for number in range(days * 720):
        at += 120.0
        up = {"in_service": instances - number % 7, "serving": instances - number % 9}
        fleet = {"value": "x", "desired": instances, "share": 50, **up}
        check = {"value": f"503 after {number} ms", "passed": number % 2 == 0, "streak": 1, "since": at}
        for subject, facts in (("blue", fleet), ("green", fleet), ("home", check), ("api", check)):
            observed = {"subject": subject, **facts}
            events.append(Event(release, len(events) + 1, at, EventKind.OBSERVED, observed))
    return events, at
