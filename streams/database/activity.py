"""What the table `activity` counts: kinds of changes of runs.

The kinds are texts in databases, so they stay what they are. A run counts once as `scheduled`, once
as it is `started` for the first time, and once as it ends: by its status, a cancelled one by its
cause, and one that an event cancelled by how long that took, if that is known.
"""

from bisect import bisect_left
from typing import Final

from topology.statuses import ENDED, Cause, Status

# In place of a function's slug: rows for all functions together.
EVERY_FUNCTION: Final = ""
SCHEDULED: Final = "scheduled"
STARTED: Final = "started"
# Ends other than cancels have the kind of their status.
ENDS: Final = tuple(sorted(ENDED - {Status.CANCELLED.value}))
BY_EVENT: Final = Cause.EVENT.value
CANCELS: Final = {cause.value: f"cancelled_{cause.value}" for cause in Cause}
# Cancels by a cause of which this release doesn't know.
OTHER_CANCELS: Final = "cancelled_other"
# Upper bounds of latencies in ms; what takes longer than the last has a kind of its own.
LATENCIES_MS: Final = (
    10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000,
)  # fmt: skip
LATENCIES: Final = tuple(f"{CANCELS[BY_EVENT]}_{bound}" for bound in (*LATENCIES_MS, "more"))
# Marks of a minute, among the rows of all functions: changes may not have been counted; counts of
# single functions were removed.
INCOMPLETE: Final = "incomplete"
TRIMMED: Final = "trimmed"


def latency(duration_ms: int) -> str:
    """The kind of cancels by events that took so long."""
    return LATENCIES[bisect_left(LATENCIES_MS, duration_ms)]
