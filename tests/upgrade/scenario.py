"""What is going on when a release is stopped, and all that must have come of it in the end.

Each run is known by its event's id. All due times have passed two minutes after the stop, so the
outcome is the same whenever the next release comes. Of a run that has ended nothing is expected
that only a timer would do: its retention may be over, too.
"""

from typing import Final

APP: Final = "golden"
PARTITIONS: Final = 2
FUNCTIONS: Final = """
functions:
  - id: order
    app: shop
    triggers: [{event: placed}]
    cancel_on: [{event: dropped, match: data.order, early_cancel: 1h}]
    timeouts: {start: 60s}
    lease: 30s
    pending_for: 2m
  - id: pair
    app: shop
    triggers: [{event: made}]
    cancel_on: [{event: drop-a, match: data.a}, {event: drop-b, match: data.b}]
    pending_for: 2m
  - id: import
    app: shop
    triggers: [{event: imported}]
    cancel_on:
      - event: closed
        if: "event.data.account == async.data.account && event.data.n >= async.data.n"
    pending_for: 2m
  - {id: mail, app: shop, triggers: [{event: mailed}], pending_for: 2m}
"""
ORDER: Final = "shop-order"
IMPORT: Final = "import", "shop"
MAIL: Final = "shop-mail"
DELAYED_BY_MS: Final = 30_000

# So many that a scan of them takes several slices, as a cancel that meets all of them does.
IMPORTS: Final = 700
CANCELLED_BELOW: Final = 100
CLOSED_FROM: Final = 250
CANCELLATION: Final = "01KB0000000000000000000001"
PAUSE: Final = "01KB0000000000000000000002"

# Statuses with the attempt, in the order of their numbers; + is a run that workers may claim.
_NEW: Final = "scheduled1+"
_CANCELLED: Final = f"{_NEW} cancelled1"
_EXPIRED: Final = f"{_NEW} expired1"
_CLAIMED: Final = f"{_NEW} running1"

BEFORE: Final = {
    "first": _NEW,
    "untouched": _NEW,
    "delayed": "scheduled1",
    "running": _CLAIMED,
    "sleeping": f"{_CLAIMED} sleeping1",
    "completed": f"{_CLAIMED} completed1",
    "failed": f"{_CLAIMED} failed1",
    "dropped": _CANCELLED,
    "lingering": f"{_CLAIMED} cancelled1",
    "done-unread": _NEW,
    "dropped-unread": _NEW,
    "dropped-now": _NEW,
    "pair-dropped": _CANCELLED,
    "pair-unread": _NEW,
    "pair-left": _NEW,
    "mail-before": _CANCELLED,
    "mail-kept": "scheduled1",
} | {f"import-{n}": _NEW for n in range(IMPORTS)}
"""The runs as they are when the old router reads no more; no timer has fired."""

IMPORTED: Final = {
    f"import-{n}": _EXPIRED if CANCELLED_BELOW <= n < CLOSED_FROM else _CANCELLED
    for n in range(IMPORTS)
}
AFTER: Final = (
    BEFORE
    | IMPORTED
    | {
        "first": _CANCELLED,
        "untouched": _CANCELLED,
        "delayed": "scheduled1 scheduled1+ cancelled1",
        "running": f"{_CLAIMED} scheduled2+ expired2",
        "sleeping": f"{_CLAIMED} sleeping1 scheduled2+ expired2",
        "lingering": f"{_CLAIMED} cancelled1 cancelled1",  # its worker says that it stopped
        "early": _CANCELLED,
        "done-early": f"{_NEW} completed1",
        "done-unread": f"{_NEW} completed1",
        "dropped-unread": _CANCELLED,
        "dropped-now": _CANCELLED,
        "again": _CANCELLED,
        "pair-unread": _CANCELLED,
        "pair-late-a": _CANCELLED,
        "pair-late-b": _CANCELLED,
        "pair-left": _EXPIRED,
        "import-late": _CANCELLED,
        "import-late-closed": _CANCELLED,
        "import-after": _EXPIRED,
        "mail-late": _CANCELLED,
        "mail-kept": "scheduled1 skipped1",
        "mail-unread": "scheduled1 skipped1",
        "now": _CANCELLED,
        "new": _CANCELLED,
        "mail-new": "scheduled1 skipped1",
    }
)
"""The runs in the end."""

INSTEAD: Final = {"pair-unread": _EXPIRED, "pair-late-b": _EXPIRED}
"""What may become of these, too: their cancel comes from another partition than the run's, and
between it and the expiry, which is due, the home's order decides (S11)."""

_CLOSED: Final = "event closed"
CAUSES: Final = {
    "first": "event drop-first",
    "untouched": "start_timeout",
    "delayed": "start_timeout",
    "dropped": "event drop-dropped",
    "lingering": "event drop-lingering",
    "early": "event drop-early",
    "dropped-unread": "event drop-dropped-unread",
    "dropped-now": "event drop-dropped-now",
    "again": "event drop-again",
    "pair-dropped": "event drop-pair-dropped",
    "pair-unread": "event drop-pair-unread",
    "pair-late-a": "event drop-pair-late-a",
    "pair-late-b": "event drop-pair-late-b",
    "import-late": "cancellation",
    "import-late-closed": _CLOSED,
    "mail-before": "pause",
    "mail-late": "pause",
    "now": "event drop-now",
    "new": "event drop-new",
} | {
    f"import-{n}": "cancellation" if n < CANCELLED_BELOW else _CLOSED
    for n in range(IMPORTS)
    if AFTER[f"import-{n}"] == _CANCELLED
}
"""The cause of each cancelled run, with the id of the event if it was one."""

PROGRESS: Final = {
    CANCELLATION: {
        "scanned": IMPORTS + 2,
        "matched": CANCELLED_BELOW + 1,
        "cancelled": CANCELLED_BELOW + 1,
        "failed": 0,
    },
    PAUSE: {"matched": 2, "cancelled": 2, "failed": 0},
}
"""What the requests have done in all partitions together."""
