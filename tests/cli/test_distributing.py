"""Events distributed over a Citus cluster, and the service on top of it."""

import datetime as dt
from contextlib import closing
from decimal import Decimal

import httpx
import psycopg
import pytest
import sqlalchemy as sa

from cost_insights.store import Store
from cost_insights.store.schema import pruned_event
from tests.support.citus import make_coordinator
from tests.support.command_line import Command
from tests.support.databases import Databases
from tests.support.postgresql import libpq_url
from tests.support.senders import check_differs
from tests.support.service import StartServer

DAY = dt.date(2026, 3, 5)


def shards(url: str) -> list[tuple[str, str, int]]:
    """The distributed tables, by what, and in how many shards."""
    with psycopg.connect(libpq_url(url)) as connection:
        return connection.execute(
            "SELECT logicalrelid::text, partkey, count(*) FROM pg_dist_partition "
            "JOIN pg_dist_shard USING (logicalrelid) GROUP BY 1, 2 ORDER BY 1"
        ).fetchall()


def test_events_are_distributed_once(postgresql_url: str, quick: Command) -> None:
    """The command distributes both tables into as many shards as it is told, and changes nothing
    when it is run again."""
    make_coordinator(postgresql_url, workers=2)
    first = quick("db", "distribute", "--shards", "4", "--database-url", postgresql_url)
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout == (
        f"{postgresql_url}: event (4 shards) and pruned_event (4 shards) are distributed now, by "
        "id, over 2 workers of Citus 13.2-1\n"
    )
    assert shards(postgresql_url) == [("event", "id", 4), ("pruned_event", "id", 4)]
    for options in ((), ("--shards", "4")):
        again = quick("db", "distribute", *options, "--database-url", postgresql_url)
        assert (again.returncode, again.stderr) == (0, "")
        assert again.stdout == first.stdout.replace("distributed now", "distributed already")
    other = quick("db", "distribute", "--shards", "8", "--database-url", postgresql_url)
    assert (other.returncode, other.stdout) == (1, "")
    assert other.stderr == (
        f"cost-insights: {postgresql_url}: event has 4 shards already; to change that, run: SELECT "
        "alter_distributed_table('event', shard_count := 8, cascade_to_colocated := true)\n"
    )
    assert shards(postgresql_url) == [("event", "id", 4), ("pruned_event", "id", 4)]


def test_what_is_missing_is_distributed(postgresql_url: str, quick: Command) -> None:
    """A table that was distributed by hand stays as it is, and the other one follows it."""
    make_coordinator(postgresql_url, workers=3)
    with psycopg.connect(libpq_url(postgresql_url)) as connection:
        connection.execute(
            "SELECT create_distributed_table('event', 'id', colocate_with => 'none', "
            "shard_count => 16)"
        )
    done = quick("db", "distribute", "--database-url", postgresql_url)
    assert done.returncode == 0
    assert done.stderr == (
        "each transaction commits on every shard that it touches: a few shards for each worker are "
        "faster\n"
    )
    assert shards(postgresql_url) == [("event", "id", 16), ("pruned_event", "id", 16)]


def test_as_many_shards_as_workers(postgresql_url: str, quick: Command) -> None:
    """Without a number each worker gets one shard."""
    make_coordinator(postgresql_url, workers=3)
    assert quick("db", "distribute", "--database-url", postgresql_url).returncode == 0
    assert shards(postgresql_url) == [("event", "id", 3), ("pruned_event", "id", 3)]


def test_what_cannot_be_distributed(
    postgresql_url: str, quick: Command, databases: Databases
) -> None:
    """The message says what is missing: PostgreSQL, the extension, or a worker."""
    with databases.fresh("sqlite") as file:
        done = quick("db", "distribute", "--database-url", file)
    assert (done.returncode, done.stdout) == (2, "")
    assert "only a PostgreSQL with the extension citus can be distributed" in done.stderr
    done = quick("db", "distribute", "--database-url", postgresql_url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"cost-insights: {postgresql_url}: the extension citus is not in this database; load it by "
        "shared_preload_libraries = 'citus' and run: CREATE EXTENSION citus\n"
    )
    make_coordinator(postgresql_url, workers=0)
    done = quick("db", "distribute", "--database-url", postgresql_url)
    assert done.returncode == 1
    assert done.stderr == (
        f"cost-insights: {postgresql_url}: the cluster has no worker; add each with: "
        "SELECT citus_add_node('HOST', 5432)\n"
    )


def test_migrations_change_shards_one_after_the_other(postgresql_url: str, quick: Command) -> None:
    """A migration may read a distributed table and then change it, which Citus otherwise refuses;
    without Citus nothing is set."""
    mode = sa.text("SELECT current_setting('citus.multi_shard_modify_mode', true)")
    with closing(Store(postgresql_url)) as store:
        for expected in (None, "sequential"):
            with store.write() as connection:
                store.dialect.begin_migration(connection)
                assert connection.scalar(mode) == expected
            if expected is None:
                make_coordinator(postgresql_url)
        assert quick("db", "distribute", "--database-url", postgresql_url).returncode == 0
        store.upgrade()


@pytest.mark.parametrize("count", [3, 600], ids=["INSERT", "COPY"])
def test_what_is_sent_again_counts_once(
    postgresql_url: str, quick: Command, start_http: StartServer, count: int
) -> None:
    """A worker reports a key that is stored already without the code of such an error; events that
    are sent again, changed or pruned meanwhile are told apart all the same, by both doors."""
    events = [
        {
            "name": "llm.inference",
            "external_customer_id": f"c{number % 7}",
            "external_id": f"k{number}",
            "timestamp": f"{DAY}T12:00:00Z",
            "cost": {"amount": "0.5", "currency": "usd"},
        }
        for number in range(count)
    ]
    changed = {**events[0], "name": "another"}
    new = {**events[0], "external_id": "new"}
    make_coordinator(postgresql_url)
    with (
        start_http(postgresql_url) as service,
        httpx.Client(base_url=f"http://{service.server.http_address}") as compatible,
    ):
        caller = service.stranger()
        # What is stored before is distributed too.
        assert caller.ingest_json(*events).inserted == count
        assert quick("db", "distribute", "--database-url", postgresql_url).returncode == 0
        answer = caller.ingest_json(*events, new)
        assert (answer.inserted, answer.duplicates) == (1, count)
        again = compatible.post("/v1/events/ingest", json={"events": [*events, new]})
        assert again.json() == {"inserted": 0, "duplicates": count + 1}
        answer = caller.ingest_json(changed, *events[1:])
        assert (answer.inserted, answer.duplicates, len(answer.conflicts)) == (0, count - 1, 1)
        pruning = ("--before", str(DAY + dt.timedelta(days=1)), "--organization", "default")
        done = quick("db", "prune", *pruning, "--yes", "--database-url", postgresql_url)
        assert (done.returncode, done.stderr) == (0, "")
        with service.store.read() as connection:
            kept = connection.scalar(sa.select(sa.func.count()).select_from(pruned_event))
        assert kept == count + 1
        answer = caller.ingest_json(*events)
        assert (answer.inserted, answer.duplicates) == (0, count)
        metrics = caller.get_metrics(start_date=str(DAY), end_date=str(DAY))
        assert Decimal(metrics.totals.costs) == (count + 1) * Decimal("0.5")
    assert check_differs(postgresql_url) == []
