"""Where the facts of one question are read: one snapshot of the database."""

from typing import NamedTuple

import sqlalchemy as sa

from cost_insights.identity import Organization
from cost_insights.store import CustomerCache, Deadline, PackedCache, Store


class Snapshot(NamedTuple):
    """What an organization had stored at one moment, as long as the transaction lasts."""

    connection: sa.Connection
    organization_number: int
    packed_cache: PackedCache
    customer_cache: CustomerCache
    """What is remembered of former snapshots, in both."""

    deadline: Deadline
    """When reading ends, finished or not."""

    @classmethod
    def of(
        cls,
        store: Store,
        connection: sa.Connection,
        organization: Organization,
        deadline: Deadline,
    ) -> "Snapshot":
        """Of a transaction that reads."""
        caches = store.packed_cache, store.customer_cache
        return cls(connection, organization.number, *caches, deadline)
