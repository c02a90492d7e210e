"""Where the facts of one question are read: one snapshot of the database.

Cells hold numbers of customers and series; here is what a caller calls them by.
"""

import uuid
from array import array
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from cost_insights.identity import Organization
from cost_insights.metrics.question import MetricsQuestion
from cost_insights.store import CustomerCache, Deadline, PackedCache, Store, chunks
from cost_insights.store.schema import customer, series

LEFT_OUT = -1
"""The group of a series whose events do not count, as native knows it."""


class Customer(NamedTuple):
    """Who caused costs."""

    id: uuid.UUID
    external_id: str


class Snapshot(NamedTuple):
    """What an organization had stored at one moment, as long as the transaction lasts."""

    connection: sa.Connection
    organization_number: int
    packed_cache: PackedCache
    customer_cache: CustomerCache
    """What is remembered of former snapshots, in both."""

    deadline: Deadline
    """When reading ends, finished or not."""

    @classmethod
    def of(
        cls,
        store: Store,
        connection: sa.Connection,
        organization: Organization,
        deadline: Deadline,
    ) -> "Snapshot":
        """Of a transaction that reads."""
        caches = store.packed_cache, store.customer_cache
        return cls(connection, organization.number, *caches, deadline)

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
        self, asked: MetricsQuestion, value: sa.Column[str] = series.c.product_id
    ) -> Sequence[tuple[int, str, str]]:
        """The number, product and value of each series under all filters but those of products."""
        rows = self.connection.execute(
            sa.select(series.c.number, series.c.product_id, value.label("value")).where(
                series.c.organization_number == self.organization_number,
                *asked.filter.series_conditions(),
            )
        )
        return [(number, product, text) for number, product, text in rows]

    def chosen_series(
        self, asked: MetricsQuestion, products: frozenset[str] | None, *, count: int
    ) -> "array[int]":
        """Group 0 for each of `count` series that a question is about; `products` are those of
        its events, None where all are meant."""
        if products is None and not asked.filter.chooses_series:
            return array("i", [0]) * count
        chosen = array("i", [LEFT_OUT]) * count
        for number, product, _ in self.series(asked):
            if products is None or product in products:
                chosen[number] = 0
        return chosen
