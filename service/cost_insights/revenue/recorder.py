"""Recording orders, refunds, subscriptions, checkouts and seats: each once, all of a request
or none.

The ledger says what they add to metrics, and is written with them.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import sqlalchemy as sa

from cost_insights.customers import NO_LIMITS, DefaultLimits
from cost_insights.errors import InvalidRequestError
from cost_insights.identity import Organization
from cost_insights.revenue.bookkeeping import book_orders, book_refunds
from cost_insights.revenue.records import (
    CustomerName,
    NewCheckout,
    NewOrder,
    NewSeat,
    NewSubscription,
    Refund,
)
from cost_insights.revenue.statements import STATE, state_of
from cost_insights.revenue.states import (
    StateOutcome,
    record_checkouts,
    record_seats,
    state_row,
)
from cost_insights.revenue.subscriptions import record_states
from cost_insights.revenue.system_events import (
    RecordedEvents,
    SystemEvent,
    record_system_events,
)
from cost_insights.revenue.tables import (
    NOBODY,
    RecordOutcome,
    Row,
    customer_numbers_of,
    external_ids_of,
    insert_new,
    row_of,
)
from cost_insights.store import Store
from cost_insights.store.schema import checkout, paid_order, refund, seat
from cost_insights.store.schema import organization as organizations

_T = TypeVar("_T")


class Recorded(NamedTuple):
    """The result of recording the orders or refunds of a request."""

    inserted: int
    duplicates: int
    conflicts: Sequence[tuple[int, str]]
    """The index and the id of each record whose id is taken by other content."""


class Recorder:
    """Records what was earned, one transaction at a time.

    Each call raises StoreUnavailableError if the database does not answer; all but that
    of refunds raise InvalidRequestError if a record names an unknown `customer_id`. What
    was recorded by a call that failed is found again by the next.
    """

    def __init__(self, store: Store, defaults: DefaultLimits = NO_LIMITS) -> None:
        self._store = store
        self._defaults = defaults

    def orders(self, organization: Organization, orders: Sequence[NewOrder]) -> Recorded:
        """Stores orders that are not stored yet."""

        def record(connection: sa.Connection) -> Recorded:
            customers = self._customers(connection, organization, "orders", orders)
            rows = [
                row_of(paid_order, order, organization, customer_number=number)
                for order, number in zip(orders, customers, strict=True)
            ]
            outcomes, new = insert_new(connection, organization, paid_order, rows)
            book_orders(connection, organization, [(None, row) for row in new])
            return _recorded(outcomes, [order.order_id for order in orders])

        return self._write(organization, record)

    def refunds(self, organization: Organization, refunds: Sequence[Refund]) -> Recorded:
        """Stores refunds that are not stored yet."""

        def record(connection: sa.Connection) -> Recorded:
            rows = [row_of(refund, one, organization) for one in refunds]
            outcomes, new = insert_new(connection, organization, refund, rows)
            book_refunds(connection, organization, new)
            return _recorded(outcomes, [one.refund_id for one in refunds])

        return self._write(organization, record)

    def subscriptions(
        self, organization: Organization, subscriptions: Sequence[NewSubscription]
    ) -> list[StateOutcome]:
        """Stores states of subscriptions that are not stored yet."""

        def record(connection: sa.Connection) -> list[StateOutcome]:
            customers = self._customers(connection, organization, "subscriptions", subscriptions)
            names = external_ids_of(
                connection, organization, [state.customer for state in subscriptions]
            )
            states = [
                state_of(organization, STATE, state, number, names[state.customer])
                for state, number in zip(subscriptions, customers, strict=True)
            ]
            return record_states(connection, organization, states)

        return self._write(organization, record)

    def checkouts(
        self, organization: Organization, checkouts: Sequence[NewCheckout]
    ) -> list[StateOutcome]:
        """Stores states of checkouts that are later than those that are stored."""

        def record(connection: sa.Connection) -> list[StateOutcome]:
            states = self._state_rows(connection, organization, checkout, checkouts)
            return record_checkouts(connection, organization, states)

        return self._write(organization, record)

    def seats(self, organization: Organization, seats: Sequence[NewSeat]) -> list[StateOutcome]:
        """Stores states of seats that are later than those that are stored."""

        def record(connection: sa.Connection) -> list[StateOutcome]:
            states = self._state_rows(connection, organization, seat, seats)
            return record_seats(connection, organization, states)

        return self._write(organization, record)

    def system_events(
        self,
        organization: Organization,
        events: Sequence[tuple[int, SystemEvent]],
        *,
        accept_valid: bool,
    ) -> RecordedEvents:
        """Records what system events say, each with its place in the request.

        Raises InvalidRequestError if one names an unknown `customer_id`, unless those are
        to be left out: `accept_valid`.
        """

        def record(connection: sa.Connection) -> RecordedEvents:
            recorded = record_system_events(connection, organization, events, self._defaults)
            if recorded.faults and not accept_valid:
                raise InvalidRequestError(
                    [fault for _, fault in recorded.faults],
                    refused=len({index for index, _ in recorded.faults}),
                )
            return recorded

        return self._write(organization, record)

    def _state_rows(
        self,
        connection: sa.Connection,
        organization: Organization,
        table: sa.Table,
        records: Sequence[NewCheckout | NewSeat],
    ) -> list[Row]:
        """The rows of states, in their order."""
        numbers = self._customers(connection, organization, f"{table.name}s", records)
        names = [record.customer for record in records if record.customer is not None]
        external_ids = external_ids_of(connection, organization, names)
        return [
            state_row(
                table,
                organization,
                record,
                number,
                None if record.customer is None else external_ids[record.customer],
            )
            for record, number in zip(records, numbers, strict=True)
        ]

    def _customers(
        self,
        connection: sa.Connection,
        organization: Organization,
        path: str,
        records: Sequence[NewOrder | NewSubscription | NewCheckout | NewSeat],
    ) -> list[int]:
        """The number of the customer of each, `NOBODY` where it has none; raises
        InvalidRequestError for unknown ids, and for new customers beyond the limit."""
        names = [record.customer for record in records if record.customer is not None]
        numbered = customer_numbers_of(connection, organization, names, self._defaults)
        numbers: dict[CustomerName | None, int | None] = {None: NOBODY}
        numbers |= dict(zip(names, numbered.numbers, strict=True))
        faults = [
            numbered.fault(f"{path}[{index}]", record.customer)
            for index, record in enumerate(records)
            if record.customer is not None and numbers[record.customer] is None
        ]
        if faults:
            raise InvalidRequestError(faults)
        of_each = (numbers[record.customer] for record in records)
        return [number for number in of_each if number is not None]

    def _write(self, organization: Organization, record: Callable[[sa.Connection], _T]) -> _T:
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

        return self._store.write_retrying(write)


def _recorded(outcomes: Sequence[RecordOutcome], ids: Sequence[str]) -> Recorded:
    return Recorded(
        outcomes.count(RecordOutcome.INSERTED),
        outcomes.count(RecordOutcome.DUPLICATE),
        [
            (index, record_id)
            for index, (outcome, record_id) in enumerate(zip(outcomes, ids, strict=True))
            if outcome is RecordOutcome.CONFLICT
        ],
    )
