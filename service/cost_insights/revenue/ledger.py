"""What orders and refunds add to metrics, as entries of a ledger.

Entries only ever add up: a change takes back what was added before and adds what
is right now, so that sums over entries are right whatever came first. Orders,
refunds and entries are rows here, by the names of their columns.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from cost_insights.store.numbers import number_records
from cost_insights.store.schema import ledger_entry

Row = Mapping[str, Any]

_NOBODY = {
    "customer_number": -1,
    "product_id": "",
    "billing_type": "",
    "subscription_id": "",
    "currency": "",
    "exchange_rate_e12": 0,
}
"""Whose an entry is whose order is not recorded."""

_SUMMED = (
    "revenue_picocents",
    "net_revenue_picocents",
    "orders",
    "order_revenue_picocents",
    "order_net_revenue_picocents",
)


def order_entries(before: Row | None, after: Row, refunds: Sequence[Row]) -> Iterator[Row]:
    """The entries that make an order count as it is `after`.

    `refunds` are all of the order that were booked; `before` is how it was then, None
    where it was not recorded.
    """
    changes: list[tuple[Row | None, Row]] = [
        (None if before is None else _order_entry(before), _order_entry(after))
    ]
    changes += [(refund_entry(one, before), refund_entry(one, after)) for one in refunds]
    for booked, right in changes:
        if booked == right:
            continue
        if booked is not None:
            yield _negative(booked)
        yield right


def refund_entry(refund: Row, order: Row | None) -> Row:
    """The entry of a refund of an order, None where that is not recorded.

    Without its order it is booked at its own time as nobody's, and it does not count
    as anything of an order.
    """
    adjustment = refund["adjustment_usd_picocents"] - refund["fee_picocents"]
    is_refund = refund["kind"] in {"refund", "refund_reversal"}
    return {
        **_place(refund, order),
        "revenue_picocents": 0,
        "net_revenue_picocents": adjustment,
        "orders": 0,
        "order_revenue_picocents": 0,
        # Disputes lower what was earned, but not what the order was worth.
        "order_net_revenue_picocents": adjustment if is_refund and order is not None else 0,
    }


def append(connection: sa.Connection, organization_number: int, entries: Sequence[Row]) -> None:
    """Writes entries behind those that are there."""
    if not entries:
        return
    numbers = number_records(connection, organization_number, len(entries))
    connection.execute(
        sa.insert(ledger_entry),
        [
            {"organization_number": organization_number, "number": number, **entry}
            for number, entry in zip(numbers, entries, strict=True)
        ],
    )


def _order_entry(order: Row) -> Row:
    revenue = order["net_usd_picocents"]
    order_revenue = revenue - max(order["applied_balance_usd_picocents"], 0)
    fee = order["fee_picocents"]
    return {
        **_place(order, order),
        "revenue_picocents": revenue,
        "net_revenue_picocents": revenue - fee,
        "orders": 1,
        "order_revenue_picocents": order_revenue,
        "order_net_revenue_picocents": order_revenue - fee,
    }


def _place(record: Row, order: Row | None) -> Row:
    """When and whose an entry is: the order's, so far as that is recorded."""
    if order is None:
        return {
            "revenue_us": record["created_us"],
            "order_us": record["created_us"],
            **_NOBODY,
        }
    return {
        "revenue_us": order["created_us"],
        "order_us": min(order["paid_us"], order["created_us"]),
        **{name: order[name] for name in _NOBODY},
    }


def _negative(entry: Row) -> Row:
    return {name: -value if name in _SUMMED else value for name, value in entry.items()}
