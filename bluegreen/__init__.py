"""bluegreen: zero-downtime releases for services on EC2 Auto Scaling groups.

`Engine` is what every door calls (command line, GitHub Action, Slack bot); importing this package is
cheap, whatever is heavy is imported when it is first needed.
"""

from bluegreen.advice import Door, advised
from bluegreen.engine import Engine, Kept, Plan, Previous, ServiceStatus, region_in
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
from bluegreen.freezing import Frozen, end_of, time_in
from bluegreen.orders import Caller
from bluegreen.permission import Order, listed, permitted
from bluegreen.release import (
    IN_NO_CALENDAR,
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
    apply,
    duration,
    fold,
    release_id,
)
from bluegreen.release import moment as moment_by
from bluegreen.wording import (
    age,
    awaiting,
    beforehand,
    count_of,
    flaps,
    needed,
    next_step,
    one_line,
    outcome_line,
    person,
    phase_meaning,
    phase_title,
    previous_number,
    sentence,
)

__version__ = "0.1.0"
__all__ = [
    "IN_NO_CALENDAR",
    "Awaited",
    "AwsError",
    "BlueGreenError",
    "Caller",
    "CheckState",
    "ConfigError",
    "Door",
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
    "advised",
    "age",
    "apply",
    "awaiting",
    "beforehand",
    "count_of",
    "duration",
    "end_of",
    "flaps",
    "fold",
    "listed",
    "moment_by",
    "needed",
    "next_step",
    "one_line",
    "outcome_line",
    "permitted",
    "person",
    "phase_meaning",
    "phase_title",
    "previous_number",
    "region_in",
    "release_id",
    "sentence",
    "time_in",
]
