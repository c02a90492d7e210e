"""What is kept, on SQLite or PostgreSQL."""

from cost_insights.store.check import (
    CellCheck,
    Difference,
    SpanCheck,
    Sums,
    drop_batches,
    mend_beyond_months,
    mend_month,
)
from cost_insights.store.customer_cache import CustomerCache
from cost_insights.store.deadline import Deadline
from cost_insights.store.dialects import ServedElsewhereError, parse_url
from cost_insights.store.filters import EventFilter, customer_numbers, parse_uuid
from cost_insights.store.memory import NotRememberedError, asked_of
from cost_insights.store.numbers import chunks
from cost_insights.store.packed_cache import PackedCache
from cost_insights.store.prune import count_events_before, limit_boundary, prune_events
from cost_insights.store.segments import (
    CustomerRange,
    Kind,
    Needed,
    Pending,
    StoredCells,
    customer_ranges,
    read_cells,
    read_segment_contents,
    read_segments,
)
from cost_insights.store.store import SchemaError, Store
from cost_insights.store.writer import Outcome, Prepared, Submission

__all__ = [
    "CellCheck",
    "CustomerCache",
    "CustomerRange",
    "Deadline",
    "Difference",
    "EventFilter",
    "Kind",
    "Needed",
    "NotRememberedError",
    "Outcome",
    "PackedCache",
    "Pending",
    "Prepared",
    "SchemaError",
    "ServedElsewhereError",
    "SpanCheck",
    "Store",
    "StoredCells",
    "Submission",
    "Sums",
    "asked_of",
    "chunks",
    "count_events_before",
    "customer_numbers",
    "customer_ranges",
    "drop_batches",
    "limit_boundary",
    "mend_beyond_months",
    "mend_month",
    "parse_url",
    "parse_uuid",
    "prune_events",
    "read_cells",
    "read_segment_contents",
    "read_segments",
]
