"""Cells of the tokens of LLM calls."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("batch", sa.Column("tokens", sa.LargeBinary))
    # Organizations that are there have events whose tokens are not in cells yet.
    op.add_column(
        "organization",
        sa.Column("tokens_counted", sa.Boolean, nullable=False, server_default=sa.false()),
    )
