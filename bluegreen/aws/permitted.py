"""What EC2 permits of a release, by requests with DryRun: EC2 says yes or no, and does nothing. Read only.

Other services know no DryRun (EC2 API, DryRun parameter).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from botocore.exceptions import ClientError

from bluegreen.aws import tags
from bluegreen.aws.calls import Calls
from bluegreen.aws_errors import code, lacking
from bluegreen.config import Config
from bluegreen.doctor import Permission
from bluegreen.observation import Baseline, Finding, FindingKey, Verdict


def findings(calls: Calls, config: Config, baseline: Baseline) -> Iterator[Finding]:
    """What EC2 denies this caller of a release that starts from there; without it the release would go back."""
    spare = baseline.spare
    group, version = (spare.group, spare.resolved_version) if spare else (baseline.blue, baseline.resolved_version)
    launches = (group.template, version)
    for one in dry_runs(calls, config, [launches], baseline.builder, moves_default=baseline.sets_default):
        if not one.allowed:
            found = f"EC2 denies {one.action} to {calls.caller}"
            hint = f"`bluegreen iam-policy` prints the statement that is missing: {one.statement}."
            harm = "the release would fail there"
            yield Finding(FindingKey.NOT_PERMITTED, found, harm, Verdict.REFUSED, hint)


def dry_runs(
    calls: Calls, config: Config, launches: Iterable[tuple[str, str]], builder: str, *, moves_default: bool = True
) -> Iterator[Permission]:
    """What EC2 can be asked. `launches`: launch templates with a version each; `builder`: "" when nothing is baked."""
    for template, version in launches:
        named = {"LaunchTemplateId": template}
        launch = {"LaunchTemplate": {**named, "Version": version}, "MinCount": 1, "MaxCount": 1}
        yield from _dry_run(calls, "LaunchGreen", "run_instances", **launch)
        versions = "VersionsOfTheTemplate"
        yield from _dry_run(
            calls, versions, "create_launch_template_version", **named, SourceVersion=version, LaunchTemplateData={}
        )
        if moves_default:
            yield from _dry_run(calls, versions, "modify_launch_template", **named, DefaultVersion="1")
    if not builder:
        return
    # Tagged as the real request is: a policy asks for the tag of each resource that is made (EC2, CreateImage).
    service = tags.as_list({tags.SERVICE: config.id})
    marked = [{"ResourceType": kind, "Tags": service} for kind in ("image", "snapshot")]
    yield from _dry_run(
        calls, "MakeImages", "create_image", InstanceId=builder, Name="bluegreen-dry-run", TagSpecifications=marked
    )
    for method in ("start_instances", "stop_instances"):
        yield from _dry_run(calls, "UseTheBuilder", method, InstanceIds=[builder])


def _dry_run(calls: Calls, statement: str, method: str, **arguments: Any) -> Iterator[Permission]:
    """Nothing when EC2 says something else than yes or no."""
    operation = str(calls.ec2.meta.method_to_api_mapping[method])
    try:
        getattr(calls.ec2, method)(DryRun=True, **arguments)
    except ClientError as error:
        if code(error) == "DryRunOperation" or lacking(error):
            yield Permission(statement, f"ec2:{operation}", code(error) == "DryRunOperation")
