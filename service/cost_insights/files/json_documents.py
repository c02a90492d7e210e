"""Reading events from JSON of any layout: lists, documents over several lines, requests.

A file whose first line is one object is read line by line, which is the fast way and the documented
form. Any other file is cut into its events here: a list of events, events one after the other in
any layout, or `{"events": [...]}` as in a request. At most one event and one chunk are held,
however long the list is. Events are numbered, since several may stand in one line; each also knows
the line in which it begins.

A damaged event, such as one with a missing bracket, is a fault, and reading goes on at the next
line that begins an event. This module does no I/O.
"""

import itertools
import re
from collections.abc import Iterable, Iterator
from typing import Final

from cost_insights.files import ndjson
from cost_insights.files.ndjson import (
    LINE_BYTES_MAX,
    Convert,
    LineFault,
    Record,
    keep,
    read_event,
)

_BLANK: Final = re.compile(rb"[ \t\r\n,]*")
_INDENT: Final = re.compile(rb"[ \t]*")
_TOKEN: Final = re.compile(rb'"(?:[^"\\\r\n]|\\.)*"|["{}\[\]\n]')
_REQUEST: Final = re.compile(rb'\{\s*"events"\s*:\s*\[')
_REQUEST_END: Final = re.compile(rb'\]\s*(?:,\s*"accept_?[vV]alid"\s*:\s*(?:true|false)\s*)?\}')
_REQUEST_BYTES_MAX: Final = 256
"""The greatest distance between the beginning of a request and its list, and between the end of the
list and the end of the request."""
_PAIRS: Final = {ord("}"): ord("{"), ord("]"): ord("[")}


class CutOffError(Exception):
    """The file ends within a list or an event."""


def read_records(
    chunks: Iterable[bytes], *, first: int = 1, convert: Convert = keep
) -> Iterator[Record]:
    """The records of a file of JSON, from the line `first` on; from the event of that number on if
    the file is not one of lines.

    Raises CutOffError, after all complete records, if the end of the file is missing.
    """
    pieces = iter(chunks)
    head = line = b""
    for piece in pieces:
        head += piece
        line, line_end, _ = head.removeprefix(b"\xef\xbb\xbf").lstrip().partition(b"\n")
        if line_end or len(line) > LINE_BYTES_MAX or _begins_list(line):
            break
    whole = itertools.chain([head], pieces)
    if _is_one_event(line):
        yield from ndjson.read_records(whole, first_line=first, convert=convert)
        return
    for number, (begins, text, fault) in enumerate(_Splitter(whole).events(), 1):
        if number >= first:
            event = fault or read_event(text or b"", convert)
            yield Record(number, text, event, begins=begins)


def _begins_list(line: bytes) -> bool:
    return line.startswith(b"[") or _REQUEST.match(line) is not None


def _is_one_event(line: bytes) -> bool:
    """Whether a line holds exactly one object, or begins like no document at all."""
    if not line.startswith((b"{", b"[")):
        return True
    if _begins_list(line):
        return False
    depth = 0
    for token in _TOKEN.finditer(line):
        kind = token[0]
        if kind == b'"':
            # No layout breaks a text, so this is a line that is damaged.
            return True
        depth += (kind in b"{[") - (kind in b"}]")
        if depth == 0 and kind in b"}]":
            return not line[token.end() :].lstrip(b" \t\r,").startswith(b"{")
    return False


class _Splitter:
    """Cuts a file into the texts of its events."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._data = b""
        self._at = 0
        self._line = 1
        self._column = 0
        """The number of blank bytes at the beginning of the line; -1 after any other byte."""
        self._lists: list[tuple[bool, int]] = []
        """The open lists: whether each belongs to a request, and the line in which it begins."""

    def events(self) -> Iterator[tuple[int, bytes | None, LineFault | None]]:
        """The line, the text and the fault of each event."""
        self._more()
        self._data = self._data.removeprefix(b"\xef\xbb\xbf")
        while self._skip(_BLANK):
            byte = self._data[self._at : self._at + 1]
            if byte in b"{[" and not self._lists and self._opens_list(byte):
                continue
            if byte == b"]" and self._lists:
                self._close_list()
            elif byte == b"{":
                yield self._event()
            else:
                yield self._stray()
        if self._lists:
            raise CutOffError(
                f"the list that line {self._lists[-1][1]} begins is not closed; the file seems to "
                "be cut off"
            )

    def _more(self) -> bool:
        """Reads another chunk and drops the bytes that are done with; returns false at the end."""
        chunk = next(self._chunks, b"")
        self._data = self._data[self._at :] + chunk
        self._at = 0
        return bool(chunk)

    def _ahead(self) -> bytes:
        """The next bytes: as many as the beginning or the end of a request may take."""
        while len(self._data) - self._at < _REQUEST_BYTES_MAX and self._more():
            pass
        return self._data[self._at : self._at + _REQUEST_BYTES_MAX]

    def _pass(self, end: int) -> None:
        """Moves on to a place and counts the lines on the way."""
        passed = self._data[self._at : end]
        if lines := passed.count(b"\n"):
            self._line += lines
            self._column = 0
            passed = passed[passed.rindex(b"\n") + 1 :]
        if passed.strip(b" \t"):
            self._column = -1
        elif self._column >= 0:
            self._column += len(passed)
        self._at = end

    def _skip(self, blank: re.Pattern[bytes]) -> bool:
        """Moves on to the next byte that is not blank; returns false at the end."""
        while True:
            passed = blank.match(self._data, self._at)
            self._pass(self._at if passed is None else passed.end())
            if self._at < len(self._data):
                return True
            if not self._more():
                return False

    def _opens_list(self, byte: bytes) -> bool:
        request = _REQUEST.match(self._ahead())
        if byte == b"[" or request is not None:
            self._lists.append((request is not None, self._line))
            self._pass(self._at + (1 if request is None else request.end()))
            return True
        return False

    def _close_list(self) -> None:
        is_request, _ = self._lists.pop()
        end = _REQUEST_END.match(self._ahead()) if is_request else None
        self._pass(self._at + (1 if end is None else end.end()))

    def _event(self) -> tuple[int, bytes | None, LineFault | None]:
        line, column = self._line, self._column
        opened = bytearray()
        end = self._at
        while True:
            token = _TOKEN.search(self._data, end)
            if token is None or (token[0] == b'"' and b"\n" not in self._data[token.end() :]):
                # The rest may be the beginning of a text, which is looked at as a whole.
                end = (len(self._data) if token is None else token.start()) - self._at
                if end > LINE_BYTES_MAX or len(self._data) - self._at > 2 * LINE_BYTES_MAX:
                    return self._damage(line, column, end, "EVENT_TOO_LARGE", _TOO_LONG)
                if not self._more():
                    raise CutOffError(
                        f"the event that line {line} begins is not closed; the file seems to be "
                        "cut off"
                    )
                continue
            end = token.end()
            why = self._why_damaged(token, opened, column)
            if end - self._at > LINE_BYTES_MAX:
                return self._damage(line, column, end - self._at, "EVENT_TOO_LARGE", _TOO_LONG)
            if why is not None:
                place = token.start() - self._at
                return self._damage(line, column, place, "MALFORMED_REQUEST", f"not JSON: {why}")
            if not opened and token[0] == b"}":
                text = self._data[self._at : end]
                self._pass(end)
                return line, text, None

    def _why_damaged(self, token: re.Match[bytes], opened: bytearray, column: int) -> str | None:
        """The reason why a token cannot be part of an event that began in that column and has these
        brackets open; None if it can."""
        kind = token[0]
        if kind == b'"':
            return "a text is not closed in its line"
        if kind in (b"{", b"["):
            begins = self._data.rfind(b"\n", self._at, token.start()) + 1
            before = self._data[begins : token.start()]
            if kind == b"{" and begins and column >= len(before) and not before.strip(b" \t"):
                previous = self._data[self._at : begins].rstrip()
                if not previous.endswith(b":"):
                    return "another event begins before this one is closed"
            opened += kind
        elif kind[0] in _PAIRS and (not opened or opened.pop() != _PAIRS[kind[0]]):
            return f"{kind.decode()} closes nothing"
        return None

    def _damage(
        self, line: int, column: int, length: int, reason: str, why: str
    ) -> tuple[int, bytes | None, LineFault]:
        """Skips everything up to the next line that begins an event."""
        text = self._data[self._at : self._at + length].rstrip(b" \t\r\n,")
        self._pass(self._at + length)
        while not (0 <= self._column <= max(column, 0) and self._begins_event()):
            end = self._data.find(b"\n", self._at) + 1
            self._pass(end or len(self._data))
            if not (self._skip(_INDENT) if end else self._more()):
                break
        last = max(line, self._line - 1)
        lines = f"line {line} is" if last == line else f"lines {line} to {last} are"
        kept = text if len(text) <= LINE_BYTES_MAX else None
        return line, kept, LineFault("", reason, f"{why}; {lines} left out")

    def _begins_event(self) -> bool:
        return self._data[self._at : self._at + 1] in (b"{", b"]") and self._at < len(self._data)

    def _stray(self) -> tuple[int, bytes, LineFault]:
        """The fault of text between events; it is skipped up to the next event."""
        line = self._line
        self._ahead()
        stray = _STRAY.match(self._data, self._at)
        end = self._at + 1 if stray is None else stray.end()
        text = self._data[self._at : end]
        self._pass(end)
        shown = text[:64].decode(errors="backslashreplace").strip()
        return (
            line,
            text,
            LineFault(
                "", "MALFORMED_REQUEST", f"{shown} is not an event; a JSON object is allowed", shown
            ),
        )


_STRAY: Final = re.compile(rb'(?:"(?:[^"\\\r\n]|\\.)*"|\[[^\n{\[\]]*\]|[^\n{\[\],])+')
_TOO_LONG: Final = (
    f"the event is longer than {LINE_BYTES_MAX} bytes, the most that an event may take"
)
