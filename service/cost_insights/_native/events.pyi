"""From the bytes of a request to a batch of valid events."""

from collections.abc import Sequence
from typing import Final, final

from cost_insights._native.faults import Fault

__all__ = [
    "SYSTEM_EVENTS",
    "EventBatch",
    "Limits",
    "StreamedBatch",
    "decode_events",
    "decode_events_json",
    "decode_streamed",
    "is_blank",
]

SYSTEM_EVENTS: Final[frozenset[str]]
"""The names of events that report revenue, and are recorded instead of stored."""

@final
class Limits:
    """The limits of a request; each is a setting.

    Raises ValueError if `event_bytes_max` is over 1 GiB, which no column of
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
        """The faults of the events that are not in the batch, in order: by index, within
        an event by field. The first 1000 are kept and, if `accept_valid`, the first of
        each further event; `faults_total` counts all. A fault of the whole
        request is the only one, and the batch is empty."""
    @property
    def faults_total(self) -> int:
        """The number of faults found, including those that are not kept."""
    @property
    def request_fault(self) -> Fault | None:
        """The fault of the whole request, if it has one."""
    @property
    def faulty(self) -> int:
        """The number of events that are not in the batch because of `faults`."""
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
        of an event; see `known_parents` of `Commit`."""
    def without_customers(self, unknown: Sequence[int]) -> EventBatch:
        """The batch without the events of these places in `customer_ids`, which
        turn into faults `CUSTOMER_NOT_FOUND`, merged into `faults` in order.
        The lists of customers and series stay as they are."""
    def without_new_customers(self, new: Sequence[int], customers_max: int) -> EventBatch:
        """The batch without the events of these places in `external_customer_ids`, in the same
        way, with faults `TOO_MANY_CUSTOMERS`."""

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

def decode_events_json(
    body: bytes,
    *,
    organization_id: bytes,
    now_us: int,
    entropy: bytes,
    limits: Limits,
) -> EventBatch:
    """Reads and checks a body `{"events": [EVENT, ...], "accept_valid": false}`, where
    EVENT has the fields of `cost_insights.v1.NewEvent` as protobuf's JSON writes them.

    The checks are those of `decode_events`. What only JSON can say:

    * Fields are in snake_case or lowerCamelCase; unknown ones are ignored. The last of
      several values of a key wins, whole. Null is absent, but a fault as the `metadata`
      and inside of it. `member_id` is another name of `external_member_id`, which wins
      if both are given; of the fields for the customer, `external_customer_id` wins.
      `organization_id` is a fault: the access token decides.
    * An amount is a text, read exactly, or a number, whose digits are rounded half-even
      to 17 digits and 12 decimals. Numbers in metadata are doubles, as protobuf has
      them: whole numbers above 2^53 lose digits.
    * A timestamp is a text of RFC 3339 with an offset, or a number of seconds since
      1970, or of milliseconds if it is above 20,000,000,000. A second 60 is refused.
    * Half of a surrogate pair is a fault TEXT_MALFORMED of the text that holds it.
      A body that is no JSON is MALFORMED_REQUEST. A byte order mark is ignored.
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

def is_blank(text: str) -> bool:
    """Whether no character of the text can be seen: white space, control characters and
    other invisible characters. The empty text is blank."""
