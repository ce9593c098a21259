"""Statuses of a run and the moves between them (rules S4 and S5).

```
scheduled ──► running ──► sleeping          any of the three ──► completed | failed
    ▲  │        │  ▲ │        │                                  cancelled | expired
    │  ▼        │  └─┘ heartbeat            scheduled ─────────► skipped
    │ skipped   │ lease ended │ woken
    └───────────┴─────────────┘
```
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Status(StrEnum):
    """The status of a run; every one but the first three is final."""

    SCHEDULED = "scheduled"
    RUNNING = "running"
    SLEEPING = "sleeping"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    EXPIRED = "expired"


class Cause(StrEnum):
    """Why a run was cancelled."""

    EVENT = "event"
    API = "api"
    CANCELLATION = "cancellation"
    START_TIMEOUT = "start_timeout"
    FINISH_TIMEOUT = "finish_timeout"
    PAUSE = "pause"


_ENDS: Final = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.EXPIRED})

# A status is a `str`, so texts are keys as well.
MOVES: Final[Mapping[str, frozenset[Status]]] = {
    Status.SCHEDULED: _ENDS | {Status.RUNNING, Status.SKIPPED},
    Status.RUNNING: _ENDS | {Status.RUNNING, Status.SLEEPING, Status.SCHEDULED},
    Status.SLEEPING: _ENDS | {Status.SCHEDULED},
    Status.COMPLETED: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELLED: frozenset(),
    Status.SKIPPED: frozenset(),
    Status.EXPIRED: frozenset(),
}

UNFINISHED: Final = frozenset({Status.SCHEDULED, Status.RUNNING, Status.SLEEPING})
# Plain texts, as decoded records have them: a look-up of one costs least.
ENDED: Final = frozenset(status.value for status in Status if status not in UNFINISHED)


def may_move(before: str, after: Status) -> bool:
    """Whether a run may go from one status to another."""
    return after in MOVES[before]
