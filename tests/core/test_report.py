"""The report: what it folds from the events, the four figures, and how words and times reach the page."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from bluegreen.events import Event, EventKind, Phase, Verb
from bluegreen.report import history, page, story
from bluegreen.report.story import Story
from tests.worlds.events import ALICE, Diary, flapping

NOW = 2000.0
DAY = history.DAY


def events_of(diary: Diary) -> list[Event]:
    """All of them."""
    return [event for _, event, _, _ in diary.told if event is not None]


def told(diary: Diary, now: float = NOW) -> Story:
    """Its story."""
    return story.story(events_of(diary), now)


def live() -> Diary:
    """A release that goes well: green alone from 1015 on."""
    diary = Diary().serves_both().enters(Phase.SWITCHING).happens(EventKind.OBSERVED, subject="traffic", value="green")
    return diary.enters(Phase.SOAKING).enters(Phase.RETIRING).does(Verb.DELETE_BLUE).settles("live")


def rolled_back() -> Diary:
    """A release that a person takes back while both serve."""
    diary = Diary().serves_both().happens(EventKind.ROLLBACK_ORDERED, who="slack:U1", why="it is slow")
    diary.enters(Phase.ROLLING_BACK, reason="ordered").does(Verb.TAKE_GREEN_OUT)
    diary.sees("green", 4, 0, 0).does(Verb.DELETE_GREEN)
    return diary.settles("rolled_back", "ordered", left=("image ami-0abc",))


# --- the fold --------------------------------------------------------------------------------------------


def test_phases_follow_each_other_without_a_gap() -> None:
    """The last one ends when the release settled, whenever it is looked at."""
    spans = told(live()).spans
    assert [one.phase for one in spans][:3] == [Phase.BAKING, Phase.LAUNCHING, Phase.CHECKING]
    assert all(one.end == later.start for one, later in pairwise(spans))
    assert (spans[0].start, spans[-1].end) == (1000.0, told(live()).release.settled_at)


def test_a_release_that_goes_on_ends_now() -> None:
    """Even by a clock that is behind the journal's."""
    assert told(Diary()).spans[-1].seconds == 1000.0
    assert told(Diary(), now=5.0).end == 1000.0


def test_groups_and_traffic_are_known_from_their_changes() -> None:
    """Fleets that an older version wrote in another form are left out."""
    diary = Diary().serves_both().happens(EventKind.OBSERVED, subject="green", value="4 of 4")
    found = told(diary)
    assert [(one.up, one.healthy, one.share) for one in found.green] == [(4, 4, 50)]
    assert found.served == found.green[0].at
    assert told(Diary()).served is None


def test_each_change_of_a_check_has_its_value() -> None:
    """In the order in which they came."""
    diary = Diary().serves_both().checks("home", passed=True, value="200").checks("home", passed=False, value="503")
    assert [(one.passed, one.value) for one in told(diary).checks["home"]] == [(True, "200"), (False, "503")]


def test_orders_have_who_and_why() -> None:
    """Start, rollback and the rest."""
    orders = told(rolled_back()).orders
    assert [one.who for one in orders] == [ALICE, "slack:U1"]
    assert orders[1].words.endswith("it is slow")


def test_what_was_made_and_removed_is_told_once() -> None:
    """An act that is done again makes nothing more."""
    found = told(rolled_back().does(Verb.DELETE_GREEN))
    assert [one.split()[0] for one in found.made] == ["ordered", "made", "created"]
    assert len(found.removed) == 1
    assert found.release.left_behind == ("image ami-0abc",)


# --- the rollback ----------------------------------------------------------------------------------------


def test_a_rollback_ends_when_green_is_seen_without_traffic() -> None:
    """From the order on, with who ordered it, and why."""
    back = told(rolled_back()).back
    assert back is not None
    assert (back.by, back.why, back.had, back.seconds) == ("slack:U1", "it is slow", True, 4.0)


def test_a_rollback_of_weights_ends_when_they_are_set() -> None:
    """What is seen later is only later; a shift that gives green something is none."""
    diary = Diary().serves_both().happens(EventKind.BEGAN, verb="shift", share=50).happens(EventKind.DID, verb="shift")
    diary.happens(EventKind.ROLLBACK_ORDERED, who="slack:U1").happens(EventKind.DID, verb="shift")
    diary.enters(Phase.ROLLING_BACK, reason="ordered").happens(EventKind.BEGAN, verb="shift", share=0)
    back = told(diary.happens(EventKind.DID, verb="shift")).back
    assert back is not None
    assert back.seconds == 4.0


def test_bluegreen_rolls_back_by_itself() -> None:
    """Then the time counts from the phase."""
    diary = Diary().serves_both().enters(Phase.ROLLING_BACK, reason="check_failed", message="home: 503")
    back = told(diary.happens(EventKind.OBSERVED, subject="traffic", value="blue")).back
    assert back is not None
    assert (back.by, back.why, back.seconds) == ("", "home: 503", 1.0)


def test_a_rollback_may_have_nothing_to_take_back() -> None:
    """Before green had traffic, and as long as it still has it, there is no time."""
    early = told(Diary().enters(Phase.ROLLING_BACK, reason="build_failed")).back
    ordered = told(Diary().serves_both().happens(EventKind.ROLLBACK_ORDERED, who="slack:U1")).back
    assert early is not None
    assert ordered is not None
    assert (early.had, early.seconds) == (False, None)
    assert (ordered.had, ordered.seconds) == (True, None)
    assert told(live()).back is None


def test_the_overlap_is_what_one_group_would_not_have_cost() -> None:
    """Instance-hours of the smaller group: 4 beside 4 for an hour, then 2 beside 4 for another."""
    diary = Diary().sees("blue", 4, 4, 50).sees("green", 4, 4, 50)
    diary.now += 3599
    diary.sees("blue", 2, 2, 50)
    assert told(diary, now=diary.now + 3600).beside == pytest.approx(6.0)
    assert told(Diary()).beside == 0.0


def test_programs_get_the_same() -> None:
    """Without a rollback it is null."""
    found = story.as_object(told(rolled_back()))
    assert found["rollback"]["seconds"] == 4.0
    assert found["phases"][0] == {"phase": "baking", "from": 1000.0, "to": found["phases"][1]["from"]}
    assert found["left"] == ["image ami-0abc"]
    assert story.as_object(told(live()))["rollback"] is None


# --- the figures -----------------------------------------------------------------------------------------


def numbered(diary: Diary, number: int, **facts: Any) -> Story:
    """The story, of another number."""
    first, *rest = events_of(diary)
    changed = Event(first.release, 1, first.at + number, first.kind, {**first.facts, "number": number, **facts})
    return story.story([changed, *rest], NOW)


def test_the_four_figures_are_counted_from_the_releases() -> None:
    """Two live, one rolled back; the second of those live goes back to an earlier image, so the first one failed."""
    stories = [numbered(live(), 1), numbered(live(), 2, goes_back=True), numbered(rolled_back(), 3)]
    found = history.history(["web/production"], stories, NOW - 10 * DAY, NOW)
    frequency, lead, failures, restored = found.figures
    assert [one.release.number for one in found.stories] == [3, 2, 1]
    assert (frequency.value, frequency.counted) == ("1.4 a week", "2 in 10 days")
    assert lead.number == pytest.approx(told(live()).end - 1000.0, abs=2)
    assert (failures.value, failures.counted) == ("67 %", "2 of 3")
    assert restored.counted == "median of 2"
    assert history.as_object(found)["figures"][2]["number"] == pytest.approx(2 / 3)


def test_figures_of_nothing_say_so() -> None:
    """A release outside of the time does not count."""
    found = history.history([], [numbered(live(), 1)], 5 * DAY, 6 * DAY)
    assert [one.value for one in found.figures] == ["none", "unknown", "unknown", "nothing to restore"]
    many = history.figures([numbered(live(), 1)], 0, DAY)
    assert many[0].value == "1.0 a day"


# --- the page --------------------------------------------------------------------------------------------


def test_what_others_wrote_is_masked_and_escaped() -> None:
    """A title with markup, a reason with a token, a value that this process knows as a secret."""
    title = {"title": "<script>alert(1)</script>", "author": "eve", "run_url": "javascript:alert(1)"}
    diary = rolled_back().happens(EventKind.HOLD_ORDERED, who="ghp_abcdefghijklmnopqrstuvwxyz0123456789")
    first, *rest = events_of(diary.checks("home", passed=False, value="hunter2hunter"))
    first = Event(first.release, 1, first.at, first.kind, {**first.facts, "source": title, "account": "1234"})
    shown = page.release(story.story([first, *rest], NOW), ["hunter2hunter"], index="index.html")
    assert "&lt;script&gt;alert(1)" in shown
    assert not [bad for bad in ("<script", "ghp_", "hunter2", 'href="javascript') if bad in shown]
    assert page.MARK in shown[:1000]


def test_times_are_in_utc_and_where_the_service_is() -> None:
    """By the zone of its freeze windows, where there is one."""
    freeze = [{"cron": "0 16 * * FRI", "for": "64h"}, {"cron": "0 9 * * *", "for": "1h", "zone": "Europe/Berlin"}]
    shown = page.release(told(Diary(freeze=freeze, at=1_700_000_000.0)))
    assert "2023-11-14 22:13:20 UTC</time> <small>23:13:20 Europe/Berlin" in shown
    assert "<small>" not in page.release(told(Diary()))


@pytest.mark.parametrize(
    ("diary", "said"),
    [
        (Diary(), "No check has answered"),
        (Diary().sees("blue", 4, 4, 100), "Healthy targets"),
        (live(), "nobody rolled back"),
        (rolled_back(), "4.0 s"),
        (Diary(found=True).enters(Phase.ROLLING_BACK, reason="build_failed"), "green had no traffic"),
        (Diary().serves_both().happens(EventKind.ROLLBACK_ORDERED, who="slack:U1"), "does not show green without"),
        (Diary().settles("failed", "build_failed", "the build failed: exit 1"), "failed"),
        (Diary().serves_both().checks("home", passed=True, held=True), "holds"),
        (Diary().serves_both().checks("home", passed=True), "passes"),
    ],
)
def test_every_release_has_a_page(diary: Diary, said: str) -> None:
    """Under way, live, rolled back before and after traffic, failed at once, with checks and without."""
    assert said in page.release(told(diary))


def test_a_slow_rollback_is_told_in_minutes() -> None:
    """And one by a check says that bluegreen decided it."""
    diary = Diary().serves_both().enters(Phase.ROLLING_BACK, reason="check_failed", message="home: 503")
    diary.now += 120
    shown = page.release(told(diary.sees("green", 4, 0, 0)))
    assert "<b>2m 1s</b>" in shown
    assert "bluegreen decided it" in shown


def test_short_phases_have_room_beside_long_ones() -> None:
    """In their order; a moment after the end is at the end."""
    spans = [story.Span(Phase.BAKING, 0, 1), story.Span(Phase.HOLDING, 1, 100_000), story.Span(Phase.SOAKING, 9, 9)]
    place, stretched = page.axis(spans)
    assert (place(0), place(1), place(99_999), place(10**9)) == pytest.approx((0, 40, 960, 1000), abs=0.2)
    assert stretched
    assert not page.axis(spans[:1])[1]


def test_links_lead_to_the_web_alone() -> None:
    """Anything else is text."""
    say = page.Words()
    assert page.link("https://x/1", say).startswith('<a href="https://x/1"')
    assert page.link("data:x", say) == "data:x"


def test_the_index_links_each_page() -> None:
    """Of two services of similar names each has its own."""
    shown = page.index(history.history(["web/production"], [told(live()), told(Diary())], 0, NOW))
    assert 'href="web-production-42.html"' in shown
    assert "Deployment frequency" in shown
    assert page.file_of("a-b/c#1") != page.file_of("a/b-c#1")
    assert "No release began" in page.index(history.history([], [], 0, NOW))


def test_a_release_that_flaps_for_three_days_has_a_small_page() -> None:
    """Of 400 instances: as many events as the journal takes of it, 720 a day of each thing that flaps."""
    events, at = flapping()
    shown = page.release(story.story(events, at))
    assert len(shown.encode()) < 500 * 1024
    assert "events between are in the journal" in shown
    assert "earlier ones are in the journal" in shown
