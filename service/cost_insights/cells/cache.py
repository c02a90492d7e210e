"""A cache of packed cells: they never change, so each is read once."""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cost_insights._native.cells import CachedCells
from cost_insights.cells.rows import Packed
from cost_insights.telemetry import NOTHING, CacheMeasurements


class CellCache:
    """Packed batches and segments by id, shared by all threads, bounded by their bytes.

    The least recently used entry is evicted first. The content of an id never changes, so no entry
    is ever out of date. Ids are given as their 16 bytes: an answer looks up hundreds, and a `UUID`
    is hashed many times slower.
    """

    _ENTRY_BYTES = 200
    """The approximate size of an entry beside its content."""

    def __init__(self, bytes_max: int, measurements: CacheMeasurements = NOTHING.cells) -> None:
        self._bytes_max = bytes_max
        self._measurements = measurements
        self._bytes = 0
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def held_bytes(self) -> int:
        """The approximate size of all entries."""
        return self._bytes

    def known(self, ids: Iterable[bytes]) -> dict[bytes, CachedCells]:
        """The cached ids among these, with their contents."""
        known: dict[bytes, CachedCells] = {}
        asked = 0
        with self._lock:
            for one in ids:
                asked += 1
                if (entry := self._entries.get(one)) is not None:
                    self._entries.move_to_end(one)
                    self._count(entry)
                    known[one] = entry.cached
            self._make_room()
            self._measurements.hits.add(len(known))
            self._measurements.misses.add(asked - len(known))
        return known

    def measure(self) -> None:
        """Sets the gauge of the size."""
        self._measurements.bytes.set(self._bytes)

    def remember(self, contents: Mapping[bytes, Packed]) -> Mapping[bytes, CachedCells]:
        """Adds committed contents, and returns them as they are cached."""
        added = {one: CachedCells(*packed) for one, packed in contents.items()}
        with self._lock:
            for one, cached in added.items():
                if one not in self._entries:
                    self._entries[one] = entry = _Entry(cached)
                    self._bytes += self._ENTRY_BYTES
                    self._count(entry)
            self._make_room()
        return added

    def forget(self, ids: Iterable[bytes]) -> None:
        """Removes entries that nobody will ask for again."""
        with self._lock:
            for one in ids:
                if (entry := self._entries.pop(one, None)) is not None:
                    self._bytes -= entry.bytes + self._ENTRY_BYTES

    def _count(self, entry: "_Entry") -> None:
        """Updates the counted size of an entry."""
        counted, entry.bytes = entry.bytes, entry.cached.bytes
        self._bytes += entry.bytes - counted

    def _make_room(self) -> None:
        while self._bytes > self._bytes_max:
            _, entry = self._entries.popitem(last=False)
            self._bytes -= entry.bytes + self._ENTRY_BYTES


@dataclass(slots=True)
class _Entry:
    """The cached content of one id."""

    cached: CachedCells
    bytes: int = 0
    """The counted bytes of the content, which grows while questions use it."""
