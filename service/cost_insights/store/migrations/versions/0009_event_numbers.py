"""The index of the times of events holds the numbers of their customers and series too."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "event_organization_number_timestamp_us_numbers_idx",
        "event",
        ["organization_number", "timestamp_us", "customer_number", "series_number"],
    )
    op.drop_index("event_organization_number_timestamp_us_idx", "event")
