"""Names of events: how often each occurs, and when it was seen first and last.

Cells tell how often, and the quarters of an hour in which the first and the last event lie; only
these are read.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import sqlalchemy as sa

from cost_insights.cells import CellCache, CellReader
from cost_insights.cells.counting import EventCounter
from cost_insights.cells.kinds import DAY_QUARTERS, QUARTER_US
from cost_insights.customers.numbering import OTHER, other_series
from cost_insights.events.filter import EventFilter, conditions_of_numbers
from cost_insights.events.joins import OF_SERIES
from cost_insights.events.span import EventSpan, event_span
from cost_insights.identity import Organization
from cost_insights.paging import PageTokens, text_part
from cost_insights.store import Deadline, Store
from cost_insights.store.schema import event, series

_NAMES_AT_ONCE: Final = 50
"""The number of names that are counted together, which bounds the memory that takes."""

_ROWS_AT_ONCE: Final = 10_000
"""The number of rows between two checks of the time limit."""

_STEP_QUARTERS: Final = 32 * DAY_QUARTERS


@dataclass(frozen=True)
class EventName:
    """A name of events."""

    name: str
    occurrences: int
    first_seen_us: int
    last_seen_us: int


@dataclass(frozen=True)
class NameSearch:
    """The names that a caller looks for."""

    filter: EventFilter = field(default_factory=EventFilter)
    """The events that count; its names are the ones that are listed."""

    text: str = ""
    """A text that the names contain, whatever the letter case."""

    key: str = "last_seen"
    """The order of the names: by `name`, `occurrences`, `first_seen` or `last_seen`."""

    descending: bool = True


class EventNameReader:
    """Reads the names of events of one organization at a time, from one snapshot each."""

    def __init__(self, store: Store, cell_cache: CellCache) -> None:
        self._store = store
        self._page_tokens = PageTokens(store.page_token_key)
        self._cells = CellReader(store, cell_cache)

    def names(
        self, organization: Organization, text: str, *, page_size: int, page_token: str
    ) -> tuple[list[EventName], str]:
        """A page of the names that contain a text, in order, and the token of the next page.

        Raises InvalidRequestError if the token is not of the same question.
        """
        asked = ("names", text)
        after = self._page_tokens.decode(page_token, organization.id, asked, (text_part,))
        found: list[EventName] = []
        with self._store.read() as connection:
            counted = _Names(connection, organization.number, self._cells, EventFilter())
            candidates = iter(counted.containing(text, after=None if after is None else after[0]))
            # If every event with a name was a conflict, no event has the name.
            while len(found) <= page_size and (part := list(islice(candidates, page_size + 1))):
                found += counted.seen(counted.counted(part))
        names = found[:page_size]
        if len(found) <= page_size:
            return names, ""
        return names, self._page_tokens.encode(organization.id, asked, (names[-1].name,))

    def search(
        self,
        organization: Organization,
        asked: NameSearch,
        deadline: Deadline,
        *,
        skipped: int,
        count: int,
    ) -> tuple[list[EventName], int]:
        """Some names in order, and how many there are."""
        with self._store.read(deadline) as connection:
            names = _Names(connection, organization.number, self._cells, asked.filter)
            found: list[_Counted] = []
            candidates = iter(names.containing(asked.text))
            while part := list(islice(candidates, _NAMES_AT_ONCE)):
                deadline.check()
                found += names.counted(part)
            return names.ordered(found, asked, skipped, skipped + count), len(found)


_NAME: Final = sa.case(
    (event.c.series_number < 0, sa.literal_column(f"'{OTHER[0]}'")), else_=series.c.event_name
)
"""The name under which an event is counted."""


@dataclass
class _Counted:
    """A name, and the quarters of an hour in which its first and its last event lie."""

    name: str
    occurrences: int
    first_quarter: int
    last_quarter: int


class _Names:
    """The names of an organization in a transaction."""

    def __init__(
        self,
        connection: sa.Connection,
        organization_number: int,
        cells: CellReader,
        chosen: EventFilter,
    ) -> None:
        self._connection = connection
        self._organization_number = organization_number
        self._counter = EventCounter(cells, connection, organization_number)
        self._customers = chosen.customer_numbers(lambda: connection, organization_number)
        self._span = event_span(connection, organization_number)
        self._series: dict[str, list[int]] = defaultdict(list)
        self._folds = bool(other_series(connection, [organization_number]))
        rows = connection.execute(
            sa.select(series.c.event_name, series.c.number)
            .where(
                series.c.organization_number == organization_number,
                # Cells do not tell those beyond the limit apart.
                series.c.number >= 0,
                *chosen.series_conditions(),
            )
            .order_by(series.c.event_name)
        )
        deadline = Deadline.of_this_thread()
        for place, (name, number) in enumerate(rows):
            if deadline is not None and place % _ROWS_AT_ONCE == 0:
                deadline.check()
            self._series[name].append(number)

    def containing(self, text: str, *, after: str | None = None) -> list[str]:
        """The names that contain a text, in order, behind one of them."""
        # Compared here, because to SQLite, and to PostgreSQL in the order of characters,
        # only ASCII has letter case.
        wanted = text.casefold()
        return [
            name
            for name in self._series
            if wanted in name.casefold() and (after is None or name > after)
        ]

    def counted(self, names: Sequence[str]) -> list[_Counted]:
        """The names among these that an event has."""
        if self._span is None or (self._customers is not None and not self._customers):
            return []
        found = self._by_cells(self._span, names)
        for name, late in self._before_cells(self._span, names).items():
            if (one := found.get(name)) is None:
                found[name] = late
            else:
                one.occurrences += late.occurrences
                one.first_quarter = late.first_quarter
        return [found[name] for name in names if name in found]

    def _by_cells(self, span: EventSpan, names: Sequence[str]) -> dict[str, _Counted]:
        """The names that cells count. The time of the first and the last event of each is
        narrowed down to spans of a month, then to days, then to quarters of an hour."""
        ends = {
            name: (span.first_quarter, max(span.first_quarter, span.end_quarter)) for name in names
        }
        occurrences: dict[str, int] = {}
        for step in (_STEP_QUARTERS, DAY_QUARTERS, 1):
            bounds = _bounds(ends.values(), step)
            if len(bounds) < 2:
                return {}
            counts = self._counts(bounds, list(ends))
            for name, events in zip(list(ends), counts, strict=True):
                places = [place for place, number in enumerate(events) if number]
                if not places:
                    del ends[name]
                    continue
                occurrences.setdefault(name, sum(events))
                # Of these periods the first and the last are looked into next.
                ends[name] = (bounds[places[0]], bounds[places[-1] + 1])
        return {
            name: _Counted(name, occurrences[name], first, end - 1)
            for name, (first, end) in ends.items()
        }

    def _counts(self, quarters: Sequence[int], names: Sequence[str]) -> list[Sequence[int]]:
        return self._counter.counts_of_groups(
            [quarter * QUARTER_US for quarter in quarters],
            customers=self._customers,
            groups=[
                (number, group) for group, name in enumerate(names) for number in self._series[name]
            ],
            count=len(names),
        )

    def _before_cells(self, span: EventSpan, names: Sequence[str]) -> dict[str, _Counted]:
        """The names of events that are older than those that cells count."""
        before_us = span.first_quarter * QUARTER_US
        if span.oldest_us >= before_us:
            return {}
        rows = self._connection.execute(
            sa.select(
                _NAME,
                sa.func.count(),
                sa.func.min(event.c.timestamp_us),
                sa.func.max(event.c.timestamp_us),
            )
            .select_from(event)
            .join(series, OF_SERIES)
            .where(*self._of(names), event.c.timestamp_us < before_us)
            .group_by(_NAME)
        )
        return {
            name: _Counted(name, count, first // QUARTER_US, last // QUARTER_US)
            for name, count, first, last in rows
        }

    def seen(self, counted: Sequence[_Counted]) -> list[EventName]:
        """The names with the exact times of their first and last events."""
        firsts = self._times(counted, lambda one: one.first_quarter, sa.func.min)
        lasts = self._times(counted, lambda one: one.last_quarter, sa.func.max)
        return [
            EventName(one.name, one.occurrences, firsts[one.name], lasts[one.name])
            for one in counted
        ]

    def _times(
        self,
        counted: Iterable[_Counted],
        quarter_of: Callable[[_Counted], int],
        extreme: Callable[..., sa.ColumnElement[int]],
    ) -> Mapping[str, int]:
        """The first or the last time of each name, which lies in a known quarter of an hour."""
        by_quarter: dict[int, list[str]] = defaultdict(list)
        for one in counted:
            by_quarter[quarter_of(one)].append(one.name)
        times: dict[str, int] = {}
        for quarter, names in by_quarter.items():
            rows = self._connection.execute(
                sa.select(_NAME, extreme(event.c.timestamp_us))
                .select_from(event)
                .join(series, OF_SERIES)
                .where(
                    *self._of(names),
                    event.c.timestamp_us >= quarter * QUARTER_US,
                    event.c.timestamp_us < (quarter + 1) * QUARTER_US,
                )
                .group_by(_NAME)
            )
            times.update((name, time_us) for name, time_us in rows)
        return times

    def _of(self, names: Collection[str]) -> list[sa.ColumnElement[bool]]:
        of_names: sa.ColumnElement[bool] = event.c.series_number.in_(
            [one for name in names for one in self._series[name]]
        )
        if self._folds and OTHER[0] in names:
            of_names = of_names | (event.c.series_number < 0)
        return [
            *conditions_of_numbers(self._organization_number, self._customers, None),
            of_names,
        ]

    def ordered(
        self, found: list[_Counted], asked: NameSearch, first: int, end: int
    ) -> list[EventName]:
        """The names of these places in the order that is asked for."""
        if asked.key in {"name", "occurrences"}:
            found.sort(key=lambda one: one.name)
            if asked.key == "name":
                found.sort(key=lambda one: one.name, reverse=asked.descending)
            else:
                found.sort(key=lambda one: one.occurrences, reverse=asked.descending)
            return self.seen(found[first:end])

        def quarter_of(one: _Counted) -> int:
            return one.first_quarter if asked.key == "first_seen" else one.last_quarter

        # Exact times are needed only of those that share a quarter of an hour with one of the
        # page.
        found.sort(key=lambda one: one.name)
        found.sort(key=quarter_of, reverse=asked.descending)
        shared = {quarter_of(one) for one in found[first:end]}
        before = next((place for place, one in enumerate(found) if quarter_of(one) in shared), 0)
        names = self.seen([one for one in found if quarter_of(one) in shared])
        names.sort(
            key=lambda one: one.first_seen_us if asked.key == "first_seen" else one.last_seen_us,
            reverse=asked.descending,
        )
        return names[first - before : end - before]


def _bounds(spans: Iterable[tuple[int, int]], step: int) -> list[int]:
    """Ascending bounds, in quarters of an hour, that divide the first and the last part of each
    span into steps, which begin days where they are days or longer."""
    bounds: set[int] = set()
    part = {_STEP_QUARTERS: None, DAY_QUARTERS: _STEP_QUARTERS, 1: DAY_QUARTERS}[step]
    for first, end in spans:
        parts = (
            [(first, end)]
            if part is None
            else [(first, min(first + part, end)), (max(first, end - part), end)]
        )
        for start, stop in parts:
            aligned = start if step == 1 else -(-start // DAY_QUARTERS) * DAY_QUARTERS
            bounds.update((start, stop), range(aligned, stop, step))
    return sorted(bounds)
