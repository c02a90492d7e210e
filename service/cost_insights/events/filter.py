"""The filter that selects the events of a question."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from cost_insights.customers.cache import CustomerCache
from cost_insights.customers.lookup import customer_numbers
from cost_insights.events.conditions import Condition, texts_of
from cost_insights.store.expressions import IntegerList, is_any_of
from cost_insights.store.schema import event, series


@dataclass(frozen=True)
class EventFilter:
    """Events of any of these customers, names, vendors, models and products; an empty list means
    all."""

    customer_ids: Sequence[str] = ()
    """UUIDs; any other text is the caller's own identifier, as it is in an event."""

    external_customer_ids: Sequence[str] = ()
    event_names: Sequence[str] = ()
    llm_vendors: Sequence[str] = ()
    """An empty text means events without an LLM call, here and in `llm_models`."""

    llm_models: Sequence[str] = ()
    product_ids: Sequence[str] = ()
    """An empty text means events without a product. Questions of metrics choose products on their
    own, because revenue has them too."""

    def conditions(
        self, connection: sa.Connection, organization_number: int
    ) -> list[sa.ColumnElement[bool]]:
        """The conditions on a row of `event`, including its organization."""
        return conditions_of_numbers(
            organization_number,
            self.customer_numbers(lambda: connection, organization_number),
            self.series_numbers(connection, organization_number),
        )

    def series_numbers(
        self, connection: sa.Connection, organization_number: int
    ) -> Sequence[int] | None:
        """The numbers of the series; None if all are meant."""
        if not self.chooses_series:
            return None
        numbers = connection.scalars(
            sa.select(series.c.number).where(
                series.c.organization_number == organization_number, *self.series_conditions()
            )
        )
        return numbers.all()

    def series_numbers_with(
        self, connection: sa.Connection, organization_number: int, condition: Condition
    ) -> Sequence[int] | None:
        """The numbers of the series, as far as a condition tells of some that it holds for none of
        their events; None if all are meant."""
        numbers = self.series_numbers(connection, organization_number)
        implied = EventFilter(
            event_names=texts_of(condition, "name") or (),
            llm_vendors=texts_of(condition, "_llm.vendor") or (),
            llm_models=texts_of(condition, "_llm.model") or (),
        ).series_numbers(connection, organization_number)
        if numbers is None or implied is None:
            return implied if numbers is None else numbers
        return sorted(set(numbers) & set(implied))

    def customer_numbers(
        self,
        connect: Callable[[], sa.Connection],
        organization_number: int,
        cache: CustomerCache | None = None,
    ) -> Sequence[int] | None:
        """The numbers of the customers, in ascending order; None if all are meant.

        `connect` returns a connection, and is only called for customers that are not in the cache.
        """
        if not self.customer_ids and not self.external_customer_ids:
            return None
        return customer_numbers(
            connect,
            organization_number,
            self.customer_ids,
            self.external_customer_ids,
            cache,
        )

    @property
    def chooses_series(self) -> bool:
        """Whether the filter leaves out the events of some series."""
        return bool(self.event_names or self.llm_vendors or self.llm_models or self.product_ids)

    def series_conditions(self) -> list[sa.ColumnElement[bool]]:
        """The conditions on a row of `series`, without its organization."""
        return [
            column.in_(values)
            for column, values in (
                (series.c.event_name, self.event_names),
                (series.c.llm_vendor, self.llm_vendors),
                (series.c.llm_model, self.llm_models),
                (series.c.product_id, self.product_ids),
            )
            if values
        ]


def conditions_of_numbers(
    organization_number: int, customers: Sequence[int] | None, series_numbers: Sequence[int] | None
) -> list[sa.ColumnElement[bool]]:
    """The conditions on a row of `event`: its organization, and any of these customers and series,
    or all where they are None."""
    conditions = [event.c.organization_number == organization_number]
    if customers is not None:
        conditions.append(is_any_of(event.c.customer_number, sa.literal(customers, IntegerList)))
    if series_numbers is not None:
        conditions.append(is_any_of(event.c.series_number, sa.literal(series_numbers, IntegerList)))
    return conditions
