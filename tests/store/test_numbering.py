"""The numbers of customers and series, of many organizations at once."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import sqlalchemy as sa

from cost_insights import cells, identity
from cost_insights.cells import pending_batches
from cost_insights.customers.numbering import known_customers, number_all
from cost_insights.store import Store
from cost_insights.store.schema import customer, organization
from tests.support.cells import add_batches, packed_cells
from tests.support.databases import Databases

ORGANIZATIONS = 60


def test_numbers_of_many_organizations(store: Store) -> None:
    """Each organization's customers and series are numbered from 0 without gaps, and keep their
    numbers."""
    with store.write() as connection:
        owners = [
            identity.ensure_organization(connection, f"organization {number}")
            for number in range(ORGANIZATIONS)
        ]
        ids = {owner.number: owner.id for owner in owners}
        for count in (1, 3):
            customers = [(number, f"c{n}") for number in ids for n in range(2 * count)]
            series = [(number, (f"e{n}", "", "", "")) for number in ids for n in range(count)]
            found = number_all(connection, customers, series, organization_ids=ids, now_us=5)
            assert found.customers == {
                (number, f"c{n}"): n for number in ids for n in range(2 * count)
            }
            assert found.series == {
                (number, (f"e{n}", "", "", "")): n for number in ids for n in range(count)
            }
        counts = connection.execute(
            sa.select(organization.c.customers_count, organization.c.series_count).distinct()
        ).all()
        assert counts == [(6, 3)]


def test_an_organization_has_only_its_own_customers(store: Store) -> None:
    """The id of another organization's customer is unknown."""
    with store.write() as connection:
        owners = [identity.ensure_organization(connection, name) for name in ("acme", "other")]
        ids = {owner.number: owner.id for owner in owners}
        keys = [(number, "c") for number in ids]
        number_all(connection, keys, (), organization_ids=ids, now_us=5)
        of_acme, of_other = connection.scalars(
            sa.select(customer.c.id).order_by(customer.c.organization_number)
        )
        acme, other = ids
        asked = [(acme, of_acme.bytes), (acme, of_other.bytes), (other, of_other.bytes)]
        assert known_customers(connection, asked) == {
            (acme, of_acme.bytes): 0,
            (other, of_other.bytes): 0,
        }


def test_statements_do_not_multiply_with_organizations(databases: Databases) -> None:
    """On PostgreSQL new customers and series of many organizations take as many statements, and
    their compaction too, as those of one."""
    with databases.fresh("postgresql") as url, closing(Store(url)) as store:
        store.upgrade()
        with store.write() as connection:
            ids = {
                owner.number: owner.id
                for owner in (
                    identity.ensure_organization(connection, f"organization {number}")
                    for number in range(ORGANIZATIONS)
                )
            }
        first, *others = ids
        counts = []
        for numbers in ([first], others):
            for number in numbers:
                add_batches(store, number, packed_cells([(0, 1, 0, "1")]))
            with statements_of(store) as statements:
                with store.write() as connection:
                    number_all(
                        connection,
                        [(number, "c") for number in numbers],
                        [(number, ("e", "", "", "")) for number in numbers],
                        organization_ids=ids,
                        now_us=5,
                    )
                assert cells.compact(store, numbers)
            counts.append(len(statements))
        assert pending_batches(store) == []
        assert counts[0] == counts[1]


@contextmanager
def statements_of(store: Store) -> Iterator[list[str]]:
    """The statements of a store, as they are executed."""
    seen: list[str] = []

    def before(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        seen.append(statement)

    sa.event.listen(store._engine, "before_cursor_execute", before)
    yield seen
    sa.event.remove(store._engine, "before_cursor_execute", before)
