"""CloudFormation: moto makes, shows and deletes stacks; their EC2 instances are those of the lab.

    a request ──> moto ──> a stack ── with an instance of moto's? ──> launched here, and known by its id here
                             └──────── deleted? ─────────────────────> its instances are terminated here

A stack whose instance cannot be launched ends as ROLLBACK_COMPLETE; what else it made stays here, and AWS would delete
it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from moto.ec2.models.instances import Instance

from lab.aws.ec2 import Ec2
from lab.aws.wire import ErrorAnswer


class Stacks:
    """What stacks mean for the instances."""

    def __init__(self, ec2: Ec2, backend: Callable[[], Any]) -> None:
        """`backend` gives moto's CloudFormation of this account and region."""
        self._ec2, self._backend = ec2, backend
        self._made: set[str] = set()

    def changed(self) -> None:
        """Launch what is new in any stack, terminate what no stack has any more."""
        there = list(self._instances())
        for stack, one in there:
            if one.id not in self._made and stack.status != "ROLLBACK_COMPLETE":
                self._launch(stack, one)
        for gone in self._made - {one.id for _, one in there}:
            self._ec2.terminate(gone)
            self._made.remove(gone)

    def _launch(self, stack: Any, one: Instance) -> None:
        tags = {tag["key"]: tag["value"] for tag in one.get_tags()}
        launch = {"ImageId": one.image_id, "InstanceType": one.instance_type, "UserData": one.user_data}
        try:
            one.id = self._ec2.launch(launch, one.subnet_id, tags).id
        except ErrorAnswer:
            stack.status = "ROLLBACK_COMPLETE"
        else:
            self._made.add(one.id)

    def _instances(self) -> Iterator[tuple[Any, Instance]]:
        for stack in self._backend().stacks.values():
            made = stack.resource_map._parsed_resources.values()
            yield from ((stack, one) for one in made if isinstance(one, Instance))
