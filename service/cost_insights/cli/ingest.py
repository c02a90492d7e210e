"""The command that sends a file of events to a service."""

import asyncio
import os
import stat
import time
from types import TracebackType
from typing import Annotated, Final

import rich.filesize
import rich.progress
import typer

from cost_insights.cli.client import AddressOption, TokenOption, service_of
from cost_insights.cli.console import (
    EXIT_CODES,
    EXIT_REFUSED,
    err,
    exit_with,
    note,
    say,
    seconds,
    usage,
    whole_number,
)
from cost_insights.cli.sender import Counts, Sender, Source
from cost_insights.ingest.ndjson import LineFault

NOTE_EVERY_SECONDS: Final = 5.0
"""How often progress is told where there is no terminal to draw a bar on."""


app: Final = typer.Typer(add_completion=False)


@app.command(epilog=EXIT_CODES)
def ingest(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A file of events, or - for standard input.")
    ],
    *,
    address: AddressOption = None,
    token: TokenOption = None,
    batch_events: Annotated[
        int,
        typer.Option(
            parser=whole_number(1, 10_000),
            metavar="N",
            help="How many events to send in one request, 1 to 10000.",
        ),
    ] = 1_000,
    retry_seconds: Annotated[
        float,
        typer.Option(
            parser=seconds(0, 86_400),
            metavar="SECONDS",
            help="For how long a request that does not get through is retried, 0 to 86400.",
        ),
    ] = 60,
    quiet: Annotated[
        bool,
        typer.Option("--quiet", help="Print faults only. Default: progress and a summary, too."),
    ] = False,
) -> None:
    """Sends events from a file, one JSON object a line.

    Valid events are stored even where others are not. Each fault is printed on
    stderr with the number of its line, and the exit code is then 1. The summary
    on stdout counts what was inserted, what was stored already (duplicates),
    what has an external_id that is taken by other content (conflicts), and what
    was refused.

    A line has the fields name, external_customer_id or customer_id, timestamp,
    external_id, parent_id, external_member_id, cost, llm, product_id and
    metadata. Amounts keep the digits they are written with.

    Sending a file again is safe where every event has an external_id: what is
    stored already counts as a duplicate. A request that holds an event without
    one is not retried unless it is certain that nothing of it was stored.

    Example: cost-insights ingest events.ndjson

    Example: zcat events.ndjson.gz | cost-insights ingest - --quiet
    """
    service = service_of(address, token)
    source = _open(file)
    watcher = _Watcher(source, quiet=quiet)
    sender = Sender(
        source, service, watcher, batch_events=batch_events, retry_seconds=retry_seconds
    )
    try:
        with watcher:
            asyncio.run(sender.run())
    finally:
        os.close(source.descriptor)
        if not quiet:
            counts = sender.counts
            say(
                f"inserted {counts.inserted}, duplicates {counts.duplicates}, "
                f"conflicts {counts.conflicts}, refused {counts.refused}"
            )
    if sender.counts.refused or sender.counts.conflicts:
        exit_with(EXIT_REFUSED)


def _open(file: str) -> Source:
    try:
        if file == "-":
            # A descriptor of its own can be closed and leaves standard input open.
            name, descriptor = "<stdin>", os.dup(0)
        else:
            name, descriptor = file, os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise usage(f"FILE: {file!r} cannot be read: {why}") from None
    status = os.fstat(descriptor)
    if stat.S_ISDIR(status.st_mode):
        os.close(descriptor)
        raise usage(f"FILE: {file!r} is a folder; a file or - is allowed")
    waits = stat.S_ISFIFO(status.st_mode) or stat.S_ISSOCK(status.st_mode) or os.isatty(descriptor)
    size = status.st_size if stat.S_ISREG(status.st_mode) else None
    return Source(name, descriptor, size, waits)


class _Watcher:
    """Prints faults, and a bar on a terminal or a line now and then elsewhere."""

    def __init__(self, source: Source, *, quiet: bool) -> None:
        self._source = source
        self._quiet = quiet
        self._started = self._noted = time.monotonic()
        self._bar: rich.progress.Progress | None = None
        if not quiet and err.is_terminal:
            self._bar = rich.progress.Progress(
                rich.progress.TextColumn("{task.description}", markup=False),
                rich.progress.BarColumn(),
                rich.progress.DownloadColumn(),
                rich.progress.TextColumn("{task.fields[events]} events"),
                rich.progress.TextColumn("{task.fields[rate]} a second"),
                console=err,
                transient=True,
            )
            self._task = self._bar.add_task(
                os.path.basename(source.name),  # noqa: PTH119 (a name to show, not a path)
                total=source.bytes_total,
                events=0,
                rate=0,
            )

    def __enter__(self) -> None:
        if self._bar is not None:
            self._bar.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def fault(self, line: int, fault: LineFault) -> None:
        """Names the line."""
        path = f"{fault.path}: " if fault.path else ""
        note(f"{self._source.name}:{line}: {path}{fault.message}")

    def progress(self, counts: Counts, bytes_read: int) -> None:
        """Draws the bar or, now and then, writes a line."""
        now = time.monotonic()
        rate = round(counts.events / max(now - self._started, 0.001))
        if self._bar is not None:
            self._bar.update(self._task, completed=bytes_read, events=counts.events, rate=rate)
        elif not self._quiet and now - self._noted >= NOTE_EVERY_SECONDS:
            self._noted = now
            total = self._source.bytes_total
            of = "" if total is None else f" of {rich.filesize.decimal(total)}"
            note(
                f"{self._source.name}: {counts.events} events, "
                f"{rich.filesize.decimal(bytes_read)}{of}, {rate} events a second"
            )
