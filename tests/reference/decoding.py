"""The slow twin of the native decoder: generated protobuf classes and plain checks.

It takes a message that protobuf has parsed and says which faults it has, or what
is stored of it. It imports nothing of the product but the generated messages.
"""

import hashlib
import json
import math
import re
import unicodedata
import uuid
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import struct_pb2

from cost_insights.v1 import event_pb2, event_service_pb2
from tests.reference import costs as reference

TOKENS_MAX = 2**53
ALLOWED = "number, boolean, text"
UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

# The years 1 to 9999.
SECONDS_MIN = -62_135_596_800
SECONDS_MAX = 253_402_300_799


HAVE_INK = {*"\u06dd\u070f\u08e2\U000110bd\U000110cd\u0890\u0891"} | {
    chr(code) for code in (*range(0x600, 0x606), *range(0x13430, 0x13440))
}
"""Format characters that can be seen, or that change others which can."""

HAVE_NO_INK = {*"\u034f\u115f\u1160\u17b4\u17b5\u180f\u2065\u2800\u3164\uffa0"} | {
    chr(code)
    for start, stop in ((0x180B, 0x180E), (0xFE00, 0xFE10), (0xFFF0, 0xFFF9), (0xE0000, 0xE1000))
    for code in range(start, stop)
}
"""Characters of other categories that cannot be seen."""


def is_blank(text: str) -> bool:
    """Whether no character can be seen, by the categories that Python knows."""
    return all(
        character in HAVE_NO_INK
        or (
            unicodedata.category(character) in {"Cc", "Cf", "Zs", "Zl", "Zp"}
            and character not in HAVE_INK
        )
        for character in text
    )


@dataclass(frozen=True)
class Limits:
    """The limits of a request."""

    events_max: int = 10_000
    event_bytes_max: int = 32_768
    metadata_keys_max: int = 128
    metadata_key_chars_max: int = 128
    metadata_text_chars_max: int = 2_000
    clock_skew_us: int = 60_000_000


@dataclass(frozen=True, order=True)
class Fault:
    """The place and the reason of a fault; words and values are checked by examples."""

    index: int
    path: str
    reason: str


@dataclass
class Stored:
    """The parts of a valid event that are stored."""

    series: tuple[str, str, str, str]
    customer: str | bytes
    timestamp_us: int
    cost_picocents: int | None
    parent: str | None
    external_id: str | None
    external_member_id: str | None
    llm: dict[str, Any] | None
    metadata: dict[str, Any]
    timestamp_given: bool

    @property
    def content(self) -> tuple[object, ...]:
        """The content that two events with one external id must share to be one and the same."""
        return (
            self.series,
            self.customer,
            self.timestamp_us if self.timestamp_given else None,
            self.cost_picocents,
            self.parent,
            self.external_member_id,
            None if self.llm is None else canonical(self.llm),
            canonical(self.metadata),
        )


@dataclass
class Checker:
    """Checks one event and collects its faults."""

    index: int
    now_us: int
    organization_id: bytes
    limits: Limits
    faults: list[Fault] = field(default_factory=list)

    def fault(self, path: str, reason: str) -> None:
        """Notes a fault of the event."""
        self.faults.append(Fault(self.index, f"events[{self.index}].{path}", reason))

    def text(
        self, path: str, text: str, chars_max: int, *, required: bool, visible: bool = False
    ) -> str:
        """Checks a text."""
        if not text:
            if required:
                self.fault(path, "FIELD_REQUIRED")
        elif "\0" in text:
            self.fault(path, "TEXT_MALFORMED")
        elif visible and is_blank(text):
            self.fault(path, "FIELD_REQUIRED")
        elif len(text) > chars_max:
            self.fault(path, "TEXT_TOO_LONG")
        return text

    def event(self, sent: event_pb2.NewEvent) -> Stored:
        """Checks everything; what it returns counts only where there is no fault."""
        name = self.text("name", sent.name, 128, required=True, visible=True)
        customer = self.customer(sent)
        timestamp_us = self.timestamp(sent)
        external_id = self.text("external_id", sent.external_id, 256, required=False)
        faults = len(self.faults)
        parent = self.text("parent_id", sent.parent_id, 256, required=False)
        well_formed = len(self.faults) == faults
        if well_formed and parent and external_id and self.is_self(parent, external_id):
            self.fault("parent_id", "PARENT_IS_SELF")
        member = self.text("external_member_id", sent.external_member_id, 256, required=False)
        cost = self.cost(sent)
        vendor, model, llm = self.llm(sent)
        product_id = self.product_id(sent)
        metadata = self.metadata(sent.metadata)
        if not self.faults:
            size = len(canonical(metadata)) + (0 if llm is None else len(canonical(llm)))
            if size > self.limits.event_bytes_max:
                self.fault("metadata", "EVENT_TOO_LARGE")
        return Stored(
            series=(name, vendor, model, product_id),
            customer=customer,
            timestamp_us=timestamp_us,
            cost_picocents=cost,
            parent=parent or None,
            external_id=external_id or None,
            external_member_id=member or None,
            llm=llm,
            metadata=metadata,
            timestamp_given=sent.HasField("timestamp"),
        )

    def customer(self, sent: event_pb2.NewEvent) -> str | bytes:
        """The UUID of a customer, or the caller's own identifier."""
        which = sent.WhichOneof("customer")
        if which is None:
            self.fault("external_customer_id", "FIELD_REQUIRED")
            return ""
        text: str = getattr(sent, which)
        if which == "customer_id" and UUID.fullmatch(text):
            return uuid.UUID(text).bytes
        return self.text(which, text, 256, required=True, visible=True)

    def timestamp(self, sent: event_pb2.NewEvent) -> int:
        """Microseconds since 1970."""
        if not sent.HasField("timestamp"):
            return self.now_us
        seconds, nanos = sent.timestamp.seconds, sent.timestamp.nanos
        if seconds == nanos == 0:
            self.fault("timestamp", "TIMESTAMP_ZERO")
            return 0
        if not (SECONDS_MIN <= seconds <= SECONDS_MAX and 0 <= nanos <= 999_999_999):
            self.fault("timestamp", "TIMESTAMP_OUT_OF_RANGE")
            return 0
        timestamp_us = seconds * 1_000_000 + nanos // 1_000
        if timestamp_us > self.now_us + self.limits.clock_skew_us:
            self.fault("timestamp", "TIMESTAMP_IN_FUTURE")
        return timestamp_us

    def is_self(self, parent: str, external_id: str) -> bool:
        """Whether a parent is the event itself."""
        own = event_id(self.organization_id, external_id)
        return parent == external_id or (
            UUID.fullmatch(parent) is not None and uuid.UUID(parent).bytes == own
        )

    def cost(self, sent: event_pb2.NewEvent) -> int | None:
        """Picocents, from either of the two places."""
        cost = None
        if sent.HasField("cost"):
            cost = self.amount_text("cost.amount", sent.cost.amount)
            self.currency("cost.currency", sent.cost.currency)
        if "_cost" not in sent.metadata.fields:
            return cost
        if sent.HasField("cost"):
            self.fault("metadata._cost", "FIELDS_CONFLICT")
            return cost
        value = sent.metadata.fields["_cost"]
        if value.WhichOneof("kind") != "struct_value":
            self.fault("metadata._cost", "TYPE_UNSUPPORTED")
            return None
        return self.cost_struct(value.struct_value.fields)

    def cost_struct(self, fields: Mapping[str, struct_pb2.Value]) -> int | None:
        """Picocents, of the object in the metadata."""
        cost = None
        path = "metadata._cost.amount"
        match fields["amount"].WhichOneof("kind") if "amount" in fields else "absent":
            case "absent":
                self.fault(path, "FIELD_REQUIRED")
            case "string_value":
                cost = self.amount_text(path, fields["amount"].string_value)
            case "number_value":
                cost = self.amount(path, reference.round_amount, fields["amount"].number_value)
            case _:
                self.fault(path, "TYPE_UNSUPPORTED")
        path = "metadata._cost.currency"
        if "currency" not in fields:
            self.fault(path, "FIELD_REQUIRED")
        elif fields["currency"].WhichOneof("kind") != "string_value":
            self.fault(path, "TYPE_UNSUPPORTED")
        else:
            self.currency(path, fields["currency"].string_value)
        return cost

    def amount_text(self, path: str, text: str) -> int | None:
        """Picocents, of a text that may be absent."""
        if self.text(path, text, 2**31, required=True):
            return self.amount(path, reference.parse_amount, text)
        return None

    def amount(self, path: str, read: Any, value: Any) -> int | None:
        """Picocents."""
        if isinstance(value, str) and "\0" in value:
            return None  # noted already
        try:
            return reference.picocents(read(value))
        except reference.RefusedError as refusal:
            self.fault(path, str(refusal))
            return None

    def product_id(self, sent: event_pb2.NewEvent) -> str:
        """The product, from either of the two places."""
        field = self.text("product_id", sent.product_id, 128, required=False)
        value = sent.metadata.fields.get("product_id")
        named = "" if value is None else value.string_value
        if value is not None and value.WhichOneof("kind") == "number_value":
            number = value.number_value
            named = str(int(number)) if number.is_integer() and abs(number) < 2**53 else ""
        if not 1 <= len(named) <= 128:
            return field
        if sent.product_id:
            self.fault("metadata.product_id", "FIELDS_CONFLICT")
        return named

    def currency(self, path: str, currency: str) -> None:
        """Checks a currency."""
        if not currency:
            self.fault(path, "FIELD_REQUIRED")
        elif "\0" in currency:
            self.fault(path, "TEXT_MALFORMED")
        elif not (currency.isascii() and currency.lower() == "usd"):
            self.fault(path, "CURRENCY_UNSUPPORTED")

    def llm(self, sent: event_pb2.NewEvent) -> tuple[str, str, dict[str, Any] | None]:
        """Vendor, model and the rest, from either of the two places."""
        found: tuple[str, str, dict[str, Any] | None] = ("", "", None)
        if sent.HasField("llm"):
            found = self.llm_message(sent.llm)
        if "_llm" not in sent.metadata.fields:
            return found
        if sent.HasField("llm"):
            self.fault("metadata._llm", "FIELDS_CONFLICT")
            return found
        value = sent.metadata.fields["_llm"]
        if value.WhichOneof("kind") != "struct_value":
            self.fault("metadata._llm", "TYPE_UNSUPPORTED")
            return found
        return self.llm_struct(value.struct_value.fields)

    def llm_message(self, llm: Any) -> tuple[str, str, dict[str, Any]]:
        """The vendor, the model and the rest of the message."""
        vendor = self.text("llm.vendor", llm.vendor, 128, required=True, visible=True)
        model = self.text("llm.model", llm.model, 128, required=True, visible=True)
        rest: dict[str, Any] = {}
        for name in ("input_tokens", "output_tokens", "total_tokens", "cached_input_tokens"):
            if name == "cached_input_tokens" and not llm.HasField(name):
                continue
            rest[name] = getattr(llm, name)
            if not 0 <= rest[name] <= TOKENS_MAX:
                self.fault(f"llm.{name}", "NUMBER_OUT_OF_RANGE")
        for name in ("prompt", "response"):
            if llm.HasField(name):
                rest[name] = self.text(f"llm.{name}", getattr(llm, name), 2**31, required=False)
        return vendor, model, rest

    def llm_struct(self, fields: Mapping[str, struct_pb2.Value]) -> tuple[str, str, dict[str, Any]]:
        """The vendor, the model and the rest of the object in the metadata."""
        rest: dict[str, Any] = {}
        vendor, model = (self.llm_text(fields, name) for name in ("vendor", "model"))
        for name in ("input_tokens", "output_tokens", "total_tokens"):
            rest[name] = self.tokens(fields[name], name) if name in fields else 0
        for name in ("cached_input_tokens", "prompt", "response"):
            kind = fields[name].WhichOneof("kind") if name in fields else "null_value"
            path = f"metadata._llm.{name}"
            if kind == "null_value":
                continue
            if name == "cached_input_tokens":
                rest[name] = self.tokens(fields[name], name)
            elif kind == "string_value":
                rest[name] = self.text(path, fields[name].string_value, 2**31, required=False)
            else:
                self.fault(path, "TYPE_UNSUPPORTED")
        return vendor, model, rest

    def llm_text(self, fields: Mapping[str, struct_pb2.Value], name: str) -> str:
        """A text that must be there."""
        path = f"metadata._llm.{name}"
        if name not in fields:
            self.fault(path, "FIELD_REQUIRED")
        elif fields[name].WhichOneof("kind") != "string_value":
            self.fault(path, "TYPE_UNSUPPORTED")
        else:
            text = fields[name].string_value
            return self.text(path, text, 128, required=True, visible=True)
        return ""

    def tokens(self, value: struct_pb2.Value, name: str) -> int:
        """A whole number of tokens."""
        number = value.number_value
        if value.WhichOneof("kind") != "number_value":
            self.fault(f"metadata._llm.{name}", "TYPE_UNSUPPORTED")
        elif math.isfinite(number) and number.is_integer() and 0 <= number <= TOKENS_MAX:
            return int(number)
        else:
            self.fault(f"metadata._llm.{name}", "NUMBER_OUT_OF_RANGE")
        return 0

    def metadata(self, sent: struct_pb2.Struct) -> dict[str, Any]:
        """Everything but the two special keys."""
        kept = {key: value for key, value in sent.fields.items() if key not in {"_cost", "_llm"}}
        if len(kept) > self.limits.metadata_keys_max:
            self.fault("metadata", "METADATA_TOO_MANY_KEYS")
        values: dict[str, Any] = {}
        for key, value in kept.items():
            path = path_of(key)
            self.text(path, key, self.limits.metadata_key_chars_max, required=True)
            match value.WhichOneof("kind"):
                case "number_value":
                    values[key] = value.number_value
                    if not math.isfinite(value.number_value):
                        self.fault(path, "NUMBER_OUT_OF_RANGE")
                case "bool_value":
                    values[key] = value.bool_value
                case "string_value":
                    values[key] = self.text(
                        path, value.string_value, self.limits.metadata_text_chars_max, required=True
                    )
                case _:
                    self.fault(path, "TYPE_UNSUPPORTED")
        return values


def path_of(key: str) -> str:
    """The path of a metadata key."""
    if re.fullmatch(r"[A-Za-z0-9_]+", key):
        return f"metadata.{key}"
    return f"metadata[{json.dumps(key, ensure_ascii=False)}]"


def event_id(organization_id: bytes, external_id: str) -> bytes:
    """The id of the event with that external id."""
    return _digest_id(organization_id + external_id.encode())


def customer_id(organization_id: bytes, external_id: str) -> bytes:
    """The id of the customer with that external id."""
    return _digest_id(organization_id + b"\0customer\0" + external_id.encode())


def row_checksum(row: Sequence[object]) -> int:
    """The checksum of a stored event, of its columns but the checksum; numbers of the columns that
    hold 32 bits come as such. A signature that is null, at the end, is left out."""
    encoded = b""
    for place, value in enumerate(row if row[-1] is not None else row[:-1]):
        if value is None:
            encoded += (-1).to_bytes(4, signed=True)
            continue
        if isinstance(value, int):
            content = value.to_bytes(4 if place in {1, 2, 3} else 8, signed=True)
        else:
            content = value if isinstance(value, bytes) else str(value).encode()
        encoded += len(content).to_bytes(4) + content
    number = zlib.crc32(encoded)
    return number - (number >> 31 << 32)


def metadata_signature(values: Mapping[str, Any]) -> int:
    """The signature of metadata: four bits for each member, four times six bits of the CRC-32 of
    its canonical JSON."""
    signature = 0
    for key, value in values.items():
        hashed = zlib.crc32(canonical({key: value})[1:-1])
        for place in range(4):
            signature |= 1 << (hashed >> 6 * place & 63)
    return signature - (signature >> 63 << 64)


def _digest_id(content: bytes) -> bytes:
    """A UUID of version 8 made of a digest."""
    digest = bytearray(hashlib.sha256(content).digest()[:16])
    digest[6] = 0x80 | digest[6] & 0x0F
    digest[8] = 0x80 | digest[8] & 0x3F
    return bytes(digest)


def canonical(values: Mapping[str, Any]) -> bytes:
    """JSON as it is stored: keys in the order of their bytes, whole numbers as integers."""
    plain = {
        key: int(value) if isinstance(value, float) and value.is_integer() else value
        for key, value in sorted(values.items(), key=lambda item: item[0].encode())
    }
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode()


def check(
    request: event_service_pb2.IngestEventsRequest,
    *,
    organization_id: bytes,
    now_us: int,
    limits: Limits,
) -> tuple[list[Fault], list[Stored]]:
    """Every fault of a request in order, and what is stored of its valid events."""
    if len(request.events) > limits.events_max:
        return [Fault(-1, "events", "TOO_MANY_EVENTS")], []
    faults: list[Fault] = []
    stored: list[Stored] = []
    for index, sent in enumerate(request.events):
        checker = Checker(index, now_us, organization_id, limits)
        event = checker.event(sent)
        faults += checker.faults
        if not checker.faults:
            stored.append(event)
    return faults, stored
