"""Pages of events are read with few statements, however many events and customers there are."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
import sqlalchemy as sa

from cost_insights.cells import CellCache
from cost_insights.customers import CustomerCache
from cost_insights.events import EventFilter, EventSearch, EventSearcher, EventWriter, PageNumber
from cost_insights.identity import Organization
from cost_insights.store import Store
from tests.support.events import event_at
from tests.support.segments import START, compact
from tests.support.submissions import NOW_US, submission


@pytest.fixture
def statements(store: Store) -> Iterator[list[str]]:
    """The statements of a store, as they are executed."""
    found: list[str] = []

    def before(*arguments: object) -> None:
        if (statement := str(arguments[2])).startswith("SELECT"):
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
