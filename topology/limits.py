"""Every bound of the product in one place; the relations between them are asserted at import.

Units are in the names: `_BYTES`, `_MS`; a bare noun is a count.
"""

from typing import Final

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60 * SECOND_MS
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS

# Events.
EVENT_BYTES: Final = 512 * 1024
EVENT_NAME_CHARS: Final = 256
EVENT_ID_CHARS: Final = 256
EVENTS_PER_CALL: Final = 1_000
# `function.cancelled` holds the trigger event twice, plus an envelope.
ENVELOPE_BYTES: Final = 16 * 1024
MESSAGE_BYTES: Final = 2 * 1024 * 1024

# Functions.
FUNCTION_BYTES: Final = 64 * 1024
CANCEL_RULES: Final = 5
TRIGGERS: Final = 10
SLUG_CHARS: Final = 200
PENDING_FOR_MS: Final = 30 * DAY_MS
RETENTION_MS: Final = 7 * DAY_MS
LONGEST_MS: Final = 366 * DAY_MS
# One event id registers one run within this time, so ended runs stay at least so long.
DEDUPE_MS: Final = DAY_MS
# A version routes only events received this long after its append, so that every router knows it by
# then.
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

# Command batches (router to joiner).
BATCH_COMMANDS: Final = 500
BATCH_BYTES: Final = 256 * 1024
MARKER_INTERVAL_MS: Final = 500
# An idle source is complete up to this long before its leader was asked.
IDLE_SLACK_MS: Final = 2 * SECOND_MS

# One transaction of the joiner.
TRANSACTION_RECORDS: Final = 10_000
TRANSACTION_BYTES: Final = 16 * 1024 * 1024
TRANSACTION_TIMEOUT_MS: Final = 15 * SECOND_MS
# Input taken into one transaction: its outputs stay below the bounds above.
INTAKE_COMMANDS: Final = 2_000
INTAKE_BYTES: Final = 2 * 1024 * 1024
# Runs whose timers fire in one transaction.
TIMERS_PER_TRANSACTION: Final = 500

# Slices of long work.
# 500 at most by the design; what others wait for one slice grows with it, its speed hardly does.
SLICE_DECISIONS: Final = 200
# Runs that one may pass by without deciding on them.
SLICE_SCANNED: Final = 2_000
SLICE_BYTES: Final = 4 * 1024 * 1024

# Requests.
REASON_BYTES: Final = 1024
ACTOR_CHARS: Final = 256
REQUEST_NAME_CHARS: Final = 256
# How far a request's bound may lie beyond its receipt: clocks of clients differ.
REQUEST_SLACK_MS: Final = 5 * SECOND_MS
PAUSE_AFTER_MS: Final = 7 * DAY_MS
SAMPLE: Final = 10

# What waits in memory between the stream and one partition's processor.
QUEUE_BYTES: Final = 8 * 1024 * 1024
QUEUE_BATCHES: Final = 256

PARTITIONS: Final = 65_536

assert 2 * EVENT_BYTES + ENVELOPE_BYTES <= MESSAGE_BYTES
assert EVENT_BYTES + FUNCTION_BYTES + BATCH_BYTES <= MESSAGE_BYTES
assert RETENTION_MS >= DEDUPE_MS
assert PENDING_FOR_MS <= LONGEST_MS
assert 4 * INTAKE_COMMANDS + 4 * TIMERS_PER_TRANSACTION <= TRANSACTION_RECORDS
assert SLICE_BYTES + 2 * INTAKE_BYTES <= TRANSACTION_BYTES
assert SLICE_DECISIONS <= BATCH_COMMANDS
assert MARKER_INTERVAL_MS < IDLE_SLACK_MS
