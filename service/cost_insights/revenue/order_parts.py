"""Orders that arrive in parts, one system event each, and the order that follows from its parts.

`order.paid` tells when an order was paid and how much of it settled a debt; `balance.order` or
`balance.credit_order` tells what was earned. They arrive in any order, or only one of them does.
The order always follows from the parts so far.
"""

from collections.abc import Mapping
from typing import Final

from cost_insights.amounts import ONE_E12
from cost_insights.revenue.records import in_usd
from cost_insights.revenue.tables import Row

PAID: Final = "order.paid"
BALANCE: Final = "balance.order"
CREDIT: Final = "balance.credit_order"

_TEXTS = ("product_id", "billing_type", "subscription_id")

_EARNED = {
    "currency": "currency",
    "exchange_rate_e12": "exchange_rate_e12",
    "amount_picocents": "net_picocents",
    "fee_picocents": "fee_picocents",
    "time_us": "created_us",
}
"""The columns of an order by those of a part that tells what was earned."""

_NOTHING_EARNED: Row = {
    "currency": "usd",
    "exchange_rate_e12": ONE_E12,
    "amount_picocents": 0,
    "is_net": True,
    "fee_picocents": 0,
}
"""The amounts of an order of which only the payment is known."""


def order_of(parts: Mapping[str, Row]) -> Row:
    """The row of the order that follows from its parts, given by name."""
    paid = parts.get(PAID)
    # Where both say what was earned, the credit is a part of the other.
    settled = parts.get(BALANCE) or parts.get(CREDIT)
    named = [parts[name] for name in (BALANCE, CREDIT, PAID) if name in parts]
    first = named[0]
    subscription_id = _first_text(named, "subscription_id")
    earned = settled or _NOTHING_EARNED
    rate_e12 = earned["exchange_rate_e12"]
    net = earned["amount_picocents"]
    applied = 0 if paid is None or earned["is_net"] else paid["applied_balance_picocents"]
    return {
        "organization_number": first["organization_number"],
        "order_id": first["order_id"],
        "customer_number": first["customer_number"],
        "product_id": _first_text(named, "product_id"),
        "billing_type": _first_text(named, "billing_type")
        or ("recurring" if subscription_id else "one_time"),
        "subscription_id": subscription_id,
        "currency": earned["currency"],
        "exchange_rate_e12": rate_e12,
        "net_picocents": net,
        "net_usd_picocents": in_usd(net, rate_e12),
        "applied_balance_picocents": applied,
        "applied_balance_usd_picocents": in_usd(applied, rate_e12),
        "fee_picocents": earned["fee_picocents"],
        "created_us": (settled or first)["time_us"],
        "paid_us": (paid or first)["time_us"],
    }


def agrees(part: Row, order: Row) -> bool:
    """Whether a part agrees with an order that was recorded whole."""
    if part["customer_number"] != order["customer_number"]:
        return False
    if any(part[name] not in {"", order[name]} for name in _TEXTS):
        return False
    if part["part"] == PAID:
        # Where the net amount lacks the balance already, the order has none.
        balances = {0, part["applied_balance_picocents"]}
        return (order["paid_us"], order["applied_balance_picocents"]) in {
            (part["time_us"], balance) for balance in balances
        }
    return all(part[name] == order[column] for name, column in _EARNED.items())


def _first_text(parts: list[Row], column: str) -> str:
    """The text of the first part in which the column is not empty."""
    return next((part[column] for part in parts if part[column]), "")
