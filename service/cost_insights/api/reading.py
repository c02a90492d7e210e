"""Reading requests: decoding messages, and the checks that several operations share."""

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from google.protobuf import descriptor, json_format, message, timestamp_pb2

from cost_insights.errors import FieldFault, InvalidRequestError, malformed_request

PAGE_SIZE_DEFAULT = 100
PAGE_SIZE_MAX = 1_000

CUSTOMER_CHARS_MAX = 256
"""The greatest length of a caller's own identifier of a customer."""

PRODUCT_CHARS_MAX = 128
"""The greatest length of the id of a product."""

METADATA_KEY_CHARS_MAX = 256
"""The greatest length of a key of the metadata that is looked for."""

METADATA_VALUE_CHARS_MAX = 2_000
"""The greatest length of a value of the metadata that is looked for."""

METADATA_VALUES_MAX = 100
"""The greatest number of values of the metadata that are looked for, of all keys together."""

_TIMESTAMP_SECONDS_MIN = -62_135_596_800  # 0001-01-01T00:00:00Z
_TIMESTAMP_SECONDS_MAX = 253_402_300_799  # 9999-12-31T23:59:59Z

_T = TypeVar("_T")
_Message = TypeVar("_Message", bound=message.Message)


def decode(request_class: type[_Message], request: bytes) -> _Message:
    """Decodes a request; raises InvalidRequestError if it is not a valid message."""
    try:
        return request_class.FromString(request)
    except message.DecodeError:
        raise malformed_request(request_class.DESCRIPTOR.full_name) from None


def decode_json(
    request_class: type[_Message],
    request: bytes,
    revise: Callable[[dict[str, Any]], dict[str, Any]] = dict,
) -> _Message:
    """Decodes the JSON form of a request, which `revise` may change before it is read.

    Raises InvalidRequestError if it is not the JSON form of a valid message.
    """
    try:
        content = json.loads(request, parse_constant=_refuse_constant)
        if not isinstance(content, dict):
            raise ValueError("only an object is allowed")
        return json_format.ParseDict(revise(content), request_class(), ignore_unknown_fields=True)
    except (json_format.ParseError, RecursionError, ValueError, KeyError, TypeError) as error:
        words = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        name = request_class.DESCRIPTOR.full_name
        raise InvalidRequestError(
            [
                FieldFault(
                    "",
                    "MALFORMED_REQUEST",
                    f"the request is not the JSON form of a {name}: {words}",
                    facts={"message": name},
                )
            ]
        ) from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


class Checks:
    """Collects the faults of one request, so that all are named at once."""

    def __init__(self) -> None:
        self.faults: list[FieldFault] = []

    def finish(self) -> None:
        """Raises InvalidRequestError if there is any fault."""
        if self.faults:
            raise InvalidRequestError(self.faults)

    def page_size(self, size: int) -> int:
        """The page size to use."""
        if not 0 <= size <= PAGE_SIZE_MAX:
            self.faults.append(
                FieldFault(
                    "page_size",
                    "NUMBER_OUT_OF_RANGE",
                    f"the page size {size} is not from 0 to {PAGE_SIZE_MAX}",
                    str(size),
                    {"min": "0", "max": str(PAGE_SIZE_MAX)},
                )
            )
        return size or PAGE_SIZE_DEFAULT

    def text(self, path: str, text: str, *, chars_max: int) -> str:
        """A checked text, to look for or to store."""
        if len(text) > chars_max:
            self.faults.append(
                FieldFault(
                    path,
                    "TEXT_TOO_LONG",
                    f"the text has {len(text)} characters; at most {chars_max} are allowed",
                    text[:63] + "…",
                    {"characters": str(len(text)), "characters_max": str(chars_max)},
                )
            )
        if "\0" in text:
            self.faults.append(
                FieldFault(
                    path,
                    "TEXT_MALFORMED",
                    "the text holds the character U+0000, which no stored text holds",
                    text[:64].replace("\0", "\\u0000"),
                )
            )
        return text

    def texts(
        self, path: str, texts: Sequence[str], *, values_max: int, chars_max: int
    ) -> tuple[str, ...]:
        """Checked texts to look for."""
        return tuple(
            self.text(f"{path}[{place}]", text, chars_max=chars_max)
            for place, text in enumerate(self.values(path, texts, values_max=values_max))
        )

    def required(self, path: str, value: object) -> bool:
        """Whether a value that is required is there."""
        if not value:
            self.faults.append(
                FieldFault(path, "FIELD_REQUIRED", f"{path} is absent or empty; it is required")
            )
        return bool(value)

    def values(self, path: str, values: Sequence[_T], *, values_max: int) -> Sequence[_T]:
        """The values to check: none if there are too many."""
        if len(values) <= values_max:
            return values
        self.faults.append(
            FieldFault(
                path,
                "TOO_MANY_VALUES",
                f"there are {len(values)} values; at most {values_max} are allowed",
                str(len(values)),
                {"values_max": str(values_max)},
            )
        )
        return ()

    def unknown_number(
        self, path: str, number: int, what: str, enum: descriptor.EnumDescriptor
    ) -> None:
        """Adds the fault of a number that is not in an enum."""
        allowed = ", ".join(value.name for value in enum.values[1:])
        self.faults.append(
            FieldFault(
                path,
                "VALUE_UNKNOWN",
                f"{number} is {what}; allowed are {allowed}",
                str(number),
                {"allowed": allowed},
            )
        )

    def timestamp_us(self, path: str, timestamp: timestamp_pb2.Timestamp) -> int:
        """A time in microseconds since 1970."""
        seconds, nanos = timestamp.seconds, timestamp.nanos
        if (seconds, nanos) == (0, 0):
            value = "1970-01-01T00:00:00Z"
            self.faults.append(
                FieldFault(
                    path,
                    "TIMESTAMP_ZERO",
                    f"the time {value} is 0 seconds and 0 nanoseconds, which is what arrives "
                    "when a client failed to write a time; set seconds and nanos, as in "
                    '{"seconds": 1795435200, "nanos": 0}',
                    value,
                )
            )
            return 0
        if (
            not _TIMESTAMP_SECONDS_MIN <= seconds <= _TIMESTAMP_SECONDS_MAX
            or not 0 <= nanos < 1_000_000_000
        ):
            value = f"{seconds}s {nanos}ns"
            self.faults.append(
                FieldFault(
                    path,
                    "TIMESTAMP_OUT_OF_RANGE",
                    f"the time {value} since 1970 is not in the years 1 to 9999",
                    value,
                )
            )
            return 0
        return seconds * 1_000_000 + nanos // 1_000
