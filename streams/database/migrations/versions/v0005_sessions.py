"""Who is signed in to the pages, and links that sign in once."""

from alembic import op
from sqlalchemy import BigInteger, Column, Index, LargeBinary, String

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "sessions",
        Column("digest", LargeBinary, primary_key=True),
        Column("key_id", String(32)),
        Column("proxy_user", String(128)),
        Column("role", String(16), nullable=False),
        Column("created_at", BigInteger, nullable=False),
        Column("seen_at", BigInteger, nullable=False),
        Index("sessions_by_age", "created_at"),
    )
    op.create_table(
        "sign_in_links",
        Column("digest", LargeBinary, primary_key=True),
        Column("key_id", String(32), nullable=False),
        Column("created_at", BigInteger, nullable=False),
    )
