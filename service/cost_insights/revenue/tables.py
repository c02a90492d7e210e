"""Rows of records: made, looked up and written.

All in transactions that hold the row of the organization, so that what was looked
up still holds when it is written.
"""

import json
import uuid
from collections.abc import Collection, Sequence
from enum import Enum, auto
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from cost_insights import clock
from cost_insights.customers.numbering import (
    DefaultLimits,
    known_customers,
    number_customers,
    number_records,
    too_many_customers,
)
from cost_insights.errors import FieldFault
from cost_insights.identity import Organization
from cost_insights.revenue.records import CustomerName
from cost_insights.store.chunks import chunks
from cost_insights.store.schema import customer

Row = dict[str, Any]
"""The values of a row by the names of their columns."""

NOBODY: Final = -1
"""The number in the place of a customer's where a record has no customer."""


class RecordOutcome(Enum):
    """The result of inserting a record with a unique id."""

    INSERTED = auto()
    DUPLICATE = auto()
    CONFLICT = auto()
    """The id is taken by a record with other content."""


def row_of(
    table: sa.Table, record: object, organization: Organization, **unknown: int | str
) -> Row:
    """The row of a record; `unknown` are columns that it does not know itself."""
    row: Row = {"organization_number": organization.number, **unknown}
    columns = [name for name in _content(table) if name not in row]
    return row | {name: getattr(record, name) for name in columns}


def stored_by_id(
    connection: sa.Connection, organization: Organization, table: sa.Table, ids: Collection[str]
) -> dict[str, Row]:
    """The contents of the stored rows of these ids, by id."""
    column = id_column(table)
    return {row[column.name]: row for row in stored(connection, organization, column, ids)}


def stored(
    connection: sa.Connection,
    organization: Organization,
    column: sa.Column[str],
    values: Collection[str],
) -> list[Row]:
    """The contents of the stored rows with one of these values in a column."""
    if not values:
        return []
    table = column.table
    asked = column_of(connection, values, "asked")
    statement = sa.select(*(table.c[name] for name in _content(table))).where(
        table.c.organization_number == organization.number
    )
    if connection.dialect.name == "postgresql":
        statement = statement.join(asked, column == asked.c.value)
    else:
        # SQLite joins the other way round: all of the organization with each value.
        statement = statement.where(column.in_(sa.select(asked.c.value)))
    return [dict(row) for row in connection.execute(statement).mappings()]


def column_of(connection: sa.Connection, values: Collection[str], name: str) -> sa.FromClause:
    """The values as a table of that name and of one column.

    Not a list to be compared with: PostgreSQL goes through a whole organization
    with the list in hand where it has no statistics of the table yet. One parameter,
    for a statement of a thousand takes longer to make than to run.
    """
    if connection.dialect.name == "postgresql":
        array = sa.bindparam(name, list(values), postgresql.ARRAY(sa.Text))
        return sa.func.unnest(array).table_valued("value").render_derived(name=name)
    texts = sa.bindparam(name, json.dumps(list(values)), sa.Text)
    return sa.func.json_each(texts).table_valued("value", name=name)


def insert_new(
    connection: sa.Connection, organization: Organization, table: sa.Table, rows: Sequence[Row]
) -> tuple[list[RecordOutcome], list[Row]]:
    """Inserts the rows whose ids are not taken; the first of an id takes it.

    Returns what became of each, and the inserted ones.
    """
    id_name = id_column(table).name
    known = stored_by_id(connection, organization, table, {row[id_name] for row in rows})
    new: list[Row] = []
    outcomes: list[RecordOutcome] = []
    for row in rows:
        if (stored_row := known.setdefault(row[id_name], row)) is row:
            new.append(row)
            outcomes.append(RecordOutcome.INSERTED)
        else:
            outcomes.append(
                RecordOutcome.DUPLICATE if stored_row == row else RecordOutcome.CONFLICT
            )
    insert(connection, table, new)
    return outcomes, new


def insert(connection: sa.Connection, table: sa.Table, rows: Sequence[Row]) -> None:
    """Inserts rows whose ids are not taken."""
    if rows:
        connection.execute(sa.insert(table), rows)


def replace_states(
    connection: sa.Connection, organization: Organization, table: sa.Table, states: Sequence[Row]
) -> None:
    """Writes states in the place of those with the same ids, and numbers them."""
    if not states:
        return
    id_name = id_column(table).name
    delete(connection, organization, table, [state[id_name] for state in states])
    numbers = number_records(connection, organization.number, len(states))
    insert(
        connection,
        table,
        [{**state, "record_number": number} for state, number in zip(states, numbers, strict=True)],
    )


def delete(
    connection: sa.Connection, organization: Organization, table: sa.Table, ids: Collection[str]
) -> None:
    """Deletes rows by id, to insert others in their place."""
    if ids:
        connection.execute(
            sa.delete(table).where(
                table.c.organization_number == organization.number, id_column(table).in_(ids)
            )
        )


class NumberedCustomers(NamedTuple):
    """The numbers of customers, in the order of their names."""

    numbers: list[int | None]
    """None for ids of ours that are unknown, and for new customers beyond the limit."""

    customers_max: int

    def fault(self, path: str, name: CustomerName) -> FieldFault:
        """The fault of a customer without a number; `path` is that of the record."""
        if isinstance(name, str):
            return too_many_customers(f"{path}.external_customer_id", name, self.customers_max)
        return FieldFault(
            f"{path}.customer_id",
            "CUSTOMER_NOT_FOUND",
            f"the organization has no customer {name}; only the id of one of its customers is "
            "allowed",
            str(name),
        )


def customer_numbers_of(
    connection: sa.Connection,
    organization: Organization,
    names: Sequence[CustomerName],
    defaults: DefaultLimits,
) -> NumberedCustomers:
    """The numbers of customers; those that are named by the caller are registered."""
    number = organization.number
    ids = {(number, name.bytes) for name in names if isinstance(name, uuid.UUID)}
    known = known_customers(connection, ids)
    external_ids = list(dict.fromkeys(name for name in names if isinstance(name, str)))
    registered, customers_max = number_customers(
        connection,
        number,
        organization.id,
        external_ids,
        now_us=clock.now_us(),
        defaults=defaults,
    )
    numbers = [
        registered.get(name) if isinstance(name, str) else known.get((number, name.bytes))
        for name in names
    ]
    return NumberedCustomers(numbers, customers_max)


def external_ids_of(
    connection: sa.Connection, organization: Organization, names: Sequence[CustomerName]
) -> dict[CustomerName, str]:
    """The caller's own identifier of each customer that is known."""
    found: dict[CustomerName, str] = {name: name for name in names if isinstance(name, str)}
    for ids in chunks({name for name in names if isinstance(name, uuid.UUID)}):
        rows = connection.execute(
            sa.select(customer.c.id, customer.c.external_id).where(
                customer.c.organization_number == organization.number, customer.c.id.in_(ids)
            )
        )
        found.update((one, external_id) for one, external_id in rows)
    return found


def id_column(table: sa.Table) -> sa.Column[str]:
    """The column of the caller's own identifier, which is the second of the primary key."""
    column: sa.Column[str] = list(table.primary_key.columns)[1]
    return column


def _content(table: sa.FromClause) -> list[str]:
    """The columns that a record fills: all but the number that storing it takes."""
    return [column.name for column in table.c if column.name != "record_number"]
