"""Copies of a database, made while a service works with it, and databases made of them."""

import sqlite3
import stat
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cost_insights.store import Store
from tests.support.command_line import Command
from tests.support.databases import Databases
from tests.support.segments import checked
from tests.support.service import Caller, Service, StartServer, new_event
from tests.support.waiting import wait_until


@pytest.fixture
def service(start_server: StartServer, databases: Databases) -> Iterator[Service]:
    """A service on SQLite."""
    with databases.fresh("sqlite") as url, start_server(url) as service:
        yield service


@pytest.fixture
def acknowledged(service: Service) -> Iterator[list[str]]:
    """The external ids that are acknowledged, which become more until the test ends."""
    ids: list[str] = []
    stopping = threading.Event()
    caller = service.stranger()

    def send() -> None:
        while not stopping.is_set():
            some = [str(len(ids) + place) for place in range(50)]
            caller.ingest(
                *(new_event(external_customer_id="c", external_id=one, cost="1.5") for one in some)
            )
            ids.extend(some)

    thread = threading.Thread(target=send)
    thread.start()
    yield ids
    stopping.set()
    thread.join()


def test_a_backup_under_load_is_restored(
    command: Command,
    service: Service,
    acknowledged: list[str],
    tmp_path: Path,
    start_server: StartServer,
) -> None:
    """A copy holds all that was acknowledged before, in a file of its owner's; a database that is
    made of it is right in every cell, and can be served."""
    file, restored = tmp_path / "backup.db", tmp_path / "new/costs.db"
    url = f"sqlite:///{restored}"
    wait_until(lambda: len(acknowledged) >= 200)
    before = set(acknowledged)
    done = command("db", "backup", str(file), "--database-url", service.settings.database_url)
    assert (done.returncode, done.stderr) == (0, "")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["backup.db"]
    done = command("db", "restore", str(file), "--database-url", url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{url}: restored {file.stat().st_size} bytes from {file}\n"
    with sqlite3.connect(restored) as connection:
        found = {one for (one,) in connection.execute("SELECT external_id FROM event")}
    connection.close()
    assert before <= found <= set(acknowledged) | {str(len(acknowledged) + n) for n in range(100)}
    store = Store(url, connections_max=4)
    assert checked(store).is_right
    store.close()
    with start_server(url) as served:
        caller = Caller(served.channel())
        assert len(caller.list_page(page_size=1).events) == 1


def test_nothing_is_overwritten(command: Command, service: Service, tmp_path: Path) -> None:
    """Neither a file that is there nor a database is touched."""
    url = service.settings.database_url
    file = tmp_path / "backup.db"
    file.write_text("precious")
    done = command("db", "backup", str(file), "--database-url", url)
    assert done.returncode == 1
    assert done.stderr == (
        f"cost-insights: {file}: {file} is there already, and nothing is overwritten\n"
    )
    assert file.read_text() == "precious"
    done = command("db", "restore", str(file), "--database-url", url)
    assert done.returncode == 1
    assert "is there already" in done.stderr


def test_what_is_no_backup_makes_no_database(command: Command, tmp_path: Path) -> None:
    """A file that is none, that is no database, or another program's leaves nothing behind."""
    target = tmp_path / "new.db"
    url = f"sqlite:///{target}"
    garbage, foreign = tmp_path / "garbage.db", tmp_path / "foreign.db"
    garbage.write_bytes(b"no database" * 1_000)
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE t (x)")
    connection.close()
    for file, words in (
        (tmp_path / "none.db", f"{tmp_path / 'none.db'}: there is no such file"),
        (garbage, f"{garbage}: the database cannot be copied: file is not a database"),
        (foreign, "it has no schema yet"),
    ):
        done = command("db", "restore", str(file), "--database-url", url)
        assert done.returncode != 0
        assert words in done.stderr
        assert "Traceback" not in done.stderr
        assert not list(tmp_path.glob("new.db*"))


def test_a_postgresql_has_programs_of_its_own(command: Command, tmp_path: Path) -> None:
    """The message says which."""
    url = "postgresql://u:secret@localhost/d"
    for name, program in (("backup", "pg_dump"), ("restore", "pg_restore")):
        done = command("db", name, str(tmp_path / "file"), "--database-url", url)
        assert done.returncode == 2
        assert program in done.stderr
        assert "secret" not in done.stderr


def test_dumps_of_postgresql(
    command: Command, start_server: StartServer, databases: Databases, tmp_path: Path
) -> None:
    """What pg_dump and pg_restore carry over is right in every cell."""
    file = tmp_path / "costs.dump"
    with databases.fresh("postgresql") as url, databases.fresh("postgresql") as new_url:
        with start_server(url) as service:
            caller = service.stranger()
            caller.ingest(*(new_event(external_customer_id="c", cost="0.1") for _ in range(100)))
            plain = url.replace("postgresql+psycopg", "postgresql")
            subprocess.run(["pg_dump", "--format=custom", f"--file={file}", plain], check=True)
        new = new_url.replace("postgresql+psycopg", "postgresql")
        subprocess.run(["pg_restore", f"--dbname={new}", file], check=True)
        done = command("db", "check", "--database-url", new_url)
        assert done.returncode == 0, done.stdout
        assert "100 events" in done.stdout
