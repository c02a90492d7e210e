"""The events that the metrics are measured on.

They are the beginning of an endless sequence that a seed and its last moment
determine: fifty thousand customers, of whom few cause most of the events, twenty
names, some of them calls of language models, spread evenly over one year and in
random order, as a backfill would send them. Everything that a request varies is
as long as in every other event of its kind, so that numpy writes the requests
faster than a service can take them.
"""

import functools
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp

from cost_insights.v1.cost_pb2 import Cost, Llm
from cost_insights.v1.event_pb2 import NewEvent
from cost_insights.v1.event_service_pb2 import IngestEventsRequest
from tests.benchmarks.bodies import KEY, SEED, Bodies
from tests.reference import costs as reference

CUSTOMERS = 50_000
CUSTOMER_EXPONENT = 0.8
"""The exponent of the power law: the customer of rank r causes events in proportion to r to the
minus this."""

YEAR_SECONDS = 365 * 86_400
REQUEST_EVENTS = 1_000
BLOCK_EVENTS = 100_000
"""The number of events that are drawn at a time."""

PART_BLOCKS = 10
"""The number of blocks that are held as requests at a time."""

UNITS_MIN, UNITS_MAX = 128, 16_383
"""The numbers that take two bytes as a varint."""

MICROSECOND_MIN = 268_436
"""The least part of a second whose nanoseconds take five bytes as a varint."""


@dataclass(frozen=True)
class Kind:
    """A name with the model behind it, and what each unit of it costs."""

    name: str
    picocents: int
    """The cost of each unit, or of each token that is read."""

    vendor: str = ""
    model: str = ""
    output_picocents: int = 0
    """The cost of each token that is written."""


_NAMES: Mapping[str, int] = {
    "agent.tool_call": 12_207_031,
    "api.request": 30_517,
    "audio.transcription": 1_666_666_667,
    "cache.read": 7_629,
    "cdn.transfer": 244_140,
    "database.query": 95_367,
    "email.sent": 100_000_000,
    "function.invocation": 16_666_667,
    "gpu.second": 2_777_777_778,
    "image.generation": 976_562_500,
    "queue.message": 40_000,
    "search.query": 5_000_000,
    "sms.sent": 1_953_125_000,
    "storage.gb_hour": 3_150_685,
    "vector.upsert": 400_000,
    "video.processing": 3_791_666_667,
}
_MODELS: Sequence[tuple[str, str, int, int]] = (
    ("openai", "gpt-4o", 250_000_000, 1_000_000_000),
    ("anthropic", "claude-haiku", 80_000_000, 400_000_000),
    ("mistral", "mistral-small", 10_500_000, 31_500_000),
)
_MODEL_NAMES = ("agent.step", "llm.chat", "llm.completion", "llm.summary")

KINDS: Sequence[Kind] = (
    *(Kind(name, picocents) for name, picocents in _NAMES.items()),
    *(
        Kind(name, picocents, vendor, model, output_picocents)
        for name in _MODEL_NAMES
        for vendor, model, picocents, output_picocents in _MODELS
    ),
)
"""Each is as frequent as every other."""


@dataclass(frozen=True)
class Columns:
    """The columns of some events that metrics depend on, as arrays of one length."""

    times_us: Any
    customers: Any
    costs_picocents: Any

    def take(self, chosen: Any) -> "Columns":
        """The rows at these places, or those for which the mask is true."""
        return Columns(self.times_us[chosen], self.customers[chosen], self.costs_picocents[chosen])


@dataclass(frozen=True)
class DataSet:
    """The first events of the sequence that ends at a time."""

    end_us: int
    events: int

    def __post_init__(self) -> None:
        if self.events % BLOCK_EVENTS or not self.events:
            raise ValueError(f"{self.events} events are not a multiple of {BLOCK_EVENTS}")

    def columns(self) -> Columns:
        """All events, the earliest first."""
        blocks = [_draw(self.end_us, number).columns() for number in self._blocks]
        unsorted = Columns(
            np.concatenate([block.times_us for block in blocks]),
            np.concatenate([block.customers for block in blocks]),
            np.concatenate([block.costs_picocents for block in blocks]),
        )
        return unsorted.take(np.argsort(unsorted.times_us))

    def parts(self) -> Iterator[Bodies]:
        """The requests that store all of it, some at a time."""
        for first in self._blocks[::PART_BLOCKS]:
            yield self._bodies(self._blocks[first : first + PART_BLOCKS])

    def bodies(self) -> Bodies:
        """The requests that store all of it."""
        return self._bodies(self._blocks)

    @property
    def _blocks(self) -> range:
        return range(self.events // BLOCK_EVENTS)

    def _bodies(self, blocks: range) -> Bodies:
        requests: list[bytes] = []
        costs: list[int] = []
        for number in blocks:
            drawn = _draw(self.end_us, number)
            encoded = drawn.encode()
            requests += (
                b"".join(encoded[start : start + REQUEST_EVENTS])
                for start in range(0, BLOCK_EVENTS, REQUEST_EVENTS)
            )
            each = drawn.costs_picocents.reshape(-1, REQUEST_EVENTS)
            costs += each.sum(axis=1).tolist()
        return Bodies(REQUEST_EVENTS, requests, costs)


@dataclass(frozen=True)
class _Drawn:
    """The events of a block, in the order in which they are sent."""

    kinds: Any
    customers: Any
    seconds: Any
    microseconds: Any
    units: Any
    """Or tokens that were read."""

    output_units: Any
    costs_picocents: Any

    def columns(self) -> Columns:
        return Columns(
            self.seconds * 1_000_000 + self.microseconds, self.customers, self.costs_picocents
        )

    def encode(self) -> list[bytes]:
        """Each event as it stands in a request."""
        encoded = np.empty(len(self.kinds), object)
        for number, template in enumerate(_templates()):
            (places,) = np.nonzero(self.kinds == number)
            encoded[places] = template.fill(
                {
                    "customer": _digits(self.customers[places], 5),
                    "cents": _digits(self.costs_picocents[places] // 10**12, 2),
                    "picocents": _digits(self.costs_picocents[places] % 10**12, 12),
                    "seconds": _varint(self.seconds[places], 5),
                    "nanoseconds": _varint(self.microseconds[places] * 1_000, 5),
                    "units": _double(self.units[places]),
                    "tokens": _varint(self.units[places], 2),
                    "output_tokens": _varint(self.output_units[places], 2),
                }
            )
        return encoded.tolist()  # type: ignore[no-any-return]


def _draw(end_us: int, block: int) -> _Drawn:
    chance = np.random.default_rng([SEED, block])
    kinds = chance.integers(0, len(KINDS), BLOCK_EVENTS)
    units, output_units = (
        np.minimum(UNITS_MIN + chance.exponential(mean, BLOCK_EVENTS), UNITS_MAX).astype(np.int64)
        for mean in (1_400, 350)
    )
    end_seconds = end_us // 1_000_000
    prices = np.array([kind.picocents for kind in KINDS])
    output_prices = np.array([kind.output_picocents for kind in KINDS])
    return _Drawn(
        kinds=kinds,
        customers=np.searchsorted(customer_shares(), chance.random(BLOCK_EVENTS), side="right"),
        seconds=chance.integers(end_seconds - YEAR_SECONDS, end_seconds, BLOCK_EVENTS),
        microseconds=chance.integers(MICROSECOND_MIN, 1_000_000, BLOCK_EVENTS),
        units=units,
        output_units=output_units,
        costs_picocents=units * prices[kinds] + output_units * output_prices[kinds],
    )


@functools.cache
def customer_shares() -> Any:
    """The share of each customer, added to those before it."""
    shares = np.cumsum(np.arange(1, CUSTOMERS + 1) ** -CUSTOMER_EXPONENT)
    return shares / shares[-1]


def written(picocents: int) -> str:
    """The cents, as requests and answers write them; likewise anything counted in 10⁻¹²."""
    return reference.format_amount(
        Decimal(picocents).scaleb(-reference.DECIMALS_MAX, reference.EXACT)
    )


def customer_name(customer: int) -> str:
    """The name in events of the customer of a rank, from 0."""
    return f"customer_{customer:05}"


@dataclass(frozen=True)
class _Template:
    """An event of a kind as it stands in a request, and where in it each slot begins."""

    encoded: bytes
    slots: Mapping[str, int]

    def fill(self, values: Mapping[str, Any]) -> list[bytes]:
        """Events with these bytes, a row each, in the slots; what has no slot is left out."""
        count = len(next(iter(values.values())))
        rows = np.tile(np.frombuffer(self.encoded, np.uint8), (count, 1))
        for slot, start in self.slots.items():
            rows[:, start : start + values[slot].shape[1]] = values[slot]
        return rows.view(f"V{len(self.encoded)}").ravel().tolist()  # type: ignore[no-any-return]


@functools.cache
def _templates() -> Sequence[_Template]:
    return [_template(kind) for kind in KINDS]


def _template(kind: Kind) -> _Template:
    # Values that stand nowhere else in the event, so that their places are found.
    time = Timestamp(seconds=2**34, nanos=999_999_999)
    units = 12_345.5
    event = NewEvent(
        name=kind.name,
        external_customer_id=customer_name(99_999),
        timestamp=time,
        external_id=KEY,
        cost=Cost(amount="99.999999999999", currency="usd"),
    )
    marks = {
        "customer": (b"customer_99999", len("customer_")),
        "cents": (b"99.999999999999", 0),
        "picocents": (b"99.999999999999", len("99.")),
        "seconds": (time.SerializeToString(), 1),
        "nanoseconds": (time.SerializeToString(), 7),
    }
    if kind.vendor:
        tokens = Llm(input_tokens=UNITS_MAX, output_tokens=UNITS_MAX - 1)
        event.llm.vendor, event.llm.model = kind.vendor, kind.model
        event.llm.MergeFrom(tokens)
        event.metadata.update({"feature": "chatbot", "streamed": True})
        marks["tokens"] = (tokens.SerializeToString(), 1)
        marks["output_tokens"] = (tokens.SerializeToString(), 4)
    else:
        event.metadata.update({"region": "eu-central-1", "units": units})
        marks["units"] = (struct.pack("<d", units), 0)
    encoded = IngestEventsRequest(events=[event]).SerializeToString(deterministic=True)
    assert all(encoded.count(mark) == 1 for mark, _ in marks.values())
    return _Template(
        encoded, {slot: encoded.index(mark) + into for slot, (mark, into) in marks.items()}
    )


def _digits(values: Any, width: int) -> Any:
    """Decimal digits, a row for each value."""
    powers = 10 ** np.arange(width - 1, -1, -1)
    return (values[:, None] // powers % 10 + ord("0")).astype(np.uint8)


def _varint(values: Any, width: int) -> Any:
    """Varints of that many bytes, a row for each value."""
    groups = values[:, None] >> (7 * np.arange(width)) & 0x7F
    groups[:, :-1] |= 0x80
    return groups.astype(np.uint8)


def _double(values: Any) -> Any:
    """Doubles as a message holds them, a row for each value."""
    return values.astype("<f8").view(np.uint8).reshape(-1, 8)
