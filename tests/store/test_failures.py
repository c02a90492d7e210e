"""Disks that are full or read-only: what the caller is told, what is stored, and what is logged."""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import grpc
import psycopg
import pytest

from cost_insights.v1 import revenue_service_pb2
from tests.support.databases import Databases
from tests.support.disks import fill, small_disk
from tests.support.postgresql import Cluster, folder_for_cluster, libpq_url
from tests.support.revenue import new_order
from tests.support.service import Caller, Service, StartServer, new_event, refused

pytestmark = pytest.mark.slow


def send_until_refused(caller: Caller, reason: str) -> int:
    """Sends events until they are refused for that reason; returns how many were stored."""
    for number in range(10_000):
        try:
            with refused(reason) as call:
                event = new_event(external_id=f"e{number}", metadata={"text": "x" * 1_000})
                caller.ingest(event)
        except AssertionError:
            continue
        assert call.refusal.code is grpc.StatusCode.UNAVAILABLE
        assert call.refusal.retry_seconds == 10.0
        return number
    raise AssertionError("the disk did not fill up")


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The messages that were logged of the database."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "cost_insights.store.failures"
    ]


def check_full_disk(
    start_server: StartServer, url: str, disk: Path, caplog: pytest.LogCaptureFixture, cause: str
) -> None:
    """On a full disk nothing is stored, callers are told at once, and so is the log; with room
    again the service goes on."""
    with start_server(url) as service:
        caller = service.stranger()
        caller.ingest(new_event(name="before"))
        filler = fill(disk)
        started = time.monotonic()
        stored = send_until_refused(caller, "STORE_FULL")
        for _ in range(50):
            with refused("STORE_FULL"):
                caller.ingest(new_event(external_id=f"e{stored}", metadata={"text": "x" * 1_000}))
        with refused("STORE_FULL"):
            caller.revenue.RecordOrders(
                revenue_service_pb2.RecordOrdersRequest(
                    orders=[new_order(order_id=f"o{n}" + "x" * 90) for n in range(1_000)]
                )
            )
        # Nobody was kept waiting for a disk that stays full.
        assert time.monotonic() - started < 60
        # What is stored can be read all the while.
        assert len(caller.list_events(page_size=1_000)) == stored + 1
        (first, *more) = messages(caplog)
        assert first.startswith(f"the database fails: {cause}")
        assert len(more) <= 4
        filler.unlink()
        time.sleep(2.5)
        caller.ingest(new_event(external_id=f"e{stored}"))
        assert len(caller.list_events(page_size=1_000)) == stored + 2
        last = messages(caplog)[-1]
        assert last.startswith(f"the database works again: {cause}")


def test_a_full_disk_of_sqlite(start_server: StartServer, caplog: pytest.LogCaptureFixture) -> None:
    """SQLite on a disk without room."""
    with small_disk(4) as disk:
        cause = "database or disk is full (SQLITE_FULL)"
        check_full_disk(start_server, f"sqlite:///{disk / 'costs.db'}", disk, caplog, cause)


def test_a_full_disk_of_postgresql(
    start_server: StartServer, caplog: pytest.LogCaptureFixture
) -> None:
    """PostgreSQL with its tables on a disk without room."""
    with small_disk(20) as disk, folder_for_cluster() as folder:
        cluster = Cluster(folder)
        try:
            cluster.start()
            tables = disk / "tables"
            tables.mkdir()
            owner = (folder / "data").stat()
            os.chown(tables, owner.st_uid, owner.st_gid)
            with psycopg.connect(libpq_url(cluster.url), autocommit=True) as connection:
                connection.execute(f"CREATE TABLESPACE small LOCATION '{tables}'".encode())
                connection.execute("CREATE DATABASE costs TABLESPACE small")
            url = cluster.url.removesuffix("/postgres") + "/costs"
            check_full_disk(start_server, url, disk, caplog, "could not extend file")
        finally:
            cluster.stop()


def check_read_only(service: Service, caplog: pytest.LogCaptureFixture, cause: str) -> None:
    """Calls that would write are refused, and those that read are answered."""
    caller = service.stranger()
    with refused("STORE_READ_ONLY") as call:
        caller.ingest(new_event(name="after"))
    assert call.refusal.code is grpc.StatusCode.UNAVAILABLE
    assert call.refusal.retry_seconds == 10.0
    with refused("STORE_READ_ONLY"):
        caller.revenue.RecordOrders(revenue_service_pb2.RecordOrdersRequest(orders=[new_order()]))
    assert [event.name for event in caller.list_events()] == ["before"]
    assert any(re.match(f"the database fails: {cause}", line) for line in messages(caplog))


def test_a_read_only_disk_of_sqlite(
    start_server: StartServer, caplog: pytest.LogCaptureFixture
) -> None:
    """SQLite on a file system that takes no writes any more."""
    with small_disk(8) as disk:
        (disk / "later").mkdir()
        with start_server(f"sqlite:///{disk / 'costs.db'}") as service:
            service.stranger().ingest(new_event(name="before"))
            # As a machine leaves it that goes down: whoever opens it cannot tidy up.
            for file in disk.glob("costs.db*"):
                shutil.copy(file, disk / "later")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with start_server(
            f"sqlite:///{disk / 'later/costs.db'}",
            database_upgrade=False,
            database_retry_seconds=0.5,
        ) as service:
            cause = "attempt to write a readonly database .SQLITE_READONLY."
            check_read_only(service, caplog, cause)


def test_a_read_only_database_of_postgresql(
    start_server: StartServer, databases: Databases, caplog: pytest.LogCaptureFixture
) -> None:
    """PostgreSQL that takes no writes, as after a failover to a server that only reads."""
    with (
        databases.fresh("postgresql") as url,
        start_server(url, database_retry_seconds=0.5) as service,
        psycopg.connect(libpq_url(url), autocommit=True) as other,
    ):
        service.stranger().ingest(new_event(name="before"))
        name = other.info.dbname
        other.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'.encode())
        other.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        time.sleep(1)
        caplog.clear()
        check_read_only(
            service, caplog, "cannot execute [A-Z ]+ in a read-only transaction .25006."
        )


def test_the_log_of_an_outage(start_server: StartServer, caplog: pytest.LogCaptureFixture) -> None:
    """A database that is down is named with the driver's words at once, later by the number of
    failures, and once more when it is back; however many calls fail meanwhile."""
    with folder_for_cluster() as folder:
        cluster = Cluster(folder)
        try:
            cluster.start()
            with start_server(cluster.url, database_retry_seconds=0.2) as service:
                caller = service.caller()
                cluster.stop()
                caplog.clear()
                started = time.monotonic()
                refusing: list[str] = []
                while len(refusing) < 3:
                    assert time.monotonic() - started < 30
                    with refused("STORE_UNAVAILABLE"):
                        caller.ingest(new_event())
                    refusing = [line for line in messages(caplog) if "Connection refused" in line]
                assert refusing[0].startswith("the database fails: connection failed: ")
                assert "\n" not in refusing[0]
                assert re.search(r" \([0-9]+ more in [0-9]+ s\)$", refusing[-1])
                # At once, after a second, and four seconds later.
                assert time.monotonic() - started >= 5
                # The connections that were cut, the server that was going down, and no more.
                assert len(messages(caplog)) <= 8
                cluster.start()
                caplog.clear()
                until = time.monotonic() + 20
                while not any("works again" in line for line in messages(caplog)):
                    assert time.monotonic() < until
                    time.sleep(0.1)
                caller.ingest(new_event())
        finally:
            cluster.stop()
    logged = [record.name for record in caplog.records]
    assert "stamina" not in logged
    assert "cost_insights.jobs.runner" not in logged
