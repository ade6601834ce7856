"""A fake AWS with time and physics, on a clock that is passed in.

    aws = FakeAws(VirtualClock())                    # or RealClock() and Timings.quick()
    ec2 = aws.session().client("ec2")            # in-process: no sockets, survives fork
    url = aws.serve()                            # or by HTTP, for AWS_ENDPOINT_URL

What has time in it is ours: instances, images, launch templates, Auto Scaling groups, targets and their health, SSM
commands, metrics and alarms. What has none is moto's: networks, parameters, keys, all of DynamoDB; and load balancers
with their rules, behind stricter checks of ours.
"""

import lab.descriptions  # noqa: F401 - first: the others make sessions when they are imported
from lab.aws.engine import Timings
from lab.aws.fake import Call, FakeAws
from lab.aws.faults import Crashed, Faults
from lab.aws.wire import ErrorAnswer

__all__ = ["Call", "Crashed", "ErrorAnswer", "FakeAws", "Faults", "Timings"]
