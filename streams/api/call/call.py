"""One HTTP call as the routes see it, and what the database keeps of it.

A call that writes is recorded twice: before it produces anything (who wants what, and why), and
when its outcome is known. The second time is one transaction: the request's row, the
audit row and the answer kept for its Idempotency-Key.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Request

from streams.api.call.api_key import ApiKey


@dataclass(slots=True)
class Call:
    """One authenticated call; a route fills in what it is about.

    Attributes:
        key: Whose call it is.
        action: The operation's id.
        http_id: The id of this call alone.
        id: The id of the request that it writes: `http_id`, unless it repeats an earlier call.
        at: When it came, ms.
        target: What it is about: a run, a cancellation, a function, a replay.
        row: The row of `requests` that it wrote, once Kafka has acknowledged the record.
        idempotency_key: The header, if it has one.
        audited: Whether its audit row is there.
        answer_again: The body that a repeat gets, where the answer itself is given only once.
    """

    key: ApiKey
    action: str
    http_id: str
    id: str
    at: int
    target: str = ""
    reason: str | None = None
    dry_run: bool = False
    row: dict[str, Any] | None = field(default=None)
    idempotency_key: str | None = None
    audited: bool = False
    answer_again: bytes | None = None

    def about(self, target: str, *, reason: str | None = None, dry_run: bool = False) -> None:
        """Say what the call is about, for the audit trail."""
        self.target, self.reason, self.dry_run = target, reason, dry_run


async def current_call(request: Request) -> Call:
    """The call of a request that has passed the guard."""
    call: Call = request.state.call
    return call


CurrentCall = Annotated[Call, Depends(current_call)]
