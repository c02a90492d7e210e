"""Rows in the pages of a SQLite file, whatever has become of the trees that lead to them.

Follows https://www.sqlite.org/fileformat2.html. Whether a row belongs to a table, and whether it is
intact, is for the caller to find out: pages hold rows of every table, and what was deleted too.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

_TABLE_LEAF: Final = 0x0D
_PAGE_BYTES: Final = frozenset(1 << shift for shift in range(9, 17))
_INTEGER_BYTES: Final[Mapping[int, int]] = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}

Value = int | float | bytes | bytearray | None
"""A value of a row: blobs are bytes, and texts are bytearrays."""


_Page = Callable[[int], bytes]
"""Reads a page by its number; pages count from 1."""


class _MalformedError(Exception):
    """Bytes that are no row."""


def rows_in_pages(file: Path, *, page_bytes: int = 4_096) -> Iterator[tuple[Value, ...]]:
    """The rows of all tables in the leaves that are not free, as far as they can be read.

    `page_bytes` is the size of a page where the header of the file does not say.
    """
    with file.open("rb") as opened:
        header = opened.read(100)
        told = int.from_bytes(header[16:18]) or page_bytes
        size = 65_536 if told == 1 else told
        if size not in _PAGE_BYTES:
            size = page_bytes

        def page(number: int) -> bytes:
            opened.seek((number - 1) * size)
            return opened.read(size)

        pages = file.stat().st_size // size
        free = _free_pages(page, int.from_bytes(header[32:36]), pages, size)
        for number in range(2, pages + 1):
            content = page(number)
            if number in free or len(content) < size or content[0] != _TABLE_LEAF:
                continue
            for place in range(int.from_bytes(content[3:5])):
                start = int.from_bytes(content[8 + 2 * place : 10 + 2 * place])
                try:
                    yield _row(_payload(content, start, page, pages, size))
                except (_MalformedError, IndexError):
                    continue


def _free_pages(page: _Page, trunk: int, pages: int, size: int) -> set[int]:
    free: set[int] = set()
    while 0 < trunk <= pages and trunk not in free:
        free.add(trunk)
        content = page(trunk)
        count = min(int.from_bytes(content[4:8]), size // 4 - 2)
        free |= {int.from_bytes(content[8 + 4 * n : 12 + 4 * n]) for n in range(count)}
        trunk = int.from_bytes(content[:4])
    return free


def _payload(content: bytes, start: int, page: _Page, pages: int, size: int) -> bytes:
    """The payload of a cell, most of which may be in a chain of other pages."""
    length, start = _varint(content, start)
    _, start = _varint(content, start)  # the number of the row
    if length > pages * size:
        raise _MalformedError
    least = (size - 12) * 32 // 255 - 23
    local = length
    if length > size - 35:
        local = least + (length - least) % (size - 4)
        if local > size - 35:
            local = least
    payload = bytearray(content[start : start + local])
    following = int.from_bytes(content[start + local : start + local + 4])
    while len(payload) < length:
        if not 0 < following <= pages:
            raise _MalformedError
        overflow = page(following)
        payload += overflow[4:]
        following = int.from_bytes(overflow[:4])
    return bytes(payload[:length])


def _row(payload: bytes) -> tuple[Value, ...]:
    end, place = _varint(payload, 0)
    kinds: list[int] = []
    while place < end:
        kind, place = _varint(payload, place)
        kinds.append(kind)
    values: list[Value] = []
    for kind in kinds:
        length = _INTEGER_BYTES.get(kind, 0)
        if kind == 7:
            length = 8
        elif kind >= 12:
            length = (kind - 12) // 2
        content = payload[place : place + length]
        place += length
        if len(content) < length or kind in {10, 11}:
            raise _MalformedError
        if kind == 0:
            values.append(None)
        elif kind in {8, 9}:
            values.append(kind - 8)
        elif kind == 7:
            values.append(0.0)  # no column of an event is a real number
        elif kind < 7:
            values.append(int.from_bytes(content, signed=True))
        else:
            values.append(bytearray(content) if kind % 2 else content)
    return tuple(values)


def _varint(content: bytes, place: int) -> tuple[int, int]:
    """A number of one to nine bytes, and the place after it."""
    number = 0
    for at in range(place, place + 8):
        byte = content[at]
        number = number << 7 | byte & 0x7F
        if byte < 0x80:
            return number, at + 1
    return number << 8 | content[place + 8], place + 9
