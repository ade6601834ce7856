"""The journal against the world: who is blue, which number comes next, and how a record is put right."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bluegreen.adoption import (
    Adoption,
    adopted,
    another_account,
    drifted,
    elsewhere,
    images_said,
    needed,
    orphan,
    stand,
    unknown,
    ways_on,
)
from bluegreen.aws_commands import delete_group, empty_group
from bluegreen.errors import Refused
from bluegreen.events import EventKind, Phase, Reason, Verb
from bluegreen.observation import Footprint, Image, Remains, Traces
from bluegreen.release import Release
from tests.worlds.release import Stage, paired

WEB = "web/production"
MINE = {"service": WEB, "size": 2}


def made(number: int, **more: Any) -> Footprint:
    """A group that release `number` made; it serves unless told."""
    marks = {"release": f"{WEB}#{number}", "token": f"t{number}", "serves": True, "targets": ("arn:web",)}
    return Footprint(f"web-production-v{number}", number=number, **{**MINE, **marks, **more})


def out(number: int, **more: Any) -> Footprint:
    """One that gets no traffic."""
    return made(number, serves=False, targets=(), **more)


ORIGINAL = Footprint("web-asg", serves=True, size=2)


def traces(*groups: Footprint, first: int = 1, images: tuple[str, ...] = ()) -> Traces:
    """What AWS shows."""
    return Traces(groups, first, images)


# --- who is blue, which number is next -----------------------------------------------------------


def test_a_journal_that_is_right_is_believed() -> None:
    """Nothing is said."""
    standing = stand(WEB, "web-production-v4", 5, traces(made(4), first=5), journaled=True)
    assert (standing.blue, standing.number, standing.found, standing.findings) == ("web-production-v4", 5, None, ())


def test_what_serves_is_blue_whatever_a_lost_journal_says() -> None:
    """Numbers go on, and it is told."""
    standing = stand(WEB, "web-asg", 1, traces(made(4), out(3), first=5), journaled=False)
    assert (standing.blue, standing.number, standing.found) == ("web-production-v4", 5, made(4))
    assert [found.said for found in standing.findings] == [
        (
            "the journal says that web-asg serves, and AWS shows that web-production-v4 does: web-production-v4, of "
            "web/production#4, becomes blue"
        ),
        "the journal has no record of web/production#4, but AWS shows what it made: numbers continue after 4",
        (
            "web-production-v3 of web/production#3 has 2 instances and gets no traffic: it keeps running, and this "
            "release ignores it"
        ),
    ]
    ends = "aws autoscaling delete-auto-scaling-group --auto-scaling-group-name web-production-v3 --force-delete"
    assert standing.findings[2].hint == f"If nobody needs it: `{ends}`."


def test_an_old_blue_of_before_the_first_release_is_named_too() -> None:
    """It may be Terraform's: it is emptied, not deleted. Who is empty, or a stranger, is not named."""
    there = (made(1), replace(ORIGINAL, serves=False), out(2, size=0), Footprint("web-production-v3", size=2))
    found = stand(WEB, "web-asg", 1, traces(*there, first=2), journaled=False).findings
    (idle,) = (one for one in found if "gets no traffic" in one.found)
    assert idle.found == "web-asg has 2 instances and gets no traffic"
    assert idle.hint == f"If nobody needs it: `{empty_group('web-asg')}`."
    (left,) = adopted(WEB, "web-production-v1", 2, None, traces(*there, first=2), configured=("web-asg",)).left
    assert left.startswith("web-asg has 2 instances and gets no traffic; if nobody needs it: ")


# --- what tags know ------------------------------------------------------------------------------


PAIR = ("web-a", "web-b")


def one_of_pair(name: str, **more: Any) -> Footprint:
    """It serves, unless told."""
    return Footprint(name, **{"serves": True, "size": 2, "targets": ("arn:web",), **more})


def idle_one(name: str, **more: Any) -> Footprint:
    """One of a pair that gets no traffic and has no instances."""
    return one_of_pair(name, **{"serves": False, "size": 0, "targets": (), **more})


@pytest.mark.parametrize(
    ("groups", "recorded", "blue", "found"),
    [
        ((one_of_pair("web-a"), idle_one("web-b")), "", "web-a", False),
        ((idle_one("web-a"), one_of_pair("web-b")), "", "web-b", False),
        ((one_of_pair("web-a"), idle_one("web-b")), "web-a", "web-a", False),
        ((one_of_pair("web-a"), idle_one("web-b")), "web-b", "web-a", True),
        ((one_of_pair("web-a", size=0), one_of_pair("web-b")), "web-a", "web-b", True),
        ((one_of_pair("web-a", size=0), idle_one("web-b")), "", "web-a", False),
        ((one_of_pair("web-a", size=0), one_of_pair("web-b", size=0)), "web-b", "web-b", False),
        ((one_of_pair("web-a"), idle_one("web-b", size=3)), "", "web-a", False),
    ],
)
def test_of_a_pair_the_one_that_serves_is_blue(
    groups: tuple[Footprint, ...], recorded: str, blue: str, found: bool
) -> None:
    """By what AWS shows; where none has instances by what the journal says. It is told when they differ."""
    standing = stand(WEB, recorded or "web-a", 3, traces(*groups, first=3), journaled=bool(recorded), pair=PAIR)
    assert (standing.blue, standing.number, standing.found is not None) == (blue, 3, found)
    told = [one.said for one in standing.findings]
    assert told == (
        [f"the journal says that {recorded} serves, and AWS shows that {blue} does: {blue} becomes blue"]
        if found
        else []
    )


@pytest.mark.parametrize(
    ("groups", "recorded", "what", "hint"),
    [
        ((idle_one("web-a"), idle_one("web-b")), "", "neither web-a nor web-b is attached", "Attach the one"),
        ((one_of_pair("web-a"), one_of_pair("web-b", size=1)), "", "are both attached", "web-b by `aws autoscaling d"),
        ((one_of_pair("web-a"), one_of_pair("web-b", size=3)), "web-b", "both attached", "web-a by `aws autoscaling d"),
        ((one_of_pair("web-a"), idle_one("web-b")), "web-asg", "the journal says that web-asg serves", "adopt"),
    ],
)
def test_a_pair_of_which_none_or_both_serve_is_for_a_person(
    groups: tuple[Footprint, ...], recorded: str, what: str, hint: str
) -> None:
    """With the commands for the one that serves less, or that the journal does not name."""
    with pytest.raises(Refused) as caught:
        stand(WEB, recorded or "web-a", 3, traces(*groups, first=3), journaled=bool(recorded), pair=PAIR)
    assert what in caught.value.what
    assert hint in caught.value.hint
    assert "delete" not in caught.value.hint


def test_a_pair_gives_no_group_a_name() -> None:
    """So no number is skipped for one; what runs of it without traffic is emptied, never deleted."""
    groups = (one_of_pair("web-a"), idle_one("web-b", number=4, size=2), idle_one("web-production-v3"))
    standing = stand(WEB, "web-a", 1, traces(*groups, first=3), journaled=True, pair=PAIR)
    assert standing.number == 3
    assert [one.hint for one in standing.findings if "web-b" in one.found] == [
        f"If nobody needs it: `{empty_group('web-b')}`."
    ]
    repaired = adopted(WEB, "web-a", 3, None, traces(*groups, first=3), configured=PAIR)
    assert repaired.left == (f"web-b has 2 instances and gets no traffic; if nobody needs it: {empty_group('web-b')}",)


@pytest.mark.parametrize(
    ("verbs", "strange"),
    [((), False), ((Verb.CREATE_GREEN,), True), ((Verb.CREATE_GREEN, Verb.RETURN_GREEN), False)],
)
def test_of_a_pair_green_bears_our_marks_only_while_it_is_ours(verbs: tuple[Verb, ...], strange: bool) -> None:
    """Before it is taken and after it was given back it bears those of an earlier release."""
    s = paired().did(*verbs)
    green = idle_one("web-b", release=f"{WEB}#7", token="other")
    assert elsewhere(s.release, traces(one_of_pair("web-a"), green, first=43)) is strange


def test_no_group_of_a_pair_is_an_orphan() -> None:
    """Whatever it is called: it was there before the release that its marks name, and stays."""
    s = paired().told(EventKind.SETTLED, outcome="rolled_back", reason="ordered")
    marks: dict[str, Any] = {"release": s.release.id, "token": s.release.token, "service": WEB}
    left = Footprint("web-production-v42", size=2, **marks)
    assert orphan(left, s.release, None, keeps_empty=False) is None
    assert orphan(replace(left, name="web-b"), s.release, None, keeps_empty=False) is None
    assert needed(s.release) == {"web-a", "web-b"}


def image(number: int, **more: Any) -> Image:
    """An image that release `number` made."""
    marks: dict[str, Any] = {"tagged_release": f"{WEB}#{number}", "commit": f"c0ffee0{number}aaaa", **more}
    return Image(f"ami-{number}", f"web-production-v{number}-c0ffee0{number}", "available", **marks)


def test_images_are_named_by_their_tags_the_good_ones_first() -> None:
    """Never what is ill; of many the first, and how many more."""
    known = [image(3), image(2, good=True), image(1, commit="", tagged_release="")]
    assert images_said(known) == (
        "ami-2 (web/production#2, commit c0ffee02, went live), ami-3 (web/production#3, commit c0ffee03), ami-1"
    )
    assert ways_on(known, ill="ami-2").startswith("`bluegreen release --ami ami-3 --cure` releases ami-3 (")
    assert (images_said([image(2)], ill="ami-2"), ways_on([image(2)], ill="ami-2")) == ("", "")
    assert images_said(image(n) for n in range(7)).endswith("ami-4 (web/production#4, commit c0ffee04) and 2 more")


def test_a_journal_that_knows_nothing_is_told_of_what_there_is() -> None:
    """And what to do; of what serves the image is not advised. Where nothing is, nothing is said."""
    there = Remains((out(1), made(2), out(3, size=0)), (image(2, good=True), image(1, good=True)))
    told = unknown(WEB, "bluegreen", there, repaired=False)
    assert told is not None
    assert told.what == (
        "the journal `bluegreen` has no release, but AWS shows resources of releases: the group web-production-v1 of "
        "web/production#1, 2 instances in no target group; the group web-production-v2 of web/production#2, 2 "
        "instances in a target group; the images ami-2 (web/production#2, commit c0ffee02, went live), ami-1 "
        "(web/production#1, commit c0ffee01, went live)"
    )
    way = "`bluegreen release --ami ami-1 --cure` releases ami-1 (web/production#1, commit c0ffee01, went live)"
    repair = "`bluegreen adopt web/production` repairs the journal, and changes nothing else."
    assert told.hint == f"Check whether BLUEGREEN_TABLE names the right table. {repair} {way}, whatever serves."
    after = unknown(WEB, "bluegreen", Remains((made(2),), ()), repaired=True)
    assert after is not None
    assert after.hint == ""
    assert unknown(WEB, "bluegreen", Remains(), repaired=False) is None


def test_a_recorded_group_that_serves_is_blue_whoever_else_does() -> None:
    """Who stands beside it is for the preflight to say."""
    standing = stand(WEB, "web-production-v4", 5, traces(made(4), made(3), ORIGINAL, first=5), journaled=True)
    assert (standing.blue, standing.findings) == ("web-production-v4", ())


def test_a_blue_that_a_lost_release_pinned_is_told() -> None:
    """Green would be made so, too."""
    standing = stand(WEB, "web-production-v3", 4, traces(made(4, pinned=True), first=5), journaled=True)
    pinned = standing.findings[1]
    assert pinned.found.startswith("web-production-v4 seems pinned by an unfinished release")
    assert "aws autoscaling resume-processes --auto-scaling-group-name web-production-v4" in pinned.hint
    assert stand(WEB, "web-production-v4", 5, traces(made(4, pinned=True), first=5), journaled=True).findings == ()


def test_several_that_serve_are_for_a_person() -> None:
    """None of them is recorded."""
    with pytest.raises(Refused, match="web-asg serves, and web-production-v3 and web-production-v4 do") as told:
        stand(WEB, "web-asg", 1, traces(made(3), made(4), first=5), journaled=False)
    assert "`bluegreen adopt web/production`" in told.value.hint


@pytest.mark.parametrize("groups", [(), (out(3),), (made(3, size=0),), (ORIGINAL,)], ids=str)
def test_a_recorded_group_that_is_gone_is_for_a_person(groups: tuple[Footprint, ...]) -> None:
    """Unless a group of the service serves; a configured one the preflight knows better hints for."""
    with pytest.raises(Refused, match="web-production-v4 serves, and there is no such group"):
        stand(WEB, "web-production-v4", 5, traces(*groups, first=5), journaled=True)
    assert stand(WEB, "web-ags", 5, traces(*groups, first=5), journaled=False).blue == "web-ags"


def test_names_that_are_taken_are_passed_over() -> None:
    """By a group, by an image; nothing is done to them."""
    theirs = Footprint("web-production-v5", release="other/x#1", size=1)
    nobody = Footprint("web-production-v7")
    there = traces(made(4), theirs, nobody, first=5, images=("web-production-v6-abc", "web-production-v8x"))
    standing = stand(WEB, "web-production-v4", 5, there, journaled=True)
    assert standing.number == 8
    assert [found.said for found in standing.findings] == [
        (
            "the group web-production-v5 of other/x#1 has a name that web/production#5 would give: number 5 is "
            "skipped, and its owner keeps it"
        ),
        (
            "the image web-production-v6-abc has a name that web/production#6 would give: number 6 is skipped, "
            "and its owner keeps it"
        ),
        (
            "the group web-production-v7 of someone else has a name that web/production#7 would give: number 7 is "
            "skipped, and its owner keeps it"
        ),
    ]


def test_somebody_who_takes_every_name_is_told() -> None:
    """Not for ever."""
    taken = tuple(f"web-production-v{n}-x" for n in range(1, 6))
    with pytest.raises(Refused, match="web-production-v1 and the next 4 names are taken"):
        stand(WEB, "web-asg", 1, traces(ORIGINAL, images=taken), journaled=False)


# --- putting a record right ----------------------------------------------------------------------


def repair(*groups: Footprint, known: int = 5, under_way: Release | None = None, **more: Any) -> Adoption:
    """What is to be recorded, where the journal names v4 as live."""
    there = traces(*groups, first=more.pop("first", known))
    return adopted(WEB, more.pop("recorded", "web-production-v4"), known, under_way, there, **more)


def test_a_record_that_is_right_stays() -> None:
    """Nothing is found."""
    assert repair(made(4), out(3, size=0)) == Adoption(WEB, made(4), 5, (), ())


def test_what_serves_is_recorded_also_if_no_release_made_it() -> None:
    """Another group of the service's, or one that somebody attached by hand."""
    assert repair(made(6), first=7).found == (
        "the journal names web-production-v4 as live, and web-production-v6 serves",
        "the journal has no record of web/production#6, but AWS shows what it made",
    )
    assert repair(ORIGINAL, recorded="").found == ("the journal names no group as live, and web-asg serves",)


def test_by_weights_the_traffic_goes_before_the_group() -> None:
    """A target group that has a weight and nobody in it answers its share with errors."""
    (left,) = repair(made(5), replace(made(4), targets=("arn:green",)), named="web-production-v5").left
    assert "first give its target group weight 0 in every listener and rule (aws elbv2 modify-listener), then" in left


def test_what_is_left_is_told_with_the_command_that_removes_it() -> None:
    """Never what serves: that is only ever detached, by whoever knows better; nor what no release made."""
    there = (made(5, pinned=True), out(4), made(3), out(2, size=0), replace(ORIGINAL, serves=False), ORIGINAL)
    left = repair(*there, named="web-production-v5").left
    assert left[0].endswith(
        "gets no traffic; if nobody needs it: aws autoscaling delete-auto-scaling-group "
        "--auto-scaling-group-name web-production-v4 --force-delete"
    )
    assert left[1].endswith(
        "serves beside web-production-v5; if it should not: aws autoscaling detach-load-balancer-target-groups "
        "--auto-scaling-group-name web-production-v3 --target-group-arns arn:web"
    )
    assert left[2].startswith("web-asg serves beside web-production-v5")
    assert left[3].startswith("web-production-v5 seems pinned")
    assert len(left) == 4


@pytest.mark.parametrize(
    ("groups", "named", "said"),
    [
        ((), "", "no group serves in its target groups"),
        ((out(4), made(3, size=0)), "", "no group serves"),
        ((made(4, service="other/x"),), "", "no group serves"),
        ((made(3), ORIGINAL), "", r"v3 \(of web/production#3, 2 instances\) and web-asg \(of someone else, 2"),
        ((made(3), out(4)), "web-production-v4", "web-production-v4 does not serve in the target groups, .*v3"),
    ],
)
def test_what_cannot_be_told_is_refused(groups: tuple[Footprint, ...], named: str, said: str) -> None:
    """With who is there, and what to do."""
    with pytest.raises(Refused, match=said) as told:
        repair(*groups, named=named)
    assert told.value.reason == Reason.UNRESOLVED
    assert told.value.hint


BLUE, GREEN = ORIGINAL, made(42, token="mine")
OUT = replace(BLUE, serves=False)


@pytest.mark.parametrize(
    ("phase", "groups"),
    [
        (Phase.BAKING, (BLUE,)),
        (Phase.OVERLAPPING, (BLUE, GREEN)),
        (Phase.SWITCHING, (OUT, GREEN)),
        (Phase.SOAKING, (OUT, GREEN)),
        (Phase.RETIRING, (GREEN,)),
    ],
    ids=str,
)
def test_a_release_that_is_true_is_not_given_up(phase: Phase, groups: tuple[Footprint, ...]) -> None:
    """It is resumed, or rolled back."""
    stage = Stage(started={"token": "mine"}).launched().enters(phase)
    with pytest.raises(Refused, match="web/production#42 is under way, and AWS confirms it") as told:
        repair(*groups, known=43, under_way=stage.release, recorded="web-asg", named=groups[-1].name)
    assert "`bluegreen resume web/production`" in told.value.hint


@pytest.mark.parametrize(
    ("phase", "groups", "first"),
    [
        (Phase.BAKING, (GREEN,), 43),  # blue is gone
        (Phase.BAKING, (OUT, GREEN), 43),  # blue is out, though nothing took it out
        (Phase.SOAKING, (replace(OUT, size=0), GREEN), 43),  # blue is empty
        (Phase.SOAKING, (OUT, made(42, token="another")), 43),  # green is another's
        (Phase.SOAKING, (OUT, GREEN), 44),  # there was a later one
        (Phase.RETIRING, (made(41),), 43),  # green is gone
        (Phase.RETIRING, (BLUE, replace(GREEN, serves=False)), 43),  # green is out
    ],
    ids=str,
)
def test_a_release_of_another_world_is_given_up(phase: Phase, groups: tuple[Footprint, ...], first: int) -> None:
    """Driving it on would be of no use."""
    stage = Stage(started={"token": "mine"}).launched().enters(phase)
    serves = next(one.name for one in groups if one.serves)
    made_ = repair(*groups, known=43, first=first, under_way=stage.release, recorded=serves)
    assert made_.ended == "web/production#42"
    assert made_.found[-1] == "web/production#42 is under way only in the journal: AWS does not confirm it"
    if phase is not Phase.RETIRING:
        rolling = stage.rolls_back().release
        assert repair(*groups, known=43, first=first, under_way=rolling, recorded=serves).ended


def test_a_green_that_is_blue_fits_nothing() -> None:
    """As a release of an old journal, begun at 1 again, would have it."""
    stage = Stage(started={"blue_group": "web-production-v42"}).launched()
    blue = made(42, token="")
    assert repair(blue, known=43, under_way=stage.release, recorded="web-production-v42").ended == "web/production#42"


def test_a_release_of_another_account_fits_nothing() -> None:
    """Whatever bears its names here; old journals name no account."""
    stage = Stage(ami="ami-1", started={"account": "1", "token": "t42"}).launched()
    blue, green = Footprint("web-asg", serves=True, size=4), out(42)
    here = replace(traces(blue, green, first=43), account="1")
    assert not elsewhere(stage.release, here)
    assert elsewhere(stage.release, replace(here, account="2"))
    assert adopted(WEB, "web-asg", 43, stage.release, replace(here, account="2")).ended == "web/production#42"
    assert not another_account(Stage().release, "2")


# --- what nobody needs ---------------------------------------------------------------------------


def settled(outcome: str = "rolled_back", token: str = "t42") -> Release:
    """Release 42, which is over."""
    s = Stage(started={"token": token}).launched()
    return s.told(EventKind.SETTLED, outcome=outcome, reason="ordered").release


def test_a_group_that_a_settled_release_left_is_nobodys() -> None:
    """Its tags, its name and its token prove it; what removes it is said."""
    found = orphan(out(42), settled(), None, keeps_empty=False)
    assert found is not None
    assert found.removable
    assert found.said == (
        "group web-production-v42 of web/production#42, 2 instances without traffic, which nobody needs: "
        "`bluegreen reconcile` removes it"
    )
    assert orphan(out(42, size=0), settled("live"), None, keeps_empty=False) is not None
    assert orphan(out(42, held_by="web/production#43 t43"), settled(), settled("live"), keeps_empty=True) is not None


@pytest.mark.parametrize(
    ("group", "maker", "holder", "keeps_empty"),
    [
        (made(42), settled(), None, False),
        (out(42), Stage(started={"token": "t42"}).launched().release, None, False),
        (out(42, held_by="web/production#43 t43"), settled(), None, False),
        (out(42, held_by="web/production#43 t43"), settled(), Stage().release, False),
        (out(42, size=0), settled(), None, True),
        (replace(out(42), name="web-copy"), settled(), None, False),
        (replace(out(42), name="web-production-v41"), settled(), None, False),
    ],
    ids=["serves", "under way", "held by one that is unknown", "held", "kept empty", "name of others", "other name"],
)
def test_what_may_be_needed_is_nobodys_orphan(
    group: Footprint, maker: Release, holder: Release | None, keeps_empty: bool
) -> None:
    """It is neither named nor removed."""
    assert orphan(group, maker, holder, keeps_empty=keeps_empty) is None


@pytest.mark.parametrize("maker", [None, settled(token="other")])
def test_what_the_journal_does_not_know_is_named_and_never_removed(maker: Release | None) -> None:
    """Another journal may; nor is a group removed in which a person has set an instance aside."""
    found = orphan(out(42, size=1), maker, None, keeps_empty=False)
    assert found is not None
    assert not found.removable
    assert found.said == (
        "group web-production-v42 of web/production#42, 1 instance without traffic, which this journal does not know; "
        f"if nobody needs it: {delete_group('web-production-v42')}"
    )
    aside = orphan(out(42, parked=("i-1", "i-2")), settled(), None, keeps_empty=False)
    assert aside is not None
    assert not aside.removable
    assert f"with i-1, i-2 set aside; if nobody needs it: {delete_group('web-production-v42')}" in aside.said


def test_what_failed_needs_its_groups() -> None:
    """A person goes on with them, or returns, or a cure takes them out."""
    assert needed(None) == needed(settled()) == set()
    assert needed(settled("failed")) == {"web-asg", "web-production-v42"}


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ((made(4), out(3), made(2, service="api/production")), ""),
        ((made(4, size=0), made(3, size=0)), ""),
        ((), "there is no such group"),
        ((made(3),), "there is no such group, and web-production-v3 is attached to a target group"),
        ((out(4),), "it is attached to no target group"),
        (
            (out(4), made(2), made(3)),
            "it is attached to no target group, and web-production-v2 and web-production-v3 are",
        ),
        ((made(4), made(3)), "web-production-v3 is attached to a target group, too"),
    ],
)
def test_where_aws_differs_from_the_journal_is_said(groups: tuple[Footprint, ...], said: str) -> None:
    """Of who serves, with the command that repairs the journal; a group at size 0 is no difference."""
    found = drifted(WEB, "web-production-v4", groups)
    assert (f"but {said}" in found) if said else (found == "")
    assert not said or "`bluegreen adopt web/production` repairs the journal" in found
