"""The index of the times of events holds signatures of their metadata too."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Rows that are there stay as they are, without a signature: they are read to be looked at.
    op.add_column("event", sa.Column("metadata_signature", sa.BigInteger))
    op.create_index(
        "event_organization_number_timestamp_us_signature_idx",
        "event",
        [
            "organization_number",
            "timestamp_us",
            "customer_number",
            "series_number",
            "metadata_signature",
        ],
    )
    op.drop_index("event_organization_number_timestamp_us_numbers_idx", "event")
