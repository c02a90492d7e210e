"""Pages of events are read with few statements, however many events and customers there are."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from cost_insights.cells import CellCache
from cost_insights.customers import CustomerCache
from cost_insights.events import (
    AllOf,
    AnyOf,
    Comparison,
    EventFilter,
    EventSearch,
    EventSearcher,
    EventWriter,
    Operator,
    PageCursor,
    PageNumber,
    rows,
)
from cost_insights.identity import Organization
from cost_insights.store import Store
from cost_insights.store.schema import event
from tests.support.events import event_at
from tests.support.segments import START, compact
from tests.support.submissions import NOW_US, submission


@pytest.fixture
def statements(store: Store) -> Iterator[list[str]]:
    """The statements of a store, as they are executed."""
    found: list[str] = []

    def before(*arguments: object) -> None:
        if (statement := str(arguments[2])).startswith(("SELECT", "WITH")):
            found.append(statement)

    sa.event.listen(store._engine, "before_cursor_execute", before)
    yield found
    sa.event.remove(store._engine, "before_cursor_execute", before)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (EventSearch(EventFilter()), (280, 3)),
        (EventSearch(EventFilter(external_customer_ids=("often",))), (180, 3)),
        # All of them on many days, of which the cells are read once.
        (EventSearch(EventFilter(external_customer_ids=("seldom",))), (100, 4)),
        (EventSearch(EventFilter(event_names=("often",))), (180, 4)),
    ],
)
def test_statements_of_a_page(
    store: Store,
    acme: Organization,
    statements: list[str],
    asked: EventSearch,
    expected: tuple[int, int],
) -> None:
    """A page, its total and what belongs to its events take a few statements."""
    events, statements_max = expected
    writer = EventWriter(store)
    given = [
        event_at(
            START - timedelta(hours=27 * place if name == "seldom" else place),
            name=name,
            external_customer_id=name,
        )
        for name, count in (("seldom", 100), ("often", 180))
        for place in range(count)
    ]
    writer.write(writer.prepare([submission(acme, *given)]), now_us=NOW_US)
    compact(store)
    searcher = EventSearcher(store, CellCache(2**20), CustomerCache())
    # The customer and the cells are remembered from here on.
    searcher.page(acme, asked, PageNumber(0), size=100)
    statements.clear()
    page = searcher.page(acme, asked, PageNumber(0), size=100)
    assert (len(page.events), page.total) == (min(100, events), events)
    assert len(statements) <= statements_max, statements


CONDITION = AllOf(
    (
        AnyOf((Comparison("n", Operator.EQ, "3"), Comparison("metadata.n", Operator.EQ, 4))),
        Comparison("even", Operator.EQ, "true"),
    )
)


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("signature", ["as stored", None, -1])
def test_pages_by_signatures(
    store: Store, acme: Organization, signature: str | int | None, *, descending: bool
) -> None:
    """Events with a member of the metadata are found by signatures, whether these tell events
    apart, are not there or tell nothing, and however many events have one time."""
    given = []
    for place in range(400):
        one = event_at(START - timedelta(seconds=place // 3), external_id=str(place))
        one.metadata.update({"n": place % 20, "even": place % 2 == 0, "place": place})
        given.append(one)
    writer = EventWriter(store)
    writer.write(writer.prepare([submission(acme, *given)]), now_us=NOW_US)
    if signature != "as stored":
        with store.write() as connection:
            connection.execute(sa.update(event).values(metadata_signature=signature))
    searcher = EventSearcher(store, CellCache(2**20), CustomerCache())
    asked = EventSearch(EventFilter(), condition=CONDITION, descending=descending)
    found: list[int] = []
    at: PageCursor | PageNumber = PageNumber(3)
    while True:
        page = searcher.page(acme, asked, at, size=4)
        found += [one.metadata["place"] for one in page.events]
        if not page.next_cursor:
            break
        at = PageCursor(page.next_cursor)
    with store.read() as connection:
        rows = connection.execute(sa.select(event.c.timestamp_us, event.c.id, event.c.metadata))
        expected = [row.metadata["place"] for row in sorted(rows, reverse=descending)]
    assert found == [one for one in expected if one % 20 == 4][3:]


def test_statements_are_built_once(
    store: Store, acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Conditions that differ in keys and values alone share a statement that is built once; those
    of many comparisons are built each time, so that what callers ask takes little memory."""
    built: list[rows.PageShape] = []
    select_page = rows._select_page

    def select(shape: rows.PageShape) -> Any:
        built.append(shape)
        return select_page(shape)

    monkeypatch.setattr(rows, "_select_page", select)
    one = event_at(START, external_id="1")
    one.metadata.update({"n": 1, "m": 5, **{f"k{place}": "v" for place in range(17)}})
    writer = EventWriter(store)
    writer.write(writer.prepare([submission(acme, one)]), now_us=NOW_US)
    searcher = EventSearcher(store, CellCache(2**20), CustomerCache())

    def found(*conditions: Comparison) -> int:
        asked = EventSearch(EventFilter(), condition=AllOf(conditions))
        return searcher.page(acme, asked, PageNumber(0), size=10).total

    given = [("n", 1), ("m", 5), ("m", 4), ("n", 10)]
    assert [found(Comparison(key, Operator.EQ, value)) for key, value in given] == [1, 1, 0, 0]
    # Candidates are read first, and where there are none the page is not.
    assert len(built) == 1
    many = [Comparison(f"k{place}", Operator.EQ, "v") for place in range(17)]
    assert [found(*many), found(*many)] == [1, 1]
    assert len(built) == 3


def test_candidates_are_found_by_the_index_alone(store: Store, acme: Organization) -> None:
    """No event is read to tell that it does not have a member of the metadata."""
    asked = EventSearch(
        EventFilter(), after_us=0, before_us=NOW_US, condition=Comparison("n", Operator.EQ, 1)
    )
    executed: list[tuple[str, Any]] = []

    def before(*arguments: Any) -> None:
        executed.append((arguments[2], arguments[3]))

    sa.event.listen(store._engine, "before_cursor_execute", before)
    searcher = EventSearcher(store, CellCache(2**20), CustomerCache())
    searcher.page(acme, asked, PageNumber(0), size=10)
    sa.event.remove(store._engine, "before_cursor_execute", before)
    ((statement, values),) = [one for one in executed if one[0].startswith("SELECT")]
    index = "event_organization_number_timestamp_us_signature_idx"
    with store.read() as connection:
        if connection.dialect.name == "sqlite":
            explain, expected = "EXPLAIN QUERY PLAN", f"USING COVERING INDEX {index}"
        else:
            # Of an empty table it would read all.
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            explain, expected = "EXPLAIN", f"Index Only Scan Backward using {index}"
        plan = connection.exec_driver_sql(f"{explain} {statement}", values).all()
    assert expected in str(plan)
