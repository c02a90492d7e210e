"""Tables for analysis of what the service answers: pyarrow, pandas and polars.

None of the three is imported before it is asked for. Amounts are decimals of 38 digits, of which
12 stand after the point, so that sums in a table are exact, too; times have a time zone; whatever
a record lacks is null.
"""

import dataclasses
import datetime
import importlib
import json
import types
from collections.abc import AsyncGenerator, Generator, Iterable, Mapping
from decimal import Decimal
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Generic,
    Literal,
    NamedTuple,
    Self,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

_T = TypeVar("_T")

Kind = Literal["text", "flag", "count", "amount", "time"]

_KINDS: Final[Mapping[Any, Kind]] = {
    str: "text",
    bool: "flag",
    int: "count",
    Decimal: "amount",
    datetime.datetime: "time",
}

_DIGITS: Final = 38
_DECIMALS: Final = 12
"""A cost has up to 12 decimals of a cent, and averages are rounded to as many."""

_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND: Final = datetime.timedelta(microseconds=1)


class Column(NamedTuple):
    """A column of a table; None stands for null."""

    name: str
    kind: Kind
    values: list[Any]


def arrow_table(columns: Iterable[Column], timezone: str = "UTC") -> "pyarrow.Table":
    """A table of pyarrow."""
    return _arrow(_package("pyarrow", "to_arrow", "arrow"), columns, timezone)


def pandas_frame(columns: Iterable[Column], timezone: str = "UTC") -> "pandas.DataFrame":
    """A frame of pandas, whose columns are Arrow's: those of NumPy have no decimals."""
    pandas = _package("pandas", "to_pandas", "pandas")
    table = _arrow(_package("pyarrow", "to_pandas", "pandas"), columns, timezone)
    return table.to_pandas(types_mapper=pandas.ArrowDtype)


def polars_frame(columns: Iterable[Column], timezone: str = "UTC") -> "polars.DataFrame":
    """A frame of polars."""
    polars = _package("polars", "to_polars", "polars")
    kinds = {
        "text": polars.String,
        "flag": polars.Boolean,
        "count": polars.Int64,
        "amount": polars.Decimal(_DIGITS, _DECIMALS),
        "time": polars.Int64,
    }

    def series(column: Column) -> Any:
        if column.kind != "time":
            return polars.Series(column.name, column.values, kinds[column.kind])
        numbers = polars.Series(column.name, _microseconds(column), polars.Int64)
        return numbers.cast(polars.Datetime("us", "UTC")).dt.convert_time_zone(timezone)

    return polars.DataFrame([series(column) for column in columns])


def _arrow(pyarrow: Any, columns: Iterable[Column], timezone: str) -> Any:
    kinds = {
        "text": pyarrow.string(),
        "flag": pyarrow.bool_(),
        "count": pyarrow.int64(),
        "amount": pyarrow.decimal128(_DIGITS, _DECIMALS),
        "time": pyarrow.timestamp("us", timezone),
    }
    return pyarrow.table(
        {
            column.name: pyarrow.array(
                _microseconds(column) if column.kind == "time" else column.values,
                kinds[column.kind],
            )
            for column in columns
        }
    )


def _microseconds(column: Column) -> list[int | None]:
    return [None if time is None else (time - _EPOCH) // _MICROSECOND for time in column.values]


def _package(name: str, method: str, extra: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"{method} needs {name}, which is not installed: pip install 'cost-insights[{extra}]'",
            name=name,
        ) from error


def columns_of(kind: type, records: Iterable[Any]) -> list[Column]:
    """The columns of records of a dataclass, which are there without any record, too.

    The amount of a `Money` has the name of its field, beside a column `currency`; what belongs to
    an LLM call begins with `llm_`; metadata is a text of JSON.
    """
    columns, read = [], []
    for path, of in _fields(kind):
        name = {"amount": path[0], "currency": "currency"}.get(path[-1], "_".join(path))
        columns.append(Column(name, _KINDS.get(of, "text"), []))
        read.append((path, get_origin(of) is Mapping))
    for record in records:
        for column, (path, is_mapping) in zip(columns, read, strict=True):
            value = record
            for field in path:
                value = getattr(value, field, None)
            column.values.append(
                json.dumps(value, ensure_ascii=False, sort_keys=True) if is_mapping else value
            )
    return columns


def _fields(kind: type, *path: str) -> Iterable[tuple[tuple[str, ...], Any]]:
    """The path and the type of each field, of those inside of it for one that is a dataclass."""
    for name, of in get_type_hints(kind).items():
        if get_origin(of) in {Union, types.UnionType}:
            (of,) = (each for each in get_args(of) if each is not types.NoneType)  # noqa: PLW2901
        if dataclasses.is_dataclass(of) and isinstance(of, type):
            yield from _fields(of, *path, name)
        else:
            yield (*path, name), of


class Records(Generic[_T]):
    """The records of a list, read page after page as far as they are taken.

    The tables take all that are left.
    """

    def __init__(self, kind: type[_T], records: Generator[_T, None, None]) -> None:
        self._kind = kind
        self._records = records

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> _T:
        return next(self._records)

    def close(self) -> None:
        """Takes no more."""
        self._records.close()

    def to_arrow(self) -> "pyarrow.Table":
        """A table of pyarrow; needs `cost-insights[arrow]`."""
        return arrow_table(columns_of(self._kind, self))

    def to_pandas(self) -> "pandas.DataFrame":
        """A frame of pandas; needs `cost-insights[pandas]`."""
        return pandas_frame(columns_of(self._kind, self))

    def to_polars(self) -> "polars.DataFrame":
        """A frame of polars; needs `cost-insights[polars]`."""
        return polars_frame(columns_of(self._kind, self))


class AsyncRecords(Generic[_T]):
    """The asyncio counterpart of `Records`."""

    def __init__(self, kind: type[_T], records: AsyncGenerator[_T, None]) -> None:
        self._kind = kind
        self._records = records

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _T:
        return await anext(self._records)

    async def aclose(self) -> None:
        """Takes no more."""
        await self._records.aclose()

    async def to_arrow(self) -> "pyarrow.Table":
        """A table of pyarrow; needs `cost-insights[arrow]`."""
        return arrow_table(await self._columns())

    async def to_pandas(self) -> "pandas.DataFrame":
        """A frame of pandas; needs `cost-insights[pandas]`."""
        return pandas_frame(await self._columns())

    async def to_polars(self) -> "polars.DataFrame":
        """A frame of polars; needs `cost-insights[polars]`."""
        return polars_frame(await self._columns())

    async def _columns(self) -> list[Column]:
        return columns_of(self._kind, [record async for record in self])
