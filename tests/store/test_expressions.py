"""Expressions that the databases write differently."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from cost_insights.store import Store
from cost_insights.store.expressions import IntegerList, SpanList, is_any_of, select_within

TABLE = sa.Table(
    "place",
    sa.MetaData(),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("owner", sa.Integer, nullable=False),
    sa.Index("place_index", "owner", "at"),
)


@pytest.fixture
def connection(store: Store) -> Iterator[sa.Connection]:
    """A database with a table of a thousand rows, of whose index there are statistics."""
    with store.write() as connection:
        TABLE.create(connection)
        rows = [{"at": at, "owner": at % 2} for at in range(1_000)]
        connection.execute(TABLE.insert(), rows)
        connection.execute(sa.text("ANALYZE"))
        yield connection


@pytest.mark.parametrize(
    "spans", [[], [(10, 13)], [(10, 13), (13, 16), (990, 2_000)], [(-5, 0), (5, 5)]]
)
def test_rows_within_spans(connection: sa.Connection, spans: Sequence[tuple[int, int]]) -> None:
    """Rows that lie in any of the spans are found once, and only those that fit the conditions."""
    statement = _within(connection, spans)
    found = sorted(row.at for row in connection.execute(statement))
    inside = {at for start, end in spans for at in range(start, end)}
    assert found == [at for at in range(1_000) if at in inside and at % 2]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_spans_are_looked_up_in_the_index(connection: sa.Connection) -> None:
    """However many spans there are, SQLite reads only what lies in them."""
    spans = [(at, at + 2) for at in range(0, 900, 9)]
    statement = _within(connection, spans)
    text = statement.compile(connection, compile_kwargs={"literal_binds": True})
    plan = str(connection.execute(sa.text(f"EXPLAIN QUERY PLAN {text}")).all())
    assert "place_index (owner=? AND at>? AND at<?)" in plan


@pytest.mark.parametrize("numbers", [[], [3], [3, 5, 2**31 - 1]])
def test_any_of_numbers(connection: sa.Connection, numbers: Sequence[int]) -> None:
    """However many numbers there are, they are one parameter."""
    condition = is_any_of(TABLE.c.at, sa.literal(numbers, IntegerList))
    found = connection.scalars(sa.select(TABLE.c.at).where(condition).order_by(TABLE.c.at)).all()
    assert found == [one for one in numbers if one < 1_000]


def _within(
    connection: sa.Connection, spans: Sequence[tuple[int, int]]
) -> sa.Select[*tuple[Any, ...]]:
    columns, given = (TABLE.c.at, TABLE.c.owner), sa.bindparam("spans", spans, SpanList)
    return select_within(connection.dialect.name, columns, given, [TABLE.c.owner == 1])
