"""A decoder of requests in Python that does what the native one does.

Generated classes read the request, whose parser is C; a loop makes all the checks and builds all
the columns that the native decoder builds. It takes the short cuts that Python offers, and reports
only the place and the kind of a fault.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal, InvalidOperation
from typing import Any

from google.protobuf import struct_pb2

from cost_insights.v1 import cost_pb2, event_pb2, event_service_pb2

EVENTS_MAX = 10_000
EVENT_BYTES_MAX = 32_768
METADATA_KEYS_MAX = 128
METADATA_KEY_CHARS_MAX = 128
METADATA_TEXT_CHARS_MAX = 2_000
CLOCK_SKEW_US = 60_000_000

CENTS_MAX = Decimal(9_000_000)
PICOCENT = Decimal("1e-12")
EXACT = Context(prec=200)
AMOUNT = re.compile(r"[ \t\r\n]*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[ \t\r\n]*")
AMOUNT_CHARS_MAX = 128
UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
TOKENS = range(2**53 + 1)
SECONDS = range(-62_135_596_800, 253_402_300_800)
NANOS = range(1_000_000_000)
VISIBLE = re.compile(
    r"[^\s\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f-\u1160\u17b4-\u17b5\u180b-\u180f\u200b-\u200f"
    r"\u202a-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""A character that can be seen."""

Row = tuple[object, ...]

_json = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode


@dataclass
class Decoded:
    """The valid events of a request, as rows of the table `event` without the organization."""

    rows: list[Row] = field(default_factory=list)
    faults: list[tuple[int, str, str]] = field(default_factory=list)
    customers: dict[str | bytes, int] = field(default_factory=dict)
    series: dict[tuple[str, str, str, str], int] = field(default_factory=dict)


class FaultError(Exception):
    """The path and the reason of a fault."""


def decode(request: bytes, *, organization_id: bytes, now_us: int, entropy: bytes) -> Decoded:
    """Reads and checks the bytes of an `IngestEventsRequest`."""
    events = event_service_pb2.IngestEventsRequest.FromString(request).events
    context = _Context(organization_id, now_us, entropy)
    decoded = Decoded()
    if len(events) > EVENTS_MAX:
        decoded.faults.append((-1, "events", "TOO_MANY_EVENTS"))
        return decoded
    for index, event in enumerate(events):
        try:
            decoded.rows.append(_row(decoded, context, index, event))
        except FaultError as fault:
            decoded.faults.append((index, *fault.args))
    return decoded


@dataclass(frozen=True)
class _Context:
    organization_id: bytes
    now_us: int
    entropy: bytes


def _row(decoded: Decoded, context: _Context, index: int, event: event_pb2.NewEvent) -> Row:
    name = _required("name", event.name, 128)
    customer = _customer(event)
    now_us = context.now_us
    given_us = _timestamp_us(event, now_us) if event.HasField("timestamp") else None
    external_id = _text("external_id", event.external_id, 256)
    own_id = _id_of(context.organization_id, external_id) if external_id else None
    parent = _text("parent_id", event.parent_id, 256)
    parent_id = _parent_id(context, parent, external_id, own_id) if parent else None
    member = _text("external_member_id", event.external_member_id, 256)
    product_id = _text("product_id", event.product_id, 128)
    cost = _cost(event.cost) if event.HasField("cost") else None
    vendor, model, llm = _llm(event.llm) if event.HasField("llm") else ("", "", None)
    fields: Mapping[str, Any] = event.metadata.fields if event.HasField("metadata") else {}
    if "_cost" in fields:
        if cost is not None:
            raise FaultError("metadata._cost", "FIELDS_CONFLICT")
        cost = _metadata_cost(fields["_cost"])
    if "_llm" in fields:
        if llm is not None:
            raise FaultError("metadata._llm", "FIELDS_CONFLICT")
        vendor, model, llm = _metadata_llm(fields["_llm"])
    if "product_id" in fields and 1 <= len(named := _metadata_product(fields["product_id"])) <= 128:
        if product_id:
            raise FaultError("metadata.product_id", "FIELDS_CONFLICT")
        product_id = named
    llm_json = "" if llm is None else _json(llm)
    metadata_json = _metadata_json(fields)
    size = len(metadata_json) + len(llm_json)
    # Bytes count, not characters, which matters only near the limit.
    if 4 * size > EVENT_BYTES_MAX < len((metadata_json + llm_json).encode()):
        raise FaultError("metadata", "EVENT_TOO_LARGE")
    digest = 0
    if own_id is not None:
        texts = (vendor, model, llm_json, product_id, parent, member, metadata_json)
        digest = _digest(name, customer, (given_us, cost), texts)
    return (
        own_id or _new_id(index, context),
        decoded.series.setdefault((name, vendor, model, product_id), len(decoded.series)),
        decoded.customers.setdefault(customer, len(decoded.customers)),
        now_us if given_us is None else given_us,
        cost,
        digest,
        parent_id,
        external_id or None,
        member or None,
        llm_json or None,
        metadata_json,
    )


def _required(path: str, text: str, chars_max: int) -> str:
    if "\0" not in text and not VISIBLE.search(text):
        raise FaultError(path, "FIELD_REQUIRED")
    return _text(path, text, chars_max)


def _filled(path: str, text: str, chars_max: int) -> str:
    if not text:
        raise FaultError(path, "FIELD_REQUIRED")
    return _text(path, text, chars_max)


def _text(path: str, text: str, chars_max: int) -> str:
    if "\0" in text:
        raise FaultError(path, "TEXT_MALFORMED")
    if len(text) > chars_max:
        raise FaultError(path, "TEXT_TOO_LONG")
    return text


def _customer(event: event_pb2.NewEvent) -> str | bytes:
    which = event.WhichOneof("customer")
    if which == "external_customer_id":
        return _required(which, event.external_customer_id, 256)
    if which == "customer_id":
        text = _required(which, event.customer_id, 256)
        return bytes.fromhex(text.replace("-", "")) if UUID.fullmatch(text) else text
    raise FaultError("external_customer_id", "FIELD_REQUIRED")


def _parent_id(context: _Context, parent: str, external_id: str, own_id: bytes | None) -> bytes:
    given = bytes.fromhex(parent.replace("-", "")) if UUID.fullmatch(parent) else None
    if parent == external_id or (given is not None and given == own_id):
        raise FaultError("parent_id", "PARENT_IS_SELF")
    return given or _id_of(context.organization_id, parent)


def _timestamp_us(event: event_pb2.NewEvent, now_us: int) -> int:
    seconds, nanos = event.timestamp.seconds, event.timestamp.nanos
    if seconds == nanos == 0:
        raise FaultError("timestamp", "TIMESTAMP_ZERO")
    if seconds not in SECONDS or nanos not in NANOS:
        raise FaultError("timestamp", "TIMESTAMP_OUT_OF_RANGE")
    timestamp_us = seconds * 1_000_000 + nanos // 1_000
    if timestamp_us > now_us + CLOCK_SKEW_US:
        raise FaultError("timestamp", "TIMESTAMP_IN_FUTURE")
    return timestamp_us


def _cost(cost: cost_pb2.Cost) -> int:
    _currency("cost.currency", cost.currency)
    return _amount("cost.amount", cost.amount)


def _metadata_cost(value: struct_pb2.Value) -> int:
    path = "metadata._cost"
    fields = _object(path, value)
    if "amount" not in fields or "currency" not in fields:
        raise FaultError(path, "FIELD_REQUIRED")
    if fields["currency"].WhichOneof("kind") != "string_value":
        raise FaultError(path, "TYPE_UNSUPPORTED")
    _currency(path, fields["currency"].string_value)
    amount = fields["amount"]
    kind = amount.WhichOneof("kind")
    if kind == "number_value":
        return _rounded(path, amount.number_value)
    if kind == "string_value":
        return _amount(path, amount.string_value)
    raise FaultError(path, "TYPE_UNSUPPORTED")


def _amount(path: str, text: str) -> int:
    if len(_filled(path, text, EVENT_BYTES_MAX)) > AMOUNT_CHARS_MAX or not AMOUNT.fullmatch(text):
        raise FaultError(path, "AMOUNT_MALFORMED")
    try:
        cents = Decimal(text)
    except InvalidOperation:
        raise FaultError(path, "AMOUNT_OUT_OF_RANGE") from None
    if abs(cents) > CENTS_MAX:
        raise FaultError(path, "AMOUNT_OUT_OF_RANGE")
    _, digits, exponent = cents.normalize(EXACT).as_tuple()
    if len(digits) > 17 or (isinstance(exponent, int) and exponent < -12):
        raise FaultError(path, "AMOUNT_TOO_PRECISE")
    return int(cents.scaleb(12, EXACT))


def _rounded(path: str, number: float) -> int:
    if not math.isfinite(number):
        raise FaultError(path, "AMOUNT_MALFORMED")
    cents = Decimal(repr(number))
    if abs(cents) > CENTS_MAX:
        raise FaultError(path, "AMOUNT_OUT_OF_RANGE")
    return int(cents.quantize(PICOCENT, context=EXACT).scaleb(12, EXACT))


def _currency(path: str, currency: str) -> None:
    if currency == "usd":
        return
    _filled(path, currency, EVENT_BYTES_MAX)
    if not (currency.isascii() and currency.lower() == "usd"):
        raise FaultError(path, "CURRENCY_UNSUPPORTED")


def _llm(llm: cost_pb2.Llm) -> tuple[str, str, dict[str, object]]:
    rest: dict[str, object] = {
        "input_tokens": llm.input_tokens,
        "output_tokens": llm.output_tokens,
        "total_tokens": llm.total_tokens,
    }
    if llm.HasField("cached_input_tokens"):
        rest["cached_input_tokens"] = llm.cached_input_tokens
    for name, tokens in rest.items():
        if tokens not in TOKENS:
            raise FaultError(f"llm.{name}", "NUMBER_OUT_OF_RANGE")
    if llm.HasField("prompt"):
        rest["prompt"] = _text("llm.prompt", llm.prompt, EVENT_BYTES_MAX)
    if llm.HasField("response"):
        rest["response"] = _text("llm.response", llm.response, EVENT_BYTES_MAX)
    return _required("llm.vendor", llm.vendor, 128), _required("llm.model", llm.model, 128), rest


def _metadata_llm(value: struct_pb2.Value) -> tuple[str, str, dict[str, object]]:
    path = "metadata._llm"
    fields = _object(path, value)
    rest: dict[str, object] = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    texts = {"vendor": "", "model": ""}
    for name, one in fields.items():
        kind = one.WhichOneof("kind")
        if name in texts:
            if kind != "string_value":
                raise FaultError(path, "TYPE_UNSUPPORTED")
            texts[name] = one.string_value
        elif name in rest or (name == "cached_input_tokens" and kind != "null_value"):
            if kind != "number_value":
                raise FaultError(path, "TYPE_UNSUPPORTED")
            tokens = one.number_value
            if not tokens.is_integer() or int(tokens) not in TOKENS:
                raise FaultError(path, "NUMBER_OUT_OF_RANGE")
            rest[name] = int(tokens)
        elif name in {"prompt", "response"} and kind != "null_value":
            if kind != "string_value":
                raise FaultError(path, "TYPE_UNSUPPORTED")
            rest[name] = _text(path, one.string_value, EVENT_BYTES_MAX)
    return _required(path, texts["vendor"], 128), _required(path, texts["model"], 128), rest


def _object(path: str, value: struct_pb2.Value) -> Mapping[str, Any]:
    if value.WhichOneof("kind") != "struct_value":
        raise FaultError(path, "TYPE_UNSUPPORTED")
    return value.struct_value.fields


def _metadata_product(value: struct_pb2.Value) -> str:
    number = value.number_value
    if value.WhichOneof("kind") == "number_value" and number.is_integer() and abs(number) < 2**53:
        return str(int(number))
    return value.string_value


def _metadata_json(fields: Mapping[str, Any]) -> str:
    values = {
        _filled("metadata", key, METADATA_KEY_CHARS_MAX): _value(key, value)
        for key, value in fields.items()
        if key not in {"_cost", "_llm"}
    }
    if len(values) > METADATA_KEYS_MAX:
        raise FaultError("metadata", "METADATA_TOO_MANY_KEYS")
    return _json(values) if values else "{}"


def _value(key: str, value: struct_pb2.Value) -> object:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return _filled(f"metadata.{key}", value.string_value, METADATA_TEXT_CHARS_MAX)
    if kind == "number_value":
        number = value.number_value
        if not math.isfinite(number):
            raise FaultError(f"metadata.{key}", "NUMBER_OUT_OF_RANGE")
        return int(number) if number.is_integer() and abs(number) < 2**53 else number
    if kind == "bool_value":
        return value.bool_value
    raise FaultError(f"metadata.{key}", "TYPE_UNSUPPORTED")


def _id_of(organization_id: bytes, external_id: str) -> bytes:
    return _stamped(hashlib.sha256(organization_id + external_id.encode()).digest()[:16], 0x80)


def _new_id(index: int, context: _Context) -> bytes:
    digest = hashlib.sha256(context.entropy + index.to_bytes(4)).digest()
    head = (context.now_us // 1_000).to_bytes(6) + (index % 4_096).to_bytes(2)
    return _stamped(head + digest[:8], 0x70)


def _stamped(digest: bytes, version: int) -> bytes:
    stamped = bytearray(digest)
    stamped[6] = stamped[6] & 0x0F | version
    stamped[8] = stamped[8] & 0x3F | 0x80
    return bytes(stamped)


def _digest(
    name: str, customer: str | bytes, numbers: Sequence[int | None], texts: Sequence[str]
) -> int:
    parts = [b"\1"]
    _add_text(parts, name)
    if isinstance(customer, str):
        parts.append(b"\0")
        _add_text(parts, customer)
    else:
        parts += b"\1", customer
    for number in numbers:
        parts.append(b"\0" if number is None else b"\1" + number.to_bytes(8, signed=True))
    for text in texts:
        _add_text(parts, text)
    return int.from_bytes(hashlib.sha256(b"".join(parts)).digest()[:8], signed=True)


def _add_text(parts: list[bytes], text: str) -> None:
    encoded = text.encode()
    parts.append(len(encoded).to_bytes(8))
    parts.append(encoded)
