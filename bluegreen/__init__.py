"""bluegreen: zero-downtime releases for services on EC2 Auto Scaling groups.

`Engine` is what every door calls (command line, GitHub Action, Slack bot); importing this package is
cheap, whatever is heavy is imported when it is first needed.
"""

from bluegreen.engine import Engine, Kept, Plan, Previous, ServiceStatus
from bluegreen.errors import (
    AwsError,
    BlueGreenError,
    ConfigError,
    Interrupted,
    LeaseLost,
    NotPermitted,
    Refused,
    Untold,
)
from bluegreen.freezing import Frozen
from bluegreen.orders import Caller
from bluegreen.permission import Order
from bluegreen.release import (
    Awaited,
    CheckState,
    Event,
    EventKind,
    Outcome,
    Phase,
    Reason,
    Release,
    Until,
    Verb,
    fold,
    release_id,
)

__version__ = "0.1.0"
__all__ = [
    "Awaited",
    "AwsError",
    "BlueGreenError",
    "Caller",
    "CheckState",
    "ConfigError",
    "Engine",
    "Event",
    "EventKind",
    "Frozen",
    "Interrupted",
    "Kept",
    "LeaseLost",
    "NotPermitted",
    "Order",
    "Outcome",
    "Phase",
    "Plan",
    "Previous",
    "Reason",
    "Refused",
    "Release",
    "ServiceStatus",
    "Until",
    "Untold",
    "Verb",
    "fold",
    "release_id",
]
