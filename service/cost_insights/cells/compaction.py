"""Compaction: merging the cells of batches into segments."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import sqlalchemy as sa

from cost_insights._native.cells import Compaction
from cost_insights.cells.batches import BATCH_BYTES, delete_batches
from cost_insights.cells.cache import CellCache
from cost_insights.cells.rows import (
    OvertakenError,
    Packed,
    RowKey,
    delete,
    read_packed_of_many,
)
from cost_insights.store import Store
from cost_insights.store.chunks import chunks
from cost_insights.store.many import conditions_of_keys, insert_rows
from cost_insights.store.schema import batch, segment

_BATCHES_MAX = 10_000


_BATCHES_BYTES_MAX = 16 * 1024 * 1024
"""The amount of work of one compaction: about two million cells, each 48 bytes in memory."""


NewSegment = tuple[int, int, int, int, bytes]
"""(kind, span, first customer, last customer, packed)"""


@dataclass(frozen=True)
class Compacted:
    """The changes that a compaction will make."""

    batch_keys: Sequence[RowKey]
    replaced_keys: Sequence[RowKey]
    replaced_bytes: int
    """The size of the deleted segments and batches."""

    segments: Sequence[tuple[int, NewSegment]]
    """New segments, each after the number of its organization."""


def prepare_compaction(
    connection: sa.Connection, organization_numbers: Iterable[int]
) -> Compacted | None:
    """Merges pending batches of organizations, as far as one compaction goes, with
    the segments they touch; None where nothing is pending. Changes nothing yet."""
    batch_keys = _batches_to_compact(connection, organization_numbers)
    if not batch_keys:
        return None
    contents = read_packed_of_many(connection, batch, batch_keys)
    batches: dict[int, list[Packed]] = {}
    for owner, one in batch_keys:
        batches.setdefault(owner, []).append(contents[one])
    compactions = {
        owner: Compaction(
            [one.cells for one in of_owner],
            [one.tokens for one in of_owner if one.tokens is not None],
        )
        for owner, of_owner in batches.items()
    }
    stored = _segments_of(
        connection, {owner: compaction.spans for owner, compaction in compactions.items()}
    )
    replaced = {
        owner: [
            stored[owner][place].id for place in compaction.plan([one[1:] for one in stored[owner]])
        ]
        for owner, compaction in compactions.items()
    }
    replaced_keys = [(owner, one) for owner, of_owner in replaced.items() for one in of_owner]
    packed = read_packed_of_many(connection, segment, replaced_keys)
    return Compacted(
        batch_keys,
        replaced_keys,
        sum(
            len(one.cells) + len(one.tokens or b"")
            for one in (*contents.values(), *packed.values())
        ),
        [
            (owner, new)
            for owner, compaction in compactions.items()
            for new in compaction.merge([packed[one].cells for one in replaced[owner]])
        ],
    )


def write_compaction(connection: sa.Connection, compacted: Compacted) -> None:
    """Puts new segments in the place of batches and segments.

    Raises OvertakenError if any of these is not there any more: the transaction
    must be rolled back.
    """
    # Deleting first makes compaction exact: only the process that deletes a batch counts it.
    delete_batches(connection, compacted.batch_keys)
    delete(connection, segment, compacted.replaced_keys)
    _insert_segments(connection, compacted.segments)


def replace_segments(
    connection: sa.Connection,
    organization_number: int,
    ids: Sequence[uuid.UUID],
    segments: Sequence[NewSegment],
) -> None:
    """Puts new segments in the place of others; raises OvertakenError if one of these is
    not there any more."""
    delete(connection, segment, [(organization_number, one) for one in ids])
    _insert_segments(connection, [(organization_number, one) for one in segments])


def _insert_segments(connection: sa.Connection, segments: Iterable[tuple[int, NewSegment]]) -> None:
    columns = (
        segment.c.organization_number,
        segment.c.id,
        segment.c.kind,
        segment.c.span,
        segment.c.customer_first,
        segment.c.customer_last,
        segment.c.packed,
    )
    insert_rows(connection, columns, ((owner, uuid.uuid4(), *one) for owner, one in segments))


class _StoredSegment(NamedTuple):
    id: uuid.UUID
    kind: int
    span: int
    customer_first: int
    customer_last: int
    size: int


def _batches_to_compact(
    connection: sa.Connection, organization_numbers: Iterable[int]
) -> list[RowKey]:
    keys: list[RowKey] = []
    size = 0
    for chunk in chunks(organization_numbers):
        rows = connection.execute(
            sa.select(batch.c.organization_number, batch.c.id, BATCH_BYTES)
            .where(batch.c.organization_number.in_(chunk))
            .limit(_BATCHES_MAX - len(keys))
        )
        for owner, one, cells_bytes in rows:
            size += cells_bytes
            if keys and size > _BATCHES_BYTES_MAX:
                return keys
            keys.append((owner, one))
    return keys


def _segments_of(
    connection: sa.Connection, spans: Mapping[int, Iterable[tuple[int, int]]]
) -> dict[int, list[_StoredSegment]]:
    """The segments of these spans, by organization."""
    by_kind: dict[int, list[tuple[int, int]]] = {}
    for owner, of_owner in spans.items():
        for kind, span in of_owner:
            by_kind.setdefault(kind, []).append((owner, span))
    found: dict[int, list[_StoredSegment]] = {owner: [] for owner in spans}
    for kind, keys in by_kind.items():
        columns = (segment.c.organization_number, segment.c.span)
        for condition in conditions_of_keys(connection, columns, keys):
            rows = connection.execute(
                sa.select(
                    segment.c.organization_number,
                    segment.c.id,
                    segment.c.kind,
                    segment.c.span,
                    segment.c.customer_first,
                    segment.c.customer_last,
                    sa.func.length(segment.c.packed),
                ).where(segment.c.kind == kind, condition)
            )
            for owner, *columns_of_one in rows:
                found[owner].append(_StoredSegment(*columns_of_one))
    return found


def compact(
    store: Store, organization_numbers: Iterable[int], cache: CellCache | None = None
) -> int | None:
    """Merges pending batches of organizations into their segments, in one transaction and as many
    as fit into memory well.

    Returns how many bytes were replaced; None if there was nothing to do. A second
    compaction of the same batches changes nothing, wherever it runs.
    """
    with store.read() as connection:
        compacted = prepare_compaction(connection, organization_numbers)
    if compacted is None:
        return None
    try:
        with store.write() as connection:
            write_compaction(connection, compacted)
    except OvertakenError:
        return 0
    if cache is not None:
        cache.forget(one.bytes for _, one in (*compacted.batch_keys, *compacted.replaced_keys))
    return compacted.replaced_bytes


def reclaim(store: Store) -> None:
    """Frees the space of replaced batches and segments for new rows."""
    store.reclaim((batch, segment))
