"""The dense numbers of customers, series and records inside their organization.

New ones are handed out inside the transaction that needs them, to all organizations at once.
Whoever does so holds the rows of these organizations until the end, so numbers have no gaps,
and a second transaction that waited finds the first one's rows when it looks again.
"""

import logging
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa

from cost_insights._native.ids import customer_id
from cost_insights.errors import FieldFault
from cost_insights.logs import RepeatedLines
from cost_insights.store.chunks import chunks
from cost_insights.store.many import at_once, conditions_of_keys, insert_rows, update_rows
from cost_insights.store.schema import customer, organization, series

_log = logging.getLogger(__name__)

_folding = RepeatedLines(_log, logging.WARNING)

_T = TypeVar("_T")

SeriesParts = tuple[str, str, str, str]
"""(event name, LLM vendor, LLM model, product id); an absent one is empty."""

OTHER: SeriesParts = ("other", "", "", "")
"""The series in whose cells those beyond the limit are counted. Their events keep their own name,
model and product; an event that is called like that is counted there as well."""

CustomerKey = tuple[int, str]
"""(organization number, the caller's identifier of a customer)"""

SeriesKey = tuple[int, SeriesParts]
"""(organization number, series)"""


class Quota(NamedTuple):
    """A limit that an organization would exceed."""

    limit: int
    left: int
    """The number of further ones that it may have."""


@dataclass(frozen=True)
class DefaultLimits:
    """The limits of organizations without limits of their own; 0 is none."""

    customers_max: int = 0
    series_max: int = 0


NO_LIMITS = DefaultLimits()


class FoundNumbers(NamedTuple):
    """The numbers of customers and series of any organizations."""

    customers: Mapping[CustomerKey, int]
    series: Mapping[SeriesKey, int]
    folded: int
    """The number of series among them that are new and folded."""

    quotas: Mapping[int, Quota]
    """Those of organizations with more new customers than they may have. If there are any, nothing
    was registered: the caller decides, and asks again."""


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
    defaults: DefaultLimits = NO_LIMITS,
) -> tuple[dict[str, int], int]:
    """The numbers of these distinct customers of one organization, and its limit of customers.

    New ones are registered, the first of them as far as the limit allows; others have no number.
    """
    keys = [(organization_number, one) for one in external_ids]
    number = partial(
        number_all,
        connection,
        all_series=(),
        organization_ids={organization_number: organization_id},
        now_us=now_us,
        defaults=defaults,
    )
    numbers, limit = number(keys), 0
    if quota := numbers.quotas.get(organization_number):
        new = _without(keys, numbers.customers)[quota.left :]
        numbers, limit = number([key for key in keys if key not in set(new)]), quota.limit
    return {one: found for (_, one), found in numbers.customers.items()}, limit


def number_all(
    connection: sa.Connection,
    customers: Sequence[CustomerKey],
    all_series: Sequence[SeriesKey],
    *,
    organization_ids: Mapping[int, uuid.UUID],
    now_us: int,
    defaults: DefaultLimits = NO_LIMITS,
) -> FoundNumbers:
    """The numbers of these distinct customers and series; new ones are registered.

    `organization_ids` has the id of each organization by its number. New series beyond the limit
    are folded: they get negative numbers. If there are new customers beyond it, nothing is
    registered.
    """
    owners = {owner for owner, _ in (*customers, *all_series)}
    # A series that nobody remembers is most likely new, so its organization must be held anyway.
    hold = bool(all_series)
    # Read before the keys are looked up: as long as they stay, nobody has registered any key since.
    before = _counts(connection, owners, hold=hold)
    found = (
        _customers(connection, (key for key in customers if before[key[0]].customers)),
        _series(connection, (key for key in all_series if before[key[0]].has_series)),
    )
    missing = _without(customers, found[0]), _without(all_series, found[1])
    folded = 0
    if any(missing):
        counts = before
        if not hold:
            counts = _counts(connection, {owner for owner, _ in missing[0]}, hold=True)
            found[0].update(_customers(connection, _changed(missing[0], before, counts)))
        quotas = _quotas(_without(missing[0], found[0]), counts, defaults)
        if quotas:
            return FoundNumbers(*found, 0, quotas)
        new_customers = _new_customers(_without(missing[0], found[0]), counts)
        unknown = _without(missing[1], found[1])
        new_series = _new_series(unknown, counts, _limits(connection, unknown, counts, defaults))
        with at_once(connection):
            _insert_customers(connection, new_customers, organization_ids, now_us)
            _insert_series(connection, new_series)
            _write_counts(connection, counts, {owner for owner, _ in (*new_customers, *new_series)})
        found[0].update(new_customers)
        found[1].update(new_series)
        folded = sum(number < 0 for number in new_series.values())
    return FoundNumbers(*found, folded, {})


def too_many_customers(path: str, external_id: str, customers_max: int) -> FieldFault:
    """The fault of a customer that would be one more than the organization may have."""
    shown = external_id[:64]
    return FieldFault(
        path,
        "TOO_MANY_CUSTOMERS",
        f'the customer "{shown}" is new, and the organization may have at most {customers_max} '
        "customers",
        shown,
        {"customers_max": str(customers_max)},
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


def other_series(connection: sa.Connection, owners: Iterable[int]) -> dict[int, int]:
    """The number of the series that counts the folded ones, of each organization that has any."""
    numbers: dict[int, int] = {}
    for chunk in chunks(owners):
        rows = connection.execute(
            sa.select(organization.c.number, organization.c.other_series).where(
                organization.c.number.in_(chunk), organization.c.other_series.is_not(None)
            )
        )
        numbers.update((owner, number) for owner, number in rows)
    return numbers


@dataclass
class _Counts:
    """The next numbers of an organization, and its limits."""

    customers: int
    series: int
    folded: int
    other: int | None
    """The number of the series that counts the folded ones."""

    series_max: int | None
    customers_max: int | None

    @property
    def has_series(self) -> bool:
        """Whether any series was registered, folded ones included."""
        return self.series > 0 or self.folded > 0

    def limits(self, defaults: DefaultLimits) -> DefaultLimits:
        """The limits of the organization."""
        return DefaultLimits(
            defaults.customers_max if self.customers_max is None else self.customers_max,
            defaults.series_max if self.series_max is None else self.series_max,
        )


def _counts(
    connection: sa.Connection, owners: Iterable[int], *, hold: bool = False
) -> dict[int, _Counts]:
    """The next numbers of organizations, which are theirs from now on if their rows are held."""
    counts: dict[int, _Counts] = {}
    # The order is the same everywhere, so that two transactions never wait for each other's rows.
    for chunk in chunks(sorted(owners)):
        statement = (
            sa.select(
                organization.c.number,
                organization.c.customers_count,
                organization.c.series_count,
                organization.c.folded_count,
                organization.c.other_series,
                organization.c.series_max,
                organization.c.customers_max,
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
    keys: Iterable[CustomerKey], before: Mapping[int, _Counts], counts: Mapping[int, _Counts]
) -> list[CustomerKey]:
    """The keys of the organizations whose counts have changed."""
    return [(owner, key) for owner, key in keys if counts[owner] != before[owner]]


def _quotas(
    new: Sequence[CustomerKey], counts: Mapping[int, _Counts], defaults: DefaultLimits
) -> dict[int, Quota]:
    """The limits of the organizations that would have more customers than they may."""
    quotas: dict[int, Quota] = {}
    for owner, count in Counter(owner for owner, _ in new).items():
        limit = counts[owner].limits(defaults).customers_max
        if limit and counts[owner].customers + count > limit:
            quotas[owner] = Quota(limit, max(0, limit - counts[owner].customers))
    return quotas


def _new_customers(
    keys: Iterable[CustomerKey], counts: Mapping[int, _Counts]
) -> dict[CustomerKey, int]:
    """The numbers of new customers, which are counted."""
    numbers: dict[CustomerKey, int] = {}
    for owner, external_id in keys:
        numbers[owner, external_id] = counts[owner].customers
        counts[owner].customers += 1
    return numbers


def _limits(
    connection: sa.Connection,
    new: Sequence[SeriesKey],
    counts: Mapping[int, _Counts],
    defaults: DefaultLimits,
) -> dict[int, int]:
    """The limits of the organizations that have new series beyond them; the series that counts
    those is found where there is one already."""
    by_owner = Counter(owner for owner, _ in new)
    limits = {
        owner: limit
        for owner, count in by_owner.items()
        if (limit := counts[owner].limits(defaults).series_max)
        and counts[owner].series + count > limit
    }
    unknown = [(owner, OTHER) for owner in limits if counts[owner].other is None]
    for (owner, _), number in _series(connection, unknown).items():
        counts[owner].other = number
    return limits


def _new_series(
    keys: Iterable[SeriesKey], counts: Mapping[int, _Counts], limits: Mapping[int, int]
) -> dict[SeriesKey, int]:
    """The numbers of new series, which are counted; `limits` are those of organizations that have
    more."""
    numbers: dict[SeriesKey, int] = {}

    def give(owner: int, parts: SeriesParts) -> int:
        number = numbers[owner, parts] = counts[owner].series
        counts[owner].series += 1
        return number

    for owner, parts in keys:
        count = counts[owner]
        if owner not in limits or count.series < limits[owner]:
            give(owner, parts)
            continue
        if count.other is None:
            # One more than the limit, unless it has a number already.
            known = numbers.get((owner, OTHER))
            count.other = give(owner, OTHER) if known is None else known
        if parts == OTHER:
            continue
        count.folded += 1
        numbers[owner, parts] = -count.folded
        _folding.write(
            f"organization number {owner} has reached its limit of {limits[owner]} series: others "
            "are counted together, as the event name 'other'",
            key=owner,
        )
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
    columns = (
        organization.c.number,
        organization.c.customers_count,
        organization.c.series_count,
        organization.c.folded_count,
        organization.c.other_series,
    )
    rows = (
        (owner, count.customers, count.series, count.folded, count.other)
        for owner in owners
        if (count := counts[owner])
    )
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
