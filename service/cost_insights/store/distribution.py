"""The tables of events, spread over the workers of a Citus cluster.

Everything else stays in the database that the service connects to, the coordinator: it is small, or
is read and written with locks that only one database can give.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import sqlalchemy as sa

from cost_insights.store.schema import event, pruned_event

DISTRIBUTED = (event, pruned_event)
"""The tables that are distributed by `id`: each shard of the second has the ids that the same shard
of the first had, so that pruning stays inside a worker."""


@dataclass(frozen=True)
class Cluster:
    """A Citus cluster, as its coordinator knows it."""

    version: str
    workers: int
    shards: Mapping[str, int]
    """The number of shards of each table that is distributed."""


def find_cluster(connection: sa.Connection) -> Cluster | None:
    """The cluster whose coordinator a database is; None for a PostgreSQL without Citus."""
    version = connection.scalar(
        sa.text("SELECT extversion FROM pg_extension WHERE extname = 'citus'")
    )
    if version is None:
        return None
    workers = connection.scalar(
        sa.text(
            "SELECT count(*) FROM pg_dist_node "
            "WHERE isactive AND shouldhaveshards AND noderole = 'primary'"
        )
    )
    return Cluster(version, workers or 0, _shards(connection))


def _shards(connection: sa.Connection) -> Mapping[str, int]:
    rows = connection.execute(
        sa.text(
            "SELECT relname, count(shardid) FROM pg_dist_partition "
            "JOIN pg_class ON pg_class.oid = logicalrelid JOIN pg_dist_shard USING (logicalrelid) "
            "WHERE partmethod = 'h' AND logicalrelid = ANY(CAST(:tables AS regclass[])) GROUP BY 1"
        ),
        {"tables": [table.name for table in DISTRIBUTED]},
    )
    return {row[0]: row[1] for row in rows}


def distribute(connection: sa.Connection, cluster: Cluster, shards: int) -> Cluster:
    """Distributes the tables that are not distributed yet, with the rows that they hold; the first
    one decides the shards of the others."""
    first = DISTRIBUTED[0]
    local = [table for table in DISTRIBUTED if table.name not in cluster.shards]
    for table in local:
        if table is first:
            arguments = "colocate_with => 'none', shard_count => CAST(:shards AS integer)"
            values = {"shards": shards}
        else:
            arguments, values = f"colocate_with => '{first.name}'", {}
        connection.execute(
            sa.text(f"SELECT create_distributed_table('{table.name}', 'id', {arguments})"), values
        )
    for table in local:
        # The rows are on the workers; what they were copied from is seen by nobody.
        connection.execute(
            sa.text(f"SELECT truncate_local_data_after_distributing_table('{table.name}')")
        )
    return replace(cluster, shards=_shards(connection))
