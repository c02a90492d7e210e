"""Checking and repairing: whether segments agree with the events.

Events are the truth, as long as they are intact: each has a checksum. Every cell is computed from
them again, month by month, and compared with the stored one. The cells that differ are rewritten
while events and questions keep coming.

Segments have checksums too, so damaged events never spoil sums that are intact. Where events are
damaged or missing, or were pruned, the customers' cells of quarters of an hour take their place,
provided that everyone's cells confirm them.
"""

import datetime as dt
import enum
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import sqlalchemy as sa

from cost_insights._native.cells import (
    cells_before,
    cells_by_month,
    compare_segments,
    derive_segments,
    events_before,
    fold_series,
    is_sound_segment,
    merge_cells,
    pack_segments,
)
from cost_insights.cells.batches import delete_batches
from cost_insights.cells.compaction import replace_segments
from cost_insights.cells.kinds import QUARTER_US, Kind
from cost_insights.store.dialect import Verdict
from cost_insights.store.schema import batch, event, organization, segment
from cost_insights.store.store import Store

_DAY_US = 86_400_000_000
_QUARTER_MIN = -(2**31)
_QUARTER_MAX = 2**31 - 1
_EPOCH_DAY = dt.date(1970, 1, 1).toordinal()

_BATCHES_BYTES_AT_ONCE = 16 * 1024 * 1024

_BY_DAY = tuple(kind for kind in Kind if kind.layout.span == "day")
_BY_MONTH = tuple(kind for kind in Kind if kind.layout.span == "month")
_BEYOND_MONTHS = tuple(kind for kind in Kind if kind.layout.span in {"year", "all"})
"""Kinds whose spans hold several months: they are compared when all months are known."""


_EVERYONE = (Kind.QUARTERS, Kind.DAYS)
"""Kinds that confirm the customers' quarters of a month: they hold the same sums."""

_COUNTING = (*_EVERYONE, Kind.CUSTOMER_QUARTERS)
"""Kinds that hold each event of a month once."""


class CellSums(NamedTuple):
    """The sums of events."""

    events: int
    cost_picocents: int


class Difference(NamedTuple):
    """A stored cell that differs from the events. Where a segment says who was active, an active
    customer has one event."""

    kind: Kind
    bucket: str
    """A quarter of an hour, day, month or year, in words."""

    customer_number: int
    series_number: int
    stored: CellSums
    expected: CellSums


class Mending(enum.Enum):
    """How the segments of a span can be mended, if they are wrong."""

    SAFE = "safe"
    """The expected cells are known to be right."""

    LOSSY = "lossy"
    """The expected cells are those of the events that are left: others are lost."""

    NONE = "none"
    """The right cells are not known: the stored ones are intact, and the events are not verified,
    or the events were pruned."""


@dataclass(frozen=True)
class SpanCheck:
    """The result of checking one kind and span."""

    kind: int
    span: int
    expected: Sequence[bytes]
    stored_ids: Sequence[uuid.UUID]
    damaged_ids: Sequence[uuid.UUID]
    """The segments that cannot be read, or hold cells outside the span."""

    cells: int
    """The number of compared cells."""

    differing: int
    differences: Sequence[Difference]
    """The first differences."""

    mending: Mending = Mending.SAFE

    @property
    def is_right(self) -> bool:
        """Whether all cells are as expected."""
        return not self.differing and not self.damaged_ids


@dataclass
class MonthCheck:
    """The result of checking a month."""

    spans: Sequence[SpanCheck] = ()
    unverified: int = 0
    """The number of events without a checksum, which earlier versions stored."""

    damaged: int = 0
    """The number of events whose checksum is wrong; they are in no expected cell."""

    missing: int = 0
    """The number of events that are in cells, but nowhere else."""

    @property
    def is_right(self) -> bool:
        """Whether all events are intact and all cells are as expected."""
        return not self.damaged and not self.missing and all(one.is_right for one in self.spans)

    def wrong(self, mending: Mending) -> list[SpanCheck]:
        """The wrong spans that can be mended in that way."""
        return [one for one in self.spans if not one.is_right and one.mending is mending]


_Derived = tuple[int, int, bytes]
"""(kind, span, packed cells)"""


class _Stored(NamedTuple):
    id: uuid.UUID
    packed: bytes
    is_sound: bool


class CellCheck:
    """The segments of one organization and its events, as one transaction sees them.

    Each of the `months` is checked first, then what lies `beyond_months`.
    """

    def __init__(
        self,
        store: Store,
        connection: sa.Connection,
        organization_number: int,
        *,
        differences_max: int = 0,
        accept_loss: bool = False,
    ) -> None:
        """With `accept_loss`, cells must equal the sums of the intact events, so a cell that still
        counts a damaged or missing event is a difference."""
        self._connection = connection
        self._organization_number = organization_number
        self._differences_max = differences_max
        self._accept_loss = accept_loss
        self._dialect = store.dialect
        self._events_from_us = _events_from_us(connection, organization_number)
        self._other_series = connection.scalar(
            sa.select(organization.c.other_series).where(
                organization.c.number == organization_number
            )
        )
        self.events_before = 0
        """The number of events of pruned time in the cells seen so far; nothing proves them."""

        self.damaged_batch_ids: list[uuid.UUID] = []
        self._pending: dict[int, list[bytes]] = {}
        self._read_batches()
        self._expected_beyond_months: dict[tuple[int, int], list[bytes]] = {}

    @property
    def events_from_us(self) -> int | None:
        """The time before which events were pruned; None if none ever were."""
        return self._events_from_us

    def months(self) -> list[int]:
        """The months that hold anything, counted from January 1970."""
        found = set(self._pending)
        spans = self._connection.execute(
            sa.select(segment.c.kind, segment.c.span)
            .where(self._is_own(segment), segment.c.kind.not_in(_BEYOND_MONTHS))
            .distinct()
        )
        for kind, span in spans:
            if _is_span(kind, span):
                found.add(_month_of_day(span) if kind in _BY_DAY else span)
        first_us = _TIMES_US.start
        if self._events_from_us is not None:
            first_us = self._events_from_us
        while first_us < _TIMES_US.stop:
            next_us = self._connection.scalar(
                sa.select(sa.func.min(event.c.timestamp_us)).where(
                    self._is_own(event), event.c.timestamp_us >= first_us
                )
            )
            if next_us is None or next_us >= _TIMES_US.stop:
                break
            month = _month_of_day(next_us // _DAY_US)
            found.add(month)
            first_us = _first_us(month + 1)
        return sorted(found)

    def month(
        self, month: int, *, on_events: Callable[[int], None] = lambda count: None
    ) -> MonthCheck:
        """Checks the events of a month and the segments of it and of its days; `on_events` is
        called with how many events were read since the last time."""
        days = range(_first_us(month) // _DAY_US, _first_us(month + 1) // _DAY_US)
        stored = self._stored(
            (segment.c.kind.in_(_BY_MONTH) & (segment.c.span == month))
            | (
                segment.c.kind.in_(_BY_DAY)
                & (segment.c.span >= days.start)
                & (segment.c.span < days.stop)
            )
        )
        quarters = stored.get((Kind.CUSTOMER_QUARTERS, month), ())
        sound = [one.packed for one in quarters if one.is_sound]
        checked = MonthCheck()
        counted = self._counted(month, sound, checked, on_events)
        expected = derive_segments(counted, taken_back=self._pending.get(month, ()))
        spans = self._spans(stored, expected)
        if self._events_from_us is not None and self._events_from_us > _first_us(month):
            # If some of the customers' quarters, which stand for the pruned events, are gone,
            # everyone's cells show it, and must not be made to agree.
            is_known = len(sound) == len(quarters) and _is_any_right(spans, _EVERYONE)
            is_known = is_known and not checked.damaged
            checked.spans = _mending(spans, Mending.SAFE if is_known else Mending.NONE)
            self._expect_beyond_months(expected)
            return checked
        # Events that are gone are missing from every kind; a wrong segment is of one kind.
        if not _is_any_right(spans, _COUNTING):
            checked.missing = self._missing(stored, expected)
        if (checked.damaged or checked.missing) and not self._accept_loss:
            by_cells = derive_segments(sound, taken_back=())
            spans_by_cells = self._spans(stored, by_cells)
            if len(sound) == len(quarters) and _is_any_right(spans_by_cells, _EVERYONE):
                checked.spans = spans_by_cells
                self._expect_beyond_months(by_cells)
                return checked
        # Cells are intact or not, so events without a checksum may replace only damaged ones,
        # unless intact ones confirm these events.
        is_verified = not checked.unverified or _is_any_right(spans, {Kind.CUSTOMER_QUARTERS})
        how = Mending.LOSSY if checked.damaged or checked.missing else Mending.SAFE
        checked.spans = [
            replace(one, mending=Mending.NONE)
            if one.stored_ids and not one.damaged_ids and not is_verified
            else replace(one, mending=how)
            for one in spans
        ]
        self._expect_beyond_months(expected)
        return checked

    def beyond_months(self) -> Iterator[SpanCheck]:
        """Checks segments that add up several months, and finds segments without a valid span."""
        expected = self._expected_beyond_months
        stored = self._stored(segment.c.kind.in_(_BEYOND_MONTHS) | _is_no_span())
        for kind, span in sorted(expected.keys() | stored.keys()):
            here = stored.get((kind, span), ())
            yield self._compare(kind, span, here, expected.get((kind, span), ()))

    def trust_customer_quarters(self) -> None:
        """Takes for `beyond_months` what the segments of customers' quarters hold, instead
        of checking each month."""
        for month in self.months():
            stored = self._stored(
                (segment.c.kind == Kind.CUSTOMER_QUARTERS) & (segment.c.span == month)
            )
            packed = [one.packed for here in stored.values() for one in here]
            self._expect_beyond_months(derive_segments(packed, taken_back=()))

    def _read_batches(self) -> None:
        rows = self._connection.execute(
            sa.select(batch.c.id, batch.c.cells)
            .where(self._is_own(batch))
            .execution_options(yield_per=1_000)
        )
        read: dict[uuid.UUID, bytes] = {}
        size = 0
        for one, cells in rows:
            read[one] = cells
            size += len(cells)
            if size >= _BATCHES_BYTES_AT_ONCE:
                self._add_batches(read)
                read, size = {}, 0
        self._add_batches(read)

    def _add_batches(self, read: Mapping[uuid.UUID, bytes]) -> None:
        first_quarter = _QUARTER_MIN
        if self._events_from_us is not None:
            first_quarter = self._events_from_us // QUARTER_US
        by_month, damaged = cells_by_month(list(read.values()), first_quarter)
        for month, packed in by_month:
            self._pending.setdefault(month, []).append(packed)
        ids = list(read)
        damaged_ids = [ids[place] for place in damaged]
        self.damaged_batch_ids += damaged_ids
        if self._events_from_us is not None:
            sound = [packed for one, packed in read.items() if one not in damaged_ids]
            self.events_before += events_before(sound, first_quarter)

    def _counted(
        self,
        month: int,
        sound: Sequence[bytes],
        checked: MonthCheck,
        on_events: Callable[[int], None],
    ) -> list[bytes]:
        """The packed cells of the events of a month that are not damaged, and of pruned ones;
        counts those that are damaged or cannot be verified."""
        first_us, end_us = _first_us(month), _first_us(month + 1)
        from_us = first_us if self._events_from_us is None else max(first_us, self._events_from_us)
        counted: list[bytes] = []
        if from_us >= end_us:
            counted += sound
        elif from_us > first_us:
            counted += [cells_before(packed, from_us // QUARTER_US) for packed in sound]
        self.events_before += events_before(counted, end_us // QUARTER_US)
        if from_us < end_us:
            parts = self._dialect.verify_events(
                self._connection, self._organization_number, from_us, end_us
            )
            for packed, verdicts in parts:
                if self._other_series is None:
                    counted.append(packed)
                else:
                    counted.append(fold_series(packed, self._other_series))
                checked.damaged += verdicts.count(Verdict.DAMAGED)
                checked.unverified += verdicts.count(Verdict.UNVERIFIED)
                on_events(len(verdicts))
        return counted

    def _spans(
        self, stored: Mapping[tuple[int, int], Sequence[_Stored]], expected: Sequence[_Derived]
    ) -> list[SpanCheck]:
        by_span = _by_span(expected)
        return [
            self._compare(kind, span, stored.get((kind, span), ()), by_span.get((kind, span), ()))
            for kind, span in sorted(by_span.keys() | stored.keys())
            if kind not in _BEYOND_MONTHS
        ]

    def _missing(
        self, stored: Mapping[tuple[int, int], Sequence[_Stored]], expected: Sequence[_Derived]
    ) -> int:
        """The number of events by which the intact cells of a month exceed the expected ones."""
        missing = 0
        for kind in _COUNTING:
            known = [
                one.packed
                for (of_kind, _), here in stored.items()
                for one in here
                if of_kind == kind and one.is_sound
            ]
            left = [packed for of_kind, _, packed in expected if of_kind == kind]
            counts = (events_before(packed, _QUARTER_MAX) for packed in (known, left))
            missing = max(missing, next(counts) - next(counts))
        return missing

    def _expect_beyond_months(self, derived: Sequence[_Derived]) -> None:
        for key, lists in _by_span(derived).items():
            if key[0] in _BEYOND_MONTHS:
                self._expected_beyond_months.setdefault(key, []).append(merge_cells(lists))

    def _stored(self, condition: sa.ColumnElement[bool]) -> dict[tuple[int, int], list[_Stored]]:
        rows = self._connection.execute(
            sa.select(
                segment.c.id,
                segment.c.kind,
                segment.c.span,
                segment.c.customer_first,
                segment.c.customer_last,
                segment.c.packed,
            ).where(self._is_own(segment), condition)
        )
        stored: dict[tuple[int, int], list[_Stored]] = {}
        for one, kind, span, first, last, packed in rows:
            is_sound = _is_span(kind, span) and is_sound_segment(kind, span, first, last, packed)
            stored.setdefault((kind, span), []).append(_Stored(one, packed, is_sound))
        return stored

    def _compare(
        self,
        kind: int,
        span: int,
        stored: Sequence[_Stored],
        expected: Sequence[bytes],
    ) -> SpanCheck:
        ids = [one.id for one in stored]
        sound = [one.packed for one in stored if one.is_sound]
        if not _is_span(kind, span):
            return SpanCheck(kind, span, expected, ids, ids, 0, 0, ())
        cells, differing, first = compare_segments(
            kind, sound, expected, differences_max=self._differences_max
        )
        return SpanCheck(
            kind=kind,
            span=span,
            expected=expected,
            stored_ids=ids,
            damaged_ids=[one.id for one in stored if not one.is_sound],
            cells=cells,
            differing=differing,
            differences=[
                Difference(
                    Kind(kind), bucket, customer, series, CellSums(*sums[:2]), CellSums(*sums[2:])
                )
                for customer, bucket, series, *sums in first
            ],
        )

    def _is_own(self, table: sa.Table) -> sa.ColumnElement[bool]:
        return table.c.organization_number == self._organization_number


def is_sound_row(row: sa.Row[*tuple[Any, ...]]) -> bool:
    """Whether a row of `segment` is intact, by its checksum."""
    return _is_span(row.kind, row.span) and is_sound_segment(
        row.kind, row.span, row.customer_first, row.customer_last, row.packed
    )


def is_sound_batch(row: sa.Row[*tuple[Any, ...]]) -> bool:
    """Whether a row of `batch` is intact, by its checksum."""
    _, damaged = cells_by_month([row.cells], _QUARTER_MIN)
    return not damaged


def mend_month(
    store: Store, organization_number: int, month: int, *, accept_loss: bool = False
) -> bool:
    """Writes the segments of a month anew where they are wrong; False where some are still
    wrong, because the right cells are not known, or only with a loss that is not accepted.

    Nobody may compact meanwhile.
    """
    with store.rewrite() as connection:
        check = CellCheck(store, connection, organization_number, accept_loss=accept_loss)
        checked = check.month(month)
        lossy = checked.wrong(Mending.LOSSY)
        mended = checked.wrong(Mending.SAFE) + (lossy if accept_loss else [])
        _replace(connection, organization_number, mended)
    return len(mended) == sum(not one.is_right for one in checked.spans)


def mend_beyond_months(store: Store, organization_number: int) -> None:
    """Writes the segments that add up several months anew where they differ from those of
    each month, which must be right. Nobody may compact meanwhile."""
    with store.rewrite() as connection:
        check = CellCheck(store, connection, organization_number)
        check.trust_customer_quarters()
        wrong = [one for one in check.beyond_months() if not one.is_right]
        _replace(connection, organization_number, wrong)


def drop_batches(store: Store, organization_number: int, ids: Sequence[uuid.UUID]) -> bool:
    """Deletes damaged batches, once all months are mended without them; False where their
    events may be pruned, so that nothing else has them.

    Until then no question is answered, so that nobody sees a sum without these events,
    or with them twice.
    """
    if not ids:
        return True
    with store.rewrite() as connection:
        if _events_from_us(connection, organization_number) is not None:
            return False
        delete_batches(connection, [(organization_number, one) for one in ids])
    return True


def _events_from_us(connection: sa.Connection, organization_number: int) -> int | None:
    return connection.scalar(
        sa.select(organization.c.events_from_us).where(organization.c.number == organization_number)
    )


def _replace(
    connection: sa.Connection, organization_number: int, spans: Sequence[SpanCheck]
) -> None:
    segments = [
        packed
        for one in spans
        if one.expected
        for packed in pack_segments(one.kind, one.span, one.expected)
    ]
    replace_segments(connection, organization_number, _ids(spans), segments)


def _is_any_right(spans: Iterable[SpanCheck], kinds: Collection[int]) -> bool:
    """Whether all spans of any of these kinds are right."""
    wrong = {one.kind for one in spans if not one.is_right}
    return any(kind not in wrong for kind in kinds)


def _mending(spans: Iterable[SpanCheck], mending: Mending) -> list[SpanCheck]:
    return [replace(one, mending=mending) for one in spans]


def _by_span(derived: Iterable[_Derived]) -> dict[tuple[int, int], list[bytes]]:
    by_span: dict[tuple[int, int], list[bytes]] = {}
    for kind, span, packed in derived:
        by_span.setdefault((kind, span), []).append(packed)
    return by_span


def _ids(spans: Iterable[SpanCheck]) -> list[uuid.UUID]:
    return [one_id for one in spans for one_id in one.stored_ids]


_TIMES_US = range(
    (dt.date.min.toordinal() - _EPOCH_DAY) * _DAY_US,
    (dt.date.max.toordinal() + 1 - _EPOCH_DAY) * _DAY_US,
)
"""The range of times that events can have."""

_DAYS = range(_TIMES_US.start // _DAY_US, _TIMES_US.stop // _DAY_US)
_YEARS = range(dt.MINYEAR, dt.MAXYEAR + 1)
_MONTHS = range((dt.MINYEAR - 1970) * 12, (dt.MAXYEAR + 1 - 1970) * 12)
_SPANS_OF_UNITS = {"day": _DAYS, "month": _MONTHS, "year": _YEARS, "all": range(1)}
_SPANS: Mapping[int, range] = {kind: _SPANS_OF_UNITS[kind.layout.span] for kind in Kind}


def _is_span(kind: int, span: int) -> bool:
    return span in _SPANS.get(kind, ())


def _is_no_span() -> sa.ColumnElement[bool]:
    return ~sa.or_(
        *(
            (segment.c.kind == kind) & segment.c.span.between(spans.start, spans.stop - 1)
            for kind, spans in _SPANS.items()
        )
    )


def _month_of_day(day: int) -> int:
    date = dt.date.fromordinal(day + _EPOCH_DAY)
    return 12 * (date.year - 1970) + date.month - 1


def _first_us(month: int) -> int:
    """The time at which a month begins."""
    if month not in _MONTHS:
        return _TIMES_US.stop
    years, months = divmod(month, 12)
    return (dt.date(1970 + years, 1 + months, 1).toordinal() - _EPOCH_DAY) * _DAY_US
