"""Replays that undo a cancellation, each of which is written once."""

from alembic import op
from sqlalchemy import BigInteger, Boolean, Column, String

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "undos",
        Column("replay_id", String(26), primary_key=True),
        Column("owner", String(26), nullable=False),
        Column("since", BigInteger, nullable=False),
        Column("done", Boolean, nullable=False),
    )
