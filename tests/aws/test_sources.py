"""The packed source: put into the bucket, handed to the builder by URL, removed after the bake."""

from __future__ import annotations

import io
import subprocess
import tarfile
from typing import IO, Any

import boto3
import pytest

from bluegreen.aws.calls import Calls
from bluegreen.aws.commands import script
from bluegreen.aws.sources import url
from bluegreen.errors import AwsError, BlueGreenError, ConfigError, Refused
from bluegreen.events import Outcome, Verb
from bluegreen.masking import mask
from bluegreen.plan_text import lines
from bluegreen.release import Release
from lab.aws import FakeAws
from lab.clock import RealClock
from tests.worlds import GOOD, Ops, fast
from tests.worlds.account import AwsStage

BUILDER = {"tag": "web-builder", "run": "curl $BLUEGREEN_SOURCE_URL", "source": {"bucket": "web-sources"}}
HERE = "ap-northeast-2"


def with_source(**changes: Any) -> Ops:
    """A world whose builder gets the source from S3; the bucket is there."""
    world = fast(image={"builder": BUILDER}, **changes)
    bucket(world.aws)
    return world


def bucket(aws: FakeAws, name: str = "web-sources", region: str = HERE) -> None:
    """Somebody makes it."""
    place: Any = {"LocationConstraint": region}
    aws.session(recorded=False).client("s3").create_bucket(Bucket=name, CreateBucketConfiguration=place)


def pack(into: IO[bytes]) -> None:
    """A commit with one file."""
    with tarfile.open(fileobj=into, mode="w:gz") as tar:
        info = tarfile.TarInfo("VERSION")
        info.size = 2
        tar.addfile(info, io.BytesIO(b"42"))


def there(world: Ops) -> list[str]:
    """What lies in the bucket."""
    return list(world.aws.buckets.buckets["web-sources"].objects)


def test_it_is_there_for_the_bake_and_gone_with_the_image() -> None:
    """The builder's script has a URL of it."""
    world = with_source()
    release = world.start(GOOD, pack=pack)
    assert there(world) == [release.source_key]
    assert release.source_key.startswith(f"bluegreen/web/production/{GOOD}-")
    done = world.drive(release.id)
    assert done is not None
    assert done.outcome is Outcome.LIVE
    assert there(world) == []
    sent = [text for _, text in world.machines.scripts if "BLUEGREEN_SOURCE_URL=" in text]
    assert len(sent) == 1
    assert f"{release.source_key}?X-Amz-Algorithm" in sent[0]


def test_it_goes_with_a_bake_that_fails() -> None:
    """Nothing is left behind."""
    world = with_source()
    world.machines.fails("curl", "no route")
    done = world.drive(world.start(GOOD, pack=pack).id)
    assert done is not None
    assert (done.outcome, there(world)) == (Outcome.ROLLED_BACK, [])


def test_what_could_not_be_removed_is_named_with_the_command() -> None:
    """The role may have lost the right to it."""
    world = with_source()
    release = world.start(GOOD, pack=pack)
    world.aws.faults.deny("s3:DeleteObject")
    done = world.drive(release.id)
    assert done is not None
    assert done.outcome is Outcome.LIVE
    assert f"the packed source: aws s3 rm s3://web-sources/{release.source_key}" in done.left_behind


def test_a_release_that_is_refused_leaves_none() -> None:
    """Somebody began another one in the same moment."""
    world = with_source()

    def overtaken(into: IO[bytes]) -> None:
        pack(into)
        world.engine().start(world.config, commit="", ami=world.world.image, who="slack:U1")

    with pytest.raises(Refused):
        world.start(GOOD, pack=overtaken)
    assert there(world) == []


def test_a_request_that_is_repeated_leaves_one() -> None:
    """It gets the first release, and that one's source."""
    world = with_source()
    first = world.start(GOOD, pack=pack, request="run 1")

    def late(into: IO[bytes]) -> None:
        pack(into)

    assert world.start(GOOD, pack=late, request="run 1").id == first.id
    assert there(world) == [first.source_key]


def test_an_image_that_is_there_needs_no_source() -> None:
    """Nor does a plan put one anywhere, though it says that it would be deleted."""
    world = with_source()
    plan = world.engine().plan(world.config, commit=GOOD)
    assert Verb.DROP_SOURCE in [step.act.verb for step in plan.steps if step.act]
    assert f"  first it packs the commit, and puts it into {plan.release.source_uri}" in list(lines(plan))
    assert there(world) == []
    release = world.engine().start(world.config, ami=world.world.image, who="slack:U1")
    assert (release.source_key, there(world)) == ("", [])


def test_without_a_checkout_there_is_no_such_release() -> None:
    """The answer says where to begin it."""
    with pytest.raises(ConfigError, match="needs the checkout of the commit") as told:
        with_source().start(GOOD)
    assert "workflow" in told.value.hint


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("missing", "there is no bucket `web-sources`"),
        ("another's", "does not let this role in, or belongs to another account"),
        ("elsewhere", "is in us-east-1, and the service in ap-northeast-2"),
    ],
)
def test_a_bucket_that_will_not_do_is_refused_before_anything_begins(how: str, said: str) -> None:
    """What, and what to do."""
    world = fast(image={"builder": BUILDER})
    if how != "missing":
        bucket(world.aws, region="us-east-1" if how == "elsewhere" else HERE)
    if how == "another's":
        world.aws.faults.deny("s3:HeadBucket")
    with pytest.raises(BlueGreenError, match=said) as told:
        world.start(GOOD, pack=pack)
    assert told.value.where == "image.builder.source.bucket"
    assert told.value.hint
    assert world.engine().status() == []


def test_S3_that_does_not_answer_begins_nothing() -> None:
    """Try again."""
    world = with_source()
    world.aws.faults.server_error("s3:HeadBucket", times=None)
    with pytest.raises(AwsError):
        world.start(GOOD, pack=pack)
    assert world.engine().status() == []


def served() -> tuple[FakeAws, AwsStage, Release, str]:
    """A lab that listens, a release with a source in it, and the URL of that."""
    listening = FakeAws(RealClock())
    session = boto3.Session("a", "b", region_name=HERE)
    stage = AwsStage(config={"image": {"builder": BUILDER}})
    release = stage.release
    vars(release)["source_key"] = "bluegreen/web/production/42.tar.gz"
    bucket(listening)
    calls = Calls(HERE, session)
    vars(calls)["s3"] = session.client("s3", endpoint_url=listening.serve(), config=calls.s3.meta.config)
    packed = io.BytesIO()
    pack(packed)
    calls.s3.put_object(Bucket="web-sources", Key=release.source_key, Body=packed.getvalue())
    return listening, stage, release, url(calls, release, stage.config)


def test_the_builder_s_script_unpacks_it() -> None:
    """The very script, in a shell, from a server."""
    listening, _, release, source = served()
    commands = 'cd "$(mktemp -d)" && curl -fsS "$BLUEGREEN_SOURCE_URL" | tar -xz && cat VERSION'
    text = script(release, commands, more={"BLUEGREEN_SOURCE_URL": source})
    done = subprocess.run(["sh", "-c", text], capture_output=True, text=True, timeout=30, check=False)
    listening.close()
    assert (done.returncode, done.stdout) == (0, "42")


def test_a_builder_that_prints_the_url_tells_nobody_how_to_read_it() -> None:
    """As with `set -x`."""
    listening, _, _, source = served()
    listening.close()
    shown = mask(f"+ curl -fsS {source}")
    assert source.rpartition("X-Amz-Signature=")[2] not in shown
