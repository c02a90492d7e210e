"""Recording what system events say, all of a request in one transaction.

Orders come first, then refunds, then subscriptions, so that places in a request make no
difference.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import sqlalchemy as sa

from cost_insights.customers.numbering import DefaultLimits
from cost_insights.errors import FieldFault
from cost_insights.identity import Organization
from cost_insights.revenue.bookkeeping import book_orders, book_refunds
from cost_insights.revenue.order_parts import agrees, order_of
from cost_insights.revenue.records import NewSubscription, OrderPart, Refund, SubscriptionChange
from cost_insights.revenue.statements import CREATED, change_of, state_of
from cost_insights.revenue.subscriptions import record_events
from cost_insights.revenue.tables import (
    RecordOutcome,
    Row,
    customer_numbers_of,
    delete,
    external_ids_of,
    insert,
    insert_new,
    row_of,
    stored,
    stored_by_id,
)
from cost_insights.store.schema import order_part, paid_order, refund

SystemEvent = OrderPart | Refund | NewSubscription | SubscriptionChange
"""The content of one system event; a new subscription is the start of one."""

_T = TypeVar("_T")
_Placed = Sequence[tuple[int, _T]]
"""Things with the places of their events in the request."""


@dataclass
class RecordedEvents:
    """The result of recording the system events of a request."""

    defaults: DefaultLimits
    inserted: int = 0
    duplicates: int = 0
    conflicts: list[tuple[int, str]] = field(default_factory=list)
    """The place in the request and the id of each whose id is taken by other content."""

    faults: list[tuple[int, FieldFault]] = field(default_factory=list)
    """The faults of events that name an unknown customer, or one beyond the limit, and were left
    out, by index."""

    def add(self, index: int, record_id: str, outcome: RecordOutcome) -> None:
        """Counts an event."""
        if outcome is RecordOutcome.INSERTED:
            self.inserted += 1
        elif outcome is RecordOutcome.DUPLICATE:
            self.duplicates += 1
        else:
            self.conflicts.append((index, record_id))


def record_system_events(
    connection: sa.Connection,
    organization: Organization,
    events: _Placed[SystemEvent],
    defaults: DefaultLimits,
) -> RecordedEvents:
    """Records events that are not recorded yet, those with faults left out.

    The transaction must hold the row of the organization.
    """
    recorded = RecordedEvents(defaults)
    _record_parts(
        connection,
        organization,
        [(index, one) for index, one in events if isinstance(one, OrderPart)],
        recorded,
    )
    _record_refunds(
        connection,
        organization,
        [(index, one) for index, one in events if isinstance(one, Refund)],
        recorded,
    )
    _record_subscriptions(
        connection,
        organization,
        [
            (index, one)
            for index, one in events
            if isinstance(one, NewSubscription | SubscriptionChange)
        ],
        recorded,
    )
    recorded.conflicts.sort()
    recorded.faults.sort(key=lambda fault: fault[0])
    return recorded


def _record_parts(
    connection: sa.Connection,
    organization: Organization,
    parts: _Placed[OrderPart],
    recorded: RecordedEvents,
) -> None:
    numbers = _customers(connection, organization, parts, recorded)
    ids = {one.order_id for _, one in parts}
    orders = stored_by_id(connection, organization, paid_order, ids)
    known: dict[str, dict[str, Row]] = defaultdict(dict)
    for row in stored(connection, organization, order_part.c.order_id, ids):
        known[row["order_id"]][row["part"]] = row
    new: list[Row] = []
    for index, one in parts:
        number = numbers[index]
        if number is None:
            continue
        row = row_of(order_part, one, organization, customer_number=number)
        outcome = _part_outcome(row, known[one.order_id], orders.get(one.order_id))
        recorded.add(index, one.order_id, outcome)
        if outcome is RecordOutcome.INSERTED:
            known[one.order_id][one.part] = row
            new.append(row)
    insert(connection, order_part, new)
    changed = dict.fromkeys(row["order_id"] for row in new)
    changes = [(orders.get(one), order_of(known[one])) for one in changed]
    changes = [(before, after) for before, after in changes if before != after]
    delete(connection, organization, paid_order, {one["order_id"] for one, _ in changes if one})
    insert(connection, paid_order, [after for _, after in changes])
    book_orders(connection, organization, changes)


def _part_outcome(part: Row, known: dict[str, Row], order: Row | None) -> RecordOutcome:
    """The result of recording a part of an order, whose other parts or whole may be known."""
    if part["part"] in known:
        same = known[part["part"]] == part
    elif known or order is None:
        return RecordOutcome.INSERTED
    else:
        same = agrees(part, order)
    return RecordOutcome.DUPLICATE if same else RecordOutcome.CONFLICT


def _record_refunds(
    connection: sa.Connection,
    organization: Organization,
    refunds: _Placed[Refund],
    recorded: RecordedEvents,
) -> None:
    rows = [row_of(refund, one, organization) for _, one in refunds]
    outcomes, new = insert_new(connection, organization, refund, rows)
    book_refunds(connection, organization, new)
    for (index, one), outcome in zip(refunds, outcomes, strict=True):
        recorded.add(index, one.refund_id, outcome)


def _record_subscriptions(
    connection: sa.Connection,
    organization: Organization,
    events: _Placed[NewSubscription | SubscriptionChange],
    recorded: RecordedEvents,
) -> None:
    starts = [(index, one) for index, one in events if isinstance(one, NewSubscription)]
    numbers = _customers(connection, organization, starts, recorded)
    statements = [
        (index, change_of(organization, one))
        for index, one in events
        if isinstance(one, SubscriptionChange)
    ]
    names = external_ids_of(connection, organization, [one.customer for _, one in starts])
    statements += [
        (index, state_of(organization, CREATED, one, number, names[one.customer]))
        for index, one in starts
        if (number := numbers[index]) is not None
    ]
    outcomes = record_events(connection, organization, [row for _, row in statements])
    for (index, row), outcome in zip(statements, outcomes, strict=True):
        recorded.add(index, row["subscription_id"], outcome)


def _customers(
    connection: sa.Connection,
    organization: Organization,
    records: _Placed[OrderPart | NewSubscription],
    recorded: RecordedEvents,
) -> dict[int, int | None]:
    """The numbers of the customers by place; unknown ids and new customers beyond the limit have
    none, but faults."""
    names = [one.customer for _, one in records]
    numbered = customer_numbers_of(connection, organization, names, recorded.defaults)
    found: dict[int, int | None] = {}
    for (index, one), number in zip(records, numbered.numbers, strict=True):
        found[index] = number
        if number is None:
            recorded.faults.append((index, numbered.fault(f"events[{index}]", one.customer)))
    return found
