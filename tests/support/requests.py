"""Requests with events: drawn at random, valid or not, and as bytes on the wire."""

import uuid
from typing import Any

from google.protobuf import struct_pb2
from google.protobuf.unknown_fields import UnknownFieldSet
from hypothesis import strategies as st

from cost_insights.v1 import event_pb2
from tests.reference import decoding

ORGANIZATION = uuid.UUID("11111111-2222-8333-8444-555555555555").bytes

NOW_US = 1_795_435_694_123_456
ENTROPY = bytes(range(32))

# Small, so that generated events meet them.
LIMITS = decoding.Limits(
    events_max=6,
    event_bytes_max=1_024,
    metadata_keys_max=3,
    metadata_key_chars_max=8,
    metadata_text_chars_max=12,
    clock_skew_us=60_000_000,
)

# What values are drawn from: valid ones mostly, and each kind of invalid one.

SHORT = st.one_of(
    st.sampled_from(["a", "llm.inference", "user_123", "Größe", "日本語", "🤖", " ", "usd"]),
    st.text(max_size=6),
)

UUIDS = st.sampled_from(
    [
        "1dbfc517-0bbf-4301-9ba8-555ca42b9737",
        "1DBFC517-0BBF-4301-9BA8-555CA42B9737",
        "01890a5d-ac96-774b-bcce-b302099a8057",
        "01890A5D-AC96-774B-BCCE-B302099A8057",
        str(uuid.UUID(bytes=decoding.event_id(ORGANIZATION, "a"))),
        "11111111-2222-8333-8444-555555555555",
        "11111111-2222-8333-c444-555555555555",  # not of that variant
        "{1dbfc517-0bbf-4301-9ba8-555ca42b9737}",
        "1dbfc5170bbf43019ba8555ca42b9737",
        "1dbfc517-0bbf-4301-9ba8-555ca42b973_",
    ]
)

LONG = st.sampled_from(["x" * 128, "x" * 129, "ß" * 128, "ß" * 129, "🤖" * 256, "🤖" * 257])
TEXTS = st.one_of(SHORT, SHORT, SHORT, SHORT, UUIDS, LONG, st.just(""), st.just("a\0b"))

AMOUNTS = st.one_of(
    st.sampled_from(
        [
            "0.025",
            "45.5",
            "-0.000000000001",
            "9000000",
            "9000000.01",
            "1e-13",
            " 1 ",
            "NaN",
            "",
            "a\0b",
        ]
    ),
    st.decimals(-10, 10, places=12).map(str),
)

DOUBLES = st.one_of(
    st.sampled_from([0.025, 0.1 + 0.2, 1e-7, 1e-13, 9e6, 9000000.01, 0.0, -0.0, 1e300, 2.0**53]),
    st.floats(),
    st.integers(-5, 5).map(float),
)

TOKENS = st.one_of(
    st.integers(0, 1000), st.sampled_from([-1, 2**53, 2**53 + 1, -(2**63), 2**63 - 1])
)

KEYS = st.one_of(
    st.sampled_from(
        ["_cost", "_llm", "product_id", "model", "tokens", "k_1", "schlüssel", "a b", 'q"', "a.b"]
    ),
    st.sampled_from(["", "x" * 8, "x" * 9, "a\0"]),
    st.text(max_size=4),
)


def optional(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A value or nothing."""
    return st.one_of(st.none(), strategy)


TIMESTAMPS = st.one_of(
    st.fixed_dictionaries(
        {
            "seconds": st.sampled_from(
                [
                    0,
                    -1,
                    NOW_US // 1_000_000,
                    NOW_US // 1_000_000 + 60,
                    NOW_US // 1_000_000 + 61,
                    decoding.SECONDS_MIN,
                    decoding.SECONDS_MIN - 1,
                    decoding.SECONDS_MAX,
                    decoding.SECONDS_MAX + 1,
                    2**63 - 1,
                    -(2**63),
                ]
            ),
            "nanos": st.sampled_from(
                [0, 1, 999, 1_000, 123_456_000, 123_456_999, 123_457_000, 999_999_999, 10**9, -1]
            ),
        }
    ),
    st.fixed_dictionaries({"seconds": st.integers(0, 2**31), "nanos": st.integers(0, 10**9 - 1)}),
)


@st.composite
def structs(draw: st.DrawFn) -> dict[str, Any]:
    """The metadata, as JSON."""
    scalars = st.one_of(DOUBLES, st.booleans(), TEXTS, SHORT)
    nested = st.one_of(st.none(), st.just([1]), st.just({"a": {"b": [None]}}))
    fields = draw(st.dictionaries(KEYS, st.one_of(scalars, scalars, scalars, nested), max_size=5))
    if draw(st.booleans()):
        fields["_cost"] = draw(
            st.one_of(
                st.fixed_dictionaries(
                    {"amount": st.one_of(AMOUNTS, DOUBLES), "currency": CURRENCY}
                ),
                st.dictionaries(
                    st.sampled_from(["amount", "currency", "other"]), st.one_of(scalars, nested)
                ),
            )
        )
    if draw(st.booleans()):
        numbers = st.one_of(TOKENS.map(float), DOUBLES)
        valid = {"vendor": SHORT, "model": SHORT}
        fields["_llm"] = draw(
            st.one_of(
                st.fixed_dictionaries(
                    valid,
                    optional={
                        "input_tokens": numbers,
                        "output_tokens": numbers,
                        "total_tokens": st.integers(0, 9).map(float),
                        "cached_input_tokens": optional(numbers),
                        "prompt": optional(TEXTS),
                        "response": optional(TEXTS),
                        "extra": st.none(),
                    },
                ),
                st.dictionaries(
                    st.sampled_from(["vendor", "model", "input_tokens", "prompt"]),
                    st.one_of(scalars, nested),
                ),
            )
        )
    return fields


CURRENCY = st.sampled_from(["usd", "usd", "USD", "Usd", "eur", "", "xusdx", " usd", "usd\0"])


@st.composite
def new_events(draw: st.DrawFn) -> event_pb2.NewEvent:
    """An event, valid or not."""
    event = event_pb2.NewEvent(name=draw(TEXTS))
    match draw(st.sampled_from(["external", "external", "id", "none"])):
        case "external":
            event.external_customer_id = draw(TEXTS)
        case "id":
            event.customer_id = draw(st.one_of(UUIDS, TEXTS))
    if stamp := draw(optional(TIMESTAMPS)):
        event.timestamp.seconds = stamp["seconds"]
        event.timestamp.nanos = stamp["nanos"]
    for name in ("external_id", "external_member_id", "product_id"):
        setattr(event, name, draw(st.one_of(st.just(""), SHORT, TEXTS)))
    event.parent_id = draw(st.one_of(st.just(""), TEXTS, UUIDS))
    if draw(st.booleans()):
        event.cost.SetInParent()
        event.cost.amount = draw(AMOUNTS)
        event.cost.currency = draw(CURRENCY)
    if draw(st.integers(0, 3)) == 0:
        event.llm.SetInParent()
        event.llm.vendor = draw(TEXTS)
        event.llm.model = draw(TEXTS)
        event.llm.input_tokens = draw(TOKENS)
        for name, strategy in (
            ("cached_input_tokens", TOKENS),
            ("prompt", TEXTS),
            ("response", TEXTS),
        ):
            if (value := draw(optional(strategy))) is not None:
                setattr(event.llm, name, value)
    if draw(st.booleans()):
        event.metadata.update(draw(structs()))
        if not draw(st.integers(0, 9)):
            # A value of no kind at all, which JSON cannot say.
            event.metadata.fields[draw(KEYS)].Clear()
    return event


# Bytes on the wire


def varint(number: int) -> bytes:
    """A number in base 128."""
    number &= 2**64 - 1
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def tagged(number: int, wire: int, content: bytes) -> bytes:
    """A field of the wire type."""
    if wire == 2:
        content = varint(len(content)) + content
    return varint(number << 3 | wire) + content


def has_set_aside_entries(struct: struct_pb2.Struct) -> bool:
    """Whether the parser in use took a map entry for an unknown field.

    It does so with an entry that holds an unknown field itself, unlike what
    protobuf says of maps and unlike the parsers of other languages.
    """
    unknown: Any = UnknownFieldSet(struct)
    return any(one.field_number == 1 for one in unknown) or any(
        has_set_aside_entries(value.struct_value) for value in struct.fields.values()
    )
