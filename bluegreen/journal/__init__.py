"""The journal: one DynamoDB table that orders the events of every release and holds all shared state.

    pk                  sk               what
    web/production#42   event/000017     an event, written once
                        lease            who drives the release, until when
                        note/NAME        what an entry point remembers of it, such as the place of its card
    web/production      release/000042   the release in one line, for the history
                        request/ID       the event that a request led to: asking again makes no second one
    service             web/production   next number, release under way, what is live, freeze, bad commits, kept groups
    builder             i-0123           the release that bakes on it
    duty/NAME           lease            which of several processes is the leader
    answer/ID           answer           what a request was answered: asking again gets the same

Facts that belong together are written in one transaction, and every write is conditional. So any number of writers on
any number of machines may race: one wins, the others read again.

A write whose answer was lost is sent again by botocore and then meets its own item. Each event therefore
carries an id of the call that wrote it; meeting that is success:

    us        put event 17, write=a ── taken ──X (answer lost)    put again ── refused, write=a is there: ours
    another                                    put event 17, write=b ── refused, write=a is there: Conflict

The two kinds of answers may go after 90 days: their `ttl` says when. All else stays.

Neither clock nor `sleep` is used here: both come in as arguments. `records` has the values and their
items, `dynamodb` the wire to the table. `log` says what is read and written, in which order, and on which condition.
"""

from bluegreen.journal.log import Journal
from bluegreen.journal.records import BAD_ONES, LARGEST, SKEW, Freeze, KeptGreen, Lease, Live, ServiceRecord, Summary

__all__ = ["BAD_ONES", "LARGEST", "SKEW", "Freeze", "Journal", "KeptGreen", "Lease", "Live", "ServiceRecord", "Summary"]
