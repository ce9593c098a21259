"""Runs, requests with their progress, positions in Kafka, API keys and the audit trail."""

from alembic import op
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    text,
)

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make every table."""
    _runs()
    _requests()
    _positions()
    _kept()


def _runs() -> None:
    op.create_table(
        "runs",
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
        _index_of_some("runs_by_cancellation", "cancellation_id", "run_id"),
        _index_of_some("runs_by_end", "ended_at"),
        Index("runs_by_event", "event_id", "run_id"),
        Index("runs_by_function", "function_id", "run_id"),
        Index("runs_by_function_status", "function_id", "status", "run_id"),
        _index_of_some("runs_by_replay", "replay_id", "run_id"),
        Index("runs_by_status", "status", "run_id"),
    )


def _requests() -> None:
    op.create_table(
        "requests",
        Column("request_id", String(26), primary_key=True),
        Column("type", String(32), nullable=False),
        Column("target", String(256), nullable=False),
        Column("function_id", String(200)),
        Column("requested_by", String(256), nullable=False),
        Column("reason", Text),
        Column("at", BigInteger, nullable=False),
        Column("received_at", BigInteger, nullable=False),
        Column("body", Text, nullable=False),
        Index("requests_by_age", "received_at"),
        Index("requests_by_function", "function_id", "type", "request_id"),
        Index("requests_by_target", "target", "request_id"),
        Index("requests_by_type", "type", "request_id"),
    )
    op.create_table(
        "request_progress",
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
    op.create_table(
        "request_failures",
        Column("request_id", String(26), primary_key=True),
        Column("run_id", String(26), primary_key=True),
        Column("error", Text, nullable=False),
    )


def _positions() -> None:
    op.create_table(
        "positions",
        Column("topic", String(249), primary_key=True),
        Column("partition", Integer, primary_key=True),
        Column("topic_id", String(32), nullable=False),
        Column("next_offset", BigInteger, nullable=False),
        Column("as_of", BigInteger, nullable=False),
    )


def _kept() -> None:
    op.create_table(
        "api_keys",
        Column("id", String(32), primary_key=True),
        Column("name", String(128), nullable=False),
        Column("role", String(16), nullable=False),
        Column("digest", LargeBinary, nullable=False),
        Column("created_at", BigInteger, nullable=False),
        Column("revoked_at", BigInteger),
    )
    op.create_table(
        "idempotency_keys",
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
    op.create_table(
        "audit",
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
        Index("audit_by_actor", "actor", "id"),
        Index("audit_by_target", "target", "id"),
    )


def _index_of_some(name: str, *columns: str) -> Index:
    given = text(f"{columns[0]} IS NOT NULL")
    return Index(name, *columns, sqlite_where=given, postgresql_where=given)
