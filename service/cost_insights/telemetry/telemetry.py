"""The telemetry of one process: what it measures, and where that is shown."""

from array import array
from collections.abc import Callable, Sequence

from cost_insights.telemetry.instruments import Instrument, Instruments, NoInstruments
from cost_insights.telemetry.measurements import Measurements
from cost_insights.telemetry.prometheus import rendered
from cost_insights.telemetry.rows import Rows, rows_size
from cost_insights.telemetry.sampler import Sampler

Define = Callable[[Instruments], Measurements]
"""Defines the measurements, always the same ones."""


def row_length(define: Define) -> int:
    """The length of the row of a process."""
    return define(NoInstruments()).instruments.length


def _own_rows(define: Define) -> Rows:
    return Rows(array("d", bytes(8 * rows_size(1, row_length(define)))), processes=1, own=0)


class Telemetry:
    """The measurements of one process, and those of all that share its port."""

    def __init__(self, define: Define, rows: Rows | None = None, *, is_on: bool) -> None:
        """`rows` are those that processes share; a process that is alone makes its own. Where
        nobody looks at it, nothing is measured."""
        self._rows: Rows | None = None
        if is_on:
            self._rows = rows or _own_rows(define)
            self.measurements = define(Instruments(self._rows.own))
        else:
            self.measurements = define(NoInstruments())
        self._sampler: Sampler | None = None

    @property
    def definitions(self) -> Sequence[Instrument]:
        """The definitions of all instruments."""
        return self.measurements.instruments.definitions

    def start(self, look: Callable[[], object]) -> None:
        """Begins to measure; `look`, which is called now and then, sets gauges."""
        rows = self._rows
        if rows is None:
            return

        def look_and_live() -> None:
            look()
            rows.live()

        rows.begin(self.definitions)
        self._sampler = Sampler(self.measurements.process, look_and_live)
        self._sampler.start()

    def stop(self) -> None:
        """Stops looking at gauges."""
        if self._sampler is not None:
            self._sampler.stop()

    def rendered(self, accept: str) -> tuple[bytes, str]:
        """The numbers of all processes in the format of Prometheus that is accepted, and its
        content-type."""
        values = () if self._rows is None else self._rows.combined(self.definitions)
        return rendered(self.definitions, values, accept)
