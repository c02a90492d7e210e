"""Measuring functions in turns."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tests.benchmarks.results import Row, rate

ROUNDS_MIN = 5


@dataclass(frozen=True)
class Best:
    """Our speed next to that of the fastest of several peers."""

    ours_seconds: float
    peer: str
    peer_seconds: float
    ratios: Sequence[float]

    def row(self, what: str, items: int, unit: str, asked: float) -> Row:
        """A row of the table, about that many items a call."""
        return Row(
            what,
            rate(items / self.ours_seconds, unit),
            f"{self.peer}: {rate(items / self.peer_seconds, unit)}",
            self.ratios,
            asked,
        )


def compare(
    ours: Callable[[], object], peers: Mapping[str, Callable[[], object]], *, seconds: float
) -> Best:
    """Calls all functions in turns until the time is up and compares the medians.

    The ratios are those of the best peer's time over ours in one round each, so that
    what slows the machine for a while slows both sides of it.
    """
    functions = [ours, *peers.values()]
    rounds: list[list[float]] = []
    until = time.perf_counter() + seconds
    for function in functions:
        function()  # warms caches and allocators
    while len(rounds) < ROUNDS_MIN or time.perf_counter() < until:
        rounds.append([_seconds_of(function) for function in functions])
    our_times, *peer_times = zip(*rounds, strict=True)
    medians = [statistics.median(times) for times in peer_times]
    best = medians.index(min(medians))
    return Best(
        statistics.median(our_times),
        list(peers)[best],
        medians[best],
        ratios(peer_times[best], our_times),
    )


def ratios(dividends: Sequence[float], divisors: Sequence[float]) -> list[float]:
    """The ratios of what was measured in one round each."""
    return [a / b for a, b in zip(dividends, divisors, strict=True)]


def _seconds_of(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start
