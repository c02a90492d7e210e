"""Batches and segments: the packed cells beside the events.

A transaction that stores events leaves one batch an organization. Compaction merges
batches into segments; until then readers add the batches up too, so that no answer
waits for it.
"""

import enum
import functools
import uuid
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import sqlalchemy as sa

from cost_insights._native import Compaction
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


class InsertedBatches(NamedTuple):
    """The batches of one transaction."""

    cells: Mapping[bytes, bytes]
    """Packed, by the bytes of the id."""

    has_pruned: bool
    """Whether any of their organizations has pruned events."""


def insert_batches(
    connection: sa.Connection, cells: Iterable[tuple[int, bytes]], *, now_us: int
) -> InsertedBatches:
    """Stores the packed cells of one transaction, given by organization."""
    rows = [
        {"organization_number": number, "id": uuid.uuid4(), "created_us": now_us, "cells": packed}
        for number, packed in cells
    ]
    # Asked along the way: another statement would cost every transaction a round trip.
    # As text, because SQLAlchemy relates no subquery to the table of an INSERT.
    events_from_us: sa.ColumnElement[int | None] = sa.literal_column(
        "(SELECT events_from_us FROM organization WHERE number = batch.organization_number)",
        sa.BigInteger,
    )
    boundaries = connection.scalars(sa.insert(batch).returning(events_from_us), rows)
    return InsertedBatches(
        {row["id"].bytes: row["cells"] for row in rows},  # type: ignore[misc, attr-defined]
        any(boundary is not None for boundary in boundaries),
    )


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

    batches: Sequence[bytes]
    """The cells of all pending batches."""

    segments: Sequence[tuple[int, bytes]]
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
    series_count, batch_ids = 0, []
    segments: list[tuple[int, bytes]] = []
    for what, first, _, one in _look_up(
        connection, organization_number, tuple(needed), customers, only_segments=False
    ):
        if what == _ORGANIZATION:
            series_count = first
        elif what == _BATCH:
            batch_ids.append(one)
        else:
            segments.append((what, one))
    cells = _remembered(connection, batch, organization_number, batch_ids, cache)
    return StoredCells(
        series_count, cells, _packed_segments(connection, organization_number, segments, cache)
    )


def read_segments(
    connection: sa.Connection,
    organization_number: int,
    needed: Iterable[Needed],
    cache: PackedCache,
    *,
    customers: Sequence[int] | None = None,
) -> list[tuple[int, bytes]]:
    """The same of segments alone."""
    found = _look_up(connection, organization_number, tuple(needed), customers, only_segments=True)
    segments = [(kind, one) for kind, _, _, one in found]
    return _packed_segments(connection, organization_number, segments, cache)


# What a row of the look-up is of, where it is not the kind of a segment.
_BATCH = 0
_ORGANIZATION = -1

_Found = tuple[int, int, int, bytes]
"""(what, first customer, last customer, id)"""


def _look_up(
    connection: sa.Connection,
    organization_number: int,
    needed: Sequence[Needed],
    customers: Sequence[int] | None,
    *,
    only_segments: bool,
) -> Iterator[_Found]:
    values = {"organization": organization_number}
    for place, (kind, first, last) in enumerate(needed):
        values |= {f"kind_{place}": kind, f"first_{place}": first, f"last_{place}": last}
    if customers:
        values |= {"customer_first": customers[0], "customer_last": customers[-1]}
    statement = _look_up_statement(
        len(needed), bool(customers), only_segments, connection.dialect.name
    )
    for what, first, last, one in connection.execute(statement, values):
        if what <= 0 or customers is None or _any_within(customers, first, last):
            yield what, first, last, one


@functools.cache
def _look_up_statement(
    needed: int, of_customers: bool, only_segments: bool, dialect: str
) -> sa.TextClause:
    # As text, for to build and compile expressions takes longer than to run them.
    one = "uuid_send(id)" if dialect == "postgresql" else "id"
    spans = " OR ".join(
        f"(kind = CAST(:kind_{place} AS INTEGER) AND span BETWEEN "
        f"CAST(:first_{place} AS INTEGER) AND CAST(:last_{place} AS INTEGER))"
        for place in range(needed)
    )
    statement = (
        f"SELECT kind, customer_first, customer_last, {one} FROM segment "  # noqa: S608 (our own names)
        f"WHERE organization_number = CAST(:organization AS INTEGER) AND ({spans})"
    )
    if of_customers:
        statement += (
            " AND customer_first <= CAST(:customer_last AS INTEGER)"
            " AND customer_last >= CAST(:customer_first AS INTEGER)"
        )
    if not only_segments:
        statement += (
            f" UNION ALL SELECT {_BATCH}, 0, 0, {one} FROM batch "  # noqa: S608 (likewise)
            "WHERE organization_number = CAST(:organization AS INTEGER)"
            f" UNION ALL SELECT {_ORGANIZATION}, series_count, 0, NULL FROM organization "
            "WHERE number = CAST(:organization AS INTEGER)"
        )
    return sa.text(statement)


def _any_within(customers: Sequence[int], first: int, last: int) -> bool:
    place = bisect_left(customers, first)
    return place < len(customers) and customers[place] <= last


def _packed_segments(
    connection: sa.Connection,
    organization_number: int,
    segments: Sequence[tuple[int, bytes]],
    cache: PackedCache,
) -> list[tuple[int, bytes]]:
    ids = [one for _, one in segments]
    contents = _remembered(connection, segment, organization_number, ids, cache)
    return [(kind, packed) for (kind, _), packed in zip(segments, contents, strict=True)]


def _remembered(
    connection: sa.Connection,
    table: sa.Table,
    organization_number: int,
    ids: Sequence[bytes],
    cache: PackedCache,
) -> list[bytes]:
    """The packed contents of these rows, in this order, read only where they are not in
    memory."""
    if not ids:
        return []
    contents = cache.known(ids)
    missing = [uuid.UUID(bytes=one) for one in ids if one not in contents]
    if missing:
        found = _read_packed(connection, table, organization_number, missing)
        read = {one.bytes: packed for one, packed in found.items()}
        cache.remember(read)
        contents |= read
    return [contents[one] for one in ids]
