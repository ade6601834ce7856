"""The journal is deleted, or put back as it was before, in each phase: what serves is not touched, releases go on.

The world is forked where the journal is lost, so that each story begins in the middle of one release.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bluegreen.errors import Refused
from bluegreen.events import Outcome, Phase
from bluegreen.release import Release
from tests.lost_journals import give_all, items, put_back
from tests.worlds import GOOD, Ops, fast
from tests.worlds.crashes import Crashes, Point

BOTH = pytest.mark.parametrize("weighted", [False, True], ids=["shared", "weighted"])
ANN = "arn:aws:iam::1:user/ann"
TABLE, THIRD = "bluegreen", "c0ffee03cccc"
WEB = "web/production"


def driven_on(o: Ops) -> None:
    """The bot drives whatever the journal says is under way."""
    for release in o.engine().undriven():
        o.drive(release)


def started(o: Ops, serving: set[str]) -> Release:
    """Somebody releases, and does what the refusals say; until then nothing changes who serves."""
    for _ in range(3):
        assert o.serving() == serving
        try:
            return o.start(THIRD, ami=o.world.image)
        except Refused as refusal:
            told = refusal
        if "Give one of them all the traffic" in told.hint:
            give_all(o, max(serving))
            serving = {max(serving)}
        else:
            assert "bluegreen adopt" in told.hint
            serving = tidied_up(o, serving)
    return o.start(THIRD, ami=o.world.image)


def tidied_up(o: Ops, serving: set[str]) -> set[str]:
    """`bluegreen adopt`, and the commands that it tells; of two that serve a person says that the newer is live."""
    live, client = max(serving), o.world.client("autoscaling")
    for told in o.engine().adopt(o.config, who=ANN, group=live if len(serving) > 1 else "").left:
        words = told.split()
        named = words[words.index("--auto-scaling-group-name") + 1]
        if "delete-auto-scaling-group" in words:
            assert named not in serving
            client.delete_auto_scaling_group(AutoScalingGroupName=named, ForceDelete=True)
        if "detach-load-balancer-target-groups" in words:
            arns = words[words.index("--target-group-arns") + 1 :]
            client.detach_load_balancer_target_groups(AutoScalingGroupName=named, TargetGroupARNs=arns)
    o.clock.sleep(30)
    return {live}


def goes_on(o: Ops) -> list[str]:
    """What is wrong with what follows: the bot, then the next release."""
    o.harm.clear()
    before = o.serving()
    driven_on(o)
    release = started(o, before)
    done = o.drive(release.id)
    assert done is not None
    wrong = [*o.harm] if done.outcome is Outcome.LIVE else [f"{done.outcome}: {done.message}"]
    return wrong + ([] if o.serving() == {done.green_group} else [f"{o.serving()} serve, not {done.green_group}"])


def second(weighted: bool) -> Ops:
    """A service that was released once."""
    o = fast(weighted=weighted, checks=[])
    o.drive(o.start(GOOD, ami=o.world.image).id)
    return o


def differs(phase: str, weighted: bool) -> bool:
    """Whether weights make another story of it; each takes a second, with a whole release after it."""
    return not weighted or phase in (Phase.CHECKING, Phase.SWITCHING, Phase.SOAKING)


@BOTH
def test_a_journal_that_is_deleted_in_the_middle(weighted: bool) -> None:
    """Its driver stops; whoever serves goes on serving, and the next release is found its number and its blue."""
    o = second(weighted)
    release, worlds, seen = o.start("c0ffee02bbbb", ami=o.world.image), Crashes(), set[Phase]()

    def when(now: Release) -> None:
        if now.phase in seen or worlds.copy:
            return
        seen.add(now.phase)
        if differs(now.phase, weighted) and worlds.branch(Point(now.seq, f"in {now.phase}", heard=True)):
            o.world.client("dynamodb").delete_table(TableName=TABLE)
            o.clock.sleep(60)
            worlds.end(lambda: goes_on(o))

    o.drive(release.id, when=when)
    worlds.end(list)
    assert (len(worlds.points), worlds.results) == (3 if weighted else 7, [])


def test_a_journal_that_is_deleted_while_what_serves_is_ill() -> None:
    """It is said which images there are by their tags, and the command that is advised brings one of them back.

    Two builds, for only images that are built bear tags.
    """
    o = fast(checks=[])
    first, second = (o.drive(o.start(commit).id) for commit in (GOOD, "c0ffee02bbbb"))
    assert first is not None
    assert second is not None
    for instance in o.aws.members(second.green_group):
        o.machines.kill(instance)
    o.world.client("dynamodb").delete_table(TableName=TABLE)
    o.clock.sleep(60)
    engine = o.engine()
    command = f"`bluegreen release --ami {first.image} --cure` releases {first.image} ({WEB}#1, commit c0ffee01"
    orders: list[Callable[[], object]] = [
        lambda: engine.roll_back(WEB, who=ANN),
        lambda: engine.image_of(WEB, 1),
        lambda: engine.previous(WEB, who=ANN),
        lambda: engine.resume(WEB, who=ANN),
        lambda: o.start(THIRD, ami=first.image),
    ]
    for order in orders:
        with pytest.raises(Refused) as refused:
            order()
        assert command in refused.value.hint
        assert f"`bluegreen adopt {WEB}` repairs the journal" in refused.value.hint
        assert second.green_group in refused.value.what
    engine.adopt(o.config, who=ANN)
    for order in orders:
        with pytest.raises(Refused) as refused:
            order()
        assert command in refused.value.hint
    done = o.drive(engine.start(o.config, ami=first.image, who=ANN, cure=True).id)
    assert done is not None
    assert (done.outcome, done.number, o.serving()) == (Outcome.LIVE, 3, {done.green_group})


@BOTH
def test_a_journal_that_is_put_back_as_it_was_before(weighted: bool) -> None:
    """From before the second release to its retiring, when that is live: what it says is under way does no harm."""
    o = second(weighted)
    backups = {"before": items(o)}
    release = o.start("c0ffee02bbbb", ami=o.world.image)

    def when(seen: Release) -> None:
        backups.setdefault(seen.phase, items(o))

    done = o.drive(release.id, when=when)
    assert done is not None
    assert done.outcome is Outcome.LIVE
    worlds = Crashes()
    for number, (name, backup) in enumerate(backups.items()):
        if differs(name, weighted) and worlds.branch(Point(number, f"as it was {name}", heard=True)):
            put_back(o, backup, after=40)
            worlds.end(lambda: goes_on(o))
    worlds.end(list)
    assert (len(worlds.points), worlds.results) == (3 if weighted else 8, [])
