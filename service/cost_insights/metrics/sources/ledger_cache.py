"""The revenue records of organizations, kept in memory and up to date.

The database numbers what is recorded of an organization, without gaps and in the order
of commits, so that whoever has read up to a number has everything before it.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from cost_insights._native.ledger import Ledger
from cost_insights.errors import QueryTooSlowError
from cost_insights.metrics.sources.snapshot import Snapshot
from cost_insights.store.schema import checkout, ledger_entry, seat, subscription
from cost_insights.telemetry import NOTHING, CacheMeasurements

_RECORDS_AT_ONCE = 20_000
"""The number of records that are read and added at a time."""


class LedgerCache:
    """The ledgers of the organizations that were asked about last, bounded by their bytes.

    Several threads may use them.
    """

    def __init__(self, bytes_max: int, measurements: CacheMeasurements = NOTHING.ledgers) -> None:
        self._bytes_max = bytes_max
        self._measurements = measurements
        self._kept: OrderedDict[int, _Kept] = OrderedDict()
        self._lock = threading.Lock()
        self._may_have_changed = True
        self._bytes = 0

    def current(self, snapshot: Snapshot) -> Ledger:
        """A ledger with everything that the snapshot has.

        It may have more: what was committed since, if another thread, whose snapshot is
        younger, has read it. Raises QueryTooSlowError if the deadline of the snapshot is
        over first; what was read by then stays.
        """
        kept = self._of(snapshot.organization_number)
        # The one that was looked at: another thread may begin a new one meanwhile.
        ledger = kept.ledger
        is_current = ledger.position >= snapshot.records_count()
        self._count(is_current=is_current)
        if not is_current:
            self._may_have_changed = True
            ledger = kept.refreshed(snapshot, snapshot.records_count_of_transaction())
            self._make_room()
        return ledger

    @property
    def held_bytes(self) -> int:
        """The size of all ledgers; added up if it may have changed, since there may be many."""
        if self._may_have_changed:
            self._may_have_changed = False
            with self._lock:
                self._bytes = sum(kept.bytes for kept in self._kept.values())
        return self._bytes

    def measure(self) -> None:
        """Sets the gauge of the size."""
        self._measurements.bytes.set(self.held_bytes)

    def _count(self, *, is_current: bool) -> None:
        with self._lock:
            (self._measurements.hits if is_current else self._measurements.misses).add()

    def _of(self, organization_number: int) -> "_Kept":
        with self._lock:
            kept = self._kept.setdefault(organization_number, _Kept())
            self._kept.move_to_end(organization_number)
            return kept

    def _make_room(self) -> None:
        """Evicts the least recently used ledgers. The last one stays, however large: to read it
        again for each question would only be worse."""
        with self._lock:
            total = sum(kept.bytes for kept in self._kept.values())
            while total > self._bytes_max and len(self._kept) > 1:
                _, forgotten = self._kept.popitem(last=False)
                total -= forgotten.bytes


class _Kept:
    """The ledger of one organization."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.bytes = self.ledger.bytes
        self._lock = threading.Lock()
        self._count_max = 0

    def refreshed(self, snapshot: Snapshot, count: int) -> Ledger:
        """The ledger with the records up to the last; whoever comes while another adds some
        waits for it."""
        connection, deadline = snapshot.connection, snapshot.deadline
        if not self._lock.acquire(timeout=deadline.seconds_left()):
            raise QueryTooSlowError(deadline.seconds_max)
        try:
            if self.ledger.position < count < self._count_max:
                # A younger snapshot was read in part. What it had changed since ours is
                # not where we would look for it.
                self.ledger = Ledger()
            self._count_max = max(self._count_max, count)
            # Each step leaves a ledger that has everything up to its position, so that
            # one that fails takes nothing back and the next reader goes on from there.
            while (position := self.ledger.position) < count:
                deadline.check()
                last = min(position + _RECORDS_AT_ONCE, count)
                records = _Records(connection, snapshot.organization_number, position, last)
                self.ledger.add(
                    last,
                    entries=records.entries(),
                    subscriptions=records.subscriptions(),
                    checkouts=records.checkouts(),
                    seats=records.seats(),
                )
            return self.ledger
        finally:
            self.bytes = self.ledger.bytes
            self._lock.release()


class _Records:
    """The records of one organization from after one number up to another."""

    def __init__(
        self, connection: sa.Connection, organization_number: int, after: int, last: int
    ) -> None:
        self._connection = connection
        self._organization_number = organization_number
        self._after = after
        self._last = last

    def entries(self) -> Sequence[tuple[Any, ...]]:
        """The entries, as `Ledger.add` takes them."""
        columns = ledger_entry.c
        return self._rows(
            columns.organization_number,
            columns.number,
            columns.revenue_us,
            columns.order_us,
            columns.customer_number,
            columns.product_id,
            columns.billing_type,
            columns.subscription_id,
            columns.currency,
            columns.exchange_rate_e12,
            _digits(columns.revenue_picocents),
            _digits(columns.net_revenue_picocents),
            columns.orders,
            _digits(columns.order_revenue_picocents),
            _digits(columns.order_net_revenue_picocents),
            columns.records,
        )

    def subscriptions(self) -> Sequence[tuple[Any, ...]]:
        """The states of subscriptions, as `Ledger.add` takes them."""
        columns = subscription.c
        return self._rows(
            columns.organization_number,
            columns.record_number,
            columns.subscription_id,
            columns.customer_number,
            columns.product_id,
            columns.currency,
            _digits(columns.amount_picocents),
            columns.recurring_interval,
            columns.recurring_interval_count,
            columns.started_us,
            columns.trial_end_us,
            columns.canceled_us,
            columns.cancel_reason,
            columns.uncanceled_us,
            columns.ends_us,
            columns.ended_us,
        )

    def checkouts(self) -> Sequence[tuple[Any, ...]]:
        """The states of checkouts, as `Ledger.add` takes them."""
        columns = checkout.c
        return self._rows(
            columns.organization_number,
            columns.record_number,
            columns.checkout_id,
            columns.customer_number,
            columns.product_id,
            columns.billing_type,
            columns.status,
            columns.counted_us,
        )

    def seats(self) -> Sequence[tuple[Any, ...]]:
        """The states of seats, as `Ledger.add` takes them."""
        columns = seat.c
        return self._rows(
            columns.organization_number,
            columns.record_number,
            columns.seat_id,
            columns.customer_number,
            columns.product_id,
            columns.billing_type,
            columns.created_us,
            columns.claimed_us,
            columns.revoked_us,
        )

    def _rows(
        self,
        owner: sa.Column[int],
        number: sa.Column[int],
        *columns: sa.ColumnElement[Any],
    ) -> Sequence[tuple[Any, ...]]:
        found = self._connection.execute(
            sa.select(*columns)
            .where(owner == self._organization_number)
            .where(number > self._after, number <= self._last)
            .order_by(number)
        )
        return [tuple(row) for row in found]


def _digits(amount: sa.ColumnElement[int]) -> sa.ColumnElement[str]:
    """The amount as native reads it: integers of Python would be made of it twice."""
    return sa.cast(amount, sa.Text)
