"""The command that sends a file of events to a service."""

import asyncio
import itertools
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Annotated, Final

import rich.filesize
import rich.progress
import typer

from cost_insights.cli.client import (
    AddressOption,
    CaOption,
    CertOption,
    KeyOption,
    TlsFlags,
    TlsOption,
    TokenOption,
    service_of,
)
from cost_insights.cli.console import (
    EXIT_CODES,
    EXIT_REFUSED,
    CommandError,
    err,
    exit_with,
    note,
    say,
    seconds,
    usage,
    whole_number,
)
from cost_insights.cli.file_errors import command_errors
from cost_insights.cli.variables import settings_of
from cost_insights.files.checkpoint import (
    SUFFIX,
    Checkpoint,
    Counts,
    FaultsFile,
    State,
    read_state,
)
from cost_insights.files.conversion import Conversion, Timestamps, Unit
from cost_insights.files.csv_records import KNOWN_COLUMNS, place_of
from cost_insights.files.errors import SourceError
from cost_insights.files.ndjson import LineFault
from cost_insights.files.sender import BATCH_BYTES_MAX, Rehearsal, Sender
from cost_insights.files.source import Format, Source, open_source

NOTE_EVERY_SECONDS: Final = 5.0
"""The time between two lines of progress if there is no terminal to draw a bar on."""

BATCH_EVENTS: Final = 1_000

FAULTS_SHOWN_MAX: Final = 20
"""The number of faults to print if a file gets all of them."""


app: Final = typer.Typer(add_completion=False)


@app.command(epilog=EXIT_CODES)
def ingest(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A file of events, or - for standard input.")
    ],
    *,
    address: AddressOption = None,
    token: TokenOption = None,
    tls: TlsOption = False,
    ca: CaOption = None,
    cert: CertOption = None,
    key: KeyOption = None,
    format_: Annotated[
        Format | None,
        typer.Option(
            "--format",
            help="The format of the events. Default: csv if the name ends in .csv or .tsv, or else "
            "ndjson, which means any JSON.",
        ),
    ] = None,
    names: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="NAME=FIELD",
            help="Map the name of a column or JSON field to a field of events: amount=cost, "
            "region=metadata.region. Separate several by commas, or repeat the option. "
            "Default: the names listed above.",
        ),
    ] = None,
    timestamps: Annotated[
        Timestamps,
        typer.Option(help="The format of times: text, or a count since 1970."),
    ] = Timestamps.TEXT,
    unit: Annotated[
        Unit,
        typer.Option(help="The unit of amounts; dollars are multiplied by 100, exactly."),
    ] = Unit.CENTS,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Read and check everything, and send and store nothing. Default: no."
        ),
    ] = False,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on where an earlier run stopped. Default: no."),
    ] = False,
    restart: Annotated[
        bool,
        typer.Option(
            "--restart", help="Begin anew even if an earlier run was not finished. Default: no."
        ),
    ] = False,
    state: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The file that keeps the progress. Default: FILE.cost-insights beside the input; "
            "none for standard input and pipes.",
        ),
    ] = None,
    faults: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A file to write each fault to as a JSON object, with the text of its line; only "
            "the first 20 are printed. Default: print them all.",
        ),
    ] = None,
    batch_events: Annotated[
        int | None,
        typer.Option(
            parser=whole_number(1, 10_000),
            metavar="N",
            help="The number of events in one batch, 1 to 10000. Default: 1000.",
            show_default=False,
        ),
    ] = None,
    retry_seconds: Annotated[
        float,
        typer.Option(
            parser=seconds(0, 86_400),
            metavar="SECONDS",
            help="The time for which a failing batch is retried, 0 to 86400.",
        ),
    ] = 60,
    quiet: Annotated[
        bool,
        typer.Option("--quiet", help="Print faults only. Default: also progress and a summary."),
    ] = False,
) -> None:
    """Sends events from a file: one JSON object per line, or CSV, in UTF-8 or UTF-16.

    Files compressed with gzip or zstd are recognized by their content.

    Valid events are stored even if others are not. Each fault is printed on stderr with the number
    of its line, and the exit code is then 1. The summary on stdout counts the events that were
    inserted, those already stored (duplicates), those whose external_id is taken by other content
    (conflicts), and those that were refused.

    An event has the fields name, external_customer_id or customer_id,
    timestamp, external_id, parent_id, external_member_id, cost, llm, product_id
    and metadata. Amounts keep all of their digits. JSON may also be a list, events over several
    lines, or {"events": [...]} as in a request; then faults name the number of the event and its
    line.

    The first record of CSV names the columns: those fields, with cost for an
    amount in cents (usd), cost.amount, cost.currency, llm.vendor, llm.model,
    llm.input_tokens and so on, and metadata.KEY. An empty cell is an absent field, and a blank
    record is skipped. In metadata, true and false are booleans, and JSON numbers of at most 15
    digits are numbers; everything else is text, and so is metadata.product_id. The header shows
    what separates cells: a comma, semicolon, tab or |; a line such as sep=; above the header may
    say it too. Column names may be in any letter case except for KEY. Amounts that fit are exact;
    computed ones, with more than 12 decimals or 17 digits, are rounded half-even to 12 decimals,
    like JSON numbers. Only metadata, llm.prompt and llm.response may contain line breaks. If a
    quote is not closed, the lines left out are named and counted as refused, and the lines after
    them are read.

    A batch that fails for a passing reason is sent again, and each event counts once. A run that
    was interrupted leaves FILE.cost-insights behind; with --resume the next run goes on from there
    and nothing counts twice, even after a crash. It compares the input with the part that was
    already read: the input may have grown since, but must begin the same. Sending a whole file
    again is safe if every event has an external_id.

    Example: cost-insights ingest events.ndjson

    Example: cost-insights ingest --dry-run --map amount=cost --unit dollars x.csv

    Example: cost-insights ingest --resume --faults faults.ndjson events.csv.gz
    """
    service = service_of(address, token, TlsFlags(tls, ca, cert, key))
    conversion = Conversion(_names(names or []), timestamps, unit)
    with command_errors(service), open_source(file, format_, conversion) as source:
        if dry_run:
            _rehearse(source, None if faults is None else FaultsFile(faults), quiet=quiet)
            return
        checkpoint_file = state
        if checkpoint_file is None and source.regular and file != "-":
            checkpoint_file = Path(f"{file}{SUFFIX}")
        faults_file = None if faults is None else FaultsFile(faults)
        checkpoint = _checkpoint(
            source,
            checkpoint_file,
            faults_file,
            resume=resume,
            restart=restart,
            batch_events=batch_events,
        )
        watcher = _Watcher(source, faults_file, quiet=quiet)
        sender = Sender(source, service, watcher, checkpoint, retry_seconds=retry_seconds)
        try:
            with watcher:
                asyncio.run(sender.run())
        finally:
            watcher.finish()
            if not quiet:
                counts = sender.counts
                say(
                    f"inserted {counts.inserted}, duplicates {counts.duplicates}, "
                    f"conflicts {counts.conflicts}, refused {counts.refused}"
                )
    if sender.counts.refused or sender.counts.conflicts:
        exit_with(EXIT_REFUSED)


def _names(given: list[str]) -> dict[str, str]:
    """The file's names of columns and fields, each with the field that it stands for."""
    names: dict[str, str] = {}
    for pair in itertools.chain.from_iterable(one.split(",") for one in given):
        name, _, target = (part.strip() for part in pair.partition("="))
        if not name or place_of(target) is None:
            raise usage(
                f"--map: {pair!r} does not name a field; NAME=FIELD is allowed, where FIELD is "
                f"one of {', '.join(KNOWN_COLUMNS)}"
            )
        if name in names:
            raise usage(f"--map: {name!r} occurs more than once")
        names[name] = target
    return names


def _rehearse(source: Source, faults: FaultsFile | None, *, quiet: bool) -> None:
    """Shows what would become of the events."""
    if faults is not None:
        _refuse_input("--faults", source, faults.file)
        faults.open(0)
    watcher = _Watcher(source, faults, quiet=quiet)
    rehearsal = Rehearsal(source, watcher, settings_of().limits())
    try:
        with watcher:
            rehearsal.run()
    except SourceError as error:
        raise CommandError(f"{source.name}: {error}") from None
    finally:
        watcher.finish()
        if not quiet:
            say(
                f"valid {rehearsal.counts.inserted}, refused {rehearsal.counts.refused}; nothing "
                "was sent"
            )
            note(
                "not known without the service: which events are stored already (duplicates and "
                "conflicts), whether each customer_id exists, and its limits"
            )
    if rehearsal.counts.refused:
        exit_with(EXIT_REFUSED)


def _options(conversion: Conversion) -> str:
    """The options that say what documents mean, as they could be written."""
    maps = [f"--map {name}={target}" for name, target in conversion.names.items()]
    times, unit = f"--timestamps {conversion.timestamps}", f"--unit {conversion.unit}"
    return " ".join([*maps, times, unit])


def _checkpoint(
    source: Source,
    file: Path | None,
    faults: FaultsFile | None,
    *,
    resume: bool,
    restart: bool,
    batch_events: int | None,
) -> Checkpoint:
    """The checkpoint to begin at."""
    if resume and restart:
        raise usage(
            "--resume and --restart exclude each other: the first goes on, the second begins anew"
        )
    if resume and file is None:
        raise usage(f"--resume: the progress of {source.name} is only kept if --state names a file")
    if file is not None:
        _refuse_input("--state", source, file)
    if faults is not None:
        _refuse_input("--faults", source, faults.file)
    state = None if file is None or restart else read_state(file)
    if state is None:
        if resume:
            raise usage(f"--resume: there is no {file}, so no run of this input is unfinished")
        begun = State(
            format=source.format,
            options=_options(source.conversion),
            batch_events=batch_events or BATCH_EVENTS,
            batch_bytes=BATCH_BYTES_MAX,
        )
        if faults is not None:
            faults.open(0)
        return Checkpoint(begun, file, faults)
    if not resume:
        raise usage(
            f"{file}: an earlier run did not finish; --resume goes on behind "
            f"{state.line - 1} lines or events, and "
            "--restart begins anew, and every event without an external_id then counts again"
        )
    _check_same(source, state, batch_events)
    if faults is not None:
        same = state.faults_file == str(faults.file.absolute())
        faults.open(state.faults_bytes if same else 0)
    return Checkpoint(state, file, faults, resumed=True)


def _refuse_input(option: str, source: Source, file: Path) -> None:
    try:
        same = file.samefile(source.name)
    except (OSError, ValueError):
        return
    if same:
        raise usage(f"{option}: {str(file)!r} is the input")


def _check_same(source: Source, state: State, batch_events: int | None) -> None:
    """Refuses to go on where events would not stand in the same place as before."""
    otherwise = "; --restart begins anew"
    if source.format != state.format:
        raise usage(f"--format: the run was begun with {state.format}{otherwise}")
    if _options(source.conversion) != state.options:
        raise usage(f"--resume: the run was begun with {state.options}{otherwise}")
    if batch_events is not None and batch_events != state.batch_events:
        raise usage(f"--batch-events: the run was begun with {state.batch_events}{otherwise}")


class _Watcher:
    """Prints faults, and a bar on a terminal or a line now and then elsewhere."""

    def __init__(self, source: Source, faults: FaultsFile | None, *, quiet: bool) -> None:
        self._source = source
        self._faults = faults
        self._quiet = quiet
        self._noted = time.monotonic()
        self._first: tuple[float, int, int] | None = None
        """The time at which the first records were done, their number, and the bytes read by then.
        """
        self._bar: rich.progress.Progress | None = None
        if not quiet and err.is_terminal:
            self._bar = rich.progress.Progress(
                rich.progress.TextColumn("{task.description}", markup=False),
                rich.progress.BarColumn(),
                rich.progress.DownloadColumn(),
                rich.progress.TextColumn("{task.fields[events]} events"),
                rich.progress.TextColumn("{task.fields[rate]} a second"),
                rich.progress.TextColumn("{task.fields[remaining]}"),
                console=err,
                transient=True,
            )
            self._task = self._bar.add_task(
                os.path.basename(source.name),  # noqa: PTH119 (a name to show, not a path)
                total=source.bytes_total,
                events=0,
                rate=0,
                remaining="",
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

    def finish(self) -> None:
        """Says where the faults are that were not printed."""
        if self._faults is None:
            return
        self._faults.close()
        if (more := self._faults.faults - FAULTS_SHOWN_MAX) > 0:
            note(f"{self._source.name}: {more} more faults are in {self._faults.file}")

    def fault(self, line: int, fault: LineFault, text: bytes | None, begins: int | None) -> None:
        """Names the line, or the event and its line."""
        if self._faults is not None:
            self._faults.add(line if begins is None else begins, fault, text)
            if self._faults.faults > FAULTS_SHOWN_MAX:
                return
        path = f"{fault.path}: " if fault.path else ""
        place = f"{line}:" if begins is None else f"{begins}: event {line}:"
        note(f"{self._source.name}:{place} {path}{fault.message}")

    def progress(self, counts: Counts, bytes_read: int) -> None:
        """Draws the bar or, now and then, writes a line."""
        now = time.monotonic()
        if self._first is None:
            self._first = now, counts.events, bytes_read
        since, events, bytes_ = self._first
        rate = round((counts.events - events) / max(now - since, 0.001))
        remaining = ""
        if self._source.bytes_total is not None and bytes_read > bytes_:
            left = (self._source.bytes_total - bytes_read) * (now - since) / (bytes_read - bytes_)
            remaining = f"{_duration(left)} left"
        if self._bar is not None:
            self._bar.update(
                self._task,
                completed=bytes_read,
                events=counts.events,
                rate=rate,
                remaining=remaining,
            )
        elif not self._quiet and now - self._noted >= NOTE_EVERY_SECONDS:
            self._noted = now
            total = self._source.bytes_total
            of = "" if total is None else f" of {rich.filesize.decimal(total)}"
            note(
                f"{self._source.name}: {counts.events} events, "
                f"{rich.filesize.decimal(bytes_read)}{of}, {rate} events a second"
                + (f", {remaining}" if remaining else "")
            )


def _duration(seconds_: float) -> str:
    minutes, rest = divmod(round(seconds_), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
