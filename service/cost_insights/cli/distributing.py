"""The command that distributes events over the workers of a Citus cluster."""

from typing import Annotated

import typer

from cost_insights.cli.console import CommandError, note, say, usage, whole_number
from cost_insights.cli.opening import DatabaseOption, database_shown, existing
from cost_insights.cli.variables import settings_of
from cost_insights.store import parse_url
from cost_insights.store.distribution import DISTRIBUTED, Cluster, distribute, find_cluster

_SHARDS_PER_WORKER_MAX = 4


def distribute_events(
    *,
    shards: Annotated[
        int | None,
        typer.Option(
            parser=whole_number(1, 1_024),
            metavar="N",
            help="The number of parts of each table, 1 to 1024. Default: as many as workers.",
        ),
    ] = None,
    database_url: DatabaseOption = None,
) -> None:
    """Distributes events over the workers of a Citus cluster, with the events that are stored.

    The database is that of the coordinator, with the extension citus and its workers. The tables
    event and pruned_event are distributed by id; everything else stays on the coordinator. It is
    one transaction: events that arrive meanwhile wait until it is over. Whatever is distributed
    already stays as it is, so the command may be run again.

    Every transaction commits on each shard that it touches, so the fewest shards are the fastest:
    as many as workers, or a small multiple if workers are to be added.

    Example: cost-insights db distribute --shards 4
    """
    settings = settings_of(database_url=database_url)
    shown = database_shown(settings)
    if parse_url(settings.database_url).get_backend_name() == "sqlite":
        raise usage(
            f"--database-url: {shown} is a file of SQLite; only a PostgreSQL with the extension "
            "citus can be distributed"
        )
    with existing(settings) as store, store.write() as connection:
        cluster = _checked(find_cluster(connection), shown, shards)
        found = distribute(connection, cluster, shards or cluster.workers)
    are = "are distributed already" if cluster == found else "are distributed now"
    tables = " and ".join(
        f"{name} ({count} shards)" for name, count in sorted(found.shards.items())
    )
    say(f"{shown}: {tables} {are}, by id, over {found.workers} workers of Citus {found.version}")
    if any(count < found.workers for count in found.shards.values()):
        note("with fewer shards than workers, some workers hold no events")
    if any(count > _SHARDS_PER_WORKER_MAX * found.workers for count in found.shards.values()):
        note(
            "each transaction commits on every shard that it touches: a few shards for each worker "
            "are faster"
        )


def _checked(cluster: Cluster | None, shown: str, shards: int | None) -> Cluster:
    if cluster is None:
        raise CommandError(
            f"{shown}: the extension citus is not in this database; load it by "
            "shared_preload_libraries = 'citus' and run: CREATE EXTENSION citus"
        )
    if not cluster.workers:
        raise CommandError(
            f"{shown}: the cluster has no worker; add each with: "
            "SELECT citus_add_node('HOST', 5432)"
        )
    first = DISTRIBUTED[0].name
    count = cluster.shards.get(first)
    if None not in {shards, count} and shards != count:
        raise CommandError(
            f"{shown}: {first} has {count} shards already; to change that, run: "
            f"SELECT alter_distributed_table('{first}', shard_count := {shards}, "
            "cascade_to_colocated := true)"
        )
    return cluster
