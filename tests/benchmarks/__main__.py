"""`make bench`: every comparison in one table."""

import os

# Before anything imports polars, which reads it once.
os.environ["POLARS_MAX_THREADS"] = "1"

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import pyarrow as pa

from tests.benchmarks import (
    amounts,
    decoding,
    event_loop,
    fairness,
    ingest,
    organizations,
    telemetry,
)
from tests.benchmarks.results import Results, Row
from tests.benchmarks.running import Benchmark, add_only, run, show
from tests.support.databases import Databases


def main() -> int:
    """Runs the benchmarks; 1 if one could not be run or computed something else than its peer."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    add_only(parser, _NAMES)
    parser.add_argument(
        "--seconds",
        type=float,
        default=5,
        help="how long a measurement lasts, of ingest each round of each side (default 5)",
    )
    parser.add_argument(
        "--rounds", type=int, default=5, help="how many rounds ingest is measured (default 5)"
    )
    parser.add_argument(
        "--soak-seconds",
        type=float,
        default=30,
        help="for how long the memory is watched under load (default 30; 600 for the record)",
    )
    options = parser.parse_args()
    if options.rounds < 2:
        parser.error("--rounds must be at least 2, or there is no spread to show")
    pa.set_cpu_count(1)
    results = Results()
    with (
        tempfile.TemporaryDirectory(prefix="cost-insights-bench-") as folder,
        contextlib.closing(Databases(Path(folder))) as databases,
    ):
        run(_benchmarks(options, databases, results), options.only, results)
    return show(results)


_NAMES = (
    "sum",
    "group",
    "parse",
    "decode",
    "decode-json",
    "ingest",
    "ingest-unkeyed",
    "ingest-sqlite",
    "single",
    "organizations",
    "fairness",
    "http",
    "http-single",
    "event-loop",
    "telemetry",
    "soak",
)


def _benchmarks(
    options: argparse.Namespace, databases: Databases, results: Results
) -> Mapping[str, Benchmark]:
    def rows(benchmark: Callable[[float], Iterator[Row]]) -> Benchmark:
        return lambda: results.rows.extend(benchmark(options.seconds))

    def batches(engine: str, *, keyed: bool) -> Benchmark:
        return partial(
            ingest.batches,
            databases,
            results,
            engine=engine,
            keyed=keyed,
            seconds=options.seconds,
            rounds=options.rounds,
        )

    benchmarks: tuple[Benchmark, ...] = (
        rows(amounts.sums),
        rows(amounts.grouped_sums),
        rows(amounts.parsing),
        rows(decoding.decoding),
        rows(decoding.json_decoding),
        batches("postgresql", keyed=True),
        batches("postgresql", keyed=False),
        batches("sqlite", keyed=True),
        partial(ingest.singles, databases, results, seconds=options.seconds, rounds=options.rounds),
        partial(
            organizations.many_organizations,
            databases,
            results,
            seconds=options.seconds,
            rounds=options.rounds,
        ),
        partial(
            fairness.beside_a_greedy_one,
            databases,
            results,
            seconds=options.seconds,
            rounds=options.rounds,
        ),
        partial(
            ingest.batches_over_http,
            databases,
            results,
            seconds=options.seconds,
            rounds=options.rounds,
        ),
        partial(
            ingest.singles_over_http,
            databases,
            results,
            seconds=options.seconds,
            rounds=options.rounds,
        ),
        partial(event_loop.event_loops, results, seconds=options.seconds, rounds=options.rounds),
        partial(
            telemetry.what_it_costs,
            databases,
            results,
            seconds=options.seconds,
            rounds=options.rounds,
        ),
        partial(ingest.soak, databases, results, seconds=options.soak_seconds),
    )
    return dict(zip(_NAMES, benchmarks, strict=True))


if __name__ == "__main__":
    sys.exit(main())
