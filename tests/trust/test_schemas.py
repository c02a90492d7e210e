"""Databases of other versions: nothing starts on them, and nothing is written to them."""

import os
import re
import signal
import time
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from cost_insights.store import SchemaError, Store
from tests.support.databases import Databases
from tests.support.processes import ServiceProcess
from tests.support.service import StartServer

REVISIONS = {
    ("9999",): "a newer version of this program made its schema 9999; the newest schema that this "
    "version knows is ",
    ("0001", "9999"): "its table alembic_version names several schemas, 0001, 9999, which no "
    "version of this program makes",
}


def set_revisions(database_url: str, revisions: tuple[str, ...]) -> None:
    """Makes the database say that these migrations are the last that it has seen."""
    store = Store(database_url)
    store.upgrade()
    with store.write() as connection:
        connection.exec_driver_sql("DELETE FROM alembic_version")
        for revision in revisions:
            connection.exec_driver_sql(f"INSERT INTO alembic_version VALUES ('{revision}')")
    store.close()


def contents(database_url: str) -> dict[str, int]:
    """The number of rows of each table."""
    engine = sa.create_engine(database_url)
    with engine.connect() as connection:
        names = sorted(sa.inspect(connection).get_table_names())
        counts = {
            name: connection.exec_driver_sql(f"SELECT count(*) FROM {name}").scalar_one()
            for name in names
        }
    engine.dispose()
    return counts


@pytest.mark.parametrize("upgrade", [True, False], ids=["upgrade", "no upgrade"])
@pytest.mark.parametrize("revisions", REVISIONS)
def test_a_service_refuses_a_newer_schema(
    start_server: StartServer, database_url: str, revisions: tuple[str, ...], upgrade: bool
) -> None:
    """A service does not start on a newer schema, whether it may upgrade the database or not."""
    set_revisions(database_url, revisions)
    before = contents(database_url)
    words = re.escape(REVISIONS[revisions])
    with (
        pytest.raises(SchemaError, match=words),
        start_server(database_url, database_upgrade=upgrade),
    ):
        pass
    assert contents(database_url) == before


@pytest.mark.slow
def test_a_worker_refuses_a_newer_schema(databases: Databases, tmp_path: Path) -> None:
    """A worker that is started anew after another version has upgraded the database does not
    serve it, and says why in one line."""
    with databases.fresh("postgresql") as url:
        service = ServiceProcess(url, tmp_path, "--workers", "2")
        with closing(service):
            service.start()
            service.wait_until_serving()
            set_revisions(url, ("9999",))
            for worker in service.worker_ids:
                os.kill(worker, signal.SIGKILL)
            log = tmp_path / "service.log"
            until = time.monotonic() + 60
            while "made its schema 9999" not in log.read_text():
                assert time.monotonic() < until, "no worker was started anew"
                time.sleep(0.1)
        assert "Traceback" not in log.read_text()
