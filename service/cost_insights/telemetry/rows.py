"""The numbers of all processes that share a port, in memory that they share too.

Each process writes a row of its own, and any of them can read all. A process that is started in the
place of one that died goes on with its row, so that no counter ever goes back.
"""

import time
from collections.abc import MutableSequence, Sequence
from typing import Any, Final, cast

from cost_insights.telemetry.instruments import Combination, Instrument, InstrumentKind

_ALIVE_SECONDS: Final = 10
"""The time without a sign of life after which the gauges of a process do not count."""


def rows_size(processes: int, length: int) -> int:
    """The number of doubles that the rows of processes take, with `length` numbers each."""
    return processes * (length + 1)


class Rows:
    """The rows of all processes, as one of them sees them."""

    def __init__(self, memory: Any, *, processes: int, own: int) -> None:
        """`memory` is an array of doubles as large as `rows_size` says, and `own` is the number of
        this process, from 0."""
        numbers = memoryview(memory).cast("B").cast("d")
        size = len(numbers) // processes
        self._rows = [numbers[number * size : (number + 1) * size] for number in range(processes)]
        self._own = self._rows[own]

    @property
    def own(self) -> MutableSequence[float]:
        """The numbers of this process."""
        return cast("MutableSequence[float]", self._own[1:])

    def begin(self, definitions: Sequence[Instrument]) -> None:
        """Begins a row, of which the gauges may be those of a process that died."""
        for definition in definitions:
            if definition.kind is InstrumentKind.GAUGE:
                for place in definition.places.values():
                    self._own[1 + place] = 0
        self.live()

    def live(self) -> None:
        """Gives a sign of life."""
        self._own[0] = time.monotonic()

    def combined(self, definitions: Sequence[Instrument]) -> Sequence[float]:
        """The numbers of all processes together."""
        total = [sum(column) for column in zip(*self._rows, strict=True)][1:]
        now = time.monotonic()
        alive = [row for row in self._rows if now - row[0] < _ALIVE_SECONDS]
        for definition in definitions:
            if definition.kind is InstrumentKind.GAUGE:
                combine = max if definition.combination is Combination.MAX else sum
                for place in definition.places.values():
                    total[place] = combine([row[1 + place] for row in alive] or [0.0])
        return total
