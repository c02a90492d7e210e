"""Questions that are answered from memory: by one statement, and never by an old answer."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any, NoReturn

import pytest

from cost_insights import cells
from cost_insights.cells import CellCache, CellReader, Kind, Needed, StoredCells, pending_batches
from cost_insights.errors import QueryTooSlowError
from cost_insights.identity import create_organization
from cost_insights.store import Deadline, Store
from tests.support.cells import add_batches, packed_cells
from tests.support.service import Service, StartServer, lately, new_event

QUESTIONS: list[dict[str, Any]] = [
    {},
    {"metrics": ["costs", "active_user_by_event"]},
    {"external_customer_ids": ["acme", "zeta"]},
    {"timezone": "Asia/Kolkata", "external_customer_ids": ["acme"]},
]

NEEDED = [Needed(Kind.DAYS, 0, 1), Needed(Kind.YEARS, 0, 0)]


@pytest.fixture
def service(start_server: StartServer, database_url: str) -> Iterator[Service]:
    """A service that compacts only when it is told to."""
    with start_server(database_url, compact=False, token_cache_ms=60_000) as service:
        yield service


def refuse(*_: object) -> NoReturn:
    """Takes the place of what must not be called."""
    raise AssertionError("a transaction was begun")


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda one: ", ".join(one) or "everything")
def test_a_warm_question_begins_no_transaction(
    service: Service, monkeypatch: pytest.MonkeyPatch, question: dict[str, Any]
) -> None:
    """New events of this process and new records count at once."""
    caller, store = service.caller(), service.server.app.store
    caller.ingest(*(new_event(cost="2", external_customer_id=one) for one in ("acme", "zeta")))
    (waiting,) = pending_batches(store)
    cells.compact(store, [waiting.organization_number])
    caller.get_metrics(**lately(), **question)
    caller.ingest(new_event(cost="0.5", external_customer_id="acme"))
    with monkeypatch.context() as patch:
        patch.setattr(store, "read", refuse)
        assert caller.get_metrics(**lately(), **question).totals.costs in {"4.5", "2.5"}


def test_what_others_store_counts_at_once(service: Service, database_url: str) -> None:
    """Batches and segments of other processes are read when they are first met."""
    caller, store = service.caller(), service.server.app.store
    caller.ingest(new_event(cost="1", external_customer_id="acme"))
    assert caller.get_metrics(**lately()).totals.costs == "1"
    (waiting,) = pending_batches(store)
    with closing(Store(database_url)) as other:
        add_batches(other, waiting.organization_number, packed_cells([(0, 0, 0, "3")]))
        assert caller.get_metrics(**lately()).totals.cumulative_costs == "4"
        assert cells.compact(other, [waiting.organization_number])
        assert caller.get_metrics(**lately()).totals.cumulative_costs == "4"


def test_cells_without_a_transaction(store: Store) -> None:
    """Cells read without a transaction are those of a transaction if the cache has all of them;
    otherwise there are none."""
    with store.write() as connection:
        number = create_organization(connection, "acme").number
    reader = CellReader(store, CellCache(1 << 20))

    def cached() -> StoredCells | None:
        return reader.cached_cells(number, NEEDED, deadline=Deadline(60))

    def read() -> StoredCells:
        with store.read() as connection:
            return reader.cells(connection, number, NEEDED)

    assert cached() == read() == StoredCells(0, 0, [], [])
    for compacts in (False, True):
        add_batches(store, number, packed_cells([(40 * 86_400, 2, 1, "2")]))
        if compacts:
            assert cells.compact(store, [number])
        assert cached() is None
        found = read()
        assert len(found.batches) + len(found.segments) == (2 if compacts else 1)
        assert cached() == found


def test_the_deadline_holds_without_a_transaction(store: Store) -> None:
    """The database is not asked for a call that is over."""
    reader = CellReader(store, CellCache(0))
    with pytest.raises(QueryTooSlowError):
        reader.cached_cells(1, NEEDED, deadline=Deadline(0))
    assert reader.cached_cells(1, NEEDED, deadline=Deadline(60)) == StoredCells(0, 0, [], [])
