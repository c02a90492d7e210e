"""Bytes of a database change on the disk: no command ends in a traceback, nothing that is intact is
overwritten, and what is intact can be copied."""

import random
import re
from datetime import timedelta
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess

import psycopg
import pytest
import sqlalchemy as sa

from cost_insights.store import Store
from cost_insights.store.schema import event, segment
from cost_insights.v1 import metrics_service_pb2
from tests.support.command_line import Command
from tests.support.databases import Databases
from tests.support.events import event_at
from tests.support.postgresql import Cluster, folder_for_cluster, libpq_url
from tests.support.segments import START, answers, compact, fill
from tests.support.service import Caller, LoopThread, StartServer, running

Answers = list[metrics_service_pb2.GetMetricsResponse]

EVENTS = 400


def send(caller: Caller) -> None:
    """Sends events that fill some pages, with and without external ids."""
    fill(caller)
    caller.ingest(
        *(
            event_at(
                START + timedelta(hours=5 * n),
                external_customer_id=f"c{n % 3}",
                external_id=f"e{n}" if n % 2 else "",
                cost=f"0.{n:03}1",
                metadata={"text": f"{n:04}" * 30},
            )
            for n in range(EVENTS)
        )
    )


def filled(start_server: StartServer, url: str) -> Answers:
    """Fills a database, most of whose events are in segments, and returns what it answers."""
    with start_server(url, compact=False) as service:
        caller = service.stranger()
        send(caller)
        compact(service.store)
        fill(caller, name="email.sent")
        return answers(caller)


def told(done: CompletedProcess[str]) -> int:
    """The exit code of a command that ended with a message, not with a traceback."""
    assert "Traceback" not in done.stderr
    assert done.returncode in {0, 1, 3}
    assert done.returncode == 0 or done.stderr + done.stdout
    return done.returncode


def check_damaged(
    quick: Command, start_server: StartServer, url: str, salvaged_url: str, expected: Answers
) -> None:
    """Whatever the damage is, commands end with a message, and nothing is right that is not."""
    is_intact = told(quick("db", "check", "--database-url", url)) == 0
    is_salvaged = told(quick("db", "salvage", salvaged_url, "--database-url", url)) == 0
    is_mended = told(quick("db", "check", "--repair", "--database-url", url)) == 0
    assert is_mended or not is_intact
    for one, is_right in ((salvaged_url, is_salvaged), (url, is_mended)):
        if is_right:
            with start_server(one, compact=False) as service:
                assert answers(service.stranger()) == expected


@pytest.fixture(scope="module")
def original(
    tmp_path_factory: pytest.TempPathFactory, loop_thread: LoopThread
) -> tuple[Path, Answers]:
    """A SQLite file, and what it answers."""
    file = tmp_path_factory.mktemp("original") / "costs.db"
    return file, filled(partial(running, loop_thread), f"sqlite:///{file}")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_damaged_pages_of_sqlite(
    quick: Command,
    start_server: StartServer,
    original: tuple[Path, Answers],
    tmp_path: Path,
    seed: int,
) -> None:
    """Some bytes of random pages change."""
    file, expected = original
    content = bytearray(file.read_bytes())
    pages = len(content) // 4_096
    random_source = random.Random(seed)
    for _ in range(random_source.choice([1, 1, 3])):
        page = random_source.randrange(1, pages)
        for _ in range(random_source.choice([1, 8, 200])):
            content[page * 4_096 + random_source.randrange(4_096)] ^= random_source.randrange(
                1, 256
            )
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(content)
    check_damaged(
        quick,
        start_server,
        f"sqlite:///{damaged}",
        f"sqlite:///{tmp_path / 'salvaged.db'}",
        expected,
    )


RELATIONS = ["event", "event_pkey", "segment", "customer"]


@pytest.mark.slow
def test_damaged_pages_of_postgresql(
    quick: Command, start_server: StartServer, tmp_path: Path
) -> None:
    """Some bytes of a page of a table or an index change while the server is stopped."""
    with folder_for_cluster() as folder:
        cluster = Cluster(folder, fsync=False)
        cluster.start()
        try:
            expected = filled(start_server, cluster.url)
            with psycopg.connect(libpq_url(cluster.url), autocommit=True) as connection:
                connection.execute("CHECKPOINT")
                files = [
                    folder
                    / "data"
                    / connection.execute(
                        "SELECT pg_relation_filepath(%s::regclass)", (name,)
                    ).fetchone()[0]  # type: ignore[index]
                    for name in RELATIONS
                ]
            for number, file in enumerate(files):
                cluster.stop()
                whole = file.read_bytes()
                damaged = bytearray(whole)
                random_source = random.Random(number)
                page = random_source.randrange(len(whole) // 8_192)
                for _ in range(20):
                    damaged[page * 8_192 + random_source.randrange(24, 8_192)] ^= 0x11
                file.write_bytes(damaged)
                cluster.start()
                salvaged = f"sqlite:///{tmp_path / f'salvaged{number}.db'}"
                check_damaged(quick, start_server, cluster.url, salvaged, expected)
                cluster.stop()
                file.write_bytes(whole)
                cluster.start()
        finally:
            cluster.stop()


def test_an_intact_database_is_copied_whole(
    quick: Command, start_server: StartServer, databases: Databases, database_url: str
) -> None:
    """Everything is copied, between databases of either kind too, and nothing into one that holds
    something already."""
    expected = filled(start_server, database_url)
    for engine in ("sqlite", "postgresql"):
        with databases.fresh(engine) as new_url:
            done = quick("db", "salvage", new_url, "--database-url", database_url)
            assert done.returncode == 0, done.stdout + done.stderr
            assert f"event: {EVENTS + 24} rows copied\n" in done.stdout
            with start_server(new_url, compact=False) as service:
                assert answers(service.stranger()) == expected
                service.stranger().ingest(event_at(START))
                assert len(service.stranger().list_events()) == EVENTS + 25
            again = quick("db", "salvage", new_url, "--database-url", database_url)
            assert (again.returncode, again.stdout) == (1, "")
            assert again.stderr.endswith(": the new database must be empty\n")


def test_what_is_damaged_is_left_out(
    quick: Command, start_server: StartServer, database_url: str, tmp_path: Path
) -> None:
    """Damaged events and segments are counted; sums survive as long as other cells hold them, and
    a repair says what would be lost."""
    expected = filled(start_server, database_url)
    store = Store(database_url)
    with store.write() as connection:
        connection.execute(
            sa.update(event)
            .where(event.c.external_id == "e1")
            .values(cost_picocents=event.c.cost_picocents + 1)
        )
        connection.execute(sa.update(segment).where(segment.c.kind == 2).values(packed=b"x"))
    # Into the file: until then it holds the events as they were, and they would be found there.
    store.close()
    flags = ("--database-url", database_url)
    new_url = f"sqlite:///{tmp_path / 'salvaged.db'}"
    done = quick("db", "salvage", new_url, *flags)
    assert done.returncode == 1
    assert f"event: {EVENTS + 23} rows copied, 1 damaged\n" in done.stdout
    assert "segment: " in done.stdout
    with start_server(new_url, compact=False) as service:
        assert answers(service.stranger()) == expected
    mended = quick("db", "check", "--repair", *flags)
    assert mended.returncode == 1
    assert "default: 1 events are damaged\n" in mended.stdout
    assert "damaged events cannot be mended; look for them in a backup" in mended.stderr
    with start_server(database_url, compact=False) as service:
        assert answers(service.stranger()) == expected
    with store.write() as connection:
        connection.execute(sa.update(segment).where(segment.c.kind == 7).values(packed=b"x"))
    before = contents(store)
    refused = quick("db", "check", "--repair", *flags)
    assert refused.returncode == 1
    assert "events are lost, and the cells that held them are damaged, so nothing was" in (
        refused.stderr
    )
    assert contents(store) == before
    accepted = quick("db", "check", "--repair", "--accept-loss", *flags)
    assert "the cells that differed are rewritten\n" in accepted.stderr
    assert contents(store) != before
    store.close()


def test_events_that_nothing_leads_to(
    quick: Command, start_server: StartServer, tmp_path: Path
) -> None:
    """Where the root of the table of events is gone, intact events are found page by page, but
    not those that were pruned, whose pages may still be there."""
    url, new_url = (f"sqlite:///{tmp_path / name}.db" for name in ("damaged", "salvaged"))
    expected = filled(start_server, url)
    flags = ("--database-url", url)
    pruned = quick("db", "prune", "--before", "2025-01-10", "--all-organizations", "--yes", *flags)
    left = EVENTS + 24 - int(re.search(r"deleted (\d+) events", pruned.stdout)[1])  # type: ignore[index]
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        statement = "SELECT rootpage FROM sqlite_master WHERE name = 'event'"
        root = connection.exec_driver_sql(statement).scalar_one()
    engine.dispose()
    with (tmp_path / "damaged.db").open("r+b") as file:
        file.seek((root - 1) * 4_096)
        file.write(b"\xff" * 4_096)
    done = quick("db", "salvage", new_url, *flags)
    assert f"event: {left} rows copied" in done.stdout
    with start_server(new_url, compact=False) as service:
        assert answers(service.stranger()) == expected
        assert len(service.stranger().list_events()) == left


def test_an_organization_that_is_lost(
    quick: Command, start_server: StartServer, tmp_path: Path
) -> None:
    """What belongs to an organization whose row is gone is copied to one of a new name."""
    url, new_url = (f"sqlite:///{tmp_path / name}.db" for name in ("damaged", "salvaged"))
    expected = filled(start_server, url)
    store = Store(url)
    with store.write() as connection:
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        connection.exec_driver_sql("UPDATE organization SET id = 'not a UUID'")
    store.close()
    done = quick("db", "salvage", new_url, "--database-url", url)
    assert done.returncode == 1
    assert "organization: 0 rows copied, up to 1 unreadable\n" in done.stdout
    assert "what belongs to it is copied to 'salvaged 1'\n" in done.stderr
    with start_server(new_url, compact=False, open_organization="salvaged 1") as service:
        assert answers(service.stranger()) == expected
        # Numbers go on where they were.
        service.stranger().ingest(event_at(START, external_customer_id="new", name="new"))
        assert len(service.stranger().list_events()) == EVENTS + 25


@pytest.mark.parametrize(
    "arguments",
    [
        ("organization", "list"),
        ("token", "list"),
        ("token", "list", "--json"),
        ("db", "prune", "--before", "2025-01-01", "--all-organizations", "--yes"),
        ("db", "check", "--repair"),
    ],
    ids=" ".join,
)
def test_values_that_nobody_wrote(
    quick: Command, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    """What damage makes of single values ends a command with a message too."""
    flags = ("--database-url", f"sqlite:///{tmp_path / 'costs.db'}")
    quick("organization", "create", "acme", *flags)
    quick("token", "create", "--organization", "acme", "--scopes", "events:read", *flags)
    store = Store(flags[1])
    for change in ("id = x'00'", "id = 7", "created_us = 'soon'", "name = x'ff'"):
        with store.write() as connection:
            connection.exec_driver_sql(f"UPDATE organization SET {change}")
        told(quick(*arguments, *flags))
    store.close()


def contents(store: Store) -> list[tuple[object, ...]]:
    """All segments."""
    with store.read() as connection:
        rows = connection.execute(sa.select(segment).order_by(segment.c.id)).all()
    return [tuple(row) for row in rows]
