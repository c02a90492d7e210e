"""Rows of batches and segments by id."""

import uuid
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from cost_insights.store.chunks import chunks
from cost_insights.store.many import conditions_of_keys
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


RowKey = tuple[int, uuid.UUID]
"""(organization number, id)"""


def read_packed_of_many(
    connection: sa.Connection, table: sa.Table, keys: Iterable[RowKey]
) -> dict[uuid.UUID, bytes]:
    """The packed contents of these rows of `batch` or `segment`, of any organizations."""
    column = batch.c.cells if table is batch else segment.c.packed
    contents: dict[uuid.UUID, bytes] = {}
    for condition in conditions_of_keys(connection, _key_columns(table), keys):
        rows = connection.execute(sa.select(table.c.id, column).where(condition))
        contents.update((one, packed) for one, packed in rows)
    return contents


def delete(connection: sa.Connection, table: sa.Table, keys: Collection[RowKey]) -> None:
    """Deletes these rows; raises OvertakenError if one of them no longer exists."""
    deleted = sum(
        connection.execute(sa.delete(table).where(condition)).rowcount
        for condition in conditions_of_keys(connection, _key_columns(table), keys)
    )
    if deleted != len(keys):
        raise OvertakenError


def _key_columns(table: sa.Table) -> Sequence[sa.Column[Any]]:
    return table.c.organization_number, table.c.id
