"""An index of the children of events; events without a parent are not in it and cost nothing."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    has_parent = sa.text("parent_id IS NOT NULL")
    op.create_index(
        "event_parent_id_idx",
        "event",
        ["parent_id"],
        sqlite_where=has_parent,
        postgresql_where=has_parent,
    )
