"""The tables, as SQLAlchemy Core sees them; `migrations/` has the steps that lead here.

Two kinds, which a rebuild of the read model tells apart:

- `READ_MODEL`: a copy of the topics `runs`, `requests` and `request-progress`, with the offsets of
  what is in it. It can be dropped and read again from Kafka.
- `KEPT`: API keys, idempotency keys and the audit trail, which are nowhere else.

Times are ms since 1970, ids of runs and requests are ULIDs as text, JSON is text as it came.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)

METADATA: Final = MetaData()


def _index_of_some(name: str, *columns: str) -> Index:
    """An index of those rows alone whose first column is not null."""
    given = text(f"{columns[0]} IS NOT NULL")
    return Index(name, *columns, sqlite_where=given, postgresql_where=given)


# A run's newest record of `runs`. Its id sorts by received time, so lists by time are lists by id.
RUNS: Final = Table(
    "runs",
    METADATA,
    Column("run_id", String(26), primary_key=True),
    Column("function_id", String(200), nullable=False),
    Column("app_id", String(200), nullable=False),
    Column("function_version", BigInteger, nullable=False),
    Column("status", String(16), nullable=False),
    Column("status_before", String(16)),
    Column("seq", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("scheduled_at", BigInteger, nullable=False),
    Column("started_at", BigInteger),
    Column("ended_at", BigInteger),
    Column("stopped_at", BigInteger),
    Column("sleep_until", BigInteger),
    Column("changed_at", BigInteger, nullable=False),
    Column("event_id", String(256), nullable=False),
    Column("event_name", String(256), nullable=False),
    Column("event", Text, nullable=False),
    Column("source_topic", String(249), nullable=False),
    Column("source_partition", Integer, nullable=False),
    Column("source_offset", BigInteger, nullable=False),
    Column("worker", String(128)),
    Column("last_step", String(256)),
    Column("error", Text),
    Column("cause", Text),
    Column("cancellation_id", String(26)),
    Column("replay_of", String(26)),
    Column("replay_id", String(26)),
    Index("runs_by_function", "function_id", "run_id"),
    Index("runs_by_function_status", "function_id", "status", "run_id"),
    Index("runs_by_status", "status", "run_id"),
    Index("runs_by_event", "event_id", "run_id"),
    # Most runs have none of these, so most runs are not in these indexes.
    _index_of_some("runs_by_cancellation", "cancellation_id", "run_id"),
    _index_of_some("runs_by_replay", "replay_id", "run_id"),
    _index_of_some("runs_by_end", "ended_at"),
)

# The records of `requests`, as they were asked. `target` is what they are keyed by: a run, a
# cancellation, a function's slug or a replay.
REQUESTS: Final = Table(
    "requests",
    METADATA,
    Column("request_id", String(26), primary_key=True),
    Column("type", String(32), nullable=False),
    Column("target", String(256), nullable=False),
    Column("function_id", String(200)),
    Column("requested_by", String(256), nullable=False),
    Column("reason", Text),
    Column("at", BigInteger, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Index("requests_by_type", "type", "request_id"),
    Index("requests_by_function", "function_id", "type", "request_id"),
    Index("requests_by_target", "target", "request_id"),
    Index("requests_by_age", "received_at"),
)

# How far each partition is with a request: totals are sums over its partitions.
PROGRESS: Final = Table(
    "request_progress",
    METADATA,
    Column("request_id", String(26), primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("state", String(16), nullable=False),
    Column("outcome", String(16)),
    Column("scanned", BigInteger, nullable=False),
    Column("matched", BigInteger, nullable=False),
    Column("cancelled", BigInteger, nullable=False),
    Column("replayed", BigInteger, nullable=False),
    Column("already_ended", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("sample", Text, nullable=False),
    Column("error", Text),
    Column("updated_at", BigInteger, nullable=False),
    Index("request_progress_by_age", "updated_at"),
)

# Runs on which a request's expression had no answer.
FAILURES: Final = Table(
    "request_failures",
    METADATA,
    Column("request_id", String(26), primary_key=True),
    Column("run_id", String(26), primary_key=True),
    Column("error", Text, nullable=False),
)

# Where to go on reading: written in the same transaction as the rows. `as_of`: the rows hold what
# the partition held at that time, or reading it from its beginning began then.
POSITIONS: Final = Table(
    "positions",
    METADATA,
    Column("topic", String(249), primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("topic_id", String(32), nullable=False),
    Column("next_offset", BigInteger, nullable=False),
    Column("as_of", BigInteger, nullable=False),
)

# `digest` is all that is kept of a key; `id` is its public part, by which it is found.
API_KEYS: Final = Table(
    "api_keys",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("name", String(128), nullable=False),
    Column("role", String(16), nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
)

# What a POST with an Idempotency-Key answered; `status` is null while it is under way.
IDEMPOTENCY_KEYS: Final = Table(
    "idempotency_keys",
    METADATA,
    Column("api_key", String(32), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("route", String(255), nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("request_id", String(26), nullable=False),
    Column("status", Integer),
    Column("answer", LargeBinary),
    Column("created_at", BigInteger, nullable=False),
    Index("idempotency_keys_by_age", "created_at"),
)

# Every write through the API: who, what, why, and whether it was done.
AUDIT: Final = Table(
    "audit",
    METADATA,
    Column("id", String(26), primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("api_key", String(32), nullable=False),
    Column("actor", String(128), nullable=False),
    Column("action", String(64), nullable=False),
    Column("target", String(256), nullable=False),
    Column("reason", Text),
    Column("request_id", String(26)),
    Column("dry_run", Boolean, nullable=False),
    Column("outcome", String(32), nullable=False),
    Index("audit_by_target", "target", "id"),
    Index("audit_by_actor", "actor", "id"),
)

READ_MODEL: Final = (RUNS, REQUESTS, PROGRESS, FAILURES, POSITIONS)
KEPT: Final = (API_KEYS, IDEMPOTENCY_KEYS, AUDIT)
