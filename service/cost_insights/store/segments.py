"""Batches and segments: the packed cells beside the events.

A transaction that stores events leaves one batch an organization. Compaction merges
batches into segments; until then readers add the batches up too, so that no answer
waits for it.
"""

import enum
import functools
import uuid
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import sqlalchemy as sa

from cost_insights._native import Compaction, Kept
from cost_insights.store.memory import asked_of
from cost_insights.store.numbers import chunks
from cost_insights.store.packed_cache import PackedCache
from cost_insights.store.schema import batch, segment


class Kind(enum.IntEnum):
    """What a segment holds; of which day, month or year, `span` says (0 for all time)."""

    QUARTERS = 1
    """Everyone's cells of the quarters of an hour of one day."""
    DAYS = 2
    """Everyone's cells of the days of one month."""
    YEARS = 3
    """Everyone's cells of all years."""
    QUARTER_CUSTOMERS = 4
    """Who was active in each quarter of an hour of one day, by series."""
    DAY_CUSTOMERS = 5
    """Who was active on each day of one month, by series."""
    DAY_EVERYONE = 6
    """Who was active on each day of one month."""
    CUSTOMER_QUARTERS = 7
    """Each customer's cells of the quarters of an hour of one month."""
    CUSTOMER_MONTHS = 8
    """Each customer's cells of the months of one year, over all series."""
    CUSTOMER_YEARS = 9
    """Each customer's cells of all years."""
    HOUR_EVERYONE = 10
    """Who was active in each hour of one day."""


class Needed(NamedTuple):
    """The segments of a kind that a question needs: those of the first to the last span."""

    kind: Kind
    first: int
    last: int


_BATCHES_MAX = 10_000
_BATCHES_BYTES_MAX = 16 * 1024 * 1024
"""How much one compaction takes on: about two million cells, each 48 bytes in memory."""


class Pending(NamedTuple):
    """The batches of an organization that are in no segment yet."""

    organization_number: int
    batches: int
    cells_bytes: int
    oldest_us: int


def pending(connection: sa.Connection) -> list[Pending]:
    """What waits to be compacted, by organization."""
    rows = connection.execute(
        sa.select(
            batch.c.organization_number,
            sa.func.count(),
            sa.func.sum(sa.func.length(batch.c.cells)),
            sa.func.min(batch.c.created_us),
        ).group_by(batch.c.organization_number)
    )
    return [Pending(number, count, int(size), oldest) for number, count, size, oldest in rows]


class NewBatch(NamedTuple):
    """The cells of the events that one transaction stores for one organization."""

    organization_number: int
    id: uuid.UUID
    created_us: int
    cells: bytes


def new_batches(cells: Iterable[tuple[int, bytes]], *, now_us: int) -> list[NewBatch]:
    """The batches of one transaction, of its packed cells by organization."""
    return [NewBatch(number, uuid.uuid4(), now_us, packed) for number, packed in cells]


def insert_batches(connection: sa.Connection, batches: Iterable[NewBatch]) -> bool:
    """Stores the batches of one transaction; whether any of their organizations has
    pruned events."""
    # Asked along the way: another statement would cost every transaction a round trip.
    # As text, because SQLAlchemy relates no subquery to the table of an INSERT.
    events_from_us: sa.ColumnElement[int | None] = sa.literal_column(
        "(SELECT events_from_us FROM organization WHERE number = batch.organization_number)",
        sa.BigInteger,
    )
    boundaries = connection.scalars(
        sa.insert(batch).returning(events_from_us), [one._asdict() for one in batches]
    )
    return any(boundary is not None for boundary in boundaries)


NewSegment = tuple[int, int, int, int, bytes]
"""(kind, span, first customer, last customer, packed)"""


@dataclass(frozen=True)
class Compacted:
    """What a compaction will change."""

    organization_number: int
    batch_ids: Sequence[uuid.UUID]
    replaced_ids: Sequence[uuid.UUID]
    replaced_bytes: int
    """How large what is deleted is, batches included."""

    segments: Sequence[NewSegment]


class OvertakenError(Exception):
    """Another has compacted the same batches first; nothing was changed."""


def prepare_compaction(connection: sa.Connection, organization_number: int) -> Compacted | None:
    """Merges pending batches of an organization, as far as one compaction goes, with
    the segments they touch; None where nothing is pending. Changes nothing yet."""
    batch_ids = _batches_to_compact(connection, organization_number)
    if not batch_ids:
        return None
    batches = _contents(connection, batch, organization_number, batch_ids)
    compaction = Compaction(batches)
    stored = _segments_of(connection, organization_number, compaction.spans)
    replaced_ids = [stored[place].id for place in compaction.plan([one[1:] for one in stored])]
    replaced = _contents(connection, segment, organization_number, replaced_ids)
    return Compacted(
        organization_number,
        batch_ids,
        replaced_ids,
        sum(map(len, batches)) + sum(map(len, replaced)),
        compaction.merge(replaced),
    )


def write_compaction(connection: sa.Connection, compacted: Compacted) -> None:
    """Puts new segments in the place of batches and segments.

    Raises OvertakenError if any of these is not there any more: the transaction
    must be rolled back.
    """
    number = compacted.organization_number
    # Deleting first is what makes it exact: who deletes a batch counts it, nobody else.
    delete_batches(connection, number, compacted.batch_ids)
    replace_segments(connection, number, compacted.replaced_ids, compacted.segments)


def delete_batches(
    connection: sa.Connection, organization_number: int, ids: Sequence[uuid.UUID]
) -> None:
    """Deletes batches; raises OvertakenError if one of them is not there any more."""
    _delete(connection, batch, organization_number, ids)


def replace_segments(
    connection: sa.Connection,
    organization_number: int,
    ids: Sequence[uuid.UUID],
    segments: Sequence[NewSegment],
) -> None:
    """Puts new segments in the place of others; raises OvertakenError if one of these is
    not there any more."""
    _delete(connection, segment, organization_number, ids)
    if segments:
        connection.execute(
            sa.insert(segment),
            [
                {
                    "organization_number": organization_number,
                    "id": uuid.uuid4(),
                    "kind": kind,
                    "span": span,
                    "customer_first": first,
                    "customer_last": last,
                    "packed": packed,
                }
                for kind, span, first, last, packed in segments
            ],
        )


class _StoredSegment(NamedTuple):
    id: uuid.UUID
    kind: int
    span: int
    customer_first: int
    customer_last: int
    size: int


def _batches_to_compact(connection: sa.Connection, organization_number: int) -> list[uuid.UUID]:
    rows = connection.execute(
        sa.select(batch.c.id, sa.func.length(batch.c.cells))
        .where(batch.c.organization_number == organization_number)
        .limit(_BATCHES_MAX)
    )
    ids: list[uuid.UUID] = []
    size = 0
    for one, cells_bytes in rows:
        size += cells_bytes
        if ids and size > _BATCHES_BYTES_MAX:
            break
        ids.append(one)
    return ids


def _segments_of(
    connection: sa.Connection, organization_number: int, spans: Iterable[tuple[int, int]]
) -> list[_StoredSegment]:
    by_kind: dict[int, list[int]] = {}
    for kind, span in spans:
        by_kind.setdefault(kind, []).append(span)
    found: list[_StoredSegment] = []
    for kind, of_kind in by_kind.items():
        for chunk in chunks(of_kind):
            rows = connection.execute(
                sa.select(
                    segment.c.id,
                    segment.c.kind,
                    segment.c.span,
                    segment.c.customer_first,
                    segment.c.customer_last,
                    sa.func.length(segment.c.packed),
                ).where(
                    segment.c.organization_number == organization_number,
                    segment.c.kind == kind,
                    segment.c.span.in_(chunk),
                )
            )
            found += [_StoredSegment(*row) for row in rows]
    return found


def _contents(
    connection: sa.Connection,
    table: sa.Table,
    organization_number: int,
    ids: Sequence[uuid.UUID],
) -> list[bytes]:
    """The packed contents of these rows, in this order."""
    contents = _read_packed(connection, table, organization_number, ids)
    return [contents[one] for one in ids]


def _read_packed(
    connection: sa.Connection,
    table: sa.Table,
    organization_number: int,
    ids: Iterable[uuid.UUID],
) -> dict[uuid.UUID, bytes]:
    """The packed contents of these rows of `batch` or `segment`."""
    column = batch.c.cells if table is batch else segment.c.packed
    contents: dict[uuid.UUID, bytes] = {}
    for chunk in chunks(ids):
        rows = connection.execute(
            sa.select(table.c.id, column).where(
                table.c.organization_number == organization_number, table.c.id.in_(chunk)
            )
        )
        contents.update((one, packed) for one, packed in rows)
    return contents


def _delete(
    connection: sa.Connection,
    table: sa.Table,
    organization_number: int,
    ids: Sequence[uuid.UUID],
) -> None:
    for chunk in chunks(ids):
        deleted = connection.execute(
            sa.delete(table).where(
                table.c.organization_number == organization_number, table.c.id.in_(chunk)
            )
        )
        if deleted.rowcount != len(chunk):
            raise OvertakenError


class StoredCells(NamedTuple):
    """What a question reads of an organization."""

    series_count: int
    """How many series there are."""

    records_count: int
    """How many orders, subscriptions and the like were recorded."""

    batches: Sequence[Kept]
    """The cells of all pending batches."""

    segments: Sequence[tuple[int, Kept]]
    """(kind, packed contents)"""


def read_cells(
    connection: sa.Connection,
    organization_number: int,
    needed: Iterable[Needed],
    cache: PackedCache,
    *,
    customers: Sequence[int] | None = None,
) -> StoredCells:
    """All batches, and the segments that a question needs, in one statement as long as the
    cache knows them all.

    Of customers in ascending order, where given, only segments that hold one of them.
    """
    look_up = LookUp(organization_number, tuple(needed), customers)
    return look_up.found_in(look_up.rows(connection)).stored_cells(connection, cache)


def read_segments(
    connection: sa.Connection,
    organization_number: int,
    needed: Iterable[Needed],
    cache: PackedCache,
    *,
    customers: Sequence[int] | None = None,
) -> Sequence[tuple[int, Kept]]:
    """The same of segments alone."""
    look_up = LookUp(organization_number, tuple(needed), customers, only_segments=True)
    return look_up.found_in(look_up.rows(connection)).stored_segments(connection, cache)


# What a row of the look-up is of, where it is not the kind of a segment.
_BATCH = 0
_ORGANIZATION = -1


class LookUp(NamedTuple):
    """The statement that finds what a question needs."""

    organization_number: int
    needed: Sequence[Needed]
    customers: Sequence[int] | None = None
    """In ascending order; None where all segments count, whoever they hold."""

    only_segments: bool = False

    def rows(self, connection: sa.Connection) -> Iterable[Any]:
        """The rows that it finds, as `found_in` takes them."""
        return connection.exec_driver_sql(*self.statement(connection.dialect.name))

    def statement(self, dialect: str) -> tuple[str, dict[str, int]]:
        """The statement and its values, as the driver of the dialect takes them."""
        values = {"organization": self.organization_number}
        for place, (kind, first, last) in enumerate(self.needed):
            values |= {f"kind_{place}": int(kind), f"first_{place}": first, f"last_{place}": last}
        if self.customers:
            values |= {"customer_first": self.customers[0], "customer_last": self.customers[-1]}
        text = _look_up_statement(
            len(self.needed), bool(self.customers), self.only_segments, dialect
        )
        return text, values

    def found_in(self, rows: Iterable[Any]) -> "Found":
        """What the rows tell."""
        found = Found(self.organization_number)
        customers = self.customers
        for what, first, last, one in rows:
            if what == _ORGANIZATION:
                found.series_count, found.records_count = first, last
            elif what == _BATCH:
                found.batch_ids.append(one)
            elif customers is None or _any_within(customers, first, last):
                found.segments.append((what, one))
        return found


@functools.cache
def _look_up_statement(needed: int, of_customers: bool, only_segments: bool, dialect: str) -> str:
    # As text, for to build and compile expressions takes longer than to run them.
    is_postgresql = dialect == "postgresql"
    one = "uuid_send(id)" if is_postgresql else "id"

    def number(name: str) -> str:
        return f"CAST(%({name})s AS INTEGER)" if is_postgresql else f":{name}"

    spans = " OR ".join(
        f"(kind = {number(f'kind_{place}')} AND span BETWEEN "
        f"{number(f'first_{place}')} AND {number(f'last_{place}')})"
        for place in range(needed)
    )
    statement = (
        f"SELECT kind, customer_first, customer_last, {one} FROM segment "  # noqa: S608 (our own names)
        f"WHERE organization_number = {number('organization')} AND ({spans or '1 = 0'})"
    )
    if of_customers:
        statement += (
            f" AND customer_first <= {number('customer_last')}"
            f" AND customer_last >= {number('customer_first')}"
        )
    if not only_segments:
        statement += (
            f" UNION ALL SELECT {_BATCH}, 0, 0, {one} FROM batch "  # noqa: S608 (likewise)
            f"WHERE organization_number = {number('organization')}"
            f" UNION ALL SELECT {_ORGANIZATION}, series_count, records_count, NULL "
            f"FROM organization WHERE number = {number('organization')}"
        )
    return statement


@dataclass
class Found:
    """Which rows hold what a question needs, at one moment."""

    organization_number: int
    series_count: int = 0
    records_count: int = 0
    batch_ids: list[bytes] = field(default_factory=list)
    segments: list[tuple[int, bytes]] = field(default_factory=list)
    """(kind, id)"""

    def stored_cells(self, connection: sa.Connection | None, cache: PackedCache) -> StoredCells:
        """With the contents of all, read only where they are not in memory.

        Raises NotRememberedError where any are not and there is no connection.
        """
        batches = self._contents(connection, batch, self.batch_ids, cache)
        segments = self.stored_segments(connection, cache)
        return StoredCells(self.series_count, self.records_count, batches, segments)

    def stored_segments(
        self, connection: sa.Connection | None, cache: PackedCache
    ) -> Sequence[tuple[int, Kept]]:
        """The same of segments alone."""
        ids = [one for _, one in self.segments]
        contents = self._contents(connection, segment, ids, cache)
        return [(kind, kept) for (kind, _), kept in zip(self.segments, contents, strict=True)]

    def _contents(
        self,
        connection: sa.Connection | None,
        table: sa.Table,
        ids: Sequence[bytes],
        cache: PackedCache,
    ) -> Sequence[Kept]:
        contents = cache.known(ids)
        missing = [uuid.UUID(bytes=one) for one in ids if one not in contents]
        if missing:
            read = _read_packed(asked_of(connection), table, self.organization_number, missing)
            contents |= cache.remember({one.bytes: packed for one, packed in read.items()})
        return [contents[one] for one in ids]


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


def read_segment_contents(
    connection: sa.Connection,
    organization_number: int,
    ids: Sequence[uuid.UUID],
    cache: PackedCache,
) -> list[Kept]:
    """The packed contents of segments. What is not remembered is not remembered hereafter
    either: whoever reads all there is would drive out what is asked for again and again."""
    known = cache.known([one.bytes for one in ids])
    missing = [one for one in ids if one.bytes not in known]
    read = _read_packed(connection, segment, organization_number, missing) if missing else {}
    return [known.get(one.bytes) or Kept(read[one]) for one in ids]


def _any_within(customers: Sequence[int], first: int, last: int) -> bool:
    place = bisect_left(customers, first)
    return place < len(customers) and customers[place] <= last
