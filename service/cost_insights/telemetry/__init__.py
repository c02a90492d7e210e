"""The seam for measurements: what the service counts and times, and where that is shown.

Whoever counts is given the measurements of its own subject, and those that measure nothing unless
it asks for others. `Telemetry`, which joins all of it, is in a module of its own, because it loads
a library that only the service needs.
"""

from cost_insights.telemetry.calls import (
    ACCESS,
    REQUEST_ID,
    AccessRecord,
    Calls,
    RunningCall,
    running_call,
)
from cost_insights.telemetry.instruments import (
    Combination,
    Instrument,
    InstrumentKind,
    Instruments,
    NoInstruments,
)
from cost_insights.telemetry.measurements import (
    NOTHING,
    CacheMeasurements,
    CallMeasurements,
    CompactionMeasurements,
    DatabaseMeasurements,
    IngestMeasurements,
    MeasuredOperation,
    Measurements,
    QuestionMeasurements,
)
from cost_insights.telemetry.rows import Rows, rows_size
from cost_insights.telemetry.spans import Span, Tracer, current_span, step

__all__ = [
    "ACCESS",
    "NOTHING",
    "REQUEST_ID",
    "AccessRecord",
    "CacheMeasurements",
    "CallMeasurements",
    "Calls",
    "Combination",
    "CompactionMeasurements",
    "DatabaseMeasurements",
    "IngestMeasurements",
    "Instrument",
    "InstrumentKind",
    "Instruments",
    "MeasuredOperation",
    "Measurements",
    "NoInstruments",
    "QuestionMeasurements",
    "Rows",
    "RunningCall",
    "Span",
    "Tracer",
    "current_span",
    "rows_size",
    "running_call",
    "step",
]
