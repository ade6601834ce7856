"""What many releases leave: as many images and template versions as are kept, one group, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bluegreen.errors import Refused
from bluegreen.events import Outcome, Verb
from bluegreen.release import Release
from tests.worlds.attachments import counted, hang
from tests.worlds.crashes import die_everywhere
from tests.worlds.virtual import CHANGES, FAST, GOOD, HEALTH, SICK, Ops, bare


def service(keep: int) -> Ops:
    """A service that keeps so many images."""
    o = Ops(timings=FAST, changes=CHANGES, health=HEALTH, drain=5)
    o.config = o.config.model_copy(update={"image": o.config.image.model_copy(update={"keep": keep})})
    return o


def left(o: Ops) -> tuple[list[str], int, int, list[str]]:
    """Versions by their descriptions, the newest first; how many images and snapshots; names of the groups."""
    ec2, lt = o.world.client("ec2"), o.world.template
    versions = ec2.describe_launch_template_versions(LaunchTemplateId=lt)["LaunchTemplateVersions"]
    marked = [{"Name": "tag:bluegreen:service", "Values": [o.config.id]}]
    images = ec2.describe_images(Owners=["self"], Filters=marked)["Images"]
    snapshots = ec2.describe_snapshots(OwnerIds=["self"], Filters=marked)["Snapshots"]
    groups = o.world.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    made = [str(one.get("VersionDescription", "")).partition(" ")[0] for one in versions]
    return made, len(images), len(snapshots), [one["AutoScalingGroupName"] for one in groups]


def driven(o: Ops, commit: str) -> Release:
    """A release, to its end."""
    done = o.drive(o.start(commit).id)
    assert done is not None
    assert o.harm == []
    assert done.left_behind == (() if done.outcome is Outcome.LIVE else (f"image {done.image}",))
    return done


def test_releases_in_a_row_leave_what_is_kept() -> None:
    """Good and bad ones: two images and versions of ours, and what was there before the first."""
    o, worse = service(keep=2), "bad1bad1bbbb"
    o.machines.sick(worse)
    for commit in (GOOD, SICK, f"{GOOD}2", f"{GOOD}3", worse, f"{GOOD}4"):
        done = driven(o, commit)
    assert done.outcome is Outcome.LIVE
    of = [f"web/production#{number}" for number in (6, 4)]
    assert left(o) == ([*of, ""], 2, 2, [done.green_group])


def test_dying_while_old_template_versions_are_removed() -> None:
    """Another driver takes over, and none of them is left."""
    o = service(keep=1)
    for number in range(3):
        o.world.client("ec2").create_launch_template_version(
            LaunchTemplateId=o.world.template,
            SourceVersion="1",
            VersionDescription=f"web/production#{number} 0123",
            LaunchTemplateData={"ImageId": o.world.image},
        )
    release = o.start(GOOD)
    told = [release]
    crashes = die_everywhere(
        o,
        release,
        Outcome.LIVE,
        told.append,
        after=lambda: Verb.DROP_VERSIONS in told[-1].began,
        also=lambda done: [] if left(o)[0] == ["web/production#1", ""] else [str(left(o))],
    )
    assert len(crashes.points) > 2
    assert "\n".join(crashes.results[:20]) == ""


# --- a green that failed, kept for inspection -------------------------------------------------------------


def keeping(*, weighted: bool = False, **policies: Any) -> Ops:
    """A service that keeps what failed for two hours."""
    o = Ops(timings=FAST, changes=CHANGES, health=HEALTH, drain=5, weighted=weighted, **policies)
    steps = {"steps": (0, 50)} if weighted else {}
    traffic = o.config.traffic.model_copy(update={"overlap": 4.0, **steps})
    o.config = o.config.model_copy(update={"traffic": traffic, "keep_failed": 7200.0})
    return o


def record(o: Ops) -> Any:
    """The service, as the journal knows it."""
    return o.engine().services()[0]


@pytest.mark.parametrize("weighted", [False, True])
def test_a_green_that_failed_is_kept_beside_the_next_release_and_then_removed(weighted: bool) -> None:
    """Without traffic and with all of its instances; it changes nothing by itself, and blocks nothing."""
    o = keeping(weighted=weighted)
    hang(o.world, "web-asg")
    count = counted(o.world)
    failed = o.drive(o.start(SICK).id)
    assert failed is not None
    assert failed.outcome is Outcome.ROLLED_BACK
    assert o.harm == []
    green = o.group(failed.green_group)
    assert green is not None
    assert len(green["Instances"]) == failed.size
    assert not green["TargetGroupARNs"]
    assert {p["ProcessName"] for p in green["SuspendedProcesses"]} >= {"Launch", "AlarmNotification", "HealthCheck"}
    assert any(f"group {failed.green_group}, without traffic, kept" in said for said in failed.left_behind)
    assert [kept.group for kept in record(o).kept] == [failed.green_group]
    live = driven(o, GOOD)
    assert live.outcome is Outcome.LIVE
    assert o.engine().remove_kept(record(o)) == [], "its time is not over"
    assert o.group(failed.green_group) is not None
    o.clock.sleep(7200)
    assert [one.done for one in o.engine().remove_kept(record(o))] == [True]
    o.clock.sleep(120)
    assert "is gone" in o.engine().remove_kept(record(o))[0].said
    assert (record(o).kept, o.group(failed.green_group)) == ((), None)
    assert counted(o.world) == count


def test_the_next_release_removes_what_was_kept_long_enough() -> None:
    """Where no bot runs and nobody calls `reconcile`; but not what somebody uses by now."""
    o = keeping()
    failed = o.drive(o.start(SICK).id)
    assert failed is not None
    o.clock.sleep(7200)
    o.world.client("autoscaling").attach_load_balancer_target_groups(
        AutoScalingGroupName=failed.green_group, TargetGroupARNs=o.world.target_groups[:1]
    )
    (one,) = o.engine().remove_kept(record(o))
    assert not one.done
    assert f"the group {failed.green_group} is attached to" in one.said
    o.world.client("autoscaling").detach_load_balancer_target_groups(
        AutoScalingGroupName=failed.green_group, TargetGroupARNs=o.world.target_groups[:1]
    )
    o.clock.sleep(60)
    assert driven(o, GOOD).outcome is Outcome.LIVE
    assert o.group(failed.green_group) is None


def test_what_was_kept_long_enough_takes_no_room_from_the_next_release() -> None:
    """Its instances count against the quota: the release that does not fit removes them, and the next one fits."""
    o = bare(keep_failed=600)
    kept = o.drive(o.start(SICK).id)
    assert kept is not None
    o.aws.quotas.values["L-1216C47A"] = 8.0
    o.clock.sleep(1200)
    with pytest.raises(Refused, match="not all of green fits"):
        o.start("c0ffee02aaaa")
    o.clock.sleep(120)
    assert o.group(kept.green_group) is None
    done = o.drive(o.start("c0ffee02aaaa").id)
    assert done is not None
    assert done.outcome is Outcome.LIVE


def test_dying_while_a_green_is_kept() -> None:
    """Another driver takes over: it is kept once, and blue is as it was."""
    o = keeping()
    release = o.start(SICK)
    told = [release]

    def also(done: Release) -> list[str]:
        kept, green = [one.group for one in record(o).kept], o.group(done.green_group)
        return [] if kept == [done.green_group] and green else [f"kept {kept}, there is {green}"]

    crashes = die_everywhere(
        o, release, Outcome.ROLLED_BACK, told.append, after=lambda: Verb.KEEP_GREEN in told[-1].began, also=also
    )
    assert len(crashes.points) > 5
    assert "\n".join(crashes.results[:20]) == ""


# --- what nobody needs ----------------------------------------------------------------------------------------------


def again(o: Ops, release: Release, **changes: Any) -> None:
    """Somebody makes green of a release that is over once more, with its tags."""
    marks = {"bluegreen:service": release.service, "bluegreen:release": release.id, "bluegreen:token": release.token}
    tags = [{"Key": key, "Value": value, "PropagateAtLaunch": True} for key, value in marks.items()]
    settings = {
        "AutoScalingGroupName": release.green_group,
        "LaunchTemplate": {"LaunchTemplateId": o.world.template, "Version": "1"},
        "VPCZoneIdentifier": o.world.subnets[0],
        "MinSize": 1,
        "MaxSize": 1,
        "Tags": tags,
    }
    o.world.client("autoscaling").create_auto_scaling_group(**settings | changes)


def test_what_a_release_left_is_named_and_removed() -> None:
    """Not while a release is under way, nor what serves, nor what is not proven."""
    o = service(keep=1)
    bad, good = driven(o, SICK), driven(o, GOOD)
    assert o.engine().orphans() == []
    again(o, bad)
    again(o, replace(good, token="another's", green_group="web-production-v7"))
    o.clock.sleep(60)
    engine = o.engine()
    unknown, left = engine.orphans(), engine.orphans("api/production")
    assert ([one.group.name for one in unknown if one.removable], left) == ([bad.green_group], [])
    assert [one.group.name for one in unknown if not one.removable] == ["web-production-v7"]
    release = o.start(f"{GOOD}2")
    assert engine.orphans() == [], "another release may have begun from it"
    done = o.drive(release.id)
    assert done is not None
    assert [(one.group, one.done) for one in o.engine().tidy()] == [(bad.green_group, True)]
    o.clock.sleep(120)
    assert left_groups(o) == {done.green_group, "web-production-v7"}
    assert o.engine().tidy() == []
    assert [one for one in o.engine().orphans() if one.removable] == []


def left_groups(o: Ops) -> set[str]:
    """Names of the groups that are there."""
    return set(left(o)[3])


def test_what_cannot_be_removed_is_told() -> None:
    """And when AWS does not say what there is; the others are removed all the same."""
    o = service(keep=1)
    bad = driven(o, SICK)
    driven(o, GOOD)
    again(o, bad)
    o.clock.sleep(60)
    o.aws.faults.deny("autoscaling:DeleteAutoScalingGroup")
    (one,) = o.engine().tidy()
    assert not one.done
    assert f"{bad.green_group} of {bad.id}, which nobody needs, could not be removed completely: " in one.said
    o.aws.faults.deny("autoscaling:DescribeAutoScalingGroups")
    (one,) = o.engine().tidy()
    assert not one.done
    assert "bluegreen could not read what releases left" in one.said


def test_a_release_that_failed_needs_what_it_left() -> None:
    """Until a cure has replaced it; then its group, its template version and the copies of alarms are removed."""
    o = service(keep=5)
    hang(o.world, "web-asg", ("step",))
    count = counted(o.world)
    o.aws.faults.deny("autoscaling:DeleteAutoScalingGroup")
    failed = o.drive(o.start(SICK).id)
    assert failed is not None
    assert failed.outcome is Outcome.FAILED
    assert o.engine().orphans() == []
    o.aws.faults.allow("autoscaling:DeleteAutoScalingGroup")
    live = o.drive(o.start(GOOD, cure=True).id)
    assert live is not None
    assert live.outcome is Outcome.LIVE
    assert [one.done for one in o.engine().tidy()] == [True]
    o.clock.sleep(120)
    assert (left_groups(o), counted(o.world)) == ({live.green_group}, count)
    assert "web/production#1" not in left(o)[0]


def test_where_aws_differs_from_the_journal_is_told_once() -> None:
    """Not at every pass, and nothing is done about it; who asks is told each time."""
    o = service(keep=1)
    live = driven(o, GOOD)
    assert (o.engine().drift(), o.engine().new_drift()) == ({}, [])
    o.world.client("autoscaling").detach_load_balancer_target_groups(
        AutoScalingGroupName=live.green_group, TargetGroupARNs=o.world.target_groups[:1]
    )
    o.clock.sleep(60)
    (said,) = o.engine().new_drift()
    assert f"the journal says that {live.green_group} serves, but it is attached to no target group" in said
    assert (o.engine().new_drift(), o.engine().drift()) == ([], {"web/production": said})
    assert o.engine().tidy() == []
    assert o.engine().drift("api/production") == {}
    o.aws.faults.deny("autoscaling:DescribeAutoScalingGroups")
    assert o.engine().new_drift() == []
