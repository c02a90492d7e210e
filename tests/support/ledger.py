"""The ledger as it is stored, and what it must add up to."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from cost_insights.identity import Organization
from cost_insights.store import Store


def rows(store: Store, table: sa.Table, owner: Organization) -> list[dict[str, Any]]:
    """The rows of an organization, in the order of their key."""
    with store.read() as connection:
        found = connection.execute(
            sa.select(table)
            .where(table.c.organization_number == owner.number)
            .order_by(*table.primary_key)
        )
        return [
            {name: value for name, value in row.items() if name != "organization_number"}
            for row in found.mappings()
        ]


SUMMED = (
    "records",
    "revenue_picocents",
    "net_revenue_picocents",
    "orders",
    "order_revenue_picocents",
    "order_net_revenue_picocents",
)


def summed(entries: Sequence[dict[str, Any]]) -> dict[tuple[Any, ...], int]:
    """The sums of entries by all else that they say, a key each; no sum is 0."""
    sums: Counter[tuple[Any, ...]] = Counter()
    for entry in entries:
        place = [entry[name] for name in entry if name not in {*SUMMED, "number"}]
        for name in SUMMED:
            sums[(name, *place)] += entry[name]
    return {place: value for place, value in sums.items() if value}


def expected(
    orders: Sequence[dict[str, Any]], refunds: Sequence[dict[str, Any]]
) -> dict[tuple[Any, ...], int]:
    """The sums of entries, computed from the final rows alone."""
    by_id = {one["order_id"]: one for one in orders}
    sums: Counter[tuple[Any, ...]] = Counter()

    def add(name: str, record: dict[str, Any], owner: dict[str, Any] | None, value: int) -> None:
        if owner is None:
            place: tuple[Any, ...] = (record["created_us"],) * 2 + (-1, "", "", "", "", 0)
        else:
            place = (
                owner["created_us"],
                min(owner["created_us"], owner["paid_us"]),
                owner["customer_number"],
                owner["product_id"],
                owner["billing_type"],
                owner["subscription_id"],
                owner["currency"],
                owner["exchange_rate_e12"],
            )
        sums[(name, *place)] += value

    for one in orders:
        net = one["net_usd_picocents"]
        worth = net - max(one["applied_balance_usd_picocents"], 0)
        add("revenue_picocents", one, one, net)
        add("net_revenue_picocents", one, one, net - one["fee_picocents"])
        add("records", one, one, 1)
        add("orders", one, one, 1)
        add("order_revenue_picocents", one, one, worth)
        add("order_net_revenue_picocents", one, one, worth - one["fee_picocents"])
    for one in refunds:
        owner = by_id.get(one["order_id"])
        value = one["adjustment_usd_picocents"] - one["fee_picocents"]
        add("records", one, owner, 1)
        add("net_revenue_picocents", one, owner, value)
        if owner is not None and one["kind"].startswith("refund"):
            add("order_net_revenue_picocents", one, owner, value)
    return {place: value for place, value in sums.items() if value}
