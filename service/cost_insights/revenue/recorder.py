"""Recording orders, refunds and subscriptions: each once, all of a request or none.

The ledger says what they add to metrics, and is written with them.
"""

import asyncio
import time
import uuid
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import Enum, auto
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa

from cost_insights.errors import FieldFault, InvalidRequestError, OverloadedError
from cost_insights.identity import Organization
from cost_insights.revenue.ledger import append, order_entries, refund_entry
from cost_insights.revenue.records import NewOrder, NewSubscription, Refund
from cost_insights.store import Store
from cost_insights.store.numbers import known_customers, number_customers, number_records
from cost_insights.store.schema import Key, paid_order, refund, subscription
from cost_insights.store.schema import organization as organizations

_Row = dict[str, Any]
"""The values of a row by the names of their columns."""

_WAITING_CALLS_MAX = 64
"""So many calls of a thousand records each are held, and no more."""

_T = TypeVar("_T")


class Recorded(NamedTuple):
    """What became of the orders or the refunds of a request."""

    inserted: int
    duplicates: int
    conflicts: Sequence[tuple[int, str]]
    """The place in the request and the id of each whose id is taken by other content."""


class SubscriptionOutcome(Enum):
    """What became of one subscription of a request."""

    INSERTED = auto()
    UPDATED = auto()
    UNCHANGED = auto()
    OUTDATED = auto()


class Recorder:
    """Records what was earned, one transaction at a time.

    Each call raises StoreUnavailableError if the database does not answer and
    OverloadedError if too many wait; those of orders and subscriptions raise
    InvalidRequestError if one names an unknown `customer_id`. What was recorded by a
    call that failed is found again by the next.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting = 0
        # In a thread of its own: calls that wait for the database do not take the
        # threads and the connections of those that read.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="recorder")

    async def close(self) -> None:
        """Finishes what was begun and stops."""
        await asyncio.to_thread(self._writer.shutdown)

    async def orders(self, organization: Organization, orders: Sequence[NewOrder]) -> Recorded:
        """Stores orders that are not stored yet."""

        def record(connection: sa.Connection) -> Recorded:
            customers = _customers(connection, organization, "orders", orders)
            rows = [
                _row(paid_order, order, organization, customer_number=number)
                for order, number in zip(orders, customers, strict=True)
            ]
            recorded, new = _insert_new(connection, organization, paid_order, rows)
            _book_orders(connection, organization, [(None, row) for row in new])
            return recorded

        return await self._write(organization, record)

    async def refunds(self, organization: Organization, refunds: Sequence[Refund]) -> Recorded:
        """Stores refunds that are not stored yet."""

        def record(connection: sa.Connection) -> Recorded:
            rows = [_row(refund, one, organization) for one in refunds]
            recorded, new = _insert_new(connection, organization, refund, rows)
            _book_refunds(connection, organization, new)
            return recorded

        return await self._write(organization, record)

    async def subscriptions(
        self, organization: Organization, subscriptions: Sequence[NewSubscription]
    ) -> list[SubscriptionOutcome]:
        """Stores states of subscriptions that are later than those that are stored."""

        def record(connection: sa.Connection) -> list[SubscriptionOutcome]:
            customers = _customers(connection, organization, "subscriptions", subscriptions)
            rows = [
                _row(subscription, state, organization, customer_number=number)
                for state, number in zip(subscriptions, customers, strict=True)
            ]
            return _replace_earlier(connection, organization, rows)

        return await self._write(organization, record)

    async def _write(self, organization: Organization, record: Callable[[sa.Connection], _T]) -> _T:
        def write(connection: sa.Connection) -> _T:
            # One transaction of an organization at a time, whichever process it is
            # of, so that what it has looked up still holds when it writes. The price
            # is that they wait for each other, and for new customers of events.
            connection.execute(
                sa.select(organizations.c.number)
                .where(organizations.c.number == organization.number)
                .with_for_update()
            )
            return record(connection)

        if self._waiting >= _WAITING_CALLS_MAX:
            raise _overloaded(self._waiting)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._writer, self._store.write_retrying, write
            )
        finally:
            self._waiting -= 1


def _overloaded(waiting: int) -> OverloadedError:
    return OverloadedError(
        f"{waiting} calls wait to be recorded, at most {_WAITING_CALLS_MAX} are held; "
        "try again later",
        reason="OVERLOADED",
        facts={"waiting_calls": str(waiting), "waiting_calls_max": str(_WAITING_CALLS_MAX)},
    )


def _customers(
    connection: sa.Connection,
    organization: Organization,
    path: str,
    records: Sequence[NewOrder] | Sequence[NewSubscription],
) -> list[int]:
    """The number of the customer of each; raises InvalidRequestError for unknown ids."""
    names = [record.customer for record in records]
    ids = {name.bytes for name in names if isinstance(name, uuid.UUID)}
    known = known_customers(connection, organization.number, ids)
    faults = [
        FieldFault(
            f"{path}[{index}].customer_id",
            "CUSTOMER_NOT_FOUND",
            f"the organization has no customer {name}; only the id of one of its customers "
            "is allowed",
            str(name),
        )
        for index, name in enumerate(names)
        if isinstance(name, uuid.UUID) and name.bytes not in known
    ]
    if faults:
        raise InvalidRequestError(faults)
    external_ids = list(dict.fromkeys(name for name in names if isinstance(name, str)))
    registered = number_customers(
        connection,
        organization.number,
        organization.id,
        external_ids,
        now_us=time.time_ns() // 1_000,
    )
    return [registered[name] if isinstance(name, str) else known[name.bytes] for name in names]


def _row(table: sa.Table, record: object, organization: Organization, **numbers: int) -> _Row:
    """The row of a record; `numbers` are columns that it does not know itself."""
    row: _Row = {"organization_number": organization.number, **numbers}
    columns = [name for name in _content(table) if name not in row]
    return row | {name: getattr(record, name) for name in columns}


def _insert_new(
    connection: sa.Connection, organization: Organization, table: sa.Table, rows: Sequence[_Row]
) -> tuple[Recorded, list[_Row]]:
    """Inserts the rows whose ids are not taken, and returns them; the first of an id takes it."""
    id_name = _id_column(table).name
    known = _stored_by_id(connection, organization, table, {row[id_name] for row in rows})
    new: list[_Row] = []
    duplicates = 0
    conflicts: list[tuple[int, str]] = []
    for index, row in enumerate(rows):
        row_id = row[id_name]
        if row_id not in known:
            known[row_id] = row
            new.append(row)
        elif known[row_id] == row:
            duplicates += 1
        else:
            conflicts.append((index, row_id))
    if new:
        connection.execute(sa.insert(table), new)
    return Recorded(len(new), duplicates, conflicts), new


def _book_orders(
    connection: sa.Connection,
    organization: Organization,
    changes: Sequence[tuple[_Row | None, _Row]],
) -> None:
    """Lets orders, each as it was booked and as it is now, count as they are now."""
    refunds: dict[str, list[_Row]] = {order["order_id"]: [] for _, order in changes}
    for one in _stored(connection, organization, refund.c.order_id, refunds.keys()):
        refunds[one["order_id"]].append(one)
    entries = [
        entry
        for before, after in changes
        for entry in order_entries(before, after, refunds[after["order_id"]])
    ]
    append(connection, organization.number, entries)


def _book_refunds(
    connection: sa.Connection, organization: Organization, refunds: Sequence[_Row]
) -> None:
    """Lets new refunds count, those of recorded orders as theirs."""
    order_ids = {one["order_id"] for one in refunds}
    orders = _stored_by_id(connection, organization, paid_order, order_ids)
    entries = [refund_entry(one, orders.get(one["order_id"])) for one in refunds]
    append(connection, organization.number, entries)


def _replace_earlier(
    connection: sa.Connection, organization: Organization, rows: Sequence[_Row]
) -> list[SubscriptionOutcome]:
    """Keeps the latest state of each subscription, of the stored and the given ones."""
    ids = {row["subscription_id"] for row in rows}
    stored = _stored_by_id(connection, organization, subscription, ids)
    latest: dict[str, _Row] = {}
    outcomes: list[SubscriptionOutcome] = []
    for row in rows:
        row_id = row["subscription_id"]
        known = latest.get(row_id) or stored.get(row_id)
        if known is None:
            outcome = SubscriptionOutcome.INSERTED
        elif row["update_us"] > known["update_us"]:
            outcome = SubscriptionOutcome.UPDATED
        elif row == known:
            outcome = SubscriptionOutcome.UNCHANGED
        else:
            outcome = SubscriptionOutcome.OUTDATED
        if outcome in {SubscriptionOutcome.INSERTED, SubscriptionOutcome.UPDATED}:
            latest[row_id] = row
        outcomes.append(outcome)
    if latest:
        connection.execute(
            sa.delete(subscription).where(_are(organization, subscription, latest.keys()))
        )
        numbers = number_records(connection, organization.number, len(latest))
        connection.execute(
            sa.insert(subscription),
            [
                {**row, "record_number": number}
                for row, number in zip(latest.values(), numbers, strict=True)
            ],
        )
    return outcomes


def _stored_by_id(
    connection: sa.Connection, organization: Organization, table: sa.Table, ids: Collection[str]
) -> dict[str, _Row]:
    """The contents of the stored rows of these ids, by id."""
    column = _id_column(table)
    return {row[column.name]: row for row in _stored(connection, organization, column, ids)}


def _stored(
    connection: sa.Connection,
    organization: Organization,
    column: sa.Column[str],
    values: Collection[str],
) -> list[_Row]:
    """The contents of the stored rows with one of these values in a column."""
    if not values:
        return []
    table = column.table
    # Joined, not compared with a list: PostgreSQL goes through a whole organization
    # with the list in hand where it has no statistics of the table yet.
    asked = sa.values(sa.column("value", Key), name="asked").data([(one,) for one in values]).cte()
    found = connection.execute(
        sa.select(*(table.c[name] for name in _content(table)))
        .join(asked, column == asked.c.value)
        .where(table.c.organization_number == organization.number)
    )
    return [dict(row) for row in found.mappings()]


def _content(table: sa.FromClause) -> list[str]:
    """The columns that a record fills: all but the number that storing it takes."""
    return [column.name for column in table.c if column.name != "record_number"]


def _are(
    organization: Organization, table: sa.Table, ids: Collection[str]
) -> sa.ColumnElement[bool]:
    """Whether a row is the organization's and has one of these ids."""
    return (table.c.organization_number == organization.number) & _id_column(table).in_(ids)


def _id_column(table: sa.Table) -> sa.Column[str]:
    """The column of the caller's own identifier, which is unique in the organization."""
    _, column = table.primary_key.columns
    return column
