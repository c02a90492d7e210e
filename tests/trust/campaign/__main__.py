"""`make trust`: attacks and accidents at length, in one table."""

import argparse
import contextlib
import logging
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from tests.support.databases import ENGINES, Databases
from tests.support.service import LoopThread, running
from tests.trust.campaign import clocks, credentials, full_disk, fuzzing, kills, overload, power
from tests.trust.campaign.outcomes import Outcome, Watch, show

LOGS = Path(".cache") / "trust"


@dataclass(frozen=True)
class Row:
    """One kind of harm."""

    what: str
    weight: float
    """The share of the time, compared with other rows; 0 if the row takes as long as it takes."""

    run: Callable[[float, Watch], Outcome]
    """Takes the seconds that it may go on."""


def with_bad_credentials(seconds: float, watch: Watch) -> Outcome:
    """Calls everything with bad credentials, on both databases."""
    del seconds
    outcome = Outcome()
    with (
        tempfile.TemporaryDirectory(prefix="cost-insights-trust-") as folder,
        contextlib.closing(Databases(Path(folder))) as databases,
        contextlib.closing(LoopThread()) as loop,
    ):
        for engine in ENGINES:
            settings = {"http_address": "127.0.0.1:0", "token_cache_ms": 0}
            with databases.fresh(engine) as url, running(loop, url, **settings) as service:
                outcome.add(credentials.check(service, watch))
    return outcome


ROWS: Mapping[str, Row] = {
    "credentials": Row("every operation with bad credentials", 0, with_bad_credentials),
    "fuzzing": Row("inputs that coverage leads to", 25, fuzzing.check),
    "kills": Row("SIGKILL under load", 45, kills.check),
    "power": Row("power losses, unflushed writes dropped", 15, power.check),
    "full-disk": Row("a disk that is full now and then", 5, full_disk.check),
    "clocks": Row("clocks that step", 3, clocks.check),
    "overload": Row("ten times as much as may wait", 10, overload.check),
}


def main() -> int:
    """Runs the rows; 1 if anything failed."""
    parser = argparse.ArgumentParser(
        prog="make trust",
        description=__doc__,
        epilog="The rows share the minutes: "
        + "; ".join(f"{name}: {row.what}" for name, row in ROWS.items()),
    )
    parser.add_argument(
        "--only", action="append", choices=ROWS, help="run this row; may be repeated"
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=120,
        help="how long the campaign goes on, about, and all of its rows with it (default 120)",
    )
    options = parser.parse_args()
    chosen = {name: row for name, row in ROWS.items() if name in (options.only or ROWS)}
    weights = sum(row.weight for row in chosen.values()) or 1
    console = Console(file=sys.stdout, width=shutil.get_terminal_size((120, 24)).columns)
    LOGS.mkdir(parents=True, exist_ok=True)
    outcomes = {}
    for name, row in chosen.items():
        began = time.monotonic()
        outcome = run(name, row, 60 * options.minutes * row.weight / weights, console)
        outcomes[name] = row.what, outcome, time.monotonic() - began
    show(outcomes, console)
    return int(any(outcome.failures for _, outcome, _ in outcomes.values()))


def run(name: str, row: Row, seconds: float, console: Console) -> Outcome:
    """Runs one row and shows how far it is; an error of the row itself is a failure.

    What services print and log goes to a file of the row.
    """
    columns = (TextColumn(name), BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with (
        (LOGS / f"{name}.log").open("w") as log,
        contextlib.redirect_stdout(log),
        Progress(*columns, console=console, redirect_stdout=False) as progress,
    ):
        logging.basicConfig(stream=log, force=True)
        task = progress.add_task("", total=1)
        try:
            return row.run(seconds, Watch(progress, task))
        except Exception as error:  # noqa: BLE001 - the other rows go on
            traceback.print_exc(file=log)
            return Outcome(failures=[f"the row ended with {error!r}; see {log.name}"])
        finally:
            # Threads of the row may still have something to say.
            logging.basicConfig(handlers=[logging.NullHandler()], force=True)


if __name__ == "__main__":
    sys.exit(main())
