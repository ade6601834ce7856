"""`adopt`: the record of a service is put right by whoever may, once, and what failed before is over."""

from __future__ import annotations

import pytest

from bluegreen import Caller
from bluegreen.errors import NotPermitted, Refused
from bluegreen.events import Outcome, Phase, Reason
from bluegreen.journal import Live
from tests.worlds import Ops, bare
from tests.worlds.orders import ADMIN, WEB, at, journal

TABLE = "bluegreen"


def lost(o: Ops) -> None:
    """The table is gone."""
    o.world.client("dynamodb").delete_table(TableName=TABLE)


def released(o: Ops) -> str:
    """A release goes live; its group."""
    done = o.drive(o.start(ami=o.world.image).id)
    assert done is not None
    return done.green_group


def test_a_lost_record_is_made_anew_and_then_is_right() -> None:
    """Live group, image, version, commit and numbers; the second time there is nothing to do."""
    o = bare()
    green = released(o)
    lost(o)
    made = o.engine().adopt(o.config, who=ADMIN)
    record = journal(o).service(WEB)
    assert record is not None
    assert (record.next, record.live) == (2, Live(green, o.world.image, 2, "c0ffee01aaaa", 1))
    assert made.found
    assert o.engine().adopt(o.config, who=ADMIN).found == ()
    assert journal(o).service(WEB) == record


def test_before_the_first_release_it_is_the_configured_group() -> None:
    """Nothing was lost, and it does no harm."""
    o = bare()
    assert o.engine().adopt(o.config, who=ADMIN).live.name == "web-asg"
    assert o.start(ami=o.world.image).blue_group == "web-asg"


def test_what_is_under_way_by_the_journal_alone_is_settled_and_stays_so() -> None:
    """Its group is gone; it can neither be resumed nor rolled back any more, and the next release begins."""
    o = bare()
    green = released(o)
    begun = at(o, Phase.OVERLAPPING, ami=o.world.image)
    rename(o, green)
    assert o.engine().adopt(o.config, who=ADMIN).ended == begun.id
    settled = o.engine().load(begun.id)
    assert (settled.outcome, settled.reason) == (Outcome.FAILED, Reason.CHANGED_OUTSIDE)
    assert "by-hand serves, and AWS does not confirm this release" in settled.message
    for order in (o.engine().resume, o.engine().roll_back):
        with pytest.raises(Refused, match="does not count any more"):
            order(WEB, who=Caller("slack:U1"))
    assert o.start(ami=o.world.image).blue_group == "by-hand"


def rename(o: Ops, name: str) -> None:
    """Terraform makes the group again under another name, and puts that in the load balancer in its place."""
    client, group = o.world.client("autoscaling"), o.group(name)
    assert group is not None
    kept = ("MinSize", "MaxSize", "DesiredCapacity", "LaunchTemplate", "VPCZoneIdentifier", "TargetGroupARNs")
    same = {key: group[key] for key in kept}
    same["LaunchTemplate"] = {key: same["LaunchTemplate"][key] for key in ("LaunchTemplateId", "Version")}
    client.create_auto_scaling_group(AutoScalingGroupName="by-hand", **same)
    o.clock.sleep(30)
    client.delete_auto_scaling_group(AutoScalingGroupName=name, ForceDelete=True)
    o.clock.sleep(60)


def test_what_somebody_drives_is_left_to_its_driver() -> None:
    """It stops by itself when it sees that the world is another."""
    o = bare()
    begun = at(o, Phase.BAKING, ami=o.world.image)
    journal(o).take_lease(begun.id, "runner:1", o.clock.now())
    with pytest.raises(Refused, match="is driven by runner:1"):
        o.engine().adopt(o.config, who=ADMIN)


def test_not_everybody_may_adopt() -> None:
    """Whoever may resume a failed release may."""
    o = bare(slack={"promoters": ["U0ANN"]})
    with pytest.raises(NotPermitted):
        o.engine().adopt(o.config, who="slack:U0EVE")
    assert journal(o).service(WEB) is None
