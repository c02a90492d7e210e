"""What is done once per event or once per cell, in Rust.

Nothing here does I/O, reads a clock or keeps a Python object. Whole batches
cross the border, the interpreter lock is released while they are worked on, and
what is wrong with them comes back as data. Amounts are picocents: integers, 10¹²
a cent.
"""

from collections.abc import Sequence
from typing import Final, final

from typing_extensions import Buffer

__all__ = [
    "AMOUNT_CENTS_MAX",
    "EVENT_COLUMNS",
    "LEDGER_FACTS",
    "MONEY_CENTS_MAX",
    "REASONS",
    "SYSTEM_EVENTS",
    "Compaction",
    "Cover",
    "EventBatch",
    "Fault",
    "Group",
    "Kept",
    "Ledger",
    "LedgerQuestion",
    "LedgerTally",
    "Limits",
    "NumberCache",
    "PanicException",
    "Receipt",
    "Sources",
    "StreamedBatch",
    "Tally",
    "cells_before",
    "cells_by_month",
    "cells_of_copy",
    "cells_of_events",
    "compare_segments",
    "decode_events",
    "decode_streamed",
    "derive_segments",
    "encode_periods",
    "event_id",
    "events_before",
    "format_amount",
    "is_blank",
    "is_sound_segment",
    "list_cells",
    "merge_cells",
    "pack_segments",
    "parse_amount",
    "parse_amounts",
    "parse_money",
    "rank_cells",
    "round_amount",
    "sum_by_group",
    "sum_picocents",
    "tally_cells",
]

AMOUNT_CENTS_MAX: Final[int]
"""The greatest amount of one event, in cents, either way."""

MONEY_CENTS_MAX: Final[int]
"""The greatest amount of an order, a refund or a subscription, in cents, either way."""

REASONS: Final[frozenset[str]]
"""Every reason that a `Fault` can have."""

SYSTEM_EVENTS: Final[frozenset[str]]
"""The names of events that say what was earned, and are recorded instead of stored."""

class PanicException(BaseException):
    """Something in here is wrong: a bug, which Python does not count among its exceptions."""

@final
class Fault:
    """One thing that is wrong with one event, or with the whole request."""

    @property
    def index(self) -> int:
        """Where the event stands in the request; -1 where it is the request's."""
    @property
    def path(self) -> str:
        """Such as `events[3].metadata._cost.amount`; empty where it is the whole request."""
    @property
    def reason(self) -> str:
        """One of `REASONS`, such as `AMOUNT_TOO_PRECISE`."""
    @property
    def message(self) -> str:
        """What was found and what is allowed, in words; every variable part is in `facts` too."""
    @property
    def value(self) -> str:
        """What was found, shortened to 64 characters."""
    @property
    def facts(self) -> dict[str, str]:
        """The limits and other variable parts of `message`, without path and value."""

@final
class Limits:
    """What a request may hold; each is a setting.

    Raises ValueError where `event_bytes_max` is over 1 GiB, which no column of
    PostgreSQL holds, or `metadata_keys_max` over 4096.
    """

    def __new__(
        cls,
        *,
        events_max: int = 10_000,
        event_bytes_max: int = 32_768,
        metadata_keys_max: int = 128,
        metadata_key_chars_max: int = 128,
        metadata_text_chars_max: int = 2_000,
        clock_skew_us: int = 60_000_000,
    ) -> Limits: ...

@final
class EventBatch:
    """The valid events of one request, in order. It never changes."""

    def __len__(self) -> int: ...
    @property
    def accept_valid(self) -> bool:
        """Whether the request asked to store the valid events although others are malformed."""
    @property
    def faults(self) -> list[Fault]:
        """What is wrong with the events that are not in the batch, in order: by index,
        within an event by field. The first 1000 are kept and, where `accept_valid`, the
        first of each further event; `faults_total` counts all. A fault of the whole
        request is the only one, and the batch is empty."""
    @property
    def faults_total(self) -> int:
        """How many faults were found, those that are not kept included."""
    @property
    def request_fault(self) -> Fault | None:
        """The fault of the whole request, if it has one."""
    @property
    def faulty(self) -> int:
        """How many events are not in the batch because of `faults`."""
    @property
    def holds_system_events(self) -> bool:
        """Whether any event, faulty or not, has a name of `SYSTEM_EVENTS`."""
    @property
    def external_customer_ids(self) -> list[str]:
        """The distinct identifiers of the caller's. The customer of an event is
        a place in this list or, from its end on, in `customer_ids`."""
    @property
    def customer_ids(self) -> list[bytes]:
        """The distinct UUIDs given as `customer_id`, 16 bytes each."""
    @property
    def series(self) -> list[tuple[str, str, str, str]]:
        """The distinct (event name, LLM vendor, LLM model, product id); an absent one is empty."""
    @property
    def uncertain_parents(self) -> list[bytes]:
        """The distinct UUIDs of version 7 given as `parent_id`, 16 bytes each.
        Only a look-up can tell whether such a UUID is the id or the external id
        of an event; see `known_parents` of `Group`."""
    def without_customers(self, unknown: Sequence[int]) -> EventBatch:
        """The batch without the events of these places in `customer_ids`, which
        turn into faults `CUSTOMER_NOT_FOUND`, merged into `faults` in order.
        The lists of customers and series stay as they are."""

@final
class NumberCache:
    """Numbers of customers and series that never change, by organization.

    Bounded whatever callers send: what was not asked for in a while is forgotten.
    Several threads may use it.
    """

    def __new__(cls, bytes_max: int) -> NumberCache: ...
    def known(
        self, organization_number: int, batch: EventBatch
    ) -> tuple[list[int | None], list[int | None], list[int | None]]:
        """The numbers of the batch's `external_customer_ids`, of its `customer_ids`
        and of its `series`; None where one is not known."""
    def group(self, batches: Sequence[tuple[EventBatch, int]]) -> Group | None:
        """The group of these batches, each with the number of its organization; None
        where another number is not known, or where a batch has `uncertain_parents`."""
    def add(
        self,
        organization_number: int,
        external_customers: dict[str, int],
        customers: dict[bytes, int],
        series: dict[tuple[str, str, str, str], int],
    ) -> None:
        """Adds numbers; only what is committed may be."""

@final
class Receipt:
    """What became of the events of one batch."""

    @property
    def inserted(self) -> int: ...
    @property
    def duplicates(self) -> int: ...
    @property
    def conflicts(self) -> list[tuple[int, str, bytes]]:
        """(index in the request, external id, id of the stored event) of each event
        whose external id is taken by other content."""

@final
class Group:
    """The batches that one transaction stores.

    Of events with one id in one group the first is kept; each later one is a
    duplicate if its content is the same, else a conflict.
    """

    def __new__(
        cls,
        members: Sequence[tuple[EventBatch, int, Sequence[int], Sequence[int]]],
        known_parents: Sequence[bytes] = (),
    ) -> Group:
        """Each member is (batch, organization number, customer numbers, series
        numbers), the numbers in the order of the batch's lists. `known_parents`
        are those of the `uncertain_parents` that are ids of events of the
        organization; the others are read as external ids."""
    def __len__(self) -> int:
        """How many events are left to insert."""
    def any_id(self) -> bytes | None:
        """The id of one of the events left to insert, if there is any."""
    def keyed_ids(self) -> list[bytes]:
        """The ids of the events left to insert that have an external id: only they
        can be stored already."""
    def set_aside(self, stored: Sequence[tuple[bytes, int]]) -> None:
        """Takes out the events that are stored already, given as (id, content
        digest): those with the same digest are duplicates, the others conflicts."""
    def copy_payload(self) -> bytes:
        """The events left to insert as a PostgreSQL binary COPY, header and trailer
        included, in the order of `EVENT_COLUMNS`."""
    def arrays(self) -> list[bytes]:
        """The same as PostgreSQL's binary arrays, one for each of `EVENT_COLUMNS`."""
    def rows(self) -> list[tuple[object, ...]]:
        """The events left to insert as rows for SQLite, in the order of `EVENT_COLUMNS`."""
    def cells(self) -> list[tuple[int, bytes]]:
        """(organization number, packed cells) of the events left to insert: the sums of
        each customer, quarter of an hour and series."""
    def receipts(self) -> list[Receipt]:
        """One for each member, on the supposition that what is left is inserted."""

EVENT_COLUMNS: Final[tuple[str, ...]]
"""The columns of `copy_payload`, `arrays` and `rows`: id (uuid), organization_number (int4),
series_number (int4), customer_number (int4), timestamp_us (int8, microseconds since
1970), cost_picocents (int8 or null), content_digest (int8), parent_id (uuid or
null), external_id, external_member_id (text or null), llm (json object of token
counts, prompt and response, or null), metadata (json object)."""

def decode_events(
    request: bytes,
    *,
    organization_id: bytes,
    now_us: int,
    entropy: bytes,
    limits: Limits,
) -> EventBatch:
    """Reads and checks the bytes of a `cost_insights.v1.IngestEventsRequest`.

    `organization_id` is 16 bytes, `now_us` the time of arrival in microseconds
    since 1970, `entropy` 32 random bytes from which the ids of events without
    an external id are made.
    """

@final
class StreamedBatch:
    """A batch of a stream, and where in the stream it stands."""

    @property
    def stream_id(self) -> str:
        """That of the request, or the given one where the request leaves it out."""
    @property
    def sequence(self) -> int: ...
    @property
    def batch(self) -> EventBatch: ...

def decode_streamed(
    request: bytes,
    *,
    stream_id: str,
    organization_id: bytes,
    now_us: int,
    entropy: bytes,
    limits: Limits,
) -> StreamedBatch:
    """Reads the bytes of a `cost_insights.v1.StreamEventsRequest` and checks its events.

    `stream_id` is the stream's so far, empty at its beginning. Whether stream and
    sequence are allowed is not checked. The id of an event without an external id
    is a UUID of version 8 made of the first 16 bytes of SHA-256(organization id ‖
    U+0000 `stream` U+0000 ‖ stream id ‖ U+0000 ‖ sequence ‖ index in the batch),
    the numbers in 8 and 4 bytes with the greatest first. Paths are those of the
    batch, such as `events[3].name`.
    """

def event_id(organization_id: bytes, external_id: str) -> bytes:
    """The id of the event with that external id: a UUID of version 8 made of the
    first 16 bytes of SHA-256(organization id ‖ external id in UTF-8)."""

def encode_periods(
    field: int, starts: Sequence[str], columns: Sequence[tuple[int, bool, Sequence[int]]]
) -> bytes:
    """Messages of a repeated field, encoded: one for each start, which is in field 1, with
    the number of each column at that place.

    A column is (field, whether its numbers are picocents, numbers): picocents, each an
    i128, become decimal text like by `format_amount`, others an `int64`. Raises ValueError
    where a column has not as many numbers as there are starts, OverflowError where a
    number does not fit.
    """

def parse_amount(text: str) -> int | Fault:
    """The picocents of a decimal string, exactly."""

def parse_money(text: str) -> int | Fault:
    """The picocents of a decimal string, read like by `parse_amount` but for the
    range, which is that of an order: up to `MONEY_CENTS_MAX`, so an i128."""

def parse_amounts(text: Buffer, ends: Buffer) -> bytes | list[Fault]:
    """The picocents of many decimal strings, as native i64, each read like by `parse_amount`.

    `text` holds the strings in UTF-8, one after the other, and `ends`, native u32,
    where in it each of them ends. Where strings are no amounts, the faults of the
    first 100 of them: `index` is the place of the string, `path` such as `[3]`.

    Both buffers are contiguous and must not change until the call returns. Raises
    ValueError where they do not fit.
    """

def round_amount(number: float) -> int | Fault:
    """The picocents of a double: its shortest decimal form, rounded half-even to 12 decimals."""

def format_amount(picocents: int) -> str:
    """Cents as decimal text without trailing zeros; takes any i128."""

def is_blank(text: str) -> bool:
    """Whether no character of the text can be seen: white space, control characters and
    whatever else takes no ink. The empty text is blank."""

def sum_picocents(amounts: Buffer) -> int:
    """The exact sum of a contiguous buffer of native i64, which must not change
    until the call returns. Raises ValueError where it is another buffer."""

def sum_by_group(amounts: Buffer, groups: Buffer, group_count: int) -> list[int]:
    """The exact sum of the amounts of each group.

    `amounts` are native i64 and `groups`, native i32, the number of the group of
    each of them, from 0 up to, not including, `group_count`. Both buffers are
    contiguous and must not change until the call returns. Raises ValueError where
    lengths, item types or a group do not fit, MemoryError for too many groups.
    """

@final
class Cover:
    """Which cells add up to the periods that are asked for.

    A slot is where an event counts: slot 0 is the history before the first period,
    period i is slot i + 1. Whole UTC days of a slot are taken from cells of days, the
    ragged edges from cells of quarters of an hour. Years, months and days of segments
    are numbered as `year`, `12 * (year - 1970) + month - 1` and days since 1970-01-01.
    """

    def __new__(cls, bounds_us: Sequence[int]) -> Cover:
        """Period i holds the times from `bounds_us[i]` up to, not including,
        `bounds_us[i + 1]`, in microseconds since 1970. Raises ValueError where there
        is no bound, or they descend."""
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
class Kept:
    """Packed cells or activity that stay in memory and answer many questions: their
    checksum is looked at once, and what is asked for again is remembered: where the cells
    of customers are, and what their quarters of an hour add up to by day."""

    def __new__(cls, packed: bytes) -> Kept:
        """Copies the bytes, which may be damaged: whoever adds them up is told."""
    @property
    def bytes(self) -> int:
        """How many bytes of memory it takes by now: more the more is found out."""

@final
class Sources:
    """What is added up; packed as `Compaction` and `Group.cells` have packed it."""

    def __new__(
        cls,
        *,
        segments: Sequence[tuple[int, Kept]],
        batches: Sequence[Kept],
        events: Sequence[tuple[int, int, int, int]] = (),
    ) -> Sources:
        """`segments` are (kind, packed contents), `events` (timestamp in microseconds,
        picocents, customer number, series number) of the quarters that a bound cuts in
        two."""

@final
class Tally:
    """What the events of each group and slot add up to. Lists by group and slot hold
    slot s of group g at `g * slots + s`. Customers are not counted in the history."""

    @property
    def slots(self) -> int: ...
    @property
    def events(self) -> list[int]:
        """How many events, by group and slot."""
    @property
    def costs(self) -> list[int]:
        """Picocents, each an i128, by group and slot."""
    @property
    def customers(self) -> list[int]:
        """How many distinct customers, by group and slot; empty unless wanted."""
    @property
    def customers_of_groups(self) -> list[int]:
        """How many distinct customers each group has in all periods together."""
    @property
    def customers_of_slots(self) -> list[int]:
        """How many distinct customers all groups have together, by slot."""
    @property
    def customers_in_all(self) -> int:
        """How many distinct customers all groups have in all periods together."""

def tally_cells(
    cover: Cover,
    sources: Sources,
    *,
    series_groups: Buffer,
    groups: int,
    customer_groups: Sequence[tuple[int, int]] | None = None,
    customers_wanted: bool,
) -> Tally:
    """Adds up what counts, by group and slot.

    `series_groups`, native i32, is the group of each series by its number, from 0 up to,
    not including, `groups`; −1 where its events do not count. With `customer_groups`,
    (customer number, group or −1 for that of the series), only these customers count,
    and the segments must be of customers; without it they must be everyone's. Raises
    ValueError where anything packed is damaged, a series has no group or there is no such
    group, MemoryError for too many groups.
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
    """(customer, slot, series, events, picocents) of what each of them adds up to in the
    periods, in that order, of the customers from the first to the last number.

    The segments must be of customers, and each series that counts in group 0. Only
    `customers` count, where given. Raises ValueError as `tally_cells` does.
    """

@final
class Compaction:
    """The cells of pending batches, on their way into segments.

    A segment is of a kind, a span and a range of customers. Kinds and their spans:
    1 everyone's quarters of an hour of a day, 2 everyone's days of a month, 3 everyone's
    years (span 0); 4 who was active in each quarter of a day, by series, 5 on each day
    of a month, by series, 6 on each day of a month; 7 each customer's quarters of a
    month, 8 each customer's months of a year, over all series, 9 each customer's years
    (span 0); 10 who was active in each hour of a day.
    """

    def __new__(cls, batches: Sequence[bytes]) -> Compaction:
        """Raises ValueError where a batch is damaged."""
    @property
    def spans(self) -> list[tuple[int, int]]:
        """(kind, span) of what gets something new."""
    def plan(self, stored: Sequence[tuple[int, int, int, int, int]]) -> list[int]:
        """Chooses which stored segments are replaced; returns their places.

        `stored` are all segments of `spans`, as (kind, span, first customer, last
        customer, bytes)."""
    def merge(self, replaced: Sequence[bytes]) -> list[tuple[int, int, int, int, bytes]]:
        """The new segments, as (kind, span, first customer, last customer, packed).

        `replaced` are the contents of the planned places, in that order. Raises
        ValueError where one is damaged."""

def cells_of_events(
    timestamps_us: Buffer, costs_picocents: Buffer, customers: Buffer, series: Buffer
) -> bytes:
    """The packed cells of events, as `Group.cells` packs them: of each customer, quarter
    of an hour and series.

    The first two buffers are native i64, the others native i32. All are contiguous and
    must not change until the call returns. Raises ValueError where they do not fit.
    """

def cells_of_copy(payload: bytes) -> tuple[bytes, int]:
    """The same of rows (timestamp, cost, customer, series), none of them null, of
    PostgreSQL's binary COPY, with or without its header and trailer, and how many they
    are. Raises ValueError where it holds anything else."""

def cells_by_month(
    batches: Sequence[bytes], first_quarter: int
) -> tuple[list[tuple[int, bytes]], list[int]]:
    """(month, packed cells) of batches, and the places of those that are damaged, which
    are passed over. Cells before the first quarter, counted from 1970, are left out."""

def cells_before(packed: bytes, quarter: int) -> bytes:
    """The packed cells of earlier quarters. Raises ValueError where `packed` is damaged."""

def events_before(lists: Sequence[bytes], quarter: int) -> int:
    """How many events the cells of earlier quarters count, in packed lists. Raises
    ValueError where one is damaged."""

def merge_cells(lists: Sequence[bytes]) -> bytes:
    """Packed lists of cells as one, which add up. Raises ValueError where one is damaged."""

def is_sound_segment(
    kind: int, span: int, customer_first: int, customer_last: int, packed: bytes
) -> bool:
    """Whether a stored segment can be read and everything in it belongs to that kind,
    span and range of customers."""

def derive_segments(
    counted: Sequence[bytes], *, taken_back: Sequence[bytes]
) -> list[tuple[int, int, bytes]]:
    """(kind, span, packed list) of what segments hold; lists of a span add up.

    `counted` are packed cells of customers and quarters, of which those `taken_back`
    do not count. Raises ValueError where a list is damaged.
    """

def compare_segments(
    kind: int, stored: Sequence[bytes], expected: Sequence[bytes], *, differences_max: int
) -> tuple[int, int, list[tuple[int, str, int, int, int, int, int]]]:
    """Compares the sound segments of a span with what is expected.

    Returns how many cells either side has, how many differ, and of the first of those
    (customer number, bucket in words, series number, stored events, stored picocents,
    expected events, expected picocents). Where a segment says who was active, each
    customer counts as a cell, of one event. Raises ValueError where a list is damaged.
    """

def pack_segments(
    kind: int, span: int, lists: Sequence[bytes]
) -> list[tuple[int, int, int, int, bytes]]:
    """The segments that hold what packed lists add up to, as `Compaction.merge` returns
    them. Raises ValueError where a list is damaged."""

LEDGER_FACTS: Final[tuple[str, ...]]
"""What a `Ledger` adds up, as `column` of `LedgerTally` names it. A period's fact is
its own, and over periods they add up, but for these, which are of the end of a period:
subscriptions (the same in each, those of the whole span), active_subscriptions,
committed_subscriptions, mrr, committed_mrr, trial_mrr, trial_committed_mrr,
active_customers, churn_canceled, churn_base."""

@final
class LedgerQuestion:
    """Which periods and what of a ledger is asked for. It never changes."""

    def __new__(
        cls,
        *,
        bounds_us: Sequence[int],
        whole_bounds_us: Sequence[int],
        by_year: bool,
        customers: Sequence[int] | None = None,
        products: Sequence[str] | None = None,
        billing_types: Sequence[str] | None = None,
        facts: Sequence[str] | None = None,
        history: bool = True,
    ) -> LedgerQuestion:
        """Period i holds the times from `bounds_us[i]` up to, not including,
        `bounds_us[i + 1]`, in microseconds since 1970. `whole_bounds_us` say where the
        periods would begin and end if the span did not cut the first and the last;
        `by_year` whether they are years. Only what is of one of each list counts; None
        leaves nothing out. Facts that are not asked for, and the history, cost nothing;
        None asks for all facts.
        Raises ValueError where there is no period, bounds descend or do not belong
        together, or there is no such fact."""

@final
class LedgerTally:
    """What each group and period adds up to."""

    @property
    def groups(self) -> int: ...
    @property
    def slots(self) -> int:
        """How many numbers of each fact a group has."""
    def column(self, fact: str) -> list[int]:
        """The numbers of a fact, that of slot s of group g at `g * slots + s`. Raises
        ValueError where the question did not ask for it."""
    def history(self, fact: str) -> list[int]:
        """What of `revenue` or `net_revenue` lies before the first period, by group.
        Raises as `column` does."""

@final
class Ledger:
    """The orders and subscriptions of one organization, ready to be added up.

    Several threads may use it: additions wait for each other and for answers.
    """

    def __new__(cls) -> Ledger: ...
    @property
    def position(self) -> int:
        """The greatest record number that is in it, and all before it are; 0 at first."""
    @property
    def bytes(self) -> int:
        """Roughly how much memory it takes."""
    def add(
        self,
        entries: Sequence[
            tuple[
                int,
                int,
                int,
                str,
                str,
                str,
                str,
                int,
                int | str,
                int | str,
                int,
                int | str,
                int | str,
                int,
            ]
        ],
        subscriptions: Sequence[
            tuple[
                str,
                int,
                str,
                str,
                int | str,
                str,
                int,
                int,
                int | None,
                int | None,
                str,
                int | None,
                int | None,
                int | None,
            ]
        ],
        position: int,
    ) -> None:
        """Adds the records up to a position, all or none.

        Entries are (revenue_us, order_us, customer number or −1, product id, billing
        type, subscription id, currency, exchange_rate_e12, revenue, net revenue, orders,
        order revenue, net order revenue, 1 or −1 where it takes another one back),
        amounts in picocents of usd, as integers or their decimal digits. Subscriptions are
        (subscription id, customer number, product id, currency, amount in picocents,
        recurring interval, its count, started_us, trial_end_us, canceled_us, cancel reason,
        uncanceled_us, ends_us, ended_us), and replace what was known of the subscription.
        Nothing happens where the position is not beyond that of the ledger. Raises
        ValueError where a number has no meaning, OverflowError where one is too great.
        """
    def billed_products(self, billing_types: Sequence[str]) -> list[str]:
        """The products that have an order of one of the types or, where `recurring` is
        one of them, a subscription; no product is none of them."""
    def tally(
        self,
        question: LedgerQuestion,
        *,
        by: str = "",
        keys: Sequence[int | str] = (),
    ) -> LedgerTally:
        """Adds up what counts, by period and group: one of each customer number or product
        id in `keys`, and one more, the last, of all others. By nothing there are no keys
        and one group. Raises OverflowError where a sum has more than 127 bits, ValueError
        where the keys do not fit, MemoryError for too many groups."""
    def rank(
        self, question: LedgerQuestion, *, by: str
    ) -> tuple[list[int] | list[str], LedgerTally]:
        """Each customer number or product id of an entry or a subscription of the span, in
        ascending order, and its group in a tally of one slot: sums over the periods or,
        of facts of the end of a period, that of the last. What has no customer is left
        out. Raises as `tally` does."""
