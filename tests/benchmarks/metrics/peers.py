"""The peers that answer the questions by SQL: from the table of events, and in ClickHouse."""

import contextlib
import json
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from chdb.session import Session
from psycopg.rows import TupleRow

from tests.benchmarks.metrics.data_set import Columns, customer_name
from tests.benchmarks.metrics.questions import Facts, Question
from tests.benchmarks.results import UnequalError, check_equal
from tests.support.postgresql import libpq_url


class Peer(Protocol):
    """A peer that can answer the questions."""

    name: str

    def ask(self, question: Question) -> object:
        """The answer, in whatever form it comes."""

    def check(self, question: Question, facts: Facts, answer: Any) -> None:
        """Raises UnequalError unless the answer is right, as far as the peer can be."""


class EventTable:
    """The table of events, in statements that its index on organization and time serves.

    Each customer of a period is summed first, so that the distinct ones are counted
    without sorting all events, and in parallel.
    """

    name = "SQL of the events"

    _PERIODS = """
        WITH spent AS (
            SELECT width_bucket(timestamp_us, %(bounds)s::bigint[]) - 1 AS period,
                customer_number, sum(cost_picocents) AS cost
            FROM event
            WHERE organization_number = %(organization)s
                AND timestamp_us >= %(first)s AND timestamp_us < %(end)s
                AND (%(customer)s::integer IS NULL OR customer_number = %(customer)s)
            GROUP BY 1, 2
        )
        SELECT period, sum(cost), count(DISTINCT customer_number)
        FROM spent GROUP BY GROUPING SETS ((period), ())
    """
    _HISTORY = """
        SELECT coalesce(sum(cost_picocents), 0)
        FROM event
        WHERE organization_number = %(organization)s AND timestamp_us < %(first)s
            AND (%(customer)s::integer IS NULL OR customer_number = %(customer)s)
    """

    def __init__(self, connection: psycopg.Connection[TupleRow]) -> None:
        self._connection = connection
        # All of the memory that the statements have a use for.
        connection.execute("SET work_mem = '256MB'")
        (self._organization,) = self._one("SELECT number FROM organization", {})

    def ask(self, question: Question) -> tuple[Sequence[TupleRow], int]:
        bounds = question.bounds_us()
        given = {
            "organization": self._organization,
            "bounds": bounds,
            "first": bounds[0],
            "end": bounds[-1],
            "customer": self._number(question.customer),
        }
        # Literals, so that the plan is made for these values.
        cursor = psycopg.ClientCursor(self._connection)
        rows = cursor.execute(self._PERIODS, given).fetchall()
        row = cursor.execute(self._HISTORY, given).fetchone()
        assert row is not None
        return rows, int(row[0])

    def check(
        self, question: Question, facts: Facts, answer: tuple[Sequence[TupleRow], int]
    ) -> None:
        rows, history = answer
        found = {period: (int(cost or 0), customers) for period, cost, customers in rows}
        _, distinct = found.pop(None)
        nothing = (0, 0)
        periods = [found.pop(number, nothing) for number in range(len(facts.customers))]
        check_equal(
            f"{question.what}, {self.name}",
            Facts([cost for cost, _ in periods], [n for _, n in periods], distinct, history),
            facts,
        )

    def _number(self, customer: int | None) -> int | None:
        if customer is None:
            return None
        (number,) = self._one(
            "SELECT number FROM customer WHERE organization_number = %(organization)s "
            "AND external_id = %(external_id)s",
            {"organization": self._organization, "external_id": customer_name(customer)},
        )
        return int(number)

    def _one(self, statement: str, given: Mapping[str, object]) -> TupleRow:
        row = self._connection.execute(statement.encode(), given).fetchone()
        assert row is not None
        return row


@contextlib.contextmanager
def event_table(url: str) -> Iterator[EventTable]:
    """The table of events of a database on PostgreSQL."""
    with psycopg.connect(libpq_url(url), autocommit=True) as connection:
        yield EventTable(connection)


_Rows = Sequence[Sequence[Any]]


class ClickHouse:
    """A table of ClickHouse in this process, ordered by organization and time, with doubles."""

    name = "ClickHouse"

    _TABLE = """
        CREATE TABLE default.event (
            organization UInt32, time DateTime64(6, 'UTC'), customer UInt32, amount Float64
        ) ENGINE = MergeTree ORDER BY (organization, time)
    """
    _PERIOD: Mapping[str, str] = {
        "hour": "toUnixTimestamp(toStartOfHour(time))",
        "day": "toUnixTimestamp(toStartOfDay(time))",
        "month": "toUnixTimestamp(toDateTime(toStartOfMonth(time), 'UTC'))",
    }

    def __init__(self, session: Session) -> None:
        self._session = session

    _TOTAL = 0
    """The value that stands for the period in a row that rolls all periods up."""

    def ask(self, question: Question) -> tuple[_Rows, float]:
        bounds = question.bounds_us()
        first, end = (f"fromUnixTimestamp64Micro({bounds[place]}, 'UTC')" for place in (0, -1))
        events = "FROM default.event WHERE organization = 1"
        if question.customer is not None:
            events += f" AND customer = {question.customer}"
        periods = self._query(
            f"SELECT {self._PERIOD[question.interval]} AS period, sum(amount), "
            f"uniqExact(customer) {events} AND time >= {first} AND time < {end} "
            "GROUP BY ROLLUP(period)"
        )
        ((history,),) = self._query(f"SELECT sum(amount) {events} AND time < {first}")
        return periods, history

    def check(self, question: Question, facts: Facts, answer: tuple[_Rows, float]) -> None:
        periods, history = answer
        found = {period: (amount, customers) for period, amount, customers in periods}
        starts = [bound // 1_000_000 for bound in question.bounds_us()[:-1]]
        amounts, counts = zip(
            *(found.get(start, (0, 0)) for start in (*starts, self._TOTAL)), strict=True
        )
        check_equal(
            f"{question.what}, {self.name}",
            counts,
            (*facts.customers, facts.customers_distinct),
        )
        right = facts.costs_picocents
        for amount, picocents in zip(
            (*amounts, history), (*right, sum(right), facts.history_picocents), strict=True
        ):
            if not math.isclose(amount, picocents / 1e12, rel_tol=1e-9):
                raise UnequalError(
                    f"{question.what}, {self.name}: {amount} cents are not near {picocents}e-12"
                )

    def load(self, columns: Columns, file: Path) -> None:
        """Stores the events; the file is for the way."""
        count = len(columns.times_us)
        table = pa.table(
            {
                "organization": pa.repeat(pa.scalar(1, pa.uint32()), count),
                "time": pa.array(columns.times_us).cast(pa.timestamp("us", tz="UTC")),
                "customer": pa.array(columns.customers).cast(pa.uint32()),
                "amount": columns.costs_picocents / 1e12,
            }
        )
        pq.write_table(table, file)
        self._session.query(self._TABLE)
        self._session.query(f"INSERT INTO default.event SELECT * FROM file('{file}', Parquet)")
        self._session.query("OPTIMIZE TABLE default.event FINAL")

    def _query(self, statement: str) -> _Rows:
        answer = self._session.query(statement, "JSONCompactEachRow").data()
        return [json.loads(line) for line in answer.splitlines()]


@contextlib.contextmanager
def clickhouse(columns: Columns) -> Iterator[ClickHouse]:
    """A ClickHouse that holds these events."""
    with tempfile.TemporaryDirectory(prefix="cost-insights-clickhouse-") as folder:
        session = Session(str(Path(folder) / "database"))
        try:
            peer = ClickHouse(session)
            peer.load(columns, Path(folder) / "events.parquet")
            yield peer
        finally:
            session.close()
