"""What many releases leave: as many images and template versions as are kept, one group, and nothing else."""

from __future__ import annotations

from bluegreen.events import Outcome, Verb
from bluegreen.release import Release
from tests.worlds.crashes import die_everywhere
from tests.worlds.virtual import CHANGES, FAST, GOOD, HEALTH, SICK, Ops


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
