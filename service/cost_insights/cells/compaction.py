"""Compaction: merging the cells of batches into segments."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import sqlalchemy as sa

from cost_insights._native.cells import Compaction
from cost_insights.cells.batches import delete_batches
from cost_insights.cells.cache import CellCache
from cost_insights.cells.rows import OvertakenError, delete, read_packed
from cost_insights.store import Store
from cost_insights.store.chunks import chunks
from cost_insights.store.schema import batch, segment

_BATCHES_MAX = 10_000


_BATCHES_BYTES_MAX = 16 * 1024 * 1024
"""The amount of work of one compaction: about two million cells, each 48 bytes in memory."""


NewSegment = tuple[int, int, int, int, bytes]
"""(kind, span, first customer, last customer, packed)"""


@dataclass(frozen=True)
class Compacted:
    """The changes that a compaction will make."""

    organization_number: int
    batch_ids: Sequence[uuid.UUID]
    replaced_ids: Sequence[uuid.UUID]
    replaced_bytes: int
    """The size of the deleted segments and batches."""

    segments: Sequence[NewSegment]


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
    # Deleting first makes compaction exact: only the process that deletes a batch counts it.
    delete_batches(connection, number, compacted.batch_ids)
    replace_segments(connection, number, compacted.replaced_ids, compacted.segments)


def replace_segments(
    connection: sa.Connection,
    organization_number: int,
    ids: Sequence[uuid.UUID],
    segments: Sequence[NewSegment],
) -> None:
    """Puts new segments in the place of others; raises OvertakenError if one of these is
    not there any more."""
    delete(connection, segment, organization_number, ids)
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
    contents = read_packed(connection, table, organization_number, ids)
    return [contents[one] for one in ids]


def compact(store: Store, organization_number: int, cache: CellCache | None = None) -> int | None:
    """Merges pending batches of an organization into its segments, as many as fit
    into memory well.

    Returns how many bytes were replaced; None if there was nothing to do. A second
    compaction of the same batches changes nothing, wherever it runs.
    """
    with store.read() as connection:
        compacted = prepare_compaction(connection, organization_number)
    if compacted is None:
        return None
    try:
        with store.write() as connection:
            write_compaction(connection, compacted)
    except OvertakenError:
        return 0
    if cache is not None:
        cache.forget(one.bytes for one in (*compacted.batch_ids, *compacted.replaced_ids))
    return compacted.replaced_bytes


def reclaim(store: Store) -> None:
    """Frees the space of replaced batches and segments for new rows."""
    store.reclaim((batch, segment))
