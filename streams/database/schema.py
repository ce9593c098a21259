"""The tables in SQLAlchemy Core, as the migrations in `migrations/` leave them.

There are two kinds of tables:

- `READ_MODEL`: a copy of the topics `runs`, `requests` and `request-progress`, with the offsets up
  to which they are copied. A rebuild drops these tables and reads Kafka again.
- `KEPT`: API keys, idempotency keys, undos, the audit trail, who is signed in and what was counted,
  which are stored nowhere else.

Times are ms since 1970, ids of runs and requests are ULIDs as text, JSON is text as received.
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
    """An index of the rows whose first column isn't null."""
    given = text(f"{columns[0]} IS NOT NULL")
    return Index(name, *columns, sqlite_where=given, postgresql_where=given)


# Each run's newest record in `runs`. Run ids sort by received time, so a list by id is one by time.
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
    # In most runs these columns are null, so the indexes stay small.
    _index_of_some("runs_by_cancellation", "cancellation_id", "run_id"),
    _index_of_some("runs_begun", "cancellation_id", "started_at"),
    _index_of_some("runs_by_replay", "replay_id", "run_id"),
    _index_of_some("runs_by_end", "ended_at"),
)

# The records of `requests`. `target` is the record's key: the id of a run, a cancellation or a
# replay, or the slug of a function.
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

# Each partition's progress with a request; the request's totals are sums over the partitions.
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

# Runs for which a request's condition could not be evaluated.
FAILURES: Final = Table(
    "request_failures",
    METADATA,
    Column("request_id", String(26), primary_key=True),
    Column("run_id", String(26), primary_key=True),
    Column("error", Text, nullable=False),
)

# The next offset to read, written in the same transaction as the rows. `as_of`: when the rows last
# agreed with the partition, or when reading it from its beginning began.
POSITIONS: Final = Table(
    "positions",
    METADATA,
    Column("topic", String(249), primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("topic_id", String(32), nullable=False),
    Column("next_offset", BigInteger, nullable=False),
    Column("as_of", BigInteger, nullable=False),
)

# API keys. Only the digest of a key is stored; `id` is the key's public part.
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

# The answers to calls with an Idempotency-Key; `status` is null while the call goes on.
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

# Replays that undo a cancellation: `owner` is the id of the call that writes the request, `since`
# when it began to, and `done` says that Kafka has it.
UNDOS: Final = Table(
    "undos",
    METADATA,
    Column("replay_id", String(26), primary_key=True),
    Column("owner", String(26), nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("done", Boolean, nullable=False),
)

# Every write through the API: who asked for what, why, and with which outcome.
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

# Who is signed in to the pages: the holder of a key, or a user whom a trusted proxy names. Only the
# digest of what a browser keeps is stored.
SESSIONS: Final = Table(
    "sessions",
    METADATA,
    Column("digest", LargeBinary, primary_key=True),
    Column("key_id", String(32)),
    Column("proxy_user", String(128)),
    Column("role", String(16), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    Index("sessions_by_age", "created_at"),
)

# Links that sign in once, for the holder of a key.
SIGN_IN_LINKS: Final = Table(
    "sign_in_links",
    METADATA,
    Column("digest", LargeBinary, primary_key=True),
    Column("key_id", String(32), nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

# How many changes of runs each minute had, by function and kind (`database.activity`); rows without
# a function are of all functions together. `minute` is the time at which it begins; it leads the
# key, so that what changes now lies close together.
ACTIVITY: Final = Table(
    "activity",
    METADATA,
    Column("minute", BigInteger, primary_key=True),
    Column("function_id", String(200), primary_key=True),
    Column("kind", String(32), primary_key=True),
    Column("count", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# Up to which offset each partition of `runs` is counted in `activity` where `positions` are behind
# that, since the topic is read once more.
COUNTED: Final = Table(
    "counted",
    METADATA,
    Column("topic", String(249), primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("topic_id", String(32), nullable=False),
    Column("next_offset", BigInteger, nullable=False),
    Column("as_of", BigInteger, nullable=False),
)

READ_MODEL: Final = (RUNS, REQUESTS, PROGRESS, FAILURES, POSITIONS)
KEPT: Final = (
    API_KEYS,
    IDEMPOTENCY_KEYS,
    UNDOS,
    AUDIT,
    SESSIONS,
    SIGN_IN_LINKS,
    ACTIVITY,
    COUNTED,
)
