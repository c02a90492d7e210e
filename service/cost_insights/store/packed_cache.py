"""Packed cells that the process remembers: they never change, so each is read once."""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping


class PackedCache:
    """Packed batches and segments by id, shared by all threads, bounded by their bytes.

    What was asked for least recently goes first. An id stands for one content for
    ever, so nothing in here is ever out of date. It is given as its 16 bytes: an
    answer looks for hundreds, and a `UUID` is hashed many times slower.
    """

    _ENTRY_BYTES = 200
    """About what an entry takes beside its content."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._entries: OrderedDict[bytes, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def known(self, ids: Iterable[bytes]) -> dict[bytes, bytes]:
        """Those of the ids that are remembered, with their contents."""
        known: dict[bytes, bytes] = {}
        with self._lock:
            for one in ids:
                if (packed := self._entries.get(one)) is not None:
                    self._entries.move_to_end(one)
                    known[one] = packed
        return known

    def remember(self, contents: Mapping[bytes, bytes]) -> None:
        """Adds contents; only of what is committed."""
        with self._lock:
            for one, packed in contents.items():
                if one not in self._entries:
                    self._entries[one] = packed
                    self._bytes += len(packed) + self._ENTRY_BYTES
            while self._bytes > self._bytes_max:
                _, packed = self._entries.popitem(last=False)
                self._bytes -= len(packed) + self._ENTRY_BYTES

    def forget(self, ids: Iterable[bytes]) -> None:
        """Makes room: nobody will ask for these again."""
        with self._lock:
            for one in ids:
                if (packed := self._entries.pop(one, None)) is not None:
                    self._bytes -= len(packed) + self._ENTRY_BYTES
