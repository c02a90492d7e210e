"""Statements about subscriptions. The stored state of each becomes a statement."""

import hashlib
import json
from typing import Any

import sqlalchemy as sa
from alembic import op

from cost_insights.store.schema import Key, WideInteger

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_STATED: dict[str, Any] = {
    "product_id": Key,
    "currency": sa.Text,
    "amount_picocents": WideInteger,
    "recurring_interval": sa.Text,
    "recurring_interval_count": sa.Integer,
    "started_us": sa.BigInteger,
    "trial_end_us": sa.BigInteger,
    "canceled_us": sa.BigInteger,
    "cancel_reason": sa.Text,
    "uncanceled_us": sa.BigInteger,
    "ends_us": sa.BigInteger,
    "ended_us": sa.BigInteger,
}

_ROWS_AT_ONCE = 10_000


def upgrade() -> None:
    statement = op.create_table(
        "subscription_statement",
        sa.Column("organization_number", sa.Integer, nullable=False),
        sa.Column("statement_id", Key, nullable=False),
        sa.Column("subscription_id", Key, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("time_us", sa.BigInteger, nullable=False),
        sa.Column("customer_number", sa.Integer),
        *(sa.Column(name, type_) for name, type_ in _STATED.items()),
        sa.PrimaryKeyConstraint(
            "organization_number", "statement_id", name="subscription_statement_pkey"
        ),
        sa.ForeignKeyConstraint(
            ["organization_number"],
            ["organization.number"],
            name="subscription_statement_organization_number_fkey",
        ),
    )
    op.create_index(
        "subscription_statement_kind_time_us_statement_id_idx",
        "subscription_statement",
        ["organization_number", "subscription_id", "kind", "time_us", "statement_id"],
    )
    subscription = sa.table(
        "subscription",
        sa.column("organization_number", sa.Integer),
        sa.column("subscription_id", Key),
        sa.column("customer_number", sa.Integer),
        sa.column("update_us", sa.BigInteger),
        *(sa.column(name, type_) for name, type_ in _STATED.items()),
    )
    customer = sa.table(
        "customer",
        sa.column("organization_number", sa.Integer),
        sa.column("number", sa.Integer),
        sa.column("external_id", Key),
    )
    connection = op.get_bind()
    key = sa.tuple_(subscription.c.organization_number, subscription.c.subscription_id)
    following = (
        sa.select(subscription, customer.c.external_id)
        .join_from(
            subscription,
            customer,
            (customer.c.organization_number == subscription.c.organization_number)
            & (customer.c.number == subscription.c.customer_number),
        )
        .order_by(subscription.c.organization_number, subscription.c.subscription_id)
        .limit(_ROWS_AT_ONCE)
    )
    after: tuple[int, str] = (0, "")
    while states := connection.execute(following.where(key > after)).mappings().all():
        connection.execute(sa.insert(statement), [_statement(dict(state)) for state in states])
        after = (states[-1]["organization_number"], states[-1]["subscription_id"])


def _statement(state: dict[str, Any]) -> dict[str, Any]:
    """The statement that says a state, as the service would have written it."""
    time_us, external_id = state.pop("update_us"), state.pop("external_id")
    stated = [state[name] for name in _STATED]
    content = json.dumps([state["subscription_id"], "state", time_us, external_id, *stated])
    digest = hashlib.sha256(content.encode()).hexdigest()[:32]
    return {**state, "statement_id": digest, "kind": "state", "time_us": time_us}
