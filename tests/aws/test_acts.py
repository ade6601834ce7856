"""What each act does to the fake AWS, once and again, on good days and bad."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from typing import Any

import pytest

from bluegreen.aws import Cloud
from bluegreen.aws.commands import CUT, KEPT, comment, script, whole_lines
from bluegreen.config import parse
from bluegreen.errors import AwsError, LeaseLost
from bluegreen.events import Act, Did, Outcome, Phase, Reason, Verb
from bluegreen.observation import Command
from bluegreen.phases import Rest, RollBack
from tests.worlds.account import COMMIT, AwsStage

MADE = (Verb.PIN_BLUE, Verb.MAKE_TEMPLATE_VERSION, Verb.CREATE_GREEN)


def until(stage: AwsStage, verb: Verb) -> AwsStage:
    """Drive until the act was done."""
    for _ in range(1000):
        if verb in stage.release.did:
            return stage
        stage.step()
    raise AssertionError(f"never did {verb}")


def blue(stage: AwsStage) -> dict[str, Any]:
    """Blue's sizes, template version and suspended processes."""
    return shape(stage, stage.world.group)


def shape(stage: AwsStage, name: str) -> dict[str, Any]:
    """A group's sizes, template version and suspended processes."""
    shown = stage.world.describe(name)
    sizes = (shown["MinSize"], shown["DesiredCapacity"], shown["MaxSize"])
    policy = shown.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {}).get("LaunchTemplateSpecification", {})
    version = (shown.get("LaunchTemplate") or policy)["Version"]
    suspended = sorted(p["ProcessName"] for p in shown["SuspendedProcesses"])
    return {"sizes": sizes, "version": version, "suspended": suspended}


# --- whole releases ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "world", [{}, {"mixed": True}, {"traffic_source": True}, {"target_groups": 2}, {"network": True}], ids=str
)
def test_a_release_leaves_green_as_blue_was(world: dict[str, Any]) -> None:
    """Live, alone, with blue's own sizes and processes, and nothing else left."""
    stage = AwsStage(**world)
    before = blue(stage)
    end = stage.go_to_the_end()
    assert (end.outcome, end.left) == (Outcome.LIVE, ())
    assert {**before, "version": "2"} == shape(stage, stage.release.green_group)
    assert stage.world.leftovers() == []
    for arn in stage.world.target_groups:
        assert set(stage.fake.routes(arn)) == set(stage.fake.members(stage.release.green_group))


@pytest.mark.parametrize("version", ["1", "$Latest", "$Default"])
@pytest.mark.parametrize("phase", [Phase.CHECKING, Phase.OVERLAPPING, Phase.SOAKING])
def test_a_rollback_leaves_blue_as_it_was(phase: Phase, version: str) -> None:
    """Alone, with its own template reference, sizes and processes; only the image stays, and is named."""
    stage = AwsStage(template_version=version)
    before = blue(stage)
    stage.go_to(phase)
    assert blue(stage) == {"sizes": (4, 4, 8), "version": "1", "suspended": ["AZRebalance", "ScheduledActions"]}
    stage.enters(Phase.ROLLING_BACK, reason=Reason.ORDERED, message="ordered")
    end = stage.go_to_the_end()
    assert end.outcome is Outcome.ROLLED_BACK
    assert blue(stage) == before
    assert stage.world.leftovers() == [f"image {stage.release.made_image}"]
    assert set(stage.fake.routes(stage.world.target_group)) == set(stage.fake.members("web-asg"))


def test_green_gets_blue_s_reference_to_the_latest_version() -> None:
    """It means our version by then."""
    stage = AwsStage(template_version="$Latest", ami=True)
    stage.go_to_the_end()
    assert shape(stage, stage.release.green_group)["version"] == "$Latest"


def test_every_act_may_be_repeated() -> None:
    """After a crash before its `did`, an act is done again: nothing is made twice."""
    stage = AwsStage(config={"retire": "delete"})
    stage.client("autoscaling").put_warm_pool(AutoScalingGroupName=stage.world.group)
    for _ in range(1000):
        done = len(stage.release.did)
        if isinstance(stage.step(), Rest):
            break
        if len(stage.release.did) > done:
            last = max(stage.release.did.values(), key=lambda event: event.seq)
            verb = last.verb
            assert verb is not None
            if verb not in (Verb.CLAIM_BUILDER, Verb.FREE_BUILDER):
                act = stage.release.act(verb)
                assert act is not None
                if verb is Verb.RESUME_GREEN:  # the mark is off, and a look shows that
                    with pytest.raises(AwsError, match="is held by nobody"):
                        stage.perform(verb)
                    continue
                again = Did(verb, **stage.cloud.perform(act, stage.release, lambda: None))
                assert again.to_facts() == last.facts, verb
    assert stage.release.phase is Phase.RETIRING
    assert {Verb.DRAIN_WARM_POOL, Verb.DELETE_WARM_POOL, Verb.DELETE_BLUE} <= set(stage.release.did)
    assert stage.world.leftovers() == []


def test_acts_of_the_journal_are_not_done_here() -> None:
    """The builder is claimed in the journal."""
    with pytest.raises(ValueError, match="claim_builder is not done in AWS"):
        AwsStage(ami=True).perform(Verb.CLAIM_BUILDER)


# --- permits -------------------------------------------------------------------------------------


def test_every_change_needs_the_permit() -> None:
    """As many permits as changing calls, in a whole release."""
    stage = AwsStage()
    stage.go_to_the_end()
    assert stage.permits == len(stage.changes()) > 15


def test_without_the_permit_nothing_is_changed() -> None:
    """The lease is lost between the look and the call."""
    stage = AwsStage(ami=True)
    stage.go_to(Phase.LAUNCHING)

    def refuse() -> None:
        raise LeaseLost("another driver has it")

    until(stage, Verb.MAKE_TEMPLATE_VERSION)
    before = stage.changes()
    with pytest.raises(LeaseLost):
        stage.cloud.perform(Act(Verb.CREATE_GREEN), stage.release, refuse)
    assert stage.changes() == before


# --- errors --------------------------------------------------------------------------------------


def test_a_missing_permission_is_named_with_what_to_do() -> None:
    """As IAM writes it, so that it can be pasted into the policy."""
    stage = until(AwsStage(ami=True), Verb.MAKE_TEMPLATE_VERSION)
    stage.fake.faults.deny("autoscaling:CreateAutoScalingGroup")
    with pytest.raises(AwsError, match="not allowed: autoscaling:CreateAutoScalingGroup") as told:
        stage.perform(Verb.CREATE_GREEN)
    assert (told.value.denied, told.value.transient) == (True, False)
    assert "Add autoscaling:CreateAutoScalingGroup to the policy" in told.value.hint


def test_iam_s_own_name_of_the_load_balancing_service() -> None:
    """Botocore calls it elbv2."""
    stage = AwsStage()
    stage.fake.faults.deny("elbv2:DescribeTargetHealth")
    with pytest.raises(AwsError, match="not allowed: elasticloadbalancing:DescribeTargetHealth"):
        stage.baseline()


@pytest.mark.parametrize("trouble", ["throttle", "server_error", "lose_answer", "page"])
def test_passing_trouble_is_worth_another_try(trouble: str) -> None:
    """Throttling, 5xx, a broken connection, and a page of HTML in place of an answer."""
    stage = AwsStage(ami=True)
    assert stage.release.phase is Phase.BAKING
    getattr(stage.fake.faults, trouble)("autoscaling:DescribeAutoScalingGroups")
    stage.go_to(Phase.BAKING)
    stage.enters(Phase.LAUNCHING, image=stage.ami)
    with pytest.raises(AwsError) as told:
        stage.observe()
    assert (told.value.transient, told.value.denied) == (True, False)
    assert told.value.operation == "DescribeAutoScalingGroups"
    assert stage.observe().blue is not None


@pytest.mark.parametrize("status", [200, 403])
def test_a_page_of_html_is_no_answer(status: int) -> None:
    """Where JSON is due, boto3 would take it for an empty answer, or for a final refusal."""
    stage = AwsStage()
    stage.go_to(Phase.BAKING)
    until(stage, Verb.RUN_BUILD)
    stage.fake.faults.page("ssm:ListCommands", status=status)
    with pytest.raises(AwsError, match=f"a page of HTML with status {status}") as told:
        stage.perform(Verb.RUN_BUILD)
    assert told.value.transient


def test_other_refusals_are_final() -> None:
    """Their words are AWS's."""
    stage = until(AwsStage(ami=True), Verb.MAKE_TEMPLATE_VERSION)
    stage.fake.faults.fail("autoscaling:CreateAutoScalingGroup", "LimitExceeded", "You have too many groups.")
    with pytest.raises(AwsError, match="LimitExceeded: You have too many groups") as told:
        stage.perform(Verb.CREATE_GREEN)
    assert (told.value.transient, told.value.denied) == (False, False)


def test_a_lost_answer_makes_nothing_twice() -> None:
    """The effect happened, the answer did not come: the next try finds it."""
    for verb, operation in (
        (Verb.MAKE_TEMPLATE_VERSION, "ec2:CreateLaunchTemplateVersion"),
        (Verb.CREATE_GREEN, "autoscaling:CreateAutoScalingGroup"),
        (Verb.MAKE_IMAGE, "ec2:CreateImage"),
        (Verb.RUN_BUILD, "ssm:SendCommand"),
    ):
        stage = AwsStage(ami=verb in MADE)
        before = {
            Verb.MAKE_TEMPLATE_VERSION: Verb.SUSPEND_BLUE,
            Verb.CREATE_GREEN: Verb.MAKE_TEMPLATE_VERSION,
            Verb.MAKE_IMAGE: Verb.STOP_BUILDER,
            Verb.RUN_BUILD: Verb.START_BUILDER,
        }
        until(stage, before[verb])
        stage.clock.sleep(90)
        stage.fake.faults.lose_answer(operation)
        with pytest.raises(AwsError) as told:
            stage.perform(verb)
        assert told.value.transient
        assert stage.act(verb)
        assert stage.changes().count(operation) == 1, verb


# --- the names are taken -------------------------------------------------------------------------


def test_a_group_of_somebody_else_has_green_s_name() -> None:
    """It is not touched, and the error says whose it is."""
    stage = until(AwsStage(ami=True), Verb.MAKE_TEMPLATE_VERSION)
    stage.client("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName=stage.release.green_group,
        LaunchTemplate={"LaunchTemplateId": stage.world.template, "Version": "1"},
        MinSize=0,
        MaxSize=0,
        VPCZoneIdentifier=stage.world.subnets[0],
    )
    with pytest.raises(AwsError, match="a group of someone else has the name web-production-v1") as told:
        stage.perform(Verb.CREATE_GREEN)
    assert not told.value.transient
    for verb in (Verb.DELETE_GREEN, Verb.TAKE_GREEN_OUT, Verb.JOIN_GREEN, Verb.RESTORE_GREEN):
        with pytest.raises(AwsError, match="of someone else, not of this release, so bluegreen leaves it as it is"):
            stage.perform(verb)


def test_what_a_lost_journal_made_is_not_this_release_s() -> None:
    """Numbers began again: group, image and version of the first #1 bear the same id, and another token."""
    stage = AwsStage(token="first").go_to(Phase.OVERLAPPING)
    image, version = stage.release.image, stage.release.template_version
    before = stage.release.blue
    assert before is not None
    stage.begins_again(token="second")
    stage.enters(Phase.LAUNCHING, image=image)
    stage.act(Verb.PIN_BLUE, blue=replace(before, minimum=before.desired))
    for verb in (Verb.CREATE_GREEN, Verb.DELETE_GREEN, Verb.TAKE_GREEN_OUT):
        with pytest.raises(AwsError, match="of web/production#1"):
            stage.perform(verb)
    assert stage.act(Verb.MAKE_TEMPLATE_VERSION) != {"template_version": version}
    stage.act(Verb.DELETE_TEMPLATE_VERSION)
    assert stage.world.leftovers("web-asg") == [
        "group web-production-v1",
        f"image {image}",
        f"template version {version}",
        *[f"instance {one}" for one in stage.fake.members("web-production-v1")],
    ]


def test_what_a_journal_from_before_says_of_blue_is_not_put_back() -> None:
    """It was pinned and unpinned long since, and is somebody's own again; each act that changes it finds that out."""
    stage = AwsStage(ami=True, token="first").go_to(Phase.CHECKING)
    for verb in (Verb.UNPIN_BLUE, Verb.RESUME_BLUE):
        stage.perform(verb)
    asg = stage.client("autoscaling")
    own = {"MinSize": 3, "MaxSize": 9}
    asg.update_auto_scaling_group(AutoScalingGroupName="web-asg", **own)
    made = len(stage.changes())
    for verb in (Verb.PIN_BLUE, Verb.SUSPEND_BLUE, Verb.UNPIN_BLUE, Verb.RESUME_BLUE):
        with pytest.raises(AwsError, match="so bluegreen leaves it as it is") as refused:
            stage.perform(verb, blue=stage.release.blue)
        assert refused.value.transient == (verb is not Verb.PIN_BLUE), "a read may be older than the mark"
    assert stage.changes()[made:] == []
    shown = stage.world.describe("web-asg")
    assert {key: shown[key] for key in own} == own
    assert [tag for tag in shown["Tags"] if tag["Key"].startswith("bluegreen:")] == []


def test_a_group_that_another_release_holds_is_not_touched() -> None:
    """An old journal takes for its blue, or for its green, what is part of a later release by now."""
    stage = AwsStage(ami=True, token="first").go_to(Phase.SOAKING)
    asg, later = stage.client("autoscaling"), "web/production#7 9f86"
    for name in ("web-asg", "web-production-v1"):
        mark = {"ResourceId": name, "ResourceType": "auto-scaling-group", "Key": "bluegreen:held-by", "Value": later}
        asg.create_or_update_tags(Tags=[{**mark, "PropagateAtLaunch": False}])
    made = len(stage.changes())
    acts: list[tuple[Verb, dict[str, Any]]] = [(verb, {}) for verb in (Verb.TAKE_BLUE_OUT, Verb.EMPTY_BLUE)]
    acts += [(verb, {}) for verb in (Verb.DRAIN_WARM_POOL, Verb.DELETE_BLUE, Verb.SUSPEND_GREEN)]
    acts += [(verb, {}) for verb in (Verb.UNPIN_BLUE, Verb.RESUME_BLUE, Verb.RESTORE_GREEN, Verb.RESUME_GREEN)]
    acts += [(Verb.STILL_BLUE, {"processes": ["AZRebalance"]}), (Verb.UNPROTECT_BLUE, {"instances": ["i-1"]})]
    for verb, facts in [*acts, (Verb.GROW_GREEN, {"size": 9})]:
        with pytest.raises(AwsError, match="is held by web/production#7, not by this release"):
            stage.perform(verb, **facts)
    assert stage.changes()[made:] == []


def test_a_mark_that_may_not_be_taken_off_stays() -> None:
    """It says of a release that is over that it held the group, which harms nobody; other errors are errors."""
    stage = AwsStage(ami=True, token="first").go_to(Phase.CHECKING)
    stage.fake.faults.deny("autoscaling:DeleteTags")
    assert stage.perform(Verb.RESUME_BLUE) == {}
    assert "bluegreen:held-by" in {tag["Key"] for tag in stage.world.describe("web-asg")["Tags"]}


@pytest.mark.parametrize("verb", [Verb.EMPTY_BLUE, Verb.DELETE_BLUE])
def test_what_is_in_the_load_balancer_is_neither_emptied_nor_deleted(verb: Verb) -> None:
    """Whatever the journal says: somebody put it back a moment ago, or the journal is not of this world."""
    stage = AwsStage(ami=True).go_to(Phase.CHECKING)
    with pytest.raises(AwsError, match="the group web-asg is in the load balancer, so bluegreen leaves it as it is"):
        stage.perform(verb)
    assert stage.world.healthy()


def test_an_image_of_somebody_else_has_our_name() -> None:
    """The same, with what to do."""
    stage = until(AwsStage(), Verb.STOP_BUILDER)
    stage.clock.sleep(60)
    stage.client("ec2").register_image(Name=stage.release.image_name, RootDeviceName="/dev/xvda")
    with pytest.raises(AwsError, match=r"is taken by ami-\w+ of someone else, which bluegreen leaves as it is") as told:
        stage.perform(Verb.MAKE_IMAGE)
    assert not told.value.transient


# --- baking --------------------------------------------------------------------------------------


def test_a_failed_build_is_told_with_the_end_of_its_output() -> None:
    """What a person needs to see of it, with secrets masked."""
    stage = AwsStage()
    output = "\n".join(f"{n}: {'=' * 100}" for n in range(100))
    stage.machines.fails("git fetch", output=f"{output}\nline 39\ntoken=s3cret")
    stage.cloud = stage.another_cloud(mask=lambda text: text.replace("s3cret", "***"))
    decisions = [stage.step() for _ in range(30)]
    told = next(d for d in decisions if isinstance(d, RollBack))
    assert told.reason is Reason.BUILD_FAILED
    assert "token=***" in told.message
    assert "line 39" in told.message
    assert "79: ===" not in told.message
    assert stage.go_to_the_end().outcome is Outcome.ROLLED_BACK
    assert stage.fake.instances()[stage.world.builder] == "stopped"


def test_the_commands_get_their_environment() -> None:
    """Quoted and exported; found again by their comment."""
    stage = until(AwsStage(), Verb.RUN_BUILD)
    (command,) = stage.client("ssm").list_commands()["Commands"]
    assert command["Comment"] == "web/production#1 build"
    (text,) = command["Parameters"]["commands"]
    assert "export BLUEGREEN_COMMIT=abcdef1234567890\n" in text
    assert "export BLUEGREEN_SERVICE=web/production\n" in text
    assert "export BLUEGREEN_RELEASE='web/production#1'\n" in text
    assert command["Parameters"]["executionTimeout"] == ["7200"]


def run(commands: str) -> tuple[int, str]:
    """How the script ends in a real shell, and what it prints."""
    text = script(AwsStage(ami=True).release, commands)
    ended = subprocess.run(["/bin/sh", "-c", text], capture_output=True, text=True)
    return ended.returncode, ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("commands", "code", "printed"),
    [
        (
            'echo "$BLUEGREEN_COMMIT" "$BLUEGREEN_SERVICE" "$BLUEGREEN_RELEASE"',
            0,
            f"{COMMIT} web/production web/production#1\n",
        ),
        ("echo one\nfalse\necho two\n", 1, "one\n"),
        ("echo to stderr >&2; exit 7", 7, "to stderr\n"),
        ("#!/bin/bash\nset -o pipefail\nfalse | true\necho two", 1, ""),
        ("#!/usr/bin/env python3\nprint(1 + 1)", 0, "2\n"),
        ("echo '$HOME' \"it's\" `echo here`", 0, "$HOME it's here\n"),
        ("trap 'echo mine' EXIT; exit 3", 3, "mine\n"),
    ],
)
def test_a_script_runs_as_it_is_written(commands: str, code: int, printed: str) -> None:
    """In its own shell, with both outputs in order, and with its own exit code."""
    assert run(commands) == (code, printed)


def test_of_a_long_output_the_end_is_kept() -> None:
    """SSM keeps the beginning; a build fails at its end."""
    ended, printed = run("seq 100000; echo broken; exit 2")
    assert ended == 2
    assert printed.endswith("100000\nbroken\n")
    assert printed.startswith(f"{CUT}\n9")
    assert KEPT - 10 < len(printed) - len(f"{CUT}\n") <= KEPT


def test_of_a_line_that_is_longer_than_what_is_kept_nothing_is() -> None:
    """Of a secret in it, nobody could tell any more that it is one."""
    assert run("printf 'password=%30000s' x; exit 2") == (2, f"{CUT}\n")


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("one\ntwo", "one\ntwo"),
        ("one\ntwo\nthree and mo", "…\ntwo\n…"),
        (f"{CUT}\ntwo\nthree and more", f"{CUT}\ntwo\n…"),
        ("one\ntw\n---Output truncated---", "one\n…\n"),
        (
            "on\n---Output truncated---\n----------ERROR-------\ntwo\nthr\n---Error truncated----",
            "…\n\n----------ERROR-------\ntwo\n…\n",
        ),
        ("password=hun" * 3, "…"),
    ],
)
def test_of_what_ssm_cut_only_whole_lines_are_shown(printed: str, shown: str) -> None:
    """Cut by its size, or by its own word for it."""
    assert whole_lines(printed, 2500 if "truncated" in printed else 20) == shown


def test_the_builder_s_check_comes_after_its_build() -> None:
    """Both are found by their comments."""
    builder = {"tag": "web-builder", "run": "git checkout $BLUEGREEN_COMMIT", "check": "true"}
    stage = until(AwsStage(config={"image": {"builder": builder}}), Verb.RUN_BUILD_CHECK)
    stage.clock.sleep(60)
    seen = stage.observe().builder
    assert seen is not None
    assert isinstance(seen.build, Command)
    assert isinstance(seen.check, Command)
    assert (seen.build.state, seen.check.state) == ("succeeded", "succeeded")


def monitoring(stage: AwsStage, count: int) -> None:
    """So many commands of someone else on the builder, each with the comment that ours bears in another release."""
    ssm, builder = stage.client("ssm"), stage.world.builder
    for n in range(count):
        said = {"Comment": f"web/production#{n + 2} build", "DocumentName": "AWS-RunShellScript"}
        ssm.send_command(InstanceIds=[builder], Parameters={"commands": ["true"]}, **said)


def test_a_build_is_found_behind_everything_else_that_runs_there() -> None:
    """By its comment on a later page when its id was not recorded, and by its id from then on."""
    stage = until(AwsStage(), Verb.START_BUILDER)
    stage.clock.sleep(90)
    stage.machines.slow("git fetch", 900)
    first = stage.perform(Verb.RUN_BUILD)
    monitoring(stage, 120)
    assert stage.act(Verb.RUN_BUILD) == first
    assert stage.changes().count("ssm:SendCommand") == 1
    for state, seconds in (("pending", 0), ("running", 60), ("succeeded", 900)):
        stage.clock.sleep(seconds)
        builder = stage.observe().builder
        assert builder is not None
        assert builder.build is not None
        assert (builder.build.id, builder.build.state) == (first["command"], state)


def test_commands_from_before_the_bake_are_not_ours() -> None:
    """Whatever they say: with a lost journal numbers begin again, and so do comments."""
    stage = until(AwsStage(), Verb.START_BUILDER)
    stage.clock.sleep(90)
    old = stage.perform(Verb.RUN_BUILD)
    stage.clock.sleep(3600)
    stage.enters(Phase.BAKING)
    assert stage.perform(Verb.RUN_BUILD) != old


def test_a_command_is_not_sent_again_by_the_client_itself() -> None:
    """SendCommand takes no token, and a lost answer says nothing of its effect."""
    stage = until(AwsStage(), Verb.START_BUILDER)
    stage.clock.sleep(90)
    stage.cloud = Cloud(stage.config, stage.fake.session())
    stage.fake.faults.lose_answer("ssm:SendCommand")
    with pytest.raises(AwsError) as told:
        stage.perform(Verb.RUN_BUILD)
    assert told.value.transient
    assert stage.changes().count("ssm:SendCommand") == 1


def test_no_image_of_a_running_builder() -> None:
    """It would hold half-written files, or reboot it."""
    stage = until(AwsStage(), Verb.RUN_BUILD)
    with pytest.raises(AwsError, match="is running, not stopped"):
        stage.perform(Verb.MAKE_IMAGE)


def test_a_comment_that_is_too_long_loses_the_end_of_the_service_s_name() -> None:
    """What tells one command from another stays: the token and the check's name."""
    long = replace(AwsStage(token="t" * 16).release, id=f"{'w' * 60}/production#1")
    assert comment(long, "c" * 40) == f"{'w' * 42} {'t' * 16} {'c' * 40}"
    assert comment(replace(long, token="", id="web/production#1"), "build") == "web/production#1 build"


def test_the_image_and_its_snapshots_bear_our_tags() -> None:
    """So that it is found again, and may be dropped one day."""
    stage = AwsStage(token="9f86").go_to(Phase.LAUNCHING)
    (image,) = stage.client("ec2").describe_images(ImageIds=[stage.release.image])["Images"]
    wanted = {
        "Name": "web-production-v1-abcdef12",
        "bluegreen:service": "web/production",
        "bluegreen:release": "web/production#1",
        "bluegreen:commit": "abcdef1234567890",
        "bluegreen:token": "9f86",
    }
    assert wanted == {tag["Key"]: tag["Value"] for tag in image["Tags"]}


def test_an_image_that_failed_is_told_and_dropped() -> None:
    """With AWS's reason; nothing of it is left."""
    stage = AwsStage()
    stage.fake.faults.image_fails("Client.InternalError: snapshot failed")
    end = stage.go_to_the_end()
    assert (end.outcome, end.reason) == (Outcome.ROLLED_BACK, Reason.IMAGE_FAILED)
    assert "snapshot failed" in end.message
    assert stage.world.leftovers() == []


# --- retiring ------------------------------------------------------------------------------------


def test_protected_instances_are_unprotected_before_blue_is_emptied() -> None:
    """Otherwise scale-in would pass them over for ever."""
    stage = AwsStage(group={"NewInstancesProtectedFromScaleIn": True}, ami=True)
    assert stage.go_to_the_end().outcome is Outcome.LIVE
    assert "autoscaling:SetInstanceProtection" in stage.changes()
    assert stage.world.leftovers() == []


def test_a_group_that_is_kept_is_empty() -> None:
    """`retire: empty`."""
    stage = AwsStage(config={"retire": "empty"}, ami=True)
    stage.go_to_the_end()
    assert blue(stage)["sizes"] == (0, 0, 0)
    assert "autoscaling:DeleteAutoScalingGroup" not in stage.changes()


def test_a_copied_deletion_protection_is_lifted_from_a_green_that_goes() -> None:
    """Only from green: blue's is its owner's."""
    stage = AwsStage(group={"DeletionProtection": "prevent-force-deletion"}, ami=True)
    stage.go_to(Phase.CHECKING)
    stage.enters(Phase.ROLLING_BACK, reason=Reason.ORDERED, message="ordered")
    assert stage.go_to_the_end().outcome is Outcome.ROLLED_BACK
    assert stage.world.describe()["DeletionProtection"] == "prevent-force-deletion"


def test_the_default_version_is_never_deleted() -> None:
    """Somebody made ours the default: it stays, and the act says why."""
    stage = until(AwsStage(ami=True), Verb.CREATE_GREEN)
    stage.client("ec2").modify_launch_template(LaunchTemplateId=stage.world.template, DefaultVersion="2")
    with pytest.raises(AwsError, match="is the default one"):
        stage.perform(Verb.DELETE_TEMPLATE_VERSION)


def test_blue_is_not_unpinned_onto_the_version_that_was_rolled_back() -> None:
    """Ours could not be deleted and is the latest: blue, which was on $Latest, stays on its number."""
    stage = AwsStage(template_version="$Latest", ami=True)
    stage.go_to(Phase.CHECKING)
    stage.fake.faults.fail("ec2:DeleteLaunchTemplateVersions", "Nope", "no", times=None)
    with pytest.raises(AwsError):
        stage.perform(Verb.DELETE_TEMPLATE_VERSION)
    assert stage.act(Verb.UNPIN_BLUE) == {"stays_on_version": "1"}
    assert blue(stage)["version"] == "1"
    assert blue(stage)["sizes"] == (2, 4, 8)


def test_only_what_we_suspended_is_resumed() -> None:
    """What blue's owner had suspended stays suspended, on green too."""
    stage = AwsStage(ami=True)
    stage.client("autoscaling").suspend_processes(AutoScalingGroupName="web-asg", ScalingProcesses=["AZRebalance"])
    stage.go_to_the_end()
    assert shape(stage, stage.release.green_group)["suspended"] == ["AZRebalance"]


def test_green_grows_and_never_shrinks() -> None:
    """Blue scaled out during the overlap."""
    stage = AwsStage(ami=True).go_to(Phase.OVERLAPPING)
    assert stage.act(Verb.GROW_GREEN, size=10) == {"size": 10}
    assert shape(stage, stage.release.green_group)["sizes"] == (10, 10, 10)
    assert stage.perform(Verb.GROW_GREEN, size=5) == {"size": 10}


# --- traffic -------------------------------------------------------------------------------------


def test_more_target_groups_than_one_call_takes() -> None:
    """Ten a call."""
    stage = AwsStage(target_groups=10, ami=True)
    more = stage.client("elbv2").create_target_group(Name="one-more", Protocol="HTTP", Port=80, VpcId=stage.world.vpc)
    arn = more["TargetGroups"][0]["TargetGroupArn"]
    where = {"LoadBalancerArn": stage.world.balancer, "Protocol": "HTTP", "Port": 9999}
    forward = [{"Type": "forward", "TargetGroupArn": arn}]
    stage.client("elbv2").create_listener(**where, DefaultActions=forward)
    stage.client("autoscaling").attach_load_balancer_target_groups(
        AutoScalingGroupName=stage.world.group, TargetGroupARNs=[arn]
    )
    stage.world.target_groups.append(arn)
    stage.config = parse(stage.world.config())
    stage.cloud = stage.another_cloud()
    stage.clock.sleep(60)
    stage.go_to(Phase.SWITCHING)
    assert stage.changes().count("autoscaling:AttachLoadBalancerTargetGroups") == 2


def test_traffic_sources_are_left_as_they_were_joined() -> None:
    """Target groups attached as traffic sources cannot be detached as target groups; green joins the same way."""
    stage = AwsStage(traffic_source=True, ami=True).go_to(Phase.SOAKING)
    assert "autoscaling:AttachTrafficSources" in stage.changes()
    assert "autoscaling:DetachTrafficSources" in stage.changes()
    stage.enters(Phase.ROLLING_BACK, reason=Reason.ORDERED, message="ordered")
    assert stage.go_to_the_end().outcome is Outcome.ROLLED_BACK
    assert not [name for name in stage.changes() if "LoadBalancerTargetGroups" in name]
