"""The dense numbers of customers, series and records inside their organization.

New ones are handed out inside the transaction that needs them. Whoever does so
holds the organization's row until the end, so numbers have no gaps, and a second
transaction that waited finds the first one's rows when it looks again.
"""

import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa

from cost_insights._native.ids import customer_id
from cost_insights.store.chunks import chunks
from cost_insights.store.schema import customer, organization, series

_T = TypeVar("_T")

SeriesParts = tuple[str, str, str, str]
"""(event name, LLM vendor, LLM model, product id); an absent one is empty."""


def known_customers(
    connection: sa.Connection, organization_number: int, ids: Iterable[bytes]
) -> dict[bytes, int]:
    """The numbers of the organization's customers among these ids."""
    numbers: dict[bytes, int] = {}
    for chunk in chunks(ids):
        rows = connection.execute(
            sa.select(customer.c.id, customer.c.number).where(
                customer.c.organization_number == organization_number,
                customer.c.id.in_([uuid.UUID(bytes=one) for one in chunk]),
            )
        )
        numbers.update((one.bytes, number) for one, number in rows)
    return numbers


def number_customers(
    connection: sa.Connection,
    organization_number: int,
    organization_id: uuid.UUID,
    external_ids: Sequence[str],
    *,
    now_us: int,
) -> dict[str, int]:
    """The numbers of the customers of these distinct external ids; new ones are registered."""
    return _number(
        connection,
        organization_number,
        external_ids,
        table=customer,
        count=organization.c.customers_count,
        find=_customers,
        row=lambda one: {
            "id": uuid.UUID(bytes=customer_id(organization_id.bytes, one)),
            "external_id": one,
            "created_us": now_us,
        },
    )


def number_series(
    connection: sa.Connection, organization_number: int, parts: Sequence[SeriesParts]
) -> dict[SeriesParts, int]:
    """The numbers of these distinct series; new ones are registered."""
    return _number(
        connection,
        organization_number,
        parts,
        table=series,
        count=organization.c.series_count,
        find=_series,
        row=lambda one: {
            "event_name": one[0],
            "llm_vendor": one[1],
            "llm_model": one[2],
            "product_id": one[3],
        },
    )


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


def _number(
    connection: sa.Connection,
    organization_number: int,
    keys: Sequence[_T],
    *,
    table: sa.Table,
    count: sa.Column[int],
    find: Callable[[sa.Connection, int, Iterable[_T]], dict[_T, int]],
    row: Callable[[_T], dict[str, Any]],
) -> dict[_T, int]:
    """The numbers of the keys in a table; those that `find` does not find get the next ones.

    `count` is the organization's column with the next number, `row` the rest of
    what a new key's row holds.
    """
    numbers = find(connection, organization_number, keys)
    if len(numbers) == len(keys):
        return numbers
    owner = organization.c.number == organization_number
    first = connection.execute(sa.select(count).where(owner).with_for_update()).scalar_one()
    # Whoever held the organization's row before may have registered them.
    numbers |= find(connection, organization_number, [one for one in keys if one not in numbers])
    new = {
        one: first + place for place, one in enumerate(one for one in keys if one not in numbers)
    }
    if new:
        connection.execute(
            sa.insert(table),
            [
                {"organization_number": organization_number, "number": number, **row(one)}
                for one, number in new.items()
            ],
        )
        connection.execute(sa.update(organization).where(owner).values({count: first + len(new)}))
    return numbers | new


def _customers(
    connection: sa.Connection, organization_number: int, external_ids: Iterable[str]
) -> dict[str, int]:
    numbers: dict[str, int] = {}
    for chunk in chunks(external_ids):
        rows = connection.execute(
            sa.select(customer.c.external_id, customer.c.number).where(
                customer.c.organization_number == organization_number,
                customer.c.external_id.in_(chunk),
            )
        )
        numbers.update((one, number) for one, number in rows)
    return numbers


def _series(
    connection: sa.Connection, organization_number: int, parts: Iterable[SeriesParts]
) -> dict[SeriesParts, int]:
    columns = (
        series.c.event_name,
        series.c.llm_vendor,
        series.c.llm_model,
        series.c.product_id,
    )
    numbers: dict[SeriesParts, int] = {}
    for chunk in chunks(parts):
        rows = connection.execute(
            sa.select(*columns, series.c.number).where(
                series.c.organization_number == organization_number,
                sa.tuple_(*columns).in_(chunk),
            )
        )
        numbers.update(
            ((name, vendor, model, product), n) for name, vendor, model, product, n in rows
        )
    return numbers
