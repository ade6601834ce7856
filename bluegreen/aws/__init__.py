"""All access to AWS: `baseline` before a release, then `observe` and `perform`, each at once and repeatable.

    preflight   what a release may start from          builder    the instance that makes images
    permitted   what EC2 permits of it, by DryRun      capacity   what AWS counts of a group's instances
    inventory   what earlier releases left             commands   scripts on instances, by SSM; `hooks` run once
    survey      the account before a first release
    observer    what a phase observes                  images     found, made, dropped
    calls       clients, counts, permits, errors       templates  our one launch template version
    probes      the config's checks                    groups     pinned, made, emptied; `copy` is the copy,
                                                                  `attachments` what hangs on it,
                                                                  `pair` of a standing pair
                                                       traffic    joining, leaving, weights, what is shown

This package uses no sleep, clock or environment. Only this package sees boto3 and its errors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import IO

import boto3

from bluegreen.aws import (
    attachments,
    builder,
    groups,
    hooks,
    images,
    inventory,
    pair,
    permitted,
    preflight,
    prices,
    sources,
    survey,
    templates,
    traffic,
)
from bluegreen.aws.calls import ATTEMPTS, Beside, Calls, Heed, caller, session, web_identity_session
from bluegreen.aws.observer import Observer
from bluegreen.aws.probes import Fetch, HttpAnswer, HttpRequest, Mask, Probes, Stopwatch, fetcher
from bluegreen.config import Config
from bluegreen.costs import Price
from bluegreen.events import Act, Made, Outcome, Verb
from bluegreen.observation import (
    AccountFacts,
    Baseline,
    Candidates,
    Finding,
    Footprint,
    GroupDetails,
    Image,
    Observation,
    Remains,
    Traces,
)
from bluegreen.release import Release

#: What was read so many seconds ago, and not changed by us since, is not read again: half a poll at most.
FRESH = 2.0

__all__ = [
    "ATTEMPTS",
    "Beside",
    "Cloud",
    "Fetch",
    "HttpAnswer",
    "HttpRequest",
    "account",
    "caller",
    "candidates",
    "details",
    "left_groups",
    "remains",
    "session",
    "web_identity_session",
]


def remains(service: str, region: str | None, session: boto3.Session | None) -> Remains:
    """What has a service's tags; it asks each API once."""
    calls = Calls(region, session, attempts=1)
    with calls.translate_errors():
        return inventory.remains(calls, service)


def left_groups(region: str | None, session: boto3.Session | None, also: Collection[str] = ()) -> tuple[Footprint, ...]:
    """Every group that a release of any service made, and those named; `targets` has all that gives it traffic."""
    calls = Calls(region, session, attempts=1)
    with calls.translate_errors():
        return inventory.left(calls, also)


def account(config: Config, region: str | None, session: boto3.Session | None) -> AccountFacts:
    """What a policy for releases of the service names; ConfigError when there is no group of it."""
    calls = Calls(region, session)
    with calls.translate_errors():
        return inventory.account(calls, config)


def candidates(region: str | None, session: boto3.Session | None) -> Candidates:
    """Every group of the region, as a first release sees it."""
    calls = Calls(region, session)
    with calls.translate_errors():
        return survey.candidates(calls)


def details(region: str | None, session: boto3.Session | None, group: str) -> GroupDetails:
    """What a first release of the group finds around it; AwsError when the group is gone."""
    calls = Calls(region, session)
    with calls.translate_errors():
        return survey.details(calls, group)


class Cloud:
    """AWS as one service's releases need it.

    `mask` hides secrets in what commands printed. `stopwatch` (seconds from any start) times the answers to HTTP
    checks; without one they have no time. `fetch` asks the URLs of those checks, in place of urllib3. `attempts` is
    how often botocore tries a call that fails for passing reasons. `beside` makes the calls of an
    observation while the driver listens; by default threads do. `clock` (epoch seconds) dates the answers of
    AWS, so that an act uses what the observation before it read. Without one everything is read again.
    """

    def __init__(
        self,
        config: Config,
        session: boto3.Session | None = None,
        *,
        mask: Mask = lambda text: text,
        stopwatch: Stopwatch | None = None,
        fetch: Fetch | None = None,
        attempts: int = ATTEMPTS,
        beside: Beside | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._config = config
        self._calls = Calls(config.region, session, attempts, beside, clock, min(FRESH, config.poll / 2))
        self._looks = Observer(
            self._calls, config, mask, Probes(self._calls, config, mask, fetch or fetcher(stopwatch))
        )

    @property
    def calls(self) -> Counter[str]:
        """How often each operation was called: `autoscaling:DescribeAutoScalingGroups` -> number."""
        return self._calls.count

    def account(self) -> tuple[str, str]:
        """Account id and region."""
        with self._calls.translate_errors():
            return self._calls.account

    def baseline(self, blue_group: str, commit: str, ami: str = "", rest: Collection[str] = ()) -> Baseline:
        """What a release of the group would start from; ConfigError or Refused when it may not start.

        `rest`: names of the groups in the target groups that it would take out.
        """
        with self._calls.translate_errors():
            return preflight.baseline(self._calls, self._config, blue_group, commit, ami, rest)

    def denied(self, baseline: Baseline) -> tuple[Finding, ...]:
        """What EC2 says that this caller may not do of a release that starts from there."""
        with self._calls.translate_errors():
            return tuple(permitted.findings(self._calls, self._config, baseline))

    def prices(self, types: Iterable[str]) -> tuple[dict[str, Price], str]:
        """The On-Demand price of each instance type, and why some are missing."""
        return prices.of_types(self._calls, types)

    def put_source(self, key: str, packed: IO[bytes]) -> None:
        """Put the packed source into the configured bucket; ConfigError when it cannot be used."""
        with self._calls.translate_errors():
            sources.put(self._calls, self._config, key, packed)

    def remove_source(self, key: str) -> None:
        """Delete it again."""
        with self._calls.translate_errors():
            sources.remove(self._calls, self._config, key)

    def images(self, ids: Iterable[str]) -> dict[str, Image]:
        """Those of these images that exist and can be launched, by id; `Image.good` says which went live."""
        with self._calls.translate_errors():
            return images.available(self._calls, ids)

    def own_images(self) -> tuple[Image, ...]:
        """The service's own images that can be launched, the newest first."""
        with self._calls.translate_errors():
            return images.of_service(self._calls, self._config.id)

    def traces(self, recorded: str, next_number: int) -> Traces:
        """What AWS shows of the service's releases, and of the group that is recorded as live."""
        with self._calls.translate_errors():
            return inventory.look(self._calls, self._config, recorded, next_number)

    def everybody(self, next_number: int) -> Traces:
        """The same, and all other groups in the service's target groups, with what each of them runs."""
        with self._calls.translate_errors():
            return inventory.everybody(self._calls, self._config, next_number)

    def observe(self, release: Release, now: float, heed: Heed | None = None) -> Observation:
        """An observation for the release's phase at `now` (epoch seconds); AwsError when AWS does not give it.

        It calls `heed` before every call to AWS, and during the call again after the seconds that `heed` returns. An
        exception from `heed` ends the observation at once. The only change that an observation makes is sending the
        commands of checks; a later one finds an abandoned command by its comment. Without `heed` an observation ends
        with its last answer.
        """
        with self._calls.translate_errors(), self._calls.heeding(heed):
            return self._looks.observe(release, now)

    def remove_left(self, release: Release) -> bool:
        """Delete green, which a release that has settled left; whether AWS still shows it.

        With it go the copies of alarms that act on it and, if green never went live, its template version. AwsError
        when it is not that release's, or is attached to anything: then somebody uses it.
        """
        undone = release.outcome is not Outcome.LIVE
        with self._calls.translate_errors(), self._calls.permitted(lambda: None):
            there = groups.remove_left(self._calls, release)
            if there and undone and release.attached and Verb.DROP_ALARMS not in release.did:
                attachments.drop_copies(self._calls, release)
            if there and undone and release.template_version and Verb.DELETE_TEMPLATE_VERSION not in release.did:
                templates.delete(self._calls, release)
        return there

    def perform(self, act: Act, release: Release, permit: Callable[[], None], heed: Heed | None = None) -> Made:
        """Do one act; what its `did` event records.

        It calls `permit` immediately before every attempt to change something; `permit` raises when that is not
        allowed. `heed` may end the act before its first change. After that the act waits for every answer.
        """
        if act.verb not in _ACTS:
            raise ValueError(f"{act.verb} is not done in AWS")
        with self._calls.translate_errors(), self._calls.permitted(permit), self._calls.heeding(heed):
            made = _ACTS[act.verb](self._calls, self._config, release, act)
        if act.verb in (Verb.DROP_IMAGE, Verb.DROP_GROUP, Verb.DROP_VERSIONS):
            self._looks.dropped(release, act)
        return made


_Act = Callable[[Calls, Config, Release, Act], Made]

_ACTS: Mapping[Verb, _Act] = {
    Verb.START_BUILDER: lambda calls, config, release, act: builder.start(calls, release),
    Verb.RUN_BUILD: lambda calls, config, release, act: builder.build(calls, release, config),
    Verb.RUN_BUILD_CHECK: lambda calls, config, release, act: builder.check(calls, release, config),
    Verb.STOP_BUILDER: lambda calls, config, release, act: builder.stop(calls, release),
    Verb.MAKE_IMAGE: lambda calls, config, release, act: images.make(calls, release),
    Verb.DROP_SOURCE: lambda calls, config, release, act: sources.drop(calls, release, config),
    Verb.MARK_IMAGE: lambda calls, config, release, act: images.mark_live(calls, release),
    Verb.DROP_IMAGE: lambda calls, config, release, act: images.drop(calls, release, act.image),
    Verb.PIN_BLUE: lambda calls, config, release, act: groups.pin(calls, release, act),
    Verb.SUSPEND_BLUE: lambda calls, config, release, act: groups.suspend_blue(calls, release),
    Verb.MAKE_TEMPLATE_VERSION: lambda calls, config, release, act: templates.make(calls, release),
    Verb.CREATE_GREEN: lambda calls, config, release, act: (pair.take if release.pair else groups.create)(
        calls, release
    ),
    Verb.SUSPEND_GREEN: lambda calls, config, release, act: groups.suspend_green(calls, release),
    Verb.ATTACH_GREEN: lambda calls, config, release, act: attachments.attach(calls, release),
    Verb.RUN_BEFORE_SWITCH: lambda calls, config, release, act: hooks.run(calls, release, config, act),
    Verb.JOIN_GREEN: lambda calls, config, release, act: traffic.join(calls, release, release.green_group),
    Verb.SHIFT: lambda calls, config, release, act: traffic.shift(calls, release, act),
    Verb.GROW_GREEN: lambda calls, config, release, act: groups.grow(calls, release, act.size or 0),
    Verb.TAKE_BLUE_OUT: lambda calls, config, release, act: traffic.leave(calls, release, release.blue_group),
    Verb.TAKE_REST_OUT: lambda calls, config, release, act: traffic.leave_rest(calls, release, act.groups),
    Verb.JOIN_BLUE: lambda calls, config, release, act: traffic.join(calls, release, release.blue_group),
    Verb.TAKE_GREEN_OUT: lambda calls, config, release, act: traffic.leave(calls, release, release.green_group),
    Verb.UNPROTECT_BLUE: lambda calls, config, release, act: groups.unprotect(calls, release, act.instances),
    Verb.FOLLOW_BLUE: lambda calls, config, release, act: attachments.follow(calls, release),
    Verb.STILL_BLUE: lambda calls, config, release, act: groups.still_blue(calls, release, act.processes),
    Verb.EMPTY_BLUE: lambda calls, config, release, act: groups.empty(calls, release),
    Verb.HAND_ALARMS_OVER: lambda calls, config, release, act: attachments.hand_over(calls, release),
    Verb.DRAIN_WARM_POOL: lambda calls, config, release, act: groups.drain_warm_pool(calls, release),
    Verb.DELETE_WARM_POOL: lambda calls, config, release, act: groups.delete_warm_pool(calls, release),
    Verb.DELETE_BLUE: lambda calls, config, release, act: groups.delete_blue(calls, release),
    Verb.RESTORE_GREEN: lambda calls, config, release, act: groups.restore(calls, release),
    Verb.RESUME_GREEN: lambda calls, config, release, act: groups.resume(calls, release, release.green_group),
    Verb.CATCH_UP: lambda calls, config, release, act: attachments.catch_up(calls, release, act.group),
    Verb.MAKE_WARM_POOL: lambda calls, config, release, act: attachments.make_warm_pool(calls, release),
    Verb.RUN_AFTER_LIVE: lambda calls, config, release, act: hooks.run(calls, release, config, act),
    Verb.SET_DEFAULT_VERSION: lambda calls, config, release, act: templates.set_default(calls, release),
    Verb.DROP_GROUP: lambda calls, config, release, act: groups.drop(calls, config, release, act.group),
    Verb.DROP_VERSIONS: lambda calls, config, release, act: templates.drop(calls, release, act.versions),
    Verb.DROP_ALARMS: lambda calls, config, release, act: attachments.drop_copies(calls, release),
    Verb.KEEP_GREEN: lambda calls, config, release, act: groups.keep_green(calls, release),
    Verb.DELETE_GREEN: lambda calls, config, release, act: groups.delete_green(calls, release),
    Verb.EMPTY_GREEN: lambda calls, config, release, act: pair.empty(calls, release),
    Verb.RETURN_GREEN: lambda calls, config, release, act: pair.give_back(calls, release),
    Verb.DELETE_TEMPLATE_VERSION: lambda calls, config, release, act: templates.delete(calls, release),
    Verb.UNPIN_BLUE: lambda calls, config, release, act: groups.unpin(calls, release),
    Verb.RESUME_BLUE: lambda calls, config, release, act: groups.resume(calls, release, release.blue_group),
}
