"""Instruments: counters, gauges and histograms whose numbers lie in one array of a process.

Every label has a closed set of values, so each number has its place before anything is counted.
Counting is an addition there, and adding up the arrays of all processes that share a port gives the
numbers of the service. The library for Prometheus would take ten times as long for each number,
which is more than an event may cost.
"""

import enum
import threading
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping, MutableSequence, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

Labels = tuple[str, ...]
"""The values of the labels of a series."""

SECONDS: Final = (
    0.000_5,
    0.001,
    0.002_5,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
)
"""The bounds of histograms of time."""

COUNTS: Final = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0)
"""The bounds of histograms of numbers of things."""


class InstrumentKind(enum.Enum):
    """The kinds of instruments."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Combination(enum.Enum):
    """How the values of several processes become one."""

    SUM = "sum"
    MAX = "max"


@dataclass(frozen=True)
class Instrument:
    """A definition: all that is known of an instrument besides its numbers."""

    kind: InstrumentKind
    name: str
    """The name in Prometheus, without the `_total` of counters."""

    help: str
    unit: str
    """`seconds`, `bytes`, or the things that are counted, such as `events`."""

    label_names: Sequence[str]
    places: Mapping[Labels, int]
    """The place of the first number of each series, by its labels."""

    bounds: Sequence[float] = ()
    """The upper bounds of the buckets of a histogram. Its numbers are the sum of the values, and
    how many are in each bucket, in one beyond the last bound too."""

    combination: Combination = Combination.SUM
    shows_zeros: bool = True
    """Whether a series is shown before it has counted anything."""

    @property
    def shown_name(self) -> str:
        """The name that Prometheus shows."""
        return f"{self.name}_total" if self.kind is InstrumentKind.COUNTER else self.name


class Counter(Protocol):
    """A number that only grows; for one thread."""

    def add(self, amount: float = 1) -> None:
        """Adds to it."""


class Gauge(Protocol):
    """A number that goes up and down; for one thread."""

    def add(self, amount: float) -> None:
        """Adds to it; a negative amount takes away."""

    def set(self, value: float) -> None:
        """Replaces it."""


class Histogram(Protocol):
    """How often values were in which bucket; for one thread."""

    def observe(self, value: float) -> None:
        """Counts a value."""


class _Number:
    """A number in the array."""

    __slots__ = ("_place", "_values")

    def __init__(self, values: MutableSequence[float], place: int) -> None:
        self._values = values
        self._place = place

    def add(self, amount: float = 1) -> None:
        self._values[self._place] += amount

    def set(self, value: float) -> None:
        self._values[self._place] = value


class _Buckets:
    """A histogram in the array."""

    __slots__ = ("_bounds", "_place", "_values")

    def __init__(self, values: MutableSequence[float], place: int, bounds: Sequence[float]) -> None:
        self._values = values
        self._place = place
        self._bounds = bounds

    def observe(self, value: float) -> None:
        values, place = self._values, self._place
        values[place] += value
        values[place + 1 + bisect_left(self._bounds, value)] += 1


class _Locked:
    """A number or a histogram that many threads change."""

    __slots__ = ("_lock", "_unlocked")

    def __init__(self, unlocked: "_Number | _Buckets") -> None:
        self._unlocked: Any = unlocked
        self._lock = threading.Lock()

    def add(self, amount: float = 1) -> None:
        with self._lock:
            self._unlocked.add(amount)

    def set(self, value: float) -> None:
        self._unlocked.set(value)

    def observe(self, value: float) -> None:
        with self._lock:
            self._unlocked.observe(value)


class _Nothing:
    """An instrument that measures nothing."""

    __slots__ = ()

    def add(self, amount: float = 1) -> None:
        pass

    def set(self, value: float) -> None:
        pass

    def observe(self, value: float) -> None:
        pass


class Instruments:
    """The instruments of one process, in the order in which they are defined."""

    def __init__(self, values: MutableSequence[float] | None = None) -> None:
        """`values` is an array in memory that processes share, long enough for all instruments;
        without it, they get one of their own."""
        self.definitions: list[Instrument] = []
        self.values: MutableSequence[float] = array("d") if values is None else values
        self.length = 0
        """The number of numbers."""

    def counter(self, name: str, words: str, unit: str, *, threads: bool = False) -> Counter:
        """A counter without labels; `threads` lets many threads use it."""
        return self.counters(name, words, unit, threads=threads)[()]

    def counters(
        self,
        name: str,
        words: str,
        unit: str,
        label_names: Sequence[str] = (),
        labels: Iterable[Labels] = ((),),
        *,
        threads: bool = False,
        shows_zeros: bool = True,
    ) -> Mapping[Labels, Counter]:
        """Counters by the values of their labels."""
        return self._series(
            Instrument(
                InstrumentKind.COUNTER,
                name,
                words,
                unit,
                label_names,
                self._places(labels, 1),
                shows_zeros=shows_zeros,
            ),
            threads=threads,
        )

    def gauge(
        self,
        name: str,
        words: str,
        unit: str,
        *,
        combination: Combination = Combination.SUM,
        threads: bool = False,
    ) -> Gauge:
        """A gauge without labels; `threads` lets many threads add to it."""
        return self.gauges(name, words, unit, combination=combination, threads=threads)[()]

    def gauges(
        self,
        name: str,
        words: str,
        unit: str,
        label_names: Sequence[str] = (),
        labels: Iterable[Labels] = ((),),
        *,
        combination: Combination = Combination.SUM,
        threads: bool = False,
    ) -> Mapping[Labels, Gauge]:
        """Gauges by the values of their labels."""
        return self._series(
            Instrument(
                InstrumentKind.GAUGE,
                name,
                words,
                unit,
                label_names,
                self._places(labels, 1),
                combination=combination,
            ),
            threads=threads,
        )

    def histogram(
        self, name: str, words: str, unit: str, bounds: Sequence[float] = SECONDS
    ) -> Histogram:
        """A histogram without labels."""
        return self.histograms(name, words, unit, bounds=bounds)[()]

    def histograms(
        self,
        name: str,
        words: str,
        unit: str,
        label_names: Sequence[str] = (),
        labels: Iterable[Labels] = ((),),
        *,
        bounds: Sequence[float] = SECONDS,
        threads: bool = False,
        shows_zeros: bool = True,
    ) -> Mapping[Labels, Histogram]:
        """Histograms by the values of their labels."""
        return self._series(
            Instrument(
                InstrumentKind.HISTOGRAM,
                name,
                words,
                unit,
                label_names,
                # The sum of the values and the bucket beyond the last bound.
                self._places(labels, len(bounds) + 2),
                bounds=bounds,
                shows_zeros=shows_zeros,
            ),
            threads=threads,
        )

    def _places(self, labels: Iterable[Labels], size: int) -> Mapping[Labels, int]:
        places = {one: self.length + number * size for number, one in enumerate(labels)}
        self.length += len(places) * size
        if isinstance(self.values, array):
            self.values.extend([0.0] * (self.length - len(self.values)))
        return places

    def _series(self, definition: Instrument, *, threads: bool) -> Mapping[Labels, Any]:
        self.definitions.append(definition)
        found: dict[Labels, Any] = {}
        for labels, place in definition.places.items():
            unlocked = (
                _Buckets(self.values, place, definition.bounds)
                if definition.kind is InstrumentKind.HISTOGRAM
                else _Number(self.values, place)
            )
            found[labels] = _Locked(unlocked) if threads else unlocked
        return found


class NoInstruments(Instruments):
    """Instruments that measure nothing."""

    def _series(self, definition: Instrument, *, threads: bool) -> Mapping[Labels, Any]:
        del threads
        self.definitions.append(definition)
        return dict.fromkeys(definition.places, _Nothing())
