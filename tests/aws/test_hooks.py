"""Hooks on the fake AWS: sent once, found again, and told as they end."""

from __future__ import annotations

import pytest

from bluegreen.errors import AwsError
from bluegreen.events import Act, Did, Event, EventKind, Verb
from bluegreen.observation import Command
from bluegreen.release import apply
from tests.worlds.account import AwsStage

HOOKS = {"before_switch": {"run": "./migrate up", "timeout": "20m"}}


def upgraded(stage: AwsStage) -> AwsStage:
    """Green is in service, its agents answer, and the hook is sent."""
    while Verb.ATTACH_GREEN not in stage.release.did:
        stage.step()
    stage.clock.sleep(90)
    while Verb.RUN_BEFORE_SWITCH not in stage.release.did:
        stage.step()
    return stage


def parameters(stage: AwsStage) -> list[dict[str, list[str]]]:
    """Of every hook that was sent."""
    sent = stage.client("ssm").list_commands()["Commands"]
    return [one["Parameters"] for one in sent if "hook" in one["Comment"]]


def test_a_hook_is_sent_once_with_its_limit_and_its_environment() -> None:
    """A driver that did not hear the answer finds it by its comment."""
    stage = upgraded(AwsStage(ami=True, config={"hooks": HOOKS}))
    (sent,) = parameters(stage)
    assert sent["executionTimeout"] == ["1200"]
    assert "./migrate up" in sent["commands"][0]
    assert "export BLUEGREEN_RELEASE='web/production#1'" in sent["commands"][0]
    act = stage.release.act(Verb.RUN_BEFORE_SWITCH)
    assert act is not None
    assert stage.cloud.perform(act, stage.release, lambda: None) == {"command": did(stage).command}
    assert len(parameters(stage)) == 1


def did(stage: AwsStage) -> Did:
    """What the hook's act recorded."""
    made = stage.release.made(Verb.RUN_BEFORE_SWITCH)
    assert made is not None
    return made


def test_it_is_found_by_its_comment_until_its_id_is_recorded() -> None:
    """So a green that goes knows that it runs, whoever sent it."""
    stage = AwsStage(ami=True, config={"hooks": HOOKS})
    stage.machines.slow("migrate", 300)
    upgraded(stage)
    known, lost = stage.release, {k: v for k, v in stage.release.did.items() if k is not Verb.RUN_BEFORE_SWITCH}
    unknown = apply(known, Event(known.id, known.seq + 1, stage.clock.now(), EventKind.AWAITED, {"awaited": "hook"}))
    vars(unknown)["did"] = lost
    stage.clock.sleep(30)
    seen = stage.cloud.observe(unknown, stage.clock.now()).hook
    assert seen == Command(did(stage).command, "running")


def test_the_end_of_what_a_failed_one_printed_is_told_without_secrets() -> None:
    """As of a build."""
    stage = AwsStage(ami=True, config={"hooks": HOOKS})
    stage.machines.fails("migrate", "connecting\npassword=hunter2hunter2\nno such table")
    stage.cloud = stage.another_cloud(mask=lambda text: text.replace("hunter2hunter2", "***"))
    upgraded(stage).clock.sleep(30)
    seen = stage.observe().hook
    assert seen is not None
    assert (seen.state, seen.tail) == ("failed", "connecting\npassword=***\nno such table")


def test_an_instance_whose_agent_is_not_online_takes_nothing() -> None:
    """That is sure, and told with the instance's id."""
    stage = AwsStage(ami=True, config={"hooks": HOOKS})
    while Verb.SUSPEND_GREEN not in stage.release.did:
        stage.step()
    gone = Act(Verb.RUN_BEFORE_SWITCH, instances=("i-0123456789abcdef0",))
    with pytest.raises(AwsError, match="SSM does not reach i-0123456789abcdef0") as told:
        stage.cloud.perform(gone, stage.release, lambda: None)
    assert (told.value.code, parameters(stage)) == ("InvalidInstanceId", [])
