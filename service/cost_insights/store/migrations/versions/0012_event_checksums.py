"""A checksum of each event, by which a damaged row is recognized."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Rows that are there stay as they are, so this takes no time however many there are.
    op.add_column("event", sa.Column("checksum", sa.Integer))
