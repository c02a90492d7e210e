"""Running the benchmarks that a command line picks, and showing what they found."""

import argparse
import sys
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence

from rich.console import Console

from tests.benchmarks.results import Results, answers_table_of, loads_table_of, table_of

Benchmark = Callable[[], None]


def add_only(parser: argparse.ArgumentParser, names: Sequence[str]) -> None:
    """Adds the option that picks benchmarks."""
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="ROW",
        help="run only this benchmark; may be repeated: " + ", ".join(names),
        choices=names,
    )


def run(benchmarks: Mapping[str, Benchmark], only: Collection[str], results: Results) -> None:
    """Runs those that are picked, all if none is; one that fails does not keep others from it."""
    console = Console(stderr=True)
    for name, benchmark in benchmarks.items():
        if only and name not in only:
            continue
        console.print(f"measuring {name}")
        try:
            benchmark()
        except Exception as error:  # noqa: BLE001 (the other rows are still worth having)
            results.failures.append((name, f"{type(error).__name__}: {error}"))
            traceback.print_exc()


def show(results: Results) -> int:
    """Prints everything; 1 if a benchmark failed."""
    shown = Console(width=None if sys.stdout.isatty() else 150)
    if results.answers:
        shown.print(answers_table_of(results))
    if results.rows or results.failures:
        shown.print(table_of(results))
    if results.loads:
        shown.print(loads_table_of(results))
    for note in results.notes:
        shown.print(note)
    return 1 if results.failures else 0
