"""Commands and buttons become orders to the core, and its answers become text for people.

A request acts once: the order itself carries the request's id into the journal, with the first answer. If this bot or
another gets the same request again, it gives the same answer and does nothing.
"""

from __future__ import annotations

import html
import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from functools import partial
from typing import Any, Protocol, TypeVar

from bluegreen.engine import Engine, ServiceStatus
from bluegreen.errors import AwsError, BlueGreenError, ConfigError, NotPermitted, Refused
from bluegreen.events import Event, Reason
from bluegreen.freezing import end_of, time_in
from bluegreen.orders import Caller
from bluegreen.permission import Order, permitted
from bluegreen.release import Release, release_id
from bot import messages
from bot.messages import Message
from bot.metrics import Counters, Fence
from bot.slack import Later, Lost, Refusal, Slack, UserGroups

log = logging.getLogger("bot.commands")

#: What can be typed, with what may follow; bot/manifest.yml and docs/slack.md say the same, and a test holds them.
COMMANDS: Mapping[str, str] = {
    "/promote": "[service] [environment] [override REASON]",
    "/hold": "[service] [environment]",
    "/rollback": "[service] [environment] [to N [override REASON]]",
    "/resume": "[service] [environment]",
    "/release": "service [branch, tag or commit], or: service plan",
    "/releases": "[service]",
    "/freeze": "service [4h | 2030-01-31 | forever] [reason], or: service off",
}
_HELP = frozenset({"help", "-h", "--help", "?"})
_PLAN = "plan"
_LIFT = frozenset({"off", "lift", "end"})


@dataclass(frozen=True)
class SlackRequest:
    """One request of a person, by a command or a button."""

    user: str
    request: str  # the same for every delivery of the same request
    channel: str
    respond: Callable[[Mapping[str, Any]], bool] = field(repr=False)
    at_home: bool = False  # whether it was pressed on the Home, which nobody but the person sees


@dataclass(frozen=True)
class Reply:
    """The answer for the person. `aloud` is one line for the channel, where no card shows it."""

    said: Message
    aloud: str = ""

    def to_facts(self) -> dict[str, Any]:
        """As the journal keeps it."""
        return {"text": self.said.text, "blocks": list(self.said.blocks), "aloud": self.aloud}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Reply:
        """The reverse of `to_facts`."""
        return cls(Message(facts["text"], tuple(facts["blocks"])), facts["aloud"])


class Commands:
    """Takes orders. `drive` is called with a release that needs a driver at once."""

    def __init__(
        self,
        engine: Engine,
        slack: Slack,
        *,
        drive: Callable[[str], None],
        heard: Callable[[str], None],
        github_token: str = "",
        github_api: str = "",
        metrics: Counters | None = None,
    ) -> None:
        self._engine, self._slack, self._groups = engine, slack, UserGroups(slack)
        self._drive, self._heard = drive, heard
        self._github = (github_token, github_api)
        self._fence = Fence(metrics or Counters(), log)

    # --- what comes in ---------------------------------------------------------------------------

    def command(self, name: str, text: str, asked: SlackRequest) -> None:
        """A slash command. The words come escaped (docs.slack.dev, slash commands)."""
        words = html.unescape(text).split()
        if words and words[0].lower() in _HELP:
            self._respond(asked, Reply(Message(f"{name} {COMMANDS[name]}")))
            return
        self._once(asked, lambda: self._does(name, words, asked))

    def _does(self, name: str, words: Sequence[str], asked: SlackRequest) -> Reply:
        does = {
            "/promote": self._promote,
            "/hold": self._hold,
            "/resume": self._resume,
            "/rollback": self._roll_back,
            "/release": self._release,
            "/releases": self._releases,
            "/freeze": self._freeze,
        }
        return does[name](words, asked)

    def pressed(self, action: str, value: str, asked: SlackRequest) -> None:
        """A button. Its value, which only we could have written, names its release."""
        kind = action.partition(":")[0]
        match kind:
            case messages.PROMOTE | messages.HOLD | messages.ROLL_BACK:
                self._once(asked, lambda: self._decide(kind, _service_of(value), asked, revision=value))
            case messages.CHOOSE:
                name, *words = json.loads(value)
                self._once(asked, lambda: self._does(name, words, asked))
            case messages.AGAIN:
                service, image, title, *in_spite = json.loads(value)
                override = in_spite[0] if in_spite else ""
                self._once(asked, lambda: self._again(service, image, title, asked, override))
        if asked.at_home or kind == messages.REFRESH:  # a decision takes its buttons with it
            self.publish_home(asked.user)

    def publish_home(self, user: str) -> None:
        """Show a person their dashboard."""
        now = self._engine.clock.now()
        histories: dict[str, list[Any]] = {}

        def look(one: ServiceStatus) -> None:
            rows = self._engine.history(one.service, messages.MOST_RELEASES)
            messages.history(rows, now)
            histories[one.service] = rows

        statuses = [one for one in self._visible(user) if self._fence.passes(_LISTED, one.service, partial(look, one))]
        by = Caller(f"slack:{user}", lambda group: self._groups.member(user, group))

        def may(one: ServiceStatus, order: Order) -> bool:
            return bool(one.release and permitted(order, by.who, one.release.config, by.member))

        view = messages.home(statuses, histories, now, may)
        try:
            self._slack.call("views.publish", about="the App Home", user_id=user, view=view)
        except (Later, Lost, Refusal) as error:
            log.warning("could not show a Home: %s", error)

    # --- once ------------------------------------------------------------------------------------

    def _once(self, asked: SlackRequest, act: Callable[[], Reply]) -> None:
        """Act, unless this request was answered before; then give that answer again."""
        try:
            first = self._engine.answered(asked.request)
            answer = Reply.from_facts(first) if first else self._acted(asked, act)
        except BlueGreenError as error:
            answer = _refused(error)
        except Exception:
            log.exception("an internal error while answering %s", asked.request)
            answer = Reply(
                Message("This is an internal error of the bot: its log has the details. The order may have failed.")
            )
        self._respond(asked, answer)

    def _acted(self, asked: SlackRequest, act: Callable[[], Reply]) -> Reply:
        try:
            answer = act()
        except Refused as refusal:
            answer = _refused(refusal)
        try:
            return Reply.from_facts(self._engine.answer(asked.request, answer.to_facts()))
        except AwsError as error:  # it is done, and the order itself holds the request
            log.warning("could not keep an answer: %s", error)
            return answer

    def _respond(self, asked: SlackRequest, answer: Reply) -> None:
        body = {**answer.said.body(), "response_type": "ephemeral", "replace_original": False}
        asked.respond(body)
        if answer.aloud:
            asked.respond({"text": answer.aloud, "response_type": "in_channel", "replace_original": False})

    def _by(self, asked: SlackRequest, revision: str = "") -> Caller:
        return Caller(
            f"slack:{asked.user}", lambda group: self._groups.member(asked.user, group), asked.request, revision
        )

    # --- promote, hold, roll back ----------------------------------------------------------------

    def _promote(self, words: Sequence[str], asked: SlackRequest) -> Reply:
        named, override = _overridden(words, "/promote web")
        service = self._meant(
            "/promote", _no_more_than_a_service(named), lambda release: release.promotable, words[len(named) :]
        )
        if isinstance(service, Reply):
            return service
        return self._decide(messages.PROMOTE, service, asked, override=override)

    def _hold(self, words: Sequence[str], asked: SlackRequest) -> Reply:
        service = self._meant("/hold", _no_more_than_a_service(words), lambda release: release.holdable)
        return service if isinstance(service, Reply) else self._decide(messages.HOLD, service, asked)

    def _resume(self, words: Sequence[str], asked: SlackRequest) -> Reply:
        """What nobody drives would be driven soon anyway; what failed goes on by somebody who may say so."""
        service = self._meant("/resume", _no_more_than_a_service(words), lambda release: True)
        if isinstance(service, Reply):
            return service
        release = self._engine.resume(service, who=self._by(asked))
        self._drive(release.id)
        self._heard(release.id)
        return Reply(Message(f"Resumed {release.id}."), self._aloud(_RESUME, release, asked))

    def _roll_back(self, words: Sequence[str], asked: SlackRequest) -> Reply:
        named, override = _overridden(words, "/rollback web to 41")
        rest, number = _to_number(named)
        if number is None and override:
            raise ConfigError("needs no reason", where="/rollback", hint="A rollback to blue needs no override.")
        if number is None:
            service = self._meant("/rollback", _no_more_than_a_service(rest), lambda release: release.returnable)
            return service if isinstance(service, Reply) else self._decide(messages.ROLL_BACK, service, asked)
        service = self._meant("/rollback", _no_more_than_a_service(rest), None, words[len(rest) :])
        if isinstance(service, Reply):
            return service
        image = self._engine.image_of(service, number)
        return self._again(service, image, f"release {number} again", asked, override)

    def _meant(
        self, name: str, words: Sequence[str], fits: Callable[[Release], bool] | None, rest: Sequence[str] = ()
    ) -> str | Reply:
        """The one service that the words mean; when there are several, a button for each that repeats the command.

        `fits` tells which releases under way the command may mean; None: it means no release under way.
        """
        found = _matching(self._engine.services(), words)
        if len(found) > 1 and fits is not None:
            under_way = [one for one in found if one.under_way]
            found = (
                [one for one in under_way if self._fits(one.service, one.under_way or 0, fits)] or under_way or found
            )
        if not found:
            raise ConfigError(
                f"there is no service {' '.join(words)}" if words else "no service has releases",
                where=name,
                hint="`/releases` lists the existing ones.",
            )
        if len(found) == 1:
            return str(found[0].service)
        values = [(one.service, json.dumps([name, one.service, *rest])) for one in found]
        if any(len(value) > messages.VALUE for _, value in values):
            listed = ", ".join(one.service for one in found)
            raise ConfigError("fits several services", where=name, hint=f"Name one of: {listed}.")
        return Reply(messages.choices(f"Which service does {name} mean?", values))

    def _fits(self, service: str, number: int, fits: Callable[[Release], bool]) -> bool:
        found: list[bool] = []
        id_ = release_id(service, number)
        return self._fence.passes("read", id_, lambda: found.append(fits(self._engine.load(id_)))) and found[0]

    def _decide(self, order: str, service: str, asked: SlackRequest, revision: str = "", override: str = "") -> Reply:
        by = self._by(asked, revision)
        give: Mapping[str, Callable[[], Event]] = {
            messages.PROMOTE: lambda: self._engine.promote(service, who=by, override=override),
            messages.HOLD: lambda: self._engine.hold(service, who=by),
            messages.ROLL_BACK: lambda: self._engine.roll_back(service, who=by),
        }
        try:
            event = give[order]()
        except Refused as refusal:
            return self._not_given(order, service, refusal, by)
        self._drive(event.release)
        self._heard(event.release)
        release = self._engine.load(event.release)
        return Reply(
            Message(f"{_ORDERED[order]} {event.release}.{_missing(release)}"), self._aloud(order, release, asked)
        )

    def _not_given(self, order: str, service: str, refusal: Refused, by: Caller) -> Reply:
        """Why not; past the point of return a rollback is offered as a release of the image before."""
        past = order == messages.ROLL_BACK and refusal.reason == Reason.MOVED_ON
        if past and (offer := self._offer(service, by)):
            return offer
        if by.revision and refusal.reason == Reason.MOVED_ON:
            return Reply(messages.refusal(f"This release has moved on: {messages.here(str(refusal))}"))
        raise refusal

    def _offer(self, service: str, by: Caller) -> Reply | None:
        """None when the release is not past the point of return, or nothing before it is known."""
        status = self._engine.status(service)[0]
        release = status.release
        if release is None or release.rollback_by or release.id != (by.revision.partition("|")[0] or release.id):
            return None
        try:
            previous = self._engine.previous(service, who=by)
        except NotPermitted:
            raise
        except Refused:
            return None
        title = f"release {previous.number} again" if previous.number else f"the image of {release.blue_group} again"
        return Reply(messages.again(previous, json.dumps([service, previous.image, title])))

    def _again(self, service: str, image: str, title: str, asked: SlackRequest, override: str = "") -> Reply:
        """What is known to be bad takes a second question."""
        try:
            release = self._engine.release_again(service, image, who=self._by(asked), title=title, override=override)
        except Refused as refusal:
            if refusal.reason != Reason.BAD_COMMIT or override:
                raise
            value = json.dumps([service, image, title, "asked twice in Slack"])
            return Reply(messages.known_bad(refusal.what, title, value))
        self._drive(release.id)
        self._heard(release.id)
        line = f"{messages.who(release.started_by)} started {release.id}: {messages.quoted(title)}"
        return Reply(Message(f"Started {release.id}: {title}."), line)

    def _aloud(self, order: str, release: Release, asked: SlackRequest) -> str:
        """The thread tells an order to its channel; a person who ordered elsewhere, or without one, is named there."""
        channel = (release.config.get("slack") or {}).get("channel")
        if channel == asked.channel or (channel and asked.at_home):
            return ""
        return f"{messages.who(f'slack:{asked.user}')}: {_ORDERED[order].lower()} {release.id}"

    # --- release, look, freeze -------------------------------------------------------------------

    def _release(self, words: Sequence[str], asked: SlackRequest) -> Reply:
        service, rest = self._meant_first("/release", words)
        if isinstance(service, Reply):
            return service
        if rest and rest[0].lower() == _PLAN:
            return Reply(messages.plan(self._engine.plan_next(service, who=self._by(asked))))
        token, api = self._github
        if not token:
            raise ConfigError(
                "the bot has no GITHUB_TOKEN", where="/release", hint="docs/slack.md says its permissions."
            )
        run = self._engine.dispatch(service, ref=rest[0] if rest else "", who=self._by(asked), token=token, api=api)
        shown = messages.link(run.url, "the run") or f"the workflow {messages.quoted(run.workflow)}"
        line = f"{messages.who(f'slack:{asked.user}')} started a release of {service} from {messages.quoted(run.ref)}"
        return Reply(Message(f"Started: {shown} in {messages.quoted(run.repository)}."), f"{line}: {shown}")

    def _meant_first(self, name: str, words: Sequence[str]) -> tuple[str | Reply, Sequence[str]]:
        """The service that the first words mean, and the words after; the only service there is need not be named."""
        records = self._engine.services()
        for many in (2, 1):
            if len(words) >= many and _matching(records, words[:many]):
                return self._meant(name, words[:many], None, words[many:]), words[many:]
        if len(records) == 1 and name == "/freeze":
            return str(records[0].service), words
        if not words:
            return self._meant(name, (), None), ()
        return self._meant(name, words[:1], None), ()

    def _releases(self, words: Sequence[str], asked: SlackRequest) -> Reply:
        found = _matching(self._visible(asked.user), _no_more_than_a_service(words))
        now = self._engine.clock.now()
        if words and not found:
            raise ConfigError(f"there is no service {' '.join(words)} that you may see", where="/releases")
        said = messages.overview(found, now)
        if len(found) == 1:
            rows = self._engine.history(found[0].service, messages.MOST_RELEASES)
            config = found[0].release.config if found[0].release else {}
            said = Message(said.text, (*said.blocks, messages.history(rows, now, self._engine.kept(rows), config)))
        return Reply(said)

    def _freeze(self, words: Sequence[str], asked: SlackRequest) -> Reply:
        service, rest = self._meant_first("/freeze", words)
        if isinstance(service, Reply):
            return service
        person = messages.who(f"slack:{asked.user}")
        if rest and rest[0].lower() in _LIFT:
            lifted = self._engine.unfreeze(service, who=self._by(asked))
            said = f"{service} is not frozen{'' if lifted else ', and was not'}."
            return Reply(Message(said), f"{person} lifted the freeze of {service}" if lifted else "")
        time, why = time_in(rest)
        if not time:
            self._engine.may_freeze(service, who=self._by(asked))
            return _how_long(service, why)
        until = end_of(time, self._engine.clock.now(), UTC)
        begun = self._engine.freeze(service, who=self._by(asked), why=why, until=until)
        lasts = f" until {messages.moment(until, '{date_short} {time}')}" if until else " until it is lifted"
        reason = f": {messages.quoted(why, 300)}" if why else ""
        goes_on = f" {begun.id} began before and goes on: `/hold {service}` lets it wait." if begun else ""
        return Reply(Message(f"{service} is frozen{lasts}.{goes_on}"), f"{person} froze {service}{lasts}{reason}")

    # --- who sees what ---------------------------------------------------------------------------

    def _visible(self, user: str) -> list[ServiceStatus]:
        """The services that the person may promote or roll back; nobody is shown others."""
        by = Caller(f"slack:{user}", lambda group: self._groups.member(user, group))
        found: list[ServiceStatus] = []

        def look(one: ServiceStatus) -> None:
            if one.unreadable:
                raise ConfigError(one.unreadable)
            if one.release and permitted(Order.LOOK, by.who, one.release.config, by.member):
                messages.overview([one], self._engine.clock.now())
                found.append(one)

        for one in self._engine.status():
            self._fence.passes(_LISTED, one.service, partial(look, one))
        return found


#: What is fenced off from other services, as the log and the metric have it.
_LISTED = "listed"
_RESUME = "resume"
_ORDERED = {
    _RESUME: "Resumed",
    messages.PROMOTE: "Promoted",
    messages.HOLD: "Held",
    messages.ROLL_BACK: "Ordered the rollback of",
}


#: What is offered to whoever does not say for how long, with the word that says it.
_SPANS = (("1 hour", "1h"), ("4 hours", "4h"), ("1 day", "1d"), ("Until it is lifted", "forever"))


def _how_long(service: str, why: str) -> Reply:
    """Nothing is frozen without an end that somebody asked for: a button for each length."""
    values = [(label, json.dumps(["/freeze", service, time, *why.split()])) for label, time in _SPANS]
    if any(len(value) > messages.VALUE for _, value in values):
        hint = f"Write the length first, as in: /freeze {service} 4h, and then the reason."
        raise ConfigError("has no length", where="/freeze", hint=hint)
    reason = f" The reason: {messages.quoted(why, 300)}." if why else ""
    return Reply(messages.choices(f"Not frozen yet. For how long should {service} be frozen?{reason}", values))


def _missing(release: Release) -> str:
    """Of a promotion that others must give, too."""
    left = release.approvals - len(release.promoters)
    return f" {left} more must promote it, too." if release.promotable and release.promoters and left else ""


def _refused(error: BlueGreenError) -> Reply:
    """Why not, where, and what to do or who may."""
    text = messages.mentioned(messages.here(f"{error.where}: {error.what}" if error.where else error.what))
    said = messages.here(error.hint)
    hint = messages.named(said) if isinstance(error, NotPermitted) else messages.quoted(said)
    return Reply(messages.refusal(text, hint))


def _service_of(revision: str) -> str:
    return revision.partition("|")[0].rpartition("#")[0]


def _to_number(words: Sequence[str]) -> tuple[Sequence[str], int | None]:
    """The words before `to N`, and N."""
    if len(words) < 2 or words[-2].lower() != "to":
        return words, None
    number = words[-1].rpartition("#")[2]
    if not re.fullmatch(r"[0-9]{1,9}", number) or int(number) < 1:
        raise ConfigError("is not the number of a release", where=f"to {words[-1]}", hint="Write it as in: to 41.")
    return words[:-2], int(number)


def _overridden(words: Sequence[str], example: str) -> tuple[Sequence[str], str]:
    """The words before `override`, and the reason after it."""
    at = next((n for n, word in enumerate(words) if word.lower() == "override"), len(words))
    if at == len(words) - 1:
        hint = f"Give a reason, as in: {example} override the shop is down."
        raise ConfigError("gives no reason", where=" ".join(words), hint=hint)
    return words[:at], " ".join(words[at + 1 :])


class _Named(Protocol):
    """What has the name of a service."""

    @property
    def service(self) -> str:
        """As in web/production."""
        ...


N = TypeVar("N", bound=_Named)


def _no_more_than_a_service(words: Sequence[str]) -> Sequence[str]:
    """`web`, `web production`, `web/production` or nothing; anything else is no service."""
    if len(words) > (1 if words and "/" in words[0] else 2):
        hint = "Write a service and its environment, as in: web production."
        raise ConfigError("has too many words", where=" ".join(words), hint=hint)
    return words


def _matching(found: Sequence[N], words: Sequence[str]) -> list[N]:
    """The services that `web`, `web production` or `web/production` means; all of them for no word."""
    if not words:
        return list(found)
    name = "/".join(words[:2]).lower()
    return [one for one in found if name in (one.service, one.service.partition("/")[0])]
