"""Alembic runs this file: the connection comes from `core.services.store`, which holds the transaction and the lock."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
