"""Rows of batches and segments by id."""

import uuid
from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from cost_insights.store.chunks import chunks
from cost_insights.store.schema import batch, segment


def read_packed(
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


class OvertakenError(Exception):
    """Another process compacted the same batches first; nothing was changed."""


def delete(
    connection: sa.Connection,
    table: sa.Table,
    organization_number: int,
    ids: Sequence[uuid.UUID],
) -> None:
    """Deletes these rows; raises OvertakenError if one of them no longer exists."""
    for chunk in chunks(ids):
        deleted = connection.execute(
            sa.delete(table).where(
                table.c.organization_number == organization_number, table.c.id.in_(chunk)
            )
        )
        if deleted.rowcount != len(chunk):
            raise OvertakenError
