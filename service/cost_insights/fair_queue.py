"""A queue in which owners, such as organizations, get equal shares.

Start-time fair queuing: what an owner puts in comes out in the same order, and of two owners with
waiting items neither gets ahead of the other by more than the cost of one item, however much the
other has waiting.
"""

import heapq
import itertools
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

_T = TypeVar("_T")


class _Line(Generic[_T]):
    """The items of an owner."""

    __slots__ = ("cost", "items", "start")

    def __init__(self, start: int) -> None:
        self.items: deque[tuple[_T, int]] = deque()
        self.cost = 0
        self.start = start
        """The virtual time at which the first item is due."""


class FairQueue(Generic[_T]):
    """Items with costs, by owner. All that it does takes time with the logarithm of the owners."""

    def __init__(self) -> None:
        self._lines: dict[int, _Line[_T]] = {}
        self._due: list[tuple[int, int, int]] = []
        """(start, sequence, owner), one for each owner with waiting items, the next in front."""
        self._sequence = itertools.count()
        self._now = 0

    def __bool__(self) -> bool:
        return bool(self._lines)

    @property
    def owners(self) -> int:
        """The number of owners with waiting items."""
        return len(self._lines)

    def cost_of(self, owner: int) -> int:
        """The cost of all waiting items of an owner."""
        line = self._lines.get(owner)
        return 0 if line is None else line.cost

    def count_of(self, owner: int) -> int:
        """The number of waiting items of an owner."""
        line = self._lines.get(owner)
        return 0 if line is None else len(line.items)

    def put(self, owner: int, item: _T, cost: int = 1) -> None:
        """Adds an item of an owner, behind those that wait."""
        line = self._lines.get(owner)
        if line is None:
            line = self._lines[owner] = _Line(self._now)
            self._push(owner, line)
        line.items.append((item, cost))
        line.cost += cost

    def pop(self, may: Callable[[int], bool] = lambda _: True) -> _T | None:
        """Takes the next item, of those owners that may have one; None if there is none."""
        passed: list[tuple[int, int, int]] = []
        found: _T | None = None
        while self._due and found is None:
            entry = heapq.heappop(self._due)
            owner = entry[2]
            if not may(owner):
                passed.append(entry)
                continue
            line = self._lines[owner]
            found, cost = line.items.popleft()
            line.cost -= cost
            self._now = max(self._now, line.start)
            line.start += cost
            self._push_or_forget(owner, line)
        for entry in passed:
            heapq.heappush(self._due, entry)
        return found

    def remove(self, owner: int, item: _T) -> None:
        """Removes an item of an owner, if it still waits."""
        line = self._lines.get(owner)
        for place, (one, cost) in enumerate(() if line is None else line.items):
            if one is item and line is not None:
                del line.items[place]
                line.cost -= cost
                if not line.items:
                    self._due = [entry for entry in self._due if entry[2] != owner]
                    heapq.heapify(self._due)
                    del self._lines[owner]
                return

    def _push_or_forget(self, owner: int, line: _Line[_T]) -> None:
        if line.items:
            self._push(owner, line)
        else:
            del self._lines[owner]

    def _push(self, owner: int, line: _Line[_T]) -> None:
        heapq.heappush(self._due, (line.start, next(self._sequence), owner))
