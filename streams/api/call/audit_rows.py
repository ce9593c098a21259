"""Rows of the audit trail: each write of a caller who may write leaves one row, refused or not.

So does what is done to keys on the database directly.
"""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, insert, update
from ulid_transform import ulid_at_time

from streams.api.call.call import Call
from streams.database.schema import AUDIT

# Written before the write is tried: if the process dies in between, it may or may not be done.
PENDING: Final = "pending"
DONE: Final = "done"
# Written, but what it asks for wasn't decided when the call was answered.
UNDECIDED: Final = "undecided"
_OUTCOME_CHARS: Final = 32
_TARGET_CHARS: Final = 256


def open_row(connection: Connection, call: Call, outcome: str = PENDING) -> None:
    """Add the row of a call: what it is about to do, or was refused."""
    connection.execute(
        insert(AUDIT).values(
            id=call.http_id,
            at=call.at,
            api_key=call.key.id,
            actor=call.key.name,
            action=call.action,
            target=call.target[:_TARGET_CHARS],
            reason=call.reason,
            request_id=call.id,
            dry_run=call.dry_run,
            outcome=outcome[:_OUTCOME_CHARS],
        )
    )
    call.audited = True


def add_done(
    connection: Connection, actor: str, action: str, targets: Sequence[str], now_ms: int
) -> None:
    """Add a row for each target of something that was done without a call, and without a key."""
    done = {"at": now_ms, "api_key": "", "actor": actor, "action": action, "outcome": DONE}
    rows = [
        {**done, "id": ulid_at_time(now_ms / 1_000), "target": target, "dry_run": False}
        for target in targets
    ]
    connection.execute(insert(AUDIT), rows)


def close_row(connection: Connection, call: Call, outcome: str) -> None:
    """Set the outcome of a call: `done`, `undecided`, or the code of a problem."""
    if not call.audited:
        open_row(connection, call, outcome)
        return
    mine = AUDIT.c.id == call.http_id
    connection.execute(update(AUDIT).where(mine).values(outcome=outcome[:_OUTCOME_CHARS]))
