"""The dense numbers of customers, series and records inside their organization.

New ones are handed out inside the transaction that needs them, to all organizations at once.
Whoever does so holds the rows of these organizations until the end, so numbers have no gaps,
and a second transaction that waited finds the first one's rows when it looks again.
"""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa

from cost_insights._native.ids import customer_id
from cost_insights.store.chunks import chunks
from cost_insights.store.many import at_once, conditions_of_keys, insert_rows, update_rows
from cost_insights.store.schema import customer, organization, series

_T = TypeVar("_T")

SeriesParts = tuple[str, str, str, str]
"""(event name, LLM vendor, LLM model, product id); an absent one is empty."""

CustomerKey = tuple[int, str]
"""(organization number, the caller's identifier of a customer)"""

SeriesKey = tuple[int, SeriesParts]
"""(organization number, series)"""


class FoundNumbers(NamedTuple):
    """The numbers of customers and series of any organizations."""

    customers: Mapping[CustomerKey, int]
    series: Mapping[SeriesKey, int]


def known_customers(
    connection: sa.Connection, ids: Iterable[tuple[int, bytes]]
) -> dict[tuple[int, bytes], int]:
    """The numbers of the customers among these ids, each after the number of the organization
    that it must belong to."""
    columns = (customer.c.organization_number, customer.c.id)
    keys = [(owner, uuid.UUID(bytes=one)) for owner, one in ids]
    return {
        (owner, one.bytes): number
        for owner, one, number in _rows(connection, columns, keys, customer.c.number)
    }


def number_customers(
    connection: sa.Connection,
    organization_number: int,
    organization_id: uuid.UUID,
    external_ids: Sequence[str],
    *,
    now_us: int,
) -> dict[str, int]:
    """The numbers of these distinct customers of one organization; new ones are registered."""
    keys = [(organization_number, one) for one in external_ids]
    numbers = number_all(
        connection, keys, (), organization_ids={organization_number: organization_id}, now_us=now_us
    )
    return {external_id: number for (_, external_id), number in numbers.customers.items()}


def number_all(
    connection: sa.Connection,
    customers: Sequence[CustomerKey],
    all_series: Sequence[SeriesKey],
    *,
    organization_ids: Mapping[int, uuid.UUID],
    now_us: int,
) -> FoundNumbers:
    """The numbers of these distinct customers and series; new ones are registered.

    `organization_ids` has the id of each organization by its number.
    """
    # Read before the keys are looked up: as long as they stay, nobody has registered any key since.
    before = _counts(connection, {owner for owner, _ in (*customers, *all_series)})
    found = _customers(connection, customers), _series(connection, all_series)
    missing = _without(customers, found[0]), _without(all_series, found[1])
    if any(missing):
        counts = _counts(connection, {owner for keys in missing for owner, _ in keys}, hold=True)
        found[0].update(_customers(connection, _changed(missing[0], before, counts)))
        found[1].update(_series(connection, _changed(missing[1], before, counts)))
        new_customers = _new_customers(_without(missing[0], found[0]), counts)
        new_series = _new_series(_without(missing[1], found[1]), counts)
        with at_once(connection):
            _insert_customers(connection, new_customers, organization_ids, now_us)
            _insert_series(connection, new_series)
            _write_counts(connection, counts, {owner for owner, _ in (*new_customers, *new_series)})
        found[0].update(new_customers)
        found[1].update(new_series)
    return FoundNumbers(*found)


def number_records(connection: sa.Connection, organization_number: int, records: int) -> range:
    """The next numbers, one for each of so many records.

    The organization's row is held until the end, so that they are in the order of commits.
    """
    last = connection.execute(
        sa.update(organization)
        .where(organization.c.number == organization_number)
        .values(records_count=organization.c.records_count + records)
        .returning(organization.c.records_count)
    ).scalar_one()
    return range(last - records + 1, last + 1)


@dataclass
class _Counts:
    """The next numbers of an organization."""

    customers: int
    series: int


def _counts(
    connection: sa.Connection, owners: Iterable[int], *, hold: bool = False
) -> dict[int, _Counts]:
    """The next numbers of organizations, which are theirs from now on if their rows are held."""
    counts: dict[int, _Counts] = {}
    # The order is the same everywhere, so that two transactions never wait for each other's rows.
    for chunk in chunks(sorted(owners)):
        statement = (
            sa.select(
                organization.c.number, organization.c.customers_count, organization.c.series_count
            )
            .where(organization.c.number.in_(chunk))
            .order_by(organization.c.number)
        )
        rows = connection.execute(statement.with_for_update() if hold else statement)
        counts.update((owner, _Counts(*row)) for owner, *row in rows)
    return counts


def _without(keys: Iterable[_T], known: Mapping[_T, int]) -> list[_T]:
    return [key for key in keys if key not in known]


def _changed(
    keys: Iterable[tuple[int, _T]], before: Mapping[int, _Counts], counts: Mapping[int, _Counts]
) -> list[tuple[int, _T]]:
    """The keys of the organizations whose counts have changed."""
    return [(owner, key) for owner, key in keys if counts[owner] != before[owner]]


def _new_customers(
    keys: Iterable[CustomerKey], counts: Mapping[int, _Counts]
) -> dict[CustomerKey, int]:
    """The numbers of new customers, which are counted."""
    numbers: dict[CustomerKey, int] = {}
    for owner, external_id in keys:
        numbers[owner, external_id] = counts[owner].customers
        counts[owner].customers += 1
    return numbers


def _new_series(keys: Iterable[SeriesKey], counts: Mapping[int, _Counts]) -> dict[SeriesKey, int]:
    """The numbers of new series, which are counted."""
    numbers: dict[SeriesKey, int] = {}
    for owner, parts in keys:
        numbers[owner, parts] = counts[owner].series
        counts[owner].series += 1
    return numbers


def _insert_customers(
    connection: sa.Connection,
    numbers: Mapping[CustomerKey, int],
    organization_ids: Mapping[int, uuid.UUID],
    now_us: int,
) -> None:
    columns = (
        customer.c.organization_number,
        customer.c.number,
        customer.c.id,
        customer.c.external_id,
        customer.c.created_us,
    )
    rows = (
        (
            owner,
            number,
            uuid.UUID(bytes=customer_id(organization_ids[owner].bytes, external_id)),
            external_id,
            now_us,
        )
        for (owner, external_id), number in numbers.items()
    )
    insert_rows(connection, columns, rows)


def _insert_series(connection: sa.Connection, numbers: Mapping[SeriesKey, int]) -> None:
    columns = (series.c.organization_number, series.c.number, *_SERIES_PARTS)
    rows = ((owner, number, *parts) for (owner, parts), number in numbers.items())
    insert_rows(connection, columns, rows)


def _write_counts(
    connection: sa.Connection, counts: Mapping[int, _Counts], owners: Iterable[int]
) -> None:
    columns = (organization.c.number, organization.c.customers_count, organization.c.series_count)
    rows = ((owner, counts[owner].customers, counts[owner].series) for owner in owners)
    update_rows(connection, columns, rows)


def _customers(connection: sa.Connection, keys: Iterable[CustomerKey]) -> dict[CustomerKey, int]:
    columns = (customer.c.organization_number, customer.c.external_id)
    return {
        (owner, external_id): number
        for owner, external_id, number in _rows(connection, columns, keys, customer.c.number)
    }


_SERIES_PARTS = (
    series.c.event_name,
    series.c.llm_vendor,
    series.c.llm_model,
    series.c.product_id,
)


def _series(connection: sa.Connection, keys: Iterable[SeriesKey]) -> dict[SeriesKey, int]:
    columns = (series.c.organization_number, *_SERIES_PARTS)
    rows = _rows(connection, columns, [(owner, *parts) for owner, parts in keys], series.c.number)
    return {
        (owner, (name, vendor, model, product)): number
        for owner, name, vendor, model, product, number in rows
    }


def _rows(
    connection: sa.Connection,
    columns: Sequence[sa.Column[Any]],
    keys: Iterable[Sequence[Any]],
    number: sa.Column[int],
) -> Iterator[Any]:
    for condition in conditions_of_keys(connection, columns, keys):
        yield from connection.execute(sa.select(*columns, number).where(condition))
