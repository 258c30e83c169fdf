"""Runs the migrations on the connection that `api.database.migrate.upgrade` hands over."""

from alembic import context

from api.database.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
