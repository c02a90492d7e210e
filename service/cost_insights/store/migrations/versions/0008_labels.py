"""Labels of names of events, and saved dashboards."""

import sqlalchemy as sa
from alembic import op

from cost_insights.store.schema import BinaryUuid, Key

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "event_type",
        sa.Column("organization_number", sa.Integer, nullable=False),
        sa.Column("event_name", Key, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("label_property", sa.Text, nullable=False),
        sa.Column("modified_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("organization_number", "event_name", name="event_type_pkey"),
        sa.ForeignKeyConstraint(
            ["organization_number"],
            ["organization.number"],
            name="event_type_organization_number_fkey",
        ),
    )
    op.create_table(
        "metric_dashboard",
        sa.Column("organization_number", sa.Integer, nullable=False),
        sa.Column("id", BinaryUuid, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("metrics", sa.JSON, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("modified_us", sa.BigInteger),
        sa.PrimaryKeyConstraint("organization_number", "id", name="metric_dashboard_pkey"),
        sa.ForeignKeyConstraint(
            ["organization_number"],
            ["organization.number"],
            name="metric_dashboard_organization_number_fkey",
        ),
    )
