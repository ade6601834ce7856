"""The Slack bot: cards, thread, commands, buttons, Home; and a driver for every release that has none.

    settings   what the environment says           app          Slack's requests, taken in queues
    messages   what Slack shows (pure)              commands     commands and buttons -> orders -> answers
    slack      calls to Slack, and its errors       cards        the journal -> cards and threads
    serving    HTTP: requests, health, metrics      drivers      releases that have no driver
    socket     Socket Mode                          metrics      what Prometheus reads
    service    all of it together, start to end     aws_lambda   the same on AWS Lambda

It calls only the API of `bluegreen`, which decides what may be ordered, and by whom.
"""
