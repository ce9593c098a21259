"""Every limit of Countermand; the relations between them are asserted at import.

A name's end gives the unit: `_BYTES`, `_CHARS`, `_MS`. A name without a unit is a count.
"""

from typing import Final, NamedTuple

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60 * SECOND_MS
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS

# Events.
EVENT_BYTES: Final = 512 * 1024
EVENT_NAME_CHARS: Final = 256
EVENT_ID_CHARS: Final = 256
EVENTS_PER_CALL: Final = 1_000
# A `function.cancelled` event holds the trigger event twice, and this much around it.
ENVELOPE_BYTES: Final = 16 * 1024
MESSAGE_BYTES: Final = 2 * 1024 * 1024

# Records of `runs` aren't compacted before: whoever reads them sooner sees every change.
UNCOMPACTED_MS: Final = 10 * MINUTE_MS

# Functions.
FUNCTION_BYTES: Final = 64 * 1024
CANCEL_RULES: Final = 5
TRIGGERS: Final = 10
SLUG_CHARS: Final = 200
PENDING_FOR_MS: Final = 30 * DAY_MS
RETENTION_MS: Final = 7 * DAY_MS
LONGEST_MS: Final = 366 * DAY_MS
# Within this time an event registers one run (S3), so ended runs are kept for at least as long.
DEDUPE_MS: Final = DAY_MS
# The longest `dedupe` of a cancel rule (S36).
DEDUPE_CANCELS_MS: Final = 7 * DAY_MS
# For longer than this no input keeps its records, unless its users make it so.
INPUT_KEPT_MS: Final = PENDING_FOR_MS
# A record whose producer gave it a time further ahead than this is refused: it would wait so long.
FUTURE_MS: Final = HOUR_MS
# Nothing waits for a time so far after the watermark, unless a wrong clock has made it.
MISDATED_MS: Final = 2 * LONGEST_MS
# A version of a function routes events received at least this long after it was written, so that
# every router has read it by then.
VALID_FROM_DELAY_MS: Final = 2 * SECOND_MS

# Run updates.
WORKER_CHARS: Final = 128
STEP_CHARS: Final = 256
ERROR_NAME_CHARS: Final = 256
ERROR_MESSAGE_BYTES: Final = 4 * 1024
HEARTBEAT_RUNS: Final = 10_000

# Steps of runs (SDK).
STEP_RESULT_BYTES: Final = 512 * 1024
STEPS_PER_RUN: Final = 10_000
# Records of cancelled runs in a worker's memory whose cleanups wait for the runs' stops.
WAITING_CLEANUPS_BYTES: Final = 64 * 1024 * 1024

# Command batches (router to joiner).
BATCH_COMMANDS: Final = 500
BATCH_BYTES: Final = 256 * 1024
MARKER_INTERVAL_MS: Final = 500
# A source without new records is complete up to this long before its leader was asked for the end.
IDLE_SLACK_MS: Final = 2 * SECOND_MS

# Evaluation of expressions, in units of about a nanosecond (`streams/matching/budget.py`): of one
# event in the router, over all its triggers, and of one call that searches runs.
EVENT_COST: Final = 100_000_000
SEARCH_COST: Final = 250_000_000
# Characters of events that such a call reads at once, and that its page has; a last event may go
# beyond.
SEARCH_CHARS: Final = 2 * 1024 * 1024
# What making a key of match values weighs, for each byte of the key's text.
KEY_BYTE_COST: Final = 60
# What finding out weighs that a match value is nested too deeply to have a key.
NO_KEY_COST: Final = 40_000_000
# What looking at a run weighs, where one command may look at many.
RUN_COST: Final = 10_000
# What parsing an event weighs, for each byte of its JSON.
PARSED_BYTE_COST: Final = 10

# One transaction of the joiner.
TRANSACTION_RECORDS: Final = 10_000
TRANSACTION_BYTES: Final = 32 * 1024 * 1024
TRANSACTION_TIMEOUT_MS: Final = 15 * SECOND_MS
# The input of one transaction: so little that the outputs stay below the limits above.
INTAKE_COMMANDS: Final = 2_000
INTAKE_BYTES: Final = 2 * 1024 * 1024
# What a registration writes and sends besides its event, at most: ids, listeners, headers.
REGISTRATION_BYTES: Final = 8 * 1024
# What all commands of one input record make one partition write and send: a router refuses more.
ENTRY_BYTES: Final = 12 * 1024 * 1024
# Timers that fire in one transaction.
TIMERS_PER_TRANSACTION: Final = 500

# Slices of long work. Larger slices are hardly faster, and other commands wait longer for each.
SLICE_DECISIONS: Final = 200
# Runs that a slice may look at, decided on or not.
SLICE_SCANNED: Final = 2_000


class Allowance(NamedTuple):
    """A share of a transaction: after so many `bytes` of output, or so much `cost`, it is used up.

    The decision that uses it up is still made: it may go beyond by `DECISION_BYTES`, and by one
    evaluation.
    """

    bytes: int
    cost: int


TIMERS_ALLOWANCE: Final = Allowance(bytes=1024 * 1024, cost=10_000_000)
SLICE_ALLOWANCE: Final = Allowance(bytes=4 * 1024 * 1024, cost=50_000_000)
INPUT_ALLOWANCE: Final = Allowance(bytes=4 * 1024 * 1024, cost=50_000_000)
# So much that was held for a new run, and so many requests, it meets with its registration.
MET_AT_ONCE: Final = 5
MET_AT_ONCE_BYTES: Final = 1024 * 1024
# What one decision on a run writes and sends at most: `function.cancelled` has its event twice.
DECISION_BYTES: Final = 4 * EVENT_BYTES + 4 * ENVELOPE_BYTES

# Requests.
REASON_BYTES: Final = 1024
ACTOR_CHARS: Final = 256
REQUEST_NAME_CHARS: Final = 256
# How far a request's last time may lie beyond its receipt, since clients' clocks differ.
REQUEST_SLACK_MS: Final = 5 * SECOND_MS
PAUSE_AFTER_MS: Final = 7 * DAY_MS
SAMPLE: Final = 10
# The largest integer that every reader of JSON keeps exact: no count is larger.
COUNT: Final = (1 << 53) - 1

# Input in memory that waits for one partition's processor: so much of `commands`, beside it so much
# of `forwards`, and as much again that the client of `forwards` has fetched ahead.
QUEUE_BYTES: Final = 8 * 1024 * 1024
QUEUE_FORWARD_BYTES: Final = 4 * 1024 * 1024
# Records of each.
QUEUE_BATCHES: Final = 256

# JSON of events that one transaction keeps parsed, the most recently used: it takes up to 25 MiB of
# memory. A run's event and a cancel event fit together.
PARSED_BYTES: Final = 1024 * 1024
# JSON of function versions that a process keeps compiled, the most recently used: some 2,000 usual
# versions of 50 KiB each. Compiled, one byte takes 1.1 KiB at the very most.
COMPILED_BYTES: Final = 1024 * 1024

# Counters, of one byte each, of the held rows of one partition: 2 MiB, whatever is held. While
# 100,000 are held, one look-up in twenty finds a counter of others, and scans for nothing.
HELD_COUNTERS: Final = 1 << 21

PARTITIONS: Final = 65_536

assert 2 * EVENT_BYTES + ENVELOPE_BYTES <= MESSAGE_BYTES
assert EVENT_BYTES + FUNCTION_BYTES + BATCH_BYTES <= MESSAGE_BYTES
assert 2 * EVENT_BYTES <= PARSED_BYTES
assert RETENTION_MS >= DEDUPE_MS
assert PENDING_FOR_MS <= LONGEST_MS
assert 4 * INTAKE_COMMANDS + 4 * TIMERS_PER_TRANSACTION <= TRANSACTION_RECORDS
assert (
    sum(share.bytes + DECISION_BYTES for share in (TIMERS_ALLOWANCE, SLICE_ALLOWANCE))
    + INPUT_ALLOWANCE.bytes
    + ENTRY_BYTES
    <= TRANSACTION_BYTES
)
assert ENTRY_BYTES >= 2 * DECISION_BYTES
assert SLICE_DECISIONS <= BATCH_COMMANDS
# When half is free, the record that there was no room for fits.
assert MESSAGE_BYTES <= QUEUE_FORWARD_BYTES // 2 <= QUEUE_BYTES // 2
assert MARKER_INTERVAL_MS < IDLE_SLACK_MS
