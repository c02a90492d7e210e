"""Summing and parsing amounts, next to the libraries that do so for a living.

Every peer runs in one thread, like the native module. The amounts are such as
events carry, from a fraction of a cent to hundreds of cents with some credits
among them; their sum does not fit 64 bits.
"""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from cost_insights._native import amounts as native
from tests.benchmarks.results import Row, check_equal
from tests.benchmarks.timing import compare

SUMMED = 10_000_000
GROUPS = 1_000
PARSED = 1_000_000
SEED = 20261123

# Of every amount that an event can have; DECIMAL(18) would hold a tenth of them.
DECIMAL = pa.decimal128(38, 12)


def sums(seconds: float) -> Iterator[Row]:
    """The exact sum next to the speed of memory, and next to sums of decimals."""
    amounts = _amounts()
    expected = sum(amounts.tolist())
    check_equal("sum_picocents", native.sum_picocents(amounts), expected)
    # Numpy lets the sum wrap: it shows how fast memory can be read, not what is right.
    check_equal("numpy", int(amounts.sum()) % 2**64, expected % 2**64)
    yield compare(
        lambda: native.sum_picocents(amounts),
        {"numpy int64": amounts.sum},
        seconds=seconds,
    ).row("exact sum of 10 M picocents / numpy's sum, which wraps", SUMMED, "amounts", 0.9)

    decimals = _decimals(amounts)
    series = pl.from_arrow(decimals)
    connection = _duckdb(pa.table({"amount": decimals}))
    peers = {
        "pyarrow decimal128": lambda: pc.sum(decimals).as_py(),
        "polars Decimal": series.sum,
        "DuckDB decimal(38,12)": lambda: _single(connection, "SELECT sum(amount) FROM input"),
    }
    for name, peer in peers.items():
        check_equal(name, _picocents(peer()), expected)
    yield compare(lambda: native.sum_picocents(amounts), peers, seconds=seconds).row(
        "exact sum of 10 M picocents / the best sum of decimals", SUMMED, "amounts", 4
    )


def grouped_sums(seconds: float) -> Iterator[Row]:
    """Exact sums by group."""
    amounts = _amounts()
    groups = np.random.default_rng(SEED).integers(0, GROUPS, SUMMED, dtype=np.int32)
    expected = [0] * GROUPS
    for group, amount in zip(groups.tolist(), amounts.tolist(), strict=True):
        expected[group] += amount
    check_equal("sum_by_group", native.sum_by_group(amounts, groups, GROUPS), expected)

    table = pa.table({"group": groups, "amount": _decimals(amounts)})
    frame = pl.from_arrow(table)
    connection = _duckdb(table)
    query = 'SELECT "group", sum(amount) FROM input GROUP BY "group"'
    peers: dict[str, Callable[[], Any]] = {
        "DuckDB": lambda: connection.execute(query).fetchall(),
        "polars": lambda: frame.group_by("group").agg(pl.col("amount").sum()).rows(),
    }
    for name, peer in peers.items():
        theirs = [_picocents(amount) for _, amount in sorted(peer())]
        check_equal(f"{name} by group", theirs, expected)
    yield compare(lambda: native.sum_by_group(amounts, groups, GROUPS), peers, seconds=seconds).row(
        "exact sums of 10 M picocents by 1 000 groups", SUMMED, "amounts", 5
    )


def parsing(seconds: float) -> Iterator[Row]:
    """Reading decimal text."""
    picocents = _texts_picocents()
    texts = [native.format_amount(one) for one in picocents]
    encoded = [text.encode() for text in texts]
    text = b"".join(encoded)
    ends = np.cumsum([len(one) for one in encoded], dtype=np.uint32)
    parsed = native.parse_amounts(text, ends)
    check_equal("parse_amounts", np.frombuffer(parsed, np.int64).tolist(), picocents)

    decimal = pa.decimal128(17, 12)
    arrow = pa.array(texts, pa.string())
    series = pl.Series(texts)
    connection = _duckdb(pa.table({"text": arrow}))
    # Summed, so that the peer need not store the decimals as we do.
    query = "SELECT sum(text::DECIMAL(17,12)) FROM input"
    results = {
        "pyarrow": pc.cast(arrow, decimal).to_pylist(),
        "polars": series.cast(pl.Decimal(17, 12)).to_list(),
        "Decimal": [Decimal(one) for one in texts],
    }
    for name, theirs in results.items():
        check_equal(name, [_picocents(one) for one in theirs], picocents)
    check_equal("DuckDB", _picocents(_single(connection, query)), sum(picocents))
    yield compare(
        lambda: native.parse_amounts(text, ends),
        {
            "DuckDB decimal(17,12)": lambda: _single(connection, query),
            "polars Decimal": lambda: series.cast(pl.Decimal(17, 12)),
            "pyarrow decimal128": lambda: pc.cast(arrow, decimal),
            "Python Decimal": lambda: [Decimal(one) for one in texts],
        },
        seconds=seconds,
    ).row("parse 1 M amounts", PARSED, "amounts", 3)


def _amounts() -> Any:
    random = np.random.default_rng(SEED)
    amounts = random.integers(0, 500 * 10**12, SUMMED, dtype=np.int64)
    amounts[::100] *= -1
    return amounts


def _texts_picocents() -> list[int]:
    """Short amounts, as people write them, and as many long ones, as programs compute them."""
    random = np.random.default_rng(SEED)
    decimals = random.choice([1, 2, 3, 4, 6, 12, 12, 12, 12, 12], PARSED)
    whole = random.choice([1, 1, 1, 10, 100, 99_999], PARSED)
    unit = 10 ** (12 - decimals)
    picocents = random.integers(0, whole * 10**12 // unit, dtype=np.int64) * unit
    picocents[::100] *= -1
    return [int(one) for one in picocents]


def _decimals(amounts: Any) -> pa.Array:
    """The amounts as 128-bit decimals of cents."""
    halves = np.empty((len(amounts), 2), np.int64)
    halves[:, 0] = amounts
    halves[:, 1] = amounts >> 63
    return pa.Array.from_buffers(DECIMAL, len(amounts), [None, pa.py_buffer(halves)])


def _duckdb(rows: pa.Table) -> duckdb.DuckDBPyConnection:
    """A database in memory that holds the rows as the table `input`."""
    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    connection.register("rows", rows)
    connection.execute("CREATE TABLE input AS SELECT * FROM rows")
    return connection


def _single(connection: duckdb.DuckDBPyConnection, query: str) -> Decimal:
    ((value,),) = connection.execute(query).fetchall()
    assert isinstance(value, Decimal)
    return value


def _picocents(cents: Decimal) -> int:
    numerator, denominator = cents.as_integer_ratio()
    picocents, rest = divmod(numerator * 10**12, denominator)
    check_equal("the rest of a decimal beyond picocents", rest, 0)
    return picocents
