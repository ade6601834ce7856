"""bluegreen: zero-downtime releases for services on EC2 Auto Scaling groups.

Every entry point (command line, GitHub Action, Slack bot) calls `Engine`. Importing this package is cheap: heavy
modules load on first use.
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
from bluegreen.events import Awaited, CheckState, Event, EventKind, Outcome, Phase, Reason, Until, Verb
from bluegreen.freezing import Frozen
from bluegreen.orders import Caller
from bluegreen.permission import Order
from bluegreen.release import Release, fold, release_id

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
