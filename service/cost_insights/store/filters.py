"""Which events a question is about."""

import re
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from cost_insights.store.customer_cache import CustomerCache, CustomerName
from cost_insights.store.memory import asked_of
from cost_insights.store.schema import customer, event, series


@dataclass(frozen=True)
class EventFilter:
    """Events of any of these customers, names, vendors and models; an empty list means all."""

    customer_ids: Sequence[str] = ()
    """UUIDs; any other text is the caller's own identifier, as it is in an event."""

    external_customer_ids: Sequence[str] = ()
    event_names: Sequence[str] = ()
    llm_vendors: Sequence[str] = ()
    """An empty text means events without an LLM call, here and in `llm_models`."""

    llm_models: Sequence[str] = ()

    def conditions(
        self, connection: sa.Connection, organization_number: int
    ) -> list[sa.ColumnElement[bool]]:
        """What a row of `event` must fulfil, its organization included."""
        conditions = [event.c.organization_number == organization_number]
        customers = self.customer_numbers(connection, organization_number)
        if customers is not None:
            conditions.append(event.c.customer_number.in_(customers))
        if self.chooses_series:
            numbers = connection.scalars(
                sa.select(series.c.number).where(
                    series.c.organization_number == organization_number, *self.series_conditions()
                )
            )
            conditions.append(event.c.series_number.in_(numbers.all()))
        return conditions

    def customer_numbers(
        self,
        connection: sa.Connection | None,
        organization_number: int,
        cache: CustomerCache | None = None,
    ) -> Sequence[int] | None:
        """The numbers of the customers, in ascending order; None where all are meant.

        With a cache the database is asked only for those that it does not know; without
        a connection NotRememberedError is raised for them.
        """
        if not self.customer_ids and not self.external_customer_ids:
            return None
        return customer_numbers(
            connection,
            organization_number,
            self.customer_ids,
            self.external_customer_ids,
            cache,
        )

    @property
    def chooses_series(self) -> bool:
        """Whether the events of some series are left out."""
        return bool(self.event_names or self.llm_vendors or self.llm_models)

    def series_conditions(self) -> list[sa.ColumnElement[bool]]:
        """What a row of `series` must fulfil, whatever its organization."""
        return [
            column.in_(values)
            for column, values in (
                (series.c.event_name, self.event_names),
                (series.c.llm_vendor, self.llm_vendors),
                (series.c.llm_model, self.llm_models),
            )
            if values
        ]


def customer_numbers(
    connection: sa.Connection | None,
    organization_number: int,
    customer_ids: Iterable[str],
    external_customer_ids: Iterable[str],
    cache: CustomerCache | None = None,
) -> Sequence[int]:
    """The numbers of the organization's customers that a filter names, in ascending order.

    What is no UUID in `customer_ids` is the caller's own identifier. Without a connection
    NotRememberedError is raised for those that the cache does not know.
    """
    cache = CustomerCache(0) if cache is None else cache
    ids, external_ids = _customer_ids(customer_ids)
    external_ids += external_customer_ids
    numbers = cache.known(organization_number, (*ids, *external_ids))
    ids = [one for one in ids if one not in numbers]
    external_ids = [one for one in external_ids if one not in numbers]
    if ids or external_ids:
        named = {*ids, *external_ids}
        # An empty list beside another one would keep SQLite from using any index.
        columns = ((customer.c.id, ids), (customer.c.external_id, external_ids))
        conditions = [column.in_(asked) for column, asked in columns if asked]
        found: dict[CustomerName, int] = {}
        for number, *names in asked_of(connection).execute(
            sa.select(customer.c.number, customer.c.id, customer.c.external_id).where(
                customer.c.organization_number == organization_number, sa.or_(*conditions)
            )
        ):
            found.update((name, number) for name in names if name in named)
        cache.remember(organization_number, found)
        numbers |= found
    return sorted(set(numbers.values()))


def _customer_ids(texts: Iterable[str]) -> tuple[list[uuid.UUID], list[str]]:
    ids: list[uuid.UUID] = []
    external_ids: list[str] = []
    for text in texts:
        if (parsed := parse_uuid(text)) is not None:
            ids.append(parsed)
        else:
            external_ids.append(text)
    return ids, external_ids


def parse_uuid(text: str) -> uuid.UUID | None:
    """The UUID that a text of the form 8-4-4-4-12 is, in any letter case."""
    # Not all that `uuid.UUID` takes, such as underscores and braces, is one.
    return uuid.UUID(text) if _UUID.fullmatch(text) else None


_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
