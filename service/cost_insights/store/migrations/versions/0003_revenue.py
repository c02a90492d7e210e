"""Orders, refunds, subscriptions, and the ledger of what they add to metrics."""

import sqlalchemy as sa
from alembic import op

from cost_insights.store.schema import Key, WideInteger

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "organization",
        sa.Column("records_count", sa.BigInteger, nullable=False, server_default="0"),
    )
    op.create_table(
        "paid_order",
        sa.Column("organization_number", sa.Integer, nullable=False),
        sa.Column("order_id", Key, nullable=False),
        sa.Column("customer_number", sa.Integer, nullable=False),
        sa.Column("product_id", Key, nullable=False),
        sa.Column("billing_type", sa.Text, nullable=False),
        sa.Column("subscription_id", Key, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("exchange_rate_e12", sa.BigInteger, nullable=False),
        sa.Column("net_picocents", WideInteger, nullable=False),
        sa.Column("net_usd_picocents", WideInteger, nullable=False),
        sa.Column("applied_balance_picocents", WideInteger, nullable=False),
        sa.Column("applied_balance_usd_picocents", WideInteger, nullable=False),
        sa.Column("fee_picocents", WideInteger, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("paid_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("organization_number", "order_id", name="paid_order_pkey"),
        sa.ForeignKeyConstraint(
            ["organization_number"],
            ["organization.number"],
            name="paid_order_organization_number_fkey",
        ),
    )
    op.create_index(
        "paid_order_organization_number_created_us_order_id_idx",
        "paid_order",
        ["organization_number", "created_us", "order_id"],
    )
    op.create_index(
        "paid_order_customer_number_created_us_order_id_idx",
        "paid_order",
        ["organization_number", "customer_number", "created_us", "order_id"],
    )
    op.create_table(
        "order_part",
        sa.Column("organization_number", sa.Integer, nullable=False),
        sa.Column("order_id", Key, nullable=False),
        sa.Column("part", sa.Text, nullable=False),
        sa.Column("customer_number", sa.Integer, nullable=False),
        sa.Column("product_id", Key, nullable=False),
        sa.Column("billing_type", sa.Text, nullable=False),
        sa.Column("subscription_id", Key, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("exchange_rate_e12", sa.BigInteger, nullable=False),
        sa.Column("amount_picocents", WideInteger, nullable=False),
        sa.Column("is_net", sa.Boolean, nullable=False),
        sa.Column("applied_balance_picocents", WideInteger, nullable=False),
        sa.Column("fee_picocents", WideInteger, nullable=False),
        sa.Column("time_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("organization_number", "order_id", "part", name="order_part_pkey"),
        sa.ForeignKeyConstraint(
            ["organization_number"],
            ["organization.number"],
            name="order_part_organization_number_fkey",
        ),
    )
    op.create_table(
        "refund",
        sa.Column("organization_number", sa.Integer, nullable=False),
        sa.Column("refund_id", Key, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("order_id", Key, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("exchange_rate_e12", sa.BigInteger, nullable=False),
        sa.Column("amount_picocents", WideInteger, nullable=False),
        sa.Column("adjustment_usd_picocents", WideInteger, nullable=False),
        sa.Column("fee_picocents", WideInteger, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("organization_number", "refund_id", name="refund_pkey"),
        sa.ForeignKeyConstraint(
            ["organization_number"],
            ["organization.number"],
            name="refund_organization_number_fkey",
        ),
    )
    op.create_index(
        "refund_organization_number_created_us_refund_id_idx",
        "refund",
        ["organization_number", "created_us", "refund_id"],
    )
    op.create_index(
        "refund_organization_number_order_id_idx", "refund", ["organization_number", "order_id"]
    )
    op.create_table(
        "subscription",
        sa.Column("organization_number", sa.Integer, nullable=False),
        sa.Column("subscription_id", Key, nullable=False),
        sa.Column("customer_number", sa.Integer, nullable=False),
        sa.Column("product_id", Key, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("amount_picocents", WideInteger, nullable=False),
        sa.Column("recurring_interval", sa.Text, nullable=False),
        sa.Column("recurring_interval_count", sa.Integer, nullable=False),
        sa.Column("started_us", sa.BigInteger, nullable=False),
        sa.Column("trial_end_us", sa.BigInteger),
        sa.Column("canceled_us", sa.BigInteger),
        sa.Column("cancel_reason", sa.Text, nullable=False),
        sa.Column("uncanceled_us", sa.BigInteger),
        sa.Column("ends_us", sa.BigInteger),
        sa.Column("ended_us", sa.BigInteger),
        sa.Column("update_us", sa.BigInteger, nullable=False),
        sa.Column("record_number", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("organization_number", "subscription_id", name="subscription_pkey"),
        sa.ForeignKeyConstraint(
            ["organization_number"],
            ["organization.number"],
            name="subscription_organization_number_fkey",
        ),
    )
    op.create_index(
        "subscription_organization_number_started_us_subscription_id_idx",
        "subscription",
        ["organization_number", "started_us", "subscription_id"],
    )
    op.create_index(
        "subscription_organization_number_record_number_idx",
        "subscription",
        ["organization_number", "record_number"],
    )
    op.create_table(
        "ledger_entry",
        sa.Column("organization_number", sa.Integer, nullable=False),
        sa.Column("number", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("revenue_us", sa.BigInteger, nullable=False),
        sa.Column("order_us", sa.BigInteger, nullable=False),
        sa.Column("customer_number", sa.Integer, nullable=False),
        sa.Column("product_id", Key, nullable=False),
        sa.Column("billing_type", sa.Text, nullable=False),
        sa.Column("subscription_id", Key, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("exchange_rate_e12", sa.BigInteger, nullable=False),
        sa.Column("revenue_picocents", WideInteger, nullable=False),
        sa.Column("net_revenue_picocents", WideInteger, nullable=False),
        sa.Column("records", sa.SmallInteger, nullable=False),
        sa.Column("orders", sa.SmallInteger, nullable=False),
        sa.Column("order_revenue_picocents", WideInteger, nullable=False),
        sa.Column("order_net_revenue_picocents", WideInteger, nullable=False),
        sa.PrimaryKeyConstraint("organization_number", "number", name="ledger_entry_pkey"),
        sa.ForeignKeyConstraint(
            ["organization_number"],
            ["organization.number"],
            name="ledger_entry_organization_number_fkey",
        ),
    )
