"""Commands of AWS's own command line that a person is advised to run: one place for each, ready to be copied. Pure."""

from __future__ import annotations

from collections.abc import Iterable


def delete_group(name: str) -> str:
    """Removes a group with its instances."""
    return f"aws autoscaling delete-auto-scaling-group --auto-scaling-group-name {name} --force-delete"


def kept_group(name: str, until: str) -> str:
    """A group that is kept for inspection until then, and what ends it now."""
    return f"group {name}, without traffic, kept for inspection until {until}: {delete_group(name)} ends it now"


def empty_group(name: str) -> str:
    """Ends a group's instances and keeps the group."""
    sizes = "--min-size 0 --max-size 0 --desired-capacity 0"
    return f"aws autoscaling update-auto-scaling-group {sizes} --auto-scaling-group-name {name}"


def remove_object(uri: str) -> str:
    """Deletes one object of an S3 bucket."""
    return f"aws s3 rm {uri}"


def attach(name: str, target_groups: Iterable[str]) -> str:
    """Puts a group into target groups (ARNs)."""
    return f"aws autoscaling attach-load-balancer-target-groups {_between(name, target_groups)}"


def detach(name: str, target_groups: Iterable[str]) -> str:
    """Takes a group out of target groups (ARNs)."""
    return f"aws autoscaling detach-load-balancer-target-groups {_between(name, target_groups)}"


def suspend(name: str, process: str) -> str:
    """Suspends a process of a group."""
    return f"aws autoscaling suspend-processes --auto-scaling-group-name {name} --scaling-processes {process}"


def cancel_refresh(name: str) -> str:
    """Stops the instance refresh of a group."""
    return f"aws autoscaling cancel-instance-refresh --auto-scaling-group-name {name}"


def terminate(ids: Iterable[str]) -> str:
    """Ends instances that are in no group."""
    return f"aws ec2 terminate-instances --instance-ids {' '.join(ids)}"


def _between(name: str, target_groups: Iterable[str]) -> str:
    return f"--auto-scaling-group-name {name} --target-group-arns {' '.join(target_groups)}"


def delete_version(template: str, *numbers: int) -> str:
    """Deletes versions of a launch template (by id)."""
    which = " ".join(map(str, numbers))
    return f"aws ec2 delete-launch-template-versions --launch-template-id {template} --versions {which}"


def delete_alarms(names: Iterable[str]) -> str:
    """Deletes alarms."""
    return f"aws cloudwatch delete-alarms --alarm-names {' '.join(names)}"
