"""Valid records of revenue as they are recorded, and whose they are."""

import itertools
from typing import Any

from cost_insights import identity
from cost_insights.identity import Organization
from cost_insights.revenue import NewCheckout, NewOrder, NewSeat, NewSubscription, Refund
from cost_insights.store import Store

CENT = 10**12

_names = itertools.count(1)


def new_organization(store: Store) -> Organization:
    """A new organization."""
    with store.write() as connection:
        return identity.create_organization(connection, f"organization {next(_names)}")


def order(order_id: str = "o", **fields: Any) -> NewOrder:
    """An order of 29 dollars; what is not given is something valid."""
    known: dict[str, Any] = {
        "order_id": order_id,
        "customer": "c",
        "product_id": "p",
        "billing_type": "recurring",
        "subscription_id": "s",
        "currency": "usd",
        "exchange_rate_e12": 10**12,
        "net_picocents": 2_900 * CENT,
        "applied_balance_picocents": 0,
        "fee_picocents": 0,
        "created_us": 5,
        "paid_us": 6,
    }
    return NewOrder(**known | fields)


def given_back(refund_id: str, order_id: str, **fields: Any) -> Refund:
    """A refund of 9 dollars; what is not given is something valid."""
    known: dict[str, Any] = {
        "kind": "refund",
        "currency": "usd",
        "exchange_rate_e12": 10**12,
        "amount_picocents": 900 * CENT,
        "fee_picocents": 0,
        "created_us": 9,
    }
    return Refund(refund_id=refund_id, order_id=order_id, **known | fields)


def state(subscription_id: str = "s", update_us: int = 1, **fields: Any) -> NewSubscription:
    """The state of a subscription; what is not given is something valid."""
    known: dict[str, Any] = {
        "customer": "c",
        "product_id": "p",
        "currency": "usd",
        "amount_picocents": 2_900 * CENT,
        "recurring_interval": "month",
        "recurring_interval_count": 1,
        "started_us": 1,
        "trial_end_us": None,
        "canceled_us": None,
        "cancel_reason": "",
        "uncanceled_us": None,
        "ends_us": None,
        "ended_us": None,
    }
    return NewSubscription(subscription_id=subscription_id, update_us=update_us, **known | fields)


def checkout(checkout_id: str = "k", update_us: int = 1, **fields: Any) -> NewCheckout:
    """The state of a checkout; what is not given is something valid."""
    known: dict[str, Any] = {
        "customer": None,
        "product_id": "p",
        "billing_type": "recurring",
        "status": "open",
        "created_us": 1,
        "opened_us": None,
    }
    return NewCheckout(checkout_id=checkout_id, update_us=update_us, **known | fields)


def seat(seat_id: str = "z", update_us: int = 1, **fields: Any) -> NewSeat:
    """The state of a seat; what is not given is something valid."""
    known: dict[str, Any] = {
        "customer": "c",
        "subscription_id": "s",
        "order_id": "",
        "product_id": "p",
        "created_us": 1,
        "claimed_us": None,
        "revoked_us": None,
    }
    return NewSeat(seat_id=seat_id, update_us=update_us, **known | fields)
