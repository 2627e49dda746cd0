"""Alembic's entry: runs on the connection, and in the transaction, that `service.tenants.database` hands over."""

from alembic import context

from service.tenants.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite's DDL is transactional once BEGIN is ours: a migration happens as a whole or not at all.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
