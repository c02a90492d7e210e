"""Which event loop: how many calls a second `grpc.aio` serves on asyncio's and on uvloop."""

import contextlib
import statistics
import tempfile
from pathlib import Path

from tests.benchmarks.bodies import bodies
from tests.benchmarks.empty_server import LOOPS
from tests.benchmarks.processes import LoadGenerator, empty_server
from tests.benchmarks.results import Results
from tests.benchmarks.timing import ratios

IN_FLIGHT = 128
WARMUP_REQUESTS = 2_000


def event_loops(results: Results, *, seconds: float, rounds: int) -> None:
    """A row about the same small requests to an empty server on either loop, in turns."""
    rates: dict[str, list[float]] = {name: [] for name in LOOPS}
    prepared = bodies(requests=100, events_each=1, keyed=True)
    with (
        contextlib.ExitStack() as servers,
        tempfile.TemporaryDirectory(prefix="cost-insights-load-") as folder,
    ):
        generator = LoadGenerator(Path(folder), prepared)
        addresses = {name: servers.enter_context(empty_server(name)).address for name in LOOPS}
        for address in addresses.values():
            generator.send(address, in_flight=IN_FLIGHT, requests=WARMUP_REQUESTS)
        for _ in range(rounds):
            for name, address in addresses.items():
                load = generator.send(address, in_flight=IN_FLIGHT, seconds=seconds)
                rates[name].append(load.events_per_second)
    medians = {name: statistics.median(found) for name, found in rates.items()}
    results.notes.append(
        f"event loop: an empty grpc.aio handler answers {medians['uvloop']:,.0f} calls a second on "
        f"uvloop, {medians['asyncio']:,.0f} on asyncio's loop, "
        f"{statistics.median(ratios(rates['uvloop'], rates['asyncio'])):.2f} times as many"
    )
