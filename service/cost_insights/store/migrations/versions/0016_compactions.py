"""The compactions of the last minutes, by which the outcome of a lost commit is known."""

import sqlalchemy as sa
from alembic import op

from cost_insights.store.schema import BinaryUuid

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "compaction",
        sa.Column("id", BinaryUuid, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("commits", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("id", name="compaction_pkey"),
    )
