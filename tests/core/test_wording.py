"""Everything that can happen has its sentence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bluegreen import wording
from bluegreen.events import Act, Awaited, Event, EventKind, Outcome, Phase, Reason, Verb
from bluegreen.release import duration
from tests.worlds.events import ALICE, ARN, FACTS, ID, WHO, Diary
from tests.worlds.release import Stage


def said(diary: Diary) -> str:
    """The sentence of the event that was told last."""
    return wording.sentence(diary.last, diary.release)


def plain(text: str) -> str:
    """The text, if it is one plain line without markup or holes."""
    assert text
    assert text == text.strip()
    assert text.isprintable()
    assert not {"{", "}", "*", "`"} & set(text)
    assert "None" not in text
    return text


@pytest.fixture
def diary() -> Diary:
    """A release in the middle of its overlap."""
    return Diary().serves_both()


# --- nothing is unworded -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(EventKind))
def test_every_kind_of_event_has_a_sentence(kind: EventKind) -> None:
    """A kind without words would leave a hole in every log."""
    diary = Diary()
    if kind is not EventKind.STARTED:
        diary.serves_both().happens(kind, **FACTS[kind])
    assert diary.last.kind is kind
    plain(said(diary))


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
@pytest.mark.parametrize("verb", list(Verb))
def test_every_verb_has_its_words(verb: Verb, known: bool) -> None:
    """As an intent, begun, done and failed; also when no name is known yet."""
    diary = Diary().serves_both() if known else Diary()
    plain(wording.intent(Act(verb), diary.release))
    facts = {"blue": diary.release.blue.to_facts()} if known and diary.release.blue else {}
    if known or verb is not Verb.PIN_BLUE:
        plain(said(diary.happens(EventKind.BEGAN, verb=verb, size=4, share=10, **facts)))
    plain(said(diary.happens(EventKind.DID, verb=verb)))
    problem = {"code": "Throttling", "message": "Rate exceeded", "transient": True, "denied": False}
    plain(said(diary.happens(EventKind.STUMBLED, verb=verb, **problem)))


@pytest.mark.parametrize("message", ["", "home did not hold."])
@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_its_words(diary: Diary, reason: Reason, message: str) -> None:
    """In a rollback and in an end, with and without what is known beside it."""
    plain(said(diary.enters(Phase.ROLLING_BACK, reason=reason, message=message)))
    for outcome in Outcome:
        assert ".:" not in plain(said(diary.settles(outcome, reason, message)))


@pytest.mark.parametrize("phase", list(Phase))
def test_every_phase_has_its_words(diary: Diary, phase: Phase) -> None:
    """Title, meaning, where it stands, and what can be done."""
    diary.enters(phase, reason="ordered", message="")
    plain(said(diary))
    plain(wording.phase_meaning(phase))
    assert "_" not in plain(wording.phase_title(phase))
    assert plain(wording.outcome_line(diary.release)).startswith(ID)


@pytest.mark.parametrize("awaited", list(Awaited))
def test_everything_awaited_has_its_words(awaited: Awaited) -> None:
    """Early, when nothing is known, and late."""
    for diary in (Diary(), Diary().serves_both()):
        for deadline in (None, diary.now + 90, diary.now - 1):
            plain(wording.awaiting(awaited, deadline, diary.now, diary.release))


# --- what the sentences say --------------------------------------------------------------------------------


def test_a_start_names_who_and_what() -> None:
    """The first line of every log."""
    assert said(Diary()) == f"Admin/alice started {ID}: 9f8e7d6c from web-production-v41 to web-production-v42"


def test_acts_carry_their_real_names(diary: Diary) -> None:
    """A plan shows ARNs, a log the short names."""
    assert wording.intent(Act(Verb.JOIN_GREEN), diary.release) == (
        f"join web-production-v42 to target group web ({ARN})"
    )
    assert said(diary.does(Verb.TAKE_BLUE_OUT)) == "took web-production-v41 out of target group web"
    assert said(diary.does(Verb.DROP_IMAGE, image="ami-0old")) == "dropped the old image ami-0old"
    assert said(diary.does(Verb.KEEP_GREEN)).endswith("until later"), "of a journal that does not say"
    kept = said(
        diary.happens(EventKind.BEGAN, verb="keep_green", until=7200.0).happens(EventKind.DID, verb="keep_green")
    )
    assert kept == (
        "suspended the processes that change web-production-v42, which stays for inspection until 1970-01-01 02:00 UTC"
    )
    deleted = [said(diary.does(Verb.DROP_VERSIONS, versions=numbers)) for numbers in ((3,), (3, 4), ())]
    of = "of launch template lt-0123456789abcdef0"
    assert deleted == [
        f"deleted the old version 3 {of}",
        f"deleted the old versions 3, 4 {of}",
        f"deleted no old version {of}",
    ]


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ((2, 0, None), "green: 2 of 4 in service"),
        ((4, 0, 0), "green: 4 of 4 in service, no traffic"),
        ((4, 3, 43), "green: 3 of 4 serving, 43 % of the traffic"),
    ],
)
def test_a_group_is_told_by_numbers(diary: Diary, seen: tuple[int, int, int | None], expected: str) -> None:
    """In service until it has targets that serve."""
    assert said(diary.sees("green", *seen)) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"passed": True, "streak": 2}, "check home passes (2 of 3): 200"),
        ({"passed": True, "streak": 3, "held": True}, "check home holds: 200"),
        ({"passed": False, "streak": 2}, "check home fails, 2 times in a row: 200"),
        (
            {"passed": False, "changes": 40, "over": 598.0},
            "check home fails: 200; it flaps: changed 40 times in 9m 58s",
        ),
    ],
)
def test_a_check_is_told_by_its_run(answer: dict[str, Any], expected: str) -> None:
    """How often of how often, and what was seen."""
    diary = Diary(checks=[{"name": "home", "http": "https://web.example.com/"}])
    assert said(diary.checks("home", **answer)) == expected


@pytest.mark.parametrize(("more", "how"), [({}, "no longer holds"), ({"certain": True}, "fails")])
def test_a_lost_check_is_told_as_it_was_lost(diary: Diary, more: dict[str, Any], how: str) -> None:
    """One that failed beyond doubt may never have held."""
    facts = {"passed": False, "streak": 1, "since": 1.0, "held_since": None, "lost": True, "value": "12 of 600"}
    diary.happens(EventKind.OBSERVED, subject="errors", **facts, **more)
    assert said(diary) == f"check errors {how}: 12 of 600"


@pytest.mark.parametrize("subject", ["image", "build", "build check", "activity", "something new"])
def test_whatever_else_is_observed_has_a_sentence(diary: Diary, subject: str) -> None:
    """Also what a later version observes."""
    assert "available" in plain(said(diary.happens(EventKind.OBSERVED, subject=subject, value="available")))


def test_a_stumble_says_what_follows(diary: Diary) -> None:
    """Whether it is tried again is what a reader wants to know."""
    facts: dict[str, Any] = {"verb": "take_blue_out", "code": "Throttling", "message": "Rate exceeded"}
    diary.happens(EventKind.STUMBLED, **facts, transient=True, denied=False)
    expected = (
        "could not take web-production-v41 out of target group web: Rate exceeded (Throttling); trying again soon"
    )
    assert said(diary) == expected


def test_a_rollback_says_why_and_for_whom(diary: Diary) -> None:
    """The name of a person, not an ARN."""
    diary.happens(EventKind.ROLLBACK_ORDERED, who="arn:aws:iam::1:user/bob", why="slow")
    assert said(diary) == f"bob ordered the rollback of {ID}: slow"
    diary.enters(Phase.ROLLING_BACK, reason="ordered", message="ordered by arn:aws:iam::1:user/bob")
    assert said(diary) == "returning to blue: ordered by bob"


def test_ends_are_true_and_name_what_is_left(diary: Diary) -> None:
    """`rolled back` never reads as success, and leftovers are named."""
    diary.enters(Phase.ROLLING_BACK, reason="check_failed", message="home no longer holds: 502")
    diary.settles("rolled_back", "check_failed", "home no longer holds: 502", ("image ami-0abc",))
    assert said(diary) == wording.outcome_line(diary.release)
    assert wording.outcome_line(diary.release) == (
        f"{ID} was rolled back after 17s, web-production-v41 serves alone: "
        "home no longer holds: 502; still there: image ami-0abc"
    )


@pytest.mark.parametrize(
    ("awaited", "seconds", "expected"),
    [
        (Awaited.OVERLAP, 192, "waiting for the overlap to pass, 3m 12s to go"),
        (Awaited.GREEN_UP, 840, "waiting for green's instances to come in service (4 of 4), at most 14m more"),
        (Awaited.READ_BACK, None, "waiting for the load balancer to show the last change"),
    ],
)
def test_waiting_says_for_what_and_how_long(
    diary: Diary, awaited: Awaited, seconds: float | None, expected: str
) -> None:
    """A time that passes is told as such, a limit as a limit."""
    deadline = None if seconds is None else diary.now + seconds
    assert wording.awaiting(awaited, deadline, diary.now, diary.release) == expected


def test_approvals_are_counted() -> None:
    """Of several, who is missing matters."""
    diary = Diary(hold=True, promotion={"by": "person", "approvals": 2}).serves_both().enters(Phase.HOLDING)
    diary.happens(EventKind.PROMOTED, who="slack:U0BOB")
    assert wording.awaiting(Awaited.PROMOTION, None, 0, diary.release) == "waiting for a person to promote (1 of 2)"


# --- what can be done --------------------------------------------------------------------------------------


NOTHING_GOOD = "no earlier good version is known; replace it: bluegreen release"


def test_the_next_step_fits_where_the_release_stands(diary: Diary) -> None:
    """The commands that would be refused are never named."""
    back = "bluegreen rollback web/production"
    assert wording.next_step(diary.release) == f"go back: {back}"
    diary.enters(Phase.HOLDING)
    assert wording.next_step(diary.release) == f"bluegreen promote web/production, or {back}"
    diary.enters(Phase.RETIRING)
    assert wording.next_step(diary.release) == f"go back: {back}"
    diary.does(Verb.EMPTY_BLUE)
    assert wording.next_step(diary.release) == f"once it has settled, go back: {back} --to 41"
    diary.settles("live")
    assert wording.next_step(diary.release) == f"go back: {back} --to 41"


def test_before_the_first_release_there_is_no_number_to_go_back_to() -> None:
    """Its image can be released all the same, by its name; where nobody knows it, that is said."""
    live = Diary(blue="web-asg").serves_both().settles("live").release
    assert wording.next_step(live) == NOTHING_GOOD
    known = replace(live, blue_image="ami-0old")
    assert wording.next_step(known) == "go back: bluegreen release --ami ami-0old --cure"


def test_nobody_is_sent_back_to_an_image_that_the_release_itself_removed(diary: Diary) -> None:
    """`keep` may be one; what made blue, or what is good before it."""
    diary.enters(Phase.RETIRING).does(Verb.EMPTY_BLUE).does(Verb.DROP_IMAGE, image="ami-0old").settles("live")
    live = replace(diary.release, blue_image="ami-0blue")
    assert wording.next_step(live) == "go back: bluegreen rollback web/production --to 41"
    assert wording.next_step(replace(live, back=40, back_image="ami-0good")).endswith(" --to 40")
    assert wording.next_step(replace(live, blue_image="ami-0old")) == NOTHING_GOOD
    assert wording.next_step(replace(live, back=40, back_image="ami-0old")) == NOTHING_GOOD


def test_nobody_is_sent_back_to_what_was_ill() -> None:
    """A cure goes back to the good one before that, or nowhere; what failed past the return has a way, too."""
    cure = replace(Diary().serves_both().settles("live").release, cure="ill", blue_image="ami-0ill")
    assert wording.next_step(cure) == NOTHING_GOOD
    lost = replace(cure, cure="", back=0)
    assert wording.next_step(lost) == "go back: bluegreen release --ami ami-0ill --cure"
    assert wording.next_step(replace(cure, back=39)) == "go back: bluegreen rollback web/production --to 39"
    failed = Diary().serves_both().enters(Phase.RETIRING).does(Verb.EMPTY_BLUE).settles("failed", "check_failed")
    replaced = "; or replace the serving version by a release with `--cure`"
    assert wording.next_step(failed.release).endswith(f"; go back: bluegreen rollback web/production --to 41{replaced}")


@pytest.mark.parametrize(
    ("seen", "serves"),
    [
        ("blue", "web-production-v41"),
        ("both", "web-production-v41, web-production-v42"),
        ("green", "web-production-v42"),
        ("nobody", "nobody"),
    ],
)
def test_who_serves_is_who_was_seen_to(seen: str, serves: str) -> None:
    """Not who was live before; once it is live it is green."""
    diary = Diary()
    assert wording.serving(diary.release) == "web-production-v41"
    diary.serves_both().happens(EventKind.OBSERVED, subject="traffic", value=seen)
    assert wording.serving(diary.release) == serves
    assert wording.serving(diary.settles("live").release) == "web-production-v42"


def test_interrupted_failed_and_rolled_back_name_the_way_on(diary: Diary) -> None:
    """Nobody is left with an end and no way on."""
    stopped = Diary().happens(EventKind.INTERRUPTED, holder="x").release
    assert wording.next_step(stopped) == "go on: bluegreen resume web/production"
    assert "resume" in wording.next_step(diary.settles("failed", "changed_outside", "blue is gone").release)
    diary.happens(EventKind.ROLLBACK_ORDERED, who="bob", why="")
    assert not wording.next_step(diary.release)
    diary.enters(Phase.ROLLING_BACK, reason="ordered", message="").settles("rolled_back", "ordered")
    assert "bluegreen release" in wording.next_step(diary.release)


@pytest.mark.parametrize("reason", list(Reason))
def test_what_was_rolled_back_for_its_own_sake_is_not_to_be_tried_again(diary: Diary, reason: Reason) -> None:
    """It would be refused; after a build that failed, or a hold that expired, the same commit may be tried again."""
    diary.enters(Phase.ROLLING_BACK, reason=reason, message="").settles("rolled_back", reason)
    again = "try again once the cause is found: bluegreen release"
    refused = "release another one, commit 9f8e7d6c is refused from now on: bluegreen release"
    telltale = reason in ("ordered", "check_failed", "never_healthy")
    assert wording.next_step(diary.release) == (refused if telltale else again)
    image = replace(diary.release, commit="", image="ami-0abc")
    assert ("image ami-0abc is refused" in wording.next_step(image)) is telltale


@pytest.mark.parametrize(
    ("despite", "words"),
    [
        ([], ", despite a refusal: the bug burns"),
        (["frozen"], ", despite the freeze: the bug burns"),
        (["bad_commit"], ", despite an earlier rollback of it: the bug burns"),
        (["frozen", "bad_commit"], ", despite the freeze and an earlier rollback of it: the bug burns"),
        (["later"], ", despite later: the bug burns"),
    ],
)
@pytest.mark.parametrize("kind", [EventKind.STARTED, EventKind.PROMOTED])
def test_what_was_overridden_is_told_with_the_reason(
    diary: Diary, kind: EventKind, despite: list[str], words: str
) -> None:
    """Whoever reads the log learns that a rule was set aside, by whom, and why; else nothing is added."""
    plain = {**(Diary().last.facts if kind is EventKind.STARTED else {}), **WHO}
    facts = {**plain, "override": "the bug\nburns", "despite": despite}
    assert wording.sentence(Event(ID, 1, 1000.0, kind, facts), diary.release).endswith(words)
    said = wording.sentence(Event(ID, 1, 1000.0, kind, plain), diary.release)
    assert "spite" not in said
    assert "is unknown to this version" not in said


# --- small words -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(-1, "0s"), (45.4, "45s"), (192, "3m 12s"), (3600, "1h"), (7500, "2h 5m"), (277200, "3d 5h"), (86400, "1d")],
)
def test_durations_are_short(seconds: float, expected: str) -> None:
    """Two units at most."""
    assert duration(seconds) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(3, "just now"), (60, "1 minute ago"), (7300, "2 hours ago"), (200000, "2 days ago")],
)
def test_ages_are_words(seconds: float, expected: str) -> None:
    """As a person would say it."""
    assert wording.age(seconds) == expected


def test_what_others_said_becomes_one_harmless_line() -> None:
    """Output of commands may hold line ends, terminal codes, and what GitHub takes for a command."""
    assert wording.visible("a\x1b[2J\u202e\x9b\n\u00e9\U0001f7e2") == "a\\x1b[2J\\u202e\\x9b\n\u00e9\U0001f7e2"
    assert wording.one_line("a\x1b[31m red\r\n::error::b\x07") == "a red ::error::b"


# --- what is awaited, by the journal alone -----------------------------------------------------------------


HOME = [{"name": "home", "http": "https://web.example.com/"}]
BAKED_BY = 1000.0 + 7200


def sticking() -> Stage:
    """Rolling back, blue has all the weight again, and clients stick to green for ten minutes."""
    stage = Stage(steps=[50]).joined().shifted(50)
    stage.release = replace(stage.release, stickiness=600)
    return stage.rolls_back().shifted(0)


def test_a_green_of_size_0_has_its_size() -> None:
    """Once blue is pinned the size is known, also when it is none."""
    stage = Stage().launched()
    assert wording.intent(Act(Verb.CREATE_GREEN), stage.release).endswith("with 4 instances")
    stage.release = replace(stage.release, size=0)
    assert wording.intent(Act(Verb.CREATE_GREEN), stage.release).endswith("with 0 instances")
    stage.release = replace(stage.release, blue=None)
    assert wording.intent(Act(Verb.CREATE_GREEN), stage.release).endswith("with as many instances as blue has")


#: how the release got there -> what is awaited, until when
def test_who_is_in_the_way_is_part_of_what_is_awaited(diary: Diary) -> None:
    """And told as an event; so is that it is over."""
    standby = "i-1 of web-asg is in Standby: return it to service"
    diary.happens(EventKind.OBSERVED, subject="parked blue", value=standby)
    assert wording.sentence(diary.last, diary.release) == standby
    diary.happens(EventKind.OBSERVED, subject="held green", value="a lifecycle hook holds instances")
    said = wording.awaiting(Awaited.BLUE_EMPTY, None, diary.now, diary.release)
    assert said == f"waiting for blue's instances to leave (4 left); {standby}"
    said = wording.awaiting(Awaited.GREEN_UP, None, diary.now, diary.release)
    assert said == "waiting for green's instances to come in service (4 of 4); a lifecycle hook holds instances"
    for subject, over in (
        ("parked blue", "no instance of web-production-v41 is kept out of service by hand any more"),
        ("held green", "no lifecycle hook holds instances of web-production-v42 any more"),
    ):
        diary.happens(EventKind.OBSERVED, subject=subject, value="")
        assert wording.sentence(diary.last, diary.release) == over
    said = wording.awaiting(Awaited.BLUE_EMPTY, None, diary.now, diary.release)
    assert said == "waiting for blue's instances to leave (4 left)"


def test_who_serves_beside_green(diary: Diary) -> None:
    """As long as somebody does, and once nobody does any more."""
    diary.happens(EventKind.OBSERVED, subject="beside", value="1 other target (1 of the group worker)")
    said = "beside green also serves: 1 other target (1 of the group worker)"
    assert wording.sentence(diary.last, diary.release) == said
    diary.happens(EventKind.OBSERVED, subject="beside", value="")
    assert wording.sentence(diary.last, diary.release) == "nobody else serves beside green any more"


def test_what_aws_took_is_told_and_that_it_is_replaced(diary: Diary) -> None:
    """Whoever reads of an instance that is gone knows that it is no sign against the version."""
    taken = {"instances": ["i-1"], "remain": ["i-2"], "since": 1.0}
    diary.happens(EventKind.OBSERVED, subject="taken", value="AWS took i-1 of web-production-v42", **taken)
    said = "AWS took i-1 of web-production-v42; the remaining instances are judged"
    assert wording.sentence(diary.last, diary.release) == said
    diary.happens(EventKind.OBSERVED, subject="taken", value="", **taken)
    assert wording.sentence(diary.last, diary.release) == "web-production-v42 has replaced the lost instances"


def test_what_is_awaited_is_an_event(diary: Diary) -> None:
    """In the words of the wait, with its end as it was then."""
    diary.happens(EventKind.AWAITED, awaited=Awaited.OVERLAP, deadline=diary.now + 1 + 192)
    assert wording.sentence(diary.last, diary.release) == "waiting for the overlap to pass, 3m 12s to go"
    diary.happens(EventKind.AWAITED, awaited=Awaited.READ_BACK)
    assert wording.sentence(diary.last, diary.release) == "waiting for the load balancer to show the last change"


# --- a hold, and several who promote -----------------------------------------------------------------------


def test_a_hold_says_who_ordered_it(diary: Diary) -> None:
    """By the readable end of an ARN, or by the id that a door makes a name of."""
    assert said(diary.happens(EventKind.HOLD_ORDERED, who=ALICE)) == (
        f"Admin/alice ordered {ID} to wait for a promotion"
    )
    assert said(diary.happens(EventKind.HOLD_ORDERED, who="slack:U0BOB")).startswith("slack:U0BOB ordered")


def test_a_promotion_says_how_many_are_still_missing() -> None:
    """Only where several must."""
    diary = Diary(hold=True, promotion={"by": "person", "approvals": 2}).serves_both()
    assert said(diary.happens(EventKind.PROMOTED, who=ALICE)) == f"Admin/alice promoted {ID} (1 of 2)"
    assert said(diary.happens(EventKind.PROMOTED, who="slack:U0BOB")) == f"slack:U0BOB promoted {ID} (2 of 2)"
    assert said(Diary().serves_both().happens(EventKind.PROMOTED, who=ALICE)) == f"Admin/alice promoted {ID}"


@pytest.mark.parametrize(
    ("blue", "number"),
    [
        ("web-production-v41", 41),
        ("web-production-v7", 7),
        ("web-asg", None),
        ("web-production-v", None),
        ("web-production-v41-old", None),
        ("my-web-production-v41", None),
        ("web-staging-v41", None),
    ],
)
def test_the_release_that_made_blue_is_known_by_its_name(blue: str, number: int | None) -> None:
    """Names are made from service and number; another's name tells nothing."""
    assert wording.previous_number(Diary(blue=blue).release) == number


ILL = {"cure": "the group web-asg is not completely healthy: it has 1 instances of 4", "borne": 1, "wanted": 9}


def test_after_a_cure_was_rolled_back_what_was_ill_is_not_said_to_serve_alone() -> None:
    """It serves, as far as it did."""
    diary = Diary().serves_both().settles("rolled_back")
    cure = replace(diary.release, cure="ill")
    assert ", web-production-v41 serves as it did before: " in wording.outcome_line(cure)
    assert ", web-production-v41 serves alone: " in wording.outcome_line(diary.release)


def test_after_a_cure_was_rolled_back_only_a_cure_may_begin() -> None:
    """And the good version from before is a way on, unless that was what did not work."""
    diary = Diary().serves_both()
    back = diary.enters(Phase.ROLLING_BACK, reason="launch_late", message="").settles("rolled_back", "launch_late")
    cure = replace(back.release, cure="ill", back=3)
    again = "try again once the cause is found: bluegreen release --cure"
    assert wording.next_step(cure) == f"{again}; go back: bluegreen rollback web/production --to 3"
    assert wording.next_step(replace(cure, again=3)) == again
    left = replace(back.release, takes={"rest": [{"group": "old"}]})
    assert wording.next_step(left) == again


def test_a_cure_says_what_is_wrong_and_that_nothing_returns() -> None:
    """In its first event, in the switch and in the soak; a blue that became whole is returned to."""
    said = wording.without_return(Stage(started=ILL).release)
    assert said == f", a cure without a rollback to it: {ILL['cure']}; green gets 9 instances"
    assert wording.without_return(Stage().release) == ""
    for switching in (Stage(started=ILL).joined().enters(Phase.SWITCHING), Stage(started=ILL).switched()):
        meaning = wording.phase_meaning(switching.release.phase, switching.release)
        assert ("as soon as it can carry it" in meaning) is (switching.release.phase is Phase.SWITCHING)
        assert ("there is no rollback to it" in meaning) is (switching.release.phase is Phase.SOAKING)
        assert meaning in wording.outcome_line(switching.release)
    assert "a rollback takes seconds" in wording.phase_meaning(Phase.SOAKING, Stage().switched().release)


def test_what_another_version_wrote_is_no_reason_to_fail() -> None:
    """Its own words are told as they are; a line that cannot be worded says so."""
    diary = Diary().happens(EventKind.OBSERVED, subject="green", value="in another form")
    assert wording.sentence(diary.last, diary.release) == "green: in another form"
    assert "green" in wording.awaited_text(Awaited.GREEN_UP, diary.release)
    sizes = {"desired": 4, "in_service": 4, "serving": 4, "share": "most of it"}
    diary = Diary().happens(EventKind.OBSERVED, subject="green", value="in another form", **sizes)
    assert wording.sentence(diary.last, diary.release) == "event 2 (observed) is unknown to this version"


def test_a_hook_is_told_with_its_instance_once_that_is_known() -> None:
    """A plan knows none."""
    stage = Stage()
    act = Act(Verb.RUN_BEFORE_SWITCH, instances=("i-0123456789abcdef0",))
    assert wording.intent(act, stage.release) == "run the hook before_switch on i-0123456789abcdef0"
    modelled = Act(Verb.RUN_AFTER_LIVE, instances=("web-production-v42-0",))
    assert wording.intent(modelled, stage.release) == "run the hook after_live on one instance of green"
