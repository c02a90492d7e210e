"""Events written as CSV: one a record, under a header that names the columns.

Columns are named as fields are addressed elsewhere: `name`, `cost.amount`,
`llm.input_tokens`, `metadata.KEY`. An empty cell means that the field is absent.
Like the reader of JSON lines, this answers for what cannot be said in a
`NewEvent` at all; whether the event is valid is for the service to say.

It does no I/O: `read_records` takes chunks of bytes from whoever reads them.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from cost_insights.ingest.ndjson import (
    COST_FIELDS,
    EVENT_FIELDS,
    LLM_FIELDS,
    LineFault,
    Number,
    Record,
    event_of,
)
from cost_insights.v1.event_pb2 import NewEvent

RECORD_BYTES_MAX: Final = 1_048_576
"""The longest record; of a longer one not much more than this is ever held."""

NUMBER_DIGITS_MAX: Final = 15
"""The most digits that every 64-bit float keeps. What looks like a longer number,
such as the id of something, stays text."""

KNOWN_COLUMNS: Final = (
    *(name for name in EVENT_FIELDS if name not in {"llm", "metadata"}),
    *(f"cost.{name}" for name in COST_FIELDS),
    *(f"llm.{name}" for name in LLM_FIELDS),
    "metadata.KEY",
)

_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,2})?", re.ASCII)
_DIGITS: Final = re.compile(r"[0-9]")


class HeaderError(Exception):
    """The first record does not name columns that are known."""


def read_records(chunks: Iterable[bytes], *, first_line: int = 1) -> Iterator[Record]:
    """The records of a file that begin in that line or behind it, without the header.

    Raises HeaderError if there is a first record and it is no header. A record that
    is no CSV is a fault; what follows is read from the next line on.
    """
    # The limit is one of the whole process; the standard one is what would make a
    # cell too long that a line of JSON may hold.
    csv.field_size_limit(max(csv.field_size_limit(), RECORD_BYTES_MAX))
    feed = _Feed(chunks)
    rows = csv.reader(feed, strict=True)
    columns: _Columns | None = None
    while True:
        feed.begin_record()
        fault: LineFault | None = None
        row: list[str] = []
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            fault = LineFault("", "MALFORMED_REQUEST", f"not CSV: {error}")
        except _RecordFaultError as error:
            fault = error.fault
        if columns is None:
            if fault is not None:
                raise HeaderError(f"line {feed.first}: {fault.message}")
            if row:
                columns = _Columns(row, feed.first)
        elif feed.first >= first_line and (row or fault is not None):
            yield Record(feed.first, feed.text, fault or columns.event(row))


class _Columns:
    """What the header says."""

    def __init__(self, header: Sequence[str], line: int) -> None:
        self._places: list[tuple[str, str]] = []
        for column in map(str.strip, header):
            place = _place(column)
            if place is None:
                raise HeaderError(
                    f"line {line}: there is no column {column[:64]!r}; "
                    f"known are {', '.join(KNOWN_COLUMNS)}"
                )
            if place in self._places:
                raise HeaderError(
                    f"line {line}: the column {column[:64]!r} is there more than once"
                )
            self._places.append(place)

    def event(self, row: Sequence[str]) -> NewEvent | LineFault:
        """The event of a record."""
        if len(row) != len(self._places):
            return LineFault(
                "",
                "MALFORMED_REQUEST",
                f"not CSV: {len(row)} fields stand under a header of {len(self._places)}",
            )
        document: dict[str, Any] = {}
        for (group, name), cell in zip(self._places, row, strict=True):
            if cell:
                target = document.setdefault(group, {}) if group else document
                # A product whose id looks like a number is a product all the same.
                is_typed = group == "metadata" and name != "product_id"
                target[name] = _metadata_value(cell) if is_typed else cell
        if (cost := document.get("cost")) is not None:
            if "amount" in cost:
                cost.setdefault("currency", "usd")
            else:
                # A column that says the currency says nothing of a cost.
                del document["cost"]
        return event_of(document)


def _place(column: str) -> tuple[str, str] | None:
    """The object and the field in it that a column fills; None if there is none."""
    group, dot, name = column.partition(".")
    if column == "cost":
        return "cost", "amount"
    if not dot:
        known = column in EVENT_FIELDS and column not in {"llm", "metadata"}
        return ("", column) if known else None
    if group == "metadata":
        # These would be kept as plain text and cost nothing.
        special = name.partition(".")[0] in {"", "_cost", "_llm"}
        return None if special else (group, name)
    fields = {"cost": COST_FIELDS, "llm": LLM_FIELDS}.get(group, {})
    return (group, name) if name in fields else None


def _metadata_value(cell: str) -> str | bool | Number:
    if cell in {"true", "false"}:
        return cell == "true"
    if _NUMBER.fullmatch(cell) and len(_DIGITS.findall(cell)) <= NUMBER_DIGITS_MAX:
        return Number(cell)
    return cell


class _RecordFaultError(Exception):
    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.fault = LineFault("", reason, message)


class _Feed:
    """Gives lines to the reader of CSV, and knows which of them the record is made of.

    The reader asks for one line after the other until a record is complete. An
    error raised here passes through it and makes it begin a new record.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._lines = _lines(chunks)
        self._number = 0
        self._parts: list[bytes] = []
        self._part_bytes = 0
        self.first = 1
        """The line in which the record begins."""

    def begin_record(self) -> None:
        self.first = self._number + 1
        self._parts.clear()
        self._part_bytes = 0

    @property
    def text(self) -> bytes | None:
        """The record as it is written; None if it holds a line that is not kept."""
        return b"".join(self._parts).rstrip(b"\r\n") or None

    def __iter__(self) -> "_Feed":
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self._number += 1
        if line is not None:
            if self._number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            self._parts.append(line)
            self._part_bytes += len(line)
        if line is None or self._part_bytes > RECORD_BYTES_MAX:
            until = "" if self._number == self.first else f" to line {self._number}"
            raise _RecordFaultError(
                "EVENT_TOO_LARGE",
                f"the record is longer than {RECORD_BYTES_MAX} bytes, the most that an event may "
                f"take; it is left out{until}"
                + (", and a quote that is not closed may be why" if until else ""),
            )
        try:
            return line.decode()
        except UnicodeDecodeError as error:
            raise _RecordFaultError(
                "TEXT_MALFORMED",
                f"byte {error.start + 1} of line {self._number}, 0x{line[error.start]:02x}, "
                "is not UTF-8",
            ) from None


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes | None]:
    """Each line with its line end; None for one that is too long to be held."""
    rest = b""
    dropping = False
    for chunk in chunks:
        *finished, rest = (rest + chunk).split(b"\n")
        for line in finished:
            yield None if dropping or len(line) > RECORD_BYTES_MAX else line + b"\n"
            dropping = False
        if dropping or len(rest) > RECORD_BYTES_MAX:
            dropping, rest = True, b""
    if dropping:
        yield None
    elif rest:
        yield rest
