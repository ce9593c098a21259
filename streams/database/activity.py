"""What the table `activity` counts: kinds of changes of runs, and how long cancels took.

The kinds are texts in databases, so they stay what they are. A run counts once as `scheduled`, once
as it is `started` for the first time, and once as it ends; one that an event has cancelled counts
under a latency, too.
"""

from bisect import bisect_left
from typing import Final

from topology.statuses import ENDED, Cause, Status

# In place of a function's slug: rows for all functions together.
EVERY_FUNCTION: Final = ""
SCHEDULED: Final = "scheduled"
STARTED: Final = "started"
# Marks a minute, of all functions, of which changes may not have been counted.
INCOMPLETE: Final = "incomplete"
# Ends other than cancels have the kind of their status.
ENDS: Final = tuple(sorted(ENDED - {Status.CANCELLED.value}))
CANCELS: Final = {cause.value: f"cancelled_{cause.value}" for cause in Cause}
# Cancels by a cause of which this release doesn't know.
OTHER_CANCELS: Final = "cancelled_other"
# Upper bounds of latencies in ms; what takes longer than the last has a kind of its own.
LATENCIES_MS: Final = (
    10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000,
)  # fmt: skip
LATENCIES: Final = (*(f"latency_{bound}" for bound in LATENCIES_MS), "latency_more")


def latency(duration_ms: int) -> str:
    """The kind of cancels that took so long."""
    return LATENCIES[bisect_left(LATENCIES_MS, duration_ms)]
