"""Records of `requests` and `replayed`: read so that the watermark knows of them."""

from typing import Final

from streams.router import documents
from streams.router.drafts import Routed, rejected
from streams.router.record import Record, RejectedError, Rejection
from topology import limits

TYPES: Final = frozenset({
    "cancel_runs", "stop_cancellation", "cancel_run", "pause", "resume", "replay",
})  # fmt: skip


def route_request(record: Record, limit: int = limits.EVENT_BYTES) -> Routed:
    """The commands of one request (design 2.4); of a known type there are none so far."""
    try:
        document = documents.load(record.value, limit)
    except RejectedError as refused:
        return rejected(refused.rejection)
    kind = document.get("type")
    if not isinstance(kind, str) or kind not in TYPES:
        message = f"type {str(kind)[:64]!r} is none of {', '.join(sorted(TYPES))}"
        return rejected(Rejection("unknown_request", message))
    return Routed()
