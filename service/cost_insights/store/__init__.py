"""What is kept, on SQLite or PostgreSQL."""

from cost_insights.store.deadline import Deadline
from cost_insights.store.filters import EventFilter, customer_numbers, parse_uuid
from cost_insights.store.numbers import chunks
from cost_insights.store.packed_cache import PackedCache
from cost_insights.store.segments import Kind, Needed, Pending, read_batches, read_segments
from cost_insights.store.store import Store
from cost_insights.store.writer import Outcome, Prepared, Submission

__all__ = [
    "Deadline",
    "EventFilter",
    "Kind",
    "Needed",
    "Outcome",
    "PackedCache",
    "Pending",
    "Prepared",
    "Store",
    "Submission",
    "chunks",
    "customer_numbers",
    "parse_uuid",
    "read_batches",
    "read_segments",
]
