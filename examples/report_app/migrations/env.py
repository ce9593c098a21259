"""Run by Alembic, on the connection of `database.migrate` or on one of its own."""

from alembic import context

from examples.report_app.database import open_engine
from examples.report_app.models import Base
from examples.report_app.settings import Settings

connection = context.config.attributes.get("connection")
if connection is not None:
    context.configure(connection=connection, target_metadata=Base.metadata)
    context.run_migrations()
else:
    with open_engine(Settings.load()).begin() as own:
        context.configure(connection=own, target_metadata=Base.metadata)
        context.run_migrations()
