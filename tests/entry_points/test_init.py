"""`bluegreen init`, and from it to the first release, on the lab's AWS by HTTP and on plain moto."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from click.testing import CliRunner, Result

import bluegreen
from bluegreen import config
from bluegreen.cli import cli, initializing
from bluegreen.proposal import Wishes
from bluegreen.workflows import NAMES, Origin
from lab.aws import FakeAws
from lab.clock import Clock
from lab.world import World
from tests.worlds.waiting import eventually

#: From an empty folder to the first release, with no edit in between.
CHAIN = (("init", "--yes", "--overlap", "10s", "--soak", "10s"), ("doctor",), ("plan",), ("release",))
COMMIT = "0123456789abcdef0123456789abcdef01234567"
Build = Callable[..., World]


def run(*words: str, typed: str = "") -> Result:
    """The command, as called in a shell; nothing may escape it."""
    result = CliRunner().invoke(cli, list(words), input=typed)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty git folder, and credentials for whatever AWS is there."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    monkeypatch.chdir(tmp_path)
    for name, value in {"ACCESS_KEY_ID": "lab", "SECRET_ACCESS_KEY": "lab-secret-key", "REGION": "eu-west-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setattr(initializing, "_source", lambda: Origin("github.com", "octocat/bluegreen", COMMIT, "v1"))
    return tmp_path


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[Build]:
    """Makes services on the lab's AWS, which is reached by HTTP, and whose hours take no time."""
    fake = FakeAws()
    monkeypatch.setenv("AWS_ENDPOINT_URL", fake.serve())
    monkeypatch.setenv("AWS_REGION", fake.region)
    _quickly(monkeypatch, fake.clock)
    yield lambda **kind: World.standard(fake, instances=2, **kind)
    fake.close()


def _quickly(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    """Releases wait on this clock."""
    real = bluegreen.Engine

    def engine(**where: Any) -> bluegreen.Engine:
        return real(**where, clock=clock)

    monkeypatch.setattr(bluegreen.engine, "Engine", engine)


# --- from nothing to the first release -------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "traffic"),
    [({}, "shared"), ({"weighted": True}, "weighted"), ({"mixed": True}, "shared")],
    ids=["shared", "weighted", "a mixed instances policy"],
)
def test_from_an_empty_folder_to_the_first_release(build: Build, kind: dict[str, Any], traffic: str) -> None:
    """No edit in between: what `init` writes is what `doctor`, `plan` and `release` accept."""
    world = build(**kind)
    for words in CHAIN:
        result = run(*words, "--json")
        assert result.exit_code == 0, result.output
        if words[0] == "init":
            assert json.loads(result.stdout)["traffic"] == traffic
    told = json.loads(result.stdout.splitlines()[-1])
    assert (told["decision"], told["release"], told["blue-group"]) == ("live", "web/production#1", world.group)
    assert bool(world.describe(told["green-group"]).get("MixedInstancesPolicy")) is ("mixed" in kind)


@pytest.fixture
def moto(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[None]:
    """A plain `moto_server`, in a process of its own, with a service on it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p", str(port)]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MOTO_")}
    server = subprocess.Popen(command, env=plain, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: _listens(port), seconds=60)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        _service(boto3.Session(region_name="eu-west-1"))
        yield
    finally:
        server.terminate()
        server.wait()


def _listens(port: int) -> bool:
    with socket.socket() as door:
        return door.connect_ex(("127.0.0.1", port)) == 0


def _service(session: boto3.Session) -> None:
    """A group behind a load balancer."""
    ec2, elb = session.client("ec2"), session.client("elbv2")
    subnets = [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"]][:2]
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    balancer = elb.create_load_balancer(Name="web", Subnets=subnets)["LoadBalancers"][0]["LoadBalancerArn"]
    pool = elb.create_target_group(Name="web", Protocol="HTTP", Port=80, VpcId=vpc)["TargetGroups"][0]["TargetGroupArn"]
    forward: Any = [{"Type": "forward", "TargetGroupArn": pool}]
    elb.create_listener(LoadBalancerArn=balancer, Protocol="HTTP", Port=80, DefaultActions=forward)
    data: Any = {"ImageId": ec2.describe_images()["Images"][0]["ImageId"], "InstanceType": "t3.micro"}
    template = ec2.create_launch_template(LaunchTemplateName="web", LaunchTemplateData=data)["LaunchTemplate"]
    session.client("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName="web-asg",
        MinSize=1,
        MaxSize=4,
        DesiredCapacity=2,
        VPCZoneIdentifier=",".join(subnets),
        LaunchTemplate={"LaunchTemplateId": template["LaunchTemplateId"], "Version": "1"},
        TargetGroupARNs=[pool],
    )


#: Where plain moto 5.2 ends a release, before it changes anything: it does not know this call (CONTRIBUTING.md).
MOTO_STOPS_AT = "DescribeNotificationConfigurations"


@pytest.mark.slow
def test_plain_moto_ends_a_release_at_a_call_that_it_does_not_know(moto: None) -> None:
    """`init` reads what it needs. Whatever reads what hangs on the group names the call; nothing is changed."""
    assert run("init", "--yes").exit_code == 0
    found = [json.loads(line) for line in run("doctor", "--json").stdout.splitlines()]
    assert MOTO_STOPS_AT in str([one for one in found if one.get("verdict") == "not examined"])
    for command in ("plan", "release"):
        result = run(command)
        assert (result.exit_code, f"error: {MOTO_STOPS_AT}: " in result.stderr) == (1, True), result.output
    shown = boto3.client("autoscaling", region_name="eu-west-1").describe_auto_scaling_groups()["AutoScalingGroups"]
    assert [(one["AutoScalingGroupName"], one["MinSize"], one["Tags"]) for one in shown] == [("web-asg", 1, [])]


# --- the files -------------------------------------------------------------------------------------------


def test_every_file_is_written_and_none_overwritten(build: Build, folder: Path) -> None:
    """What is there is kept, and said; what is missing comes again."""
    build()
    first = run("init", "--yes")
    workflows = [f".github/workflows/{name}" for name in NAMES]
    assert [line.split()[:2] for line in first.stdout.splitlines() if line.startswith("wrote")] == [
        ["wrote", name] for name in ("bluegreen.yml", "bluegreen.schema.json", *workflows)
    ]
    assert f"uses: octocat/bluegreen@{COMMIT} # v1\n" in (folder / workflows[0]).read_text()
    assert config.load("bluegreen.yml").id == "web/production"
    Path("bluegreen.yml").write_text(Path("bluegreen.yml").read_text() + "# mine\n")
    Path(workflows[1]).unlink()
    again = run("init", "--yes")
    assert (again.exit_code, "kept   bluegreen.yml: it is there already" in again.stdout) == (0, True)
    assert f"wrote  {workflows[1]}\n" in again.stdout
    assert Path("bluegreen.yml").read_text().endswith("# mine\n")


def test_a_file_that_comes_meanwhile_is_kept(tmp_path: Path) -> None:
    """Between the look and the writing somebody else may have written it."""
    path = tmp_path / "bluegreen.yml"
    path.write_text("theirs")
    done = initializing._done(initializing.File(path, "ours"), initializing.InitOptions(Wishes()))
    assert (done.state, path.read_text()) == (initializing.KEPT, "theirs")


def test_a_wish_for_a_file_that_is_there_is_refused(build: Build, folder: Path) -> None:
    """It could not be heard; `--print` shows what would be proposed."""
    (folder / "bluegreen.yml").write_text("service: web\n")
    build()
    result = run("init", "--yes", "--group", "web-asg")
    assert result.exit_code == 2
    assert "bluegreen.yml: is there already, and `bluegreen init` overwrites no file" in result.stderr
    assert "group: web-asg" in run("init", "--print", "--group", "web-asg").stdout
    assert (folder / "bluegreen.yml").read_text() == "service: web\n"


def test_print_writes_nothing(build: Build, folder: Path) -> None:
    """It shows every file but the schema, which has a command of its own."""
    build()
    shown = run("init", "--print").stdout
    content = yaml.safe_load(shown.partition("# --- bluegreen.yml\n")[2].partition("\n# ---")[0])
    assert config.parse(content).group == "web-asg"
    assert "# --- bluegreen.schema.json: `bluegreen schema` prints it" in shown
    assert "# --- .github/workflows/release.yml\n" in shown
    assert [path.name for path in folder.iterdir()] == [".git"]
    files = json.loads(run("init", "--print", "--json").stdout)["files"]
    assert [one["state"] for one in files] == ["shown"] * 4
    assert config.parse(yaml.safe_load(files[0]["text"])).group == "web-asg"


def test_a_service_below_the_top_of_the_repository(build: Build, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its configuration stands where it is wanted, and the workflows at the top name it, and the table."""
    build()
    result = run(
        "init", "--yes", "--config", "services/web/bluegreen.yml", "--table", "releases", "--environment", "qa"
    )
    assert result.exit_code == 0
    assert "bluegreen plan --config services/web/bluegreen.yml --table releases:" in result.stdout
    assert "`bluegreen iam-policy --config services/web/bluegreen.yml --table releases`" in result.stdout
    assert (folder / "services/web/bluegreen.schema.json").exists()
    jobs = yaml.safe_load((folder / ".github/workflows/release.yml").read_text())["jobs"]
    given = jobs["release"]["steps"][1]["with"]
    assert (given["config"], given["table"]) == ("services/web/bluegreen.yml", "releases")
    assert config.load("services/web/bluegreen.yml").id == "web/qa"
    monkeypatch.setenv("BLUEGREEN_TABLE", "shared")
    another = run("init", "--yes", "--config", "services/my api/bluegreen.yml").stdout
    assert "bluegreen plan --config 'services/my api/bluegreen.yml':" in another
    assert "it makes the DynamoDB table shared" in another
    assert "the input `config: services/my api/bluegreen.yml`" in another


def test_without_an_address_no_workflow_is_written(build: Build, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A placeholder would fail on GitHub; what to give is said, and the next run writes what is missing."""
    build()
    monkeypatch.setattr(initializing, "_source", lambda: None)
    result = run("init", "--yes")
    assert result.exit_code == 0
    assert "left out  .github/workflows/release.yml" in result.stdout
    assert "  bluegreen init --action REPOSITORY@TAG: it writes" in result.stdout
    apart = run("init", "--yes", "--config", "api/bluegreen.yml").stdout
    assert "  bluegreen init --action REPOSITORY@TAG --config api/bluegreen.yml: it writes" in apart
    assert not (folder / ".github").exists()
    assert run("init", "--yes", "--action", "octocat").exit_code == 2
    assert run("init", "--yes", "--action", "octocat/bluegreen@v1").exit_code == 0
    assert "uses: octocat/bluegreen@v1\n" in (folder / ".github/workflows/release.yml").read_text()


def test_a_folder_that_takes_no_file_is_named(build: Build, folder: Path) -> None:
    """With what to do."""
    build()
    (folder / ".github").write_text("a file")
    result = run("init", "--yes")
    assert (result.exit_code, "cannot be written" in result.stderr) == (2, True)
    assert "it writes what is missing" in result.stderr


# --- asking ----------------------------------------------------------------------------------------------


def test_where_nobody_can_answer_nothing_is_written(build: Build, folder: Path) -> None:
    """A script says `--yes`."""
    build()
    result = run("init")
    assert (result.exit_code, "`--yes`" in result.stderr) == (2, True)
    assert [path.name for path in folder.iterdir()] == [".git"]


def test_several_groups_are_refused_with_the_list(build: Build) -> None:
    """And the option that picks."""
    build()
    build(service="api")
    result = run("init", "--yes")
    assert result.exit_code == 2
    assert "can be released: api-asg, web-asg" in result.stderr
    assert "--group api-asg" in result.stderr


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody sits there."""
    monkeypatch.setattr(initializing, "_asks", lambda at, options: not options.yes)


def test_a_person_is_asked_for_what_nobody_else_knows(build: Build, terminal: None, folder: Path) -> None:
    """Which group, its service's name, the builder and its commands; then whether to write."""
    build()
    build(service="api")
    result = run("init", typed="2\nThe Shop\nshop\n\nmake install\n\n")
    assert result.exit_code == 0, result.output
    made = config.load("bluegreen.yml")
    assert (made.id, made.group) == ("shop/production", "web-asg")
    assert made.image.builder is not None
    assert (made.image.builder.tag, made.image.builder.run) == ("web-builder", "make install")
    assert "push:" in (folder / ".github/workflows/release.yml").read_text()


def test_who_says_no_gets_no_files(build: Build, terminal: None, folder: Path) -> None:
    """Nor does who wants none for GitHub get any."""
    build()
    assert run("init", typed="\n0\nn\n").exit_code == 1
    assert [path.name for path in folder.iterdir()] == [".git"]
    assert run("init", "--no-workflows", typed="\n0\ny\n").exit_code == 0
    assert sorted(path.name for path in folder.iterdir()) == [".git", "bluegreen.schema.json", "bluegreen.yml"]


def test_the_address_is_asked_for(build: Build, terminal: None, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing tells it."""
    build()
    monkeypatch.setattr(initializing, "_source", lambda: None)
    assert run("init", typed="\n0\noctocat\noctocat/bluegreen@v1\ny\n").exit_code == 0
    assert "uses: octocat/bluegreen@v1\n" in (folder / ".github/workflows/release.yml").read_text()


# --- where the Action is ---------------------------------------------------------------------------------


def test_a_clone_tells_its_address(tmp_path: Path) -> None:
    """Its origin, and its commit if the server has it; else the newest of the server."""
    clone = tmp_path / "clone"

    def git(*words: str) -> str:
        person = {
            "GIT_CONFIG_GLOBAL": os.devnull,
            **{f"GIT_{who}_{what}": "a" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        }
        done = subprocess.run(
            ["git", "-C", str(clone), *words], env={**os.environ, **person}, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    clone.mkdir()
    git("init", "--quiet", "--initial-branch=main")
    assert initializing._checkout(clone) is None
    git("remote", "add", "origin", "git@github.com:octocat/bluegreen.git")
    assert initializing._checkout(clone) is None  # no Action
    (clone / "action.yml").write_text("name: bluegreen\n")
    git("add", ".")
    git("commit", "--quiet", "--message", "one")
    assert initializing._checkout(clone) == Origin("github.com", "octocat/bluegreen")
    first = git("rev-parse", "HEAD")
    git("tag", "v1")
    git("update-ref", "refs/remotes/origin/main", first)
    git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main")
    assert initializing._checkout(clone) == Origin("github.com", "octocat/bluegreen", first, "v1")
    git("commit", "--quiet", "--allow-empty", "--message", "two")
    assert initializing._checkout(clone) == Origin("github.com", "octocat/bluegreen", first, "v1")


def test_the_installation_tells_its_address() -> None:
    """Of a test's installation: the folder that it was made from, whatever its origin is."""
    found = initializing._source()
    assert found is None or found.host
