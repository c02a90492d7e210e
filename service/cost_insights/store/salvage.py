"""Copying what is left of a damaged database: in large parts, and row by row where parts fail.

Rows are read by their places in the file, so that damaged indexes do not matter. Damage may raise
any error, in the database, in its driver or while values are read, so every error of a part counts.
"""

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import sqlalchemy as sa

from cost_insights._native.cells import verify_rows
from cost_insights._native.commit import EVENT_COLUMNS
from cost_insights.errors import FAILURES, StoreUnavailableError
from cost_insights.store.chunks import chunks
from cost_insights.store.dialect import Verdict
from cost_insights.store.schema import (
    batch,
    checkout,
    compaction,
    customer,
    event,
    ledger_entry,
    metadata,
    organization,
    seat,
    secret,
    segment,
    series,
    subscription,
)
from cost_insights.store.store import Store

_PLACES_AT_ONCE = 16_384

_FAILURES_MAX = 4_096
"""The number of places after which larger parts that fail are given up as a whole."""

_WAIT_SECONDS = 30
"""The time that a server may take to start again after damage has crashed it."""

_T = TypeVar("_T")

_NUMBERED = (
    (customer, customer.c.number, "customers_count"),
    (series, series.c.number, "series_count"),
    (ledger_entry, ledger_entry.c.number, "records_count"),
    (subscription, subscription.c.record_number, "records_count"),
    (checkout, checkout.c.record_number, "records_count"),
    (seat, seat.c.record_number, "records_count"),
)
"""The numbers of rows, and the column of the organization that counts them."""

_ID, _ORGANIZATION, _TIMESTAMP = map(
    EVENT_COLUMNS.index, ("id", "organization_number", "timestamp_us")
)

_COUNTS = ("customers_count", "series_count", "records_count", "folded_count")


@dataclass
class Salvaged:
    """The result of copying a table."""

    table: str
    copied: int = 0
    unverified: int = 0
    """The number of copied events without a checksum, which earlier versions stored."""

    damaged: int = 0
    """The number of rows that were read and found to be damaged."""

    refused: int = 0
    """The number of rows that the new database does not take, such as those of an unknown
    organization."""

    unreadable: int = 0
    """The number of places, each of which may hold a row, that cannot be read."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing is known to be lost."""
        return not (self.damaged or self.refused or self.unreadable)


def tables_to_salvage() -> list[sa.Table]:
    """The tables in an order in which rows may refer to those that are copied before them. The new
    database has secrets of its own, and nobody asks it what came of commits before its time."""
    return [table for table in metadata.sorted_tables if table not in {secret, compaction}]


def is_empty(store: Store) -> bool:
    """Whether no table holds a row that was not there from the start."""
    with store.read() as connection:
        return not any(
            connection.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first()
            for table in tables_to_salvage()
        )


def salvage_table(
    old: Store,
    new: Store,
    table: sa.Table,
    *,
    is_sound: Callable[[Any], bool] = lambda row: True,
    on_read: Callable[[int, int], None] = lambda done, total: None,
) -> Salvaged:
    """Copies the rows of a table that can be read and are sound.

    `on_read` is called with how many places of the table were read, and how many there are.
    """
    salvaged = Salvaged(table.name)
    reader = _Reader(old, table)
    places = reader.places()
    for first in range(places.start, places.stop, _PLACES_AT_ONCE):
        part = range(first, min(first + _PLACES_AT_ONCE, places.stop))
        for rows, unreadable in reader.parts(part):
            salvaged.unreadable += unreadable
            if table is event:
                _copy_events(new, rows, salvaged)
            else:
                sound = [row for row in rows if is_sound(row)]
                salvaged.damaged += len(rows) - len(sound)
                _copy(sound, lambda some: _insert(new, table, some), salvaged)
        on_read(part.stop - places.start, len(places))
    # A damaged page may also seem to hold fewer rows than it does.
    if table is event and salvaged.copied < len(places):
        _copy_strays(reader, new, salvaged)
    return salvaged


def _copy_strays(reader: "_Reader", new: Store, salvaged: Salvaged) -> None:
    """Copies intact events that cannot be reached by their places. Only those with a checksum
    count, because what else is in a file is anything."""
    with new.read() as connection:
        rows = connection.execute(sa.select(organization.c.number, organization.c.events_from_us))
        boundaries = {number: boundary for number, boundary in rows if boundary is not None}
    copied_before = salvaged.copied
    for part in reader.strays():
        *_, verdicts = verify_rows(part)
        intact = {
            row[_ID]: row
            for row, verdict in zip(part, verdicts, strict=True)
            # A page that is not in use any more may hold what was pruned.
            if verdict == Verdict.VERIFIED
            and row[_TIMESTAMP] >= boundaries.get(row[_ORGANIZATION], row[_TIMESTAMP])
        }
        with new.read() as connection:
            for chunk in chunks(intact):
                ids = [uuid.UUID(bytes=one) for one in chunk]
                known = connection.scalars(sa.select(event.c.id).where(event.c.id.in_(ids)))
                for one in known.all():
                    del intact[one.bytes]
        _copy_events(new, list(intact.values()), salvaged)
    found = salvaged.copied - copied_before
    salvaged.unreadable = max(0, salvaged.unreadable - found)


def restore_organizations(old: Store, new: Store) -> list[str]:
    """Creates the organizations that rows belong to and that could not be copied, and returns their
    new names: what they were called is lost, and under which ids callers' events were stored."""
    counts: dict[int, dict[str, int]] = {}
    for table, column, count in _NUMBERED:
        reader = _Reader(old, table)
        for rows, _ in reader.parts(reader.places()):
            for row in rows:
                known = counts.setdefault(row.organization_number, dict.fromkeys(_COUNTS, 0))
                number = row._mapping[column]
                known[count] = max(known[count], number + (count != "records_count"))
                if table is series:
                    known["folded_count"] = max(known["folded_count"], -number)
                    if row.event_name == "other" and not (
                        row.llm_vendor or row.llm_model or row.product_id
                    ):
                        known["other_series"] = number
    with new.write() as connection:
        copied = set(connection.scalars(sa.select(organization.c.number)))
        lost = sorted(counts.keys() - copied)
        for number in lost:
            values = {"number": number, "id": uuid.uuid4(), "name": f"salvaged {number}"}
            connection.execute(
                sa.insert(organization).values(**values, created_us=0, **counts[number])
            )
    return [f"salvaged {number}" for number in lost]


def finish(new: Store) -> None:
    """Lets the new database go on after the rows that were copied into it."""
    with new.write() as connection:
        new.dialect.adopt_numbers(connection)


class _Reader:
    """Reads the rows at places of a table, each time as a transaction of its own."""

    def __init__(self, store: Store, table: sa.Table) -> None:
        self._store = store
        self._table = table
        self._failures = 0
        """The number of single places that could not be read since the last that could."""

    def places(self) -> range:
        """The places of the table; not each of them holds a row."""
        dialect = self._store.dialect
        try:
            with self._reading() as connection:
                return dialect.places(connection, self._table.name)
        except FAILURES:
            with self._reading() as connection:
                return dialect.places_max(connection, self._table.name)

    def parts(self, places: range) -> Iterator[tuple[Sequence[Any], int]]:
        """The rows at some places, part by part, and how many places could not be read."""
        try:
            rows = self._read(places)
        except FAILURES:
            if len(places) <= 1 or self._failures >= _FAILURES_MAX:
                self._failures += len(places)
                yield (), len(places)
                return
            middle = (places.start + places.stop) // 2
            yield from self.parts(range(places.start, middle))
            yield from self.parts(range(middle, places.stop))
        else:
            if rows:
                self._failures = 0
            yield rows, 0

    def strays(self) -> Iterator[list[tuple[Any, ...]]]:
        """Events that cannot be reached by their places, if anything of the file can be read."""
        try:
            with self._reading() as connection:
                strays = self._store.dialect.stray_events(connection)
                while part := list(islice(strays, _PLACES_AT_ONCE)):
                    yield part
        except FAILURES:
            return

    def _read(self, places: range) -> Sequence[Any]:
        dialect = self._store.dialect
        try:
            with self._reading() as connection:
                if self._table is event:
                    return dialect.raw_events(connection, places)
                where = dialect.at_places(self._table.name, places)
                return connection.execute(sa.select(self._table).where(where)).all()
        except StoreUnavailableError:
            self._store.wait(_WAIT_SECONDS, lambda error: None)
            raise

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with self._store.read() as connection:
            self._store.dialect.tolerate_damage(
                connection, has_checksums=self._table in {event, segment, batch}
            )
            yield connection


def _copy_events(new: Store, rows: Sequence[Any], salvaged: Salvaged) -> None:
    if not rows:
        return
    *_, verdicts = verify_rows(list(rows))
    sound = [row for row, verdict in zip(rows, verdicts, strict=True) if verdict]
    salvaged.damaged += verdicts.count(Verdict.DAMAGED)
    salvaged.unverified += verdicts.count(Verdict.UNVERIFIED)

    def insert(some: Sequence[Any]) -> None:
        with new.write() as connection:
            new.dialect.insert_raw_events(connection, some)

    _copy(sound, insert, salvaged)


def _copy(rows: Sequence[_T], insert: Callable[[Sequence[_T]], None], salvaged: Salvaged) -> None:
    """Inserts rows, halved where the new database refuses them."""
    if not rows:
        return
    try:
        insert(rows)
    except StoreUnavailableError:
        raise
    except FAILURES:
        if len(rows) == 1:
            salvaged.refused += 1
            return
        middle = len(rows) // 2
        _copy(rows[:middle], insert, salvaged)
        _copy(rows[middle:], insert, salvaged)
    else:
        salvaged.copied += len(rows)


def _insert(new: Store, table: sa.Table, rows: Sequence[Any]) -> None:
    with new.write() as connection:
        connection.execute(sa.insert(table), [dict(row._mapping) for row in rows])
