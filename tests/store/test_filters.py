"""Customers are found by both their names, and asked for again only where they are not known."""

import uuid
from typing import Any

import sqlalchemy as sa

from cost_insights import identity
from cost_insights.customers import CustomerCache
from cost_insights.events import EventFilter, EventWriter
from cost_insights.identity import Organization
from cost_insights.store import Store
from tests.support.service import new_event
from tests.support.submissions import NOW_US, submission


def add(store: Store, organization: Organization, *names: str) -> None:
    """Stores an event of each customer."""
    events = [new_event(external_customer_id=name) for name in names]
    writer = EventWriter(store)
    writer.write(writer.prepare([submission(organization, *events)]), now_us=NOW_US)


def test_numbers_of_customers(store: Store) -> None:
    """Each organization has its own; who is remembered is not looked for again."""
    with store.write() as connection:
        acme, other = (identity.create_organization(connection, name) for name in ("a", "b"))
    add(store, acme, "one", "two")
    add(store, other, "two")
    statements: list[str] = []
    cache = CustomerCache()

    def before(*arguments: Any) -> None:
        if arguments[2].startswith("SELECT"):
            statements.append(arguments[2])

    sa.event.listen(store._engine, "before_cursor_execute", before)

    def numbers(organization: Organization, *names: str, asked: int) -> list[int]:
        statements.clear()
        found = EventFilter(external_customer_ids=names)
        with store.read() as connection:
            known = found.customer_numbers(lambda: connection, organization.number, cache)
        assert known is not None
        assert len(statements) == asked
        return list(known)

    assert numbers(acme, "two", "one", "two", asked=1) == [0, 1]
    assert numbers(acme, "one", "two", asked=0) == [0, 1]
    assert numbers(other, "two", asked=1) == [0]
    assert numbers(other, "two", "one", asked=1) == [0]
    add(store, other, "one")
    assert numbers(other, "two", "one", asked=1) == [0, 1]
    assert numbers(other, "two", "one", asked=0) == [0, 1]


def test_both_names_of_a_customer(store: Store) -> None:
    """A customer that is named twice is one."""
    with store.write() as connection:
        acme = identity.create_organization(connection, "acme")
    add(store, acme, "one")
    with store.read() as connection:
        own = connection.execute(sa.text("SELECT id FROM customer")).scalar_one()
        own = own if isinstance(own, uuid.UUID) else uuid.UUID(bytes=own)
        both = EventFilter(customer_ids=[str(own)], external_customer_ids=["one"])
        cache = CustomerCache()
        for _ in range(2):
            assert both.customer_numbers(lambda: connection, acme.number, cache) == [0]
        assert EventFilter().customer_numbers(lambda: connection, acme.number) is None


def test_the_cache_is_bounded() -> None:
    """The least recently used entry is evicted first."""
    cache = CustomerCache(2)
    cache.remember(1, {"one": 1, "two": 2})
    assert cache.known(1, ["one"]) == {"one": 1}
    cache.remember(1, {"three": 3})
    assert cache.known(1, ["one", "two", "three"]) == {"one": 1, "three": 3}
    assert cache.known(2, ["one"]) == {}
