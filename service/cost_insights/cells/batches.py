"""Batches: the packed cells of one transaction that are in no segment yet."""

import uuid
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from cost_insights.cells.rows import delete
from cost_insights.store import Store
from cost_insights.store.dialect import NewBatch
from cost_insights.store.schema import batch


class Pending(NamedTuple):
    """The batches of an organization that are in no segment yet."""

    organization_number: int
    batches: int
    cells_bytes: int
    oldest_us: int


def pending_batches(store: Store) -> list[Pending]:
    """The batches that are not compacted yet, by organization."""
    with store.read() as connection:
        rows = connection.execute(
            sa.select(
                batch.c.organization_number,
                sa.func.count(),
                sa.func.sum(sa.func.length(batch.c.cells)),
                sa.func.min(batch.c.created_us),
            ).group_by(batch.c.organization_number)
        ).all()
    return [Pending(number, count, int(size), oldest) for number, count, size, oldest in rows]


def new_batches(cells: Iterable[tuple[int, bytes]], *, now_us: int) -> list[NewBatch]:
    """The batches of one transaction, of its packed cells by organization."""
    return [NewBatch(number, uuid.uuid4(), now_us, packed) for number, packed in cells]


def delete_batches(
    connection: sa.Connection, organization_number: int, ids: Sequence[uuid.UUID]
) -> None:
    """Deletes batches; raises OvertakenError if one of them no longer exists."""
    delete(connection, batch, [(organization_number, one) for one in ids])
