"""Reports, the outbox, sign-ins, and some years of sales to report on."""

from alembic import op
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    String,
    Table,
    Text,
    text,
)

revision = "0001"
down_revision = None

_REGIONS = {"north": 410, "south": 350, "east": 290, "west": 520}
_YEARS = range(2023, 2026)
_STATUSES = "'idle', 'generating', 'cancelling', 'generated', 'cancelled', 'failed'"


def upgrade() -> None:
    """Make and fill the tables."""
    _reports()
    op.create_table(
        "outbox",
        Column(
            "id",
            BigInteger().with_variant(Integer, "sqlite"),
            primary_key=True,
            autoincrement=True,
        ),
        Column("report_id", String(32), nullable=False),
        Column("topic", String(16), nullable=False),
        Column("event_id", String(64), nullable=False, unique=True),
        Column("event", Text, nullable=False),
        Column("created_at", DateTime(timezone=True), nullable=False),
        Column("sent_at", DateTime(timezone=True)),
        Index(
            "outbox_unsent",
            "id",
            sqlite_where=text("sent_at IS NULL"),
            postgresql_where=text("sent_at IS NULL"),
        ),
    )
    op.create_table(
        "sign_ins",
        Column("digest", String(64), primary_key=True),
        Column("user_id", String(64), nullable=False),
        Column("created_at", DateTime(timezone=True), nullable=False),
    )
    _sales()


def downgrade() -> None:
    """Drop them."""
    for table in ("sales", "sign_ins", "outbox", "reports"):
        op.drop_table(table)


def _reports() -> None:
    op.create_table(
        "reports",
        Column("id", String(32), primary_key=True),
        Column("user_id", String(64), nullable=False),
        Column("title", String(200), nullable=False),
        Column("year", Integer, nullable=False),
        Column("status", String(16), nullable=False),
        Column("stage", String(32)),
        Column("progress", Integer, nullable=False),
        Column("request_id", String(64)),
        Column("run_id", String(26)),
        Column("created_at", DateTime(timezone=True), nullable=False),
        Column("requested_at", DateTime(timezone=True)),
        Column("started_at", DateTime(timezone=True)),
        Column("completed_at", DateTime(timezone=True)),
        Column("cancel_requested_at", DateTime(timezone=True)),
        Column("cancelled_at", DateTime(timezone=True)),
        Column("cancelled_by", String(64)),
        Column("failed_at", DateTime(timezone=True)),
        Column("error", Text),
        CheckConstraint(f"status IN ({_STATUSES})", name="reports_status"),
        Index("reports_by_user", "user_id", "created_at"),
    )


def _sales() -> None:
    sales: Table = op.create_table(
        "sales",
        Column("year", Integer, primary_key=True),
        Column("month", Integer, primary_key=True),
        Column("region", String(32), primary_key=True),
        Column("amount", Integer, nullable=False),
    )
    op.bulk_insert(
        sales,
        [
            {"year": year, "month": month, "region": region, "amount": base + 7 * month + year % 10}
            for year in _YEARS
            for month in range(1, 13)
            for region, base in _REGIONS.items()
        ],
    )
