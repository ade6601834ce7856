"""What tests share: the worlds that they play in, from a bare release to processes with a chat.

    release              one release without AWS, set by verbs; `events` tells one by hand
    account              the door to AWS on a pretend account
    virtual              a whole world on the virtual clock; `crashes` lets its drivers die everywhere
    processes, chat      `bluegreen` and the bot in processes of their own, reached by HTTP
    forked               such processes, forked from one that has imported everything
    runner               the Action's image, started as GitHub's runner starts it
    dynamodb             Amazon's own DynamoDB and the lab's, asked in the same words: `requests` to both, `recordings`
    waiting              waits that end: for anything that comes a little later

What most tests need of the virtual world can be had from here.
"""

from tests.worlds.virtual import (
    CHANGES,
    FAST,
    GOOD,
    HEALTH,
    SICK,
    Died,
    Last,
    Ops,
    Skewed,
    Unforeseen,
    Watch,
    as_told,
    asleep,
    bare,
    fast,
    has,
    kinds,
    once,
)

__all__ = [
    "CHANGES",
    "FAST",
    "GOOD",
    "HEALTH",
    "SICK",
    "Died",
    "Last",
    "Ops",
    "Skewed",
    "Unforeseen",
    "Watch",
    "as_told",
    "asleep",
    "bare",
    "fast",
    "has",
    "kinds",
    "once",
]
