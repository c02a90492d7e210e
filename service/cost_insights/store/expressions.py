"""SQL expressions that SQLite and PostgreSQL write differently."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import sqlalchemy as sa
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


def member(kind: MemberKind, column: Any, key: str) -> sa.ColumnElement[Any]:
    """The member of a JSON object, or null unless it is of a kind."""
    return _MEMBERS[kind](column, sa.literal(key, sa.Text))


_MEMBERS: Mapping[MemberKind, type[FunctionElement[Any]]] = {
    "text": text_member,
    "number": number_member,
    "boolean": boolean_member,
}


def select_within(
    dialect: sa.Dialect,
    columns: Sequence[sa.Column[Any]],
    spans: Sequence[tuple[int, int]],
    conditions: Sequence[sa.ColumnElement[bool]],
) -> sa.Select[*tuple[Any, ...]]:
    """Selects columns of the rows whose first column lies in one of the spans, in no order.

    A span ends before its second number. An index is looked up for each of them. Rows that are
    null may be among the result.
    """
    place = columns[0]
    statement = sa.select(*columns)
    if dialect.name == "postgresql":
        # Numbers in the text, so that the planner knows how few rows there are in between.
        within = " OR ".join(
            f"{place} >= {int(start)} AND {place} < {int(end)}" for start, end in spans
        )
        return statement.where(*conditions, sa.literal_column(f"({within or '1 = 0'})", sa.Boolean))
    # SQLite would read all rows and compare each with every span, which an outer join forbids.
    start, end = (sa.column(name, sa.BigInteger) for name in ("start", "end_"))
    span = _spans(sa.literal(json.dumps(spans), sa.Text)).table_valued(start, end, name="span")
    inside = sa.and_(place >= span.c.start, place < span.c.end_, *conditions)
    return statement.select_from(span).outerjoin(place.table, inside)


class _spans(FunctionElement[Any]):  # noqa: N801
    """(JSON array of pairs): a row for each pair."""

    inherit_cache = True


@compiles(_spans, "sqlite")
def _(element: FunctionElement[Any], compiler: SQLCompiler, **kwargs: Any) -> str:
    (pairs,) = _arguments(element, compiler, kwargs)
    parts = "json_extract(value, '$[0]') AS start, json_extract(value, '$[1]') AS end_"
    return f"(SELECT {parts} FROM json_each({pairs}))"  # noqa: S608 (a parameter)


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
