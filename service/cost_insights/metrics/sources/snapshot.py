"""Reading the facts of one question from one snapshot of the database.

Cells hold numbers of customers and series; here is what a caller calls them by.
"""

import uuid
from array import array
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple

import sqlalchemy as sa

from cost_insights._native.cells import CachedCells
from cost_insights.cells import CellCache, CellReader, Needed, StoredCells
from cost_insights.customers import CustomerCache
from cost_insights.events import EventFilter
from cost_insights.identity import Organization
from cost_insights.metrics.question import MetricsQuestion
from cost_insights.store import Deadline, Store, chunks
from cost_insights.store.expressions import IntegerList, is_any_of
from cost_insights.store.schema import customer, organization, series

LEFT_OUT = -1
"""Native's number of the group for series whose events do not count."""


class Customer(NamedTuple):
    """A customer who caused costs."""

    id: uuid.UUID
    external_id: str


@dataclass(frozen=True)
class Caches:
    """Caches that outlive the snapshot of a question."""

    cells: CellCache
    customers: CustomerCache


class Snapshot(AbstractContextManager["Snapshot"]):
    """The stored data of an organization at one moment.

    The moment is that of a transaction, which begins with the first statement. Most
    questions need none: a single statement tells which cells there are, and where all
    of these are in the cache, its moment is that of the snapshot.
    """

    def __init__(
        self,
        store: Store,
        caches: Caches,
        owner: Organization,
        deadline: Deadline,
        *,
        transaction: bool,
        cells_bytes_max: int,
    ) -> None:
        """`transaction` is whether one is needed anyway, as more than one statement is.

        Cells of more than `cells_bytes_max` are not read: CellsTooLargeError is raised before.
        """
        self._store = store
        self._caches = caches
        self._cell_reader = CellReader(store, caches.cells, bytes_max=cells_bytes_max)
        self.organization_number = owner.number
        self.deadline = deadline
        """The time limit of reading."""

        self._connection: sa.Connection | None = None
        self._closing = ExitStack()
        self._cells: StoredCells | None = None
        self._may_use_cache = not transaction
        self._is_of_cache = False

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        return self._closing.__exit__(kind, error, trace)

    @property
    def connection(self) -> sa.Connection:
        """The transaction, which begins with the first use."""
        if self._connection is None:
            self._connection = self._closing.enter_context(self._store.read(self.deadline))
        return self._connection

    def cells(
        self, needed: Iterable[Needed], customers: Sequence[int] | None = None
    ) -> StoredCells:
        """All batches and the segments that are needed; see `CellReader`."""
        needed = tuple(needed)
        cells = None
        if self._may_use_cache:
            self._may_use_cache = False
            cells = self._cell_reader.cached_cells(
                self.organization_number, needed, customers=customers, deadline=self.deadline
            )
            self._is_of_cache = cells is not None
        if cells is None:
            cells = self._cell_reader.cells(
                self._connection_of_cells, self.organization_number, needed, customers=customers
            )
        self._cells = cells
        return cells

    def segments(
        self, needed: Iterable[Needed], customers: Sequence[int] | None = None
    ) -> Sequence[tuple[int, CachedCells]]:
        """The segments that are needed, without batches, as (kind, contents)."""
        return self._cell_reader.segments(
            self._connection_of_cells, self.organization_number, needed, customers=customers
        )

    def segment_contents(self, ids: Sequence[uuid.UUID]) -> Sequence[CachedCells]:
        """The contents of these segments."""
        return self._cell_reader.contents(self._connection_of_cells, self.organization_number, ids)

    @property
    def _connection_of_cells(self) -> sa.Connection:
        if self._is_of_cache:
            # A transaction that begins now sees a later moment, with other cells.
            raise AssertionError("cells are read after those of another moment")
        return self.connection

    def records_count(self) -> int:
        """The number of records of revenue."""
        if self._cells is not None:
            return self._cells.records_count
        return self.records_count_of_transaction()

    def records_count_of_transaction(self) -> int:
        """The number of records in the transaction, which may have begun after the cells were
        found."""
        count = self.connection.scalar(
            sa.select(organization.c.records_count).where(
                organization.c.number == self.organization_number
            )
        )
        return count or 0

    def customers_count(self) -> int:
        """The number of all customers of the organization."""
        count = self.connection.scalar(
            sa.select(organization.c.customers_count).where(
                organization.c.number == self.organization_number
            )
        )
        return count or 0

    def customer_numbers(self, chosen: EventFilter) -> Sequence[int] | None:
        """The numbers of a filter's customers, in ascending order; None where all are meant."""
        return chosen.customer_numbers(
            lambda: self.connection, self.organization_number, self._caches.customers
        )

    def customers(self, numbers: Iterable[int]) -> dict[int, Customer]:
        """The customers of these numbers, so far as there are any."""
        found: dict[int, Customer] = {}
        for chunk in chunks(numbers):
            rows = self.connection.execute(
                sa.select(customer.c.number, customer.c.id, customer.c.external_id).where(
                    customer.c.organization_number == self.organization_number,
                    # One parameter: thousands would take longer to write than to answer.
                    is_any_of(customer.c.number, sa.literal(chunk, IntegerList)),
                )
            )
            found.update((number, Customer(one, text)) for number, one, text in rows)
        return found

    def first_customers(self, numbers: Sequence[int], count: int) -> Sequence[int]:
        """The numbers of those of some customers who come first by their external ids."""
        rows = self.connection.scalars(
            sa.select(customer.c.number)
            .where(
                customer.c.organization_number == self.organization_number,
                is_any_of(customer.c.number, sa.literal(numbers, IntegerList)),
            )
            .order_by(customer.c.external_id)
            .limit(count)
        )
        return rows.all()

    def series(
        self, question: MetricsQuestion, value: sa.Column[str] = series.c.product_id
    ) -> Sequence[tuple[int, str, str]]:
        """The number, product and value of each series under all filters but those of products.

        Folded ones are not among them: cells do not tell them apart.
        """
        rows = self.connection.execute(
            sa.select(series.c.number, series.c.product_id, value.label("value")).where(
                series.c.organization_number == self.organization_number,
                series.c.number >= 0,
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
