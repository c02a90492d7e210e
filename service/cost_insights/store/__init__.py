"""What is kept, on SQLite or PostgreSQL."""

from cost_insights.store.filters import EventFilter, parse_uuid
from cost_insights.store.segments import Pending
from cost_insights.store.store import Store
from cost_insights.store.writer import Outcome, Submission

__all__ = ["EventFilter", "Outcome", "Pending", "Store", "Submission", "parse_uuid"]
