"""Batches: the packed cells of one transaction that are in no segment yet."""

import secrets
import uuid
from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

import sqlalchemy as sa

from cost_insights import clock
from cost_insights.cells.rows import RowKey, delete
from cost_insights.store import Store
from cost_insights.store.dialect import NewBatch
from cost_insights.store.schema import batch, compaction

BATCH_BYTES: Final = sa.func.length(batch.c.cells) + sa.func.coalesce(
    sa.func.length(batch.c.tokens), 0
)
"""The size of a batch in SQL."""

_COMMIT_BYTES = 8
"""The part of the id of a batch that all batches of a commit share."""

_KEPT_US = 15 * 60 * 1_000_000
"""The time for which compactions are kept: three times as long as anybody tries a commit again."""


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
                sa.func.sum(BATCH_BYTES),
                sa.func.min(batch.c.created_us),
            ).group_by(batch.c.organization_number)
        ).all()
    return [Pending(number, count, int(size), oldest) for number, count, size, oldest in rows]


def new_batches(cells: Iterable[tuple[int, bytes, bytes | None]], *, now_us: int) -> list[NewBatch]:
    """The batches of one transaction, of its packed cells and those of tokens by organization."""
    commit = secrets.token_bytes(_COMMIT_BYTES)
    return [
        NewBatch(
            number,
            uuid.UUID(bytes=commit + secrets.token_bytes(16 - _COMMIT_BYTES)),
            now_us,
            packed,
            tokens,
        )
        for number, packed, tokens in cells
    ]


def delete_batches(connection: sa.Connection, keys: Collection[RowKey]) -> None:
    """Deletes batches, and keeps their commits for `is_committed`; raises OvertakenError if one of
    them no longer exists."""
    delete(connection, batch, keys)
    now_us = clock.now_us()
    commits = {one.bytes[:_COMMIT_BYTES] for _, one in keys}
    connection.execute(
        sa.delete(compaction).where(
            # A clock may have been ahead.
            sa.not_(compaction.c.created_us.between(now_us - _KEPT_US, now_us + _KEPT_US))
        )
    )
    connection.execute(
        sa.insert(compaction).values(id=uuid.uuid4(), created_us=now_us, commits=b"".join(commits))
    )


def is_committed(connection: sa.Connection, key: RowKey) -> bool:
    """Whether the transaction that made a batch in the last minutes was committed."""
    number, one = key
    is_there = sa.select(batch.c.id).where(batch.c.organization_number == number, batch.c.id == one)
    if connection.execute(is_there).first() is not None:
        return True
    # Read afterwards: a batch that is compacted between the two is found here.
    size = _COMMIT_BYTES
    return any(
        one.bytes[:size] in (commits[at : at + size] for at in range(0, len(commits), size))
        for commits in connection.scalars(sa.select(compaction.c.commits))
    )
