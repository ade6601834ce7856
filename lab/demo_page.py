"""The demo in a browser: fleet, traffic and the channel on one page, with real processes behind it.

    page ── types, presses ──► fake Slack ══ Socket Mode ══ the bot (a process) ─┐
      └──── Release ─────────► `bluegreen release` (a process) ─────────────────────┴─► fake AWS, real servers

The page only shows what is there and passes on what people do; nothing here knows how a release goes.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import threading
import time
import webbrowser
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

from aiohttp import web

from lab.balancer import HOST, Loop
from lab.demo_service import SERVICE, CommandProcess, DemoService, Teller
from lab.load import Visit
from lab.slack import ON_CALL, PROMOTER, SECOND, FakeSlack, PostedMessage

PAGE = Path(__file__).with_name("page")
CHANNEL = "C0DEPLOYS"
RULES = {"channel": CHANNEL, "promoters": [PROMOTER.id, SECOND.id], "rollbackers": [PROMOTER.id, ON_CALL.id]}
SHOWN = 90
"""Seconds of traffic in the chart."""
SOAK = 30
"""Seconds in which one can still type /rollback and see the old version back at once."""
STORIES = {
    "": "Version {live} serves. Release a version, and follow its card in the channel.",
    "baking": "An image is made of the new commit; visitors notice nothing.",
    "launching": "As many new servers start as serve now.",
    "checking": "The new servers are judged before they get any traffic.",
    "overlapping": "Both versions serve. The card says how each fares.",
    "holding": "Both serve until somebody decides: press Promote, or type /promote or /rollback. Try it as guest, too.",
    "switching": "The old servers leave the load balancer.",
    "soaking": "The new version serves alone, the old servers wait beside it: type /rollback, and they are back.",
    "retiring": "The old servers go.",
    "rolling_back": "The traffic returns to the old version.",
}


#: The version of an instance that has none yet.
UNKNOWN = "?"


class Colours:
    """A version has the colour of its group's role: blue or green, grey before it has one.

    What it served keeps the colour of then, so that the move from one to the other can be seen afterwards.
    """

    def __init__(self) -> None:
        self._now: dict[str, str] = {}
        self._then: dict[int, dict[str, str]] = {}

    def learn(self, fleet: list[dict[str, Any]]) -> None:
        """Who is what now; a group that stands alone is blue to the next release."""
        for group in fleet:
            role = "blue" if len(fleet) == 1 else group["role"]
            versions = {one["version"] for one in group["instances"]} - {UNKNOWN}
            if role and versions:
                others = {version: own for version, own in self._now.items() if own != role or version in versions}
                self._now = {**others, **dict.fromkeys(versions, role)}

    def of(self, version: str) -> str:
        """Its colour now."""
        return self._now.get(version, "grey")

    def then(self, at: int, versions: Collection[str]) -> dict[str, str]:
        """Version -> its colour in that second, which is that of when it was first asked for."""
        self._then = {second: own for second, own in self._then.items() if second >= at - SHOWN}
        known = self._then.setdefault(at, {})
        for version in versions:
            known.setdefault(version, self.of(version))
        return dict(known)


class DemoPage:
    """The stage with a channel before it, as the page sees it."""

    def __init__(self, stage: DemoService, slack: FakeSlack) -> None:
        """Show that stage and that workspace."""
        self._stage, self._slack = stage, slack
        self._version = 1
        self._running: list[CommandProcess] = []
        self._lock = threading.Lock()
        self._colours = Colours()
        self._journal = stage.world.client("dynamodb")

    # --- what is shown ---------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Everything that the page shows now."""
        under_way = self._under_way()
        with self._lock:
            self._colours.learn(fleet := self._fleet())
            traffic = self._traffic()
        return {
            "now": time.time(),
            "service": SERVICE,
            "people": [{"id": one.id, "name": one.name, "role": one.role} for one in self._slack.people.values()],
            "channel": {"id": CHANNEL, "name": self._slack.channels[CHANNEL]},
            "bot": {"id": self._slack.bot, "name": "bluegreen"},
            "messages": [_message(one) for one in self._slack.messages.copy()],
            "home": dict(self._slack.homes),
            "fleet": fleet,
            "traffic": traffic,
            "releasing": bool(under_way) or self._starting(),
            "story": STORIES[self._phase(under_way)].format(live=self._live()),
        }

    def _under_way(self) -> str:
        """The number of the release under way, as the journal has it; "" when there is none."""
        key = {"pk": {"S": "service"}, "sk": {"S": SERVICE}}
        try:
            found = self._journal.get_item(TableName="bluegreen", Key=key, ConsistentRead=True).get("Item", {})
        except self._journal.exceptions.ResourceNotFoundException:
            return ""
        return str(found.get("under_way", {}).get("N", ""))

    def _starting(self) -> bool:
        return any(one.running for one in self._running)

    def _phase(self, number: str) -> str:
        """The phase of this release as the journal has it, "" without one."""
        if not number:
            return ""
        of_release = {":pk": {"S": f"{SERVICE}#{number}"}, ":event": {"S": "event/"}, ":entered": {"S": "entered"}}
        pages = self._journal.get_paginator("query").paginate(
            TableName="bluegreen",
            KeyConditionExpression="pk = :pk AND begins_with(sk, :event)",
            FilterExpression="#kind = :entered",
            ExpressionAttributeNames={"#kind": "kind"},
            ExpressionAttributeValues=of_release,
        )
        entered = [json.loads(item["facts"]["S"])["phase"] for page in pages for item in page["Items"]]
        return entered[-1] if entered and entered[-1] in STORIES else "baking"

    def _live(self) -> str:
        versions = self._stage.load.lately(1.0).by_version()
        return " and ".join(sorted(versions)) or "?"

    def _fleet(self) -> list[dict[str, Any]]:
        """Every group, blue first: of two, the older one is blue."""
        groups = self._stage.aws.engine.state.groups
        names = sorted(groups, key=lambda name: (_number(name), name))
        roles = ["blue", "green"] if len(names) > 1 else [""]
        groups_of_targets = [self._stage.aws.serving(arn) for arn in self._stage.world.target_groups]
        serving = {one: state for states in groups_of_targets for one, state in states.items()}
        return [
            {"name": name, "role": role, "instances": self._instances(name, serving)}
            for name, role in zip(names, [*roles, *[""] * len(names)], strict=False)
        ]

    def _instances(self, group: str, serving: dict[str, str]) -> list[dict[str, Any]]:
        asked = self._stage.balancer.counts.by_target
        members = self._stage.aws.members(group)
        return [
            {
                "id": one,
                "version": self._version_of(one),
                "state": serving.get(one, "unused" if lifecycle == "InService" else "starting"),
                "requests": asked[one],
            }
            for one, lifecycle in members.items()
        ]

    def _version_of(self, instance: str) -> str:
        with contextlib.suppress(OSError):
            return (self._stage.servers.disk(instance) / "VERSION").read_text().strip()
        return UNKNOWN

    def _traffic(self) -> dict[str, Any]:
        total, failed = self._stage.load.totals()
        seconds: dict[int, list[Visit]] = {}
        for visit in self._stage.load.lately(SHOWN).all:
            seconds.setdefault(int(visit.ended), []).append(visit)
        shown = [_second(at, seconds[at]) for at in sorted(seconds)]
        for one in shown:
            one["colours"] = self._colours.then(one["at"], one["versions"])
        colours = {version: colour for one in shown for version, colour in one["colours"].items()}  # the latest wins
        return {"total": total, "failed": failed, "seconds": shown, "colours": colours}

    # --- what people do --------------------------------------------------------------------------

    def command(self, user: str, text: str) -> None:
        """Type something into the channel."""
        if text.startswith("/"):
            self._slack.say(user, text, alone=True)
            delivery = self._slack.command(user, text).wait()
            if delivery.trouble:
                self._slack.say(user, f"{text.split(maxsplit=1)[0]} failed: {delivery.trouble}", alone=True)
        else:
            self._slack.say(user, text)

    def press(self, user: str, ts: str | None, action: str, value: str | None) -> None:
        """Press a button of a message, or of the Home."""
        if ts is None:
            self._slack.press_at_home(user, action, value or "")
        else:
            self._slack.press(user, ts, action, value)

    def home(self, user: str) -> None:
        """Open the Home."""
        self._slack.open_home(user)

    def release(self, *, ill: bool) -> None:
        """Push a commit and release it, as a merge would."""
        with self._lock:
            if self._under_way() or self._starting():
                raise ValueError("a release is under way")
            self._version += 1
            trouble = self._stage.ill_soon if ill else {}
            commit = self._stage.servers.repository.push(str(self._version), **trouble)
            self._running = [self._stage.bluegreen("release", "--commit", commit, by="person")]


def _message(message: PostedMessage) -> dict[str, Any]:
    kept = ("ts", "user", "text", "blocks", "thread_ts", "broadcast", "ephemeral")
    return {**{name: getattr(message, name) for name in kept}, "edited": message.edited > 0}


def _second(at: int, visits: list[Visit]) -> dict[str, Any]:
    versions = Counter(visit.version for visit in visits if visit.version is not None and not visit.failed)
    return {"at": at, "versions": dict(versions), "failed": sum(visit.failed for visit in visits)}


def _number(group: str) -> int:
    """The release that made the group; the first group has none."""
    number = group.rpartition("-v")[2]
    return int(number) if number.isdigit() else 0


# --- the page ------------------------------------------------------------------------------------------------


class PageServer:
    """The page and its few calls, on a loopback port: the one that is wished for, or a free one."""

    def __init__(self, demo_page: DemoPage, port: int = 0) -> None:
        """Serve it."""
        self._demo_page = demo_page
        self._loop = Loop("page")
        self._runner: web.AppRunner
        self.url = f"http://{HOST}:{self._loop.run(self._open(port))}/"

    def close(self) -> None:
        """Serve nobody any more."""
        self._loop.run(self._runner.cleanup())
        self._loop.close()

    async def _open(self, port: int) -> int:
        site = web.Application()
        site.router.add_get("/", self._index)
        site.router.add_get("/state", self._state)
        for name in ("command", "press", "release", "home"):
            site.router.add_post(f"/{name}", self._act)
        site.router.add_static("/", PAGE)
        self._runner = web.AppRunner(site, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, HOST, port).start()
        except OSError:  # taken
            await web.TCPSite(self._runner, HOST, 0).start()
        return int(self._runner.addresses[0][1])

    async def _index(self, request: web.Request) -> web.FileResponse:
        return web.FileResponse(PAGE / "index.html")

    async def _state(self, request: web.Request) -> web.Response:
        return web.json_response(await self._in_a_thread(self._demo_page.state))

    async def _act(self, request: web.Request) -> web.Response:
        said = await request.json()
        try:
            await self._in_a_thread(lambda: self._done(request.path, said))
        except (KeyError, ValueError, StopIteration) as error:
            return web.json_response({"error": str(error) or "that no longer exists"}, status=400)
        return web.Response(status=204)

    def _done(self, path: str, said: dict[str, Any]) -> None:
        match path:
            case "/command":
                self._demo_page.command(said["user"], said["text"])
            case "/press":
                self._demo_page.press(said["user"], said["ts"], said["action_id"], said["value"])
            case "/release":
                self._demo_page.release(ill=bool(said.get("ill")))
            case _:
                self._demo_page.home(said["user"])

    async def _in_a_thread(self, act: Any) -> Any:  # Any: whatever it returns
        import asyncio

        return await asyncio.to_thread(act)


def open_page(teller: Teller, instances: int, visitors: int, port: int, *, seconds: float, **settings: Any) -> int:
    """Build everything, open the browser, and keep the page until Ctrl-C or until the time is over.

    `settings` go to the stage.
    """
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bluegreen-demo-", ignore_cleanup_errors=True))
        with teller.waiting("Starting the servers of version 1, visitors, a fake Slack and the bot"):
            stage = DemoService(
                Path(folder),
                teller,
                instances,
                visitors,
                seconds=seconds,
                slack=RULES,
                timeouts={"bake": 300},
                **settings,
            )
            stack.callback(stage.close)
            slack = stack.enter_context(FakeSlack())
            CommandProcess(stage.background("bot", LOG_LEVEL="WARNING", **slack.environment), teller.hear)
            _wait_for(slack)
            page = PageServer(DemoPage(stage, slack), port)
            stack.callback(page.close)
        teller.say(f"\nOpen [bold]{page.url}[/bold]   (Ctrl-C ends it; so do {seconds / 60:.0f} minutes)\n")
        threading.Thread(target=webbrowser.open, args=(page.url,), daemon=True).start()
        time.sleep(seconds)
    teller.say("The visitors have gone home: the time of the demo is over.")
    return 0


def _wait_for(slack: FakeSlack, seconds: float = 60.0) -> None:
    """Until the bot is there."""
    ends = time.monotonic() + seconds
    while not slack.connected():
        if time.monotonic() > ends:
            raise TimeoutError("the bot does not come up")
        time.sleep(0.1)
