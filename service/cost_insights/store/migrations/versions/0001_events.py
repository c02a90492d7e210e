"""Organizations, access tokens, customers, series and events."""

import sqlalchemy as sa
from alembic import op

from cost_insights.store.schema import BinaryUuid, Key

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "organization",
        sa.Column("number", sa.Integer, sa.Identity(), nullable=False),
        sa.Column("id", BinaryUuid, nullable=False),
        sa.Column("name", Key, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("customers_count", sa.Integer, nullable=False, server_default="0"),
        sa.Column("series_count", sa.Integer, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("number", name="organization_pkey"),
        sa.UniqueConstraint("id", name="organization_id_key"),
        sa.UniqueConstraint("name", name="organization_name_key"),
    )
    op.create_table(
        "access_token",
        sa.Column("id", BinaryUuid, nullable=False),
        sa.Column("organization_number", sa.Integer, nullable=False),
        sa.Column("token_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("hint", sa.Text, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("expires_us", sa.BigInteger),
        sa.Column("revoked_us", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="access_token_pkey"),
        sa.UniqueConstraint("token_sha256", name="access_token_token_sha256_key"),
        sa.ForeignKeyConstraint(
            ["organization_number"],
            ["organization.number"],
            name="access_token_organization_number_fkey",
        ),
    )
    op.create_table(
        "customer",
        sa.Column("organization_number", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("id", BinaryUuid, nullable=False),
        sa.Column("external_id", Key, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("organization_number", "number", name="customer_pkey"),
        sa.UniqueConstraint("id", name="customer_id_key"),
        sa.UniqueConstraint(
            "organization_number",
            "external_id",
            name="customer_organization_number_external_id_key",
        ),
        sa.ForeignKeyConstraint(
            ["organization_number"],
            ["organization.number"],
            name="customer_organization_number_fkey",
        ),
    )
    op.create_table(
        "series",
        sa.Column("organization_number", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("event_name", Key, nullable=False),
        sa.Column("llm_vendor", Key, nullable=False),
        sa.Column("llm_model", Key, nullable=False),
        sa.Column("product_id", Key, nullable=False),
        sa.PrimaryKeyConstraint("organization_number", "number", name="series_pkey"),
        sa.UniqueConstraint(
            "organization_number",
            "event_name",
            "llm_vendor",
            "llm_model",
            "product_id",
            name="series_parts_key",
        ),
        sa.ForeignKeyConstraint(
            ["organization_number"],
            ["organization.number"],
            name="series_organization_number_fkey",
        ),
    )
    op.create_table(
        "event",
        sa.Column("id", BinaryUuid, nullable=False),
        sa.Column("organization_number", sa.Integer, nullable=False),
        sa.Column("series_number", sa.Integer, nullable=False),
        sa.Column("customer_number", sa.Integer, nullable=False),
        sa.Column("timestamp_us", sa.BigInteger, nullable=False),
        sa.Column("cost_picocents", sa.BigInteger),
        sa.Column("content_digest", sa.BigInteger, nullable=False),
        sa.Column("parent_id", BinaryUuid),
        sa.Column("external_id", Key),
        sa.Column("external_member_id", sa.Text),
        sa.Column("llm", sa.JSON),
        sa.Column("metadata", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="event_pkey"),
    )
    op.create_index(
        "event_organization_number_timestamp_us_idx",
        "event",
        ["organization_number", "timestamp_us"],
    )
