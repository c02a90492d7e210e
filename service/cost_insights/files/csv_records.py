"""Reading events from CSV: one per record, under a header that names the columns.

Columns are named as fields are addressed elsewhere: `name`, `cost.amount`,
`llm.input_tokens`, `metadata.KEY`. An empty cell means that the field is absent.
Only the texts in metadata, `llm.prompt` and `llm.response` may hold line breaks: in
any other cell they come from a quote that is not closed.
Like the reader of JSON lines, this answers for what cannot be said in a
`NewEvent` at all; whether the event is valid is for the service to say.

It does no I/O: `read_records` takes chunks of bytes from whoever reads them.
"""

import csv
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from cost_insights.files.ndjson import (
    CAMEL_CASE,
    COST_FIELDS,
    DOUBLE_DIGITS_KEPT,
    EVENT_FIELDS,
    LLM_FIELDS,
    Convert,
    LineFault,
    Number,
    Record,
    event_of,
    has_no_exponent,
    is_double,
    keep,
)
from cost_insights.v1.event_pb2 import NewEvent

RECORD_BYTES_MAX: Final = 1_048_576
"""The longest record; of a longer one not much more than this is ever held."""

REREAD_BYTES_MAX: Final = 16 * RECORD_BYTES_MAX
REREAD_FACTOR: Final = 4
"""The limits of reading lines more than once. A file may consist of unclosed quotes, each of which
swallows as much as a record may hold. So lines are read again at most this many times on average,
once a few damaged records have used up the allowance in bytes; from then on a record of several
lines counts as damaged."""

KNOWN_COLUMNS: Final = (
    *(name for name in EVENT_FIELDS if name not in {"llm", "metadata"}),
    *(f"cost.{name}" for name in COST_FIELDS),
    *(f"llm.{name}" for name in LLM_FIELDS),
    "metadata.KEY",
)

DELIMITERS: Final = ",;\t|"
"""The delimiters of cells. The header shows which one a file uses, since no column name except
those of metadata contains one of them."""

_LINE_END: Final = re.compile(rb"\r?\n|\r[^\n]")
_SEPARATOR_LINE: Final = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
_LOWER_CAMEL_CASE: Final = {camel.lower(): name for camel, name in CAMEL_CASE.items()}

_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,2})?", re.ASCII)

_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)

_TYPED: Final = {
    ("", "timestamp"): re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}.*|[0-9]{9,}", re.ASCII),
    ("cost", "amount"): _DECIMAL,
    **{
        ("llm", name): re.compile(r"[0-9]+(?:\.0*)?", re.ASCII)
        for name in LLM_FIELDS
        if name.endswith("_tokens")
    },
}
"""Values of the columns that distinguish a record from a line of text."""


class HeaderError(Exception):
    """The first record does not consist of known column names."""


def read_records(
    chunks: Iterable[bytes],
    *,
    first_line: int = 1,
    names: Mapping[str, str] = MappingProxyType({}),
    convert: Convert = keep,
) -> Iterator[Record]:
    """The records of a file that begin in that line or behind it, without the header.

    `names` gives columns that the file names otherwise.

    Raises HeaderError if there is a first record and it is no header. A record that
    is no CSV is a fault. If it runs over several lines, a quote that is not closed
    may be why: then only the line in which it begins is left out, and reading goes on
    at the next one. Lines of such a record that are no records of their own either are
    left out with it, as one fault that counts them.
    """
    # The limit is one of the whole process; the standard one is what would make a
    # cell too long that a line of JSON may hold.
    csv.field_size_limit(max(csv.field_size_limit(), RECORD_BYTES_MAX))
    feed = _Feed(chunks)
    delimiter = _delimiter(feed)
    attempts = _attempts(feed, delimiter)
    header, fault = next(attempts, ([], None))
    if fault is not None:
        raise HeaderError(f"line {feed.first}: {fault.message}")
    columns = _Columns(header, feed.first, delimiter, names, convert)
    damage: _Damage | None = None
    for row, malformed in attempts:
        fault = malformed or columns.misfit(row, feed.lines)
        if damage is not None and fault is not None and feed.first <= damage.until:
            damage.add(feed.first, feed.begin_again())
            continue
        if damage is not None and damage.first >= first_line:
            yield damage.record()
        damage = None
        if fault is not None and feed.lines > 1:
            damage = _Damage(feed.first, feed.number, fault)
            damage.add(feed.first, feed.begin_again())
        elif feed.first >= first_line:
            fault = fault or (columns.swallowed(feed) if feed.lines > 1 else None)
            yield Record(feed.first, feed.text, fault or columns.event(row), feed.lines)
    if damage is not None and damage.first >= first_line:
        yield damage.record()


def _delimiter(feed: "_Feed") -> str:
    """The separator of cells: given by a first line such as `sep=;`, or found in the header."""
    try:
        for line in feed:
            text = line.strip("\r\n")
            if (said := _SEPARATOR_LINE.fullmatch(text)) is not None:
                return said[1]
            if text.strip():
                feed.unread()
                unquoted = re.sub('"[^"]*"', "", text)
                return max(DELIMITERS, key=unquoted.count)
            feed.begin_record()
    except _RecordFaultError:
        feed.unread()
    return DELIMITERS[0]


def _attempts(feed: "_Feed", delimiter: str) -> Iterator[tuple[list[str], LineFault | None]]:
    """The cells of each record, or the fault of it; blank records are skipped."""
    rows = csv.reader(feed, delimiter=delimiter, strict=True)
    while True:
        feed.begin_record()
        try:
            if any(map(str.strip, row := next(rows))):
                yield row, None
        except StopIteration:
            return
        except csv.Error as error:
            yield [], LineFault("", "MALFORMED_REQUEST", f"not CSV: {_plain(error)}")
        except _RecordFaultError as error:
            yield [], error.fault


def _plain(error: csv.Error) -> str:
    """The message of the CSV reader, in words for the owner of the file."""
    words = str(error)
    return "a quote is not closed" if words == "unexpected end of data" else words


class _Damage:
    """Lines that are left out because the quotes in them do not pair up."""

    def __init__(self, first: int, until: int, fault: LineFault) -> None:
        self.first = first
        self.until = until
        """The last line that the record would have held."""
        self._fault = fault
        self._last = first
        self._lines: list[bytes | None] = []

    def add(self, number: int, line: bytes | None) -> None:
        """Leaves everything up to that line out; None for one that is not kept."""
        self._last = number
        self._lines.append(line)

    def record(self) -> Record:
        """The fault of the lines."""
        last = self._last
        count = last - self.first + 1
        left_out = (
            f"line {self.first} (1 line) is"
            if count == 1
            else f"lines {self.first} to {last} ({count} lines) are"
        )
        message = (
            f"{self._fault.message}, in the record from line {self.first} to line {self.until}; "
            f"perhaps a quote is not closed; {left_out} left out, "
            f"and reading goes on at line {last + 1}"
        )
        kept = [line for line in self._lines if line is not None]
        text = b"".join(kept).rstrip(b"\r\n") if len(kept) == len(self._lines) else None
        return Record(self.first, text, LineFault("", self._fault.reason, message), lines=count)


class _Columns:
    """The columns of the header."""

    def __init__(
        self,
        header: list[str],
        line: int,
        delimiter: str,
        names: Mapping[str, str],
        convert: Convert,
    ) -> None:
        self._delimiter = delimiter
        self._convert = convert
        self._places: list[tuple[str, str]] = []
        self._readers: list[Callable[[str], str | bool | Number] | None] = []
        _drop_blank(header, 0)
        for column in map(str.strip, header):
            place = place_of(names.get(column, column))
            if place is None:
                raise HeaderError(
                    f"line {line}: there is no column {column[:64]!r}; the known ones are "
                    f"{', '.join(KNOWN_COLUMNS)}; --map {column[:64]}=COLUMN names one"
                )
            if place in self._places:
                raise HeaderError(f"line {line}: the column {column[:64]!r} occurs more than once")
            self._places.append(place)
            self._readers.append(_reader(*place))

    def misfit(self, row: list[str], lines: int) -> LineFault | None:
        """Why the cells of a record cannot be those of the columns, if so.

        Blank cells behind the last column are taken away.
        """
        if len(row) > len(self._places):
            _drop_blank(row, len(self._places))
        if len(row) != len(self._places):
            return LineFault(
                "",
                "MALFORMED_REQUEST",
                f"not CSV: the row has {len(row)} fields and the header {len(self._places)}",
            )
        for place, cell in zip(self._places, row, strict=True) if lines > 1 else ():
            if "\n" in cell and not _holds_text(*place):
                return LineFault(
                    "",
                    "MALFORMED_REQUEST",
                    "not CSV: there is a line break in the column "
                    f"{'.'.join(filter(None, place))!r}",
                )
        return None

    def swallowed(self, feed: "_Feed") -> LineFault | None:
        """The fault of a record in whose cells other records stand, each on a line of its own.

        Then a quote that is not closed has met one that is not opened. The record may
        as well be right and quote a file like this one, so its lines are never read as
        events: whoever writes a prompt could forge them.
        """
        if not any(map(self._is_record, feed.following)):
            return None
        return LineFault(
            "",
            "MALFORMED_REQUEST",
            "not CSV: a cell contains lines that are complete records, so perhaps a quote is not "
            f"closed; lines {feed.first} to {feed.number} ({feed.lines} lines) are left out",
        )

    def _is_record(self, line: str) -> bool:
        """Whether a line has all columns, and a valid number or time in some of them."""
        try:
            row = next(csv.reader([line], delimiter=self._delimiter, strict=True), [])
        except csv.Error:
            return False
        if len(row) != len(self._places):
            return False
        typed = [
            (pattern, cell)
            for place, cell in zip(self._places, row, strict=True)
            if cell and (pattern := _TYPED.get(place)) is not None
        ]
        return bool(typed) and all(pattern.fullmatch(cell.strip()) for pattern, cell in typed)

    def event(self, row: list[str]) -> NewEvent | LineFault:
        """The event of a record that fits."""
        document: dict[str, Any] = {}
        for (group, name), read, cell in zip(self._places, self._readers, row, strict=True):
            if cell:
                target = document.setdefault(group, {}) if group else document
                target[name] = cell if read is None else read(cell)
        if (cost := document.get("cost")) is not None:
            if "amount" in cost:
                cost.setdefault("currency", "usd")
            else:
                # A column that says the currency says nothing of a cost.
                del document["cost"]
        return event_of(document, self._convert)


def _drop_blank(row: list[str], keep: int) -> None:
    """Takes blank cells away from the end, where spreadsheets leave them."""
    while len(row) > keep and not row[-1].strip():
        row.pop()


def place_of(column: str) -> tuple[str, str] | None:
    """The object and its field that a column fills; None if the column names neither.

    Only the keys of metadata are case-sensitive.
    """
    group, dot, name = column.partition(".")
    group = group.lower()
    if group == "metadata" and dot:
        # These would be kept as plain text and cost nothing.
        special = name.partition(".")[0] in {"", "_cost", "_llm"}
        return None if special else (group, name)
    if not dot:
        if group == "cost":
            return "cost", "amount"
        group = _LOWER_CAMEL_CASE.get(group, group)
        known = group in EVENT_FIELDS and group not in {"llm", "metadata"}
        return ("", group) if known else None
    name = _LOWER_CAMEL_CASE.get(name.lower(), name.lower())
    fields = {"cost": COST_FIELDS, "llm": LLM_FIELDS}.get(group, {})
    return (group, name) if name in fields else None


def _reader(group: str, name: str) -> Callable[[str], str | bool | Number] | None:
    """The function that converts the cells of a column; None if they are plain text."""
    if group == "metadata" and name != "product_id":
        return _metadata_value
    if (group, name) not in _TYPED:
        # A product whose id looks like a number is a product all the same.
        return None
    return str.strip if name == "timestamp" else _decimal


def _decimal(cell: str) -> str | Number:
    """A number as in JSON: `10.0` is whole, and an amount with more digits than an amount can
    have is a computed price."""
    cell = cell.strip()
    return Number(cell) if _DECIMAL.fullmatch(cell) else cell


def _holds_text(group: str, name: str) -> bool:
    """Whether cells may hold line breaks."""
    return group == "metadata" or (group == "llm" and name in {"prompt", "response"})


def _metadata_value(cell: str) -> str | bool | Number:
    if cell in {"true", "false"}:
        return cell == "true"
    if not _NUMBER.fullmatch(cell):
        return cell
    # A longer number, such as the id of something, stays text.
    digits = sum(map(str.isdecimal, cell))
    if digits <= DOUBLE_DIGITS_KEPT and (has_no_exponent(cell) or is_double(cell)):
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
        self._again: deque[bytes | None] = deque()
        """Lines that were read and are to be read once more."""
        self._again_bytes_max = REREAD_BYTES_MAX
        self._parts: list[bytes | None] = []
        self._part_bytes = 0
        self.number = 0
        """The last line that was read."""
        self.first = 1
        """The line in which the record begins."""

    def begin_record(self) -> None:
        self.first = self.number + 1
        self._parts.clear()
        self._part_bytes = 0

    def begin_again(self) -> bytes | None:
        """Gives all lines of the record back but the first, which is the answer."""
        if len(self._parts) > 1:
            self._again_bytes_max -= self._part_bytes
        self.unread()
        self.number += 1
        return self._again.popleft()

    def unread(self) -> None:
        """Gives all lines of the record back."""
        self._again.extendleft(reversed(self._parts))
        self.number = self.first - 1

    @property
    def lines(self) -> int:
        """The number of lines of the record."""
        return len(self._parts)

    @property
    def following(self) -> Iterator[str]:
        """The lines of a complete record behind its first."""
        return (line.decode() for line in self._parts[1:] if line is not None)

    @property
    def text(self) -> bytes | None:
        """The record as it is written; None if it holds a line that is not kept."""
        if None in self._parts:
            return None
        return b"".join(filter(None, self._parts)).rstrip(b"\r\n")

    def __iter__(self) -> "_Feed":
        return self

    def __next__(self) -> str:
        if self._again:
            line = self._again.popleft()
        else:
            line = next(self._lines)
            if self.number == 0 and line is not None:
                line = line.removeprefix(b"\xef\xbb\xbf")
            earned = REREAD_FACTOR * len(line or b"")
            self._again_bytes_max = min(self._again_bytes_max + earned, REREAD_BYTES_MAX)
        self.number += 1
        self._parts.append(line)
        self._part_bytes += len(line or b"")
        if line is None or self._part_bytes > RECORD_BYTES_MAX:
            raise _RecordFaultError(
                "EVENT_TOO_LARGE",
                f"the record is longer than {RECORD_BYTES_MAX} bytes, the most that an event may "
                "take",
            )
        if self._part_bytes > self._again_bytes_max and len(self._parts) > 1:
            raise _RecordFaultError(
                "MALFORMED_REQUEST",
                "not CSV: too many quotes around here are not closed for another record of "
                "several lines",
            )
        try:
            return line.decode()
        except UnicodeDecodeError as error:
            raise _RecordFaultError(
                "TEXT_MALFORMED",
                f"byte {error.start + 1} of line {self.number}, 0x{line[error.start]:02x}, "
                "is not UTF-8",
            ) from None


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes | None]:
    """Each line with its line end, which is LF; None for one that is too long to be held.

    Lines end with LF or CR LF, or all with CR if the first one does.
    """
    rest = b""
    dropping = False
    end: bytes | None = None
    for chunk in chunks:
        rest += chunk
        if end is None:
            found = _LINE_END.search(rest)
            if found is None and len(rest) <= RECORD_BYTES_MAX:
                continue
            end = b"\n" if found is None or found[0].endswith(b"\n") else b"\r"
        *finished, rest = rest.split(end)
        for line in finished:
            yield None if dropping or len(line) > RECORD_BYTES_MAX else line + b"\n"
            dropping = False
        if dropping or len(rest) > RECORD_BYTES_MAX:
            dropping, rest = True, b""
    if dropping:
        yield None
    elif rest:
        yield rest
