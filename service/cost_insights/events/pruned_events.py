"""The ids and digests of pruned events.

An event counts once, however often it is sent, also when it was pruned in between. So
the id and the digest of each event that can be sent again are kept.
"""

import uuid

import sqlalchemy as sa

from cost_insights._native.commit import Commit
from cost_insights.store.chunks import chunks
from cost_insights.store.schema import pruned_event


class PrunedError(Exception):
    """An event that was stored before and pruned would be inserted again."""


def pruned_digests(connection: sa.Connection, commit: Commit) -> list[tuple[bytes, int]]:
    """(id, content digest) of those events left in a commit that were stored once and are
    pruned."""
    pruned: list[tuple[bytes, int]] = []
    for chunk in chunks(commit.keyed_ids()):
        rows = connection.execute(
            sa.select(pruned_event.c.id, pruned_event.c.content_digest).where(
                pruned_event.c.id.in_([uuid.UUID(bytes=one) for one in chunk])
            )
        )
        pruned += [(one.bytes, digest) for one, digest in rows]
    return pruned
