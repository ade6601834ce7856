"""Freezes and bad commits at the engine: what is refused, until when, who may override, and what is kept of that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bluegreen import Caller, Until, wording
from bluegreen.errors import ConfigError, NotPermitted, Refused
from bluegreen.events import Event, EventKind, Outcome, Phase, Reason
from bluegreen.freezing import Frozen
from bluegreen.observation import Finding, FindingKey, Verdict
from bluegreen.permission import Order
from bluegreen.release import Release
from tests.worlds import GOOD, SICK, Ops
from tests.worlds.orders import (
    ADMIN,
    ANN,
    EVE,
    LISTS,
    ON_CALL,
    SOURCE,
    WEB,
    at,
    enters,
    journal,
    lives,
    refusal,
    world,
)

OPEN = {"cron": "0 0 1 1 *", "for": "1d", "zone": "Asia/Seoul", "why": "New Year"}  # the lab's clock begins in it
SHUT = {"cron": "0 0 2 1 *", "for": "1d", "why": "the day after"}
WHY = "the shop is down"
OTHER = "beef" * 10
AWS_MAY = "Who may (aws.overriders): everyone."


@pytest.fixture
def o() -> Ops:
    """A world as it usually is."""
    return world()


def frozen(*windows: dict[str, Any], **changes: Any) -> Ops:
    """A world that is frozen by its configuration."""
    return world(freeze=list(windows or [OPEN]), **changes)


def started(o: Ops) -> Event:
    """The first event of the newest release."""
    return o.engine().events(o.engine().history(WEB)[0].id)[0]


def rolled_back(o: Ops, commit: str = GOOD, phase: Phase = Phase.OVERLAPPING, **more: Any) -> Release:
    """A release that somebody orders back in that phase."""
    ordered: list[Event] = []

    def order(seen: Release) -> None:
        if seen.phase is phase and not ordered:
            ordered.append(o.engine().roll_back(WEB, who=ADMIN))

    done = o.drive(o.start(commit, **more).id, when=order)
    assert done is not None
    assert (done.outcome, done.reason) == (Outcome.ROLLED_BACK, Reason.ORDERED)
    return done


def bad_ones(o: Ops) -> dict[str, int]:
    """What is remembered as bad."""
    record = journal(o).service(WEB)
    return dict(record.bad) if record else {}


# --- release -----------------------------------------------------------------------------------------------


def test_a_release_is_refused_in_a_window() -> None:
    """Until when, in the zone of the window, why, how to override and who may; nothing is written."""
    o = frozen()
    refused = refusal(o, o.start, Reason.FROZEN)
    assert str(refused) == (
        "web/production: frozen until 2026-01-02 00:00 Asia/Seoul: New Year. `--override REASON` goes on anyway. "
        f"{AWS_MAY}"
    )
    assert o.engine().status() == []


def test_a_release_is_refused_in_a_freeze_by_order(o: Ops) -> None:
    """Who froze it as well, and how to lift that."""
    lives(o)
    o.engine().freeze(WEB, who=ANN, why="sale", until=o.clock.now() + 3600)
    refused = refusal(o, lambda: o.start(OTHER), Reason.FROZEN)
    assert "frozen by slack:U0ANN until 2026-01-01 0" in refused.what
    assert refused.what.endswith("UTC: sale")
    assert refused.hint.startswith("`bluegreen unfreeze web/production` lifts it. `--override")
    o.clock.sleep(3601)
    assert o.start(OTHER).number == 2


def test_two_freezes_at_once_are_both_told() -> None:
    """Lifting one would not help."""
    o = frozen()
    o.engine().freeze(WEB, who=ADMIN, why="sale")
    refused = refusal(o, o.start, Reason.FROZEN)
    assert refused.what == (
        f"frozen by {ADMIN} until it is lifted: sale; frozen until 2026-01-02 00:00 Asia/Seoul: New Year"
    )
    assert "unfreeze" not in refused.hint
    event = o.start(override=WHY)
    assert started(o).facts["despite"] == ["frozen"]
    assert event.number == 1


def test_a_window_ends_by_itself() -> None:
    """And another one begins."""
    o = frozen(OPEN, SHUT)
    o.clock.sleep(15 * 3600)
    assert o.start().number == 1  # Seoul's New Year is over
    o = frozen(OPEN, {**SHUT, "cron": "0 15 1 1 *"})
    o.clock.sleep(15 * 3600)
    assert "the day after" in refusal(o, o.start, Reason.FROZEN).what


@pytest.mark.parametrize(
    ("who", "lists", "may"),
    [
        (ADMIN, {}, True),
        (ADMIN, {"aws": {"overriders": []}}, False),
        (ADMIN, {"aws": {"overriders": [ADMIN.replace("1:", "123456789012:")]}}, False),
        ("github:octocat", {}, False),
        ("github:octocat", {"github": {"overriders": ["octocat"]}}, True),
        ("github:octocat", {"slack": {"promoters": [], "overriders": ["*"]}}, False),
        (ANN, {}, False),
        (ANN, {"slack": {**LISTS, "overriders": ["U0ANN"]}}, True),
        (ANN, {"slack": {**LISTS, "overriders": ["U0BOB"]}}, False),
    ],
)
def test_who_may_override(who: str, lists: dict[str, Any], may: bool) -> None:
    """By the list of the realm that they come from; whoever may is recorded with the reason."""
    o = frozen(**lists)

    def start() -> Release:
        return o.engine().start(o.config, commit=GOOD, who=who, override=WHY)

    if not may:
        refused = refusal(o, start, Reason.NOT_PERMITTED)
        assert isinstance(refused, NotPermitted)
        assert "overriders does not name you" in refused.what
        return
    release = start()
    facts = started(o).facts
    assert (facts["who"], facts["override"], facts["despite"]) == (who, WHY, ["frozen"])
    assert wording.sentence(started(o), release).endswith(f", despite the freeze: {WHY}")


def test_members_of_a_group_may_override() -> None:
    """As for every other order."""
    o = frozen(slack={**LISTS, "overriders": ["S0ONCALL"]})
    by = Caller(ANN, lambda group: group == "S0ONCALL")
    assert o.engine().start(o.config, commit=GOOD, who=by, override=WHY).number == 1


def test_who_may_is_told_of_the_realm_that_somebody_comes_from() -> None:
    """Whoever reads it can ask them."""
    o = frozen(slack={**LISTS, "overriders": ["U0BOB"]}, github={"overriders": ["octocat", "acme/web"]})
    for who, may in (
        (ANN, "(slack.overriders): U0BOB."),
        ("github:ann", "(github.overriders): octocat, acme/web."),
        (ADMIN, "(aws.overriders): everyone."),
    ):
        refused = refusal(o, lambda who=who: o.engine().start(o.config, commit=GOOD, who=who), Reason.FROZEN)  # type: ignore[misc]
        assert refused.hint.endswith(f"Who may {may}")


@pytest.mark.parametrize(
    ("reason", "said"),
    [(" ", "override: is empty. Give a reason"), ("\n\t", "is empty"), ("x" * 301, "has 301 characters")],
)
def test_an_override_has_a_reason(reason: str, said: str) -> None:
    """Blanks say nothing, and a novel is not read."""
    o = frozen()
    for order in (lambda: o.start(override=reason), lambda: o.engine().promote(WEB, who=ADMIN, override=reason)):
        with pytest.raises(ConfigError) as caught:
            order()
        assert said in str(caught.value)


def test_a_reason_stands_on_one_line() -> None:
    """It is shown in logs and terminals."""
    o = frozen()
    o.start(override="the shop\n is\x1b[31m down")
    assert started(o).facts["override"] == WHY


def test_what_needs_no_override_records_none(o: Ops) -> None:
    """Nothing was in the way, so nobody was asked whether they may."""
    release = o.engine().start(o.config, commit=GOOD, who="github:octocat", override=WHY)
    assert not {"override", "despite", "goes_back"} & started(o).facts.keys()
    enters(o, release, Phase.OVERLAPPING)
    assert "override" not in o.engine().promote(WEB, who=ANN, override=WHY).facts


def test_a_freeze_that_comes_while_a_release_is_started_is_heeded(o: Ops, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was judged before AWS was looked at is judged again when it is written."""
    engine = o.engine()
    look = engine._ground

    def looks(*asked: Any) -> Any:
        o.engine().freeze(WEB, who=ADMIN, why="sale")
        return look(*asked)

    monkeypatch.setattr(engine, "_ground", looks)
    with pytest.raises(Refused, match="sale"):
        engine.start(o.config, commit=GOOD, who=ADMIN)
    assert engine.start(o.config, commit=GOOD, who=ADMIN, override=WHY).number == 1
    assert started(o).facts["despite"] == ["frozen"]


def test_aws_is_not_asked_about_what_is_refused_anyway(o: Ops, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that was rolled back, or a freeze, needs no look at the groups."""
    rolled_back(o)
    engine = o.engine()
    monkeypatch.setattr(engine, "_ground", lambda *_: pytest.fail("AWS was asked"))
    with pytest.raises(Refused, match="was rolled back in"):
        engine.start(o.config, commit=GOOD, who=ADMIN)
    engine.freeze(WEB, who=ADMIN, why="sale")
    with pytest.raises(Refused, match="sale"):
        engine.start(o.config, commit=OTHER, who=ADMIN)


def test_an_override_is_no_second_release_at_once() -> None:
    """One at a time, whatever the reason."""
    o = frozen()
    o.start(override=WHY)
    refusal(o, lambda: o.start(OTHER, override=WHY), Reason.UNDER_WAY)


def test_the_workflow_is_not_started_when_its_release_would_be_refused() -> None:
    """By the windows of the last release's configuration."""
    o = frozen()
    o.start(override=WHY, source=SOURCE)
    o.engine().roll_back(WEB, who=ADMIN)
    o.drive(f"{WEB}#1")
    refusal(o, lambda: o.engine().dispatch(WEB, ref="", who=ANN, token="t", api="http://127.0.0.1:1"), Reason.FROZEN)


# --- promote -----------------------------------------------------------------------------------------------


def held(o: Ops, **more: Any) -> Release:
    """A release that waits for a person."""
    return at(o, Phase.HOLDING, hold=True, **more)


def test_a_promotion_is_refused_while_frozen(o: Ops) -> None:
    """By order, or by the windows that the release was started with; by those who may, it is given all the same."""
    release = held(o)
    o.engine().freeze(WEB, who=ANN, why="sale")
    refused = refusal(o, lambda: o.engine().promote(WEB, who=ADMIN), Reason.FROZEN)
    assert (refused.where, refused.what) == (release.id, "frozen by slack:U0ANN until it is lifted: sale")
    assert "`bluegreen unfreeze web/production`" in refused.hint
    refusal(o, lambda: o.engine().promote(WEB, who=ANN, override=WHY), Reason.NOT_PERMITTED)
    refusal(o, lambda: o.engine().promote(WEB, who=EVE, override=WHY), Reason.NOT_PERMITTED)
    event = o.engine().promote(WEB, who=ADMIN, override=WHY)
    assert (event.facts["override"], event.facts["despite"]) == (WHY, ["frozen"])
    said = wording.sentence(event, o.engine().load(release.id))
    assert said.endswith(f", despite the freeze: {WHY}")


def test_a_promotion_goes_by_the_windows_of_its_release() -> None:
    """A configuration that was changed since says nothing of it."""
    o = world(freeze=[{**OPEN, "cron": "0 1 1 1 *", "zone": "UTC"}])
    held(o)
    o.config = world().config
    o.clock.sleep(3600)
    refusal(o, lambda: o.engine().promote(WEB, who=ADMIN), Reason.FROZEN)
    o.clock.sleep(86_400)
    assert o.engine().promote(WEB, who=ADMIN).kind is EventKind.PROMOTED


def test_permission_comes_first(o: Ops) -> None:
    """Whoever may not promote is not told of the freeze, and a release that has moved on says so."""
    held(o)
    o.engine().freeze(WEB, who=ANN, why="sale")
    refusal(o, lambda: o.engine().promote(WEB, who=EVE), Reason.NOT_PERMITTED)
    o.engine().roll_back(WEB, who=ON_CALL)
    refusal(o, lambda: o.engine().promote(WEB, who=ADMIN, override=WHY), Reason.MOVED_ON)


@pytest.mark.parametrize(
    "order",
    [
        lambda o: o.engine().roll_back(WEB, who=ON_CALL),
        lambda o: o.engine().hold(WEB, who=ANN),
        lambda o: o.engine().resume(WEB, who=ADMIN),
    ],
)
def test_what_a_freeze_leaves_alone(o: Ops, order: Callable[[Ops], object]) -> None:
    """Going back and waiting are the careful things."""
    at(o, Phase.OVERLAPPING)
    o.engine().freeze(WEB, who=ANN, why="sale")
    order(o)


def test_what_began_before_a_freeze_goes_on_by_itself(o: Ops) -> None:
    """Where nobody is asked, nobody is refused; a freeze in the middle of a release would leave two versions."""
    release = o.start()
    o.engine().freeze(WEB, who=ANN, why="sale")
    done = o.drive(release.id)
    assert done is not None
    assert done.outcome is Outcome.LIVE


# --- going back --------------------------------------------------------------------------------------------


def again(o: Ops, image: str, **more: Any) -> Release:
    """A release of an earlier image, as `rollback --to` starts it."""
    return o.engine().start(o.config, ami=image, who=ON_CALL, order=Order.RELEASE_AGAIN, **more)


def test_going_back_is_exempt_to_its_end() -> None:
    """It starts in a freeze and waits for nobody; held, whoever must promote it may. So is the image from before."""
    o = world(promotion={"by": "person"})
    first = promoted(o, o.start())
    o.engine().freeze(WEB, who=ANN, why="sale")
    release = o.drive(o.engine().release_again(WEB, first.blue_image, who=ON_CALL).id)
    assert release is not None
    assert (release.outcome, release.goes_back, release.promoters) == (Outcome.LIVE, True, ())
    assert not {"override", "despite"} & started(o).facts.keys()
    back = again(o, first.image, hold=True)
    assert (back.number, back.goes_back) == (3, True)
    assert promoted(o, back).outcome is Outcome.LIVE


def promoted(o: Ops, release: Release) -> Release:
    """It is driven to where somebody promotes it, and on."""
    o.drive(release.id, until=Until.HELD)
    assert o.engine().promote(WEB, who=ANN).facts.keys() == {"who"}
    done = o.drive(release.id)
    assert done is not None
    return done


def test_an_image_that_never_served_is_no_way_back(o: Ops) -> None:
    """To call it a rollback would be the way around every freeze."""
    lives(o)
    failed = rolled_back(o, OTHER)
    image = failed.image
    assert image
    o.engine().freeze(WEB, who=ANN, why="sale")
    refusal(o, lambda: again(o, image), Reason.FROZEN)
    assert refusal(o, lambda: o.engine().release_again(WEB, image, who=ON_CALL), Reason.FROZEN).where == WEB


def test_an_ordinary_release_of_an_earlier_image_is_not_exempt(o: Ops) -> None:
    """Only who goes back says so."""
    first = lives(o)
    o.engine().freeze(WEB, who=ANN, why="sale")
    refusal(o, lambda: o.engine().start(o.config, ami=first.image, who=ADMIN), Reason.FROZEN)


# --- bad commits -------------------------------------------------------------------------------------------


def test_a_commit_that_its_checks_rolled_back_is_refused(o: Ops) -> None:
    """In which release, when and why; the next one goes through, and forcing is recorded."""
    done = o.drive(o.start(SICK).id)
    assert done is not None
    assert (done.outcome, done.reason) == (Outcome.ROLLED_BACK, Reason.NEVER_HEALTHY)
    refused = refusal(o, lambda: o.start(SICK), Reason.BAD_COMMIT)
    assert refused.what.startswith("commit bad0bad0 was rolled back in web/production#1 at 2026-01-01 0")
    assert refused.what.endswith(f"UTC: {done.message}")
    assert refused.hint == (f"Release another one. `--override REASON` goes on anyway. {AWS_MAY}")
    second = o.start(SICK, override=WHY)
    assert (second.number, started(o).facts["despite"]) == (2, ["bad_commit"])
    assert wording.sentence(started(o), second).endswith(f", despite an earlier rollback of it: {WHY}")
    o.engine().roll_back(WEB, who=ADMIN)
    o.drive(second.id)
    assert bad_ones(o) == {SICK: 2}
    assert lives(o).number == 3


@pytest.mark.parametrize("phase", [Phase.LAUNCHING, Phase.OVERLAPPING, Phase.SOAKING])
def test_a_commit_that_a_person_rolled_back_is_refused(o: Ops, phase: Phase) -> None:
    """Whichever phase it had come to."""
    rolled_back(o, phase=phase)
    assert refusal(o, o.start, Reason.BAD_COMMIT).what.endswith(f"ordered by {ADMIN}")
    assert o.start(OTHER).number == 2


def test_a_commit_that_goes_live_after_all_is_good(o: Ops) -> None:
    """Once it was forced, it need not be forced again."""
    rolled_back(o)
    assert bad_ones(o) == {GOOD: 1}
    lives(o, override=WHY)
    assert bad_ones(o) == {}
    assert o.start().number == 3


def test_an_image_without_a_commit_is_remembered_by_its_id(o: Ops) -> None:
    """A plain release of it is refused; an order to go back to it, as it was live, by whoever may, takes a reason."""
    first = lives(o)
    release = again(o, first.blue_image)
    o.engine().roll_back(WEB, who=ADMIN)
    o.drive(release.id)
    assert bad_ones(o) == {first.blue_image: 2}
    refused = refusal(o, lambda: o.engine().start(o.config, ami=first.blue_image, who=ADMIN), Reason.BAD_COMMIT)
    assert refused.what.startswith(f"image {first.blue_image} was rolled back in web/production#2 at ")
    hint = refusal(o, lambda: again(o, first.blue_image), Reason.BAD_COMMIT).hint
    assert hint.endswith("goes on anyway.")
    back = again(o, first.blue_image, override=WHY)
    assert (back.number, back.goes_back, started(o).facts["despite"]) == (3, True, ["bad_commit"])


def test_an_image_whose_commit_was_rolled_back_is_asked_about(o: Ops) -> None:
    """It never was live: whoever orders it has to say why, and has to be one who may override."""
    lives(o)
    bad = rolled_back(o, commit="c0ffee02bbbb")
    refused = refusal(o, lambda: o.engine().release_again(WEB, bad.image, who=ON_CALL), Reason.BAD_COMMIT)
    assert "commit c0ffee02 was rolled back in web/production#2" in refused.what
    refusal(o, lambda: o.engine().release_again(WEB, bad.image, who=ON_CALL, override=WHY), Reason.NOT_PERMITTED)
    release = o.engine().release_again(WEB, bad.image, who=ADMIN, override=WHY)
    assert (release.again, release.commit, release.goes_back) == (2, "c0ffee02bbbb", False)


def test_an_image_that_is_released_by_its_id_is_known_by_its_commit(o: Ops) -> None:
    """Whoever releases it so need not know that the release that made it was rolled back."""
    lives(o)
    bad = rolled_back(o, commit="c0ffee02bbbb")
    refused = refusal(o, lambda: o.start("", ami=bad.image), Reason.BAD_COMMIT)
    assert "commit c0ffee02 was rolled back in web/production#2" in refused.what
    assert o.start("", ami=bad.image, override=WHY).number == 3


def test_what_is_frozen_and_bad_is_told_and_overridden_at_once() -> None:
    """Nobody corrects one thing to learn of the next."""
    o = frozen()
    rolled_back(o, override=WHY)
    refused = refusal(o, o.start, Reason.FROZEN)
    assert "frozen until" in refused.what
    assert "; commit c0ffee01 was rolled back in web/production#1" in refused.what
    release = o.start(override=WHY)
    assert started(o).facts["despite"] == ["frozen", "bad_commit"]
    said = wording.sentence(started(o), release)
    assert said.endswith(f", despite the freeze and an earlier rollback of it: {WHY}")


def test_two_start_a_bad_commit_at_once(o: Ops) -> None:
    """The one who may not is refused for the commit; the other one for the first that was faster."""
    rolled_back(o)
    refusal(
        o, lambda: o.engine().start(o.config, commit=GOOD, who="github:octocat", override=WHY), Reason.NOT_PERMITTED
    )
    o.start(override=WHY)
    refusal(o, lambda: o.start(override=WHY), Reason.UNDER_WAY)


def test_the_refusal_does_without_what_is_no_longer_there(o: Ops, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody tidied the table up."""
    rolled_back(o)
    monkeypatch.setattr("bluegreen.journal.Journal.summary", lambda *_: None)
    assert refusal(o, o.start, Reason.BAD_COMMIT).what == "commit c0ffee01 was rolled back in web/production#1"


def test_the_same_request_is_still_the_same_release() -> None:
    """Whatever has become of it, or is forbidden meanwhile."""
    o = world()
    first = rolled_back(o, request="run-7")
    o.engine().freeze(WEB, who=ADMIN, why="sale")
    assert o.start(request="run-7").id == first.id


def test_a_journal_from_before(o: Ops) -> None:
    """An item without bad ones, a release without windows."""
    release = o.start()
    client = o.aws.session().client("dynamodb")
    key = {"pk": {"S": "service"}, "sk": {"S": WEB}}
    client.update_item(TableName="bluegreen", Key=key, UpdateExpression="REMOVE bad")
    status = o.engine().status(WEB)[0]
    assert status.release is not None
    old = {name: value for name, value in status.release.config.items() if name != "freeze"}
    assert replace(status, release=replace(status.release, config=old)).freezes(o.clock.now()) == ()
    done = o.drive(release.id)
    assert done is not None
    assert done.outcome is Outcome.LIVE


# --- looking -----------------------------------------------------------------------------------------------


def test_a_plan_warns_of_what_would_refuse_it() -> None:
    """It changes nothing, so it is not refused itself."""
    o = frozen()
    (warning,) = hindrances(o)
    assert warning.said == "web/production is frozen until 2026-01-02 00:00 Asia/Seoul: New Year"
    assert (warning.verdict, "`--override REASON`" in warning.hint) == (Verdict.REFUSED, True)
    rolled_back(o, override=WHY)
    _, warning = hindrances(o)
    assert warning.said.startswith("commit c0ffee01 was rolled back in web/production#1 at ")
    assert len(hindrances(o, OTHER)) == 1


def hindrances(o: Ops, commit: str = GOOD) -> list[Finding]:
    """What a plan finds beside what it sees in AWS."""
    found = o.engine().plan(o.config, commit=commit).baseline.findings
    return [one for one in found if one.key in (FindingKey.FROZEN, FindingKey.ROLLED_BACK)]


def test_a_plan_warns_of_a_freeze_that_begins_soon() -> None:
    """Whoever must promote it would be refused then."""
    o = world(freeze=[{**SHUT, "cron": "0 1 2 1 *"}])
    assert hindrances(o) == []
    o.clock.sleep(3600)
    (warning,) = hindrances(o)
    assert warning.found == "from 2026-01-02 01:00 UTC on it is frozen until 2026-01-03 01:00 UTC: the day after"
    assert (warning.harm, warning.verdict) == ("promotions are refused then", Verdict.WARNED)
    o.start()
    assert started(o).facts["findings"][0] == warning.to_facts()


def test_status_knows_every_freeze() -> None:
    """By order first, then by the windows of the last release's configuration; of a service without one the order."""
    o = frozen()
    journal(o).ensure_table(o.clock.sleep)
    now = o.clock.now()
    o.engine().freeze(WEB, who=ADMIN, why="sale", until=now + 60)
    by_order = Frozen(now, now + 60, "sale", ADMIN)
    assert o.engine().status(WEB)[0].freezes(now) == (by_order,)
    o.start(override=WHY)
    first, second = o.engine().status(WEB)[0].freezes(now)
    assert first == by_order
    assert (second.who, second.why, second.end) == ("", "New Year", "2026-01-02 00:00 Asia/Seoul")
    assert o.engine().status(WEB)[0].freezes(now + 61) == (second,)
    assert o.engine().status(WEB)[0].freezes(now + 86_400) == ()


def test_one_release_that_cannot_be_read_harms_no_other() -> None:
    """It is listed as unreadable, with why; and no door records a freeze that no calendar has."""
    o = Ops(instances=1)
    release = o.start()
    engine = o.engine()
    engine._journal.append(release.id, release.seq + 1, EventKind.ENTERED, {"phase": "dancing"}, o.clock.now())
    (status,) = engine.status()
    assert status.release is None
    assert "dancing" in status.unreadable
    with pytest.raises(ConfigError, match="until: is more than ten years away"):
        engine.freeze(WEB, who=ANN, why="", until=8.6e15)
