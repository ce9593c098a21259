"""Changes of runs per minute, and how far they are counted."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, String

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "activity",
        Column("minute", BigInteger, primary_key=True),
        Column("function_id", String(200), primary_key=True),
        Column("kind", String(32), primary_key=True),
        Column("count", BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "counted",
        Column("topic", String(249), primary_key=True),
        Column("partition", Integer, primary_key=True),
        Column("topic_id", String(32), nullable=False),
        Column("next_offset", BigInteger, nullable=False),
        Column("as_of", BigInteger, nullable=False),
    )
