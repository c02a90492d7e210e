"""Migrations: they make the schema that the code expects, whoever runs them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import alembic.autogenerate
import alembic.config
import alembic.migration
import alembic.script
import pytest
import sqlalchemy as sa

import cost_insights.store
from cost_insights import identity
from cost_insights.errors import StoreUnavailableError
from cost_insights.store import Store
from cost_insights.store.schema import metadata
from tests.support.postgresql import free_port


@contextmanager
def upgraded(database_url: str) -> Iterator[Store]:
    """A store with its schema."""
    with closing(Store(database_url)) as store:
        store.upgrade()
        yield store


def scripts() -> alembic.script.ScriptDirectory:
    """The migrations of the service."""
    config = alembic.config.Config()
    folder = Path(cost_insights.store.__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder))
    return alembic.script.ScriptDirectory.from_config(config)


def test_migrations_make_the_schema(database_url: str) -> None:
    """After all migrations the database is what the tables in the code say, to the column."""
    with upgraded(database_url) as store, store.read() as connection:
        context = alembic.migration.MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        differences = alembic.autogenerate.compare_metadata(context, metadata)
        if connection.dialect.name == "sqlite":
            # There every integer key is an identity, and none is shown.
            identity_key = ("modify_default", None, "organization", "number")
            differences = [one for one in differences if one[0][:4] != identity_key]
        assert differences == []
        assert context.get_current_revision() == scripts().get_current_head()


def test_constraints_and_indexes_have_the_same_names(database_url: str) -> None:
    """Names of keys, constraints and indexes are the same on both engines and as in the code."""
    with upgraded(database_url) as store, store.read() as connection:
        inspector = sa.inspect(connection)
        for table in metadata.sorted_tables:
            primary = inspector.get_pk_constraint(table.name)
            assert primary["name"] == table.primary_key.name
            assert primary["constrained_columns"] == [one.name for one in table.primary_key]
            found = {one["name"] for one in inspector.get_unique_constraints(table.name)}
            assert found == {
                one.name for one in table.constraints if isinstance(one, sa.UniqueConstraint)
            }
            indexes = {
                one["name"]
                for one in inspector.get_indexes(table.name)
                if not one.get("duplicates_constraint")
            }
            assert indexes == {one.name for one in table.indexes}


def test_upgrade_may_run_again(database_url: str) -> None:
    """A second upgrade changes nothing."""
    for _ in range(2):
        with upgraded(database_url) as store:
            store.upgrade()


def test_upgrades_at_once(database_url: str) -> None:
    """Several processes that start at once on an empty database wait for each other."""

    def upgrade(_: int) -> None:
        with upgraded(database_url):
            pass

    with ThreadPoolExecutor(6) as starters:
        list(starters.map(upgrade, range(6)))
    with closing(Store(database_url)) as store, store.read() as connection:
        assert sa.inspect(connection).has_table("event")


def test_there_is_one_line_of_migrations() -> None:
    """Each migration but the first follows exactly one other."""
    assert len(scripts().get_heads()) == 1
    assert len(scripts().get_bases()) == 1


def test_a_failed_transaction_leaves_nothing(database_url: str) -> None:
    """Rows that were written before an error are not there afterwards."""
    with upgraded(database_url) as store:

        def fail() -> None:
            with store.write() as connection:
                identity.create_organization(connection, "acme")
                raise RuntimeError("in the middle")

        with pytest.raises(RuntimeError, match="in the middle"):
            fail()
        with store.read() as connection:
            assert identity.list_organizations(connection) == []


def test_a_read_sees_one_snapshot(database_url: str) -> None:
    """Rows that others commit while a read runs are not seen by it."""
    with upgraded(database_url) as store:
        with store.write() as connection:
            identity.create_organization(connection, "before")
        with store.read() as reading:
            assert len(identity.list_organizations(reading)) == 1
            with store.write() as connection:
                identity.create_organization(connection, "after")
            assert len(identity.list_organizations(reading)) == 1
        with store.read() as reading:
            assert len(identity.list_organizations(reading)) == 2


@pytest.mark.parametrize("url", ["mysql://localhost/x", "oracle://localhost/x"])
def test_other_databases_are_refused(url: str) -> None:
    """A database that is not supported is refused, naming those that are."""
    with pytest.raises((ValueError, sa.exc.ArgumentError)) as caught:
        Store(url)
    name = url.partition(":")[0]
    assert str(caught.value) == (
        f"the database {name!r} is not supported; use sqlite:///FILE or "
        "postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
    )


def test_a_database_that_is_not_there() -> None:
    """A PostgreSQL that does not answer is an error that may be retried."""
    url = f"postgresql+psycopg://nobody@127.0.0.1:{free_port()}/nothing"
    with closing(Store(url)) as store, pytest.raises(StoreUnavailableError):
        store.upgrade()
