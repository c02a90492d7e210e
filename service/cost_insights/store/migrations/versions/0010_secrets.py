"""Secrets that the processes on a database share; the first authenticates page tokens."""

import secrets

import sqlalchemy as sa
from alembic import op

from cost_insights.store.schema import Key

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    table = op.create_table(
        "secret",
        sa.Column("name", Key, nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("name", name="secret_pkey"),
    )
    op.bulk_insert(table, [{"name": "page_tokens", "value": secrets.token_bytes(32)}])
