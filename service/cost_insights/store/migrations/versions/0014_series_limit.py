"""A limit of series, with a series that counts all those beyond it."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("organization", sa.Column("series_max", sa.Integer))
    op.add_column("organization", sa.Column("other_series", sa.Integer))
    op.add_column(
        "organization",
        sa.Column("folded_count", sa.Integer, nullable=False, server_default="0"),
    )
