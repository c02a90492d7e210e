"""Where the facts of one question are read: one snapshot of the database."""

from typing import NamedTuple

import sqlalchemy as sa

from cost_insights.store import Deadline, PackedCache


class Snapshot(NamedTuple):
    """What an organization had stored at one moment, as long as the transaction lasts."""

    connection: sa.Connection
    organization_number: int
    packed_cache: PackedCache
    """What is remembered of former snapshots."""

    deadline: Deadline
    """When reading ends, finished or not."""
