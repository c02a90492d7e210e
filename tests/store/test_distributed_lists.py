"""Lists of events keep to the statements that a Citus cluster runs on distributed tables.

A cluster runs no lateral join, no subquery for each row of another table, and no join of two
distributed tables. The plans of a plain PostgreSQL show each of these.
"""

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from cost_insights.cells import CellCache
from cost_insights.customers import CustomerCache
from cost_insights.events import (
    AllOf,
    AnyOf,
    Comparison,
    EventFilter,
    EventPage,
    EventSearch,
    EventSearcher,
    EventWriter,
    Operator,
    PageCursor,
    PageNumber,
    member_is_any_of,
)
from cost_insights.identity import Organization
from cost_insights.store import Store
from cost_insights.store.distribution import DISTRIBUTED
from tests.support.citus import make_coordinator
from tests.support.events import event_at
from tests.support.records import new_organization
from tests.support.segments import START, compact
from tests.support.submissions import NOW_US, submission

NAMES = {table.name for table in DISTRIBUTED}

SELDOM = EventFilter(external_customer_ids=("seldom",))

SEARCHES = (
    EventSearch(EventFilter()),
    EventSearch(SELDOM),
    EventSearch(SELDOM, descending=False),
    EventSearch(EventFilter(event_names=("seldom",), external_customer_ids=("often", "seldom"))),
    EventSearch(EventFilter(product_ids=("seldom", "never"))),
    EventSearch(
        EventFilter(llm_models=("", "m"), product_ids=("often",)),
        condition=AllOf((member_is_any_of("n", ("3", "4")), member_is_any_of("even", ("true",)))),
    ),
    EventSearch(EventFilter(), text="OFTE", depth=0),
    EventSearch(EventFilter(), condition=Comparison("name", Operator.LIKE, "often")),
    EventSearch(EventFilter(), condition=Comparison("name", Operator.EQ, "seldom")),
    EventSearch(
        EventFilter(),
        condition=AllOf(
            (
                AnyOf((Comparison("n", Operator.EQ, "3"), Comparison("n", Operator.EQ, 4))),
                Comparison("even", Operator.EQ, "true"),
            )
        ),
    ),
)


def test_statements_that_a_cluster_runs(postgresql_url: str) -> None:
    """Pages and single events are the same on a cluster, and every statement is one it runs."""
    with closing(Store(postgresql_url)) as store:
        owner = new_organization(store)
        parent = _fill(store, owner)
        searches = [*SEARCHES, EventSearch(EventFilter(), parent=parent.id, depth=2)]
        expected = [_pages(store, owner, one) for one in searches]
    make_coordinator(postgresql_url)
    with closing(Store(postgresql_url)) as store:
        plans: list[Any] = []
        sa.event.listen(store._engine, "before_cursor_execute", _collector(plans))
        assert [_pages(store, owner, one) for one in searches] == expected
        found = EventSearcher(store, CellCache(2**20), CustomerCache()).event(owner, str(parent.id))
        assert (found, found.children) == (parent, 3)
    assert len(plans) > len(searches)
    assert [fault for plan in plans for fault in _faults(plan, is_repeated=False)] == []


def test_faults_are_found(postgresql_url: str) -> None:
    """Statements that a cluster refuses are told from those that it runs."""
    child = "SELECT count(*) FROM event AS child WHERE child.parent_id = event.id"
    each = "SELECT id FROM event AS child WHERE child.parent_id = event.id OFFSET 0"
    page = "SELECT id FROM event LIMIT 1"
    refused = [
        f"SELECT id, ({child}) FROM event",
        f"SELECT event.id FROM event CROSS JOIN LATERAL ({each}) AS children",
        f"SELECT id FROM event WHERE NOT EXISTS ({each.removesuffix(' OFFSET 0')})",
    ]
    allowed = [
        "SELECT (SELECT timestamp_us FROM event ORDER BY 1 LIMIT 1)",
        f"WITH page AS MATERIALIZED ({page}) SELECT FROM event WHERE parent_id IN (TABLE page)",
    ]
    with closing(Store(postgresql_url)) as store, store.read() as connection:
        for statement, is_refused in [(one, True) for one in refused] + [
            (one, False) for one in allowed
        ]:
            plan = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}").scalar_one()
            assert bool(list(_faults(plan[0]["Plan"], is_repeated=False))) == is_refused, statement


def _fill(store: Store, owner: Organization) -> Any:
    """Stores events of two customers and their children, and returns a parent of three."""
    given = []
    for name, count in (("seldom", 60), ("often", 40)):
        for place in range(count):
            hours = 27 * place if name == "seldom" else place
            one = event_at(
                START - timedelta(hours=hours),
                name=name,
                external_customer_id=name,
                external_id=f"{name} {place}",
                product_id=name,
            )
            one.metadata.update({"n": place % 5, "even": place % 2 == 0})
            if name == "seldom" and 0 < place <= 3:
                one.parent_id = "seldom 0"
            given.append(one)
    writer = EventWriter(store)
    writer.write(writer.prepare([submission(owner, *given)]), now_us=NOW_US)
    compact(store)
    searcher = EventSearcher(store, CellCache(2**20), CustomerCache())
    (first, *_), _ = searcher.events(owner, EventSearch(SELDOM), page_size=1, page_token="")
    return first


def _pages(store: Store, owner: Organization, asked: EventSearch) -> list[EventPage]:
    """All pages, by cursors from the third event on, and one by its number."""
    searcher = EventSearcher(store, CellCache(2**20), CustomerCache())
    summed = ("n",)
    pages = [searcher.page(owner, asked, PageNumber(20), size=7, summed=summed)]
    at: PageNumber | PageCursor = PageNumber(3)
    while True:
        pages.append(searcher.page(owner, asked, at, size=25, summed=summed))
        if not pages[-1].next_cursor:
            return pages
        at = PageCursor(pages[-1].next_cursor)


def _collector(plans: list[Any]) -> Any:
    """A listener that adds the plan of each statement that selects, before it runs."""

    def before(*arguments: Any) -> None:
        connection, cursor, statement, values = arguments[:4]
        del connection
        if not statement.startswith(("SELECT", "WITH")):
            return
        assert "LATERAL" not in statement
        with cursor.connection.cursor() as other:
            ((plan,),) = other.execute(f"EXPLAIN (FORMAT JSON) {statement}", values).fetchall()
        plans.append(plan[0]["Plan"])

    return before


def _faults(plan: Any, *, is_repeated: bool) -> Iterator[str]:
    """The distributed tables of a plan that are read for each row of something else, or joined
    with another one."""
    name = plan.get("Subplan Name", "")
    if name:
        # Others, `CTE page` or `InitPlan 1`, run once.
        is_repeated = name.startswith("SubPlan")
    if is_repeated and plan.get("Relation Name") in NAMES:
        yield f"{name or 'a subplan'} reads {plan['Relation Name']}"
    inner = plan.get("Plans", ())
    joined = [table for one in inner if "Subplan Name" not in one for table in _tables(one)]
    if "Join Type" in plan and len(joined) > 1:
        yield f"{' and '.join(joined)} are joined"
    for one in inner:
        yield from _faults(one, is_repeated=is_repeated)


def _tables(plan: Any) -> list[str]:
    """The distributed tables that a part of a plan reads itself."""
    found = [plan["Relation Name"]] if plan.get("Relation Name") in NAMES else []
    for one in plan.get("Plans", ()):
        if "Subplan Name" not in one:
            found += _tables(one)
    return found
