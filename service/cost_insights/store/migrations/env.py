"""Runs the migrations on the connection that `Store.upgrade` hands over."""

from alembic import context

from cost_insights.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite cannot alter a table in place.
    render_as_batch=True,
)
context.run_migrations()
