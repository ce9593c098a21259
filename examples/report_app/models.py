"""The tables; `migrations/` has the steps that lead here."""

import enum
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Dialect,
    Index,
    Integer,
    String,
    Text,
    TypeDecorator,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Status(enum.StrEnum):
    """Where a report is. `CANCELLING` was asked for; `CANCELLED` means that its run has stopped."""

    IDLE = "idle"
    GENERATING = "generating"
    CANCELLING = "cancelling"
    GENERATED = "generated"
    CANCELLED = "cancelled"
    FAILED = "failed"


STATUS_CHECK: Final = f"status IN ({', '.join(repr(status.value) for status in Status)})"


class Instant(TypeDecorator[datetime]):
    """A time with its zone, also where the database keeps none: always UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """What the database gets."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """What it gave."""
        if value is None or value.tzinfo is not None:
            return value
        return value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    """What all tables have in common."""

    type_annotation_map: Any = {datetime: Instant}  # noqa: RUF012  # SQLAlchemy's own way to say it


class Report(Base):
    """One report of one user.

    `request_id` is the id of the event that asked for the newest generation, `run_id` its run's.
    """

    __tablename__ = "reports"
    __table_args__ = (
        CheckConstraint(STATUS_CHECK, name="reports_status"),
        Index("reports_by_user", "user_id", "created_at"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    user_id: Mapped[str] = mapped_column(String(64))
    title: Mapped[str] = mapped_column(String(200))
    year: Mapped[int]
    status: Mapped[str] = mapped_column(String(16))
    stage: Mapped[str | None] = mapped_column(String(32))
    progress: Mapped[int]
    request_id: Mapped[str | None] = mapped_column(String(64))
    run_id: Mapped[str | None] = mapped_column(String(26))
    created_at: Mapped[datetime]
    requested_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    cancel_requested_at: Mapped[datetime | None]
    cancelled_at: Mapped[datetime | None]
    cancelled_by: Mapped[str | None] = mapped_column(String(64))
    failed_at: Mapped[datetime | None]
    error: Mapped[str | None] = mapped_column(Text)


class OutboxEvent(Base):
    """An event that is to be sent to Kafka; written in the transaction that it tells of."""

    __tablename__ = "outbox"
    __table_args__ = (
        Index(
            "outbox_unsent",
            "id",
            sqlite_where=text("sent_at IS NULL"),
            postgresql_where=text("sent_at IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    )
    report_id: Mapped[str] = mapped_column(String(32))
    topic: Mapped[str] = mapped_column(String(16))
    event_id: Mapped[str] = mapped_column(String(64), unique=True)
    event: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]


class SignIn(Base):
    """Somebody's session: only a digest of its cookie is kept."""

    __tablename__ = "sign_ins"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]


class Sale(Base):
    """What the reports are about: what a region sold in a month."""

    __tablename__ = "sales"

    year: Mapped[int] = mapped_column(primary_key=True)
    month: Mapped[int] = mapped_column(primary_key=True)
    region: Mapped[str] = mapped_column(String(32), primary_key=True)
    amount: Mapped[int]
