"""Commands of AWS's own command line that people are advised to run."""

from __future__ import annotations

from bluegreen import aws_commands


def test_commands_name_what_they_change() -> None:
    """Ready to be copied: whole, and with every name."""
    told = {
        aws_commands.cancel_refresh("web"): "autoscaling cancel-instance-refresh --auto-scaling-group-name web",
        aws_commands.suspend("web", "Launch"): (
            "autoscaling suspend-processes --auto-scaling-group-name web --scaling-processes Launch"
        ),
        aws_commands.delete_alarms(["high", "low"]): "cloudwatch delete-alarms --alarm-names high low",
        aws_commands.terminate(["i-1", "i-2"]): "ec2 terminate-instances --instance-ids i-1 i-2",
        aws_commands.delete_version("lt-1", 7): (
            "ec2 delete-launch-template-versions --launch-template-id lt-1 --versions 7"
        ),
    }
    assert {command: f"aws {words}" for command, words in told.items()} == {command: command for command in told}
