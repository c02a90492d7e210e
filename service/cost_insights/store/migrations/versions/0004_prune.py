"""The boundary before which events were pruned, and what is kept of them."""

import sqlalchemy as sa
from alembic import op

from cost_insights.store.schema import BinaryUuid

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("organization", sa.Column("events_from_us", sa.BigInteger))
    op.create_table(
        "pruned_event",
        sa.Column("id", BinaryUuid, nullable=False),
        sa.Column("content_digest", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pruned_event_pkey"),
    )
