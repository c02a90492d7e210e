"""Limits of organizations and access tokens: rates and quotas."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("organization", "access_token"):
        op.add_column(table, sa.Column("events_per_second", sa.Integer))
        op.add_column(table, sa.Column("requests_per_second", sa.Integer))
