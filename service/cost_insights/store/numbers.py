"""The dense numbers of customers and series inside their organization.

New ones are handed out inside the transaction that needs them. Whoever does so
holds the organization's row until the end, so numbers have no gaps, and a second
transaction that waited finds the first one's rows when it looks again.
"""

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

import sqlalchemy as sa

from cost_insights.store.schema import customer, organization, series

VALUES_MAX = 2_000
"""How many values one statement compares with: databases limit it."""

SeriesParts = tuple[str, str, str, str]
"""(event name, LLM vendor, LLM model, product id); an absent one is empty."""

_T = TypeVar("_T")


def chunks(values: Iterable[_T]) -> Iterator[list[_T]]:
    """The values in lists short enough for one statement."""
    remaining = iter(values)
    while chunk := list(islice(remaining, VALUES_MAX)):
        yield chunk


def derived_customer_id(organization_id: uuid.UUID, external_id: str) -> uuid.UUID:
    """The id of the customer of that external id: a UUID of version 8, a digest of both.

    No external id holds U+0000, so no event has the same.
    """
    digest = bytearray(
        hashlib.sha256(organization_id.bytes + b"\0customer\0" + external_id.encode()).digest()
    )
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return uuid.UUID(bytes=bytes(digest[:16]))


def known_customers(
    connection: sa.Connection, organization_number: int, ids: Iterable[bytes]
) -> dict[bytes, int]:
    """The numbers of those customers, given by id, that the organization has."""
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
    numbers = _customers(connection, organization_number, external_ids)
    if missing := [one for one in external_ids if one not in numbers]:
        first = _lock(connection, organization_number, organization.c.customers_count)
        # Whoever held the row before may have registered them.
        numbers |= _customers(connection, organization_number, missing)
        missing = [one for one in missing if one not in numbers]
        new = dict(zip(missing, range(first, first + len(missing)), strict=True))
        if new:
            connection.execute(
                sa.insert(customer),
                [
                    {
                        "organization_number": organization_number,
                        "number": number,
                        "id": derived_customer_id(organization_id, one),
                        "external_id": one,
                        "created_us": now_us,
                    }
                    for one, number in new.items()
                ],
            )
            _count(connection, organization_number, organization.c.customers_count, len(new))
        numbers |= new
    return numbers


def number_series(
    connection: sa.Connection, organization_number: int, parts: Sequence[SeriesParts]
) -> dict[SeriesParts, int]:
    """The numbers of these distinct series; new ones are registered."""
    numbers = _series(connection, organization_number, parts)
    if missing := [one for one in parts if one not in numbers]:
        first = _lock(connection, organization_number, organization.c.series_count)
        numbers |= _series(connection, organization_number, missing)
        missing = [one for one in missing if one not in numbers]
        new = dict(zip(missing, range(first, first + len(missing)), strict=True))
        if new:
            connection.execute(
                sa.insert(series),
                [
                    {
                        "organization_number": organization_number,
                        "number": number,
                        "event_name": one[0],
                        "llm_vendor": one[1],
                        "llm_model": one[2],
                        "product_id": one[3],
                    }
                    for one, number in new.items()
                ],
            )
            _count(connection, organization_number, organization.c.series_count, len(new))
        numbers |= new
    return numbers


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


def _lock(connection: sa.Connection, organization_number: int, count: sa.Column[int]) -> int:
    """Holds the organization's row until the end of the transaction and returns the next number."""
    statement = sa.select(count).where(organization.c.number == organization_number)
    return int(connection.execute(statement.with_for_update()).scalar_one())


def _count(
    connection: sa.Connection, organization_number: int, count: sa.Column[int], more: int
) -> None:
    connection.execute(
        sa.update(organization)
        .where(organization.c.number == organization_number)
        .values({count: count + more})
    )
