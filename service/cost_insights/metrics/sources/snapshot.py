"""Where the facts of one question are read: one snapshot of the database.

Cells hold numbers of customers and series; here is what a caller calls them by.
"""

import uuid
from array import array
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from cost_insights._native import Kept
from cost_insights.identity import Organization
from cost_insights.metrics.question import MetricsQuestion
from cost_insights.store import (
    Deadline,
    EventFilter,
    Needed,
    NotRememberedError,
    PackedCache,
    Store,
    StoredCells,
    asked_of,
    chunks,
    read_cells,
    read_segments,
)
from cost_insights.store.schema import customer, organization, series

LEFT_OUT = -1
"""The group of a series whose events do not count, as native knows it."""


class Customer(NamedTuple):
    """Who caused costs."""

    id: uuid.UUID
    external_id: str


class Snapshot:
    """What an organization had stored at one moment.

    It lasts as long as a transaction. Without one it is told by a single statement and by
    what is remembered of former ones, and NotRememberedError is raised where that does
    not suffice.
    """

    def __init__(
        self,
        store: Store,
        owner: Organization,
        deadline: Deadline,
        connection: sa.Connection | None = None,
    ) -> None:
        """The connection is that of a transaction that sees one snapshot of the database."""
        self._store = store
        self._connection = connection
        self.organization_number = owner.number
        self.deadline = deadline
        """When reading ends, finished or not."""

        self._cells: StoredCells | None = None

    @property
    def connection(self) -> sa.Connection:
        """For whatever is not remembered."""
        return asked_of(self._connection)

    @property
    def packed_cache(self) -> PackedCache:
        """Packed cells that are remembered."""
        return self._store.packed_cache

    def cells(
        self, needed: Iterable[Needed], customers: Sequence[int] | None = None
    ) -> StoredCells:
        """All batches and the segments that are needed; see `read_cells`."""
        number = self.organization_number
        if self._connection is not None:
            cells = read_cells(
                self._connection, number, needed, self.packed_cache, customers=customers
            )
        elif self._cells is None:
            cells = self._store.read_cells_from_memory(
                number, needed, customers=customers, deadline=self.deadline
            )
        else:
            # Another statement would tell of another moment.
            raise NotRememberedError
        self._cells = cells
        return cells

    def segments(
        self, needed: Iterable[Needed], customers: Sequence[int] | None = None
    ) -> Sequence[tuple[int, Kept]]:
        """The same of segments alone."""
        return read_segments(
            self.connection,
            self.organization_number,
            needed,
            self.packed_cache,
            customers=customers,
        )

    def records_count(self) -> int:
        """How many records there are of what was earned."""
        if self._cells is not None:
            return self._cells.records_count
        count = self.connection.scalar(
            sa.select(organization.c.records_count).where(
                organization.c.number == self.organization_number
            )
        )
        return count or 0

    def customer_numbers(self, question: EventFilter) -> Sequence[int] | None:
        """The numbers of a filter's customers, in ascending order; None where all are meant."""
        return question.customer_numbers(
            self._connection, self.organization_number, self._store.customer_cache
        )

    def customers(self, numbers: Iterable[int]) -> dict[int, Customer]:
        """The customers of these numbers, so far as there are any."""
        found: dict[int, Customer] = {}
        for chunk in chunks(numbers):
            rows = self.connection.execute(
                sa.select(customer.c.number, customer.c.id, customer.c.external_id).where(
                    customer.c.organization_number == self.organization_number,
                    customer.c.number.in_(chunk),
                )
            )
            found.update((number, Customer(one, text)) for number, one, text in rows)
        return found

    def series(
        self, question: MetricsQuestion, value: sa.Column[str] = series.c.product_id
    ) -> Sequence[tuple[int, str, str]]:
        """The number, product and value of each series under all filters but those of products."""
        rows = self.connection.execute(
            sa.select(series.c.number, series.c.product_id, value.label("value")).where(
                series.c.organization_number == self.organization_number,
                *question.filter.series_conditions(),
            )
        )
        return [(number, product, text) for number, product, text in rows]

    def chosen_series(
        self, question: MetricsQuestion, products: frozenset[str] | None, *, count: int
    ) -> "array[int]":
        """Group 0 for each of `count` series that a question is about; `products` are those of
        its events, None where all are meant."""
        if products is None and not question.filter.chooses_series:
            return array("i", [0]) * count
        chosen = array("i", [LEFT_OUT]) * count
        for number, product, _ in self.series(question):
            if products is None or product in products:
                chosen[number] = 0
        return chosen
