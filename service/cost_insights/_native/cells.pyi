"""Cells, the sums of events: how they are packed, merged, checked and added up."""

from collections.abc import Sequence
from typing import Final, Literal, final

from typing_extensions import Buffer

__all__ = [
    "SEGMENT_KINDS",
    "CachedCells",
    "Compaction",
    "Cover",
    "SegmentKind",
    "Sources",
    "Tally",
    "cells_before",
    "cells_by_month",
    "compare_segments",
    "derive_segments",
    "derive_token_segments",
    "events_before",
    "fold_series",
    "fold_token_series",
    "is_sound_segment",
    "list_cells",
    "merge_cells",
    "pack_segments",
    "rank_cells",
    "tally_cells",
    "tally_tokens",
    "verify_copy",
    "verify_rows",
]

@final
class Cover:
    """The cells that add up to the periods of a question.

    A slot is a span of time: slot 0 is the history before the first period,
    period i is slot i + 1. Whole UTC days of a slot are taken from cells of days, the
    ragged edges from cells of quarters of an hour. Years, months and days of segments
    are numbered as `year`, `12 * (year - 1970) + month - 1` and days since 1970-01-01.
    """

    def __new__(cls, bounds_us: Sequence[int]) -> Cover:
        """Period i holds the times from `bounds_us[i]` up to, not including,
        `bounds_us[i + 1]`, in microseconds since 1970. Raises ValueError if there are
        no bounds, or they descend."""
    @property
    def cut_days(self) -> list[int]:
        """The days that a bound cuts in two: their segments of quarters are needed."""
    @property
    def cuts_hours(self) -> bool:
        """Whether a bound cuts an hour in two: segments of hours are of no use then."""
    @property
    def cut_quarters(self) -> list[int]:
        """The quarters of an hour since 1970 that a bound cuts in two: their events are needed."""
    @property
    def months(self) -> tuple[int, int]:
        """The first and the last month of the periods."""
    @property
    def history_month(self) -> int:
        """January of the year in which the periods begin. The history needs the
        segments of months from here on, and those of years."""

@final
class SegmentKind:
    """A kind of segments."""

    @property
    def number(self) -> int:
        """The number that is stored."""
    @property
    def name(self) -> str:
        """The name of the kind, which is that of a member of `cells.Kind`."""
    @property
    def span(self) -> Literal["day", "month", "year", "all"]:
        """The unit of the time that one segment covers."""
    @property
    def is_by_customer(self) -> bool:
        """Whether each cell is of one customer."""
    @property
    def is_activity(self) -> bool:
        """Whether segments hold sets of active customers and no cells."""
    @property
    def is_by_series(self) -> bool:
        """Whether series are told apart; if not, all are series 0."""
    @property
    def is_of_tokens(self) -> bool:
        """Whether cells hold numbers of tokens in the place of picocents. Their series numbers are
        those of events times four, plus the measure: 0 for input tokens, 1 for those of a cache, 2
        for output tokens, 3 for what the total has beside input and output."""

SEGMENT_KINDS: Final[tuple[SegmentKind, ...]]
"""Every kind of segments, in the order of their numbers."""

@final
class CachedCells:
    """Packed cells or activity that stay in memory and answer many questions.

    The checksum is verified once. From the second use on, the places of customers' cells
    and the sums of their quarters of an hour by day are remembered too.
    """

    def __new__(cls, packed: bytes, tokens: bytes | None = None) -> CachedCells:
        """Copies the bytes; `tokens` are the packed cells of tokens of a batch. Damaged bytes are
        reported only when they are added up."""
    @property
    def bytes(self) -> int:
        """The bytes of memory taken; they grow with what is remembered."""

@final
class Sources:
    """The sources of a tally, packed as `Compaction` and `Commit.cells` pack them."""

    def __new__(
        cls,
        *,
        segments: Sequence[tuple[int, CachedCells]],
        batches: Sequence[CachedCells],
        events: Sequence[tuple[int, int, int, int, str | None]] = (),
    ) -> Sources:
        """`segments` are (kind, packed contents), `events` (timestamp in microseconds,
        picocents, customer number, series number, JSON of the LLM call) of the quarters that a
        bound cuts in two."""

@final
class Tally:
    """The sums of the events of each group and slot. Lists by group and slot hold
    slot s of group g at `g * slots + s`. Customers are not counted in the history."""

    @property
    def slots(self) -> int: ...
    @property
    def events(self) -> list[int]:
        """The number of events, by group and slot."""
    @property
    def costs(self) -> list[int]:
        """The cost in picocents, each an i128, by group and slot."""
    @property
    def customers(self) -> list[int]:
        """The number of distinct customers, by group and slot; empty unless wanted."""
    @property
    def customers_of_groups(self) -> list[int]:
        """The number of distinct customers of each group in all periods together."""
    @property
    def customers_of_slots(self) -> list[int]:
        """The number of distinct customers of all groups together, by slot."""
    @property
    def customers_in_all(self) -> int:
        """The number of distinct customers of all groups in all periods together."""

def tally_cells(
    cover: Cover,
    sources: Sources,
    *,
    series_groups: Buffer,
    groups: int,
    customer_groups: Sequence[tuple[int, int]] | None = None,
    customers_wanted: bool,
) -> Tally:
    """Adds up the events that count, by group and slot.

    `series_groups`, native i32, is the group of each series by its number, from 0 up to,
    not including, `groups`; −1 where its events do not count. With `customer_groups`,
    (customer number, group or −1 for that of the series), only these customers count,
    and the segments must be of customers; without it they must be everyone's. Raises
    ValueError if packed bytes are damaged, a series has no group or a group is out of
    range, MemoryError for too many groups.
    """

def tally_tokens(
    cover: Cover,
    sources: Sources,
    *,
    series_groups: Buffer,
    groups: int,
    customer_groups: Sequence[tuple[int, int]] | None = None,
) -> list[list[int]]:
    """Adds up the tokens of the events that count: of each measure, as `SegmentKind.is_of_tokens`
    numbers them, the sums by group and slot, which are 0 in the history.

    Everything else is as `tally_cells` has it.
    """

def rank_cells(
    cover: Cover,
    sources: Sources,
    *,
    series_groups: Buffer,
    groups: int,
    customers: Sequence[int] | None = None,
    by_customer: bool,
    count: int,
) -> tuple[int, list[tuple[int, int]]]:
    """Ranks the groups of the series, or the customers, by the cost of all periods.

    Returns how many of them have an event in a period, and (group or customer,
    picocents) of the `count` of greatest cost, the greatest first, with all others that
    cost as much as the last of them. Only `customers` count, where given; then, and
    `by_customer`, the segments must be of customers. Raises ValueError as `tally_cells` does.
    """

def list_cells(
    cover: Cover,
    sources: Sources,
    *,
    series_groups: Buffer,
    customers: Sequence[int] | None = None,
    customer_first: int,
    customer_last: int,
) -> list[tuple[int, int, int, int, int]]:
    """Lists the sums of each customer, period and series, of the customers from the first
    to the last number: (customer, slot, series, events, picocents), sorted in that order.

    The segments must be of customers, and each series that counts in group 0. Only
    `customers` count, where given. Raises ValueError as `tally_cells` does.
    """

@final
class Compaction:
    """The cells of pending batches, on their way into segments.

    A segment is of a kind of `SEGMENT_KINDS`, a span and a range of customers. The span
    is the number of a day, month or year, or 0 for all time.
    """

    def __new__(cls, batches: Sequence[bytes], tokens: Sequence[bytes] = ()) -> Compaction:
        """The packed cells of batches, and those of their tokens. Raises ValueError where one is
        damaged."""
    @property
    def spans(self) -> list[tuple[int, int]]:
        """The spans that get something new, as (kind, span)."""
    def plan(self, stored: Sequence[tuple[int, int, int, int, int]]) -> list[int]:
        """Chooses which stored segments are replaced; returns their places.

        `stored` are all segments of `spans`, as (kind, span, first customer, last
        customer, bytes)."""
    def merge(self, replaced: Sequence[bytes]) -> list[tuple[int, int, int, int, bytes]]:
        """The new segments, as (kind, span, first customer, last customer, packed).

        `replaced` are the contents of the planned places, in that order. Raises
        ValueError where one is damaged."""

def cells_by_month(
    batches: Sequence[bytes], first_quarter: int
) -> tuple[list[tuple[int, bytes]], list[int]]:
    """The packed cells of batches as (month, cells), and the places of damaged batches,
    which are passed over. Cells before the first quarter, counted from 1970, are left out."""

def cells_before(packed: bytes, quarter: int) -> bytes:
    """The packed cells of earlier quarters. Raises ValueError where `packed` is damaged."""

def fold_series(packed: bytes, other: int) -> bytes:
    """The packed cells with those of negative series, which are beyond the limit of series, added
    up in one other series. Raises ValueError where `packed` is damaged."""

def fold_token_series(packed: bytes, other: int) -> bytes:
    """The packed cells of tokens, folded as `fold_series` folds those of costs."""

def events_before(lists: Sequence[bytes], quarter: int) -> int:
    """The number of events in the cells of earlier quarters of packed lists. Raises
    ValueError where one is damaged."""

def merge_cells(lists: Sequence[bytes]) -> bytes:
    """Adds up packed lists of cells to one. Raises ValueError if one is damaged."""

def is_sound_segment(
    kind: int, span: int, customer_first: int, customer_last: int, packed: bytes
) -> bool:
    """Whether a stored segment can be read and everything in it belongs to that kind,
    span and range of customers."""

def derive_segments(
    counted: Sequence[bytes], *, taken_back: Sequence[bytes]
) -> list[tuple[int, int, bytes]]:
    """The contents of segments as (kind, span, packed list); lists of a span add up.

    `counted` are packed cells of customers and quarters, of which those `taken_back`
    do not count. Raises ValueError where a list is damaged.
    """

def derive_token_segments(
    counted: Sequence[bytes], *, taken_back: Sequence[bytes]
) -> list[tuple[int, int, bytes]]:
    """The contents of segments of tokens, of packed cells of tokens; see `derive_segments`."""

def compare_segments(
    kind: int, stored: Sequence[bytes], expected: Sequence[bytes], *, differences_max: int
) -> tuple[int, int, list[tuple[int, str, int, int, int, int, int]]]:
    """Compares the sound segments of a span with what is expected.

    Returns the number of cells that either side has, the number of those that differ, and
    the first differences as (customer number, bucket in words, series number, stored
    events, stored picocents, expected events, expected picocents). In a segment of
    activity, each active customer counts as a cell of one event. Raises ValueError where a
    list is damaged.
    """

def pack_segments(
    kind: int, span: int, lists: Sequence[bytes]
) -> list[tuple[int, int, int, int, bytes]]:
    """The segments that hold what packed lists add up to, as `Compaction.merge` returns
    them. Raises ValueError where a list is damaged."""

def verify_copy(payload: bytes) -> tuple[bytes, bytes | None, bytes]:
    """The packed cells of events that PostgreSQL has copied, those of their tokens, if there are
    any, and a verdict on each event.

    The payload holds whole rows in the order of `commit.EVENT_COLUMNS`; the header and the
    trailer may be missing. Raises ValueError if it holds anything else. A verdict is 0 for
    a damaged row, which is in no cell, 1 for one without a checksum, and 2 for one whose
    checksum is right.
    """

def verify_rows(rows: list[tuple[object, ...]]) -> tuple[bytes, bytes | None, bytes]:
    """The packed cells of events that were selected, those of their tokens, and a verdict on each,
    as `verify_copy` returns them.

    A row has the columns of `commit.EVENT_COLUMNS`: ids as bytes, texts and JSON as str or
    as bytearray. A row with other values is damaged.
    """
