"""What serves is ill, half ill, in motion or gone: the earlier image and a hotfix go live all the same."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bluegreen import plan_text, wording
from bluegreen.aws_commands import delete_group
from bluegreen.errors import ConfigError
from bluegreen.events import Outcome, Phase, Reason, Verb
from bluegreen.release import Release
from tests.worlds import CHANGES, FAST, GOOD, HEALTH, Ops, fast, once
from tests.worlds.orders import ON_CALL, WEB, lives, refusal

FIRST, SECOND, HOTFIX = ("0fee0001aaaa", "0fee0002bbbb", "0fee0003cccc")


def live_twice(weighted: bool, retire: str) -> tuple[Ops, Release]:
    """Two releases went live; the first one's image is good."""
    o = fast(weighted=weighted, retire=retire)
    lives(o, commit=FIRST)
    return o, lives(o, commit=SECOND)


def sick(o: Ops, live: Release) -> None:
    """Every instance answers 500."""
    o.machines.sick(live.commit)
    o.clock.sleep(30)


def half_sick(o: Ops, live: Release) -> None:
    """One of two answers no more."""
    o.machines.kill(min(o.aws.members(live.green_group)))
    o.clock.sleep(30)


def growing(o: Ops, live: Release) -> None:
    """One more boots."""
    _change(o, live.green_group, DesiredCapacity=live.size + 1)


def emptied(o: Ops, live: Release) -> None:
    """Nobody is left."""
    _change(o, live.green_group, MinSize=0, DesiredCapacity=0)
    o.clock.sleep(60)


def _change(o: Ops, group: str, **settings: Any) -> None:
    o.world.client("autoscaling").update_auto_scaling_group(AutoScalingGroupName=group, **settings)


def healthy(o: Ops) -> int:
    """How many targets are that get requests."""
    return sum(state == "healthy" for arn in o._weighing() for state in o.aws.serving(arn).values())


@pytest.mark.parametrize(
    ("weighted", "retire", "befalls"),
    [
        (False, "delete", sick),
        (True, "empty", sick),
        (False, "empty", half_sick),
        (True, "delete", half_sick),
        (False, "delete", growing),
        (True, "delete", emptied),
    ],
    ids=["sick", "sick, weighted", "half sick", "half sick, weighted", "scaling", "size 0, weighted"],
)
def test_a_cure(weighted: bool, retire: str, befalls: Callable[[Ops, Release], None]) -> None:
    """A hotfix by a flag, then the earlier image by its order; never fewer healthy than before, out in one boot."""
    o, live = live_twice(weighted, retire)
    for by_flag in (True, False):
        befalls(o, live)
        before, began = healthy(o), o.clock.now()
        if befalls in (growing, emptied):  # a release waits for that, or does without; a cure does not
            known = o.engine().plan(o.config, commit=HOTFIX).baseline
            ill = known.unsettled or known.idle
        else:
            refused = refusal(o, lambda: o.start(HOTFIX), Reason.BLUE_UNHEALTHY)
            ill = refused.what
            assert "--cure" in refused.hint
        again = o.engine().image_of(WEB, 1)
        release = o.start(HOTFIX, cure=True) if by_flag else o.engine().release_again(WEB, again, who=ON_CALL)
        assert release.cure == ill
        fewest, out = _driven(o, release, before, live.green_group)
        boots = 20 if by_flag else 0  # seconds of the bake
        assert (fewest, out - began < 25 + boots) == (before, True)
        live = o.engine().load(release.id)
        assert (live.outcome, o.serving()) == (Outcome.LIVE, {release.green_group})
        assert live.size == (2 if befalls is not growing else 3 if by_flag else 4)


def _driven(o: Ops, release: Release, before: int, sick_one: str) -> tuple[int, float]:
    """The fewest that were healthy on the way, and when the sick one was out."""
    fewest, out = [before], list[float]()

    def when(seen: Release) -> None:
        fewest.append(healthy(o))
        if not out and o.serving() == {release.green_group}:
            out.append(o.clock.now())

    assert o.drive(release.id, when=when) is not None
    return min(fewest), out[0]


@pytest.mark.parametrize("weighted", [False, True], ids=["shared", "weighted"])
def test_green_that_falls_ill_while_blue_drains_goes_back_by_itself(weighted: bool) -> None:
    """The deregistration delay outlasts the soak, or begins after it: blue is whole until it is emptied."""
    o = Ops(timings=FAST, changes={**CHANGES, "checks": []}, health=HEALTH, drain=60, weighted=weighted)
    began: list[float] = []

    def ill() -> None:
        o.machines.sick(GOOD)
        began.append(o.clock.now())

    done = o.drive(o.start().id, when=once(lambda seen: seen.phase is Phase.RETIRING, ill))
    assert done is not None
    assert (done.outcome, done.left, done.reason) == (Outcome.ROLLED_BACK, Phase.RETIRING, Reason.CHECK_FAILED)
    serves = next(e.at for e in o.told if e.facts.get("subject") == "traffic" and e.at > began[0] + 1)
    assert serves - began[0] < 60
    o.harm.clear()  # what fell ill is no removal of ours
    assert o.wrong(done) == []


def failed_past_the_return(weighted: bool = False) -> tuple[Ops, Release]:
    """Green fell ill when blue was being emptied, whose instances take their time."""
    o = Ops(
        timings=replace(FAST, terminate=60),
        changes={**CHANGES, "checks": []},
        health=HEALTH,
        drain=5,
        weighted=weighted,
        group={"MinSize": 1},
        template_version="$Latest",
    )
    ill = once(lambda seen: Verb.EMPTY_BLUE in seen.did, lambda: o.machines.sick(GOOD))
    failed = o.drive(o.start().id, when=ill)
    assert failed is not None
    assert (failed.outcome, failed.phase, failed.reason) == (Outcome.FAILED, Phase.RETIRING, Reason.CHECK_FAILED)
    return o, failed


def sizes(o: Ops, name: str) -> tuple[int, int, list[str]]:
    """Minimum, maximum, suspended processes."""
    group = o.group(name)
    assert group is not None
    return group["MinSize"], group["MaxSize"], group["SuspendedProcesses"]


@pytest.mark.parametrize("weighted", [False, True], ids=["shared", "weighted"])
def test_a_release_that_failed_locks_nobody_out(weighted: bool) -> None:
    """The image of before takes green's place; what was half emptied is named with what removes it."""
    o, failed = failed_past_the_return(weighted)
    refused = refusal(o, lambda: o.start(HOTFIX), Reason.UNRESOLVED)
    assert "--cure" in refused.hint
    assert "rollback" not in refused.hint
    release = o.engine().release_again(WEB, failed.blue_image, who=ON_CALL)
    assert (release.blue_group, release.blue_commit) == (failed.green_group, GOOD)
    o.instances = 0  # nobody serves any more
    done = o.drive(release.id)
    assert done is not None
    assert (done.outcome, o.serving()) == (Outcome.LIVE, {release.green_group})
    assert sizes(o, release.green_group) == (1, o.before["MaxSize"], [])  # type: ignore[index]  # there was one
    assert any(failed.blue_group in said and "aws autoscaling delete" in said for said in done.left_behind)


def test_a_cure_of_a_failed_release_that_goes_back_leaves_its_green_live() -> None:
    """The group that was taken along serves: the next release begins from it, and its pins are off."""
    o, failed = failed_past_the_return()
    o.machines.heal(GOOD)
    o.clock.sleep(30)
    back = once(lambda seen: seen.phase is Phase.LAUNCHING, lambda: o.engine().roll_back(WEB, who="slack:U1"))
    done = o.drive(o.start(HOTFIX, cure=True).id, when=back)
    assert done is not None
    assert (done.outcome, done.cure) == (Outcome.ROLLED_BACK, "")
    (status,) = o.engine().status()
    assert status.record.live is not None
    assert (status.record.live.group, status.record.live.commit) == (failed.green_group, GOOD)
    assert sizes(o, failed.green_group) == (1, o.before["MaxSize"], [])  # type: ignore[index]  # there was one
    assert o.start("0fee0004dddd").blue_group == failed.green_group


def failed_with_both(weighted: bool) -> tuple[Ops, Release]:
    """Blue and green share the traffic when somebody changes what the release works on."""
    o = fast(200.0, weighted=weighted, checks=[])
    o.instances = 0
    lives(o, commit=FIRST)

    def meddle() -> None:
        latest = {"LaunchTemplateId": o.world.template, "Version": "$Latest"}
        _change(o, release.blue_group, LaunchTemplate=latest)

    release = o.start(SECOND)
    shared = once(lambda seen: seen.share > 0 or (not weighted and Verb.JOIN_GREEN in seen.did), meddle)
    failed = o.drive(release.id, when=shared)
    assert failed is not None
    assert (failed.outcome, o.serving()) == (Outcome.FAILED, {failed.blue_group, failed.green_group})
    return o, failed


@pytest.mark.parametrize(
    ("weighted", "ill"),
    [(False, (FIRST, SECOND)), (False, (SECOND,)), (True, (FIRST,)), (True, ())],
    ids=["both ill", "green ill", "weighted, blue ill", "weighted, both whole"],
)
def test_a_cure_takes_out_both_that_a_failed_release_left(weighted: bool, ill: tuple[str, ...]) -> None:
    """Also after a cure that was rolled back: never fewer healthy than before, or than are needed; out in one boot."""
    o, failed = failed_with_both(weighted)
    for commit in ill:
        o.machines.sick(commit)
    o.clock.sleep(30)
    two, enough = o.serving(), min(healthy(o), failed.size)
    back = o.drive(o.start("0fee0004dddd", cure=True).id, when=o.order_back(Phase.CHECKING))
    assert back is not None
    assert (back.outcome, o.serving(), healthy(o) >= enough) == (Outcome.ROLLED_BACK, two, True)
    assert "takes it out" in " ".join(back.left_behind)
    assert "aws autoscaling delete" not in " ".join(back.left_behind)
    assert "--cure" in refusal(o, lambda: o.start(HOTFIX), Reason.UNRESOLVED).hint
    began = o.clock.now()
    release = o.start(HOTFIX, cure=True)
    fewest, out = _driven(o, release, enough, "")
    assert (fewest, out - began < 25 + 20) == (enough, True)
    live = o.engine().load(release.id)
    assert (live.outcome, o.serving()) == (Outcome.LIVE, {release.green_group})
    (other,) = {failed.blue_group, failed.green_group} - {release.blue_group}
    said = [one for one in live.left_behind if one.startswith(f"group {other} ")]
    assert said == [f"group {other} of {failed.id}, which gets no traffic: {delete_group(other)}"]


def test_the_way_back_after_cures_is_what_no_cure_replaced() -> None:
    """Of a cure that is cured itself, too; where nothing good is known that is said, and a plan says the same."""
    o = fast(checks=[])
    o.instances = 0
    first, live = lives(o, commit=FIRST), lives(o, commit=SECOND)
    for commit in (HOTFIX, "0fee0004dddd"):
        sick(o, live)
        said = list(plan_text.lines(o.engine().plan(o.config, commit=commit)))
        back = f"to go back, run `bluegreen rollback {WEB} --to 1`"
        assert (
            said[-1]
            == f"Once {live.green_group} is out, there is no rollback to it, unless it was healthy by then: {back}."
        )
        assert "soaking: green serves alone; there is no rollback to a blue that was unhealthy when it left" in said
        assert not any(
            "soaking" in line for line in said[said.index("A rollback would do this, by the phase of the order:") :]
        )
        live = lives(o, commit=commit, cure=True)
        assert wording.next_step(live) == f"go back: bluegreen rollback {WEB} --to 1"
        assert o.engine().previous(WEB, who=ON_CALL).number == 1
    cured, live = live, lives(o, commit="0fee0005eeee")
    assert live.back == cured.number
    o.world.client("ec2").deregister_image(ImageId=cured.image)
    assert o.engine().previous(WEB, who=ON_CALL).number == 1
    back = f"`bluegreen rollback {WEB} --to 1` releases {first.image} again"
    assert refusal(o, lambda: o.engine().roll_back(WEB, who=ON_CALL)).hint == f"{back}."
    with pytest.raises(ConfigError, match=re.escape(back)):
        o.engine().image_of(WEB, cured.number)
    sick(o, live)
    back_again = o.drive(o.engine().release_again(WEB, first.image, who=ON_CALL).id)
    assert back_again is not None
    assert wording.next_step(back_again) == "no earlier good version is known; replace it: bluegreen release"
    assert (
        "no earlier good image" in refusal(o, lambda: o.engine().previous(WEB, who=ON_CALL), Reason.NOTHING_TO_DO).what
    )


@pytest.mark.parametrize("weighted", [False, True], ids=["shared", "weighted"])
def test_the_way_back_after_a_cure_that_failed_is_not_what_it_was_to_replace(weighted: bool) -> None:
    """It failed when what was ill was out already: nobody goes back to that."""
    o = fast(weighted=weighted, checks=[])
    o.instances = 0
    lives(o, commit=FIRST)
    sick(o, lives(o, commit=SECOND))
    ill = once(lambda seen: seen.phase is Phase.SOAKING, lambda: o.machines.sick(HOTFIX))
    failed = o.drive(o.start(HOTFIX, cure=True).id, when=ill)
    assert failed is not None
    assert (failed.outcome, failed.can_roll_back) == (Outcome.FAILED, False)
    live = lives(o, commit="0fee0004dddd", cure=True)
    assert wording.next_step(live) == f"go back: bluegreen rollback {WEB} --to 1"


def test_an_image_from_before_the_journal_was_lost_is_found() -> None:
    """The way back names it by its id, and that can be released."""
    o = fast(checks=[])
    first = lives(o, commit=FIRST)
    o.world.client("dynamodb").delete_table(TableName="bluegreen")
    live = lives(o, commit=SECOND)
    assert wording.next_step(live) == f"go back: bluegreen release --ami {first.image} --cure"
    release = o.start("", ami=first.image, cure=True)
    assert release.image == first.image
