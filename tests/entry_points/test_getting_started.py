"""docs/getting-started.md, followed to the letter: from an account with a group to a release, a rollback and a role."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import bluegreen
from lab.aws import FakeAws
from lab.server import GIT_ENVIRONMENT
from lab.world import World
from tests import pictures
from tests.worlds.files import ROOT
from tests.worlds.pages import Reader, commands

#: Seconds between two reads of the journal while a driver waits: nobody else gives orders here.
LISTEN = 15.0
PAGE = (ROOT / "docs" / "getting-started.md").read_text()


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[Reader, World]]:
    """Somebody in a repository beside a clone of ours, with a service on the lab's AWS, and no builder."""
    folder = tmp_path / "web"
    (tmp_path / "bluegreen").symlink_to(ROOT)
    for words in (
        ["init", "--quiet", "--bare", "web.git"],
        ["clone", "--quiet", "web.git", "web"],
        ["-C", "web", "commit", "--quiet", "--allow-empty", "--message", "The service"],
    ):
        subprocess.run(
            ["git", *words], cwd=tmp_path, check=True, capture_output=True, env={**os.environ, **GIT_ENVIRONMENT}
        )
    fake = FakeAws()
    world = World.standard(fake, instances=2)
    world.client("ec2").terminate_instances(InstanceIds=[world.builder])
    given = {"ACCESS_KEY_ID": "lab", "SECRET_ACCESS_KEY": "lab-secret-key", "REGION": fake.region}
    for name, value in {**{f"AWS_{name}": value for name, value in given.items()}, **GIT_ENVIRONMENT}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", fake.serve())
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.chdir(folder)
    real = bluegreen.Engine
    monkeypatch.setattr(bluegreen.engine, "Engine", lambda **where: real(**where, clock=fake.clock, listen=LISTEN))
    yield Reader(world.client, fake.clock, folder), world
    fake.close()


@pytest.mark.slow  # two complete releases by HTTP, and every command before, between and after
def test_the_page_leads_to_a_release_and_back(reader: tuple[Reader, World]) -> None:
    """Every command of it succeeds, and what it promises holds."""
    person, world = reader
    person.follow(PAGE)
    said = dict(person.said)
    assert re.search(r"web/production#1 is live", said["bluegreen release"])
    assert re.search(r"web/production#2 .*rolled.back", said["bluegreen rollback"])
    assert {"web-production-v1", "ACTIVE"} <= {*_groups(world), _table(world)["TableStatus"]}
    assert _table(world)["DeletionProtectionEnabled"]
    assert world.fake.instances()[person.values["BUILDER"]] == "stopped"
    assert [one for one in world.leftovers() if "group" in one or "template" in one] == []


def _groups(world: World) -> list[str]:
    groups = world.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    return [one["AutoScalingGroupName"] for one in groups]


def _table(world: World) -> dict[str, object]:
    table: dict[str, object] = world.client("dynamodb").describe_table(TableName="bluegreen")["Table"]
    return table


def test_nothing_of_the_page_is_left_out() -> None:
    """Each fence for a shell is read, and every command of ours that a first day needs is there."""
    typed = list(commands(PAGE))
    assert len([one for one in typed if one.startswith("bluegreen ")]) == 8
    assert PAGE.count("```") == 2 * len(re.findall(r"(?m)^```sh$", PAGE))


# --- its pictures ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", pictures.PICTURES)
def test_a_picture_is_what_its_script_draws(name: str) -> None:
    """`python -m tests.pictures` writes them again; a page shows each."""
    assert (pictures.FOLDER / name).read_text(encoding="utf-8") == pictures.PICTURES[name]()
    assert f"pictures/{name})" in PAGE + (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_picture_and_the_page_tell_the_same_minutes() -> None:
    """Each step of the table."""
    rows = dict(re.findall(r"(?m)^\| (\d+ to \d+) \| \[([^\]]+)\]", PAGE))
    spans = {f"{start} to {end}" for _, start, end, _ in pictures.STEPS}
    first = min(start for title, start, _, _ in pictures.STEPS if title.startswith("5."))
    last = max(end for *_, end, _ in pictures.STEPS)
    assert set(rows) - {f"{first} to {last}"} <= spans
    for minute in re.findall(r"(?:at|alone at) (\d+)", PAGE.split("green comes")[1].split("|")[0]):
        assert int(minute) in {number for _, start, end, _ in pictures.STEPS for number in (start, end)}
