"""A release told by hand, with the card that Slack shows of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bluegreen.events import EventKind, Outcome, Phase, Verb
from bluegreen.release import fold
from bot import messages
from bot.messages import Message
from tests.worlds.events import Diary

ACCOUNT, REGION = "123456789012", "ap-northeast-2"
SERVER = "https://github.com"
SOURCE = {
    "server": SERVER,
    "repository": "acme/web",
    "title": "Faster checkout",
    "author": "Ann",
    "pull": "7",
    "run_url": f"{SERVER}/acme/web/actions/runs/1",
}
OLD_COMMIT, NEW_COMMIT = "1a2b3c4d5e6f", "9f8e7d6c5b4a"
OLD_URL, NEW_URL = (f"{SERVER}/acme/web/commit/{commit}" for commit in (OLD_COMMIT, NEW_COMMIT))
PERSON, SECOND = "slack:U0PROMOTER", "slack:U0SECOND"


class Story(Diary):
    """A release of a service in an account, started by a run of a workflow."""

    def __init__(
        self, *, source: Mapping[str, str] | None = None, facts: Mapping[str, Any] | None = None, **more: Any
    ) -> None:
        super().__init__(**more)
        told = {"source": {**SOURCE, **(source or {})}, "account": ACCOUNT, "region": REGION, "blue_commit": OLD_COMMIT}
        self.last = replace(self.last, facts={**self.last.facts, **told, **(facts or {})})
        self.release = fold([self.last])

    def comes_to(self, phase: Phase) -> Story:
        """The usual way there; to the rollback from the overlap."""
        if phase in (Phase.CHECKING, Phase.LAUNCHING):
            self.does(Verb.MAKE_IMAGE, image="ami-0abc").enters(Phase.LAUNCHING, image="ami-0abc")
            self.does(Verb.PIN_BLUE).does(Verb.CREATE_GREEN).sees("blue", 4, 4, 100).sees("green", 1, 0, 0)
        elif phase is not Phase.BAKING:
            self.serves_both()
        if phase is Phase.ROLLING_BACK:
            return self.rolls_back()
        if phase in (Phase.RETIRING, Phase.SOAKING):
            self.sees("blue", 4, 0, 0).sees("green", 4, 4, 100)
        if phase not in (Phase.BAKING, Phase.LAUNCHING, Phase.OVERLAPPING):
            self.enters(phase)
        return self

    def rolls_back(self, reason: str = "check_failed", message: str = "home did not hold: 503") -> Story:
        """The traffic returns to blue."""
        self.enters(Phase.ROLLING_BACK, reason=reason, message=message)
        return self

    def ordered(self, kind: EventKind, who: str = PERSON) -> Story:
        """A person orders."""
        self.happens(kind, who=who, why="it is slow")
        return self

    def ends(self, outcome: Outcome, reason: str = "completed", message: str = "") -> Story:
        """It settles."""
        self.settles(outcome, reason, message)
        return self

    @property
    def card(self) -> Message:
        """Its card five seconds later."""
        return messages.card(self.release, self.now + 5)


def at(phase: Phase, **more: Any) -> Story:
    """A release in that phase."""
    return Story(**more).comes_to(phase)
