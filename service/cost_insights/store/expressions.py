"""SQL expressions that SQLite and PostgreSQL write differently."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

MemberKind = Literal["text", "number", "boolean"]
"""What a member of a JSON object is, as far as events hold it."""


class contains(FunctionElement[bool]):  # noqa: N801 (a function of SQL)
    """Whether a text contains another one, character by character."""

    type = sa.Boolean()
    inherit_cache = True


class text_member(FunctionElement[str]):  # noqa: N801
    """(object, key): the member of a JSON object, or null unless it is a text."""

    type = sa.Text()
    inherit_cache = True


class number_member(FunctionElement[float]):  # noqa: N801
    """(object, key): the member of a JSON object as a double, or null unless it is a number."""

    type = sa.Double()
    inherit_cache = True


class boolean_member(FunctionElement[bool]):  # noqa: N801
    """(object, key): the member of a JSON object, or null unless it is true or false."""

    type = sa.Boolean()
    inherit_cache = True


class any_text_contains(FunctionElement[bool]):  # noqa: N801
    """(object, text): whether a text in a JSON object contains a text, in lower case."""

    type = sa.Boolean()
    inherit_cache = True


class lower_ascii(FunctionElement[str]):  # noqa: N801
    """A text with its ASCII letters in lower case, whatever the locale of the database."""

    type = sa.Text()
    inherit_cache = True


def member(
    kind: MemberKind, column: sa.ColumnElement[Any], key: sa.ColumnElement[str]
) -> sa.ColumnElement[Any]:
    """The member of a JSON object, or null unless it is of a kind."""
    return _MEMBERS[kind](column, key)


_MEMBERS: Mapping[MemberKind, type[FunctionElement[Any]]] = {
    "text": text_member,
    "number": number_member,
    "boolean": boolean_member,
}


class IntegerList(sa.TypeDecorator[Sequence[int]]):
    """Integers in one parameter, so that a statement is the same however many there are."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.ARRAY(sa.Integer))
        return dialect.type_descriptor(sa.Text())

    def process_bind_param(self, value: Sequence[int] | None, dialect: sa.Dialect) -> Any:
        if value is None or dialect.name == "postgresql":
            return value
        return json.dumps(list(value))


class is_any_of(FunctionElement[bool]):  # noqa: N801
    """(integer, IntegerList): whether the integer is one of the numbers."""

    type = sa.Boolean()
    inherit_cache = True


class SpanList(sa.TypeDecorator[Sequence[tuple[int, int]]]):
    """SpanList of integers in one parameter, each of which ends before its second number."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(
        self, value: Sequence[tuple[int, int]] | None, dialect: sa.Dialect
    ) -> Any:
        return None if value is None else json.dumps(value)


def select_within(
    dialect_name: str,
    columns: Sequence[sa.Column[Any]],
    spans: sa.BindParameter[Sequence[tuple[int, int]]],
    conditions: Sequence[sa.ColumnElement[bool]],
) -> sa.Select[*tuple[Any, ...]]:
    """Selects columns of the rows whose first column lies in one of the spans, in no order.

    An index is looked up for each span, whatever is done with the rows: an order or a limit would
    tempt the database to walk through all rows. The columns, which must not all be null, have the
    names of those that are given.
    """
    place = columns[0]
    start, end = (sa.column(name, sa.BigInteger) for name in ("start", "end_"))
    span = _spans(spans).table_valued(start, end, name="span")
    inside = (place >= span.c.start, place < span.c.end_, *conditions)
    # No database looks beyond an offset or a limit for what would be fast without it.
    if dialect_name == "postgresql":
        rows = sa.select(*columns).where(*inside).offset(sa.literal_column("0")).lateral()
        return sa.select(*rows.c).select_from(span.join(rows, sa.true()))
    # SQLite would read all rows and compare each with every span, which an outer join forbids.
    joined = span.outerjoin(place.table, sa.and_(*inside))
    found = sa.select(*columns).select_from(joined).limit(sa.literal_column("-1")).subquery()
    return sa.select(*found.c).where(found.c[place.key].is_not(None))


def select_within_listed(
    columns: Sequence[sa.Column[Any]],
    spans: Sequence[tuple[sa.BindParameter[int], sa.BindParameter[int]]],
    conditions: Sequence[sa.ColumnElement[bool]],
) -> sa.Select[*tuple[Any, ...]]:
    """Selects as `select_within` does, for a few spans and without a lateral join."""
    place = columns[0]
    inside = sa.or_(*(sa.and_(place >= start, place < end) for start, end in spans))
    # Apart from the order and the limit, for the reason given above.
    found = sa.select(*columns).where(inside, *conditions).cte("found").prefix_with("MATERIALIZED")
    return sa.select(*found.c)


class _spans(FunctionElement[Any]):  # noqa: N801
    """(SpanList): a row for each span."""

    inherit_cache = True


@compiles(_spans, "sqlite")
def _(element: FunctionElement[Any], compiler: SQLCompiler, **kwargs: Any) -> str:
    (spans,) = _arguments(element, compiler, kwargs)
    parts = "json_extract(value, '$[0]') AS start, json_extract(value, '$[1]') AS end_"
    return f"(SELECT {parts} FROM json_each({spans}))"  # noqa: S608 (a parameter)


@compiles(_spans, "postgresql")
def _(element: FunctionElement[Any], compiler: SQLCompiler, **kwargs: Any) -> str:
    (spans,) = _arguments(element, compiler, kwargs)
    parts = "CAST(value ->> 0 AS bigint) AS start, CAST(value ->> 1 AS bigint) AS end_"
    return f"(SELECT {parts} FROM json_array_elements(CAST({spans} AS json)))"  # noqa: S608


@compiles(is_any_of, "sqlite")
def _(element: FunctionElement[Any], compiler: SQLCompiler, **kwargs: Any) -> str:
    number, numbers = _arguments(element, compiler, kwargs)
    return f"({number} IN (SELECT value FROM json_each({numbers})))"  # noqa: S608 (a parameter)


@compiles(is_any_of, "postgresql")
def _(element: FunctionElement[Any], compiler: SQLCompiler, **kwargs: Any) -> str:
    number, numbers = _arguments(element, compiler, kwargs)
    return f"({number} = ANY ({numbers}))"


def _arguments(element: FunctionElement[Any], compiler: SQLCompiler, kwargs: Any) -> list[str]:
    return [compiler.process(one, **kwargs) for one in element.clauses]


@compiles(contains, "sqlite")
def _(element: FunctionElement[Any], compiler: SQLCompiler, **kwargs: Any) -> str:
    text, part = _arguments(element, compiler, kwargs)
    return f"(instr({text}, {part}) > 0)"


@compiles(contains, "postgresql")
def _(element: FunctionElement[Any], compiler: SQLCompiler, **kwargs: Any) -> str:
    text, part = _arguments(element, compiler, kwargs)
    return f"(strpos({text}, {part}) > 0)"


@compiles(lower_ascii, "sqlite")
def _(element: FunctionElement[Any], compiler: SQLCompiler, **kwargs: Any) -> str:
    (text,) = _arguments(element, compiler, kwargs)
    return f"lower({text})"


@compiles(lower_ascii, "postgresql")
def _(element: FunctionElement[Any], compiler: SQLCompiler, **kwargs: Any) -> str:
    (text,) = _arguments(element, compiler, kwargs)
    return f'lower({text} COLLATE "C")'


# SQLite's paths into JSON cannot name every key, so members are looked for one by one.
_SQLITE_MEMBER = "(SELECT {value} FROM json_each({column}) WHERE key = {key} AND type IN ({types}))"
_POSTGRESQL_MEMBER = "(CASE WHEN json_typeof({column} -> {key}) = '{type}' THEN {value} END)"


@compiles(text_member, "sqlite")
def _(element: FunctionElement[Any], compiler: SQLCompiler, **kwargs: Any) -> str:
    column, key = _arguments(element, compiler, kwargs)
    return _SQLITE_MEMBER.format(value="atom", column=column, key=key, types="'text'")


@compiles(number_member, "sqlite")
def _(element: FunctionElement[Any], compiler: SQLCompiler, **kwargs: Any) -> str:
    column, key = _arguments(element, compiler, kwargs)
    value = "CAST(atom AS REAL)"
    return _SQLITE_MEMBER.format(value=value, column=column, key=key, types="'integer', 'real'")


@compiles(boolean_member, "sqlite")
def _(element: FunctionElement[Any], compiler: SQLCompiler, **kwargs: Any) -> str:
    column, key = _arguments(element, compiler, kwargs)
    return _SQLITE_MEMBER.format(value="atom", column=column, key=key, types="'true', 'false'")


@compiles(any_text_contains, "sqlite")
def _(element: FunctionElement[Any], compiler: SQLCompiler, **kwargs: Any) -> str:
    column, part = _arguments(element, compiler, kwargs)
    return (
        f"EXISTS (SELECT 1 FROM json_each({column}) "  # noqa: S608 (parameters, all of them)
        f"WHERE type = 'text' AND instr(lower(atom), {part}) > 0)"
    )


@compiles(text_member, "postgresql")
def _(element: FunctionElement[Any], compiler: SQLCompiler, **kwargs: Any) -> str:
    column, key = _arguments(element, compiler, kwargs)
    value = f'({column} ->> {key}) COLLATE "C"'
    return _POSTGRESQL_MEMBER.format(column=column, key=key, type="string", value=value)


@compiles(number_member, "postgresql")
def _(element: FunctionElement[Any], compiler: SQLCompiler, **kwargs: Any) -> str:
    column, key = _arguments(element, compiler, kwargs)
    value = f"CAST({column} ->> {key} AS double precision)"
    return _POSTGRESQL_MEMBER.format(column=column, key=key, type="number", value=value)


@compiles(boolean_member, "postgresql")
def _(element: FunctionElement[Any], compiler: SQLCompiler, **kwargs: Any) -> str:
    column, key = _arguments(element, compiler, kwargs)
    value = f"CAST({column} ->> {key} AS boolean)"
    return _POSTGRESQL_MEMBER.format(column=column, key=key, type="boolean", value=value)


@compiles(any_text_contains, "postgresql")
def _(element: FunctionElement[Any], compiler: SQLCompiler, **kwargs: Any) -> str:
    column, part = _arguments(element, compiler, kwargs)
    return (
        f"EXISTS (SELECT FROM json_each({column}) "
        f"WHERE json_typeof(value) = 'string' AND "
        f"strpos(lower((value #>> '{{}}') COLLATE \"C\"), {part}) > 0)"
    )
