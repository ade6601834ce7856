"""The Slack bot: cards, thread, commands, buttons, Home; and a driver for every release that has none.

    settings   what the environment says           app        Slack's requests, taken in lanes
    messages   what is shown (pure)                 desk       commands and presses -> orders -> answers
    slack      calls to Slack, and its bad days     follower   the journal -> cards and threads
    serving    HTTP: requests, health, metrics      drivers    releases that nobody drives
    socket     Socket Mode                          metrics    what Prometheus reads
    running    all of it together, start to end     functions  the same on AWS Lambda

It calls nothing of `bluegreen` but its API: what may be ordered, and by whom, is judged there.
"""
