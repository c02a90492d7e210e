"""Reading events from JSON lines, without losing a digit of an amount.

This reads the JSON form of `NewEvent`, with names as in the proto or in
lowerCamelCase. It answers for what cannot be said in a `NewEvent` at all: broken
JSON, unknown fields, a text where a number belongs. Whether the event is valid
is for the service to say; nothing here checks a length, a range or a currency.

It does no I/O: `read_records` takes chunks of bytes from whoever reads them.
"""

import datetime as dt
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NoReturn, TypeAlias

from google.protobuf.struct_pb2 import Struct, Value

from cost_insights.amounts import AmountError, format_amount, round_float
from cost_insights.v1.cost_pb2 import Cost
from cost_insights.v1.event_pb2 import NewEvent

LINE_BYTES_MAX: Final = 1_048_576
"""The longest line; of a longer one no more than this is ever held."""

DEPTH_MAX: Final = 16
"""The greatest depth to which objects and lists may nest. The service accepts two levels; a few
more are passed on so that it can say where the fault lies."""

DOUBLE_DIGITS_KEPT: Final = 15
"""The greatest number of digits that every 64-bit float keeps."""

AMOUNT_DIGITS_MAX: Final = 17
AMOUNT_DECIMALS_MAX: Final = 12


@dataclass(frozen=True)
class LineFault:
    """The fault of a line that is not an event. `path` is empty if the whole line is faulty."""

    path: str
    reason: str
    message: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """The record of one event in a file."""

    line: int
    """The line in which it begins, from 1; in a file that is not one of lines, the number
    of the event."""
    text: bytes | None
    """The text of the record, without the line end; None if it was too long to keep."""
    event: NewEvent | LineFault
    lines: int = 1
    """The number of its lines."""
    begins: int | None = None
    """The line in which it begins, where `line` is the number of an event."""


Convert: TypeAlias = Callable[[dict[str, Any]], None]
"""Brings a document into the documented form, where options say how it differs."""


def keep(_document: dict[str, Any]) -> None:
    """Leaves a document as it is."""


def read_records(
    chunks: Iterable[bytes], *, first_line: int = 1, convert: Convert = keep
) -> Iterator[Record]:
    """The records of a file from that line on; blank lines are none."""
    lines = Lines()
    for chunk in chunks:
        yield from _records(lines.feed(chunk), first_line, convert)
    yield from _records(lines.finish(), first_line, convert)


def _records(
    lines: Iterable[tuple[int, bytes | None]], first_line: int, convert: Convert
) -> Iterator[Record]:
    for number, line in lines:
        if number >= first_line:
            text = None if line is None else line.removesuffix(b"\r")
            yield Record(number, text, LINE_TOO_LONG if text is None else read_event(text, convert))


class Lines:
    """Cuts chunks of bytes into numbered lines, holding at most one unfinished line.

    Lines end with LF or CR LF; blank ones are counted and left out, and so is a
    byte order mark in front of the first. A line longer than `LINE_BYTES_MAX` comes
    out as `None`, and the rest of it is dropped as it arrives.
    """

    def __init__(self) -> None:
        self.number = 0
        """The number of the last line that was finished, from 1."""
        self._rest = b""
        self._dropping = False

    def feed(self, chunk: bytes) -> Iterator[tuple[int, bytes | None]]:
        """The lines that `chunk` finishes, each with its number."""
        *finished, rest = (self._rest + chunk).split(b"\n")
        # The rest is kept before anything is yielded: a caller may stop early.
        first, self.number = self.number + 1, self.number + len(finished)
        dropping = self._dropping
        if finished:
            self._dropping = False
        self._rest = rest
        too_long = not self._dropping and len(rest) > LINE_BYTES_MAX
        if too_long:
            self._dropping = True
        if self._dropping:
            self._rest = b""
        for number, line in enumerate(finished, first):
            if dropping:
                dropping = False
            else:
                yield from _line(number, line)
        if too_long:
            yield self.number + 1, None

    def finish(self) -> Iterator[tuple[int, bytes | None]]:
        """The last line, if no line end follows it."""
        rest, self._rest = self._rest, b""
        if rest or self._dropping:
            self.number += 1
        if rest:
            yield from _line(self.number, rest)


def _line(number: int, line: bytes) -> Iterator[tuple[int, bytes | None]]:
    if number == 1:
        line = line.removeprefix(b"\xef\xbb\xbf")
    if len(line) > LINE_BYTES_MAX:
        yield number, None
    elif line and not line.isspace():
        yield number, line


LINE_TOO_LONG: Final = LineFault(
    "",
    "EVENT_TOO_LARGE",
    f"the line is longer than {LINE_BYTES_MAX} bytes, the most that an event may take",
)
"""The fault of a line that `Lines` gives as `None`."""


def read_event(line: bytes, convert: Convert = keep) -> NewEvent | LineFault:
    """The event that a line of JSON stands for, or why it stands for none.

    Numbers keep the digits they are written with wherever an amount is read: one
    with at most 17 digits of which 12 after the point is passed on as that text.
    One with more is what a computed price looks like, and stands for the double
    nearest to it, which is rounded half-even to 12 decimals. Other numbers in
    `metadata` are doubles, as in every `Struct`; one that is not is a fault, since
    it would become another number. A whole number is the id of a product, too.
    """
    try:
        document = _document(line)
        convert(document)
        return _event(document)
    except FaultFoundError as found:
        return found.fault


class FaultFoundError(Exception):
    """Reports a fault from the middle of a document."""

    def __init__(self, path: str, reason: str, message: str, value: str = "") -> None:
        super().__init__(message)
        self.fault = LineFault(path, reason, message, _short(value))


class Number(str):
    """The text of a JSON number."""

    __slots__ = ()


def event_of(document: dict[str, Any], convert: Convert = keep) -> NewEvent | LineFault:
    """The event of a document whose numbers are `Number`s, or the fault of the document."""
    try:
        convert(document)
        return _event(document)
    except FaultFoundError as found:
        return found.fault


# Each takes the message to set a field of, the name of the field, the value that
# was read, and the path to name in a fault.
_Setter: TypeAlias = Callable[[Any, str, Any, str], None]


@dataclass(frozen=True)
class _Repeated:
    """An object in which a key occurs more than once."""

    key: str


# JSON to Python. The reader is the standard library's; the hooks keep what it
# would lose: the digits of numbers and keys that stand twice.


def _document(line: bytes) -> dict[str, Any]:
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise FaultFoundError(
            "",
            "TEXT_MALFORMED",
            f"byte {error.start + 1} of the line, 0x{line[error.start]:02x}, is not UTF-8",
        ) from None
    try:
        document = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise FaultFoundError(
            "",
            "MALFORMED_REQUEST",
            f"not JSON: {error.msg} at "
            + ("" if error.lineno == 1 else f"line {error.lineno} of the event, ")
            + f"column {error.colno}",
            text,
        ) from None
    except RecursionError:
        raise _too_deep("") from None
    if type(document) is not dict:
        if type(document) is _Repeated:
            raise _repeated("", document)
        raise FaultFoundError(
            "",
            "MALFORMED_REQUEST",
            f"{_kind(document)} is not an event; one JSON object a line is allowed",
            text,
        )
    return document


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Repeated:
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            return _Repeated(key)
        seen.add(key)
    raise AssertionError("a dictionary is shorter than its pairs only if a key repeats")


def _no_constant(name: str) -> NoReturn:
    raise FaultFoundError(
        "", "MALFORMED_REQUEST", f"not JSON: {name} is not a number that JSON knows", name
    )


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_float=Number,
    parse_int=Number,
    parse_constant=_no_constant,
)


# Python to messages.


def _event(document: dict[str, Any]) -> NewEvent:
    event = NewEvent()
    for name, value, path in _fields(document, "", EVENT_FIELDS):
        EVENT_FIELDS[name](event, name, value, path)
    return event


def _fields(
    document: dict[str, Any], prefix: str, known: Mapping[str, _Setter]
) -> Iterator[tuple[str, Any, str]]:
    """Each field that is there, by its name in the proto; null means absent, as in
    the JSON form of every message."""
    seen: set[str] = set()
    for key, value in document.items():
        name = key if key in known else CAMEL_CASE.get(key, "")
        path = prefix + key
        if name not in known:
            raise FaultFoundError(
                path,
                "VALUE_UNKNOWN",
                f"there is no such field; the known ones are {', '.join(known)}",
                key,
            )
        if name in seen:
            raise FaultFoundError(
                path, "FIELDS_CONFLICT", f"means the same as {prefix}{name}, which is also given"
            )
        seen.add(name)
        if value is not None:
            yield name, value, path


def _set_text(message: Any, name: str, value: Any, path: str) -> None:
    if type(value) is not str:
        raise _wrong_type(path, value, "a text")
    try:
        setattr(message, name, value)
    except UnicodeEncodeError:
        raise _not_text(path) from None


def _set_product(event: NewEvent, name: str, value: Any, path: str) -> None:
    # The service takes a number in `metadata.product_id` for the product with those digits.
    if type(value) is Number:
        if re.fullmatch(r"-?[0-9]{1,15}", value) is None:
            raise FaultFoundError(
                path,
                "TYPE_UNSUPPORTED",
                f"the number {_short(value)} is not allowed; expected a text, or a whole number "
                f"of at most {DOUBLE_DIGITS_KEPT} digits",
                value,
            )
        value = str(int(value))
    _set_text(event, name, value, path)


def _set_customer(event: NewEvent, name: str, value: Any, path: str) -> None:
    # Setting one of the two would silently take away the other.
    if (other := event.WhichOneof("customer")) is not None:
        raise FaultFoundError(
            path, "FIELDS_CONFLICT", f"{other} is also given; exactly one of the two is allowed"
        )
    _set_text(event, name, value, path)


def _set_integer(message: Any, name: str, value: Any, path: str) -> None:
    # Text is allowed as well: it is how the JSON form writes 64-bit integers.
    if type(value) is str and re.fullmatch(r"-?[0-9]{1,19}", value) is None:
        raise _wrong_type(path, value, "a whole number")
    if type(value) not in (str, Number):
        raise _wrong_type(path, value, "a whole number")
    try:
        number = Decimal(value)
    except InvalidOperation:  # an exponent of more than 18 digits
        raise _no_integer(path, value) from None
    # The magnitude is looked at first: 1e999999999 must not be written out.
    if number.adjusted() > 18 or number != int(number) or not -(2**63) <= number < 2**63:
        raise _no_integer(path, value)
    setattr(message, name, int(number))


def _no_integer(path: str, value: str) -> FaultFoundError:
    return FaultFoundError(
        path,
        "NUMBER_OUT_OF_RANGE",
        f"{_short(value)} is not a whole number from 0 to 9007199254740992",
        value,
    )


_TIMESTAMP: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?"
    r" ?(?:[Zz]|UTC|([+-])([0-9]{2})(?::?([0-9]{2}))?)",
    re.ASCII,
)
_EPOCH_DAY: Final = dt.date(1970, 1, 1).toordinal()


def _set_timestamp(event: NewEvent, _name: str, value: Any, path: str) -> None:
    if type(value) not in (str, Number):
        raise _wrong_type(path, value, "a text such as 2026-11-23T12:00:00Z")
    if (match := _TIMESTAMP.fullmatch(value.strip())) is None:
        raise _no_timestamp(path, value)
    year, month, day, hour, minute, second = map(int, match.groups()[:6])
    fraction, sign, offset_hours, offset_minutes = match.groups()[6:]
    try:
        days = dt.date(year, month, day).toordinal() - _EPOCH_DAY
    except ValueError:
        raise _no_timestamp(path, value) from None
    offset = int(offset_hours or 0) * 3_600 + int(offset_minutes or 0) * 60
    if hour > 23 or minute > 59 or second > 59 or offset >= 86_400 or int(offset_minutes or 0) > 59:
        raise _no_timestamp(path, value)
    local = days * 86_400 + hour * 3_600 + minute * 60 + second
    event.timestamp.seconds = local + offset if sign == "-" else local - offset
    event.timestamp.nanos = int((fraction or "").ljust(9, "0"))


def _no_timestamp(path: str, value: str) -> FaultFoundError:
    return FaultFoundError(
        path,
        "MALFORMED_REQUEST",
        f"{_short(value)} is not a time with an offset, such as 2026-11-23T12:00:00Z "
        "or 2026-11-23T07:00:00.5-05:00"
        + ("; --timestamps reads seconds or milliseconds since 1970" if value.isdecimal() else ""),
        value,
    )


def _set_cost(event: NewEvent, _name: str, value: Any, path: str) -> None:
    event.cost.SetInParent()
    for name, part, part_path in _fields(_an_object(value, path), path + ".", COST_FIELDS):
        COST_FIELDS[name](event.cost, name, part, part_path)


def _set_amount(cost: Cost, name: str, value: Any, path: str) -> None:
    if type(value) is Number:
        cost.amount = value if _is_exact(value) else _rounded(value)
    elif type(value) is str:
        _set_text(cost, name, value, path)
    else:
        raise _wrong_type(path, value, "a text or a number")


def _rounded(number: str) -> str:
    """The amount that a computed price stands for; text that the service refuses stays."""
    try:
        return format_amount(round_float(float(number)))
    except AmountError:
        return number


def _is_exact(number: str) -> bool:
    """Whether a JSON number has few enough digits to be taken as it is written."""
    if len(number) <= AMOUNT_DECIMALS_MAX and has_no_exponent(number):
        return True
    try:
        _, digits, exponent = Decimal(number).as_tuple()
    except InvalidOperation:  # an exponent of more than 18 digits
        return False
    significant = len(digits)
    while significant > 1 and digits[significant - 1] == 0:
        significant -= 1
    decimals = significant - len(digits) - int(exponent)
    return significant <= AMOUNT_DIGITS_MAX and decimals <= AMOUNT_DECIMALS_MAX


def _set_llm(event: NewEvent, _name: str, value: Any, path: str) -> None:
    event.llm.SetInParent()
    for name, part, part_path in _fields(_an_object(value, path), path + ".", LLM_FIELDS):
        LLM_FIELDS[name](event.llm, name, part, part_path)


def _set_metadata(event: NewEvent, _name: str, value: Any, path: str) -> None:
    event.metadata.SetInParent()
    document = _an_object(value, path)
    cost = document.get("_cost")
    if type(cost) is dict and type(amount := cost.get("amount")) is Number:
        text = str.__str__(amount)
        # A text holds the digits. What overflows a double goes the same way, so that the
        # service names it as it is written; a computed price goes as the double it is.
        keeps_text = _is_exact(text) or math.isinf(float(text))
        document["_cost"] = cost | {"amount": text if keeps_text else float(text)}
    _fill_struct(event.metadata, document, path, 2)


def _fill_struct(struct: Struct, document: dict[str, Any], path: str, depth: int) -> None:
    fields = struct.fields
    for key, value in document.items():
        # The values of a map come into being when they are asked for.
        try:
            slot = fields[key]
        except UnicodeEncodeError:
            raise _not_text(path) from None
        _fill_value(slot, value, f"{path}.{key}", depth)


def _double(value: Number, path: str) -> float:
    """The number as a double, which is all that a `Struct` holds, if that is the number.

    A fraction is that of a double too where it is written with 17 digits, as many
    programs do; what has other digits would come back as another number.
    """
    number = float(value)
    if repr(number) == value or (len(value) <= DOUBLE_DIGITS_KEPT and has_no_exponent(value)):
        return number
    if math.isinf(number):
        raise FaultFoundError(
            path,
            "NUMBER_OUT_OF_RANGE",
            f"{_short(value)} is further from zero than a 64-bit float reaches",
            value,
        )
    if not is_double(value):
        raise FaultFoundError(
            path,
            "NUMBER_OUT_OF_RANGE",
            f"{_short(value)} has more digits than a 64-bit float keeps; written as a text, "
            f'"{_short(value)}", it keeps them',
            value,
        )
    return number


def has_no_exponent(number: str) -> bool:
    """Whether a number has as many digits as it is long, at most."""
    return "e" not in number and "E" not in number


def is_double(number: str) -> bool:
    """Whether a finite JSON number is a double written with its shortest digits or with 17."""
    double = float(number)
    try:
        exact = Decimal(number)
    except InvalidOperation:  # an exponent of more than 18 digits
        return False
    return exact == Decimal(repr(double)) or (
        not double.is_integer() and exact == Decimal(format(double, ".17g"))
    )


def _fill_value(slot: Value, value: Any, path: str, depth: int) -> None:
    kind = type(value)
    if kind is str:
        try:
            slot.string_value = value
        except UnicodeEncodeError:
            raise _not_text(path) from None
    elif kind is Number:
        slot.number_value = _double(value, path)
    elif kind is float:
        slot.number_value = value
    elif kind is bool:
        slot.bool_value = value
    elif value is None:
        slot.null_value = 0  # type: ignore[assignment]  # NULL_VALUE
    elif depth >= DEPTH_MAX:
        raise _too_deep(path)
    elif kind is list:
        slot.list_value.SetInParent()
        for index, item in enumerate(value):
            _fill_value(slot.list_value.values.add(), item, f"{path}[{index}]", depth + 1)
    else:
        slot.struct_value.SetInParent()
        _fill_struct(slot.struct_value, _an_object(value, path), path, depth + 1)


EVENT_FIELDS: Final[Mapping[str, _Setter]] = {
    "name": _set_text,
    "external_customer_id": _set_customer,
    "customer_id": _set_customer,
    "timestamp": _set_timestamp,
    "external_id": _set_text,
    "parent_id": _set_text,
    "external_member_id": _set_text,
    "cost": _set_cost,
    "llm": _set_llm,
    "product_id": _set_product,
    "metadata": _set_metadata,
}
COST_FIELDS: Final[Mapping[str, _Setter]] = {"amount": _set_amount, "currency": _set_text}
LLM_FIELDS: Final[Mapping[str, _Setter]] = {
    "vendor": _set_text,
    "model": _set_text,
    "input_tokens": _set_integer,
    "output_tokens": _set_integer,
    "total_tokens": _set_integer,
    "cached_input_tokens": _set_integer,
    "prompt": _set_text,
    "response": _set_text,
}
CAMEL_CASE: Final[Mapping[str, str]] = {
    re.sub(r"_(.)", lambda match: match[1].upper(), name): name
    for name in (*EVENT_FIELDS, *LLM_FIELDS)
}


# Words.


def _an_object(value: Any, path: str) -> dict[str, Any]:
    if type(value) is _Repeated:
        raise _repeated(path, value)
    if type(value) is not dict:
        raise _wrong_type(path, value, "an object")
    return value


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "an object")


_KINDS: Final[Mapping[type, str]] = {
    str: "a text",
    Number: "a number",
    bool: "true or false",
    type(None): "null",
    list: "a list",
}


def _short(text: str) -> str:
    return text if len(text) <= 64 else text[:64] + "…"


def _wrong_type(path: str, value: Any, allowed: str) -> FaultFoundError:
    return FaultFoundError(
        path,
        "TYPE_UNSUPPORTED",
        f"{_kind(value)} is not allowed; expected {allowed}",
        _kind(value),
    )


def _repeated(path: str, found: _Repeated) -> FaultFoundError:
    return FaultFoundError(
        f"{path}.{found.key}".lstrip("."),
        "FIELDS_CONFLICT",
        "the key occurs more than once",
        found.key,
    )


def _too_deep(path: str) -> FaultFoundError:
    return FaultFoundError(
        path,
        "TYPE_UNSUPPORTED",
        f"objects and lists nest deeper than {DEPTH_MAX} levels; deeper values are not read",
    )


def _not_text(path: str) -> FaultFoundError:
    return FaultFoundError(path, "TEXT_MALFORMED", "half of a surrogate pair is not a character")
