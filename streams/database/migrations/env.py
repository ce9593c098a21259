"""Alembic runs this: migrations in the transaction that `streams.database.upgrade` has begun."""

from alembic import context

from streams.database.schema import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
