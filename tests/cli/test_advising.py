"""Advice on the settings of the database server."""

import dataclasses
import json
from contextlib import closing

import psycopg
import sqlalchemy as sa

from cost_insights.store import Store
from cost_insights.store.advice import GB, advice_for, read_server
from tests.support.citus import make_coordinator
from tests.support.command_line import Command
from tests.support.databases import Databases
from tests.support.postgresql import Cluster, folder_for_cluster, libpq_url


def test_advice_can_be_followed(quick: Command) -> None:
    """The statements that the command prints are SQL, and once they are followed nothing is left to
    change but what the command line of the server sets."""
    with folder_for_cluster() as folder:
        cluster = Cluster(folder)
        cluster.start()
        try:
            with closing(Store(cluster.url)) as store:
                store.upgrade()
            arguments = ("db", "advise", "--memory", "16GB", "--database-url", cluster.url)
            first = quick(*arguments)
            assert (first.returncode, first.stderr) == (0, "")
            lines = first.stdout.splitlines()
            statements = [one.strip() for one in lines if one.endswith(";")]
            assert statements == [
                "ALTER SYSTEM SET shared_buffers = '4GB';",
                "ALTER SYSTEM SET effective_cache_size = '12GB';",
                "ALTER SYSTEM SET max_wal_size = '16GB';",
                "ALTER SYSTEM SET checkpoint_timeout = '15min';",
                "ALTER SYSTEM SET wal_compression = 'lz4';",
                "ALTER SYSTEM SET maintenance_work_mem = '512MB';",
                "ALTER SYSTEM SET random_page_cost = '1.1';",
                "SELECT pg_reload_conf();",
            ]
            assert lines[1].startswith("  shared_buffers        128MB → 4GB: the keys of events")
            assert "the server must be restarted for: shared_buffers" in lines
            with psycopg.connect(libpq_url(cluster.url), autocommit=True) as connection:
                for statement in statements:
                    connection.execute(statement.encode())
            cluster.stop()
            cluster.start()
            again = quick(*arguments, "--json")
            assert [one["setting"] for one in json.loads(again.stdout)] == ["shared_buffers"]
        finally:
            cluster.stop()


def test_what_is_unsafe_comes_first(postgresql_url: str, quick: Command) -> None:
    """Settings that may lose events are named before those that make them slow."""
    with psycopg.connect(libpq_url(postgresql_url), autocommit=True) as connection:
        name = sa.make_url(postgresql_url).database
        connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = off".encode())
        connection.execute(f"ALTER DATABASE {name} SET statement_timeout = '5s'".encode())
    done = quick("db", "advise", "--json", "--workers", "20", "--database-url", postgresql_url)
    assert (done.returncode, done.stderr) == (0, "")
    advice = {one["setting"]: one for one in json.loads(done.stdout)}
    # The server of the tests runs without fsync.
    assert list(advice)[:2] == ["fsync", "synchronous_commit"]
    assert advice["synchronous_commit"] == {
        "setting": "synchronous_commit",
        "current": "off",
        "advised": "on",
        "why": "events that were acknowledged may be lost in a crash",
        "statement": "ALTER SYSTEM SET synchronous_commit = 'on';",
        "needs_restart": False,
    }
    assert advice["statement_timeout"]["current"] == "5s"
    connections = advice["max_connections"]
    # 14 of each process, 3 of superusers and 10 others.
    assert (connections["current"], connections["advised"]) == ("200", "293")
    assert connections["needs_restart"]


def test_memory_that_cannot_be_seen(postgresql_url: str, quick: Command) -> None:
    """A role without privileges gets the advice that needs no memory, and is told of the option."""
    plain = sa.make_url(postgresql_url).set(username="plain").render_as_string(hide_password=False)
    with psycopg.connect(libpq_url(postgresql_url), autocommit=True) as connection:
        connection.execute("CREATE ROLE plain LOGIN")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO plain")
    try:
        done = quick("db", "advise", "--database-url", plain)
    finally:
        with psycopg.connect(libpq_url(postgresql_url), autocommit=True) as connection:
            connection.execute("DROP OWNED BY plain")
            connection.execute("DROP ROLE plain")
    assert (done.returncode, done.stderr) == (0, "")
    assert "; its memory cannot be seen; give it by --memory; " in done.stdout
    assert "128MB → a quarter of the memory: " in done.stdout
    assert "ALTER SYSTEM SET shared_buffers" not in done.stdout
    assert "ALTER SYSTEM SET max_wal_size = '16GB';" in done.stdout


def test_keys_that_do_not_fit_into_memory(postgresql_url: str) -> None:
    """Where the ids of events outgrow the memory, no setting helps."""
    with closing(Store(postgresql_url)) as store, store.read() as connection:
        server = read_server(connection)
    assert server.key_bytes > 0
    large = dataclasses.replace(server, memory_bytes=16 * GB, key_bytes=9 * GB)
    *_, last = advice_for(large, connections=14)
    assert (last.setting, last.current, last.advised) == ("memory", "16GB", "18GB")
    assert last.statement is None
    small = dataclasses.replace(large, key_bytes=8 * GB)
    assert "memory" not in {one.setting for one in advice_for(small, connections=14)}


def test_events_on_workers(postgresql_url: str, quick: Command) -> None:
    """The settings of a coordinator are not those of its workers."""
    make_coordinator(postgresql_url, workers=3)
    assert quick("db", "distribute", "--database-url", postgresql_url).returncode == 0
    done = quick("db", "advise", "--database-url", postgresql_url)
    assert (done.returncode, done.stderr) == (0, "")
    assert "the events are on 3 workers, each of which has settings of its own\n" in done.stdout


def test_sqlite_takes_its_settings_from_the_service(databases: Databases, quick: Command) -> None:
    """There is nothing to change on SQLite."""
    with databases.fresh("sqlite") as url:
        with closing(Store(url)) as store:
            store.upgrade()
        done = quick("db", "advise", "--database-url", url)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == (
            f"{url}: SQLite; about 0 events, 0.0 GB\n"
            "there is nothing to change: SQLite takes its settings from the service\n"
        )
        assert quick("db", "advise", "--json", "--database-url", url).stdout == "[]\n"
        wrong = quick("db", "advise", "--memory", "16", "--database-url", url)
    assert wrong.returncode == 2
    assert "'16' is not a size such as 16GB; units are MB, GB and TB" in wrong.stderr
