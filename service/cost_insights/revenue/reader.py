"""Reading records page by page, the latest first."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

from cost_insights import clock
from cost_insights.customers import customer_numbers
from cost_insights.identity import Organization
from cost_insights.paging import PageTokens, int64_part, text_part
from cost_insights.revenue.records import (
    Checkout,
    Order,
    Refund,
    Seat,
    StoredCheckout,
    StoredOrder,
    StoredSeat,
    StoredSubscription,
    Subscription,
)
from cost_insights.store import Store
from cost_insights.store.schema import (
    checkout,
    customer,
    paid_order,
    refund,
    seat,
    subscription,
)

_T = TypeVar("_T")


@dataclass(frozen=True)
class RevenueQuestion:
    """The filter of a list of records; an empty list means all."""

    customer_ids: Sequence[str]
    """UUIDs; any other text is the caller's own identifier."""

    external_customer_ids: Sequence[str]
    product_ids: Sequence[str]
    start_us: int | None
    """Records at or after this time."""

    end_us: int | None
    """Records before this time."""

    active: bool | None = None
    """Whether to list only active or only inactive subscriptions; None lists both."""


@dataclass(frozen=True)
class _Listing(Generic[_T]):
    """The way in which one kind of record is listed."""

    read: Callable[..., _T]
    """Makes a record of the selected columns, by name."""

    select: sa.Select[*tuple[Any, ...]]
    table: sa.Table
    time: sa.Column[int]
    id: sa.Column[str]
    owner: sa.Table
    """The table that holds customer and product."""


class RevenueReader:
    """Reads the records of one organization at a time, from one snapshot each.

    Each method returns a page of records, the latest first, and the token of the
    next page; it raises InvalidRequestError if a token is not of the same question.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._page_tokens = PageTokens(store.page_token_key)

    def orders(
        self, organization: Organization, asked: RevenueQuestion, *, page_size: int, page_token: str
    ) -> tuple[list[StoredOrder], str]:
        """Orders, by the time of their creation."""
        return self._page(_ORDERS, organization, asked, page_size, page_token)

    def refunds(
        self, organization: Organization, asked: RevenueQuestion, *, page_size: int, page_token: str
    ) -> tuple[list[Refund], str]:
        """Refunds, by the time at which they happened; customer and product are those of the
        order."""
        return self._page(_REFUNDS, organization, asked, page_size, page_token)

    def subscriptions(
        self, organization: Organization, asked: RevenueQuestion, *, page_size: int, page_token: str
    ) -> tuple[list[StoredSubscription], str]:
        """Subscriptions, by the time of their start."""
        return self._page(_SUBSCRIPTIONS, organization, asked, page_size, page_token)

    def checkouts(
        self, organization: Organization, asked: RevenueQuestion, *, page_size: int, page_token: str
    ) -> tuple[list[StoredCheckout], str]:
        """Checkouts, by the time of their creation."""
        return self._page(_CHECKOUTS, organization, asked, page_size, page_token)

    def seats(
        self, organization: Organization, asked: RevenueQuestion, *, page_size: int, page_token: str
    ) -> tuple[list[StoredSeat], str]:
        """Seats, by the time of their creation."""
        return self._page(_SEATS, organization, asked, page_size, page_token)

    def _page(
        self,
        listing: _Listing[_T],
        organization: Organization,
        asked: RevenueQuestion,
        page_size: int,
        page_token: str,
    ) -> tuple[list[_T], str]:
        question = (listing.table.name, asked)
        after = self._page_tokens.decode(
            page_token, organization.id, question, (int64_part, text_part)
        )
        rows = self._rows(listing, organization, asked, page_size + 1, after)
        records = [listing.read(**row) for row in rows[:page_size]]
        if len(rows) <= page_size:
            return records, ""
        last = rows[page_size - 1]
        place = (last[listing.time.name], last[listing.id.name])
        return records, self._page_tokens.encode(organization.id, question, place)

    def _rows(
        self,
        listing: _Listing[_T],
        organization: Organization,
        asked: RevenueQuestion,
        rows_max: int,
        after: Sequence[Any] | None,
    ) -> Sequence[sa.RowMapping]:
        with self._store.read() as connection:
            statement = listing.select.where(
                listing.table.c.organization_number == organization.number,
                *_conditions(connection, listing, organization, asked),
            )
            if after is not None:
                time_us, record_id = after
                statement = statement.where(
                    listing.time <= time_us, (listing.time < time_us) | (listing.id < record_id)
                )
            statement = statement.order_by(listing.time.desc(), listing.id.desc())
            return connection.execute(statement.limit(rows_max)).mappings().all()


def _conditions(
    connection: sa.Connection,
    listing: _Listing[Any],
    organization: Organization,
    asked: RevenueQuestion,
) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if asked.customer_ids or asked.external_customer_ids:
        numbers = customer_numbers(
            lambda: connection,
            organization.number,
            asked.customer_ids,
            asked.external_customer_ids,
        )
        conditions.append(listing.owner.c.customer_number.in_(numbers))
    if asked.product_ids:
        conditions.append(listing.owner.c.product_id.in_(asked.product_ids))
    if asked.start_us is not None:
        conditions.append(listing.time >= asked.start_us)
    if asked.end_us is not None:
        conditions.append(listing.time < asked.end_us)
    if asked.active is not None:
        is_active = _is_active(clock.now_us())
        conditions.append(is_active if asked.active else ~is_active)
    return conditions


def _is_active(now_us: int) -> sa.ColumnElement[bool]:
    """Whether a subscription has started and goes on, as far as it is known."""
    end_us = sa.func.coalesce(subscription.c.ended_us, subscription.c.ends_us, now_us + 1)
    return (subscription.c.started_us <= now_us) & (end_us > now_us)


def _columns(table: sa.Table, record: type) -> list[sa.Column[Any]]:
    """The columns that are fields of a record."""
    return [table.c[field.name] for field in fields(record)]


def _with_customer(table: sa.Table, record: type) -> sa.Select[*tuple[Any, ...]]:
    return sa.select(
        *_columns(table, record),
        customer.c.id.label("customer_id"),
        customer.c.external_id.label("external_customer_id"),
    ).join_from(
        table,
        customer,
        (customer.c.organization_number == table.c.organization_number)
        & (customer.c.number == table.c.customer_number),
        # A checkout may have no customer.
        isouter=True,
    )


_ORDERS = _Listing(
    StoredOrder,
    _with_customer(paid_order, Order),
    paid_order,
    time=paid_order.c.created_us,
    id=paid_order.c.order_id,
    owner=paid_order,
)

_REFUNDS = _Listing(
    Refund,
    # A refund may be there before its order.
    sa.select(*_columns(refund, Refund)).join_from(
        refund,
        paid_order,
        (paid_order.c.organization_number == refund.c.organization_number)
        & (paid_order.c.order_id == refund.c.order_id),
        isouter=True,
    ),
    refund,
    time=refund.c.created_us,
    id=refund.c.refund_id,
    owner=paid_order,
)

_SUBSCRIPTIONS = _Listing(
    StoredSubscription,
    _with_customer(subscription, Subscription),
    subscription,
    time=subscription.c.started_us,
    id=subscription.c.subscription_id,
    owner=subscription,
)

_CHECKOUTS = _Listing(
    StoredCheckout,
    _with_customer(checkout, Checkout),
    checkout,
    time=checkout.c.created_us,
    id=checkout.c.checkout_id,
    owner=checkout,
)

_SEATS = _Listing(
    StoredSeat,
    _with_customer(seat, Seat),
    seat,
    time=seat.c.created_us,
    id=seat.c.seat_id,
    owner=seat,
)
