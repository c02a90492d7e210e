"""Reading the cells that a question needs: segments and pending batches."""

import uuid
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import sqlalchemy as sa

from cost_insights._native.cells import CachedCells
from cost_insights.cells.cache import CellCache
from cost_insights.cells.kinds import Needed
from cost_insights.cells.rows import read_packed
from cost_insights.store import Deadline, Store
from cost_insights.store.dialect import Dialect
from cost_insights.store.schema import batch, segment


class StoredCells(NamedTuple):
    """The stored data of an organization that a question reads."""

    series_count: int
    """The number of series."""

    records_count: int
    """The number of recorded orders, refunds and subscriptions."""

    batches: Sequence[CachedCells]
    """The cells of all pending batches."""

    segments: Sequence[tuple[int, CachedCells]]
    """(kind, packed contents)"""


class CellsTooLargeError(Exception):
    """The segments that a question needs are larger than may be read at a time."""

    def __init__(self, bytes_: int) -> None:
        super().__init__(f"the segments have {bytes_} bytes")
        self.bytes = bytes_


class CellReader:
    """Reads the cells of organizations, remembering what it has read: cells never change."""

    def __init__(self, store: Store, cache: CellCache, *, bytes_max: int | None = None) -> None:
        """Segments of more than `bytes_max` are not read at a time, except by `contents`: it
        raises CellsTooLargeError before it reads them."""
        self._store = store
        self._cache = cache
        self._bytes_max = bytes_max

    def cells(
        self,
        connection: sa.Connection,
        organization_number: int,
        needed: Iterable[Needed],
        *,
        customers: Sequence[int] | None = None,
    ) -> StoredCells:
        """All batches and the segments that a question needs, in one statement as long as
        the cache has the contents of all.

        With `customers`, in ascending order, only segments that hold one of them.
        """
        look_up = _LookUp(organization_number, tuple(needed), customers)
        return self._read(connection, look_up)

    def segments(
        self,
        connection: sa.Connection,
        organization_number: int,
        needed: Iterable[Needed],
        *,
        customers: Sequence[int] | None = None,
    ) -> Sequence[tuple[int, CachedCells]]:
        """The segments that a question needs, as (kind, contents), without batches."""
        look_up = _LookUp(organization_number, tuple(needed), customers, only_segments=True)
        return self._read(connection, look_up).segments

    def cached_cells(
        self,
        organization_number: int,
        needed: Iterable[Needed],
        *,
        customers: Sequence[int] | None = None,
        deadline: Deadline,
    ) -> StoredCells | None:
        """The result of `cells`, without a transaction; None if the cache lacks any of the cells.

        A single statement finds the ids of the cells, and their contents come from the cache.
        Raises QueryTooSlowError if the deadline, which must be watched by somebody who cancels it,
        is over first.
        """
        look_up = _LookUp(organization_number, tuple(needed), customers)
        statement, values = look_up.statement(self._store.dialect)
        found = look_up.found_in(self._store.rows(statement, values, deadline))
        contents = self._cache.known(found.ids)
        if len(contents) < len(found.ids):
            return None
        return found.stored_cells(contents)

    def contents(
        self, connection: sa.Connection, organization_number: int, ids: Sequence[uuid.UUID]
    ) -> list[CachedCells]:
        """The contents of segments. What is not in the cache stays out of it: whoever reads
        all there is would drive out what is needed again and again."""
        known = self._cache.known([one.bytes for one in ids])
        missing = [one for one in ids if one.bytes not in known]
        read = read_packed(connection, segment, organization_number, missing) if missing else {}
        return [known.get(one.bytes) or CachedCells(*read[one]) for one in ids]

    def _read(self, connection: sa.Connection, look_up: "_LookUp") -> StoredCells:
        statement, values = look_up.statement(self._store.dialect)
        found = look_up.found_in(connection.exec_driver_sql(statement, values))
        contents = self._cache.known(found.ids)
        if self._bytes_max is not None:
            unknown = sum(one not in contents for one in found.segment_ids)
            if unknown > _FEW_SEGMENTS:
                self._check_size(connection, look_up, self._bytes_max)
        for table, ids in ((batch, found.batch_ids), (segment, found.segment_ids)):
            missing = [uuid.UUID(bytes=one) for one in ids if one not in contents]
            if missing:
                read = read_packed(connection, table, look_up.organization_number, missing)
                contents |= self._cache.remember(
                    {one.bytes: packed for one, packed in read.items()}
                )
        return found.stored_cells(contents)

    def _check_size(self, connection: sa.Connection, look_up: "_LookUp", bytes_max: int) -> None:
        statement, values = look_up.size_statement(self._store.dialect)
        size: int = connection.exec_driver_sql(statement, values).scalar_one()
        if size > bytes_max:
            raise CellsTooLargeError(size)


_FEW_SEGMENTS = 16
"""So many segments are read without asking how large they are."""

# Stand for the kind of a segment in rows of the look-up that are not segments.
_BATCH = 0


_ORGANIZATION = -1


class _LookUp(NamedTuple):
    """The statement that finds what a question needs."""

    organization_number: int
    needed: Sequence[Needed]
    customers: Sequence[int] | None = None
    """The customers in ascending order; None if segments of all customers are needed."""

    only_segments: bool = False

    def statement(self, dialect: Dialect) -> tuple[str, dict[str, int]]:
        """The statement and its values, as the driver of the dialect takes them."""
        text = _look_up_statement(
            len(self.needed), bool(self.customers), self.only_segments, dialect
        )
        return text, self._values()

    def size_statement(self, dialect: Dialect) -> tuple[str, dict[str, int]]:
        """The statement that adds up the bytes of the segments, without reading them."""
        condition = _segments_condition(len(self.needed), bool(self.customers), dialect)
        text = f"SELECT COALESCE(SUM(LENGTH(packed)), 0) FROM segment WHERE {condition}"  # noqa: S608 (our own names)
        return text, self._values()

    def _values(self) -> dict[str, int]:
        values = {"organization": self.organization_number}
        for place, (kind, first, last) in enumerate(self.needed):
            values |= {f"kind_{place}": int(kind), f"first_{place}": first, f"last_{place}": last}
        if self.customers:
            values |= {"customer_first": self.customers[0], "customer_last": self.customers[-1]}
        return values

    def found_in(self, rows: Iterable[Any]) -> "_Found":
        """Reads the rows of the statement."""
        found = _Found()
        customers = self.customers
        for what, first, last, one in rows:
            if what == _ORGANIZATION:
                found.series_count, found.records_count = first, last
            elif what == _BATCH:
                found.batch_ids.append(one)
            elif customers is None or _any_within(customers, first, last):
                found.kinds.append(what)
                found.segment_ids.append(one)
        return found


def _look_up_statement(
    needed: int, of_customers: bool, only_segments: bool, dialect: Dialect
) -> str:
    # As text, because building and compiling expressions takes longer than running them.
    one, number = dialect.id_bytes, dialect.integer_parameter
    condition = _segments_condition(needed, of_customers, dialect)
    statement = f"SELECT kind, customer_first, customer_last, {one} FROM segment WHERE {condition}"  # noqa: S608 (our own names)
    if not only_segments:
        statement += (
            f" UNION ALL SELECT {_BATCH}, 0, 0, {one} FROM batch "  # noqa: S608 (likewise)
            f"WHERE organization_number = {number('organization')}"
            f" UNION ALL SELECT {_ORGANIZATION}, series_count, records_count, NULL "
            f"FROM organization WHERE number = {number('organization')}"
        )
    return statement


def _segments_condition(needed: int, of_customers: bool, dialect: Dialect) -> str:
    number = dialect.integer_parameter
    spans = " OR ".join(
        f"(kind = {number(f'kind_{place}')} AND span BETWEEN "
        f"{number(f'first_{place}')} AND {number(f'last_{place}')})"
        for place in range(needed)
    )
    condition = f"organization_number = {number('organization')} AND ({spans or '1 = 0'})"
    if of_customers:
        condition += (
            f" AND customer_first <= {number('customer_last')}"
            f" AND customer_last >= {number('customer_first')}"
        )
    return condition


@dataclass
class _Found:
    """The rows that a question needs, at one moment."""

    series_count: int = 0
    records_count: int = 0
    batch_ids: list[bytes] = field(default_factory=list)
    segment_ids: list[bytes] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    """The kinds of the segments."""

    @property
    def ids(self) -> list[bytes]:
        """The ids of all batches and segments."""
        return self.batch_ids + self.segment_ids

    def stored_cells(self, contents: Mapping[bytes, CachedCells]) -> StoredCells:
        """The cells, given the contents of all rows."""
        return StoredCells(
            self.series_count,
            self.records_count,
            [contents[one] for one in self.batch_ids],
            [(kind, contents[one]) for kind, one in zip(self.kinds, self.segment_ids, strict=True)],
        )


class CustomerRange(NamedTuple):
    """The segments that hold some customers: those from the first to the last number."""

    first: int
    last: int
    segment_ids: Sequence[uuid.UUID]


def customer_ranges(
    connection: sa.Connection, organization_number: int, needed: Needed, *, bytes_max: int
) -> list[CustomerRange]:
    """Every customer there can be, in ranges whose segments hold about so many bytes.

    Segments of one range are in one of these ranges, also where they overlap.
    """
    rows = connection.execute(
        sa.select(
            segment.c.id,
            segment.c.customer_first,
            segment.c.customer_last,
            sa.func.length(segment.c.packed),
        )
        .where(
            segment.c.organization_number == organization_number,
            segment.c.kind == needed.kind,
            segment.c.span.between(needed.first, needed.last),
        )
        .order_by(segment.c.customer_first)
    )
    ranges: list[CustomerRange] = []
    first = covered = 0
    ids: list[uuid.UUID] = []
    size = 0
    for one, customer_first, customer_last, packed_bytes in rows:
        if ids and size + packed_bytes > bytes_max and customer_first > covered:
            ranges.append(CustomerRange(first, customer_first - 1, ids))
            first, ids, size = customer_first, [], 0
        ids.append(one)
        size += packed_bytes
        covered = max(covered, customer_last)
    return [*ranges, CustomerRange(first, _CUSTOMER_MAX, ids)]


_CUSTOMER_MAX = 2**31 - 1


def _any_within(customers: Sequence[int], first: int, last: int) -> bool:
    place = bisect_left(customers, first)
    return place < len(customers) and customers[place] <= last
