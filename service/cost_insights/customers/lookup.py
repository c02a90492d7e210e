"""Looking up the numbers of customers by the names that callers use."""

import re
import uuid
from collections.abc import Callable, Iterable, Sequence

import sqlalchemy as sa

from cost_insights.customers.cache import CustomerCache, CustomerName
from cost_insights.store.schema import customer


def customer_numbers(
    connect: Callable[[], sa.Connection],
    organization_number: int,
    customer_ids: Iterable[str],
    external_customer_ids: Iterable[str],
    cache: CustomerCache | None = None,
) -> Sequence[int]:
    """The numbers of the organization's customers that a filter names, in ascending order.

    Text in `customer_ids` that is not a UUID is the caller's own identifier. `connect` gives
    a connection, and is called only for customers that the cache does not have.
    """
    cache = CustomerCache(0) if cache is None else cache
    ids, external_ids = _customer_ids(customer_ids)
    external_ids += external_customer_ids
    numbers = cache.known(organization_number, (*ids, *external_ids))
    ids = [one for one in ids if one not in numbers]
    external_ids = [one for one in external_ids if one not in numbers]
    if ids or external_ids:
        named = {*ids, *external_ids}
        # With an empty list beside the other one, SQLite would not use any index.
        columns = ((customer.c.id, ids), (customer.c.external_id, external_ids))
        conditions = [column.in_(asked) for column, asked in columns if asked]
        found: dict[CustomerName, int] = {}
        for number, *names in connect().execute(
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
    # `uuid.UUID` also takes texts that are not UUIDs, with underscores or braces.
    return uuid.UUID(text) if _UUID.fullmatch(text) else None


_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
