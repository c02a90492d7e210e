"""Checkouts and seats: the latest state of each."""

import sqlalchemy as sa
from alembic import op

from cost_insights.store.schema import Key

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_states(
        "checkout",
        sa.Column("product_id", Key, nullable=False),
        sa.Column("billing_type", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("opened_us", sa.BigInteger),
        sa.Column("counted_us", sa.BigInteger),
    )
    _create_states(
        "seat",
        sa.Column("subscription_id", Key, nullable=False),
        sa.Column("order_id", Key, nullable=False),
        sa.Column("product_id", Key, nullable=False),
        sa.Column("billing_type", sa.Text, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("claimed_us", sa.BigInteger),
        sa.Column("revoked_us", sa.BigInteger),
    )


def _create_states(table: str, *columns: sa.Column[object]) -> None:
    """Creates a table of the latest states of something."""
    op.create_table(
        table,
        sa.Column("organization_number", sa.Integer, nullable=False),
        sa.Column(f"{table}_id", Key, nullable=False),
        sa.Column("customer_number", sa.Integer, nullable=False),
        *columns,
        sa.Column("update_us", sa.BigInteger, nullable=False),
        sa.Column("state_id", sa.Text, nullable=False),
        sa.Column("record_number", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("organization_number", f"{table}_id", name=f"{table}_pkey"),
        sa.ForeignKeyConstraint(
            ["organization_number"],
            ["organization.number"],
            name=f"{table}_organization_number_fkey",
        ),
    )
    op.create_index(
        f"{table}_organization_number_created_us_{table}_id_idx",
        table,
        ["organization_number", "created_us", f"{table}_id"],
    )
    op.create_index(
        f"{table}_organization_number_record_number_idx",
        table,
        ["organization_number", "record_number"],
    )
