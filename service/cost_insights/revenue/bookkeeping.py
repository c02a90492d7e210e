"""Booking orders and refunds as entries of a ledger, which metrics are read from.

Entries only ever add up: a change takes back what was added before and adds what
is right now, so that sums over entries are right whatever came first.
"""

from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from cost_insights.customers.numbering import number_records
from cost_insights.identity import Organization
from cost_insights.revenue.tables import NOBODY, Row, stored, stored_by_id
from cost_insights.store.schema import ledger_entry, paid_order, refund

_NO_ORDER = {
    "customer_number": NOBODY,
    "product_id": "",
    "billing_type": "",
    "subscription_id": "",
    "currency": "",
    "exchange_rate_e12": 0,
}
"""What an entry has of its order where that is not recorded."""

_SUMMED = (
    "records",
    "revenue_picocents",
    "net_revenue_picocents",
    "orders",
    "order_revenue_picocents",
    "order_net_revenue_picocents",
)


def book_orders(
    connection: sa.Connection,
    organization: Organization,
    changes: Sequence[tuple[Row | None, Row]],
) -> None:
    """Books changed orders: reverses the earlier entries of each and adds its current ones."""
    refunds: dict[str, list[Row]] = {order["order_id"]: [] for _, order in changes}
    for one in stored(connection, organization, refund.c.order_id, refunds.keys()):
        refunds[one["order_id"]].append(one)
    entries = [
        entry
        for before, after in changes
        for entry in _order_entries(before, after, refunds[after["order_id"]])
    ]
    _append(connection, organization, entries)


def book_refunds(
    connection: sa.Connection, organization: Organization, refunds: Sequence[Row]
) -> None:
    """Books new refunds; a refund of a recorded order is booked at the time of the order."""
    order_ids = {one["order_id"] for one in refunds}
    orders = stored_by_id(connection, organization, paid_order, order_ids)
    entries = [_refund_entry(one, orders.get(one["order_id"])) for one in refunds]
    _append(connection, organization, entries)


def _order_entries(before: Row | None, after: Row, refunds: Sequence[Row]) -> Iterator[Row]:
    """The entries that change an order, and its booked refunds, to what it is `after`."""
    changes: list[tuple[Row | None, Row]] = [
        (None if before is None else _order_entry(before), _order_entry(after))
    ]
    changes += [(_refund_entry(one, before), _refund_entry(one, after)) for one in refunds]
    for booked, right in changes:
        if booked == right:
            continue
        if booked is not None:
            yield _negative(booked)
        yield right


def _refund_entry(refund: Row, order: Row | None) -> Row:
    """The entry of a refund of an order, None where that is not recorded.

    Without its order it is booked at its own time as nobody's, and it does not count
    as anything of an order.
    """
    adjustment = refund["adjustment_usd_picocents"] - refund["fee_picocents"]
    is_refund = refund["kind"] in {"refund", "refund_reversal"}
    return {
        **_place(refund, order),
        "records": 1,
        "revenue_picocents": 0,
        "net_revenue_picocents": adjustment,
        "orders": 0,
        "order_revenue_picocents": 0,
        # Disputes lower what was earned, but not what the order was worth.
        "order_net_revenue_picocents": adjustment if is_refund and order is not None else 0,
    }


def _append(connection: sa.Connection, organization: Organization, entries: Sequence[Row]) -> None:
    """Appends entries to the ledger."""
    if not entries:
        return
    numbers = number_records(connection, organization.number, len(entries))
    connection.execute(
        sa.insert(ledger_entry),
        [
            {"organization_number": organization.number, "number": number, **entry}
            for number, entry in zip(numbers, entries, strict=True)
        ],
    )


def _order_entry(order: Row) -> Row:
    revenue = order["net_usd_picocents"]
    order_revenue = revenue - max(order["applied_balance_usd_picocents"], 0)
    fee = order["fee_picocents"]
    return {
        **_place(order, order),
        "records": 1,
        "revenue_picocents": revenue,
        "net_revenue_picocents": revenue - fee,
        "orders": 1,
        "order_revenue_picocents": order_revenue,
        "order_net_revenue_picocents": order_revenue - fee,
    }


def _place(record: Row, order: Row | None) -> Row:
    """The time and the owner of an entry: those of the order, if it is recorded."""
    if order is None:
        return {
            "revenue_us": record["created_us"],
            "order_us": record["created_us"],
            **_NO_ORDER,
        }
    return {
        "revenue_us": order["created_us"],
        "order_us": min(order["paid_us"], order["created_us"]),
        **{name: order[name] for name in _NO_ORDER},
    }


def _negative(entry: Row) -> Row:
    return {name: -value if name in _SUMMED else value for name, value in entry.items()}
