"""The telemetry of one process: what it measures, and where that is shown."""

import logging
from array import array
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cost_insights.telemetry.instruments import Instrument, Instruments, NoInstruments
from cost_insights.telemetry.measurements import Measurements
from cost_insights.telemetry.prometheus import rendered
from cost_insights.telemetry.rows import Rows, rows_size
from cost_insights.telemetry.sampler import Sampler
from cost_insights.telemetry.spans import Tracer
from cost_insights.telemetry.variables import other_protocol, sends, sends_anything

if TYPE_CHECKING:
    from cost_insights.telemetry.otlp import Otlp

_log = logging.getLogger(__name__)

Define = Callable[[Instruments], Measurements]
"""Defines the measurements, always the same ones."""


def row_length(define: Define) -> int:
    """The length of the row of a process."""
    return define(NoInstruments()).instruments.length


def _own_rows(define: Define) -> Rows:
    return Rows(array("d", bytes(8 * rows_size(1, row_length(define)))), processes=1, own=0)


def _otlp(telemetry: "Telemetry", release: str) -> "Otlp | None":
    if (protocol := other_protocol()) is not None:
        _log.warning(
            "nothing is sent to OpenTelemetry: the protocol %r is not supported, only grpc",
            protocol,
        )
        return None
    # Nothing of it is loaded where nobody asks for it.
    try:
        from cost_insights.telemetry.otlp import Otlp  # noqa: PLC0415
    except ImportError as error:
        _log.warning(
            "nothing is sent to OpenTelemetry, which variables OTEL_… ask for: %s; install the "
            "extra: pip install 'cost-insights[otel]'",
            error,
        )
        return None
    return Otlp(telemetry.definitions, lambda: telemetry.values, release=release)


class Telemetry:
    """The measurements of one process, and those of all that share its port."""

    def __init__(
        self, define: Define, rows: Rows | None = None, *, is_shown: bool, release: str
    ) -> None:
        """`rows` are those that processes share; a process that is alone makes its own. Where
        neither Prometheus nor OpenTelemetry is shown anything, nothing is measured."""
        self._rows: Rows | None = None
        if is_shown or sends("METRICS"):
            self._rows = rows or _own_rows(define)
            self.measurements = define(Instruments(self._rows.own))
        else:
            self.measurements = define(NoInstruments())
        self._sampler: Sampler | None = None
        self._otlp = _otlp(self, release) if sends_anything() else None

    @property
    def tracer(self) -> Tracer | None:
        """What traces calls, if anything does."""
        return None if self._otlp is None else self._otlp.tracer

    @property
    def values(self) -> Sequence[float]:
        """The numbers of this process."""
        return self.measurements.instruments.values

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

    def close(self) -> None:
        """Sends what is not sent yet; blocks for a short time."""
        if self._otlp is not None:
            self._otlp.stop()

    def rendered(self, accept: str) -> tuple[bytes, str]:
        """The numbers of all processes in the format of Prometheus that is accepted, and its
        content-type."""
        values = () if self._rows is None else self._rows.combined(self.definitions)
        return rendered(self.definitions, values, accept)
