"""Called by Alembic; runs in the connection and transaction of the caller."""

from alembic import context

from fairlead.feedback.store.tables import Table

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    render_as_batch=True,
)
context.run_migrations()
