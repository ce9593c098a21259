"""An index that tells of a cancellation's runs which had begun, without looking at them."""

from alembic import op
from sqlalchemy import text

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the index."""
    given = text("cancellation_id IS NOT NULL")
    op.create_index(
        "runs_begun",
        "runs",
        ["cancellation_id", "started_at"],
        sqlite_where=given,
        postgresql_where=given,
    )
