"""Batches and segments of cells."""

import sqlalchemy as sa
from alembic import op

from cost_insights.store.schema import BinaryUuid

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "batch",
        sa.Column("organization_number", sa.Integer, nullable=False),
        sa.Column("id", BinaryUuid, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("cells", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("organization_number", "id", name="batch_pkey"),
    )
    op.create_table(
        "segment",
        sa.Column("organization_number", sa.Integer, nullable=False),
        sa.Column("id", BinaryUuid, nullable=False),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("span", sa.Integer, nullable=False),
        sa.Column("customer_first", sa.Integer, nullable=False),
        sa.Column("customer_last", sa.Integer, nullable=False),
        sa.Column("packed", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("organization_number", "id", name="segment_pkey"),
    )
    op.create_index(
        "segment_organization_number_kind_span_customers_idx",
        "segment",
        ["organization_number", "kind", "span", "customer_first", "customer_last"],
    )
    if op.get_bind().dialect.name == "postgresql":
        # They are packed already: trying to compress them only costs time.
        op.execute("ALTER TABLE batch ALTER COLUMN cells SET STORAGE EXTERNAL")
        op.execute("ALTER TABLE segment ALTER COLUMN packed SET STORAGE EXTERNAL")
