"""The files of the embedded database: who can read them, and what if somebody takes them away."""

import os
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import grpc
import pytest

from cost_insights.store import Store
from cost_insights.v1 import revenue_service_pb2
from tests.support.revenue import new_order
from tests.support.service import Service, StartServer, new_event, refused


@pytest.fixture(autouse=True)
def lax_umask() -> Iterator[None]:
    """Files are created as readable as programs ask for."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    """The permissions of a file or folder."""
    return stat.S_IMODE(path.stat().st_mode)


def test_files_of_sqlite_are_private(start_server: StartServer, tmp_path: Path) -> None:
    """Only the owner can read the file of a database, its log, and the folders made for them."""
    tmp_path.chmod(0o755)
    file = tmp_path / "new" / "deep" / "costs.db"
    with start_server(f"sqlite:///{file}") as service:
        service.stranger().ingest(new_event())
        names = {one.name for one in file.parent.iterdir()}
        assert names == {"costs.db", "costs.db-wal", "costs.db-shm"}
        assert {mode(one) for one in file.parent.iterdir()} == {0o600}
    assert [mode(file.parent), mode(file.parent.parent), mode(tmp_path)] == [0o700, 0o700, 0o755]


def test_the_lock_of_a_served_file_is_private(tmp_path: Path) -> None:
    """The file that says which process serves a database is its owner's too."""
    with closing(Store(f"sqlite:///{tmp_path / 'costs.db'}")) as store, store.serving():
        assert mode(tmp_path / "costs.db.lock") == 0o600


def test_a_file_that_is_there_keeps_its_permissions(tmp_path: Path) -> None:
    """Whoever lets others read a database goes on to do so."""
    file = tmp_path / "costs.db"
    file.touch(0o640)
    with closing(Store(f"sqlite:///{file}")) as store:
        store.upgrade()
    assert mode(file) == 0o640


def check_lost(service: Service) -> None:
    """Whatever writes is refused, with a reason and a time to wait."""
    caller = service.stranger()
    with refused("STORE_LOST") as call:
        caller.ingest(new_event(name="lost"))
    assert call.refusal.code is grpc.StatusCode.UNAVAILABLE
    assert call.refusal.retry_seconds == 10.0
    with refused("STORE_LOST"):
        caller.revenue.RecordOrders(revenue_service_pb2.RecordOrdersRequest(orders=[new_order()]))


def test_a_deleted_file_is_noticed(start_server: StartServer, tmp_path: Path) -> None:
    """No event is acknowledged that is written to a file which is gone, and no file takes its
    place; once it is back, events are stored again, each once."""
    file = tmp_path / "costs.db"
    with start_server(f"sqlite:///{file}") as service:
        service.stranger().ingest(new_event(name="before"))
        file.rename(tmp_path / "away.db")
        check_lost(service)
        assert not file.exists()
        (tmp_path / "away.db").rename(file)
        service.stranger().ingest(new_event(name="after"))
        names = [event.name for event in service.stranger().list_events()]
        assert names == ["after", "before"]


def test_a_replaced_file_is_noticed(start_server: StartServer, tmp_path: Path) -> None:
    """A database that is restored under a running service takes no events of the old one."""
    file = tmp_path / "costs.db"
    with closing(Store(f"sqlite:///{tmp_path / 'other.db'}")) as other:
        other.upgrade()
    with start_server(f"sqlite:///{file}") as service:
        service.stranger().ingest(new_event(name="before"))
        (tmp_path / "other.db").replace(file)
        check_lost(service)
