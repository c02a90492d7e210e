"""Rows of batches and segments by id."""

import uuid
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from cost_insights.store.chunks import chunks
from cost_insights.store.many import conditions_of_keys
from cost_insights.store.schema import batch, segment


class Packed(NamedTuple):
    """The packed contents of a batch or a segment."""

    cells: bytes
    tokens: bytes | None = None
    """The cells of the tokens of a batch, if it has any."""


def read_packed(
    connection: sa.Connection,
    table: sa.Table,
    organization_number: int,
    ids: Iterable[uuid.UUID],
) -> dict[uuid.UUID, Packed]:
    """The packed contents of these rows of `batch` or `segment`."""
    contents: dict[uuid.UUID, Packed] = {}
    for chunk in chunks(ids):
        rows = connection.execute(
            sa.select(table.c.id, *_content_columns(table)).where(
                table.c.organization_number == organization_number, table.c.id.in_(chunk)
            )
        )
        contents.update((one, Packed(*content)) for one, *content in rows)
    return contents


class OvertakenError(Exception):
    """Another process compacted the same batches first; nothing was changed."""


RowKey = tuple[int, uuid.UUID]
"""(organization number, id)"""


def read_packed_of_many(
    connection: sa.Connection, table: sa.Table, keys: Iterable[RowKey]
) -> dict[uuid.UUID, Packed]:
    """The packed contents of these rows of `batch` or `segment`, of any organizations."""
    contents: dict[uuid.UUID, Packed] = {}
    for condition in conditions_of_keys(connection, _key_columns(table), keys):
        rows = connection.execute(sa.select(table.c.id, *_content_columns(table)).where(condition))
        contents.update((one, Packed(*content)) for one, *content in rows)
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


def _content_columns(table: sa.Table) -> Sequence[sa.Column[Any]]:
    """The columns of `Packed`."""
    return (batch.c.cells, batch.c.tokens) if table is batch else (segment.c.packed,)
