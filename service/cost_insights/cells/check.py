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
    derive_token_segments,
    events_before,
    fold_series,
    fold_token_series,
    is_sound_segment,
    merge_cells,
    pack_segments,
)
from cost_insights.cells.batches import delete_batches
from cost_insights.cells.compaction import replace_segments
from cost_insights.cells.kinds import QUARTER_US, Kind
from cost_insights.cells.rows import Packed
from cost_insights.store.dialect import Verdict
from cost_insights.store.schema import batch, event, organization, segment
from cost_insights.store.store import Store

_DAY_US = 86_400_000_000
_QUARTER_MIN = -(2**31)
_QUARTER_MAX = 2**31 - 1
_EPOCH_DAY = dt.date(1970, 1, 1).toordinal()

_BATCHES_BYTES_AT_ONCE = 16 * 1024 * 1024

_MEASURES = ("input", "cached input", "output", "rest of the total")
"""The measures that cells of tokens count, in the order in which native numbers them."""

_BY_DAY = tuple(kind for kind in Kind if kind.layout.span == "day")
_BY_MONTH = tuple(kind for kind in Kind if kind.layout.span == "month")
_BEYOND_MONTHS = tuple(kind for kind in Kind if kind.layout.span in {"year", "all"})
"""Kinds whose spans hold several months: they are compared when all months are known."""


_Derived = tuple[int, int, bytes]
"""(kind, span, packed cells)"""


class _Family(NamedTuple):
    """Kinds of segments that follow from one list of cells of events."""

    customer_quarters: Kind
    """The kind that holds these cells, of which every other kind of the family follows."""

    everyone: tuple[Kind, ...]
    """Kinds that confirm the customers' quarters of a month: they hold the same sums."""

    derive: Callable[[Sequence[bytes], Sequence[bytes]], list[_Derived]]
    """The contents of the segments, of cells that count and of others that are taken back."""


_COSTS = _Family(
    Kind.CUSTOMER_QUARTERS,
    (Kind.QUARTERS, Kind.DAYS),
    lambda counted, taken_back: derive_segments(counted, taken_back=taken_back),
)
_TOKENS = _Family(
    Kind.CUSTOMER_TOKEN_QUARTERS,
    (Kind.TOKEN_QUARTERS, Kind.TOKEN_DAYS),
    lambda counted, taken_back: derive_token_segments(counted, taken_back=taken_back),
)

_COUNTING = (*_COSTS.everyone, _COSTS.customer_quarters)
"""Kinds that hold each event of a month once."""


class CellSums(NamedTuple):
    """The sums of events."""

    events: int
    cost_picocents: int
    """Picocents, or tokens where a segment is of tokens."""


class Difference(NamedTuple):
    """A stored cell that differs from the events. Where a segment says who was active, an active
    customer has one event."""

    kind: Kind
    bucket: str
    """A quarter of an hour, day, month or year, in words."""

    customer_number: int
    series_number: int
    measure: str | None
    """The name of what is counted, where a segment is of tokens."""

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


class _Stored(NamedTuple):
    id: uuid.UUID
    packed: bytes
    is_sound: bool


_StoredSpans = Mapping[tuple[int, int], Sequence[_Stored]]
"""Stored segments by kind and span."""


class _Lists(NamedTuple):
    """Packed lists of the cells of events, by family."""

    costs: list[bytes]
    tokens: list[bytes]

    def of(self, family: _Family) -> list[bytes]:
        return self.tokens if family is _TOKENS else self.costs


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
        only_tokens: bool = False,
    ) -> None:
        """`accept_loss` compares cells with the sums of the intact events, so that a cell which
        still counts a damaged or missing event is a difference. `only_tokens` checks the cells of
        tokens alone, month by month. Without it these cells are checked once the tokens of all
        events are counted."""
        self._connection = connection
        self._organization_number = organization_number
        self._differences_max = differences_max
        self._accept_loss = accept_loss
        self._dialect = store.dialect
        row = connection.execute(
            sa.select(
                organization.c.events_from_us,
                organization.c.other_series,
                organization.c.tokens_counted,
            ).where(organization.c.number == organization_number)
        ).one()
        self._events_from_us: int | None = row.events_from_us
        self._other_series: int | None = row.other_series
        self._families: Sequence[_Family] = (_COSTS, _TOKENS) if row.tokens_counted else (_COSTS,)
        if only_tokens:
            self._families = (_TOKENS,)
        self.events_before = 0
        """The number of events of pruned time in the cells seen so far; nothing proves them."""

        self.damaged_batch_ids: list[uuid.UUID] = []
        self._pending: dict[int, _Lists] = {}
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
        checked = MonthCheck()
        counted = self._counted(month, stored, checked, on_events)
        checked.spans = [
            one
            for family in self._families
            for one in self._checked(family, month, stored, counted.of(family), checked)
        ]
        return checked

    def _checked(
        self,
        family: _Family,
        month: int,
        stored: _StoredSpans,
        counted: Sequence[bytes],
        checked: MonthCheck,
    ) -> Sequence[SpanCheck]:
        """Checks the segments of a family, given the cells that count; finds out how many events
        are missing."""
        quarters = stored.get((family.customer_quarters, month), ())
        sound = [one.packed for one in quarters if one.is_sound]
        is_whole = len(sound) == len(quarters)
        pending = self._pending.get(month, _Lists([], [])).of(family)
        expected = family.derive(counted, pending)
        spans = self._spans(family, stored, expected)
        if self._events_from_us is not None and self._events_from_us > _first_us(month):
            # If some of the customers' quarters, which stand for the pruned events, are gone,
            # everyone's cells show it, and must not be made to agree.
            is_known = is_whole and _is_any_right(spans, family.everyone) and not checked.damaged
            self._expect_beyond_months(expected)
            return _mending(spans, Mending.SAFE if is_known else Mending.NONE)
        # Events that are gone are missing from every kind; a wrong segment is of one kind.
        if family is _COSTS and not _is_any_right(spans, _COUNTING):
            checked.missing = self._missing(stored, expected)
        if (checked.damaged or checked.missing) and not self._accept_loss:
            by_cells = family.derive(sound, ())
            spans_by_cells = self._spans(family, stored, by_cells)
            if is_whole and _is_any_right(spans_by_cells, family.everyone):
                self._expect_beyond_months(by_cells)
                return spans_by_cells
        # Cells are intact or not, so events without a checksum may replace only damaged ones,
        # unless intact ones confirm these events.
        is_verified = not checked.unverified or _is_any_right(spans, {family.customer_quarters})
        how = Mending.LOSSY if checked.damaged or checked.missing else Mending.SAFE
        self._expect_beyond_months(expected)
        return [
            replace(one, mending=Mending.NONE)
            if one.stored_ids and not one.damaged_ids and not is_verified
            else replace(one, mending=how)
            for one in spans
        ]

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
            self._expect_beyond_months(_COSTS.derive(packed, ()))

    def _read_batches(self) -> None:
        rows = self._connection.execute(
            sa.select(batch.c.id, batch.c.cells, batch.c.tokens)
            .where(self._is_own(batch))
            .execution_options(yield_per=1_000)
        )
        read: dict[uuid.UUID, Packed] = {}
        size = 0
        for one, cells, tokens in rows:
            read[one] = Packed(cells, tokens)
            size += len(cells) + len(tokens or b"")
            if size >= _BATCHES_BYTES_AT_ONCE:
                self._add_batches(read)
                read, size = {}, 0
        self._add_batches(read)

    def _add_batches(self, read: Mapping[uuid.UUID, Packed]) -> None:
        first_quarter = _QUARTER_MIN
        if self._events_from_us is not None:
            first_quarter = self._events_from_us // QUARTER_US
        damaged_ids = [one for one, packed in read.items() if not is_sound_packed(packed)]
        self.damaged_batch_ids += damaged_ids
        sound = [packed for one, packed in read.items() if one not in damaged_ids]
        lists = _Lists(
            [one.cells for one in sound], [one.tokens for one in sound if one.tokens is not None]
        )
        for family in self._families:
            by_month, _ = cells_by_month(lists.of(family), first_quarter)
            for month, packed in by_month:
                self._pending.setdefault(month, _Lists([], [])).of(family).append(packed)
        if self._events_from_us is not None:
            self.events_before += events_before(lists.costs, first_quarter)

    def _counted(
        self,
        month: int,
        stored: _StoredSpans,
        checked: MonthCheck,
        on_events: Callable[[int], None],
    ) -> _Lists:
        """The packed cells of the events of a month that are not damaged, and of pruned ones;
        counts those that are damaged or cannot be verified."""
        first_us, end_us = _first_us(month), _first_us(month + 1)
        from_us = first_us if self._events_from_us is None else max(first_us, self._events_from_us)
        counted = _Lists([], [])
        for family in (_COSTS, _TOKENS):
            quarters = stored.get((family.customer_quarters, month), ())
            sound = [one.packed for one in quarters if one.is_sound]
            if from_us >= end_us:
                counted.of(family).extend(sound)
            elif from_us > first_us:
                before = (cells_before(packed, from_us // QUARTER_US) for packed in sound)
                counted.of(family).extend(before)
        self.events_before += events_before(counted.costs, end_us // QUARTER_US)
        if from_us < end_us:
            parts = self._dialect.verify_events(
                self._connection, self._organization_number, from_us, end_us
            )
            for packed, tokens, verdicts in parts:
                other = self._other_series
                counted.costs.append(packed if other is None else fold_series(packed, other))
                if tokens is not None:
                    counted.tokens.append(
                        tokens if other is None else fold_token_series(tokens, other)
                    )
                checked.damaged += verdicts.count(Verdict.DAMAGED)
                checked.unverified += verdicts.count(Verdict.UNVERIFIED)
                on_events(len(verdicts))
        return counted

    def _spans(
        self, family: _Family, stored: _StoredSpans, expected: Sequence[_Derived]
    ) -> list[SpanCheck]:
        by_span = _by_span(expected)
        return [
            self._compare(kind, span, stored.get((kind, span), ()), by_span.get((kind, span), ()))
            for kind, span in sorted(by_span.keys() | stored.keys())
            if kind not in _BEYOND_MONTHS and Kind(kind).layout.is_of_tokens == (family is _TOKENS)
        ]

    def _missing(self, stored: _StoredSpans, expected: Sequence[_Derived]) -> int:
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
                    Kind(kind),
                    bucket,
                    customer,
                    *_series_and_measure(Kind(kind), series),
                    CellSums(*sums[:2]),
                    CellSums(*sums[2:]),
                )
                for customer, bucket, series, *sums in first
            ],
        )

    def _is_own(self, table: sa.Table) -> sa.ColumnElement[bool]:
        return table.c.organization_number == self._organization_number


def _series_and_measure(kind: Kind, number: int) -> tuple[int, str | None]:
    """The number of the series of a cell, and what it counts; see `SegmentKind.is_of_tokens`."""
    if not kind.layout.is_of_tokens:
        return number, None
    series_number, measure = divmod(number, len(_MEASURES))
    return series_number, _MEASURES[measure]


def is_sound_row(row: sa.Row[*tuple[Any, ...]]) -> bool:
    """Whether a row of `segment` is intact, by its checksum."""
    return _is_span(row.kind, row.span) and is_sound_segment(
        row.kind, row.span, row.customer_first, row.customer_last, row.packed
    )


def is_sound_batch(row: sa.Row[*tuple[Any, ...]]) -> bool:
    """Whether a row of `batch` is intact, by its checksum."""
    return is_sound_packed(Packed(row.cells, row.tokens))


def is_sound_packed(packed: Packed) -> bool:
    """Whether the contents of a batch are intact, by their checksums."""
    lists = [one for one in packed if one is not None]
    _, damaged = cells_by_month(lists, _QUARTER_MIN)
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
        replace_spans(connection, organization_number, mended)
    return len(mended) == sum(not one.is_right for one in checked.spans)


def mend_beyond_months(store: Store, organization_number: int) -> None:
    """Writes the segments that add up several months anew where they differ from those of
    each month, which must be right. Nobody may compact meanwhile."""
    with store.rewrite() as connection:
        check = CellCheck(store, connection, organization_number)
        check.trust_customer_quarters()
        wrong = [one for one in check.beyond_months() if not one.is_right]
        replace_spans(connection, organization_number, wrong)


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


def replace_spans(
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
