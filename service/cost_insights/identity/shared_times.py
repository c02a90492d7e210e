"""Times in memory that the worker processes of a service share, each under a key.

A time is one aligned word, read and written without a lock: of two processes that add to the same
time within the same microsecond, one may be lost. A rate is not exact to the last call then, and no
process ever waits for another.
"""

import hashlib
from collections.abc import MutableSequence
from multiprocessing.context import BaseContext
from typing import Final

_PLACES: Final = 1 << 16
_PROBES: Final = 64
"""The number of places at which a key may be."""

_CLAIM_SECONDS: Final = 1.0
"""The time to wait for a process that claims a place; one may have been killed meanwhile."""


class SharedTimes:
    """Times, all of them 0 at first. It can be handed to processes that are being started."""

    def __init__(self, processes: BaseContext) -> None:
        self.times: MutableSequence[int] = processes.RawArray("q", _PLACES)
        self._keys: MutableSequence[int] = processes.RawArray("Q", _PLACES)
        self._claiming = processes.Lock()

    def place(self, key: str) -> int | None:
        """The index of the time of a key, the same in every process; None if there is no room."""
        digest = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) or 1
        if (place := self._find(digest)) is not None:
            return place
        claims = self._claiming.acquire(timeout=_CLAIM_SECONDS)
        try:
            # Another process may have been faster.
            place = self._find(digest)
            if place is None and claims:
                place = self._claim(digest)
            return place
        finally:
            if claims:
                self._claiming.release()

    def _find(self, digest: int) -> int | None:
        for place in _places(digest):
            key = self._keys[place]
            if key == digest:
                return place
            if not key:
                return None
        return None

    def _claim(self, digest: int) -> int | None:
        for place in _places(digest):
            if not self._keys[place]:
                self._keys[place] = digest
                return place
        return None


def _places(digest: int) -> range:
    first = digest % (_PLACES - _PROBES)
    return range(first, first + _PROBES)
