"""Statements on many rows at once, of any organizations.

PostgreSQL takes an array a column: the statement is the same however many rows there are, and costs
one round trip. SQLite has no round trips, but must have values one by one.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from cost_insights.store.chunks import chunks

Rows = Iterable[Sequence[Any]]
"""A value for each of some columns."""


def conditions_of_keys(
    connection: sa.Connection, columns: Sequence[sa.Column[Any]], keys: Rows
) -> Iterator[sa.ColumnElement[bool]]:
    """The conditions that find the rows with these distinct keys, each for a statement of its own.

    The first column, and the first value of each key, is the number of the organization.
    """
    if _is_sqlite(connection):
        return _by_organization(columns, keys)
    # As a join: the planner expects few rows of it, and uses the index.
    return (_equal(columns, _given(columns, chunk)) for chunk in chunks(keys))


def insert_rows(connection: sa.Connection, columns: Sequence[sa.Column[Any]], rows: Rows) -> None:
    """Inserts rows, each with a value for each of these columns of a table."""
    names = [column.name for column in columns]
    insert = sa.insert(columns[0].table)
    for chunk in chunks(rows):
        if _is_sqlite(connection):
            connection.execute(insert, [dict(zip(names, row, strict=True)) for row in chunk])
        else:
            connection.execute(insert.from_select(names, sa.select(*_given(columns, chunk))))


def update_rows(connection: sa.Connection, columns: Sequence[sa.Column[Any]], rows: Rows) -> None:
    """Sets columns of a table, all but the first, in the rows that are found by the first."""
    key, *values = columns
    update = sa.update(key.table)
    for chunk in chunks(rows):
        if _is_sqlite(connection):
            # Another name than the column's, which is for what is set.
            parameters: list[sa.BindParameter[Any]] = [
                sa.bindparam(f"new_{column.name}") for column in columns
            ]
            connection.execute(
                update.where(key == parameters[0]).values(
                    dict(zip(values, parameters[1:], strict=True))
                ),
                [
                    {one.key: value for one, value in zip(parameters, row, strict=True)}
                    for row in chunk
                ],
            )
        else:
            given_key, *given = _given(columns, chunk)
            connection.execute(
                update.where(key == given_key).values(dict(zip(values, given, strict=True)))
            )


@contextmanager
def at_once(connection: sa.Connection) -> Iterator[None]:
    """Sends the statements of the block, which must not return rows, without waiting for the result
    of each."""
    if _is_sqlite(connection):
        yield
        return
    # The driver is loaded only if it is needed.
    from cost_insights.store.postgresql import pipeline  # noqa: PLC0415

    with pipeline(connection):
        yield


def _is_sqlite(connection: sa.Connection) -> bool:
    return connection.dialect.name == "sqlite"


def _by_organization(
    columns: Sequence[sa.Column[Any]], keys: Rows
) -> Iterator[sa.ColumnElement[bool]]:
    # SQLite uses no index for pairs of values.
    owner, *rest = columns
    by_organization = groupby(sorted(keys, key=itemgetter(0)), key=itemgetter(0))
    for number, of_organization in by_organization:
        for chunk in chunks(of_organization):
            if len(rest) == 1:
                condition = rest[0].in_([key[1] for key in chunk])
            else:
                condition = sa.tuple_(*rest).in_([tuple(key[1:]) for key in chunk])
            yield sa.and_(owner == number, condition)


def _equal(
    columns: Sequence[sa.Column[Any]], others: Sequence[sa.ColumnElement[Any]]
) -> sa.ColumnElement[bool]:
    return sa.and_(*(column == other for column, other in zip(columns, others, strict=True)))


def _given(
    columns: Sequence[sa.Column[Any]], rows: Sequence[Sequence[Any]]
) -> Sequence[sa.ColumnElement[Any]]:
    """The columns of a table that has these rows and is in no database."""
    arrays = (
        (postgresql.ARRAY(_element(column)), list(values))
        for column, values in zip(columns, zip(*rows, strict=True), strict=True)
    )
    given = sa.func.unnest(
        *(sa.cast(sa.bindparam(None, values, kind, unique=True), kind) for kind, values in arrays)
    ).table_valued(*(column.name for column in columns))
    return list(given.render_derived(name="given").c)


def _element(column: sa.Column[Any]) -> Any:
    # Without the collation: that of the column decides.
    return sa.Text() if isinstance(column.type, sa.Text) else column.type
